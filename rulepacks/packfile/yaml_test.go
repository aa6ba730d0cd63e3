package packfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/packfile/packtest"
)

// asJSON reads a file and gives it as JSON.
func asJSON(name, text string) (json jsontext.Value, err error) {
	d, err := packfile.Read(packfile.File{Name: name, Data: []byte(text)})
	if err == nil {
		err = d.Decode(&json)
	}
	return json, err
}

func TestYAMLScalars(t *testing.T) {
	for _, test := range []struct{ yaml, json string }{
		{"1.10", "1.10"}, {"-0", "-0"}, {"1e5", "1e5"}, {"12", "12"}, {"007.5", ""}, {"010", ""}, {"+5", ""}, {"1_000", ""},
		{"0x1F", ""},
		{".5", ""}, {"5.", ""}, {".inf", ""}, {".nan", ""}, {"0b1", ""}, {`!!int "5"`, ""}, {"!!float 5", ""},
		{"2026-03-02", `"2026-03-02"`}, {"2026-03-02T10:00:00Z", `"2026-03-02T10:00:00Z"`},
		{"2026-03-02 10:00", `"2026-03-02 10:00"`},
		{"10:30", `"10:30"`}, {"yes", `"yes"`}, {"no", `"no"`}, {"on", `"on"`}, {"true", "true"}, {"False", "false"},
		{"~", "null"}, {"null", "null"}, {"", "null"},
		{`"1.10"`, `"1.10"`}, {"!!str 1.10", `"1.10"`}, {`"a\u00fc\tb"`, "\"aü\\tb\""}, {"'it''s'", `"it's"`},
		{"|\n  a\n  b\n", `"a\nb\n"`},
		{"[a, {b: 1.0}]", `["a",{"b":1.0}]`}, {"{}", "{}"}, {"[]", "[]"}, {"{a: }", `{"a":null}`},
		{"{1: a}", ""}, {"{true: a}", ""}, {"{? [a] : b}", ""}, {"{null: a}", ""}, {"{a: 1, a: 2}", ""}, {"!!set {a}", ""},
		{"!!omap [a]", ""},
		{"{<<: {a: 1, b: 2}, a: 3}", `{"a":3,"b":2}`}, {"{a: 3, <<: [{a: 1, b: 2}, {b: 4, c: 5}]}", `{"a":3,"b":2,"c":5}`},
		{"{<<: 5}", ""}, {"{<<: [[{a: 1}]]}", ""}, {`{"<<": 5}`, `{"<<":5}`}, {"{<<: {a: 1}, <<: {b: 1}}", ""},
		{"*nowhere", ""}, {"&a [*a]", ""}, {"&a {<<: *a}", ""}, {"&a {<<: [*a]}", ""}, {`"\ud800"`, ""},
	} {
		json, err := asJSON("a.yaml", "v: "+test.yaml)
		switch {
		case test.json == "" && err == nil:
			t.Errorf("%s gives %s, want a refusal", test.yaml, json)
		case test.json != "" && err != nil:
			t.Errorf("%s: %v", test.yaml, err)
		case test.json != "" && string(json) != `{"v":`+test.json+`}`:
			t.Errorf("%s gives %s, want %s", test.yaml, json, test.json)
		}
	}
}

func TestYAMLBombs(t *testing.T) {
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	merges := "a0: &a0 {x0: 1}\n"
	for i := 1; i < 12; i++ {
		refs := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", ")
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, refs)
		merges += fmt.Sprintf("a%d: &a%d {<<: [%s]}\n", i, i, refs)
	}
	big := "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a, ", 100) + "]\n"
	for name, data := range map[string]string{"laughs": laughs, "merges": merges, "big text": big,
		"deep": strings.Repeat("[", 500) + strings.Repeat("]", 500), "large": strings.Repeat("# x\n", 3<<20)} {
		t.Run(name, func(t *testing.T) {
			_, err := asJSON("cases/a.yaml", data)
			packtest.Refused(t, err, packfile.ErrTooLarge, "cases/a.yaml")
		})
	}
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{packtest.PackYAML, packtest.Cases, "a: &a 1\nb: *a", "{<<: [{a: 1}, {b: 2}]}",
		"? a\n: |\n  b", "'a'", "- !!str 1\n- 0x1\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		json, err := asJSON("a.yaml", string(data))
		if err != nil {
			packtest.Fit(t, err)
			return
		}
		if _, err := asJSON("a.json", string(json)); err != nil {
			t.Fatalf("the JSON of a YAML file is not strict: %v: %s", err, json)
		}
	})
}
