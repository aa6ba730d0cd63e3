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

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/signing"
)

func TestCallGivesCardReceiptAndRecord(t *testing.T) {
	n := newRegion(t)
	a := n.call("north", patient(t, "metformin-egfr-27"))
	list := cards(t, a.Body)
	if len(list) != 1 || a.Cards != 1 || list[0].Indicator != cdshooks.Critical || !strings.Contains(list[0].Summary, "27.0") {
		t.Fatalf("cards: %s", a.Body)
	}
	receipt, err := audit.ParseReceipt(a.Receipt)
	must(t, err)
	must(t, receipt.Verify(n.log.NodeKey()))
	if string(receipt.RecordID) != a.RecordID {
		t.Errorf("receipt is of record %s, answer of %s", receipt.RecordID, a.RecordID)
	}
	proof, err := n.log.Proof(t.Context(), "north", receipt.RecordID)
	must(t, err)
	must(t, proof.Verify(n.log.NodeKey()))
	in, d := n.opened("north", a.RecordID)
	if !bytes.Equal(d.Response, a.Body) {
		t.Error("the record holds another answer than was given")
	}
	if in.Tenant != "north" || in.Region != testRegion || in.Client != "ehr" || in.Service != "orders" || !in.Time.Equal(n.clock.now()) ||
		in.Release.Size != int64(n.trust("north").Size()) || len(in.Release.Packs) != 3 || in.Release.Terminology == nil {
		t.Errorf("inputs are not complete: %+v", in)
	}
}

func TestRecordHoldsNoAccessToken(t *testing.T) {
	n := newRegion(t)
	p, err := fixtures.Load("metformin-egfr-27")
	must(t, err)
	a := n.call("north", p.Request)
	rec, err := n.log.Get(t.Context(), "north", audit.RecordID(a.RecordID))
	must(t, err)
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
	a := n.call("north", patient(t, "clean"))
	if string(a.Body) != `{"cards":[]}` || a.Cards != 0 {
		t.Fatalf("answer: %s", a.Body)
	}
	if _, d := n.opened("north", a.RecordID); len(d.Findings) == 0 {
		t.Error("the record has no findings")
	}
}

