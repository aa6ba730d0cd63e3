package engine

import (
	"testing"

	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

// TestNodeSuspends: the node takes a rule out of service by itself, persons lift that, and
// the node may do it again. What it signed is in the log, and a replay of the log and of the
// decision takes it as it was.
func TestNodeSuspends(t *testing.T) {
	n := newRegion(t)
	l := n.tenants["north"]
	out := func(want bool) {
		t.Helper()
		body := decidetest.Patient(t, "metformin-egfr-27")
		_, d := n.opened("north", n.call("north", body).RecordID)
		for _, f := range d.Findings {
			if f.Rule == "renal_dosing/metformin-contraindicated" && (f.Outcome == decision.WasCut) != want {
				t.Fatalf("out of service is %v, the finding %+v", want, f)
			}
		}
	}
	out(false)
	for range 2 { // within one second
		decidetest.Must(t, n.suspendByNode(t.Context(), l, "renal_dosing", "metformin-contraindicated", "failed too often"))
		out(true)
		size := n.trust("north").Size()
		decidetest.Must(t, n.suspendByNode(t.Context(), l, "renal_dosing", "metformin-contraindicated", "failed too often"))
		open := n.trust("north").OpenSuspensions()
		if len(open) != 1 || n.trust("north").Size() != size {
			t.Fatalf("open: %+v", open)
		}
		n.say("north", statement.Resumption{Tenant: "north", Region: statement.Region(testRegion), Lifts: open[0].Digest,
			Reason: "mended", ResumedAt: n.clock.now()}, "amy@north")
		out(false)
	}
	decidetest.Must(t, n.suspendByNode(t.Context(), l, "renal_dosing", "", "failed too often"))
	n.restart()
	out(true)
	// The log alone says which keys may suspend: no other is needed to check and replay.
	a := n.away("north")
	in, d := a.record("north", n.call("north", decidetest.Patient(t, "clean")).RecordID)
	_, err := a.materials("north").Replay(t.Context(), in, d)
	decidetest.Must(t, err)
	if open := n.trust("north").OpenSuspensions(); len(open) != 1 || open[0].Rule != "" {
		t.Fatalf("after the restart: %+v", open)
	}
}

// TestNodeSuspendsNothingElse: not what no pack has, and nothing with a key that the
// tenant's people have revoked.
func TestNodeSuspendsNothingElse(t *testing.T) {
	n := newRegion(t)
	for _, x := range []struct {
		pack, rule string
		want       error
	}{{"renal_dosing", "metformin-contraindicatd", ErrStatement}, {"renal_dozing", "", signing.ErrUnknown}} {
		err := n.suspendByNode(t.Context(), n.tenants["north"], x.pack, x.rule, "failed too often")
		decidetest.WantError(t, err, x.want)
	}
	n.revoke("north", statement.Target{Type: statement.TargetKey, Value: string(n.cfg.Node.Public().ID())},
		statement.Suspend)
	decidetest.WantError(t, n.suspendByNode(t.Context(), n.tenants["north"], "renal_dosing", "", "failed too often"),
		signing.ErrRevoked)
	decidetest.Must(t, n.suspendByNode(t.Context(), n.tenants["south"], "renal_dosing", "", "failed too often"))
	if n.trust("north").Suspended(statement.Pack("renal_dosing"), "") {
		t.Error("north's pack is suspended")
	}
}
