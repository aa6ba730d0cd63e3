package chart

import (
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"

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

// longestSupply is how long a supply may last of which nobody wrote down for
// how many days it is: as long as HL7 PDDI-CDS looks back for a dispense.
var longestSupply = dates.Duration{Days: 100}

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
	// Supply is when what was supplied is used up: by days of supply and refills,
	// or by the length of the course. It is an end that is probable and no more;
	// the zero Interval if nobody said.
	Supply dates.Interval
	// Active tells whether the drug is taken at the time of the call; Reasons
	// say why that is unknown. What was supplied and is used up is unknown here
	// (supply-ended), however long ago: Now tells these apart.
	Active  fact.State
	Reasons []fact.Reason

	derivedFrom []string       // of a statement
	asserted    dates.Interval // likewise

	now       time.Time
	uncertain bool // the status leaves open whether the drug was ever taken
	claimed   bool // the status does not say that it is over
	unsized   bool // nobody wrote down how long the supply lasts
}

// Evidence points at the exposure.
func (e *Exposure) Evidence() fact.Evidence {
	when := e.Start.Text
	if e.Active == fact.False && e.End.Text != "" {
		when = e.End.Text
	}
	return fact.Evidence{Ref: e.Ref(), What: e.Drug.Name(), Value: e.Status, When: when, Source: e.Source,
		Note: mappedNote(e.Drug.Mapped)}
}

// Now tells whether the drug is taken at the time of the call. Where its supply
// is used up for longer than grace, the state is unknown with quiet reasons if
// the status says that it is taken all the same, and false if nothing says so.
func (e *Exposure) Now(grace dates.Duration) (fact.State, []fact.Reason) {
	if e.Active == fact.Unknown && e.Supply.Before(e.now) == fact.True {
		return e.usedUp(e.now, grace)
	}
	return e.Active, e.Reasons
}

// During tells whether the drug was taken at any time in [from, to], which
// should lie around or before the time of the call. For the question whether
// it is taken now, use Now, which says what grace is.
func (e *Exposure) During(from, to time.Time, grace dates.Duration) (fact.State, []fact.Reason) {
	if e.Active == fact.True && !e.now.Before(from) && !e.now.After(to) {
		return fact.True, nil
	}
	begun, lasted := e.begunBy(to), e.lastedTo(from)
	switch {
	case begun == fact.False || lasted == fact.False:
		return fact.False, nil
	case begun == fact.True && lasted == fact.True && !e.uncertain:
		return fact.True, nil
	case e.Supply.Before(from) == fact.True:
		return e.usedUp(from, grace)
	case e.unsized && !e.Start.To.IsZero() && longestSupply.After(e.Start.To).Before(from):
		return fact.False, nil
	case e.unsized && !e.Start.To.IsZero() && longestSupply.After(e.Start.To).Before(to):
		return fact.Unknown, []fact.Reason{{Code: fact.SupplyEnded, What: medication, Quiet: true}}
	case len(e.Reasons) > 0:
		return fact.Unknown, e.Reasons
	default:
		return fact.Unknown, []fact.Reason{imprecise}
	}
}

// usedUp judges a supply that was used up before from.
func (e *Exposure) usedUp(from time.Time, grace dates.Duration) (fact.State, []fact.Reason) {
	over := fact.Reason{Code: fact.SupplyEnded, What: medication}
	switch {
	case !grace.After(e.Supply.To).Before(from):
		return fact.Unknown, fact.Merge(e.Reasons, []fact.Reason{over})
	case e.claimed:
		over.Quiet = true
		return fact.Unknown, []fact.Reason{over}
	case e.End.To.After(from) && e.Active != fact.False: // it could be handed out again later
		return fact.Unknown, e.Reasons
	default:
		return fact.False, nil
	}
}

// StartedDuring tells whether taking began, or the drug was handed over or
// given, in [from, to].
func (e *Exposure) StartedDuring(from, to time.Time) (fact.State, []fact.Reason) {
	switch state := e.Start.Within(from, to); {
	case state == fact.False || state == fact.True && !e.uncertain:
		return state, nil
	case len(e.Reasons) > 0:
		return fact.Unknown, e.Reasons
	default:
		return fact.Unknown, []fact.Reason{imprecise}
	}
}

