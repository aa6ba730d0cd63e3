package decide_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/fixtures/misuse"
	"github.com/precept-cds/precept/rulepacks"
)

// BenchmarkEvaluators decides the standard call with plans and with the evaluator alone.
func BenchmarkEvaluators(b *testing.B) {
	bn := decidetest.New(b)
	in := bn.Inputs(b, fixtures.Standard(1, 0))
	for name, m := range map[string]*decide.Materials{"plans": bn.Materials,
		"evaluator": bn.Materials.Under(clinical.Newest()).ByEvaluator()} {
		s, err := m.Snapshot(in.Release, in.Policy)
		decidetest.Must(b, err)
		req, err := s.Parse(in.Client, in.Request)
		decidetest.Must(b, err)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := s.Usage(in, req, 0)
				decidetest.Must(b, err)
			}
		})
	}
}

// failing is a test, or a property of one.
type failing interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

// sayings is everything that a decision came to, and what each pair used of its bounds.
func sayings(t failing, m *decide.Materials, in *decision.Inputs) (string, map[string]decide.Usage) {
	s, err := m.Snapshot(in.Release, in.Policy)
	if err != nil {
		t.Fatal(err)
	}
	req, err := s.Parse(in.Client, in.Request)
	if err != nil {
		return err.Error(), nil
	}
	d, err := s.Decide(context.Background(), in, req, decide.Times{})
	if err != nil {
		return err.Error(), nil
	}
	record, err := decision.EncodeDecision(d)
	if err != nil {
		t.Fatal(err)
	}
	used, err := s.Usage(in, req, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(record) + "\n" + string(d.Response), used
}

// alike holds that plans and the evaluator come to the same.
func alike(t failing, name string, plans, evaluator *decide.Materials, in *decision.Inputs) {
	have, used := sayings(t, plans, in)
	want, wantUsed := sayings(t, evaluator, in)
	if have != want {
		t.Fatalf("%s: by plan\n%s\nby the evaluator\n%s", name, have, want)
	}
	for pair, u := range wantUsed {
		if used[pair].Used != u.Used || used[pair].Asked < u.Asked {
			t.Fatalf("%s: %s used %+v by plan, %+v by the evaluator", name, pair, used[pair], u)
		}
	}
}

// TestPlansDecideTheSame decides the corpus with plans and with the evaluator alone.
func TestPlansDecideTheSame(t *testing.T) {
	evaluator := map[*decide.Materials]*decide.Materials{}
	for _, d := range corpus(t) {
		m := evaluator[d.materials]
		if m == nil {
			m = d.materials.Under(clinical.Newest()).ByEvaluator()
			evaluator[d.materials] = m
		}
		alike(t, d.name, d.materials, m, d.in)
	}
}

// TestPlansEndWhenTold holds that a plan which is told to end, whenever that is, is cut.
func TestPlansEndWhenTold(t *testing.T) {
	b := decidetest.New(t)
	in := b.Inputs(t, fixtures.Standard(1, 0))
	s, req := b.Snapshot(t, in)
	whole, err := s.Usage(in, req, 0)
	decidetest.Must(t, err)
	ended := 0
	for end := 1; ; end++ {
		usage, err := s.Usage(in, req, end)
		decidetest.Must(t, err)
		still := false
		for pair, u := range usage {
			still = still || end <= whole[pair].Asked
			if end <= whole[pair].Asked && (!u.Cut || u.Asked != end) {
				t.Errorf("%s: told to end at question %d of %d: %+v", pair, end, whole[pair].Asked, u)
			}
			ended++
		}
		if !still {
			break
		}
	}
	if ended < 100 {
		t.Errorf("told to end %d times only", ended)
	}
}

// TestPlansOfHostileRules does the same with rules that ask for far too much.
func TestPlansOfHostileRules(t *testing.T) {
	kinds := slices.DeleteFunc(slices.Clone(misuse.Rules), func(kind string) bool {
		return kind == "types" || kind == "loops" || kind == "compares" // do not compile, or do not end
	})
	b := decidetest.NewWith(t, []decidetest.Rule{decidetest.RuleFires}) // for its policy
	for seed := range uint64(6) {
		pack, err := misuse.Pack(seed, false, kinds...)
		decidetest.Must(t, err)
		b := trialAlone(t, b, pack)
		alike(t, fmt.Sprint("seed ", seed), b.Materials, b.Materials.Under(clinical.Newest()).ByEvaluator(),
			b.Inputs(t, decidetest.Patient(t, "clean")))
	}
}

// TestReferenceRulesArePlanned holds that no change of a pack, of the library or of the
// evaluator's compiler silently takes rules from the plans.
func TestReferenceRulesArePlanned(t *testing.T) {
	b := decidetest.New(t)
	s, err := b.Materials.Snapshot(b.Release, b.Policy)
	decidetest.Must(t, err)
	n := 0
	for rule, planned := range s.Planned() {
		if n++; !planned.Holds || !planned.Card {
			t.Errorf("%s: of holds and card there is a plan: %t, %t", rule, planned.Holds, planned.Card)
		}
	}
	if n < 20 {
		t.Errorf("there are %d rules", n)
	}
}

// trialAlone is a bench with one pack in force.
func trialAlone(t testing.TB, b *decidetest.Bench, pack *rulepacks.Pack) *decidetest.Bench {
	t.Helper()
	decidetest.Must(t, b.Materials.AddPack(pack))
	other := *b
	other.Release.Packs = []decision.Ref{decidetest.Ref(pack)}
	policy := decidetest.PolicyFor(t, "north")
	for i := range policy.Services {
		policy.Services[i].Packs = []string{pack.Manifest.Name}
	}
	other.SetPolicy(t, policy)
	return &other
}

const madeManifest = `name: made
version: "1.0.0"
title: Made rules
status: draft
publisher: {name: Heartland, contact: rules@heartland.example}
effective_period: {start: "2020-01-01", end: ""}
review_due: "2027-01-01"
library: "1"
terminology: {min: "2026.1", max: ""}
languages: [en, de]
parameters:
  limit: {type: integer, default: 30, description: A number.}
  zero: {type: integer, default: 0, description: Nothing.}
  window: {type: string, format: duration, default: P365D, description: A window.}
  flag: {type: boolean, default: true, description: A flag.}
value_sets:
%ssources:
  - {id: own, title: Made for a test, url: "https://heartland.example", date: "2026-01-01", strength: none}
`

// madeSets are the value sets of made packs: one of each kind, with codes.
var madeSets = map[string]string{
	"medication": `{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "6809"},
  {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "5640"}`,
	"observation": `{"system": "http://loinc.org", "code": "2160-0"}`,
	"condition":   `{"system": "http://snomed.info/sct", "code": "74474003"}`,
	"service":     `{"system": "http://loinc.org", "code": "98979-8"}`,
	"route":       `{"system": "http://snomed.info/sct", "code": "26643006"}`,
	"substance":   `{"system": "http://snomed.info/sct", "code": "387517004"}`,
	"procedure":   `{"system": "http://snomed.info/sct", "code": "302497006"}`,
	"vaccine":     `{"system": "http://hl7.org/fhir/sid/cvx", "code": "03"}`,
}

// madePack is the pack "made" of some rules, each asked about orders of metformin.
func madePack(rules ...string) (*rulepacks.Pack, error) {
	files, sets := fstest.MapFS{
		"README.md": {Data: []byte("# Made\n")},
		"NOTICE":    {Data: []byte("No copyright.\n")},
	}, ""
	for _, kind := range slices.Sorted(maps.Keys(madeSets)) {
		sets += fmt.Sprintf("  - {id: %[1]s, title: %[1]s, source: none, version: \"1\", licence: none}\n", kind)
		files["valuesets/"+kind+".json"] = &fstest.MapFile{
			Data: fmt.Appendf(nil, `{"id": %[1]q, "kind": %[1]q, "codes": [%[2]s]}`, kind, madeSets[kind])}
	}
	files["pack.yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, madeManifest, sets)}
	for i, rule := range rules {
		files[fmt.Sprintf("rules/r%d.rego", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, `# METADATA
# scope: package
# title: Made %[1]d
# custom:
#   id: r%[1]d
#   hooks: [order-sign]
#   trigger: {order: medication}
#   severity: warning
#   unknown: info
package packs.made.r%[1]d

%[2]s`, i, rule)}
	}
	return rulepacks.ReadFolder(files)
}

// author writes rules at random: typed compositions of what the library describes.
type author struct {
	*rapid.T
	names map[clinical.Type][]string // definitions so far
	card  bool                       // wording may be used
	plain bool                       // nothing is written that has no plan
	n     int
}

func (a *author) one(of ...string) string { return rapid.SampledFrom(of).Draw(a.T, "one") }

// oneIn is true once in n times.
func (a *author) oneIn(n int) bool { return rapid.IntRange(1, n).Draw(a.T, "n") == 1 }

// times writes one to four things.
func (a *author) times(write func() string) string {
	list := make([]string, rapid.IntRange(1, 4).Draw(a.T, "times"))
	for i := range list {
		list[i] = write()
	}
	return strings.Join(list, ", ")
}

// isHandle reports whether a type is of what only functions make.
func isHandle(typ clinical.Type) bool {
	return strings.Contains(string(typ), "fact") || strings.Contains(string(typ), "value") ||
		strings.Contains(string(typ), "date")
}

// expr writes an expression of some type.
func (a *author) expr(typ clinical.Type, depth int) string {
	if names := a.names[typ]; len(names) > 0 && (depth <= 0 || !a.oneIn(3)) {
		return a.one(names...)
	}
	each := func(typ clinical.Type) func() string { return func() string { return a.expr(typ, depth-1) } }
	switch typ {
	case "number":
		return a.one("0", "1", "2", "18", "45", "65.5", `param("limit")`, `param("limit")`, `(1 / param("zero"))`,
			"count([1, param(\"limit\")])", "(param(\"limit\") * 2)", "max([2, param(\"limit\")])")
	case "boolean":
		return a.condition(depth)
	case "array of facts":
		if a.oneIn(6) { // members that are the same are asked the same
			list := "some f in array.concat([" + a.times(each("fact")) + "], [" + a.times(each("fact")) + "])"
			return a.one("[f | "+list+"]", "[fact.negate(f) | "+list+"]", "[f | true; "+list+"; "+a.condition(depth-1)+"]",
				"[g | "+list+"; g := fact.any([f, "+a.expr("fact", depth-1)+"])]",
				"[f | "+list+"; some n in {1, 2}; n < 2]",
				"[f | some x in [{\"f\": "+a.expr("fact", depth-1)+"}]; f := x.f]",
				"[f | some i, f in ["+a.times(each("fact"))+"]; i > 0]",
				"[f | "+list+"; count([1 | some n in [1, 1]; n > 0]) > 1]")
		}
		return "[" + a.times(each("fact")) + "]"
	case "array of values":
		return "[" + a.times(each("value")) + "]"
	case "array of dates":
		return "[" + a.times(each("date")) + "]"
	case "array of [points, fact]":
		return "[" + a.times(func() string {
			return "[" + a.one("1", "2", `param("limit")`) + ", " + a.expr("fact", depth-1) + "]"
		}) + "]"
	case "value or date":
		return a.expr(clinical.Type(a.one("value", "date")), depth)
	case "fact or value":
		return a.expr(clinical.Type(a.one("fact", "value")), depth)
	case "state":
		return a.one(`"true"`, `"false"`, `"unknown"`)
	case "label":
		return a.one(`"a label"`, `"another one"`)
	case "template":
		return a.one(`"Says {a}"`, `"Says {a} and {b} and {a}"`, `"Says nothing"`)
	case "what to fill":
		value := func() string {
			return a.expr(clinical.Type(a.one("fact", "value", "date", "order", "number", "string")), depth-1)
		}
		return `{"a": ` + value() + `, "b": ` + value() + "}"
	case "any":
		return a.expr(clinical.Type(a.one("fact", "value", "number", "string")), depth)
	}
	var may []clinical.Function
	for _, f := range clinical.Newest().Functions() {
		wording := f.CardsOnly || f.Result == "string" || f.Result == "suggestion"
		deep := slices.ContainsFunc(f.Args, func(x clinical.Argument) bool { return isHandle(x.Type) })
		if f.Result == typ && f.Name != "param" && (a.card || !wording) && (depth > 0 || !deep) {
			may = append(may, f)
		}
	}
	if typ == "string" && (len(may) == 0 || depth <= 0 || a.oneIn(3)) {
		return a.one(`"0123456789abcdef0123"`, `"b"`, `concat("; ", ["a", "b"])`, `upper("c")`,
			`replace("aaaa", "a", "bb")`)
	}
	f := rapid.SampledFrom(may).Draw(a.T, "function")
	var args []string
	if len(f.Options) > 0 {
		args = append(args, a.options(f, depth))
	}
	for _, x := range f.Args {
		args = append(args, a.expr(x.Type, depth-1))
	}
	return f.Name + "(" + strings.Join(args, ", ") + ")"
}

// options writes the options of a call.
func (a *author) options(f clinical.Function, depth int) string {
	var list []string
	given := map[string]bool{}
	for _, o := range f.Options {
		if !o.Required && (o.Needs != "" && !given[o.Needs] || !a.oneIn(3)) {
			continue
		}
		given[o.Name] = true
		value := ""
		switch o.Kind {
		case clinical.KindSet:
			value = fmt.Sprintf("%q", rapid.SampledFrom(o.Sets).Draw(a.T, "set"))
		case clinical.KindDuration:
			if value = a.one(`"P1Y"`, `"P365D"`, `"PT24H"`); o.Param && a.oneIn(3) {
				value = `param("window")`
			}
		case clinical.KindUnit:
			value = a.one(`"mg/dL"`, `"mmol/L"`, `"%"`)
		case clinical.KindEnum, clinical.KindType:
			value = fmt.Sprintf("%q", rapid.SampledFrom(o.Words).Draw(a.T, "word"))
		case clinical.KindFlag:
			if value = a.one("true", "false"); o.Param && a.oneIn(3) {
				value = `param("flag")`
			}
		case clinical.KindText:
			if value = `"some text"`; a.card && a.oneIn(2) {
				value = a.one(`fhir.text("Says nothing", {})`, `fhir.text("Says {a}", {"a": 1})`)
			}
		default:
			value = a.one(`"labs"`, `"medications"`, `"8480-6"`)
		}
		list = append(list, fmt.Sprintf("%q: %s", o.Name, value))
	}
	return "{" + strings.Join(list, ", ") + "}"
}

// condition writes what is true, false, undefined or an error.
func (a *author) condition(depth int) string {
	if a.card && !a.oneIn(4) {
		return "fact.is(" + a.expr("fact", depth-1) + ", " + a.expr("state", 0) + ")"
	}
	return a.one(`param("limit") > 3`, `param("limit") < 3`, `contains("abc", "b")`, `startswith("abc", "b")`,
		`param("flag")`, `(1 / param("zero")) > 0`, `count("abc") == 3`, `is_string(param("window"))`)
}

// define writes a definition of some type, perhaps one without a value.
func (a *author) define(prefix string, typ clinical.Type) string {
	a.n++
	name := fmt.Sprintf("%s%d", prefix, a.n)
	text := name + " := " + a.expr(typ, rapid.IntRange(0, 3).Draw(a.T, "depth"))
	if a.oneIn(3) {
		text += " if {\n"
		for range rapid.IntRange(1, 2).Draw(a.T, "conditions") {
			if !a.plain && a.oneIn(8) {
				text += "\tnot " + a.condition(1) + "\n"
				continue
			}
			text += "\t" + a.condition(1) + "\n"
		}
		text += "}"
		for range rapid.IntRange(0, 2).Draw(a.T, "else") {
			text += " else := " + a.expr(typ, 1) + " if " + a.condition(1)
		}
		if a.oneIn(2) {
			text += " else := " + a.expr(typ, 1)
		}
	}
	if !a.plain && a.oneIn(10) {
		text = "default " + name + " := 1\n\n" + text
	}
	a.names[typ] = append(a.names[typ], name)
	return text + "\n\n"
}

// rule writes holds, card and what they are made of.
func (a *author) rule() string {
	text := ""
	types := func(list ...clinical.Type) clinical.Type { return rapid.SampledFrom(list).Draw(a.T, "type") }
	for range rapid.IntRange(0, 6).Draw(a.T, "definitions") {
		text += a.define("h", types("fact", "fact", "fact", "value", "date", "number"))
	}
	holds := a.expr("fact", 3)
	if a.oneIn(2) { // so that the card is asked for
		holds = "fact.any([" + holds + `, fact.greater(fhir.age({"unit": "a"}), 0)])`
	}
	a.card = true
	for range rapid.IntRange(0, 4).Draw(a.T, "definitions") {
		text += a.define("card_", types("string", "fact", "suggestion"))
	}
	card := `"summary": ` + a.expr("string", 2)
	if a.oneIn(2) {
		card += `, "detail": concat(" ", [` + a.times(func() string { return a.expr("string", 2) }) + "])"
	}
	if a.oneIn(2) {
		card += `, "suggestions": [` + a.times(func() string { return a.expr("suggestion", 1) }) + "]"
	}
	if a.oneIn(6) {
		card += `, "links": [{"label": ` + a.expr("string", 1) + `, "url": "https://example.org"}]`
	}
	return text + "holds := " + holds + "\n\ncard := {" + card + "}\n"
}

// tightened are bounds of which some are small.
func tightened(t *rapid.T) clinical.Bounds {
	b := clinical.Newest().Bounds()
	of := reflect.ValueOf(&b).Elem()
	most := map[string]int{"Calls": 25, "Rules": 8, "Facts": 20, "Text": 3000, "Cost": 300, "Value": 40, "Depth": 3,
		"Digits": 3, "Evidence": 3, "Summary": 60, "Detail": 90, "Links": 1, "Label": 20, "URL": 10, "Suggestions": 2,
		"Card": 400, "Findings": 3000}
	for range rapid.IntRange(0, 2).Draw(t, "tightened") {
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(most))).Draw(t, "bound")
		of.FieldByName(name).SetInt(int64(rapid.IntRange(1, most[name]).Draw(t, name)))
	}
	return b
}

