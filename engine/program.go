package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/version"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks"
)

// ErrPack says that a pack can not be run: it does not compile, or a rule of
// it contradicts its metadata. The message names file and line.
var ErrPack = errors.New("pack can not be run")

// OPAVersion is the version of the evaluator, part of every record.
var OPAVersion = version.Version

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// Program is a pack compiled once: immutable, shared by all tenants and
// goroutines. This file is the only one of the engine that knows the Rego
// evaluator.
type Program struct {
	pack     *rulepacks.Pack
	rules    []*rule // sorted by id
	compiled []compiledRule
	compiler *ast.Compiler
	index    map[string]*triggerIndex // by hook
	store    storage.Store            // empty: rules have no base documents
	builtins map[string]*topdown.Builtin
}

// compiledRule is a rule's one query: its answer and, only if that is true,
// its card.
type compiledRule struct {
	query ast.Body
	qc    ast.QueryCompiler
}

var (
	holdsVar = ast.Var("holds")
	cardsVar = ast.Var("cards")
)

// Compile makes a pack of kind rules ready to run.
func Compile(pack *rulepacks.Pack) (*Program, error) {
	p := &Program{pack: pack, store: inmem.New(), builtins: clinical.Functions()}
	modules, err := p.parse()
	if err != nil {
		return nil, err
	}
	p.compiler = ast.NewCompiler().WithCapabilities(clinical.Capabilities()).WithStrict(true)
	if p.compiler.Compile(modules); p.compiler.Failed() {
		return nil, fmt.Errorf("compiling pack %s: %w (%w)", pack.Manifest.Name, p.compiler.Errors, ErrPack)
	}
	for _, name := range sortedKeys(modules) {
		if err := p.addModule(name, modules[name]); err != nil {
			return nil, fmt.Errorf("compiling pack %s: %s: %w (%w)", pack.Manifest.Name, name, err, ErrPack)
		}
	}
	if err := p.checkRules(); err != nil {
		return nil, fmt.Errorf("compiling pack %s: %w (%w)", pack.Manifest.Name, err, ErrPack)
	}
	slices.SortFunc(p.rules, func(a, b *rule) int { return strings.Compare(a.id, b.id) })
	for _, r := range p.rules {
		if err := p.prepare(r); err != nil {
			return nil, fmt.Errorf("compiling pack %s: rule %s: %w (%w)", pack.Manifest.Name, r.id, err, ErrPack)
		}
	}
	p.indexTriggers()
	return p, nil
}

func (p *Program) parse() (map[string]*ast.Module, error) {
	modules := map[string]*ast.Module{}
	for _, f := range p.pack.Files {
		if !strings.HasSuffix(f.Name, ".rego") {
			continue
		}
		m, err := ast.ParseModuleWithOpts(f.Name, string(f.Data), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w (%w)", f.Name, err, ErrPack)
		}
		modules[f.Name] = m
	}
	return modules, nil
}

// addModule checks what compiling does not: that the module stays inside its
// pack, reads the chart only through the library, and says what it is.
func (p *Program) addModule(file string, m *ast.Module) error {
	root := "data.packs." + p.pack.Manifest.Name + "."
	pkg := m.Package.Path.String()
	if !strings.HasPrefix(pkg, root) {
		return fmt.Errorf("package must lie under %s", strings.TrimSuffix(root, "."))
	}
	if err := closed(m, root); err != nil {
		return err
	}
	if _, problems := clinical.Calls(m); len(problems) > 0 {
		return problems[0]
	}
	for _, a := range m.Annotations {
		if a.Scope != "package" || a.Custom["id"] == nil {
			continue
		}
		raw, err := jsonv2.Marshal(a.Custom, jsonv2.Deterministic(true))
		if err != nil {
			return fmt.Errorf("reading custom metadata: %w", err)
		}
		var related []source
		for _, rr := range a.RelatedResources {
			related = append(related, source{Ref: rr.Ref.String(), Description: rr.Description})
		}
		r, err := newRule(p.pack.Manifest.Name, a.Title, a.Description, strings.TrimPrefix(pkg, "data."), file, raw, related)
		if err != nil {
			return err
		}
		for _, want := range []string{"holds", "card"} {
			if !slices.ContainsFunc(m.Rules, func(x *ast.Rule) bool { return x.Head.Name.String() == want || x.Head.Ref().String() == want }) {
				return fmt.Errorf("a rule must define %s", want)
			}
		}
		p.rules = append(p.rules, r)
	}
	return nil
}

