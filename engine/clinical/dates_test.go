package clinical

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
)

var (
	_ = inquire("fhir.now")
	_ = inquire("fhir.today")
	_ = inquire("fhir.birth_date")
	_ = inquire("fhir.age_at", `{"unit":"a"}`, `{"date":0}`)
	_ = inquire("fhir.adult", `{}`)
	_ = inquire("fhir.child", `{}`)
	_ = inquire("fhir.recent", `{"within":"P1Y"}`, `{"date":0}`)
	_ = inquire("fact.date_of", `{"value":0}`)
	_ = inquire("fact.date_plus", `{"by":"P1Y"}`, `{"date":0}`)
	_ = inquire("fact.date_minus", `{"by":"P1Y"}`, `{"date":0}`)
	_ = inquire("fact.elapsed", `{"unit":"d"}`, `{"date":0}`, `{"date":0}`)
	_ = inquire("fact.before", `{"date":0}`, `{"date":0}`)
	_ = inquire("fact.after", `{"date":0}`, `{"date":0}`)
	_ = inquire("fact.during", `{"date":0}`, `{"date":0}`, `{"date":0}`)
	_ = inquire("fact.overlap", `{"date":0}`, `{"date":0}`, `{"date":0}`, `{"date":0}`)
)

// The sets of these tests.
var _ = testSet("potassium", "observation", "http://loinc.org|2823-3", "http://loinc.org|6298-4")

const (
	born      = `fhir.birth_date()`
	potassium = `fhir.lab({"set": "potassium", "unit": "mmol/L", "max_age": "P10Y"})`
	drawn     = `fact.date_of(` + potassium + `)`
)

// bornOn is a chart of the patient alone.
func bornOn(date string) []string { return []string{person(date, "female")} }

func measured(when ...string) []string {
	var list []string
	for i, w := range when {
		list = append(list, labResult(string(rune('a'+i)), "2823-3", w, quantity("4.1", "mmol/L")))
	}
	return list
}

var clocks = []golden{
	{given: "a call on 2 March 2026, 10:00 in New York", ask: `fhir.now()`, want: "2026-03-02T10:00:00-05:00"},
	{given: "a call on 2 March 2026, 10:00 in New York", ask: `fhir.today()`, want: "2026-03-02"},
	{given: "a call at the end of a day in the tenant's zone", change: func(in *chart.Inputs) {
		in.Now = time.Date(2026, 3, 3, 4, 59, 59, 0, time.UTC)
	}, ask: `fhir.today()`, want: "2026-03-02"},
	{given: "the day on which clocks go forward", change: func(in *chart.Inputs) {
		in.Now = time.Date(2026, 3, 8, 15, 0, 0, 0, time.UTC)
	}, ask: `fact.elapsed({"unit": "h"}, fhir.today(), fact.date_plus({"by": "P1D"}, fhir.today()))`,
		want: "0 to 46 hours"},
	{given: "now within today", ask: `fact.before(fhir.now(), fhir.today())`,
		want: "unknown: precision-insufficient (today)"},
}

var births = []golden{
	{given: "born on 15 January 1956", chart: bornOn("1956-01-15"), ask: born, want: "1956-01-15"},
	{given: "born in some month", chart: bornOn("1956-01"), ask: born, want: "1956-01"},
	{given: "no birth date", chart: []string{`{"resourceType":"Patient","id":"p1"}`}, ask: born,
		want: "unknown: no-data (birth date)"},
	{given: "an impossible birth date", chart: bornOn("1956-02-30"), ask: born, want: "unknown: no-data (birth date)"},
	{given: "a birth date in the future", chart: bornOn("2027"), ask: born, want: "unknown: implausible (birth date)"},
	{given: "a birth date of 1850", chart: bornOn("1850"), ask: born, want: "unknown: implausible (birth date)"},
	{given: "no patient sent", noSource: true, ask: born, want: "unknown: not-supplied (birth date)"},
}

