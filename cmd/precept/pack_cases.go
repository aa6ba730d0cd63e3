package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/engine/workbench"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/casefile"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// defaultTerminology is the terminology that cases are decided with.
const defaultTerminology = builtinPrefix + "terminology_core"

// testReport is the outcome of a pack's cases.
type testReport struct {
	Pack     string              `json:"pack"`
	Name     string              `json:"name,omitempty"`
	Version  string              `json:"version,omitempty"`
	Kind     string              `json:"kind,omitempty"`
	Products int                 `json:"products,omitzero"` // of a small terminology
	Codes    int                 `json:"codes,omitzero"`    // of a terminology or a code map
	Cases    []caseReport        `json:"cases"`
	Coverage []workbench.Site    `json:"coverage,omitempty"`
	Problems []*packfile.Problem `json:"problems,omitempty"` // why the cases could not be run
}

// caseReport is the outcome of one case.
type caseReport struct {
	Name    string   `json:"name"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Vector  string   `json:"vector,omitempty"`
	Holds   bool     `json:"holds"`
	Differs []string `json:"differs,omitempty"`
}

// tester runs the cases of packs as asked for on the command line.
type tester struct {
	only              *regexp.Regexp // nil for all
	coverage, verbose bool
	terminology       *rulepacks.Pack
	talk              *printer
}

func packTest() *cobra.Command {
	t := &tester{}
	var asJSON bool
	var only, terminology string
	c := &cobra.Command{
		Use:   "test PACK...",
		Short: "run the golden cases of packs",
		Long: `Test decides every case of a pack in this process, the way a server would, and
compares findings and cards with what the case expects. The exit status is 1 if a
case differs. With --coverage it lists the facts that no case has shown true,
false or unknown.`,
		Example: "  precept pack test rules/renal_dosing --run 'egfr-4.' -v",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			t.talk = stderr(cmd)
			if only != "" {
				if t.only, err = regexp.Compile(only); err != nil {
					return fmt.Errorf("reading --run: %w", err)
				}
			}
			if t.terminology, err = openTerminology(terminology); err != nil {
				return err
			}
			return t.test(cmd.Context(), stdout(cmd), args, asJSON)
		},
	}
	fl := c.Flags()
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	fl.StringVar(&only, "run", "", "run only the cases whose name matches this regular expression")
	fl.BoolVar(&t.coverage, "coverage", false, "list the facts that no case has shown in every state")
	fl.BoolVarP(&t.verbose, "verbose", "v", false, "name every case")
	fl.StringVar(&terminology, "terminology", defaultTerminology, "terminology pack to tell drugs apart with")
	return c
}

func openTerminology(name string) (*rulepacks.Pack, error) {
	p, err := openPack(name)
	if err != nil {
		return nil, contentError(err)
	}
	if p.Manifest.Kind != manifest.KindTerminology {
		return nil, fmt.Errorf("opening terminology: %s is a pack of kind %s; give one of kind terminology, such as %s",
			name, p.Manifest.Kind, defaultTerminology)
	}
	return p, nil
}

func (t *tester) test(ctx context.Context, w *printer, names []string, asJSON bool) error {
	var reports []*testReport
	ran, bad := 0, false
	for _, name := range names {
		r, err := t.run(ctx, name)
		if err != nil {
			return err
		}
		reports = append(reports, r)
		ran += len(r.Cases)
		bad = bad || r.failed() > 0 || len(r.Problems) > 0
		if !asJSON {
			t.print(w, r)
		}
	}
	if asJSON {
		if err := w.json(reports); err != nil {
			return err
		}
	}
	if t.only != nil && ran == 0 && !bad {
		return fmt.Errorf("running cases: no case has a name that matches %q; see all names with -v", t.only)
	}
	if bad {
		return errSaid
	}
	return nil
}

func (t *tester) run(ctx context.Context, name string) (*testReport, error) {
	r := &testReport{Pack: name, Cases: []caseReport{}}
	pack, err := openPack(name)
	if err != nil {
		if r.Problems = packfile.Problems(err); len(r.Problems) == 0 {
			return nil, err
		}
		return r, nil
	}
	r.Name, r.Version, r.Kind = pack.Manifest.Name, pack.Manifest.Version, string(pack.Manifest.Kind)
	switch {
	case pack.CodeMap != nil:
		r.Codes = len(pack.CodeMap.Codes)
		return r, nil
	case pack.Terminology != nil:
		terms, err := clinical.NewTerminology(pack)
		if err != nil {
			return nil, err
		}
		r.Products, r.Codes = len(pack.Terminology.Products), terms.Table().Codes()
		return r, nil
	}
	if release := t.terminology.Terminology.Release; !pack.Manifest.Terminology.Includes(release) {
		t.talk.line("precept: %s was not made for terminology release %s; a server will refuse the pair",
			pack.Manifest.Name, release)
	}
	return r, t.decide(ctx, pack, r)
}

// decide runs the cases that were asked for. A pack that does not compile has
// problems instead of cases.
func (t *tester) decide(ctx context.Context, pack *rulepacks.Pack, r *testReport) error {
	if p, err := tried(ctx, pack); p != nil || err != nil {
		if p != nil {
			r.Problems = append(r.Problems, p)
		}
		return err
	}
	chosen := *pack // packs are shared and never changed
	chosen.Cases = nil
	for _, c := range pack.Cases {
		if t.only == nil || t.only.MatchString(c.Name) {
			chosen.Cases = append(chosen.Cases, c)
		}
	}
	results, err := decide.RunCases(ctx, &chosen, t.terminology)
	if errors.Is(err, decide.ErrPack) {
		for _, p := range workbench.Check(pack) {
			if !p.Warning {
				r.Problems = append(r.Problems, p)
			}
		}
	}
	if err != nil && len(r.Problems) == 0 {
		return err
	}
	var facts []*fact.Fact
	for _, x := range results {
		r.Cases = append(r.Cases, caseReport{Name: x.Case.Name, File: x.Case.File, Line: x.Case.Line,
			Vector: x.Case.Vector, Holds: len(x.Problems) == 0, Differs: x.Problems})
		if x.Decision != nil {
			for _, f := range x.Decision.Findings {
				facts = append(facts, f.Fact)
			}
		}
	}
	if len(pack.Cases) == 0 && len(r.Problems) == 0 {
		r.Problems = append(r.Problems, &packfile.Problem{File: "cases", Kind: casefile.ErrCase,
			What: "the pack has no cases", Hint: "a pack is released together with cases that show what it does"})
	}
	if t.coverage && len(r.Problems) == 0 {
		r.Coverage, err = workbench.Coverage(pack, facts)
		return err
	}
	return nil
}

func (r *testReport) failed() (n int) {
	for _, c := range r.Cases {
		if !c.Holds {
			n++
		}
	}
	return n
}

func (t *tester) print(w *printer, r *testReport) {
	for _, c := range r.Cases {
		if c.Holds && t.verbose {
			w.line("holds    %s (%s)", c.Name, c.Vector)
		}
		if c.Holds {
			continue
		}
		w.line("differs  %s (%s) in %s/%s:%d", c.Name, c.Vector, strings.TrimSuffix(r.Pack, "/"), c.File, c.Line)
		for _, d := range c.Differs {
			w.line("         %s", d)
		}
	}
	r.printCoverage(w)
	p := packReport{Pack: r.Pack, Name: r.Name, Version: r.Version, Problems: r.Problems}
	p.print(w)
	switch failed := r.failed(); {
	case len(r.Problems) > 0:
		w.line("%s: cases could not be run", p.title())
	case r.Kind == string(manifest.KindCodeMap):
		w.line("%s: no cases, %s", p.title(), plural(r.Codes, "local code"))
	case r.Kind == string(manifest.KindTerminology) && r.Products == 0:
		w.line("%s: no cases, %s", p.title(), plural(r.Codes, "code"))
	case r.Kind == string(manifest.KindTerminology):
		w.line("%s: no cases, %s", p.title(), plural(r.Products, "product"))
	case failed > 0:
		w.line("%s: %d of %s differ", p.title(), failed, plural(len(r.Cases), "case"))
	default:
		hold := "hold"
		if len(r.Cases) == 1 {
			hold = "holds"
		}
		w.line("%s: %s %s", p.title(), plural(len(r.Cases), "case"), hold)
	}
}

func (r *testReport) printCoverage(w *printer) {
	if r.Coverage == nil {
		return
	}
	seen := 0
	for _, s := range r.Coverage {
		missing := s.Missing()
		seen += 3 - len(missing)
		if len(missing) > 0 {
			w.line("%s/%s:%d: %s was never %s", strings.TrimSuffix(r.Pack, "/"), s.File, s.Line, s.Function,
				strings.Join(missing, " or "))
		}
	}
	w.line("%s %s: %d of %d states of %s seen", r.Name, r.Version, seen, 3*len(r.Coverage),
		plural(len(r.Coverage), "fact"))
}
