package main

import (
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/precept-cds/precept/engine/sandbox"
)

// ownDescriptors are those that are not for connections of the public listener:
// the private one's, the store, the mark, certificates.
const ownDescriptors = 128

// descriptors is how many files the process may have open; Go has raised it as
// far as it goes. Below what is needed for anything at all the least is assumed.
func descriptors() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		l.Cur = 1024
	}
	return int(min(max(l.Cur, ownDescriptors+16), 1<<20))
}

// leastBodyBytes is the smallest budget for bodies: half of it holds the largest
// pack.
const leastBodyBytes = 65 << 20

// defaultBodyBytes is the budget for bodies where the configuration names none.
func defaultBodyBytes(memory int64) int64 { return min(max(memory/8, leastBodyBytes), 512<<20) }

// defaultTrialBytes is what a process that tries a pack may take where the configuration
// names nothing. A pack of some thousand rules needs a gigabyte.
func defaultTrialBytes(memory int64) int64 {
	return min(max(memory/8, 256<<20), sandbox.DefaultMemory)
}

// limitMemory has the collector keep the process within its part of the machine,
// if the environment says nothing else. A quarter is for what is not the heap's.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory() / 4 * 3)
	}
}

// memory is how much this process may use: the least of what the machine has, what
// its control groups allow, and GOMEMLIMIT.
func memory() int64 {
	least := int64(1 << 40)
	if set := debug.SetMemoryLimit(-1); os.Getenv("GOMEMLIMIT") != "" && set < math.MaxInt64 {
		least = set
	}
	groups, _ := os.ReadFile("/proc/self/cgroup") // without it there is no limit to read
	info, _ := os.ReadFile("/proc/meminfo")
	return min(least, machineMemory(string(info)), groupMemory(string(groups), os.ReadFile))
}

// machineMemory reads /proc/meminfo. Where it says nothing, a small machine is
// taken for granted.
func machineMemory(info string) int64 {
	for line := range strings.Lines(info) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			if n, err := strconv.ParseInt(f[1], 10, 52); err == nil && n > 0 {
				return n << 10
			}
		}
	}
	return 1 << 30
}

// groupMemory is the least limit of the control groups that a process is in, of
// either version, up to the root that it sees.
func groupMemory(groups string, read func(string) ([]byte, error)) int64 {
	least := int64(math.MaxInt64)
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root, file := "/sys/fs/cgroup", "memory.max"
		if parts[1] == "memory" {
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		} else if parts[1] != "" {
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			text, err := read(path.Join(root, dir, file))
			if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && n > 0 {
				least = min(least, n)
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}
