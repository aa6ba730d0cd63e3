package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/precept-cds/precept/fixtures"
)

// TestCallCommand goes the way of an EHR on the command line: what may be
// called, a call, what became of its card.
func TestCallCommand(t *testing.T) {
	d, err := makeDemoRegion(t.Context(), filepath.Join(t.TempDir(), "region"), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	p, err := fixtures.Load("metformin-egfr-27")
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	call := func(args ...string) (stdout, stderr string, status int) {
		return precept(t, append([]string{"call", "--server", d.public, "--tenant", "north", "--issuer",
			demoIssuer("north"),
			"--kid", "ehr-north", "--key", d.keyFile("ehr-north")}, args...)...)
	}
	for _, format := range []string{"", "--json"} {
		out, talk, status := call(append([]string{"--discover"}, strings.Fields(format)...)...)
		if status != 0 || !strings.Contains(out, demoService) || !strings.Contains(out, "order-sign") {
			t.Errorf("--discover %s: %d, %s%s", format, status, out, talk)
		}
	}
	if out, talk, status := call("request.json"); status != 2 || out != "" ||
		!strings.Contains(talk, "--discover lists") {
		t.Errorf("without a service: %d, %s%s", status, out, talk)
	}
	request := file("request.json", string(current(p.Request, d.now)))
	out, talk, status := call("--service", demoService, request)
	if status != 0 || !strings.Contains(out, "CRITICAL") || !strings.Contains(talk, "receipt: id=") {
		t.Errorf("call: %d, %s%s", status, out, talk)
	}
	answer, _, _ := call("--service", demoService, "--json", request)
	card := regexp.MustCompile(`"uuid":"([^"]+)"`).FindStringSubmatch(answer)
	if card == nil {
		t.Fatalf("no card in %s", answer)
	}
	entry := fmt.Sprintf(`{"card":%q,"outcome":"overridden","outcomeTimestamp":"2026-03-02T15:00:00Z"}`, card[1])
	if out, talk, status := call("--service", demoService, "--feedback",
		file("good.json", `{"feedback":[`+entry+`]}`)); status != 0 || out != "" ||
		!strings.Contains(talk, "receipt: id=") {
		t.Errorf("feedback: %d, %s%s", status, out, talk)
	}
	if out, talk, status := call("--service", demoService, "--feedback",
		file("half.json", `{"feedback":[`+entry+`,{}]}`)); status != 0 || !strings.Contains(out, "feedback[1].card") {
		t.Errorf("feedback half usable: %d, %s%s", status, out, talk)
	}
}
