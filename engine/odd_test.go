package engine

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decision"
)

// oddCall is an order-sign call with draft orders and an empty chart.
func oddCall(drafts string) []byte {
	return []byte(`{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","context":{"userId":"Practitioner/1","patientId":"p1","draftOrders":` + drafts + `},"prefetch":{}}`)
}

// TestOrdersThatDidNotCome holds that orders which are missing, or in words
// only, are named and never read as nothing to say.
func TestOrdersThatDidNotCome(t *testing.T) {
	b := newBench(t)
	const metformin = `{"resource":{"resourceType":"MedicationRequest","id":"1","status":"draft","intent":"order","medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"6809"}]}}}`
	for name, test := range map[string]struct {
		entries string
		reason  string // "" for no finding about orders
	}{
		"all there":                {metformin, ""},
		"an entry without content": {metformin + `,{"fullUrl":"urn:uuid:1"}`, "partial-result"},
		"one withheld":             {metformin + `,{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"security"}]}}`, "partial-result"},
		"of DSTU2, in words":       {`{"resource":{"resourceType":"MedicationOrder","id":"1","medicationCodeableConcept":{"text":"ibuprofen"}}}`, "text-only"},
	} {
		d := b.decide(t, b.inputs(t, oddCall(`{"resourceType":"Bundle","entry":[`+test.entries+`]}`)))
		found := ""
		for i := range d.Findings {
			if f := &d.Findings[i]; f.Rule == decision.Unidentified {
				found = string(f.Fact.Reasons[0].Code)
				if f.Card == "" {
					t.Errorf("%s: nobody is told", name)
				}
			}
		}
		if found != test.reason {
			t.Errorf("%s: finding is %q, want %q", name, found, test.reason)
		}
	}
}

func TestCallWithoutOrders(t *testing.T) {
	n := newRegion(t)
	for _, drafts := range []string{`null`, `{"resourceType":"Bundle"}`} {
		a, err := n.Call(t.Context(), ehr("north"), "orders", oddCall(drafts))
		if drafts != "null" { // a Bundle may be empty
			must(t, err)
			continue
		}
		wantError(t, err, chart.ErrShape)
		if r := n.newest("north", audit.Refusal); a != nil || r.What.Code != "shape" || r.What.Path != chart.DraftsKey {
			t.Errorf("answer %v, recorded %+v", a, r)
		}
	}
}

// TestRecordTooLarge holds that a call whose record can not be kept is refused,
// and that this is recorded.
func TestRecordTooLarge(t *testing.T) {
	n := newRegion(t)
	id := strings.Repeat("x", 7<<20)
	body := bytes.Replace(patient(t, "metformin-egfr-27"), []byte(`"resourceType":"MedicationRequest","id":"`), []byte(`"resourceType":"MedicationRequest","id":"`+id), 1)
	if len(body) < 7<<20 {
		t.Fatal("the fixture has another shape")
	}
	a, err := n.Call(t.Context(), ehr("north"), "orders", body)
	wantError(t, err, chart.ErrTooLarge)
	if r := n.newest("north", audit.Refusal); a != nil || r.What.Code != "too-large" {
		t.Errorf("answer %v, recorded %+v", a, r)
	}
}

// panicsOnce is randomness that fails the program at the first read.
type panicsOnce struct{ done bool }

func (p *panicsOnce) Read(b []byte) (int, error) {
	if !p.done {
		p.done = true
		panic("no randomness")
	}
	for i := range b {
		b[i] = 7
	}
	return len(b), nil
}

func TestPanicIsRecorded(t *testing.T) {
	n := newRegion(t)
	n.Engine.cfg.Rand = &panicsOnce{}
	before := n.records("north", audit.Refusal)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the door does not learn of it")
			}
		}()
		_, err := n.Call(t.Context(), ehr("north"), "orders", patient(t, "clean"))
		t.Error(errors.Join(errors.New("answered"), err))
	}()
	if r := n.newest("north", audit.Refusal); n.records("north", audit.Refusal) != before+1 || r.What.Code != "internal" {
		t.Errorf("recorded %+v", r)
	}
}
