package clinical

import (
	"slices"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// resultQuestions are about more than the newest number of a measurement.
func resultQuestions() []Function {
	set := Option{Name: "set", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindObservation}, Required: true,
		Doc: "what was measured"}
	unit := Option{Name: "unit", Kind: KindUnit, Required: true, Param: true, Doc: "UCUM code of the unit to compare in"}
	within := Option{Name: "within", Kind: KindDuration, Required: true, Param: true, Doc: "the window up to now"}
	word := func(name, doc string, words ...string) Option {
		return Option{Name: name, Kind: KindEnum, Words: words, Required: true, Param: true, Doc: doc}
	}
	const open = "results are not all there, or one that is or may be in the window cannot be used"
	reads, health := []string{"Observation"}, []string{attributeHealth}
	return []Function{
		{
			Name: "fhir.results", Doc: "lowest, highest or mean result of a window (mean to six decimals), how many " +
				"there are, or on how many days they were taken",
			Unknown: open, Absent: "the window holds no result, and how many is not asked",
			Options: []Option{set, unit, within, word("of", "what is asked", "lowest", "highest", "mean", "count", "days")},
			Result:  typeValue, Reads: reads, Attributes: health, Run: results,
		},
		{
			Name: "fhir.change",
			Doc: "how much the newest result of a window is above another one of it, as `difference` or `percent` " +
				"(to six decimals): the `lowest`, the `highest`, the `first` or the `previous` one",
			Unknown: open, Absent: "the window holds fewer than two results",
			Options: []Option{set, unit, within, word("from", "the result that the change is from", "lowest", "highest",
				"first", "previous"), word("as", "what the change is given as", "difference", "percent")},
			Result: typeValue, Reads: reads, Attributes: health, Run: change,
		},
		{
			Name: "fhir.has_result", Doc: "there is a result in the window, whatever it says and in whatever unit; one " +
				"that is pending, cancelled or not performed is none",
			Unknown: "results are not all there, or what there is has a status or a code that leaves it open",
			Options: []Option{set, within}, Result: typeFact, Reads: reads, Attributes: health, Run: hasResult,
		},
		{
			Name: "fhir.result_is",
			Doc: "the newest result says so, by a code of SNOMED CT or LOINC or an interpretation of HL7: `positive` " +
				"(also: detected, present, reactive) or `negative`",
			Unknown: "as `fhir.lab`; a number, words, or a code that says neither",
			Options: []Option{set, word("is", "what it is to say", "positive", "negative"), within}, Result: typeFact,
			Reads: reads, Attributes: health, Run: resultIs,
		},
	}
}

// resultsIn returns the results of a set in a window, newest first, and what keeps them
// from being all there is.
func (s *Session) resultsIn(c *Call, unit string) (k *kind, in []reading, why []fact.Reason) {
	set := c.set("set")
	k = &kind{name: set.title, codes: set.codings, analyte: analyteOf(set.codings), unit: unit}
	complete, gaps := s.chart.complete("Observation")
	if !complete {
		why = gaps
	}
	now, from := s.chart.now(), c.duration("within").Before(s.chart.now())
	list, _ := s.readings(k)
	slices.SortStableFunc(list, newestFirst)
	for _, r := range list {
		switch r.Effective.Within(from, now) {
		case fact.False:
			if r.reason == nil || r.reason.Code != fact.Implausible || r.Effective.Before(from) == fact.True {
				continue
			}
			why = fact.Merge(why, []fact.Reason{*r.reason}) // dated in the future
		case fact.Unknown:
			why = fact.Merge(why, []fact.Reason{{Code: fact.PrecisionInsufficient, What: k.name}})
		}
		if r.reason != nil && !slices.ContainsFunc(list, func(o reading) bool {
			return o.reason == nil && o.asNew(r) &&
				r.asNew(o)
		}) {
			why = fact.Merge(why, []fact.Reason{*r.reason})
		}
		in = append(in, r)
	}
	return k, in, why
}

