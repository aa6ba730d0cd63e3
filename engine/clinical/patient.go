package clinical

import (
	"strconv"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/fact"
)

// age returns the completed years of the patient as an interval: one number if
// the birth date is known to the day.
func age(s *Session, c *Call) (*ast.Term, error) {
	return s.newValue(s.age())
}

func (s *Session) age() *fact.Value {
	v := &fact.Value{Name: "age", Unit: "a"}
	p, reasons := s.chart.patient(attributeAge)
	if p == nil {
		for _, r := range reasons {
			v.Reasons = append(v.Reasons, fact.Reason{Code: r.Code, What: "birth date"})
		}
		return v
	}
	birth, now := p.Birth, s.chart.now()
	if birth.From.IsZero() || birth.To.IsZero() {
		v.Reasons = []fact.Reason{{Code: fact.NoData, What: "birth date"}}
		return v
	}
	low, high := completedYears(birth.To, now), completedYears(birth.From, now)
	if birth.From.After(now) || high > 130 {
		v.Reasons = []fact.Reason{{Code: fact.Implausible, What: "birth date"}}
		return v
	}
	low = max(low, 0)
	v.State, v.Low, v.High = fact.Known, apd.New(int64(low), 0), apd.New(int64(high), 0)
	v.Evidence = []fact.Evidence{p.Evidence("age", ageText(low, high))}
	return v
}

func ageText(low, high int) string {
	if low == high {
		return strconv.Itoa(low) + " a"
	}
	return strconv.Itoa(low) + "-" + strconv.Itoa(high) + " a"
}

// completedYears counts birthdays by the calendar. Someone born on 29 February
// turns a year older on 1 March of other years.
func completedYears(birth, now time.Time) int {
	by, bm, bd := birth.Date()
	ny, nm, nd := now.In(birth.Location()).Date()
	years := ny - by
	if nm < bm || nm == bm && nd < bd {
		years--
	}
	return years
}

// sexes returns the sexes the patient may have, for formulas that need one: both
// if it is not known.
func (s *Session) sexes() (female, male bool, evidence []fact.Evidence) {
	p, _ := s.chart.patient(attributeSex)
	if p == nil {
		return true, true, nil
	}
	switch p.Gender {
	case "female":
		return true, false, []fact.Evidence{p.Evidence("sex", p.Gender)}
	case "male":
		return false, true, []fact.Evidence{p.Evidence("sex", p.Gender)}
	default:
		return true, true, nil
	}
}

// found notes one match in a search: a certain one makes the fact true and
// drops what was only possible. Each by itself decides as much as the others do,
// so of many the first are named and the rest counted.
func (s *Session) found(f *fact.Fact, state fact.State, e fact.Evidence, reasons ...fact.Reason) {
	switch {
	case state == fact.True && f.State != fact.True:
		f.State, f.Evidence, f.Reasons, f.More = fact.True, []fact.Evidence{e}, nil, 0
		return
	case f.State == fact.True && state != fact.True:
		return
	case state != fact.True:
		f.State, f.Reasons = fact.Unknown, fact.Merge(f.Reasons, reasons)
	}
	f.Evidence, f.More = fact.Keep(f.Evidence, f.More, e, s.lib.library.bounds.Evidence)
}

// closeSearch turns "nothing found" into unknown where the chart is not
// entitled to say so.
func (s *Session) closeSearch(f *fact.Fact, types ...string) *fact.Fact {
	if f.State == fact.True {
		return f
	}
	if complete, reasons := s.chart.complete(types...); !complete {
		f.State, f.Reasons = fact.Unknown, fact.Merge(f.Reasons, reasons)
	}
	return f
}
