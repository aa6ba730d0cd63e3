package clinical

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
)

// setOf turns the session to a pack whose value set of that id has the codes.
func (a asked) setOf(id string, loinc ...string) {
	set := &valueSet{title: id}
	for _, code := range loinc {
		set.codings = append(set.codings, chart.Coding{System: chart.LOINC, Code: code})
	}
	p := *a.pack
	p.sets = map[string]*valueSet{id: set}
	a.pack = &p
}

// TestResultsOfAWindow has each state of what is asked about a window of results.
func TestResultsOfAWindow(t *testing.T) {
	at := func(id, when, n string) string { return labResult(id, "2160-0", when, quantity(n, "mg/dL")) }
	first, second, third := at("1", "2026-02-27T08:00:00Z", "1.0"), at("2", "2026-03-01T08:00:00Z", "0.8"),
		at("3", "2026-03-02T08:00:00Z", "1.2")
	all, old := []string{first, second, third}, at("0", "2025-01-01T08:00:00Z", "5")
	preliminary := strings.Replace(third, "final", "preliminary", 1)
	for _, tt := range []struct {
		name, ask, want string
		results         []string
	}{
		{"lowest", "lowest", "0.8 mg/dL", all}, {"highest", "highest", "1.2 mg/dL", append(all, old)},
		{"mean", "mean", "1 mg/dL", all}, {"how many", "count", "3 1", append(all, old)}, {"days", "days", "3 1", all},
		{"lowest below", "lowest", "<= 0.5 mg/dL", []string{first,
			labResult("2", "2160-0", "2026-03-01T08:00:00Z", strings.Replace(quantity("0.5", "mg/dL"), `"value":0.5`,
				`"value":0.5,"comparator":"<="`, 1))}},
		{"a preliminary one", "lowest", "wrong-status", []string{first, preliminary}},
		{"one that may be of the window", "count", "precision-insufficient", []string{first, at("4", "2026-02", "1")}},
		{"none", "lowest", "no-data", []string{old}}, {"none to count", "count", "0 1", []string{old}},
		{"change from lowest", "lowest difference", "0.4 mg/dL", all},
		{"change from first", "first percent", "20 %", all}, {"change from previous", "previous percent", "50 %", all},
		{"change from highest", "highest difference", "0.2 mg/dL", all},
		{"of one result", "first difference", "no-data", []string{first}},
		{"of a day, nobody knows in which order", "first difference", "precision-insufficient",
			[]string{at("1", "2026-03-01", "1"), at("2", "2026-03-01", "2")}},
		{"change to a preliminary one", "first difference", "wrong-status", []string{first, preliminary}},
	} {
		a := ask(t, "", bundle(tt.results...))
		a.setOf("scr", "2160-0")
		options := fmt.Sprintf(`{"set":"scr","unit":"mg/dL","within":"P7D","of":%q}`, tt.ask)
		name := "fhir.results"
		if from, as, change := strings.Cut(tt.ask, " "); change {
			name = "fhir.change"
			options = fmt.Sprintf(`{"set":"scr","unit":"mg/dL","within":"P7D","from":%q,"as":%q}`, from, as)
		}
		if got := a.value(name, options); shown(got) != tt.want {
			t.Errorf("%s: %v %q, want %q", tt.name, got.State, shown(got), tt.want)
		}
	}
	a := ask(t, "", "")
	a.setOf("scr", "2160-0")
	const count = `{"set":"scr","unit":"mg/dL","within":"P7D","of":"count"}`
	if v := a.value("fhir.results", count); shown(v) != "not-supplied" {
		t.Errorf("nothing supplied: %s", shown(v))
	}
}

