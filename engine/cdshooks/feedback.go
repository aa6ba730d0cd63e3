package cdshooks

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrFeedback says that a feedback body, or an entry of it, is not what CDS
// Hooks defines. The message names the path, never the value.
var ErrFeedback = errors.New("feedback is not conformant")

// Limits of one feedback body. Far above what EHRs send.
const (
	MaxFeedback        = 1000   // entries
	maxFeedbackID      = 256    // bytes of a card or suggestion id
	maxFeedbackComment = 10_000 // characters of a comment
	maxAccepted        = 100    // suggestions accepted of one card
)

// Outcome is what a clinician did with a card.
type Outcome string

// The two outcomes; that a card was ignored is never sent.
const (
	Accepted   Outcome = "accepted"
	Overridden Outcome = "overridden"
)

// Feedback says what happened to one card. EHRs send it late, in batches and
// more than once; it names no hook, patient or user.
type Feedback struct {
	Card     string    `json:"card"` // the card's uuid; opaque, not always a UUID
	Outcome  Outcome   `json:"outcome"`
	Accepted []string  `json:"accepted,omitempty"` // uuids of the suggestions taken; at least one if accepted
	Reason   *Coding   `json:"reason,omitempty"`   // nil if none was picked; Display may be empty
	Comment  string    `json:"comment,omitempty"`  // the clinician's own words: treat as patient data
	At       time.Time `json:"at"`                 // when it happened by the EHR's clock, in UTC
}

// FeedbackError says which entry of a feedback body is not usable.
type FeedbackError struct {
	Path string // e.g. "feedback[2].outcome"
	Want string // e.g. "accepted or overridden"
}

// Error names the path and what was wanted there.
func (e *FeedbackError) Error() string {
	return fmt.Sprintf("%v at %s: want %s", ErrFeedback, e.Path, e.Want)
}

// Unwrap returns ErrFeedback.
func (e *FeedbackError) Unwrap() error { return ErrFeedback }

// wireFeedback is an entry as sent. Members that nobody knows are allowed.
type wireFeedback struct {
	Card      string           `json:"card"`
	Outcome   Outcome          `json:"outcome"`
	Accepted  []wireSuggestion `json:"acceptedSuggestions"`
	Override  *wireOverride    `json:"overrideReason"`
	Overrides *wireOverride    `json:"overrideReasons"` // Epic's spelling of the same object
	At        string           `json:"outcomeTimestamp"`
}

type wireSuggestion struct {
	ID string `json:"id"`
}

type wireOverride struct {
	Reason  *Coding `json:"reason"`
	Comment string  `json:"userComment"`
}

// ParseFeedback reads the body of a feedback call. Entries that are not usable
// do not spoil the others: they come back one by one as refused. The error is
// not nil, and wraps ErrFeedback, if the body as a whole is not a feedback
// object or no entry of it is usable. Duplicate names and invalid UTF-8 are
// refused everywhere, unknown members ignored.
func ParseFeedback(body []byte) (entries []Feedback, refused []*FeedbackError, err error) {
	var wire struct {
		Feedback []jsontext.Value `json:"feedback"`
	}
	switch err := json.Unmarshal(body, &wire); {
	case err != nil:
		return nil, nil, bodyError(err)
	case len(wire.Feedback) == 0:
		return nil, nil, &FeedbackError{"feedback", "an array with at least one entry"}
	case len(wire.Feedback) > MaxFeedback:
		return nil, nil, &FeedbackError{"feedback", fmt.Sprintf("at most %d entries", MaxFeedback)}
	}
	for i, raw := range wire.Feedback {
		entry, bad := parseEntry(raw)
		if bad != nil {
			bad.Path = strings.TrimSuffix(fmt.Sprintf("feedback[%d].%s", i, bad.Path), ".")
			refused = append(refused, bad)
			continue
		}
		entries = append(entries, entry)
	}
	if len(entries) == 0 {
		return nil, refused, refused[0]
	}
	return entries, refused, nil
}

