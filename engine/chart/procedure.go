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
	p := &Procedure{Resource: r}
	for m := r.JSON.Members(); m.Next(); {
		name, ok := strings.CutPrefix(m.Name, "performed")
		if !ok {
			name, ok = strings.CutPrefix(m.Name, "occurrence") // R5
		}
		switch {
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
