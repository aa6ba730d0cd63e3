package clinical

import (
	"slices"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// TestNothingOlderStandsIn holds that a result which may be the newest, but cannot
//
//	be read, is never silently passed over for an older one.
func TestNothingOlderStandsIn(t *testing.T) {
	old := labResult("old", "98979-8", "2025-06-01", quantity("80", units.Renal))
	low := labResult("new", "98979-8", "2026-02-20", quantity("20", units.Renal))
	with := func(from, to string) string {
		if !strings.Contains(low, from) {
			t.Fatalf("%s is not in the result", from)
		}
		return strings.Replace(low, from, to, 1)
	}
	const date, value = `"effectiveDateTime":"2026-02-20"`,
		`"valueQuantity":{"value":20,"unit":"mL/min/{1.73_m2}","system":"http://unitsofmeasure.org","code":"mL/min/{1.73_m2}"}`
	panel := `{"resourceType":"Observation","id":"new","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"24323-8"}]},` + date + `,"component":[` +
		`{"code":{"coding":[{"system":"http://loinc.org","code":"2951-2"}]},"valueQuantity":{"value":140}},{"code":{"coding":[{"system":"http://loinc.org","code":"98979-8"}]},` + value + `}]}`
	for name, test := range map[string]struct{ newest, want string }{
		"as it should be":          {low, "20"},
		"no date":                  {with(date, `"note":[]`), "precision-insufficient"},
		"a date with a loose zone": {with("2026-02-20", "2026-02-20T10:00:00+0000"), "precision-insufficient"},
		"a time that is not read": {with(date, `"effectiveTiming":{"event":["2026-02-20"]}`),
			"precision-insufficient"},
		"a period under way": {with(date, `"effectivePeriod":{"start":"2026-02-20"}`), "20"},
		"a period without begin": {with(date, `"effectivePeriod":{"end":"2026-02-20"}`),
			"precision-insufficient"},
		"issued only":           {with(date, `"issued":"2026-02-20T10:00:00Z"`), "20"},
		"dated after the call":  {with("2026-02-20", "2026-03-04"), "implausible"},
		"no status":             {with(`"status":"final",`, ""), "wrong-status"},
		"a status nobody knows": {with(`"final"`, `"done"`), "wrong-status"},
		"preliminary":           {with(`"final"`, `"preliminary"`), "wrong-status"},
		"a range": {with(value, `"valueRange":{"low":{"value":10},"high":{"value":25}}`),
			"precision-insufficient"},
		"a ratio": {with(value, `"valueRatio":{"numerator":{"value":1}}`),
			"precision-insufficient"},
		"a code": {with(value, `"valueCodeableConcept":{"coding":[{"code":"low"}]}`),
			"text-only"},
		"no value":                     {with(value, `"note":[]`), "80"},
		"a part of a panel":            {panel, "20"},
		"a part, the panel not dated":  {strings.Replace(panel, date, `"note":[]`, 1), "precision-insufficient"},
		"a part of a cancelled panel":  {strings.Replace(panel, `"final"`, `"cancelled"`, 1), "80"},
		"a part with its code escaped": {strings.Replace(panel, "\"98979-8\"", "\"\\u00398979-8\"", 1), "20"},
		"a part entered in error":      {strings.Replace(panel, `"final"`, `"entered-in-error"`, 1), "80"},
		"a unit that contradicts":      {with(`"unit":"mL/min/{1.73_m2}"`, `"unit":"mg/dL"`), "unit-unconvertible"},
		"a comparator that is none":    {with(`"value":20`, `"value":20,"comparator":[">"]`), "implausible"},
	} {
		got := ask(t, "", bundle(person("1956-01-15", "male"), old, test.newest)).
			value("fhir.egfr", `{"max_age":"P365D"}`)
		text := codes(got.Reasons)
		if got.State == fact.Known {
			text = got.Low.Text('f')
		}
		if text != test.want {
			t.Errorf("%s: %v %q, want %q", name, got.State, text, test.want)
		}
	}
}

// TestPlausible holds that a slip of the unit or the point reads as unknown.
func TestPlausible(t *testing.T) {
	creatinine := func(n string) string { return labResult("1", "2160-0", "2026-02-20", quantity(n, "mg/dL")) }
	measured := func(n string) string { return labResult("1", "98979-8", "2026-02-20", quantity(n, units.Renal)) }
	for name, test := range map[string]struct {
		result string
		known  bool
	}{
		"creatinine in g/L":         {creatinine("0.01"), false},
		"creatinine of next to nil": {creatinine("1e-30"), false},
		"creatinine in umol/L":      {creatinine("221"), false},
		"creatinine of 1e30":        {creatinine("1e30"), false},
		"creatinine of 0.1":         {creatinine("0.1"), true},
		"creatinine of 40":          {creatinine("40"), true},
		"eGFR of 9999":              {measured("9999"), false},
		"eGFR of 1e30":              {measured("1e30"), false},
		"eGFR of 200":               {measured("200"), true},
		"eGFR of 3":                 {measured("3"), true},
		"eGFR above 60": {labResult("1", "98979-8", "2026-02-20",
			`"valueQuantity":{"value":60,"comparator":">","unit":"mL/min/1.73m2"}`), true},
		"creatinine below 0.5": {labResult("1", "2160-0", "2026-02-20",
			`"valueQuantity":{"value":0.5,"comparator":"<","unit":"mg/dL"}`), true},
	} {
		got := ask(t, "", bundle(person("1956-01-15", "male"), test.result)).value("fhir.egfr", `{"max_age":"P365D"}`)
		if (got.State == fact.Known) != test.known || !test.known && codes(got.Reasons) != "implausible" {
			t.Errorf("%s: %v %s, reasons %s", name, got.State, got, codes(got.Reasons))
		}
	}
}

// TestSupersedesInACircle holds that rules cannot hide each other's cards.
func TestSupersedesInACircle(t *testing.T) {
	for text, circle := range map[string]bool{
		"a>b b>c":         false,
		"a>b a>c b>d c>d": false,
		"a>b b>a":         true,
		"a>b b>c c>a":     true,
		"a>b b>c c>b":     false, // b and c are in it, a is not
	} {
		rules := map[string]*Rule{}
		for _, id := range []string{"a", "b", "c", "d"} {
			rules[id] = &Rule{ID: id}
		}
		for pair := range strings.FieldsSeq(text) {
			from, to, _ := strings.Cut(pair, ">")
			rules[from].Supersedes = append(rules[from].Supersedes, to)
		}
		if got := supersedesItself(rules["a"], rules); got != circle {
			t.Errorf("%s: %v, want %v", text, got, circle)
		}
	}
	pack := *embedded(t, "renal_dosing")
	pack.Rules = slices.Clone(pack.Rules)
	for i, f := range pack.Rules {
		pack.Rules[i].Data = []byte(strings.Replace(string(f.Data), "#   id: metformin-caution\n",
			"#   id: metformin-caution\n#   supersedes: [metformin-contraindicated]\n", 1))
	}
	if _, err := Newest().ReadCode(&pack); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("a pack with a circle: %v", err)
	}
}

