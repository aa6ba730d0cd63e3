package workbench

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/precept-cds/precept/rulepacks"
)

//go:embed template
var template embed.FS

var packName = regexp.MustCompile(`^[a-z][a-z0-9_]{1,62}$`)

// New gives the files of a small pack that passes check and test, under a name
// of the author's choice: something to change instead of an empty folder.
func New(name string) ([]rulepacks.File, error) {
	if !packName.MatchString(name) {
		return nil, fmt.Errorf("naming a pack: the name must match %s, e.g. renal_dosing", packName)
	}
	var files []rulepacks.File
	err := fs.WalkDir(template, "template", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := template.ReadFile(path)
		if err != nil {
			return err
		}
		files = append(files, rulepacks.File{Name: strings.TrimPrefix(path, "template/"), Data: bytes.ReplaceAll(data, []byte("PACKNAME"), []byte(name))})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("making pack %s: %w", name, err)
	}
	return files, nil
}
