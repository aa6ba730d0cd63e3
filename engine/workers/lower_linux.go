package workers

import "golang.org/x/sys/unix"

// lowest is the lowest usual priority of a thread.
const lowest = 19

// Lower gives the thread of the calling goroutine the lowest usual priority, for good: the
// goroutine has to be locked to it and to end so. Where the system does not allow that, the
// thread keeps the priority that it has.
func Lower() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), lowest) }
