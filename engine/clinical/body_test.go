package clinical

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/apd/v3"

	"github.com/precept-cds/precept/engine/fact"
)

// vital writes a final Observation of a LOINC code at 8 in the morning of a day.
func vital(id, code, day, n, unit string) string {
	return labResult(id, code, day+"T08:00:00-05:00", quantity(n, unit))
}

// TestBodySize has each state of what is asked about the size of the body.
func TestBodySize(t *testing.T) {
	kg := func(n string) string { return vital("w", "29463-7", "2026-02-20", n, "kg") }
	cm := func(n string) string { return vital("h", "8302-2", "2026-02-20", n, "cm") }
	man := person("1956-01-15", "male")
	for _, tt := range []struct{ name, function, options, source, want string }{
		{"weight", "weight", `{"unit":"kg"}`, bundle(man, kg("60")), "60 kg"},
		{"pounds", "weight", `{"unit":"kg"}`, bundle(man, vital("w", "29463-7", "2026-02-20", "132", "[lb_av]")),
			"59.874193 kg"},
		{"below", "weight", `{"unit":"kg"}`, bundle(man, strings.Replace(kg("60"), `"value":60`,
			`"value":60,"comparator":"<"`, 1)), "< 60 kg"},
		{"of an adult, half a year old", "weight", `{"unit":"kg"}`, bundle(man, vital("w", "29463-7", "2025-09-01", "60",
			"kg")), "60 kg"},
		{"of a child, half a year old", "weight", `{"unit":"kg"}`, bundle(person("2016-01-15", "male"),
			vital("w", "29463-7", "2025-09-01", "30", "kg")), "stale"},
		{"of a child, as the rule allows", "weight", `{"unit":"kg","max_age":"P1Y"}`,
			bundle(person("2016-01-15", "male"), vital("w", "29463-7", "2025-09-01", "30", "kg")), "30 kg"},
		{"of an infant, 8 days old", "weight", `{"unit":"kg"}`, bundle(person("2025-10-15", "male"),
			vital("w", "29463-7", "2026-02-22", "6", "kg")), "stale"},
		{"of a newborn, 2 days old", "weight", `{"unit":"kg"}`, bundle(person("2026-02-20", "male"),
			vital("w", "29463-7", "2026-02-28", "3.4", "kg")), "stale"},
		{"of a newborn, 2 hours old", "weight", `{"unit":"g"}`, bundle(person("2026-02-20", "male"),
			vital("w", "29463-7", "2026-03-02", "3.4", "kg")), "3400 g"},
		{"not of this earth", "weight", `{"unit":"kg"}`, bundle(man, kg("7000")), "implausible"},
		{"in no unit", "weight", `{"unit":"kg"}`, bundle(man, kg("60"),
			labResult("n", "29463-7", "2026-02-25T08:00:00-05:00", `"valueQuantity":{"value":61}`)),
			"unit-unconvertible, older 60 kg"},
		{"none", "weight", `{"unit":"kg"}`, bundle(man), "no-data"},
		{"not there", "weight", `{"unit":"kg"}`, "", "precision-insufficient"},
		{"no birth date", "weight", `{"unit":"kg"}`, bundle(kg("60")), "precision-insufficient"},
		{"birth weight under a local code", "weight", `{"unit":"kg"}`, bundle(man, sent("b", "final",
			`{"text":"Birth weight"}`, `"effectiveDateTime":"2026-02-20",`+quantity("3", "kg"))), "no-data"},
		{"height in inches", "height", `{"unit":"cm"}`, bundle(man, vital("h", "8302-2", "2026-02-20", "70", "[in_i]")),
			"177.8 cm"},
		{"BMI", "bmi", `{}`, bundle(man, kg("80"), cm("178")), "25.2 kg/m2"},
		{"BMI reported with the weight", "bmi", `{}`, bundle(man, kg("80"), cm("178"),
			vital("b", "39156-5", "2026-02-20", "25.3", "kg/m2")), "25.3 kg/m2"},
		{"BMI reported before the weight", "bmi", `{}`, bundle(man, kg("80"), cm("178"),
			vital("b", "39156-5", "2026-01-20", "31", "kg/m2")), "25.2 kg/m2"},
		{"BMI without height", "bmi", `{}`, bundle(man, kg("80")), "no-data"},
		{"BMI of a range", "bmi", `{}`, bundle(man, kg("80"), cm("178"), vital("h2", "8302-2", "2026-02-20", "180", "cm")),
			"24.7 to 25.2 kg/m2"},
		{"surface", "bsa", `{}`, bundle(man, kg("70"), cm("170")), "1.82 m2"},
		{"surface without weight", "bsa", `{}`, bundle(man, cm("170")), "no-data"},
	} {
		got := ask(t, "", tt.source).value("fhir."+tt.function, tt.options)
		if text := shown(got); text != tt.want {
			t.Errorf("%s: %v %q, want %q", tt.name, got.State, text, tt.want)
		}
	}
}

