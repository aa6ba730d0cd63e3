package chart

import (
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

var thirtyDays = dates.Duration{Days: 30}

// modified are ways in which a resource says that it must be understood.
var modified = []string{
	`"modifierExtension":[{"url":"http://x.example/not","valueBoolean":true}]`,
	`"modifierExtension":{"url":"http://x.example/not"}`, `"modifierExtension":[null]`, `"modifierExtension":7`,
	`"implicitRules":"http://x.example/rules"`, `"\u006dodifierExtension":[{"url":"u"}]`,
	`"dosageInstruction":[{"modifierExtension":[{"url":"u"}]}]`,
	`"dosageInstruction":[{"timing":{"repeat":{},"modifierExtension":[{"url":"u"}]}}]`,
	`"dosageInstruction":[{"text":"\u006d","\u006dodifierExtension":[{"url":"u"}]}]`,
	`"dosage":[{"doseAndRate":[{"modifierExtension":[{"url":"u"}]}]}]`, `"dosage":{"modifierExtension":[{"url":"u"}]}`,
	`"dispenseRequest":{"initialFill":{"modifierExtension":[{"url":"u"}]}}`,
	`"component":[{},{"modifierExtension":[{"url":"u"}]}]`, `"referenceRange":[{"modifierExtension":[{"url":"u"}]}]`,
	`"reaction":[{"modifierExtension":[{"url":"u"}]}]`, `"ingredient":[{"modifierExtension":[{"url":"u"}]}]`,
	`"protocolApplied":[{"modifierExtension":[{"url":"u"}]}]`, `"hospitalization":{"modifierExtension":[{"url":"u"}]}`,
	`"adherence":{"modifierExtension":[{"url":"u"}]}`, `"substitution":{"modifierExtension":[{"url":"u"}]}`,
}

// unmodified are ways that say nothing of the kind.
var unmodified = []string{
	`"modifierExtension":[]`, `"modifierExtension":null`, `"implicitRules":null`, `"implicitRules":""`,
	`"extension":[{"url":"http://x.example/modifierExtension"}]`, `"language":"modifierExtension"`,
	`"dosageInstruction":[{"text":"modifierExtension","modifierExtension":[]}]`,
	`"note":[{"text":"implicitRules"}]`, `"meta":{"security":[]}`,
	`"contained":[{"resourceType":"Practitioner","id":"x","modifierExtension":[{"url":"u"}]}]`,
	`"contact":[{"modifierExtension":[{"url":"u"}]}]`, // of a person that no rule reads about
}

// TestMustBeUnderstood holds for every type that what has content that must be
// understood is not read as if it had none.
func TestMustBeUnderstood(t *testing.T) {
	types := []string{"Observation", "Condition", "AllergyIntolerance", "Procedure", "Immunization", "Encounter",
		"Patient", "ServiceRequest", "CarePlan", "DiagnosticReport", "Device", "FamilyMemberHistory", "Medication",
		"MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration"}
	for _, typ := range types {
		for _, list := range [][]string{modified, unmodified} {
			for _, member := range list {
				resource := `{"resourceType":"` + typ + `","id":"p1","status":"active",` + warfarin +
					`,"subject":{"reference":"Patient/p1"},` + member + `}`
				c := chartOf(t, `{"patientId":"p1"}`, `{"a":`+bundle(resource)+`}`)
				understood := &list[0] == &unmodified[0]
				complete, reasons := c.Complete(typ)
				all := c.Resources(typ)
				switch exposure := strings.HasPrefix(typ, "Medication") && typ != "Medication"; {
				case understood && (len(all) != 1 || all[0].Doubt != "" || !complete):
					t.Errorf("%s with %s: doubted, %v", typ, member, reasons)
				case understood:
				case exposure && (len(all) != 1 || all[0].Doubt != fact.NotUnderstood):
					t.Errorf("%s with %s: not doubted", typ, member)
				case exposure:
					checkDoubted(t, c, fact.NotUnderstood)
				case len(all) != 0 || complete || codes(reasons) != "not-understood":
					t.Errorf("%s with %s: read, %v", typ, member, reasons)
				}
			}
		}
	}
}

// checkDoubted holds that the only exposure answers no question.
func checkDoubted(t *testing.T, c *Chart, why fact.Code) {
	t.Helper()
	list := c.Exposures()
	if len(list) != 1 {
		t.Fatalf("%d exposures", len(list))
	}
	e := list[0]
	from := callTime.AddDate(0, 0, -14)
	during, because := e.During(from, callTime, thirtyDays)
	started, _ := e.StartedDuring(from, callTime)
	now, _ := e.Now(thirtyDays)
	if e.Active != fact.Unknown || during != fact.Unknown || started != fact.Unknown || now != fact.Unknown ||
		codes(because) != string(why) || e.Drug.Name() == "" && len(e.Drug.Ingredients) == 0 {
		t.Errorf("%s: %v, %v, %v, %v, %v", e.JSON, e.Active, now, during, started, because)
	}
}

// TestModifiedEntries holds the same of what stands around a resource.
func TestModifiedEntries(t *testing.T) {
	const lab = `{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/p1"}}`
	for source, left := range map[string]int{
		`{"resourceType":"Bundle","entry":[{"resource":` + lab + `,"modifierExtension":[{"url":"u"}]}]}`:         1,
		`{"resourceType":"Bundle","entry":[{"modifierExtension":[],"resource":` + lab + `}]}`:                    0,
		`{"resourceType":"Bundle","entry":[{"resource":` + lab + `}],"implicitRules":"u"}`:                       1,
		`{"resourceType":"Bundle","implicitRules":"u","entry":[{"resource":` + lab + `}]}`:                       1,
		`{"resourceType":"Bundle","entry":[{"modifierExtension":[{"url":"u"}],"resource":` + bundle(lab) + `}]}`: 1,
	} {
		c := chartOf(t, `{"patientId":"p1"}`, `{"a":`+source+`}`)
		complete, _ := c.Complete("Observation")
		if list, _ := c.LeftOut(9, "Observation"); len(list) != left || complete != (left == 0) ||
			len(c.Resources("Observation"))+left != 1 {
			t.Errorf("%s: left out %v, complete %v", source, list, complete)
		}
	}
}

// TestModifiedMedication holds that a drug whose Medication is not understood is not
// identified, and says why.
func TestModifiedMedication(t *testing.T) {
	const med = `{"resourceType":"Medication","id":"m",` +
		`"code":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"11289"}]},` +
		`"modifierExtension":[{"url":"u"}]}`
	const order = `{"resourceType":"MedicationRequest","id":"1","status":"active",` +
		`"subject":{"reference":"Patient/p1"},` +
		`"medicationReference":{"reference":"`
	for name, tt := range map[string]struct{ prefetch, code string }{
		"beside it": {bundle(order+`Medication/m"}}`, med), "not-understood"},
		"contained": {bundle(order + `#m"},"contained":[` + med + `]}`), "not-understood"},
		"by a urn": {`{"resourceType":"Bundle","entry":[{"resource":` + order +
			`urn:uuid:1"}}},{"fullUrl":"urn:uuid:1","resource":` + med + `}]}`, "not-understood"},
		"not sent": {bundle(order + `Medication/x"}}`), "unresolved-reference"},
	} {
		c := chartOf(t, `{"patientId":"p1"}`, `{"a":`+tt.prefetch+`}`)
		if d := c.Exposures()[0].Drug; d.Identified() || string(d.Reason.Code) != tt.code {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestNegations holds that what did not happen is no event, in every version of
// FHIR, and that what may not have happened is not taken for one.
func TestNegations(t *testing.T) {
	const (
		event = "event"
		none  = "none"
		open  = "open"
	)
	for _, tt := range []struct{ typ, members, want string }{
		{"MedicationStatement", `"status":"active","taken":"y"`, event},
		{"MedicationStatement", `"status":"active","taken":"n"`, none},
		{"MedicationStatement", `"status":"active","taken":"unk"`, open},
		{"MedicationStatement", `"status":"active","taken":"na"`, event}, // nobody reports on it
		{"MedicationStatement", `"status":"active","taken":"N"`, open},
		{"MedicationStatement", `"status":"active","taken":false`, open},
		{"MedicationStatement", `"status":"active","taken":null`, event},
		{"MedicationStatement", `"status":"active","wasNotTaken":true`, none},
		{"MedicationStatement", `"status":"active","wasNotTaken":"true"`, none},
		{"MedicationStatement", `"status":"active","wasNotTaken":false`, event},
		{"MedicationStatement", `"status":"active","wasNotTaken":"unknown"`, open},
		{"MedicationStatement", `"status":"active","taken":"unk","wasNotTaken":true`, none},
		{"MedicationStatement", `"status":"recorded","adherence":{"code":{"coding":[{"code":"not-taking"}]}}`, none},
		{"MedicationStatement", `"status":"active","reasonNotTaken":[{"text":"nausea"}]`, open},
		{"MedicationStatement", `"status":"active","statusReason":[{"text":"lost the tablets"}]`, open},
		{"MedicationStatement", `"status":"active","statusReason":[]`, event},
		{"MedicationRequest", `"status":"active","doNotPerform":true`, none},
		{"MedicationRequest", `"status":"active","doNotPerform":"true"`, none},
		{"MedicationRequest", `"status":"active","doNotPerform":"false"`, event},
		{"MedicationRequest", `"status":"active","doNotPerform":"TRUE"`, open},
		{"MedicationRequest", `"status":"active","doNotPerform":1`, open},
		{"MedicationRequest", `"status":"active","statusReason":{"text":"surgery"}`, open},
		{"MedicationAdministration", `"status":"completed","notGiven":true`, none},
		{"MedicationAdministration", `"status":"completed","wasNotGiven":true`, none},
		{"MedicationAdministration", `"status":"completed","reasonNotGiven":[{"text":"asleep"}]`, open},
		{"MedicationAdministration", `"status":"in-progress","statusReason":[{"text":"vomiting"}]`, open},
		{"MedicationDispense", `"status":"completed","statusReasonCodeableConcept":{"text":"out of stock"}`, open},
		{"Immunization", `"status":"completed","notGiven":true`, none},
		{"Immunization", `"status":"completed","wasNotGiven":false`, event},
		{"Immunization", `"status":"completed","wasNotGiven":"perhaps"`, open},
		{"Immunization", `"status":"completed","statusReason":{"text":"refused"}`, open},
		{"Immunization", `"status":"not-done","statusReason":{"text":"refused"}`, event}, // its reader reads the status
		{"Procedure", `"status":"completed","notDone":true`, none},
		{"Procedure", `"status":"completed","notPerformed":true`, none},
		{"Procedure", `"status":"completed","notDone":"x"`, open},
		{"ServiceRequest", `"status":"active","doNotPerform":"true"`, none},
		{"ServiceRequest", `"status":"active","statusReason":{"text":"x"}`, event},
	} {
		c := chartOf(t, `{"patientId":"p1"}`, `{"a":`+bundle(`{"resourceType":"`+tt.typ+`","id":"1",`+warfarin+
			`,"subject":{"reference":"Patient/p1"},`+tt.members+`}`)+`}`)
		complete, _ := c.Complete(tt.typ)
		all := c.Resources(tt.typ)
		got := event
		switch {
		case len(all) == 0 && complete:
			got = none
		case !complete || all[0].Doubt != "":
			got = open
		}
		if got != tt.want {
			t.Errorf("%s with %s: %s, want %s", tt.typ, tt.members, got, tt.want)
		}
		if got == open && len(all) == 1 {
			checkOpen(t, c)
		}
	}
}

// checkOpen holds that the only exposure is not said to be taken or not.
func checkOpen(t *testing.T, c *Chart) {
	t.Helper()
	list := c.Exposures()
	if len(list) != 1 {
		t.Fatalf("%d exposures", len(list))
	}
	if now, _ := list[0].Now(thirtyDays); now != fact.Unknown || list[0].Active != fact.Unknown {
		t.Errorf("%s: taken now %v", list[0].JSON, now)
	}
}

// TestStatusCodings holds that a status is read from the coding of FHIR's system,
// wherever it stands.
func TestStatusCodings(t *testing.T) {
	const system = `"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status"`
	for value, want := range map[string]string{
		`null`: "", `"refuted"`: "refuted", `"nonsense"`: Unreadable,
		`{"coding":[{"system":"urn:oid:1.2.3","code":"E"},{` + system + `,"code":"refuted"}]}`: "refuted",
		`{"coding":[{` + system + `,"code":"refuted"},{"system":"urn:oid:1.2.3","code":"E"}]}`: "refuted",
		`{"coding":[{"system":"http://hl7.org/fhir/condition-ver-status","code":"refuted"}]}`:  "refuted",
		// a plain code has no system either
		`{"coding":[{"code":"refuted"}]}`:                                                    "refuted",
		`{"coding":[{"code":"E"},{` + system + `,"code":"refuted"}]}`:                        "refuted",
		`{"coding":[{"system":"urn:oid:1.2.3","code":"refuted"}]}`:                           Unreadable,
		`{"coding":[{"code":"E"}]}`:                                                          Unreadable,
		`{"text":"refuted"}`:                                                                 Unreadable,
		`{"coding":[{` + system + `,"code":"refuted"},{` + system + `,"code":"confirmed"}]}`: Unreadable,
		`{"coding":[{` + system + `,"code":"made-up"}]}`:                                     Unreadable,
		`7`: Unreadable, `{}`: "",
	} {
		c := chartOf(t, `{}`, `{"a":`+bundle(`{"resourceType":"Condition","id":"1",`+
			`"verificationStatus":`+value+`}`)+`}`)
		if got := c.Condition(c.Resources("Condition")[0]).Verification; got != want {
			t.Errorf("%s is %q, want %q", value, got, want)
		}
	}
}
