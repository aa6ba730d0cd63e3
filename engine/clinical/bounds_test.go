package clinical

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/precept-cds/precept/engine/fact"
)

// TestEveryBuiltinHasACost holds that whatever rules may call is of the library, has
// a declared cost, or is unification; that compiled code calls nothing but these;
// and that a declared cost is of a built-in that there is.
func TestEveryBuiltinHasACost(t *testing.T) {
	offered := map[string]bool{}
	for _, b := range Newest().Capabilities().Builtins {
		offered[b.Name] = true
		unifies := slices.Contains([]string{"eq", "assign"}, b.Name)
		if Newest().byName[b.Name] == nil && (costs[b.Name] == nil) != unifies {
			t.Errorf("%s is offered without a cost", b.Name)
		}
	}
	for name := range costs {
		if !offered[name] || topdown.GetBuiltin(name) == nil && costs[name] != nil {
			t.Errorf("%s has a cost, and there is none", name)
		}
	}
	code, err := Newest().ReadCode(rulePack("p1", "1", `fact.all([f |
	some a in [1, 2]
	every b in [a] { b > 0; not b in {count([x | x := a * 2; x != 7])}; (a == b) != false }
	f := fact.less(fhir.egfr({"max_age": "P1Y"}), min([a + 1, abs(-25)]))
])`))
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{}
	for _, m := range code.Compiler.Modules {
		ast.WalkExprs(m, func(x *ast.Expr) bool {
			if x.IsCall() {
				called[x.Operator().String()] = true
			}
			return false
		})
	}
	for name := range called {
		bounded := strings.HasPrefix(name, "bounded:") && builtins[strings.TrimPrefix(name, "bounded:")] != nil
		if Newest().byName[name] == nil && name != "eq" && !bounded {
			t.Errorf("%s is called as it is", name)
		}
	}
	for _, name := range []string{"bounded:gt", "bounded:equal", "bounded:mul", "bounded:count",
		"bounded:internal.member_2", "fact.less"} {
		if !called[name] {
			t.Errorf("%s is not called in %v", name, called)
		}
	}
}

// TestSameQuestion holds that a question asked again at the same place is the same
// fact and counts once, however often an evaluator asks it; and that something which
// only looks like an earlier argument is not taken for it.
func TestSameQuestion(t *testing.T) {
	s := ask(t, "", bundle(person("1956-01-15", "male"))).Session
	code, err := Newest().ReadCode(rulePack("p1", "1", `fact.all([f |
	some i in [1, 2, 3]; some j in [1, 2, 3]
	f := fact.greater(fhir.age({"unit": "a"}), i)
])`))
	if err != nil {
		t.Fatal(err)
	}
	pack, err := code.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := code.holds(t.Context(), s, pack)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Of) != 9 || f.Of[0] != f.Of[1] || f.Of[0] == f.Of[3] {
		t.Errorf("facts of %+v", f)
	}
	// An age, three comparisons and one fact of all.
	if u := s.Used(); u.Calls != 5 || u.Facts != 5 {
		t.Errorf("used %+v", u)
	}

	written := ast.MustParseTerm(`{"fact": 0}`)
	looks := maxLooks
	if alike(written, factHandles.ready[0], &looks) || alike(ast.ArrayTerm(written), ast.ArrayTerm(factHandles.ready[0]),
		&looks) || alike(ast.MustParseTerm(`{"x": {"fact": 0}}`), ast.ObjectTerm(ast.Item(ast.StringTerm("x"),
		factHandles.ready[0])), &looks) {
		t.Error("what looks like a handle was taken for it")
	}
	a, b := ast.NumberTerm("1"), ast.NumberTerm("1")
	for range 40 {
		a, b = ast.ArrayTerm(a, a), ast.ArrayTerm(b, b)
	}
	if looks = maxLooks; alike(a, b, &looks) {
		t.Error("two values were compared to their end")
	}
}

// TestSizes holds the sizes of values, and that measuring stops at the bounds.
func TestSizes(t *testing.T) {
	bounds := standardBounds
	if bounds.Facts > fact.MaxNodes {
		t.Errorf("a pair may make %d facts, and a finding be written with %d", bounds.Facts, fact.MaxNodes)
	}
	for text, want := range map[string]int{
		`1`: 1, `"x"`: 1, `"0123456789abcdef"`: 2, `[]`: 1, `[1, [2]]`: 4, `{"a": 1, "b": {2}}`: 6, `null`: 1, `true`: 1,
		`12345678901234567890`: 2,
	} {
		m := meter{bounds: &bounds}
		if got := m.term(ast.MustParseTerm(text)); got != want || m.over != "" || m.parts != want {
			t.Errorf("%s has %d parts, want %d; %q", text, got, want, m.over)
		}
	}
	for n, want := range map[ast.Number]int{"1": 1, "-12.5": 5, "1e3": 4, "1E-30": 31,
		"1e999999999999999999999": maxDigits} {
		if got := digits(n); got != want {
			t.Errorf("%s has %d digits, want %d", n, got, want)
		}
	}
	shared := ast.StringTerm("x")
	for range 60 {
		shared = ast.ObjectTerm(ast.Item(ast.StringTerm("a"), shared), ast.Item(ast.StringTerm("b"), shared))
	}
	m := meter{bounds: &bounds}
	if got := m.term(shared); m.over != "value" || got > bounds.Value+1 {
		t.Errorf("measured %d parts, %q", got, m.over)
	}
	if err := m.exceed(&Session{}, "rules/r.rego:7"); !errors.As(err, new(*LimitError)) ||
		err.Error() != fmt.Sprintf(`more than %d parts of one value: this is the bound "value" of the clinical library`,
			bounds.Value) {
		t.Errorf("%v", err)
	}
}

// TestBoundsOfPairsAreDocumented holds that docs/packs.md has every bound and its number.
func TestBoundsOfPairsAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../docs/packs.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.Contains(cells[1], "`") {
			names, numbers := strings.Split(cells[1], ","), strings.Split(cells[2], ",")
			for i, name := range names[:min(len(names), len(numbers))] {
				documented[strings.Trim(name, " `")] = strings.TrimSpace(numbers[i])
			}
		}
	}
	v := reflect.ValueOf(standardBounds)
	for i := range v.NumField() {
		name := strings.ToLower(v.Type().Field(i).Name)
		if want := fmt.Sprint(v.Field(i)); name != "evidence" && documented[name] != want {
			t.Errorf("%s is %q in docs/packs.md, and %s", name, documented[name], want)
		}
	}
}
