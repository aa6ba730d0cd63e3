package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
)

// unreadCases are conditions that a rule cannot read, in two languages.
const unreadCases = `cases:
  - &unread
    name: local-code
    hook: order-sign
    time: "2026-03-02T10:00:00-05:00"
    zone: America/New_York
    context: {patientId: p1, userId: Practitioner/u1, draftOrders: {resourceType: Bundle, type: collection, entry: []}}
    prefetch:
      conditions: &conditions
        resourceType: Bundle
        type: searchset
        entry:
          - resource:
              resourceType: Condition
              id: c1
              subject: {reference: Patient/p1}
              onsetDateTime: "2026-01-05T08:00:00Z"
              code: {text: Bleeding ulcer, coding: [{system: "urn:oid:1.2.3", code: GI-7}]}
    want: [{rule: bleed, subject: patient, state: "unknown", reasons: [unknown-code]}]
    want_cards:
      - indicator: info
        summary: >-
          Patient: 1 check could not be completed: condition without a code that this check knows
          (Bleeding ulcer, 2026-01-05)
        detail_contains:
          - "- condition without a code that this check knows"
          - "**Could not be used**"
          - "- Bleeding ulcer (2026-01-05T08:00:00Z, Condition/c1)"
          - "**What would help**"
          - "- Enter condition with a code of a system that this check knows, or have its code mapped."
  - <<: *unread
    name: local-code-german
    language: de
    want_cards:
      - summary: >-
          Patient: 1 Prüfung konnte nicht abgeschlossen werden: Diagnose ohne Code, den diese Prüfung kennt
          (Bleeding ulcer, 2026-01-05)
        detail_contains:
          - "**Nicht verwendbar**"
          - "- Bleeding ulcer (2026-01-05T08:00:00Z, Condition/c1)"
          - "- Diagnose: mit einem Code erfassen, den diese Prüfung kennt, oder den Code zuordnen lassen."
  - <<: *unread
    name: not-supplied
    prefetch: {}
    want: [{rule: bleed, subject: patient, state: "unknown", reasons: [not-supplied]}]
    want_cards:
      - summary: "Patient: 1 check could not be completed: conditions not supplied by the EHR"
        detail_contains: ["- Have the EHR send conditions with the call."]
`

// unreadPack is a rule about bleeding with its cases.
func unreadPack(t *testing.T, cases string) []decide.CaseResult {
	t.Helper()
	pack := decidetest.PackOf(t, "1.0.0", map[string]string{"cases/unread.yaml": cases,
		"valuesets/bleed.json": `{"id": "bleed", "kind": "condition", "codes": [
  {"system": "http://snomed.info/sct", "code": "74474003"}]}`},
		decidetest.Rule{ID: "bleed", Unknown: "info",
			Body: `holds := fhir.condition({"set": "bleed"})` + "\n\n" + decidetest.PlainCard})
	results, err := decide.RunCases(t.Context(), pack, decidetest.ReferencePack(t, "terminology_core"))
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// TestUnknownCardNamesWhatCouldNotBeRead holds that a card about what is unknown names
// the resource, with its date and reference, and says what would mend it.
func TestUnknownCardNamesWhatCouldNotBeRead(t *testing.T) {
	for _, r := range unreadPack(t, unreadCases) {
		for _, p := range r.Problems {
			t.Errorf("%s: %s", r.Case.Name, p)
		}
	}
}

// TestUnknownCardStaysShort holds the limits with names and lists of any length.
func TestUnknownCardStaysShort(t *testing.T) {
	one := unreadCases[strings.Index(unreadCases, "          - resource:"):strings.Index(unreadCases, "    want:")]
	for _, name := range []string{"x", strings.Repeat("very long ", 20), strings.Repeat("ä", 25)} {
		var many strings.Builder
		for i := range 200 {
			many.WriteString(strings.NewReplacer("Bleeding ulcer", name, "id: c1", fmt.Sprintf("id: c%d", i)).Replace(one))
		}
		cases := strings.Replace(unreadCases[:strings.Index(unreadCases, "    want:")], one, many.String(), 1)
		for _, r := range unreadPack(t, cases+"    want: []\n") {
			for _, c := range decidetest.Cards(t, r.Decision.Response) {
				if n := utf8.RuneCountInString(c.Summary); n > cdshooks.MaxSummary || !strings.HasSuffix(c.Summary, ")") {
					t.Errorf("summary of %d characters: %q", n, c.Summary)
				}
				if lines := strings.Count(c.Detail, "\n"); lines > 80 || len(c.Detail) > 20_000 ||
					!strings.Contains(c.Detail, "more\n") {
					t.Errorf("detail of %d lines and %d bytes:\n%s", lines, len(c.Detail), c.Detail)
				}
				decidetest.Must(t, c.Check())
			}
		}
	}
}
