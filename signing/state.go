package signing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// State is what a tenant's release log amounts to after some entries. It is never
// changed: readers may share it, and [State.Apply] returns another.
type State struct {
	tenant Tenant
	region Region
	pin    Digest
	nodes  map[KeyID]PublicKey

	size        uint64
	root        *root // nil before the first entry
	publishers  map[Publisher]*root
	policy      Policy
	releases    map[Digest]*release // by SHA-256 of pack.tar
	packs       map[Pack]packLine
	activations map[Pack]standing
	stops       map[Digest]stop // open suspensions, by payload digest
	lifted      map[Digest]bool // suspensions that were lifted: none may be replayed
	revoked     map[Target]bool // final
}

// packLine is the succession of a pack's releases.
type packLine struct {
	publisher Publisher
	seq       uint64
	latest    Digest
}

// standing is the succession of a pack's activations.
type standing struct {
	seq  uint64
	live *live // nil when none stands
}

// vote is a signature that counted, kept so that a later revocation can find what
// rests on it.
type vote struct {
	publisher Publisher // whose root lists the person; empty for the tenant's own
	person    PersonID
	names     []string // as the root declared them when the person signed
	key       KeyID
	at        time.Time
}

type release struct {
	Release
	authors []vote
	reviews []reviewVote // the latest of each person
}

type reviewVote struct {
	vote
	review ClinicalReview
}

type live struct {
	Activated
	rests []vote
}

// stop is an open suspension: of a rule or pack, or of a target.
type stop struct {
	pack   Pack
	rule   string
	target Target // zero for rules and packs
}

// Policy is the tenant policy in force.
type Policy struct {
	// Raw is the policy object of the statement.
	Raw jsontext.Value
	// Seq is the policy's sequence number, 0 when there is none yet.
	Seq uint64
	// Digest is that of the statement's payload.
	Digest Digest
}

// Release is a pack as its author released it, with who vouches for it.
type Release struct {
	// Statement is the digest of the release statement's payload.
	Statement Digest
	Archive   PackDigest
	PackRelease
	// LoggedAt is the log's time of the release.
	LoggedAt time.Time
	Authors  []PersonID
	Reviews  []Review
}

// Review is the latest judgement of one reviewer on a release.
type Review struct {
	Reviewer PersonID
	// Publisher is the root that lists the reviewer.
	Publisher Publisher
	ClinicalReview
	LoggedAt time.Time
}

// Activated is an activation that stands.
type Activated struct {
	// Statement is the digest of the activation statement's payload.
	Statement Digest
	Archive   PackDigest
	Activation
	LoggedAt  time.Time
	Approvers []PersonID
}

// NewState returns the state of an empty log. Root is the payload digest of the
// tenant's first trust root, received out of band. NodeKeys are all keys, past and
// present, with which nodes of the region sign suspensions.
func NewState(tenant Tenant, region Region, root Digest, nodeKeys ...PublicKey) (*State, error) {
	c := &checker{}
	c.name(string(tenant), namePattern, "tenant")
	c.name(string(region), namePattern, "region")
	c.name(string(root), digestPattern, "root digest")
	if c.err != nil {
		return nil, fmt.Errorf("starting release state: %w", c.err)
	}
	nodes := map[KeyID]PublicKey{}
	for _, key := range nodeKeys {
		nodes[key.ID()] = key
	}
	return &State{tenant: tenant, region: region, pin: root, nodes: nodes}, nil
}

// Size returns how many entries were applied.
func (s *State) Size() uint64 { return s.size }

// Root returns the tenant's trust root and the digest of its payload; both are zero
// before the first entry. The value is shared: do not change what it points to.
func (s *State) Root() (TrustRoot, Digest) {
	if s.root == nil {
		return TrustRoot{}, ""
	}
	return s.root.TrustRoot, s.root.digest
}

// PublisherRoot returns the root of a trusted publisher, and whether one was accepted.
// The value is shared: do not change what it points to.
func (s *State) PublisherRoot(name Publisher) (TrustRoot, Digest, bool) {
	r, ok := s.publishers[name]
	if !ok {
		return TrustRoot{}, "", false
	}
	return r.TrustRoot, r.digest, true
}

