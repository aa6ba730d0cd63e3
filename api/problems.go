package api

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/evidence"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/engine/terminology"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/casefile"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

// What the door itself refuses.
var (
	errUnauthenticated = errors.New("not authenticated")
	errNoRoute         = errors.New("no such resource")
	errMethod          = errors.New("method not allowed")
	errMediaType       = errors.New("media type not supported")
	errEncoding        = errors.New("content encoding not supported")
	errBodyTooLarge    = errors.New("body too large")
	errBody            = errors.New("body could not be read")
	errParameter       = errors.New("parameter not usable")
	errNoRoom          = errors.New("no room for the body")
	errNoTurn          = errors.New("too many calls are worked on")
	errRate            = errors.New("too many requests")
	errPanic           = errors.New("handler failed")
)

// parameterError names a parameter or header and what it must be, never what
// it was.
type parameterError struct{ name, want string }

func (e *parameterError) Error() string { return e.name + ": want " + e.want }
func (e *parameterError) Unwrap() error { return errParameter }

func badParameter(name, want string) error { return &parameterError{name, want} }

// problem is a row of the one table from what went wrong to what is answered.
type problem struct {
	is     error
	status int
	code   string         // stable word, in documents, logs and metrics
	issue  fhir.IssueType // for OperationOutcome
	title  string         // one sentence, the same for every occurrence
	hint   string         // how to fix it
	detail bool           // the error's own text may be shown: it names paths and checks, never values
	retry  int            // seconds of Retry-After; 0 for none
}

// internal is what everything unlisted becomes: nothing is shown, all is logged.
func internal() problem {
	return problem{status: http.StatusInternalServerError, code: "internal", issue: fhir.IssueTypeException,
		title: "The service failed.", hint: "Nothing was decided. Report the time of the call to the operator."}
}

// problems are searched from the top: what must not be mistaken for a fault of
// the caller comes first, because an error may wrap two facts.
type problems []problem

