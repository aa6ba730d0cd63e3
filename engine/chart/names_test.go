package chart

import (
	"strings"
	"testing"
)

// TestOrdersWithoutNames holds that no draft is lost, or taken for another,
// because senders leave ids out or give one twice.
func TestOrdersWithoutNames(t *testing.T) {
	drug := func(id, code string) string {
		return `{"resourceType":"MedicationRequest","id":"` + id +
			`","status":"draft","intent":"order","medicationCodeableConcept":{"coding":[{"system":"` + RxNorm +
			`","code":"` + code + `"}]}}`
	}
	bare := func(code string) string { return strings.Replace(drug("", code), `"id":"",`, "", 1) }
	for name, test := range map[string]struct {
		drafts, chart []string
		orders        string
		exposed       int // of the first order: exposures that are another drug
	}{
		"no ids": {[]string{bare("5640"), bare("11289")}, nil, "MedicationRequest MedicationRequest#2", 1},
		"one id": {[]string{drug("1", "5640"), drug("1", "11289")}, nil,
			"MedicationRequest/1 MedicationRequest/1#2", 1},
		"one order twice":    {[]string{drug("1", "5640"), drug("1", "5640")}, nil, "MedicationRequest/1", 0},
		"chart without ids":  {[]string{bare("5640")}, []string{bare("11289")}, "MedicationRequest", 1},
		"order to be signed": {[]string{drug("1", "5640")}, []string{drug("1", "11289")}, "MedicationRequest/1", 0},
	} {
		c := chartOf(t, `{"draftOrders":`+bundle(test.drafts...)+`}`,
			strings.ReplaceAll(`{"m":`+bundle(test.chart...)+`}`, `"status":"draft"`, `"status":"active"`))
		var refs []string
		for _, o := range c.Orders() {
			refs = append(refs, o.Ref())
		}
		if got := strings.Join(refs, " "); got != test.orders {
			t.Errorf("%s: orders are %s, want %s", name, got, test.orders)
		}
		others := 0
		for _, e := range c.Exposures() {
			if !c.Orders()[0].ConcernsResource(e.Resource) {
				others++
			}
		}
		if others != test.exposed {
			t.Errorf("%s: %d other exposures, want %d", name, others, test.exposed)
		}
	}
}

// TestContradiction holds that of two texts under one name neither is dropped.
func TestContradiction(t *testing.T) {
	result := func(value string) string {
		return `{"resourceType":"Observation","id":"1","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"98979-8"}]},"valueInteger":` + value + `}`
	}
	c := chartOf(t, `{}`, `{"a":`+bundle(result("80"), result("20"))+`,"b":`+bundle(result("80"))+`}`)
	if found := c.Find("Observation", Coding{System: LOINC, Code: "98979-8"}); len(found) != 2 {
		t.Errorf("%d results, want both texts, each once", len(found))
	}
}
