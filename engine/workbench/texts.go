package workbench

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/rulepacks"
)

// texts compares the texts of the rules with the translations, and the
// placeholders of templates with what they are given.
func (c *check) texts() {
	used := map[string]bool{}
	for _, u := range c.read.Uses {
		if u.Words == nil {
			continue
		}
		if u.Words.Template {
			c.placeholders(u)
		}
		if !used[u.Words.Text] {
			used[u.Words.Text] = true
			c.translated(u)
		}
	}
	for _, language := range slices.Sorted(maps.Keys(c.pack.Messages)) {
		file := "messages/" + language + ".json"
		for _, source := range slices.Sorted(maps.Keys(c.pack.Messages[language])) {
			if !used[source] {
				c.warn(ErrUnused, file, c.pack.Line(file, jsontext.Pointer("").AppendToken(source)),
					"copy the text from the rule, or remove the line", "no rule shows the text %s", strconv.Quote(source))
			}
		}
	}
}

// translated asks for the text in every language but the source's.
func (c *check) translated(u clinical.Use) {
	for _, language := range c.pack.Manifest.Languages[1:] {
		if _, ok := c.pack.Messages[language][u.Words.Text]; !ok {
			c.warn(rulepacks.ErrMessages, "messages/"+language+".json", 0,
				"translate it; until then cards show the source text",
				"the text %s of %s:%d has no translation", strconv.Quote(u.Words.Text), u.File, u.Line)
		}
	}
}

// placeholders compares what a template names with what it is given.
func (c *check) placeholders(u clinical.Use) {
	named, err := rulepacks.Placeholders(u.Words.Text)
	if err != nil {
		c.add(ErrText, u.File, u.Line, "close it", "%v", err)
		return
	}
	if u.Words.Fills == nil {
		c.warn(ErrText, u.File, u.Line, "write them as a literal object",
			"the placeholders given to %s cannot be checked", u.Function.Name)
		return
	}
	for _, n := range named {
		if !slices.Contains(u.Words.Fills, n) {
			c.add(ErrText, u.File, u.Line, "give it in the second argument", "the template names {%s}, which is not given", n)
		}
	}
	for _, n := range u.Words.Fills {
		if !slices.Contains(named, n) {
			c.warn(ErrUnused, u.File, u.Line, "remove it, or name it in the template",
				"the template is given %s, which it does not name", n)
		}
	}
}

// summaries looks for summaries that are too long whatever is filled in, in
// any language.
func (c *check) summaries() {
	for _, file := range slices.Sorted(maps.Keys(c.read.Modules)) {
		m := c.read.Modules[file]
		for _, r := range m.Rules {
			if r.Head.Ref().String() != "card" {
				continue
			}
			ast.WalkTerms(r, func(t *ast.Term) bool {
				if obj, ok := t.Value.(ast.Object); ok {
					if s := obj.Get(ast.StringTerm("summary")); s != nil {
						c.summary(file, m, s)
					}
				}
				return false
			})
		}
	}
}

// summary judges the literal texts and templates that a summary can be.
func (c *check) summary(file string, m *ast.Module, s *ast.Term) {
	ast.WalkTerms(s, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.String:
			c.length(file, t.Location.Row, string(v))
		case ast.Object: // what a template is filled with
			return true
		case ast.Var:
			for _, value := range values(m, string(v)) {
				c.summary(file, m, value)
			}
		}
		return false
	})
}

// values returns what a rule of the module can be, its else branches included.
func values(m *ast.Module, name string) []*ast.Term {
	var list []*ast.Term
	for _, r := range m.Rules {
		if r.Head.Ref().String() != name {
			continue
		}
		for ; r != nil; r = r.Else {
			if r.Head.Value != nil {
				list = append(list, r.Head.Value)
			}
		}
	}
	return list
}

func (c *check) length(file string, line int, template string) {
	texts := map[string]string{"": template}
	for language, messages := range c.pack.Messages {
		if t, ok := messages[template]; ok {
			texts[" in "+language] = t
		}
	}
	for _, where := range slices.Sorted(maps.Keys(texts)) {
		bare, err := rulepacks.FillTemplate(texts[where], func(string) (string, error) { return "", nil })
		if n := utf8.RuneCountInString(bare); err == nil && n > cdshooks.MaxSummary {
			hint := fmt.Sprintf("at most %d with what is filled in; move the rest into detail", cdshooks.MaxSummary)
			c.add(ErrText, file, line, hint, "the summary%s has %d characters", where, n)
		}
	}
}
