package audit_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/tenant"
)

func leafKey(log string, index int) []byte {
	return binary.BigEndian.AppendUint64([]byte(log+"\x00"), uint64(index))
}

// flipSignature flips a bit in the signature of a stored head.
func flipSignature(b []byte) []byte { return flip(bytes.Index(b, []byte(`","used"`)) - 20)(b) }

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		return b
	}
}

func drop([]byte) []byte { return nil }

// value reads a stored value, to be put somewhere else.
func value(m *audittest.Memory, t tenant.ID, s audit.Space, key []byte) (v []byte) {
	m.Edit(s, t, key, func(b []byte) []byte { v = bytes.Clone(b); return b })
	return v
}

// TestTamperingIsNamed edits the store as somebody with the file can, and looks for the finding that names it.
func TestTamperingIsNamed(t *testing.T) {
	const march, april, may = "audit/2026-03", "audit/2026-04", "audit/2026-05"
	for name, c := range map[string]struct {
		edit          func(m *audittest.Memory)
		check, detail string
		log           audit.LogName
		index         int64
	}{
		"bodies of two records swapped": {func(m *audittest.Memory) {
			a, b := value(m, "north", audit.Bodies, leafKey(march, 1)), value(m, "north", audit.Bodies, leafKey(march, 2))
			m.Edit(audit.Bodies, "north", leafKey(march, 1), func([]byte) []byte { return b })
			m.Edit(audit.Bodies, "north", leafKey(march, 2), func([]byte) []byte { return a })
		}, "body", "not the one in the leaf", march, 2},
		"body flipped": {func(m *audittest.Memory) { m.Edit(audit.Bodies, "north", leafKey(march, 1), flip(-1)) },
			"body", "not the one in the leaf", march, 1},
		"body removed": {func(m *audittest.Memory) { m.Edit(audit.Bodies, "north", leafKey(march, 1), drop) },
			"body", "missing", march, 1},
		"leaf flipped": {func(m *audittest.Memory) { m.Edit(audit.Leaves, "north", leafKey(march, 1), flip(-20)) },
			"tree", "signed root", march, -1},
		"leaf edited well": {func(m *audittest.Memory) {
			m.Edit(audit.Leaves, "north", leafKey(march, 1), func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"engine":"1.0.0"`), []byte(`"engine":"2.0.0"`), 1)
			})
		}, "tree", "not those of the leaves", march, 1},
		"leaf removed": {func(m *audittest.Memory) { m.Edit(audit.Leaves, "north", leafKey(march, 1), drop) },
			"leaf", "missing", march, 1},
		"tree hash flipped": {func(m *audittest.Memory) { m.Edit(audit.Leaves, "north", leafKey(march, 1), flip(40)) },
			"tree", "not those of the leaves", march, 1},
		"leaves swapped": {func(m *audittest.Memory) {
			a, b := value(m, "north", audit.Leaves, leafKey(march, 0)), value(m, "north", audit.Leaves, leafKey(march, 2))
			m.Edit(audit.Leaves, "north", leafKey(march, 0), func([]byte) []byte { return b })
			m.Edit(audit.Leaves, "north", leafKey(march, 2), func([]byte) []byte { return a })
		}, "order", "index is 2", march, 0},
		"leaf beyond the head": {func(m *audittest.Memory) {
			a := value(m, "north", audit.Leaves, leafKey(may, 1))
			m.Edit(audit.Leaves, "north", leafKey(may, 2), func([]byte) []byte { return a })
		}, "head", "beyond", may, -1},
		"head flipped": {func(m *audittest.Memory) { m.Edit(audit.Heads, "north", []byte("audit"), flipSignature) },
			"head", "signature", "audit", -1},
		"older head put back": {func(m *audittest.Memory) {
			a := value(m, "north", audit.Heads, []byte(march))
			m.Edit(audit.Heads, "north", []byte("audit"), func([]byte) []byte { return a })
		}, "high-water mark", "not in the store", may, -1},
		"month removed": {func(m *audittest.Memory) { m.Edit(audit.Heads, "north", []byte(april), drop) },
			"month chain", "another one", may, 0},
		"first month removed": {func(m *audittest.Memory) { m.Edit(audit.Heads, "north", []byte(march), drop) },
			"month chain", "not there", april, 0},
		"record not found by its id": {func(m *audittest.Memory) {
			v := value(m, "north", audit.Leaves, leafKey(march, 1))
			at := bytes.Index(v, []byte(`"recordId":"`)) + len(`"recordId":"`)
			key, err := uuid.ParseBytes(v[at : at+36])
			if err != nil {
				panic(err)
			}
			m.Edit(audit.Records, "north", key[:], drop)
		}, "record id", "not found here", march, 1},
		"statement changed": {func(m *audittest.Memory) { m.Edit(audit.Leaves, "north", leafKey("releases", 0), flip(-1)) },
			"statement", "not the one recorded", march, 3},
		"statement changed, its log": {func(m *audittest.Memory) {
			m.Edit(audit.Leaves, "north", leafKey("releases", 0), flip(-1))
		},
			"tree", "signed root", audit.Releases, -1},
		"tenant renamed": {func(m *audittest.Memory) { m.Edit(audit.Meta, "", []byte("tenant/north"), flip(0)) },
			"leaf", "another tenant", march, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t)
			l := r.open(t)
			for range 3 {
				appendOK(t, l, r.entry("north", "p1"))
			}
			appendOK(t, l, r.statement("north", 0))
			for range 2 {
				r.clock.Add(31 * 24 * time.Hour)
				appendOK(t, l, under(t, l, r.entry("north", "p1")))
			}
			verified(t, l.Reader, "north")
			c.edit(r.memory())
			rep, err := l.Verify(t.Context(), "north", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range rep.Findings {
				if f.Check == c.check && strings.Contains(f.Detail, c.detail) && f.Log == c.log && f.Index == c.index {
					return
				}
			}
			t.Errorf("no finding %s %d %q %q among:\n%v", c.log, c.index, c.check, c.detail, rep.Findings)
		})
	}
}

// TestTamperedRecordIsNotRead checks that reading one record meets what the verification would find.
func TestTamperedRecordIsNotRead(t *testing.T) {
	const march = "audit/2026-03"
	for name, edit := range map[string]func(m *audittest.Memory){
		"body flipped": func(m *audittest.Memory) { m.Edit(audit.Bodies, "north", leafKey(march, 1), flip(7)) },
		"body removed": func(m *audittest.Memory) { m.Edit(audit.Bodies, "north", leafKey(march, 1), drop) },
		"leaf flipped": func(m *audittest.Memory) { m.Edit(audit.Leaves, "north", leafKey(march, 1), flip(-20)) },
		"leaf removed": func(m *audittest.Memory) { m.Edit(audit.Leaves, "north", leafKey(march, 1), drop) },
		"sibling":      func(m *audittest.Memory) { m.Edit(audit.Leaves, "north", leafKey(march, 0), flip(1)) },
		"head flipped": func(m *audittest.Memory) { m.Edit(audit.Heads, "north", []byte("audit"), flipSignature) },
		"leaf with its hash, not its root": func(m *audittest.Memory) {
			m.Edit(audit.Leaves, "north", leafKey(march, 1), audit.ForgeLeaf(`"engine":"1.0.0"`, `"engine":"2.0.0"`))
		},
	} {
		r := newRegion(t)
		l := r.open(t)
		appendOK(t, l, r.entry("north", "p1"))
		rc := appendOK(t, l, r.entry("north", "p1"))
		appendOK(t, l, r.entry("north", "p2"))
		edit(r.memory())
		if _, err := l.Get(t.Context(), "north", rc.RecordID); !errors.Is(err, audit.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		l.Close()
		if strings.HasPrefix(name, "head") {
			if _, err := r.tryOpen(t); !errors.Is(err, audit.ErrCorrupt) {
				t.Errorf("%s: opening: %v, want ErrCorrupt", name, err)
			}
		}
	}
}

// TestStartChecksTheGrowingEnd damages what the next leaf would be built on: the start is refused, without a panic.
func TestStartChecksTheGrowingEnd(t *testing.T) {
	const march = "audit/2026-03"
	leaf := func(index int, change func([]byte) []byte) func(*audittest.Memory) {
		return func(m *audittest.Memory) { m.Edit(audit.Leaves, "north", leafKey(march, index), change) }
	}
	edits := map[string]func(*audittest.Memory){
		"own hash":     leaf(2, flip(1)),
		"subtree":      leaf(1, flip(33)),
		"newest gone":  leaf(2, drop),
		"more hashes":  leaf(2, func(b []byte) []byte { b[0] = 255; return b }),
		"fewer hashes": leaf(1, func(b []byte) []byte { return append([]byte{1}, b[33:]...) }),
		"one too many": func(m *audittest.Memory) { leaf(3, func([]byte) []byte { return []byte{0} })(m) },
		"release leaf": func(m *audittest.Memory) { m.Edit(audit.Leaves, "north", leafKey("releases", 0), flip(1)) },
		"release extra": func(m *audittest.Memory) {
			m.Edit(audit.Leaves, "north", leafKey("releases", 1), func([]byte) []byte { return []byte{0} })
		},
	}
	for n := range 65 { // leaf 1 has two hashes
		edits[fmt.Sprint("cut to ", n)] = leaf(1, func(b []byte) []byte { return b[:n] })
	}
	r := newRegion(t)
	r.mark = ""
	l := r.open(t)
	for range 2 {
		appendOK(t, l, r.entry("north", "p1"))
	}
	appendOK(t, l, r.statement("north", 0))
	l.Close()
	for name, edit := range edits {
		bad := *r
		bad.store = r.memory().Clone()
		edit(bad.memory())
		if _, err := bad.tryOpen(t); !errors.Is(err, audit.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

// TestDamagedPlaceIsNotFollowed cuts what leads from a record's id to its leaf.
func TestDamagedPlaceIsNotFollowed(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	e := r.entry("north", "p1")
	rc := appendOK(t, l, e)
	id := uuid.MustParse(string(rc.RecordID))
	whole := value(r.memory(), "north", audit.Records, id[:])
	again := r.entry("north", "p1")
	again.Idem = e.Idem
	for n := range 9 + len("audit/2026-03") {
		r.memory().Edit(audit.Records, "north", id[:], func([]byte) []byte { return whole[:n] })
		if _, err := l.Get(t.Context(), "north", rc.RecordID); !errors.Is(err, audit.ErrCorrupt) {
			t.Errorf("place cut to %d: %v, want ErrCorrupt", n, err)
		}
		if rc, err := l.Append(t.Context(), again); !errors.Is(err, audit.ErrCorrupt) {
			t.Errorf("repeat, place cut to %d: %+v, %v, want ErrCorrupt", n, rc, err)
		}
	}
}

// TestNewBodyByKeyHolder: somebody with the keys seals another body for a record and even patches the digest in
// the leaf.
func TestNewBodyByKeyHolder(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	rc := appendOK(t, l, r.entry("north", "p1"))
	forged := audit.Reseal(t, r.config(t).Ring, l.Reader, "north", rc.RecordID, []byte("another body"))
	r.memory().Edit(audit.Bodies, "north", leafKey("audit/2026-03", 0), func([]byte) []byte { return forged })
	rep, err := l.Verify(t.Context(), "north", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	found(t, rep, "body", "not the one in the leaf")
	// Were the digest to match (a second opening of one ciphertext), the commitment still fails.
	if err := audit.OpenForged(t, l.Reader, "north", rc.RecordID, forged); !errors.Is(err, audit.ErrCorrupt) ||
		!strings.Contains(err.Error(), "committed") {
		t.Errorf("second opening: %v, want a failed commitment", err)
	}
}
