package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// Looking at records is a record itself: who, why, and what was asked for. It
// is written before anything is shown.

// note appends a small record that is about no patient.
func (e *Engine) note(ctx context.Context, st *inForce, c Caller, kind audit.Kind, what any) error {
	_, err := e.noted(ctx, st, c, kind, what)
	return err
}

// noted is note, and says which record it is.
func (e *Engine) noted(ctx context.Context, st *inForce, c Caller, kind audit.Kind, what any) (audit.RecordID, error) {
	now := e.now()
	id, err := audit.NewRecordID(now, e.cfg.Rand)
	if err != nil {
		return "", err
	}
	body, err := jsonv2.Marshal(struct {
		Client  string         `json:"client,omitempty"`
		Person  trust.PersonID `json:"person,omitempty"`
		Purpose string         `json:"purpose,omitempty"`
		What    any            `json:"what"`
	}{c.Client, c.Person, c.Purpose, what}, jsonv2.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("recording %s: %w", kind, err)
	}
	// What calls cause is held to the quota. Counts of refusals, and what persons do, have a tenth more.
	quota := st.quota()
	if r, ok := what.(Refusal); !ok || r.Count > 0 {
		quota = quota.Spare()
	}
	ctx, stop := durably(ctx)
	defer stop()
	_, err = e.cfg.Log.Append(ctx, audit.Entry{
		Kind: kind, Tenant: c.Tenant, RecordID: id, Decided: now, Engine: e.cfg.Build,
		Library: e.materials.Newest().Version(),
		Release: int64(st.trust.Size()), Schema: noteSchema, Body: [][]byte{body}, Quota: quota,
	})
	return id, err
}

// storeTime is how long a record may take to become durable where no deadline of the caller says.
const storeTime = 10 * time.Second

