package signing

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Identifiers that must not be mixed up. They appear in file names, URLs and Rego
// packages, hence the narrow alphabets.
type (
	// Digest is a lower-case hex SHA-256.
	Digest string
	// Tenant is a health system, `[a-z][a-z0-9-]{1,62}`.
	Tenant string
	// Region is a data plane in one jurisdiction, `[a-z][a-z0-9-]{1,62}`.
	Region string
	// Publisher is the name of a publisher root, `[a-z][a-z0-9-]{1,62}`.
	Publisher string
	// Pack is the name of a rule pack, `[a-z][a-z0-9_]{1,62}`.
	Pack string
	// PersonID is an e-mail-like, lower-case name of a person.
	PersonID string
)

var (
	digestPattern  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	namePattern    = regexp.MustCompile(`^[a-z][a-z0-9-]{1,62}$`)
	packPattern    = regexp.MustCompile(`^[a-z][a-z0-9_]{1,62}$`)
	rulePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,126}$`)
	versionPattern = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$`)
	personPattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]{0,62}@[a-z0-9][a-z0-9.-]{0,126}$`)
	aliasPattern   = regexp.MustCompile(`^[\x21-\x7e]{3,200}$`)
	inputPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$`)
)

const (
	maxText = 4000    // bytes of a free text
	maxList = 500     // entries of any list
	maxSeq  = 1 << 53 // what every JSON reader keeps exactly
	dateFmt = "2006-01-02"
	timeFmt = "2006-01-02T15:04:05Z"
)

// checker collects the first thing wrong with a predicate, so that the checks of a
// predicate read as a list of facts.
type checker struct{ err error }

func (c *checker) fail(field, hint string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: field %s: %s", ErrMalformed, field, hint)
	}
}

func (c *checker) that(ok bool, field, hint string) {
	if !ok {
		c.fail(field, hint)
	}
}

func (c *checker) name(value string, pattern *regexp.Regexp, field string) {
	c.that(pattern.MatchString(value), field, "expected "+strings.Trim(pattern.String(), "^$"))
}

// text refuses control and direction-changing characters: these texts are shown on
// terminals and read by the people who sign.
func (c *checker) text(value, field string, required bool) {
	c.that(!required || strings.TrimSpace(value) != "", field, "say something")
	c.that(len(value) <= maxText, field, fmt.Sprintf("at most %d bytes", maxText))
	hidden := func(r rune) bool {
		return (r < ' ' && r != '\n') || (r >= 0x7f && r < 0xa0) || unicode.Is(unicode.Bidi_Control, r)
	}
	c.that(!strings.ContainsFunc(value, hidden), field, "no control characters but line feeds")
}

func (c *checker) seq(value uint64, field string) {
	c.that(value > 0 && value < maxSeq, field, "expected a number from 1")
}

func (c *checker) list(n int, field string) {
	c.that(n <= maxList, field, fmt.Sprintf("at most %d entries", maxList))
}

func (c *checker) time(value time.Time, field string) {
	c.that(!value.IsZero(), field, "give a time")
}

func (c *checker) date(value, field string) {
	if value == "" {
		return
	}
	_, err := time.Parse(dateFmt, value)
	c.that(err == nil, field, "expected a date like 2026-03-02")
}

// distinct reports whether no value occurs twice.
func distinct[T comparable](values []T) bool {
	seen := make(map[T]bool, len(values))
	for _, v := range values {
		if seen[v] {
			return false
		}
		seen[v] = true
	}
	return true
}