// closed refuses references to input, to other packs and to base documents.
func closed(m *ast.Module, root string) error {
	var bad error
	ast.WalkRefs(m, func(ref ast.Ref) bool {
		s := ref.String()
		switch {
		case bad != nil:
		case ref.HasPrefix(ast.InputRootRef):
			bad = fmt.Errorf("line %d: input is not available to rules of this version; ask the chart through fhir.* functions", refLine(ref))
		case ref.HasPrefix(ast.DefaultRootRef) && !strings.HasPrefix(s+".", root):
			bad = fmt.Errorf("line %d: %s lies outside of the pack", refLine(ref), s)
		}
		return bad != nil
	})
	return bad
}

func refLine(ref ast.Ref) int {
	if len(ref) > 0 && ref[0].Location != nil {
		return ref[0].Location.Row
	}
	return 0
}

// checkRules holds the rules against each other and the pack's value sets,
// and derives what they read.
func (p *Program) checkRules() error {
	byID := map[string]*rule{}
	for _, r := range p.rules {
		if byID[r.id] != nil {
			return fmt.Errorf("rule id %s is used in %s and %s", r.id, byID[r.id].file, r.file)
		}
		byID[r.id] = r
	}
	if len(p.rules) == 0 {
		return fmt.Errorf("no rules: a rule is a Rego package whose # METADATA has a custom id")
	}
	for _, r := range p.rules {
		if r.trigger != "" {
			if _, ok := p.pack.ValueSet(r.trigger); !ok {
				return fmt.Errorf("rule %s: trigger names value set %q, which the pack does not have", r.id, r.trigger)
			}
		}
		for _, s := range r.supersedes {
			if byID[s] == nil || s == r.id {
				return fmt.Errorf("rule %s supersedes %s, which is not another rule of the pack", r.id, s)
			}
		}
		if err := p.deriveReads(r); err != nil {
			return err
		}
	}
	return nil
}

// deriveReads follows the rule's Rego dependencies through the pack and notes
// the resource types its calls look into.
func (p *Program) deriveReads(r *rule) error {
	seen := map[*ast.Rule]bool{}
	queue := p.compiler.GetRulesWithPrefix(ast.MustParseRef("data." + r.pkg))
	for len(queue) > 0 {
		x := queue[0]
		queue = queue[1:]
		if seen[x] {
			continue
		}
		seen[x] = true
		for dep := range p.compiler.Graph.Dependencies(x) {
			if d, ok := dep.(*ast.Rule); ok {
				queue = append(queue, d)
			}
		}
		uses, _ := clinical.Calls(&ast.Module{Rules: []*ast.Rule{x}})
		for _, u := range uses {
			for _, t := range clinical.Reads(u.Function) {
				if !slices.Contains(r.reads, t) {
					r.reads = append(r.reads, t)
				}
			}
			if s := u.Options["set"]; s != "" {
				if _, ok := p.pack.ValueSet(s); !ok {
					return fmt.Errorf("%s:%d: value set %q is not in the pack", u.File, u.Line, s)
				}
			}
			if u.Function == "param" {
				if _, ok := p.pack.Manifest.Parameters.Get(u.Text); !ok {
					return fmt.Errorf("%s:%d: parameter %q is not declared in pack.yaml", u.File, u.Line, u.Text)
				}
			}
		}
	}
	slices.Sort(r.reads)
	return nil
}

func (p *Program) prepare(r *rule) error {
	text := fmt.Sprintf(`holds = data.%s.holds; cards = [c | fact.is(holds, "true"); c = data.%s.card]`, r.pkg, r.pkg)
	body, err := ast.ParseBodyWithOpts(text, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return err
	}
	qc := p.compiler.QueryCompiler()
	query, err := qc.Compile(body)
	if err != nil {
		return err
	}
	p.compiled = append(p.compiled, compiledRule{query, qc})
	return nil
}

// answer is what one rule said about one subject.
type answer struct {
	fact *fact.Fact
	card *draft
	err  *decision.RuleError
	cut  bool
}

