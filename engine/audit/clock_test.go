package audit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
)

const day = 24 * time.Hour

// steadyRegion opens a log whose clock is held against one that nobody sets; pass lets time go by on both.
func steadyRegion(t *testing.T) (r *region, l *audit.Log, pass func(time.Duration)) {
	r = newRegion(t)
	c, steady := r.config(t), &ticks{}
	c.Ticks, c.Look, c.Patience = steady.now, time.Millisecond, 1e6*time.Hour
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return r, l, func(d time.Duration) { r.clock.Add(d); steady.add(d) }
}

// TestClockThatJumpsIsRefused: while the clock is wrong nothing is stored, but what removes power at the time it should
// be; when it is right again, everything is filed where it belongs.
func TestClockThatJumpsIsRefused(t *testing.T) {
	for _, jump := range []time.Duration{400 * day, 40 * day, 6 * time.Minute, -6 * time.Minute, -40 * day} {
		t.Run(jump.String(), func(t *testing.T) {
			r, l, pass := steadyRegion(t)
			appendOK(t, l, r.entry("north", "p1"))
			pass(time.Hour)
			right := r.clock.Time()
			r.clock.Add(jump)
			if _, err := l.Append(t.Context(), r.entry("north", "p1")); !errors.Is(err, audit.ErrClock) ||
				!errors.Is(err, audit.ErrNotApplied) {
				t.Errorf("append: %v, want ErrClock", err)
			}
			eventually(t, "not being ready", func() bool { return errors.Is(l.Ready(), audit.ErrClock) })
			if off := l.Stats().ClockOff; off != jump {
				t.Errorf("the clock is said to be %v ahead, want %v", off, jump)
			}
			s := r.statement("north", 0)
			s.Removes = true
			appendOK(t, l, s)
			rec, err := l.Get(t.Context(), "north", s.RecordID)
			if err != nil || !rec.Leaf.Committed.Equal(right) {
				t.Errorf("what removes power was stored at %v, %v; want %v", rec.Leaf.Committed, err, right)
			}
			r.clock.Add(-jump)
			eventually(t, "being ready", func() bool { return l.Ready() == nil })
			rc := appendOK(t, l, under(t, l, r.entry("north", "p1")))
			if !strings.HasSuffix(rc.Log, "/audit/2026-03") {
				t.Errorf("filed in %s", rc.Log)
			}
			verified(t, l.Reader, "north")
		})
	}
}

// TestClockMayDrift: small steps, and a clock that runs a little fast for months, are not jumps.
func TestClockMayDrift(t *testing.T) {
	r, l, pass := steadyRegion(t)
	r.clock.Add(4 * time.Minute)
	appendOK(t, l, r.entry("north", "p1"))
	for range 60 {
		pass(day)
		r.clock.Add(40 * time.Second)
		appendOK(t, l, r.entry("north", "p1"))
	}
	r.clock.Add(10 * time.Minute)
	if _, err := l.Append(t.Context(), r.entry("north", "p1")); !errors.Is(err, audit.ErrClock) {
		t.Errorf("a jump after that: %v, want ErrClock", err)
	}
}

// TestClockThatWasWrongIsHealed has records stored by a node that was started with its clock ahead. With the right clock
// the start is refused, until it is told to go on: then records are filed under their own months again, in logs of a
// new era, chained to those of before.
func TestClockThatWasWrongIsHealed(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	appendOK(t, l, r.entry("south", "p1"))
	l.Close()
	r.clock.Add(40 * day)
	l = r.open(t)
	wrong := appendOK(t, l, r.entry("north", "p1"))
	l.Close()
	r.clock.Add(-40*day + time.Hour)
	if _, err := r.tryOpen(t); !errors.Is(err, audit.ErrClock) || !strings.Contains(err.Error(), "--adopt-clock") ||
		strings.Contains(err.Error(), "south") {
		t.Fatalf("start: %v, want ErrClock with how to mend it", err)
	}
	c := r.config(t)
	c.AdoptClock = true
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	logs := map[string]audit.Receipt{"2026-04": wrong}
	put := func(want string) {
		t.Helper()
		rc := appendOK(t, l, r.entry("north", "p1"))
		if !strings.HasSuffix(rc.Log, "/audit/"+want) {
			t.Errorf("at %v filed in %s, want %s", r.clock.Time(), rc.Log, want)
		}
		logs[want] = rc
	}
	put("2026-03.2")
	if rc := appendOK(t, l, r.entry("south", "p1")); !strings.HasSuffix(rc.Log, "/audit/2026-03") {
		t.Errorf("a tenant that was not concerned is filed in %s", rc.Log)
	}
	l.Close()
	l = r.open(t) // as ever
	put("2026-03.2")
	for _, want := range []string{"2026-04.2", "2026-05.2"} {
		r.clock.Add(30 * day)
		put(want)
	}
	list, err := l.List(t.Context(), "north", audit.Filter{Kind: audit.Event})
	if err != nil || len(list.Records) != 1 {
		t.Fatalf("events: %+v, %v", list.Records, err)
	}
	rec, err := l.Get(t.Context(), "north", list.Records[0].Leaf.RecordID)
	if err != nil || rec.Log != "audit/2026-03.2" || rec.Leaf.Index != 1 || !strings.Contains(string(rec.Body),
		`{"what":{"verb":"adopt clock","newest":"2026-04-11T15:00:00.123Z"}}`) {
		t.Errorf("event %d of %s: %s, %v", rec.Leaf.Index, rec.Log, rec.Body, err)
	}
	heads, err := l.Logs(t.Context(), "north")
	var names []string
	for _, h := range heads {
		names = append(names, string(h.Log))
	}
	if got := strings.Join(names, " "); err != nil ||
		got != "audit/2026-03 audit/2026-04 audit/2026-03.2 audit/2026-04.2 audit/2026-05.2" {
		t.Errorf("logs: %s, %v", got, err)
	}
	for name, rc := range logs {
		if _, err := l.Proof(t.Context(), "north", rc.RecordID); err != nil {
			t.Errorf("proof of a record of %s: %v", name, err)
		}
	}
	verified(t, l.Reader, "north")
	verified(t, l.Reader, "south")
}

// TestLogNames reads names of logs in one spelling only.
func TestLogNames(t *testing.T) {
	for name, ok := range map[string]bool{"releases": true, "audit/2026-03": true, "audit/2026-03.2": true,
		"audit/2026-03.9999": true, "audit/2026-03.1": false, "audit/2026-03.02": false, "audit/2026-03.": false,
		"audit/2026-03.2.3": false, "audit/2026-13": false, "audit/2026-03.10000": false, "audit/2026-03.+2": false,
		"audit/2026-03.-2": false, "releases.2": false} {
		if _, err := audit.ParseLogName(name); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
