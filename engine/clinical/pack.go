package clinical

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/rulepacks"
)

// Pack is what the built-ins need of a pack, as one tenant has set it: value
// sets, translations and parameters. It is immutable and shared.
type Pack struct {
	pack     *rulepacks.Pack
	messages map[string]rulepacks.Messages
	params   map[string]*ast.Term
}

// Bind gives the pack with the tenant's parameters; what is not set takes the
// pack's default. A parameter that the pack does not declare, or a value that
// does not fit, is refused.
func Bind(pack *rulepacks.Pack, set map[string]jsontext.Value) (*Pack, error) {
	p := &Pack{pack: pack, messages: pack.Messages, params: map[string]*ast.Term{}}
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
		v, err := ast.ValueFromReader(bytes.NewReader(value))
		if err != nil {
			return nil, fmt.Errorf("setting parameter %s of pack %s: %w", decl.Name, pack.Manifest.Name, err)
		}
		p.params[decl.Name] = ast.NewTerm(v)
	}
	return p, nil
}

func (p *Pack) set(id string) (*rulepacks.ValueSet, error) {
	v, ok := p.pack.ValueSet(id)
	if !ok {
		return nil, fmt.Errorf("the pack has no value set %q; add valuesets/%s.json", id, id)
	}
	return v, nil
}

// title gives a value set's name for people.
func (p *Pack) title(id string) string {
	for _, v := range p.pack.Manifest.ValueSets {
		if v.ID == id && v.Title != "" {
			return v.Title
		}
	}
	return id
}
