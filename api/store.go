package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
)

// storeMetrics are the figures of the audit log and its store, read when they are asked for.
type storeMetrics struct {
	stats  func() audit.Stats
	quotas func() []engine.QuotaShare
}

var (
	storeCommit = prometheus.NewDesc("precept_store_commit_seconds", "Time of one commit of the store.", nil, nil)
	storeAge    = prometheus.NewDesc("precept_store_commit_age_seconds",
		"Age of the commit that is under way; 0 if none is.", nil, nil)
	storeWaiting = prometheus.NewDesc("precept_store_waiting_records", "Records that wait to be stored.", nil, nil)
	storeFree    = prometheus.NewDesc("precept_store_free_bytes", "Bytes that the store may still grow by.", nil, nil)
	storeScrub   = prometheus.NewDesc("precept_store_scrub_finished_seconds",
		"When the store was last read from end to end, in seconds since 1970; 0 if not since the start.", nil, nil)
	storeFindings = prometheus.NewDesc("precept_store_scrub_findings", "What was wrong with it then.", nil, nil)
	storeQuota    = prometheus.NewDesc("precept_tenant_quota_used_ratio",
		"Share of a tenant's quota that is used; of 200 tenants at most.", []string{"tenant", "quota"}, nil)
	clockOffset = prometheus.NewDesc("precept_clock_offset_seconds",
		"By how much the clock is ahead of what it should show since the start.", nil, nil)
	storeSize = prometheus.NewDesc("precept_store_bytes", "Bytes that the store takes.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (m storeMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{storeCommit, storeAge, storeWaiting, storeFree, storeSize, storeScrub,
		storeFindings, clockOffset, storeQuota} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (m storeMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.stats()
	gauge := func(d *prometheus.Desc, value float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	to <- prometheus.MustNewConstHistogram(storeCommit, s.Commits.Count, s.Commits.Sum, s.Commits.Below)
	gauge(storeAge, s.UnderWay.Seconds())
	gauge(storeWaiting, float64(s.Waiting))
	finished := 0.0
	if at := s.Scrubbed.Finished; !at.IsZero() {
		finished = float64(at.Unix())
	}
	gauge(storeScrub, finished)
	gauge(storeFindings, float64(s.Scrubbed.Findings))
	quotas := m.quotas()
	for _, q := range quotas[:min(len(quotas), 3*maxTenantLabels)] {
		to <- prometheus.MustNewConstMetric(storeQuota, prometheus.GaugeValue, q.Share, string(q.Tenant), q.Quota)
	}
	gauge(clockOffset, s.ClockOff.Seconds())
	if s.Metered {
		gauge(storeFree, float64(s.Room.Free))
		gauge(storeSize, float64(s.Room.Used))
	}
}
