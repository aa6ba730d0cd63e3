package clinical

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// give adds a value set to the pack that a test asks for.
func (a asked) give(id, kind string, codes ...chart.Coding) asked {
	a.Helper()
	var list []string
	for _, c := range codes {
		list = append(list, coding(c.System, c.Code))
	}
	v, err := vocab.ReadValueSet(packfile.File{Name: "valuesets/" + id + ".json",
		Data: fmt.Appendf(nil, `{"id":%q,"kind":%q,"codes":[%s]}`, id, kind, strings.Join(list, ","))})
	if err != nil {
		a.Fatal(err)
	}
	a.pack.sets[id] = valueSets(&rulepacks.Pack{ValueSets: []*vocab.ValueSet{v}})[id]
	return a
}

func snomeds(codes ...string) (list []chart.Coding) {
	for _, c := range codes {
		list = append(list, chart.Coding{System: snomed, Code: c})
	}
	return list
}

// op writes a Procedure.
func op(codings, rest string) string {
	return `{"resourceType":"Procedure","id":"c","code":{"coding":[` + codings + `]}` + rest + `}`
}

// TestProcedure is the table of fhir.procedure.
func TestProcedure(t *testing.T) {
	const dialysis, status, imprecise = "302497006", "unknown wrong-status", "unknown precision-insufficient"
	is := coding(snomed, dialysis)
	for name, tt := range map[string]struct{ source, ever, window string }{
		"done in the window": {bundle(op(is, `,"status":"completed","performedDateTime":"2026-02-20"`)), "true",
			"true"},
		"done before": {bundle(op(is, `,"status":"completed","performedDateTime":"2025-02-20"`)), "true",
			"false"},
		"done, R5": {bundle(op(is, `,"status":"completed","occurrenceDateTime":"2026-02-20"`)), "true",
			"true"},
		"done, nobody knows when": {bundle(op(is, `,"status":"completed"`)), "true", imprecise},
		"done, in words": {bundle(op(is, `,"status":"completed","performedString":"last spring"`)), "true",
			imprecise},
		"done within a period": {bundle(op(is,
			`,"status":"completed","performedPeriod":{"start":"2025","end":"2026-02-20"}`)),
			"true", "true"},
		"done since some time": {bundle(op(is, `,"status":"completed","performedPeriod":{"start":"2025"}`)),
			"true", imprecise},
		"done up to some time": {bundle(op(is, `,"status":"completed","performedPeriod":{"end":"2025"}`)), "true",
			"false"},
		"going on since last year": {bundle(op(is, `,"status":"in-progress","performedPeriod":{"start":"2025"}`)),
			"true", "true"},
		"going on":       {bundle(op(is, `,"status":"in-progress"`)), "true", imprecise},
		"being prepared": {bundle(op(is, `,"status":"preparation"`)), "false", "false"},
		"not done": {bundle(op(is, `,"status":"not-done","performedDateTime":"2026-02-20"`)), "false",
			"false"},
		"not done, STU3":  {bundle(op(is, `,"status":"completed","notDone":true`)), "false", "false"},
		"not done, DSTU2": {bundle(op(is, `,"status":"completed","notPerformed":true`)), "false", "false"},
		"done, STU3": {bundle(op(is,
			`,"status":"completed","notDone":false,"performedDateTime":"2026-02-20"`)), "true", "true"},
		"stopped": {bundle(op(is, `,"status":"stopped","performedDateTime":"2026-02-20"`)), status,
			status},
		"stopped long ago": {bundle(op(is, `,"status":"stopped","performedDateTime":"2020"`)), status, "false"},
		"no status":        {bundle(op(is, `,"performedDateTime":"2026-02-20"`)), status, status},
		"entered in error": {bundle(op(is, `,"status":"entered-in-error"`)), "false", "false"},
		"to be done": {bundle(op(is, `,"status":"completed","performedDateTime":"2027"`)),
			"unknown implausible", "false"},
		"another": {bundle(op(coding(snomed, "80146002"), `,"status":"completed"`)), "false", "false"},
		"a local code": {bundle(op(coding("urn:oid:1.2.3", "D"), `,"status":"completed"`)), "unknown unknown-code",
			"unknown unknown-code precision-insufficient"},
		"none":              {bundle(), "false", "false"},
		"not supplied":      {"", "unknown not-supplied", "unknown not-supplied"},
		"one of more pages": {partial(), "unknown partial-result", "unknown partial-result"},
	} {
		a := ask(t, "", tt.source).give("dialysis", "procedure", snomeds(dialysis)...)
		for options, want := range map[string]string{"": tt.ever, `,"within":"P1M"`: tt.window} {
			f := a.fact("fhir.procedure", `{"set":"dialysis"`+options+`}`)
			if got := says(f); got != want {
				t.Errorf("%s%s: %s, want %s", name, options, got, want)
			}
			if f.State == fact.True && f.Evidence[0].Ref != "Procedure/c" {
				t.Errorf("%s: evidence %v", name, f.Evidence)
			}
		}
	}
}

