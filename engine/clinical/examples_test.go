package clinical

import "github.com/precept-cds/precept/engine/chart"

// The sets of these examples.
var (
	_ = testSet("creatinine", "observation", "http://loinc.org|2160-0")
	_ = testSet("penicillins", "substance", chart.RxNorm+"|723", chart.SNOMED+"|764146007")
	_ = testSet("aminopenicillins", "medication", chart.RxNorm+"|723", chart.RxNorm+"|733")
	_ = testSet("dialysis", "procedure", chart.SNOMED+"|302497006")
	_ = testSet("eye", "route", chart.SNOMED+"|54485002")
	_ = testSet("mmr", "vaccine", "http://hl7.org/fhir/sid/cvx|03")
)

const (
	seventy  = `fhir.age({"unit": "a"})`
	warfarin = `fhir.takes({"set": "warfarin"})`
	bled     = `fhir.condition({"set": "upper_gi_bleed", "ever": true})`
	nsaid    = `fhir.order_in({"set": "nsaid"})`
)

var (
	onWarfarin = []string{med("MedicationRequest", "w", "855350", `,"status":"active","intent":"order"`)}
	ibuprofen  = []string{med("MedicationRequest", "d", "197806", `,"status":"draft"`)}
	bornIn1956 = []string{person("1956", "male")}
)

