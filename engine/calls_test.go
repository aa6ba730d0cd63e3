package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

func TestCallGivesCardReceiptAndRecord(t *testing.T) {
	n := newRegion(t)
	a := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	list := decidetest.Cards(t, a.Body)
	if len(list) != 1 || a.Cards.Total() != 1 || list[0].Indicator != cdshooks.Critical ||
		!strings.Contains(list[0].Summary, "27.0") {
		t.Fatalf("cards: %s", a.Body)
	}
	receipt, err := audit.ParseReceipt(a.Receipt)
	decidetest.Must(t, err)
	decidetest.Must(t, receipt.Verify(n.log.NodeKey()))
	if string(receipt.RecordID) != a.RecordID {
		t.Errorf("receipt is of record %s, answer of %s", receipt.RecordID, a.RecordID)
	}
	proof, err := n.log.Proof(t.Context(), "north", receipt.RecordID)
	decidetest.Must(t, err)
	decidetest.Must(t, proof.Verify(n.log.NodeKey()))
	in, d := n.opened("north", a.RecordID)
	if !bytes.Equal(d.Response, a.Body) {
		t.Error("the record holds another answer than was given")
	}
	if in.Tenant != "north" || in.Region != testRegion || in.Client != "ehr" || in.Service != "orders" ||
		!in.Time.Equal(n.clock.now()) ||
		in.Release.Size != int64(n.trust("north").Size()) || len(in.Release.Packs) != 3 ||
		in.Release.Terminology == nil {
		t.Errorf("inputs are not complete: %+v", in)
	}
}

func TestRecordHoldsNoAccessToken(t *testing.T) {
	n := newRegion(t)
	p, err := fixtures.Load("metformin-egfr-27")
	decidetest.Must(t, err)
	a := n.call("north", p.Request)
	rec, err := n.log.Get(t.Context(), "north", audit.RecordID(a.RecordID))
	decidetest.Must(t, err)
	for _, id := range p.Identifiers {
		if strings.HasPrefix(id, "syn-token-") && bytes.Contains(rec.Body, []byte(id)) {
			t.Error("the record holds the access token")
		}
		if bytes.Contains(rec.Bytes, []byte(id)) {
			t.Error("the public leaf holds an identifier of the patient")
		}
	}
}

func TestSilentCallIsRecorded(t *testing.T) {
	n := newRegion(t)
	a := n.call("north", decidetest.Patient(t, "clean"))
	if string(a.Body) != `{"cards":[]}` || a.Cards.Total() != 0 {
		t.Fatalf("answer: %s", a.Body)
	}
	if _, d := n.opened("north", a.RecordID); len(d.Findings) == 0 {
		t.Error("the record has no findings")
	}
}

func TestRepeatGetsRecordedBytes(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "standard")
	first := n.call("north", body)
	n.clock.advance(time.Minute)
	// Another access token is the same call: an EHR that tries again has a new one.
	token := bytes.Replace(body, []byte("syn-token-"), []byte("new-token-"), 1)
	for name, again := range map[string][]byte{"same bytes": body, "new token": token} {
		a := n.call("north", again)
		if !a.Repeated || a.RecordID != first.RecordID || !bytes.Equal(a.Body, first.Body) || a.Cards != first.Cards {
			t.Errorf("%s: got %+v, want the answer of %s", name, a, first.RecordID)
		}
		if r, err := audit.ParseReceipt(a.Receipt); err != nil || !r.Repeated {
			t.Errorf("%s: receipt %v, %v", name, r, err)
		}
	}
	other := n.call("north", decidetest.WithInstance(t, body, 1))
	changed := n.call("north", bytes.Replace(body, []byte(`"birthDate":"19`), []byte(`"birthDate":"18`), 1))
	for _, a := range []*Answer{other, changed} {
		if a.Repeated || a.RecordID == first.RecordID {
			t.Errorf("another call got the record of the first")
		}
	}
	if got := n.records("north", audit.Decision); got != 3 {
		t.Errorf("%d decisions recorded, want 3", got)
	}
	n.restart()
	if a := n.call("north", body); !a.Repeated || !bytes.Equal(a.Body, first.Body) {
		t.Error("after a restart the call was decided anew")
	}
}

