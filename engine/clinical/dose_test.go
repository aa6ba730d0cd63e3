package clinical

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/engine/terminology"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

func init() {
	maps.Copy(inquiries, map[string][]string{
		"fhir.daily_dose":        {`{"set":"nsaid","unit":"mg"}`},
		"fhir.single_dose":       {`{"set":"nsaid","unit":"mg"}`},
		"fhir.daily_dose_per_kg": {`{"set":"nsaid","unit":"mg"}`},
		"fhir.total_daily_dose":  {`{"set":"nsaid","unit":"mg"}`},
		"fhir.days_supply":       {`{}`},
		"fhir.mme":               {`{"set":"nsaid","factors":"cdc-2022"}`},
		"fhir.total_mme":         {`{"set":"nsaid","factors":"cdc-2022"}`},
	})
}

// strong is a product of one or two ingredients with strengths such as
// "7804 10 mg" or "4337 0.025 mg/1 h".
func strong(code string, form vocab.Form, strengths ...string) vocab.Product {
	p := vocab.Product{Code: code, Display: "product " + code, Form: form}
	for _, text := range strengths {
		var s vocab.Strength
		what, per, _ := strings.Cut(text, "/")
		if _, err := fmt.Sscan(what, &s.Ingredient, &s.Amount, &s.Unit); err != nil {
			panic(err)
		}
		if per != "" {
			if _, err := fmt.Sscan(per, &s.PerAmount, &s.PerUnit); err != nil {
				panic(err)
			}
		}
		p.Ingredients = append(p.Ingredients, s.Ingredient)
		p.Strengths = append(p.Strengths, s)
	}
	return p
}

// doseTerms is a release that knows strengths.
var doseTerms = sync.OnceValue(func() *chart.Terminology {
	release := &vocab.Terminology{System: chart.RxNorm, Release: "2026.1"}
	for _, c := range []string{"7804", "5489", "161", "4337", "3423", "6813", "10689", "787390", "1819", "7242",
		"6378", "36567",
		"5640", "3355"} {
		release.Ingredients = append(release.Ingredients, vocab.Ingredient{Code: c, Display: "drug " + c})
	}
	noStrength := vocab.Product{Code: "197806", Display: "none", Form: "oral", Ingredients: []string{"5640"}}
	release.Products = []vocab.Product{
		strong("1049683", "oral", "7804 10 mg"), strong("1049574", "oral", "7804 30 mg"),
		strong("856999", "oral", "5489 10 mg", "161 325 mg"), strong("857002", "oral", "5489 5 mg", "161 325 mg"),
		strong("198440", "oral", "161 500 mg"), strong("1603495", "transdermal", "4337 0.0375 mg/1 h"),
		strong("245134", "transdermal", "4337 0.025 mg/1 h"), strong("897702", "oral", "3423 4 mg"),
		strong("864706", "oral", "6813 10 mg"), strong("835603", "oral", "10689 50 mg"),
		strong("825411", "oral", "787390 50 mg"), strong("1010600", "oral", "1819 2 mg", "7242 0.5 mg"),
		strong("1", "oral", "6378 2 mg"), strong("2", "injectable", "7804 10 mg/1 mL"),
		strong("3", "oral", "161 32 mg/1 mL"), strong("198211", "oral", "36567 40 mg"),
		strong("4", "topical", "3355 10 mg/1 g"), strong("5", "oral", "36567 20 mg"), noStrength,
	}
	table, err := terminology.FromProducts(release)
	if err != nil {
		panic(err)
	}
	return chart.OpenTerminology(table)
})

func withStrengths(in *chart.Inputs) { in.Terminology = doseTerms() }

// askDoses asks with a release that knows strengths.
func askDoses(t testing.TB, drafts, source string) asked {
	t.Helper()
	return ask(t, drafts, source, withStrengths).with(
		setOf(t, "opioids", vocab.KindMedication, rx("7804", "5489", "4337", "3423", "6813", "10689", "787390",
			"1819", "6378")...),
		setOf(t, "acetaminophen", vocab.KindMedication, rx("161")...), setOf(t, "simvastatin", vocab.KindMedication,
			rx("36567")...),
		setOf(t, "ibuprofen", vocab.KindMedication, rx("5640")...), setOf(t, "diclofenac", vocab.KindMedication,
			rx("3355")...))
}

