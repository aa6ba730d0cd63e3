package chart

import (
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/fact"
)

const warfarin = `"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"855350"}]}`

// TestExposure asks each statement, at the call of 2 March 2026: is it taken
// now, was it in the last 14 days, did it start in the last 14 days.
func TestExposure(t *testing.T) {
	bounds := func(start, end string) string {
		return `"dosageInstruction":[{"timing":{"repeat":{"boundsPeriod":{"start":"` + start + `","end":"` + end +
			`"}}}}]`
	}
	for _, tt := range []struct {
		name, typ, rest string
		want            string // active, during, started; "none" if it is not an exposure
		reason          string
	}{
		{"active order", "MedicationRequest", `"status":"active","intent":"order","authoredOn":"2020"`,
			"true true true", ""},
		{"self-reported plan", "MedicationRequest", `"status":"active","intent":"plan","reportedBoolean":true`,
			"true true true", ""},
		{"proposal", "MedicationRequest", `"status":"active","intent":"proposal"`, "none", ""},
		{"must not be given", "MedicationRequest", `"status":"active","doNotPerform":true`, "none", ""},
		{"draft of elsewhere", "MedicationRequest", `"status":"draft","intent":"order"`, "none", ""},
		{"entered in error", "MedicationRequest", `"status":"entered-in-error","intent":"order"`, "none", ""},
		{"stopped 20 days ago", "MedicationRequest", `"status":"stopped",` + bounds("2025-01-01", "2026-02-10"),
			"false false false", ""},
		{"stopped 10 days ago", "MedicationRequest", `"status":"stopped",` + bounds("2025-01-01", "2026-02-20"),
			"false true false", ""},
		{"stopped this or last month", "MedicationRequest",
			`"status":"stopped","authoredOn":"2025","dosageInstruction":[{"timing":{"repeat":{"boundsPeriod":{"end":"2026-02"}}}}]`, "false unknown false", "precision-insufficient"},
		{"stopped, nobody knows when", "MedicationRequest", `"status":"stopped","authoredOn":"2025"`,
			"false unknown false", "precision-insufficient"},
		{"stopped, begun lately", "MedicationRequest", `"status":"stopped","authoredOn":"2026-02-25"`,
			"false true true", ""},
		{"stopped before its planned end", "MedicationRequest", `"status":"stopped",` +
			bounds("2025-01-01", "2026-12-31"), "false unknown false", "precision-insufficient"},
		{"completed with end", "MedicationRequest", `"status":"completed",` + bounds("2025-01-01", "2026-01-01"),
			"false false false", ""},
		{"completed without end", "MedicationRequest", `"status":"completed","authoredOn":"2025-01-01"`,
			"unknown unknown false", "precision-insufficient"},
		{"completed, to end later", "MedicationRequest", `"status":"completed",` + bounds("2025-01-01", "2026-05-01"),
			"unknown true false", "ambiguous"},
		{"cancelled with end", "MedicationRequest", `"status":"cancelled",` + bounds("2025-01-01", "2025-02-01"),
			"false false false", ""},
		{"stopped, no longer handed out", "MedicationRequest",
			`"status":"stopped","dispenseRequest":{"validityPeriod":{"start":"2025-01-01","end":"2025-12-01"}}`,
			"false unknown false", "precision-insufficient"},
		{"completed, no longer handed out", "MedicationRequest",
			`"status":"completed","dispenseRequest":{"validityPeriod":{"start":"2025-01-01","end":"2025-12-01"}}`,
			"unknown unknown false", "precision-insufficient"},
		{"completed, supplied for 90 days after", "MedicationRequest",
			`"status":"completed","dispenseRequest":{"validityPeriod":{"start":"2025-01-01","end":"2025-12-10"},"expectedSupplyDuration":{"value":90,"unit":"d"}}`, "unknown unknown false", "precision-insufficient"},
		{"completed, supplied for 30 days after", "MedicationRequest",
			`"status":"completed","dispenseRequest":{"validityPeriod":{"start":"2025-01-01","end":"2025-12-10"},"expectedSupplyDuration":{"value":30,"unit":"d"}}`, "false false false", ""},
		{"on hold", "MedicationRequest", `"status":"on-hold","authoredOn":"2026-02-25"`, "unknown unknown unknown",
			"wrong-status"},
		{"no status", "MedicationRequest", `"intent":"order"`, "unknown unknown unknown", "wrong-status"},
		{"status of a wrong type", "MedicationRequest", `"status":7`, "unknown unknown unknown", "wrong-status"},
		{"statement active", "MedicationStatement", `"status":"active","effectivePeriod":{"start":"2024"}`,
			"true true true", ""},
		{"statement active, ended", "MedicationStatement",
			`"status":"active","effectivePeriod":{"start":"2024","end":"2025-12-31"}`, "unknown false false",
			"ambiguous"},
		{"statement not taken", "MedicationStatement", `"status":"not-taken"`, "none", ""},
		{"statement completed", "MedicationStatement",
			`"status":"completed","effectivePeriod":{"start":"2024","end":"2026-02-25"}`, "false true false", ""},
		{"statement intended", "MedicationStatement", `"status":"intended"`, "unknown unknown unknown",
			"wrong-status"},
		{"dispensed 10 days ago for 30", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2026-02-20","daysSupply":{"value":30,"unit":"days"}`,
			"true true true", ""},
		{"dispensed 99 days ago for 90", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2025-11-23","daysSupply":{"value":90,"code":"d","system":"http://unitsofmeasure.org"}`, "false true false", ""},
		{"dispensed for weeks", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2025-11-23","daysSupply":{"value":9,"unit":"wk"}`,
			"unknown unknown false", "precision-insufficient"},
		{"dispensed, supply unknown", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2026-02-25T10:00:00Z"`, "unknown true true",
			"precision-insufficient"},
		{"prepared long ago, handed over nobody knows when", "MedicationDispense",
			`"status":"completed","whenPrepared":"2025-02-25","whenHandedOver":"2026-02-25T10:00:00+0000","daysSupply":{"value":30,"unit":"d"}`, "unknown unknown unknown", "precision-insufficient"},
		{"declined", "MedicationDispense", `"status":"declined"`, "none", ""},
		{"in preparation", "MedicationDispense", `"status":"preparation"`, "unknown unknown unknown", "wrong-status"},
		{"given this morning", "MedicationAdministration",
			`"status":"completed","effectiveDateTime":"2026-03-02T08:00:00Z"`, "true true true", ""},
		{"given two days ago", "MedicationAdministration",
			`"status":"completed","effectiveDateTime":"2026-02-28T08:00:00Z"`, "false true true", ""},
		{"given in january", "MedicationAdministration",
			`"status":"completed","effectivePeriod":{"start":"2026-01-01","end":"2026-01-02"}`, "false false false",
			""},
		{"given, nobody knows when", "MedicationAdministration", `"status":"completed"`, "unknown unknown unknown",
			"precision-insufficient"},
		{"infusion running", "MedicationAdministration",
			`"status":"in-progress","effectivePeriod":{"start":"2026-03-02T08:00:00Z"}`, "true true true", ""},
		{"not done", "MedicationAdministration", `"status":"not-done"`, "none", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, `{}`, `{"meds":`+bundle(`{"resourceType":"`+
				tt.typ+`","id":"x","category":{"text":"an object, not a list"},`+warfarin+`,`+tt.rest+`}`)+`}`)
			list := c.Exposures()
			if len(list) == 0 {
				if tt.want != "none" {
					t.Fatal("no exposure")
				}
				return
			}
			e := list[0]
			from := callTime.AddDate(0, 0, -14)
			during, why := e.During(from, callTime)
			started, _ := e.StartedDuring(from, callTime)
			got := strings.Join([]string{e.Active.String(), during.String(), started.String()}, " ")
			if got != tt.want {
				t.Errorf("got %s, want %s (%v .. %v)", got, tt.want, e.Start, e.End)
			}
			if e.Active == fact.Unknown {
				why = e.Reasons
			}
			if during == fact.Unknown && len(why) == 0 || codes(why) != tt.reason {
				t.Errorf("reasons %v, want %q", why, tt.reason)
			}
			if !e.Drug.Identified() || e.Drug.Ingredients[0].Display != "warfarin" {
				t.Errorf("drug = %+v", e.Drug)
			}
		})
	}
}

func TestDraftExposure(t *testing.T) {
	c := chartOf(t, `{"draftOrders":`+
		bundle(`{"resourceType":"MedicationRequest","id":"1","status":"draft",`+warfarin+`}`)+`}`,
		`{"meds":`+bundle(`{"resourceType":"MedicationRequest","id":"1","status":"active",`+warfarin+`}`,
			`{"resourceType":"MedicationDispense","id":"2","status":"completed",`+warfarin+
				`,"authorizingPrescription":[{"reference":"https://ehr.example/fhir/R4/MedicationRequest/1"}]}`)+`}`)
	list := c.Exposures()
	if len(list) != 2 || !list[0].Draft || list[0].Active != fact.True || list[0].Also[0] != "meds" {
		t.Fatalf("exposures = %+v", list)
	}
	if list[1].Draft || list[1].BasedOn[0] != "MedicationRequest/1" || !c.Orders()[0].Concerns(list[1].BasedOn[0]) {
		t.Errorf("dispense = %+v", list[1])
	}
}
