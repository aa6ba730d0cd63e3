package decide

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// Logged is one entry of a release log.
type Logged struct {
	Index    int64     `json:"index"`
	Time     time.Time `json:"time"`
	Envelope string    `json:"envelope"` // JSON Lines of Sigstore bundles
}

// MaterialsFromLog rebuilds, away from the server, what a tenant's decisions
// were made with. The log is checked from its trust root on, whose digest the
// caller has by another way; a replay fetches the packs that its record names
// and compares them with the digests that were signed, and the record with
// what was live after as many statements as it says. Nothing else of the server
// is believed.
//
// The times of the log's entries are the server's word; without witnesses they
// cannot be checked.
func MaterialsFromLog(ctx context.Context, t tenant.ID, root trust.Digest, log []Logged,
	fetch func(context.Context, rulepacks.Digest) ([]byte, error)) (*Materials, error) {
	m := NewMaterials()
	m.history = &history{tenant: t, fetch: fetch}
	trust, err := signing.NewState(statement.Tenant(t), regionOf(log), root)
	if err != nil {
		return nil, err
	}
	for i, s := range log {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("checking release log: %w", err)
		}
		env, err := signing.ReadEnvelope([]byte(s.Envelope))
		if err != nil {
			return nil, fmt.Errorf("reading release log at %d: %w", i, err)
		}
		v, err := trust.Check(env, s.Time)
		if err != nil {
			return nil, fmt.Errorf("checking release log at %d: %w", i, err)
		}
		if trust, err = trust.Apply(v); err != nil {
			return nil, fmt.Errorf("checking release log at %d: %w", i, err)
		}
		if p, ok := env.Statement().Predicate.(statement.TenantPolicy); ok {
			if _, err := m.AddPolicy(string(env.Digest()), p.Policy); err != nil {
				return nil, fmt.Errorf("reading release log at %d: %w", i, err)
			}
		}
		m.history.states = append(m.history.states, trust)
	}
	return m, nil
}

// regionOf returns the region that the log's first policy names. A statement
// for another region is then refused by the check.
func regionOf(log []Logged) statement.Region {
	for _, s := range log {
		env, err := signing.ReadEnvelope([]byte(s.Envelope))
		if err != nil {
			continue
		}
		if p, ok := env.Statement().Predicate.(statement.TenantPolicy); ok {
			return p.Region
		}
	}
	return "none"
}

// history is a checked release log.
type history struct {
	tenant tenant.ID
	states []*signing.State // after each statement
	fetch  func(context.Context, rulepacks.Digest) ([]byte, error)
}

// confirm checks what a record says it was decided with against the log, and
// fetches the packs.
func (h *history) confirm(ctx context.Context, m *Materials, in *decision.Inputs) error {
	if in.Tenant != h.tenant || in.Release.Size < 1 || in.Release.Size > int64(len(h.states)) {
		return fmt.Errorf("%w: the record is of tenant %s after %d statements, the log of tenant %s has %d",
			ErrNotLive, in.Tenant, in.Release.Size, h.tenant, len(h.states))
	}
	trust := h.states[in.Release.Size-1]
	pol, ok := trust.Policy()
	if !ok || in.Policy != (decision.Policy{Seq: pol.Seq, Digest: string(pol.Digest)}) {
		return fmt.Errorf("%w: tenant policy %d was not in force after statement %d", ErrNotLive, in.Policy.Seq,
			in.Release.Size-1)
	}
	if home, err := trust.Home(); err != nil || tenant.Region(home.Certificate.Region) != in.Region {
		return fmt.Errorf("%w: after statement %d the tenant did not live in region %s", ErrNotLive, in.Release.Size-1,
			in.Region)
	}
	policy, err := m.AddPolicy(string(pol.Digest), pol.Raw)
	if err != nil {
		return err
	}
	client, _ := policy.Client(in.Client)
	if in.Zone != policy.Zone || in.Language != policy.Language || in.Dialect != string(client.Dialect) {
		return fmt.Errorf("%w: tenant policy %d gives another zone, language or dialect", ErrNotLive, pol.Seq)
	}
	live, _ := ReleaseAt(trust, policy, in.Time)
	if !sameRelease(live, in.Release) {
		return fmt.Errorf("%w: after statement %d other packs were live", ErrNotLive, in.Release.Size-1)
	}
	for _, ref := range in.Release.Artefacts() {
		if ref.Why == decision.WhyMissing {
			continue
		}
		if err := m.take(ctx, rulepacks.Digest(ref.Digest), h.fetch); err != nil {
			return err
		}
	}
	s, err := m.Snapshot(in.Release, in.Policy)
	if err != nil {
		return err
	}
	return confirmCuts(Withheld(trust, s), in.Cut)
}

