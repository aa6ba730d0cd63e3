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
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// Version is the version of this library.
const Version = "1.0.0"

// Major is the part of Version that packs name.
const Major = "1"

// sessionKey is the name under which an evaluation's Session travels in the
// evaluator's request metadata.
const sessionKey = "precept"

var (
	errNoSession = errors.New("called outside of an evaluation of Precept")
	errNoOrder   = errors.New("this rule is asked about the patient, there is no order; give it an order trigger")
)

// Session is one call's evaluations: the chart, and for the (rule, subject)
// pair at hand everything the built-ins made. It belongs to one goroutine.
type Session struct {
	chart    *chart.Chart
	language string
	metadata map[string]any
	egfrs    map[dates.Duration]*fact.Value // by the greatest age; many rules ask for it

	pack        *Pack
	subject     *chart.Order
	facts       []*fact.Fact
	values      []*fact.Value
	suggestions []Suggestion
	call        call // the call under way; built-ins do not nest
}

// NewSession starts the evaluations of one call. Language is that of the
// cards, e.g. "en".
func NewSession(c *chart.Chart, language string) *Session {
	s := &Session{chart: c, language: language, egfrs: map[dates.Duration]*fact.Value{}}
	s.metadata = map[string]any{sessionKey: s}
	return s
}

// Ask turns the session to one pair: a rule of pack asked about subject, nil
// for the patient. Handles of earlier pairs lose their meaning.
func (s *Session) Ask(pack *Pack, subject *chart.Order) {
	s.pack, s.subject = pack, subject
	s.facts, s.values, s.suggestions = s.facts[:0], s.values[:0], s.suggestions[:0]
}

// Metadata is what the evaluator must carry for the built-ins to find the
// session.
func (s *Session) Metadata() map[string]any { return s.metadata }

// Fact returns the fact a rule's answer refers to.
func (s *Session) Fact(t *ast.Term) (*fact.Fact, error) { return s.fact(t) }

// call is one call of a built-in by a rule.
type call struct {
	name string
	loc  *ast.Location
}

// at gives file and line of the call.
func (c *call) at() string {
	if c.loc == nil || c.loc.File == "" {
		return ""
	}
	return c.loc.File + ":" + strconv.Itoa(c.loc.Row)
}

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

func (b *builtin) run(bctx topdown.BuiltinContext, args []*ast.Term, iter func(*ast.Term) error) error {
	s, ok := bctx.RequestMetadata[sessionKey].(*Session)
	if !ok {
		return fmt.Errorf("%s: %w", b.name, errNoSession)
	}
	s.call = call{name: b.name, loc: bctx.Location}
	t, err := b.impl(s, &s.call, args[:len(b.args)])
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	return iter(t)
}

// Functions gives the library in the form the evaluator takes.
func Functions() map[string]*topdown.Builtin {
	m := map[string]*topdown.Builtin{}
	for _, b := range library() {
		m[b.name] = &topdown.Builtin{Decl: b.decl(), Func: b.run}
	}
	return m
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
