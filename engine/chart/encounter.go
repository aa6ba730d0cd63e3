package chart

import (
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// Encounter is a contact of the patient with a provider, such as a stay.
type Encounter struct {
	*Resource
	Class      []Coding // of R4 (one), R5 (a list) and DSTU2 (a word)
	Start, End dates.Interval
	Places     []Place
}

// Place is where the patient is during an encounter.
type Place struct {
	Ref        string // as sent
	Display    string
	Status     string // planned, active, reserved, completed, or empty
	Start, End dates.Interval
}

// encounterClass is the code system of the words that DSTU2 has for classes.
const encounterClass = "http://hl7.org/fhir/encounter-class"

// Evidence points at the encounter; value is what was read of it.
func (e *Encounter) Evidence(value string) fact.Evidence {
	return fact.Evidence{Ref: e.Ref(), What: "encounter", Value: value, When: e.Start.Text, Source: e.Source}
}

// ClassName is the class in words, or its first code.
func (e *Encounter) ClassName() string { return (&Resource{Codings: e.Class}).label() }

// Encounter decodes an Encounter resource.
func (c *Chart) Encounter(r *Resource) *Encounter {
	e := &Encounter{Resource: r}
	for m := r.JSON.Members(); m.Next(); {
		switch m.Name {
		case "class":
			if m.Value.IsString() {
				e.Class = []Coding{{System: encounterClass, Code: m.Value.Text()}}
			} else {
				e.Class, _, _ = concept(m.Value, nil)
			}
		case "period", "actualPeriod": // R4; R5
			e.Start, e.End = c.period(m.Value)
		case "location":
			for l := m.Value.Elements(); l.Next(); {
				e.Places = append(e.Places, c.place(l.Value))
			}
		}
	}
	return e
}

func (c *Chart) place(v rawjson.Value) Place {
	p := Place{Status: v.Get("status").Text()}
	p.Ref, p.Display, _ = reference(v.Get("location"))
	p.Start, p.End = c.period(v.Get("period"))
	return p
}

// LocationTypes returns the codes of the kind of place that a reference from an
// encounter leads to: of the location, or where that says none, of what it is part
// of. Ok is false if the reference leads nowhere.
func (c *Chart) LocationTypes(from *Resource, ref string) (codings []Coding, ok bool) {
	const levels = 5 // bed, room, ward, building, hospital
	for range levels {
		place, found := c.Resolve(from, ref)
		if ref == "" || !found || place.Type != "Location" {
			return nil, false
		}
		if codings, _, _ = concept(place.JSON.Get("type"), nil); len(codings) > 0 {
			return codings, true
		}
		if ref, _, _ = reference(place.JSON.Get("partOf")); ref == "" {
			return nil, true
		}
		from = place
	}
	return nil, true
}
