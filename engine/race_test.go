//go:build race

package engine

// slower is how many levels of nesting the race detector stands for.
const slower = 4
