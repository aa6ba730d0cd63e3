package decide_test

import (
	"slices"
	"testing"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/rulepacks"
)

// TestAllergyPack takes a rule about allergies from its cases to what it reads: the
// key allergies answers for it, and a service without one is known to lack it.
func TestAllergyPack(t *testing.T) {
	pack := decidetest.PackOf(t, "1.0.0", map[string]string{"cases/allergies.yaml": `cases:
  - &allergic
    name: allergic
    hook: order-sign
    time: "2026-03-02T10:00:00-05:00"
    zone: America/New_York
    context: &order
      patientId: p1
      userId: Practitioner/u1
      draftOrders:
        resourceType: Bundle
        type: collection
        entry:
          - resource:
              resourceType: MedicationRequest
              id: d
              status: draft
              intent: order
              subject: {reference: Patient/p1}
              medicationCodeableConcept:
                coding: [{system: "http://www.nlm.nih.gov/research/umls/rxnorm", code: "6809"}]
    prefetch:
      allergies:
        resourceType: Bundle
        type: searchset
        entry:
          - resource:
              resourceType: AllergyIntolerance
              id: a
              patient: {reference: Patient/p1}
              code: {coding: [{system: "http://www.nlm.nih.gov/research/umls/rxnorm", code: "6809"}]}
    want: [{rule: allergic, subject: MedicationRequest/d, state: "true"}]
  - <<: *allergic
    name: none-on-file
    prefetch: {allergies: null}
    want: [{rule: allergic, subject: MedicationRequest/d, state: "false"}]
  - <<: *allergic
    name: not-supplied
    prefetch: {}
    want: [{rule: allergic, subject: MedicationRequest/d, state: "unknown", reasons: [not-supplied]}]
`}, decidetest.Rule{ID: "allergic", Trigger: "{order: metformin}",
		Body: `holds := fhir.allergy_to({"set": "metformin"})` + "\n\n" + decidetest.PlainCard})
	program := casesHold(t, pack)
	if reads := program.Reads("order-sign"); !slices.Equal(reads, []string{"AllergyIntolerance"}) {
		t.Errorf("the rule reads %q", reads)
	}
}

// casesHold runs the golden cases of a pack and returns its program.
func casesHold(t *testing.T, pack *rulepacks.Pack) *decide.Program {
	t.Helper()
	results, err := decide.RunCases(t.Context(), pack, decidetest.ReferencePack(t, "terminology_core"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		for _, p := range r.Problems {
			t.Errorf("%s: %s", r.Case.Name, p)
		}
	}
	m := decide.NewMaterials()
	decidetest.Must(t, m.AddPack(pack))
	program, err := m.Program(pack.Digest, decidetest.Ref(pack).Library)
	if err != nil {
		t.Fatal(err)
	}
	return program
}
