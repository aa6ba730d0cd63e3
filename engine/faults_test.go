package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/statement"
)

// clean fails unless a full verification of a tenant finds nothing.
func (n *node) clean(id tenant.ID) {
	n.Helper()
	r, err := n.Verify(n.Context(), auditor(id))
	decidetest.Must(n, err)
	if len(r.Findings) > 0 {
		n.Errorf("verification of %s: %v", id, r.Findings)
	}
}

func TestNoAnswerWithoutARecord(t *testing.T) {
	for _, fault := range []audittest.Fault{audittest.Lost, audittest.Kept} {
		t.Run(fault.String(), func(t *testing.T) {
			var store *audittest.Faulty
			n := newRegion(t, func(n *node) {
				n.wrap = func(s audit.Store) audit.Store { store = audittest.NewFaulty(s); return store }
			})
			decidetest.Must(t, n.Ready())
			body := decidetest.Patient(t, "metformin-egfr-27")
			store.Break(0, fault)
			a, err := n.Call(t.Context(), ehr("north"), "orders", body)
			decidetest.WantError(t, err, audit.ErrStore)
			if a != nil {
				t.Fatalf("an answer left without a durable record: %s", a.Body)
			}
			decidetest.WantError(t, n.Ready(), audit.ErrStore)
			// Nothing else leaves either, not for the other tenant and not for people.
			for name, do := range verbs(n, decidetest.RecordID, decidetest.Patient(t, "clean")) {
				if oneOf(forEHRs, name) || oneOf(forAuditors, name) {
					c := auditor("south")
					if oneOf(forEHRs, name) {
						c = ehr("south")
					}
					if err := do(t.Context(), c); !errors.Is(err, audit.ErrStore) {
						t.Errorf("%s after the fault: %v", name, err)
					}
				}
			}
			n.restart()
			again := n.call("north", body)
			if again.Repeated != (fault == audittest.Kept) || again.Cards.Total() != 1 {
				t.Errorf("after the restart: %+v", again)
			}
			if got := n.records("north", audit.Decision); got != 1 {
				t.Errorf("%d decisions recorded, want 1", got)
			}
			n.clean("north")
		})
	}
}

func TestStatementThatIsNotDurableIsNotLive(t *testing.T) {
	for _, fault := range []audittest.Fault{audittest.Lost, audittest.Kept} {
		t.Run(fault.String(), func(t *testing.T) {
			var store *audittest.Faulty
			// Nobody follows the log: a statement that is there may take effect in that way.
			n := newRegion(t, func(n *node) {
				n.wrap = func(s audit.Store) audit.Store { store = audittest.NewFaulty(deaf{s}); return store }
				n.poll = never
			})
			size := n.trust("north").Size()
			env := sign(t, statement.PackDigest{},
				statement.Suspension{Tenant: "north", Region: statement.Region(testRegion), Pack: "renal_dosing",
					Reason: "wrong", SuspendedAt: n.clock.now()}, "rick@north")
			store.Break(0, fault)
			_, err := n.apply("north", env)
			decidetest.WantError(t, err, audit.ErrStore)
			if n.trust("north").Size() != size {
				t.Error("it took effect in memory")
			}
			n.restart()
			want := size
			if fault == audittest.Kept {
				want++
			}
			if got := n.trust("north").Size(); got != want {
				t.Errorf("%d statements after the restart, want %d", got, want)
			}
			n.clean("north")
		})
	}
}

// gate is a store whose commits wait.
type gate struct {
	audit.Store
	entered chan struct{}
	open    chan struct{} // closed to let everybody through
}

func (g *gate) Commit(ctx context.Context, b *audit.Batch) error {
	select {
	case g.entered <- struct{}{}:
	default:
	}
	<-g.open
	return g.Store.Commit(ctx, b)
}