// TestWithdrawnCardIsNotRepeated: the same call gets a new decision as soon as
// anything that the first was decided under is no longer in force, and its record
// names the first. After that the new one is repeated.
func TestWithdrawnCardIsNotRepeated(t *testing.T) {
	body := decidetest.Patient(t, "metformin-egfr-27")
	for name, change := range map[string]func(*node){
		"rule suspended": func(n *node) {
			n.suspend("north", "renal_dosing", "metformin-contraindicated", "wrong limit")
		},
		"pack suspended": func(n *node) { n.suspend("north", "renal_dosing", "", "wrong limit") },
		"archive out of service": func(n *node) {
			_, digest := n.trust("north").Succession("renal_dosing")
			n.revoke("north", statement.Target{Type: statement.TargetDigest, Value: string(digest)}, statement.Suspend)
		},
		"policy": func(n *node) {
			p := decidetest.PolicyFor(n, "north")
			p.Limits.Cards = 7
			n.policy("north", p)
		},
		"later than the window":  func(n *node) { n.clock.advance(2*time.Minute + time.Millisecond) },
		"clock before the first": func(n *node) { n.clock.advance(-3 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newRegion(t)
			p := decidetest.PolicyFor(n, "north")
			p.Limits.RepeatSeconds = 120
			n.policy("north", p)
			first := n.call("north", body)
			change(n)
			a := n.call("north", body)
			in, d := n.opened("north", a.RecordID)
			if a.Repeated || a.RecordID == first.RecordID || in.Again != first.RecordID {
				t.Fatalf("repeated %v, record %s after %s, again %q", a.Repeated, a.RecordID, first.RecordID, in.Again)
			}
			f := decidetest.Finding(t, d, "renal_dosing/metformin-contraindicated")
			if strings.Contains(name, "suspended") && (f.Outcome != decision.WasCut ||
				decidetest.HasCard(decidetest.Cards(t, a.Body), "27.0 mL/min/1.73 m² (contraindicated")) {
				t.Errorf("the withdrawn card left again: %s", a.Body)
			}
			if b := n.call("north", body); !b.Repeated || b.RecordID != a.RecordID || !bytes.Equal(b.Body, a.Body) {
				t.Errorf("the new answer is not repeated: %+v", b)
			}
			n.clean("north")
			n.away("north").same(n.away("north").materials("north"), "north", a.RecordID)
		})
	}
	t.Run("what changes nothing", func(t *testing.T) {
		n := newRegion(t)
		first := n.call("north", body)
		p := editedPack(t, "renal_dosing", "1.0.1")
		n.release("north", p) // a statement, but nothing in force is another
		n.clock.advance(9 * time.Minute)
		if a := n.call("north", body); !a.Repeated || a.RecordID != first.RecordID {
			t.Errorf("decided anew: %+v", a)
		}
	})
}

// TestLookupIsNotBelieved changes the store without any key, so that look-ups lead
// to another patient's record: neither a repeat nor feedback follows them.
func TestLookupIsNotBelieved(t *testing.T) {
	n := newRegion(t)
	body, other := decidetest.Patient(t, "metformin-egfr-27"), decidetest.Patient(t, "sertraline-phenelzine")
	first, second := n.call("north", body), n.call("north", other)
	id := func(a *Answer) []byte {
		u := uuid.MustParse(a.RecordID)
		return u[:]
	}
	var keys [][]byte
	decidetest.Must(t, n.store.View(t.Context(), func(v audit.View) error {
		return v.Scan(audit.Lookups, "north", nil, nil, false, func(k, value []byte) (bool, error) {
			if bytes.Equal(value, id(first)) {
				keys = append(keys, bytes.Clone(k))
			}
			return true, nil
		})
	}))
	for _, k := range keys {
		n.edit(audit.Lookups, "north", k, func([]byte) []byte { return id(second) })
	}
	if len(keys) < 2 {
		t.Fatalf("%d look-ups lead to the record", len(keys))
	}
	feedback := fmt.Sprintf(`{"feedback":[{"card":%q,"outcome":"overridden","overrideReason":{"userComment":"known"},
		"outcomeTimestamp":"2026-03-02T15:00:00Z"}]}`, decidetest.Cards(t, first.Body)[0].UUID)
	_, err := n.Feedback(t.Context(), ehr("north"), "orders", []byte(feedback))
	decidetest.Must(t, err)
	page, err := n.log.List(t.Context(), "north", audit.Filter{Kind: audit.Feedback,
		Patient: audit.Patient{Base: "https://ehr.north.example/fhir/R4", ID: patientID(t, other)}})
	decidetest.Must(t, err)
	if len(page.Records) != 0 {
		t.Error("feedback was filed with another patient")
	}
	a := n.call("north", body)
	in, _ := n.opened("north", a.RecordID)
	if a.Repeated || in.Again != "" || !decidetest.HasCard(decidetest.Cards(t, a.Body), "27.0") {
		t.Errorf("another patient's advice: repeated %v, again %q, %s", a.Repeated, in.Again, a.Body)
	}
	if b := n.call("north", body); !b.Repeated || b.RecordID != a.RecordID {
		t.Errorf("the look-up was not mended: %+v", b)
	}
}

