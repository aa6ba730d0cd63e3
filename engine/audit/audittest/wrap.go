package audittest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// A Fault is a way for a commit to fail.
type Fault int

// The ways.
const (
	Lost    Fault = iota // nothing was stored, and nobody can tell
	Kept                 // everything was stored, and nobody can tell
	Refused              // nothing was stored, and the store says so
	Torn                 // the first tenant's part was stored, against all promises, and nobody can tell
)

// String names the fault.
func (f Fault) String() string {
	return [...]string{"lost", "kept but reported lost", "refused", "torn"}[f]
}

// ErrBroken is what a broken commit returns.
var ErrBroken = errors.New("input/output error")

// Faulty breaks commits of the store inside, and cannot tell what became of them.
type Faulty struct {
	audit.Store

	mu     sync.Mutex
	after  int // commits that still work before the next fault; negative: all
	faults []Fault
	every  int // commits from one fault to the next; 0: there is no next one
	count  int
	broken int
}

// NewFaulty wraps a store; nothing is broken until Break or Every.
func NewFaulty(s audit.Store) *Faulty { return &Faulty{Store: s, after: -1} }

// Break lets n more commits work and breaks the one after.
func (f *Faulty) Break(n int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after, f.faults, f.every = n, []Fault{fault}, 0
}

// Every breaks each n-th commit from now on, in these ways in turn.
func (f *Faulty) Every(n int, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after, f.faults, f.every = n-1, faults, n
}

// Commits says how many commits were asked for, and how many of them were broken.
func (f *Faulty) Commits() (all, broken int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, f.broken
}

// next says what is to become of the next commit.
func (f *Faulty) next() (fault Fault, breaks bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if breaks = f.after == 0; breaks {
		fault = f.faults[f.broken%len(f.faults)]
		f.broken++
		f.after = f.every
	}
	if f.after >= 0 {
		f.after--
	}
	return fault, breaks
}

// Commit implements [audit.Store].
func (f *Faulty) Commit(ctx context.Context, b *audit.Batch) error {
	fault, breaks := f.next()
	if !breaks {
		return f.Store.Commit(ctx, b)
	}
	switch fault {
	case Refused:
		return fmt.Errorf("%w: %w", audit.ErrNotApplied, ErrBroken)
	case Torn:
		first := b.Put[0].Tenant
		b = &audit.Batch{Put: slices.DeleteFunc(slices.Clone(b.Put), func(i audit.Item) bool { return i.Tenant != first })}
		fallthrough
	case Kept:
		if err := f.Store.Commit(ctx, b); err != nil {
			return err
		}
	}
	return ErrBroken
}

// Resolving is a Faulty store that can tell what became of its commits.
type Resolving struct {
	*Faulty
	blind int
	mu    sync.Mutex
	asked int
}

var _ audit.Resolver = (*Resolving)(nil)

// NewResolving makes a faulty store able to tell what became of its commits, but for the first blind times it is
// asked; negative means always.
func NewResolving(f *Faulty, blind int) *Resolving { return &Resolving{Faulty: f, blind: blind} }

// Resolve implements [audit.Resolver].
func (r *Resolving) Resolve(ctx context.Context, fn func(audit.View) error) error {
	r.mu.Lock()
	r.asked++
	blind := r.blind < 0 || r.asked <= r.blind
	r.mu.Unlock()
	if blind {
		return fmt.Errorf("connecting: %w", ErrBroken)
	}
	return r.View(ctx, fn)
}

// Asked says how often it was asked to tell.
func (r *Resolving) Asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
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
