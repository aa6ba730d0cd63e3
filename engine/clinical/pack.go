package clinical

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Pack is what the functions need of a pack, as one tenant has set it: value
// sets, translations and parameters. It is immutable and shared.
type Pack struct {
	library  *Library
	code     *Code
	messages map[string]rulepacks.Messages
	params   map[string]*ast.Term
	sets     map[string]*valueSet
}

// valueSet is a value set with its name for people and its codes as charts
// look for them.
type valueSet struct {
	*vocab.ValueSet
	title                             string
	codings                           []chart.Coding
	systems                           []string // that it has codes of, each once
	ordered, takes, has, everHad, had string   // labels of facts about it
}

// Bind returns the pack with the tenant's parameters; what is not set takes the
// pack's default. A parameter that the pack does not declare, or a value that
// does not fit it or an option it stands for, is refused.
func (c *Code) Bind(set map[string]jsontext.Value) (*Pack, error) {
	pack := c.pack
	p := &Pack{library: c.Library, code: c, messages: pack.Messages, params: map[string]*ast.Term{}, sets: valueSets(pack)}
	for name := range set {
		if _, ok := pack.Manifest.Parameters.Get(name); !ok {
			return nil, fmt.Errorf("setting parameters of pack %s: it has no parameter %q", pack.Manifest.Name, name)
		}
	}
	for _, decl := range pack.Manifest.Parameters {
		value := decl.Default
		if v, ok := set[decl.Name]; ok {
			value = v
		}
		if err := decl.Validate(value); err != nil {
			return nil, fmt.Errorf("setting parameter %s of pack %s: %w", decl.Name, pack.Manifest.Name, err)
		}
		t, err := termOf(value)
		if err != nil {
			return nil, fmt.Errorf("setting parameter %s of pack %s: %w", decl.Name, pack.Manifest.Name, err)
		}
		p.params[decl.Name] = t
	}
	for _, u := range c.Uses {
		for _, o := range u.Options {
			if o.Param == "" {
				continue
			}
			if _, m := o.read(p.params[o.Param].Value); m != nil {
				return nil, fmt.Errorf("setting parameter %s of pack %s: as option %s of %s it %s; %s: %w", o.Param,
					pack.Manifest.Name, o.Name, u.Function.Name, m.what, m.hint, manifest.ErrParameter)
			}
		}
	}
	return p, nil
}

// valueSets makes the value sets of a pack ready for use.
func valueSets(pack *rulepacks.Pack) map[string]*valueSet {
	sets := make(map[string]*valueSet, len(pack.ValueSets))
	for _, v := range pack.ValueSets {
		s := &valueSet{ValueSet: v, title: v.ID, codings: make([]chart.Coding, len(v.Codes))}
		for i, code := range v.Codes {
			s.codings[i] = chart.Coding{System: code.System, Code: code.Code}
			if !slices.Contains(s.systems, code.System) {
				s.systems = append(s.systems, code.System)
			}
		}
		sets[v.ID] = s
	}
	for _, v := range pack.Manifest.ValueSets {
		if s := sets[v.ID]; s != nil && v.Title != "" {
			s.title = v.Title
		}
	}
	for _, s := range sets {
		s.ordered, s.takes = "the order is of "+s.title, "takes "+s.title
		s.has, s.everHad = "has "+s.title, "ever had "+s.title
		s.had = "had " + s.title
	}
	return sets
}

func (p *Pack) set(id string) (*valueSet, error) {
	v, ok := p.sets[id]
	if !ok {
		return nil, fmt.Errorf("the pack has no value set %q; add valuesets/%s.json", id, id)
	}
	return v, nil
}
