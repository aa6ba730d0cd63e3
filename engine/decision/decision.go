// Package decision holds the values that the engine decides with and that the
// audit record keeps: Inputs, everything a decision depends on, and Decision,
// everything it produced. Both are plain data with one canonical encoding, so
// that a record can be decided again in another process and compared byte by
// byte.
package decision

import (
	"time"

	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/engine/tenant"
)

// Schema names the layout of Inputs and Decision inside a record.
const Schema = "precept-record/1"

// Inputs is everything one decision depends on. A decision is a pure function
// of it and of the artefacts it names by digest: packs, terminology, policy.
type Inputs struct {
	RecordID string        `json:"record_id"` // UUIDv7
	Tenant   tenant.ID     `json:"tenant"`
	Region   tenant.Region `json:"region"`
	Time     time.Time     `json:"time"` // of the decision, UTC, milliseconds
	Zone     string        `json:"zone"` // IANA name, for dates without one
	Language string        `json:"language"`
	Engine   Engine        `json:"engine"`
	Release  Release       `json:"release"`
	Policy   Policy        `json:"policy"`
	Service  string        `json:"service"` // service id
	Hook     string        `json:"hook"`
	Client   string        `json:"client"` // registered client id
	Dialect  string        `json:"dialect"`
	Arm      string        `json:"arm,omitempty"`     // rollout arm of a canary
	Sources  []Source      `json:"sources,omitempty"` // fetched by us, in order
	Earlier  []Earlier     `json:"earlier,omitempty"` // answers of earlier calls that were read
	Cut      []Cut         `json:"cut,omitempty"`     // pairs not evaluated

	// Request is the body as received, its access token blanked. It stands in
	// a section of its own in the record.
	Request []byte `json:"-"`
}

// Engine names the program that decided.
type Engine struct {
	Build   string `json:"build"`   // version of Precept
	OPA     string `json:"opa"`     // version of the Rego evaluator
	Library string `json:"library"` // version of the clinical library
}

// Release is the snapshot of live packs: the state of the tenant's release log
// after its first Size statements.
type Release struct {
	Size        int64 `json:"size"`
	Packs       []Ref `json:"packs"` // sorted by name
	Terminology *Ref  `json:"terminology,omitempty"`
}

// Ref names one activated artefact exactly.
type Ref struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"` // SHA-256 of the canonical archive, hex
	Seq     uint64 `json:"seq"`    // activation sequence number
	Mode    string `json:"mode"`   // active, shadow, or suspended: live but out of service, every rule cut
}

// Policy names the tenant policy in force.
type Policy struct {
	Seq    uint64 `json:"seq"`
	Digest string `json:"digest"` // SHA-256 of the policy, hex
}

// Source is the answer to one prefetch query that Precept asked itself.
type Source struct {
	Key    string `json:"key"`
	Query  string `json:"query"`
	Failed string `json:"failed,omitempty"` // reason code if there is no body
	Body   []byte `json:"-"`
}

// Earlier is one answer given before that this decision looked at.
type Earlier struct {
	RecordID string `json:"record_id"`
	Rule     string `json:"rule"`
}

// Cut is one (rule, subject) pair that was not evaluated, and why. Replay
// applies the list and never times anything itself.
type Cut struct {
	Rule    string    `json:"rule"` // "pack/rule"
	Subject string    `json:"subject"`
	Cause   CutReason `json:"cause"`
}

// CutReason says why a pair was not evaluated.
type CutReason string

// The reasons for a cut.
const (
	CutDeadline   CutReason = "deadline"   // the call's time was used up
	CutLimit      CutReason = "limit"      // the rule used up its own time
	CutSuspension CutReason = "suspension" // the rule is out of service
)

// PatientSubject is the subject of rules that are asked about the patient.
const PatientSubject = "patient"

// Decision is everything one call produced.
type Decision struct {
	Findings []Finding `json:"findings"`
	Notes    []Note    `json:"notes,omitempty"`

	// Cut lists the pairs this evaluation did not get to. They belong into
	// Inputs before the decision is recorded.
	Cut []Cut `json:"-"`
	// Response is the exact body of the answer. It stands in a section of its
	// own in the record.
	Response []byte `json:"-"`
}

// Finding is what one rule says about one subject.
type Finding struct {
	Rule     string     `json:"rule"` // "pack/rule"
	Version  string     `json:"version"`
	Subject  string     `json:"subject"`
	Outcome  Outcome    `json:"outcome"`
	Severity string     `json:"severity,omitempty"`
	Card     string     `json:"card,omitempty"`   // uuid of the card that shows it
	Hidden   string     `json:"hidden,omitempty"` // why no card shows it
	Error    *RuleError `json:"error,omitempty"`
	Fact     *fact.Fact `json:"fact,omitempty"`
	// Also are the facts that only the wording of the card looked at.
	Also []*fact.Fact `json:"also,omitempty"`
}

// Outcome is the result of asking a rule about a subject.
type Outcome string

// The outcomes.
const (
	Fired    Outcome = "fired"
	NotFired Outcome = "not"
	Unknown  Outcome = "unknown"
	Failed   Outcome = "error"
	WasCut   Outcome = "cut"
)

// OutcomeOf gives the outcome that a rule's fact stands for.
func OutcomeOf(s fact.State) Outcome {
	switch s {
	case fact.True:
		return Fired
	case fact.False:
		return NotFired
	default:
		return Unknown
	}
}

// RuleError says why a rule gave no answer. It never holds patient data.
type RuleError struct {
	Code    string `json:"code"` // undefined, conflict, type, builtin, card, limit
	Message string `json:"message"`
	At      string `json:"at,omitempty"`
}

// Note is something about the call as a whole, e.g. an index that could not be
// consulted for an order.
type Note struct {
	Code    string `json:"code"`
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text"`
}

// Unidentified is the rule id of the core's own finding for orders that
// nobody can identify.
const Unidentified = "core/unidentified-order"

// NotChecked is the rule id of the core's own finding for checks that were
// not done.
const NotChecked = "core/check-not-done"
