package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
)

// Media types of answers.
const (
	typeJSON = "application/json"
	typeFHIR = "application/fhir+json"
)

// discovery lists the services that the client may call, from the policy in
// force.
func (s *Server) discovery(x *exchange) error {
	registered, _ := x.policy.Client(x.caller.Client)
	d := cdshooks.Discovery{Services: []cdshooks.Service{}}
	for _, v := range x.policy.Services {
		if !registered.Allows(v.ID) {
			continue
		}
		entry := cdshooks.Service{Hook: v.Hook, Title: v.Title, Description: v.Description, ID: v.ID,
			UsageRequirements: v.Usage}
		for _, p := range v.Prefetch {
			entry.Prefetch = append(entry.Prefetch, cdshooks.Template{Key: p.Key, Query: p.Query})
		}
		d.Services = append(d.Services, entry)
	}
	body, err := d.Marshal()
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, typeJSON, body)
	return nil
}

// call answers a service call with exactly the bytes that were recorded.
func (s *Server) call(x *exchange) error {
	a, err := s.ask(x, s.engine.Call)
	if err != nil {
		return err
	}
	x.cards, x.cut, x.repeated = a.Cards.Total(), a.Cut, a.Repeated
	if !a.Repeated {
		s.metrics.recorded(x.caller.Tenant, "decision")
		s.metrics.answered(x.caller.Tenant, a)
	}
	x.reply(http.StatusOK, typeJSON, a.Body)
	return nil
}

// feedback takes in what became of cards. Entries that are not usable do not
// spoil the others: the answer is 200 all the same, and names them.
func (s *Server) feedback(x *exchange) error {
	a, err := s.ask(x, s.engine.Feedback)
	if err != nil {
		return err
	}
	s.metrics.recorded(x.caller.Tenant, "feedback")
	if len(a.Refused) == 0 {
		x.Header().Set("Cache-Control", "no-store")
		x.WriteHeader(http.StatusOK)
		return nil
	}
	issues := make([]fhir.OperationOutcomeIssue, len(a.Refused))
	for i, bad := range a.Refused {
		issues[i] = s.problems.find(bad).issueOf(bad, fhir.IssueSeverityError)
	}
	x.reply(http.StatusOK, typeFHIR, outcome(issues...))
	return nil
}

// verb is one of the engine's two answers to an EHR.
type verb func(ctx context.Context, c engine.Caller, service string, body []byte) (*engine.Answer, error)

// ask reads the body and asks the engine. What the door refuses is recorded
// here; what the engine refuses it records itself.
func (s *Server) ask(x *exchange, verb verb) (*engine.Answer, error) {
	service := x.param("id")
	registered, _ := x.policy.Client(x.caller.Client)
	if !x.policy.HasService(service) || !registered.Allows(service) {
		return nil, s.turnAway(x, service, engine.ErrUnknownService)
	}
	x.service = service
	if err := x.wantJSON(); err != nil {
		return nil, s.turnAway(x, service, err)
	}
	body, err := s.bodyInTime(x)
	if errors.Is(err, engine.ErrBusy) || errors.Is(err, errNoRoom) {
		return nil, err // not recorded: a flood of calls would be one of records
	}
	if err != nil {
		return nil, s.turnAway(x, service, err)
	}
	turn := want{who: string(x.caller.Tenant), bytes: 1}
	if err := s.turns.take(x.r.Context(), &turn); err != nil {
		return nil, fmt.Errorf("waiting for a turn: %w", err) // not recorded either
	}
	defer s.turns.release(&turn)
	a, err := verb(x.r.Context(), x.caller, service, body)
	if err != nil {
		switch {
		case errors.Is(err, audit.ErrTokenUsed):
			s.metrics.token(x.caller.Tenant, audit.TokenReused)
			err = fmt.Errorf("%w: %w", deniedUsed, err)
		case errors.Is(err, audit.ErrTokensFull):
			s.metrics.token(x.caller.Tenant, audit.TokenFull)
			s.metrics.recorded(x.caller.Tenant, "refusal")
			return nil, err
		}
		if status := s.problems.find(err).status; status < 500 && status != http.StatusTooManyRequests {
			s.metrics.recorded(x.caller.Tenant, "refusal")
		}
		return nil, err
	}
	x.record, x.tokenUse = a.RecordID, a.Token
	s.metrics.token(x.caller.Tenant, a.Token)
	x.Header().Set(wire.ReceiptHeader, a.Receipt)
	return a, nil
}

// bodyInTime reads the body of a call. What has not come by the deadline of the call
// cannot be answered any more.
func (s *Server) bodyInTime(x *exchange) ([]byte, error) {
	left := x.policy.Limits.Deadline() - s.cfg.Clock().Sub(x.began)
	c := http.NewResponseController(x.ResponseWriter)
	limited := c.SetReadDeadline(time.Now().Add(left)) == nil // not for writers that have none
	body, err := s.body(x, aCall, x.policy.Limits.Concurrency, x.policy.Limits.BodyBytes)
	if limited && err == nil {
		_ = c.SetReadDeadline(time.Now().Add(s.cfg.Timeouts.Read)) // it was possible before
	}
	return body, err
}

// maxServiceName bounds what a record keeps of a service name that does not
// exist.
const maxServiceName = 100

// turnAway records that the door refused a known client, and returns the
// reason. If it cannot be recorded, that is the problem to answer with. A client
// that has gone away does not stop the record.
func (s *Server) turnAway(x *exchange, service string, why error) error {
	name := strings.ToValidUTF8(service[:min(len(service), maxServiceName)], "")
	r := engine.Refusal{Service: name, Code: s.problems.find(why).code,
		Bytes: x.r.ContentLength}
	if err := s.engine.Refuse(context.WithoutCancel(x.r.Context()), x.caller, r); err != nil {
		return err
	}
	s.metrics.recorded(x.caller.Tenant, "refusal")
	return why
}
