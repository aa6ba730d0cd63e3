package api

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/tenant"
)

// maxTenantLabels bounds how many tenants have series of their own; the rest
// are counted together as "other".
const maxTenantLabels = 200

// metrics are the counters of one server, in a registry of its own. Labels
// hold routes, status classes, codes and names of tenants that exist: nothing
// that a stranger chose and nothing about a patient.
type metrics struct {
	registry        *prometheus.Registry
	requests        *prometheus.CounterVec
	seconds         *prometheus.HistogramVec
	unauthenticated *prometheus.CounterVec
	limits          *prometheus.CounterVec
	records         *prometheus.CounterVec
	cards           *prometheus.CounterVec
	cut             *prometheus.CounterVec
	capped          *prometheus.CounterVec
	failed          *prometheus.CounterVec
	turned          *prometheus.CounterVec
	verified        *prometheus.CounterVec
	tokens          *prometheus.CounterVec

	mu      sync.Mutex
	tenants map[tenant.ID]bool
}

// newMetrics makes the metrics of a build; unready counts the tenants that cannot be
// served as their statements say.
func newMetrics(build string, unready func() int) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("precept_requests_total", "Requests answered.", "route", "status", "tenant"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "precept_request_seconds", Help: "Time from the request's header to the end of the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "status", "tenant"}),
		unauthenticated: counter("precept_refusals_unauthenticated_total",
			"Requests whose sender could not be proven, by reason.", "reason"),
		limits: counter("precept_limits_hit_total", "Requests refused because of a limit, by problem code.",
			"limit"),
		records: counter("precept_records_total",
			"Records made durable for calls of EHRs: decisions, feedback, refusals.", "kind", "tenant"),
		cards: counter("precept_cards_total",
			"Cards given, by indicator; repeated answers not counted again.", "indicator", "tenant"),
		cut: counter("precept_cut_total",
			"Pairs of rule and subject that were not asked: deadline, limit, suspension, or a pack that cannot run.",
			"tenant"),
		failed: counter("precept_rule_errors_total",
			"Pairs of rule and subject that ended in an error, by code; limit is a bound of the clinical library.",
			"code", "tenant"),
		capped: counter("precept_capped_total",
			"Findings without a card because of the tenant's limit on cards.", "tenant"),
		turned: counter("precept_connections_refused_total",
			"Connections closed because of a limit, or not accepted, by listener and reason.", "listener", "why"),
		verified: counter("precept_signatures_verified_total",
			"Signatures of tokens that were verified, good or not, by algorithm.", "alg"),
		tokens: counter("precept_tokens_total",
			"Tokens of EHRs that came with calls, by what became of them; not of clients whose policy says off.",
			"use", "tenant"),
		tenants: map[tenant.ID]bool{},
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "precept_build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": build}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.unauthenticated, m.limits, m.records, m.cards, m.cut, m.capped,
		m.failed, m.turned, m.verified, m.tokens, info,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "precept_tenants_unready",
			Help: "Tenants whose policy or packs in force cannot be used on this node, or whose statements it lacks."},
			func() float64 { return float64(unready()) }), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// dropped shows how many events the log lacks.
func (m *metrics) dropped(lines func() int64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "precept_log_dropped_total",
		Help: "Lines of the log that were dropped because nobody read them."},
		func() float64 { return float64(lines()) }))
}

// overruns shows the evaluations that did not end when they were told to.
func (m *metrics) overruns(counts func() (running int, total int64)) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "precept_overruns",
			Help: "Evaluations of rules that did not end when their time was used up, and still run."},
			func() float64 { running, _ := counts(); return float64(running) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "precept_overruns_total",
			Help: "Evaluations of rules that did not end when their time was used up."},
			func() float64 { _, total := counts(); return float64(total) }))
}

// exports shows how many evidence files are under way.
func (m *metrics) exports(now func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "precept_exports",
		Help: "Evidence files that are made or sent now."}, func() float64 { return float64(now()) }))
}

