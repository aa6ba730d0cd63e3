package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/fixtures"
)

// TestNothingOfPatientsLeaks sends every fixture, whole and spoiled, through a
// running service, has the records read by an auditor, and then looks for
// every identifier and token in the service's log and metrics.
func TestNothingOfPatientsLeaks(t *testing.T) {
	d, err := makeDemoRegion(t.Context(), filepath.Join(t.TempDir(), "region"), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	patients, err := fixtures.Patients()
	if err != nil {
		t.Fatal(err)
	}
	ehr, err := d.ehr("north")
	if err != nil {
		t.Fatal(err)
	}
	_, _, auditor := demoPersons("north")
	c, err := d.as("north", auditor, "test")
	if err != nil {
		t.Fatal(err)
	}
	token, err := ehr.Token(demoService)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{token}
	for _, p := range patients {
		secrets = append(secrets, p.Identifiers...)
		a, err := ehr.Call(t.Context(), demoService, p.Request)
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		r, err := audit.ParseReceipt(a.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Explain(t.Context(), string(r.RecordID)); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		// Cut short, then with a value of the wrong type: both name a place.
		wrong := strings.Replace(string(p.Request), `"context":{`, `"context":[{`, 1)
		for _, bad := range [][]byte{p.Request[:len(p.Request)/2], []byte(wrong)} {
			if _, err := ehr.Call(t.Context(), demoService, bad); err == nil {
				t.Errorf("%s: a spoiled body was accepted", p.Name)
			} else {
				look(t, "the error to the caller", err.Error(), p.Identifiers)
			}
		}
		if _, err := ehr.Call(t.Context(), p.Identifiers[0], p.Request); err == nil {
			t.Errorf("%s: an unknown service answered", p.Name)
		}
	}
	attacks, err := fixtures.Attacks()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attacks {
		_, _ = ehr.Call(t.Context(), demoService, a.Body) // refused or not: what is logged counts
	}
	resp, err := http.Get(d.private + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(d.path("service.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "\n"); n < 4*len(patients) {
		t.Fatalf("only %d lines were logged", n)
	}
	look(t, "the log", string(log), secrets)
	look(t, "the metrics", string(metrics), secrets)
}

// look reports every secret that is in a text.
func look(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if len(s) >= 4 && strings.Contains(text, s) {
			t.Errorf("%s holds %q", where, s)
		}
	}
}
