package chart

import (
	"cmp"
	"slices"

	"github.com/cockroachdb/apd/v3"

	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/terminology"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Terminology looks drug codes up in one release. It may be shared.
type Terminology struct {
	table   *terminology.Table
	members []Coding // of all lists of the table, so that looking up makes nothing
}

// OpenTerminology makes a release ready for charts.
func OpenTerminology(table *terminology.Table) *Terminology {
	t := &Terminology{table: table, members: make([]Coding, table.Lists())}
	for i := range table.Concepts() {
		at, n := table.Concept(i).List()
		if n == 0 || t.members[at+1].Display != "" {
			continue // none, or one that another concept has too
		}
		for j := at + 1; j <= at+n; j++ {
			t.members[j] = codingOf(table.Member(j))
		}
	}
	return t
}

// codingOf returns a concept as a coding, without system and code if it has none.
func codingOf(x terminology.Concept) Coding {
	own, _ := x.Own()
	return Coding{System: own.System, Code: own.Code, Display: x.Display()}
}

func (t *Terminology) find(system, code string) (terminology.Concept, bool) {
	if t == nil {
		return terminology.Concept{}, false
	}
	c, ok := t.table.Lookup(CanonicalSystem(system), code)
	return c.Concept, ok && c.Concept.IsDrug()
}

// list returns what a concept's list names.
func (t *Terminology) list(x terminology.Concept) []Coding {
	at, n := x.List()
	if n == 0 {
		return nil
	}
	return t.members[at+1 : at+1+n : at+1+n]
}

// Ingredients returns the ingredients of a drug and its form in a word of rule packs,
// empty if the release has none. An ingredient is its own ingredient. ok is false for a
// code that the release does not have. The result must not be changed.
func (t *Terminology) Ingredients(system, code string) (ingredients []Coding, form string, ok bool) {
	x, ok := t.find(system, code)
	if !ok {
		return nil, "", false
	}
	return t.list(x), x.Route(), true
}

// DoseForm is the dose form of a product in the words of the release: as RxNorm
// has them "Oral Tablet", in the groups "Oral Product" and "Pill". Of some products
// only the groups are known. A release that does not name one leaves all of it zero.
type DoseForm struct {
	Coding
	Groups []Coding // must not be changed
}

// DoseForm returns the dose form of a product; zero if the release does not name it.
func (t *Terminology) DoseForm(system, code string) DoseForm {
	x, ok := t.find(system, code)
	if !ok {
		return DoseForm{}
	}
	form := x.Form()
	switch {
	case !form.Exists():
		return DoseForm{}
	case form.Kind() == terminology.DFG:
		return DoseForm{Groups: []Coding{codingOf(form)}}
	}
	return DoseForm{Coding: codingOf(form), Groups: t.list(form)}
}

// Strength is how much of an ingredient a product holds: in one dose unit, such as
// a tablet, or in so much of it.
type Strength struct {
	Ingredient Coding      // one of the product's
	Amount     apd.Decimal // above zero
	Unit       string      // UCUM, such as "mg"
	PerAmount  apd.Decimal // above zero if there is a PerUnit
	PerUnit    string      // UCUM, such as "mL" or "h"; empty for one dose unit
}

// Strengths returns how much of its ingredients a product holds, as far as the
// release says; none for an ingredient or a code that it does not have.
func (t *Terminology) Strengths(system, code string) []Strength {
	x, ok := t.find(system, code)
	if !ok {
		return nil
	}
	var out []Strength
	for _, s := range x.Strengths() {
		out = append(out, Strength{Ingredient: codingOf(s.Ingredient), Amount: s.Amount, Unit: s.Unit,
			PerAmount: s.PerAmount, PerUnit: s.PerUnit})
	}
	return out
}

// CodeMap says what the local codes of one health system mean. It may be shared.
type CodeMap struct {
	codes []vocab.Mapping // sorted by system and code
}

// NewCodeMap makes a code map ready for charts.
func NewCodeMap(m *vocab.CodeMap) *CodeMap {
	c := &CodeMap{codes: slices.Clone(m.Codes)}
	for i := range c.codes {
		c.codes[i].System = CanonicalSystem(c.codes[i].System)
	}
	slices.SortFunc(c.codes, compareMappings)
	return c
}

func compareMappings(a, b vocab.Mapping) int {
	return cmp.Or(cmp.Compare(a.System, b.System), cmp.Compare(a.Code, b.Code))
}

// extend appends, for each of the codings from a place on, what the map says it means,
// and reports whether it says anything.
func (m *CodeMap) extend(codings []Coding, from int) (_ []Coding, mapped bool) {
	if m == nil {
		return codings, false
	}
	for _, c := range codings[from:] {
		at, ok := slices.BinarySearchFunc(m.codes, vocab.Mapping{System: c.System, Code: c.Code}, compareMappings)
		if !ok {
			continue
		}
		for _, to := range m.codes[at].To {
			x := Coding{System: to.System, Code: to.Code, Display: to.Display}
			if !slices.ContainsFunc(codings[from:], x.same) {
				codings, mapped = append(codings, x), true
			}
		}
	}
	return codings, mapped
}

// mappedNote is the note of evidence whose code counts by the local code map.
func mappedNote(mapped bool) string {
	if mapped {
		return "mapped by the local code map"
	}
	return ""
}

// concept is concept with what the local code map says of the codings.
func (c *Chart) concept(v rawjson.Value, codings []Coding) (_ []Coding, text string, ok bool) {
	from := len(codings)
	codings, text, ok = concept(v, codings)
	codings, _ = c.in.CodeMap.extend(codings, from)
	return codings, text, ok
}
