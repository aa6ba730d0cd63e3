package rulepacks

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Lint reports what a well-formed pack should still mend before release, in a
// fixed order. Those not marked as Warning should stop it. Lint looks at data
// only: whether a rule names a set or a parameter is judged by searching its
// text for the word, and rules named in cases are checked by the workbench.
func (p *Pack) Lint() []*Problem {
	l := linter{p: p}
	l.disclosures()
	l.lineEnds()
	if p.Manifest.Kind == KindRules {
		l.valueSets()
		l.parameters()
		l.languages()
		l.cases()
	}
	return l.found
}

type linter struct {
	p     *Pack
	found []*Problem
}

func (l *linter) add(p *Problem) { l.found = append(l.found, p) }

func (l *linter) warn(p *Problem) {
	p.Warning = true
	l.add(p)
}

// line finds a place in a file of the pack; 0 if the file cannot be read again.
func (l *linter) line(file string, at jsontext.Pointer) int {
	i := slices.IndexFunc(l.p.Files, func(f File) bool { return f.Name == file })
	if i < 0 {
		return 0
	}
	read := readJSON
	if strings.HasSuffix(file, ".yaml") {
		read = readYAML
	}
	d, err := read(l.p.Files[i])
	if err != nil {
		return 0
	}
	return d.line(at)
}

// disclosures are the members that regulators and readers ask for. A draft may
// lack them.
func (l *linter) disclosures() {
	m := l.p.Manifest
	missing := func(ok bool, member string) {
		if ok {
			return
		}
		l.add(&Problem{File: packFile, What: member + " is missing", Kind: ErrManifest,
			Hint: "readers and regulators need it", Warning: m.Status == StatusDraft})
	}
	missing(m.Publisher.Contact != "", "publisher.contact")
	missing(m.IntendedUse != "", "intended_use")
	missing(m.EffectivePeriod.Start != "", "effective_period.start")
	missing(l.p.hasFile("README.md"), "README.md")
	if m.Kind == KindTerminology {
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
		for _, member := range [][2]string{{"title", v.Title}, {"source", v.Source}, {"version", v.Version}, {"licence", v.Licence}} {
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
			l.warn(&Problem{File: f.Name, Line: lineAt(f.Data, int64(at)), What: "has CRLF line ends, so its digest depends on the checkout",
				Kind: ErrMalformed, Hint: "save it with LF, and set eol=lf in .gitattributes"})
		}
	}
}

// mentioned reports whether a rule has the word in its text.
func (l *linter) mentioned(word string) bool {
	return slices.ContainsFunc(l.p.Rules, func(f File) bool {
		for rest := f.Data; ; {
			at := bytes.Index(rest, []byte(word))
			if at < 0 {
				return false
			}
			end := at + len(word)
			if (at == 0 || !isWordByte(rest[at-1])) && (end == len(rest) || !isWordByte(rest[end])) {
				return true
			}
			rest = rest[end:]
		}
	})
}

func isWordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (l *linter) valueSets() {
	for _, v := range l.p.ValueSets {
		file := "valuesets/" + v.ID + ".json"
		if !l.mentioned(v.ID) {
			l.warn(&Problem{File: file, What: "no rule uses the value set", Kind: ErrValueSet, Hint: "remove it, or use it"})
		}
		if i := slices.IndexFunc(v.Codes, func(c Code) bool { return c.Display == "" }); i >= 0 {
			l.warn(&Problem{File: file, Line: l.line(file, index("/codes", i)), What: fmt.Sprintf("code %s has no display", v.Codes[i].Code),
				Kind: ErrValueSet, Hint: "reviewers read displays, not codes"})
		}
	}
}

func (l *linter) parameters() {
	for _, p := range l.p.Manifest.Parameters {
		if !l.mentioned(p.Name) {
			l.warn(&Problem{File: packFile, Line: l.line(packFile, jsontext.Pointer("/parameters").AppendToken(p.Name)),
				What: "no rule uses the parameter " + p.Name, Kind: ErrParameter, Hint: `remove it, or read it with param("` + p.Name + `")`})
		}
	}
}

// textPattern finds the template of fhir.text in a rule; a group holds the
// inside of the string literal, which in Rego is that of a JSON string.
var textPattern = regexp.MustCompile(`fhir\.text\(\s*("(?:[^"\\\n]|\\.)*"|` + "`[^`]*`" + `)`)

