package clinical

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks"
)

// maxName is the largest number of characters of one name from the chart that
// is put into text.
const maxName = 80

// Plain makes text from a chart safe to stand in a card: one line, no control
// or direction characters, and none of the characters that markdown or HTML
// give a meaning. Renderers differ in what they escape, so look-alikes
// replace them.
func Plain(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	n, space := 0, false
	for _, r := range s {
		if n >= maxName { // a space before the last character counts, too
			b.WriteString("…")
			break
		}
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			continue
		}
		if space {
			b.WriteByte(' ')
			n, space = n+1, false
		}
		b.WriteRune(harmless(b.String(), r))
		n++
	}
	return b.String()
}

// isPlain reports that Plain would leave a text as it is, which it does with
// nearly every name.
func isPlain(s string) bool {
	if len(s) > maxName {
		return false
	}
	space := true // no space at the beginning, the end, or after another
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c > '~' || harmless(s[:i], rune(c)) != rune(c) || space && c == ' ' {
			return false
		}
		space = c == ' '
	}
	return !space || s == ""
}

// harmless returns what may stand for a character after what was written so far.
func harmless(before string, r rune) rune {
	switch r {
	case '<':
		return '‹'
	case '>':
		return '›'
	case '[', '{':
		return '('
	case ']', '}':
		return ')'
	case '`', '"':
		return '\''
	case '/', '|', '\\':
		if strings.HasSuffix(before, "/") { // of https://
			return '∕'
		}
		return '/'
	case '*', '_', '~', '#', '!':
		return '·'
	case '&':
		return '+'
	case '@':
		return '＠'
	case '.':
		if endsIn(before, "www") {
			return '․'
		}
	case ':':
		if endsIn(before, "mailto") || endsIn(before, "xmpp") {
			return '∶'
		}
	}
	return r
}

func endsIn(s, word string) bool {
	return len(s) >= len(word) && strings.EqualFold(s[len(s)-len(word):], word)
}

// text fills a template of the pack, translated into the language of the call.
func text(s *Session, c *Call) (*ast.Term, error) {
	template, err := str(c.args[0])
	if err != nil {
		return nil, err
	}
	with, ok := c.args[1].Value.(ast.Object)
	if !ok && c.listed != 1 {
		return nil, fmt.Errorf("want an object of what to fill in, have %s", ast.ValueName(c.args[1].Value))
	}
	filled, err := rulepacks.FillTemplate(s.translate(template), func(name string) (string, error) {
		t := s.filling(c, with, name)
		if t == nil {
			return "", fmt.Errorf("the template names {%s}, which is not given", name)
		}
		text, err := s.render(t)
		if err == nil { // before it is put in: one may be named many times
			err = s.useText(len(text))
		}
		return text, err
	})
	if err != nil {
		return nil, err
	}
	if most := s.lib.library.bounds.Value; len(filled)/textPart >= most {
		return nil, s.exceed("value", most, "parts of one value", s.at())
	}
	return ast.StringTerm(filled), s.useText(len(template))
}

// filling returns what a name of a template stands for, nil if it is not given.
func (s *Session) filling(c *Call, with ast.Object, name string) *ast.Term {
	if with == nil {
		if i := slices.Index(c.fills, name); i >= 0 {
			return c.list[i]
		}
		return nil
	}
	key := s.names[name]
	if key == nil {
		key = ast.StringTerm(name)
		s.names[name] = key
	}
	return with.Get(key)
}

// translate returns the pack's wording of a source text in the language of the
// call; the source text itself if there is none.
func (s *Session) translate(source string) string {
	if t, ok := s.pack.messages[s.language][source]; ok {
		return t
	}
	return source
}

func (s *Session) render(t *ast.Term) (string, error) {
	switch v := t.Value.(type) {
	case ast.String:
		return string(v), nil
	case ast.Number:
		return v.String(), nil
	case ast.Object:
		if i, ok := s.valueTable.find(t, len(s.values)); ok {
			return s.values[i].String(), nil
		}
		if i, ok := s.dateTable.find(t, len(s.dates)); ok {
			return Plain(s.dates[i].String()), nil // its text may be as the chart has it
		}
		if i, ok := s.factTable.find(t, len(s.facts)); ok {
			s.mentioned = append(s.mentioned, s.facts[i])
			return s.evidenceNames(s.facts[i])
		}
		if o, err := s.order(t); err == nil {
			return Plain(o.Name()), nil
		}
	}
	return "", fmt.Errorf("a template takes values, dates, facts, orders, strings and numbers, not %s",
		ast.ValueName(t.Value))
}

// evidenceNames lists what the evidence of a fact is about, each once, in the order read.
func (s *Session) evidenceNames(f *fact.Fact) (string, error) {
	facts := 0
	f.Walk(func(*fact.Fact) { facts++ })
	evidence, more := f.Gather()
	if err := s.useCost(facts + len(evidence)); err != nil {
		return "", err
	}
	var list []string
	seen := map[string]bool{}
	for _, e := range evidence {
		if n := Plain(e.What); n != "" && !seen[n] {
			seen[n] = true
			list = append(list, n)
		}
	}
	text := strings.Join(list, ", ")
	if more > 0 {
		text = CoreCount(s.language, more, "{list} and 1 more", "{list} and {n} more", "list", text)
	}
	return text, nil
}
