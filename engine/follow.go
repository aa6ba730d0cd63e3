package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing"
)

// A region may have many nodes on one store. What is in force is what the store's
// release log says, so a node follows it: it is told of statements that others
// logged, asks from time to time in case it was not told, and finds out at the
// latest when it records, for a decision is stored only under the release log that
// it was made with.

// maxMoved bounds how often a call is decided again because of statements that
// came meanwhile.
const maxMoved = 5

// follow keeps up with the release logs until the engine is closed.
func (e *Engine) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	unwatch := e.cfg.Log.Watch(func(id tenant.ID) {
		if l := e.tenants[id]; l != nil {
			e.keepUp(ctx, l)
		}
	})
	var both sync.WaitGroup
	both.Go(func() { e.watch(ctx) })
	both.Go(func() {
		tick := time.NewTicker(e.cfg.Poll)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				e.poll(ctx)
				e.recordRefusals(ctx, false)
			}
		}
	})
	e.unfollow = func() {
		cancel()
		unwatch()
		both.Wait()
	}
}

// Close ends following and records the refusals that were only counted. It does not
// close the log.
func (e *Engine) Close() {
	e.unfollow()
	e.recordRefusals(context.Background(), true)
}

// poll looks for statements that nobody told of.
func (e *Engine) poll(ctx context.Context) {
	sizes, err := e.cfg.Log.ReleaseSizes(ctx, e.Tenants()...)
	if err != nil {
		return // a store that cannot be read takes no record, either: Ready says so
	}
	for id, l := range e.tenants {
		if sizes[id] > int64(l.now.Load().trust.Size()) {
			e.keepUp(ctx, l)
		}
	}
}

// keepUp is catchUp for nobody in particular: what fails is told by Unready.
func (e *Engine) keepUp(ctx context.Context, l *served) {
	if _, err := e.catchUp(ctx, l); err != nil && ctx.Err() == nil {
		l.lag.Store(&err)
		return
	}
	l.lag.Store(nil)
}

// catchUp takes in the statements that other nodes logged. It waits for nobody who
// checks a statement: what is in force may change meanwhile, and that statement is
// then checked again. But a new pack has its cases run once, not by each call that
// meets it.
func (e *Engine) catchUp(ctx context.Context, l *served) (*inForce, error) {
	l.catch.Lock()
	defer l.catch.Unlock()
	st := l.now.Load()
	trust, err := e.advance(ctx, l.id, st.trust)
	if err != nil || trust == st.trust {
		return l.now.Load(), err
	}
	next, err := e.prepare(ctx, trust)
	if err != nil {
		return nil, err
	}
	return l.put(next), nil
}

// put makes st what is in force, unless something newer is, and returns what is.
func (l *served) put(st *inForce) *inForce {
	for {
		now := l.now.Load()
		if now == st || now != nil && now.trust.Size() > st.trust.Size() {
			return now
		}
		if l.now.CompareAndSwap(now, st) {
			if now != nil {
				close(now.gone)
			}
			return st
		}
	}
}

// advance applies what the release log holds beyond a state, and returns the same
// state if that is nothing.
func (e *Engine) advance(ctx context.Context, id tenant.ID, trust *signing.State) (*signing.State, error) {
	for s, err := range e.cfg.Log.Statements(ctx, id, int64(trust.Size())) {
		if err != nil {
			return nil, err
		}
		env, err := signing.ReadEnvelope(s.Envelope)
		if err != nil {
			return nil, fmt.Errorf("folding statement %d: %w", s.Index, err)
		}
		v, err := trust.Check(env, s.Decided)
		if err != nil {
			return nil, fmt.Errorf("folding statement %d: %w", s.Index, err)
		}
		if trust, err = trust.Apply(v); err != nil {
			return nil, fmt.Errorf("folding statement %d: %w", s.Index, err)
		}
	}
	return trust, nil
}

// upToDate does what needs the release log as it is, again after catching up if a
// statement came meanwhile.
func upToDate[T any](ctx context.Context, e *Engine, id tenant.ID, do func() (T, error)) (T, error) {
	var none T
	for range maxMoved {
		out, err := do()
		if !errors.Is(err, audit.ErrMoved) {
			return out, err
		}
		if _, err := e.catchUp(ctx, e.tenants[id]); err != nil {
			return none, fmt.Errorf("catching up with the release log: %w", err)
		}
	}
	return none, fmt.Errorf("catching up with the release log: %w: statements kept coming", audit.ErrBusy)
}
