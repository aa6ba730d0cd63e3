package bolt

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// volume says how many bytes the volume of a file has in all, and how many of them this process may still write.
func volume(f *os.File) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return 0, 0, fmt.Errorf("asking the volume for its free space: %w", err)
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}
