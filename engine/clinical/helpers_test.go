package clinical

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks"
)

// The calls of these tests are made on 2 March 2026 at 10:00 in New York.
var callTime = time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC)

func embedded(t testing.TB, name string) *rulepacks.Pack {
	t.Helper()
	p, err := rulepacks.ReadEmbedded(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// nsaids is the code of the pack of NSAIDs, read once.
var nsaids = sync.OnceValue(func() *Code {
	pack, err := rulepacks.ReadEmbedded("nsaid_anticoagulant")
	if err != nil {
		panic(err)
	}
	code, err := Newest().ReadCode(pack)
	if err != nil {
		panic(err)
	}
	return code
})

// drugs is the terminology of these tests, read once.
var drugs = sync.OnceValue(func() *Terminology {
	pack, err := rulepacks.ReadEmbedded("terminology_core")
	if err != nil {
		panic(err)
	}
	terms, err := NewTerminology(pack)
	if err != nil {
		panic(err)
	}
	return terms
})

// bundle writes a searchset of resources.
func bundle(resources ...string) string {
	entries := make([]string, len(resources))
	for i, r := range resources {
		entries[i] = `{"resource":` + ours(r) + `}`
	}
	return `{"resourceType":"Bundle","type":"searchset","entry":[` + strings.Join(entries, ",") + `]}`
}

// ours makes a resource one about the patient of the call, unless it says about
// whom it is.
func ours(resource string) string {
	for _, named := range []string{`"subject"`, `"patient"`, `"resourceType":"Patient"`} {
		if strings.Contains(resource, named) {
			return resource
		}
	}
	return strings.Replace(resource, `{`, `{"subject":{"reference":"Patient/p1"},`, 1)
}

const everyType = "everything"

// asked is a session over one chart, turned to the pack of NSAIDs and, if
// there is one, to the first draft order.
type asked struct {
	*Session
	testing.TB
}

// ask makes a call of draft orders and of one source with everything else,
// which is complete unless it is "".
func ask(t testing.TB, drafts, source string, change ...func(*chart.Inputs)) asked {
	t.Helper()
	prefetch := "{}"
	if source != "" {
		prefetch = `{"` + everyType + `":` + source + `}`
	}
	if drafts == "" {
		drafts = bundle()
	}
	body := fmt.Sprintf(`{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002",`+
		`"context":{"patientId":"p1","draftOrders":%s},"prefetch":%s}`, drafts, prefetch)
	req, err := chart.Parse([]byte(body), chart.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	zone, err := dates.Zone("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	terms := drugs()
	in := chart.Inputs{Request: req, Now: callTime, Zone: zone, Terminology: terms.Chart(),
		Declared: map[string][]string{everyType: readTypes()}}
	for _, f := range change {
		f(&in)
	}
	c, err := chart.New(in)
	if err != nil {
		t.Fatal(err)
	}
	pack, err := nsaids().Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := new(Sessions).Start(c, "en")
	var subject *chart.Order
	if orders := c.Orders(); len(orders) > 0 {
		subject = orders[0]
	}
	s.Ask(pack, subject)
	return asked{s, t}
}

// call calls a function of the library with arguments in Rego.
func (a asked) call(name string, args ...string) (*ast.Term, error) {
	a.Helper()
	f := a.lib.library.byName[name]
	if f == nil || f.decl.Decl.Arity() != len(args) {
		a.Fatalf("there is no %s of %d arguments", name, len(args))
	}
	terms := make([]*ast.Term, len(args))
	for i, text := range args {
		terms[i] = a.handles(ast.MustParseTerm(text))
	}
	return a.run(f, nil, terms)
}

// handles puts the handles that the session gave in the place of what is written
// like them.
func (a asked) handles(t *ast.Term) *ast.Term {
	switch v := t.Value.(type) {
	case *ast.Array:
		list := make([]*ast.Term, 0, v.Len())
		v.Foreach(func(x *ast.Term) { list = append(list, a.handles(x)) })
		return ast.ArrayTerm(list...)
	case ast.Object:
		for _, given := range []struct {
			table
			n int
		}{{a.factTable, len(a.facts)}, {a.valueTable, len(a.values)}, {a.dateTable, len(a.dates)}, {a.orderTable, 1},
			{a.suggestionTable, len(a.suggestions)}} {
			all := append(given.ready[:len(given.ready):len(given.ready)], given.late...)
			for _, x := range all[:given.n] {
				if x.Equal(t) {
					return x
				}
			}
		}
		same, _ := v.Map(func(k, x *ast.Term) (*ast.Term, *ast.Term, error) { return k, a.handles(x), nil })
		return ast.NewTerm(same)
	}
	return t
}

func (a asked) fact(name string, args ...string) *fact.Fact {
	a.Helper()
	t, err := a.call(name, args...)
	if err != nil {
		a.Fatal(err)
	}
	got, err := a.Fact(t)
	if err != nil {
		a.Fatal(err)
	}
	return got
}

func (a asked) value(name string, args ...string) *fact.Value {
	a.Helper()
	t, err := a.call(name, args...)
	if err != nil {
		a.Fatal(err)
	}
	got, err := a.Session.value(t)
	if err != nil {
		a.Fatal(err)
	}
	return got
}

// readTypes are the types that some function of the library reads.
func readTypes() (list []string) {
	for _, f := range Newest().functions {
		for _, t := range f.Reads {
			if !slices.Contains(list, t) {
				list = append(list, t)
			}
		}
	}
	return list
}

// codes lists the codes of reasons.
func codes(reasons []fact.Reason) string {
	list := make([]string, len(reasons))
	for i, r := range reasons {
		list[i] = string(r.Code)
	}
	return strings.Join(list, " ")
}

const rxnorm = `"system":"http://www.nlm.nih.gov/research/umls/rxnorm"`

// med writes a medication resource: its type, drug code and other members.
func med(typ, id, drug, rest string) string {
	name := `"medicationCodeableConcept":{"coding":[{` + rxnorm + `,"code":"` + drug + `"}]}`
	return fmt.Sprintf(`{"resourceType":%q,"id":%q,%s%s}`, typ, id, name, rest)
}

// lab writes a final Observation of a LOINC code with a value in mg/dL or
// whatever rest says.
func labResult(id, code, when, value string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"coding":[{"system":"http://loinc.org","code":%q}]},"effectiveDateTime":%q,%s}`,
		id, code, when, value)
}

func quantity(n, unit string) string {
	return fmt.Sprintf(`"valueQuantity":{"value":%s,"unit":%q,"system":"http://unitsofmeasure.org","code":%q}`, n,
		unit, unit)
}

func person(birth, gender string) string {
	return fmt.Sprintf(`{"resourceType":"Patient","id":"p1","birthDate":%q,"gender":%q}`, birth, gender)
}
