package clinical

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/rulepacks"
)

// Code is the Rego of a pack: parsed, compiled against a library, and checked
// against the pack's value sets and parameters. It is immutable.
type Code struct {
	Library  *Library // its compiled rules run with no other
	Compiler *ast.Compiler
	Rules    []*Rule                // sorted by ID
	Uses     []Use                  // all calls of the library, by file and line
	Modules  map[string]*ast.Module // as written, by file
	pack     *rulepacks.Pack
}

// Problems are all that was found wrong with a pack's code, by file and line.
type Problems []Problem

// Error joins the problems.
func (ps Problems) Error() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.Error()
	}
	return strings.Join(texts, "; ")
}

// ReadCode reads the code of a pack of kind rules, to be run with l. The error
// is of type [Problems] and holds everything that one step of reading found.
func (l *Library) ReadCode(pack *rulepacks.Pack) (*Code, error) {
	r := newReader(pack)
	r.code.Library = l
	for _, step := range []func(){r.scan, r.parse, r.count, r.modules, r.compile, r.rules} {
		if step(); len(r.problems) > 0 {
			slices.SortStableFunc(r.problems, func(a, b Problem) int {
				return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
			})
			return nil, r.problems
		}
	}
	if err := l.bind(r.code.Compiler); err != nil {
		return nil, Problems{{Text: err.Error()}}
	}
	return r.code, nil
}

// place is where a Rego rule stands.
type place struct {
	file string
	line int
}

func placeOf(loc *ast.Location) place { return place{loc.File, loc.Row} }

type reader struct {
	pack     *rulepacks.Pack
	root     string // "data.packs.<pack>."
	code     *Code
	uses     map[place][]Use        // by the Rego rule they are in
	compared map[*ast.Location]bool // comparisons with ==
	locals   int                    // variables made for them
	derived  int                    // calls that rules reach
	problems Problems
}

func newReader(pack *rulepacks.Pack) *reader {
	return &reader{pack: pack, root: "data.packs." + pack.Manifest.Name + ".", uses: map[place][]Use{},
		compared: map[*ast.Location]bool{},
		code:     &Code{Modules: map[string]*ast.Module{}, pack: pack}}
}

