package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// region is what a test region consists of; logs are opened and closed on it like processes.
type region struct {
	store audit.Store
	kms   keyring.KMS
	clock *audittest.Clock
	mark  string
	queue int
	jump  time.Duration // by how much the clock may go back; 0 means the default
}

func newRegion(t testing.TB) *region {
	t.Helper()
	dir := t.TempDir()
	kms, err := keyring.CreateFileKMS(filepath.Join(dir, "region.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &region{
		store: audittest.NewMemory(t), kms: kms, mark: filepath.Join(dir, "mark"),
		clock: &audittest.Clock{Now: time.Date(2026, 3, 2, 15, 0, 0, 123e6, time.UTC)},
	}
}

func (r *region) config(t testing.TB) audit.Config {
	t.Helper()
	ring, err := keyring.New(keyring.Config{Region: "eu", KMS: r.kms, Lookup: audit.KeyLookup(r.store),
		Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	c := audit.Config{
		Store: r.store, Ring: ring, Prefix: "audit.example", Region: "eu",
		Clock: r.clock.Time, Rand: rand.Reader, Queue: r.queue, MaxJump: r.jump,
	}
	if r.mark != "" {
		c.Mark = audit.MarkFile(r.mark)
	}
	return c
}

func (r *region) tryOpen(t testing.TB) (*audit.Log, error) {
	t.Helper()
	return audit.Open(t.Context(), r.config(t))
}

func (r *region) open(t testing.TB) *audit.Log {
	t.Helper()
	l, err := r.tryOpen(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (r *region) memory() *audittest.Memory {
	m, ok := r.store.(*audittest.Memory)
	if !ok {
		panic("not a memory store")
	}
	return m
}

func (r *region) entry(tn tenant.ID, patient string) audit.Entry {
	return audittest.Entry(r.clock.Time(), tn, patient)
}

func (r *region) statement(tn tenant.ID, index int64) audit.Entry {
	e := r.entry(tn, "")
	e.Kind, e.Patient, e.StatementIndex = audit.Statement, audit.Patient{}, index
	e.Statement = fmt.Appendf(nil, "envelope %d of %s", index, tn)
	return e
}

// under makes an entry under the release log as it is.
func under(t testing.TB, l *audit.Log, e audit.Entry) audit.Entry {
	t.Helper()
	sizes, err := l.ReleaseSizes(t.Context(), e.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	e.Release = sizes[e.Tenant]
	return e
}

func appendOK(t testing.TB, l *audit.Log, e audit.Entry) audit.Receipt {
	t.Helper()
	rec, err := l.Append(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func verified(t testing.TB, r *audit.Reader, tn tenant.ID) *audit.Report {
	t.Helper()
	rep, err := r.Verify(t.Context(), tn, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rep.Findings {
		t.Errorf("verification of %s: %v", tn, f)
	}
	return rep
}

func TestRecordIsReadProvedAndFound(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	var receipts []audit.Receipt
	var entries []audit.Entry
	for i := range 9 {
		e := r.entry("north", fmt.Sprint("p", i%2))
		entries = append(entries, e)
		receipts = append(receipts, appendOK(t, l, e))
		r.clock.Add(time.Second)
	}
	for i, rc := range receipts {
		if rc.Index != int64(i) || rc.Size <= rc.Index || rc.Log != "audit.example/eu/north/audit/2026-03" || rc.Repeated {
			t.Errorf("receipt %d: %+v", i, rc)
		}
		if err := rc.Verify(l.NodeKey()); err != nil {
			t.Error(err)
		}
		if got, err := audit.ParseReceipt(rc.String()); err != nil || got.String() != rc.String() {
			t.Errorf("receipt does not survive its text: %v", err)
		}
		rec, err := l.Get(t.Context(), "north", rc.RecordID)
		if err != nil || !bytes.Equal(rec.Body, bytes.Join(entries[i].Body, nil)) {
			t.Errorf("record %d: body %q, %v", i, rec.Body, err)
		}
		if rec.Leaf.Kind != audit.Decision || rec.Leaf.Index != int64(i) || rec.Leaf.CTLen%64 != 0 ||
			bytes.Contains(rec.Bytes, []byte("p0")) {
			t.Errorf("leaf %d: %s", i, rec.Bytes)
		}
		p, err := l.Proof(t.Context(), "north", rc.RecordID)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Verify(l.NodeKey()); err != nil || !bytes.Equal(p.Leaf, rec.Bytes) {
			t.Errorf("proof %d: %v", i, err)
		}
		p.Leaf = append(p.Leaf, ' ')
		if err := p.Verify(l.NodeKey()); err == nil {
			t.Error("a proof of another leaf passed")
		}
		card, err := l.ByCard(t.Context(), "north", entries[i].Cards[0])
		if err != nil || card != rc.RecordID {
			t.Errorf("by card: %s, %v", card, err)
		}
	}
	rep := verified(t, l.Reader, "north")
	if len(rep.Logs) != 1 || rep.Logs[0].Opened != 9 || rep.Logs[0].Leaves != 9 {
		t.Errorf("report %+v", rep)
	}
}

func TestListFindsByTimePatientRuleAndKind(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	start := r.clock.Time()
	for i := range 20 {
		e := r.entry("north", fmt.Sprint("p", i%4))
		if i%5 == 0 {
			e.Kind = audit.Refusal
		}
		appendOK(t, l, e)
		r.clock.Add(time.Minute)
	}
	appendOK(t, l, r.entry("south", "p0"))
	p1 := audit.Patient{Base: "https://ehr.example/fhir", ID: "p1"}
	for name, c := range map[string]struct {
		f    audit.Filter
		want int
	}{
		"all":              {audit.Filter{}, 20},
		"from":             {audit.Filter{From: start.Add(10 * time.Minute)}, 10},
		"to":               {audit.Filter{To: start.Add(10 * time.Minute)}, 10},
		"from to":          {audit.Filter{From: start.Add(5 * time.Minute), To: start.Add(10 * time.Minute)}, 5},
		"patient":          {audit.Filter{Patient: p1}, 5},
		"patient from":     {audit.Filter{Patient: p1, From: start.Add(2 * time.Minute)}, 4},
		"other base":       {audit.Filter{Patient: audit.Patient{Base: "https://x", ID: "p1"}}, 0},
		"rule of all":      {audit.Filter{Rule: "renal_dosing/metformin-contraindicated"}, 20},
		"rule of some":     {audit.Filter{Rule: "interactions/p2"}, 5},
		"unknown rule":     {audit.Filter{Rule: "x/y"}, 0},
		"kind":             {audit.Filter{Kind: audit.Refusal}, 4},
		"patient and kind": {audit.Filter{Kind: audit.Refusal, Patient: p1}, 1},
		"patient and rule": {audit.Filter{Rule: "interactions/p2", Patient: p1}, 0},
		"before the epoch": {audit.Filter{From: time.Unix(-5, 0), To: time.Unix(-1, 0)}, 0},
	} {
		for _, limit := range []int{0, 1, 3, 20} {
			f := c.f
			f.Limit = limit
			var got []audit.Summary
			for pages := 0; ; pages++ {
				page, err := l.List(t.Context(), "north", f)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				got = append(got, page.Records...)
				if f.Cursor = page.Next; f.Cursor == "" {
					break
				}
				if pages > 30 {
					t.Fatalf("%s: pages without end", name)
				}
			}
			if len(got) != c.want {
				t.Errorf("%s, limit %d: %d records, want %d", name, limit, len(got), c.want)
			}
			for i := 1; i < len(got); i++ {
				if got[i-1].Leaf.RecordID <= got[i].Leaf.RecordID {
					t.Errorf("%s, limit %d: not newest first, or twice", name, limit)
				}
			}
		}
	}
	for name, f := range map[string]audit.Filter{
		"cursor": {Cursor: "x"}, "short cursor": {Cursor: "AAAA"}, "limit": {Limit: 1001}, "negative": {Limit: -1},
		"kind": {Kind: "nothing"},
	} {
		if _, err := l.List(t.Context(), "north", f); !errors.Is(err, audit.ErrFilter) {
			t.Errorf("bad %s: %v, want ErrFilter", name, err)
		}
	}
}

func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	e := r.entry("north", "p1")
	rc := appendOK(t, l, e)
	appendOK(t, l, r.entry("south", "p2"))
	for name, err := range map[string]error{
		"get":   func() error { _, err := l.Get(t.Context(), "south", rc.RecordID); return err }(),
		"none":  func() error { _, err := l.Get(t.Context(), "nobody", rc.RecordID); return err }(),
		"bad":   func() error { _, err := l.Get(t.Context(), "south", "no id"); return err }(),
		"proof": func() error { _, err := l.Proof(t.Context(), "south", rc.RecordID); return err }(),
		"card":  func() error { _, err := l.ByCard(t.Context(), "south", e.Cards[0]); return err }(),
		"head":  func() error { _, err := l.Checkpoint(t.Context(), "nobody", "audit/2026-03"); return err }(),
		"odd":   func() error { _, err := l.Checkpoint(t.Context(), "north", "audit"); return err }(),
		"month": func() error { _, err := l.Checkpoint(t.Context(), "north", "audit/2026-04"); return err }(),
		"rel":   func() error { _, err := l.Checkpoint(t.Context(), "north", audit.Releases); return err }(),
	} {
		if !errors.Is(err, audit.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
	// The same idempotency bytes of another tenant are another call.
	other := r.entry("south", "p1")
	other.Idem = e.Idem
	if rc := appendOK(t, l, other); rc.Repeated {
		t.Error("a tenant got another tenant's record")
	}
}

func TestRepeatYieldsTheFirstRecord(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	first := r.entry("north", "p1")
	want := appendOK(t, l, first)
	appendOK(t, l, r.entry("north", "p2"))
	again := r.entry("north", "p1")
	again.Idem = first.Idem
	for range 2 {
		got := appendOK(t, l, again)
		if !got.Repeated || got.RecordID != want.RecordID || got.Index != want.Index || got.Leaf != want.Leaf ||
			got.Size != 2 {
			t.Errorf("repeat: %+v, want that of %+v", got, want)
		}
		if err := got.Verify(l.NodeKey()); err != nil {
			t.Error(err)
		}
		l.Close()
		l = r.open(t)
	}
	again.Idem = nil
	again.RecordID = first.RecordID
	if _, err := l.Append(t.Context(), again); !errors.Is(err, audit.ErrDuplicate) {
		t.Errorf("same record id: %v, want ErrDuplicate", err)
	}
	verified(t, l.Reader, "north")
}

func TestConcurrentRepeatsStoreOneRecord(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	var wg sync.WaitGroup
	ids := make([]audit.Receipt, 64)
	for i := range ids {
		wg.Go(func() {
			e := r.entry("north", "p1")
			e.Idem = []byte{byte(i % 4)}
			var err error
			if ids[i], err = l.Append(context.Background(), e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	fresh := 0
	for i, rc := range ids {
		if !rc.Repeated {
			fresh++
		}
		if rc.RecordID != ids[i%4].RecordID || rc.Verify(l.NodeKey()) != nil {
			t.Errorf("call %d got %s, want %s", i, rc.RecordID, ids[i%4].RecordID)
		}
	}
	if rep := verified(t, l.Reader, "north"); fresh != 4 || rep.Logs[0].Leaves != 4 {
		t.Errorf("%d answered as stored, %d are", fresh, rep.Logs[0].Leaves)
	}
}

func TestConcurrentTenantsAndPatients(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				e := r.entry(tenant.ID(fmt.Sprintf("tenant-%d", g%3)), fmt.Sprint("p", i%5))
				if _, err := l.Append(context.Background(), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total := int64(0)
	for g := range 3 {
		total += verified(t, l.Reader, tenant.ID(fmt.Sprintf("tenant-%d", g))).Logs[0].Opened
	}
	if total != 320 {
		t.Errorf("%d records", total)
	}
}

func TestMonthsAreChained(t *testing.T) {
	r := newRegion(t)
	r.jump = 100 * 24 * time.Hour
	l := r.open(t)
	a := appendOK(t, l, r.entry("north", "p1"))
	r.clock.Add(31 * 24 * time.Hour)
	b := appendOK(t, l, r.entry("north", "p1"))
	r.clock.Add(-40 * 24 * time.Hour) // the clock goes back: the log does not
	c := appendOK(t, l, r.entry("north", "p1"))
	r.clock.Add(70 * 24 * time.Hour)
	l.Close()
	l = r.open(t)
	d := appendOK(t, l, r.entry("north", "p1"))
	for i, want := range []struct {
		rc    audit.Receipt
		month string
		index int64
	}{{a, "2026-03", 0}, {b, "2026-04", 1}, {c, "2026-04", 2}, {d, "2026-05", 1}} {
		if !strings.HasSuffix(want.rc.Log, want.month) || want.rc.Index != want.index {
			t.Errorf("record %d: %s at %d, want %s at %d", i, want.rc.Log, want.rc.Index, want.month, want.index)
		}
	}
	recB, _ := l.Get(t.Context(), "north", b.RecordID)
	recC, err := l.Get(t.Context(), "north", c.RecordID)
	if err != nil || recC.Leaf.Committed.Before(recB.Leaf.Committed) {
		t.Errorf("committed times go back: %v then %v, %v", recB.Leaf.Committed, recC.Leaf.Committed, err)
	}
	heads, err := l.Logs(t.Context(), "north")
	if err != nil || len(heads) != 3 || heads[0].Log != "audit/2026-03" || heads[0].Size != 1 || heads[1].Size != 3 ||
		heads[2].Size != 2 {
		t.Errorf("logs %+v, %v", heads, err)
	}
	verified(t, l.Reader, "north")
}

func TestStatementsAreOrderedAndRead(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	for i := range int64(5) {
		appendOK(t, l, r.statement("north", i))
	}
	for _, index := range []int64{4, 6} {
		if _, err := l.Append(t.Context(), r.statement("north", index)); !errors.Is(err, audit.ErrMoved) {
			t.Errorf("statement checked against %d: %v, want ErrMoved", index, err)
		}
	}
	l.Close()
	l = r.open(t)
	for from := range int64(7) {
		n := from
		for s, err := range l.Statements(t.Context(), "north", from) {
			if err != nil {
				t.Fatal(err)
			}
			if s.Index != n || string(s.Envelope) != fmt.Sprintf("envelope %d of north", n) || s.Record == "" ||
				s.Decided.IsZero() {
				t.Errorf("statement %d: %+v", n, s)
			}
			n++
		}
		if n != max(5, from) {
			t.Errorf("from %d: ended at %d", from, n)
		}
	}
	for range l.Statements(t.Context(), "south", 0) {
		t.Error("a tenant without statements has one")
	}
	p, err := l.StatementProof(t.Context(), "north", 3)
	if err != nil || p.Verify(l.NodeKey()) != nil || string(p.Leaf) != "envelope 3 of north" {
		t.Errorf("proof: %v", err)
	}
	if _, err := l.StatementProof(t.Context(), "north", 5); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("proof beyond the end: %v", err)
	}
	verified(t, l.Reader, "north")
	r.memory().Edit(audit.Leaves, "north", append([]byte("releases\x00\x00\x00\x00\x00\x00\x00\x00"), 2),
		func(b []byte) []byte {
			return bytes.Replace(b, []byte("envelope"), []byte("Envelope"), 1)
		})
	var last error
	for _, err := range l.Statements(t.Context(), "north", 0) {
		last = err
	}
	if !errors.Is(last, audit.ErrCorrupt) {
		t.Errorf("a changed statement: %v, want ErrCorrupt", last)
	}
}

func TestErasedBodyKeepsItsProof(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	gone := appendOK(t, l, r.entry("north", "p1"))
	kept := appendOK(t, l, r.entry("north", "p2"))
	rec, err := l.Get(t.Context(), "north", gone.RecordID)
	if err != nil {
		t.Fatal(err)
	}
	key := []byte(keyring.NameKey(rec.Leaf.KeyRef))
	r.memory().Edit(audit.Keys, "north", key, func([]byte) []byte { return []byte{0} })
	rec, err = l.Get(t.Context(), "north", gone.RecordID)
	if !errors.Is(err, audit.ErrErased) || rec.Body != nil || rec.Leaf.RecordID != gone.RecordID {
		t.Errorf("erased record: %v, %+v", err, rec)
	}
	if _, err := l.Get(t.Context(), "north", kept.RecordID); err != nil {
		t.Errorf("another patient's record: %v", err)
	}
	if p, err := l.Proof(t.Context(), "north", gone.RecordID); err != nil || p.Verify(l.NodeKey()) != nil {
		t.Errorf("proof of an erased record: %v", err)
	}
	if rep := verified(t, l.Reader, "north"); rep.Logs[0].Erased != 1 || rep.Logs[0].Opened != 1 {
		t.Errorf("report %+v", rep.Logs[0])
	}
	// The key is still in this process's memory, yet no new record is sealed with it.
	if _, err := l.Append(t.Context(), r.entry("north", "p1")); !errors.Is(err, audit.ErrErased) {
		t.Errorf("append under a destroyed key: %v, want ErrErased", err)
	}
	// Erasure removes the binding too; then the patient begins anew.
	removeBinding(t, r, rec.Leaf.KeyRef)
	fresh := appendOK(t, l, r.entry("north", "p1"))
	if again, err := l.Get(t.Context(), "north", fresh.RecordID); err != nil || again.Leaf.KeyRef == rec.Leaf.KeyRef {
		t.Errorf("after erasure: %v", err)
	}
	verified(t, l.Reader, "north")
}

func removeBinding(t *testing.T, r *region, handle string) {
	t.Helper()
	var name []byte
	err := r.store.View(t.Context(), func(v audit.View) error {
		return v.Scan(audit.Keys, "north", []byte("subject/"), []byte("subject0"), false, func(k, val []byte) (bool, error) {
			if string(val) == handle {
				name = bytes.Clone(k)
			}
			return true, nil
		})
	})
	if err != nil || name == nil {
		t.Fatalf("finding the binding: %v", err)
	}
	r.memory().Edit(audit.Keys, "north", name, func([]byte) []byte { return nil })
}

func TestEntriesNotWellFormedAreRefused(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	for name, spoil := range map[string]func(*audit.Entry){
		"kind":              func(e *audit.Entry) { e.Kind = "x" },
		"checkpoint":        func(e *audit.Entry) { e.Kind = audit.Checkpoint },
		"tenant":            func(e *audit.Entry) { e.Tenant = "No" },
		"tenant with zero":  func(e *audit.Entry) { e.Tenant = "a\x00b" },
		"record id":         func(e *audit.Entry) { e.RecordID = "x" },
		"record id v4":      func(e *audit.Entry) { e.RecordID = "6f1c3f0e-3b57-4f0a-9b7e-0c3f0e3b5714" },
		"upper-case id":     func(e *audit.Entry) { e.RecordID = audit.RecordID(strings.ToUpper(string(e.RecordID))) },
		"engine":            func(e *audit.Entry) { e.Engine = "a\"b" },
		"library":           func(e *audit.Entry) { e.Library = "a\nb" },
		"no schema":         func(e *audit.Entry) { e.Schema = "" },
		"time":              func(e *audit.Entry) { e.Decided = time.Time{} },
		"year 1969":         func(e *audit.Entry) { e.Decided = time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC) },
		"year 10000":        func(e *audit.Entry) { e.Decided = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"half a patient":    func(e *audit.Entry) { e.Patient.Base = "" },
		"statement missing": func(e *audit.Entry) { e.Kind = audit.Statement },
		"statement extra":   func(e *audit.Entry) { e.Statement = []byte("x") },
		"statement large": func(e *audit.Entry) {
			e.Kind, e.Statement = audit.Statement, make([]byte, audit.MaxStatement+1)
		},
		"body large": func(e *audit.Entry) { e.Body = [][]byte{make([]byte, audit.MaxBody), {1}} },
		"release":    func(e *audit.Entry) { e.Release = -1 },
		"many rules": func(e *audit.Entry) { e.Rules = make([]string, 5000) },
		"many rules and cards": func(e *audit.Entry) {
			e.Rules, e.Cards = make([]string, 4000), make([]string, 97)
		},
	} {
		e := r.entry("north", "p1")
		spoil(&e)
		if _, err := l.Append(t.Context(), e); !errors.Is(err, audit.ErrEntry) {
			t.Errorf("%s: %v, want ErrEntry", name, err)
		}
	}
	for _, year := range []int{1970, 9999} {
		e := r.entry("north", "p1")
		e.Decided = time.Date(year, 7, 1, 0, 0, 0, 0, time.UTC)
		appendOK(t, l, e)
	}
	full := r.entry("north", "p1")
	full.Rules, full.Cards = nil, nil
	for i := range 4096 {
		full.Cards = append(full.Cards, fmt.Sprint("card ", i))
	}
	appendOK(t, l, full)
	long := r.statement("south", 0)
	long.Statement = make([]byte, audit.MaxStatement)
	appendOK(t, l, long)
	e := r.entry("north", "p1")
	e.Body = nil // an empty body is a body
	rc := appendOK(t, l, e)
	if rec, err := l.Get(t.Context(), "north", rc.RecordID); err != nil || len(rec.Body) != 0 {
		t.Errorf("empty body: %q, %v", rec.Body, err)
	}
	large := r.entry("north", "p1")
	large.Body = [][]byte{bytes.Repeat([]byte("0123456789"), 1<<20), []byte("end")}
	rc = appendOK(t, l, large)
	rec, err := l.Get(t.Context(), "north", rc.RecordID)
	if err != nil || !bytes.Equal(rec.Body, bytes.Join(large.Body, nil)) {
		t.Errorf("10 MB body: %d bytes, %v", len(rec.Body), err)
	}
}

func TestBlobs(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	d, err := l.PutBlob(t.Context(), []byte("archive"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.PutBlob(t.Context(), []byte("archive")); err != nil || again != d {
		t.Errorf("second time: %v", err)
	}
	if b, err := l.Blob(t.Context(), d); err != nil || string(b) != "archive" {
		t.Errorf("got %q, %v", b, err)
	}
	if parsed, err := audit.ParseDigest(d.String()); err != nil || parsed != d {
		t.Errorf("digest %s: %v", d, err)
	}
	if _, err := l.Blob(t.Context(), audit.Digest{}); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("unknown blob: %v", err)
	}
	if _, err := l.PutBlob(t.Context(), make([]byte, audit.MaxBlob+1)); !errors.Is(err, audit.ErrEntry) {
		t.Errorf("large blob: %v", err)
	}
	r.memory().Edit(audit.Blobs, "", d[:], func([]byte) []byte { return []byte("Archive") })
	if _, err := l.Blob(t.Context(), d); !errors.Is(err, audit.ErrCorrupt) {
		t.Errorf("changed blob: %v", err)
	}
	for _, bad := range []string{"", "x", strings.ToUpper(d.String()), d.String() + "0"} {
		if _, err := audit.ParseDigest(bad); err == nil {
			t.Errorf("digest %q was taken", bad)
		}
	}
}

// gate is a store whose commits wait while it is shut.
type gate struct {
	audit.Store
	waiting chan struct{}

	mu   sync.Mutex
	open chan struct{} // closed to open the gate; guarded by mu
}

// newGate makes a gate that is shut.
func newGate(s audit.Store) *gate {
	return &gate{Store: s, open: make(chan struct{}), waiting: make(chan struct{}, 100)}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) Commit(ctx context.Context, b *audit.Batch) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	g.waiting <- struct{}{}
	<-open
	return g.Store.Commit(ctx, b)
}

// queued waits until n entries wait to be stored.
func queued(l *audit.Log, n int) {
	for audit.Waiting(l) < n {
		time.Sleep(time.Millisecond)
	}
}

func TestFullQueueIsBusyAndCancelledEntriesAreNotStored(t *testing.T) {
	r := newRegion(t)
	r.open(t).Close()
	g := newGate(r.store)
	r.store, r.queue = g, 2
	l := r.open(t)
	results := make(chan error, 10)
	send := func(ctx context.Context) {
		_, err := l.Append(ctx, r.entry("north", "p1"))
		results <- err
	}
	go send(t.Context())
	<-g.waiting // the writer is in its first commit
	ctx, cancel := context.WithCancel(t.Context())
	go send(ctx)
	go send(t.Context())
	queued(l, 2)
	if _, err := l.Append(t.Context(), r.entry("north", "p1")); !errors.Is(err, audit.ErrBusy) {
		t.Errorf("full queue: %v, want ErrBusy", err)
	}
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	close(g.open)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Append(t.Context(), r.entry("north", "p1")); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("after close: %v, want ErrClosed", err)
	}
	if rep := verified(t, l.Reader, "north"); rep.Logs[0].Leaves != 2 {
		t.Errorf("%d records: a cancelled entry was stored", rep.Logs[0].Leaves)
	}
}

// TestCompressedSize holds what is stored against a budget: at most 1.2 times what zstd makes of the body at level 3.
func TestCompressedSize(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	level3, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(5) {
		body := fhirBody(seed, 88<<10)
		e := r.entry("north", "p1")
		e.Body = [][]byte{body[:1000], body[1000:]}
		rec, err := l.Get(t.Context(), "north", appendOK(t, l, e).RecordID)
		if err != nil {
			t.Fatal(err)
		}
		stored, budget := float64(rec.Leaf.CTLen)+float64(len(rec.Bytes)), 1.2*float64(len(level3.EncodeAll(body, nil)))
		if stored > budget {
			t.Errorf("leaf and body take %.0f bytes, budget %.0f", stored, budget)
		}
	}
}
