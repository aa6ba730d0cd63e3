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
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// Applied says where a statement is in the tenant's release log.
type Applied struct {
	Index  int64          `json:"index"`
	Kind   statement.Kind `json:"kind"`
	Digest string         `json:"digest"` // SHA-256 of the payload
	Record string         `json:"record"` // id of the audit record
}

// Apply takes in a signed statement: it is checked against everything that
// is in force, the state after it is made ready, and only then is it logged and
// goes live. Any failure leaves everything as it was.
func (e *Engine) Apply(ctx context.Context, c Caller, envelope []byte) (*Applied, error) {
	l, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if err := e.member(st, c); err != nil {
		return nil, e.turnedAway(ctx, st, c, access{Verb: "apply"}, err)
	}
	a, err := e.apply(ctx, l, c, envelope)
	if err != nil {
		return nil, e.turnedAway(ctx, st, c, access{Verb: "apply", Digest: hexSHA256(envelope)}, err)
	}
	return a, nil
}

func (e *Engine) apply(ctx context.Context, l *served, c Caller, envelope []byte) (*Applied, error) {
	env, err := signing.ReadEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	// One statement after the other: what is checked beside another would be checked
	// again. What removes power never waits for a check; the other is checked again.
	if !removesPower(env.Statement().Predicate) {
		if err := l.apply.take(ctx); err != nil {
			return nil, err
		}
		defer l.apply.leave()
	}
	return upToDate(ctx, e, l.id, func() (*Applied, error) {
		a, next, err := e.take(ctx, l, l.now.Load(), c, env)
		if err != nil {
			return nil, err
		}
		l.put(next)
		return a, nil
	})
}

// take checks and logs one statement on top of st.
func (e *Engine) take(ctx context.Context, l *served, st *inForce, c Caller,
	env *signing.Envelope) (*Applied, *inForce, error) {
	// What is logged is read in spellings that nothing new may have.
	if err := env.Statement().Check(); err != nil {
		return nil, nil, err
	}
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
	next, err := e.prepare(ctx, trust)
	if err != nil {
		return nil, nil, err
	}
	if !removesPower(v.Statement().Predicate) {
		if err := e.checkEffect(ctx, st, next, v); err != nil {
			return nil, nil, err
		}
	}
	a := &Applied{Index: int64(st.trust.Size()), Kind: v.Statement().Kind(), Digest: string(v.Digest())}
	a.Record, err = e.logStatement(ctx, l, c, env, a, now)
	return a, next, err
}

func (e *Engine) logStatement(ctx context.Context, l *served, c Caller, env *signing.Envelope, a *Applied,
	now time.Time) (string, error) {
	id, err := audit.NewRecordID(now, e.cfg.Rand)
	if err != nil {
		return "", err
	}
	body, err := jsonv2.Marshal(struct {
		By     trust.PersonID `json:"by,omitempty"`
		Kind   statement.Kind `json:"kind"`
		Digest string         `json:"digest"`
	}{c.Person, a.Kind, a.Digest}, jsonv2.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("recording statement: %w", err)
	}
	ctx, stop := durably(ctx)
	defer stop()
	_, err = e.cfg.Log.Append(ctx, audit.Entry{
		Kind: audit.Statement, Tenant: l.id, RecordID: id, Decided: now, Engine: e.cfg.Build,
		Library: e.materials.Newest().Version(),
		Schema:  statementSchema, Body: [][]byte{body}, Statement: env.Bytes(), StatementIndex: a.Index,
		Removes: removesPower(env.Statement().Predicate), Quota: l.now.Load().quota().Spare(),
	})
	return string(id), err
}

// admit checks what a signature cannot: that the statement is about things
// this node has and can do.
func (e *Engine) admit(ctx context.Context, l *served, st *inForce, v signing.Verified, now time.Time) error {
	s := v.Statement()
	switch p := s.Predicate.(type) {
	case statement.TenantPolicy:
		policy, err := tenant.Parse(p.Policy)
		if err != nil {
			return err
		}
		if policy.Tenant != l.id || policy.Region != tenant.Region(p.Region) {
			return fmt.Errorf("applying tenant policy: the policy names tenant %s in %s, the statement %s in %s: %w",
				policy.Tenant, policy.Region, p.Tenant, p.Region, ErrStatement)
		}
		if err := e.ceiling.Load().Allows(policy); err != nil {
			return fmt.Errorf("applying tenant policy: %w", err)
		}
		for _, svc := range policy.Services {
			for _, p := range svc.Prefetch {
				if err := cdshooks.CheckTemplate(svc.Hook, p.Query); err != nil {
					return fmt.Errorf("applying tenant policy: service %s, prefetch %s: %w (%w)", svc.ID, p.Key, err,
						ErrStatement)
				}
			}
		}
		return tenant.Resides(policy.Region, e.cfg.Region)
	case statement.PackRelease:
		if err := e.shown(ctx, l.id, s.Archive.SHA256); err != nil {
			return err
		}
		pack, err := e.loadPack(ctx, rulepacks.Digest(s.Archive.SHA256))
		if err != nil {
			return err
		}
		m := pack.Manifest
		if string(p.Pack) != m.Name || p.Version != m.Version || string(p.PackKind) != string(m.Kind) ||
			p.Library != m.Library || string(s.Archive.DirHash1) != pack.DirHash1 {
			return fmt.Errorf("applying release: pack, version, kind, library or dirHash1 "+
				"are not those of the archive %s: %w", pack.Digest, ErrStatement)
		}
	case statement.Placement:
		if tenant.Region(p.Certificate.Region) != e.cfg.Region {
			return nil // it is gone from here
		}
		if err := e.identifies(p); err != nil {
			return fmt.Errorf("applying placement: %w (%w)", err, ErrStatement)
		}
	case statement.Activation:
		return e.admitActivation(ctx, st, s, p, now)
	case statement.Suspension:
		return admitSuspension(st, p)
	}
	return nil
}

