//go:build !linux

package sandbox

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// Confine limits the processor time of this process, for good. Its memory only the
// collector limits here.
func Confine(_ int64, cpu time.Duration) error {
	seconds := uint64(max(1, (cpu+time.Second-1)/time.Second))
	return unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: seconds})
}

// Lower does nothing where a priority is not a thread's.
func Lower(int, bool) error { return nil }
