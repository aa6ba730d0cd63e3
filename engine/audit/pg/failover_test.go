package pg_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/audit/pg/pgtest"
)

// TestStandbyTakesOver kills the primary while a commit waits for its standby, which does not have it, and promotes the
// standby: the call is told that nothing was stored, what was answered before is there, and the log goes on.
func TestStandbyTakesOver(t *testing.T) {
	primary := pgtest.Start(t)
	database := primary.Database(t)
	standby := primary.Follow(t)
	s := opened(t, pgtest.URLs(database, pgtest.Service, primary, standby))
	defer s.Close()
	clock, node := audittest.Region(t)
	l := node(s)
	var answered []audit.Receipt
	add := func() (audit.Entry, error) {
		e := audittest.Entry(clock.Time(), "north", "p1")
		ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
		defer stop()
		rc, err := l.Append(ctx, e)
		if err == nil {
			answered = append(answered, rc)
		}
		return e, err
	}
	for range 5 {
		if _, err := add(); err != nil {
			t.Fatal(err)
		}
	}
	standby.Stop(t)
	before := l.Stats().Commits.Count
	waiting := make(chan error, 1)
	var lost audit.Entry
	go func() {
		var err error
		lost, err = add()
		waiting <- err
	}()
	end := time.Now().Add(20 * time.Second)
	for ; l.Stats().UnderWay < 300*time.Millisecond; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) || l.Stats().Commits.Count > before {
			t.Fatal("the commit does not wait for the standby")
		}
	}
	primary.Kill()
	standby.Restart(t)
	standby.Promote(t)
	if err := <-waiting; !errors.Is(err, audit.ErrNotApplied) {
		t.Errorf("the commit that the standby did not have: %v", err)
	}
	if _, err := l.Get(t.Context(), "north", lost.RecordID); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("its record: %v", err)
	}
	for i := range 5 {
		if _, err := add(); err != nil {
			t.Fatalf("call %d afterwards: %v", i, err)
		}
	}
	for i, rc := range answered {
		got, err := l.Receipt(t.Context(), "north", rc.RecordID)
		if err != nil || got.Index != rc.Index || got.Index != int64(i) {
			t.Errorf("answered record %d: %+v, %v", i, got, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestCutWaitIsUnknown has an operator end the wait of a commit for its standby: that is not durable on the standby, so
// it is not answered before it is.
func TestCutWaitIsUnknown(t *testing.T) {
	primary := pgtest.Start(t)
	database := primary.Database(t)
	standby := primary.Follow(t)
	s := opened(t, primary.URL(database, pgtest.Service))
	defer s.Close()
	put := item(audit.Records, "north", "k", "v")
	commit(t, s, item(audit.Records, "north", "warm", "v"))
	standby.Freeze(t, true)
	done := make(chan error, 1)
	go func() { done <- s.Commit(context.Background(), &audit.Batch{Put: []audit.Item{put}}) }()
	for cut := false; !cut; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-done:
			if err == nil || errors.Is(err, audit.ErrNotApplied) || errors.Is(err, audit.ErrConflict) {
				t.Fatalf("a commit whose wait was cut: %v, want it to be unknown", err)
			}
			cut = true
		default:
			primary.Exec(t, database,
				"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		}
	}
	// It cannot be told while the standby is away, and is there afterwards.
	ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer stop()
	if err := s.Resolve(ctx, func(audit.View) error { return nil }); err == nil {
		t.Error("resolved without the standby")
	}
	standby.Freeze(t, false)
	err := s.Resolve(t.Context(), func(v audit.View) error {
		got, err := v.Get(audit.Records, "north", []byte("k"))
		if string(got) != "v" {
			t.Errorf("it is %q", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestStandbyTakesOverUnderLoad kills the primary under load and promotes the standby: what was answered is there,
// once.
func TestStandbyTakesOverUnderLoad(t *testing.T) {
	primary := pgtest.Start(t)
	database := primary.Database(t)
	standby := primary.Follow(t)
	url := pgtest.URLs(database, pgtest.Service, primary, standby)
	l := newLoad(t, url, url)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.run(6, stop) })
	time.Sleep(time.Second)
	primary.Kill()
	standby.Promote(t)
	time.Sleep(time.Second)
	close(stop)
	wg.Wait()
	l.close()
	l.judge(url)
	if l.failures == 0 {
		t.Error("nobody noticed")
	}
}
