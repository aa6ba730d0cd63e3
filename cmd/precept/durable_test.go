package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/fixtures"
)

// node is a service in a process of its own, so that it can be traced and
// killed.
type node struct {
	*child
	region *demoRegion
}

// newRegion makes a region whose service is not running.
func newRegion(t *testing.T) *demoRegion {
	t.Helper()
	d, err := makeDemoRegion(t.Context(), filepath.Join(t.TempDir(), "region"), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	return d
}

// preceptProgram gives a program that is precept: the test program is, when it
// is called so.
func preceptProgram(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	precept := filepath.Join(t.TempDir(), "precept")
	if err := os.Symlink(exe, precept); err != nil {
		t.Fatal(err)
	}
	return precept
}

// startNode runs the service, under the command given if there is one.
func startNode(t *testing.T, d *demoRegion, under ...string) *node {
	t.Helper()
	args := append(under, preceptProgram(t), "serve", "--config", d.config)
	c, err := startChild(context.WithoutCancel(t.Context()), d.private+"/readyz", d.private+"/metrics", args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	return &node{c, d}
}

func (n *node) kill(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = n.cmd.Wait() // "signal: killed" is what was asked for
}

func (n *node) call(t *testing.T, variant int) (*client.Answer, error) {
	t.Helper()
	ehr, err := n.region.ehr("north")
	if err != nil {
		t.Fatal(err)
	}
	return ehr.Call(t.Context(), demoService, current(fixtures.Standard(7, variant), n.region.now))
}

// TestKillBetweenAnswers kills the service right after an answer, again and
// again: every record whose answer arrived is there after the restart, with
// the answer in it, and the log verifies.
func TestKillBetweenAnswers(t *testing.T) {
	d := newRegion(t)
	_, _, auditor := demoPersons("north")
	answers := map[audit.RecordID]*client.Answer{}
	for round := range 4 {
		n := startNode(t, d)
		// Others are under way when the answer comes and the process dies.
		for i := range 3 {
			go func() { _, _ = n.call(t, 1000*round+i+1) }()
		}
		a, err := n.call(t, 1000*round)
		if err != nil {
			t.Fatal(err)
		}
		n.kill(t)
		r, err := audit.ParseReceipt(a.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		answers[r.RecordID] = a
	}
	startNode(t, d)
	c, err := d.as("north", auditor, "test")
	if err != nil {
		t.Fatal(err)
	}
	for id, a := range answers {
		rec, err := c.Record(t.Context(), string(id))
		if err != nil {
			t.Fatalf("record %s of an answer that arrived: %v", id, err)
		}
		if !bytes.Contains(rec.Body, a.Body) {
			t.Errorf("record %s does not contain the answer that was sent", id)
		}
	}
	report, err := c.Verify(t.Context())
	if err != nil || !report.OK() {
		t.Errorf("log does not verify after %d kills: %v %v", len(answers), report.Findings, err)
	}
}

// TestDurableBeforeAnswer watches the system calls of the service: when the
// first byte of an answer is written, the store's last write has been synced.
func TestDurableBeforeAnswer(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is needed: make tools installs it")
	}
	d := newRegion(t)
	trace := filepath.Join(t.TempDir(), "trace")
	n := startNode(t, d, strace, "-f", "-yy", "-s", "48", "-o", trace, "-e",
		"trace=read,write,pwrite64,fdatasync,fsync")
	for i := range 5 {
		if _, err := n.call(t, i); err != nil {
			t.Fatal(err)
		}
	}
	n.stop()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	answers, calls, dirty, synced := 0, 0, false, false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.Contains(line, "OST /t/north"):
			// Between two requests net/http waits with a read of one byte, so
			// the P may have come alone.
			calls++
			synced = false
		case strings.Contains(line, "pwrite64(") && strings.Contains(line, "audit.db"):
			dirty = true
		case strings.Contains(line, "fdatasync") && strings.HasSuffix(strings.TrimSpace(line), "= 0"):
			// A resumed call does not name its file; the store is the only file
			// that is synced with fdatasync.
			dirty, synced = false, true
		case calls > answers && strings.Contains(line, "write(") && strings.Contains(line, "HTTP/1.1 200"):
			answers++
			if dirty || !synced {
				t.Errorf("an answer left before its record was synced: %s", line)
			}
		}
	}
	if calls != 5 || answers != 5 {
		t.Errorf("saw %d calls and %d answers, want 5 and 5", calls, answers)
	}
}

// TestSecondProcessIsRefused opens the store of a running service offline.
func TestSecondProcessIsRefused(t *testing.T) {
	d := newRegion(t)
	startNode(t, d)
	_, err := verifyStore(t.Context(), storeConfig{Kind: boltStore, Path: d.path("store", "audit.db")}, "north", "")
	if err == nil || !strings.Contains(err.Error(), "server") {
		t.Errorf("reading a locked store: %v, want a hint to ask the server", err)
	}
}

// TestOfflineVerify reads the store of a stopped service without its keys.
func TestOfflineVerify(t *testing.T) {
	d := newRegion(t)
	report, err := verifyStore(t.Context(), storeConfig{Kind: boltStore, Path: d.path("store", "audit.db")}, "north",
		"")
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || len(report.Logs) != 2 {
		t.Errorf("offline report: %+v", report)
	}
}

// TestDemoRefusesForeignFolder does not remove what it did not make.
func TestDemoRefusesForeignFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := demo(t.Context(), dir, true, &printer{w: t.Output()}); err == nil {
		t.Error("the demo replaced a folder that was not its own")
	}
	if _, err := os.Stat(filepath.Join(dir, "mine")); errors.Is(err, os.ErrNotExist) {
		t.Error("the demo removed a file that was not its own")
	}
}
