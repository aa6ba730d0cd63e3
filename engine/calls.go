package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
)

// Call answers one service call of an EHR: it decides, records, and returns
// the answer only when the record is durable. The same call again (client,
// hookInstance, service and body) gets the recorded bytes again.
func (e *Engine) Call(ctx context.Context, c Caller, service string, body []byte) (*Answer, error) {
	return upToDate(ctx, e, c.Tenant, func() (*Answer, error) { return e.call(ctx, c, service, body) })
}

// call answers under what is in force on this node now. The error is
// [audit.ErrMoved], and nothing was recorded, if a statement came meanwhile.
func (e *Engine) call(ctx context.Context, c Caller, service string, body []byte) (*Answer, error) {
	l, st, now, err := e.serving(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if st.snapshot == nil && st.why != nil {
		return nil, e.refused(ctx, c, service, len(body), st.notReady("calling service"))
	}
	if st.snapshot == nil {
		return nil, st.notReady("calling service")
	}
	if l.calls.Add(1) > int64(st.policy.Limits.Concurrency) {
		l.calls.Add(-1)
		e.busy(c, service, len(body))
		return nil, fmt.Errorf("calling service: %w", ErrBusy)
	}
	defer l.calls.Add(-1)
	ctx, stop := e.within(ctx, c, st)
	defer stop()
	place := e.lane.ticket(c.Tenant)
	defer place.leave()
	if len(body) > heavyBody {
		if err := place.pass(ctx); err != nil {
			e.late(c, service, len(body))
			return nil, fmt.Errorf("calling service: %w", err)
		}
	}
	defer func() {
		if p := recover(); p != nil { // the door answers it; that the call failed is recorded first
			_ = e.refused(ctx, c, service, len(body), errPanicked)
			panic(p)
		}
	}()
	in, req, err := e.inputs(l, st, c, service, body, now)
	if err != nil {
		return nil, e.refused(ctx, c, service, len(body), err)
	}
	call := idempotency(in, req)
	token := tokenOf(st, c, call)
	a, before, err := e.again(ctx, st, in, call)
	if a != nil && err == nil {
		err = e.spend(ctx, token, a, in.Tenant)
	}
	if tokenRefused(err) {
		return nil, e.refused(ctx, c, service, len(body), err)
	}
	if err != nil {
		return nil, err
	}
	if a != nil {
		return a, nil
	}
	if err := e.cfg.Log.Within(c.Tenant, st.quota()); err != nil { // what cannot be recorded need not be decided
		e.overQuota(c, service, len(body))
		return nil, fmt.Errorf("calling service: %w", err)
	}
	d, err := e.decideLive(ctx, l, st, in, req, place)
	switch {
	case errors.Is(err, decide.ErrMoved):
		return nil, fmt.Errorf("%w: %w", audit.ErrMoved, err)
	case errors.Is(err, context.DeadlineExceeded):
		e.late(c, service, len(body))
		return nil, err
	case err != nil:
		return nil, e.refused(ctx, c, service, len(body), err)
	}
	place.leave() // what waits for the disk is not in anybody's way
	a, err = e.record(ctx, st, in, req, d, call, before, token)
	if tokenRefused(err) {
		return nil, e.refused(ctx, c, service, len(body), err)
	}
	if errors.Is(err, audit.ErrQuota) {
		e.overQuota(c, service, len(body))
	}
	if errors.Is(err, audit.ErrEntry) { // what cannot be kept is not answered, and that is kept
		return nil, e.refused(ctx, c, service, len(body), fmt.Errorf("%w (%w)", err, chart.ErrTooLarge))
	}
	return a, err
}

var errPanicked = errors.New("deciding failed")

// inputs puts together everything the decision will depend on.
func (e *Engine) inputs(l *served, st *inForce, c Caller, service string, body []byte,
	now time.Time) (*decision.Inputs, *chart.Request, error) {
	client, ok := st.policy.Client(c.Client)
	if !ok {
		return nil, nil, fmt.Errorf("calling service: client is not registered: %w", ErrForbidden)
	}
	if !st.policy.HasService(service) || !client.Allows(service) {
		return nil, nil, fmt.Errorf("calling service: %w", ErrUnknownService)
	}
	req, err := st.snapshot.Parse(client.ID, body)
	if err != nil {
		return nil, nil, err
	}
	offered, ok := st.policy.Service(service, req.Hook)
	if !ok {
		return nil, nil, fmt.Errorf("calling service: %w", decide.ErrHook)
	}
	if !st.snapshot.Serves(offered) {
		return nil, nil, fmt.Errorf("calling service: %w: no pack of the service is live", ErrNotReady)
	}
	if req.PatientID == "" {
		return nil, nil, &chart.ShapeError{Path: "context.patientId", Want: "the id of the patient"}
	}
	if ordering(req.Hook) && req.Drafts.Completeness == chart.NotSupplied {
		return nil, nil, &chart.ShapeError{Path: chart.DraftsKey, Want: "a Bundle of the orders"}
	}
	id, err := audit.NewRecordID(now, e.cfg.Rand)
	if err != nil {
		return nil, nil, err
	}
	return &decision.Inputs{
		RecordID: string(id), Tenant: c.Tenant, Region: e.cfg.Region, Time: now, Zone: st.policy.Zone,
		Language: st.policy.Language,
		Engine:   decision.Engine{Build: e.cfg.Build, OPA: decide.OPAVersion, Library: e.materials.Newest().Version()},
		Release:  st.snapshot.Release(), Policy: st.snapshot.Policy(), Service: service, Hook: req.Hook,
		Client: client.ID, Dialect: string(client.Dialect), Cut: l.without(st.withheld), Request: req.Body,
	}, req, nil
}

// ordering says which hooks are about draft orders: without them an answer
// would say nothing and read as "no finding".
func ordering(hook string) bool { return hook == "order-sign" || hook == "order-select" }

// within bounds a call by the tenant's deadline, which runs from the first byte of the
// request to the durable record. A client that goes away changes nothing: when it
// tries again, it gets this very decision.
func (e *Engine) within(ctx context.Context, c Caller, st *inForce) (context.Context, context.CancelFunc) {
	left := st.policy.Limits.Deadline()
	if !c.Since.IsZero() {
		left -= e.cfg.Clock().Sub(c.Since)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), left)
}

