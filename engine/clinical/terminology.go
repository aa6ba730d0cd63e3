package clinical

import (
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/rulepacks"
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
		products[i] = chart.Product{Code: p.Code, Ingredients: p.Ingredients, Form: string(p.Form)}
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
