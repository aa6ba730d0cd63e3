package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// shelf is a store of wrapped keys, as an audit store is for the ring.
type shelf struct {
	mu     sync.Mutex
	values map[string][]byte
	reads  int
}

func newShelf() *shelf { return &shelf{values: make(map[string][]byte)} }

func (s *shelf) lookup(_ context.Context, tenant, name string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	v, ok := s.values[tenant+" "+name]
	return bytes.Clone(v), ok, nil
}

// put stores keys only where absent and reports whether all are as given.
func (s *shelf) put(tenant string, keys []Named) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if v, ok := s.values[tenant+" "+k.Name]; ok && !bytes.Equal(v, k.Value) {
			return false
		}
	}
	for _, k := range keys {
		s.values[tenant+" "+k.Name] = bytes.Clone(k.Value)
	}
	return true
}

func (s *shelf) set(tenant, name string, v []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v == nil {
		delete(s.values, tenant+" "+name)
		return
	}
	s.values[tenant+" "+name] = v
}

func fileKMS(t testing.TB) *FileKMS {
	t.Helper()
	k, err := CreateFileKMS(filepath.Join(t.TempDir(), "region.key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newRing(t testing.TB, region string, kms KMS, s *shelf) *Ring {
	t.Helper()
	r, err := New(Config{Region: region, KMS: kms, Lookup: s.lookup, Rand: rand.Reader, Subjects: 4})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tenantOf(t testing.TB, r *Ring, name string) *Tenant {
	t.Helper()
	tn, err := r.Tenant(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return tn
}

func subjectOf(t testing.TB, tn *Tenant, id string) *Subject {
	t.Helper()
	s, err := tn.Subject(t.Context(), tn.Tag("patient", "https://ehr.example/fhir", id))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seal(t testing.TB, s *Subject, b Binding, text string) []byte {
	t.Helper()
	buf := make([]byte, len(text), len(text)+Overhead)
	copy(buf, text)
	ct, err := s.Seal(buf, b)
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

var bind = Binding{Record: "019cb2a0-0000-7000-8000-000000000001", Schema: "decision/v1"}

func TestSealedRecordOpensAfterRestartAndNowhereElse(t *testing.T) {
	ctx, store, kms := t.Context(), newShelf(), fileKMS(t)
	north := tenantOf(t, newRing(t, "eu", kms, store), "north")
	s := subjectOf(t, north, "p1")
	ct := seal(t, s, bind, "body")
	if !store.put("north", s.New()) {
		t.Fatal("new keys were not absent")
	}
	s.Release(Durable)

	again := tenantOf(t, newRing(t, "eu", kms, store), "north")
	got, err := again.Open(ctx, s.Handle(), bind, ct)
	if err != nil || string(got) != "body" {
		t.Fatalf("open after restart: %q, %v", got, err)
	}
	if north.Tag("rule", "a") != again.Tag("rule", "a") {
		t.Error("tags differ after restart")
	}

	south := tenantOf(t, newRing(t, "eu", kms, store), "south")
	s2 := subjectOf(t, south, "p1")
	store.put("south", s2.New())
	s2.Release(Durable)
	if south.Tag("rule", "a") == again.Tag("rule", "a") {
		t.Error("two tenants share tags")
	}
	flipped := bytes.Clone(ct)
	flipped[0] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"flipped bit":   func() ([]byte, error) { return again.Open(ctx, s.Handle(), bind, flipped) },
		"cut short":     func() ([]byte, error) { return again.Open(ctx, s.Handle(), bind, ct[:3]) },
		"other record":  func() ([]byte, error) { return again.Open(ctx, s.Handle(), Binding{"x", bind.Schema}, ct) },
		"other schema":  func() ([]byte, error) { return again.Open(ctx, s.Handle(), Binding{bind.Record, "x"}, ct) },
		"other patient": func() ([]byte, error) { return south.Open(ctx, s2.Handle(), bind, ct) },
		"moved key wrap": func() ([]byte, error) {
			moveKey(store, "north", "south", s.Handle())
			return south.Open(ctx, s.Handle(), bind, ct)
		},
		"renamed handle": func() ([]byte, error) {
			store.set("north", NameKey("00"), store.values["north "+NameKey(s.Handle())])
			return again.Open(ctx, "00", bind, ct)
		},
	} {
		if _, err := open(); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v, want ErrOpen", name, err)
		}
	}
}

func moveKey(s *shelf, from, to, handle string) {
	s.set(to, NameKey(handle), s.values[from+" "+NameKey(handle)])
}

func TestAnotherRegionCannotUseTheKeys(t *testing.T) {
	store, kms := newShelf(), fileKMS(t)
	s := subjectOf(t, tenantOf(t, newRing(t, "eu", kms, store), "north"), "p1")
	store.put("north", s.New())
	// Even with the same region key, the region's name is bound into every wrap.
	if _, err := newRing(t, "us", kms, store).Tenant(t.Context(), "north"); !errors.Is(err, ErrOpen) {
		t.Errorf("same KMS, other region: %v, want ErrOpen", err)
	}
	if _, err := newRing(t, "eu", fileKMS(t), store).Tenant(t.Context(), "north"); !errors.Is(err, ErrOpen) {
		t.Errorf("other KMS: %v, want ErrOpen", err)
	}
}

func TestDestroyedKeysErase(t *testing.T) {
	for name, c := range map[string]struct {
		destroy func(s *shelf, handle string)
		want    error
	}{
		"subject key removed":   {func(s *shelf, h string) { s.set("north", NameKey(h), nil) }, ErrMissing},
		"subject key destroyed": {func(s *shelf, h string) { s.set("north", NameKey(h), []byte{formatDestroyed}) }, ErrErased},
		"tenant key destroyed":  {func(s *shelf, h string) { s.set("north", "tenant/1", []byte{formatDestroyed}) }, ErrErased},
		"tenant key removed":    {func(s *shelf, h string) { s.set("north", "tenant/1", nil) }, ErrMissing},
		"index key removed":     {func(s *shelf, h string) { s.set("north", "index/1", nil) }, ErrMissing},
	} {
		t.Run(name, func(t *testing.T) {
			store, kms := newShelf(), fileKMS(t)
			ring := newRing(t, "eu", kms, store)
			north := tenantOf(t, ring, "north")
			s := subjectOf(t, north, "p1")
			ct := seal(t, s, bind, "body")
			store.put("north", s.New())
			s.Release(Durable)
			c.destroy(store, s.Handle())
			ring.Forget("north")
			err := func() error {
				n, err := ring.Tenant(t.Context(), "north")
				if err != nil {
					return err
				}
				_, err = n.Open(t.Context(), s.Handle(), bind, ct)
				return err
			}()
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if strings.HasPrefix(name, "subject") {
				if _, err := north.Open(t.Context(), s.Handle(), bind, ct); !errors.Is(err, c.want) {
					t.Errorf("without forgetting: got %v, want %v", err, c.want)
				}
			}
		})
	}
}

func TestConcurrentFirstCallsAgreeOnOneKey(t *testing.T) {
	store, kms := newShelf(), fileKMS(t)
	ring := newRing(t, "eu", kms, store)
	var wg sync.WaitGroup
	handles := make([]string, 32)
	for i := range handles {
		wg.Go(func() {
			n, err := ring.Tenant(context.Background(), "north")
			if err != nil {
				t.Error(err)
				return
			}
			s, err := n.Subject(context.Background(), n.Tag("patient", "p1"))
			if err != nil {
				t.Error(err)
				return
			}
			if !store.put("north", s.New()) {
				t.Error("keys disagree with the stored ones")
			}
			handles[i] = s.Handle()
			s.Release(Durable)
		})
	}
	wg.Wait()
	for _, h := range handles {
		if h != handles[0] {
			t.Fatalf("two keys for one patient: %v", handles)
		}
	}
}

func TestNewKeysTravelUntilDurable(t *testing.T) {
	store, kms := newShelf(), fileKMS(t)
	ring := newRing(t, "eu", kms, store)
	n := tenantOf(t, ring, "north")
	a, b := subjectOf(t, n, "p1"), subjectOf(t, n, "p1")
	if len(a.New()) != 5 || len(b.New()) != 5 || a.Handle() != b.Handle() {
		t.Fatalf("new keys: %d and %d, want tenant, tenant/1, index, subject, key", len(a.New()), len(b.New()))
	}
	a.Release(Abandoned)
	if c := subjectOf(t, n, "p1"); c.Handle() != b.Handle() {
		t.Error("an abandoned lease took the key from the others")
	} else {
		c.Release(Abandoned)
	}
	store.put("north", b.New())
	b.Release(Durable)
	if c := subjectOf(t, n, "p1"); len(c.New()) != 0 {
		t.Error("a durable key is still handed out as new")
	}
	if d := subjectOf(t, n, "p2"); len(d.New()) != 2 {
		t.Errorf("second patient: %d new keys, want 2", len(d.New()))
	} else {
		d.Release(Abandoned)
	}
	if len(n.pending) != 0 {
		t.Errorf("%d abandoned keys kept in memory", len(n.pending))
	}
}

func TestSupersededKeyIsReplacedByTheStoredOne(t *testing.T) {
	store, kms := newShelf(), fileKMS(t)
	one, two := newRing(t, "eu", kms, store), newRing(t, "eu", kms, store)
	a, b := subjectOf(t, tenantOf(t, one, "north"), "p1"), subjectOf(t, tenantOf(t, two, "north"), "p1")
	if !store.put("north", a.New()) || store.put("north", b.New()) {
		t.Fatal("the second node's keys must lose")
	}
	a.Release(Durable)
	b.Release(Superseded)
	c := subjectOf(t, tenantOf(t, two, "north"), "p1")
	if c.Handle() != a.Handle() || len(c.New()) != 0 {
		t.Error("the second node did not take over the stored key")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	store, kms := newShelf(), fileKMS(t)
	ring := newRing(t, "eu", kms, store) // holds 4
	n := tenantOf(t, ring, "north")
	handles := map[string]string{}
	for i := range 20 {
		id := fmt.Sprint("p", i)
		s := subjectOf(t, n, id)
		store.put("north", s.New())
		s.Release(Durable)
		handles[id] = s.Handle()
	}
	if ring.known.Len() != 4 {
		t.Errorf("%d subject keys in memory, want 4", ring.known.Len())
	}
	for id, h := range maps.All(handles) {
		if s := subjectOf(t, n, id); s.Handle() != h {
			t.Errorf("evicted key of %s was made again", id)
		}
	}
}

func TestSealRefusesBufferWithoutRoom(t *testing.T) {
	s := subjectOf(t, tenantOf(t, newRing(t, "eu", fileKMS(t), newShelf()), "north"), "p1")
	if _, err := s.Seal(make([]byte, 8, 8+Overhead-1), bind); err == nil {
		t.Error("sealed into a buffer without room for the tag")
	}
}

// brokenKMS is a region key that is out of reach.
type brokenKMS struct{ KMS }

func (brokenKMS) Unwrap(context.Context, []byte, []byte) ([]byte, error) {
	return nil, errors.New("connection refused")
}

func TestKMSOutageIsNotTampering(t *testing.T) {
	store, kms := newShelf(), fileKMS(t)
	s := subjectOf(t, tenantOf(t, newRing(t, "eu", kms, store), "north"), "p1")
	store.put("north", s.New())
	_, err := newRing(t, "eu", brokenKMS{kms}, store).Tenant(t.Context(), "north")
	if !errors.Is(err, ErrKMS) || errors.Is(err, ErrOpen) || errors.Is(err, ErrErased) {
		t.Errorf("got %v, want ErrKMS alone", err)
	}
}

func TestNodeKey(t *testing.T) {
	store, kms := newShelf(), fileKMS(t)
	ring := newRing(t, "eu", kms, store)
	n, fresh, err := ring.Node(t.Context())
	if err != nil || len(fresh) != 1 {
		t.Fatalf("first node key: %d new, %v", len(fresh), err)
	}
	store.put("", fresh)
	again, fresh, err := newRing(t, "eu", kms, store).Node(t.Context())
	if err != nil || len(fresh) != 0 || !again.Public().Equal(n.Public()) {
		t.Fatalf("second start: %d new, %v", len(fresh), err)
	}
	signer, err := again.Signer("example.org/eu/north/releases")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: "hello\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	public, ok, err := PublicNode(t.Context(), store.lookup)
	if err != nil || !ok || !public.Equal(n.Public()) {
		t.Fatalf("public key without KMS: %v %v", ok, err)
	}
	v, err := Verifier("example.org/eu/north/releases", public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(v)); err != nil {
		t.Error(err)
	}
	other, _ := Verifier("example.org/eu/south/releases", public)
	if _, err := note.Open(signed, note.VerifierList(other)); err == nil {
		t.Error("a note of one log passed under another log's name")
	}
	if _, err := again.Signer("with space"); err == nil {
		t.Error("a name with a space was taken")
	}
	// A replaced public part does not unwrap.
	v2 := store.values[" node/1"]
	v2[5] ^= 1
	if _, _, err := newRing(t, "eu", kms, store).Node(t.Context()); !errors.Is(err, ErrOpen) {
		t.Errorf("changed public key: %v, want ErrOpen", err)
	}
}

func TestFileKMSRefusals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "region.key")
	k, err := CreateFileKMS(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	if _, err := CreateFileKMS(path); err == nil {
		t.Error("an existing region key was replaced")
	}
	w, err := k.Wrap(t.Context(), []byte("key"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	same, err := OpenFileKMS(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := same.Unwrap(t.Context(), w, []byte("aad")); err != nil || string(got) != "key" {
		t.Errorf("unwrap after reopening: %q, %v", got, err)
	}
	if _, err := same.Unwrap(t.Context(), w, []byte("other")); !errors.Is(err, ErrOpen) {
		t.Errorf("other aad: %v, want ErrOpen", err)
	}
	d1, _ := k.Describe(t.Context())
	if d2, err := same.Describe(t.Context()); err != nil || d1 != d2 || d1.Provider != "file" {
		t.Errorf("description %v, %v", d1, d2)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileKMS(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("lax mode: %v, want a refusal with a hint", err)
	}
	if _, err := OpenFileKMS(t.TempDir()); err == nil {
		t.Error("a folder was read as a key")
	}
	if _, err := OpenFileKMS(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte(`{"secret":"hunter2"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileKMS(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("damaged file: %v, want a refusal that does not quote it", err)
	}
}

// TestRecordFormatVector pins the derivation and the associated data: if it fails, old records no longer open.
func TestRecordFormatVector(t *testing.T) {
	tn := &Tenant{ring: &Ring{region: "eu"}, name: "north"}
	s := &Subject{tenant: tn, key: &subjectKey{key: [keySize]byte(bytes.Repeat([]byte{7}, keySize))}}
	got := hex.EncodeToString(seal(t, s, bind, "precept"))
	const want = "23b79377709240530d7909a9e2a0aa511fa887ce7391c8"
	if got != want {
		t.Errorf("sealed form %s, want %s", got, want)
	}
	tn.useIndexKey(bytes.Repeat([]byte{9}, keySize))
	tag := tn.Tag("patient", "https://ehr.example/fhir", "p1")
	const wantTag = "e14ae771a23f31b8dc9140907f8b2a4b"
	if got := hex.EncodeToString(tag[:]); got != wantTag {
		t.Errorf("tag %s, want %s", got, wantTag)
	}
	if tn.Tag("k", "a", "bc") == tn.Tag("k", "ab", "c") {
		t.Error("tags do not separate their values")
	}
}

func FuzzFileKMS(f *testing.F) {
	f.Add([]byte(`{"primaryKeyId":1,"key":[]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := parseFileKMS(data); err == nil && k.id == "" {
			t.Error("a key without id was accepted")
		}
	})
}

func FuzzWrappedSubjectKey(f *testing.F) {
	store, kms := newShelf(), fileKMS(f)
	r, err := New(Config{Region: "eu", KMS: kms, Lookup: store.lookup, Rand: rand.Reader})
	if err != nil {
		f.Fatal(err)
	}
	n, err := r.Tenant(context.Background(), "north")
	if err != nil {
		f.Fatal(err)
	}
	s, err := n.Subject(context.Background(), n.Tag("patient", "p1"))
	if err != nil {
		f.Fatal(err)
	}
	store.put("north", s.New())
	good := bytes.Clone(store.values["north "+NameKey(s.Handle())])
	f.Add(good)
	f.Add([]byte{0})
	f.Add([]byte{1, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, v []byte) {
		store.set("north", NameKey(s.Handle()), append([]byte{}, v...))
		if _, err := n.subjectKey(t.Context(), s.Handle()); (err == nil) != bytes.Equal(v, good) {
			t.Errorf("unwrapping %x: %v", v, err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s := subjectOf(b, tenantOf(b, newRing(b, "eu", fileKMS(b), newShelf()), "north"), "p1")
	buf := make([]byte, 16<<10, 16<<10+Overhead)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(buf, bind); err != nil {
			b.Fatal(err)
		}
	}
}
