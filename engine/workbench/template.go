package workbench

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

//go:embed template
var template embed.FS

// New returns the files of a small pack that passes check and test, under a name
// of the author's choice: something to change instead of an empty folder.
func New(name string) ([]packfile.File, error) {
	if !manifest.IsName(name) {
		return nil, fmt.Errorf("naming a pack: %q is not a name; use 2 to 63 of a-z, 0-9 and _, a letter first, "+
			"as in renal_dosing", name)
	}
	var files []packfile.File
	err := fs.WalkDir(template, "template", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := template.ReadFile(path)
		if err != nil {
			return err
		}
		files = append(files, packfile.File{Name: strings.TrimPrefix(path, "template/"),
			Data: bytes.ReplaceAll(data, []byte("PACKNAME"), []byte(name))})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("making pack %s: %w", name, err)
	}
	return files, nil
}
