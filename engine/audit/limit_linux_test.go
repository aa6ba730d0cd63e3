package audit_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/precept-cds/precept/engine/audit"
	"golang.org/x/sys/unix"
)

// limitFileSize lets no file of this process grow beyond so many bytes, until restore. That is true of the file in which
// package testing notes what a test opens, too: nothing may be opened meanwhile.
func limitFileSize(t *testing.T, bytes uint64) (restore func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			t.Error(err)
		}
	}
}

// TestMarkFileThatCannotGrow writes to a mark on a volume without space: no line is left there in part, and the file is
// as it should be when there is space again.
func TestMarkFileThatCannotGrow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mark")
	m := audit.MarkFile(path)
	head := func(note string) []audit.MarkedHead {
		return []audit.MarkedHead{{Tenant: "north", Log: "audit/2026-03", Note: note}}
	}
	if err := m.Store(t.Context(), head("one")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	restore := limitFileSize(t, uint64(len(before)+10))
	if err := m.Store(t.Context(), head("two")); err == nil {
		t.Error("writing beyond the limit succeeded")
	}
	restore()
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("after a failed write the mark is %q, %v", after, err)
	}
	if err := m.Store(t.Context(), head("three")); err != nil {
		t.Fatal(err)
	}
	heads, err := audit.MarkFile(path).Load(t.Context())
	if err != nil || len(heads) != 1 || heads[0].Note != "three" {
		t.Errorf("mark: %+v, %v", heads, err)
	}
}
