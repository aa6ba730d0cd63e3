package clinical

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// vectors are the published and computed check values of CKD-EPI 2021 (Inker
// and others, N Engl J Med 2021;385:1737).
var vectors = []struct {
	age      int
	sex      string
	scr, gfr string
}{
	{55, "male", "1.2", "71.4"}, {40, "female", "0.8", "95.5"}, {70, "male", "2.0", "35.2"},
	{70, "male", "2.5", "27.0"},
	{68, "female", "1.4", "41.0"}, {68, "female", "1.8", "30.3"}, {68, "female", "1.9", "28.4"},
	{60, "male", "1.0", "86.2"},
	{80, "male", "1.5", "46.8"}, {30, "female", "0.6", "123.8"}, {60, "male", "2.4", "30.1"},
}

func TestCKDEPI2021(t *testing.T) {
	for _, v := range vectors {
		if got := CKDEPI2021(dec(v.scr), apd.New(int64(v.age), 0), v.sex == "female").Text('f'); got != v.gfr {
			t.Errorf("%d %s, %s mg/dL: %s, want %s", v.age, v.sex, v.scr, got, v.gfr)
		}
	}
}

// TestEGFRFromCreatinine asks the same through a chart, in both units.
func TestEGFRFromCreatinine(t *testing.T) {
	for _, v := range vectors {
		umol := new(apd.Decimal)
		must(decimals.Mul(umol, dec(v.scr), dec("88.42")))
		for _, value := range []string{quantity(v.scr, "mg/dL"), quantity(umol.Text('f'), "umol/L")} {
			a := ask(t, "", bundle(person(fmt.Sprintf("%d-01-15", 2026-v.age), v.sex),
				labResult("scr", "2160-0", "2026-02-01", value)))
			got := a.value("fhir.egfr", `{"max_age":"P365D"}`)
			if got.State != fact.Known || got.Low.Text('f') != v.gfr || got.High.Text('f') != v.gfr ||
				got.Method != "CKD-EPI 2021 from creatinine" {
				t.Errorf("%d %s, %s: %v %s (%s), want %s", v.age, v.sex, value, got.State, got, codes(got.Reasons),
					v.gfr)
			}
		}
	}
}

// TestCKDEPIFalls holds what the interval of eGFR rests on: it falls with
// creatinine and with age.
func TestCKDEPIFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scr, age := rapid.Int64Range(20, 2000).Draw(t, "scr"), rapid.Int64Range(18, 110).Draw(t, "age")
		female := rapid.Bool().Draw(t, "female")
		at := CKDEPI2021(apd.New(scr, -2), apd.New(age, 0), female)
		if more := CKDEPI2021(apd.New(scr+rapid.Int64Range(1, 500).Draw(t, "more"), -2), apd.New(age, 0),
			female); more.Cmp(at) > 0 {
			t.Fatalf("%s rises to %s with creatinine", at, more)
		}
		if older := CKDEPI2021(apd.New(scr, -2), apd.New(age+1, 0), female); older.Cmp(at) > 0 {
			t.Fatalf("%s rises to %s with age", at, older)
		}
	})
}

