package terminology

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/apd/v3"

	"github.com/precept-cds/precept/rulepacks/vocab"
)

// FromProducts makes a table of the products of a small release, tables/products.json
// of a terminology pack. The error is [ErrTable].
func FromProducts(t *vocab.Terminology) (*Table, error) {
	b := &Builder{Release: t.Release}
	items := make(map[string]int, len(t.Ingredients))
	for _, in := range t.Ingredients {
		items[in.Code] = b.Add(Item{System: t.System, Code: in.Code, Display: name(in.Display, in.Code),
			Kind: Ingredient})
	}
	for _, p := range t.Products {
		it := Item{System: t.System, Code: p.Code, Display: name(p.Display, p.Code), Kind: Product,
			Route: string(p.Form)}
		for _, code := range p.Ingredients {
			in, ok := items[code]
			if !ok {
				return nil, fmt.Errorf("building terminology table: %w",
					refuse("product %q has unknown ingredient %q", p.Code, code))
			}
			it.Parts = append(it.Parts, in)
		}
		for _, s := range p.Strengths {
			in, ok := items[s.Ingredient]
			if !ok {
				return nil, fmt.Errorf("building terminology table: %w",
					refuse("product %q has a strength of unknown ingredient %q", p.Code, s.Ingredient))
			}
			a := Amount{Ingredient: in, Unit: s.Unit, PerUnit: s.PerUnit}
			if err := a.set(s.Amount, s.PerAmount); err != nil {
				return nil, fmt.Errorf("building terminology table: %w", refuse("product %q: %v", p.Code, err))
			}
			it.Strengths = append(it.Strengths, a)
		}
		b.Add(it)
	}
	data, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return Open(data)
}

// name is a display, or the code where there is none.
func name(display, code string) string {
	if display == "" {
		return code
	}
	return display
}

func (a *Amount) set(amount, per string) error {
	if _, _, err := a.Amount.SetString(amount); err != nil {
		return err
	}
	if a.PerUnit == "" {
		a.PerAmount = apd.Decimal{}
		return nil
	}
	_, _, err := a.PerAmount.SetString(per)
	return err
}

// IsOf checks that a table is what the release.json beside it says: of the same release,
// and of systems that it gives a source and a licence for. The error is [ErrTable].
func (t *Table) IsOf(info *vocab.Terminology) error {
	if t.Release() != info.Release {
		return refuse("it is of release %q, its release.json of %q", t.Release(), info.Release)
	}
	for _, system := range t.Systems() {
		if !slices.ContainsFunc(info.Sources, func(s vocab.Release) bool { return s.System == system }) {
			return refuse("it has codes of %s, and its release.json names no source and licence for them", system)
		}
	}
	return nil
}
