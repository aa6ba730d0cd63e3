package rulepacks

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"golang.org/x/mod/module"

	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// Names of the fixed files.
const (
	packFile     = "pack.yaml"
	manifestFile = ".manifest"
	productsFile = "tables/products.json"
	drugsFile    = "tables/drugs.bin"
	releaseFile  = "tables/release.json"
	codesFile    = "tables/codes.json"
)

const (
	maxNameBytes    = 200
	maxNameSegments = 8
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)

// checkName refuses names that could leave the folder, that file systems spell
// differently, or that have no place in a pack.
func checkName(name string) error {
	if what := unsafeName(name); what != "" {
		return &packfile.Problem{File: packfile.Short(name), What: what, Kind: ErrUnsafeName,
			Hint: "rename it: relative, forward slashes, ASCII letters, digits, '.', '_' and '-'"}
	}
	if hint := unknownFile(name); hint != "" {
		return &packfile.Problem{File: name, What: "has no place in a pack", Kind: ErrUnknownFile, Hint: hint}
	}
	return nil
}

// unsafeName says what is unsafe about a name, or "".
func unsafeName(name string) string {
	err := module.CheckFilePath(name)
	invalid, _ := errors.AsType[*module.InvalidPathError](err)
	_, tooLong := headerBlock(name, 0)
	switch {
	case len(name) > maxNameBytes:
		return fmt.Sprintf("the name has more than %d bytes", maxNameBytes)
	case invalid != nil:
		return "the name is not safe on every system: " + invalid.Err.Error()
	case !namePattern.MatchString(name) && name != manifestFile:
		return "the name has a character other than ASCII letters, digits, '.', '_' and '-', or a part starts with a sign"
	case strings.Count(name, "/") >= maxNameSegments:
		return fmt.Sprintf("the name has more than %d segments", maxNameSegments)
	case tooLong != nil:
		return "the name is too long for a USTAR header"
	}
	return ""
}

// unknownFile returns "" for a name of the layout, else a hint.
func unknownFile(name string) string {
	switch name {
	case packFile, manifestFile, productsFile, drugsFile, releaseFile, codesFile, "README.md", "NOTICE":
		return ""
	}
	switch base := path.Base(name); {
	case base == "data.json" || base == "data.yaml" || base == "data.yml" || base == "patch.json",
		base == "plan.json" || base == "policy.wasm",
		strings.HasSuffix(base, "signatures.json") || strings.Contains(base, ".manifest"):
		return "rename it: OPA gives this name a meaning of its own"
	}
	folder, rest, _ := strings.Cut(name, "/")
	stem, ext := strings.TrimSuffix(rest, path.Ext(rest)), path.Ext(rest)
	switch {
	case folder == "cases" && stem != "" && (ext == ".yaml" || ext == ".json"):
		return ""
	case strings.Contains(rest, "/"):
	case folder == "rules" && ext == ".rego" && manifest.IsID(stem),
		folder == "valuesets" && ext == ".json" && manifest.IsID(stem),
		folder == "messages" && ext == ".json" && manifest.IsLanguage(stem):
		return ""
	}
	return "a pack holds pack.yaml, rules/<name>.rego, valuesets/<id>.json, tables/products.json, drugs.bin, " +
		"release.json or codes.json, messages/<language>.json, cases/*.yaml, README.md and NOTICE; move other files out"
}

// isTable reports whether a file is a table in bytes, which may be large.
func isTable(name string) bool { return name == drugsFile }

// nameSet refuses names that are one file or folder on some file system.
type nameSet struct {
	spelling map[string]string // folded path -> spelling in the pack
	isFile   map[string]bool   // folded path -> a file, not a folder
}

func newNameSet() *nameSet {
	return &nameSet{spelling: map[string]string{}, isFile: map[string]bool{}}
}

func (s *nameSet) add(name string) error {
	twin := func(what string) error {
		return &packfile.Problem{File: name, What: what, Kind: ErrDuplicate,
			Hint: "every name must be one file on every file system; rename or delete one"}
	}
	for i := range name {
		if name[i] != '/' {
			continue
		}
		folder := name[:i]
		fold := strings.ToLower(folder)
		if s.isFile[fold] {
			return twin("its folder is also a file")
		}
		if old, ok := s.spelling[fold]; ok && old != folder {
			return twin("its folder differs from another only in letter case")
		}
		s.spelling[fold] = folder
	}
	fold := strings.ToLower(name)
	if old, ok := s.spelling[fold]; ok {
		switch {
		case !s.isFile[fold]:
			return twin("is also a folder")
		case old == name:
			return twin("appears twice")
		}
		return twin("differs from another file only in letter case")
	}
	s.spelling[fold], s.isFile[fold] = name, true
	return nil
}
