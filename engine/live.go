// Package engine decides: it holds what is live for each tenant of a region,
// turns a call into a decision, has the decision recorded, and only then
// answers. It also replays and explains what was recorded, and takes in the
// signed statements that alone can change what is live.
//
// What it guarantees: a decision is a pure function of its recorded inputs; no
// answer leaves before its record is durable; a rule that fails, or can not
// tell, never hides another and never reads as "no finding"; nothing of a
// tenant is touched in a region that is not its own.
//
// What it does not do: it knows no HTTP and no keys, and it believes the door
// about who is calling.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing"
)

// Config is what an Engine is made of. All fields but Elsewhere are required.
type Config struct {
	Region tenant.Region
	Build  string // version of the program
	Log    *audit.Log
	Clock  func() time.Time
	Rand   io.Reader // safe for concurrent use
	Roots  []Root    // the tenants of this node
	// Elsewhere names tenants that live in other regions, so that a call that
	// went astray is told so. It may be empty.
	Elsewhere map[tenant.ID]tenant.Region
}

// Root is how a tenant's trust begins: its first trust root, and the digest
// of it that came by another way.
type Root struct {
	Tenant   tenant.ID
	Envelope []byte // read only when the tenant's release log is empty
	Digest   signing.Digest
}

// Engine serves the tenants of one region. It is safe for concurrent use.
type Engine struct {
	cfg       Config
	materials *Materials
	tenants   map[tenant.ID]*live // not changed after Open
	uploads   sync.Mutex          // held while an uploaded pack is unpacked and tried
}

// live is one tenant. standing is replaced whole; a call keeps the one it
// began with.
type live struct {
	id       tenant.ID
	pin      signing.Digest
	apply    sync.Mutex // held while a statement is checked and logged
	standing atomic.Pointer[standing]
	calls    atomic.Int64 // under way
}

// Open folds the release log of every tenant and gets their packs ready. A
// tenant whose log is empty starts with its trust root.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg, materials: NewMaterials(), tenants: map[tenant.ID]*live{}}
	for id, home := range cfg.Elsewhere {
		if home == cfg.Region {
			return nil, fmt.Errorf("opening tenant %s: it lives in this region, so it needs a trust root", id)
		}
	}
	for _, r := range cfg.Roots {
		l := &live{id: r.Tenant, pin: r.Digest}
		if e.tenants[r.Tenant] != nil {
			return nil, fmt.Errorf("opening tenant %s: it is configured twice", r.Tenant)
		}
		e.tenants[r.Tenant] = l
		if err := e.open(ctx, l, r); err != nil {
			return nil, fmt.Errorf("opening tenant %s: %w", r.Tenant, err)
		}
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context, l *live, r Root) error {
	st, err := e.fold(ctx, l)
	if err != nil {
		return err
	}
	l.standing.Store(st)
	if st.trust.Size() > 0 {
		return nil
	}
	_, err = e.apply(ctx, l, Caller{Tenant: l.id}, r.Envelope)
	return err
}

// now is the clock in the precision of records.
func (e *Engine) now() time.Time { return e.cfg.Clock().UTC().Truncate(time.Millisecond) }

