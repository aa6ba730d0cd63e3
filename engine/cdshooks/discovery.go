package cdshooks

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrDiscovery says that a discovery document would break the specification;
// the message names the service and the member.
var ErrDiscovery = errors.New("discovery is not conformant")

// Discovery is the answer to GET cds-services.
type Discovery struct {
	Services []Service `json:"services"` // never null, may be empty
}

// Service is one entry of the discovery document.
type Service struct {
	Hook              string    `json:"hook"`
	Title             string    `json:"title,omitempty"`
	Description       string    `json:"description"`
	ID                string    `json:"id"`
	Prefetch          Templates `json:"prefetch,omitempty"`
	UsageRequirements string    `json:"usageRequirements,omitempty"`
}

// Template is one prefetch key and its FHIR query.
type Template struct{ Key, Query string }

// Templates is a prefetch object. Its order is that of declaration, also on
// the wire: from CDS Hooks 3 on a template may build on an earlier one.
type Templates []Template

// MarshalJSONTo writes the templates as one object, in order.
func (t Templates) MarshalJSONTo(e *jsontext.Encoder) error {
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, p := range t {
		if err := e.WriteToken(jsontext.String(p.Key)); err != nil {
			return err
		}
		if err := e.WriteToken(jsontext.String(p.Query)); err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndObject)
}

// UnmarshalJSONFrom reads an object of strings and keeps its order.
func (t *Templates) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*t = nil
	if d.PeekKind() != '{' {
		return errors.New("prefetch must be an object")
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		key, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := key.String()
		query, err := d.ReadToken()
		if err != nil {
			return err
		}
		if query.Kind() != '"' {
			return errors.New("prefetch templates must be strings")
		}
		*t = append(*t, Template{Key: name, Query: query.String()})
	}
	_, err := d.ReadToken()
	return err
}

// Marshal checks the document and writes it. The same document always gives
// the same bytes.
func (d Discovery) Marshal() ([]byte, error) {
	if d.Services == nil {
		d.Services = []Service{}
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(d, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("writing discovery: %w", err)
	}
	return b, nil
}

// Check compares a document with the specification. One id may name
// several hooks, but only once for each.
func (d Discovery) Check() error {
	seen := map[[2]string]bool{}
	for i, s := range d.Services {
		switch at := [2]string{s.ID, s.Hook}; {
		case s.ID == "" || s.Hook == "" || s.Description == "":
			return fmt.Errorf("service %d needs id, hook and description: %w", i, ErrDiscovery)
		case seen[at]:
			return fmt.Errorf("service %q is listed twice for hook %q: %w", s.ID, s.Hook, ErrDiscovery)
		default:
			seen[at] = true
		}
		for _, p := range s.Prefetch {
			if p.Key == "" || p.Query == "" {
				return fmt.Errorf("prefetch of service %q needs keys and queries: %w", s.ID, ErrDiscovery)
			}
		}
	}
	return nil
}
