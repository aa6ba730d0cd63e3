package decide

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/engine/tenant"
)

// Snapshot is what a tenant decides with at one moment: the live packs with
// its parameters, the terminology, the policy. It is immutable.
type Snapshot struct {
	release   decision.Release
	policyRef decision.Policy
	policy    *tenant.Policy
	zone      *time.Location // of the policy
	packs     []*Part        // sorted by name
	terms     *clinical.Terminology
	unused    []string
	sessions  clinical.Sessions
}

// Release names the packs and the terminology of the snapshot.
func (s *Snapshot) Release() decision.Release { return s.release }

// Policy names the tenant policy of the snapshot.
func (s *Snapshot) Policy() decision.Policy { return s.policyRef }

// Parts lists the packs of the snapshot, sorted by name. They are shared: do not
// change them.
func (s *Snapshot) Parts() []*Part { return s.packs }

// UnusedParameters names packs that the policy sets parameters of and that are
// not in force.
func (s *Snapshot) UnusedParameters() []string { return s.unused }

// Serves reports that a pack of the service is in force. Without one an answer
// would say nothing and read as "no finding".
func (s *Snapshot) Serves(service tenant.Service) bool {
	return slices.ContainsFunc(s.release.Packs,
		func(r decision.Ref) bool { return slices.Contains(service.Packs, r.Name) })
}

// pair is one (rule, subject) to be asked.
type pair struct {
	pack    *Part
	rule    int
	subject *chart.Order // nil for the patient
}

func (p pair) ruleOf() *clinical.Rule { return p.pack.rules[p.rule] }

func (p pair) subjectName() string {
	if p.subject == nil {
		return decision.PatientSubject
	}
	return p.subject.Ref()
}

// Parse reads a request as the client's registration wants it read.
func (s *Snapshot) Parse(client string, body []byte) (*chart.Request, error) {
	c, ok := s.policy.Client(client)
	if !ok {
		return nil, fmt.Errorf("reading request: client %q is not in the tenant policy: %w", client, ErrMissing)
	}
	limits := s.policy.Limits
	return chart.Parse(body, chart.Limits{Bytes: int(limits.BodyBytes), Resources: limits.Resources,
		AnyInstance: c.HookID == "lenient"})
}

// Decide is the one place where decisions are made. ruleTime bounds one rule
// on one subject; 0, as in a replay, bounds nothing. The call's own deadline
// is that of ctx.
func (s *Snapshot) Decide(ctx context.Context, in *decision.Inputs, req *chart.Request,
	ruleTime time.Duration) (*decision.Decision, error) {
	if err := tenant.Resides(s.policy.Region, in.Region); err != nil {
		return nil, fmt.Errorf("deciding: %w", err)
	}
	service, ok := s.policy.Service(in.Service, in.Hook)
	if !ok || in.Hook != req.Hook {
		return nil, fmt.Errorf("deciding for service %q and hook %q: %w", in.Service, req.Hook, ErrHook)
	}
	c, err := s.chart(in, req, service)
	if err != nil {
		return nil, err
	}
	d := &decision.Decision{}
	e := &evaluation{snapshot: s, in: in, decision: d, session: s.sessions.Start(c, in.Language), ruleTime: ruleTime}
	e.findPairs(c, service)
	e.ask(ctx)
	s.sessions.End(e.session)
	resp := e.compose()
	for i := range resp.Cards {
		switch resp.Cards[i].Indicator {
		case cdshooks.Critical:
			d.Cards.Critical++
		case cdshooks.Warning:
			d.Cards.Warning++
		default:
			d.Cards.Info++
		}
	}
	if d.Response, err = resp.Marshal(); err != nil {
		return nil, fmt.Errorf("deciding: %w", err)
	}
	return d, nil
}

func (s *Snapshot) chart(in *decision.Inputs, req *chart.Request, service tenant.Service) (*chart.Chart, error) {
	zone, err := s.zone, error(nil)
	if in.Zone != s.policy.Zone { // a golden case
		if zone, err = dates.Zone(in.Zone); err != nil {
			return nil, fmt.Errorf("deciding: %w", err)
		}
	}
	fetched := make([]*chart.Source, len(in.Sources))
	for i, src := range in.Sources {
		if fetched[i], err = fetchedSource(src); err != nil {
			return nil, fmt.Errorf("deciding: %w", err)
		}
	}
	return chart.New(chart.Inputs{Request: req, Fetched: fetched, Declared: service.Types(), Now: in.Time, Zone: zone,
		Terminology: s.terms.Chart()})
}

