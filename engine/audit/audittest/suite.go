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
		"many":         testMany,
		"expectations": testExpectations,
		"conflicts":    testConflicts,
		"append only":  testAppendOnly,
		"not applied":  testNotApplied,
		"scan":         testScan,
		"views":        testViews,
		"notify":       testNotify,
		"resolve":      testResolve,
		"reopen":       testReopen,
		"log":          testLog,
		"faults":       testFaults,
		"late":         testLate,
		"full":         testFull,
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
	}{{audit.Heads, "south", "key"}, {audit.Keys, "north", "key"}, {audit.Heads, "", "key"},
		{audit.Heads, "north", "ke"}} {
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
}

// testMany reads many values with one call, in the order asked for.
func testMany(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "many")
	closing(t, s)
	var b audit.Batch
	var keys []audit.Key
	for i := range 2000 {
		tn := tenant.ID([]string{"north", "south"}[i%2])
		key := strconv.Itoa(i)
		keys = append(keys, audit.Key{Space: audit.Space(i) % audit.Spaces, Tenant: tn, Key: []byte(key)})
		if i%3 != 0 {
			b.Put = append(b.Put, item(keys[i].Space, tn, key, "value "+key))
		}
	}
	empty := audit.Key{Space: audit.Heads, Tenant: "north", Key: []byte("empty")}
	b.Put = append(b.Put, audit.Item{Space: empty.Space, Tenant: empty.Tenant, Key: empty.Key, Value: []byte{}})
	commit(t, s, b)
	slices.Reverse(keys)
	keys = append(keys, keys[0], empty, keys[1])
	err := s.View(t.Context(), func(v audit.View) error {
		values, err := v.GetMany(keys)
		if err != nil || len(values) != len(keys) {
			t.Fatalf("%d values for %d keys, %v", len(values), len(keys), err)
		}
		for i, k := range keys {
			want, err := v.Get(k.Space, k.Tenant, k.Key)
			if err != nil || (values[i] == nil) != (want == nil) || !bytes.Equal(values[i], want) {
				t.Fatalf("value %d of %s %s %s is %q, want %q, %v", i, k.Space, k.Tenant, k.Key, values[i], want, err)
			}
		}
		none, err := v.GetMany(nil)
		if len(none) != 0 {
			t.Errorf("%d values for no keys", len(none))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
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
		if got := get(t, s, audit.Heads, "north", "audit"); string(got) != "1" ||
			get(t, s, audit.Keys, "north", "k") != nil {
			t.Fatalf("%s: a refused batch was applied", name)
		}
	}
	// Of many writers that expect the same head, exactly one wins each round.
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		wg.Go(func() {
			err := s.Commit(context.Background(), &audit.Batch{
				Expect: []audit.Item{put}, Put: []audit.Item{item(audit.Heads, "north", "audit", "3")},
			})
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

// testConflicts wants a conflict to name all tenants whose expectations do not hold, and no other.
func testConflicts(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "conflicts")
	closing(t, s)
	var b audit.Batch
	for _, tn := range []tenant.ID{"a", "b", "c", "d"} {
		b.Put = append(b.Put, item(audit.Heads, tn, "audit", "1"))
	}
	commit(t, s, b)
	old := func(tn tenant.ID) audit.Item { return item(audit.Heads, tn, "audit", "0") }
	now := func(tn tenant.ID) audit.Item { return item(audit.Heads, tn, "audit", "1") }
	for name, c := range map[string]struct {
		expect []audit.Item
		want   []tenant.ID
	}{
		"one": {[]audit.Item{now("a"), old("b"), now("c")}, []tenant.ID{"b"}},
		"two": {[]audit.Item{old("a"), now("b"), old("d")}, []tenant.ID{"a", "d"}},
		"twice": {[]audit.Item{old("c"), {Space: audit.Heads, Tenant: "c", Key: []byte("audit")}, now("a")},
			[]tenant.ID{"c"}},
	} {
		err := s.Commit(t.Context(), &audit.Batch{Expect: c.expect, Put: []audit.Item{item(audit.Heads, "a", "audit", "2")}})
		var conflict *audit.ConflictError
		if !errors.As(err, &conflict) || !errors.Is(err, audit.ErrConflict) {
			t.Fatalf("%s: %v, want a ConflictError", name, err)
		}
		if slices.Sort(conflict.Tenants); !slices.Equal(conflict.Tenants, c.want) {
			t.Errorf("%s: conflict of %q, want %q", name, conflict.Tenants, c.want)
		}
		if got := get(t, s, audit.Heads, "a", "audit"); string(got) != "1" {
			t.Errorf("%s: a refused batch was applied", name)
		}
	}
}

// testNotApplied ends a call before it began.
func testNotApplied(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "not-applied")
	closing(t, s)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Commit(ended, &audit.Batch{Put: []audit.Item{item(audit.Heads, "north", "late", "x")}})
	if !errors.Is(err, audit.ErrNotApplied) || !errors.Is(err, context.Canceled) {
		t.Errorf("commit after its call ended: %v, want ErrNotApplied and the reason", err)
	}
	if get(t, s, audit.Heads, "north", "late") != nil {
		t.Error("a commit that was not applied was applied")
	}
	if err := s.View(ended, func(audit.View) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("view after its call ended: %v", err)
	}
}

// testNotify wants growth of release logs to be told, and nothing else, to callees that use the store.
func testNotify(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "notify")
	closing(t, s)
	told := [2]chan tenant.ID{make(chan tenant.ID, 100), make(chan tenant.ID, 100)}
	stop := [2]func(){}
	for i := range told {
		stop[i] = s.Notify(func(tn tenant.ID) {
			// A callee may be in need of the store, whatever the committing call holds.
			get(t, s, audit.Heads, tn, "releases")
			commit(t, s, audit.Batch{Put: []audit.Item{item(audit.Meta, tn, "seen", strconv.Itoa(i))}})
			told[i] <- tn
		})
	}
	wait := func(i int, want tenant.ID) {
		t.Helper()
		select {
		case tn := <-told[i]:
			if tn != want {
				t.Errorf("told of %q, want %q", tn, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("follower %d is not told of %q", i, want)
		}
	}
	head := item(audit.Heads, "north", "releases", "1")
	put := func(items ...audit.Item) { commit(t, s, audit.Batch{Put: items}) }
	put(item(audit.Heads, "north", "audit", "1"), item(audit.Keys, "north", "releases", "1"))
	put(head, item(audit.Heads, "east", "audit", "1"), item(audit.Heads, "south", "releases", "1"))
	for i := range told {
		wait(i, "north")
		wait(i, "south")
	}
	refused := audit.Batch{Expect: []audit.Item{item(audit.Heads, "north", "releases", "0")}, Put: []audit.Item{head}}
	if err := s.Commit(t.Context(), &refused); !errors.Is(err, audit.ErrConflict) {
		t.Errorf("conflict: %v", err)
	}
	stop[0]()
	put(item(audit.Heads, "west", "releases", "1"))
	wait(1, "west")
	stop[1]()
	if len(told[0])+len(told[1]) > 0 {
		t.Errorf("told too much: %d and %d more", len(told[0]), len(told[1]))
	}
}

// testResolve asks a store that can tell for what it stored.
func testResolve(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "resolve")
	closing(t, s)
	commit(t, s, audit.Batch{Put: []audit.Item{item(audit.Records, "north", "k", "v")}})
	r, ok := s.(audit.Resolver)
	if !ok {
		return // it says that it cannot tell
	}
	err := r.Resolve(t.Context(), func(v audit.View) error {
		got, err := v.Get(audit.Records, "north", []byte("k"))
		if string(got) != "v" {
			t.Errorf("a durable commit is not shown: %q", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
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
		err := s.Commit(t.Context(), &audit.Batch{
			Put: []audit.Item{item(audit.Heads, "north", "h", "x"), item(space, "north", "k", "second")},
		})
		var conflict *audit.ConflictError
		if !errors.As(err, &conflict) || !slices.Equal(conflict.Tenants, []tenant.ID{"north"}) {
			t.Errorf("%s: changing a stored value: %v, want a conflict of its tenant", space, err)
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
			err := s.Commit(context.Background(), &audit.Batch{
				Put: []audit.Item{item(audit.Heads, "a", "x", n), item(audit.Keys, "b", "y", n)},
			})
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

// Region makes what the nodes of one region share beside the store, and opens nodes.
func Region(t *testing.T) (clock *Clock, node func(audit.Store) *audit.Log) {
	t.Helper()
	kms, err := keyring.CreateFileKMS(filepath.Join(t.TempDir(), "region.key"))
	if err != nil {
		t.Fatal(err)
	}
	clock = &Clock{Now: time.Date(2026, 3, 31, 23, 59, 0, 0, time.UTC)}
	return clock, func(s audit.Store) *audit.Log {
		ring, err := keyring.New(keyring.Config{Region: "eu", KMS: kms, Lookup: audit.KeyLookup(s), Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		l, err := audit.Open(context.WithoutCancel(t.Context()), audit.Config{
			Store: s, Ring: ring, Prefix: "audit.example", Region: "eu", Clock: clock.Time, Rand: rand.Reader,
		})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

// testLog runs a whole log on the store: two nodes append for two tenants, over a change of month; then
// everything is verified.
func testLog(t *testing.T, open func(*testing.T, string) audit.Store) {
	s := open(t, "log")
	closing(t, s)
	clock, node := Region(t)
	nodes := []*audit.Log{node(s), node(s)}
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
		rep, err := nodes[0].Verify(t.Context(), tn, nil, nil)
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
		Body: [][]byte{[]byte("body of "), []byte(id)},
		Indexed: audit.Indexed{
			Patient: audit.Patient{Base: "https://ehr.example/fhir", ID: patient},
			Rules:   []string{"renal_dosing/metformin-contraindicated", "interactions/" + patient},
			Cards:   []string{"card-" + string(id)},
			Idem:    []byte("call " + id),
		},
	}
}
