package clinical

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// The evaluator unifies two composite values part by part, each part one level deeper
// on its stack: values of some million parts, which forty lines can make of one
// another, would end the whole process, and nothing could catch it. So rules may not
// unify what both sides have: = is refused, == becomes a call that compares, a
// function may not name one argument twice, and what a set or an object is asked for
// is a single value.

// equality refuses what would unify, and notes where values are compared.
func (r *reader) equality(file string, m *ast.Module) {
	unify := func(loc *ast.Location) {
		r.problem(file, loc.Row, "= unifies: write := to name a value, == to compare two")
	}
	ast.WalkExprs(m, func(x *ast.Expr) bool {
		switch {
		case !x.IsCall():
		case x.Operator().Equal(ast.Equality.Ref()):
			unify(x.Location)
		case x.Operator().Equal(ast.Equal.Ref()):
			r.compared[x.Location] = true
		}
		return false
	})
	ast.WalkTerms(m, func(t *ast.Term) bool {
		if call, ok := t.Value.(ast.Call); ok && ast.Equality.Ref().Equal(call[0].Value) {
			unify(t.Location)
		}
		return false
	})
	for _, x := range m.Rules {
		seen := map[ast.Var]bool{}
		for _, a := range x.Head.Args {
			ast.WalkVars(a, func(v ast.Var) bool {
				if seen[v] && !v.IsWildcard() {
					r.problem(file, x.Location.Row,
						"%s stands twice among the arguments: give each a name of its own and compare them with ==", v)
				}
				seen[v] = true
				return false
			})
		}
	}
}

// compare makes calls of the comparisons that the compiler made unifications of.
func (r *reader) compare() {
	for _, file := range r.files() {
		m := r.code.Compiler.Modules[file]
		ast.NewGenericVisitor(func(x any) bool {
			switch x := x.(type) {
			case *ast.Rule:
				x.Body = r.compareIn(x.Body)
			case *ast.ArrayComprehension:
				x.Body = r.compareIn(x.Body)
			case *ast.SetComprehension:
				x.Body = r.compareIn(x.Body)
			case *ast.ObjectComprehension:
				x.Body = r.compareIn(x.Body)
			case *ast.Every:
				x.Body = r.compareIn(x.Body)
			}
			return false
		}).Walk(m)
	}
}

// compareIn returns a body with its comparisons as calls. A call is given values, not
// references to them, so these are named before.
func (r *reader) compareIn(body ast.Body) ast.Body {
	var out ast.Body
	for _, x := range body {
		if !r.compared[x.Location] || x.Generated || !x.IsCall() || !x.Operator().Equal(ast.Equality.Ref()) {
			out.Append(x)
			continue
		}
		same := x.Copy()
		same.SetOperator(ast.NewTerm(ast.Equal.Ref()))
		var named ast.Body
		for i, operand := range x.Operands() {
			if _, ok := operand.Value.(ast.Ref); ok {
				name := r.local(operand.Location)
				named.Append(generated(ast.Equality.Expr(name, operand), x.Location))
				same.Terms.([]*ast.Term)[i+1] = name
			}
		}
		if len(named) == 0 || !x.Negated {
			for _, y := range append(named, same) {
				out.Append(y)
			}
			continue
		}
		// What has no value is not equal, so it must not be named outside of the not.
		same.Negated = false
		some := r.local(x.Location)
		all := ast.ArrayComprehensionTerm(ast.BooleanTerm(true), append(named, same))
		out.Append(generated(ast.Equality.Expr(some, all), x.Location))
		out.Append(generated(ast.Equality.Expr(some, ast.ArrayTerm()), x.Location))
	}
	return out
}

func generated(x *ast.Expr, loc *ast.Location) *ast.Expr {
	x.Generated = true
	return x.SetLocation(loc)
}

// local is a new variable, of a name that neither rules nor the compiler can give.
func (r *reader) local(loc *ast.Location) *ast.Term {
	r.locals++
	return ast.VarTerm(fmt.Sprintf("__compared%d__", r.locals)).SetLocation(loc)
}

// keyed refuses sets and objects of several rules that are asked for values which may
// have any number of parts: the evaluator unifies the value with the key of each rule.
func (r *reader) keyed() {
	for _, file := range r.files() {
		for _, x := range r.code.Modules[file].Rules {
			whole := x.Ref().GroundPrefix()
			if x.Head.Key == nil && len(whole) == len(x.Ref()) {
				continue
			}
			if key := keyOf(r.code.Compiler.TypeEnv.GetByRef(whole)); key != nil && !single(key) {
				r.problem(file, x.Location.Row, "the members of %s may have any number of parts: "+
					"collect strings, numbers or values of the library", x.Head.Ref().GroundPrefix())
			}
		}
	}
}

// keyOf is the type that a set or an object is asked for, nil for other types.
func keyOf(t types.Type) types.Type {
	switch t := t.(type) {
	case *types.Set:
		return t.Of()
	case *types.Object:
		if d := t.DynamicProperties(); d != nil {
			return d.Key
		}
	}
	return nil
}

// maxParts bounds the parts of a value that a set or an object is asked for.
const maxParts = 100

// single reports whether the values of a type have a fixed number of parts, and few.
func single(t types.Type) bool {
	parts := 0
	var count func(types.Type) bool
	count = func(t types.Type) bool {
		if parts++; parts > maxParts {
			return false
		}
		switch t := t.(type) {
		case types.Null, types.Boolean, types.Number, types.String:
			return true
		case types.Any:
			return len(t) > 0 && !slices.ContainsFunc(t, func(of types.Type) bool { return !count(of) })
		case *types.Array:
			for i := range t.Len() {
				if !count(t.Select(i)) {
					return false
				}
			}
			return t.Dynamic() == nil
		case *types.Object:
			return t.DynamicProperties() == nil && !slices.ContainsFunc(t.StaticProperties(),
				func(p *types.StaticProperty) bool { return !count(p.Value) })
		}
		return false
	}
	return count(t)
}
