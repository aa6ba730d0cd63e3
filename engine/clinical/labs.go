package clinical

import (
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// lab returns the newest result of a value set.
func lab(s *Session, c *Call) (*ast.Term, error) {
	set := c.set("set")
	k := s.kindOf(set.title, set.codings, c.text("unit"))
	k.preliminary, k.precision = c.flag("preliminary"), c.text("precision")
	return s.newValue(s.newestOf(k.name, k.unit, c.duration("max_age"), k))
}

// What answers a question about a measurement is one or more kinds of results,
// such as the reported eGFR and creatinine. Of all of them together the newest
// counts:
//
//   - "newest" is by the time of the specimen; of the same instant, by that of
//     issue. Where several could be the newest, the value is the interval over
//     them.
//   - A result that cannot be used (its status, its unit, words, a code nobody here
//     knows, a withheld value, a date that may lie in the future or be too old)
//     makes the value unknown if it could be the newest. An older one never stands
//     in; the value carries it, as [fact.Value.Older]. Only one that can be used,
//     and is certainly no older, is as good.
//   - One that is registered, or has no value and does not say why, is pending: it
//     is named, and displaces nothing. One that is cancelled, or not performed, is
//     no result.
//   - What is certainly older than it may be does not count, whether it could be
//     used or not.

// kind is one kind of results that can answer a question.
type kind struct {
	name        string // as reasons call it
	codes       []chart.Coding
	analyte     units.Analyte // of the codes, if they have one; tells what could be such a result under another code
	unit        string
	coded       bool                            // what counts is what codes say, not a number
	preliminary bool                            // that status counts as well
	precision   string                          // how well the time must be known: day, instant, or "" for any
	value       func(top []reading) *fact.Value // of results that can be used
	readings    []reading
}

// reading is one result that may count.
type reading struct {
	*chart.Observation
	bounds units.Bounds
	reason *fact.Reason // why it cannot be used
	note   string       // how it was taken, for evidence
	of     *kind

	positive bool // what it says, of a kind that is coded
}

func (r reading) Evidence() fact.Evidence {
	e := r.Observation.Evidence()
	if r.note != "" {
		e.Note = r.note
	}
	return e
}

// asNew reports whether a result is certainly no older than another. Two of one
// kind are only if both are known to the instant; results of different kinds with
// the same date are taken to be of one specimen.
func (r reading) asNew(o reading) bool {
	if r.of == o.of && !(r.Effective.Exact() && o.Effective.Exact()) {
		return r.Effective.From.After(o.Effective.To)
	}
	return !r.Effective.From.Before(o.Effective.From) && !r.Effective.To.Before(o.Effective.To)
}

// kindOf is the results with one of the codes, in a unit.
func (s *Session) kindOf(name string, codes []chart.Coding, unit string) *kind {
	k := &kind{name: name, codes: codes, analyte: analyteOf(codes), unit: unit}
	k.value = func(top []reading) *fact.Value { return s.span(name, unit, top) }
	return k
}

// analyteOf returns the analyte that all the codes are of, or the empty one.
func analyteOf(codes []chart.Coding) (all units.Analyte) {
	for i, c := range codes {
		a := units.Analyte("")
		if c.System == chart.LOINC {
			a = units.AnalyteOf(c.Code)
		}
		if i > 0 && a != all {
			return ""
		}
		all = a
	}
	return all
}

// newestOf returns the value of the newest result of some kinds, those first that
// are preferred where they are equally new.
func (s *Session) newestOf(name, unit string, maxAge dates.Duration, kinds ...*kind) *fact.Value {
	v := &fact.Value{Name: name, Unit: unit}
	complete, gaps := s.chart.complete("Observation")
	oldest := maxAge.Before(s.chart.now())
	var pending, stale []reading
	for _, k := range kinds {
		var waiting []reading
		k.readings, waiting = s.readings(k)
		pending = append(pending, waiting...)
		fresh := k.readings[:0]
		for _, r := range k.readings {
			switch {
			case r.Effective.Before(oldest) == fact.True:
				stale = append(stale, r)
				continue
			case r.reason == nil && r.Effective.Before(oldest) == fact.Unknown:
				r.reason = &fact.Reason{Code: fact.PrecisionInsufficient, What: k.name}
			}
			fresh = append(fresh, r)
		}
		k.readings = fresh
	}
	top := newestAmong(kinds)
	good, bad := top.judge()
	switch {
	case !complete:
		v.Reasons = gaps
	case len(bad) > 0:
		for _, r := range bad {
			v.Reasons = fact.Merge(v.Reasons, []fact.Reason{*r.reason})
		}
	case len(good) > 0:
		v = s.decide(kinds, good)
	case len(stale) > 0:
		top = possiblyNewest(stale)
		v.Reasons = []fact.Reason{{Code: fact.Stale, What: name}}
	default:
		v.State, v.Reasons = fact.Absent, []fact.Reason{{Code: fact.NoData, What: name}}
	}
	if v.State == fact.Known {
		return v
	}
	if v.Evidence == nil {
		s.witness(v, top)
	}
	if s.witness(v, pending); len(top) > 0 {
		v.When = top[0].Effective.Text
	}
	if !complete {
		v.Evidence, v.More = s.chart.leftOut(v.Evidence, v.More, s.lib.library.bounds.Evidence, "Observation")
	}
	v.Older = s.older(kinds)
	return v
}

// witness names results as evidence.
func (s *Session) witness(v *fact.Value, list []reading) {
	for _, r := range list {
		v.Evidence, v.More = fact.Keep(v.Evidence, v.More, r.Evidence(), s.lib.library.bounds.Evidence)
	}
}

// group is some readings that may be the newest.
type group []reading

// newestAmong returns the readings of all kinds that could be the newest, kind by
// kind.
func newestAmong(kinds []*kind) (top group) {
	var latest time.Time
	for _, k := range kinds {
		mine := possiblyNewest(k.readings)
		for _, r := range mine {
			if r.Effective.From.After(latest) {
				latest = r.Effective.From
			}
		}
		top = append(top, mine...)
	}
	return slices.DeleteFunc(top, func(r reading) bool { return r.Effective.To.Before(latest) })
}

// judge parts the readings that can be used from those that cannot and stand
// alone: none of the others is as new.
func (g group) judge() (good, bad group) {
	for _, r := range g {
		if r.reason == nil {
			good = append(good, r)
		}
	}
	for _, r := range g {
		if r.reason != nil && !slices.ContainsFunc(good, func(o reading) bool { return o.asNew(r) }) {
			bad = append(bad, r)
		}
	}
	return good, bad
}

// decide makes the value of readings that can be used: that of the first kind
// that is as new as all others, else the interval over those of every kind.
func (s *Session) decide(kinds []*kind, good group) *fact.Value {
	of := func(k *kind) (list []reading) {
		for _, r := range good {
			if r.of == k {
				list = append(list, r)
			}
		}
		return list
	}
	var values []*fact.Value
	for _, k := range kinds {
		mine := of(k)
		if len(mine) == 0 {
			continue
		}
		v := k.value(mine)
		if !slices.ContainsFunc(good, func(o reading) bool {
			return o.of != k && !slices.ContainsFunc(mine, func(r reading) bool { return r.asNew(o) })
		}) {
			return v
		}
		values = append(values, v)
	}
	v := values[0]
	for _, o := range values[1:] {
		v = join(v, o)
	}
	return v
}

// join returns a value that is one or the other.
func join(a, b *fact.Value) *fact.Value {
	switch {
	case a.State != fact.Known:
		return a
	case b.State != fact.Known:
		return b
	}
	j := *a
	j.Low, j.LowOpen = extreme(a.Low, a.LowOpen, b.Low, b.LowOpen, -1)
	j.High, j.HighOpen = extreme(a.High, a.HighOpen, b.High, b.HighOpen, 1)
	j.Evidence = append(a.Evidence[:len(a.Evidence):len(a.Evidence)], b.Evidence...)
	j.More += b.More
	if b.Method != a.Method {
		j.Method = a.Method + " or " + b.Method
	}
	return &j
}

// older returns the newest value that can be made of what can be used, nil if
// there is none.
func (s *Session) older(kinds []*kind) *fact.Value {
	var newest *fact.Value
	var at time.Time
	for _, k := range kinds {
		k.readings = slices.DeleteFunc(k.readings, func(r reading) bool { return r.reason != nil })
		top := possiblyNewest(k.readings)
		if len(top) == 0 || newest != nil && !top[0].Effective.To.After(at) {
			continue
		}
		if v := k.value(top); v.State == fact.Known {
			newest, at = v, top[0].Effective.To
		}
	}
	return newest
}

// readings collects the results of a kind, and those that are pending.
func (s *Session) readings(k *kind) (list, pending []reading) {
	take := func(o *chart.Observation, why *fact.Reason) {
		r := reading{Observation: o, of: k, reason: why}
		switch standing(o, k.coded) {
		case noResult:
			return
		case isPending:
			if !o.IsPanel() {
				r.note = "pending"
				pending = append(pending, r)
			}
			return
		}
		if r.reason == nil {
			r.read()
		}
		if o.Status == "preliminary" && k.preliminary {
			r.note = o.Status
		}
		if odd := k.settle(o, s.chart.now()); odd != "" && r.reason == nil {
			r.reason = &fact.Reason{Code: odd, What: k.name}
		}
		list = append(list, r)
	}
	for _, res := range s.chart.observations(k.codes) {
		take(s.chart.observation(res), nil)
	}
	for _, o := range s.chart.components(k.codes) {
		take(o, nil)
	}
	if k.analyte == "" {
		return list, pending
	}
	for _, o := range s.chart.unnamed(k.analyte) {
		if !carries(o.Codings, k.codes) {
			take(o, &fact.Reason{Code: fact.UnknownCode, What: k.name})
		}
	}
	return list, pending
}

func carries(have, codes []chart.Coding) bool {
	return slices.ContainsFunc(have, func(c chart.Coding) bool {
		return slices.ContainsFunc(codes, func(o chart.Coding) bool { return o.System == c.System && o.Code == c.Code })
	})
}

// The standings of a result.
const (
	isResult = iota
	isPending
	noResult
)

// standing tells whether there is a result, by its status and what it reports.
func standing(o *chart.Observation, coded bool) int {
	hasValue := o.HasValue() || coded && len(o.Interpretation) > 0
	switch o.Status {
	case "cancelled", "entered-in-error", "cannot-be-obtained":
		return noResult
	case "registered", "specimen-in-process":
		return isPending
	}
	switch o.AbsentReason {
	case "not-performed", "not-asked", "asked-declined", "not-applicable", "not-permitted":
		if !hasValue {
			return noResult // nothing was measured
		}
	}
	if !hasValue && !o.Absent {
		return isPending
	}
	return isResult
}

// settle is the settle of results of which nothing in particular is asked.
func settle(o *chart.Observation, now time.Time) (odd fact.Code) { return new(kind).settle(o, now) }

// settle sets the time of a result as far as it is known: one without a date
// may be of any time up to now. It returns why its value cannot be used, if so.
func (k *kind) settle(o *chart.Observation, now time.Time) (odd fact.Code) {
	switch {
	case o.Status == "final" || o.Status == "amended" || o.Status == "corrected":
	case o.Status == "preliminary" && k.preliminary:
	default:
		odd = fact.WrongStatus
	}
	if !o.Effective.Known() {
		o.Effective = o.Issued
	}
	if o.Effective.After(now.Add(time.Hour)) == fact.True {
		odd = fact.Implausible
	}
	if o.Effective.To.IsZero() {
		o.Effective.To = now
		if o.Effective.From.After(now) {
			o.Effective.To = o.Effective.From
		}
	}
	day := func(t time.Time) string { return t.In(now.Location()).Format(time.DateOnly) }
	if odd == "" && (k.precision == "instant" && !o.Effective.Exact() ||
		k.precision == "day" && day(o.Effective.From) != day(o.Effective.To)) {
		odd = fact.PrecisionInsufficient
	}
	return odd
}

// read converts the value of a result, or says why it cannot be used.
func (r *reading) read() {
	cannot := func(code fact.Code) { r.reason = &fact.Reason{Code: code, What: r.of.name} }
	o := r.Observation
	switch {
	case len(o.Reasons) > 0 && o.Reasons[0].Code != fact.NoData:
		cannot(o.Reasons[0].Code)
		return
	case len(o.Reasons) > 0: // a range or another kind that is not read
		cannot(fact.PrecisionInsufficient)
		return
	case o.HasValue() && o.Absent:
		cannot(fact.Ambiguous)
		return
	case o.Absent:
		cannot(fact.ValueAbsent)
		return
	case r.of.coded:
		positive, ok := positiveOrNot(o)
		if r.positive = positive; !ok {
			cannot(fact.TextOnly)
		}
		return
	case o.Quantity == nil:
		cannot(fact.TextOnly)
		return
	}
	b, err := o.Quantity.Bounds(r.of.unit, o.Analyte())
	switch {
	case err != nil:
		cannot(fact.UnitUnconvertible)
	case implausible(o.Quantity, b, r.of.unit, o.Analyte()):
		cannot(fact.Implausible)
	}
	if code, _ := o.Quantity.UnitCode(); code == "mL/min" && r.of.unit == units.Renal {
		r.note = "read as per 1.73 m², which the code says"
	}
	r.bounds = b
}

// implausible reports whether no living patient can have it.
func implausible(q *units.Quantity, b units.Bounds, unit string, a units.Analyte) bool {
	if b.Low != nil && b.Low.Negative || b.High != nil && (b.High.Negative || b.High.IsZero()) {
		return true
	}
	e := units.Lookup(a)
	if e == nil || e.Unit == "" {
		return false
	}
	if e.Unit != unit {
		var err error
		if b, err = q.Bounds(e.Unit, a); err != nil {
			return false
		}
	}
	return !e.Plausible(b)
}

// newestFirst is the order of readings by time of the specimen, then of issue.
func newestFirst(a, b reading) int {
	if c := b.Effective.To.Compare(a.Effective.To); c != 0 {
		return c
	}
	if c := b.Issued.To.Compare(a.Issued.To); c != 0 {
		return c
	}
	return strings.Compare(a.Ref(), b.Ref())
}

// possiblyNewest returns the readings that could be the newest: those that may
// have been taken after every other. Of several of the same instant the one
// issued last counts, if it can be used.
func possiblyNewest(list []reading) group {
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, newestFirst)
	latest := list[0].Effective.From
	for _, r := range list {
		if r.Effective.From.After(latest) {
			latest = r.Effective.From
		}
	}
	var top group
	for _, r := range list {
		if r.Effective.To.Before(latest) {
			continue
		}
		if len(top) > 0 && r.Effective.Exact() && top[0].Effective.Exact() && r.Issued.Known() &&
			top[0].Issued.Known() && r.Issued.To.Before(top[0].Issued.From) {
			continue // the same specimen, reported again since
		}
		top = append(top, r)
	}
	return top
}

// span returns the interval over readings that can be used.
func (s *Session) span(name, unit string, list []reading) *fact.Value {
	v := &fact.Value{State: fact.Known, Name: name, Unit: unit, When: list[0].Effective.Text}
	b := list[0].bounds
	for _, r := range list[1:] {
		b.Low, b.LowOpen = extreme(b.Low, b.LowOpen, r.bounds.Low, r.bounds.LowOpen, -1)
		b.High, b.HighOpen = extreme(b.High, b.HighOpen, r.bounds.High, r.bounds.HighOpen, 1)
	}
	v.Low, v.High, v.LowOpen, v.HighOpen = b.Low, b.High, b.LowOpen, b.HighOpen
	s.witness(v, list)
	return v
}

// extreme returns the outer of two bounds in a direction; nil is outermost.
func extreme(a *apd.Decimal, aOpen bool, b *apd.Decimal, bOpen bool, direction int) (*apd.Decimal, bool) {
	if a == nil || b == nil {
		return nil, false
	}
	switch c := a.Cmp(b) * direction; {
	case c > 0:
		return a, aOpen
	case c < 0:
		return b, bOpen
	default:
		return a, aOpen && bOpen
	}
}
