package decide_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
)

// TestBoundsLeaveRoom holds that every decision of the corpus hits no bound of a
// library that allows a twentieth.
func TestBoundsLeaveRoom(t *testing.T) {
	small := clinical.Newest().Bounds()
	for v := range reflect.ValueOf(&small).Elem().NumField() {
		f := reflect.ValueOf(&small).Elem().Field(v)
		f.SetInt(f.Int() / 20)
	}
	small.Evidence = clinical.Newest().Bounds().Evidence // which hides nothing
	l, err := clinical.Newest().WithBounds("1.0.1", small)
	decidetest.Must(t, err)
	under := map[*decide.Materials]*decide.Materials{}
	for _, d := range corpus(t) {
		m := under[d.materials]
		if m == nil {
			m = d.materials.Under(l)
			under[d.materials] = m
		}
		decided, err := m.Decide(t.Context(), withLibrary(d.in, l.Version()))
		decidetest.Must(t, err)
		for _, f := range decided.Findings {
			if f.Error != nil {
				t.Errorf("%s: %s on %s: %+v", d.name, f.Rule, f.Subject, f.Error)
			}
		}
	}
}

// withLibrary returns the inputs as they would be with another library.
func withLibrary(in *decision.Inputs, version string) *decision.Inputs {
	other := *in
	other.Engine.Library, other.Release.Packs = version, slices.Clone(in.Release.Packs)
	for i := range other.Release.Packs {
		other.Release.Packs[i].Library = version
	}
	return &other
}

// chain is a rule whose values double n times: v0 is first, and each further one is
// made of the one before by step, with % for its name.
func chain(id string, n int, first, step, end string) decidetest.Rule {
	var b strings.Builder
	fmt.Fprintf(&b, "v0 := %s\n\n", first)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "v%d := %s\n\n", i, strings.ReplaceAll(step, "%", fmt.Sprintf("v%d", i-1)))
	}
	last := strings.ReplaceAll(end, "%", fmt.Sprintf("v%d", n-1))
	fmt.Fprintf(&b, "%s\n\nalways := fact.greater(fhir.age({\"unit\": \"a\"}), 0)\n\n", last)
	if !strings.Contains(end, "card :=") {
		b.WriteString(decidetest.PlainCard)
	}
	return decidetest.Rule{ID: id, Severity: "critical", Body: b.String()}
}

// used makes what a value is used for matter, whatever it is.
const used = "holds := always if % != 7 else := always"

// hidden makes a value whose type the compiler cannot see: it would be as large as the
// value.
func hidden(value string) string { return `object.get({"k": ` + value + `}, "k", 0)` }

