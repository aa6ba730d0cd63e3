//go:build !linux

package bolt

import "os"

// forget does nothing here: these systems have no way to drop a file's cached pages. See forget_linux.go for what
// that leaves open after a failed sync.
func forget(*os.File, bool) error { return nil }
