package decide

import (
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/clinical"
)

// Most rules are a composition of calls: each definition has one value, made by calls
// of the library of the values of other definitions, perhaps with conditions and else.
// Such a rule is made a plan, which says in what order its calls are made and where
// each argument comes from, so that nothing need be looked up, unified or tried again.
//
// A plan means what the evaluator's answer is, bounds and errors included, or there is
// none: whatever is not surely of this form is left to the evaluator, the whole query.
// Both share one cache of what was evaluated, so that of a rule holds may be planned and
// card not. What is left to the evaluator: several definitions of one name, default,
// functions of the pack, partial sets and objects, comprehensions of sets and objects,
// every, not, with, what has several solutions outside of a comprehension, unification of
// what is known already, and sets that are not constant.

// planned is one definition of a pack, with its else branches.
type planned struct {
	ref      ast.Ref // under which its value is kept
	branches []branch
}

// branch is a body, and the value if it is true.
type branch struct {
	steps  []step
	value  operand
	locals int // variables of the body, with those of its comprehensions
}

// step is one expression of a body. It fails if what it asks is undefined.
type step struct {
	call *clinical.Prepared // else
	rule *planned           // else
	list *branch            // the body of a comprehension; else the first of args is the value
	args []operand
	path []*ast.Term // leads into the value
	each bool        // its members are to be taken one after the other
	key  int         // the variable that takes the key of each
	to   int         // the variable that takes the value; -1 if it must not be false
}

// operand is where a value comes from.
type operand struct {
	fixed *ast.Term // else
	parts *parts    // else
	local int
}

// parts make an array or an object.
type parts struct {
	keys   []*ast.Term // of an object
	values []operand
}

// planner makes plans for the rules of one pack.
type planner struct {
	library  *clinical.Library
	compiler *ast.Compiler
	done     map[*ast.Rule]*planned // nil for those that cannot be planned
	calls    map[callPlace]int
}

// callPlace is how calls are told apart: of one function at one place. The evaluator
// asks the library once for the same arguments there; a plan makes each call once.
type callPlace struct {
	at *ast.Location
	of *ast.Term
}

func newPlanner(code *clinical.Code) *planner {
	p := &planner{library: code.Library, compiler: code.Compiler, done: map[*ast.Rule]*planned{},
		calls: map[callPlace]int{}}
	for _, m := range p.compiler.Modules {
		ast.WalkExprs(m, func(x *ast.Expr) bool {
			if terms, ok := x.Terms.([]*ast.Term); ok && len(terms) > 0 {
				p.calls[callPlace{x.Location, terms[0]}]++
			}
			return false
		})
	}
	return p
}

// named returns the plan of the definition that a reference begins with, and how many of
// its parts name it; nil if it cannot have a plan.
func (p *planner) named(ref ast.Ref) (to *planned, parts int) {
	node := p.compiler.RuleTree
	for i, part := range ref {
		switch node = node.Child(part.Value); {
		case node == nil:
			return nil, 0
		case len(node.Values) == 1 && len(node.Children) == 0 && node.Values[0].Ref().Equal(ref[:i+1]):
			return p.plan(node.Values[0], ref[:i+1]), i + 1
		case len(node.Values) > 0:
			return nil, 0
		}
	}
	return nil, 0
}

// plan returns the plan of a definition, nil if it cannot have one.
func (p *planner) plan(r *ast.Rule, ref ast.Ref) *planned {
	if known, ok := p.done[r]; ok || !ref.IsGround() {
		return known
	}
	p.done[r] = nil
	to := &planned{ref: ref}
	for x := r; x != nil; x = x.Else {
		if x.Default || len(x.Head.Args) > 0 || x.Head.Key != nil || x.Head.Value == nil {
			return nil
		}
		b := &body{planner: p, locals: map[ast.Var]int{}, once: map[ast.Var]bool{}}
		if !b.compile(x.Body, x.Head.Value) {
			return nil
		}
		b.branch.locals = len(b.once)
		to.branches = append(to.branches, b.branch)
	}
	p.done[r] = to
	return to
}

// body is what one body becomes.
type body struct {
	*planner
	branch branch
	locals map[ast.Var]int  // variables that have a value
	once   map[ast.Var]bool // those that have or had one, also those of comprehensions
	inside bool             // of a comprehension
	again  bool             // it is gone through again and again
}

func (b *body) compile(exprs ast.Body, value *ast.Term) (ok bool) {
	for _, e := range exprs {
		s, ok := b.expr(e)
		if !ok {
			return false
		}
		b.branch.steps = append(b.branch.steps, s)
	}
	b.branch.value, ok = b.operand(value)
	return ok
}

