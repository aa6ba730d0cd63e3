package clinical

import (
	"fmt"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// sent writes an Observation: its status, code (LOINC, unless it is an object) and
// what else it has.
func sent(id, status, code, rest string) string {
	if !strings.HasPrefix(code, "{") {
		code = fmt.Sprintf(`{"coding":[{"system":"http://loinc.org","code":%q}]}`, code)
	}
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":%q,"code":%s,%s}`, id, status, code, rest)
}

func coded(system, code, display string) string {
	return fmt.Sprintf(`{"coding":[{"system":%q,"code":%q,"display":%q}]}`, system, code, display)
}

const absentBy = `"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"error"`

func noValue(why string) string {
	const system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
	return fmt.Sprintf(`"dataAbsentReason":{"coding":[{"system":%q,"code":%q}]}`, system, why)
}

// shown is a value as tests write it: itself or the codes of its reasons, and what is
// older.
func shown(v *fact.Value) string {
	text := v.String()
	if v.State != fact.Known {
		text = codes(v.Reasons)
	}
	if v.Older != nil {
		text += ", older " + v.Older.String()
	}
	return text
}

// evidenceOf lists the evidence of a value.
func evidenceOf(list []fact.Evidence) string {
	refs := make([]string, len(list))
	for i, e := range list {
		refs[i] = strings.TrimPrefix(e.Ref, "Observation/")
		if e.Note != "" {
			refs[i] += " (" + e.Note + ")"
		}
	}
	return strings.Join(refs, ", ")
}

// TestNewestOfEverything holds that of all results that could answer the question
// the newest decides, that one which cannot be used leaves it open, and that then
// the older one is told.
func TestNewestOfEverything(t *testing.T) {
	const (
		june, july = `"effectiveDateTime":"2025-06-01T08:00:00Z",`, `"effectiveDateTime":"2025-07-01T08:00:00Z",`
	)
	local := coded("https://lab.example/codes", "77", "Creatinine, serum")
	panel := july + `"component":[{"code":` + local + `,` + quantity("4.0", "mg/dL") + `}]`
	beside := `{"coding":[{"system":"https://lab.example/codes","code":"77","display":"Creatinine"},` +
		`{"system":"http://loinc.org","code":"2160-0"}]}`
	four, nine, low := quantity("4.0", "mg/dL"), quantity("0.9", "mg/dL"), quantity("20", units.Renal)
	final := func(id, code, rest string) string { return sent(id, "final", code, rest) }
	for _, tt := range []struct {
		name, want, evidence string
		results              []string
	}{
		{"a newer creatinine than the reported rate", "15.3 mL/min/1.73 m²", "c, ",
			[]string{final("e", "98979-8", june+quantity("78", units.Renal)), final("c", "2160-0", july+four)}},
		{"a newer preliminary", "wrong-status, older 91.9 mL/min/1.73 m²", "c",
			[]string{final("o", "2160-0", june+nine), sent("c", "preliminary", "2160-0", july+four)}},
		{"a newer one of unknown status", "wrong-status, older 91.9 mL/min/1.73 m²", "c",
			[]string{final("o", "2160-0", june+nine), sent("c", "unknown", "2160-0", july+four)}},
		{"a newer preliminary, the older one bad", "wrong-status, older 20 mL/min/1.73 m²", "c",
			[]string{final("o", "98979-8", june+low), sent("c", "preliminary", "2160-0", july+nine)}},
		{"newer words", "text-only, older 91.9 mL/min/1.73 m²", "c",
			[]string{final("o", "2160-0", june+nine), final("c", "2160-0", july+`"valueString":"see note"`)}},
		{"a newer unit that nobody knows", "unit-unconvertible, older 91.9 mL/min/1.73 m²", "c",
			[]string{final("o", "2160-0", june+nine), final("c", "2160-0", july+quantity("4", "bogus"))}},
		{"a newer one without unit", "unit-unconvertible, older 91.9 mL/min/1.73 m²", "c",
			[]string{final("o", "2160-0", june+nine), final("c", "2160-0", july+`"valueQuantity":{"value":4}`)}},
		{"a newer one under a local code", "unknown-code, older 91.9 mL/min/1.73 m²", "c",
			[]string{final("o", "2160-0", june+nine), final("c", local, july+four)}},
		{"a newer one with words for its code", "unknown-code, older 91.9 mL/min/1.73 m²", "c",
			[]string{final("o", "2160-0", june+nine), final("c", `{"text":"Kreatinin i.S."}`, july+four)}},
		{"a newer one under a LOINC code of no list", "unknown-code, older 91.9 mL/min/1.73 m²", "c",
			[]string{final("o", "2160-0", june+nine),
				final("c", coded("http://loinc.org", "1-8", "Creatinine [Mass/volume] in Venous blood"), july+four)}},
		{"a part of a panel under a local code", "unknown-code, older 91.9 mL/min/1.73 m²", "c",
			[]string{final("o", "2160-0", june+nine),
				final("c", `{"text":"Metabolic panel"}`, panel)}},
		{"only a local code: not absent", "unknown-code", "c", []string{final("c", local, july+four)}},
		{"a local code beside the known one", "15.3 mL/min/1.73 m²", "c, ", []string{final("c", beside, july+four)}},
		{"one that is registered", "91.9 mL/min/1.73 m²", "o, ",
			[]string{final("o", "2160-0", june+nine), sent("c", "registered", "2160-0", july+four)}},
		{"one without value", "91.9 mL/min/1.73 m²", "o, ",
			[]string{final("o", "2160-0", june+nine), final("c", "2160-0", july+`"note":[]`)}},
		{"one with an empty value", "91.9 mL/min/1.73 m²", "o, ",
			[]string{final("o", "2160-0", june+nine), final("c", "2160-0", july+`"valueQuantity":{"unit":"mg/dL"}`)}},
		{"only one that is registered", "no-data", "c (pending)",
			[]string{sent("c", "registered", "2160-0", july+four)}},
		{"only one without value", "no-data", "c (pending)", []string{final("c", "2160-0", july+`"note":[]`)}},
		{"one that is preliminary and one that is pending", "wrong-status", "p, c (pending)",
			[]string{sent("p", "preliminary", "2160-0", june+nine), final("c", "2160-0", july+`"note":[]`)}},
		{"a reason for no value", "value-absent, older 91.9 mL/min/1.73 m²", "c", []string{final("o", "2160-0", june+nine),
			final("c", "2160-0", july+noValue("error"))}},
		{"a reason for no value, in words", "value-absent, older 91.9 mL/min/1.73 m²", "c", []string{
			final("o", "2160-0", june+nine), final("c", "2160-0", july+`"dataAbsentReason":{"text":"hemolysed"}`)}},
		{"a reason for no value, as an extension", "value-absent, older 91.9 mL/min/1.73 m²", "c", []string{
			final("o", "2160-0", june+nine), final("c", "2160-0", july+`"_valueQuantity":{"extension":[{`+absentBy+`}]}`)}},
		{"a reason for no number", "value-absent, older 91.9 mL/min/1.73 m²", "c", []string{
			final("o", "2160-0", june+nine),
			final("c", "2160-0", july+`"valueQuantity":{"_value":{"extension":[{`+absentBy+`}]},"unit":"mg/dL"}`)}},
		{"a reason for no quantity", "value-absent, older 91.9 mL/min/1.73 m²", "c", []string{
			final("o", "2160-0", june+nine),
			final("c", "2160-0", july+`"valueQuantity":{"extension":[{`+absentBy+`}]}`)}},
		{"not performed", "91.9 mL/min/1.73 m²", "o, ", []string{final("o", "2160-0", june+nine),
			final("c", "2160-0", july+noValue("not-performed"))}},
		{"a value and a reason for none", "ambiguous", "c", []string{
			final("c", "2160-0", july+four+`,"dataAbsentReason":{"coding":[{"code":"error"}]}`)}},
		{"cancelled", "91.9 mL/min/1.73 m²", "o, ",
			[]string{final("o", "2160-0", june+nine), sent("c", "cancelled", "2160-0", july+four)}},
		{"entered in error", "91.9 mL/min/1.73 m²", "o, ",
			[]string{final("o", "2160-0", june+nine), sent("c", "entered-in-error", "2160-0", july+four)}},
		{"the rate cancelled, creatinine of the same time", "15.3 mL/min/1.73 m²", "c, ",
			[]string{sent("e", "cancelled", "98979-8", july+quantity("12", units.Renal)), final("c", "2160-0", july+four)}},
		{"the rate in words, creatinine of the same time", "15.3 mL/min/1.73 m²", "c, ",
			[]string{final("e", "98979-8", july+`"valueString":"see note"`), final("c", "2160-0", july+four)}},
		{"the rate in words, creatinine older", "text-only, older 15.3 mL/min/1.73 m²", "e",
			[]string{final("e", "98979-8", july+`"valueString":"see note"`), final("c", "2160-0", june+four)}},
		{"preliminary and final of one instant", "15.3 mL/min/1.73 m²", "c, ",
			[]string{sent("p", "preliminary", "2160-0", july+nine), final("c", "2160-0", july+four)}},
		{"the rate without its area", "20 mL/min/1.73 m²", "e (read as per 1.73 m², which the code says)",
			[]string{final("e", "33914-3", july+quantity("20", "mL/min"))}},
		{"a clearance", "no-data", "",
			[]string{final("e", coded("http://loinc.org", "2164-2", "Creatinine renal clearance in 24 hour"),
				july+quantity("20", "mL/min"))}},
		{"blood, which has a code of its own", "15.3 mL/min/1.73 m²", "c, ",
			[]string{final("o", "2160-0", june+nine), final("c", "38483-4", july+four)}},
		{"what cannot be used is too old to count", "stale", "c", []string{sent("c", "preliminary", "2160-0",
			`"effectiveDateTime":"2020-07-01T08:00:00Z",`+four)}},
	} {
		for _, reversed := range []bool{false, true} {
			all := append([]string{person("1956-01-15", "male")}, tt.results...)
			if reversed && len(all) == 3 {
				all[1], all[2] = all[2], all[1]
			}
			got := ask(t, "", bundle(all...)).value("fhir.egfr", `{"max_age":"P365D"}`)
			if text := shown(got); text != tt.want {
				t.Errorf("%s: %v %q, want %q", tt.name, got.State, text, tt.want)
			}
			evidence := evidenceOf(got.Evidence)
			if want, more := strings.CutSuffix(tt.evidence, ", "); more { // of the formula, too
				evidence, _, _ = strings.Cut(evidence, ", ")
				if evidence != want {
					t.Errorf("%s: evidence %q, want %q first", tt.name, evidence, want)
				}
			} else if evidence != tt.evidence {
				t.Errorf("%s: evidence %q, want %q", tt.name, evidence, tt.evidence)
			}
		}
	}
}

// TestLackingIsAboutTheThing holds that what else is missing is not the value asked
// for: with a creatinine of 10 and no birth date nobody needs another creatinine.
func TestLackingIsAboutTheThing(t *testing.T) {
	scr := labResult("c", "2160-0", "2026-02-20", quantity("10", "mg/dL"))
	born := func(member string) string { return bundle(`{"resourceType":"Patient","id":"p1"`+member+`}`, scr) }
	old := bundle(person("1956-02-01", "male"), strings.Replace(scr, "2026", "2020", 1))
	for name, tt := range map[string]struct {
		source, what string
		want         fact.State
	}{
		"no birth date":         {born(""), "birth date", fact.Unknown},
		"a null":                {born(`,"birthDate":null`), "birth date", fact.Unknown},
		"an empty one":          {born(`,"birthDate":""`), "birth date", fact.Unknown},
		"an impossible one":     {bundle(person("1956-02-31", "male"), scr), "birth date", fact.Unknown},
		"one of 1850":           {bundle(person("1850-02-01", "male"), scr), "birth date", fact.Unknown},
		"no patient":            {bundle(scr), "birth date", fact.Unknown},
		"no creatinine":         {bundle(person("1956-02-01", "male")), "eGFR", fact.True},
		"neither":               {bundle(`{"resourceType":"Patient","id":"p1"}`), "eGFR", fact.True},
		"a creatinine, but old": {old, "eGFR", fact.True},
	} {
		a := ask(t, "", tt.source)
		v := a.value("fhir.egfr", `{"max_age":"P365D"}`)
		f := a.fact("fact.lacking", `{"value":0}`)
		if f.State != tt.want || len(f.Reasons) != 1 || f.Reasons[0].What != tt.what {
			t.Errorf("%s: %v, reasons %v, value %s", name, f.State, f.Reasons, shown(v))
		}
	}
}

// TestIfOlder holds that facts carry what they would be if the older result held.
func TestIfOlder(t *testing.T) {
	a := ask(t, "", bundle(person("1956-01-15", "male"),
		sent("o", "final", "98979-8", `"effectiveDateTime":"2026-01-01",`+quantity("20", units.Renal)),
		sent("c", "preliminary", "98979-8", `"effectiveDateTime":"2026-02-01",`+quantity("80", units.Renal))))
	a.value("fhir.egfr", `{"max_age":"P365D"}`)
	below := a.fact("fact.less", `{"value":0}`, "30")
	above := a.fact("fact.negate", `{"fact":0}`)
	both := a.fact("fact.all", `[{"fact":0},{"fact":1}]`)
	either := a.fact("fact.any", `[{"fact":0},{"fact":1}]`)
	label := a.fact("fact.named", `"kidneys"`, `{"fact":0}`)
	inside := a.fact("fact.within", `{"value":0}`, "15", "30")
	lacking := a.fact("fact.lacking", `{"value":0}`)
	for _, tt := range []struct {
		*fact.Fact
		want fact.State
	}{{below, fact.True}, {above, fact.False}, {both, fact.False}, {either, fact.True}, {label, fact.True},
		{inside, fact.True}, {lacking, fact.False}} {
		if tt.State != fact.Unknown || tt.IfOlder != tt.want {
			t.Errorf("%s: %v, if the older one held %v, want %v", tt.Op, tt.State, tt.IfOlder, tt.want)
		}
	}
}
