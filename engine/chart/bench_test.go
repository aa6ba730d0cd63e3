package chart

import (
	"testing"

	"github.com/precept-cds/precept/engine/chart/rawjson"
)

func BenchmarkCheck(b *testing.B) {
	body := bigRequest(1)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := rawjson.Check(body, 64); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	body := bigRequest(1)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(body, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChart is the budget of design section 10: everything three packs
// ask of one call, from bytes to decoded views.
func BenchmarkChart(b *testing.B) {
	body := bigRequest(1)
	zone := utc(b)
	terms := release(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		req, err := Parse(body, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		c, err := New(Inputs{Request: req, Now: callTime, Zone: zone, Terminology: terms})
		if err != nil {
			b.Fatal(err)
		}
		if len(c.Orders()) != 2 || len(c.Exposures()) != 29 {
			b.Fatal("orders or exposures missing")
		}
		for _, r := range c.Find("Observation", Coding{System: LOINC, Code: "2160-0"},
			Coding{System: LOINC, Code: "98979-8"}) {
			c.Observation(r)
		}
		c.Find("Condition", Coding{System: SNOMED, Code: "12847006"})
		if _, reasons := c.Patient(); reasons != nil {
			b.Fatal(reasons)
		}
	}
}
