package api

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
)

// The engine's values as they go over the wire. Where the two have the same
// fields this is a conversion, which stops compiling when one of them gets
// another; what is copied by hand is compared with the engine's value in
// convert_test.go.

// list converts each element; the result is never nil, so that JSON has [].
func list[T, W any](from []T, convert func(T) W) []W {
	to := make([]W, len(from))
	for i := range from {
		to[i] = convert(from[i])
	}
	return to
}

func wireStatus(s *engine.Status) wire.Status {
	return wire.Status{
		Tenant: string(s.Tenant), Region: string(s.Region), Build: s.Build, Library: s.Library, OPA: s.OPA,
		NodeKey: s.NodeKey, ReleaseLog: s.ReleaseLog, Policy: wire.PolicyStatus(s.Policy), Unused: s.Unused,
		Home: wire.HomeStatus{Epoch: s.Home.Epoch, Region: string(s.Home.Region), Certificate: s.Home.Certificate,
			Why: s.Home.Why}, Certificate: s.Certificate,
		Packs:       list(s.Packs, func(p engine.PackStatus) wire.PackStatus { return wire.PackStatus(p) }),
		Suspensions: list(s.Suspensions, func(x engine.SuspensionStatus) wire.SuspensionStatus { return wire.SuspensionStatus(x) }),
	}
}

func wireApplied(a *engine.Applied) wire.Applied {
	return wire.Applied{Index: a.Index, Kind: string(a.Kind), Digest: a.Digest, Record: a.Record}
}

func wireStatements(log []decide.Logged) wire.Statements {
	return wire.Statements{Statements: list(log, func(l decide.Logged) wire.Statement { return wire.Statement(l) })}
}

func wireRecordPage(p *engine.RecordPage) wire.RecordPage {
	line := func(l engine.RecordLine) wire.RecordLine { return wire.RecordLine(l) }
	return wire.RecordPage{Next: p.Next, Records: list(p.Records, line)}
}

func wireRecord(r *engine.Record) wire.Record { return wire.Record(*r) }

func wireProof(p audit.Proof) wire.Proof {
	path := list(p.Hashes, func(h tlog.Hash) []byte { return h[:] })
	return wire.Proof{Log: p.Log, Leaf: p.Leaf, Index: p.Index, Path: path, Checkpoint: string(p.Note)}
}

func wireHead(h audit.Head) wire.Head {
	return wire.Head{Log: string(h.Log), Origin: h.Origin, Size: h.Size, Root: h.Root[:], Committed: h.Committed,
		Note: h.Note}
}

func wireLogs(heads []audit.Head) wire.Logs { return wire.Logs{Logs: list(heads, wireHead)} }

// Report is the result of a verification as the server sends it, for those who
// verify a store without one.
func Report(r *audit.Report) *wire.Report {
	return &wire.Report{
		Tenant: string(r.Tenant),
		Logs: list(r.Logs, func(l audit.LogReport) wire.LogReport {
			return wire.LogReport{Head: wireHead(l.Head), Leaves: l.Leaves, Opened: l.Opened, Erased: l.Erased,
				Sealed: l.Sealed}
		}),
		NotChecked: r.NotChecked,
		Findings: list(r.Findings, func(f audit.Finding) wire.Finding {
			return wire.Finding{Log: string(f.Log), Index: f.Index, Check: f.Check, Detail: f.Detail}
		}),
	}
}