// surroundings shows what the owner of the server knows.
func (m *metrics) surroundings(cfg *Config) {
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	truth := func(is bool) float64 {
		if is {
			return 1
		}
		return 0
	}
	if stale := cfg.ConfigStale; stale != nil {
		gauge("precept_config_stale", "1 if the configuration could not be read again: the one of before is in force.",
			func() float64 { return truth(stale()) })
	}
	if trials := cfg.Trials; trials != nil {
		gauge("precept_trials_running", "Processes in which packs are tried now.",
			func() float64 { return float64(trials().Running) })
		gauge("precept_trials_waiting", "Trials of packs that wait for a place.",
			func() float64 { return float64(trials().Waiting) })
		for o := range trials().Ended {
			m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "precept_trials_total",
				Help: "Trials of packs that ended, by outcome.", ConstLabels: prometheus.Labels{"outcome": o.String()}},
				func() float64 { return float64(trials().Ended[o]) }))
		}
	}
	if certificate := cfg.Certificate; certificate != nil {
		gauge("precept_certificate_expires_seconds", "When the TLS certificate in use expires, in seconds since 1970.",
			func() float64 { expires, _ := certificate(); return float64(expires.Unix()) })
		gauge("precept_certificate_stale",
			"1 if there is a new TLS certificate that cannot be used: the one of before stays.",
			func() float64 { _, stale := certificate(); return truth(stale) })
	}
}

// connections shows how many connections a listener has.
func (m *metrics) connections(listener string, counts func() (strangers, proven int)) {
	for _, known := range []bool{false, true} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "precept_connections",
			Help:        "Open connections, by listener and whether a caller was proven on them.",
			ConstLabels: prometheus.Labels{"listener": listener, "proven": strconv.FormatBool(known)}},
			func() float64 {
				strangers, proven := counts()
				if known {
					return float64(proven)
				}
				return float64(strangers)
			}))
	}
}

// inUse shows the bytes that bodies hold now, and the calls that are worked on.
func (m *metrics) inUse(bodies, statements, calls func() int64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "precept_calls",
		Help: "Calls that are worked on now."}, func() float64 { return float64(calls()) }))
	for kind, bytes := range map[string]func() int64{"any": bodies, "statement": statements} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "precept_body_bytes",
			Help:        "Bytes reserved for bodies that are being read or worked on.",
			ConstLabels: prometheus.Labels{"kind": kind}}, func() float64 { return float64(bytes()) }))
	}
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// label is the tenant's name, if it has a series of its own. Only tenants of a
// proven caller get here.
func (m *metrics) label(t tenant.ID) string {
	if t == "" {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.tenants[t] {
		if len(m.tenants) >= maxTenantLabels {
			return "other"
		}
		m.tenants[t] = true
	}
	return string(t)
}

func (m *metrics) request(x *exchange, took time.Duration) {
	route, class, tenant := x.pattern(), strconv.Itoa(x.status/100)+"xx", m.label(x.caller.Tenant)
	m.requests.WithLabelValues(route, class, tenant).Inc()
	m.seconds.WithLabelValues(route, class, tenant).Observe(took.Seconds())
}

// limit counts a problem that is a limit.
func (m *metrics) limit(p problem) {
	switch p.status {
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusRequestTimeout:
		m.limits.WithLabelValues(p.code).Inc()
	}
	switch p.code {
	case "store-busy", "store-late", "store-stalled", "store-full", "deadline", "too-deep", "no-room", "no-turn",
		"tokens-full", "checking", "not-tried":
		m.limits.WithLabelValues(p.code).Inc()
	}
}

// token counts the use of a token.
func (m *metrics) token(t tenant.ID, use audit.TokenUse) {
	if use != audit.TokenNone {
		m.tokens.WithLabelValues(use.String(), m.label(t)).Inc()
	}
}

// recorded counts a record that the engine has made durable for an EHR's call.
func (m *metrics) recorded(t tenant.ID, kind string) {
	m.records.WithLabelValues(kind, m.label(t)).Inc()
}

// answered counts the cards of a new answer, and what was cut.
func (m *metrics) answered(t tenant.ID, a *engine.Answer) {
	name := m.label(t)
	for indicator, n := range map[cdshooks.Indicator]int{
		cdshooks.Critical: a.Cards.Critical, cdshooks.Warning: a.Cards.Warning, cdshooks.Info: a.Cards.Info} {
		if n > 0 {
			m.cards.WithLabelValues(string(indicator), name).Add(float64(n))
		}
	}
	if a.Cut > 0 {
		m.cut.WithLabelValues(name).Add(float64(a.Cut))
	}
	for code, n := range a.Failed {
		m.failed.WithLabelValues(code, name).Add(float64(n))
	}
	if a.Capped > 0 {
		m.capped.WithLabelValues(name).Add(float64(a.Capped))
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
