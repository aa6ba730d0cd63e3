package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
)

// A rule that does not end when it is told to keeps a core of the node for as long as
// it likes (see decide.Times). The watchdog withholds it on this node at once, so that
// it is not asked again; if it then ends soon, as on a machine that was only slow, it
// is asked again, else the node suspends it in the release log, for all nodes. What
// runs on can only be ended with the process: above a number of them the node says
// that it is not ready, and asks to be restarted.

// How the watchdog judges.
const (
	// soon is how long a rule that was left behind may take to end before it is
	// suspended.
	soon = 5 * time.Second
	// strikes is how often a rule may be left behind and end soon, within struckFor,
	// before it is suspended all the same.
	strikes   = 3
	struckFor = 10 * time.Minute
	// beat is how often the watchdog looks while anything runs on.
	beat = 100 * time.Millisecond
	// patience is how long a restart waits for suspensions to be logged.
	patience = 5 * time.Second
)

// Words that records keep.
const (
	ranOnReason  = "the rule did not end when its time was used up, and did not end soon after"
	againReason  = "the rule did not end when its time was used up, again and again"
	tooManyRunOn = "too many rules run on that cannot be ended"
)

// ErrRunsOn says that rules run on that only the end of the process can end.
var ErrRunsOn = errors.New(tooManyRunOn)

// watchdog keeps the books of what was left behind.
type watchdog struct {
	mu    sync.Mutex
	on    map[*overrun]bool // under way
	rules map[watched]*trouble
	total int64 // left behind so far
	soon  time.Duration
	wake  chan struct{}

	doomed time.Time // when too many were found to run on; zero while the node goes on
	asked  bool      // for the restart
}

// watched names a rule of a tenant, "pack/rule"; it is empty for the composing of an
// answer.
type watched struct {
	l    *served
	rule string
}

// overrun is an evaluation that was left behind.
type overrun struct {
	of   watched
	from time.Time
}

// trouble is what a rule has done.
type trouble struct {
	strikes []time.Time
	suspend string // why it is to be suspended; empty while it is not
	failed  error  // why that could not be logged
}

func newWatchdog() *watchdog {
	return &watchdog{on: map[*overrun]bool{}, rules: map[watched]*trouble{}, wake: make(chan struct{}, 1),
		soon: soon}
}

// left is called when an evaluation is left behind; what it returns is called when
// that ends.
func (w *watchdog) left(l *served, rule string) (ended func()) {
	o := &overrun{watched{l, rule}, time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total++
	w.on[o] = true
	if rule != "" {
		t := w.rules[o.of]
		if t == nil {
			t = &trouble{}
			w.rules[o.of] = t
		}
		t.strikes = append(recent(t.strikes, o.from), o.from)
		if len(t.strikes) >= strikes {
			t.suspend = againReason
		}
	}
	w.withhold(l)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.on, o)
		w.withhold(l)
	}
}

func recent(strikes []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(strikes, func(at time.Time) bool { return now.Sub(at) > struckFor })
}

// withhold keeps this node from asking those rules of a tenant that run on, or are to
// be suspended.
func (w *watchdog) withhold(l *served) {
	rules := map[string]bool{}
	for o := range w.on {
		if o.of.l == l && o.of.rule != "" {
			rules[o.of.rule] = true
		}
	}
	for of, t := range w.rules {
		if of.l == l && t.suspend != "" {
			rules[of.rule] = true
		}
	}
	cut := make([]decision.Cut, 0, len(rules))
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		cut = append(cut, decision.Cut{Rule: rule, Subject: decision.AnySubject, Cause: decision.CutRanOn})
	}
	l.withheld.Store(&cut)
}

// look judges what runs on. It returns the rules to suspend, and whether the node is
// to be restarted now.
func (w *watchdog) look(now time.Time, most int) (suspend map[watched]string, restart bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lasting := 0
	for o := range w.on {
		if o.of.rule == "" || now.Sub(o.from) < w.soon { // composing is bounded by what it composes
			continue
		}
		lasting++
		if t := w.rules[o.of]; t != nil && t.suspend == "" {
			t.suspend = ranOnReason
		}
	}
	suspend = map[watched]string{}
	for of, t := range w.rules {
		if t.suspend != "" {
			suspend[of] = t.suspend
		} else if t.strikes = recent(t.strikes, now); len(t.strikes) == 0 {
			delete(w.rules, of)
		}
	}
	if lasting > most && w.doomed.IsZero() {
		w.doomed = now
	}
	if w.doomed.IsZero() || w.asked || len(suspend) > 0 && now.Sub(w.doomed) < patience {
		return suspend, false
	}
	w.asked = true
	return suspend, true
}

// suspended notes what came of suspending a rule.
func (w *watchdog) suspended(of watched, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.rules[of].failed = err
		return
	}
	delete(w.rules, of)
	w.withhold(of.l)
}

// idle reports that there is nothing to look at.
func (w *watchdog) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.on) == 0 && len(w.rules) == 0
}

// err is not nil once the node is to restart.
func (w *watchdog) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.doomed.IsZero() {
		return nil
	}
	return fmt.Errorf("watching rules: %w; the node restarts when its calls have ended", ErrRunsOn)
}

// failures says for which tenants rules could not be suspended.
func (w *watchdog) failures() map[tenant.ID]error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := map[tenant.ID]error{}
	for of, t := range w.rules {
		if t.failed != nil {
			m[of.l.id] = errors.Join(m[of.l.id], t.failed)
		}
	}
	return m
}

// watch judges what runs on until ctx ends.
func (e *Engine) watch(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		if e.watchdog.idle() {
			select {
			case <-ctx.Done():
				return
			case <-e.watchdog.wake:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		suspend, restart := e.watchdog.look(time.Now(), e.cfg.Overruns)
		for of, reason := range suspend {
			pack, rule, _ := strings.Cut(of.rule, "/")
			within, stop := context.WithTimeout(ctx, patience)
			e.watchdog.suspended(of, e.suspendByNode(within, of.l, pack, rule, reason))
			stop()
		}
		if restart && e.cfg.Restart != nil {
			e.cfg.Restart(tooManyRunOn)
		}
	}
}

// Overruns counts the evaluations that did not end when they were told to: those that
// still run, and all so far.
func (e *Engine) Overruns() (running int, total int64) {
	w := e.watchdog
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.on), w.total
}
