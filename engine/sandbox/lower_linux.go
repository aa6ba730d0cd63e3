package sandbox

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Lower makes the threads of this process nice, and so those that they start; with idle
// they run only when nothing else wants to. In Linux each thread has a priority of its
// own, and a Go program has several before its main begins.
func Lower(nice int, idle bool) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("lowering the priority: %w", err)
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err == nil {
			err = unix.Setpriority(unix.PRIO_PROCESS, id, nice)
		}
		if err == nil && idle {
			err = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
		}
		if err != nil && err != unix.ESRCH { // it has ended
			return fmt.Errorf("lowering the priority: %w", err)
		}
	}
	return nil
}
