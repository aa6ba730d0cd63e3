// Package rawjson checks JSON strictly and then reads it where it lies.
//
// Check is one strict pass by jsontext: duplicate names (also when spelled
// with escapes), invalid UTF-8, lone surrogates and trailing data are refused.
// Scanner and Value then walk the checked text without copying it: a value is
// a substring, and what nobody asks for costs one scan over its bytes and no
// memory.
//
// The package guarantees nothing about text that did not pass Check: the
// walkers trust its structure and may panic without it.
package rawjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrJSON means that the text is not strict JSON; the sender must fix it.
var ErrJSON = errors.New("not strict JSON")

// ErrTooDeep means that the text nests deeper than the reader allows; no
// resource of a real chart does, so the sender must be asked what it sends.
var ErrTooDeep = errors.New("nested too deeply")

// SyntaxError says where a text stops being acceptable. It holds no content
// of the text except member names of the path that look like identifiers.
type SyntaxError struct {
	Offset int64  // bytes from the start of the text
	Path   string // where known, e.g. "prefetch.labs.entry[3]"
	Err    error  // ErrJSON or ErrTooDeep
}

// Error names the fact, the path and the offset.
func (e *SyntaxError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%v at byte %d", e.Err, e.Offset)
	}
	return fmt.Sprintf("%v at byte %d (%s)", e.Err, e.Offset, e.Path)
}

// Unwrap returns ErrJSON or ErrTooDeep.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Check reports whether body is exactly one strict JSON value nested at most
// depth levels. The depth of valid text is checked by the Scanner that walks
// it; here only text too deep for the decoder itself is told apart from text
// that is broken.
func Check(body []byte, depth int) error {
	if jsontext.Value(body).IsValid() {
		return nil
	}
	if at := deeperThan(body, depth); at >= 0 {
		return &SyntaxError{Offset: int64(at), Err: ErrTooDeep}
	}
	err := firstError(body)
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return &SyntaxError{Offset: syntax.ByteOffset, Path: pointerPath(string(syntax.JSONPointer)), Err: ErrJSON}
	}
	return &SyntaxError{Offset: int64(len(body)), Err: ErrJSON}
}

// firstError reads again, slowly, to learn where the text breaks.
func firstError(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		if _, err := d.ReadToken(); err != nil {
			if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		if end := d.InputOffset(); d.StackDepth() == 0 && end < int64(len(body)) {
			return &jsontext.SyntacticError{ByteOffset: end} // trailing data
		}
	}
}

// deeperThan finds the bracket that exceeds depth in text that may be broken,
// or returns -1.
func deeperThan(body []byte, depth int) int {
	level, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if level++; level > depth {
				return i
			}
		case c == '}' || c == ']':
			level--
		}
	}
	return -1
}

// pointerPath writes an RFC 6901 pointer as a path for people.
func pointerPath(pointer string) string {
	var b strings.Builder
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if b.Len() > 200 {
			b.WriteString("...")
			break
		}
		if n, err := strconv.Atoi(step); err == nil && n >= 0 {
			fmt.Fprintf(&b, "[%d]", n)
			continue
		}
		if step = Step(step); step != "" {
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(step)
		}
	}
	return b.String()
}

// Step makes a member name fit for an error: names that do not look like an
// identifier are replaced by "?", so that no content leaks through names.
func Step(name string) string {
	if len(name) > 64 {
		return "?"
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return "?"
		}
	}
	return name
}
