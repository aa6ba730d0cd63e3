package decide

import (
	"slices"
	"strings"
	"time"

	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

// ReleaseAt is what a release log makes live at a time, exactly as records of
// that time name it but for what a node cannot run, and when that ends by itself
// (zero for never).
func ReleaseAt(trust *signing.State, policy *tenant.Policy, now time.Time) (rel decision.Release, until time.Time) {
	rel = decision.Release{Size: int64(trust.Size()), Packs: []decision.Ref{}}
	inService := map[statement.Pack]bool{}
	var terms, codes time.Time // when those of rel were logged
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
		ref := decision.Ref{Name: string(a.Pack), Version: a.Version, Digest: string(a.Archive.SHA256), Seq: a.Seq,
			Mode: decision.Mode(a.Mode), Library: a.Library}
		switch r, _ := trust.Release(a.Archive.SHA256); r.PackKind {
		case statement.TerminologyPack: // of several the one that was activated last
			if rel.Terminology == nil || !a.LoggedAt.Before(terms) {
				rel.Terminology, terms = &ref, a.LoggedAt
			}
		case statement.CodeMapPack:
			if rel.CodeMap == nil || !a.LoggedAt.Before(codes) {
				rel.CodeMap, codes = &ref, a.LoggedAt
			}
		default:
			rel.Packs = append(rel.Packs, ref)
		}
	}
	for _, name := range servedPacks(policy) {
		seq, digest := trust.Succession(statement.Pack(name))
		r, ok := trust.Release(digest)
		if ok && !inService[statement.Pack(name)] && r.PackKind == statement.RulesPack {
			rel.Packs = append(rel.Packs,
				decision.Ref{Name: name, Version: r.Version, Digest: string(digest), Seq: seq,
					Mode: decision.Suspended})
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

// Withheld lists the rules of a snapshot that are out of service while their pack
// runs. Such a rule is cut on every subject.
func Withheld(trust *signing.State, s *Snapshot) []decision.Cut {
	var cuts []decision.Cut
	for _, p := range s.packs {
		for _, r := range p.rules {
			if p.Mode == decision.Active && trust.Suspended(statement.Pack(p.Name), p.short(r)) {
				cuts = append(cuts, decision.Cut{Rule: r.ID, Subject: decision.AnySubject,
					Cause: decision.CutSuspension})
			}
		}
	}
	return cuts
}