// The functions whose tests are tables of another kind have their examples here.
var (
	_ = example("fact.all", golden{given: "a draft of ibuprofen, on warfarin", drafts: ibuprofen, chart: onWarfarin,
		ask: `fact.all([` + nsaid + `, ` + warfarin + `])`, want: "true"}, 10)
	_ = example("fact.any", golden{given: "conditions not sent in full, on warfarin", chart: onWarfarin, partial: true,
		ask: `fact.any([` + bled + `, ` + warfarin + `])`, want: "true"}, 10)
	_ = example("fact.negate", golden{given: "medication not sent in full", partial: true,
		ask: `fact.negate(` + warfarin + `)`, want: "unknown: partial-result (medications)"}, 10)
	_ = example("fact.count_at_least", golden{given: "a draft of ibuprofen, on warfarin, conditions whole",
		drafts: ibuprofen, chart: onWarfarin, ask: `fact.count_at_least(2, [` + nsaid + `, ` + warfarin + `, ` + bled +
			`])`,
		want: "true"}, 11)
	_ = example("fact.named", golden{given: "on warfarin", chart: onWarfarin,
		ask: `fact.named("bleeds easily", ` + warfarin + `)`, want: "true"})
	_ = example("fact.less", golden{given: "born in 1956, 69 or 70 years old", chart: bornIn1956,
		ask: `fact.less(` + seventy + `, 70)`, want: "unknown: precision-insufficient (age)"}, 23)
	_ = example("fact.less_equal", golden{given: "born in 1956, 69 or 70 years old", chart: bornIn1956,
		ask: `fact.less_equal(` + seventy + `, 70)`, want: "true"}, 23)
	_ = example("fact.greater", golden{given: "born in 1956, 69 or 70 years old", chart: bornIn1956,
		ask: `fact.greater(` + seventy + `, 70)`, want: "false"}, 23)
	_ = example("fact.greater_equal", golden{given: "born in 1956, 69 or 70 years old", chart: bornIn1956,
		ask: `fact.greater_equal(` + seventy + `, 70)`, want: "unknown: precision-insufficient (age)"}, 23)
	_ = example("fact.within", golden{given: "born in 1956, 69 or 70 years old", chart: bornIn1956,
		ask: `fact.within(` + seventy + `, 65, 75)`, want: "true"}, 23)
	_ = example("fact.lacking", golden{given: "no potassium in the last week",
		chart: measured("2026-01-05"),
		ask:   `fact.lacking(fhir.lab({"set": "potassium", "unit": "mmol/L", "max_age": "P7D"}))`, want: "true"}, 3)

	_ = example("fhir.order", golden{given: "a draft of ibuprofen", drafts: ibuprofen, ask: `fhir.order()`,
		want: "order MedicationRequest/d"}, 25)
	_ = example("fhir.order_in", golden{given: "a draft of ibuprofen", drafts: ibuprofen, ask: nsaid, want: "true"}, 8,
		26)
	_ = example("fhir.topical", golden{given: "a draft of ibuprofen tablets", drafts: ibuprofen,
		ask: `fhir.topical(fhir.order())`, want: "false"}, 27)
	_ = example("fhir.egfr", golden{given: "a man of 70, creatinine 2.5 mg/dL on 1 February 2026",
		chart: []string{person("1956-01-15", "male"), labResult("scr", "2160-0", "2026-02-01", quantity("2.5",
			"mg/dL"))},
		ask: `fhir.egfr({"max_age": "P90D"})`, want: "27.0 mL/min/1.73 m²"}, 38)
	_ = example("fhir.lab", golden{given: "creatinine 176.84 µmol/L on 1 February 2026",
		chart: []string{labResult("scr", "2160-0", "2026-02-01", quantity("176.84", "umol/L"))},
		ask:   `fhir.lab({"set": "creatinine", "unit": "mg/dL", "max_age": "P90D"})`, want: "2 mg/dL"}, 20, 22)
	_ = example("fhir.takes", golden{given: "warfarin ordered", chart: onWarfarin, ask: warfarin, want: "true"}, 28, 29)
	_ = example("fhir.condition", golden{given: "a bleeding ulcer, resolved", chart: []string{
		`{"resourceType":"Condition","id":"c","clinicalStatus":{"coding":[{"system":` +
			`"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"resolved"}]},` +
			`"verificationStatus":{"coding":` +
			`[{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status","code":"confirmed"}]},` +
			`"code":{"coding":` +
			`[{"system":"http://snomed.info/sct","code":"12847006"}]}}`}, ask: bled, want: "true"}, 34, 35)
	_ = example("fhir.allergy_to", golden{given: "an allergy in words", chart: []string{
		`{"resourceType":"AllergyIntolerance","id":"a","clinicalStatus":{"coding":[{"system":` +
			`"http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical","code":"active"}]},` +
			`"code":{"text":"PCN rash"}}`}, ask: `fhir.allergy_to({"set": "penicillins"})`,
		want: "unknown: text-only (allergy)"}, 36)
	_ = example("fhir.no_known_allergy", golden{given: "an empty list of allergies", ask: `fhir.no_known_allergy({})`,
		want: "unknown: no-data (allergies)"}, 36)
	_ = example("fhir.cross_reacts", golden{given: "a draft of ibuprofen", drafts: ibuprofen,
		ask:  `fhir.cross_reacts({"order": "aminopenicillins", "allergen": "penicillins", "risk": "high"})`,
		want: "false"}, 37)
	_ = example("fhir.procedure", golden{given: "haemodialysis on 20 February 2026", chart: []string{
		op(coding(snomed, "302497006"), `,"status":"completed","performedDateTime":"2026-02-20"`)},
		ask: `fhir.procedure({"set": "dialysis", "within": "P1M"})`, want: "true"}, 42)
	_ = example("fhir.encounter", golden{given: "no encounter in the call",
		ask:  `fhir.encounter({"class": "inpatient"})`,
		want: "false"}, 43)
	_ = example("fhir.location", golden{given: "no encounter in the call",
		ask:  `fhir.location({"kind": "intensive-care"})`,
		want: "false"}, 43)
	_ = example("fhir.immunizations", golden{given: "no doses on record", ask: `fhir.immunizations({"set": "mmr"})`,
		want: "0"}, 44)

	_ = example("fact.is", golden{given: "on warfarin", chart: onWarfarin, ask: `fact.is(` + warfarin + `, "true")`,
		want: "true"})
	_ = example("fhir.text", golden{given: "born in 1956", chart: bornIn1956,
		ask:  `fhir.text("The patient is {age} old", {"age": ` + seventy + `})`,
		want: "The patient is 69 to 70 years old"}, 45)
	_ = example("fhir.remove", golden{given: "a draft of ibuprofen", drafts: ibuprofen,
		ask:  `fhir.remove(fhir.order())`,
		want: "Remove the order for ibuprofen"}, 45)
	_ = example("fhir.request_service", golden{given: "any call", ask: `fhir.request_service({"system": ` +
		`"http://loinc.org", "code": "2160-0", "display": "Creatinine", "label": "Order creatinine"})`,
		want: "Order creatinine"}, 45)
	_ = example("fhir.propose_medication", golden{given: "any call", ask: `fhir.propose_medication({"system": ` +
		`"http://www.nlm.nih.gov/research/umls/rxnorm", "code": "198051", "display": "Omeprazole 20 mg", ` +
		`"label": "Add omeprazole"})`, want: "Add omeprazole"}, 45)
	_ = example("param", golden{given: "a pack whose parameter has its default", ask: `param("max_age")`, want: "P90D"})
)

const number = `fact.number({"name": "dose", "unit": "mg"}, `

