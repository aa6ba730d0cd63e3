package engine

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/signing"
)

func TestSuspension(t *testing.T) {
	const rule, notDone = "renal_dosing/metformin-contraindicated", "1 safety check was not done"
	body := decidetest.Patient(t, "metformin-egfr-27")
	for _, c := range []struct {
		name string
		stop func(*node) *Applied
		cut  int // rules out of service
		list int // of them in the cut list; what a whole pack lacks, its mode says
	}{
		{"of a rule", func(n *node) *Applied {
			return n.suspend("north", "renal_dosing", "metformin-contraindicated", "wrong limit")
		}, 1, 1},
		{"of a pack", func(n *node) *Applied { return n.suspend("north", "renal_dosing", "", "wrong limit") }, 3, 0},
		{"of an archive", func(n *node) *Applied {
			_, digest := n.trust("north").Standing("renal_dosing")
			return n.revoke("north", signing.Target{Type: signing.TargetDigest, Value: string(digest)}, signing.Suspend)
		}, 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newRegion(t)
			stopped := c.stop(n)
			for _, when := range []string{"at once", "after a restart"} {
				a := n.call("north", decidetest.WithInstance(t, body, len(when)))
				in, d := n.opened("north", a.RecordID)
				if f := decidetest.Finding(t, d, rule); f.Outcome != decision.WasCut || f.Cut != decision.CutSuspension || f.Card == "" {
					t.Errorf("%s: finding %+v", when, f)
				}
				if len(in.Cut) != c.list {
					t.Errorf("%s: cut list %v, want %d", when, in.Cut, c.list)
				}
				list := decidetest.Cards(t, a.Body)
				if !decidetest.HasCard(list, "not done") || decidetest.HasCard(list, "27.0 mL/min/1.73 m² (contraindicated") {
					t.Errorf("%s: cards %s", when, a.Body)
				}
				r, err := n.materials.Replay(t.Context(), in, d)
				decidetest.Must(t, err)
				if !r.Same {
					t.Errorf("%s: the replay differs: %v", when, r.Differences)
				}
				st, err := n.Status(t.Context(), auditor("north"))
				decidetest.Must(t, err)
				for _, p := range st.Packs {
					if want := c.cut; p.Name == "renal_dosing" && len(p.Suspended) != want {
						t.Errorf("%s: status names %v", when, p.Suspended)
					}
				}
				if quiet := n.call("south", decidetest.WithInstance(t, body, len(when))); !decidetest.HasCard(decidetest.Cards(t, quiet.Body), "27.0") {
					t.Errorf("%s: the other tenant lost the rule, too", when)
				}
				n.restart()
			}
			n.resume("north", stopped)
			if a := n.call("north", decidetest.WithInstance(t, body, 99)); decidetest.HasCard(decidetest.Cards(t, a.Body), notDone) || !decidetest.HasCard(decidetest.Cards(t, a.Body), "27.0") {
				t.Errorf("after the resumption: %s", a.Body)
			}
		})
	}
}

func TestRevokedPackIsGone(t *testing.T) {
	n := newRegion(t)
	_, digest := n.trust("north").Standing("renal_dosing")
	n.revoke("north", signing.Target{Type: signing.TargetDigest, Value: string(digest)}, signing.Revoke)
	a := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	in, d := n.opened("north", a.RecordID)
	if len(in.Release.Packs) != 2 || len(d.Findings) != 0 || len(decidetest.Cards(t, a.Body)) != 0 {
		t.Errorf("packs %v, cards %s", in.Release.Packs, a.Body)
	}
	_, err := n.tryActivate("north", decidetest.ReferencePack(t, "renal_dosing"))
	decidetest.WantError(t, err, signing.ErrRevoked)
}

func TestTerminologyOutOfServiceIsNotSilence(t *testing.T) {
	n := newRegion(t)
	terms := decidetest.ReferencePack(t, terms)
	a := n.activationOf("north", terms)
	a.Mode = signing.Off
	n.sayOf("north", about(terms), a, "rick@north")
	list := decidetest.Cards(t, n.call("north", decidetest.Patient(t, "standard")).Body)
	if !decidetest.HasCard(list, "could not be") {
		t.Errorf("without a terminology nothing is said: %v", list)
	}
}

func TestActivationEndsByItself(t *testing.T) {
	n := newRegion(t)
	end := n.clock.now().Add(time.Hour)
	n.activate("north", decidetest.ReferencePack(t, "renal_dosing"), func(a *signing.Activation) { a.DeactivateAt = end })
	body := decidetest.Patient(t, "metformin-egfr-27")
	before := n.call("north", body)
	n.clock.advance(time.Hour - time.Millisecond)
	last := n.call("north", decidetest.WithInstance(t, body, 1))
	n.clock.advance(time.Millisecond)
	after := n.call("north", decidetest.WithInstance(t, body, 2))
	if before.Cards.Total() != 1 || last.Cards.Total() != 1 || after.Cards.Total() != 0 {
		t.Errorf("%d cards before, %d just before, %d at the end", before.Cards.Total(), last.Cards.Total(), after.Cards.Total())
	}
	n.restart()
	if a := n.call("north", decidetest.WithInstance(t, body, 3)); a.Cards.Total() != 0 {
		t.Error("a restart brought the activation back")
	}
}

