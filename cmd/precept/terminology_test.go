package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
)

// TestCoverage holds that codes that meant nothing in recorded calls are counted by
// system, that a code map takes them off, and that the output says nothing of patients.
func TestCoverage(t *testing.T) {
	dir := t.TempDir()
	pack, terms := decidetest.ReferencePack(t, "renal_dosing"), decidetest.ReferencePack(t, "terminology_core")
	results, err := decide.RunCases(t.Context(), pack, terms)
	decidetest.Must(t, err)
	var bodies []string
	for _, r := range results[:3] {
		in := *r.Inputs
		in.Request = []byte(strings.NewReplacer(`"http://www.nlm.nih.gov/research/umls/rxnorm"`, `"urn:oid:1.2.3"`,
			`"display":"`, `"display":"Secret `).Replace(string(in.Request)))
		segments, err := decision.Encode(&in, r.Decision)
		decidetest.Must(t, err)
		body := bytes.Join(segments, nil)
		name := filepath.Join(dir, r.Case.Name)
		decidetest.Must(t, os.WriteFile(name, body, 0o600))
		bodies = append(bodies, name)
	}
	run := func(args ...string) string {
		var out bytes.Buffer
		c := root()
		c.SetArgs(append([]string{"terminology", "coverage", "--terminology", "builtin:terminology_core"}, args...))
		c.SetOut(&out)
		c.SetErr(&out)
		decidetest.Must(t, c.ExecuteContext(t.Context()))
		return out.String()
	}
	got := run(bodies...)
	if !strings.Contains(got, "3 calls read") || !strings.Contains(got, "medication  urn:oid:1.2.3") {
		t.Errorf("coverage is\n%s", got)
	}
	if strings.Contains(got, "Secret") || strings.Contains(got, "p1") {
		t.Errorf("the output says something of patients:\n%s", got)
	}
	codes := filepath.Join(dir, "codes")
	decidetest.Must(t, os.MkdirAll(filepath.Join(codes, "tables"), 0o700))
	decidetest.Must(t, os.WriteFile(filepath.Join(codes, "pack.yaml"), []byte("name: codes\nversion: \"1.0.0\"\n"+
		"kind: codemap\ntitle: x\nstatus: draft\npublisher: {name: x}\n"), 0o600))
	decidetest.Must(t, os.WriteFile(filepath.Join(codes, "tables/codes.json"), []byte(
		`{"codes":[{"system":"urn:oid:1.2.3","code":"6809","display":"metformin","kind":"medication",`+
			`"to":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"6809"}]}]}`), 0o600))
	mapped := run(append([]string{"--codemap", codes, "--json"}, bodies...)...)
	if strings.Contains(mapped, `"code": "6809"`) || !strings.Contains(run(append([]string{"--json"}, bodies...)...),
		`"code": "6809"`) {
		t.Errorf("the code map makes no difference:\n%s", mapped)
	}
}
