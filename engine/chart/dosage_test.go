package chart

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// dosing reads a list of dosage instructions.
func dosing(t testing.TB, typ, instructions string) (*Chart, *Dosing) {
	t.Helper()
	member := "dosageInstruction"
	if typ == "MedicationStatement" || typ == "MedicationAdministration" {
		member = "dosage"
	}
	text := fmt.Sprintf(`{"resourceType":%q,"id":"m","subject":{"reference":"Patient/p1"},%q:%s}`, typ, member,
		instructions)
	c := chartOf(t, `{"patientId":"p1"}`, `{"k":`+text+`}`)
	list := c.Resources(typ)
	if len(list) != 1 {
		t.Fatalf("the chart has %d resources", len(list))
	}
	return c, c.Dosing(list[0])
}

// inUnits reads what instructions amount to a day, in the unit of their doses.
func inUnits(in *Instruction) (Range, fact.Reason) {
	switch {
	case len(in.Doses) > 0 && in.Times.Known():
		day := in.PerDay(in.Doses[0].Range)
		for _, m := range in.Most {
			if m.Unit == in.Doses[0].Unit {
				var ok bool
				if day, ok = day.AtMost(m.High); !ok {
					return Range{}, Contradictory
				}
			}
		}
		return day, fact.Reason{}
	case len(in.Most) > 0:
		return in.Most[0].FromZero(), fact.Reason{}
	default:
		return Range{}, unread
	}
}

// shown writes a sum as "low..high basis reasons", rounded to four decimals.
func shown(s Sum) string {
	number := func(d *apd.Decimal) string {
		if d == nil {
			return ""
		}
		q := new(apd.Decimal)
		if _, err := doseArithmetic.Quantize(q, d, -4); err != nil {
			return err.Error()
		}
		q.Reduce(q)
		return q.Text('f')
	}
	text := number(s.Low) + ".." + number(s.High) + " " + string(s.Basis)
	for _, r := range s.Reasons {
		text += " " + string(r.Code)
	}
	return text
}

const tablet = `"doseAndRate":[{"doseQuantity":{"value":1,"unit":"tablet"}}]`

func repeating(members string) string { return `"timing":{"repeat":{` + members + `}}` }

func coded(code string) string {
	return `"timing":{"code":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation","code":"` +
		code + `"}]}}`
}

