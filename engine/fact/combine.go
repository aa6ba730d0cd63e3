package fact

import (
	"errors"
	"slices"

	"github.com/cockroachdb/apd/v3"
)

// ErrUnits means that values of different units were offered for one another.
var ErrUnits = errors.New("the values have different units")

// Coalesce returns the first of several values that is known, with the reasons of those
// before it. One of them that is unknown ends the search, and the answer is unknown,
// unless all that is wrong with it is that there is none, only ones that are too old, or
// that its method does not hold for the patient: for any other reason (a source that did
// not come whole, a newest result that cannot be used) it may be what is newest and
// right, and a later value must not stand in for it. If none is known the answer is
// absent if all are, else unknown. The error is [ErrUnits].
func Coalesce(values ...*Value) (*Value, error) {
	answer := &Value{State: Absent}
	if len(values) == 0 {
		answer.State, answer.Reasons = PresenceUnknown, []Reason{{Code: NotApplicable, What: "no conditions given"}}
		return answer, nil
	}
	answer.Name, answer.Unit = values[0].Name, values[0].Unit
	for _, v := range values {
		if v.Unit != answer.Unit && v.Date == nil {
			return nil, ErrUnits
		}
	}
	for _, v := range values {
		answer.Reasons = Merge(answer.Reasons, v.Reasons)
		if v.State == Known {
			known := *v
			known.Reasons = answer.Reasons
			return &known, nil
		}
		answer.Evidence, answer.More = append(answer.Evidence, v.Evidence...), answer.More+v.More
		if v.State == PresenceUnknown {
			answer.State = PresenceUnknown
			if hides(v) {
				return answer, nil
			}
		}
	}
	return answer, nil
}

// hides reports whether an unknown value may be what is newest and right.
func hides(v *Value) bool {
	return len(v.Reasons) == 0 || slices.ContainsFunc(v.Reasons,
		func(r Reason) bool { return r.Code != NoData && r.Code != Stale && r.Code != NotApplicable })
}

// sums is the arithmetic of scores.
var sums = apd.Context{Precision: 1000, MaxExponent: 1000, MinExponent: -1000, Rounding: apd.RoundHalfUp,
	Traps: apd.DefaultTraps}

// Weighted is the points of a fact in a score.
type Weighted struct {
	Points *apd.Decimal
	Fact   *Fact
}

// Score adds the points of all facts that are true. A fact that is unknown counts as
// none and as its points, so the score is an interval then, with its reasons. A score of
// nothing is unknown. The error is one of arithmetic: numbers too large.
func Score(of ...Weighted) (*Value, error) {
	v := &Value{State: Known, Low: apd.New(0, 0), High: apd.New(0, 0)}
	if len(of) == 0 {
		v.State, v.Low, v.High, v.Reasons = PresenceUnknown, nil, nil, []Reason{{Code: NotApplicable,
			What: "no conditions given"}}
	}
	var evidence Distinct[Evidence]
	for _, w := range of {
		low, high := w.Points, w.Points
		switch {
		case w.Fact.State == False:
			continue
		case w.Fact.State == Unknown && w.Points.Negative:
			high = apd.New(0, 0)
		case w.Fact.State == Unknown:
			low = apd.New(0, 0)
		}
		if w.Fact.State == Unknown {
			v.Reasons = Merge(v.Reasons, w.Fact.Reasons)
		}
		list, more := w.Fact.Gather()
		for _, e := range list {
			evidence.Add(e)
		}
		v.More += more
		for _, add := range []struct{ to, x *apd.Decimal }{{v.Low, low}, {v.High, high}} {
			if _, err := sums.Add(add.to, add.to, add.x); err != nil {
				return nil, err
			}
		}
	}
	v.Evidence = evidence.List
	return v, nil
}

// ScoreAtLeast says whether a score reaches a limit: true or false if what is unknown
// cannot change it. The error is that of [Score].
func ScoreAtLeast(limit *apd.Decimal, of ...Weighted) (*Fact, error) {
	score, err := Score(of...)
	if err != nil {
		return nil, err
	}
	f := Compare(score, GreaterEqual, limit)
	f.Op, f.Values = "fact.score_at_least", nil
	if f.State == Unknown {
		f.Reasons = score.Why()
	}
	for _, w := range of {
		f.Of = append(f.Of, w.Fact)
	}
	return f, nil
}
