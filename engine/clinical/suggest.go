package clinical

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/precept-cds/precept/engine/chart/rawjson"
)

// Suggestion is something the clinician may accept with a click. It is a
// delete of the draft order Ref, or the creation of Resource; without an action it
// is none, because the draft has no name of its own that a client knows it by.
type Suggestion struct {
	Label    string
	Action   string // delete, create, or empty
	Ref      string // "Type/id"
	Resource []byte // FHIR R4 JSON
}

// Suggestion returns the suggestion a rule's card refers to.
func (s *Session) Suggestion(t *ast.Term) (Suggestion, error) {
	i, err := s.suggestionTable.index(t, len(s.suggestions))
	if err != nil {
		return Suggestion{}, err
	}
	return s.suggestions[i], nil
}

func (s *Session) suggest(x Suggestion) (*ast.Term, error) {
	if err := s.useText(len(x.Label) + len(x.Ref) + len(x.Resource)); err != nil {
		return nil, err
	}
	s.suggestions = append(s.suggestions, x)
	return s.suggestionTable.give(len(s.suggestions) - 1), nil
}

func remove(s *Session, c *Call) (*ast.Term, error) {
	o, err := s.order(c.args[0])
	if err != nil {
		return nil, err
	}
	label := CoreText(s.language, "Remove the order for {drug}", "drug", Plain(o.Name()))
	ref, ok := s.chart.target(o)
	if !ok { // it can be deleted by hand; a client could delete something else
		return s.suggest(Suggestion{Label: label})
	}
	return s.suggest(Suggestion{Label: label, Action: "delete", Ref: ref})
}

// concept is the concept that the options of the creating suggestions name.
func (c *Call) concept() *fhir.CodeableConcept {
	system, code, display := c.text("system"), c.text("code"), c.text("display")
	return &fhir.CodeableConcept{Coding: []fhir.Coding{{System: &system, Code: &code, Display: &display}},
		Text: &display}
}

func requestService(s *Session, c *Call) (*ast.Term, error) {
	return s.create(c.text("label"), fhir.ServiceRequest{
		Status: fhir.RequestStatusDraft, Intent: fhir.RequestIntentProposal, Code: c.concept(), Subject: s.patient(),
	})
}

func proposeMedication(s *Session, c *Call) (*ast.Term, error) {
	return s.create(c.text("label"), fhir.MedicationRequest{
		Status: "draft", Intent: "proposal", MedicationCodeableConcept: *c.concept(), Subject: s.patient(),
	})
}

func (s *Session) create(label string, resource any) (*ast.Term, error) {
	b, err := json.Marshal(resource)
	if err != nil {
		return nil, fmt.Errorf("writing the suggested resource: %w", err)
	}
	tidied, err := tidy(b)
	if err != nil {
		return nil, err
	}
	return s.suggest(Suggestion{Label: label, Action: "create", Resource: tidied})
}

func (s *Session) patient() fhir.Reference {
	ref := "Patient/" + s.chart.patientID()
	return fhir.Reference{Reference: &ref}
}

// tidy drops empty members, which the models write for choices not taken and
// CDS Hooks forbids, and puts the rest in the order of their names. It reads
// what the models wrote, never what a sender did.
func tidy(resource []byte) (jsontext.Value, error) {
	type member struct {
		name  string
		value rawjson.Value
	}
	members := make([]member, 0, 24)
	for m := rawjson.Value(resource).Members(); m.Next(); {
		if m.Value != "{}" && m.Value != "[]" && m.Value != `""` {
			members = append(members, member{m.Name, m.Value})
		}
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	tidied := append(make(jsontext.Value, 0, len(resource)+1), '{')
	for _, m := range members {
		tidied = append(append(append(append(tidied, '"'), m.name...), '"', ':'), m.value...)
		tidied = append(tidied, ',')
	}
	tidied = append(bytes.TrimSuffix(tidied, []byte(",")), '}')
	if err := tidied.Format(); err != nil { // the shortest spelling of every string
		return nil, fmt.Errorf("writing the suggested resource: %w", err)
	}
	return tidied, nil
}
