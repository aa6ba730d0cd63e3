package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/bolt"
	"github.com/precept-cds/precept/engine/audit/pg"
	"github.com/precept-cds/precept/engine/audit/pg/pgtest"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
)

// copyStore puts everything that a store file has into a database.
func copyStore(t *testing.T, path, url string) {
	t.Helper()
	from, err := bolt.Open(path, bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := pg.Open(t.Context(), url, pg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	r, err := audit.OpenReader(t.Context(), audit.Config{Store: from})
	if err != nil {
		t.Fatal(err)
	}
	tenants, err := r.Tenants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for space := range audit.Spaces {
		for _, tn := range append([]tenant.ID{""}, tenants...) {
			var b audit.Batch
			err := from.View(t.Context(), func(v audit.View) error {
				return v.Scan(space, tn, nil, nil, false, func(k, value []byte) (bool, error) {
					b.Put = append(b.Put, audit.Item{Space: space, Tenant: tn, Key: bytes.Clone(k),
						Value: bytes.Clone(value)})
					return true, nil
				})
			})
			if err == nil {
				err = to.Commit(t.Context(), &b)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestServeFromPostgreSQL has two processes serve a region from one database: migrated by the command, named by a file
// that has a password in it, which shows up nowhere. A call is repeated by the other process with the recorded bytes,
// and the death of one is no matter to the other.
func TestServeFromPostgreSQL(t *testing.T) {
	const secret = "s3cr3t-of-the-store"
	server := pgtest.Start(t)
	database := server.Empty(t, "")
	precept := preceptProgram(t)
	run := func(status int, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), precept, args...)
		out, _ := cmd.CombinedOutput() // the status says it
		if got := cmd.ProcessState.ExitCode(); got != status || strings.Contains(string(out), secret) {
			t.Errorf("precept %s: status %d, want %d: %s", strings.Join(args, " "), got, status, out)
		}
		return string(out)
	}
	service := server.URL(database, pgtest.Service)
	file := filepath.Join(t.TempDir(), "db-url")
	withPassword := strings.Replace(service, "precept@", "precept:"+secret+"@", 1)
	if err := os.WriteFile(file, []byte(withPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newRegion(t)
	d.edit(t, "kind: bolt", "kind: postgres")
	d.edit(t, "path: store/audit.db", "url: "+file)
	d.edit(t, "high_water: high-water", "high_water: \"\"")
	said := run(2, "serve", "--config", d.config)
	if !strings.Contains(said, "schema: the database has no schema precept") ||
		!strings.Contains(said, "precept store migrate") {
		t.Errorf("a start without a schema says %s", said)
	}
	owner := server.URL(database, pgtest.Owner)
	shown := strings.Replace(owner, "keeper@", "keeper:x@", 1)
	said = run(2, "store", "migrate", "--store", shown, "--service", "precept")
	if !strings.Contains(said, "put the URL into a file") {
		t.Errorf("a password on the command line: %s", said)
	}
	migrate := []string{"store", "migrate", "--store", owner, "--service", pgtest.Service}
	if said := run(0, migrate...); said != "applied  1 spaces\n" {
		t.Errorf("migrating says %q", said)
	}
	if said := run(0, migrate...); said != "" {
		t.Errorf("migrating again says %q", said)
	}
	copyStore(t, filepath.Join(d.dir, "store", "audit.db"), service)
	a := startNode(t, d)
	second := *d
	second.config = filepath.Join(d.dir, "second.yaml")
	listen, err := listenAnywhere()
	if err != nil {
		t.Fatal(err)
	}
	private, err := listenAnywhere()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	host := func(url string) string { return strings.TrimPrefix(url, "http://") }
	changed := strings.NewReplacer("\nlisten: "+host(d.public), "\nlisten: "+listen.Addr().String(), "private_listen: "+
		host(d.private), "private_listen: "+private.Addr().String()).Replace(string(text))
	if err := os.WriteFile(second.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	second.public, second.private = "http://"+listen.Addr().String(), "http://"+private.Addr().String()
	_, _ = listen.Close(), private.Close() // for the process
	startNode(t, &second)
	ehr, err := d.ehr("north")
	if err != nil {
		t.Fatal(err)
	}
	call := func(at string, variant int) (receipt string, answer []byte) {
		t.Helper()
		token, err := ehr.Token(demoService)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodPost, at+"/t/north/cds-services/"+demoService,
			bytes.NewReader(current(fixtures.Standard(7, variant), d.now)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if answer, err = io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, %v: %s", resp.StatusCode, err, answer)
		}
		r, err := audit.ParseReceipt(resp.Header.Get("Precept-Receipt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(r.RecordID), answer
	}
	for i := range 3 {
		id, answer := call(d.public, i)
		if again, same := call(second.public, i); again != id || !bytes.Equal(same, answer) {
			t.Errorf("the other process answers call %d by record %s, not %s", i, again, id)
		}
	}
	line, err := os.ReadFile("/proc/" + strconv.Itoa(a.cmd.Process.Pid) + "/cmdline")
	if err != nil || bytes.Contains(line, []byte(secret)) {
		t.Errorf("the process list shows %q, %v", line, err)
	}
	if err := a.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if call(second.public, 100); time.Since(began) > 5*time.Second {
		t.Errorf("the other process took %s", time.Since(began))
	}
	said = run(0, "audit", "verify", "--tenant", "north", "--store", service)
	if !strings.Contains(said, "verified") {
		t.Errorf("verifying the database says %s", said)
	}
	run(0, "audit", "verify", "--tenant", "north", "--store", file, "--store-kind", "postgres")
	run(2, "audit", "verify", "--tenant", "north", "--store", withPassword)
	if strings.Contains(second.page(t, "metrics"), secret) {
		t.Error("the password is in the metrics")
	}
}
