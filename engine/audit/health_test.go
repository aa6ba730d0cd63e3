package audit_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/tenant"
)

// ticks is a clock that nobody sets, moved by a test.
type ticks struct{ atomic.Int64 }

func (t *ticks) now() time.Duration { return time.Duration(t.Load()) }

func (t *ticks) add(d time.Duration) { t.Add(int64(d)) }

// soon is a context that ends before a stalled store goes on.
func soon(t *testing.T) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(stop)
	return ctx
}

// eventually waits until a condition that something else brings about holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// stalledRegion opens a log on a store that a test can stall.
func stalledRegion(t *testing.T, queue int) (*region, *audittest.Stalling, *ticks, *audit.Log) {
	r := newRegion(t)
	s := audittest.NewStalling(r.store)
	r.store, r.queue = s, queue
	c, clock := r.config(t), &ticks{}
	c.Ticks, c.Look = clock.now, time.Hour
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Resume(); l.Close() })
	return r, s, clock, l
}

func TestNobodyWaitsForAStalledStoreLongerThanItsContext(t *testing.T) {
	r, s, _, l := stalledRegion(t, 0)
	rc := appendOK(t, l, r.entry("north", "p1"))
	s.Stall()
	for name, do := range map[string]func(context.Context) error{
		"append":     func(ctx context.Context) error { _, err := l.Append(ctx, r.entry("north", "p1")); return err },
		"new tenant": func(ctx context.Context) error { _, err := l.Append(ctx, r.entry("south", "p1")); return err },
		"get":        func(ctx context.Context) error { _, err := l.Get(ctx, "north", rc.RecordID); return err },
		"by call":    func(ctx context.Context) error { _, err := l.ByIdem(ctx, "north", []byte("x")); return err },
		"by card":    func(ctx context.Context) error { _, err := l.ByCard(ctx, "north", "x"); return err },
		"receipt":    func(ctx context.Context) error { _, err := l.Receipt(ctx, "north", rc.RecordID); return err },
		"list":       func(ctx context.Context) error { _, err := l.List(ctx, "north", audit.Filter{}); return err },
		"proof":      func(ctx context.Context) error { _, err := l.Proof(ctx, "north", rc.RecordID); return err },
		"logs":       func(ctx context.Context) error { _, err := l.Logs(ctx, "north"); return err },
		"sizes":      func(ctx context.Context) error { _, err := l.ReleaseSizes(ctx); return err },
		"blob":       func(ctx context.Context) error { _, err := l.PutBlob(ctx, []byte("x")); return err },
		"statements": func(ctx context.Context) error {
			for _, err := range l.Statements(ctx, "north", 0) {
				return err
			}
			return nil
		},
	} {
		began := time.Now()
		if err := do(soon(t)); !errors.Is(err, audit.ErrLate) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want ErrLate", name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: the caller waited %v", name, took)
		}
	}
	s.Resume()
	appendOK(t, l, r.entry("north", "p1"))
	verified(t, l.Reader, "north")
}

func TestStalledStoreIsNotReadyAndRecoversByItself(t *testing.T) {
	r, s, clock, l := stalledRegion(t, 0)
	appendOK(t, l, r.entry("north", "p1"))
	s.Stall()
	if _, err := l.Append(soon(t), r.entry("north", "p1")); !errors.Is(err, audit.ErrLate) {
		t.Fatalf("append: %v, want ErrLate", err)
	}
	if err := l.Ready(); err != nil {
		t.Errorf("a commit that has just begun: %v", err)
	}
	clock.add(6 * time.Second)
	if err := l.Ready(); !errors.Is(err, audit.ErrStalled) || !strings.Contains(err.Error(), "6s") {
		t.Errorf("ready: %v, want ErrStalled with the time", err)
	}
	if age := l.Stats().UnderWay; age != 6*time.Second {
		t.Errorf("the commit is %v old, want 6s", age)
	}
	_, err := l.Append(t.Context(), r.entry("north", "p1")) // has no end, and does not wait
	if !errors.Is(err, audit.ErrStalled) || !errors.Is(err, audit.ErrNotApplied) {
		t.Errorf("append: %v, want ErrStalled", err)
	}
	s.Resume()
	eventually(t, "being ready", func() bool { return l.Ready() == nil })
	appendOK(t, l, r.entry("north", "p1"))
	if s := l.Stats(); s.Commits.Count < 2 || s.Commits.Below[30] != s.Commits.Count {
		t.Errorf("times of commits: %+v", s.Commits)
	}
	verified(t, l.Reader, "north")
}