// durably is the context of a record: it ends with the caller's deadline and not when the caller goes away.
func durably(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// quota is what the tenant may store: none while it has no policy.
func (st *inForce) quota() audit.Quota {
	if st.policy == nil {
		return audit.Quota{}
	}
	l := st.policy.Limits
	return audit.Quota{RecordsPerDay: int64(l.RecordsPerDay), BytesPerDay: int64(l.BytesPerDay), Bytes: int64(l.BytesTotal)}
}

// QuotaShare is how much of one of its quotas a tenant has used: 1 is all.
type QuotaShare struct {
	Tenant tenant.ID
	Quota  string // records-per-day, bytes-per-day or bytes-total
	Share  float64
}

// QuotaShares lists what the tenants that have quotas have used of them.
func (e *Engine) QuotaShares() (shares []QuotaShare) {
	for _, id := range e.Tenants() {
		q, u := e.tenants[id].now.Load().quota(), e.cfg.Log.Usage(id)
		for _, x := range []struct {
			name       string
			used, most int64
		}{{"records-per-day", u.Records, q.RecordsPerDay}, {"bytes-per-day", u.Bytes, q.BytesPerDay},
			{"bytes-total", u.Total, q.Bytes}} {
			if x.most > 0 {
				shares = append(shares, QuotaShare{id, x.name, float64(x.used) / float64(x.most)})
			}
		}
	}
	return shares
}

// access is what is recorded of looking at records.
type access struct {
	Verb   string `json:"verb"`
	Record string `json:"record,omitempty"`
	Rule   string `json:"rule,omitempty"`
	Kind   string `json:"kind,omitempty"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	// Patient says that records were searched by patient; the identity itself
	// is in the records found.
	Patient bool `json:"patient,omitzero"`
	// PatientData says that the body was asked for with the evidence of a record.
	PatientData bool   `json:"patient_data,omitzero"`
	Digest      string `json:"digest,omitempty"` // SHA-256 of what was handed in, or of the manifest of what was taken out
	// Code says what came of it: why it was refused, with Cause in words of a statement
	// or pack, or that it was stored; empty in the record of the attempt.
	Code  string `json:"code,omitempty"`
	Cause string `json:"cause,omitempty"`
}

// audited lets an auditor through and records the access.
func (e *Engine) audited(ctx context.Context, c Caller, a access) (*inForce, error) {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if err := e.role(st, c, trust.Auditor); err != nil {
		return nil, e.turnedAway(ctx, st, c, a, err)
	}
	if strings.TrimSpace(c.Purpose) == "" {
		return nil, e.turnedAway(ctx, st, c, a, fmt.Errorf("looking at records: %w", ErrPurpose))
	}
	return st, e.note(ctx, st, c, audit.Access, a)
}

// maxCause bounds the words of a cause that a record keeps.
const maxCause = 500

// turnedAway records that a known person was refused, and returns the
// reason. If it cannot be recorded, that is the error.
func (e *Engine) turnedAway(ctx context.Context, st *inForce, c Caller, a access, why error) error {
	if c.Person == "" {
		return why // no person of the tenant's: nobody to hold it against
	}
	kind := audit.Refusal
	switch {
	case errors.Is(why, ErrForbidden):
		a.Code = "forbidden"
	case errors.Is(why, ErrPurpose):
		a.Code = "purpose"
	default: // a bad statement or pack: the person may, what it asks for cannot be
		kind, a.Code, a.Cause = audit.Event, "refused", why.Error()
		a.Cause = strings.ToValidUTF8(a.Cause[:min(len(a.Cause), maxCause)], "")
	}
	if err := e.note(ctx, st, c, kind, a); err != nil {
		return errors.Join(err, why)
	}
	return why
}

// RecordPage is a part of a list of records, newest first.
type RecordPage struct {
	Records []RecordLine `json:"records"`
	Next    string       `json:"next,omitempty"` // cursor of the next page
}

// RecordLine is what a list shows of a record: nothing that is sealed.
type RecordLine struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Decided time.Time `json:"decided"`
	Log     string    `json:"log"`
	Index   int64     `json:"index"`
}

// Records lists records for an auditor.
func (e *Engine) Records(ctx context.Context, c Caller, f audit.Filter) (*RecordPage, error) {
	a := access{Verb: "list", Rule: f.Rule, Kind: string(f.Kind), Patient: f.Patient.ID != "", From: moment(f.From),
		To: moment(f.To)}
	if _, err := e.audited(ctx, c, a); err != nil {
		return nil, err
	}
	if f.Patient.ID != "" {
		f.Patient = patientOf(f.Patient.Base, f.Patient.ID)
	}
	page, err := e.cfg.Log.List(ctx, c.Tenant, f)
	if err != nil {
		return nil, err
	}
	out := &RecordPage{Records: []RecordLine{}, Next: page.Next}
	for _, s := range page.Records {
		out.Records = append(out.Records, RecordLine{ID: string(s.Leaf.RecordID),
			Kind: string(s.Leaf.Kind), Decided: s.Leaf.Decided, Log: string(s.Log), Index: s.Leaf.Index})
	}
	return out, nil
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Record is one record with its body opened.
type Record struct {
	ID   string         `json:"id"`
	Kind string         `json:"kind"`
	Log  string         `json:"log"`
	Leaf jsontext.Value `json:"leaf"` // exactly as hashed
	Body []byte         `json:"body"` // base64 in JSON
}

// Record reads one record for an auditor.
func (e *Engine) Record(ctx context.Context, c Caller, id string) (*Record, error) {
	if _, err := e.audited(ctx, c, access{Verb: "show", Record: recordName(id)}); err != nil {
		return nil, err
	}
	return e.read(ctx, c.Tenant, id)
}

// recordName keeps what is not a record id out of the log.
func recordName(id string) string {
	if _, err := audit.ParseRecordID(id); err != nil {
		return "not a record id"
	}
	return id
}

func (e *Engine) read(ctx context.Context, t tenant.ID, id string) (*Record, error) {
	rid, err := audit.ParseRecordID(id)
	if err != nil {
		return nil, fmt.Errorf("reading record: %w", audit.ErrNotFound)
	}
	r, err := e.cfg.Log.Get(ctx, t, rid)
	if err != nil {
		return nil, err
	}
	return &Record{ID: id, Kind: string(r.Leaf.Kind), Log: string(r.Log), Leaf: r.Bytes, Body: r.Body}, nil
}

// Explain says in words why the decision of a record is what it is.
func (e *Engine) Explain(ctx context.Context, c Caller, id string) (*decision.Explanation, error) {
	if _, err := e.audited(ctx, c, access{Verb: "explain", Record: recordName(id)}); err != nil {
		return nil, err
	}
	r, err := e.read(ctx, c.Tenant, id)
	if err != nil {
		return nil, err
	}
	if r.Kind != string(audit.Decision) {
		return nil, fmt.Errorf("explaining record %s: it is a %s, not a decision: %w", id, r.Kind, decision.ErrBody)
	}
	in, d, err := decision.Decode(r.Body)
	if err != nil {
		return nil, err
	}
	return decide.Explain(in, d), nil
}

// Verify recomputes everything the tenant's logs promise.
func (e *Engine) Verify(ctx context.Context, c Caller) (*audit.Report, error) {
	if _, err := e.audited(ctx, c, access{Verb: "verify"}); err != nil {
		return nil, err
	}
	return e.cfg.Log.Verify(ctx, c.Tenant, NewLayout(e.cfg.Log.Reader), nil)
}

// Proof proves to an auditor that a record is in its log. Nothing of the record
// is opened: the proof of an erased one is given too.
func (e *Engine) Proof(ctx context.Context, c Caller, id string) (audit.Proof, error) {
	if _, err := e.audited(ctx, c, access{Verb: "proof", Record: recordName(id)}); err != nil {
		return audit.Proof{}, err
	}
	return e.cfg.Log.Proof(ctx, c.Tenant, audit.RecordID(id))
}

// insider lets every person of the tenant through, to what is not a secret from
// any of them: its release log, and the hashes and sizes of all its logs.
func (e *Engine) insider(ctx context.Context, c Caller) error {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return err
	}
	return e.member(st, c)
}

// StatementProof proves that a statement is in the tenant's release log.
func (e *Engine) StatementProof(ctx context.Context, c Caller, index int64) (audit.Proof, error) {
	if err := e.insider(ctx, c); err != nil {
		return audit.Proof{}, err
	}
	return e.cfg.Log.StatementProof(ctx, c.Tenant, index)
}

// Logs lists the newest signed heads of all the tenant's logs.
func (e *Engine) Logs(ctx context.Context, c Caller) ([]audit.Head, error) {
	if err := e.insider(ctx, c); err != nil {
		return nil, err
	}
	return e.cfg.Log.Logs(ctx, c.Tenant)
}

// Checkpoint returns the newest signed head of one of the tenant's logs.
func (e *Engine) Checkpoint(ctx context.Context, c Caller, log string) ([]byte, error) {
	if err := e.insider(ctx, c); err != nil {
		return nil, err
	}
	return e.cfg.Log.Checkpoint(ctx, c.Tenant, audit.LogName(log))
}

// Tile returns hashes of one of the tenant's logs, for proofs.
func (e *Engine) Tile(ctx context.Context, c Caller, log string, level, n, width int) ([]byte, error) {
	if err := e.insider(ctx, c); err != nil {
		return nil, err
	}
	return e.cfg.Log.Tile(ctx, c.Tenant, audit.LogName(log), level, int64(n), width)
}

// Feedback records what became of cards. Each entry is sealed with the record
// of its card, so that erasing the patient erases it too.
func (e *Engine) Feedback(ctx context.Context, c Caller, service string, body []byte) (*Answer, error) {
	l, st, _, err := e.serving(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if st.policy == nil {
		return nil, st.notReady("taking feedback")
	}
	// Each entry opens the record of its card, which is more work than a call: one
	// body at a time counts as one call.
	if l.calls.Add(1) > int64(st.policy.Limits.Concurrency) {
		l.calls.Add(-1)
		e.busy(c, service, len(body))
		return nil, fmt.Errorf("taking feedback: %w", ErrBusy)
	}
	defer l.calls.Add(-1)
	if client, ok := st.policy.Client(c.Client); !ok {
		return nil, e.refused(ctx, c, service, len(body),
			fmt.Errorf("taking feedback: client is not registered: %w", ErrForbidden))
	} else if !st.policy.HasService(service) || !client.Allows(service) {
		return nil, e.refused(ctx, c, service, len(body), fmt.Errorf("taking feedback: %w", ErrUnknownService))
	}
	entries, refused, err := cdshooks.ParseFeedback(body)
	if err != nil {
		return nil, e.refused(ctx, c, service, len(body), fmt.Errorf("taking feedback: %w", err))
	}
	a := &Answer{Refused: refused}
	if err := e.spendOnFeedback(ctx, st, c, service, body, a); tokenRefused(err) {
		return nil, e.refused(ctx, c, service, len(body), err)
	} else if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if _, err := upToDate(ctx, e, c.Tenant, func() (*Answer, error) {
			_, st, _, err := e.serving(ctx, c.Tenant)
			switch {
			case err != nil:
				return nil, err
			case st.policy == nil:
				return nil, st.notReady("taking feedback")
			}
			return a, e.feedback(ctx, st, c, service, entry, a)
		}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (e *Engine) feedback(ctx context.Context, st *inForce, c Caller, service string, f cdshooks.Feedback,
	a *Answer) error {
	now := e.now()
	id, err := audit.NewRecordID(now, e.cfg.Rand)
	if err != nil {
		return err
	}
	patient, rules, err := e.ofCard(ctx, st, c.Tenant, f.Card)
	if err != nil {
		return fmt.Errorf("recording feedback: %w", err)
	}
	b := feedbackBody{c.Client, service, f, feedbackPatient(patient), rules}
	body, err := b.encode()
	if err != nil {
		return fmt.Errorf("recording feedback: %w", err)
	}
	indexed, err := b.indexed()
	if err != nil {
		return fmt.Errorf("recording feedback: %w", err)
	}
	ctx, stop := durably(ctx)
	defer stop()
	receipt, err := e.cfg.Log.Append(ctx, audit.Entry{
		Kind: audit.Feedback, Tenant: c.Tenant, RecordID: id, Decided: now, Engine: e.cfg.Build,
		Library: e.materials.Newest().Version(),
		Release: int64(st.trust.Size()), Schema: feedbackSchema, Body: [][]byte{body}, Indexed: indexed,
		Quota: st.quota(),
	})
	a.Receipt, a.RecordID = receipt.String(), string(receipt.RecordID)
	return err
}

// ofCard finds whom and which rules a card was about. Feedback for a card that
// nobody remembers, or whose patient was erased, is kept all the same.
func (e *Engine) ofCard(ctx context.Context, st *inForce, t tenant.ID,
	card string) (p audit.Patient, rules []string, err error) {
	var r audit.Record
	id, err := e.cfg.Log.ByCard(ctx, t, card)
	if err == nil {
		r, err = e.cfg.Log.Get(ctx, t, id)
	}
	if errors.Is(err, audit.ErrNotFound) || errors.Is(err, audit.ErrErased) {
		return p, nil, nil
	}
	if err != nil {
		return p, nil, err
	}
	in, d, err := decision.Decode(r.Body)
	if err != nil {
		return p, nil, err
	}
	for i := range d.Findings {
		if d.Findings[i].Card == card {
			rules = append(rules, d.Findings[i].Rule)
		}
	}
	if len(rules) == 0 { // the look-up led to a record without this card: it is not believed
		return p, nil, nil
	}
	slices.Sort(rules)
	rules = slices.Compact(rules)
	client, ok := st.policy.Client(in.Client)
	if !ok {
		return p, rules, nil // no longer registered: its patients have no identity here
	}
	req, err := recorded(in, client)
	if err != nil {
		return p, nil, err
	}
	return patientOf(client.FHIRBase, req.PatientID), rules, nil
}

// Status is what is in force for a tenant, for its people.
type Status struct {
	Tenant     tenant.ID     `json:"tenant"`
	Region     tenant.Region `json:"region"`
	Build      string        `json:"build"`
	Library    string        `json:"library"`
	OPA        string        `json:"opa"`
	NodeKey    []byte        `json:"node_key"`    // Ed25519, signs heads and so receipts
	ReleaseLog int64         `json:"release_log"` // statements so far
	Policy     PolicyStatus  `json:"policy"`
	Home       HomeStatus    `json:"home"`
	// Certificate is this region's, signed: what a placement has to hold for the tenant to
	// live here.
	Certificate string       `json:"certificate"`
	Packs       []PackStatus `json:"packs"`
	Unused      []string     `json:"unused_parameters,omitempty"`
	// Suspensions are open: what each takes out of service stays so until a
	// resumption names its digest.
	Suspensions []SuspensionStatus `json:"suspensions,omitempty"`
}

// SuspensionStatus is an open suspension: of a rule, of a pack (no rule), or of the
// target of a revocation with action suspend.
type SuspensionStatus struct {
	Digest string `json:"digest"` // SHA-256 of the payload
	Pack   string `json:"pack,omitempty"`
	Rule   string `json:"rule,omitempty"`
	Type   string `json:"type,omitempty"` // of the target
	Value  string `json:"value,omitempty"`
}

// HomeStatus says where the tenant lives.
type HomeStatus struct {
	// Epoch is that of the newest placement; 0 if there is none. The next one is above it.
	Epoch uint64 `json:"epoch"`
	// Region and Certificate, the digest of its certificate, are of the placement in force.
	Region      tenant.Region `json:"region,omitempty"`
	Certificate string        `json:"certificate,omitempty"`
	// Why says why this region does not answer EHRs; empty if it does, or may.
	Why string `json:"why,omitempty"`
}

// homeStatus says where a tenant lives.
func (st *inForce) homeStatus() HomeStatus {
	s := HomeStatus{Epoch: st.trust.Epoch()}
	if h, err := st.trust.Home(); err == nil {
		s.Region, s.Certificate = tenant.Region(h.Certificate.Region), string(h.Certificate.Digest())
	}
	if st.home != nil {
		s.Why = st.home.Error()
	}
	return s
}

// PolicyStatus says which policy is in force.
type PolicyStatus struct {
	Seq    uint64 `json:"seq"`
	Digest string `json:"digest,omitempty"`
}

// PackStatus says which version of a pack is in force.
type PackStatus struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
	Seq     uint64 `json:"seq"` // of the activation; the next one is one more
	Rules   int    `json:"rules,omitzero"`
	// Library is the version of the clinical library that the pack was approved
	// with, and runs with.
	Library string `json:"library,omitempty"`
	// Suspended names the rules that are out of service.
	Suspended []string `json:"suspended,omitempty"`
	// NotRun says why this node cannot run the pack; empty if it can.
	NotRun string `json:"not_run,omitempty"`
}

// Status says what is in force for the caller's tenant.
func (e *Engine) Status(ctx context.Context, c Caller) (*Status, error) {
	_, st, err := e.current(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	if err := e.member(st, c); err != nil {
		return nil, err
	}
	s := &Status{Tenant: c.Tenant, Region: e.cfg.Region, Build: e.cfg.Build, Library: e.materials.Newest().Version(),
		OPA: decide.OPAVersion, NodeKey: e.cfg.Log.NodeKey(),
		ReleaseLog: int64(st.trust.Size()), Packs: []PackStatus{}, Home: st.homeStatus(),
		Certificate: string(e.certificate.Bytes())}
	for _, x := range st.trust.OpenSuspensions() {
		s.Suspensions = append(s.Suspensions,
			SuspensionStatus{Digest: string(x.Digest), Pack: string(x.Pack), Rule: x.Rule,
				Type: string(x.Target.Type), Value: x.Target.Value})
	}
	if st.snapshot == nil {
		return s, nil
	}
	s.Policy, s.Unused = PolicyStatus(st.snapshot.Policy()), st.snapshot.UnusedParameters()
	for _, p := range st.snapshot.Parts() {
		status := PackStatus{Name: p.Name, Kind: "rules", Version: p.Version, Digest: p.Digest, Seq: p.Seq,
			Library: p.Library, Rules: len(p.Rules()), NotRun: st.notRun(p.Name)}
		for _, rule := range p.Rules() {
			if p.Mode == decision.Suspended || st.trust.Suspended(statement.Pack(p.Name), rule) {
				status.Suspended = append(status.Suspended, p.Name+"/"+rule)
			}
		}
		s.Packs = append(s.Packs, status)
	}
	if t := st.snapshot.Release().Terminology; t != nil {
		s.Packs = append(s.Packs, PackStatus{Name: t.Name, Kind: "terminology", Version: t.Version, Digest: t.Digest,
			Seq: t.Seq, NotRun: st.notRun(t.Name)})
	}
	if c := st.snapshot.Release().CodeMap; c != nil {
		s.Packs = append(s.Packs, PackStatus{Name: c.Name, Kind: "codemap", Version: c.Version, Digest: c.Digest,
			Seq: c.Seq, NotRun: st.notRun(c.Name)})
	}
	return s, nil
}
