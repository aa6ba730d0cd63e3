package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// adoptions opens the newest record of a tenant, which must be the event of an adoption, and returns per kind of log
// the heads that the mark knew and that were adopted.
func adoptions(t *testing.T, l *audit.Log, tn tenant.ID) map[string][2]string {
	t.Helper()
	page, err := l.List(t.Context(), tn, audit.Filter{Kind: audit.Event})
	if err != nil || len(page.Records) == 0 {
		t.Fatalf("events of %s: %d, %v", tn, len(page.Records), err)
	}
	rec, err := l.Get(t.Context(), tn, page.Records[0].Leaf.RecordID)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		What struct {
			Verb string
			Logs []struct{ Kind, Marked, Adopted string }
		}
	}
	if err := json.Unmarshal(rec.Body, &body); err != nil || body.What.Verb != "adopt high-water mark" {
		t.Fatalf("body %s: %v", rec.Body, err)
	}
	got := map[string][2]string{}
	for _, x := range body.What.Logs {
		got[x.Kind] = [2]string{x.Marked, x.Adopted}
	}
	return got
}

func events(t *testing.T, l *audit.Log, tn tenant.ID) int {
	t.Helper()
	page, err := l.List(t.Context(), tn, audit.Filter{Kind: audit.Event})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Records)
}

// notes are the newest heads of a tenant, per kind of log.
func notes(t *testing.T, l *audit.Log, tn tenant.ID) map[string]string {
	t.Helper()
	heads, err := l.Logs(t.Context(), tn)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, h := range heads {
		kind, _, _ := strings.Cut(string(h.Log), "/")
		m[kind] = string(h.Note)
	}
	return m
}

// TestAdoptingLeavesAnEvent restores an old copy, and loses the mark: either needs the operator's word, and the log of
// each tenant concerned says afterwards what the mark knew and what was taken for true.
func TestAdoptingLeavesAnEvent(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	appendOK(t, l, r.entry("west", "p1"))
	old, oldHeads := r.memory().Clone(), notes(t, l, "north")
	appendOK(t, l, r.entry("north", "p1"))
	appendOK(t, l, r.statement("north", 0))
	appendOK(t, l, r.entry("south", "p1"))
	heads, south := notes(t, l, "north"), notes(t, l, "south")
	l.Close()
	newest := r.memory()
	full, err := os.ReadFile(r.mark)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (*audit.Log, error) {
		c := r.config(t)
		c.AdoptMark, c.Build = true, "1.2.3"
		return audit.Open(t.Context(), c)
	}
	again := func(l *audit.Log) {
		t.Helper()
		l.Close()
		l, err := r.tryOpen(t)
		if err != nil {
			t.Fatalf("the next start: %v", err)
		}
		for _, tn := range []tenant.ID{"north", "south", "west"} {
			if _, err := l.Logs(t.Context(), tn); err == nil {
				verified(t, l.Reader, tn)
			}
		}
		l.Close()
	}

	r.store = old.Clone()
	if _, err := r.tryOpen(t); !errors.Is(err, audit.ErrCutShort) {
		t.Fatalf("old copy: %v, want ErrCutShort", err)
	}
	if l, err = open(); err != nil {
		t.Fatal(err)
	}
	got := adoptions(t, l, "north")
	if got["audit"] != [2]string{heads["audit"], oldHeads["audit"]} || got["releases"] != [2]string{heads["releases"], ""} {
		t.Errorf("north: %q", got)
	}
	if got := adoptions(t, l, "south"); got["audit"] != [2]string{south["audit"], ""} {
		t.Errorf("south, which the copy does not have: %q", got)
	}
	if n := events(t, l, "west"); n != 0 {
		t.Errorf("%d events in a log that is whole", n)
	}
	again(l)
	if l, err = open(); err != nil {
		t.Fatal(err)
	}
	if n := events(t, l, "north"); n != 1 {
		t.Errorf("%d events after a start with nothing to adopt", n)
	}
	again(l)

	for name, mark := range map[string][]byte{"lost": nil, "emptied": {}} {
		r.store = newest.Clone()
		if err := os.Remove(r.mark); err != nil {
			t.Fatal(err)
		}
		if mark != nil {
			if err := os.WriteFile(r.mark, mark, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if l, err = open(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := adoptions(t, l, "north")
		if got["audit"] != [2]string{"", heads["audit"]} || got["releases"] != [2]string{"", heads["releases"]} {
			t.Errorf("%s: %q", name, got)
		}
		if n := events(t, l, "south") + events(t, l, "west"); n != 2 {
			t.Errorf("%s: %d events in the other logs", name, n)
		}
		again(l)
	}

	// Another history is not adopted.
	if err := os.WriteFile(r.mark, full, 0o600); err != nil {
		t.Fatal(err)
	}
	fork := *r
	fork.store, fork.mark = old.Clone(), ""
	l = fork.open(t)
	for range 3 {
		appendOK(t, l, r.entry("north", "p2"))
	}
	l.Close()
	r.store = fork.store
	if _, err := open(); !errors.Is(err, audit.ErrCorrupt) {
		t.Errorf("another history: %v, want ErrCorrupt", err)
	}
	if b, err := os.ReadFile(r.mark); err != nil || !bytes.Equal(b, full) {
		t.Errorf("the mark was changed by a start that failed: %v", err)
	}
}
