package decide

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/workers"
)

// Times bound a decision by the clock, beside the deadline of its context. The
// zero value bounds nothing, as in a replay.
type Times struct {
	// Rule is the time of one rule on one subject.
	Rule time.Duration
	// Grace is what an evaluation has to end in once it was told to; default
	// [DefaultGrace]. The evaluator looks whether it was told between two
	// expressions only, so within one it may go on for any time.
	Grace time.Duration
	// Yield is called, in between two expressions, about every five milliseconds of a
	// decision that takes long. It returns when the decision may go on; the time of the rule stands
	// still meanwhile. May be nil.
	Yield func(context.Context) error
	// Moved ends the decision with [ErrMoved] when it is closed.
	Moved <-chan struct{}
	// Left is told of each evaluation that did not end in its grace and was left
	// behind: the decision went on without it, and it still has a core, as a goroutine
	// cannot be ended from outside. What it returns is called when the evaluation
	// ended after all. Rule is empty if the answer was being composed. May be nil.
	Left func(rule string) (ended func())
}

func (t Times) grace() time.Duration { return cmp.Or(t.Grace, DefaultGrace) }

// DefaultGrace is what an evaluation that was told to end has to end in.
const DefaultGrace = 100 * time.Millisecond

// ErrMoved says that what a decision rests on is no longer in force.
var ErrMoved = errors.New("what is in force has changed meanwhile")

// maxLeft bounds how many pairs one decision leaves behind before the rest of its
// pairs is cut: who wrote one such rule may have written many.
const maxLeft = 2

// evaluations are the goroutines of runs.
var evaluations = workers.New()

// look is how often a decision under way is looked at. Most are done before.
const look = 5 * time.Millisecond

// A decision takes long once the evaluator has asked so often whether to end, or after so
// much time: a usual one asks a hundred times, and on a busy machine it is not the
// decision that takes the time. Its thread is of a low priority from an earlier time on:
// that costs nothing while a processor is free.
const (
	longAsked = 1000
	longTime  = 100 * time.Millisecond
	lowTime   = 25 * time.Millisecond
)

// What takes long does nothing but compute, and Go would take the processor away from it
// only every ten milliseconds, and look at the network no more often. So it pauses.
const (
	pauseEvery = 500 * time.Microsecond
	pause      = 100 * time.Microsecond
)

// run is a goroutine that asks the pairs of a decision one after the other and then
// composes the answer, unless it is left behind: then another goes on from the next
// pair. What both can reach they change only under the lock of the evaluation, while
// they are in charge.
type run struct {
	e       *evaluation
	pairs   []pair            // about a chart of its own
	session *clinical.Session // likewise
	from    int
	begun   time.Time
	at      atomic.Int64  // the pair under way; -1 for none
	since   atomic.Int64  // when it began, in nanoseconds after begun
	stop    atomic.Int64  // pairs below this one are to end
	yield   atomic.Bool   // asks the run to let others go first
	waits   atomic.Bool   // it does
	asked   int           // how often the evaluator asked whether to end
	low     bool          // its thread has a low priority
	long    bool          // it takes long
	paused  time.Duration // when it last paused, after begun
	ended   chan ending
	left    func() // of one that was left behind, under the lock of e
}

// ending is how a run ended.
type ending struct {
	err      error
	panicked *panicked
}

// start puts a run in charge of the pairs from one on.
func (e *evaluation) start(c *chart.Chart, pairs []pair, from int) *run {
	r := &run{e: e, pairs: pairs, session: e.snapshot.sessions.Start(c, e.in.Language), from: from,
		begun: time.Now(), ended: make(chan ending, 1)}
	r.at.Store(-1)
	e.run = r
	return r
}

// guard has a run do its work and ends what takes too long.
func (e *evaluation) guard(ctx context.Context, r *run) error {
	if ctx.Done() == nil && e.times.Rule == 0 && e.times.Moved == nil {
		return r.work(ctx)
	}
	evaluations.Go(func() { r.do(ctx) })
	var (
		late, moved = ctx.Done(), e.times.Moved
		told        time.Time // when everything was told to end
		again       = time.NewTimer(look)
	)
	defer again.Stop()
	for {
		select {
		case end := <-r.ended:
			if end.panicked != nil {
				panic(end.panicked)
			}
			return end.err
		case <-late:
			late = nil
		case <-moved:
			moved = nil
			e.moved.Store(true)
		case <-again.C:
			again.Reset(look)
		}
		now := time.Now()
		if told.IsZero() && (late == nil || moved == nil && e.times.Moved != nil) {
			told = now
			r.stop.Store(math.MaxInt64)
		}
		if e.times.Yield != nil && !r.waits.Load() {
			r.yield.Store(true)
		}
		i, over := r.overdue(now, told)
		switch {
		case over < e.times.grace():
		case i < 0:
			return e.giveUp(r)
		default:
			var err error
			if r, err = e.leave(ctx, r, i, !told.IsZero()); err != nil {
				return err
			}
		}
	}
}

