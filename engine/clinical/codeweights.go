package clinical

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// The compiler resolves references to definitions, follows them from each definition,
// and compares the types of values. Each can take far more time than the code has
// bytes, so what it will take is counted just before, on the code as the compiler has
// rewritten it by then.

// bounded adds the counts to a compiler. The first that is passed stops it.
func (r *reader) bounded(c *ast.Compiler) *ast.Compiler {
	for after, count := range map[ast.StageID]func(*ast.Compiler){
		ast.StageSetRuleTree: r.meant, ast.StageSetGraph: r.reach, ast.StageCheckRecursion: r.weigh,
	} {
		c = c.WithStageAfterID(after, ast.CompilerStageDefinition{Name: "Bounds" + string(after),
			MetricName: "compile_stage_bounds", Stage: func(c *ast.Compiler) *ast.Error {
				if count(c); len(r.problems) > 0 {
					return ast.NewError(ast.CompileErr, nil, "a bound was passed")
				}
				return nil
			}})
	}
	return c
}

// definitions finds the definitions that a reference may mean.
type definitions struct {
	under map[string][]*ast.Rule // by each first part of their names
	exact map[string]bool        // which of those parts are whole names
}

func newDefinitions(c *ast.Compiler) *definitions {
	d := &definitions{under: map[string][]*ast.Rule{}, exact: map[string]bool{}}
	for _, m := range c.Modules {
		for _, x := range m.Rules {
			key := ""
			for _, part := range x.Ref().GroundPrefix() {
				key += partOf(part)
				d.under[key] = append(d.under[key], x)
			}
			d.exact[key] = true
		}
	}
	return d
}

func partOf(t *ast.Term) string { return t.Value.String() + "\x00" }

// of returns what a reference may mean: the definitions whose name it has or begins
// with, or all whose names begin with the part of it that is fixed.
func (d *definitions) of(ref ast.Ref) []*ast.Rule {
	var found []*ast.Rule
	key := ""
	for _, part := range ref.GroundPrefix() {
		key += partOf(part)
		list := d.under[key]
		if list == nil {
			return found
		}
		if found = nil; d.exact[key] {
			found = list
		}
	}
	return d.under[key]
}

// meant counts the edges that the graph of definitions will have.
func (r *reader) meant(c *ast.Compiler) {
	d, total := newDefinitions(c), 0
	for _, file := range r.files() {
		for _, x := range c.Modules[file].Rules {
			ast.WalkRefs(x, func(ref ast.Ref) bool {
				if ref.HasPrefix(ast.DefaultRootRef) {
					total += len(d.of(ref))
				}
				return false
			})
			if r.over(boundMeant, total, file, x.Location.Row) {
				return
			}
		}
	}
}

// reach counts the definitions that each definition rests on.
func (r *reader) reach(c *ast.Compiler) {
	total := 0
	for _, file := range r.files() {
		for _, x := range c.Modules[file].Rules {
			seen, queue := map[*ast.Rule]bool{x: true}, []*ast.Rule{x}
			for len(queue) > 0 && total <= boundReach.most {
				next := queue[0]
				queue = queue[1:]
				for dep := range c.Graph.Dependencies(next) {
					if y, ok := dep.(*ast.Rule); ok && !seen[y] {
						seen[y] = true
						queue = append(queue, y)
						total++
					}
				}
			}
			if r.over(boundReach, total, file, x.Location.Row) {
				return
			}
		}
	}
}

// weigh estimates, for the type of each definition, how many steps it takes to compare
// two values of it: twice those of its parts, level by level, as the type checker goes
// through both sides of each part. Where a value is put twice into another, level after
// level, that doubles although the code grows by a line only.
func (r *reader) weigh(c *ast.Compiler) {
	w := &weigher{reader: r, definitions: newDefinitions(c), results: map[string]int{}, done: map[*ast.Rule]int{}}
	for _, b := range c.Capabilities().Builtins {
		w.results[b.Name] = weightOf(b.Decl.Result())
	}
	for _, file := range r.files() {
		for _, x := range c.Modules[file].Rules {
			if w.rule(x); len(r.problems) > 0 {
				return
			}
		}
	}
}

type weigher struct {
	*reader
	definitions *definitions
	results     map[string]int // of built-in functions
	done        map[*ast.Rule]int
	vars        map[ast.Var]int // of the definition at hand
	heaviest    int
}

// composite is the weight of a value made of others.
func composite(parts int) int { return min(1+2*parts, 2*boundType.most) }

func weightOf(t types.Type) int {
	parts := 0
	switch t := t.(type) {
	case *types.Array:
		for i := range t.Len() {
			parts += weightOf(t.Select(i))
		}
		parts += weightOf(t.Dynamic())
	case *types.Object:
		for _, p := range t.StaticProperties() {
			parts += weightOf(p.Value)
		}
		parts += weightOf(t.DynamicValue())
	case *types.Set:
		parts = weightOf(t.Of())
	case types.Any:
		for _, one := range t {
			parts += weightOf(one)
		}
	case nil:
		return 0
	default:
		return 1
	}
	return composite(parts)
}