// TestPairsAreBounded holds that rules which ask for far too much each end at a bound
// that says where, soon and without much memory, while the rule beside them answers,
// and that a replay gives the same bytes.
func TestPairsAreBounded(t *testing.T) {
	nested := func(use string) string { return strings.ReplaceAll(used, "%", use) }
	other := "w0 := 1\n\n" // as v0 to v39
	for i := 1; i < 40; i++ {
		other += fmt.Sprintf("w%d := %s\n\n", i, hidden(fmt.Sprintf("[w%d, w%d]", i-1, i-1)))
	}
	tests := []struct {
		rule  decidetest.Rule
		bound string
	}{
		{chain("facts", 2, "1", "2", `tens := [0,1,2,3,4,5,6,7,8,9]

holds := fact.any([f | some a in tens; some b in tens; some c in tens; some d in tens
	f := fact.count_at_least(1, [always, fact.less(age, a), fact.less(age, b), fact.less(age, c), fact.less(age, d)])])

age := fhir.age({"unit": "a"})`), "facts"},
		{chain("edges", 200, "always", "fact.all(array.concat(many, [%]))", `ten := [always, always, always, always, always,
	always, always, always, always, always]

many := array.flatten([ten | some a in [1, 2, 3, 4, 5, 6]; some b in [1, 2, 3, 4, 5, 6]; some c in [1, 2, 3, 4, 5, 6]])

holds := %`), "text"},
		{chain("texts", 40, `"0123456789abcdef"`, `fhir.text("{x}{x}", {"x": %})`,
			"holds := always\n\ncard := {\"summary\": %}"),
			"value"},
		{chain("concat", 60, `"0123456789"`, `concat(%, [%, %])`, nested("%")), "value"},
		{chain("replaced", 60, `"aaaaaaaaaa"`, `replace(%, "a", "aaaaaaaaaa")`, nested("%")), "value"},
		{chain("split", 60, `"aaaaaaaaaa"`,
			`concat("", array.concat(split(%, ""), split(%, "")))`, nested("%")), "value"},
		{chain("upper", 60, `"aaaaaaaaaa"`, `concat(upper(%), [lower(%), trim(%, "b")])`, nested("%")), "value"},
		{chain("arrays", 60, `[1, 2]`, `array.concat(%, %)`, nested("%")), "value"},
		{chain("nested", 40, `1`, hidden("[%, %]"), nested("%")), "value"},
		{chain("sorted", 40, `1`, hidden("[%, %]"), nested("sort([%, 1])")), "value"},
		{chain("compared", 40, `1`, hidden("[%, %]"), other+"holds := always if % == w39 else := always"), "value"},
		{chain("members", 40, `1`, hidden("[%, %]"), other+"holds := always if % in [w39] else := always"), "value"},
		{chain("objects", 40, `1`, hidden(`{"a": %, "b": %}`), nested(`object.union(%, {"c": 1})`)), "value"},
		{chain("merged", 40, `1`, hidden(`object.union({"l": %}, {"r": %})`), nested("%")), "value"},
		{chain("keys", 40, `1`, hidden("{[%]: %}"), nested("%")), "value"},
		{chain("sets", 40, `1`, hidden("{[%, 1], [%, 2]}"), nested("count(%)")), "value"},
		{chain("unions", 40, `1`, hidden("union({{[%, 1]}, {[%, 2]}})"), nested("%")), "value"},
		{chain("functions", 40, `f(1)`, "f(%)", "f(x) := "+hidden("[x, x]")+"\n\n"+nested("%")), "value"},
		{chain("deep", 150, `1`, hidden("[%]"), nested("%")), "depth"},
		{chain("squares", 60, `3`, `% * %`, nested("%")), "digits"},
		{chain("quotients", 60, `0.1`, `(% * %) / 3`, nested("%")), "digits"},
		{chain("powers", 400, `1e100`, `% * 1e100`, nested("%")), "digits"},
		{chain("shown", 400, `1e100`, `fact.less(fhir.age({"unit": "a"}), 1e900 * 1e90)`, "holds := %"), ""},
		{chain("calls", 2, `1`, "2", "tens := [0,1,2,3,4,5,6,7,8,9]\n\nn := [1 | some a in tens; some b in tens; "+
			"some c in tens; some d in tens; (((((a * 10) + b) * 10) + c) * 10) + d < 0]\n\n"+nested("n")), "calls"},
		{chain("cost", 2, `1`, "2", "tens := [0,1,2,3,4,5,6,7,8,9]\n\n"+
			"big := [[a, b, c] | some a in tens; some b in tens; some c in tens]\n\n"+
			"n := [1 | some a in tens; some b in tens; "+
			"some c in tens; sort(array.concat(big, [[a, b, c]])) == []]\n\n"+nested("n")), "cost"},
		{chain("rules", 2, `1`, "2", "tens := [0,1,2,3,4,5,6,7,8,9]\n\nf(a) := a\n\n"+
			"n := [1 | some a in tens; some b in tens; "+
			"some c in tens; some d in tens; some e in tens; f([a, b, c, d, e]) == 7]\n\n"+nested("n")), "rules"},
	}
	for _, tt := range tests {
		t.Run(tt.rule.ID, func(t *testing.T) { bounded(t, tt.rule, tt.bound) })
	}
}