func rx(codes ...string) []string {
	for i := range codes {
		codes[i] = chart.RxNorm + "|" + codes[i]
	}
	return codes
}

var _ = testSet("acetaminophen", vocab.KindMedication, rx("161")...) &&
	testSet("opioids", vocab.KindMedication, rx("7804", "5489", "4337", "3423", "6813", "10689", "787390", "1819",
		"6378")...)

// The examples of docs/rule-library.md.
var (
	_ = example("fhir.daily_dose", golden{
		given: "ordered are 1 to 2 tablets of acetaminophen 500 mg every 6 hours as needed, in words alone",
		drafts: []string{med("MedicationRequest", "d", "198440", draft+`,"dosageInstruction":[{"text":`+
			`"Take 1-2 tablets by mouth every 6 hours as needed."}]`)}, change: withStrengths,
		ask: `fhir.daily_dose({"set": "acetaminophen", "unit": "g"})`, want: "0 to 4 g/d"}, 30)
	_ = example("fhir.single_dose", golden{given: "ordered are 2 tablets of acetaminophen 500 mg four times a day",
		drafts: []string{med("MedicationRequest", "d", "198440", draft+perDay("2", "tablet", 4))},
		change: withStrengths,
		ask:    `fhir.single_dose({"set": "acetaminophen", "unit": "mg"})`, want: "1000 mg"}, 30)
	_ = example("fhir.daily_dose_per_kg", golden{given: "ordered are 250 mg four times a day for a child of 20 kg",
		drafts: []string{med("MedicationRequest", "d", "198440", draft+perDay("250", "mg", 4))}, change: withStrengths,
		chart: []string{person("2018-03-01", "female"), labResult("w", "29463-7", "2026-02-20", quantity("20", "kg"))},
		ask:   `fhir.daily_dose_per_kg({"set": "acetaminophen", "unit": "mg"})`, want: "50 mg/kg/d"}, 30)
	_ = example("fhir.total_daily_dose", golden{
		given:  "ordered are 3 g of acetaminophen a day beside four tablets of hydrocodone with 325 mg of acetaminophen",
		drafts: []string{med("MedicationRequest", "d", "198440", draft+perDay("2", "tablet", 3))},
		change: withStrengths,
		chart: []string{med("MedicationRequest", "a", "856999", `,"status":"active","intent":"order"`+
			perDay("1", "tablet", 4))},
		ask: `fhir.total_daily_dose({"set": "acetaminophen", "unit": "g"})`, want: "4.3 g/d"}, 30)
	_ = example("fhir.days_supply", golden{given: "ordered are 20 tablets, one of them four times a day",
		drafts: []string{med("MedicationRequest", "d", "1049683", draft+perDay("1", "tablet", 4)+
			`,"dispenseRequest":{"quantity":{"value":20,"unit":"tablet"}}`)}, change: withStrengths,
		ask: `fhir.days_supply({})`, want: "5 days"}, 31)
	_ = example("fhir.mme", golden{given: "ordered are patches of 37.5 µg fentanyl an hour, one every 72 hours",
		drafts: []string{med("MedicationRequest", "d", "1603495", draft+sig("1", "patch", 1, "72", "h", ""))},
		change: withStrengths, ask: `fhir.mme({"set": "opioids", "factors": "cdc-2022"})`, want: "90 mg/d"}, 33)
	_ = example("fhir.total_mme", golden{
		given:  "ordered are 40 mg of oxycodone a day, and the patient takes a drug that is named in words alone",
		drafts: []string{med("MedicationRequest", "d", "1049683", draft+perDay("1", "tablet", 4))},
		chart: []string{`{"resourceType":"MedicationStatement","id":"w","status":"active","subject":` +
			`{"reference":"Patient/p1"},"medicationCodeableConcept":{"text":"pain pill"}}`}, change: withStrengths,
		ask: `fhir.total_mme({"set": "opioids", "factors": "cdc-2022"})`, want: ">= 60 mg/d"}, 33)
)

// sig writes dosage instructions of one dose, so often in so many days or hours.
func sig(dose, unit string, frequency int, period, periodUnit, more string) string {
	return fmt.Sprintf(`,"dosageInstruction":[{"doseAndRate":[{"doseQuantity":{"value":%s,"unit":%q}}],`+
		`"timing":{"repeat":{"frequency":%d,"period":%s,"periodUnit":%q}}%s}]`, dose, unit, frequency, period,
		periodUnit,
		more)
}

