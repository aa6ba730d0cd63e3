package audit_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/tenant"
)

// node opens a log of the region through a wrapped store, as another process beside it would.
func (r *region) node(t testing.TB, wrap func(audit.Store) audit.Store) *audit.Log {
	t.Helper()
	own := *r
	own.store, own.mark = wrap(r.store), ""
	return own.open(t)
}

// TestStoreCallsPerBatchAreConstant stores batches of all sizes, with repeats, statements and new tenants among
// them, and counts what the writer asks of the store.
func TestStoreCallsPerBatchAreConstant(t *testing.T) {
	for _, c := range []struct{ entries, tenants int }{{1, 1}, {64, 1}, {64, 16}, {500, 50}} {
		t.Run(fmt.Sprintf("%d entries of %d tenants", c.entries, c.tenants), func(t *testing.T) {
			r := newRegion(t)
			first := r.open(t)
			name := func(i int) tenant.ID { return tenant.ID(fmt.Sprintf("tenant-%d", i%c.tenants)) }
			var earlier []audit.Entry
			for i := range c.tenants {
				earlier = append(earlier, r.entry(name(i), "p1"))
				appendOK(t, first, earlier[i])
			}
			first.Close()
			counter := audittest.NewCounter(r.store)
			g := newGate(counter)
			own := *r
			own.store, own.mark = g, ""
			config := own.config(t)
			config.Ring = r.config(t).Ring // what the callers read for themselves is not counted
			l, err := audit.Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			send := func(e audit.Entry, repeated bool) {
				wg.Go(func() {
					rc, err := l.Append(context.Background(), e)
					if err != nil || rc.Repeated != repeated || rc.Verify(l.NodeKey()) != nil {
						t.Errorf("append: %+v, %v, want repeated %v", rc, err, repeated)
					}
				})
			}
			send(r.entry("holder", "p1"), false)
			<-g.waiting // the writer is in its first commit: the others make one batch
			for i := range c.entries {
				e := r.entry(name(i), fmt.Sprint("p", i))
				if i%3 == 2 {
					e.Idem = earlier[i%c.tenants].Idem
				}
				send(e, i%3 == 2)
			}
			queued(l, c.entries)
			counter.Calls()
			close(g.open)
			wg.Wait()
			got := counter.Calls()
			got.Commits-- // that of the holder
			if got.Views != 1 || got.Commits != 1 || got.Reads > 3 {
				t.Errorf("%+v, want one view with at most three reads, and one commit", got)
			}
			l.Close()
			for i := range c.tenants {
				verified(t, l.Reader, name(i))
			}
		})
	}
}

// TestContendedTenantHoldsNobodyUp lets two nodes write to the busy tenant as hard as they can, and one of them to
// quiet ones too: the entries of those are planned once.
func TestContendedTenantHoldsNobodyUp(t *testing.T) {
	r := newRegion(t)
	var counters []*audittest.Counter
	counting := func(s audit.Store) audit.Store {
		counters = append(counters, audittest.NewCounter(s))
		return counters[len(counters)-1]
	}
	nodes := []*audit.Log{r.node(t, counting), r.node(t, counting)}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 60 {
				e := r.entry("busy", fmt.Sprint("p", i%5))
				if _, err := nodes[g%2].Append(context.Background(), e); err != nil && !errors.Is(err, audit.ErrBusy) {
					t.Errorf("busy tenant: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range 30 {
				tn := tenant.ID(fmt.Sprintf("quiet-%d", g))
				if _, err := nodes[0].Append(context.Background(), r.entry(tn, "p1")); err != nil {
					t.Errorf("quiet tenant: %v", err)
				}
			}
		})
	}
	wg.Wait()
	conflicts := 0
	for _, c := range counters {
		conflicts += c.Calls().Conflicts
	}
	if conflicts == 0 {
		t.Error("the nodes never met")
	}
	for g := range 8 {
		tn := tenant.ID(fmt.Sprintf("quiet-%d", g))
		asked := counters[0].Asked(audit.Records, tn)
		for _, n := range asked {
			if n != 1 {
				t.Errorf("an entry of %s was planned %d times", tn, n)
			}
		}
		if len(asked) != 30 {
			t.Errorf("%d entries of %s were planned, want 30", len(asked), tn)
		}
		verified(t, nodes[0].Reader, tn)
	}
	verified(t, nodes[1].Reader, "busy")
}

// rival is a store on which another node is always faster at one tenant.
type rival struct {
	audit.Store
	tenant tenant.ID
	first  func()
}

