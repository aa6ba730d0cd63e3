package signing_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// logged signs what can be read and is no longer signed by this package, as other programs
// do, and as earlier versions did.
func logged(t testing.TB, p statement.Predicate, keys ...string) *signing.Envelope {
	t.Helper()
	var lines [][]byte
	for _, name := range keys {
		lines = append(lines, forge(t, inToto, payload(t, statement.PackDigest{}, p), name))
	}
	hint := func(line []byte) []byte { return line[bytes.Index(line, []byte(`"hint":`)):] }
	slices.SortFunc(lines, func(a, b []byte) int { return bytes.Compare(hint(a), hint(b)) })
	env, err := signing.ReadEnvelope(bytes.Join(lines, nil))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// TestOneHumanInTwoRoots: Ann authors for the publisher and approves for the tenant, whose
// root spells her otherwise. A log that holds such a root goes on, and she is one person.
func TestOneHumanInTwoRoots(t *testing.T) {
	for name, row := range map[string]struct{ publisher, tenant string }{
		"last dot":             {"ann@heartland.example", "ann@heartland.example."},
		"tag":                  {"ann@heartland.example", "ann+approvals@heartland.example"},
		"mailto, twice":        {"ann@heartland.example", "mailto:mailto:ann@heartland.example"},
		"mailto, tag, case":    {"ann@heartland.example", "Mailto:Ann+x@Heartland.example."},
		"percent-encoded":      {"ann@heartland.example", "mailto:ann%40heartland.example"},
		"ORCID, a page":        {"orcid:0000-0002-1825-0097", "https://orcid.org/0000-0002-1825-0097"},
		"ORCID, a slash":       {"https://orcid.org/0000-0002-1825-0097", "http://orcid.org/0000-0002-1825-0097/"},
		"ORCID, bare":          {"orcid:0000-0002-1825-0097", "0000-0002-1825-0097"},
		"ORCID without dashes": {"0000-0002-1825-0097", "orcid:0000000218250097"},
		"page":                 {"https://heartland.example/ann", "http://heartland.example:80/Ann/"},
	} {
		t.Run(name, func(t *testing.T) {
			publisher, tenants := publisherRoot(t), tenantRoot(t, "")
			publisher.Persons[0].Identities = []string{row.publisher}
			tenants.Persons[1].Identities = []string{row.tenant}
			tenants.Roles[trust.Approver] = role(1, "amy@north.example", "abe@north.example")
			if publisher.Check() == nil && tenants.Check() == nil {
				t.Error("both spellings may be signed")
			}
			published := logged(t, publisher, "pat")
			tenants.TrustedPublishers[0].Root = published.Digest()
			first := logged(t, tenants, "rosa", "rudy")
			s, err := signing.NewState(tenant, region, first.Digest())
			if err != nil {
				t.Fatal(err)
			}
			w := &world{TB: t, State: s, at: noon}
			w.accept(first)
			w.accept(published)
			w.released(1)
			w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy"), signing.ErrSelfReview)
			w.accept(sayOf(t, archive(1), activate(1, 1, ""), "abe"))
		})
	}
}

// TestPersonRevokedUnderAnotherSpelling: a revocation is signed with the one spelling; one
// that a log holds with another means the same person.
func TestPersonRevokedUnderAnotherSpelling(t *testing.T) {
	for _, text := range []string{"amy+x@north.example", "amy@north.example."} {
		r := revoke(statement.TargetPerson, text, statement.Revoke, noon)
		if err := r.Check(); err == nil {
			t.Errorf("%s may be signed", text)
		}
		w := newWorld(t).released(1).activated(1)
		w.accept(logged(t, r, "rick"))
		if len(w.Live()) != 0 || w.HasRole("amy@north.example", trust.Approver) {
			t.Errorf("%s: not revoked", text)
		}
		next, _ := w.Root()
		next.Version = 2
		w.refuse(say(t, next, "rosa", "rudy"), signing.ErrRevoked)
	}
}
