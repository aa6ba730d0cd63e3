package clinical

import (
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/fact"
)

// TestTakes is the table of fhir.takes: what the chart says, what is asked,
// and true, false or unknown with the reasons.
func TestTakes(t *testing.T) {
	const warfarin, ibuprofen = "855350", "197806"
	active := func(id, drug string) string {
		return med("MedicationRequest", id, drug, `,"status":"active","intent":"order"`)
	}
	ended := func(days string) string {
		return med("MedicationRequest", "1", warfarin,
			`,"status":"stopped","intent":"order","dosageInstruction":[{"timing":{"repeat":{"boundsPeriod":{"start":"2025-01-01","end":"`+days+`"}}}}]`)
	}
	supplied := func(authored string) string {
		return med("MedicationRequest", "1", warfarin, `,"status":"active","intent":"order","authoredOn":"`+authored+
			`","dispenseRequest":{"expectedSupplyDuration":{"value":10,"unit":"days"},"numberOfRepeatsAllowed":0}`)
	}
	inWords := `{"resourceType":"MedicationStatement","id":"w","status":"active","medicationCodeableConcept":{"text":"blood thinner"}}`
	orderInWords := strings.NewReplacer("MedicationStatement", "MedicationRequest", `"active"`, `"draft"`).
		Replace(inWords)
	replaces := func(drug string) string {
		return med("MedicationRequest", "d", drug,
			`,"status":"draft","priorPrescription":{"reference":"MedicationRequest/old"}`)
	}
	partial := func(resources ...string) string {
		return strings.Replace(bundle(resources...), `"type"`, `"link":[{"relation":"next","url":"x"}],"type"`, 1)
	}
	route := func(code string) string {
		return `,"status":"active","intent":"order","dosageInstruction":[{"route":{"coding":[{"system":"http://snomed.info/sct","code":"` + code + `"}]}}]`
	}
	for _, tt := range []struct {
		name, drafts, source, options string
		want                          string
	}{
		{"active order", "", bundle(active("1", warfarin)), `{"set":"warfarin"}`, "true"},
		{"another drug, all complete", "", bundle(active("1", ibuprofen)), `{"set":"warfarin"}`, "false"},
		{"nothing, all complete", "", bundle(), `{"set":"warfarin"}`, "false"},
		{"nothing supplied", "", "", `{"set":"warfarin"}`, "unknown not-supplied"},
		{"nothing on the first page", "", partial(), `{"set":"warfarin"}`, "unknown partial-result"},
		{"found on the first page", "", partial(active("1", warfarin)), `{"set":"warfarin"}`, "true"},
		{"fetch failed", "", `{"resourceType":"OperationOutcome","issue":[]}`, `{"set":"warfarin"}`,
			"unknown fetch-failed"},
		{"a drug in words", "", bundle(inWords), `{"set":"warfarin"}`, "unknown text-only"},
		{"a drug in words beside the one", "", bundle(inWords, active("1", warfarin)), `{"set":"warfarin"}`, "true"},
		{"a code nobody knows", "", bundle(active("1", "999999")), `{"set":"warfarin"}`,
			"unknown unresolved-reference"},
		{"on hold", "", bundle(med("MedicationRequest", "1", warfarin, `,"status":"on-hold"`)), `{"set":"warfarin"}`,
			"unknown wrong-status"},
		{"stopped", "", bundle(ended("2026-02-20")), `{"set":"warfarin"}`, "false"},
		{"stopped, end unknown", "",
			bundle(med("MedicationRequest", "1", warfarin, `,"status":"stopped","authoredOn":"2025"`)),
			`{"set":"warfarin"}`, "false"},
		{"cancelled, end unknown", "",
			bundle(med("MedicationRequest", "1", warfarin, `,"status":"cancelled","authoredOn":"2025"`)),
			`{"set":"warfarin"}`, "false"},

		{"ended inside the window", "", bundle(ended("2026-02-20")), `{"set":"warfarin","within":"P14D"}`, "true"},
		{"ended before the window", "", bundle(ended("2026-02-10")), `{"set":"warfarin","within":"P14D"}`, "false"},
		{"ended some time in the month the window begins in", "", bundle(ended("2026-02")),
			`{"set":"warfarin","within":"P14D"}`, "unknown precision-insufficient"},
		{"stopped, end unknown, within", "",
			bundle(med("MedicationRequest", "1", warfarin, `,"status":"stopped","authoredOn":"2025"`)),
			`{"set":"warfarin","within":"P14D"}`, "unknown precision-insufficient"},
		{"cancelled, end unknown, within", "",
			bundle(med("MedicationRequest", "1", warfarin, `,"status":"cancelled","authoredOn":"2025"`)),
			`{"set":"warfarin","within":"P14D"}`, "unknown precision-insufficient"},
		{"active, begun long ago, by start", "", bundle(med("MedicationRequest", "1", warfarin,
			`,"status":"active","intent":"order","authoredOn":"2020-01-01"`)),
			`{"set":"warfarin","within":"P14D","by":"start"}`, "false"},
		{"active, nobody knows since when, by start", "", bundle(active("1", warfarin)),
			`{"set":"warfarin","within":"P14D","by":"start"}`, "unknown precision-insufficient"},
		{"active, begun long ago, within", "", bundle(med("MedicationRequest", "1", warfarin,
			`,"status":"active","intent":"order","authoredOn":"2020-01-01"`)),
			`{"set":"warfarin","within":"P14D"}`, "true"},
		{"active, supply of 2008", "", bundle(supplied("2008-01-06")), `{"set":"warfarin"}`, "unknown supply-ended quiet"},
		{"active, supply ended 20 days ago", "", bundle(supplied("2026-01-31")), `{"set":"warfarin"}`,
			"unknown supply-ended"},
		{"active, supply ended 20 days ago, grace of a week", "", bundle(supplied("2026-01-31")),
			`{"set":"warfarin","grace":"P7D"}`, "unknown supply-ended quiet"},
		{"active, supply ended two months ago, grace of a year", "", bundle(supplied("2025-12-20")),
			`{"set":"warfarin","grace":"P1Y"}`, "unknown supply-ended"},
		{"active, supply ended inside the window", "", bundle(supplied("2026-02-10")),
			`{"set":"warfarin","within":"P14D"}`, "true"},
		{"supply of 2008 beside one of today", "", bundle(supplied("2008-01-06"), active("2", warfarin)),
			`{"set":"warfarin"}`, "true"},
		{"supply of 2008, of another drug", "", bundle(supplied("2008-01-06")), `{"set":"nsaid"}`, "false"},
		{"supply of 2008, and more pages", "", partial(supplied("2008-01-06")), `{"set":"warfarin"}`,
			"unknown supply-ended partial-result"},
		{"active, plan ended", "", bundle(strings.Replace(ended("2026-02-20"), "stopped", "active", 1)),
			`{"set":"warfarin"}`, "false"},
		{"dispensed inside, by start", "",
			bundle(med("MedicationDispense", "1", warfarin, `,"status":"completed","whenHandedOver":"2026-02-20"`)),
			`{"set":"warfarin","within":"P14D","by":"start"}`, "true"},
		{"dispensed before, by start", "",
			bundle(med("MedicationDispense", "1", warfarin, `,"status":"completed","whenHandedOver":"2026-02-10"`)),
			`{"set":"warfarin","within":"P14D","by":"start"}`, "false"},

		{"given 23 hours ago", "", bundle(med("MedicationAdministration", "1", warfarin,
			`,"status":"completed","effectiveDateTime":"2026-03-01T16:00:00Z"`)), `{"set":"warfarin"}`, "true"},
		{"given 25 hours ago", "", bundle(med("MedicationAdministration", "1", warfarin,
			`,"status":"completed","effectiveDateTime":"2026-03-01T14:00:00Z"`)), `{"set":"warfarin"}`, "false"},
		{"given yesterday, nobody knows when", "",
			bundle(med("MedicationAdministration", "1", warfarin,
				`,"status":"completed","effectiveDateTime":"2026-03-01"`)), `{"set":"warfarin"}`,
			"unknown precision-insufficient"},

		{"another draft", bundle(active("d", ibuprofen), active("e", warfarin)), bundle(), `{"set":"warfarin"}`,
			"true"},
		{"another draft, not wanted", bundle(active("d", ibuprofen), active("e", warfarin)), bundle(),
			`{"set":"warfarin","drafts":false}`, "false"},
		{"the order itself", bundle(active("d", warfarin)), bundle(), `{"set":"warfarin"}`, "false"},
		{"the order itself, as the EHR has it", bundle(active("d", warfarin)), bundle(active("d", warfarin)),
			`{"set":"warfarin"}`, "false"},
		{"the order it replaces", bundle(replaces(warfarin)), bundle(active("old", warfarin)), `{"set":"warfarin"}`,
			"false"},
		{"the order itself, within", bundle(active("d", warfarin)), bundle(), `{"set":"warfarin","within":"P14D"}`,
			"false"},
		{"the order itself, as the EHR has it, within", bundle(active("d", warfarin)), bundle(active("d", warfarin)),
			`{"set":"warfarin","within":"P14D"}`, "false"},
		{"the order itself, in words, within", bundle(orderInWords), bundle(), `{"set":"warfarin","within":"P14D"}`,
			"false"},
		{"the order of the same drug it replaces, within", bundle(replaces(warfarin)), bundle(active("old", warfarin)),
			`{"set":"warfarin","within":"P14D"}`, "false"},
		{"the order of another drug it replaces", bundle(replaces(ibuprofen)), bundle(active("old", warfarin)),
			`{"set":"warfarin"}`, "false"},
		{"the order of another drug it replaces, within", bundle(replaces(ibuprofen)), bundle(active("old", warfarin)),
			`{"set":"warfarin","within":"P14D"}`, "true"},
		{"an order beside the one at hand, within", bundle(active("d", warfarin)), bundle(active("1", warfarin)),
			`{"set":"warfarin","within":"P14D"}`, "true"},

		{"another NSAID", bundle(active("d", ibuprofen)), bundle(active("1", "5640"), active("2", "7258")),
			`{"set":"nsaid","other_ingredient":true}`, "true"},
		{"the same NSAID", bundle(active("d", ibuprofen)), bundle(active("1", "5640")),
			`{"set":"nsaid","other_ingredient":true}`, "false"},
		{"by mouth", "", bundle(active("1", ibuprofen)), `{"set":"nsaid","systemic":true}`, "true"},
		{"on the skin", "", bundle(med("MedicationRequest", "1", "3355", route("6064005"))),
			`{"set":"nsaid","systemic":true}`, "false"},
		{"on the skin, form oral", "", bundle(med("MedicationRequest", "1", ibuprofen, route("6064005"))),
			`{"set":"nsaid","systemic":true}`, "unknown no-data"},
		{"no route, no form", "", bundle(active("1", "3355")), `{"set":"nsaid","systemic":true}`, "unknown no-data"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := ask(t, tt.drafts, tt.source)
			f := a.fact("fhir.takes", tt.options)
			got := strings.TrimSpace(f.State.String() + " " + codes(f.Reasons))
			if fact.Quiet(f.Reasons) {
				got += " quiet"
			}
			if got != tt.want {
				t.Errorf("%s, want %s; evidence %v", got, tt.want, f.Evidence)
			}
			if f.State == fact.True && len(f.Evidence) == 0 || f.State == fact.False && len(f.Evidence) > 0 {
				t.Errorf("evidence of %s: %v", f.State, f.Evidence)
			}
			if f.Op != "" && !strings.HasPrefix(f.Label, "takes ") {
				t.Errorf("label %q", f.Label)
			}
		})
	}
}

