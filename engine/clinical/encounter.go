package clinical

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
)

// encounterQuestions ask in what setting the patient is treated now.
func encounterQuestions() []Function {
	return []Function{
		{
			Name: "fhir.encounter",
			Doc: "the encounter of the call, or if it names none one that is going on now, is of the class " +
				"(HL7 v3 ActEncounterCode, HL7 v2 table 0004, or the words of DSTU2)",
			Unknown: "encounters are incomplete, the one of the call was not sent, it has no class of these systems, " +
				"or it is not certain whether it goes on",
			Options: []Option{{Name: "class", Kind: KindEnum, Words: encounterWords, Required: true, Param: true,
				Doc: "observation is also a short stay; home is health care at home"}},
			Result: typeFact, Reads: []string{"Encounter"}, Attributes: []string{attributeHealth}, Run: encounter,
		},
		{
			Name: "fhir.location",
			Doc: "the patient is in such a place now, by the type of an active location of the encounter, or of what " +
				"it is part of (HL7 v3 ServiceDeliveryLocationRoleType, CDC HSLOC); not where the encounter is " +
				"ambulatory, virtual or at home",
			Unknown: "as `fhir.encounter`, and where no location is given, or its type is missing or of other systems",
			Options: []Option{{Name: "kind", Kind: KindEnum, Words: []string{"intensive-care"}, Required: true,
				Param: true, Doc: "an intensive care unit for adults, children or newborns, or a coronary care unit"}},
			Result: typeFact, Reads: []string{"Encounter", "Location"}, Attributes: []string{attributeHealth},
			Run: location,
		},
	}
}

var encounterWords = []string{"inpatient", "observation", "emergency", "ambulatory", "home", "virtual"}

// encounterClasses maps the codes of a class to our words; "other" is a class that
// none of them stands for. Sources in docs/sources.md.
var encounterClasses = func() map[chart.Coding]string {
	classes := map[chart.Coding]string{}
	add := func(word string, codes []string, systems ...string) {
		for _, system := range systems {
			for _, code := range codes {
				classes[chart.Coding{System: system, Code: code}] = word
			}
		}
	}
	const v3, stu3 = "http://terminology.hl7.org/CodeSystem/v3-ActCode", "http://hl7.org/fhir/v3/ActCode"
	add("inpatient", []string{"IMP", "ACUTE", "NONAC"}, v3, stu3)
	add("observation", []string{"OBSENC", "SS"}, v3, stu3)
	add("emergency", []string{"EMER"}, v3, stu3)
	add("ambulatory", []string{"AMB"}, v3, stu3)
	add("home", []string{"HH"}, v3, stu3)
	add("virtual", []string{"VR"}, v3, stu3)
	add("other", []string{"FLD", "PRENC"}, v3, stu3)
	const v2 = "http://terminology.hl7.org/CodeSystem/v2-0004"
	add("inpatient", []string{"I"}, v2)
	add("emergency", []string{"E"}, v2)
	add("ambulatory", []string{"O"}, v2)
	add("other", []string{"P"}, v2)
	const dstu2 = "http://hl7.org/fhir/encounter-class"
	for _, word := range []string{"inpatient", "emergency", "ambulatory", "home", "virtual"} {
		add(word, []string{word}, dstu2)
	}
	add("ambulatory", []string{"outpatient", "daytime"}, dstu2)
	add("other", []string{"field"}, dstu2)
	return classes
}()

// classOf returns our words for an encounter, each once; none if it has no class that
// we know.
func classOf(e *chart.Encounter) (words []string) {
	for _, c := range e.Class {
		if word := encounterClasses[chart.Coding{System: c.System, Code: c.Code}]; word != "" {
			words = append(words, word)
		}
	}
	return words
}

// encounterID is that of the call, empty if it names none.
func (v *view) encounterID() string { return v.of.Request().EncounterID }

func (v *view) encounters() []*chart.Resource {
	v.look(attributeHealth, "Encounter")
	return v.of.Resources("Encounter")
}

// current returns the encounters that may be the one that the patient is in now, and
// whether each is. The one that the call names is; else each may be that goes on.
func (s *Session) current() (list []*chart.Encounter, sure []verdict) {
	id := s.chart.encounterID()
	for _, r := range s.chart.encounters() {
		if id != "" && r.ID != id {
			continue
		}
		e := s.chart.of.Encounter(r)
		v := yes
		if id == "" {
			v = s.goesOn(e)
		}
		if v.state != fact.False {
			list, sure = append(list, e), append(sure, v)
		}
	}
	return list, sure
}

// goesOn asks whether an encounter is under way, by status and dates.
func (s *Session) goesOn(e *chart.Encounter) verdict {
	now := s.chart.now()
	over := e.End.Known() && e.End.Before(now) == fact.True
	switch e.Status {
	case "arrived", "triaged", "in-progress", "onleave", "on-hold":
		if over || e.Start.After(now) == fact.True {
			return open(fact.Ambiguous, "encounter")
		}
		return yes
	case "planned", "cancelled", "finished", "completed", "discharged", "discontinued":
		return no
	}
	if over || e.Start.After(now) == fact.True {
		return no
	}
	return open(fact.WrongStatus, "encounter")
}

