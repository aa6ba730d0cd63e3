package decide

import (
	"strings"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
)

// Explain says why a decision is what it is. It is read off the record alone and
// needs neither packs nor the patient's chart.
func Explain(in *decision.Inputs, d *decision.Decision) *decision.Explanation {
	e := &decision.Explanation{RecordID: in.RecordID, Time: in.Time, Zone: in.Zone, Hook: in.Hook, Service: in.Service,
		Client: in.Client, Dialect: in.Dialect, Arm: in.Arm, Engine: in.Engine, Release: in.Release, Policy: in.Policy,
		Sources: in.Sources, Earlier: in.Earlier, Notes: d.Notes,
		Findings: make([]decision.ExplainedFinding, len(d.Findings))}
	for i := range d.Findings {
		e.Findings[i] = explainFinding(in, &d.Findings[i])
	}
	return e
}

func explainFinding(in *decision.Inputs, f *decision.Finding) decision.ExplainedFinding {
	x := decision.ExplainedFinding{Rule: f.Rule, Version: f.Version, Subject: f.Subject, Outcome: f.Outcome,
		Severity: f.Severity, Card: f.Card, Hidden: f.Hidden, Error: f.Error, Cut: f.Cut}
	if f.Hidden != nil {
		x.NotShown = f.Hidden.String()
	}
	if f.Outcome == decision.WasCut {
		x.NotEvaluated = cutText(in, f)
	}
	if f.Fact == nil {
		return x
	}
	if f.Outcome == decision.NotFired {
		for _, miss := range deciding(f.Fact) {
			if len(x.Misses) == maxMisses { // the facts themselves tell the others
				break
			}
			x.Misses = append(x.Misses, factText(miss)+found(miss))
		}
	}
	p := f.Places()
	x.Fact, x.Also = &p.FactsAt(f.Fact)[0], p.FactsAt(f.Also...)
	for _, f := range p.Facts.List {
		x.Facts = append(x.Facts, explainFact(f, p))
	}
	for _, v := range p.Values.List {
		text := valueLine(v)
		if v.Older != nil {
			text += "; the last that can be used: " + valueLine(v.Older)
		}
		x.Values = append(x.Values, decision.ExplainedValue{Text: text, At: v.At, Reasons: reasons(v.Reasons)})
	}
	return x
}

func explainFact(f *fact.Fact, p *decision.Places) decision.ExplainedFact {
	x := decision.ExplainedFact{State: f.State, Text: factText(f), At: f.At, Values: p.ValuesAt(f.Values...),
		Of: p.FactsAt(f.Of...)}
	for _, e := range f.Evidence {
		x.Evidence = append(x.Evidence, evidenceLine(e))
	}
	if len(f.Of) == 0 && len(f.Values) == 0 { // else what it is made of says why
		x.Reasons = reasons(f.Reasons)
	}
	return x
}

func reasons(list []fact.Reason) []decision.ExplainedReason {
	var out []decision.ExplainedReason
	for _, r := range list {
		out = append(out, decision.ExplainedReason{Code: r.Code, Text: clinical.ReasonText("en", r)})
	}
	return out
}

// cutText says why a pair was not evaluated.
func cutText(in *decision.Inputs, f *decision.Finding) string {
	switch f.Cut {
	case decision.CutSuspension:
		return "the rule is out of service"
	case decision.CutDeadline:
		return "the time for the whole call was used up"
	case decision.CutLimit:
		return "the rule used up its own time"
	case decision.CutRanOn:
		return "the rule did not end when its time was used up, and was left behind"
	case decision.CutNotRun:
		for _, p := range in.Release.Packs {
			if strings.HasPrefix(f.Rule, p.Name+"/") {
				return "the node could not run pack " + p.Name + ": " + p.Why.String()
			}
		}
	}
	return "the record does not say why"
}

// found says what a fact that was false found instead.
func found(f *fact.Fact) string {
	var list fact.Distinct[string]
	f.Walk(func(x *fact.Fact) {
		for _, v := range x.Values {
			if v.State == fact.Known {
				list.Add(clinical.Plain(v.Name) + " was " + v.String())
			}
		}
	})
	if len(list.List) == 0 {
		return ""
	}
	return " (" + strings.Join(list.List, ", ") + ")"
}

// deciding returns the false facts that keep f from being true: the near miss,
// if there is only one. A fact that the rule's author named is said by its name.
func deciding(f *fact.Fact) (out []*fact.Fact) {
	var met fact.Distinct[*fact.Fact]
	var look func(*fact.Fact)
	look = func(f *fact.Fact) {
		switch {
		case !met.Add(f):
		case len(f.Of) == 0 || f.Label != "" || f.Op == "fact.negate" || f.Op == "fact.lacking":
			out = append(out, f)
		default:
			for _, o := range f.Of {
				if o.State == fact.False {
					look(o)
				}
			}
		}
	}
	look(f)
	return out
}

// maxMisses is how many facts that were not so are told apart from the others.
const maxMisses = 100

// factText says in words what a fact asks.
func factText(f *fact.Fact) string {
	not := ""
	for ; f.Label == "" && f.Op == "fact.negate" && len(f.Of) == 1; f = f.Of[0] {
		if len(not) < maxNots {
			not += "not: "
		}
	}
	return not + asked(f)
}

// maxNots bounds the text of a fact negated again and again.
const maxNots = len("not: ") * 8

func asked(f *fact.Fact) string {
	if f.Label != "" {
		return clinical.Plain(f.Label)
	}
	switch f.Op {
	case "fact.all":
		return "all of"
	case "fact.any":
		return "at least one of"
	case "fact.negate":
		return "not"
	case "fact.count_at_least":
		return "at least " + f.Limit + " of"
	case "fact.score_at_least":
		return "at least " + f.Limit + " points of"
	case "fact.lacking":
		return "there is no usable " + valueName(f)
	case "fact.before":
		return names(f, " before ")
	case "fact.after":
		return names(f, " after ")
	case "fact.during":
		return names(f, " in the period from ", " to ")
	case "fact.overlap":
		return "the period from " + names(f, " to ", " overlaps that from ", " to ")
	case "fact.within":
		return valueName(f) + " within " + f.Limit
	case string(fact.Less), string(fact.LessEqual), string(fact.Greater), string(fact.GreaterEqual):
		return valueName(f) + " " + fact.Comparison(f.Op).Sign() + " " + f.Limit
	}
	return f.Op
}

// names writes the names of the values compared, with what stands between them.
func names(f *fact.Fact, between ...string) string {
	var b strings.Builder
	for i, v := range f.Values {
		if i > 0 && i <= len(between) {
			b.WriteString(between[i-1])
		}
		b.WriteString(clinical.Plain(v.Name))
	}
	return b.String()
}

func valueName(f *fact.Fact) string {
	if len(f.Values) == 0 {
		return "value"
	}
	return clinical.Plain(f.Values[0].Name)
}