func TestLosingProcedures(t *testing.T) {
	some := rapid.Custom(func(t *rapid.T) string {
		code := rapid.SampledFrom([]string{coding(snomed, "302497006"), coding(snomed, "1"), coding("urn:oid:1", "x")}).
			Draw(t, "code")
		rest := `,"status":` + rapid.SampledFrom([]string{`"completed"`, `"in-progress"`, `"not-done"`, `"stopped"`}).
			Draw(t, "status")
		return op(code, rest+rapid.SampledFrom([]string{"", `,"performedDateTime":"2026-02-20"`,
			`,"performedDateTime":"2020"`}).Draw(t, "date"))
	})
	for _, options := range []string{"", `,"within":"P14D"`} {
		losing(t, some, func(a asked) string {
			return a.give("dialysis", "procedure", snomeds("302497006")...).
				fact("fhir.procedure", `{"set":"dialysis"`+options+`}`).State.String()
		})
	}
}

// visit writes an Encounter.
func visit(id, class, rest string) string {
	return `{"resourceType":"Encounter","id":"` + id + `","class":` + class + rest + `}`
}

const actCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

// during makes the call one of an encounter.
func during(id string) func(*chart.Inputs) {
	return func(in *chart.Inputs) { in.Request.EncounterID = id }
}

// TestEncounter is the table of fhir.encounter.
func TestEncounter(t *testing.T) {
	act := func(code string) string { return coding(actCode, code) }
	const here, code = `,"status":"in-progress"`, "unknown unknown-code"
	for name, tt := range map[string]struct{ of, source, inpatient, emergency string }{
		"an inpatient":          {"e", bundle(visit("e", act("IMP"), here)), "true", "false"},
		"an acute inpatient":    {"e", bundle(visit("e", act("ACUTE"), here)), "true", "false"},
		"at the emergency room": {"e", bundle(visit("e", act("EMER"), here)), "false", "true"},
		"R5, one class":         {"e", bundle(visit("e", "["+concept(act("IMP"))+"]", here)), "true", "false"},
		"R5, two classes": {"e", bundle(visit("e", "["+concept(act("EMER"))+","+concept(act("IMP"))+"]",
			here)), "true", "true"},
		"DSTU2": {"e", bundle(visit("e", `"inpatient"`, here)), "true", "false"},
		"STU3": {"e", bundle(visit("e", coding("http://hl7.org/fhir/v3/ActCode", "IMP"),
			here)), "true", "false"},
		"HL7 v2": {"e", bundle(visit("e", coding("http://terminology.hl7.org/CodeSystem/v2-0004",
			"E"), here)), "false", "true"},
		"pre-admission": {"e", bundle(visit("e", act("PRENC"), here)), "false", "false"},
		"a local class": {"e", bundle(visit("e", coding("urn:oid:1.2.3", "IMP"), here)), code, code},
		"a local class beside": {"e", bundle(visit("e", "["+concept(coding("urn:oid:1.2.3", "X"),
			act("IMP"))+"]", here)), "true", "false"},
		"no class": {"e", bundle(visit("e", "null", here)), code, code},
		"another encounter beside": {"e", bundle(visit("e", act("IMP"), here), visit("f", act("EMER"), here)),
			"true", "false"},
		"only another encounter": {"e", bundle(visit("f", act("EMER"), here)), "unknown unresolved-reference",
			"unknown unresolved-reference"},
		"that of the call, of a part": {"e", partial(visit("e", act("IMP"), here)), "true", "false"},
		"not in the part":             {"e", partial(), "unknown partial-result", "unknown partial-result"},
		"the call names none":         {"", bundle(visit("e", act("IMP"), here)), "true", "false"},
		"none, and all are over":      {"", bundle(visit("e", act("IMP"), `,"status":"finished"`)), "false", "false"},
		"none, all are over, R5":      {"", bundle(visit("e", act("IMP"), `,"status":"completed"`)), "false", "false"},
		"none, and it has ended": {"", bundle(visit("e", act("IMP"), here+`,"period":{"end":"2025"}`)),
			"unknown ambiguous", "false"},
		"none, and it has ended, R5": {"", bundle(visit("e", act("IMP"), here+`,"actualPeriod":{"end":"2025"}`)),
			"unknown ambiguous", "false"},
		"none, of unknown status": {"", bundle(visit("e", act("IMP"), `,"status":"unknown"`)),
			"unknown wrong-status", "false"},
		"none, unknown and over": {"", bundle(visit("e", act("IMP"),
			`,"status":"unknown","period":{"end":"2025"}`)), "false", "false"},
		"none, and two go on": {"", bundle(visit("e", act("IMP"), here), visit("f", act("EMER"), here)),
			"true", "true"},
		"nothing there":            {"", bundle(), "false", "false"},
		"nothing supplied":         {"", "", "unknown not-supplied", "unknown not-supplied"},
		"nothing supplied for one": {"e", "", "unknown not-supplied", "unknown not-supplied"},
	} {
		a := ask(t, "", tt.source, during(tt.of))
		for class, want := range map[string]string{"inpatient": tt.inpatient, "emergency": tt.emergency} {
			f := a.fact("fhir.encounter", `{"class":"`+class+`"}`)
			if got := says(f); got != want {
				t.Errorf("%s, %s: %s, want %s", name, class, got, want)
			}
		}
	}
}

