package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/precept-cds/precept/engine/tenant"
	formats "github.com/transparency-dev/formats/log"
)

// Followers are those who want to know when a release log has grown. A [Store] embeds them, which gives it Notify,
// and calls Committed. The zero value is ready.
type Followers struct {
	mu   sync.Mutex
	next int
	fns  map[int]func(tenant.ID) // guarded by mu
}

// Notify is that of [Store].
func (f *Followers) Notify(fn func(tenant.ID)) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fns == nil {
		f.fns = map[int]func(tenant.ID){}
	}
	id := f.next
	f.next++
	f.fns[id] = fn
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.fns, id)
	}
}

// Committed tells them of a batch that became durable. The caller holds no lock that a read of the store needs.
func (f *Followers) Committed(b *Batch) {
	for _, p := range b.Put {
		if p.Space == Heads && string(p.Key) == streamReleases {
			f.Tell(p.Tenant)
		}
	}
}

// Tell tells them that the release log of a tenant has grown.
func (f *Followers) Tell(t tenant.ID) {
	f.mu.Lock()
	fns := slices.Collect(maps.Values(f.fns))
	f.mu.Unlock()
	for _, fn := range fns {
		fn(t)
	}
}

// Watch calls fn with each tenant whose release log has grown, whoever wrote the statement: this log, another one
// on the store, or another process as far as the store can tell. The calls come one after the other from a
// goroutine that holds nothing, so fn may read and append; growth during a call is told once, after it. A call may
// be late or missing, so poll [Reader.ReleaseSizes] too. stop ends the calls and waits for the one under way; it
// must not be called by fn.
func (l *Log) Watch(fn func(tenant.ID)) (stop func()) {
	var mu sync.Mutex
	grown := map[tenant.ID]bool{} // guarded by mu
	wake := make(chan struct{}, 1)
	quiet := l.cfg.Store.Notify(func(t tenant.ID) {
		mu.Lock()
		grown[t] = true
		mu.Unlock()
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-wake:
			}
			mu.Lock()
			tenants := slices.Sorted(maps.Keys(grown))
			clear(grown)
			mu.Unlock()
			for _, t := range tenants {
				fn(t)
			}
		}
	}()
	return sync.OnceFunc(func() {
		quiet()
		close(done)
		<-ended
	})
}

// ReleaseSizes says how many statements the release logs of some tenants hold, or those of all tenants that have
// records if none is named. It is cheap and nothing is proven: it tells whether [Reader.Statements], which proves
// what it yields, has something new.
func (r *Reader) ReleaseSizes(ctx context.Context, tenants ...tenant.ID) (map[tenant.ID]int64, error) {
	sizes, err := seen(ctx, r, func(v View) (map[tenant.ID]int64, error) {
		of := tenants
		if len(of) == 0 {
			var err error
			if of, err = listTenants(v); err != nil {
				return nil, err
			}
		}
		keys := make([]Key, len(of))
		for i, t := range of {
			keys[i] = Key{Heads, t, []byte(streamReleases)}
		}
		values, err := v.GetMany(keys)
		if err != nil {
			return nil, err
		}
		sizes := make(map[tenant.ID]int64, len(of))
		for i, t := range of {
			if sizes[t], err = headSize(values[i]); err != nil {
				return nil, fmt.Errorf("tenant %s: %w", t, err)
			}
		}
		return sizes, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading sizes of release logs: %w", err)
	}
	return sizes, nil
}

// headSize is the size that a stored head claims; 0 if there is none.
func headSize(value []byte) (int64, error) {
	if value == nil {
		return 0, nil
	}
	var w wireHead
	var c formats.Checkpoint
	err := json.Unmarshal(value, &w, json.RejectUnknownMembers(true))
	if err == nil {
		_, err = c.Unmarshal([]byte(w.Note))
	}
	if err != nil || c.Size > 1<<62 {
		return 0, fmt.Errorf("reading head: %w: not the JSON of a head", ErrCorrupt)
	}
	return int64(c.Size), nil
}
