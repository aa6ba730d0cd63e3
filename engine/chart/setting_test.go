package chart

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// settingChart is the chart of a call with resources of one patient; the error is that
// of parsing them.
func settingChart(resources ...string) (*Chart, error) {
	var entries []string
	for _, r := range resources {
		entries = append(entries, `{"resource":`+r+`}`)
	}
	body := fmt.Sprintf(`{"hook":"patient-view","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002",`+
		`"context":{"patientId":"p1"},"prefetch":{"all":{"resourceType":"Bundle","type":"searchset","entry":[%s]}}}`,
		strings.Join(entries, ","))
	req, err := Parse([]byte(body), Limits{})
	if err != nil {
		return nil, err
	}
	return New(Inputs{Request: req, Now: time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC), Zone: time.UTC})
}

var settingSeeds = []string{
	`{"resourceType":"Procedure","id":"x","status":"completed","subject":{"reference":"Patient/p1"},` +
		`"performedDateTime":"2026-02-01"}`,
	`{"resourceType":"Procedure","id":"x","status":"completed","subject":{"reference":"Patient/p1"},"notDone":false,` +
		`"occurrencePeriod":{"start":"2026-02-01"}}`,
	`{"resourceType":"Immunization","id":"x","status":"completed","patient":{"reference":"Patient/p1"},` +
		`"occurrenceDateTime":"2026-02-01","isSubpotent":true}`,
	`{"resourceType":"Encounter","id":"x","status":"in-progress","subject":{"reference":"Patient/p1"},` +
		`"class":[{"coding":[{"system":"s","code":"c"}]}],"actualPeriod":{"start":"2026-02-01"},` +
		`"location":[{"location":{"reference":"Location/x"},"status":"active"}]}`,
	`{"resourceType":"Encounter","id":"x","class":"inpatient","period":{"end":"2026-02-01"}}`,
	`{"resourceType":"Location","id":"x","partOf":{"reference":"Location/x"}}`,
}

// TestSettings is what is read of procedures, immunizations and encounters.
func TestSettings(t *testing.T) {
	of := func(resources ...string) *Chart {
		c, err := settingChart(resources...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := of(settingSeeds[0])
	p := c.Procedure(c.Resources("Procedure")[0])
	if p.Start.Text != "2026-02-01" || p.End.Text != "2026-02-01" || p.Evidence().When != "2026-02-01" {
		t.Errorf("procedure %+v", p)
	}
	c = of(settingSeeds[1])
	if p := c.Procedure(c.Resources("Procedure")[0]); p.Start.Text == "" || p.End.Known() {
		t.Errorf("procedure that began: %+v", p)
	}
	c = of(settingSeeds[2])
	if i := c.Immunization(c.Resources("Immunization")[0]); i.Given.Text != "2026-02-01" || !i.Subpotent {
		t.Errorf("immunization %+v", i)
	}
	c = of(settingSeeds[3], settingSeeds[5])
	e := c.Encounter(c.Resources("Encounter")[0])
	if e.ClassName() != "c" || e.Start.Text != "2026-02-01" || e.End.Known() || len(e.Places) != 1 ||
		e.Places[0].Ref != "Location/x" || e.Places[0].Status != "active" {
		t.Errorf("encounter %+v", e)
	}
	if codings, ok := c.LocationTypes(e.Resource, "Location/x"); !ok || len(codings) != 0 {
		t.Errorf("a place that is part of itself: %v, %v", codings, ok)
	}
	if _, ok := c.LocationTypes(e.Resource, "Location/y"); ok {
		t.Error("a place that was not sent")
	}
}

// FuzzSettings holds that no resource makes reading it fail.
func FuzzSettings(f *testing.F) {
	for _, s := range settingSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, resource string) {
		c, err := settingChart(resource)
		if err != nil {
			return // no request
		}
		for _, r := range c.Resources("Procedure") {
			c.Procedure(r).Evidence()
		}
		for _, r := range c.Resources("Immunization") {
			c.Immunization(r).Evidence()
		}
		for _, r := range c.Resources("Encounter") {
			e := c.Encounter(r)
			e.Evidence(e.ClassName())
			for _, p := range e.Places {
				c.LocationTypes(r, p.Ref)
			}
		}
	})
}