func TestNoAnswerWhileTheStoreBlocks(t *testing.T) {
	n := newRegion(t)
	p := decidetest.PolicyFor(t, "north")
	p.Limits.Concurrency = 1
	n.policy("north", p)
	n.close()
	g := &gate{entered: make(chan struct{}, 1), open: make(chan struct{})}
	n.wrap = func(s audit.Store) audit.Store { g.Store = s; return g }
	n.open()
	ctx, gone := context.WithCancel(t.Context())
	answered := make(chan *Answer, 1)
	go func() {
		a, err := n.Call(ctx, ehr("north"), "orders", decidetest.Patient(t, "metformin-egfr-27"))
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	<-g.entered
	gone() // the client hangs up: its record is waited for all the same
	_, err := n.Call(t.Context(), ehr("north"), "orders", decidetest.Patient(t, "clean"))
	decidetest.WantError(t, err, ErrBusy)
	_, err = n.Feedback(t.Context(), ehr("north"), "orders", []byte(`{"feedback":[]}`))
	decidetest.WantError(t, err, ErrBusy)
	select {
	case a := <-answered:
		t.Fatalf("an answer left before its record was durable: %+v", a)
	default:
	}
	close(g.open)
	if a := <-answered; a == nil || a.Cards.Total() != 1 {
		t.Errorf("answer: %+v", a)
	}
	if n.records("north", audit.Decision) != 1 {
		t.Error("the record is missing")
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	decidetest.Must(t, err)
	decidetest.Must(t, os.WriteFile(to, b, 0o600))
}

func TestLogCutShortIsNoticed(t *testing.T) {
	n := newNode(t)
	n.close()
	decidetest.Must(t, os.Remove(filepath.Join(n.dir, "audit.db")))
	n.mark = true
	n.open()
	n.setUp("north")
	n.call("north", decidetest.Patient(t, "clean"))
	n.close()
	file := filepath.Join(n.dir, "audit.db")
	copyFile(t, file, file+".old")
	n.open()
	n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	n.clean("north")
	n.close()
	decidetest.Must(t, os.Rename(file+".old", file)) // somebody puts yesterday's copy back
	err := n.tryOpen()
	decidetest.WantError(t, err, audit.ErrCutShort)
}

// leafKey is where a leaf and its body lie.
func leafKey(rec audit.Record) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(rec.Log), 0), uint64(rec.Leaf.Index))
}

// edit changes a stored value behind the log's back, as somebody with the file
// can: append-only values are removed first.
func (n *node) edit(space audit.Space, id tenant.ID, key []byte, change func([]byte) []byte) {
	n.Helper()
	var old []byte
	decidetest.Must(n, n.store.View(n.Context(), func(v audit.View) error {
		b, err := v.Get(space, id, key)
		old = bytes.Clone(b)
		return err
	}))
	if old == nil {
		n.Fatal("nothing is stored there")
	}
	item := audit.Item{Space: space, Tenant: id, Key: key}
	decidetest.Must(n, n.store.Commit(n.Context(), &audit.Batch{Put: []audit.Item{item}}))
	if item.Value = change(old); item.Value != nil {
		decidetest.Must(n, n.store.Commit(n.Context(), &audit.Batch{Put: []audit.Item{item}}))
	}
}

func (n *node) value(space audit.Space, id tenant.ID, key []byte) (out []byte) {
	n.Helper()
	decidetest.Must(n, n.store.View(n.Context(), func(v audit.View) error {
		b, err := v.Get(space, id, key)
		out = bytes.Clone(b)
		return err
	}))
	return out
}

func TestTamperedRecordsAreDetected(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	for _, c := range []struct {
		name   string
		tamper func(n *node, a, b audit.Record)
		check  string // that fails
	}{
		{"sealed bodies of two records swapped", func(n *node, a, b audit.Record) {
			bodyA, bodyB := n.value(audit.Bodies, "north", leafKey(a)), n.value(audit.Bodies, "north", leafKey(b))
			n.edit(audit.Bodies, "north", leafKey(a), func([]byte) []byte { return bodyB })
			n.edit(audit.Bodies, "north", leafKey(b), func([]byte) []byte { return bodyA })
		}, "body"},
		{"a body of the other tenant put in", func(n *node, a, _ audit.Record) {
			other, err := n.log.Get(n.Context(), "south",
				audit.RecordID(n.call("south", decidetest.Patient(n, "standard")).RecordID))
			decidetest.Must(n, err)
			body := n.value(audit.Bodies, "south", leafKey(other))
			n.edit(audit.Bodies, "north", leafKey(a), func([]byte) []byte { return body })
		}, "body"},
		{"a byte of a body flipped",
			func(n *node, a, _ audit.Record) { n.edit(audit.Bodies, "north", leafKey(a), flip) }, "body"},
		{"a body removed", func(n *node, a, _ audit.Record) {
			n.edit(audit.Bodies, "north", leafKey(a), func([]byte) []byte { return nil })
		}, "body"},
		{"a byte of a leaf flipped",
			func(n *node, a, _ audit.Record) { n.edit(audit.Leaves, "north", leafKey(a), flip) }, "tree"},
		{"a leaf removed", func(n *node, a, _ audit.Record) {
			n.edit(audit.Leaves, "north", leafKey(a), func([]byte) []byte { return nil })
		}, "leaf"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newRegion(t)
			open := func(id string) audit.Record {
				rec, err := n.log.Get(t.Context(), "north", audit.RecordID(id))
				decidetest.Must(t, err)
				return rec
			}
			a := open(n.call("north", decidetest.Patient(t, "metformin-egfr-27")).RecordID)
			b := open(n.call("north", decidetest.Patient(t, "clean")).RecordID)
			n.clean("north")
			c.tamper(n, a, b)
			_, err := n.Record(t.Context(), auditor("north"), string(a.Leaf.RecordID))
			decidetest.WantError(t, err, audit.ErrCorrupt)
			_, err = n.Explain(t.Context(), auditor("north"), string(a.Leaf.RecordID))
			decidetest.WantError(t, err, audit.ErrCorrupt)
			r, err := n.Verify(t.Context(), auditor("north"))
			decidetest.Must(t, err)
			named := false
			for _, f := range r.Findings {
				named = named || f.Check == c.check && (f.Index == a.Leaf.Index || f.Index < 0)
			}
			if !named {
				t.Errorf("verification does not name check %q on leaf %d: %v", c.check, a.Leaf.Index, r.Findings)
			}
			// The same call again must not answer with what cannot be trusted: it is decided anew.
			got, err := n.Call(t.Context(), ehr("north"), "orders", decidetest.Patient(t, "metformin-egfr-27"))
			if err == nil && (got.Repeated || got.RecordID == string(a.Leaf.RecordID)) {
				t.Errorf("the call was answered from the damaged record: %s", got.Body)
			}
			n.clean("south")
		})
	}
}

