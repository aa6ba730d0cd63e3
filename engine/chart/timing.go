package chart

import (
	"slices"

	"github.com/cockroachdb/apd/v3"

	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/chart/units"
)

// timesADay are the codes of HL7 v3 GTSAbbreviation in the FHIR value set
// timing-abbreviation, as doses and the days that they are given in: QOD is one
// dose in two days. A month has 28 to 31 days.
var timesADay = map[string]struct{ times, days, daysMost int64 }{
	"BID": {2, 1, 1}, "TID": {3, 1, 1}, "QID": {4, 1, 1}, "QD": {1, 1, 1}, "QOD": {1, 2, 2}, "AM": {1, 1, 1},
	"PM": {1, 1, 1}, "BED": {1, 1, 1}, "Q1H": {24, 1, 1}, "Q2H": {12, 1, 1}, "Q3H": {8, 1, 1}, "Q4H": {6, 1, 1},
	"Q6H": {4, 1, 1}, "Q8H": {3, 1, 1}, "WK": {1, 7, 7}, "MO": {1, 28, 31},
}

// onceADay are the events of FHIR's value set event-timing that happen once a day.
// C, AC and PC are not among them: they are of each meal, and nobody says how many
// there are.
var onceADay = []string{"MORN", "MORN.early", "MORN.late", "NOON", "AFT", "AFT.early", "AFT.late", "EVE", "EVE.early",
	"EVE.late", "NIGHT", "PHS", "HS", "WAKE", "CM", "CD", "CV", "ACM", "ACD", "ACV", "PCM", "PCD", "PCV"}

var mealtimes = []string{"C", "AC", "PC"}

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// readTiming reads how often a dose is given, and for how long.
func (c *Chart) readTiming(in *Instruction, p *parts, v rawjson.Value) {
	var repeated, coded Range
	bad, events := false, 0
	for m := v.Members(); m.Next(); {
		if m.Value.Missing() {
			continue
		}
		switch m.Name {
		case "modifierExtension":
			bad = bad || m.Value != "[]"
		case "event":
			for e := m.Value.Elements(); e.Next(); {
				events++
			}
		case "repeat":
			var ok bool
			repeated, ok = c.repeat(in, p, m.Value)
			bad = bad || !ok
		case "code":
			coded = timingCode(m.Value)
		}
	}
	switch {
	case bad:
		p.badTimes = true
	case repeated.Known() && coded.Known():
		p.contradict = p.contradict || repeated.disjoint(coded)
		in.Times = repeated
	case repeated.Known():
		in.Times = repeated
	case coded.Known():
		in.Times = coded
	case events > 0:
		p.badTimes = true // on some dates: that is no rate
	default:
		p.timing = false // nothing about how often
	}
}

// timingCode reads Timing.code: a code of GTSAbbreviation, else words for how often.
func timingCode(v rawjson.Value) Range {
	codings, text, _ := concept(v, nil)
	var found Range
	for _, c := range codings {
		switch c.System {
		case "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation", "http://hl7.org/fhir/v3/GTSAbbreviation",
			"urn:oid:2.16.840.1.113883.5.1022", "2.16.840.1.113883.5.1022":
		default:
			continue
		}
		x, ok := timesADay[c.Code]
		if !ok {
			return Range{}
		}
		found = wholeDays(x.times, x.times).Over(wholeDays(x.days, x.daysMost))
	}
	if len(codings) > 0 || text == "" {
		return found
	}
	if times, asNeeded, ok := readFrequency(text); ok && !asNeeded {
		return times
	}
	return Range{}
}

// schedule is what Timing.repeat holds.
type schedule struct {
	frequency, frequencyMax *apd.Decimal
	period, periodMax       *apd.Decimal
	unit                    string
	duration, durationMax   *apd.Decimal
	durationUnit            string
	count, countMax         *apd.Decimal
	clock, days             int // of timeOfDay and dayOfWeek
	when                    int // events that happen once a day
	meals                   bool
}

// repeat returns how often in a day; nothing if the element does not say. It
// reports false for what cannot be read.
func (c *Chart) repeat(in *Instruction, p *parts, v rawjson.Value) (Range, bool) {
	var s schedule
	ok := true
	number := func(v rawjson.Value) *apd.Decimal {
		n, err := units.ParseNumber(string(v))
		if err != nil || n.Sign() <= 0 {
			ok = false
			return nil
		}
		return n
	}
	for m := v.Members(); m.Next(); {
		if m.Value.Missing() {
			continue
		}
		switch m.Name {
		case "modifierExtension":
			ok = ok && m.Value == "[]"
		case "frequency":
			s.frequency = number(m.Value)
		case "frequencyMax":
			s.frequencyMax = number(m.Value)
		case "period":
			s.period = number(m.Value)
		case "periodMax":
			s.periodMax = number(m.Value)
		case "periodUnit", "periodUnits":
			s.unit = m.Value.Text()
		case "duration":
			s.duration = number(m.Value)
		case "durationMax":
			s.durationMax = number(m.Value)
		case "durationUnit":
			s.durationUnit = m.Value.Text()
		case "count":
			s.count = number(m.Value)
		case "countMax":
			s.countMax = number(m.Value)
		case "timeOfDay":
			s.clock = len(distinct(m.Value))
		case "dayOfWeek":
			days := distinct(m.Value)
			for _, d := range days {
				ok = ok && slices.Contains(weekdays, d)
			}
			s.days = len(days)
		case "when":
			for _, w := range distinct(m.Value) {
				switch {
				case slices.Contains(onceADay, w):
					s.when++
				case slices.Contains(mealtimes, w):
					s.meals = true
				default:
					ok = false
				}
			}
		case "boundsPeriod":
			in.Start, in.End = c.period(m.Value)
			in.Days = daysBetween(in)
		case "boundsDuration":
			in.Days, _ = durationOf(m.Value)
		case "boundsRange":
			in.Days, _ = durationRange(m.Value)
		}
	}
	if !ok {
		return Range{}, false
	}
	if s.count != nil {
		in.Count = Range{s.count, larger(s.count, s.countMax)}
	}
	in.runs(&s)
	return s.times(p)
}

