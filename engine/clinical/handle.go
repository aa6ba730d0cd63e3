package clinical

import (
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
)

// Rules never see the chart. What a built-in returns is a handle, an object
// with one number in it that names an entry of the session; the declared type
// of each kind of handle is closed, so that a rule which mistakes one for
// another, or reads a member that does not exist, does not compile.

var (
	factType  = handleType("fact")
	valueType = handleType("value")
	dateType  = handleType("date")
	orderType = handleType("order")
)

func handleType(kind string) *types.Object {
	return types.NewObject([]*types.StaticProperty{types.NewStaticProperty(kind, types.N)}, nil)
}

// handles makes the handles of one kind. It holds the first of them ready made:
// terms are immutable, and most evaluations need no more.
type handles struct {
	key    *ast.Term
	ready  [64]*ast.Term
	wanted string // what is wrong with something else
}

func newHandles(kind, article string) *handles {
	h := &handles{key: ast.StringTerm(kind),
		wanted: "want " + article + " " + kind + " made by a built-in of this evaluation, not a written-down one"}
	for i := range h.ready {
		h.ready[i] = h.make(i)
	}
	return h
}

func (h *handles) make(i int) *ast.Term {
	return ast.ObjectTerm(ast.Item(h.key, ast.IntNumberTerm(i)))
}

var (
	factHandles       = newHandles("fact", "a")
	valueHandles      = newHandles("value", "a")
	dateHandles       = newHandles("date", "a")
	orderHandles      = newHandles("order", "an")
	suggestionHandles = newHandles("suggestion", "a")
)

// table is the handles that a session gave for the pair at hand. One is known by
// being the very object that was given, not by what is in it: a rule can write
// an object that looks the same, and never one that is.
type table struct {
	*handles
	late []*ast.Term // those after the ready ones
}

func (t *table) reset() {
	clear(t.late)
	t.late = t.late[:0]
}

// give returns the next handle, of entry i.
func (t *table) give(i int) *ast.Term {
	if i < len(t.ready) {
		return t.ready[i]
	}
	t.late = append(t.late, t.make(i))
	return t.late[i-len(t.ready)]
}

// find returns the entry that a handle names, of n that were given. The
// evaluator hands back the very term it was given, so nearly always one of those
// made ready; the newest are asked for most.
func (t *table) find(x *ast.Term, n int) (i int, ok bool) {
	for i := min(n, len(t.ready)) - 1; i >= 0; i-- {
		if t.ready[i] == x {
			return i, true
		}
	}
	obj, ok := x.Value.(ast.Object)
	if !ok {
		return 0, false
	}
	num := obj.Get(t.key)
	if num == nil {
		return 0, false
	}
	no, ok := num.Value.(ast.Number)
	if !ok {
		return 0, false
	}
	if i, ok = no.Int(); !ok || i < 0 || i >= n {
		return 0, false
	}
	given := t.ready[min(i, len(t.ready)-1)]
	if i >= len(t.ready) {
		given = t.late[i-len(t.ready)]
	}
	return i, given.Value == x.Value
}

// index is find that wants one.
func (t *table) index(x *ast.Term, n int) (int, error) {
	if i, ok := t.find(x, n); ok {
		return i, nil
	}
	return 0, errors.New(t.wanted)
}

// blank returns an empty fact; they are made a dozen at a time.
func (s *Session) blank() *fact.Fact {
	if len(s.blanks) == 0 {
		s.blanks = make([]fact.Fact, 12)
	}
	f := &s.blanks[0]
	s.blanks = s.blanks[1:]
	return f
}

func (s *Session) newFact(c *Call, f *fact.Fact) (*ast.Term, error) {
	f.Op = c.function.Name
	f.At = s.at()
	if err := s.useFact(); err != nil {
		return nil, err
	}
	if err := s.useText(f.Size()); err != nil {
		return nil, err
	}
	s.facts = append(s.facts, f)
	s.made = s.factTable.give(len(s.facts) - 1)
	return s.made, nil
}

func (s *Session) newValue(v *fact.Value) (*ast.Term, error) {
	v.At = s.at()
	if err := s.useFact(); err != nil {
		return nil, err
	}
	if err := s.useText(v.Size()); err != nil {
		return nil, err
	}
	s.values = append(s.values, v)
	s.made = s.valueTable.give(len(s.values) - 1)
	return s.made, nil
}

// newDate is newValue for a date, which rules can compare with dates only.
func (s *Session) newDate(v *fact.Value) (*ast.Term, error) {
	v.At = s.at()
	if err := s.useFact(); err != nil {
		return nil, err
	}
	if err := s.useText(v.Size()); err != nil {
		return nil, err
	}
	s.dates = append(s.dates, v)
	s.made = s.dateTable.give(len(s.dates) - 1)
	return s.made, nil
}

func (s *Session) fact(t *ast.Term) (*fact.Fact, error) {
	i, err := s.factTable.index(t, len(s.facts))
	if err != nil {
		return nil, err
	}
	return s.facts[i], nil
}

func (s *Session) value(t *ast.Term) (*fact.Value, error) {
	i, err := s.valueTable.index(t, len(s.values))
	if err != nil {
		return nil, err
	}
	return s.values[i], nil
}

func (s *Session) date(t *ast.Term) (*fact.Value, error) {
	i, err := s.dateTable.index(t, len(s.dates))
	if err != nil {
		return nil, err
	}
	return s.dates[i], nil
}

// valueOrDate is for what asks the same of both.
func (s *Session) valueOrDate(t *ast.Term) (*fact.Value, error) {
	if i, ok := s.dateTable.find(t, len(s.dates)); ok {
		return s.dates[i], nil
	}
	return s.value(t)
}

func (s *Session) order(t *ast.Term) (*chart.Order, error) {
	if _, err := s.orderTable.index(t, 1); err != nil {
		return nil, err
	}
	if s.subject == nil {
		return nil, errNoOrder
	}
	return s.subject, nil
}

// factList reads argument i of a call.
func (s *Session) factList(c *Call, i int) ([]*fact.Fact, error) {
	of, ok := c.elements(i)
	if !ok {
		return nil, fmt.Errorf("want an array of facts")
	}
	if err := s.useCost(of.len()); err != nil {
		return nil, err
	}
	list := make([]*fact.Fact, of.len())
	for i := range list {
		f, err := s.fact(of.at(i))
		if err != nil {
			return nil, err
		}
		if err := s.useCost(len(f.Reasons)); err != nil {
			return nil, err
		}
		list[i] = f
	}
	return list, nil
}
