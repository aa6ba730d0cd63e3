package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// known is a layout that remembers what entries were indexed under.
type known struct {
	mu      sync.Mutex
	entries map[audit.RecordID]audit.Indexed // guarded by mu
	blobs   map[string][]audit.Digest
}

func newKnown() *known { return &known{entries: map[audit.RecordID]audit.Indexed{}} }

func (k *known) add(e audit.Entry) audit.Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries[e.RecordID] = e.Indexed
	return e
}

func (k *known) Index(_ context.Context, _ tenant.ID, r audit.Record) (audit.Indexed, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i, ok := k.entries[r.Leaf.RecordID]
	return i, ok, nil
}

func (k *known) Blobs(statement []byte) []audit.Digest { return k.blobs[string(statement)] }

// held is a region with records of three patients, a repeated call, a statement and a blob, in two months.
type held struct {
	*region
	log     *audit.Log
	layout  *known
	entries []audit.Entry
	blob    audit.Digest
}

func newHeld(t *testing.T) *held {
	h := &held{region: newRegion(t), layout: newKnown()}
	h.log = h.open(t)
	add := func(e audit.Entry) {
		h.entries = append(h.entries, h.layout.add(under(t, h.log, e)))
		appendOK(t, h.log, h.entries[len(h.entries)-1])
	}
	for i := range 4 {
		add(h.entry("north", fmt.Sprint("p", i%3)))
	}
	var err error
	if h.blob, err = h.log.PutBlob(t.Context(), []byte("archive")); err != nil {
		t.Fatal(err)
	}
	s := h.statement("north", 0)
	h.layout.blobs = map[string][]audit.Digest{string(s.Statement): {h.blob}}
	add(s)
	h.clock.Add(31 * 24 * time.Hour)
	again := h.entry("north", "p0")
	again.Idem, again.Replaces = h.entries[0].Idem, h.entries[0].RecordID
	add(again)
	other := h.entry("north", "")
	other.Kind, other.Indexed = audit.Event, audit.Indexed{}
	add(other)
	return h
}

func (h *held) id(i int) []byte {
	u := uuid.MustParse(string(h.entries[i].RecordID))
	return u[:]
}

// keys are the keys in an index whose value or end is a record's id, in order.
func (h *held) keys(t *testing.T, s audit.Space, i int) (keys [][]byte) {
	t.Helper()
	err := h.store.View(t.Context(), func(v audit.View) error {
		return v.Scan(s, "north", nil, nil, false, func(k, value []byte) (bool, error) {
			if bytes.HasSuffix(k, h.id(i)) || bytes.Equal(value, h.id(i)) {
				keys = append(keys, bytes.Clone(k))
			}
			return true, nil
		})
	})
	if err != nil || len(keys) == 0 {
		t.Fatalf("nothing in %s for record %d: %v", s, i, err)
	}
	return keys
}

// tag is the tag of something as the region's keys make it.
func (h *held) tag(t *testing.T, kind string, values ...string) []byte {
	t.Helper()
	keys, err := h.config(t).Ring.Tenant(t.Context(), "north")
	if err != nil {
		t.Fatal(err)
	}
	tag := keys.Tag(kind, values...)
	return tag[:]
}

func (h *held) edit(s audit.Space, key []byte, change func([]byte) []byte) {
	tn := tenant.ID("north")
	if s == audit.Blobs {
		tn = ""
	}
	h.memory().Edit(s, tn, key, change)
}

func put(v []byte) func([]byte) []byte { return func([]byte) []byte { return v } }

