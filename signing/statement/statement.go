// Package statement holds what can be signed: statements of each kind, and their one
// spelling in bytes.
//
// # Layout
//
// A statement is an in-toto Statement v1 with exactly one subject and one of the
// predicates below, in canonical form: the field order of the Go types, no white space,
// times in UTC with whole seconds.
//
//	{"_type":"https://in-toto.io/Statement/v1",
//	 "subject":[{"name":"pack.tar","digest":{"sha256":"…","dirHash1":"…"}}],
//	 "predicateType":"https://github.com/precept-cds/precept/statement/activation/v1",
//	 "predicate":{"tenant":"north","region":"us-east",…}}
//
// The subject of pack-release, clinical-review and activation is the canonical
// uncompressed archive. The subject of every other kind has the name of the kind and the
// SHA-256 of the predicate's own bytes.
//
// # What it guarantees, and what it does not
//
// [Parse] takes exactly the bytes that [Statement.Payload] writes, so one statement has
// one digest, and a statement that was read has every field in range. What is to be signed
// or logged now must pass [Statement.Check], too. Nothing is signed or believed here, and
// statements are not compared with each other.
package statement

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/signing/internal/strict"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/trust"
)

// MaxSize is the most bytes that a payload, and an envelope around it, may have: the
// longest entry of a C2SP tlog-tiles log, where envelopes are stored.
const MaxSize = 65535

var (
	// ErrMalformed means the bytes are not a statement, or not an envelope, of this
	// version in canonical form. Make it again; do not store it.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge means a limit of size or count was exceeded before anything was
	// believed. Split or shorten the statement.
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported means the kind, format or algorithm is known or plausible but
	// this version does not act on it. Upgrade, or use a supported one.
	ErrUnsupported = errors.New("not supported by this version")
)

// Names that must not be mixed up.
type (
	// Tenant is a health system, `[a-z][a-z0-9-]{1,62}`.
	Tenant string
	// Region is a data plane in one jurisdiction, `[a-z][a-z0-9-]{1,62}`.
	Region string
	// Pack is the name of a rule pack, `[a-z][a-z0-9_]{1,62}`.
	Pack string
)

// Kind names what a statement does. It is part of the predicate type.
type Kind string

const (
	kindTrustRoot      Kind = "trust-root"
	kindTenantPolicy   Kind = "tenant-policy"
	kindPackRelease    Kind = "pack-release"
	kindClinicalReview Kind = "clinical-review"
	kindActivation     Kind = "activation"
	kindSuspension     Kind = "suspension"
	kindResumption     Kind = "resumption"
	kindRevocation     Kind = "revocation"
	kindCertificate    Kind = "region-certificate"
	kindPlacement      Kind = "placement"

	// The design fixes what these will mean; this version neither makes nor takes them.
	kindTestResult   Kind = "test-result"
	kindKeyOperation Kind = "key-operation"
	kindHold         Kind = "hold"
	kindErasure      Kind = "erasure"
	kindRetention    Kind = "retention"
)

// AboutPack reports whether the subject of such statements is a pack's archive.
func (k Kind) AboutPack() bool {
	return k == kindPackRelease || k == kindClinicalReview || k == kindActivation
}

// Predicate is what a statement says: a [trust.Root], [TenantPolicy], [PackRelease],
// [ClinicalReview], [Activation], [Suspension], [Resumption], [Revocation],
// [RegionCertificate] or [Placement], by value.
type Predicate interface {
	// Check returns what makes it unfit to be signed, or nil.
	Check() error
}

const (
	statementType   = "https://in-toto.io/Statement/v1"
	predicatePrefix = "https://github.com/precept-cds/precept/statement/"
	predicateSuffix = "/v1"
	packSubject     = "pack.tar"
)

// PackDigest identifies a pack by its canonical uncompressed archive.
type PackDigest struct {
	// SHA256 is of the bytes of pack.tar.
	SHA256 trust.Digest
	// DirHash1 is the hex form of Go's Hash1 over the same files (in-toto digest set).
	DirHash1 trust.Digest
}

