package chart

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/fact"
)

// resourceAbout writes a resource of a type whose member says whom it is about.
func resourceAbout(typ, member, value string) string {
	subject := ""
	if member != "" {
		subject = `,"` + member + `":` + value
	}
	return `{"resourceType":"` + typ + `","id":"1","status":"completed",` +
		`"code":{"coding":[{"system":"http://loinc.org","code":"98979-8"}]}` + subject + `}`
}

// members are the types that rules read, and the members in which the versions of
// FHIR say whom they are about.
var members = [][2]string{
	{"Observation", "subject"}, {"Condition", "subject"}, {"Condition", "patient"}, {"AllergyIntolerance", "patient"},
	{"MedicationRequest", "subject"}, {"MedicationStatement", "subject"}, {"MedicationStatement", "patient"},
	{"MedicationDispense", "subject"}, {"MedicationAdministration", "subject"}, {"MedicationAdministration", "patient"},
	{"Procedure", "subject"}, {"Immunization", "patient"}, {"Encounter", "subject"}, {"Encounter", "patient"},
	{"EpisodeOfCare", "patient"}, {"FamilyMemberHistory", "patient"}, {"Device", "patient"},
	{"DeviceUseStatement", "subject"},
	{"DiagnosticReport", "subject"}, {"ServiceRequest", "subject"}, {"CarePlan", "subject"}, {"Goal", "subject"},
	{"Specimen", "subject"}, {"Coverage", "beneficiary"}, {"Flag", "subject"}, {"DetectedIssue", "patient"},
	{"NutritionOrder", "patient"}, {"VisionPrescription", "patient"}, {"Task", "for"}, {"SupplyRequest", "deliverFor"},
	{"ResearchSubject", "individual"}, {"EnrollmentRequest", "candidate"}, {"Account", "subject"},
}

// TestWhose holds for every type that what is not shown to be this patient's is not
// read, and that its type is then incomplete, for that reason.
func TestWhose(t *testing.T) {
	for _, m := range members {
		for _, ref := range spellings {
			checkWhose(t, resourceAbout(m[0], m[1], `{"reference":"`+ref+`"}`), m[0], true)
		}
		checkWhose(t, resourceAbout(m[0], m[1], `[{"reference":"Practitioner/1"},`+
			`{"reference":"Patient/p1"}]`), m[0], true)
		for _, ref := range strangers {
			checkWhose(t, resourceAbout(m[0], m[1], `{"reference":"`+ref+`"}`), m[0], false)
		}
		for _, value := range []string{`null`, `{}`, `[]`, `7`, `"Patient/p1"`, `{"identifier":{"value":"p1"}}`,
			`{"display":"Patient p1"}`, `{"reference":null}`, `{"reference":7}`, `[{"reference":"Patient/p2"}]`,
			`{"type":"Patient","identifier":{"system":"urn:oid:1.2","value":"p1"}}`} {
			checkWhose(t, resourceAbout(m[0], m[1], value), m[0], false)
		}
		checkWhose(t, resourceAbout(m[0], "", ""), m[0], false)
		both := strings.Replace(resourceAbout(m[0], m[1], `{"reference":"Patient/p1"}`), `"id"`,
			`"owner":{"reference":"Patient/p2"},"id"`, 1)
		checkWhose(t, both, m[0], true)
	}
	for _, typ := range []string{"Medication", "Organization", "Practitioner", "Substance", "Location"} {
		checkWhose(t, resourceAbout(typ, "", ""), typ, true)
	}
	checkWhose(t, `{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/p1"},`+
		`"patient":{"reference":"Patient/p2"}}`,
		"Observation", false)
}

func checkWhose(t *testing.T, resource, typ string, ours bool) {
	t.Helper()
	c := chartOf(t, `{"patientId":"p1"}`, `{"a":`+bundle(resource)+`}`)
	complete, reasons := c.Complete(typ)
	found := len(c.Resources(typ)) == 1
	if found != ours || complete != ours || !ours && codes(reasons) != "not-this-patient" {
		t.Errorf("%s: found %v, complete %v, %v", resource, found, complete, reasons)
	}
	switch left, more := c.LeftOut(5, typ); {
	case ours && len(left) > 0, more > 0:
		t.Errorf("%s: left out %v and %d more", resource, left, more)
	case !ours && (len(left) != 1 || left[0].Ref != typ+"/1" || left[0].Value != "" || left[0].Source != "a"):
		t.Errorf("%s: left out %v", resource, left)
	}
}

