package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// costs makes runs that each needed so many milliseconds of CPU and of time
// per call.
func costs(perCall ...float64) *contender {
	c := &contender{name: "other"}
	for _, ms := range perCall {
		d := time.Duration(ms * float64(time.Millisecond))
		c.runs = append(c.runs, measurement{requests: 1000, elapsed: 1000 * d, cpu: d})
	}
	return c
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name            string
		now, old, again *contender
		status          int
		says            string
	}{
		{"the same", costs(2, 2, 2, 2, 2), costs(2, 2, 2, 2, 2), costs(2, 2, 2, 2, 2), 0, "not slower"},
		{"faster", costs(1, 1, 1, 1, 1), costs(2, 2, 2, 2, 2), costs(2, 2, 2, 2, 2), 0, "not slower"},
		{"within the tolerance", costs(2.08, 2.08, 2.08, 2.08, 2.08), costs(2, 2, 2, 2, 2), costs(2, 2, 2, 2, 2), 0,
			"not slower"},
		{"beyond it", costs(2.12, 2.12, 2.12, 2.12, 2.12), costs(2, 2, 2, 2, 2), costs(2, 2, 2, 2, 2), 1, "\nslower"},
		{"beyond it, but so is the other beside itself", costs(2.12, 2.12, 2.12, 2.12, 2.12),
			costs(1.95, 1.95, 1.95, 1.95, 1.95),
			costs(2.05, 2.05, 2.05, 2.05, 2.05), 0, "not slower"},
		{"one bad round of five", costs(2, 9, 2, 2, 2), costs(2, 2, 2, 2, 2), costs(2, 2, 2, 9, 2), 0, "not slower"},
		{"the machine drifts", costs(2.5, 3.5, 4.5, 5.5, 6.5), costs(2.4, 3.6, 4.4, 5.6, 6.4),
			costs(2.6, 3.4, 4.6, 5.4, 6.6), 0, "not slower"},
		{"slower on a busy machine", costs(9, 9, 9, 9, 9), costs(2, 2, 2, 2, 2), costs(3, 3, 3, 3, 3), 1, "\nslower"},
		{"a busy machine", costs(2, 2, 2, 2, 2), costs(2, 2, 2, 2, 2), costs(3, 3, 3, 3, 3), 2, "apart"},
		{"nothing measured", costs(0, 0, 0, 0, 0), costs(0, 0, 0, 0, 0), costs(0, 0, 0, 0, 0), 2, "too little"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			b := &bench{out: &printer{w: &out}}
			err := b.judge(c.now, c.old, c.again)
			if got := exitStatus(err); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			if err != nil {
				out.WriteString(err.Error())
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("it lacks %q:\n%s", c.says, &out)
			}
		})
	}
}

// TestSideBySide has two programs make their regions, and measures both: what
// bench --against does but for building one of them.
func TestSideBySide(t *testing.T) {
	program := preceptProgram(t)
	var both []*contender
	for _, name := range []string{"one", "two"} {
		s, err := settle(t.Context(), program, filepath.Join(t.TempDir(), "region"))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, &contender{name: name, start: s.start, load: s.load})
	}
	b := &bench{rounds: 2, requests: 40, connections: 2, time: 5 * time.Second, now: time.Now(),
		talk: &printer{w: t.Output()}}
	if err := b.measureAll(t.Context(), both, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, c := range both {
		if len(c.runs) != b.rounds {
			t.Fatalf("%s: %d runs, want %d", c.name, len(c.runs), b.rounds)
		}
		for _, m := range c.runs {
			if m.requests != 36 || len(m.latency) != 36 || m.cpuMS() <= 0 || m.rate() <= 0 || m.allocs <= 0 {
				t.Errorf("%s: %d requests of the 36 after the first, %d latencies, %v CPU, %v allocations", c.name,
					m.requests, len(m.latency), m.cpu, m.allocs)
			}
		}
	}
	// The same requests again would measure something else.
	b.rounds = 1
	if err := b.measureAll(t.Context(), both[:1], time.Second); err == nil ||
		!strings.Contains(err.Error(), "repeated") {
		t.Errorf("measuring with requests that were sent before: %v", err)
	}
}

func TestSettleSaysWhatTheProgramSaid(t *testing.T) {
	if _, err := settle(t.Context(), preceptProgram(t), t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "not made by a demo") {
		t.Errorf("making a region in a folder that is there: %v", err)
	}
}
