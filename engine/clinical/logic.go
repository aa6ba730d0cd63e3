package clinical

import (
	"fmt"

	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/fact"
)

func all(s *Session, c *call, a []*ast.Term) (*ast.Term, error) {
	of, err := s.factList(a[0])
	if err != nil {
		return nil, err
	}
	return s.newFact(c, fact.All(of...)), nil
}

func anyOf(s *Session, c *call, a []*ast.Term) (*ast.Term, error) {
	of, err := s.factList(a[0])
	if err != nil {
		return nil, err
	}
	return s.newFact(c, fact.Any(of...)), nil
}

func not(s *Session, c *call, a []*ast.Term) (*ast.Term, error) {
	f, err := s.fact(a[0])
	if err != nil {
		return nil, err
	}
	return s.newFact(c, fact.Not(f)), nil
}

func countAtLeast(s *Session, c *call, a []*ast.Term) (*ast.Term, error) {
	n, ok := a[0].Value.(ast.Number)
	count, whole := n.Int()
	if !ok || !whole || count < 1 {
		return nil, fmt.Errorf("want a whole number of at least 1")
	}
	of, err := s.factList(a[1])
	if err != nil {
		return nil, err
	}
	f := fact.AtLeast(count, of...)
	f.Limit = n.String()
	return s.newFact(c, f), nil
}

// named wraps the fact rather than renaming it: a fact may stand in several
// places under several names.
func named(s *Session, c *call, a []*ast.Term) (*ast.Term, error) {
	f, err := s.fact(a[1])
	if err != nil {
		return nil, err
	}
	label, err := str(a[0])
	if err != nil {
		return nil, err
	}
	n := s.blank()
	n.State, n.Label, n.Reasons, n.Of = f.State, s.translate(label), f.Reasons, []*fact.Fact{f}
	return s.newFact(c, n), nil
}

func compare(op fact.Comparison) impl {
	return func(s *Session, c *call, a []*ast.Term) (*ast.Term, error) {
		v, err := s.value(a[0])
		if err != nil {
			return nil, err
		}
		limit, err := number(a[1])
		if err != nil {
			return nil, err
		}
		return s.newFact(c, fact.Compare(v, op, limit)), nil
	}
}

func within(s *Session, c *call, a []*ast.Term) (*ast.Term, error) {
	v, err := s.value(a[0])
	if err != nil {
		return nil, err
	}
	low, err := number(a[1])
	if err != nil {
		return nil, err
	}
	high, err := number(a[2])
	if err != nil {
		return nil, err
	}
	if low.Cmp(high) >= 0 {
		return nil, fmt.Errorf("the lower limit must be below the upper one")
	}
	return s.newFact(c, fact.Within(v, low, high)), nil
}

func lacking(s *Session, c *call, a []*ast.Term) (*ast.Term, error) {
	v, err := s.value(a[0])
	if err != nil {
		return nil, err
	}
	return s.newFact(c, fact.Lacking(v)), nil
}

func is(s *Session, _ *call, a []*ast.Term) (*ast.Term, error) {
	f, err := s.fact(a[0])
	if err != nil {
		return nil, err
	}
	word, err := str(a[1])
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

func param(s *Session, _ *call, a []*ast.Term) (*ast.Term, error) {
	name, err := str(a[0])
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

func number(t *ast.Term) (*apd.Decimal, error) {
	n, ok := t.Value.(ast.Number)
	if !ok {
		return nil, fmt.Errorf("want a number, have %s", ast.ValueName(t.Value))
	}
	d, _, err := apd.NewFromString(string(n))
	if err != nil {
		return nil, fmt.Errorf("reading number: %w", err)
	}
	return d, nil
}

// options reads the members of an options object.
type options struct{ obj ast.Object }

func opts(t *ast.Term) (options, error) {
	obj, ok := t.Value.(ast.Object)
	if !ok {
		return options{}, fmt.Errorf("want an options object, have %s", ast.ValueName(t.Value))
	}
	return options{obj}, nil
}

// aboutSet reads options that name a value set of the pack.
func (s *Session) aboutSet(t *ast.Term) (options, *valueSet, error) {
	o, err := opts(t)
	if err != nil {
		return o, nil, err
	}
	id, err := o.str(optSet, true)
	if err != nil {
		return o, nil, err
	}
	set, err := s.pack.set(id)
	return o, set, err
}

func (o options) str(key *ast.Term, required bool) (string, error) {
	t := o.obj.Get(key)
	if t == nil {
		if required {
			return "", fmt.Errorf("option %s is required", key)
		}
		return "", nil
	}
	v, err := str(t)
	if err != nil || v == "" {
		return "", fmt.Errorf("option %s must be a string that is not empty", key)
	}
	return v, nil
}

func (o options) flag(key *ast.Term, or bool) (bool, error) {
	t := o.obj.Get(key)
	if t == nil {
		return or, nil
	}
	v, ok := t.Value.(ast.Boolean)
	if !ok {
		return false, fmt.Errorf("option %s must be true or false", key)
	}
	return bool(v), nil
}

// The names of options, made once.
var (
	optSet      = ast.StringTerm("set")
	optUnit     = ast.StringTerm("unit")
	optMaxAge   = ast.StringTerm("max_age")
	optWithin   = ast.StringTerm("within")
	optBy       = ast.StringTerm("by")
	optOther    = ast.StringTerm("other_ingredient")
	optSystemic = ast.StringTerm("systemic")
	optDrafts   = ast.StringTerm("drafts")
	optEver     = ast.StringTerm("ever")
	optSystem   = ast.StringTerm("system")
	optCode     = ast.StringTerm("code")
	optDisplay  = ast.StringTerm("display")
	optLabel    = ast.StringTerm("label")
)