// ibuprofenTaken writes a draft of ibuprofen with a dosage, three times a day.
func ibuprofenTaken(dose string) []string {
	return []string{med("MedicationRequest", "d", "197806", `,"status":"draft","intent":"order","dosageInstruction":[{`+
		`"timing":{"repeat":{"frequency":3,"period":1,"periodUnit":"d"}},"doseAndRate":[{"doseQuantity":`+dose+`}]}],`+
		`"dispenseRequest":{"quantity":{"value":30,"unit":"tablet"}}`)}
}

const (
	tablet = `{"value":1,"unit":"tablet"}`
)

// inKilograms and inCentimetres are of a woman born on 2 March 1961.
var (
	woman         = person("1961-03-02", "female")
	inKilograms   = labResult("w", "29463-7", "2026-02-20", quantity("60", "kg"))
	inCentimetres = labResult("h", "8302-2", "2026-02-20", quantity("165", "cm"))
	scr           = labResult("scr", "2160-0", "2026-02-25", quantity("1.0", "mg/dL"))
	series        = []string{labResult("a", "2160-0", "2026-02-28T08:00:00Z", quantity("1.0", "mg/dL")),
		labResult("b", "2160-0", "2026-03-01T08:00:00Z", quantity("1.6", "mg/dL"))}
)

