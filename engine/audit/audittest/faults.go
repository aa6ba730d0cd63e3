package audittest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// testFaults lets two nodes append on one store, one of which meets broken commits of every kind, on a store that
// can tell what became of them and on one that cannot. Its log stops only where nobody can tell, and is opened
// again. The other one notices nothing. Every call is tried until it is answered; what was answered is there, once,
// at its place, and what was answered with "nothing was stored" is not.
func testFaults(t *testing.T, open func(*testing.T, string) audit.Store) {
	for _, resolves := range []bool{true, false} {
		for name, faults := range map[string][]Fault{
			"lost": {Lost}, "kept": {Kept}, "refused": {Refused}, "all": {Kept, Refused, Lost},
		} {
			name = fmt.Sprintf("faults-%s-resolves-%v", name, resolves)
			t.Run(name, func(t *testing.T) {
				s := open(t, name)
				closing(t, s)
				newOrdeal(t, s, resolves, faults).run()
			})
		}
	}
}

// ordeal is two nodes under load, one of them on a faulty store.
type ordeal struct {
	*testing.T
	clock    *Clock
	open     func(audit.Store) *audit.Log
	resolves bool
	faults   []Fault
	faulty   *Faulty
	sick     audit.Store
	healthy  *audit.Log

	mu       sync.Mutex
	log      *audit.Log // of the sick node; guarded by mu
	restarts int
	answered map[audit.RecordID]audit.Receipt
	denied   []audit.RecordID // answered with "nothing was stored"
}

var ordealTenants = []tenant.ID{"north", "south", "east"}

const (
	ordealWorkers = 4 // of each node
	ordealCalls   = 24
	ordealTries   = 50 // of a call
)

func newOrdeal(t *testing.T, s audit.Store, resolves bool, faults []Fault) *ordeal {
	o := &ordeal{T: t, resolves: resolves, faults: faults, faulty: NewFaulty(s),
		answered: map[audit.RecordID]audit.Receipt{}}
	o.clock, o.open = Region(t)
	o.sick = o.faulty
	if resolves {
		o.sick = NewResolving(o.faulty, 1)
	}
	o.healthy, o.log = o.open(s), o.open(o.sick)
	return o
}

func (o *ordeal) run() {
	o.faulty.Every(3, o.faults...)
	var wg sync.WaitGroup
	for w := range ordealWorkers {
		wg.Go(func() { o.work(w, true) })
		wg.Go(func() { o.work(w+ordealWorkers, false) })
	}
	wg.Wait()
	if _, broken := o.faulty.Commits(); broken < len(o.faults) {
		o.Errorf("only %d commits were broken", broken)
	}
	unknown := len(o.faults) > 1 || o.faults[0] != Refused
	if stopped := o.restarts > 0; stopped != (unknown && !o.resolves) {
		o.Errorf("the sick node was started again %d times", o.restarts)
	}
	o.judge()
	for _, l := range []*audit.Log{o.log, o.healthy} {
		if err := l.Close(); err != nil {
			o.Error(err)
		}
	}
}

// work makes the calls of one worker, each until it is answered.
func (o *ordeal) work(worker int, sick bool) {
	for i := range ordealCalls {
		tn := ordealTenants[(worker+i)%len(ordealTenants)]
		call := fmt.Appendf(nil, "call %d of worker %d", i, worker)
		for try := 0; !o.try(tn, call, sick); try++ {
			if try == ordealTries {
				o.Errorf("%s is never answered", call)
				return
			}
		}
	}
}

// try appends once, and says whether that was answered with a receipt.
func (o *ordeal) try(tn tenant.ID, call []byte, sick bool) bool {
	l := o.healthy
	if sick {
		o.mu.Lock()
		l = o.log
		o.mu.Unlock()
	}
	e := Entry(o.clock.Time(), tn, "p1")
	e.Idem = call
	rc, err := l.Append(context.Background(), e)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil:
		if was, again := o.answered[rc.RecordID]; again && (was.Index != rc.Index || was.Log != rc.Log) {
			o.Errorf("record %s was at %d of %s, and is at %d of %s", rc.RecordID, was.Index, was.Log, rc.Index, rc.Log)
		}
		o.answered[rc.RecordID] = rc
	case !sick:
		o.Errorf("the healthy node: %v", err)
	case errors.Is(err, audit.ErrNotApplied) && errors.Is(err, ErrBroken):
		o.denied = append(o.denied, e.RecordID)
	case errors.Is(err, audit.ErrClosed), errors.Is(err, audit.ErrStore) && !o.resolves:
		if l == o.log {
			if err := l.Close(); err != nil {
				o.Error(err)
			}
			o.log = o.open(o.sick) // through the check
			o.restarts++
		}
	default:
		o.Errorf("the sick node: %v", err)
	}
	return err == nil
}

// judge holds the store against what was answered.
func (o *ordeal) judge() {
	places := map[string]audit.RecordID{}
	for id, rc := range o.answered {
		at := fmt.Sprint(rc.Log, " ", rc.Index)
		if other, taken := places[at]; taken {
			o.Errorf("%s was given to %s and to %s", at, id, other)
		}
		places[at] = id
		found := 0
		for _, tn := range ordealTenants {
			rec, err := o.healthy.Get(o.Context(), tn, id)
			if err == nil && rec.Leaf.Index == rc.Index {
				found++
			} else if !errors.Is(err, audit.ErrNotFound) {
				o.Errorf("answered record %s: %v", id, err)
			}
		}
		if found != 1 {
			o.Errorf("answered record %s is there %d times", id, found)
		}
	}
	for _, id := range o.denied {
		for _, tn := range ordealTenants {
			if _, err := o.healthy.Get(o.Context(), tn, id); !errors.Is(err, audit.ErrNotFound) {
				o.Errorf("record %s was answered with \"nothing was stored\": %v", id, err)
			}
		}
	}
	stored := int64(0)
	for _, tn := range ordealTenants {
		rep, err := o.healthy.Verify(o.Context(), tn, nil, nil)
		if err != nil || len(rep.Findings) > 0 {
			o.Errorf("verification of %s: %+v, %v", tn, rep, err)
			continue
		}
		stored += rep.Logs[0].Opened
	}
	if want := int64(2 * ordealWorkers * ordealCalls); stored != want || int64(len(o.answered)) != want {
		o.Errorf("%d records stored and %d answered of %d calls", stored, len(o.answered), want)
	}
}
