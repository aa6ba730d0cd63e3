package decide

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
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

// OPAVersion is the version of the evaluator, part of every record.
var OPAVersion = version.Version

// Program is a pack compiled once: immutable, shared by all tenants and
// goroutines. This file and the plans are all of the package that knows the Rego
// evaluator.
type Program struct {
	pack     *rulepacks.Pack
	code     *clinical.Code
	rules    []*clinical.Rule // sorted by id
	compiled []compiledRule   // one for each rule
	compiler *ast.Compiler
	store    storage.Store       // empty: rules have no base documents
	txn      storage.Transaction // reads the store; never ended, as nobody writes
}

// compiledRule is what a rule is asked: its answer and, only if that is true,
// its card.
type compiledRule struct {
	holds, card compiledQuery
	cardAt      string // file:line of its card
	gate        *gate
}

type compiledQuery struct {
	plan *planned // else
	body ast.Body
	qc   ast.QueryCompiler
}

// compile makes a pack of kind rules ready to run with a library. The error is
// [ErrPack]. Plain leaves everything to the evaluator.
func compile(library *clinical.Library, pack *rulepacks.Pack, plain bool) (*Program, error) {
	code, err := library.ReadCode(pack)
	if err != nil {
		return nil, fmt.Errorf("compiling pack %s: %w (%w)", pack.Manifest.Name, err, ErrPack)
	}
	p := &Program{pack: pack, code: code, rules: code.Rules, compiler: code.Compiler, store: inmem.New()}
	if p.txn, err = p.store.NewTransaction(context.Background()); err != nil {
		return nil, fmt.Errorf("compiling pack %s: %w (%w)", pack.Manifest.Name, err, ErrPack)
	}
	var plans *planner
	if !plain {
		plans = newPlanner(code)
	}
	for _, r := range p.rules {
		if err := p.prepare(r, plans); err != nil {
			return nil, fmt.Errorf("compiling pack %s: rule %s: %w (%w)", pack.Manifest.Name, r.ID, err, ErrPack)
		}
	}
	return p, nil
}

