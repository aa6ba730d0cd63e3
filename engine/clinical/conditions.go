package clinical

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// conditionQuestions ask which conditions a patient has, or had.
func conditionQuestions() []Function {
	return []Function{{
		Name: "fhir.condition",
		Doc: "has a condition of the set: active, a recurrence or a relapse, or one whose status is not given; " +
			"refuted ones and those entered in error never count",
		Unknown: "conditions are incomplete, without a code of a system that the set has codes of, " +
			"not confirmed (see `strength`), or their status contradicts their dates",
		Options: []Option{
			{Name: "set", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindCondition}, Required: true,
				Doc: "the conditions"},
			{Name: "ever", Kind: KindFlag, Param: true, Doc: "had one at any time"},
			{Name: "strength", Kind: KindEnum, Words: []string{"confirmed", "probable", "any"}, Param: true,
				Doc: "which verification status is enough: only `confirmed`; `probable`, also provisional or none " +
					"given; `any`, whatever is not refuted. Without it confirmed or none given"},
			{Name: "category", Kind: KindEnum, Words: []string{"problem-list-item", "encounter-diagnosis"}, Param: true,
				Doc: "only conditions of that category", Unknown: "one of the set has no category"},
			{Name: "within", Kind: KindDuration, Param: true,
				Doc:     "only those that began, or else were first recorded, in that window up to now",
				Unknown: "the date is missing or too coarse"},
		},
		Result: typeFact, Reads: []string{"Condition"}, Attributes: []string{attributeHealth}, Run: condition,
	}}
}

// conditionQuery is what is asked about conditions.
type conditionQuery struct {
	ever     bool
	strength string
	category string
	window   *window // nil for any time
}

// condition asks whether the patient has a condition of a value set now, or
// with ever: true at any time. Refuted ones and those entered in error never
// count; unconfirmed ones leave the answer open.
func condition(s *Session, c *Call) (*ast.Term, error) {
	set := c.set("set")
	q := conditionQuery{ever: c.flag("ever"), strength: c.text("strength"), category: c.text("category"),
		window: s.window(c)}
	f := s.blank()
	if f.Label, f.State = set.has, fact.False; q.ever {
		f.Label = set.everHad
	}
	if q.window != nil {
		f.Label += " since " + q.window.from.Format("2006-01-02")
	}
	for _, r := range s.chart.conditions() {
		if kind, why := set.match(r); kind != fact.False {
			s.weighCondition(f, s.chart.condition(r), kind, why, q)
		}
	}
	return s.newFact(c, s.closeSearch(f, "Condition"))
}

// match asks whether a resource is about something of the set, by any of its
// codings. It is not only if it has a code of a system that the set has codes
// of: what is coded elsewhere, or not at all, may be the very thing. Why says
// what is wrong with its codes then.
func (v *valueSet) match(r *chart.Resource) (state fact.State, why fact.Code) {
	return v.matchCodings(r.Codings, r.Text)
}

func (v *valueSet) matchCodings(codings []chart.Coding, text string) (state fact.State, why fact.Code) {
	known := false
	for _, c := range codings {
		if v.Has(c.System, c.Code) {
			return fact.True, ""
		}
		known = known || slices.Contains(v.systems, c.System) && wellFormed(c) || c == noKnownProblems
	}
	switch {
	case known:
		return fact.False, ""
	case len(codings) == 0 && text != "":
		return fact.Unknown, fact.TextOnly
	default:
		return fact.Unknown, fact.UnknownCode
	}
}

// noKnownProblems is how the International Patient Summary says that there is
// nothing to list: it is coded, and it is no condition.
var noKnownProblems = chart.Coding{System: "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips",
	Code: "no-known-problems"}

