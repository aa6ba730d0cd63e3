package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
)

// Applied says where a statement stands in the tenant's release log.
type Applied struct {
	Index  int64        `json:"index"`
	Kind   signing.Kind `json:"kind"`
	Digest string       `json:"digest"` // SHA-256 of the payload
	Record string       `json:"record"` // id of the audit record
}

// Logged is one entry of a release log.
type Logged struct {
	Index    int64     `json:"index"`
	Time     time.Time `json:"time"`
	Envelope string    `json:"envelope"` // JSON Lines of Sigstore bundles
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
	return e.stand(ctx, trust)
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
	rel := decision.Release{Size: int64(trust.Size()), Packs: []decision.Ref{}}
	now := e.now()
	for _, a := range trust.Live() {
		if !a.DeactivateAt.IsZero() {
			if !now.Before(a.DeactivateAt) {
				continue
			}
			if st.until.IsZero() || a.DeactivateAt.Before(st.until) {
				st.until = a.DeactivateAt
			}
		}
		pack, err := e.loadPack(ctx, rulepacks.Digest(a.Archive.SHA256))
		if err != nil {
			return nil, err
		}
		ref := decision.Ref{Name: string(a.Pack), Version: a.Version, Digest: string(a.Archive.SHA256), Seq: a.Seq, Mode: string(a.Mode)}
		if pack.Manifest.Kind == rulepacks.KindTerminology {
			rel.Terminology = &ref
			continue
		}
		if a.Library != clinical.Version {
			return nil, fmt.Errorf("making pack %s ready: it was approved with clinical library %s, this program has %s: %w; use a node that has it, or approve it anew",
				ref.Name, a.Library, clinical.Version, ErrStatement)
		}
		rel.Packs = append(rel.Packs, ref)
	}
	slices.SortFunc(rel.Packs, func(a, b decision.Ref) int { return strings.Compare(a.Name, b.Name) })
	st.policy = policy
	st.snapshot, err = e.materials.Snapshot(rel, decision.Policy{Seq: pol.Seq, Digest: string(pol.Digest)})
	return st, err
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

// Apply takes in a signed statement: it is checked against everything that
// stands, the state after it is made ready, and only then it is logged and
// goes live. Any failure leaves everything as it was.
func (e *Engine) Apply(ctx context.Context, c Caller, envelope []byte) (*Applied, error) {
	l, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if err := e.member(st, c); err != nil {
		return nil, err
	}
	return e.apply(ctx, l, c, envelope)
}

func (e *Engine) apply(ctx context.Context, l *live, c Caller, envelope []byte) (*Applied, error) {
	env, err := signing.ReadEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	l.apply.Lock()
	defer l.apply.Unlock()
	for {
		st := l.standing.Load()
		a, next, err := e.take(ctx, l, st, c, env)
		if errors.Is(err, audit.ErrMoved) { // another node was first: take in what it did
			if next, err = e.fold(ctx, l); err != nil {
				return nil, err
			}
			l.standing.Store(next)
			continue
		}
		if err != nil {
			return nil, err
		}
		l.standing.Store(next)
		return a, nil
	}
}

// take checks and logs one statement on top of st.
func (e *Engine) take(ctx context.Context, l *live, st *standing, c Caller, env *signing.Envelope) (*Applied, *standing, error) {
	now := e.now()
	v, err := st.trust.Check(env, now)
	if err != nil {
		return nil, nil, err
	}
	trust, err := st.trust.Apply(v)
	if err != nil {
		return nil, nil, err
	}
	if err := e.admit(ctx, l, st, v, now); err != nil {
		return nil, nil, err
	}
	next, err := e.stand(ctx, trust)
	if err != nil {
		return nil, nil, err
	}
	if err := e.checkEffect(ctx, next, v); err != nil {
		return nil, nil, err
	}
	a := &Applied{Index: int64(st.trust.Size()), Kind: v.Statement().Predicate.Kind(), Digest: string(v.Digest())}
	a.Record, err = e.logStatement(ctx, l, c, env, a, now)
	return a, next, err
}

func (e *Engine) logStatement(ctx context.Context, l *live, c Caller, env *signing.Envelope, a *Applied, now time.Time) (string, error) {
	id, err := audit.NewRecordID(now, e.cfg.Rand)
	if err != nil {
		return "", err
	}
	body, err := jsonv2.Marshal(struct {
		By     signing.PersonID `json:"by,omitempty"`
		Kind   signing.Kind     `json:"kind"`
		Digest string           `json:"digest"`
	}{c.Person, a.Kind, a.Digest}, jsonv2.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("recording statement: %w", err)
	}
	_, err = e.cfg.Log.Append(context.WithoutCancel(ctx), audit.Entry{
		Kind: audit.Statement, Tenant: l.id, RecordID: id, Decided: now, Engine: e.cfg.Build, Library: clinical.Version,
		Schema: "precept-statement/1", Body: [][]byte{body}, Statement: env.Bytes(), StatementIndex: a.Index,
	})
	return string(id), err
}

// admit checks what a signature can not: that the statement is about things
// this node has and can do.
func (e *Engine) admit(ctx context.Context, l *live, st *standing, v signing.Verified, now time.Time) error {
	s := v.Statement()
	switch p := s.Predicate.(type) {
	case signing.TenantPolicy:
		policy, err := tenant.Parse(p.Policy)
		if err != nil {
			return err
		}
		if policy.Tenant != l.id || policy.Region != tenant.Region(p.Region) {
			return fmt.Errorf("applying tenant policy: the policy names tenant %s in %s, the statement %s in %s: %w",
				policy.Tenant, policy.Region, p.Tenant, p.Region, ErrStatement)
		}
		return tenant.Resides(policy.Region, e.cfg.Region)
	case signing.PackRelease:
		pack, err := e.loadPack(ctx, rulepacks.Digest(s.Archive.SHA256))
		if err != nil {
			return err
		}
		m := pack.Manifest
		if string(p.Pack) != m.Name || p.Version != m.Version || string(p.PackKind) != string(m.Kind) || p.Library != m.Library || string(s.Archive.DirHash1) != pack.DirHash1 {
			return fmt.Errorf("applying release: pack, version, kind, library or dirHash1 are not those of the archive %s: %w", pack.Digest, ErrStatement)
		}
	case signing.Activation:
		return e.admitActivation(ctx, st, s, p, now)
	}
	return nil
}

func (e *Engine) admitActivation(ctx context.Context, st *standing, s signing.Statement, p signing.Activation, now time.Time) error {
	switch {
	case p.Mode == signing.Off:
		return nil
	case p.Mode == signing.Shadow:
		return fmt.Errorf("applying activation: mode shadow is not offered by this version: %w; use active", ErrStatement)
	case p.ActivateAt.After(now):
		return fmt.Errorf("applying activation: it begins in the future: %w; apply it when it is to begin", ErrStatement)
	case st.policy == nil:
		return fmt.Errorf("applying activation: %w: apply a tenant policy first", ErrNotReady)
	}
	pack, err := e.loadPack(ctx, rulepacks.Digest(s.Archive.SHA256))
	if err != nil {
		return err
	}
	if end := pack.Manifest.EffectivePeriod.End; end != "" && now.Format("2006-01-02") > end {
		return fmt.Errorf("applying activation: the effective period of pack %s ended on %s: %w", pack.Manifest.Name, end, ErrStatement)
	}
	return e.checkInputs(pack, st.policy, p.InputsUnknown)
}

// checkInputs refuses a pack that reads resource types which no prefetch of
// its services delivers, unless the approvers signed that they stay unknown.
func (e *Engine) checkInputs(pack *rulepacks.Pack, policy *tenant.Policy, accepted []string) error {
	e.materials.mu.RLock()
	p := e.materials.programs[pack.Digest]
	e.materials.mu.RUnlock()
	if p == nil {
		return nil
	}
	for _, s := range policy.Services {
		if !slices.Contains(s.Packs, pack.Manifest.Name) {
			continue
		}
		for _, typ := range p.reads(s.Hook) {
			supplied := slices.ContainsFunc(s.Prefetch, func(x tenant.Prefetch) bool { return slices.Contains(x.Types, typ) })
			if !supplied && !slices.Contains(accepted, typ) {
				return fmt.Errorf("applying activation: pack %s reads %s, which no prefetch of service %s delivers: %w; add a prefetch to the policy, or sign inputsUnknown [%q]",
					pack.Manifest.Name, typ, s.ID, ErrStatement, typ)
			}
		}
	}
	return nil
}

// checkEffect runs the golden cases that the statement could have changed: of
// the pack that goes live, or of all if the terminology does.
func (e *Engine) checkEffect(ctx context.Context, next *standing, v signing.Verified) error {
	p, ok := v.Statement().Predicate.(signing.Activation)
	if !ok || p.Mode == signing.Off || next.snapshot == nil {
		return nil
	}
	var terms *rulepacks.Pack
	if next.snapshot.terms != nil {
		terms = next.snapshot.terms.Pack()
	}
	changed := string(p.Pack)
	if terms != nil && terms.Manifest.Name == changed {
		changed = ""
	}
	for _, live := range next.snapshot.packs {
		if changed != "" && live.ref.Name != changed {
			continue
		}
		if terms == nil {
			return fmt.Errorf("applying activation: no terminology is active: %w; activate one first, rules need it to tell drugs apart", ErrStatement)
		}
		if r := live.pack.Manifest.Terminology; !r.Includes(terms.Terminology.Release) {
			return fmt.Errorf("applying activation: pack %s was not tested with terminology release %s: %w", live.ref.Name, terms.Terminology.Release, ErrStatement)
		}
		if err := CheckCases(ctx, live.pack, terms); err != nil {
			return err
		}
	}
	return nil
}

// PutPack stores an archive under the digest of its canonical form. The pack
// must be well formed and compile; nothing goes live by it.
func (e *Engine) PutPack(ctx context.Context, c Caller, digest rulepacks.Digest, archive []byte) error {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return err
	}
	if err := e.member(st, c); err != nil {
		return err
	}
	pack, err := rulepacks.ReadArchive(bytes.NewReader(archive), rulepacks.Limits{})
	if err != nil {
		return err
	}
	if pack.Digest != digest {
		return fmt.Errorf("storing pack: the archive has digest %s, not %s: %w", pack.Digest, digest, rulepacks.ErrDigest)
	}
	if err := e.materials.AddPack(pack); err != nil {
		return err
	}
	_, err = e.cfg.Log.PutBlob(ctx, pack.Archive())
	return err
}

