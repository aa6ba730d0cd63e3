package chart

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// bundle writes a searchset of resources.
func bundle(resources ...string) string {
	var b strings.Builder
	for n, r := range resources {
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"resource":` + r + `}`)
	}
	return `{"resourceType":"Bundle","type":"searchset","entry":[` + b.String() + `]}`
}

func codes(reasons []fact.Reason) string {
	var list []string
	for _, r := range reasons {
		list = append(list, string(r.Code))
	}
	return strings.Join(list, " ")
}

func TestNew(t *testing.T) {
	for _, in := range []Inputs{{}, {Request: &Request{}}, {Request: &Request{}, Now: callTime}} {
		if _, err := New(in); !errors.Is(err, ErrInputs) {
			t.Errorf("New(%v): %v", in, err)
		}
	}
}

func TestComplete(t *testing.T) {
	const lab = `{"resourceType":"Observation","id":"1","code":{"text":"x"}}`
	declared := func(in *Inputs) {
		in.Declared = map[string][]string{"labs": {"Observation"}, "meds": {"MedicationRequest"}, "pat": {"Patient"}}
	}
	for _, tt := range []struct {
		name, prefetch, typ string
		change              func(*Inputs)
		want                string
	}{
		{"sent", `{"labs":` + bundle(lab) + `}`, "Observation", declared, ""},
		{"null", `{"labs":null}`, "Observation", declared, ""},
		{"empty", `{"labs":{"resourceType":"Bundle"}}`, "Observation", declared, ""},
		{"omitted", `{}`, "Observation", declared, "not-supplied"},
		{"nobody declares it", `{"labs":` + bundle(lab) + `}`, "Condition", declared, "not-supplied"},
		{"carried but not declared", `{"labs":` + bundle(lab, `{"resourceType":"Condition","id":"c"}`) + `}`,
			"Condition", declared, "not-supplied"},
		{"lone resource of another type", `{"labs":{"resourceType":"Patient","id":"p"}}`, "Observation", declared,
			"not-supplied"},
		{"failed", `{"labs":{"resourceType":"OperationOutcome"}}`, "Observation", declared, "fetch-failed"},
		{"partial carrier", `{"labs":` + bundle(lab) +
			`,"meds":{"resourceType":"Bundle","total":9,"entry":[{"resource":` + lab + `}]}}`, "Observation", declared,
			"partial-result"},
		{"unreadable code", `{"labs":` + bundle(`{"resourceType":"Observation","id":"1","code":7}`) + `}`,
			"Observation", declared, "partial-result"},
		{"undeclared key is not seen", `{"labs":null,"more":{"resourceType":"Bundle","total":9,"entry":[{"resource":` +
			lab + `}]}}`, "Observation", declared, ""},
		{"fetched instead", `{}`, "Observation", func(in *Inputs) {
			declared(in)
			in.Fetched = []*Source{{Key: "labs", Completeness: Complete}}
		}, ""},
		{"fetch failed", `{"labs":null}`, "Observation", func(in *Inputs) {
			declared(in)
			in.Fetched = []*Source{{Key: "labs", Completeness: Failed}}
		}, "fetch-failed"},
		{"nothing declared, delivered", `{"labs":` + bundle(lab) + `}`, "Observation", func(*Inputs) {}, ""},
		{"nothing declared nor delivered", `{"labs":null}`, "Observation", func(*Inputs) {}, "not-supplied"},
		{"drafts establish nothing", `{}`, "MedicationRequest", func(*Inputs) {}, "not-supplied"},
		{"a key cannot pass for drafts", `{"context.draftOrders":` + bundle(lab) + `}`, "Observation",
			func(*Inputs) {}, "not-supplied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, `{"draftOrders":`+bundle(`{"resourceType":"MedicationRequest","id":"d"}`)+`}`, tt.prefetch,
				tt.change)
			ok, reasons := c.Complete(tt.typ)
			if codes(reasons) != tt.want || ok != (tt.want == "") {
				t.Errorf("complete = %v, %v; want %q", ok, reasons, tt.want)
			}
		})
	}
	c := chartOf(t, `{}`, `{}`)
	if ok, reasons := c.Complete("MedicationRequest", "MedicationStatement", "Condition"); ok || len(reasons) != 2 {
		t.Errorf("reasons are not folded: %v", reasons)
	}
}

func TestIndex(t *testing.T) {
	obs := func(id, status, system, code string) string {
		return `{"resourceType":"Observation","id":"` + id + `","status":"` + status +
			`","code":{"coding":[{"system":"` + system + `","code":"` + code + `"},{"code":"nosystem"}]}}`
	}
	c := chartOf(t, `{}`, `{"a":`+bundle(
		obs("1", "final", "http://loinc.org", "2160-0"), obs("2", "entered-in-error", LOINC, "2160-0"),
		obs("3", "final", "urn:oid:2.16.840.1.113883.6.1", "2160-0"),
		obs("4", "final", "https://loinc.org/", "2160-0"),
		obs("5", "final", "urn:oid:2.16.840.1.113883.6.238", "2160-0"))+
		`,"b":`+bundle(obs("4", "final", LOINC, "2160-0"), obs("1", "final", LOINC, "2160-0"),
		obs("6", "final", LOINC, "98979-8"))+`}`)
	var found []string
	for _, r := range c.Find("Observation", Coding{System: LOINC, Code: "98979-8"},
		Coding{System: LOINC, Code: "2160-0"}) {
		found = append(found, r.ID+":"+r.Source+strings.Join(r.Also, ""))
	}
	if got := strings.Join(found, " "); got != "1:ab 3:a 4:a 4:b 6:b" {
		t.Errorf("found %s", got)
	}
	if n := len(c.Resources("Observation")); n != 6 {
		t.Errorf("%d observations", n)
	}
	if got := c.Find("Observation", Coding{System: LOINC, Code: "nosystem"}); len(got) != 0 {
		t.Error("a code without a system matches")
	}
	if got := c.Find("Nothing", Coding{System: LOINC, Code: "x"}); len(got) != 0 {
		t.Error("found in nothing")
	}
}

