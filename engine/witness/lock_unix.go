//go:build unix

package witness

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// lockDir takes a lock that ends with the process at the latest.
func lockDir(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("%w: another process uses it (%s: %w)", ErrState, path, err)
	}
	return f, nil
}
