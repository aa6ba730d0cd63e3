// Package safetext makes text that a stranger may have written safe to show.
//
// Packs, statements, records and the answers of servers hold such text. On a
// terminal it could clear the screen, colour a refusal like an approval, turn
// the reading direction around, hide characters, or begin a line that reads as
// if the program had said it. One rule decides what is shown as it is: printable
// characters and spaces. Everything else becomes visible: a replacement
// character in text, an escape in JSON, where the data must stay the same.
//
// The package is a leaf, so that whatever prints can use it.
package safetext

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Rune gives a character that may be shown as it is, and the replacement
// character for every other: controls, line and paragraph separators,
// characters without a shape of their own, unassigned and private ones.
func Rune(r rune) rune {
	if safe(r) {
		return r
	}
	return utf8.RuneError
}

func safe(r rune) bool { return unicode.IsPrint(r) || unicode.Is(unicode.Zs, r) }

// Line makes a text safe within one line.
func Line(text string) string { return strings.Map(Rune, text) }

// Text makes a text safe that may have several lines.
func Text(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return Rune(r)
	}, text)
}

// Sprintf is fmt.Sprintf with each of the values made safe within one line. The
// format is the program's own and may hold anything.
func Sprintf(format string, values ...any) string {
	for i := range values {
		values[i] = safely{values[i]}
	}
	return fmt.Sprintf(format, values...)
}

// safely formats a value the way it is asked to, and makes the result safe.
type safely struct{ value any }

func (s safely) Format(f fmt.State, verb rune) {
	text := fmt.Sprintf(fmt.FormatString(f, verb), s.value)
	_, _ = io.WriteString(f, Line(text)) // into the memory of Sprintf
}

// JSON makes a JSON text safe that says the same afterwards: in valid JSON what
// is not safe stands within strings, where an escape means the same, or is a
// carriage return between values.
func JSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case safe(r) || r == '\n' || r == '\t':
			out = utf8.AppendRune(out, r)
		case r == '\r':
			out = append(out, ' ')
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
