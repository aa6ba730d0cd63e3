package pg_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/audit/pg"
	"github.com/precept-cds/precept/engine/audit/pg/pgtest"
	"github.com/precept-cds/precept/engine/tenant"
)

// TestConnectionEndsAtEveryMessage ends the connection of a commit at each of its messages in turn, on either side, in
// all ways. Each call is answered, or surely not stored; and stays so, whatever arrives at the server later.
func TestConnectionEndsAtEveryMessage(t *testing.T) {
	server := pgtest.Shared(t)
	database := server.Database(t)
	proxy := pgtest.NewProxy(t, server)
	sick, healthy := opened(t, proxy.URL(database, pgtest.Service)), opened(t, server.URL(database, pgtest.Service))
	defer healthy.Close()
	defer sick.Close()
	clock, node := audittest.Region(t)
	l, other := node(sick), node(healthy)
	appended := func(l *audit.Log, idem string) (audit.Entry, audit.Receipt, error) {
		e := audittest.Entry(clock.Time(), "north", "p1")
		e.Idem = []byte(idem)
		ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
		defer stop()
		rc, err := l.Append(ctx, e)
		return e, rc, err
	}
	stored, cuts, kept := 0, 0, 0
	for _, c := range []struct {
		name    string
		backend bool
		way     pgtest.Way
		step    int // of a statement a client has three messages, a server about as many
	}{
		{"client's message lost", false, pgtest.Before, 1}, {"client's message last", false, pgtest.After, 5},
		{"server's message lost", true, pgtest.Before, 3}, {"silence", false, pgtest.Silence, 3},
		{"late", false, pgtest.Late, 3},
	} {
		if os.Getenv("PRECEPT_LONG") != "" {
			c.step = 1
		}
		for n, hit := 1, true; hit; n += c.step {
			// The connection knows all statements.
			if _, _, err := appended(l, fmt.Sprint(c.name, n, "before")); err != nil {
				t.Fatalf("%s at %d: before: %v", c.name, n, err)
			}
			stored++
			idem := fmt.Sprint(c.name, n)
			proxy.Arm("precept commit", c.backend, n, c.way)
			e, rc, err := appended(l, idem)
			_, hit = proxy.Disarm()
			if err != nil && !errors.Is(err, audit.ErrNotApplied) {
				t.Fatalf("%s at %d: %v", c.name, n, err)
			}
			if hit {
				cuts++
			}
			if hit && c.way == pgtest.Late {
				_ = proxy.Deliver() // to a backend that may have been ended
			}
			// The other node can write to the tenant at once: nothing is left in its way.
			began := time.Now()
			if _, _, err := appended(other, idem+" other"); err != nil || time.Since(began) > 4*time.Second {
				t.Fatalf("%s at %d: another node: %v after %s", c.name, n, err, time.Since(began))
			}
			_, again := other.Get(t.Context(), "north", e.RecordID)
			if err == nil && again != nil || err != nil && !errors.Is(again, audit.ErrNotFound) {
				t.Fatalf("%s at %d: answered %v, and the record: %v", c.name, n, err, again)
			}
			_, second, bad := appended(l, idem)
			if bad != nil || second.Repeated != (err == nil) || err == nil && second.Index != rc.Index {
				t.Fatalf("%s at %d: answered %v, the same call again: repeated %v, %v", c.name, n, err, second.Repeated,
					bad)
			}
			if hit && err == nil {
				kept++
			}
			stored += 2
		}
	}
	t.Logf("%d connections ended, %d of the transactions were durable", cuts, kept)
	if cuts < 50 || kept == 0 || kept == cuts {
		t.Errorf("%d connections ended, %d of the transactions were durable: want many, and some", cuts, kept)
	}
	rep, err := other.Verify(t.Context(), "north", nil, nil)
	if err != nil || len(rep.Findings) > 0 || rep.Logs[0].Opened != int64(stored) {
		t.Errorf("verification: %+v, %v, want %d records", rep, err, stored)
	}
	for _, l := range []*audit.Log{l, other} {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// load is nodes under load: each call is tried, at any node that lives, until it is answered.
type load struct {
	*testing.T
	clock *audittest.Clock
	nodes []*loadNode

	mu       sync.Mutex
	answered map[audit.RecordID]audit.Receipt
	denied   map[audit.RecordID]tenant.ID // answered with "nothing was stored"
	failures int
	calls    atomic.Int64
}

// loadNode is a node, which is opened again when its log ends.
type loadNode struct {
	mu    sync.Mutex
	log   *audit.Log
	store *pg.Store
	open  func() (*pg.Store, *audit.Log)
	dead  atomic.Bool
}

var loadTenants = []tenant.ID{"north", "south", "east"}

// newLoad opens a node for each URL.
func newLoad(t *testing.T, urls ...string) *load {
	clock, node := audittest.Region(t)
	l := &load{T: t, clock: clock, answered: map[audit.RecordID]audit.Receipt{}, denied: map[audit.RecordID]tenant.ID{}}
	for _, url := range urls {
		n := &loadNode{open: func() (*pg.Store, *audit.Log) {
			s := opened(t, url)
			return s, node(s)
		}}
		n.store, n.log = n.open()
		l.nodes = append(l.nodes, n)
	}
	return l
}

// run makes calls from so many workers until stop is closed, and each one's last call is answered.
func (l *load) run(workers int, stop <-chan struct{}) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				l.call(w, i)
			}
		})
	}
	wg.Wait()
}

