package engine

import (
	"context"

	"github.com/precept-cds/precept/engine/audit"
)

// RegionHead returns the newest head of the region's own log, to anybody: it says nothing of whose heads are in it.
func (e *Engine) RegionHead(ctx context.Context) (audit.Head, error) {
	return e.cfg.Log.RegionHead(ctx)
}

// RegionWitnessed returns the newest head of the region's own log that witnesses have cosigned, to anybody.
func (e *Engine) RegionWitnessed(ctx context.Context) (audit.Head, error) {
	return e.cfg.Log.RegionWitnessed(ctx)
}

// RegionTile returns hashes of the region's own log, to anybody.
func (e *Engine) RegionTile(ctx context.Context, level, n, width int) ([]byte, error) {
	return e.cfg.Log.RegionTile(ctx, level, int64(n), width)
}

// RegionEntries returns leaves of the region's own log, to anybody: they are blinded.
func (e *Engine) RegionEntries(ctx context.Context, n, width int) ([]byte, error) {
	return e.cfg.Log.RegionEntries(ctx, int64(n), width)
}

// Anchors returns figures of the region's own log and its witnesses.
func (e *Engine) Anchors() audit.AnchorStats { return e.cfg.Log.Anchors() }

// Anchored proves that a head of one of the tenant's logs, the smallest with so many leaves or more, is in the region's
// log.
func (e *Engine) Anchored(ctx context.Context, c Caller, log string, size int64) (audit.Anchor, error) {
	if err := e.insider(ctx, c); err != nil {
		return audit.Anchor{}, err
	}
	return e.cfg.Log.Anchored(ctx, c.Tenant, audit.LogName(log), size)
}

// Entries returns leaves of one of the tenant's logs. Those of statements are every person's; those of records say when
// there was which kind of record, and are an auditor's.
func (e *Engine) Entries(ctx context.Context, c Caller, log string, n, width int) ([]byte, error) {
	if audit.LogName(log) == audit.Releases {
		if err := e.insider(ctx, c); err != nil {
			return nil, err
		}
	} else if _, err := e.audited(ctx, c, access{Verb: "leaves"}); err != nil {
		return nil, err
	}
	return e.cfg.Log.Entries(ctx, c.Tenant, audit.LogName(log), int64(n), width)
}