// expr makes a step of an expression.
func (b *body) expr(x *ast.Expr) (s step, ok bool) {
	s.to = -1
	if x.Negated || len(x.With) > 0 {
		return s, false
	}
	switch terms := x.Terms.(type) {
	case *ast.Term:
		return b.steps(s, []*ast.Term{terms})
	case []*ast.Term:
		if x.IsEquality() && len(terms) == 3 {
			return b.value(s, terms[1], terms[2])
		}
		p, need, result, ok := b.library.Prepare(x, b.again)
		if !ok || b.calls[callPlace{x.Location, terms[0]}] != 1 {
			return s, false
		}
		s.call = p
		if s, ok = b.steps(s, need); !ok || result == nil {
			return s, ok
		}
		return b.give(s, result)
	}
	return s, false
}

// value makes a step of what gives a value to a variable.
func (b *body) value(s step, to, value *ast.Term) (step, bool) {
	if !b.free(to) {
		to, value = value, to
	}
	if !b.free(to) {
		return s, false
	}
	ok := false
	switch v := value.Value.(type) {
	case ast.Ref:
		s, ok = b.reference(s, v)
	case *ast.ArrayComprehension:
		s, ok = b.comprehension(s, value, v)
	default:
		s, ok = b.steps(s, []*ast.Term{value})
	}
	if !ok {
		return s, false
	}
	return b.give(s, to)
}

// reference makes a step of a reference to a definition or a variable, or into it.
func (b *body) reference(s step, ref ast.Ref) (step, bool) {
	if o, ok := b.operand(ref[0]); ok && len(ref) > 1 {
		s.args, s.path = []operand{o}, ref[1:]
	} else {
		n := 0
		if s.rule, n = b.named(ref); s.rule == nil {
			return s, false
		}
		s.path = ref[n:]
	}
	for i, key := range s.path {
		switch key.Value.(type) {
		case ast.String, ast.Number:
		case ast.Var: // of what has several solutions
			if !b.inside || !b.free(key) || i != len(s.path)-1 {
				return s, false
			}
			s.path, s.each, b.again = s.path[:i], true, true
			s.key = b.local(key)
		default:
			return s, false
		}
	}
	return s, true
}

// comprehension makes a step of the comprehension of an array. Its body sees the
// variables around it, which do not see those of its own.
func (b *body) comprehension(s step, t *ast.Term, v *ast.ArrayComprehension) (step, bool) {
	if b.compiler.ComprehensionIndex(t) != nil { // evaluated in another order
		return s, false
	}
	inner := &body{planner: b.planner, locals: maps.Clone(b.locals), once: b.once, inside: true, again: b.again}
	if !inner.compile(v.Body, v.Term) {
		return s, false
	}
	s.list = &inner.branch
	return s, true
}

// free reports whether a term is a variable that never had a value.
func (b *body) free(t *ast.Term) bool {
	v, ok := t.Value.(ast.Var)
	if !ok {
		return false
	}
	return !b.once[v]
}

// local makes a variable known.
func (b *body) local(t *ast.Term) int {
	v, n := t.Value.(ast.Var), len(b.once)
	b.locals[v], b.once[v] = n, true
	return n
}

// give lets a step give a variable its value.
func (b *body) give(s step, to *ast.Term) (step, bool) {
	if !b.free(to) {
		return s, false
	}
	s.to = b.local(to)
	return s, true
}

// steps adds arguments to a step.
func (b *body) steps(s step, terms []*ast.Term) (step, bool) {
	for _, t := range terms {
		o, ok := b.operand(t)
		if !ok {
			return s, false
		}
		s.args = append(s.args, o)
	}
	return s, true
}

// operand says where the value of a term comes from.
func (b *body) operand(t *ast.Term) (o operand, ok bool) {
	if ast.IsConstant(t.Value) {
		return operand{fixed: t}, true
	}
	switch v := t.Value.(type) {
	case ast.Var:
		o.local, ok = b.locals[v]
		return o, ok
	case *ast.Array:
		o.parts = &parts{}
		for i := range v.Len() {
			e, ok := b.operand(v.Elem(i))
			if !ok {
				return o, false
			}
			o.parts.values = append(o.parts.values, e)
		}
		return o, true
	case ast.Object:
		o.parts = &parts{}
		for _, k := range v.Keys() {
			e, ok := b.operand(v.Get(k))
			if _, text := k.Value.(ast.String); !ok || !text {
				return o, false
			}
			o.parts.keys, o.parts.values = append(o.parts.keys, k), append(o.parts.values, e)
		}
		return o, true
	}
	return o, false
}