var ages = []golden{
	{given: "born on 15 January 1956", chart: bornOn("1956-01-15"), ask: `fhir.age({"unit": "a"})`, want: "70 years"},
	{given: "born in 1956", chart: bornOn("1956"), ask: `fhir.age({"unit": "a"})`, want: "69 to 70 years"},
	{given: "born in 1956", chart: bornOn("1956"), ask: `fhir.age({"unit": "mo"})`, want: "830 to 842 months"},
	{given: "14 months old tomorrow", chart: bornOn("2025-01-03"), ask: `fhir.age({"unit": "mo"})`, want: "13 months"},
	{given: "14 months old today", chart: bornOn("2025-01-02"), ask: `fhir.age({"unit": "mo"})`, want: "14 months"},
	{given: "27 days old", chart: bornOn("2026-02-03"), ask: `fhir.age({"unit": "d"})`, want: "27 days"},
	{given: "27 days old", chart: bornOn("2026-02-03"), ask: `fhir.age({"unit": "wk"})`, want: "3 weeks"},
	{given: "four weeks old", chart: bornOn("2026-02-02"), ask: `fhir.age({"unit": "wk"})`, want: "4 weeks"},
	{given: "born some day of this month", chart: bornOn("2026-03"), ask: `fhir.age({"unit": "d"})`,
		want: "0 to 1 days"},
	{given: "born today", chart: bornOn("2026-03-02"), ask: `fhir.age({"unit": "d"})`, want: "0 days"},
	{given: "born at the end of a month", chart: bornOn("2026-01-31"), ask: `fhir.age({"unit": "mo"})`,
		want: "1 months"},
	{given: "born in the future", chart: bornOn("2026-03-03"), ask: `fhir.age({"unit": "d"})`,
		want: "unknown: implausible (birth date)"},
	{given: "nobody", chart: nil, ask: `fhir.age({"unit": "a"})`, want: "unknown: no-data (birth date)"},
}

var agesAt = []golden{
	{given: "born on 15 January 1956, potassium of 14 January 2024",
		chart: append(measured("2024-01-14T09:00:00-05:00"), person("1956-01-15", "male")),
		ask:   `fhir.age_at({"unit": "a"}, ` + drawn + `)`, want: "67 years"},
	{given: "potassium of some day in 2024", chart: append(measured("2024"), person("1956-01-15", "male")),
		ask: `fhir.age_at({"unit": "a"}, ` + drawn + `)`, want: "67 to 68 years"},
	{given: "no potassium", chart: bornOn("1956-01-15"), ask: `fhir.age_at({"unit": "a"}, ` + drawn + `)`,
		want: "unknown: no-data (potassium)"},
	{given: "potassium before the birth", chart: append(measured("2024-01-14"), person("2024-01-15", "male")),
		ask: `fhir.age_at({"unit": "d"}, ` + drawn + `)`, want: "unknown: not-applicable (age before birth)"},
	{given: "potassium on the day of birth",
		chart: append(measured("2024-01-15T01:00:00-05:00"), person("2024-01-15", "male")),
		ask:   `fhir.age_at({"unit": "d"}, ` + drawn + `)`, want: "0 days"},
	{given: "no birth date", chart: append(measured("2024-01-15"), `{"resourceType":"Patient","id":"p1"}`),
		ask: `fhir.age_at({"unit": "d"}, ` + drawn + `)`, want: "unknown: no-data (birth date)"},
}

var ofAges = []golden{
	{given: "18 years old today", chart: bornOn("2008-03-02"), ask: `fhir.adult({})`, want: "true"},
	{given: "18 years old today", chart: bornOn("2008-03-02"), ask: `fhir.child({})`, want: "false"},
	{given: "18 years old tomorrow", chart: bornOn("2008-03-03"), ask: `fhir.adult({})`, want: "false"},
	{given: "18 years old tomorrow", chart: bornOn("2008-03-03"), ask: `fhir.child({})`, want: "true"},
	{given: "18 this month", chart: bornOn("2008-03"), ask: `fhir.adult({})`,
		want: "unknown: precision-insufficient (birth date)"},
	{given: "18 this month", chart: bornOn("2008-03"), ask: `fhir.child({})`,
		want: "unknown: precision-insufficient (birth date)"},
	{given: "15 years old, an adult from 12 on", chart: bornOn("2011"), ask: `fhir.adult({"from": "P12Y"})`,
		want: "true"},
	{given: "11 months old", chart: bornOn("2025-03-20"), ask: `fhir.child({"from": "P1Y"})`, want: "true"},
	{given: "27 days old, 28 asked", chart: bornOn("2026-02-03"), ask: `fhir.adult({"from": "P4W"})`, want: "false"},
	{given: "28 days old, 28 asked", chart: bornOn("2026-02-02"), ask: `fhir.adult({"from": "P4W"})`, want: "true"},
	{given: "born on 29 February, 28 February", chart: bornOn("2008-02-29"), ask: `fhir.adult({})`, want: "false",
		change: func(in *chart.Inputs) { in.Now = time.Date(2026, 2, 28, 15, 0, 0, 0, time.UTC) }},
	{given: "born on 29 February, 1 March", chart: bornOn("2008-02-29"), ask: `fhir.adult({})`, want: "true",
		change: func(in *chart.Inputs) { in.Now = time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC) }},
	{given: "no birth date", chart: []string{`{"resourceType":"Patient","id":"p1"}`}, ask: `fhir.adult({})`,
		want: "unknown: no-data (birth date)"},
}

