package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/statement"
)

// beside starts a second node on the store of n.
func (n *node) beside(store audit.Store, poll time.Duration) *node {
	n.Helper()
	other := &node{TB: n.TB, dir: n.dir, clock: n.clock, roots: n.roots, store: store}
	kms, err := keyring.OpenFileKMS(filepath.Join(n.dir, "region.key"))
	decidetest.Must(n, err)
	ring, err := keyring.New(keyring.Config{Region: string(testRegion), KMS: kms, Lookup: audit.KeyLookup(store),
		Rand: rand.Reader})
	decidetest.Must(n, err)
	other.log, err = audit.Open(n.Context(),
		audit.Config{Store: store, Ring: ring, Prefix: "audit.example", Region: testRegion,
			Clock: n.clock.now, Rand: rand.Reader})
	decidetest.Must(n, err)
	other.Engine, err = Open(n.Context(),
		Config{Region: testRegion, Build: "test", Log: other.log, Clock: n.clock.now, Rand: rand.Reader,
			Roots: n.roots, Poll: poll, Libraries: n.libs, Node: n.cfg.Node})
	decidetest.Must(n, err)
	n.Cleanup(func() {
		other.Engine.Close()
		if err := other.log.Close(); err != nil {
			n.Error(err)
		}
	})
	return other
}

// deaf is a store that tells nobody of statements.
type deaf struct{ audit.Store }

func (deaf) Notify(func(tenant.ID)) (stop func()) { return func() {} }

const never = time.Hour // between polls

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within half a minute: %s", what)
		}
	}
}

// TestStatementBindsTheOtherNode: a rule that one node took out of service is out
// of service on the other with its next call, even if nobody tells it.
func TestStatementBindsTheOtherNode(t *testing.T) {
	const rule = "renal_dosing/metformin-contraindicated"
	body := decidetest.Patient(t, "metformin-egfr-27")
	a := newRegion(t)
	b := a.beside(deaf{a.store}, never)
	_, before := b.opened("north", b.call("north", body).RecordID)
	if decidetest.Finding(t, before, rule).Outcome != decision.Fired {
		t.Fatal("the rule does not fire")
	}
	a.suspend("north", "renal_dosing", "metformin-contraindicated", "wrong limit")
	answer := b.call("north", decidetest.WithInstance(t, body, 1))
	in, d := b.opened("north", answer.RecordID)
	if f := decidetest.Finding(t, d, rule); f.Cut != decision.CutSuspension || f.Card == "" {
		t.Errorf("on the other node: %+v", f)
	}
	if want := int64(a.trust("north").Size()); in.Release.Size != want || b.records("north", audit.Refusal) != 0 {
		t.Errorf("decided after %d statements, want %d; %d refusals", in.Release.Size, want,
			b.records("north", audit.Refusal))
	}
	elsewhere := b.away("north")
	elsewhere.same(elsewhere.materials("north"), "north", answer.RecordID)
}

// TestWithdrawnCardStaysAway: nor does the other node give its recorded answer again.
func TestWithdrawnCardStaysAway(t *testing.T) {
	body := decidetest.Patient(t, "metformin-egfr-27")
	a := newRegion(t)
	b := a.beside(deaf{a.store}, never)
	first := b.call("north", body)
	if again := b.call("north", body); !again.Repeated || again.RecordID != first.RecordID {
		t.Fatalf("nothing has changed, and the answer is another one: %+v", again)
	}
	a.suspend("north", "renal_dosing", "metformin-contraindicated", "wrong limit")
	if answer := b.call("north", body); answer.Repeated || answer.Cut != 1 {
		t.Errorf("repeated %v, answer %s", answer.Repeated, answer.Body)
	}
}

// TestNewerStateStays: who made a state ready slowly does not put it in the place of a
// newer one.
func TestNewerStateStays(t *testing.T) {
	n := newRegion(t)
	l := n.tenants["north"]
	old := l.now.Load()
	n.suspend("north", "renal_dosing", "", "wrong limit")
	if now := l.put(old); now == old || l.now.Load() != now {
		t.Error("a suspension was forgotten")
	}
}

