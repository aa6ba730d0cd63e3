package clinical

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// boundsPack is a pack of one rule with more definitions in its file, and of other
// files.
func boundsPack(t testing.TB, more string, files map[string]string) *rulepacks.Pack {
	t.Helper()
	fsys := fstest.MapFS{
		"pack.yaml": {Data: []byte(`name: bounds
version: "1.0.0"
title: Bounds
status: draft
publisher: {name: Heartland, contact: rules@heartland.example}
effective_period: {start: "2020-01-01", end: ""}
review_due: "2027-01-01"
library: "1"
terminology: {min: "2026.1", max: ""}
languages: [en]
sources:
  - {id: own, title: Made for a test, url: "https://heartland.example", date: "2026-01-01", strength: none}
`)},
		"README.md":       {Data: []byte("# Bounds\n")},
		"NOTICE":          {Data: []byte("No copyright.\n")},
		"rules/main.rego": {Data: []byte(ruleHead("main") + more)},
	}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	pack, err := rulepacks.ReadFolder(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return pack
}

// ruleHead is a whole rule with an id, to which definitions can be added.
func ruleHead(id string) string {
	return fmt.Sprintf(`# METADATA
# scope: package
# title: Rule %[1]s
# custom:
#   id: %[1]s
#   hooks: [order-sign]
#   trigger: {patient: true}
#   severity: info
#   unknown: silent
package packs.bounds.%[2]s

age := fhir.age({"unit": "a"})

holds := fact.greater(age, 5)

card := {"summary": fhir.text("Age {age}", {"age": age})}

`, id, strings.ReplaceAll(id, "-", "_"))
}

func times(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i))
	}
	return b.String()
}

func nested(open, inner, end string, n int) string {
	return "x := " + strings.Repeat(open, n) + inner + strings.Repeat(end, n) + "\n"
}

// doubling are definitions each of which holds the one before twice.
func doubling(name string, n int, line string) string {
	return times(n, func(i int) string {
		old, next := fmt.Sprintf("%s%d", name, i), fmt.Sprintf("%s%d", name, i+1)
		return strings.NewReplacer("NEW", next, "OLD", old).Replace(line)
	})
}

