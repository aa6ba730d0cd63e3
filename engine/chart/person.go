package chart

import (
	"strings"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// Patient is what the chart says about the person.
type Patient struct {
	*Resource
	Birth  dates.Interval
	Gender string // administrative: male, female, other, unknown, or empty
}

// Evidence points at the patient; value is what was read of it.
func (p *Patient) Evidence(what, value string) fact.Evidence {
	return fact.Evidence{Ref: p.Ref(), What: what, Value: value, Source: p.Source}
}

// Patient returns the patient the call is about. If it is not there the reason
// says why: not-supplied and its likes, no-data for a source that came empty,
// not-this-patient if only other patients came, ambiguous if what came of this one
// contradicts itself.
func (c *Chart) Patient() (*Patient, []fact.Reason) {
	var p *Patient
	var birth, gender rawjson.Value
	for _, r := range c.Resources("Patient") {
		if p == nil {
			p = &Patient{Resource: r}
		}
		if !agree(&birth, r.JSON.Get("birthDate")) || !agree(&gender, r.JSON.Get("gender")) {
			return nil, []fact.Reason{{Code: fact.Ambiguous, What: "patient"}}
		}
	}
	if p == nil {
		if ok, reasons := c.Complete("Patient"); !ok {
			return nil, reasons
		}
		return nil, []fact.Reason{{Code: fact.NoData, What: "patient"}}
	}
	p.Birth, p.Gender = c.date(birth), gender.Text()
	return p, nil
}

// agree notes a value, and reports false if another one was given before.
func agree(known *rawjson.Value, v rawjson.Value) bool {
	if known.Missing() {
		*known = v
	}
	return v.Missing() || *known == v
}

// Condition is a problem, diagnosis or other state of health.
type Condition struct {
	*Resource
	// Clinical is active, recurrence, relapse, inactive, remission, resolved, empty,
	// or Unreadable.
	Clinical string
	// Verification is confirmed, provisional, differential, unconfirmed, refuted,
	// empty, or Unreadable.
	Verification string
	Onset        dates.Interval
	Abatement    dates.Interval
	Abated       bool // some abatement is given, dated or not
	Recorded     dates.Interval
	Category     []Coding
}

// Evidence points at the condition.
func (d *Condition) Evidence() fact.Evidence {
	when := d.Onset.Text
	if when == "" {
		when = d.Recorded.Text
	}
	return fact.Evidence{Ref: d.Ref(), What: d.label(), Value: d.Clinical, When: when, Source: d.Source,
		Note: mappedNote(d.Mapped)}
}

// Condition decodes a Condition resource.
func (c *Chart) Condition(r *Resource) *Condition {
	d := &Condition{Resource: r}
	for m := r.JSON.Members(); m.Next(); {
		switch {
		case m.Value.Missing():
		case m.Name == "clinicalStatus":
			d.Clinical = oneOf(statusCode(m.Value, "condition-clinical"),
				"active", "recurrence", "relapse", "inactive", "remission", "resolved")
		case m.Name == "verificationStatus":
			d.Verification = oneOf(statusCode(m.Value, "condition-ver-status"),
				"confirmed", "provisional", "differential", "unconfirmed", "refuted")
		case m.Name == "onsetDateTime":
			d.Onset = c.date(m.Value)
		case m.Name == "onsetPeriod":
			d.Onset, _ = c.period(m.Value)
		case m.Name == "category":
			d.Category, _, _ = concept(m.Value, nil)
		case m.Name == "recordedDate" || m.Name == "assertedDate" || m.Name == "dateRecorded": // R4; STU3; DSTU2
			d.Recorded = c.date(m.Value)
		case strings.HasPrefix(m.Name, "abatement"):
			d.Abated = m.Value != "false"
			switch m.Name {
			case "abatementDateTime":
				d.Abatement = c.date(m.Value)
			case "abatementPeriod":
				_, d.Abatement = c.period(m.Value)
			}
		}
	}
	return d
}
