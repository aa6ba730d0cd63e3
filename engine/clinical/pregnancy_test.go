package clinical

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
)

// observed writes a final Observation about pregnancy: its LOINC code, day and the
// coding of its value.
func observed(code, day, value string) string {
	return `{"resourceType":"Observation","id":"c","status":"final","code":` + concept(coding(chart.LOINC, code)) +
		`,"effectiveDateTime":"` + day + `","valueCodeableConcept":` + concept(value) + `}`
}

// statusOf is the pregnancy status in short: of the three that may be asked, the one that
// is true, else the reasons.
func statusOf(t *testing.T, a asked, window string) string {
	t.Helper()
	result := ""
	for _, status := range []string{pregnant, notPregnant, possiblyPregnant} {
		f := a.fact("fhir.pregnancy_status", fmt.Sprintf(`{"status":%q,"negative_within":%q}`, status, window))
		switch {
		case f.State == fact.True && result != "" && result != "unknown precision-insufficient":
			t.Errorf("%s beside %s", status, result)
		case f.State == fact.True:
			result = status
		case f.State == fact.Unknown && result == "":
			result = says(f)
		}
		if (f.State == fact.Unknown) != (len(f.Reasons) > 0) {
			t.Errorf("%s: %s with reasons %v", status, f.State, f.Reasons)
		}
	}
	return result
}

