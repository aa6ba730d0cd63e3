package clinical

import (
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Terminology is one release of drug products and their ingredients, in the
// form charts look drugs up in.
type Terminology struct {
	pack  *rulepacks.Pack
	chart *chart.Terminology
}

// NewTerminology makes a terminology pack ready for use.
func NewTerminology(pack *rulepacks.Pack) (*Terminology, error) {
	t := pack.Terminology
	ingredients := make([]chart.Coding, len(t.Ingredients))
	for i, in := range t.Ingredients {
		ingredients[i] = chart.Coding{Code: in.Code, Display: in.Display}
	}
	products := make([]chart.Product, len(t.Products))
	for i, p := range t.Products {
		products[i] = chart.Product{Code: p.Code, Ingredients: p.Ingredients, Form: string(p.Form),
			Strengths: strengths(p.Strengths)}
	}
	c, err := chart.NewTerminology(t.System, t.Release, ingredients, products)
	if err != nil {
		return nil, err
	}
	return &Terminology{pack: pack, chart: c}, nil
}

// Pack returns the pack it came from.
func (t *Terminology) Pack() *rulepacks.Pack { return t.pack }

// Chart returns the look-up for charts; nil for no terminology.
func (t *Terminology) Chart() *chart.Terminology {
	if t == nil {
		return nil
	}
	return t.chart
}

// strengths reads the numbers of strengths, which were checked when the table was read.
func strengths(list []vocab.Strength) []chart.Strength {
	out := make([]chart.Strength, len(list))
	for i, s := range list {
		out[i] = chart.Strength{Ingredient: chart.Coding{Code: s.Ingredient}, Unit: s.Unit, PerUnit: s.PerUnit}
		_, _, _ = out[i].Amount.SetString(s.Amount)
		if s.PerUnit != "" {
			_, _, _ = out[i].PerAmount.SetString(s.PerAmount)
		}
	}
	return out
}
