package rulepacks

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/casefile"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Messages are the translations of one language: from the text in the rules to
// the text on the card, both with {name} placeholders.
type Messages map[string]string

// Pack is a rule pack that was read and found well formed. It is shared between
// readers and must not be modified.
type Pack struct {
	Manifest    manifest.Manifest
	Rules       []packfile.File     // rules/*.rego, sorted by name
	ValueSets   []*vocab.ValueSet   // sorted by ID
	Terminology *vocab.Terminology  // nil unless the kind is terminology
	CodeMap     *vocab.CodeMap      // nil unless the kind is codemap
	Messages    map[string]Messages // by language
	Cases       []casefile.Case     // in order of file, then place in the file
	Files       []packfile.File     // all, with .manifest, in canonical order
	Digest      Digest              // SHA-256 of the canonical tar
	DirHash1    string              // Hash1 of the files as 64 hex digits
}

// ValueSet returns the value set of an id.
func (p *Pack) ValueSet(id string) (*vocab.ValueSet, bool) {
	i, ok := slices.BinarySearchFunc(p.ValueSets, id, func(v *vocab.ValueSet, id string) int {
		return strings.Compare(v.ID, id)
	})
	if !ok {
		return nil, false
	}
	return p.ValueSets[i], true
}

// Line returns the line of a place in a YAML or JSON file of the pack, or of
// the nearest place above it; 0 if there is no such file.
func (p *Pack) Line(file string, at jsontext.Pointer) int {
	i, ok := p.find(file)
	if !ok {
		return 0
	}
	d, err := packfile.Read(p.Files[i])
	if err != nil {
		return 0
	}
	return d.Line(at)
}