func TestCanonicalSystem(t *testing.T) {
	for _, tt := range [][2]string{
		{"urn:oid:2.16.840.1.113883.6.88", RxNorm}, {"http://www.nlm.nih.gov/research/umls/rxnorm/", RxNorm},
		{"https://www.nlm.nih.gov/research/umls/rxnorm", RxNorm},
		{"urn:oid:2.16.840.1.113883.6.96", SNOMED}, {"https://snomed.info/sct", SNOMED},
		{"urn:oid:2.16.840.1.113883.6.90", ICD10CM},
		{"2.16.840.1.113883.6.1", LOINC}, {"urn:oid:1.2.3", "urn:oid:1.2.3"},
		{"http://x.example/cs/", "http://x.example/cs"}, {"", ""},
	} {
		if got := CanonicalSystem(tt[0]); got != tt[1] {
			t.Errorf("%q = %q, want %q", tt[0], got, tt[1])
		}
	}
}

func TestResolve(t *testing.T) {
	c := chartOf(t, `{}`, `{"a":{"resourceType":"Bundle","entry":[
		{"fullUrl":"https://ehr.example/fhir/R4/Medication/m1","resource":{"resourceType":"Medication","id":"m1"}},
		{"fullUrl":"urn:uuid:5","resource":{"resourceType":"Medication","code":{"text":"by urn"}}},
		{"fullUrl":"https://other.example/Medication/m1","resource":{"resourceType":"Medication","id":"m7"}},
		{"resource":{"resourceType":"Medication","id":"gone","status":"entered-in-error"}},
		{"resource":{"resourceType":"MedicationRequest","id":"r","contained":[{"resourceType":"Medication","id":"in"},{"resourceType":"Medication","id":"err","status":"entered-in-error"}]}}]}}`)
	from := c.Resources("MedicationRequest")[0]
	for ref, want := range map[string]string{
		"Medication/m1": "Medication/m1", "Medication/m1/_history/3": "Medication/m1",
		"https://ehr.example/fhir/R4/Medication/m1":            "Medication/m1",
		"https://ehr.example/fhir/R4/Medication/m1/_history/2": "Medication/m1", "urn:uuid:5": "urn:uuid:5",
		"https://other.example/Medication/m1": "Medication/m7", "https://third.example/Medication/m1": "",
		"#in": "MedicationRequest/r#in", "#": "MedicationRequest/r",
		"#out": "", "#err": "", "": "", "Medication/": "", "Medication/gone": "", "medication/m1": "",
		"Medication/m1/extra": "",
	} {
		got := ""
		if r, ok := c.Resolve(from, ref); ok {
			got = r.Ref()
		}
		if got != want {
			t.Errorf("%q = %q, want %q", ref, got, want)
		}
	}
	inner, _ := c.Resolve(from, "#in")
	if r, ok := c.Resolve(inner, "#"); !ok || r != from {
		t.Error("a contained resource does not find its container")
	}
}

