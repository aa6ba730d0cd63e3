package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
)

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	audittest.Run(t, func(t *testing.T, name string) audit.Store {
		s, err := Open(filepath.Join(dir, name+".db"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func put(t *testing.T, s *Store, space audit.Space, key string, value []byte) error {
	return s.Commit(t.Context(), &audit.Batch{Put: []audit.Item{{Space: space, Key: []byte(key), Value: value}}})
}

func TestSecondProcessIsSentToTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {ReadOnly: true}} {
		if _, err := Open(path, o); !errors.Is(err, ErrLocked) {
			t.Errorf("second open: %v, want ErrLocked", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Fatalf("two readers: %v", err)
	}
	defer b.Close()
	if err := put(t, a, audit.Heads, "k", []byte("v")); !errors.Is(err, audit.ErrNotApplied) {
		t.Errorf("commit to a read-only store: %v, want ErrNotApplied", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestReadOnlyMakesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.db")
	if _, err := Open(path, Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file was made")
	}
}

func TestDamagedFilesAreRefusedNotCrashedOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := put(t, s, audit.Bodies, fmt.Sprint(i), make([]byte, 9000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	need, err := neededSize(bytes.NewReader(whole), int64(len(whole)))
	if err != nil || need > int64(len(whole)) {
		t.Fatalf("a whole file of %d bytes needs %d: %v", len(whole), need, err)
	}
	page := os.Getpagesize()
	for name, data := range map[string][]byte{
		"half":       whole[:need/2],
		"one short":  whole[:need-1],
		"meta only":  whole[:2*page],
		"one page":   whole[:page],
		"ten bytes":  whole[:10],
		"text":       []byte(strings.Repeat("not a database\n", 1000)),
		"zero metas": append(make([]byte, 2*page), whole[2*page:]...),
	} {
		for _, readOnly := range []bool{false, true} {
			bad := filepath.Join(dir, "bad.db")
			if err := os.WriteFile(bad, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(bad, Options{ReadOnly: readOnly}); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s (read-only %v): %v, want ErrDamaged", name, readOnly, err)
			}
		}
	}
	if _, err := Open(dir, Options{}); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := Open(path, Options{}); err != nil {
		t.Errorf("the whole file: %v", err)
	}
}

func TestFullDiskIsAnErrorNotHalfACommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	s, err := Open(path, Options{MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stored := 0
	for ; stored < 100; stored++ {
		if err = put(t, s, audit.Bodies, fmt.Sprint(stored), make([]byte, 1<<16)); err != nil {
			break
		}
	}
	if !errors.Is(err, audit.ErrNotApplied) {
		t.Fatalf("filling the store: %v, want ErrNotApplied", err)
	}
	if err := put(t, s, audit.Heads, "k", []byte("v")); err != nil {
		t.Errorf("a small commit afterwards: %v", err)
	}
	err = s.View(t.Context(), func(v audit.View) error {
		got, err := v.Get(audit.Bodies, "", fmt.Append(nil, stored))
		if got != nil {
			t.Error("the refused commit is there")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(make([]byte, metaSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := parseMeta(b); ok && (m.pages < 2 || m.pageSize < 0) {
			t.Errorf("accepted %+v", m)
		}
	})
}