// closeEncounter turns "no encounter" into unknown where one may be: the sources are
// incomplete, or the one that the call names was not sent.
func (s *Session) closeEncounter(f *fact.Fact, found bool) *fact.Fact {
	named := s.chart.encounterID() != ""
	switch {
	case named && found:
		return f // there can be no other
	case named && f.State == fact.False:
		f.State, f.Reasons = fact.Unknown, []fact.Reason{{Code: fact.UnresolvedReference, What: "encounter"}}
		if complete, why := s.chart.complete("Encounter"); !complete {
			f.Reasons = why
		}
		return f
	default:
		return s.closeSearch(f, "Encounter")
	}
}

func encounter(s *Session, c *Call) (*ast.Term, error) {
	word, f := c.text("class"), s.blank()
	f.Label, f.State = "the encounter is of class "+word, fact.False
	list, sure := s.current()
	for i, e := range list {
		state, reasons := fact.Unknown, []fact.Reason(nil)
		switch words := classOf(e); {
		case slices.Contains(words, word):
			state = fact.True
		case len(words) > 0:
			continue
		default:
			reasons = append(reasons, fact.Reason{Code: fact.UnknownCode, What: "class of encounter"})
		}
		if v := sure[i]; v.state != fact.True {
			state, reasons = fact.Unknown, append(reasons, v.reason)
		}
		s.found(f, state, e.Evidence(e.ClassName()), reasons...)
	}
	return s.newFact(c, s.closeEncounter(f, len(list) > 0))
}

// locationSystem has the kinds of places of HL7 v3, hslocSystem those of the CDC.
const (
	locationSystem = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
	hslocSystem    = "https://www.cdc.gov/nhsn/cdaportal/terminology/codesystem/hsloc.html"
)

// intensiveCare are the kinds of places that are intensive care units. Sources in
// docs/sources.md.
var intensiveCare = map[string]map[string]bool{
	locationSystem: set("ICU", "PEDICU", "PEDNICU", "CCU"),
	hslocSystem: set("1026-4", "1027-2", "1028-0", "1029-8", "1032-2", "1033-0", "1034-8", "1035-5", "1039-7",
		"1043-9", "1223-7", "1224-5", "1225-2", "1233-6"),
}

// location asks whether the patient is in an intensive care unit now.
func location(s *Session, c *Call) (*ast.Term, error) {
	f := s.blank()
	f.Label, f.State = "in "+c.text("kind"), fact.False
	s.chart.look(attributeHealth, "Location")
	list, sure := s.current()
	for i, e := range list {
		v, name := s.inIntensiveCare(e)
		if v.state == fact.False {
			continue
		}
		var reasons []fact.Reason
		state := v.state
		if state == fact.Unknown {
			reasons = append(reasons, v.reason)
		}
		if w := sure[i]; w.state != fact.True {
			state, reasons = fact.Unknown, append(reasons, w.reason)
		}
		s.found(f, state, e.Evidence(name), reasons...)
	}
	return s.newFact(c, s.closeEncounter(f, len(list) > 0))
}

// inIntensiveCare asks it of one encounter, and names the place.
func (s *Session) inIntensiveCare(e *chart.Encounter) (v verdict, name string) {
	words := classOf(e)
	if slices.Contains(words, "ambulatory") || slices.Contains(words, "home") || slices.Contains(words, "virtual") {
		return no, ""
	}
	v = open(fact.NoData, "location of encounter")
	for _, p := range e.Places {
		here := s.isHere(p)
		if here.state == fact.False {
			continue
		}
		kind := s.placeKind(e, p)
		switch {
		case here.state == fact.Unknown:
			v, name = here, p.Display
		case kind.state == fact.True:
			return yes, p.Display
		case kind.state == fact.Unknown, v.reason.Code == fact.NoData: // a place that nobody can tell stays
			v, name = kind, p.Display
		}
	}
	return v, name
}

// isHere asks whether the patient is in a place of an encounter now.
func (s *Session) isHere(p chart.Place) verdict {
	now := s.chart.now()
	over := p.End.Known() && p.End.Before(now) == fact.True || p.Start.After(now) == fact.True
	switch {
	case p.Status == "planned", p.Status == "completed", p.Status == "reserved":
		return no
	case over && p.Status == "active":
		return open(fact.Ambiguous, "location of encounter")
	case over:
		return no
	case p.Status == "active", p.Status == "":
		return yes
	default:
		return open(fact.WrongStatus, "location of encounter")
	}
}

// placeKind asks whether a place is an intensive care unit.
func (s *Session) placeKind(e *chart.Encounter, p chart.Place) verdict {
	codings, ok := s.chart.of.LocationTypes(e.Resource, p.Ref)
	known := false
	for _, c := range codings {
		codes := intensiveCare[c.System]
		if codes[c.Code] {
			return yes
		}
		known = known || codes != nil && wellFormed(c)
	}
	switch {
	case known:
		return no
	case !ok:
		return open(fact.UnresolvedReference, "location of encounter")
	default:
		return open(fact.UnknownCode, "location of encounter")
	}
}
