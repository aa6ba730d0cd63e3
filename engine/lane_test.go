package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
)

// TestLaneTakesTenantsInTurn holds that a tenant with many long calls does not hold up
// the one of another tenant, that places come back, and that waiting ends.
func TestLaneTakesTenantsInTurn(t *testing.T) {
	l := newLane(1)
	first := l.ticket("south")
	if err := first.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	order := make(chan tenant.ID, 20)
	var all sync.WaitGroup
	wait := func(id tenant.ID) {
		all.Go(func() {
			k := l.ticket(id)
			defer k.leave()
			if err := k.pass(t.Context()); err != nil {
				t.Error(err)
			}
			order <- id
		})
	}
	waiting := func(n int) {
		eventually(t, "they wait", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.queue) == n })
	}
	for range 10 {
		wait("south")
	}
	waiting(10)
	wait("north")
	waiting(11)
	// The one inside makes room for the other tenant, and then has its turn again.
	if err := first.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id := <-order; id != "north" {
		t.Errorf("%s was let in before north", id)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	late := l.ticket("west")
	if err := late.pass(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited: %v", err)
	}
	late.leave()
	first.leave()
	all.Wait()
	if l.free != 1 || len(l.queue) != 0 {
		t.Errorf("%d places, %d waiting", l.free, len(l.queue))
	}
	if err := first.pass(t.Context()); err == nil {
		t.Error("a call that has ended was let in")
	}
}

// TestLongCallsLeaveRoom holds that while calls of one tenant take as long as they may,
// those of another that are quick are answered as if alone.
func TestLongCallsLeaveRoom(t *testing.T) {
	n := newRegion(t)
	n.withTrial("south", decidetest.Pack(t, "1.0.0", decidetest.RuleLoops), func(p *tenant.Policy) {
		p.Limits = tenant.Limits{DeadlineMS: 2000, RuleMS: 1000}
	})
	n.lane.free = 1
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for i := range 8 {
		flood.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				body := decidetest.WithInstance(t, decidetest.Patient(t, "clean"), 1000*i+j)
				_, _ = n.Call(ctx, ehr("south"), "orders", body) // its time may be up
			}
		})
	}
	defer flood.Wait()
	defer stop()
	crowded := func() bool {
		n.lane.mu.Lock()
		defer n.lane.mu.Unlock()
		return len(n.lane.queue) >= 4
	}
	for i := range 5 {
		eventually(t, "long calls wait for each other", crowded)
		n.call("north", decidetest.WithInstance(t, decidetest.Patient(t, "clean"), i))
	}
	eventually(t, "they go on", crowded) // just now some may be between two calls
}

// TestBigBodiesTakeTurns holds that a request known to take long waits in the lane.
func TestBigBodiesTakeTurns(t *testing.T) {
	n := newRegion(t)
	held := n.lane.ticket("south")
	for n.lane.free > 0 {
		n.lane.free--
	}
	defer held.leave()
	body := append(fixtures.Standard(1, 1), make([]byte, heavyBody)...)
	for i := len(body) - heavyBody; i < len(body); i++ {
		body[i] = ' '
	}
	began := time.Now()
	_, err := n.Call(t.Context(), ehr("north"), "orders", body)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) < 500*time.Millisecond {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}
