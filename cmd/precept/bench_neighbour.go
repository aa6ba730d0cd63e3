package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// What a neighbour may cost at most.
const (
	neighbourPlaces = 8  // of the hostile tenant, by its policy
	neighbourTimes  = 10 // how many times its share it sends
	neighbourFactor = 1.5
	maxResident     = 1 << 30
	memoryLimit     = "512MiB" // of the Go heap of the region
	goodConnections = 2
	pause           = 10 * time.Millisecond // of a well-behaved client between two calls
)

// besideNeighbour measures a well-behaved tenant alone and beside one that floods, in
// the same region and the same rounds.
func (b *bench) besideNeighbour(ctx context.Context) error {
	d, r, err := b.hostile(ctx)
	if err != nil {
		return err
	}
	defer r.stop()
	alone, beside := &contender{name: "alone"}, &contender{name: "beside a flood"}
	for round := range b.rounds {
		b.talk.line("round %d of %d", round+1, b.rounds)
		if err := b.goodCalls(ctx, d, alone, round); err != nil {
			return err
		}
		f, err := startFlood(ctx, d, neighbourPlaces*neighbourTimes, round)
		if err != nil {
			return err
		}
		time.Sleep(time.Second) // it has begun
		err = b.goodCalls(ctx, d, beside, 100+round)
		said := f.end()
		for line := range strings.Lines(said) {
			b.talk.line("%s", strings.TrimSpace(line))
		}
		if err != nil {
			return err
		}
		time.Sleep(2 * time.Second) // what it left under way ends
	}
	if err := r.alive(); err != nil {
		return err
	}
	b.out.line("a well-behaved tenant over %d connections, alone and beside a neighbour at %d times its %d places; "+
		"%d rounds of %s", goodConnections, neighbourTimes, neighbourPlaces, b.rounds, b.time)
	procs, err := metric(r.metrics, "go_sched_gomaxprocs_threads")
	if err != nil {
		return err
	}
	b.out.line("the region with GOMAXPROCS=%.0f GOMEMLIMIT=%s; the flood with the lowest priority, as it stands for "+
		"other machines\n", procs, memoryLimit)
	b.out.line("%-24s %10s %9s %9s %9s", "", "requests", "p50 ms", "p99 ms", "max ms")
	for _, c := range []*contender{alone, beside} {
		m := c.all()
		b.out.line("%-24s %10d %9.2f %9.2f %9.2f", c.name, m.requests, m.p50(), m.p99(), ms(m.latency[len(m.latency)-1]))
	}
	factor := beside.all().p99() / alone.all().p99()
	peak := r.memory.peak.Load()
	b.out.line("\n%-24s %10.2f   allowed %.2f", "p99 beside / alone", factor, neighbourFactor)
	b.out.line("%-24s %6d MiB   allowed %d MiB, of the process and its children", "peak resident memory", peak>>20,
		maxResident>>20)
	if factor > neighbourFactor || peak > maxResident {
		b.out.line("not contained")
		return errSaid
	}
	b.out.line("contained")
	return nil
}

// all joins the runs: of a few hundred calls the slowest hundredth is two or three, so that
// of all rounds together says more than the median of theirs, and leaves no round out.
func (c *contender) all() (m measurement) {
	for _, r := range c.runs {
		m = m.add(r)
	}
	slices.Sort(m.latency)
	return m
}

// goodCalls measures the well-behaved tenant.
func (b *bench) goodCalls(ctx context.Context, d *demoRegion, c *contender, round int) error {
	ehr, err := d.ehr(goodTenant)
	if err != nil {
		return err
	}
	b.bodies = b.bodies[:0]
	for i := range b.requests / 4 {
		b.bodies = append(b.bodies, b.body(round, i))
	}
	token, err := ehr.Token(demoService)
	if err != nil {
		return err
	}
	t := target{address: strings.TrimPrefix(d.public, "http://"),
		path:   "/t/" + string(goodTenant) + "/cds-services/" + demoService,
		header: "Authorization: Bearer " + token + "\r\n", recorded: true, pause: pause, patient: true}
	var next atomic.Int64
	if _, err := t.run(ctx, b.bodies[:20], &next, goodConnections, b.time); err != nil {
		return fmt.Errorf("calling as %s: %w", goodTenant, err)
	}
	m, err := t.run(ctx, b.bodies, &next, goodConnections, b.time)
	if err != nil {
		return fmt.Errorf("calling as %s: %w", goodTenant, err)
	}
	slices.Sort(m.latency)
	c.runs = append(c.runs, m)
	return nil
}

