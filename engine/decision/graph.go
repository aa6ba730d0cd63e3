package decision

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/fact"
)

// The facts of a finding are a graph, and are written as one: a list of facts,
// each after those that it is made of, and a list of values. What refers to one
// names its place in the list.
//
//	{"rule":"p/r",...,"fact":2,"also":[3],
//	 "facts":[{"op":"fhir.takes",...},{"op":"fact.less","values":[0],...},
//	          {"op":"fact.all","of":[0,1],...},{"op":"fhir.condition",...}],
//	 "values":[{"name":"eGFR",...}]}
//
// There is one way to number them, so one finding has one spelling; since a fact
// refers to earlier ones only, no spelling has a circle.

// Places are the facts and values of a finding in the order that JSON has them.
type Places struct {
	Facts  fact.Distinct[*fact.Fact]
	Values fact.Distinct[*fact.Value]
}

// Places numbers what the finding rests on.
func (f *Finding) Places() *Places {
	p := &Places{}
	if f.Fact != nil {
		p.add(f.Fact)
	}
	for _, a := range f.Also {
		p.add(a)
	}
	return p
}

// add numbers a fact after those it is made of.
func (p *Places) add(f *fact.Fact) {
	if _, ok := p.Facts.Find(f); ok {
		return
	}
	for _, o := range f.Of {
		p.add(o)
	}
	for _, v := range f.Values {
		p.Values.Add(v)
	}
	p.Facts.Add(f)
}

// FactsAt returns the places of some facts of the finding.
func (p *Places) FactsAt(facts ...*fact.Fact) []int { return places(&p.Facts, facts) }

// ValuesAt returns the places of some values of the finding.
func (p *Places) ValuesAt(values ...*fact.Value) []int { return places(&p.Values, values) }

func places[T comparable](in *fact.Distinct[T], list []T) []int {
	var at []int
	for _, x := range list {
		i, _ := in.Find(x)
		at = append(at, i)
	}
	return at
}

// node is a fact that names others by their places.
type node struct {
	*fact.Fact
	Values []int `json:"values,omitempty"`
	Of     []int `json:"of,omitempty"`
}

// written is a finding as JSON.
type written struct {
	finding
	Fact   *int          `json:"fact,omitempty"`
	Also   []int         `json:"also,omitempty"`
	Facts  []node        `json:"facts,omitempty"`
	Values []*fact.Value `json:"values,omitempty"`
}

type finding Finding // without its methods

var errGraph = errors.New("facts are not numbered as they must be")

// MarshalJSONTo writes the facts of the finding as a graph.
func (f *Finding) MarshalJSONTo(enc *jsontext.Encoder) error {
	p := f.Places()
	if len(p.Facts.List) > fact.MaxNodes || len(p.Values.List) > fact.MaxNodes {
		return fmt.Errorf("finding of rule %s on %s has more than %d facts or values", f.Rule, ShortRef(f.Subject),
			fact.MaxNodes)
	}
	w := written{finding: finding(*f), Also: p.FactsAt(f.Also...), Values: p.Values.List}
	if f.Fact != nil {
		w.Fact = &p.FactsAt(f.Fact)[0]
	}
	w.Facts = make([]node, len(p.Facts.List))
	for i, x := range p.Facts.List {
		w.Facts[i] = node{x, p.ValuesAt(x.Values...), p.FactsAt(x.Of...)}
	}
	return json.MarshalEncode(enc, &w)
}

// UnmarshalJSONFrom reads what MarshalJSONTo writes, and nothing else.
func (f *Finding) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var w written
	if err := json.UnmarshalDecode(dec, &w); err != nil {
		return err
	}
	*f = Finding(w.finding)
	if len(w.Facts) > fact.MaxNodes || len(w.Values) > fact.MaxNodes {
		return fmt.Errorf("more than %d facts or values", fact.MaxNodes)
	}
	facts := make([]*fact.Fact, len(w.Facts))
	var err error
	for i, x := range w.Facts {
		if facts[i] = x.Fact; x.Fact == nil {
			return errGraph
		}
		if x.Fact.Of, err = pick(facts[:i], x.Of); err != nil {
			return err
		}
		if x.Fact.Values, err = pick(w.Values, x.Values); err != nil {
			return err
		}
	}
	if w.Fact != nil {
		w.Also = append([]int{*w.Fact}, w.Also...)
	}
	if f.Also, err = pick(facts, w.Also); err != nil {
		return err
	}
	if w.Fact != nil {
		if f.Fact, f.Also = f.Also[0], f.Also[1:]; len(f.Also) == 0 {
			f.Also = nil
		}
	}
	if p := f.Places(); !slices.Equal(p.Facts.List, facts) || !slices.Equal(p.Values.List, w.Values) {
		return errGraph
	}
	return nil
}

// pick returns the entries of a list at some places.
func pick[T any](list []*T, places []int) ([]*T, error) {
	if len(places) == 0 {
		return nil, nil
	}
	picked := make([]*T, len(places))
	for i, at := range places {
		if at < 0 || at >= len(list) || list[at] == nil {
			return nil, errGraph
		}
		picked[i] = list[at]
	}
	return picked, nil
}
