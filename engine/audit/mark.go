package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/renameio/v2/maybe"
	"github.com/precept-cds/precept/engine/tenant"
)

// A Mark keeps the newest signed heads somewhere else than in the store, so that a store which was replaced by an
// older copy of itself is noticed. What it may lose is the newest heads when the machine crashes: a mark that is
// older than the store is harmless.
type Mark interface {
	// Load returns the head that was stored last for each tenant and kind of log (the part of its name before
	// the slash), of all that were ever stored. If nothing was ever stored, not even an empty list, the error is
	// fs.ErrNotExist; ErrMark if it can tell that something is missing. It may run beside Store.
	Load(ctx context.Context) ([]MarkedHead, error)
	// Store puts heads in place of older ones. A nil error means that they survive the end of this process. The
	// first call makes a mark that was not there, and makes what it stores durable; so does every call with a tenant
	// or kind of log that the mark did not have. A head without a note only names its log. Calls come one after the
	// other from one log; a mark that several nodes share keeps the larger head of one log.
	Store(ctx context.Context, heads []MarkedHead) error
	// Close makes durable what was stored.
	Close() error
}

// A MarkedHead is a head as a Mark keeps it.
type MarkedHead struct {
	Tenant tenant.ID `json:"tenant"`
	Log    LogName   `json:"log"`
	Note   string    `json:"note"` // signed checkpoint; empty if the log was about to be begun
}

// markLine is a line of a mark file.
type markLine struct {
	MarkedHead
	// Of is how many tenants and kinds of logs the file names up to this line, or as a whole in lines of a file that
	// was rewritten; 0 in lines of old.
	Of int `json:"of,omitzero"`
}

// markFile is a Mark in a file of JSON lines:
//
//	{"tenant":"north","log":"audit/2026-03","note":"audit.example/eu/north/audit/2026-03\n7\n…","of":2}
//
// The last line of a tenant and kind of log counts; older months are held by the chain of checkpoint leaves. A
// line is written after each commit, before anybody is answered, and is not synced. A torn last line is dropped. A log
// is named, synced, before its first commit, so one that is in the store and not in the file was dropped from it. The
// file is rewritten, synced, when it is opened and when most of it is history.
type markFile struct {
	path string

	// Of whoever calls Store.
	f     *os.File // nil before the first call
	last  map[markKey]MarkedHead
	size  int  // of the file
	live  int  // bytes of the lines that count
	later int  // size at which it is rewritten, if that failed before
	torn  bool // a line is there in part
	buf   []byte
}

// MarkFile is a [Mark] in a file, best on another volume than the store. Its folder must exist.
func MarkFile(path string) Mark { return &markFile{path: path} }

// maxMark bounds the file: 10,000 tenants stay far below.
const maxMark = 64 << 20

// markKey names what a line counts for.
type markKey struct {
	tenant tenant.ID
	stream string
}

func (h MarkedHead) key() markKey { return markKey{h.Tenant, h.Log.stream()} }

// parseMarks reads the file's bytes and gives the lines that count, without a torn last line.
func parseMarks(data []byte) (map[markKey]MarkedHead, error) {
	last := map[markKey]MarkedHead{}
	of := 0
	for n := 1; ; n++ {
		line, rest, ok := bytes.Cut(data, []byte{'\n'})
		if !ok && of != 0 && of != len(last) {
			return nil, fmt.Errorf("reading high-water mark: %w: it named %d logs and names %d, lines are missing (restore it,"+
				" or run precept audit verify --store, remove the file, and start once with --adopt-high-water)", ErrMark, of,
				len(last))
		}
		if !ok {
			return last, nil
		}
		data = rest
		var h markLine
		err := json.Unmarshal(line, &h, json.RejectUnknownMembers(true))
		if err == nil {
			_, err = ParseLogName(string(h.Log))
		}
		if err == nil {
			_, err = tenant.ParseID(string(h.Tenant))
		}
		if err != nil {
			return nil, fmt.Errorf("reading high-water mark: %w: line %d is damaged (run precept audit verify --store,"+
				" remove the file, and start once with --adopt-high-water)", ErrMark, n)
		}
		last[h.key()], of = h.MarkedHead, h.Of
	}
}

