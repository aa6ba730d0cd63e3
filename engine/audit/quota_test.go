package audit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
)

func TestQuotaConcernsItsTenant(t *testing.T) {
	for name, quota := range map[string]audit.Quota{
		"records a day": {RecordsPerDay: 4}, "bytes a day": {BytesPerDay: 5500}, "bytes in all": {Bytes: 5500},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t)
			l := r.open(t)
			entry := func() audit.Entry {
				e := under(t, l, r.entry("north", "p1"))
				e.Quota = quota
				return e
			}
			first := entry()
			appendOK(t, l, first)
			fill := func() (stored int) {
				t.Helper()
				for stored < 20 {
					_, err := l.Append(t.Context(), entry())
					if errors.Is(err, audit.ErrQuota) && errors.Is(err, audit.ErrNotApplied) {
						return stored
					}
					if err != nil {
						t.Fatal(err)
					}
					stored++
				}
				t.Fatal("the quota was not noticed")
				return 0
			}
			if n := fill(); n != 3 {
				t.Errorf("%d records were stored after the first, want 3", n)
			}
			if err := l.Within("north", quota); name == "records a day" && !errors.Is(err, audit.ErrQuota) {
				t.Errorf("asked before: %v, want ErrQuota", err)
			}
			appendOK(t, l, r.entry("south", "p1"))
			if rc := appendOK(t, l, first); !rc.Repeated {
				t.Error("a repeat counts nothing")
			}
			s := r.statement("north", 0)
			s.Removes, s.Quota = true, quota
			appendOK(t, l, s)
			verified(t, l.Reader, "north")
			l.Close()
			l = r.open(t) // the count is in the store
			if n := fill(); n != 0 {
				t.Errorf("after a restart %d more records were stored", n)
			}
			r.clock.Add(24 * time.Hour)
			want := 4
			if quota.Bytes > 0 {
				want = 0
			}
			if n := fill(); n != want {
				t.Errorf("on the next day %d records were stored, want %d", n, want)
			}
			verified(t, l.Reader, "north")
			if u := l.Usage("north"); u.Total < 4000 {
				t.Errorf("usage: %+v", u)
			}
		})
	}
}

// TestUsageIsVerified changes the count in the store: a verification counts again.
func TestUsageIsVerified(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	r.memory().Edit(audit.Heads, "north", []byte("audit"), func(b []byte) []byte {
		return []byte(strings.Replace(string(b), `"records":1`, `"records":0`, 1))
	})
	rep, err := l.Verify(t.Context(), "north", nil, nil)
	if err != nil || len(rep.Findings) != 1 || rep.Findings[0].Check != "usage" {
		t.Errorf("findings: %+v, %v", rep, err)
	}
}
