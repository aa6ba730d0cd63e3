package rulepacks

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/casefile"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// maxFound bounds what one look reports: whoever has more to fix looks again.
const maxFound = 500

// Lint reports what a well-formed pack should still fix before release, in a
// fixed order and at most 500 problems. Those not marked as Warning should stop
// it. Lint looks at data only; what needs the rules' code to be understood is
// the matter of the workbench.
func (p *Pack) Lint() []*packfile.Problem {
	l := linter{p: p}
	l.disclosures()
	l.lineEnds()
	if p.Manifest.Kind == manifest.KindRules {
		l.valueSets()
		l.languages()
		l.cases()
	}
	return l.found
}

type linter struct {
	p     *Pack
	found []*packfile.Problem
}

func (l *linter) add(p *packfile.Problem) {
	if len(l.found) < maxFound {
		l.found = append(l.found, p)
	}
}

func (l *linter) warn(p *packfile.Problem) {
	p.Warning = true
	l.add(p)
}

// at makes a problem at a place of a file.
func (l *linter) at(file string, at jsontext.Pointer, kind packfile.Kind, hint, format string,
	args ...any) *packfile.Problem {
	line := 0
	if len(l.found) < maxFound {
		line = l.p.Line(file, at)
	}
	return &packfile.Problem{File: file, Line: line, Kind: kind, What: fmt.Sprintf(format, args...), Hint: hint}
}

// disclosures are the members that regulators and readers ask for. A draft may
// lack them.
func (l *linter) disclosures() {
	m := l.p.Manifest
	missing := func(ok bool, member string) {
		if ok {
			return
		}
		l.add(&packfile.Problem{File: packFile, What: member + " is missing", Kind: manifest.ErrManifest,
			Hint: "readers and regulators need it", Warning: m.Status == manifest.StatusDraft})
	}
	missing(m.Publisher.Contact != "", "publisher.contact")
	missing(m.IntendedUse != "", "intended_use")
	missing(m.EffectivePeriod.Start != "", "effective_period.start")
	missing(l.p.hasFile("README.md"), "README.md")
	if m.Kind != manifest.KindRules {
		return
	}
	missing(m.Funding != "", "funding")
	missing(len(m.IntendedUsers) > 0, "intended_users")
	missing(m.Authority != "", "authority")
	missing(m.ReviewDue != "", "review_due")
	missing(len(m.Sources) > 0, "sources")
	for _, a := range m.SourceAttributes.List() {
		missing(a.Statement != "", "source_attributes."+a.Name)
	}
	for _, v := range m.ValueSets {
		for _, member := range [][2]string{{"title", v.Title}, {"source", v.Source}, {"version", v.Version},
			{"licence", v.Licence}} {
			missing(member[1] != "", member[0]+" of value set "+v.ID)
		}
	}
	for _, s := range m.Sources {
		for _, member := range [][2]string{{"title", s.Title}, {"date", s.Date}, {"strength", s.Strength}} {
			missing(member[1] != "", member[0]+" of source "+s.ID)
		}
	}
}

// lineEnds warns of a checkout that would give another digest elsewhere.
func (l *linter) lineEnds() {
	for _, f := range l.p.Files {
		if at := bytes.Index(f.Data, []byte("\r\n")); at >= 0 {
			l.warn(&packfile.Problem{File: f.Name, Line: f.LineAt(int64(at)),
				What: "has CRLF line ends, so its digest depends on the checkout",
				Kind: packfile.ErrMalformed, Hint: "save it with LF, and set eol=lf in .gitattributes"})
		}
	}
}

func (l *linter) valueSets() {
	for _, v := range l.p.ValueSets {
		if i := slices.IndexFunc(v.Codes, func(c vocab.Code) bool { return c.Display == "" }); i >= 0 {
			l.warn(l.at(setFile(v.ID), packfile.Index("/codes", i), vocab.ErrValueSet, "reviewers read displays, not codes",
				"code %s has no display", packfile.Short(v.Codes[i].Code)))
		}
	}
}

func (l *linter) languages() {
	declared := l.p.Manifest.Languages
	for i, language := range declared {
		if _, there := l.p.Messages[language]; i > 0 && !there {
			l.add(l.at(packFile, packfile.Index("/languages", i), ErrMessages, "add the file or remove the language",
				"language %s has no %s", language, messagesFile(language)))
		}
	}
	for _, language := range slices.Sorted(maps.Keys(l.p.Messages)) {
		file := messagesFile(language)
		if !slices.Contains(declared, language) {
			l.add(&packfile.Problem{File: file, What: "its language is not declared", Kind: ErrMessages,
				Hint: "add it to languages in pack.yaml"})
		}
		l.placeholders(file, l.p.Messages[language])
	}
}

// placeholders compares those of the translations in a file with their sources'.
func (l *linter) placeholders(file string, m Messages) {
	for _, source := range slices.Sorted(maps.Keys(m)) {
		want, sourceErr := Placeholders(source)
		have, err := Placeholders(m[source])
		what, hint := "", ""
		switch {
		case sourceErr == nil && err != nil:
			what, hint = "the translation has { without }", "close it"
		case !slices.Equal(want, have) && len(want) > 0:
			what, hint = "the translation has other placeholders than its source",
				fmt.Sprintf("use {%s}, and no other", strings.Join(want, "}, {"))
		case !slices.Equal(want, have):
			what, hint = "the translation has other placeholders than its source", "use no placeholder"
		default:
			continue
		}
		l.add(l.at(file, jsontext.Pointer("").AppendToken(source), ErrMessages, hint, "%s", what))
	}
}

func (l *linter) cases() {
	if len(l.p.Cases) == 0 {
		l.add(&packfile.Problem{File: "cases", What: "has no cases", Kind: casefile.ErrCase,
			Hint: "a pack is released with the cases that show what it does"})
	}
	wrong := func(c casefile.Case, hint, format string, args ...any) {
		l.add(&packfile.Problem{File: c.File, Line: c.Line, Kind: casefile.ErrCase, Hint: hint,
			What: fmt.Sprintf("case %s %s", c.Name, fmt.Sprintf(format, args...))})
	}
	for _, c := range l.p.Cases {
		if c.Want == nil {
			wrong(c, "list every finding; want: [] says that no rule is asked", "has no want")
		}
		if c.Language != "" && !slices.Contains(l.p.Manifest.Languages, c.Language) {
			wrong(c, "declare it under languages in pack.yaml", "asks for language %s, which the pack does not have",
				c.Language)
		}
		for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
			what := "the pack has no such parameter"
			if p, ok := l.p.Manifest.Parameters.Get(name); ok {
				if what = ""; p.Validate(c.Parameters[name]) != nil {
					what = "the value does not fit the parameter"
				}
			}
			if what != "" {
				wrong(c, "see parameters in pack.yaml", "sets %s: %s", packfile.Short(name), what)
			}
		}
	}
}
