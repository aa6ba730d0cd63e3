package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sync"
	"time"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// A Log takes records for all tenants of one region. One goroutine writes; everything else may be called from
// anywhere. The embedded Reader sees every record whose receipt was returned. Once the log failed it shows nothing:
// what it would show may not be durable.
type Log struct {
	*Reader
	node *keyring.Node
	mark Mark // nil without

	// The writer goroutine's own.
	shards map[tenant.ID]*shard
	parts  map[tenant.ID]*part // of the batch that is being stored
	named  map[markKey]bool    // logs that the mark names
	// adopted is what this start takes over although the mark says otherwise.
	adopted map[tenant.ID][]adoption
	batch   Batch
	asked   []Key
	arena   []byte

	behind   map[markKey]MarkedHead // heads in the store that the mark could not be given
	gates    gates                  // of the batch
	health   health
	clock    wallClock
	anchorer *anchorer
	usage    sync.Map // of tenant.ID: Usage
	began    time.Time
	// newest is the time of each tenant's newest record at the start; turned are those that lie in the future and are
	// adopted, until the event that says so is stored.
	newest, turned map[tenant.ID]time.Time

	queue   chan *request
	urgent  chan *request // entries that remove power: stored first, with places of their own
	closed  sync.RWMutex  // held for reading while sending to a queue, for writing to end that
	ended   bool          // guarded by closed
	closing chan struct{} // closed when nothing more is sent
	nudge   chan struct{} // has the writer look after the mark
	idle    chan struct{} // closed when the writer has ended

	mu     sync.Mutex
	cause  error         // why the log is poisoned; guarded by mu
	failed chan struct{} // closed when it is
}

var prefixForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,100}[a-z0-9])?$`)

// Open checks the store and starts the writer. It refuses a store of another region (ErrForeign), one whose
// newest heads do not agree with what lies under them (ErrCorrupt), and one that is behind its high-water mark
// (ErrCutShort). Close ends it.
func Open(ctx context.Context, c Config) (*Log, error) {
	if c.Store == nil || c.Ring == nil || c.Clock == nil || c.Rand == nil {
		return nil, errors.New("opening audit log: store, key ring, clock and randomness are all required")
	}
	if !prefixForm.MatchString(c.Prefix) {
		return nil, errors.New("opening audit log: prefix must be a name like audit.example.org, in lower case")
	}
	if _, err := tenant.ParseRegion(string(c.Region)); err != nil {
		return nil, fmt.Errorf("opening audit log: %w", err)
	}
	if c.Queue <= 0 {
		c.Queue = 4096
	}
	c.Patience, c.Look = cmp.Or(c.Patience, defaultPatience), cmp.Or(c.Look, defaultLook)
	c.MaxJump = cmp.Or(c.MaxJump, defaultMaxJump)
	l := &Log{
		began: time.Now(), turned: make(map[tenant.ID]time.Time), newest: make(map[tenant.ID]time.Time),
		queue: make(chan *request, c.Queue), urgent: make(chan *request, urgentPlaces),
		behind: make(map[markKey]MarkedHead), idle: make(chan struct{}), failed: make(chan struct{}),
		closing: make(chan struct{}), nudge: make(chan struct{}, 1),
		shards: make(map[tenant.ID]*shard), parts: make(map[tenant.ID]*part), named: make(map[markKey]bool),
		adopted: make(map[tenant.ID][]adoption),
	}
	l.mark = c.Mark
	if err := l.start(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("opening audit log: %w", err), l.closeMark())
	}
	l.look()
	go l.write()
	go l.watch()
	if c.Scrub.Every > 0 {
		go l.scrubs()
	}
	if c.Anchor.Every > 0 {
		go l.anchorer.run()
	} else {
		close(l.anchorer.idle)
	}
	if err := l.recordAdoptions(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening audit log: %w", err), l.Close())
	}
	return l, nil
}

// start makes store, keys and mark ready.
func (l *Log) start(ctx context.Context, c Config) error {
	node, fresh, err := c.Ring.Node(ctx)
	if err != nil {
		return err
	}
	err = claim(ctx, c.Store, identity{c.Prefix, c.Region}, fresh)
	if errors.Is(err, ErrConflict) { // another node made the region's key at the same time: take that one
		if node, fresh, err = c.Ring.Node(ctx); err == nil {
			err = claim(ctx, c.Store, identity{c.Prefix, c.Region}, fresh)
		}
	}
	if err != nil {
		return err
	}
	c.Node = node.Public()
	l.node = node
	if l.Reader, err = OpenReader(ctx, c); err != nil {
		return err
	}
	l.Reader.failed, l.Reader.poison = l.Err, l.poison
	heads, err := l.checkHeads(ctx)
	if err == nil {
		err = seenErr(ctx, l.Reader, l.checkAnchor)
	}
	if err == nil {
		l.anchorer, err = newAnchorer(l)
	}
	if err == nil {
		err = l.anchorer.startWithWitnesses(ctx)
	}
	if err == nil {
		err = l.checkClock()
	}
	if err != nil || c.Mark == nil {
		return err
	}
	if err := l.checkMarked(ctx, c, heads); err != nil || len(l.adopted) > 0 {
		return err
	}
	if err := c.Mark.Store(ctx, heads); err != nil {
		for _, h := range heads {
			if !l.named[h.key()] {
				return err // a start that begins the mark needs to
			}
			l.behind[h.key()] = h
		}
		if len(heads) == 0 {
			return err
		}
		l.health.mark = fmt.Errorf("%w: %w: %w", ErrNotApplied, ErrMarkLost, err)
	}
	return nil
}

// checkMarked compares the store with the mark, which names every log that the store has and no head beyond its end.
// What is otherwise is refused, or to be adopted.
func (l *Log) checkMarked(ctx context.Context, c Config, heads []MarkedHead) error {
	last, err := c.Mark.Load(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, m := range last {
		l.named[m.key()] = true
	}
	for _, h := range heads {
		switch {
		case l.named[h.key()]:
		case c.AdoptMark:
			l.adopt(h.key(), "", heads)
		case err != nil:
			return fmt.Errorf("%w: %w, although the store has logs (restore it, or run precept audit verify --store"+
				" and start once with --adopt-high-water)", ErrMark, err)
		default:
			return fmt.Errorf("%w: it does not name %s of tenant %s, which is in the store: it was emptied or lines are missing"+
				" (restore it, or run precept audit verify --store and start once with --adopt-high-water)", ErrMark,
				h.Log.stream(), h.Tenant)
		}
		l.named[h.key()] = true
	}
	var all error
	for _, m := range last {
		err := l.view(ctx, func(v View) error { return l.checkMark(v, m) })
		if c.AdoptMark && errors.Is(err, ErrCutShort) {
			l.adopt(m.key(), m.Note, heads)
		} else if err != nil {
			all = errors.Join(all, fmt.Errorf("checking high-water mark of %s of tenant %s: %w", m.Log.stream(), m.Tenant,
				err))
		}
	}
	return all
}

// claim names the region in a new store, with the node key made for it; a store that is named otherwise is refused.
func claim(ctx context.Context, s Store, id identity, fresh []keyring.Named) error {
	key := []byte("identity")
	var stored []byte
	err := s.View(ctx, func(v View) error {
		got, err := v.Get(Meta, "", key)
		stored = bytes.Clone(got)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the store's identity: %w", err)
	}
	if stored != nil && string(stored) != id.String() {
		return fmt.Errorf("%w: it belongs to %s, this is %s", ErrForeign, stored, id)
	}
	if stored != nil && len(fresh) > 0 {
		return fmt.Errorf("%w: the store has logs but no node key", ErrCorrupt)
	}
	if stored != nil {
		return nil
	}
	b := &Batch{Expect: []Item{{Space: Meta, Key: key}}, Put: []Item{{Space: Meta, Key: key, Value: []byte(id.String())}}}
	for _, k := range fresh {
		b.Expect = append(b.Expect, Item{Space: Keys, Key: []byte(k.Name)})
		b.Put = append(b.Put, Item{Space: Keys, Key: []byte(k.Name), Value: k.Value})
	}
	if err := s.Commit(ctx, b); err != nil {
		return fmt.Errorf("naming the store: %w", err)
	}
	return nil
}

// checkHeads checks every newest head: its signature, that the tree under it has the signed root, and that its
// newest leaf is there and none beyond. It is cheap: a few hashes per log.
func (l *Log) checkHeads(ctx context.Context) (heads []MarkedHead, err error) {
	tenants, err := l.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tenants {
		for _, stream := range []string{streamAudit, streamReleases} {
			if heads, err = l.checkStream(ctx, t, stream, heads); err != nil {
				return nil, fmt.Errorf("checking %s of tenant %s: %w", stream, t, err)
			}
		}
	}
	return heads, nil
}

func (l *Log) checkStream(ctx context.Context, t tenant.ID, stream string, heads []MarkedHead) ([]MarkedHead, error) {
	err := l.view(Only(ctx, t), func(v View) error {
		h, _, ok, err := l.head(v, t, stream)
		if err != nil || !ok {
			return err
		}
		if stream == streamAudit {
			l.newest[t] = h.Committed
			if h.used != nil {
				l.usage.Store(t, *h.used)
			}
		}
		heads = append(heads, MarkedHead{t, h.Log, string(h.Note)})
		if err := checkEdge(v, t, h); err != nil {
			return err
		}
		end, err := v.GetMany([]Key{{Leaves, t, h.Log.key(h.Size - 1)}, {Leaves, t, h.Log.key(h.Size)}})
		if err != nil {
			return err
		}
		if end[0] == nil || end[1] != nil {
			return fmt.Errorf("%w: the head of %s says %d leaves, the store disagrees (run a full verification)",
				ErrCorrupt, h.Log, h.Size)
		}
		return nil
	})
	return heads, err
}

// Append records an entry and returns when it is durable. An entry that repeats an earlier one's idempotency
// bytes is not stored; its receipt is the first one's, with Repeated set. If ctx ends before the record is known to be
// durable, whatever the store is busy with, the error is ErrLate at once and the record may or may not exist: one that
// was not begun to be stored will not be.
func (l *Log) Append(ctx context.Context, e Entry) (Receipt, error) {
	// A key that was superseded by another node, or erased meanwhile, is replaced and the body sealed anew. More
	// than a few rounds mean that somebody destroys keys as fast as we make them.
	for range 4 {
		res, err := l.try(ctx, &e)
		if err == nil {
			err = res.err
		}
		if !errors.Is(err, errSuperseded) {
			if err != nil {
				return Receipt{}, fmt.Errorf("recording %s: %w", e.Kind, err)
			}
			return res.receipt, nil
		}
	}
	return Receipt{}, fmt.Errorf("recording %s: %w: the patient's key keeps changing", e.Kind, ErrBusy)
}

func (l *Log) try(ctx context.Context, e *Entry) (result, error) {
	if err := l.admit(e.Removes); err != nil {
		return result{}, err
	}
	done, err := apart(ctx, l.places, func(within context.Context) (<-chan result, error) {
		r, err := l.prepare(within, e)
		if err != nil {
			return nil, err
		}
		r.ctx = ctx
		done := r.done
		if err := l.enqueue(r); err != nil {
			r.answer(result{err: err}, keyring.Abandoned)
		}
		return done, nil
	})
	if err != nil {
		return result{}, err
	}
	select {
	case res := <-done:
		return res, nil
	case <-ctx.Done():
		return result{}, fmt.Errorf("%w: the record may or may not have been stored", late(ctx))
	}
}

func (l *Log) enqueue(r *request) error {
	l.closed.RLock()
	defer l.closed.RUnlock()
	if l.ended {
		return ErrClosed
	}
	queue := l.queue
	if r.entry.Removes {
		queue = l.urgent
	}
	select {
	case queue <- r:
		return nil
	default:
		return ErrBusy
	}
}

// Err is nil until nobody can tell what became of a commit; then it is ErrStore with the cause.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// Failed is closed when Err is no longer nil. The owner then closes log and store and opens them again, or ends the
// process: the next start runs the check.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// poison refuses everything from now on.
func (l *Log) poison(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		if l.cause = cause; !errors.Is(cause, ErrStore) {
			l.cause = fmt.Errorf("%w: %w", ErrStore, cause)
		}
		close(l.failed)
	}
	return l.cause
}

// Close stores what waits, refuses what comes, and returns when the writer has ended. It does not close the store.
func (l *Log) Close() error {
	l.closed.Lock()
	if l.ended {
		l.closed.Unlock()
		<-l.idle
		<-l.anchorer.idle
		return nil
	}
	l.ended = true
	close(l.closing)
	l.closed.Unlock()
	<-l.idle
	<-l.anchorer.idle
	return l.closeMark()
}

func (l *Log) closeMark() error {
	if l.mark == nil {
		return nil
	}
	return l.mark.Close()
}

// ticks is the time that nobody sets.
func (l *Log) ticks() time.Duration {
	if l.cfg.Ticks == nil {
		return time.Since(l.began)
	}
	return l.cfg.Ticks()
}
