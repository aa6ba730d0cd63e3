package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
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
			_, digest := n.trust("north").Succession("renal_dosing")
			return n.revoke("north", statement.Target{Type: statement.TargetDigest, Value: string(digest)},
				statement.Suspend)
		}, 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newRegion(t)
			stopped := c.stop(n)
			for _, when := range []string{"at once", "after a restart"} {
				a := n.call("north", decidetest.WithInstance(t, body, len(when)))
				in, d := n.opened("north", a.RecordID)
				if f := decidetest.Finding(t, d, rule); f.Outcome != decision.WasCut ||
					f.Cut != decision.CutSuspension || f.Card == "" {
					t.Errorf("%s: finding %+v", when, f)
				}
				if len(in.Cut) != c.list {
					t.Errorf("%s: cut list %v, want %d", when, in.Cut, c.list)
				}
				list := decidetest.Cards(t, a.Body)
				if !decidetest.HasCard(list, "not done") ||
					decidetest.HasCard(list, "27.0 mL/min/1.73 m² (contraindicated") {
					t.Errorf("%s: cards %s", when, a.Body)
				}
				r, err := n.materials.Replay(t.Context(), in, d)
				decidetest.Must(t, err)
				if !r.Same {
					t.Errorf("%s: the replay differs: %v", when, r.Differences)
				}
				st, err := n.Status(t.Context(), auditor("north"))
				decidetest.Must(t, err)
				if len(st.Suspensions) != 1 || st.Suspensions[0].Digest != stopped.Digest {
					t.Errorf("%s: status names the suspensions %+v, want %s", when, st.Suspensions, stopped.Digest)
				}
				for _, p := range st.Packs {
					if want := c.cut; p.Name == "renal_dosing" && len(p.Suspended) != want {
						t.Errorf("%s: status names %v", when, p.Suspended)
					}
				}
				quiet := n.call("south", decidetest.WithInstance(t, body, len(when)))
				if !decidetest.HasCard(decidetest.Cards(t, quiet.Body), "27.0") {
					t.Errorf("%s: the other tenant lost the rule, too", when)
				}
				n.restart()
			}
			n.resume("north", stopped)
			a := n.call("north", decidetest.WithInstance(t, body, 99))
			list := decidetest.Cards(t, a.Body)
			if decidetest.HasCard(list, notDone) || !decidetest.HasCard(list, "27.0") {
				t.Errorf("after the resumption: %s", a.Body)
			}
		})
	}
}

func TestRevokedPackIsGone(t *testing.T) {
	n := newRegion(t)
	_, digest := n.trust("north").Succession("renal_dosing")
	n.revoke("north", statement.Target{Type: statement.TargetDigest, Value: string(digest)}, statement.Revoke)
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
	a.Mode = statement.Off
	n.sayOf("north", about(terms), a, "rick@north")
	list := decidetest.Cards(t, n.call("north", decidetest.Patient(t, "standard")).Body)
	if !decidetest.HasCard(list, "could not be") {
		t.Errorf("without a terminology nothing is said: %v", list)
	}
	stopped := n.suspend("north", "renal_dosing", "", "wrong limit")
	_, err := n.apply("north", sign(t, statement.PackDigest{}, statement.Resumption{Tenant: "north",
		Region: statement.Region(testRegion), Lifts: trust.Digest(stopped.Digest), Reason: "fixed",
		ResumedAt: n.clock.now()}, "amy@north")) // its cases could not be tried
	decidetest.WantError(t, err, ErrStatement)
}

