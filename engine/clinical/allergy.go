package clinical

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// allergenKinds are the kinds of value sets that hold what patients are allergic to.
var allergenKinds = []vocab.ValueSetKind{vocab.KindMedication, vocab.KindSubstance}

// allergyQuestions ask what the patient is allergic to. Routes do not matter: who
// is allergic to a drug is so whichever way it is given.
func allergyQuestions() []Function {
	filters := []Option{
		{Name: "kind", Kind: KindEnum, Words: []string{"allergy", "intolerance"}, Param: true,
			Doc: "only of that type", Unknown: "the record does not say the type"},
		{Name: "criticality", Kind: KindEnum, Words: []string{"high", "low"}, Param: true,
			Doc: "only of that criticality", Unknown: "it was not assessed"},
		{Name: "reaction", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindCondition},
			Doc: "only with a reaction of the set", Unknown: "no reaction is recorded in codes"},
		{Name: "confirmed", Kind: KindFlag, Param: true, Doc: "only confirmed ones",
			Unknown: "it is presumed, unconfirmed, or the record does not say"},
	}
	return []Function{
		{
			Name: "fhir.allergy_to",
			Doc: "has an allergy or intolerance to something of the set, whichever the route: by the code of the " +
				"substance, of a class, of a product (then to each of its ingredients), or of a reaction's substance; " +
				"refuted, resolved and inactive ones never count, nor do those entered in error",
			Unknown: "allergies are incomplete, in words only, coded in a system that the set has no codes of, or a " +
				"product that the terminology does not have; or the list is empty because nobody asked",
			Options: slices.Concat([]Option{{Name: "set", Kind: KindSet, Sets: allergenKinds, Required: true,
				Doc: "the substances; kind medication also takes drugs by ingredient, and foods and allergens of the " +
					"environment that cannot be identified are none of them"}}, filters),
			Result: typeFact, Reads: allergyTypes, Attributes: []string{attributeHealth}, Run: allergyTo,
		},
		{
			Name: "fhir.cross_reacts",
			Doc: "the draft is of the first set and the patient is allergic to something of the second: " +
				"one row of a class table, with the risk that its source gives",
			Unknown: "the draft cannot be identified, or as `fhir.allergy_to`, unless the other one is false",
			Options: slices.Concat([]Option{
				{Name: "order", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindMedication}, Required: true,
					Doc: "what the draft may be of"},
				{Name: "allergen", Kind: KindSet, Sets: allergenKinds, Required: true, Doc: "what the allergy is to"},
				{Name: "risk", Kind: KindEnum, Words: []string{"high", "moderate", "low"}, Required: true,
					Doc: "shown in explanations; what follows from it is for the rule to say"}}, filters),
			Result: typeFact, Reads: allergyTypes, Attributes: []string{attributeHealth}, NeedsOrder: true,
			Run: crossReacts,
		},
		{
			Name: "fhir.no_known_allergy",
			Doc: "the record states that no allergy is known, by a code or by a list that is empty for that reason; " +
				"an empty list alone states nothing",
			Unknown: "nothing is stated, allergies are incomplete or in words only, or one is on file whose category " +
				"nobody can tell",
			Options: []Option{{Name: "category", Kind: KindEnum, Words: []string{"medication", "food", "environment"},
				Param: true, Doc: "of that category; without it, of any"}},
			Result: typeFact, Reads: allergyTypes, Attributes: []string{attributeHealth}, Run: noKnownAllergy,
		},
	}
}

// allergyTypes are the resources that say what a patient is allergic to. Lists of
// allergies are looked at where they come with them: no prefetch has to ask for them.
var allergyTypes = []string{"AllergyIntolerance"}

func (v *view) allergies() []*chart.Resource {
	v.look(attributeHealth, allergyTypes...)
	return v.of.Resources("AllergyIntolerance")
}

func (v *view) allergy(r *chart.Resource) *chart.Allergy { return v.of.Allergy(r) }

