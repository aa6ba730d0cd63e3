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
	if _, err := l.Blob(ctx, d); !errors.Is(err, ErrNotFound) {
		return d, err
	}
	err := l.putBlob(ctx, Item{Space: Blobs, Key: d[:], Value: data})
	if errors.Is(err, ErrConflict) {
		err = fmt.Errorf("%w: different bytes are stored under this digest", ErrCorrupt)
	}
	if err != nil {
		return d, fmt.Errorf("storing blob: %w", err)
	}
	return d, nil
}

// putBlob stores one item beside what the writer stores, while there is room for it.
func (l *Log) putBlob(ctx context.Context, item Item) error {
	if err := l.admit(false); err != nil {
		return err
	}
	_, err := apart(ctx, l.places, func(ctx context.Context) (struct{}, error) {
		if err := l.room(int64(len(item.Value)), false); err != nil {
			return struct{}{}, err
		}
		batch := &Batch{Put: []Item{item}}
		return struct{}{}, l.outcome(batch, l.cfg.Store.Commit(ctx, batch))
	})
	return err
}

// Blob reads bytes by their digest and checks them against it.
func (r *Reader) Blob(ctx context.Context, d Digest) ([]byte, error) {
	data, err := seen(Only(ctx, ""), r, func(v View) ([]byte, error) {
		got, err := v.Get(Blobs, "", d[:])
		if err == nil && got == nil {
			err = ErrNotFound
		}
		return bytes.Clone(got), err
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
	if has, err := l.HasBlob(ctx, t, d); has || err != nil {
		return err
	}
	if err := l.putBlob(ctx, Item{Space: Blobs, Tenant: t, Key: d[:], Value: []byte{1}}); err != nil {
		return fmt.Errorf("claiming blob: %w", err)
	}
	return nil
}

// HasBlob reports whether a tenant has shown the bytes of a blob.
func (r *Reader) HasBlob(ctx context.Context, t tenant.ID, d Digest) (bool, error) {
	has, err := seen(Only(ctx, t), r, func(v View) (bool, error) {
		got, err := v.Get(Blobs, t, d[:])
		return got != nil, err
	})
	if err != nil {
		return false, fmt.Errorf("looking for blob %s: %w", d, err)
	}
	return has, nil
}
