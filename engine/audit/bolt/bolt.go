// Package bolt keeps an audit store in one bbolt file, for one process.
//
// A commit is one bbolt transaction: it returns nil only after the data pages and then the meta page were
// synced. The file holds one bucket per space; a key is the tenant, a zero byte, and the key within.
//
// A transaction that could not begin, that met a size limit or a full disk, is [audit.ErrNotApplied]. After any
// other failed write or sync nobody knows what is on the disk, and the file's cached pages may show what is not: so
// the store refuses everything from then on. Close it and open it again.
//
// bbolt has no checksums on its pages and panics on what it cannot read. So [Check] looks at a file before it is opened,
// and a panic of bbolt, or a fault of memory that the disk does not deliver, is [audit.ErrDamaged] here: the store then
// refuses everything.
//
// Not guaranteed: a flipped bit in a value is found only by the log's own digests. Deleted values stay readable in the
// file until their pages are reused. The file never shrinks.
package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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
	// ErrDamaged is [audit.ErrDamaged].
	ErrDamaged = audit.ErrDamaged
)

// errLocked is what ends the wait for the file's lock.
var errLocked = errors.New("file is locked")

// mapSize is how much address space is reserved at first: below it, reads never wait for a growing file to be
// mapped anew.
const mapSize = 64 << 30

// lockWait is how long Open waits for the file's lock: long enough for a process that is just ending.
const lockWait = time.Second

// lockPause is how long Open waits between two attempts.
const lockPause = 50 * time.Millisecond

// Store is an audit store in a file.
type Store struct {
	audit.Followers
	db   *bbolt.DB
	path string
	file *os.File // bbolt's, to ask for sizes
	most int64    // bytes that the file may grow to; 0 means no limit

	commit  sync.Mutex   // held while a transaction is committed
	durable atomic.Int64 // newest transaction that is known to be on the disk
	broken  atomic.Value // error: a write or sync failed
}

var (
	_ audit.Store = (*Store)(nil)
	_ audit.Meter = (*Store)(nil)
)

// Options change how a store is opened. The zero value is right for a server.
type Options struct {
	ReadOnly bool // share the file with other readers; it must exist
	MaxSize  int  // bytes the file may grow to; 0 means no limit
}

// Open opens a store, making the file (mode 0600) if there is none and it may be written.
func Open(path string, o Options) (*Store, error) {
	s := &Store{path: path, most: int64(o.MaxSize)}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait, ReadOnly: o.ReadOnly, FreelistType: bbolt.FreelistMapType,
		InitialMmapSize: mapSize, MaxSize: o.MaxSize, NoStatistics: true,
		OpenFile: func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
			s.file, err = openFile(path, flag, mode)
			return s.file, err
		},
	})
	switch {
	case errors.Is(err, errLocked), errors.Is(err, bbolterr.ErrTimeout):
		return nil, fmt.Errorf("opening audit store %s: %w", path, ErrLocked)
	case errors.Is(err, bbolterr.ErrInvalid), errors.Is(err, bbolterr.ErrChecksum),
		errors.Is(err, bbolterr.ErrVersionMismatch):
		return nil, fmt.Errorf("opening audit store %s: %w: %w", path, ErrDamaged, err)
	case err != nil:
		return nil, fmt.Errorf("opening audit store %s: %w", path, err)
	}
	s.db = db
	if err := s.prepare(o.ReadOnly); err != nil {
		return nil, errors.Join(fmt.Errorf("opening audit store %s: %w", path, err), db.Close())
	}
	s.durable.Store(s.shown())
	return s, nil
}

// openFile opens the file for bbolt: none of its cached pages is trusted, and it is as long as it says.
func openFile(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	readOnly := flag&os.O_RDWR == 0
	if err := forget(f, readOnly); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := preflight(f, readOnly); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// shown is the newest transaction that a read sees.
func (s *Store) shown() (id int64) {
	_ = s.db.View(func(tx *bbolt.Tx) error { // fails only if the file is closed
		id = int64(tx.ID())
		return nil
	})
	return id
}

// prepare makes or checks the buckets.
func (s *Store) prepare(readOnly bool) error {
	missing, first := false, false
	err := s.db.View(func(tx *bbolt.Tx) error {
		for space := range audit.Spaces {
			missing = missing || tx.Bucket([]byte(space.String())) == nil
		}
		first = tx.Bucket([]byte(audit.Meta.String())) != nil
		return nil
	})
	if err != nil || !missing || readOnly && first {
		return err // what is read only may be of a program that did not have all spaces yet
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
func preflight(f *os.File, readOnly bool) error {
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
	if errors.Is(s.failed(), audit.ErrDamaged) {
		return s.file.Close() // what was under way may hold the rest for ever
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing audit store %s: %w", s.path, err)
	}
	return nil
}

// Room implements [audit.Meter]. Free pages within the file are not counted as free.
func (s *Store) Room() (r audit.Room, err error) {
	if r.Free, r.Total, err = volume(s.file); err != nil {
		return r, err
	}
	info, err := s.file.Stat()
	if err != nil {
		return r, fmt.Errorf("asking for the size of the store: %w", err)
	}
	if r.Used = info.Size(); s.most > 0 {
		r.Free, r.Total = min(r.Free, s.most-r.Used), min(r.Total, s.most)
	}
	return r, nil
}

// View implements [audit.Store].
func (s *Store) View(ctx context.Context, fn func(audit.View) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.failed(); err != nil {
		return err
	}
	var seen int64
	v := &view{inside: true}
	err := s.guarded(&v.inside, func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			seen, v.tx, v.inside = int64(tx.ID()), tx, false
			err := fn(v)
			v.inside = true
			return err
		})
	})
	if seen > s.durable.Load() {
		// bbolt shows a transaction as soon as its meta page is written. What was read is not to be relied on before
		// that is synced, which may fail: wait for the end of the commit.
		s.commit.Lock()
		defer s.commit.Unlock()
	}
	if err := s.failed(); err != nil {
		return err
	}
	return err
}

