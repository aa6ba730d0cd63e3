package clinical

import (
	"testing"

	"github.com/precept-cds/precept/engine/chart"
)

var (
	_ = inquire("fhir.source", `{"key":"k","is":"empty"}`)
	_ = inquire("fhir.complete", `{"type":"Observation"}`)
	_ = inquire("fhir.exists", `{"type":"Observation"}`)
	_ = inquire("fhir.none", `{"type":"Observation"}`)
	_ = inquire("fhir.has_code", `{"system":"http://loinc.org","code":"x"}`, `{"order":0}`)
	_ = inquire("fhir.sex", `{"is":"female"}`)

	_ = testSet("imaging", "service", "http://loinc.org|24968-6", "http://snomed.info/sct|241646009")
	_ = testSet("back_pain", "condition", "http://snomed.info/sct|279039007")
)

// fhirOf writes a resource with a code of a system and other members.
func fhirOf(typ, id, system, code, rest string) string {
	return `{"resourceType":"` + typ + `","id":"` + id + `","code":{"coding":[{"system":"` + system + `","code":"` +
		code +
		`"}]}` + rest + `}`
}

// inPlace puts something else in the place of the source.
func inPlace(key, text string) func(*chart.Inputs) {
	return func(in *chart.Inputs) {
		in.Request = mustParse(`{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002",` +
			`"context":{"patientId":"p1","draftOrders":` + bundle() + `},"prefetch":{"` + key + `":` + text + `}}`)
	}
}

func mustParse(body string) *chart.Request {
	r, err := chart.Parse([]byte(body), chart.Limits{})
	if err != nil {
		panic(err)
	}
	return r
}

const failed = `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}`

var sources = []golden{
	{given: "a source that came whole", chart: measured("2026"), ask: isSource("complete"), want: "true"},
	{given: "a source that came whole", chart: measured("2026"), ask: isSource("empty"), want: "false"},
	{given: "an empty source", ask: isSource("empty"), want: "true"},
	{given: "an empty source", ask: isSource("complete"), want: "true"},
	{given: "null in its place", change: inPlace(everyType, "null"), ask: isSource("empty"), want: "true"},
	{given: "more pages", partial: true, ask: isSource("partial"), want: "true"},
	{given: "more pages", partial: true, ask: isSource("complete"), want: "false"},
	{given: "more pages", partial: true, ask: isSource("empty"), want: "false"},
	{given: "a key that was not sent", noSource: true, ask: isSource("missing"), want: "true"},
	{given: "a key that was not sent", noSource: true, ask: isSource("empty"), want: "false"},
	{given: "an error in its place", change: inPlace(everyType, failed), ask: isSource("error"), want: "true"},
	{given: "an error in its place", change: inPlace(everyType, failed), ask: isSource("missing"), want: "false"},
	{given: "the answer to another question", change: inPlace(everyType, `{"resourceType":"Bundle","type":"searchset",`+
		`"entry":[{"resource":{"resourceType":"Goal","id":"g"}}]}`), ask: isSource("missing"), want: "true"},
}

func isSource(is string) string {
	return `fhir.source({"key": "` + everyType + `", "is": "` + is + `"})`
}

var completes = []golden{
	{given: "results that came whole", ask: `fhir.complete({"type": "Observation"})`, want: "true"},
	{given: "only one of more pages", partial: true, ask: `fhir.complete({"type": "Observation"})`, want: "false"},
	{given: "nothing sent", noSource: true, ask: `fhir.complete({"type": "Patient"})`, want: "false"},
}

