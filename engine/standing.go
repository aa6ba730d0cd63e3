package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
)

// standing is what a tenant's release log adds up to.
type standing struct {
	trust    *signing.State
	policy   *tenant.Policy // nil before the first
	snapshot *Snapshot      // nil before the first policy
	until    time.Time      // when an activation ends by itself; zero for never
	why      error          // why there is no snapshot although there is a policy
}

// fold rebuilds what stands from the tenant's release log. It is how a node
// starts, and nothing else is kept of what is live.
func (e *Engine) fold(ctx context.Context, l *live) (*standing, error) {
	trust, err := signing.NewState(signing.Tenant(l.id), signing.Region(e.cfg.Region), l.pin)
	if err != nil {
		return nil, err
	}
	for s, err := range e.cfg.Log.Statements(ctx, l.id, 0) {
		if err != nil {
			return nil, err
		}
		env, err := signing.ReadEnvelope(s.Envelope)
		if err != nil {
			return nil, fmt.Errorf("folding statement %d: %w", s.Index, err)
		}
		v, err := trust.Check(env, s.Decided)
		if err != nil {
			return nil, fmt.Errorf("folding statement %d: %w", s.Index, err)
		}
		if trust, err = trust.Apply(v); err != nil {
			return nil, fmt.Errorf("folding statement %d: %w", s.Index, err)
		}
	}
	st, err := e.stand(ctx, trust)
	if errors.Is(err, ErrStatement) || errors.Is(err, ErrPack) {
		// What is live can not be run by this program, as when it has another
		// clinical library. This tenant gets no answers until its people have
		// mended it; the others are served.
		st, err = &standing{trust: trust, why: err}, nil
		if pol, ok := trust.Policy(); ok {
			st.policy, err = tenant.Parse(pol.Raw)
		}
	}
	return st, err
}

// stand makes ready what a state says is live. It is pure but for reading
// packs by their digests.
func (e *Engine) stand(ctx context.Context, trust *signing.State) (*standing, error) {
	st := &standing{trust: trust}
	pol, ok := trust.Policy()
	if !ok {
		return st, nil
	}
	policy, err := e.materials.AddPolicy(string(pol.Digest), pol.Raw)
	if err != nil {
		return nil, err
	}
	rel, until := releaseAt(trust, policy, e.now())
	for _, ref := range packsOf(rel) {
		pack, err := e.loadPack(ctx, rulepacks.Digest(ref.Digest))
		if err != nil {
			return nil, err
		}
		if ref.Mode == modeSuspended || pack.Manifest.Kind == rulepacks.KindTerminology {
			continue
		}
		if a := activationOf(trust, ref); a.Library != clinical.Version {
			return nil, fmt.Errorf("making pack %s ready: it was approved with clinical library %s, this program has %s: %w; use a node that has it, or approve it anew",
				ref.Name, a.Library, clinical.Version, ErrStatement)
		}
	}
	st.policy, st.until = policy, until
	st.snapshot, err = e.materials.Snapshot(rel, decision.Policy{Seq: pol.Seq, Digest: string(pol.Digest)})
	return st, err
}

// modeSuspended in a reference says that the pack is activated but out of
// service: its rules are not asked, and what they would have checked is named
// as not done.
const modeSuspended = "suspended"

// releaseAt is what a release log makes live at a time, exactly as records of
// that time name it, and when that ends by itself (zero for never).
func releaseAt(trust *signing.State, policy *tenant.Policy, now time.Time) (rel decision.Release, until time.Time) {
	rel = decision.Release{Size: int64(trust.Size()), Packs: []decision.Ref{}}
	inService := map[signing.Pack]bool{}
	for _, a := range trust.Live() {
		inService[a.Pack] = true
		if !a.DeactivateAt.IsZero() {
			if !now.Before(a.DeactivateAt) {
				continue
			}
			if until.IsZero() || a.DeactivateAt.Before(until) {
				until = a.DeactivateAt
			}
		}
		ref := decision.Ref{Name: string(a.Pack), Version: a.Version, Digest: string(a.Archive.SHA256), Seq: a.Seq, Mode: string(a.Mode)}
		if r, ok := trust.Release(a.Archive.SHA256); ok && r.PackKind == signing.TerminologyPack {
			rel.Terminology = &ref
			continue
		}
		rel.Packs = append(rel.Packs, ref)
	}
	for _, name := range servedPacks(policy) {
		seq, digest := trust.Standing(signing.Pack(name))
		r, ok := trust.Release(digest)
		if ok && !inService[signing.Pack(name)] && r.PackKind == signing.RulesPack {
			rel.Packs = append(rel.Packs, decision.Ref{Name: name, Version: r.Version, Digest: string(digest), Seq: seq, Mode: modeSuspended})
		}
	}
	slices.SortFunc(rel.Packs, func(a, b decision.Ref) int { return strings.Compare(a.Name, b.Name) })
	return rel, until
}

// servedPacks names the packs of a policy's services, each once.
func servedPacks(policy *tenant.Policy) []string {
	var names []string
	for _, s := range policy.Services {
		names = append(names, s.Packs...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// packsOf lists everything that a release names.
func packsOf(rel decision.Release) []decision.Ref {
	refs := slices.Clone(rel.Packs)
	if rel.Terminology != nil {
		refs = append(refs, *rel.Terminology)
	}
	return refs
}

// activationOf gives the activation that a live pack stands by.
func activationOf(trust *signing.State, ref decision.Ref) signing.Activated {
	for _, a := range trust.Live() {
		if string(a.Archive.SHA256) == ref.Digest {
			return a
		}
	}
	return signing.Activated{}
}

// loadPack gives a pack by its digest, from memory or the store.
func (e *Engine) loadPack(ctx context.Context, d rulepacks.Digest) (*rulepacks.Pack, error) {
	if p := e.materials.Pack(d); p != nil {
		return p, nil
	}
	b, err := e.blob(ctx, d)
	if errors.Is(err, audit.ErrNotFound) {
		return nil, fmt.Errorf("loading pack %s: it was not uploaded: %w; upload the archive first", d, ErrStatement)
	}
	if err != nil {
		return nil, fmt.Errorf("loading pack %s: %w", d, err)
	}
	pack, err := rulepacks.ReadArchive(bytes.NewReader(b), rulepacks.Limits{})
	if err != nil {
		return nil, fmt.Errorf("loading pack %s: %w", d, err)
	}
	if pack.Digest != d {
		return nil, fmt.Errorf("loading pack %s: the store has other bytes under this digest: %w", d, audit.ErrCorrupt)
	}
	return pack, e.materials.AddPack(pack)
}

// serves reports that a pack of the service is live. Without one an answer
// would say nothing and read as "no finding".
func (s *Snapshot) serves(service tenant.Service) bool {
	return slices.ContainsFunc(s.release.Packs, func(r decision.Ref) bool { return slices.Contains(service.Packs, r.Name) })
}

// suspensions lists the rules of a snapshot that are out of service, alone or
// with their pack. Such a rule is cut on every subject.
func suspensions(trust *signing.State, s *Snapshot) []decision.Cut {
	var cuts []decision.Cut
	for _, p := range s.packs {
		for _, r := range p.rules {
			name := strings.TrimPrefix(r.ID, p.ref.Name+"/")
			if p.ref.Mode == modeSuspended || trust.Suspended(signing.Pack(p.ref.Name), name) {
				cuts = append(cuts, decision.Cut{Rule: r.ID, Subject: anySubject, Cause: decision.CutSuspension})
			}
		}
	}
	return cuts
}

// anySubject in a cut stands for every subject of the rule.
const anySubject = "*"
