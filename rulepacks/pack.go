package rulepacks

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// File is one file of a pack; Name is its path inside the pack, with slashes.
type File struct {
	Name string
	Data []byte
}

// Messages are the translations of one language: from the text in the rules to
// the text on the card, both with {name} placeholders.
type Messages map[string]string

// Pack is a rule pack that was read and found well formed. It is shared between
// readers and must not be modified.
type Pack struct {
	Manifest    Manifest
	Rules       []File              // rules/*.rego, sorted by name
	ValueSets   []*ValueSet         // sorted by ID
	Terminology *Terminology        // nil unless the kind is terminology
	Messages    map[string]Messages // by language
	Cases       []Case              // in order of file, then place in the file
	Files       []File              // all, with .manifest, in canonical order
	Digest      Digest              // SHA-256 of the canonical tar
	DirHash1    string              // Hash1 of the files as 64 hex digits
}

// ValueSet returns the value set of an id.
func (p *Pack) ValueSet(id string) (*ValueSet, bool) {
	i, ok := slices.BinarySearchFunc(p.ValueSets, id, func(v *ValueSet, id string) int { return strings.Compare(v.ID, id) })
	if !ok {
		return nil, false
	}
	return p.ValueSets[i], true
}

// Revision returns "<name>@<version>".
func (m Manifest) Revision() string { return m.Name + "@" + m.Version }

// FromFiles makes a pack of files in any order and takes them over. The
// .manifest is generated; one that is given must equal it. All problems are
// reported, not only the first.
func FromFiles(files []File) (*Pack, error) {
	p := &Pack{Messages: map[string]Messages{}}
	var problems problemList
	p.Files = slices.Clone(files)
	slices.SortStableFunc(p.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	names := newNameSet()
	for _, f := range p.Files {
		for _, err := range []error{checkName(f.Name), names.add(f.Name), checkText(f)} {
			problems.add(err)
		}
	}
	if err := problems.err(); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(p.Files, func(f File) bool { return f.Name == packFile })
	if i < 0 {
		return nil, &Problem{File: packFile, What: "is missing", Kind: ErrManifest,
			Hint: "every pack has one; precept pack new makes one"}
	}
	var err error
	var manifest *document
	if p.Manifest, manifest, err = parseManifest(p.Files[i]); err != nil {
		return nil, err
	}
	problems.add(p.addManifest())
	for _, f := range p.Files {
		problems.add(p.parse(f))
	}
	p.checkComplete(manifest, &problems)
	if err := problems.err(); err != nil {
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
	data, err := p.Manifest.opaManifest()
	if err != nil {
		return err
	}
	// Bytewise, .manifest sorts before every other name that is allowed.
	if p.Files[0].Name != manifestFile {
		p.Files = slices.Insert(p.Files, 0, File{Name: manifestFile, Data: data})
		return nil
	}
	if !bytes.Equal(p.Files[0].Data, data) {
		return &Problem{File: manifestFile, What: "is not the one that follows from pack.yaml", Kind: ErrManifest,
			Hint: "delete it: it is generated when the pack is built"}
	}
	return nil
}

// parse reads one file into the field it belongs to.
func (p *Pack) parse(f File) error {
	folder, rest, _ := strings.Cut(f.Name, "/")
	if err := p.checkKind(f.Name, folder); err != nil {
		return err
	}
	switch folder {
	case "rules":
		p.Rules = append(p.Rules, f)
	case "valuesets":
		v, err := ParseValueSet(f)
		if err != nil {
			return err
		}
		p.ValueSets = append(p.ValueSets, v)
	case "tables":
		t, err := ParseTerminology(f)
		if err != nil {
			return err
		}
		p.Terminology = t
	case "messages":
		m, err := parseMessages(f)
		if err != nil {
			return err
		}
		p.Messages[strings.TrimSuffix(rest, ".json")] = m
	case "cases":
		file, err := ReadCaseFile(f, p.Manifest.Name)
		if err != nil {
			return err
		}
		p.Cases = append(p.Cases, file.Cases...)
	}
	return nil
}

// parseMessages reads messages/<language>.json.
func parseMessages(f File) (Messages, error) {
	d, err := readJSON(f)
	if err != nil {
		return nil, err
	}
	m := Messages{}
	if err := d.decode(&m); err != nil {
		return nil, err
	}
	for _, source := range slices.Sorted(maps.Keys(m)) {
		if strings.TrimSpace(source) == "" || strings.TrimSpace(m[source]) == "" {
			return nil, d.problem(ErrMessages, jsontext.Pointer("").AppendToken(source), "translate it, or remove the line",
				"a text or its translation is empty")
		}
	}
	return m, nil
}

// checkKind refuses folders that a pack of this kind does not have.
func (p *Pack) checkKind(name, folder string) error {
	switch terminology := p.Manifest.Kind == KindTerminology; {
	case !terminology && folder == "tables":
		return &Problem{File: name, What: "is not part of a rules pack", Kind: ErrUnknownFile,
			Hint: "tables belong to a pack of kind: terminology"}
	case terminology && slices.Contains([]string{"rules", "valuesets", "messages", "cases"}, folder):
		return &Problem{File: name, What: "is not part of a terminology pack", Kind: ErrUnknownFile,
			Hint: "move it to a pack of kind: rules"}
	}
	return nil
}

// checkComplete compares what is there with what pack.yaml declares.
func (p *Pack) checkComplete(d *document, problems *problemList) {
	if p.Manifest.Kind == KindTerminology {
		if !p.hasFile(productsFile) {
			problems.add(&Problem{File: productsFile, What: "is missing", Kind: ErrManifest, Hint: "a terminology pack holds this table"})
		}
		return
	}
	if len(p.Rules) == 0 {
		problems.add(&Problem{File: "rules", What: "holds no rule", Kind: ErrManifest, Hint: "write one rule per file as rules/<name>.rego"})
	}
	declared := map[string]bool{}
	for i, v := range p.Manifest.ValueSets {
		declared[v.ID] = true
		if !p.hasFile("valuesets/" + v.ID + ".json") {
			problems.add(d.problem(ErrValueSet, index("/value_sets", i), "add valuesets/"+v.ID+".json or remove the line",
				"value set %s has no file", v.ID))
		}
	}
	for _, f := range p.Files {
		if id, ok := strings.CutPrefix(f.Name, "valuesets/"); ok && !declared[strings.TrimSuffix(id, ".json")] {
			problems.add(&Problem{File: f.Name, What: "is not declared", Kind: ErrValueSet,
				Hint: "declare it with its source and licence under value_sets in pack.yaml"})
		}
	}
	first := map[string]*Case{}
	for i := range p.Cases {
		c := &p.Cases[i]
		if old := first[c.Name]; old != nil {
			problems.add(&Problem{File: c.File, Line: c.Line, Kind: ErrCase, Hint: "rename one: names are unique within the pack",
				What: fmt.Sprintf("case %s is also in %s:%d", c.Name, old.File, old.Line)})
			continue
		}
		first[c.Name] = c
	}
}

func (p *Pack) hasFile(name string) bool {
	_, ok := slices.BinarySearchFunc(p.Files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	return ok
}