const medication = "medication"

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
	if (e.Active != fact.Unknown || e.Supply.Known()) && !e.now.After(t) {
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
			if e.Supply.Before(t) != fact.True || e.End.After(e.now) == fact.False { // not only planned
				return fact.True
			}
		}
	}
	if e.Start.Known() && e.Start.Before(t) == fact.False {
		return fact.True // it began after
	}
	if e.Supply.Known() && e.Active != fact.False && e.Supply.Before(t) == fact.False {
		return fact.True // what was not stopped is taken as long as there is some
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
	var stops []stop
	c.exposures = make([]*Exposure, 0, count)
	for _, idx := range indexes {
		for n := range idx.list {
			e := &all[len(c.exposures)]
			takes := c.exposure(e, &idx.list[n])
			if s, ok := e.stops(takes); ok {
				stops = append(stops, s)
			}
			if takes {
				c.exposures = append(c.exposures, e)
			}
		}
	}
	for _, e := range c.exposures {
		for i := range stops {
			e.stopBy(&stops[i])
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
		case "adherence":
			when.adherence = adherence(m.Value)
		case "intent":
			e.Intent = m.Value.Text()
		case "reportedBoolean", "reported":
			e.Reported = m.Value == "true"
		case "reportedReference":
			e.Reported = !m.Value.Missing()
		case "medicationReference":
			medRef = m.Value
		case "medication":
			medRef = m.Value.Get("reference")
		case "basedOn", "authorizingPrescription", "request", "priorPrescription":
			e.BasedOn = c.references(e.BasedOn, m.Value)
		case "derivedFrom":
			e.derivedFrom = c.references(e.derivedFrom, m.Value)
		case "dateAsserted":
			e.asserted = c.date(m.Value)
		case "dosageInstruction", "dosage":
			e.Routes = c.routes(m.Value)
			c.bounds(&when, m.Value)
		default:
			c.when(&when, m.Name, m.Value)
		}
	}
	if !e.judge(when) && r.Doubt != fact.NotUnderstood {
		return false
	}
	if r.Doubt != "" {
		e.doubted()
	}
	e.Drug = c.drug(r, medRef)
	return true
}

// adherence reads how the drug is taken, of R5: the code, or a word that is none
// for what cannot be read.
func adherence(v rawjson.Value) string {
	codings, _, _ := concept(v.Get("code"), nil)
	for _, c := range codings {
		if c.System == adherenceSystem || c.System == "" {
			return c.Code
		}
	}
	if v.Missing() {
		return ""
	}
	return "?"
}

const adherenceSystem = "http://hl7.org/fhir/CodeSystem/medication-statement-adherence"

// timing collects the dates of an exposure, and how R5 says that it is taken.
type timing struct {
	start, end       dates.Interval // of the dosage
	from, to         dates.Interval // effective period
	point            bool           // the effective time is one, not a period
	valid            [2]dates.Interval
	authored, handed dates.Interval
	unread           bool           // the handover has a date that is none
	supply           dates.Duration // of one handing out; nothing if unknown
	all              dates.Duration // with the first supply and all refills
	course           dates.Duration // of the dosage, counted from its start
	changed          dates.Interval // when the status came about, of R5
	updated          dates.Interval // when the resource was written: the status came about by then
	adherence        string         // code of R5
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
		t.valid[0], t.valid[1] = c.period(v.Get("validityPeriod"))
		t.supply = days(v.Get("expectedSupplyDuration"))
		t.all = times(t.supply, 1+repeats(v.Get("numberOfRepeatsAllowed")))
		if t.supply != (dates.Duration{}) {
			t.all = plus(t.all, days(v.Get("initialFill").Get("duration")))
		}
	case "effectivePeriod", "effectiveDosePeriod", "occurencePeriod", "occurrencePeriod":
		t.from, t.to = c.period(v)
	case "effectiveDateTime", "occurenceDateTime", "occurrenceDateTime":
		t.from = c.date(v)
		t.to, t.point = t.from, true
	case "daysSupply":
		t.supply = days(v)
	case "statusChanged":
		t.changed = c.date(v)
	case "meta":
		t.updated = c.date(v.Get("lastUpdated"))
	}
}

// supplied returns when a drug was taken up that could be handed out until some
// time, in supplies for so many days: the validity of a prescription bounds its
// handing out only. Without the days nothing is known.
func (t *timing) supplied() dates.Interval {
	until := t.valid[1]
	if t.supply == (dates.Duration{}) || until.To.IsZero() {
		return dates.Interval{}
	}
	return dates.Interval{To: t.supply.After(until.To), Text: until.Text}
}

