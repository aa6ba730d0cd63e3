package audit

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// RecordID is a UUID of version 7 in its usual text form. It starts with the time, so records written together
// lie together.
type RecordID string

// NewRecordID makes an id from a time (RFC 9562, method 3: fractions of the millisecond stand in the first
// random bits).
func NewRecordID(now time.Time, rand io.Reader) (RecordID, error) {
	var u uuid.UUID
	if _, err := io.ReadFull(rand, u[8:]); err != nil {
		return "", fmt.Errorf("making record id: %w", err)
	}
	ms := now.UnixMilli()
	fraction := uint16(now.Sub(time.UnixMilli(ms)).Nanoseconds() * 4096 / int64(time.Millisecond))
	binary.BigEndian.PutUint64(u[:8], uint64(ms)<<16|0x7000|uint64(fraction&0x0fff))
	u[8] = u[8]&0x3f | 0x80
	return RecordID(u.String()), nil
}

// ParseRecordID checks s and returns it as a record id: lower case, dashes, version 7.
func ParseRecordID(s string) (RecordID, error) {
	if _, err := RecordID(s).bytes(); err != nil {
		return "", err
	}
	return RecordID(s), nil
}

// bytes is the binary form, under which records are stored.
func (id RecordID) bytes() (b [16]byte, err error) {
	u, err := uuid.Parse(string(id))
	if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 || u.String() != string(id) {
		return b, fmt.Errorf("reading record id: %w: not a UUID of version 7 in lower case", ErrEntry)
	}
	return u, nil
}

// recordID is the text form of a stored id.
func recordID(b []byte) (RecordID, error) {
	u, err := uuid.FromBytes(b)
	if err != nil {
		return "", fmt.Errorf("reading stored record id: %w", ErrCorrupt)
	}
	return RecordID(u.String()), nil
}

// Digest is a SHA-256.
type Digest [32]byte

// String is the lower-case hexadecimal form.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads the lower-case hexadecimal form.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if n, err := hex.Decode(d[:], []byte(s[:min(len(s), 64)])); err != nil || n != len(d) || d.String() != s {
		return Digest{}, fmt.Errorf("reading digest: %w: not 64 lower-case hexadecimal digits", ErrEntry)
	}
	return d, nil
}