func problemTable() problems {
	return problems{
		{is: audit.ErrStore, status: 503, code: "store", issue: fhir.IssueTypeNoStore, retry: 5,
			title: "Records cannot be kept now, so nothing is answered.",
			hint:  "Try again with the same body; treat the advice as not given."},
		{is: audit.ErrStalled, status: 503, code: "store-stalled", issue: fhir.IssueTypeNoStore, retry: 5,
			title: "The store does not answer, so nothing is answered.",
			hint:  "Try again with the same body; treat the advice as not given."},
		{is: audit.ErrLate, status: 503, code: "store-late", issue: fhir.IssueTypeTimeout, retry: 5,
			title: "The store did not answer in time, so nothing is answered.",
			hint:  "Try again with the same body; treat the advice as not given."},
		{is: audit.ErrQuota, status: 429, code: "quota", issue: fhir.IssueTypeThrottled, retry: 3600,
			title: "The tenant has stored as much as it may, so nothing is answered.",
			hint:  "A day begins at midnight UTC; a policy or the operator allows more."},
		{is: audit.ErrFull, status: 503, code: "store-full", issue: fhir.IssueTypeNoStore, retry: 60,
			title: "The store is full, so nothing is answered.",
			hint:  "Try again with the same body; the operator makes room."},
		{is: audit.ErrClock, status: 503, code: "clock", issue: fhir.IssueTypeTransient, retry: 30,
			title: "The clock of the service is wrong, so nothing is answered.",
			hint:  "Try again with the same body; the operator sets the clock right."},
		{is: audit.ErrMarkLost, status: 503, code: "mark", issue: fhir.IssueTypeNoStore, retry: 5,
			title: "The mark of how far the logs are cannot be kept, so nothing is answered.",
			hint:  "Try again with the same body; the operator looks at the disk of the mark."},
		{is: audit.ErrNotApplied, status: 503, code: "store-refused", issue: fhir.IssueTypeNoStore, retry: 5,
			title: "The record could not be stored, so nothing is answered.",
			hint:  "Try again with the same body; the operator looks at the store's disk."},
		{is: audit.ErrClosed, status: 503, code: "stopping", issue: fhir.IssueTypeTransient, retry: 5,
			title: "The service is stopping.", hint: "Try again with the same body."},
		{is: audit.ErrBusy, status: 503, code: "store-busy", issue: fhir.IssueTypeThrottled, retry: 1,
			title: "Too many records are waiting to be stored.", hint: "Try again with the same body."},
		{is: keyring.ErrKMS, status: 503, code: "keys", issue: fhir.IssueTypeTransient, retry: 30,
			title: "The keys of the region are not available, so nothing is answered.",
			hint:  "Try again; the cause is in the operator's log."},
		{is: audit.ErrDamaged, status: 500, code: "damaged", issue: fhir.IssueTypeException,
			title: "The store is damaged.", hint: "The operator puts back a copy."},
		{is: audit.ErrCorrupt, status: 500, code: "corrupt", issue: fhir.IssueTypeException,
			title: "What is stored does not agree with the log.",
			hint:  "Run the full verification and treat it as tampering."},
		{is: audit.ErrCutShort, status: 500, code: "cut-short", issue: fhir.IssueTypeException,
			title: "The log is shorter than one that was signed before.", hint: "Restore a newer copy of the store."},

		{is: errUnauthenticated, status: 401, code: "unauthenticated", issue: fhir.IssueTypeLogin,
			title: "Not authenticated."},
		{is: engine.ErrUnknownTenant, status: 401, code: "unauthenticated", issue: fhir.IssueTypeLogin,
			title: "Not authenticated."},
		{is: tenant.ErrResidency, status: 421, code: "wrong-region", issue: fhir.IssueTypeNotFound,
			title: "The tenant does not live in this region.", hint: "Use the address of the tenant's own region."},
		{is: engine.ErrForbidden, status: 403, code: "forbidden", issue: fhir.IssueTypeForbidden, detail: true,
			title: "Not allowed.", hint: "Roles are given by the tenant's trust root."},
		{is: engine.ErrExports, status: 429, code: "exports", issue: fhir.IssueTypeThrottled, retry: 5,
			title: "Other evidence is being taken out.",
			hint:  "A tenant takes out one file at a time; try again when it is there."},
		{is: engine.ErrPurpose, status: 400, code: "purpose", issue: fhir.IssueTypeRequired,
			title: "A purpose is required to look at records.",
			hint:  "Say why in the header " + wire.PurposeHeader + "."},

		{is: audit.ErrTokensFull, status: 503, code: "tokens-full", issue: fhir.IssueTypeThrottled, retry: 60,
			title: "Too many tokens of the client have not expired.",
			hint:  "Use tokens that live shorter, or one token for the same call only; the operator can raise the limit."},

		{is: errNoRoute, status: 404, code: "not-found", issue: fhir.IssueTypeNotFound,
			title: "There is nothing at this address."},
		{is: errMethod, status: 405, code: "method", issue: fhir.IssueTypeNotSupported,
			title: "The method is not allowed here.", hint: "The header Allow lists those that are."},
		{is: errMediaType, status: 415, code: "media-type", issue: fhir.IssueTypeNotSupported,
			title: "Bodies of this type are not accepted here.", hint: "Send JSON as application/json."},
		{is: errEncoding, status: 415, code: "encoding", issue: fhir.IssueTypeNotSupported,
			title: "Compressed bodies are not accepted.", hint: "Send the body without Content-Encoding."},
		{is: errBodyTooLarge, status: 413, code: "too-large", issue: fhir.IssueTypeTooLong,
			title: "The body is too large.", hint: "The limit is in the tenant's policy."},
		{is: os.ErrDeadlineExceeded, status: 408, code: "slow-body", issue: fhir.IssueTypeTimeout,
			title: "The body did not arrive in time."},
		{is: errBody, status: 400, code: "body", issue: fhir.IssueTypeIncomplete,
			title: "The body could not be read to its end."},
		{is: errParameter, status: 400, code: "parameter", issue: fhir.IssueTypeValue, detail: true,
			title: "A parameter is not usable."},
		{is: errNoRoom, status: 503, code: "no-room", issue: fhir.IssueTypeThrottled, retry: 1,
			title: "Too many bodies are under way.", hint: "Try again with the same body, and fewer at once."},
		{is: errNoTurn, status: 503, code: "no-turn", issue: fhir.IssueTypeThrottled, retry: 1,
			title: "Too many calls are being worked on.", hint: "Try again with the same body, and fewer at once."},
		{is: errRate, status: 429, code: "rate", issue: fhir.IssueTypeThrottled, retry: 1,
			title: "Too many requests in a short time.",
			hint:  "The limits for persons are in the configuration of the service; wait and go on more slowly."},

		{is: engine.ErrUnknownService, status: 404, code: "unknown-service", issue: fhir.IssueTypeNotFound,
			title: "There is no such service.", hint: "GET cds-services lists them."},
		{is: decide.ErrHook, status: 400, code: "hook", issue: fhir.IssueTypeNotSupported,
			title: "The service does not answer this hook.", hint: "GET cds-services lists the hooks of each service."},
		{is: engine.ErrNotReady, status: 503, code: "not-ready", issue: fhir.IssueTypeTransient, retry: 30,
			title: "The tenant is not ready.",
			hint:  "Apply a tenant policy and activate packs for the service; precept status shows what is in force."},
		{is: engine.ErrTurn, status: 503, code: "checking", issue: fhir.IssueTypeThrottled, retry: 5,
			title: "Another statement of the tenant is still being checked.",
			hint:  "Try again; what only takes power away does not wait."},
		{is: decide.ErrNotTried, status: 503, code: "not-tried", issue: fhir.IssueTypeThrottled, retry: 10,
			title: "The pack could not be tried now.",
			hint:  "Other packs are being tried, or the machine has no room for it; try again."},
		{is: engine.ErrBusy, status: 429, code: "busy", issue: fhir.IssueTypeThrottled, retry: 1,
			title: "Too many calls at once.", hint: "The limit is in the tenant's policy."},
		{is: chart.ErrTooLarge, status: 413, code: "too-large", issue: fhir.IssueTypeTooLong, detail: true,
			title: "The request is too large.", hint: "The limits are in the tenant's policy."},
		{is: chart.ErrTooDeep, status: 400, code: "too-deep", issue: fhir.IssueTypeStructure, detail: true,
			title: "The request is nested too deeply."},
		{is: chart.ErrJSON, status: 400, code: "json", issue: fhir.IssueTypeStructure, detail: true,
			title: "The body is not strict JSON.",
			hint:  "Duplicate names, invalid UTF-8 and trailing data are refused."},
		{is: chart.ErrShape, status: 400, code: "shape", issue: fhir.IssueTypeInvalid, detail: true,
			title: "A part of the request has the wrong shape."},
		{is: chart.ErrServer, status: 400, code: "fhir-server", issue: fhir.IssueTypeValue, detail: true,
			title: "The call is about another FHIR server.",
			hint:  "A client calls for the FHIR base that the tenant's policy registers it with."},
		{is: cdshooks.ErrFeedback, status: 400, code: "feedback", issue: fhir.IssueTypeInvalid, detail: true,
			title: "The feedback is not conformant."},

		{is: packfile.ErrTooLarge, status: 413, code: "pack-too-large", detail: true, title: "The pack is too large."},
		{is: packfile.ErrMalformed, status: 422, code: "pack-malformed", detail: true,
			title: "The pack cannot be read."},
		{is: rulepacks.ErrNotCanonical, status: 422, code: "pack-not-canonical", detail: true,
			title: "The pack is not in canonical form.", hint: "Build it with precept pack build."},
		{is: rulepacks.ErrNotRegular, status: 422, code: "pack-file", detail: true,
			title: "The pack contains something that is not a regular file."},
		{is: rulepacks.ErrUnsafeName, status: 422, code: "pack-file", detail: true,
			title: "The pack contains a file with an unsafe name."},
		{is: rulepacks.ErrDuplicate, status: 422, code: "pack-file", detail: true,
			title: "The pack contains a file twice."},
		{is: rulepacks.ErrUnknownFile, status: 422, code: "pack-file", detail: true,
			title: "The pack contains a file that its manifest does not know."},
		{is: manifest.ErrManifest, status: 422, code: "pack-manifest", detail: true,
			title: "The manifest of the pack is not usable."},
		{is: vocab.ErrValueSet, status: 422, code: "pack-value-set", detail: true,
			title: "A value set of the pack is not usable."},
		{is: vocab.ErrTerminology, status: 422, code: "pack-terminology", detail: true,
			title: "The terminology of the pack is not usable."},
		{is: terminology.ErrTable, status: 422, code: "pack-terminology", detail: true,
			title: "The terminology of the pack contradicts itself."},
		{is: rulepacks.ErrMessages, status: 422, code: "pack-messages", detail: true,
			title: "The messages of the pack are not usable."},
		{is: casefile.ErrCase, status: 422, code: "pack-case", detail: true,
			title: "A case of the pack is not usable."},
		{is: manifest.ErrParameter, status: 422, code: "pack-parameter", detail: true,
			title: "A parameter of the pack is not usable."},
		{is: rulepacks.ErrDigest, status: 400, code: "digest", detail: true, title: "The digest is not usable."},
		{is: vocab.ErrCodeMap, status: 422, code: "pack-code-map", detail: true,
			title: "The code map is not usable."},
		{is: decide.ErrCodes, status: 422, code: "code-map", detail: true,
			title: "The code map does not fit the terminology in force."},
		{is: decide.ErrCases, status: 422, code: "cases", detail: true, title: "The pack's own cases fail here."},
		{is: decide.ErrPack, status: 422, code: "pack", detail: true, title: "The pack cannot be run here."},
		{is: engine.ErrStatement, status: 422, code: "statement", detail: true,
			title: "The statement cannot take effect here."},

		{is: statement.ErrTooLarge, status: 413, code: "statement-too-large", detail: true,
			title: "The statement is too large."},
		{is: statement.ErrMalformed, status: 400, code: "statement-malformed", detail: true,
			title: "The statement cannot be read."},
		{is: statement.ErrUnsupported, status: 422, code: "unsupported", detail: true,
			title: "This version does not know this kind of statement."},
		{is: signing.ErrUnsigned, status: 422, code: "unsigned", detail: true, title: "The statement is not signed."},
		{is: signing.ErrSignature, status: 422, code: "signature", detail: true, title: "A signature does not match."},
		{is: signing.ErrUntrustedSigner, status: 422, code: "untrusted-signer", detail: true,
			title: "A signer is not trusted for this."},
		{is: signing.ErrUntrustedRoot, status: 422, code: "untrusted-root", detail: true,
			title: "The trust root is not trusted here."},
		{is: signing.ErrThreshold, status: 422, code: "threshold", detail: true, title: "Too few persons have signed."},
		{is: signing.ErrSelfReview, status: 422, code: "self-review", detail: true,
			title: "Nobody may approve their own work."},
		{is: signing.ErrSequence, status: 409, code: "sequence", detail: true,
			title: "The statement is out of sequence.", hint: "Make a new one from the current status."},
		{is: signing.ErrWrongTenant, status: 422, code: "wrong-tenant", detail: true,
			title: "The statement is for another tenant."},
		{is: signing.ErrWrongRegion, status: 422, code: "statement-wrong-region", detail: true,
			title: "The statement is for another region."},
		{is: signing.ErrRevoked, status: 422, code: "revoked", detail: true,
			title: "The statement rests on something that is out of service."},
		{is: signing.ErrUnreviewed, status: 422, code: "unreviewed", detail: true,
			title: "The pack is not clinically approved."},
		{is: signing.ErrExpired, status: 422, code: "expired", detail: true,
			title: "Something is outside its period of validity."},
		{is: signing.ErrUnknown, status: 422, code: "unknown", detail: true,
			title: "The statement names something unknown here."},
		{is: signing.ErrMismatch, status: 422, code: "mismatch", detail: true,
			title: "Two parts of the statement do not agree."},
		{is: tenant.ErrPolicy, status: 422, code: "policy", detail: true, title: "The tenant policy is not usable."},
		{is: tenant.ErrName, status: 400, code: "name", detail: true, title: "A name is not well formed."},

		{is: audit.ErrErased, status: 410, code: "erased", issue: fhir.IssueTypeDeleted,
			title: "The content of the record was erased.", hint: "Its leaf and its proof remain."},
		{is: audit.ErrNotFound, status: 404, code: "not-found", issue: fhir.IssueTypeNotFound,
			title: "There is no such record, log or pack."},
		{is: evidence.ErrSize, status: 422, code: "evidence-too-large", detail: true,
			title: "The evidence of the record is larger than a file of it may be."},
		{is: audit.ErrFilter, status: 400, code: "filter", detail: true, title: "The query cannot be run as asked."},
		{is: audit.ErrMoved, status: 409, code: "moved", retry: 1,
			title: "The release log has moved on.", hint: "Look at the current status and apply again."},
		{is: decision.ErrBody, status: 422, code: "not-a-decision", issue: fhir.IssueTypeNotSupported,
			title: "The record contains no decision that this version can read."},
		{is: audit.ErrReceipt, status: 400, code: "receipt", title: "This is not a valid receipt."},
		{is: context.DeadlineExceeded, status: 503, code: "deadline", issue: fhir.IssueTypeTimeout, retry: 1,
			title: "There was not enough time.", hint: "Try again with the same body."},
		{is: context.Canceled, status: 503, code: "cancelled", issue: fhir.IssueTypeTransient, retry: 1,
			title: "The call was cancelled."},
	}
}

