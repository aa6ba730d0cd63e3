package decide

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Materials holds the artefacts that decisions are made with, each under its
// digest: packs, terminologies, tenant policies. A pack is compiled once and
// shared by all tenants. But for its cache of snapshots Materials only grows; it
// is safe for concurrent use.
type Materials struct {
	libraries []*clinical.Library // oldest first; not changed
	prove     Prover              // nil if packs are tried in this process; not changed
	plain     bool                // rules have no plans, for tests; not changed

	mu       sync.RWMutex
	outlines map[rulepacks.Digest]*outline
	programs map[build]*Program
	terms    map[rulepacks.Digest]*clinical.Terminology
	maps     map[rulepacks.Digest]*clinical.CodeMap
	policies map[string]*tenant.Policy
	verdicts map[verdict]judged // of golden cases, and of a prover

	snapshots *lru.Cache[string, *Snapshot]
	history   *history // nil unless made from a release log; not changed
}

// build names a pack compiled with one version of the clinical library.
type build struct {
	pack    rulepacks.Digest
	library string
}

// verdict names a run of golden cases, or a trial without them.
type verdict struct {
	build
	terms rulepacks.Digest
}

// judged is what running the cases of a pack came to.
type judged struct {
	err   error
	shown map[wanted]bool
}

// maxSnapshots bounds the cache of snapshots that replays go through.
const maxSnapshots = 64

// NewMaterials returns an empty shelf for packs of some versions of the clinical
// library, oldest first; without any named, of those that the program has.
func NewMaterials(libraries ...*clinical.Library) *Materials {
	if len(libraries) == 0 {
		libraries = clinical.Libraries()
	}
	snapshots, err := lru.New[string, *Snapshot](maxSnapshots)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &Materials{libraries: libraries, outlines: map[rulepacks.Digest]*outline{}, programs: map[build]*Program{},
		terms: map[rulepacks.Digest]*clinical.Terminology{}, maps: map[rulepacks.Digest]*clinical.CodeMap{},
		policies: map[string]*tenant.Policy{}, verdicts: map[verdict]judged{}, snapshots: snapshots}
}

// ProveWith has packs tried by a prover before they are compiled here. It is called
// before anything else.
func (m *Materials) ProveWith(p Prover) { m.prove = p }