// bounded decides with a rule and another one beside it, and holds that the rule
// ends at a bound, "" for none.
func bounded(t *testing.T, rule decidetest.Rule, bound string) {
	t.Helper()
	b := decidetest.NewWith(t, []decidetest.Rule{rule, decidetest.RuleFires})
	in := b.Inputs(t, decidetest.Patient(t, "clean"))
	if _, err := b.Materials.Snapshot(in.Release, in.Policy); err != nil {
		t.Fatal(err)
	}
	d := frugal(t, b, in)
	f := decidetest.Finding(t, d, "trial/"+rule.ID)
	switch {
	case bound == "":
		if f.Error != nil {
			t.Errorf("%+v", f.Error)
		}
	case f.Error == nil:
		t.Errorf("%s, want a limit", f.Outcome)
	case f.Error.Code != "limit" || !strings.Contains(f.Error.Message, strconv.Quote(bound)) ||
		!strings.HasPrefix(f.Error.At, "rules/"+strings.ReplaceAll(rule.ID, "-", "_")+".rego:"):
		t.Errorf("%+v, want the bound %s", f.Error, bound)
	}
	if f := decidetest.Finding(t, d, "trial/fires"); f.Outcome != decision.Fired {
		t.Errorf("the rule beside it: %s, %+v", f.Outcome, f.Error)
	}
	if same, err := b.Materials.Replay(t.Context(), in, d); err != nil || !same.Same {
		t.Errorf("replayed: %+v, %v", same, err)
	}
}

// frugal decides, and holds that it does so in little time and memory: there is only
// one pair that wants more.
func frugal(t *testing.T, b *decidetest.Bench, in *decision.Inputs) *decision.Decision {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := processorTime(t)
	d := b.Decide(t, in)
	took := processorTime(t) - began
	runtime.ReadMemStats(&after)
	if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 256 || took > 20*time.Second { // not a test of speed
		t.Errorf("%d MB in %v", made, took)
	}
	return d
}

// processorTime is what this process has used of the processors, whatever else they do.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	decidetest.Must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestCardsAreBounded holds that a card which says too much is an error of its rule,
// and leaves the others and the call alone.
func TestCardsAreBounded(t *testing.T) {
	// About 100 kB, made within the bounds on values.
	text := `x := concat("", ["0123456789", "0123456789", "0123456789", "0123456789", "0123456789", "0123456789",
	"0123456789", "0123456789", "0123456789", "0123456789"])

long := concat("", [x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x,
	x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x])

twelve := [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]

` + decidetest.AlwaysTrue + "\n\n"
	service := `fhir.request_service({"system": "http://loinc.org", "code": "1", "display": %s, "label": %s})`
	for id, tt := range map[string][2]string{
		"summary": {`{"summary": long}`, "summary"},
		"detail":  {`{"summary": "s", "detail": concat("", [long, long, long, long, long])}`, "detail"},
		"label":   {`{"summary": "s", "links": [{"label": long, "url": "https://x.example"}]}`, "label"},
		"url": {`{"summary": "s", "links": [{"label": "l",
	"url": concat("", ["https://x.example/", long])}]}`, "url"},
		"links": {`{"summary": "s", "links": [{"label": "l", "url": "https://x.example"} |
	some i in twelve; some j in twelve]}`, "links"},
		"suggestions": {`{"summary": "s", "suggestions": [s | some i in twelve; some j in twelve
	s := ` + fmt.Sprintf(service, `"d"`, `"l"`) + `]}`, "suggestions"},
		"says-much": {`{"summary": "s", "suggestions": [` +
			fmt.Sprintf(service, `"d"`, `fhir.text("{x}", {"x": long})`) + `]}`, "label"},
		"much": {`{"summary": "s", "links": [{"label": substring(long, 0, 1450), "url": "https://x.example"} |
	some i in twelve; some j in [1, 2, 3, 4, 5, 6, 7, 8]]}`, "card"},
		"strange": {`{"summary": "s", "links": [], [long]: 1}`, ""},
	} {
		t.Run(id, func(t *testing.T) {
			rule := decidetest.Rule{ID: id, Severity: "critical", Body: text + "card := " + tt[0]}
			if tt[1] != "" {
				bounded(t, rule, tt[1])
				return
			}
			b := decidetest.NewWith(t, []decidetest.Rule{rule})
			d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean")))
			if f := decidetest.Finding(t, d, "trial/"+id); f.Error == nil || len(f.Error.Message) > 200 {
				t.Errorf("%+v", f.Error)
			}
		})
	}
}

