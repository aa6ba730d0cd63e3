package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
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
			first.Procs != runtime.GOMAXPROCS(0) || first.Limit != want {
			t.Errorf("%s: %s, %v; want a limit of %d", env, line, err, want)
		}
		(&child{cmd: p}).stop()
	}
}
