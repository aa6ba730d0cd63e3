package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

func keysCertificate() *cobra.Command {
	f := &regionFlags{}
	var path, out string
	c := &cobra.Command{
		Use:   "region-certificate -o FILE",
		Short: "write down which keys a region has, for its tenants to pin",
		Long: `Region-certificate writes the certificate of a region: its name and the public keys
that sign its logs and its suspensions, signed by those keys. A tenant's placement holds
it; a region with other keys then refuses that tenant, whatever it calls itself. The same
keys give the same bytes. Its digest is for comparing by another way.

With --config it opens the region's own store, which makes the keys of a new one; the
service must not run then. Otherwise it asks a running region, as a person of a tenant.`,
		Example: `  precept keys region-certificate --config precept.yaml -o us-east.jsonl
  precept keys region-certificate --tenant north --person olga@north.example --key olga.pem -o us-east.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var env *signing.Envelope
			var err error
			if path != "" {
				env, err = ownCertificate(cmd.Context(), path)
			} else {
				env, err = askCertificate(cmd.Context(), f)
			}
			if err != nil {
				return err
			}
			if _, err := env.Certificate(); err != nil {
				return err
			}
			if err := createFile(out, env.Bytes(), 0o644); err != nil {
				return err
			}
			return printSigned(stdout(cmd), out, env, f.json)
		},
	}
	f.define(c.Flags())
	c.Flags().StringVar(&path, "config", "", "configuration of the region")
	c.Flags().StringVarP(&out, "output", "o", "", "file for the certificate")
	c.MarkFlagsOneRequired("config", "tenant")
	c.MarkFlagsMutuallyExclusive("config", "tenant")
	c.MarkFlagsRequiredTogether("tenant", "person", "key")
	require(c, "output")
	return c
}

// ownCertificate is made with the keys in the region's store.
func ownCertificate(ctx context.Context, path string) (_ *signing.Envelope, err error) {
	cfg, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	r := &region{cfg: cfg, lines: newLogBuffer(io.Discard, time.Now), log: slog.New(slog.DiscardHandler)}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.openLog(ctx); err != nil {
		return nil, fmt.Errorf("reading the region's keys: %w", err)
	}
	return signing.NewCertificate(statement.Region(cfg.Region), r.node)
}

// askCertificate is what a running region says of itself.
func askCertificate(ctx context.Context, f *regionFlags) (*signing.Envelope, error) {
	c, err := f.client()
	if err != nil {
		return nil, err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the region's certificate: %w", refused(err))
	}
	return signing.ReadEnvelope([]byte(s.Certificate))
}