func TestStatusAndFoldSurviveRestart(t *testing.T) {
	n := newRegion(t)
	n.suspend("north", "renal_dosing", "egfr-needed", "too many")
	before, err := n.Status(t.Context(), auditor("north"))
	decidetest.Must(t, err)
	in := newInputs(t, n, "north", decidetest.Patient(t, "standard"))
	d, err := n.materials.Decide(t.Context(), in)
	decidetest.Must(t, err)
	n.restart()
	after, err := n.Status(t.Context(), auditor("north"))
	decidetest.Must(t, err)
	if fmt.Sprintf("%+v", before) != fmt.Sprintf("%+v", after) {
		t.Errorf("status before %+v, after %+v", before, after)
	}
	in.Release, in.Policy = n.tenants["north"].now.Load().snapshot.Release(), n.tenants["north"].now.Load().snapshot.Policy()
	again, err := n.materials.Decide(t.Context(), in)
	decidetest.Must(t, err)
	r, err := decide.Compare(d, again)
	decidetest.Must(t, err)
	if !r.Same {
		t.Errorf("after the restart: %v", r.Differences)
	}
}

// newInputs gives the inputs of a call with a fixed record id, as the tenant
// stands now.
func newInputs(t testing.TB, n *node, id tenant.ID, body []byte) *decision.Inputs {
	t.Helper()
	st := n.tenants[id].now.Load()
	in, _, err := n.inputs(st, ehr(id), "orders", body, n.clock.now())
	decidetest.Must(t, err)
	in.RecordID = decidetest.RecordID
	return in
}

// TestPackOfAnotherLibraryIsNamed has an activation in one tenant's log that this
// program cannot carry out, as after going back to an older program: calls answer
// and name its checks, and the other tenant notices nothing.
func TestPackOfAnotherLibraryIsNamed(t *testing.T) {
	n := newRegion(t)
	pack := decidetest.ReferencePack(t, "renal_dosing")
	a := n.activationOf("north", pack)
	a.Library = "1.99.0"
	env := sign(t, about(pack), a, "amy@north")
	trust := n.trust("north")
	id, err := audit.NewRecordID(n.clock.now(), rand.Reader)
	decidetest.Must(t, err)
	_, err = n.log.Append(t.Context(), audit.Entry{Kind: audit.Statement, Tenant: "north", RecordID: id, Decided: n.clock.now(),
		Schema: "precept-statement/1", Body: [][]byte{[]byte("{}")}, Statement: env.Bytes(), StatementIndex: int64(trust.Size())})
	decidetest.Must(t, err)
	n.restart()
	if why := n.Unready()["north"]; why == nil || n.Unready()["south"] != nil {
		t.Fatalf("unready: %v", n.Unready())
	}
	answer := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	in, d := n.opened("north", answer.RecordID)
	f := decidetest.Finding(t, d, "renal_dosing/metformin-contraindicated")
	if f.Outcome != decision.WasCut || f.Cut != decision.CutNotRun || f.Card == "" || !decidetest.HasCard(decidetest.Cards(t, answer.Body), "not done") {
		t.Errorf("finding %+v, answer %s", f, answer.Body)
	}
	i := slices.IndexFunc(in.Release.Packs, func(r decision.Ref) bool { return r.Name == "renal_dosing" })
	if ref := in.Release.Packs[i]; ref.Mode != decision.NotRunnable || ref.Why != decision.WhyLibrary || ref.Library != "1.99.0" {
		t.Errorf("recorded %+v", ref)
	}
	elsewhere := n.away("north")
	elsewhere.same(elsewhere.materials("north"), "north", answer.RecordID)
	if quiet := n.call("south", decidetest.Patient(t, "metformin-egfr-27")); quiet.Cut != 0 {
		t.Errorf("the other tenant: %s", quiet.Body)
	}
	st, err := n.Status(t.Context(), person("north", "olga"))
	decidetest.Must(t, err)
	if text := fmt.Sprintf("%+v", st.Packs); !strings.Contains(text, "1.99.0") {
		t.Errorf("status does not say what is missing: %s", text)
	}
}

// TestPackThatIsNotLiveIsNoted turns one of a service's packs off: the others
// answer, and the record says whose rules were not asked.
func TestPackThatIsNotLiveIsNoted(t *testing.T) {
	n := newRegion(t)
	off := n.activationOf("north", decidetest.ReferencePack(t, "renal_dosing"))
	off.Mode, off.Library = signing.Off, ""
	_, err := n.apply("north", sign(t, about(decidetest.ReferencePack(t, "renal_dosing")), off, "amy@north"))
	decidetest.Must(t, err)
	a := n.call("north", fixtures.Standard(1, 0))
	_, d := n.opened("north", a.RecordID)
	if len(d.Notes) != 1 || d.Notes[0].Code != "pack-not-live" {
		t.Errorf("notes: %+v", d.Notes)
	}
}