// TestCodedResults has each state of what coded results say, and whether there is one.
func TestCodedResults(t *testing.T) {
	const now, before = `"effectiveDateTime":"2026-03-01T08:00:00Z",`, `"effectiveDateTime":"2026-02-01T08:00:00Z",`
	coded := func(system, code string) string {
		return fmt.Sprintf(`"valueCodeableConcept":{"coding":[{"system":%q,"code":%q}]}`, system, code)
	}
	const snomed, loinc = "http://snomed.info/sct", "http://loinc.org"
	says := func(system, code string) string {
		return fmt.Sprintf(`"interpretation":[{"coding":[{"system":%q,"code":%q}]}]`, system, code)
	}
	test := func(rest string) []string { return []string{sent("1", "final", "2118-8", now+rest)} }
	for _, tt := range []struct {
		name         string
		results      []string
		is, has, neg fact.State
	}{
		{"positive", test(coded(snomed, "10828004")), fact.True, fact.True, fact.False},
		{"detected", test(coded(loinc, "LA11882-0")), fact.True, fact.True, fact.False},
		{"negative", test(coded(snomed, "260385009")), fact.False, fact.True, fact.True},
		{"not detected", test(coded(loinc, "LA11883-8")), fact.False, fact.True, fact.True},
		{"a number, and its interpretation", test(quantity("5", "m[IU]/mL") + "," + says(interpretations, "NEG")),
			fact.False, fact.True, fact.True},
		{"a number alone", test(quantity("5", "m[IU]/mL")), fact.Unknown, fact.True, fact.Unknown},
		{"words", test(`"valueString":"negative"`), fact.Unknown, fact.True, fact.Unknown},
		{"a code that says neither", test(coded(snomed, "419984006")), fact.Unknown, fact.True, fact.Unknown},
		{"codes that contradict", test(coded(snomed, "10828004") + "," + says(interpretations, "NEG")),
			fact.Unknown, fact.True, fact.Unknown},
		{"the code of another system", test(coded("https://lab.example", "10828004")), fact.Unknown, fact.True,
			fact.Unknown},
		{"a newer preliminary", append(test(coded(snomed, "260385009")), sent("2", "preliminary", "2118-8",
			strings.Replace(now, "08:00", "09:00", 1)+coded(snomed, "10828004"))), fact.Unknown, fact.True, fact.Unknown},
		{"preliminary alone", []string{sent("2", "preliminary", "2118-8", now+coded(snomed, "10828004"))}, fact.Unknown,
			fact.Unknown, fact.Unknown},
		{"too old", []string{sent("1", "final", "2118-8", before+coded(snomed, "10828004"))}, fact.Unknown, fact.False,
			fact.Unknown},
		{"pending", []string{sent("1", "registered", "2118-8", now+`"note":[]`)}, fact.False, fact.False, fact.False},
		{"none", nil, fact.False, fact.False, fact.False},
	} {
		a := ask(t, "", bundle(tt.results...))
		a.setOf("hcg", "2118-8")
		is := a.fact("fhir.result_is", `{"set":"hcg","is":"positive","within":"P7D"}`)
		neg := a.fact("fhir.result_is", `{"set":"hcg","is":"negative","within":"P7D"}`)
		has := a.fact("fhir.has_result", `{"set":"hcg","within":"P7D"}`)
		if is.State != tt.is || neg.State != tt.neg || has.State != tt.has {
			t.Errorf("%s: positive %v, negative %v, there %v", tt.name, is.State, neg.State, has.State)
		}
		if is.State == fact.Unknown && len(is.Reasons) == 0 {
			t.Errorf("%s: unknown without a reason", tt.name)
		}
	}
}

