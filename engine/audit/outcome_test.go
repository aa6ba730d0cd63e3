package audit_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
)

// reads are all ways to read through a log.
func reads(l *audit.Log, rc audit.Receipt, card string, blob audit.Digest) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"get":       func(ctx context.Context) error { _, err := l.Get(ctx, "north", rc.RecordID); return err },
		"proof":     func(ctx context.Context) error { _, err := l.Proof(ctx, "north", rc.RecordID); return err },
		"list":      func(ctx context.Context) error { _, err := l.List(ctx, "north", audit.Filter{}); return err },
		"by card":   func(ctx context.Context) error { _, err := l.ByCard(ctx, "north", card); return err },
		"logs":      func(ctx context.Context) error { _, err := l.Logs(ctx, "north"); return err },
		"tenants":   func(ctx context.Context) error { _, err := l.Tenants(ctx); return err },
		"sizes":     func(ctx context.Context) error { _, err := l.ReleaseSizes(ctx); return err },
		"verify":    func(ctx context.Context) error { _, err := l.Verify(ctx, "north", nil, nil); return err },
		"blob":      func(ctx context.Context) error { _, err := l.Blob(ctx, blob); return err },
		"statement": func(ctx context.Context) error { _, err := l.StatementProof(ctx, "north", 0); return err },
		"note": func(ctx context.Context) error {
			_, err := l.Checkpoint(ctx, "north", "audit/2026-03")
			return err
		},
		"tile": func(ctx context.Context) error {
			_, err := l.Tile(ctx, "north", "audit/2026-03", 0, 0, 1)
			return err
		},
		"statements": func(ctx context.Context) (last error) {
			for _, err := range l.Statements(ctx, "north", 0) {
				last = err
			}
			return last
		},
	}
}

// TestOutcomesAreToldTruly breaks the commit of a record and of a blob in every way, on stores that can tell what
// became of it and on one that cannot.
func TestOutcomesAreToldTruly(t *testing.T) {
	for name, c := range map[string]struct {
		fault audittest.Fault
		tells bool
		want  error // of the call whose commit broke
		stops bool  // the log
	}{
		"lost, told":    {audittest.Lost, true, audit.ErrNotApplied, false},
		"kept, told":    {audittest.Kept, true, nil, false},
		"torn, told":    {audittest.Torn, true, audit.ErrCorrupt, true},
		"refused, told": {audittest.Refused, true, audit.ErrNotApplied, false},
		"lost":          {audittest.Lost, false, audit.ErrStore, true},
		"kept":          {audittest.Kept, false, audit.ErrStore, true},
		"refused":       {audittest.Refused, false, audit.ErrNotApplied, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t)
			whole := r.store
			g := newGate(r.store)
			close(g.open)
			faulty := audittest.NewFaulty(g)
			if r.store = faulty; c.tells {
				r.store = audittest.NewResolving(faulty, 2)
			}
			l := r.open(t)
			first := r.entry("north", "p1")
			rc := appendOK(t, l, first)
			appendOK(t, l, r.statement("north", 0))
			blob, err := l.PutBlob(t.Context(), []byte("archive"))
			if err != nil {
				t.Fatal(err)
			}

			// Two tenants in one batch, and a repeat beside them.
			faulty.Break(1, c.fault)
			broken := []audit.Entry{under(t, l, r.entry("north", "p1")), r.entry("south", "p1")}
			again := under(t, l, first)
			again.RecordID = r.entry("north", "p1").RecordID
			results := inOneBatch(r, l, g, append(broken, again))
			for i, err := range results[:2] {
				if !errors.Is(err, c.want) || c.stops != errors.Is(err, audit.ErrStore) {
					t.Errorf("entry %d: %v, want %v", i, err, c.want)
				}
			}
			if err := results[2]; c.stops && !errors.Is(err, audit.ErrStore) || !c.stops && err != nil {
				t.Errorf("repeat: %v", err)
			}
			if (l.Err() != nil) != c.stops {
				t.Errorf("the log's error is %v", l.Err())
			}
			for what, read := range reads(l, rc, first.Cards[0], blob) {
				if err := read(t.Context()); errors.Is(err, audit.ErrStore) != c.stops || !c.stops && err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if !c.stops {
				faulty.Break(0, c.fault)
				d, err := l.PutBlob(t.Context(), []byte("another"))
				if !errors.Is(err, c.want) {
					t.Errorf("blob: %v, want %v", err, c.want)
				}
				if _, err := l.Blob(t.Context(), d); (err == nil) != (c.want == nil) {
					t.Errorf("reading the blob: %v", err)
				}
				appendOK(t, l, under(t, l, r.entry("north", "p1")))
			}
			l.Close()
			if c.fault == audittest.Torn {
				return // what such a store is worth, the check of the next start says
			}
			r.store = whole
			l = r.open(t)
			for _, e := range broken {
				_, err := l.Get(t.Context(), e.Tenant, e.RecordID)
				if kept := c.fault == audittest.Kept; (err == nil) != kept || !kept && !errors.Is(err, audit.ErrNotFound) {
					t.Errorf("record of %s: %v", e.Tenant, err)
				}
			}
			verified(t, l.Reader, "north")
		})
	}
}

// inOneBatch appends entries that meet in one transaction: they wait while that of another tenant is held up.
func inOneBatch(r *region, l *audit.Log, g *gate, entries []audit.Entry) []error {
	for len(g.waiting) > 0 {
		<-g.waiting
	}
	g.shut()
	var wg sync.WaitGroup
	wg.Go(func() { l.Append(context.Background(), r.entry("holder", "p1")) })
	<-g.waiting
	errs := make([]error, len(entries))
	for i, e := range entries {
		wg.Go(func() { _, errs[i] = l.Append(context.Background(), e) })
	}
	queued(l, len(entries))
	close(g.open)
	wg.Wait()
	return errs
}

// TestUnknownOutcomeIsNotLookedIntoForever never lets the store tell.
func TestUnknownOutcomeIsNotLookedIntoForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		faulty := audittest.NewFaulty(r.store)
		store := audittest.NewResolving(faulty, -1)
		r.store = store
		l := r.open(t)
		appendOK(t, l, r.entry("north", "p1"))
		faulty.Break(0, audittest.Kept)
		start := time.Now()
		_, err := l.Append(t.Context(), r.entry("north", "p1"))
		if !errors.Is(err, audit.ErrStore) || !errors.Is(err, audittest.ErrBroken) {
			t.Errorf("got %v, want ErrStore and the cause", err)
		}
		if took, asked := time.Since(start), store.Asked(); took > time.Minute || asked < 10 || asked > 100 {
			t.Errorf("asked %d times in %v", asked, took)
		}
		l.Close()
	})
}