var datesOf = []golden{
	{given: "potassium of 20 February 2026", chart: measured("2026-02-20T08:00:00-05:00", "2025-01-01"), ask: drawn,
		want: "2026-02-20T08:00:00-05:00"},
	{given: "potassium of a day", chart: measured("2026-02-20"), ask: drawn, want: "2026-02-20"},
	{given: "no potassium", ask: drawn, want: "absent: no-data (potassium)"},
	{given: "some results missing", chart: measured("2026-02-20"), partial: true, ask: drawn,
		want: "unknown: partial-result (laboratory results)"},
	{given: "a computed value has no date", chart: bornOn("1956"), ask: `fact.date_of(fhir.age({"unit": "a"}))`,
		want: "unknown: no-data (date of age)"},
	{given: "warfarin since some day, and again later", chart: []string{
		med("MedicationStatement", "a", "855350", `,"status":"active","effectivePeriod":{"start":"2026-01-05"}`),
		med("MedicationRequest", "b", "855350", `,"status":"active","intent":"order","authoredOn":"2026-02"`)},
		ask: `fact.date_of(fhir.takes({"set": "warfarin"}))`, want: "2026-02"},
	{given: "warfarin since some day, of one of more pages", partial: true, chart: []string{
		med("MedicationStatement", "a", "855350", `,"status":"active","effectivePeriod":{"start":"2026-01-05"}`)},
		ask:  `fact.date_of(fhir.takes({"set": "warfarin"}))`,
		want: "2026-01-05T00:00:00-05:00 to 2026-03-02T10:00:00-05:00"},
	{given: "one resource without a date", chart: []string{
		med("MedicationStatement", "a", "855350", `,"status":"active","effectivePeriod":{"start":"2026-01-05"}`),
		med("MedicationRequest", "b", "855350", `,"status":"active","intent":"order"`)},
		ask: `fact.date_of(fhir.takes({"set": "warfarin"}))`, want: "unknown: no-data (date of evidence)"},
	{given: "no warfarin", ask: `fact.date_of(fhir.takes({"set": "warfarin"}))`,
		want: "absent: no-data (date of evidence)"},
	{given: "no warfarin ordered, and some sources missing", partial: true, drafts: ibuprofen,
		ask: `fact.date_of(fhir.order_in({"set": "warfarin"}))`, want: "unknown: partial-result (evidence)"},
	{given: "the same, and a birth date to fall back on", partial: true, drafts: ibuprofen,
		chart: bornOn("1956-01-15"),
		ask:   `fact.coalesce_dates([fact.date_of(fhir.order_in({"set": "warfarin"})), fhir.birth_date()])`,
		want:  "unknown: partial-result (evidence)"},
	{given: "nobody knows", noSource: true, ask: `fact.date_of(fhir.takes({"set": "warfarin"}))`,
		want: "unknown: not-supplied (medications)"},
}

