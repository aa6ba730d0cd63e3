package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/tenant"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// model is what a log should hold, kept in the simplest way.
type model struct {
	records    map[tenant.ID][]audit.RecordID // in order of storing
	calls      map[string]audit.RecordID      // tenant and idempotency bytes
	statements map[tenant.ID]int64
	receipts   []audit.Receipt
	layout     *known
}

// TestRandomLivesAgainstModel lets tenants append, repeat, state and restart in any order, with clocks that jump
// and commits that break, and compares with the model after each life.
func TestRandomLivesAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRegion(t)
		r.jump = 1e5 * time.Hour
		faulty := audittest.NewFaulty(r.store)
		r.store = faulty
		l := r.open(t)
		node := l.NodeKey()
		m := &model{records: map[tenant.ID][]audit.RecordID{}, calls: map[string]audit.RecordID{},
			statements: map[tenant.ID]int64{}, layout: newKnown()}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				l.Close()
				l = r.open(t)
			case 1:
				r.clock.Add(time.Duration(rapid.IntRange(-40*24, 40*24).Draw(rt, "hours")) * time.Hour)
			case 2:
				fault := audittest.Fault(rapid.IntRange(0, 1).Draw(rt, "fault"))
				faulty.Break(0, fault)
				e := m.draw(rt, r)
				rc, err := l.Append(t.Context(), e)
				if fault == audittest.Kept && errors.Is(err, audit.ErrStore) {
					m.stored(e)
				} else if err == nil && !rc.Repeated {
					rt.Fatal("a broken commit was acknowledged")
				}
				faulty.Break(-1, fault)
				l.Close()
				l = r.open(t)
			default:
				m.append(t, rt, l, m.draw(rt, r))
			}
		}
		m.compare(t, rt, l)
		for _, rc := range m.receipts {
			if err := rc.Verify(node); err != nil {
				rt.Fatal(err)
			}
		}
		l.Close()
	})
}

// draw makes an entry: sometimes a repeat of an earlier call, sometimes a statement.
func (m *model) draw(rt *rapid.T, r *region) audit.Entry {
	tn := rapid.SampledFrom([]tenant.ID{"north", "south"}).Draw(rt, "tenant")
	if rapid.IntRange(0, 4).Draw(rt, "statement") == 0 {
		e := r.statement(tn, m.statements[tn])
		e.Idem = nil
		return e
	}
	e := r.entry(tn, fmt.Sprint("p", rapid.IntRange(0, 2).Draw(rt, "patient")))
	e.Idem = fmt.Append(nil, rapid.IntRange(0, 9).Draw(rt, "call"))
	e.Release = max(0, m.statements[tn]+rapid.SampledFrom([]int64{0, 0, 0, 0, -1, 1}).Draw(rt, "moved"))
	return e
}

// stored notes that an entry was stored; it says whether it repeats another.
func (m *model) stored(e audit.Entry) (first audit.RecordID, repeated bool) {
	if id, ok := m.calls[call(e)]; ok {
		return id, true
	}
	m.layout.add(e)
	if e.Idem != nil {
		m.calls[call(e)] = e.RecordID
	}
	m.records[e.Tenant] = append(m.records[e.Tenant], e.RecordID)
	if e.Kind == audit.Statement {
		m.statements[e.Tenant]++
	}
	return e.RecordID, false
}

// call names the call of an entry.
func call(e audit.Entry) string { return string(e.Tenant) + " " + string(e.Idem) }

