// Package client calls Precept over HTTP: as a person of a tenant's trust root
// ([Client]) or as a registered EHR ([EHR]). What goes over the wire is in
// package wire, which the server uses too, so the two cannot drift apart.
//
// What it guarantees: every call carries a token of its own, signed for one
// audience and a few minutes; a patient is never put into a URL; redirects are
// not followed; an answer that is not a success is an error of type [*Problem].
//
// What it does not do: it never tries again by itself, and it verifies neither
// receipts nor records; package audit does.
package client

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/api/wire"
)

// Problem is an answer that says no: the server's document, or what an
// OperationOutcome tells of the same.
type Problem struct {
	wire.Problem
	RetryAfter int // seconds; 0 if the server named none
}

// Error says what the server said.
func (p *Problem) Error() string {
	text := fmt.Sprintf("%d %s", p.Status, cmp.Or(p.Title, http.StatusText(p.Status)))
	for _, more := range []string{p.Detail, p.Hint} {
		if more != "" {
			text = strings.TrimSuffix(text, ".") + ": " + more
		}
	}
	return text
}

// ErrAnswer says that the server's answer is not one of Precept's. Check the
// address.
var ErrAnswer = errors.New("answer is not from Precept")

// readProblem makes the error of an answer that is not a success.
func readProblem(status int, h http.Header, body []byte) error {
	p := &Problem{}
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch kind {
	case "application/problem+json":
		if err := json.Unmarshal(body, &p.Problem); err != nil {
			return fmt.Errorf("reading problem of status %d: %w", status, ErrAnswer)
		}
	case "application/fhir+json":
		if err := p.fromOutcome(body); err != nil {
			return fmt.Errorf("reading outcome of status %d: %w", status, ErrAnswer)
		}
	default:
		return fmt.Errorf("status %d with content type %q: %w", status, kind, ErrAnswer)
	}
	p.Status = status
	p.RetryAfter, _ = strconv.Atoi(h.Get("Retry-After")) // absent is 0
	return p
}

// outcome is what an OperationOutcome of Precept holds.
type outcome struct {
	ResourceType string `json:"resourceType"`
	Issue        []struct {
		Details struct {
			Text   string `json:"text"`
			Coding []struct {
				Code string `json:"code"`
			} `json:"coding"`
		} `json:"details"`
		Diagnostics string   `json:"diagnostics"`
		Expression  []string `json:"expression"`
	} `json:"issue"`
}

func (p *Problem) fromOutcome(body []byte) error {
	var o outcome
	if err := json.Unmarshal(body, &o); err != nil {
		return err
	}
	if o.ResourceType != "OperationOutcome" || len(o.Issue) == 0 {
		return ErrAnswer
	}
	i := o.Issue[0]
	p.Title, p.Detail = i.Details.Text, i.Diagnostics
	if len(i.Details.Coding) > 0 {
		p.Code = i.Details.Coding[0].Code
	}
	if len(i.Expression) > 0 {
		p.At = i.Expression[0]
	}
	return nil
}
