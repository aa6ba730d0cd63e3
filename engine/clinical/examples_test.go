package clinical

import "github.com/precept-cds/precept/engine/chart"

// The sets of these examples.
var (
	_ = testSet("creatinine", "observation", "http://loinc.org|2160-0")
	_ = testSet("penicillins", "substance", chart.RxNorm+"|723", chart.SNOMED+"|764146007")
	_ = testSet("aminopenicillins", "medication", chart.RxNorm+"|723", chart.RxNorm+"|733")
	_ = testSet("dialysis", "procedure", chart.SNOMED+"|302497006")
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
	_ = example("fhir.location", golden{given: "no encounter in the call", ask: `fhir.location({"kind": "intensive-care"})`,
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