// decideLive decides in three quarters of the time that is left: the rest is for
// composing and recording. What was cut goes into the inputs, so that a replay cuts the
// same.
func (e *Engine) decideLive(ctx context.Context, l *served, st *inForce, in *decision.Inputs,
	req *chart.Request, place *ticket) (*decision.Decision, error) {
	end, _ := ctx.Deadline()
	ctx, stop := context.WithTimeout(ctx, time.Until(end)*3/4)
	defer stop()
	d, err := st.snapshot.Decide(ctx, in, req, decide.Times{Rule: st.policy.Limits.RuleTime(),
		Moved: st.gone, Yield: place.pass,
		Left: func(rule string) func() { return e.watchdog.left(l, rule) }})
	if err != nil {
		return nil, err
	}
	in.Cut = d.Cut
	return d, nil
}

// without adds the rules that this node does not ask to those out of service.
func (l *served) without(withheld []decision.Cut) []decision.Cut {
	here := l.withheld.Load()
	if here == nil || len(*here) == 0 {
		return withheld
	}
	return append(slices.Clip(withheld), *here...)
}

// record makes the decision durable and only then returns the answer.
func (e *Engine) record(ctx context.Context, st *inForce, in *decision.Inputs, req *chart.Request,
	d *decision.Decision, call []byte, before audit.RecordID, token *audit.Token) (*Answer, error) {
	body, err := decision.Encode(in, d)
	if err != nil {
		return nil, err
	}
	client, _ := st.policy.Client(in.Client)
	entry := audit.Entry{
		Kind: audit.Decision, Tenant: in.Tenant, RecordID: audit.RecordID(in.RecordID), Decided: in.Time,
		Engine: in.Engine.Build, Library: in.Engine.Library, Release: in.Release.Size, Schema: decision.Schema,
		Body: body, Indexed: ofDecision(client, req, d, call), Replaces: before, Token: token, Quota: st.quota(),
	}
	a := &Answer{Body: d.Response, RecordID: in.RecordID, Cut: cutPairs(d), Capped: capped(d), Cards: d.Cards,
		Failed: failed(d)}
	receipt, err := e.cfg.Log.Append(ctx, entry)
	if err != nil {
		return nil, fmt.Errorf("recording decision: %w", err)
	}
	a.Receipt, a.Token = receipt.String(), receipt.Token
	if receipt.Repeated { // the same call was recorded meanwhile: look again
		return nil, fmt.Errorf("recording decision: %w: the same call was decided meanwhile", audit.ErrMoved)
	}
	a.Took = e.now().Sub(in.Time)
	return a, nil
}

