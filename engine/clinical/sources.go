package clinical

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Of the types that rules ask about, coded ones can be looked for by a code. Drugs and
// allergies cannot: what is ordered as a product is of an ingredient.
var (
	codedTypes = []string{"Condition", "DiagnosticReport", "Immunization", "Observation", "Procedure", "ServiceRequest"}
	askedTypes = append([]string{"AllergyIntolerance", "Encounter", "Patient", "MedicationAdministration",
		"MedicationDispense", "MedicationRequest", "MedicationStatement"}, codedTypes...)
)

// sourceQuestions ask what came, and whether something like that is there at all.
func sourceQuestions() []Function {
	code := func(name, doc string) Option { return Option{Name: name, Kind: KindCode, Required: true, Doc: doc} }
	existence := func(name, doc string, run implementation) Function {
		return Function{Name: name, Doc: doc,
			Unknown: "sources are incomplete, or one is in words only, coded in a system that the set has no codes of, " +
				"or without the status asked for",
			Options: []Option{
				{Name: "type", Kind: KindType, Words: codedTypes, Required: true, Doc: "what is looked for"},
				{Name: "set", Kind: KindSet, Doc: "of that code; without it, of any",
					Sets: []vocab.ValueSetKind{vocab.KindObservation, vocab.KindCondition, vocab.KindService,
						vocab.KindProcedure,
						vocab.KindVaccine}},
				{Name: "status", Kind: KindCode, Param: true, Doc: "only in that status"}},
			Result: typeFact, Reads: codedTypes, Attributes: []string{attributeHealth}, Run: run}
	}
	return []Function{
		{
			Name: "fhir.source",
			Doc: "what came under a prefetch key: `complete` (all there is, perhaps nothing), `empty` (that nothing), " +
				"`partial` (more pages exist, or entries were left out), `missing` (not supplied), `error` (in its place)",
			Options: []Option{code("key", "the prefetch key"), {Name: "is", Kind: KindEnum, Required: true,
				Words: []string{"complete", "empty", "partial", "missing", "error"},
				Doc:   "the state that it must have"}},
			Result: typeFact, Reads: None(), Attributes: None(), Run: source,
		},
		{
			Name: "fhir.complete",
			Doc:  "what is not there of a type is not there at all: every source of it came whole and could be read",
			Options: []Option{{Name: "type", Kind: KindType, Words: askedTypes, Required: true,
				Doc: "the type that is asked about"}},
			Result: typeFact, Reads: askedTypes, Attributes: []string{attributeHealth}, Run: completeType,
		},
		existence("fhir.exists",
			"there is one on record; what was not done, is refuted, was cancelled or entered in error "+
				"is none, nor are the drafts of the session", exists(fact.True)),
		existence("fhir.none", "there is none: what `fhir.exists` finds, negated", exists(fact.False)),
		{
			Name: "fhir.has_code", Doc: "the order has that code, of its own or of one of its ingredients",
			Unknown: "it has no code of that system, is in words only, or its drug cannot be identified",
			Options: []Option{code("system", "the code system"), code("code", "the code")},
			Args:    []Argument{{"order", typeOrder}}, Result: typeFact,
			Reads: None(), Attributes: None(), Run: hasCode,
		},
		{
			Name: "fhir.sex",
			Doc: "the sex for clinical use is that one: the Sex Parameter for Clinical Use where it is given, else " +
				"administrative gender; never guessed",
			Unknown: "no patient, neither is given or says female or male, or the parameter was specified otherwise",
			Source:  "HL7 FHIR extensions pack, patient-sexParameterForClinicalUse; US Core Patient",
			Options: []Option{{Name: "is", Kind: KindEnum, Words: []string{"female", "male"}, Required: true,
				Doc: "the one that is asked about"}},
			Result: typeFact, Reads: []string{"Patient"}, Attributes: []string{attributeSex}, Run: sexIs,
		},
	}
}

