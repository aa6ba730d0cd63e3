package witness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/renameio/v2/maybe"
)

// memory is what a witness must not forget. It is one file of JSON lines, replaced as a whole and synced before anything
// is cosigned: first whose it is, then the newest checkpoint of each log, without cosignatures.
//
//	{"witness":"witness.example/w1+5a6c7e1f+BJ…"}
//	{"origin":"cds.north.example/us-east/anchor","note":"cds.north.example/us-east/anchor\n7\n…"}
type memory struct {
	path   string
	owner  string
	newest map[string][]byte // by origin
	lock   io.Closer
}

const (
	memoryFile = "witnessed.jsonl"
	lockFile   = "lock"
	maxMemory  = 16 << 20
)

type memoryOwner struct {
	Witness string `json:"witness"`
}

type memoryLine struct {
	Origin string `json:"origin"`
	Note   string `json:"note"`
}

// Create makes the memory of a new witness in a folder. It refuses where there is one.
func Create(dir, vkey string) error {
	m := &memory{path: filepath.Join(dir, memoryFile), owner: vkey}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making memory of witness: %w", err)
	}
	if _, err := os.Lstat(m.path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making memory of witness: %w: %s is there", ErrState, m.path)
	}
	return m.write(nil)
}

// openMemory reads the memory of a witness.
func openMemory(dir, vkey string) (*memory, error) {
	m := &memory{path: filepath.Join(dir, memoryFile), owner: vkey}
	lock, err := lockDir(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	m.lock = lock
	if err := m.read(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *memory) read() error {
	f, err := os.Open(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing (put it back: a witness that has forgotten what it cosigned would cosign"+
			" another history; if it cannot be put back, make a new witness with another key)", ErrState, m.path)
	}
	if err != nil {
		return fmt.Errorf("reading memory of witness: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMemory+1))
	if err != nil {
		return fmt.Errorf("reading memory of witness: %w", err)
	}
	owner, newest, err := parseMemory(data)
	if err != nil {
		return err
	}
	if owner != m.owner {
		return fmt.Errorf("%w: it is that of %s, not of %s", ErrState, owner, m.owner)
	}
	m.newest = newest
	return nil
}

// parseMemory reads what encode wrote, in that form only.
func parseMemory(data []byte) (owner string, newest map[string][]byte, err error) {
	bad := fmt.Errorf("%w: damaged (put back a copy that is not older than the newest cosignature)", ErrState)
	first, rest, ok := bytes.Cut(data, []byte{'\n'})
	var o memoryOwner
	if !ok || len(data) > maxMemory || jsonv2.Unmarshal(first, &o, jsonv2.RejectUnknownMembers(true)) != nil {
		return "", nil, bad
	}
	newest = map[string][]byte{}
	for len(rest) > 0 {
		var line []byte
		var l memoryLine
		line, rest, ok = bytes.Cut(rest, []byte{'\n'})
		if !ok || jsonv2.Unmarshal(line, &l, jsonv2.RejectUnknownMembers(true)) != nil || l.Note == "" ||
			newest[l.Origin] != nil {
			return "", nil, bad
		}
		newest[l.Origin] = []byte(l.Note)
	}
	m := memory{owner: o.Witness}
	if again, err := m.encode(newest); err != nil || !bytes.Equal(again, data) {
		return "", nil, bad
	}
	return o.Witness, newest, nil
}

func (m *memory) encode(newest map[string][]byte) ([]byte, error) {
	data, err := jsonv2.Marshal(memoryOwner{m.owner})
	if err != nil {
		return nil, err
	}
	data = append(data, '\n')
	for _, origin := range slices.Sorted(maps.Keys(newest)) {
		line, err := jsonv2.Marshal(memoryLine{origin, string(newest[origin])})
		if err != nil {
			return nil, err
		}
		data = append(append(data, line...), '\n')
	}
	return data, nil
}

// keep makes a checkpoint the newest of its log, durably. After an error nobody knows whether it is on disk; it does no
// harm there, for it was not cosigned.
func (m *memory) keep(origin string, signed []byte) error {
	if bytes.Equal(m.newest[origin], signed) {
		return nil
	}
	newest := maps.Clone(m.newest)
	newest[origin] = signed
	if err := m.write(newest); err != nil {
		return err
	}
	m.newest = newest
	return nil
}

func (m *memory) write(newest map[string][]byte) error {
	data, err := m.encode(newest)
	if err == nil && len(data) > maxMemory {
		err = errors.New("too large")
	}
	if err == nil {
		err = maybe.WriteFile(m.path, data, 0o600)
	}
	if err == nil {
		err = syncDir(filepath.Dir(m.path))
	}
	if err != nil {
		return fmt.Errorf("writing memory of witness: %w", err)
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

func (m *memory) close() error {
	if m.lock == nil {
		return nil
	}
	return m.lock.Close()
}
