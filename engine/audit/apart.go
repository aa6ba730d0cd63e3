package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/precept-cds/precept/engine/workers"
)

// ErrLate says that the store did not answer before the caller's context ended. What was to be read is not known; what
// was to be stored may or may not have been, and may still be. The context's own error is wrapped beside it.
var ErrLate = errors.New("the store did not answer in time")

const (
	// maxReads is how many steps may read the store at once. On a disk that hangs they fill up, and whoever comes then
	// waits for a place, no longer than its context.
	maxReads = 512
	// longestRead ends the wait of a caller whose context has no end.
	longestRead = 30 * time.Second
)

// places bounds the steps that read a store at once.
type places struct {
	taken chan struct{}
	*workers.Pool
}

func newPlaces() places { return places{make(chan struct{}, maxReads), workers.New()} }

// apart does a step that reads the store in a goroutine of its own, which the caller leaves when ctx ends: a read of a
// file on a disk that hangs cannot be ended. So a step writes to nothing that the caller sees but what it returns. A
// panic of the step is the caller's, if it is still there.
func apart[T any](ctx context.Context, p places, step func(context.Context) (T, error)) (T, error) {
	if _, ends := ctx.Deadline(); !ends {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, longestRead)
		defer stop()
	}
	return leaving(ctx, p, step)
}

// leaving is apart for a step that may take as long as ctx allows.
func leaving[T any](ctx context.Context, p places, step func(context.Context) (T, error)) (T, error) {
	var none T
	select {
	case p.taken <- struct{}{}:
	case <-ctx.Done():
		return none, late(ctx)
	}
	type outcome struct {
		value    T
		err      error
		panicked error
	}
	done := make(chan outcome, 1)
	p.Go(func() {
		var o outcome
		defer func() {
			if cause := recover(); cause != nil {
				o.panicked = fmt.Errorf("%v\n%s", cause, debug.Stack())
			}
			<-p.taken
			done <- o
		}()
		o.value, o.err = step(ctx)
	})
	select {
	case o := <-done:
		if o.panicked != nil {
			panic(o.panicked)
		}
		return o.value, o.err
	case <-ctx.Done():
		return none, late(ctx)
	}
}

func late(ctx context.Context) error { return fmt.Errorf("%w: %w", ErrLate, ctx.Err()) }

// seen is apart for a step that is one view.
func seen[T any](ctx context.Context, r *Reader, look func(View) (T, error)) (T, error) {
	return apart(ctx, r.places, func(ctx context.Context) (out T, err error) {
		err = r.view(ctx, func(v View) (err error) {
			out, err = look(v)
			return err
		})
		return out, err
	})
}