// overdue tells a pair that has used up its time to end. It returns the pair under
// way, -1 while the answer is composed, and how long ago that was told to end.
func (r *run) overdue(now, told time.Time) (i int64, by time.Duration) {
	i = r.at.Load()
	if i >= 0 && r.e.times.Rule > 0 && !r.waits.Load() {
		if by = now.Sub(r.begun) - time.Duration(r.since.Load()) - r.e.times.Rule; by >= 0 && told.IsZero() {
			r.stop.Store(i + 1)
		}
	}
	if !told.IsZero() {
		by = max(by, now.Sub(told))
	}
	return i, by
}

// leave goes on without the run whose pair i does not end, unless it just did. The
// pair is cut, and with it what else would ask the same rule.
func (e *evaluation) leave(ctx context.Context, r *run, i int64, told bool) (*run, error) {
	e.mu.Lock()
	if int64(len(e.settled)) > i {
		e.mu.Unlock()
		return r, nil
	}
	p := &r.pairs[i]
	rule := p.ruleOf().ID
	p.pack.program.compiled[p.rule].gate.shut()
	e.abandon(r, rule)
	e.left = append(e.left, rule)
	e.settle(p, answer{}, decision.CutRanOn)
	e.mu.Unlock()
	c, err := e.snapshot.chart(e.in, e.req, e.service) // r may be reading the one it has
	if err != nil {
		return nil, err
	}
	pairs, _ := e.pairs(c)
	e.mu.Lock()
	next := e.start(c, pairs, int(i)+1)
	e.mu.Unlock()
	if told || len(e.left) >= maxLeft {
		next.stop.Store(math.MaxInt64)
	}
	evaluations.Go(func() { next.do(ctx) })
	return next, nil
}

// giveUp ends a decision whose answer cannot be composed in time.
func (e *evaluation) giveUp(r *run) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.abandon(r, "")
	return fmt.Errorf("composing the answer: %w", context.DeadlineExceeded)
}

// abandon takes a run out of charge. The evaluation is locked.
func (e *evaluation) abandon(r *run, rule string) {
	e.run, r.left = nil, func() {}
	if e.times.Left != nil {
		r.left = e.times.Left(rule)
	}
}

// do is work in a goroutine of its own.
func (r *run) do(ctx context.Context) {
	var end ending
	defer func() {
		if p := recover(); p != nil {
			end.panicked = describe(p)
		}
		r.e.mu.Lock()
		defer r.e.mu.Unlock()
		if r.left != nil {
			r.left()
		}
		r.ended <- end
		if r.low {
			runtime.Goexit() // and so ends the thread, whose priority nobody can raise again
		}
	}()
	end.err = r.work(ctx)
}

// work asks the pairs and composes the answer.
func (r *run) work(ctx context.Context) error {
	e := r.e
	for i := r.from; i < len(r.pairs); i++ {
		p := &r.pairs[i]
		a, cause := r.ask(ctx, i, p)
		if !r.settle(p, a, cause) {
			return nil
		}
	}
	e.snapshot.sessions.End(r.session)
	if e.moved.Load() {
		return ErrMoved
	}
	return e.finish()
}

// settle notes what came of a pair, unless the run is no longer in charge.
func (r *run) settle(p *pair, a answer, cause decision.CutReason) bool {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	if r.e.run != r {
		return false
	}
	r.e.settle(p, a, cause)
	r.at.Store(-1)
	return true
}

// ask evaluates one pair unless it is cut. What could not be finished is cut, never
// half an answer.
func (r *run) ask(ctx context.Context, i int, p *pair) (a answer, cause decision.CutReason) {
	if cause := r.e.cut(p); cause != "" {
		return answer{}, cause
	}
	if r.stop.Load() > int64(i) || ctx.Err() != nil {
		return answer{}, decision.CutDeadline
	}
	r.since.Store(int64(time.Since(r.begun)))
	r.at.Store(int64(i))
	ended := false // by itself, and soon enough not to have been left behind
	if r.e.times.Rule > 0 {
		g := p.pack.program.compiled[p.rule].gate
		held, ok := g.enter(func() bool { return r.stop.Load() > int64(i) })
		if !ok {
			return answer{}, r.cutBecause(ctx)
		}
		defer func() { g.leave(held, ended) }()
	}
	asked := time.Now()
	a = p.pack.program.ask(ctx, p.rule, r.session, p.pack.bound, p.subject, pairCancel{r, ctx, int64(i)})
	if !a.cut {
		ended = time.Since(asked) < r.e.times.grace()
		return a, ""
	}
	return answer{}, r.cutBecause(ctx)
}

