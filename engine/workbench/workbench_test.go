package workbench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

func referencePack(t *testing.T, name string) *rulepacks.Pack {
	t.Helper()
	p, err := rulepacks.ReadEmbedded(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReferencePacksHaveNoProblems(t *testing.T) {
	for _, name := range []string{"high_priority_ddi", "nsaid_anticoagulant", "renal_dosing", "terminology_core"} {
		for _, p := range Check(referencePack(t, name)) {
			if !p.Warning {
				t.Errorf("%s: %s", name, p)
			}
		}
	}
}

// changed makes the template pack with replacements in its files: file, old,
// new. An empty old replaces the file, or adds it.
func changed(t *testing.T, edits ...[3]string) *rulepacks.Pack {
	t.Helper()
	files, err := New("first_pack")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		i := slices.IndexFunc(files, func(f packfile.File) bool { return f.Name == e[0] })
		switch {
		case i < 0:
			files = append(files, packfile.File{Name: e[0], Data: []byte(e[2])})
		case e[1] == "":
			files[i].Data = []byte(e[2])
		case !bytes.Contains(files[i].Data, []byte(e[1])):
			t.Fatalf("%s does not hold %q", e[0], e[1])
		default:
			files[i].Data = bytes.ReplaceAll(files[i].Data, []byte(e[1]), []byte(e[2]))
		}
	}
	p, err := rulepacks.FromFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTemplateHasNoProblems(t *testing.T) {
	for _, p := range Check(changed(t)) {
		t.Error(p)
	}
	for _, bad := range []string{"", "A", "a-b", "../x", strings.Repeat("a", 64)} {
		if _, err := New(bad); err == nil {
			t.Errorf("the name %q is accepted", bad)
		}
	}
}

const rule = "rules/potassium_high.rego"

func TestCheck(t *testing.T) {
	long := strings.Repeat("x", 130) + " {drug} {potassium} " + strings.Repeat("y", 10)
	german := [3]string{"pack.yaml", "languages: [en]", "languages: [en, de]"}
	translation := func(text string) [3]string {
		return [3]string{"messages/de.json", "", `{"Check {drug}: potassium {potassium}": ` + text + `}`}
	}
	tests := []struct {
		name  string
		edits [][3]string
		want  string
	}{
		{"does not parse", [][3]string{{rule, "holds :=", "holds := :="}}, rule + ":21: unexpected assign token"},
		{"unknown function", [][3]string{{rule, "fact.greater", "fact.bigger"}},
			rule + ":21: undefined function fact.bigger"},
		{"http", [][3]string{{rule, "holds := fact.greater(potassium, 5)",
			`holds := http.send({"method": "get", "url": "x"})`}}, "undefined function http.send"},
		{"input", [][3]string{{rule, "fact.greater(potassium, 5)", "fact.greater(potassium, input.x)"}},
			rule + ":21: input is not available"},
		{"other pack", [][3]string{{rule, "fact.greater(potassium, 5)", "data.packs.other.holds"}},
			rule + ":21: data.packs.other.holds lies outside of the pack"},
		{"set is not literal", [][3]string{{rule, `"set": "potassium"`, `"set": concat("", ["potassium"])`}},
			rule + ":19: option \"set\" of fhir.lab must be a literal"},
		{"set is missing", [][3]string{{rule, `"set": "potassium"`, `"set": "sodium"`}},
			rule + `:19: value set "sodium" is not in the pack`},
		{"parameter is missing", [][3]string{{rule, `param("potassium_max_age")`, `param("age")`}},
			rule + `:19: parameter "age" is not declared`},
		{"trigger is missing", [][3]string{{rule, "{order: spironolactone}", "{order: digoxin}"}},
			rule + `:1: trigger names value set "digoxin"`},
		{"no title", [][3]string{{rule, "# title: Potassium is above the limit for spironolactone\n", ""}},
			rule + ":1: title is required"},
		{"unknown metadata", [][3]string{{rule, "#   unknown: info", "#   unknwon: info"}},
			rule + ":1: reading custom metadata"},
		{"no card", [][3]string{{rule, "card := {", "cart := {"}}, rule + ":1: a rule must define card"},
		{"supersedes nothing", [][3]string{{rule, "#   unknown: info", "#   unknown: info\n#   supersedes: [other]"}},
			rule + ":1: supersedes names first_pack/other"},
		{"no source", [][3]string{{rule,
			"# related_resources:\n# - ref: https://example.org\n#   description: Replace this by the source of your rule\n",
			""}}, rule + ":1: the rule names no source"},
		{"other library", [][3]string{{"pack.yaml", `library: "1"`, `library: "2"`}},
			"pack.yaml:29: the pack needs clinical library 2"},
		{"age is not declared", [][3]string{{rule, "fact.greater(potassium, 5)",
			`fact.all([fact.greater(potassium, 5), fact.less(fhir.age({"unit": "a"}), 90)])`}},
			`pack.yaml:26: source_attributes.age says "not used", but ` + rule + ":21 reads it"},
		{"sex is not declared", [][3]string{{rule, "fact.greater(potassium, 5)",
			`fact.less(fhir.egfr({"max_age": "P90D"}), 90)`}}, "source_attributes.sex says"},
		{"race is declared", [][3]string{{"pack.yaml", `race: "not used"`, `race: "used: because"`}},
			`pack.yaml:20: source_attributes.race says "used", but no rule reads it`},
		{"unused set", [][3]string{
			{rule, `fact.greater(potassium, 5)`, `fact.negate(fhir.order_in({"set": "spironolactone"}))`},
			{rule, `fhir.lab({"set": "potassium", "unit": "mmol/L", "max_age": param("potassium_max_age")})`,
				`param("potassium_max_age")`}},
			"valuesets/potassium.json: warning: no rule uses the value set"},
		{"unused parameter", [][3]string{{rule, `param("potassium_max_age")`, `"P90D"`}},
			"warning: no rule uses the parameter potassium_max_age"},
		{"parameter in a comment", [][3]string{{rule, `param("potassium_max_age")`, `"P90D"`},
			{rule, "holds :=", "# potassium_max_age\nholds :="}}, "warning: no rule uses the parameter potassium_max_age"},
		{"not given", [][3]string{{rule, `{"drug": fhir.order(), "potassium": potassium}`, `{"drug": fhir.order()}`}},
			rule + ":24: the template names {potassium}, which is not given"},
		{"given and not named", [][3]string{{rule, `potassium {potassium}"`, `potassium"`}},
			rule + ":24: warning: the template is given potassium"},
		{"open brace", [][3]string{{rule, `{potassium}"`, `{potassium"`}}, rule + ":24: the template has { without }"},
		{"not translated", [][3]string{german, {"messages/de.json", "", `{}`}},
			`messages/de.json: warning: the text "Check {drug}: potassium {potassium}" of ` + rule + ":24 has no translation"},
		{"label not translated", [][3]string{german, translation(`"Prüfe {drug}: {potassium}"`),
			{rule, "fact.greater(potassium, 5)", `fact.named("high potassium", fact.greater(potassium, 5))`}},
			`messages/de.json: warning: the text "high potassium" of ` + rule + ":21 has no translation"},
		{"translation of nothing", [][3]string{german, {"messages/de.json", "", `{"Hello": "Hallo"}`}},
			`messages/de.json:1: warning: no rule shows the text "Hello"`},
		{"translation of a code", [][3]string{german, {"messages/de.json", "",
			"{\n\"Check {drug}: potassium {potassium}\": \"Prüfe {drug}: {potassium}\",\n\"mmol/L\": \"Millimol\"}"}},
			`messages/de.json:3: warning: no rule shows the text "mmol/L"`},
		{"other placeholders", [][3]string{german, translation(`"Prüfe {drug}: {kalium}"`)},
			"messages/de.json:1: the translation has other placeholders"},
		{"long summary", [][3]string{{rule, "Check {drug}: potassium {potassium}", long}},
			rule + ":24: the summary has 143 characters (at most 139"},
		{"long summary elsewhere", [][3]string{{rule, "Check {drug}: potassium {potassium}", long},
			{rule, `	"summary": fhir`, `	"summary": words,`}, {rule, `words,.text(`, "words,\n}\n\nwords := fhir.text("},
			{rule, "\"potassium\": potassium}),\n\t\"suggestions\": [fhir.remove(fhir.order())],\n}",
				"\"potassium\": potassium})"}}, "the summary has 143 characters"},
		{"long translation", [][3]string{german, translation(`"` + strings.Repeat("ä", 140) + `{drug}{potassium}"`)},
			"the summary in de has 140 characters"},
		{"no false case", [][3]string{{"cases/potassium.yaml", "value: 5.0", "value: 5.1"},
			{"cases/potassium.yaml", `state: "false"}`, `state: "true"}`}},
			rule + ":1: no case wants the rule potassium-high false"},
		{"case of no rule", [][3]string{{"cases/potassium.yaml", "rule: potassium-high", "rule: potassium-low"}},
			rule + ":1: no case asks the rule potassium-high"},
		{"case of an unknown rule", [][3]string{{"cases/potassium.yaml", "rule: potassium-high", "rule: potassium-low"}},
			"cases/potassium.yaml:4: case potassium-high wants the rule potassium-low"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := Check(changed(t, tt.edits...))
			if !slices.ContainsFunc(found, func(p *packfile.Problem) bool { return strings.Contains(p.Error(), tt.want) }) {
				t.Errorf("want %q, found %q", tt.want, found)
			}
		})
	}
}

// What data alone and what code shows is told apart by the one who finds it, so
// that a mistake is reported once, and a tool knows its kind.
func TestNothingIsFoundTwice(t *testing.T) {
	const set = `{"id": "other", "kind": "medication", "codes": [
{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "6809", "display": "metformin"}]}`
	found := Check(changed(t, [3]string{"pack.yaml", "languages: [en]", "languages: [en, de]"},
		[3]string{"messages/de.json", "", "{\n\"Hello {x}\": \"Hallo\"}"},
		[3]string{"valuesets/other.json", "", set},
		[3]string{"pack.yaml", "value_sets:\n",
			"value_sets:\n  - {id: other, title: Other, source: RxNorm, version: \"1\", licence: none}\n"},
		[3]string{rule, `param("potassium_max_age")`, `"P90D"`}))
	var got []string
	for _, p := range found {
		got = append(got, fmt.Sprintf("%s:%d %s %v", p.File, p.Line, string(p.Kind), p.Warning))
	}
	want := []string{"messages/de.json:0 messages-refused true", "messages/de.json:2 unused true",
		"messages/de.json:2 messages-refused false", "pack.yaml:33 unused true", "valuesets/other.json:0 unused true"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q,\nwant %q", got, want)
	}
}

func TestShow(t *testing.T) {
	offered := []tenant.Prefetch{{Key: "patient", Types: []string{"Patient"}},
		{Key: "labs", Types: []string{"Observation"}}}
	s, err := Show(changed(t), offered)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Rules[0]
	if got := strings.Join(r.Prefetch, " "); got != "labs" {
		t.Errorf("prefetch is %q, want labs", got)
	}
	if got := strings.Join(r.Windows, ", "); got != "max_age potassium_max_age (default P90D)" {
		t.Errorf("windows are %q", got)
	}
	if r.Cases != (Counts{True: 1, False: 1, Unknown: 1}) {
		t.Errorf("cases are %+v", r.Cases)
	}
	var text bytes.Buffer
	if err := s.Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first_pack 0.1.0 (rules, draft)", "first_pack/potassium-high", "order-sign warning",
		"Observation", "potassium, spironolactone"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
	first, err := jsonv2.Marshal(s, jsonv2.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Show(changed(t), offered)
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := jsonv2.Marshal(again, jsonv2.Deterministic(true)); !bytes.Equal(first, second) {
		t.Errorf("two summaries of one pack differ:\n%s\n%s", first, second)
	}
	if _, err := Show(changed(t, [3]string{rule, "holds :=", "holds"}), nil); err == nil {
		t.Error("a pack that does not compile is shown")
	}
	terms, err := Show(referencePack(t, "terminology_core"), nil)
	if err != nil || terms.Terminology == nil || terms.Terminology.Products == 0 {
		t.Errorf("terminology is shown as %+v, %v", terms, err)
	}
}

// A pack from a stranger cannot write to the reader's terminal.
func TestShowIsVisible(t *testing.T) {
	s, err := Show(changed(t, [3]string{"pack.yaml", "A first rule", `A \e[2J\u202egood\u202c rule\n`}), nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := s.Print(&text); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text.String(), "\x1b\u202e") || strings.Contains(text.String(), "rule\n:") {
		t.Errorf("control characters are printed: %q", &text)
	}
}

func TestReadsThroughHelpersAndElse(t *testing.T) {
	helper := `package packs.first_pack.lib_more

maybe := fact.negate(fhir.condition({"set": "hyperkalemia"})) if {
	1 == 2
} else := fhir.takes({"set": "spironolactone", "within": "P7D"})
`
	const set = `{"id": "hyperkalemia", "kind": "condition", "codes": [
{"system": "http://snomed.info/sct", "code": "14140009", "display": "Hyperkalemia"}]}`
	s, err := Show(changed(t, [3]string{"rules/lib_more.rego", "", helper},
		[3]string{"valuesets/hyperkalemia.json", "", set}, [3]string{"pack.yaml", "value_sets:\n",
			"value_sets:\n  - {id: hyperkalemia, title: Hyperkalemia, source: SNOMED CT, version: \"1\", licence: SNOMED}\n"},
		[3]string{rule, "fact.greater(potassium, 5)",
			"fact.any([fact.greater(potassium, 5), data.packs.first_pack.lib_more.maybe])"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "Condition MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation"
	if got := strings.Join(s.Rules[0].Reads, " "); got != want {
		t.Errorf("reads %s, want %s", got, want)
	}
}

func TestCoverage(t *testing.T) {
	pack := changed(t)
	at := func(s fact.State) *fact.Fact {
		return &fact.Fact{Op: "fact.greater", At: rule + ":21", State: s}
	}
	sites, err := Coverage(pack, []*fact.Fact{at(fact.True), {Op: "fact.all", At: "rules/gone.rego:1",
		Of: []*fact.Fact{at(fact.Unknown), at(fact.True)}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(sites) != 1 || sites[0].Counts != (Counts{True: 2, Unknown: 1}) ||
		!slices.Equal(sites[0].Missing(), []string{"false"}) {
		t.Errorf("coverage is %+v", sites)
	}
}

// The capabilities file lets stock tools check packs.
func TestOPACheck(t *testing.T) {
	caps := t.TempDir() + "/capabilities.json"
	var b bytes.Buffer
	if err := Capabilities(&b); err != nil {
		t.Fatal(err)
	}
	writeFile(t, caps, b.Bytes())
	for _, name := range []string{"high_priority_ddi", "nsaid_anticoagulant", "renal_dosing"} {
		out, err := exec.Command("go", "tool", "opa", "check", "--strict", "--capabilities", caps,
			"../../rulepacks/"+name+"/rules").CombinedOutput()
		if err != nil {
			t.Errorf("opa check of %s: %v\n%s", name, err, out)
		}
	}
	bad := t.TempDir() + "/bad.rego"
	writeFile(t, bad, []byte("package bad\n\nx := http.send({\"method\": \"get\", \"url\": \"https://example.org\"})\n"))
	if out, err := exec.Command("go", "tool", "opa", "check", "--capabilities", caps, bad).CombinedOutput(); err == nil {
		t.Errorf("opa check lets http.send through: %s", out)
	}
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
