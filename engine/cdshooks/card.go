// Package cdshooks holds the wire types of CDS Hooks 2.0.1 that Precept
// speaks, and the checks that what leaves is conformant: no null, no empty
// string, array or object where the specification forbids one, a summary of
// fewer than 140 characters, a selection behaviour beside suggestions.
//
// Requests are not decoded here but by package chart, in the same pass that
// reads the clinical data.
package cdshooks

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxSummary is the largest number of characters a card's summary may have:
// the specification wants fewer than 140.
const MaxSummary = 139

// ErrCard says that a card would break the specification; the message names
// the member.
var ErrCard = errors.New("card is not conformant")

// Indicator is the urgency of a card.
type Indicator string

// The three indicators of the specification.
const (
	Info     Indicator = "info"
	Warning  Indicator = "warning"
	Critical Indicator = "critical"
)

// Rank orders indicators by urgency: critical 0, warning 1, info 2, others 3.
func (i Indicator) Rank() int {
	switch i {
	case Critical:
		return 0
	case Warning:
		return 1
	case Info:
		return 2
	default:
		return 3
	}
}

// Response is the answer to a service call.
type Response struct {
	Cards []Card `json:"cards"` // never null, may be empty
}

// Card is one piece of guidance.
type Card struct {
	UUID              string       `json:"uuid,omitempty"`
	Summary           string       `json:"summary"`
	Detail            string       `json:"detail,omitempty"` // GitHub-flavoured markdown
	Indicator         Indicator    `json:"indicator"`
	Source            Source       `json:"source"`
	Suggestions       []Suggestion `json:"suggestions,omitempty"`
	SelectionBehavior string       `json:"selectionBehavior,omitempty"`
	OverrideReasons   []Coding     `json:"overrideReasons,omitempty"`
	Links             []Link       `json:"links,omitempty"`
}

// Source says where a card's knowledge comes from.
type Source struct {
	Label string  `json:"label"`
	URL   string  `json:"url,omitempty"`
	Topic *Coding `json:"topic,omitempty"` // stable per rule, so that EHRs can group and mute
}

// Coding is CDS Hooks' own coding: code and system are required.
type Coding struct {
	Code    string `json:"code"`
	System  string `json:"system"`
	Display string `json:"display,omitempty"`
}

// Suggestion is one thing the clinician may accept with a click.
type Suggestion struct {
	Label         string   `json:"label"`
	UUID          string   `json:"uuid,omitempty"`
	IsRecommended bool     `json:"isRecommended,omitzero"`
	Actions       []Action `json:"actions,omitempty"`
}

// Action is one change of a suggestion.
type Action struct {
	Type        string         `json:"type"` // create, update or delete
	Description string         `json:"description"`
	Resource    jsontext.Value `json:"resource,omitempty"`
	ResourceID  string         `json:"resourceId,omitempty"` // "Type/id", for delete
}

// Link leads to more.
type Link struct {
	Label string `json:"label"`
	URL   string `json:"url"`
	Type  string `json:"type"` // absolute or smart
}

// Marshal writes the response. The same response always gives the same bytes.
func (r Response) Marshal() ([]byte, error) {
	if r.Cards == nil {
		r.Cards = []Card{}
	}
	for i := range r.Cards {
		if err := r.Cards[i].Check(); err != nil {
			return nil, fmt.Errorf("writing card %d: %w", i, err)
		}
	}
	b, err := json.Marshal(r, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("writing response: %w", err)
	}
	return b, nil
}

// Check compares a card with the specification.
func (c *Card) Check() error {
	switch {
	case c.Summary == "":
		return fmt.Errorf("summary is empty: %w", ErrCard)
	case utf8.RuneCountInString(c.Summary) > MaxSummary:
		return fmt.Errorf("summary has %d characters, at most %d are allowed: %w", utf8.RuneCountInString(c.Summary),
			MaxSummary, ErrCard)
	case c.Indicator.Rank() > 2:
		return fmt.Errorf("indicator %q is not info, warning or critical: %w", c.Indicator, ErrCard)
	case c.Source.Label == "":
		return fmt.Errorf("source.label is empty: %w", ErrCard)
	case (len(c.Suggestions) > 0) != (c.SelectionBehavior != ""):
		return fmt.Errorf("selectionBehavior goes with suggestions: %w", ErrCard)
	case c.SelectionBehavior != "" && c.SelectionBehavior != "any" && c.SelectionBehavior != "at-most-one":
		return fmt.Errorf("selectionBehavior %q is not any or at-most-one: %w", c.SelectionBehavior, ErrCard)
	}
	for _, s := range c.Suggestions {
		if err := s.check(); err != nil {
			return err
		}
	}
	for _, o := range c.OverrideReasons {
		if o.Code == "" || o.System == "" || o.Display == "" {
			return fmt.Errorf("overrideReasons need code, system and display: %w", ErrCard)
		}
	}
	for _, l := range c.Links {
		if l.Label == "" || l.URL == "" || l.Type != "absolute" && l.Type != "smart" {
			return fmt.Errorf("links need label, url and a type of absolute or smart: %w", ErrCard)
		}
	}
	return nil
}

func (s Suggestion) check() error {
	if s.Label == "" {
		return fmt.Errorf("suggestion.label is empty: %w", ErrCard)
	}
	for _, a := range s.Actions {
		switch {
		case a.Description == "":
			return fmt.Errorf("action.description is empty: %w", ErrCard)
		case a.Type == "delete" && a.ResourceID == "":
			return fmt.Errorf("a delete action needs resourceId: %w", ErrCard)
		case (a.Type == "create" || a.Type == "update") && len(a.Resource) == 0:
			return fmt.Errorf("a %s action needs resource: %w", a.Type, ErrCard)
		case a.Type != "create" && a.Type != "update" && a.Type != "delete":
			return fmt.Errorf("action.type %q is not create, update or delete: %w", a.Type, ErrCard)
		}
	}
	return nil
}
