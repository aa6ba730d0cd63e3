// Package audit keeps what was decided: a record for every call, sealed, in a Merkle log per tenant and month,
// durable before anybody is answered, and provable to whoever holds a public key.
//
// # What is stored
//
// A record is a leaf and a body. The leaf is public and is what the log's hashes cover, byte for byte:
//
//	{"v":1,"kind":"decision","tenantRef":"4be1...","recordId":"019cb2a0-...","index":7,
//	 "decided":"2026-03-02T15:00:00.000Z","committed":"2026-03-02T15:00:00.004Z","engine":"1.4.0","library":"1.0.0",
//	 "releaseIndex":12,"schema":"precept-record/2","commit":"9f0c...","ctDigest":"77aa...","ctLen":9152,
//	 "keyRef":"5d1e..."}
//
// on one line and without the spaces shown here. It names no patient, not even by a digest. A leaf of kind
// statement ends with "statement": the SHA-256 of the envelope at releaseIndex in the release log. A leaf of
// kind checkpoint is the first leaf of every month but the first and holds the last signed head of the month
// before:
//
//	{"v":1,"kind":"checkpoint","tenantRef":"4be1...","index":0,"committed":"...","checkpoint":"audit.example/..."}
//
// The body is opaque here. What is sealed is
//
//	r (32 random bytes) | uint32 length of z | z = zstd(body) | zeros up to a multiple of 64 less the tag
//
// under the patient's key (package keyring), with commit = SHA-256("precept/commit/v1\n" | r | body) and
// ctDigest = SHA-256(ciphertext). Destroying the key erases the body; leaf, commit and every proof stay, and
// without r commit says nothing even about a guessable body.
//
// # Logs
//
// A tenant has one log per month, <prefix>/<region>/<tenant>/audit/<yyyy-mm>, and one release log,
// <prefix>/<region>/<tenant>/releases, whose leaves are the bytes of statement envelopes. Hashes are RFC 6962,
// heads are C2SP checkpoints signed by the region's node key. A month belongs to the time of the commit, in UTC. After
// the clock was found to have been wrong, a tenant's logs go on as audit/<yyyy-mm>.<n>, in a new era n.
//
// The region has a log of its own, <prefix>/<region>/anchor, in which the heads of all these logs are anchored, blinded,
// at short intervals (anchor.go). Witnesses, which are somebody else, sign its heads (witness.go).
//
// # Guarantees
//
// [Log.Append] returns a receipt only after leaf, ciphertext, hashes, indexes, new keys and signed head are
// durable in one transaction of the store. Record ids are unique per tenant; an entry with the idempotency bytes
// of an earlier one adds nothing and yields the first one's receipt. Committed times never go back within a tenant.
//
// A decision is stored only while the release log is the one it was made under: once a statement was stored, by
// whatever node, decisions made without it are refused.
//
// If nobody can tell what became of a commit, the log refuses everything from then on, reads too, and the next
// start runs the check.
//
// Not guaranteed: that an input was true, that every decision was given to Append, or the true order of events
// between two heads that somebody outside has seen. Somebody who holds both the store and the node key can write
// another history; receipts, noted heads, the high-water mark and witnesses are what shows it.
package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// Errors of this package. Others are errors of the store or of the context.
var (
	// ErrBusy says that the queue is full, or that other nodes keep writing to the same tenant. Nothing was stored;
	// answer 503 and let the caller retry.
	ErrBusy = errors.New("audit log busy: too many records are waiting to be stored")
	// ErrStore says that a commit failed and its outcome is unknown. No answer may leave, and nothing is read any
	// more: what a read shows may not be durable. Close the store and open it again, through the check; a retry
	// with the same idempotency bytes then finds the record if it was stored.
	ErrStore = errors.New("audit store failed, outcome unknown: close it, the next start runs the check")
	// ErrClosed says that the log was closed. Nothing was stored.
	ErrClosed = errors.New("audit log closed")
	// ErrEntry says that an entry is malformed: a mistake of the calling code.
	ErrEntry = errors.New("malformed audit entry")
	// ErrDuplicate says that the record id is taken. Nothing was stored; make a new id.
	ErrDuplicate = errors.New("record id already used")
	// ErrMoved says that the release log has another size than the one that a statement was checked against, or a
	// decision made under. Nothing was stored: read the release log, then check or decide again.
	ErrMoved = errors.New("release log has moved on")
	// ErrNotFound says that this tenant has no such record, log or blob. Those of other tenants look the same.
	ErrNotFound = errors.New("not found")
	// ErrErased says that the key of a record was destroyed: its body is gone for good, its leaf and proof remain.
	ErrErased = keyring.ErrErased
	// ErrCorrupt says that stored bytes contradict the log. Treat it as tampering and run the full verification.
	ErrCorrupt = errors.New("stored record does not agree with the log")
	// ErrDamaged says that the store's own structure cannot be read: a damaged page, a file cut short. It is ErrCorrupt.
	// Put back a copy, verify it, and adopt it if the high-water mark knows more.
	ErrDamaged = fmt.Errorf("%w: store damaged (put back a copy and verify it with precept audit verify --store; the"+
		" high-water mark tells whether it is new enough)", ErrCorrupt)
	// ErrCutShort says that the store holds less than was signed before, as after restoring an old copy. Do not
	// append; restore a newer copy.
	ErrCutShort = errors.New("log cut short")
	// ErrForeign says that the store belongs to another region or another name prefix. Use the right store.
	ErrForeign = errors.New("store belongs to another region")
	// ErrMark says that the high-water mark is missing, damaged, or does not name every log that the store has.
	ErrMark = errors.New("high-water mark unusable")
	// ErrFilter says that a query cannot be run as asked: a bad cursor or limit, or keys that are not available.
	ErrFilter = errors.New("unusable query")
	// ErrReceipt says that a text is not a receipt, or that a receipt does not hold.
	ErrReceipt = errors.New("not a valid receipt")
)