// TestDamagedPackIsNamed damages an archive in the store: the region starts, and
// both tenants' calls say that its checks were not done, here and in a replay.
func TestDamagedPackIsNamed(t *testing.T) {
	n := newRegion(t)
	digest, err := audit.ParseDigest(referencePackDigest(t, "renal_dosing"))
	decidetest.Must(t, err)
	n.edit(audit.Blobs, "", digest[:], func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	n.restart()
	for _, id := range []tenant.ID{"north", "south"} {
		if why := n.Unready()[id]; !errors.Is(why, audit.ErrCorrupt) ||
			!strings.Contains(why.Error(), digest.String()) {
			t.Errorf("%s is unready because of: %v", id, why)
		}
		a := n.call(id, decidetest.Patient(t, "metformin-egfr-27"))
		_, d := n.opened(id, a.RecordID)
		if f := decidetest.Finding(t, d, "renal_dosing/*"); f.Cut != decision.CutNotRun || f.Card == "" ||
			!bytes.Contains(a.Body, []byte("all checks of renal_dosing")) {
			t.Errorf("finding %+v, answer %s", f, a.Body)
		}
		elsewhere := n.away(id)
		elsewhere.same(elsewhere.materials(id), id, a.RecordID)
	}
}

// TestDamagedPackOutOfService: that a pack is suspended and its archive damaged, too,
// is named, and replays.
func TestDamagedPackOutOfService(t *testing.T) {
	n := newRegion(t)
	n.suspend("north", "renal_dosing", "", "wrong limit")
	digest, err := audit.ParseDigest(referencePackDigest(t, "renal_dosing"))
	decidetest.Must(t, err)
	n.edit(audit.Blobs, "", digest[:], func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	n.restart()
	a := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	_, d := n.opened("north", a.RecordID)
	if f := decidetest.Finding(t, d, "renal_dosing/*"); f.Cut != decision.CutSuspension || f.Card == "" {
		t.Errorf("finding %+v, answer %s", f, a.Body)
	}
	elsewhere := n.away("north")
	elsewhere.same(elsewhere.materials("north"), "north", a.RecordID)
}

func referencePackDigest(t testing.TB, name string) string {
	return string(decidetest.ReferencePack(t, name).Digest)
}

// The clock of a machine may go back a little; the log does not. If it goes back far it
// is not believed.
func TestClockGoesBack(t *testing.T) {
	n := newRegion(t)
	n.call("north", decidetest.Patient(t, "clean"))
	n.clock.advance(-3 * time.Minute)
	n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	n.clock.advance(-time.Hour)
	_, err := n.Call(t.Context(), ehr("north"), "orders", decidetest.Patient(t, "text-only"))
	decidetest.WantError(t, err, audit.ErrClock)
	n.clock.advance(time.Hour)
	n.clean("north")
	n.restart()
	n.clean("north")
}

func TestMonthTurns(t *testing.T) {
	n := newRegion(t)
	at := n.clock.now()
	end := time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	n.clock.advance(end.Sub(at) - time.Minute)
	first := n.call("north", decidetest.Patient(t, "clean"))
	n.clock.advance(2 * time.Minute)
	second := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	n.restart()
	for _, a := range []*Answer{first, second} {
		if _, err := n.Record(t.Context(), auditor("north"), a.RecordID); err != nil {
			t.Error(err)
		}
	}
	if again := n.call("north", decidetest.Patient(t, "clean")); !again.Repeated {
		t.Error("a call of two minutes ago was decided anew, for a month has ended")
	}
	n.clean("north")
}