// Reads returns the FHIR resource types that the pack's rules for a hook look
// into, sorted.
func (p *Program) Reads(hook string) []string {
	var types []string
	for _, r := range p.rules {
		if slices.Contains(r.Hooks, hook) {
			types = append(types, r.Reads...)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

func (p *Program) prepare(r *clinical.Rule, plans *planner) (err error) {
	c := compiledRule{gate: newGate()}
	if c.holds, err = p.query(r.Package+".holds", plans); err != nil {
		return err
	}
	c.card, err = p.query(r.Package+".card", plans)
	if rules := p.compiler.GetRulesWithPrefix(ast.MustParseRef("data." + r.Package + ".card")); len(rules) > 0 {
		c.cardAt = rules[0].Location.File + ":" + strconv.Itoa(rules[0].Location.Row)
	}
	p.compiled = append(p.compiled, c)
	return err
}

func (p *Program) query(path string, plans *planner) (q compiledQuery, err error) {
	if ref := ast.MustParseRef("data." + path); plans != nil {
		if to, parts := plans.named(ref); parts == len(ref) {
			q.plan = to
		}
	}
	body, err := ast.ParseBodyWithOpts(fmt.Sprintf("%s = data.%s", clinical.Answer, path),
		ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return q, err
	}
	q.qc = p.compiler.QueryCompiler()
	q.body, err = q.qc.Compile(body)
	return q, err
}

// answer is what one rule said about one subject.
type answer struct {
	fact *fact.Fact
	also []*fact.Fact // looked at by the card alone
	card *draft
	err  *decision.RuleError
	cut  bool
	size int // about how many bytes the facts have in a record
}

// ask evaluates rule i about a subject, nil for the patient: whether it holds,
// and if so its card. Cancel ends it early.
func (p *Program) ask(ctx context.Context, i int, s *clinical.Session, pack *clinical.Pack, subject *chart.Order,
	cancel topdown.Cancel) (a answer) {
	s.Ask(pack, subject)
	holds, err := p.eval(ctx, &p.compiled[i].holds, s, cancel)
	if err == nil && holds == nil {
		return answer{err: &decision.RuleError{Code: "undefined",
			Message: "holds is undefined; it must be a fact for every patient", At: p.rules[i].File}}
	}
	if err == nil {
		if a.fact, err = s.Fact(holds); err != nil {
			err = fmt.Errorf("reading holds: %w", err)
		}
	}
	if err == nil && a.fact.State == fact.True {
		a.card, err = p.card(ctx, i, s, cancel)
		a.also = s.Mentioned(a.fact)
	}
	a.size = s.Used().Text
	switch {
	case topdown.IsCancel(err):
		return answer{cut: true}
	case err != nil:
		return answer{err: ruleError(err)}
	}
	return a
}

// card evaluates the card of a rule that holds. It sees what holds evaluated:
// both queries share one cache.
func (p *Program) card(ctx context.Context, i int, s *clinical.Session, cancel topdown.Cancel) (*draft, error) {
	card, err := p.eval(ctx, &p.compiled[i].card, s, cancel)
	switch {
	case err != nil:
		return nil, err
	case card == nil:
		return nil, fmt.Errorf("card is undefined although the rule holds")
	}
	d, err := readCard(s, p.code.Library.Bounds(), card)
	if limit := (*clinical.LimitError)(nil); errors.As(err, &limit) {
		limit.At = p.compiled[i].cardAt
	}
	return d, err
}

// noDocuments is the evaluator's cache of base documents: there are none.
type noDocuments struct{}

func (noDocuments) Get(ast.Ref) ast.Value  { return nil }
func (noDocuments) Put(ast.Ref, ast.Value) {}

// eval returns the value of a query, nil if it is undefined.
func (p *Program) eval(ctx context.Context, c *compiledQuery, s *clinical.Session,
	cancel topdown.Cancel) (*ast.Term, error) {
	if c.plan != nil {
		return runPlan(c.plan, s, cancel)
	}
	return s.Run(ctx, topdown.NewQuery(c.body).WithQueryCompiler(c.qc).WithCompiler(p.compiler).WithStore(p.store).
		WithTransaction(p.txn).
		WithBuiltins(s.Functions()).WithStrictBuiltinErrors(true).WithVirtualCache(s.Answers()).
		WithBaseCache(noDocuments{}).WithTime(s.Now()).WithMetrics(metrics.NoOp()), cancel)
}

// ruleError puts an evaluator's error into the words of the record. Messages
// of the evaluator name types and places, never values of the chart.
func ruleError(err error) *decision.RuleError {
	var limit *clinical.LimitError
	if errors.As(err, &limit) {
		return &decision.RuleError{Code: "limit", Message: limit.Error(), At: limit.At}
	}
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

func readCard(s *clinical.Session, bounds clinical.Bounds, t *ast.Term) (*draft, error) {
	obj, ok := t.Value.(ast.Object)
	if !ok {
		return nil, fmt.Errorf("card is not an object")
	}
	d := &draft{}
	r := &cardReader{bounds: bounds, left: bounds.Card}
	err := obj.Iter(func(k, v *ast.Term) error {
		key, _ := k.Value.(ast.String)
		switch key {
		case "summary":
			return r.text(v, &d.summary, "summary", characters, bounds.Summary)
		case "detail":
			return r.text(v, &d.detail, "detail", bytesOf, bounds.Detail)
		case "suggestions":
			return r.each(v, "suggestions", bounds.Suggestions, func(t *ast.Term) error {
				sug, err := s.Suggestion(t)
				if err == nil {
					err = r.suggestion(&sug)
				}
				if sug.Action != "" {
					d.suggestions = append(d.suggestions, sug)
				}
				return err
			})
		case "links":
			return r.each(v, "links", bounds.Links, func(t *ast.Term) error {
				link, err := r.link(t)
				d.links = append(d.links, link)
				return err
			})
		}
		return fmt.Errorf("card has no member %.40q; it has summary, detail, suggestions, links", string(key))
	})
	if err != nil {
		return nil, fmt.Errorf("reading card: %w", err)
	}
	if strings.TrimSpace(d.summary) == "" {
		return nil, fmt.Errorf("reading card: summary is required")
	}
	return d, nil
}

// cardReader reads a card within the bounds of the library.
type cardReader struct {
	bounds clinical.Bounds
	left   int // bytes that the card may still have
}

// The ways to say how long a text is.
const (
	bytesOf    = "bytes"
	characters = "characters"
)

// text reads a text of which there may not be more than most.
func (r *cardReader) text(t *ast.Term, to *string, name, unit string, most int) error {
	v, ok := t.Value.(ast.String)
	if !ok {
		return fmt.Errorf("want a string")
	}
	if len(v) > most && (unit == bytesOf || utf8.RuneCountInString(string(v)) > most) {
		return &clinical.LimitError{Bound: name, Most: most, Of: unit}
	}
	*to = string(v)
	return r.take(len(v))
}

// take takes bytes off what the card may still have.
func (r *cardReader) take(n int) error {
	if r.left -= n; r.left < 0 {
		return &clinical.LimitError{Bound: "card", Most: r.bounds.Card, Of: "bytes of a card"}
	}
	return nil
}

// each reads a list of which there may not be more than most.
func (r *cardReader) each(t *ast.Term, name string, most int, do func(*ast.Term) error) error {
	arr, ok := t.Value.(*ast.Array)
	if !ok {
		return fmt.Errorf("want an array")
	}
	if arr.Len() > most {
		return &clinical.LimitError{Bound: name, Most: most, Of: name + " of a card"}
	}
	return arr.Iter(do)
}

func (r *cardReader) suggestion(s *clinical.Suggestion) error {
	if utf8.RuneCountInString(s.Label) > r.bounds.Label {
		return &clinical.LimitError{Bound: "label", Most: r.bounds.Label, Of: "characters of a label"}
	}
	return r.take(2*len(s.Label) + len(s.Ref) + len(s.Resource)) // an action has the label, too
}

func (r *cardReader) link(t *ast.Term) (link [2]string, err error) {
	o, ok := t.Value.(ast.Object)
	if !ok || o.Len() != 2 || o.Get(ast.StringTerm("label")) == nil || o.Get(ast.StringTerm("url")) == nil {
		return link, fmt.Errorf("a link has the members label and url")
	}
	if err := r.text(o.Get(ast.StringTerm("label")), &link[0], "label", characters, r.bounds.Label); err != nil {
		return link, err
	}
	if err := r.text(o.Get(ast.StringTerm("url")), &link[1], "url", bytesOf, r.bounds.URL); err != nil {
		return link, err
	}
	return link, checkLink(link[0], link[1])
}

// checkLink refuses what would make the whole answer unusable, or harmful.
func checkLink(label, to string) error {
	if u, err := url.Parse(to); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("the url of a link must be an absolute http or https address")
	}
	if strings.TrimSpace(label) == "" {
		return fmt.Errorf("the label of a link is required")
	}
	return nil
}
