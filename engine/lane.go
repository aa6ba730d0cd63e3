package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/precept-cds/precept/engine/tenant"
)

// A call takes a millisecond or two; some take hundreds, because of their size or
// their rules. On a machine with two cores two of these hold up everybody else, for
// the runtime gives each its ten milliseconds in turn. So what takes long goes through
// one lane, a few at a time and the tenants in turn, and everything else has the rest
// of the machine.

// heavyBody is the size of a request that is known to take long.
const heavyBody = 512 << 10

// lane lets a few in at a time, the tenants in turn.
type lane struct {
	mu    sync.Mutex
	free  int
	queue []*ticket   // those that wait, as they came; at most as many as calls are under way
	turn  []tenant.ID // tenants that were let in, the latest last
}

// ticket is a call's place in the lane. It belongs to one call.
type ticket struct {
	lane   *lane
	tenant tenant.ID
	inside bool
	over   bool          // the call has ended
	let    chan struct{} // closed when it is let in
}

func newLane(places int) *lane { return &lane{free: max(1, places)} }

func (l *lane) ticket(id tenant.ID) *ticket { return &ticket{lane: l, tenant: id} }

// pass waits until the call may go on for a while; one that is inside makes room
// for another tenant if one waits. The error is that of ctx.
func (t *ticket) pass(ctx context.Context) error {
	l := t.lane
	l.mu.Lock()
	if t.over {
		l.mu.Unlock()
		return context.Canceled
	}
	if t.inside {
		if !slices.ContainsFunc(l.queue, func(o *ticket) bool { return o.tenant != t.tenant }) {
			l.mu.Unlock()
			return nil
		}
		t.inside = false
		l.free++
	}
	t.let = make(chan struct{})
	l.queue = append(l.queue, t)
	l.next()
	l.mu.Unlock()
	select {
	case <-t.let:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.queue, t); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		return fmt.Errorf("waiting for other calls that take long: %w", ctx.Err())
	}
	return nil // let in at the last moment
}

// leave ends the call's part in the lane.
func (t *ticket) leave() {
	t.lane.mu.Lock()
	defer t.lane.mu.Unlock()
	t.over = true
	if t.inside {
		t.inside = false
		t.lane.free++
		t.lane.next()
	}
}

// next lets in whose tenant was let in longest ago. The lane is locked.
func (l *lane) next() {
	for l.free > 0 && len(l.queue) > 0 {
		first := slices.MinFunc(l.queue, func(a, b *ticket) int {
			return slices.Index(l.turn, a.tenant) - slices.Index(l.turn, b.tenant)
		})
		l.queue = slices.Delete(l.queue, slices.Index(l.queue, first), slices.Index(l.queue, first)+1)
		l.turn = append(slices.DeleteFunc(l.turn, func(id tenant.ID) bool { return id == first.tenant }), first.tenant)
		l.free--
		first.inside = true
		close(first.let)
	}
}