// Pack returns the canonical tar of a stored pack. A tenant's people see the
// packs that their release log names.
func (e *Engine) Pack(ctx context.Context, c Caller, digest rulepacks.Digest) ([]byte, error) {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if err := e.member(st, c); err != nil {
		return nil, err
	}
	if _, ok := st.trust.Release(signing.Digest(digest)); !ok {
		return nil, fmt.Errorf("reading pack: %w", audit.ErrNotFound)
	}
	return e.blob(ctx, digest)
}

func (e *Engine) blob(ctx context.Context, d rulepacks.Digest) ([]byte, error) {
	digest, err := audit.ParseDigest(string(d))
	if err != nil {
		return nil, err
	}
	return e.cfg.Log.Blob(ctx, digest)
}

// Statements returns the tenant's release log.
func (e *Engine) Statements(ctx context.Context, c Caller) ([]Logged, error) {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if err := e.member(st, c); err != nil {
		return nil, err
	}
	list := []Logged{}
	for s, err := range e.cfg.Log.Statements(ctx, c.Tenant, 0) {
		if err != nil {
			return nil, err
		}
		list = append(list, Logged{Index: s.Index, Time: s.Decided, Envelope: string(s.Envelope)})
	}
	return list, nil
}

// member lets every person of the tenant's trust root through.
func (e *Engine) member(st *standing, c Caller) error {
	root, _ := st.trust.Root()
	if c.Person != "" && slices.ContainsFunc(root.Persons, func(p signing.Person) bool { return p.ID == c.Person }) {
		return nil
	}
	return fmt.Errorf("checking the caller: not a person of the tenant's trust root: %w", ErrForbidden)
}

// role lets persons of one role through.
func (e *Engine) role(st *standing, c Caller, role signing.Role) error {
	if c.Person != "" && st.trust.HasRole(c.Person, role) {
		return nil
	}
	return fmt.Errorf("checking the caller: role %s is needed: %w", role, ErrForbidden)
}
