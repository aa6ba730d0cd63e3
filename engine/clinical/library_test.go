package clinical

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// TestLibraries holds that versions are found by what names them, and that
// what is not there is not found.
func TestLibraries(t *testing.T) {
	newest := Newest()
	if l, ok := NewestOf(newest.Major()); !ok || l != newest || newest.Major() != "1" {
		t.Errorf("NewestOf(%s) = %v, %v", newest.Major(), l, ok)
	}
	if _, ok := NewestOf("0"); ok {
		t.Error("there is a library of major 0")
	}
	if f, ok := newest.Function("fhir.labs"); ok || f.Reads != nil {
		t.Errorf("there is a function fhir.labs: %+v", f)
	}
	if list := Libraries(); len(list) == 0 || list[len(list)-1] != newest {
		t.Errorf("the newest library is not the last of %v", list)
	}
	f, ok := newest.Function("fhir.lab")
	if !ok {
		t.Fatal("there is no fhir.lab")
	}
	second, err := newest.With("1.2.0", f)
	if err != nil {
		t.Fatal(err)
	}
	f.Reads[0], f.Options[0].Sets[0] = "Changed", "changed"
	if again, _ := second.Function("fhir.lab"); again.Reads[0] != "Observation" ||
		again.Options[0].Sets[0] != vocab.KindObservation {
		t.Errorf("a function of another library was changed from outside: %+v", again)
	}
	if again, _ := newest.Function("fhir.lab"); again.Reads[0] != "Observation" ||
		again.Options[0].Sets[0] != vocab.KindObservation {
		t.Errorf("a function of the library was changed from outside: %+v", again)
	}
}