func TestOrders(t *testing.T) {
	const rx = `"http://www.nlm.nih.gov/research/umls/rxnorm"`
	c := chartOf(t, `{"selections":["MedicationRequest/1","https://ehr.example/fhir/R4/MedicationRequest/3"],"draftOrders":{"resourceType":"Bundle","entry":[
		{"resource":{"resourceType":"MedicationRequest","id":"1","status":"draft","intent":"order","medicationCodeableConcept":{"coding":[{"system":`+rx+`,"code":"860975","display":"metformin tab"}]},
			"priorPrescription":{"reference":"https://ehr.example/fhir/R4/MedicationRequest/old/_history/4"},"basedOn":[{"reference":"CarePlan/9"}],
			"dosageInstruction":[{"text":"one daily","route":{"coding":[{"system":"`+SNOMED+`","code":"26643006"}]}},{"text":"with food"}]}},
		{"resource":{"resourceType":"Medication","id":"m2","code":{"coding":[{"system":`+rx+`,"code":"197806"}]},"form":{"coding":{"system":"`+SNOMED+`","code":"385055001"}}}},
		{"resource":{"resourceType":"MedicationRequest","id":"2","medicationReference":{"reference":"Medication/m2"}}},
		{"resource":{"resourceType":"MedicationRequest","id":"3","medicationReference":{"reference":"#x"},"contained":[{"resourceType":"Medication","id":"x","ingredient":[{"itemCodeableConcept":{"coding":[{"system":`+rx+`,"code":"5489"}]}},{"itemReference":{"reference":"#y"}}]},{"resourceType":"Medication","id":"y","code":{"coding":[{"system":`+rx+`,"code":"161"}]}}]}},
		{"resource":{"resourceType":"MedicationRequest","id":"4","medicationCodeableConcept":{"text":"heart pill"}}},
		{"resource":{"resourceType":"MedicationRequest","id":"5","medicationReference":{"reference":"Medication/none","display":"a pill"}}},
		{"resource":{"resourceType":"MedicationRequest","id":"6","medicationCodeableConcept":{"coding":[{"system":`+rx+`,"code":"0"}]}}},
		{"resource":{"resourceType":"MedicationRequest","id":"7"}},
		{"resource":{"resourceType":"MedicationRequest","id":"8","doNotPerform":true}},
		{"resource":{"resourceType":"MedicationRequest","id":"9","status":"entered-in-error"}},
		{"resource":{"resourceType":"MedicationRequest","id":"10","medicationReference":{"identifier":{"value":"x"}}}},
		{"resource":{"resourceType":"MedicationRequest","id":"1","status":"active"}},
		{"fullUrl":"urn:uuid:77","resource":{"resourceType":"ServiceRequest","code":{"coding":[{"system":"http://loinc.org","code":"2160-0","display":"creatinine"}]}}},
		{"resource":{"resourceType":"ServiceRequest","id":"s2","code":{"text":"some scan"}}},
		{"resource":{"resourceType":"NutritionOrder","id":"n"}},
		{"resource":{"resourceType":"MedicationRequest","id":"11","medicationReference":{"reference":"#z"},"contained":[{"resourceType":"Medication","id":"z","ingredient":[{"itemCodeableConcept":{"coding":[{"system":`+rx+`,"code":"5489"}]}},{"itemCodeableConcept":{"text":"mystery"}}]}]}}
		]}}`, `{"meds":`+bundle(`{"resourceType":"MedicationRequest","id":"old","status":"active","medicationCodeableConcept":{"text":"x"}}`)+`}`)
	var got []string
	for _, o := range c.Orders() {
		var in []string
		for _, i := range o.Drug.Ingredients {
			in = append(in, i.Display)
		}
		got = append(got, o.Ref()+" "+o.Name()+" ["+strings.Join(in, "+")+" "+o.Drug.Form+"] "+string(o.Reason.Code))
	}
	want := []string{
		"MedicationRequest/1 metformin tab [metformin oral] ", "MedicationRequest/2 ibuprofen [ibuprofen oral] ",
		"MedicationRequest/3 hydrocodone [hydrocodone+acetaminophen ] ",
		"MedicationRequest/4 heart pill [ ] text-only",
		"MedicationRequest/5 a pill [ ] unresolved-reference",
		"MedicationRequest/6 MedicationRequest [ ] unresolved-reference",
		"MedicationRequest/7 MedicationRequest [ ] no-data",
		"MedicationRequest/10 MedicationRequest [ ] unresolved-reference",
		"MedicationRequest/1#2 MedicationRequest [ ] no-data",
		"urn:uuid:77 creatinine [ ] ", "ServiceRequest/s2 some scan [ ] text-only",
		"NutritionOrder/n NutritionOrder [ ] ",
		"MedicationRequest/11 hydrocodone [hydrocodone ] text-only",
	}
	if !slices.Equal(got, want) {
		t.Errorf("orders:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	o := c.Orders()[0]
	if !o.Concerns("MedicationRequest/old") || !o.Concerns("MedicationRequest/1") ||
		o.Concerns("MedicationRequest/2") || o.Dosage != "one daily; with food" || o.Routes[0].Code != "26643006" {
		t.Errorf("order = %+v", o)
	}
	if forms := c.Orders()[1].Drug.Forms; len(forms) != 1 || forms[0].Code != "385055001" {
		t.Errorf("forms = %v", forms)
	}
	if sel := c.Selected(); len(sel) != 2 || sel[1].ID != "3" {
		t.Errorf("selected %v", sel)
	}
}

func TestObservation(t *testing.T) {
	c := chartOf(t, `{}`, `{"labs":`+bundle(
		`{"resourceType":"Observation","id":"0","code":{"coding":[{"system":"http://loinc.org","code":"2160-0","display":"Creatinine"}]},"effectiveDateTime":"2026-02","issued":"2026-02-03T10:00:00Z","valueQuantity":{"value":1.50,"comparator":"<","unit":"mg/dL","system":"http://unitsofmeasure.org/","code":"mg/dL"},"interpretation":[{"coding":[{"code":"H"}]}]}`,
		`{"resourceType":"Observation","id":"1","effectivePeriod":{"start":"2026-01-01","end":"2026-01-03"},"valueString":"neg"}`,
		`{"resourceType":"Observation","id":"2","dataAbsentReason":{"coding":[{"system":"urn:oid:1.2.3",`+
			`"code":"NA"},{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"masked"}]}}`,
		`{"resourceType":"Observation","id":"3","valueQuantity":{"value":"1.5"}}`,
		`{"resourceType":"Observation","id":"4","valueQuantity":{"value":1,"comparator":"around"}}`,
		`{"resourceType":"Observation","id":"5","valueRange":{"low":{"value":1}}}`,
		`{"resourceType":"Observation","id":"6","valueQuantity":{"unit":"mg/dL"}}`,
		`{"resourceType":"Observation","id":"7","valueInteger":3,"effectiveDateTime":"yesterday"}`,
		`{"resourceType":"Observation","id":"8","valueCodeableConcept":{"coding":[{"system":"http://snomed.info/sct","code":"1","display":"one"}]}}`)+`}`)
	var obs []*Observation
	for _, r := range c.Resources("Observation") {
		obs = append(obs, c.Observation(r))
	}
	o := obs[0]
	if e := o.Evidence(); e != (fact.Evidence{Ref: "Observation/0", What: "Creatinine", Value: "<1.50", Unit: "mg/dL",
		When: "2026-02", Source: "labs"}) {
		t.Errorf("evidence = %+v", e)
	}
	if o.Analyte() != units.Creatinine || o.Interpretation[0].Code != "H" || !o.Issued.Exact() ||
		o.Effective.Exact() || o.Quantity.System != units.UCUM {
		t.Errorf("observation = %+v", o)
	}
	if p := obs[1]; p.ValueText != "neg" || p.Effective.Within(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 1, 4, 0, 0, 0, 0, time.UTC)) != fact.True {
		t.Errorf("period = %+v", p)
	}
	for n, want := range []string{"", "", "masked", "implausible", "implausible", "no-data", "", "", ""} {
		if got := codes(obs[n].Reasons); got != want {
			t.Errorf("%d: reasons %q, want %q", n, got, want)
		}
	}
	if obs[7].Quantity.Value.String() != "3" || obs[7].Effective.Known() || obs[8].ValueText != "one" {
		t.Errorf("%+v, %+v", obs[7], obs[8])
	}
}

func TestPatientAndCondition(t *testing.T) {
	for _, tt := range []struct{ name, prefetch, want, birth string }{
		{"the one", `{"p":{"resourceType":"Patient","id":"p1","gender":"female","birthDate":"1956"}}`, "", "1956"},
		{"among others", `{"p":` + bundle(`{"resourceType":"Patient","id":"mother"}`,
			`{"resourceType":"Patient","id":"p1","birthDate":"2001-01"}`) + `}`, "", "2001-01"},
		{"another", `{"p":{"resourceType":"Patient","id":"p2"}}`, "not-this-patient", ""},
		{"nobody's", `{"p":{"resourceType":"Patient","birthDate":"1956"}}`, "not-this-patient", ""},
		{"of that id on another server", `{"p":{"resourceType":"Bundle",` +
			`"entry":[{"fullUrl":"https://other.example/Patient/p1","resource":{"resourceType":"Patient",` +
			`"id":"p1"}}]}}`, "not-this-patient", ""},
		{"with content that must be understood",
			`{"p":{"resourceType":"Patient","id":"p1","birthDate":"1956",` +
				`"modifierExtension":[{"url":"http://x.example/not"}]}}`,
			"not-understood", ""},
		{"twice, the first in part", `{"a":{"resourceType":"Patient","id":"p1","gender":"male"},` +
			`"p":{"resourceType":"Patient","id":"p1","gender":"male","birthDate":"1956"}}`, "", "1956"},
		{"twice, contradicting", `{"a":{"resourceType":"Patient","id":"p1","birthDate":"1965"},` +
			`"p":{"resourceType":"Patient","id":"p1","birthDate":"1956"}}`, "ambiguous", ""},
		{"none", `{}`, "not-supplied", ""},
		{"birth unreadable", `{"p":{"resourceType":"Patient","id":"p1","birthDate":7}}`, "", ""},
	} {
		c := chartOf(t, plainContext, tt.prefetch)
		p, reasons := c.Patient()
		if codes(reasons) != tt.want || (p != nil) != (tt.want == "") || p != nil && p.Birth.Text != tt.birth {
			t.Errorf("%s: %+v, %v", tt.name, p, reasons)
		}
	}
	empty := chartOf(t, plainContext, `{"p":null}`,
		func(in *Inputs) { in.Declared = map[string][]string{"p": {"Patient"}} })
	if _, reasons := empty.Patient(); codes(reasons) != "no-data" {
		t.Errorf("known to be absent: %v", reasons)
	}
	c := chartOf(t, `{}`, `{"c":`+bundle(
		`{"resourceType":"Condition","id":"1","clinicalStatus":{"coding":[{"system":"urn:oid:1.2.3","code":"A"},`+
			`{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},`+
			`"verificationStatus":{"coding":{"system":"https://terminology.hl7.org/CodeSystem/condition-ver-status/",`+
			`"code":"refuted"}},`+
			`"onsetPeriod":{"start":"2020"},"abatementString":"last year","recordedDate":"2021-01-01"}`,
		`{"resourceType":"Condition","id":"2","verificationStatus":{"coding":[{"system":"urn:oid:1.2.3",`+
			`"code":"E"},{"system":"http://hl7.org/fhir/condition-ver-status","code":"entered-in-error"}]}}`,
		`{"resourceType":"Condition","id":"3","clinicalStatus":"resolved","abatementDateTime":"2022"}`)+`}`)
	list := c.Resources("Condition")
	if len(list) != 2 {
		t.Fatalf("%d conditions", len(list))
	}
	a, b := c.Condition(list[0]), c.Condition(list[1])
	if a.Clinical != "active" || a.Verification != "refuted" || !a.Abated || a.Abatement.Known() ||
		a.Onset.Text != "2020" || a.Recorded.Text != "2021-01-01" {
		t.Errorf("condition = %+v", a)
	}
	if b.Clinical != "resolved" || !b.Abated || b.Abatement.Text != "2022" {
		t.Errorf("condition = %+v", b)
	}
}

func TestTerminology(t *testing.T) {
	a := []Coding{{Code: "1"}}
	for name, build := range map[string]func() (*Terminology, error){
		"ingredient twice": func() (*Terminology, error) { return NewTerminology(RxNorm, "1", append(a, a...), nil) },
		"unknown ingredient": func() (*Terminology, error) {
			return NewTerminology(RxNorm, "1", a, []Product{{Code: "2", Ingredients: []string{"3"}}})
		},
		"no ingredient": func() (*Terminology, error) {
			return NewTerminology(RxNorm, "1", a, []Product{{Code: "2"}})
		},
		"product twice": func() (*Terminology, error) {
			return NewTerminology(RxNorm, "1", a,
				[]Product{{Code: "2", Ingredients: []string{"1"}}, {Code: "2", Ingredients: []string{"1"}}})
		},
		"product is an ingredient": func() (*Terminology, error) {
			return NewTerminology(RxNorm, "1", a, []Product{{Code: "1", Ingredients: []string{"1"}}})
		},
	} {
		if _, err := build(); !errors.Is(err, ErrTerminology) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, ok := (*Terminology)(nil).Ingredients(RxNorm, "1"); ok || (*Terminology)(nil).Strengths(RxNorm, "1") != nil {
		t.Error("no release knows a code")
	}
	half := Strength{Ingredient: Coding{Code: "1"}, Amount: *apd.New(5, -1), Unit: "mg"}
	terms, err := NewTerminology(RxNorm, "1", []Coding{{Code: "1", Display: "x"}},
		[]Product{{Code: "2", Ingredients: []string{"1"}, Strengths: []Strength{half}}})
	if err != nil {
		t.Fatal(err)
	}
	got := terms.Strengths("urn:oid:2.16.840.1.113883.6.88", "2")
	if len(got) != 1 || got[0].Ingredient != (Coding{RxNorm, "1", "x"}) || got[0].Amount.String() != "0.5" {
		t.Errorf("strengths = %v", got)
	}
	if terms.Strengths(RxNorm, "1") != nil {
		t.Error("an ingredient has a strength")
	}
	half.Ingredient.Code = "3"
	if _, err := NewTerminology(RxNorm, "1", []Coding{{Code: "1"}},
		[]Product{{Code: "2", Ingredients: []string{"1"}, Strengths: []Strength{half}}}); !errors.Is(err, ErrTerminology) {
		t.Errorf("strength of another ingredient: %v", err)
	}
}

// A sender who builds a chart for the worst case of every lookup must not
// hold a node up: all of this is linear, or the test does not end.
func TestHostileCharts(t *testing.T) {
	many := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(f(i))
		}
		return b.String()
	}
	drafts := many(4_000, func(i int) string {
		return fmt.Sprintf(`{"resource":{"resourceType":"MedicationRequest","status":"entered-in-error"}},{"fullUrl":"urn:uuid:%d","resource":{"resourceType":"MedicationRequest","medicationReference":{"reference":"urn:uuid:m%d"}}}`, i, i%1000)
	})
	meds := many(1_000, func(i int) string {
		return fmt.Sprintf(`{"fullUrl":"urn:uuid:m%d","resource":{"resourceType":"Medication","code":{"text":"x"}}}`,
			i)
	})
	compound := `{"resource":{"resourceType":"MedicationRequest","id":"c","medicationReference":{"reference":"#m"},"contained":[` +
		many(5_000, func(i int) string { return fmt.Sprintf(`{"resourceType":"Substance","id":"s%d"}`, i) }) +
		`,{"resourceType":"Medication","id":"m","ingredient":[` +
		many(5_000, func(i int) string { return `{"itemReference":{"reference":"#s4999"}}` }) + `]}]}}`
	selections := many(50_000, func(i int) string { return fmt.Sprintf(`"x%d"`, i) })
	c := chartOf(t, `{"selections":[`+selections+`],"draftOrders":{"resourceType":"Bundle","entry":[`+drafts+`,`+
		compound+`]}}`,
		`{"m":{"resourceType":"Bundle","entry":[`+meds+`]}}`)
	orders := c.Orders()
	if len(orders) != 4_001 || len(c.Selected()) != 0 || len(c.Exposures()) != 4_001 {
		t.Errorf("%d orders, %d exposures", len(orders), len(c.Exposures()))
	}
	if orders[0].Reason.Code != fact.TextOnly || orders[4_000].Identified() {
		t.Errorf("orders are misread: %v, %v", orders[0].Reason, orders[4_000].Reason)
	}
}

// TestIsNamed compares the comparison without texts with the one of texts, for
// resources with and without an id.
func TestIsNamed(t *testing.T) {
	var all []*Resource
	for _, typ := range []string{"MedicationRequest", "Medication", "MedicationStatement"} {
		for _, id := range []string{"", "1", "2", "old", "Request/1"} {
			r := &Resource{Type: typ, ID: id}
			all = append(all, r, &Resource{Type: typ, ID: id, fullURL: "urn:uuid:1"},
				&Resource{Type: typ, ID: id, container: r})
		}
	}
	for _, r := range all {
		for _, other := range all {
			fresh := *r
			if got, want := fresh.isNamed(other.Ref()), r.Ref() == other.Ref(); got != want {
				t.Errorf("%s is named %s: %v, want %v", r.Ref(), other.Ref(), got, want)
			}
		}
	}
}
