package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/fixtures"
)

func benchCommand() *cobra.Command {
	b := &bench{}
	c := &cobra.Command{
		Use:   "bench --opa FILE | --against COMMIT | --neighbour | --soak TIME",
		Short: "measure this program beside a plain OPA server, an earlier version of itself, or a hostile tenant",
		Long: `Bench starts, in turn and several times, the floor (a server that reads a body, checks it
as strict JSON and hashes it), Precept with everything on, and a plain OPA server with and
without decision logs. All get the same patients with the same clinical decisions to make, over
the same number of connections. Before it measures it checks that the decisions are equal.

With --against it builds the program of another commit of this repository and measures both, in
turn and on the same requests, each with a region that it made for itself. The other program runs
twice in every round: how far its two runs lie apart is the spread of the machine. The exit status
is 1 if this program needs more time or CPU per call than the other by more than 5 % and that spread.

With --neighbour it measures a well-behaved tenant alone and beside one that floods the region with
rules, uploads, cases, connections and bodies made to use it up. The exit status is 1 if the slowest
hundredth of calls takes more than 1.5 times as long, or the region more than 1 GiB of memory. With
--soak the flood goes on for so long, a rule is suspended and resumed 1,000 times meanwhile, and then
the log is verified; the exit status is 1 if a suspension took a second, or the memory was exceeded.`,
		Example: "  precept bench --against HEAD~1 --rounds 9",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			b.out, b.talk = stdout(cmd), stderr(cmd)
			if b.dir, err = os.MkdirTemp("", "precept-bench-"); err != nil {
				return fmt.Errorf("making a folder for the benchmark: %w", err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
			switch {
			case b.against != "":
				return b.besideCommit(cmd.Context())
			case b.neighbour:
				return b.besideNeighbour(cmd.Context())
			case b.soak > 0:
				return b.soakRegion(cmd.Context())
			}
			return b.besideOPA(cmd.Context())
		},
	}
	fl := c.Flags()
	fl.StringVar(&b.opa, "opa", "bin/opa", "OPA program to measure against")
	fl.StringVar(&b.against, "against", "", "commit of the repository in this folder to measure against")
	fl.BoolVar(&b.neighbour, "neighbour", false, "measure beside a hostile tenant")
	fl.DurationVar(&b.soak, "soak", 0, "how long to throw everything hostile at a region")
	fl.IntVar(&b.rounds, "rounds", 5, "times each server is measured")
	fl.DurationVar(&b.time, "time", 6*time.Second, "longest time of one measurement")
	fl.IntVar(&b.requests, "requests", 8000, "most requests of one measurement, all different")
	fl.IntVar(&b.connections, "connections", 8, "connections at once")
	c.AddCommand(floorCommand(), floodCommand())
	return c
}

type bench struct {
	opa, against                  string
	rounds, requests, connections int
	time, soak                    time.Duration
	neighbour                     bool
	out, talk                     *printer

	dir    string
	now    time.Time // of the requests
	bodies [][]byte  // of the round
}

// contender is one of the servers that are measured.
type contender struct {
	name  string
	start func(ctx context.Context) (*child, error)
	load  func(*child) (target, error)
	runs  []measurement
}

// body is a request that no other round and no other i has: Precept answers a
// repeated one from its record, which is not what is measured.
func (b *bench) body(round, i int) []byte { return current(fixtures.Standard(int64(round), i), b.now) }

// measureAll measures every contender in each round, with the same requests.
// All servers of a round live at once but work in turn, for a slice of the time
// each, back and forth: whatever else slows the machine slows all of them.
func (b *bench) measureAll(ctx context.Context, contenders []*contender, slice time.Duration) error {
	for round := range b.rounds {
		b.talk.line("round %d of %d", round+1, b.rounds)
		b.bodies = b.bodies[:0]
		for i := range b.requests {
			b.bodies = append(b.bodies, b.body(round, i))
		}
		if err := b.measureRound(ctx, contenders, slice); err != nil {
			return err
		}
		contenders = slices.Clone(contenders)
		slices.Reverse(contenders)
	}
	return nil
}

func (b *bench) measureRound(ctx context.Context, contenders []*contender, slice time.Duration) error {
	var live []*trial
	defer func() {
		for _, r := range live {
			r.server.stop()
		}
	}()
	for _, c := range contenders {
		server, err := c.start(ctx)
		if err != nil {
			return fmt.Errorf("starting %s: %w", c.name, err)
		}
		live = append(live, &trial{contender: c, server: server})
	}
	for _, r := range live {
		if err := b.warm(ctx, r); err != nil {
			return fmt.Errorf("starting %s: %w", r.name, err)
		}
	}
	for used := time.Duration(0); used < b.time; used += slice {
		for _, r := range live {
			if int(r.next.Load()) >= len(b.bodies) {
				continue // it was quick
			}
			m, err := r.target.run(ctx, b.bodies, &r.next, b.connections, min(slice, b.time-used))
			if err != nil {
				return fmt.Errorf("measuring %s: %w", r.name, err)
			}
			r.measurement = r.add(m)
		}
		slices.Reverse(live)
	}
	for _, r := range live {
		if err := r.end(); err != nil {
			return fmt.Errorf("measuring %s: %w", r.name, err)
		}
	}
	return nil
}

// trial is one server in one round.
type trial struct {
	*contender
	measurement
	server *child
	target target
	next   atomic.Int64 // first body it was not sent
	before usage
}

// warm sends a few requests first: connections, caches, the heap's first
// growth.
func (b *bench) warm(ctx context.Context, r *trial) (err error) {
	if r.target, err = r.load(r.server); err != nil {
		return err
	}
	few := b.bodies[:min(200, len(b.bodies)/10)]
	if _, err := r.target.run(ctx, few, &r.next, b.connections, b.time); err != nil {
		return err
	}
	r.next.Store(int64(len(few)))
	r.before, err = r.server.usage()
	return err
}

func (r *trial) end() error {
	after, err := r.server.usage()
	if err != nil {
		return err
	}
	if r.requests == 0 {
		return errors.New("nothing was measured; give a longer --time and more --requests")
	}
	r.cpu = (after.cpu - r.before.cpu) / time.Duration(r.requests)
	r.allocs = (after.mallocs - r.before.mallocs) / float64(r.requests)
	slices.Sort(r.latency)
	r.runs = append(r.runs, r.measurement)
	return nil
}

// table prints the medians of every contender.
func (b *bench) table(contenders []*contender) {
	b.out.line("%d connections, bodies of %d kB, %d rounds in turn; medians\n", b.connections, len(b.bodies[0])/1000,
		b.rounds)
	b.out.line("%-24s %10s %9s %9s %12s %12s", "", "requests/s", "p50 ms", "p99 ms", "CPU ms/call", "allocs/call")
	for _, c := range contenders {
		allocs := c.median(func(m measurement) float64 { return m.allocs })
		b.out.line("%-24s %10.0f %9.2f %9.2f %12.3f %12.0f", c.name, c.median(measurement.rate),
			c.median(measurement.p50), c.median(measurement.p99), c.median(measurement.cpuMS), allocs)
	}
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
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

// site is a Precept and a region that is there for it to serve.
type site struct {
	program, config string // the configuration's path
	tenant, service string
	ehr             *client.EHR
	listen          string // address of the server that was started last
}

// start serves the region at addresses that are free now: those of its
// configuration may be taken. Tokens name the public URL, which stays.
func (s *site) start(ctx context.Context) (*child, error) {
	text, err := os.ReadFile(s.config)
	if err != nil {
		return nil, err
	}
	var cfg map[string]any // of another version, perhaps
	if err := yaml.Unmarshal(text, &cfg); err != nil {
		return nil, err
	}
	private, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if s.listen, err = freeAddress(); err != nil {
		return nil, err
	}
	cfg["listen"], cfg["private_listen"] = s.listen, private
	if text, err = yaml.Marshal(cfg); err != nil {
		return nil, err
	}
	here := filepath.Join(filepath.Dir(s.config), "bench.yaml") // paths in it are relative to it
	if err := os.WriteFile(here, text, 0o600); err != nil {
		return nil, err
	}
	return startChild(ctx, "http://"+private+"/readyz", "http://"+private+"/metrics",
		s.program, "serve", "--config", here)
}

func (s *site) load(*child) (target, error) {
	token, err := s.ehr.Token(s.service)
	if err != nil {
		return target{}, err
	}
	return target{address: s.listen, path: "/t/" + s.tenant + "/cds-services/" + s.service,
		header: "Authorization: Bearer " + token + "\r\n", recorded: true}, nil
}
