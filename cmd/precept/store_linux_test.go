package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/statement"
)

// look reads a page of the private listener.
func (d *demoRegion) look(t *testing.T, path string) (status int, text string) {
	t.Helper()
	resp, err := http.Get(d.private + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// until waits for an answer of /readyz that begins so.
func (d *demoRegion) until(t *testing.T, want string) {
	t.Helper()
	var text string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, text = d.look(t, "/readyz"); strings.HasPrefix(text, want) {
			return
		}
	}
	t.Fatalf("/readyz says %q, want %q", text, want)
}

// setting adds keys to the store's part of the configuration.
func (d *demoRegion) setting(t *testing.T, lines ...string) {
	t.Helper()
	text, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "store:\n", "store:\n    "+strings.Join(lines, "\n    ")+"\n", 1)
	if changed == string(text) {
		t.Fatalf("the configuration has no store:\n%s", text)
	}
	if err := os.WriteFile(d.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk fills the volume of a running node's store: calls get 503, the node says that it is not ready, a
// suspension is taken, a node that starts does so too; and with space again it goes on by itself.
func TestFullDisk(t *testing.T) {
	d := newRegion(t)
	dir, err := os.MkdirTemp("/dev/shm", "precept-full-disk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// The folder of the store goes to a volume whose free space nobody else changes much.
	if err := os.CopyFS(dir, os.DirFS(d.path("store"))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(d.path("store")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, d.path("store")); err != nil {
		t.Fatal(err)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	free := int64(s.Bavail) * s.Bsize
	d.setting(t, fmt.Sprintf("min_free_bytes: %d", free-64<<20))
	n := startNode(t, d)
	if _, err := n.call(t, 1); err != nil {
		t.Fatalf("with space: %v", err)
	}
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(filler.Fd()), 0, 0, 128<<20); err != nil {
		t.Fatal(err)
	}
	full := func(variant int) {
		t.Helper()
		d.until(t, "records cannot be kept: nothing was stored: store full: ")
		if _, err := n.call(t, variant); err == nil || !strings.Contains(err.Error(), "The store is full") {
			t.Errorf("on a full disk: %v, want 503", err)
		}
		if status, _ := d.look(t, "/healthz"); status != http.StatusOK {
			t.Errorf("/healthz: %d", status)
		}
	}
	full(2)
	_, metrics := d.look(t, "/metrics")
	for _, name := range []string{"precept_store_free_bytes ", "precept_store_bytes ",
		"precept_store_commit_seconds_count ", "precept_store_commit_age_seconds 0"} {
		if !strings.Contains(metrics, "\n"+name) {
			t.Errorf("metric %s is missing", name)
		}
	}
	n.kill(t)
	n = startLive(t, d)
	full(3)
	_, approver, _ := demoPersons("north")
	env, err := d.sign("statements/full-disk", statement.Statement{Predicate: statement.Suspension{
		Tenant: statement.Tenant(tenant.ID("north")), Region: demoRegionID, Pack: "renal_dosing", Reason: "test",
		SuspendedAt: d.now}}, approver)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.apply(t.Context(), "north", approver, env.Bytes()); err != nil {
		t.Errorf("a suspension on a full disk: %v", err)
	}
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	filler.Close()
	d.until(t, "ready")
	if _, err := n.call(t, 4); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// startLive runs the service and waits only until it lives.
func startLive(t *testing.T, d *demoRegion) *node {
	t.Helper()
	c, err := startChild(t.Context(), d.private+"/healthz", d.private+"/metrics", preceptProgram(t), "serve", "--config",
		d.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	return &node{c, d}
}
