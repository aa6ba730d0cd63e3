package statement

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/signing/internal/strict"
	"github.com/precept-cds/precept/signing/trust"
)

// TenantPolicy replaces the whole policy of a tenant. It needs the operator and the
// approver threshold, and two distinct persons.
type TenantPolicy struct {
	Tenant Tenant `json:"tenant"`
	Region Region `json:"region"`
	// Seq is 1 for the first policy of a tenant, then one more each time.
	Seq uint64 `json:"seq"`
	// Policy is a JSON object whose meaning belongs to the engine.
	Policy jsontext.Value `json:"policy"`
}

// Check returns what makes p unfit to be signed, or nil.
func (p TenantPolicy) Check() error {
	var c strict.Checker
	c.Match(string(p.Tenant), strict.Name, "tenant")
	c.Match(string(p.Region), strict.Name, "region")
	c.Seq(p.Seq, "seq")
	c.That(p.Policy.Kind() == '{', "policy", "expected a JSON object")
	return c.Err()
}

// PackRelease is an author's word that these bytes are this version of the pack. It
// needs the author threshold of the named publisher's root.
type PackRelease struct {
	Publisher trust.Publisher `json:"publisher"`
	Pack      Pack            `json:"pack"`
	Version   string          `json:"version"`
	// Seq counts the releases of a pack. A log may start with any, then goes up by one.
	Seq uint64 `json:"seq"`
	// Supersedes is the pack.tar SHA-256 of release Seq-1; empty exactly for Seq 1.
	Supersedes trust.Digest `json:"supersedes,omitzero"`
	PackKind   PackKind     `json:"kind"`
	// Library is the major version of the clinical library the rules need, such as
	// "1". A terminology pack needs none.
	Library         string    `json:"library,omitzero"`
	IssuedAt        time.Time `json:"issuedAt"`
	EffectivePeriod Period    `json:"effectivePeriod"`
	ChangeSummary   string    `json:"changeSummary"`
}

// PackKind says what a pack carries.
type PackKind string

// The kinds of pack.
const (
	// RulesPack carries Rego rules.
	RulesPack PackKind = "rules"
	// TerminologyPack carries a release of drugs: what drug codes stand for.
	TerminologyPack PackKind = "terminology"
	// CodeMapPack carries what the local codes of a health system mean.
	CodeMapPack PackKind = "codemap"
)

// Period is a span of whole UTC days; both ends are inclusive, empty means open.
type Period struct {
	Start string `json:"start,omitzero"`
	End   string `json:"end,omitzero"`
}

// Check returns what makes p unfit to be signed, or nil.
func (p PackRelease) Check() error {
	var c strict.Checker
	c.Match(string(p.Publisher), strict.Name, "publisher")
	c.Match(string(p.Pack), strict.Pack, "pack")
	c.Match(p.Version, strict.Version, "version")
	c.Seq(p.Seq, "seq")
	c.That((p.Seq == 1) == (p.Supersedes == ""), "supersedes",
		"empty for the first release, else the digest of the one before")
	if p.Supersedes != "" {
		c.Match(string(p.Supersedes), strict.Digest, "supersedes")
	}
	switch p.PackKind {
	case RulesPack:
		c.Match(p.Library, strict.Version, "library")
	case TerminologyPack, CodeMapPack:
		c.That(p.Library == "", "library", "only a pack of rules needs a library")
	default:
		c.Fail("kind", "expected rules, terminology or codemap")
	}
	c.Time(p.IssuedAt, "issuedAt")
	c.Date(p.EffectivePeriod.Start, "effectivePeriod.start")
	c.Date(p.EffectivePeriod.End, "effectivePeriod.end")
	// Dates of one width compare as text.
	c.That(p.EffectivePeriod.End == "" || p.EffectivePeriod.Start <= p.EffectivePeriod.End, "effectivePeriod",
		"ends before it starts")
	c.Text(p.ChangeSummary, "changeSummary")
	return c.Err()
}

// ClinicalReview is a clinician's judgement of exactly these bytes. Every signer
// must be a clinical reviewer of a trusted publisher and none an author of the
// release. The latest judgement of each person counts. Approvals count towards the
// threshold of the pack's own publisher if its root lists the reviewer; one rejection
// blocks, if the reviewer is of that publisher or of one in the tenant's reviewsFrom.
type ClinicalReview struct {
	Pack     Pack     `json:"pack"`
	Version  string   `json:"version"`
	Decision Decision `json:"decision"`
	// Role is the discipline the reviewer speaks for, such as "clinical pharmacist".
	Role string `json:"role"`
	// ReviewedAt must be later than the same person's earlier review of this pack.
	ReviewedAt time.Time `json:"reviewedAt"`
	// ValidUntil ends the approval for new activations, not for live ones.
	ValidUntil time.Time `json:"validUntil"`
	Conditions []string  `json:"conditions"`
	// Waives names what no golden case of the pack shows, and the reviewer accepts all the
	// same. Only an approval waives.
	Waives []Waiver `json:"waives,omitempty"`
}