// cutBecause says why a pair that was told to end was.
func (r *run) cutBecause(ctx context.Context) decision.CutReason {
	if r.stop.Load() == math.MaxInt64 || ctx.Err() != nil {
		return decision.CutDeadline
	}
	return decision.CutLimit
}

// gate lets one decision at a time ask a rule until an evaluation of it has ended by
// itself before it would have been left behind, and again after one was. A case may take
// longer than a call, so that it ended does not say enough. Of a rule that never ends one
// evaluation runs on then, not as many as there are calls under way.
type gate struct {
	open atomic.Bool
	turn chan struct{}
}

func newGate() *gate { return &gate{turn: make(chan struct{}, 1)} }

// gateLook is how often one who waits at a gate looks whether to give up.
const gateLook = time.Millisecond

// enter waits until the rule may be asked; ok is false if over says so before. held is
// for leave.
func (g *gate) enter(over func() bool) (held, ok bool) {
	if g.open.Load() {
		return false, true
	}
	select {
	case g.turn <- struct{}{}:
		return true, true
	default:
	}
	look := time.NewTicker(gateLook)
	defer look.Stop()
	for {
		select {
		case g.turn <- struct{}{}:
			return true, true
		case <-look.C:
		}
		switch {
		case g.open.Load():
			return false, true
		case over():
			return false, false
		}
	}
}

// leave notes whether an evaluation has ended by itself and soon enough.
func (g *gate) leave(held, ended bool) {
	if ended && !g.open.Load() {
		g.open.Store(true)
	}
	if held {
		<-g.turn
	}
}

// shut is for an evaluation that was left behind.
func (g *gate) shut() { g.open.Store(false) }

// pairCancel is how the evaluator asks whether a pair is to end.
type pairCancel struct {
	run *run
	ctx context.Context
	i   int64
}

// Cancel is for nobody: it is the run that is told.
func (pairCancel) Cancel() {}

// Cancelled reports whether to end. It lets others go first if the run is asked to.
func (c pairCancel) Cancelled() bool {
	r := c.run
	if r.asked++; r.e.times.Yield != nil && r.takesLong() && r.stop.Load() <= c.i {
		if r.yield.Load() {
			r.letOthersGo(c.ctx)
		}
		r.pause()
	}
	return r.stop.Load() > c.i
}

// takesLong is asked at every expression, so it looks at the clock only now and then.
func (r *run) takesLong() bool {
	if r.long || r.asked <= longAsked && r.asked%16 != 0 {
		return r.long
	}
	took := time.Since(r.begun)
	if !r.low && (r.asked > longAsked || took > lowTime) {
		r.low = true
		runtime.LockOSThread()
		workers.Lower()
	}
	r.long = r.asked > longAsked || took > longTime
	return r.long
}

// pause leaves the processor to others now and then.
func (r *run) pause() {
	if now := time.Since(r.begun); now-r.paused >= pauseEvery {
		time.Sleep(pause)
		r.paused = time.Since(r.begun)
	}
}

// letOthersGo waits until the decision may go on, or is to end.
func (r *run) letOthersGo(ctx context.Context) {
	r.waits.Store(true)
	from := time.Now()
	if err := r.e.times.Yield(ctx); err != nil {
		r.stop.Store(math.MaxInt64)
	}
	r.since.Add(int64(time.Since(from)))
	r.yield.Store(false)
	r.waits.Store(false)
}

// panicked is a panic on its way from one goroutine to another. Its text holds no
// value of the chart.
type panicked struct{ text string }

func describe(p any) *panicked {
	text := fmt.Sprintf("%T", p)
	if err, ok := p.(runtime.Error); ok {
		text += ": " + err.Error()
	}
	return &panicked{text + "\n" + string(debug.Stack())}
}

// Error returns the type of what was panicked with and the stack.
func (p *panicked) Error() string { return p.text }

// RuntimeError marks it as one whose text can be logged.
func (*panicked) RuntimeError() {}
