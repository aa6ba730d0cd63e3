// Package chart turns a CDS Hooks call into the patient context that rules
// ask about: FHIR resources, indexed and de-duplicated, with the completeness
// of every source.
//
// Parse is one strict pass over the bytes of a call. It blanks the access
// token before anything else sees the body, notes where every resource lies
// and decodes none: a resource that no rule asks for costs one scan and no
// memory. New makes a Chart of it; the typed views (Observation, Condition,
// Order, Exposure, Patient) are decoded when they are asked for.
//
// What the package guarantees: bad input is an error naming the path or the
// byte, never a panic and never with content; nothing missing is taken for
// normal (every question of absence goes through Chart.Complete); dates keep
// their precision; codes match by system and code, never by display; nothing
// reads a clock, a zone file of the machine or the network, so a recorded
// body yields the same chart again.
//
// What it does not: it judges no clinical question, follows no next link and
// fetches nothing. A Chart belongs to one decision and one goroutine.
package chart

import (
	"errors"
	"fmt"

	"github.com/precept-cds/precept/engine/chart/rawjson"
)

// ErrJSON means that a body is not strict JSON: broken, cut short, with
// duplicate names, invalid UTF-8 or trailing data. Answer 400 naming the byte.
var ErrJSON = rawjson.ErrJSON

// ErrTooDeep means that a body nests deeper than Limits.Depth. Answer 400.
var ErrTooDeep = rawjson.ErrTooDeep

// ErrTooLarge means that a body has more bytes or resources than Limits
// allow. Answer 413.
var ErrTooLarge = errors.New("too large")

// ErrShape means that a part of a body does not have the shape CDS Hooks or FHIR
// gives it. Answer 400 naming the path.
var ErrShape = errors.New("wrong shape")

// ErrServer means that a call names a FHIR server, or a patient of one, that is
// not the one its client is registered with. Answer 400.
var ErrServer = errors.New("of another FHIR server than the client is registered with")

// ServerError says where a call names the other server.
type ServerError struct {
	Path string // "fhirServer", or that of an absolute reference
}

// Error names the path.
func (e *ServerError) Error() string { return e.Path + " is " + ErrServer.Error() }

// Unwrap returns ErrServer.
func (e *ServerError) Unwrap() error { return ErrServer }

// ShapeError says which part of a body has the wrong shape, never what it
// held.
type ShapeError struct {
	Path string // e.g. "prefetch.labs.entry[3].resource"
	Want string // e.g. "an object"
}

// Error names the path and what was wanted there.
func (e *ShapeError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%v: want %s", ErrShape, e.Want)
	}
	return fmt.Sprintf("%v at %s: want %s", ErrShape, e.Path, e.Want)
}

// Unwrap returns ErrShape.
func (e *ShapeError) Unwrap() error { return ErrShape }

// Limits bounds what Parse accepts. A zero field has the default beside it.
type Limits struct {
	Bytes     int // 8 MiB
	Depth     int // 64 levels of objects and arrays
	Resources int // 10,000

	// Base is the address of the FHIR server that the client is registered with.
	// Other spellings of it, and references to its patients, are taken for it; other
	// servers are refused. If it is empty, any server is taken.
	Base string
	// AnyInstance accepts a hookInstance that is not a UUID: a known test kit
	// sends digits that are not hexadecimal.
	AnyInstance bool
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 8 << 20
	}
	if l.Depth == 0 {
		l.Depth = 64
	}
	if l.Resources == 0 {
		l.Resources = 10_000
	}
	return l
}

// Request is one CDS Hooks call as sent, without its secret. It is not
// changed after Parse and may be shared.
type Request struct {
	// Body is the body with the access token blanked to "". It is what
	// records keep; parsing it again yields the same Request. Do not change it.
	Body []byte

	Hook         string
	HookInstance string // as sent, upper or lower case
	FHIRServer   string // in its canonical spelling, as far as it has one; empty if not sent
	UserID       string // "Type/id"
	PatientID    string // the logical id, however it was written
	EncounterID  string // likewise
	Selections   []string

	// Drafts are the resources of context.draftOrders, whatever their type;
	// its Completeness is NotSupplied if the context has none.
	Drafts Source
	// Prefetch holds the sources sent, in the order of the body. A key that
	// was not sent is not here.
	Prefetch []Source

	Authorization *Authorization // nil if not sent
	// Token is the access token; it is empty when Body is parsed again.
	Token Token
}

// Authorization is fhirAuthorization without the token.
type Authorization struct {
	TokenType string
	Scope     string // not always SMART scopes
	Subject   string
	Patient   string
	ExpiresIn int // seconds; 0 if not readable
}

// DraftsKey is the key of Request.Drafts, in evidence and as a source.
const DraftsKey = "context.draftOrders"

// Completeness says whether the absence of a resource in a source means
// anything. The zero value is NotSupplied; of two, the lower is the worse.
type Completeness uint8

// The states of a source, from worst to best.
const (
	NotSupplied Completeness = iota // key omitted: nothing is known
	Failed                          // an error in its place
	Suppressed                      // entries were left out
	Partial                         // more pages or entries exist
	Complete                        // all there is, perhaps nothing
)

// String returns the word for logs and records.
func (c Completeness) String() string {
	return [...]string{"not-supplied", "failed", "suppressed", "partial", "complete"}[min(c, Complete)]
}

// Source is what came under one prefetch key, or was fetched for it.
type Source struct {
	Key          string
	Completeness Completeness
	// Single is true for a lone resource (a read), false for a search.
	Single bool
	// Malformed says where the value of a prefetch key has the wrong shape; nothing
	// of it is read then. It is nil for nearly all.
	Malformed *ShapeError
	// Notes are the issue codes of OperationOutcome entries, such as
	// "processing" in the note an empty search comes with; at most 16.
	Notes []string

	items []item
}

// Len returns the number of resources in the source, before any is dropped.
func (s *Source) Len() int { return len(s.items) }

// item is one resource where it lies; nothing of it is decoded.
type item struct {
	raw      rawjson.Value
	typ      string
	fullURL  string
	included bool  // search mode include: says nothing about absence
	modified bool  // what it stands in has content that must be understood
	bundle   int32 // which Bundle of the source it stands in, from 1; 0 for a lone resource
}
