package bolt

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// forget locks the file as bbolt will do once more, and makes sure that what is read from it from now on is on the
// disk. An earlier process may have met a failed sync: the kernel reports that once, marks the pages that it could
// not write as clean, and shows them to every later reader until it happens to evict them. So what is still to be
// written is written now, where an error stops us, and then all cached pages are dropped, before bbolt maps them.
func forget(f *os.File, readOnly bool) error {
	how := unix.LOCK_EX
	if readOnly {
		how = unix.LOCK_SH
	}
	for waited := time.Duration(0); ; waited += lockPause {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("locking the file: %w", err)
		}
		if waited >= lockWait {
			return errLocked
		}
		time.Sleep(lockPause)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing back the file: %w (look at the disk before starting again)", err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("dropping cached pages: %w", err)
	}
	return nil
}
