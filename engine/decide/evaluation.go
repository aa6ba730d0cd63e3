package decide

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/engine/tenant"
)

// evaluation is the work of one decision.
type evaluation struct {
	snapshot *Snapshot
	in       *decision.Inputs
	req      *chart.Request
	service  tenant.Service
	times    Times
	withheld map[pairName]decision.CutReason // by the inputs
	moved    atomic.Bool

	mu       sync.Mutex
	run      *run // in charge of the rest
	decision *decision.Decision
	core     []*result          // findings of no rule
	settled  []result           // of the pairs so far, in their order
	findings []decision.Finding // of settled
	left     []string           // rules that were left behind
	size     int                // of the facts of settled in a record, in bytes, about
}

// pairName names a pair.
type pairName struct{ rule, subject string }

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

// decide asks every pair that is not cut and composes the answer.
func (e *evaluation) decide(ctx context.Context) error {
	c, err := e.snapshot.chart(e.in, e.req, e.service)
	if err != nil {
		return err
	}
	pairs, byOrder := e.pairs(c)
	if byOrder {
		e.unidentified(c)
	}
	e.absent()
	e.malformed()
	if len(e.in.Cut) > 0 {
		e.withheld = make(map[pairName]decision.CutReason, len(e.in.Cut))
	}
	for _, cut := range e.in.Cut {
		e.withheld[pairName{cut.Rule, cut.Subject}] = cut.Cause
	}
	e.settled, e.findings = make([]result, 0, len(pairs)), make([]decision.Finding, 0, len(pairs))
	return e.guard(ctx, e.start(c, pairs, 0))
}

// pairs finds the rules to ask: those of the service's packs for the hook whose
// trigger is the patient, or matches an order; the urgent ones first, as they are to
// be the last to be cut. It costs what the orders cost, whatever the number of rules.
// byOrder says that rules with the trigger of an order were looked through.
func (e *evaluation) pairs(c *chart.Chart) (pairs []pair, byOrder bool) {
	orders := c.Orders()
	matched := make([]int, 0, 32)
	for _, p := range e.snapshot.packs {
		idx := p.index[e.in.Hook]
		if idx == nil || !slices.Contains(e.service.Packs, p.Name) {
			continue
		}
		for _, r := range idx.patient {
			pairs = append(pairs, pair{p, r, nil})
		}
		byOrder = byOrder || len(idx.order) > 0
		for _, o := range orders {
			matched = idx.match(o, matched)
			for _, r := range matched {
				pairs = append(pairs, pair{p, r, o})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.ruleOf().SeverityFor(e.in.Hook).Rank(), b.ruleOf().SeverityFor(e.in.Hook).Rank()),
			strings.Compare(a.ruleOf().ID, b.ruleOf().ID))
	})
	return pairs, byOrder
}

// absent says which packs of the service cannot be asked: one that is not in force,
// and one of which nobody can tell which rules it has.
func (e *evaluation) absent() {
	for _, p := range e.snapshot.packs {
		if len(p.rules) == 0 && slices.Contains(e.service.Packs, p.Name) {
			e.wholePack(p)
		}
	}
	for _, name := range e.service.Packs {
		if !slices.ContainsFunc(e.snapshot.packs, func(p *Part) bool { return p.Name == name }) {
			e.decision.Notes = append(e.decision.Notes, decision.Note{Code: "pack-not-live",
				Text: "pack " + name + " belongs to the service and is not live: none of its rules was asked"})
		}
	}
}

// maxMalformed bounds the notes about malformed prefetch keys.
const maxMalformed = 16

// malformed notes what nobody asked for and nobody can read.
func (e *evaluation) malformed() {
	n := 0
	for i := range e.req.Prefetch {
		if bad := e.req.Prefetch[i].Malformed; bad != nil && n < maxMalformed {
			n++
			e.decision.Notes = append(e.decision.Notes, decision.Note{Code: "prefetch-malformed",
				Text: bad.Path + " is not read: the service does not ask for it, and it has the wrong shape (want " +
					bad.Want + ")"})
		}
	}
}

// wholePack says that no rule of a pack was asked where nobody can tell which
// rules these are.
func (e *evaluation) wholePack(p *Part) {
	e.core = append(e.core,
		&result{pack: p, title: clinical.CoreText(e.in.Language, "all checks of {pack}", "pack", p.title()),
			order: clinical.CoreText(e.in.Language, "Patient"),
			Finding: &decision.Finding{Rule: decision.WholePack(p.Name), Version: p.Version,
				Subject: decision.PatientSubject,
				Outcome: decision.WasCut, Cut: p.cut(), Severity: string(cdshooks.Warning)}})
}

