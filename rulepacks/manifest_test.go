package rulepacks

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func TestParseManifest(t *testing.T) {
	m, err := ParseManifest([]byte(samplePackYAML))
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != "1.10.0" || m.Kind != KindRules || m.EffectivePeriod.Start != "2026-01-01" || m.Revision() != "sample@1.10.0" {
		t.Errorf("manifest is %+v", m)
	}
	if p, ok := m.Parameters.Get("limit"); !ok || string(p.Minimum) != "1.50" || p.Type != "number" {
		t.Errorf("parameter is %+v, %v", p, ok)
	}
	if _, ok := m.Parameters.Get("none"); ok {
		t.Error("a parameter was found that is not there")
	}
}

// A manifest written as JSON, for people and tools, reads back as the same.
func TestManifestJSON(t *testing.T) {
	m, err := ParseManifest([]byte(samplePackYAML))
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	n, err := ParseManifest(out) // JSON is YAML
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if again, err := json.Marshal(n); err != nil || !bytes.Equal(again, out) {
		t.Errorf("written again it is %s, %v; first it was %s", again, err, out)
	}
}

func TestParseManifestRefusals(t *testing.T) {
	for _, test := range []struct {
		name, old, new string
		expect         error
		want           string
	}{
		{"unquoted version", `"1.10.0"`, `1.10`, ErrMalformed, `pack.yaml:2: /version is a number where something else is expected (if it is a version or a text write it in quotes`},
		{"short version", `"1.10.0"`, `"1.10"`, ErrManifest, "pack.yaml:2: version"},
		{"v version", `"1.10.0"`, `v1.10.0`, ErrManifest, "pack.yaml:2: version"},
		{"build version", `"1.10.0"`, `1.10.0+x`, ErrManifest, "pack.yaml:2: version"},
		{"unquoted library", `library: "1"`, `library: 1`, ErrMalformed, "pack.yaml:8: /library is a number"},
		{"unquoted release", `min: "2026.1"`, `min: 2026.1`, ErrMalformed, "pack.yaml:9: /terminology/min is a number"},
		{"octal", `library: "1"`, `library: 0o1`, ErrMalformed, "no plain decimal number"},
		{"unknown key", "status:", "state:", ErrMalformed, `pack.yaml:4: unknown member "state"`},
		{"unknown inner key", "contact:", "mail:", ErrMalformed, `pack.yaml:5: unknown member "mail"`},
		{"unknown key of a parameter", "format: duration", "formats: duration", ErrMalformed, `unknown member "formats"`},
		{"key twice", "status: draft", "status: draft\nname: other", ErrMalformed, `pack.yaml:5: the key "name" is there twice`},
		{"boolean as text", "A sample pack", "true", ErrMalformed, "boolean"},
		{"text as boolean", "status: draft", "status: draft\nexperimental: maybe", ErrMalformed, "pack.yaml:5: /experimental is a text"},
		{"colon in a text", "A sample pack", "A sample: pack", ErrMalformed, "pack.yaml:3: is not YAML: mapping values are not allowed"},
		{"tag", "A sample pack", "!!binary aGk=", ErrMalformed, "tag"},
		{"own tag", "A sample pack", "!x hi", ErrMalformed, "tag"},
		{"list as text", "A sample pack", "[a]", ErrMalformed, "a list"},
		{"name", "name: sample", "name: Sample", ErrManifest, "pack.yaml:1: name"},
		{"device", "name: sample", "name: nul", ErrManifest, "pack.yaml:1: name"},
		{"long name", "name: sample", "name: " + strings.Repeat("a", 64), ErrManifest, "pack.yaml:1: name"},
		{"kind", "status:", "kind: rule\nstatus:", ErrManifest, "kind"},
		{"status", "draft", "new", ErrManifest, "status"},
		{"no title", "title: A sample pack\n", "", ErrManifest, "title is missing"},
		{"no publisher", "North Society", "''", ErrManifest, "publisher.name"},
		{"day", "2026-01-01", "2026-02-30", ErrManifest, "pack.yaml:6: /effective_period/start is no day"},
		{"ends before it starts", `end: ""`, `end: 2025-01-01`, ErrManifest, "ends before"},
		{"source day", "2016-04-08", "April 2016", ErrManifest, "fda2016"},
		{"source url", "https://www.fda.gov/drugs", "javascript:alert(1)", ErrManifest, "no web address"},
		{"languages", "[en, de]", "[]", ErrManifest, "languages"},
		{"language", "[en, de]", "[en, ../de]", ErrManifest, "/languages"},
		{"language twice", "[en, de]", "[en, en]", ErrManifest, "twice"},
		{"parameter default", "P365D", "365 days", ErrManifest, "the default does not fit"},
		{"parameter without default", "default: P365D, ", "", ErrManifest, "default is missing"},
		{"parameter without description", "How old a result may be.", "''", ErrManifest, "description"},
		{"parameter type", "type: number", "type: float", ErrManifest, "type must be"},
		{"parameter bounds", "maximum: 90", "maximum: 1.49", ErrManifest, "above maximum"},
		{"parameter bound of another type", "maximum: 90", "maximum: x", ErrManifest, "parameter's type"},
		{"parameter beyond a bound", "default: 30", "default: 1.4999", ErrManifest, "default does not fit"},
		{"huge exponent", "maximum: 90", "maximum: 1e999999999", ErrManifest, "parameter's type"},
		{"attribute", "library:", "source_attributes: {race: maybe}\nlibrary:", ErrManifest, "race"},
		{"two documents", "name: sample", "---\na: b\n---\nname: sample", ErrMalformed, "second YAML document"},
		{"nothing", samplePackYAML, "", ErrMalformed, "empty"},
		{"only a comment", samplePackYAML, "# hello\n", ErrMalformed, "empty"},
		{"a text", samplePackYAML, "hello", ErrMalformed, "a text"},
		{"control character", "A sample pack", "\"a\x01\"", ErrMalformed, "is not YAML"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.Replace(samplePackYAML, test.old, test.new, 1)
			if changed == samplePackYAML {
				t.Fatal("the test changes nothing")
			}
			_, err := ParseManifest([]byte(changed))
			wantRefusal(t, err, test.expect, test.want)
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
		{duration, `"P365D"`, true}, {duration, `"PT12H"`, true}, {duration, `"P1Y2M3DT4H5M6S"`, true}, {duration, `"P2W"`, true},
		{duration, `"P"`, false}, {duration, `"PT"`, false}, {duration, `"P1DT"`, false}, {duration, `"1D"`, false}, {duration, `"P1Y2W"`, true}, {duration, `"P200000D"`, false},
		{duration, `"P-1D"`, false}, {duration, `"P0.5D"`, false}, {duration, `""`, false}, {duration, `365`, false}, {duration, `null`, false},
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
			wantRefusal(t, err, ErrParameter)
		}
	}
}
