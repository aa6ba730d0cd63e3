package chart

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/apd/v3"

	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// ErrTerminology means that a terminology release contradicts itself; its
// publisher has to fix it.
var ErrTerminology = errors.New("inconsistent terminology")

// Terminology maps drug codes of one system to ingredients, as one release
// has them. It is not changed after NewTerminology and may be shared.
type Terminology struct {
	Release string
	drugs   map[codeKey]drugEntry
}

// Product is a drug product of a terminology release.
type Product struct {
	Code        string
	Ingredients []string // codes of the same system
	Form        string   // dose form: oral, topical, ...
	Strengths   []Strength
}

// Strength is how much of an ingredient a product holds: in one dose unit, such as
// a tablet, or in so much of it.
type Strength struct {
	Ingredient Coding      // one of the product's; of a Product to be added its code alone
	Amount     apd.Decimal // above zero
	Unit       string      // UCUM, such as "mg"
	PerAmount  apd.Decimal // above zero if there is a PerUnit
	PerUnit    string      // UCUM, such as "mL" or "h"; empty for one dose unit
}

// DoseForm is the dose form of a product in the words of the release: as RxNorm
// has them "Oral Tablet", in the groups "Oral Product" and "Pill". A release that
// does not name one leaves all of it zero.
type DoseForm struct {
	Coding
	Groups []Coding
}

// drugEntry is what a drug code stands for. An ingredient is its own only
// ingredient and has no form.
type drugEntry struct {
	ingredients []Coding // each once
	form        string
	strengths   []Strength
}

// NewTerminology builds the maps of a release. The error is ErrTerminology if
// a code is listed twice or a product has no or an unknown ingredient.
func NewTerminology(system, release string, ingredients []Coding, products []Product) (*Terminology, error) {
	system = CanonicalSystem(system)
	t := &Terminology{Release: release, drugs: make(map[codeKey]drugEntry, len(ingredients)+len(products))}
	byCode := make(map[string]Coding, len(ingredients))
	for _, in := range ingredients {
		in.System = system
		if _, twice := byCode[in.Code]; twice || in.Code == "" {
			return nil, fmt.Errorf("%w: ingredient %q is listed twice or has no code", ErrTerminology, in.Code)
		}
		byCode[in.Code] = in
		t.drugs[codeKey{system, in.Code}] = drugEntry{ingredients: []Coding{in}}
	}
	for _, p := range products {
		key := codeKey{system, p.Code}
		if _, twice := t.drugs[key]; twice || p.Code == "" || len(p.Ingredients) == 0 {
			return nil, fmt.Errorf("%w: product %q is listed twice or has no code or ingredient", ErrTerminology,
				p.Code)
		}
		entry := drugEntry{form: p.Form}
		for _, code := range p.Ingredients {
			in, ok := byCode[code]
			if !ok {
				return nil, fmt.Errorf("%w: product %q has unknown ingredient %q", ErrTerminology, p.Code, code)
			}
			entry.ingredients = union(entry.ingredients, in)
		}
		for _, s := range p.Strengths {
			in, ok := byCode[s.Ingredient.Code]
			if !ok {
				return nil, fmt.Errorf("%w: product %q has a strength of unknown ingredient %q", ErrTerminology, p.Code,
					s.Ingredient.Code)
			}
			s.Ingredient = in
			entry.strengths = append(entry.strengths, s)
		}
		t.drugs[key] = entry
	}
	return t, nil
}

// Ingredients returns the ingredients of a product and its dose form. An
// ingredient is its own ingredient, without a form. ok is false for a code
// the release does not have. The result must not be changed.
func (t *Terminology) Ingredients(system, code string) (ingredients []Coding, form string, ok bool) {
	if t == nil {
		return nil, "", false
	}
	entry, ok := t.drugs[codeKey{CanonicalSystem(system), code}]
	return entry.ingredients, entry.form, ok
}

// Strengths returns how much of its ingredients a product holds, as far as the
// release says; none for an ingredient or a code that it does not have. The result
// must not be changed.
func (t *Terminology) Strengths(system, code string) []Strength {
	if t == nil {
		return nil
	}
	return t.drugs[codeKey{CanonicalSystem(system), code}].strengths
}

// DoseForm returns the dose form of a product in the words of the release; zero if
// the release does not name it.
func (t *Terminology) DoseForm(system, code string) DoseForm {
	return DoseForm{}
}

