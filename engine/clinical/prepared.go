package clinical

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Prepared is one call as it stands in compiled code, of a function of the library or
// of a built-in of Rego, for whoever evaluates calls without the evaluator: what does
// not depend on the patient was read once. It is immutable.
type Prepared struct {
	function *function // else
	builtin  *builtin
	loc      *ast.Location
	given    []given  // the options that are literal
	late     []int    // the others, by their index
	again    bool     // made more than once for a pair, perhaps with the same arguments
	args     int      // arguments that follow them
	list     int      // the argument, if any, that comes element by element, after all others; else -1
	fills    []string // likewise the names in the last argument, what to fill
}

// withCancel are built-ins that want, of the context of an evaluation, a way to end.
// Others want nothing, or are not prepared.
var withCancel = []string{"concat", "replace"}

// Prepare makes a call in compiled code ready. What it is given at each call are the
// values of need, in that order; result is the variable for its answer, nil if the call
// is a condition. Again says that it may be made more than once for one pair. Ok is false
// of what is not such a call, or not certain to be one.
func (l *Library) Prepare(x *ast.Expr, again bool) (p *Prepared, need []*ast.Term, result *ast.Term, ok bool) {
	terms, isCall := x.Terms.([]*ast.Term)
	if !isCall || len(terms) == 0 || x.Location == nil || x.Location.File == "" {
		return nil, nil, nil, false
	}
	p, operands := &Prepared{loc: x.Location, list: -1, again: again}, terms[1:]
	arity := 0
	name := terms[0].String()
	if f := l.byName[name]; f != nil && f.op == terms[0] {
		p.function, arity = f, f.decl.Decl.Arity()
	}
	if b := builtins[strings.TrimPrefix(name, otherName)]; b != nil && b.op == terms[0] &&
		(b.decl.CanSkipBctx || slices.Contains(withCancel, b.name)) {
		p.builtin, arity = b, b.decl.Decl.Arity()
	}
	switch {
	case p.function == nil && p.builtin == nil:
		return nil, nil, nil, false
	case len(operands) == arity+1:
		result, operands = operands[arity], operands[:arity]
	case len(operands) != arity:
		return nil, nil, nil, false
	}
	if p.builtin != nil || again {
		p.args = arity
		return p, operands, result, true
	}
	if len(p.function.Options) > 0 {
		if need, ok = p.options(operands[0]); !ok {
			return nil, nil, nil, false
		}
		operands = operands[1:]
	}
	p.args = len(operands)
	return p, append(need, p.arguments(operands)...), result, true
}

// options reads the options that are literal; late are the values of the others.
func (p *Prepared) options(t *ast.Term) (late []*ast.Term, ok bool) {
	obj, isObject := t.Value.(ast.Object)
	if !isObject {
		return nil, false
	}
	f, n := p.function, 0
	p.given = make([]given, len(f.Options))
	for i := range f.Options {
		o := &f.Options[i]
		v := obj.Get(f.keys[i])
		switch {
		case v == nil && o.Required:
			return nil, false
		case v == nil:
			p.given[i].flag = o.Default
			continue
		case o.Needs != "" && obj.Get(ast.StringTerm(o.Needs)) == nil:
			return nil, false
		}
		n++
		if _, variable := v.Value.(ast.Var); variable && o.Kind != KindSet {
			late, p.late = append(late, v), append(p.late, i)
			continue
		}
		var m *misfit
		if p.given[i], m = o.read(v.Value); m != nil {
			return nil, false
		}
	}
	return late, n == obj.Len()
}

// arguments takes apart the one argument that need not be made a value of its own.
func (p *Prepared) arguments(operands []*ast.Term) []*ast.Term {
	need := slices.Clone(operands)
	for i, a := range p.function.Args {
		switch v := operands[i].Value.(type) {
		case *ast.Array:
			if !slices.Contains([]Type{typeFacts, typeValues, typeDates}, a.Type) || p.list >= 0 || v.IsGround() {
				continue
			}
			p.list, need[i] = i, nothingHere
			v.Foreach(func(t *ast.Term) { need = append(need, t) })
		case ast.Object:
			if a.Type != typeFill || i != len(operands)-1 || p.list >= 0 || v.Len() == 0 {
				continue
			}
			names, values := []string{}, []*ast.Term{}
			for _, k := range v.Keys() {
				name, isText := k.Value.(ast.String)
				if !isText {
					return need
				}
				names, values = append(names, string(name)), append(values, v.Get(k))
			}
			p.list, p.fills, need[i] = i, names, nothingHere
			need = append(need, values...)
		}
	}
	return need
}

// nothingHere stands for an argument that comes in parts.
var nothingHere = ast.NullTerm()

// Do answers a prepared call about the pair at hand, nil if a built-in has no answer.
// It is as if the evaluator made the call. The error ends the evaluation if it is a
// [topdown.Halt].
func (s *Session) Do(p *Prepared, values []*ast.Term) (*ast.Term, error) {
	if p.builtin != nil {
		return s.doBuiltin(p, values)
	}
	t, err := (*ast.Term)(nil), error(nil)
	if p.again {
		t, err = s.run(p.function, p.loc, values)
	} else {
		t, err = s.doFunction(p, values)
	}
	if err != nil {
		return nil, s.failed(p.function.Name, p.loc, err)
	}
	return t, nil
}

func (s *Session) doFunction(p *Prepared, values []*ast.Term) (*ast.Term, error) {
	s.chart.begin()
	c := &s.call
	c.function, c.loc, c.fills = p.function, p.loc, p.fills
	late := 0
	for i := range p.given {
		o := &p.function.Options[i]
		c.given[i] = p.given[i]
		if late < len(p.late) && p.late[late] == i {
			var err error
			if c.given[i], err = o.get(values[late].Value); err != nil {
				return nil, err
			}
			late++
		}
		if err := s.bindSet(o, &c.given[i]); err != nil {
			return nil, err
		}
	}
	c.args = values[late : late+p.args]
	c.listed, c.list = p.list, values[late+p.args:]
	return s.answer(p.function)
}

func (s *Session) doBuiltin(p *Prepared, values []*ast.Term) (*ast.Term, error) {
	err := error(nil)
	if p.again {
		err = s.allow(p.builtin, p.loc, values)
	} else {
		s.call.loc = p.loc
		if err = s.measure(p.builtin, values); err == nil {
			err = s.useBuiltin()
		}
	}
	if err != nil {
		return nil, topdown.Halt{Err: err}
	}
	s.result = nil
	err = p.builtin.run(topdown.BuiltinContext{Location: p.loc, Cancel: &s.stop}, values, s.keep)
	t := s.result
	s.result = nil
	return t, err
}

// Plan is a query that is evaluated without the evaluator.
type Plan interface {
	// Eval returns the value of the query, nil if it is undefined. Before each
	// expression it asks whether to stop.
	Eval(s *Session, stop topdown.Cancel) (*ast.Term, error)
}

// RunPlan is Run for a plan.
func (s *Session) RunPlan(p Plan, cancel topdown.Cancel) (*ast.Term, error) {
	s.stop.time = cancel
	t, err := p.Eval(s, &s.stop)
	if s.exceeded != nil {
		return nil, s.exceeded
	}
	return t, err
}
