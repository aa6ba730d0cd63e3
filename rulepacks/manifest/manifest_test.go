package manifest

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/packfile/packtest"
)

func read(text string) (Manifest, error) {
	return Read(packfile.File{Name: "pack.yaml", Data: []byte(text)})
}

func TestRead(t *testing.T) {
	m, err := read(packtest.PackYAML)
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != "1.10.0" || m.Kind != KindRules || m.EffectivePeriod.Start != "2026-01-01" ||
		m.Revision() != "sample@1.10.0" {
		t.Errorf("manifest is %+v", m)
	}
	if p, ok := m.Parameters.Get("limit"); !ok || string(p.Minimum) != "1.50" || p.Type != "number" {
		t.Errorf("parameter is %+v, %v", p, ok)
	}
	if _, ok := m.Parameters.Get("none"); ok {
		t.Error("a parameter was found that is not there")
	}
}

func TestReadRefusals(t *testing.T) {
	for _, test := range []struct {
		name, old, new string
		expect         packfile.Kind
		want           string
	}{
		{"unquoted version", `"1.10.0"`, `1.10`, packfile.ErrMalformed,
			`pack.yaml:2: /version is a number where something else is expected (put versions and texts in quotes`},
		{"short version", `"1.10.0"`, `"1.10"`, ErrManifest, "pack.yaml:2: version"},
		{"v version", `"1.10.0"`, `v1.10.0`, ErrManifest, "pack.yaml:2: version"},
		{"build version", `"1.10.0"`, `1.10.0+x`, ErrManifest, "pack.yaml:2: version"},
		{"unquoted library", `library: "1"`, `library: 1`, packfile.ErrMalformed, "pack.yaml:8: /library is a number"},
		{"unquoted release", `min: "2026.1"`, `min: 2026.1`, packfile.ErrMalformed,
			"pack.yaml:9: /terminology/min is a number"},
		{"octal", `library: "1"`, `library: 0o1`, packfile.ErrMalformed, "not a plain decimal number"},
		{"unknown key", "status:", "state:", packfile.ErrMalformed, `pack.yaml:4: unknown member "state"`},
		{"unknown inner key", "contact:", "mail:", packfile.ErrMalformed, `pack.yaml:5: unknown member "mail"`},
		{"unknown key of a parameter", "format: duration", "formats: duration", packfile.ErrMalformed,
			`unknown member "formats"`},
		{"reference in a parameter", "format: duration", "$ref: https://example.org/schema.json", packfile.ErrMalformed,
			`unknown member "$ref"`},
		{"key twice", "status: draft", "status: draft\nname: other", packfile.ErrMalformed,
			`pack.yaml:5: the key "name" appears twice`},
		{"boolean as text", "A sample pack", "true", packfile.ErrMalformed, "boolean"},
		{"text as boolean", "status: draft", "status: draft\nexperimental: maybe", packfile.ErrMalformed,
			"pack.yaml:5: /experimental is a text"},
		{"colon in a text", "A sample pack", "A sample: pack", packfile.ErrMalformed,
			"pack.yaml:3: is not YAML: mapping values are not allowed"},
		{"tag", "A sample pack", "!!binary aGk=", packfile.ErrMalformed, "tag"},
		{"own tag", "A sample pack", "!x hi", packfile.ErrMalformed, "tag"},
		{"list as text", "A sample pack", "[a]", packfile.ErrMalformed, "a list"},
		{"name", "name: sample", "name: Sample", ErrManifest, "pack.yaml:1: name"},
		{"device", "name: sample", "name: nul", ErrManifest, "pack.yaml:1: name"},
		{"long name", "name: sample", "name: " + strings.Repeat("a", 64), ErrManifest, "pack.yaml:1: name"},
		{"kind", "status:", "kind: rule\nstatus:", ErrManifest, "kind"},
		{"status", "draft", "new", ErrManifest, "status"},
		{"no title", "title: A sample pack\n", "", ErrManifest, "title is missing"},
		{"no publisher", "North Society", "''", ErrManifest, "publisher.name"},
		{"day", "2026-01-01", "2026-02-30", ErrManifest, "pack.yaml:6: /effective_period/start is not a day"},
		{"ends before it starts", `end: ""`, `end: 2025-01-01`, ErrManifest, "ends before"},
		{"source day", "2016-04-08", "April 2016", ErrManifest, "fda2016"},
		{"source url", "https://www.fda.gov/drugs", "javascript:alert(1)", ErrManifest, "not a web address"},
		{"languages", "[en, de]", "[]", ErrManifest, "languages"},
		{"language", "[en, de]", "[en, ../de]", ErrManifest, "/languages"},
		{"language twice", "[en, de]", "[en, en]", ErrManifest, "twice"},
		{"parameter default", "P365D", "365 days", ErrManifest, "the default is not an ISO 8601 duration"},
		{"parameter without default", "default: P365D, ", "", ErrManifest, "default is missing"},
		{"parameter without description", "How old a result may be.", "''", ErrManifest, "description"},
		{"parameter type", "type: number", "type: float", ErrManifest, "type must be"},
		{"parameter bounds", "maximum: 90", "maximum: 1.49", ErrManifest, "above maximum"},
		{"parameter bound of another type", "maximum: 90", "maximum: x", ErrManifest, "parameter's type"},
		{"parameter beyond a bound", "default: 30", "default: 1.4999", ErrManifest, "the default is below the minimum 1.50"},
		{"huge exponent", "maximum: 90", "maximum: 1e999999999", ErrManifest, "parameter's type"},
		{"attribute", "library:", "source_attributes: {race: maybe}\nlibrary:", ErrManifest, "race"},
		{"two documents", "name: sample", "---\na: b\n---\nname: sample", packfile.ErrMalformed, "second YAML document"},
		{"nothing", packtest.PackYAML, "", packfile.ErrMalformed, "empty"},
		{"only a comment", packtest.PackYAML, "# hello\n", packfile.ErrMalformed, "empty"},
		{"a text", packtest.PackYAML, "hello", packfile.ErrMalformed, "a text"},
		{"control character", "A sample pack", "\"a\x01\"", packfile.ErrMalformed, "is not YAML"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.Replace(packtest.PackYAML, test.old, test.new, 1)
			if changed == packtest.PackYAML {
				t.Fatal("the test changes nothing")
			}
			_, err := read(changed)
			packtest.Refused(t, err, test.expect, test.want)
		})
	}
}

