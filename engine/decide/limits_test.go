package decide_test

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
		{chain("split", 60, `"aaaaaaaaaa"`, `concat("", array.concat(split(%, ""), split(%, "")))`, nested("%")), "value"},
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
	began := time.Now()
	d := b.Decide(t, in)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 256 || took > 10*time.Second { // not a test of speed
		t.Errorf("%d MB in %v", made, took)
	}
	return d
}
