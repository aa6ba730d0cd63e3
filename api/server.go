// Package api is the door of Precept: HTTP, and nothing but HTTP. It proves who
// calls (EHRs by their registered keys, people by the key their tenant's trust
// root lists), bounds and reads bodies, hands each call with its Caller to the
// engine, and renders what comes back.
//
// What it guarantees: no body is read before its sender is known; every cause
// of a failed authentication, an unknown tenant included, looks the same from
// outside; an error is rendered by one table ([Server] never shows what is not
// in it) as an OperationOutcome to EHRs and an RFC 9457 problem to people;
// exactly one event is logged for a request; and no log line and no metric
// holds patient data, a token or a query string.
//
// What it does not do: it decides nothing about roles, residency or records;
// the engine does, for every caller, and whether a token that is used for two
// calls is good for the second one.
package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/sandbox"
)

// Config is what a Server needs to know.
type Config struct {
	// PublicURL is how callers reach the service, such as "https://cds.north.example" or with a path.
	// Tokens must name it as their audience; the Host header is never believed. Required, without a slash
	// at the end.
	PublicURL string
	Log       *slog.Logger     // required: one event per request
	Clock     func() time.Time // required
	Build     string           // version of the program, shown in the metrics
	// Origins are the browser origins that may call the CDS Hooks routes, such as "https://ehr.north.example".
	// None by default: EHRs call from their servers.
	Origins []string
	// TLS turns TLS on for the public listener. It needs a certificate; versions below 1.2 are refused
	// whatever it says. Nil means that something in front of the service speaks TLS.
	TLS      *tls.Config
	Timeouts Timeouts
	Limits   Limits
	// LogDropped counts the events that did not get into the log, if that can happen.
	LogDropped func() int64
	// Trials counts the processes in which packs are tried, if there are any.
	Trials func() sandbox.Counts
	// ConfigStale says that the configuration could not be read again, so that the one of before is in force.
	ConfigStale func() bool
	// Certificate says when the TLS certificate in use expires, and whether there is another one that could not
	// take its place.
	Certificate func() (expires time.Time, stale bool)
}

// Timeouts bound one connection of the public listener. A zero field has the
// default beside it.
type Timeouts struct {
	Header time.Duration // reading the request's header: 5 s
	Read   time.Duration // reading the request, body included: 30 s
	Write  time.Duration // from the end of the header to the last byte of the answer: 60 s
	Slow   time.Duration // the same where whole logs or packs are worked through: 10 min
	Idle   time.Duration // between two requests on a connection: 120 s
	// Stranger is how long the next bytes may take on a connection on which no caller was proven yet: 5 s.
	Stranger time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Header, 5 * time.Second}, {&t.Read, 30 * time.Second}, {&t.Write, time.Minute},
		{&t.Slow, 10 * time.Minute}, {&t.Idle, 2 * time.Minute}, {&t.Stranger, 5 * time.Second},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return t
}

// ErrConfig says that a Config cannot be used; the message names the field.
var ErrConfig = errors.New("service is not configured")

// maxHeader bounds a request's header, its token included.
const maxHeader = 64 << 10

// Server answers requests. Make one with [New], then call [Server.Serve] once;
// all other methods are safe at any time.
type Server struct {
	cfg       Config
	engine    *engine.Engine
	origins   atomic.Pointer[map[string]bool]
	doors     doors
	problems  problems
	metrics   *metrics
	limits    atomic.Pointer[Limits]
	pace      *pace
	strangers *strangers // who read the region's log
	shares    *shares    // of the bytes of bodies

	statementShares *shares
	turns           *shares // calls that are worked on

	echo     *echo.Echo
	public   *http.Server
	private  *http.Server
	draining atomic.Bool
	leaving  context.Context // ends with the patience for slow requests
	leave    context.CancelFunc
	underWay atomic.Int64          // requests
	guarding atomic.Pointer[guard] // of the public listener
}

