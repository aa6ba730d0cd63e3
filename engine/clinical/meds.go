package clinical

import (
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

func order(s *Session, _ *Call) (*ast.Term, error) {
	if s.subject == nil {
		return nil, errNoOrder
	}
	return orderHandles.ready[0], nil
}

// orderIn asks whether the order is of a value set, by its own codes or those
// of its ingredients.
func orderIn(s *Session, c *Call) (*ast.Term, error) {
	if s.subject == nil {
		return nil, errNoOrder
	}
	set, f := c.set("set"), s.blank()
	f.Label = set.ordered
	switch {
	case inSet(set, s.subject.Codings) || inSet(set, s.subject.Drug.Codings) || inSet(set, s.subject.Drug.Ingredients):
		f.State, f.Evidence = fact.True, []fact.Evidence{s.subject.Evidence()}
	case s.subject.Identified():
		f.State = fact.False
	default:
		f.Reasons = []fact.Reason{s.subject.Reason}
	}
	return s.newFact(c, f)
}

func inSet(set *valueSet, codings []chart.Coding) bool {
	return slices.ContainsFunc(codings, func(c chart.Coding) bool { return set.Has(c.System, c.Code) })
}

// Routes that tell local from systemic use, of SNOMED CT as the FHIR R4 value
// set route-codes lists them (docs/sources.md). Others leave the question open.
var (
	// topical, ophthalmic, otic
	localRoutes = set("6064005", "54485002", "10547007")
	// oral, intravenous, intramuscular, subcutaneous, transdermal, sublingual, rectal
	systemicRoutes = set("26643006", "47625008", "78421000", "34206005", "45890007", "37839007", "37161004")
)

func topical(s *Session, c *Call) (*ast.Term, error) {
	o, err := s.order(c.args[0])
	if err != nil {
		return nil, err
	}
	f := &fact.Fact{Label: "the order acts only where it is applied", State: local(o.Routes, o.Drug.Form),
		Evidence: []fact.Evidence{o.Evidence()}}
	if f.State == fact.Unknown {
		f.Reasons = []fact.Reason{{Code: fact.NoData, What: "route or form of the ordered medication"}}
	}
	return s.newFact(c, f)
}

// local judges route and form. Routes that contradict each other, or the form,
// leave it open, and so does a further route that is neither, unless the form
// tells.
func local(routes []chart.Coding, form string) fact.State {
	here, everywhere, other := false, false, false
	for _, r := range routes {
		if r.System == chart.SNOMED {
			here = here || localRoutes[r.Code]
			everywhere = everywhere || systemicRoutes[r.Code]
			other = other || !localRoutes[r.Code] && !systemicRoutes[r.Code]
		}
	}
	switch vocab.Form(form) {
	case vocab.FormTopical, vocab.FormOphthalmic:
		here, other = true, false
	case vocab.FormOral, vocab.FormInjectable, vocab.FormTransdermal:
		everywhere = true
	}
	switch {
	case here && !everywhere && !other:
		return fact.True
	case everywhere && !here:
		return fact.False
	default:
		return fact.Unknown
	}
}

// exposureQuery is what fhir.takes is asked.
type exposureQuery struct {
	set      *valueSet
	windowed bool
	from     time.Time // where the window begins
	byStart  bool      // only starts in the window
	other    bool
	systemic bool
	drafts   bool
	grace    dates.Duration // how long after a supply is used up a card asks about it
}

// customaryGrace is for rules that do not say how long after a supply was used up
// somebody should be asked whether the drug is taken all the same.
var customaryGrace = dates.Duration{Days: 30}

// takes asks whether the patient is exposed to a drug of a value set: now, or
// with within, in a window up to now. The order at hand never counts, nor does
// the one that it replaces, but for one of another drug in a window (see
// changes). The answer is false only if every source of medications is complete
// and every drug that could count is identified.
func takes(s *Session, c *Call) (*ast.Term, error) {
	q := exposureQuery{set: c.set("set"), windowed: c.has("within"),
		byStart: c.has("by"), other: c.flag("other_ingredient"),
		systemic: c.flag("systemic"), drafts: c.flag("drafts"), grace: customaryGrace}
	if c.has("grace") {
		q.grace = c.duration("grace")
	}
	f := s.blank()
	f.Label, f.State = q.set.takes, fact.False
	if q.windowed {
		q.from = c.duration("within").Before(s.chart.now())
		f.Label += " within " + c.text("within")
	}
	for _, e := range s.chart.exposures() {
		if e.Draft && !q.drafts || s.changes(e, q) {
			continue
		}
		s.weighExposure(f, e, q)
	}
	return s.newFact(c, s.closeSearch(f, exposureTypes...))
}

// changes reports that an exposure is the order at hand, or one that it
// replaces or carries out, and so no other drug. An order of another drug that
// it replaces ends with it, but was taken until now: a question about a window
// still counts it, or a washout would be forgotten with the switch.
func (s *Session) changes(e *chart.Exposure, q exposureQuery) bool {
	o := s.subject
	if o == nil || !o.ConcernsResource(e.Resource) {
		return false
	}
	return !q.windowed || e.Resource == o.Resource ||
		slices.ContainsFunc(e.Drug.Ingredients, func(c chart.Coding) bool {
			return slices.ContainsFunc(o.Drug.Ingredients,
				func(d chart.Coding) bool { return c.System == d.System && c.Code == d.Code })
		})
}

// weighExposure adds what one exposure says.
func (s *Session) weighExposure(f *fact.Fact, e *chart.Exposure, q exposureQuery) {
	kind, reasons := s.matches(e, q)
	if kind == fact.False {
		return
	}
	when, why := s.timely(e, q)
	if when == fact.False {
		return
	}
	if kind == fact.True && when == fact.True {
		s.found(f, fact.True, e.Evidence())
		return
	}
	if when == fact.Unknown {
		reasons = fact.Merge(reasons, why)
	}
	s.found(f, fact.Unknown, e.Evidence(), reasons...)
}

// matches asks whether the drug is one that counts.
func (s *Session) matches(e *chart.Exposure, q exposureQuery) (fact.State, []fact.Reason) {
	d := &e.Drug
	hit := inSet(q.set, d.Ingredients) || inSet(q.set, d.Codings)
	switch {
	case !hit && d.Identified():
		return fact.False, nil
	case !hit:
		return fact.Unknown, []fact.Reason{{Code: d.Reason.Code, What: "medication"}}
	case q.other && !s.another(d, q.set):
		if !d.Identified() { // of the set, but nobody can tell by which ingredient
			return fact.Unknown, []fact.Reason{{Code: d.Reason.Code, What: "medication"}}
		}
		return fact.False, nil
	}
	if q.systemic {
		switch local(e.Routes, d.Form) {
		case fact.True:
			return fact.False, nil
		case fact.Unknown:
			return fact.Unknown, []fact.Reason{{Code: fact.NoData, What: "route or form of medication"}}
		}
	}
	return fact.True, nil
}

// another reports that the drug has an ingredient of the set that the order at
// hand does not have; any ingredient, where the set lists products.
func (s *Session) another(d *chart.Drug, set *valueSet) bool {
	if s.subject == nil {
		return true
	}
	products := !inSet(set, d.Ingredients)
	return slices.ContainsFunc(d.Ingredients, func(c chart.Coding) bool {
		return (products || set.Has(c.System, c.Code)) &&
			!slices.ContainsFunc(s.subject.Drug.Ingredients, func(o chart.Coding) bool {
				return o.System == c.System && o.Code == c.Code
			})
	})
}

// timely asks whether the exposure falls into the time asked about.
func (s *Session) timely(e *chart.Exposure, q exposureQuery) (fact.State, []fact.Reason) {
	if !q.windowed {
		return e.Now(q.grace)
	}
	if q.byStart {
		return e.StartedDuring(q.from, s.chart.now())
	}
	return e.During(q.from, s.chart.now(), q.grace)
}