// Drug is what an order or exposure is about.
type Drug struct {
	Codings     []Coding // as sent
	Text        string   // as sent, or the display of a reference
	Ingredients []Coding // by the terminology release; none if not identified
	Form        string   // dose form by the release, or empty
	Forms       []Coding // dose form of the Medication resource, as sent
	// Reason says why the drug is not identified: text-only,
	// unresolved-reference (also a code the release does not have), no-data.
	// It is zero for an identified drug.
	Reason fact.Reason
}

// Identified reports whether the ingredients are known.
func (d *Drug) Identified() bool { return d.Reason == (fact.Reason{}) }

// Name returns the drug in words: the text sent, a display sent, else the
// displays of the ingredients.
func (d *Drug) Name() string {
	if d.Text != "" {
		return d.Text
	}
	for _, list := range [][]Coding{d.Codings, d.Ingredients} {
		for _, c := range list {
			if c.Display != "" {
				return c.Display
			}
		}
	}
	return ""
}

// drug identifies the drug of a medication resource from its concept, else
// from the Medication it refers to.
func (c *Chart) drug(r *Resource, ref rawjson.Value) Drug {
	d := Drug{Codings: r.Codings, Text: r.Text}
	if len(d.Codings) > 0 || ref.Missing() {
		c.identify(&d)
		return d
	}
	target, display, _ := reference(ref)
	if d.Text == "" {
		d.Text = display
	}
	med, ok := c.Resolve(r, target)
	if target == "" || !ok {
		d.Reason = fact.Reason{Code: fact.UnresolvedReference, What: "medication"}
		return d
	}
	c.medication(&d, med)
	return d
}

// maxIngredients bounds the ingredients of one Medication, because each may
// refer to a resource that has to be searched for.
const maxIngredients = 64

// medication reads a Medication resource: its code, else its ingredients, all
// of which must be identified.
func (c *Chart) medication(d *Drug, med *Resource) {
	d.Codings = med.Codings
	if med.Text != "" {
		d.Text = med.Text
	}
	d.Forms, _, _ = concept(med.JSON.Get("form"), nil)
	c.identify(d)
	if d.Identified() {
		return
	}
	var parts Drug
	n := 0
	for e := med.JSON.Get("ingredient").Elements(); e.Next(); n++ {
		if n == maxIngredients {
			return // no drug; it stays unidentified
		}
		part := c.ingredient(med, e.Value)
		parts.Codings = append(parts.Codings, part.Codings...)
		parts.add(part.Ingredients)
		if !part.Identified() && parts.Identified() {
			parts.Reason = part.Reason
		}
	}
	if len(parts.Codings) == 0 {
		return
	}
	d.Codings = append(slices.Clip(d.Codings), parts.Codings...)
	d.Ingredients, d.Reason = parts.Ingredients, parts.Reason
}

// ingredient reads one ingredient of a Medication: a concept, or a reference
// to a Medication or Substance, of which only the code counts.
func (c *Chart) ingredient(med *Resource, v rawjson.Value) Drug {
	var part Drug
	part.Codings, part.Text, _ = concept(v.Get("itemCodeableConcept"), nil)
	if target, _, _ := reference(v.Get("itemReference")); target != "" && len(part.Codings) == 0 {
		item, ok := c.Resolve(med, target)
		if !ok {
			part.Reason = fact.Reason{Code: fact.UnresolvedReference, What: "medication"}
			return part
		}
		part.Codings, part.Text = item.Codings, item.Text
	}
	c.identify(&part)
	return part
}

// identify looks the codings up; every coding the release has counts.
func (c *Chart) identify(d *Drug) {
	known := false
	for _, code := range d.Codings {
		ingredients, form, ok := c.in.Terminology.Ingredients(code.System, code.Code)
		if !ok {
			continue
		}
		known = true
		d.add(ingredients)
		if d.Form == "" {
			d.Form = form
		}
	}
	switch {
	case known:
		d.Reason = fact.Reason{}
	case len(d.Codings) > 0:
		d.Reason = fact.Reason{Code: fact.UnresolvedReference, What: "drug code in the terminology release"}
	case d.Text != "":
		d.Reason = fact.Reason{Code: fact.TextOnly, What: "medication"}
	default:
		d.Reason = fact.Reason{Code: fact.NoData, What: "medication"}
	}
}

// add adds ingredients, each once. The first to come are not copied.
func (d *Drug) add(ingredients []Coding) {
	if len(d.Ingredients) == 0 {
		d.Ingredients = slices.Clip(ingredients)
		return
	}
	for _, in := range ingredients {
		d.Ingredients = union(d.Ingredients, in)
	}
}

func union(list []Coding, c Coding) []Coding {
	if slices.ContainsFunc(list, c.same) {
		return list
	}
	return append(list, c)
}
