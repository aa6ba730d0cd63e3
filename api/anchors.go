package api

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/precept-cds/precept/engine/audit"
)

// anchorMetrics are the figures of the region's own log and of its witnesses,
// read when they are asked for.
type anchorMetrics struct {
	stats func() audit.AnchorStats
	clock func() time.Time
}

var (
	anchorSize   = prometheus.NewDesc("precept_region_log_leaves", "Heads that are anchored in the region's log.", nil, nil)
	anchorBehind = prometheus.NewDesc("precept_region_log_behind_seconds",
		"Since when there may be heads of tenants that are not anchored.", nil, nil)
	anchorWrong = prometheus.NewDesc("precept_region_log_contradicted",
		"Logs of tenants that are no longer what was anchored of them.", nil, nil)
	witnessAge = prometheus.NewDesc("precept_region_log_witnessed_age_seconds",
		"Age of the newest head of the region's log that enough witnesses have cosigned; +Inf if there is none.", nil, nil)
	witnessFork = prometheus.NewDesc("precept_region_log_forked",
		"1 if a witness holds a head that this region has signed and that does not belong to its log.", nil, nil)
	witnessAsked = prometheus.NewDesc("precept_witness_answers_total",
		"What witnesses answered: cosigned, refused, bad, fork, unreachable.", []string{"witness", "outcome"}, nil)
)

// Describe implements [prometheus.Collector].
func (m anchorMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{anchorSize, anchorBehind, anchorWrong, witnessAge, witnessFork, witnessAsked} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (m anchorMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.stats()
	if !s.On {
		return
	}
	gauge := func(d *prometheus.Desc, value float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	gauge(anchorSize, float64(s.Size))
	gauge(anchorBehind, s.Behind.Seconds())
	gauge(anchorWrong, float64(s.Wrong))
	if s.Configured == 0 {
		return
	}
	age, forked := math.Inf(1), 0.0
	if !s.Witnessed.IsZero() {
		age = m.clock().Sub(s.Witnessed).Seconds()
	}
	if s.Forked != "" {
		forked = 1
	}
	gauge(witnessAge, age)
	gauge(witnessFork, forked)
	for name, outcomes := range s.Asked {
		for outcome, n := range outcomes {
			to <- prometheus.MustNewConstMetric(witnessAsked, prometheus.CounterValue, float64(n), name, outcome)
		}
	}
}

// anchorNotes says how the region's log and its witnesses are.
func anchorNotes(s audit.AnchorStats, now time.Time) (text string) {
	if s.Wrong > 0 {
		text += fmt.Sprintf("%d logs of tenants are no longer what was anchored of them: verify the store\n", s.Wrong)
	}
	if s.Forked != "" {
		text += "the region's log is not what it was: " + s.Forked + "\n"
	}
	if s.Configured == 0 {
		return text
	}
	if s.Witnessed.IsZero() {
		text += "the region's log was not witnessed yet"
	} else {
		text += fmt.Sprintf("the region's log was witnessed %s ago", max(0, now.Sub(s.Witnessed)).Round(time.Second))
	}
	var last []string
	for _, name := range slices.Sorted(maps.Keys(s.Last)) {
		last = append(last, name+": "+s.Last[name])
	}
	if len(last) > 0 {
		text += " (" + strings.Join(last, ", ") + ")"
	}
	return text + "\n"
}
