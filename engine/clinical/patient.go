package clinical

import (
	"github.com/precept-cds/precept/engine/fact"
)

// sexes returns the sexes the patient may have, for formulas that need one: both
// if it is not known.
func (s *Session) sexes() (female, male bool, evidence []fact.Evidence) {
	p, _ := s.chart.patient(attributeSex)
	if p == nil {
		return true, true, nil
	}
	switch sex, _ := p.Sex(); sex {
	case "female":
		return true, false, []fact.Evidence{p.Evidence("sex", sex)}
	case "male":
		return false, true, []fact.Evidence{p.Evidence("sex", sex)}
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
		f.Evidence, f.More = s.chart.leftOut(f.Evidence, f.More, s.lib.library.bounds.Evidence, types...)
	}
	return f
}
