package decide_test

import (
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
)

func explained(in *decision.Inputs, d *decision.Decision) string {
	var b strings.Builder
	_ = decide.Explain(in, d).WriteText(&b) // a Builder takes everything
	return b.String()
}

// section is what an explanation says about one rule.
func section(t testing.TB, text, rule string) string {
	t.Helper()
	for _, part := range strings.Split(text, "\n\n") {
		if first, _, _ := strings.Cut(part, "\n"); strings.Contains(first, " "+rule+" ") {
			return part
		}
	}
	t.Fatalf("nothing is said about %s:\n%s", rule, text)
	return ""
}

func TestExplain(t *testing.T) {
	loops := decidetest.RuleLoops
	loops.ID = "loops"
	named := decidetest.Rule{ID: "named",
		Body: `holds := fact.named("old enough", fact.greater(fhir.age({"unit": "a"}), 100))` + "\n\n" +
			decidetest.PlainCard}
	negated := decidetest.Rule{ID: "negated",
		Body: `holds := fact.negate(fact.greater(fhir.age({"unit": "a"}), 1))` + "\n\n" + decidetest.PlainCard}
	bad := decidetest.Rule{ID: "bad",
		Body: "holds := fact.greater(fhir.age({\"unit\": \"a\"}), 0) if 1 == 2\n\n" + decidetest.PlainCard}
	b := decidetest.NewWith(t, []decidetest.Rule{decidetest.RuleFires, named, negated, bad, loops})
	for _, c := range []struct {
		patient, rule string
		want          []string
	}{
		{"metformin-egfr-27", "renal_dosing/metformin-contraindicated", []string{
			"FIRED    renal_dosing/metformin-contraindicated 1.0.0 on MedicationRequest/syn-draft-",
			"shown as critical on card",
			"true    eGFR < 30   [rules/metformin_contraindicated.rego:27]",
			"eGFR: 27.0 mL/min/1.73 m² (CKD-EPI 2021 from creatinine; Creatinine 2.50 mg/dL, 2026-02-20T06:31:00-05:00, Observation/syn-obs-"}},
		{"metformin-egfr-27", "renal_dosing/metformin-caution",
			[]string{"FIRED", "not shown: superseded by renal_dosing/metformin-contraindicated"}},
		{"metformin-continue-egfr-35", "renal_dosing/metformin-contraindicated", []string{
			"NOT ", "because this was not so: eGFR < 30 (eGFR was 35.3 mL/min/1.73 m²)", "false   eGFR < 30",
			"Observation/syn-obs-"}},
		{"clean", "trial/named", []string{"because this was not so: old enough (age was 46 years)"}},
		{"clean", "trial/negated", []string{"because this was not so: not: age > 1 (age was 46 years)"}},
		{"medications-failed", "high_priority_ddi/ssri-maoi",
			[]string{"UNKNOWN", "named on card", "medications could not be fetched (fetch-failed)"}},
		{"metformin-no-labs", "renal_dosing/egfr-needed", []string{"FIRED", "true    there is no usable eGFR"}},
		{"clean", "trial/bad", []string{"ERROR", "named on card", "error undefined: holds is undefined"}},
		{"clean", "trial/loops", []string{"CUT", "named on card", "not evaluated: the rule is out of service"}},
	} {
		t.Run(c.patient+" "+c.rule, func(t *testing.T) {
			in := b.Inputs(t, decidetest.Patient(t, c.patient))
			in.Cut = []decision.Cut{{Rule: "trial/loops", Subject: decision.AnySubject, Cause: decision.CutSuspension}}
			text := section(t, explained(in, b.Decide(t, in)), c.rule)
			for _, part := range c.want {
				if !strings.Contains(text, part) {
					t.Errorf("it says\n%s\nwant %q", text, part)
				}
			}
		})
	}
}

func TestExplainSaysWhyAPairWasCut(t *testing.T) {
	for cause, want := range map[decision.CutReason]string{
		decision.CutDeadline: "the whole call", decision.CutLimit: "its own time",
		decision.CutSuspension: "out of service", "": "does not say why",
		decision.CutNotRun: "the node could not run pack ab: " + decision.WhyCode.String(),
	} {
		d := &decision.Decision{Findings: []decision.Finding{
			{Rule: "ab/c", Subject: "patient", Outcome: decision.WasCut, Cut: cause},
		}}
		in := &decision.Inputs{Release: decision.Release{Packs: []decision.Ref{
			{Name: "a"}, {Name: "ab", Why: decision.WhyCode},
		}}}
		if text := explained(in, d); !strings.Contains(text, want) {
			t.Errorf("%s: %s", cause, text)
		}
	}
}
