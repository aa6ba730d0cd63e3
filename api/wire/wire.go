// Package wire is the JSON of Precept's management API: what the server of
// package api writes and the client of package client reads.
//
// What it guarantees: plain values that need nothing of Precept but this
// package, so a program that looks at records does not carry the engine along;
// members are only ever added, so a reader ignores those it does not know.
// Times are RFC 3339, byte strings base64, digests lower-case hexadecimal
// SHA-256. The documents of CDS Hooks are in package cdshooks.
//
// What it does not do: it checks nothing. A record, a report and a proof are the
// server's word until somebody compares them with a signed head.
package wire

import "time"

// Headers of Precept's own.
const (
	// PurposeHeader is where people say why they look at records: printable
	// ASCII, at most 200 characters.
	PurposeHeader = "Precept-Purpose"
	// ReceiptHeader carries the receipt of a call's record.
	ReceiptHeader = "Precept-Receipt"
)

// Problem is an answer that says no, as RFC 9457 has it.
type Problem struct {
	Type   string `json:"type"`   // "urn:precept:problem:" and the code
	Title  string `json:"title"`  // one sentence, the same for every occurrence
	Status int    `json:"status"` // of HTTP
	Code   string `json:"code"`   // stable word
	Detail string `json:"detail,omitempty"`
	At     string `json:"at,omitempty"`   // path in the body that was sent
	Hint   string `json:"hint,omitempty"` // how to fix it
}

// Status is what is in force for a tenant.
type Status struct {
	Tenant     string       `json:"tenant"`
	Region     string       `json:"region"`
	Build      string       `json:"build"`       // of the program
	Library    string       `json:"library"`     // version of the clinical library
	OPA        string       `json:"opa"`         // version of the evaluator
	NodeKey    []byte       `json:"node_key"`    // Ed25519; signs heads and so receipts
	ReleaseLog int64        `json:"release_log"` // statements so far
	Policy     PolicyStatus `json:"policy"`
	Home       HomeStatus   `json:"home"`
	// Certificate is this region's, signed, one line for each key.
	Certificate string       `json:"certificate"`
	Packs       []PackStatus `json:"packs"`
	Unused      []string     `json:"unused_parameters,omitempty"` // parameters of the policy that no pack has

	// Suspensions are open: a resumption lifts one by its digest.
	Suspensions []SuspensionStatus `json:"suspensions,omitempty"`
}

// SuspensionStatus is an open suspension: of a rule, of a pack (no rule), or of the
// target of a revocation.
type SuspensionStatus struct {
	Digest string `json:"digest"` // of the payload
	Pack   string `json:"pack,omitempty"`
	Rule   string `json:"rule,omitempty"`
	Type   string `json:"type,omitempty"` // of the target: digest, key or person
	Value  string `json:"value,omitempty"`
}

// HomeStatus says where the tenant lives.
type HomeStatus struct {
	Epoch       uint64 `json:"epoch"`                 // of the newest placement, 0 if none; the next is above it
	Region      string `json:"region,omitempty"`      // of the placement in force
	Certificate string `json:"certificate,omitempty"` // SHA-256 of the certificate that it holds
	Why         string `json:"why,omitempty"`         // why this region does not answer EHRs
}

// PolicyStatus says which policy is in force.
type PolicyStatus struct {
	Seq    uint64 `json:"seq"` // 0 if there is none; the next one is one more
	Digest string `json:"digest,omitempty"`
}

// PackStatus says which version of a pack is in force.
type PackStatus struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"` // rules, terminology or codemap
	Version   string   `json:"version"`
	Digest    string   `json:"digest"`
	Seq       uint64   `json:"seq"` // of the activation; the next one is one more
	Rules     int      `json:"rules,omitzero"`
	Library   string   `json:"library,omitempty"`   // that the pack was approved with, and runs with
	Suspended []string `json:"suspended,omitempty"` // rules that are out of service, as "<pack>/<rule>"
	NotRun    string   `json:"not_run,omitempty"`   // why this node cannot run the pack; empty if it can
}

// Applied is the answer to a statement that was taken.
type Applied struct {
	Index  int64  `json:"index"`  // in the release log
	Kind   string `json:"kind"`   // such as "activation"
	Digest string `json:"digest"` // of the payload
	Record string `json:"record"` // id of the audit record
}

// Statements is a tenant's release log, oldest first.
type Statements struct {
	Statements []Statement `json:"statements"`
}

// Statement is one entry of a release log.
type Statement struct {
	Index    int64     `json:"index"`
	Time     time.Time `json:"time"`     // when it was taken, by the log's clock
	Envelope string    `json:"envelope"` // JSON Lines of Sigstore bundles
}
