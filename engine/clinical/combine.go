package clinical

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/fact"
)

// combinations make one answer of several.
func combinations() []Function {
	points := Argument{"points", typePoints}
	const first = "the first that is known, with the reasons of those before it; " +
		"a later one never stands in for one that may be newer: see Unknown"
	const unknown = "none is known and not all are absent; or one before is unknown for another reason than that " +
		"there is none, only old ones, or that the method does not hold for the patient"
	return []Function{
		{
			Name: "fact.coalesce", Doc: first, Unknown: unknown, Absent: "all are", Args: []Argument{{"values",
				typeValues}},
			Result: typeValue, Reads: None(), Attributes: None(), Run: coalesce,
		},
		{
			Name: "fact.coalesce_dates", Doc: first, Unknown: unknown, Absent: "all are",
			Args: []Argument{{"dates", typeDates}}, Result: typeDate, Reads: None(), Attributes: None(),
			Run: coalesceDates,
		},
		{
			Name:    "fact.score",
			Doc:     "the points of all facts that are true; an interval over those that are unknown",
			Unknown: "there are no facts", Args: []Argument{{"words", typeLabel}, points}, Result: typeValue,
			Reads: None(), Attributes: None(), Run: score,
		},
		{
			Name: "fact.score_at_least", Doc: "the points of all facts that are true are n or more",
			Unknown: "what is unknown could change it", Args: []Argument{{"n", typeNumber}, points}, Result: typeFact,
			Reads: None(), Attributes: None(), Run: scoreAtLeast,
		},
		{
			Name: "fact.need",
			Doc: "what is missing to answer facts that are unknown, in words and each once, in the language of the call; " +
				"empty if nothing is",
			Args: []Argument{{"facts", typeFacts}}, Result: typeString, CardsOnly: true,
			Reads: None(), Attributes: None(), Run: need,
		},
	}
}

// listOf reads the elements of argument i, an array.
func listOf[T any](s *Session, c *Call, i int, read func(*ast.Term) (T, error)) ([]T, error) {
	of, ok := c.elements(i)
	if !ok {
		return nil, fmt.Errorf("want an array")
	}
	if err := s.useCost(of.len()); err != nil {
		return nil, err
	}
	list := make([]T, of.len())
	for i := range list {
		var err error
		if list[i], err = read(of.at(i)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *Session) coalesced(c *Call, read func(*ast.Term) (*fact.Value, error)) (*fact.Value, error) {
	list, err := listOf(s, c, 0, read)
	if err != nil {
		return nil, err
	}
	for _, v := range list {
		if err := s.useCost(len(v.Reasons) + len(v.Evidence)); err != nil {
			return nil, err
		}
	}
	v, err := fact.Coalesce(list...)
	if err != nil {
		return nil, fmt.Errorf("taking the first known value: %w; ask for all in one unit", err)
	}
	return s.capped(v), nil
}

// capped keeps as much evidence as a value may name.
func (s *Session) capped(v *fact.Value) *fact.Value {
	if most := s.lib.library.bounds.Evidence; len(v.Evidence) > most {
		v.More += len(v.Evidence) - most
		v.Evidence = v.Evidence[:most:most]
	}
	return v
}

func coalesce(s *Session, c *Call) (*ast.Term, error) {
	v, err := s.coalesced(c, s.value)
	if err != nil {
		return nil, err
	}
	return s.newValue(v)
}

func coalesceDates(s *Session, c *Call) (*ast.Term, error) {
	v, err := s.coalesced(c, s.date)
	if err != nil {
		return nil, err
	}
	return s.newDate(v)
}

// weighted reads pairs of points and a fact.
func (s *Session) weighted(c *Call, i int) ([]fact.Weighted, error) {
	return listOf(s, c, i, func(t *ast.Term) (w fact.Weighted, err error) {
		pair, ok := t.Value.(*ast.Array)
		if !ok || pair.Len() != 2 {
			return w, fmt.Errorf("want pairs of points and a fact")
		}
		if w.Points, err = s.number(pair.Elem(0)); err != nil {
			return w, err
		}
		if w.Fact, err = s.fact(pair.Elem(1)); err != nil {
			return w, err
		}
		return w, s.useCost(1 + len(w.Fact.Reasons))
	})
}

func score(s *Session, c *Call) (*ast.Term, error) {
	label, err := str(c.args[0])
	if err != nil {
		return nil, err
	}
	of, err := s.weighted(c, 1)
	if err != nil {
		return nil, err
	}
	for _, w := range of {
		facts := 0
		w.Fact.Walk(func(*fact.Fact) { facts++ })
		if err := s.useCost(facts); err != nil {
			return nil, err
		}
	}
	v, err := fact.Score(of...)
	if err != nil {
		return nil, fmt.Errorf("adding points: %w", err)
	}
	v.Name, v.Unit = s.translate(label), ""
	return s.newValue(s.capped(v))
}

func scoreAtLeast(s *Session, c *Call) (*ast.Term, error) {
	n, err := s.number(c.args[0])
	if err != nil {
		return nil, err
	}
	of, err := s.weighted(c, 1)
	if err != nil {
		return nil, err
	}
	f, err := fact.ScoreAtLeast(n, of...)
	if err != nil {
		return nil, fmt.Errorf("adding points: %w", err)
	}
	return s.newFact(c, f)
}

func need(s *Session, c *Call) (*ast.Term, error) {
	facts, err := s.factList(c, 0)
	if err != nil {
		return nil, err
	}
	var missing fact.Distinct[string]
	for _, f := range facts {
		s.mentioned = append(s.mentioned, f)
		if f.State != fact.Unknown {
			continue
		}
		for _, r := range f.Reasons {
			missing.Add(Plain(ReasonText(s.language, r)))
		}
	}
	text := strings.Join(missing.List, "; ")
	if most := s.lib.library.bounds.Value; len(text)/textPart >= most {
		return nil, s.exceed("value", most, "parts of one value", s.at())
	}
	return ast.StringTerm(text), s.useText(len(text))
}
