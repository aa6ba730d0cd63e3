package fact

import (
	"slices"

	"github.com/cockroachdb/apd/v3"
)

// Operation is an operation of arithmetic on two values.
type Operation string

// The operations that rules may do.
const (
	Add      Operation = "fact.add"
	Subtract Operation = "fact.subtract"
	Multiply Operation = "fact.multiply"
	Divide   Operation = "fact.divide"
)

// exact has more digits than any measurement, half up, the same on every machine.
var exact = apd.Context{Precision: 40, MaxExponent: 4000, MinExponent: -4000, Rounding: apd.RoundHalfUp,
	Traps: apd.DefaultTraps}

// Calculate does an operation by interval arithmetic: the result holds whatever the
// operands may be, rounded half up to some decimals. It is unknown, with the reasons
// of the operands, if one of them is not known; precision-insufficient if a divisor
// may be zero or nothing is known of the result. Units are for the caller.
func Calculate(op Operation, a, b *Value, name, unit string, decimals int32) *Value {
	v := &Value{Name: name, Unit: unit, When: a.When, Evidence: evidenceOf(a, b), More: a.More + b.More}
	if a.State != Known || b.State != Known {
		for _, o := range []*Value{a, b} {
			if o.State != Known {
				v.Reasons = Merge(v.Reasons, o.Why())
			}
		}
		if older := a.orOlder(); older != nil {
			if other := b.orOlder(); other != nil {
				if r := Calculate(op, older, other, name, unit, decimals); r.State == Known {
					v.Older = r
				}
			}
		}
		return v
	}
	var low, high *apd.Decimal
	ok := true
	switch op {
	case Add:
		low, high = sum(a.Low, b.Low), sum(a.High, b.High)
	case Subtract:
		low, high = sum(a.Low, negative(b.High)), sum(a.High, negative(b.Low))
	case Multiply:
		low, high = product(a, b)
	case Divide:
		low, high, ok = quotient(a, b)
	}
	if low, high = rounded(low, decimals), rounded(high, decimals); !ok || low == nil && high == nil {
		v.Reasons = []Reason{{Code: PrecisionInsufficient, What: name}}
		return v
	}
	v.State, v.Low, v.High = Known, low, high
	return v
}

// Round rounds a value half up to some decimals, both ends of an interval.
func Round(v *Value, decimals int32) *Value {
	r := *v
	if v.State == Known {
		r.Low, r.High, r.LowOpen, r.HighOpen = rounded(v.Low, decimals), rounded(v.High, decimals), false, false
	} else if v.Older != nil {
		r.Older = Round(v.Older, decimals)
	}
	return &r
}

// orOlder returns a known value, or its older one; nil if there is neither.
func (v *Value) orOlder() *Value {
	if v.State == Known {
		return v
	}
	return v.Older
}

func evidenceOf(values ...*Value) []Evidence {
	var all Distinct[Evidence]
	for _, v := range values {
		for _, e := range v.Evidence {
			all.Add(e)
		}
	}
	return slices.Clip(all.List)
}

// rounded rounds a bound half up; that keeps the order of numbers, so an interval
// of rounded bounds holds every rounded number.
func rounded(d *apd.Decimal, decimals int32) *apd.Decimal {
	if d == nil {
		return nil
	}
	r := new(apd.Decimal)
	if _, err := exact.Quantize(r, d, -decimals); err != nil {
		return nil // too large to have decimals: nothing is known of this end
	}
	return r
}

func sum(a, b *apd.Decimal) *apd.Decimal {
	if a == nil || b == nil {
		return nil
	}
	r := new(apd.Decimal)
	if _, err := exact.Add(r, a, b); err != nil {
		return nil
	}
	return r
}

func negative(d *apd.Decimal) *apd.Decimal {
	if d == nil {
		return nil
	}
	return new(apd.Decimal).Neg(d)
}

// product is the interval of a product; an end that is open to infinity is so for
// operands that cannot be below zero, and otherwise nothing is known.
func product(a, b *Value) (low, high *apd.Decimal) {
	if a.Low == nil || b.Low == nil || a.High == nil || b.High == nil {
		if a.Low == nil || b.Low == nil || a.Low.Negative || b.Low.Negative {
			return nil, nil
		}
		return times(a.Low, b.Low), nil
	}
	for _, x := range []*apd.Decimal{a.Low, a.High} {
		for _, y := range []*apd.Decimal{b.Low, b.High} {
			p := times(x, y)
			if p == nil {
				return nil, nil
			}
			if low == nil || p.Cmp(low) < 0 {
				low = p
			}
			if high == nil || p.Cmp(high) > 0 {
				high = p
			}
		}
	}
	return low, high
}

func times(a, b *apd.Decimal) *apd.Decimal {
	r := new(apd.Decimal)
	if _, err := exact.Mul(r, a, b); err != nil {
		return nil
	}
	return r
}

// quotient is the interval of a quotient; ok is false if the divisor may be zero or
// less.
func quotient(a, b *Value) (low, high *apd.Decimal, ok bool) {
	if b.Low == nil || b.Low.Sign() <= 0 {
		return nil, nil, false
	}
	over := func(n, most, least *apd.Decimal) *apd.Decimal { // by which a bound becomes outermost
		d := most
		if n == nil {
			return nil
		}
		if n.Negative {
			d = least
		}
		if d == nil { // by whatever is large
			return new(apd.Decimal)
		}
		r := new(apd.Decimal)
		if _, err := exact.Quo(r, n, d); err != nil {
			return nil
		}
		return r
	}
	return over(a.Low, b.High, b.Low), over(a.High, b.Low, b.High), true
}

// Relate compares two values: true if it holds for all numbers they may be, false
// if for none, else unknown.
func Relate(a *Value, c Comparison, b *Value) *Fact {
	f := &Fact{Op: "fact.compare", Label: a.Name + " " + c.Sign() + " " + b.Name, Values: []*Value{a, b}}
	if a.State != Known || b.State != Known {
		for _, v := range f.Values {
			if v.State != Known {
				f.Reasons = Merge(f.Reasons, v.Why())
			}
		}
		if older, other := a.orOlder(), b.orOlder(); older != nil && other != nil {
			f.IfOlder = Relate(older, c, other).State
		}
		return f
	}
	switch c {
	case Less:
		f.State = interval(under(a, b, false), under(b, a, true))
	case LessEqual:
		f.State = interval(under(a, b, true), under(b, a, false))
	case Greater:
		f.State = interval(under(b, a, false), under(a, b, true))
	default:
		f.State = interval(under(b, a, true), under(a, b, false))
	}
	if f.State == Unknown {
		f.Reasons = []Reason{{Code: PrecisionInsufficient, What: a.Name}}
	}
	return f
}

// under reports that every number in a is < every one in b (or <= if orEqual).
func under(a, b *Value, orEqual bool) bool {
	if a.High == nil || b.Low == nil {
		return false
	}
	cmp := a.High.Cmp(b.Low)
	return cmp < 0 || cmp == 0 && (orEqual || a.HighOpen || b.LowOpen)
}