// ofWindow starts the answer to a question about a window.
func (s *Session) ofWindow(name, unit string, in []reading) *fact.Value {
	v := &fact.Value{Name: name, Unit: unit}
	if len(in) > 0 {
		v.When = in[0].Effective.Text
	}
	s.witness(v, in)
	return v
}

func results(s *Session, c *Call) (*ast.Term, error) {
	k, in, why := s.resultsIn(c, c.text("unit"))
	if err := s.useCost(len(in)); err != nil {
		return nil, err
	}
	of, unit := c.text("of"), c.text("unit")
	if of == "count" || of == "days" {
		unit = "1"
	}
	v := s.ofWindow(of+" "+k.name, unit, in)
	in = slices.DeleteFunc(in, func(r reading) bool { return r.reason != nil })
	switch {
	case len(why) > 0:
		v.Reasons = why
	case of == "count":
		v.State, v.Low, v.High = fact.Known, apd.New(int64(len(in)), 0), apd.New(int64(len(in)), 0)
	case of == "days":
		n, ok := s.days(in)
		if !ok {
			v.Reasons = []fact.Reason{{Code: fact.PrecisionInsufficient, What: k.name}}
			break
		}
		v.State, v.Low, v.High = fact.Known, apd.New(n, 0), apd.New(n, 0)
	case len(in) == 0:
		v.State, v.Reasons = fact.Absent, []fact.Reason{{Code: fact.NoData, What: v.Name}}
	default:
		*v = *s.reduce(v, in, of)
	}
	return s.newValue(v)
}

// days counts the days of the zone on which results were taken; ok is false if one
// is not known to the day.
func (s *Session) days(in []reading) (n int64, ok bool) {
	var days fact.Distinct[string]
	zone := s.chart.now().Location()
	for _, r := range in {
		from, to := r.Effective.From.In(zone).Format("2006-01-02"), r.Effective.To.In(zone).Format("2006-01-02")
		if from != to {
			return 0, false
		}
		days.Add(from)
	}
	return int64(len(days.List)), true
}

// reduce makes one value of results: the interval of what the lowest, the highest or
// the mean may be.
func (s *Session) reduce(v *fact.Value, in []reading, of string) *fact.Value {
	r := *v
	r.State = fact.Known
	if of != "mean" {
		direction := 1
		if of == "lowest" {
			direction = -1
		}
		r.Low, r.LowOpen = in[0].bounds.Low, in[0].bounds.LowOpen
		r.High, r.HighOpen = in[0].bounds.High, in[0].bounds.HighOpen
		for _, x := range in[1:] {
			r.Low, r.LowOpen = furthest(r.Low, r.LowOpen, x.bounds.Low, x.bounds.LowOpen, direction, -1)
			r.High, r.HighOpen = furthest(r.High, r.HighOpen, x.bounds.High, x.bounds.HighOpen, direction, 1)
		}
		return &r
	}
	total := &fact.Value{State: fact.Known, Low: new(apd.Decimal), High: new(apd.Decimal)}
	for _, x := range in {
		total = fact.Calculate(fact.Add, total, x.bare(), r.Name, r.Unit, 12)
	}
	n := apd.New(int64(len(in)), 0)
	mean := fact.Calculate(fact.Divide, total, &fact.Value{State: fact.Known, Low: n, High: n}, r.Name, r.Unit, 6)
	r.State, r.Low, r.High, r.Reasons = mean.State, trimmed(mean.Low), trimmed(mean.High), mean.Reasons
	return &r
}

// bare is the number of a result as a value.
func (r reading) bare() *fact.Value {
	return &fact.Value{State: fact.Known, Low: r.bounds.Low, High: r.bounds.High, LowOpen: r.bounds.LowOpen,
		HighOpen: r.bounds.HighOpen}
}

// trimmed drops zeros at the end.
func trimmed(d *apd.Decimal) *apd.Decimal {
	if d == nil {
		return nil
	}
	r := new(apd.Decimal)
	r.Reduce(d)
	return r
}