func (l *linter) languages() {
	declared := l.p.Manifest.Languages
	for i, language := range declared {
		file := "messages/" + language + ".json"
		if _, there := l.p.Messages[language]; i > 0 && !there {
			l.add(&Problem{File: packFile, Line: l.line(packFile, index("/languages", i)), Kind: ErrMessages,
				What: fmt.Sprintf("language %s has no %s", language, file), Hint: "add the file or remove the language"})
		}
	}
	templates := l.templates()
	for _, language := range slices.Sorted(maps.Keys(l.p.Messages)) {
		file := "messages/" + language + ".json"
		if !slices.Contains(declared, language) {
			l.add(&Problem{File: file, What: "its language is not declared", Kind: ErrMessages, Hint: "add it to languages in pack.yaml"})
		}
		l.messages(file, l.p.Messages[language], templates)
	}
}

// messages compares the translations of one file with the texts of the rules.
func (l *linter) messages(file string, m Messages, templates []string) {
	for _, source := range slices.Sorted(maps.Keys(m)) {
		at := jsontext.Pointer("").AppendToken(source)
		want, sourceErr := Placeholders(source)
		have, err := Placeholders(m[source])
		switch {
		case sourceErr == nil && err != nil:
			l.add(&Problem{File: file, Line: l.line(file, at), What: "the translation has { without }", Kind: ErrMessages, Hint: "close it"})
		case !slices.Equal(want, have):
			hint := "use no placeholder"
			if len(want) > 0 {
				hint = fmt.Sprintf("use {%s}, and no other", strings.Join(want, "}, {"))
			}
			l.add(&Problem{File: file, Line: l.line(file, at), What: "the translation has other placeholders than its source", Kind: ErrMessages, Hint: hint})
		}
		if !slices.Contains(templates, source) && !l.contains(source) {
			l.warn(&Problem{File: file, Line: l.line(file, at), What: "no rule has the source text of the translation",
				Kind: ErrMessages, Hint: "copy the text from the rule, or remove the line"})
		}
	}
	if file == "messages/"+l.p.Manifest.Languages[0]+".json" {
		return
	}
	for _, t := range templates {
		if _, there := m[t]; !there {
			l.warn(&Problem{File: file, What: fmt.Sprintf("the text %q has no translation", t), Kind: ErrMessages,
				Hint: "translate it; until then cards show the source text"})
		}
	}
}

// contains reports whether a rule has the text as a string literal.
func (l *linter) contains(text string) bool {
	quoted, err := jsontext.AppendQuote(nil, text)
	return err == nil && slices.ContainsFunc(l.p.Rules, func(f File) bool {
		return bytes.Contains(f.Data, quoted) || bytes.Contains(f.Data, []byte("`"+text+"`"))
	})
}

// templates returns the templates of fhir.text in the rules, each once, sorted.
func (l *linter) templates() []string {
	var all []string
	for _, f := range l.p.Rules {
		for _, m := range textPattern.FindAllSubmatch(f.Data, -1) {
			literal := string(m[1])
			if strings.HasPrefix(literal, "`") {
				all = append(all, strings.Trim(literal, "`"))
			} else if text := textOf(jsontext.Value(literal)); text != "" {
				all = append(all, text)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (l *linter) cases() {
	if len(l.p.Cases) == 0 {
		l.add(&Problem{File: "cases", What: "holds no case", Kind: ErrCase, Hint: "a pack is released with the cases that show what it does"})
	}
	for _, c := range l.p.Cases {
		if c.Want == nil {
			l.add(&Problem{File: c.File, Line: c.Line, What: fmt.Sprintf("case %s has no want", c.Name), Kind: ErrCase,
				Hint: "list every finding; want: [] says that no rule is asked"})
		}
		if c.Language != "" && !slices.Contains(l.p.Manifest.Languages, c.Language) {
			l.add(&Problem{File: c.File, Line: c.Line, What: fmt.Sprintf("case %s asks for language %s, which the pack does not have", c.Name, c.Language),
				Kind: ErrCase, Hint: "declare it under languages in pack.yaml"})
		}
		for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
			what := "the pack has no such parameter"
			if p, ok := l.p.Manifest.Parameters.Get(name); ok {
				if what = ""; p.Validate(c.Parameters[name]) != nil {
					what = "the value does not fit the parameter"
				}
			}
			if what != "" {
				l.add(&Problem{File: c.File, Line: c.Line, What: fmt.Sprintf("case %s sets %s: %s", c.Name, printable(name), what),
					Kind: ErrCase, Hint: "see parameters in pack.yaml"})
			}
		}
	}
}
