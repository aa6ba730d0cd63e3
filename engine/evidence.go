package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/evidence"
)

// Taking out the evidence of a record is two records: who asked for what and why, before anything is looked at, and
// then the digest of exactly what is handed out, before its first byte leaves.

// EvidenceOptions say what of a record is taken out.
type EvidenceOptions struct {
	PatientData bool        // with the record's body
	Since       audit.Since // state of a log from which the file shows that it went on; zero for none
}

const defaultExports = 4

// Exports returns how many evidence files are made or sent now.
func (e *Engine) Exports() int { return len(e.exports) }

// maxRollovers is how often a file is made anew because a month ended while it was made.
const maxRollovers = 3

// Evidence makes the evidence file of a record for an auditor. The caller calls done when it has written it, or has
// given up.
func (e *Engine) Evidence(ctx context.Context, c Caller, id string, o EvidenceOptions) (p *evidence.Package, done func(),
	err error) {
	a := access{Verb: evidence.ExportVerb, Record: recordName(id), PatientData: o.PatientData}
	st, err := e.audited(ctx, c, a)
	if err != nil {
		return nil, nil, err
	}
	own := e.tenants[c.Tenant].exports
	for _, place := range []chan struct{}{own, e.exports} {
		select {
		case place <- struct{}{}:
			continue
		default:
		}
		if place != own {
			<-own
		}
		return nil, nil, fmt.Errorf("making evidence: %w", ErrExports)
	}
	done = func() { <-e.exports; <-own }
	for range maxRollovers {
		if p, err = e.takeOut(ctx, st, c, a, o); !errors.Is(err, audit.ErrMoved) {
			break
		}
	}
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("making evidence: %w", err)
	}
	return p, done, nil
}

// takeOut makes a file and records that.
func (e *Engine) takeOut(ctx context.Context, st *inForce, c Caller, a access, o EvidenceOptions) (*evidence.Package,
	error) {
	id, err := audit.ParseRecordID(a.Record)
	if err != nil {
		return nil, audit.ErrNotFound
	}
	log := e.cfg.Log
	m := evidence.Materials{Tenant: c.Tenant, Region: e.cfg.Region, Body: evidence.LeftOut, Blob: log.Blob}
	if o.PatientData {
		m.Body = evidence.Included
		m.Opened, err = log.Get(ctx, c.Tenant, id)
		if errors.Is(err, audit.ErrErased) {
			m.Body, err = evidence.Erased, nil
		}
		if err != nil {
			return nil, err
		}
	}
	if m.Extract, err = log.Extract(ctx, c.Tenant, id, o.Since); err != nil {
		return nil, err
	}
	draft, err := evidence.New(ctx, m)
	if err != nil {
		return nil, err
	}
	a.Code, a.Digest = evidence.ExportCode, draft.Digest
	own, err := e.noted(ctx, st, c, audit.Access, a)
	if err != nil {
		return nil, err
	}
	var x evidence.Export
	if x.Record, err = log.Get(ctx, c.Tenant, own); err != nil {
		return nil, err
	}
	if x.Proof, x.Since, err = log.ProofSince(ctx, c.Tenant, own, draft.Newest); err != nil {
		return nil, err
	}
	return draft.Finish(x), nil
}