// again looks for the record of the same call and returns its answer while that may
// be given: nothing that it was decided under has changed, and it is not too long
// ago. Else it returns what the look-up led to, for the new record to take its place.
// A look-up is not believed: what it leads to has to be of this very call.
func (e *Engine) again(ctx context.Context, st *inForce, in *decision.Inputs, call []byte) (
	a *Answer, found audit.RecordID, err error) {
	found, err = e.cfg.Log.ByIdem(ctx, in.Tenant, call)
	if errors.Is(err, audit.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("looking for an earlier answer: %w", err)
	}
	rec, err := e.cfg.Log.Get(ctx, in.Tenant, found)
	switch {
	case errors.Is(err, audit.ErrNotFound), errors.Is(err, audit.ErrErased), errors.Is(err, audit.ErrCorrupt):
		return nil, found, nil
	case err != nil:
		return nil, "", fmt.Errorf("looking for an earlier answer: %w", err)
	}
	old, d, err := decision.Decode(rec.Body)
	if err != nil || old.Tenant != in.Tenant || old.Client != in.Client || old.Service != in.Service ||
		!bytes.Equal(old.Request, in.Request) {
		return nil, found, nil
	}
	in.Again = string(found)
	if age := in.Time.Sub(old.Time).Abs(); age > st.policy.Limits.Repeat() || !st.holds(old) {
		return nil, found, nil
	}
	receipt, err := e.cfg.Log.Receipt(ctx, in.Tenant, found)
	if err != nil {
		return nil, "", fmt.Errorf("repeating the answer of record %s: %w", found, err)
	}
	// Nothing is stored that would find out about statements of other nodes: ask.
	sizes, err := e.cfg.Log.ReleaseSizes(ctx, in.Tenant)
	if err != nil {
		return nil, "", fmt.Errorf("repeating the answer of record %s: %w", found, err)
	}
	if sizes[in.Tenant] != in.Release.Size {
		return nil, "", fmt.Errorf("repeating the answer of record %s: %w", found, audit.ErrMoved)
	}
	return &Answer{Body: d.Response, RecordID: string(found), Receipt: receipt.String(), Repeated: true, Cards: d.Cards,
		Cut: cutPairs(d), Capped: capped(d), Took: e.now().Sub(in.Time)}, "", nil
}

// holds reports that everything a decision was made under is still in force.
func (st *inForce) holds(old *decision.Inputs) bool {
	out := func(c decision.Cut) bool { return c.Cause != decision.CutSuspension }
	return old.Policy == st.snapshot.Policy() &&
		slices.Equal(old.Release.Artefacts(), st.snapshot.Release().Artefacts()) &&
		slices.Equal(slices.DeleteFunc(slices.Clone(old.Cut), out), st.withheld)
}

// cutPairs counts the pairs that were not evaluated.
func cutPairs(d *decision.Decision) (n int) {
	for i := range d.Findings {
		if d.Findings[i].Outcome == decision.WasCut {
			n++
		}
	}
	return n
}

// capped counts the findings that the limit on cards left without one.
func capped(d *decision.Decision) (n int) {
	for i := range d.Findings {
		if h := d.Findings[i].Hidden; h != nil && h.Code == decision.HiddenLimit {
			n++
		}
	}
	return n
}

// failed counts the rule errors by code; nil if there are none.
func failed(d *decision.Decision) (codes map[string]int) {
	for i := range d.Findings {
		if e := d.Findings[i].Error; e != nil {
			if codes == nil {
				codes = map[string]int{}
			}
			codes[e.Code]++
		}
	}
	return codes
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