// Waiver accepts that no golden case shows a rule in some states.
type Waiver struct {
	// Rule is the id of the rule within the pack.
	Rule string `json:"rule"`
	// States are of "true", "false" and "unknown", each once.
	States []string `json:"states"`
	Reason string   `json:"reason"`
}

func (w Waiver) check(c *strict.Checker, at string) {
	c.Match(w.Rule, strict.Rule, at+".rule")
	c.That(len(w.States) > 0, at+".states", "name at least one of true, false, unknown")
	c.That(strict.Distinct(w.States), at+".states", "name each state once")
	for _, state := range w.States {
		c.That(state == "true" || state == "false" || state == "unknown", at+".states",
			"expected true, false or unknown")
	}
	c.Text(w.Reason, at+".reason")
}

// Decision is the outcome of a review.
type Decision string

// The outcomes.
const (
	// Approve makes the pack fit for activation until ValidUntil.
	Approve Decision = "approve"
	// Reject blocks activation until the same person approves or is a clinical reviewer
	// no more.
	Reject Decision = "reject"
)

// Check returns what makes p unfit to be signed, or nil.
func (p ClinicalReview) Check() error {
	var c strict.Checker
	c.Match(string(p.Pack), strict.Pack, "pack")
	c.Match(p.Version, strict.Version, "version")
	c.That(p.Decision == Approve || p.Decision == Reject, "decision", "expected approve or reject")
	c.Text(p.Role, "role")
	c.Time(p.ReviewedAt, "reviewedAt")
	c.That(p.ValidUntil.After(p.ReviewedAt), "validUntil", "must be later than reviewedAt")
	c.Len(len(p.Conditions), "conditions")
	for i, condition := range p.Conditions {
		c.Text(condition, fmt.Sprintf("conditions[%d]", i))
	}
	c.Len(len(p.Waives), "waives")
	c.That(p.Decision == Approve || len(p.Waives) == 0, "waives", "only an approval waives; leave them out")
	rules := map[string]bool{}
	for i, w := range p.Waives {
		w.check(&c, fmt.Sprintf("waives[%d]", i))
		c.That(!rules[w.Rule], fmt.Sprintf("waives[%d].rule", i), "name each rule once")
		rules[w.Rule] = true
	}
	return c.Err()
}

// Activation puts a released and approved pack into service for a tenant, or takes it
// out again (mode off). Active and shadow need the approver threshold; off needs one
// revoker or approver. Rolling back is a new activation of an older pack.
type Activation struct {
	Tenant  Tenant `json:"tenant"`
	Region  Region `json:"region"`
	Pack    Pack   `json:"pack"`
	Version string `json:"version"`
	// Seq is 1 for the first activation of a pack by a tenant, then one more each time.
	Seq uint64 `json:"seq"`
	// Previous is the pack.tar SHA-256 of the current activation, which this one
	// replaces; empty if there is none.
	Previous trust.Digest `json:"previous,omitzero"`
	Mode     Mode         `json:"mode"`
	// Library is the exact version of the clinical library the pack was approved
	// with, such as "1.0.0". A node without it refuses to serve the pack.
	Library      string    `json:"library,omitzero"`
	ActivateAt   time.Time `json:"activateAt,omitzero"`
	DeactivateAt time.Time `json:"deactivateAt,omitzero"`
	// InputsUnknown lists the FHIR resource types, such as "Condition", that the pack
	// reads and no prefetch delivers: the approvers accept that they stay unknown.
	InputsUnknown []string `json:"inputsUnknown"`
}

// Mode says what a pack does: show cards, only be recorded, or nothing.
type Mode string

// The modes.
const (
	// Active shows cards.
	Active Mode = "active"
	// Shadow evaluates and records, and shows nothing.
	Shadow Mode = "shadow"
	// Off ends the current activation.
	Off Mode = "off"
)

// Check returns what makes p unfit to be signed, or nil.
func (p Activation) Check() error {
	var c strict.Checker
	c.Match(string(p.Tenant), strict.Name, "tenant")
	c.Match(string(p.Region), strict.Name, "region")
	c.Match(string(p.Pack), strict.Pack, "pack")
	c.Match(p.Version, strict.Version, "version")
	c.Seq(p.Seq, "seq")
	if p.Previous != "" {
		c.Match(string(p.Previous), strict.Digest, "previous")
	}
	c.That(p.Mode == Active || p.Mode == Shadow || p.Mode == Off, "mode", "expected active, shadow or off")
	if p.Library != "" {
		c.Match(p.Library, strict.Version, "library")
	}
	c.That(p.DeactivateAt.IsZero() || p.DeactivateAt.After(p.ActivateAt), "deactivateAt", "must be later than activateAt")
	c.That(p.Mode != Off ||
		(p.ActivateAt.IsZero() && p.DeactivateAt.IsZero()), "mode", "off takes effect at once; give no times")
	c.Len(len(p.InputsUnknown), "inputsUnknown")
	c.That(strict.Distinct(p.InputsUnknown), "inputsUnknown", "name each type once")
	for i, key := range p.InputsUnknown {
		c.Match(key, strict.Input, fmt.Sprintf("inputsUnknown[%d]", i))
	}
	return c.Err()
}