func source(s *Session, c *Call) (*ast.Term, error) {
	key, is := c.text("key"), c.text("is")
	state, resources := s.chart.held(key)
	f := s.blank()
	f.Label, f.State = "source "+key+" is "+is, fact.False
	holds := false
	switch is {
	case "complete":
		holds = state == chart.Complete
	case "empty":
		holds = state == chart.Complete && resources == 0
	case "partial":
		holds = state == chart.Partial || state == chart.Suppressed
	case "missing":
		holds = state == chart.NotSupplied
	case "error":
		holds = state == chart.Failed
	}
	if holds {
		f.State = fact.True
	}
	return s.newFact(c, f)
}

func completeType(s *Session, c *Call) (*ast.Term, error) {
	f := s.blank()
	f.Label, f.State = "all of "+c.text("type")+" is there", fact.True
	if complete, reasons := s.chart.complete(c.text("type")); !complete {
		f.State, f.Reasons = fact.False, reasons
	}
	return s.newFact(c, f)
}

// exists looks for a resource. What it finds is true or false as wanted.
func exists(found fact.State) implementation {
	return func(s *Session, c *Call) (*ast.Term, error) {
		typ, set := c.text("type"), c.set("set")
		what := typ
		if set != nil {
			what = set.title
		}
		f := s.blank()
		f.State = fact.False
		for _, r := range s.chart.resources(typ) {
			state, why := fact.True, fact.Code("")
			if set != nil {
				state, why = set.match(r)
			}
			if state == fact.False || r.Source == chart.DraftsKey || r.Void() {
				continue
			}
			if r.Doubt != "" {
				state, why = fact.Unknown, r.Doubt
			}
			if c.has("status") && r.Status != c.text("status") {
				if r.Status != "" {
					continue
				}
				state, why = fact.Unknown, fact.WrongStatus
			}
			if state == fact.True {
				s.found(f, fact.True, r.Named())
			} else {
				s.found(f, fact.Unknown, r.Named(), fact.Reason{Code: why, What: what})
			}
		}
		s.closeSearch(f, typ)
		f.Label = "there is " + what
		if found == fact.False {
			f.Label = "there is no " + what
			switch f.State {
			case fact.True:
				f.State = fact.False
			case fact.False:
				f.State = fact.True
			}
		}
		return s.newFact(c, f)
	}
}

func hasCode(s *Session, c *Call) (*ast.Term, error) {
	o, err := s.order(c.args[0])
	if err != nil {
		return nil, err
	}
	system, code := chart.CanonicalSystem(c.text("system")), c.text("code")
	codings := slices.Concat(o.Codings, o.Drug.Codings, o.Drug.Ingredients)
	speaks := slices.ContainsFunc(codings, func(x chart.Coding) bool { return x.System == system && wellFormed(x) })
	f := s.blank()
	f.Label, f.Evidence = "the order has the code "+code, []fact.Evidence{o.Evidence()}
	switch {
	case slices.ContainsFunc(codings, func(x chart.Coding) bool { return x.System == system && x.Code == code }):
		f.State = fact.True
	case o.Doubt != "":
		f.Reasons = []fact.Reason{{Code: o.Doubt, What: "order"}}
	case !o.Identified():
		f.Reasons = []fact.Reason{o.Reason}
	case !speaks:
		f.Reasons = []fact.Reason{{Code: fact.UnknownCode, What: "order"}}
	default:
		f.State = fact.False
	}
	return s.newFact(c, f)
}

func sexIs(s *Session, c *Call) (*ast.Term, error) {
	f, is := s.blank(), c.text("is")
	f.Label = "sex for clinical use is " + is
	p, reasons := s.chart.patient(attributeSex)
	if p == nil {
		for _, r := range reasons {
			f.Reasons = append(f.Reasons, fact.Reason{Code: r.Code, What: "sex"})
		}
		return s.newFact(c, f)
	}
	sex, why := p.Sex()
	f.Evidence = []fact.Evidence{p.Evidence("sex", sex)}
	switch sex {
	case is:
		f.State = fact.True
	case "":
		f.Reasons = []fact.Reason{{Code: why, What: "sex"}}
	default:
		f.State = fact.False
	}
	return s.newFact(c, f)
}
