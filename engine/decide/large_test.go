package decide_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
)

// largeCall orders many drugs for a patient who takes many: every rule about an order
// is asked about each draft, and each looks at every exposure.
func largeCall(drafts, exposures int) []byte {
	const drug = `"medicationCodeableConcept":{"coding":[` +
		`{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"%s"}],"text":"%s"},` +
		`"subject":{"reference":"Patient/p1"}`
	drugs := []string{"197806", "855332", "861007", "312938"} // ibuprofen, warfarin, metformin, sertraline
	list := func(n int, what string) string {
		entries := make([]string, n)
		for i := range entries {
			entries[i] = fmt.Sprintf(`{"resource":{"resourceType":"MedicationRequest","id":"%s%d","status":"%s",`+
				`"intent":"order","authoredOn":"2026-02-%02d",`+drug+`}}`,
				what[:1], i, what, i%27+1, drugs[i%len(drugs)], "drug")
		}
		return strings.Join(entries, ",")
	}
	return []byte(`{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","context":{` +
		`"userId":"Practitioner/1","patientId":"p1","draftOrders":{"resourceType":"Bundle","type":"collection",` +
		`"entry":[` + list(drafts, "draft") + `]}},` +
		`"prefetch":{"patient":{"resourceType":"Patient","id":"p1","gender":"male",` +
		`"birthDate":"1950-01-01"},"medications":{"resourceType":"Bundle","type":"searchset","entry":[` +
		list(exposures, "active") + `]}}}`)
}

// BenchmarkLarge decides calls of a hundred drafts for ever larger charts.
func BenchmarkLarge(b *testing.B) {
	bn := decidetest.New(b)
	for _, n := range []int{300, 1000, 3000} {
		in := bn.Inputs(b, largeCall(100, n))
		snapshot, req := bn.Snapshot(b, in)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := snapshot.Decide(b.Context(), in, req, decide.Times{})
				decidetest.Must(b, err)
				segments, err := decision.Encode(in, d)
				decidetest.Must(b, err)
				b.ReportMetric(float64(len(d.Findings)), "findings")
				b.ReportMetric(float64(len(segments[len(segments)-8])), "bytes")
			}
		})
	}
}

// BenchmarkManyPairs decides calls of ever more drafts, about each of which rules fire,
// supersede one another, ask for data that is lacking, and cannot tell.
func BenchmarkManyPairs(b *testing.B) {
	const trigger, egfr = "{order: metformin}", `fhir.egfr({"max_age": "P1D"})`
	rules := []decidetest.Rule{
		{ID: "asks", Trigger: trigger, Body: "holds := fact.lacking(" + egfr + ")\n\n" + decidetest.PlainCard},
		{ID: "says-less", Trigger: trigger, Body: decidetest.AlwaysTrue + "\n\n" + decidetest.PlainCard},
		{ID: "says-more", Trigger: trigger, More: "#   supersedes: [says-less]\n",
			Body: decidetest.AlwaysTrue + "\n\n" + decidetest.PlainCard},
	}
	for i := range 10 {
		rules = append(rules, decidetest.Rule{ID: fmt.Sprintf("unsure-%d", i), Trigger: trigger,
			Body: "holds := fact.less(" + egfr + ", 30)\n\n" + decidetest.PlainCard})
	}
	bn := decidetest.NewWith(b, rules)
	for _, n := range []int{50, 200, 800} {
		request := bytes.ReplaceAll(largeCall(4*n, 0), []byte("197806"), []byte("6809")) // a quarter is of metformin
		in := bn.Inputs(b, request)
		snapshot, req := bn.Snapshot(b, in)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := snapshot.Decide(b.Context(), in, req, decide.Times{})
				decidetest.Must(b, err)
				b.ReportMetric(float64(len(d.Findings)), "findings")
			}
		})
	}
}

// TestEvidenceIsCounted holds that a fact of many resources names some, that record and
// card say how many more there are, and that findings which leave some out are not
// taken for the same.
func TestEvidenceIsCounted(t *testing.T) {
	takes := decidetest.Rule{ID: "takes", Trigger: "{order: metformin}",
		Body: "holds := fhir.takes({\"set\": \"metformin\"})\n\n" +
			`card := {"summary": fhir.text("Takes {m}", {"m": holds})}`}
	b := decidetest.NewWith(t, []decidetest.Rule{takes})
	for _, tt := range []struct {
		language, summary, line string
		exposures, findings     int // the other draft is one more exposure
	}{
		{"en", "Takes drug", "", 31, 1}, {"en", "Takes drug and 8 more", "- and 8 more\n", 39, 2},
		{"de", "Takes drug und 1 weiteres", "- und 1 weiteres\n", 32, 2},
	} {
		request := largeCall(2, tt.exposures)
		for _, code := range []string{"197806", "855332", "861007", "312938"} {
			request = bytes.ReplaceAll(request, []byte(code), []byte("6809"))
		}
		in := b.Inputs(t, request)
		in.Language = tt.language
		d := b.Decide(t, in)
		shown := 0
		for _, f := range d.Findings {
			if f.Rule != "trial/takes" {
				continue
			}
			if f.Outcome != decision.Fired || len(f.Fact.Evidence) != 32 || f.Fact.More != tt.exposures-31 {
				t.Fatalf("%s of %d resources and %d more, %+v", f.Outcome, len(f.Fact.Evidence), f.Fact.More, f.Error)
			}
			if f.Card != "" {
				shown++
			}
		}
		if shown != tt.findings {
			t.Errorf("%d exposures: %d findings are shown, want %d", tt.exposures, shown, tt.findings)
		}
		found := false
		for _, c := range decidetest.Cards(t, d.Response) {
			if c.Summary == tt.summary {
				found = strings.Contains(c.Detail, tt.line) && (tt.line != "" || !strings.Contains(c.Detail, "- and "))
			}
		}
		if !found {
			t.Errorf("no card says %q and %q: %s", tt.summary, tt.line, d.Response)
		}
		if same, err := b.Materials.Replay(t.Context(), in, d); err != nil || !same.Same {
			t.Errorf("replayed: %+v, %v", same, err)
		}
		segments, err := decision.Encode(in, d)
		decidetest.Must(t, err)
		if _, _, err := decision.Decode(bytes.Join(segments, nil)); err != nil {
			t.Error(err)
		}
	}
}
