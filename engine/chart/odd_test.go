package chart

import (
	"testing"

	"github.com/precept-cds/precept/engine/fact"
)

// TestOtherAnswer holds that the answer to another question does not pass for
// a search that found nothing.
func TestOtherAnswer(t *testing.T) {
	result := `{"resourceType":"Observation","id":"1","status":"final","code":{"text":"x"}}`
	drug := `{"resourceType":"MedicationRequest","id":"1","status":"active","medicationCodeableConcept":{"text":"x"}}`
	for name, test := range map[string]struct {
		source string
		want   bool
	}{
		"nothing":       {`null`, true},
		"empty":         {bundle(), true},
		"of the type":   {bundle(drug), true},
		"with others":   {bundle(result, drug), true},
		"only others":   {bundle(result), false},
		"another alone": {result, false},
		"only an include": {`{"resourceType":"Bundle","entry":[{"search":{"mode":"include"},"resource":` + result +
			`}]}`, false},
	} {
		c := chartOf(t, `{}`, `{"m":`+test.source+`}`,
			func(in *Inputs) { in.Declared = map[string][]string{"m": {"MedicationRequest"}} })
		if got, reasons := c.Complete("MedicationRequest"); got != test.want || !got &&
			reasons[0].Code != fact.NotSupplied {
			t.Errorf("%s: complete is %v for %v", name, got, reasons)
		}
	}
}

// TestOddComparator holds that a number never loses the sign before it.
func TestOddComparator(t *testing.T) {
	c := chartOf(t, `{}`, `{"a":`+
		bundle(`{"resourceType":"Observation","id":"1","status":"final","valueQuantity":{"value":60,"comparator":["<"],"unit":"kg"}}`)+`}`)
	o := c.Observation(c.Resources("Observation")[0])
	if o.Quantity != nil || len(o.Reasons) != 1 || o.Reasons[0].Code != fact.Implausible {
		t.Errorf("quantity is %v, reasons %v", o.Quantity, o.Reasons)
	}
}

// TestAnotherPatient holds that nothing of another patient's is read as this
// one's, and that its place is then incomplete.
func TestAnotherPatient(t *testing.T) {
	for subject, ours := range map[string]bool{
		`{"reference":"Patient/p1"}`:                             true,
		`{"reference":"https://ehr.example/fhir/R4/Patient/p1"}`: true,
		`{"reference":"Patient/p1/_history/3"}`:                  true,
		// another server's name for whom we cannot tell
		`{"reference":"https://elsewhere.example/Patient/9"}`:           true,
		`{"identifier":{"value":"9"}}`:                                  true,
		`{"reference":"Group/9"}`:                                       true,
		`null`:                                                          true,
		`{"reference":"Patient/p2"}`:                                    false,
		`{"reference":"https://ehr.example/fhir/R4/Patient/p2"}`:        false,
		`{"display":"a sibling","reference":"Patient/p10/_history/p1"}`: false,
	} {
		result := `{"resourceType":"Observation","id":"1","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"98979-8"}]},"subject":` + subject + `}`
		c := chartOf(t, `{"patientId":"p1"}`, `{"a":`+bundle(result)+`}`)
		complete, _ := c.Complete("Observation")
		if found := len(c.Resources("Observation")) == 1; found != ours || complete != ours {
			t.Errorf("%s: found %v, complete %v", subject, found, complete)
		}
	}
	draft := `{"resourceType":"MedicationRequest","id":"1","status":"draft","subject":{"reference":"Patient/p2"}}`
	if c := chartOf(t, `{"patientId":"p1","draftOrders":`+bundle(draft)+`}`, `{}`); len(c.Orders()) != 1 {
		t.Error("a draft is left out")
	}
}
