package keyring

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Overhead is how many bytes sealing adds: the GCM tag.
const Overhead = 16

// zeroNonce is the nonce of every record: its key is used once. It is never written to.
var zeroNonce [12]byte

// Binding is what a sealed record is bound to, besides region and tenant.
type Binding struct {
	Record string // record id
	Schema string // schema of the body
}

// subjectKey is an unwrapped subject key.
type subjectKey struct {
	handle string
	key    [keySize]byte
	fresh  []Named // stored forms, until known durable
	refs   int     // leases that carry fresh; guarded by Tenant.mu
}

// A Subject is a lease on the key of one patient (or one month). Seal with it, store New together with what was
// sealed, then call Release exactly once. A lease belongs to one goroutine.
type Subject struct {
	tenant *Tenant
	tag    Tag
	key    *subjectKey
	fresh  []Named
}

// Subject leases the key that tag leads to, making one if there is none.
func (t *Tenant) Subject(ctx context.Context, tag Tag) (*Subject, error) {
	if s, ok := t.inMemory(tag); ok {
		return s, nil
	}
	v, ok, err := t.ring.lookup(ctx, t.name, NameSubject(tag))
	if err != nil {
		return nil, fmt.Errorf("reading subject key: %w", err)
	}
	if !ok {
		return t.newSubject(tag)
	}
	handle := string(v)
	raw, err := t.subjectKey(ctx, handle)
	if err != nil {
		return nil, fmt.Errorf("opening subject key: %w", err)
	}
	k := &subjectKey{handle: handle, key: [keySize]byte(raw)}
	clear(raw)
	t.ring.keepSubject(subjectID{t.name, tag}, k)
	return t.lease(tag, k), nil
}

// inMemory leases a key that is pending or known.
func (t *Tenant) inMemory(tag Tag) (*Subject, bool) {
	t.mu.Lock()
	k, ok := t.pending[tag]
	if ok {
		k.refs++
	}
	t.mu.Unlock()
	if !ok {
		k, ok = t.ring.knownSubject(subjectID{t.name, tag})
	}
	if !ok {
		return nil, false
	}
	return t.lease(tag, k), true
}

// lease hands out k with everything that is not yet durable: the tenant's own keys first.
func (t *Tenant) lease(tag Tag, k *subjectKey) *Subject {
	s := &Subject{tenant: t, tag: tag, key: k}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.fresh)+len(k.fresh) > 0 {
		s.fresh = append(append([]Named(nil), t.fresh...), k.fresh...)
	}
	return s
}

// newSubject makes a key, unless another goroutine has just made one: first calls of one patient agree.
func (t *Tenant) newSubject(tag Tag) (*Subject, error) {
	k, err := t.makeKey(tag)
	if err != nil {
		return nil, fmt.Errorf("making subject key: %w", err)
	}
	t.mu.Lock()
	if other, ok := t.pending[tag]; ok {
		k = other
	} else if other, ok := t.ring.knownSubject(subjectID{t.name, tag}); ok {
		t.mu.Unlock()
		return t.lease(tag, other), nil
	} else {
		t.pending[tag] = k
	}
	k.refs++
	t.mu.Unlock()
	return t.lease(tag, k), nil
}

// makeKey makes a random key under a random handle, wrapped by the current tenant key.
func (t *Tenant) makeKey(tag Tag) (*subjectKey, error) {
	b, err := t.ring.random(16 + keySize + 12)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	t.mu.Lock()
	n, wrapping := t.current, t.keys[t.current]
	t.mu.Unlock()
	k := &subjectKey{handle: hex.EncodeToString(b[:16]), key: [keySize]byte(b[16 : 16+keySize])}
	nonce := b[16+keySize:]
	v := binary.BigEndian.AppendUint32([]byte{formatWrapped}, n)
	v = append(v, nonce...)
	v = wrapping.Seal(v, nonce, k.key[:], t.wrapBinding(k.handle, n))
	k.fresh = []Named{
		{Name: NameSubject(tag), Value: []byte(k.handle)},
		{Name: NameKey(k.handle), Value: v},
	}
	return k, nil
}

// Handle is the random name of the key; it is not derived from the patient.
func (s *Subject) Handle() string { return s.key.handle }

// New is the keys to be stored, each only where its name is absent, in the same transaction as what this lease
// sealed. If a name is taken by other bytes, nothing may be stored: release with [Superseded], and start again
// from [Ring.Tenant].
func (s *Subject) New() []Named { return s.fresh }

// Seal encrypts buf in place and returns it with the tag appended; buf needs Overhead bytes of spare capacity.
// One record id may be sealed and stored only once.
func (s *Subject) Seal(buf []byte, b Binding) ([]byte, error) {
	if cap(buf)-len(buf) < Overhead {
		return nil, errNoSpace
	}
	gcm, aad, err := s.tenant.recordKey(s.key.key[:], b)
	if err != nil {
		return nil, fmt.Errorf("sealing record: %w", err)
	}
	return gcm.Seal(buf[:0], zeroNonce[:], buf, aad), nil
}

// recordKey derives the cipher and the associated data of one record.
func (t *Tenant) recordKey(key []byte, b Binding) (cipher.AEAD, []byte, error) {
	var buf [256]byte
	info := binding(buf[:0], labelRecordKey, t.ring.region, t.name, b.Schema)
	raw, err := hkdf.Key(sha256.New, key, []byte(b.Record), string(info), keySize)
	if err != nil {
		return nil, nil, err
	}
	gcm, err := newGCM(raw)
	clear(raw)
	return gcm, binding(nil, labelRecord, t.ring.region, t.name, b.Record, b.Schema), err
}

// Outcome is what became of the record sealed under a lease.
type Outcome int

// The outcomes of a lease.
const (
	Abandoned  Outcome = iota // nothing was stored, or nobody knows
	Durable                   // record and keys are stored
	Superseded                // the store holds another key, or none any more: forget what is in memory
)

// Release ends the lease.
func (s *Subject) Release(o Outcome) {
	if o == Superseded {
		s.tenant.ring.Forget(s.tenant.name)
		return
	}
	if len(s.fresh) == 0 {
		return
	}
	t := s.tenant
	t.mu.Lock()
	defer t.mu.Unlock()
	if o == Durable {
		t.fresh = nil
	}
	if len(s.key.fresh) == 0 {
		return
	}
	s.key.refs--
	if o == Durable {
		s.key.fresh = nil
		delete(t.pending, s.tag)
		t.ring.keepSubject(subjectID{t.name, s.tag}, s.key)
	} else if s.key.refs == 0 && t.pending[s.tag] == s.key {
		delete(t.pending, s.tag)
	}
}
