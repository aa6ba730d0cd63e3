package signing

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/signing/internal/strict"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// State is what a tenant's release log amounts to after some entries. It is never
// changed: readers may share it, and [State.Apply] returns another.
type State struct {
	tenant statement.Tenant
	region statement.Region
	pin    trust.Digest

	size        uint64
	root        *root // nil before the first entry
	publishers  map[trust.Publisher]*root
	policy      Policy
	home        *home                     // by the newest placement; nil when there is none, or it was withdrawn
	epoch       uint64                    // of the newest placement
	regionKeys  map[keys.ID]bool          // that any placement pinned: none may become a person's
	releases    map[trust.Digest]*release // by SHA-256 of pack.tar
	packs       map[statement.Pack]packLine
	activations map[statement.Pack]succession
	suspensions map[trust.Digest]OpenSuspension // by payload digest
	lifted      map[trust.Digest]bool           // suspensions that were lifted: none may be replayed
	revoked     map[statement.Target]bool       // final
}

// packLine is what a pack's next release has to follow.
type packLine struct {
	publisher trust.Publisher
	seq       uint64
	latest    trust.Digest
}

// succession is what a pack's next activation has to follow.
type succession struct {
	seq     uint64
	current *activation // nil when the last one was turned off or withdrawn
}

// vote is a signature that counted, kept so that a later revocation can find what
// rests on it.
type vote struct {
	publisher trust.Publisher // whose root lists the person; empty for the tenant's own
	person    trust.PersonID
	names     []string // as the root declared them when the person signed
	key       keys.ID
	at        time.Time
}

type release struct {
	Release
	authors []vote
	reviews []reviewVote // the latest of each person
}

type reviewVote struct {
	vote
	review statement.ClinicalReview
}

type activation struct {
	Activated
	rests []vote // on whose signatures it rests
}

// Policy is the tenant policy in force.
type Policy struct {
	// Raw is the policy object of the statement.
	Raw jsontext.Value
	// Seq is the policy's sequence number, 0 when there is none yet.
	Seq uint64
	// Digest is that of the statement's payload.
	Digest trust.Digest
}

// Release is a pack as its author released it, with who vouches for it.
type Release struct {
	// Statement is the digest of the release statement's payload.
	Statement trust.Digest
	Archive   statement.PackDigest
	statement.PackRelease
	// LoggedAt is the log's time of the release.
	LoggedAt time.Time
	Authors  []trust.PersonID
	Reviews  []Review
}

// Review is the latest judgement of one reviewer on a release.
type Review struct {
	Reviewer trust.PersonID
	// Publisher is the root that lists the reviewer.
	Publisher trust.Publisher
	statement.ClinicalReview
	LoggedAt time.Time
}

// Activated is the current activation of a pack.
type Activated struct {
	// Statement is the digest of the activation statement's payload.
	Statement trust.Digest
	Archive   statement.PackDigest
	statement.Activation
	LoggedAt  time.Time
	Approvers []trust.PersonID
}

// NewState returns the state of an empty log. Root is the payload digest of the
// tenant's first trust root, received out of band. A name or digest that is not spelled as
// one is [statement.ErrMalformed].
func NewState(t statement.Tenant, r statement.Region, root trust.Digest) (*State, error) {
	var c strict.Checker
	c.Match(string(t), strict.Name, "tenant")
	c.Match(string(r), strict.Name, "region")
	c.Match(string(root), strict.Digest, "root digest")
	if err := c.Err(); err != nil {
		return nil, fmt.Errorf("starting release state: %w: %w", statement.ErrMalformed, err)
	}
	return &State{tenant: t, region: r, pin: root}, nil
}

// Size returns how many entries were applied.
func (s *State) Size() uint64 { return s.size }

// Root returns the tenant's trust root and the digest of its payload; both are zero
// before the first entry. The value is shared: do not change what it points to.
func (s *State) Root() (trust.Root, trust.Digest) {
	if s.root == nil {
		return trust.Root{}, ""
	}
	return s.root.Root, s.root.digest
}

// Person returns who of the tenant's root holds a key, and the key itself, if a
// signature by it counts at this time. An unlisted key is [ErrUntrustedSigner], one
// outside its validity [ErrExpired], one out of service [ErrRevoked]. Persons of
// publisher roots are never returned: their ids are chosen by the publisher.
func (s *State) Person(key keys.ID, at time.Time) (trust.Person, keys.Public, error) {
	if s.root == nil {
		return trust.Person{}, keys.Public{}, fmt.Errorf("%w: the tenant has no trust root yet", ErrUntrustedSigner)
	}
	k, err := s.usable(s.root, key, at)
	if err != nil {
		return trust.Person{}, keys.Public{}, err
	}
	return *k.person, k.public, nil
}