func (r *reader) problem(file string, line int, format string, args ...any) {
	r.add(Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// opaErrors takes over what the evaluator's parser or compiler found.
func (r *reader) opaErrors(file string, err error) {
	list, ok := err.(ast.Errors)
	if !ok {
		r.problem(file, 0, "%v", err)
	}
	for _, e := range list {
		p := Problem{File: file, Text: e.Message}
		if e.Location != nil {
			p.File, p.Line = cmp.Or(e.Location.File, file), e.Location.Row
		}
		r.add(p)
	}
}

func (r *reader) parse() {
	for _, f := range r.pack.Rules {
		m, err := ast.ParseModuleWithOpts(f.Name, string(f.Data),
			ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		switch {
		case err != nil:
			r.opaErrors(f.Name, err)
		case m == nil:
			r.problem(f.Name, 1, "the file holds no Rego")
		default:
			r.code.Modules[f.Name] = m
		}
	}
}

func (r *reader) files() []string { return slices.Sorted(maps.Keys(r.code.Modules)) }

// modules checks what compiling does not: that a module stays inside its pack,
// reads the chart only through the library, and says what it is.
func (r *reader) modules() {
	for _, file := range r.files() {
		m := r.code.Modules[file]
		if !strings.HasPrefix(m.Package.Path.String(), r.root) {
			r.problem(file, m.Package.Location.Row, "package must lie under %s", strings.TrimSuffix(r.root, "."))
		}
		r.closed(file, m)
		r.unshadowed(file, m)
		r.equality(file, m)
		for _, x := range m.Rules {
			uses := r.calls(x)
			r.uses[placeOf(x.Location)] = append(r.uses[placeOf(x.Location)], uses...)
			r.code.Uses = append(r.code.Uses, uses...)
		}
		r.metadata(file, m)
	}
}

func (r *reader) metadata(file string, m *ast.Module) {
	for _, a := range m.Annotations {
		if a.Scope != "package" || a.Custom["id"] == nil {
			continue
		}
		rule, err := newRule(r.pack.Manifest.Name, a)
		if err != nil {
			r.problem(file, a.Location.Row, "%v", err)
			continue
		}
		rule.File, rule.Line, rule.Package = file, a.Location.Row, strings.TrimPrefix(m.Package.Path.String(), "data.")
		for _, want := range []string{"holds", "card"} {
			if !slices.ContainsFunc(m.Rules, func(x *ast.Rule) bool { return x.Head.Ref().String() == want }) {
				r.problem(file, a.Location.Row, "a rule must define %s", want)
			}
		}
		r.code.Rules = append(r.code.Rules, rule)
	}
}

// closed refuses references to input, to other packs and to base documents.
func (r *reader) closed(file string, m *ast.Module) {
	ast.WalkRefs(m, func(ref ast.Ref) bool {
		line := 0
		if len(ref) > 0 && ref[0].Location != nil {
			line = ref[0].Location.Row
		}
		switch {
		case ref.HasPrefix(ast.InputRootRef):
			r.problem(file, line, "input is not available to rules of this version; "+
				"ask the chart through fhir.* functions")
		case ref.HasPrefix(ast.DefaultRootRef) && !strings.HasPrefix(ref.String()+".", r.root):
			r.problem(file, line, "%s lies outside of the pack", ref)
		}
		return false
	})
}

// unshadowed refuses names that hide the library: a call would not be what it
// reads as.
func (r *reader) unshadowed(file string, m *ast.Module) {
	spaces := map[string]bool{}
	for _, f := range r.code.Library.functions {
		space, _, _ := strings.Cut(f.Name, ".")
		spaces[space] = true
	}
	refuse := func(name string, loc *ast.Location) {
		if spaces[name] {
			r.problem(file, loc.Row, "%s is a name of the library: give it another", name)
		}
	}
	for _, i := range m.Imports {
		refuse(string(i.Name()), i.Location)
	}
	for _, x := range m.Rules {
		refuse(refParts(x.Head.Ref())[0], x.Location)
	}
}

func (r *reader) compile() {
	r.code.Compiler = r.bounded(ast.NewCompiler().WithCapabilities(r.code.Library.Capabilities()).WithStrict(true))
	if r.code.Compiler.Compile(r.code.Modules); r.code.Compiler.Failed() && len(r.problems) == 0 {
		r.opaErrors("", r.code.Compiler.Errors)
		return
	}
	r.compare()
	r.keyed()
}

// rules checks the rules against each other and the pack's value sets, and
// derives what they read.
func (r *reader) rules() {
	if len(r.code.Rules) == 0 {
		r.problem("rules", 0, "no rules: a rule is a Rego package whose # METADATA has a custom id")
	}
	byID := map[string]*Rule{}
	for _, x := range r.code.Rules {
		if other := byID[x.ID]; other != nil {
			r.problem(x.File, x.Line, "rule id %s is used in %s, too", x.ID, other.File)
		}
		byID[x.ID] = x
	}
	for _, x := range r.code.Rules {
		for _, set := range x.Triggers {
			if v, ok := r.pack.ValueSet(set); !ok {
				r.problem(x.File, x.Line, "trigger names value set %q, which the pack does not have", set)
			} else if !slices.Contains(orderKinds, v.Kind) {
				r.problem(x.File, x.Line, "trigger names value set %q of kind %s, and orders are of kind %s", set,
					v.Kind, kinds(orderKinds))
			}
		}
		for _, s := range x.Supersedes {
			if byID[s] == nil || s == x.ID {
				r.problem(x.File, x.Line, "supersedes names %s, which is not another rule of the pack", s)
			}
		}
		if !slices.Contains(x.Supersedes, x.ID) && supersedesItself(x, byID) {
			r.problem(x.File, x.Line, "supersedes leads in a circle back to %s: "+
				"each rule of it would hide the other's card", x.ID)
		}
		if r.derive(x); r.derived > boundUses.most {
			break
		}
	}
	slices.SortFunc(r.code.Rules, func(a, b *Rule) int { return strings.Compare(a.ID, b.ID) })
}

// supersedesItself follows supersedes from a rule and reports whether it leads
// back to it.
func supersedesItself(x *Rule, byID map[string]*Rule) bool {
	seen, queue := map[string]bool{}, slices.Clone(x.Supersedes)
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		switch next := byID[id]; {
		case id == x.ID:
			return true
		case next != nil && !seen[id]:
			seen[id] = true
			queue = append(queue, next.Supersedes...)
		}
	}
	return false
}

// derive notes what a rule reads, and which of it decides whether it holds.
func (r *reader) derive(rule *Rule) {
	rule.Uses = r.reachable("data." + rule.Package)
	rule.Asks = r.reachable("data." + rule.Package + ".holds")
	r.derived += len(rule.Uses) + len(rule.Asks)
	if r.over(boundUses, r.derived, rule.File, rule.Line) {
		return
	}
	for _, u := range rule.Asks {
		p := Problem{File: u.File, Line: u.Line,
			Text: fmt.Sprintf("holds of rule %s reaches %s, which is only for the wording of cards: "+
				"unknown would read as a yes or a no", rule.ID, u.Function.Name),
			Hint: "let holds be made of facts by fact.all, fact.any, fact.negate and fact.count_at_least, " +
				"and let only card reach this"}
		if u.Function.wording() && !slices.Contains(r.problems, p) {
			r.add(p)
		}
	}
	for _, u := range rule.Uses {
		rule.Reads = append(rule.Reads, u.reads()...)
		if u.Function.NeedsOrder && len(rule.Triggers) == 0 {
			r.problem(u.File, u.Line, "%s needs an order, and rule %s is asked about the patient: "+
				"give it a trigger {order: <value set>}", u.Function.Name, rule.ID)
		}
	}
	slices.Sort(rule.Reads)
	rule.Reads = slices.Compact(rule.Reads)
}

// reachable follows the Rego dependencies from a prefix through the pack and
// collects the calls met, by file and line.
func (r *reader) reachable(prefix string) []Use {
	seen := map[*ast.Rule]bool{}
	places := map[place]bool{}
	queue := r.code.Compiler.GetRulesWithPrefix(ast.MustParseRef(prefix))
	for len(queue) > 0 {
		x := queue[0]
		queue = queue[1:]
		if x == nil || seen[x] {
			continue
		}
		seen[x], places[placeOf(x.Location)] = true, true
		queue = append(queue, x.Else)
		for dep := range r.code.Compiler.Graph.Dependencies(x) {
			if d, ok := dep.(*ast.Rule); ok {
				queue = append(queue, d)
			}
		}
	}
	var uses []Use
	for at := range places {
		uses = append(uses, r.uses[at]...)
	}
	slices.SortStableFunc(uses, func(a, b Use) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			strings.Compare(a.Function.Name, b.Function.Name), strings.Compare(a.text(), b.text()))
	})
	return uses
}
