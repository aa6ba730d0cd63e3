package signing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	statementType   = "https://in-toto.io/Statement/v1"
	predicatePrefix = "https://github.com/precept-cds/precept/statement/"
	predicateSuffix = "/v1"
	packSubject     = "pack.tar"
)

// PackDigest identifies a pack by its canonical uncompressed archive.
type PackDigest struct {
	// SHA256 is of the bytes of pack.tar.
	SHA256 Digest
	// DirHash1 is the hex form of Go's Hash1 over the same files (in-toto digest set).
	DirHash1 Digest
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
	SHA256   Digest `json:"sha256"`
	DirHash1 Digest `json:"dirHash1,omitzero"`
}

// codec is the one way this package reads and writes JSON: duplicate names and bad
// UTF-8 are refused by the library, unknown members by us, times are UTC seconds.
var codec = json.JoinOptions(
	json.Deterministic(true),
	json.RejectUnknownMembers(true),
	json.WithMarshalers(json.MarshalToFunc(func(e *jsontext.Encoder, t time.Time) error {
		return e.WriteToken(jsontext.String(t.UTC().Format(timeFmt)))
	})),
	json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, t *time.Time) error {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		if token.Kind() != '"' {
			return fmt.Errorf("expected a time like %s", timeFmt)
		}
		*t, err = time.Parse(timeFmt, token.String())
		return err
	})),
)

// DigestOf returns the SHA-256 of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(hex.EncodeToString(sum[:]))
}

// aboutPack reports whether the subject of k is the pack's archive.
func (k Kind) aboutPack() bool {
	return k == KindPackRelease || k == KindClinicalReview || k == KindActivation
}

// Payload returns the canonical bytes of the statement, which is what is signed.
// Times are cut to whole seconds. A predicate with a field missing or out of range
// is [ErrMalformed].
func (s Statement) Payload() ([]byte, error) {
	if s.Predicate == nil {
		return nil, fmt.Errorf("making statement: %w: no predicate", ErrMalformed)
	}
	kind := s.Predicate.Kind()
	c := &checker{}
	s.Predicate.check(c)
	if c.err != nil {
		return nil, fmt.Errorf("making %s statement: %w", kind, c.err)
	}
	predicate, err := json.Marshal(s.Predicate, codec)
	if err != nil {
		return nil, fmt.Errorf("making %s statement: %w: %v", kind, ErrMalformed, err)
	}
	about, err := s.subject(predicate)
	if err != nil {
		return nil, fmt.Errorf("making %s statement: %w", kind, err)
	}
	payload, err := json.Marshal(wire{
		Type:          statementType,
		Subject:       []subject{about},
		PredicateType: predicatePrefix + string(kind) + predicateSuffix,
		Predicate:     predicate,
	}, codec)
	if err != nil {
		return nil, fmt.Errorf("making %s statement: %w: %v", kind, ErrMalformed, err)
	}
	if len(payload) > MaxEnvelopeSize {
		return nil, fmt.Errorf("making %s statement of %d bytes: %w; at most %d", kind, len(payload), ErrTooLarge, MaxEnvelopeSize)
	}
	return payload, nil
}

func (s Statement) subject(predicate []byte) (subject, error) {
	kind := s.Predicate.Kind()
	if !kind.aboutPack() {
		if s.Archive != (PackDigest{}) {
			return subject{}, fmt.Errorf("%w: a %s is not about a pack; leave the digest out", ErrMalformed, kind)
		}
		return subject{Name: string(kind), Digest: subjectDigest{SHA256: DigestOf(predicate)}}, nil
	}
	if !digestPattern.MatchString(string(s.Archive.SHA256)) || !digestPattern.MatchString(string(s.Archive.DirHash1)) {
		return subject{}, fmt.Errorf("%w: subject %s needs sha256 and dirHash1 in lower-case hex", ErrMalformed, packSubject)
	}
	return subject{Name: packSubject, Digest: subjectDigest(s.Archive)}, nil
}