// distinct reads a list of strings, each once.
func distinct(v rawjson.Value) []string {
	list := words(v)
	slices.Sort(list)
	return slices.Compact(list)
}

// runs makes doses of what runs at some rate for a stated time.
func (in *Instruction) runs(s *schedule) {
	if s.duration == nil || len(in.Rates) == 0 || len(in.Doses) > 0 {
		return
	}
	days, ok := period(s.duration, larger(s.duration, s.durationMax), s.durationUnit)
	if !ok {
		return
	}
	for _, r := range in.Rates {
		r.Unit.Over = ""
		r.Range = r.Range.Times(days).Times(wholeDays(24, 24))
		in.Doses = append(in.Doses, r)
	}
}

// times is how often in a day. Elements that say different numbers contradict each
// other.
func (s *schedule) times(p *parts) (Range, bool) {
	var often Range
	switch {
	case s.period != nil:
		days, ok := period(s.period, larger(s.period, s.periodMax), s.unit)
		if !ok {
			return Range{}, false
		}
		if s.frequency == nil {
			s.frequency = apd.New(1, 0) // every six hours
			if s.when+s.clock > 0 {
				s.frequency = apd.New(int64(max(s.when, s.clock)), 0)
			}
		}
		often = Range{s.frequency, larger(s.frequency, s.frequencyMax)}.Over(days)
	case s.frequency != nil && (s.when+s.clock == 0 || s.days > 0):
		return Range{}, false // so often in what time?
	}
	daily := wholeDays(int64(s.when+s.clock), int64(s.when+s.clock))
	switch {
	case s.when+s.clock == 0 || s.meals: // meals besides: so many at least
	case !often.Known():
		often = daily
	case s.days > 0 || s.period.Cmp(apd.New(1, 0)) != 0 || s.unit != "d":
		// at these hours, on some days
	case often.disjoint(daily):
		p.contradict = true
	}
	if s.days > 0 {
		return s.weekly(p, often)
	}
	if !often.Known() && s.count != nil && s.count.Cmp(apd.New(1, 0)) == 0 && s.countMax == nil {
		return wholeDays(1, 1), true // once in all
	}
	return often, often.Known() || s.empty()
}

// weekly spreads what is given on some days of the week over all of them.
func (s *schedule) weekly(p *parts, often Range) (Range, bool) {
	days := wholeDays(int64(s.days), int64(s.days))
	week := wholeDays(7, 7)
	switch {
	case !often.Known():
		return days.Over(week), true // once on each
	case s.unit == "d" && s.period.Cmp(apd.New(1, 0)) == 0 || s.period == nil:
		return often.Times(days).Over(week), true // so often on each
	case s.unit == "wk":
		if each := often.Times(week); s.days > 1 && s.period.Cmp(apd.New(1, 0)) == 0 && each.disjoint(days) {
			p.contradict = true // three days, and once a week
		}
		return often, true
	default:
		return Range{}, false
	}
}

// empty reports whether the element says nothing about how often.
func (s *schedule) empty() bool {
	return s.frequency == nil && s.period == nil && s.clock == 0 && s.days == 0 && s.when == 0 && !s.meals
}

// daysBetween is the length of the bounds of an instruction, both days included.
func daysBetween(in *Instruction) Range {
	if in.Start.From.IsZero() || in.Start.To.IsZero() || in.End.From.IsZero() || in.End.To.IsZero() {
		return Range{}
	}
	count := func(from, to int64) int64 { return max((to-from)/86400+1, 0) }
	// From the last moment of a start given as a day to the first of an end is a day
	// less on each side than the days that they name.
	least := count(in.Start.From.Unix(), in.End.From.Unix())
	most := count(in.Start.From.Unix(), in.End.To.Unix())
	return wholeDays(least, max(least, most))
}

// durationOf reads a Duration in days.
func durationOf(v rawjson.Value) (Range, bool) {
	hours, ok := hoursOf(v)
	if !ok {
		return Range{}, false
	}
	return hours.Over(wholeDays(24, 24)), true
}

// durationRange reads a Range of durations in days.
func durationRange(v rawjson.Value) (Range, bool) {
	low, okLow := durationOf(v.Get("low"))
	high, okHigh := durationOf(v.Get("high"))
	switch {
	case okLow && okHigh:
		return Range{low.Low, high.High}, true
	case okHigh && v.Get("low").Missing():
		return Range{new(apd.Decimal), high.High}, true
	case okLow && v.Get("high").Missing():
		return Range{Low: low.Low}, true
	default:
		return Range{}, false
	}
}
