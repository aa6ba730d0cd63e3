package decide

import (
	"maps"

	"github.com/precept-cds/precept/engine/clinical"
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
