//go:build !race

package engine

const slower = 0
