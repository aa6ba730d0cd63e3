package decide

import (
	"slices"
	"strings"

	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/rulepacks"
)

// states are what golden cases have to show of each rule.
var states = []string{"true", "false", "unknown"}

// Unshown is a rule of a pack that no golden case shows in some states.
type Unshown struct {
	Rule   string // without the pack
	States []string
}

// Unshown lists what the golden cases of a pack do not show, by rule. What rules there are
// is read from the code; what counts is a case that ran here with this terminology and
// held. A pack that [Materials.Fit] does not take shows nothing.
func (m *Materials) Unshown(ref decision.Ref, terms *decision.Ref) ([]Unshown, error) {
	p, err := m.Program(rulepacks.Digest(ref.Digest), ref.Library)
	if err != nil {
		return nil, err
	}
	var shown map[wanted]bool
	if terms != nil {
		m.mu.RLock()
		shown = m.verdicts[verdict{build{p.pack.Digest, ref.Library}, rulepacks.Digest(terms.Digest)}].shown
		m.mu.RUnlock()
	}
	var list []Unshown
	for _, r := range p.rules {
		x := Unshown{Rule: strings.TrimPrefix(r.ID, p.pack.Manifest.Name+"/")}
		for _, state := range states {
			if !shown[wanted{x.Rule, state}] {
				x.States = append(x.States, state)
			}
		}
		if len(x.States) > 0 {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b Unshown) int { return strings.Compare(a.Rule, b.Rule) })
	return list, nil
}

// wanted is a rule in a state that a case wants.
type wanted struct{ rule, state string }

// shownBy collects what cases show: those that name their findings, all of them, and hold.
func shownBy(results []CaseResult) map[wanted]bool {
	shown := map[wanted]bool{}
	for _, r := range results {
		if len(r.Problems) > 0 {
			continue
		}
		for _, w := range r.Case.Want {
			shown[wanted{w.Rule, w.State}] = true
		}
	}
	return shown
}
