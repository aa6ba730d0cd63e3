package audittest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// Run checks that a store keeps the promises of [audit.Store]. open returns the same store each time it is
// called with the same name, and a store of its own for each name; the suite closes what it opened before
// opening it again.
func Run(t *testing.T, open func(t *testing.T, name string) audit.Store) {
	for name, test := range map[string]func(*testing.T, func(*testing.T, string) audit.Store){
		"values":       testValues,
		"expectations": testExpectations,
		"append only":  testAppendOnly,
		"scan":         testScan,
		"views":        testViews,
		"reopen":       testReopen,
		"log":          testLog,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func commit(t *testing.T, s audit.Store, b audit.Batch) {
	t.Helper()
	if err := s.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s audit.Store, space audit.Space, tn tenant.ID, key string) []byte {
	t.Helper()
	var out []byte
	err := s.View(t.Context(), func(v audit.View) error {
		got, err := v.Get(space, tn, []byte(key))
		if got != nil {
			out = append([]byte{}, got...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func item(space audit.Space, tn tenant.ID, key, value string) audit.Item {
	return audit.Item{Space: space, Tenant: tn, Key: []byte(key), Value: []byte(value)}
}

func closing(t *testing.T, s audit.Store) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func testValues(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "values")
	closing(t, s)
	value := []byte("value")
	key := []byte("key")
	commit(t, s, audit.Batch{Put: []audit.Item{
		{Space: audit.Heads, Tenant: "north", Key: key, Value: value},
		{Space: audit.Patients, Tenant: "north", Key: []byte("empty"), Value: []byte{}},
	}})
	value[0], key[0] = 'X', 'X'
	if got := get(t, s, audit.Heads, "north", "key"); string(got) != "value" {
		t.Errorf("got %q: the store kept the caller's slice", got)
	}
	if got := get(t, s, audit.Patients, "north", "empty"); got == nil || len(got) != 0 {
		t.Errorf("empty value came back as %v", got)
	}
	for _, c := range []struct {
		space audit.Space
		t     tenant.ID
		key   string
	}{{audit.Heads, "south", "key"}, {audit.Keys, "north", "key"}, {audit.Heads, "", "key"}, {audit.Heads, "north", "ke"}} {
		if got := get(t, s, c.space, c.t, c.key); got != nil {
			t.Errorf("%s %q %q: got %q, want nothing", c.space, c.t, c.key, got)
		}
	}
	commit(t, s, audit.Batch{Put: []audit.Item{item(audit.Heads, "north", "key", "second")}})
	if got := get(t, s, audit.Heads, "north", "key"); string(got) != "second" {
		t.Errorf("got %q after replacing", got)
	}
	commit(t, s, audit.Batch{Put: []audit.Item{{Space: audit.Heads, Tenant: "north", Key: []byte("key")}}})
	if got := get(t, s, audit.Heads, "north", "key"); got != nil {
		t.Errorf("got %q after removing", got)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	commit(t, s, audit.Batch{Put: []audit.Item{{Space: audit.Blobs, Key: []byte("big"), Value: big}}})
	if !bytes.Equal(get(t, s, audit.Blobs, "", "big"), big) {
		t.Error("a large value came back changed")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(ended, &audit.Batch{Put: []audit.Item{item(audit.Heads, "north", "late", "x")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("commit after cancel: %v", err)
	}
	if get(t, s, audit.Heads, "north", "late") != nil {
		t.Error("a commit after cancel was applied")
	}
}

func testExpectations(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "expectations")
	closing(t, s)
	absent := audit.Item{Space: audit.Heads, Tenant: "north", Key: []byte("audit")}
	put := item(audit.Heads, "north", "audit", "1")
	commit(t, s, audit.Batch{Expect: []audit.Item{absent}, Put: []audit.Item{put}})
	for name, expect := range map[string]audit.Item{
		"absent but there":  absent,
		"other value":       item(audit.Heads, "north", "audit", "0"),
		"there but absent":  item(audit.Heads, "south", "audit", "1"),
		"empty but not":     {Space: audit.Heads, Tenant: "north", Key: []byte("audit"), Value: []byte{}},
		"empty, but absent": {Space: audit.Heads, Tenant: "south", Key: []byte("audit"), Value: []byte{}},
	} {
		err := s.Commit(t.Context(), &audit.Batch{
			Expect: []audit.Item{put, expect},
			Put:    []audit.Item{item(audit.Heads, "north", "audit", "2"), item(audit.Keys, "north", "k", "v")},
		})
		if !errors.Is(err, audit.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
		if got := get(t, s, audit.Heads, "north", "audit"); string(got) != "1" || get(t, s, audit.Keys, "north", "k") != nil {
			t.Fatalf("%s: a refused batch was applied", name)
		}
	}
	// Of many writers that expect the same head, exactly one wins each round.
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		wg.Go(func() {
			err := s.Commit(context.Background(), &audit.Batch{Expect: []audit.Item{put}, Put: []audit.Item{item(audit.Heads, "north", "audit", "3")}})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, audit.ErrConflict) {
				t.Errorf("losing writer: %v", err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d writers replaced one head", won)
	}
}

func testAppendOnly(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "append-only")
	closing(t, s)
	if m, ok := s.(*Memory); ok {
		m.T = nil
	}
	for space := range audit.Spaces {
		if !space.AppendOnly() {
			continue
		}
		commit(t, s, audit.Batch{Put: []audit.Item{item(space, "north", "k", "first")}})
		commit(t, s, audit.Batch{Put: []audit.Item{item(space, "north", "k", "first")}})
		err := s.Commit(t.Context(), &audit.Batch{Put: []audit.Item{item(audit.Heads, "north", "h", "x"), item(space, "north", "k", "second")}})
		if !errors.Is(err, audit.ErrConflict) {
			t.Errorf("%s: changing a stored value: %v, want ErrConflict", space, err)
		}
		if got := get(t, s, space, "north", "k"); string(got) != "first" || get(t, s, audit.Heads, "north", "h") != nil {
			t.Errorf("%s: a refused batch was applied", space)
		}
	}
}

func testScan(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "scan")
	closing(t, s)
	var b audit.Batch
	for _, tn := range []tenant.ID{"", "a", "ab", "a-b", "b"} {
		for _, k := range []string{"1", "2", "2\x00", "3", "\xff\xff"} {
			b.Put = append(b.Put, item(audit.Patients, tn, k, string(tn)+"/"+k))
		}
	}
	commit(t, s, b)
	for _, c := range []struct {
		tn       tenant.ID
		from, to string
		all      bool
		reverse  bool
		stop     int
		want     []string
	}{
		{tn: "a", all: true, want: []string{"1", "2", "2\x00", "3", "\xff\xff"}},
		{tn: "b", all: true, want: []string{"1", "2", "2\x00", "3", "\xff\xff"}},
		{tn: "", all: true, reverse: true, want: []string{"\xff\xff", "3", "2\x00", "2", "1"}},
		{tn: "b", all: true, reverse: true, want: []string{"\xff\xff", "3", "2\x00", "2", "1"}},
		{tn: "a", from: "2", to: "3", want: []string{"2", "2\x00"}},
		{tn: "a", from: "2", to: "3", reverse: true, want: []string{"2\x00", "2"}},
		{tn: "ab", from: "2", to: "9", reverse: true, want: []string{"3", "2\x00", "2"}},
		{tn: "a", all: true, stop: 2, want: []string{"1", "2"}},
		{tn: "a", from: "3", to: "1"},
		{tn: "a", from: "3", to: "1", reverse: true},
		{tn: "none", all: true},
		{tn: "none", all: true, reverse: true},
	} {
		var to []byte
		if !c.all {
			to = []byte(c.to)
		}
		var got []string
		err := s.View(t.Context(), func(v audit.View) error {
			return v.Scan(audit.Patients, c.tn, []byte(c.from), to, c.reverse, func(k, val []byte) (bool, error) {
				if string(val) != string(c.tn)+"/"+string(k) {
					t.Errorf("key %q of %q has value %q", k, c.tn, val)
				}
				got = append(got, string(k))
				return len(got) != c.stop, nil
			})
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("scan of %q [%q,%q) reverse=%v: %q, %v; want %q", c.tn, c.from, c.to, c.reverse, got, err, c.want)
		}
	}
	stop := errors.New("stop")
	err := s.View(t.Context(), func(v audit.View) error {
		return v.Scan(audit.Patients, "a", nil, nil, false, func(_, _ []byte) (bool, error) { return true, stop })
	})
	if !errors.Is(err, stop) {
		t.Errorf("error of the callback came back as %v", err)
	}
}

// testViews checks that a view never shows half a commit.
func testViews(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "views")
	closing(t, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			n := strconv.Itoa(i)
			err := s.Commit(context.Background(), &audit.Batch{Put: []audit.Item{item(audit.Heads, "a", "x", n), item(audit.Keys, "b", "y", n)}})
			if err != nil {
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
		err := s.View(t.Context(), func(v audit.View) error {
			x, err1 := v.Get(audit.Heads, "a", []byte("x"))
			y, err2 := v.Get(audit.Keys, "b", []byte("y"))
			if !bytes.Equal(x, y) {
				t.Errorf("one view shows %q and %q", x, y)
			}
			return errors.Join(err1, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := get(t, s, audit.Keys, "b", "y"); string(got) != "199" {
		t.Errorf("the last commit is not seen: %q", got)
	}
}

func testReopen(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "reopen")
	commit(t, s, audit.Batch{Put: []audit.Item{item(audit.Leaves, "north", "k", "v")}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, "reopen")
	closing(t, s)
	if got := get(t, s, audit.Leaves, "north", "k"); string(got) != "v" {
		t.Errorf("after reopening: %q", got)
	}
}

// testLog runs a whole log on the store: two nodes append for two tenants, over a change of month; then
// everything is verified.
func testLog(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "log")
	closing(t, s)
	kms, err := keyring.CreateFileKMS(filepath.Join(t.TempDir(), "region.key"))
	if err != nil {
		t.Fatal(err)
	}
	clock := &Clock{Now: time.Date(2026, 3, 31, 23, 59, 0, 0, time.UTC)}
	node := func() *audit.Log {
		ring, err := keyring.New(keyring.Config{Region: "eu", KMS: kms, Lookup: audit.KeyLookup(s), Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		l, err := audit.Open(t.Context(), audit.Config{Store: s, Ring: ring, Prefix: "audit.example", Region: "eu", Clock: clock.Time, Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	nodes := []*audit.Log{node(), node()}
	var wg sync.WaitGroup
	for round := range 2 {
		for g := range 6 {
			wg.Go(func() {
				for i := range 10 {
					e := Entry(clock.Time(), tenant.ID([]string{"north", "south"}[g%2]), fmt.Sprint("patient-", i%3))
					if _, err := nodes[g%len(nodes)].Append(context.Background(), e); err != nil {
						t.Errorf("round %d: %v", round, err)
					}
				}
			})
		}
		wg.Wait()
		clock.Add(2 * time.Minute)
	}
	for _, n := range nodes {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, tn := range []tenant.ID{"north", "south"} {
		rep, err := nodes[0].Verify(t.Context(), tn, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(rep.Findings) > 0 || len(rep.Logs) != 2 || rep.Logs[0].Opened+rep.Logs[1].Opened != 60 {
			t.Errorf("verification of %s: %+v", tn, rep)
		}
	}
}

// Clock is a clock that tests move.
type Clock struct {
	mu  sync.Mutex
	Now time.Time
}

// Time is what the clock shows.
func (c *Clock) Time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Now
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Now = c.Now.Add(d)
}

// Entry makes an entry of a decision under no statements, with a fresh record id.
func Entry(now time.Time, t tenant.ID, patient string) audit.Entry {
	id, err := audit.NewRecordID(now, rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return audit.Entry{
		Kind: audit.Decision, Tenant: t, RecordID: id, Decided: now, Engine: "1.0.0", Library: "1.0.0", Schema: "test/1",
		Body:    [][]byte{[]byte("body of "), []byte(id)},
		Patient: audit.Patient{Base: "https://ehr.example/fhir", ID: patient},
		Rules:   []string{"renal_dosing/metformin-contraindicated", "interactions/" + patient},
		Cards:   []string{"card-" + string(id)},
		Idem:    []byte("call " + id),
	}
}
