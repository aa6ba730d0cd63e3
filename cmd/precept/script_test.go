package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/precept-cds/precept/signing/statement"
)

// TestMain makes the test program be precept when it is called by that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"precept": func() { os.Exit(run()) }})
}

// TestScripts runs testdata/*.txtar: each holds a command to what it prints on
// both outputs, to its exit status and to what is not there afterwards.
//
// Besides the commands of testscript there are
//
//	status N precept ...     run precept and want this exit status
//	mode FILE 0600           want these permissions
//	flip FILE N              change one bit of byte N; negative counts from the end
//	replace FILE OLD NEW     replace text in a file
//	alter FILE OLD NEW       replace text inside the payloads of a statement
//	unsign FILE              empty the signatures of a statement
//	join OUT FILE...         write files one after the other
//	capture VAR REGEXP       set a variable to the first group of a match in the last output
//	addresses VAR...         set variables to addresses that are free
//	ready URL                wait until the address answers with 200
//	opa ...                  run the evaluator's own command line
//	region DIR PATIENT       make a demo region and call it about a fixture: sets SERVER, RECORD, NODE_KEY; receipt.txt
//	                         is the receipt
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ROOT", root)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status, "mode": mode, "flip": flip, "replace": replace, "alter": alter,
			"unsign": unsign, "join": join, "capture": capture, "addresses": addresses, "ready": ready, "opa": opa,
			"region": demoFor,
		},
	})
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command ...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("running %s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("exit status is %d, want %d", got, want)
	}
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("mode of %s is %s, want %s", args[0], got, args[1])
	}
}

func flip(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n < 0 {
		n += len(data)
	}
	data[n] ^= 1
	ts.Check(os.WriteFile(path, data, 0o600))
}

func replace(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	if !strings.Contains(string(data), args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, []byte(strings.ReplaceAll(string(data), args[1], args[2])), 0o600))
}

var (
	payload    = regexp.MustCompile(`"payload":"([^"]*)"`)
	signatures = regexp.MustCompile(`"sig":"[^"]*"`)
)

func alter(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	data = payload.ReplaceAllFunc(data, func(b []byte) []byte {
		text, err := base64.StdEncoding.DecodeString(string(payload.FindSubmatch(b)[1]))
		ts.Check(err)
		if !strings.Contains(string(text), args[1]) {
			ts.Fatalf("the payload of %s does not contain %q", args[0], args[1])
		}
		text = []byte(strings.Replace(string(text), args[1], args[2], 1))
		return fmt.Appendf(nil, `"payload":"%s"`, base64.StdEncoding.EncodeToString(text))
	})
	ts.Check(os.WriteFile(path, data, 0o600))
}

func unsign(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.WriteFile(path, signatures.ReplaceAll(data, []byte(`"sig":""`)), 0o600))
}

func join(ts *testscript.TestScript, neg bool, args []string) {
	var all []byte
	for _, name := range args[1:] {
		data, err := os.ReadFile(ts.MkAbs(name))
		ts.Check(err)
		all = append(all, data...)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), all, 0o600))
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func addresses(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		a, err := freeAddress()
		ts.Check(err)
		ts.Setenv(name, a)
	}
}

func ready(ts *testscript.TestScript, neg bool, args []string) {
	var last error
	for range 200 {
		resp, err := http.Get(args[0])
		if last = err; err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			last = errors.New(resp.Status)
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("waiting for %s: %v", args[0], last)
}

// opa runs the evaluator in the version this module uses.
func opa(ts *testscript.TestScript, neg bool, args []string) {
	cmd := exec.Command("go", append([]string{"tool", "opa"}, args...)...)
	cmd.Dir = ts.Getenv("ROOT") + "/cmd/precept"
	out, err := cmd.CombinedOutput()
	ts.Logf("%s", out)
	if (err != nil) != neg {
		ts.Fatalf("opa %s: %v", strings.Join(args, " "), err)
	}
}

// FuzzRootFile reads trust roots as people write them. What is accepted makes
// a statement or a refusal with a reason, and nothing else.
func FuzzRootFile(f *testing.F) {
	f.Add([]byte("kind: tenant\nname: north\nversion: 1\nexpires: P365D\npersons: []\n" +
		"roles:\n  root-admin: {threshold: 1, persons: [a@b]}\n"))
	f.Add([]byte("kind: publisher\npersons: [{id: a@b, keys: [{publicKeyPem: x}]}]\n" +
		"trustedPublishers: {content: publisher.jsonl}\n"))
	f.Add([]byte("a: &a [*a]\n---\nb"))
	dir := f.TempDir()
	now := time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "root.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		root, err := readRoot(path, now)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the refusal has more than one line: %v", err)
			}
			return
		}
		payload, err := statement.Statement{Predicate: *root}.Payload()
		if err != nil {
			return
		}
		if _, err := statement.Parse(payload); err != nil {
			t.Errorf("the root makes a statement that cannot be read: %v", err)
		}
	})
}
