// Package trust holds trust roots: who may sign what, with which keys, and how many of
// them must.
//
// # Layout
//
// A root is the predicate of a trust-root statement:
//
//	{"kind":"publisher","name":"heartland","version":1,
//	 "issuedAt":"2026-03-02T12:00:00Z","expires":"2027-03-02T12:00:00Z",
//	 "persons":[{"id":"ann@heartland.example","name":"Ann","identities":["orcid:0000-0002-1825-0097"],
//	             "keys":[{"keyId":"…","algorithm":"ed25519","publicKeyPem":"-----BEGIN…",
//	                      "validFrom":"2026-03-02T12:00:00Z"}]}],
//	 "roles":{"author":{"threshold":1,"persons":["ann@heartland.example"]},
//	          "root-admin":{"threshold":1,"persons":["ann@heartland.example"]}}}
//
// There are two kinds. A publisher root lists the authors and clinical reviewers of packs.
// A tenant root lists who operates, approves, revokes and audits, and pins the publishers
// that the tenant trusts.
//
// # What it guarantees, and what it does not
//
// In a root that passes [Root.Check] no id, identity or key belongs to two persons,
// however it is spelled, and every role can reach its threshold. Whether to believe a root
// is not decided here: the state of a release log does that, by a pinned digest or by
// rotation. Two roots may still know one person by different names; [Person.Names] lets
// them be equated where they declare it, and [NearEqual] shows people what they do not.
package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/precept-cds/precept/signing/internal/strict"
	"github.com/precept-cds/precept/signing/keys"
)

// Digest is a lower-case hex SHA-256. Roots, statements and packs are pinned by it.
type Digest string

// DigestOf returns the SHA-256 of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(hex.EncodeToString(sum[:]))
}

// Publisher is the name of a publisher root, `[a-z][a-z0-9-]{1,62}`.
type Publisher string

// PersonID is a person's e-mail address, in the form of [Canonical].
type PersonID string

// Root says who may sign what. A publisher root speaks for packs, a tenant root
// for one tenant. Version N+1 is signed by the root-admin thresholds of N and N+1.
type Root struct {
	RootKind RootKind `json:"kind"`
	// Name is the tenant's or the publisher's name.
	Name    string `json:"name"`
	Version uint64 `json:"version"`
	// Expires ends what adds power. Removing power, rotating the root and serving
	// what is already live go on.
	IssuedAt time.Time         `json:"issuedAt"`
	Expires  time.Time         `json:"expires"`
	Persons  []Person          `json:"persons"`
	Roles    map[Role]RoleRule `json:"roles"`
	// TrustedPublishers is for tenant roots only.
	TrustedPublishers []TrustedPublisher `json:"trustedPublishers,omitempty"`
	// ReviewsFrom is for tenant roots only. It names trusted publishers whose clinical
	// reviewers have a say about the packs of others, too: their rejection blocks, and
	// their approval is one more, never one of those that the pack's own publisher needs.
	ReviewsFrom []Publisher `json:"reviewsFrom,omitempty"`
	// Regions is for tenant roots only. It names the regions in which the tenant may be
	// placed; those signed before there was a choice have none, and place nobody.
	Regions []string `json:"regions,omitempty"`
}

// RootKind tells the two kinds of trust root apart.
type RootKind string

// The kinds of trust root.
const (
	// PublisherRoot speaks for packs.
	PublisherRoot RootKind = "publisher"
	// TenantRoot speaks for one tenant.
	TenantRoot RootKind = "tenant"
)

// Role is what a person may do.
type Role string

// The roles of publisher roots, of tenant roots, and of both.
const (
	// Author signs releases.
	Author Role = "author"
	// ClinicalReviewer signs clinical reviews.
	ClinicalReviewer Role = "clinical-reviewer"
	// CI is reserved for the machine that will sign test results.
	CI Role = "ci"

	// Operator signs the tenant policy and placements, together with the approvers.
	Operator Role = "operator"
	// Approver adds power: activations, resumptions, the tenant policy, placements.
	Approver Role = "approver"
	// Revoker removes power, alone; so may every approver.
	Revoker Role = "revoker"
	// Auditor reads records.
	Auditor Role = "auditor"

	// RootAdmin signs the next version of the root. Every root needs the role.
	RootAdmin Role = "root-admin"
)

