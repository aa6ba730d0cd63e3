// Package strict reads, writes and checks what is signed: JSON in one spelling, and
// fields each with the bound that keeps it safe to show, to compare and to store.
//
// A validation library would replace the checks by struct tags, but those that matter
// relate the fields of a statement to each other, and stay code; the rest is sixty lines.
package strict

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// The spellings of identifiers. They appear in file names, URLs and Rego packages,
// hence the narrow alphabets.
var (
	Digest  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	Name    = regexp.MustCompile(`^[a-z][a-z0-9-]{1,62}$`)
	Pack    = regexp.MustCompile(`^[a-z][a-z0-9_]{1,62}$`)
	Rule    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,126}$`)
	Version = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$`)
	Person  = regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]{0,62}@[a-z0-9][a-z0-9.-]{0,126}$`)
	Alias   = regexp.MustCompile(`^[\x21-\x7e]{3,200}$`)
	Input   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$`)
)

const (
	maxText = 4000    // bytes of a free text
	maxList = 500     // entries of any list
	maxSeq  = 1 << 53 // what every JSON reader keeps exactly
)

// Checker collects the first thing wrong, so that the checks of a statement read as a
// list of facts. The zero value is ready.
type Checker struct{ err error }

// Err returns the first thing wrong, or nil.
func (c *Checker) Err() error { return c.err }

// Fail says what is wrong with a field, as a hint how to fix it.
func (c *Checker) Fail(name, hint string) {
	if c.err == nil {
		c.err = errors.New("field " + name + ": " + hint)
	}
}

// Wrap says that a field cannot be read.
func (c *Checker) Wrap(name string, err error) {
	if c.err == nil && err != nil {
		c.err = fmt.Errorf("field %s: %w", name, err)
	}
}

// That requires a condition.
func (c *Checker) That(ok bool, name, hint string) {
	if !ok {
		c.Fail(name, hint)
	}
}

// Match requires a spelling.
func (c *Checker) Match(value string, pattern *regexp.Regexp, name string) {
	c.That(pattern.MatchString(value), name, "expected "+strings.Trim(pattern.String(), "^$"))
}

// Text requires a text, and refuses control and direction-changing characters: texts
// are shown on terminals and read by the people who sign.
func (c *Checker) Text(value, name string) {
	c.That(strings.TrimSpace(value) != "", name, "must not be empty")
	c.That(len(value) <= maxText, name, fmt.Sprintf("at most %d bytes", maxText))
	hidden := func(r rune) bool {
		return (r < ' ' && r != '\n') || (r >= 0x7f && r < 0xa0) || unicode.Is(unicode.Bidi_Control, r)
	}
	c.That(!strings.ContainsFunc(value, hidden), name, "no control characters except line feeds")
}

// Seq requires a number that counts from 1.
func (c *Checker) Seq(value uint64, name string) {
	c.That(value > 0 && value < maxSeq, name, "expected a number from 1")
}

// Len bounds the length of a list.
func (c *Checker) Len(n int, name string) {
	c.That(n <= maxList, name, fmt.Sprintf("at most %d entries", maxList))
}

// Time requires a time.
func (c *Checker) Time(value time.Time, name string) {
	c.That(!value.IsZero(), name, "give a time")
}

// Date requires a day or nothing.
func (c *Checker) Date(value, name string) {
	if value == "" {
		return
	}
	_, err := time.Parse(time.DateOnly, value)
	c.That(err == nil, name, "expected a date like 2026-03-02")
}

// Distinct reports whether no value occurs twice.
func Distinct[T comparable](values []T) bool {
	seen := make(map[T]bool, len(values))
	for _, v := range values {
		seen[v] = true
	}
	return len(seen) == len(values)
}
