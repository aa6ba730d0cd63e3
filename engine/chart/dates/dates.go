// Package dates reads FHIR dates as what they are: points in time that are
// known only between two bounds. "2024" is some instant of that year; a
// dateTime with a zone is one instant.
//
// Comparisons are three-valued: a date too coarse for the question yields
// fact.Unknown, never a guess. Zones come from time-zone data embedded at the
// release TZData, never from the machine, so that a record replays to the
// same instants anywhere. Nothing here reads a clock.
package dates

import (
	"errors"
	"time"

	"github.com/precept-cds/precept/engine/fact"
)

// ErrDate means that a text is not a FHIR date, dateTime or instant between
// the years 1000 and 9999. The date has to be treated as not given.
var ErrDate = errors.New("not a FHIR date")

// Interval is a point in time known to lie between From and To, both
// included. A zero From or To is a bound nobody gave; the zero Interval is a
// point of which nothing is known.
type Interval struct {
	From, To time.Time
	Text     string // as sent
}

// Known reports whether at least one bound is given.
func (i Interval) Known() bool { return !i.From.IsZero() || !i.To.IsZero() }

// Exact reports whether the point is known to the instant.
func (i Interval) Exact() bool { return i.Known() && i.From.Equal(i.To) }

// Before tells whether the point lies before t.
func (i Interval) Before(t time.Time) fact.State {
	switch {
	case !i.To.IsZero() && i.To.Before(t):
		return fact.True
	case !i.From.IsZero() && !i.From.Before(t):
		return fact.False
	default:
		return fact.Unknown
	}
}

// After tells whether the point lies after t.
func (i Interval) After(t time.Time) fact.State {
	switch {
	case !i.From.IsZero() && i.From.After(t):
		return fact.True
	case !i.To.IsZero() && !i.To.After(t):
		return fact.False
	default:
		return fact.Unknown
	}
}

// Within tells whether the point lies in [from, to].
func (i Interval) Within(from, to time.Time) fact.State {
	early, late := i.Before(from), i.After(to)
	switch {
	case early == fact.True || late == fact.True:
		return fact.False
	case early == fact.False && late == fact.False:
		return fact.True
	default:
		return fact.Unknown
	}
}

// Parse reads a FHIR date, dateTime or instant. Dates, and times without a
// zone (which FHIR forbids and senders send), are of the given zone. Where its
// clocks showed such a time twice, or never, because they were changed, the
// interval holds both instants that may be meant. The error is ErrDate and does
// not repeat the text.
func Parse(text string, zone *time.Location) (Interval, error) {
	p := parser{text: text}
	y := p.number(4)
	if p.bad || y < 1000 {
		return Interval{}, ErrDate
	}
	if p.done() {
		return span(text, midnight(y, 1, 1, zone), midnight(y+1, 1, 1, zone)), nil
	}
	p.expect('-')
	m := p.number(2)
	if p.bad || m < 1 || m > 12 {
		return Interval{}, ErrDate
	}
	if p.done() {
		return span(text, midnight(y, m, 1, zone), midnight(y, m+1, 1, zone)), nil
	}
	p.expect('-')
	d := p.number(2)
	if p.bad || d < 1 || d > daysIn(y, m) {
		return Interval{}, ErrDate
	}
	if p.done() {
		return span(text, midnight(y, m, d, zone), midnight(y, m, d+1, zone)), nil
	}
	return p.clock(y, m, d, zone)
}

// clock reads the part from the T on.
func (p *parser) clock(y, m, d int, zone *time.Location) (Interval, error) {
	p.expect('T')
	hour := p.number(2)
	p.expect(':')
	minute := p.number(2)
	second, nanos, precise := 0, 0, false
	if p.next(':') {
		second, precise = p.number(2), true
		nanos = p.fraction()
	}
	loc := p.offset(zone)
	if p.bad || !p.done() || hour > 23 || minute > 59 || second > 60 {
		return Interval{}, ErrDate
	}
	at := shown(time.Date(y, time.Month(m), d, hour, minute, second, nanos, time.UTC), loc)
	if precise {
		return Interval{From: at.first, To: at.last, Text: p.text}, nil
	}
	return span(p.text, at, moment{at.first.Add(time.Minute), at.last.Add(time.Minute)}), nil
}