// Tenants lists the tenants of this node, sorted.
func (e *Engine) Tenants() []tenant.ID {
	ids := make([]tenant.ID, 0, len(e.tenants))
	for id := range e.tenants {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Ready is nil while records can be taken.
func (e *Engine) Ready() error { return e.cfg.Log.Err() }

// current gives what stands for a tenant now, after asking whether the tenant
// lives here.
func (e *Engine) current(ctx context.Context, id tenant.ID) (*live, *standing, error) {
	l, st, _, err := e.moment(ctx, id)
	return l, st, err
}

// moment is current with the time that it holds at. The clock is read after
// the standing, so that what a record names is what was live at its time.
func (e *Engine) moment(ctx context.Context, id tenant.ID) (*live, *standing, time.Time, error) {
	if home, ok := e.cfg.Elsewhere[id]; ok {
		return nil, nil, time.Time{}, fmt.Errorf("finding tenant: %w", tenant.Resides(home, e.cfg.Region))
	}
	l := e.tenants[id]
	if l == nil {
		return nil, nil, time.Time{}, fmt.Errorf("finding tenant: %w", ErrUnknownTenant)
	}
	st := l.standing.Load()
	now := e.now()
	for !st.until.IsZero() && !now.Before(st.until) {
		var err error
		if st, err = e.refresh(ctx, l); err != nil {
			return nil, nil, time.Time{}, err
		}
		now = e.now()
	}
	if st.policy != nil {
		if err := tenant.Resides(st.policy.Region, e.cfg.Region); err != nil {
			return nil, nil, time.Time{}, fmt.Errorf("finding tenant: %w", err)
		}
	}
	return l, st, now, nil
}

// refresh takes activations out whose time is over.
func (e *Engine) refresh(ctx context.Context, l *live) (*standing, error) {
	l.apply.Lock()
	defer l.apply.Unlock()
	st, err := e.stand(ctx, l.standing.Load().trust)
	if err != nil {
		return nil, err
	}
	l.standing.Store(st)
	return st, nil
}

// Policy returns the policy in force of a tenant.
func (e *Engine) Policy(id tenant.ID) (*tenant.Policy, error) {
	_, st, err := e.current(context.Background(), id)
	if err != nil {
		return nil, err
	}
	if st.policy == nil {
		return nil, fmt.Errorf("reading policy of tenant %s: %w: no tenant policy was applied yet", id, ErrNotReady)
	}
	return st.policy, nil
}

// Unready gives, for each tenant that can not be served although it has a
// policy, why.
func (e *Engine) Unready() map[tenant.ID]error {
	m := map[tenant.ID]error{}
	for id, l := range e.tenants {
		if st := l.standing.Load(); st.why != nil {
			m[id] = st.why
		}
	}
	return m
}

// PersonKey returns the person whose key this is in the tenant's trust root.
func (e *Engine) PersonKey(id tenant.ID, key signing.KeyID, at time.Time) (signing.Person, signing.PublicKey, error) {
	_, st, err := e.current(context.Background(), id)
	if err != nil {
		return signing.Person{}, signing.PublicKey{}, err
	}
	return st.trust.Person(key, at)
}

// Call answers one service call of an EHR: it decides, records, and returns
// the answer only when the record is durable. The same call again (client,
// hookInstance, service and body) gets the recorded bytes again.
func (e *Engine) Call(ctx context.Context, c Caller, service string, body []byte) (*Answer, error) {
	l, st, now, err := e.moment(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if st.snapshot == nil && st.why != nil {
		return nil, e.refused(ctx, c, service, len(body), fmt.Errorf("calling service: %w: %w", ErrNotReady, st.why))
	}
	if st.snapshot == nil {
		return nil, fmt.Errorf("calling service: %w: no tenant policy was applied yet", ErrNotReady)
	}
	if l.calls.Add(1) > int64(st.policy.Limits.Concurrency) {
		l.calls.Add(-1)
		return nil, fmt.Errorf("calling service: %w", ErrBusy)
	}
	defer l.calls.Add(-1)
	defer func() {
		if p := recover(); p != nil { // the door answers it; that the call failed is recorded first
			_ = e.refused(ctx, c, service, len(body), errPanicked)
			panic(p)
		}
	}()
	in, req, err := e.inputs(st, c, service, body, now)
	if err != nil {
		return nil, e.refused(ctx, c, service, len(body), err)
	}
	d, err := e.decideLive(ctx, st, in, req)
	if err != nil {
		return nil, e.refused(ctx, c, service, len(body), err)
	}
	a, err := e.record(ctx, st, in, req, d)
	if errors.Is(err, audit.ErrEntry) { // what can not be kept is not answered, and that is kept
		return nil, e.refused(ctx, c, service, len(body), fmt.Errorf("%w (%w)", err, chart.ErrTooLarge))
	}
	return a, err
}

var errPanicked = errors.New("deciding failed")

// inputs puts together everything the decision will depend on.
func (e *Engine) inputs(st *standing, c Caller, service string, body []byte, now time.Time) (*decision.Inputs, *chart.Request, error) {
	client, ok := st.policy.Client(c.Client)
	if !ok {
		return nil, nil, fmt.Errorf("calling service: client is not registered: %w", ErrForbidden)
	}
	if !st.policy.HasService(service) || !client.Allows(service) {
		return nil, nil, fmt.Errorf("calling service: %w", ErrUnknownService)
	}
	req, err := chart.Parse(body, requestLimits(st.policy, client))
	if err != nil {
		return nil, nil, err
	}
	offered, ok := st.policy.Service(service, req.Hook)
	if !ok {
		return nil, nil, fmt.Errorf("calling service: %w", ErrHook)
	}
	if !st.snapshot.serves(offered) {
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
		RecordID: string(id), Tenant: c.Tenant, Region: e.cfg.Region, Time: now, Zone: st.policy.Zone, Language: st.policy.Language,
		Engine:  decision.Engine{Build: e.cfg.Build, OPA: OPAVersion, Library: clinical.Version},
		Release: st.snapshot.release, Policy: st.snapshot.policyRef, Service: service, Hook: req.Hook,
		Client: client.ID, Dialect: string(client.Dialect), Cut: suspensions(st.trust, st.snapshot), Request: req.Body,
	}, req, nil
}

// ordering says which hooks are about draft orders: without them an answer
// would say nothing and read as "no finding".
func ordering(hook string) bool { return hook == "order-sign" || hook == "order-select" }

// decideLive decides within the tenant's deadline. What was cut goes into the
// inputs, so that a replay cuts the same. A client that goes away changes
// nothing: when it tries again, it gets this very decision.
func (e *Engine) decideLive(ctx context.Context, st *standing, in *decision.Inputs, req *chart.Request) (*decision.Decision, error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), st.policy.Limits.Deadline())
	defer stop()
	d, err := st.snapshot.decide(ctx, in, req, st.policy.Limits.RuleTime())
	if err != nil {
		return nil, err
	}
	in.Cut = d.Cut
	return d, nil
}

// record makes the decision durable and only then gives the answer. A client
// that has gone away does not stop its record.
func (e *Engine) record(ctx context.Context, st *standing, in *decision.Inputs, req *chart.Request, d *decision.Decision) (*Answer, error) {
	body, err := decision.Encode(in, d)
	if err != nil {
		return nil, err
	}
	client, _ := st.policy.Client(in.Client)
	entry := audit.Entry{
		Kind: audit.Decision, Tenant: in.Tenant, RecordID: audit.RecordID(in.RecordID), Decided: in.Time,
		Engine: in.Engine.Build, Library: in.Engine.Library, Release: in.Release.Size, Schema: decision.Schema, Body: body,
		Patient: audit.Patient{Base: client.FHIRBase, ID: req.PatientID}, Idem: idempotency(in, req),
	}
	entry.Rules, entry.Cards = searchable(d)
	a := &Answer{Body: d.Response, RecordID: in.RecordID, Cut: cutPairs(d), Capped: capped(d), Cards: len(entry.Cards)}
	receipt, err := e.cfg.Log.Append(context.WithoutCancel(ctx), entry)
	if err != nil {
		return nil, fmt.Errorf("recording decision: %w", err)
	}
	a.Receipt = receipt.String()
	if receipt.Repeated {
		if err := e.repeat(ctx, in.Tenant, receipt, a); err != nil {
			return nil, err
		}
	}
	a.Took = e.now().Sub(in.Time)
	return a, nil
}

// repeat puts the recorded answer in place of the new one.
func (e *Engine) repeat(ctx context.Context, t tenant.ID, r audit.Receipt, a *Answer) error {
	rec, err := e.cfg.Log.Get(ctx, t, r.RecordID)
	if err != nil {
		return fmt.Errorf("repeating the answer of record %s: %w", r.RecordID, err)
	}
	_, d, err := decision.Decode(rec.Body)
	if err != nil {
		return fmt.Errorf("repeating the answer of record %s: %w", r.RecordID, err)
	}
	_, cards := searchable(d)
	a.Body, a.RecordID, a.Repeated = d.Response, string(r.RecordID), true
	a.Cards, a.Cut, a.Capped = len(cards), cutPairs(d), capped(d)
	return nil
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
		if strings.HasPrefix(d.Findings[i].Hidden, overLimit) {
			n++
		}
	}
	return n
}