// TestIndexesAreRecomputed edits what no hash covers, as somebody with the file can, and looks for the finding that
// says which index, which record, and how to go on. Without keys what can be told from the leaves must be told too.
func TestIndexesAreRecomputed(t *testing.T) {
	const base = "https://ehr.example/fhir"
	for name, c := range map[string]struct {
		edit    func(t *testing.T, h *held)
		check   string
		record  int    // whose id the finding names; -1 for none
		detail  string // in the finding
		offline bool   // found without keys too
	}{
		"call leads to another record": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, h.tag(t, "idempotency", string(h.entries[1].Idem)), put(h.id(2)))
		}, "index", 1, "something else in place", false},
		"call leads to another record, the other": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, h.tag(t, "idempotency", string(h.entries[1].Idem)), put(h.id(2)))
		}, "index", 2, "by what is not in it", false},
		"repeated call leads to the older record": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, h.tag(t, "idempotency", string(h.entries[0].Idem)), put(h.id(0)))
		}, "index", 5, "something else in place", false},
		"card leads to another record": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, h.tag(t, "card", h.entries[1].Cards[0]), put(h.id(2)))
		}, "index", 1, "something else in place", false},
		"card removed": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, h.tag(t, "card", h.entries[1].Cards[0]), drop)
		}, "index", 1, "cards, calls and statements has no entry", false},
		"card of nobody": {func(t *testing.T, h *held) { h.edit(audit.Lookups, h.tag(t, "card", "x"), put(h.id(3))) },
			"index", 3, "by what is not in it", false},
		"one card for another": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, h.tag(t, "card", h.entries[1].Cards[0]), drop)
			h.edit(audit.Lookups, h.tag(t, "card", "x"), put(h.id(3)))
		}, "index", 3, "by what is not in it", false},
		"card leads nowhere": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, h.tag(t, "card", "x"), put(make([]byte, 16)))
		}, "index", -1, "leads to no record", true},
		"patient entry removed": {func(t *testing.T, h *held) { h.edit(audit.Patients, h.keys(t, audit.Patients, 1)[0], drop) },
			"index", 1, "patients has no entry", false},
		"patient entry of another": {func(t *testing.T, h *held) {
			marks := value(h.memory(), "north", audit.Patients, h.keys(t, audit.Patients, 1)[0])
			h.edit(audit.Patients, append(h.tag(t, "patient", base, "p2"), h.id(1)...), put(marks))
		}, "index", 1, "patients leads to record", true},
		"patient entry of a stranger": {func(t *testing.T, h *held) {
			h.edit(audit.Patients, append(h.tag(t, "patient", base, "p9"), h.id(6)...), put([]byte{6}))
		}, "index", 6, "patients leads to record", true},
		"patient entry of no record": {func(t *testing.T, h *held) {
			h.edit(audit.Patients, append(h.tag(t, "patient", base, "p1"), make([]byte, 16)...), put([]byte{1}))
		}, "index", -1, "leads to no record", true},
		"damaged patient entry": {func(t *testing.T, h *held) { h.edit(audit.Patients, []byte("short"), put([]byte{1})) },
			"index", -1, "leads to no record", true},
		"rules stripped from the records": {func(t *testing.T, h *held) {
			h.edit(audit.Records, h.id(1), func(b []byte) []byte { return b[:len(b)-16] })
		}, "index", 1, "other rules", true},
		"rules stripped from the patients": {func(t *testing.T, h *held) {
			h.edit(audit.Patients, h.keys(t, audit.Patients, 1)[0], func(b []byte) []byte { return b[:1] })
		}, "index", 1, "", true},
		"rules stripped from both": {func(t *testing.T, h *held) {
			h.edit(audit.Patients, h.keys(t, audit.Patients, 1)[0], func(b []byte) []byte { return b[:1] })
			h.edit(audit.Records, h.id(1), func(b []byte) []byte { return b[:len(b)-16] })
		}, "index", 1, "index of records has another kind or other rules", false},
		"kind changed": {func(t *testing.T, h *held) {
			h.edit(audit.Records, h.id(6), func(b []byte) []byte { b[len(b)-1] = 5; return b })
		}, "index", 6, "kind", true},
		"record that is in no log": {func(t *testing.T, h *held) {
			place := value(h.memory(), "north", audit.Records, h.id(1))
			h.edit(audit.Records, bytes.Repeat([]byte{7}, 16), put(place))
		}, "index", -1, "index of records has an entry that leads to no record", true},
		"statement's record removed": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, append([]byte("release-"), make([]byte, 8)...), drop)
		}, "index", 4, "no entry", true},
		"statement's record is another": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, append([]byte("release-"), make([]byte, 8)...), put(h.id(1)))
		}, "index", 1, "by a statement that is not its own", true},
		"statement that is none": {func(t *testing.T, h *held) {
			h.edit(audit.Lookups, append([]byte("release-"), 0, 0, 0, 0, 0, 0, 0, 9), put(h.id(4)))
		}, "index", 4, "by a statement that is not its own", true},
		"blob removed": {func(t *testing.T, h *held) { h.edit(audit.Blobs, h.blob[:], drop) }, "blob", -1, "not in the store", true},
		"blob changed": {func(t *testing.T, h *held) { h.edit(audit.Blobs, h.blob[:], flip(0)) }, "blob", -1, "other bytes", true},
		"key removed": {func(t *testing.T, h *held) { h.edit(audit.Keys, h.keyOf(t, 1), drop) },
			"key", -1, "gone, and not by an erasure", true},
		"tenant key removed": {func(t *testing.T, h *held) { h.edit(audit.Keys, []byte("tenant/1"), drop) },
			"key", -1, "gone, and not by an erasure", true},
		"index key removed": {func(t *testing.T, h *held) { h.edit(audit.Keys, []byte("index/1"), drop) },
			"key", -1, "gone, and not by an erasure", false},
		"key cut": {func(t *testing.T, h *held) {
			h.edit(audit.Keys, h.keyOf(t, 1), func(b []byte) []byte { return b[:40] })
		}, "", -1, "not a wrapped key", true},
		"key of another patient": {func(t *testing.T, h *held) {
			h.edit(audit.Keys, h.keyOf(t, 1), put(value(h.memory(), "north", audit.Keys, h.keyOf(t, 2))))
		}, "commitment", -1, "do not open here", false},
		"patient bound to another key": {func(t *testing.T, h *held) {
			to := strings.TrimPrefix(string(h.keyOf(t, 2)), "key/")
			h.edit(audit.Keys, h.bindingOf(t, "p1"), put([]byte(to)))
		}, "index", 1, "key", true},
		"patient bound to no key": {func(t *testing.T, h *held) { h.edit(audit.Keys, h.bindingOf(t, "p1"), drop) },
			"index", 1, "key", true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeld(t)
			if rep := h.verify(t, h.reader(t, true)); len(rep.Findings) > 0 || len(rep.NotChecked) > 0 {
				t.Fatalf("before: %+v", rep)
			}
			if rep := h.verify(t, h.reader(t, false)); len(rep.Findings) > 0 || len(rep.NotChecked) != 1 {
				t.Fatalf("without keys, before: %+v", rep)
			}
			c.edit(t, h)
			for keys, want := range map[bool]bool{true: true, false: c.offline} {
				rep := h.verify(t, h.reader(t, keys))
				named := slices.ContainsFunc(rep.Findings, func(f audit.Finding) bool {
					return (c.check == "" || f.Check == c.check) && strings.Contains(f.Detail, c.detail) &&
						(c.record < 0 || strings.Contains(f.Detail, string(h.entries[c.record].RecordID))) &&
						(f.Check != "index" || strings.Contains(f.Detail, "put back a copy"))
				})
				if named != want {
					t.Errorf("with keys %v: found %v among %v", keys, named, rep.Findings)
				}
				for _, f := range rep.Findings {
					if strings.Contains(f.Detail, "p1") || strings.Contains(f.Detail, base) {
						t.Errorf("finding names the patient: %v", f)
					}
				}
			}
		})
	}
}

