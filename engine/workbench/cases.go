package workbench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/casefile"
)

// Counts says in how many cases a rule is wanted in each state.
type Counts struct {
	True    int `json:"true"`
	False   int `json:"false"`
	Unknown int `json:"unknown"`
}

func (n *Counts) count(state string) {
	switch state {
	case "true":
		n.True++
	case "false":
		n.False++
	default:
		n.Unknown++
	}
}

// missing names the states that were not counted.
func (n Counts) missing() []string {
	var list []string
	for _, s := range []struct {
		name string
		n    int
	}{{"true", n.True}, {"false", n.False}, {"unknown", n.Unknown}} {
		if s.n == 0 {
			list = append(list, s.name)
		}
	}
	return list
}

// unshown is what comes of a state that no case shows.
const unshown = "a server activates the pack only if its clinical reviewers waive that by name (sign review --waive)"

// cases asks for a case of each rule in each state, and for cases about rules
// that exist.
func (c *check) cases() {
	counts := caseCounts(c.pack)
	for _, r := range c.read.Rules {
		id := short(c.pack, r.ID)
		n := counts[id]
		delete(counts, id)
		missing := n.missing()
		switch len(missing) {
		case 0:
		case 3:
			c.add(casefile.ErrCase, r.File, r.Line, "write cases that want it true, false and unknown; "+unshown,
				"no case asks the rule %s", id)
		default:
			c.add(casefile.ErrCase, r.File, r.Line, "write one; "+unshown, "no case wants the rule %s %s", id,
				strings.Join(missing, " or "))
		}
	}
	for _, k := range c.pack.Cases {
		for _, w := range k.Want {
			if _, unknown := counts[w.Rule]; unknown && !core(w.Rule) {
				c.add(casefile.ErrCase, k.File, k.Line, "use the id in the rule's metadata",
					"case %s wants the rule %s, which the pack does not have", k.Name, w.Rule)
			}
		}
	}
}

// core reports whether a wanted finding is one of Precept's own.
func core(rule string) bool { return rule == decision.Unidentified || rule == decision.NotChecked }

// caseCounts counts the wanted findings by the rule's name in the pack.
func caseCounts(pack *rulepacks.Pack) map[string]Counts {
	counts := map[string]Counts{}
	for _, k := range pack.Cases {
		for _, w := range k.Want {
			n := counts[w.Rule]
			n.count(w.State)
			counts[w.Rule] = n
		}
	}
	return counts
}

// short is a rule's id without the pack.
func short(pack *rulepacks.Pack, id string) string {
	return strings.TrimPrefix(id, pack.Manifest.Name+"/")
}

// Site is one call in a pack that gives a fact on which some rule's answer
// rests, and how often it was seen in each state.
type Site struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Function string   `json:"function"`
	Rules    []string `json:"rules"` // names of the rules that reach it from holds
	Counts
}

// Missing names the states the fact was never seen in.
func (s Site) Missing() []string { return s.missing() }

// Coverage counts, for every call that a rule's holds reaches, in which states
// its fact was seen in the given fact trees: those of the findings of the
// pack's cases. Calls of one function on one line are counted as one. Facts
// that only word a card are not part of a finding and not counted. The error
// says that the pack does not compile.
func Coverage(pack *rulepacks.Pack, facts []*fact.Fact) ([]Site, error) {
	code, err := readCode(pack)
	if err != nil {
		return nil, fmt.Errorf("reading pack %s: %w", pack.Manifest.Name, err)
	}
	index := map[string]int{}
	var sites []Site
	for _, r := range code.Rules {
		for _, u := range r.Asks {
			if !u.Function.GivesFact() {
				continue
			}
			key := siteKey(u.Function.Name, fmt.Sprintf("%s:%d", u.File, u.Line))
			i, ok := index[key]
			if !ok {
				i = len(sites)
				index[key] = i
				sites = append(sites, Site{File: u.File, Line: u.Line, Function: u.Function.Name})
			}
			if name := short(pack, r.ID); !slices.Contains(sites[i].Rules, name) {
				sites[i].Rules = append(sites[i].Rules, name)
			}
		}
	}
	for _, f := range facts {
		f.Walk(func(x *fact.Fact) {
			if i, ok := index[siteKey(x.Op, x.At)]; ok {
				sites[i].count(x.State.String())
			}
		})
	}
	slices.SortFunc(sites, func(a, b Site) int {
		return strings.Compare(fmt.Sprintf("%s:%09d %s", a.File, a.Line, a.Function),
			fmt.Sprintf("%s:%09d %s", b.File, b.Line, b.Function))
	})
	return sites, nil
}

func siteKey(function, at string) string { return function + " " + at }