// RoleRule says who has a role and how many of them must sign.
type RoleRule struct {
	// Threshold counts distinct persons and is at least 1.
	Threshold int        `json:"threshold"`
	Persons   []PersonID `json:"persons"`
}

// Person is one human being or one tool, with every key they sign with.
type Person struct {
	ID   PersonID `json:"id"`
	Name string   `json:"name"`
	// Identities are other names of the same person, such as an ORCID iD or an address at
	// another organization, in the form of [Canonical]. They equate persons across roots.
	Identities []string    `json:"identities"`
	Keys       []PersonKey `json:"keys"`
}

// PersonKey is a key and the time in which its signatures count, judged by the log's
// time of the statement.
type PersonKey struct {
	KeyID        keys.ID        `json:"keyId"`
	Algorithm    keys.Algorithm `json:"algorithm"`
	PublicKeyPEM string         `json:"publicKeyPem"`
	ValidFrom    time.Time      `json:"validFrom"`
	// ValidUntil is exclusive; zero means without end.
	ValidUntil time.Time `json:"validUntil,omitzero"`
}

// TrustedPublisher lets a publisher's root into a tenant's log. Root pins the payload
// digest of the first version this log accepts; later ones follow by rotation. A new
// digest for the same name starts the publisher over: its releases are withdrawn.
type TrustedPublisher struct {
	Name Publisher `json:"name"`
	Root Digest    `json:"root"`
}

// NewPersonKey describes key as a root lists it.
func NewPersonKey(key keys.Public, from, until time.Time) PersonKey {
	return PersonKey{
		KeyID:        key.ID(),
		Algorithm:    key.Algorithm(),
		PublicKeyPEM: string(key.PEM()),
		ValidFrom:    from,
		ValidUntil:   until,
	}
}

// Check returns what makes r unfit to be signed, or nil: a field missing or out of range,
// a role nobody could fill, persons that could be counted twice, an identity in a spelling
// that is not [Canonical], a tenant that may be nowhere.
func (r Root) Check() error {
	c := &strict.Checker{}
	r.check(c, true)
	return c.Err()
}

// CheckStored is Check for what may have been signed before identities had one spelling,
// in which they are compared all the same, and before roots named regions.
func (r Root) CheckStored() error {
	c := &strict.Checker{}
	r.check(c, false)
	return c.Err()
}

func (r Root) check(c *strict.Checker, now bool) {
	c.That(r.RootKind == PublisherRoot || r.RootKind == TenantRoot, "kind", "expected publisher or tenant")
	c.Match(r.Name, strict.Name, "name")
	c.Seq(r.Version, "version")
	c.Time(r.IssuedAt, "issuedAt")
	c.That(r.Expires.After(r.IssuedAt), "expires", "must be later than issuedAt")
	c.Len(len(r.Persons), "persons")
	if c.Err() != nil {
		return
	}
	r.checkPersons(c, now)
	r.checkRoles(c)
	c.Len(len(r.TrustedPublishers), "trustedPublishers")
	c.That(r.RootKind == TenantRoot || len(r.TrustedPublishers) == 0, "trustedPublishers",
		"only a tenant root trusts publishers")
	names := make([]Publisher, len(r.TrustedPublishers))
	for i, p := range r.TrustedPublishers {
		names[i] = p.Name
		c.Match(string(p.Name), strict.Name, fmt.Sprintf("trustedPublishers[%d].name", i))
		c.Match(string(p.Root), strict.Digest, fmt.Sprintf("trustedPublishers[%d].root", i))
	}
	c.That(strict.Distinct(names), "trustedPublishers", "each publisher once")
	c.Len(len(r.ReviewsFrom), "reviewsFrom")
	c.That(strict.Distinct(r.ReviewsFrom), "reviewsFrom", "each publisher once")
	for _, name := range r.ReviewsFrom {
		c.That(slices.Contains(names, name), "reviewsFrom", "names a publisher that is not in trustedPublishers")
	}
	c.Len(len(r.Regions), "regions")
	c.That(strict.Distinct(r.Regions), "regions", "each region once")
	c.That(r.RootKind == TenantRoot || len(r.Regions) == 0, "regions", "only a tenant root names regions")
	c.That(!now || r.RootKind == PublisherRoot || len(r.Regions) > 0, "regions",
		"name the regions in which the tenant may be placed")
	for i, name := range r.Regions {
		c.Match(name, strict.Name, fmt.Sprintf("regions[%d]", i))
	}
}

