package clinical

import (
	"fmt"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// dateQuestions ask for dates and ages, and compare them.
func dateQuestions() []Function {
	unit := Option{Name: "unit", Kind: KindEnum, Words: []string{"a", "mo", "wk", "d"}, Required: true,
		Doc: "years, months, weeks or days"}
	elapsedUnit := unit
	elapsedUnit.Words, elapsedUnit.Doc = []string{"a", "mo", "wk", "d", "h", "min"},
		"years, months, weeks, days, hours or minutes"
	by := Option{Name: "by", Kind: KindDuration, Required: true, Param: true, Doc: "how much"}
	from := Option{Name: "from", Kind: KindDuration, Param: true, Doc: "the age from which one is; without it 18 years"}
	d := Argument{"d", typeDate}
	comparison := func(name, doc string, run func(...*fact.Value) *fact.Fact, args ...Argument) Function {
		return Function{Name: name, Doc: doc, Unknown: "dates are absent or unknown, or too coarse to decide",
			Args:   args,
			Result: typeFact, Reads: None(), Attributes: None(), Run: compareDates(run)}
	}
	known := "d is unknown"
	return []Function{
		{
			Name: "fhir.now", Doc: "the instant of the call", Result: typeDate, Exact: true,
			Reads: None(), Attributes: None(), Run: now,
		},
		{
			Name: "fhir.today", Doc: "the day of the call in the tenant's zone, some instant of it", Result: typeDate,
			Reads: None(), Attributes: None(), Run: today,
		},
		{
			Name: "fhir.birth_date", Doc: "the patient's date of birth, as coarse as it was sent",
			Unknown: "no patient or birth date, in the future, or more than 130 years ago", Result: typeDate,
			Reads: []string{"Patient"}, Attributes: []string{attributeAge}, Run: birthDate,
		},
		{
			Name: "fhir.age", Doc: "completed years, months, weeks or days; an interval if the birth date is coarse",
			Unknown: "no patient or birth date, or above 130 years", Options: []Option{unit}, Result: typeValue,
			Reads: []string{"Patient"}, Attributes: []string{attributeAge}, Run: age,
		},
		{
			Name: "fhir.age_at", Doc: "the same at a date",
			Unknown: "the age or the date is, or it lies before the birth",
			Options: []Option{unit}, Args: []Argument{d}, Result: typeValue,
			Reads: []string{"Patient"}, Attributes: []string{attributeAge}, Run: ageAt,
		},
		{
			Name: "fhir.adult", Doc: "the patient is of age: has had that birthday",
			Unknown: "as `fhir.age`, or the birth date is too coarse",
			Options: []Option{from}, Result: typeFact, Reads: []string{"Patient"}, Attributes: []string{attributeAge},
			Run: ofAge(fact.True),
		},
		{
			Name: "fhir.child", Doc: "the patient is not of age yet", Unknown: "as `fhir.adult`",
			Options: []Option{from}, Result: typeFact, Reads: []string{"Patient"}, Attributes: []string{attributeAge},
			Run: ofAge(fact.False),
		},
		{
			Name: "fhir.recent", Doc: "d lies in the last while up to now",
			Unknown: "d is absent, unknown or too coarse",
			Options: []Option{{Name: "within", Kind: KindDuration, Required: true, Param: true,
				Doc: "how long ago at most"}},
			Args: []Argument{d}, Result: typeFact, Reads: None(), Attributes: None(), Run: recent,
		},
		{
			Name: "fact.date_of",
			Doc: "the date of a value, or of the newest resource that a fact rests on: an interval up to now if not all " +
				"sources came whole",
			Absent: "the value is, or the fact is false and rests on nothing",
			Unknown: "the fact or value is, a resource has no date or is counted only, or the fact is false and rests " +
				"on nothing but not all sources came whole (`partial-result`)",
			Args: []Argument{{"x", typeDated}}, Result: typeDate, Reads: None(), Attributes: None(), Run: dateOf,
		},
		{
			Name: "fact.date_plus", Doc: "d and a duration, by the calendar of the tenant's zone", Absent: "d is",
			Unknown: known, Options: []Option{by}, Args: []Argument{d}, Result: typeDate,
			Reads: None(), Attributes: None(), Run: shift(dates.Duration.After),
		},
		{
			Name: "fact.date_minus", Doc: "d less a duration, by the calendar of the tenant's zone", Absent: "d is",
			Unknown: known, Options: []Option{by}, Args: []Argument{d}, Result: typeDate,
			Reads: None(), Attributes: None(), Run: shift(dates.Duration.Before),
		},
		{
			Name: "fact.elapsed",
			Doc: "completed units from one date to another, by the calendar of the tenant's zone " +
				"(hours and minutes by the clock); negative if the second comes first",
			Absent: "one of them is", Unknown: "one of them is",
			Options: []Option{elapsedUnit}, Args: []Argument{{"since", typeDate}, {"until", typeDate}},
			Result: typeValue,
			Reads:  None(), Attributes: None(), Run: elapsed,
		},
		comparison("fact.before", "a lies before b", func(v ...*fact.Value) *fact.Fact {
			return fact.Before(v[0],
				v[1])
		},
			Argument{"a", typeDate}, Argument{"b", typeDate}),
		comparison("fact.after", "a lies after b", func(v ...*fact.Value) *fact.Fact { return fact.After(v[0], v[1]) },
			Argument{"a", typeDate}, Argument{"b", typeDate}),
		comparison("fact.during", "d lies in the period, its ends included",
			func(v ...*fact.Value) *fact.Fact { return fact.During(v[0], v[1], v[2]) },
			d, Argument{"start", typeDate}, Argument{"end", typeDate}),
		comparison("fact.overlap", "two periods, their ends included, have an instant in common",
			func(v ...*fact.Value) *fact.Fact { return fact.Overlap(v[0], v[1], v[2], v[3]) },
			Argument{"start", typeDate}, Argument{"end", typeDate},
			Argument{"other_start", typeDate}, Argument{"other_end", typeDate}),
	}
}

// dated returns a date of the chart as a value: unknown if nothing is known of it.
func (s *Session) dated(name string, d dates.Interval, evidence ...fact.Evidence) *fact.Value {
	v := &fact.Value{Name: name, Evidence: evidence}
	if !d.Known() {
		v.Reasons = []fact.Reason{{Code: fact.NoData, What: name}}
		return v
	}
	v.State, v.Date = fact.Known, &fact.Date{From: d.From, To: d.To, Text: d.Text}
	if v.Date.Text == "" {
		v.Date.Text = s.dateText(d)
	}
	for _, t := range []*time.Time{&v.Date.From, &v.Date.To} {
		if !t.IsZero() {
			*t = t.UTC()
		}
	}
	return v
}

// interval returns a known date in the tenant's zone.
func (s *Session) interval(v *fact.Value) dates.Interval {
	d := dates.Interval{Text: v.Date.Text}
	if !v.Date.From.IsZero() {
		d.From = v.Date.From.In(s.chart.zone())
	}
	if !v.Date.To.IsZero() {
		d.To = v.Date.To.In(s.chart.zone())
	}
	return d
}

// dateText writes a date that was computed as coarsely as it is known.
func (s *Session) dateText(d dates.Interval) string {
	if d.From.IsZero() || d.To.IsZero() {
		return "" // fact.Date says so
	}
	from, end := d.From.In(s.chart.zone()), d.To.In(s.chart.zone()).Add(time.Nanosecond)
	midnight := func(t time.Time) bool { return t.Equal(startOfDay(t)) }
	switch {
	case d.From.Equal(d.To):
		return from.Format(time.RFC3339)
	case !midnight(from) || !midnight(end):
		return from.Format(time.RFC3339) + " to " + d.To.In(s.chart.zone()).Format(time.RFC3339)
	case from.Month() == 1 && from.Day() == 1 && from.AddDate(1, 0, 0).Equal(end):
		return from.Format("2006")
	case from.Day() == 1 && from.AddDate(0, 1, 0).Equal(end):
		return from.Format("2006-01")
	case from.AddDate(0, 0, 1).Equal(end):
		return from.Format(time.DateOnly)
	default:
		return from.Format(time.DateOnly) + " to " + d.To.In(s.chart.zone()).Format(time.DateOnly)
	}
}

func now(s *Session, _ *Call) (*ast.Term, error) {
	t := s.chart.now()
	return s.newDate(s.dated("now", dates.Interval{From: t, To: t}))
}

func today(s *Session, _ *Call) (*ast.Term, error) {
	from := startOfDay(s.chart.now())
	return s.newDate(s.dated("today", dates.Interval{From: from, To: from.AddDate(0, 0, 1).Add(-time.Nanosecond)}))
}

// birth returns the patient's birth date; unknown if there is none that a living
// patient can have.
func (s *Session) birth() *fact.Value {
	p, reasons := s.chart.patient(attributeAge)
	if p == nil {
		v := &fact.Value{Name: "birth date"}
		for _, r := range reasons {
			v.Reasons = append(v.Reasons, fact.Reason{Code: r.Code, What: "birth date"})
		}
		return v
	}
	v := s.dated("birth date", p.Birth, p.Evidence("birth date", p.Birth.Text))
	now := s.chart.now()
	switch {
	case v.State != fact.Known:
	case p.Birth.From.IsZero() || p.Birth.To.IsZero():
		v.State, v.Date, v.Reasons = fact.PresenceUnknown, nil, []fact.Reason{{Code: fact.NoData, What: v.Name}}
	case p.Birth.From.After(now) || completed("a", p.Birth.From, now) > 130:
		v.State, v.Date, v.Reasons = fact.PresenceUnknown, nil, []fact.Reason{{Code: fact.Implausible, What: v.Name}}
	}
	return v
}

func birthDate(s *Session, _ *Call) (*ast.Term, error) { return s.newDate(s.birth()) }

// age returns the completed units of the patient's life as an interval: one number
// if the birth date is known to the day.
func age(s *Session, c *Call) (*ast.Term, error) { return s.newValue(s.ageIn(c.text("unit"))) }

// age is in years.
func (s *Session) age() *fact.Value { return s.ageIn("a") }

func (s *Session) ageIn(unit string) *fact.Value {
	t := s.chart.now()
	return s.ageAt(unit, dates.Interval{From: t, To: t})
}

func ageAt(s *Session, c *Call) (*ast.Term, error) {
	at, err := s.date(c.args[0])
	if err != nil {
		return nil, err
	}
	unit := c.text("unit")
	if at.State != fact.Known {
		return s.newValue(&fact.Value{Name: "age", Unit: unit, Reasons: at.Why(), Evidence: at.Evidence, More: at.More})
	}
	return s.newValue(s.ageAt(unit, s.interval(at)))
}

func (s *Session) ageAt(unit string, at dates.Interval) *fact.Value {
	v, birth := &fact.Value{Name: "age", Unit: unit}, s.birth()
	if birth.State != fact.Known {
		v.Reasons = birth.Reasons
		return v
	}
	born := s.interval(birth)
	if !at.To.IsZero() && startOfDay(born.From).After(at.To) {
		v.Reasons = []fact.Reason{{Code: fact.NotApplicable, What: "age before birth"}}
		return v
	}
	low := int64(0)
	if !at.From.IsZero() {
		low = max(low, completed(unit, born.To, at.From))
	}
	v.State, v.Low = fact.Known, apd.New(low, 0)
	text := fmt.Sprintf("%d %s", low, unit)
	if at.To.IsZero() {
		text = "from " + text
	} else if high := completed(unit, born.From, at.To); high != low {
		v.High, text = apd.New(high, 0), fmt.Sprintf("%d-%d %s", low, high, unit)
	} else {
		v.High = apd.New(high, 0)
	}
	e := birth.Evidence[0]
	e.What, e.Value = "age", text
	v.Evidence = []fact.Evidence{e}
	return v
}

// completed counts whole units from one time to another: years, months, weeks and
// days by the calendar dates of the zone that the times are in, without their
// clocks; hours and minutes by the clock. Someone born on 29 February turns a
// year older on 1 March of other years. It is negative if the second comes first.
func completed(unit string, from, to time.Time) int64 {
	if to.Before(from) {
		return -completed(unit, to, from)
	}
	to = to.In(from.Location())
	fy, fm, fd := from.Date()
	ty, tm, td := to.Date()
	months := int64(ty-fy)*12 + int64(tm-fm)
	if td < fd {
		months--
	}
	seconds := to.Unix() - from.Unix()
	if to.Nanosecond() < from.Nanosecond() {
		seconds--
	}
	midnight := func(y int, m time.Month, d int) int64 { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() }
	days := (midnight(ty, tm, td) - midnight(fy, fm, fd)) / 86400
	switch unit {
	case "a":
		return months / 12
	case "mo":
		return months
	case "wk":
		return days / 7
	case "d":
		return days
	case "h":
		return seconds / 3600
	default: // min
		return seconds / 60
	}
}

// ofAge asks whether the patient has reached an age. The birthday counts whole.
func ofAge(want fact.State) implementation {
	return func(s *Session, c *Call) (*ast.Term, error) {
		from, text := dates.Duration{Years: 18}, "P18Y"
		if c.has("from") {
			from, text = c.duration("from"), c.text("from")
		}
		f, birth := s.blank(), s.birth()
		f.Label, f.Limit = "is at least "+text+" old", text
		if want == fact.False {
			f.Label = "is not yet " + text + " old"
		}
		if birth.State != fact.Known {
			f.Reasons = birth.Reasons
			return s.newFact(c, f)
		}
		f.Values = []*fact.Value{birth}
		born, now := s.interval(birth), s.chart.now()
		switch {
		case !birthday(born.To, from).After(now):
			f.State = want
		case birthday(born.From, from).After(now):
			f.State = fact.False + fact.True - want
		default:
			f.Reasons = []fact.Reason{{Code: fact.PrecisionInsufficient, What: birth.Name}}
		}
		return s.newFact(c, f)
	}
}

// birthday returns when somebody reaches an age: on 1 March if born on 29 February,
// in years that have none.
func birthday(born time.Time, age dates.Duration) time.Time {
	born = startOfDay(born)
	day := dates.Duration{Years: age.Years, Months: age.Months}.After(born)
	if day.Day() != born.Day() {
		day = day.AddDate(0, 0, 1)
	}
	age.Years, age.Months = 0, 0
	return age.After(day)
}

func recent(s *Session, c *Call) (*ast.Term, error) {
	d, err := s.date(c.args[0])
	if err != nil {
		return nil, err
	}
	f, now := s.blank(), s.chart.now()
	f.Label, f.Limit, f.Values = d.Name+" in the last "+c.text("within"), c.text("within"), []*fact.Value{d}
	if d.State != fact.Known {
		f.Reasons = d.Why()
		return s.newFact(c, f)
	}
	if f.State = s.interval(d).Within(c.duration("within").Before(now), now); f.State == fact.Unknown {
		f.Reasons = []fact.Reason{{Code: fact.PrecisionInsufficient, What: d.Name}}
	}
	return s.newFact(c, f)
}

// dateOf returns the date of a value, or of the newest evidence of a fact. Evidence
// without a date may be the newest of all, and so may one that is not named.
func dateOf(s *Session, c *Call) (*ast.Term, error) {
	if v, err := s.value(c.args[0]); err == nil {
		return s.newDate(s.dateOfValue(v))
	}
	f, err := s.fact(c.args[0])
	if err != nil {
		return nil, err
	}
	evidence, more := f.Gather()
	if err := s.useCost(len(evidence)); err != nil {
		return nil, err
	}
	none := []fact.Reason{{Code: fact.NoData, What: "date of evidence"}}
	v := &fact.Value{Name: none[0].What, Evidence: evidence, More: more}
	switch {
	case f.State == fact.Unknown:
		v.Reasons = f.Reasons
	case len(evidence) == 0 && more == 0 && f.State == fact.False:
		v.State, v.Reasons = fact.Absent, none
		if !s.chart.whole() { // what it would rest on may not have come
			v.State, v.Reasons = fact.PresenceUnknown, []fact.Reason{{Code: fact.PartialResult, What: "evidence"}}
		}
	case len(evidence) == 0 || more > 0:
		v.Reasons = none
	default:
		var newest dates.Interval
		for _, e := range evidence {
			d, err := dates.Parse(e.When, s.chart.zone())
			if err != nil {
				v.Reasons = none
				return s.newDate(v)
			}
			if newest.From.Before(d.From) {
				newest.From, newest.Text = d.From, d.Text
			}
			if newest.To.Before(d.To) {
				newest.To = d.To
			}
		}
		if now := s.chart.now(); !s.chart.whole() && newest.To.Before(now) { // something newer may not have come
			newest.To, newest.Text = now, ""
		}
		if len(evidence) > 1 {
			newest.Text = ""
		}
		known := s.dated(v.Name, newest)
		v.State, v.Date, v.Reasons = known.State, known.Date, known.Reasons
	}
	return s.newDate(v)
}

func (s *Session) dateOfValue(v *fact.Value) *fact.Value {
	name := "date of " + v.Name
	if v.State != fact.Known {
		return &fact.Value{State: v.State, Name: name, Reasons: v.Why(), Evidence: v.Evidence, More: v.More}
	}
	d, err := dates.Parse(v.When, s.chart.zone())
	if err != nil {
		d = dates.Interval{}
	}
	dated := s.dated(name, d, v.Evidence...)
	dated.More = v.More
	return dated
}

// shift moves a date by a duration.
func shift(by func(dates.Duration, time.Time) time.Time) implementation {
	return func(s *Session, c *Call) (*ast.Term, error) {
		d, err := s.date(c.args[0])
		if err != nil {
			return nil, err
		}
		sign := " + "
		if c.function.Name == "fact.date_minus" {
			sign = " - "
		}
		moved := *d
		moved.Name += sign + c.text("by")
		if d.State == fact.Known {
			at := s.interval(d)
			for _, t := range []*time.Time{&at.From, &at.To} {
				if !t.IsZero() {
					*t = by(c.duration("by"), *t)
				}
			}
			if !inRange(at.From) || !inRange(at.To) {
				return nil, fmt.Errorf("the date would lie outside the years 1 to 9999")
			}
			at.Text = ""
			moved.Date = s.dated(moved.Name, at).Date
		}
		return s.newDate(&moved)
	}
}

// inRange reports whether a bound is none, or one that JSON can spell.
func inRange(t time.Time) bool { return t.IsZero() || t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 }

func elapsed(s *Session, c *Call) (*ast.Term, error) {
	from, err := s.date(c.args[0])
	if err != nil {
		return nil, err
	}
	to, err := s.date(c.args[1])
	if err != nil {
		return nil, err
	}
	unit := c.text("unit")
	v := &fact.Value{Name: "time from " + from.Name + " to " + to.Name, Unit: unit,
		Evidence: append(append([]fact.Evidence(nil), from.Evidence...), to.Evidence...), More: from.More + to.More}
	for _, d := range []*fact.Value{from, to} {
		if d.State != fact.Known {
			v.Reasons = fact.Merge(v.Reasons, d.Why())
		}
	}
	if len(v.Reasons) > 0 {
		if from.State != fact.PresenceUnknown && to.State != fact.PresenceUnknown {
			v.State = fact.Absent
		}
		return s.newValue(v)
	}
	a, b := s.interval(from), s.interval(to)
	if !a.To.IsZero() && !b.From.IsZero() {
		v.Low = apd.New(completed(unit, a.To, b.From), 0)
	}
	if !a.From.IsZero() && !b.To.IsZero() {
		v.High = apd.New(completed(unit, a.From, b.To), 0)
	}
	if v.Low == nil && v.High == nil {
		v.Reasons = []fact.Reason{{Code: fact.PrecisionInsufficient, What: v.Name}}
		return s.newValue(v)
	}
	v.State = fact.Known
	return s.newValue(v)
}

func compareDates(compare func(...*fact.Value) *fact.Fact) implementation {
	return func(s *Session, c *Call) (*ast.Term, error) {
		of := make([]*fact.Value, len(c.args))
		for i, t := range c.args {
			var err error
			if of[i], err = s.date(t); err != nil {
				return nil, err
			}
		}
		return s.newFact(c, compare(of...))
	}
}
