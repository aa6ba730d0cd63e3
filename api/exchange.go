package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// exchange is one request and its answer, with what the request's event will
// say. It belongs to the goroutine of the request.
type exchange struct {
	http.ResponseWriter
	r      *http.Request
	params echo.Context // path parameters only
	began  time.Time
	route  *route // nil if none matched

	share  share          // of the bytes of all bodies
	caller engine.Caller  // zero until the door has let the caller in
	policy *tenant.Policy // of an EHR's call
	status int            // 0 until the header is written
	sent   int64          // bytes of the answer's body

	service  string // only one that exists
	token    string // digest of the token's id
	tokenUse audit.TokenUse
	record   string
	cards    int // -1 if the call had none to give
	cut      int // pairs of rule and subject that were not asked
	repeated bool
	kind     string // code of the problem, if any
	cause    error  // logged, never shown
	panicked string
}

// WriteHeader notes the status of the answer.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the answer.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	n, err := x.ResponseWriter.Write(b)
	x.sent += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// param is a path parameter of the route.
func (x *exchange) param(name string) string { return x.params.Param(name) }

// reply writes a whole answer.
func (x *exchange) reply(status int, contentType string, body []byte) {
	h := x.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	x.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.Write(body) // a client that has gone away cannot be told
	}
}

// serve answers one request of the public listener.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, r: r, began: s.cfg.Clock(), cards: -1}
	s.underWay.Add(1)
	defer s.underWay.Add(-1)
	defer s.finish(x)
	defer x.letGo()
	if s.draining.Load() {
		w.Header().Set("Connection", "close") // for HTTP/2 too: it is then told that no new stream is taken
	}
	s.echo.ServeHTTP(x, r)
}

// finish runs when the answer is written, or the handler has panicked, and says
// what happened, once.
func (s *Server) finish(x *exchange) {
	if p := recover(); p != nil {
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		x.panicked = describePanic(p)
		x.kind = "internal"
		if x.status == 0 {
			s.refuse(x, errPanic)
		}
	}
	took := s.cfg.Clock().Sub(x.began)
	s.metrics.request(x, took)
	s.log(x, took)
}

// describePanic returns what can be logged of a panic: its type, the text of the
// runtime's own errors (which hold types and indexes, not content), and the
// stack, which holds no values either.
func describePanic(p any) string {
	text := fmt.Sprintf("%T", p)
	if err, ok := p.(runtime.Error); ok {
		text += ": " + err.Error()
	}
	return text + "\n" + string(debug.Stack())
}

// log writes the one event of a request.
func (s *Server) log(x *exchange, took time.Duration) {
	level := slog.LevelInfo
	if x.status >= 500 {
		level = slog.LevelError
	}
	a := make([]slog.Attr, 0, 16)
	a = append(a, slog.String("method", method(x.r.Method)), slog.String("route", x.pattern()),
		slog.Int("status", x.status), slog.Int64("bytes", x.sent),
		slog.Float64("ms", float64(took.Microseconds())/1000))
	for _, f := range []struct{ name, value string }{
		{"tenant", string(x.caller.Tenant)}, {"service", x.service}, {"client", x.caller.Client},
		{"person", string(x.caller.Person)},
		{"token", x.token}, {"record", x.record}, {"error", x.kind}, {"panic", x.panicked},
	} {
		if f.value != "" {
			a = append(a, slog.String(f.name, f.value))
		}
	}
	if x.cards >= 0 {
		a = append(a, slog.Int("cards", x.cards))
	}
	if x.cut > 0 {
		a = append(a, slog.Int("cut", x.cut))
	}
	if x.tokenUse == audit.TokenReused || x.tokenUse == audit.TokenFull {
		a = append(a, slog.String("token_use", x.tokenUse.String()))
	}
	if x.repeated {
		a = append(a, slog.Bool("repeated", true))
	}
	if x.cause != nil {
		a = append(a, slog.String("cause", x.cause.Error()))
	}
	s.cfg.Log.LogAttrs(x.r.Context(), level, "request", a...)
}

// pattern is the route as the routing table writes it; it holds nothing that a
// caller chose.
func (x *exchange) pattern() string {
	if x.route == nil {
		return "none"
	}
	return x.route.path
}

// method is a request's method if it is one that anybody knows.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return m
	}
	return "other"
}
