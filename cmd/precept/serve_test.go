package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing/statement"
)

// serveTo runs the service of a region in a process of its own, with a file of the
// caller's as its standard error.
func serveTo(t *testing.T, d *demoRegion, stderr *os.File, env ...string) *exec.Cmd {
	t.Helper()
	cmd := inGroup(t.Context(), preceptProgram(t), "serve", "--config", d.config)
	cmd.Stderr, cmd.Env = stderr, append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup((&child{cmd: cmd}).stop)
	for range 300 {
		if resp, err := http.Get(d.private + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return cmd
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("not ready after 30 s")
	return nil
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		_ = w.Close()
	})
	return r, w
}

// TestMemoryLimit reads the first line of the log: the limit comes from the
// machine, or from the environment.
func TestMemoryLimit(t *testing.T) {
	d := newRegion(t)
	cores := runtime.GOMAXPROCS(0)
	procs := cores + max(1, cores-1) + 1 // what takes long, and one rule that runs on, compute besides
	for env, want := range map[string]int64{"GOMEMLIMIT=": memory() / 4 * 3, "GOMEMLIMIT=300MiB": 300 << 20} {
		r, w := pipe(t)
		p := serveTo(t, d, w, env)
		line, err := bufio.NewReader(r).ReadBytes('\n')
		var first struct {
			Msg   string
			Procs int   `json:"gomaxprocs"`
			Limit int64 `json:"gomemlimit"`
		}
		if err != nil || json.Unmarshal(line, &first) != nil || first.Msg != "serving" ||
			first.Procs != procs || first.Limit != want {
			t.Errorf("%s: %s, %v; want a limit of %d, GOMAXPROCS %d", env, line, err, want, procs)
		}
		(&child{cmd: p}).stop()
	}
}

// TestFewDescriptors has 400 strangers keep a connection open each, and come back
// when it is closed, at a service that may open 300 files: clients and operators
// are answered without waiting, records are kept, and a rule is taken out of service.
func TestFewDescriptors(t *testing.T) {
	d := newRegion(t)
	n := startNode(t, d, "sh", "-c", `ulimit -n 300; exec "$@"`, "sh")
	ctx, stop := context.WithCancel(t.Context())
	var strangers sync.WaitGroup
	for range 400 {
		strangers.Go(func() {
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", strings.TrimPrefix(d.public, "http://"))
				if err == nil {
					end := context.AfterFunc(ctx, func() { _ = c.Close() })
					_, _ = io.Copy(io.Discard, c) // until either side ends it
					end()
					_ = c.Close()
				}
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
	defer strangers.Wait()
	defer stop()
	time.Sleep(time.Second)
	for i := range 10 { // enough for the mark to be written anew
		began := time.Now()
		if _, err := n.call(t, i); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		resp, err := http.Get(d.private + "/readyz")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("/readyz: %v, %v", resp, err)
		}
		resp.Body.Close()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("call %d was answered after %v", i, took)
		}
	}
	_, approver, _ := demoPersons("north")
	env, err := d.sign("statements/strangers", statement.Statement{Predicate: statement.Suspension{Tenant: "north",
		Region: demoRegionID, Pack: "renal_dosing", Reason: "strangers are at the door",
		SuspendedAt: d.now}}, approver)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.as("north", approver, "")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := c.Apply(ctx, env.Bytes()); err != nil {
		t.Errorf("suspending a pack meanwhile: %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the suspension was taken after %v", took)
	}
	if a, err := n.call(t, 100); err != nil || !bytes.Contains(a.Body, []byte("not done")) {
		t.Errorf("a call after the suspension: %v", err)
	}
}

// TestNobodyReadsTheLog fills the pipe of standard error, then reads it again, then
// closes it. Calls are answered all the time, and the log says what is missing.
func TestNobodyReadsTheLog(t *testing.T) {
	d := newRegion(t)
	r, w := pipe(t)
	p := serveTo(t, d, w)
	_ = w.Close()
	n := &node{&child{cmd: p}, d}
	refuse := func(times int) {
		t.Helper()
		for range times {
			resp, err := http.Get(d.public + "/t/north/cds-services")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	refuse(8000) // some 160 bytes each: the pipe is full, and then the buffer
	if _, err := n.call(t, 1); err != nil {
		t.Errorf("with a log that nobody reads: %v", err)
	}
	metrics := func() string {
		t.Helper()
		resp, err := http.Get(d.private + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if m := regexp.MustCompile(`precept_log_dropped_total ([0-9.e+]+)`).FindStringSubmatch(metrics()); m == nil ||
		m[1] == "0" {
		t.Errorf("dropped lines are not counted: %v", m)
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "dropped") {
			break
		}
	}
	if !strings.Contains(lines.Text(), `"level":"WARN"`) || !strings.Contains(lines.Text(), `"lines":`) {
		t.Errorf("the log does not say what is missing: %q, %v", lines.Text(), lines.Err())
	}
	_ = r.Close()
	refuse(10)
	if _, err := n.call(t, 2); err != nil {
		t.Errorf("with a log whose reader is gone: %v", err)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("stopping without a reader of the log: %v", err)
	}
}