func parseEntry(raw jsontext.Value) (Feedback, *FeedbackError) {
	if raw.Kind() != '{' {
		return Feedback{}, &FeedbackError{"", "an object"}
	}
	var w wireFeedback
	if err := json.Unmarshal(raw, &w); err != nil {
		return Feedback{}, shapeError(err)
	}
	f := Feedback{Card: w.Card, Outcome: w.Outcome}
	if !usableID(w.Card) {
		return f, &FeedbackError{"card", fmt.Sprintf("an id of 1 to %d bytes", maxFeedbackID)}
	}
	if bad := f.accept(w.Accepted); bad != nil {
		return f, bad
	}
	if bad := f.override(w.Override, w.Overrides); bad != nil {
		return f, bad
	}
	at, err := time.Parse(time.RFC3339, w.At)
	if err != nil {
		return f, &FeedbackError{"outcomeTimestamp", "an RFC 3339 time"}
	}
	f.At = at.UTC()
	return f, nil
}

func (f *Feedback) accept(accepted []wireSuggestion) *FeedbackError {
	switch {
	case f.Outcome != Accepted && f.Outcome != Overridden:
		return &FeedbackError{"outcome", "accepted or overridden"}
	case f.Outcome == Accepted && len(accepted) == 0:
		return &FeedbackError{"acceptedSuggestions", "the suggestions that were accepted"}
	case len(accepted) > maxAccepted:
		return &FeedbackError{"acceptedSuggestions", fmt.Sprintf("at most %d suggestions", maxAccepted)}
	}
	for i, s := range accepted {
		if !usableID(s.ID) {
			return &FeedbackError{fmt.Sprintf("acceptedSuggestions[%d].id", i),
				fmt.Sprintf("an id of 1 to %d bytes", maxFeedbackID)}
		}
		f.Accepted = append(f.Accepted, s.ID)
	}
	return nil
}

// override takes the reason under either spelling. A reason without a comment, a
// comment without a reason, and neither are all allowed.
func (f *Feedback) override(one, other *wireOverride) *FeedbackError {
	name := "overrideReason"
	if one != nil && other != nil {
		return &FeedbackError{"overrideReasons", "nothing beside overrideReason"}
	}
	if other != nil {
		one, name = other, "overrideReasons"
	}
	switch {
	case one == nil:
		return nil
	case one.Reason != nil && (one.Reason.Code == "" || one.Reason.System == ""):
		return &FeedbackError{name + ".reason", "code and system"}
	case one.Reason != nil && len(one.Reason.Code)+len(one.Reason.System)+len(one.Reason.Display) > 4*maxFeedbackID:
		return &FeedbackError{name + ".reason", "a shorter coding"}
	case utf8.RuneCountInString(one.Comment) > maxFeedbackComment:
		return &FeedbackError{name + ".userComment", fmt.Sprintf("at most %d characters", maxFeedbackComment)}
	}
	f.Reason, f.Comment = one.Reason, one.Comment
	return nil
}

func usableID(id string) bool { return id != "" && len(id) <= maxFeedbackID }

// bodyError tells broken JSON from JSON of the wrong shape.
func bodyError(err error) *FeedbackError {
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return &FeedbackError{"body", "strict JSON: one value, no duplicate names, valid UTF-8"}
	}
	return &FeedbackError{"body", "an object with the array feedback"}
}

// shapeError names the member of an entry that has the wrong type. Only names that
// wireFeedback declares can occur, so the path holds nothing of the sender's.
func shapeError(err error) *FeedbackError {
	path := "entry"
	if s, ok := errors.AsType[*json.SemanticError](err); ok {
		path = strings.ReplaceAll(strings.TrimPrefix(string(s.JSONPointer), "/"), "/", ".")
	}
	return &FeedbackError{path, "the type that CDS Hooks gives it"}
}
