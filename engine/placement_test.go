package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
)

const west = tenant.Region("us-west")

// in makes the region one of another name, or one of the same name with other keys.
func in(region tenant.Region) func(*node) { return func(n *node) { n.where = region } }

// certificateOf is the certificate of another region, for a placement there.
func certificateOf(n *node) func(*statement.Placement) {
	return func(p *statement.Placement) {
		c, err := n.certificate.Certificate()
		decidetest.Must(n, err)
		p.Certificate = c
	}
}

// closedTo fails unless EHRs of north get nothing here, for a reason, and nothing of it is
// kept.
func (n *node) closedTo(why error, words string) {
	n.Helper()
	body := decidetest.Patient(n, "metformin-egfr-27")
	for name, do := range map[string]func() error{
		"call": func() error { _, err := n.Call(n.Context(), ehr("north"), "orders", body); return err },
		"feedback": func() error {
			_, err := n.Feedback(n.Context(), ehr("north"), "orders", []byte(`{}`))
			return err
		},
		"door":   func() error { return n.Refuse(n.Context(), ehr("north"), Refusal{Code: "x"}) },
		"policy": func() error { _, err := n.Policy("north"); return err },
	} {
		before := n.records("north", "")
		err := do()
		if !errors.Is(err, why) || !strings.Contains(err.Error(), words) {
			n.Errorf("%s: %v", name, err)
		}
		if n.records("north", "") != before {
			n.Errorf("%s left a record", name)
		}
	}
}

// TestOneHome: the same tenant root is opened in a second region, whose people have the
// same statements. Only the region whose keys are pinned answers.
func TestOneHome(t *testing.T) {
	home := newRegion(t)
	home.call("north", decidetest.Patient(t, "clean"))
	placement := home.placement("north")

	// A region of another name, in the tenant's root, set up like the home.
	second := newNode(t, in(west))
	second.say("north", publisherRoot(t), "pat@heartland.example")
	second.policy("north", decidetest.PolicyFor(t, "north"))
	second.activate("north", decidetest.ReferencePack(t, terms))
	second.closedTo(ErrNotReady, "no placement was applied yet")
	_, err := second.apply("north", placement)
	decidetest.Must(t, err)
	second.closedTo(tenant.ErrResidency, `"us-east" asked of a node in region "us-west"`)
	if len(second.Unready()) != 0 {
		t.Errorf("that a tenant lives elsewhere is a fault: %v", second.Unready())
	}
	second.restart()
	second.closedTo(tenant.ErrResidency, "us-east")

	// A region that calls itself like the home, with the home's statements.
	twin := newNode(t)
	twin.say("north", publisherRoot(t), "pat@heartland.example")
	twin.policy("north", decidetest.PolicyFor(t, "north"))
	err = twin.unchanged("north", ErrStatement, func() error { _, err := twin.apply("north", placement); return err })
	for _, part := range []string{string(twin.certificate.Digest()), string(home.certificate.Digest()),
		"precept keys region-certificate"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the refusal does not say %q: %v", part, err)
		}
	}
	twin.closedTo(ErrNotReady, "no placement was applied yet")

	// Its certificate under the home's name is refused at home.
	_ = home.unchanged("north", ErrStatement, func() error {
		_, err := home.apply("north", home.placement("north", certificateOf(twin)))
		return err
	})
	home.call("north", decidetest.Patient(t, "standard"))

	// A region that the tenant's root does not allow.
	abroad := newNode(t, in("eu-central"))
	_ = abroad.unchanged("north", signing.ErrUntrustedRoot, func() error {
		_, err := abroad.apply("north", abroad.placement("north"))
		return err
	})
}

