package dates

import (
	"time"

	"github.com/precept-cds/precept/rulepacks/duration"
)

// Duration is a length of time as rule packs write it, laid on the calendar.
type Duration duration.Duration

// ParseDuration reads a duration in the grammar of rule packs. The error is
// [duration.Err].
func ParseDuration(text string) (Duration, error) {
	d, err := duration.Parse(text)
	return Duration(d), err
}

// Before returns the instant that lies the duration before t, by the calendar
// of t's zone. A day that a month lacks becomes its last day: one month
// before 31 March is 28 or 29 February.
func (d Duration) Before(t time.Time) time.Time { return d.add(t, -1) }

// After returns the instant that lies the duration after t; see Before.
func (d Duration) After(t time.Time) time.Time { return d.add(t, 1) }

func (d Duration) add(t time.Time, sign int) time.Time {
	y, m, day := t.Date()
	month := time.Date(y+sign*d.Years, m+time.Month(sign*d.Months), 1, 0, 0, 0, 0, time.UTC)
	if last := daysIn(month.Year(), int(month.Month())); day > last {
		day = last
	}
	h, min, s := t.Clock()
	t = time.Date(month.Year(), month.Month(), day+sign*d.Days, h, min, s, t.Nanosecond(), t.Location())
	clock := time.Duration(d.Hours)*time.Hour + time.Duration(d.Minutes)*time.Minute +
		time.Duration(d.Seconds)*time.Second
	return t.Add(time.Duration(sign) * clock)
}