func existence() []golden {
	const system = "http://snomed.info/sct"
	mri := func(rest string) []string { return []string{fhirOf("ServiceRequest", "s", system, "241646009", rest)} }
	ask := `fhir.exists({"type": "ServiceRequest", "set": "imaging"})`
	active := `fhir.exists({"type": "ServiceRequest", "set": "imaging", "status": "active"})`
	return []golden{
		{given: "an active order for imaging", chart: mri(`,"status":"active"`), ask: ask, want: "true"},
		{given: "an active order for imaging", chart: mri(`,"status":"active"`), ask: active, want: "true"},
		{given: "a completed one", chart: mri(`,"status":"completed"`), ask: active, want: "false"},
		{given: "a completed one", chart: mri(`,"status":"completed"`), ask: ask, want: "true"},
		{given: "one without status", chart: mri(``), ask: active, want: "unknown: wrong-status (imaging)"},
		{given: "a cancelled one", chart: mri(`,"status":"revoked"`), ask: ask, want: "false"},
		{given: "one that forbids it", chart: mri(`,"status":"active","doNotPerform":true`), ask: ask, want: "false"},
		{given: "one entered in error", chart: mri(`,"status":"entered-in-error"`), ask: ask, want: "false"},
		{given: "of something else", chart: []string{fhirOf("ServiceRequest", "s", system, "1", `,"status":"active"`)},
			ask: ask, want: "false"},
		{given: "by a code of the hospital", ask: ask, want: "unknown: unknown-code (imaging)",
			chart: []string{fhirOf("ServiceRequest", "s", "http://hospital.example", "MRI", `,"status":"active"`)}},
		{given: "in words", chart: []string{`{"resourceType":"ServiceRequest","id":"s","status":"active",` +
			`"code":{"text":"MRI of the spine"}}`}, ask: ask, want: "unknown: text-only (imaging)"},
		{given: "none, of all", ask: ask, want: "false"},
		{given: "none, of one of more pages", partial: true, ask: ask,
			want: "unknown: partial-result (ServiceRequest)"},
		{given: "one, of one of more pages", chart: mri(`,"status":"active"`), partial: true, ask: ask, want: "true"},
		{given: "only a draft", drafts: mri(`,"status":"draft"`), ask: ask, want: "false"},
		{given: "a report, whatever about", chart: []string{fhirOf("DiagnosticReport", "r", system, "1",
			`,"status":"final"`)},
			ask: `fhir.exists({"type": "DiagnosticReport"})`, want: "true"},
		{given: "a refuted condition", chart: []string{fhirOf("Condition", "c", system, "279039007",
			`,"verificationStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status",`+
				`"code":"refuted"}]}`)},
			ask: `fhir.exists({"type": "Condition", "set": "back_pain"})`, want: "false"},
		{given: "content that must be understood",
			chart: mri(`,"status":"active","modifierExtension":[{"url":"http://x.example"}]`),
			ask:   ask, want: "unknown: not-understood (ServiceRequest)"},

		{given: "no report of a study", ask: `fhir.none({"type": "DiagnosticReport"})`, want: "true"},
		{given: "an active order for imaging", chart: mri(`,"status":"active"`),
			ask: `fhir.none({"type": "ServiceRequest", "set": "imaging"})`, want: "false"},
		{given: "one of more pages", partial: true, ask: `fhir.none({"type": "ServiceRequest", "set": "imaging"})`,
			want: "unknown: partial-result (ServiceRequest)"},
	}
}

func codesOf() []golden {
	draft := []string{med("MedicationRequest", "d", "197806", `,"status":"draft"`)} // ibuprofen 600 mg
	ask := func(system, code string) string {
		return `fhir.has_code({"system": "` + system + `", "code": "` + code + `"}, fhir.order())`
	}
	return []golden{
		{given: "a draft of ibuprofen 600 mg", drafts: draft, ask: ask(chart.RxNorm, "5640"), want: "true"},
		{given: "by its own code", drafts: draft, ask: ask(chart.RxNorm, "197806"), want: "true"},
		{given: "by the OID of the system", drafts: draft, ask: ask("urn:oid:2.16.840.1.113883.6.88", "5640"),
			want: "true"},
		{given: "another drug", drafts: draft, ask: ask(chart.RxNorm, "11289"), want: "false"},
		{given: "a system it has no code of", drafts: draft, ask: ask(chart.ATC, "M01AE01"),
			want: "unknown: unknown-code (order)"},
		{given: "a draft in words", drafts: []string{`{"resourceType":"MedicationRequest","id":"d","status":"draft",` +
			`"medicationCodeableConcept":{"text":"ibuprofen"}}`}, ask: ask(chart.RxNorm, "5640"),
			want: "unknown: text-only (medication)"},
		{given: "a service", drafts: []string{fhirOf("ServiceRequest", "d", "http://loinc.org", "24968-6",
			`,"status":"draft"`)},
			ask: ask("http://loinc.org", "24968-6"), want: "true"},
	}
}

