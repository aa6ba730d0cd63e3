package clinical

import (
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// exposureOptions are those that every question about what is taken has.
func exposureOptions() []Option {
	flag := func(name, doc, unknown string) Option {
		return Option{Name: name, Kind: KindFlag, Param: true, Doc: doc, Unknown: unknown}
	}
	drafts := flag("drafts", "with the other drafts of the session", "")
	drafts.Default = true
	return []Option{
		flag("systemic", "only what surely spreads through the body", "route and form say nothing"),
		flag("any_route", "also what acts only where it is applied", ""),
		{Name: "local", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindRoute},
			Doc: "routes that count as acting only where they lead to, too, in whichever system they are coded"},
		flag("scheduled", "not what is taken only as needed", "there is no dosage, or one in words"),
		drafts,
		{Name: "grace", Kind: KindDuration, Param: true,
			Doc: "how long after its supply is used up a drug that an order says is taken is worth a card; " +
				"without it `P30D`. Later it is recorded without one"},
	}
}

// exposureQuestions ask about the orders of the session and what the patient takes.
func exposureQuestions() []Function {
	set := func(name, doc string, required bool, kinds ...vocab.ValueSetKind) Option {
		return Option{Name: name, Kind: KindSet, Sets: kinds, Required: required, Doc: doc}
	}
	flag := func(name, doc string) Option { return Option{Name: name, Kind: KindFlag, Param: true, Doc: doc} }
	within := Option{Name: "within", Kind: KindDuration, Param: true,
		Doc: "taken at any time in that window up to now"}
	everyRoute := flag("any_route", "also what acts only where it is applied")
	everyRoute.Default = true
	order := []Argument{{"order", typeOrder}}
	const cannot = "as `fhir.takes`"
	return []Function{
		{
			Name: "fhir.systemic", Doc: "the order spreads through the body, by route or form: not `fhir.topical`",
			Unknown: "as `fhir.topical`", Args: order, Result: typeFact,
			Reads: None(), Attributes: None(), Run: systemic,
		},
		{
			Name: "fhir.route_in",
			Doc: "the order is given by a route of the set, or by another code or a form that leads to the same place: " +
				"skin, eye, ear, nose, mouth, tube, injection, lung, patch, rectum, vagina",
			Unknown: "there is neither route nor form, or one of the routes is none that is known",
			Options: []Option{set("set", "the routes", true, vocab.KindRoute)}, Args: order, Result: typeFact,
			Reads: None(), Attributes: None(), Run: routeIn,
		},
		{
			Name: "fhir.as_needed", Doc: "the order is to be taken only as needed: every dosage instruction says so",
			Unknown: "there is no dosage, or one in words", Args: order, Result: typeFact,
			Reads: None(), Attributes: None(), Run: orderAsNeeded,
		},
		{
			Name: "fhir.selected", Doc: "the order is one of those that the user has just selected (order-select)",
			Unknown: "the call names no selections", Args: order, Result: typeFact,
			Reads: None(), Attributes: None(), Run: selected,
		},
		{
			Name: "fhir.drafted", Doc: "an order of the set is among the drafts of the session, of any type",
			Unknown: "one cannot be identified, is known in part, or the set has no codes of its system; " +
				"or drafts were left out",
			Options: []Option{set("set", "the orders", true, orderKinds...),
				flag("selected", "only those that the user has just selected"),
				flag("other", "not the order at hand"), everyRoute}, Result: typeFact,
			Reads: None(), Attributes: None(), Run: drafted,
		},
		{
			Name:    "fhir.ingredient_count",
			Doc:     "how many active ingredients the ordered drug has; at least so many if it is known in part",
			Unknown: "it cannot be identified", Args: order, Result: typeValue,
			Reads: None(), Attributes: None(), Run: ingredientCount,
		},
		{
			Name: "fhir.same_class",
			Doc: "the order is of the set and the patient takes a drug of the set with an ingredient that the order does " +
				"not have. Of several classes: `fact.any` of one for each",
			Unknown: "the order cannot be identified, or " + cannot,
			Options: slices.Concat([]Option{set("set", "the class", true, vocab.KindMedication), within},
				exposureOptions()),
			Result: typeFact, Reads: exposureTypes, Attributes: []string{attributeHealth}, NeedsOrder: true,
			Run: sameClass,
		},
		{
			Name: "fhir.drug_count",
			Doc: "how many different drugs the patient takes, by ingredient: of the set, or any. One that is ordered, " +
				"dispensed and reported is counted once. An interval, from those that surely count to those that may; " +
				"without upper end where there may be others: `>= 0` if nothing is known",
			Options: slices.Concat([]Option{set("set", "the drugs; without it any drug", false, vocab.KindMedication),
				within, flag("with_order", "with the order at hand")}, exposureOptions()),
			Result: typeValue, Reads: exposureTypes, Attributes: []string{attributeHealth}, Run: drugCount,
		},
		{
			Name: "fhir.days_taken",
			Doc: "for how many days the patient has been taking a drug of the set that is taken now, the longest; " +
				"from the start on record, whatever came between",
			Absent:  "none is taken",
			Unknown: cannot + ", or if the start is not on record",
			Options: slices.Concat([]Option{set("set", "the drugs", true, vocab.KindMedication)}, exposureOptions()),
			Result:  typeValue, Reads: exposureTypes, Attributes: []string{attributeHealth}, Run: daysTaken,
		},
		{
			Name: "fhir.overlap",
			Doc: "a drug of `set` and another of `with` were or are taken at the same time, by their periods or days of " +
				"supply; with `washout` those of `set` count for that long after their end",
			Unknown: cannot,
			Options: slices.Concat([]Option{set("set", "the drugs", true, vocab.KindMedication),
				set("with", "the others", true, vocab.KindMedication),
				{Name: "washout", Kind: KindDuration, Param: true, Doc: "how long after its end a drug of `set` counts"}},
				exposureOptions()),
			Result: typeFact, Reads: exposureTypes, Attributes: []string{attributeHealth}, Run: overlap,
		},
	}
}

