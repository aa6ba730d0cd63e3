package clinical

import (
	"fmt"

	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/fact"
)

func all(s *Session, c *Call) (*ast.Term, error) {
	of, err := s.factList(c, 0)
	if err != nil {
		return nil, err
	}
	return s.newFact(c, fact.All(of...))
}

func anyOf(s *Session, c *Call) (*ast.Term, error) {
	of, err := s.factList(c, 0)
	if err != nil {
		return nil, err
	}
	return s.newFact(c, fact.Any(of...))
}

func not(s *Session, c *Call) (*ast.Term, error) {
	f, err := s.fact(c.args[0])
	if err != nil {
		return nil, err
	}
	return s.newFact(c, fact.Not(f))
}

func countAtLeast(s *Session, c *Call) (*ast.Term, error) {
	n, ok := c.args[0].Value.(ast.Number)
	count, whole := n.Int()
	if !ok || !whole || count < 1 {
		return nil, fmt.Errorf("want a whole number of at least 1")
	}
	of, err := s.factList(c, 1)
	if err != nil {
		return nil, err
	}
	f := fact.AtLeast(count, of...)
	f.Limit = n.String()
	return s.newFact(c, f)
}

// named wraps the fact rather than renaming it: a fact may stand in several
// places under several names.
func named(s *Session, c *Call) (*ast.Term, error) {
	f, err := s.fact(c.args[1])
	if err != nil {
		return nil, err
	}
	label, err := str(c.args[0])
	if err != nil {
		return nil, err
	}
	n := s.blank()
	n.State, n.IfOlder, n.Label, n.Reasons, n.Of = f.State, f.IfOlder, s.translate(label), f.Reasons, []*fact.Fact{f}
	return s.newFact(c, n)
}

func compare(op fact.Comparison) implementation {
	return func(s *Session, c *Call) (*ast.Term, error) {
		v, err := s.value(c.args[0])
		if err != nil {
			return nil, err
		}
		limit, err := s.number(c.args[1])
		if err != nil {
			return nil, err
		}
		return s.newFact(c, fact.Compare(v, op, limit))
	}
}

func within(s *Session, c *Call) (*ast.Term, error) {
	v, err := s.value(c.args[0])
	if err != nil {
		return nil, err
	}
	low, err := s.number(c.args[1])
	if err != nil {
		return nil, err
	}
	high, err := s.number(c.args[2])
	if err != nil {
		return nil, err
	}
	if low.Cmp(high) >= 0 {
		return nil, fmt.Errorf("the lower limit must be below the upper one")
	}
	return s.newFact(c, fact.Within(v, low, high))
}

func lacking(s *Session, c *Call) (*ast.Term, error) {
	v, err := s.valueOrDate(c.args[0])
	if err != nil {
		return nil, err
	}
	return s.newFact(c, fact.Lacking(v))
}

func is(s *Session, c *Call) (*ast.Term, error) {
	f, err := s.fact(c.args[0])
	if err != nil {
		return nil, err
	}
	word, err := str(c.args[1])
	if err != nil {
		return nil, err
	}
	var want fact.State
	if err := want.UnmarshalText([]byte(word)); err != nil {
		return nil, err
	}
	s.mentioned = append(s.mentioned, f)
	return ast.InternedTerm(f.State == want), nil
}

func param(s *Session, c *Call) (*ast.Term, error) {
	name, err := str(c.args[0])
	if err != nil {
		return nil, err
	}
	t, ok := s.pack.params[name]
	if !ok {
		return nil, fmt.Errorf("the pack declares no parameter %q; add it to pack.yaml", name)
	}
	return t, nil
}

func str(t *ast.Term) (string, error) {
	v, ok := t.Value.(ast.String)
	if !ok {
		return "", fmt.Errorf("want a string, have %s", ast.ValueName(t.Value))
	}
	return string(v), nil
}

func (s *Session) number(t *ast.Term) (*apd.Decimal, error) {
	n, ok := t.Value.(ast.Number)
	if !ok {
		return nil, fmt.Errorf("want a number, have %s", ast.ValueName(t.Value))
	}
	if most := s.lib.library.bounds.Digits; digits(n) > most {
		return nil, s.exceed("digits", most, "digits of a number", s.at())
	}
	d, _, err := apd.NewFromString(string(n))
	if err != nil {
		return nil, fmt.Errorf("reading number: %w", err)
	}
	return d, nil
}
