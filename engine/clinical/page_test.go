package clinical

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

//go:generate go test . -run ^TestRuleLibraryPage$ -update

var update = flag.Bool("update", false, "write docs/rule-library.md anew")

// needs are what rules on FHIR data need of a library, as the design numbers them.
var needs = []string{
	"status of a source: complete, empty, partial, missing, error",
	"resources of a type, without duplicates and those entered in error, with the completeness of their sources",
	"may one conclude from a type that something is not there",
	"references: contained, in a bundle, relative, versioned; unknown if they do not resolve",
	"the clock of the request in the tenant's zone",
	"all codings of a concept, with canonical systems",
	"has a code; unknown if there is only text",
	"is of a pinned value set, or has such an ingredient",
	"version of a value set, in the evidence",
	"and, or, not",
	"at least n of; weighted score as an interval",
	"the first known of several values",
	"something like that exists; false only if the sources are complete",
	"nothing like that exists; the same guard",
	"a date, dateTime or period as an interval of instants",
	"before, after, within, overlap of dates",
	"age as an interval, now and at a date",
	"adult, child",
	"sex for clinical use",
	"newest value",
	"series of values in a window",
	"a number in the unit asked for; comparators are intervals",
	"comparison by interval arithmetic",
	"trend of a series",
	"draft orders, selected orders",
	"code and ingredients of an order",
	"route of an order, systemic or not",
	"current medication",
	"takes a drug of a set",
	"daily dose of an order",
	"days of supply of an order",
	"overlap of exposures, with washout",
	"morphine equivalents of an order and of all",
	"active conditions, with how sure they are",
	"history of a condition",
	"allergy, with criticality, type and reaction; none known, list empty, list missing",
	"cross-reaction of an order with an allergy",
	"eGFR",
	"creatinine clearance",
	"weight, height, body mass index, body surface",
	"pregnancy, possibility of pregnancy",
	"dialysis",
	"class and place of the encounter",
	"immunisations",
	"cards and suggestions",
	"what is missing, collected for a card",
}

// byItself answers the needs that no function names: what does.
var byItself = map[int]string{
	4: "every function: references are resolved where they are read; one that does not resolve makes the answer unknown",
	6: "every function that takes a value set: all codings of a resource count, their systems in one spelling",
	9: "evidence of facts, and the release that every record names",
	25: "a rule with an order trigger is asked once for each draft that fits (`trigger`); " +
		"in order-select for selected ones alone",
}

// unanswered are the needs that no function answers yet.
var unanswered = []int{}

// page writes docs/rule-library.md.
func page(t *testing.T) string {
	var b strings.Builder
	l := Newest()
	fmt.Fprintf(&b, `# The rule library

All functions of clinical library %s that rules may call. This page is generated from their descriptions
(`+"`go generate ./engine/clinical`"+`); a test holds that it is theirs, and runs every example. How rules are written,
what options and types are, and what a pair of rule and subject may use: [packs.md](packs.md).

The examples are calls on 2 March 2026, 10:00 in New York. Behind # is the answer: true, false,
or unknown with its reasons; a value or date with its unit, as an interval if it is not known exactly;
absent if it is known that there is none.

## What for

| need | functions |
|---|---|
`, l.Version())
	for i, need := range needs {
		var list []string
		for _, f := range l.functions {
			if slices.Contains(examples[f.Name].needs, i+1) {
				list = append(list, fmt.Sprintf("[`%s`](#%s)", f.Name, anchor(f.Name)))
			}
		}
		if by := byItself[i+1]; by != "" {
			list = append(list, by)
		}
		if len(list) == 0 && slices.Contains(unanswered, i+1) {
			list = []string{"not yet"}
		} else if slices.Contains(unanswered, i+1) {
			t.Errorf("need %d is answered by %v: take it off the list", i+1, list)
		}
		if len(list) == 0 {
			t.Errorf("need %d, %s, has no function", i+1, need)
		}
		fmt.Fprintf(&b, "| %d. %s | %s |\n", i+1, need, strings.Join(list, ", "))
	}
	var own []string
	for _, f := range l.functions {
		if e, ok := examples[f.Name]; !ok {
			t.Errorf("%s has no example: add one with example(…), see golden_test.go", f.Name)
		} else if len(e.needs) == 0 {
			own = append(own, fmt.Sprintf("[`%s`](#%s)", f.Name, anchor(f.Name)))
		}
	}
	fmt.Fprintf(&b, "| beside these | %s |\n", strings.Join(own, ", "))
	for _, space := range []string{"fhir", "fact", "param"} {
		fmt.Fprintf(&b, "\n## %s\n", map[string]string{"fhir": "Questions to the chart, and wording",
			"fact": "Logic on answers", "param": "Parameters"}[space])
		for _, f := range l.functions {
			if name, _, _ := strings.Cut(f.Name, "."); name == space {
				b.WriteString(section(t, &f.Function))
			}
		}
	}
	return b.String()
}

