package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/precept-cds/precept/api/wire"
)

// Paths whose tokens name different audiences.
const (
	pathDiscovery = "/t/:tenant/cds-services"
	pathService   = "/t/:tenant/cds-services/:id"
	pathFeedback  = "/t/:tenant/cds-services/:id/feedback"
)

// route is one line of the routing table.
type route struct {
	method string
	path   string
	admit  func(*exchange) error // proves who calls; nil for CORS preflight and the region's own log
	answer func(*exchange) error
	lane   bool // can take power away: others' floods do not hold it up
	slow   bool // works through whole logs or packs: the answer may take Timeouts.Slow
}

func (s *Server) routes() []route {
	ehr, person := s.admitEHR, s.admitPerson
	const tenant, region = "/v1/tenants/:tenant", "/v1/log/anchor"
	return []route{
		{method: "GET", path: pathDiscovery, admit: ehr, answer: s.discovery},
		{method: "POST", path: pathService, admit: ehr, answer: s.call},
		{method: "POST", path: pathFeedback, admit: ehr, answer: s.feedback},
		{method: "OPTIONS", path: pathDiscovery, answer: s.preflight},
		{method: "OPTIONS", path: pathService, answer: s.preflight},
		{method: "OPTIONS", path: pathFeedback, answer: s.preflight},

		{method: "GET", path: tenant + "/status", admit: person, answer: s.status},
		{method: "POST", path: tenant + "/statements", admit: person, answer: s.apply, slow: true, lane: true},
		{method: "GET", path: tenant + "/statements", admit: person, answer: s.statements},
		{method: "GET", path: tenant + "/statements/:index/proof", admit: person, answer: s.statementProof},
		{method: "PUT", path: tenant + "/packs/:sha256", admit: person, answer: s.putPack, slow: true},
		{method: "GET", path: tenant + "/packs/:sha256", admit: person, answer: s.pack},

		{method: "GET", path: tenant + "/records", admit: person, answer: s.records},
		{method: "POST", path: tenant + "/records/search", admit: person, answer: s.searchRecords},
		{method: "GET", path: tenant + "/records/:id", admit: person, answer: s.record},
		{method: "GET", path: tenant + "/records/:id/explain", admit: person, answer: s.explain},
		{method: "GET", path: tenant + "/records/:id/proof", admit: person, answer: s.proof},
		{method: "GET", path: tenant + "/records/:id/evidence", admit: person, answer: s.evidence, slow: true},
		{method: "GET", path: tenant + "/verify", admit: person, answer: s.verify, slow: true},
		{method: "GET", path: tenant + "/log", admit: person, answer: s.logs},
		{method: "GET", path: tenant + "/log/releases/checkpoint", admit: person, answer: s.checkpoint},
		{method: "GET", path: tenant + "/log/releases/tile/*", admit: person, answer: s.tile},
		{method: "GET", path: tenant + "/log/releases/anchor", admit: person, answer: s.anchor},
		{method: "GET", path: tenant + "/log/audit/:month/checkpoint", admit: person, answer: s.checkpoint},
		{method: "GET", path: tenant + "/log/audit/:month/tile/*", admit: person, answer: s.tile},
		{method: "GET", path: tenant + "/log/audit/:month/anchor", admit: person, answer: s.anchor},

		{method: "GET", path: region + "/checkpoint", answer: s.regionCheckpoint},
		{method: "GET", path: region + "/witnessed", answer: s.regionWitnessed},
		{method: "GET", path: region + "/tile/*", answer: s.regionTile},
	}
}

// router is echo with our routes and nothing else: no middleware, and none of
// its own words in an answer.
func (s *Server) router() *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = s.unrouted
	for _, r := range s.routes() {
		e.Add(r.method, r.path, s.handle(r))
	}
	return e
}

func (s *Server) handle(r route) echo.HandlerFunc {
	return func(c echo.Context) error {
		s.follow(c, &r)
		return nil
	}
}

// follow takes a request through its route: who calls, then the answer, and
// the problem if there is one.
func (s *Server) follow(c echo.Context, r *route) {
	x := c.Response().Writer.(*exchange)
	x.params, x.route = c, r
	s.allowOrigin(x)
	if r.admit != nil {
		if err := r.admit(x); err != nil {
			s.refuse(x, err)
			return
		}
	}
	if c, ok := x.r.Context().Value(connKey{}).(*conn); ok && r.admit != nil {
		c.prove(x.caller.Tenant)
	}
	if x.caller.Person != "" {
		who := paced{tenant: x.caller.Tenant, person: x.caller.Person, statements: r.lane}
		if err := s.pace.take(s.cfg.Clock(), s.limits.Load(), who); err != nil {
			s.refuse(x, err)
			return
		}
	}
	if r.slow {
		// The time is that of the work, not of the connection. Clearing the deadline
		// fails only for writers that have none.
		c := http.NewResponseController(x.ResponseWriter)
		_ = c.SetWriteDeadline(time.Time{})
		ctx, stop := context.WithTimeout(x.r.Context(), s.cfg.Timeouts.Slow)
		defer stop()
		defer context.AfterFunc(s.leaving, func() {
			_ = c.SetReadDeadline(time.Now()) // likewise
			stop()
		})()
		x.r = x.r.WithContext(ctx)
	}
	if err := r.answer(x); err != nil {
		s.refuse(x, err)
	}
}

// unrouted answers what echo found no handler for.
func (s *Server) unrouted(err error, c echo.Context) {
	x := c.Response().Writer.(*exchange)
	s.allowOrigin(x)
	if he, ok := errors.AsType[*echo.HTTPError](err); ok && he.Code == http.StatusMethodNotAllowed {
		s.refuse(x, errMethod)
		return
	}
	s.refuse(x, errNoRoute)
}

// allowOrigin lets the browsers of configured origins read the answer, errors
// included. Nothing is ever allowed to all origins, nor with credentials.
func (s *Server) allowOrigin(x *exchange) {
	origins := *s.origins.Load()
	if len(origins) == 0 || !x.forEHR() {
		return
	}
	h := x.Header()
	h.Add("Vary", "Origin")
	if origin := x.r.Header.Values("Origin"); len(origin) == 1 && origins[origin[0]] {
		h.Set("Access-Control-Allow-Origin", origin[0])
		h.Set("Access-Control-Expose-Headers", wire.ReceiptHeader+", Retry-After")
	}
}

// preflight answers a browser that asks whether it may call. Browsers send no
// token here.
func (s *Server) preflight(x *exchange) error {
	h := x.Header()
	allowed := "OPTIONS, POST"
	if x.route.path == pathDiscovery {
		allowed = "GET, OPTIONS"
	}
	h.Set("Allow", allowed)
	if h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", allowed)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		h.Set("Access-Control-Max-Age", "600")
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}
