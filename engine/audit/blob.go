package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/precept-cds/precept/engine/tenant"
)

// MaxBlob is the largest blob, in bytes.
const MaxBlob = 64 << 20

// PutBlob stores bytes under their digest, durably, for all tenants of the region: pack archives, which are
// public to the region's tenants by their digest. Storing the same bytes again does nothing. A commit whose outcome
// nobody can tell poisons the log, as in Append.
func (l *Log) PutBlob(ctx context.Context, data []byte) (Digest, error) {
	d := Digest(sha256.Sum256(data))
	if len(data) > MaxBlob {
		return d, fmt.Errorf("storing blob: %w: larger than %d bytes", ErrEntry, MaxBlob)
	}
	if err := l.Err(); err != nil {
		return d, fmt.Errorf("storing blob: %w", err)
	}
	if _, err := l.Blob(ctx, d); !errors.Is(err, ErrNotFound) {
		return d, err
	}
	batch := &Batch{Put: []Item{{Space: Blobs, Key: d[:], Value: data}}}
	err := l.outcome(batch, l.cfg.Store.Commit(ctx, batch))
	if errors.Is(err, ErrConflict) {
		err = fmt.Errorf("%w: different bytes are stored under this digest", ErrCorrupt)
	}
	if err != nil {
		return d, fmt.Errorf("storing blob: %w", err)
	}
	return d, nil
}

// Blob reads bytes by their digest and checks them against it.
func (r *Reader) Blob(ctx context.Context, d Digest) (data []byte, err error) {
	err = r.view(ctx, func(v View) error {
		got, err := v.Get(Blobs, "", d[:])
		if err == nil && got == nil {
			err = ErrNotFound
		}
		data = bytes.Clone(got)
		return err
	})
	if err == nil && Digest(sha256.Sum256(data)) != d {
		err = fmt.Errorf("%w: it does not have its digest", ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", d, err)
	}
	return data, nil
}

// ClaimBlob notes, durably, that a tenant has shown the bytes of a stored blob. Bytes are stored once for the region,
// but a tenant may use only what it has shown: that another has them is none of its business.
func (l *Log) ClaimBlob(ctx context.Context, t tenant.ID, d Digest) error {
	if err := l.Err(); err != nil {
		return fmt.Errorf("claiming blob: %w", err)
	}
	if has, err := l.HasBlob(ctx, t, d); has || err != nil {
		return err
	}
	batch := &Batch{Put: []Item{{Space: Blobs, Tenant: t, Key: d[:], Value: []byte{1}}}}
	if err := l.outcome(batch, l.cfg.Store.Commit(ctx, batch)); err != nil {
		return fmt.Errorf("claiming blob: %w", err)
	}
	return nil
}

// HasBlob reports whether a tenant has shown the bytes of a blob.
func (r *Reader) HasBlob(ctx context.Context, t tenant.ID, d Digest) (has bool, err error) {
	err = r.view(ctx, func(v View) error {
		got, err := v.Get(Blobs, t, d[:])
		has = got != nil
		return err
	})
	if err != nil {
		return false, fmt.Errorf("looking for blob %s: %w", d, err)
	}
	return has, nil
}
