package chart

import (
	"fmt"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/chart/dates"
)

var callTime = time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC)

func utc(t testing.TB) *time.Location {
	t.Helper()
	z, err := dates.Zone("UTC")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// release is a small release: enough for the drugs of these tests.
func release(t testing.TB) *Terminology {
	t.Helper()
	terms, err := NewTerminology(RxNorm, "2026.1",
		[]Coding{{Code: "6809", Display: "metformin"}, {Code: "5640", Display: "ibuprofen"},
			{Code: "11289", Display: "warfarin"},
			{Code: "35827", Display: "ketorolac"}, {Code: "5489", Display: "hydrocodone"},
			{Code: "161", Display: "acetaminophen"}},
		[]Product{{Code: "860975", Ingredients: []string{"6809"}, Form: "oral"},
			{Code: "197806", Ingredients: []string{"5640"}, Form: "oral"},
			{Code: "855350", Ingredients: []string{"11289"}, Form: "oral"},
			{Code: "857002", Ingredients: []string{"5489", "161"}, Form: "oral"}})
	if err != nil {
		t.Fatal(err)
	}
	return terms
}

// call writes a request around a context and a prefetch.
func call(context, prefetch string) []byte {
	return fmt.Appendf(nil, `{"hook":"order-sign","hookInstance":"11D1ED76-5b6e-11ee-8c99-0242ac120002","fhirServer":"https://ehr.example/fhir/R4/","context":%s,"prefetch":%s}`, context, prefetch)
}

// chartOf parses a request and makes its chart.
func chartOf(t testing.TB, context, prefetch string, change ...func(*Inputs)) *Chart {
	t.Helper()
	req, err := Parse(call(context, prefetch), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	in := Inputs{Request: req, Now: callTime, Zone: utc(t), Terminology: release(t)}
	for _, f := range change {
		f(&in)
	}
	c, err := New(in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