// TestCondition is the table of fhir.condition.
func TestCondition(t *testing.T) {
	const bleed = "74474003"
	of := func(code, clinical, verification, rest string) string {
		status := func(name, code string) string {
			if code == "" {
				return ""
			}
			return `,"` + name + `":{"coding":[{"code":"` + code + `"}]}`
		}
		return `{"resourceType":"Condition","id":"1","code":{"coding":[{"system":"http://snomed.info/sct","code":"` +
			code + `"}]}` +
			status("clinicalStatus", clinical) + status("verificationStatus", verification) + rest + `}`
	}
	words := func(rest string) string {
		return `{"resourceType":"Condition","id":"2","code":{"text":"bleeding ulcer"}` + rest + `}`
	}
	for _, tt := range []struct {
		name, source string
		now, ever    string
	}{
		{"active and confirmed", bundle(of(bleed, "active", "confirmed", "")), "true", "true"},
		{"status not given", bundle(of(bleed, "", "", "")), "true", "true"},
		{"recurrence", bundle(of(bleed, "recurrence", "confirmed", "")), "true", "true"},
		{"inactive", bundle(of(bleed, "inactive", "confirmed", "")), "false", "true"},
		{"remission", bundle(of(bleed, "remission", "confirmed", "")), "false", "true"},
		{"resolved", bundle(of(bleed, "resolved", "confirmed", "")), "false", "true"},
		{"abated", bundle(of(bleed, "", "confirmed", `,"abatementDateTime":"2020"`)), "false", "true"},
		{"abated, though active", bundle(of(bleed, "active", "confirmed", `,"abatementDateTime":"2020"`)),
			"unknown ambiguous", "true"},
		{"to abate next year", bundle(of(bleed, "active", "confirmed", `,"abatementDateTime":"2027"`)), "true",
			"true"},
		{"not abated", bundle(of(bleed, "active", "confirmed", `,"abatementBoolean":false`)), "true", "true"},
		{"unconfirmed", bundle(of(bleed, "active", "unconfirmed", "")), "unknown wrong-status",
			"unknown wrong-status"},
		{"provisional", bundle(of(bleed, "active", "provisional", "")), "unknown wrong-status",
			"unknown wrong-status"},
		{"differential", bundle(of(bleed, "active", "differential", "")), "unknown wrong-status",
			"unknown wrong-status"},
		{"refuted, though active", bundle(of(bleed, "active", "refuted", "")), "false", "false"},
		{"entered in error", bundle(of(bleed, "active", "entered-in-error", "")), "false", "false"},
		{"another", bundle(of("38341003", "active", "confirmed", "")), "false", "false"},
		{"in words", bundle(words("")), "unknown text-only", "unknown text-only"},
		{"in words, resolved", bundle(words(`,"clinicalStatus":{"coding":[{"code":"resolved"}]}`)), "false",
			"unknown text-only"},
		{"in words beside the one", bundle(words(""), of(bleed, "active", "confirmed", "")), "true", "true"},
		{"none", bundle(), "false", "false"},
		{"not supplied", "", "unknown not-supplied", "unknown not-supplied"},
		{"one of more pages", strings.Replace(bundle(), `"type"`, `"total":3,"type"`, 1), "unknown partial-result",
			"unknown partial-result"},
	} {
		for ever, want := range map[string]string{"false": tt.now, "true": tt.ever} {
			f := ask(t, "", tt.source).fact("fhir.condition", `{"set":"upper_gi_bleed","ever":`+ever+`}`)
			if got := strings.TrimSpace(f.State.String() + " " + codes(f.Reasons)); got != want {
				t.Errorf("%s, ever %s: %s, want %s", tt.name, ever, got, want)
			}
		}
	}
}

