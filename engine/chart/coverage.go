package chart

import (
	"slices"

	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Uncovered is a code of a call that means nothing here: a drug that the terminology
// does not have, or a code of the sender's own that no code map maps. It holds nothing
// about the patient: no display, which a sender may have written.
type Uncovered struct {
	Kind   vocab.ValueSetKind
	System string // empty if it was sent without one
	Code   string
}

// codedTypes are the types whose codes rules ask for, beside medications.
var codedTypes = []struct {
	typ  string
	kind vocab.ValueSetKind
}{{"Observation", vocab.KindObservation}, {"Condition", vocab.KindCondition},
	{"AllergyIntolerance", vocab.KindMedication}, {"ServiceRequest", vocab.KindService}}

// Uncovered counts, for each code that means nothing here, the resources that carry it.
// A code that is no code, such as one with spaces around it, is given without its text.
func (c *Chart) Uncovered() map[Uncovered]int {
	out := map[Uncovered]int{}
	add := func(kind vocab.ValueSetKind, codings []Coding, known func(Coding) bool) {
		for i, x := range codings {
			if x.Code == "" || known(x) || c.in.CodeMap.has(x) || slices.ContainsFunc(codings[:i], x.same) {
				continue
			}
			u := Uncovered{Kind: kind, System: x.System, Code: x.Code}
			if !vocab.IsCode(u.Code) || len(u.Code) > 64 {
				u.Code = ""
			}
			if len(u.System) > 200 {
				u.System = ""
			}
			out[u]++
		}
	}
	drug := func(x Coding) bool { _, ok := c.in.Terminology.find(x.System, x.Code); return ok }
	standard := func(x Coding) bool { return vocab.IsStandard(x.System) }
	for _, typ := range append(slices.Clone(exposureTypes), "Medication") {
		for _, r := range c.Resources(typ) {
			add(vocab.KindMedication, r.Codings, drug)
		}
	}
	for _, x := range codedTypes {
		for _, r := range c.Resources(x.typ) {
			add(x.kind, r.Codings, standard)
		}
	}
	for _, e := range c.Exposures() {
		add(vocab.KindRoute, e.Routes, standard)
		add(vocab.KindForm, e.Drug.Forms, standard)
	}
	return out
}

// has reports whether a map maps a code.
func (m *CodeMap) has(c Coding) bool {
	if m == nil {
		return false
	}
	_, ok := slices.BinarySearchFunc(m.codes, vocab.Mapping{System: c.System, Code: c.Code}, compareMappings)
	return ok
}
