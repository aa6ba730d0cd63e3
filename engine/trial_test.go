package engine

import (
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
)

// Packs made for a test.

// withTrial adds a trial pack to a tenant's service and makes it live.
func (n *node) withTrial(id tenant.ID, p *rulepacks.Pack, change ...func(*tenant.Policy)) {
	n.Helper()
	pol := decidetest.PolicyFor(n, id)
	for i := range pol.Services {
		pol.Services[i].Packs = append(pol.Services[i].Packs, "trial")
	}
	for _, f := range change {
		f(&pol)
	}
	n.policy(id, pol)
	n.activate(id, p)
}