func TestOrderInAndTopical(t *testing.T) {
	for _, tt := range []struct{ name, order, in, topical string }{
		{"ibuprofen tablets", med("MedicationRequest", "d", "197806", `,"status":"draft"`), "true", "false"},
		{"the ingredient", med("MedicationRequest", "d", "5640", `,"status":"draft"`), "true", "unknown no-data"},
		{"warfarin", med("MedicationRequest", "d", "855350", `,"status":"draft"`), "false", "false"},
		{"in words", `{"resourceType":"MedicationRequest","id":"d","status":"draft","medicationCodeableConcept":{"text":"pain killer"}}`, "unknown text-only", "unknown no-data"},
	} {
		a := ask(t, bundle(tt.order), bundle())
		for _, q := range []struct {
			f    *fact.Fact
			want string
		}{{a.fact("fhir.order_in", `{"set":"nsaid"}`), tt.in}, {a.fact("fhir.topical", `{"order":0}`), tt.topical}} {
			if got := strings.TrimSpace(q.f.State.String() + " " + codes(q.f.Reasons)); got != q.want {
				t.Errorf("%s, %s: %s, want %s", tt.name, q.f.Label, got, q.want)
			}
		}
	}
	a := ask(t, "", bundle())
	for _, call := range []struct {
		f    string
		args []string
	}{
		{"fhir.order", nil}, {"fhir.order_in", []string{`{"set":"nsaid"}`}}, {"fhir.topical", []string{`{"order":0}`}},
		{"fhir.remove", []string{`{"order":0}`}},
	} {
		if _, err := a.call(call.f, call.args...); err == nil || !strings.Contains(err.Error(), "no order") {
			t.Errorf("asked about the patient: %v", err)
		}
	}
}

