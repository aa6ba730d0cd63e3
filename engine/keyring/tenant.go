package keyring

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"sync"
)

const (
	nameCurrent = "tenant"
	nameIndex   = "index/1"
)

func nameTenantKey(n uint32) string { return "tenant/" + strconv.FormatUint(uint64(n), 10) }

// subjectLength is that of a wrapped subject key: format, number of the tenant key, nonce, ciphertext, tag.
const subjectLength = 1 + 4 + 12 + keySize + 16

// NameSubject is the stored name that leads from a look-up tag to the handle of a subject key.
func NameSubject(tag Tag) string { return "subject/" + hex.EncodeToString(tag[:]) }

// NameKey is the stored name of the wrapped subject key with this handle.
func NameKey(handle string) string { return "key/" + handle }

// A Tenant is the keys of one tenant. It is safe for concurrent use.
type Tenant struct {
	ring *Ring
	name string

	mu      sync.Mutex
	loaded  bool
	current uint32                 // number of the tenant key that wraps new subject keys
	keys    map[uint32]cipher.AEAD // tenant keys in use; guarded by mu
	fresh   []Named                // made here and not yet known durable
	pending map[Tag]*subjectKey    // subject keys made here and not yet known durable
	macs    sync.Pool              // *tagger
}

// load reads or makes tenant and index key, once. A failed load is tried again by the next caller.
func (t *Tenant) load(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loaded {
		return nil
	}
	v, ok, err := t.ring.lookup(ctx, t.name, nameCurrent)
	if err != nil {
		return fmt.Errorf("reading tenant key: %w", err)
	}
	if ok {
		err = t.read(ctx, string(v))
	} else {
		err = t.create(ctx)
	}
	t.loaded = err == nil
	return err
}

// create makes the first tenant key and the index key. mu is held.
func (t *Tenant) create(ctx context.Context) error {
	keys, err := t.ring.random(2 * keySize)
	if err != nil {
		return err
	}
	defer clear(keys)
	tenantKey, err := t.ring.wrapByRegion(ctx, t.name, nameTenantKey(1), nil, keys[:keySize])
	if err != nil {
		return err
	}
	indexKey, err := t.ring.wrapByRegion(ctx, t.name, nameIndex, nil, keys[keySize:])
	if err != nil {
		return err
	}
	gcm, err := newGCM(keys[:keySize])
	if err != nil {
		return err
	}
	t.current, t.keys = 1, map[uint32]cipher.AEAD{1: gcm}
	t.fresh = []Named{{Name: nameCurrent, Value: []byte("1")}, tenantKey, indexKey}
	t.useIndexKey(keys[keySize:])
	return nil
}

// read opens the stored keys. mu is held.
func (t *Tenant) read(ctx context.Context, current string) error {
	n, err := strconv.ParseUint(current, 10, 32)
	if err != nil || n == 0 {
		return fmt.Errorf("reading tenant key: %w: number of the current key is damaged", ErrOpen)
	}
	t.keys = make(map[uint32]cipher.AEAD)
	if _, err := t.key(ctx, uint32(n)); err != nil {
		return err
	}
	index, err := t.unwrap(ctx, nameIndex)
	if err != nil {
		return err
	}
	t.current = uint32(n)
	t.useIndexKey(index)
	clear(index)
	return nil
}

// key returns tenant key n, through the KMS the first time. mu is held.
func (t *Tenant) key(ctx context.Context, n uint32) (cipher.AEAD, error) {
	if k, ok := t.keys[n]; ok {
		return k, nil
	}
	raw, err := t.unwrap(ctx, nameTenantKey(n))
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	k, err := newGCM(raw)
	if err != nil {
		return nil, err
	}
	t.keys[n] = k
	return k, nil
}

