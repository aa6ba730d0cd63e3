package trust_test

import (
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/trust"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const (
	ann, rex = trust.PersonID("ann@heartland.example"), trust.PersonID("rex@heartland.example")
	orcid    = "orcid:0000-0002-1825-0097"
)

func person(t testing.TB, id trust.PersonID) trust.Person {
	t.Helper()
	key, err := keys.Generate(keys.Ed25519, rand.NewChaCha8(sha256.Sum256([]byte(id))))
	if err != nil {
		t.Fatal(err)
	}
	return trust.Person{ID: id, Name: string(id), Keys: []trust.PersonKey{
		trust.NewPersonKey(key.Public(), noon, noon.AddDate(1, 0, 0)),
	}}
}

func role(threshold int, persons ...trust.PersonID) trust.RoleRule {
	return trust.RoleRule{Threshold: threshold, Persons: persons}
}

func publisherRoot(t testing.TB) trust.Root {
	return trust.Root{
		RootKind: trust.PublisherRoot, Name: "heartland", Version: 1, IssuedAt: noon, Expires: noon.AddDate(2, 0, 0),
		Persons: []trust.Person{person(t, ann), person(t, rex)},
		Roles: map[trust.Role]trust.RoleRule{
			trust.Author: role(1, ann), trust.ClinicalReviewer: role(1, rex),
			trust.CI: role(1, rex), trust.RootAdmin: role(1, ann, rex),
		},
	}
}

// tenantRoot has one person in every role of a tenant.
func tenantRoot(t testing.TB) trust.Root {
	return trust.Root{
		RootKind: trust.TenantRoot, Name: "north", Version: 1, IssuedAt: noon, Expires: noon.AddDate(1, 0, 0),
		Persons: []trust.Person{person(t, ann)},
		Roles: map[trust.Role]trust.RoleRule{
			trust.Operator: role(1, ann), trust.Approver: role(1, ann), trust.Revoker: role(1, ann),
			trust.Auditor: role(1, ann), trust.RootAdmin: role(1, ann),
		},
		TrustedPublishers: []trust.TrustedPublisher{{Name: "heartland", Root: trust.DigestOf(nil)}},
		Regions:           []string{"us-east", "us-west"},
	}
}

func TestGoodRoots(t *testing.T) {
	for _, r := range []trust.Root{publisherRoot(t), tenantRoot(t)} {
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", r.RootKind, err)
		}
	}
}

