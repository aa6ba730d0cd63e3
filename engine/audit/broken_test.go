package audit_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/audit/bolt"
)

// scenario is one life of a region with every kind of commit. Steps go on after a failure only by a restart.
func scenario(r *region) []func(*testing.T, *audit.Log) (audit.Entry, error) {
	put := func(make func() audit.Entry) func(*testing.T, *audit.Log) (audit.Entry, error) {
		return func(t *testing.T, l *audit.Log) (audit.Entry, error) {
			e := under(t, l, make())
			_, err := l.Append(t.Context(), e)
			return e, err
		}
	}
	return []func(*testing.T, *audit.Log) (audit.Entry, error){
		put(func() audit.Entry { return r.entry("north", "p1") }), // new tenant, new keys
		put(func() audit.Entry { return r.entry("north", "p1") }),
		put(func() audit.Entry { return r.entry("north", "p2") }), // new patient
		put(func() audit.Entry { return r.statement("north", 0) }),
		func(t *testing.T, l *audit.Log) (audit.Entry, error) {
			_, err := l.PutBlob(t.Context(), []byte("archive"))
			return audit.Entry{}, err
		},
		put(func() audit.Entry { r.clock.Add(40 * 24 * time.Hour); return r.entry("north", "p1") }), // new month
		put(func() audit.Entry { return r.entry("south", "p1") }),
	}
}

// TestEveryCommitBrokenTwice breaks each commit of the scenario: once lost, and once kept but reported lost.
// After a restart the log must verify, hold everything that was acknowledged, and take a client's retry without
// storing it twice.
func TestEveryCommitBrokenTwice(t *testing.T) {
	const commits = 8 // naming the store, and the seven steps
	for _, fault := range []audittest.Fault{audittest.Lost, audittest.Kept} {
		for n := range commits {
			t.Run(fmt.Sprintf("commit %d %s", n, fault), func(t *testing.T) {
				r := newRegion(t)
				faulty := audittest.NewFaulty(r.store)
				faulty.Break(n, fault)
				whole := r.store
				r.store = faulty
				l, err := r.tryOpen(t)
				if (err != nil) != (n == 0) {
					t.Fatalf("opening: %v", err)
				}
				var acked []audit.RecordID
				var broken *audit.Entry
				if err != nil {
					l = nil
				}
				for i, step := range scenario(r) {
					if l == nil {
						r.store = whole
						l = r.open(t)
					}
					e, err := step(t, l)
					if err == nil {
						if e.RecordID != "" {
							acked = append(acked, e.RecordID)
						}
						continue
					}
					if i != n-1 || !errors.Is(err, audit.ErrStore) || !strings.Contains(err.Error(), "next start runs the check") {
						t.Fatalf("step %d: %v", i, err)
					}
					broken = &e
					checkPoisoned(t, r, l)
					l.Close()
					l = nil
				}
				if l == nil {
					r.store = whole
					l = r.open(t)
				}
				retried(t, l, broken, fault)
				for _, id := range acked {
					if _, err := l.Get(t.Context(), "north", id); err != nil {
						if _, err := l.Get(t.Context(), "south", id); err != nil {
							t.Errorf("acknowledged record %s: %v", id, err)
						}
					}
				}
				verified(t, l.Reader, "north")
				verified(t, l.Reader, "south")
				if all, broken := faulty.Commits(); broken != 1 {
					t.Errorf("%d commits: the fault was not met", all)
				}
			})
		}
	}
}

func checkPoisoned(t *testing.T, r *region, l *audit.Log) {
	t.Helper()
	select {
	case <-l.Failed():
	default:
		t.Error("the failure is not signalled")
	}
	if _, err := l.Append(t.Context(), r.entry("north", "p9")); !errors.Is(err, audit.ErrStore) {
		t.Errorf("append after a failed commit: %v, want ErrStore", err)
	}
	if _, err := l.PutBlob(t.Context(), []byte("x")); !errors.Is(err, audit.ErrStore) {
		t.Errorf("blob after a failed commit: %v, want ErrStore", err)
	}
	if !errors.Is(l.Err(), audittest.ErrBroken) {
		t.Errorf("the cause is lost: %v", l.Err())
	}
}

