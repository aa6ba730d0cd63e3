package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// Space is one kind of stored thing; a table, or a bucket. Every key lives under a tenant; what belongs to the
// region lives under tenant "".
type Space uint8

// The spaces. Their keys and values follow. The n hashes before a leaf are those of the subtrees that it
// completes, its own first. Marks are what lists filter by: kind (1) | rule tags (8 each). Patients and Lookups
// are deletable without touching a log. The region's own log lies under tenant "", as "anchor".
const (
	Meta     Space = iota // "identity" -> prefix/region; "tenant/<id>" -> tenantRef (both under tenant "")
	Heads                 // "audit", "releases" -> newest head of that kind; "audit/<yyyy-mm>" -> a closed month's last
	Leaves                // log | 0 | index (8 bytes, big-endian) -> number n (1) | n tree hashes (32 each) | leaf
	Bodies                // log | 0 | index -> ciphertext
	Records               // record id (16) -> index (8) | length of log (1) | log | marks
	Patients              // patient tag (16) | record id (16) -> marks
	Lookups               // tag (16) -> record id (16): idempotency, cards; also statement index
	Keys                  // name -> wrapped key (package keyring)
	Blobs                 // SHA-256 (32) -> bytes (tenant ""), or 1 under each tenant that has shown them
	Tokens                // tag of client (16) | slot (1) -> tokens that were used, see tokens.go
	Anchors               // log | 0 | size (8) -> where the region's log has that head, see anchor.go
	Spaces                // number of spaces
)

// AppendOnly says that nothing stored in the space is ever written again, only removed whole by retention.
func (s Space) AppendOnly() bool {
	return s == Leaves || s == Bodies || s == Records || s == Blobs || s == Anchors
}

// String is the name of the space, as stores call it.
func (s Space) String() string {
	if s >= Spaces {
		return "unknown"
	}
	return [...]string{"meta", "heads", "leaves", "bodies", "records", "patients", "lookups", "keys", "blobs", "tokens",
		"anchors"}[s]
}

// ErrConflict is what a [ConflictError] is.
var ErrConflict = errors.New("store has changed meanwhile")

// ErrNotApplied is wrapped by an error of [Store.Commit] after which surely nothing was changed and nothing will be:
// the disk is full, a limit is reached, the transaction could not begin. Answer 503; the log goes on.
var ErrNotApplied = errors.New("nothing was stored")

// A ConflictError is returned by [Store.Commit] when nothing was changed because expectations did not hold. It is
// [ErrConflict]. The log reads the tenants named and plans what it wants of them anew; the rest stands.
type ConflictError struct {
	// Tenants are those whose expectations did not hold. A store names all it knows of and at least one.
	Tenants []tenant.ID
}

// Error names the tenants.
func (e *ConflictError) Error() string { return fmt.Sprintf("%s: tenants %q", ErrConflict, e.Tenants) }

// Add names one more tenant, once.
func (e *ConflictError) Add(t tenant.ID) {
	if !slices.Contains(e.Tenants, t) {
		e.Tenants = append(e.Tenants, t)
	}
}

// Unwrap makes the error [ErrConflict].
func (e *ConflictError) Unwrap() error { return ErrConflict }

// A Store keeps bytes under (space, tenant, key). Durability and order are all that the log needs from it:
//
//   - View shows one consistent state, containing at least every commit that returned before View was called.
//   - Commit applies a batch wholly or not at all, one after the other, and returns nil only after it is durable.
//   - Commit has three outcomes. Nil: it is durable. ErrConflict or ErrNotApplied: nothing was changed. Any other
//     error: nobody knows. What is unknown can be found out only from a store that is a [Resolver]; with any
//     other the log stops, its owner closes the store and starts again.
//
// A call may be a round trip to a server: the log reads what it needs with as few calls as it can.
//
// All methods are safe for concurrent use.
type Store interface {
	// View calls fn with a consistent state. It is valid only until fn returns; fn must be quick and must not
	// call Commit. Under a context that is about one tenant ([Only]) it may show nothing of others.
	View(ctx context.Context, fn func(View) error) error
	// Commit checks all expectations, then applies all puts in order, atomically and durably. It copies what it
	// keeps. Expectations that do not hold are a [ConflictError] with the tenants of all of them, and so is a
	// put that changes a present value in an append-only space. ctx is honoured only before the transaction
	// begins; its end is then ErrNotApplied.
	Commit(ctx context.Context, b *Batch) error
	// Notify calls fn with each tenant whose newest head of the release log ("releases" in Heads) was put by a
	// commit that became durable, of whatever process as far as the store can tell. It may call late, more than
	// once, from several goroutines, or not at all when a connection is lost; never while it holds a lock that a
	// read or commit needs. fn is quick and waits for nothing. After stop no new call begins.
	Notify(fn func(tenant.ID)) (stop func())
	// Close waits for running calls and releases the store.
	Close() error
}

// A Resolver is a [Store] that can show what became of a commit whose outcome is unknown, which not every store can:
// after a failed sync, a file may show what is in memory only.
type Resolver interface {
	// Resolve is View on a new connection to where commits are made durable. It shows every commit that became
	// durable; and no commit that returned an error before, and is not shown, may become durable afterwards: the
	// store ends such a transaction or waits for its end.
	Resolve(ctx context.Context, fn func(View) error) error
}

// A View is one consistent state of a store. Slices it gives are read-only and valid until the View ends.
type View interface {
	// Get returns the value, or nil if there is none. A present value is never nil.
	Get(space Space, t tenant.ID, key []byte) ([]byte, error)
	// GetMany returns the values of all keys, in their order, as Get does, with one call to the store.
	GetMany(keys []Key) ([][]byte, error)
	// Scan calls fn for the keys of a tenant in [from, to) in byte order, or from the end backwards if reverse,
	// until fn returns false or an error. A nil to means no upper bound.
	Scan(space Space, t tenant.ID, from, to []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error
}

// A Key is where a value lies.
type Key struct {
	Space  Space
	Tenant tenant.ID
	Key    []byte
}

// A Batch is one transaction.
type Batch struct {
	Expect []Item // must hold before; a nil Value means that the key must be absent
	Put    []Item // a nil Value removes the key
}

// An Item is one stored value.
type Item struct {
	Space  Space
	Tenant tenant.ID
	Key    []byte
	Value  []byte
}

// KeyLookup reads wrapped keys for a key ring.
func KeyLookup(s Store) keyring.Lookup {
	return func(ctx context.Context, t, name string) ([]byte, bool, error) {
		var value []byte
		err := s.View(Only(ctx, tenant.ID(t)), func(v View) error {
			got, err := v.Get(Keys, tenant.ID(t), []byte(name))
			value = bytes.Clone(got)
			return err
		})
		return value, value != nil, err
	}
}
