package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/sandbox"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/keys"
)

func serveCommand() *cobra.Command {
	var path string
	var adopt, clock bool
	c := &cobra.Command{
		Use:     "serve --config FILE",
		Short:   "answer the EHRs and the people of a region",
		Example: "  precept serve --config /etc/precept/precept.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return errors.New("starting service: --config is required; precept demo makes a region " +
					"with a configuration to start from, and docs/configuration.md explains every key")
			}
			cfg, err := readConfig(path)
			if err != nil {
				return err
			}
			cfg.adoptHighWater, cfg.adoptClock = adopt, clock
			return serve(cmd.Context(), cfg, stderr(cmd))
		},
	}
	c.Flags().StringVar(&path, "config", "", "configuration file (YAML)")
	c.Flags().BoolVar(&adopt, "adopt-high-water", false,
		"take the store as it is although the high-water mark is missing or knows more; "+
			"only after precept audit verify --store found it whole; the log will say so")
	c.Flags().BoolVar(&clock, "adopt-clock", false, "take the clock as right although the newest records lie in its "+
		"future; only after a look at it; the log will say so")
	return c
}

// serve runs a region until ctx ends, its store fails, or it is to start anew. SIGHUP
// has the configuration and the certificate read again, SIGUSR2 the program started
// anew.
func serve(ctx context.Context, cfg *config, logTo io.Writer) error {
	// What lives long is small against what each call makes: collecting less
	// often costs some two hundred megabytes and saves a tenth of the CPU.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
	limitMemory()
	// Without this, writing to a standard error that nobody reads any more ends the process.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	r, err := openRegion(ctx, cfg, logTo)
	if err != nil {
		return needsHands{fmt.Errorf("starting service: %w", err)}
	}
	// What takes long computes in threads of a low priority (see package decide), each of which
	// holds one of these for as long as the system lets it wait. How much is done at once was
	// derived from the number of processors before.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + max(1, runtime.GOMAXPROCS(0)-1) + cfg.Overruns)
	}
	stop := make(chan struct{})
	defer close(stop)
	go r.obey(signals, stop)
	err = r.run(ctx)
	again := errors.Is(err, errAgain)
	if again {
		if err.Error() != errAgain.Error() { // it starts anew all the same
			r.log.Error("stopping", "error", err.Error())
		}
		err = nil
	}
	if err = errors.Join(err, r.closeWithin(max(cfg.Timeouts.Shutdown, leastClosing))); again && ctx.Err() == nil {
		return errors.Join(err, startAnew(time.Now()))
	}
	return err
}

// obey does what signals ask for.
func (r *region) obey(signals <-chan os.Signal, stop <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGUSR2 {
				r.restart("SIGUSR2")
				continue
			}
			r.reload()
			select {
			case r.look <- struct{}{}:
			default: // it is about to look
			}
		case <-stop:
			return
		}
	}
}

// region is everything a running node is made of: the only place where the
// concrete parts meet.
type region struct {
	cfg             *config
	lines           *logBuffer
	log             *slog.Logger
	level           slog.LevelVar
	store           audit.Store
	closeStore      func() error
	checked         time.Time // when the store was last found whole; zero if not known
	audit           *audit.Log
	node            keys.Private // the region's own key
	trials          *sandbox.Runner
	engine          *engine.Engine
	server          *api.Server
	public, private net.Listener
	certificate     *certificate // nil without TLS

	live  atomic.Pointer[config] // cfg, with what has changed since the start
	stale atomic.Bool            // the file could not be read again
	look  chan struct{}          // for the certificate's files to be looked at
	again chan string            // why the program is to start anew
}

