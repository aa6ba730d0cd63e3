package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/sandbox"
	"github.com/precept-cds/precept/engine/workbench"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// builtinPrefix marks the packs that come with the program.
const builtinPrefix = "builtin:"

func packCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "pack",
		Short: "write, check, test and build rule packs",
		Long: `Pack is for the authors of rule packs. A PACK is a folder, an archive made by
"precept pack build", or builtin:NAME for a pack that comes with the program.`,
	}
	return group(c, packNew(), packCheck(), packTest(), packBuild(), packShow(), packCapabilities(),
		packCompile())
}

// group makes a command that has commands, and refuses those it does not know.
func group(c *cobra.Command, of ...*cobra.Command) *cobra.Command {
	c.AddCommand(of...)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var names []string
		for _, sub := range of {
			names = append(names, sub.Name())
		}
		if len(args) > 0 {
			return fmt.Errorf("%s has no command %q; it has %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
		}
		return fmt.Errorf("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
	}
	return c
}

// openPack reads a pack by what a person calls it. Errors about its content
// contain *packfile.Problem.
func openPack(name string) (*rulepacks.Pack, error) {
	if builtin, ok := strings.CutPrefix(name, builtinPrefix); ok {
		folder, err := fs.Sub(rulepacks.Embedded(), builtin)
		if err == nil {
			_, err = fs.Stat(folder, "pack.yaml")
		}
		if err != nil {
			return nil, fmt.Errorf("opening %s: no such pack comes with this program; there are %s", name,
				strings.Join(builtinPacks(), ", "))
		}
		return rulepacks.ReadFolder(folder)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("opening pack: %w; give a folder, an archive or %sNAME", err, builtinPrefix)
	}
	if info.IsDir() {
		return rulepacks.ReadFolder(os.DirFS(name))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening pack: %w", err)
	}
	defer f.Close()
	return rulepacks.ReadArchive(f, rulepacks.Limits{})
}

func builtinPacks() []string {
	entries, err := fs.ReadDir(rulepacks.Embedded(), ".")
	if err != nil {
		return nil // an embedded folder can always be read
	}
	var names []string
	for _, e := range entries {
		names = append(names, builtinPrefix+e.Name())
	}
	return names
}

// packReport is what check and build say about one pack.
type packReport struct {
	Pack     string              `json:"pack"` // as the caller named it
	Name     string              `json:"name,omitempty"`
	Version  string              `json:"version,omitempty"`
	Problems []*packfile.Problem `json:"problems"`
}

// examine reads and checks a pack. Pack is nil if the content cannot be read;
// the error is for everything that is not about content.
func examine(ctx context.Context, name string) (*rulepacks.Pack, *packReport, error) {
	r := &packReport{Pack: name, Problems: []*packfile.Problem{}}
	pack, err := openPack(name)
	if err != nil {
		if r.Problems = packfile.Problems(err); len(r.Problems) == 0 {
			return nil, nil, err
		}
		return nil, r, nil
	}
	r.Name, r.Version = pack.Manifest.Name, pack.Manifest.Version
	switch p, err := tried(ctx, pack); {
	case err != nil:
		return nil, nil, err
	case p != nil:
		r.Problems = append(r.Problems, p)
	default:
		r.Problems = append(r.Problems, workbench.Check(pack)...)
	}
	return pack, r, nil
}

// tried has a pack compiled in a process of its own, as a server does, before this one
// compiles it. The problem is that it takes more than the limits of a trial; what else is
// wrong with it is found here.
func tried(ctx context.Context, pack *rulepacks.Pack) (*packfile.Problem, error) {
	err := sandbox.New(sandbox.Limits{}).Try(ctx, decide.Trial{Archive: pack.Archive()})
	switch {
	case errors.Is(err, sandbox.ErrLimit):
		return &packfile.Problem{Kind: packfile.ErrTooLarge, What: err.Error()}, nil
	case errors.Is(err, decide.ErrNotTried), ctx.Err() != nil:
		return nil, err
	}
	return nil, nil
}

// errors counts the problems that stop a release.
func (r *packReport) errors() (n int) {
	for _, p := range r.Problems {
		if !p.Warning {
			n++
		}
	}
	return n
}

// print writes one problem per line, with a path that editors can open.
func (r *packReport) print(w *printer) {
	for _, p := range r.Problems {
		place := strings.TrimSuffix(r.Pack, "/")
		if p.File == "" {
			place += ": "
		} else {
			place += "/"
		}
		w.line("%s", place+p.Error())
	}
}

// title names the pack for a sentence.
func (r *packReport) title() string {
	if r.Name == "" {
		return r.Pack
	}
	return r.Name + " " + r.Version
}

// checkPack is examine for those who only need to know whether a pack may be
// released; the error lists what stops it.
func checkPack(pack *rulepacks.Pack) error {
	var stops []error
	for _, p := range workbench.Check(pack) {
		if !p.Warning {
			stops = append(stops, p)
		}
	}
	if len(stops) == 0 {
		return nil
	}
	return answeredNo{fmt.Errorf("checking pack %s: %w", pack.Manifest.Name, errors.Join(stops...))}
}

func packCheck() *cobra.Command {
	var asJSON, strict bool
	c := &cobra.Command{
		Use:   "check PACK...",
		Short: "list what must be fixed before a pack can be released",
		Long: `Check reads a pack, compiles its rules and compares its manifest, value sets,
parameters, translations and cases with them. It prints one problem per line.
Warnings do not stop a release; with --strict they do. The exit status is 1 if
something must be fixed.`,
		Example: "  precept pack check rules/renal_dosing",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var reports []*packReport
			bad := false
			for _, name := range args {
				_, r, err := examine(cmd.Context(), name)
				if err != nil {
					return err
				}
				reports = append(reports, r)
				bad = bad || r.errors() > 0 || strict && len(r.Problems) > 0
			}
			if err := printReports(stdout(cmd), reports, asJSON); err != nil {
				return err
			}
			if bad {
				return errSaid
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&strict, "strict", false, "count warnings as problems")
	return c
}

func printReports(w *printer, reports []*packReport, asJSON bool) error {
	if asJSON {
		return w.json(reports)
	}
	for _, r := range reports {
		r.print(w)
		switch stops := r.errors(); {
		case len(r.Problems) == 0:
			w.line("%s: no problems", r.title())
		default:
			w.line("%s: %s, %s", r.title(), plural(stops, "problem"), plural(len(r.Problems)-stops, "warning"))
		}
	}
	return nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func packShow() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show PACK",
		Short:   "show what is in a pack and what its rules read",
		Example: "  precept pack show builtin:renal_dosing",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pack, err := openPack(args[0])
			if err != nil {
				return contentError(err)
			}
			if p, err := tried(cmd.Context(), pack); err != nil {
				return err
			} else if p != nil {
				return contentError(p)
			}
			s, err := workbench.Show(pack, decide.CasePrefetch())
			if err != nil {
				return contentError(err)
			}
			if asJSON {
				return stdout(cmd).json(s)
			}
			return s.Print(stdout(cmd))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// contentError adds how to see everything that is wrong with a pack.
func contentError(err error) error {
	return fmt.Errorf("%w; run precept pack check to see all", err)
}

func packCapabilities() *cobra.Command {
	return &cobra.Command{
		Use:   "capabilities",
		Short: "print what rules may use as an OPA capabilities file",
		Long: `Capabilities prints the functions of the clinical library and the allowed ones
of Rego in the form that opa check, opa fmt and editors read.`,
		Example: `  precept pack capabilities > capabilities.json
  opa check --strict --capabilities capabilities.json rules/renal_dosing/rules`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return workbench.Capabilities(stdout(cmd)) },
	}
}

// errExists says that a file would have been overwritten.
var errExists = errors.New("already exists; nothing was written")

// createFile writes a file that must not exist yet, all of it or nothing.
func createFile(path string, data []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing %s: %w; choose another name or remove it", path, errExists)
	}
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}

// createSame is createFile for files that are the same every time: one that
// has these bytes already is left as it is.
func createSame(path string, data []byte, perm fs.FileMode) error {
	err := createFile(path, data, perm)
	if errors.Is(err, errExists) {
		if old, readErr := os.ReadFile(path); readErr == nil && bytes.Equal(old, data) {
			return nil
		}
	}
	return err
}