// requests are those that made rules are asked about.
func requests(t testing.TB) [][]byte {
	list := [][]byte{fixtures.Standard(1, 0), fixtures.Standard(1, 7)}
	for _, p := range decidetest.Patients(t) {
		if bytes.Contains(p.Request, []byte("order-sign")) {
			list = append(list, p.Request)
		}
	}
	return list
}

// TestPlansOfMadeRules decides rules made at random, under bounds made at random, with
// plans and with the evaluator alone.
func TestPlansOfMadeRules(t *testing.T) {
	base, all := decidetest.NewWith(t, []decidetest.Rule{decidetest.RuleFires}), requests(t)
	policy := decidetest.PolicyFor(t, "north")
	for i := range policy.Services {
		policy.Services[i].Packs = []string{"made"}
	}
	base.SetPolicy(t, policy)
	planned, asked, outcomes := 0, 0, map[string]int{}
	rapid.Check(t, func(r *rapid.T) {
		var rules []string
		for range rapid.IntRange(1, 3).Draw(r, "rules") {
			a := &author{T: r, names: map[clinical.Type][]string{}, plain: rapid.Bool().Draw(r, "plain")}
			rules = append(rules, a.rule())
		}
		pack, err := madePack(rules...)
		if err != nil {
			r.Fatalf("%v\n%s", err, strings.Join(rules, "\n"))
		}
		l, err := clinical.Newest().WithBounds("1.0.1", tightened(r))
		if err != nil {
			r.Fatal(err)
		}
		m := base.Materials.Under(l)
		if err := m.AddPack(pack); err != nil {
			r.Fatal(err)
		}
		b := *base
		b.Release.Packs = []decision.Ref{decidetest.Ref(pack)}
		in := withLibrary(b.Inputs(t, rapid.SampledFrom(all).Draw(r, "request")), l.Version())
		s, err := m.Snapshot(in.Release, in.Policy)
		if err != nil {
			r.Fatalf("%v\n%s", err, strings.Join(rules, "\n"))
		}
		for _, p := range s.Planned() {
			asked++
			if p.Holds {
				planned++
			}
		}
		name := strings.Join(rules, "\n")
		alike(r, name, m, m.Under(l).ByEvaluator(), in)
		d, err := m.Decide(t.Context(), in)
		if err != nil {
			r.Fatal(err)
		}
		for i := range d.Findings {
			outcomes[string(d.Findings[i].Outcome)]++
			if e := d.Findings[i].Error; e != nil {
				words := strings.Fields(e.Message)
				outcomes[e.Code+" "+strings.Join(words[max(0, len(words)-5):], " ")]++
			}
		}
	})
	t.Logf("of %d rules %d have a plan of holds; findings: %v", asked, planned, outcomes)
}