func openRegion(ctx context.Context, cfg *config, logTo io.Writer) (*region, error) {
	r := &region{cfg: cfg, lines: newLogBuffer(logTo, time.Now), look: make(chan struct{}, 1), again: make(chan string, 1)}
	r.live.Store(cfg)
	r.level.Set(cfg.level())
	r.log = slog.New(slog.NewJSONHandler(r.lines, &slog.HandlerOptions{Level: &r.level}))
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// found says what a scrub of the store found.
func (r *region) found(t tenant.ID, findings []audit.Finding) {
	f := findings[0]
	r.log.Error("store damaged", "tenant", string(t), "findings", len(findings), "log", string(f.Log), "index", f.Index,
		"check", f.Check, "detail", f.Detail)
}

// check looks at the store before it is opened. A store whose check is not done in time is opened all the same: what is
// damaged in it ends the process when it is met.
func (r *region) check(ctx context.Context) error {
	c := r.cfg.Store
	info, err := os.Stat(c.Path)
	if c.Kind != boltStore || err != nil || info.Size() == 0 {
		r.checked = time.Now() // there is nothing yet, or opening it says what is wrong
		return nil
	}
	full, quick := quickEnough(c.Path, time.Now())
	began := time.Now()
	report, err := checkStore(ctx, c.Path, quick, cmp.Or(c.CheckTime, defaultCheckTime))
	switch {
	case errors.Is(err, errCheckLate) && ctx.Err() == nil:
		r.log.Warn("store not checked to its end", "after", time.Since(began).String())
		return nil
	case err != nil:
		return err
	}
	if r.checked = full; !quick {
		r.checked = began
	}
	r.log.Debug("store checked", "quick", quick, "pages", report.Read, "ms", time.Since(began).Milliseconds(), "notes",
		report.Notes)
	return nil
}

// open makes the parts, each from those before it. What was made when an error
// comes is for close.
func (r *region) open(ctx context.Context) error {
	if err := r.openLog(ctx); err != nil {
		return err
	}
	cfg := r.cfg
	roots, err := cfg.roots()
	if err != nil {
		return err
	}
	r.trials = sandbox.New(cfg.Trials.limits())
	if r.engine, err = engine.Open(ctx, engine.Config{Region: tenant.Region(cfg.Region), Build: build, Log: r.audit,
		Clock: time.Now, Rand: rand.Reader, Roots: roots, Node: r.node, Ceiling: cfg.Ceiling.limits(),
		Prove: r.trials.Try, Overruns: cfg.Overruns, Exports: cfg.Limits.Exports, Restart: r.restart,
		Elsewhere: cfg.foreign()}); err != nil {
		return err
	}
	return r.listen()
}

// openLog opens the store with the keys of the region; what is new is made.
func (r *region) openLog(ctx context.Context) error {
	cfg := r.cfg
	id, err := tenant.ParseRegion(cfg.Region)
	if err != nil {
		return err
	}
	kms, err := keyring.OpenFileKMS(cfg.RegionKey)
	if err != nil {
		return err
	}
	unchecked := r.check(ctx)
	if errors.Is(unchecked, audit.ErrDamaged) {
		return unchecked
	}
	if r.store, r.closeStore, err = openStore(ctx, cfg.Store, false); err != nil || unchecked != nil {
		return cmp.Or(err, unchecked) // if another process has it open, opening it says so
	}
	ring, err := keyring.New(keyring.Config{Region: cfg.Region, KMS: kms, Lookup: audit.KeyLookup(r.store),
		Rand: rand.Reader})
	if err != nil {
		return err
	}
	var mark audit.Mark
	if cfg.Store.HighWater != "" {
		mark = audit.MarkFile(cfg.Store.HighWater)
	}
	anchoring, err := r.anchoring()
	if err != nil {
		return err
	}
	r.audit, err = audit.Open(ctx, audit.Config{Store: r.store, Ring: ring, Prefix: cfg.LogPrefix, Region: id,
		Mark: mark, AdoptMark: cfg.adoptHighWater, Build: build, Clock: time.Now, Rand: rand.Reader,
		Ticks: ticks, MaxJump: cfg.MaxClockJump, AdoptClock: cfg.adoptClock,
		Queue: cfg.Queue, Tokens: cfg.Tokens, MinFree: cfg.Store.MinFreeBytes, Patience: cfg.Store.Patience,
		Scrub:  audit.Scrubbing{Every: cfg.Store.ScrubEvery, Rate: cfg.Store.ScrubBytes, Found: r.found},
		Anchor: anchoring})
	if err != nil {
		return err
	}
	node, _, err := ring.Node(ctx) // durable since the log is open
	if err != nil {
		return err
	}
	r.node, err = node.Key()
	return err
}

func (r *region) listen() (err error) {
	cfg := api.Config{PublicURL: r.cfg.PublicURL, Log: r.log, Clock: time.Now, Build: build, Origins: r.cfg.Origins,
		LogDropped: r.lines.Dropped, Trials: r.trials.Counts, ConfigStale: r.stale.Load,
		Timeouts: r.cfg.Timeouts.api(), Limits: r.cfg.Limits.api()}
	if r.cfg.TLS.Cert != "" {
		if r.certificate, err = openCertificate(r.cfg.TLS, time.Now, r.log); err != nil {
			return err
		}
		cfg.TLS, cfg.Certificate = r.certificate.config(), r.certificate.state
	}
	if r.server, err = api.New(cfg, r.engine); err != nil {
		return err
	}
	if r.public, r.private = r.cfg.listening[0], r.cfg.listening[1]; r.public != nil {
		return nil
	}
	if r.public, err = net.Listen("tcp", r.cfg.Listen); err != nil {
		return fmt.Errorf("listening: %w; is another precept running? set listen in the configuration", err)
	}
	if r.private, err = net.Listen("tcp", r.cfg.PrivateListen); err != nil {
		return fmt.Errorf("listening for operators: %w; set private_listen in the configuration", err)
	}
	return nil
}

// errAgain says that a region ended in order to be started anew.
var errAgain = errors.New("to be started anew")

// run serves until ctx ends or the program is to start anew (errAgain), then lets
// running calls finish. If the store fails nobody knows what is durable: the process
// ends, and the next start checks.
func (r *region) run(ctx context.Context) error {
	r.log.Info("serving", "region", r.cfg.Region, "build", build, "public", r.public.Addr().String(),
		"private", r.private.Addr().String(), "tenants", len(r.cfg.Tenants),
		"gomaxprocs", runtime.GOMAXPROCS(0), "gomemlimit", debug.SetMemoryLimit(-1))
	for id, why := range r.engine.Unready() {
		r.log.Error("tenant cannot be served", "tenant", string(id), "error", why.Error())
	}
	if r.certificate != nil {
		following, stop := context.WithCancel(ctx)
		defer stop()
		go r.certificate.follow(following, certificatePoll, r.look)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.server.Serve(r.public, r.private) }()
	var cause error
	select {
	case err := <-ended:
		return err
	case <-r.audit.Failed():
		cause = fmt.Errorf("serving: %w", r.audit.Err())
		r.log.Error("store failed", "error", cause.Error())
	case reason := <-r.again:
		cause = errAgain
		r.log.Warn("stopping, to start anew", "reason", reason)
		r.announce()
	case <-ctx.Done():
		r.log.Info("stopping")
		r.announce()
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.live.Load().Timeouts.Shutdown)
	defer cancel()
	return errors.Join(cause, r.server.Shutdown(stop), <-ended)
}

// announce says that the service will stop, and goes on until those who send requests
// have had the time to notice.
func (r *region) announce() {
	r.server.Announce()
	select {
	case <-time.After(r.live.Load().Timeouts.Drain):
	case <-r.audit.Failed():
	}
}

// leastClosing is how long closing may take in any case.
const leastClosing = 10 * time.Second

// closeWithin closes everything, for as long as limit. A disk that hangs does not keep
// the process: what was acknowledged is on it.
func (r *region) closeWithin(limit time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- r.close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(limit):
		return fmt.Errorf("closing the region: not done after %s; does the disk of the store hang?", limit)
	}
}

func (r *region) close() error {
	var errs []error
	for _, l := range []net.Listener{r.public, r.private} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if r.engine != nil {
		r.engine.Close()
	}
	if r.audit != nil {
		errs = append(errs, r.audit.Close())
	}
	if r.closeStore != nil {
		errs = append(errs, r.closeStore())
		if r.cfg.Store.Kind == boltStore && r.audit != nil && errors.Join(append(errs, r.audit.Err())...) == nil {
			errs = append(errs, noteChecked(r.cfg.Store.Path, r.checked))
		}
	}
	r.lines.Close(time.Second) // whoever reads them may have gone
	return errors.Join(errs...)
}
