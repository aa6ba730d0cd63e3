package rulepacks

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Form is how a drug product is given, as far as rules care.
type Form string

// The forms of products. FormUnknown is what an ingredient without product has.
const (
	FormUnknown     Form = ""
	FormOral        Form = "oral"
	FormTopical     Form = "topical"
	FormInjectable  Form = "injectable"
	FormOphthalmic  Form = "ophthalmic"
	FormNasal       Form = "nasal"
	FormInhaled     Form = "inhaled"
	FormTransdermal Form = "transdermal"
	FormOther       Form = "other"
)

// Product is a drug product and the codes of its ingredients.
type Product struct {
	Code        string   `json:"code"`
	Display     string   `json:"display"`
	Ingredients []string `json:"ingredients"`
	Form        Form     `json:"form"`
}

// Ingredient is an active ingredient.
type Ingredient struct {
	Code    string `json:"code"`
	Display string `json:"display"`
}

// Terminology is one release of tables/products.json: the drug products of one
// code system and their ingredients.
type Terminology struct {
	System      string       `json:"system"`
	Release     string       `json:"release"` // such as "2026.1"
	Ingredients []Ingredient `json:"ingredients"`
	Products    []Product    `json:"products"`

	ingredient map[string]int
	product    map[string]int
}

// Drug is what a terminology knows about a medication code.
type Drug struct {
	Display     string
	Ingredients []Code
	Form        Form
}

// Lookup returns the drug behind a code: a product with its ingredients and
// form, or an ingredient, which is its own only ingredient and has no form. ok
// is false for a code that this release does not know.
func (t *Terminology) Lookup(system, code string) (drug Drug, ok bool) {
	if t == nil || system != t.System {
		return Drug{}, false
	}
	if i, ok := t.product[code]; ok {
		p := t.Products[i]
		drug = Drug{Display: p.Display, Form: p.Form, Ingredients: make([]Code, len(p.Ingredients))}
		for n, c := range p.Ingredients {
			drug.Ingredients[n] = t.code(c)
		}
		return drug, true
	}
	if i, ok := t.ingredient[code]; ok {
		return Drug{Display: t.Ingredients[i].Display, Ingredients: []Code{t.code(code)}}, true
	}
	return Drug{}, false
}

func (t *Terminology) code(ingredient string) Code {
	i := t.ingredient[ingredient]
	return Code{System: t.System, Code: ingredient, Display: t.Ingredients[i].Display}
}

// ParseTerminology reads tables/products.json. Unknown members, doubled codes
// and ingredients that are not declared are refused.
func ParseTerminology(f File) (*Terminology, error) {
	t := &Terminology{ingredient: map[string]int{}, product: map[string]int{}}
	d, err := readJSON(f)
	if err != nil {
		return nil, err
	}
	if err := d.decode(t); err != nil {
		return nil, err
	}
	var problems problemList
	refuse := func(at jsontext.Pointer, hint, format string, args ...any) {
		if len(problems) < maxProblems {
			problems.add(d.problem(ErrTerminology, at, hint, format, args...))
		}
	}
	if what, hint := systemProblem(t.System); what != "" {
		refuse("/system", hint, "%s", what)
	}
	if !releasePattern.MatchString(t.Release) {
		refuse("/release", `write it as "2026.1"`, "release is no release")
	}
	for i, in := range t.Ingredients {
		if _, twice := t.ingredient[in.Code]; twice || !validCode(in.Code) || in.Display == "" {
			refuse(index("/ingredients", i), "every ingredient once, with code and display",
				"ingredient %s is doubled or incomplete", printable(in.Code))
		}
		t.ingredient[in.Code] = i
	}
	for i, p := range t.Products {
		if what, hint := t.productProblem(p); what != "" {
			refuse(index("/products", i), hint, "product %s: %s", printable(p.Code), what)
		}
		t.product[p.Code] = i
	}
	if len(t.Ingredients) == 0 {
		refuse("/ingredients", "a release without ingredients identifies no drug", "ingredients is empty")
	}
	return t, problems.err()
}

func (t *Terminology) productProblem(p Product) (what, hint string) {
	_, twice := t.product[p.Code]
	_, alsoIngredient := t.ingredient[p.Code]
	switch {
	case !validCode(p.Code) || p.Display == "":
		return "code or display is missing", "give both"
	case twice:
		return "it is there twice", "remove one"
	case alsoIngredient:
		return "it is also an ingredient", "a code is a product or an ingredient"
	case len(p.Ingredients) == 0:
		return "it has no ingredients", "name at least one"
	case !slices.Contains([]Form{FormOral, FormTopical, FormInjectable, FormOphthalmic, FormNasal,
		FormInhaled, FormTransdermal, FormOther}, p.Form):
		return "its form is unknown", "use oral, topical, injectable, ophthalmic, nasal, inhaled, transdermal or other"
	}
	for i, c := range p.Ingredients {
		if _, ok := t.ingredient[c]; !ok {
			return "it names an ingredient that is not declared", "add the ingredient to ingredients"
		}
		if slices.Contains(p.Ingredients[:i], c) {
			return "it names an ingredient twice", "remove one"
		}
	}
	return "", ""
}