func TestEGFR(t *testing.T) {
	const year = `{"max_age":"P365D"}`
	scr := func(when, value string) string { return labResult("scr", "2160-0", when, value) }
	measured := func(when, n string) string {
		return labResult("gfr", "98979-8", when, quantity(n, units.Renal))
	}
	man := person("1956-01-15", "male")
	for _, tt := range []struct {
		name   string
		source string
		want   string // the value, or the codes of its reasons
		method string
	}{
		{"measured of the same specimen wins", bundle(man, measured("2026-02-01", "44"),
			scr("2026-02-01", quantity("2.5", "mg/dL"))), "44 mL/min/1.73 m²", "reported, CKD-EPI 2021"},
		{"a newer creatinine wins", bundle(man, measured("2025-12-01", "78"),
			scr("2026-02-01", quantity("2.5", "mg/dL"))), "27.0 mL/min/1.73 m²", "CKD-EPI 2021 from creatinine"},
		{"measured is stale, creatinine is not", bundle(man, measured("2024-12-01", "44"),
			scr("2026-02-01", quantity("2.5", "mg/dL"))), "27.0 mL/min/1.73 m²", "CKD-EPI 2021 from creatinine"},
		{"measured without its area, which the code says",
			bundle(man, labResult("gfr", "98979-8", "2026-02-01", quantity("44", "mL/min"))), "44 mL/min/1.73 m²",
			"reported, CKD-EPI 2021"},
		{"measured in a wrong unit, creatinine of the same specimen",
			bundle(man, labResult("gfr", "98979-8", "2026-02-01", quantity("44", "mg/dL")),
				scr("2026-02-01", quantity("2.5", "mg/dL"))), "27.0 mL/min/1.73 m²", "CKD-EPI 2021 from creatinine"},
		{"measured in a wrong unit, creatinine of the day before",
			bundle(man, labResult("gfr", "98979-8", "2026-02-01", quantity("44", "mg/dL")),
				scr("2026-01-31", quantity("2.5", "mg/dL"))), "unit-unconvertible", ""},
		{"above what is measured", bundle(man,
			labResult("gfr", "98979-8", "2026-02-01",
				`"valueQuantity":{"value":60,"comparator":">","unit":"mL/min/1.73m2"}`)), "> 60 mL/min/1.73 m²",
			"reported, CKD-EPI 2021"},
		{"sex unknown", bundle(person("1956-01-15", "other"), scr("2026-02-01", quantity("2.5", "mg/dL"))),
			"20.2 to 27.0 mL/min/1.73 m²", "CKD-EPI 2021 from creatinine"},
		{"born some time in 1956", bundle(person("1956", "male"), scr("2026-02-01", quantity("2.5", "mg/dL"))),
			"27.0 to 27.1 mL/min/1.73 m²", "CKD-EPI 2021 from creatinine"},
		{"no birth date", bundle(`{"resourceType":"Patient","id":"p1","gender":"male"}`,
			scr("2026-02-01", quantity("2.5", "mg/dL"))), "no-data", "CKD-EPI 2021 from creatinine"},
		{"a child", bundle(person("2010-01-15", "male"), measured("2026-02-01", "44")), "not-applicable", ""},
		{"perhaps a child", bundle(person("2008", "male"), measured("2026-02-01", "44")), "precision-insufficient", ""},
		{"nothing on record", bundle(man), "no-data", ""},
		{"only old creatinine", bundle(man, scr("2024-02-01", quantity("2.5", "mg/dL"))), "stale", ""},
		{"creatinine without a unit", bundle(man, scr("2026-02-01", `"valueQuantity":{"value":2.5}`)),
			"unit-unconvertible", ""},
		{"nothing supplied", "", "not-supplied", ""},
	} {
		got := ask(t, "", tt.source).value("fhir.egfr", year)
		text := codes(got.Reasons)
		if got.State == fact.Known {
			text = got.String()
		}
		if text != tt.want || got.Method != tt.method {
			t.Errorf("%s: %v %q by %q, want %q by %q", tt.name, got.State, text, got.Method, tt.want, tt.method)
		}
	}
}

func TestEGFRIsAskedOnce(t *testing.T) {
	a := ask(t, "", bundle(person("1956-01-15", "male"),
		labResult("scr", "2160-0", "2026-02-01", quantity("2.5", "mg/dL"))))
	first, second := a.value("fhir.egfr", `{"max_age":"P1Y"}`), a.value("fhir.egfr", `{"max_age":"P1Y"}`)
	if first == second || first.Low != second.Low {
		t.Error("calls must have values of their own over one computation")
	}
	if third := a.value("fhir.egfr", `{"max_age":"P7D"}`); third.State == fact.Known {
		t.Errorf("within 7 days: %s", third)
	}
}

func TestAge(t *testing.T) {
	for _, tt := range []struct {
		birth, want string // of the interval, or the codes
		at          time.Time
	}{
		{"1956-03-02", "70 years", callTime},
		{"1956-03-03", "69 years", callTime},
		{"1956-03", "69 to 70 years", callTime},
		{"1956", "69 to 70 years", callTime},
		{"2026-03-02", "0 years", callTime},
		{"2026", "0 years", callTime}, // the rest of the year lies ahead
		{"2026-03-03", "implausible", callTime},
		{"1890-01-01", "implausible", callTime},
		{"", "no-data", callTime},
		{"around 1950", "no-data", callTime},
		// Born on 29 February: a year older on 1 March, or on the day itself.
		{"2008-02-29", "17 years", time.Date(2026, 3, 1, 4, 59, 59, 0, time.UTC)}, // 28 February, 23:59:59 in New York
		{"2008-02-29", "18 years", time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC)},   // 1 March
		{"2008-02-29", "19 years", time.Date(2028, 2, 29, 4, 59, 59, 0, time.UTC)},
		{"2008-02-29", "20 years", time.Date(2028, 2, 29, 5, 0, 0, 0, time.UTC)},
		// The day begins at midnight of the zone, not of UTC.
		{"2008-03-02", "17 years", time.Date(2026, 3, 2, 4, 59, 59, 0, time.UTC)},
		{"2008-03-02", "18 years", time.Date(2026, 3, 2, 5, 0, 0, 0, time.UTC)},
	} {
		a := ask(t, "", bundle(person(tt.birth, "female")), func(in *chart.Inputs) { in.Now = tt.at })
		v := a.value("fhir.age", `{"unit":"a"}`)
		text := codes(v.Reasons)
		if v.State == fact.Known {
			text = v.String()
		}
		if text != tt.want {
			t.Errorf("born %q, on %s: %s, want %s", tt.birth, tt.at.Format(time.RFC3339), text, tt.want)
		}
	}
	if v := ask(t, "", "").value("fhir.age", `{"unit":"a"}`); codes(v.Reasons) != "not-supplied" {
		t.Errorf("no patient: %v", v.Reasons)
	}
}