// TestOptions is what options and handles are refused.
func TestOptions(t *testing.T) {
	a := ask(t, "", bundle())
	for _, tt := range []struct {
		f    string
		args []string
		want string
	}{
		{"fhir.takes", []string{`"warfarin"`}, "want an options object, have string"},
		{"fhir.takes", []string{`{}`}, `option "set" is required`},
		{"fhir.takes", []string{`{"set":""}`}, `option "set" must be a string that is not empty`},
		{"fhir.takes", []string{`{"set":7}`}, `option "set" must be a string`},
		{"fhir.takes", []string{`{"set":"aspirin"}`},
			`the pack has no value set "aspirin"; add valuesets/aspirin.json`},
		{"fhir.takes", []string{`{"set":"warfarin","within":"14 days"}`}, "must be a duration, not"},
		{"fhir.takes", []string{`{"set":"warfarin","within":14}`}, `option "within" must be a string`},
		{"fhir.takes", []string{`{"set":"warfarin","by":"start"}`}, `goes with "within"`},
		{"fhir.takes", []string{`{"set":"warfarin","within":"P14D","by":"end"}`}, `must be "start"`},
		{"fhir.takes", []string{`{"set":"warfarin","systemic":"yes"}`}, `option "systemic" must be true or false`},
		{"fhir.takes", []string{`{"set":"warfarin","other_ingredient":1}`},
			`option "other_ingredient" must be true or false`},
		{"fhir.takes", []string{`{"set":"warfarin","drafts":null}`}, `option "drafts" must be true or false`},
		{"fhir.takes", []string{`{"set":"warfarin","windin":"P14D"}`},
			"there are options that it does not have; it has \"set\", \"within\""},
		{"fhir.condition", []string{`[]`}, "want an options object, have array"},
		{"fhir.condition", []string{`{"ever":true}`}, `option "set" is required`},
		{"fhir.condition", []string{`{"set":"upper_gi_bleed","ever":"once"}`}, `option "ever" must be true or false`},
		{"fhir.condition", []string{`{"set":"x"}`}, "no value set"},
		{"fhir.lab", []string{`{"set":"nsaid","max_age":"P1Y"}`}, `option "unit" is required`},
		{"fhir.lab", []string{`{"set":"nsaid","unit":"mg/dL"}`}, `option "max_age" is required`},
		{"fhir.lab", []string{`{"set":"nsaid","unit":"mg/dL","max_age":"1Y"}`}, "must be a duration, not"},
		{"fhir.lab", []string{`{"unit":"mg/dL","max_age":"P1Y"}`}, `option "set" is required`},
		{"fhir.lab", []string{`{"set":"x","unit":"mg/dL","max_age":"P1Y"}`}, "no value set"},
		{"fhir.egfr", []string{`{}`}, `option "max_age" is required`},
		{"fhir.age", []string{`{"unit":"m"}`}, `must be "a" or "mo" or "wk" or "d", not "m"`},
		{"fhir.order_in", []string{`{"set":"x"}`}, "no value set"},
		{"fhir.request_service", []string{`{"system":"s","code":"c","display":"d"}`}, `option "label" is required`},
		{"fhir.propose_medication", []string{`{"system":"s","display":"d","label":"l"}`}, `option "code" is required`},
		{"param", []string{`"egfr_max_age"`}, `the pack declares no parameter "egfr_max_age"`},
		{"param", []string{`7`}, "want a string"},
		{"fact.negate", []string{`{"fact":0}`}, "want a fact made by a built-in of this evaluation"},
		{"fact.negate", []string{`{"value":0}`}, "want a fact"},
		{"fact.negate", []string{`7`}, "want a fact"},
		{"fact.less", []string{`{"value":99}`, `1`}, "want a value"},
		{"fact.all", []string{`[{"fact":3}]`}, "want a fact"},
		{"fact.count_at_least", []string{`0`, `[]`}, "at least 1"},
		{"fact.count_at_least", []string{`1.5`, `[]`}, "whole number"},
		{"fact.is", []string{`{"fact":0}`, `"true"`}, "want a fact"},
	} {
		_, err := a.call(tt.f, tt.args...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.args, err, tt.want)
		}
	}
	a.fact("fhir.takes", `{"set":"warfarin","within":"P14D","by":"start","drafts":false}`)
	if f := a.fact("fhir.takes", `{"set":"nsaid"}`); strings.Contains(f.Label, "within") ||
		a.Session.call.given[2].is || !a.Session.call.flag("drafts") {
		t.Errorf("a call keeps options of the one before: %q, %+v", f.Label, a.Session.call.given)
	}
	a.fact("fhir.condition", `{"set":"upper_gi_bleed"}`)
	for _, tt := range []struct {
		f    string
		args []string
	}{
		{"fact.is", []string{`{"fact":0}`, `"perhaps"`}}, {"fact.is", []string{`{"fact":0}`, `7`}},
		{"fact.named", []string{`7`, `{"fact":0}`}}, {"fact.all", []string{`{"fact":0}`}},
	} {
		if _, err := a.call(tt.f, tt.args...); err == nil {
			t.Errorf("%v was accepted", tt.args)
		}
	}
}