var shifts = []golden{
	{given: "born on 31 January 2008", chart: bornOn("2008-01-31"),
		ask:  `fact.date_plus({"by": "P1M"}, fhir.birth_date())`,
		want: "2008-02-29"},
	{given: "born in 2008", chart: bornOn("2008"), ask: `fact.date_plus({"by": "P18Y"}, fhir.birth_date())`,
		want: "2026"},
	{given: "born in 2008", chart: bornOn("2008"), ask: `fact.date_minus({"by": "P42D"}, fhir.birth_date())`,
		want: "2007-11-20 to 2008-11-19"},
	{given: "now", ask: `fact.date_plus({"by": "PT36H"}, fhir.now())`, want: "2026-03-03T22:00:00-05:00"},
	{given: "now", ask: `fact.date_minus({"by": "PT36H"}, fhir.now())`, want: "2026-02-28T22:00:00-05:00"},
	{given: "no birth date", noSource: true, ask: `fact.date_plus({"by": "P1M"}, fhir.birth_date())`,
		want: "unknown: not-supplied (birth date)"},
	{given: "no birth date", noSource: true, ask: `fact.date_minus({"by": "P1M"}, fhir.birth_date())`,
		want: "unknown: not-supplied (birth date)"},
	{given: "no potassium", ask: `fact.date_plus({"by": "P1M"}, ` + drawn + `)`, want: "absent: no-data (potassium)"},
	{given: "no potassium", ask: `fact.date_minus({"by": "P1M"}, ` + drawn + `)`, want: "absent: no-data (potassium)"},
	{given: "a day too far", chart: measured("1001"),
		ask:  `fact.date_minus({"by": "P99999Y"}, fhir.now())`,
		want: "error: the date would lie outside the years 1 to 9999"},
}

var spans = []golden{
	{given: "potassium of 20 February, call on 2 March 2026", chart: measured("2026-02-20T23:00:00-05:00"),
		ask: `fact.elapsed({"unit": "d"}, ` + drawn + `, fhir.now())`, want: "10 days"},
	{given: "potassium of some day in February", chart: measured("2026-02"),
		ask: `fact.elapsed({"unit": "d"}, ` + drawn + `, fhir.now())`, want: "2 to 29 days"},
	{given: "potassium of some day in February", chart: measured("2026-02"),
		ask: `fact.elapsed({"unit": "wk"}, fhir.now(), ` + drawn + `)`, want: "-4 to 0 weeks"},
	{given: "potassium two hours ago, less a minute", chart: measured("2026-03-02T08:01:00-05:00"),
		ask: `fact.elapsed({"unit": "h"}, ` + drawn + `, fhir.now())`, want: "1 hours"},
	{given: "potassium two hours ago, less a minute", chart: measured("2026-03-02T08:01:00-05:00"),
		ask: `fact.elapsed({"unit": "min"}, ` + drawn + `, fhir.now())`, want: "119 min"},
	{given: "born 18 years ago tomorrow", chart: bornOn("2008-03-03"),
		ask: `fact.elapsed({"unit": "a"}, fhir.birth_date(), fhir.today())`, want: "17 years"},
	{given: "born 18 years ago today", chart: bornOn("2008-03-02"),
		ask: `fact.elapsed({"unit": "mo"}, fhir.birth_date(), fhir.today())`, want: "216 months"},
	{given: "no potassium", ask: `fact.elapsed({"unit": "d"}, ` + drawn + `, fhir.now())`,
		want: "absent: no-data (potassium)"},
	{given: "no potassium, and no patient", ask: `fact.elapsed({"unit": "d"}, ` + drawn + `, fhir.birth_date())`,
		want: "unknown: no-data (potassium), no-data (birth date)"},
}

// The day before the call, the day of it, and the month.
func apart(f string) []golden {
	ask := func(a, b string) string { return "fact." + f + "(" + a + ", " + b + ")" }
	earlier, later := "true", "false"
	if f == "after" {
		earlier, later = later, earlier
	}
	return []golden{
		{given: "potassium of the day before", chart: measured("2026-03-01"), ask: ask(drawn, "fhir.today()"),
			want: earlier},
		{given: "potassium of the day before", chart: measured("2026-03-01"), ask: ask("fhir.today()", drawn),
			want: later},
		{given: "the instant itself", chart: measured("2026-03-02T10:00:00-05:00"), ask: ask(drawn, "fhir.now()"),
			want: "false"},
		{given: "a day that holds the instant", chart: measured("2026-03-02"), ask: ask(drawn, "fhir.now()"),
			want: "unknown: precision-insufficient (date of potassium)"},
		{given: "a month against a day", chart: measured("2026-03"), ask: ask(drawn, "fhir.today()"),
			want: "unknown: precision-insufficient (date of potassium), precision-insufficient (today)"},
		{given: "no potassium", ask: ask(drawn, "fhir.now()"), want: "unknown: no-data (potassium)"},
		{given: "no potassium and no patient", ask: ask(drawn, born),
			want: "unknown: no-data (potassium), no-data (birth date)"},
	}
}

