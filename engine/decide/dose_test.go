package decide_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
)

// doseCase is a golden case of one draft of metformin with a dosage instruction.
func doseCase(name, instruction, state, reasons string) string {
	return fmt.Sprintf(`  - name: %s
    hook: order-sign
    time: "2026-03-02T10:00:00-05:00"
    zone: America/New_York
    context:
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
              dosageInstruction: [%s]
    prefetch: {}
    want: [{rule: much, subject: MedicationRequest/d, state: "%s"%s}]
`, name, instruction, state, reasons)
}

// TestDosePack takes a rule about a daily dose through its cases: above the limit,
// below it, in words that nobody reads, and an interval on both sides of it.
func TestDosePack(t *testing.T) {
	twice := `{doseAndRate: [{doseQuantity: {value: %s, unit: mg}}], ` +
		`timing: {repeat: {frequency: 2, period: 1, periodUnit: d}}%s}`
	cases := "cases:\n" +
		doseCase("above", fmt.Sprintf(twice, "1500", ""), "true", "") +
		doseCase("at-the-limit", fmt.Sprintf(twice, "1000", ""), "false", "") +
		doseCase("in-words", `{text: as directed}`, "unknown", ", reasons: [unparseable-dose]") +
		doseCase("as-needed", fmt.Sprintf(twice, "1500", ", asNeededBoolean: true"), "unknown",
			", reasons: [precision-insufficient]") +
		doseCase("words-contradict", strings.Replace(fmt.Sprintf(twice, "500", ""), "{dose",
			`{text: "1500 mg twice daily", dose`, 1), "unknown", ", reasons: [ambiguous]")
	pack := decidetest.PackOf(t, "1.0.0", map[string]string{"cases/doses.yaml": cases},
		decidetest.Rule{ID: "much", Trigger: "{order: metformin}", Body: `holds := fact.greater(fhir.daily_dose(` +
			`{"set": "metformin", "unit": "mg"}), 2000)` + "\n\n" + decidetest.PlainCard})
	results, err := decide.RunCases(t.Context(), pack, decidetest.ReferencePack(t, "terminology_core"))
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 5 {
		t.Errorf("%d cases ran", len(results))
	}
	for _, r := range results {
		for _, p := range r.Problems {
			t.Errorf("%s: %s", r.Case.Name, p)
		}
	}
}