// idempotency identifies a call: who asked which service what, as one
// transport attempt or several.
func idempotency(in *decision.Inputs, req *chart.Request) []byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(in.Client), []byte(strings.ToLower(req.HookInstance)), []byte(in.Service), req.Body} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return h.Sum(nil)
}

// searchable gives the rules that said something, for the index by rule, and
// the uuids of the cards shown.
func searchable(d *decision.Decision) (rules, cards []string) {
	for i := range d.Findings {
		f := &d.Findings[i]
		if f.Outcome != decision.NotFired {
			rules = append(rules, f.Rule)
		}
		if f.Card != "" {
			cards = append(cards, f.Card)
		}
	}
	slices.Sort(rules)
	slices.Sort(cards)
	return slices.Compact(rules), slices.Compact(cards)
}

// Refusal is what is recorded of an authenticated call that was refused: never
// its body.
type Refusal struct {
	Service string `json:"service"`
	Code    string `json:"code"`           // stable word for the cause
	Path    string `json:"path,omitempty"` // place in the body, without content
	Bytes   int64  `json:"bytes"`          // length of the body, -1 if it was not read
}

// Refuse records that the door refused a call of an authenticated client.
func (e *Engine) Refuse(ctx context.Context, c Caller, r Refusal) error {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return err
	}
	return e.note(ctx, st, c, audit.Refusal, r)
}

// refused records why a call got no decision, and gives the reason back. If
// even that can not be recorded, that is the error: nothing unrecorded leaves.
func (e *Engine) refused(ctx context.Context, c Caller, service string, size int, why error) error {
	r := Refusal{Service: service, Code: refusalCode(why), Bytes: int64(size)}
	var shape *chart.ShapeError
	if errors.As(why, &shape) {
		r.Path = shape.Path
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
		{chart.ErrJSON, "json"}, {chart.ErrTooDeep, "too-deep"}, {chart.ErrTooLarge, "too-large"}, {chart.ErrShape, "shape"},
		{ErrUnknownService, "unknown-service"}, {ErrHook, "hook"}, {ErrNotReady, "not-ready"}, {ErrForbidden, "forbidden"}, {tenant.ErrResidency, "residency"},
		{cdshooks.ErrCard, "card"}, {cdshooks.ErrFeedback, "feedback"},
	} {
		if errors.Is(err, known.is) {
			return known.code
		}
	}
	return "internal"
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
