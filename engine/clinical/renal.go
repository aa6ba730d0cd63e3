package clinical

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/fact"
)

// renalQuestions ask what replaces the function of the kidneys.
func renalQuestions() []Function {
	return []Function{{
		Name: "fhir.renal_replacement",
		Doc: "is on dialysis: depends on it by an active condition, or had a dialysis in the window " +
			"(value sets `dialysis_dependence` and `dialysis` of the library); a transplant is none",
		Unknown: "conditions or procedures are incomplete, or as `fhir.condition` and `fhir.procedure`",
		Options: []Option{{Name: "within", Kind: KindDuration, Required: true, Param: true,
			Doc: "how long after a dialysis a patient counts as on it"}},
		Result: typeFact, Reads: []string{"Condition", "Procedure"}, Attributes: []string{attributeHealth},
		Run: renalReplacement,
	}}
}

// renalReplacement asks whether the patient is on dialysis. Renal failure of the last
// stage is none by itself: it may be treated without.
func renalReplacement(s *Session, c *Call) (*ast.Term, error) {
	f := s.blank()
	f.Label, f.State = "on dialysis", fact.False
	dependence := librarySets()["dialysis_dependence"]
	for _, r := range s.chart.conditions() {
		if kind, why := dependence.match(r); kind != fact.False {
			s.weighCondition(f, s.chart.condition(r), kind, why, conditionQuery{})
		}
	}
	s.findProcedures(f, librarySets()["dialysis"], s.window(c))
	return s.newFact(c, s.closeSearch(f, "Condition", "Procedure"))
}