func (v *view) allergyLists() []*chart.AllergyList {
	v.look(attributeHealth, allergyTypes...)
	return v.of.AllergyLists()
}

// allergyQuery is what a call asks of an allergy beside the substance.
type allergyQuery struct {
	set, reaction     *valueSet
	kind, criticality string
	confirmed         bool
}

func (c *Call) allergyQuery(set string) allergyQuery {
	return allergyQuery{set: c.set(set), reaction: c.set("reaction"), kind: c.text("kind"),
		criticality: c.text("criticality"), confirmed: c.flag("confirmed")}
}

func allergyTo(s *Session, c *Call) (*ast.Term, error) {
	f := s.blank()
	s.allergic(f, c.allergyQuery("set"))
	return s.newFact(c, f)
}

// allergic answers fhir.allergy_to.
func (s *Session) allergic(f *fact.Fact, q allergyQuery) {
	f.Label, f.State = "allergic to "+q.set.title, fact.False
	all := s.chart.allergies()
	var denials []fact.Evidence
	for _, r := range all {
		a := s.chart.allergy(r)
		switch {
		case a.Denies == chart.NotAsked && current(a) != fact.False:
			s.found(f, fact.Unknown, a.Evidence(), fact.Reason{Code: fact.NoData, What: "allergies"})
		case a.Denies != "":
			if current(a) == fact.True {
				denials = append(denials, a.Evidence())
			}
		default:
			s.weighAllergy(f, a, q)
		}
	}
	for _, l := range s.chart.allergyLists() {
		if l.Reason == "nilknown" {
			denials = append(denials, l.Evidence())
			continue
		}
		s.found(f, fact.Unknown, l.Evidence(), fact.Reason{Code: emptied(l.Reason), What: "allergies"})
	}
	s.closeSearch(f, allergyTypes...)
	if f.State != fact.False {
		return
	}
	for _, e := range denials { // what the "no" rests on
		f.Evidence, f.More = fact.Keep(f.Evidence, f.More, e, s.lib.library.bounds.Evidence)
	}
	switch {
	case len(denials) > 0:
		f.Label += " (none known)"
	case len(all) == 0:
		f.Label += " (no allergies on file)"
	}
}

// emptied tells what the reason of an empty list means.
func emptied(reason string) fact.Code {
	if reason == "withheld" {
		return fact.Masked
	}
	return fact.NoData
}

// current tells whether an allergy, or the statement that there is none, holds now.
func current(a *chart.Allergy) fact.State {
	switch {
	case a.Verification == "refuted", a.Verification == "entered-in-error",
		a.Clinical == "inactive", a.Clinical == "resolved":
		return fact.False
	case a.Unread:
		return fact.Unknown
	default:
		return fact.True
	}
}

// weighAllergy adds what one allergy says.
func (s *Session) weighAllergy(f *fact.Fact, a *chart.Allergy, q allergyQuery) {
	state := current(a)
	if state == fact.False {
		return
	}
	var reasons []fact.Reason
	if state == fact.Unknown {
		reasons = append(reasons, fact.Reason{Code: fact.WrongStatus, What: "allergy"})
	}
	for _, part := range [...]func(*chart.Allergy, allergyQuery) (fact.State, fact.Reason){
		ofSet, ofKind, ofCriticality, isConfirmed, withReaction} {
		one, why := part(a, q)
		switch one {
		case fact.False:
			return
		case fact.Unknown:
			state, reasons = fact.Unknown, fact.Merge(reasons, []fact.Reason{why})
		}
	}
	s.found(f, state, a.Evidence(), reasons...)
}

