package chart

import (
	"time"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// administrationLasts is how long a drug that was administered counts as
// current after its end: the patient still has it in the body, and the next
// dose may not be charted yet. A day covers the longest customary interval
// between doses on a ward, once daily. It is not a washout: a rule that needs
// longer asks for a window (within), which counts from the same end.
const administrationLasts = 24 * time.Hour

// Exposure is one statement of the chart that the patient takes, took or is
// about to take a drug: a MedicationRequest (order or plan),
// MedicationStatement, MedicationDispense or MedicationAdministration.
type Exposure struct {
	*Resource
	Drug     Drug
	Routes   []Coding
	Intent   string
	Reported bool // by the patient or another person (reported[x])
	Draft    bool // an order of context.draftOrders
	// BasedOn are the orders it carries out, as Chart.LocalRef writes them.
	BasedOn []string
	// Start and End bound the time of taking; a zero Interval is unknown. An
	// end the chart only plans, of a drug that was stopped earlier, is cut off
	// at the time of the call.
	Start, End dates.Interval
	// Active tells whether the drug is taken at the time of the call; Reasons
	// say why that is unknown.
	Active  fact.State
	Reasons []fact.Reason

	now       time.Time
	uncertain bool // the status leaves open whether the drug was ever taken
}

// Evidence points at the exposure.
func (e *Exposure) Evidence() fact.Evidence {
	when := e.Start.Text
	if e.Active == fact.False && e.End.Text != "" {
		when = e.End.Text
	}
	return fact.Evidence{Ref: e.Ref(), What: e.Drug.Name(), Value: e.Status, When: when, Source: e.Source}
}

// During tells whether the drug was taken at any time in [from, to], which
// should lie around or before the time of the call. For the question whether
// it is taken now, use Active.
func (e *Exposure) During(from, to time.Time) (fact.State, []fact.Reason) {
	if e.Active == fact.True && !e.now.Before(from) && !e.now.After(to) {
		return fact.True, nil
	}
	begun, lasted := e.begunBy(to), e.lastedTo(from)
	switch {
	case begun == fact.False || lasted == fact.False:
		return fact.False, nil
	case begun == fact.True && lasted == fact.True && !e.uncertain:
		return fact.True, nil
	case len(e.Reasons) > 0:
		return fact.Unknown, e.Reasons
	default:
		return fact.Unknown, []fact.Reason{imprecise}
	}
}

// StartedDuring tells whether taking began, or the drug was handed over, in
// [from, to]. An order or statement that is active now counts as well: its
// taking goes on.
func (e *Exposure) StartedDuring(from, to time.Time) (fact.State, []fact.Reason) {
	if e.Active == fact.True && e.Type != "MedicationDispense" && e.Type != "MedicationAdministration" {
		return fact.True, nil
	}
	switch state := e.Start.Within(from, to); {
	case state == fact.False || state == fact.True && !e.uncertain:
		return state, nil
	case len(e.Reasons) > 0:
		return fact.Unknown, e.Reasons
	default:
		return fact.Unknown, []fact.Reason{imprecise}
	}
}

var imprecise = fact.Reason{Code: fact.PrecisionInsufficient, What: "time of medication"}

func (e *Exposure) begunBy(t time.Time) fact.State {
	if e.Start.Known() {
		switch e.Start.After(t) {
		case fact.True:
			return fact.False
		case fact.False:
			return fact.True
		}
	}
	if e.End.Known() && e.End.After(t) == fact.False {
		return fact.True // it ended by then
	}
	if e.Active != fact.Unknown && !e.now.After(t) {
		return fact.True // it is or was taken
	}
	return fact.Unknown
}

func (e *Exposure) lastedTo(t time.Time) fact.State {
	if e.End.Known() {
		switch e.End.Before(t) {
		case fact.True:
			return fact.False
		case fact.False:
			return fact.True
		}
	}
	if e.Start.Known() && e.Start.Before(t) == fact.False {
		return fact.True // it began after
	}
	if e.Active == fact.True && !e.now.Before(t) {
		return fact.True
	}
	return fact.Unknown
}

// Exposures returns every statement of exposure, drafts first. Left out are:
// entered in error, doNotPerform, proposals, options and drafts that are not of
// this call, and what was declared, by its status, never to be given.
func (c *Chart) Exposures() []*Exposure {
	if c.read.exposures {
		return c.exposures
	}
	c.read.exposures = true
	indexes := [...]*typeIndex{c.index("MedicationRequest"), c.index("MedicationStatement"),
		c.index("MedicationDispense"), c.index("MedicationAdministration")}
	count := 0
	for _, idx := range indexes {
		count += len(idx.list)
	}
	all := make([]Exposure, count)
	c.exposures = make([]*Exposure, 0, count)
	for _, idx := range indexes {
		for n := range idx.list {
			if e := &all[len(c.exposures)]; c.exposure(e, &idx.list[n]) {
				c.exposures = append(c.exposures, e)
			}
		}
	}
	return c.exposures
}

// exposure decodes one resource. It reports false if the resource states none.
func (c *Chart) exposure(e *Exposure, r *Resource) bool {
	*e = Exposure{Resource: r, Draft: r.Source == DraftsKey, now: c.now}
	var medRef rawjson.Value
	var when timing
	for m := r.JSON.Members(); m.Next(); {
		switch m.Name {
		case "doNotPerform":
			if m.Value == "true" {
				return false
			}
		case "intent":
			e.Intent = m.Value.Text()
		case "reportedBoolean":
			e.Reported = m.Value == "true"
		case "reportedReference":
			e.Reported = !m.Value.Missing()
		case "medicationReference":
			medRef = m.Value
		case "medication":
			medRef = m.Value.Get("reference")
		case "basedOn", "authorizingPrescription", "request", "priorPrescription":
			e.BasedOn = c.references(e.BasedOn, m.Value)
		case "dosageInstruction", "dosage":
			e.Routes = c.routes(m.Value)
			c.bounds(&when, m.Value)
		default:
			c.when(&when, m.Name, m.Value)
		}
	}
	if !e.judge(when) {
		return false
	}
	e.Drug = c.drug(r, medRef)
	return true
}

// timing collects the dates of an exposure.
type timing struct {
	start, end       dates.Interval // of the dosage
	from, to         dates.Interval // effective period, or what the validity leaves open
	authored, handed dates.Interval
	unread           bool // the handover has a date that is none
	days             int  // of supply; 0 is unknown
}

// when reads the members that date an exposure.
func (c *Chart) when(t *timing, name string, v rawjson.Value) {
	switch name {
	case "authoredOn":
		t.authored = c.date(v)
	case "whenHandedOver":
		t.handed = c.date(v)
		t.unread = !v.Missing() && !t.handed.Known()
	case "whenPrepared":
		t.authored = c.date(v)
	case "dispenseRequest":
		var until dates.Interval
		t.from, until = c.period(v.Get("validityPeriod"))
		t.to = supplied(until, days(v.Get("expectedSupplyDuration")))
	case "effectivePeriod", "effectiveDosePeriod", "occurencePeriod", "occurrencePeriod":
		t.from, t.to = c.period(v)
	case "effectiveDateTime", "occurenceDateTime", "occurrenceDateTime":
		t.from = c.date(v)
		t.to = t.from
	case "daysSupply":
		t.days = days(v)
	}
}

// supplied returns when a drug was taken up that could be handed out until some
// time, in supplies for so many days: the validity of a prescription bounds its
// handing out only. Without the days nothing is known.
func supplied(until dates.Interval, days int) dates.Interval {
	if days == 0 || until.To.IsZero() {
		return dates.Interval{}
	}
	return dates.Interval{To: dates.Duration{Days: days}.After(until.To), Text: until.Text}
}

// bounds reads the period of dosage instructions: the earliest start and the
// latest end.
func (c *Chart) bounds(t *timing, v rawjson.Value) {
	for e := v.Elements(); e.Next(); {
		repeat := e.Value.Get("timing").Get("repeat")
		period := repeat.Get("boundsPeriod")
		if period.Missing() {
			continue
		}
		start, end := c.period(period)
		if start.Known() && (!t.start.Known() || start.From.Before(t.start.From)) {
			t.start = start
		}
		if end.Known() && (!t.end.Known() || end.To.After(t.end.To)) {
			t.end = end
		}
	}
}

// days reads a supply in days; 0 if it is none or beyond ten years.
func days(v rawjson.Value) int {
	var q units.Quantity
	if ok := quantity(&q, v); !ok || q.Value == nil || q.Comparator != "" {
		return 0
	}
	switch q.Code + "|" + q.Unit {
	case "|", "d|", "|d", "d|d", "|day", "|days", "|Day", "|Days", "d|day", "d|days", "d|Day", "d|Days":
	default:
		return 0
	}
	n, err := q.Value.Int64()
	if err != nil || n < 1 || n > 3660 {
		return 0
	}
	return int(n)
}

// first returns the first known of several points.
func first(points ...dates.Interval) dates.Interval {
	for _, p := range points {
		if p.Known() {
			return p
		}
	}
	return dates.Interval{}
}
