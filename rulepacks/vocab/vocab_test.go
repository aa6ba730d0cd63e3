package vocab

import (
	"slices"
	"strings"
	"testing"

	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/packfile/packtest"
)

// TestSystemsThatWouldNeverMatch holds that a value set spells its systems as
// charts are read, so that no rule is silently never asked.
func TestSystemsThatWouldNeverMatch(t *testing.T) {
	for _, right := range foldedSystems {
		if what, _ := SystemProblem(right); what != "" {
			t.Errorf("%s: %s", right, what)
		}
	}
	for _, wrong := range []string{
		"https://loinc.org", "http://www.loinc.org", "HTTP://loinc.org", "http://nlm.nih.gov/research/umls/rxnorm",
		"http://www.snomed.info/sct",
		"https://hl7.org/fhir/sid/icd-10-cm", "http://whocc.no/atc", "https://www.whocc.no/atc",
		"http://hl7.org/fhir/sid/NDC", "http://www.unitsofmeasure.org/",
	} {
		if what, _ := SystemProblem(wrong); what == "" {
			t.Errorf("%s passes", wrong)
		}
	}
	if what, _ := SystemProblem("https://ehr.example/drugs"); what != "" {
		t.Errorf("a system of its own: %s", what)
	}
}

func TestValueSet(t *testing.T) {
	v, err := ReadValueSet(packfile.File{Name: "valuesets/metformin.json", Data: []byte(packtest.ValueSet)})
	if err != nil {
		t.Fatal(err)
	}
	const rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
	if !v.Has(rxnorm, "6809") || v.Codes[0].Display != "metformin" {
		t.Errorf("the set is %v", v)
	}
	if v.Has(rxnorm, "680") || v.Has("", "6809") || v.Has("http://loinc.org", "6809") {
		t.Error("the set has what it has not")
	}
	code := func(member, value string) string {
		c := map[string]string{"system": rxnorm, "code": "1", "display": "x"}
		c[member] = value
		return `{"id":"a","kind":"condition","codes":[` + "\n" + `{"system":"` + c["system"] + `","code":"` + c["code"] +
			`"}]}`
	}
	for _, test := range []struct {
		name, data string
		expect     packfile.Kind
		want       string
	}{
		{"good", code("code", "E11.9"), "", ""},
		{"kind missing", `{"id":"a","codes":[{"system":"http://loinc.org","code":"1"}]}`, ErrValueSet, "kind"},
		{"other id", `{"id":"b","kind":"service","codes":[{"system":"http://loinc.org","code":"1"}]}`, ErrValueSet, "id"},
		{"empty", `{"id":"a","kind":"service","codes":[]}`, ErrValueSet, "empty"},
		{"code twice", `{"id":"a","kind":"service","codes":[{"system":"http://loinc.org","code":"1"},` + "\n" +
			`{"system":"http://loinc.org","code":"1"}]}`, ErrValueSet, "valuesets/a.json:2"},
		{"no code", code("code", ""), ErrValueSet, ":2"},
		{"stray space", code("code", "E11 "), ErrValueSet, ":2"},
		{"OID", code("system", "urn:oid:2.16.840.1.113883.6.1"), ErrValueSet, "write http://loinc.org"},
		{"https", code("system", "https://loinc.org"), ErrValueSet, "write http://loinc.org"},
		{"slash at the end", code("system", "http://example.org/"), ErrValueSet, "canonical"},
		{"no URI", code("system", "LOINC"), ErrValueSet, "canonical"},
		{"unknown member", `{"id":"a","kinds":"service","codes":[]}`, packfile.ErrMalformed, `unknown member "kinds"`},
		{"other case", `{"ID":"a","kind":"service","codes":[]}`, packfile.ErrMalformed, `unknown member "ID"`},
		{"number as code", `{"id":"a","kind":"service","codes":[{"system":"http://loinc.org","code":` + "\n" + `1}]}`,
			packfile.ErrMalformed, "quotes"},
		{"doubled member", `{"id":"a","kind":"service",` + "\n" + `"kind":"route","codes":[]}`, packfile.ErrMalformed,
			"valuesets/a.json:2"},
		{"two values", `{"id":"a"} {}`, packfile.ErrMalformed, "after"},
		{"comment", "{\n// no\n}", packfile.ErrMalformed, "valuesets/a.json:2"},
		{"nested too deep", strings.Repeat("[", 200) + strings.Repeat("]", 200), packfile.ErrTooLarge, "nested"},
		{"nothing", "", packfile.ErrMalformed, "ends too early"},
		{"cut", `{"id":`, packfile.ErrMalformed, "ends too early"},
		{"list", `[]`, packfile.ErrMalformed, "a list"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadValueSet(packfile.File{Name: "valuesets/a.json", Data: []byte(test.data)})
			if test.expect == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			packtest.Refused(t, err, test.expect, "valuesets/a.json", test.want)
		})
	}
}

