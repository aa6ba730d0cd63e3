package chart

import (
	"slices"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

const warfarin = `"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm",` +
	`"code":"855350"}]}`

// TestExposure asks each statement, at the call of 2 March 2026: is it taken
// now, was it in the last 14 days, did it start in the last 14 days.
func TestExposure(t *testing.T) {
	grace := dates.Duration{Days: 30}
	supply := func(authored, days, repeats string) string {
		return `"status":"active","intent":"order","authoredOn":"` + authored +
			`","dispenseRequest":{"expectedSupplyDuration":{"value":` + days +
			`,"unit":"days"},"numberOfRepeatsAllowed":` + repeats + `}`
	}
	courses := map[string]string{}
	for n, course := range map[string]string{
		"in days": `"boundsDuration":{"value":10,"code":"d","system":"http://unitsofmeasure.org"}`,
		"a range": `"boundsRange":{"low":{"value":5,"unit":"d"},"high":{"value":10,"unit":"d"}}`,
	} {
		courses[n] = `"status":"active","authoredOn":"2026-02-15","dosageInstruction":[{"timing":{"repeat":{` +
			`` + course +
			`}}}]`
	}
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
			"true true false", ""},
		{"self-reported plan", "MedicationRequest", `"status":"active","intent":"plan","reportedBoolean":true`,
			"true true unknown", ""},
		{"active, ten days of 2008", "MedicationRequest", supply("2008-01-06", "10", "0"), "unknown unknown false",
			"supply-ended, quiet"},
		{"active, supply ended ten days ago", "MedicationRequest", supply("2026-01-21", "30", "0"),
			"unknown true false", "supply-ended"},
		{"active, supply ended 31 days ago", "MedicationRequest", supply("2025-12-30", "30", "0"),
			"unknown unknown false", "supply-ended, quiet"},
		{"active, supply ended 16 days before the window", "MedicationRequest", supply("2026-01-03", "30", "0"),
			"unknown unknown false", "supply-ended"},
		{"active, refills reach until today", "MedicationRequest", supply("2025-11-21", "30", "3"), "true true false",
			""},
		{"active, refills nobody can count", "MedicationRequest", supply("2026-01-21", "30", `"two"`),
			"unknown true false", "supply-ended"},
		{"active, supply of a month nobody can date", "MedicationRequest", supply("2026-01", "30", "0"),
			"true true false", ""},
		{"active, no date of the supply", "MedicationRequest",
			`"status":"active","dispenseRequest":{"expectedSupplyDuration":{"value":10,"unit":"d"}}`,
			"true true unknown", ""},
		{"active, plan ended", "MedicationRequest", `"status":"active",` + bounds("2024-01-01", "2024-02-01"),
			"false false false", ""},
		{"active, plan ended ten days ago", "MedicationRequest", `"status":"active",` +
			bounds("2025-01-01", "2026-02-20"), "false true false", ""},
		{"active, one of two instructions ended", "MedicationRequest",
			`"status":"active","authoredOn":"2024-01-01","dosageInstruction":[{"timing":{"repeat":{"boundsPeriod":{` +
				`"end":"2024-02-01"}}}},{"text":"then 1 daily"}]`,
			"true true false", ""},
		{"active, may no longer be handed out", "MedicationRequest",
			`"status":"active","authoredOn":"2025-01-01","dispenseRequest":{"validityPeriod":{"start":"2025-01-01",` +
				`"end":"2025-12-01"}}`,
			"false false false", ""},
		{"active, handed out last ten days ago for 30", "MedicationRequest",
			`"status":"active","authoredOn":"2025-02-20","dispenseRequest":{"validityPeriod":{"end":"2026-02-20"},` +
				`"numberOfRepeatsAllowed":12,"expectedSupplyDuration":{"value":30,"unit":"d"}}`,
			"true true false", ""},
		{"active, effective period of R5 ended", "MedicationRequest",
			`"status":"active","effectiveDosePeriod":{"start":"2025-01-01",` +
				`"end":"2025-12-01"}`, "false false false", ""},
		{"active, a course in days", "MedicationRequest", courses["in days"], "unknown true false", "supply-ended"},
		{"active, a course of a range", "MedicationRequest", courses["a range"], "unknown true false",
			"supply-ended"},
		{"on hold, ten days of 2008", "MedicationRequest", strings.Replace(supply("2008-01-06", "10", "0"), "active",
			"on-hold", 1), "unknown unknown false", "supply-ended, quiet"},
		{"completed, ten days of 2008", "MedicationRequest", strings.Replace(supply("2008-01-06", "10", "0"), "active",
			"completed", 1), "false false false", ""},
		{"completed, supply ended ten days ago", "MedicationRequest", strings.Replace(supply("2026-01-21", "30", "0"),
			"active", "completed", 1), "unknown true false", "supply-ended"},
		{"stopped, ten days of 2008", "MedicationRequest", strings.Replace(supply("2008-01-06", "10", "0"), "active",
			"stopped", 1), "false false false", ""},
		{"forbidden by a string", "MedicationRequest", `"status":"active","doNotPerform":"true"`, "none", ""},
		{"forbidden by nobody knows what", "MedicationRequest", `"status":"active","doNotPerform":7`,
			"unknown unknown unknown", "wrong-status"},
		{"proposal", "MedicationRequest", `"status":"active","intent":"proposal"`, "none", ""},
		{"must not be given", "MedicationRequest", `"status":"active","doNotPerform":true`, "none", ""},
		{"draft of elsewhere", "MedicationRequest", `"status":"draft","intent":"order"`, "none", ""},
		{"entered in error", "MedicationRequest", `"status":"entered-in-error","intent":"order"`, "none", ""},
		{"stopped 20 days ago", "MedicationRequest", `"status":"stopped",` + bounds("2025-01-01", "2026-02-10"),
			"false false false", ""},
		{"stopped 10 days ago", "MedicationRequest", `"status":"stopped",` + bounds("2025-01-01", "2026-02-20"),
			"false true false", ""},
		{"stopped this or last month", "MedicationRequest",
			`"status":"stopped","authoredOn":"2025","dosageInstruction":[{"timing":{"repeat":{"boundsPeriod":{` +
				`"end":"2026-02"}}}}]`, "false unknown false", "precision-insufficient"},
		{"stopped, written a year ago", "MedicationRequest",
			`"status":"stopped","authoredOn":"2025-01-10","meta":{"lastUpdated":"2025-02-28T10:00:00Z"}`,
			"false false false", ""},
		{"stopped, planned until later, written a year ago", "MedicationRequest",
			`"status":"stopped","meta":{"lastUpdated":"2025-02-28T10:00:00Z"},` + bounds("2025-01-01", "2027-01-01"),
			"false false false", ""},
		{"stopped, written ten days ago", "MedicationRequest",
			`"status":"stopped","authoredOn":"2025-01-10","meta":{"lastUpdated":"2026-02-20T10:00:00Z"}`,
			"false unknown false", "precision-insufficient"},
		{"stopped, changed ten days ago", "MedicationRequest",
			`"status":"stopped","authoredOn":"2025-01-10","statusChanged":"2026-02-20"`, "false true false", ""},
		{"active, written a year ago", "MedicationRequest",
			`"status":"active","authoredOn":"2025-01-10","meta":{"lastUpdated":"2025-02-28T10:00:00Z"}`,
			"true true false", ""},
		{"stopped, nobody knows when", "MedicationRequest", `"status":"stopped","authoredOn":"2025"`,
			"false unknown false", "precision-insufficient"},
		{"stopped, begun lately", "MedicationRequest", `"status":"stopped","authoredOn":"2026-02-25"`,
			"false true true", ""},
		{"stopped before its planned end", "MedicationRequest", `"status":"stopped",` +
			bounds("2025-01-01", "2026-12-31"), "false unknown false", "precision-insufficient"},
		{"completed with end", "MedicationRequest", `"status":"completed",` + bounds("2025-01-01", "2026-01-01"),
			"false false false", ""},
		{"completed without end", "MedicationRequest", `"status":"completed","authoredOn":"2025-01-01"`,
			"false unknown false", "precision-insufficient"},
		{"completed lately without end", "MedicationRequest", `"status":"completed","authoredOn":"2026-01-01"`,
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
			`"status":"completed","dispenseRequest":{"validityPeriod":{"start":"2025-01-01","end":"2025-12-10"},` +
				`"expectedSupplyDuration":{"value":90,` +
				`"unit":"d"}}`, "unknown unknown false", "precision-insufficient"},
		{"completed, supplied for 30 days after", "MedicationRequest",
			`"status":"completed","dispenseRequest":{"validityPeriod":{"start":"2025-01-01","end":"2025-12-10"},` +
				`"expectedSupplyDuration":{"value":30,"unit":"d"}}`, "false false false", ""},
		{"on hold", "MedicationRequest", `"status":"on-hold","authoredOn":"2026-02-25"`, "unknown unknown unknown",
			"wrong-status"},
		{"no status", "MedicationRequest", `"intent":"order"`, "unknown unknown unknown", "wrong-status"},
		{"status of a wrong type", "MedicationRequest", `"status":7`, "unknown unknown unknown", "wrong-status"},
		{"statement active", "MedicationStatement", `"status":"active","effectivePeriod":{"start":"2024"}`,
			"true true false", ""},
		{"statement active, of one time", "MedicationStatement", `"status":"active","effectiveDateTime":"2024-05-01"`,
			"true true false", ""},
		{"statement completed, of one time", "MedicationStatement",
			`"status":"completed","effectiveDateTime":"2024-05-01"`, "false false false", ""},
		{"statement of R5, taking", "MedicationStatement",
			`"status":"recorded","adherence":{"code":{"coding":[{` +
				`"system":"http://hl7.org/fhir/CodeSystem/medication-statement-adherence",` +
				`"code":"taking-not-as-directed"}]}}`,
			"true true unknown", ""},
		{"statement of R5, not taking", "MedicationStatement",
			`"status":"recorded","adherence":{"code":{"coding":[{` +
				`"system":"http://hl7.org/fhir/CodeSystem/medication-statement-adherence","code":"not-taking"}]}}`,
			"none", ""},
		{"statement of R5, stopped", "MedicationStatement",
			`"status":"recorded","effectivePeriod":{"start":"2024","end":"2025"},"adherence":{"code":{"coding":[{` +
				`"code":"stopped"}]}}`,
			"false false false", ""},
		{"statement of R5, adherence in words", "MedicationStatement",
			`"status":"recorded","adherence":{"code":{` +
				`"text":"now and then"}}`, "unknown unknown unknown", "wrong-status"},
		{"statement of R5, since 2024", "MedicationStatement",
			`"status":"recorded","effectivePeriod":{"start":"2024"}`, "true true false", ""},
		{"statement of R5, over", "MedicationStatement",
			`"status":"recorded","effectivePeriod":{"start":"2024","end":"2025"}`, "false false false", ""},
		{"statement of R5, nobody knows when", "MedicationStatement", `"status":"recorded"`, "unknown unknown unknown",
			"wrong-status"},
		{"statement of STU3, not taken", "MedicationStatement", `"status":"active","taken":"n"`, "none", ""},
		{"statement of STU3, perhaps taken", "MedicationStatement", `"status":"active","taken":"unk"`,
			"unknown unknown unknown", "wrong-status"},
		{"statement of STU3, taken", "MedicationStatement", `"status":"active","taken":"y"`, "true true unknown", ""},
		{"statement of DSTU2, not taken", "MedicationStatement", `"status":"active","wasNotTaken":true`, "none", ""},
		{"administration of STU3, not given", "MedicationAdministration",
			`"status":"completed","notGiven":true,"effectiveDateTime":"2026-03-02T08:00:00Z"`, "none", ""},
		{"administration of DSTU2, not given", "MedicationAdministration",
			`"status":"completed","wasNotGiven":"true","effectiveTimeDateTime":"2026-03-02T08:00:00Z"`, "none", ""},
		{"administration of STU3, given", "MedicationAdministration",
			`"status":"completed","notGiven":false,"effectiveDateTime":"2026-03-02T08:00:00Z"`, "true true true", ""},
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
			`"status":"completed","whenHandedOver":"2025-11-23","daysSupply":{"value":90,"code":"d",` +
				`"system":"http://unitsofmeasure.org"}`, "unknown true false",
			"supply-ended"},
		{"dispensed 110 days ago for 180", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2025-11-12","daysSupply":{"value":180,"unit":"days"}`,
			"true true false", ""},
		{"dispensed a year ago for 90", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2025-03-02","daysSupply":{"value":90,"unit":"days"}`,
			"false false false", ""},
		{"dispensed 20 days ago, nobody knows for how long", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2026-02-10"`, "unknown unknown false", "precision-insufficient"},
		{"dispensed 101 days ago, nobody knows for how long", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2025-11-21"`, "false unknown false", "supply-ended, quiet"},
		{"dispensed a year ago, nobody knows for how long", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2025-03-02"`, "false false false", ""},
		{"dispensed for weeks", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2025-11-23","daysSupply":{"value":9,"unit":"wk"}`,
			"false unknown false", "supply-ended"},
		{"dispensed for tablets", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2026-01-23","daysSupply":{"value":9,"unit":"tablets"}`,
			"unknown unknown false", "precision-insufficient"},
		{"dispensed, supply unknown", "MedicationDispense",
			`"status":"completed","whenHandedOver":"2026-02-25T10:00:00Z"`, "unknown true true",
			"precision-insufficient"},
		{"prepared long ago, handed over nobody knows when", "MedicationDispense",
			`"status":"completed","whenPrepared":"2025-02-25","whenHandedOver":"2026-02-25T10:00:00+0000",` +
				`"daysSupply":{"value":30,"unit":"d"}`, "unknown unknown unknown", "precision-insufficient"},
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
			now, why := e.Now(grace)
			during, then := e.During(from, callTime, grace)
			started, _ := e.StartedDuring(from, callTime)
			got := strings.Join([]string{now.String(), during.String(), started.String()}, " ")
			if got != tt.want {
				t.Errorf("got %s, want %s (%v .. %v, %v)", got, tt.want, e.Start, e.End, e.Supply)
			}
			if now != fact.Unknown {
				why = then
			}
			reason := codes(why)
			if fact.Quiet(why) {
				reason += ", quiet"
			}
			if reason != tt.reason {
				t.Errorf("reasons %v, want %q", why, tt.reason)
			}
			if !e.Drug.Identified() || e.Drug.Ingredients[0].Display != "warfarin" {
				t.Errorf("drug = %+v", e.Drug)
			}
		})
	}
}