// Person returns who of the tenant's root holds a key, and the key itself, if a
// signature by it counts at this time. An unlisted key is [ErrUntrustedSigner], one
// outside its validity [ErrExpired], one out of service [ErrRevoked]. Persons of
// publisher roots are never returned: their ids are chosen by the publisher.
func (s *State) Person(key KeyID, at time.Time) (Person, PublicKey, error) {
	if s.root == nil {
		return Person{}, PublicKey{}, fmt.Errorf("%w: the tenant has no trust root yet", ErrUntrustedSigner)
	}
	k, err := s.usable(s.root, key, at)
	if err != nil {
		return Person{}, PublicKey{}, err
	}
	return *k.person, k.public, nil
}

// HasRole reports whether the tenant's root gives a person a role and the person is
// not out of service.
func (s *State) HasRole(person PersonID, role Role) bool {
	if s.root == nil || !s.root.has(role, person) {
		return false
	}
	for _, p := range s.root.Persons {
		if p.ID == person {
			return !s.stoppedPerson(p.names())
		}
	}
	return false
}

// Policy returns the tenant policy in force, and whether there is one. The raw bytes
// are shared: do not change them.
func (s *State) Policy() (Policy, bool) { return s.policy, s.policy.Seq > 0 }

// Live returns the standing activations sorted by pack, without packs that are out of
// service. Activation times are for the caller to compare with its own time.
func (s *State) Live() []Activated {
	var list []Activated
	for _, pack := range slices.Sorted(maps.Keys(s.activations)) {
		a := s.activations[pack].live
		if a == nil || s.stopped(Target{TargetDigest, string(a.Archive.SHA256)}) || s.Suspended(pack, "") {
			continue
		}
		list = append(list, a.Activated)
	}
	return list
}

// Standing returns the sequence number of a pack's last activation and the digest that
// stands, empty if none does: what the next activation has to follow. It includes
// activations that [State.Live] leaves out because of a suspension.
func (s *State) Standing(pack Pack) (seq uint64, digest Digest) {
	a := s.activations[pack]
	if a.live != nil {
		digest = a.live.Archive.SHA256
	}
	return a.seq, digest
}

// Release returns the release of an archive by the SHA-256 of its pack.tar.
func (s *State) Release(pack Digest) (Release, bool) {
	r, ok := s.releases[pack]
	if !ok {
		return Release{}, false
	}
	return r.describe(), true
}

// Latest returns the sequence number and pack.tar SHA-256 of a pack's newest release:
// what the next release has to follow. Both are zero if none was released here.
func (s *State) Latest(pack Pack) (seq uint64, digest Digest) {
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
func (s *State) Suspended(pack Pack, rule string) bool {
	for _, open := range s.stops {
		if open.pack == pack && open.target == (Target{}) && (open.rule == "" || open.rule == rule) {
			return true
		}
	}
	return false
}

// Stop is an open suspension, to be lifted by a resumption that names Digest.
type Stop struct {
	Digest Digest
	// Pack and Rule are of a suspension; an empty Rule means the whole pack.
	Pack Pack
	Rule string
	// Target is of a revocation with action suspend.
	Target Target
}

// Stops returns the open suspensions, sorted by digest.
func (s *State) Stops() []Stop {
	list := make([]Stop, 0, len(s.stops))
	for digest, open := range s.stops {
		list = append(list, Stop{Digest: digest, Pack: open.pack, Rule: open.rule, Target: open.target})
	}
	slices.SortFunc(list, func(a, b Stop) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return list
}

// Revoked reports whether a target is out of use, for good or by an open suspension.
func (s *State) Revoked(t Target) bool { return s.stopped(t) }

func (s *State) stopped(t Target) bool {
	if s.revoked[t] {
		return true
	}
	for _, open := range s.stops {
		if open.target == t {
			return true
		}
	}
	return false
}

// stoppedPerson takes every name of a person: who was revoked under one name may not
// go on under another that the root declares to be the same person.
func (s *State) stoppedPerson(names []string) bool {
	for _, name := range names {
		if s.stopped(Target{TargetPerson, name}) {
			return true
		}
	}
	return false
}

func persons(votes []vote) []PersonID {
	var ids []PersonID
	for _, v := range votes {
		if !slices.Contains(ids, v.person) {
			ids = append(ids, v.person)
		}
	}
	slices.Sort(ids)
	return ids
}