// TestWhatRemovesPowerGoesFirst fills the queue behind a stalled commit: what removes power has a place all the same,
// also when the log says that it is not ready, and is stored before what came earlier.
func TestWhatRemovesPowerGoesFirst(t *testing.T) {
	const waiting = 4
	r, s, clock, l := stalledRegion(t, waiting)
	appendOK(t, l, r.entry("north", "p1"))
	event := func() audit.Entry {
		e := r.entry("north", "")
		e.Kind, e.Patient = audit.Event, audit.Patient{}
		return e
	}
	appendOK(t, l, event()) // the key of entries about nobody is known from now on
	eventually(t, "the end of its commit", func() bool { return l.Stats().UnderWay == 0 })
	s.Stall()
	receipts := make(chan audit.Receipt, waiting)
	begin := func(e audit.Entry) {
		go func() {
			rc, err := l.Append(context.Background(), e)
			if err != nil {
				t.Error(err)
			}
			receipts <- rc
		}()
	}
	begin(r.entry("north", "p1"))
	eventually(t, "a commit", func() bool { clock.add(1); return l.Stats().UnderWay > 0 })
	for range waiting {
		begin(event())
	}
	eventually(t, "a full queue", func() bool { return l.Stats().Waiting == waiting })
	if _, err := l.Append(t.Context(), r.entry("north", "p1")); !errors.Is(err, audit.ErrBusy) {
		t.Errorf("append to a full queue: %v, want ErrBusy", err)
	}
	clock.add(time.Minute)
	e := r.statement("north", 0)
	e.Removes = true
	removed := make(chan audit.Receipt)
	go func() {
		rc, err := l.Append(context.Background(), e)
		if err != nil {
			t.Error(err)
		}
		removed <- rc
	}()
	eventually(t, "the statement waiting", func() bool { return l.Stats().Waiting == waiting+1 })
	s.Resume()
	if rc := <-removed; rc.Index != 3 {
		t.Errorf("the statement has index %d, want 3: right after what was being stored", rc.Index)
	}
	for range waiting + 1 {
		<-receipts
	}
	verified(t, l.Reader, "north")
}

func TestFullStoreTakesOnlyWhatRemovesPower(t *testing.T) {
	r := newRegion(t)
	const floor = 1 << 20
	s := audittest.NewMetered(r.store, audit.Room{Free: 8 * floor, Total: 100 * floor, Used: 5})
	r.store = s
	c := r.config(t)
	c.MinFree, c.Look = floor, time.Millisecond
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	first := r.entry("north", "p1")
	appendOK(t, l, first)
	s.Set(floor - 1)
	full := func(err error) bool { return errors.Is(err, audit.ErrFull) && errors.Is(err, audit.ErrNotApplied) }
	eventually(t, "not being ready", func() bool { return full(l.Ready()) })
	if got := l.Stats(); !got.Metered || got.Room.Free != floor-1 || got.Room.Used != 5 {
		t.Errorf("figures: %+v", got)
	}
	if _, err := l.Append(t.Context(), r.entry("north", "p1")); !full(err) {
		t.Errorf("append: %v, want ErrFull", err)
	}
	if _, err := l.PutBlob(t.Context(), []byte("archive")); !full(err) {
		t.Errorf("blob: %v, want ErrFull", err)
	}
	again := first
	if rc := appendOK(t, l, again); !rc.Repeated {
		t.Error("a repeat needs no space")
	}
	e := r.statement("north", 0)
	e.Removes = true
	appendOK(t, l, e)
	s.Set(floor/4 - 1)
	e = r.statement("north", 1)
	e.Removes = true
	if _, err := l.Append(t.Context(), e); !full(err) {
		t.Errorf("removing power without any space: %v, want ErrFull", err)
	}
	s.Set(8 * floor)
	appendOK(t, l, e)
	eventually(t, "being ready", func() bool { return l.Ready() == nil })
	appendOK(t, l, under(t, l, r.entry("north", "p1")))
	if err := l.Err(); err != nil {
		t.Errorf("a full store ended the log: %v", err)
	}
	verified(t, l.Reader, "north")
}

