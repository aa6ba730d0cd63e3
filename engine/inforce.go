package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

// inForce is what a tenant's release log adds up to.
type inForce struct {
	trust    *signing.State
	signed   *tenant.Policy        // as it was signed; nil while none can be used
	ceiling  *tenant.Ceiling       // the one that policy is under
	policy   *tenant.Policy        // its limits capped by the operator's ceiling; nil while none can be used
	snapshot *decide.Snapshot      // likewise nil
	withheld []decision.Cut        // rules out of service
	broken   []*decide.NotRunnable // packs in force that cannot be run here, sorted by name
	until    time.Time             // when an activation ends by itself; zero for never
	why      error                 // why there is no snapshot although there is a policy
	gone     chan struct{}         // closed when something newer is in force
	home     error                 // why EHRs are not answered here; nil where the tenant lives
}

// fold rebuilds what is in force from the tenant's release log. It is how a node
// starts, and nothing else is kept of it.
func (e *Engine) fold(ctx context.Context, l *served) (*inForce, error) {
	trust, err := signing.NewState(statement.Tenant(l.id), statement.Region(e.cfg.Region), l.pin)
	if err != nil {
		return nil, err
	}
	if trust, err = e.advance(ctx, l.id, trust); err != nil {
		return nil, err
	}
	return e.prepare(ctx, trust)
}

// prepare makes ready what a state says is in force. What this program cannot run,
// as after an upgrade, is marked in the snapshot and holds up nothing: its rules
// are named as checks not done until the tenant's people have fixed it. It is
// pure but for reading packs by their digests; the error is that of the store, or
// of ctx.
func (e *Engine) prepare(ctx context.Context, trust *signing.State) (*inForce, error) {
	st := &inForce{trust: trust, home: e.atHome(trust), gone: make(chan struct{})}
	pol, ok := trust.Policy()
	if !ok {
		return st, nil
	}
	policy, err := e.materials.AddPolicy(string(pol.Digest), pol.Raw)
	if err != nil {
		st.why = err
		return st, nil
	}
	rel, until := decide.ReleaseAt(trust, policy, e.now())
	if t := rel.Terminology; t != nil {
		if err := e.fit(ctx, st, t, nil, nil); err != nil {
			return nil, err
		}
	}
	if c := rel.CodeMap; c != nil {
		if err := e.fit(ctx, st, c, nil, nil); err != nil {
			return nil, err
		}
	}
	for i := range rel.Packs {
		if err := e.fit(ctx, st, &rel.Packs[i], policy.Parameters[rel.Packs[i].Name], rel.Terminology); err != nil {
			return nil, err
		}
	}
	snapshot, err := e.materials.Snapshot(rel, decision.Policy{Seq: pol.Seq, Digest: string(pol.Digest)})
	if err != nil {
		st.why = err // of the policy: what is amiss with packs is marked
		return st, nil
	}
	st.signed, st.until, st.snapshot, st.withheld = policy, until, snapshot, decide.Withheld(trust, snapshot)
	return e.capped(st), nil
}

// notReady says why there is no policy or snapshot to work with.
func (st *inForce) notReady(doing string) error {
	if st.why != nil {
		return fmt.Errorf("%s: %w: %w", doing, ErrNotReady, st.why)
	}
	return fmt.Errorf("%s: %w: no tenant policy was applied yet", doing, ErrNotReady)
}

// notRun says why a pack in force cannot be run here; empty if it can.
func (st *inForce) notRun(pack string) string {
	for _, not := range st.broken {
		if not.Pack == pack {
			return not.Err.Error()
		}
	}
	return ""
}

// fit loads one artefact in force and marks it if this program cannot run it.
func (e *Engine) fit(ctx context.Context, st *inForce, ref *decision.Ref, params map[string]jsontext.Value,
	terms *decision.Ref) error {
	pack, err := e.loadPack(ctx, rulepacks.Digest(ref.Digest))
	var not *decide.NotRunnable
	switch {
	case errors.Is(err, ErrStatement), errors.Is(err, audit.ErrCorrupt), errors.Is(err, decide.ErrPack):
		not = &decide.NotRunnable{Pack: ref.Name, Why: decision.WhyMissing, Err: err}
	case err != nil:
		return err
	case ref.Mode != decision.Active || pack.Manifest.Kind != manifest.KindRules:
		return nil
	default:
		err = e.materials.Fit(ctx, *ref, params, terms)
		if errors.Is(err, decide.ErrNotTried) && ctx.Err() == nil { // until it can be tried
			err = &decide.NotRunnable{Pack: ref.Name, Why: decision.WhyCases, Err: err}
		}
		if err != nil && !errors.As(err, &not) {
			return err
		}
	}
	if not == nil {
		return nil
	}
	if ref.Why = not.Why; ref.Mode == decision.Active {
		ref.Mode = decision.NotRunnable
	}
	st.broken = append(st.broken, not)
	return nil
}

// activationOf returns the activation that a live pack is in force by.
func activationOf(trust *signing.State, ref decision.Ref) signing.Activated {
	for _, a := range trust.Live() {
		if string(a.Archive.SHA256) == ref.Digest {
			return a
		}
	}
	return signing.Activated{}
}

// loadPack returns a pack by its digest, from memory or the store.
func (e *Engine) loadPack(ctx context.Context, d rulepacks.Digest) (*rulepacks.Pack, error) {
	if p := e.materials.Pack(d); p != nil {
		return p, nil
	}
	b, err := e.blob(ctx, d)
	if errors.Is(err, audit.ErrNotFound) {
		return nil, notUploaded(d)
	}
	if err != nil {
		return nil, fmt.Errorf("loading pack %s: %w", d, err)
	}
	pack, err := rulepacks.ReadArchive(bytes.NewReader(b), rulepacks.Limits{})
	if err != nil { // it was well formed when it was stored
		return nil, fmt.Errorf("loading pack %s: %w (%w)", d, err, audit.ErrCorrupt)
	}
	if pack.Digest != d {
		return nil, fmt.Errorf("loading pack %s: the store has other bytes under this digest: %w", d, audit.ErrCorrupt)
	}
	return pack, e.materials.AddPack(pack)
}
