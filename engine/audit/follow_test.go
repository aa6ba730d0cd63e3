package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// TestDecisionIsStoredUnderItsReleases shows what is bound to the size of the release log, in one batch and between
// nodes.
func TestDecisionIsStoredUnderItsReleases(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.statement("north", 0))
	for kind, bound := range map[audit.Kind]bool{
		audit.Decision: true, audit.Refusal: false, audit.Feedback: true, audit.Access: false, audit.Event: false,
	} {
		for release := range int64(3) {
			e := r.entry("north", "p1")
			e.Kind, e.Release = kind, release
			_, err := l.Append(t.Context(), e)
			if moved := bound && release != 1; errors.Is(err, audit.ErrMoved) != moved || !moved && err != nil {
				t.Errorf("%s under %d of 1 statements: %v", kind, release, err)
			}
			if _, err := l.Get(t.Context(), "north", e.RecordID); bound && release != 1 && !errors.Is(err, audit.ErrNotFound) {
				t.Errorf("a refused decision: %v, want ErrNotFound", err)
			}
		}
	}
	appendOK(t, l, r.entry("south", "p1")) // no statement is of size 0
	l.Close()

	// One batch: the order of arrival counts.
	g := newGate(r.store)
	own := *r
	own.store = g
	l = own.open(t)
	send := func(e audit.Entry) chan error {
		done := make(chan error, 1)
		before := audit.Waiting(l)
		go func() {
			_, err := l.Append(context.Background(), e)
			done <- err
		}()
		queued(l, before+1)
		return done
	}
	go l.Append(context.Background(), r.entry("holder", "p1"))
	<-g.waiting
	entry := func(release int64) audit.Entry { e := r.entry("north", "p1"); e.Release = release; return e }
	waiting := []chan error{send(entry(1)), send(r.statement("north", 1)), send(entry(1)), send(entry(2))}
	close(g.open)
	for i, done := range waiting {
		if err := <-done; errors.Is(err, audit.ErrMoved) != (i == 2) || i != 2 && err != nil {
			t.Errorf("entry %d of the batch: %v", i, err)
		}
	}
	verified(t, l.Reader, "north")
	verified(t, l.Reader, "south")

	// Two nodes: a statement of the other one comes between plan and commit.
	first := true
	other := r.node(t, func(s audit.Store) audit.Store { return s })
	late := r.node(t, func(s audit.Store) audit.Store {
		return &rival{Store: s, tenant: "north", first: func() {
			if first {
				first = false
				appendOK(t, other, r.statement("north", 2))
			}
		}}
	})
	if _, err := late.Append(t.Context(), entry(2)); !errors.Is(err, audit.ErrMoved) {
		t.Errorf("a statement came between: %v, want ErrMoved", err)
	}
	appendOK(t, late, entry(3))
	verified(t, late.Reader, "north")
}

func TestDecisionUnderOtherReleasesIsFound(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	e := r.entry("north", "p1")
	e.Kind, e.Release = audit.Refusal, 7 // not bound, so it stands in for a decision that slipped through
	appendOK(t, l, e)
	r.memory().Edit(audit.Leaves, "north", leafKey("audit/2026-03", 0), audit.ForgeLeaf("refusal", "decision"))
	rep, err := l.Verify(t.Context(), "north", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	found(t, rep, "order", "made under 7 statements, and stored when there were 0")
}

// TestGrowthOfReleaseLogsIsTold watches from one node what the other one writes.
func TestGrowthOfReleaseLogsIsTold(t *testing.T) {
	r := newRegion(t)
	a, b := r.open(t), r.node(t, func(s audit.Store) audit.Store { return s })
	told := make(chan tenant.ID)
	sizes := make(chan int64, 10)
	stop := a.Watch(func(tn tenant.ID) {
		got, err := a.ReleaseSizes(context.Background(), tn, "nobody")
		if err != nil || got["nobody"] != 0 || len(got) != 2 {
			t.Errorf("sizes %v, %v", got, err)
		}
		e := r.entry(tn, "p1")
		e.Kind = audit.Event
		if _, err := a.Append(context.Background(), e); err != nil {
			t.Error(err)
		}
		sizes <- got[tn]
		told <- tn
	})
	wait := func(want tenant.ID, size int64) {
		t.Helper()
		select {
		case got := <-told:
			if n := <-sizes; got != want || n != size {
				t.Errorf("told of %s with %d statements, want %s with %d", got, n, want, size)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nobody is told")
		}
	}
	appendOK(t, b, r.entry("north", "p1")) // no statement: nothing to tell
	appendOK(t, b, r.statement("north", 0))
	wait("north", 1)
	appendOK(t, a, r.statement("north", 1))
	for len(sizes) == 0 { // the callee of north is told and waits for us
		time.Sleep(time.Millisecond)
	}
	appendOK(t, b, r.statement("south", 0)) // told while the callee is busy: once, and afterwards
	appendOK(t, b, r.statement("south", 1))
	wait("north", 2)
	wait("south", 2)
	stop()
	stop()
	appendOK(t, b, r.statement("south", 2))
	select {
	case tn := <-told:
		t.Errorf("told of %s after the end", tn)
	default:
	}
	if all, err := b.ReleaseSizes(t.Context()); err != nil || len(all) != 2 || all["north"] != 2 || all["south"] != 3 {
		t.Errorf("sizes of all: %v, %v", all, err)
	}
	r.memory().Edit(audit.Heads, "north", []byte("releases"), func([]byte) []byte { return []byte("{}") })
	if _, err := b.ReleaseSizes(t.Context()); !errors.Is(err, audit.ErrCorrupt) {
		t.Errorf("a damaged head: %v, want ErrCorrupt", err)
	}
}
