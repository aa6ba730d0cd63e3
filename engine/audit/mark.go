package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/precept-cds/precept/engine/tenant"
)

// The high-water mark is a file of JSON lines, each a head that was signed and committed:
//
//	{"tenant":"north","log":"audit/2026-03","note":"audit.example/eu/north/audit/2026-03\n7\n…"}
//
// The last line of a (tenant, kind of log) counts; older months are held by the chain of checkpoint leaves. A
// line is written after each commit, before anybody is answered, and is not synced: if the machine crashes the
// mark may be older than the store, which is harmless; a store older than the mark is what it is there to show.
// A torn last line is dropped. The file is rewritten, synced, when most of it is history.

// maxMark bounds the file: 10,000 tenants stay far below.
const maxMark = 64 << 20

// markKey names what a line counts for.
type markKey struct {
	tenant tenant.ID
	stream string
}

type markLine struct {
	Tenant tenant.ID `json:"tenant"`
	Log    LogName   `json:"log"`
	Note   string    `json:"note"`
}

// marks are the lines that count.
type marks map[markKey]markLine

// parseMarks reads the file's bytes and gives the length of the part without a torn last line.
func parseMarks(data []byte) (marks, int, error) {
	m, whole := marks{}, 0
	for n := 1; ; n++ {
		line, _, ok := bytes.Cut(data[whole:], []byte{'\n'})
		if !ok {
			return m, whole, nil
		}
		var l markLine
		err := json.Unmarshal(line, &l, json.RejectUnknownMembers(true))
		if err == nil {
			_, err = ParseLogName(string(l.Log))
		}
		if err == nil {
			_, err = tenant.ParseID(string(l.Tenant))
		}
		if err != nil {
			return nil, 0, fmt.Errorf("reading high-water mark: %w: line %d is damaged (run precept audit verify --store, remove the file, and start once with --adopt-high-water)", ErrMark, n)
		}
		m[markKey{l.Tenant, l.Log.stream()}] = l
		whole += len(line) + 1
	}
}

// readMarks reads the file; no file is fs.ErrNotExist.
func readMarks(path string) (marks, int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("reading high-water mark: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMark+1))
	if err != nil {
		return nil, 0, fmt.Errorf("reading high-water mark: %w", err)
	}
	if len(data) > maxMark {
		return nil, 0, fmt.Errorf("reading high-water mark: %w: file too large", ErrMark)
	}
	return parseMarks(data)
}

// markFile is the open mark of a running log. It belongs to the writer goroutine.
type markFile struct {
	path string
	f    *os.File
	last marks
	size int // of the file
	live int // bytes of the lines that count
	buf  []byte
}

// openMark opens or makes the file. empty says that the store has no logs yet; then, or if adopt is set, the
// file may be missing.
func openMark(path string, empty, adopt bool, heads marks) (*markFile, error) {
	last, size, err := readMarks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && (empty || adopt):
		last, size = heads, 0
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("opening high-water mark %s: %w: the file is missing although the store has logs"+
			" (restore it, or run precept audit verify --store and start once with --adopt-high-water)", path, ErrMark)
	case err != nil:
		return nil, err
	}
	m := &markFile{path: path, last: last, size: size}
	if err := m.rewrite(); err != nil {
		return nil, err
	}
	return m, nil
}

// rewrite replaces the file by the lines that count, durably.
func (m *markFile) rewrite() error {
	lines := make([]string, 0, len(m.last))
	for _, l := range m.last {
		b, err := l.encode(nil)
		if err != nil {
			return err
		}
		lines = append(lines, string(b))
	}
	slices.Sort(lines)
	data := strings.Join(lines, "")
	f, err := os.CreateTemp(filepath.Dir(m.path), filepath.Base(m.path)+".*")
	if err != nil {
		return fmt.Errorf("writing high-water mark: %w", err)
	}
	_, err = f.WriteString(data)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), m.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(m.path))
	}
	if err != nil {
		return fmt.Errorf("writing high-water mark: %w", errors.Join(err, f.Close(), removeIfThere(f.Name())))
	}
	old := m.f
	m.f, m.size, m.live = f, len(data), len(data)
	if old != nil {
		return old.Close()
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (l markLine) encode(dst []byte) ([]byte, error) {
	b, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encoding high-water mark: %w", err)
	}
	return append(append(dst, b...), '\n'), nil
}

// write adds the lines of one commit with one system call.
func (m *markFile) write(lines []markLine) error {
	m.buf = m.buf[:0]
	for _, l := range lines {
		var err error
		before := len(m.buf)
		if m.buf, err = l.encode(m.buf); err != nil {
			return err
		}
		k := markKey{l.Tenant, l.Log.stream()}
		if _, known := m.last[k]; !known {
			m.live += len(m.buf) - before
		}
		m.last[k] = l
	}
	if _, err := m.f.Write(m.buf); err != nil {
		return fmt.Errorf("writing high-water mark: %w", err)
	}
	m.size += len(m.buf)
	if m.size > 1<<20+4*m.live {
		return m.rewrite()
	}
	return nil
}

// close makes the mark durable.
func (m *markFile) close() error {
	if err := errors.Join(m.f.Sync(), m.f.Close()); err != nil {
		return fmt.Errorf("closing high-water mark: %w", err)
	}
	return nil
}