// furthest returns the bound that is furthest in a direction; end says which end of
// an interval it is, so that nil is minus or plus infinity.
func furthest(a *apd.Decimal, aOpen bool, b *apd.Decimal, bOpen bool, direction, end int) (*apd.Decimal, bool) {
	if a == nil || b == nil {
		if direction == end { // infinity is furthest
			return nil, false
		}
		if a == nil {
			return b, bOpen
		}
		return a, aOpen
	}
	switch c := a.Cmp(b) * direction; {
	case c > 0:
		return a, aOpen
	case c < 0:
		return b, bOpen
	case direction == end:
		return a, aOpen && bOpen
	default:
		return a, aOpen || bOpen
	}
}

// change compares the newest result of a window with another one.
func change(s *Session, c *Call) (*ast.Term, error) {
	k, in, why := s.resultsIn(c, c.text("unit"))
	if err := s.useCost(len(in)); err != nil {
		return nil, err
	}
	unit, from := c.text("unit"), c.text("from")
	if c.text("as") == "percent" {
		unit = "%"
	}
	v := s.ofWindow("change of "+k.name, unit, in)
	in = slices.DeleteFunc(in, func(r reading) bool { return r.reason != nil })
	if len(why) == 0 && !ordered(in) {
		why = []fact.Reason{{Code: fact.PrecisionInsufficient, What: k.name}}
	}
	switch {
	case len(why) > 0:
		v.Reasons = why
		return s.newValue(v)
	case len(in) < 2:
		v.State, v.Reasons = fact.Absent, []fact.Reason{{Code: fact.NoData, What: v.Name}}
		return s.newValue(v)
	}
	newest, base := in[0].bare(), in[1].bare()
	switch from {
	case "first":
		base = in[len(in)-1].bare()
	case "lowest", "highest":
		base = s.reduce(&fact.Value{}, in[1:], from)
	}
	d := fact.Calculate(fact.Subtract, newest, base, v.Name, unit, 12)
	if unit == "%" && d.State == fact.Known {
		hundred := apd.New(100, 0)
		d = fact.Calculate(fact.Multiply, d, &fact.Value{State: fact.Known, Low: hundred, High: hundred}, v.Name, unit, 12)
		d = fact.Calculate(fact.Divide, d, base, v.Name, unit, 6)
	}
	v.State, v.Low, v.High, v.Reasons = d.State, trimmed(d.Low), trimmed(d.High), d.Reasons
	return s.newValue(v)
}

// ordered reports whether it is certain in which order results were taken.
func ordered(in []reading) bool {
	for i := 1; i < len(in); i++ {
		if !in[i].Effective.To.Before(in[i-1].Effective.From) {
			return false
		}
	}
	return true
}

// hasResult asks whether there is a result at all.
func hasResult(s *Session, c *Call) (*ast.Term, error) {
	set := c.set("set")
	f := s.blank()
	f.Label, f.State = "has "+set.title, fact.False
	k := &kind{name: set.title, codes: set.codings, analyte: analyteOf(set.codings)}
	list, pending := s.readings(k)
	now, from := s.chart.now(), c.duration("within").Before(s.chart.now())
	for _, r := range list {
		state := r.Effective.Within(from, now)
		why := fact.Reason{Code: fact.PrecisionInsufficient, What: k.name}
		code := fact.Code("")
		switch {
		case r.Effective.After(now.Add(time.Hour)) == fact.True:
			state, code = fact.True, fact.Implausible
		case r.Status != "final" && r.Status != "amended" && r.Status != "corrected":
			code = fact.WrongStatus
		case r.reason != nil && r.reason.Code == fact.UnknownCode:
			code = fact.UnknownCode
		}
		if state == fact.True && code != "" {
			state, why.Code = fact.Unknown, code
		}
		if state != fact.False {
			s.found(f, state, r.Evidence(), why)
		}
	}
	if f.State == fact.False {
		for _, r := range pending {
			f.Evidence, f.More = fact.Keep(f.Evidence, f.More, r.Evidence(), s.lib.library.bounds.Evidence)
		}
	}
	return s.newFact(c, s.closeSearch(f, "Observation"))
}