func TestActivationEndsByItself(t *testing.T) {
	n := newRegion(t)
	end := n.clock.now().Add(time.Hour)
	n.activate("north", decidetest.ReferencePack(t, "renal_dosing"),
		func(a *statement.Activation) { a.DeactivateAt = end })
	body := decidetest.Patient(t, "metformin-egfr-27")
	before := n.call("north", body)
	n.clock.advance(time.Hour - time.Millisecond)
	last := n.call("north", decidetest.WithInstance(t, body, 1))
	n.clock.advance(time.Millisecond)
	after := n.call("north", decidetest.WithInstance(t, body, 2))
	if before.Cards.Total() != 1 || last.Cards.Total() != 1 || after.Cards.Total() != 0 {
		t.Errorf("%d cards before, %d just before, %d at the end", before.Cards.Total(), last.Cards.Total(),
			after.Cards.Total())
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
	in.Release, in.Policy = n.tenants["north"].now.Load().snapshot.Release(),
		n.tenants["north"].now.Load().snapshot.Policy()
	again, err := n.materials.Decide(t.Context(), in)
	decidetest.Must(t, err)
	r, err := decide.Compare(d, again)
	decidetest.Must(t, err)
	if !r.Same {
		t.Errorf("after the restart: %v", r.Differences)
	}
}

// newInputs returns the inputs of a call with a fixed record id, with what is in force for the
// tenant now.
func newInputs(t testing.TB, n *node, id tenant.ID, body []byte) *decision.Inputs {
	t.Helper()
	st := n.tenants[id].now.Load()
	in, _, err := n.inputs(n.tenants[id], st, ehr(id), "orders", body, n.clock.now())
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
	n.logged("north", sign(t, about(pack), a, "amy@north"))
	n.restart()
	if why := n.Unready()["north"]; why == nil || n.Unready()["south"] != nil {
		t.Fatalf("unready: %v", n.Unready())
	}
	answer := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	in, d := n.opened("north", answer.RecordID)
	f := decidetest.Finding(t, d, "renal_dosing/metformin-contraindicated")
	if f.Outcome != decision.WasCut || f.Cut != decision.CutNotRun || f.Card == "" ||
		!decidetest.HasCard(decidetest.Cards(t, answer.Body), "not done") {
		t.Errorf("finding %+v, answer %s", f, answer.Body)
	}
	i := slices.IndexFunc(in.Release.Packs, func(r decision.Ref) bool { return r.Name == "renal_dosing" })
	if ref := in.Release.Packs[i]; ref.Mode != decision.NotRunnable || ref.Why != decision.WhyLibrary ||
		ref.Library != "1.99.0" {
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

// TestPolicyThatCannotBeUsed has a policy in one tenant's log that this program cannot
// use, as one that was taken by a program with other time zones: the node starts, the
// other tenant notices nothing, and another policy mends it.
func TestPolicyThatCannotBeUsed(t *testing.T) {
	n := newRegion(t)
	p := decidetest.PolicyFor(t, "north")
	p.Zone = "Mars/Olympus"
	n.logged("north", n.policyEnvelope("north", p))
	n.restart()
	if n.Unready()["north"] == nil || n.Unready()["south"] != nil {
		t.Fatalf("unready: %v", n.Unready())
	}
	body := decidetest.Patient(t, "metformin-egfr-27")
	_, err := n.Call(t.Context(), ehr("north"), "orders", body)
	decidetest.WantError(t, err, ErrNotReady)
	n.call("south", body)
	n.suspend("north", "renal_dosing", "", "for now")
	n.policy("north", decidetest.PolicyFor(t, "north"))
	if a := n.call("north", body); !decidetest.HasCard(decidetest.Cards(t, a.Body), "not done") {
		t.Errorf("mended: %s", a.Body)
	}
}

// logged puts a statement into a tenant's log as another program may have.
func (n *node) logged(id tenant.ID, env *signing.Envelope) {
	n.Helper()
	record, err := audit.NewRecordID(n.clock.now(), rand.Reader)
	decidetest.Must(n, err)
	_, err = n.log.Append(n.Context(),
		audit.Entry{Kind: audit.Statement, Tenant: id, RecordID: record, Decided: n.clock.now(),
			Schema: "precept-statement/1", Body: [][]byte{[]byte("{}")}, Statement: env.Bytes(),
			StatementIndex: int64(n.trust(id).Size())})
	decidetest.Must(n, err)
}

// TestRaisedLibrary starts a program with another version of the clinical library
// under three live packs: calls answer and name the checks not done, and the
// tenant's people can suspend, turn off and approve anew, one pack after the other.
func TestRaisedLibrary(t *testing.T) {
	n := newRegion(t)
	age, ok := clinical.Newest().Function("fhir.age")
	if !ok {
		t.Fatal("no fhir.age")
	}
	age.Doc += " Changed."
	raised, err := clinical.Newest().With("1.2.0", age)
	decidetest.Must(t, err)
	body := decidetest.Patient(t, "metformin-egfr-27")
	old := n.call("north", body)

	n.libs = []*clinical.Library{raised}
	n.restart()
	call := func(i int, pack string) (*Answer, decision.Ref, *decision.Finding) {
		t.Helper()
		a := n.call("north", decidetest.WithInstance(t, body, i))
		in, d := n.opened("north", a.RecordID)
		j := slices.IndexFunc(in.Release.Packs, func(r decision.Ref) bool { return r.Name == pack })
		return a, in.Release.Packs[j], decidetest.Finding(t, d, "renal_dosing/metformin-contraindicated")
	}
	a, ref, f := call(1, "renal_dosing")
	if ref.Mode != decision.NotRunnable || ref.Why != decision.WhyLibrary || f.Cut != decision.CutNotRun ||
		!strings.Contains(string(a.Body), "Metformin is contraindicated") ||
		!decidetest.HasCard(decidetest.Cards(t, a.Body), "not done") {
		t.Errorf("ref %+v, finding %+v, answer %s", ref, f, a.Body)
	}
	if st, err := n.Status(t.Context(), auditor("north")); err != nil || len(st.Packs) != 4 ||
		st.Packs[0].NotRun == "" || n.Unready()["north"] == nil {
		t.Errorf("status %+v, %v; unready %v", st, err, n.Unready())
	}
	n.suspend("north", "nsaid_anticoagulant", "", "for now")
	n.suspend("north", "high_priority_ddi", "ssri-maoi", "for now")
	off := n.activationOf("north", decidetest.ReferencePack(t, "high_priority_ddi"))
	off.Mode, off.Library = statement.Off, ""
	n.sayOf("north", about(decidetest.ReferencePack(t, "high_priority_ddi")), off, "rick@north")
	again := func(a *statement.Activation) { a.Library = "1.2.0" }
	_, err = n.tryActivate("north", decidetest.ReferencePack(t, "renal_dosing")) // as it was approved before
	decidetest.WantError(t, err, decide.ErrLibrary)
	n.activate("north", decidetest.ReferencePack(t, "renal_dosing"), again)
	if _, ref, f := call(2, "renal_dosing"); ref.Mode != decision.Active || ref.Library != "1.2.0" ||
		f.Outcome != decision.Fired {
		t.Errorf("approved anew: ref %+v, finding %+v", ref, f)
	}
	if _, ref, _ := call(3, "nsaid_anticoagulant"); ref.Mode != decision.Suspended {
		t.Errorf("suspended: %+v", ref)
	}

	// A program with both versions runs each pack with its own.
	n.libs = []*clinical.Library{clinical.Newest(), raised}
	n.restart()
	if _, ref, f := call(4, "renal_dosing"); ref.Library != "1.2.0" || f.Outcome != decision.Fired {
		t.Errorf("with both: ref %+v, finding %+v", ref, f)
	}
	for id, record := range map[tenant.ID]string{"north": old.RecordID, "south": n.call("south", body).RecordID} {
		in, d := n.opened(id, record)
		r, err := n.materials.Replay(t.Context(), in, d)
		decidetest.Must(t, err)
		if i := slices.IndexFunc(in.Release.Packs,
			func(r decision.Ref) bool { return r.Name == "renal_dosing" }); !r.Same ||
			in.Release.Packs[i].Library != clinical.Newest().Version() {
			t.Errorf("%s: %v, %+v", id, r.Differences, in.Release.Packs)
		}
	}
}

// TestCasesThatAnUpgradeBroke starts a program that answers otherwise than the one
// a pack was approved on, though it says that it has the same library: the pack's
// cases find it out before a clinician does, and nothing else is held up.
func TestCasesThatAnUpgradeBroke(t *testing.T) {
	n := newRegion(t)
	egfr, _ := clinical.Newest().Function("fhir.egfr")
	broken := egfr
	ofChildren, _ := clinical.Newest().Function("fhir.egfr_child") // has the same options
	broken.Run = ofChildren.Run
	var libs [2]*clinical.Library
	for i, f := range []clinical.Function{egfr, broken} {
		var err error
		libs[i], err = clinical.Newest().With("1.2.0", f)
		decidetest.Must(t, err)
	}
	n.libs = []*clinical.Library{clinical.Newest(), libs[0]}
	n.restart()
	pack := decidetest.ReferencePack(t, "renal_dosing")
	n.activate("north", pack, func(a *statement.Activation) { a.Library = "1.2.0" })

	n.libs = []*clinical.Library{clinical.Newest(), libs[1]}
	n.restart()
	if why := n.Unready()["north"]; !errors.Is(why, decide.ErrCases) {
		t.Errorf("unready because of %v", why)
	}
	body := decidetest.Patient(t, "metformin-egfr-27")
	in, d := n.opened("north", n.call("north", body).RecordID)
	i := slices.IndexFunc(in.Release.Packs, func(r decision.Ref) bool { return r.Name == "renal_dosing" })
	f := decidetest.Finding(t, d, "renal_dosing/metformin-contraindicated")
	if in.Release.Packs[i].Why != decision.WhyCases || f.Cut != decision.CutNotRun || f.Card == "" {
		t.Errorf("ref %+v, finding %+v", in.Release.Packs[i], f)
	}
	n.policy("north", decidetest.PolicyFor(t, "north"))
	n.suspend("north", "renal_dosing", "metformin-contraindicated", "wrong")
	n.activate("north", pack) // with the library that still answers as it did
	if a := n.call("north", decidetest.WithInstance(t, body, 1)); a.Cut != 1 {
		t.Errorf("approved anew, but for the suspended rule: %s", a.Body)
	}
}

// TestPackThatIsNotLiveIsNoted turns one of a service's packs off: the others
// answer, and the record says whose rules were not asked.
func TestPackThatIsNotLiveIsNoted(t *testing.T) {
	n := newRegion(t)
	off := n.activationOf("north", decidetest.ReferencePack(t, "renal_dosing"))
	off.Mode, off.Library = statement.Off, ""
	_, err := n.apply("north", sign(t, about(decidetest.ReferencePack(t, "renal_dosing")), off, "amy@north"))
	decidetest.Must(t, err)
	a := n.call("north", fixtures.Standard(1, 0))
	_, d := n.opened("north", a.RecordID)
	if len(d.Notes) != 1 || d.Notes[0].Code != "pack-not-live" {
		t.Errorf("notes: %+v", d.Notes)
	}
}
