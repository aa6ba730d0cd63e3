package dates

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrDuration means that a text is not an ISO 8601 duration of whole numbers
// such as P365D, P1Y or PT24H; the author of the rule or parameter mends it.
var ErrDuration = errors.New("not an ISO 8601 duration such as P365D, P1Y or PT24H")

// Duration is a length of time in calendar units: a year is a year, not 365
// days. It is never negative.
type Duration struct {
	Years, Months, Days     int
	Hours, Minutes, Seconds int
}

// maxField bounds every field, so that no sum leaves the range of dates.
const maxField = 100_000

// ParseDuration reads an ISO 8601 duration: P, then years Y, months M, weeks
// W, days D, then T and hours H, minutes M, seconds S, in this order, each a
// whole number of at most 100,000, weeks counting as days. At least one field must be given.
func ParseDuration(text string) (Duration, error) {
	var d Duration
	rest, ok := strings.CutPrefix(text, "P")
	if !ok {
		return Duration{}, ErrDuration
	}
	day, clock, timed := strings.Cut(rest, "T")
	var weeks int
	okDay := fields(day, "YMWD", &d.Years, &d.Months, &weeks, &d.Days)
	okClock := fields(clock, "HMS", &d.Hours, &d.Minutes, &d.Seconds)
	if !okDay || !okClock || timed && clock == "" || day == "" && clock == "" {
		return Duration{}, ErrDuration
	}
	if d.Days += 7 * weeks; d.Days > maxField {
		return Duration{}, ErrDuration
	}
	return d, nil
}

// fields reads numbers with the unit letters in their order.
func fields(text, units string, into ...*int) bool {
	next := 0
	for text != "" {
		n, digits := 0, 0
		for digits < len(text) && '0' <= text[digits] && text[digits] <= '9' {
			if n = n*10 + int(text[digits]-'0'); n > maxField {
				return false
			}
			digits++
		}
		if digits == 0 || digits == len(text) {
			return false
		}
		unit := strings.IndexByte(units[next:], text[digits])
		if unit < 0 {
			return false
		}
		*into[next+unit] = n
		next += unit + 1
		text = text[digits+1:]
	}
	return true
}

// Before gives the instant that lies the duration before t, by the calendar
// of t's zone. A day that a month lacks becomes its last day: one month
// before 31 March is 28 or 29 February.
func (d Duration) Before(t time.Time) time.Time { return d.add(t, -1) }

// After gives the instant that lies the duration after t; see Before.
func (d Duration) After(t time.Time) time.Time { return d.add(t, 1) }

func (d Duration) add(t time.Time, sign int) time.Time {
	y, m, day := t.Date()
	month := time.Date(y+sign*d.Years, m+time.Month(sign*d.Months), 1, 0, 0, 0, 0, time.UTC)
	if last := daysIn(month.Year(), int(month.Month())); day > last {
		day = last
	}
	h, min, s := t.Clock()
	t = time.Date(month.Year(), month.Month(), day+sign*d.Days, h, min, s, t.Nanosecond(), t.Location())
	clock := time.Duration(d.Hours)*time.Hour + time.Duration(d.Minutes)*time.Minute + time.Duration(d.Seconds)*time.Second
	return t.Add(time.Duration(sign) * clock)
}

// String writes the duration in ISO 8601, weeks as days.
func (d Duration) String() string {
	var b strings.Builder
	put := func(n int, unit byte) {
		if n != 0 {
			fmt.Fprintf(&b, "%d%c", n, unit)
		}
	}
	b.WriteByte('P')
	put(d.Years, 'Y')
	put(d.Months, 'M')
	put(d.Days, 'D')
	if d.Hours != 0 || d.Minutes != 0 || d.Seconds != 0 {
		b.WriteByte('T')
		put(d.Hours, 'H')
		put(d.Minutes, 'M')
		put(d.Seconds, 'S')
	}
	if b.Len() == 1 {
		return "P0D"
	}
	return b.String()
}
