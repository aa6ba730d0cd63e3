package statement_test

import (
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
)

func newKey(t testing.TB, alg keys.Algorithm, name string) string {
	t.Helper()
	key, err := keys.Generate(alg, rand.NewChaCha8(sha256.Sum256([]byte(name))))
	if err != nil {
		t.Fatal(err)
	}
	return string(key.Public().PEM())
}

func placement(t testing.TB) statement.Placement {
	heads := newKey(t, keys.Ed25519, "heads")
	return statement.Placement{Tenant: "north", Epoch: 1, PlacedAt: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC),
		Certificate: statement.RegionCertificate{Region: "us-east", Seq: 1, CheckpointKeyPEM: heads,
			NodeKeysPEM: []string{heads, newKey(t, keys.ECDSAP256, "node")}}}
}

// TestPlacementVectors are placements, and certificates in them, that would leave open whose
// keys they pin. Each refusal names the field.
func TestPlacementVectors(t *testing.T) {
	type p = statement.Placement
	for name, row := range map[string]struct {
		field  string
		change func(*p)
	}{
		"no tenant":              {"tenant", func(x *p) { x.Tenant = "" }},
		"epoch 0":                {"epoch", func(x *p) { x.Epoch = 0 }},
		"epoch that JSON rounds": {"epoch", func(x *p) { x.Epoch = 1 << 53 }},
		"no time":                {"placedAt", func(x *p) { x.PlacedAt = time.Time{} }},
		"no certificate":         {"certificate.region", func(x *p) { x.Certificate = statement.RegionCertificate{} }},
		"region with a path":     {"certificate.region", func(x *p) { x.Certificate.Region = "../us" }},
		"no number":              {"certificate.seq", func(x *p) { x.Certificate.Seq = 0 }},
		"no checkpoint key":      {"certificate.keys", func(x *p) { x.Certificate.CheckpointKeyPEM = "" }},
		"checkpoint key of no log": {"certificate.keys", func(x *p) {
			x.Certificate.CheckpointKeyPEM = x.Certificate.NodeKeysPEM[1]
		}},
		"no node key":       {"certificate.nodeKeysPem", func(x *p) { x.Certificate.NodeKeysPEM = nil }},
		"text around a key": {"certificate.keys", func(x *p) { x.Certificate.NodeKeysPEM[0] += "\n" }},
		"one node key twice": {"certificate.keys", func(x *p) {
			x.Certificate.NodeKeysPEM[1] = x.Certificate.NodeKeysPEM[0]
		}},
		"more node keys than signers": {"certificate.nodeKeysPem", func(x *p) { x.Certificate.NodeKeysPEM = many(t, 16) }},
	} {
		t.Run(name, func(t *testing.T) {
			x := placement(t)
			row.change(&x)
			if err := x.Check(); err == nil || !strings.HasPrefix(err.Error(), "field "+row.field+":") {
				t.Fatalf("got %v, want it to name field %s", err, row.field)
			}
			if _, err := (statement.Statement{Predicate: x}).Payload(); !errors.Is(err, statement.ErrMalformed) {
				t.Fatalf("written: %v", err)
			}
			if c := x.Certificate; strings.HasPrefix(row.field, "certificate") && (c.Check() == nil || c.Digest() != "") {
				t.Fatal("the certificate is taken for a good one")
			}
		})
	}
}

func many(t testing.TB, n int) (list []string) {
	for i := range n {
		list = append(list, newKey(t, keys.Ed25519, strconv.Itoa(i)))
	}
	return list
}

// TestCertificateDigest: the digest is that of the statement, and one key more is another.
func TestCertificateDigest(t *testing.T) {
	x := placement(t)
	x.Certificate.NodeKeysPEM = many(t, 15)
	if err := x.Check(); err != nil {
		t.Fatal(err)
	}
	all := x.Certificate.Digest()
	x.Certificate.NodeKeysPEM = x.Certificate.NodeKeysPEM[:14]
	if fewer := x.Certificate.Digest(); fewer == all || len(fewer) != 64 {
		t.Fatalf("digests %q and %q", all, fewer)
	}
}
