package signing

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind names what a statement does. It is part of the predicate type.
type Kind string

// The kinds. The last five are reserved: their meaning is fixed by the design, but
// this version neither makes nor accepts them ([ErrUnsupported]).
const (
	KindTrustRoot      Kind = "trust-root"
	KindTenantPolicy   Kind = "tenant-policy"
	KindPackRelease    Kind = "pack-release"
	KindClinicalReview Kind = "clinical-review"
	KindActivation     Kind = "activation"
	KindSuspension     Kind = "suspension"
	KindResumption     Kind = "resumption"
	KindRevocation     Kind = "revocation"

	KindTestResult   Kind = "test-result"
	KindKeyOperation Kind = "key-operation"
	KindHold         Kind = "hold"
	KindErasure      Kind = "erasure"
	KindRetention    Kind = "retention"
)

// Predicate is what a statement says: one of [TrustRoot], [TenantPolicy],
// [PackRelease], [ClinicalReview], [Activation], [Suspension], [Resumption] and
// [Revocation], by value.
type Predicate interface {
	Kind() Kind
	check(c *checker)
}

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

// Kind returns [KindTenantPolicy].
func (TenantPolicy) Kind() Kind { return KindTenantPolicy }

func (p TenantPolicy) check(c *checker) {
	c.name(string(p.Tenant), namePattern, "tenant")
	c.name(string(p.Region), namePattern, "region")
	c.seq(p.Seq, "seq")
	c.that(p.Policy.Kind() == '{', "policy", "expected a JSON object")
}

// PackRelease is an author's word that these bytes are this version of the pack. It
// needs the author threshold of the named publisher's root.
type PackRelease struct {
	Publisher Publisher `json:"publisher"`
	Pack      Pack      `json:"pack"`
	Version   string    `json:"version"`
	// Seq counts the releases of a pack. A log may start with any, then goes up by one.
	Seq uint64 `json:"seq"`
	// Supersedes is the pack.tar SHA-256 of release Seq-1; empty exactly for Seq 1.
	Supersedes Digest   `json:"supersedes,omitzero"`
	PackKind   PackKind `json:"kind"`
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
	RulesPack       PackKind = "rules"
	TerminologyPack PackKind = "terminology"
)

// Period is a span of whole UTC days; both ends are inclusive, empty means open.
type Period struct {
	Start string `json:"start,omitzero"`
	End   string `json:"end,omitzero"`
}

// Kind returns [KindPackRelease].
func (PackRelease) Kind() Kind { return KindPackRelease }

func (p PackRelease) check(c *checker) {
	c.name(string(p.Publisher), namePattern, "publisher")
	c.name(string(p.Pack), packPattern, "pack")
	c.name(p.Version, versionPattern, "version")
	c.seq(p.Seq, "seq")
	c.that((p.Seq == 1) == (p.Supersedes == ""), "supersedes", "empty for the first release, else the digest of the one before")
	if p.Supersedes != "" {
		c.name(string(p.Supersedes), digestPattern, "supersedes")
	}
	switch p.PackKind {
	case RulesPack:
		c.name(p.Library, versionPattern, "library")
	case TerminologyPack:
		c.that(p.Library == "", "library", "a terminology pack needs no library")
	default:
		c.fail("kind", "expected rules or terminology")
	}
	c.time(p.IssuedAt, "issuedAt")
	c.date(p.EffectivePeriod.Start, "effectivePeriod.start")
	c.date(p.EffectivePeriod.End, "effectivePeriod.end")
	// Dates of one width compare as text.
	c.that(p.EffectivePeriod.End == "" || p.EffectivePeriod.Start <= p.EffectivePeriod.End, "effectivePeriod", "ends before it starts")
	c.text(p.ChangeSummary, "changeSummary", true)
}

// ClinicalReview is a clinician's judgement of exactly these bytes. Every signer
// must be a clinical reviewer of a trusted publisher and none an author of the
// release. The latest judgement of a person counts; one standing rejection blocks.
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
}

// Decision is the outcome of a review.
type Decision string

// The outcomes.
const (
	Approve Decision = "approve"
	Reject  Decision = "reject"
)

// Kind returns [KindClinicalReview].
func (ClinicalReview) Kind() Kind { return KindClinicalReview }

func (p ClinicalReview) check(c *checker) {
	c.name(string(p.Pack), packPattern, "pack")
	c.name(p.Version, versionPattern, "version")
	c.that(p.Decision == Approve || p.Decision == Reject, "decision", "expected approve or reject")
	c.text(p.Role, "role", true)
	c.time(p.ReviewedAt, "reviewedAt")
	c.that(p.ValidUntil.After(p.ReviewedAt), "validUntil", "must be later than reviewedAt")
	c.list(len(p.Conditions), "conditions")
	for i, condition := range p.Conditions {
		c.text(condition, fmt.Sprintf("conditions[%d]", i), true)
	}
}

