package main

import (
	"math"
	"os"
	"testing"
)

func TestMemory(t *testing.T) {
	files := map[string]string{
		"/sys/fs/cgroup/a/b/memory.max":                      "max\n",
		"/sys/fs/cgroup/a/memory.max":                        "2000000000\n",
		"/sys/fs/cgroup/memory.max":                          "3000000000\n",
		"/sys/fs/cgroup/memory/x/memory.limit_in_bytes":      "9223372036854771712\n",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes":        "1000\n",
		"/sys/fs/cgroup/memory/broken/memory.limit_in_bytes": "much",
	}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}
	for groups, want := range map[string]int64{
		"0::/a/b\n":                            2_000_000_000,
		"0::/\n":                               3_000_000_000,
		"12:cpu:/x\n5:memory:/x\n":             1000,
		"12:cpu:/a\n":                          math.MaxInt64,
		"":                                     math.MaxInt64,
		"0::/../../a\nnonsense\n1:x\n":         2_000_000_000,
		"5:memory:/broken\n0::/gone/missing\n": 1000,
	} {
		if got := groupMemory(groups, read); got != want {
			t.Errorf("%q: %d, want %d", groups, got, want)
		}
	}
	for info, want := range map[string]int64{
		"MemFree: 1 kB\nMemTotal:       24683352 kB\n": 24683352 << 10,
		"MemTotal: 99999999999999999999 kB\n":          1 << 30,
		"":                                             1 << 30,
	} {
		if got := machineMemory(info); got != want {
			t.Errorf("%q: %d, want %d", info, got, want)
		}
	}
	for memory, want := range map[int64]int64{1: leastBodyBytes, 1 << 30: 128 << 20, 1 << 40: 512 << 20} {
		if got := defaultBodyBytes(memory); got != want {
			t.Errorf("memory %d: budget %d, want %d", memory, got, want)
		}
	}
	if m := memory(); m < 64<<20 || m > 1<<40 {
		t.Errorf("this machine has %d bytes", m)
	}
}
