package client

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A program that only looks at records must not carry the engine along: of
// ours, this package takes wire types and the values of an explanation, and
// nothing else.
func TestDependencies(t *testing.T) {
	const most = 230
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if len(deps) > most {
		t.Errorf("%d packages, want at most %d", len(deps), most)
	}
	const ours = "github.com/precept-cds/precept/"
	allowed := []string{"api/client", "api/wire", "engine/cdshooks", "engine/decision", "engine/fact", "engine/safetext",
		"engine/tenant"}
	for _, d := range deps {
		if name, ok := strings.CutPrefix(d, ours); ok && !slices.Contains(allowed, name) {
			t.Errorf("%s is not a package of plain values", d)
		}
		for _, banned := range []string{"github.com/open-policy-agent/", "go.etcd.io/", "github.com/sigstore/",
			"github.com/labstack/"} {
			if strings.HasPrefix(d, banned) {
				t.Errorf("%s has no place in a client", d)
			}
		}
	}
	if !slices.Contains(deps, ours+"api/wire") {
		t.Error("the list is not that of this package")
	}
}