func perDay(dose, unit string, n int) string { return sig(dose, unit, n, "1", "d", "") }

const draft = `,"status":"draft"`

// interval writes a value as "low..high" with the codes of its reasons.
func interval(v *fact.Value) string {
	number := func(d *apd.Decimal) string {
		if d == nil {
			return ""
		}
		return d.Text('f')
	}
	text := v.State.String()
	if v.State == fact.Known {
		text = number(v.Low) + ".." + number(v.High)
	}
	return strings.TrimSpace(text + " " + codes(v.Reasons))
}

func TestDailyDose(t *testing.T) {
	for _, tt := range []struct{ name, drug, dosage, ask, want string }{
		{"tablets", "198211", perDay("1", "tablet", 1), `"set":"simvastatin","unit":"mg"`, "40..40"},
		{"tablets in grams", "198211", perDay("2", "tablet", 1), `"set":"simvastatin","unit":"g"`, "0.08..0.08"},
		{"milligrams", "198211", perDay("20", "mg", 2), `"set":"simvastatin","unit":"mg"`, "40..40"},
		{"milligrams of an ingredient", "36567", perDay("20", "mg", 2), `"set":"simvastatin","unit":"mg"`, "40..40"},
		{"tablets of an ingredient", "36567", perDay("1", "tablet", 1), `"set":"simvastatin","unit":"mg"`,
			"unknown no-data"},
		{"tablets of no strength", "197806", perDay("1", "tablet", 1), `"set":"ibuprofen","unit":"mg"`,
			"unknown no-data"},
		{"of a combination", "856999", perDay("1", "tablet", 4), `"set":"acetaminophen","unit":"g"`, "1.3..1.3"},
		{"milligrams of a combination", "856999", perDay("10", "mg", 4), `"set":"acetaminophen","unit":"g"`,
			"unknown unparseable-dose"},
		{"a syrup", "3", perDay("10", "mL", 4), `"set":"acetaminophen","unit":"mg"`, "1280..1280"},
		{"every third day", "198211", sig("1", "tablet", 1, "3", "d", ""), `"set":"simvastatin","unit":"mg"`,
			"13.3333..13.3333"},
		{"as needed", "198440", sig("2", "tablet", 1, "6", "h", `,"asNeededBoolean":true`),
			`"set":"acetaminophen","unit":"g"`,
			"0..4"},
		{"as needed up to", "198440", sig("2", "tablet", 1, "4", "h", `,"asNeededBoolean":true,"maxDosePerPeriod":`+
			`{"numerator":{"value":3,"unit":"g"},"denominator":{"value":1,"unit":"d"}}`),
			`"set":"acetaminophen","unit":"g"`, "0..3"},
		{"more than up to", "198440", sig("2", "tablet", 1, "4", "h", `,"maxDosePerPeriod":`+
			`{"numerator":{"value":3,"unit":"g"},"denominator":{"value":1,"unit":"d"}}`),
			`"set":"acetaminophen","unit":"g"`,
			"unknown ambiguous"},
		{"words", "198211", `,"dosageInstruction":[{"text":"Take 1 tablet by mouth at bedtime."}]`,
			`"set":"simvastatin","unit":"mg"`, "40..40"},
		{"words nobody reads", "198211", `,"dosageInstruction":[{"text":"as directed"}]`,
			`"set":"simvastatin","unit":"mg"`,
			"unknown unparseable-dose"},
		{"one instruction of two", "198211", `,"dosageInstruction":[{"text":"1 tablet daily"},{"text":"as directed"}]`,
			`"set":"simvastatin","unit":"mg"`, "40.. unparseable-dose"},
		{"no dosage", "198211", ``, `"set":"simvastatin","unit":"mg"`, "unknown no-data"},
		{"another drug", "198440", perDay("1", "tablet", 1), `"set":"simvastatin","unit":"mg"`, "0..0"},
		{"a cream by the gram", "4", perDay("2", "g", 4), `"set":"diclofenac","unit":"mg"`, "unknown unparseable-dose"},
		{"by weight", "198440", perDay("15", "mg/kg", 4), `"set":"acetaminophen","unit":"mg"`,
			"unknown unparseable-dose"},
		{"by weight, and calculated", "198440", strings.Replace(perDay("15", "mg/kg", 4), `}}],`,
			`}},{"doseQuantity":{"value":300,"unit":"mg"}}],`, 1), `"set":"acetaminophen","unit":"mg"`, "1200..1200"},
		{"an infusion", "2", `,"dosageInstruction":[{"doseAndRate":[{"rateQuantity":{"value":1,"unit":"mL/h"}}]}]`,
			`"set":"opioids","unit":"mg"`, "0..240"},
	} {
		a := askDoses(t, bundle(med("MedicationRequest", "d", tt.drug, draft+tt.dosage)), "")
		v := a.value("fhir.daily_dose", `{`+tt.ask+`}`)
		if got := interval(v); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if len(v.Evidence) != 1 || v.Evidence[0].Ref != "MedicationRequest/d" || !strings.HasSuffix(v.Unit, "/d") {
			t.Errorf("%s: %+v", tt.name, v)
		}
	}
	a := askDoses(t, bundle(med("MedicationRequest", "d", "198211", draft+sig("2", "tablet", 1, "2", "d", ""))), "")
	if v := a.value("fhir.single_dose", `{"set":"simvastatin","unit":"mg"}`); interval(v) != "80..80" ||
		v.Unit != "mg" {
		t.Errorf("a single dose: %s %s", interval(v), v.Unit)
	}
	words := `{"resourceType":"MedicationRequest","id":"d","status":"draft","medicationCodeableConcept":{"text":"x"}` +
		perDay("1", "mg", 1) + `}`
	if v := askDoses(t, bundle(words), "").value("fhir.daily_dose", `{"set":"simvastatin","unit":"mg"}`); interval(v) !=
		"unknown text-only" {
		t.Errorf("a drug in words: %s", interval(v))
	}
}

