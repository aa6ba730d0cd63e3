package decide

import (
	"strings"
	"unicode/utf8"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/fact"
)

// A card about what is unknown names what could not be read, and says what would
// mend it.

// culprits visits the evidence that unknown answers rest on: of facts that are not made
// of others, and of values that are not known.
func culprits(f *fact.Fact, visit func(reasons []fact.Reason, evidence []fact.Evidence, more int)) {
	var values fact.Distinct[*fact.Value]
	f.Walk(func(f *fact.Fact) {
		if f.State != fact.Unknown {
			return
		}
		if len(f.Of) == 0 {
			visit(f.Reasons, f.Evidence, f.More)
		}
		for _, v := range f.Values {
			if v.State != fact.Known && values.Add(v) {
				visit(v.Reasons, v.Evidence, v.More)
			}
		}
	})
}

// unread lists the drugs, results and conditions that could not be used, or that are
// still to come: name, value, date and reference of each.
func (c *composer) unread(b *strings.Builder, f *fact.Fact) {
	var lines fact.Distinct[string]
	more := 0
	culprits(f, func(_ []fact.Reason, evidence []fact.Evidence, n int) {
		more += n
		for _, e := range evidence {
			lines.Add(evidenceLine(e))
		}
	})
	if len(lines.List) > 0 {
		b.WriteString("\n**" + c.say("Could not be used") + "**\n\n")
		list(c, b, lines.List, more, func(line string) string { return line })
	}
}

// remedies says what would mend each reason, each remedy once.
func (c *composer) remedies(b *strings.Builder, reasons []fact.Reason) {
	var lines fact.Distinct[string]
	for _, r := range reasons {
		lines.Add(clinical.RemedyText(c.in.Language, r))
	}
	if len(lines.List) > 0 {
		b.WriteString("\n**" + c.say("What would help") + "**\n\n")
		list(c, b, lines.List, 0, func(line string) string { return line })
	}
}

// culprit names the resource that a reason is about, with its date; empty if the reason
// is about none.
func culprit(f *fact.Fact, why fact.Reason) string {
	switch why.Code {
	case fact.NotSupplied, fact.FetchFailed, fact.PartialResult, fact.Suppressed, fact.NoData, fact.NotApplicable:
		return "" // about a source, or about what is not there
	}
	name := ""
	culprits(f, func(reasons []fact.Reason, evidence []fact.Evidence, _ int) {
		for _, r := range reasons {
			if name == "" && r == why && len(evidence) > 0 {
				name = evidenceName(evidence[0], why.What)
			}
		}
	})
	return name
}

// evidenceName is name and date of a resource; of one that is called like what a reason
// is about, only the date.
func evidenceName(e fact.Evidence, about string) string {
	name, date := clinical.Plain(e.What), day(e.When)
	switch {
	case date == "":
		return name
	case name == "" || strings.EqualFold(name, about):
		return date
	}
	return name + ", " + date
}

// withName adds a name in brackets to a summary, or as much of it as there is room
// for; too little is left away.
func withName(summary, name string) string {
	const least = 8
	room := cdshooks.MaxSummary - utf8.RuneCountInString(summary) - len(" ()")
	switch n := utf8.RuneCountInString(name); {
	case n == 0 || room < least && n > room:
		return summary
	case n > room:
		name = string([]rune(name)[:room-1]) + "…"
	}
	return summary + " (" + name + ")"
}
