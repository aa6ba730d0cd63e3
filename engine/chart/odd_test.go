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
