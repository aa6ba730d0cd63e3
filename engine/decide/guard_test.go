package decide_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
)

// leavings notes what decisions left behind.
type leavings struct{ rules, ended chan string }

func newLeavings() leavings { return leavings{make(chan string, 10), make(chan string, 10)} }

func (l leavings) leave(rule string) func() {
	l.rules <- rule
	return func() { l.ended <- rule }
}

// TestWhatRunsOnIsLeftBehind holds that a rule which the evaluator cannot be stopped
// in costs only its own answer: the others are asked, and a replay finds the same.
func TestWhatRunsOnIsLeftBehind(t *testing.T) {
	before := decidetest.RuleFires
	before.ID, before.Severity = "before", "critical"
	after := before
	after.ID, after.Severity = "zafter", "info"
	b := decidetest.NewWith(t, []decidetest.Rule{before, decidetest.RuleRunsOn("runs-on", "critical", 26), after})
	for name, deadline := range map[string]time.Duration{"rule time": time.Minute, "deadline": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			left := newLeavings()
			in := b.Inputs(t, decidetest.Patient(t, "clean"))
			snapshot, req := b.Snapshot(t, in)
			ctx, stop := context.WithTimeout(t.Context(), deadline)
			defer stop()
			rule := 100 * time.Millisecond
			if name == "deadline" {
				rule = time.Minute
			}
			d, err := snapshot.Decide(ctx, in, req,
				decide.Times{Rule: rule, Grace: 20 * time.Millisecond, Left: left.leave})
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-left.ended:
				t.Fatal("the rule ended before the decision: make it longer")
			default:
			}
			if rule := <-left.rules; rule != "trial/runs-on" {
				t.Errorf("left behind: %q", rule)
			}
			want := map[string]decision.Outcome{"before": decision.Fired, "runs-on": decision.WasCut,
				"zafter": decision.Fired}
			if name == "deadline" {
				want["zafter"] = decision.WasCut
			}
			for rule, outcome := range want {
				if f := decidetest.Finding(t, d, "trial/"+rule); f.Outcome != outcome {
					t.Errorf("%s: %s, want %s (%s)", rule, f.Outcome, outcome, f.Cut)
				}
			}
			if f := decidetest.Finding(t, d, "trial/runs-on"); f.Cut != decision.CutRanOn {
				t.Errorf("cut because of %q", f.Cut)
			}
			in.Cut = d.Cut
			if same, err := b.Materials.Replay(t.Context(), in, d); err != nil || !same.Same {
				t.Errorf("replayed: %+v, %v", same, err)
			}
			<-left.ended
		})
	}
}

// TestManyThatRunOn holds that one decision leaves no more than two evaluations
// behind, whatever the number of rules that do not end, and asks one such rule once.
func TestManyThatRunOn(t *testing.T) {
	var rules []decidetest.Rule
	for _, id := range []string{"one", "two", "three", "four"} {
		rules = append(rules, decidetest.RuleRunsOn(id, "critical", 26)) // seconds; it has 110 ms
	}
	b := decidetest.NewWith(t, rules)
	left := newLeavings()
	in := b.Inputs(t, decidetest.Patient(t, "clean"))
	snapshot, req := b.Snapshot(t, in)
	d, err := snapshot.Decide(t.Context(), in, req,
		decide.Times{Rule: 100 * time.Millisecond, Grace: 10 * time.Millisecond, Left: left.leave})
	if err != nil {
		t.Fatal(err)
	}
	if len(left.rules) != 2 {
		t.Errorf("%d were left behind", len(left.rules))
	}
	causes := map[decision.CutReason]int{}
	for _, c := range d.Cut {
		causes[c.Cause]++
	}
	if causes[decision.CutRanOn] != 2 || causes[decision.CutDeadline] != len(d.Cut)-2 || len(d.Cut) < 4 {
		t.Errorf("cut: %v", causes)
	}
	<-left.ended
	<-left.ended
}

// TestGate holds that a rule is asked by one decision at a time until an evaluation of it
// has ended by itself and in time: not one that was cut, and not one that took longer
// than what is waited for before an evaluation is left behind.
func TestGate(t *testing.T) {
	b := decidetest.NewWith(t, []decidetest.Rule{decidetest.RuleFires, decidetest.RuleLoops})
	in := b.Inputs(t, decidetest.Patient(t, "clean"))
	snapshot, req := b.Snapshot(t, in)
	decideIn := func(times decide.Times) {
		t.Helper()
		if _, err := snapshot.Decide(t.Context(), in, req, times); err != nil {
			t.Fatal(err)
		}
	}
	decideIn(decide.Times{Rule: time.Second, Grace: time.Nanosecond})
	if !snapshot.Gated("trial", "fires") {
		t.Error("a rule that took too long is not gated")
	}
	decideIn(decide.Times{Rule: time.Second, Grace: 10 * time.Second})
	if snapshot.Gated("trial", "fires") {
		t.Error("a rule that ended in time is gated")
	}
	if !snapshot.Gated("trial", "a-loop") {
		t.Error("a rule that was cut is not gated")
	}
}

// TestMovedEndsADecision holds that a decision ends when what it rests on is gone.
func TestMovedEndsADecision(t *testing.T) {
	b := decidetest.NewWith(t, []decidetest.Rule{decidetest.RuleLoops})
	in := b.Inputs(t, decidetest.Patient(t, "clean"))
	snapshot, req := b.Snapshot(t, in)
	moved := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() { close(moved) })
	if _, err := snapshot.Decide(t.Context(), in, req, decide.Times{Moved: moved}); !errors.Is(err, decide.ErrMoved) {
		t.Errorf("%v, want ErrMoved", err)
	}
}
