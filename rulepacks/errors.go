package rulepacks

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// What can be wrong with a pack, one sentinel per fact. Errors of this package
// are a *[Problem], or several joined (see [Problems]), and match these with
// errors.Is.
var (
	// ErrMalformed says that a file, or the archive itself, does not parse or
	// has the wrong shape. Mend the file; a received archive must be fetched again.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge says that a limit on size, number, depth or expansion was
	// passed. Split the pack, or refuse the archive: it may be an attack.
	ErrTooLarge = errors.New("too large")
	// ErrNotCanonical says that an archive holds acceptable files in a form
	// other than the one canonical form. Build it again with precept pack build.
	ErrNotCanonical = errors.New("not canonical")
	// ErrNotRegular says that an entry is no regular file: a link, a device, an
	// extended header. Replace it by the file it stands for.
	ErrNotRegular = errors.New("not a regular file")
	// ErrUnsafeName says that an entry name could escape its folder or read
	// differently elsewhere. Rename the file.
	ErrUnsafeName = errors.New("unsafe file name")
	// ErrDuplicate says that two entries have one name, also when only letter
	// case differs or when one is the folder of the other. Rename one.
	ErrDuplicate = errors.New("duplicate file name")
	// ErrUnknownFile says that a file has no place in the layout of a pack.
	// Move it out of the pack.
	ErrUnknownFile = errors.New("unknown file")
	// ErrManifest says that a required file or member is missing or has a
	// wrong value in pack.yaml, or that .manifest is not the generated one.
	ErrManifest = errors.New("manifest refused")
	// ErrValueSet says that a value set is ambiguous, unknown or not declared.
	ErrValueSet = errors.New("value set refused")
	// ErrTerminology says that a terminology table contradicts itself.
	ErrTerminology = errors.New("terminology refused")
	// ErrMessages says that translations and source texts disagree.
	ErrMessages = errors.New("messages refused")
	// ErrCase says that a golden case is incomplete or contradicts itself.
	ErrCase = errors.New("case refused")
	// ErrParameter says that a value does not fit the schema of its parameter.
	// The tenant policy, the case or the default has to be changed.
	ErrParameter = errors.New("parameter refused")
	// ErrDigest says that a text is no digest: 64 lower-case hex digits.
	ErrDigest = errors.New("not a digest")
)

// Problem is one thing wrong with a pack, at a place, with a way to mend it.
type Problem struct {
	// File is the name inside the pack, "" for the archive as a whole.
	File string
	// Line counts from 1; 0 means the place inside the file is not known.
	Line int
	// What says what is wrong, lower case, without a full stop.
	What string
	// Hint says what to do about it.
	Hint string
	// Kind is one of the sentinels of this package.
	Kind error
	// Warning marks what does not stop a release. Only Lint sets it.
	Warning bool
}

// Error formats the problem as "file:line: what (hint)". Characters that a
// terminal or log could act on are replaced, since What may quote the pack.
func (p *Problem) Error() string {
	place := ""
	switch {
	case p.File != "" && p.Line > 0:
		place = fmt.Sprintf("%s:%d: ", p.File, p.Line)
	case p.File != "":
		place = p.File + ": "
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, fmt.Sprintf("%s%s (%s)", place, p.What, p.Hint))
}

// Unwrap returns the sentinel.
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

// maxProblems bounds how many problems one reading reports, so that a hostile
// archive cannot turn its errors into a flood.
const maxProblems = 50

// problemList collects problems; the zero value is empty.
type problemList []error

func (l *problemList) add(err error) {
	found := Problems(err)
	if err != nil && len(found) == 0 {
		*l = append(*l, err)
	}
	for _, p := range found {
		if len(*l) < maxProblems {
			*l = append(*l, p)
		}
	}
}

func (l problemList) err() error { return errors.Join(l...) }