// guarded does something with the pages of the file, which lie in memory as a map of it. A panic inside bbolt means that
// they are not as it wrote them, a fault of memory that they cannot be read: then nothing else is.
func (s *Store) guarded(inside *bool, do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if fault, ok := cause.(interface{ Addr() uintptr }); !*inside && (!ok || fault.Addr() == 0) {
			panic(cause)
		}
		err = fmt.Errorf("%w: %w: %v", audit.ErrStore, audit.ErrDamaged, cause)
		s.broken.Store(err)
	}()
	return do()
}

// failed says why nothing is to be read or written any more.
func (s *Store) failed() error {
	if err, ok := s.broken.Load().(error); ok {
		return err
	}
	return nil
}

// view is a bbolt transaction with its buckets looked up once.
type view struct {
	tx      *bbolt.Tx
	buckets [audit.Spaces]*bbolt.Bucket
	key     []byte // scratch
	inside  bool   // bbolt's code runs, not that of whoever looks
}

// bucket is nil where an older program's store is read that does not have it.
func (v *view) bucket(s audit.Space) *bbolt.Bucket {
	if v.buckets[s] == nil {
		v.buckets[s] = v.tx.Bucket([]byte(s.String()))
		if s.AppendOnly() && v.buckets[s] != nil {
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
	v.inside = true
	var value []byte
	if b := v.bucket(s); b != nil {
		value = b.Get(v.key)
	}
	v.inside = false
	return value, nil
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
func (v *view) Scan(s audit.Space, t tenant.ID, from, to []byte, reverse bool,
	fn func(k, val []byte) (bool, error)) error {
	low, high := appendKey(nil, t, from), append([]byte(t), 1)
	if to != nil {
		high = appendKey(nil, t, to)
	}
	v.inside = true
	b := v.bucket(s)
	if b == nil {
		v.inside = false
		return nil
	}
	c := b.Cursor()
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
		v.inside = false
		more, err := fn(k[len(t)+1:], val)
		if err != nil || !more {
			return err
		}
		v.inside = true
	}
	v.inside = false
	return nil
}

// Commit implements [audit.Store].
func (s *Store) Commit(ctx context.Context, b *audit.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
	}
	if err := s.apply(b); err != nil {
		return err
	}
	s.Committed(b)
	return nil
}

func (s *Store) apply(b *audit.Batch) error {
	s.commit.Lock()
	defer s.commit.Unlock()
	if err := s.failed(); err != nil {
		return err
	}
	inside := true
	return s.guarded(&inside, func() error { return s.transact(b) })
}

func (s *Store) transact(b *audit.Batch) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
	}
	defer tx.Rollback() // does nothing after Commit
	if err := fill(tx, b); errors.Is(err, audit.ErrConflict) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
	}
	id := int64(tx.ID())
	err = tx.Commit()
	if err == nil {
		s.durable.Store(id)
		return nil
	}
	if s.refused(id, err) {
		return fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
	}
	s.broken.Store(fmt.Errorf("%w: %w", audit.ErrStore, err))
	return err
}

// refused says whether a failed commit left everything as it was: it needed more room than there is, and noticed
// that before its meta page was written. The pages it had written are free ones, which nothing refers to. An error
// of a sync is none of these, though it may say that the disk is full: what it did not write is marked as written.
func (s *Store) refused(id int64, err error) bool {
	if errors.Is(err, bbolterr.ErrMaxSizeReached) || strings.HasPrefix(err.Error(), "file resize error: ") {
		return true // before anything was written; bbolt does not wrap what made it so
	}
	var write *fs.PathError
	full := errors.As(err, &write) && write.Op == "write" && (errors.Is(err, syscall.ENOSPC) ||
		errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG))
	return full && s.shown() < id
}

// fill puts a batch into a transaction.
func fill(tx *bbolt.Tx, b *audit.Batch) error {
	v := &view{tx: tx}
	var conflict audit.ConflictError
	for _, e := range b.Expect {
		got, _ := v.Get(e.Space, e.Tenant, e.Key) // never fails
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
