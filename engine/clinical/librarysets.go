package clinical

import (
	"embed"
	"sync"

	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// The value sets of the library itself, in the form of those of packs. Where their
// codes come from is said in docs/sources.md.
//
//go:embed valuesets/*.json
var librarySetFiles embed.FS

// librarySets are the value sets of the library, by id.
var librarySets = sync.OnceValue(func() map[string]*valueSet {
	pack := &rulepacks.Pack{}
	for _, id := range []string{"pregnancy", "dialysis", "dialysis_dependence", "hysterectomy"} {
		name := "valuesets/" + id + ".json"
		data, err := librarySetFiles.ReadFile(name)
		if err != nil {
			panic("clinical: " + err.Error()) // a slip in this package's files, which its tests find
		}
		set, err := vocab.ReadValueSet(packfile.File{Name: name, Data: data})
		if err != nil {
			panic("clinical: " + err.Error())
		}
		pack.ValueSets = append(pack.ValueSets, set)
	}
	return valueSets(pack)
})
