// Package clinical is the library of functions that rules call: questions
// about the chart (fhir.*), logic over the answers (fact.*) and parameters
// (param), bound to the Rego evaluator as built-ins.
//
// The package guarantees that a question always has an answer: a fact that is
// true, false or unknown, or a value that is known, absent or unknown, each
// with reasons and evidence. Data that is missing never reads as normal.
// What was read, and what was looked for and not found, is noted by the
// function that read it, so evidence is observed and not declared.
//
// The library has a version. A pack names the major version it needs, and an
// activation the exact version it was approved with; a node without it
// refuses. Any change that can change an answer changes the version.
package clinical

import (
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
)

// Version is the version of this library.
const Version = "1.0.0"

// Major is the part of Version that packs name.
const Major = "1"

var errNoOrder = errors.New("this rule is asked about the patient, there is no order; give it an order trigger")

type impl func(s *Session, c *call, args []*ast.Term) (*ast.Term, error)

// builtin is one function of the library.
type builtin struct {
	name    string
	doc     string
	args    []types.Type
	result  types.Type
	options []string // allowed members of the options object, if the first argument is one
	impl    impl
}

func (b *builtin) decl() *ast.Builtin {
	named := make([]types.Type, len(b.args))
	copy(named, b.args)
	return &ast.Builtin{Name: b.name, Description: b.doc, Decl: types.NewFunction(named, b.result)}
}

// run answers one call of a rule. What goes wrong is an error at the place of
// the call.
func (b *builtin) run(s *Session, loc *ast.Location, args []*ast.Term, iter func(*ast.Term) error) error {
	s.call = call{name: b.name, loc: loc}
	t, err := b.impl(s, &s.call, args[:len(b.args)])
	if err != nil {
		return &topdown.Error{Code: topdown.BuiltinErr, Message: fmt.Sprintf("%s: %v", b.name, err), Location: loc}
	}
	return iter(t)
}

// Options gives, for each function that takes an options object, the members
// it may have.
func Options() map[string][]string {
	m := map[string][]string{}
	for _, b := range library() {
		if b.options != nil {
			m[b.name] = b.options
		}
	}
	return m
}

// Capabilities lists what a rule may use: the library and those built-ins of
// Rego that are deterministic and reach nothing outside. Editors and stock
// tools read it as an OPA capabilities file.
func Capabilities() *ast.Capabilities {
	stock := ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(ast.RegoV1))
	caps := &ast.Capabilities{FutureKeywords: stock.FutureKeywords, Features: stock.Features, AllowNet: []string{}}
	for _, b := range stock.Builtins {
		if allowed[b.Name] {
			caps.Builtins = append(caps.Builtins, b)
		}
	}
	for _, b := range library() {
		caps.Builtins = append(caps.Builtins, b.decl())
	}
	return caps
}

var allowed = set(
	"eq", "assign", "equal", "neq", "lt", "lte", "gt", "gte", "plus", "minus", "mul", "div", "rem", "and", "or",
	"count", "sum", "max", "min", "sort", "abs", "round", "ceil", "floor",
	"array.concat", "array.slice", "array.reverse", "array.flatten",
	"object.get", "object.keys", "object.union", "object.remove", "object.filter",
	"union", "intersection", "concat", "contains", "startswith", "endswith", "lower", "upper", "split", "trim",
	"trim_space", "trim_prefix", "trim_suffix", "replace", "substring", "format_int",
	"is_string", "is_number", "is_boolean", "is_array", "is_object", "is_set", "is_null",
	"internal.member_2", "internal.member_3", "internal.print", "time.now_ns",
)

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}