// Suspension takes one rule, or with an empty Rule a whole pack, out of service. One
// revoker or approver suffices, or the node's own key after repeated failure.
type Suspension struct {
	Tenant      Tenant    `json:"tenant"`
	Region      Region    `json:"region"`
	Pack        Pack      `json:"pack"`
	Rule        string    `json:"rule,omitzero"`
	Reason      string    `json:"reason"`
	SuspendedAt time.Time `json:"suspendedAt"`
}

// Check returns what makes p unfit to be signed, or nil.
func (p Suspension) Check() error {
	var c strict.Checker
	c.Match(string(p.Tenant), strict.Name, "tenant")
	c.Match(string(p.Region), strict.Name, "region")
	c.Match(string(p.Pack), strict.Pack, "pack")
	if p.Rule != "" {
		c.Match(p.Rule, strict.Rule, "rule")
	}
	c.Text(p.Reason, "reason")
	c.Time(p.SuspendedAt, "suspendedAt")
	return c.Err()
}

// Resumption lifts one suspension, or one revocation with action suspend. It adds
// power, so it needs the approver threshold.
type Resumption struct {
	Tenant Tenant `json:"tenant"`
	Region Region `json:"region"`
	// Lifts is the digest of the payload that suspended. A later suspension of the
	// same rule has another digest, so an old resumption cannot lift it.
	Lifts     trust.Digest `json:"lifts"`
	Reason    string       `json:"reason"`
	ResumedAt time.Time    `json:"resumedAt"`
}

// Check returns what makes p unfit to be signed, or nil.
func (p Resumption) Check() error {
	var c strict.Checker
	c.Match(string(p.Tenant), strict.Name, "tenant")
	c.Match(string(p.Region), strict.Name, "region")
	c.Match(string(p.Lifts), strict.Digest, "lifts")
	c.Text(p.Reason, "reason")
	c.Time(p.ResumedAt, "resumedAt")
	return c.Err()
}

// Revocation takes a pack, a key or a person out of use in one tenant. One revoker or
// approver suffices. Action suspend can be lifted; action revoke is final.
type Revocation struct {
	Tenant Tenant `json:"tenant"`
	Region Region `json:"region"`
	Target Target `json:"target"`
	Action Action `json:"action"`
	Reason string `json:"reason"`
	// EffectiveAt may lie in the past: with action revoke, whatever rests on a
	// signature logged by the target from then on is withdrawn too.
	EffectiveAt time.Time `json:"effectiveAt"`
}

// Target names what is taken out of use.
type Target struct {
	Type TargetType `json:"type"`
	// Value is a pack.tar SHA-256, a key id or a person id.
	Value string `json:"value"`
}

// TargetType says how to read a [Target].
type TargetType string

// The types of target.
const (
	// TargetDigest is a pack, by the SHA-256 of its pack.tar.
	TargetDigest TargetType = "digest"
	// TargetKey is a key, by its id.
	TargetKey TargetType = "key"
	// TargetPerson is a person, by id or by a declared identity that is an e-mail address.
	TargetPerson TargetType = "person"
)

// Action is how firmly something is taken out of use.
type Action string

// The actions.
const (
	// Suspend can be lifted by a [Resumption].
	Suspend Action = "suspend"
	// Revoke is final.
	Revoke Action = "revoke"
)

// Check returns what makes p unfit to be signed, or nil.
func (p Revocation) Check() error {
	var c strict.Checker
	if p.Target.Type == TargetPerson {
		c.Wrap("target.value", trust.PersonID(p.Target.Value).Check())
	}
	if err := c.Err(); err != nil {
		return err
	}
	return p.CheckStored()
}

// CheckStored is Check for what may have been signed before persons had one spelling.
func (p Revocation) CheckStored() error {
	var c strict.Checker
	c.Match(string(p.Tenant), strict.Name, "tenant")
	c.Match(string(p.Region), strict.Name, "region")
	switch p.Target.Type {
	case TargetDigest, TargetKey:
		c.Match(p.Target.Value, strict.Digest, "target.value")
	case TargetPerson:
		c.Match(p.Target.Value, strict.Person, "target.value")
	default:
		c.Fail("target.type", "expected digest, key or person")
	}
	c.That(p.Action == Suspend || p.Action == Revoke, "action", "expected suspend or revoke")
	c.Text(p.Reason, "reason")
	c.Time(p.EffectiveAt, "effectiveAt")
	return c.Err()
}