// fetchedSource reads the pages of a source. It is never taken for more complete
// than its status says.
func fetchedSource(src decision.Source) (*chart.Source, error) {
	pages := make([][]byte, len(src.Pages))
	for i, p := range src.Pages {
		pages[i] = p.Body
	}
	out, err := chart.ParseSource(src.Key, chart.Limits{}, pages...)
	if err != nil {
		return nil, err
	}
	switch src.Status {
	case decision.SourceComplete:
	case decision.SourcePartial:
		out.Completeness = min(out.Completeness, chart.Partial)
	default:
		out.Completeness = chart.Failed
	}
	return out, nil
}

// evaluation is the work of one decision.
type evaluation struct {
	snapshot *Snapshot
	in       *decision.Inputs
	decision *decision.Decision
	session  *clinical.Session // ended before composing
	ruleTime time.Duration
	late     canceller // set at the call's deadline
	pairs    []pair
	results  []*result
}

// findPairs finds the rules to ask: those of the service's packs for the hook
// whose trigger is the patient, or matches an order. It costs what the orders
// cost, whatever the number of rules.
func (e *evaluation) findPairs(c *chart.Chart, service tenant.Service) {
	orders := c.Orders()
	byOrder, matched := false, make([]int, 0, 32)
	for i := range e.snapshot.packs {
		p := e.snapshot.packs[i]
		if !slices.Contains(service.Packs, p.Name) {
			continue
		}
		if len(p.rules) == 0 {
			e.wholePack(p)
		}
		idx := p.index[e.in.Hook]
		if idx == nil {
			continue
		}
		for _, r := range idx.patient {
			e.pairs = append(e.pairs, pair{p, r, nil})
		}
		byOrder = byOrder || len(idx.order) > 0
		for _, o := range orders {
			matched = idx.match(o, matched)
			for _, r := range matched {
				e.pairs = append(e.pairs, pair{p, r, o})
			}
		}
	}
	if byOrder {
		e.unidentified(orders, c.Request().Drafts.Completeness)
	}
	for _, name := range service.Packs {
		if !slices.ContainsFunc(e.snapshot.packs, func(p *Part) bool { return p.Name == name }) {
			e.decision.Notes = append(e.decision.Notes, decision.Note{Code: "pack-not-live",
				Text: "pack " + name + " belongs to the service and is not live: none of its rules was asked"})
		}
	}
	// The urgent ones first: they are the last to be cut.
	slices.SortStableFunc(e.pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.ruleOf().SeverityFor(e.in.Hook).Rank(), b.ruleOf().SeverityFor(e.in.Hook).Rank()),
			strings.Compare(a.ruleOf().ID, b.ruleOf().ID))
	})
}

// wholePack says that no rule of a pack was asked where nobody can tell which
// rules these are.
func (e *evaluation) wholePack(p *Part) {
	e.results = append(e.results,
		&result{pack: p, title: clinical.CoreText(e.in.Language, "all checks of {pack}", "pack", p.title()),
			order: clinical.CoreText(e.in.Language, "Patient"),
			Finding: &decision.Finding{Rule: decision.WholePack(p.Name), Version: p.Version,
				Subject: decision.PatientSubject,
				Outcome: decision.WasCut, Cut: p.cut(), Severity: string(cdshooks.Warning)}})
}

// unidentified notes the orders whose drug nobody can tell, so that no trigger
// could match them, and that there are orders which did not come.
func (e *evaluation) unidentified(orders []*chart.Order, came chart.Completeness) {
	f := &fact.Fact{Op: decision.Unidentified, Label: "every ordered medication could be identified"}
	for _, o := range orders {
		if o.Type != "MedicationRequest" && o.Type != "MedicationOrder" || o.Identified() {
			continue
		}
		f.Reasons = fact.Merge(f.Reasons, []fact.Reason{o.Reason})
		f.Evidence = append(f.Evidence, fact.Evidence{Ref: o.Ref(), What: o.Name(), Source: o.Source})
		e.decision.Notes = append(e.decision.Notes, decision.Note{Code: "index-not-consulted", Subject: o.Ref(),
			Text: "the index of order triggers was not consulted: " +
				"the ordered medication has no code that the terminology knows"})
	}
	if came != chart.NotSupplied && came != chart.Complete {
		f.Reasons = fact.Merge(f.Reasons, []fact.Reason{{Code: fact.PartialResult, What: "order"}})
		f.Evidence = append(f.Evidence, fact.Evidence{Ref: chart.DraftsKey,
			What: clinical.CoreText(e.in.Language, "order"), Source: chart.DraftsKey})
		e.decision.Notes = append(e.decision.Notes,
			decision.Note{Code: "orders-incomplete", Subject: decision.PatientSubject,
				Text: "orders were left out of " + chart.DraftsKey + ", so no rule was asked about them"})
	}
	if len(f.Evidence) > 0 {
		e.add(nil, &result{Finding: &decision.Finding{Rule: decision.Unidentified, Version: e.in.Engine.Library,
			Subject: decision.PatientSubject, Outcome: decision.Unknown, Severity: "info", Fact: f}})
	}
}

