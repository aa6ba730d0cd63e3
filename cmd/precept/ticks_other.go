//go:build !linux

package main

import "time"

var started = time.Now()

// ticks is a clock that nobody sets.
func ticks() time.Duration { return time.Since(started) }
