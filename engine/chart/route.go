package chart

import (
	_ "embed" // the table of routes
	"fmt"
	"slices"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
)

// Site is where a drug enters the body, as far as rules care.
type Site string

// The places that the table of routes tells apart. The first four are where a drug
// acts only; from the others it spreads through the body. Routes to none of them,
// such as the bladder or a joint, leave the question open.
const (
	SiteSkin      Site = "skin"
	SiteEye       Site = "eye"
	SiteEar       Site = "ear"
	SiteNose      Site = "nose"
	SiteMouth     Site = "mouth"
	SiteTube      Site = "tube"
	SiteInjection Site = "injection"
	SiteLung      Site = "lung"
	SitePatch     Site = "patch" // through the skin on purpose
	SiteRectum    Site = "rectum"
	SiteVagina    Site = "vagina"
)

// Local reports whether a drug that is given there acts only there, in general.
func (p Site) Local() bool {
	return p == SiteSkin || p == SiteEye || p == SiteEar || p == SiteNose
}

//go:embed routes.json
var routesJSON []byte

// The systems of the table of routes that are not code systems.
const (
	formWords  = "form"         // words for forms of a terminology pack
	formGroups = "rxnorm-group" // names of dose form groups
)

// sites is the table of routes: what each code of a route or form stands for.
var sites = sync.OnceValue(func() map[codeKey]Site {
	table, err := readSites(routesJSON)
	if err != nil {
		panic(err) // a slip of this package, which every test finds
	}
	return table
})

// readSites reads the table of routes. A code in two places, and a system without
// a source, are refused.
func readSites(raw []byte) (map[codeKey]Site, error) {
	var file struct {
		Sources map[string]string            `json:"sources"`
		Systems map[string][]string          `json:"systems"`
		Sites   map[Site]map[string][]string `json:"sites"`
	}
	if err := jsonv2.Unmarshal(raw, &file, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("reading the table of routes: %w", err)
	}
	table := map[codeKey]Site{}
	for place, systems := range file.Sites {
		for name, codes := range systems {
			uris := file.Systems[name]
			switch {
			case file.Sources[name] == "":
				return nil, fmt.Errorf("reading the table of routes: %s has no source", name)
			case name == formWords || name == formGroups:
				uris = []string{name}
			case len(uris) == 0:
				return nil, fmt.Errorf("reading the table of routes: %s has no URI", name)
			}
			for _, uri := range uris {
				for _, code := range codes {
					key := codeKey{CanonicalSystem(uri), code}
					if other, twice := table[key]; twice {
						return nil, fmt.Errorf("reading the table of routes: %s of %s is %s and %s", code, uri, other,
							place)
					}
					table[key] = place
				}
			}
		}
	}
	return table, nil
}

// SiteOf returns where a route, or a dose form, of SNOMED CT, HL7 v3, the NCI
// Thesaurus or EDQM leads to; ok is false for one that the table does not have.
func SiteOf(c Coding) (p Site, ok bool) {
	p, ok = sites()[codeKey{c.System, c.Code}]
	return p, ok
}

// Sites appends to list where the dose form leads to: as the release has it, else as the
// Medication does. None is known where neither says.
func (d *Drug) Sites(list []Site) []Site {
	table, before := sites(), len(list)
	if p, ok := table[codeKey{formWords, d.Form}]; ok {
		return append(list, p)
	}
	for _, g := range d.DoseForm.Groups {
		if p, ok := table[codeKey{formGroups, g.Display}]; ok && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	if len(list) > before {
		return list
	}
	for _, f := range d.Forms {
		if p, ok := SiteOf(f); ok && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}