// Activation puts a released and approved pack to work for a tenant, or takes it out
// of work (mode off). Active and shadow need the approver threshold; off needs one
// revoker or approver. Rolling back is a new activation of an older pack.
type Activation struct {
	Tenant  Tenant `json:"tenant"`
	Region  Region `json:"region"`
	Pack    Pack   `json:"pack"`
	Version string `json:"version"`
	// Seq is 1 for the first activation of a pack by a tenant, then one more each time.
	Seq uint64 `json:"seq"`
	// Previous is the pack.tar SHA-256 standing until now, empty if none stands.
	Previous Digest `json:"previous,omitzero"`
	Mode     Mode   `json:"mode"`
	// Library is the exact version of the clinical library the pack was approved
	// with, such as "1.0.0". A node without it refuses to serve the pack.
	Library      string    `json:"library,omitzero"`
	ActivateAt   time.Time `json:"activateAt,omitzero"`
	DeactivateAt time.Time `json:"deactivateAt,omitzero"`
	// InputsUnknown lists the FHIR resource types, such as "Condition", that the pack
	// reads and no prefetch delivers: the approvers accept that they stay unknown.
	InputsUnknown []string `json:"inputsUnknown"`
}

// Mode says how a pack works: with cards, recorded only, or not at all.
type Mode string

// The modes.
const (
	Active Mode = "active"
	Shadow Mode = "shadow"
	Off    Mode = "off"
)

// Kind returns [KindActivation].
func (Activation) Kind() Kind { return KindActivation }

func (p Activation) check(c *checker) {
	c.name(string(p.Tenant), namePattern, "tenant")
	c.name(string(p.Region), namePattern, "region")
	c.name(string(p.Pack), packPattern, "pack")
	c.name(p.Version, versionPattern, "version")
	c.seq(p.Seq, "seq")
	if p.Previous != "" {
		c.name(string(p.Previous), digestPattern, "previous")
	}
	c.that(p.Mode == Active || p.Mode == Shadow || p.Mode == Off, "mode", "expected active, shadow or off")
	if p.Library != "" {
		c.name(p.Library, versionPattern, "library")
	}
	c.that(p.DeactivateAt.IsZero() || p.DeactivateAt.After(p.ActivateAt), "deactivateAt", "must be later than activateAt")
	c.that(p.Mode != Off || (p.ActivateAt.IsZero() && p.DeactivateAt.IsZero()), "mode", "off holds at once; give no times")
	c.list(len(p.InputsUnknown), "inputsUnknown")
	c.that(distinct(p.InputsUnknown), "inputsUnknown", "each key once")
	for i, key := range p.InputsUnknown {
		c.name(key, inputPattern, fmt.Sprintf("inputsUnknown[%d]", i))
	}
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

// Kind returns [KindSuspension].
func (Suspension) Kind() Kind { return KindSuspension }

func (p Suspension) check(c *checker) {
	c.name(string(p.Tenant), namePattern, "tenant")
	c.name(string(p.Region), namePattern, "region")
	c.name(string(p.Pack), packPattern, "pack")
	if p.Rule != "" {
		c.name(p.Rule, rulePattern, "rule")
	}
	c.text(p.Reason, "reason", true)
	c.time(p.SuspendedAt, "suspendedAt")
}

// Resumption lifts one suspension, or one revocation with action suspend. It adds
// power, so it needs the approver threshold.
type Resumption struct {
	Tenant Tenant `json:"tenant"`
	Region Region `json:"region"`
	// Lifts is the digest of the payload that suspended. A later suspension of the
	// same rule has another digest, so an old resumption cannot lift it.
	Lifts     Digest    `json:"lifts"`
	Reason    string    `json:"reason"`
	ResumedAt time.Time `json:"resumedAt"`
}

// Kind returns [KindResumption].
func (Resumption) Kind() Kind { return KindResumption }

func (p Resumption) check(c *checker) {
	c.name(string(p.Tenant), namePattern, "tenant")
	c.name(string(p.Region), namePattern, "region")
	c.name(string(p.Lifts), digestPattern, "lifts")
	c.text(p.Reason, "reason", true)
	c.time(p.ResumedAt, "resumedAt")
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
	TargetDigest TargetType = "digest"
	TargetKey    TargetType = "key"
	TargetPerson TargetType = "person"
)

// Action is how firmly something is taken out of use.
type Action string

// The actions.
const (
	Suspend Action = "suspend"
	Revoke  Action = "revoke"
)

// Kind returns [KindRevocation].
func (Revocation) Kind() Kind { return KindRevocation }

func (p Revocation) check(c *checker) {
	c.name(string(p.Tenant), namePattern, "tenant")
	c.name(string(p.Region), namePattern, "region")
	switch p.Target.Type {
	case TargetDigest, TargetKey:
		c.name(p.Target.Value, digestPattern, "target.value")
	case TargetPerson:
		c.name(p.Target.Value, personPattern, "target.value")
	default:
		c.fail("target.type", "expected digest, key or person")
	}
	c.that(p.Action == Suspend || p.Action == Revoke, "action", "expected suspend or revoke")
	c.text(p.Reason, "reason", true)
	c.time(p.EffectiveAt, "effectiveAt")
}