func sexes() []golden {
	who := func(gender string, parameters ...string) []string {
		list := ""
		for i, p := range parameters {
			if i > 0 {
				list += ","
			}
			list += `{"url":"http://hl7.org/fhir/StructureDefinition/patient-sexParameterForClinicalUse",` +
				`"extension":[{"url":` +
				`"value","valueCodeableConcept":{"coding":[{"system":` +
				`"http://terminology.hl7.org/CodeSystem/sex-parameter-for-clinical-use","code":"` + p + `"}]}}]}`
		}
		return []string{`{"resourceType":"Patient","id":"p1","gender":"` + gender + `","extension":[` + list + `]}`}
	}
	female, male := `fhir.sex({"is": "female"})`, `fhir.sex({"is": "male"})`
	return []golden{
		{given: "administrative gender female, parameter male-typical", chart: who("female", "male-typical"), ask: male,
			want: "true"},
		{given: "administrative gender female", chart: who("female"), ask: female, want: "true"},
		{given: "administrative gender female", chart: who("female"), ask: male, want: "false"},
		{given: "administrative gender female, parameter male-typical", chart: who("female", "male-typical"),
			ask:  female,
			want: "false"},
		{given: "administrative gender other, parameter female-typical", chart: who("other", "female-typical"),
			ask:  female,
			want: "true"},
		{given: "a parameter specified otherwise", chart: who("female", "specified"), ask: female,
			want: "unknown: ambiguous (sex)"},
		{given: "two parameters that differ", chart: who("female", "female-typical", "male-typical"), ask: female,
			want: "unknown: ambiguous (sex)"},
		{given: "two that agree", chart: who("other", "female-typical", "female-typical"), ask: female, want: "true"},
		{given: "other", chart: who("other"), ask: female, want: "unknown: no-data (sex)"},
		{given: "unknown", chart: who("unknown"), ask: male, want: "unknown: no-data (sex)"},
		{given: "nobody", ask: female, want: "unknown: no-data (sex)"},
		{given: "no patient sent", noSource: true, ask: female, want: "unknown: not-supplied (sex)"},
	}
}

// TestSources holds the answers about what came, and what is there.
func TestSources(t *testing.T) {
	for _, list := range [][]golden{sources, completes, existence(), codesOf(), sexes()} {
		answersOf(t, list)
	}
}

// TestOneTypeIsRead holds that a call which names a type reads, and makes a rule ask
// for, this type alone.
func TestOneTypeIsRead(t *testing.T) {
	code, err := Newest().ReadCode(rulePack("p", "1", `fhir.exists({"type": "Procedure"})`))
	if err != nil {
		t.Fatal(err)
	}
	if got := code.Rules[0].Reads; len(got) != 1 || got[0] != "Procedure" {
		t.Errorf("the rule reads %v", got)
	}
}

var (
	_ = example("fhir.source", sources[5], 1)
	_ = example("fhir.complete", completes[1], 2, 3)
	_ = example("fhir.exists", existence()[9], 2, 6, 13)
	_ = example("fhir.none", existence()[18], 14)
	_ = example("fhir.has_code", codesOf()[0], 7, 26)
	_ = example("fhir.sex", sexes()[0], 19)
)