func systemic(s *Session, c *Call) (*ast.Term, error) {
	o, err := s.order(c.args[0])
	if err != nil {
		return nil, err
	}
	f := &fact.Fact{Label: "the order spreads through the body", Evidence: []fact.Evidence{o.Evidence()}}
	switch local(o.Routes, &o.Drug, nil) {
	case fact.True:
		f.State = fact.False
	case fact.False:
		f.State = fact.True
	default:
		f.Reasons = []fact.Reason{noRoute}
	}
	return s.newFact(c, f)
}

func routeIn(s *Session, c *Call) (*ast.Term, error) {
	o, err := s.order(c.args[0])
	if err != nil {
		return nil, err
	}
	set := c.set("set")
	f := &fact.Fact{Label: "the order is given by " + set.title, Evidence: []fact.Evidence{o.Evidence()}}
	there, strange := set.sites(), false
	f.State = fact.Unknown
	judge := func(p chart.Site) {
		if slices.Contains(there, p) {
			f.State = fact.True
		} else if f.State == fact.Unknown {
			f.State = fact.False
		}
	}
	for _, r := range o.Routes {
		switch p, ok := chart.SiteOf(r); {
		case set.Has(r.System, r.Code):
			f.State = fact.True
		case ok:
			judge(p)
		default:
			strange = true
		}
	}
	for _, p := range o.Drug.Sites(make([]chart.Site, 0, 4)) {
		judge(p)
	}
	if f.State == fact.False && strange {
		f.State = fact.Unknown
	}
	if f.State == fact.Unknown {
		f.Reasons = []fact.Reason{noRoute}
	}
	return s.newFact(c, f)
}

func orderAsNeeded(s *Session, c *Call) (*ast.Term, error) {
	o, err := s.order(c.args[0])
	if err != nil {
		return nil, err
	}
	f := &fact.Fact{Label: "the order is as needed", State: o.AsNeeded(), Evidence: []fact.Evidence{o.Evidence()}}
	if f.State == fact.Unknown {
		f.Reasons = []fact.Reason{{Code: fact.NoData, What: "dosage of medication"}}
	}
	return s.newFact(c, f)
}

func selected(s *Session, c *Call) (*ast.Term, error) {
	o, err := s.order(c.args[0])
	if err != nil {
		return nil, err
	}
	f := &fact.Fact{Label: "the order is selected", Evidence: []fact.Evidence{o.Evidence()}}
	switch list, named := s.chart.selected(); {
	case !named:
		f.Reasons = []fact.Reason{{Code: fact.NotSupplied, What: "selections"}}
	case slices.Contains(list, o):
		f.State = fact.True
	default:
		f.State = fact.False
	}
	return s.newFact(c, f)
}

