package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// Program is a pack compiled once: immutable, shared by all tenants and
// goroutines. This file is the only one of the engine that knows the Rego
// evaluator.
type Program struct {
	pack     *rulepacks.Pack
	rules    []*clinical.Rule // sorted by id
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
	code, err := clinical.ReadCode(pack)
	if err != nil {
		return nil, fmt.Errorf("compiling pack %s: %w (%w)", pack.Manifest.Name, err, ErrPack)
	}
	p := &Program{pack: pack, rules: code.Rules, compiler: code.Compiler, store: inmem.New(), builtins: clinical.Functions()}
	for _, r := range p.rules {
		if err := p.prepare(r); err != nil {
			return nil, fmt.Errorf("compiling pack %s: rule %s: %w (%w)", pack.Manifest.Name, r.ID, err, ErrPack)
		}
	}
	p.indexTriggers()
	return p, nil
}

func (p *Program) prepare(r *clinical.Rule) error {
	text := fmt.Sprintf(`holds = data.%s.holds; cards = [c | fact.is(holds, "true"); c = data.%s.card]`, r.Package, r.Package)
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
		return answer{err: &decision.RuleError{Code: "undefined", Message: "holds is undefined; it must be a fact for every patient", At: p.rules[i].File}}
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