// TestMove: a tenant moves out and comes back. Where it does not live nothing is recorded
// for its EHRs, its auditors find what is there, and a copy of an old placement does
// nothing.
func TestMove(t *testing.T) {
	east, west := newRegion(t), newNode(t, in(west))
	body := decidetest.Patient(t, "metformin-egfr-27")
	record := east.call("north", body).RecordID
	old := east.placement("north")
	out := east.placement("north", certificateOf(west), func(p *statement.Placement) { p.Epoch = 5 })
	for _, n := range []*node{east, west} {
		_, err := n.apply("north", out)
		decidetest.Must(t, err)
	}
	east.closedTo(tenant.ErrResidency, `"us-west" asked of a node in region "us-east"`)
	east.restart()
	east.closedTo(tenant.ErrResidency, "us-west")
	_ = east.unchanged("north", signing.ErrSequence, func() error { _, err := east.apply("north", old); return err })
	if s, err := east.Status(t.Context(), person("north", "olga")); err != nil || s.Home.Region != "us-west" ||
		s.Home.Epoch != 5 || s.Home.Why == "" || s.Home.Certificate != string(west.certificate.Digest()) {
		t.Errorf("status %+v, %v", s, err)
	}
	if _, err := east.Record(t.Context(), auditor("north"), record); err != nil {
		t.Errorf("the auditor finds nothing: %v", err)
	}
	east.call("south", body) // another tenant stays
	a := east.away("north")
	in, d := a.record("north", record)
	_, err := a.materials("north").Replay(t.Context(), in, d)
	decidetest.Must(t, err)

	west.say("north", publisherRoot(t), "pat@heartland.example")
	west.policy("north", decidetest.PolicyFor(t, "north"))
	for _, name := range append([]string{terms}, decidetest.ReferencePacks...) {
		west.activate("north", decidetest.ReferencePack(t, name))
	}
	west.call("north", body)

	// Back, with a newer epoch: nothing is live that was decided on before.
	back := east.placement("north", func(p *statement.Placement) { p.Epoch = 6 })
	for _, n := range []*node{east, west} {
		_, err := n.apply("north", back)
		decidetest.Must(t, err)
	}
	west.closedTo(tenant.ErrResidency, "us-east")
	_, err = east.Call(t.Context(), ehr("north"), "orders", body)
	decidetest.WantError(t, err, ErrNotReady)
	for _, name := range append([]string{terms}, decidetest.ReferencePacks...) {
		east.activate("north", decidetest.ReferencePack(t, name))
	}
	east.call("north", body)
	east.clean("north")
}

// TestOtherKeysThanPinned: a node that runs the tenant's log with other keys than those
// that were pinned answers nobody, and says how to mend it.
func TestOtherKeysThanPinned(t *testing.T) {
	n := newRegion(t)
	cfg := n.cfg
	n.Engine.Close()
	cfg.Node = key(t, "some other region")
	if cfg.Node.Public().Algorithm() != keys.Ed25519 {
		t.Fatal("choose another name for the key")
	}
	var err error
	n.Engine, err = Open(t.Context(), cfg)
	decidetest.Must(t, err)
	n.closedTo(tenant.ErrResidency, "placement 1 of tenant north in us-east pins the certificate")
	if why := n.Unready()["north"]; why == nil ||
		!strings.Contains(why.Error(), "sign a placement with a higher epoch") {
		t.Errorf("unready: %v", why)
	}
	// The tenant's people can mend it.
	n.place("north")
	n.call("north", decidetest.Patient(t, "clean"))
}

// TestPlacementSignerRevoked: what a stolen key placed is no home, and neither is the one
// before.
func TestPlacementSignerRevoked(t *testing.T) {
	n := newRegion(t)
	n.place("north")
	n.revoke("north", statement.Target{Type: statement.TargetPerson, Value: "olga@north"}, statement.Revoke)
	n.closedTo(tenant.ErrResidency, "placement 2 rests on a signature that was revoked")
	if n.Unready()["north"] == nil {
		t.Error("nobody is told")
	}
	n.call("south", decidetest.Patient(t, "clean"))
}

const accepted = `{"feedback":[{"card":"4e0a3a1e-3a1e-4e0a-8a3a-1e3a1e4e0a3a","outcome":"accepted",
  "acceptedSuggestions":[{"id":"4e0a3a1e-3a1e-4e0a-8a3a-1e3a1e4e0a3b"}],"outcomeTimestamp":"2026-03-02T15:00:00Z"}]}`

// TestPlacementAgainstCallsUnderWay: what was decided or said before the placement away is
// not recorded after it, on a node that does not know of it yet.
func TestPlacementAgainstCallsUnderWay(t *testing.T) {
	n := newRegion(t)
	b := n.beside(deaf{n.store}, never)
	c := n.beside(deaf{n.store}, never)
	n.place("north", func(p *statement.Placement) {
		c, err := signing.NewCertificate(statement.Region(west), key(t, "some other region"))
		decidetest.Must(t, err)
		p.Certificate, err = c.Certificate()
		decidetest.Must(t, err)
	})
	before := n.records("north", "")
	_, err := b.Call(t.Context(), ehr("north"), "orders", decidetest.Patient(t, "clean"))
	decidetest.WantError(t, err, tenant.ErrResidency)
	_, err = c.Feedback(t.Context(), ehr("north"), "orders", []byte(accepted))
	decidetest.WantError(t, err, tenant.ErrResidency)
	if n.records("north", "") != before {
		t.Error("something was recorded after the tenant had left")
	}
}
