package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/workbench"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
)

// built says what pack build made.
type built struct {
	File     string `json:"file"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	SHA256   string `json:"sha256"` // of the canonical tar inside
	DirHash1 string `json:"dir_hash1"`
}

func packBuild() *cobra.Command {
	var asJSON, untested bool
	var out, terminology string
	c := &cobra.Command{
		Use:   "build PACK",
		Short: "make the archive of a pack that is signed and uploaded",
		Long: `Build checks a pack, runs its cases and writes its archive. The same files give
the same digest on every machine. The digest printed is that of the tar inside,
which is what release, review and activation are signed over.`,
		Example: "  precept pack build rules/renal_dosing -o renal_dosing.tar.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pack, report, err := examine(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if pack == nil {
				report.print(stderr(cmd))
				return answeredNo{fmt.Errorf("building %s: the pack cannot be read", args[0])}
			}
			if !untested {
				report.print(stderr(cmd))
				if report.errors() > 0 {
					return answeredNo{fmt.Errorf("building %s: %s; fix them, or use --untested", args[0],
						plural(report.errors(), "problem"))}
				}
				if err := proveCases(cmd, pack, terminology); err != nil {
					return err
				}
			}
			if out == "" {
				out = fmt.Sprintf("%s-%s.tar.gz", pack.Manifest.Name, pack.Manifest.Version)
			}
			var archive bytes.Buffer
			if err := pack.WriteArchive(&archive); err != nil {
				return err
			}
			if err := createSame(out, archive.Bytes(), 0o644); err != nil {
				return err
			}
			b := built{File: out, Name: pack.Manifest.Name, Version: pack.Manifest.Version,
				SHA256: string(pack.Digest), DirHash1: pack.DirHash1}
			if asJSON {
				return stdout(cmd).json(b)
			}
			stdout(cmd).line("%s %s sha256 %s", b.Name, b.Version, b.SHA256)
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVarP(&out, "output", "o", "", "archive to write; default NAME-VERSION.tar.gz")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	fl.BoolVar(&untested, "untested", false, "build a pack that has problems or whose cases differ")
	fl.StringVar(&terminology, "terminology", defaultTerminology, "terminology pack to run the cases with")
	return c
}

// proveCases refuses a pack whose cases do not hold.
func proveCases(cmd *cobra.Command, pack *rulepacks.Pack, terminology string) error {
	if pack.Manifest.Kind != manifest.KindRules {
		return nil
	}
	terms, err := openTerminology(terminology)
	if err != nil {
		return err
	}
	if err := decide.CheckCases(cmd.Context(), pack, terms); err != nil {
		if errors.Is(err, decide.ErrCases) {
			return answeredNo{fmt.Errorf("building %s: %w", pack.Manifest.Name, err)}
		}
		return err
	}
	return nil
}

func packNew() *cobra.Command {
	return &cobra.Command{
		Use:   "new DIR NAME",
		Short: "start a rule pack that works",
		Long: `New writes a small pack with one rule, its value sets and its cases into a new
folder. It passes check and test; change it step by step.`,
		Example: "  precept pack new rules/potassium potassium",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, name := args[0], args[1]
			files, err := workbench.New(name)
			if err != nil {
				return err
			}
			if err := emptyFolder(dir); err != nil {
				return err
			}
			for _, f := range files {
				path := filepath.Join(dir, filepath.FromSlash(f.Name))
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					return fmt.Errorf("making pack: %w", err)
				}
				if err := createFile(path, f.Data, 0o644); err != nil {
					return err
				}
				stdout(cmd).line("%s", path)
			}
			stderr(cmd).line("next: precept pack check %s && precept pack test %s", dir, dir)
			return nil
		},
	}
}

// emptyFolder refuses a folder that has something in it.
func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("making pack: %w; give a folder that does not exist yet", err)
	case len(entries) > 0:
		return fmt.Errorf("making pack: %s is not empty; nothing was written; give a folder that does not exist yet",
			dir)
	}
	return nil
}
