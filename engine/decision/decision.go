// Package decision holds the values that the engine decides with and that the
// audit record keeps: Inputs, everything a decision depends on, and Decision,
// everything it produced. Both are plain data with one canonical encoding, so
// that a record can be decided again in another process and compared byte by
// byte.
package decision

import (
	"slices"
	"strconv"
	"time"

	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/engine/tenant"
)

// Schema names the layout of Inputs and Decision inside a record.
const Schema = "precept-record/2"

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
	// Again is the record of the same call that was decided before, when its answer
	// may no longer be given: under another release or policy, or too long ago.
	Again   string    `json:"again,omitempty"`
	Earlier []Earlier `json:"earlier,omitempty"` // answers of earlier calls that were read
	Cut     []Cut     `json:"cut,omitempty"`     // pairs not evaluated

	// Request is the body as received, its access token blanked. It is in
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
	CodeMap     *Ref  `json:"codemap,omitempty"` // of the tenant's local codes
}

// Ref names one activated artefact exactly.
type Ref struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"` // SHA-256 of the canonical archive, hex
	Seq     uint64 `json:"seq"`    // activation sequence number
	Mode    Mode   `json:"mode"`
	// Library is the version of the clinical library that the pack was approved
	// with, and runs with.
	Library string `json:"library,omitempty"`
	// Why says why a pack of mode not-runnable is not run.
	Why Why `json:"why,omitempty"`
}

// Mode says how a live pack takes part in decisions.
type Mode string

// The modes of a live pack.
const (
	Active Mode = "active"
	Shadow Mode = "shadow"
	// Suspended packs are activated but out of service: their rules are not
	// asked, and what they would have checked is named as not done.
	Suspended Mode = "suspended"
	// NotRunnable packs are in force, and the node that decided could not run
	// them: their rules are named as checks not done, too.
	NotRunnable Mode = "not-runnable"
)

// Why is a code that says why a node could not run a pack.
type Why string

// Why a pack could not be run.
const (
	WhyMissing     Why = "missing"     // its archive is not in the store, or damaged
	WhyLibrary     Why = "library"     // it was approved with a version of the clinical library that the program lacks
	WhyCode        Why = "code"        // it does not compile in this program
	WhyParameters  Why = "parameters"  // the tenant's parameters do not fit it
	WhyTerminology Why = "terminology" // the active terminology is not one it was tested with, or cannot be loaded
	WhyCases       Why = "cases"       // its golden cases do not hold in this program
)

// String says it in words.
func (w Why) String() string {
	switch w {
	case WhyMissing:
		return "its archive is missing or damaged"
	case WhyLibrary:
		return "the program lacks the version of the clinical library it was approved with"
	case WhyCode:
		return "it does not compile in this program"
	case WhyParameters:
		return "the tenant's parameters do not fit it"
	case WhyTerminology:
		return "the terminology is not one it was tested with"
	case WhyCases:
		return "its golden cases do not hold in this program"
	}
	return string(w)
}

// Artefacts lists everything that a release names.
func (r Release) Artefacts() []Ref {
	refs := slices.Clone(r.Packs)
	if r.Terminology != nil {
		refs = append(refs, *r.Terminology)
	}
	if r.CodeMap != nil {
		refs = append(refs, *r.CodeMap)
	}
	return refs
}

// Policy names the tenant policy in force.
type Policy struct {
	Seq    uint64 `json:"seq"`
	Digest string `json:"digest"` // SHA-256 of the policy, hex
}

// Source is the answer to one prefetch query that Precept asked itself: the pages
// of a search in their order, or the one page of a read.
type Source struct {
	Key    string       `json:"key"`
	Status SourceStatus `json:"status"`
	Reason string       `json:"reason,omitempty"` // stable word for why the status is not complete
	Pages  []Page       `json:"pages,omitempty"`
}

// Page is one page of a source.
type Page struct {
	Query string `json:"query"` // as sent to the FHIR server, without its base
	// Body is what the server answered. It is in a section of its own in the
	// record.
	Body []byte `json:"-"`
}

// SourceStatus says how much of its answer a source holds. The pages may say
// that it is less, never that it is more.
type SourceStatus string

// The states of a source.
const (
	SourceComplete SourceStatus = "complete" // every page came
	SourcePartial  SourceStatus = "partial"  // further pages were not fetched
	SourceFailed   SourceStatus = "failed"   // there is no answer; Reason says why
)