// bounds reads the times of dosage instructions: the earliest start and the latest
// end, which is none if an instruction is without; and how long the course is,
// one instruction after the other.
func (c *Chart) bounds(t *timing, v rawjson.Value) {
	open, endless := false, false
	for e := v.Elements(); e.Next(); {
		repeat := e.Value.Get("timing").Get("repeat")
		start, end := c.period(repeat.Get("boundsPeriod"))
		if start.Known() && (!t.start.Known() || start.From.Before(t.start.From)) {
			t.start = start
		}
		if end.Known() && (!t.end.Known() || end.To.After(t.end.To)) {
			t.end = end
		}
		open = open || !end.Known()
		length := days(repeat.Get("boundsDuration"))
		if length == (dates.Duration{}) {
			length = days(repeat.Get("boundsRange").Get("high"))
		}
		endless = endless || length == (dates.Duration{})
		t.course = plus(t.course, length)
	}
	if open {
		t.end = dates.Interval{}
	}
	if endless {
		t.course = dates.Duration{}
	}
}

// usedUp returns when a supply, or else a course, that began at start is used up;
// of both the later one.
func (t *timing) usedUp(start dates.Interval, supply dates.Duration) (until dates.Interval) {
	if !start.Known() || start.From.IsZero() || start.To.IsZero() {
		return until
	}
	for _, d := range [...]dates.Duration{supply, t.course} {
		if d == (dates.Duration{}) {
			continue
		}
		end := dates.Interval{From: d.After(start.From), To: d.After(start.To)}
		if end.To.After(until.To) {
			until = end
		}
	}
	return until
}

// maxDays bounds a supply, one handing out or all of them: about ten years.
const maxDays = 3660

// days reads a length of time in days or longer units; nothing if it is none, or
// beyond ten years. Part of a day counts as a day.
func days(v rawjson.Value) dates.Duration {
	var q units.Quantity
	if ok := quantity(&q, v); !ok || q.Value == nil || q.Comparator != "" {
		return dates.Duration{}
	}
	unit := q.Code
	if unit == "" || q.System != "" && q.System != units.UCUM {
		unit = q.Unit
	}
	if q.Code != "" && q.Unit != "" && lengthOf(q.Code) != lengthOf(q.Unit) && lengthOf(q.Unit) != "" {
		return dates.Duration{} // nobody can tell which of them the number is in
	}
	whole := new(apd.Decimal)
	if _, err := apd.BaseContext.WithPrecision(40).Ceil(whole, q.Value); err != nil {
		return dates.Duration{}
	}
	n, err := whole.Int64()
	if err != nil || n < 1 || n > maxDays {
		return dates.Duration{}
	}
	d := dates.Duration{}
	switch lengthOf(unit) {
	case "d":
		d.Days = int(n)
	case "wk":
		d.Days = 7 * int(n)
	case "mo":
		d.Months = int(n)
	case "a":
		d.Years = int(n)
	case "h":
		d.Days = (int(n) + 23) / 24
	}
	if roughly(d) > maxDays {
		return dates.Duration{}
	}
	return d
}

// lengthOf returns the UCUM code of a unit of time in its usual spellings; days if
// nothing is said, "" for another.
func lengthOf(unit string) string {
	switch strings.ToLower(unit) {
	case "", "d", "day", "days", "day(s)":
		return "d"
	case "wk", "week", "weeks", "week(s)":
		return "wk"
	case "mo", "month", "months", "month(s)":
		return "mo"
	case "a", "year", "years", "year(s)":
		return "a"
	case "h", "hour", "hours", "hour(s)":
		return "h"
	default:
		return ""
	}
}

// repeats reads how often a prescription may be handed out again; 0 if it does not
// say, and what is beyond a hundred is a hundred.
func repeats(v rawjson.Value) int {
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 0 {
		return 0
	}
	return min(n, 100)
}

func roughly(d dates.Duration) int { return 366*d.Years + 31*d.Months + d.Days }

// times is a length n times; more than a hundred years are a hundred.
func times(d dates.Duration, n int) dates.Duration {
	if r := roughly(d); r > 0 {
		n = min(n, 10*maxDays/r)
	}
	return dates.Duration{Years: n * d.Years, Months: n * d.Months, Days: n * d.Days}
}

func plus(a, b dates.Duration) dates.Duration {
	return dates.Duration{Years: a.Years + b.Years, Months: a.Months + b.Months, Days: a.Days + b.Days}
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