// retried sends the entry whose commit broke once more, as a client does: a new record id, the same call.
func retried(t *testing.T, l *audit.Log, broken *audit.Entry, fault audittest.Fault) {
	t.Helper()
	if broken == nil || broken.RecordID == "" {
		return
	}
	again := under(t, l, *broken)
	again.RecordID, _ = audit.NewRecordID(again.Decided, rand.Reader)
	rc, err := l.Append(t.Context(), again)
	if err != nil {
		t.Fatalf("retry: %v", err)
	}
	if rc.Repeated != (fault == audittest.Kept) || rc.Repeated && rc.RecordID != broken.RecordID {
		t.Errorf("retry of a commit %s: repeated %v, record %s", fault, rc.Repeated, rc.RecordID)
	}
}

func TestOldCopyOfTheStoreIsRefused(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	appendOK(t, l, r.statement("north", 0))
	old := r.memory().Clone()
	newer := map[string]func(){
		"one record": func() { appendOK(t, l, under(t, l, r.entry("north", "p1"))) },
		"statement":  func() { appendOK(t, l, r.statement("north", 1)) },
		"new tenant": func() { appendOK(t, l, r.entry("south", "p1")) },
		"new month":  func() { r.clock.Add(40 * 24 * time.Hour); appendOK(t, l, under(t, l, r.entry("north", "p1"))) },
	}
	for _, name := range []string{"one record", "statement", "new tenant", "new month"} {
		newer[name]()
		restored := *r
		restored.store = old.Clone()
		_, err := restored.tryOpen(t)
		if !errors.Is(err, audit.ErrCutShort) || !strings.Contains(err.Error(), "restore a newer copy") {
			t.Errorf("%s later: %v, want ErrCutShort with a hint", name, err)
		}
		reader, err := audit.OpenReader(t.Context(), restored.config(t))
		if err != nil {
			t.Fatal(err)
		}
		rep, err := reader.Verify(t.Context(), "north", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		found(t, rep, "high-water mark", "log cut short")
	}
	// A whole tenant that is gone is a log cut short too.
	restored := *r
	restored.store = old.Clone()
	reader, err := audit.OpenReader(t.Context(), restored.config(t))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := reader.Verify(t.Context(), "south", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	found(t, rep, "high-water mark", "log cut short")
	if _, err := reader.Verify(t.Context(), "nobody", nil, nil); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a tenant that never was: %v", err)
	}
}

// TestRepeatBeyondTheHeadIsNotAnswered puts an older head back under a running store that has no mark.
func TestRepeatBeyondTheHeadIsNotAnswered(t *testing.T) {
	r := newRegion(t)
	r.mark = ""
	l := r.open(t)
	first := r.entry("north", "p1")
	appendOK(t, l, first)
	head := value(r.memory(), "north", audit.Heads, []byte("audit"))
	second := r.entry("north", "p1")
	appendOK(t, l, second)
	r.memory().Edit(audit.Heads, "north", []byte("audit"), func([]byte) []byte { return head })
	again := r.entry("north", "p1")
	again.Idem = second.Idem
	if rc, err := l.Append(t.Context(), again); !errors.Is(err, audit.ErrCorrupt) {
		t.Errorf("a record that the head does not cover: %+v, %v", rc, err)
	}
	again.Idem = first.Idem
	if rc := appendOK(t, l, again); !rc.Repeated || rc.Size != 1 {
		t.Errorf("a record that it covers: %+v", rc)
	}
}

func found(t *testing.T, rep *audit.Report, check, detail string) {
	t.Helper()
	for _, f := range rep.Findings {
		if f.Check == check && strings.Contains(f.Detail, detail) {
			return
		}
	}
	t.Errorf("no finding %q with %q among %v", check, detail, rep.Findings)
}

func TestMarkFile(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	for range 5 {
		appendOK(t, l, r.entry("north", "p1"))
	}
	l.Close()
	good, err := os.ReadFile(r.mark)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		if err := os.WriteFile(r.mark, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(append(bytes.Clone(good), `{"tenant":"nor`...)) // the machine stopped while it was written
	l, err = r.tryOpen(t)
	if err != nil {
		t.Fatalf("torn last line: %v", err)
	}
	appendOK(t, l, r.entry("north", "p1"))
	l.Close()
	write(append([]byte("{}\n"), good...))
	if _, err := r.tryOpen(t); !errors.Is(err, audit.ErrMark) {
		t.Errorf("damaged line: %v, want ErrMark", err)
	}
	write(bytes.ReplaceAll(good, []byte("audit.example/eu/north/audit/2026-03"),
		[]byte("audit.example/eu/north/audit/2026-02")))
	if _, err := r.tryOpen(t); !errors.Is(err, audit.ErrMark) {
		t.Errorf("mark not signed: %v, want ErrMark", err)
	}
	if err := os.Remove(r.mark); err != nil {
		t.Fatal(err)
	}
	if _, err := r.tryOpen(t); !errors.Is(err, audit.ErrMark) || !strings.Contains(err.Error(), "--adopt-high-water") {
		t.Errorf("missing mark: %v, want ErrMark with a hint", err)
	}
	c := r.config(t)
	c.AdoptMark = true
	if l, err = audit.Open(t.Context(), c); err != nil {
		t.Fatalf("adopting a new mark: %v", err)
	}
	l.Close()
	l = r.open(t)
	verified(t, l.Reader, "north")
}

// TestIncompleteMarkIsRefused empties the mark, cuts it, and drops lines of it, beside the newest store and beside older
// copies: a mark that does not name what it named is no mark.
func TestIncompleteMarkIsRefused(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	empty := r.memory().Clone()
	appendOK(t, l, r.entry("north", "p1"))
	older := r.memory().Clone()
	appendOK(t, l, r.statement("north", 0))
	appendOK(t, l, r.entry("south", "p1"))
	l.Close()
	appended, err := os.ReadFile(r.mark)
	if err != nil {
		t.Fatal(err)
	}
	r.open(t).Close() // rewrites it
	rewritten, err := os.ReadFile(r.mark)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(rewritten, []byte("\n"))[:3]
	try := func(store *audittest.Memory, mark []byte) error {
		t.Helper()
		if err := os.WriteFile(r.mark, mark, 0o600); err != nil {
			t.Fatal(err)
		}
		restored := *r
		restored.store = store.Clone()
		l, err := restored.tryOpen(t)
		if err == nil {
			l.Close()
		}
		return err
	}
	now := r.memory()
	for name, mark := range map[string][]byte{
		"emptied": nil, "torn": lines[0][:20], "first line": lines[0], "two lines": slices.Concat(lines[0], lines[1]),
		"first dropped": slices.Concat(lines[1], lines[2]), "middle dropped": slices.Concat(lines[0], lines[2]),
		"last appended of south dropped": appended[:bytes.Index(appended, []byte(`{"tenant":"south"`))],
	} {
		for age, store := range map[string]*audittest.Memory{"now": now, "older": older} {
			err := try(store, mark)
			if age == "older" && strings.HasPrefix(name, "last appended") {
				if !errors.Is(err, audit.ErrCutShort) { // as after a crash: south was never begun, but north went on
					t.Errorf("%s, store of %s: %v, want ErrCutShort", name, age, err)
				}
			} else if !errors.Is(err, audit.ErrMark) || !strings.Contains(err.Error(), "--adopt-high-water") {
				t.Errorf("%s, store of %s: %v, want ErrMark with a hint", name, age, err)
			}
		}
	}
	if err := try(empty, nil); err != nil {
		t.Errorf("a store without logs and an empty mark: %v", err)
	}
	for n := range appended {
		if err := try(now, appended[:n]); err != nil && !errors.Is(err, audit.ErrMark) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	// A crash may lose the lines that were not synced, but those that name a log were.
	named := bytes.SplitAfter(appended, []byte("\n"))[0]
	if !bytes.Contains(named, []byte(`"note":""`)) {
		t.Fatalf("first line %s", named)
	}
	for age, store := range map[string]*audittest.Memory{"not begun": empty, "begun": older} {
		if err := try(store, named); err != nil {
			t.Errorf("crash at the first commit, %s: %v", age, err)
		}
	}
	if err := os.WriteFile(r.mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := audit.OpenReader(t.Context(), r.config(t))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := reader.Verify(t.Context(), "north", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	found(t, rep, "high-water mark", "does not name this log")
}

func TestMarkIsRewrittenWhenItGrows(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	for range 3200 {
		e := r.entry("north", "p1")
		e.Rules, e.Cards = nil, nil
		appendOK(t, l, e)
	}
	l.Close()
	info, err := os.Stat(r.mark)
	if err != nil || info.Size() > 1<<20+4096 {
		t.Errorf("mark has %d bytes, %v", info.Size(), err)
	}
	l = r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	files, err := filepath.Glob(r.mark + "*")
	if err != nil || len(files) != 1 {
		t.Errorf("files left behind: %v", files)
	}
}

func TestStoreOfAnotherRegionIsRefused(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	l.Close()
	for name, spoil := range map[string]func(*audit.Config){
		"region": func(c *audit.Config) { c.Region = "us" },
		"prefix": func(c *audit.Config) { c.Prefix = "other.example" },
	} {
		c := r.config(t)
		spoil(&c)
		if _, err := audit.Open(t.Context(), c); !errors.Is(err, audit.ErrForeign) {
			t.Errorf("other %s: %v, want ErrForeign", name, err)
		}
		if _, err := audit.OpenReader(t.Context(), c); !errors.Is(err, audit.ErrForeign) {
			t.Errorf("reading, other %s: %v, want ErrForeign", name, err)
		}
	}
	unused := audit.Config{Store: audittest.NewMemory(t)}
	if _, err := audit.OpenReader(t.Context(), unused); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("reading an unused store: %v", err)
	}
	for name, spoil := range map[string]func(*audit.Config){
		"no ring":    func(c *audit.Config) { c.Ring = nil },
		"no clock":   func(c *audit.Config) { c.Clock = nil },
		"bad prefix": func(c *audit.Config) { c.Prefix = "a b" },
		"bad region": func(c *audit.Config) { c.Region = "E U" },
	} {
		c := r.config(t)
		spoil(&c)
		if _, err := audit.Open(t.Context(), c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestReadingWithoutKeys verifies a store on disk with nothing but what it holds, as an auditor's tool does.
func TestReadingWithoutKeys(t *testing.T) {
	r := newRegion(t)
	path := filepath.Join(t.TempDir(), "audit.db")
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.store = s
	l := r.open(t)
	node := l.NodeKey()
	for i := range 300 {
		appendOK(t, l, r.entry("north", fmt.Sprint("p", i%7)))
	}
	rc := appendOK(t, l, r.entry("north", "p1"))
	l.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ro, err := bolt.Open(path, bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	reader, err := audit.OpenReader(t.Context(), audit.Config{Store: ro, Mark: audit.MarkFile(r.mark), Node: node})
	if err != nil {
		t.Fatal(err)
	}
	if rep := verified(t, reader, "north"); rep.Logs[0].Sealed != 301 || rep.Logs[0].Leaves != 301 {
		t.Errorf("report %+v", rep.Logs[0])
	}
	if rec, err := reader.Get(t.Context(), "north", rc.RecordID); !errors.Is(err, audit.ErrFilter) ||
		rec.Leaf.RecordID != rc.RecordID {
		t.Errorf("get without keys: %v", err)
	}
	if page, err := reader.List(t.Context(), "north", audit.Filter{Kind: audit.Decision, Limit: 1000}); err != nil ||
		len(page.Records) != 301 {
		t.Errorf("list without keys: %d, %v", len(page.Records), err)
	}
	if _, err := reader.List(t.Context(), "north", audit.Filter{Rule: "a/b"}); !errors.Is(err, audit.ErrFilter) {
		t.Errorf("search by rule without keys: %v", err)
	}
	node[0] ^= 1
	other, err := audit.OpenReader(t.Context(), audit.Config{Store: ro, Node: node})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := other.Verify(t.Context(), "north", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	found(t, rep, "head", "signature")
}
