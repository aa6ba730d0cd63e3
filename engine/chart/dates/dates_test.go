package dates

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/duration"
)

func newYork(t testing.TB) *time.Location {
	t.Helper()
	z, err := Zone("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, from, to string }{
		{"2024", "2024-01-01T05:00:00Z", "2025-01-01T04:59:59.999999999Z"},
		{"2024-05", "2024-05-01T04:00:00Z", "2024-06-01T03:59:59.999999999Z"},
		{"2024-12", "2024-12-01T05:00:00Z", "2025-01-01T04:59:59.999999999Z"},
		{"2024-02-29", "2024-02-29T05:00:00Z", "2024-03-01T04:59:59.999999999Z"},
		{"2024-03-10", "2024-03-10T05:00:00Z", "2024-03-11T03:59:59.999999999Z"}, // 23 hours
		{"2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"},
		{"2024-05-01T10:00:00", "2024-05-01T14:00:00Z", "2024-05-01T14:00:00Z"},
		{"2024-05-01T10:00:00.125+02:00", "2024-05-01T08:00:00.125Z", "2024-05-01T08:00:00.125Z"},
		{"2024-05-01T10:00-05:30", "2024-05-01T15:30:00Z", "2024-05-01T15:30:59.999999999Z"},
		{"2024-05-01T23:59:60Z", "2024-05-02T00:00:00Z", "2024-05-02T00:00:00Z"},
		{"2024-05-01T10:00:00.1234567891234Z", "2024-05-01T10:00:00.123456789Z", "2024-05-01T10:00:00.123456789Z"},
		// clocks put back at 6:00Z on 1 November, and forward at 7:00Z on 8 March
		{"2026-11-01T01:30:00", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"},
		{"2026-11-01T01:30", "2026-11-01T05:30:00Z", "2026-11-01T06:30:59.999999999Z"},
		{"2026-11-01T01:30:00-04:00", "2026-11-01T05:30:00Z", "2026-11-01T05:30:00Z"},
		{"2026-11-01T00:59:59", "2026-11-01T04:59:59Z", "2026-11-01T04:59:59Z"},
		{"2026-11-01T01:00:00", "2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z"},
		{"2026-11-01T02:00:00", "2026-11-01T07:00:00Z", "2026-11-01T07:00:00Z"},
		{"2026-11-02T01:30:00", "2026-11-02T06:30:00Z", "2026-11-02T06:30:00Z"},
		{"2026-03-08T01:59:59", "2026-03-08T06:59:59Z", "2026-03-08T06:59:59Z"},
		{"2026-03-08T02:00:00", "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"},
		{"2026-03-08T02:30:00", "2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z"},
		{"2026-03-08T03:00:00", "2026-03-08T07:00:00Z", "2026-03-08T07:00:00Z"},
		{"2026-11-01", "2026-11-01T04:00:00Z", "2026-11-02T04:59:59.999999999Z"}, // 25 hours
		// other zones: midnight shown twice, or never; half an hour; a day that never was
		{"America/Havana 2026-11-01", "2026-11-01T04:00:00Z", "2026-11-02T04:59:59.999999999Z"},
		{"America/Havana 2026-11-01T00:30:00", "2026-11-01T04:30:00Z", "2026-11-01T05:30:00Z"},
		{"America/Sao_Paulo 2018-11-04", "2018-11-04T02:00:00Z", "2018-11-05T01:59:59.999999999Z"},
		{"Australia/Lord_Howe 2026-04-05T01:45:00", "2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"},
		{"Pacific/Apia 2011-12-30T12:00:00", "2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"},
		{"UTC 2026-11-01T01:30:00", "2026-11-01T01:30:00Z", "2026-11-01T01:30:00Z"},
	} {
		name, text, ok := strings.Cut(tt.text, " ")
		if tt.text = text; !ok {
			name, tt.text = "America/New_York", name
		}
		zone, err := Zone(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(tt.text, zone)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		from, to := got.From.UTC().Format(time.RFC3339Nano), got.To.UTC().Format(time.RFC3339Nano)
		if from != tt.from || to != tt.to || got.Text != tt.text {
			t.Errorf("%s = %s .. %s (%s)", tt.text, from, to, got.Text)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "24", "0000", "0999", "2024-", "2024-00", "2024-13", "2024-1", "2024-02-30", "2023-02-29", "2024-05-00",
		"2024-05-01 10:00:00", "2024-05-01T", "2024-05-01T10", "2024-05-01T24:00:00Z", "2024-05-01T10:60:00Z",
		"2024-05-01T10:00:61Z", "2024-05-01T10:00:00.Z", "2024-05-01T10:00:00+15:00", "2024-05-01T10:00:00+0200",
		"2024-05-01T10:00:00Zx", "2024-05-01t10:00:00z", "20240501", "\u0662024", "-2024", "2024-05-01T10:00:00+",
	} {
		if got, err := Parse(s, time.UTC); !errors.Is(err, ErrDate) {
			t.Errorf("Parse(%q) = %v, %v", s, got, err)
		}
	}
}

func TestCompare(t *testing.T) {
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	may, err := Parse("2024-05", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		got  fact.State
		want fact.State
	}{
		{"before june", may.Before(day("2024-06-01")), fact.True},
		{"before mid may", may.Before(day("2024-05-15")), fact.Unknown},
		{"before its start", may.Before(day("2024-05-01")), fact.False},
		{"after april", may.After(day("2024-04-30")), fact.True},
		{"after mid may", may.After(day("2024-05-15")), fact.Unknown},
		{"after june", may.After(day("2024-06-01")), fact.False},
		{"within the year", may.Within(day("2024-01-01"), day("2024-12-31")), fact.True},
		{"within a week", may.Within(day("2024-05-10"), day("2024-05-17")), fact.Unknown},
		{"within june", may.Within(day("2024-06-01"), day("2024-06-30")), fact.False},
		{"nothing known", Interval{}.Within(day("2024-06-01"), day("2024-06-30")), fact.Unknown},
		{"open end, starts after", Interval{From: day("2024-07-01")}.Within(day("2024-06-01"), day("2024-06-30")),
			fact.False},
		{"open start, ends before", Interval{To: day("2024-05-01")}.Within(day("2024-06-01"), day("2024-06-30")),
			fact.False},
		{"instant at the edge",
			Interval{From: day("2024-06-01"), To: day("2024-06-01")}.Within(day("2024-06-01"), day("2024-06-30")),
			fact.True},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func TestDuration(t *testing.T) {
	ny := newYork(t)
	for _, tt := range []struct{ text, at, before, after string }{
		{"P365D", "2024-06-01T12:00:00Z", "2023-06-02T12:00:00Z", "2025-06-01T12:00:00Z"},
		{"P1Y2W", "2024-06-20T12:00:00Z", "2023-06-06T12:00:00Z", "2025-07-04T12:00:00Z"},
		{"P1Y", "2024-02-29T12:00:00Z", "2023-02-28T12:00:00Z", "2025-02-28T12:00:00Z"},
		{"P1M", "2024-03-31T12:00:00Z", "2024-02-29T13:00:00Z", "2024-04-30T12:00:00Z"},
		{"PT24H", "2024-03-10T12:00:00Z", "2024-03-09T12:00:00Z", "2024-03-11T12:00:00Z"},
		{"P1D", "2024-03-10T12:00:00Z", "2024-03-09T13:00:00Z", "2024-03-11T12:00:00Z"}, // clocks change on the 10th
		{"P2W", "2024-06-20T12:00:00Z", "2024-06-06T12:00:00Z", "2024-07-04T12:00:00Z"},
		{"P1Y2M3DT4H5M6S", "2024-06-20T12:00:00Z", "2023-04-17T07:54:54Z", "2025-08-23T16:05:06Z"},
		{"P0D", "2024-06-20T12:00:00Z", "2024-06-20T12:00:00Z", "2024-06-20T12:00:00Z"},
	} {
		d, err := ParseDuration(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		at = at.In(ny)
		before, after := d.Before(at).UTC().Format(time.RFC3339), d.After(at).UTC().Format(time.RFC3339)
		if before != tt.before || after != tt.after {
			t.Errorf("%s: %s, %s", tt.text, before, after)
		}
	}
	if d, err := ParseDuration("P200000D"); !errors.Is(err, duration.Err) {
		t.Errorf("P200000D is %v, %v", d, err)
	}
}

func TestZone(t *testing.T) {
	sum := sha256.Sum256([]byte(zoneinfo))
	if got := hex.EncodeToString(sum[:]); got != "8f55634d05f8bca1f7bc7c69c5933428c69357e0bdf565e5ba224e3f88ff12e8" {
		t.Errorf("zoneinfo.zip is not that of release %s: %s", TZData, got)
	}
	for _, name := range []string{"UTC", "Etc/UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"} {
		if _, err := Zone(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "Local", "America", "America/", "../etc/passwd", "america/new_york", "EST5"} {
		if _, err := Zone(name); !errors.Is(err, ErrZone) {
			t.Errorf("Zone(%q): %v", name, err)
		}
	}
}

// zones have changes of clocks of all kinds.
var zones = []string{"America/New_York", "Europe/Berlin", "America/Havana", "America/Sao_Paulo",
	"Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "Africa/Casablanca", "UTC"}

// A coarser date holds every finer one inside it, and what a local clock shows
// holds the instant at which it showed it, and no more than another.
func TestPrecisionNests(t *testing.T) {
	layouts := []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02",
		"2006-01", "2006"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := Zone(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "unix"), 0).In(zone)
		if _, end := at.ZoneBounds(); rapid.Bool().Draw(t, "near a change") && !end.IsZero() {
			at = end.Add(time.Duration(rapid.IntRange(-100_000, 100_000).Draw(t, "seconds")) * time.Second)
		}
		last := Interval{From: at, To: at}
		for _, layout := range layouts {
			got, err := Parse(at.Format(layout), zone)
			if err != nil {
				t.Fatal(err)
			}
			if last.Within(got.From, got.To) != fact.True {
				t.Fatalf("%s does not hold %v", got.Text, last)
			}
			if layout == layouts[1] && !got.Exact() && got.From.Format(layout) != got.To.Format(layout) {
				t.Fatalf("%s is not what the clock shows at %v and %v", got.Text, got.From, got.To)
			}
			last = got
		}
	})
}

func TestDurationUndoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration{Days: rapid.IntRange(0, 4000).Draw(t, "days"), Hours: rapid.IntRange(0, 100).Draw(t, "hours")}
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "unix"), 0).UTC()
		if back := d.After(d.Before(at)); !back.Equal(at) {
			t.Fatalf("%v: %v became %v", d, at, back)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"2024", "2024-05", "2024-05-01", "2024-05-01T10:00:00.5+02:00", "2024-05-01T10:00"} {
		f.Add(s)
	}
	ny := newYork(f)
	f.Fuzz(func(t *testing.T, s string) {
		i, err := Parse(s, ny)
		if err == nil && (i.From.After(i.To) || i.From.IsZero() || i.Text != s) {
			t.Errorf("Parse(%q) = %v", s, i)
		}
	})
}
