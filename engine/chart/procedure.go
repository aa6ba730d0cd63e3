package chart

import (
	"strings"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// Procedure is something that was, or is being, done to the patient.
type Procedure struct {
	*Resource
	// Start and End bound the time it was done; a zero Interval is unknown.
	Start, End dates.Interval
	// NotDone is true if the resource says, in any version of FHIR, that it was
	// not done.
	NotDone bool
}

// Evidence points at the procedure.
func (p *Procedure) Evidence() fact.Evidence {
	when := p.Start.Text
	if when == "" {
		when = p.End.Text
	}
	return fact.Evidence{Ref: p.Ref(), What: p.label(), Value: p.Status, When: when, Source: p.Source}
}

// Procedure decodes a Procedure resource.
func (c *Chart) Procedure(r *Resource) *Procedure {
	p := &Procedure{Resource: r, NotDone: r.Status == "not-done"}
	for m := r.JSON.Members(); m.Next(); {
		name, ok := strings.CutPrefix(m.Name, "performed")
		if !ok {
			name, ok = strings.CutPrefix(m.Name, "occurrence") // R5
		}
		switch {
		case m.Name == "notDone" || m.Name == "notPerformed": // STU3; DSTU2
			p.NotDone = p.NotDone || m.Value != "false" && !m.Value.Missing()
		case !ok || m.Value.Missing():
		case name == "DateTime":
			p.Start = c.date(m.Value)
			p.End = p.Start
		case name == "Period":
			p.Start, p.End = c.period(m.Value)
		}
	}
	return p
}