// Statement says Predicate about Archive, or, for kinds that are not about a pack,
// about the predicate itself; Archive is then zero.
type Statement struct {
	Archive   PackDigest
	Predicate Predicate
}

// wire is the in-toto form, in its canonical field order.
type wire struct {
	Type          string         `json:"_type"`
	Subject       []subject      `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     jsontext.Value `json:"predicate"`
}

type subject struct {
	Name   string        `json:"name"`
	Digest subjectDigest `json:"digest"`
}

type subjectDigest struct {
	SHA256   trust.Digest `json:"sha256"`
	DirHash1 trust.Digest `json:"dirHash1,omitzero"`
}

// Kind returns what the statement does; empty for a predicate of no known type.
func (s Statement) Kind() Kind {
	switch s.Predicate.(type) {
	case trust.Root:
		return kindTrustRoot
	case TenantPolicy:
		return kindTenantPolicy
	case PackRelease:
		return kindPackRelease
	case ClinicalReview:
		return kindClinicalReview
	case Activation:
		return kindActivation
	case Suspension:
		return kindSuspension
	case Resumption:
		return kindResumption
	case Revocation:
		return kindRevocation
	case RegionCertificate:
		return kindCertificate
	case Placement:
		return kindPlacement
	default:
		return ""
	}
}

// Check returns what makes s unfit to be signed or to enter a log, or nil. It is stricter
// than [Parse], which also reads what was signed when spellings were freer.
func (s Statement) Check() error {
	if s.Kind() == "" {
		return fmt.Errorf("making statement: %w: the predicate is of none of the known types", ErrMalformed)
	}
	return s.unfit(s.Predicate.Check())
}

func (s Statement) unfit(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keys.ErrUnsupported):
		return fmt.Errorf("making %s statement: %w: %w", s.Kind(), ErrUnsupported, err)
	default:
		return fmt.Errorf("making %s statement: %w: %w", s.Kind(), ErrMalformed, err)
	}
}

// Payload returns the canonical bytes of the statement, which is what is signed.
// Times are cut to whole seconds. A predicate with a field missing or out of range
// is [ErrMalformed].
func (s Statement) Payload() ([]byte, error) {
	kind := s.Kind()
	if kind == "" {
		return nil, s.Check()
	}
	check := s.Predicate.Check
	if older, ok := s.Predicate.(interface{ CheckStored() error }); ok {
		check = older.CheckStored
	}
	if err := s.unfit(check()); err != nil {
		return nil, err
	}
	predicate, err := strict.Marshal(s.Predicate)
	if err != nil {
		return nil, fmt.Errorf("making %s statement: %w: %v", kind, ErrMalformed, err)
	}
	about, err := s.subject(predicate)
	if err != nil {
		return nil, fmt.Errorf("making %s statement: %w", kind, err)
	}
	payload, err := strict.Marshal(wire{
		Type:          statementType,
		Subject:       []subject{about},
		PredicateType: predicatePrefix + string(kind) + predicateSuffix,
		Predicate:     predicate,
	})
	if err != nil {
		return nil, fmt.Errorf("making %s statement: %w: %v", kind, ErrMalformed, err)
	}
	if len(payload) > MaxSize {
		return nil, fmt.Errorf("making %s statement of %d bytes: %w; at most %d", kind, len(payload), ErrTooLarge, MaxSize)
	}
	return payload, nil
}

func (s Statement) subject(predicate []byte) (subject, error) {
	kind := s.Kind()
	if !kind.AboutPack() {
		if s.Archive != (PackDigest{}) {
			return subject{}, fmt.Errorf("%w: a %s is not about a pack; leave the digest out", ErrMalformed, kind)
		}
		return subject{Name: string(kind), Digest: subjectDigest{SHA256: trust.DigestOf(predicate)}}, nil
	}
	if !strict.Digest.MatchString(string(s.Archive.SHA256)) || !strict.Digest.MatchString(string(s.Archive.DirHash1)) {
		return subject{}, fmt.Errorf("%w: subject %s needs sha256 and dirHash1 in lower-case hex", ErrMalformed, packSubject)
	}
	return subject{Name: packSubject, Digest: subjectDigest(s.Archive)}, nil
}

// Parse reads a payload. It accepts exactly the bytes that [Statement.Payload]
// would write: every other spelling, an unknown field, a second subject or a digest
// that does not fit is [ErrMalformed]; a kind we do not act on is [ErrUnsupported].
func Parse(payload []byte) (Statement, error) {
	if len(payload) > MaxSize {
		return Statement{}, fmt.Errorf("reading statement of %d bytes: %w; at most %d", len(payload), ErrTooLarge, MaxSize)
	}
	var w wire
	if err := strict.Unmarshal(payload, &w); err != nil {
		return Statement{}, fmt.Errorf("reading statement: %w: %w", ErrMalformed, err)
	}
	if w.Type != statementType {
		return Statement{}, fmt.Errorf("reading statement: %w: _type is not %s", ErrMalformed, statementType)
	}
	predicate, err := decode(w.PredicateType, w.Predicate)
	if err != nil {
		return Statement{}, fmt.Errorf("reading statement: %w", err)
	}
	s := Statement{Predicate: predicate}
	kind := s.Kind()
	if len(w.Subject) != 1 {
		return Statement{}, fmt.Errorf("reading %s statement: %w: %d subjects; expected one",
			kind, ErrMalformed, len(w.Subject))
	}
	if kind.AboutPack() {
		s.Archive = PackDigest(w.Subject[0].Digest)
	}
	// Writing what was read and comparing covers the subject's name and digests, the
	// field order, number and time spellings, white space, and fields left out.
	again, err := s.Payload()
	if err != nil {
		return Statement{}, err
	}
	if !bytes.Equal(again, payload) {
		return Statement{}, fmt.Errorf(
			"reading %s statement: %w: not in canonical form, or the subject does not fit; make it with this package",
			kind, ErrMalformed)
	}
	return s, nil
}

// decode reads the predicate of a type. Its errors do not repeat the type, which may be
// anything until it is one of ours.
func decode(predicateType string, raw jsontext.Value) (Predicate, error) {
	name, ours := strings.CutPrefix(predicateType, predicatePrefix)
	name, current := strings.CutSuffix(name, predicateSuffix)
	if !ours || !current {
		return nil, fmt.Errorf("%w: predicate type is not %s<kind>%s", ErrMalformed, predicatePrefix, predicateSuffix)
	}
	switch kind := Kind(name); kind {
	case kindTrustRoot:
		return decodeInto[trust.Root](raw)
	case kindTenantPolicy:
		return decodeInto[TenantPolicy](raw)
	case kindPackRelease:
		return decodeInto[PackRelease](raw)
	case kindClinicalReview:
		return decodeInto[ClinicalReview](raw)
	case kindActivation:
		return decodeInto[Activation](raw)
	case kindSuspension:
		return decodeInto[Suspension](raw)
	case kindResumption:
		return decodeInto[Resumption](raw)
	case kindRevocation:
		return decodeInto[Revocation](raw)
	case kindCertificate:
		return decodeInto[RegionCertificate](raw)
	case kindPlacement:
		return decodeInto[Placement](raw)
	case kindTestResult, kindKeyOperation, kindHold, kindErasure, kindRetention:
		return nil, fmt.Errorf("kind %s is %w; it is reserved", kind, ErrUnsupported)
	default:
		return nil, fmt.Errorf("%w: there is no such kind of statement", ErrMalformed)
	}
}

func decodeInto[P Predicate](raw jsontext.Value) (Predicate, error) {
	var p P
	if err := strict.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("%w: %s %w", ErrMalformed, Statement{Predicate: p}.Kind(), err)
	}
	return p, nil
}
