package api

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/trust"
)

// How persons are paced: what was not used is kept for so many seconds, and so
// many persons are remembered. Who is forgotten begins with a full bucket.
const (
	paceKept  = 10
	pacedMost = 10_000
)

// paced names a bucket: of one person, of all persons of a tenant (without a
// person), or of the statements of one person.
type paced struct {
	tenant     tenant.ID
	person     trust.PersonID
	statements bool
}

// pace holds each person, and all persons of a tenant, to a number of requests a
// second. Only proven persons get a bucket.
type pace struct {
	buckets *lru.Cache[paced, *rate.Limiter]
}

func newPace() (*pace, error) {
	buckets, err := lru.New[paced, *rate.Limiter](pacedMost)
	return &pace{buckets}, err
}

// take lets a request of a person through, or says that there were too many.
// Statements have buckets of their own and do not count for the tenant: nobody
// can keep another person from taking a rule out of service.
func (p *pace) take(now time.Time, l *Limits, who paced) error {
	if !p.bucket(who, l.PersonRate).AllowN(now, 1) {
		return errRate
	}
	if !who.statements && !p.bucket(paced{tenant: who.tenant}, l.TenantRate).AllowN(now, 1) {
		return errRate
	}
	return nil
}

func (p *pace) bucket(who paced, perSecond int) *rate.Limiter {
	if b, ok := p.buckets.Get(who); ok {
		return b
	}
	b := rate.NewLimiter(rate.Limit(perSecond), paceKept*perSecond)
	if before, ok, _ := p.buckets.PeekOrAdd(who, b); ok {
		return before
	}
	return b
}