// TestPregnancyStatus is the table of fhir.pregnancy_status, asked on 2 March 2026.
func TestPregnancyStatus(t *testing.T) {
	const yes, no, maybe = "77386006", "60001007", "146799005"
	status := func(day, code string) string { return observed("82810-3", day, coding(snomed, code)) }
	test := func(code, day, value string) string { return observed(code, day, coding(snomed, value)) }
	negative := func(day string) string { return test("2106-3", day, "260385009") }
	positive := func(day string) string { return test("2118-8", day, "10828004") }
	due := func(day string) string {
		return `{"resourceType":"Observation","id":"c","status":"final","code":` + concept(coding(chart.LOINC,
			"11778-8")) +
			`,"effectiveDateTime":"2025-11-01","valueDateTime":"` + day + `"}`
	}
	has := func(system, code, rest string) string { return problem(coding(system, code), activeConfirmed+rest) }
	const recently = `,"recordedDate":"2026-02-01"`
	change := func(s, from, to string) string { return strings.Replace(s, from, to, 1) }
	for name, tt := range map[string]struct {
		list []string
		want string
	}{
		"nothing":  {nil, "unknown no-data"},
		"pregnant": {[]string{status("2026-02-20", yes)}, pregnant},
		"pregnant, by LOINC": {[]string{observed("82810-3", "2026-02-20", coding(chart.LOINC,
			"LA15173-0"))}, pregnant},
		"not pregnant": {[]string{status("2026-02-28", no)}, notPregnant},
		"not pregnant, by LOINC": {[]string{observed("82810-3", "2026-02-28", coding(chart.LOINC,
			"LA26683-5"))}, notPregnant},
		"not pregnant, too long ago": {[]string{status("2026-02-20", no)}, "unknown stale"},
		"possible":                   {[]string{status("2026-02-20", maybe)}, possiblyPregnant},
		"not confirmed yet": {[]string{status("2026-02-20", "152231000119106")},
			possiblyPregnant},
		"unknown": {[]string{observed("82810-3", "2026-02-20", coding(chart.LOINC,
			"LA4489-6"))}, "unknown unknown-code"},
		"42 weeks ago":              {[]string{status("2025-05-13", yes)}, pregnant},
		"300 days ago":              {[]string{status("2025-05-06", yes)}, "unknown stale"},
		"in the month of the limit": {[]string{status("2025-05", yes)}, "unknown precision-insufficient"},
		"not pregnant since": {[]string{status("2025-12-01", yes), status("2026-02-28", no)},
			notPregnant},
		"pregnant since": {[]string{status("2026-02-24", no), status("2026-02-28", yes)},
			pregnant},
		"both on one day": {[]string{status("2026-02-28", no), status("2026-02-28", yes)},
			"unknown ambiguous"},
		"newest preliminary": {[]string{status("2026-02-20", yes), change(status("2026-02-28",
			no), "final", "preliminary")}, "unknown wrong-status"},
		"newest entered in error": {[]string{status("2026-02-20", yes), change(status("2026-02-28",
			no), "final", "entered-in-error")}, pregnant},
		"newest in words": {[]string{status("2026-02-20", yes), change(status("2026-02-28",
			no), `"valueCodeableConcept":`+concept(coding(snomed, no)), `"valueString":"no"`)}, "unknown text-only"},
		"newest pending": {[]string{status("2026-02-20", yes), change(status("2026-02-28",
			no), `,"valueCodeableConcept":`+concept(coding(snomed, no)), "")}, pregnant},
		"no date": {[]string{change(status("2026-02-20", yes),
			`"effectiveDateTime":"2026-02-20"`, `"note":[]`)}, "unknown precision-insufficient"},
		"negative test 5 days ago": {[]string{negative("2026-02-25")}, notPregnant},
		"negative test 9 days ago": {[]string{negative("2026-02-21")}, "unknown stale"},
		"positive test":            {[]string{positive("2026-02-01")}, pregnant},
		"positive test after not": {[]string{status("2026-02-24", no), positive("2026-02-28")},
			pregnant},
		"negative test after pregnant": {[]string{status("2026-01-10", yes), negative("2026-02-28")},
			"unknown ambiguous"},
		"negative test before pregnant": {[]string{negative("2026-01-10"), status("2026-02-28", yes)},
			pregnant},
		"negative test after possible": {[]string{status("2026-01-10", maybe), negative("2026-02-28")},
			notPregnant},
		"negative test, pregnant long ago": {[]string{status("2024-01-10", yes), negative("2026-02-28")},
			notPregnant},
		"negative test after words": {[]string{change(status("2026-01-10", no),
			`"valueCodeableConcept":`+concept(coding(snomed, no)), `"valueString":"no"`), negative("2026-02-28")},
			notPregnant},
		"test of contradicting codes": {[]string{observed("2106-3", "2026-02-28", coding(snomed,
			"10828004")+","+coding(snomed, "260385009"))}, "unknown ambiguous"},
		"test by interpretation": {[]string{change(negative("2026-02-28"),
			`"valueCodeableConcept":`+concept(coding(snomed, "260385009")),
			`"valueString":"-","interpretation":[`+concept(coding(interpretations, "NEG"))+`]`)}, notPregnant},
		"due in summer":      {[]string{due("2026-07-01")}, pregnant},
		"due in three years": {[]string{due("2029-07-01")}, "unknown implausible"},
		"due last week":      {[]string{due("2026-02-25")}, "unknown precision-insufficient"},
		"due last month":     {[]string{due("2026-01-25")}, "unknown no-data"},
		"not pregnant since the due date was set": {[]string{due("2026-07-01"), status("2026-02-28", no)}, notPregnant},
		"condition":              {[]string{has(snomed, "77386006", recently)}, pregnant},
		"condition below it":     {[]string{has(snomed, "47200007", recently)}, pregnant},
		"condition by ICD-10-CM": {[]string{has(chart.ICD10CM, "Z34.92", recently)}, pregnant},
		"weeks by ICD-10-CM":     {[]string{has(chart.ICD10CM, "Z3A.20", recently)}, pregnant},
		"a code of chapter O": {[]string{has(chart.ICD10CM, "O24.410", recently)},
			"unknown no-data ambiguous"},
		"a code of chapter O, and not": {[]string{has(chart.ICD10CM, "O24.410", recently),
			negative("2026-02-28")}, "unknown ambiguous"},
		"condition without a date": {[]string{has(snomed, "77386006", "")},
			"unknown no-data precision-insufficient"},
		"condition of last year": {[]string{has(snomed, "77386006", `,"onsetDateTime":"2025-01"`)},
			"unknown no-data stale"},
		"condition that is resolved": {[]string{problem(coding(snomed, "77386006"),
			clinical("resolved")+recently)}, "unknown no-data"},
		"condition not confirmed": {[]string{problem(coding(snomed, "77386006"),
			clinical("active")+verified("provisional")+recently)}, "unknown no-data wrong-status"},
		"condition recorded yesterday, not pregnant today": {[]string{has(snomed, "77386006",
			`,"recordedDate":"2026-03-01"`), status("2026-03-02", no)}, "unknown ambiguous"},
		"condition and due date": {[]string{has(snomed, "77386006", recently),
			due("2026-07-01")}, pregnant},
		"another condition": {[]string{has(snomed, "38341003", recently),
			negative("2026-02-28")}, notPregnant},
		"a condition that nobody can read": {[]string{has("urn:oid:1.2.3", "X", recently)},
			"unknown no-data unknown-code"},
		"a condition that nobody can read, and a negative test": {[]string{has("urn:oid:1.2.3", "X", recently),
			negative("2026-02-28")}, notPregnant},
	} {
		for i := range tt.list {
			tt.list[i] = strings.Replace(tt.list[i], `"id":"c"`, fmt.Sprintf(`"id":"c%d"`, i), 1)
		}
		if got := statusOf(t, ask(t, "", bundle(tt.list...)), "P7D"); got != tt.want &&
			!(tt.want == possiblyPregnant && got == "unknown precision-insufficient") {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	for source, want := range map[string]string{"": "unknown not-supplied not-supplied",
		partial(status("2026-02-28", yes)): "unknown partial-result partial-result"} {
		if got := statusOf(t, ask(t, "", source), "P7D"); got != want {
			t.Errorf("%q: %s, want %s", source, got, want)
		}
	}
}

// TestPossiblePregnancy is that what is possible is neither a yes nor a no.
func TestPossiblePregnancy(t *testing.T) {
	a := ask(t, "", bundle(observed("82810-3", "2026-02-20", coding(snomed, "146799005"))))
	for status, want := range map[string]string{pregnant: "unknown precision-insufficient",
		notPregnant: "unknown precision-insufficient", possiblyPregnant: "true"} {
		f := a.fact("fhir.pregnancy_status", `{"status":"`+status+`","negative_within":"P7D"}`)
		if got := says(f); got != want || len(f.Evidence) != 1 || f.Evidence[0].When != "2026-02-20" {
			t.Errorf("%s: %s, want %s; evidence %v", status, got, want, f.Evidence)
		}
	}
}

// TestChildbearingPotential is the table of fhir.childbearing_potential.
func TestChildbearingPotential(t *testing.T) {
	const total, menopause = "116140006", "289903006"
	for name, tt := range map[string]struct{ source, options, want string }{
		"28, female":        {bundle(person("1998-01-15", "female")), "", "true"},
		"28, male":          {bundle(person("1998-01-15", "male")), "", "false"},
		"28, sex not known": {bundle(person("1998-01-15", "unknown")), "", "unknown no-data"},
		"60, female":        {bundle(person("1966-01-15", "female")), "", "false"},
		"60, sex not known": {bundle(person("1966-01-15", "unknown")), "", "false"},
		"50 tomorrow":       {bundle(person("1976-03-03", "female")), "", "true"},
		"50 today":          {bundle(person("1976-03-02", "female")), "", "false"},
		"12 today":          {bundle(person("2014-03-02", "female")), "", "true"},
		"12 tomorrow":       {bundle(person("2014-03-03", "female")), "", "false"},
		"50 this year":      {bundle(person("1976", "female")), "", "unknown precision-insufficient"},
		"no birth date": {bundle(`{"resourceType":"Patient","id":"p1","gender":"female"}`), "",
			"unknown no-data"},
		"had a hysterectomy": {bundle(person("1998-01-15", "female"), op(coding(snomed, total),
			`,"status":"completed"`)), "", "false"},
		"had another operation": {bundle(person("1998-01-15", "female"), op(coding(snomed, "80146002"),
			`,"status":"completed"`)), "", "true"},
		"an operation that nobody can read": {bundle(person("1998-01-15", "female"), op(coding("urn:oid:1.2.3", "H"),
			`,"status":"completed"`)), "",
			"unknown unknown-code"},
		"after menopause": {bundle(person("1980-01-15", "female"), problem(coding(snomed, menopause),
			clinical("resolved"))),
			`,"ended_by":"menopause"`, "false"},
		"not after menopause": {bundle(person("1980-01-15", "female")), `,"ended_by":"menopause"`, "true"},
		"nothing supplied":    {"", "", "unknown no-data not-supplied not-supplied"},
		"one of more pages":   {partial(person("1998-01-15", "female")), "", "unknown partial-result"},
	} {
		f := ask(t, "", tt.source).give("menopause", "condition", snomeds(menopause)...).
			fact("fhir.childbearing_potential", `{"min_age":"P12Y","max_age":"P50Y"`+tt.options+`}`)
		if got := says(f); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if len(f.Of) != 3 || f.Op != "fhir.childbearing_potential" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestRenalReplacement is the table of fhir.renal_replacement.
func TestRenalReplacement(t *testing.T) {
	depends := func(system, code, rest string) string { return problem(coding(system, code), rest) }
	dialysed := func(day string) string {
		return op(coding(snomed, "302497006"), `,"status":"completed","performedDateTime":"`+day+`"`)
	}
	for name, tt := range map[string]struct{ source, want string }{
		"depends on it, by ICD-10-CM":  {bundle(depends(chart.ICD10CM, "Z99.2", activeConfirmed)), "true"},
		"depends on it, by SNOMED CT":  {bundle(depends(snomed, "714152005", activeConfirmed)), "true"},
		"did once":                     {bundle(depends(chart.ICD10CM, "Z99.2", clinical("resolved"))), "false"},
		"renal failure alone":          {bundle(depends(chart.ICD10CM, "N18.6", activeConfirmed)), "false"},
		"dialysed last week":           {bundle(dialysed("2026-02-25")), "true"},
		"dialysed in 2019":             {bundle(dialysed("2019-02-25")), "false"},
		"dialysed some time this year": {bundle(dialysed("2026")), "unknown precision-insufficient"},
		"a local code": {bundle(depends("urn:oid:1.2.3", "D", activeConfirmed)),
			"unknown unknown-code"},
		"nothing":          {bundle(), "false"},
		"nothing supplied": {"", "unknown not-supplied not-supplied"},
	} {
		f := ask(t, "", tt.source).fact("fhir.renal_replacement", `{"within":"P14D"}`)
		if got := says(f); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// TestLosingPregnancy holds that a lost resource of a partial source never turns the
// answer round.
func TestLosingPregnancy(t *testing.T) {
	some := rapid.Custom(func(t *rapid.T) string {
		day := rapid.SampledFrom([]string{"2026-02-28", "2026-02", "2025-12-01", "2024"}).Draw(t, "day")
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return observed("82810-3", day, coding(snomed, rapid.SampledFrom([]string{"77386006", "60001007",
				"146799005", "1"}).Draw(t, "status")))
		case 1:
			return observed("2106-3", day, coding(snomed, rapid.SampledFrom([]string{"10828004", "260385009"}).
				Draw(t, "result")))
		default:
			return problem(coding(snomed, rapid.SampledFrom([]string{"77386006", "38341003"}).Draw(t, "code")),
				activeConfirmed+`,"recordedDate":"`+day+`"`)
		}
	})
	for _, status := range []string{pregnant, notPregnant} {
		answer := func(a asked) string {
			return a.fact("fhir.pregnancy_status", `{"status":"`+status+`","negative_within":"P7D"}`).State.String()
		}
		losing(t, some, answer)
		orderless(t, some, answer)
	}
}