// Each is a kind of code that takes time or memory out of all proportion to its size:
// seconds, gigabytes, or for ever. It is refused with the place and the count, and at
// once; a little of the same is not.
func TestCodeOutOfProportion(t *testing.T) {
	lines := func(n int, format string) string {
		return times(n, func(i int) string { return fmt.Sprintf(format, i) })
	}
	for _, tt := range []struct {
		name string
		of   func(n int) string
		fine int
		bad  int
		want string
	}{
		{"types that double, compared", func(n int) string {
			return "l0 := 1\n" + doubling("l", n, "NEW := [OLD, OLD]\n") + "m0 := 1\n" +
				doubling("m", n, "NEW := [OLD, OLD]\n") + fmt.Sprintf("y if l%d == m%d\n", n, n)
		}, 8, 40, "steps to compare values"},
		{"types that double in objects", func(n int) string {
			return "l0 := 1\n" + doubling("l", n, "NEW := {\"a\": OLD, \"b\": OLD}\n") +
				fmt.Sprintf("y if l%[1]d == l%[1]d\n", n)
		}, 8, 30, "steps to compare values"},
		{"types that double through functions", func(n int) string {
			return "l0(x) := x\n" + doubling("l", n, "NEW(x) := [OLD(x), OLD(x)]\n") +
				fmt.Sprintf("y if l%[1]d(1) == l%[1]d(1)\n", n)
		}, 8, 30, "steps to compare values"},
		{"types that double in one body", func(n int) string {
			return "y if {\nv0 := 1\n" + doubling("v", n, "NEW := [OLD, OLD]\n") +
				fmt.Sprintf("count(v%d) > 0\n}\n", n)
		}, 8, 30, "steps to compare values"},
		{"types that double through else", func(n int) string {
			return "l0 := 1\n" + doubling("l", n, "NEW := OLD if { 1 == 2 } else := [OLD]\n") +
				fmt.Sprintf("y if l%[1]d == l%[1]d\n", n)
		}, 8, 30, "steps to compare values"},
		{"types that double through iteration", func(n int) string {
			return "l0 := [1]\n" + doubling("l", n, "NEW := [[v, v] | some v in OLD]\n") +
				fmt.Sprintf("y if l%[1]d == l%[1]d\n", n)
		}, 4, 30, "steps to compare values"},
		{"comprehensions within each other", func(n int) string { return nested("[y | y := ", "1", "]", n) }, 4, 20,
			"within each other"},
		{"heads of comprehensions", func(n int) string { return nested("{", "1", "| true}", n) },
			4, 20, "within each other"},
		{"every within every", func(n int) string {
			return "y if {" + lines(n, "every k%[1]d in [1] { k%[1]d == 1\n") + strings.Repeat("}", n) + "}\n"
		}, 4, 60, "within each other"},
		{"objects as keys of objects", func(n int) string { return nested("{", "1", ": 1}", n) },
			1, 40, "objects as keys"},
		{"deep brackets", func(n int) string { return nested("[", "1", "]", n) },
			15, 20_000, "brackets within brackets"},
		{"deep calls", func(n int) string { return nested("abs(", "1", ")", n) }, 80, 5000, "brackets within brackets"},
		{"brackets within a list", func(n int) string {
			return "x := [" + strings.Repeat("1, [", n) + strings.Repeat("]", n+1) + "\n"
		}, 15, 20_000, "brackets within brackets"},
		{"brackets behind a quote", func(n int) string {
			return "q := `\"`\np := \"\\\"\"\n" + nested("[", "1", "]", n)
		}, 15, 20_000, "brackets within brackets"},
		{"a long chain of operators", func(n int) string { return "x := 1" + strings.Repeat(" + 1", n) + "\n" },
			80, 5000, "terms within terms"},
		{"a long body", func(n int) string {
			return "y if {\n" + lines(n, "some a%[1]d in [1]\na%[1]d > 0\n") + "}\n"
		}, 150, 2000, "expressions and calls"},
		{"a chain of else", func(n int) string {
			return "x := 1 if { 1 == 2 }" + strings.Repeat(" else := 2 if { 1 == 3 }\n", n) + "\n"
		},
			80, 1000, "else branches"},
		{"a chain of definitions", func(n int) string { return "x0 := 1\n" + doubling("x", n, "NEW := OLD\n") },
			500, 4000, "rest on"},
		{"many who rest on many", func(n int) string {
			return lines(n, "x%d := 1\n") + lines(n, "y%d := s\n") + "s := [" + lines(n, "x%d, ") + "]\n"
		}, 200, 2000, "rest on"},
		{"references to all of many", func(n int) string {
			return lines(n, "x.q%d.r := 1\n") + lines(n, "y%d if x[_].r == 1\n")
		}, 200, 1500, "references of a pack may mean"},
		{"references to a whole package", func(n int) string {
			return lines(n, "x.q%d := 1\n") + lines(n, "y%d if x\n")
		}, 200, 1500, "references of a pack may mean"},
		{"definitions of one name", func(n int) string {
			return lines(n, "x contains {\"a%[1]d\": 1} if { age == %[1]d }\n")
		}, 300, 2000, "definitions of one name"},
		{"a large table", func(n int) string {
			return "x := [" + lines(n, "{\"a%d\": 1},") + "]\ny := x[_]\n"
		}, 500, 4000, "terms in one definition"},
		{"imports", func(n int) string { return lines(n, "import data.packs.bounds.a%d\n") },
			0, 5000, "imports of a file"},
		{"a long reference", func(n int) string { return "y(x) := x" + lines(n, ".a%d") + "\n" },
			30, 5000, "parts of one reference"},
		{"a long name", func(n int) string { return strings.Repeat("x", n) + " := 1\n" }, 200, 5000, "bytes of a name"},
		{"a long text", func(n int) string { return "x := \"" + strings.Repeat("x", n) + "\"\n" }, 30_000, 100_000,
			"bytes of one text"},
		{"many words", func(n int) string { return lines(n, "x%d := 1\n") }, 1000, 20_000, "words and signs in a file"},
		{"large metadata", func(n int) string {
			return "# METADATA\n# custom:\n" + lines(n, "#   a%d: 1\n") + "x := 1\n"
		}, 500, 5000, "block of comment lines"},
		{"metadata that grow", func(n int) string {
			return "# METADATA\n# custom:\n" + strings.Repeat("#   a: &a [1, 2]\n", n) + "x := 1\n"
		}, 0, 1, "anchor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Newest().ReadCode(boundsPack(t, tt.of(tt.fine), nil))
			for _, p := range readProblems(t, err) {
				if strings.Contains(p.Text, "at most") {
					t.Errorf("%d are refused: %s", tt.fine, p)
				}
			}
			began := time.Now()
			_, err = Newest().ReadCode(boundsPack(t, tt.of(tt.bad), nil))
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%d took %s", tt.bad, took)
			}
			found := readProblems(t, err)
			if len(found) == 0 || !strings.Contains(found.Error(), tt.want) {
				t.Fatalf("%d: %v, want a refusal because of %q", tt.bad, err, tt.want)
			}
			if p := found[0]; p.File != "rules/main.rego" {
				t.Errorf("the place is %s:%d", p.File, p.Line)
			}
		})
	}
}

func readProblems(t *testing.T, err error) Problems {
	t.Helper()
	if err == nil {
		return nil
	}
	found, ok := errors.AsType[Problems](err)
	if !ok {
		t.Fatalf("%v is not a list of problems", err)
	}
	return found
}

// A stranger's pack with a thousand mistakes must not make a report of megabytes.
func TestProblemsOfCodeAreBounded(t *testing.T) {
	long := strings.Repeat("a", 250)
	more := times(1000, func(i int) string { return fmt.Sprintf("x%d := input.%s\n", i, long) })
	_, err := Newest().ReadCode(boundsPack(t, more, nil))
	if found := readProblems(t, err); len(found) == 0 || len(found) > maxFound || len(err.Error()) > 100_000 {
		t.Errorf("%d problems in %d bytes", len(found), len(err.Error()))
	}
}