// TestOtherIngredientOfNobodyKnows holds that a drug of the set counts as
// unknown where its ingredients cannot be told, and never as the same one.
func TestOtherIngredientOfNobodyKnows(t *testing.T) {
	order := func(id, drug string) string {
		return med("MedicationRequest", id, drug, `,"status":"active","intent":"order"`)
	}
	blind := func(in *chart.Inputs) { in.Terminology = nil }
	f := ask(t, bundle(order("d", "5640")), bundle(order("1", "7258")), blind).
		fact("fhir.takes", `{"set":"nsaid","other_ingredient":true}`)
	if f.State != fact.Unknown || codes(f.Reasons) != "unresolved-reference" {
		t.Errorf("%v %s", f.State, codes(f.Reasons))
	}
}

// TestProposedDraft holds that a draft of this call counts whatever its intent.
func TestProposedDraft(t *testing.T) {
	proposal := med("MedicationRequest", "e", "855350", `,"status":"draft","intent":"proposal"`)
	drafts := bundle(med("MedicationRequest", "d", "197806", `,"status":"draft","intent":"order"`), proposal)
	if f := ask(t, drafts, bundle()).fact("fhir.takes", `{"set":"warfarin"}`); f.State != fact.True {
		t.Errorf("as a draft: %v", f.State)
	}
	if f := ask(t, bundle(med("MedicationRequest", "d", "197806", `,"status":"draft"`)), bundle(proposal)).
		fact("fhir.takes", `{"set":"warfarin"}`); f.State != fact.False {
		t.Errorf("in the chart: %v", f.State)
	}
}

// TestLocalByEveryRoute holds that a drug acts locally only if all of its
// instructions say so.
func TestLocalByEveryRoute(t *testing.T) {
	route := func(code string) string {
		return `{"route":{"coding":[{"system":"http://snomed.info/sct","code":"` + code + `"}]}}`
	}
	const skin, mouth, lungs, words = "6064005", "26643006", "447694001", `{"text":"and swallow one"}`
	for name, test := range map[string]struct {
		instructions string
		want         fact.State
	}{
		"on the skin":                {route(skin), fact.True},
		"on the skin, twice":         {route(skin) + "," + route(skin), fact.True},
		"on the skin, then in words": {route(skin) + "," + words, fact.Unknown},
		"in words, then on the skin": {words + "," + route(skin), fact.Unknown},
		"on the skin and elsewhere":  {route(skin) + "," + route(lungs), fact.Unknown},
		"on the skin and by mouth":   {route(skin) + "," + route(mouth), fact.Unknown},
		"by mouth, then in words":    {route(mouth) + "," + words, fact.False},
		"in words":                   {words, fact.Unknown},
	} {
		order := med("MedicationRequest", "d", "5640", `,"status":"draft","dosageInstruction":[`+test.instructions+`]`)
		if f := ask(t, bundle(order), bundle()).fact("fhir.topical", `{"order":0}`); f.State != test.want {
			t.Errorf("%s: %v, want %v", name, f.State, test.want)
		}
	}
}