// TestNothingIsForgotten holds that a description which leaves out what others
// rely on makes no library.
func TestNothingIsForgotten(t *testing.T) {
	duration := Option{Name: "span", Kind: KindDuration, Doc: "d"}
	for _, tt := range []struct {
		change func(*Function)
		want   string
	}{
		{func(*Function) {}, ""},
		{func(f *Function) { f.Reads, f.Attributes = None(), None() }, ""},
		{func(f *Function) { f.Reads = nil }, "Reads and Attributes must say"},
		{func(f *Function) { f.Attributes = nil }, "Reads and Attributes must say"},
		{func(f *Function) { f.Reads = None() }, "attributes of what it does not read"},
		{func(f *Function) { f.Reads = []string{"observation"} }, `"observation" is not a FHIR resource type`},
		{func(f *Function) { f.Attributes = []string{"weight"} }, `"weight" is not a source attribute`},
		{func(f *Function) { f.Name = "http.send" }, "the name must be"},
		{func(f *Function) { f.Name = "fhir.Lab" }, "the name must be"},
		{func(f *Function) { f.Doc = "" }, "Doc is missing"},
		{func(f *Function) { f.Run = nil }, "Run is missing"},
		{func(f *Function) { f.Result = "" }, `no type "" of a result`},
		{func(f *Function) { f.Result = "number of facts" }, "of a result"},
		{func(f *Function) { f.Args = []Argument{{"x", ""}} }, `argument "x"`},
		{func(f *Function) { f.Args = []Argument{{"", typeFact}} }, `argument ""`},
		{func(f *Function) { f.Options = append(f.Options, duration, duration) }, "is there twice"},
		{func(f *Function) { f.Options = []Option{{Name: "Span", Kind: KindDuration, Doc: "d"}} },
			"must be named by lower-case words"},
		{func(f *Function) { f.Options = []Option{{Name: "span", Kind: KindDuration}} }, "lacks Doc"},
		{func(f *Function) { f.Options = []Option{{Name: "span", Doc: "d"}} }, `has no kind ""`},
		{func(f *Function) { f.Options = []Option{{Name: "by", Kind: KindEnum, Doc: "d"}} }, "must have words"},
		{func(f *Function) { f.Options = []Option{{Name: "by", Kind: KindText, Words: []string{"x"}, Doc: "d"}} },
			"must have words"},
		{func(f *Function) { f.Options = []Option{{Name: "set", Kind: KindSet, Doc: "d"}} },
			"which kinds of value sets"},
		{func(f *Function) { f.Options[0].Param = true }, "cannot be a parameter"},
		{func(f *Function) { f.Options[1].Default = true }, "cannot have a default"},
		{func(f *Function) { f.Options[0].Needs = "unit" }, "goes with one that does not come before it"},
		{func(f *Function) { f.Options = slices.Repeat([]Option{duration}, maxOptions+1) },
			fmt.Sprintf("more than %d options", maxOptions)},
	} {
		f, _ := Newest().Function("fhir.lab")
		tt.change(&f)
		l, err := Newest().With("1.2.0", f)
		switch {
		case tt.want == "" && err != nil:
			t.Error(err)
		case tt.want != "" && (err == nil || l != nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	for version, want := range map[string]string{"1.1.0": "one version has one content", "2": "semantic",
		"": "semantic", "v2.0.0": "semantic"} {
		if _, err := Newest().With(version); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version %q: %v, want %q", version, err, want)
		}
	}
	f, _ := Newest().Function("fhir.lab")
	if _, err := newLibrary("1.2.0", standardBounds, []Function{f, f}); err == nil ||
		!strings.Contains(err.Error(), "is there twice") {
		t.Errorf("one function twice: %v", err)
	}
}

// inquiries ask functions in such a way that they look into all that they may look
// into. What is not here is asked as in its example.
var inquiries = map[string][]string{
	"fact.all": {`[{"fact":0}]`}, "fact.any": {`[{"fact":0}]`}, "fact.negate": {`{"fact":0}`},
	"fact.count_at_least": {`1`, `[{"fact":0}]`},
	"fact.named":          {`"x"`, `{"fact":0}`}, "fact.less": {`{"value":0}`, `1`},
	"fact.less_equal": {`{"value":0}`, `1`}, "fact.greater": {`{"value":0}`, `1`},
	"fact.greater_equal": {`{"value":0}`, `1`}, "fact.within": {`{"value":0}`, `1`, `2`},
	"fact.lacking": {`{"value":0}`}, "fact.is": {`{"fact":0}`, `"true"`},
	"fhir.order": {}, "fhir.order_in": {`{"set":"nsaid"}`}, "fhir.topical": {`{"order":0}`},
	"fhir.remove": {`{"order":0}`},
	"fhir.age":    {`{"unit":"a"}`}, "fhir.egfr": {`{"max_age":"P1Y"}`},
	"fhir.lab":                    {`{"set":"nsaid","unit":"mg/dL","max_age":"P1Y"}`},
	"fhir.takes":                  {`{"set":"warfarin","systemic":true,"other_ingredient":true}`},
	"fhir.condition":              {`{"set":"upper_gi_bleed"}`},
	"fhir.procedure":              {`{"set":"upper_gi_bleed"}`},
	"fhir.renal_replacement":      {`{"within":"P14D"}`},
	"fhir.pregnancy_status":       {`{"status":"pregnant","negative_within":"P7D"}`},
	"fhir.childbearing_potential": {`{"min_age":"P12Y","max_age":"P50Y","ended_by":"upper_gi_bleed"}`},
	"fhir.encounter":              {`{"class":"inpatient"}`},
	"fhir.location":               {`{"kind":"intensive-care"}`},
	"fhir.immunizations":          {`{"set":"upper_gi_bleed","min_age":"P1Y"}`},
	"fhir.text":                   {`"{d} {v} {f}"`, `{"d":{"order":0},"v":{"value":0},"f":{"fact":0}}`},
	"fhir.request_service":        {`{"system":"s","code":"c","display":"d","label":"l"}`},
	"fhir.propose_medication":     {`{"system":"s","code":"c","display":"d","label":"l"}`},
	"param":                       {`"given"`},
}

// inquire adds an inquiry of a function. Each file of tests says so for the functions
// it is about: var _ = inquire("fhir.x", `{"set":"nsaid"}`).
func inquire(name string, args ...string) bool {
	inquiries[name] = args
	return true
}

// TestReadsAreObserved holds that what functions say they look into is exactly
// what they are seen to look into. That they look into no more holds at every
// call, so the golden cases hold it, too.
func TestReadsAreObserved(t *testing.T) {
	source := bundle(person("1956-01-15", "other"), labResult("scr", "2160-0", "2026-02-01", quantity("2.5", "mg/dL")))
	drafts := bundle(med("MedicationRequest", "d", "197806", `,"status":"draft"`))
	for _, f := range Newest().Functions() {
		args, ok := inquiries[f.Name]
		var a asked
		if g := examples[f.Name].golden; !ok && g.ask != "" {
			if a = g.session(t); strings.HasPrefix(a.answer(g.ask), "error") {
				t.Errorf("the example of %s is an error", f.Name)
			}
		} else {
			a = ask(t, drafts, source)
			a.pack = &Pack{library: a.pack.library, sets: a.pack.sets,
				params: map[string]*ast.Term{"given": ast.BooleanTerm(true)}}
			a.fact("fhir.order_in", `{"set":"nsaid"}`)
			for _, made := range [][]string{{"fhir.age", `{"unit":"a"}`}, {"fhir.today"}} {
				if _, err := a.call(made[0], made[1:]...); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := a.call(f.Name, args...); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
		}
		reads := f.types(func(int) string { return "Observation" }) // where the call names one
		if got, want := each(a.chart.types), each(reads); got != want {
			t.Errorf("%s says that it reads %q and reads %q", f.Name, want, got)
		}
		if got, want := each(a.chart.attributes), each(f.Attributes); got != want {
			t.Errorf("%s says that it depends on %q and depends on %q", f.Name, want, got)
		}
	}
}

// each lists words in order, each once.
func each(words []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(words))), " ")
}

