package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

// What records are found by follows from their bodies and the release log alone: what is stored with a record, and
// what a verification recomputes, is made by the same functions here.

// The layouts of bodies that are about no decision.
const (
	statementSchema = "precept-statement/1"
	noteSchema      = "precept-note/1"
	feedbackSchema  = "precept-feedback/2"
)

// ofDecision is what a decision is found by.
func ofDecision(client tenant.Client, req *chart.Request, d *decision.Decision, call []byte) audit.Indexed {
	i := audit.Indexed{Patient: patientOf(client.FHIRBase, req.PatientID), Idem: call}
	i.Rules, i.Cards = searchable(d)
	return i
}

// patientOf is the one name of a patient, whatever the spelling of the FHIR base and
// of the id: records are filed under it, and looked for.
func patientOf(base, id string) audit.Patient {
	if b, ok := chart.CanonicalBase(base); ok {
		base = b
	}
	if local, ok := chart.LocalID(base, "Patient", id); ok {
		id = local
	}
	return audit.Patient{Base: base, ID: id}
}

// idempotency identifies a call: who asked which service what, as one
// transport attempt or several.
func idempotency(in *decision.Inputs, req *chart.Request) []byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(in.Client), []byte(strings.ToLower(req.HookInstance)), []byte(in.Service),
		req.Body} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return h.Sum(nil)
}

// searchable returns the rules that said something, for the index by rule, and
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

// feedbackBody is what is recorded of feedback: what came, and whom and which rules the card was about as far as was
// known then.
type feedbackBody struct {
	Client   string            `json:"client"`
	Service  string            `json:"service"`
	Feedback cdshooks.Feedback `json:"feedback"`
	Patient  feedbackPatient   `json:"patient,omitzero"`
	Rules    []string          `json:"rules,omitempty"`
}

type feedbackPatient struct {
	Base string `json:"base"`
	ID   string `json:"id"`
}

func (b feedbackBody) encode() ([]byte, error) { return jsonv2.Marshal(b, jsonv2.Deterministic(true)) }

// indexed is what feedback is found by. The same feedback again is a repeat, whatever became known of its card.
func (b feedbackBody) indexed() (audit.Indexed, error) {
	i := audit.Indexed{Patient: audit.Patient(b.Patient), Rules: b.Rules}
	b.Patient, b.Rules = feedbackPatient{}, nil
	sent, err := b.encode()
	i.Idem = append([]byte("feedback:"+b.Client+":"), sent...)
	return i, err
}

// layout tells a verification what the records of one tenant are found by.
type layout struct {
	log      *audit.Reader
	policies map[string]*tenant.Policy // by digest; nil before they are asked for
}

// NewLayout returns what a verification of one tenant needs to know of this package's records.
func NewLayout(log *audit.Reader) audit.Layout { return &layout{log: log} }

// Index implements [audit.Layout].
func (l *layout) Index(ctx context.Context, t tenant.ID, r audit.Record) (audit.Indexed, bool, error) {
	switch r.Leaf.Schema {
	case statementSchema, noteSchema:
		return audit.Indexed{}, true, nil
	case feedbackSchema:
		var b feedbackBody
		if err := jsonv2.Unmarshal(r.Body, &b); err != nil {
			return audit.Indexed{}, false, nil
		}
		i, err := b.indexed()
		return i, err == nil, nil
	case decision.Schema:
		return l.decision(ctx, t, r.Body)
	}
	return audit.Indexed{}, false, nil
}

func (l *layout) decision(ctx context.Context, t tenant.ID, body []byte) (i audit.Indexed, ok bool, err error) {
	in, d, err := decision.Decode(body)
	if err != nil {
		return i, false, nil
	}
	if err := l.read(ctx, t); err != nil {
		return i, false, err
	}
	policy := l.policies[in.Policy.Digest]
	if policy == nil {
		return i, false, nil
	}
	client, ok := policy.Client(in.Client)
	if !ok {
		return i, false, nil
	}
	req, err := recorded(in, client)
	if err != nil {
		return i, false, nil
	}
	return ofDecision(client, req, d, idempotency(in, req)), true, nil
}

// recorded reads the request of a record again, whatever limits were in force.
func recorded(in *decision.Inputs, client tenant.Client) (*chart.Request, error) {
	return chart.Parse(in.Request, chart.Limits{Bytes: len(in.Request), Resources: 1 << 20, AnyInstance: true,
		Base: client.FHIRBase})
}

// read takes the policies from the release log, once. One that this program cannot read, or a release log that does
// not hold, is left out: what was decided under it cannot be told, and the log's own check names the fault.
func (l *layout) read(ctx context.Context, t tenant.ID) error {
	if l.policies != nil {
		return nil
	}
	l.policies = map[string]*tenant.Policy{}
	for s, err := range l.log.Statements(ctx, t, 0) {
		if errors.Is(err, audit.ErrCorrupt) || errors.Is(err, audit.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		env, err := signing.ReadEnvelope(s.Envelope)
		if err != nil {
			continue
		}
		if p, ok := env.Statement().Predicate.(statement.TenantPolicy); ok {
			if policy, err := tenant.Parse(p.Policy); err == nil {
				l.policies[string(env.Digest())] = policy
			}
		}
	}
	return nil
}

// Blobs implements [audit.Layout]: a release is taken only when its archive is stored.
func (l *layout) Blobs(envelope []byte) []audit.Digest {
	env, err := signing.ReadEnvelope(envelope)
	if err != nil {
		return nil
	}
	if _, ok := env.Statement().Predicate.(statement.PackRelease); !ok {
		return nil
	}
	d, err := audit.ParseDigest(string(env.Statement().Archive.SHA256))
	if err != nil {
		return nil
	}
	return []audit.Digest{d}
}