// New makes a server for an engine. It is not listening yet.
func New(cfg Config, e *engine.Engine) (*Server, error) {
	u, err := url.Parse(cfg.PublicURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" ||
		u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("reading PublicURL: %w: want an absolute URL such as https://cds.north.example",
			ErrConfig)
	case strings.HasSuffix(cfg.PublicURL, "/"):
		return nil, fmt.Errorf("reading PublicURL: %w: leave out the slash at the end", ErrConfig)
	case cfg.Log == nil || cfg.Clock == nil:
		return nil, fmt.Errorf("reading Log and Clock: %w: both are required", ErrConfig)
	case cfg.TLS != nil && len(cfg.TLS.Certificates) == 0 && cfg.TLS.GetCertificate == nil:
		return nil, fmt.Errorf("reading TLS: %w: a certificate is required", ErrConfig)
	}
	_ = nobodys() // made now, so that the first stranger does not wait for them
	cfg.Timeouts = cfg.Timeouts.withDefaults()
	s := &Server{cfg: cfg, engine: e, problems: problemTable(),
		metrics: newMetrics(cfg.Build, func() int { return len(e.Unready()) })}
	s.leaving, s.leave = context.WithCancel(context.Background())
	s.shares, s.statementShares = newShares(0, errNoRoom), newShares(statementShare, errNoRoom)
	s.turns, s.strangers = newShares(0, errNoTurn), newStrangers()
	s.metrics.overruns(e.Overruns)
	s.metrics.exports(e.Exports)
	s.metrics.registry.MustRegister(storeMetrics{e.Store, e.QuotaShares}, anchorMetrics{e.Anchors, cfg.Clock})
	s.metrics.inUse(s.shares.inUse, s.statementShares.inUse, s.turns.inUse)
	if cfg.LogDropped != nil {
		s.metrics.dropped(cfg.LogDropped)
	}
	if s.pace, err = newPace(); err != nil {
		return nil, err
	}
	s.metrics.surroundings(&cfg)
	if err := s.Reload(cfg.Limits, cfg.Origins); err != nil {
		return nil, err
	}
	s.echo = s.router()
	errorLog := slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn)
	s.public = &http.Server{
		Handler: s.Public(), TLSConfig: minimumTLS(cfg.TLS), ErrorLog: errorLog, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: cfg.Timeouts.Header, ReadTimeout: cfg.Timeouts.Read, WriteTimeout: cfg.Timeouts.Write,
		IdleTimeout: cfg.Timeouts.Idle, ConnContext: withConn, ConnState: connState,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100, MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream: 256 << 10},
	}
	s.private = &http.Server{
		Handler: s.Private(), ErrorLog: errorLog, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: cfg.Timeouts.Header, ReadTimeout: cfg.Timeouts.Header, WriteTimeout: cfg.Timeouts.Read,
		IdleTimeout: cfg.Timeouts.Idle,
	}
	return s, nil
}

// Reload changes what can change while a server runs: its limits, and the origins of
// browsers that may call. What callers hold already is left to them. The error is
// ErrConfig, and nothing has changed then.
func (s *Server) Reload(l Limits, origins []string) error {
	allowed := map[string]bool{}
	for _, o := range origins {
		if o == "*" || o == "null" || strings.HasSuffix(o, "/") || !strings.Contains(o, "://") {
			return fmt.Errorf("reading Origins: %w: want origins such as https://ehr.north.example, one by one", ErrConfig)
		}
		allowed[o] = true
	}
	s.origins.Store(&allowed)
	s.setLimits(l)
	return nil
}

func minimumTLS(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		return nil
	}
	cfg = cfg.Clone()
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	return cfg
}

// Public is what callers reach.
func (s *Server) Public() http.Handler { return http.HandlerFunc(s.serve) }

// Serve answers on both listeners until Shutdown, or until one of them fails;
// then it closes both. Private is for the operators' network only: it has no
// authentication. The error is nil after Shutdown.
func (s *Server) Serve(public, private net.Listener) error {
	g := s.guarded(public, "public", s.cfg.Timeouts.Stranger, func() (int, int) {
		l := s.limits.Load()
		return l.Connections, l.PerAddress
	})
	s.guarding.Store(g)
	public = g
	private = s.guarded(private, "private", 0, func() (int, int) { return privateConnections, privateConnections })
	ended := make(chan error, 2)
	go func() { ended <- s.private.Serve(private) }()
	go func() {
		if s.public.TLSConfig != nil {
			ended <- s.public.ServeTLS(public, "", "")
			return
		}
		ended <- s.public.Serve(public)
	}()
	first := <-ended
	if !errors.Is(first, http.ErrServerClosed) {
		_ = s.public.Close()
		_ = s.private.Close()
	}
	second := <-ended
	for _, err := range []error{first, second} {
		if !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving: %w", err)
		}
	}
	return nil
}

// Announce says that the server will stop: it reports "not ready", and each answer ends
// its connection, so that callers go elsewhere. It goes on answering until Shutdown.
func (s *Server) Announce() { s.draining.Store(true) }

// Shutdown takes no new connection and waits until the calls under way are
// answered, or until ctx ends. The private listener reports "not ready" at
// once and closes last. Whatever the error, nothing listens afterwards.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Announce()
	if g := s.guarding.Load(); g != nil {
		g.takeLast(ctx)
		s.quiet(ctx, g)
	}
	var errs []error
	for _, h := range []*http.Server{s.public, s.private} {
		if err := h.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("waiting for running calls: %w", err), h.Close())
		}
	}
	return errors.Join(errs...)
}
