// Package workbench is for the people who write rule packs: what is wrong with
// a pack, what is in it, and which of its facts the golden cases have seen.
//
// [Check] judges a pack as far as that is possible without running it. What it
// says is derived from the code as parsed, so a manifest, a translation or a
// case that contradicts the code is found. It does not run cases (package
// engine does), and it can not tell whether a rule is clinically right.
package workbench

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/safetext"
	"github.com/precept-cds/precept/rulepacks"
)

// Problem is one thing an author should mend.
type Problem struct {
	File    string `json:"file,omitempty"` // inside the pack; "" for the pack as a whole
	Line    int    `json:"line,omitzero"`  // from 1; 0 if the place in the file is not known
	What    string `json:"what"`
	Hint    string `json:"hint,omitempty"`
	Warning bool   `json:"warning,omitzero"` // does not stop a release
}

// String formats the problem as "file:line: what (hint)".
func (p Problem) String() string {
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
	return safetext.Line(b.String())
}

// FromError makes problems of an error that reading a pack gave; empty for
// errors that are not about the pack's content.
func FromError(err error) []Problem {
	var list []Problem
	for _, p := range rulepacks.Problems(err) {
		list = append(list, Problem{File: p.File, Line: p.Line, What: p.What, Hint: p.Hint, Warning: p.Warning})
	}
	return list
}

// Check gives everything that a pack should mend, by file and line. A pack
// whose code does not compile is not judged further than that.
func Check(pack *rulepacks.Pack) []Problem {
	c := &check{pack: pack}
	for _, p := range pack.Lint() {
		c.found = append(c.found, Problem{File: p.File, Line: p.Line, What: p.What, Hint: p.Hint, Warning: p.Warning})
	}
	if pack.Manifest.Kind == rulepacks.KindTerminology {
		if _, err := clinical.NewTerminology(pack); err != nil {
			c.add("tables/products.json", 0, "mend the table", "%v", err)
		}
	} else {
		c.code()
	}
	slices.SortStableFunc(c.found, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.What, b.What))
	})
	return slices.Compact(c.found)
}

// check collects the problems of one pack.
type check struct {
	pack  *rulepacks.Pack
	read  *clinical.Code
	found []Problem
}

func (c *check) add(file string, line int, hint, format string, args ...any) {
	c.found = append(c.found, Problem{File: file, Line: line, What: fmt.Sprintf(format, args...), Hint: hint})
}

func (c *check) warn(file string, line int, hint, format string, args ...any) {
	c.found = append(c.found, Problem{File: file, Line: line, What: fmt.Sprintf(format, args...), Hint: hint, Warning: true})
}

// said reports whether a problem of this file with these words is there
// already: reading the data alone finds some of what reading the code finds.
func (c *check) said(file, words string) bool {
	return slices.ContainsFunc(c.found, func(p Problem) bool { return p.File == file && strings.Contains(p.What, words) })
}

// readCode reads the code of a pack with the newest library that it can run
// with; with the newest there is, so that it can be shown, if there is none.
func readCode(pack *rulepacks.Pack) (*clinical.Code, error) {
	library, ok := clinical.NewestOf(pack.Manifest.Library)
	if !ok {
		library = clinical.Newest()
	}
	return library.ReadCode(pack)
}

func (c *check) code() {
	m := c.pack.Manifest
	library, ok := clinical.NewestOf(m.Library)
	if !ok {
		c.add("pack.yaml", lineOf(c.pack, "pack.yaml", "library:"), "use a precept that has it, or port the rules",
			"the pack needs clinical library %s, this program has %s", m.Library, clinical.Newest().Version())
		return
	}
	code, err := library.ReadCode(c.pack)
	if list, ok := errors.AsType[clinical.Problems](err); ok {
		for _, p := range list {
			c.add(p.File, p.Line, p.Hint, "%s", p.Text)
		}
		return
	}
	c.read = code
	c.texts()
	c.summaries()
	c.unused()
	c.attributes()
	c.rules()
	c.cases()
}

// unused looks for value sets and parameters that no call names.
func (c *check) unused() {
	sets, params := map[string]bool{}, map[string]bool{}
	for _, r := range c.read.Rules {
		sets[r.Trigger] = true
	}
	for _, u := range c.read.Uses {
		params[u.Parameter] = true
		for _, o := range u.Options {
			if o.Kind == clinical.KindSet {
				sets[o.Literal] = true
			}
		}
	}
	for _, v := range c.pack.ValueSets {
		if file := "valuesets/" + v.ID + ".json"; !sets[v.ID] && !c.said(file, "no rule uses") {
			c.warn(file, 0, "remove it, or use it", "no rule uses the value set")
		}
	}
	for _, p := range c.pack.Manifest.Parameters {
		if !params[p.Name] && !c.said("pack.yaml", "no rule uses the parameter "+p.Name) {
			c.warn("pack.yaml", lineOf(c.pack, "pack.yaml", p.Name+":"), `remove it, or read it with param("`+p.Name+`")`,
				"no rule uses the parameter %s", p.Name)
		}
	}
}

// social are attributes that conditions and observations may carry; whether
// they do is the author's to say.
var social = []string{"sdoh"}

// attributes holds what pack.yaml says about source attributes against what
// the rules read.
func (c *check) attributes() {
	read := map[string]string{} // attribute -> where it is read
	for _, u := range c.read.Uses {
		for _, a := range u.Function.Attributes {
			if read[a] == "" {
				read[a] = fmt.Sprintf("%s:%d", u.File, u.Line)
			}
		}
	}
	for _, a := range c.pack.Manifest.SourceAttributes.List() {
		line := lineOf(c.pack, "pack.yaml", a.Name+":")
		used := strings.HasPrefix(a.Statement, "used")
		switch {
		case a.Statement == "": // Lint asks for it
		case !used && read[a.Name] != "":
			c.add("pack.yaml", line, `write "used: why"`, "source_attributes.%s says %q, but %s reads it", a.Name, "not used", read[a.Name])
		case used && read[a.Name] == "" && !slices.Contains(social, a.Name):
			c.add("pack.yaml", line, `write "not used"`, "source_attributes.%s says %q, but no rule reads it", a.Name, "used")
		}
	}
}

func (c *check) rules() {
	for _, r := range c.read.Rules {
		if len(r.Sources) == 0 {
			c.add(r.File, r.Line, "add related_resources with ref and description to its metadata", "the rule names no source")
		}
	}
}

// lineOf gives the line of a file on which, after white space, text starts; 0
// if there is none.
func lineOf(pack *rulepacks.Pack, file, text string) int {
	for _, f := range pack.Files {
		if f.Name != file {
			continue
		}
		n := 0
		for line := range strings.Lines(string(f.Data)) {
			if n++; strings.HasPrefix(strings.TrimSpace(line), text) {
				return n
			}
		}
	}
	return 0
}
