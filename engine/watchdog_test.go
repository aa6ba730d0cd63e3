package engine

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/statement"
)

// runsOn is a region with a rule that goes on for seconds in one expression, and one
// that just fires, under short times.
func runsOn(t *testing.T, depth int, change ...func(*node)) *node {
	t.Helper()
	n := newRegion(t, change...)
	n.watchdog.soon = 200 * time.Millisecond
	n.withTrial("north", decidetest.Pack(t, "1.0.0", decidetest.RuleRunsOn("runs-on", "critical", depth-slower),
		decidetest.RuleFires), func(p *tenant.Policy) {
		p.Limits = tenant.Limits{DeadlineMS: 5000, RuleMS: 20, Concurrency: 2}
	})
	return n
}

// TestWhatRunsOnIsSuspended holds that a rule which cannot be ended is asked once, costs
// no other answer and no place, and is suspended by the node for good.
func TestWhatRunsOnIsSuspended(t *testing.T) {
	n := runsOn(t, 27)
	for i := range 3 { // more than there are places
		body := decidetest.WithInstance(t, decidetest.Patient(t, "clean"), i)
		in, d := n.opened("north", n.call("north", body).RecordID)
		if f := decidetest.Finding(t, d, "trial/runs-on"); f.Cut != decision.CutRanOn && f.Cut != decision.CutSuspension {
			t.Errorf("call %d: %s %s", i, f.Outcome, f.Cut)
		}
		if f := decidetest.Finding(t, d, "trial/fires"); f.Outcome != decision.Fired {
			t.Errorf("call %d: the other rule %s", i, f.Outcome)
		}
		if again, err := n.materials.Replay(t.Context(), in, d); err != nil || !again.Same {
			t.Errorf("call %d replayed: %+v, %v", i, again, err)
		}
		n.away("north").same(n.away("north").materials("north"), "north", in.RecordID)
	}
	if _, total := n.Overruns(); total != 1 {
		t.Errorf("asked %d times", total)
	}
	eventually(t, "the suspension", func() bool { return n.trust("north").Suspended("trial", "runs-on") })
	if err := n.Ready(); err != nil && !errors.Is(err, ErrRunsOn) {
		t.Error(err)
	}
	n.restart()
	_, d := n.opened("north", n.call("north", decidetest.Patient(t, "metformin-egfr-27")).RecordID)
	if f := decidetest.Finding(t, d, "trial/runs-on"); f.Cut != decision.CutSuspension {
		t.Errorf("after the restart: %s %s", f.Outcome, f.Cut)
	}
}

// TestManyCallsAtOnce holds that calls which meet a rule that cannot be ended at the
// same moment leave one evaluation behind, not one each, and are answered.
func TestManyCallsAtOnce(t *testing.T) {
	n := runsOn(t, 27)
	var all sync.WaitGroup
	for i := range 2 { // as many as there are places
		body := decidetest.WithInstance(t, decidetest.Patient(t, "clean"), i)
		all.Go(func() {
			if _, err := n.Call(t.Context(), ehr("north"), "orders", body); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	all.Wait()
	if _, total := n.Overruns(); total != 1 {
		t.Errorf("%d evaluations were left behind", total)
	}
}

// TestSlowOnceIsAskedAgain holds that a rule which ends soon after it was left behind is
// asked again, and suspended only if that goes on.
func TestSlowOnceIsAskedAgain(t *testing.T) {
	n := runsOn(t, 25+slower/2)
	n.watchdog.soon = time.Hour
	for i := range strikes {
		if n.trust("north").Suspended("trial", "runs-on") {
			t.Fatalf("suspended after %d times", i)
		}
		_, total := n.Overruns()
		n.call("north", decidetest.WithInstance(t, decidetest.Patient(t, "clean"), i))
		if _, now := n.Overruns(); now != total+1 {
			t.Fatalf("call %d: the rule was left behind %d times: make it longer", i, now-total)
		}
		eventually(t, "its end", func() bool { running, _ := n.Overruns(); return running == 0 })
	}
	eventually(t, "the suspension", func() bool { return n.trust("north").Suspended("trial", "runs-on") })
	n.say("north", statement.Resumption{Tenant: "north", Region: statement.Region(testRegion),
		Lifts: n.trust("north").OpenSuspensions()[0].Digest, Reason: "mended", ResumedAt: n.clock.now()}, "amy@north")
	_, total := n.Overruns()
	n.call("north", decidetest.WithInstance(t, decidetest.Patient(t, "clean"), 99))
	if _, now := n.Overruns(); now != total+1 {
		t.Error("a rule that was resumed is not asked")
	}
}

// TestTooManyRunOn holds that a node with more rules that cannot be ended than it may
// have is not ready, and asks to be restarted when the suspensions are in the log.
func TestTooManyRunOn(t *testing.T) {
	restart := make(chan []string, 1)
	n := runsOn(t, 27, func(n *node) {
		n.again = func(string) {
			var open []string
			for _, s := range n.trust("north").OpenSuspensions() {
				open = append(open, s.Rule)
			}
			restart <- open
		}
	})
	if err := n.Ready(); err != nil {
		t.Fatal(err)
	}
	n.call("north", decidetest.Patient(t, "clean"))
	select {
	case open := <-restart:
		if !slices.Contains(open, "runs-on") {
			t.Errorf("restarted before the rule was suspended: %v", open)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody asked for a restart")
	}
	if err := n.Ready(); !errors.Is(err, ErrRunsOn) {
		t.Errorf("ready: %v", err)
	}
	n.call("north", decidetest.Patient(t, "metformin-egfr-27")) // answers go on until then
}
