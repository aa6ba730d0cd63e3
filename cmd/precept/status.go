package main

import (
	"encoding/base64"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api/wire"
)

func statusCommand() *cobra.Command {
	f := &regionFlags{}
	c := &cobra.Command{
		Use:   "status",
		Short: "show what is in force for a tenant",
		Long: `Status prints the policy and the packs that are in force for a tenant, with the
numbers that the next policy and the next activations must follow.`,
		Example: "  precept status --tenant north --person olga@north.example --key olga.pem",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return fmt.Errorf("asking for status: %w", refused(err))
			}
			if f.json {
				return stdout(cmd).json(s)
			}
			return printStatus(stdout(cmd), s)
		},
	}
	f.add(c)
	return c
}

func printStatus(w *printer, s *wire.Status) error {
	return w.table(func(t *printer) {
		t.line("tenant\t%s in region %s", s.Tenant, s.Region)
		t.line("engine\tprecept %s, library %s, opa %s", s.Build, s.Library, s.OPA)
		t.line("node key\t%s", base64.StdEncoding.EncodeToString(s.NodeKey))
		t.line("log\t%s", plural(int(s.ReleaseLog), "statement"))
		if s.Policy.Seq == 0 {
			t.line("policy\tnone; apply one with --seq 1")
		} else {
			t.line("policy\tseq %d, sha256 %s", s.Policy.Seq, s.Policy.Digest)
		}
		if len(s.Packs) == 0 {
			t.line("packs\tnone")
		}
		for _, p := range s.Packs {
			t.line("pack\t%s %s (%s), activation %d, sha256 %s", p.Name, p.Version, p.Kind, p.Seq, p.Digest)
		}
		for _, p := range s.Packs {
			for _, rule := range p.Suspended {
				t.line("out of service\t%s", rule)
			}
		}
		for _, x := range s.Suspensions {
			what := x.Type + " " + x.Value
			if x.Pack != "" {
				what = "pack " + x.Pack
			}
			if x.Rule != "" {
				what = "rule " + x.Pack + "/" + x.Rule
			}
			t.line("suspension\tof %s; to lift it: precept sign resumption --lifts %s", what, x.Digest)
		}
		for _, p := range s.Packs {
			if p.NotRun != "" {
				t.line("cannot run\t%s: %s", p.Name, p.NotRun)
			}
		}
		for _, name := range s.Unused {
			t.line("unused\tparameter %s, which no active pack has", name)
		}
	})
}