// TestWhoseInBundle holds that a urn is one of the same Bundle, and that an entry
// of another server refers to that server.
func TestWhoseInBundle(t *testing.T) {
	const lab = `{"resourceType":"Observation","id":"1","subject":{"reference":"%s"}}`
	entry := func(url, resource string) string { return `{"fullUrl":"` + url + `","resource":` + resource + `}` }
	set := func(entries ...string) string {
		return `{"resourceType":"Bundle","entry":[` + strings.Join(entries, ",") + `]}`
	}
	of := func(ref string) string { return strings.Replace(lab, "%s", ref, 1) }
	group := `{"resourceType":"Group","id":"p1"}`
	me, other := `{"resourceType":"Patient","id":"p1"}`, `{"resourceType":"Patient","id":"p2"}`
	mine := entry("urn:uuid:6", of("urn:uuid:5"))
	for name, tt := range map[string]struct {
		prefetch string
		ours     bool
	}{
		"urn of the patient": {`"a":` + set(entry("urn:uuid:5", me), mine), true},
		"urn of another":     {`"a":` + set(entry("urn:uuid:5", other), mine), false},
		"urn of no patient":  {`"a":` + set(entry("urn:uuid:5", group), mine), false},
		"urn of nothing":     {`"a":` + set(mine), false},
		"urn of another source": {`"p":` + set(entry("urn:uuid:5", me)) + `,` +
			`"a":` + set(mine), false},
		"urn of an outer Bundle": {`"a":` + set(entry("urn:uuid:5", me), entry("urn:uuid:7", set(mine))), false},
		"urns of two Bundles": {`"a":` + set(`{"resource":`+set(entry("urn:uuid:5", other))+`}`,
			`{"resource":`+set(entry("urn:uuid:5", me), mine)+`}`), true},
		"on this server":    {`"a":` + set(entry("https://ehr.example/fhir/R4/Observation/1", of("Patient/p1"))), true},
		"on another server": {`"a":` + set(entry("https://other.example/fhir/Observation/1", of("Patient/p1"))), false},
		"on another server, of this one": {`"a":` + set(entry("https://other.example/fhir/Observation/1",
			of("https://ehr.example/fhir/R4/Patient/p1"))), true},
		"entry under a urn": {`"a":` + set(entry("urn:uuid:6", of("Patient/p1"))), true},
	} {
		c := chartOf(t, `{"patientId":"p1"}`, `{`+tt.prefetch+`}`)
		complete, reasons := c.Complete("Observation")
		if found := len(c.Resources("Observation")) == 1; found != tt.ours || complete != tt.ours {
			t.Errorf("%s: found %v, complete %v, %v", name, found, complete, reasons)
		}
	}
	pages := []string{set(entry("urn:uuid:5", other)), set(entry("urn:uuid:5", me), mine)}
	src, err := ParseSource("a", Limits{}, []byte(pages[0]), []byte(pages[1]))
	if err != nil {
		t.Fatal(err)
	}
	c := chartOf(t, `{"patientId":"p1"}`, `{}`, func(in *Inputs) { in.Fetched = []*Source{src} })
	if len(c.Resources("Observation")) != 1 {
		t.Error("a urn is taken for one of another page")
	}
}

// TestTurned holds that what is about a fetus, a device or a relative of the
// patient's is not read as about the patient.
func TestTurned(t *testing.T) {
	const lab = `{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/p1"},%s}`
	for member, ours := range map[string]bool{
		`"focus":[{"reference":"Patient/p1"}]`: true, `"focus":[]`: true, `"focus":null`: true,
		`"focus":[{"reference":"RelatedPerson/mother"}]`:                                              false,
		`"focus":[{"reference":"Patient/p1"},{"reference":"Device/1"}]`:                               false,
		`"focus":{"identifier":{"value":"p1"}}`:                                                       false,
		`"extension":[{"url":"http://x.example/focus","valueString":"x"}]`:                            true,
		`"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/observation-focusCode"}]`:       false,
		`"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/hspc-extensionsfocalSubject"}]`: false,
	} {
		checkWhose(t, strings.Replace(lab, "%s", member, 1), "Observation", ours)
	}
}

