//go:build !linux

package workers

// Lower does nothing where a priority is not a thread's.
func Lower() {}
