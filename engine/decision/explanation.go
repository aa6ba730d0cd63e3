package decision

import (
	"bufio"
	"io"
	"strings"
	"time"

	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/engine/safetext"
)

// Explanation says why a decision is what it is, in words: for each rule and
// subject whether it fired, the facts with values, units, dates and resources, and
// for what did not fire the facts that were not so. It is read off a record alone.
type Explanation struct {
	RecordID string             `json:"record_id"`
	Time     time.Time          `json:"time"`
	Zone     string             `json:"zone"`
	Hook     string             `json:"hook"`
	Service  string             `json:"service"`
	Client   string             `json:"client"`
	Dialect  string             `json:"dialect"`
	Arm      string             `json:"arm,omitempty"`
	Engine   Engine             `json:"engine"`
	Release  Release            `json:"release"`
	Policy   Policy             `json:"policy"`
	Sources  []Source           `json:"sources,omitempty"` // fetched by Precept, without their pages' content
	Earlier  []Earlier          `json:"earlier,omitempty"`
	Notes    []Note             `json:"notes,omitempty"`
	Findings []ExplainedFinding `json:"findings"`
}

// ExplainedFinding is one rule and subject.
type ExplainedFinding struct {
	Rule     string     `json:"rule"`
	Version  string     `json:"version"`
	Subject  string     `json:"subject"`
	Outcome  Outcome    `json:"outcome"`
	Severity string     `json:"severity,omitempty"`
	Card     string     `json:"card,omitempty"` // uuid of the card that shows or names it
	Hidden   *Hidden    `json:"hidden,omitempty"`
	Error    *RuleError `json:"error,omitempty"`
	Cut      CutReason  `json:"cut,omitempty"`
	// NotShown says in words why no card shows it, NotEvaluated why the rule was not
	// asked.
	NotShown     string `json:"not_shown,omitempty"`
	NotEvaluated string `json:"not_evaluated,omitempty"`
	// Misses are the facts that kept the rule from firing: one is a near miss.
	Misses []string `json:"misses,omitempty"`
	// Facts and Values are what the outcome rests on, with the places that they
	// have in the record. Fact is the one that decided, Also are those that only
	// the wording of the card looked at.
	Fact   *int             `json:"fact,omitempty"`
	Also   []int            `json:"also,omitempty"`
	Facts  []ExplainedFact  `json:"facts,omitempty"`
	Values []ExplainedValue `json:"values,omitempty"`
}

// ExplainedFact is one question, its answer, and what it rests on: Values and Of
// are places, those of Of before its own.
type ExplainedFact struct {
	State    fact.State        `json:"state"`
	Text     string            `json:"text"`         // what it asks
	At       string            `json:"at,omitempty"` // file:line in the pack
	Values   []int             `json:"values,omitempty"`
	Evidence []string          `json:"evidence,omitempty"`
	Reasons  []ExplainedReason `json:"reasons,omitempty"` // why it is not known
	Of       []int             `json:"of,omitempty"`
}

// ExplainedValue is a value that a fact looked at.
type ExplainedValue struct {
	Text    string            `json:"text"` // name, value, unit, method, resources with dates
	At      string            `json:"at,omitempty"`
	Reasons []ExplainedReason `json:"reasons,omitempty"`
}

// ExplainedReason is one cause of not knowing.
type ExplainedReason struct {
	Code fact.Code `json:"code"`
	Text string    `json:"text"`
}

// WriteText writes the explanation for people: one block a finding, facts indented
// by their place in the tree. Nothing that a sender put into it writes lines of its
// own, or to a terminal.
func (e *Explanation) WriteText(w io.Writer) error {
	out := &lines{w: bufio.NewWriter(w)}
	out.printf("record    %s\n", e.RecordID)
	out.printf("time      %s (%s)\n", e.Time.Format("2006-01-02T15:04:05.000Z07:00"), e.Zone)
	out.printf("call      %s, service %s, client %s\n", e.Hook, e.Service, e.Client)
	out.printf("engine    precept %s, library %s, opa %s\n", e.Engine.Build, e.Engine.Library, e.Engine.OPA)
	for _, p := range e.Release.Packs {
		out.printf("pack      %s %s, activation %d%s, sha256 %s\n", p.Name, p.Version, p.Seq, modeText(p), p.Digest)
	}
	if t := e.Release.Terminology; t != nil {
		out.printf("drugs     %s %s, activation %d%s, sha256 %s\n", t.Name, t.Version, t.Seq, modeText(*t), t.Digest)
	}
	if m := e.Release.CodeMap; m != nil {
		out.printf("code map  %s %s, activation %d%s, sha256 %s\n", m.Name, m.Version, m.Seq, modeText(*m), m.Digest)
	}
	for _, s := range e.Sources {
		out.printf("fetched   %s: %s %s\n", s.Key, s.Status, s.Reason)
	}
	for _, n := range e.Notes {
		out.printf("note      %s: %s\n", n.Code, n.Text)
	}
	for i := range e.Findings {
		out.finding(&e.Findings[i])
	}
	return out.w.Flush()
}

