package audittest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// A Fault is a way for a commit to fail.
type Fault int

// The two ways: nothing was stored, or everything was, and nobody can tell.
const (
	Lost Fault = iota
	Kept
)

// String names the fault.
func (f Fault) String() string { return [...]string{"lost", "kept but reported lost"}[f] }

// ErrBroken is what a broken commit returns.
var ErrBroken = errors.New("input/output error")

// Faulty breaks one commit of the store inside.
type Faulty struct {
	audit.Store

	mu    sync.Mutex
	after int // commits that still work; negative: all
	fault Fault
	count int
}

// NewFaulty wraps a store; nothing is broken until Break.
func NewFaulty(s audit.Store) *Faulty { return &Faulty{Store: s, after: -1} }

// Break lets n more commits work and breaks the one after.
func (f *Faulty) Break(n int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after, f.fault = n, fault
}

// Commits says how many commits were asked for.
func (f *Faulty) Commits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Commit implements [audit.Store].
func (f *Faulty) Commit(ctx context.Context, b *audit.Batch) error {
	f.mu.Lock()
	f.count++
	broken, fault := f.after == 0, f.fault
	if f.after >= 0 {
		f.after--
	}
	f.mu.Unlock()
	if !broken {
		return f.Store.Commit(ctx, b)
	}
	if fault == Kept {
		if err := f.Store.Commit(ctx, b); err != nil {
			return err
		}
	}
	return ErrBroken
}

// Counter counts what is asked of the store inside.
type Counter struct {
	audit.Store

	mu    sync.Mutex
	calls Calls
	asked map[string]int
}

// Calls are calls of a store, each of which may be a round trip to a server.
type Calls struct {
	Views, Reads, Commits, Conflicts int
}

// NewCounter wraps a store.
func NewCounter(s audit.Store) *Counter { return &Counter{Store: s, asked: map[string]int{}} }

// Calls says what was asked for since it was called last.
func (c *Counter) Calls() Calls {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = Calls{}
	return calls
}

// Asked says how often each key of a space of a tenant was read.
func (c *Counter) Asked(s audit.Space, t tenant.ID) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := map[string]int{}
	for k, n := range c.asked {
		if key, ok := strings.CutPrefix(k, s.String()+" "+place(t, nil)); ok {
			asked[key] = n
		}
	}
	return asked
}

// View implements [audit.Store].
func (c *Counter) View(ctx context.Context, fn func(audit.View) error) error {
	c.count(func(n *Calls) { n.Views++ })
	return c.Store.View(ctx, func(v audit.View) error { return fn(&countingView{v, c}) })
}

// Commit implements [audit.Store].
func (c *Counter) Commit(ctx context.Context, b *audit.Batch) error {
	err := c.Store.Commit(ctx, b)
	c.count(func(n *Calls) {
		n.Commits++
		if errors.Is(err, audit.ErrConflict) {
			n.Conflicts++
		}
	})
	return err
}

func (c *Counter) count(add func(*Calls), keys ...audit.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.calls)
	for _, k := range keys {
		c.asked[k.Space.String()+" "+place(k.Tenant, k.Key)]++
	}
}

type countingView struct {
	audit.View
	counter *Counter
}

// Get implements [audit.View].
func (v *countingView) Get(s audit.Space, t tenant.ID, key []byte) ([]byte, error) {
	v.counter.count(func(n *Calls) { n.Reads++ }, audit.Key{Space: s, Tenant: t, Key: key})
	return v.View.Get(s, t, key)
}

// GetMany implements [audit.View].
func (v *countingView) GetMany(keys []audit.Key) ([][]byte, error) {
	v.counter.count(func(n *Calls) { n.Reads++ }, keys...)
	return v.View.GetMany(keys)
}

// Scan implements [audit.View].
func (v *countingView) Scan(s audit.Space, t tenant.ID, from, to []byte, reverse bool,
	fn func(k, val []byte) (bool, error)) error {
	v.counter.count(func(n *Calls) { n.Reads++ })
	return v.View.Scan(s, t, from, to, reverse, fn)
}
