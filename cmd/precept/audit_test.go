package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/signing/keys"
)

// command runs precept as the auditor of north.
func command(t *testing.T, d *demoRegion, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	_, _, auditor := demoPersons("north")
	return precept(t, append(args, "--server", d.public, "--tenant", "north",
		"--person", string(auditor), "--key", d.keyFile(string(auditor)), "--purpose", "test")...)
}

// precept runs precept in a process of its own.
func precept(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Args[0] = "precept"
	var out, talk strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &talk
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), talk.String(), status
}

// TestReplayOfAnotherRecord has a server give one record's body for another's: that it
// replays to the same bytes says nothing about the one asked for.
func TestReplayOfAnotherRecord(t *testing.T) {
	d, err := makeDemoRegion(t.Context(), filepath.Join(t.TempDir(), "region"), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	ehr, err := d.ehr("north")
	if err != nil {
		t.Fatal(err)
	}
	var ids [2]string
	for i := range ids {
		answer, err := ehr.Call(t.Context(), demoService, current(fixtures.Standard(1, i), d.now))
		if err != nil {
			t.Fatal(err)
		}
		r, err := audit.ParseReceipt(answer.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = string(r.RecordID)
	}
	_, _, auditor := demoPersons("north")
	c, err := client.New(client.Config{URL: d.public, Tenant: "north", Person: string(auditor),
		Key: d.keys[string(auditor)].Crypto(), Clock: time.Now, HTTP: &http.Client{Transport: swapping(ids)}})
	if err != nil {
		t.Fatal(err)
	}
	p := &replayer{client: c.WithPurpose("test"), flags: &auditFlags{}, out: &printer{w: t.Output()},
		talk: &printer{w: t.Output()}}
	p.flags.tenant = "north"
	if err := p.prepare(t.Context(), d.statementFile("roots/north")); err != nil {
		t.Fatal(err)
	}
	if same, err := p.replay(t.Context(), ids[0]); same || err == nil || !strings.Contains(err.Error(), ids[1]) {
		t.Errorf("same %v, error %v", same, err)
	}
}

// swapping asks for the second record instead of the first.
type swapping [2]string

func (s swapping) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Path = strings.Replace(r.URL.Path, s[0], s[1], 1)
	return http.DefaultTransport.RoundTrip(r)
}

// TestNodeKeyAnybodySignsWith: under a point of low order every receipt could be made to hold.
func TestNodeKeyAnybodySignsWith(t *testing.T) {
	if _, err := nodeKey(base64.StdEncoding.EncodeToString(make([]byte, 32))); !errors.Is(err, keys.ErrMalformed) {
		t.Error(err)
	}
}

// TestAuditCommands goes an auditor's way on the command line, ending with the
// question what another laboratory value would have changed.
func TestAuditCommands(t *testing.T) {
	d, err := makeDemoRegion(t.Context(), filepath.Join(t.TempDir(), "region"), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	p, err := fixtures.Load("metformin-continue-egfr-35")
	if err != nil {
		t.Fatal(err)
	}
	body := current(p.Request, d.now)
	ehr, err := d.ehr("north")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := ehr.Call(t.Context(), demoService, body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.ParseReceipt(answer.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	id, root := string(r.RecordID), d.statementFile("roots/north")
	changed := filepath.Join(t.TempDir(), "changed.json")
	lower := strings.Replace(string(body), `"value":176.8`, `"value":276.8`, 1) // creatinine in umol/L
	if lower == string(body) {
		t.Fatal("the fixture has no value to change")
	}
	if err := os.WriteFile(changed, []byte(lower), 0o600); err != nil {
		t.Fatal(err)
	}
	receipt, forged := filepath.Join(t.TempDir(), "receipt"), filepath.Join(t.TempDir(), "forged")
	moved := strings.Replace(answer.Receipt, "index=", "index=1", 1)
	swapped := filepath.Join(t.TempDir(), "swapped")
	other := strings.Replace(answer.Receipt, "leaf=:"+answer.Receipt[strings.Index(answer.Receipt, "leaf=:")+6:][:4],
		"leaf=:AAAA", 1)
	for path, text := range map[string]string{receipt: answer.Receipt, forged: moved, swapped: other} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	proof, altered := filepath.Join(t.TempDir(), "proof"), filepath.Join(t.TempDir(), "altered")
	text, _, _ := command(t, d, "audit", "proof", id)
	if err := errors.Join(os.WriteFile(proof, []byte(text), 0o600),
		os.WriteFile(altered, []byte(strings.Replace(text, "extra e", "extra f", 1)),
			0o600)); err != nil { // another leaf
		t.Fatal(err)
	}
	c, err := d.as("north", "avery@north.example", "")
	if err != nil {
		t.Fatal(err)
	}
	standing, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	node, stranger := base64.StdEncoding.EncodeToString(standing.NodeKey),
		base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey))
	for _, c := range []struct {
		name   string
		args   []string
		status int
		out    []string
		talk   string
	}{
		{"list", []string{"audit", "list", "--kind", "decision"}, 0, []string{id, "decision"}, ""},
		{"list by rule", []string{"audit", "list", "--rule", "renal_dosing/metformin-caution"}, 0, []string{id}, ""},
		{"list by another rule", []string{"audit", "list", "--rule", "renal_dosing/egfr-needed"}, 0, nil, ""},
		{"list by half a patient", []string{"audit", "list", "--patient", "p"}, 2, nil, "--fhir-base"},
		{"show", []string{"audit", "show", id}, 0, []string{id, "fired", "metformin-caution", "WARNING"}, ""},
		{"explain", []string{"audit", "explain", id}, 0,
			[]string{"FIRED", "metformin-caution", "because this was not so: eGFR", "< 30", "Observation/"}, ""},
		{"explain as data", []string{"audit", "explain", "--json", id}, 0,
			[]string{`"rule": "renal_dosing/metformin-caution"`, `"text": "eGFR`, `"state": "false"`}, ""},
		{"replay", []string{"audit", "replay", "--root", root, id}, 0, []string{"same bytes"}, ""},
		{"replay without a root", []string{"audit", "replay", id}, 0, []string{"same bytes"},
			"word for the trust root"},
		{"replay from another's root", []string{"audit", "replay", "--root", d.statementFile("roots/south"), id}, 2,
			nil, "root"},
		{"what if", []string{"audit", "replay", "--root", root, "--request", changed, id}, 1,
			[]string{"differs", "renal_dosing/metformin-contraindicated", "was not", "is fired"}, ""},
		{"receipt", []string{"audit", "receipt", receipt}, 0, []string{"receipt holds", id, "under the signed head"},
			""},
		{"receipt offline", []string{"audit", "receipt", "--node-key", node, receipt}, 0,
			[]string{"the node signed the head", id}, ""},
		{"receipt of another node", []string{"audit", "receipt", "--node-key", stranger, receipt}, 1,
			[]string{"NOT hold"}, ""},
		{"receipt moved", []string{"audit", "receipt", forged}, 1, nil, "receipt"},
		{"proof", []string{"audit", "proof", id}, 0, []string{"c2sp.org/tlog-proof@v1", "index "}, ""},
		{"proof of another node", []string{"audit", "proof", "--node-key", stranger, id}, 1, nil, "does NOT hold"},
		{"proof as JSON", []string{"audit", "proof", "--json", id}, 0, []string{`"checkpoint": "`}, ""},
		{"proof checked", []string{"audit", "receipt", proof}, 0, []string{"proof holds", id}, ""},
		{"proof checked offline", []string{"audit", "receipt", "--node-key", node, proof}, 0,
			[]string{"proof holds", id}, ""},
		{"proof checked with another key", []string{"audit", "receipt", "--node-key", stranger, proof}, 1,
			[]string{"does NOT hold"}, ""},
		{"proof altered", []string{"audit", "receipt", "--node-key", node, altered}, 1, []string{"does NOT hold"}, ""},
		{"receipt of another leaf", []string{"audit", "receipt", swapped}, 1, []string{"NOT hold"}, ""},
		{"verify", []string{"audit", "verify"}, 0, []string{"log verified"}, ""},
		{"no such record", []string{"audit", "show", "019cb2a0-0000-7000-8000-000000000001"}, 2, nil, "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, talk, status := command(t, d, c.args...)
			if status != c.status {
				t.Errorf("exit status %d, want %d: %s", status, c.status, talk)
			}
			for _, want := range c.out {
				if !strings.Contains(out, want) {
					t.Errorf("standard output lacks %q:\n%s", want, out)
				}
			}
			if c.out == nil && out != "" {
				t.Errorf("standard output: %s", out)
			}
			if !strings.Contains(talk, c.talk) {
				t.Errorf("standard error lacks %q:\n%s", c.talk, talk)
			}
		})
	}
}
