package casefile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/packfile/packtest"
)

func read(name, text string) ([]Case, error) {
	return Read(packfile.File{Name: name, Data: []byte(text)}, "sample")
}

func TestCaseRequest(t *testing.T) {
	cases, err := read("cases/low.yaml", packtest.Cases)
	if err != nil {
		t.Fatal(err)
	}
	const first = `{"hook":"order-sign","hookInstance":"5fbb1cbe-f3e4-8c04-980d-88f4b69fc629",` +
		`"context":{"patientId":"p1","userId":"Practitioner/1","draftOrders":{"resourceType":"Bundle"}},` +
		`"prefetch":{"patient":{"resourceType":"Patient","id":"p1","birthDate":"1955-06-15"},` +
		`"weight":{"value":81.10},"meds":null}}`
	if got := string(cases[0].Request()); got != first {
		t.Errorf("request is\n%s\nwant\n%s", got, first)
	}
	const merged = `"context":{"userId":"Practitioner/2","patientId":"p1","draftOrders":{"resourceType":"Bundle"}}`
	if got := string(cases[1].Request()); !strings.Contains(got, merged) {
		t.Errorf("merged request is\n%s", got)
	}
	c := cases[0]
	if c.File != "cases/low.yaml" || c.Line != 2 || c.Zone != "America/New_York" ||
		c.Time.Format("15:04 -0700") != "10:00 -0500" ||
		string(c.Parameters["limit"]) != "45.0" || len(c.Want) != 1 || c.Want[0].Reasons == nil ||
		*c.WantCards[0].Suggestions != 1 {
		t.Errorf("case is %+v", c)
	}
	if c := cases[1]; c.Want == nil || c.WantCards != nil || c.Zone != "UTC" || c.HookInstance == cases[0].HookInstance {
		t.Errorf("case is %+v", c)
	}
}

