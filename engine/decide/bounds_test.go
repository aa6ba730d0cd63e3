package decide_test

import (
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/decide/decidetest"
)

// TestHandlesCannotBeWritten holds that an object which only looks like a
// handle is none, however a rule comes by it.
func TestHandlesCannotBeWritten(t *testing.T) {
	const age = `age := fact.greater(fhir.age({"unit": "a"}), 0)` + "\n\n"
	written := decidetest.Rule{ID: "written", Body: age + `like(n) := {"fact": n}

holds := fact.any([age, fact.negate(like(0))])

` + decidetest.PlainCard}
	merged := decidetest.Rule{ID: "merged", Body: age + `holds := object.remove(object.union(age, {"x": 1}), ["x"])

` + decidetest.PlainCard}
	suggested := decidetest.Rule{ID: "suggested", Body: decidetest.AlwaysTrue + `

card := {"summary": "It holds", "suggestions": [{"suggestion": 0}]}`}
	moved := decidetest.Rule{ID: "moved", Body: age + `facts := {f | some f in array.concat([age], [object.get({"x": age}, "x", 0)])}

holds := fact.all([f | some f in facts; f == age])

` + decidetest.PlainCard}
	b := decidetest.NewWith(t, []decidetest.Rule{written, merged, suggested, moved})
	d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean")))
	for _, rule := range []string{"written", "merged", "suggested"} {
		f := decidetest.Finding(t, d, "trial/"+rule)
		if f.Error == nil || !strings.Contains(f.Error.Message, "not a written-down one") {
			t.Errorf("%s: %s, %+v", rule, f.Outcome, f.Error)
		}
	}
	if f := decidetest.Finding(t, d, "trial/moved"); f.Outcome != "fired" {
		t.Errorf("a handle that was passed on: %s, %+v", f.Outcome, f.Error)
	}
}
