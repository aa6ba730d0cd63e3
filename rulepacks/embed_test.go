package rulepacks

import (
	"io"
	"io/fs"
	"testing"
)

// Every reference pack is complete, lies in the folder of its name, and has
// nothing that should stop its release.
func TestEmbedded(t *testing.T) {
	folders, err := fs.ReadDir(Embedded(), ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) != 4 {
		t.Errorf("%d packs, want 4", len(folders))
	}
	for _, d := range folders {
		t.Run(d.Name(), func(t *testing.T) {
			p, err := ReadEmbedded(d.Name())
			if err != nil {
				t.Fatal(err)
			}
			if p.Manifest.Name != d.Name() || !p.hasFile("NOTICE") {
				t.Errorf("the pack is called %s, or lacks its NOTICE", p.Manifest.Name)
			}
			for _, problem := range p.Lint() {
				if problem.Warning {
					t.Logf("warning: %v", problem)
					continue
				}
				t.Error(problem)
			}
			if err := p.WriteArchive(io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
}
