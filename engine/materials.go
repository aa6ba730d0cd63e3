package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
)

// Materials holds the artefacts that decisions are made with, each under its
// digest: compiled packs, terminologies, tenant policies. A pack is compiled
// once and shared by all tenants. Materials only grows; it is safe for
// concurrent use.
type Materials struct {
	mu        sync.RWMutex
	programs  map[rulepacks.Digest]*Program
	terms     map[rulepacks.Digest]*clinical.Terminology
	policies  map[string]*tenant.Policy
	snapshots map[string]*Snapshot

	history *history // nil unless made from a release log; not changed
}

// NewMaterials returns an empty shelf.
func NewMaterials() *Materials {
	return &Materials{programs: map[rulepacks.Digest]*Program{}, terms: map[rulepacks.Digest]*clinical.Terminology{},
		policies: map[string]*tenant.Policy{}, snapshots: map[string]*Snapshot{}}
}

// AddPack compiles a pack, or takes in a terminology, unless it is there.
func (m *Materials) AddPack(pack *rulepacks.Pack) error {
	m.mu.RLock()
	_, isProgram := m.programs[pack.Digest]
	_, isTerms := m.terms[pack.Digest]
	m.mu.RUnlock()
	if isProgram || isTerms {
		return nil
	}
	if pack.Manifest.Kind == rulepacks.KindTerminology {
		t, err := clinical.NewTerminology(pack)
		if err != nil {
			return fmt.Errorf("loading terminology %s: %w (%w)", pack.Manifest.Name, err, ErrPack)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.terms[pack.Digest] = t
		return nil
	}
	if pack.Manifest.Library != clinical.Major {
		return fmt.Errorf("loading pack %s: it needs clinical library %s, this program has %s; use a node that has it (%w)",
			pack.Manifest.Name, pack.Manifest.Library, clinical.Version, ErrPack)
	}
	p, err := Compile(pack)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.programs[pack.Digest] = p
	return nil
}

// Pack returns the pack under a digest, nil if it was not added.
func (m *Materials) Pack(d rulepacks.Digest) *rulepacks.Pack {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if p := m.programs[d]; p != nil {
		return p.pack
	}
	if t := m.terms[d]; t != nil {
		return t.Pack()
	}
	return nil
}

// AddPolicy takes in a tenant policy under the digest of its statement.
func (m *Materials) AddPolicy(digest string, raw []byte) (*tenant.Policy, error) {
	p, err := tenant.Parse(raw)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policies[digest] = p
	return p, nil
}

// maxSnapshots bounds the cache of snapshots that replays go through.
const maxSnapshots = 64

// Snapshot returns the packs of a release as set by a policy, ready to decide.
func (m *Materials) Snapshot(rel decision.Release, pol decision.Policy) (*Snapshot, error) {
	key, err := jsonv2.Marshal([]any{rel, pol}, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("naming snapshot: %w", err)
	}
	m.mu.RLock()
	s := m.snapshots[string(key)]
	m.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	if s, err = m.build(rel, pol); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.snapshots) >= maxSnapshots {
		clear(m.snapshots)
	}
	m.snapshots[string(key)] = s
	return s, nil
}

func (m *Materials) build(rel decision.Release, pol decision.Policy) (*Snapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := &Snapshot{release: rel, policyRef: pol, policy: m.policies[pol.Digest]}
	if s.policy == nil {
		return nil, fmt.Errorf("building snapshot: tenant policy %s is not at hand: %w", pol.Digest, ErrNotReady)
	}
	var err error
	if s.zone, err = dates.Zone(s.policy.Zone); err != nil {
		return nil, fmt.Errorf("building snapshot: %w", err)
	}
	if t := rel.Terminology; t != nil {
		if s.terms = m.terms[rulepacks.Digest(t.Digest)]; s.terms == nil {
			return nil, fmt.Errorf("building snapshot: terminology %s %s is not at hand: %w", t.Name, t.Digest, ErrNotReady)
		}
	}
	for _, ref := range rel.Packs {
		p := m.programs[rulepacks.Digest(ref.Digest)]
		if p == nil {
			return nil, fmt.Errorf("building snapshot: pack %s %s is not at hand: %w", ref.Name, ref.Digest, ErrNotReady)
		}
		bound, err := clinical.Bind(p.pack, s.policy.Parameters[ref.Name])
		if err != nil {
			return nil, err
		}
		s.packs = append(s.packs, livePack{Program: p, bound: bound, ref: ref})
	}
	for name := range s.policy.Parameters {
		if !slices.ContainsFunc(rel.Packs, func(r decision.Ref) bool { return r.Name == name }) {
			s.unusedParameters = append(s.unusedParameters, name)
		}
	}
	slices.Sort(s.unusedParameters)
	return s, nil
}

// Decide makes the decision that in describes, from the materials it names. It
// is a pure function of both: it reads no clock and never times anything; the
// pairs named in in.Cut are not evaluated.
func (m *Materials) Decide(ctx context.Context, in *decision.Inputs) (*decision.Decision, error) {
	if in.Engine.Library != clinical.Version {
		return nil, fmt.Errorf("deciding: %w: %s, this program has %s; use one that has it", ErrLibrary, in.Engine.Library, clinical.Version)
	}
	s, err := m.Snapshot(in.Release, in.Policy)
	if err != nil {
		return nil, err
	}
	req, err := s.parse(in)
	if err != nil {
		return nil, err
	}
	d, err := s.decide(ctx, in, req, 0)
	if err == nil && ctx.Err() != nil { // what was cut by that says nothing
		return nil, fmt.Errorf("deciding: %w", ctx.Err())
	}
	return d, err
}