// resultIs asks what the newest coded result says.
func resultIs(s *Session, c *Call) (*ast.Term, error) {
	set := c.set("set")
	k := &kind{name: set.title, codes: set.codings, analyte: analyteOf(set.codings), coded: true}
	k.value = func(top []reading) *fact.Value { return said(k.name, top) }
	v := s.newestOf(k.name, "1", c.duration("within"), k)
	f := s.blank()
	f.Label, f.Evidence, f.More = set.title+" is "+c.text("is"), v.Evidence, v.More
	want := c.text("is") == "positive"
	f.State = sayingIs(v, want)
	if v.Older != nil && f.State == fact.Unknown {
		f.IfOlder = sayingIs(v.Older, want)
	}
	switch {
	case v.State == fact.Absent:
		f.State, f.Reasons = fact.False, nil
	case f.State == fact.Unknown:
		if f.Reasons = v.Reasons; len(f.Reasons) == 0 {
			f.Reasons = []fact.Reason{{Code: fact.Ambiguous, What: k.name}}
		}
	}
	return s.newFact(c, f)
}

// sayingIs tells whether a value that said made, 1 for positive and 0 for negative,
// is what is wanted.
func sayingIs(v *fact.Value, positive bool) fact.State {
	if v.State != fact.Known || v.Low.Cmp(v.High) != 0 {
		return fact.Unknown
	}
	if v.Low.IsZero() != positive {
		return fact.True
	}
	return fact.False
}

// said makes a value of results that say positive (1) or negative (0).
func said(name string, top []reading) *fact.Value {
	v := &fact.Value{State: fact.Known, Name: name, Unit: "1", When: top[0].Effective.Text}
	low, high := int64(1), int64(0)
	for _, r := range top {
		v.Evidence = append(v.Evidence, r.Evidence())
		if r.positive {
			high = 1
		} else {
			low = 0
		}
	}
	v.Low, v.High = apd.New(low, 0), apd.New(max(low, high), 0)
	return v
}

// positiveOrNot reads what a coded result says; ok is false if no code of it says either, or
// they contradict.
func positiveOrNot(o *chart.Observation) (positive, ok bool) {
	yes, no := false, false
	for _, list := range [][]chart.Coding{o.ValueCodings, o.Interpretation} {
		for _, code := range list {
			switch answers, known := sayings[chart.Coding{System: code.System, Code: code.Code}]; {
			case known && answers:
				yes = true
			case known:
				no = true
			}
		}
	}
	return yes, yes != no
}

const interpretations = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

// sayings are the codes that say positive (true) or negative (false).
var sayings = map[chart.Coding]bool{
	{System: chart.SNOMED, Code: "10828004"}:  true,  // positive
	{System: chart.SNOMED, Code: "260373001"}: true,  // detected
	{System: chart.SNOMED, Code: "11214006"}:  true,  // reactive
	{System: chart.SNOMED, Code: "260385009"}: false, // negative
	{System: chart.SNOMED, Code: "260415000"}: false, // not detected
	{System: chart.SNOMED, Code: "131194007"}: false, // non-reactive
	{System: chart.LOINC, Code: "LA6576-8"}:   true,  // positive
	{System: chart.LOINC, Code: "LA11882-0"}:  true,  // detected
	{System: chart.LOINC, Code: "LA6577-6"}:   false, // negative
	{System: chart.LOINC, Code: "LA11883-8"}:  false, // not detected
	{System: chart.LOINC, Code: "LA15256-3"}:  false, // nonreactive
	{System: interpretations, Code: "POS"}:    true,
	{System: interpretations, Code: "DET"}:    true,
	{System: interpretations, Code: "RR"}:     true, // reactive
	{System: interpretations, Code: "NEG"}:    false,
	{System: interpretations, Code: "ND"}:     false,
	{System: interpretations, Code: "NR"}:     false, // non-reactive
}
