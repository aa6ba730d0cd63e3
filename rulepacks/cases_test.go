package rulepacks

import (
	"fmt"
	"strings"
	"testing"
)

func TestCaseRequest(t *testing.T) {
	p := sample(t)
	const first = `{"hook":"order-sign","hookInstance":"5fbb1cbe-f3e4-8c04-980d-88f4b69fc629",` +
		`"context":{"patientId":"p1","userId":"Practitioner/1","draftOrders":{"resourceType":"Bundle"}},` +
		`"prefetch":{"patient":{"resourceType":"Patient","id":"p1","birthDate":"1955-06-15"},"weight":{"value":81.10},"meds":null}}`
	if got := string(p.Cases[0].Request()); got != first {
		t.Errorf("request is\n%s\nwant\n%s", got, first)
	}
	const merged = `"context":{"userId":"Practitioner/2","patientId":"p1","draftOrders":{"resourceType":"Bundle"}}`
	if got := string(p.Cases[1].Request()); !strings.Contains(got, merged) {
		t.Errorf("merged request is\n%s", got)
	}
	c := p.Cases[0]
	if c.File != "cases/low.yaml" || c.Line != 2 || c.Zone != "America/New_York" || c.Time.Format("15:04 -0700") != "10:00 -0500" ||
		string(c.Parameters["limit"]) != "45.0" || len(c.Want) != 1 || c.Want[0].Reasons == nil || *c.WantCards[0].Suggestions != 1 {
		t.Errorf("case is %+v", c)
	}
	if c := p.Cases[1]; c.Want == nil || c.WantCards != nil || c.Zone != "UTC" || c.HookInstance == p.Cases[0].HookInstance {
		t.Errorf("case is %+v", c)
	}
}

