package signing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// TrustRoot says who may sign what. A publisher root speaks for packs, a tenant root
// for one tenant. Version N+1 is signed by the root-admin thresholds of N and N+1.
type TrustRoot struct {
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
}

// RootKind tells the two kinds of trust root apart.
type RootKind string

// The kinds of trust root.
const (
	PublisherRoot RootKind = "publisher"
	TenantRoot    RootKind = "tenant"
)

// Role is what a person may do.
type Role string

// The roles. The first two belong to publisher roots together with CI; the next four
// to tenant roots; every root has root-admins.
const (
	Author           Role = "author"
	ClinicalReviewer Role = "clinical-reviewer"
	CI               Role = "ci"
	Operator         Role = "operator"
	Approver         Role = "approver"
	Revoker          Role = "revoker"
	Auditor          Role = "auditor"
	RootAdmin        Role = "root-admin"
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
	// Identities are other names of the same person, such as an ORCID or an address at
	// another organisation. They equate persons across roots, whatever the letter case.
	Identities []string    `json:"identities"`
	Keys       []PersonKey `json:"keys"`
}

// PersonKey is a key and the time in which its signatures count, judged by the log's
// time of the statement.
type PersonKey struct {
	KeyID        KeyID     `json:"keyId"`
	Algorithm    Algorithm `json:"algorithm"`
	PublicKeyPEM string    `json:"publicKeyPem"`
	ValidFrom    time.Time `json:"validFrom"`
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
func NewPersonKey(key PublicKey, from, until time.Time) PersonKey {
	return PersonKey{KeyID: key.ID(), Algorithm: key.Algorithm(), PublicKeyPEM: string(key.PEM()), ValidFrom: from, ValidUntil: until}
}

// Kind returns [KindTrustRoot].
func (TrustRoot) Kind() Kind { return KindTrustRoot }

func (r TrustRoot) check(c *checker) {
	c.that(r.RootKind == PublisherRoot || r.RootKind == TenantRoot, "kind", "expected publisher or tenant")
	c.name(r.Name, namePattern, "name")
	c.seq(r.Version, "version")
	c.time(r.IssuedAt, "issuedAt")
	c.that(r.Expires.After(r.IssuedAt), "expires", "must be later than issuedAt")
	c.list(len(r.Persons), "persons")
	if c.err != nil {
		return
	}
	r.checkPersons(c)
	r.checkRoles(c)
	c.list(len(r.TrustedPublishers), "trustedPublishers")
	c.that(r.RootKind == TenantRoot || len(r.TrustedPublishers) == 0, "trustedPublishers", "only a tenant root trusts publishers")
	names := make([]Publisher, len(r.TrustedPublishers))
	for i, p := range r.TrustedPublishers {
		names[i] = p.Name
		c.name(string(p.Name), namePattern, fmt.Sprintf("trustedPublishers[%d].name", i))
		c.name(string(p.Root), digestPattern, fmt.Sprintf("trustedPublishers[%d].root", i))
	}
	c.that(distinct(names), "trustedPublishers", "each publisher once")
}

// checkPersons makes sure that counting persons cannot be fooled inside one root: no
// id, identity or key belongs to two of them.
func (r TrustRoot) checkPersons(c *checker) {
	owner := map[string]int{}
	for i, p := range r.Persons {
		field := fmt.Sprintf("persons[%d]", i)
		c.name(string(p.ID), personPattern, field+".id")
		c.text(p.Name, field+".name", true)
		c.list(len(p.Identities), field+".identities")
		for _, identity := range p.Identities {
			c.name(identity, aliasPattern, field+".identities")
		}
		c.list(len(p.Keys), field+".keys")
		for k, key := range p.Keys {
			key.check(c, fmt.Sprintf("%s.keys[%d]", field, k))
		}
		for _, name := range p.names() {
			if other, taken := owner[name]; taken && other != i {
				c.fail(field, fmt.Sprintf("shares an id, identity or key with persons[%d]; list one person once", other))
			}
			owner[name] = i
		}
	}
}

func (k PersonKey) check(c *checker, field string) {
	if c.err != nil {
		return
	}
	key, err := ParsePublicKey([]byte(k.PublicKeyPEM))
	if err != nil {
		c.err = fmt.Errorf("field %s.publicKeyPem: %w", field, err)
		return
	}
	c.that(key.ID() == k.KeyID, field+".keyId", "is not the SHA-256 of the public key")
	c.that(key.Algorithm() == k.Algorithm, field+".algorithm", "is not the algorithm of the public key")
	c.time(k.ValidFrom, field+".validFrom")
	c.that(k.ValidUntil.IsZero() || k.ValidUntil.After(k.ValidFrom), field+".validUntil", "must be later than validFrom")
}

func (r TrustRoot) checkRoles(c *checker) {
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
		field := "roles." + string(role)
		if !slices.Contains(allowed, role) {
			c.fail("roles", fmt.Sprintf("a %s root has only the roles %v", r.RootKind, allowed))
			return
		}
		c.that(rule.Threshold >= 1, field+".threshold", "must be at least 1")
		c.that(rule.Threshold <= len(rule.Persons), field+".threshold", "more than the persons listed")
		c.that(distinct(rule.Persons), field+".persons", "each person once")
		for _, id := range rule.Persons {
			c.that(listed[id], field+".persons", "names somebody who is not in persons")
		}
	}
	_, ok := r.Roles[RootAdmin]
	c.that(ok, "roles", "every root needs root-admin")
}

// has reports whether person is listed for role.
func (r TrustRoot) has(role Role, person PersonID) bool {
	return slices.Contains(r.Roles[role].Persons, person)
}

// names returns everything p goes by, in a form that compares across roots.
func (p Person) names() []string {
	names := make([]string, 0, 1+len(p.Identities)+len(p.Keys))
	for _, id := range append([]string{string(p.ID)}, p.Identities...) {
		names = append(names, foldName(id))
	}
	for _, k := range p.Keys {
		names = append(names, "key:"+string(k.KeyID))
	}
	return names
}

func foldName(id string) string { return strings.TrimPrefix(strings.ToLower(id), "mailto:") }

// root is a trust root as accepted: indexed by key.
type root struct {
	TrustRoot
	digest Digest // of the payload
	pinned Digest // of the first accepted version; publishers only
	keys   map[KeyID]rootKey
}

type rootKey struct {
	public PublicKey
	listed PersonKey
	person *Person
}

func newRoot(r TrustRoot, digest Digest) (*root, error) {
	indexed := &root{TrustRoot: r, digest: digest, keys: map[KeyID]rootKey{}}
	for i := range r.Persons {
		for _, k := range r.Persons[i].Keys {
			public, err := ParsePublicKey([]byte(k.PublicKeyPEM))
			if err != nil {
				return nil, err
			}
			indexed.keys[k.KeyID] = rootKey{public: public, listed: k, person: &r.Persons[i]}
		}
	}
	return indexed, nil
}

// publisher returns the publisher a root speaks for; empty for a tenant root.
func (r *root) publisher() Publisher {
	if r.RootKind == TenantRoot {
		return ""
	}
	return Publisher(r.Name)
}

// valid reports whether a signature by k counts at the log's time.
func (k rootKey) valid(at time.Time) bool {
	return !at.Before(k.listed.ValidFrom) && (k.listed.ValidUntil.IsZero() || at.Before(k.listed.ValidUntil))
}
