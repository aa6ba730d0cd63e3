package clinical

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// builtin is one of Rego's own built-ins that rules may use. In compiled code it
// has another name, under which a session measures the arguments before the
// evaluator's implementation sees them.
type builtin struct {
	name string
	cost cost
	decl *ast.Builtin // under the other name
	run  topdown.BuiltinFunc
	op   *ast.Term
}

// cost measures what a call looks at and makes at most, given its arguments. It is
// asked before the call, and costs no more itself.
type cost func(m *meter, args []*ast.Term)

// costs lists the built-ins of Rego that rules may use, those that are deterministic
// and reach nothing outside, each with its cost. What is not here is not offered.
var costs = map[string]cost{
	// Unification is the evaluator's own work: it is no call, and nothing can be put
	// before it. What limits it is the size of rules' values. == is unification, too,
	// unless its answer is used as a value.
	"eq": nil, "assign": nil,

	"equal": linear, "neq": linear, "lt": linear, "lte": linear, "gt": linear, "gte": linear,
	"plus": linear, "minus": linear, "mul": product, "div": product, "rem": linear,
	"abs": linear, "round": linear, "ceil": linear, "floor": linear,
	"and": linear, "or": joined, "union": linear, "intersection": linear,
	"count": ofText, "sum": linear, "max": linear, "min": linear, "sort": sorted,
	"array.concat": joined, "array.slice": linear, "array.reverse": linear, "array.flatten": linear,
	"object.get": linear, "object.keys": linear, "object.union": joined, "object.remove": linear, "object.filter": linear,
	"concat": concat, "split": split, "replace": replace, "substring": linear, "format_int": linear,
	"contains": linear, "startswith": linear, "endswith": linear, "lower": linear, "upper": linear,
	"trim": linear, "trim_space": linear, "trim_prefix": linear, "trim_suffix": linear,
	"is_string": nothing, "is_number": nothing, "is_boolean": nothing, "is_array": nothing, "is_object": nothing,
	"is_set": nothing, "is_null": nothing,
	"internal.member_2": member, "internal.member_3": linear, "internal.print": nothing, "time.now_ns": nothing,
}

// nothing is the cost of what does not look into its arguments.
func nothing(*meter, []*ast.Term) {}

// linear is the cost of what goes through its arguments once, and makes no more
// than they are.
func linear(m *meter, args []*ast.Term) {
	for _, t := range args {
		m.term(t)
	}
}

// joined is the cost of what makes one value that may hold both arguments.
func joined(m *meter, args []*ast.Term) { m.make(m.term(args[0]) + m.term(args[1])) }

// ofText is the cost of what goes through a text, and through nothing else.
func ofText(m *meter, args []*ast.Term) {
	if _, ok := args[0].Value.(ast.String); ok {
		m.term(args[0])
	}
}

// member is the cost of looking for one value in a collection. In a set it is looked
// up, else held against each.
func member(m *meter, args []*ast.Term) {
	m.term(args[0])
	if _, ok := args[1].Value.(ast.Set); !ok {
		m.term(args[1])
	}
}

// sorted is the cost of putting values in order: each is compared as often as their
// number has binary digits.
func sorted(m *meter, args []*ast.Term) {
	m.parts += m.term(args[0]) * bits.Len(uint(length(args[0].Value)))
}

func length(v ast.Value) int {
	switch v := v.(type) {
	case *ast.Array:
		return v.Len()
	case ast.Set:
		return v.Len()
	}
	return 0
}

// product is the cost of what makes a number with the digits of both.
func product(m *meter, args []*ast.Term) {
	linear(m, args)
	x, isNumber := args[0].Value.(ast.Number)
	y, both := args[1].Value.(ast.Number)
	if isNumber && both && digits(x)+digits(y) > m.bounds.Digits && m.over == "" {
		m.over = "digits"
	}
}

// concat is the cost of joining texts.
func concat(m *meter, args []*ast.Term) {
	delimiter := m.term(args[0])
	m.make(m.term(args[1]) + delimiter*length(args[1].Value))
}

// split is the cost of a text in pieces.
func split(m *meter, args []*ast.Term) {
	linear(m, args)
	s, ok := args[0].Value.(ast.String)
	d, both := args[1].Value.(ast.String)
	if ok && both && m.over == "" {
		m.make(strings.Count(string(s), string(d)) + 2 + len(s)/textPart)
	}
}

// replace is the cost of a text with every occurrence of one replaced by another.
func replace(m *meter, args []*ast.Term) {
	linear(m, args)
	s, ok := args[0].Value.(ast.String)
	from, isFrom := args[1].Value.(ast.String)
	to, isTo := args[2].Value.(ast.String)
	if ok && isFrom && isTo && m.over == "" {
		m.make(1 + (len(s)+strings.Count(string(s), string(from))*len(to))/textPart)
	}
}

// make counts a value that is to be made.
func (m *meter) make(parts int) {
	if m.parts += parts; m.over == "" && parts > m.bounds.Value {
		m.over = "value"
	}
}

// otherName is what the other names of built-ins begin with.
const otherName = "bounded:"

// builtins are those of costs that are calls, ready to be bound.
var builtins = newBuiltins()

func newBuiltins() map[string]*builtin {
	list := map[string]*builtin{}
	for name, cost := range costs {
		if cost == nil {
			continue
		}
		decl := *ast.BuiltinMap[name]
		decl.Name, decl.Infix = otherName+name, ""
		list[name] = &builtin{name: name, cost: cost, decl: &decl, run: topdown.GetBuiltin(name),
			op: ast.NewTerm(ast.Ref{ast.VarTerm(decl.Name)})}
	}
	return list
}

// allow counts a call of a built-in and what it costs, before it runs.
func (s *Session) allow(b *builtin, loc *ast.Location, args []*ast.Term) error {
	s.call.loc = loc
	if err := s.measure(b, args); err != nil {
		return err
	}
	if _, known := s.asked.find(b, loc, args); known {
		return nil
	}
	return s.useBuiltin()
}

// measure measures what a call of a built-in costs.
func (s *Session) measure(b *builtin, args []*ast.Term) error {
	if s.exceeded != nil {
		return s.exceeded
	}
	m := &s.meter
	*m = meter{bounds: &s.lib.library.bounds}
	if b.cost(m, args); m.over != "" {
		return m.exceed(s, s.at())
	}
	return nil
}

// useBuiltin counts the call that was measured.
func (s *Session) useBuiltin() error {
	if err := s.useCall(); err != nil {
		return err
	}
	return s.useCost(1 + s.meter.parts)
}

// bind lets compiled code call every function of the library by an operator of one
// part, "fhir.takes" for ["fhir", "takes"], so that the evaluator need not join the
// parts at every call; names stay what they are. It lets it call every built-in of
// Rego by the name under which it is bounded. What is neither is an error.
func (l *Library) bind(c *ast.Compiler) (err error) {
	for _, m := range c.Modules {
		ast.WalkExprs(m, func(x *ast.Expr) bool {
			terms, ok := x.Terms.([]*ast.Term)
			if !ok || len(terms) == 0 {
				return false
			}
			name := terms[0].String()
			switch f, b := l.byName[name], builtins[name]; {
			case f != nil:
				terms[0] = f.op
			case b != nil:
				terms[0] = b.op
			case ast.BuiltinMap[name] != nil && name != ast.Equality.Name:
				err = fmt.Errorf("built-in %s has no declared cost", name)
			}
			return false
		})
	}
	return err
}
