package clinical

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// Session is one call's evaluations: the chart, and for the (rule, subject)
// pair at hand everything the functions made. It answers rules of any library:
// each pack with the functions of the library that its code was read with. It
// belongs to one goroutine.
type Session struct {
	chart    view
	language string

	pack        *Pack
	subject     *chart.Order
	facts       []*fact.Fact
	blanks      []fact.Fact
	values      []*fact.Value
	dates       []*fact.Value
	suggestions []Suggestion
	mentioned   []*fact.Fact // that wording looked at
	answers     answers
	asked       memory
	used        Used
	exceeded    *LimitError // the bound that the pair hit, if any
	made        *ast.Term   // the handle made last

	factTable, valueTable, dateTable, orderTable, suggestionTable table

	// What follows does not depend on the call and outlives it.
	libs   map[*Library]*bound             // those that were asked so far
	lib    *bound                          // that of pack; nil before Ask
	take   func(topdown.QueryResult) error // keeps the result of a query
	keep   func(*ast.Term) error           // keeps the answer of a built-in
	result *ast.Term
	stop   stop
	meter  meter                    // for one value at a time
	call   Call                     // the one under way: functions do not nest
	places map[*ast.Location]string // of the calls, as records name them
	names  map[string]*ast.Term     // of templates
}

// bound is a library inside a session. What it has found out about the chart
// is its own: another version may find otherwise.
type bound struct {
	library   *Library
	functions map[string]*topdown.Builtin
	egfrs     map[dates.Duration]*fact.Value // by the greatest age; many rules ask for it
	reads     []int                          // resources that each function may look into, and one; 0 if not counted yet
}

// Sessions makes sessions and uses them again. The zero value is ready, and
// safe for concurrent use.
type Sessions struct{ pool sync.Pool }

// Start starts the evaluations of one call. Language is that of the cards,
// e.g. "en". The session must be ended, unless evaluating it panics.
func (p *Sessions) Start(c *chart.Chart, language string) *Session {
	s, ok := p.pool.Get().(*Session)
	if !ok {
		s = newSession()
	}
	s.chart.of, s.language = c, language
	return s
}

// End takes a session back and forgets all about its call. What the session
// answered stays valid.
func (p *Sessions) End(s *Session) {
	s.Ask(nil, nil)
	s.chart.of, s.language, s.call, s.blanks, s.result, s.stop.time = nil, "", Call{}, nil, nil, nil
	for _, b := range s.libs {
		clear(b.egfrs)
		clear(b.reads)
	}
	s.asked.clear()
	p.pool.Put(s)
}

func newSession() *Session {
	s := &Session{libs: map[*Library]*bound{}, places: map[*ast.Location]string{}, names: map[string]*ast.Term{},
		factTable: table{handles: factHandles}, valueTable: table{handles: valueHandles},
		dateTable:  table{handles: dateHandles},
		orderTable: table{handles: orderHandles}, suggestionTable: table{handles: suggestionHandles}}
	s.stop.session, s.answers.session = s, s
	s.take = func(r topdown.QueryResult) error {
		s.result = r[Answer]
		return nil
	}
	s.keep = func(t *ast.Term) error {
		s.result = t
		return nil
	}
	return s
}

// use turns the session to a library, binding its functions the first time.
func (s *Session) use(l *Library) {
	if s.lib != nil && s.lib.library == l {
		return
	}
	if s.lib = s.libs[l]; s.lib != nil {
		return
	}
	s.lib = &bound{library: l, functions: make(map[string]*topdown.Builtin, len(l.functions)+len(builtins)),
		egfrs: map[dates.Duration]*fact.Value{}, reads: make([]int, len(l.functions))}
	s.libs[l] = s.lib
	for _, f := range l.functions {
		s.lib.functions[f.Name] = &topdown.Builtin{Decl: f.decl,
			Func: func(bctx topdown.BuiltinContext, args []*ast.Term, iter func(*ast.Term) error) error {
				t, err := s.run(f, bctx.Location, args[:f.decl.Decl.Arity()])
				if err != nil {
					return s.failed(f.Name, bctx.Location, err)
				}
				return iter(t)
			}}
	}
	for _, b := range builtins {
		s.lib.functions[b.decl.Name] = &topdown.Builtin{Decl: b.decl,
			Func: func(bctx topdown.BuiltinContext, args []*ast.Term, iter func(*ast.Term) error) error {
				if err := s.allow(b, bctx.Location, args[:b.decl.Decl.Arity()]); err != nil {
					return topdown.Halt{Err: err}
				}
				return b.run(bctx, args, iter)
			}}
	}
}

