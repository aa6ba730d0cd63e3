package terminology

import (
	"cmp"
	"slices"
	"strings"

	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Counts say what of a release is in the pack, and what was left out and why.
type Counts struct {
	kept map[string]int
	left map[[2]string]int // what, why
	gone []string          // files that the release does not have

	licensed bool
}

func (c *Counts) keep(what string, n int) {
	if c.kept == nil {
		c.kept = map[string]int{}
	}
	c.kept[what] += n
}

func (c *Counts) leave(what string, n int, why string) {
	if c.left == nil {
		c.left = map[[2]string]int{}
	}
	c.left[[2]string{what, why}] += n
}

// FullRelease reports that RxNorm was read in a release that needs a licence: it names
// sources other than RxNorm itself and the labels of the FDA (SAB MTHSPL).
func (c *Counts) FullRelease() bool { return c.licensed }

func (c *Counts) missing(file string) { c.gone = append(c.gone, file) }

// Lines are the counts, sorted by what is counted.
func (c *Counts) Lines() []vocab.Count {
	all := map[string]vocab.Count{}
	for what, n := range c.kept {
		all[what] = vocab.Count{What: what, Kept: n}
	}
	for key, n := range c.left {
		line := all[key[0]]
		line.What, line.LeftOut = key[0], line.LeftOut+n
		all[key[0]] = line
	}
	out := make([]vocab.Count, 0, len(all))
	for _, line := range all {
		out = append(out, line)
	}
	slices.SortFunc(out, func(a, b vocab.Count) int { return strings.Compare(a.What, b.What) })
	return out
}

// LeftOut says what was left out and why, sorted. A file that the release does not
// have is among it.
func (c *Counts) LeftOut() []vocab.Left {
	var out []vocab.Left
	for key, n := range c.left {
		out = append(out, vocab.Left{What: key[0], Count: n, Why: key[1]})
	}
	for _, file := range c.gone {
		out = append(out, vocab.Left{What: file, Why: "the release does not have it"})
	}
	slices.SortFunc(out, func(a, b vocab.Left) int {
		return cmp.Or(strings.Compare(a.What, b.What), strings.Compare(a.Why, b.Why))
	})
	return out
}