// sameRelease checks what a record says was in force against the log.
func sameRelease(live, recorded decision.Release) bool {
	packs := make([]decision.Ref, len(recorded.Packs))
	for i, ref := range recorded.Packs {
		packs[i] = activated(ref)
	}
	if !slices.Equal(live.Packs, packs) || (live.Terminology == nil) != (recorded.Terminology == nil) {
		return false
	}
	if (live.CodeMap == nil) != (recorded.CodeMap == nil) ||
		live.CodeMap != nil && activated(*recorded.CodeMap) != *live.CodeMap {
		return false
	}
	t := recorded.Terminology
	if t == nil {
		return true
	}
	// Without the terminology in force no pack is run.
	blind := t.Mode != decision.Active && slices.ContainsFunc(recorded.Packs,
		func(r decision.Ref) bool { return r.Mode == decision.Active })
	return !blind && activated(*t) == *live.Terminology
}

// activated is how the log names an artefact of a record. That a node could not run
// it is the record's own word, and shows in its findings: it is taken with a known
// reason, and of a pack out of service only that its archive was missing.
func activated(ref decision.Ref) decision.Ref {
	known := []decision.Why{decision.WhyMissing, decision.WhyLibrary, decision.WhyCode, decision.WhyParameters,
		decision.WhyTerminology, decision.WhyCases}
	switch {
	case ref.Mode == decision.NotRunnable && slices.Contains(known, ref.Why):
		ref.Mode, ref.Why = decision.Active, ""
	case ref.Mode == decision.Suspended && ref.Why == decision.WhyMissing:
		ref.Why = ""
	}
	return ref
}

// confirmCuts checks that exactly the rules out of service were cut for that. What
// was cut by time is the record's own word, and shows in its findings.
func confirmCuts(suspended, recorded []decision.Cut) error {
	var claimed []decision.Cut
	for _, c := range recorded {
		switch c.Cause {
		case decision.CutSuspension:
			claimed = append(claimed, c)
		case decision.CutDeadline, decision.CutLimit, decision.CutRanOn:
		default:
			return fmt.Errorf("%w: nothing is cut because of %q", ErrNotLive, c.Cause)
		}
	}
	if !slices.Equal(claimed, suspended) {
		return fmt.Errorf("%w: other rules were suspended", ErrNotLive)
	}
	return nil
}

// take adds a pack from elsewhere.
func (m *Materials) take(ctx context.Context, d rulepacks.Digest,
	fetch func(context.Context, rulepacks.Digest) ([]byte, error)) error {
	if m.Pack(d) != nil {
		return nil
	}
	tar, err := fetch(ctx, d)
	if err != nil {
		return fmt.Errorf("fetching pack %s: %w", d, err)
	}
	pack, err := rulepacks.ReadArchive(bytes.NewReader(tar), rulepacks.Limits{})
	if err != nil {
		return fmt.Errorf("reading fetched pack %s: %w", d, err)
	}
	if pack.Digest != d {
		return fmt.Errorf("reading fetched pack: it has digest %s, not %s that was signed: %w", pack.Digest, d,
			rulepacks.ErrDigest)
	}
	return m.AddPack(pack)
}