// TestNodesFollow: a node hears of a statement without a call, by being told or by
// asking.
func TestNodesFollow(t *testing.T) {
	for name, node := range map[string]func(*node) *node{
		"told":  func(a *node) *node { return a.beside(a.store, never) },
		"asked": func(a *node) *node { return a.beside(deaf{a.store}, 10*time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newRegion(t)
			b := node(a)
			a.suspend("north", "renal_dosing", "", "wrong limit")
			eventually(t, "the other node knows of the suspension",
				func() bool { return b.trust("north").Suspended("renal_dosing", "") })
			a.revoke("south", statement.Target{Type: statement.TargetPerson, Value: "ada@south"}, statement.Suspend)
			eventually(t, "the other node turns the person away", func() bool {
				_, err := b.Status(t.Context(), auditor("south"))
				return errors.Is(err, ErrForbidden)
			})
			b.policy("north", decidetest.PolicyFor(t, "north")) // signed against what the first node took in
			eventually(t, "the first node follows, too",
				func() bool { return a.trust("north").Size() == b.trust("north").Size() })
		})
	}
}

// TestNodeTriesAPackOnce: calls that meet a new pack on a node have its golden cases run
// once, not once each.
func TestNodeTriesAPackOnce(t *testing.T) {
	var asked atomic.Int64
	egfr, _ := clinical.Newest().Function("fhir.egfr")
	egfr.Run = countingRun(&asked, egfr.Run)
	counting, err := clinical.Newest().With("1.2.0", egfr)
	decidetest.Must(t, err)
	a := newRegion(t)
	a.libs = []*clinical.Library{clinical.Newest(), counting}
	a.restart()
	body := decidetest.Patient(t, "metformin-egfr-27")
	nodes := []*node{a.beside(deaf{a.store}, never), a.beside(deaf{a.store}, never)}
	a.activate("north", decidetest.ReferencePack(t, "renal_dosing"),
		func(a *statement.Activation) { a.Library = "1.2.0" })
	var counts [2]int64
	for i, n := range nodes {
		asked.Store(0)
		var calls sync.WaitGroup
		for j := range 1 + 7*i {
			calls.Go(func() {
				if _, err := n.Call(t.Context(), ehr("north"), "orders",
					decidetest.WithInstance(t, body, i<<8|j)); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		counts[i] = asked.Load()
	}
	if counts[1] > 2*counts[0] {
		t.Errorf("the function was called %d times for one call, %d times for eight", counts[0], counts[1])
	}
}

func countingRun[S, C, T any](n *atomic.Int64, run func(S, C) (T, error)) func(S, C) (T, error) {
	return func(s S, c C) (T, error) {
		n.Add(1)
		return run(s, c)
	}
}

// TestDecisionsStandUnderTheirRelease runs calls on two nodes while statements
// come: every decision in the log names exactly the statements before it.
func TestDecisionsStandUnderTheirRelease(t *testing.T) {
	a := newRegion(t)
	nodes := []*node{a, a.beside(a.store, never), a.beside(deaf{a.store}, never)}
	body := decidetest.Patient(t, "metformin-egfr-27")
	ctx, stop := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for i, n := range nodes {
		for j := range 2 {
			calls.Go(func() {
				for k := 0; ctx.Err() == nil; k++ {
					_, err := n.Call(t.Context(), ehr("north"), "orders",
						decidetest.WithInstance(t, body, i<<24|j<<16|k))
					if err != nil && !errors.Is(err, audit.ErrBusy) {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	for i := range 8 {
		n := nodes[i%len(nodes)]
		stopped := n.suspend("north", "renal_dosing", "egfr-needed", fmt.Sprint("try ", i))
		n.resume("north", stopped)
	}
	stop()
	calls.Wait()
	var leaves []audit.Leaf
	for f := (audit.Filter{Limit: 1000}); ; {
		page, err := a.log.List(t.Context(), "north", f)
		decidetest.Must(t, err)
		for _, r := range page.Records {
			leaves = append(leaves, r.Leaf)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	slices.SortFunc(leaves, func(x, y audit.Leaf) int { return cmp.Compare(x.Index, y.Index) })
	statements, decisions := int64(0), 0
	for _, leaf := range leaves {
		switch leaf.Kind {
		case audit.Statement:
			statements++
		case audit.Decision:
			decisions++
			if leaf.ReleaseIndex != statements {
				t.Fatalf("leaf %d was decided after %d statements, %d are before it", leaf.Index, leaf.ReleaseIndex,
					statements)
			}
		}
	}
	if decisions < 10 {
		t.Errorf("only %d decisions", decisions)
	}
	a.clean("north")
}
