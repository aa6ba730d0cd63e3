package main

import (
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
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

func serveCommand() *cobra.Command {
	var path string
	var adopt bool
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
			cfg.adoptHighWater = adopt
			return serve(cmd.Context(), cfg, stderr(cmd))
		},
	}
	c.Flags().StringVar(&path, "config", "", "configuration file (YAML)")
	c.Flags().BoolVar(&adopt, "adopt-high-water", false,
		"take the store as it is although the high-water mark is missing or knows more; "+
			"only after precept audit verify --store found it whole; the log will say so")
	return c
}

// serve runs a region until ctx ends or its store fails.
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
	r, err := openRegion(ctx, cfg, logTo)
	if err != nil {
		return fmt.Errorf("starting service: %w", err)
	}
	err = r.run(ctx)
	return errors.Join(err, r.close())
}

// region is everything a running node is made of: the only place where the
// concrete parts meet.
type region struct {
	cfg             *config
	lines           *logBuffer
	log             *slog.Logger
	store           audit.Store
	closeStore      func() error
	audit           *audit.Log
	engine          *engine.Engine
	server          *api.Server
	public, private net.Listener
}

func openRegion(ctx context.Context, cfg *config, logTo io.Writer) (*region, error) {
	r := &region{cfg: cfg, lines: newLogBuffer(logTo, time.Now)}
	r.log = slog.New(slog.NewJSONHandler(r.lines, nil))
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// open makes the parts, each from those before it. What was made when an error
// comes is for close.
func (r *region) open(ctx context.Context) error {
	cfg := r.cfg
	id, err := tenant.ParseRegion(cfg.Region)
	if err != nil {
		return err
	}
	kms, err := keyring.OpenFileKMS(cfg.RegionKey)
	if err != nil {
		return err
	}
	if r.store, r.closeStore, err = openStore(cfg.Store, false); err != nil {
		return err
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
	r.audit, err = audit.Open(ctx, audit.Config{Store: r.store, Ring: ring, Prefix: cfg.LogPrefix, Region: id,
		Mark: mark, AdoptMark: cfg.adoptHighWater, Build: build, Clock: time.Now, Rand: rand.Reader,
		Queue: cfg.Queue})
	if err != nil {
		return err
	}
	node, _, err := ring.Node(ctx) // durable since the log is open
	if err != nil {
		return err
	}
	signer, err := node.Key()
	if err != nil {
		return err
	}
	roots, err := cfg.roots()
	if err != nil {
		return err
	}
	if r.engine, err = engine.Open(ctx, engine.Config{Region: id, Build: build, Log: r.audit, Clock: time.Now,
		Rand: rand.Reader, Roots: roots, Node: signer, Ceiling: cfg.Ceiling.limits(),
		Elsewhere: cfg.foreign()}); err != nil {
		return err
	}
	return r.listen()
}

func (r *region) listen() (err error) {
	cert, err := r.cfg.tls()
	if err != nil {
		return err
	}
	r.server, err = api.New(api.Config{PublicURL: r.cfg.PublicURL, Log: r.log, Clock: time.Now, Build: build,
		Origins: r.cfg.Origins, TLS: cert, LogDropped: r.lines.Dropped, Timeouts: r.cfg.Timeouts.api(), Limits: r.cfg.Limits.api()}, r.engine)
	if err != nil {
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

// run serves until ctx ends, then lets running calls finish. If the store
// fails nobody knows what is durable: the process ends, and the next start
// checks.
func (r *region) run(ctx context.Context) error {
	r.log.Info("serving", "region", r.cfg.Region, "build", build, "public", r.public.Addr().String(),
		"private", r.private.Addr().String(), "tenants", len(r.cfg.Tenants),
		"gomaxprocs", runtime.GOMAXPROCS(0), "gomemlimit", debug.SetMemoryLimit(-1))
	for id, why := range r.engine.Unready() {
		r.log.Error("tenant cannot be served", "tenant", string(id), "error", why.Error())
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
	case <-ctx.Done():
		r.log.Info("stopping")
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Timeouts.Shutdown)
	defer cancel()
	return errors.Join(cause, r.server.Shutdown(stop), <-ended)
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
	}
	r.lines.Close(time.Second) // whoever reads them may have gone
	return errors.Join(errs...)
}
