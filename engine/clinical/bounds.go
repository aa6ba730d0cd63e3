package clinical

import (
	"fmt"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Bounds limit what one pair of rule and subject may use. What they count is what a
// rule asks for, never the steps an evaluator takes or the time it needs, so a
// pair hits a bound on every machine or on none, and a replay finds it again.
// They belong to a version of the library.
//
// Sizes are in parts: a value is one part, and one more for each 16 bytes of text
// or digits, with all that is in it; what is in it twice counts twice.
type Bounds struct {
	Calls  int // calls of the library and of Rego's built-ins; the same call again at the same place is none
	Rules  int // rules and functions of the pack that were evaluated; a function once for the same arguments
	Facts  int // facts and values that its calls made
	Text   int // bytes of what its calls made for records and cards: labels, reasons, evidence, texts, suggestions
	Cost   int // what its calls cost together, in parts looked at or made; a resource of the chart is one
	Value  int // parts of one value
	Depth  int // how deep one value may be
	Digits int // digits of a number, with those that its exponent stands for

	Evidence int // resources that one fact or value names; it counts the others

	Summary     int // characters of a card's summary; what is above [cdshooks.MaxSummary] is not shown
	Detail      int // bytes of its detail
	Links       int // links of a card
	Label       int // characters of the label of a link or suggestion
	URL         int // bytes of the address of a link
	Suggestions int // suggestions of a card
	Card        int // bytes of a card in all, as the rule wrote it

	Findings int // bytes of what all pairs of one call made
}

// standardBounds are those of library 1.1.0. The reference packs stay below a
// twentieth of each, which a test holds them to.
var standardBounds = Bounds{
	Calls: 10_000, Rules: 10_000, Facts: 4_000, Text: 2 << 20, Cost: 4_000_000, Value: 10_000, Depth: 100, Digits: 1_000,
	Evidence: 32,
	Summary:  4_000, Detail: 32 << 10, Links: 100, Label: 2_000, URL: 4_000, Suggestions: 100, Card: 128 << 10,
	Findings: 4 << 20,
}

// Bounds returns the bounds on what one pair may use.
func (l *Library) Bounds() Bounds { return l.bounds }

// LimitError says that a pair of rule and subject hit a bound of the library.
type LimitError struct {
	Bound string // its name, as docs/packs.md has it
	Most  int
	Of    string // what there is more of
	At    string // file:line
}

// Error names the bound, its number and what there was more of.
func (e *LimitError) Error() string {
	return fmt.Sprintf("more than %d %s: this is the bound %q of the clinical library", e.Most, e.Of, e.Bound)
}

// Used is what a pair has used of its bounds so far.
type Used struct{ Calls, Rules, Facts, Text, Cost int }

// exceed notes that a bound was hit. The first one counts; nothing that the pair
// asks after it is answered.
func (s *Session) exceed(bound string, most int, of, at string) *LimitError {
	if s.exceeded == nil {
		s.exceeded = &LimitError{Bound: bound, Most: most, Of: of, At: at}
	}
	return s.exceeded
}

// The ways to use something up. Each returns an error once the bound is hit.

func (s *Session) useCall() error {
	if s.used.Calls++; s.used.Calls > s.lib.library.bounds.Calls {
		return s.exceed("calls", s.lib.library.bounds.Calls, "calls", s.at())
	}
	return nil
}

func (s *Session) useCost(parts int) error {
	if s.used.Cost += parts; s.used.Cost > s.lib.library.bounds.Cost || parts < 0 {
		return s.exceed("cost", s.lib.library.bounds.Cost, "parts that its calls look at or make", s.at())
	}
	return nil
}

func (s *Session) useFact() error {
	if s.used.Facts++; s.used.Facts > s.lib.library.bounds.Facts {
		return s.exceed("facts", s.lib.library.bounds.Facts, "facts and values", s.at())
	}
	return nil
}

func (s *Session) useText(bytes int) error {
	if s.used.Text += bytes; s.used.Text > s.lib.library.bounds.Text || bytes < 0 {
		return s.exceed("text", s.lib.library.bounds.Text, "bytes of facts, values and texts", s.at())
	}
	return nil
}

// useRule counts a rule or function of the pack that was evaluated, and looks at
// the size of its value. There is no way to fail here: the evaluation is stopped.
func (s *Session) useRule(ref ast.Ref, value *ast.Term) {
	b := &s.lib.library.bounds
	if s.used.Rules++; s.used.Rules > b.Rules {
		s.exceed("rules", b.Rules, "rules and functions evaluated", s.ruleAt(ref))
	}
	if value == nil || s.isGiven(value) { // as the values of most rules
		return
	}
	m := &s.meter
	if *m = (meter{bounds: b}); m.term(value) > 0 && m.over != "" {
		m.exceed(s, s.ruleAt(ref))
	}
}

// isGiven reports whether a term is a handle of a fact or value.
func (s *Session) isGiven(t *ast.Term) bool {
	if t == s.made {
		return true
	}
	if obj, ok := t.Value.(ast.Object); !ok || obj.Len() != 1 {
		return false
	}
	_, isFact := s.factTable.find(t, len(s.facts))
	if isFact {
		return true
	}
	_, isValue := s.valueTable.find(t, len(s.values))
	return isValue
}

// ruleAt returns file and line of a rule of the pack, or of a function with arguments.
func (s *Session) ruleAt(ref ast.Ref) string {
	if f, ok := ref[0].Value.(ast.Ref); ok {
		ref = f
	}
	for n := len(ref); n > 0; n-- { // without keys
		if rules := s.pack.code.Compiler.GetRulesExact(ref[:n]); len(rules) > 0 {
			return rules[0].Location.File + ":" + strconv.Itoa(rules[0].Location.Row)
		}
	}
	return ""
}

// stop ends an evaluation: when its time is up, or when its pair hit a bound where
// the evaluator takes no error.
type stop struct {
	session *Session
	time    topdown.Cancel
}

// Cancel ends the evaluation.
func (c *stop) Cancel() { c.time.Cancel() }

// Cancelled reports whether to stop.
func (c *stop) Cancelled() bool {
	return c.session.exceeded != nil || c.time != nil && c.time.Cancelled()
}

// meter measures values. It stops at the bounds on one value, so that measuring
// costs no more than what they allow, whatever a value holds twice.
type meter struct {
	bounds *Bounds
	parts  int    // measured so far
	over   string // the bound that was hit; "" if none
	left   int    // parts that the value at hand may still have
}

// exceed makes what was hit an error.
func (m *meter) exceed(s *Session, at string) error {
	switch m.over {
	case "depth":
		return s.exceed(m.over, m.bounds.Depth, "levels of one value", at)
	case "digits":
		return s.exceed(m.over, m.bounds.Digits, "digits of a number", at)
	default:
		return s.exceed("value", m.bounds.Value, "parts of one value", at)
	}
}

// term measures a value and returns its size in parts.
func (m *meter) term(t *ast.Term) int {
	m.left = m.bounds.Value
	m.value(t.Value, 0)
	size := m.bounds.Value - m.left
	m.parts += size
	return size
}

// value takes the size of a value off what is left; it reports whether to go on.
func (m *meter) value(v ast.Value, depth int) bool {
	if m.left--; depth > m.bounds.Depth {
		m.over = "depth"
	}
	if m.over != "" {
		return false
	}
	switch v := v.(type) {
	case ast.String:
		m.left -= len(v) / textPart
	case ast.Number:
		if m.left -= len(v) / textPart; digits(v) > m.bounds.Digits {
			m.over = "digits"
		}
	case *ast.Array:
		if v.Len() > m.left {
			m.left = -1
			break
		}
		for i := range v.Len() {
			if !m.value(v.Elem(i).Value, depth+1) {
				break
			}
		}
	case ast.Object:
		if v.Len() > m.left {
			m.left = -1
			break
		}
		v.Until(func(k, x *ast.Term) bool { return !m.value(k.Value, depth+1) || !m.value(x.Value, depth+1) })
	case ast.Set:
		if v.Len() > m.left { // before it is put in order
			m.left = -1
			break
		}
		v.Until(func(x *ast.Term) bool { return !m.value(x.Value, depth+1) })
	}
	if m.left < 0 && m.over == "" {
		m.over = "value"
	}
	return m.over == ""
}

// textPart is how many bytes of text are one part.
const textPart = 16

// digits returns how many digits a number has when it is written out.
func digits(n ast.Number) int {
	for i := range len(n) {
		if n[i] != 'e' && n[i] != 'E' {
			continue
		}
		exponent, err := strconv.Atoi(string(n[i+1:]))
		if err != nil {
			return maxDigits
		}
		return i + min(max(exponent, -exponent), maxDigits)
	}
	return len(n)
}

// maxDigits stands for more digits than any bound allows.
const maxDigits = 1 << 30
