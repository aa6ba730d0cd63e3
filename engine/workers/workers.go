// Package workers runs functions in goroutines that are used again. A new goroutine has
// a small stack; to grow it for the evaluation of rules, or for compressing a record,
// was a fourteenth of the cost of a call.
package workers

import (
	"sync/atomic"
	"time"
)

const (
	// maxIdle bounds the goroutines of a pool that wait for work. Each keeps the stack
	// that it grew.
	maxIdle = 64
	// patience is how long they wait.
	patience = 10 * time.Second
)

// Pool has goroutines that wait for work, or none yet. It is safe for concurrent use.
type Pool struct {
	idle  atomic.Int64
	tasks chan func()
}

// New makes a pool.
func New() *Pool { return &Pool{tasks: make(chan func())} }

// Go runs f in another goroutine, as the go statement does. How many run at once is the
// caller's to bound. F must not panic. It may end its goroutine (see [runtime.Goexit]),
// which is then not used again.
func (p *Pool) Go(f func()) {
	select {
	case p.tasks <- f:
	default: // nobody waits
		go p.work(f)
	}
}

func (p *Pool) work(f func()) {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for {
		f()
		if p.idle.Add(1) > maxIdle {
			p.idle.Add(-1)
			return
		}
		enough.Reset(patience)
		select {
		case f = <-p.tasks:
			p.idle.Add(-1)
		case <-enough.C:
			p.idle.Add(-1)
			return
		}
	}
}
