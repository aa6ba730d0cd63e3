package chart

import (
	"fmt"
	"testing"

	"github.com/precept-cds/precept/engine/terminology"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// ErrTerminology means that a release contradicts itself.
var ErrTerminology = terminology.ErrTable

// Product is a drug product of a release that a test makes.
type Product struct {
	Code        string
	Ingredients []string
	Form        string
	Strengths   []Strength
}

// NewTerminology makes a release.
func NewTerminology(system, release string, ingredients []Coding, products []Product) (*Terminology, error) {
	t := &vocab.Terminology{System: CanonicalSystem(system), Release: release}
	for _, in := range ingredients {
		t.Ingredients = append(t.Ingredients, vocab.Ingredient{Code: in.Code, Display: in.Display})
	}
	for _, p := range products {
		x := vocab.Product{Code: p.Code, Display: "product " + p.Code, Ingredients: p.Ingredients,
			Form: vocab.Form(p.Form)}
		for _, s := range p.Strengths {
			y := vocab.Strength{Ingredient: s.Ingredient.Code, Amount: s.Amount.Text('f'), Unit: s.Unit,
				PerUnit: s.PerUnit}
			if s.PerUnit != "" {
				y.PerAmount = s.PerAmount.Text('f')
			}
			x.Strengths = append(x.Strengths, y)
		}
		t.Products = append(t.Products, x)
	}
	table, err := terminology.FromProducts(t)
	if err != nil {
		return nil, err
	}
	return OpenTerminology(table), nil
}

// TestDoseForms holds the dose forms of a release as charts see them.
func TestDoseForms(t *testing.T) {
	b := &terminology.Builder{Release: "2026.11"}
	group := b.Add(terminology.Item{System: RxNorm, Code: "10", Display: "Oral Product", Kind: terminology.DFG})
	form := b.Add(terminology.Item{System: RxNorm, Code: "11", Display: "Oral Tablet", Kind: terminology.DF,
		Parts: []int{group}})
	in := b.Add(terminology.Item{System: RxNorm, Code: "1", Display: "x", Kind: terminology.IN})
	named := b.Add(terminology.Item{System: RxNorm, Display: "Saft", Kind: terminology.DF})
	for code, f := range map[string]int{"2": form, "3": group, "4": named} {
		b.Add(terminology.Item{System: RxNorm, Code: code, Display: "x", Kind: terminology.SCD,
			Parts: []int{in}, Form: f + 1})
	}
	data, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	table, err := terminology.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	terms := OpenTerminology(table)
	for code, want := range map[string]string{
		"1": "{{  } []}", "2": "{{" + RxNorm + " 11 Oral Tablet} [{" + RxNorm + " 10 Oral Product}]}",
		"3": "{{  } [{" + RxNorm + " 10 Oral Product}]}", "4": "{{  Saft} []}", "11": "{{  } []}", "99": "{{  } []}",
	} {
		if got := fmt.Sprint(terms.DoseForm(RxNorm, code)); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
	if in, _, ok := terms.Ingredients(RxNorm, "11"); ok || in != nil {
		t.Error("a dose form passes for a drug")
	}
	allocs := testing.AllocsPerRun(100, func() {
		terms.Ingredients(RxNorm, "2")
		terms.DoseForm(RxNorm, "2")
	})
	if allocs > 0 {
		t.Errorf("looking up a drug allocates %v times", allocs)
	}
}

// codeMap is what a house says of its own codes.
func codeMap(t testing.TB, house string) *CodeMap {
	t.Helper()
	return NewCodeMap(&vocab.CodeMap{Codes: []vocab.Mapping{
		{System: house, Code: "WAR5", Kind: vocab.KindMedication, To: []vocab.Code{{System: RxNorm, Code: "855350"}}},
		{System: house, Code: "PO", Kind: vocab.KindRoute, To: []vocab.Code{{System: SNOMED, Code: "26643006"}}},
		{System: house, Code: "CREA", Kind: vocab.KindObservation,
			To: []vocab.Code{{System: LOINC, Code: "2160-0", Display: "Creatinine"}}},
		{System: house, Code: "TAB", Kind: vocab.KindForm, To: []vocab.Code{{System: SNOMED, Code: "421026006"}}},
	}})
}

// TestCodeMap holds that a mapped code counts as what it means, wherever codes are, and
// that the resource says so.
func TestCodeMap(t *testing.T) {
	const house = "https://ehr.example/codes"
	order := `{"resourceType":"MedicationRequest","id":"1","status":"active","intent":"order",` +
		`"medicationCodeableConcept":{"coding":[{"system":"` + house + `/","code":"WAR5","display":"Warfarin 5"}]},` +
		`"dosageInstruction":[{"route":{"coding":[{"system":"` + house + `","code":"PO"}]}}]}`
	contained := `{"resourceType":"MedicationRequest","id":"2","status":"active","intent":"order",` +
		`"contained":[{"resourceType":"Medication","id":"m",` +
		`"code":{"coding":[{"system":"` + house + `","code":"WAR5"}]},` +
		`"form":{"coding":[{"system":"` + house + `","code":"TAB"}]}}],"medicationReference":{"reference":"#m"}}`
	other := `{"resourceType":"MedicationRequest","id":"3","status":"active","intent":"order",` +
		`"medicationCodeableConcept":{"coding":[{"system":"https://other.example/codes","code":"WAR5"}]}}`
	lab := `{"resourceType":"Observation","id":"4","status":"final",` +
		`"code":{"coding":[{"system":"` + house + `","code":"CREA"}]},"valueQuantity":{"value":1}}`
	prefetch := `{"m":` + bundle(order, contained, other) + `,"o":` + bundle(lab) + `}`
	for _, mapped := range []bool{false, true} {
		c := chartOf(t, `{}`, prefetch, func(in *Inputs) {
			if mapped {
				in.CodeMap = codeMap(t, house)
			}
		})
		all := c.Exposures()
		if len(all) != 3 {
			t.Fatalf("%d exposures", len(all))
		}
		for i, want := range []bool{mapped, mapped, false} {
			if d := all[i].Drug; d.Identified() != want || want && d.Ingredients[0].Code != "11289" {
				t.Errorf("mapped %v: drug %d is %v", mapped, i, d)
			}
		}
		if r := all[0].Routes; mapped != (len(r) == 1 && r[0] == Coding{System: SNOMED, Code: "26643006"}) {
			t.Errorf("mapped %v: routes are %v", mapped, r)
		}
		if f := all[1].Drug.Forms; mapped != (len(f) == 2) {
			t.Errorf("mapped %v: forms are %v", mapped, f)
		}
		found := c.Find("Observation", Coding{System: LOINC, Code: "2160-0"})
		if mapped != (len(found) == 1 && found[0].Mapped) || all[0].Mapped != mapped || all[2].Mapped {
			t.Errorf("mapped %v: found %v", mapped, found)
		}
		if e := all[0].Evidence(); (e.Note == "mapped by the local code map") != mapped {
			t.Errorf("mapped %v: evidence is %v", mapped, e)
		}
	}
}
