package decide

import (
	"slices"
	"strings"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/rulepacks"
)

// outline is a pack by its metadata: which rules it has and what each is asked
// about. It is there whether or not the pack can be run.
type outline struct {
	pack  *rulepacks.Pack          // nil if the archive is not at hand
	rules []*clinical.Rule         // sorted by id; none if they cannot be read
	index map[string]*triggerIndex // by hook
}

func newOutline(pack *rulepacks.Pack) *outline {
	o := &outline{pack: pack}
	rules, err := clinical.Outline(pack)
	if err != nil {
		return o // compiling says what is wrong with them
	}
	o.rules = rules
	o.indexTriggers()
	return o
}

// Part is one pack of a snapshot, in force and run, or with what keeps it from
// that.
type Part struct {
	decision.Ref
	*outline
	program *Program       // nil unless the mode is active
	bound   *clinical.Pack // likewise
}

// Rules returns the short ids of the pack's rules, sorted; none if nobody can tell.
func (p *Part) Rules() []string {
	names := make([]string, len(p.rules))
	for i, r := range p.rules {
		names[i] = p.short(r)
	}
	return names
}

func (p *Part) short(r *clinical.Rule) string { return strings.TrimPrefix(r.ID, p.Name+"/") }

// cut says why no rule of the pack is asked; empty if they are.
func (p *Part) cut() decision.CutReason {
	switch p.Mode {
	case decision.Active:
		return ""
	case decision.NotRunnable:
		return decision.CutNotRun
	default:
		return decision.CutSuspension
	}
}

// title names the pack for people.
func (p *Part) title() string {
	if p.pack == nil {
		return p.Name
	}
	return p.pack.Manifest.Title
}

// triggerIndex says, for one hook, which rules of a pack are asked: those
// about the patient always, those about orders by the codes of their trigger.
// Finding them costs a look-up per code of an order, whatever their number.
type triggerIndex struct {
	patient []int
	order   map[triggerCode][]int
}

type triggerCode struct{ system, code string }

func (o *outline) indexTriggers() {
	o.index = map[string]*triggerIndex{}
	for i, r := range o.rules {
		for _, hook := range r.Hooks {
			idx := o.index[hook]
			if idx == nil {
				idx = &triggerIndex{order: map[triggerCode][]int{}}
				o.index[hook] = idx
			}
			if len(r.Triggers) == 0 {
				idx.patient = append(idx.patient, i)
			}
			for _, id := range r.Triggers {
				set, ok := o.pack.ValueSet(id)
				if !ok {
					continue // a pack that does not compile, either
				}
				for _, c := range set.Codes {
					key := triggerCode{c.System, c.Code}
					idx.order[key] = append(idx.order[key], i)
				}
			}
		}
	}
}

// match returns the rules that an order triggers, each once, in the order of the
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
