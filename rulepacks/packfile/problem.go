package packfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Kind is one sort of thing that can be wrong. Errors match it with errors.Is,
// and reports for programs hold it as a word. Each package declares the kinds
// that it finds.
type Kind string

// Error returns the kind in words.
func (k Kind) Error() string { return strings.ReplaceAll(string(k), "-", " ") }

const (
	// ErrMalformed says that a file, or the archive itself, does not parse or
	// has the wrong shape. Fix the file; a received archive must be fetched again.
	ErrMalformed Kind = "malformed"
	// ErrTooLarge says that a limit on size, number, depth or expansion was
	// passed. Split the pack, or refuse the archive: it may be an attack.
	ErrTooLarge Kind = "too-large"
)

// Problem is one thing wrong with a pack, at a place, with a way to fix it.
type Problem struct {
	// File is the name inside the pack, "" for the pack as a whole.
	File string `json:"file,omitempty"`
	// Line counts from 1; 0 means the place inside the file is not known.
	Line int `json:"line,omitzero"`
	// Kind is what errors.Is compares.
	Kind Kind `json:"kind"`
	// What says what is wrong, lower case, without a full stop.
	What string `json:"what"`
	// Hint says what to do about it; empty if What says enough.
	Hint string `json:"hint,omitempty"`
	// Warning marks what does not stop a release. Reading a pack gives none.
	Warning bool `json:"warning,omitzero"`
}

// Error formats the problem on one line as "file:line: what (hint)", fit for a
// terminal, since What may quote the pack.
func (p *Problem) Error() string {
	var b strings.Builder
	switch {
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	case p.File != "":
		fmt.Fprintf(&b, "%s: ", p.File)
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.What)
	if p.Hint != "" {
		fmt.Fprintf(&b, " (%s)", p.Hint)
	}
	return visible(b.String())
}

// Unwrap returns the kind.
func (p *Problem) Unwrap() error { return p.Kind }

// Problems lists the problems that err holds, in the order they were found, so
// that a tool can show one per line. It is empty if err holds none.
func Problems(err error) []*Problem {
	switch e := err.(type) {
	case nil:
		return nil
	case *Problem:
		return []*Problem{e}
	case interface{ Unwrap() []error }:
		var all []*Problem
		for _, one := range e.Unwrap() {
			all = append(all, Problems(one)...)
		}
		return all
	default:
		return Problems(errors.Unwrap(err))
	}
}

// maxProblems bounds how many problems one reading reports.
const maxProblems = 50

// List collects the errors of one reading, and only so many that a hostile
// archive cannot turn them into a flood. The zero value is empty.
type List []error

// Add adds an error, or each of the problems that it holds; nil adds nothing.
func (l *List) Add(err error) {
	found := Problems(err)
	if err != nil && len(found) == 0 {
		*l = append(*l, err)
	}
	for _, p := range found {
		if !l.Full() {
			*l = append(*l, p)
		}
	}
}

// Full reports whether further problems would be left out, so that nobody goes
// to the trouble of finding their lines.
func (l *List) Full() bool { return len(*l) >= maxProblems }

// Err joins the errors; nil if there are none.
func (l *List) Err() error { return errors.Join(*l...) }

// visible makes one line of a text that a stranger may have written: what a
// terminal would act on, or turn around, becomes a replacement character.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// Short quotes a name or code that may be long or hostile for a message.
func Short(name string) string {
	if len(name) > 80 {
		name = name[:80] + "..."
	}
	q := fmt.Sprintf("%+q", name)
	if q == `"`+name+`"` && name != "" {
		return name
	}
	return q
}
