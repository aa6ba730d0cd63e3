package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// restartedAt is the environment variable in which a restarted program finds when it
// was, in milliseconds since 1970.
const restartedAt = "PRECEPT_RESTARTED_AT"

// restartPause is how long a restarted program does not restart itself again: whoever
// supervises it then decides.
const restartPause = time.Minute

// restart asks for an announced drain, and for the program to start anew after it. It
// waits for nothing, and only the first reason counts.
func (r *region) restart(reason string) {
	select {
	case r.again <- reason:
	default: // it was asked for already
	}
}

// startAnew puts the program that lies at the place of this one in the place of this
// process, with the same arguments. It returns only if that cannot be.
func startAnew(now time.Time) error {
	const doing = "starting the program anew"
	if ms, err := strconv.ParseInt(os.Getenv(restartedAt), 10, 64); err == nil {
		if ago := now.Sub(time.UnixMilli(ms)).Abs(); ago < restartPause {
			return fmt.Errorf("%s: it was started so only %s ago; it is left to whoever supervises the process", doing,
				ago.Truncate(time.Millisecond))
		}
	}
	exe, err := os.Executable()
	if err == nil {
		err = os.Setenv(restartedAt, strconv.FormatInt(now.UnixMilli(), 10))
	}
	if err == nil {
		err = syscall.Exec(exe, os.Args, os.Environ())
	}
	return fmt.Errorf("%s: %w", doing, err)
}