// TestOrderAndCopiesChangeNothing holds that results in another order, or twice, give the
// same value, and that what is left out of a partial source never makes a yes a no.
func TestOrderAndCopiesChangeNothing(t *testing.T) {
	result := rapid.Custom(func(t *rapid.T) string {
		day := rapid.SampledFrom([]string{"2026-02-20", "2026-02-20T08:00:00Z", "2026-02-21T08:00:00Z", "2026-02", "",
			"2024-01-01"}).Draw(t, "day")
		status := rapid.SampledFrom([]string{"final", "final", "final", "preliminary", "registered", "cancelled"}).
			Draw(t, "status")
		code := rapid.SampledFrom([]string{"2160-0", "38483-4", "98979-8", `{"text":"Creatinine"}`}).Draw(t, "code")
		n := fmt.Sprint(rapid.IntRange(1, 9).Draw(t, "n"))
		value := quantity(n, "mg/dL")
		if code == "98979-8" {
			value = quantity(n+"0", "mL/min")
		}
		if rapid.IntRange(0, 9).Draw(t, "words") == 0 {
			value = `"valueString":"see note"`
		}
		return sent("x", status, code, `"effectiveDateTime":"`+day+`",`+value)
	})
	rapid.Check(t, func(t2 *rapid.T) {
		list := rapid.SliceOfN(result, 1, 4).Draw(t2, "results")
		for i := range list {
			list[i] = strings.Replace(list[i], `"id":"x"`, fmt.Sprintf(`"id":"%d"`, i), 1)
		}
		man := person("1956-01-15", "male")
		value := func(results ...string) *fact.Value {
			return ask(t, "", bundle(append([]string{man}, results...)...)).value("fhir.egfr", `{"max_age":"P365D"}`)
		}
		want := value(list...)
		for i := range 3 {
			other := rapid.Permutation(list).Draw(t2, "order")
			if i == 2 {
				other = append(other, other[0])
			}
			if got := value(other...); shown(got) != shown(want) {
				t2.Fatalf("%q in another order: %s, want %s\n%s", list, shown(got), shown(want), strings.Join(other, "\n"))
			}
		}
		// The same source, one result left out and marked as partial.
		rest := fmt.Sprintf(`{"resourceType":"Bundle","type":"searchset","total":%d,"entry":[`, len(list)+1)
		for _, r := range append([]string{man}, list[1:]...) {
			rest += `{"resource":` + r + `},`
		}
		got := ask(t, "", strings.TrimSuffix(rest, ",")+"]}").value("fhir.egfr", `{"max_age":"P365D"}`)
		if got.State != fact.PresenceUnknown {
			t2.Fatalf("a partial source gives %s", shown(got))
		}
	})
}

// TestKnowingLessNeverSaysMore holds that an interval never shrinks by losing data: a
// coarser birth date, an unknown sex, and a second result of the same day only widen it.
func TestKnowingLessNeverSaysMore(t *testing.T) {
	rapid.Check(t, func(t2 *rapid.T) {
		year, month := rapid.IntRange(1936, 2000).Draw(t2, "year"), rapid.IntRange(1, 12).Draw(t2, "month")
		birth := fmt.Sprintf("%d-%02d-%02d", year, month, rapid.IntRange(1, 28).Draw(t2, "day"))
		sex := rapid.SampledFrom([]string{"female", "male"}).Draw(t2, "sex")
		mg := func(name string) string { return fmt.Sprintf("%.1f", float64(rapid.IntRange(4, 60).Draw(t2, name))/10) }
		scr := labResult("c", "2160-0", "2026-02-20", quantity(mg("mg"), "mg/dL"))
		weight := vital("w", "29463-7", "2026-02-20", "70", "kg")
		other := labResult("d", "2160-0", "2026-02-20", quantity(mg("other"), "mg/dL"))
		for function, options := range map[string]string{"fhir.egfr": `{"max_age":"P365D"}`,
			"fhir.crcl": `{"max_age":"P365D","weight":"actual"}`} {
			value := func(birth, sex string, results ...string) *fact.Value {
				all := append([]string{person(birth, sex), scr, weight}, results...)
				return ask(t, "", bundle(all...)).value(function, options)
			}
			full := value(birth, sex)
			for _, less := range []*fact.Value{value(birth[:7], sex), value(birth[:4], sex), value(birth, "unknown"),
				value(birth[:4], "other", other), value(birth, sex, other)} {
				if less.State == fact.Known && (less.Low.Cmp(full.Low) > 0 || less.High.Cmp(full.High) < 0) {
					t2.Fatalf("%s of %s %s: %s became %s", function, birth, sex, full, less)
				}
			}
		}
	})
}