func (h *held) reader(t *testing.T, keys bool) *audit.Reader {
	t.Helper()
	c := h.config(t)
	if !keys {
		c.Ring = nil
	}
	r, err := audit.OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (h *held) verify(t *testing.T, r *audit.Reader) *audit.Report {
	t.Helper()
	rep, err := r.Verify(t.Context(), "north", h.layout, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// keyOf is the name of the key that seals a record.
func (h *held) keyOf(t *testing.T, i int) []byte {
	t.Helper()
	rec, err := h.log.Get(t.Context(), "north", h.entries[i].RecordID)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(keyring.NameKey(rec.Leaf.KeyRef))
}

func (h *held) bindingOf(t *testing.T, patient string) []byte {
	return []byte(keyring.NameSubject(keyring.Tag(h.tag(t, "patient", "https://ehr.example/fhir", patient))))
}

// TestErasedRecordsAreNotCompared: what an erased record was found by is not known any more, whether its index entries
// are still there or not, and the others are compared all the same.
func TestErasedRecordsAreNotCompared(t *testing.T) {
	h := newHeld(t)
	h.edit(audit.Keys, h.keyOf(t, 1), put([]byte{0}))
	h.edit(audit.Lookups, h.tag(t, "card", h.entries[1].Cards[0]), drop)
	rep := h.verify(t, h.reader(t, true))
	if len(rep.Findings) > 0 || len(rep.NotChecked) != 1 || !strings.Contains(rep.NotChecked[0], "of 1 records") {
		t.Errorf("report %+v", rep)
	}
	h.edit(audit.Lookups, h.tag(t, "card", "x"), put(h.id(2)))
	found(t, h.verify(t, h.reader(t, true)), "index", "by what is not in it")
}

// TestVerificationBesideAWriter verifies while calls are stored, and repeated under a new record.
func TestVerificationBesideAWriter(t *testing.T) {
	h := newHeld(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		before := h.entries[5]
		for i := range 300 {
			e := h.entry("north", fmt.Sprint("p", i%3))
			e.Release = 1
			if i%3 == 0 {
				e.Patient, e.Idem, e.Replaces = before.Patient, before.Idem, before.RecordID
				before = e
			}
			if _, err := h.log.Append(context.Background(), h.layout.add(e)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if rep := h.verify(t, h.log.Reader); len(rep.Findings) > 0 {
			t.Fatalf("findings %v", rep.Findings)
		}
	}
}

// TestManyRecordsAreVerifiedInPieces goes over the borders of what is read at once.
func TestManyRecordsAreVerifiedInPieces(t *testing.T) {
	r, k := newRegion(t), newKnown()
	l := r.open(t)
	var ids []audit.RecordID
	for i := range 600 {
		rc := appendOK(t, l, k.add(r.entry("north", fmt.Sprint("p", i%5))))
		ids = append(ids, rc.RecordID)
	}
	verify := func() *audit.Report {
		rep, err := l.Verify(t.Context(), "north", k, nil)
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	if rep := verify(); len(rep.Findings) > 0 || len(rep.NotChecked) > 0 {
		t.Fatalf("report %+v", rep)
	}
	keys := map[string]bool{}
	_ = r.store.View(t.Context(), func(v audit.View) error {
		return v.Scan(audit.Patients, "north", nil, nil, false, func(key, _ []byte) (bool, error) {
			keys[string(key)] = true
			return true, nil
		})
	})
	sorted := slices.Sorted(maps.Keys(keys))
	r.memory().Edit(audit.Patients, "north", []byte(sorted[len(sorted)-1]), drop)
	extra := append([]byte(sorted[0])[:16:16], sorted[len(sorted)-1][16:]...)
	r.memory().Edit(audit.Patients, "north", extra, put([]byte{1}))
	if rep := verify(); len(rep.Findings) < 2 {
		t.Errorf("%d records: findings %v", len(ids), rep.Findings)
	}
}
