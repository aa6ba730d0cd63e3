package duration

import (
	"errors"
	"regexp"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Duration{
		"P365D":            {Days: 365},
		"P1Y":              {Years: 1},
		"P18M":             {Months: 18},
		"P2W":              {Days: 14},
		"P1Y2W":            {Years: 1, Days: 14},
		"P1W2D":            {Days: 9},
		"P1Y1D":            {Years: 1, Days: 1},
		"PT24H":            {Hours: 24},
		"PT5M":             {Minutes: 5},
		"P1DT1S":           {Days: 1, Seconds: 1},
		"P1Y2M3W4DT5H6M7S": {Years: 1, Months: 2, Days: 25, Hours: 5, Minutes: 6, Seconds: 7},
		"P0D":              {},
		"P000001D":         {Days: 1},
		"P100000D":         {Days: 100_000},
		"PT100000S":        {Seconds: 100_000},
		"P14285W5D":        {Days: 100_000},
	} {
		if d, err := Parse(text); err != nil || d != want {
			t.Errorf("Parse(%q) = %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "P", "PT", "P1DT", "T1H", "365D", "365", "P1", "PD", "P-1D", "-P1D", "+P1D",
		"P1.5D", "P0,5D", "PT1.5S",
		"PT1D", "P1H", "P1D1Y", "P1M1Y", "P1W1M", "P1D2D", "PT1M1H", "P1DT1HT1M", "PP1D", "p1d", "P1d", " P1D", "P1D ",
		"P1D\n", "P 1D", "P1_0D",
		"P100001D", "P200000D", "PT100001S", "P14286W", "P14285W6D", "P0000001D", "P99999999999999999999D", "P1\u0661D",
		"P1Y\x00"} {
		if d, err := Parse(text); !errors.Is(err, Err) || d != (Duration{}) {
			t.Errorf("Parse(%q) = %v, %v", text, d, err)
		}
	}
}

// The grammar of the package comment, as an expression; the bounds are checked apart.
var grammar = regexp.MustCompile(
	`^P(?:\d{1,6}Y)?(?:\d{1,6}M)?(?:\d{1,6}W)?(?:\d{1,6}D)?(?:T(?:\d{1,6}H)?(?:\d{1,6}M)?(?:\d{1,6}S)?)?$`)

func FuzzParse(f *testing.F) {
	for _, text := range []string{"P365D", "P1Y2M3W4DT5H6M7S", "PT24H", "P200000D", "P14285W6D", "PT", "P1.5D"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err == nil && !grammar.MatchString(text) {
			t.Errorf("%q was read as %v", text, d)
		}
		for _, n := range []int{d.Years, d.Months, d.Days, d.Hours, d.Minutes, d.Seconds} {
			if n < 0 || n > Max || err != nil && n != 0 {
				t.Errorf("%q is %v, %v", text, d, err)
			}
		}
	})
}