// ofSet asks whether an allergy is to something of the set. One that nobody can
// identify may be, unless the record says that it is to a food or to something of
// the environment and the set holds drugs.
func ofSet(a *chart.Allergy, q allergyQuery) (fact.State, fact.Reason) {
	var why fact.Reason
	unclear := false
	for i := range a.Substances {
		switch code := q.set.substance(&a.Substances[i]); code {
		case "":
			return fact.True, fact.Reason{}
		case fact.NotApplicable:
		default:
			if !unclear {
				unclear, why = true, fact.Reason{Code: code, What: "allergy"}
			}
		}
	}
	if a.Cut() {
		unclear, why = true, fact.Reason{Code: fact.PartialResult, What: "allergy"}
	}
	elsewhere := func(category string) bool { return category == "food" || category == "environment" }
	if !unclear || q.set.Kind == vocab.KindMedication && len(a.Categories) > 0 &&
		!slices.ContainsFunc(a.Categories, func(c string) bool { return !elsewhere(c) }) {
		return fact.False, fact.Reason{}
	}
	return fact.Unknown, why
}

// substance tells whether a substance is of the set: "" if it is, not-applicable
// if it surely is not, else why nobody can tell.
func (v *valueSet) substance(x *chart.Substance) fact.Code {
	if inSet(v, x.Codings) || inSet(v, x.Ingredients) {
		return ""
	}
	if slices.ContainsFunc(x.Ingredients, v.speaks) {
		return fact.NotApplicable
	}
	for _, c := range x.Codings {
		// A drug code that the release does not have may be a product with
		// something of the set in it.
		if v.speaks(c) && c.System != chart.RxNorm && c.System != chart.NDC {
			return fact.NotApplicable
		}
	}
	if len(x.Codings) == 0 && x.Text != "" {
		return fact.TextOnly
	}
	return fact.UnknownCode
}

// speaks reports whether the set has codes of the coding's system. Only then its
// silence about the code means something.
func (v *valueSet) speaks(c chart.Coding) bool {
	return slices.Contains(v.systems, c.System) && wellFormed(c)
}

func ofKind(a *chart.Allergy, q allergyQuery) (fact.State, fact.Reason) {
	return sameWord(q.kind, a.Kind, fact.Reason{Code: fact.NoData, What: "type of allergy"})
}

func ofCriticality(a *chart.Allergy, q allergyQuery) (fact.State, fact.Reason) {
	have := a.Criticality
	if have == "unable-to-assess" {
		have = ""
	}
	return sameWord(q.criticality, have, fact.Reason{Code: fact.NoData, What: "criticality of allergy"})
}

// sameWord compares a word of a record with the one asked for, if one is.
func sameWord(want, have string, lacking fact.Reason) (fact.State, fact.Reason) {
	switch {
	case want == "" || have == want:
		return fact.True, fact.Reason{}
	case have == "":
		return fact.Unknown, lacking
	default:
		return fact.False, fact.Reason{}
	}
}

func isConfirmed(a *chart.Allergy, q allergyQuery) (fact.State, fact.Reason) {
	if !q.confirmed || a.Verification == "confirmed" {
		return fact.True, fact.Reason{}
	}
	return fact.Unknown, fact.Reason{Code: fact.WrongStatus, What: "allergy"}
}

// withReaction asks for a manifestation of the set. What is not recorded may have
// happened all the same.
func withReaction(a *chart.Allergy, q allergyQuery) (fact.State, fact.Reason) {
	if q.reaction == nil {
		return fact.True, fact.Reason{}
	}
	why, met := fact.Code(""), false
	for _, r := range a.Reactions {
		for i := range r.Manifestations {
			m := &r.Manifestations[i]
			met = true
			switch {
			case inSet(q.reaction, m.Codings):
				return fact.True, fact.Reason{}
			default:
				if _, code := q.reaction.matchCodings(m.Codings, m.Text); code != "" {
					why = code
				}
			}
		}
	}
	switch {
	case !met || a.Cut():
		return fact.Unknown, fact.Reason{Code: fact.NoData, What: "reaction of allergy"}
	case why != "":
		return fact.Unknown, fact.Reason{Code: why, What: "reaction of allergy"}
	default:
		return fact.False, fact.Reason{}
	}
}