// FromFiles makes a pack of files in any order and takes them over. The
// .manifest is generated; one that is given must equal it. All problems are
// reported, not only the first.
func FromFiles(files []packfile.File) (*Pack, error) {
	p := &Pack{Messages: map[string]Messages{}}
	var problems packfile.List
	p.Files = slices.Clone(files)
	slices.SortStableFunc(p.Files, func(a, b packfile.File) int { return strings.Compare(a.Name, b.Name) })
	names := newNameSet()
	for _, f := range p.Files {
		problems.Add(checkName(f.Name))
		problems.Add(names.add(f.Name))
		if !isTable(f.Name) { // what is in it, those who read drugs check
			problems.Add(f.CheckText())
		}
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(p.Files, func(f packfile.File) bool { return f.Name == packFile })
	if i < 0 {
		return nil, &packfile.Problem{File: packFile, What: "is missing", Kind: manifest.ErrManifest,
			Hint: "every pack has one; precept pack new makes one"}
	}
	var err error
	if p.Manifest, err = manifest.Read(p.Files[i]); err != nil {
		return nil, err
	}
	problems.Add(p.addManifest())
	for _, f := range p.Files {
		problems.Add(p.parse(f))
	}
	p.checkComplete(&problems)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if p.Digest, err = sumTar(p.Files); err != nil {
		return nil, err
	}
	if p.DirHash1, err = sumDir(p.Files); err != nil {
		return nil, err
	}
	return p, nil
}

// addManifest generates .manifest and compares it with a stored one.
func (p *Pack) addManifest() error {
	data, err := p.Manifest.OPAManifest()
	if err != nil {
		return err
	}
	// Bytewise, .manifest sorts before every other name that is allowed.
	if p.Files[0].Name != manifestFile {
		p.Files = slices.Insert(p.Files, 0, packfile.File{Name: manifestFile, Data: data})
		return nil
	}
	if !bytes.Equal(p.Files[0].Data, data) {
		return &packfile.Problem{File: manifestFile, What: "is not the one that follows from pack.yaml",
			Kind: manifest.ErrManifest, Hint: "delete it: it is generated when the pack is built"}
	}
	return nil
}

// parse reads one file into the field it belongs to.
func (p *Pack) parse(f packfile.File) error {
	folder, rest, _ := strings.Cut(f.Name, "/")
	if err := p.checkKind(f.Name, folder); err != nil {
		return err
	}
	switch folder {
	case "rules":
		p.Rules = append(p.Rules, f)
	case "valuesets":
		v, err := vocab.ReadValueSet(f)
		if err != nil {
			return err
		}
		p.ValueSets = append(p.ValueSets, v)
	case "tables":
		return p.parseTable(f)
	case "messages":
		m, err := parseMessages(f)
		if err != nil {
			return err
		}
		p.Messages[strings.TrimSuffix(rest, ".json")] = m
	case "cases":
		cases, err := casefile.Read(f, p.Manifest.Name)
		if err != nil {
			return err
		}
		p.Cases = append(p.Cases, cases...)
	}
	return nil
}

// parseTable reads one of the tables of a terminology or a code map. A release is a
// products.json, or a drugs.bin with what its release.json says of it.
func (p *Pack) parseTable(f packfile.File) (err error) {
	switch f.Name {
	case codesFile:
		p.CodeMap, err = vocab.ReadCodeMap(f)
		return err
	case drugsFile:
		if p.Terminology == nil {
			p.Terminology = &vocab.Terminology{}
		}
		p.Terminology.Table = f.Data
		return nil
	}
	read := vocab.ReadTerminology
	if f.Name == releaseFile {
		read = vocab.ReadRelease
	}
	t, err := read(f)
	if err != nil {
		return err
	}
	if p.Terminology != nil { // files come in order of their names
		t.Table = p.Terminology.Table
	}
	p.Terminology = t
	return nil
}

// parseMessages reads messages/<language>.json.
func parseMessages(f packfile.File) (Messages, error) {
	d, err := packfile.Read(f)
	if err != nil {
		return nil, err
	}
	m := Messages{}
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	for _, source := range slices.Sorted(maps.Keys(m)) {
		if strings.TrimSpace(source) == "" || strings.TrimSpace(m[source]) == "" {
			return nil, d.Problem(ErrMessages, jsontext.Pointer("").AppendToken(source), "translate it, or remove the line",
				"a text or its translation is empty")
		}
	}
	return m, nil
}

// checkKind refuses folders that a pack of this kind does not have.
func (p *Pack) checkKind(name, folder string) error {
	kind := p.Manifest.Kind
	switch rules := kind == manifest.KindRules; {
	case rules && folder == "tables":
		return &packfile.Problem{File: name, What: "is not part of a rules pack", Kind: ErrUnknownFile,
			Hint: "tables belong to a pack of kind: terminology or codemap"}
	case !rules && slices.Contains([]string{"rules", "valuesets", "messages", "cases"}, folder):
		return &packfile.Problem{File: name, What: fmt.Sprintf("is not part of a %s pack", kind), Kind: ErrUnknownFile,
			Hint: "move it to a pack of kind: rules"}
	case folder == "tables" && (kind == manifest.KindCodeMap) != (name == codesFile):
		return &packfile.Problem{File: name, What: fmt.Sprintf("is not part of a %s pack", kind), Kind: ErrUnknownFile,
			Hint: "codes.json belongs to kind: codemap, the other tables to kind: terminology"}
	}
	return nil
}

// checkComplete compares what is there with what pack.yaml declares.
func (p *Pack) checkComplete(problems *packfile.List) {
	missing := func(file, hint string) {
		problems.Add(&packfile.Problem{File: file, What: "is missing", Kind: manifest.ErrManifest, Hint: hint})
	}
	switch p.Manifest.Kind {
	case manifest.KindTerminology:
		switch products, drugs := p.hasFile(productsFile), p.hasFile(drugsFile); {
		case !products && !drugs:
			missing(productsFile, "a terminology pack holds this table, or drugs.bin and release.json")
		case products && (drugs || p.hasFile(releaseFile)):
			problems.Add(&packfile.Problem{File: productsFile, What: "is one release too many", Kind: manifest.ErrManifest,
				Hint: "keep it, or drugs.bin and release.json"})
		case !products && !p.hasFile(releaseFile):
			missing(releaseFile, "it says what drugs.bin is made of; precept terminology build writes both")
		}
		return
	case manifest.KindCodeMap:
		if !p.hasFile(codesFile) {
			missing(codesFile, "a code map holds this table")
		}
		return
	}
	if len(p.Rules) == 0 {
		problems.Add(&packfile.Problem{File: "rules", What: "has no rules", Kind: manifest.ErrManifest,
			Hint: "write one rule per file as rules/<name>.rego"})
	}
	declared := map[string]bool{}
	for i, v := range p.Manifest.ValueSets {
		declared[v.ID] = true
		if !p.hasFile(setFile(v.ID)) && !problems.Full() {
			problems.Add(&packfile.Problem{File: packFile, Line: p.Line(packFile, packfile.Index("/value_sets", i)),
				Kind: vocab.ErrValueSet, What: fmt.Sprintf("value set %s has no file", v.ID),
				Hint: "add " + setFile(v.ID) + " or remove the line"})
		}
	}
	for _, f := range p.Files {
		if id, ok := strings.CutPrefix(f.Name, "valuesets/"); ok && !declared[strings.TrimSuffix(id, ".json")] {
			problems.Add(&packfile.Problem{File: f.Name, What: "is not declared", Kind: vocab.ErrValueSet,
				Hint: "declare it with its source and licence under value_sets in pack.yaml"})
		}
	}
	first := map[string]*casefile.Case{}
	for i := range p.Cases {
		c := &p.Cases[i]
		if old := first[c.Name]; old != nil {
			problems.Add(&packfile.Problem{File: c.File, Line: c.Line, Kind: casefile.ErrCase,
				Hint: "rename one: names are unique within the pack",
				What: fmt.Sprintf("case %s is also in %s:%d", c.Name, old.File, old.Line)})
			continue
		}
		first[c.Name] = c
	}
}

func (p *Pack) hasFile(name string) bool {
	_, ok := p.find(name)
	return ok
}

func (p *Pack) find(name string) (int, bool) {
	return slices.BinarySearchFunc(p.Files, name, func(f packfile.File, name string) int {
		return strings.Compare(f.Name, name)
	})
}

func setFile(id string) string        { return "valuesets/" + id + ".json" }
func messagesFile(lang string) string { return "messages/" + lang + ".json" }
