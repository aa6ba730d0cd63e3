package rulepacks

import (
	"embed"
	"io/fs"
)

// The reference packs. Names that start with a dot or an underscore stay out,
// so that an editor's leftovers do not get into the program.
//
//go:embed high_priority_ddi nsaid_anticoagulant renal_dosing terminology_core
var embedded embed.FS

// Embedded returns the reference packs that come with this module, one folder
// per pack, named like the pack. [ReadEmbedded] reads one.
// They are unsigned sources. Nothing runs them before they are built, signed
// and activated like any other pack.
func Embedded() fs.FS { return embedded }

// ReadEmbedded reads one of the reference packs as [ReadFolder] does.
func ReadEmbedded(name string) (*Pack, error) {
	folder, err := fs.Sub(embedded, name)
	if err != nil {
		return nil, err
	}
	return ReadFolder(folder)
}