// unidentified notes the orders whose drug nobody can tell, so that no trigger
// could match them, those that are not shown to be for the patient, and that there
// are orders which did not come.
func (e *evaluation) unidentified(c *chart.Chart) {
	f := &fact.Fact{Op: decision.Unidentified, Label: "every ordered medication could be identified"}
	for _, o := range c.Orders() {
		if o.Type != "MedicationRequest" && o.Type != "MedicationOrder" || o.Identified() {
			continue
		}
		f.Reasons = fact.Merge(f.Reasons, []fact.Reason{o.Reason})
		f.Evidence = append(f.Evidence, fact.Evidence{Ref: o.Ref(), What: o.Name(), Source: o.Source})
		if len(o.Drug.Ingredients) > 0 {
			f.Evidence[len(f.Evidence)-1].Value = clinical.CoreText(e.in.Language, "known in part")
			e.decision.Notes = append(e.decision.Notes, decision.Note{Code: "index-consulted-in-part", Subject: o.Ref(),
				Text: "the index of order triggers was consulted for the known ingredients alone: " +
					"beside them stands a code that the terminology does not know"})
			continue
		}
		e.decision.Notes = append(e.decision.Notes, decision.Note{Code: "index-not-consulted", Subject: o.Ref(),
			Text: "the index of order triggers was not consulted: " +
				"the ordered medication has no code that the terminology knows"})
	}
	for _, out := range c.OrdersLeftOut() {
		f.Reasons = fact.Merge(f.Reasons, []fact.Reason{{Code: fact.NotThisPatient, What: "order"}})
		f.Evidence = append(f.Evidence, out)
		e.decision.Notes = append(e.decision.Notes, decision.Note{Code: "order-not-this-patient", Subject: out.Ref,
			Text: "no rule was asked about the order: it is not shown to be for the patient of the call"})
	}
	if came := c.Request().Drafts.Completeness; came != chart.NotSupplied && came != chart.Complete {
		f.Reasons = fact.Merge(f.Reasons, []fact.Reason{{Code: fact.PartialResult, What: "order"}})
		f.Evidence = append(f.Evidence, fact.Evidence{Ref: chart.DraftsKey,
			What: clinical.CoreText(e.in.Language, "order"), Source: chart.DraftsKey})
		e.decision.Notes = append(e.decision.Notes,
			decision.Note{Code: "orders-incomplete", Subject: decision.PatientSubject,
				Text: "orders were left out of " + chart.DraftsKey + ", so no rule was asked about them"})
	}
	if len(f.Evidence) > 0 {
		e.core = append(e.core, &result{Finding: &decision.Finding{Rule: decision.Unidentified,
			Version: e.in.Engine.Library,
			Subject: decision.PatientSubject, Outcome: decision.Unknown, Severity: "info", Fact: f}})
	}
}

// finish composes the answer from what was settled.
func (e *evaluation) finish() error {
	e.decision.Cut = append(slices.Clip(e.in.Cut), e.decision.Cut...)
	results := slices.Grow(e.core, len(e.settled))
	for i := range e.settled {
		results = append(results, &e.settled[i])
	}
	slices.SortStableFunc(results, func(a, b *result) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Subject, b.Subject))
	})
	c := &composer{in: e.in, results: results, maxCards: e.snapshot.policy.Limits.Cards}
	resp := c.compose()
	d := e.decision
	d.Findings = make([]decision.Finding, len(results))
	for i, r := range results {
		d.Findings[i] = *r.Finding
	}
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
	var err error
	d.Response, err = resp.Marshal()
	return err
}

// cut says why a pair is not to be asked, empty if it is.
func (e *evaluation) cut(p *pair) decision.CutReason {
	id := p.ruleOf().ID
	if cause := cmp.Or(p.pack.cut(), e.withheld[pairName{id, p.subjectName()}],
		e.withheld[pairName{id, decision.AnySubject}]); cause != "" {
		return cause
	}
	if slices.Contains(e.left, id) { // only changed between two runs
		return decision.CutRanOn
	}
	return ""
}

// settle notes what came of the next pair. It is called under the lock.
func (e *evaluation) settle(p *pair, a answer, cause decision.CutReason) {
	r := p.ruleOf()
	e.findings = append(e.findings, decision.Finding{Rule: r.ID, Version: p.pack.Version, Subject: p.subjectName(),
		Severity: string(r.SeverityFor(e.in.Hook))})
	f := &e.findings[len(e.findings)-1]
	res := result{Finding: f, rule: r, pack: p.pack, title: r.Title, order: clinical.CoreText(e.in.Language, "Patient")}
	if p.subject != nil {
		res.order = clinical.Plain(p.subject.Name())
	}
	if cause == "" && a.err == nil {
		a.err = e.room(p, a.size)
	}
	switch {
	case cause != "":
		f.Outcome, f.Cut = decision.WasCut, cause
	case a.err != nil:
		f.Outcome, f.Error = decision.Failed, a.err
	case p.subject != nil && p.subject.Doubt != "":
		f.Outcome, f.Fact, f.Also = decision.Unknown, doubted(p.subject, a.fact), a.also
	default:
		f.Outcome, f.Fact, f.Also, res.draft = decision.OutcomeOf(a.fact.State), a.fact, a.also, a.card
	}
	e.settled = append(e.settled, res)
	if cause != "" && p.pack.cut() == "" && !e.recorded(f) {
		e.decision.Cut = append(e.decision.Cut, decision.Cut{Rule: f.Rule, Subject: f.Subject, Cause: cause})
	}
}

// doubted is what a rule can say about an order that has content which must be
// understood and is not, or may forbid what it names: it cannot tell, whatever it
// found.
func doubted(o *chart.Order, found *fact.Fact) *fact.Fact {
	return &fact.Fact{Op: decision.OrderUnderstood, Label: "the order means what its codes say",
		Reasons: []fact.Reason{{Code: o.Doubt, What: "order"}}, Evidence: []fact.Evidence{o.Evidence()},
		Of: []*fact.Fact{found}}
}

// room is an error if a record would hold too much with what a pair found. The urgent
// ones come first.
func (e *evaluation) room(p *pair, size int) *decision.RuleError {
	if most := p.pack.program.code.Library.Bounds().Findings; e.size+size > most {
		return ruleError(&clinical.LimitError{Bound: "findings", Most: most, Of: "bytes of findings in one call",
			At: p.ruleOf().File})
	}
	e.size += size
	return nil
}

// recorded reports whether the inputs have a pair's cut already.
func (e *evaluation) recorded(f *decision.Finding) bool {
	_, pair := e.withheld[pairName{f.Rule, f.Subject}]
	_, rule := e.withheld[pairName{f.Rule, decision.AnySubject}]
	return pair || rule
}
