package bolt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// realStore makes the file of a small region: two tenants, statements, a blob, bodies of many sizes, two months.
func realStore(t testing.TB) (path string, kms keyring.KMS, layout entryLayout) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "audit.db")
	kms, err := keyring.CreateFileKMS(filepath.Join(dir, "region.key"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	clock := &audittest.Clock{Now: time.Date(2026, 3, 31, 23, 59, 0, 0, time.UTC)}
	ring, err := keyring.New(keyring.Config{Region: "eu", KMS: kms, Lookup: audit.KeyLookup(s), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(t.Context(), audit.Config{Store: s, Ring: ring, Prefix: "audit.example", Region: "eu",
		Clock: clock.Time, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.PutBlob(t.Context(), make([]byte, 30000)); err != nil {
		t.Fatal(err)
	}
	layout = entryLayout{}
	for i := range 80 {
		e := audittest.Entry(clock.Time(), []tenant.ID{"north", "south"}[i%2], fmt.Sprint("patient-", i%7))
		layout[e.RecordID] = e.Indexed
		if i == 40 {
			clock.Add(2 * time.Minute)
		}
		body := make([]byte, i*i)
		if _, err := rand.Read(body); err != nil {
			t.Fatal(err)
		}
		e.Body = append(e.Body, body)
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return path, kms, layout
}

// noticed says what checking and verifying a store file finds; "" if nothing.
func noticed(t *testing.T, path string, kms keyring.KMS, layout entryLayout) (by string) {
	t.Helper()
	r, err := Check(t.Context(), path, CheckOptions{})
	if err != nil {
		return "check: " + err.Error()
	}
	if len(r.Damage) > 0 {
		return "check: " + r.Damage[0].String()
	}
	s, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		return "open: " + err.Error()
	}
	defer s.Close()
	ring, err := keyring.New(keyring.Config{Region: "eu", KMS: kms, Lookup: audit.KeyLookup(s), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	rd, err := audit.OpenReader(t.Context(), audit.Config{Store: s, Ring: ring, Prefix: "audit.example", Region: "eu"})
	if err != nil {
		return "open log: " + err.Error()
	}
	findings, err := rd.VerifyBlobs(t.Context())
	if err != nil || len(findings) > 0 {
		return fmt.Sprint("blobs: ", findings, err)
	}
	for _, tn := range []tenant.ID{"north", "south"} {
		rep, err := rd.Verify(t.Context(), tn, layout, nil)
		if err != nil {
			return "verify: " + err.Error()
		}
		if len(rep.Findings) > 0 {
			return "verify: " + rep.Findings[0].Check + ": " + rep.Findings[0].Detail
		}
	}
	return ""
}

// entryLayout remembers what the entries had in them.
type entryLayout map[audit.RecordID]audit.Indexed

func (l entryLayout) Index(_ context.Context, _ tenant.ID, r audit.Record) (audit.Indexed, bool, error) {
	i, ok := l[r.Leaf.RecordID]
	return i, ok, nil
}

func (entryLayout) Blobs([]byte) []audit.Digest { return nil }

// place says what a byte of a whole store file is for.
type place struct {
	bucket  string
	covered bool
	what    string
}

// places maps each used page to its bucket and the end of what is used of it.
func places(t *testing.T, path string) (where func(at int64) place, inUse []int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := &walker{ctx: t.Context(), f: f, report: &CheckReport{}}
	type used struct {
		first, end int64
		bucket     string
	}
	pages := map[int64]used{}
	w.visit = func(page, bytes int64, more int64) {
		for p := page; p <= page+more; p++ {
			pages[p] = used{page, bytes, w.bucket}
			inUse = append(inUse, p)
		}
	}
	if err := w.run(); err != nil || len(w.report.Damage) > 0 || len(w.report.Notes) > 0 {
		t.Fatalf("a whole store: %+v, %v", w.report, err)
	}
	return func(at int64) place {
		page := at / w.size
		u, ok := pages[page]
		switch {
		case page < 2:
			return place{what: "header"}
		case !ok:
			return place{what: "free page"}
		case at-u.first*w.size >= u.end:
			return place{what: "unused end", bucket: u.bucket}
		case u.bucket == "":
			return place{what: "list of free pages or buckets", covered: true}
		}
		return place{u.bucket, true, "used"}
	}, inUse
}

// TestFlippedBytesAreNoticed flips single bits all over a store: nothing panics, and what hits a page that carries
// records or indexes is noticed.
func TestFlippedBytesAreNoticed(t *testing.T) {
	path, kms, layout := realStore(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if by := noticed(t, path, kms, layout); by != "" {
		t.Fatalf("the whole store: %s", by)
	}
	where, inUse := places(t, path)
	r := mathrand.New(mathrand.NewPCG(7, 11))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(at int64, b byte) {
		t.Helper()
		if _, err := f.WriteAt([]byte{b}, at); err != nil {
			t.Fatal(err)
		}
	}
	counts := map[string]int{}
	for i := range 300 {
		at := inUse[r.IntN(len(inUse))]*4096 + int64(r.IntN(4096))
		switch {
		case i%10 == 0: // anywhere
			at = int64(r.IntN(len(whole)))
		case i%3 == 0: // structure is at the beginning of pages
			at = at/4096*4096 + int64(r.IntN(64))
		}
		put(at, whole[at]^1<<r.IntN(8))
		p := where(at)
		by := noticed(t, path, kms, layout)
		put(at, whole[at])
		kind, _, _ := strings.Cut(by, ":")
		counts[p.what+" -> "+kind]++
		if by == "" && p.covered {
			t.Errorf("byte %d (%s, byte %d of its page): not noticed", at, p.bucket, at%4096)
		}
	}
	t.Log(counts)
}

// TestCheckFindsNothingInWhatBboltWrites changes a store at random, with values of all sizes, runs of keys removed and
// buckets emptied, and checks the file after each round.
func TestCheckFindsNothingInWhatBboltWrites(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "check")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "audit.db")
		keys := rapid.IntRange(1, 3000).Draw(rt, "keys")
		for round := range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			s, err := Open(path, Options{})
			if err != nil {
				rt.Fatal(err)
			}
			for range rapid.IntRange(1, 4).Draw(rt, "commits") {
				var b audit.Batch
				from, n := rapid.IntRange(0, keys).Draw(rt, "from"), rapid.IntRange(1, 400).Draw(rt, "n")
				space := rapid.SampledFrom([]audit.Space{audit.Lookups, audit.Patients, audit.Heads}).Draw(rt, "space")
				size := rapid.SampledFrom([]int{1, 40, 500, 5000, 70000}).Draw(rt, "size")
				if size > 1000 {
					n = min(n, 20)
				}
				remove := rapid.Bool().Draw(rt, "remove")
				step := rapid.SampledFrom([]int{1, 1, 7}).Draw(rt, "step")
				for i := range n {
					item := audit.Item{Space: space, Tenant: "north", Key: fmt.Appendf(nil, "%08d", from+i*step)}
					if !remove {
						item.Value = make([]byte, size)
					}
					b.Put = append(b.Put, item)
				}
				if err := s.Commit(context.Background(), &b); err != nil {
					rt.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				rt.Fatal(err)
			}
			r, err := Check(context.Background(), path, CheckOptions{})
			if err != nil || len(r.Damage)+len(r.Notes) > 0 {
				rt.Fatalf("round %d: %+v, %v", round, r, err)
			}
		}
	})
}

// TestDamageUnderAnOpenStoreIsAnError damages pages while a store is open, and cuts its file: reads and commits that meet
// that get an error, the store refuses everything from then on, and nothing panics.
func TestDamageUnderAnOpenStoreIsAnError(t *testing.T) {
	for name, damage := range map[string]func(f *os.File, pages []int64) error{
		"headers": func(f *os.File, pages []int64) error {
			for _, p := range pages {
				if _, err := f.WriteAt([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, p*4096); err != nil {
					return err
				}
			}
			return nil
		},
		"cut short": func(f *os.File, _ []int64) error { return f.Truncate(3 * 4096) },
	} {
		for _, write := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, write %v", name, write), func(t *testing.T) {
				path, _, _ := realStore(t)
				_, pages := places(t, path)
				s, err := Open(path, Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				f, err := os.OpenFile(path, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := damage(f, pages); err != nil {
					t.Fatal(err)
				}
				read := func() error {
					return s.View(t.Context(), func(v audit.View) error {
						for space := range audit.Spaces {
							err := v.Scan(space, "north", nil, nil, false, func(_, value []byte) (bool, error) {
								return len(value) == 0 || value[0]|1 > 0, nil
							})
							if err != nil {
								return err
							}
						}
						return nil
					})
				}
				if write {
					err = put(t, s, audit.Lookups, "k", []byte("v"))
				} else {
					err = read()
				}
				if !errors.Is(err, audit.ErrDamaged) || !errors.Is(err, audit.ErrCorrupt) {
					t.Fatalf("got %v, want ErrDamaged", err)
				}
				for _, err := range []error{read(), put(t, s, audit.Lookups, "k", []byte("v"))} {
					if !errors.Is(err, audit.ErrStore) {
						t.Errorf("afterwards: %v, want ErrStore", err)
					}
				}
			})
		}
	}
}

// TestPanicOfWhoReadsIsTheirs: what is wrong with a caller is not taken for damage.
func TestPanicOfWhoReadsIsTheirs(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "audit.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, mistake := range []func(){
		func() { panic("mistake") },
		func() { var p *int; *p = 1 },
		func() { _ = []int{}[len(s.path)] },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was kept from its caller")
				}
			}()
			_ = s.View(t.Context(), func(audit.View) error { mistake(); return nil })
		}()
	}
	if err := put(t, s, audit.Lookups, "k", []byte("v")); err != nil {
		t.Errorf("the store afterwards: %v", err)
	}
}