// TestStray holds that a call which looks into more than its function says
// fails, and names no more than types.
func TestStray(t *testing.T) {
	for name, change := range map[string]func(*Function){
		"it looked into Patient": func(f *Function) { f.Reads = []string{"Observation"} },
		"it depends on the source attribute sex": func(f *Function) {
			f.Attributes = []string{"age", "health_status"}
		},
		"it depends on the source attribute age": func(f *Function) {
			f.Attributes = []string{"sex", "health_status"}
		},
		"it looked into Observation":               func(f *Function) { f.Reads = []string{"Patient"} },
		"it depends on the source attribute healt": func(f *Function) { f.Attributes = []string{"sex", "age"} },
	} {
		f, _ := Newest().Function("fhir.egfr")
		change(&f)
		l, err := Newest().With("1.2.0", f)
		if err != nil {
			t.Fatal(err)
		}
		a := ask(t, "", bundle(person("1956-01-15", "male"),
			labResult("scr", "2160-0", "2026-02-01", quantity("2.5", "mg/dL"))))
		a.Ask(&Pack{library: l, sets: a.pack.sets}, nil)
		if _, err := a.call("fhir.egfr", `{"max_age":"P1Y"}`); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// rulePack is a pack of one rule whose holds is an expression, in Rego.
func rulePack(name, library, holds string) *rulepacks.Pack {
	return &rulepacks.Pack{
		Manifest: manifest.Manifest{Name: name, Version: "1.0.0", Library: library, Parameters: manifest.Parameters{
			{Name: "days", Type: "string", Format: "duration", Default: []byte(`"P90D"`)},
			{Name: "free", Type: "string", Default: []byte(`"P90D"`)},
			{Name: "limit", Type: "number", Default: []byte(`5`)},
			{Name: "nothing", Type: "string", Format: "duration", Default: []byte(`"P0D"`)},
			{Name: "start", Type: "string", Enum: []jsontext.Value{[]byte(`"start"`)}, Default: []byte(`"start"`)},
			{Name: "units", Type: "string", Enum: []jsontext.Value{[]byte(`"mmol/L"`), []byte(`"mmol"`)},
				Default: []byte(`"mmol/L"`)},
			{Name: "yes", Type: "boolean", Default: []byte(`true`)},
		}},
		ValueSets: []*vocab.ValueSet{
			{ID: "bleed", Kind: vocab.KindCondition}, {ID: "potassium", Kind: vocab.KindObservation},
			{ID: "warfarin", Kind: vocab.KindMedication},
		},
		Rules: []packfile.File{{Name: "rules/r.rego", Data: []byte(`# METADATA
# scope: package
# title: A rule
# custom:
#   id: r
#   hooks: [order-sign]
#   trigger: {order: warfarin}
#   severity: info
#   unknown: silent
package packs.` + name + `.r

holds := ` + holds + `

card := {"summary": "x"}
`)}},
	}
}

// holds evaluates the rule of a rulePack.
func (c *Code) holds(ctx context.Context, s *Session, pack *Pack) (*fact.Fact, error) {
	qc := c.Compiler.QueryCompiler()
	body, err := qc.Compile(ast.MustParseBody(string(Answer) + " = data." + c.Rules[0].Package + ".holds"))
	if err != nil {
		return nil, err
	}
	store := inmem.New()
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, err
	}
	s.Ask(pack, nil)
	answer, err := s.Run(ctx, topdown.NewQuery(body).WithQueryCompiler(qc).WithCompiler(c.Compiler).WithStore(store).
		WithTransaction(txn).
		WithBuiltins(s.Functions()).WithStrictBuiltinErrors(true).WithVirtualCache(s.Answers()).WithTime(s.Now()), nil)
	if err != nil {
		return nil, err
	}
	return s.Fact(answer)
}

// TestTwoLibraries asks packs of two libraries about one chart, in turn and in
// several sessions at once: each is answered by its own.
func TestTwoLibraries(t *testing.T) {
	changed, _ := Newest().Function("fhir.egfr")
	computed := changed.Run
	changed.Run = func(s *Session, c *Call) (*ast.Term, error) { // never above 20
		t, err := computed(s, c)
		if err != nil {
			return nil, err
		}
		v, err := s.value(t)
		if err != nil {
			return nil, err
		}
		v.Low, v.High = dec("20"), dec("20")
		s.lib.egfrs[c.duration("max_age")] = v
		return t, nil
	}
	added, _ := Newest().Function("fact.negate")
	added.Name = "fact.opposite"
	second, err := Newest().With("2.0.0", changed, added)
	if err != nil {
		t.Fatal(err)
	}
	if second.Major() != "2" || len(second.Functions()) != len(Newest().Functions())+1 {
		t.Errorf("library %s of %d functions", second.Version(), len(second.Functions()))
	}
	if has := func(l *Library) bool {
		return slices.ContainsFunc(l.Capabilities().Builtins,
			func(b *ast.Builtin) bool { return b.Name == "fact.opposite" })
	}; has(Newest()) || !has(second) {
		t.Error("the added function is not in its library's capabilities alone")
	}
	read := func(l *Library, holds string) (*Code, *Pack) {
		code, err := l.ReadCode(rulePack("p"+l.Major(), l.Major(), holds))
		if err != nil {
			t.Fatal(err)
		}
		pack, err := code.Bind(nil)
		if err != nil {
			t.Fatal(err)
		}
		return code, pack
	}
	if _, err := Newest().ReadCode(rulePack("p1", "1",
		`fact.opposite(fact.less(fhir.egfr({"max_age": "P1Y"}), 25))`)); err == nil ||
		!strings.Contains(err.Error(), "rules/r.rego:12: undefined function fact.opposite") {
		t.Errorf("a function of another library: %v", err)
	}
	oldCode, oldPack := read(Newest(), `fact.less(fhir.egfr({"max_age": "P1Y"}), 25)`)
	newCode, newPack := read(second, `fact.opposite(fact.less(fhir.egfr({"max_age": "P1Y"}), 25))`)

	both := func(s *Session) {
		for range 2 {
			if f, err := oldCode.holds(t.Context(), s, oldPack); err != nil || f.State != fact.False ||
				f.Op != "fact.less" {
				t.Errorf("library %s answers %+v, %v", Newest().Version(), f, err)
			}
			if f, err := newCode.holds(t.Context(), s, newPack); err != nil || f.State != fact.False ||
				f.Op != "fact.opposite" || f.Of[0].State != fact.True {
				t.Errorf("library %s answers %+v, %v", second.Version(), f, err)
			}
		}
	}
	var sessions Sessions
	var wg sync.WaitGroup
	for range 4 {
		// 27.0
		c := ask(t, "", bundle(person("1956-01-15", "male"),
			labResult("scr", "2160-0", "2026-02-01", quantity("2.5", "mg/dL")))).chart.of
		wg.Go(func() {
			for range 20 {
				s := sessions.Start(c, "en")
				both(s)
				sessions.End(s)
			}
		})
	}
	wg.Wait()

	alone := ask(t, "", bundle(person("1956-01-15", "male"),
		labResult("scr", "2160-0", "2026-02-01", quantity("2.5", "mg/dL")))).Session
	both(alone)
	new(Sessions).End(alone)
	if len(alone.libs) != 2 || alone.lib != nil || alone.Functions() != nil {
		t.Errorf("a session that ended has %d libraries, and is turned to %v", len(alone.libs), alone.lib)
	}
	for l, b := range alone.libs {
		if len(b.egfrs) != 0 {
			t.Errorf("library %s still knows an eGFR", l.Version())
		}
	}
}