var (
	_ = example("fact.number", golden{given: "any call", ask: number + `4000)`, want: "4000 mg"}, 22)
	_ = example("fact.round", golden{given: "any call", ask: `fact.round({"decimals": "0"}, ` + number + `2.5))`,
		want: "3 mg"}, 23)
	_ = example("fact.add", golden{given: "any call",
		ask: `fact.add({"decimals": "0", "name": "total", "unit": "mg"}, ` +
			number + `400), ` + number + `600))`, want: "1000 mg"})
	_ = example("fact.subtract", golden{given: "any call", ask: `fact.subtract({"decimals": "0", "name": "rest", ` +
		`"unit": "mg"}, ` + number + `600), ` + number + `400))`, want: "200 mg"})
	_ = example("fact.multiply", golden{given: "any call", ask: `fact.multiply({"decimals": "1", "name": "limit", ` +
		`"unit": "mg"}, ` + number + `30), ` + number + `2.5))`, want: "75.0 mg"})
	_ = example("fact.divide", golden{given: "any call", ask: `fact.divide({"decimals": "1", "name": "ratio", ` +
		`"unit": "1"}, ` + number + `600), ` + number + `400))`, want: "1.5 1"})
	_ = example("fact.compare", golden{given: "born in 1956", chart: bornIn1956, ask: `fact.compare({"is": "less"}, ` +
		number + `400), ` + number + `600))`, want: "true"}, 23)

	_ = example("fhir.results", golden{given: "creatinine of 1.0 and 1.6 mg/dL", chart: series,
		ask:  `fhir.results({"set": "creatinine", "unit": "mg/dL", "within": "P7D", "of": "highest"})`,
		want: "1.6 mg/dL"}, 21)
	_ = example("fhir.change", golden{given: "creatinine of 1.0, then 1.6 mg/dL", chart: series,
		ask:  `fhir.change({"set": "creatinine", "unit": "mg/dL", "within": "P7D", "from": "lowest", "as": "percent"})`,
		want: "60 %"}, 24)
	_ = example("fhir.has_result", golden{given: "creatinine of 1.6 mg/dL a day ago", chart: series,
		ask: `fhir.has_result({"set": "creatinine", "within": "P7D"})`, want: "true"}, 13, 20)
	_ = example("fhir.result_is", golden{given: "creatinine as a number", chart: series,
		ask:  `fhir.result_is({"set": "creatinine", "is": "positive", "within": "P7D"})`,
		want: "unknown: text-only (creatinine)"}, 22)
	_ = example("fhir.weight", golden{given: "60 kg ten days ago", chart: []string{woman, inKilograms},
		ask: `fhir.weight({"unit": "kg"})`, want: "60 kg"}, 40)
	_ = example("fhir.height", golden{given: "165 cm ten days ago", chart: []string{woman, inCentimetres},
		ask: `fhir.height({"unit": "m"})`, want: "1.65 m"}, 40)
	_ = example("fhir.bmi", golden{given: "60 kg and 165 cm", chart: []string{woman, inKilograms, inCentimetres},
		ask: `fhir.bmi({})`, want: "22.0 kg/m2"}, 40)
	_ = example("fhir.bsa", golden{given: "60 kg and 165 cm", chart: []string{woman, inKilograms, inCentimetres},
		ask: `fhir.bsa({})`, want: "1.66 m2"}, 40)
	_ = example("fhir.crcl", golden{given: "a woman of 65, 60 kg, creatinine 1.0 mg/dL",
		chart: []string{woman, inKilograms, scr}, ask: `fhir.crcl({"max_age": "P90D", "weight": "actual"})`,
		want: "53.1 mL/min"}, 39)
	_ = example("fhir.egfr_child", golden{given: "a girl of 7, 120 cm, creatinine 0.6 mg/dL", chart: []string{
		person("2018-06-01", "female"), labResult("h", "8302-2", "2026-02-20", quantity("120", "cm")),
		labResult("scr", "2160-0", "2026-02-25", quantity("0.6", "mg/dL"))},
		ask:  `fhir.egfr_child({"max_age": "P90D"})`,
		want: "82.6 mL/min/1.73 m²"}, 38)
	_ = example("fhir.qtc", golden{given: "QT 400 ms and 100 beats a minute in one ECG", chart: []string{woman,
		labResult("qt", "8634-8", "2026-03-01T08:00:00Z", quantity("400", "ms")),
		labResult("hr", "8867-4", "2026-03-01T08:00:00Z", quantity("100", "/min"))},
		ask: `fhir.qtc({"max_age": "P7D", "formula": "bazett"})`, want: "516 ms"}, 22)

	_ = example("fhir.systemic", golden{given: "a draft of ibuprofen tablets", drafts: ibuprofen,
		ask: `fhir.systemic(fhir.order())`, want: "true"}, 27)
	_ = example("fhir.route_in", golden{given: "a draft that names no route", drafts: ibuprofen,
		ask: `fhir.route_in({"set": "eye"}, fhir.order())`, want: "false"}, 27)
	_ = example("fhir.as_needed", golden{given: "a draft to be taken three times a day", drafts: ibuprofenTaken(tablet),
		ask: `fhir.as_needed(fhir.order())`, want: "false"}, 30)
	_ = example("fhir.selected", golden{given: "a call of order-sign", drafts: ibuprofen,
		ask: `fhir.selected(fhir.order())`, want: "unknown: not-supplied (selections)"}, 25)
	_ = example("fhir.drafted", golden{given: "a draft of ibuprofen", drafts: ibuprofen,
		ask: `fhir.drafted({"set": "nsaid"})`, want: "true"}, 25)
	_ = example("fhir.ingredient_count", golden{given: "a draft of ibuprofen", drafts: ibuprofen,
		ask: `fhir.ingredient_count(fhir.order())`, want: "1"}, 26)
	_ = example("fhir.same_class", golden{given: "a draft of ibuprofen, on warfarin", drafts: ibuprofen,
		chart: onWarfarin,
		ask:   `fhir.same_class({"set": "nsaid"})`, want: "false"}, 29)
	_ = example("fhir.drug_count", golden{given: "warfarin ordered", chart: onWarfarin, ask: `fhir.drug_count({})`,
		want: "1"}, 28)
	_ = example("fhir.days_taken", golden{given: "warfarin since 1 February 2026", chart: []string{
		med("MedicationStatement", "w", "855350", `,"status":"active","effectivePeriod":{"start":"2026-02-01"}`)},
		ask: `fhir.days_taken({"set": "warfarin"})`, want: "28 to 29 days"}, 32)
	_ = example("fhir.overlap", golden{given: "warfarin ordered, no NSAID", chart: onWarfarin,
		ask: `fhir.overlap({"set": "warfarin", "with": "nsaid", "washout": "P14D"})`, want: "false"}, 32)
	_ = example("fhir.renal_replacement", golden{given: "nothing on record",
		ask:  `fhir.renal_replacement({"within": "P30D"})`,
		want: "false"}, 42)
	_ = example("fhir.pregnancy_status", golden{given: "a woman of 28, stated to be pregnant ten days ago",
		chart: []string{
			person("1998-01-01", "female"), labResult("p", "82810-3", "2026-02-20", `"valueCodeableConcept":{"coding":[{`+
				`"system":"http://snomed.info/sct","code":"77386006"}]}`)},
		ask: `fhir.pregnancy_status({"status": "pregnant", "negative_within": "P7D"})`, want: "true"}, 41)
	_ = example("fhir.childbearing_potential", golden{given: "a woman of 65", chart: []string{woman},
		ask: `fhir.childbearing_potential({"min_age": "P12Y", "max_age": "P50Y"})`, want: "false"}, 41)
)