// TestCreatinineClearance holds Cockcroft-Gault to its check values, and to saying by
// which weight.
func TestCreatinineClearance(t *testing.T) {
	const options = `{"max_age":"P90D","weight":%q}`
	source := func(birth, sex, kg, cm, mg string) string {
		list := []string{person(birth, sex)}
		if kg != "" {
			list = append(list, vital("w", "29463-7", "2026-02-20", kg, "kg"))
		}
		if cm != "" {
			list = append(list, vital("h", "8302-2", "2026-02-20", cm, "cm"))
		}
		return bundle(append(list, vital("c", "2160-0", "2026-02-20", mg, "mg/dL"))...)
	}
	for _, tt := range []struct{ name, weight, source, want string }{
		{"80 M 60 kg 1.5", "actual", source("1946-01-15", "male", "60", "", "1.5"), "33.3 mL/min"},
		{"80 F 60 kg 1.5", "actual", source("1946-01-15", "female", "60", "", "1.5"), "28.3 mL/min"},
		{"70 M 70 kg 1.4", "actual", source("1956-01-15", "male", "70", "", "1.4"), "48.6 mL/min"},
		// 23.447; who rounds before the factor for women gets 23.5.
		{"75 F 55 kg 1.8", "actual", source("1951-01-15", "female", "55", "", "1.8"), "23.4 mL/min"},
		{"sex not known", "actual", source("1946-01-15", "unknown", "60", "", "1.5"), "28.3 to 33.3 mL/min"},
		{"born in 1946", "actual", source("1946", "male", "60", "", "1.5"), "33.3 to 33.9 mL/min"},
		// 177.8 cm are 70 inches: ideal 73, adjusted 73 + 0.4 (100 - 73) = 83.8.
		{"by ideal weight", "ideal", source("1956-01-15", "male", "100", "177.8", "1.4"), "50.7 mL/min"},
		{"by adjusted weight", "adjusted", source("1956-01-15", "male", "100", "177.8", "1.4"), "58.2 mL/min"},
		{"lighter than ideal", "adjusted", source("1956-01-15", "male", "60", "177.8", "1.4"), "41.7 mL/min"},
		{"too short for it", "ideal", source("1956-01-15", "male", "60", "150", "1.4"), "not-applicable"},
		{"no weight", "actual", source("1946-01-15", "male", "", "", "1.5"), "no-data"},
		{"no height", "ideal", source("1946-01-15", "male", "60", "", "1.5"), "no-data"},
		{"no age", "actual", source("", "male", "60", "", "1.5"), "no-data precision-insufficient"},
		{"perhaps too short for it", "ideal", strings.Replace(source("1956-01-15", "male", "60", "152", "1.4"),
			`"value":152`, `"comparator":">","value":152`, 1), "precision-insufficient"},
		{"perhaps a child", "actual", source("2008", "male", "60", "", "0.5"), "precision-insufficient"},
		{"a child", "actual", source("2016-01-15", "male", "30", "", "0.5"), "not-applicable"},
		{"nothing supplied", "actual", "", "not-supplied precision-insufficient not-supplied"},
	} {
		got := ask(t, "", tt.source).value("fhir.crcl", fmt.Sprintf(options, tt.weight))
		if text := shown(got); text != tt.want || got.State == fact.Known &&
			got.Method != "Cockcroft-Gault by "+tt.weight+" weight" {
			t.Errorf("%s: %v %q (%s), want %q", tt.name, got.State, text, got.Method, tt.want)
		}
	}
}

// TestChildEGFR holds bedside Schwartz to its check value.
func TestChildEGFR(t *testing.T) {
	scr, tall := vital("c", "2160-0", "2026-02-20", "0.6", "mg/dL"), vital("h", "8302-2", "2026-02-20", "120", "cm")
	child := person("2016-01-15", "female")
	for _, tt := range []struct{ name, source, want string }{
		{"120 cm, 0.6", bundle(child, scr, tall), "82.6 mL/min/1.73 m²"},
		{"no height", bundle(child, scr), "no-data"},
		{"an adult", bundle(person("1996-01-15", "female"), scr, tall), "not-applicable"},
		{"perhaps an adult", bundle(person("2008", "female"), scr, tall), "precision-insufficient"},
		{"an infant", bundle(person("2025-06-15", "female"), scr, tall), "not-applicable"},
		{"nobody knows how old", bundle(scr, tall), "no-data"},
	} {
		got := ask(t, "", tt.source).value("fhir.egfr_child", `{"max_age":"P90D"}`)
		if text := shown(got); text != tt.want {
			t.Errorf("%s: %v %q, want %q", tt.name, got.State, text, tt.want)
		}
	}
}

