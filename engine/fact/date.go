package fact

import "time"

// Date is a point in time known to lie between From and To, both included, as
// dates of a chart are: "2024" is some instant of that year. A zero bound is
// open: nobody knows how early, or how late. Bounds are in UTC, so that a date has one
// spelling.
type Date struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	Text string    `json:"text,omitempty"` // for people: as sent, or what it was computed to
}

// String returns the date as people read it.
func (d *Date) String() string {
	switch {
	case d.Text != "":
		return d.Text
	case d.From.IsZero() && d.To.IsZero():
		return "unknown"
	case d.From.IsZero():
		return "until " + d.To.Format(time.RFC3339)
	case d.To.IsZero():
		return "from " + d.From.Format(time.RFC3339)
	case d.From.Equal(d.To):
		return d.From.Format(time.RFC3339)
	default:
		return d.From.Format(time.RFC3339) + " to " + d.To.Format(time.RFC3339)
	}
}

// Exact reports whether a known value is a single number or instant.
func (v *Value) Exact() bool {
	if v.Date != nil {
		return !v.Date.From.IsZero() && v.Date.From.Equal(v.Date.To)
	}
	return v.Low != nil && v.High != nil && v.Low.Cmp(v.High) == 0
}

// Before compares two dates: true if a lies before b whatever instants they are,
// false if for none, else unknown (precision-insufficient). A date that is absent or
// unknown yields unknown with its own reasons.
func Before(a, b *Value) *Fact { return order("fact.before", a, b, a, b) }

// After is [Before] with a and b swapped.
func After(a, b *Value) *Fact { return order("fact.after", a, b, b, a) }

// order says whether first lies before second, of two values named in the order a, b.
func order(op string, a, b, first, second *Value) *Fact {
	f := &Fact{Op: op, Values: []*Value{a, b}}
	for _, v := range f.Values {
		if v.State != Known || v.Date == nil {
			f.Reasons = Merge(f.Reasons, v.Why())
		}
	}
	if len(f.Reasons) > 0 {
		return f
	}
	x, y := first.Date, second.Date
	f.State = interval(!x.To.IsZero() && !y.From.IsZero() && x.To.Before(y.From),
		!x.From.IsZero() && !y.To.IsZero() && !x.From.Before(y.To))
	if f.State == Unknown {
		for _, v := range f.Values {
			if !v.Exact() {
				f.Reasons = Merge(f.Reasons, []Reason{{Code: PrecisionInsufficient, What: v.Name}})
			}
		}
	}
	return f
}

// During is true if d lies in the period from, to, both included: not before the
// one and not after the other.
func During(d, from, to *Value) *Fact {
	f := All(Not(Before(d, from)), Not(After(d, to)))
	f.Op, f.Values, f.Of = "fact.during", []*Value{d, from, to}, nil
	return f
}

// Overlap is true if two periods have an instant in common: neither ends before the
// other begins. Their ends are included.
func Overlap(aFrom, aTo, bFrom, bTo *Value) *Fact {
	f := All(Not(Before(aTo, bFrom)), Not(Before(bTo, aFrom)))
	f.Op, f.Values, f.Of = "fact.overlap", []*Value{aFrom, aTo, bFrom, bTo}, nil
	return f
}
