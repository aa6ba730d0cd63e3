package decide

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
)

// Explain writes why a decision is what it is: for each rule and subject
// whether it fired, the tree of facts with values, units, dates and resources,
// and for what did not fire the facts that were false. It is read off the
// record alone and needs neither packs nor the patient's chart.
func Explain(w io.Writer, in *decision.Inputs, d *decision.Decision) {
	fmt.Fprintf(w, "record    %s\n", in.RecordID)
	fmt.Fprintf(w, "time      %s (%s)\n", in.Time.Format("2006-01-02T15:04:05.000Z07:00"), in.Zone)
	fmt.Fprintf(w, "call      %s, service %s, client %s\n", in.Hook, in.Service, in.Client)
	fmt.Fprintf(w, "engine    precept %s, library %s, opa %s\n", in.Engine.Build, in.Engine.Library, in.Engine.OPA)
	for _, p := range in.Release.Packs {
		mode := ""
		switch p.Mode {
		case decision.Suspended:
			mode = ", suspended"
		case decision.NotRunnable:
			mode = ", not run (" + p.Why.String() + ")"
		}
		fmt.Fprintf(w, "pack      %s %s, activation %d%s, sha256 %s\n", p.Name, p.Version, p.Seq, mode, p.Digest)
	}
	if t := in.Release.Terminology; t != nil {
		fmt.Fprintf(w, "drugs     %s %s, activation %d, sha256 %s\n", t.Name, t.Version, t.Seq, t.Digest)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(w, "note      %s: %s\n", n.Code, n.Text)
	}
	for i := range d.Findings {
		explainFinding(w, in, &d.Findings[i])
	}
}

func explainFinding(w io.Writer, in *decision.Inputs, f *decision.Finding) {
	fmt.Fprintf(w, "\n%-8s %s %s on %s\n", outcomeWord(f.Outcome), f.Rule, f.Version, shortRef(f.Subject))
	switch {
	case f.Card != "" && f.Outcome == decision.Fired:
		fmt.Fprintf(w, "  shown as %s on card %s\n", f.Severity, f.Card)
	case f.Card != "":
		fmt.Fprintf(w, "  named on card %s\n", f.Card)
	case f.Hidden != nil:
		fmt.Fprintf(w, "  not shown: %s\n", strings.Map(visible, f.Hidden.String()))
	}
	if f.Error != nil {
		fmt.Fprintf(w, "  error %s: %s%s\n", f.Error.Code, f.Error.Message, at(f.Error.At))
	}
	if f.Outcome == decision.WasCut {
		fmt.Fprintf(w, "  not evaluated: %s\n", cutText(in, f))
	}
	if f.Fact == nil {
		return
	}
	if f.Outcome == decision.NotFired {
		for _, miss := range deciding(f.Fact) {
			fmt.Fprintf(w, "  because this was not so: %s%s\n", FactText(miss), found(miss))
		}
	}
	explainFact(w, f.Fact)
	if len(f.Also) > 0 {
		fmt.Fprintln(w, "  looked at for the wording of the card:")
	}
	for _, x := range f.Also {
		explainFact(w, x)
	}
}

func explainFact(w io.Writer, f *fact.Fact) {
	f.Walk(func(x *fact.Fact, depth int) bool {
		pad := strings.Repeat("  ", depth+1)
		fmt.Fprintf(w, "%s%-7s %s%s\n", pad, x.State, FactText(x), at(x.At))
		for _, v := range x.Values {
			fmt.Fprintf(w, "%s        %s%s\n", pad, valueLine(v), at(v.At))
			reasons(w, pad, v.Reasons)
		}
		for _, e := range x.Evidence {
			fmt.Fprintf(w, "%s        %s\n", pad, evidenceLine(e))
		}
		if len(x.Of) == 0 && len(x.Values) == 0 {
			reasons(w, pad, x.Reasons)
		}
		return true
	})
}

// shortRef shortens the ids of some two hundred characters that EHRs give to
// drafts; both ends tell them apart, and the record has them whole.
func shortRef(ref string) string {
	runes := []rune(strings.Map(visible, ref))
	if len(runes) <= 64 {
		return string(runes)
	}
	return string(runes[:44]) + "…" + string(runes[len(runes)-12:])
}

// visible keeps what a sender put into an id from writing lines of its own into
// an explanation, or to a terminal.
func visible(r rune) rune {
	if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
		return '?'
	}
	return r
}

// cutText says why a pair was not evaluated.
func cutText(in *decision.Inputs, f *decision.Finding) string {
	switch f.Cut {
	case decision.CutSuspension:
		return "the rule is out of service"
	case decision.CutDeadline:
		return "the time for the whole call was used up"
	case decision.CutLimit:
		return "the rule used up its own time"
	case decision.CutNotRun:
		for _, p := range in.Release.Packs {
			if strings.HasPrefix(f.Rule, p.Name+"/") {
				return "the node could not run pack " + p.Name + ": " + p.Why.String()
			}
		}
	}
	return "the record does not say why"
}

// found says what a fact that was false found instead.
func found(f *fact.Fact) string {
	var list []string
	f.Walk(func(x *fact.Fact, _ int) bool {
		for _, v := range x.Values {
			if s := clinical.Plain(v.Name) + " was " + v.String(); v.State == fact.Known && !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
		return true
	})
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

func reasons(w io.Writer, pad string, list []fact.Reason) {
	for _, r := range list {
		fmt.Fprintf(w, "%s        %s (%s)\n", pad, clinical.ReasonText("en", r), r.Code)
	}
}

func at(place string) string {
	if place == "" {
		return ""
	}
	return "   [" + place + "]"
}

func outcomeWord(o decision.Outcome) string { return strings.ToUpper(string(o)) }

// deciding returns the false facts that keep f from being true: the near miss,
// if there is only one. A fact that the rule's author named is said by its name.
func deciding(f *fact.Fact) []*fact.Fact {
	if len(f.Of) == 0 || f.Label != "" || f.Op == "fact.negate" || f.Op == "fact.lacking" {
		return []*fact.Fact{f}
	}
	var out []*fact.Fact
	for _, o := range f.Of {
		if o.State == fact.False {
			out = append(out, deciding(o)...)
		}
	}
	return out
}

// FactText says in words what a fact asks.
func FactText(f *fact.Fact) string {
	if f.Label != "" {
		return clinical.Plain(f.Label)
	}
	switch f.Op {
	case "fact.all":
		return "all of"
	case "fact.any":
		return "at least one of"
	case "fact.negate":
		if len(f.Of) == 1 {
			return "not: " + FactText(f.Of[0])
		}
		return "not"
	case "fact.count_at_least":
		return "at least " + f.Limit + " of"
	case "fact.lacking":
		return "there is no usable " + valueName(f)
	case "fact.within":
		return valueName(f) + " within " + f.Limit
	case string(fact.Less), string(fact.LessEqual), string(fact.Greater), string(fact.GreaterEqual):
		return valueName(f) + " " + fact.Comparison(f.Op).Sign() + " " + f.Limit
	}
	return f.Op
}

func valueName(f *fact.Fact) string {
	if len(f.Values) == 0 {
		return "value"
	}
	return clinical.Plain(f.Values[0].Name)
}
