package bolt

import (
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/precept-cds/precept/engine/audit"
)

// TestFileThatMayNotGrow has the kernel refuse what would make the file longer, in commits of several sizes: surely
// nothing was stored, what is there can be read, and with room again the store goes on without having been closed.
func TestFileThatMayNotGrow(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{9000, 1 << 20, 5 << 20} {
		s, err := Open(filepath.Join(t.TempDir(), "audit.db"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		stored, refused := 0, 0
		for i := range 25 {
			room, err := s.Room()
			if err != nil || room.Free <= 0 || room.Total < room.Free || room.Used <= 0 {
				t.Fatalf("room: %+v, %v", room, err)
			}
			if i == 5 {
				limit := unix.Rlimit{Cur: uint64(room.Used), Max: old.Max}
				if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
					t.Fatal(err)
				}
			}
			err = put(t, s, audit.Bodies, fmt.Sprint(i), make([]byte, size))
			switch {
			case err == nil:
				stored++
			case errors.Is(err, audit.ErrNotApplied):
				refused++
			default:
				t.Fatalf("%d bytes, commit %d: %v, want ErrNotApplied", size, i, err)
			}
		}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
		if stored < 5 || refused == 0 && size > 9000 {
			t.Errorf("%d bytes: %d stored, %d refused", size, stored, refused)
		}
		if err := put(t, s, audit.Bodies, "again", make([]byte, size)); err != nil {
			t.Errorf("%d bytes, with room again: %v", size, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