// TestAnswersAreBounded holds that an answer of many large critical cards stays within
// its bound, and that one card names what does not fit.
func TestAnswersAreBounded(t *testing.T) {
	const n = 200
	body := `x := concat("", ["0123456789", "0123456789", "0123456789", "0123456789", "0123456789", "0123456789"])

detail := concat("", [y | some i in [1, 2, 3, 4, 5, 6, 7, 8]; some j in [1, 2, 3, 4, 5, 6, 7, 8]; y := concat("", [x,
	x, x, x, x, x, x, x])])

` + decidetest.AlwaysTrue + "\n\n" + `card := {"summary": "It holds", "detail": detail}`
	var rules []decidetest.Rule
	for i := range n {
		rules = append(rules, decidetest.Rule{ID: fmt.Sprintf("r%03d", i), Severity: "critical", Body: body})
	}
	rules = append(rules, decidetest.Rule{ID: "late", Body: body}, decidetest.Rule{ID: "fails", Body: "holds := 7\n\n" +
		decidetest.PlainCard})
	b := decidetest.NewWith(t, rules)
	in := b.Inputs(t, decidetest.Patient(t, "clean"))
	d := b.Decide(t, in)
	if len(d.Response) > 3<<20 || len(d.Response) < 2<<20 {
		t.Errorf("an answer of %d bytes", len(d.Response))
	}
	byID := map[string]cdshooks.Card{}
	for _, c := range decidetest.Cards(t, d.Response) {
		byID[c.UUID] = c
	}
	var named int
	for _, f := range d.Findings {
		if f.Outcome != decision.Fired {
			continue
		}
		c, ok := byID[f.Card]
		switch {
		case f.Rule == "trial/late":
			if f.Hidden == nil || f.Hidden.Code != decision.HiddenLimit {
				t.Errorf("%+v", f)
			}
		case !ok:
			t.Errorf("%s has no card", f.Rule)
		case strings.Contains(c.Summary, "do not fit"):
			named++
			if c.Indicator != cdshooks.Critical || !strings.Contains(c.Detail, "- and ") {
				t.Errorf("%s: %s", c.Indicator, c.Detail)
			}
		}
	}
	if named == 0 || named >= n || d.Cards.Total() != len(byID) {
		t.Errorf("%d of %d are named by one card, %+v", named, n, d.Cards)
	}
	if !decidetest.HasCard(decidetest.Cards(t, d.Response), "1 safety check was not done") {
		t.Error("nobody says which check was not done")
	}
	if same, err := b.Materials.Replay(t.Context(), in, d); err != nil || !same.Same {
		t.Errorf("replayed: %+v, %v", same, err)
	}
}

// TestCasesEnd holds that a golden case whose rule does not end, or asks for too much,
// is a case that does not hold, and says which rule.
func TestCasesEnd(t *testing.T) {
	const file = `cases:
  - name: %s
    hook: order-sign
    time: "2026-03-02T10:00:00-05:00"
    zone: America/New_York
    context: {patientId: p1, userId: Practitioner/u1, draftOrders: {resourceType: Bundle, type: collection}}
    prefetch:
      patient: {resourceType: Patient, id: p1, gender: male, birthDate: "1955-06-15"}
    want:
      - {rule: %s, subject: patient, state: "true"}
`
	big := chain("big", 40, `1`, hidden("[%, %]"), strings.ReplaceAll(used, "%", "sort([%, 1])"))
	for _, tt := range []struct {
		rule decidetest.Rule
		want []string
	}{
		{decidetest.RuleFires, []string{"", ""}},
		{big, []string{"trial/big on patient is error (limit: more than 10000 parts", "trial/big on patient is error"}},
		{decidetest.RuleLoops, []string{"trial/a-loop on patient did not end within 5s", "not run"}},
	} {
		t.Run(tt.rule.ID, func(t *testing.T) {
			t.Parallel()
			id := tt.rule.ID
			pack := decidetest.PackOf(t, "1.0.0", map[string]string{"cases/a.yaml": fmt.Sprintf(file, "first", id),
				"cases/b.yaml": fmt.Sprintf(file, "second", id)}, tt.rule)
			results, err := decide.RunCases(t.Context(), pack, decidetest.ReferencePack(t, "terminology_core"))
			decidetest.Must(t, err)
			for i, r := range results {
				problem := strings.Join(r.Problems, "; ")
				if (problem == "") != (tt.want[i] == "") || !strings.HasPrefix(problem, tt.want[i]) {
					t.Errorf("%s: %q, want %q", r.Case.Name, problem, tt.want[i])
				}
			}
		})
	}
}

