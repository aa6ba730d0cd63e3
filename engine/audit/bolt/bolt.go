// Package bolt keeps an audit store in one bbolt file, for one process.
//
// A commit is one bbolt transaction: it returns nil only after the data pages and then the meta page were
// synced. An error may mean either, which is what [audit.Store] says of it. The file holds one bucket per space;
// a key is the tenant, a zero byte, and the key within.
//
// Not guaranteed: bbolt has no checksums on its pages, so a flipped bit in a value is found only by the log's
// own digests, and one in a page's structure may make reads panic. Deleted values stay readable in the file
// until their pages are reused. The file never shrinks.
package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
	"go.etcd.io/bbolt"
	bbolterr "go.etcd.io/bbolt/errors"
)

// Errors of this package.
var (
	// ErrLocked says that another process has the file open. Ask that process instead.
	ErrLocked = errors.New("locked by a running precept; use the server's address instead")
	// ErrDamaged says that the file is not a whole bbolt database. Restore it from a copy.
	ErrDamaged = errors.New("store file damaged (restore a copy; the high-water mark tells whether it is new enough)")
)

// mapSize is how much address space is reserved at first: below it, reads never wait for a growing file to be
// mapped anew.
const mapSize = 64 << 30

// lockWait is how long Open waits for the file's lock: long enough for a process that is just ending.
const lockWait = time.Second

// Store is an audit store in a file.
type Store struct {
	db   *bbolt.DB
	path string
}

var _ audit.Store = (*Store)(nil)

// Options change how a store is opened. The zero value is right for a server.
type Options struct {
	ReadOnly bool // share the file with other readers; it must exist
	MaxSize  int  // bytes the file may grow to; 0 means no limit
}

// Open opens a store, making the file (mode 0600) if there is none and it may be written.
func Open(path string, o Options) (*Store, error) {
	if err := preflight(path, o.ReadOnly); err != nil {
		return nil, fmt.Errorf("opening audit store %s: %w", path, err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait, ReadOnly: o.ReadOnly, FreelistType: bbolt.FreelistMapType,
		InitialMmapSize: mapSize, MaxSize: o.MaxSize, NoStatistics: true,
	})
	switch {
	case errors.Is(err, bbolterr.ErrTimeout):
		return nil, fmt.Errorf("opening audit store %s: %w", path, ErrLocked)
	case errors.Is(err, bbolterr.ErrInvalid), errors.Is(err, bbolterr.ErrChecksum), errors.Is(err, bbolterr.ErrVersionMismatch):
		return nil, fmt.Errorf("opening audit store %s: %w: %w", path, ErrDamaged, err)
	case err != nil:
		return nil, fmt.Errorf("opening audit store %s: %w", path, err)
	}
	s := &Store{db: db, path: path}
	if err := s.prepare(o.ReadOnly); err != nil {
		return nil, errors.Join(fmt.Errorf("opening audit store %s: %w", path, err), db.Close())
	}
	return s, nil
}

// prepare makes or checks the buckets.
func (s *Store) prepare(readOnly bool) error {
	missing := false
	err := s.db.View(func(tx *bbolt.Tx) error {
		for space := range audit.Spaces {
			missing = missing || tx.Bucket([]byte(space.String())) == nil
		}
		return nil
	})
	if err != nil || !missing {
		return err
	}
	if readOnly {
		return fmt.Errorf("%w: it is not an audit store", ErrDamaged)
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		for space := range audit.Spaces {
			if _, err := tx.CreateBucketIfNotExists([]byte(space.String())); err != nil {
				return err
			}
		}
		return nil
	})
}

// preflight refuses a file that is shorter than its own header says: reading it through the memory map would
// kill the process.
func preflight(path string, readOnly bool) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a plain file")
	}
	if info.Size() == 0 && !readOnly {
		return nil
	}
	need, err := neededSize(f, info.Size())
	if err != nil {
		return err
	}
	if info.Size() < need {
		return fmt.Errorf("%w: %d bytes long, its newest state needs %d", ErrDamaged, info.Size(), need)
	}
	return nil
}

// Close closes the file.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing audit store %s: %w", s.path, err)
	}
	return nil
}

// View implements [audit.Store].
func (s *Store) View(ctx context.Context, fn func(audit.View) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.View(func(tx *bbolt.Tx) error { return fn(&view{tx: tx}) })
}

// view is a bbolt transaction with its buckets looked up once.
type view struct {
	tx      *bbolt.Tx
	buckets [audit.Spaces]*bbolt.Bucket
	key     []byte // scratch
}

func (v *view) bucket(s audit.Space) *bbolt.Bucket {
	if v.buckets[s] == nil {
		v.buckets[s] = v.tx.Bucket([]byte(s.String()))
		if s.AppendOnly() {
			// Most keys come after all others of their tenant: pages that are split stay nearly full.
			v.buckets[s].FillPercent = 0.9
		}
	}
	return v.buckets[s]
}

func appendKey(dst []byte, t tenant.ID, key []byte) []byte {
	return append(append(append(dst, t...), 0), key...)
}

// Get implements [audit.View].
func (v *view) Get(s audit.Space, t tenant.ID, key []byte) ([]byte, error) {
	v.key = appendKey(v.key[:0], t, key)
	return v.bucket(s).Get(v.key), nil
}

// GetMany implements [audit.View].
func (v *view) GetMany(keys []audit.Key) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i], _ = v.Get(k.Space, k.Tenant, k.Key) // never fails
	}
	return values, nil
}

// Scan implements [audit.View].
func (v *view) Scan(s audit.Space, t tenant.ID, from, to []byte, reverse bool, fn func(k, val []byte) (bool, error)) error {
	low, high := appendKey(nil, t, from), append([]byte(t), 1)
	if to != nil {
		high = appendKey(nil, t, to)
	}
	c := v.bucket(s).Cursor()
	var k, val []byte
	next := c.Next
	if reverse {
		next = c.Prev
		if k, _ = c.Seek(high); k == nil {
			k, val = c.Last()
		} else {
			k, val = c.Prev()
		}
	} else {
		k, val = c.Seek(low)
	}
	for ; k != nil && bytes.Compare(k, low) >= 0 && bytes.Compare(k, high) < 0; k, val = next() {
		more, err := fn(k[len(t)+1:], val)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Commit implements [audit.Store].
func (s *Store) Commit(ctx context.Context, b *audit.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		v := &view{tx: tx}
		var conflict audit.ConflictError
		for _, e := range b.Expect {
			got, err := v.Get(e.Space, e.Tenant, e.Key)
			if err != nil {
				return err
			}
			if (got == nil) != (e.Value == nil) || !bytes.Equal(got, e.Value) {
				conflict.Add(e.Tenant)
			}
		}
		if len(conflict.Tenants) > 0 {
			return &conflict
		}
		for _, p := range b.Put {
			if err := v.put(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// put applies one put. bbolt copies the key, and keeps the value only until the transaction ends.
func (v *view) put(p audit.Item) error {
	bucket := v.bucket(p.Space)
	v.key = appendKey(v.key[:0], p.Tenant, p.Key)
	if p.Value == nil {
		return bucket.Delete(v.key)
	}
	if p.Space.AppendOnly() {
		if old := bucket.Get(v.key); old != nil && !bytes.Equal(old, p.Value) {
			return &audit.ConflictError{Tenants: []tenant.ID{p.Tenant}}
		}
	}
	return bucket.Put(v.key, p.Value)
}