func TestRepeatGetsRecordedBytes(t *testing.T) {
	n := newRegion(t)
	body := patient(t, "standard")
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
	other := n.call("north", withInstance(t, body, 1))
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

func TestRepeatIsPerTenant(t *testing.T) {
	n := newRegion(t)
	body := patient(t, "clean")
	if a, b := n.call("north", body), n.call("south", body); b.Repeated || a.RecordID == b.RecordID {
		t.Error("a call of one tenant answered a call of the other")
	}
}

func TestConcurrentCalls(t *testing.T) {
	n := newRegion(t)
	body := patient(t, "metformin-egfr-27")
	for name, c := range map[string]struct {
		calls int
		body  func(i int) []byte
		want  int
	}{
		"the same call":   {16, func(int) []byte { return body }, 1},
		"different calls": {64, func(i int) []byte { return withInstance(t, body, i+100) }, 64},
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
	body := patient(t, "metformin-egfr-27")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	a, err := n.Call(gone, ehr("north"), "orders", body)
	must(t, err)
	if in, _ := n.opened("north", a.RecordID); len(in.Cut) != 0 {
		t.Errorf("pairs were cut: %v", in.Cut)
	}
	again := n.call("north", body)
	if !again.Repeated || !bytes.Equal(again.Body, a.Body) || !hasCard(cards(t, again.Body), "27.0") {
		t.Errorf("the second attempt got %s", again.Body)
	}
}

func TestCallsRefused(t *testing.T) {
	n := newRegion(t)
	body := patient(t, "clean")
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
		{"other hook", ehr("north"), "orders", bytes.Replace(body, []byte("order-sign"), []byte("patient-view"), 1), ErrHook, "hook"},
		{"broken JSON", ehr("north"), "orders", body[:100], chart.ErrJSON, "json"},
		{"no patient", ehr("north"), "orders", bytes.Replace(body, []byte(`"patientId"`), []byte(`"patiantId"`), 1), chart.ErrShape, "shape"},
		{"too deep", ehr("north"), "orders", fixtures.Deep(10_000), chart.ErrTooDeep, "too-deep"},
		{"too large", ehr("north"), "orders", fixtures.Large(9 << 20), chart.ErrTooLarge, "too-large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := n.records("north", audit.Refusal)
			a, err := n.Call(t.Context(), c.caller, c.service, c.body)
			wantError(t, err, c.want)
			if a != nil {
				t.Error("an answer left")
			}
			if got := n.records("north", audit.Refusal) - before; (got == 1) != (c.recorded != "") {
				t.Fatalf("%d refusals recorded", got)
			}
			if c.recorded != "" {
				if r := n.newest("north", audit.Refusal); r.What.Code != c.recorded || r.What.Bytes != int64(len(c.body)) {
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
	must(t, err)
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
	must(n, err)
	last := slices.MaxFunc(page.Records, func(a, b audit.Summary) int { return int(a.Leaf.Index - b.Leaf.Index) })
	rec, err := n.log.Get(n.Context(), id, last.Leaf.RecordID)
	must(n, err)
	must(n, json.Unmarshal(rec.Body, &out))
	return out
}

func TestBusy(t *testing.T) {
	n := newRegion(t)
	p := policyFor(t, "north")
	p.Limits.Concurrency = 1
	n.policy("north", p)
	n.tenants["north"].calls.Add(1) // one is under way
	_, err := n.Call(t.Context(), ehr("north"), "orders", patient(t, "clean"))
	wantError(t, err, ErrBusy)
	n.call("south", patient(t, "clean")) // nobody else notices
	n.tenants["north"].calls.Add(-1)
	n.call("north", patient(t, "clean"))
}

func TestNotReady(t *testing.T) {
	n := newNode(t)
	body := patient(t, "clean")
	_, err := n.Call(t.Context(), ehr("north"), "orders", body)
	wantError(t, err, ErrNotReady)
	_, err = n.Policy("north")
	wantError(t, err, ErrNotReady)
	_, err = n.Feedback(t.Context(), ehr("north"), "orders", nil)
	wantError(t, err, ErrNotReady)
	n.policy("north", policyFor(t, "north"))
	// With no pack live an answer without cards would read as "nothing found".
	_, err = n.Call(t.Context(), ehr("north"), "orders", body)
	wantError(t, err, ErrNotReady)
	if r := n.newest("north", audit.Refusal); r.What.Code != "not-ready" {
		t.Errorf("recorded %+v", r)
	}
}

func TestRuleThatFailsHurtsOnlyItself(t *testing.T) {
	card := func(object string) string { return alwaysTrue + "\n\ncard := " + object }
	for _, c := range []struct {
		name string
		rule trialRule
		code string // of the error
	}{
		{"undefined holds", trialRule{body: "holds := fact.greater(fhir.age({\"unit\": \"a\"}), 0) if 1 == 2\n\n" + plainCard}, "undefined"},
		{"conflict", trialRule{body: "holds := fact.greater(fhir.age({\"unit\": \"a\"}), 0) if 1 == 1\n\nholds := fact.greater(fhir.age({\"unit\": \"a\"}), 1) if 2 == 2\n\n" + plainCard}, "conflict"},
		{"built-in error", trialRule{body: `holds := fact.less(fhir.age({"unit": "a"}), 1 / count([]))` + "\n\n" + plainCard}, "builtin"},
		{"order asked of the patient", trialRule{body: "holds := fhir.topical(fhir.order())\n\n" + plainCard}, "builtin"},
		{"card undefined", trialRule{body: alwaysTrue + "\n\ncard := {\"summary\": \"x\"} if 1 == 2"}, "card"},
		{"card without summary", trialRule{body: card(`{"detail": "x"}`)}, "card"},
		{"empty summary", trialRule{body: card(`{"summary": ""}`)}, "card"},
		{"summary of spaces", trialRule{body: card(`{"summary": " \n "}`)}, "card"},
		{"unknown member", trialRule{body: card(`{"summary": "x", "colour": "red"}`)}, "card"},
		{"summary is a number", trialRule{body: card(`{"summary": 7}`)}, "card"},
		{"card is an array", trialRule{body: card(`[1]`)}, "card"},
		{"suggestion is a string", trialRule{body: card(`{"summary": "x", "suggestions": ["remove"]}`)}, "card"},
		{"link without url", trialRule{body: card(`{"summary": "x", "links": [{"label": "y"}]}`)}, "card"},
		{"link with empty label", trialRule{body: card(`{"summary": "x", "links": [{"label": "", "url": "https://a.example"}]}`)}, "card"},
		{"link with empty url", trialRule{body: card(`{"summary": "x", "links": [{"label": "y", "url": ""}]}`)}, "card"},
		{"link that is a script", trialRule{body: card(`{"summary": "x", "links": [{"label": "y", "url": "javascript:alert(1)"}]}`)}, "card"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTrial(t, []trialRule{withID(c.rule, "bad"), ruleFires})
			d := b.decide(t, b.inputs(t, patient(t, "clean")))
			f := finding(t, d, "trial/bad")
			if f.Outcome != decision.Failed || f.Error == nil || c.code != "" && f.Error.Code != c.code {
				t.Fatalf("finding: %+v, error %+v; want error %s", f, f.Error, c.code)
			}
			if ok := finding(t, d, "trial/fires"); ok.Outcome != decision.Fired || ok.Card == "" {
				t.Errorf("the other rule: %+v", ok)
			}
			list := cards(t, d.Response)
			if len(list) != 2 || !hasCard(list, "1 safety check was not done") || !hasCard(list, "It holds") {
				t.Errorf("cards: %s", d.Response)
			}
		})
	}
}

func withID(r trialRule, id string) trialRule {
	r.id = id
	return r
}

func TestFailedRuleOfNoConsequenceShowsNoCard(t *testing.T) {
	b := newTrial(t, []trialRule{{id: "bad", severity: "info", body: "holds := fact.greater(fhir.age({\"unit\": \"a\"}), 0) if 1 == 2\n\n" + plainCard}})
	d := b.decide(t, b.inputs(t, patient(t, "clean")))
	if f := finding(t, d, "trial/bad"); f.Outcome != decision.Failed || f.Hidden == "" {
		t.Errorf("finding: %+v", f)
	}
	if len(cards(t, d.Response)) != 0 {
		t.Errorf("cards: %s", d.Response)
	}
}

func TestDeadlineCutsAndReplays(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits tenant.Limits
		cause  decision.CutReason
	}{
		{"deadline of the call", tenant.Limits{DeadlineMS: 10, RuleMS: 10}, decision.CutDeadline},
		{"limit of the rule", tenant.Limits{DeadlineMS: 10_000, RuleMS: 20}, decision.CutLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newRegion(t)
			n.withTrial("north", trialPack(t, "1.0.0", ruleLoops, ruleFires), func(p *tenant.Policy) { p.Limits = c.limits })
			a := n.call("north", patient(t, "clean"))
			in, d := n.opened("north", a.RecordID)
			cut := decision.Cut{Rule: "trial/a-loop", Subject: "patient", Cause: c.cause}
			if c.cause == decision.CutDeadline {
				// With so little time the rule may also be stopped by its own limit.
				i := slices.IndexFunc(in.Cut, func(x decision.Cut) bool { return x.Rule == cut.Rule })
				if i < 0 {
					t.Fatalf("cut list %v lacks %s", in.Cut, cut.Rule)
				}
			} else if !slices.Contains(in.Cut, cut) {
				t.Fatalf("cut list %v lacks %v", in.Cut, cut)
			}
			if f := finding(t, d, "trial/a-loop"); f.Outcome != decision.WasCut || f.Card == "" {
				t.Errorf("finding: %+v", f)
			}
			if a.Cut == 0 || !strings.Contains(string(a.Body), "not done") || !strings.Contains(string(a.Body), "trial/a-loop") {
				t.Errorf("%d pairs cut, cards: %s", a.Cut, a.Body)
			}
			if c.cause == decision.CutLimit && finding(t, d, "trial/fires").Outcome != decision.Fired {
				t.Error("the other rule did not answer")
			}
			// The replay gives the same bytes, without asking the rule that would never end.
			r, err := n.materials.Replay(t.Context(), in, d)
			must(t, err)
			if !r.Same {
				t.Errorf("the replay differs: %v", r.Differences)
			}
		})
	}
}

func TestReplayThatIsStoppedSaysSo(t *testing.T) {
	b := newBench(t)
	in := b.inputs(t, patient(t, "standard"))
	d := b.decide(t, in)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.materials.Replay(ended, in, d)
	wantError(t, err, context.Canceled)
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
	wantError(t, err, signing.ErrUntrustedRoot)
}

func TestFeedback(t *testing.T) {
	n := newRegion(t)
	a := n.call("north", patient(t, "metformin-egfr-27"))
	card := cards(t, a.Body)[0]
	body := fmt.Appendf(nil, `{"feedback":[{"card":%q,"outcome":"overridden","overrideReason":{"reason":{"code":"will-monitor","system":"s"}},"outcomeTimestamp":"2026-03-02T15:01:00Z"},
		{"card":"nobody-knows","outcome":"overridden","outcomeTimestamp":"2026-03-02T15:01:00Z"},{"card":""}]}`, card.UUID)
	got, err := n.Feedback(t.Context(), ehr("north"), "orders", body)
	must(t, err)
	if len(got.Refused) != 1 || got.Receipt == "" || n.records("north", audit.Feedback) != 2 {
		t.Fatalf("answer %+v, %d records", got, n.records("north", audit.Feedback))
	}
	// It is found by the rule of its card, and by the patient.
	who := audit.Patient{Base: policyFor(t, "north").Clients[0].FHIRBase, ID: patientID(t, patient(t, "metformin-egfr-27"))}
	for name, f := range map[string]audit.Filter{
		"rule":    {Kind: audit.Feedback, Rule: "renal_dosing/metformin-contraindicated"},
		"patient": {Kind: audit.Feedback, Patient: who},
	} {
		page, err := n.log.List(t.Context(), "north", f)
		must(t, err)
		if len(page.Records) != 1 {
			t.Errorf("%d records by %s, want 1", len(page.Records), name)
		}
	}
	_, err = n.Feedback(t.Context(), ehr("north"), "orders", body) // EHRs send it more than once
	must(t, err)
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
		if _, err := n.Feedback(t.Context(), c.caller, c.service, []byte(c.body)); !errors.Is(err, c.want) || n.records("north", audit.Refusal) != before+1 {
			t.Errorf("%s: error is %v, want %v and a record of it", name, err, c.want)
		}
	}
}

func patientID(t testing.TB, body []byte) string {
	t.Helper()
	req, err := chart.Parse(body, chart.Limits{})
	must(t, err)
	return req.PatientID
}