// wellFormed reports whether a code can be one of its system: what is spelt
// otherwise (with blanks, an expression, ICD-10-CM without its point) is not
// known to be something else.
func wellFormed(c chart.Coding) bool {
	digit := func(b byte) bool { return '0' <= b && b <= '9' }
	alphanumeric := func(b byte) bool { return digit(b) || 'A' <= b && b <= 'Z' }
	all := func(s string, is func(byte) bool) bool {
		for i := range len(s) {
			if !is(s[i]) {
				return false
			}
		}
		return s != ""
	}
	switch code := c.Code; c.System {
	case chart.SNOMED, chart.RxNorm, chart.CVX:
		return all(code, digit)
	case chart.ICD10CM:
		return len(code) == 3 && all(code, alphanumeric) ||
			len(code) > 4 && code[3] == '.' && all(code[:3], alphanumeric) && all(code[4:], alphanumeric)
	default:
		return all(code, func(b byte) bool { return b > ' ' })
	}
}

// weighCondition adds what one condition says.
func (s *Session) weighCondition(f *fact.Fact, d *chart.Condition, matches fact.State, why fact.Code,
	q conditionQuery) {
	var reasons []fact.Reason
	if matches == fact.Unknown {
		reasons = []fact.Reason{{Code: why, What: "condition"}}
	}
	for _, v := range [...]verdict{q.verified(d), s.present(d, q.ever), q.ofCategory(d), q.window.holds(began(d))} {
		switch v.state {
		case fact.False:
			return
		case fact.Unknown:
			reasons = append(reasons, v.reason)
		}
	}
	if len(reasons) > 0 {
		s.found(f, fact.Unknown, d.Evidence(), reasons...)
		return
	}
	s.found(f, fact.True, d.Evidence())
}

// verdict is the answer to one of the questions that decide whether something
// counts, and why it is open.
type verdict struct {
	state  fact.State
	reason fact.Reason
}

var yes, no = verdict{state: fact.True}, verdict{state: fact.False}

func open(code fact.Code, what string) verdict {
	return verdict{reason: fact.Reason{Code: code, What: what}}
}

// verified asks whether a condition is as certain as wanted.
func (q conditionQuery) verified(d *chart.Condition) verdict {
	enough := false
	switch d.Verification {
	case "refuted", "entered-in-error":
		return no
	case chart.Unreadable: // it may be either
		return open(fact.WrongStatus, "condition")
	case "confirmed":
		enough = true
	case "":
		enough = q.strength != "confirmed"
	case "provisional":
		enough = q.strength == "probable" || q.strength == "any"
	case "differential", "unconfirmed":
		enough = q.strength == "any"
	default: // of nobody's list: it may be refuted
	}
	if !enough {
		return open(fact.WrongStatus, "condition")
	}
	return yes
}

// present asks whether a condition is there now. Status and dates that contradict
// each other leave it open.
func (s *Session) present(d *chart.Condition, ever bool) verdict {
	now := s.chart.now()
	if d.Onset.After(now) == fact.True {
		return open(fact.Implausible, "condition") // not begun yet
	}
	if ever {
		return yes
	}
	over := d.Abated && d.Abatement.After(now) != fact.True // or it is to end some day
	lasts := d.Abated && !over
	switch d.Clinical {
	case "active", "recurrence", "relapse":
		if over {
			return open(fact.Ambiguous, "condition")
		}
		return yes
	case "inactive", "remission", "resolved":
		if lasts || d.Clinical == "resolved" && d.JSON.Get("abatementBoolean") == "false" {
			return open(fact.Ambiguous, "condition")
		}
		return no
	}
	switch {
	case over:
		return no
	case d.Clinical == "":
		return yes
	default: // unknown, as in R5, or of nobody's list
		return open(fact.WrongStatus, "condition")
	}
}

// categorySystems are the code systems in which versions of FHIR and US Core
// tell problem lists from diagnoses of an encounter.
var categorySystems = []string{"http://terminology.hl7.org/CodeSystem/condition-category",
	"http://hl7.org/fhir/condition-category", "http://hl7.org/fhir/us/core/CodeSystem/condition-category"}

// ofCategory asks whether a condition is of the category wanted.
func (q conditionQuery) ofCategory(d *chart.Condition) verdict {
	if q.category == "" {
		return yes
	}
	other := false
	for _, c := range d.Category {
		if slices.Contains(categorySystems, c.System) {
			if c.Code == q.category {
				return yes
			}
			other = true
		}
	}
	if other {
		return no
	}
	return open(fact.UnknownCode, "category of condition")
}