func TestLab(t *testing.T) {
	codings := loincs(units.Creatinine)
	for _, tt := range []struct {
		name    string
		results []string
		want    string
	}{
		{"the newest", []string{labResult("1", "2160-0", "2026-01-01", quantity("1.0", "mg/dL")),
			labResult("2", "2160-0", "2026-02-01", quantity("2.0", "mg/dL"))}, "2.0 mg/dL"},
		{"converted", []string{labResult("1", "2160-0", "2026-02-01", quantity("88.42", "umol/L"))}, "1 mg/dL"},
		{"the same day, not told apart", []string{labResult("1", "2160-0", "2026-02-01", quantity("1.0", "mg/dL")),
			labResult("2", "2160-0", "2026-02-01", quantity("2.0", "mg/dL"))}, "1.0 to 2.0 mg/dL"},
		{"the newest has no value", []string{labResult("1", "2160-0", "2026-01-01", quantity("1.0", "mg/dL")),
			labResult("2", "2160-0", "2026-02-01", `"note":[]`)}, "1.0 mg/dL"},
		{"the newest cannot be used", []string{labResult("1", "2160-0", "2026-01-01", quantity("1.0", "mg/dL")),
			labResult("2", "2160-0", "2026-02-01", quantity("2.0", "bogus"))}, "unit-unconvertible"},
		{"of another dimension", []string{labResult("1", "2160-0", "2026-02-01", quantity("2.0", "kg"))},
			"unit-unconvertible"},
		{"without a unit", []string{labResult("1", "2160-0", "2026-02-01", `"valueQuantity":{"value":2}`)},
			"unit-unconvertible"},
		{"negative", []string{labResult("1", "2160-0", "2026-02-01", quantity("-1", "mg/dL"))}, "implausible"},
		{"zero", []string{labResult("1", "2160-0", "2026-02-01", quantity("0", "mg/dL"))}, "implausible"},
		{"no number", []string{labResult("1", "2160-0", "2026-02-01",
			`"valueQuantity":{"value":"2.0","unit":"mg/dL"}`)}, "implausible"},
		{"in words", []string{labResult("1", "2160-0", "2026-02-01", `"valueString":"raised"`)}, "text-only"},
		{"masked", []string{labResult("1", "2160-0", "2026-02-01",
			`"dataAbsentReason":{"coding":[{"code":"masked"}]}`)}, "masked"},
		{"too old", []string{labResult("1", "2160-0", "2024-02-01", quantity("2.0", "mg/dL"))}, "stale"},
		{"perhaps too old", []string{labResult("1", "2160-0", "2025", quantity("2.0", "mg/dL"))},
			"precision-insufficient"},
		{"of tomorrow", []string{labResult("1", "2160-0", "2026-03-03", quantity("2.0", "mg/dL"))}, "implausible"},
		{"not dated", []string{labResult("1", "2160-0", "", quantity("2.0", "mg/dL"))}, "precision-insufficient"},
		{"preliminary", []string{strings.Replace(labResult("1", "2160-0", "2026-02-01", quantity("2.0", "mg/dL")),
			"final", "preliminary", 1)}, "wrong-status"},
		{"none", nil, "no-data"},
	} {
		a := ask(t, "", bundle(tt.results...))
		v := a.newestOf("creatinine", "mg/dL", dates.Duration{Days: 365}, a.kindOf("creatinine", codings, "mg/dL"))
		text := codes(v.Reasons)
		if v.State == fact.Known {
			text = v.String()
		}
		if text != tt.want || (v.State == fact.Absent) != (tt.want == "no-data") {
			t.Errorf("%s: %v %q, want %q", tt.name, v.State, text, tt.want)
		}
	}
}