// TestForeignDraft holds that an order for somebody else is not one of this
// patient's, and that this is said; and that one without a patient is the one of
// the call.
func TestForeignDraft(t *testing.T) {
	const draft = `{"resourceType":"MedicationRequest","id":"%d","status":"draft",` + warfarin + `%s}`
	c := chartOf(t, `{"patientId":"p1","draftOrders":`+bundle(
		fmt.Sprintf(draft, 1, `,"subject":{"reference":"Patient/p2"}`),
		fmt.Sprintf(draft, 2, `,"subject":{"display":"somebody"}`), fmt.Sprintf(draft, 3, ``),
		fmt.Sprintf(draft, 4, `,"subject":{"reference":"Patient/p1/_history/1"}`))+`}`, `{}`)
	var refs []string
	for _, o := range c.Orders() {
		refs = append(refs, o.Ref())
	}
	if got := strings.Join(refs, " "); got != "MedicationRequest/3 MedicationRequest/4" {
		t.Errorf("orders are %s", got)
	}
	if len(c.Exposures()) != 2 {
		t.Errorf("%d exposures", len(c.Exposures()))
	}
	left := c.OrdersLeftOut()
	if len(left) != 2 || left[0] != (fact.Evidence{Ref: "MedicationRequest/1", What: "MedicationRequest",
		Source: DraftsKey}) {
		t.Errorf("left out: %v", left)
	}
}

// TestClosedDraft holds that nobody is warned of an order that is not placed.
func TestClosedDraft(t *testing.T) {
	for status, open := range map[string]bool{
		"draft": true, "active": true, "on-hold": true, "": true, "unknown": true, "proposed": true,
		"cancelled": false, "stopped": false, "revoked": false, "completed": false, "entered-in-error": false,
		"ended": false, "rejected": false,
	} {
		for _, typ := range []string{"MedicationRequest", "ServiceRequest", "DeviceRequest"} {
			c := chartOf(t, `{"patientId":"p1","draftOrders":`+
				bundle(`{"resourceType":"`+typ+`","id":"1","status":"`+status+`"}`)+`}`, `{}`)
			if got := len(c.Orders()) == 1; got != open {
				t.Errorf("%s %s: order %v", typ, status, got)
			}
		}
	}
}

// TestTarget holds that an order has a target only under a name that is its own.
func TestTarget(t *testing.T) {
	draft := func(id string) string {
		return `{"resourceType":"MedicationRequest","id":"` + id + `","status":"draft"}`
	}
	for name, tt := range map[string]struct {
		drafts []string
		want   []string
	}{
		"ids":              {[]string{draft("a"), draft("b")}, []string{"MedicationRequest/a", "MedicationRequest/b"}},
		"one id":           {[]string{draft("a"), strings.Replace(draft("a"), "draft", "active", 1)}, []string{"", ""}},
		"one id, one gone": {[]string{draft("a"), strings.Replace(draft("a"), "draft", "cancelled", 1)}, []string{""}},
		"sent twice":       {[]string{draft("a"), draft("a")}, []string{""}},
		"no id":            {[]string{`{"resourceType":"MedicationRequest","status":"draft"}`}, []string{""}},
		"empty id":         {[]string{draft("")}, []string{""}},
		"id of a path":     {[]string{draft("a/b")}, []string{""}},
		"id with a mark":   {[]string{draft("a#2")}, []string{""}},
		"other type": {[]string{draft("a"), `{"resourceType":"ServiceRequest","id":"a"}`},
			[]string{"MedicationRequest/a", "ServiceRequest/a"}},
	} {
		c := chartOf(t, `{"draftOrders":`+bundle(tt.drafts...)+`}`, `{}`)
		var got []string
		for _, o := range c.Orders() {
			ref, ok := c.Target(o)
			if !ok {
				ref = ""
			}
			got = append(got, ref)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: targets %q, want %q", name, got, tt.want)
		}
	}
	c := chartOf(t, `{"draftOrders":{"resourceType":"Bundle","entry":[{"fullUrl":"urn:uuid:5",`+
		`"resource":{"resourceType":"ServiceRequest"}}]}}`, `{}`)
	if ref, ok := c.Target(c.Orders()[0]); ok {
		t.Errorf("a draft without an id is %s", ref)
	}
}
