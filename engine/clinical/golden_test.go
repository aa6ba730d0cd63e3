package clinical

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// A golden is one question to the library and its right answer: a chart, a call
// in Rego, and the answer in words. A file of tests has a table of them for each of
// its functions,
//
//	var ages = []golden{
//		{given: "born on 15 January 1956", chart: []string{person("1956-01-15", "male")},
//			ask: `fhir.age({"unit": "a"})`, want: "70 years"},
//		…
//	}
//	var _ = example("fhir.age", ages[0], 17)
//
//	func TestAges(t *testing.T) { answersOf(t, ages) }
//
// and names one of them as the example that docs/rule-library.md shows, with the needs
// that the function serves (see needs). The value sets that a question names are those
// of the pack of NSAIDs and those registered with testSet.
//
// TestMain counts which states the answers of every function had, in all tests of the
// package, and fails if one that its description allows never occurred: true, false,
// unknown; known, absent, unknown and, of numbers and dates, an interval.
type golden struct {
	given  string   // the chart in words, as the documentation shows it
	chart  []string // resources of a source that is complete
	drafts []string
	change func(*chart.Inputs)
	// partial marks the source as not all there; noSource leaves it out.
	partial, noSource bool

	ask  string // a call of the library in Rego; calls may be nested
	want string // the answer, as spell writes it
}

// goldenSets are value sets that tests use beside those of the pack of NSAIDs.
var goldenSets = map[string]*vocab.ValueSet{}

// testSet registers a value set of codes written as "system|code".
func testSet(id string, kind vocab.ValueSetKind, codes ...string) bool {
	list := make([]string, len(codes))
	for i, c := range codes {
		system, code, _ := strings.Cut(c, "|")
		list[i] = fmt.Sprintf(`{"system":%q,"code":%q}`, system, code)
	}
	set, err := vocab.ReadValueSet(packfile.File{Name: "valuesets/" + id + ".json",
		Data: fmt.Appendf(nil, `{"id":%q,"kind":%q,"codes":[%s]}`, id, kind, strings.Join(list, ","))})
	if err != nil || goldenSets[id] != nil {
		panic(fmt.Sprintf("value set %s of tests: %v, or there are two", id, err))
	}
	goldenSets[id] = set
	return true
}

// goldenPack has all value sets that questions may name.
var goldenPack = sync.OnceValue(func() *Pack {
	p, err := nsaids().Bind(nil)
	if err != nil {
		panic(err)
	}
	own := &rulepacks.Pack{}
	for _, v := range goldenSets {
		own.ValueSets = append(own.ValueSets, v)
	}
	sets := valueSets(own)
	for id, set := range p.sets {
		sets[id] = set
	}
	return &Pack{library: p.library, code: p.code, messages: p.messages, sets: sets,
		params: map[string]*ast.Term{"max_age": ast.StringTerm("P90D")}}
})

// session makes the session that a golden is asked in.
func (g *golden) session(t testing.TB) asked {
	t.Helper()
	source := bundle(g.chart...)
	switch {
	case g.noSource:
		source = ""
	case g.partial:
		source = strings.Replace(source, `"type"`, `"link":[{"relation":"next","url":"x"}],"type"`, 1)
	}
	change := func(*chart.Inputs) {}
	if g.change != nil {
		change = g.change
	}
	a := ask(t, bundle(g.drafts...), source, change)
	a.Ask(goldenPack(), a.subject)
	return a
}

// answersOf asks questions, each of a session of its own.
func answersOf(t *testing.T, list []golden) {
	t.Helper()
	for i := range list {
		g := &list[i]
		name := cmp.Or(g.given, fmt.Sprint(i))
		if got := g.session(t).answer(g.ask); got != g.want {
			t.Errorf("%s: %s is %s, want %s", name, g.ask, got, g.want)
		}
	}
}

// answer asks a question in Rego and spells the answer.
func (a asked) answer(question string) string {
	a.Helper()
	t, err := a.eval(parsed(question))
	if err != nil {
		return "error: " + err.Error()
	}
	return a.spell(t)
}

// parsed reads a question.
func parsed(question string) *ast.Term {
	return ast.MustParseTerm("[" + question + "]").Value.(*ast.Array).Elem(0)
}

// eval evaluates a term in which calls of the library are nested.
func (a asked) eval(t *ast.Term) (*ast.Term, error) {
	a.Helper()
	switch v := t.Value.(type) {
	case ast.Call:
		f := a.lib.library.byName[v[0].String()]
		if f == nil || f.decl.Decl.Arity() != len(v)-1 {
			return nil, fmt.Errorf("there is no %s of %d arguments", v[0], len(v)-1)
		}
		args := make([]*ast.Term, len(v)-1)
		for i, x := range v[1:] {
			var err error
			if args[i], err = a.eval(x); err != nil {
				return nil, err
			}
		}
		return a.run(f, nil, args)
	case *ast.Array:
		list := make([]*ast.Term, v.Len())
		for i := range list {
			var err error
			if list[i], err = a.eval(v.Elem(i)); err != nil {
				return nil, err
			}
		}
		return ast.ArrayTerm(list...), nil
	case ast.Object:
		same, err := v.Map(func(k, x *ast.Term) (*ast.Term, *ast.Term, error) {
			x, err := a.eval(x)
			return k, x, err
		})
		return ast.NewTerm(same), err
	}
	return t, nil
}

// spell writes an answer: "true", "unknown: stale (eGFR)", "27.0 mL/min/1.73 m²",
// "absent: no-data (eGFR)", or a string as it is.
func (a asked) spell(t *ast.Term) string {
	if f, err := a.Fact(t); err == nil {
		if f.State != fact.Unknown {
			return f.State.String()
		}
		return "unknown: " + why(f.Reasons)
	}
	if v, err := a.valueOrDate(t); err == nil {
		if v.State == fact.Known {
			return v.String()
		}
		return v.State.String() + ": " + why(v.Reasons)
	}
	if i, ok := a.suggestionTable.find(t, len(a.suggestions)); ok {
		return a.suggestions[i].Label
	}
	if o, err := a.order(t); err == nil {
		return "order " + o.Ref()
	}
	if s, ok := t.Value.(ast.String); ok {
		return string(s)
	}
	return t.String()
}

func why(reasons []fact.Reason) string {
	list := make([]string, len(reasons))
	for i, r := range reasons {
		list[i] = string(r.Code)
		if r.What != "" {
			list[i] += " (" + r.What + ")"
		}
	}
	return strings.Join(list, ", ")
}

// documented is the example of a function in docs/rule-library.md.
type documented struct {
	golden
	needs []int
}

var (
	examples = map[string]documented{}
	twice    []string // functions with several; it is left to chance which one is shown
)

// example registers the example of a function, and the numbers of the needs that the
// function serves; none says that it is there for another reason.
func example(name string, g golden, needs ...int) bool {
	if _, ok := examples[name]; ok {
		twice = append(twice, name)
	}
	examples[name] = documented{g, needs}
	return true
}
