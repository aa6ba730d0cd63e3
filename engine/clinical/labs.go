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

// lab returns the newest valid result of a value set.
func lab(s *Session, c *Call) (*ast.Term, error) {
	set := c.set("set")
	return s.newValue(s.newest(set.title, set.codings, c.text("unit"), c.duration("max_age")))
}

// reading is one result that may count.
type reading struct {
	*chart.Observation
	bounds units.Bounds
	reason *fact.Reason // why its value cannot be used although it counts
}

// newest returns the newest valid result with one of the codes, in a unit.
//
// Results count if they are final, amended or corrected, of their own or as a
// part of a panel; "newest" is by the time of the specimen, ties by the time of
// issue. Where two could be the newest, the value is the interval over both. A
// newest result that exists but cannot be used (its unit, a withheld value, a
// date in the future, a status FHIR does not have) makes the value unknown: an
// older one must not stand in for it. So does one without a date that can be
// read, which may be the newest of all. One that reports no value at all is
// passed over.
func (s *Session) newest(name string, codes []chart.Coding, unit string, maxAge dates.Duration) *fact.Value {
	v := &fact.Value{Name: name, Unit: unit}
	readings, skipped := s.readings(codes, unit, name)
	complete, gaps := s.chart.complete("Observation")
	top := possiblyNewest(readings)
	for _, r := range top {
		v.Evidence, v.More = fact.Keep(v.Evidence, v.More, r.Evidence(), s.lib.library.bounds.Evidence)
	}
	switch {
	case !complete:
		v.Reasons = gaps
		return v
	case len(top) == 0 && len(skipped) > 0:
		v.Reasons = skipped
		return v
	case len(top) == 0:
		v.State, v.Reasons = fact.Absent, []fact.Reason{{Code: fact.NoData, What: name}}
		return v
	}
	v.When = top[0].Effective.Text
	oldest := maxAge.Before(s.chart.now())
	for _, r := range top {
		switch r.Effective.Before(oldest) {
		case fact.True:
			v.Reasons = fact.Merge(v.Reasons, []fact.Reason{{Code: fact.Stale, What: name}})
		case fact.Unknown:
			v.Reasons = fact.Merge(v.Reasons, []fact.Reason{{Code: fact.PrecisionInsufficient, What: name}})
		}
		if r.reason != nil {
			v.Reasons = fact.Merge(v.Reasons, []fact.Reason{*r.reason})
		}
	}
	if len(v.Reasons) == 0 {
		v.State = fact.Known
		span(v, top)
	}
	return v
}

// readings collects the results that count. Skipped says why there are others
// that do not.
func (s *Session) readings(codes []chart.Coding, unit, name string) (list []reading, skipped []fact.Reason) {
	take := func(o *chart.Observation) {
		if r, ok := read(o, unit, name); ok {
			if odd := settle(o, s.chart.now()); odd != "" {
				r.reason = &fact.Reason{Code: odd, What: name}
			}
			list = append(list, r)
		}
	}
	for _, res := range s.chart.observations(codes) {
		if unfinished(res.Status) {
			skipped = fact.Merge(skipped, []fact.Reason{{Code: fact.WrongStatus, What: name}})
			continue
		}
		take(s.chart.observation(res))
	}
	for _, o := range s.chart.components(codes) {
		if unfinished(o.Status) {
			skipped = fact.Merge(skipped, []fact.Reason{{Code: fact.WrongStatus, What: name}})
			continue
		}
		take(o)
	}
	return list, skipped
}

// unfinished lists the states in which FHIR says that there is no result yet,
// or none any more.
func unfinished(status string) bool {
	switch status {
	case "registered", "specimen-in-process", "preliminary", "cancelled", "cannot-be-obtained", "unknown":
		return true
	default:
		return false
	}
}

// settle sets the time of a result as far as it is known: one without a date
// may be of any time up to now. It returns why its value cannot be used, if so.
func settle(o *chart.Observation, now time.Time) (odd fact.Code) {
	switch o.Status {
	case "final", "amended", "corrected":
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
	return odd
}

// read converts a result's value; ok is false if it reports none.
func read(o *chart.Observation, unit, name string) (r reading, ok bool) {
	r.Observation = o
	for _, why := range o.Reasons {
		switch {
		case why.Code != fact.NoData:
			r.reason = &fact.Reason{Code: why.Code, What: name}
			return r, true
		case o.Quantity == nil && o.JSON.Get("valueQuantity").Missing(): // a range or another kind that is not read
			r.reason = &fact.Reason{Code: fact.PrecisionInsufficient, What: name}
			return r, true
		}
	}
	if o.Quantity == nil {
		if o.ValueText == "" && len(o.ValueCodings) == 0 {
			return r, false
		}
		r.reason = &fact.Reason{Code: fact.TextOnly, What: name}
		return r, true
	}
	b, err := o.Quantity.Bounds(unit, o.Analyte())
	switch {
	case err != nil:
		r.reason = &fact.Reason{Code: fact.UnitUnconvertible, What: name}
	case b.Low != nil && b.Low.Negative, b.High != nil && (b.High.Negative || b.High.IsZero()):
		r.reason = &fact.Reason{Code: fact.Implausible, What: name}
	}
	r.bounds = b
	return r, true
}

// possiblyNewest returns the readings that could be the newest: those that may
// have been taken after every other. Of several of the same instant the one
// issued last counts.
func possiblyNewest(list []reading) []reading {
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, func(a, b reading) int {
		if c := b.Effective.To.Compare(a.Effective.To); c != 0 {
			return c
		}
		if c := b.Issued.To.Compare(a.Issued.To); c != 0 {
			return c
		}
		return strings.Compare(a.Ref(), b.Ref())
	})
	latest := list[0].Effective.From
	for _, r := range list {
		if r.Effective.From.After(latest) {
			latest = r.Effective.From
		}
	}
	var top []reading
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

// span sets the interval over all readings.
func span(v *fact.Value, list []reading) {
	b := list[0].bounds
	for _, r := range list[1:] {
		b.Low, b.LowOpen = extreme(b.Low, b.LowOpen, r.bounds.Low, r.bounds.LowOpen, -1)
		b.High, b.HighOpen = extreme(b.High, b.HighOpen, r.bounds.High, r.bounds.HighOpen, 1)
	}
	v.Low, v.High, v.LowOpen, v.HighOpen = b.Low, b.High, b.LowOpen, b.HighOpen
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
