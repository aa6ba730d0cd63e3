package engine

import (
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide/decidetest"
)

// counted reads the refusals of north that stand for many.
func counted(t *testing.T, n *node) (list []Refusal) {
	t.Helper()
	page, err := n.log.List(t.Context(), "north", audit.Filter{Kind: audit.Refusal, Limit: 1000})
	decidetest.Must(t, err)
	for _, s := range page.Records {
		rec, err := n.log.Get(t.Context(), "north", s.Leaf.RecordID)
		decidetest.Must(t, err)
		var note struct {
			Client string  `json:"client"`
			What   Refusal `json:"what"`
		}
		decidetest.Must(t, jsonv2.Unmarshal(rec.Body, &note))
		if note.Client != "ehr" {
			t.Errorf("refusal of client %q", note.Client)
		}
		if note.What.Count > 0 {
			list = append(list, note.What)
		}
	}
	return list
}

// TestRefusalsBeyondARateAreCounted: a client that asks for a service that is not
// there, again and again, adds a bounded number of records, and none is lost.
func TestRefusalsBeyondARateAreCounted(t *testing.T) {
	const calls = 3*ownRefusals + 7
	n := newRegion(t)
	start := n.clock.now()
	refuse := func(times int) {
		for range times {
			_, err := n.Call(t.Context(), ehr("north"), "nonesuch", decidetest.Patient(t, "clean"))
			decidetest.WantError(t, err, ErrUnknownService)
		}
	}
	refuse(calls)
	if got := n.records("north", audit.Refusal); got != ownRefusals {
		t.Fatalf("%d records of their own, want %d", got, ownRefusals)
	}
	n.clock.advance(time.Minute)
	eventually(t, "the others are recorded", func() bool { return n.records("north", audit.Refusal) == ownRefusals+1 })
	list := counted(t, n)
	if len(list) != 1 || list[0].Count != calls-ownRefusals || list[0].Code != "unknown-service" ||
		list[0].Service != "nonesuch" || !list[0].From.Equal(start) || list[0].To.Before(start.Add(time.Minute)) {
		t.Errorf("counted %+v", list)
	}
	refuse(1) // a new minute
	if got := n.records("north", audit.Refusal); got != ownRefusals+2 {
		t.Errorf("%d records after another minute began, want %d", got, ownRefusals+2)
	}
	refuse(ownRefusals + 4)
	n.restart() // a stop records what was only counted
	if list := counted(t, n); len(list) != 2 || list[0].Count+list[1].Count != calls-ownRefusals+5 {
		t.Errorf("after the stop: %+v", list)
	}
	if n.records("south", audit.Refusal) != 0 {
		t.Error("the other tenant has refusals")
	}
	n.clean("north")
}

// TestBusyIsCounted: calls beyond the limit have no record each, but an auditor sees
// how many there were.
func TestBusyIsCounted(t *testing.T) {
	n := newRegion(t)
	p := decidetest.PolicyFor(t, "north")
	p.Limits.Concurrency = 1
	n.policy("north", p)
	n.tenants["north"].calls.Add(1)
	for range 436 {
		_, err := n.Call(t.Context(), ehr("north"), "orders", decidetest.Patient(t, "clean"))
		decidetest.WantError(t, err, ErrBusy)
	}
	n.tenants["north"].calls.Add(-1)
	if got := n.records("north", audit.Refusal); got != 0 {
		t.Errorf("%d records before the minute is over", got)
	}
	n.restart()
	if list := counted(t, n); len(list) != 1 || list[0].Count != 436 || list[0].Code != "busy" {
		t.Errorf("counted %+v", list)
	}
}
