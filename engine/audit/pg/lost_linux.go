package pg

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// lostAfter is how long bytes may go without being acknowledged, in milliseconds, before a connection is given up.
const lostAfter = 10_000

// lost has the kernel give up a connection whose other end is gone: else a commit could hang for a quarter of an hour.
func lost(network, _ string, c syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var err error
	if bad := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, lostAfter)
	}); bad != nil {
		return bad
	}
	return err
}