// ParseStatement reads a payload. It accepts exactly the bytes that [Statement.Payload]
// would write: every other spelling, an unknown field, a second subject or a digest
// that does not fit is [ErrMalformed]; a kind we do not act on is [ErrUnsupported].
func ParseStatement(payload []byte) (Statement, error) {
	if len(payload) > MaxEnvelopeSize {
		return Statement{}, fmt.Errorf("reading statement of %d bytes: %w; at most %d", len(payload), ErrTooLarge, MaxEnvelopeSize)
	}
	var w wire
	if err := json.Unmarshal(payload, &w, codec); err != nil {
		return Statement{}, fmt.Errorf("reading statement: %w: %w", ErrMalformed, location(err))
	}
	if w.Type != statementType {
		return Statement{}, fmt.Errorf("reading statement: %w: _type is not %s", ErrMalformed, statementType)
	}
	kind, err := kindOf(w.PredicateType)
	if err != nil {
		return Statement{}, fmt.Errorf("reading statement: %w", err)
	}
	if len(w.Subject) != 1 {
		return Statement{}, fmt.Errorf("reading %s statement: %w: %d subjects; expected one", kind, ErrMalformed, len(w.Subject))
	}
	predicate, err := decodePredicate(kind, w.Predicate)
	if err != nil {
		return Statement{}, fmt.Errorf("reading %s statement: %w", kind, err)
	}
	s := Statement{Predicate: predicate}
	if kind.aboutPack() {
		s.Archive = PackDigest(w.Subject[0].Digest)
	}
	// Writing what was read and comparing covers the subject's name and digests, the
	// field order, number and time spellings, white space, and fields left out.
	again, err := s.Payload()
	if err != nil {
		return Statement{}, err
	}
	if !bytes.Equal(again, payload) {
		return Statement{}, fmt.Errorf("reading %s statement: %w: not in canonical form, or the subject does not fit; make it with this package", kind, ErrMalformed)
	}
	return s, nil
}

func kindOf(predicateType string) (Kind, error) {
	name, ok := strings.CutPrefix(predicateType, predicatePrefix)
	if ok {
		name, ok = strings.CutSuffix(name, predicateSuffix)
	}
	if !ok {
		return "", fmt.Errorf("%w: predicate type is not %s<kind>%s", ErrMalformed, predicatePrefix, predicateSuffix)
	}
	switch kind := Kind(name); kind {
	case KindTrustRoot, KindTenantPolicy, KindPackRelease, KindClinicalReview,
		KindActivation, KindSuspension, KindResumption, KindRevocation:
		return kind, nil
	case KindTestResult, KindKeyOperation, KindHold, KindErasure, KindRetention:
		return "", fmt.Errorf("kind %s is %w; it is reserved", kind, ErrUnsupported)
	default:
		return "", fmt.Errorf("%w: no such kind of statement", ErrMalformed)
	}
}

func decodePredicate(kind Kind, raw jsontext.Value) (Predicate, error) {
	switch kind {
	case KindTrustRoot:
		return decodeInto[TrustRoot](raw)
	case KindTenantPolicy:
		return decodeInto[TenantPolicy](raw)
	case KindPackRelease:
		return decodeInto[PackRelease](raw)
	case KindClinicalReview:
		return decodeInto[ClinicalReview](raw)
	case KindActivation:
		return decodeInto[Activation](raw)
	case KindSuspension:
		return decodeInto[Suspension](raw)
	case KindResumption:
		return decodeInto[Resumption](raw)
	case KindRevocation:
		return decodeInto[Revocation](raw)
	default:
		return nil, fmt.Errorf("kind %s is %w", kind, ErrUnsupported)
	}
}

func decodeInto[P Predicate](raw jsontext.Value) (Predicate, error) {
	var p P
	if err := json.Unmarshal(raw, &p, codec); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, location(err))
	}
	return p, nil
}

// location says where JSON went wrong without repeating values from it.
func location(err error) error {
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("at %s: duplicate member name", pointer(syntax.JSONPointer))
	case errors.As(err, &syntax):
		return fmt.Errorf("at %s, byte %d: not valid JSON", pointer(syntax.JSONPointer), syntax.ByteOffset)
	case errors.As(err, &semantic) && errors.Is(err, json.ErrUnknownName):
		return fmt.Errorf("at %s: unknown member", pointer(semantic.JSONPointer))
	case errors.As(err, &semantic):
		return fmt.Errorf("at %s: unexpected type or value", pointer(semantic.JSONPointer))
	default:
		return errors.New("not valid JSON")
	}
}

func pointer(p jsontext.Pointer) string {
	const most = 120
	if p == "" {
		return "the top"
	}
	if len(p) > most {
		p = p[:most]
	}
	return strconv.QuoteToASCII(string(p))
}