// TestLocation is the table of fhir.location.
func TestLocation(t *testing.T) {
	act := func(code string) string { return coding(actCode, code) }
	at := func(rest string) string { return `{"location":{"reference":"Location/l"}` + rest + `}` }
	in := func(class string, places ...string) string {
		return visit("e", act(class), `,"status":"in-progress","location":[`+strings.Join(places, ",")+`]`)
	}
	place := func(id, rest string) string { return `{"resourceType":"Location","id":"` + id + `"` + rest + `}` }
	kind := func(system, code string) string { return `,"type":[` + concept(coding(system, code)) + `]` }
	icu, ward := place("l", kind(locationSystem, "ICU")), place("l", kind(locationSystem, "HU"))
	const active, partOf = `,"status":"active"`, `,"partOf":{"reference":"Location/m"}`
	for name, tt := range map[string]struct{ source, want string }{
		"in intensive care":      {bundle(in("IMP", at(active)), icu), "true"},
		"no status of the place": {bundle(in("IMP", at("")), icu), "true"},
		"by the CDC's code": {bundle(in("IMP", at(active)), place("l", kind(hslocSystem, "1027-2"))),
			"true"},
		"for newborns": {bundle(in("IMP", at(active)), place("l", kind(locationSystem, "PEDNICU"))),
			"true"},
		"on a ward": {bundle(in("IMP", at(active)), ward), "false"},
		"a bed of the unit": {bundle(in("IMP", at(active)), place("l", partOf), place("m",
			kind(locationSystem, "ICU"))), "true"},
		"was there": {bundle(in("IMP", at(`,"status":"completed"`)), icu), "unknown no-data"},
		"was there, and is on a ward": {bundle(in("IMP",
			`{"location":{"reference":"Location/m"},"status":"completed"}`, at(active)), ward, place("m",
			kind(locationSystem, "ICU"))), "false"},
		"was there by the dates": {bundle(in("IMP", at(`,"period":{"end":"2026-02-20"}`)), icu),
			"unknown no-data"},
		"active, and ended": {bundle(in("IMP", at(active+`,"period":{"end":"2026-02-20"}`)), icu),
			"unknown ambiguous"},
		"nowhere":                   {bundle(in("IMP")), "unknown no-data"},
		"nowhere, ambulatory":       {bundle(in("AMB")), "false"},
		"a place that was not sent": {bundle(in("IMP", at(active))), "unknown unresolved-reference"},
		"a place in words": {bundle(in("IMP", `{"location":{"display":"ICU 3"}}`)),
			"unknown unresolved-reference"},
		"a place of no kind": {bundle(in("IMP", at(active)), place("l", "")), "unknown unknown-code"},
		"a place of a local kind": {bundle(in("IMP", at(active)), place("l", kind("urn:oid:1.2.3", "ICU"))),
			"unknown unknown-code"},
		"a place that is part of itself": {bundle(in("IMP", at(active)), place("l",
			`,"partOf":{"reference":"Location/l"}`)), "unknown unknown-code"},
		"a ward, and one nobody knows": {bundle(in("IMP", at(active), `{"location":{"reference":"Location/x"}}`),
			ward), "unknown unresolved-reference"},
		"contained": {bundle(`{"resourceType":"Encounter","id":"e","status":"in-progress","class":` + act("IMP") +
			`,"contained":[{"resourceType":"Location","id":"l","type":[` + concept(coding(locationSystem, "ICU")) +
			`]}],"location":[{"location":{"reference":"#l"}}]}`), "true"},
		"nothing supplied": {"", "unknown not-supplied"},
	} {
		f := ask(t, "", tt.source, during("e")).fact("fhir.location", `{"kind":"intensive-care"}`)
		if got := says(f); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// shot writes an Immunization.
func shot(codings, rest string) string {
	return `{"resourceType":"Immunization","id":"c","vaccineCode":{"coding":[` + codings + `]}` + rest + `}`
}

var mmr = []chart.Coding{{System: chart.CVX, Code: "03"}, {System: chart.CVX, Code: "94"}}

// TestImmunizations is the table of fhir.immunizations, with the vectors of the MMR
// schedule: born 15 January 2020.
func TestImmunizations(t *testing.T) {
	const both = `,"min_age":"P12M","grace":"P4D","min_interval":"P28D"`
	given := func(when string) string {
		return shot(coding(chart.CVX, "03"), `,"status":"completed","occurrenceDateTime":"`+when+`"`)
	}
	child := func(list ...string) string {
		for i := range list {
			list[i] = strings.Replace(list[i], `"id":"c"`, fmt.Sprintf(`"id":"c%d"`, i), 1)
		}
		return bundle(append(list, person("2020-01-15", "female"))...)
	}
	const day = `,"occurrenceDateTime":"2021-02-01"`
	of := func(rest string) string { return shot(coding(chart.CVX, "03"), rest) }
	weak := of(`,"status":"completed","isSubpotent":true` + day)
	words := `{"resourceType":"Immunization","id":"w","status":"completed","vaccineCode":{"text":"measles"}` +
		`,"occurrenceDateTime":"2022"}`
	coded := func(system, code string) string { return shot(coding(system, code), `,"status":"completed"`+day) }
	for name, tt := range map[string]struct{ source, options, want string }{
		"none":                          {child(), both, "0"},
		"one":                           {child(given("2021-02-01")), both, "1"},
		"MMRV":                          {child(coded(chart.CVX, "94")), both, "1"},
		"of another vaccine":            {child(coded(chart.CVX, "08")), both, "0"},
		"by the OID of CVX":             {child(coded("urn:oid:2.16.840.1.113883.12.292", "03")), both, "1"},
		"four days before the birthday": {child(given("2021-01-11")), both, "1"},
		"five days before the birthday": {child(given("2021-01-10")), both, "0"},
		"27 days apart":                 {child(given("2021-02-01"), given("2021-02-28")), both, "1"},
		"28 days apart":                 {child(given("2021-02-01"), given("2021-03-01")), both, "2"},
		"28 days after one too early": {child(given("2021-02-01"), given("2021-02-20"), given("2021-03-20")), both,
			"2"},
		"27 days after one too early": {child(given("2021-02-01"), given("2021-02-20"), given("2021-03-19")), both,
			"1"},
		"one day twice":                  {child(given("2021-02-01"), given("2021-02-01T09:00:00-05:00")), both, "1"},
		"the month of the limit":         {child(given("2021-01")), both, "0 to 1"},
		"a month, without limits":        {child(given("2021-01")), "", "1"},
		"a month and a day of it":        {child(given("2021-03"), given("2021-03-05")), "", "1 to 2"},
		"a month and a day of it, apart": {child(given("2021-03"), given("2021-03-05")), both, "1 to 2"},
		"no date":                        {child(of(`,"status":"completed"`)), "", "1"},
		"no date, at an age":             {child(of(`,"status":"completed"`)), both, "0 to 1"},
		"no date, and one":               {child(of(`,"status":"completed"`), given("2021-02-01")), "", "1 to 2"},
		"no date, and two": {child(of(`,"status":"completed"`), given("2021-02-01"), given("2022-02-01")), "",
			"2 to 3"},
		"not done":        {child(of(`,"status":"not-done"` + day)), both, "0"},
		"not given, STU3": {child(of(`,"status":"completed","notGiven":true,"date":"2021"`)), both, "0"},
		"not given, DSTU2": {child(of(`,"status":"completed","wasNotGiven":true,"date":"2021"`)), both,
			"0"},
		"given, STU3": {child(of(`,"status":"completed","notGiven":false,"date":"2021-02"`)), both,
			"1"},
		"entered in error":              {child(of(`,"status":"entered-in-error"` + day)), both, "0"},
		"no status":                     {child(of(day)), both, "0 to 1"},
		"a subpotent one":               {child(weak), both, "0"},
		"soon after a subpotent one":    {child(weak, given("2021-02-20")), both, "0"},
		"a subpotent one, the same day": {child(weak, given("2021-02-01")), both, "1"},
		"a local code":                  {child(coded("urn:oid:1.2.3", "MMR")), both, "0 to 1"},
		"in words beside one":           {child(words, given("2021-02-01")), both, "1 to 2"},
		"tomorrow":                      {child(given("2027-02-01")), both, "0 to 1"},
		"not supplied":                  {"", both, "not-supplied not-supplied"},
		"one of more pages": {partial(person("2020-01-15", "female"), given("2021-02-01")), both,
			"partial-result"},
		"no birth date": {bundle(given("2021-02-01"), `{"resourceType":"Patient","id":"p1"}`),
			both, "no-data"},
		"no birth date, not asked": {bundle(given("2021-02-01"), `{"resourceType":"Patient","id":"p1"}`),
			`,"min_interval":"P28D"`, "1"},
		"the year of birth":                   {bundle(given("2021-02-01"), person("2020", "female")), both, "0 to 1"},
		"born on 29 February, on the 24th":    {bundle(given("2021-02-25"), person("2020-02-29", "female")), both, "1"},
		"born on 29 February, the day before": {bundle(given("2021-02-24"), person("2020-02-29", "female")), both, "0"},
	} {
		v := ask(t, "", tt.source).give("mmr", "vaccine", mmr...).value("fhir.immunizations",
			`{"set":"mmr"`+tt.options+`}`)
		got := codes(v.Reasons)
		if v.State == fact.Known {
			got = v.String()
		}
		if got != tt.want {
			t.Errorf("%s: %s %q, want %q", name, v.State, got, tt.want)
		}
	}
}

// TestImmunizationsHoldTheCount draws days and makes some of them coarse: the true
// count lies in the interval that is left.
func TestImmunizationsHoldTheCount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		count := func(list []string) *fact.Value {
			for i := range list {
				list[i] = strings.Replace(list[i], `"id":"c"`, fmt.Sprintf(`"id":"c%d"`, i), 1)
			}
			return ask(t, "", bundle(append(list, person("2020-01-15", "female"))...)).give("mmr", "vaccine", mmr...).
				value("fhir.immunizations", `{"set":"mmr","min_age":"P12M","min_interval":"P28D"}`)
		}
		var exact, coarse []string
		for range rapid.IntRange(0, 4).Draw(rt, "doses") {
			day := fmt.Sprintf("20%d-%02d-%02d", rapid.IntRange(20, 21).Draw(rt, "year"), rapid.IntRange(1,
				4).Draw(rt, "month"),
				rapid.IntRange(1, 28).Draw(rt, "day"))
			write := func(when string) string {
				return shot(coding(chart.CVX, "03"), `,"status":"completed","occurrenceDateTime":"`+when+`"`)
			}
			exact = append(exact, write(day))
			coarse = append(coarse, write(day[:rapid.SampledFrom([]int{4, 7, 10}).Draw(rt, "precision")]))
		}
		whole, part := count(exact), count(coarse)
		if whole.Low.Cmp(whole.High) != 0 || part.Low.Cmp(whole.Low) > 0 || part.High.Cmp(whole.High) < 0 {
			rt.Fatalf("%s of days, %s where they are coarse:\n%s", whole, part, strings.Join(coarse, "\n"))
		}
	})
}
