package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/fixtures"
)

func benchCommand() *cobra.Command {
	b := &bench{}
	c := &cobra.Command{
		Use:   "bench --opa FILE",
		Short: "measure this program beside a plain OPA server on this machine",
		Long: `Bench starts, in turn and several times, the floor (a server that reads a body, checks it
as strict JSON and hashes it), Precept with everything on, and a plain OPA server with and
without decision logs. All get the same patients with the same clinical decisions to make, over
the same number of connections. Before it measures it checks that the decisions are equal.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b.out, b.talk = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return b.run(cmd.Context())
		},
	}
	fl := c.Flags()
	fl.StringVar(&b.opa, "opa", "bin/opa", "OPA program to measure against")
	fl.IntVar(&b.rounds, "rounds", 5, "times each server is measured")
	fl.DurationVar(&b.time, "time", 6*time.Second, "longest time of one measurement")
	fl.IntVar(&b.requests, "requests", 8000, "most requests of one measurement, all different")
	fl.IntVar(&b.connections, "connections", 8, "connections at once")
	c.AddCommand(floorCommand())
	return c
}

type bench struct {
	opa                           string
	rounds, requests, connections int
	time                          time.Duration
	out, talk                     io.Writer

	dir    string
	region *demoRegion
	bodies [][]byte
}

// contender is one of the servers that are measured.
type contender struct {
	name  string
	start func(ctx context.Context) (*child, error)
	load  func(*child) (target, error)
	runs  []measurement
}

func (b *bench) run(ctx context.Context) (err error) {
	if _, err := os.Stat(b.opa); err != nil {
		return fmt.Errorf("finding OPA: %w; make bench builds it", err)
	}
	if b.dir, err = os.MkdirTemp("", "precept-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	fmt.Fprintln(b.talk, "making a region")
	if b.region, err = makeDemoRegion(ctx, filepath.Join(b.dir, "region"), io.Discard); err != nil {
		return err
	}
	if err := b.region.stop(); err != nil {
		return err
	}
	fmt.Fprintf(b.talk, "making %d different requests\n", b.requests)
	for i := range b.requests {
		b.bodies = append(b.bodies, current(fixtures.Standard(1, i), b.region.now))
	}
	contenders := []*contender{
		{name: "floor", start: b.startFloor, load: b.loadFloor},
		{name: "precept", start: b.startPrecept, load: b.loadPrecept},
		{name: "opa, decision logs", start: func(ctx context.Context) (*child, error) { return b.startOPA(ctx, true) }, load: b.loadOPA},
		{name: "opa, no logs", start: func(ctx context.Context) (*child, error) { return b.startOPA(ctx, false) }, load: b.loadOPA},
	}
	if err := b.checkEqual(ctx); err != nil {
		return err
	}
	for round := range b.rounds {
		for _, c := range contenders {
			fmt.Fprintf(b.talk, "round %d of %d: %s\n", round+1, b.rounds, c.name)
			m, err := b.measure(ctx, c)
			if err != nil {
				return fmt.Errorf("measuring %s: %w", c.name, err)
			}
			c.runs = append(c.runs, m)
		}
	}
	b.report(contenders)
	return nil
}

func (b *bench) measure(ctx context.Context, c *contender) (measurement, error) {
	p, err := c.start(ctx)
	if err != nil {
		return measurement{}, err
	}
	defer p.stop()
	t, err := c.load(p)
	if err != nil {
		return measurement{}, err
	}
	// A few requests first: connections, caches, the heap's first growth.
	warm := min(200, len(b.bodies)/10)
	if _, err := t.run(ctx, b.bodies[:warm], b.connections, b.time); err != nil {
		return measurement{}, err
	}
	before, err := p.usage()
	if err != nil {
		return measurement{}, err
	}
	m, err := t.run(ctx, b.bodies[warm:], b.connections, b.time)
	if err != nil {
		return measurement{}, err
	}
	after, err := p.usage()
	if err != nil {
		return measurement{}, err
	}
	m.cpu = (after.cpu - before.cpu) / time.Duration(m.requests)
	m.allocs = (after.mallocs - before.mallocs) / float64(m.requests)
	return m, nil
}

func (b *bench) report(contenders []*contender) {
	fmt.Fprintf(b.out, "%d connections, bodies of %d kB, %d rounds in turn; medians\n\n", b.connections, len(b.bodies[0])/1000, b.rounds)
	fmt.Fprintf(b.out, "%-20s %10s %9s %9s %12s %12s\n", "", "requests/s", "p50 ms", "p99 ms", "CPU ms/call", "allocs/call")
	for _, c := range contenders {
		fmt.Fprintf(b.out, "%-20s %10.0f %9.2f %9.2f %12.3f %12.0f\n", c.name, c.median(measurement.rate), c.median(measurement.p50),
			c.median(measurement.p99), c.median(measurement.cpuMS), c.median(func(m measurement) float64 { return m.allocs }))
	}
	floor, precept, logs, plain := contenders[0], contenders[1], contenders[2], contenders[3]
	fmt.Fprintf(b.out, "\nCPU per call: %.1f times less than OPA with decision logs, %.1f times less than OPA without\n",
		ratio(logs, precept, measurement.cpuMS), ratio(plain, precept, measurement.cpuMS))
	fmt.Fprintf(b.out, "throughput: %.1f times OPA with decision logs, %.1f times OPA without, cost %.1f times the floor\n",
		ratio(precept, logs, measurement.rate), ratio(precept, plain, measurement.rate), ratio(precept, floor, measurement.cpuMS))
}

// ratio is the median of the ratios of the same round: the machine's speed
// drifts, and both drift with it.
func ratio(a, b *contender, of func(measurement) float64) float64 {
	var all []float64
	for i := range a.runs {
		all = append(all, of(a.runs[i])/of(b.runs[i]))
	}
	return median(all)
}

func (c *contender) median(of func(measurement) float64) float64 {
	var all []float64
	for _, m := range c.runs {
		all = append(all, of(m))
	}
	return median(all)
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func (b *bench) startPrecept(ctx context.Context) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startChild(ctx, b.region.private+"/readyz", b.region.private+"/metrics", exe, "serve", "--config", b.region.config)
}

func (b *bench) loadPrecept(*child) (target, error) {
	ehr, err := b.region.ehr("north")
	if err != nil {
		return target{}, err
	}
	token, err := ehr.Token("orders")
	if err != nil {
		return target{}, err
	}
	return target{address: strings.TrimPrefix(b.region.public, "http://"), path: "/t/north/cds-services/orders", header: "Authorization: Bearer " + token + "\r\n",
		require: wire.ReceiptHeader}, nil
}