// TestStoppedLater holds that a statement which says that the drug of an order is not
// taken any more ends it, if it is later than the order.
func TestStoppedLater(t *testing.T) {
	for _, tt := range []struct{ name, statement, want string }{
		{"stopped", `"status":"stopped","basedOn":[{"reference":"MedicationRequest/o"}],"dateAsserted":"2026-02-20",` +
			`"effectivePeriod":{"start":"2025-01-01","end":"2026-02-10"}`, "false false"},
		{"stopped inside the window", `"status":"stopped","basedOn":[{"reference":"MedicationRequest/o"}],` +
			`"effectivePeriod":{"start":"2025-01-01","end":"2026-02-20"}`, "false true"},
		{"not taken, derived from the order", `"status":"not-taken","derivedFrom":[{"reference":"MedicationRequest/o"}],` +
			`"dateAsserted":"2026-01-20"`, "false false"},
		{"asserted before the order", `"status":"stopped","basedOn":[{"reference":"MedicationRequest/o"}],` +
			`"dateAsserted":"2024-12-20"`, "true true"},
		{"nobody knows when", `"status":"not-taken","basedOn":[{"reference":"MedicationRequest/o"}]`, "true true"},
		{"about another order", `"status":"stopped","basedOn":[{"reference":"MedicationRequest/x"}],` +
			`"dateAsserted":"2026-02-20"`, "true true"},
		{"still taken", `"status":"active","basedOn":[{"reference":"MedicationRequest/o"}],"dateAsserted":"2026-02-20"`,
			"true true"},
	} {
		c := chartOf(t, `{}`, `{"meds":`+bundle(
			`{"resourceType":"MedicationStatement","id":"s",`+warfarin+`,`+tt.statement+`}`,
			`{"resourceType":"MedicationRequest","id":"o","status":"active","authoredOn":"2025-01-01",`+warfarin+`}`)+`}`)
		list := c.Exposures()
		i := slices.IndexFunc(list, func(e *Exposure) bool { return e.ID == "o" })
		grace := dates.Duration{Days: 30}
		now, _ := list[i].Now(grace)
		during, _ := list[i].During(callTime.AddDate(0, 0, -14), callTime, grace)
		if got := now.String() + " " + during.String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
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
