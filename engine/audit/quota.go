package audit

import (
	"errors"
	"fmt"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
)

// ErrQuota says that a tenant has stored as much as it may. Nothing was stored, and it concerns nobody else.
var ErrQuota = errors.New("quota used up")

// A Quota is what a tenant may store. Zero members are no limit.
type Quota struct {
	RecordsPerDay int64
	BytesPerDay   int64
	Bytes         int64 // in all
}

// Spare returns the quota with a tenth more: for what has to be kept beyond what calls fill.
func (q Quota) Spare() Quota {
	return Quota{q.RecordsPerDay + q.RecordsPerDay/10, q.BytesPerDay + q.BytesPerDay/10, q.Bytes + q.Bytes/10}
}

// Usage is what a tenant has stored. It stands beside the tenant's newest head, so it is counted in the transaction of
// what it counts, by all nodes, and a verification counts it again. A record counts as the bytes of its sealed body and
// of its statement, and 1 KiB for its leaf and indexes.
type Usage struct {
	Day     string `json:"day"`     // in UTC, as 2026-03-02
	Records int64  `json:"records"` // stored on that day
	Bytes   int64  `json:"bytes"`   // the same
	Total   int64  `json:"total"`   // bytes ever stored
}

const recordOverhead = 1 << 10

// on is the usage as it is on a day.
func (u Usage) on(at time.Time) Usage {
	if day := at.UTC().Format(time.DateOnly); day != u.Day {
		return Usage{Day: day, Total: u.Total}
	}
	return u
}

func (u *Usage) add(bytes int64) {
	u.Records++
	u.Bytes += bytes
	u.Total += bytes
}

// within says whether a record of so many bytes may be stored beside what is.
func (q Quota) within(u Usage, bytes int64) error {
	for _, limit := range []struct {
		what       string
		used, most int64
	}{
		{"records a day", u.Records + 1, q.RecordsPerDay},
		{"bytes a day", u.Bytes + bytes, q.BytesPerDay},
		{"bytes in all", u.Total + bytes, q.Bytes},
	} {
		if limit.most > 0 && limit.used > limit.most {
			return fmt.Errorf("%w: %w: %d %s are allowed", ErrNotApplied, ErrQuota, limit.most, limit.what)
		}
	}
	return nil
}

// cost is what a request counts.
func (r *request) cost() int64 { return int64(r.size()) + recordOverhead }

// Usage returns what a tenant has stored as far as this log knows: what other nodes store is known from the next own
// record on.
func (l *Log) Usage(t tenant.ID) Usage {
	u, _ := l.usage.Load(t)
	used, _ := u.(Usage)
	return used.on(l.cfg.Clock())
}

// Within says whether a tenant could store a small record now: what is refused here need not be prepared.
func (l *Log) Within(t tenant.ID, q Quota) error { return q.within(l.Usage(t), recordOverhead) }