// Helpers that many rules share are counted for each of them: what is derived of a rule
// takes memory for every call it reaches.
func TestLibraryCallsReached(t *testing.T) {
	files := map[string]string{"rules/helpers.rego": "package packs.bounds.helpers\n\n" +
		times(40, func(i int) string {
			return fmt.Sprintf("h%d := [%s]\n", i, strings.Repeat("fhir.age({\"unit\": \"a\"}), ", 60))
		}) + "all := [" + times(40, func(i int) string { return fmt.Sprintf("h%d, ", i) }) + "]\n"}
	for i := range 250 {
		name := fmt.Sprintf("r%d", i)
		files["rules/"+name+".rego"] = ruleHead(name) + "used := data.packs.bounds.helpers.all\n"
	}
	_, err := Newest().ReadCode(boundsPack(t, "", files))
	if found := readProblems(t, err); len(found) == 0 || !strings.Contains(found.Error(), "library calls") {
		t.Errorf("600,000 calls are derived: %v", err)
	}
}

// The packs that come with Precept, and one of ten thousand rules, stay within half of
// every bound.
func TestBoundsHaveHeadroom(t *testing.T) {
	packs := []*rulepacks.Pack{embedded(t, "high_priority_ddi"), embedded(t, "nsaid_anticoagulant"),
		embedded(t, "renal_dosing"), tenThousand(t)}
	halve := map[*codeBound]int{}
	for _, b := range everyBound() {
		halve[b] = b.most
		b.most /= 2
	}
	defer func() {
		for b, most := range halve {
			b.most = most
		}
	}()
	for _, p := range packs {
		began := time.Now()
		code, err := Newest().ReadCode(p)
		if err != nil {
			t.Fatalf("%s: %.500s", p.Manifest.Name, err)
		}
		t.Logf("%s: %d rules read in %s", p.Manifest.Name, len(code.Rules), time.Since(began).Round(time.Millisecond))
	}
}

func everyBound() []*codeBound {
	return []*codeBound{&boundFiles, &boundFile, &boundBytes, &boundTokens, &boundAll, &boundBrackets, &boundWord,
		&boundText, &boundComment, &boundRegoRules, &boundSame, &boundImports, &boundPackage, &boundElse, &boundNodes,
		&boundExprs, &boundDepth, &boundClosures, &boundRef, &boundKeys, &boundMeant, &boundReach, &boundType, &boundUses}
}

// tenThousand is a pack of ten thousand rules that share a few helpers.
func tenThousand(t testing.TB) *rulepacks.Pack {
	files := map[string]string{"rules/helpers.rego": "package packs.bounds.helpers\n\n" +
		times(20, func(i int) string {
			return fmt.Sprintf("old%d := fact.greater(fhir.age({\"unit\": \"a\"}), %d)\n", i, i)
		})}
	for i := range 9_999 {
		files[fmt.Sprintf("rules/r%d.rego", i)] = ruleHead(fmt.Sprintf("r%d", i)) +
			fmt.Sprintf("more := fact.all([data.packs.bounds.helpers.old%d, fact.less(age, %d)])\n", i%20, 200+i)
	}
	return boundsPack(t, "", files)
}

// docs/packs.md names every bound with its number.
func TestBoundsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/packs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range everyBound() {
		row := fmt.Sprintf("| %s | %s | %s |", b.what, grouped(b.most), b.mend)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/packs.md lacks\n%s", row)
		}
	}
}

func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// FuzzScanFile holds that any bytes are counted, without going back, and that no bracket
// that the parser sees is hidden from the count.
func FuzzScanFile(f *testing.F) {
	for _, seed := range []string{ruleHead("main"), "package a\nx := $\"a{[1]}b\"\n",
		"package a\nx := $`a{ {\"}\": 1} }\n`\n",
		"package a\nx := \"\\\"[[[\"\ny := `\"[`\n# [[[\n", "package a\nx := {[({1})]}\n",
		"package a\nx := \"\n[[1]]\n",
		"package a\nx := $\"\\{[[{[[1]]}\"\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		s := &scanner{src: []byte(text), line: 1}
		for before := -1; s.at < len(s.src); {
			if s.at <= before {
				t.Fatalf("the scanner stands still at %d", s.at)
			}
			before = s.at
			s.token()
		}
		if want := scanFile(packfile.File{Data: []byte(text)}).words; s.counts.words != want || want > len(text) {
			t.Errorf("%d words in %d bytes", want, len(text))
		}
		m, err := ast.ParseModuleWithOpts("x", text, ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil || m == nil {
			return
		}
		deepest, depth := 0, 0
		bracketed := func(x any) bool {
			switch x.(type) {
			case *ast.Array, *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
				return true
			}
			return false
		}
		ast.NewBeforeAfterVisitor(func(x any) bool {
			if bracketed(x) {
				depth++
				deepest = max(deepest, depth)
			}
			return false
		}, func(x any) {
			if bracketed(x) {
				depth--
			}
		}).Walk(m)
		if s.counts.brackets < deepest {
			t.Errorf("%d brackets within brackets are counted as %d", deepest, s.counts.brackets)
		}
	})
}
