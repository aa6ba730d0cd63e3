package decide_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"

	"github.com/precept-cds/precept/engine/decide/decidetest"
)

// TestHandlesCannotBeWritten holds that an object which only looks like a
// handle is none, however a rule comes by it.
func TestHandlesCannotBeWritten(t *testing.T) {
	const age = `age := fact.greater(fhir.age({"unit": "a"}), 0)` + "\n\n"
	written := decidetest.Rule{ID: "written", Body: age + `like(n) := {"fact": n}

holds := fact.any([age, fact.negate(like(0))])

` + decidetest.PlainCard}
	merged := decidetest.Rule{ID: "merged", Body: age + `holds := object.remove(object.union(age, {"x": 1}), ["x"])

` + decidetest.PlainCard}
	suggested := decidetest.Rule{ID: "suggested", Body: decidetest.AlwaysTrue + `

card := {"summary": "It holds", "suggestions": [{"suggestion": 0}]}`}
	moved := decidetest.Rule{ID: "moved", Body: age + `facts := {f | some f in array.concat([age], [object.get({"x": age}, "x", 0)])}

holds := fact.all([f | some f in facts; f == age])

` + decidetest.PlainCard}
	b := decidetest.NewWith(t, []decidetest.Rule{written, merged, suggested, moved})
	d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean")))
	for _, rule := range []string{"written", "merged", "suggested"} {
		f := decidetest.Finding(t, d, "trial/"+rule)
		if f.Error == nil || !strings.Contains(f.Error.Message, "not a written-down one") {
			t.Errorf("%s: %s, %+v", rule, f.Outcome, f.Error)
		}
	}
	if f := decidetest.Finding(t, d, "trial/moved"); f.Outcome != "fired" {
		t.Errorf("a handle that was passed on: %s, %+v", f.Outcome, f.Error)
	}
}

// doubled is a rule of n facts, each made of the one before twice.
func doubled(id string, n int, first, card string) decidetest.Rule {
	var b strings.Builder
	fmt.Fprintf(&b, "g0 := %s\n\n", first)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "g%d := fact.all([g%d, g%d])\n\n", i, i-1, i-1)
	}
	fmt.Fprintf(&b, "holds := g%d\n\n%s", n-1, card)
	return decidetest.Rule{ID: id, Body: b.String()}
}