// hostileRegion is the process of a region with a hostile tenant.
type hostileRegion struct {
	*child
	exe    string
	memory *memoryWatch
}

// hostile makes a region with a hostile tenant, and serves it.
func (b *bench) hostile(ctx context.Context) (*demoRegion, *hostileRegion, error) {
	b.now = time.Now()
	b.talk.line("making a region with a hostile tenant")
	d, err := makeHostile(ctx, filepath.Join(b.dir, "region"), neighbourPlaces, liveKinds...)
	if err != nil {
		return nil, nil, err
	}
	r, err := serveHostile(ctx, d)
	return d, r, err
}

// serveHostile serves a region with bounds of memory.
func serveHostile(ctx context.Context, d *demoRegion) (*hostileRegion, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c, err := startChild(ctx, d.private+"/readyz", d.private+"/metrics", "env", "GOMEMLIMIT="+memoryLimit, exe, "serve",
		"--config", d.config)
	if err != nil {
		return nil, err
	}
	return &hostileRegion{c, exe, watchMemory(c.cmd.Process.Pid)}, nil
}

func (r *hostileRegion) stop() {
	r.memory.stop()
	r.child.stop()
}

// alive says whether the process is still there. A restart keeps it.
func (r *hostileRegion) alive() error {
	if err := syscall.Kill(r.cmd.Process.Pid, 0); err != nil {
		return fmt.Errorf("the region's process has ended: %w", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil || strings.Contains(string(stat), ") Z ") {
		return fmt.Errorf("the region's process has ended (%w)", errNo)
	}
	return nil
}

// memoryWatch looks at the resident memory of a process and its children.
type memoryWatch struct {
	peak  atomic.Int64
	ended chan struct{}
	done  sync.WaitGroup
}

func watchMemory(pid int) *memoryWatch {
	w := &memoryWatch{ended: make(chan struct{})}
	w.done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-w.ended:
				return
			case <-tick.C:
				w.peak.Store(max(w.peak.Load(), resident(pid)))
			}
		}
	})
	return w
}

func (w *memoryWatch) stop() {
	close(w.ended)
	w.done.Wait()
}

// resident is what a process and its descendants have in memory, in bytes; what they
// map of files counts.
func resident(pid int) int64 {
	parents := map[int]int{}
	sizes := map[int]int64{}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	for _, name := range all {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(rest))
		id, err := strconv.Atoi(strings.Split(name, "/")[2])
		if err != nil || len(fields) < 22 {
			continue
		}
		parents[id], _ = strconv.Atoi(fields[1])
		pages, _ := strconv.ParseInt(fields[21], 10, 64)
		sizes[id] = pages * int64(os.Getpagesize())
	}
	sum := int64(0)
	for id, size := range sizes {
		for of := id; of > 1; of = parents[of] {
			if of == pid {
				sum += size
				break
			}
		}
	}
	return sum
}

// running is a flood in a process of its own.
type running struct {
	*child
	said *bytes.Buffer
}

func startFlood(ctx context.Context, d *demoRegion, connections, seed int) (*running, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := inGroup(ctx, exe, "bench", "flood", "--dir", d.dir, "--connections", strconv.Itoa(connections),
		"--seed", strconv.Itoa(1+seed*1_000_000))
	f := &running{&child{cmd: cmd}, &bytes.Buffer{}}
	cmd.Stdout, cmd.Stderr = f.said, f.said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the flood: %w", err)
	}
	return f, nil
}

// end ends the flood and returns what came of it.
func (f *running) end() string {
	f.stop()
	return strings.TrimSpace(f.said.String())
}
