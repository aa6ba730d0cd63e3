package workbench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/safetext"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Summary is what is in a pack: what it declares, and what follows from its
// code.
type Summary struct {
	Name         string              `json:"name"`
	Version      string              `json:"version"`
	Kind         string              `json:"kind"`
	Title        string              `json:"title"`
	Status       string              `json:"status"`
	Experimental bool                `json:"experimental,omitzero"`
	Digest       string              `json:"digest"` // SHA-256 of the canonical tar
	DirHash1     string              `json:"dir_hash1"`
	Publisher    string              `json:"publisher"`
	Authority    string              `json:"authority,omitempty"`
	Effective    manifest.Period     `json:"effective_period"`
	ReviewDue    string              `json:"review_due,omitempty"`
	Library      string              `json:"library,omitempty"`
	Languages    []string            `json:"languages,omitempty"`
	Attributes   map[string]string   `json:"source_attributes,omitempty"`
	Parameters   []ParameterSummary  `json:"parameters,omitempty"`
	ValueSets    []ValueSetSummary   `json:"value_sets,omitempty"`
	Rules        []RuleSummary       `json:"rules,omitempty"`
	Cases        int                 `json:"cases"`
	Terminology  *TerminologySummary `json:"terminology,omitempty"`
	CodeMap      *CodeMapSummary     `json:"codemap,omitempty"`
}

// ParameterSummary is a parameter that tenants may set.
type ParameterSummary struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Default     string `json:"default"` // as JSON
	Description string `json:"description"`
}

// ValueSetSummary is a value set and its size.
type ValueSetSummary struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Codes int    `json:"codes"`
}

// TerminologySummary is the content of a terminology pack.
type TerminologySummary struct {
	System      string `json:"system"`
	Release     string `json:"release"`
	Ingredients int    `json:"ingredients"`
	Products    int    `json:"products"`
	// Of a large release, instead of the two above:
	Codes   int             `json:"codes,omitzero"`
	Sources []vocab.Release `json:"sources,omitempty"`
	Counts  []vocab.Count   `json:"counts,omitempty"`
	LeftOut []vocab.Left    `json:"left_out,omitempty"`
}

// CodeMapSummary is the content of a code map.
type CodeMapSummary struct {
	Codes []vocab.Mapping `json:"codes"`
}

// RuleSummary is what a rule says of itself and what its code reads.
type RuleSummary struct {
	ID         string              `json:"id"` // "pack/rule"
	Title      string              `json:"title"`
	File       string              `json:"file"`
	Line       int                 `json:"line"`
	Hooks      []HookSummary       `json:"hooks"`
	Trigger    string              `json:"trigger"` // value set of the orders, or "patient"
	Unknown    string              `json:"unknown"` // what is shown when the rule cannot tell
	Supersedes []string            `json:"supersedes,omitempty"`
	Overrides  []string            `json:"override_reasons,omitempty"`
	Topic      string              `json:"topic"`
	Sources    []clinical.Citation `json:"sources,omitempty"`
	Reads      []string            `json:"reads"` // FHIR resource types
	Prefetch   []string            `json:"prefetch"`
	ValueSets  []string            `json:"value_sets,omitempty"`
	Windows    []string            `json:"windows,omitempty"` // "max_age P365D"; a parameter with its default
	Parameters []string            `json:"parameters,omitempty"`
	Cases      Counts              `json:"cases"`
}

// HookSummary says how urgent a rule's card is on a hook.
type HookSummary struct {
	Hook     string `json:"hook"`
	Severity string `json:"severity"`
}

