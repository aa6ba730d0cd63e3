package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
)

// A ReleaseStatement is one entry of a tenant's release log.
type ReleaseStatement struct {
	Index    int64
	Envelope []byte
	Record   RecordID  // of the record that was written with it; empty if the side index that leads there was deleted
	Decided  time.Time // the log's time of the statement, at which it was checked
}

// Statements yields the release log from an index on, as of one signed head. Each envelope is checked against the
// tree before it is yielded, so a folded state is that of the signed head; the sequence ends at the first error. A
// tenant without release log has no statements.
func (r *Reader) Statements(ctx context.Context, t tenant.ID, from int64) iter.Seq2[ReleaseStatement, error] {
	ctx = Only(ctx, t)
	return func(yield func(ReleaseStatement, error) bool) {
		h, err := seen(ctx, r, func(v View) (Head, error) {
			h, _, _, err := r.head(v, t, streamReleases)
			if err == nil && h.Size > 0 {
				err = checkEdge(v, t, h)
			}
			return h, err
		})
		if err != nil {
			yield(ReleaseStatement{}, fmt.Errorf("reading release log: %w", err))
			return
		}
		for i := max(from, 0); i < h.Size; i++ {
			s, err := seen(ctx, r, func(v View) (ReleaseStatement, error) { return r.statement(v, t, h, i) })
			if err != nil {
				yield(ReleaseStatement{}, fmt.Errorf("reading release log at %d: %w", i, err))
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// statement reads one entry and proves that it is in the tree of h.
func (r *Reader) statement(v View, t tenant.ID, h Head, index int64) (s ReleaseStatement, err error) {
	_, data, err := readLeaf(v, t, Releases, index)
	if err != nil {
		return s, err
	}
	if _, err := proveIn(v, t, h, index, data); err != nil {
		return s, err
	}
	s = ReleaseStatement{Index: index, Envelope: bytes.Clone(data)}
	id, err := v.Get(Lookups, t, statementKey(index))
	if err != nil || id == nil {
		return s, err
	}
	rec, _, err := r.record(v, t, id)
	if err != nil {
		return s, err
	}
	if rec.Leaf.Statement != Digest(sha256.Sum256(data)) || rec.Leaf.ReleaseIndex != index {
		return s, fmt.Errorf("%w: its record is about another statement", ErrCorrupt)
	}
	s.Record, s.Decided = rec.Leaf.RecordID, rec.Leaf.Decided
	return s, nil
}
