// Package packfile reads one file of a rule pack, which a stranger may have
// written, and says what is wrong with it: where, and how to fix it.
//
// YAML and JSON files are read into one form, a [Document]: strict JSON with
// scalars as written, so that 2026-03-02 stays a text and 1.10 the number 1.10.
// Duplicate keys, unknown members, second documents, and YAML that has no exact
// JSON form are refused; depth, size and expansion are bounded. Reading is a
// pure function of the bytes.
//
// What is wrong is a [Problem]. Every package of rule packs reports in it, and
// names its own kinds of problems; see [Kind].
package packfile

import (
	"bytes"
	"unicode/utf8"
)

// File is one file of a pack; Name is its path inside the pack, with slashes.
type File struct {
	Name string
	Data []byte
}

// LineAt returns the line, from 1, of a byte offset.
func (f File) LineAt(offset int64) int {
	offset = min(max(offset, 0), int64(len(f.Data)))
	return 1 + bytes.Count(f.Data[:offset], []byte("\n"))
}

// CheckText refuses bytes that editors, parsers and reviewers could see
// differently: every file of a pack is UTF-8 without byte order mark and NUL.
func (f File) CheckText() error {
	bad := func(at int, what, hint string) error {
		return &Problem{File: f.Name, Line: f.LineAt(int64(at)), What: what, Kind: ErrMalformed, Hint: hint}
	}
	if bytes.HasPrefix(f.Data, []byte("\xef\xbb\xbf")) {
		return bad(0, "starts with a byte order mark", "save it as UTF-8 without one")
	}
	if at := bytes.IndexByte(f.Data, 0); at >= 0 {
		return bad(at, "holds a NUL byte", "packs hold text files only")
	}
	for at := 0; at < len(f.Data); {
		r, n := utf8.DecodeRune(f.Data[at:])
		if r == utf8.RuneError && n == 1 {
			return bad(at, "is not UTF-8", "save it as UTF-8")
		}
		at += n
	}
	return nil
}
