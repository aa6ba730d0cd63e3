package keyring

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
)

// Labels separate the uses of keys. A changed layout gets a new label.
const (
	labelRegionWrap  = "precept/region-wrap/v1"
	labelTenantWrap  = "precept/tenant-wrap/v1"
	labelRecordKey   = "precept/record-key/v1"
	labelRecord      = "precept/record/v1"
	labelTag         = "precept/tag/v1"
	keySize          = 32
	formatDestroyed  = 0x00 // all that is stored of a key destroyed on purpose; absence would mean "not made yet"
	formatWrapped    = 0x01
	maxWrappedLength = 1 << 14
)

// binding appends each part with its length (uint32, big-endian) in front: no two lists of parts give the same bytes.
func binding(dst []byte, parts ...string) []byte {
	for _, p := range parts {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
		dst = append(dst, p...)
	}
	return dst
}

// wrapByRegion wraps key for (tenant, name); prefix is stored in clear between format and wrap, and bound too.
func (r *Ring) wrapByRegion(ctx context.Context, tenant, name string, prefix, key []byte) (Named, error) {
	wrapped, err := r.kms.Wrap(ctx, key, binding(nil, labelRegionWrap, r.region, tenant, name, string(prefix)))
	if err != nil {
		return Named{}, fmt.Errorf("wrapping %s: %w: %w", name, ErrKMS, err)
	}
	value := append([]byte{formatWrapped}, prefix...)
	return Named{Name: name, Value: append(value, wrapped...)}, nil
}

// unwrapByRegion reverses wrapByRegion and returns the key with the prefix of n bytes.
func (r *Ring) unwrapByRegion(ctx context.Context, tenant string, n int, w Named) (prefix, key []byte, err error) {
	v := w.Value
	if err := checkFormat(w.Name, v, 1+n+1); err != nil {
		return nil, nil, err
	}
	prefix = v[1 : 1+n]
	key, err = r.kms.Unwrap(ctx, v[1+n:], binding(nil, labelRegionWrap, r.region, tenant, w.Name, string(prefix)))
	switch {
	case errors.Is(err, ErrOpen):
		return nil, nil, fmt.Errorf("unwrapping %s: %w", w.Name, err)
	case err != nil:
		return nil, nil, fmt.Errorf("unwrapping %s: %w: %w", w.Name, ErrKMS, err)
	case len(key) != keySize:
		return nil, nil, fmt.Errorf("unwrapping %s: %w: wrong length", w.Name, ErrOpen)
	}
	return prefix, key, nil
}

// checkFormat tells destroyed, damaged and usable values apart.
func checkFormat(name string, v []byte, least int) error {
	switch {
	case len(v) == 1 && v[0] == formatDestroyed:
		return fmt.Errorf("unwrapping %s: %w", name, ErrErased)
	case len(v) < least || len(v) > maxWrappedLength || v[0] != formatWrapped:
		return fmt.Errorf("unwrapping %s: %w: not a wrapped key", name, ErrOpen)
	}
	return nil
}

// newGCM is AES-256-GCM under key.
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