// TestDailyDosePerKg holds a dose against the weight of the body.
func TestDailyDosePerKg(t *testing.T) {
	heavy := labResult("w", "29463-7", "2026-02-20", quantity("20", "kg"))
	child := person("2018-03-01", "female")
	for _, tt := range []struct{ name, drug, dosage, source, want string }{
		{"milligrams", "198440", perDay("250", "mg", 4), bundle(child, heavy), "50..50"},
		{"tablets", "198440", perDay("1", "tablet", 4), bundle(child, heavy), "100..100"},
		{"as needed", "198440", sig("250", "mg", 4, "1", "d", `,"asNeededBoolean":true`), bundle(child, heavy),
			"0..50"},
		{"by weight", "198440", perDay("15", "mg/kg", 4), bundle(child), "60..60"},
		{"by weight, without one", "198440", perDay("15", "mg/kg", 4), "", "60..60"},
		{"in pounds", "198440", perDay("250", "mg", 4), bundle(child, labResult("w", "29463-7", "2026-02-20",
			quantity("44", "[lb_av]"))), "50.1051..50.1051"},
		{"by surface", "198440", perDay("15", "mg/m2", 4), bundle(child, heavy), "unknown unparseable-dose"},
		{"no weight", "198440", perDay("250", "mg", 4), bundle(child), "unknown no-data"},
		{"an old weight", "198440", perDay("250", "mg", 4), bundle(child, labResult("w", "29463-7", "2025-02-20",
			quantity("20", "kg"))), "unknown stale"},
		{"not supplied", "198440", perDay("250", "mg", 4), "", "unknown precision-insufficient"}, // of what age?
		{"another drug", "198211", perDay("1", "tablet", 4), bundle(child, heavy), "0..0"},
	} {
		a := askDoses(t, bundle(med("MedicationRequest", "d", tt.drug, draft+tt.dosage)), tt.source)
		v := a.value("fhir.daily_dose_per_kg", `{"set":"acetaminophen","unit":"mg"}`)
		if got := interval(v); got != tt.want || v.Unit != "mg/kg/d" {
			t.Errorf("%s: %s %s, want %s", tt.name, got, v.Unit, tt.want)
		}
	}
}