// HasRole reports whether the tenant's root gives a person a role and the person is
// not out of service.
func (s *State) HasRole(person trust.PersonID, role trust.Role) bool {
	if s.root == nil || !s.root.has(role, person) {
		return false
	}
	for _, p := range s.root.Persons {
		if p.ID == person {
			return !s.anyOutOfService(p.Names())
		}
	}
	return false
}

// Policy returns the tenant policy in force, and whether there is one. The raw bytes
// are shared: do not change them.
func (s *State) Policy() (Policy, bool) { return s.policy, s.policy.Seq > 0 }

// Live returns the activations in force, sorted by pack: the current ones whose pack and
// archive are in service. Activation times are for the caller to compare with its own.
func (s *State) Live() []Activated {
	var list []Activated
	for _, pack := range slices.Sorted(maps.Keys(s.activations)) {
		a := s.activations[pack].current
		if a == nil || s.outOfService(archiveTarget(a.Archive)) || s.Suspended(pack, "") {
			continue
		}
		list = append(list, a.Activated)
	}
	return list
}

// Succession returns what the next activation of a pack has to follow: the sequence
// number of the last one, and the pack.tar SHA-256 of the current one, empty if there is
// none. Unlike [State.Live] it includes activations that are suspended.
func (s *State) Succession(pack statement.Pack) (seq uint64, digest trust.Digest) {
	a := s.activations[pack]
	if a.current != nil {
		digest = a.current.Archive.SHA256
	}
	return a.seq, digest
}

// Release returns the release of an archive by the SHA-256 of its pack.tar.
func (s *State) Release(pack trust.Digest) (Release, bool) {
	r, ok := s.releases[pack]
	if !ok {
		return Release{}, false
	}
	return r.describe(), true
}

// Latest returns the sequence number and pack.tar SHA-256 of a pack's newest release:
// what the next release has to follow. Both are zero if none was released here.
func (s *State) Latest(pack statement.Pack) (seq uint64, digest trust.Digest) {
	return s.packs[pack].seq, s.packs[pack].latest
}

func (r *release) describe() Release {
	out := r.Release
	out.Authors = persons(r.authors)
	out.Reviews = make([]Review, len(r.reviews))
	for i, v := range r.reviews {
		out.Reviews[i] = Review{Reviewer: v.person, Publisher: v.publisher, ClinicalReview: v.review, LoggedAt: v.at}
	}
	return out
}

// Suspended reports whether a rule is out of service, alone or with its whole pack. An
// empty rule asks for the whole pack.
func (s *State) Suspended(pack statement.Pack, rule string) bool {
	for _, open := range s.suspensions {
		if open.Pack == pack && (open.Rule == "" || open.Rule == rule) {
			return true
		}
	}
	return false
}

// OpenSuspension is what is out of service until a resumption names its digest.
type OpenSuspension struct {
	// Digest is that of the payload of the suspension, or of the revocation.
	Digest trust.Digest
	// Pack and Rule are of a suspension; an empty Rule means the whole pack.
	Pack statement.Pack
	Rule string
	// Target is of a revocation with action suspend; zero otherwise.
	Target statement.Target
}

// OpenSuspensions returns the open suspensions, sorted by digest.
func (s *State) OpenSuspensions() []OpenSuspension {
	var list []OpenSuspension
	for _, digest := range slices.Sorted(maps.Keys(s.suspensions)) {
		list = append(list, s.suspensions[digest])
	}
	return list
}

// outOfService reports whether a target was taken out of use, for good or until an open
// suspension is lifted.
func (s *State) outOfService(t statement.Target) bool {
	if s.revoked[t] {
		return true
	}
	for _, open := range s.suspensions {
		if open.Target == t {
			return true
		}
	}
	return false
}

// anyOutOfService takes every name of a person: who was revoked under one name may not
// go on under another that the root declares to be the same person.
func (s *State) anyOutOfService(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return s.outOfService(personTarget(name))
	})
}

func archiveTarget(a statement.PackDigest) statement.Target {
	return statement.Target{Type: statement.TargetDigest, Value: string(a.SHA256)}
}

func keyTarget(id keys.ID) statement.Target {
	return statement.Target{Type: statement.TargetKey, Value: string(id)}
}

func personTarget(name string) statement.Target {
	return statement.Target{Type: statement.TargetPerson, Value: name}
}

func persons(votes []vote) []trust.PersonID {
	var ids []trust.PersonID
	for _, v := range votes {
		if !slices.Contains(ids, v.person) {
			ids = append(ids, v.person)
		}
	}
	slices.Sort(ids)
	return ids
}
