package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

// hostile is what a stranger may call a thing. Whoever prints it shows the
// word STRANGER, and nothing of the rest takes effect.
const hostile = "\x1b[31mSTRANGER\x1b[2J\u202e\u200b\u2066\u009b2J\u2028\x07\r\tz\nprecept: all is well"

// wantSafe checks what a command wrote to the terminal.
func wantSafe(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) {
			t.Errorf("%s writes %U: %q", what, r, text)
			return
		}
	}
	if strings.HasPrefix(text, "precept: all is well") || strings.Contains(text, "\nprecept: all is well") {
		t.Errorf("%s: a value begins a line of its own: %q", what, text)
	}
	if !strings.Contains(text, "STRANGER") {
		t.Errorf("%s does not print what this test is about: %q", what, text)
	}
}

// hostileServer answers like a service, with hostile text wherever text can be.
func hostileServer(t *testing.T) string {
	h := hostile
	type object = map[string]any
	answers := []struct {
		suffix string
		answer any
	}{
		{"/status", object{"tenant": h, "region": h, "build": h, "library": h, "opa": h,
			"policy": object{"seq": 1, "digest": h}, "unused_parameters": []string{h},
			"packs": []object{
				{"name": h, "kind": h, "version": h, "digest": h, "suspended": []string{h}, "not_run": h}},
			"suspensions": []map[string]any{{"digest": h, "pack": h, "rule": h}, {"digest": h, "type": h, "value": h}}}},
		{"/records", object{"next": h, "records": []object{
			{"id": h, "kind": h, "log": h, "decided": "2026-03-02T15:00:00Z"}}}},
		{"/verify", object{"tenant": h, "logs": []object{{"head": object{"origin": h}}},
			"findings": []object{{"kind": h, "log": h, "what": h, "detail": h}}}},
		{"/records/a/explain", object{"record_id": h, "zone": h, "hook": h, "service": h, "client": h,
			"engine": object{"build": h, "library": h, "opa": h}, "notes": []object{{"code": h, "text": h}},
			"findings": []object{{"rule": h, "version": h, "subject": h, "outcome": h, "not_evaluated": h,
				"misses": []string{h}, "fact": 0, "also": []int{7, -1}, "values": []object{{"text": h, "at": h}},
				"facts": []object{{"state": "true", "text": h, "at": h, "evidence": []string{h},
					"values": []int{0, 9}, "of": []int{0, 3, -2}, "reasons": []object{{"code": h, "text": h}}}}}}}},
		{"/records/a", object{"id": h, "kind": "access", "log": h, "leaf": object{"a": h}, "body": []byte(h)}},
		{"/cds-services/orders", object{"cards": []object{{"indicator": h, "summary": h, "detail": h,
			"source": object{"label": h}, "suggestions": []object{{"label": h}}}}}},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, a := range answers {
			if strings.HasSuffix(r.URL.Path, a.suffix) {
				w.Header().Set("Precept-Receipt", "STRANGER \u009b2J")
				_ = json.NewEncoder(w).Encode(a.answer)
				return
			}
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(object{
			"status": 400, "type": h, "title": h, "code": h, "detail": h, "at": h, "hint": h})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestTerminalIsSafe has commands print what strangers wrote.
func TestTerminalIsSafe(t *testing.T) {
	dir, program := t.TempDir(), preceptProgram(t)
	precept := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput() // many of them refuse
		return string(out)
	}
	precept("keys", "new", "--person", "a@b.example", "--out", "key.pem")
	precept("keys", "new", "--person", "a@b.example", "--alg", "ecdsa-p256", "--out", "ehr.pem")
	precept("pack", "new", "pack", "my_pack")
	yaml, err := os.ReadFile(filepath.Join(dir, "pack", "pack.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Replace(yaml, []byte("title: "), []byte("title: "+strconv.QuoteToASCII(hostile)+" #"), 1)
	if bytes.Equal(text, yaml) {
		t.Fatal("the pack has no title to change")
	}
	for name, data := range map[string][]byte{"pack/pack.yaml": text, "request.json": []byte("{}"),
		"root.yaml": []byte("kind: tenant\n" + strconv.QuoteToASCII(hostile) + ": 1\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := hostileServer(t)
	person := []string{"--server", server, "--tenant", "north", "--person", "a@b.example", "--key", "key.pem"}
	auditor := append(person, "--purpose", "test")
	call := []string{"call", "--server", server, "--tenant", "north", "--service", "orders", "--issuer", "https://ehr",
		"--kid", "k", "--key", "ehr.pem", "request.json"}
	for _, args := range [][]string{
		append([]string{"status"}, person...),
		append([]string{"status", "--json"}, person...),
		append([]string{"audit", "list"}, auditor...),
		append([]string{"audit", "list", "--json"}, auditor...),
		append([]string{"audit", "show", "a"}, auditor...),
		append([]string{"audit", "show", "--json", "a"}, auditor...),
		append([]string{"audit", "explain", "a"}, auditor...),
		append([]string{"audit", "verify"}, auditor...),
		append([]string{"audit", "verify", "--json"}, auditor...),
		append([]string{"audit", "show", "refused"}, auditor...),
		call,
		append(call, "--json"),
		append(call, "--tenant", "STRANGER\x1b[2J\u202e"),
		{"pack", "show", "pack"},
		{"pack", "show", "--json", "pack"},
		{"pack", "check", "STRANGER\x1b[2J\n\u202e"},
		{"pack", "STRANGER\x1b[2J\n\u202e"},
		{"STRANGER\x1b[2J\n\u202e"},
		{"sign", "show", "STRANGER\x1b\x9b\u009b"},
		{"sign", "root", "root.yaml", "--key", "key.pem", "-o", "root.jsonl"},
		{"serve", "--config", "STRANGER\x1b[2J\n\u202e"},
	} {
		wantSafe(t, strings.Join(args, " "), precept(args...))
	}
	precept("sign", "resumption", "--tenant", "north", "--region", "us-east", "--lifts", strings.Repeat("0", 64),
		"--reason", "STRANGER\nprecept: all is well", "--key", "key.pem", "-o", "signed.jsonl")
	for _, args := range [][]string{{"sign", "show", "signed.jsonl"}, {"sign", "show", "--json", "signed.jsonl"}} {
		wantSafe(t, strings.Join(args, " "), precept(args...))
	}
	// rulepacks imports nothing of ours and so has the rule twice.
	wantSafe(t, "an error of rulepacks", (&packfile.Problem{File: hostile, What: hostile, Hint: hostile}).Error())
}

// TestPrinterSplits writes hostile text in pieces that cut its characters.
func TestPrinterSplits(t *testing.T) {
	for size := 1; size < 5; size++ {
		var out bytes.Buffer
		p := &printer{w: &out}
		text := []byte("STRANGER\u009b \u202e \U0001f600 \xff \xe2\x80 腎\n")
		for len(text) > 0 {
			n, err := p.Write(text[:min(size, len(text))])
			if err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
		if want := "STRANGER\ufffd \ufffd \U0001f600 \ufffd \ufffd\ufffd 腎\n"; out.String() != want {
			t.Errorf("in pieces of %d: %q, want %q", size, &out, want)
		}
	}
}

// TestNothingPrintsAroundThePrinter reads the program's own text: whatever
// could reach the terminal is named in printer.go alone.
func TestNothingPrintsAroundThePrinter(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	around := set([]string{"OutOrStdout", "ErrOrStderr", "OutOrStderr", "os.Stdout", "os.Stderr",
		"io.WriteString", "tabwriter.NewWriter", "json.NewEncoder", "builtin.print", "builtin.println"})
	for _, name := range []string{"Print", "Printf", "Println", "Fprint", "Fprintf", "Fprintln",
		"PrintErr", "PrintErrf", "PrintErrln"} {
		around["fmt."+name], around["cmd."+name], around["c."+name] = true, true, true
	}
	fset := token.NewFileSet()
	for _, name := range files {
		if name == "printer.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			name := ""
			switch n := n.(type) {
			case *ast.SelectorExpr:
				name = n.Sel.Name
				if x, ok := n.X.(*ast.Ident); ok && !around[name] {
					name = x.Name + "." + name
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok {
					name = "builtin." + id.Name
				}
			}
			if around[name] {
				t.Errorf("%s: %s prints around the printer", fset.Position(n.Pos()), name)
			}
			return true
		})
	}
}