// read reads the file; no file is fs.ErrNotExist.
func (m *markFile) read() (map[markKey]MarkedHead, error) {
	f, err := os.Open(m.path)
	if err != nil {
		return nil, fmt.Errorf("reading high-water mark: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMark+1))
	if err != nil {
		return nil, fmt.Errorf("reading high-water mark: %w", err)
	}
	if len(data) > maxMark {
		return nil, fmt.Errorf("reading high-water mark: %w: file too large", ErrMark)
	}
	return parseMarks(data)
}

// Load implements [Mark].
func (m *markFile) Load(context.Context) (heads []MarkedHead, err error) {
	last, err := m.read()
	for _, h := range last {
		heads = append(heads, h)
	}
	return heads, err
}

// Store implements [Mark] with one system call, but for the first time.
func (m *markFile) Store(_ context.Context, heads []MarkedHead) error {
	if m.f == nil {
		var err error
		if m.last, err = m.read(); errors.Is(err, fs.ErrNotExist) {
			m.last = map[markKey]MarkedHead{}
		} else if err != nil {
			return err
		}
	}
	named := len(m.last)
	m.buf = m.buf[:0]
	for _, h := range heads {
		m.last[h.key()] = h
		var err error
		if m.buf, err = h.encode(m.buf, len(m.last)); err != nil {
			return err
		}
	}
	fresh := len(m.last) > named
	if fresh {
		m.live += len(m.buf)
	}
	if m.f == nil || m.torn {
		return m.rewrite()
	}
	if m.size+len(m.buf) > max(1<<20+4*m.live, m.later) && m.rewrite() == nil {
		return nil
	}
	// A file that could not be made shorter is as good as before, only longer: try again when it has grown as much.
	m.later = max(m.later, m.size+len(m.buf)+1<<20)
	_, err := m.f.Write(m.buf)
	if err == nil && fresh {
		err = m.f.Sync()
	}
	if err != nil {
		// Part of a line may be there. Take it away, or write the whole file anew; so too if a new name may be lost.
		m.torn = m.f.Truncate(int64(m.size)) != nil || fresh
		return fmt.Errorf("writing high-water mark: %w", err)
	}
	m.size += len(m.buf)
	return nil
}

// rewrite replaces the file by the lines that count, durably.
func (m *markFile) rewrite() error {
	lines := make([]string, 0, len(m.last))
	for _, h := range m.last {
		b, err := h.encode(nil, len(m.last))
		if err != nil {
			return err
		}
		lines = append(lines, string(b))
	}
	slices.Sort(lines)
	data := strings.Join(lines, "")
	err := maybe.WriteFile(m.path, []byte(data), 0o600)
	if err == nil {
		err = syncDir(filepath.Dir(m.path))
	}
	if err != nil {
		return fmt.Errorf("writing high-water mark: %w", err)
	}
	f, err := os.OpenFile(m.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		m.torn = true // what is open is no longer the file of that name
		return fmt.Errorf("writing high-water mark: %w", err)
	}
	if m.f != nil {
		_ = m.f.Close() // of the file that was replaced
	}
	m.f = f
	m.size, m.live, m.later, m.torn = len(data), len(data), 0, false
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (h MarkedHead) encode(dst []byte, of int) ([]byte, error) {
	b, err := json.Marshal(markLine{h, of})
	if err != nil {
		return nil, fmt.Errorf("encoding high-water mark: %w", err)
	}
	return append(append(dst, b...), '\n'), nil
}

// Close implements [Mark].
func (m *markFile) Close() error {
	if m.f == nil {
		return nil
	}
	if err := errors.Join(m.f.Sync(), m.f.Close()); err != nil {
		return fmt.Errorf("closing high-water mark: %w", err)
	}
	return nil
}