// fullMark is a mark that cannot be written while it is full.
type fullMark struct {
	audit.Mark
	full atomic.Bool
}

func (m *fullMark) Store(ctx context.Context, heads []audit.MarkedHead) error {
	if m.full.Load() {
		return errors.New("no space left")
	}
	return m.Mark.Store(ctx, heads)
}

// TestMarkThatCannotBeWrittenStopsRecordsUntilItCan: what was stored when it failed is stored and answered; then nothing
// is, but what removes power, before the mark has caught up.
func TestMarkThatCannotBeWrittenStopsRecordsUntilItCan(t *testing.T) {
	r := newRegion(t)
	c := r.config(t)
	mark := &fullMark{Mark: c.Mark}
	c.Mark, c.Look = mark, time.Millisecond
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	appendOK(t, l, r.entry("north", "p1"))
	appendOK(t, l, r.statement("north", 0))
	mark.full.Store(true)
	appendOK(t, l, under(t, l, r.entry("north", "p1")))
	lost := func(err error) bool { return errors.Is(err, audit.ErrMarkLost) && errors.Is(err, audit.ErrNotApplied) }
	if _, err := l.Append(t.Context(), under(t, l, r.entry("north", "p1"))); !lost(err) {
		t.Errorf("append without mark: %v, want ErrMarkLost", err)
	}
	eventually(t, "not being ready", func() bool { return lost(l.Ready()) })
	e := r.statement("north", 1)
	e.Removes = true
	appendOK(t, l, e)
	mark.full.Store(false)
	eventually(t, "being ready", func() bool { return l.Ready() == nil })
	appendOK(t, l, under(t, l, r.entry("north", "p1")))
	l.Close()
	verified(t, r.open(t).Reader, "north")
}

func TestFullVolumeOfTheMarkAtTheStart(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	l.Close()
	c := r.config(t)
	mark := &fullMark{Mark: c.Mark}
	mark.full.Store(true)
	c.Mark, c.Look = mark, time.Millisecond
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	if err := l.Ready(); !errors.Is(err, audit.ErrMarkLost) {
		t.Errorf("ready: %v, want ErrMarkLost", err)
	}
	mark.full.Store(false)
	eventually(t, "being ready", func() bool { return l.Ready() == nil })
	appendOK(t, l, r.entry("north", "p1"))
}

// TestScrubNoticesWhatNobodyReads damages a body, an index entry and a blob under a log that runs.
func TestScrubNoticesWhatNobodyReads(t *testing.T) {
	r := newRegion(t)
	c := r.config(t)
	found := make(chan tenant.ID, 100)
	c.Scrub = audit.Scrubbing{Every: time.Millisecond, Rate: 1 << 40, Found: func(tn tenant.ID, list []audit.Finding) {
		select {
		case found <- tn:
		default:
		}
	}}
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for range 3 {
		appendOK(t, l, r.entry("north", "p1"))
		appendOK(t, l, r.entry("south", "p1"))
	}
	blob, err := l.PutBlob(t.Context(), []byte("archive"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a scrub", func() bool { s := l.Stats().Scrubbed; return !s.Finished.IsZero() && s.Findings == 0 })
	if len(found) > 0 {
		t.Fatal("a whole store is said to be damaged")
	}
	for space, tn := range map[audit.Space]tenant.ID{audit.Bodies: "north", audit.Records: "south", audit.Blobs: ""} {
		key := blob[:]
		if space != audit.Blobs {
			_ = r.memory().View(t.Context(), func(v audit.View) error {
				return v.Scan(space, tn, nil, nil, false, func(k, _ []byte) (bool, error) {
					key = append([]byte{}, k...)
					return false, nil
				})
			})
		}
		r.memory().Edit(space, tn, key, func(b []byte) []byte { b[0] ^= 1; return b })
		eventually(t, "noticing "+space.String(), func() bool {
			select {
			case got := <-found:
				return got == tn
			default:
				return false
			}
		})
	}
	eventually(t, "a count", func() bool { return l.Stats().Scrubbed.Findings >= 3 })
}