func (e *evaluation) add(p *pair, r *result) {
	if p != nil {
		r.rule, r.pack, r.title = p.ruleOf(), p.pack, p.ruleOf().Title
		r.order = clinical.CoreText(e.in.Language, "Patient")
		if p.subject != nil {
			r.order = clinical.Plain(p.subject.Name())
		}
	}
	e.results = append(e.results, r)
}

// ask evaluates every pair that is not cut.
func (e *evaluation) ask(ctx context.Context) {
	type place struct{ rule, subject string }
	cut := make(map[place]decision.CutReason, len(e.in.Cut))
	for _, c := range e.in.Cut {
		cut[place{c.Rule, c.Subject}] = c.Cause
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, e.late.Cancel)()
	}
	e.results = slices.Grow(e.results, len(e.pairs))
	results, findings := make([]result, len(e.pairs)), make([]decision.Finding, len(e.pairs))
	for i := range e.pairs {
		p, res, f := &e.pairs[i], &results[i], &findings[i]
		r := p.ruleOf()
		*f = decision.Finding{Rule: r.ID, Version: p.pack.Version, Subject: p.subjectName(),
			Severity: string(r.SeverityFor(e.in.Hook))}
		res.Finding = f
		if f.Cut = cmp.Or(p.pack.cut(), cut[place{f.Rule, f.Subject}],
			cut[place{f.Rule, decision.AnySubject}]); f.Cut != "" {
			f.Outcome = decision.WasCut
		} else if a, cause := e.askOne(ctx, p); cause != "" {
			f.Outcome, f.Cut = decision.WasCut, cause
			e.decision.Cut = append(e.decision.Cut, decision.Cut{Rule: f.Rule, Subject: f.Subject, Cause: cause})
		} else if a.err != nil {
			f.Outcome, f.Error = decision.Failed, a.err
		} else {
			f.Outcome, f.Fact, f.Also, res.draft = decision.OutcomeOf(a.fact.State), a.fact, a.also, a.card
		}
		e.add(p, res)
	}
	e.decision.Cut = append(slices.Clip(e.in.Cut), e.decision.Cut...)
}

// askOne evaluates one pair within its time. What it could not finish is cut,
// never half an answer.
func (e *evaluation) askOne(ctx context.Context, p *pair) (answer, decision.CutReason) {
	if ctx.Err() != nil {
		return answer{}, decision.CutDeadline
	}
	cancel := &e.late
	if e.ruleTime > 0 {
		cancel = &canceller{call: &e.late}
		defer time.AfterFunc(e.ruleTime, cancel.Cancel).Stop()
	}
	a := p.pack.program.ask(ctx, p.rule, e.session, p.pack.bound, p.subject, cancel)
	switch {
	case !a.cut:
		return a, ""
	case ctx.Err() != nil:
		return a, decision.CutDeadline
	default:
		return a, decision.CutLimit
	}
}

// canceller ends the evaluation of a call, or of one rule of it: when its own time
// is up, or the call's.
type canceller struct {
	now  atomic.Bool
	call *canceller // nil for the call itself
}

// Cancel ends it.
func (c *canceller) Cancel() { c.now.Store(true) }

// Cancelled reports whether to stop.
func (c *canceller) Cancelled() bool { return c.now.Load() || c.call != nil && c.call.now.Load() }

func (e *evaluation) compose() cdshooks.Response {
	slices.SortStableFunc(e.results, func(a, b *result) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Subject, b.Subject))
	})
	c := &composer{in: e.in, results: e.results, maxCards: e.snapshot.policy.Limits.Cards}
	out := c.compose()
	e.decision.Findings = make([]decision.Finding, len(e.results))
	for i, r := range e.results {
		e.decision.Findings[i] = *r.Finding
	}
	return out
}
