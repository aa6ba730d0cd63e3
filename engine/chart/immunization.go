package chart

import (
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// Immunization is one administration of a vaccine, or, by its status not-done, the
// statement that it was not given.
type Immunization struct {
	*Resource
	Given dates.Interval // zero if there is no date that can be read
	// Subpotent is true if the dose counts as less than one.
	Subpotent bool
}

// Evidence points at the immunization.
func (i *Immunization) Evidence() fact.Evidence {
	return fact.Evidence{Ref: i.Ref(), What: i.label(), Value: i.Status, When: i.Given.Text, Source: i.Source}
}

// Immunization decodes an Immunization resource.
func (c *Chart) Immunization(r *Resource) *Immunization {
	i := &Immunization{Resource: r}
	for m := r.JSON.Members(); m.Next(); {
		switch {
		case m.Value.Missing():
		case m.Name == "occurrenceDateTime" || m.Name == "date": // R4 and R5; STU3 and DSTU2
			i.Given = c.date(m.Value)
		case m.Name == "isSubpotent":
			i.Subpotent = m.Value != "false"
		}
	}
	return i
}