// FuzzPlans holds that no code which compiles makes the compiler of plans panic, and that
// what is planned decides as the evaluator does.
func FuzzPlans(f *testing.F) {
	for _, name := range decidetest.ReferencePacks {
		for _, file := range decidetest.ReferencePack(f, name).Rules {
			_, body, _ := bytes.Cut(file.Data, []byte("\npackage "))
			_, body, _ = bytes.Cut(body, []byte("\n"))
			f.Add(string(body))
		}
	}
	old := "old := " + strings.TrimPrefix(decidetest.AlwaysTrue, "holds := ") + "\n\n"
	for _, text := range []string{
		"holds := old", "a := [1, 2]\n\nholds := old if a[1] == 2", "holds := old if { some x in [1, 2]; x == 2 }",
		"a := [x | some x in [1, 2]; x > 1]\n\nholds := old if count(a) == 1", "holds := fact.all([old | true])",
		"a := [[x, y] | some x in {1, 2}; some y in {\"a\": x}]\n\nholds := old if a[0][1] == 1",
		"a := {\"b\": {\"c\": old}}\n\nholds := a.b.c", "holds := fact.all([f | some f in [old, old, old]])",
		"a := [count(x) | some x in [[1], [1], [2]]]\n\nholds := old if sum(a) == 3",
		"a[x] := y if { some x, y in [1, 2] }\n\nholds := old if a[0] == 1", "default a := 1\n\nholds := old if a == 1",
		"a if false\n\nholds := old if not a", "f(x) := old if x\n\nholds := f(true)",
		"a := 1 if 1 > 2\nelse := 2 if 2 > 3\nelse := 3\n\nholds := old if a == 3",
		"a := 1 / param(\"zero\")\n\nholds := old if a\nelse := old", "a := x if { x := 2 }\n\nholds := old if a",
		"holds := old if { every x in [1] { x == 1 } }", "a.b.c := old\n\nholds := a.b.c", "holds := $\"{1}\"",
	} {
		f.Add(old + text + "\n\n" + decidetest.PlainCard)
	}
	b := decidetest.NewWith(f, []decidetest.Rule{decidetest.RuleFires})
	policy := decidetest.PolicyFor(f, "north")
	for i := range policy.Services {
		policy.Services[i].Packs = []string{"made"}
	}
	b.SetPolicy(f, policy)
	request := fixtures.Standard(1, 0)
	f.Fuzz(func(t *testing.T, text string) {
		pack, err := madePack(text)
		if err != nil {
			return
		}
		b := *b
		b.Materials = b.Materials.Under(clinical.Newest())
		decidetest.Must(t, b.Materials.AddPack(pack))
		b.Release.Packs = []decision.Ref{decidetest.Ref(pack)}
		in := b.Inputs(t, request)
		s, err := b.Materials.Snapshot(in.Release, in.Policy)
		if err != nil {
			return // it does not compile
		}
		if strings.Count(text, "some") > 6 { // each may multiply what is done
			return
		}
		for _, planned := range s.Planned() {
			if !planned.Holds || !planned.Card { // may run for ever
				return
			}
		}
		alike(t, text, b.Materials, b.Materials.Under(clinical.Newest()).ByEvaluator(), in)
	})
}