// TestQTc holds both formulas to their check values, and the library to saying which.
func TestQTc(t *testing.T) {
	for _, tt := range []struct{ qt, rate, bazett, fridericia string }{
		{"400", "60", "400", "400"}, {"400", "100", "516", "474"}, {"360", "110", "487", "441"},
	} {
		if b, f := QTc(dec(tt.qt), dec(tt.rate), true), QTc(dec(tt.qt), dec(tt.rate), false); b.Text('f') != tt.bazett ||
			f.Text('f') != tt.fridericia {
			t.Errorf("QT %s at %s: %s by Bazett, %s by Fridericia", tt.qt, tt.rate, b, f)
		}
	}
	qt, rate := vital("q", "8634-8", "2026-02-20", "400", "ms"), vital("r", "8867-4", "2026-02-20", "100", "/min")
	for _, tt := range []struct{ name, options, source, want, method string }{
		{"Bazett", "bazett", bundle(qt, rate), "516 ms", "Bazett"},
		{"Fridericia", "fridericia", bundle(qt, rate), "474 ms", "Fridericia"},
		{"in seconds", "bazett", bundle(vital("q", "8634-8", "2026-02-20", "0.4", "s"), rate), "516 ms", "Bazett"},
		{"reported", "bazett", bundle(vital("q", "8636-3", "2026-02-20", "0.47", "s")), "470 ms",
			"reported, formula not stated"},
		{"of one ECG", "bazett", bundle(qt, rate, vital("c", "8636-3", "2026-02-20", "470", "ms")), "516 ms", "Bazett"},
		{"reported since", "bazett", bundle(qt, rate, vital("c", "8636-3", "2026-02-25", "470", "ms")), "470 ms",
			"reported, formula not stated"},
		{"uncorrected only", "bazett", bundle(qt), "no-data", ""},
		{"the rate of another day", "bazett", bundle(qt, vital("r", "8867-4", "2026-02-19", "60", "/min")), "no-data", ""},
		{"none", "bazett", bundle(), "no-data", ""},
	} {
		got := ask(t, "", tt.source).value("fhir.qtc", fmt.Sprintf(`{"max_age":"P30D","formula":%q}`, tt.options))
		if text := shown(got); text != tt.want || got.State == fact.Known && got.Method != tt.method {
			t.Errorf("%s: %v %q (%s), want %q", tt.name, got.State, text, got.Method, tt.want)
		}
	}
}

// TestArithmetic asks the arithmetic of rules.
func TestArithmetic(t *testing.T) {
	a := ask(t, "", bundle(person("1956-01-15", "male"), vital("w", "29463-7", "2026-02-20", "60", "kg"),
		vital("w2", "8302-2", "2026-02-20", "1.8", "m")))
	const mg = `{"name":"dose","unit":"mg"}`
	a.value("fact.number", mg, "500")                                                                                   // 0
	a.value("fhir.weight", `{"unit":"kg"}`)                                                                             // 1
	per := a.value("fact.divide", `{"decimals":"1","name":"dose per kg","unit":"mg/kg"}`, `{"value":0}`, `{"value":1}`) // 2
	if per.String() != "8.3 mg/kg" || len(per.Evidence) != 1 {
		t.Errorf("%s, evidence %v", per, per.Evidence)
	}
	a.value("fact.number", `{"name":"limit","unit":"g"}`, "0.4") // 3
	for how, want := range map[string]fact.State{"greater": fact.True, "less_equal": fact.False} {
		if f := a.fact("fact.compare", `{"is":"`+how+`"}`, `{"value":0}`, `{"value":3}`); f.State != want {
			t.Errorf("500 mg %s 0.4 g is %v", how, f.State)
		}
	}
	if f := a.fact("fact.compare", `{"is":"less"}`, `{"value":0}`, `{"value":1}`); f.State != fact.True { // mg and kg
		t.Errorf("500 mg less than 60 kg is %v", f.State)
	}
	if f := a.fact("fact.compare", `{"is":"less"}`, `{"value":0}`, `{"value":2}`); f.State != fact.Unknown ||
		codes(f.Reasons) != "unit-unconvertible" {
		t.Errorf("mg and mg/kg: %+v", f)
	}
	sum := a.value("fact.add", `{"decimals":"0","name":"sum","unit":"mg"}`, `{"value":0}`, `{"value":3}`)
	if sum.String() != "900 mg" {
		t.Errorf("sum %s", sum)
	}
	if v := a.value("fact.subtract", `{"decimals":"0","name":"rest","unit":"mg"}`, `{"value":0}`, `{"value":2}`); codes(
		v.Reasons) != "unit-unconvertible" {
		t.Errorf("rest %s, %v", v, v.Reasons)
	}
	if v := a.value("fact.multiply", `{"decimals":"0","name":"twice","unit":"mg"}`, `{"value":0}`,
		`{"value":0}`); v.Low.Cmp(apd.New(250000, 0)) != 0 {
		t.Errorf("product %s", v)
	}
	if v := a.value("fact.round", `{"decimals":"0"}`, `{"value":2}`); v.String() != "8 mg/kg" {
		t.Errorf("rounded %s", v)
	}
}
