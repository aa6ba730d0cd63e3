// Package workbench is for the people who write rule packs: what is wrong with
// a pack, what is in it, and which of its facts the golden cases have seen.
//
// [Check] judges a pack as far as that is possible without running it. What can
// be seen in the data alone is found by package rulepacks; what needs the code
// is derived here from the code as parsed, so a manifest, a translation or a
// case that contradicts the code is found. Check does not run cases (package
// engine does), and it cannot tell whether a rule is clinically right.
package workbench

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// What can be wrong with a pack once its code is understood.
const (
	// ErrLibrary says that the pack is written for another clinical library.
	ErrLibrary packfile.Kind = "library-not-available"
	// ErrCode says that the Rego does not compile, or is not a rule's.
	ErrCode packfile.Kind = "code-refused"
	// ErrUnused says that something is declared or given that nothing uses.
	ErrUnused packfile.Kind = "unused"
	// ErrText says that a text of a card cannot be shown as it is.
	ErrText packfile.Kind = "text-refused"
)

// Check returns everything that a pack should fix, by file and line. A pack
// whose code does not compile is not judged further than that.
func Check(pack *rulepacks.Pack) []*packfile.Problem {
	c := &check{pack: pack, found: pack.Lint()}
	switch pack.Manifest.Kind {
	case manifest.KindTerminology:
		if _, err := clinical.NewTerminology(pack); err != nil {
			c.add(vocab.ErrTerminology, "tables", 0, "fix the table, or build it again", "%v", err)
		}
	case manifest.KindRules:
		c.code()
	}
	slices.SortStableFunc(c.found, func(a, b *packfile.Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.What, b.What))
	})
	return slices.CompactFunc(c.found, func(a, b *packfile.Problem) bool { return *a == *b })
}

// check collects the problems of one pack.
type check struct {
	pack  *rulepacks.Pack
	read  *clinical.Code
	found []*packfile.Problem
}

func (c *check) add(kind packfile.Kind, file string, line int, hint, format string, args ...any) *packfile.Problem {
	p := &packfile.Problem{File: file, Line: line, Kind: kind, What: fmt.Sprintf(format, args...), Hint: hint}
	c.found = append(c.found, p)
	return p
}

func (c *check) warn(kind packfile.Kind, file string, line int, hint, format string, args ...any) {
	c.add(kind, file, line, hint, format, args...).Warning = true
}

// declared returns the line of pack.yaml where a member is given.
func (c *check) declared(member ...string) int {
	var at jsontext.Pointer
	for _, token := range member {
		at = at.AppendToken(token)
	}
	return c.pack.Line("pack.yaml", at)
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
		c.add(ErrLibrary, "pack.yaml", c.declared("library"), "use a precept that has it, or port the rules",
			"the pack needs clinical library %s, this program has %s", m.Library, clinical.Newest().Version())
		return
	}
	code, err := library.ReadCode(c.pack)
	if list, ok := errors.AsType[clinical.Problems](err); ok {
		for _, p := range list {
			c.add(ErrCode, p.File, p.Line, p.Hint, "%s", p.Text)
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
		for _, set := range r.Triggers {
			sets[set] = true
		}
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
		if !sets[v.ID] {
			c.warn(ErrUnused, "valuesets/"+v.ID+".json", 0, "remove it, or use it", "no rule uses the value set")
		}
	}
	for _, p := range c.pack.Manifest.Parameters {
		if !params[p.Name] {
			c.warn(ErrUnused, "pack.yaml", c.declared("parameters", p.Name), `remove it, or read it with param("`+p.Name+`")`,
				"no rule uses the parameter %s", p.Name)
		}
	}
}

// social are attributes that conditions and observations may carry; whether
// they do is the author's to say.
var social = []string{"sdoh"}

// attributes compares what pack.yaml says about source attributes with what the
// rules read.
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
		line := c.declared("source_attributes", a.Name)
		used := strings.HasPrefix(a.Statement, "used")
		switch {
		case a.Statement == "": // Lint asks for it
		case !used && read[a.Name] != "":
			c.add(manifest.ErrManifest, "pack.yaml", line, `write "used: why"`,
				"source_attributes.%s says %q, but %s reads it", a.Name, "not used", read[a.Name])
		case used && read[a.Name] == "" && !slices.Contains(social, a.Name):
			c.add(manifest.ErrManifest, "pack.yaml", line, `write "not used"`,
				"source_attributes.%s says %q, but no rule reads it", a.Name, "used")
		}
	}
}

func (c *check) rules() {
	for _, r := range c.read.Rules {
		if len(r.Sources) == 0 {
			c.add(ErrCode, r.File, r.Line, "add related_resources with ref and description to its metadata",
				"the rule names no source")
		}
	}
}
