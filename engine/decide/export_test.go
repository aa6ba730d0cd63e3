package decide

import (
	"context"
	"maps"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
)

// What tests outside of the package look into.
var (
	CaseInputs = caseInputs
	StateOf    = stateOf
)

// Under returns materials with the same packs and policies, and another library.
func (m *Materials) Under(l *clinical.Library) *Materials {
	other := NewMaterials(l)
	m.mu.RLock()
	defer m.mu.RUnlock()
	maps.Copy(other.outlines, m.outlines)
	maps.Copy(other.terms, m.terms)
	maps.Copy(other.policies, m.policies)
	return other
}

// Gated reports that one decision at a time asks a rule of a pack.
func (s *Snapshot) Gated(pack, rule string) bool {
	for _, p := range s.packs {
		if p.Name != pack {
			continue
		}
		for i, r := range p.program.rules {
			if r.ID == pack+"/"+rule {
				return !p.program.compiled[i].gate.open.Load()
			}
		}
	}
	panic("no such rule: " + rule)
}

// ByEvaluator leaves all rules to the evaluator. It is called before anything is decided.
func (m *Materials) ByEvaluator() *Materials {
	m.plain = true
	return m
}

// Planned says of each rule which of its queries have a plan.
func (s *Snapshot) Planned() map[string]struct{ Holds, Card bool } {
	list := map[string]struct{ Holds, Card bool }{}
	for _, p := range s.packs {
		for i, r := range p.program.rules {
			c := &p.program.compiled[i]
			list[r.ID] = struct{ Holds, Card bool }{c.holds.plan != nil, c.card.plan != nil}
		}
	}
	return list
}

// Usage is what a pair used of its bounds, how often it asked whether to end, and whether
// it did.
type Usage struct {
	clinical.Used
	Asked int
	Cut   bool
}

// countdown says to end when it was asked so often; 0 never does.
type countdown struct{ asked, end int }

func (*countdown) Cancel() {}

func (c *countdown) Cancelled() bool {
	c.asked++
	return c.end > 0 && c.asked >= c.end
}

// Usage asks every pair of a call, and tells each to end at the question number end,
// unless that is 0.
func (s *Snapshot) Usage(in *decision.Inputs, req *chart.Request, end int) (map[string]Usage, error) {
	service, _ := s.policy.Service(in.Service, in.Hook)
	c, err := s.chart(in, req, service)
	if err != nil {
		return nil, err
	}
	e := &evaluation{snapshot: s, in: in, req: req, service: service}
	pairs, _ := e.pairs(c)
	session, list := s.sessions.Start(c, in.Language), map[string]Usage{}
	for _, p := range pairs {
		c := &countdown{end: end}
		a := p.pack.program.ask(context.Background(), p.rule, session, p.pack.bound, p.subject, c)
		list[p.ruleOf().ID+" "+p.subjectName()] = Usage{session.Used(), c.asked, a.cut}
	}
	s.sessions.End(session)
	return list, nil
}
