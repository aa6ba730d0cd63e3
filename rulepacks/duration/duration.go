// Package duration is the one grammar of the durations in rule packs: in the
// literals of rules, in the parameters of a pack, and in what a tenant sets.
//
//	duration = "P" date [ "T" time ] | "P" "T" time
//	date     = [ n "Y" ] [ n "M" ] [ n "W" ] [ n "D" ]    at least one of them
//	time     = [ n "H" ] [ n "M" ] [ n "S" ]              at least one of them
//	n        = 1 to 6 digits, at most 100000
//
// This is ISO 8601 without signs and fractions. Weeks may stand beside other
// units and count as seven days each; weeks and days together are at most
// 100,000 days. A length in calendar units has no fixed number of seconds: what
// "one month before" means is for those who know the zone.
package duration

import (
	"errors"
	"strings"
)

// Err says that a text is not a duration; whoever wrote the rule, the parameter
// or the policy fixes it.
var Err = errors.New("not an ISO 8601 duration such as P365D, P1Y or PT24H, of whole numbers up to 100000")

// Max bounds every number, so that no sum leaves the range of dates.
const Max = 100_000

const maxDigits = 6

// Duration is a length of time in calendar units: a year is a year, not 365
// days. It is never negative. Weeks are in Days.
type Duration struct {
	Years, Months, Days     int
	Hours, Minutes, Seconds int
}

// Parse reads a duration. The error is [Err] and does not repeat the text.
func Parse(text string) (Duration, error) {
	var d Duration
	rest, ok := strings.CutPrefix(text, "P")
	day, clock, timed := strings.Cut(rest, "T")
	var weeks int
	okDay := fields(day, "YMWD", &d.Years, &d.Months, &weeks, &d.Days)
	okClock := fields(clock, "HMS", &d.Hours, &d.Minutes, &d.Seconds)
	d.Days += 7 * weeks
	if !ok || !okDay || !okClock || timed && clock == "" || day == "" && clock == "" || d.Days > Max {
		return Duration{}, Err
	}
	return d, nil
}

// fields reads numbers with the unit letters in their order.
func fields(text, units string, into ...*int) bool {
	next := 0
	for text != "" {
		n, digits := 0, 0
		for digits < len(text) && '0' <= text[digits] && text[digits] <= '9' {
			if n = n*10 + int(text[digits]-'0'); n > Max {
				return false
			}
			digits++
		}
		if digits == 0 || digits > maxDigits || digits == len(text) {
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