func (t problems) find(err error) problem {
	for i := range t {
		if errors.Is(err, t[i].is) {
			return t[i]
		}
	}
	return internal()
}

// place says where in a body the error lies, if it does.
func place(err error) string {
	if e, ok := errors.AsType[*chart.ShapeError](err); ok {
		return e.Path
	}
	if e, ok := errors.AsType[*chart.ServerError](err); ok {
		return e.Path
	}
	if e, ok := errors.AsType[*rawjson.SyntaxError](err); ok {
		return e.Path
	}
	if e, ok := errors.AsType[*cdshooks.FeedbackError](err); ok {
		return e.Path
	}
	return ""
}

// refuse answers with the problem that err is.
func (s *Server) refuse(x *exchange, err error) {
	p := s.problems.find(err)
	x.kind = p.code
	if p.status >= 500 {
		x.cause = err
	}
	if reason, ok := errors.AsType[denied](err); ok {
		s.metrics.unauthenticated.WithLabelValues(string(reason)).Inc()
	}
	s.metrics.limit(p)
	if x.status != 0 {
		return // the answer has begun; the event tells the rest
	}
	if p.retry > 0 {
		x.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	switch p.status {
	case http.StatusUnauthorized:
		x.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusUnsupportedMediaType:
		x.Header().Set("Accept-Encoding", "identity")
	}
	if x.forEHR() {
		x.reply(p.status, typeFHIR, p.outcome(err))
		return
	}
	x.reply(p.status, "application/problem+json", p.document(err))
}

// forEHR says whether the caller reads FHIR.
func (x *exchange) forEHR() bool { return strings.HasPrefix(x.r.URL.Path, "/t/") }

// coding is the system of problem codes in an OperationOutcome.
const coding = "urn:precept:problem"

// outcome is the problem as a FHIR OperationOutcome.
func (p problem) outcome(err error) []byte {
	severity := fhir.IssueSeverityError
	if p.status >= 500 {
		severity = fhir.IssueSeverityFatal
	}
	return outcome(p.issueOf(err, severity))
}

// issueOf is the problem as one issue of an OperationOutcome.
func (p problem) issueOf(err error, severity fhir.IssueSeverity) fhir.OperationOutcomeIssue {
	text, system := p.title, coding
	issue := fhir.OperationOutcomeIssue{
		Severity: severity, Code: p.issue,
		Details: &fhir.CodeableConcept{Coding: []fhir.Coding{{System: &system, Code: &p.code}}, Text: &text},
	}
	if words := p.words(err); words != "" {
		issue.Diagnostics = &words
	}
	if at := place(err); at != "" {
		issue.Expression = []string{at}
	}
	return issue
}

func outcome(issues ...fhir.OperationOutcomeIssue) []byte {
	body, err := fhir.OperationOutcome{Issue: issues}.MarshalJSON()
	if err != nil { // cannot happen: strings and known codes only
		return []byte(`{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"exception"}]}`)
	}
	return body
}

// words are the error's own, where they may be shown, and the hint.
func (p problem) words(err error) string {
	if !p.detail {
		return p.hint
	}
	return strings.TrimSuffix(err.Error()+"; "+p.hint, "; ")
}

// document is the problem as RFC 9457 has it.
func (p problem) document(err error) []byte {
	d := wire.Problem{Type: coding + ":" + p.code, Title: p.title, Status: p.status, Code: p.code, At: place(err),
		Hint: p.hint}
	if p.detail {
		d.Detail = err.Error()
	}
	body, failed := json.Marshal(d)
	if failed != nil {
		return []byte(`{"type":"about:blank","status":500}`)
	}
	return body
}