func TestRepeatIsPerTenant(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "clean")
	if a, b := n.call("north", body), n.call("south", body); b.Repeated || a.RecordID == b.RecordID {
		t.Error("a call of one tenant answered a call of the other")
	}
}

func TestConcurrentCalls(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "metformin-egfr-27")
	for name, c := range map[string]struct {
		calls int
		body  func(i int) []byte
		want  int
	}{
		"the same call":   {16, func(int) []byte { return body }, 1},
		"different calls": {64, func(i int) []byte { return decidetest.WithInstance(t, body, i+100) }, 64},
	} {
		t.Run(name, func(t *testing.T) {
			before := n.records("north", audit.Decision)
			answers := make([]*Answer, c.calls)
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() {
					a, err := n.Call(t.Context(), ehr("north"), "orders", c.body(i))
					if err != nil {
						t.Error(err)
						return
					}
					answers[i] = a
				})
			}
			wg.Wait()
			if t.Failed() {
				return
			}
			ids, bodies := map[string]bool{}, map[string]bool{}
			for _, a := range answers {
				ids[a.RecordID], bodies[string(a.Body)] = true, true
			}
			if len(ids) != c.want || len(bodies) != c.want || n.records("north", audit.Decision)-before != c.want {
				t.Errorf("%d calls gave %d record ids, %d different answers, %d records; want %d",
					c.calls, len(ids), len(bodies), n.records("north", audit.Decision)-before, c.want)
			}
		})
	}
}

// A client that went away is decided about in full: when it tries again it
// gets that answer, and not one in which every check is cut.
func TestClientGoneIsDecidedAndRecorded(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "metformin-egfr-27")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	a, err := n.Call(gone, ehr("north"), "orders", body)
	decidetest.Must(t, err)
	if in, _ := n.opened("north", a.RecordID); len(in.Cut) != 0 {
		t.Errorf("pairs were cut: %v", in.Cut)
	}
	again := n.call("north", body)
	if !again.Repeated || !bytes.Equal(again.Body, a.Body) ||
		!decidetest.HasCard(decidetest.Cards(t, again.Body), "27.0") {
		t.Errorf("the second attempt got %s", again.Body)
	}
}

func TestCallsRefused(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "clean")
	for _, c := range []struct {
		name     string
		caller   Caller
		service  string
		body     []byte
		want     error
		recorded string // code, "" if nothing may be recorded
	}{
		{"unknown tenant", ehr("west"), "orders", body, ErrUnknownTenant, ""},
		{"unknown client", Caller{Tenant: "north", Client: "other"}, "orders", body, ErrForbidden, "forbidden"},
		{"a person", auditor("north"), "orders", body, ErrForbidden, "forbidden"},
		{"unknown service", ehr("north"), "drugs", body, ErrUnknownService, "unknown-service"},
		{"other hook", ehr("north"), "orders", bytes.Replace(body, []byte("order-sign"), []byte("patient-view"), 1),
			decide.ErrHook, "hook"},
		{"broken JSON", ehr("north"), "orders", body[:100], chart.ErrJSON, "json"},
		{"no patient", ehr("north"), "orders", bytes.Replace(body, []byte(`"patientId"`), []byte(`"patiantId"`), 1),
			chart.ErrShape, "shape"},
		{"too deep", ehr("north"), "orders", fixtures.Deep(10_000), chart.ErrTooDeep, "too-deep"},
		{"too large", ehr("north"), "orders", fixtures.Large(9 << 20), chart.ErrTooLarge, "too-large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := n.records("north", audit.Refusal)
			a, err := n.Call(t.Context(), c.caller, c.service, c.body)
			decidetest.WantError(t, err, c.want)
			if a != nil {
				t.Error("an answer left")
			}
			if got := n.records("north", audit.Refusal) - before; (got == 1) != (c.recorded != "") {
				t.Fatalf("%d refusals recorded", got)
			}
			if c.recorded != "" {
				if r := n.newest("north", audit.Refusal); r.What.Code != c.recorded ||
					r.What.Bytes != int64(len(c.body)) {
					t.Errorf("recorded %+v, want code %s", r, c.recorded)
				}
			}
		})
	}
	if n.records("north", audit.Decision) != 0 {
		t.Error("a refused call was decided")
	}
}

