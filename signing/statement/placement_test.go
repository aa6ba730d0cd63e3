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
		"more node keys than signers": {"certificate.nodeKeysPem", func(x *p) {
			x.Certificate.NodeKeysPEM = many(t, 16)
		}},
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
			c := x.Certificate
			if strings.HasPrefix(row.field, "certificate") && (c.Check() == nil || c.Digest() != "") {
				t.Fatal("the certificate is taken for a good one")
			}
		})
	}
}

// TestWaiverVectors are waivers that would leave open what is waived.
func TestWaiverVectors(t *testing.T) {
	type review = statement.ClinicalReview
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	good := statement.Waiver{Rule: "egfr-needed", States: []string{"unknown"}, Reason: "cannot be missing"}
	for name, row := range map[string]struct {
		field  string
		change func(*review)
	}{
		"none":            {"", func(r *review) { r.Waives = nil }},
		"one":             {"", func(*review) {}},
		"no rule":         {"waives[0].rule", func(r *review) { r.Waives[0].Rule = "" }},
		"every rule":      {"waives[0].rule", func(r *review) { r.Waives[0].Rule = "*" }},
		"rule with pack":  {"waives[0].rule", func(r *review) { r.Waives[0].Rule = "renal_dosing/egfr-needed" }},
		"one rule twice":  {"waives[1].rule", func(r *review) { r.Waives = append(r.Waives, good) }},
		"no state":        {"waives[0].states", func(r *review) { r.Waives[0].States = nil }},
		"another state":   {"waives[0].states", func(r *review) { r.Waives[0].States = []string{"error"} }},
		"one state twice": {"waives[0].states", func(r *review) { r.Waives[0].States = []string{"true", "true"} }},
		"no reason":       {"waives[0].reason", func(r *review) { r.Waives[0].Reason = " " }},
		"in a rejection":  {"waives", func(r *review) { r.Decision = statement.Reject }},
		"501":             {"waives", func(r *review) { r.Waives = make([]statement.Waiver, 501) }},
	} {
		w := good
		w.States = []string{"unknown"}
		r := review{Pack: "renal_dosing", Version: "1.0.0", Decision: statement.Approve, Role: "pharmacist",
			ReviewedAt: at, ValidUntil: at.AddDate(1, 0, 0), Conditions: []string{}, Waives: []statement.Waiver{w}}
		row.change(&r)
		err := r.Check()
		if row.field == "" && err != nil ||
			row.field != "" && (err == nil || !strings.HasPrefix(err.Error(), "field "+row.field+":")) {
			t.Errorf("%s: %v", name, err)
		}
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