// crossReacts asks for both sides of one row of a class table.
func crossReacts(s *Session, c *Call) (*ast.Term, error) {
	if s.subject == nil {
		return nil, errNoOrder
	}
	q, drugs, f := c.allergyQuery("allergen"), c.set("order"), s.blank()
	s.allergic(f, q)
	f.Label = "the order is of " + drugs.title + ", and " + f.Label + " (risk of cross-reaction " + c.text("risk") + ")"
	o := s.subject
	switch {
	case inSet(drugs, o.Codings) || inSet(drugs, o.Drug.Codings) || inSet(drugs, o.Drug.Ingredients):
		if f.State == fact.True {
			f.Evidence = append([]fact.Evidence{o.Evidence()}, f.Evidence...)
		}
	case o.Identified():
		f.State, f.Reasons, f.Evidence, f.More = fact.False, nil, []fact.Evidence{o.Evidence()}, 0
	case f.State != fact.False:
		f.Reasons = fact.Merge([]fact.Reason{o.Reason}, f.Reasons)
		f.State = fact.Unknown
	}
	return s.newFact(c, f)
}

// noKnownAllergy asks for a statement that there is no allergy. An allergy on file
// is stronger than the statement.
func noKnownAllergy(s *Session, c *Call) (*ast.Term, error) {
	category, f := c.text("category"), s.blank()
	f.Label = "no allergy is known"
	if category != "" {
		f.Label = "no allergy to any " + category + " is known"
	}
	var stated, unclear, against fact.Fact // True, Unknown, and False with what they rest on
	for _, r := range s.chart.allergies() {
		a := s.chart.allergy(r)
		holds := current(a)
		switch {
		case holds == fact.False:
		case a.Denies == chart.NotAsked:
			s.found(&unclear, fact.Unknown, a.Evidence(), fact.Reason{Code: fact.NoData, What: "allergies"})
		case a.Denies != "":
			if holds == fact.True && (a.Denies == chart.DeniesAny || a.Denies == category) {
				s.found(&stated, fact.True, a.Evidence())
			}
		case holds == fact.Unknown:
			s.found(&unclear, fact.Unknown, a.Evidence(), fact.Reason{Code: fact.WrongStatus, What: "allergy"})
		default:
			switch kind, why := ofCategory(a, category); kind {
			case fact.True:
				s.found(&against, fact.True, a.Evidence())
			case fact.Unknown:
				s.found(&unclear, fact.Unknown, a.Evidence(), why)
			}
		}
	}
	for _, l := range s.chart.allergyLists() {
		if l.Reason == "nilknown" {
			s.found(&stated, fact.True, l.Evidence())
		} else {
			s.found(&unclear, fact.Unknown, l.Evidence(), fact.Reason{Code: emptied(l.Reason), What: "allergies"})
		}
	}
	complete, gaps := s.chart.complete(allergyTypes...)
	switch {
	case against.State == fact.True:
		f.State, f.Evidence, f.More = fact.False, against.Evidence, against.More
	case len(unclear.Reasons) > 0 || !complete:
		f.Reasons, f.Evidence, f.More = fact.Merge(unclear.Reasons, gaps), unclear.Evidence, unclear.More
	case stated.State == fact.True:
		f.State, f.Evidence, f.More = fact.True, stated.Evidence, stated.More
	default:
		f.Reasons = []fact.Reason{{Code: fact.NoData, What: "allergies"}}
	}
	return s.newFact(c, f)
}

// ofCategory tells whether an allergy is of a category; of any, if it is "". One in
// words only may also be the words for none.
func ofCategory(a *chart.Allergy, category string) (fact.State, fact.Reason) {
	coded, drug := false, false
	for i := range a.Substances {
		coded = coded || len(a.Substances[i].Codings) > 0
		drug = drug || a.Substances[i].Resolved
	}
	switch {
	case !coded:
		return fact.Unknown, fact.Reason{Code: fact.TextOnly, What: "allergy"}
	case category == "", slices.Contains(a.Categories, category), drug && category == "medication":
		return fact.True, fact.Reason{}
	case len(a.Categories) == 0:
		return fact.Unknown, fact.Reason{Code: fact.NoData, What: "category of allergy"}
	default:
		return fact.False, fact.Reason{}
	}
}