func (r *rival) Commit(ctx context.Context, b *audit.Batch) error {
	if slices.ContainsFunc(b.Put, func(i audit.Item) bool { return i.Tenant == r.tenant }) {
		r.first()
	}
	return r.Store.Commit(ctx, b)
}

func TestTenantThatIsAlwaysContendedIsBusyAlone(t *testing.T) {
	r := newRegion(t)
	other := r.node(t, func(s audit.Store) audit.Store { return s })
	won := 0
	counter := audittest.NewCounter(r.store)
	g := newGate(&rival{Store: counter, tenant: "busy", first: func() {
		won++
		appendOK(t, other, r.entry("busy", "p1"))
		time.Sleep(2 * time.Millisecond)
	}})
	l := r.node(t, func(audit.Store) audit.Store { return g })
	errs := make(chan error, 2)
	send := func(tn tenant.ID) {
		_, err := l.Append(context.Background(), r.entry(tn, "p1"))
		errs <- err
	}
	go send("holder")
	<-g.waiting
	quiet := make(chan struct{})
	go func() {
		defer close(quiet)
		send("quiet")
		for range 3 {
			appendOK(t, l, r.entry("quiet", "p1"))
		}
	}()
	queued(l, 1)
	busy := make(chan error, 1)
	go func() {
		_, err := l.Append(context.Background(), r.entry("busy", "p1"))
		busy <- err
	}()
	queued(l, 2)
	close(g.open)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	<-quiet
	select {
	case <-busy:
		t.Fatal("the quiet tenant had to wait until the contended one was given up")
	default:
	}
	if err := <-busy; !errors.Is(err, audit.ErrBusy) || l.Err() != nil {
		t.Errorf("a tenant that is always contended: %v, want ErrBusy", err)
	}
	if won < 10 || won > 100 {
		t.Errorf("given up after %d conflicts", won)
	}
	for _, n := range counter.Asked(audit.Records, "quiet") {
		if n != 1 {
			t.Errorf("a quiet entry was planned %d times", n)
		}
	}
	for _, tn := range []tenant.ID{"quiet", "busy"} {
		verified(t, other.Reader, tn)
	}
}

// sizes is a store that notes how many records each commit has, refused ones too.
type sizes struct {
	audit.Store
	mu      sync.Mutex
	records []int
}

func (s *sizes) Commit(ctx context.Context, b *audit.Batch) error {
	n := 0
	for _, p := range b.Put {
		if p.Space == audit.Bodies {
			n++
		}
	}
	s.mu.Lock()
	s.records = append(s.records, n)
	s.mu.Unlock()
	return s.Store.Commit(ctx, b)
}

// TestTransactionsAreBounded fills the queue while a commit is under way, with many entries and with large ones, on
// a store that takes them and on one where another node is always first.
func TestTransactionsAreBounded(t *testing.T) {
	noise := make([]byte, 1<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		entries int
		body    []byte
		want    []int // records of the transactions; 0 is one of the other node
	}{
		"many":  {600, nil, []int{1, 512, 88}},
		"large": {6, noise, []int{1, 4, 2}},
	} {
		for _, contended := range []bool{false, true} {
			r := newRegion(t)
			other := r.node(t, func(s audit.Store) audit.Store { return s })
			appendOK(t, other, r.entry("north", "p1")) // the patient's key is there: no entry is sealed anew
			var store audit.Store = r.store
			if contended {
				store = &rival{Store: r.store, tenant: "north", first: func() { appendOK(t, other, r.entry("north", "p1")) }}
			}
			seen := &sizes{Store: store}
			g := newGate(seen)
			l := r.node(t, func(audit.Store) audit.Store { return g })
			go l.Append(context.Background(), r.entry("holder", "p1"))
			<-g.waiting
			go func() {
				for range g.waiting {
				}
			}()
			var wg sync.WaitGroup
			for range c.entries {
				e := r.entry("north", "p1")
				e.Body = append(e.Body, c.body)
				wg.Go(func() {
					if _, err := l.Append(context.Background(), e); errors.Is(err, audit.ErrBusy) != contended {
						t.Errorf("%s, contended %v: %v", name, contended, err)
					}
				})
			}
			queued(l, c.entries)
			close(g.open)
			wg.Wait()
			l.Close()
			if !contended && !slices.Equal(seen.records, c.want) || slices.Max(seen.records) > c.want[1] {
				t.Errorf("%s, contended %v: transactions of %d records, want %d", name, contended, seen.records, c.want)
			}
		}
	}
}

// blind is a store that cannot be read at times.
type blind struct {
	audit.Store
	shut atomic.Bool
}

