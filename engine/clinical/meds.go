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
	f.Label, f.State = set.ordered, fact.False
	s.weighOrder(f, s.subject, set, c.flag("any_route"))
	return s.newFact(c, f)
}

// weighOrder adds what one order says to a search for orders of a value set.
func (s *Session) weighOrder(f *fact.Fact, o *chart.Order, set *valueSet, anyRoute bool) {
	switch state, reason := set.ordersOf(o); {
	case state == fact.Unknown:
		s.found(f, fact.Unknown, o.Evidence(), reason)
	case state == fact.True && (anyRoute || local(o.Routes, &o.Drug, nil) != fact.True):
		s.found(f, fact.True, o.Evidence())
	}
}

// ordersOf tells whether an order is of the set.
func (v *valueSet) ordersOf(o *chart.Order) (fact.State, fact.Reason) {
	isDrug := o.Type == "MedicationRequest" || o.Type == "MedicationOrder"
	switch {
	case inSet(v, o.Codings) || inSet(v, o.Drug.Codings) || inSet(v, o.Drug.Ingredients):
		return fact.True, fact.Reason{}
	case isDrug && v.Kind == vocab.KindService, !isDrug && v.Kind == vocab.KindMedication:
		return fact.False, fact.Reason{}
	case !o.Identified():
		return fact.Unknown, o.Reason
	case isDrug && !v.speaksOf(&o.Drug), !isDrug && len(o.Codings) > 0 && !slices.ContainsFunc(o.Codings, v.speaks):
		return fact.Unknown, fact.Reason{Code: fact.UnknownCode, What: "order"}
	default:
		return fact.False, fact.Reason{}
	}
}

// speaksOf reports whether the set has codes of a system in which the drug is known,
// so that its silence means something.
func (v *valueSet) speaksOf(d *chart.Drug) bool {
	return slices.ContainsFunc(d.Ingredients, v.speaks) || slices.ContainsFunc(d.Codings, v.speaks)
}

func inSet(set *valueSet, codings []chart.Coding) bool {
	return slices.ContainsFunc(codings, func(c chart.Coding) bool { return set.Has(c.System, c.Code) })
}

func topical(s *Session, c *Call) (*ast.Term, error) {
	o, err := s.order(c.args[0])
	if err != nil {
		return nil, err
	}
	f := &fact.Fact{Label: "the order acts only where it is applied", State: local(o.Routes, &o.Drug, nil),
		Evidence: []fact.Evidence{o.Evidence()}}
	if f.State == fact.Unknown {
		f.Reasons = []fact.Reason{noRoute}
	}
	return s.newFact(c, f)
}

var noRoute = fact.Reason{Code: fact.NoData, What: "route or form of the ordered medication"}

