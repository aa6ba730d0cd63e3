package clinical

import (
	"testing"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Questions about orders and what is taken, as rules write them.
var (
	_ = testSet("by_mouth", vocab.KindRoute, "http://snomed.info/sct|26643006")

	tabletsOrdered = []string{draftOrder("d", ibuprofenCode, `,"dosageInstruction":[{"asNeededBoolean":true}]`)}
	bothTaken      = []string{request("1", warfarinCode, `,"authoredOn":"2026-02-15T15:00:00Z"`),
		request("2", naproxenCode, "")}

	exposureExamples = []golden{
		{given: "a draft of ibuprofen tablets", drafts: tabletsOrdered, ask: `fhir.systemic(fhir.order())`, want: "true"},
		{given: "a draft of ibuprofen tablets", drafts: tabletsOrdered,
			ask: `fhir.route_in({"set": "by_mouth"}, fhir.order())`, want: "true"},
		{given: "to be taken as needed", drafts: tabletsOrdered, ask: `fhir.as_needed(fhir.order())`, want: "true"},
		{given: "the draft was just selected", drafts: tabletsOrdered,
			change: func(in *chart.Inputs) { in.Request.Selections = []string{"MedicationRequest/d"} },
			ask:    `fhir.selected(fhir.order())`, want: "true"},
		{given: "a draft of ibuprofen, and nothing else", drafts: tabletsOrdered,
			ask: `fhir.drafted({"set": "warfarin"})`, want: "false"},
		{given: "a draft of ibuprofen", drafts: tabletsOrdered, ask: `fhir.ingredient_count(fhir.order())`, want: "1"},
		{given: "a draft of ibuprofen, and naproxen taken", drafts: tabletsOrdered, chart: bothTaken,
			ask: `fhir.same_class({"set": "nsaid"})`, want: "true"},
		{given: "warfarin and naproxen taken", chart: bothTaken, ask: `fhir.drug_count({})`, want: "2"},
		{given: "warfarin ordered on 15 February", chart: bothTaken,
			ask: `fhir.days_taken({"set": "warfarin"})`, want: "15 days"},
		{given: "warfarin and naproxen taken", chart: bothTaken,
			ask: `fhir.overlap({"set": "warfarin", "with": "nsaid", "washout": "P5D"})`, want: "true"},
	}
)

func TestExposureExamples(t *testing.T) {
	answersOf(t, exposureExamples)
	answersOf(t, []golden{
		{given: "not selected", drafts: tabletsOrdered,
			change: func(in *chart.Inputs) { in.Request.Selections = []string{"MedicationRequest/x"} },
			ask:    `fhir.selected(fhir.order())`, want: "false"},
		{given: "on the skin", drafts: []string{draftOrder("d", "3355", v3Route+`SKIN"}]}}]`)},
			ask: `fhir.route_in({"set": "by_mouth"}, fhir.order())`, want: "false"},
		{given: "another code that leads there", drafts: []string{draftOrder("d", "3355", v3Route+`PO"}]}}]`)},
			ask: `fhir.route_in({"set": "by_mouth"}, fhir.order())`, want: "true"},
		{given: "no route", drafts: []string{draftOrder("d", "3355", "")},
			ask:  `fhir.route_in({"set": "by_mouth"}, fhir.order())`,
			want: "unknown: no-data (route or form of the ordered medication)"},
	})
}