// Show returns what is in a pack. Offered is the prefetch that rules' resource
// types are put into terms of. The error says that the pack does not compile.
func Show(pack *rulepacks.Pack, offered []tenant.Prefetch) (*Summary, error) {
	m := pack.Manifest
	s := &Summary{Name: m.Name, Version: m.Version, Kind: string(m.Kind), Title: m.Title, Status: string(m.Status),
		Experimental: m.Experimental, Digest: string(pack.Digest), DirHash1: pack.DirHash1, Publisher: m.Publisher.Name,
		Authority: m.Authority, Effective: m.EffectivePeriod, ReviewDue: m.ReviewDue, Library: m.Library,
		Languages: m.Languages, Cases: len(pack.Cases)}
	if t := pack.Terminology; t != nil {
		s.Terminology = &TerminologySummary{System: t.System, Release: t.Release, Ingredients: len(t.Ingredients),
			Products: len(t.Products), Sources: t.Sources, Counts: t.Counts, LeftOut: t.LeftOut}
		terms, err := clinical.NewTerminology(pack)
		if err != nil {
			return nil, fmt.Errorf("reading pack %s: %w", m.Name, err)
		}
		if t.Table != nil {
			s.Terminology.Codes = terms.Table().Codes()
		}
		return s, nil
	}
	if c := pack.CodeMap; c != nil {
		s.CodeMap = &CodeMapSummary{Codes: c.Codes}
		return s, nil
	}
	s.Attributes = map[string]string{}
	for _, a := range m.SourceAttributes.List() {
		s.Attributes[a.Name] = a.Statement
	}
	for _, p := range m.Parameters {
		s.Parameters = append(s.Parameters, ParameterSummary{p.Name, p.Type, string(p.Default), p.Description})
	}
	for _, v := range m.ValueSets {
		codes := 0
		if set, ok := pack.ValueSet(v.ID); ok {
			codes = len(set.Codes)
		}
		s.ValueSets = append(s.ValueSets, ValueSetSummary{v.ID, v.Title, codes})
	}
	code, err := readCode(pack)
	if err != nil {
		return nil, fmt.Errorf("reading pack %s: %w", m.Name, err)
	}
	counts := caseCounts(pack)
	for _, r := range code.Rules {
		rs := showRule(pack, r, offered)
		rs.Cases = counts[short(pack, r.ID)]
		s.Rules = append(s.Rules, rs)
	}
	return s, nil
}

func showRule(pack *rulepacks.Pack, r *clinical.Rule, offered []tenant.Prefetch) RuleSummary {
	rs := RuleSummary{ID: r.ID, Title: r.Title, File: r.File, Line: r.Line, Trigger: strings.Join(r.Triggers, ", "),
		Unknown: string(r.Unknown), Supersedes: r.Supersedes, Topic: r.Topic, Sources: r.Sources, Reads: r.Reads}
	if rs.ValueSets = slices.Clone(r.Triggers); len(r.Triggers) == 0 {
		rs.Trigger = "patient"
	}
	for _, h := range r.Hooks {
		rs.Hooks = append(rs.Hooks, HookSummary{h, string(r.SeverityFor(h))})
	}
	for _, o := range r.Reasons {
		rs.Overrides = append(rs.Overrides, o.Code)
	}
	for _, p := range offered {
		if slices.ContainsFunc(p.Types, func(t string) bool { return slices.Contains(r.Reads, t) }) {
			rs.Prefetch = append(rs.Prefetch, p.Key)
		}
	}
	for _, u := range r.Uses {
		if u.Parameter != "" {
			rs.Parameters = append(rs.Parameters, u.Parameter)
		}
		for _, o := range u.Options {
			switch o.Kind {
			case clinical.KindSet:
				rs.ValueSets = append(rs.ValueSets, o.Literal)
			case clinical.KindDuration:
				rs.Windows = append(rs.Windows, o.Name+" "+window(pack, o))
			}
		}
	}
	for _, list := range []*[]string{&rs.ValueSets, &rs.Parameters, &rs.Windows} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return rs
}

// window puts the default beside a window that is a parameter.
func window(pack *rulepacks.Pack, o clinical.Setting) string {
	if o.Param == "" {
		return o.Literal
	}
	p, _ := pack.Manifest.Parameters.Get(o.Param)
	return fmt.Sprintf("%s (default %s)", o.Param, strings.Trim(string(p.Default), `"`))
}