func TestHostileBodies(t *testing.T) {
	n := newRegion(t)
	attacks, err := fixtures.Attacks()
	decidetest.Must(t, err)
	for _, a := range attacks {
		t.Run(a.Name, func(t *testing.T) {
			got, err := n.Call(t.Context(), ehr("north"), "orders", a.Body)
			if (err != nil) != a.Refuse || (got == nil) != a.Refuse {
				t.Errorf("got %v, %v; want refused %v", got, err, a.Refuse)
			}
		})
	}
}

// noted is the body of records that are about no patient.
type noted struct {
	Client, Person, Purpose string
	What                    struct {
		Code, Path, Verb, Record string
		Bytes                    int64
	}
}

// newest opens the newest record of a kind.
func (n *node) newest(id tenant.ID, kind audit.Kind) (out noted) {
	n.Helper()
	page, err := n.log.List(n.Context(), id, audit.Filter{Kind: kind, Limit: 1000})
	decidetest.Must(n, err)
	last := slices.MaxFunc(page.Records, func(a, b audit.Summary) int { return int(a.Leaf.Index - b.Leaf.Index) })
	rec, err := n.log.Get(n.Context(), id, last.Leaf.RecordID)
	decidetest.Must(n, err)
	decidetest.Must(n, json.Unmarshal(rec.Body, &out))
	return out
}

func TestBusy(t *testing.T) {
	n := newRegion(t)
	p := decidetest.PolicyFor(t, "north")
	p.Limits.Concurrency = 1
	n.policy("north", p)
	n.tenants["north"].calls.Add(1) // one is under way
	_, err := n.Call(t.Context(), ehr("north"), "orders", decidetest.Patient(t, "clean"))
	decidetest.WantError(t, err, ErrBusy)
	n.call("south", decidetest.Patient(t, "clean")) // nobody else notices
	n.tenants["north"].calls.Add(-1)
	n.call("north", decidetest.Patient(t, "clean"))
}

// TestOperatorsCeiling: no signature of a tenant lifts it, and a policy from before
// it was lowered is held to it.
func TestOperatorsCeiling(t *testing.T) {
	n := newRegion(t)
	p := decidetest.PolicyFor(t, "north")
	p.Limits.Concurrency = 1_000_000
	n.policy("north", p) // no ceiling yet
	n.top = tenant.Limits{Concurrency: 1, RuleMS: 50}
	n.restart()
	if have, err := n.Policy("north"); err != nil || have.Limits.Concurrency != 1 || have.Limits.RuleMS != 50 ||
		have.Limits.DeadlineMS != 10_000 {
		t.Errorf("limits %+v, %v", have.Limits, err)
	}
	n.tenants["north"].calls.Add(1) // one is under way
	_, err := n.Call(t.Context(), ehr("north"), "orders", decidetest.Patient(t, "clean"))
	decidetest.WantError(t, err, ErrBusy)
	n.tenants["north"].calls.Add(-1)
	a := n.call("north", decidetest.Patient(t, "clean"))
	n.away("north").same(n.away("north").materials("north"), "north", a.RecordID)
	p.Limits.Cards = 3
	_, err = n.apply("north", n.policyEnvelope("north", p))
	decidetest.WantError(t, err, tenant.ErrPolicy)
	for _, part := range []string{"concurrency 1000000 is above the operator's ceiling of 1", "ruleMs 10000"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the refusal does not say %q: %v", part, err)
		}
	}
}

func TestNotReady(t *testing.T) {
	n := newNode(t)
	body := decidetest.Patient(t, "clean")
	_, err := n.Call(t.Context(), ehr("north"), "orders", body)
	decidetest.WantError(t, err, ErrNotReady)
	_, err = n.Policy("north")
	decidetest.WantError(t, err, ErrNotReady)
	_, err = n.Feedback(t.Context(), ehr("north"), "orders", nil)
	decidetest.WantError(t, err, ErrNotReady)
	n.policy("north", decidetest.PolicyFor(t, "north"))
	for _, do := range []func() error{
		func() error { _, err := n.Call(t.Context(), ehr("north"), "orders", body); return err },
		func() error { _, err := n.Policy("north"); return err },
		func() error { _, err := n.Feedback(t.Context(), ehr("north"), "orders", nil); return err },
	} {
		err := n.unchanged("north", ErrNotReady, do)
		if !strings.Contains(err.Error(), "no placement was applied yet; sign one with epoch 1") {
			t.Errorf("the refusal does not say what to do: %v", err)
		}
	}
	if n.Unready()["north"] == nil || n.Unready()["south"] != nil {
		t.Errorf("unready: %v", n.Unready())
	}
	n.place("north")
	// With no pack live an answer without cards would read as "nothing found".
	_, err = n.Call(t.Context(), ehr("north"), "orders", body)
	decidetest.WantError(t, err, ErrNotReady)
	if r := n.newest("north", audit.Refusal); r.What.Code != "not-ready" {
		t.Errorf("recorded %+v", r)
	}
}

