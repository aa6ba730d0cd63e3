package chart

import (
	"strings"

	"github.com/precept-cds/precept/engine/chart/dates"
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
// ambiguous if only other patients, or several without an id, came.
func (c *Chart) Patient() (*Patient, []fact.Reason) {
	all := c.Resources("Patient")
	var found *Resource
	for _, r := range all {
		if r.ID == c.in.Request.PatientID || c.in.Request.PatientID == "" && len(all) == 1 {
			found = r
			break
		}
	}
	if found == nil {
		code := fact.NoData
		if len(all) > 0 {
			code = fact.Ambiguous
		}
		if ok, reasons := c.Complete("Patient"); !ok && len(all) == 0 {
			return nil, reasons
		}
		return nil, []fact.Reason{{Code: code, What: "patient"}}
	}
	p := &Patient{Resource: found, Birth: c.date(found.JSON.Get("birthDate"))}
	p.Gender = found.JSON.Get("gender").Text()
	return p, nil
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
