// Package workers runs functions in goroutines that are used again. A new goroutine has
// a small stack; to grow it for the evaluation of rules, or for compressing a record,
// was a fourteenth of the cost of a call.
package workers

import "sync/atomic"

// maxIdle bounds the goroutines that wait for work. Each keeps the stack that it grew.
const maxIdle = 64

var (
	idle  atomic.Int64
	tasks = make(chan func())
)

// Go runs f in another goroutine, as the go statement does. How many run at once is the
// caller's to bound. F must not panic.
func Go(f func()) {
	select {
	case tasks <- f:
	default: // nobody waits
		go work(f)
	}
}

func work(f func()) {
	for {
		f()
		if idle.Add(1) > maxIdle {
			idle.Add(-1)
			return
		}
		f = <-tasks
		idle.Add(-1)
	}
}