// unwrap reads a key of this tenant that must exist.
func (t *Tenant) unwrap(ctx context.Context, name string) ([]byte, error) {
	v, err := stored(ctx, t.ring.lookup, t.name, name, 2)
	if err != nil {
		return nil, err
	}
	_, key, err := t.ring.unwrapByRegion(ctx, t.name, 0, Named{Name: name, Value: v})
	return key, err
}

func (t *Tenant) useIndexKey(key []byte) {
	own := append([]byte(nil), key...)
	t.macs.New = func() any { return &tagger{mac: hmac.New(sha256.New, own)} }
}

// Tag is a keyed digest that finds a record again without storing what was looked for: the first 128 bits of
// HMAC-SHA256(index key, label, kind, values). Without the index key it says nothing.
type Tag [16]byte

// Tag computes the tag of some values. Kinds keep different uses apart.
func (t *Tenant) Tag(kind string, values ...string) Tag {
	m := t.macs.Get().(*tagger)
	m.mac.Reset()
	b := binding(m.buf[:0], labelTag, kind)
	m.buf = binding(b, values...)
	m.mac.Write(m.buf)
	m.buf = m.mac.Sum(m.buf[:0])
	tag := Tag(m.buf[:16])
	t.macs.Put(m)
	return tag
}

// tagger is a keyed hash with its scratch space.
type tagger struct {
	mac hash.Hash // HMAC-SHA256 under the index key
	buf []byte
}

// Open opens a sealed record. The key is read from the store each time, so a destroyed key is honoured at once:
// then the error is ErrErased; ErrMissing if it is not there at all. ErrOpen means that these bytes were not sealed as this record of this tenant and
// region.
func (t *Tenant) Open(ctx context.Context, handle string, b Binding, ciphertext []byte) ([]byte, error) {
	key, err := t.subjectKey(ctx, handle)
	if err != nil {
		return nil, fmt.Errorf("opening record: %w", err)
	}
	defer clear(key)
	gcm, aad, err := t.recordKey(key, b)
	if err != nil {
		return nil, fmt.Errorf("opening record: %w", err)
	}
	plain, err := gcm.Open(nil, zeroNonce[:], ciphertext, aad)
	if err != nil {
		return nil, fmt.Errorf("opening record: %w", ErrOpen)
	}
	return plain, nil
}

// Stored says, without any secret, whether a subject key and the tenant key that wraps it are stored: nil, or
// ErrErased, ErrMissing, or ErrOpen for what is no wrapped key. That they open only [Tenant.Open] can show.
func Stored(ctx context.Context, lookup Lookup, tenant, handle string) error {
	v, err := stored(ctx, lookup, tenant, NameKey(handle), subjectLength)
	if err == nil {
		_, err = stored(ctx, lookup, tenant, nameTenantKey(binary.BigEndian.Uint32(v[1:5])), 2)
	}
	return err
}

// stored reads a wrapped key that must exist.
func stored(ctx context.Context, lookup Lookup, tenant, name string, least int) ([]byte, error) {
	v, ok, err := lookup(ctx, tenant, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if !ok {
		return nil, fmt.Errorf("reading %s: %w", name, ErrMissing)
	}
	return v, checkFormat(name, v, least)
}

// subjectKey unwraps the subject key with this handle from the store.
func (t *Tenant) subjectKey(ctx context.Context, handle string) ([]byte, error) {
	v, err := stored(ctx, t.ring.lookup, t.name, NameKey(handle), subjectLength)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(v[1:5])
	t.mu.Lock()
	wrapping, err := t.key(ctx, n)
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	key, err := wrapping.Open(nil, v[5:17], v[17:], t.wrapBinding(handle, n))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("unwrapping subject key: %w", ErrOpen)
	}
	return key, nil
}

func (t *Tenant) wrapBinding(handle string, n uint32) []byte {
	return binding(nil, labelTenantWrap, t.ring.region, t.name, "subject", handle, strconv.FormatUint(uint64(n), 10))
}

var errNoSpace = errors.New("sealing record: buffer has no room for the authentication tag")
