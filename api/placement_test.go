package api

import (
	"crypto/rand"
	"errors"
	"testing"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
)

// TestMovedAway: EHRs of a tenant that was placed elsewhere are told so, whether or not
// they prove who they are; its people still come in.
func TestMovedAway(t *testing.T) {
	w := newWorld(t, nil)
	node, err := keys.Generate(keys.Ed25519, rand.Reader)
	w.must(err)
	env, err := signing.NewCertificate("us-west", node)
	w.must(err)
	west, err := env.Certificate()
	w.must(err)
	away := statement.Placement{Tenant: "north", Epoch: 2, Certificate: west, PlacedAt: now()}
	moved := w.say(statement.PackDigest{}, away, "otto@north.example", "amy@north.example")
	otto := w.as("north", "otto@north.example")
	if _, err := otto.Apply(t.Context(), moved.Bytes()); err == nil {
		t.Fatal("a region that the root does not allow was taken")
	}
	root := w.tenantRoot("north", w.say(statement.PackDigest{}, w.publisherRoot(), "pat@heartland.example").Digest())
	root.Version, root.Regions = 2, []string{"us-east", "us-west"}
	w.apply("north", w.say(statement.PackDigest{}, root, "rosa@north.example"))
	w.apply("north", moved)

	var p *client.Problem
	if _, err := w.ehr("north", "ES256").Discover(t.Context()); !errors.As(err, &p) || p.Status != 421 {
		t.Errorf("discovery: %v", err)
	}
	if _, err := w.ehr("north", "ES256").Call(t.Context(), "orders", []byte("{}")); !errors.As(err, &p) ||
		p.Status != 421 || p.Code != "wrong-region" {
		t.Errorf("call: %v", err)
	}
	if _, err := w.ehr("south", "ES256").Discover(t.Context()); err != nil {
		t.Errorf("the other tenant: %v", err)
	}
	s, err := otto.Status(t.Context())
	w.must(err)
	if s.Home.Region != "us-west" || s.Home.Epoch != 2 || s.Home.Why == "" {
		t.Errorf("status: %+v", s.Home)
	}
}
