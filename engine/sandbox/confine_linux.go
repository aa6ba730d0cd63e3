package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attributes have the kernel end the process when its parent dies, and put it into a
// process group of its own.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// openFiles is enough for the runtime.
const openFiles = 32

// Confine limits this process, for good: the memory it may take beyond what it has, its
// processor time, no file beyond a verdict. It gives others precedence, for the processor as when memory
// is short.
func Confine(memory int64, cpu time.Duration) error {
	has, err := dataBytes()
	if err != nil {
		return fmt.Errorf("limiting the process: %w", err)
	}
	seconds := uint64(max(1, (cpu+time.Second-1)/time.Second))
	for _, l := range []struct {
		what int
		most uint64
	}{
		{unix.RLIMIT_DATA, has + uint64(memory)}, {unix.RLIMIT_CPU, seconds}, {unix.RLIMIT_FSIZE, maxOutput},
		{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, openFiles},
	} {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return fmt.Errorf("limiting the process: %w", err)
		}
	}
	// Not every machine lets a process say so of itself; the limits hold without.
	_ = Lower(10, false)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("800"), 0)
	return nil
}

// dataBytes is what the process has of what RLIMIT_DATA counts.
func dataBytes() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "VmData:" {
			kib, err := strconv.ParseUint(string(f[1]), 10, 52)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status says nothing of VmData")
}