func anchor(name string) string { return strings.ReplaceAll(name, ".", "") }

// section describes one function.
func section(t *testing.T, f *Function) string {
	var b strings.Builder
	var args []string
	if len(f.Options) > 0 {
		var required []string
		for _, o := range f.Options {
			if o.Required {
				required = append(required, o.Name)
			}
		}
		if len(required) < len(f.Options) {
			required = append(required, "…")
		}
		args = append(args, "{"+strings.Join(required, ", ")+"}")
	}
	for _, a := range f.Args {
		if a.Type.literal() || a.Type == typeState {
			a.Name = strconv.Quote(a.Name)
		}
		args = append(args, a.Name)
	}
	fmt.Fprintf(&b, "\n### %s\n\n`%s(%s)`: %s. %s.\n\n", f.Name, f.Name, strings.Join(args, ", "), f.Result,
		capital(f.Doc))
	for _, o := range f.Options {
		fmt.Fprintf(&b, "- `%s`, %s%s: %s", o.Name, writes(&o), map[bool]string{true: ", required"}[o.Required], o.Doc)
		if o.Unknown != "" {
			fmt.Fprintf(&b, "; unknown if %s", o.Unknown)
		}
		if o.Needs != "" {
			fmt.Fprintf(&b, "; goes with `%s`", o.Needs)
		}
		b.WriteString("\n")
	}
	for _, a := range f.Args {
		fmt.Fprintf(&b, "- `%s`, an argument: %s\n", a.Name, a.Type)
	}
	if len(f.Options)+len(f.Args) > 0 {
		b.WriteString("\n")
	}
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "- %s: %s\n", name, text)
		}
	}
	line("Unknown if", f.Unknown)
	line("Absent if", f.Absent)
	line("States", strings.Join(possible(f), ", "))
	if len(f.Reads) > 0 {
		line("Reads", strings.Join(f.Reads, ", ")+"; source attributes "+strings.Join(f.Attributes, ", "))
	} else {
		line("Reads", "nothing of the chart")
	}
	line("Source", f.Source)
	if f.NeedsOrder {
		line("Only", "in rules with an order trigger")
	}
	if f.CardsOnly {
		line("Only", "in the wording of cards")
	}
	if e, ok := examples[f.Name]; ok {
		fmt.Fprintf(&b, "\n%s:\n\n```rego\n%s\n# %s\n```\n", capital(e.given), e.ask, e.session(t).answer(e.ask))
	}
	return b.String()
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// writes says what may be written for an option.
func writes(o *Option) string {
	kind := string(o.Kind)
	switch o.Kind {
	case KindSet:
		for i, k := range o.Sets {
			kind += []string{" of kind ", " or "}[min(i, 1)] + string(k)
		}
	case KindEnum:
		kind = "`" + strings.Join(quoted(o.Words), "` or `") + "`"
	case KindFlag:
		kind = fmt.Sprintf("`true` or `false` (without it `%t`)", o.Default)
	}
	if o.Param {
		kind += " or `param`"
	}
	return kind
}

// TestRuleLibraryPage holds that docs/rule-library.md says what the library is: every
// function with an example whose answer is the right one, and every need answered.
func TestRuleLibraryPage(t *testing.T) {
	if len(twice) > 0 {
		t.Errorf("there are several examples of %s", twice)
	}
	for name, e := range examples {
		if _, ok := Newest().Function(name); !ok {
			t.Errorf("there is an example of %s, which does not exist", name)
		}
		if !strings.Contains(e.ask, name+"(") {
			t.Errorf("the example of %s does not call it", name)
		}
		if got := e.session(t).answer(e.ask); got != e.want {
			t.Errorf("%s is %s, want %s", e.ask, got, e.want)
		}
		for _, n := range e.needs {
			if n < 1 || n > len(needs) {
				t.Errorf("%s is for need %d, which does not exist", name, n)
			}
		}
	}
	const file = "../../docs/rule-library.md"
	want := page(t)
	if *update && !t.Failed() {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil || string(have) != want {
		t.Errorf("docs/rule-library.md is not that of the library (%v); "+
			"write it anew with: go generate ./engine/clinical", err)
	}
}
