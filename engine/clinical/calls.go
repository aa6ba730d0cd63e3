package clinical

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Use is one call of the library in a pack, as far as it can be read without
// running it: what prefetch and source attributes are derived from.
type Use struct {
	Function string
	File     string
	Line     int
	Rule     string            // name of the Rego rule the call stands in, e.g. "holds"
	Options  map[string]string // literal options; a parameter as "param:<name>"
	Text     string            // the template of fhir.text, the label of fact.named, the name of param
	Names    []string          // what fhir.text is given to fill in, sorted; nil if that is not a literal object
}

// Problem is something wrong with a call that compiling can not see.
type Problem struct {
	File string
	Line int
	Text string
}

// Error gives file, line and what to mend.
func (p Problem) Error() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Calls reads every call of the library in a module. Options, value sets,
// templates and labels must be literals: what a rule reads has to be known
// before it runs.
func Calls(m *ast.Module) ([]Use, []Problem) {
	w := &callWalk{options: Options()}
	for _, r := range m.Rules {
		w.rule = strings.Join(refParts(r.Head.Ref()), ".")
		ast.NewGenericVisitor(w.visit).Walk(r)
	}
	return w.uses, w.problems
}

func refParts(ref ast.Ref) []string {
	var parts []string
	for _, t := range ref {
		switch v := t.Value.(type) {
		case ast.Var:
			parts = append(parts, string(v))
		case ast.String:
			parts = append(parts, string(v))
		}
	}
	return parts
}

type callWalk struct {
	options  map[string][]string
	rule     string
	uses     []Use
	problems []Problem
}

func (w *callWalk) visit(x any) bool {
	switch x := x.(type) {
	case *ast.Rule:
		if x.Default {
			return false
		}
	case *ast.Expr:
		if x.IsCall() {
			w.call(x.Operator().String(), x.Operands(), x.Location)
		}
		if len(x.With) > 0 {
			w.problem(x.Location, "with is not allowed: a rule must see the chart as it is")
		}
	case *ast.Term:
		if c, ok := x.Value.(ast.Call); ok {
			w.call(c[0].String(), c[1:], x.Location)
		}
	}
	return false
}

func (w *callWalk) problem(loc *ast.Location, format string, args ...any) {
	w.problems = append(w.problems, Problem{File: loc.File, Line: loc.Row, Text: fmt.Sprintf(format, args...)})
}

func (w *callWalk) call(name string, operands []*ast.Term, loc *ast.Location) {
	if !strings.HasPrefix(name, "fact.") && !strings.HasPrefix(name, "fhir.") && name != "param" {
		return
	}
	u := Use{Function: name, File: loc.File, Line: loc.Row, Rule: w.rule}
	if allowed, ok := w.options[name]; ok && len(operands) > 0 {
		u.Options = w.literalOptions(name, allowed, operands[0], loc)
	}
	switch name {
	case "fhir.text", "fact.named", "param":
		if len(operands) > 0 {
			s, ok := operands[0].Value.(ast.String)
			if !ok {
				w.problem(loc, "the first argument of %s must be a literal string", name)
			}
			u.Text = string(s)
		}
		if name == "fhir.text" && len(operands) > 1 {
			u.Names = literalNames(operands[1])
		}
	case "fact.is":
		if !strings.HasPrefix(w.rule, "card") {
			w.problem(loc, "fact.is is only for the wording of cards: use it in rules whose name starts with card, and facts in holds")
		}
	}
	w.uses = append(w.uses, u)
}

func (w *callWalk) literalOptions(name string, allowed []string, t *ast.Term, loc *ast.Location) map[string]string {
	obj, ok := t.Value.(ast.Object)
	if !ok {
		w.problem(loc, "the options of %s must be a literal object", name)
		return nil
	}
	got := map[string]string{}
	obj.Foreach(func(k, v *ast.Term) {
		key, ok := k.Value.(ast.String)
		if !ok || !slices.Contains(allowed, string(key)) {
			w.problem(loc, "%s has no option %s; it has %s", name, k, strings.Join(allowed, ", "))
			return
		}
		switch val := v.Value.(type) {
		case ast.String:
			got[string(key)] = string(val)
		case ast.Boolean, ast.Number:
			got[string(key)] = v.String()
		case ast.Call:
			if p, ok := literalParam(val); ok && key != "set" {
				got[string(key)] = "param:" + p
				return
			}
			if val[0].String() != "fhir.text" || key != "label" {
				w.problem(loc, "option %s of %s must be a literal or param(\"name\")", key, name)
			}
		default:
			w.problem(loc, "option %s of %s must be a literal or param(\"name\")", key, name)
		}
	})
	return got
}

// literalNames gives the members of a literal object, sorted.
func literalNames(t *ast.Term) []string {
	obj, ok := t.Value.(ast.Object)
	if !ok {
		return nil
	}
	names := []string{}
	obj.Foreach(func(k, _ *ast.Term) {
		if s, ok := k.Value.(ast.String); ok {
			names = append(names, string(s))
		}
	})
	slices.Sort(names)
	return names
}

func literalParam(c ast.Call) (string, bool) {
	if len(c) != 2 || c[0].String() != "param" {
		return "", false
	}
	s, ok := c[1].Value.(ast.String)
	return string(s), ok
}

// Reads gives the FHIR resource types a function looks into. It follows from
// this library's code and changes with its version.
func Reads(function string) []string {
	switch function {
	case "fhir.age":
		return []string{"Patient"}
	case "fhir.egfr":
		return []string{"Observation", "Patient"}
	case "fhir.lab":
		return []string{"Observation"}
	case "fhir.takes":
		return []string{"MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement"}
	case "fhir.condition":
		return []string{"Condition"}
	default:
		return nil
	}
}

// Attributes gives the source attributes of 45 CFR 170.315(b)(11)(iv) that the
// answer of a function depends on, as pack.yaml names them.
func Attributes(function string) []string {
	switch function {
	case "fhir.age":
		return []string{"age"}
	case "fhir.egfr":
		return []string{"sex", "age", "health_status"}
	case "fhir.lab", "fhir.takes", "fhir.condition":
		return []string{"health_status"}
	default:
		return nil
	}
}

// IsFact reports whether a function of the library gives a fact.
func IsFact(function string) bool {
	for _, b := range library() {
		if b.name == function {
			return b.result == factType
		}
	}
	return false
}