// TestDaysSupply holds where the length of a supply comes from.
func TestDaysSupply(t *testing.T) {
	supply := func(members string) string { return `,"dispenseRequest":{` + members + `}` }
	quantity := func(n, unit string) string {
		return fmt.Sprintf(`"quantity":{"value":%s,"unit":%q}`, n, unit)
	}
	for _, tt := range []struct{ name, rest, options, want string }{
		{"stated", supply(`"expectedSupplyDuration":{"value":30,"unit":"days"}`), `{}`, "30..30"},
		{"stated without unit", supply(`"expectedSupplyDuration":{"value":7}`), `{}`, "7..7"},
		{"stated in weeks",
			supply(`"expectedSupplyDuration":{"value":2,"code":"wk","system":"http://unitsofmeasure.org"}`), `{}`,
			"14..14"},
		{"with refills", supply(`"expectedSupplyDuration":{"value":30,"unit":"d"},"numberOfRepeatsAllowed":2`),
			`{"refills":true}`, "90..90"},
		{"no refills stated", supply(`"expectedSupplyDuration":{"value":30,"unit":"d"}`), `{"refills":true}`, "30..30"},
		{"by quantity", perDay("1", "tablet", 4) + supply(quantity("20", "tablet")), `{}`, "5..5"},
		{"by quantity of tablets and milligrams", perDay("10", "mg", 4) + supply(quantity("20", "tablets")), `{}`,
			"5..5"},
		{"by quantity, as needed", sig("1", "tablet", 4, "1", "d", `,"asNeededBoolean":true`) + supply(quantity("20",
			"tablet")),
			`{}`, "5.. precision-insufficient"},
		{"a range", sig("1", "tablet", 1, "4", "h", ``) + supply(quantity("20", "tablet")), `{}`, "3.3..3.3"},
		{"by quantity without a dose", supply(quantity("20", "tablet")), `{}`, "unknown no-data"},
		{"by quantity and words", `,"dosageInstruction":[{"text":"as directed"}]` + supply(quantity("20", "tablet")),
			`{}`,
			"unknown unparseable-dose"},
		{"by the course",
			`,"dosageInstruction":[{"text":"1 tablet daily","timing":{"repeat":{"boundsDuration":{"value":10,` +
				`"unit":"d"},"frequency":1,"period":1,"periodUnit":"d"}}}]`, `{}`, "10..10"},
		{"by a course of a range",
			`,"dosageInstruction":[{"timing":{"repeat":{"boundsRange":{"low":{"value":7,"unit":"d"},` +
				`"high":{"value":10,"unit":"d"}}}}}]`, `{}`, "7..10"},
		{"by dates",
			`,"dosageInstruction":[{"timing":{"repeat":{"boundsPeriod":{"start":"2026-03-02","end":"2026-03-08"}}}}]`,
			`{}`, "7..7"},
		{"by count",
			`,"dosageInstruction":[{"timing":{"repeat":{"count":10,"frequency":2,"period":1,"periodUnit":"d"}}}]`, `{}`,
			"5..5"},
		{"nothing", ``, `{}`, "unknown no-data"},
	} {
		v := askDoses(t, bundle(med("MedicationRequest", "d", "1049683", draft+tt.rest)),
			"").value("fhir.days_supply", tt.options)
		if got := interval(v); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestMME holds the vectors of CDC 2022: doses, patches, what is excluded.
func TestMME(t *testing.T) {
	patch := func(days string) string { return sig("1", "patch", 1, days, "d", "") }
	prn := `,"dosageInstruction":[{"asNeededBoolean":true,"doseAndRate":[{"doseRange":` +
		`{"low":{"value":1,"unit":"tablet"},` +
		`"high":{"value":2,"unit":"tablet"}}}],"timing":{"repeat":{"frequency":1,"period":4,"periodUnit":"h"}}}]`
	oral := `,"route":{"coding":[{"system":"http://snomed.info/sct","code":"26643006"}]}`
	for _, tt := range []struct{ name, drug, dosage, want string }{
		{"oxycodone 10, four times", "1049683", perDay("1", "tablet", 4), "60..60"},
		{"hydrocodone 10, five times", "856999", perDay("1", "tablet", 5), "50..50"},
		{"hydrocodone 10, four times", "856999", perDay("1", "tablet", 4), "40..40"},
		{"oxycodone ER 30, twice", "1049574", perDay("1", "tablet", 2), "90..90"},
		{"fentanyl 37.5 for 72 hours", "1603495", patch("3"), "90..90"},
		{"fentanyl 37.5, a third a day", "1603495", sig("1", "patch", 1, "72", "h", ""), "90..90"},
		{"fentanyl 25 for 72 hours", "245134", patch("3"), "60..60"},
		{"fentanyl 25 for 48 hours", "245134", patch("2"), "60..90"},
		{"fentanyl 25 for a week", "245134", patch("7"), "25.71..60"},
		{"fentanyl by the hour", "245134", sig("25", "ug/h", 1, "72", "h", ""), "60..60"},
		{"fentanyl not as a patch", "4337", perDay("100", "ug", 4), "unknown unparseable-dose"},
		{"hydromorphone 4, every 6 hours", "897702", sig("1", "tablet", 1, "6", "h", ""), "80..80"},
		{"methadone 10, twice", "864706", perDay("1", "tablet", 2), "94..94"},
		{"tramadol 50, every 6 hours", "835603", sig("1", "tablet", 1, "6", "h", ""), "40..40"},
		{"tapentadol 50, every 6 hours", "825411", sig("1", "tablet", 1, "6", "h", ""), "80..80"},
		{"words", "1049683", `,"dosageInstruction":[{"text":"1-2 q4-6h prn"}]`, "unknown unparseable-dose"},
		{"one or two, every four hours, as needed", "1049683", prn, "0..180"},
		{"buprenorphine", "1010600", perDay("1", "film", 2), "0..0"},
		{"no factor", "1", perDay("1", "tablet", 2), "unknown not-applicable"},
		{"injected", "2", perDay("1", "mL", 2), "unknown not-applicable"},
		{"an ingredient, route unknown", "7804", perDay("10", "mg", 2), "unknown no-data"},
		{"an ingredient by mouth", "7804", sig("10", "mg", 2, "1", "d", oral), "30..30"},
		{"no opioid", "198440", perDay("1", "tablet", 2), "0..0"},
	} {
		v := askDoses(t, bundle(med("MedicationRequest", "d", tt.drug, draft+tt.dosage)), "").
			value("fhir.mme", `{"set":"opioids","factors":"cdc-2022"}`)
		if got := interval(v); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if v.State == fact.Known && v.Method != "CDC 2022 factors" {
			t.Errorf("%s: by %q", tt.name, v.Method)
		}
	}
}

// TestTotals holds what counts once, what counts beside it, and what may be either.
func TestTotals(t *testing.T) {
	active := `,"status":"active","intent":"order"`
	order := func(id, drug, rest string) string { return med("MedicationRequest", id, drug, active+rest) }
	twice := perDay("1", "tablet", 2) // 60 mg of oxycodone, of 30 mg
	statement := func(id, drug, rest string) string {
		return med("MedicationStatement", id, drug, `,"status":"active"`+strings.Replace(rest, "dosageInstruction",
			"dosage", 1))
	}
	dispense := func(id, drug, rest string) string {
		return med("MedicationDispense", id, drug,
			`,"status":"completed","whenHandedOver":"2026-02-25","daysSupply":{"value":30,`+
				`"unit":"d"}`+rest)
	}
	inWords := `{"resourceType":"MedicationStatement","id":"w","status":"active",` +
		`"medicationCodeableConcept":{"text":"pain pill"}}`
	for _, tt := range []struct{ name, draft, source, want string }{
		{"the draft alone", med("MedicationRequest", "d", "1049574", draft+twice), bundle(), "60..60"},
		{"beside another order", med("MedicationRequest", "d", "1049574", draft+twice),
			bundle(order("a", "1049683", perDay("1", "tablet", 1))), "70..70"},
		{"replacing another order", med("MedicationRequest", "d", "1049574", draft+twice+
			`,"priorPrescription":{"reference":"MedicationRequest/a"}`), bundle(order("a", "1049574", twice)),
			"60..60"},
		{"and what was dispensed for it", med("MedicationRequest", "d", "1049574", draft+twice+
			`,"priorPrescription":{"reference":"MedicationRequest/a"}`), bundle(order("a", "1049574", twice),
			dispense("x", "1049574", `,"authorizingPrescription":[{"reference":"MedicationRequest/a"}]`)), "60..60"},
		{"an order and its dispense", "", bundle(order("a", "1049574", twice),
			dispense("x", "1049574", `,"authorizingPrescription":[{"reference":"MedicationRequest/a"}]`+twice)),
			"60..60"},
		{"an order and the same as a statement", "", bundle(order("a", "1049574", twice), statement("s", "1049574",
			twice)),
			"60..60"},
		{"an order and another dose as a statement", "", bundle(order("a", "1049574", twice),
			statement("s", "1049574", perDay("1", "tablet", 1))), "60..90 ambiguous"},
		{"two orders of one product and dose", "", bundle(order("a", "1049574", twice), order("b", "1049574", twice)),
			"60..120 ambiguous"},
		{"two orders of two products", "", bundle(order("a", "1049574", twice), order("b", "1049683", twice)),
			"80..80"},
		{"dispensed twice", "", bundle(dispense("x", "1049574", twice), dispense("y", "1049574", twice)), "60..60"},
		{"two orders of one care plan", med("MedicationRequest", "d", "1049574", draft+twice+
			`,"basedOn":[{"reference":"CarePlan/1"}]`),
			bundle(order("a", "1049683", twice+`,"basedOn":[{"reference":"CarePlan/1"}]`)), "80..80"},
		{"on hold, and dispensed for it", "", bundle(med("MedicationRequest", "a", "1049574",
			`,"status":"on-hold","intent":"order"`+twice), dispense("x", "1049574",
			`,"authorizingPrescription":[{"reference":"MedicationRequest/a"}]`)), "60..60"},
		{"another draft replaces the draft", med("MedicationRequest", "d", "1049574", draft+twice) + `},{"resource":` +
			med("MedicationRequest", "e", "1049683",
				draft+twice+`,"priorPrescription":{"reference":"MedicationRequest/d"}`),
			bundle(), "20..20"},
		{"one of unknown dose", "", bundle(order("a", "1049574", twice), order("b", "1049683", "")), "60.. no-data"},
		{"one in words", "", bundle(order("a", "1049574", twice), inWords), "60.. text-only"},
		{"only one in words", "", bundle(inWords), "unknown text-only"},
		{"stopped", "", bundle(med("MedicationRequest", "a", "1049574",
			`,"status":"stopped","intent":"order"`+twice)), "0..0"},
		{"on hold", "", bundle(med("MedicationRequest", "a", "1049574", `,"status":"on-hold","intent":"order"`+twice)),
			"0..60 wrong-status"},
		{"another drug", "", bundle(order("a", "198440", twice)), "0..0"},
		{"not supplied", "", "", "unknown not-supplied"},
		{"more pages", "", strings.Replace(bundle(order("a", "1049574", twice)), `"type"`, `"total":3,"type"`, 1),
			"60.. partial-result"},
		{"given, of unknown frequency", "", bundle(med("MedicationAdministration", "a", "1049683",
			`,"status":"completed","effectiveDateTime":"2026-03-02T08:00:00-05:00",`+
				`"dosage":{"dose":{"value":1,"unit":"tablet"}}`)),
			"10.. unparseable-dose"},
	} {
		drafts := bundle()
		if tt.draft != "" {
			drafts = bundle(tt.draft)
		}
		a := askDoses(t, drafts, tt.source)
		if got := interval(a.value("fhir.total_daily_dose", `{"set":"opioids","unit":"mg"}`)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	var many []string
	for i := range maxAdded + 1 {
		many = append(many, order(fmt.Sprint("o", i), "1049683", perDay("1", "tablet", 1)))
	}
	if got := interval(askDoses(t, "", bundle(many...)).value("fhir.total_daily_dose",
		`{"set":"opioids","unit":"mg"}`)); got != "10.. ambiguous implausible" {
		t.Errorf("more drugs than anyone takes: %s", got)
	}
	// Acetaminophen of two products, against its greatest daily dose.
	a := askDoses(t, bundle(med("MedicationRequest", "d", "198440", draft+perDay("2", "tablet", 3))),
		bundle(order("a", "856999", perDay("1", "tablet", 4))))
	if got := interval(a.value("fhir.total_daily_dose", `{"set":"acetaminophen","unit":"g"}`)); got != "4.3..4.3" {
		t.Errorf("acetaminophen: %s", got)
	}
	if f := a.fact("fact.greater", `{"value":0}`, "4"); f.State != fact.True {
		t.Errorf("above 4 g: %+v", f)
	}
	if got := interval(a.value("fhir.total_daily_dose", `{"set":"acetaminophen","unit":"g","drafts":false}`)); got !=
		"1.3..1.3" {
		t.Errorf("without drafts: %s", got)
	}
	// Morphine equivalents of all: what is known decides where that is enough.
	a = askDoses(t, bundle(med("MedicationRequest", "d", "1049683", draft+perDay("1", "tablet", 4))),
		bundle(order("a", "245134", sig("1", "patch", 1, "3", "d", "")), inWords))
	if got := interval(a.value("fhir.total_mme", `{"set":"opioids","factors":"cdc-2022"}`)); got != "120.. text-only" {
		t.Errorf("total MME: %s", got)
	}
	if f := a.fact("fact.greater_equal", `{"value":0}`, "90"); f.State != fact.True {
		t.Errorf("90 or more: %+v", f)
	}
	if f := a.fact("fact.greater_equal", `{"value":0}`, "150"); f.State != fact.Unknown ||
		codes(f.Reasons) != "text-only" {
		t.Errorf("150 or more: %+v", f)
	}
}

// TestTotalsNeverNarrow holds that losing the dosage of a medication, or the strengths
// of its product, gives an interval that holds the former one.
func TestTotalsNeverNarrow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(rt, "n")
		lost := rapid.IntRange(0, n-1).Draw(rt, "lost")
		var before, after []string
		for i := range n {
			draw := func(name string, list ...string) string {
				return rapid.SampledFrom(list).Draw(rt, fmt.Sprintf("%s %d", name, i))
			}
			typ := draw("type", "MedicationRequest", "MedicationStatement", "MedicationDispense")
			drug := draw("drug", "1049574", "1049683", "856999")
			rest := draw("dosage", perDay("1", "tablet", 2), perDay("2", "tablet", 1),
				sig("1", "tablet", 1, "6", "h", `,"asNeededBoolean":true`))
			head := `,"status":"active","intent":"order"`
			switch typ {
			case "MedicationStatement":
				rest = strings.Replace(rest, "dosageInstruction", "dosage", 1)
			case "MedicationDispense":
				head = `,"status":"completed","whenHandedOver":"2026-02-25","daysSupply":{"value":30,"unit":"d"}`
			}
			id := fmt.Sprintf("m%d", i)
			before = append(before, med(typ, id, drug, head+rest))
			if i == lost {
				switch draw("loss", "dosage", "strength") {
				case "dosage":
					rest = ""
				default: // a product of the same ingredients that the release has no strengths of
					drug = map[string]string{"1049574": "7804", "1049683": "7804", "856999": "5489"}[drug]
				}
			}
			after = append(after, med(typ, id, drug, head+rest))
		}
		ask := func(list []string) *fact.Value {
			return askDoses(t, "", bundle(list...)).value("fhir.total_daily_dose", `{"set":"opioids","unit":"mg"}`)
		}
		a, b := ask(before), ask(after)
		if a.State != fact.Known || b.State != fact.Known {
			return // unknown is the widest of all; what was known in part may become so
		}
		if b.Low.Cmp(a.Low) > 0 || b.High != nil && (a.High == nil || b.High.Cmp(a.High) < 0) {
			rt.Fatalf("%s became %s\n%s\n%s", interval(a), interval(b), before, after)
		}
	})
}

func TestOpioidTables(t *testing.T) {
	for _, f := range mmeQuestions() {
		for _, o := range f.Options {
			for _, w := range o.Words {
				if opioidTables()[w] == nil {
					t.Errorf("%s names table %s, which there is none of", f.Name, w)
				}
			}
		}
	}
	for id, table := range opioidTables() {
		if table.Source == "" || table.Title == "" {
			t.Errorf("%s has no source or title", id)
		}
		for _, f := range table.Factors {
			if (f.Oral == "") == (f.PerHour == "") || (f.PerHour == "") != (f.WearDays == 0) || f.Code == "" {
				t.Errorf("%s: %+v", id, f)
			}
		}
	}
}

// TestDosesCost holds that what is added up is paid for: by instruction and by drug.
func TestDosesCost(t *testing.T) {
	one := `{"doseQuantity":{"value":1,"unit":"tablet"},"timing":{"repeat":{"frequency":1,"period":1,"periodUnit":"d"}}}`
	cost := func(n int) int {
		many := strings.TrimSuffix(strings.Repeat(one+",", n), ",")
		a := askDoses(t, bundle(med("MedicationRequest", "d", "198211", draft+`,"dosageInstruction":[`+many+`]`)),
			bundle())
		a.value("fhir.total_daily_dose", `{"set":"simvastatin","unit":"mg"}`)
		a.value("fhir.daily_dose", `{"set":"simvastatin","unit":"mg"}`)
		return a.Used().Cost
	}
	if few, many := cost(1), cost(60); many < few+2*60 {
		t.Errorf("60 instructions cost %d, one %d", many, few)
	}
}