// span is the interval from a start up to, without, an end.
func span(text string, start, end moment) Interval {
	return Interval{From: start.first, To: end.last.Add(-time.Nanosecond), Text: text}
}

// moment is what the clocks of a zone show as one time: an instant, or either of
// two.
type moment struct{ first, last time.Time }

func midnight(y, m, d int, zone *time.Location) moment {
	return shown(time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC), zone)
}

// changed is within what time of a change of clocks a time can be shown twice or
// never: the largest change was of a day.
const changed = 25 * time.Hour

// shown returns when the clocks of a zone show what a time in UTC reads. When they
// are put back they show some times twice; what they never show, because they are
// put forward, is read with the offset from before and with that from after.
func shown(wall time.Time, zone *time.Location) moment {
	y, m, d := wall.Date()
	hour, minute, second := wall.Clock()
	at := time.Date(y, m, d, hour, minute, second, wall.Nanosecond(), zone)
	start, end := at.ZoneBounds()
	before, after := !start.IsZero() && at.Sub(start) < changed, !end.IsZero() && end.Sub(at) < changed
	if !before && !after { // nearly always
		return moment{at, at}
	}
	offsets := [3]int{offsetAt(at)}
	n := 1
	if before {
		offsets[n], n = offsetAt(start.Add(-time.Nanosecond)), n+1
	}
	if after {
		offsets[n], n = offsetAt(end), n+1
	}
	var is, may moment
	for _, o := range offsets[:n] {
		t := wall.Add(-time.Duration(o) * time.Second).In(zone)
		if may.add(t); offsetAt(t) == o {
			is.add(t)
		}
	}
	if is.first.IsZero() {
		return may
	}
	return is
}

func offsetAt(t time.Time) int {
	_, seconds := t.Zone()
	return seconds
}

func (m *moment) add(t time.Time) {
	if m.first.IsZero() || t.Before(m.first) {
		m.first = t
	}
	if m.last.IsZero() || t.After(m.last) {
		m.last = t
	}
}

func daysIn(y, m int) int {
	return time.Date(y, time.Month(m)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// parser reads fixed-width fields; bad stays set after the first mismatch.
type parser struct {
	text string
	pos  int
	bad  bool
}

func (p *parser) done() bool { return p.pos == len(p.text) }

func (p *parser) number(width int) int {
	n := 0
	for range width {
		if p.pos >= len(p.text) || p.text[p.pos] < '0' || p.text[p.pos] > '9' {
			p.bad = true
			return 0
		}
		n = n*10 + int(p.text[p.pos]-'0')
		p.pos++
	}
	return n
}

func (p *parser) next(c byte) bool {
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(c byte) {
	if !p.next(c) {
		p.bad = true
	}
}

// fraction reads a fraction of a second; digits beyond nanoseconds are cut.
func (p *parser) fraction() int {
	if !p.next('.') {
		return 0
	}
	start, nanos := p.pos, 0
	for p.pos < len(p.text) && '0' <= p.text[p.pos] && p.text[p.pos] <= '9' {
		if p.pos-start < 9 {
			nanos = nanos*10 + int(p.text[p.pos]-'0')
		}
		p.pos++
	}
	if p.pos == start {
		p.bad = true
	}
	for n := p.pos - start; n < 9; n++ {
		nanos *= 10
	}
	return nanos
}

// offset reads Z, +hh:mm or -hh:mm; nothing means the given zone.
func (p *parser) offset(zone *time.Location) *time.Location {
	sign := 1
	switch {
	case p.done():
		return zone
	case p.next('Z'):
		return time.UTC
	case p.next('-'):
		sign = -1
	default:
		p.expect('+')
	}
	h := p.number(2)
	p.expect(':')
	m := p.number(2)
	if h > 14 || m > 59 {
		p.bad = true
	}
	if h == 0 && m == 0 {
		return time.UTC
	}
	return time.FixedZone("", sign*(h*3600+m*60))
}