func modeText(r Ref) string {
	switch r.Mode {
	case Suspended:
		return ", suspended"
	case NotRunnable:
		return ", not run (" + r.Why.String() + ")"
	}
	return ""
}

// lines prints without what a sender could do to a terminal.
type lines struct{ w *bufio.Writer }

// printf makes arguments safe. The error is kept by the writer.
func (l *lines) printf(format string, args ...any) {
	_, _ = l.w.WriteString(safetext.Sprintf(format, args...))
}

func (l *lines) finding(f *ExplainedFinding) {
	l.printf("\n%-8s %s %s on %s\n", strings.ToUpper(string(f.Outcome)), f.Rule, f.Version, ShortRef(f.Subject))
	switch {
	case f.Card != "" && f.Outcome == Fired:
		l.printf("  shown as %s on card %s\n", f.Severity, f.Card)
	case f.Card != "":
		l.printf("  named on card %s\n", f.Card)
	case f.NotShown != "":
		l.printf("  not shown: %s\n", f.NotShown)
	}
	if f.Error != nil {
		l.printf("  error %s: %s%s\n", f.Error.Code, f.Error.Message, at(f.Error.At))
	}
	if f.NotEvaluated != "" {
		l.printf("  not evaluated: %s\n", f.NotEvaluated)
	}
	for _, miss := range f.Misses {
		l.printf("  because this was not so: %s\n", miss)
	}
	said := make([]bool, len(f.Facts))
	if f.Fact != nil {
		l.fact(f, said, *f.Fact, len(f.Facts), 1)
	}
	if len(f.Also) > 0 {
		l.printf("  looked at for the wording of the card:\n")
	}
	for _, i := range f.Also {
		l.fact(f, said, i, len(f.Facts), 1)
	}
}

// deepest is how far facts are indented at most.
const deepest = 40

// fact writes the fact at a place below another one, and what it is made of
// unless that was said already.
func (l *lines) fact(f *ExplainedFinding, said []bool, i, below, deep int) {
	if i < 0 || i >= below {
		return
	}
	x, pad := &f.Facts[i], strings.Repeat("  ", min(deep, deepest))
	if said[i] && len(x.Values)+len(x.Evidence)+len(x.Reasons)+len(x.Of) > 0 {
		l.printf("%s%-7s %s%s (as above)\n", pad, x.State, x.Text, at(x.At))
		return
	}
	said[i] = true
	l.printf("%s%-7s %s%s\n", pad, x.State, x.Text, at(x.At))
	for _, v := range x.Values {
		if v >= 0 && v < len(f.Values) {
			l.printf("%s        %s%s\n", pad, f.Values[v].Text, at(f.Values[v].At))
			l.reasons(pad, f.Values[v].Reasons)
		}
	}
	for _, e := range x.Evidence {
		l.printf("%s        %s\n", pad, e)
	}
	l.reasons(pad, x.Reasons)
	for _, o := range x.Of {
		l.fact(f, said, o, i, deep+1)
	}
}

func (l *lines) reasons(pad string, list []ExplainedReason) {
	for _, r := range list {
		l.printf("%s        %s (%s)\n", pad, r.Text, r.Code)
	}
}

func at(place string) string {
	if place == "" {
		return ""
	}
	return "   [" + place + "]"
}

// ShortRef shortens the ids of some two hundred characters that EHRs give to
// drafts; both ends tell them apart, and the record has them whole.
func ShortRef(ref string) string {
	runes := []rune(safetext.Line(ref))
	if len(runes) <= 64 {
		return string(runes)
	}
	return string(runes[:44]) + "…" + string(runes[len(runes)-12:])
}
