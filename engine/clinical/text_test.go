package clinical

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/feature/plural"

	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

func TestPlain(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"warfarin 5 mg (oral)", "warfarin 5 mg (oral)"},
		{strings.Repeat("very long ", 20), strings.Repeat("very long ", 8) + "v…"},
		{strings.Repeat("a", 79) + " b c", strings.Repeat("a", 79) + " b…"},
		{" a  b ", "a b"},
		{"a\r\n\tb", "a b"},
		{"a\u00a0b\u2028c", "a b c"},
		{"<script>alert(1)</script>", "‹script›alert(1)‹/script›"},
		{"[x](javascript:1)", "(x)(javascript:1)"},
		{"![img](http://a)", "·(img)(http:/∕a)"},
		{"https://evil.example/a//b", "https:/∕evil.example/a/∕b"},
		{"HTTP://evil.example", "HTTP:/∕evil.example"},
		{"ftp:\u200b/\u200b/evil.example", "ftp:/∕evil.example"},
		{"//evil.example", "/∕evil.example"},
		{"\\\\evil|/x", "/∕evil/∕x"},
		{"(www.evil.example", "(www․evil.example"},
		{"wWw.evil.example", "wWw․evil.example"},
		{"w\u200bww.evil.example", "www․evil.example"},
		{"mailto:a@evil.example", "mailto∶a＠evil.example"},
		{"MailTo:x, xmpp:y", "MailTo∶x, xmpp∶y"},
		{"a.b+c@evil.example", "a.b+c＠evil.example"},
		{"5 mg/mL, 10:30, ww.a, Inj. 0.5", "5 mg/mL, 10:30, ww.a, Inj. 0.5"},
		{"**bold** _it_ ~~no~~ # h", "··bold·· ·it· ··no·· · h"},
		{"`code` \"q\" | \\ {x} & y", "'code' 'q' / / (x) + y"},
		{"a\u202eb\u200bc\ufeffd\x00e\x1b[31m", "abcde(31m"},
		{"a\ufffdb\xffc", "abc"},
		{"µg", "µg"},
		{strings.Repeat("é", 80), strings.Repeat("é", 80)},
		{strings.Repeat("é", 81), strings.Repeat("é", 80) + "…"},
		{strings.Repeat("a", 80), strings.Repeat("a", 80)},
		{strings.Repeat("a", 81), strings.Repeat("a", 80) + "…"},
		{strings.Repeat("a", 80) + " ", strings.Repeat("a", 80) + "…"},
	} {
		if got := Plain(tt.in); got != tt.want {
			t.Errorf("Plain(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range []string{"warfarin", " a  b ", "<b>&\x00\u202e", "\xff\xfe", "[a](b) {c}", "https://a", "www.a",
		"mailto:a@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Plain(s)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "<>[]{}`\"|\\*_~#!&@\n\r\t") ||
			strings.Contains(got, "//") || strings.Contains(strings.ToLower(got), "www.") ||
			utf8.RuneCountInString(got) > maxName+2 {
			t.Errorf("Plain(%q) = %q", s, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Errorf("Plain(%q) keeps %U", s, r)
			}
		}
		if isPlain(s) && got != s || isPlain(got) && Plain(got) != got {
			t.Errorf("Plain(%q) = %q is not stable", s, got)
		}
	})
}

func TestText(t *testing.T) {
	hostile := `{"resourceType":"MedicationRequest","id":"d","status":"draft","medicationCodeableConcept":{"coding":[{` + rxnorm + `,"code":"197806"}],"text":"<b>ibu</b>\n[x](y)"}}`
	a := ask(t, bundle(hostile), bundle(person("1956-01-15", "male"),
		labResult("gfr", "98979-8", "2026-02-01", quantity("44", "mL/min/{1.73_m2}"))))
	a.value("fhir.egfr", `{"max_age":"P1Y"}`)
	a.fact("fhir.order_in", `{"set":"nsaid"}`)
	got, err := a.call("fhir.text", `"{d}; {v}; {f}; {s}; {n}"`,
		`{"d":{"order":0},"v":{"value":0},"f":{"fact":0},"s":"as the <pack> wrote","n":1.50}`)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"‹b›ibu‹/b› (x)(y); 44 mL/min/1.73 m²; ‹b›ibu‹/b› (x)(y); as the <pack> wrote; 1.50"`; got.String() != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, with := range []string{`{}`, `{"d":true}`, `{"d":null}`, `{"d":[1]}`, `{"d":{"fact":7}}`} {
		if _, err := a.call("fhir.text", `"{d}"`, with); err == nil {
			t.Errorf("%s was accepted", with)
		}
	}
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// TestCoreTexts checks every language against the English texts that the
// library, the chart and the engine say, as their source has them.
func TestCoreTexts(t *testing.T) {
	used := map[string]bool{}
	for _, folder := range []string{".", "../decide", "../chart", "../fact"} {
		spoken(t, folder, used)
	}
	for _, a := range []units.Analyte{units.EGFR, units.Creatinine, units.Weight, units.Height, units.BMI, units.HeartRate,
		units.QT, units.QTc} {
		used[string(a)] = true
	}
	used["adult equation"], used["equation for children"] = true, true
	for _, texts := range []map[fact.Code]string{reasonTexts, remedyTexts} {
		for _, text := range texts {
			used[text] = true
		}
	}
	for language, texts := range coreCounts {
		for english := range used {
			if strings.Contains(english, "{n}") && texts[english] == nil {
				t.Errorf("%s lacks %q", language, english)
			}
		}
		for english, forms := range texts {
			if !used[english] || forms[plural.Other] == "" {
				t.Errorf("%s has %q, which nobody says, or not for many", language, english)
			}
			for form, text := range forms {
				for _, name := range placeholder.FindAllString(english, -1) {
					if name != "{n}" && !strings.Contains(text, name) || name == "{n}" && form == plural.Other &&
						!strings.Contains(text, name) {
						t.Errorf("%s: %q lacks %s", language, text, name)
					}
				}
			}
		}
	}
	maps.DeleteFunc(used, func(text string, _ bool) bool { return strings.Contains(text, "{n}") })
	for language, texts := range coreTexts {
		for english := range used {
			if texts[english] == "" {
				t.Errorf("%s lacks %q", language, english)
			}
		}
		for english, translated := range texts {
			if !used[english] {
				t.Errorf("%s has %q, which nobody says", language, english)
			}
			want, have := placeholder.FindAllString(english, -1), placeholder.FindAllString(translated, -1)
			slices.Sort(want)
			slices.Sort(have)
			if !slices.Equal(want, have) {
				t.Errorf("%s: %q has %v, %q has %v", language, english, want, translated, have)
			}
		}
	}
}

// TestReasonsHaveTexts holds that every reason code, as the source has them, is said
// in a sentence, with what would mend it, in every language.
func TestReasonsHaveTexts(t *testing.T) {
	src, err := os.ReadFile("../fact/fact.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\t[A-Z]\w+ +Code = "([a-z-]+)"`).FindAllStringSubmatch(string(src), -1)
	if len(found) < 16 {
		t.Fatalf("%d codes: fix the pattern of this test", len(found))
	}
	for _, m := range found {
		r := fact.Reason{Code: fact.Code(m[1]), What: "medication"}
		said := map[string]bool{}
		for _, language := range []string{"en", "de"} {
			reason, remedy := ReasonText(language, r), RemedyText(language, r)
			noun := CoreText(language, r.What)
			if !strings.Contains(reason, noun) || !strings.Contains(remedy, noun) || !strings.HasSuffix(remedy, ".") {
				t.Errorf("%s, %s: %q, mended by %q", m[1], language, reason, remedy)
			}
			if said[reason] || said[remedy] {
				t.Errorf("%s is not said in %s", m[1], language)
			}
			said[reason], said[remedy] = true, true
		}
	}
}

// saying are the functions that are given a text, and as which argument.
var saying = map[string]int{"CoreText": 1, "say": 0, "count": 2, "CoreCount": 3, "unknown": 1, "newest": 0, "open": 1,
	"overlaps": 1, "dated": 0}

// spoken collects the texts that the source of a package passes to CoreText and
// say, and the nouns of its reasons.
func spoken(t *testing.T, folder string, used map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", folder, err)
	}
	note := func(x ast.Expr) {
		if lit, ok := x.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			used[text] = true
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if at, ok := saying[called(n)]; ok && len(n.Args) > at {
					note(n.Args[at])
				}
			case *ast.CompositeLit:
				if id, ok := n.Type.(*ast.SelectorExpr); ok && id.Sel.Name == "Evidence" {
					return false
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "What" {
					note(n.Value)
				}
			case *ast.FuncDecl:
				if n.Name.Name == "nounOf" {
					ast.Inspect(n.Body, func(n ast.Node) bool {
						if r, ok := n.(*ast.ReturnStmt); ok {
							note(r.Results[0])
						}
						return true
					})
				}
			}
			return true
		})
	}
	if folder == "." {
		for _, r := range overrideReasons {
			used[r.Display] = true
		}
	}
}

func called(n *ast.CallExpr) string {
	switch f := n.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func TestReasonText(t *testing.T) {
	for _, tt := range []struct {
		language, want string
		r              fact.Reason
	}{
		{"en", "no eGFR on record", fact.Reason{Code: fact.NoData, What: "eGFR"}},
		{"de", "Medikation vom KIS nicht geliefert", fact.Reason{Code: fact.NotSupplied, What: "medications"}},
		{"de", "Datum von eGFR nicht genau genug", fact.Reason{Code: fact.PrecisionInsufficient, What: "date of eGFR"}},
		// no such language: English
		{"fr", "last creatinine is too old", fact.Reason{Code: fact.Stale, What: "creatinine"}},
		{"de", "kein Wert der Einrichtung nicht dokumentiert",
			fact.Reason{Code: fact.NoData, What: "kein Wert der Einrichtung"}},
	} {
		if got := ReasonText(tt.language, tt.r); got != tt.want {
			t.Errorf("%v in %s: %q, want %q", tt.r, tt.language, got, tt.want)
		}
	}
	for _, code := range []fact.Code{fact.NotSupplied, fact.FetchFailed, fact.PartialResult, fact.Suppressed,
		fact.NoData, fact.Stale, fact.WrongStatus,
		fact.TextOnly, fact.UnitUnconvertible, fact.UnparseableDose, fact.UnresolvedReference, fact.Ambiguous,
		fact.Implausible, fact.PrecisionInsufficient, fact.Masked, fact.NotApplicable} {
		if reasonTexts[code] == "" {
			t.Errorf("no text for %s", code)
		}
	}
}

// TestSuggestions compares what a suggestion creates with a slower way to say
// the same: members that are empty dropped, the others by name, strings short.
func TestSuggestions(t *testing.T) {
	a := ask(t, "", bundle())
	for _, options := range []string{
		`{"system":"http://loinc.org","code":"2160-0","display":"Creatinine","label":"Order creatinine"}`,
		`{"system":"urn:x","code":"<&>","display":"a \"b\" \u2028 ü \\ </script>","label":"x"}`,
	} {
		for kind, f := range map[string]string{"ServiceRequest": "fhir.request_service",
			"MedicationRequest": "fhir.propose_medication"} {
			got, err := a.call(f, options)
			if err != nil {
				t.Fatal(err)
			}
			s, err := a.Suggestion(got)
			if err != nil || s.Action != "create" {
				t.Fatal(s, err)
			}
			var members map[string]jsontext.Value
			if err := jsonv2.Unmarshal(s.Resource, &members); err != nil {
				t.Fatal(err)
			}
			if string(members["resourceType"]) != strconv.Quote(kind) ||
				string(members["subject"]) != `{"reference":"Patient/p1"}` {
				t.Errorf("%s: %s", kind, s.Resource)
			}
			for name, v := range members {
				if string(v) == "{}" || string(v) == "[]" || string(v) == `""` {
					t.Errorf("%s is empty", name)
				}
			}
			again, err := jsonv2.Marshal(members, jsonv2.Deterministic(true))
			if err != nil || string(again) != string(s.Resource) || !json.Valid(s.Resource) {
				t.Errorf("%s is not tidy: %s, %v", s.Resource, again, err)
			}
		}
	}
	if got, err := tidy([]byte(`{}`)); err != nil || string(got) != "{}" {
		t.Errorf("tidy of nothing: %s, %v", got, err)
	}
}