// shown refuses a release of an archive that the tenant has not uploaded, whether or
// not another tenant of the region has: the answer is the same.
func (e *Engine) shown(ctx context.Context, t tenant.ID, d trust.Digest) error {
	digest, err := audit.ParseDigest(string(d))
	if err != nil {
		return err
	}
	if has, err := e.cfg.Log.HasBlob(ctx, t, digest); err != nil || has {
		return err
	}
	return notUploaded(rulepacks.Digest(d))
}

func notUploaded(d rulepacks.Digest) error {
	return fmt.Errorf("loading pack %s: it was not uploaded: %w; upload the archive first", d, ErrStatement)
}

// admitSuspension refuses to suspend a rule that a live pack does not have: who
// mistyped its name would believe that it is out of service.
func admitSuspension(st *inForce, p statement.Suspension) error {
	if p.Rule == "" || st.snapshot == nil {
		return nil
	}
	for _, part := range st.snapshot.Parts() {
		if part.Name != string(p.Pack) {
			continue
		}
		if names := part.Rules(); len(names) > 0 && !slices.Contains(names, p.Rule) {
			return fmt.Errorf("applying suspension: pack %s has no rule %q, so nothing would be suspended: "+
				"%w; it has %s",
				p.Pack, p.Rule, ErrStatement, strings.Join(names, ", "))
		}
	}
	return nil
}

func (e *Engine) admitActivation(ctx context.Context, st *inForce, s statement.Statement, p statement.Activation,
	now time.Time) error {
	switch {
	case p.Mode == statement.Off:
		return nil
	case p.Mode == statement.Shadow:
		return fmt.Errorf("applying activation: mode shadow is not offered by this version: %w; use active",
			ErrStatement)
	case p.ActivateAt.After(now):
		return fmt.Errorf("applying activation: it begins in the future: %w; apply it when it is to begin",
			ErrStatement)
	case st.policy == nil:
		return fmt.Errorf("applying activation: %w: apply a tenant policy first", ErrNotReady)
	}
	pack, err := e.loadPack(ctx, rulepacks.Digest(s.Archive.SHA256))
	if err != nil {
		return err
	}
	if end := pack.Manifest.EffectivePeriod.End; end != "" && now.Format("2006-01-02") > end {
		return fmt.Errorf("applying activation: the effective period of pack %s ended on %s: %w", pack.Manifest.Name,
			end, ErrStatement)
	}
	return nil
}

// checkInputs refuses a pack that reads resource types which no prefetch of
// its services delivers, unless the approvers signed that they stay unknown.
func (e *Engine) checkInputs(ref decision.Ref, policy *tenant.Policy, accepted []string) error {
	p, err := e.materials.Program(rulepacks.Digest(ref.Digest), ref.Library)
	if err != nil {
		return fmt.Errorf("checking inputs: %w (%w)", err, ErrStatement)
	}
	for _, s := range policy.Services {
		if !slices.Contains(s.Packs, ref.Name) {
			continue
		}
		for _, typ := range p.Reads(s.Hook) {
			supplied := slices.ContainsFunc(s.Prefetch,
				func(x tenant.Prefetch) bool { return slices.Contains(x.Types, typ) })
			if !supplied && !slices.Contains(accepted, typ) {
				return fmt.Errorf("checking inputs: pack %s reads %s, which no prefetch of service %s delivers: %w; "+
					"add a prefetch to the policy, or sign inputsUnknown [%q]", ref.Name, typ, s.ID, ErrStatement, typ)
			}
		}
	}
	return nil
}