// TestJoinedBounds holds that a bound of the interval over several newest
// results is open only if no result reaches it, in whatever order they came.
func TestJoinedBounds(t *testing.T) {
	codings := loincs(units.Creatinine)
	for _, tt := range []struct{ one, other, want string }{
		{"< 30", "< 30", "< 30 mg/dL"},
		{"< 30", "30", "<= 30 mg/dL"},
		{"< 30", "<= 30", "<= 30 mg/dL"},
		{"< 30", "25", "< 30 mg/dL"},
		{"< 30", "< 25", "< 30 mg/dL"},
		{"< 30", "<= 25", "< 30 mg/dL"},
		{"<= 30", "< 25", "<= 30 mg/dL"},
		{"> 30", "> 30", "> 30 mg/dL"},
		{"> 30", "30", ">= 30 mg/dL"},
		{"> 30", ">= 30", ">= 30 mg/dL"},
		{"> 30", "35", "> 30 mg/dL"},
		{"> 30", "> 35", "> 30 mg/dL"},
		{">= 30", "> 35", ">= 30 mg/dL"},
		{"< 30", "> 35", "unknown"},
		{"25", "30", "25 to 30 mg/dL"},
	} {
		for _, pair := range [][2]string{{tt.one, tt.other}, {tt.other, tt.one}} {
			var results []string
			for i, text := range pair {
				value := text
				sign, n, compared := strings.Cut(text, " ")
				if compared {
					value = fmt.Sprintf(`%s,"comparator":%q`, n, sign)
				}
				results = append(results, labResult(strconv.Itoa(i), "2160-0", "2026-02-01", quantity(value, "mg/dL")))
			}
			a := ask(t, "", bundle(results...))
			v := a.newestOf("creatinine", "mg/dL", dates.Duration{Days: 365}, a.kindOf("creatinine", codings, "mg/dL"))
			if v.State != fact.Known || v.String() != tt.want {
				t.Errorf("%s: %v %q, want %q", strings.Join(pair[:], " and "), v.State, v, tt.want)
			}
		}
	}
}

func TestPossiblyNewest(t *testing.T) {
	zone := ask(t, "", "").chart.of.Zone()
	at := func(s string) dates.Interval {
		if s == "" {
			return dates.Interval{}
		}
		i, err := dates.Parse(s, zone)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	type r struct{ id, effective, issued string }
	for _, tt := range []struct {
		name string
		list []r
		want string
	}{
		{"none", nil, ""},
		{"one", []r{{"a", "2026", ""}}, "a"},
		{"instants in order", []r{{"a", "2026-02-01T08:00:00Z", ""}, {"b", "2026-02-01T09:00:00Z", ""}}, "b"},
		{"the day holds the instant", []r{{"a", "2026-02-01T08:00:00-05:00", ""}, {"b", "2026-02-01", ""}}, "b a"},
		{"the day before does not", []r{{"a", "2026-02-02T08:00:00-05:00", ""}, {"b", "2026-02-01", ""}}, "a"},
		{"month over a day of it", []r{{"a", "2026-02-10", ""}, {"b", "2026-02", ""}}, "b a"},
		{"a chain of overlaps", []r{{"a", "2026-01", ""}, {"b", "2026", ""}, {"c", "2026-02-10", ""}}, "b c"},
		{"the same day twice", []r{{"b", "2026-02-01", ""}, {"a", "2026-02-01", ""}}, "a b"},
		{"one instant, reported again", []r{{"a", "2026-02-01T08:00:00Z", "2026-02-01T09:00:00Z"},
			{"b", "2026-02-01T08:00:00Z", "2026-02-01T11:00:00Z"}}, "b"},
		{"one instant, issued nobody knows when",
			[]r{{"a", "2026-02-01T08:00:00Z", ""}, {"b", "2026-02-01T08:00:00Z", "2026-02-01T11:00:00Z"}}, "b a"},
		{"one instant, issued together", []r{{"b", "2026-02-01T08:00:00Z", "2026-02-01T09:00:00Z"},
			{"a", "2026-02-01T08:00:00Z", "2026-02-01T09:00:00Z"}}, "a b"},
		{"one instant in two zones", []r{{"a", "2026-02-01T08:00:00Z", ""}, {"b", "2026-02-01T03:00:00-05:00", ""}},
			"a b"},
		{"one day, issued does not tell",
			[]r{{"a", "2026-02-01", "2026-02-01T09:00:00Z"}, {"b", "2026-02-01", "2026-02-01T11:00:00Z"}}, "b a"},
	} {
		var list []reading
		for _, x := range tt.list {
			list = append(list, reading{Observation: &chart.Observation{Resource: &chart.Resource{Type: "Observation",
				ID: x.id}, Effective: at(x.effective), Issued: at(x.issued)}})
		}
		var got []string
		for _, x := range possiblyNewest(list) {
			got = append(got, x.ID)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
	}
}
