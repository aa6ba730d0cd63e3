package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api/wire"
)

func statusCommand() *cobra.Command {
	f := &regionFlags{}
	c := &cobra.Command{
		Use:     "status",
		Short:   "say what stands for a tenant",
		Long:    "Status prints the policy and the packs that stand for a tenant, with the numbers\nthat the next policy and the next activations must follow.",
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
				return printJSON(cmd.OutOrStdout(), s)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	f.add(c)
	return c
}

func printStatus(w io.Writer, s *wire.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "tenant\t%s in region %s\n", s.Tenant, s.Region)
	fmt.Fprintf(t, "engine\tprecept %s, library %s, opa %s\n", s.Build, s.Library, s.OPA)
	fmt.Fprintf(t, "node key\t%s\n", base64.StdEncoding.EncodeToString(s.NodeKey))
	fmt.Fprintf(t, "log\t%s\n", plural(int(s.ReleaseLog), "statement"))
	if s.Policy.Seq == 0 {
		fmt.Fprintf(t, "policy\tnone; apply one with --seq 1\n")
	} else {
		fmt.Fprintf(t, "policy\tseq %d, sha256 %s\n", s.Policy.Seq, s.Policy.Digest)
	}
	if len(s.Packs) == 0 {
		fmt.Fprintf(t, "packs\tnone\n")
	}
	for _, p := range s.Packs {
		fmt.Fprintf(t, "pack\t%s %s (%s), activation %d, sha256 %s\n", p.Name, p.Version, p.Kind, p.Seq, p.Digest)
	}
	for _, p := range s.Packs {
		for _, rule := range p.Suspended {
			fmt.Fprintf(t, "out of service\t%s/%s\n", p.Name, rule)
		}
	}
	for _, name := range s.Unused {
		fmt.Fprintf(t, "unused\tparameter %s, which no active pack has\n", name)
	}
	return t.Flush()
}
