package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/terminology"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

func terminologyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "terminology",
		Short: "make a terminology of drug codes, look into it, and find codes that it lacks",
	}
	return group(c, terminologyBuild(), terminologyShow(), terminologyCoverage())
}

// The licences of RxNorm, as its publisher states them.
const (
	prescribableLicence = "Public domain; courtesy of the U.S. National Library of Medicine, which does not " +
		"endorse this pack."
	fullLicence = "UMLS Metathesaurus licence of the user; RxNorm's own names (SAB RXNORM) are in the public " +
		"domain."
	atcLicence = "WHO Collaborating Centre for Drug Statistics Methodology; not for commercial use without " +
		"its permission."
)

// terminologySource is what a terminology is built from.
type terminologySource struct {
	rxnorm, rxnormVersion string
	tables, licences      []string
	out                   string
	publication           terminology.Publication
	release               string
	asJSON                bool
}

func terminologyBuild() *cobra.Command {
	var s terminologySource
	c := &cobra.Command{
		Use:   "build",
		Short: "make a terminology pack from RxNorm and tables of other systems",
		Long: `Build reads the folder of RRF files of a release of RxNorm, and simple tables of other
code systems, and writes the folder of a terminology pack: pack build, sign and apply take
it from there. RxNorm Current Prescribable Content needs no licence; the full release needs
one of the UMLS. Each system of a table needs its licence named, which the pack then states.
The same files make the same pack. What is in it, and what was left out and why, is printed.`,
		Example: `  precept terminology build --rxnorm RxNorm_full_prescribe_11032026/rrf --release 2026.11 -o terms
  precept terminology build --rxnorm rrf --release 2026.11 --table pzn.csv \
    --licence "http://fhir.de/CodeSystem/ifa/pzn=IFA, contract 4711" -o terms`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.build(cmd) },
	}
	fl := c.Flags()
	fl.StringVar(&s.rxnorm, "rxnorm", "", "folder with RXNCONSO.RRF and the other files of RxNorm")
	fl.StringVar(&s.rxnormVersion, "rxnorm-version", "",
		"version of RxNorm, as its publisher names it; default the release")
	fl.StringArrayVar(&s.tables, "table", nil, "simple table, .csv or .tsv; repeat it for several")
	fl.StringArrayVar(&s.licences, "licence", nil, "SYSTEM=LICENCE of a system of the tables; repeat it for several")
	fl.StringVar(&s.release, "release", "", `name of the release, such as "2026.11"`)
	fl.StringVarP(&s.out, "output", "o", "", "folder to write, which must not exist or be empty")
	fl.StringVar(&s.publication.Name, "name", "terminology", "name of the pack")
	fl.StringVar(&s.publication.Version, "version", "", "version of the pack; default the release with .0")
	fl.StringVar(&s.publication.Publisher, "publisher", "Not named", "who answers for the pack")
	fl.StringVar(&s.publication.Contact, "contact", "", "how to reach the publisher")
	fl.BoolVar(&s.asJSON, "json", false, "print JSON")
	require(c, "release", "output")
	return c
}

func (s *terminologySource) build(cmd *cobra.Command) error {
	if s.rxnorm == "" && len(s.tables) == 0 {
		return errors.New("building terminology: there is nothing to build from; give --rxnorm or --table")
	}
	if !vocab.IsRelease(s.release) {
		return fmt.Errorf("building terminology: %q is not a release; write --release 2026.11", s.release)
	}
	if err := emptyFolder(s.out); err != nil {
		return err
	}
	licences := map[string]string{}
	for _, l := range s.licences {
		system, licence, ok := strings.Cut(l, "=")
		if !ok || strings.TrimSpace(licence) == "" {
			return fmt.Errorf("building terminology: --licence %q: want SYSTEM=LICENCE", l)
		}
		licences[system] = strings.TrimSpace(licence)
	}
	b, counts := &terminology.Builder{Release: s.release}, &terminology.Counts{}
	if err := s.read(cmd, b, counts); err != nil {
		return err
	}
	p := s.publication
	p.Title = "Drug codes, release " + s.release
	if p.Version == "" {
		p.Version = s.release + strings.Repeat(".0", 2-strings.Count(s.release, "."))
	}
	year, month, _ := strings.Cut(s.release, ".")
	month, _, _ = strings.Cut(month, ".")
	if start, err := time.Parse("2006-1", year+"-"+month); err == nil {
		p.Start = start.Format(time.DateOnly)
	}
	p.Sources = s.sources(b.Systems(), counts, licences)
	files, err := terminology.Files(p, b, counts)
	if err != nil {
		return fmt.Errorf("%w; name the licence of each system with --licence", err)
	}
	for _, f := range files {
		path := filepath.Join(s.out, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("writing terminology: %w", err)
		}
		if err := createFile(path, f.Data, 0o644); err != nil {
			return err
		}
	}
	return s.print(cmd, counts)
}

// read reads all sources, with a bar on a terminal.
func (s *terminologySource) read(cmd *cobra.Command, b *terminology.Builder, counts *terminology.Counts) error {
	if s.rxnorm != "" {
		if err := terminology.ReadRxNorm(cmd.Context(), os.DirFS(s.rxnorm), b, counts,
			progressBar("reading RxNorm")); err != nil {
			return err
		}
	}
	for _, name := range s.tables {
		if err := readTable(cmd.Context(), name, b, counts); err != nil {
			return err
		}
	}
	return nil
}

func readTable(ctx context.Context, name string, b *terminology.Builder, counts *terminology.Counts) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("reading table: %w", err)
	}
	defer f.Close()
	if err := terminology.ReadTable(ctx, f, filepath.Ext(name) == ".tsv", b, counts); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// sources names where the codes of each system are from, as far as that is known.