// Print writes the summary for people.
func (s *Summary) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, safetext.Line(value))
		}
	}
	line("pack", s.Name+" "+s.Version+" ("+s.Kind+", "+s.Status+")")
	line("title", s.Title)
	line("sha256", s.Digest)
	line("dirHash1", s.DirHash1)
	line("publisher", s.Publisher)
	line("authority", s.Authority)
	line("effective", strings.TrimSuffix(s.Effective.Start+" to "+s.Effective.End, " to "))
	line("review due", s.ReviewDue)
	line("library", s.Library)
	line("languages", strings.Join(s.Languages, ", "))
	if x := s.Terminology; x != nil {
		x.print(line)
	}
	if m := s.CodeMap; m != nil {
		m.print(line)
	}
	for _, p := range s.Parameters {
		line("parameter", fmt.Sprintf("%s (%s, default %s): %s", p.Name, p.Type, p.Default, p.Description))
	}
	for _, v := range s.ValueSets {
		line("value set", fmt.Sprintf("%s, %d codes: %s", v.ID, v.Codes, v.Title))
	}
	line("cases", fmt.Sprint(s.Cases))
	for _, r := range s.Rules {
		fmt.Fprintf(t, "\n%s\n", r.ID)
		r.print(line)
	}
	return t.Flush()
}

func (r *RuleSummary) print(line func(name, value string)) {
	var hooks, sources []string
	for _, h := range r.Hooks {
		hooks = append(hooks, h.Hook+" "+h.Severity)
	}
	for _, s := range r.Sources {
		sources = append(sources, strings.TrimSpace(s.Description+" "+s.Ref))
	}
	line("  title", r.Title)
	line("  file", fmt.Sprintf("%s:%d", r.File, r.Line))
	line("  hooks", strings.Join(hooks, ", "))
	line("  asked about", r.Trigger)
	line("  if unknown", r.Unknown)
	line("  supersedes", strings.Join(r.Supersedes, ", "))
	line("  overrides", strings.Join(r.Overrides, ", "))
	line("  sources", strings.Join(sources, "; "))
	line("  reads", strings.Join(r.Reads, ", "))
	line("  prefetch", strings.Join(r.Prefetch, ", "))
	line("  value sets", strings.Join(r.ValueSets, ", "))
	line("  windows", strings.Join(r.Windows, ", "))
	line("  parameters", strings.Join(r.Parameters, ", "))
	line("  cases", fmt.Sprintf("%d true, %d false, %d unknown", r.Cases.True, r.Cases.False, r.Cases.Unknown))
}

func (x *TerminologySummary) print(line func(name, value string)) {
	if x.Codes == 0 {
		line("release", x.Release+" of "+x.System)
		line("holds", fmt.Sprintf("%d products of %d ingredients", x.Products, x.Ingredients))
		return
	}
	line("release", x.Release)
	for _, s := range x.Sources {
		line("source", fmt.Sprintf("%s (%s), %s: %s", s.Title, s.System, s.Version, s.Licence))
	}
	line("holds", fmt.Sprintf("%d codes", x.Codes))
	for _, c := range x.Counts {
		line("  "+c.What, fmt.Sprintf("%d, %d left out", c.Kept, c.LeftOut))
	}
	for _, l := range x.LeftOut {
		line("left out", fmt.Sprintf("%d %s: %s", l.Count, l.What, l.Why))
	}
}

// print writes what each local code means, for reviewers who sign for it.
func (m *CodeMapSummary) print(line func(name, value string)) {
	line("holds", fmt.Sprintf("%d local codes", len(m.Codes)))
	for _, c := range m.Codes {
		var to []string
		for _, t := range c.To {
			to = append(to, strings.TrimSpace(t.Code+" "+t.Display)+" of "+t.System)
		}
		line(string(c.Kind), fmt.Sprintf("%s %s of %s: %s", c.Code, c.Display, c.System, strings.Join(to, "; ")))
	}
}