func TestReleaseRange(t *testing.T) {
	for _, test := range []struct {
		r       ReleaseRange
		release string
		want    bool
	}{
		{ReleaseRange{}, "2026.1", true},
		{ReleaseRange{}, "", false},
		{ReleaseRange{Min: "2026.2"}, "2026.10", true},
		{ReleaseRange{Min: "2026.2"}, "2026.1.9", false},
		{ReleaseRange{Min: "2026.2"}, "2026.2", true},
		{ReleaseRange{Max: "2026.2"}, "2026.2.1", false},
		{ReleaseRange{Min: "2025.1", Max: "2026.2"}, "2027.1", false},
		{ReleaseRange{Min: "2025.1"}, "latest", false},
	} {
		if got := test.r.Includes(test.release); got != test.want {
			t.Errorf("%v includes %q: %v", test.r, test.release, got)
		}
	}
}

func FuzzReadValueSet(f *testing.F) {
	f.Add([]byte(packtest.ValueSet))
	f.Add([]byte(`{"id":"metformin","kind":"route","codes":[{"system":"http://a","code":"x"},null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := ReadValueSet(packfile.File{Name: "valuesets/metformin.json", Data: data})
		if err != nil {
			packtest.Fit(t, err)
			return
		}
		for _, c := range v.Codes {
			if !v.Has(c.System, c.Code) {
				t.Fatalf("code %v is not found", c)
			}
		}
	})
}

func FuzzReadTerminology(f *testing.F) {
	f.Add([]byte(`{"system":"http://a.b","release":"2026.1","ingredients":[{"code":"1","display":"a"}],` +
		`"products":[{"code":"2","display":"b","ingredients":["1"],"form":"oral"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		terms, err := ReadTerminology(packfile.File{Name: "tables/products.json", Data: data})
		if err != nil {
			packtest.Fit(t, err)
			return
		}
		known := map[string]bool{}
		for _, in := range terms.Ingredients {
			known[in.Code] = true
		}
		for _, p := range terms.Products {
			if known[p.Code] || len(p.Ingredients) == 0 || slices.ContainsFunc(p.Ingredients,
				func(c string) bool { return !known[c] }) {
				t.Fatalf("product %v was accepted", p)
			}
		}
	})
}

// TestStrengths holds what a product may say of its strengths.
func TestStrengths(t *testing.T) {
	read := func(strengths string) (*Terminology, error) {
		return ReadTerminology(packfile.File{Name: "tables/products.json", Data: []byte(
			`{"system":"http://a.b","release":"2026.1",` +
				`"ingredients":[{"code":"1","display":"a"},{"code":"3","display":"c"}],"products":[` +
				`{"code":"2","display":"b","ingredients":["1"],"form":"oral","strengths":[` + strengths + `]}]}`)})
	}
	terms, err := read(`{"ingredient":"1","amount":"0.25","unit":"mg","per_amount":"5","per_unit":"mL"}`)
	if err != nil || terms.Products[0].Strengths[0] != (Strength{"1", "0.25", "mg", "5", "mL"}) {
		t.Errorf("%v, %v", terms, err)
	}
	for name, strength := range map[string]string{
		"of an ingredient it lacks": `{"ingredient":"3","amount":"5","unit":"mg"}`,
		"twice": `{"ingredient":"1","amount":"5","unit":"mg"},` +
			`{"ingredient":"1","amount":"6","unit":"mg"}`,
		"nothing":            `{"ingredient":"1","amount":"0.0","unit":"mg"}`,
		"negative":           `{"ingredient":"1","amount":"-5","unit":"mg"}`,
		"exponent":           `{"ingredient":"1","amount":"5e9","unit":"mg"}`,
		"no unit":            `{"ingredient":"1","amount":"5"}`,
		"unit in words":      `{"ingredient":"1","amount":"5","unit":"milli grams"}`,
		"per without amount": `{"ingredient":"1","amount":"5","unit":"mg","per_unit":"mL"}`,
		"per without unit":   `{"ingredient":"1","amount":"5","unit":"mg","per_amount":"2"}`,
	} {
		if _, err := read(strength); err == nil {
			t.Errorf("%s: it passes", name)
		}
	}
}