// failed makes an error of a call one at its place. A bound ends the evaluation.
func (s *Session) failed(name string, loc *ast.Location, err error) error {
	if s.exceeded != nil {
		return topdown.Halt{Err: s.exceeded}
	}
	return &topdown.Error{Code: topdown.BuiltinErr, Message: name + ": " + err.Error(), Location: loc}
}

// run answers one call of a rule. What goes wrong is an error at the place of
// the call.
func (s *Session) run(f *function, loc *ast.Location, args []*ast.Term) (*ast.Term, error) {
	s.chart.begin()
	if err := s.call.begin(s, f, loc, args); err != nil {
		return nil, err
	}
	q, known := s.asked.find(f, loc, args)
	if known && q.answer != nil {
		return q.answer, nil
	}
	t, err := s.answer(f)
	if err == nil {
		q.answer = t
	}
	return t, err
}

// answer answers the call under way, which was not asked before.
func (s *Session) answer(f *function) (*ast.Term, error) {
	if err := s.useCall(); err != nil {
		return nil, err
	}
	types, reads := f.Reads, s.lib.reads[f.index]
	if f.typed {
		types, reads = f.types(func(i int) string { return s.call.given[i].text }), 0
	}
	if reads == 0 {
		reads = 1 + s.chart.count(types)
		s.lib.reads[f.index] = reads
	}
	if err := s.useCost(reads); err != nil {
		return nil, err
	}
	t, err := f.Run(s, &s.call)
	if err != nil {
		return nil, err
	}
	return t, s.chart.stray(&f.Function, types)
}

// Ask turns the session to one pair: a rule of pack asked about subject, nil
// for the patient. Handles of earlier pairs lose their meaning, and their
// cached answers are forgotten.
func (s *Session) Ask(pack *Pack, subject *chart.Order) {
	if s.pack, s.subject = pack, subject; pack == nil {
		s.lib = nil
	} else {
		s.use(pack.library)
	}
	clear(s.facts)
	clear(s.values)
	clear(s.dates)
	clear(s.suggestions)
	clear(s.mentioned)
	s.mentioned = s.mentioned[:0]
	s.facts, s.values, s.dates, s.suggestions = s.facts[:0], s.values[:0], s.dates[:0], s.suggestions[:0]
	s.factTable.reset()
	s.valueTable.reset()
	s.dateTable.reset()
	s.suggestionTable.reset()
	s.answers.reset()
	s.asked.forget()
	s.used, s.exceeded, s.made = Used{}, nil, nil
}

// Now is the time of the call.
func (s *Session) Now() time.Time { return s.chart.now() }

// Functions returns the library of the pack at hand, bound to this session, in
// the form the evaluator takes; none before the first Ask.
func (s *Session) Functions() map[string]*topdown.Builtin {
	if s.lib == nil {
		return nil
	}
	return s.lib.functions
}

// Answers is the evaluator's cache of rules already evaluated for the pair at
// hand. It is empty after Ask.
func (s *Session) Answers() topdown.VirtualCache { return &s.answers }

// Answer is the variable that a query for Run binds.
const Answer = ast.Var("answer")

// Run runs a query until cancel says to stop, and returns the value of Answer, nil if
// it is undefined. The error is a [*LimitError] if the pair hit a bound.
func (s *Session) Run(ctx context.Context, q *topdown.Query, cancel topdown.Cancel) (*ast.Term, error) {
	s.result, s.stop.time = nil, cancel
	err := q.WithCancel(&s.stop).Iter(ctx, s.take)
	if s.exceeded != nil {
		return nil, s.exceeded
	}
	return s.result, err
}

// Used returns what the pair at hand has used of its bounds.
func (s *Session) Used() Used { return s.used }

// Fact returns the fact a rule's answer refers to.
func (s *Session) Fact(t *ast.Term) (*fact.Fact, error) { return s.fact(t) }

// at returns file and line of the call under way.
func (s *Session) at() string {
	loc := s.call.loc
	if loc == nil || loc.File == "" {
		return ""
	}
	place, ok := s.places[loc]
	if !ok {
		place = loc.File + ":" + strconv.Itoa(loc.Row)
		s.places[loc] = place
	}
	return place
}

// Mentioned returns the facts that the wording of the card looked at and that
// holds did not: each once, in the order they were looked at.
func (s *Session) Mentioned(holds *fact.Fact) []*fact.Fact {
	if len(s.mentioned) == 0 {
		return nil
	}
	var also []*fact.Fact
	var known fact.Graph
	note := func(*fact.Fact) {}
	known.Walk(holds, note)
	for _, f := range s.mentioned {
		if !known.Has(f) {
			known.Walk(f, note)
			also = append(also, f)
		}
	}
	return also
}