// removesPower says that a statement can only take away: it is taken whatever
// this program can or cannot run.
func removesPower(p statement.Predicate) bool {
	switch p := p.(type) {
	case statement.Suspension, statement.Revocation:
		return true
	case statement.Activation:
		return p.Mode == statement.Off
	}
	return false
}

// checkEffect checks what a statement that may add power would lead to: that
// every pack in force gets the inputs it reads, that a terminology tells drugs
// apart, and that what the statement activates or changes can be run, which its
// golden cases have to show. Packs that could not be run before hold up nothing.
func (e *Engine) checkEffect(ctx context.Context, before, next *inForce, v signing.Verified) error {
	own := ""
	switch p := v.Statement().Predicate.(type) {
	case statement.TenantPolicy:
		if next.why != nil {
			return fmt.Errorf("applying tenant policy: %w (%w)", next.why, tenant.ErrPolicy)
		}
	case statement.Resumption:
	case statement.Activation:
		own = string(p.Pack)
		if err := e.checkOwn(ctx, next, v.Statement().Archive.SHA256, p); err != nil {
			return err
		}
	default:
		return nil
	}
	for _, not := range next.broken {
		known := slices.ContainsFunc(before.broken, func(b *decide.NotRunnable) bool { return b.Pack == not.Pack })
		if not.Pack == own || !known {
			return fmt.Errorf("making pack %s live: %w (%w)", not.Pack, not.Err, ErrStatement)
		}
	}
	if next.snapshot == nil {
		return nil
	}
	for _, p := range next.snapshot.Parts() {
		if p.Mode != decision.Active {
			continue
		}
		if next.snapshot.Release().Terminology == nil && !before.runs(p.Ref) {
			return noTerminology(p.Name)
		}
		if err := e.checkInputs(p.Ref, next.policy, activationOf(next.trust, p.Ref).InputsUnknown); err != nil {
			return err
		}
	}
	return nil
}

// checkOwn checks that what an activation activates can be run, also while the
// pack is suspended: a resumption must not be the way around its cases.
func (e *Engine) checkOwn(ctx context.Context, next *inForce, digest trust.Digest, p statement.Activation) error {
	pack := e.materials.Pack(rulepacks.Digest(digest))
	if next.snapshot == nil || pack == nil {
		return nil
	}
	if pack.Manifest.Kind != manifest.KindRules {
		if err := e.materials.CheckCodeMap(next.snapshot.Release()); err != nil {
			return fmt.Errorf("making pack %s live: %w (%w)", p.Pack, err, ErrStatement)
		}
		return nil
	}
	terms := next.snapshot.Release().Terminology
	if terms == nil {
		return noTerminology(string(p.Pack))
	}
	ref := decision.Ref{Name: string(p.Pack), Version: p.Version, Digest: string(digest), Mode: decision.Active,
		Library: p.Library}
	err := e.materials.Fit(ctx, ref, next.policy.Parameters[ref.Name], terms)
	var not *decide.NotRunnable
	if errors.As(err, &not) {
		return fmt.Errorf("making pack %s live: %w (%w)", p.Pack, not.Err, ErrStatement)
	}
	if err != nil {
		return err
	}
	return e.checkShown(next.trust, ref, terms)
}

// maxUnshown is how many rules a refusal names.
const maxUnshown = 20

