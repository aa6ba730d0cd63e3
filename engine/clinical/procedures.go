package clinical

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// procedureQuestions ask what was done to a patient.
func procedureQuestions() []Function {
	return []Function{{
		Name: "fhir.procedure",
		Doc: "had a procedure of the set: one that is completed or in progress; " +
			"one that was not done, or is only being prepared, is none",
		Unknown: "procedures are incomplete, without a code of a system that the set has codes of, " +
			"or stopped, on hold or of unknown status",
		Options: []Option{
			{Name: "set", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindProcedure, vocab.KindService},
				Required: true, Doc: "the procedures"},
			{Name: "within", Kind: KindDuration, Param: true, Doc: "only at any time in that window up to now",
				Unknown: "the date is missing or too coarse"},
		},
		Result: typeFact, Reads: []string{"Procedure"}, Attributes: []string{attributeHealth}, Run: procedure,
	}}
}

func (v *view) procedures() []*chart.Resource {
	v.look(attributeHealth, "Procedure")
	return v.of.Resources("Procedure")
}

func procedure(s *Session, c *Call) (*ast.Term, error) {
	set, f := c.set("set"), s.blank()
	f.Label, f.State = set.had, fact.False
	if c.has("within") {
		f.Label += " within " + c.text("within")
	}
	s.findProcedures(f, set, s.window(c))
	return s.newFact(c, s.closeSearch(f, "Procedure"))
}

// findProcedures adds what the procedures of a set say, in a window or, if it is
// nil, at any time.
func (s *Session) findProcedures(f *fact.Fact, set *valueSet, w *window) {
	for _, r := range s.chart.procedures() {
		kind, why := set.match(r)
		if kind == fact.False {
			continue
		}
		p := s.chart.of.Procedure(r)
		var reasons []fact.Reason
		if kind == fact.Unknown {
			reasons = []fact.Reason{{Code: why, What: "procedure"}}
		}
		done, when := s.done(p), w.overlaps(s.lasted(p), "date of procedure")
		if done.state == fact.False || when.state == fact.False {
			continue
		}
		for _, v := range [...]verdict{done, when} {
			if v.state == fact.Unknown {
				reasons = append(reasons, v.reason)
			}
		}
		state := fact.Unknown
		if len(reasons) == 0 {
			state = fact.True
		}
		s.found(f, state, p.Evidence(), reasons...)
	}
}

// done asks whether a procedure was done, by its status.
func (s *Session) done(p *chart.Procedure) verdict {
	switch {
	case p.Status == "not-done" || p.Status == "preparation":
		return no
	case p.Status != "completed" && p.Status != "in-progress": // stopped, on-hold, unknown, or of nobody's list
		return open(fact.WrongStatus, "procedure")
	case p.Start.After(s.chart.now()) == fact.True:
		return open(fact.Implausible, "procedure") // done, and later than now
	}
	return yes
}

// lasting is a stretch of time, each end as far as it is known.
type lasting struct{ start, end dates.Interval }

// lasted is when a procedure was done. One that goes on has lasted until now; what
// began at a time and was completed has ended since.
func (s *Session) lasted(p *chart.Procedure) lasting {
	l := lasting{p.Start, p.End}
	if now := s.chart.now(); !l.end.Known() && l.start.Known() {
		l.end = dates.Interval{From: l.start.From, To: now}
		if p.Status == "in-progress" {
			l.end.From = now
		}
	}
	if !l.start.Known() && l.end.Known() {
		l.start.To = l.end.To
	}
	return l
}