// A case gives the same request from JSON and from YAML.
func TestCaseFileJSON(t *testing.T) {
	const text = `{"cases": [{"name": "a", "hook_instance": "7CFC3110-0000-11E4-9191-0800200C9A66", "time": "2026-03-02T10:00:00Z",
  "context": {"a": 1.10, "b": "\ud83d\ude00", "c": [ 1, 2 ]}}]}`
	y, err := ReadCaseFile(File{"cases/a.yaml", []byte(strings.Replace(text, `\ud83d\ude00`, "\U0001f600", 1))}, "p")
	if err != nil {
		t.Fatal(err)
	}
	j, err := ReadCaseFile(File{"cases/a.json", []byte(text)}, "p")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"hook":"order-sign","hookInstance":"7CFC3110-0000-11E4-9191-0800200C9A66","context":{"a":1.10,"b":"` + "\U0001f600" + `","c":[1,2]}}`
	if got := string(y.Cases[0].Request()); got != want {
		t.Errorf("YAML gives %s", got)
	}
	if got := string(j.Cases[0].Request()); got != strings.Replace(want, "\U0001f600", `\ud83d\ude00`, 1) {
		t.Errorf("JSON gives %s", got)
	}
}

func TestYAMLScalars(t *testing.T) {
	for _, test := range []struct{ yaml, json string }{
		{"1.10", "1.10"}, {"-0", "-0"}, {"1e5", "1e5"}, {"12", "12"}, {"007.5", ""}, {"010", ""}, {"+5", ""}, {"1_000", ""}, {"0x1F", ""},
		{".5", ""}, {"5.", ""}, {".inf", ""}, {".nan", ""}, {"0b1", ""}, {`!!int "5"`, ""}, {"!!float 5", ""},
		{"2026-03-02", `"2026-03-02"`}, {"2026-03-02T10:00:00Z", `"2026-03-02T10:00:00Z"`}, {"2026-03-02 10:00", `"2026-03-02 10:00"`},
		{"10:30", `"10:30"`}, {"yes", `"yes"`}, {"no", `"no"`}, {"on", `"on"`}, {"true", "true"}, {"False", "false"}, {"~", "null"}, {"null", "null"}, {"", "null"},
		{`"1.10"`, `"1.10"`}, {"!!str 1.10", `"1.10"`}, {`"a\u00fc\tb"`, "\"aü\\tb\""}, {"'it''s'", `"it's"`}, {"|\n  a\n  b\n", `"a\nb\n"`},
		{"[a, {b: 1.0}]", `["a",{"b":1.0}]`}, {"{}", "{}"}, {"[]", "[]"}, {"{a: }", `{"a":null}`},
		{"{1: a}", ""}, {"{true: a}", ""}, {"{? [a] : b}", ""}, {"{null: a}", ""}, {"{a: 1, a: 2}", ""}, {"!!set {a}", ""}, {"!!omap [a]", ""},
		{"{<<: {a: 1, b: 2}, a: 3}", `{"a":3,"b":2}`}, {"{a: 3, <<: [{a: 1, b: 2}, {b: 4, c: 5}]}", `{"a":3,"b":2,"c":5}`},
		{"{<<: 5}", ""}, {"{<<: [[{a: 1}]]}", ""}, {`{"<<": 5}`, `{"<<":5}`}, {"{<<: {a: 1}, <<: {b: 1}}", ""},
		{"*nowhere", ""}, {"&a [*a]", ""}, {"&a {<<: *a}", ""}, {"&a {<<: [*a]}", ""}, {`"\ud800"`, ""},
	} {
		d, err := readYAML(File{"a.yaml", []byte("v: " + test.yaml)})
		switch {
		case test.json == "" && err == nil:
			t.Errorf("%s gives %s, want a refusal", test.yaml, d.json)
		case test.json != "" && err != nil:
			t.Errorf("%s: %v", test.yaml, err)
		case test.json != "" && string(d.json) != `{"v":`+test.json+`}`:
			t.Errorf("%s gives %s, want %s", test.yaml, d.json, test.json)
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
			_, err := readYAML(File{"cases/a.yaml", []byte(data)})
			wantRefusal(t, err, ErrTooLarge, "cases/a.yaml")
		})
	}
}

func TestCaseRefusals(t *testing.T) {
	for _, test := range []struct {
		name, old, new string
		expect         error
		want           string
	}{
		{"no name", "  - name: low\n", "  - name: ''\n", ErrCase, "name must match"},
		{"name with a path", "name: low", "name: ../low", ErrCase, "name must match"},
		{"unknown member", "zone:", "zones:", ErrMalformed, `cases/low.yaml:5: unknown member "zones"`},
		{"unknown member of want", "reasons: []", "reason: []", ErrMalformed, `cases/low.yaml:16: unknown member "reason"`},
		{"state without quotes", `"true"`, `true`, ErrMalformed, `cases/low.yaml:16: /cases/0/want/0/state is a boolean where something else is expected (if it is a text write it in quotes`},
		{"unknown state", `"true"`, `maybe`, ErrCase, "cases/low.yaml:16"},
		{"time", "2026-03-02T10:00:00-05:00", "2026-03-02 10:00", ErrCase, "cases/low.yaml:4: case low: time"},
		{"no time", "    time: 2026-03-02T10:00:00-05:00\n", "", ErrCase, "time is missing"},
		{"zone", "America/New_York", "../../etc/passwd", ErrCase, "cases/low.yaml:5: case low: zone"},
		{"context", "context: &context\n", "context: []\n    x: &context\n", ErrMalformed, "unknown member"},
		{"no context", "name: merged", "name: merged\n  - {name: c, time: 2026-03-02T10:00:00Z, want: []}\n  - name: d", ErrCase, "case c: context"},
		{"prefetch", "prefetch: {patient: *patient}", "prefetch: [a]", ErrCase, "prefetch is no object"},
		{"hook", "vector:", "hook: Order Sign\n    vector:", ErrCase, "hook must match"},
		{"hook instance", "vector:", "hook_instance: " + strings.Repeat("x", 65) + "\n    vector:", ErrCase, "hook_instance"},
		{"language", "vector:", "language: english\n    vector:", ErrCase, "language"},
		{"rule with the pack", "{rule: low", "{rule: sample/low", ErrCase, "rule must match"},
		{"subject", "MedicationRequest/d1", "d1", ErrCase, "subject"},
		{"want twice", "    want_cards", "      - {rule: low, subject: MedicationRequest/d1, state: unknown}\n    want_cards", ErrCase, "twice"},
		{"indicator", "indicator: critical", "indicator: red", ErrCase, "cases/low.yaml:18: case low: want_cards: indicator"},
		{"suggestions", "suggestions: 1", "suggestions: -1", ErrCase, "negative"},
		{"suggestions as text", "suggestions: 1", `suggestions: "1"`, ErrMalformed, "a text"},
		{"name twice", "name: merged", "name: low", ErrCase, "cases/low.yaml:19: case low is also in cases/low.yaml:2"},
		{"no cases", sampleCases, "cases: []\n", ErrCase, "no cases"},
		{"null", sampleCases, "cases:\n", ErrCase, "no cases"},
		{"null case", sampleCases, "cases: [null]\n", ErrCase, "name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.Replace(sampleCases, test.old, test.new, 1)
			if changed == sampleCases {
				t.Fatal("the test changes nothing")
			}
			_, err := ReadFolder(folder(with("cases/low.yaml", changed)))
			wantRefusal(t, err, test.expect, test.want)
		})
	}
}