// checkShown refuses a pack whose golden cases, which have just held here, do not show each
// of its rules true, false and unknown, unless its reviewers waive what they do not show.
// The author's word that there are cases is not asked for.
func (e *Engine) checkShown(state *signing.State, ref decision.Ref, terms *decision.Ref) error {
	unshown, err := e.materials.Unshown(ref, terms)
	if err != nil {
		return err
	}
	waived := state.Waived(trust.Digest(ref.Digest), e.now())
	var missing []string
	for _, x := range unshown {
		left := slices.DeleteFunc(x.States, func(s string) bool { return slices.Contains(waived[x.Rule], s) })
		if len(left) > 0 {
			missing = append(missing, "rule "+x.Rule+" "+strings.Join(left, ", "))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	more := ""
	if n := len(missing) - maxUnshown; n > 0 {
		missing, more = missing[:maxUnshown], fmt.Sprintf("; and %d more rules", n)
	}
	return fmt.Errorf("making pack %s live: no golden case shows %s%s: %w; write cases that do, or have the pack's "+
		"own clinical reviewers waive each by name (precept sign review --waive RULE:STATE:REASON)", ref.Name,
		strings.Join(missing, "; "), more, ErrStatement)
}

func noTerminology(pack string) error {
	return fmt.Errorf("making pack %s live: no terminology is active: %w; "+
		"activate one first, rules need it to tell drugs apart",
		pack, ErrStatement)
}

// runs reports that a pack was in service.
func (st *inForce) runs(ref decision.Ref) bool {
	return st.snapshot != nil && slices.Contains(st.snapshot.Release().Packs, ref)
}

// PutPack stores an archive under the digest of its canonical form. The pack
// must be well formed and compile; nothing goes live by it.
func (e *Engine) PutPack(ctx context.Context, c Caller, digest rulepacks.Digest, archive []byte) error {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return err
	}
	// Uploads fill the store of the whole region: two roles are enough.
	err = e.role(st, c, trust.Operator)
	if err != nil && e.role(st, c, trust.Approver) == nil {
		err = nil
	}
	if err != nil {
		return e.turnedAway(ctx, st, c, access{Verb: "put pack"}, err)
	}
	// That somebody tries is on record before anything of the archive is looked at:
	// whatever it does then, it is known who handed it in.
	attempt := access{Verb: "put pack", Digest: string(digest)}
	if err := e.note(ctx, st, c, audit.Access, attempt); err != nil {
		return err
	}
	if err := e.putPack(ctx, c.Tenant, digest, archive); err != nil {
		return e.turnedAway(ctx, st, c, access{Verb: "put pack", Digest: hexSHA256(archive)}, err)
	}
	attempt.Code = "stored"
	return e.note(ctx, st, c, audit.Event, attempt)
}

// putPack stores an archive that was tried. What it takes to unpack it here is known
// from there.
func (e *Engine) putPack(ctx context.Context, t tenant.ID, digest rulepacks.Digest, archive []byte) error {
	if err := e.cfg.Prove(ctx, decide.Trial{Archive: archive, Digest: digest}); err != nil {
		return err
	}
	pack, err := rulepacks.ReadArchive(bytes.NewReader(archive), rulepacks.Limits{Expanded: decide.MaxPack})
	if err != nil {
		return err
	}
	if pack.Digest != digest {
		return fmt.Errorf("storing pack: the archive has digest %s, not %s: %w", pack.Digest, digest,
			rulepacks.ErrDigest)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("storing pack: %w", err)
	}
	stored, err := e.cfg.Log.PutBlob(ctx, pack.Archive())
	if err != nil {
		return err
	}
	return e.cfg.Log.ClaimBlob(ctx, t, stored)
}

// Pack returns the canonical tar of a stored pack. A tenant's people see every
// pack that their release log ever named: records of then need it.
func (e *Engine) Pack(ctx context.Context, c Caller, digest rulepacks.Digest) ([]byte, error) {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if err := e.member(st, c); err != nil {
		return nil, err
	}
	if _, ok := st.trust.Release(trust.Digest(digest)); !ok {
		if err := e.wasReleased(ctx, c.Tenant, trust.Digest(digest)); err != nil {
			return nil, fmt.Errorf("reading pack: %w", err)
		}
	}
	return e.blob(ctx, digest)
}

// wasReleased looks for a pack in the whole release log: a release that was
// withdrawn, as when its author's key was revoked, is no longer in the state.
func (e *Engine) wasReleased(ctx context.Context, t tenant.ID, digest trust.Digest) error {
	for s, err := range e.cfg.Log.Statements(ctx, t, 0) {
		if err != nil {
			return err
		}
		env, err := signing.ReadEnvelope(s.Envelope)
		if err != nil {
			return err
		}
		if env.Statement().Archive.SHA256 == digest {
			return nil
		}
	}
	return audit.ErrNotFound
}

func (e *Engine) blob(ctx context.Context, d rulepacks.Digest) ([]byte, error) {
	digest, err := audit.ParseDigest(string(d))
	if err != nil {
		return nil, err
	}
	return e.cfg.Log.Blob(ctx, digest)
}

// Statements returns the tenant's release log.
func (e *Engine) Statements(ctx context.Context, c Caller) ([]decide.Logged, error) {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if err := e.member(st, c); err != nil {
		return nil, err
	}
	list := []decide.Logged{}
	for s, err := range e.cfg.Log.Statements(ctx, c.Tenant, 0) {
		if err != nil {
			return nil, err
		}
		list = append(list, decide.Logged{Index: s.Index, Time: s.Decided, Envelope: string(s.Envelope)})
	}
	return list, nil
}

// member lets every person through whom the tenant's trust root gives a role
// and who is in service.
func (e *Engine) member(st *inForce, c Caller) error {
	root, _ := st.trust.Root()
	for role := range root.Roles {
		if c.Person != "" && st.trust.HasRole(c.Person, role) {
			return nil
		}
	}
	return fmt.Errorf("checking the caller: nobody with a role in the tenant's trust root: %w", ErrForbidden)
}

// role lets persons of one role through.
func (e *Engine) role(st *inForce, c Caller, role trust.Role) error {
	if c.Person != "" && st.trust.HasRole(c.Person, role) {
		return nil
	}
	return fmt.Errorf("checking the caller: role %s is needed: %w", role, ErrForbidden)
}