// Earlier is one answer given before that this decision looked at.
type Earlier struct {
	RecordID string    `json:"record_id"`
	Rule     string    `json:"rule"`
	Subject  string    `json:"subject"`
	Card     string    `json:"card"`  // uuid
	Shown    time.Time `json:"shown"` // when the answer left, UTC
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
	CutRanOn      CutReason = "ran-on"     // the rule went on after its time, and was left behind
	CutSuspension CutReason = "suspension" // the rule, or its pack, is out of service
	CutNotRun     CutReason = "not-run"    // the node could not run its pack
)

// AnySubject in a cut stands for every subject of the rule.
const AnySubject = "*"

// PatientSubject is the subject of rules that are asked about the patient.
const PatientSubject = "patient"

// Decision is everything one call produced.
type Decision struct {
	Findings []Finding `json:"findings"`
	Cards    Cards     `json:"cards"`
	Notes    []Note    `json:"notes,omitempty"`

	// Cut lists the pairs this evaluation did not get to. They belong into
	// Inputs before the decision is recorded.
	Cut []Cut `json:"-"`
	// Response is the exact body of the answer. It is in a section of its
	// own in the record.
	Response []byte `json:"-"`
}

// Cards counts the cards of an answer.
type Cards struct {
	Critical int `json:"critical"`
	Warning  int `json:"warning"`
	Info     int `json:"info"`
}

// Total counts all of them.
func (c Cards) Total() int { return c.Critical + c.Warning + c.Info }

// Finding is what one rule says about one subject.
type Finding struct {
	Rule     string     `json:"rule"` // "pack/rule"
	Version  string     `json:"version"`
	Subject  string     `json:"subject"`
	Outcome  Outcome    `json:"outcome"`
	Cut      CutReason  `json:"cut,omitempty"` // why it was not evaluated, for outcome cut
	Severity string     `json:"severity,omitempty"`
	Card     string     `json:"card,omitempty"`   // uuid of the card that shows it
	Hidden   *Hidden    `json:"hidden,omitempty"` // why no card shows it
	Error    *RuleError `json:"error,omitempty"`
	// What the outcome rests on, and the facts that only the wording of the card
	// looked at. JSON has both as one graph; see graph.go.
	Fact *fact.Fact   `json:"-"`
	Also []*fact.Fact `json:"-"`
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

// OutcomeOf returns the outcome that a rule's fact stands for.
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

// Hidden says why no card shows a finding, and who says it instead.
type Hidden struct {
	Code HiddenCode `json:"code"`
	// By names who hid it: the rule that says more, the subject that shows the
	// same, the rule whose card asks for the missing data.
	By    string `json:"by,omitempty"`
	Limit int    `json:"limit,omitzero"` // cards that the tenant allows, for HiddenLimit
}

// HiddenCode says why no card shows a finding.
type HiddenCode string

// The reasons for showing no card.
const (
	HiddenSuperseded HiddenCode = "superseded" // the rule By says it better
	HiddenRepeated   HiddenCode = "repeated"   // the same rule shows the same on the subject By
	HiddenSilent     HiddenCode = "silent"     // the rule's unknown policy
	HiddenQuiet      HiddenCode = "quiet"      // it rests on nothing but what is long over
	HiddenNamed      HiddenCode = "named"      // the card of the rule By names the missing data
	HiddenMinor      HiddenCode = "minor"      // a check not done that is neither warning nor critical
	HiddenLimit      HiddenCode = "limit"      // the tenant's limit on cards
)

// String says it in words.
func (h Hidden) String() string {
	switch h.Code {
	case HiddenSuperseded:
		return "superseded by " + h.By
	case HiddenRepeated:
		return "same finding as on " + h.By
	case HiddenSilent:
		return "the rule's unknown policy is silent"
	case HiddenQuiet:
		return "nothing but what was supplied long ago leaves it open"
	case HiddenNamed:
		return "the missing data is named by the card of " + h.By
	case HiddenMinor:
		return "the check is neither a warning nor critical"
	case HiddenLimit:
		return "more than the limit of " + strconv.Itoa(h.Limit) + " cards"
	}
	return string(h.Code)
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

// OrderUnderstood is the operator of the core's own fact about an order that
// cannot be relied on.
const OrderUnderstood = "core/order-understood"

// WholePack returns the rule id of a finding about all rules of a pack whose rules
// nobody can name.
func WholePack(pack string) string { return pack + "/*" }

// NotChecked is the rule id of the core's own finding for checks that were
// not done.
const NotChecked = "core/check-not-done"

// NotShown is the rule id of the core's own card that names the findings whose
// cards do not fit into an answer.
const NotShown = "core/not-shown"
