package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// How long an unknown outcome is looked into: long enough for a standby to take over. Meanwhile nothing else is
// stored, and the queue fills.
const (
	resolveTime  = 30 * time.Second
	resolvePause = 50 * time.Millisecond // doubled after each try
	resolveLong  = 2 * time.Second       // at most
)

// outcome makes a fact of what a commit returned: nil, nothing changed, or the log is poisoned.
func (l *Log) outcome(b *Batch, cause error) error {
	if cause == nil || errors.Is(cause, ErrConflict) || errors.Is(cause, ErrNotApplied) {
		return cause
	}
	store, ok := l.cfg.Store.(Resolver)
	if !ok {
		return l.poison(cause)
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
	defer cancel()
	for pause := resolvePause; ; pause = min(2*pause, resolveLong) {
		applied, err := resolve(ctx, store, b)
		switch {
		case err == nil && applied:
			return nil
		case err == nil:
			return fmt.Errorf("%w: %w", ErrNotApplied, cause)
		case errors.Is(err, ErrCorrupt):
			return l.poison(errors.Join(err, cause))
		}
		select {
		case <-ctx.Done():
			return l.poison(errors.Join(cause, err))
		case <-time.After(pause):
		}
	}
}

// resolve looks for the records, blobs and anchors of a batch, of which it has at least one: all of them are there, or
// none.
func resolve(ctx context.Context, store Resolver, b *Batch) (applied bool, err error) {
	var keys []Key
	var want [][]byte
	for _, p := range b.Put {
		if p.Space == Records || p.Space == Blobs || p.Space == Anchors {
			keys, want = append(keys, Key{p.Space, p.Tenant, p.Key}), append(want, p.Value)
		}
	}
	err = store.Resolve(ctx, func(v View) error {
		values, err := v.GetMany(keys)
		if err != nil {
			return err
		}
		applied = values[0] != nil
		for i, value := range values {
			if (value != nil) != applied || applied && !bytes.Equal(value, want[i]) {
				return fmt.Errorf("%w: a transaction was applied in part", ErrCorrupt)
			}
		}
		return nil
	})
	return applied, err
}