func (l *load) call(w, i int) {
	tn := loadTenants[(w+i)%len(loadTenants)]
	idem := fmt.Appendf(nil, "call %d of worker %d", i, w)
	end := time.Now().Add(90 * time.Second)
	for at := w; time.Now().Before(end); at++ {
		n := l.nodes[at%len(l.nodes)]
		if n.dead.Load() {
			continue
		}
		e := audittest.Entry(l.clock.Time(), tn, fmt.Sprint("p", i%5))
		e.Idem = idem
		n.mu.Lock()
		log := n.log
		n.mu.Unlock()
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		rc, err := log.Append(ctx, e)
		stop()
		if l.note(tn, e, rc, err) {
			l.calls.Add(1)
			return
		}
		if errors.Is(err, audit.ErrStore) {
			l.reopen(n, log)
		}
		time.Sleep(5 * time.Millisecond) // as a client that was told to come again
	}
	l.Errorf("call %d of worker %d is never answered", i, w)
}

// note says whether a call was answered.
func (l *load) note(tn tenant.ID, e audit.Entry, rc audit.Receipt, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		if was, again := l.answered[rc.RecordID]; again && (was.Index != rc.Index || was.Log != rc.Log) {
			l.Errorf("record %s was at %d, and is at %d", rc.RecordID, was.Index, rc.Index)
		}
		l.answered[rc.RecordID] = rc
		return true
	}
	l.failures++
	if errors.Is(err, audit.ErrNotApplied) {
		l.denied[e.RecordID] = tn
	}
	return false
}

func (l *load) reopen(n *loadNode, log *audit.Log) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.log != log || n.dead.Load() {
		return
	}
	_ = log.Close()
	_ = n.store.Close()
	n.store, n.log = n.open()
}

// judge holds the store against what was answered.
func (l *load) judge(database string) {
	l.Helper()
	s := opened(l.T, database)
	defer s.Close()
	r, err := audit.OpenReader(l.Context(), audit.Config{Store: s})
	if err != nil {
		l.Fatal(err)
	}
	stored, places := int64(0), map[string]audit.RecordID{}
	for _, tn := range loadTenants {
		rep, err := r.Verify(l.Context(), tn, nil, nil)
		if err != nil || len(rep.Findings) > 0 {
			l.Errorf("verification of %s: %+v, %v", tn, rep, err)
			continue
		}
		for _, log := range rep.Logs {
			stored += log.Sealed
		}
	}
	for id, rc := range l.answered {
		at := fmt.Sprint(rc.Log, " ", rc.Index)
		if other, taken := places[at]; taken {
			l.Errorf("%s was given to %s and to %s", at, id, other)
		}
		places[at] = id
		found := 0
		for _, tn := range loadTenants {
			got, err := r.Receipt(l.Context(), tn, id)
			if err == nil && got.Index == rc.Index && got.Log == rc.Log {
				found++
			} else if !errors.Is(err, audit.ErrNotFound) {
				l.Errorf("answered record %s: %v", id, err)
			}
		}
		if found != 1 {
			l.Errorf("answered record %s is there %d times", id, found)
		}
	}
	for id, tn := range l.denied {
		if _, err := r.Receipt(l.Context(), tn, id); !errors.Is(err, audit.ErrNotFound) {
			l.Errorf("record %s was answered with \"nothing was stored\": %v", id, err)
		}
	}
	if stored != int64(len(l.answered)) || stored != l.calls.Load() {
		l.Errorf("%d records stored and %d answered of %d calls", stored, len(l.answered), l.calls.Load())
	}
	l.Logf("%d calls, each stored once; %d attempts failed, %d of them surely without effect", stored, l.failures,
		len(l.denied))
}

func (l *load) close() {
	for _, n := range l.nodes {
		if n.dead.Load() {
			continue
		}
		if err := n.log.Close(); err != nil {
			l.Error(err)
		}
		if err := n.store.Close(); err != nil {
			l.Error(err)
		}
	}
}

// TestBackendsAreKilled ends backends of all kinds while two nodes are under load.
func TestBackendsAreKilled(t *testing.T) {
	server := pgtest.Shared(t)
	database := server.Database(t)
	url := server.URL(database, pgtest.Service)
	l := newLoad(t, url, url)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.run(6, stop) })
	rounds, killed := 60, 0
	if os.Getenv("PRECEPT_LONG") != "" {
		rounds = 1500
	}
	for range rounds {
		time.Sleep(25 * time.Millisecond)
		killed += server.Count(t, database,
			"SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity "+
				"WHERE usename = '"+pgtest.Service+"' AND datname = '"+database+"' AND random() < 0.3")
	}
	close(stop)
	wg.Wait()
	l.close()
	l.judge(url)
	t.Logf("%d backends killed", killed)
	if l.failures == 0 {
		t.Error("nobody noticed")
	}
}

// TestThreeNodesOneServer has three nodes under load, kills the server twice with all its processes, and cuts one node
// off for good.
func TestThreeNodesOneServer(t *testing.T) {
	server := pgtest.Start(t)
	database := server.Database(t)
	url := server.URL(database, pgtest.Service)
	proxy := pgtest.NewProxy(t, server)
	l := newLoad(t, url, url, proxy.URL(database, pgtest.Service))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.run(9, stop) })
	time.Sleep(time.Second)
	l.nodes[2].dead.Store(true)
	proxy.Close()
	time.Sleep(500 * time.Millisecond)
	kills := 2
	if os.Getenv("PRECEPT_LONG") != "" {
		kills = 40
	}
	for range kills {
		server.Kill()
		time.Sleep(100 * time.Millisecond)
		server.Restart(t)
		time.Sleep(time.Second)
	}
	close(stop)
	wg.Wait()
	l.close()
	l.judge(url)
	if l.failures == 0 {
		t.Error("nobody noticed")
	}
}
