package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide/decidetest"
)

// TestIndexesFollowFromRecords changes what no hash covers, without any key: each change is named by a verification,
// and a region that was only used has nothing to name.
func TestIndexesFollowFromRecords(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "metformin-egfr-27")
	first, second := n.call("north", body), n.call("north", decidetest.Patient(t, "sertraline-phenelzine"))
	card := decidetest.Cards(t, first.Body)[0].UUID
	feedback := fmt.Sprintf(`{"feedback":[{"card":%q,"outcome":"overridden","overrideReason":{"userComment":"known"},
		"outcomeTimestamp":"2026-03-02T15:00:00Z"},{"card":"of nobody","outcome":"overridden",
		"overrideReason":{"userComment":"x"},"outcomeTimestamp":"2026-03-02T15:00:00Z"}]}`, card)
	_, err := n.Feedback(t.Context(), ehr("north"), "orders", []byte(feedback))
	decidetest.Must(t, err)
	_, err = n.Call(t.Context(), ehr("north"), "nothing", body)
	decidetest.WantError(t, err, ErrUnknownService)
	n.suspend("north", "renal_dosing", "", "wrong")
	if again := n.call("north", body); again.Repeated { // replaces the first
		t.Fatal("repeated")
	}
	check := func() *audit.Report {
		t.Helper()
		r, err := n.Verify(t.Context(), auditor("north"))
		decidetest.Must(t, err)
		if len(r.NotChecked) > 0 {
			t.Errorf("not checked: %v", r.NotChecked)
		}
		return r
	}
	if r := check(); len(r.Findings) > 0 {
		t.Fatalf("before: %v", r.Findings)
	}
	id := func(a *Answer) []byte { u := uuid.MustParse(a.RecordID); return u[:] }
	// each runs fn on what an index has for a record.
	each := func(space audit.Space, a *Answer, change func(value []byte) []byte) {
		t.Helper()
		var keys [][]byte
		decidetest.Must(t, n.store.View(t.Context(), func(v audit.View) error {
			return v.Scan(space, "north", nil, nil, false, func(k, value []byte) (bool, error) {
				if bytes.HasSuffix(k, id(a)) || bytes.Equal(value, id(a)) {
					keys = append(keys, bytes.Clone(k))
				}
				return true, nil
			})
		}))
		if len(keys) == 0 {
			t.Fatalf("nothing in %s", space)
		}
		for _, k := range keys {
			n.edit(space, "north", k, change)
		}
	}
	seen := len(check().Findings)
	for _, c := range []struct {
		name, detail string
		do           func()
	}{
		{"lookups moved", "something else in place of record " + first.RecordID,
			func() { each(audit.Lookups, first, func([]byte) []byte { return id(second) }) }},
		{"patient entry removed", "patients has no entry for record " + second.RecordID,
			func() { each(audit.Patients, second, func([]byte) []byte { return nil }) }},
		{"rules stripped", "other rules for record " + second.RecordID,
			func() { each(audit.Records, second, func(b []byte) []byte { return b[:9+len("audit/2026-03")+1] }) }},
	} {
		c.do()
		r := check()
		if !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool {
			return f.Check == "index" && strings.Contains(f.Detail, c.detail)
		}) || len(r.Findings) <= seen {
			t.Errorf("%s: %v", c.name, r.Findings)
		}
		seen = len(r.Findings)
	}
	var blob []byte
	decidetest.Must(t, n.store.View(t.Context(), func(v audit.View) error {
		return v.Scan(audit.Blobs, "", nil, nil, false, func(k, _ []byte) (bool, error) {
			blob = bytes.Clone(k)
			return false, nil
		})
	}))
	n.edit(audit.Blobs, "", blob, func([]byte) []byte { return nil })
	if r := check(); !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool {
		return f.Check == "blob" && f.Log == audit.Releases
	}) {
		t.Errorf("pack removed: %v", r.Findings)
	}
}