// Config is what a [Log] or a [Reader] needs.
type Config struct {
	Store Store // required; stays the caller's to close, after the Log
	// Ring holds the keys; it must read them through [KeyLookup] of the same store. Required for a Log; a Reader
	// without one checks everything but bodies and cannot search by patient or rule.
	Ring *keyring.Ring
	// Prefix is the first part of every log's origin, a name the operator owns such as "audit.example.org".
	// Required for a Log; a Reader may leave it and Region empty and takes what the store says of itself.
	Prefix string
	Region tenant.Region
	// Node is the public key that heads must be signed with. Nil means the one in the store, which is no protection
	// against somebody who can replace it there. Only a Reader uses it.
	Node ed25519.PublicKey
	// Mark is the high-water mark; nil means none, and then an old copy of the whole store is not noticed. A Log
	// closes it, a Reader only loads it.
	Mark Mark
	// AdoptMark lets a store start that has logs which the Mark lacks, or fewer leaves than the Mark knows. Set it once,
	// after a full verification, when the mark was lost or there is no newer copy of the store. It leaves an event in
	// the log of each tenant concerned, with the heads of both.
	AdoptMark bool
	Build     string           // version of the program, for such events
	Clock     func() time.Time // required for a Log
	Rand      io.Reader        // required for a Log; crypto/rand.Reader in production; safe for concurrent use
	Queue     int              // entries that may wait to be stored; 0 means 4096
	Tokens    int              // tokens of a client that are remembered; 0 means DefaultTokens, at least LeastTokens
	// Ticks is a clock that nobody sets: time since some moment in the past. Nil means that of the process, and that Clock
	// is not held against it.
	Ticks func() time.Duration
	// MaxJump is by how much Clock may differ from what Ticks says, and how far in the future the newest record of a
	// tenant may lie; 0 means 5 minutes. Beyond, nothing is stored but what removes power.
	MaxJump time.Duration
	// AdoptClock lets a store start whose newest records lie further in the future, because the clock was wrong when they
	// were stored. Set it once. Each tenant concerned goes on in a new log, which begins with an event that says so.
	AdoptClock bool
	// Patience is how long a commit may take before the log says that it is not ready, and takes nothing more than what
	// removes power until the commit has ended; 0 means 5 s.
	Patience time.Duration
	// MinFree is how many bytes stay free where the store lies: below, nothing is stored; what removes power is, down to
	// a quarter of it. 0 means 256 MiB, or 5 % of the space if that is less.
	MinFree int64
	Scrub   Scrubbing
	Anchor  Anchoring
	// Look is how often the log looks whether it can take records while none come; 0 means 1 s.
	Look time.Duration
}

// Limits of one entry.
const (
	// MaxBody is the largest body, in bytes.
	MaxBody = 32 << 20
	// MaxStatement is the largest statement envelope, in bytes.
	MaxStatement = 1 << 20
	maxTags      = 4096
)