// drafted asks whether an order of a value set is among the drafts. Others come late
// or not at all, so without one it is false only if the drafts came whole.
func drafted(s *Session, c *Call) (*ast.Term, error) {
	set, f := c.set("set"), s.blank()
	f.Label, f.State = "drafted: "+set.title, fact.False
	orders, came := s.chart.orders()
	if c.flag("selected") {
		list, named := s.chart.selected()
		if !named {
			f.State, f.Reasons = fact.Unknown, []fact.Reason{{Code: fact.NotSupplied, What: "selections"}}
			return s.newFact(c, f)
		}
		orders = list
	}
	for _, o := range orders {
		if !c.flag("other") || o != s.subject {
			s.weighOrder(f, o, set, c.flag("any_route"))
		}
	}
	if f.State != fact.True && came != chart.Complete && came != chart.NotSupplied {
		f.State, f.Reasons = fact.Unknown,
			fact.Merge(f.Reasons, []fact.Reason{{Code: fact.PartialResult, What: "order"}})
	}
	return s.newFact(c, f)
}

func ingredientCount(s *Session, c *Call) (*ast.Term, error) {
	o, err := s.order(c.args[0])
	if err != nil {
		return nil, err
	}
	v := &fact.Value{Name: "ingredients", Evidence: []fact.Evidence{o.Evidence()}}
	switch n := int64(len(o.Drug.Ingredients)); {
	case n == 0:
		v.Reasons = []fact.Reason{o.Drug.Reason}
	case o.Drug.Identified():
		v.State, v.Low, v.High = fact.Known, apd.New(n, 0), apd.New(n, 0)
	default:
		v.State, v.Low, v.Reasons = fact.Known, apd.New(n, 0), []fact.Reason{o.Drug.Reason}
	}
	return s.newValue(v)
}

func sameClass(s *Session, c *Call) (*ast.Term, error) {
	if s.subject == nil {
		return nil, errNoOrder
	}
	q, ordered, taken := c.exposures(s), s.blank(), s.blank()
	q.other = true
	ordered.Label, ordered.State = q.set.ordered, fact.False
	s.weighOrder(ordered, s.subject, q.set, q.anyRoute)
	taken.Label, taken.State = q.set.takes, fact.False
	s.search(taken, q)
	ordered.Op, ordered.At, taken.Op, taken.At = "fhir.order_in", s.at(), "fhir.takes", s.at()
	f := fact.All(ordered, s.closeSearch(taken, exposureTypes...))
	f.Label = "takes another of " + q.set.title
	return s.newFact(c, f)
}

// drugCount counts ingredients. What may be another one, because nobody can tell what
// it is or whether it is taken, widens the interval and never narrows it.
func drugCount(s *Session, c *Call) (*ast.Term, error) {
	q := c.exposures(s)
	v := &fact.Value{State: fact.Known, Name: "different drugs"}
	if q.set != nil {
		v.Name += " of " + q.set.title
	}
	var sure, maybe fact.Distinct[string]
	open := false
	add := func(state fact.State, d *chart.Drug, e fact.Evidence, why []fact.Reason) {
		if state == fact.False {
			return
		}
		v.Evidence, v.More = fact.Keep(v.Evidence, v.More, e, s.lib.library.bounds.Evidence)
		counted := 0
		for _, in := range d.Ingredients {
			if q.set != nil && !q.set.Has(in.System, in.Code) && inSet(q.set, d.Ingredients) {
				continue
			}
			counted++
			if maybe.Add(in.System + "|" + in.Code); state == fact.True {
				sure.Add(in.System + "|" + in.Code)
			}
		}
		if counted == 0 || !d.Identified() {
			open = true
		}
		if state != fact.True || !d.Identified() {
			v.Reasons = fact.Merge(v.Reasons, why)
		}
	}
	if s.subject != nil && c.flag("with_order") {
		o := s.subject
		state, reason := fact.True, fact.Reason{}
		if q.set != nil {
			state, reason = q.set.ordersOf(o)
		}
		if state == fact.True && !q.anyRoute && local(o.Routes, &o.Drug, q.local) == fact.True {
			state = fact.False
		}
		if !o.Identified() {
			reason = o.Reason
		}
		add(state, &o.Drug, o.Evidence(), []fact.Reason{reason})
	}
	for _, e := range s.chart.exposures() {
		if e.Draft && !q.drafts || s.changes(e, q) {
			continue
		}
		state, why := s.counts(e, q)
		if len(why) == 0 && !e.Drug.Identified() {
			why = []fact.Reason{{Code: e.Drug.Reason.Code, What: "medication"}}
		}
		add(state, &e.Drug, e.Evidence(), why)
	}
	if complete, gaps := s.chart.complete(exposureTypes...); !complete {
		open, v.Reasons = true, fact.Merge(v.Reasons, gaps)
	}
	v.Low = apd.New(int64(len(sure.List)), 0)
	if !open {
		v.High = apd.New(int64(len(maybe.List)), 0)
	}
	return s.newValue(v)
}