func TestParameterValidate(t *testing.T) {
	duration := Parameter{Name: "p", Type: "string", Format: "duration"}
	number := Parameter{Name: "p", Type: "number", Minimum: jsontext.Value("-1.5"), Maximum: jsontext.Value("1e2")}
	integer := Parameter{Name: "p", Type: "integer"}
	choice := Parameter{Name: "p", Type: "string", Enum: []jsontext.Value{jsontext.Value(`"a"`), jsontext.Value(`"b"`)}}
	one := Parameter{Name: "p", Type: "number", Enum: []jsontext.Value{jsontext.Value(`1.0`)}}
	boolean := Parameter{Name: "p", Type: "boolean"}
	for _, test := range []struct {
		p     Parameter
		value string
		ok    bool
	}{
		{duration, `"P365D"`, true}, {duration, `"PT12H"`, true}, {duration, `"P1Y2M3DT4H5M6S"`, true},
		{duration, `"P2W"`, true},
		{duration, `"P"`, false}, {duration, `"PT"`, false}, {duration, `"P1DT"`, false}, {duration, `"1D"`, false},
		{duration, `"P1Y2W"`, true}, {duration, `"P200000D"`, false},
		{duration, `"P-1D"`, false}, {duration, `"P0.5D"`, false}, {duration, `""`, false}, {duration, `365`, false},
		{duration, `null`, false},
		{number, `-1.5`, true}, {number, `100`, true}, {number, `100.0000000000000000001`, false}, {number, `-1.51`, false},
		{number, `"1"`, false}, {number, `1e999999999`, false}, {number, `[1]`, false},
		{integer, `3`, true}, {integer, `3.0`, true}, {integer, `3.5`, false}, {integer, `3e-1`, false},
		{choice, `"b"`, true}, {choice, `"\u0062"`, true}, {choice, `"c"`, false}, {one, `1`, true}, {one, `2`, false},
		{boolean, `true`, true}, {boolean, `"true"`, false}, {boolean, ` false `, true},
		{boolean, ``, false}, {boolean, `true false`, false}, {choice, `"a`, false},
	} {
		err := test.p.Validate(jsontext.Value(test.value))
		if (err == nil) != test.ok {
			t.Errorf("%s %s %s: %v", test.p.Type, test.p.Format, test.value, err)
		}
		if err != nil {
			packtest.Refused(t, err, ErrParameter)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(packtest.PackYAML))
	f.Add([]byte("a: &a {<<: *a}"))
	f.Add([]byte("version: 1.10\nparameters: {a: {minimum: 1e99}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := read(string(data))
		if err != nil {
			packtest.Fit(t, err)
			return
		}
		out, err := m.OPAManifest()
		if err != nil || !jsontext.Value(out).IsValid() {
			t.Fatalf("manifest %s, %v", out, err)
		}
	})
}