// growing are ways to make a value of one before it, %, of the same kind.
var growing = map[string][]string{
	`"abca"`: {`concat("", [%, %])`, `concat(%, [%, "b", %])`, `replace(%, "a", %)`, `replace(%, "", "x")`, `upper(%)`,
		`lower(%)`, `concat(%, split(%, "a"))`, `concat("", array.reverse(split(%, "")))`, `trim(%, "b")`,
		`substring(%, 0, 100)`, `trim_suffix(%, "a")`},
	`[1, "a"]`: {`array.concat(%, %)`, `[%, %]`, `sort(array.concat(%, [%]))`, `array.flatten([%, %, [1]])`,
		`array.reverse(%)`, `array.slice(%, 0, 50)`, `[x | some x in %; some y in [1, 2]]`,
		`[x | some x in %; not x in []]`},
	`{1, 2}`: {`% | {[%, 1]}`, `union({%, {[%, 2]}})`, `% & %`, `{[x, y] | some x in %; some y in %}`, `% - {1}`,
		`intersection({%, % | {%}})`, `{%, 1}`},
	`{"a": 1}`: {`object.union(%, {"l": %})`, `{"a": %, "b": %}`, `object.remove(%, ["a"])`,
		`object.filter(%, ["b", "l"])`,
		`{k: % | some k in object.keys(%)}`, `{concat("", [k, "x"]): v | some k, v in %}`, `object.union(%, %)`},
	`3`: {`% * %`, `% + %`, `% * 1e100`, `% / 7`, `abs(%)`, `round(% * 1.5)`, `ceil(%)`, `sum([%, %])`, `% - 1`,
		`max([%, % * 2])`},
}

// ending are ways to use a value.
var ending = []string{`count(%)`, `% == %`, `[%] == [%]`, `% < %`, `sort([%, %, 1])`, `% in [%, 1]`, `max({%, 1})`,
	`format_int(%, 2)`, `contains(%, "a")`, `f(%, %)`, `{%: 1}`, `[x | some x in [%, %]; x != 1]`}

// TestRandomRulesAreBounded holds that a rule put together at random answers or ends in
// an error, soon, in little memory, and the same when it is decided again.
func TestRandomRulesAreBounded(t *testing.T) {
	kinds := slices.Sorted(maps.Keys(growing))
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(rt, "kind")
		steps := rapid.SliceOfN(rapid.SampledFrom(growing[kind]), 1, 60).Draw(rt, "steps")
		var b strings.Builder
		fmt.Fprintf(&b, "f(x, y) := [x, y]\n\nv0 := %s\n\n", kind)
		for i, step := range steps {
			fmt.Fprintf(&b, "v%d := %s\n\n", i+1, hidden(strings.ReplaceAll(step, "%", fmt.Sprint("v", i))))
		}
		end := rapid.SampledFrom(ending).Draw(rt, "end")
		fmt.Fprintf(&b, "end := %s\n\nalways := fact.greater(fhir.age({\"unit\": \"a\"}), 0)\n\n"+
			"holds := always if end else := always\n\n%s", strings.ReplaceAll(end, "%", fmt.Sprint("v", len(steps))),
			decidetest.PlainCard)
		bench := decidetest.NewWith(t, []decidetest.Rule{{ID: "random", Body: b.String()}})
		in := bench.Inputs(t, decidetest.Patient(t, "clean"))
		if _, err := bench.Materials.Snapshot(in.Release, in.Policy); err != nil {
			if !errors.Is(err, decide.ErrPack) { // refused when read, as many are: nothing is left to run
				rt.Fatal(err)
			}
			return
		}
		d := frugal(t, bench, in)
		f := decidetest.Finding(t, d, "trial/random")
		if f.Error != nil && (len(f.Error.Message) > 300 || f.Error.At == "") {
			rt.Errorf("%+v", f.Error)
		}
		if again, err := bench.Materials.Replay(t.Context(), in, d); err != nil || !again.Same {
			rt.Errorf("replayed: %+v, %v", again, err)
		}
	})
}