// ask evaluates rule i about a subject, nil for the patient. The stop channel
// of cancel ends it early.
func (p *Program) ask(ctx context.Context, i int, s *clinical.Session, pack *clinical.Pack, subject *chart.Order, cancel topdown.Cancel) (a answer) {
	s.Ask(pack, subject)
	txn, err := p.store.NewTransaction(ctx)
	if err != nil {
		return answer{err: &decision.RuleError{Code: "internal", Message: err.Error()}}
	}
	defer p.store.Abort(ctx, txn)
	q := topdown.NewQuery(p.compiled[i].query).WithQueryCompiler(p.compiled[i].qc).WithCompiler(p.compiler).
		WithStore(p.store).WithTransaction(txn).WithBuiltins(p.builtins).WithStrictBuiltinErrors(true).
		WithTime(s.Now()).WithCancel(cancel).WithRequestMetadata(s.Metadata())
	found := false
	err = q.Iter(ctx, func(r topdown.QueryResult) error {
		found = true
		return a.read(s, r)
	})
	switch {
	case topdown.IsCancel(err):
		return answer{cut: true}
	case err != nil:
		return answer{err: ruleError(err)}
	case !found:
		return answer{err: &decision.RuleError{Code: "undefined", Message: "holds is undefined; it must be a fact for every patient", At: p.rules[i].file}}
	}
	return a
}

func (a *answer) read(s *clinical.Session, r topdown.QueryResult) error {
	f, err := s.Fact(r[holdsVar])
	if err != nil {
		return fmt.Errorf("reading holds: %w", err)
	}
	a.fact = f
	if f.State != fact.True {
		return nil
	}
	cards, ok := r[cardsVar].Value.(*ast.Array)
	if !ok || cards.Len() != 1 {
		return fmt.Errorf("card is undefined although the rule holds")
	}
	a.card, err = readCard(s, cards.Elem(0))
	return err
}

// ruleError puts an evaluator's error into the words of the record. Messages
// of the evaluator name types and places, never values of the chart.
func ruleError(err error) *decision.RuleError {
	var te *topdown.Error
	if !errors.As(err, &te) {
		return &decision.RuleError{Code: "card", Message: err.Error()}
	}
	e := &decision.RuleError{Code: "builtin", Message: te.Message}
	switch te.Code {
	case topdown.ConflictErr:
		e.Code = "conflict"
	case topdown.TypeErr:
		e.Code = "type"
	}
	if te.Location != nil {
		e.At = fmt.Sprintf("%s:%d", te.Location.File, te.Location.Row)
	}
	return e
}

// draft is a card as a rule wrote it.
type draft struct {
	summary, detail string
	suggestions     []clinical.Suggestion
	links           [][2]string // label, url
}

func readCard(s *clinical.Session, t *ast.Term) (*draft, error) {
	obj, ok := t.Value.(ast.Object)
	if !ok {
		return nil, fmt.Errorf("card is not an object")
	}
	d := &draft{}
	err := obj.Iter(func(k, v *ast.Term) error {
		key, _ := k.Value.(ast.String)
		switch key {
		case "summary":
			return readString(v, &d.summary)
		case "detail":
			return readString(v, &d.detail)
		case "suggestions":
			return eachTerm(v, func(t *ast.Term) error {
				sug, err := s.Suggestion(t)
				d.suggestions = append(d.suggestions, sug)
				return err
			})
		case "links":
			return eachTerm(v, func(t *ast.Term) error {
				var link [2]string
				o, ok := t.Value.(ast.Object)
				if !ok || o.Len() != 2 || o.Get(ast.StringTerm("label")) == nil || o.Get(ast.StringTerm("url")) == nil {
					return fmt.Errorf("a link has the members label and url")
				}
				if err := readString(o.Get(ast.StringTerm("label")), &link[0]); err != nil {
					return err
				}
				d.links = append(d.links, link)
				return readString(o.Get(ast.StringTerm("url")), &d.links[len(d.links)-1][1])
			})
		}
		return fmt.Errorf("card has no member %s; it has summary, detail, suggestions, links", k)
	})
	if err != nil {
		return nil, fmt.Errorf("reading card: %w", err)
	}
	if d.summary == "" {
		return nil, fmt.Errorf("reading card: summary is required")
	}
	return d, nil
}

func readString(t *ast.Term, to *string) error {
	v, ok := t.Value.(ast.String)
	if !ok {
		return fmt.Errorf("want a string")
	}
	*to = string(v)
	return nil
}

func eachTerm(t *ast.Term, do func(*ast.Term) error) error {
	arr, ok := t.Value.(*ast.Array)
	if !ok {
		return fmt.Errorf("want an array")
	}
	return arr.Iter(do)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
