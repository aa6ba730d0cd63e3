package main

import (
	"encoding/base64"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/signing"
)

func statusCommand() *cobra.Command {
	f := &regionFlags{}
	c := &cobra.Command{
		Use:   "status",
		Short: "show what is in force for a tenant",
		Long: `Status prints where a tenant lives, and the policy and the packs that are in force
for it, with the numbers that the next placement, policy and activations must follow.`,
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

// home says where the tenant lives, and whether that is here.
func home(t *printer, s *wire.Status) {
	if env, err := signing.ReadEnvelope([]byte(s.Certificate)); err == nil {
		t.line("certificate\tof this region, sha256 %s", env.Digest())
	}
	switch {
	case s.Home.Epoch == 0:
		t.line("home\tnone; apply a placement with --epoch 1")
	case s.Home.Region == "":
		t.line("home\tnone in force, epoch %d", s.Home.Epoch)
	default:
		t.line("home\t%s, epoch %d, certificate sha256 %s", s.Home.Region, s.Home.Epoch, s.Home.Certificate)
	}
	if s.Home.Why != "" && s.Home.Epoch > 0 {
		t.line("not served\t%s", s.Home.Why)
	}
}

func printStatus(w *printer, s *wire.Status) error {
	return w.table(func(t *printer) {
		t.line("tenant\t%s in region %s", s.Tenant, s.Region)
		t.line("engine\tprecept %s, library %s, opa %s", s.Build, s.Library, s.OPA)
		t.line("node key\t%s", base64.StdEncoding.EncodeToString(s.NodeKey))
		home(t, s)
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