// TestRootVectors are roots whose persons could be counted wrongly, or that nobody could
// use. Each refusal names the field.
func TestRootVectors(t *testing.T) {
	type root = trust.Root
	for name, row := range map[string]struct {
		field  string
		change func(r *root)
	}{
		"threshold 0":                 {"roles.author.threshold", func(r *root) { r.Roles[trust.Author] = role(0, ann) }},
		"threshold above the persons": {"roles.author.threshold", func(r *root) { r.Roles[trust.Author] = role(2, ann) }},
		"person twice in a role":      {"roles.author.persons", func(r *root) { r.Roles[trust.Author] = role(2, ann, ann) }},
		"stranger in a role": {
			"roles.author.persons", func(r *root) { r.Roles[trust.Author] = role(1, "eve@heartland.example") },
		},
		"role of a tenant":    {"roles", func(r *root) { r.Roles[trust.Approver] = role(1, ann) }},
		"no root-admin":       {"roles", func(r *root) { delete(r.Roles, trust.RootAdmin) }},
		"one id twice":        {"persons[1]", func(r *root) { r.Persons[1].ID = ann }},
		"one key, two people": {"persons[1]", func(r *root) { r.Persons[1].Keys = r.Persons[0].Keys }},
		"one identity, two people": {"persons[1]", func(r *root) {
			r.Persons[0].Identities, r.Persons[1].Identities = []string{orcid}, []string{orcid}
		}},
		"identity is another's id": {
			"persons[1]", func(r *root) { r.Persons[1].Identities = []string{string(ann)} },
		},
		"key id of another key": {"persons[0].keys[0].keyId", func(r *root) {
			r.Persons[0].Keys[0].KeyID = r.Persons[1].Keys[0].KeyID
		}},
		"key under an invented id": {
			"persons[0].keys[0].keyId", func(r *root) { r.Persons[0].Keys[0].KeyID = keys.ID(trust.DigestOf(nil)) },
		},
		"algorithm of another key": {
			"persons[0].keys[0].algorithm", func(r *root) { r.Persons[0].Keys[0].Algorithm = keys.ECDSAP256 },
		},
		"PEM with text around it": {
			"persons[0].keys[0].publicKeyPem", func(r *root) { r.Persons[0].Keys[0].PublicKeyPEM += "\n" },
		},
		"key that ends at once": {
			"persons[0].keys[0].validUntil", func(r *root) { r.Persons[0].Keys[0].ValidUntil = noon },
		},
		"key without a beginning": {
			"persons[0].keys[0].validFrom", func(r *root) { r.Persons[0].Keys[0].ValidFrom = time.Time{} },
		},
		"publisher that trusts": {"trustedPublishers", func(r *root) {
			r.TrustedPublishers = []trust.TrustedPublisher{{Name: "x1", Root: trust.DigestOf(nil)}}
		}},
		"publisher in a region":   {"regions", func(r *root) { r.Regions = []string{"us-east"} }},
		"expires when it begins":  {"expires", func(r *root) { r.Expires = r.IssuedAt }},
		"not issued":              {"issuedAt", func(r *root) { r.IssuedAt = time.Time{} }},
		"version 0":               {"version", func(r *root) { r.Version = 0 }},
		"neither kind of root":    {"kind", func(r *root) { r.RootKind = "region" }},
		"name with a path":        {"name", func(r *root) { r.Name = "../x" }},
		"person without a name":   {"persons[0].name", func(r *root) { r.Persons[0].Name = " " }},
		"person id in upper case": {"persons[0].id", func(r *root) { r.Persons[0].ID = "Ann@heartland.example" }},
		"identity with white space": {
			"persons[0].identities", func(r *root) { r.Persons[0].Identities = []string{"ann smith"} },
		},
		"501 persons": {"persons", func(r *root) { r.Persons = make([]trust.Person, 501) }},
		"501 identities": {
			"persons[0].identities", func(r *root) { r.Persons[0].Identities = slices.Repeat([]string{"x:y"}, 501) },
		},
		"tenant: role of a publisher": {"roles", func(r *root) {
			r.RootKind = trust.TenantRoot
			r.Roles = map[trust.Role]trust.RoleRule{trust.Author: role(1, ann), trust.RootAdmin: role(1, ann)}
		}},
		"tenant: one publisher twice": {"trustedPublishers", func(r *root) {
			r.RootKind, r.Roles = trust.TenantRoot, map[trust.Role]trust.RoleRule{trust.RootAdmin: role(1, ann)}
			r.TrustedPublishers = slices.Repeat([]trust.TrustedPublisher{{Name: "heartland", Root: trust.DigestOf(nil)}}, 2)
		}},
		"publisher that hears others": {"reviewsFrom", func(r *root) { r.ReviewsFrom = []trust.Publisher{"heartland"} }},
		"tenant: hears a stranger": {"reviewsFrom", func(r *root) {
			*r = tenantRoot(t)
			r.ReviewsFrom = []trust.Publisher{"society"}
		}},
		"tenant: hears one twice": {"reviewsFrom", func(r *root) {
			*r = tenantRoot(t)
			r.ReviewsFrom = []trust.Publisher{"heartland", "heartland"}
		}},
		"tenant: no region": {"regions", func(r *root) {
			*r = tenantRoot(t)
			r.Regions = nil
		}},
		"tenant: one region twice": {"regions", func(r *root) {
			*r = tenantRoot(t)
			r.Regions[1] = r.Regions[0]
		}},
		"tenant: region with a path": {"regions[1]", func(r *root) {
			*r = tenantRoot(t)
			r.Regions[1] = "../us"
		}},
		"tenant: 501 regions": {"regions", func(r *root) {
			*r = tenantRoot(t)
			r.Regions = slices.Repeat(r.Regions, 251)
		}},
		"tenant: pin that is not a digest": {"trustedPublishers[0].root", func(r *root) {
			r.RootKind, r.Roles = trust.TenantRoot, map[trust.Role]trust.RoleRule{trust.RootAdmin: role(1, ann)}
			r.TrustedPublishers = []trust.TrustedPublisher{{Name: "heartland", Root: "latest"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := publisherRoot(t)
			row.change(&r)
			if err := r.Check(); err == nil || !strings.HasPrefix(err.Error(), "field "+row.field+":") {
				t.Fatalf("got %v, want it to name field %s", err, row.field)
			}
		})
	}
}

// TestStoredRootWithoutRegions: a root that was signed before roots named regions is read.
func TestStoredRootWithoutRegions(t *testing.T) {
	r := tenantRoot(t)
	r.Regions = nil
	if err := r.CheckStored(); err != nil {
		t.Fatal(err)
	}
}