func (m *model) append(t *testing.T, rt *rapid.T, l *audit.Log, e audit.Entry) {
	rc, err := l.Append(t.Context(), e)
	_, repeated := m.calls[call(e)]
	if moved := e.Kind == audit.Decision && e.Release != m.statements[e.Tenant]; moved && !repeated {
		if !errors.Is(err, audit.ErrMoved) {
			rt.Fatalf("decided under %d of %d statements: %v, want ErrMoved", e.Release, m.statements[e.Tenant], err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	if id, repeated := m.stored(e); rc.RecordID != id || rc.Repeated != repeated {
		rt.Fatalf("got record %s (repeated %v), the model says %s (%v)", rc.RecordID, rc.Repeated, id, repeated)
	}
	m.receipts = append(m.receipts, rc)
}

func (m *model) compare(t *testing.T, rt *rapid.T, l *audit.Log) {
	for tn, want := range m.records {
		rep, err := l.Verify(t.Context(), tn, m.layout, nil)
		if err != nil || len(rep.Findings)+len(rep.NotChecked) > 0 {
			rt.Fatalf("verification of %s: %v %+v", tn, err, rep)
		}
		opened := int64(0)
		for _, log := range rep.Logs {
			opened += log.Opened
		}
		if opened != int64(len(want)) {
			rt.Fatalf("%s has %d records, the model %d", tn, opened, len(want))
		}
		var before audit.Leaf
		for i, id := range want {
			rec, err := l.Get(t.Context(), tn, id)
			if err != nil {
				rt.Fatal(err)
			}
			if rec.Leaf.Committed.Before(before.Committed) || i > 0 && rec.Leaf.Committed.Equal(before.Committed) &&
				rec.Leaf.Index <= before.Index {
				rt.Fatalf("%s: record %d is not after the one before", tn, i)
			}
			before = rec.Leaf
		}
		n := int64(0)
		for _, err := range l.Statements(t.Context(), tn, 0) {
			if err != nil {
				rt.Fatal(err)
			}
			n++
		}
		sizes, err := l.ReleaseSizes(t.Context())
		if n != m.statements[tn] || sizes[tn] != n || err != nil {
			rt.Fatalf("%s has %d statements, or %d (%v), the model %d", tn, n, sizes[tn], err, m.statements[tn])
		}
	}
}

// TestTreeAgainstTlog builds the same tree with nothing but tlog and compares roots, proofs and tiles at every size.
func TestTreeAgainstTlog(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = hashes[at]
		}
		return out, nil
	})
	const log = audit.LogName("audit/2026-03")
	var ids []audit.RecordID
	for n := range int64(300) {
		rc := appendOK(t, l, r.entry("north", "p1"))
		ids = append(ids, rc.RecordID)
		rec, err := l.Get(t.Context(), "north", rc.RecordID)
		if err != nil {
			t.Fatal(err)
		}
		more, err := tlog.StoredHashes(n, rec.Bytes, reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
		root, err := tlog.TreeHash(n+1, reader)
		if err != nil || root != rc.Root || rc.Size != n+1 {
			t.Fatalf("size %d: root %s, tlog says %s (%v)", n+1, rc.Root, root, err)
		}
		for _, at := range []int64{0, n / 3, n / 2, n} {
			p, err := l.Proof(t.Context(), "north", ids[at])
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(p.Hashes, n+1, root, at, tlog.RecordHash(p.Leaf)); err != nil {
				t.Fatalf("size %d, leaf %d: %v", n+1, at, err)
			}
		}
	}
	for _, c := range []struct {
		level int
		n     int64
		width int
		ok    bool
	}{{0, 0, 256, true}, {0, 1, 44, true}, {0, 1, 45, false}, {1, 0, 1, true}, {1, 0, 2, false}, {0, 2, 1, false},
		{-1, 0, 1, false}, {0, -1, 1, false}, {0, 0, 257, false}, {9, 0, 1, false}} {
		got, err := l.Tile(t.Context(), "north", log, c.level, c.n, c.width)
		if !c.ok {
			if !errors.Is(err, audit.ErrNotFound) {
				t.Errorf("tile %+v: %v, want ErrNotFound", c, err)
			}
			continue
		}
		want, err2 := tlog.ReadTileData(tlog.Tile{H: 8, L: c.level, N: c.n, W: c.width}, reader)
		if err != nil || err2 != nil || string(got) != string(want) {
			t.Errorf("tile %+v differs: %v %v", c, err, err2)
		}
	}
	note, err := l.Checkpoint(t.Context(), "north", log)
	if err != nil || !strings.HasPrefix(string(note), "audit.example/eu/north/audit/2026-03\n300\n") {
		t.Errorf("checkpoint %q, %v", note, err)
	}
}