func (s *terminologySource) sources(systems []string, counts *terminology.Counts,
	licences map[string]string) (list []vocab.Release) {
	version := s.rxnormVersion
	if version == "" {
		version = s.release
	}
	rxnorm := prescribableLicence
	if counts.FullRelease() {
		rxnorm = fullLicence
	}
	for _, system := range systems {
		r := vocab.Release{System: system, Title: system, Version: s.release, Licence: licences[system]}
		if s.rxnorm != "" {
			switch system {
			case terminology.RxNorm:
				r.Title, r.Version, r.Licence = "RxNorm", version, rxnorm
			case terminology.NDC:
				r.Title, r.Version, r.Licence = "National Drug Codes, as RxNorm has them", version, rxnorm
			case terminology.ATC:
				r.Title, r.Version, r.Licence = "ATC, as RxNorm has it", version, atcLicence
			}
		}
		if own := licences[system]; own != "" {
			r.Licence = own
		}
		if r.Licence != "" {
			list = append(list, r)
		}
	}
	return list
}

func (s *terminologySource) print(cmd *cobra.Command, counts *terminology.Counts) error {
	if s.asJSON {
		return stdout(cmd).json(struct {
			Folder  string        `json:"folder"`
			Counts  []vocab.Count `json:"counts"`
			LeftOut []vocab.Left  `json:"left_out"`
		}{s.out, counts.Lines(), counts.LeftOut()})
	}
	err := stdout(cmd).table(func(t *printer) {
		t.line("what\tin the pack\tleft out")
		for _, c := range counts.Lines() {
			t.line("%s\t%d\t%d", c.What, c.Kept, c.LeftOut)
		}
	})
	if err != nil {
		return err
	}
	for _, l := range counts.LeftOut() {
		stderr(cmd).line("left out: %d %s: %s", l.Count, l.What, l.Why)
	}
	stderr(cmd).line("next: precept pack build %s", s.out)
	return nil
}

// shownCode is what a terminology says of one code.
type shownCode struct {
	System      string   `json:"system"`
	Code        string   `json:"code"`
	Display     string   `json:"display"`
	Kind        string   `json:"kind"`
	Status      string   `json:"status"`
	ReplacedBy  string   `json:"replaced_by,omitempty"`
	Ingredients []string `json:"ingredients"`
	Form        string   `json:"form,omitempty"`
	Groups      []string `json:"form_groups,omitempty"`
	Strengths   []string `json:"strengths,omitempty"`
	Release     string   `json:"release"`
}

func terminologyShow() *cobra.Command {
	var pack, system string
	var asJSON bool
	c := &cobra.Command{
		Use:   "show CODE",
		Short: "show what a code stands for: ingredients, form, strength, status, release",
		Example: `  precept terminology show 860975
  precept terminology show 0093-1048-01 --terminology terms`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := openTerminology(pack)
			if err != nil {
				return err
			}
			terms, err := clinical.NewTerminology(p)
			if err != nil {
				return err
			}
			var found []shownCode
			for _, s := range terms.Table().Systems() {
				if system != "" && s != system {
					continue
				}
				if c, ok := terms.Table().Lookup(s, args[0]); ok {
					found = append(found, showCode(terms.Table(), c))
				}
			}
			if len(found) == 0 {
				return answeredNo{fmt.Errorf("release %s of %s has no code %q", terms.Table().Release(),
					p.Manifest.Name, args[0])}
			}
			if asJSON {
				return stdout(cmd).json(found)
			}
			return stdout(cmd).table(func(t *printer) {
				for _, x := range found {
					x.print(t)
				}
			})
		},
	}
	fl := c.Flags()
	fl.StringVar(&pack, "terminology", defaultTerminology, "terminology pack to look in")
	fl.StringVar(&system, "system", "", "code system; default all")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func showCode(table *terminology.Table, c terminology.Code) shownCode {
	x := c.Concept
	s := shownCode{System: c.System, Code: c.Code, Display: x.Display(), Kind: x.Kind().String(),
		Status: x.Status().String(), Form: x.Route(), Ingredients: []string{}, Release: table.Release()}
	name := func(x terminology.Concept) string {
		own, _ := x.Own()
		return strings.TrimSpace(own.Code + " " + x.Display())
	}
	if own, ok := x.Own(); ok && (own.System != c.System || own.Code != c.Code) {
		if s.ReplacedBy = own.Code + " of " + own.System; c.Remapped {
			s.Status = "replaced"
		}
	}
	if !x.IsDrug() {
		return s
	}
	for _, p := range x.Parts() {
		s.Ingredients = append(s.Ingredients, name(p))
	}
	if f := x.Form(); f.Exists() {
		s.Form = name(f)
		for _, g := range f.Parts() {
			s.Groups = append(s.Groups, name(g))
		}
	}
	for _, a := range x.Strengths() {
		s.Strengths = append(s.Strengths, name(a.Ingredient)+": "+a.String())
	}
	return s
}

func (x *shownCode) print(t *printer) {
	line := func(name, value string) {
		if value != "" {
			t.line("%s\t%s", name, value)
		}
	}
	line("code", x.Code+" of "+x.System)
	line("display", x.Display)
	line("kind", x.Kind)
	line("status", x.Status)
	line("stands for", x.ReplacedBy)
	line("ingredients", strings.Join(x.Ingredients, "; "))
	line("form", x.Form)
	line("form groups", strings.Join(x.Groups, "; "))
	line("strengths", strings.Join(x.Strengths, "; "))
	line("release", x.Release)
}
