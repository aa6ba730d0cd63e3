package engine

import (
	"testing"

	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
)

// TestBoundsAreCounted holds that a rule which hits a bound of the library leaves the
// call and the other rules alone, is recorded, and is counted by its code.
func TestBoundsAreCounted(t *testing.T) {
	n := newRegion(t)
	rules, body, x, y := decidetest.Nested(20)
	big := decidetest.Rule{ID: "big", Severity: "critical", Body: rules + "same if {\n" + body + x + " == " + y +
		"\n}\n\n" +
		`holds := fact.greater(fhir.age({"unit": "a"}), 0) if same` + "\n\n" + decidetest.PlainCard}
	n.withTrial("north", decidetest.Pack(t, "1.0.0", big, decidetest.RuleFires))
	a := n.call("north", decidetest.Patient(t, "clean"))
	if a.Failed["limit"] != 1 || len(a.Failed) != 1 {
		t.Errorf("failed: %v", a.Failed)
	}
	in, d := n.opened("north", a.RecordID)
	if f := decidetest.Finding(t, d, "trial/big"); f.Error == nil || f.Error.Code != "limit" {
		t.Errorf("%s %+v", f.Outcome, f.Error)
	}
	if f := decidetest.Finding(t, d, "trial/fires"); f.Outcome != decision.Fired {
		t.Errorf("the other rule: %s", f.Outcome)
	}
	if !decidetest.HasCard(decidetest.Cards(t, a.Body), "1 safety check was not done") {
		t.Errorf("nobody says so: %s", a.Body)
	}
	if again, err := n.materials.Replay(t.Context(), in, d); err != nil || !again.Same {
		t.Errorf("replayed: %+v, %v", again, err)
	}
}
