package decide

import (
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/precept-cds/precept/engine/clinical"
)

// execution evaluates plans, one at a time.
type execution struct {
	root    *planned
	session *clinical.Session
	stop    topdown.Cancel
	answers topdown.VirtualCache
	locals  []*ast.Term // of the bodies under way
	values  []*ast.Term // of the call under way
	failed  error       // the first error of a call that did not end everything
}

var executions = sync.Pool{New: func() any { return &execution{} }}

// runPlan returns the value of a plan, nil if it is undefined.
func runPlan(p *planned, s *clinical.Session, cancel topdown.Cancel) (*ast.Term, error) {
	x := executions.Get().(*execution)
	x.root = p
	t, err := s.RunPlan(x, cancel)
	x.root, x.session, x.stop, x.answers, x.failed = nil, nil, nil, nil, nil
	clear(x.locals[:cap(x.locals)])
	clear(x.values[:cap(x.values)])
	if cap(x.locals) <= maxScratch && cap(x.values) <= maxScratch {
		executions.Put(x)
	}
	return t, err
}

// maxScratch bounds what an execution keeps for the next.
const maxScratch = 1024

// Eval evaluates the plan at the root. As for the evaluator, what a call cannot answer
// is undefined, others go on, and the first such error is that of the query.
func (x *execution) Eval(s *clinical.Session, stop topdown.Cancel) (*ast.Term, error) {
	x.session, x.stop, x.answers = s, stop, s.Answers()
	t, err := (*ast.Term)(nil), x.ended()
	if err == nil {
		t, err = x.rule(x.root)
	}
	if err == nil {
		err = x.ended()
	}
	if x.failed != nil {
		err = x.failed
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ended is an error once the evaluation is to stop.
func (x *execution) ended() error {
	if x.stop.Cancelled() {
		return &topdown.Error{Code: topdown.CancelErr, Message: "told to end"}
	}
	return nil
}

// rule returns the value of a definition, nil if it is undefined.
func (x *execution) rule(p *planned) (*ast.Term, error) {
	if t, undefined := x.answers.Get(p.ref); t != nil || undefined {
		return t, nil
	}
	for i := range p.branches {
		if t, err := x.body(&p.branches[i]); t != nil || err != nil {
			if err == nil {
				x.answers.Put(p.ref, t)
			}
			return t, err
		}
	}
	x.answers.Put(p.ref, nil)
	return nil, nil
}

// body returns the value of a branch, nil if it is not true.
func (x *execution) body(b *branch) (*ast.Term, error) {
	base := len(x.locals)
	for range b.locals {
		x.locals = append(x.locals, nil)
	}
	t, err := x.steps(b, 0, base, nil)
	x.locals = x.locals[:base]
	return t, err
}

// steps goes through a body from a step on and returns its value, nil if it is not true.
// The values of a comprehension go to list.
func (x *execution) steps(b *branch, from, base int, list *[]*ast.Term) (*ast.Term, error) {
	for i := from; i < len(b.steps); i++ {
		if err := x.ended(); err != nil {
			return nil, err
		}
		s := &b.steps[i]
		t, err := x.step(s, base)
		switch {
		case t == nil || err != nil:
			return nil, err
		case s.each:
			return nil, x.each(t, func(k, v *ast.Term) error {
				x.locals[base+s.key], x.locals[base+s.to] = k, v
				_, err := x.steps(b, i+1, base, list)
				return err
			})
		case s.to >= 0:
			x.locals[base+s.to] = t
		case ast.Boolean(false).Equal(t.Value):
			return nil, nil
		}
	}
	if err := x.ended(); err != nil {
		return nil, err
	}
	t := x.value(&b.value, base)
	if list != nil {
		*list = append(*list, t)
	}
	return t, nil
}

// each goes through the members of a value in the evaluator's order.
func (x *execution) each(t *ast.Term, do func(k, v *ast.Term) error) error {
	switch v := t.Value.(type) {
	case *ast.Array:
		for i := range v.Len() {
			if err := do(ast.InternedTerm(i), v.Elem(i)); err != nil {
				return err
			}
		}
	case ast.Object:
		for _, k := range v.Keys() {
			if err := do(k, v.Get(k)); err != nil {
				return err
			}
		}
	case ast.Set:
		for _, k := range v.Slice() {
			if err := do(k, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// step returns what a step asks for, nil if that is undefined.
func (x *execution) step(s *step, base int) (t *ast.Term, err error) {
	switch {
	case s.call != nil:
		return x.call(s, base)
	case s.rule != nil:
		t, err = x.rule(s.rule)
	case s.list != nil:
		var list []*ast.Term
		_, err = x.steps(s.list, 0, base, &list)
		t = ast.NewTerm(ast.NewArray(list...))
	default:
		t = x.value(&s.args[0], base)
	}
	for i := 0; i < len(s.path) && t != nil; i++ {
		t = member(t, s.path[i])
	}
	return t, err
}

// member returns a member of a value, nil if there is no such.
func member(t, key *ast.Term) *ast.Term {
	switch v := t.Value.(type) {
	case *ast.Array:
		return v.Get(key)
	case ast.Object:
		return v.Get(key)
	case ast.Set:
		if v.Contains(key) {
			return key
		}
	}
	return nil
}

// call makes a call.
func (x *execution) call(s *step, base int) (*ast.Term, error) {
	x.values = x.values[:0]
	for i := range s.args {
		x.values = append(x.values, x.value(&s.args[i], base))
	}
	t, err := x.session.Do(s.call, x.values)
	if err == nil {
		return t, nil
	}
	if end, ok := err.(topdown.Halt); ok {
		return nil, end.Err
	}
	if x.failed == nil {
		x.failed = err
	}
	return nil, nil
}

// value returns the value of an operand.
func (x *execution) value(o *operand, base int) *ast.Term {
	switch {
	case o.fixed != nil:
		return o.fixed
	case o.parts == nil:
		return x.locals[base+o.local]
	}
	of := o.parts
	if of.keys == nil {
		list := make([]*ast.Term, len(of.values))
		for i := range list {
			list[i] = x.value(&of.values[i], base)
		}
		return ast.NewTerm(ast.NewArray(list...))
	}
	items := make([][2]*ast.Term, len(of.keys))
	for i, k := range of.keys {
		items[i] = ast.Item(k, x.value(&of.values[i], base))
	}
	return ast.NewTerm(ast.NewObject(items...))
}
