package engine

import (
	"slices"

	"github.com/precept-cds/precept/engine/chart"
)

// triggerIndex says, for one hook, which rules of a pack are asked: those
// about the patient always, those about orders by the codes of their trigger.
// Finding them costs a look-up per code of an order, whatever their number.
type triggerIndex struct {
	patient []int
	order   map[triggerCode][]int
}

type triggerCode struct{ system, code string }

func (p *Program) indexTriggers() {
	p.index = map[string]*triggerIndex{}
	for i, r := range p.rules {
		for _, hook := range r.Hooks {
			idx := p.index[hook]
			if idx == nil {
				idx = &triggerIndex{order: map[triggerCode][]int{}}
				p.index[hook] = idx
			}
			if r.Trigger == "" {
				idx.patient = append(idx.patient, i)
				continue
			}
			set, _ := p.pack.ValueSet(r.Trigger)
			for _, c := range set.Codes {
				key := triggerCode{c.System, c.Code}
				idx.order[key] = append(idx.order[key], i)
			}
		}
	}
}

// match gives the rules that an order triggers, each once, in the order of the
// pack: by its own codes, and by the ingredients of the drug. It uses the space
// of rules.
func (x *triggerIndex) match(o *chart.Order, rules []int) []int {
	rules = rules[:0]
	for _, list := range [3][]chart.Coding{o.Codings, o.Drug.Codings, o.Drug.Ingredients} {
		for _, c := range list {
			rules = append(rules, x.order[triggerCode{c.System, c.Code}]...)
		}
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// reads gives the FHIR resource types that the pack's rules for a hook look
// into, sorted.
func (p *Program) reads(hook string) []string {
	var types []string
	for _, r := range p.rules {
		if slices.Contains(r.Hooks, hook) {
			types = append(types, r.Reads...)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}
