package chart

import (
	"slices"

	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// Drug is what an order or exposure is about.
type Drug struct {
	Codings     []Coding // as sent
	Text        string   // as sent, or the display of a reference
	Ingredients []Coding // by the terminology release; none if not identified
	Form        string   // dose form by the release in a word of rule packs, or empty
	DoseForm    DoseForm // dose form by the release in its own words, or zero
	Forms       []Coding // dose form of the Medication resource, as sent
	Mapped      bool     // the local code map added to Codings
	// Reason says why the drug is not identified: text-only,
	// unresolved-reference (also a code the release does not have), no-data.
	// It is zero for an identified drug. One that is known in part has some of
	// its ingredients, and a reason why there may be others.
	Reason fact.Reason
}

// Identified reports whether all ingredients are known.
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
	d := Drug{Codings: r.Codings, Text: r.Text, Mapped: r.Mapped}
	if len(d.Codings) > 0 || ref.Missing() {
		c.identify(&d)
		return d
	}
	target, display, _ := reference(ref)
	if d.Text == "" {
		d.Text = display
	}
	med, why := c.resolve(r, target)
	if why != "" {
		d.Reason = fact.Reason{Code: why, What: "medication"}
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
	d.Codings, d.Mapped = med.Codings, med.Mapped
	if med.Text != "" {
		d.Text = med.Text
	}
	form := med.JSON.Get("form")
	if form.Missing() {
		form = med.JSON.Get("doseForm") // of R5
	}
	d.Forms, _, _ = c.concept(form, nil)
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
	d.add(parts.Ingredients)
	d.Reason = parts.Reason
}

// ingredient reads one ingredient of a Medication: a concept, or a reference
// to a Medication or Substance, of which only the code counts.
func (c *Chart) ingredient(med *Resource, v rawjson.Value) Drug {
	var part Drug
	concept, ref := v.Get("itemCodeableConcept"), v.Get("itemReference")
	if item := v.Get("item"); !item.Missing() { // of R5
		concept, ref = item, item.Get("reference")
	}
	part.Codings, part.Text, _ = c.concept(concept, nil)
	if target, _, _ := reference(ref); target != "" && len(part.Codings) == 0 {
		item, why := c.resolve(med, target)
		if why != "" {
			part.Reason = fact.Reason{Code: why, What: "medication"}
			return part
		}
		part.Codings, part.Text = item.Codings, item.Text
	}
	c.identify(&part)
	return part
}

// nullFlavor is the system of codes that say no more than that there is none.
const nullFlavor = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"

// identify looks the codings up; every coding that the release has counts.
//
// The codings of one concept say the same at different depth. Once a product is
// known, all its ingredients are. Where only ingredients are known, and beside them
// stands a code that the release does not have, that may be a product with others;
// but for a local code that the code map says the meaning of.
func (c *Chart) identify(d *Drug) {
	known, whole, strange := false, d.Mapped, false
	for _, code := range d.Codings {
		ingredients, form, ok := c.in.Terminology.Ingredients(code.System, code.Code)
		if !ok {
			strange = strange || code.System != nullFlavor
			continue
		}
		known = true
		d.add(ingredients)
		if d.Form == "" {
			d.Form = form
		}
		if d.DoseForm.Code == "" && d.DoseForm.Display == "" {
			d.DoseForm = c.in.Terminology.DoseForm(code.System, code.Code)
		}
		whole = whole || len(ingredients) > 1 || d.Form != "" || d.DoseForm.Display != ""
	}
	switch {
	case known && (whole || !strange):
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
