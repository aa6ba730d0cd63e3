package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/signing/statement"
)

// TestFullStoreTakesASuspension: on a full store nothing is answered, and what removes power is taken.
func TestFullStoreTakesASuspension(t *testing.T) {
	const space = 1 << 30
	var store *audittest.Metered
	n := newRegion(t, func(n *node) {
		n.wrap = func(s audit.Store) audit.Store {
			store = audittest.NewMetered(s, audit.Room{Free: space, Total: space})
			return store
		}
	})
	body := decidetest.Patient(t, "metformin-egfr-27")
	n.call("north", body)
	store.Set(30 << 20)
	other := decidetest.Patient(t, "clean")
	_, err := n.Call(t.Context(), ehr("north"), "orders", other)
	decidetest.WantError(t, err, audit.ErrFull)
	_, err = n.Records(t.Context(), auditor("north"), audit.Filter{})
	decidetest.WantError(t, err, audit.ErrFull) // the access cannot be recorded
	_, err = n.apply("north", n.policyEnvelope("north", *n.tenants["north"].now.Load().policy))
	decidetest.WantError(t, err, audit.ErrFull)
	n.suspend("north", "renal_dosing", "", "wrong limit")
	store.Set(space)
	n.call("north", other)
	n.clean("north")
}

// TestStalledStoreHoldsNobody: whatever is asked of a region whose store does not answer ends with the caller's deadline;
// a call with its own, which the tenant's policy sets.
func TestStalledStoreHoldsNobody(t *testing.T) {
	var store *audittest.Stalling
	n := newRegion(t, func(n *node) {
		n.wrap = func(s audit.Store) audit.Store { store = audittest.NewStalling(s); return store }
	})
	t.Cleanup(func() { store.Resume() })
	body := decidetest.Patient(t, "clean")
	n.call("north", body)
	store.Stall()
	for name, do := range verbs(n, decidetest.RecordID, decidetest.Patient(t, "metformin-egfr-27")) {
		c := auditor("north")
		if oneOf(forEHRs, name) {
			c = ehr("north")
		}
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		err := do(ctx, c)
		stop()
		most := 5 * time.Second
		if oneOf(forEHRs, name) {
			most += n.tenants["north"].now.Load().policy.Limits.Deadline()
		}
		if took := time.Since(began); took > most {
			t.Errorf("%s: the caller waited %v", name, took)
		}
		if err != nil && !errors.Is(err, audit.ErrLate) && !errors.Is(err, context.DeadlineExceeded) &&
			(oneOf(forEHRs, name) || oneOf(forAuditors, name)) {
			t.Errorf("%s: %v, want ErrLate", name, err)
		}
	}
	store.Resume()
	n.say("north", statement.Suspension{Tenant: "north", Region: statement.Region(testRegion), Pack: "renal_dosing",
		Reason: "test", SuspendedAt: n.clock.now()}, "rick@north")
}

// TestQuotaOfATenant: a tenant that has stored as much as it may gets no answers, and leaves counts of what was refused;
// its auditors can look, what removes power is taken, others go on, and a higher quota or the next day mends it.
func TestQuotaOfATenant(t *testing.T) {
	n := newRegion(t, func(n *node) { n.top.RecordsPerDay = 100 })
	used := int(n.log.Usage("north").Records)
	p := *n.tenants["north"].now.Load().policy
	p.Limits.RecordsPerDay = used + 12
	n.policy("north", p)
	var err error
	calls := 0
	for ; calls < 40 && err == nil; calls++ {
		fresh := fmt.Appendf(nil, `"x%d":1,"hookInstance"`, calls)
		body := bytes.Replace(decidetest.Patient(t, "clean"), []byte(`"hookInstance"`), fresh, 1)
		_, err = n.Call(t.Context(), ehr("north"), "orders", body)
	}
	decidetest.WantError(t, err, audit.ErrQuota)
	if calls != 12 {
		t.Errorf("the quota was met at call %d, want 12 (the policy is a record, too)", calls)
	}
	_, err = n.Call(t.Context(), ehr("north"), "nosuch", nil)
	decidetest.WantError(t, err, audit.ErrQuota)
	n.call("south", decidetest.Patient(t, "clean"))
	shares := n.QuotaShares()
	if len(shares) != 2 || shares[0].Tenant != "north" || shares[0].Share != 1 || shares[1].Share >= 1 {
		t.Errorf("shares: %+v", shares)
	}
	if _, err := n.Records(t.Context(), auditor("north"), audit.Filter{}); err != nil {
		t.Errorf("an auditor beyond the quota: %v", err)
	}
	n.suspend("north", "renal_dosing", "", "wrong limit")
	n.clock.advance(24 * time.Hour)
	n.recordRefusals(t.Context(), true)
	var counted noted = n.newest("north", audit.Refusal)
	if counted.What.Code != "quota" && counted.What.Code != "unknown-service" {
		t.Errorf("counted: %+v", counted)
	}
	n.clean("north")
}