// local judges route and form: true for what acts only where it is applied, false
// for what spreads through the body. Routes that contradict each other, or the form,
// leave it open, and so does a further route that is neither, unless the form tells.
// A transdermal system is systemic, whichever route stands beside it: it is put on
// the skin. Also, if given, are routes that count as local here.
func local(routes []chart.Coding, d *chart.Drug, also *valueSet) fact.State {
	here, everywhere, other := false, false, false
	judge := func(p chart.Site) {
		if p.Local() || also != nil && slices.Contains(also.sites(), p) {
			here = true
		} else {
			everywhere = true
		}
	}
	for _, r := range routes {
		switch p, ok := chart.SiteOf(r); {
		case ok:
			judge(p)
		case also != nil && also.Has(r.System, r.Code):
			here = true
		default:
			other = true
		}
	}
	for _, p := range d.Sites(make([]chart.Site, 0, 4)) {
		if judge(p); here {
			other = false
		}
		if p == chart.SitePatch && (also == nil || !slices.Contains(also.sites(), p)) {
			return fact.False
		}
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

// sites returns where the routes of a set lead to.
func (v *valueSet) sites() []chart.Site {
	var list []chart.Site
	for _, c := range v.codings {
		if p, ok := chart.SiteOf(c); ok && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// exposureQuery is what fhir.takes is asked.
type exposureQuery struct {
	set      *valueSet
	windowed bool
	from     time.Time // where the window begins
	byStart  bool      // only starts in the window
	other    bool
	systemic bool      // only what surely spreads through the body
	anyRoute bool      // also what acts only where it is applied
	local    *valueSet // routes that count as local, too
	timed    bool      // not what is taken only as needed
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
	q, f := c.exposures(s), s.blank()
	f.Label, f.State = q.set.takes, fact.False
	if q.windowed {
		f.Label += " within " + c.text("within")
	}
	s.search(f, q)
	return s.newFact(c, s.closeSearch(f, exposureTypes...))
}

// exposures reads the options that questions about what is taken have in common,
// as far as the function has them.
func (c *Call) exposures(s *Session) exposureQuery {
	q := exposureQuery{grace: customaryGrace}
	for i := range c.function.Options {
		switch g := &c.given[i]; c.function.Options[i].Name {
		case "set":
			q.set = g.set
		case "within":
			if q.windowed = g.is; g.is {
				q.from = g.duration.Before(s.chart.now())
			}
		case "by":
			q.byStart = g.is
		case "other_ingredient":
			q.other = g.flag
		case "systemic":
			q.systemic = g.flag
		case "any_route":
			q.anyRoute = g.flag
		case "local":
			q.local = g.set
		case "scheduled":
			q.timed = g.flag
		case "drafts":
			q.drafts = g.flag
		case "grace":
			if g.is {
				q.grace = g.duration
			}
		}
	}
	return q
}

// search weighs every exposure that may count.
func (s *Session) search(f *fact.Fact, q exposureQuery) {
	for _, e := range s.chart.exposures() {
		if e.Draft && !q.drafts || s.changes(e, q) {
			continue
		}
		s.weighExposure(f, e, q)
	}
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
	state, reasons := s.counts(e, q)
	if state != fact.False {
		s.found(f, state, e.Evidence(), reasons...)
	}
}

// counts asks whether an exposure is of a drug and of a time that are asked about.
func (s *Session) counts(e *chart.Exposure, q exposureQuery) (fact.State, []fact.Reason) {
	kind, reasons := s.matches(e, q)
	if kind == fact.False {
		return fact.False, nil
	}
	when, why := s.timely(e, q)
	switch {
	case when == fact.False:
		return fact.False, nil
	case kind == fact.True && when == fact.True:
		return fact.True, nil
	case when == fact.Unknown && fact.Quiet(why):
		return fact.Unknown, why // whatever it is, it was used up long ago
	case when == fact.Unknown:
		reasons = fact.Merge(reasons, why)
	}
	return fact.Unknown, reasons
}

// matches asks whether the drug is one that counts; any, if no set is asked about.
func (s *Session) matches(e *chart.Exposure, q exposureQuery) (fact.State, []fact.Reason) {
	d := &e.Drug
	hit := q.set == nil || inSet(q.set, d.Ingredients) || inSet(q.set, d.Codings)
	switch {
	case !hit && !d.Identified():
		return fact.Unknown, []fact.Reason{{Code: d.Reason.Code, What: "medication"}}
	case !hit && !q.set.speaksOf(d):
		return fact.Unknown, []fact.Reason{{Code: fact.UnknownCode, What: "medication"}}
	case !hit:
		return fact.False, nil
	case q.other && !s.another(d, q.set):
		if !d.Identified() { // of the set, but nobody can tell by which ingredient
			return fact.Unknown, []fact.Reason{{Code: d.Reason.Code, What: "medication"}}
		}
		return fact.False, nil
	}
	if !q.anyRoute || q.systemic {
		switch local(e.Routes, d, q.local) {
		case fact.True:
			return fact.False, nil
		case fact.Unknown:
			if q.systemic {
				return fact.Unknown, []fact.Reason{{Code: fact.NoData, What: "route or form of medication"}}
			}
		}
	}
	if q.timed {
		switch e.AsNeeded() {
		case fact.True:
			return fact.False, nil
		case fact.Unknown:
			return fact.Unknown, []fact.Reason{{Code: fact.NoData, What: "dosage of medication"}}
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
