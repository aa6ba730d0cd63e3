package audit

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
)

// Scrubbing is how a log reads its own store from end to end while it works, so that what a disk has lost is noticed
// before it is needed: everything that [Reader.Verify] checks without keys, and all blobs.
type Scrubbing struct {
	Every time.Duration // from the end of one to the beginning of the next; 0 means never
	Rate  int64         // bytes read a second, at most; 0 means 8 MiB
	// Found is told what is wrong with a tenant's logs; "" stands for the region's blobs and log. It may be nil.
	Found func(t tenant.ID, findings []Finding)
}

const (
	defaultRate = 8 << 20
	// firstScrub is how long after the start the first one begins, if not sooner.
	firstScrub = 10 * time.Minute
)

// Scrubbed is what the newest scrub that ended found.
type Scrubbed struct {
	Finished time.Time // zero before the first
	Findings int
}

// scrubs reads the store again and again until the log is closed.
func (l *Log) scrubs() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		select {
		case <-l.closing:
		case <-l.failed:
		case <-ctx.Done():
		}
		stop()
	}()
	for wait := min(l.cfg.Scrub.Every, firstScrub); pause(ctx, wait); wait = l.cfg.Scrub.Every {
		n, err := l.scrub(ctx)
		if err != nil {
			continue // a store that cannot be read: Ready says so
		}
		l.health.mu.Lock()
		l.health.scrubbed = Scrubbed{Finished: l.cfg.Clock(), Findings: n}
		l.health.mu.Unlock()
	}
}

// scrub reads the store once, and says how much is wrong.
func (l *Log) scrub(ctx context.Context) (findings int, err error) {
	r := *l.Reader
	r.cfg.Ring, r.cfg.Mark = nil, nil
	r.cfg.Store = &slowStore{Store: l.cfg.Store, rate: cmp.Or(max(0, l.cfg.Scrub.Rate), defaultRate)}
	found := func(t tenant.ID, list []Finding) {
		if findings += len(list); len(list) > 0 && l.cfg.Scrub.Found != nil {
			l.cfg.Scrub.Found(t, list)
		}
	}
	list, err := r.VerifyBlobs(ctx)
	if err == nil {
		var more []Finding
		more, err = r.VerifyRegion(ctx)
		list = append(list, more...)
	}
	if err != nil {
		return 0, err
	}
	found("", list)
	tenants, err := l.Tenants(ctx)
	if err != nil {
		return findings, err
	}
	for _, t := range tenants {
		report, err := r.Verify(ctx, t, nil, nil)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return findings, err
		}
		found(t, report.Findings)
	}
	return findings, nil
}

// slowStore reads no more than so many bytes a second.
type slowStore struct {
	Store
	rate int64
}

// View implements [Store].
func (s *slowStore) View(ctx context.Context, fn func(View) error) error {
	var n int64
	if err := s.Store.View(ctx, func(v View) error { return fn(&countedView{v, &n}) }); err != nil {
		return err
	}
	if !pause(ctx, time.Duration(float64(n)/float64(s.rate)*float64(time.Second))) {
		return ctx.Err()
	}
	return nil
}

// countedView counts the bytes that are read.
type countedView struct {
	View
	n *int64
}

// Get implements [View].
func (v *countedView) Get(s Space, t tenant.ID, key []byte) ([]byte, error) {
	value, err := v.View.Get(s, t, key)
	*v.n += int64(len(value))
	return value, err
}

// GetMany implements [View].
func (v *countedView) GetMany(keys []Key) ([][]byte, error) {
	values, err := v.View.GetMany(keys)
	for _, value := range values {
		*v.n += int64(len(value))
	}
	return values, err
}

// Scan implements [View].
func (v *countedView) Scan(s Space, t tenant.ID, from, to []byte, reverse bool,
	fn func(k, val []byte) (bool, error)) error {
	return v.View.Scan(s, t, from, to, reverse, func(k, val []byte) (bool, error) {
		*v.n += int64(len(k) + len(val))
		return fn(k, val)
	})
}

// pause waits, and says whether it waited to the end.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