// TestHandles holds that what was given leads back to its fact, in whatever
// term the evaluator wraps it, that what a rule wrote itself does not, and that
// asking anew makes all of it void.
func TestHandles(t *testing.T) {
	a := ask(t, "", bundle())
	var made []*fact.Fact
	var given []*ast.Term
	for range 100 {
		x, err := a.call("fhir.condition", `{"set":"upper_gi_bleed"}`)
		if err != nil {
			t.Fatal(err)
		}
		made, given = append(made, a.facts[len(a.facts)-1]), append(given, x)
	}
	for i, want := range made {
		for _, x := range []*ast.Term{given[i], ast.NewTerm(given[i].Value)} {
			if got, err := a.Fact(x); err != nil || got != want {
				t.Fatalf("handle %d: %v, %v", i, got, err)
			}
		}
		for name, x := range map[string]*ast.Term{"written anew": factHandles.make(i),
			"with more in it": ast.ObjectTerm(ast.Item(ast.StringTerm("fact"), ast.IntNumberTerm(i)),
				ast.Item(ast.StringTerm("x"), ast.IntNumberTerm(i))),
			"copied": ast.NewTerm(given[i].Value).Copy()} {
			if _, err := a.Fact(x); err == nil || !strings.Contains(err.Error(), "not a written-down one") {
				t.Fatalf("handle %d %s: %v", i, name, err)
			}
		}
	}
	a.Ask(a.pack, nil)
	for _, i := range []int{0, 99} {
		if _, err := a.Fact(given[i]); err == nil {
			t.Error("a handle of an earlier pair was accepted")
		}
	}
}