const january = `fact.date_minus({"by": "P60D"}, fhir.now()), fact.date_minus({"by": "P30D"}, fhir.now())`

var periods = []golden{
	{given: "potassium 60 to 30 days ago", chart: measured("2026-01-15"), ask: `fact.during(` + drawn + `, ` + january +
		`)`,
		want: "true"},
	{given: "potassium at the very end", chart: measured("2026-01-31T10:00:00-05:00"),
		ask: `fact.during(` + drawn + `, ` + january + `)`, want: "true"},
	{given: "potassium a second later", chart: measured("2026-01-31T10:00:01-05:00"),
		ask: `fact.during(` + drawn + `, ` + january + `)`, want: "false"},
	{given: "potassium before", chart: measured("2025"), ask: `fact.during(` + drawn + `, ` + january + `)`,
		want: "false"},
	{given: "potassium of some day in January", chart: measured("2026-01"),
		ask:  `fact.during(` + drawn + `, ` + january + `)`,
		want: "unknown: precision-insufficient (date of potassium)"},
	{given: "an end that nobody knows, a date before the start", chart: measured("2025"),
		ask: `fact.during(` + drawn + `, fhir.today(), fhir.birth_date())`, want: "false"},
	{given: "an end that nobody knows, a date after the start", chart: measured("2026-03-02"),
		ask:  `fact.during(` + drawn + `, fact.date_minus({"by": "P1Y"}, fhir.now()), fhir.birth_date())`,
		want: "unknown: no-data (birth date)"},
}

var overlaps = []golden{
	{given: "two days that follow each other", ask: `fact.overlap(` + january + `, ` +
		`fact.date_minus({"by": "P30D"}, fhir.now()), fhir.now())`, want: "true"},
	{given: "a period before the other", ask: `fact.overlap(` + january + `, ` +
		`fact.date_minus({"by": "P29D"}, fhir.now()), fhir.now())`, want: "false"},
	{given: "a period after the other", ask: `fact.overlap(fact.date_minus({"by": "P29D"}, fhir.now()), fhir.now(), ` +
		january + `)`, want: "false"},
	{given: "a start nobody knows, an end before the other", chart: nil,
		ask:  `fact.overlap(fhir.birth_date(), fact.date_minus({"by": "P61D"}, fhir.now()), ` + january + `)`,
		want: "false"},
	{given: "a start nobody knows", chart: nil, ask: `fact.overlap(fhir.birth_date(), fhir.now(), ` + january + `)`,
		want: "unknown: no-data (birth date)"},
	{given: "a start too coarse", chart: measured("2026-01"),
		ask:  `fact.overlap(fhir.now(), fhir.now(), ` + drawn + `, fact.date_plus({"by": "P50D"}, ` + drawn + `))`,
		want: "unknown: precision-insufficient (date of potassium + P50D)"},
}

var lately = []golden{
	{given: "potassium of 20 February, call on 2 March 2026", chart: measured("2026-02-20"),
		ask: `fhir.recent({"within": "P14D"}, ` + drawn + `)`, want: "true"},
	{given: "potassium of 20 February, call on 2 March 2026", chart: measured("2026-02-20"),
		ask: `fhir.recent({"within": "P9D"}, ` + drawn + `)`, want: "false"},
	{given: "potassium of 20 February, call on 2 March 2026", chart: measured("2026-02-20"),
		ask:  `fhir.recent({"within": "P10D"}, ` + drawn + `)`,
		want: "unknown: precision-insufficient (date of potassium)"},
	{given: "tomorrow", ask: `fhir.recent({"within": "P10D"}, fact.date_plus({"by": "P1D"}, fhir.now()))`,
		want: "false"},
	{given: "no potassium", ask: `fhir.recent({"within": "P10D"}, ` + drawn + `)`,
		want: "unknown: no-data (potassium)"},
	{given: "no potassium, known to lack", ask: `fact.lacking(` + drawn + `)`, want: "true"},
	{given: "no potassium known", partial: true, ask: `fact.lacking(` + drawn + `)`,
		want: "unknown: partial-result (laboratory results)"},
	{given: "the date in words", chart: measured("2026-02-20"), ask: `fhir.text("since {d}", {"d": ` + drawn + `})`,
		want: "since 2026-02-20"},
}

