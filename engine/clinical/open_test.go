package clinical

import (
	"strings"
	"testing"
)

// twoOf are results of one instant, of which nobody knows which one holds.
func twoOf(code, unit string, values ...string) (list []string) {
	for i, n := range values {
		list = append(list, labResult(code+string(rune('a'+i)), code, "2026-02-25T08:00:00Z", quantity(n, unit)))
	}
	return list
}

// TestWhatIsNotKnownExactly asks what is computed of an interval, of nothing, and of
// what cannot be had: an interval of a value, no more than is known, and no less.
func TestWhatIsNotKnownExactly(t *testing.T) {
	calculated := func(op, options, v, w string) string {
		return `fact.` + op + `({"name": "result", ` + options + `}, ` + v + `, ` + w + `)`
	}
	of := func(n, unit string) string {
		return `fact.number({"name": "number", "unit": "` + unit + `"}, ` + n + `)`
	}
	const years, ratio = `"decimals": "0", "unit": "a"`, `"decimals": "2", "unit": "1"`
	const scr, renal = "2160-0", "mL/min/1.73 m²"
	heights := twoOf("8302-2", "cm", "165", "170")
	girl := []string{person("2018-06-01", "female"), labResult("h", "8302-2", "2026-02-20", quantity("120", "cm"))}
	below := strings.Replace(quantity("0.5", "mg/dL"), `"value":0.5`, `"value":0.5,"comparator":"<"`, 1)
	qt := func(rates []string, qts ...string) []string { return append(twoOf("8634-8", "ms", qts...), rates...) }
	const bazett = `fhir.qtc({"max_age": "P30D", "formula": "bazett"})`
	answersOf(t, []golden{
		// Born in 1956: 69 or 70 years old.
		{given: "age and five", chart: bornIn1956, ask: calculated("add", years, seventy, of("5", "a")),
			want: "74 to 75 years"},
		{given: "milligrams and millilitres", ask: calculated("add", `"decimals": "0", "unit": "mg"`, of("5", "mg"),
			of("5", "mL")), want: "unknown: unit-unconvertible (number)"},
		{given: "age of nobody", ask: calculated("add", years, seventy, of("5", "a")),
			want: "unknown: no-data (birth date)"},
		{given: "a hundred without age", chart: bornIn1956, ask: calculated("subtract", years, of("100", "a"), seventy),
			want: "30 to 31 years"},
		{given: "age less age, which may be of two days", chart: bornIn1956,
			ask: calculated("subtract", years, seventy, seventy), want: "-1 to 1 years"},
		{given: "twice the age", chart: bornIn1956, ask: calculated("multiply", years, seventy, of("2", "1")),
			want: "138 to 140 years"},
		{given: "age below zero", chart: bornIn1956, ask: calculated("multiply", years, of("-1", "1"), seventy),
			want: "-70 to -69 years"},
		{given: "twice the age of nobody", ask: calculated("multiply", years, seventy, of("2", "1")),
			want: "unknown: no-data (birth date)"},
		{given: "by age", chart: bornIn1956, ask: calculated("divide", ratio, of("140", "a"), seventy),
			want: "2.00 to 2.03 1"},
		{given: "by zero", ask: calculated("divide", ratio, of("140", "a"), of("0", "a")),
			want: "unknown: precision-insufficient (result)"},
		{given: "by what may be zero", chart: []string{person("2025", "male")},
			ask:  calculated("divide", ratio, of("140", "a"), seventy),
			want: "unknown: precision-insufficient (result)"},
		{given: "by the age of nobody", ask: calculated("divide", ratio, of("140", "a"), seventy),
			want: "unknown: no-data (birth date)"},

		{given: "creatinine of 1.0, then below 0.5", chart: []string{
			labResult("a", scr, "2026-02-28T08:00:00Z", quantity("1.0", "mg/dL")),
			labResult("b", scr, "2026-03-01T08:00:00Z", below)},
			ask: `fhir.change({"set": "creatinine", "unit": "mg/dL", "within": "P7D", "from": "first", ` +
				`"as": "difference"})`, want: "<= -0.5 mg/dL"},

		{given: "no height", chart: []string{woman}, ask: `fhir.height({"unit": "cm"})`,
			want: "absent: no-data (body height)"},
		{given: "no height, results not all there", chart: []string{woman}, partial: true,
			ask: `fhir.height({"unit": "cm"})`, want: "unknown: partial-result (laboratory results)"},
		{given: "two heights", chart: append([]string{woman}, heights...), ask: `fhir.height({"unit": "cm"})`,
			want: "165 to 170 cm"},
		{given: "neither weight nor body mass index", chart: []string{woman, inCentimetres}, ask: `fhir.bmi({})`,
			want: "absent: no-data (body mass index)"},
		{given: "60 kg and two heights", chart: append([]string{woman, inKilograms}, heights...), ask: `fhir.bsa({})`,
			want: "1.66 to 1.68 m2"},
		{given: "a girl of 7, 120 cm, two creatinines", chart: append(girl, twoOf(scr, "mg/dL", "0.6", "0.8")...),
			ask: `fhir.egfr_child({"max_age": "P90D"})`, want: "62.0 to 82.6 " + renal},
		{given: "two QT at one rate", chart: qt(twoOf("8867-4", "/min", "100"), "400", "420"), ask: bazett,
			want: "516 to 542 ms"},
		{given: "one QT at two rates", chart: qt(twoOf("8867-4", "/min", "100", "60"), "400"), ask: bazett,
			want: "400 to 516 ms"},

		{given: "one tablet or two of acetaminophen 500 mg", drafts: []string{med("MedicationRequest", "d", "198440",
			draft+strings.Replace(perDay("1", "tablet", 4), `"doseQuantity":{"value":1,"unit":"tablet"}`,
				`"doseRange":{"low":{"value":1,"unit":"tablet"},"high":{"value":2,"unit":"tablet"}}`, 1))},
			change: withStrengths, ask: `fhir.single_dose({"set": "acetaminophen", "unit": "mg"})`,
			want: "500 to 1000 mg"},
		{given: "medication not supplied", noSource: true, ask: `fhir.drug_count({})`, want: ">= 0"},
		{given: "medication not sent in full, warfarin among it", chart: onWarfarin, partial: true,
			ask: `fhir.drug_count({})`, want: ">= 1"},
	})
}

