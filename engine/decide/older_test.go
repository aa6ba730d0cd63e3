package decide_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/engine/tenant"
)

// metforminWith is an order of metformin with some observations.
func metforminWith(patient string, observations ...string) []byte {
	for i, o := range observations {
		observations[i] = `{"resource":` + o + `}`
	}
	labs := `{"resourceType":"Bundle","type":"searchset","entry":[` + strings.Join(observations, ",") + `]}`
	body := strings.Replace(string(request(order("d1", "6809", "metformin"))), `"labs":null`, `"labs":`+labs, 1)
	return []byte(strings.Replace(body, `"birthDate":"1955-06-15"`, patient, 1))
}

func creatinine(id, status, when, mg string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":%q,"subject":{"reference":"Patient/p1"},`+
		`"code":{"coding":[{"system":"http://loinc.org","code":"2160-0","display":"Creatinine"}]},`+
		`"effectiveDateTime":%q,"valueQuantity":{"value":%s,"unit":"mg/dL","system":"http://unitsofmeasure.org",`+
		`"code":"mg/dL"}}`, id, status, when, mg)
}

// onlyTrial has services run the pack of the test alone.
func onlyTrial(p *tenant.Policy) {
	for i := range p.Services {
		p.Services[i].Packs = []string{"trial"}
	}
}

const born = `"birthDate":"1955-06-15"`

// TestOlderResultThatWouldRaiseAnAlert holds that what cannot be told is a warning,
// with value and date, where the last result that can be used would have made the
// rule fire, whatever the rule's policy.
func TestOlderResultThatWouldRaiseAnAlert(t *testing.T) {
	for _, policy := range []string{"silent", "info", "warning"} {
		b := decidetest.NewWith(t, []decidetest.Rule{{ID: "kidneys", Unknown: policy, Severity: "critical",
			Trigger: "{order: metformin}", Body: `holds := fact.less(fhir.egfr({"max_age": "P365D"}), 30)` + "\n\n" +
				decidetest.PlainCard}}, onlyTrial)
		for _, tt := range []struct {
			older string
			warns bool
		}{{"4.0", true}, {"0.9", false}} {
			d := b.Decide(t, b.Inputs(t, metforminWith(born, creatinine("old", "final", "2026-01-10T08:00:00Z", tt.older),
				creatinine("new", "preliminary", "2026-02-25T08:00:00Z", "2.0"))))
			f, list := decidetest.Finding(t, d, "trial/kidneys"), decidetest.Cards(t, d.Response)
			if f.Outcome != decision.Unknown || (f.Fact.IfOlder == fact.True) != tt.warns {
				t.Fatalf("%s, %s: finding %+v", policy, tt.older, f)
			}
			if !tt.warns {
				if policy != "warning" && len(list) > 0 && list[0].Indicator != cdshooks.Info {
					t.Errorf("%s, %s: cards %+v", policy, tt.older, list)
				}
				continue
			}
			if len(list) != 1 || list[0].Indicator != cdshooks.Warning || f.Card != list[0].UUID ||
				!strings.Contains(list[0].Summary, "of 2026-01-10 would raise an alert") ||
				!strings.Contains(list[0].Detail, "Observation/old") ||
				!strings.Contains(list[0].Detail, "Observation/new") {
				t.Errorf("%s: cards %+v", policy, list)
			}
			decidetest.Must(t, list[0].Check())
		}
	}
}

// TestSupersedingNeverHidesMore holds that a rule which could not tell is not hidden
// by a milder one that fired for another reason.
func TestSupersedingNeverHidesMore(t *testing.T) {
	trigger := "{order: metformin}"
	for _, tt := range []struct {
		name, severity, holds string
		hidden                bool
	}{
		{"a milder one", "info", decidetest.AlwaysTrue, false},
		{"one as severe", "critical", decidetest.AlwaysTrue, true},
		{"a milder one that asks for what is missing", "info",
			`holds := fact.lacking(fhir.egfr({"max_age": "P365D"}))`, true},
	} {
		b := decidetest.NewWith(t, []decidetest.Rule{
			{ID: "by", Trigger: trigger, Severity: tt.severity, More: "#   supersedes: [open]\n",
				Body: tt.holds + "\n\n" + decidetest.PlainCard},
			{ID: "open", Trigger: trigger, Severity: "critical",
				Body: `holds := fact.less(fhir.egfr({"max_age": "P365D"}), 30)` + "\n\n" + decidetest.PlainCard},
		}, onlyTrial)
		d := b.Decide(t, b.Inputs(t, metforminWith(born)))
		by, open := decidetest.Finding(t, d, "trial/by"), decidetest.Finding(t, d, "trial/open")
		if by.Outcome != decision.Fired || open.Outcome != decision.Unknown || (open.Hidden != nil) != tt.hidden {
			t.Errorf("%s: %s, %s, hidden %v", tt.name, by.Outcome, open.Outcome, open.Hidden)
		}
	}
	// The reference pack: a creatinine of 10 without a birth date.
	b := decidetest.New(t)
	d := b.Decide(t, b.Inputs(t, metforminWith(`"birthDate":null`,
		creatinine("c", "final", "2026-02-25T08:00:00Z", "10"))))
	f, list := decidetest.Finding(t, d, "renal_dosing/metformin-contraindicated"), decidetest.Cards(t, d.Response)
	if f.Outcome != decision.Unknown || f.Hidden != nil || len(list) != 1 ||
		!strings.Contains(list[0].Summary, "birth date") {
		t.Errorf("finding %+v, cards %+v", f, list)
	}
}