var (
	_ = example("fhir.now", clocks[0], 5)
	_ = example("fhir.today", clocks[1], 5)
	_ = example("fhir.birth_date", births[1], 15)
	_ = example("fhir.age", ages[1], 17)
	_ = example("fhir.age_at", agesAt[0], 17)
	_ = example("fhir.adult", ofAges[4], 18)
	_ = example("fhir.child", ofAges[3], 18)
	_ = example("fhir.recent", lately[0], 16)
	_ = example("fact.date_of", datesOf[0], 15)
	_ = example("fact.date_plus", shifts[1], 16)
	_ = example("fact.date_minus", shifts[4], 16)
	_ = example("fact.elapsed", spans[1], 16)
	_ = example("fact.before", apart("before")[0], 16)
	_ = example("fact.after", apart("after")[3], 16)
	_ = example("fact.during", periods[0], 16)
	_ = example("fact.overlap", overlaps[0], 16)
)

// TestDates holds the answers about dates and ages, each with the sibling beside the limit.
func TestDates(t *testing.T) {
	for _, list := range [][]golden{clocks, births, ages, agesAt, ofAges, datesOf, shifts, spans, apart("before"),
		apart("after"), periods, overlaps, lately} {
		answersOf(t, list)
	}
}

// TestCoarserDates holds that a date known less exactly never answers more, and never
// otherwise: true and false become unknown at most, and intervals only grow.
func TestCoarserDates(t *testing.T) {
	layouts := []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"}
	a := ask(t, "", bundle())
	zone := a.chart.zone()
	rapid.Check(t, func(t *rapid.T) {
		at := time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC).Add(
			-time.Duration(rapid.IntRange(0, 40_000).Draw(t, "hours ago")) * time.Hour).In(zone)
		ask := rapid.SampledFrom([]string{
			`fact.before(DATE, fact.date_minus({"by": "P1Y"}, fhir.now()))`,
			`fact.after(DATE, fact.date_minus({"by": "P1M"}, fhir.now()))`,
			`fhir.recent({"within": "P180D"}, DATE)`, `fact.elapsed({"unit": "d"}, DATE, fhir.now())`,
			`fact.elapsed({"unit": "mo"}, DATE, fhir.now())`, `fact.elapsed({"unit": "h"}, fhir.now(), DATE)`,
			`fact.elapsed({"unit": "d"}, fact.date_plus({"by": "P1M3D"}, DATE), fhir.today())`,
			`fact.during(DATE, fact.date_minus({"by": "P2Y"}, fhir.now()), fact.date_minus({"by": "P1Y"}, fhir.today()))`,
			`fact.overlap(DATE, fact.date_plus({"by": "P90D"}, DATE), ` +
				`fact.date_minus({"by": "P1Y"}, fhir.now()), fhir.now())`,
		}).Draw(t, "question")
		exact, coarse := rapid.IntRange(0, 4).Draw(t, "exact"), rapid.IntRange(0, 4).Draw(t, "coarse")
		if exact > coarse {
			exact, coarse = coarse, exact
		}
		answer := func(layout string) (fact.State, *fact.Value) {
			g := golden{chart: measured(at.Format(layout))}
			s := g.session(a.TB)
			x, err := s.eval(parsed(strings.ReplaceAll(ask, "DATE", drawn)))
			if err != nil {
				t.Fatal(err)
			}
			if f, err := s.Fact(x); err == nil {
				return f.State, nil
			}
			v, err := s.Session.value(x)
			if err != nil {
				t.Fatal(err)
			}
			return fact.Unknown, v
		}
		fine, v := answer(layouts[exact])
		rough, w := answer(layouts[coarse])
		switch {
		case v == nil && rough != fact.Unknown && rough != fine:
			t.Fatalf("%s of %s is %s, of %s %s", ask, at.Format(layouts[exact]), fine, at.Format(layouts[coarse]),
				rough)
		case v != nil && (w == nil || w.Low.Cmp(v.Low) > 0 || w.High.Cmp(v.High) < 0):
			t.Fatalf("%s of %s is %s, of %s %s", ask, at.Format(layouts[exact]), v, at.Format(layouts[coarse]), w)
		}
	})
}