// TestConvertedResultsAreShort holds that a number which a conversion made long is short
// where people read it, and whole where it is compared.
func TestConvertedResultsAreShort(t *testing.T) {
	of := func(umol string) []string {
		return []string{labResult("c", "2160-0", "2026-02-01", quantity(umol, "umol/L"))}
	}
	const creatinine = `fhir.lab({"set": "creatinine", "unit": "mg/dL", "max_age": "P90D"})`
	answersOf(t, []golden{
		// 100 ÷ 88.42 = 1.13096584…
		{given: "100 µmol/L", chart: of("100"), ask: creatinine, want: "1.1309658 mg/dL"},
		{given: "100 µmol/L in words", chart: of("100"), ask: `fhir.text("was {x}", {"x": ` + creatinine + `})`,
			want: "was 1.1309658 mg/dL"},
		{given: "above what is shown", chart: of("100"), ask: `fact.greater(` + creatinine + `, 1.1309658)`,
			want: "true"},
		{given: "below the next", chart: of("100"), ask: `fact.less(` + creatinine + `, 1.13096585)`, want: "true"},
		{given: "hardly below 2 mg/dL", chart: of("176.8399999"), ask: creatinine, want: "2 mg/dL"},
		{given: "hardly below 2 mg/dL, compared", chart: of("176.8399999"), ask: `fact.less(` + creatinine + `, 2)`,
			want: "true"},
		{given: "two of one day", chart: append(of("100"), strings.Replace(of("200")[0], `"id":"c"`, `"id":"d"`, 1)),
			ask: creatinine, want: "1.1309658 to 2.2619317 mg/dL"},
	})
	a := ask(t, "", bundle(of("100")...))
	a.setOf("creatinine", "2160-0")
	v := a.value("fhir.lab", `{"set":"creatinine","unit":"mg/dL","max_age":"P90D"}`)
	if len(v.Evidence) != 1 || v.Evidence[0].Value != "100" || v.Evidence[0].Unit != "umol/L" ||
		v.Low.NumDigits() != 34 {
		t.Errorf("evidence %+v of %s, of %d digits", v.Evidence, v, v.Low.NumDigits())
	}
}