// TestDosing holds what one instruction amounts to a day.
func TestDosing(t *testing.T) {
	daily := repeating(`"frequency":1,"period":1,"periodUnit":"d"`)
	twice := repeating(`"frequency":2,"period":1,"periodUnit":"d"`)
	for _, tt := range []struct{ name, instruction, want string }{
		{"four times a day", tablet + `,` + repeating(`"frequency":4,"period":1,"periodUnit":"d"`), "4..4 structured"},
		{"every 8 hours", tablet + `,` + repeating(`"period":8,"periodUnit":"h"`), "3..3 structured"},
		{"every 4 to 6 hours", tablet + `,` + repeating(`"frequency":1,"period":4,"periodMax":6,"periodUnit":"h"`),
			"4..6 structured"},
		{"one or two times", tablet + `,` + repeating(`"frequency":1,"frequencyMax":2,"period":1,"periodUnit":"d"`),
			"1..2 structured"},
		{"every three days", tablet + `,` + repeating(`"frequency":1,"period":3,"periodUnit":"d"`),
			"0.3333..0.3333 structured"},
		{"every 72 hours", tablet + `,` + repeating(`"frequency":1,"period":72,"periodUnit":"h"`),
			"0.3333..0.3333 structured"},
		{"monthly", tablet + `,` + repeating(`"frequency":1,"period":1,"periodUnit":"mo"`),
			"0.0323..0.0357 structured"},
		{"every 90 minutes", tablet + `,` + repeating(`"frequency":1,"period":90,"periodUnit":"min"`),
			"16..16 structured"},
		{"a range of doses, as needed", `"asNeededBoolean":true,"doseAndRate":[{"doseRange":{"low":{"value":1,` +
			`"unit":"tablet"},"high":{"value":2,"unit":"tablet"}}}],` +
			repeating(`"frequency":1,"period":4,"periodUnit":"h"`),
			"0..12 structured"},
		{"as needed for pain", `"asNeededCodeableConcept":{"text":"pain"},` + tablet + `,` + twice, "0..2 structured"},
		{"as needed in R5", `"asNeeded":true,` + tablet + `,` + twice, "0..2 structured"},
		{"as needed for, in R5", `"asNeededFor":[{"text":"pain"}],` + tablet + `,` + twice, "0..2 structured"},
		{"at most, in R4", `"asNeededBoolean":true,` + tablet + `,` + repeating(`"period":4,"periodUnit":"h"`) +
			`,"maxDosePerPeriod":{"numerator":{"value":4,"unit":"tablet"},"denominator":{"value":1,"unit":"d"}}`,
			"0..4 structured"},
		{"at most, in R5", `"asNeeded":true,` + tablet + `,` + repeating(`"period":4,"periodUnit":"h"`) +
			`,"maxDosePerPeriod":[{"numerator":{"value":4,"unit":"tablet"},"denominator":{"value":24,"unit":"h"}}]`,
			"0..4 structured"},
		{"as needed, at most, without a rate", `"asNeededBoolean":true,` + tablet +
			`,"maxDosePerPeriod":{"numerator":{"value":8,"unit":"tablet"},"denominator":{"value":1,"unit":"d"}}`,
			"0..8 structured"},
		{"more than at most", tablet + `,` + repeating(`"period":4,"periodUnit":"h"`) +
			`,"maxDosePerPeriod":{"numerator":{"value":4,"unit":"tablet"},"denominator":{"value":1,"unit":"d"}}`,
			"0.. none ambiguous"},
		{"STU3", `"doseQuantity":{"value":2,"unit":"tablet"},` + twice, "4..4 structured"},
		{"STU3, a range", `"doseRange":{"low":{"value":1,"unit":"tablet"},"high":{"value":2,"unit":"tablet"}},` + twice,
			"2..4 structured"},
		{"up to two", `"doseRange":{"high":{"value":2,"unit":"tablet"}},` + twice, "0..4 structured"},
		{"two or more", `"doseRange":{"low":{"value":2,"unit":"tablet"}},` + twice, "4.. structured unparseable-dose"},
		{"BID", tablet + `,` + coded("BID"), "2..2 structured"},
		{"QOD", tablet + `,` + coded("QOD"), "0.5..0.5 structured"},
		{"Q6H", tablet + `,` + coded("Q6H"), "4..4 structured"},
		{"AM", tablet + `,` + coded("AM"), "1..1 structured"},
		{"WK", tablet + `,` + coded("WK"), "0.1429..0.1429 structured"},
		{"a code nobody has", tablet + `,` + coded("Q5H"), "0.. none unparseable-dose"},
		{"the code of STU3", tablet + `,` + strings.Replace(coded("TID"), "terminology.hl7.org/CodeSystem/v3-",
			"hl7.org/fhir/v3/", 1), "3..3 structured"},
		{"a local code", tablet + `,"timing":{"code":{"coding":[{"system":"http://local","code":"BID"}]}}`,
			"0.. none unparseable-dose"},
		{"the code in words", tablet + `,"timing":{"code":{"text":"twice daily"}}`, "2..2 structured"},
		{"code and repeat agree", tablet +
			`,"timing":{"repeat":{"frequency":2,"period":1,"periodUnit":"d"},"code":{"text":` +
			`"BID"}}`, "2..2 structured"},
		{"code and repeat contradict", tablet + `,"timing":{"repeat":{"frequency":3,"period":1,"periodUnit":"d"},` +
			`"code":{"text":"BID"}}`, "0.. none ambiguous"},
		{"at bedtime", tablet + `,` + repeating(`"when":["HS"]`), "1..1 structured"},
		{"morning and evening", tablet + `,` + repeating(`"when":["MORN","EVE"]`), "2..2 structured"},
		{"with meals", tablet + `,` + repeating(`"when":["C"]`), "0.. none unparseable-dose"},
		{"three times, with meals", tablet + `,` + repeating(`"frequency":3,"period":1,"periodUnit":"d","when":["AC"]`),
			"3..3 structured"},
		{"twice, and at bedtime only", tablet + `,` +
			repeating(`"frequency":2,"period":1,"periodUnit":"d","when":["HS"]`),
			"0.. none ambiguous"},
		{"by the clock", tablet + `,` + repeating(`"timeOfDay":["08:00:00","20:00:00"]`), "2..2 structured"},
		{"an event nobody knows", tablet + `,` + repeating(`"when":["XYZ"]`), "0.. none unparseable-dose"},
		{"on Mondays", tablet + `,` + repeating(`"dayOfWeek":["mon"]`), "0.1429..0.1429 structured"},
		{"daily, on two days", tablet + `,` +
			repeating(`"frequency":1,"period":1,"periodUnit":"d","dayOfWeek":["mon","thu"]`),
			"0.2857..0.2857 structured"},
		{"weekly, on Mondays", tablet + `,` +
			repeating(`"frequency":1,"period":1,"periodUnit":"wk","dayOfWeek":["mon"]`),
			"0.1429..0.1429 structured"},
		{"weekly, on three days", tablet + `,` +
			repeating(`"frequency":1,"period":1,"periodUnit":"wk","dayOfWeek":["mon","wed","fri"]`),
			"0.. none ambiguous"},
		{"once", tablet + `,` + repeating(`"count":1`), "1..1 structured"},
		{"ten in all", tablet + `,` + repeating(`"count":10`), "0.. none unparseable-dose"},
		{"so often in what time", tablet + `,` + repeating(`"frequency":2`), "0.. none unparseable-dose"},
		{"no period unit", tablet + `,` + repeating(`"frequency":2,"period":1`), "0.. none unparseable-dose"},
		{"never", tablet + `,` + repeating(`"frequency":0,"period":1,"periodUnit":"d"`), "0.. none unparseable-dose"},
		{"no dose", twice, "0.. none unparseable-dose"},
		{"no timing", tablet, "0.. none unparseable-dose"},
		{"a dose without unit", `"doseAndRate":[{"doseQuantity":{"value":1}}],` + twice, "0.. none unparseable-dose"},
		{"a negative dose", `"doseQuantity":{"value":-1,"unit":"tablet"},` + twice, "0.. none unparseable-dose"},
		{"a dose of drops", `"doseQuantity":{"value":3,"unit":"drops"},` + twice, "0.. none unparseable-dose"},
		{"code and unit contradict", `"doseQuantity":{"value":5,"unit":"mL","code":"mg","system":` +
			`"http://unitsofmeasure.org"},` + twice, "0.. none unparseable-dose"},
		{"ordered and calculated", `"doseAndRate":[{"doseQuantity":{"value":250,"unit":"mg"}},` +
			`{"doseQuantity":{"value":5,"unit":"mg/kg"}}],` + daily, "250..250 structured"},
		{"two doses", `"doseAndRate":[{"doseQuantity":{"value":250,"unit":"mg"}},{"doseQuantity":{"value":500,` +
			`"unit":"mg"}}],` + daily, "0.. none ambiguous"},
		{"must be understood", `"modifierExtension":[{"url":"x"}],` + tablet + `,` + daily,
			"0.. none unparseable-dose"},
		{"an infusion of two hours", `"doseAndRate":[{"rateQuantity":{"value":100,"unit":"mL/h"}}],` +
			repeating(`"duration":2,"durationUnit":"h","frequency":1,"period":1,"periodUnit":"d"`),
			"200..200 structured"},
		{"a rate as ratio",
			`"doseAndRate":[{"rateRatio":{"numerator":{"value":50,"unit":"mg"},"denominator":{"value":30,` +
				`"unit":"min"}}}],` +
				repeating(`"duration":2,"durationUnit":"h","frequency":1,"period":1,"periodUnit":"d"`),
			"200..200 structured"},
		{"words", `"text":"take 1 tablet by mouth twice daily"`, "2..2 text"},
		{"words as needed", `"text":"Take 1-2 tablets by mouth every 4-6 hours as needed."`, "0..12 text"},
		{"words of milligrams", `"text":"500mg po tid"`, "1500..1500 text"},
		{"words without a unit", `"text":"1-2 q4-6h prn"`, "0.. none unparseable-dose"},
		{"words with more in them", `"text":"take 1 tablet twice daily for 3 days then stop"`,
			"0.. none unparseable-dose"},
		{"as directed", `"text":"Use as directed"`, "0.. none unparseable-dose"},
		{"words for a patch", `"text":"Apply 1 patch every 72 hours"`, "0.3333..0.3333 text"},
		{"words that agree", `"text":"2 tablets daily",` + strings.Replace(tablet, `1,`, `2,`, 1) + `,` + daily,
			"2..2 structured"},
		{"words that contradict", `"text":"2 tablets twice daily",` + tablet + `,` + daily, "0.. none ambiguous"},
		{"words that contradict, in another unit",
			`"text":"500 mg twice daily","doseQuantity":{"value":1,"unit":"g"},` +
				repeating(`"frequency":2,"period":1,"periodUnit":"d"`), "0.. none ambiguous"},
		{"words that agree, in another unit", `"text":"500 mg twice daily","doseQuantity":{"value":0.5,"unit":"g"},` +
			repeating(`"frequency":2,"period":1,"periodUnit":"d"`), "1..1 structured"},
		{"words that nobody can read", `"text":"see leaflet",` + tablet + `,` + daily, "1..1 structured"},
		{"words say as needed", `"text":"one tab as needed for pain",` + tablet + `,` + daily, "0..1 structured"},
		{"words for what the structure lacks", `"text":"1 tablet twice daily",` + twice, "2..2 text"},
		{"words against what there is", `"text":"1 tablet three times daily",` + twice, "0.. none ambiguous"},
	} {
		_, d := dosing(t, "MedicationRequest", "[{"+tt.instruction+"}]")
		if got := shown(d.Largest(inUnits)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestDosingOfSeveral holds how instructions are put together.
func TestDosingOfSeveral(t *testing.T) {
	of := func(n int, more string) string {
		return fmt.Sprintf(`{"doseQuantity":{"value":%d,"unit":"tablet"},%s}`, n, more)
	}
	daily := func(more string) string { return repeating(`"frequency":1,"period":1,"periodUnit":"d"` + more) }
	period := func(start, end string) string {
		return daily(fmt.Sprintf(`,"boundsPeriod":{"start":%q,"end":%q}`, start, end))
	}
	at := func(when string) string { return repeating(`"when":["` + when + `"]`) }
	for _, tt := range []struct{ name, list, largest, now string }{
		{"morning and evening", of(1, at("MORN")) + `,` + of(2, at("EVE")), "3..3 structured", "3..3 structured"},
		{"a taper by numbers", of(4, `"sequence":1,`+daily("")) + `,` + of(2, `"sequence":2,`+daily("")) + `,` +
			of(1, `"sequence":3,`+daily("")), "4..4 structured", "1..4 structured"},
		{"a taper by dates", of(4, period("2026-02-01", "2026-02-28")) + `,` + of(2, period("2026-03-01",
			"2026-03-15")),
			"4..4 structured", "2..2 structured"},
		{"a taper that is over", of(4, period("2026-01-01", "2026-01-31")) + `,` + of(2, period("2026-02-01",
			"2026-02-15")),
			"4..4 structured", "0..4 structured"},
		{"the same number", of(1, `"sequence":1,`+at("MORN")) + `,` + of(1, `"sequence":1,`+at("EVE")),
			"2..2 structured", "2..2 structured"},
		{"numbers for some", of(1, daily("")) + `,` + of(2, `"sequence":2,`+daily("")), "0.. none ambiguous",
			"0.. none ambiguous"},
		{"another dose at the same times", of(1, daily("")) + `,` + of(2, daily("")), "0.. structured ambiguous",
			"0.. structured ambiguous"},
		{"the same twice", of(1, daily("")) + `,` + of(1, daily("")), "1..2 structured ambiguous",
			"1..2 structured ambiguous"},
		{"scheduled, and as needed", of(1, daily("")) + `,` + of(1, `"asNeededBoolean":true,`+daily("")),
			"1..2 structured", "1..2 structured"},
		{"one unreadable", of(1, at("MORN")) + `,{"text":"and as directed"}`, "1.. structured unparseable-dose",
			"1.. structured unparseable-dose"},
		{"one step unreadable", of(4, `"sequence":1,`+daily("")) + `,{"sequence":2,"text":"then less"}`,
			"4.. structured unparseable-dose", "0.. structured unparseable-dose"},
		{"advice beside it", of(1, daily("")) + `,{"patientInstruction":"with food"}`, "1..1 structured",
			"1..1 structured"},
		{"words beside it", of(1, at("MORN")) + `,{"text":"take 1 tablet at bedtime"}`, "2..2 text", "2..2 text"},
		{"none", ``, "0.. none no-data", "0.. none no-data"},
		{"only advice", `{"patientInstruction":"with food"}`, "0.. none no-data", "0.. none no-data"},
	} {
		c, d := dosing(t, "MedicationRequest", "["+tt.list+"]")
		if got := shown(d.Largest(inUnits)); got != tt.largest {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.largest)
		}
		if got := shown(d.At(c.Now(), inUnits)); got != tt.now {
			t.Errorf("%s, now: %s, want %s", tt.name, got, tt.now)
		}
	}
	_, d := dosing(t, "MedicationAdministration",
		`{"dose":{"value":2,"unit":"mg"},"rateQuantity":{"value":1,"unit":"mg/min"}}`)
	if got := shown(d.Largest(inUnits)); got != "2..2 structured" {
		t.Errorf("an administration: %s", got)
	}
	many := strings.Repeat(of(1, at("MORN"))+`,`, maxInstructions+1)
	_, d = dosing(t, "MedicationRequest", "["+strings.TrimSuffix(many, ",")+"]")
	if got := shown(d.Largest(inUnits)); got != "0.. none unparseable-dose" {
		t.Errorf("too many: %s", got)
	}
}

func TestReadSig(t *testing.T) {
	for _, text := range []string{"", "daily", "1 tablet", "1 tablet daily daily", "take one daily",
		"1 tablet by mouth",
		"1 1 tablet daily", "2-1 tablets daily", "1- tablets daily", ".5 tablet daily", "1. tablet daily",
		"1 vial daily",
		"1 tablet daily, then 2", "1/2 tablet daily", "no more than 1 tablet daily", "1 tablet every hours",
		"1 tablet 3 times", "1 tablet every 3 months", "do not take 1 tablet daily", "1 tablet (5 mg) daily",
		strings.Repeat("1 ", 200)} {
		if got, ok := readSig(text); ok {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func FuzzDosing(f *testing.F) {
	f.Add(`{"text":"take 1 tablet by mouth twice daily"}`)
	f.Add(`{"sequence":1,` + tablet + `,` +
		repeating(`"frequency":1,"frequencyMax":2,"period":4,"periodMax":6,"periodUnit":"h"`) + `}`)
	f.Add(`{"asNeededBoolean":true,` + tablet + `,` + coded("QOD") + `,"maxDosePerPeriod":{"numerator":{"value":1e30,` +
		`"unit":"mg"},"denominator":{"value":1e-30,"unit":"s"}}}`)
	f.Add(`{"doseAndRate":[{"rateRange":{"low":{"value":1,"unit":"mg/h"},"high":{"value":2,"unit":"mg/h"}}}],` +
		repeating(`"duration":9e29,"durationUnit":"a","dayOfWeek":["mon"],"when":["C","HS"],"count":1`) + `}`)
	zone := utc(f)
	f.Fuzz(func(t *testing.T, instruction string) {
		if !strings.HasPrefix(instruction, "{") || len(instruction) > 4000 {
			return
		}
		req, err := Parse(call(`{"patientId":"p1"}`, `{"k":{"resourceType":"MedicationRequest","id":"m",`+
			`"subject":{"reference":"Patient/p1"},`+
			`"dosageInstruction":[`+instruction+`]}}`), Limits{})
		if err != nil {
			return
		}
		c, err := New(Inputs{Request: req, Now: callTime, Zone: zone})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Resources("MedicationRequest") {
			d := c.Dosing(r)
			for _, s := range []Sum{d.Largest(inUnits), d.At(callTime, inUnits)} {
				if s.Low == nil || s.Low.Negative || s.High != nil && s.High.Cmp(s.Low) < 0 {
					t.Errorf("%s", shown(s))
				}
				if s.High == nil && len(s.Reasons) == 0 {
					t.Errorf("open without a reason: %s", shown(s))
				}
			}
		}
	})
}

// TestDosingNeverNarrows holds that an instruction which becomes unreadable, or loses
// a member that says how much or how often, gives an interval that holds the former
// one.
func TestDosingNeverNarrows(t *testing.T) {
	instruction := func(t *rapid.T, i int) (whole, less string) {
		draw := func(name string, list ...string) string {
			return rapid.SampledFrom(list).Draw(t, fmt.Sprintf("%s %d", name, i))
		}
		members := []string{
			draw("dose", `"doseQuantity":{"value":2,"unit":"tablet"}`,
				`"doseRange":{"low":{"value":1,"unit":"tablet"},"high":{"value":3,"unit":"tablet"}}`),
			draw("timing", repeating(`"frequency":2,"period":1,"periodUnit":"d"`),
				repeating(`"period":6,"periodUnit":"h"`),
				repeating(`"when":["HS"]`), coded("TID")),
			draw("limit",
				`"maxDosePerPeriod":{"numerator":{"value":4,"unit":"tablet"},"denominator":{"value":1,"unit":"d"}}`,
				`"route":{}`),
			draw("need", `"asNeededBoolean":true`, `"asNeededBoolean":false`),
			draw("sequence", `"sequence":1`, `"sequence":2`),
		}
		whole = "{" + strings.Join(members, ",") + "}"
		switch draw("loss", "dose", "timing", "limit", "all") {
		case "dose":
			members[0] = `"method":{}`
		case "timing":
			members[1] = `"method":{}`
		case "limit":
			members[2] = `"method":{}`
		default:
			members = []string{members[4], `"text":"as directed"`}
		}
		return whole, "{" + strings.Join(members, ",") + "}"
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(rt, "n")
		lost := rapid.IntRange(0, n-1).Draw(rt, "lost")
		var before, after []string
		for i := range n {
			whole, less := instruction(rt, i)
			before = append(before, whole)
			if i == lost {
				whole = less
			}
			after = append(after, whole)
		}
		c, a := dosing(t, "MedicationRequest", "["+strings.Join(before, ",")+"]")
		_, b := dosing(t, "MedicationRequest", "["+strings.Join(after, ",")+"]")
		if slices.Contains(a.Largest(inUnits).Reasons, Contradictory) {
			return // of a contradiction nothing is left to see where one side is gone
		}
		for _, pair := range [][2]Sum{{a.Largest(inUnits), b.Largest(inUnits)}, {a.At(c.Now(), inUnits),
			b.At(c.Now(), inUnits)}} {
			if pair[1].Low.Cmp(pair[0].Low) > 0 || pair[1].High != nil &&
				(pair[0].High == nil || pair[1].High.Cmp(pair[0].High) < 0) {
				rt.Fatalf("%s became %s\n%s\n%s", shown(pair[0]), shown(pair[1]), before, after)
			}
		}
	})
}

func TestDoseUnits(t *testing.T) {
	for text, want := range map[string]units.DoseUnit{
		"mg": {Code: "mg"}, "MG": {Code: "mg"}, "mcg/kg/min": {Code: "ug", Per: "kg", Over: "min"}, "µg": {Code: "ug"},
		"mL/hr": {Code: "mL", Over: "h"}, "{tbl}": {Code: units.One}, "Tablet(s)": {Code: units.One},
		"mg/m2": {Code: "mg", Per: "m2"},
		"Units": {Code: "[IU]"}, "puff": {Code: "{actuat}"},
		"drops": {}, "mg/kg/kg": {}, "mg/d": {}, "": {}, "vial": {}, "mg/mL": {},
	} {
		if got, ok := units.ParseDoseUnit(text); got != want || ok != (want.Code != "") {
			t.Errorf("%q is %+v, %v", text, got, ok)
		}
	}
}
