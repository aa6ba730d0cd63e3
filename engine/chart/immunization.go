package chart

import (
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// Immunization is one administration of a vaccine, or the statement that it was
// not given.
type Immunization struct {
	*Resource
	Given dates.Interval // zero if there is no date that can be read
	// NotGiven is true if the resource says, in any version of FHIR, that the
	// vaccine was not given.
	NotGiven bool
	// Subpotent is true if the dose counts as less than one.
	Subpotent bool
}

// Evidence points at the immunization.
func (i *Immunization) Evidence() fact.Evidence {
	return fact.Evidence{Ref: i.Ref(), What: i.label(), Value: i.Status, When: i.Given.Text, Source: i.Source}
}

// Immunization decodes an Immunization resource.
func (c *Chart) Immunization(r *Resource) *Immunization {
	i := &Immunization{Resource: r, NotGiven: r.Status == "not-done"}
	for m := r.JSON.Members(); m.Next(); {
		switch {
		case m.Value.Missing():
		case m.Name == "occurrenceDateTime" || m.Name == "date": // R4 and R5; STU3 and DSTU2
			i.Given = c.date(m.Value)
		case m.Name == "notGiven" || m.Name == "wasNotGiven": // STU3; DSTU2
			i.NotGiven = i.NotGiven || m.Value != "false"
		case m.Name == "isSubpotent":
			i.Subpotent = m.Value != "false"
		}
	}
	return i
}
