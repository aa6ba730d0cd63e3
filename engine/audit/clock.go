package audit

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
)

// ErrClock says that the clock cannot be right: it has jumped while the log was open, or is behind records that are
// stored. Nothing was stored.
var ErrClock = errors.New("clock is wrong")

const (
	defaultMaxJump = 5 * time.Minute
	// A clock that is slewed, or set in small steps, may drift by a thousandth without being said to have jumped.
	maxDrift = 1000
)

// wallClock is the clock of the log, held against one that nobody sets.
type wallClock struct {
	mu   sync.Mutex
	zero time.Time     // what the clock would have shown at tick 0
	last time.Duration // tick of the newest look
	off  time.Duration // by how much the clock was ahead then
	set  bool
}

// moment is the time in the precision of records. If the clock has jumped by more than is allowed, the error says so, and
// the time is what it would be without the jump.
func (l *Log) moment() (time.Time, error) {
	now := l.cfg.Clock().UTC()
	if l.cfg.Ticks == nil {
		return now.Truncate(time.Millisecond), nil
	}
	tick := l.cfg.Ticks()
	c := &l.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.set {
		c.zero, c.last, c.set = now.Add(-tick), tick, true
	}
	steady := c.zero.Add(tick)
	c.off = now.Sub(steady)
	if c.off.Abs() > l.cfg.MaxJump {
		return steady.Truncate(time.Millisecond), fmt.Errorf("%w: %w: it has jumped by %s (set it right; if it is right"+
			" now, start the program again)", ErrNotApplied, ErrClock, c.off.Round(time.Second))
	}
	most := max(0, tick-c.last) / maxDrift
	c.zero = c.zero.Add(min(max(c.off, -most), most))
	c.last = tick
	return now.Truncate(time.Millisecond), nil
}

// ahead is by how much the clock was ahead of what it should have shown, when it was looked at last.
func (c *wallClock) ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.off
}

// clockBehind says whether the clock is too far behind a record that is stored.
func (l *Log) clockBehind(t tenant.ID, stored, now time.Time) error {
	if stored.Sub(now) <= l.cfg.MaxJump {
		return nil
	}
	return fmt.Errorf("%w: %w: the newest record of tenant %s was stored at %s, and it is %s (set the clock right; if it"+
		" is right and was wrong then, start once with --adopt-clock)", ErrNotApplied, ErrClock, t,
		stored.Format(time.RFC3339), now.Format(time.RFC3339))
}

// checkClock compares the clock with the newest record of each tenant. Those that lie too far in the future are refused,
// or to be adopted: their tenants then go on in a log of a new era.
func (l *Log) checkClock() error {
	now, _ := l.moment()
	var all error
	for t, stored := range l.newest {
		if err := l.clockBehind(t, stored, now); err != nil && l.cfg.AdoptClock {
			l.turned[t] = stored
		} else {
			all = errors.Join(all, err)
		}
	}
	return all
}

// era is how often a tenant's clock was set back, plus one. Times go up within an era; a log of a later era is later in
// the chain whatever its month.
func (n LogName) era() int {
	_, era, ok := cutEra(string(n))
	if !ok {
		return 1
	}
	return era
}

// compareLogs orders the audit logs of a tenant as their chain has them.
func compareLogs(a, b LogName) int {
	return cmp.Or(cmp.Compare(a.era(), b.era()), cmp.Compare(a, b)) // months sort as text
}

func sortLogs(keys []string) {
	slices.SortFunc(keys, func(a, b string) int { return compareLogs(LogName(a), LogName(b)) })
}
