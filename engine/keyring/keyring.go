// Package keyring holds every secret key of a region, and lets nobody else hold one.
//
// The hierarchy, from the outside in:
//
//	region key    lives in the KMS (3 methods: Wrap, Unwrap, Describe); never seen here
//	tenant key    random 256 bit, versioned; wrapped by the region key
//	index key     random 256 bit per tenant, for look-up tags (HMAC-SHA256); wrapped by the region key
//	subject key   random 256 bit per patient (or per month, for records without one); wrapped by the tenant key
//	record key    HKDF-SHA256(subject key, salt = record id, info = region, tenant, schema); never stored
//	node key      Ed25519, one per region, signs checkpoints; wrapped by the region key
//
// A record is sealed with AES-256-GCM under its record key. The nonce is zero, because a record key seals
// exactly one stored record: the audit log refuses a second record with the same id in the transaction that
// stores the first. The associated data binds region, tenant, record id and schema, and every wrapped key binds
// region, tenant, kind, handle and the version of the key that wraps it; moving a ciphertext or a wrapped key to
// another tenant, region, record or handle makes it unreadable.
//
// What is stored is only wrapped keys, under these names (see [Named]):
//
//	tenant              decimal number of the current tenant key
//	tenant/<n>          tenant key n              0x01 | what the KMS returned
//	index/1             index key                 0x01 | what the KMS returned
//	subject/<tag>       handle of the subject key (deletable binding from look-up tag to key)
//	key/<handle>        subject key               0x01 | uint32 tenant key number | nonce (12) | ciphertext and tag (48)
//	node/1              node key (tenant "")      0x01 | Ed25519 public key (32) | what the KMS returned
//
// A single byte 0x00 stands for a destroyed key. Destroying key/<handle> makes that patient's bodies unreadable
// ([ErrErased]); destroying tenant/<n> does it for everything under it. A key that is simply not there any more is
// no erasure ([ErrMissing]).
//
// The package persists nothing. A new key is handed out together with its wrapped form, again and again, until
// the caller says that it is durable: so the key can be stored in the same transaction as the first record that
// needs it, and two first calls of one patient agree on one key.
//
// Not guaranteed: Go cannot promise that key bytes leave memory when they are dropped, and a stale copy of the
// store's file still holds keys destroyed later, until the tenant key that wraps them is destroyed too.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Errors of this package. A caller treats every other error as an outage of the KMS or of the store.
var (
	// ErrErased says that the key was destroyed, so what it sealed is gone for good. Show it as erased; do not retry.
	ErrErased = errors.New("key destroyed: content erased")
	// ErrMissing says that a key is not stored although something was sealed with it, and that nothing is stored that
	// says it was destroyed: damage or tampering, never an erasure. Restore a copy of the store that has it.
	ErrMissing = errors.New("key missing, and not by an erasure")
	// ErrOpen says that bytes do not open under the key and the place they were found at: damaged, or moved
	// from another record, tenant or region. Treat it as tampering.
	ErrOpen = errors.New("sealed bytes do not open here")
	// ErrKMS says that the region key could not be used. Answer 503 and retry later.
	ErrKMS = errors.New("region key not available")
)

// Named is a wrapped key (or a name that leads to one) as it is stored under (tenant, Name).
// It is created once and must be stored only where the name is still absent.
type Named struct {
	Name  string
	Value []byte
}

// Lookup reads what is stored under a name of a tenant ("" is the region itself); ok is false when
// there is nothing. It must return a copy, and be safe for concurrent use.
type Lookup func(ctx context.Context, tenant, name string) (value []byte, ok bool, err error)

// Config is what a Ring needs. All fields but Subjects are required.
type Config struct {
	Region string    // bound into everything sealed or wrapped
	KMS    KMS       // holds the region key
	Lookup Lookup    // reads wrapped keys
	Rand   io.Reader // crypto/rand.Reader in production; safe for concurrent use
	// Subjects is how many durable subject keys are kept unwrapped in memory, for all tenants together;
	// 0 means 16384 (about 4 MB).
	Subjects int
}

// A Ring is the keys of one region. It is safe for concurrent use.
type Ring struct {
	region string
	kms    KMS
	lookup Lookup
	rand   io.Reader

	mu      sync.Mutex
	tenants map[string]*Tenant                     // guarded by mu
	known   *simplelru.LRU[subjectID, *subjectKey] // durable subject keys; guarded by mu
}

// subjectID names a subject key in memory.
type subjectID struct {
	tenant string
	tag    Tag
}

// New returns the ring of a region. It reads nothing yet.
func New(c Config) (*Ring, error) {
	if c.Region == "" || c.KMS == nil || c.Lookup == nil || c.Rand == nil {
		return nil, errors.New("making key ring: region, KMS, lookup and randomness are all required")
	}
	if c.Subjects <= 0 {
		c.Subjects = 16384
	}
	known, err := simplelru.NewLRU[subjectID, *subjectKey](c.Subjects, nil)
	if err != nil {
		return nil, fmt.Errorf("making key ring: %w", err)
	}
	return &Ring{
		region: c.Region, kms: c.KMS, lookup: c.Lookup, rand: c.Rand,
		tenants: make(map[string]*Tenant), known: known,
	}, nil
}

// Tenant returns the keys of a tenant, reading or creating them on first use. The caller vouches that the tenant
// exists: memory is held per tenant asked for. Created keys become durable with the first subject that carries them.
func (r *Ring) Tenant(ctx context.Context, name string) (*Tenant, error) {
	if name == "" {
		return nil, errors.New("opening tenant keys: no tenant named")
	}
	r.mu.Lock()
	t, ok := r.tenants[name]
	if !ok {
		t = &Tenant{ring: r, name: name, pending: make(map[Tag]*subjectKey)}
		r.tenants[name] = t
	}
	r.mu.Unlock()
	if err := t.load(ctx); err != nil {
		return nil, fmt.Errorf("opening tenant keys: %w", err)
	}
	return t, nil
}

// Forget drops all keys of a tenant from memory, so that the next use reads the store again. Call it after keys
// were rotated or destroyed; leases that are out stay usable, and the log refuses to store what they seal under
// a destroyed key.
func (r *Ring) Forget(tenant string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tenants, tenant)
	for _, id := range r.known.Keys() {
		if id.tenant == tenant {
			r.known.Remove(id)
		}
	}
}

func (r *Ring) knownSubject(id subjectID) (*subjectKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known.Get(id)
}

func (r *Ring) keepSubject(id subjectID, k *subjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known.Add(id, k)
}

// random returns n fresh random bytes.
func (r *Ring) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.rand, b); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	return b, nil
}