// AddPack takes in a pack, a terminology or a code map, unless it is there. A pack is not
// compiled by it: one that cannot be run is still good for naming its rules. A
// terminology that cannot be read is [ErrPack].
func (m *Materials) AddPack(pack *rulepacks.Pack) error {
	if m.Pack(pack.Digest) != nil {
		return nil
	}
	if pack.Manifest.Kind == manifest.KindTerminology {
		t, err := clinical.NewTerminology(pack)
		if err != nil {
			return fmt.Errorf("loading terminology %s: %w (%w)", pack.Manifest.Name, err, ErrPack)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.terms[pack.Digest] = t
		return nil
	}
	if pack.Manifest.Kind == manifest.KindCodeMap {
		c := clinical.NewCodeMap(pack)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.maps[pack.Digest] = c
		return nil
	}
	o := newOutline(pack)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outlines[pack.Digest] = o
	return nil
}

// Pack returns the pack under a digest, nil if it was not added.
func (m *Materials) Pack(d rulepacks.Digest) *rulepacks.Pack {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if o := m.outlines[d]; o != nil {
		return o.pack
	}
	if t := m.terms[d]; t != nil {
		return t.Pack()
	}
	if c := m.maps[d]; c != nil {
		return c.Pack()
	}
	return nil
}

// Program returns a pack compiled with one version of the clinical library. The
// error is [ErrMissing], [ErrLibrary] or [ErrPack].
func (m *Materials) Program(d rulepacks.Digest, library string) (*Program, error) {
	key := build{d, library}
	m.mu.RLock()
	o, p := m.outlines[d], m.programs[key]
	m.mu.RUnlock()
	lib, ok := m.library(library)
	switch {
	case o == nil:
		return nil, fmt.Errorf("compiling pack %s: %w", d, ErrMissing)
	case !ok:
		return nil, fmt.Errorf("compiling pack %s: %w", o.pack.Manifest.Name, m.lacks(library))
	case p != nil:
		return p, nil
	}
	p, err := compile(lib, o.pack, m.plain)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.programs[key] = p
	return p, nil
}

// Newest returns the newest library of the materials.
func (m *Materials) Newest() *clinical.Library { return m.libraries[len(m.libraries)-1] }

func (m *Materials) library(version string) (*clinical.Library, bool) {
	for _, l := range m.libraries {
		if l.Version() == version {
			return l, true
		}
	}
	return nil, false
}

// newestFor returns the newest library that a pack can be used with.
func (m *Materials) newestFor(pack *rulepacks.Pack) (*clinical.Library, error) {
	for _, l := range slices.Backward(m.libraries) {
		if l.Major() == pack.Manifest.Library {
			return l, nil
		}
	}
	return nil, fmt.Errorf("loading pack %s: %w (%w)", pack.Manifest.Name, m.lacks(pack.Manifest.Library), ErrPack)
}

// lacks says that a version of the library is not at hand, and which are.
func (m *Materials) lacks(version string) error {
	var have []string
	for _, l := range m.libraries {
		have = append(have, l.Version())
	}
	return fmt.Errorf("%w: %s, this program has %s; use one that has it, or approve the pack anew",
		ErrLibrary, version, strings.Join(have, ", "))
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

// NotRunnable says that a pack in force cannot be run here, and why.
type NotRunnable struct {
	Pack string
	Why  decision.Why
	Err  error
}

// Error names the pack and the cause.
func (n *NotRunnable) Error() string {
	return fmt.Sprintf("pack %s cannot be run here: %v", n.Pack, n.Err)
}

// Unwrap returns the cause.
func (n *NotRunnable) Unwrap() error { return n.Err }

// Fit checks a pack in force against this program: whether it can be run with the
// tenant's parameters and the terminology that is live, and whether its golden
// cases hold. It returns nil, a [*NotRunnable], [ErrNotTried], or the error of ctx.
//
// With a [Prover] nothing is compiled and no case is run here before the prover has
// done both.
func (m *Materials) Fit(ctx context.Context, ref decision.Ref, params map[string]jsontext.Value,
	terms *decision.Ref) error {
	not := func(why decision.Why, err error) error { return &NotRunnable{Pack: ref.Name, Why: why, Err: err} }
	pack := m.Pack(rulepacks.Digest(ref.Digest))
	if _, ok := m.library(ref.Library); pack != nil && !ok {
		return not(decision.WhyLibrary, fmt.Errorf("compiling pack %s: %w", pack.Manifest.Name, m.lacks(ref.Library)))
	}
	with, mismatch := m.terminology(pack, terms)
	var proof error
	if m.prove != nil && pack != nil {
		if proof = m.verdict(ctx, pack, ref.Library, with); ctx.Err() != nil || errors.Is(proof, ErrNotTried) {
			return proof
		}
		if proof != nil && !errors.Is(proof, ErrCases) {
			return not(decision.WhyCode, proof)
		}
	}
	p, err := m.Program(rulepacks.Digest(ref.Digest), ref.Library)
	switch {
	case errors.Is(err, ErrMissing):
		return not(decision.WhyMissing, err)
	case err != nil:
		return not(decision.WhyCode, err)
	}
	if _, err := p.code.Bind(params); err != nil {
		return not(decision.WhyParameters, err)
	}
	if mismatch != nil {
		return not(decision.WhyTerminology, mismatch)
	}
	if with == nil {
		return nil // drugs are unknown then, and rules say so
	}
	if m.prove == nil {
		if proof = m.verdict(ctx, p.pack, ref.Library, with); ctx.Err() != nil {
			return proof
		}
	}
	if proof != nil {
		return not(decision.WhyCases, proof)
	}
	return nil
}

// terminology returns what the golden cases of a pack are run with, nil without any,
// and why a pack cannot be run with what is live.
func (m *Materials) terminology(pack *rulepacks.Pack, terms *decision.Ref) (*rulepacks.Pack, error) {
	if terms == nil || pack == nil {
		return nil, nil
	}
	m.mu.RLock()
	t := m.terms[rulepacks.Digest(terms.Digest)]
	m.mu.RUnlock()
	if t == nil {
		return nil, fmt.Errorf("loading terminology %s: %w", terms.Name, ErrMissing)
	}
	if release := t.Pack().Terminology.Release; !pack.Manifest.Terminology.Includes(release) {
		return nil, fmt.Errorf("it was not tested with terminology release %s", release)
	}
	return t.Pack(), nil
}

// verdict finds out whether the golden cases of a pack hold, once for each terminology;
// with a prover also whether it compiles, which is all it asks without a terminology.
func (m *Materials) verdict(ctx context.Context, pack *rulepacks.Pack, library string, terms *rulepacks.Pack) error {
	key := verdict{build: build{pack.Digest, library}}
	if terms != nil {
		key.terms = terms.Digest
	}
	m.mu.RLock()
	was, known := m.verdicts[key]
	m.mu.RUnlock()
	if known {
		return was.err
	}
	var err error
	var results []CaseResult
	if m.prove != nil {
		t := Trial{Archive: pack.Archive(), Digest: pack.Digest, Library: library}
		if terms != nil {
			t.Terminology = terms.Archive()
		}
		if err = m.prove(ctx, t); err == nil && terms != nil { // each of them ran and held
			for i := range pack.Cases {
				results = append(results, CaseResult{Case: &pack.Cases[i]})
			}
		}
	} else if results, err = runCases(ctx, m.with(pack, terms), pack, library, terms); err == nil {
		err = judge(pack, results)
	}
	if ctx.Err() != nil { // who was stopped has found nothing
		return cmp.Or(err, ctx.Err())
	}
	if errors.Is(err, ErrNotTried) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verdicts[key] = judged{err, shownBy(results)}
	return err
}

// with returns new materials that share what is known of some packs.
func (m *Materials) with(packs ...*rulepacks.Pack) *Materials {
	out := NewMaterials(m.libraries...)
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, p := range packs {
		if o := m.outlines[p.Digest]; o != nil {
			out.outlines[p.Digest] = o
		}
		if t := m.terms[p.Digest]; t != nil {
			out.terms[p.Digest] = t
		}
		for key, x := range m.programs {
			if key.pack == p.Digest {
				out.programs[key] = x
			}
		}
	}
	return out
}

// maxUnknownCodes is how many codes a refusal of a code map names.
const maxUnknownCodes = 10

// CheckCodeMap checks what a code map says drugs mean against the terminology that is in
// force: a code that it does not have, of a system that it has codes of, is [ErrCodes].
func (m *Materials) CheckCodeMap(rel decision.Release) error {
	if rel.CodeMap == nil || rel.Terminology == nil {
		return nil
	}
	m.mu.RLock()
	codes, terms := m.maps[rulepacks.Digest(rel.CodeMap.Digest)], m.terms[rulepacks.Digest(rel.Terminology.Digest)]
	m.mu.RUnlock()
	if codes == nil || terms == nil {
		return nil // marked as missing
	}
	var unknown []string
	table := terms.Table()
	for _, c := range codes.Pack().CodeMap.Codes {
		for _, to := range c.To {
			if c.Kind != vocab.KindMedication || !slices.Contains(table.Systems(), to.System) {
				continue
			}
			if found, ok := table.Lookup(to.System, to.Code); !ok || !found.Concept.IsDrug() {
				unknown = append(unknown, fmt.Sprintf("%s (%s of %s)", c.Code, to.Code, to.System))
			}
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	more := ""
	if n := len(unknown) - maxUnknownCodes; n > 0 {
		unknown, more = unknown[:maxUnknownCodes], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("checking code map %s: release %s of %s has no drug for %s%s: %w; map them to codes that it has",
		rel.CodeMap.Name, table.Release(), rel.Terminology.Name, strings.Join(unknown, ", "), more, ErrCodes)
}

// Snapshot returns the packs of a release as set by a policy, ready to decide.
// The error is [ErrMissing] if something it names was not added, and [ErrPack] or
// [ErrLibrary] if a pack that the release says was run cannot be run here.
func (m *Materials) Snapshot(rel decision.Release, pol decision.Policy) (*Snapshot, error) {
	key, err := jsonv2.Marshal([]any{rel, pol}, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("naming snapshot: %w", err)
	}
	if s, ok := m.snapshots.Get(string(key)); ok {
		return s, nil
	}
	s, err := m.build(rel, pol)
	if err != nil {
		return nil, fmt.Errorf("building snapshot: %w", err)
	}
	m.snapshots.Add(string(key), s)
	return s, nil
}

func (m *Materials) build(rel decision.Release, pol decision.Policy) (*Snapshot, error) {
	m.mu.RLock()
	s := &Snapshot{release: rel, policyRef: pol, policy: m.policies[pol.Digest]}
	if t := rel.Terminology; t != nil && t.Mode == decision.Active {
		s.terms = m.terms[rulepacks.Digest(t.Digest)]
	}
	if c := rel.CodeMap; c != nil && c.Mode == decision.Active {
		s.codes = m.maps[rulepacks.Digest(c.Digest)]
	}
	m.mu.RUnlock()
	if s.policy == nil {
		return nil, fmt.Errorf("tenant policy %s: %w", pol.Digest, ErrMissing)
	}
	if t := rel.Terminology; t != nil && t.Mode == decision.Active && s.terms == nil {
		return nil, fmt.Errorf("terminology %s %s: %w", t.Name, t.Digest, ErrMissing)
	}
	if c := rel.CodeMap; c != nil && c.Mode == decision.Active && s.codes == nil {
		return nil, fmt.Errorf("code map %s %s: %w", c.Name, c.Digest, ErrMissing)
	}
	var err error
	if s.zone, err = dates.Zone(s.policy.Zone); err != nil {
		return nil, err
	}
	for _, ref := range rel.Packs {
		p, err := m.part(ref, s.policy)
		if err != nil {
			return nil, err
		}
		s.packs = append(s.packs, p)
	}
	for name := range s.policy.Parameters {
		if !slices.ContainsFunc(rel.Packs, func(r decision.Ref) bool { return r.Name == name }) {
			s.unused = append(s.unused, name)
		}
	}
	slices.Sort(s.unused)
	return s, nil
}

// part makes one pack of a snapshot ready. Of a pack whose archive the deciding
// node did not have, nothing is known, even where it is at hand now.
func (m *Materials) part(ref decision.Ref, policy *tenant.Policy) (*Part, error) {
	p := &Part{Ref: ref, outline: &outline{}}
	if ref.Why == decision.WhyMissing {
		return p, nil
	}
	digest := rulepacks.Digest(ref.Digest)
	m.mu.RLock()
	o := m.outlines[digest]
	m.mu.RUnlock()
	if o == nil {
		return nil, fmt.Errorf("pack %s %s: %w", ref.Name, ref.Digest, ErrMissing)
	}
	p.outline = o
	if ref.Mode != decision.Active {
		return p, nil
	}
	var err error
	if p.program, err = m.Program(digest, ref.Library); err != nil {
		return nil, err
	}
	p.bound, err = p.program.code.Bind(policy.Parameters[ref.Name])
	return p, err
}

// Decide makes the decision that in describes, from the materials it names. It
// is a pure function of both: it reads no clock and never times anything; the
// pairs named in in.Cut are not evaluated.
func (m *Materials) Decide(ctx context.Context, in *decision.Inputs) (*decision.Decision, error) {
	return m.decide(ctx, in, Times{})
}

// decide is Decide within some times.
func (m *Materials) decide(ctx context.Context, in *decision.Inputs, times Times) (*decision.Decision, error) {
	if _, ok := m.library(in.Engine.Library); !ok {
		return nil, fmt.Errorf("deciding: %w", m.lacks(in.Engine.Library))
	}
	s, err := m.Snapshot(in.Release, in.Policy)
	if err != nil {
		return nil, fmt.Errorf("deciding: %w", err)
	}
	req, err := s.Parse(in.Client, in.Request)
	if err != nil {
		return nil, err
	}
	d, err := s.Decide(ctx, in, req, times)
	if err == nil && ctx.Err() != nil { // what was cut by that says nothing
		return nil, fmt.Errorf("deciding: %w", ctx.Err())
	}
	return d, err
}
