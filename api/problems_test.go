package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/tenant"
)

func TestProblemTable(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New("anything"), 500, "internal"},
		{fmt.Errorf("finding tenant: %w", tenant.ErrResidency), 421, "wrong-region"},
		{deniedSignature, 401, "unauthenticated"},
		{engine.ErrBusy, 429, "busy"},
		// A refusal that could not be recorded is the store's fault, not the caller's.
		{errors.Join(audit.ErrStore, chart.ErrJSON), 503, "store"},
		{errors.Join(chart.ErrJSON, audit.ErrStore), 503, "store"},
	} {
		if p := problemTable().find(c.err); p.status != c.status || p.code != c.code {
			t.Errorf("%v: %d %s", c.err, p.status, p.code)
		}
	}
	for _, p := range problemTable() {
		if p.title == "" || p.code == "" || p.is == nil || p.status < 400 || http.StatusText(p.status) == "" {
			t.Errorf("row %v is not complete", p.is)
		}
		if (p.status == 429 || p.status == 503) != (p.retry > 0) && p.status != 409 {
			t.Errorf("row %v: status %d with Retry-After %d", p.is, p.status, p.retry)
		}
		if p.status == 401 && (p.hint != "" || p.detail) {
			t.Errorf("row %v explains a 401", p.is)
		}
	}
}

func TestUnlistedShowsNothing(t *testing.T) {
	err := errors.New("Zzfamilyquill")
	p := internal()
	if text := string(p.outcome(err)) + string(p.document(err)); strings.Contains(text, "Zzfamilyquill") {
		t.Error(text)
	}
	var d client.Problem
	if err := json.Unmarshal(p.document(err), &d); err != nil || d.Code != "internal" || d.Status != 500 {
		t.Errorf("%+v, %v", d, err)
	}
}

// Every exported sentinel of the packages under this one has a row, or is listed
// here with the reason why it has none.
func TestEverySentinelHasARow(t *testing.T) {
	without := map[string]string{
		"audit.ErrEntry": "a mistake of our own code", "audit.ErrDuplicate": "a mistake of our own code",
		"audit.ErrForeign": "found at start", "audit.ErrMark": "found at start",
		"audit.ErrProof":    "of a file, which no route reads",
		"audit.ErrConflict": "retried inside", "keyring.ErrOpen": "tampering: shown to nobody",
		"keyring.ErrMissing": "tampering: the log makes it audit.ErrCorrupt",
		"cdshooks.ErrCard":   "a mistake of our own code", "cdshooks.ErrDiscovery": "a mistake of our own code",
		"cdshooks.ErrTemplate": "part of checking a policy", "chart.ErrInputs": "a mistake of our own code",
		"decide.ErrMissing": "a mistake of our own code",
		"decide.ErrLibrary": "of replay, which no route runs",
		"decide.ErrNotLive": "of replay, which no route runs",
		"decide.ErrMoved":   "of a call that is decided again, as audit.ErrMoved",
		"keyring.ErrErased": "the same as audit.ErrErased",
	}
	source, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, name := range source {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Err") {
				if x, ok := s.X.(*ast.Ident); ok {
					listed[x.Name+"."+s.Sel.Name] = true
				}
			}
			return true
		})
	}
	for _, folder := range []string{"../engine", "../engine/decide", "../engine/tenant", "../engine/audit",
		"../engine/chart", "../engine/cdshooks", "../engine/decision", "../engine/keyring", "../signing",
		"../rulepacks"} {
		for _, name := range sentinels(t, folder) {
			if !listed[name] && without[name] == "" {
				t.Errorf("%s has no row in the problem table", name)
			}
		}
	}
}

func sentinels(t *testing.T, folder string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != gotoken.VAR {
				continue
			}
			for _, s := range g.Specs {
				for _, id := range s.(*ast.ValueSpec).Names {
					if strings.HasPrefix(id.Name, "Err") {
						names = append(names, f.Name.Name+"."+id.Name)
					}
				}
			}
		}
	}
	return names
}