// rule weighs what a definition and its else branches give. Definitions do not recur
// when this is asked, and chains of them are bounded.
func (w *weigher) rule(x *ast.Rule) int {
	if n, ok := w.done[x]; ok {
		return n
	}
	w.done[x] = 1
	vars, heaviest := w.vars, w.heaviest
	w.vars, w.heaviest = map[ast.Var]int{}, 0
	total := 0
	for y := x; y != nil; y = y.Else {
		w.body(y.Body)
		n := 0
		if y.Head.Key != nil {
			n += w.term(y.Head.Key)
		}
		if y.Head.Value != nil {
			n += w.term(y.Head.Value)
		}
		if len(y.Head.Ref()) > 1 || y.Head.Key != nil {
			n = composite(n)
		}
		total += n
	}
	total = min(total, 2*boundType.most)
	w.over(boundType, max(total, w.heaviest), x.Location.File, x.Location.Row)
	w.vars, w.heaviest = vars, heaviest
	w.done[x] = total
	return total
}

func (w *weigher) body(b ast.Body) {
	for _, x := range b {
		switch t := x.Terms.(type) {
		case *ast.Term:
			w.term(t)
		case []*ast.Term:
			w.call(t)
		case *ast.Every:
			n := w.term(t.Domain)
			w.bind(t.Value, n)
			w.body(t.Body)
		case *ast.Not:
			w.body(t.Body)
		case *ast.LogicalAnd:
			w.body(t.Lhs)
			w.body(t.Rhs)
		case *ast.LogicalOr:
			w.body(t.Lhs)
			w.body(t.Rhs)
		}
	}
}

// call weighs an expression with an operator. What it binds gets the weight of where it
// comes from: bodies are in an order in which everything else is bound by then.
func (w *weigher) call(terms []*ast.Term) {
	operands := terms[1:]
	if op := terms[0].Value.String(); len(operands) == 2 && (op == "eq" || op == "assign") {
		left, right := w.term(operands[0]), w.term(operands[1])
		w.bind(operands[0], right)
		w.bind(operands[1], left)
		return
	}
	for _, t := range operands {
		w.term(t)
	}
	if len(operands) > 0 {
		w.bind(operands[len(operands)-1], w.result(terms[0]))
	}
}

// result is the weight of what a function gives.
func (w *weigher) result(operator *ast.Term) int {
	if n, ok := w.results[operator.Value.String()]; ok {
		return n
	}
	return w.term(operator)
}

// bind gives what is not bound yet in a term a weight.
func (w *weigher) bind(t *ast.Term, n int) {
	w.heaviest = max(w.heaviest, n)
	ast.WalkVars(t, func(v ast.Var) bool {
		if _, ok := w.vars[v]; !ok && !strings.HasPrefix(string(v), "data") {
			w.vars[v] = n
		}
		return false
	})
}

func (w *weigher) term(t *ast.Term) int {
	n := 1
	switch v := t.Value.(type) {
	case ast.Var:
		n = max(1, w.vars[v])
	case ast.Ref:
		n = w.ref(v)
	case ast.Call:
		for _, arg := range v[1:] {
			w.term(arg)
		}
		n = w.result(v[0])
	case *ast.Array:
		v.Foreach(func(t *ast.Term) { n = min(n+2*w.term(t), 2*boundType.most) })
	case ast.Set:
		v.Foreach(func(t *ast.Term) { n = min(n+2*w.term(t), 2*boundType.most) })
	case ast.Object:
		v.Foreach(func(k, t *ast.Term) { n = min(n+2*w.term(k)+2*w.term(t), 2*boundType.most) })
	case *ast.ArrayComprehension:
		w.body(v.Body)
		n = composite(w.term(v.Term))
	case *ast.SetComprehension:
		w.body(v.Body)
		n = composite(w.term(v.Term))
	case *ast.ObjectComprehension:
		w.body(v.Body)
		n = composite(w.term(v.Key) + w.term(v.Value))
	}
	w.heaviest = max(w.heaviest, n)
	return n
}

// ref weighs what a reference leads to: no more than what it begins with.
func (w *weigher) ref(ref ast.Ref) int {
	n := 0
	if ref.HasPrefix(ast.DefaultRootRef) {
		for _, x := range w.definitions.of(ref) {
			n = min(n+w.rule(x), 2*boundType.most)
		}
	} else if v, ok := ref[0].Value.(ast.Var); ok {
		n = w.vars[v]
	} else {
		n = w.term(ref[0])
	}
	n = max(1, n)
	for _, t := range ref[1:] {
		w.bind(t, n)
	}
	return n
}