// daysTaken is the longest time that a drug taken now has been taken for.
func daysTaken(s *Session, c *Call) (*ast.Term, error) {
	q := c.exposures(s)
	v := &fact.Value{Name: "days of taking " + q.set.title, Unit: "d"}
	var low, high time.Duration
	sure, open := false, false
	for _, e := range s.chart.exposures() {
		if e.Draft || s.changes(e, q) {
			continue
		}
		state, why := s.counts(e, q)
		if state == fact.False {
			continue
		}
		v.Evidence, v.More = fact.Keep(v.Evidence, v.More, e.Evidence(), s.lib.library.bounds.Evidence)
		least, most, dated := e.Taking()
		switch {
		case state == fact.True:
			sure, low = true, max(low, least)
		default:
			v.Reasons = fact.Merge(v.Reasons, why)
		}
		if high = max(high, most); !dated {
			open = true
			v.Reasons = fact.Merge(v.Reasons, []fact.Reason{{Code: fact.PrecisionInsufficient, What: "time of medication"}})
		}
	}
	if complete, gaps := s.chart.complete(exposureTypes...); !complete {
		open, v.Reasons = true, fact.Merge(v.Reasons, gaps)
	}
	switch {
	case sure:
		v.State, v.Low = fact.Known, apd.New(int64(low/(24*time.Hour)), 0)
		if !open {
			v.High = apd.New(int64(high/(24*time.Hour)), 0)
		}
	case len(v.Reasons) == 0:
		v.State, v.Reasons = fact.Absent, []fact.Reason{{Code: fact.NoData, What: v.Name}}
	}
	return s.newValue(v)
}

// overlap compares every drug of one set with every one of the other. The order at
// hand counts as taken from now on.
func overlap(s *Session, c *Call) (*ast.Term, error) {
	q, with, f := c.exposures(s), c.set("with"), s.blank()
	f.Label, f.State = q.set.title+" and "+with.title+" at the same time", fact.False
	var washout dates.Duration
	if c.has("washout") {
		washout = c.duration("washout")
		f.Label += ", or within " + c.text("washout")
	}
	type one struct {
		*chart.Exposure
		kind fact.State
		why  []fact.Reason
	}
	var these, those []one
	other := q
	other.set = with
	for _, e := range s.chart.exposures() {
		if e.Draft && !q.drafts && (s.subject == nil || e.Resource != s.subject.Resource) {
			continue
		}
		if kind, why := s.matches(e, q); kind != fact.False {
			these = append(these, one{e, kind, why})
		}
		if kind, why := s.matches(e, other); kind != fact.False {
			those = append(those, one{e, kind, why})
		}
	}
	if err := s.useCost(int(min(int64(len(these))*int64(len(those)), math.MaxInt32))); err != nil {
		return nil, err
	}
	for _, a := range these {
		for _, b := range those {
			if a.Resource == b.Resource {
				continue
			}
			when, why := a.Overlaps(b.Exposure, washout)
			if when == fact.False {
				continue
			}
			state, reasons := fact.True, fact.Merge(a.why, b.why)
			if a.kind != fact.True || b.kind != fact.True || when != fact.True {
				state = fact.Unknown
			}
			if when == fact.Unknown {
				reasons = fact.Merge(reasons, why)
			}
			s.found(f, state, a.Evidence(), reasons...)
			s.found(f, state, b.Evidence(), reasons...)
		}
	}
	return s.newFact(c, s.closeSearch(f, exposureTypes...))
}

// orders returns the orders of the session, and whether they came whole. They are
// part of the call, so no prefetch has to ask for them.
func (v *view) orders() ([]*chart.Order, chart.Completeness) {
	return v.of.Orders(), v.of.Request().Drafts.Completeness
}

// selected returns the orders that the user has just selected; named is false where
// the call does not say.
func (v *view) selected() (list []*chart.Order, named bool) {
	return v.of.Selected(), len(v.of.Request().Selections) > 0
}
