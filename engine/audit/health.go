package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Why a log takes no records for the time being. Each passes by itself when its cause does, and each is
// [ErrNotApplied]: surely nothing was stored.
var (
	// ErrStalled says that the store has been busy with one commit for longer than the log's patience.
	ErrStalled = errors.New("store does not answer")
	// ErrFull says that less space is left than is to stay free.
	ErrFull = errors.New("store full")
	// ErrMarkLost says that the high-water mark cannot be written.
	ErrMarkLost = errors.New("high-water mark cannot be written")
)

// A Meter is a [Store] that knows how much space it has. It is asked before each commit, so it answers at once.
type Meter interface {
	Room() (Room, error)
}

// Room is the space of a store, in bytes.
type Room struct {
	Free  int64 // what may still be written
	Total int64 // what the store and all that shares its space may take together
	Used  int64 // what the store takes now
}

const (
	defaultPatience = 5 * time.Second
	defaultLook     = time.Second
	// defaultFree is what stays free unless a share of the whole space is less.
	defaultFree      = 256 << 20
	defaultFreeShare = 20
	// keptShare is the part of what stays free that is kept even from what removes power: to be able to start again.
	keptShare = 4
)

// commitBuckets are upper bounds of times of commits, in seconds.
var commitBuckets = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// health is what a log knows of its surroundings.
type health struct {
	busy    since // a batch is being planned or committed
	looking since // the look of the watcher

	mu       sync.Mutex
	why      error // as of the newest look; nil while records are taken
	room     Room
	metered  bool
	mark     error // why the mark is behind the store
	commits  Times
	scrubbed Scrubbed
}

// since notes when something began.
type since struct {
	mu    sync.Mutex
	on    bool
	began time.Duration
}

func (s *since) begin(at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on, s.began = true, at
}

func (s *since) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
}

// age is how long it has been going on; 0 if it is not.
func (s *since) age(now time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return 0
	}
	return max(0, now-s.began)
}

// Times counts how long something took.
type Times struct {
	Below map[float64]uint64 // how many took no more than so many seconds
	Count uint64
	Sum   float64 // seconds
}

func (t *Times) add(d time.Duration) {
	if t.Below == nil {
		t.Below = map[float64]uint64{}
	}
	for _, most := range commitBuckets {
		if d.Seconds() <= most {
			t.Below[most]++
		}
	}
	t.Count++
	t.Sum += d.Seconds()
}

// Stats are figures of a log.
type Stats struct {
	Commits  Times         // since it was opened
	UnderWay time.Duration // age of the commit that is under way; 0 if none is
	Waiting  int           // entries that wait to be stored
	Metered  bool          // Room is known
	Room     Room
	Scrubbed Scrubbed
	ClockOff time.Duration // by how much the clock is ahead of what it should show
}

// Stats returns the log's figures.
func (l *Log) Stats() Stats {
	h := &l.health
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Stats{Commits: h.commits, UnderWay: h.busy.age(l.ticks()), Waiting: len(l.queue) + len(l.urgent),
		Metered: h.metered, Room: h.room, Scrubbed: h.scrubbed,
		ClockOff: l.clock.ahead()}
	s.Commits.Below = make(map[float64]uint64, len(commitBuckets))
	for _, most := range commitBuckets {
		s.Commits.Below[most] = h.commits.Below[most]
	}
	return s
}

// Ready is nil while records are taken. Otherwise it says why not: ErrStore for good; ErrStalled, ErrFull,
// ErrMarkLost or ErrClock until that has passed. What removes power may be taken all the same.
func (l *Log) Ready() error {
	if err := l.admit(false); err != nil {
		return err
	}
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	return l.health.why
}

// admit says whether an entry may be queued at all. On a store that does not answer nothing but what removes power
// waits: callers learn it at once, and the queue does not fill with what nobody waits for any more.
func (l *Log) admit(removes bool) error {
	if err := l.Err(); err != nil || removes {
		return err
	}
	now := l.ticks()
	if age := max(l.health.busy.age(now), l.health.looking.age(now)); age > l.cfg.Patience {
		return fmt.Errorf("%w: %w: it has been busy for %s (look at its disk; nothing needs to be restarted)",
			ErrNotApplied, ErrStalled, age.Round(time.Second))
	}
	return nil
}

// watch looks at the log's surroundings from time to time until the log is closed.
func (l *Log) watch() {
	tick := time.NewTicker(l.cfg.Look)
	defer tick.Stop()
	for {
		select {
		case <-l.closing:
			return
		case <-tick.C:
			l.look()
		}
	}
}

// look finds out whether records can be taken now.
func (l *Log) look() {
	h := &l.health
	h.looking.begin(l.ticks())
	defer h.looking.end()
	why := l.room(0, false)
	if _, err := l.moment(); err != nil {
		why = err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why = cmp.Or(why, h.mark)
	if h.mark != nil {
		select {
		case l.nudge <- struct{}{}: // the writer tries again
		default:
		}
	}
}

// room says whether so many bytes may be stored.
func (l *Log) room(size int64, removes bool) error {
	meter, ok := l.cfg.Store.(Meter)
	if !ok {
		return nil
	}
	room, err := meter.Room()
	if err != nil {
		return fmt.Errorf("%w: asking for free space: %w", ErrNotApplied, err)
	}
	l.health.mu.Lock()
	l.health.room, l.health.metered = room, true
	l.health.mu.Unlock()
	floor := cmp.Or(l.cfg.MinFree, min(defaultFree, room.Total/defaultFreeShare))
	if removes {
		floor /= keptShare
	}
	if room.Free-size < floor {
		return fmt.Errorf("%w: %w: %d bytes are free and %d are to stay free (make room; records are taken again by"+
			" themselves)", ErrNotApplied, ErrFull, room.Free, floor)
	}
	return nil
}

// gates say what a batch may not store, and why.
type gates struct{ ordinary, removing error }

func (g *gates) of(e *Entry) error {
	if e.Removes {
		return g.removing
	}
	return g.ordinary
}

// openGates looks at everything that may be in the way of a batch.
func (l *Log) openGates(size int64) {
	l.gates = gates{ordinary: l.room(size, false)}
	if l.gates.ordinary != nil {
		l.gates.removing = l.room(size, true)
	}
	if _, err := l.moment(); err != nil {
		l.gates.ordinary = err
	}
	if err := l.mendMark(); err != nil && l.gates.ordinary == nil {
		l.gates.ordinary = err
	}
}

// mendMark writes to the mark what could not be written before.
func (l *Log) mendMark() error {
	if len(l.behind) == 0 {
		return nil
	}
	heads := make([]MarkedHead, 0, len(l.behind))
	for _, h := range l.behind {
		heads = append(heads, h)
	}
	err := l.storeMark(heads)
	if err == nil {
		clear(l.behind)
	}
	return err
}

// storeMark writes heads to the mark and notes what became of it.
func (l *Log) storeMark(heads []MarkedHead) error {
	err := l.mark.Store(context.Background(), heads)
	if err != nil {
		err = fmt.Errorf("%w: %w: %w (records are taken again by themselves when it can be)", ErrNotApplied, ErrMarkLost,
			err)
	}
	l.health.mu.Lock()
	l.health.mark = err
	l.health.mu.Unlock()
	return err
}