// A case gives the same request from JSON and from YAML.
func TestCaseFileJSON(t *testing.T) {
	const text = `{"cases": [{"name": "a", "hook_instance": "7CFC3110-0000-11E4-9191-0800200C9A66",
  "time": "2026-03-02T10:00:00Z",
  "context": {"a": 1.10, "b": "\ud83d\ude00", "c": [ 1, 2 ]}}]}`
	y, err := read("cases/a.yaml", strings.Replace(text, `\ud83d\ude00`, "\U0001f600", 1))
	if err != nil {
		t.Fatal(err)
	}
	j, err := read("cases/a.json", text)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"hook":"order-sign","hookInstance":"7CFC3110-0000-11E4-9191-0800200C9A66","context":{"a":1.10,"b":"` +
		"\U0001f600" + `","c":[1,2]}}`
	if got := string(y[0].Request()); got != want {
		t.Errorf("YAML gives %s", got)
	}
	if got := string(j[0].Request()); got != strings.Replace(want, "\U0001f600", `\ud83d\ude00`, 1) {
		t.Errorf("JSON gives %s", got)
	}
}

func TestCaseRefusals(t *testing.T) {
	for _, test := range []struct {
		name, old, new string
		expect         packfile.Kind
		want           string
	}{
		{"no name", "  - name: low\n", "  - name: ''\n", ErrCase, "name must match"},
		{"name with a path", "name: low", "name: ../low", ErrCase, "name must match"},
		{"unknown member", "zone:", "zones:", packfile.ErrMalformed, `cases/low.yaml:5: unknown member "zones"`},
		{"unknown member of want", "reasons: []", "reason: []", packfile.ErrMalformed,
			`cases/low.yaml:16: unknown member "reason"`},
		{"state without quotes", `"true"`, `true`, packfile.ErrMalformed,
			`cases/low.yaml:16: /cases/0/want/0/state is a boolean where something else is expected (put texts in quotes`},
		{"unknown state", `"true"`, `maybe`, ErrCase, "cases/low.yaml:16"},
		{"time", "2026-03-02T10:00:00-05:00", "2026-03-02 10:00", ErrCase, "cases/low.yaml:4: case low: time"},
		{"no time", "    time: 2026-03-02T10:00:00-05:00\n", "", ErrCase, "time is missing"},
		{"zone", "America/New_York", "../../etc/passwd", ErrCase, "cases/low.yaml:5: case low: zone"},
		{"context", "context: &context\n", "context: []\n    x: &context\n", packfile.ErrMalformed, "unknown member"},
		{"no context", "name: merged", "name: merged\n  - {name: c, time: 2026-03-02T10:00:00Z, want: []}\n  - name: d",
			ErrCase, "case c: context"},
		{"prefetch", "prefetch: {patient: *patient}", "prefetch: [a]", ErrCase, "prefetch is not an object"},
		{"hook", "vector:", "hook: Order Sign\n    vector:", ErrCase, "hook must match"},
		{"hook instance", "vector:", "hook_instance: " + strings.Repeat("x", 65) + "\n    vector:", ErrCase,
			"hook_instance"},
		{"language", "vector:", "language: english\n    vector:", ErrCase, "language"},
		{"rule with the pack", "{rule: low", "{rule: sample/low", ErrCase, "rule must match"},
		{"subject", "MedicationRequest/d1", "d1", ErrCase, "subject"},
		{"want twice", "    want_cards",
			"      - {rule: low, subject: MedicationRequest/d1, state: unknown}\n    want_cards", ErrCase, "appear twice"},
		{"indicator", "indicator: critical", "indicator: red", ErrCase,
			"cases/low.yaml:18: case low: want_cards: indicator"},
		{"suggestions", "suggestions: 1", "suggestions: -1", ErrCase, "negative"},
		{"suggestions as text", "suggestions: 1", `suggestions: "1"`, packfile.ErrMalformed, "a text"},
		{"no cases", packtest.Cases, "cases: []\n", ErrCase, "no cases"},
		{"null", packtest.Cases, "cases:\n", ErrCase, "no cases"},
		{"null case", packtest.Cases, "cases: [null]\n", ErrCase, "name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.Replace(packtest.Cases, test.old, test.new, 1)
			if changed == packtest.Cases {
				t.Fatal("the test changes nothing")
			}
			_, err := read("cases/low.yaml", changed)
			packtest.Refused(t, err, test.expect, test.want)
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add("cases/a.yaml", []byte(packtest.Cases))
	f.Add("cases/a.json", []byte(`{"cases":[{"name":"a","time":"2026-03-02T10:00:00Z","context":{"a":1.10}}]}`))
	f.Add("cases/a.yaml", []byte("cases: &a [*a]"))
	f.Add("cases/a.yaml", []byte("<<: {cases: [{name: a}, {name: b}, {name: c}]}"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		cases, err := read(name, string(data))
		if err != nil {
			packtest.Fit(t, err)
			return
		}
		for _, c := range cases {
			if r := c.Request(); !jsontext.Value(r).IsValid() || !bytes.Equal(r, c.Request()) {
				t.Fatalf("request %s", r)
			}
		}
	})
}

// One case of many is not looked for from the start of the file again.
func TestManyCases(t *testing.T) {
	var b strings.Builder
	b.WriteString("{\"cases\": [")
	const n = 50_000
	for i := range n {
		fmt.Fprintf(&b, "%s\n{\"name\": \"c%d\", \"time\": \"2026-03-02T10:00:00Z\", \"context\": {}}",
			map[bool]string{true: ","}[i > 0], i)
	}
	b.WriteString("\n]}\n")
	for _, name := range []string{"cases/a.json", "cases/a.yaml"} {
		start := time.Now()
		cases, err := read(name, b.String())
		if err != nil || len(cases) != n || cases[0].Line != 2 || cases[n-1].Line != n+1 {
			t.Fatalf("%d cases, %v", len(cases), err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