func (b *blind) View(ctx context.Context, fn func(audit.View) error) error {
	if b.shut.Load() {
		return errors.New("connection refused")
	}
	return b.Store.View(ctx, fn)
}

func TestStoreThatCannotBeReadTakesNothing(t *testing.T) {
	r := newRegion(t)
	r.open(t).Close()
	store := &blind{Store: r.store}
	g := newGate(store)
	l := r.node(t, func(audit.Store) audit.Store { return g })
	go l.Append(context.Background(), r.entry("holder", "p1"))
	<-g.waiting
	result := make(chan error)
	e := r.entry("north", "p1")
	go func() {
		_, err := l.Append(context.Background(), e)
		result <- err
	}()
	queued(l, 1)
	store.shut.Store(true)
	close(g.open)
	if err := <-result; !errors.Is(err, audit.ErrNotApplied) || l.Err() != nil {
		t.Errorf("got %v, want ErrNotApplied", err)
	}
	store.shut.Store(false)
	if rc := appendOK(t, l, e); rc.Repeated {
		t.Error("it was stored")
	}
	verified(t, l.Reader, "north")
}

// quarrel is a store that is always in conflict.
type quarrel struct {
	audit.Store
	err   error
	count int
}

func (q *quarrel) Commit(context.Context, *audit.Batch) error {
	q.count++
	return q.err
}

// TestConflictsThatNameNobodyAreEverybodys has a store that says less than it should: nobody waits for ever.
func TestConflictsThatNameNobodyAreEverybodys(t *testing.T) {
	for name, err := range map[string]error{
		"bare":  fmt.Errorf("storing: %w", audit.ErrConflict),
		"empty": &audit.ConflictError{},
		"other": &audit.ConflictError{Tenants: []tenant.ID{"nobody", ""}},
	} {
		r := newRegion(t)
		r.open(t).Close()
		store := &quarrel{Store: r.store, err: err}
		l := r.node(t, func(audit.Store) audit.Store { return store })
		if _, err := l.Append(t.Context(), r.entry("north", "p1")); !errors.Is(err, audit.ErrBusy) {
			t.Errorf("%s: %v, want ErrBusy", name, err)
		}
		if store.count > 100 {
			t.Errorf("%s: tried %d times", name, store.count)
		}
	}
}

// TestTwoNodesAgreeOnAPatientsKey lets both make a key for one patient: what is sealed with the later one is sealed
// anew, because erasing the patient destroys only the one that is stored.
func TestTwoNodesAgreeOnAPatientsKey(t *testing.T) {
	r := newRegion(t)
	first := r.open(t)
	appendOK(t, first, r.entry("north", "p0")) // the tenant's own keys are there
	g := newGate(r.store)
	second := r.node(t, func(audit.Store) audit.Store { return g })
	var wg sync.WaitGroup
	send := func(e audit.Entry) {
		wg.Go(func() {
			if _, err := second.Append(context.Background(), e); err != nil {
				t.Error(err)
			}
		})
	}
	send(r.entry("holder", "p1"))
	<-g.waiting
	late := r.entry("north", "p1")
	send(late)
	queued(second, 1) // it is sealed with a key of the second node
	early := r.entry("north", "p1")
	appendOK(t, first, early)
	close(g.open)
	wg.Wait()
	var keys [2]string
	for i, e := range []audit.Entry{early, late} {
		rec, err := first.Get(t.Context(), "north", e.RecordID)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = rec.Leaf.KeyRef
	}
	if keys[0] != keys[1] {
		t.Errorf("one patient has the keys %s and %s", keys[0], keys[1])
	}
	verified(t, first.Reader, "north")
}

// TestStoreWithoutItsNodeKeyIsRefused covers a store without records too: a key made anew there would sign heads, and
// would not be stored.
func TestStoreWithoutItsNodeKeyIsRefused(t *testing.T) {
	for records := range 2 {
		r := newRegion(t)
		l := r.open(t)
		for range records {
			appendOK(t, l, r.entry("north", "p1"))
		}
		l.Close()
		r.memory().Edit(audit.Keys, "", []byte("node/1"), drop)
		_, err := r.tryOpen(t)
		if !errors.Is(err, audit.ErrCorrupt) || !strings.Contains(err.Error(), "no node key") {
			t.Errorf("with %d records: %v, want ErrCorrupt", records, err)
		}
		if value(r.memory(), "", audit.Keys, []byte("node/1")) != nil {
			t.Error("a key was stored in place of the one that was lost")
		}
	}
}