// TestFactsAreAGraph holds that facts made of one another are decided, composed,
// recorded, explained and compared at the cost of their number.
func TestFactsAreAGraph(t *testing.T) {
	const n = 300
	old := `fact.greater(fhir.age({"unit": "a"}), 0)`
	said := `card := {"summary": fhir.text("It holds {a} {b}", {"a": holds, "b": g10})}`
	b := decidetest.NewWith(t, []decidetest.Rule{doubled("fires", n, old, said),
		doubled("unsure", n, `fact.less(fhir.egfr({"max_age": "P1D"}), 1)`, decidetest.PlainCard),
		doubled("nots", n, "fact.negate("+old+")", decidetest.PlainCard)})
	in := b.Inputs(t, decidetest.Patient(t, "clean"))
	began := time.Now()
	d := b.Decide(t, in)
	segments, err := decision.Encode(in, d)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Join(segments, nil)
	if _, d, err = decision.Decode(body); err != nil {
		t.Fatal(err)
	}
	for rule, want := range map[string]decision.Outcome{"fires": decision.Fired, "unsure": decision.Unknown,
		"nots": decision.NotFired} {
		if f := decidetest.Finding(t, d, "trial/"+rule); f.Outcome != want || len(f.Places().Facts.List) < n {
			t.Errorf("%s: %s of %d facts, %+v", rule, f.Outcome, len(f.Places().Facts.List), f.Error)
		}
	}
	if same, err := b.Materials.Replay(t.Context(), in, d); err != nil || !same.Same {
		t.Errorf("replayed: %+v, %v", same, err)
	}
	why, err := json.Marshal(decide.Explain(in, d))
	if err != nil {
		t.Fatal(err)
	}
	text := explained(in, d)
	for what, size := range map[string]int{"record": len(body) - len(in.Request), "explanation": len(why), "text": len(text)} {
		if size > 1000*3*n {
			t.Errorf("the %s has %d bytes", what, size)
		}
	}
	if miss := "because this was not so: not: age > 0 (age was"; strings.Count(text, miss) != 1 {
		t.Errorf("%q is there %d times", miss, strings.Count(text, miss))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestComparingDoesNotEndTheProcess holds that nested values which are compared, in
// each way that there is, do not go as deep into the stack as they have parts.
func TestComparingDoesNotEndTheProcess(t *testing.T) {
	rules, body, x, y := decidetest.Nested(22)
	nested := func(id, condition string) decidetest.Rule {
		return decidetest.Rule{ID: id, Body: rules + "alike(x, y) if x == y\n\nsame if {\n" + body +
			strings.NewReplacer("$a", x, "$b", y).Replace(condition) + "\n}\n\n" +
			`holds := fact.greater(fhir.age({"unit": "a"}), 0) if same` + "\n\n" + decidetest.PlainCard}
	}
	b := decidetest.NewWith(t, []decidetest.Rule{
		nested("compared", "$a == $b"),
		nested("named", "x := $a == $b\nx"),
		nested("not-compared", "not $a == $b"),
		nested("in-a-function", "alike($a, $b)"),
		nested("in-a-list", "count([1 | some x in [$a]; x == $b]) == 1"),
	})
	in := b.Inputs(t, decidetest.Patient(t, "clean"))
	snapshot, req := b.Snapshot(t, in)
	d, err := snapshot.Decide(t.Context(), in, req, decide.Times{Rule: 10 * time.Second, Grace: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []string{"compared", "named", "not-compared", "in-a-function", "in-a-list"} {
		if f := decidetest.Finding(t, d, "trial/"+rule); f.Outcome == decision.NotFired {
			t.Errorf("%s: %s", rule, f.Outcome)
		}
	}
}

// TestComparingIsAsInRego holds that == says what it says in Rego.
func TestComparingIsAsInRego(t *testing.T) {
	var rules []decidetest.Rule
	for id, same := range map[string]string{
		"a": "p := 1\n\nsame if p == 1",
		"b": "p := {\"x\": [1, 2]}\n\nsame if p.x == [1, 2]",
		"c": "p := [1, 2]\n\nsame if not p[0] == 2",
		"d": "p := 1 if 1 == 2\n\nsame if not p == 2", // what has no value is not equal
		"e": "p := [1, 2]\n\nsame if p[_] == 2",
		"f": "p := [1, 2]\n\nsame if not 3 in p",
		"g": "p := [[1], [2]]\n\nsame if { some i; p[i] == [2]; i == 1 }",
		"h": "p := 1\n\nsame if count([x | some x in [1, 2, 3]; not x == p]) == 2",
		"i": "p := 1\n\nsame if { every x in [1, 1] { x == p } }",
		"j": "p := 1\n\nsame := x if { x := p == 1; x }",
		"k": "f(x) := x\n\np := 2\n\nsame if f(p) == f(2)",
		"l": "p := {1, 2}\n\nsame if { some x in p; x == 2; x != 1 }",
		"m": "f(1) := 2\n\nf(x) := 3 if x == 2\n\nsame if [f(1), f(2)] == [2, 3]",
		"n": "p if { 1 == 2 } else := 3\n\nsame if p == 3",
		"o": "default p := 4\n\np := 5 if 1 == 2\n\nsame if p == 4",
		"q": "p[x] := y if { some x, y in {\"a\": 1} }\n\nsame if p == {\"a\": 1}",
	} {
		rules = append(rules, decidetest.Rule{ID: id, Body: same +
			"\n\n" + `holds := fact.greater(fhir.age({"unit": "a"}), 0) if same` + "\n\n" + decidetest.PlainCard})
	}
	b := decidetest.NewWith(t, rules)
	d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean")))
	for _, r := range rules {
		if f := decidetest.Finding(t, d, "trial/"+r.ID); f.Outcome != decision.Fired {
			t.Errorf("%s: %s %+v\n%s", r.ID, f.Outcome, f.Error, r.Body)
		}
	}
}
