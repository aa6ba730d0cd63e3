package terminology

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Publication is what a terminology pack says of itself beside its table.
type Publication struct {
	Name, Version, Title, Publisher, Contact, Start string
	Sources                                         []vocab.Release
}

// Files returns the files of a terminology pack that holds what a builder has: a folder
// that is checked, built and signed as any other pack. The error is [ErrTable]; so is a
// code system without source and licence.
func Files(p Publication, b *Builder, counts *Counts) ([]packfile.File, error) {
	data, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	table, err := Open(data)
	if err != nil {
		return nil, err
	}
	sources := slices.DeleteFunc(slices.Clone(p.Sources),
		func(s vocab.Release) bool { return !slices.Contains(table.Systems(), s.System) })
	slices.SortFunc(sources, func(a, b vocab.Release) int { return strings.Compare(a.System, b.System) })
	if err := table.IsOf(&vocab.Terminology{Release: b.Release, Sources: sources}); err != nil {
		return nil, err
	}
	info := vocab.ReleaseInfo{Release: b.Release, Sources: sources, Counts: counts.Lines(), LeftOut: counts.LeftOut()}
	release, err := json.Marshal(info, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("writing the terminology pack: %w", err)
	}
	var notice, used strings.Builder
	fmt.Fprintf(&notice, "%s\n\n", p.Name)
	for _, s := range sources {
		fmt.Fprintf(&notice, "%s (%s), %s: %s\n", s.Title, s.System, s.Version, s.Licence)
		fmt.Fprintf(&used, "| %s | %s | %s | %s |\n", s.Title, s.System, s.Version, s.Licence)
	}
	files := []packfile.File{
		{Name: "NOTICE", Data: []byte(notice.String())},
		{Name: "README.md", Data: fmt.Appendf(nil, readme, p.Name, b.Release, used.String())},
		{Name: "pack.yaml", Data: fmt.Appendf(nil, packYAML, p.Name, p.Version, p.Title, p.Publisher,
			p.Contact, p.Start)},
		{Name: "tables/drugs.bin", Data: data},
		{Name: "tables/release.json", Data: append(release, '\n')},
	}
	return files, nil
}

const readme = `# %s: drug codes and what they stand for

Release %s, made by "precept terminology build". tables/release.json says what is in it and what was left out, and why.

| source | system | version | licence |
|---|---|---|---|
%s`

const packYAML = `name: %q
version: %q
kind: terminology
title: %q
status: draft
publisher: {name: %q, contact: %q}
intended_use: Tell which ingredients, dose form and strengths a drug code stands for.
effective_period: {start: %q, end: ""}
`