func TestDeadlineCutsAndReplays(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits tenant.Limits
		cause  decision.CutReason
	}{
		{"deadline of the call", tenant.Limits{DeadlineMS: 4000, RuleMS: 4000}, decision.CutDeadline},
		{"limit of the rule", tenant.Limits{DeadlineMS: 10_000, RuleMS: 20}, decision.CutLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newRegion(t)
			n.withTrial("north", decidetest.Pack(t, "1.0.0", decidetest.RuleLoops, decidetest.RuleFires),
				func(p *tenant.Policy) { p.Limits = c.limits })
			a := n.call("north", decidetest.Patient(t, "clean"))
			in, d := n.opened("north", a.RecordID)
			cut := decision.Cut{Rule: "trial/a-loop", Subject: "patient", Cause: c.cause}
			if c.cause == decision.CutDeadline {
				// The rule's own time may be up at the same moment.
				i := slices.IndexFunc(in.Cut, func(x decision.Cut) bool { return x.Rule == cut.Rule })
				if i < 0 {
					t.Fatalf("cut list %v lacks %s", in.Cut, cut.Rule)
				}
			} else if !slices.Contains(in.Cut, cut) {
				t.Fatalf("cut list %v lacks %v", in.Cut, cut)
			}
			if f := decidetest.Finding(t, d, "trial/a-loop"); f.Outcome != decision.WasCut || f.Card == "" {
				t.Errorf("finding: %+v", f)
			}
			if a.Cut == 0 || !strings.Contains(string(a.Body), "not done") ||
				!strings.Contains(string(a.Body), "trial/a-loop") {
				t.Errorf("%d pairs cut, cards: %s", a.Cut, a.Body)
			}
			if c.cause == decision.CutLimit && decidetest.Finding(t, d, "trial/fires").Outcome != decision.Fired {
				t.Error("the other rule did not answer")
			}
			// The replay yields the same bytes, without asking the rule that would never end.
			r, err := n.materials.Replay(t.Context(), in, d)
			decidetest.Must(t, err)
			if !r.Same {
				t.Errorf("the replay differs: %v", r.Differences)
			}
		})
	}
}

func TestOpenRefusesTenantGivenTwice(t *testing.T) {
	n := newRegion(t)
	n.close()
	n.roots = append(n.roots, n.roots[0])
	if err := n.tryOpen(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("error is %v", err)
	}
}

func TestOpenRefusesAnotherPin(t *testing.T) {
	n := newRegion(t)
	n.close()
	n.roots[0].Digest = n.roots[1].Digest
	err := n.tryOpen()
	decidetest.WantError(t, err, signing.ErrUntrustedRoot)
}