// checkPersons makes sure that counting persons cannot be fooled inside one root: no
// id, identity or key belongs to two of them.
func (r Root) checkPersons(c *strict.Checker, now bool) {
	owner := map[string]int{}
	for i, p := range r.Persons {
		at := fmt.Sprintf("persons[%d]", i)
		c.Len(len(p.Identities), at+".identities")
		if c.Err() != nil {
			return
		}
		if now {
			c.Wrap(at+".id", p.ID.Check())
			for _, identity := range p.Identities {
				c.Wrap(at+".identities", checkSpelling(identity))
			}
		}
		c.Match(string(p.ID), strict.Person, at+".id")
		c.Text(p.Name, at+".name")
		for _, identity := range p.Identities {
			c.Match(identity, strict.Alias, at+".identities")
		}
		c.Len(len(p.Keys), at+".keys")
		for k, key := range p.Keys {
			key.check(c, fmt.Sprintf("%s.keys[%d]", at, k))
		}
		for _, name := range p.Names() {
			if other, taken := owner[name]; taken && other != i {
				c.Fail(at, fmt.Sprintf("shares an id, identity or key with persons[%d]; list one person once", other))
			}
			owner[name] = i
		}
	}
}

func (k PersonKey) check(c *strict.Checker, at string) {
	if c.Err() != nil {
		return
	}
	key, err := keys.ParsePublic([]byte(k.PublicKeyPEM))
	if err != nil {
		c.Wrap(at+".publicKeyPem", err)
		return
	}
	c.That(key.ID() == k.KeyID, at+".keyId", "is not the SHA-256 of the public key")
	c.That(key.Algorithm() == k.Algorithm, at+".algorithm", "is not the algorithm of the public key")
	c.Time(k.ValidFrom, at+".validFrom")
	c.That(k.ValidUntil.IsZero() || k.ValidUntil.After(k.ValidFrom), at+".validUntil", "must be later than validFrom")
}

func (r Root) checkRoles(c *strict.Checker) {
	allowed := []Role{Author, ClinicalReviewer, CI, RootAdmin}
	if r.RootKind == TenantRoot {
		allowed = []Role{Operator, Approver, Revoker, Auditor, RootAdmin}
	}
	listed := map[PersonID]bool{}
	for _, p := range r.Persons {
		listed[p.ID] = true
	}
	for _, role := range slices.Sorted(maps.Keys(r.Roles)) {
		rule := r.Roles[role]
		at := "roles." + string(role)
		if !slices.Contains(allowed, role) {
			c.Fail("roles", fmt.Sprintf("a %s root has only the roles %v", r.RootKind, allowed))
			return
		}
		c.That(rule.Threshold >= 1, at+".threshold", "must be at least 1")
		c.That(rule.Threshold <= len(rule.Persons), at+".threshold", "is more than the persons listed")
		c.That(strict.Distinct(rule.Persons), at+".persons", "each person once")
		for _, id := range rule.Persons {
			c.That(listed[id], at+".persons", "names somebody who is not in persons")
		}
	}
	_, ok := r.Roles[RootAdmin]
	c.That(ok, "roles", "every root needs root-admin")
}

// Names returns everything p goes by, id first, in a form that compares across roots
// ([Canonical]): two persons who share a name are one.
func (p Person) Names() []string {
	names := make([]string, 0, 1+len(p.Identities)+len(p.Keys))
	for _, id := range append([]string{string(p.ID)}, p.Identities...) {
		names = append(names, folded(id))
	}
	for _, k := range p.Keys {
		names = append(names, "key:"+string(k.KeyID))
	}
	return names
}