// TestSessionsForget holds that a session used again knows nothing of the
// call before, and that what was answered stays.
func TestSessionsForget(t *testing.T) {
	first := ask(t, "", bundle(person("1956-01-15", "male"),
		labResult("scr", "2160-0", "2026-02-01", quantity("2.5", "mg/dL"))))
	value := first.value("fhir.egfr", `{"max_age":"P1Y"}`)
	taken := first.fact("fhir.takes", `{"set":"warfarin"}`)
	var sessions Sessions
	sessions.End(first.Session)
	if s := first.Session; s.chart.of != nil || s.pack != nil || s.subject != nil ||
		len(s.libs[Newest()].egfrs)+len(s.facts)+len(s.values)+len(s.blanks) != 0 || s.result != nil {
		t.Errorf("after End: %+v", s)
	}
	for _, f := range first.facts[:cap(first.facts)] {
		if f != nil {
			t.Error("a fact is still held")
		}
	}
	other := ask(t, "", bundle(person("1956-01-15", "male")))
	again := sessions.Start(other.chart.of, "de")
	again.Ask(other.pack, nil)
	if v := (asked{again, t}).value("fhir.egfr", `{"max_age":"P1Y"}`); v.State == fact.Known {
		t.Errorf("eGFR of another patient: %s", v)
	}
	if value.String() != "27.0 mL/min/1.73 m²" || taken.State != fact.False ||
		!strings.HasPrefix(taken.Label, "takes ") {
		t.Errorf("what was answered changed: %s, %+v", value, taken)
	}
}
