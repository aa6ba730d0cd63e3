package fact

import (
	"slices"

	"github.com/cockroachdb/apd/v3"
)

// All is true if every operand is true, false as soon as one is false, and
// otherwise unknown with the reasons of the unknown operands. All of nothing
// is unknown: an empty question was never asked.
func All(of ...*Fact) *Fact { return AtLeast(len(of), of...).as("fact.all") }

// Any is true as soon as one operand is true, false if all are false, and
// otherwise unknown.
func Any(of ...*Fact) *Fact { return AtLeast(1, of...).as("fact.any") }

// AtLeast is true if n or more operands are true, false if that can no longer
// be reached, and otherwise unknown.
func AtLeast(n int, of ...*Fact) *Fact {
	f := &Fact{Op: "fact.count_at_least", Of: of}
	yes, maybe := 0, 0
	for _, o := range of {
		switch o.State {
		case True:
			yes++
		case Unknown:
			maybe++
		}
	}
	switch {
	case len(of) == 0:
		f.Reasons = []Reason{{Code: NotApplicable, What: "no conditions given"}}
	case yes >= n:
		f.State = True
	case yes+maybe < n:
		f.State = False
	default:
		var why Distinct[Reason]
		for _, o := range of {
			if o.State == Unknown {
				for _, r := range o.Reasons {
					why.Add(r)
				}
			}
		}
		f.Reasons = slices.Clip(why.List)
		f.IfOlder = atLeastIfOlder(n, of)
	}
	return f
}

// atLeastIfOlder is the answer of AtLeast if older results held.
func atLeastIfOlder(n int, of []*Fact) State {
	yes, maybe := 0, 0
	for _, o := range of {
		switch o.ifOlder() {
		case True:
			yes++
		case Unknown:
			maybe++
		}
	}
	return interval(yes >= n, yes+maybe < n)
}

// ifOlder is the answer, or that of an unknown fact if older results held.
func (f *Fact) ifOlder() State {
	if f.State == Unknown {
		return f.IfOlder
	}
	return f.State
}

// Not swaps true and false and keeps unknown with its reasons.
func Not(f *Fact) *Fact {
	return &Fact{Op: "fact.negate", Of: []*Fact{f}, Reasons: f.Reasons, State: opposite(f.State),
		IfOlder: opposite(f.IfOlder)}
}

func opposite(s State) State {
	switch s {
	case True:
		return False
	case False:
		return True
	default:
		return Unknown
	}
}

func (f *Fact) as(op string) *Fact { f.Op = op; return f }

// Comparison is an order relation between a value and a limit.
type Comparison string

// The comparisons rules may make.
const (
	Less         Comparison = "fact.less"
	LessEqual    Comparison = "fact.less_equal"
	Greater      Comparison = "fact.greater"
	GreaterEqual Comparison = "fact.greater_equal"
)

// Sign returns the comparison as written in explanations.
func (c Comparison) Sign() string {
	switch c {
	case Less:
		return "<"
	case LessEqual:
		return "<="
	case Greater:
		return ">"
	default:
		return ">="
	}
}

// Compare compares a value with a limit by interval arithmetic: true if it
// holds for every number the value may be, false if for none, otherwise
// unknown (precision-insufficient, or why the value is known in part only). A value that
// is absent or unknown yields unknown with its own reasons.
func Compare(v *Value, c Comparison, limit *apd.Decimal) *Fact {
	f := &Fact{Op: string(c), Limit: limit.Text('f'), Values: []*Value{v}}
	if v.State != Known {
		f.Reasons = v.Why()
		if v.Older != nil {
			f.IfOlder = Compare(v.Older, c, limit).State
		}
		return f
	}
	switch c {
	case Less:
		f.State = interval(below(v, limit, false), reaches(v, limit, true))
	case LessEqual:
		f.State = interval(below(v, limit, true), reaches(v, limit, false))
	case Greater:
		f.State = interval(reaches(v, limit, false), below(v, limit, true))
	default:
		f.State = interval(reaches(v, limit, true), below(v, limit, false))
	}
	if f.State == Unknown {
		f.Reasons = []Reason{{Code: PrecisionInsufficient, What: v.Name}}
		if len(v.Reasons) > 0 { // they say why it is not known more precisely
			f.Reasons = v.Reasons
		}
	}
	return f
}

func interval(always, never bool) State {
	switch {
	case always:
		return True
	case never:
		return False
	default:
		return Unknown
	}
}

// below reports that every number in v is < limit (or <= limit if orEqual).
func below(v *Value, limit *apd.Decimal, orEqual bool) bool {
	if v.High == nil {
		return false
	}
	cmp := v.High.Cmp(limit)
	return cmp < 0 || cmp == 0 && (orEqual || v.HighOpen)
}

// reaches reports that every number in v is > limit (or >= limit if orEqual).
func reaches(v *Value, limit *apd.Decimal, orEqual bool) bool {
	if v.Low == nil {
		return false
	}
	cmp := v.Low.Cmp(limit)
	return cmp > 0 || cmp == 0 && (orEqual || v.LowOpen)
}

// Within is low <= v < high.
func Within(v *Value, low, high *apd.Decimal) *Fact {
	f := All(Compare(v, GreaterEqual, low), Compare(v, Less, high))
	f.Op, f.Limit, f.Values, f.Of = "fact.within", low.Text('f')+" to "+high.Text('f'), []*Value{v}, nil
	return f
}

// Lacking is true if the chart is complete enough to say that there is no
// usable value: none recorded, or only ones that are too old. It is false if
// the value is known, and unknown if it may exist where we could not look, or
// if it is something else that is missing: a birth date that a formula needs is
// not the value asked for.
func Lacking(v *Value) *Fact {
	f := &Fact{Op: "fact.lacking", Values: []*Value{v}}
	switch {
	case v.State == Known:
		f.State = False
	case v.State == Absent || v.onlyGaps():
		f.State = True
		f.Reasons = v.Why()
	default:
		f.Reasons = v.Why()
		if v.Older != nil {
			f.IfOlder = False
		}
	}
	return f
}

// onlyGaps reports whether all that is wrong is that there is no such value, or
// only ones that are too old.
func (v *Value) onlyGaps() bool {
	return len(v.Reasons) > 0 && !slices.ContainsFunc(v.Reasons,
		func(r Reason) bool { return r.What != v.Name || r.Code != NoData && r.Code != Stale })
}

// Why returns the reasons of a value that is not known; there is always one.
func (v *Value) Why() []Reason {
	if len(v.Reasons) == 0 {
		return []Reason{{Code: NoData, What: v.Name}}
	}
	return v.Reasons
}

// Merge appends the reasons of more that are not in reasons yet, keeping order.
func Merge(reasons, more []Reason) []Reason {
	for _, r := range more {
		if !slices.Contains(reasons, r) {
			reasons = append(reasons[:len(reasons):len(reasons)], r)
		}
	}
	return reasons
}
