package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/tenant"
)

// Refusal is what is recorded of authenticated calls that were refused: never a
// body.
type Refusal struct {
	Service string `json:"service"`
	Code    string `json:"code"`           // stable word for the cause
	Path    string `json:"path,omitempty"` // place in the body, without content
	Bytes   int64  `json:"bytes"`          // length of the body, -1 if it was not read
	// Count stands for refusals without a record of their own, from From to To; zero
	// in the record of one. Service, Path and Bytes are then those of the last.
	Count int64     `json:"count,omitzero"`
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to,omitzero"`
}

// ownRefusals is how many refusals of a client for one cause have a record of their
// own within a minute. What comes beyond is counted in one record when the minute is
// over, so that a broken or hostile client cannot fill the log; a crash loses the
// count of that minute. Calls refused because too many are under way are only
// counted: the answer has to be cheaper than the call.
const ownRefusals = 60

type refusalKey struct {
	tenant tenant.ID
	client string
	code   string
}

// refusals counts by client and cause, of which there are as many as clients are
// registered.
type refusals struct {
	mu sync.Mutex
	by map[refusalKey]*refusalCount
}

type refusalCount struct {
	from time.Time // of the minute
	own  int       // records of their own
	last Refusal
	more int64 // beyond those
}

// own reports whether a refusal is to have a record of its own, and counts it if not.
func (rs *refusals) own(c Caller, r Refusal, now time.Time, most int) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.by == nil {
		rs.by = map[refusalKey]*refusalCount{}
	}
	key := refusalKey{c.Tenant, c.Client, r.Code}
	n := rs.by[key]
	if n == nil {
		n = &refusalCount{from: now}
		rs.by[key] = n
	}
	if n.more == 0 && now.Sub(n.from).Abs() >= time.Minute {
		n.from, n.own = now, 0
	}
	if n.own < most {
		n.own++
		return true
	}
	n.last = r
	n.more++
	return false
}

// take removes and returns the counts whose minute is over, or all of them.
func (rs *refusals) take(now time.Time, all bool) map[refusalKey]*refusalCount {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	over := map[refusalKey]*refusalCount{}
	for key, n := range rs.by {
		if all || now.Sub(n.from).Abs() >= time.Minute {
			if n.more > 0 {
				over[key] = n
			}
			delete(rs.by, key)
		}
	}
	return over
}

// putBack adds counts that could not be recorded to what was counted since.
func (rs *refusals) putBack(key refusalKey, n *refusalCount) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if since := rs.by[key]; since != nil {
		n.own, n.more = since.own, n.more+since.more
	}
	rs.by[key] = n
}

// recordRefusals records what was only counted.
func (e *Engine) recordRefusals(ctx context.Context, all bool) {
	now := e.now()
	over := e.refusals.take(now, all)
	for _, key := range slices.SortedFunc(maps.Keys(over), func(a, b refusalKey) int {
		return strings.Compare(string(a.tenant)+"\x00"+a.client+"\x00"+a.code, string(b.tenant)+"\x00"+b.client+"\x00"+b.code)
	}) {
		n := over[key]
		r := n.last
		r.Count, r.From, r.To = n.more, n.from, now
		l := e.tenants[key.tenant]
		if err := e.note(ctx, l.now.Load(), Caller{Tenant: key.tenant, Client: key.client}, audit.Refusal, r); err != nil {
			e.refusals.putBack(key, n)
		}
	}
}

// Refuse records that the door refused a call of an authenticated client.
func (e *Engine) Refuse(ctx context.Context, c Caller, r Refusal) error {
	_, st, _, err := e.serving(ctx, c.Tenant)
	if err != nil {
		return err
	}
	if !e.refusals.own(c, r, e.now(), ownRefusals) {
		return nil
	}
	err = e.note(ctx, st, c, audit.Refusal, r)
	if errors.Is(err, audit.ErrQuota) {
		e.refusals.own(c, r, e.now(), 0)
	}
	return err
}

// busy counts a call that was refused because too many are under way.
func (e *Engine) busy(c Caller, service string, size int) {
	e.refusals.own(c, Refusal{Service: service, Code: refusalCode(ErrBusy), Bytes: int64(size)}, e.now(), 0)
}

// late counts a call whose time was used up: to record it would take more of it.
func (e *Engine) late(c Caller, service string, size int) {
	r := Refusal{Service: service, Code: refusalCode(context.DeadlineExceeded), Bytes: int64(size)}
	e.refusals.own(c, r, e.now(), 0)
}

// overQuota counts a call whose tenant may store no more: a record of it would be one of those.
func (e *Engine) overQuota(c Caller, service string, size int) {
	r := Refusal{Service: service, Code: refusalCode(audit.ErrQuota), Bytes: int64(size)}
	e.refusals.own(c, r, e.now(), 0)
}

// refused records why a call got no decision, and returns the reason. If
// even that cannot be recorded, that is the error: nothing unrecorded leaves.
func (e *Engine) refused(ctx context.Context, c Caller, service string, size int, why error) error {
	r := Refusal{Service: service, Code: refusalCode(why), Bytes: int64(size)}
	var shape *chart.ShapeError
	if errors.As(why, &shape) {
		r.Path = shape.Path
	}
	var server *chart.ServerError
	if errors.As(why, &server) {
		r.Path = server.Path
	}
	if err := e.Refuse(ctx, c, r); err != nil {
		return errors.Join(err, why)
	}
	return why
}

func refusalCode(err error) string {
	for _, known := range []struct {
		is   error
		code string
	}{
		{chart.ErrJSON, "json"}, {chart.ErrTooDeep, "too-deep"}, {chart.ErrTooLarge, "too-large"},
		{chart.ErrShape, "shape"}, {chart.ErrServer, "fhir-server"},
		{ErrUnknownService, "unknown-service"}, {decide.ErrHook, "hook"}, {ErrNotReady, "not-ready"},
		{ErrForbidden, "forbidden"}, {ErrBusy, "busy"}, {audit.ErrQuota, "quota"}, {tenant.ErrResidency, "residency"},
		{audit.ErrTokenUsed, "token-used"}, {audit.ErrTokensFull, "tokens-full"},
		{cdshooks.ErrCard, "card"}, {cdshooks.ErrFeedback, "feedback"}, {context.DeadlineExceeded, "deadline"},
	} {
		if errors.Is(err, known.is) {
			return known.code
		}
	}
	return "internal"
}
