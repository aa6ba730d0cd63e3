package clinical

import (
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
	orderType = handleType("order")
)

func handleType(kind string) *types.Object {
	return types.NewObject([]*types.StaticProperty{types.NewStaticProperty(kind, types.N)}, nil)
}

// handles holds the first handles of each kind ready made: terms are
// immutable, and most evaluations need no more.
type handles struct {
	kind  string
	key   *ast.Term
	ready [64]*ast.Term
}

func newHandles(kind string) *handles {
	h := &handles{kind: kind, key: ast.StringTerm(kind)}
	for i := range h.ready {
		h.ready[i] = h.make(i)
	}
	return h
}

func (h *handles) make(i int) *ast.Term {
	return ast.ObjectTerm(ast.Item(h.key, ast.IntNumberTerm(i)))
}

func (h *handles) term(i int) *ast.Term {
	if i < len(h.ready) {
		return h.ready[i]
	}
	return h.make(i)
}

var (
	factHandles  = newHandles("fact")
	valueHandles = newHandles("value")
	orderHandles = newHandles("order")
)

// find reads the number out of a handle of one kind. The evaluator hands back
// the very term it was given, so nearly always one of those made ready; the
// newest are asked for most.
func (h *handles) find(t *ast.Term, n int) (i int, ok bool) {
	for i := min(n, len(h.ready)) - 1; i >= 0; i-- {
		if h.ready[i] == t {
			return i, true
		}
	}
	if obj, ok := t.Value.(ast.Object); ok {
		if num := obj.Get(h.key); num != nil {
			if i, ok := num.Value.(ast.Number); ok {
				if i, ok := i.Int(); ok && i >= 0 && i < n {
					return i, true
				}
			}
		}
	}
	return 0, false
}

// index is find that wants one.
func (h *handles) index(t *ast.Term, n int) (int, error) {
	if i, ok := h.find(t, n); ok {
		return i, nil
	}
	return 0, fmt.Errorf("want a %s made by a built-in of this evaluation, not a written-down one", h.kind)
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

func (s *Session) newFact(c *Call, f *fact.Fact) *ast.Term {
	f.Op = c.function.Name
	f.At = s.at()
	s.facts = append(s.facts, f)
	return factHandles.term(len(s.facts) - 1)
}

func (s *Session) newValue(c *Call, v *fact.Value) *ast.Term {
	v.At = s.at()
	s.values = append(s.values, v)
	return valueHandles.term(len(s.values) - 1)
}

func (s *Session) fact(t *ast.Term) (*fact.Fact, error) {
	i, err := factHandles.index(t, len(s.facts))
	if err != nil {
		return nil, err
	}
	return s.facts[i], nil
}

func (s *Session) value(t *ast.Term) (*fact.Value, error) {
	i, err := valueHandles.index(t, len(s.values))
	if err != nil {
		return nil, err
	}
	return s.values[i], nil
}

func (s *Session) order(t *ast.Term) (*chart.Order, error) {
	if _, err := orderHandles.index(t, 1); err != nil {
		return nil, err
	}
	if s.subject == nil {
		return nil, errNoOrder
	}
	return s.subject, nil
}

func (s *Session) factList(t *ast.Term) ([]*fact.Fact, error) {
	arr, ok := t.Value.(*ast.Array)
	if !ok {
		return nil, fmt.Errorf("want an array of facts")
	}
	list := make([]*fact.Fact, arr.Len())
	for i := range list {
		f, err := s.fact(arr.Elem(i))
		if err != nil {
			return nil, err
		}
		list[i] = f
	}
	return list, nil
}
