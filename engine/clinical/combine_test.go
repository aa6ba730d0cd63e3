package clinical

import "testing"

var (
	_ = inquire("fact.coalesce", `[{"value":0}]`)
	_ = inquire("fact.coalesce_dates", `[{"date":0}]`)
	_ = inquire("fact.score", `"x"`, `[[1,{"fact":0}]]`)
	_ = inquire("fact.score_at_least", `1`, `[[1,{"fact":0}]]`)
	_ = inquire("fact.need", `[{"fact":0}]`)

	_ = testSet("potassium_whole_blood", "observation", "http://loinc.org|6298-4")
	_ = testSet("potassium_serum", "observation", "http://loinc.org|2823-3")
)

func coalesced() []golden {
	lab := func(set, age string) string {
		return `fhir.lab({"set": "` + set + `", "unit": "mmol/L", "max_age": "` + age + `"})`
	}
	ask := `fact.coalesce([` + lab("potassium_serum", "P30D") + `, ` + lab("potassium_whole_blood", "P30D") + `])`
	serum := func(when, value string) string { return labResult("s", "2823-3", when, value) }
	blood := func(when, value string) string { return labResult("b", "6298-4", when, value) }
	q := quantity("4.1", "mmol/L")
	dates := `fact.coalesce_dates([fact.date_of(` + lab("potassium_serum", "P30D") + `), fhir.birth_date()])`
	return []golden{
		{given: "no potassium in serum, one in whole blood", chart: []string{blood("2026-03-01", q)}, ask: ask,
			want: "4.1 mmol/L"},
		{given: "both", chart: []string{serum("2026-03-01", quantity("5.0", "mmol/L")), blood("2026-03-01", q)},
			ask:  ask,
			want: "5.0 mmol/L"},
		{given: "the first too old", chart: []string{serum("2025-01-01", q), blood("2026-03-01", quantity("5",
			"mmol/L"))},
			ask: ask, want: "5 mmol/L"},
		{given: "the first cannot be used, and may be what is newest", ask: ask,
			chart: []string{serum("2026-03-02", `"valueString":"high"`), blood("2026-03-01", q)},
			want:  "unknown: text-only (potassium_serum)"},
		{given: "results not all there", partial: true, chart: []string{blood("2026-03-01", q)}, ask: ask,
			want: "unknown: partial-result (laboratory results)"},
		{given: "neither", ask: ask, want: "absent: no-data (potassium_serum), no-data (potassium_whole_blood)"},
		{given: "one too old, no other", chart: []string{serum("2025-01-01", q)}, ask: ask,
			want: "unknown: stale (potassium_serum), no-data (potassium_whole_blood)"},
		{given: "an interval", chart: []string{blood("2026-03-01", `"valueQuantity":{"value":3,"comparator":"<",`+
			`"system":"http://unitsofmeasure.org","code":"mmol/L"}`)}, ask: ask, want: "< 3 mmol/L"},
		{given: "nothing asked", ask: `fact.coalesce([])`, want: "unknown: not-applicable (no conditions given)"},
		{given: "other units", chart: bornOn("1956-01-15"), ask: `fact.coalesce([` + lab("potassium_serum", "P30D") +
			`, fhir.age({"unit": "a"})])`,
			want: "error: taking the first known value: the values have different units; ask for all in one unit"},

		{given: "no result, a birth date", chart: bornOn("1956-01"), ask: dates, want: "1956-01"},
		{given: "a result at an instant", chart: append(bornOn("1956-01"), serum("2026-03-01T08:00:00Z", q)),
			ask:  dates,
			want: "2026-03-01T08:00:00Z"},
		{given: "no date, and nobody", ask: dates, want: "unknown: no-data (potassium_serum), no-data (birth date)"},
		{given: "none", ask: `fact.coalesce_dates([fact.date_of(` + lab("potassium_serum", "P30D") + `)])`,
			want: "absent: no-data (potassium_serum)"},
	}
}

func scores() []golden {
	const items = `[[3, fhir.takes({"set": "warfarin"})], [1, fhir.adult({"from": "P70Y"})], ` +
		`[-1, fhir.sex({"is": "male"})]]`
	warfarin := med("MedicationRequest", "w", "855350", `,"status":"active","intent":"order"`)
	chart := func(birth, gender string) []string { return []string{person(birth, gender), warfarin} }
	score, least := `fact.score("Points", `+items+`)`, func(n string) string {
		return `fact.score_at_least(` + n +
			`, ` + items + `)`
	}
	return []golden{
		{given: "on warfarin, 70 or 69 years old, sex not known", chart: chart("1956", "unknown"), ask: score,
			want: "2 to 4"},
		{given: "on warfarin, 70 years old, a woman", chart: chart("1956-01-15", "female"), ask: score, want: "4"},
		{given: "on warfarin, 69 years old, a man", chart: chart("1956-05-15", "male"), ask: score, want: "2"},
		{given: "nothing asked", ask: `fact.score("Points", [])`,
			want: "unknown: not-applicable (no conditions given)"},
		{given: "on warfarin, 70 or 69 years old, sex not known", chart: chart("1956", "unknown"), ask: least("2"),
			want: "true"},
		{given: "on warfarin, 70 or 69 years old, sex not known", chart: chart("1956", "unknown"), ask: least("4.5"),
			want: "false"},
		{given: "on warfarin, 70 or 69 years old, sex not known", chart: chart("1956", "unknown"), ask: least("3"),
			want: "unknown: precision-insufficient (birth date), no-data (sex)"},
		{given: "nothing asked", ask: `fact.score_at_least(1, [])`,
			want: "unknown: not-applicable (no conditions given)"},
		{given: "a pair too short", ask: `fact.score("x", [[1]])`, want: "error: want pairs of points and a fact"},
		{given: "the evidence", chart: chart("1956-01-15", "female"), ask: `fact.greater_equal(` + score + `, 4)`,
			want: "true"},
	}
}

var missing = []golden{
	{given: "no results sent, sex not known", chart: []string{person("1956", "other")}, partial: true,
		ask: `fact.need([fhir.sex({"is": "male"}), fact.greater(` + potassium +
			`, 5), fhir.takes({"set": "warfarin"})])`,
		want: "no sex on record; only part of laboratory results was supplied; only part of medications was supplied"},
	{given: "nothing is missing", chart: bornOn("1956"), ask: `fact.need([fhir.sex({"is": "male"})])`, want: ""},
	{given: "nothing asked", ask: `fact.need([])`, want: ""},
}

// TestCombined holds the answers that are made of several.
func TestCombined(t *testing.T) {
	for _, list := range [][]golden{coalesced(), scores(), missing} {
		answersOf(t, list)
	}
}

var (
	_ = example("fact.coalesce", coalesced()[3], 12)
	_ = example("fact.coalesce_dates", coalesced()[10], 12)
	_ = example("fact.score", scores()[0], 11)
	_ = example("fact.score_at_least", scores()[6], 11)
	_ = example("fact.need", missing[0], 46)
)