func TestFeedback(t *testing.T) {
	n := newRegion(t)
	a := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	card := decidetest.Cards(t, a.Body)[0]
	body := fmt.Appendf(nil, `{"feedback":[{"card":%q,"outcome":"overridden","overrideReason":{"reason":{"code":"will-monitor","system":"s"}},"outcomeTimestamp":"2026-03-02T15:01:00Z"},
		{"card":"nobody-knows","outcome":"overridden","outcomeTimestamp":"2026-03-02T15:01:00Z"},{"card":""}]}`, card.UUID)
	got, err := n.Feedback(t.Context(), ehr("north"), "orders", body)
	decidetest.Must(t, err)
	if len(got.Refused) != 1 || got.Receipt == "" || n.records("north", audit.Feedback) != 2 {
		t.Fatalf("answer %+v, %d records", got, n.records("north", audit.Feedback))
	}
	// It is found by the rule of its card, and by the patient.
	who := audit.Patient{Base: decidetest.PolicyFor(t, "north").Clients[0].FHIRBase,
		ID: patientID(t, decidetest.Patient(t, "metformin-egfr-27"))}
	for name, f := range map[string]audit.Filter{
		"rule":    {Kind: audit.Feedback, Rule: "renal_dosing/metformin-contraindicated"},
		"patient": {Kind: audit.Feedback, Patient: who},
	} {
		page, err := n.log.List(t.Context(), "north", f)
		decidetest.Must(t, err)
		if len(page.Records) != 1 {
			t.Errorf("%d records by %s, want 1", len(page.Records), name)
		}
	}
	_, err = n.Feedback(t.Context(), ehr("north"), "orders", body) // EHRs send it more than once
	decidetest.Must(t, err)
	if got := n.records("north", audit.Feedback); got != 2 {
		t.Errorf("%d records after the same feedback again", got)
	}
	for name, c := range map[string]struct {
		caller  Caller
		service string
		body    string
		want    error
	}{
		"unknown service": {ehr("north"), "other", string(body), ErrUnknownService},
		"unknown client":  {Caller{Tenant: "north", Client: "x"}, "orders", string(body), ErrForbidden},
		"broken":          {ehr("north"), "orders", `{"feedback":`, cdshooks.ErrFeedback},
	} {
		before := n.records("north", audit.Refusal)
		if _, err := n.Feedback(t.Context(), c.caller, c.service, []byte(c.body)); !errors.Is(err, c.want) ||
			n.records("north", audit.Refusal) != before+1 {
			t.Errorf("%s: error is %v, want %v and a record of it", name, err, c.want)
		}
	}
}

func patientID(t testing.TB, body []byte) string {
	t.Helper()
	req, err := chart.Parse(body, chart.Limits{})
	decidetest.Must(t, err)
	return req.PatientID
}

func TestGermanTenant(t *testing.T) {
	n := newRegion(t)
	p := decidetest.PolicyFor(t, "north")
	p.Language = "de"
	n.policy("north", p)
	for name, want := range map[string][]string{
		"metformin-egfr-27": {"Metformin nicht verordnen: eGFR 27.0 mL/min/1.73 m² (unter 30 kontraindiziert)",
			"**Grundlage**", "**Quelle**", "Verordnung von metformin entfernen"},
		"metformin-no-labs": {"Vor Beginn von Metformin eGFR bestimmen", "eGFR anfordern"},
		"medications-failed": {"Prüfungen konnten nicht abgeschlossen werden",
			"Medikation konnte nicht abgerufen werden"},
		"text-only": {"1 verordnetes Arzneimittel konnte nicht erkannt werden"},
	} {
		a := n.call("north", decidetest.Patient(t, name))
		for _, part := range want {
			if !bytes.Contains(a.Body, []byte(part)) {
				t.Errorf("%s: answer lacks %q: %s", name, part, a.Body)
			}
		}
		for _, english := range []string{"could not be", "Based on", "Not known", "Remove the order", "safety check"} {
			if bytes.Contains(a.Body, []byte(english)) {
				t.Errorf("%s: answer holds %q: %s", name, english, a.Body)
			}
		}
	}
	n.suspend("north", "renal_dosing", "", "wrong")
	a := n.call("north", decidetest.WithInstance(t, decidetest.Patient(t, "metformin-egfr-27"), 1))
	if !bytes.Contains(a.Body, []byte("Sicherheitsprüfungen wurden nicht durchgeführt")) {
		t.Errorf("answer: %s", a.Body)
	}
	a = n.call("south", decidetest.Patient(t, "metformin-egfr-27"))
	if !bytes.Contains(a.Body, []byte("Do not prescribe metformin")) {
		t.Errorf("the other tenant: %s", a.Body)
	}
}

func TestCardsHaveIdsOfTheirRecord(t *testing.T) {
	n := newRegion(t)
	seen := map[string]bool{}
	for i := range 3 {
		a := n.call("north", decidetest.WithInstance(t, decidetest.Patient(t, "sertraline-phenelzine"), i))
		for _, c := range decidetest.Cards(t, a.Body) {
			ids := []string{c.UUID}
			for _, s := range c.Suggestions {
				ids = append(ids, s.UUID)
			}
			for _, id := range ids {
				if seen[id] || len(id) != 36 || id[14] != '8' {
					t.Errorf("id %q is used twice or no UUID of version 8", id)
				}
				seen[id] = true
			}
			if found, err := n.log.ByCard(t.Context(), "north", c.UUID); err != nil || string(found) != a.RecordID {
				t.Errorf("card %s leads to record %s, %v; want %s", c.UUID, found, err, a.RecordID)
			}
		}
	}
}
