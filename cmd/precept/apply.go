package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

// regionFlags are how a person acts on a running region.
type regionFlags struct {
	server, audience, tenant, person, key string
	json                                  bool
}

func (f *regionFlags) add(c *cobra.Command) {
	f.define(c.Flags())
	require(c, "tenant", "person", "key")
}

func (f *regionFlags) define(fl *pflag.FlagSet) {
	fl.StringVar(&f.server, "server", "http://127.0.0.1:8480", "public URL of the service")
	fl.StringVar(&f.audience, "audience", "", "public URL as the service knows it, if it is reached by another one")
	fl.StringVar(&f.tenant, "tenant", "", "tenant to act on")
	fl.StringVar(&f.person, "person", "", "who acts: a person of the tenant's trust root")
	fl.StringVar(&f.key, "key", "", "that person's private key")
	fl.BoolVar(&f.json, "json", false, "print JSON")
}

func (f *regionFlags) client() (*client.Client, error) {
	key, err := readKey(f.key)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URL: strings.TrimSuffix(f.server, "/"), Audience: f.audience, Tenant: f.tenant,
		Person: f.person,
		Key:    key.Crypto(), Clock: time.Now})
}

// refused marks an answer in which the server says no, as opposed to a server
// that could not answer.
func refused(err error) error {
	if p, ok := errors.AsType[*client.Problem](err); ok && p.Status >= 400 && p.Status < 500 {
		return answeredNo{err}
	}
	return err
}

func applyCommand() *cobra.Command {
	f := &regionFlags{}
	c := &cobra.Command{
		Use:   "apply FILE...",
		Short: "upload packs and apply signed statements to a tenant",
		Long: `Apply uploads the packs among its arguments and then applies the statements in
the order given. Every file is read and checked before anything is sent. The
server decides whether the right persons signed; the person named here only
carries the files. It stops at the first statement that is refused: what was
applied before it stays, and nothing of the refused one does.`,
		Example: `  precept apply --tenant north --person olga@north.example --key olga.pem \
    renal_dosing.tar.gz release.jsonl review.jsonl activation.jsonl`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := readDelivery(args)
			if err != nil {
				return err
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			return d.send(cmd.Context(), c, stdout(cmd), f.json)
		},
	}
	f.add(c)
	return c
}

// delivery is what one apply sends.
type delivery struct {
	packs      []*rulepacks.Pack
	statements []*signing.Envelope
	files      []string // of the statements
}

// readDelivery reads everything, so that a file that cannot be used stops the
// whole before it begins.
func readDelivery(paths []string) (*delivery, error) {
	d := &delivery{}
	for _, path := range paths {
		pack, err := isPack(path)
		if err != nil {
			return nil, err
		}
		if !pack {
			env, err := readEnvelope(path)
			if err != nil {
				return nil, err
			}
			d.statements, d.files = append(d.statements, env), append(d.files, path)
			continue
		}
		p, err := openPack(path)
		if err != nil {
			return nil, contentError(err)
		}
		d.packs = append(d.packs, p)
	}
	return d, nil
}

// isPack tells packs and statements apart by what is in the file.
func isPack(path string) (bool, error) {
	if strings.HasPrefix(path, builtinPrefix) {
		return true, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("reading what to apply: %w", err)
	}
	if info.IsDir() {
		return true, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("reading what to apply: %w", err)
	}
	defer f.Close()
	first := make([]byte, 1)
	if _, err := io.ReadFull(f, first); err != nil {
		return false, fmt.Errorf("reading what to apply: %s is empty", path)
	}
	return first[0] != '{', nil
}

// delivered is one thing the server took.
type delivered struct {
	File    string         `json:"file,omitempty"`
	Pack    string         `json:"pack,omitempty"`
	Version string         `json:"version,omitempty"`
	Kind    statement.Kind `json:"kind,omitempty"`
	Index   *int64         `json:"index,omitempty"` // place in the release log
	SHA256  string         `json:"sha256"`
}

func (d *delivery) send(ctx context.Context, c *client.Client, w *printer, asJSON bool) (err error) {
	done := []delivered{}
	defer func() {
		if asJSON {
			err = errors.Join(err, w.json(done))
		}
	}()
	say := func(x delivered, format string, args ...any) {
		if done = append(done, x); !asJSON {
			w.line(format, args...)
		}
	}
	for _, p := range d.packs {
		var archive bytes.Buffer
		if err := p.WriteArchive(&archive); err != nil {
			return err
		}
		if err := c.PutPack(ctx, string(p.Digest), archive.Bytes()); err != nil {
			return fmt.Errorf("uploading pack %s: %w", p.Manifest.Name, refused(err))
		}
		say(delivered{Pack: p.Manifest.Name, Version: p.Manifest.Version, SHA256: string(p.Digest)},
			"uploaded   %s %s sha256 %s", p.Manifest.Name, p.Manifest.Version, p.Digest)
	}
	for i, env := range d.statements {
		a, err := c.Apply(ctx, env.Bytes())
		if err != nil {
			return fmt.Errorf("applying %s: %w", d.files[i], refused(err))
		}
		say(delivered{File: d.files[i], Kind: statement.Kind(a.Kind), Index: &a.Index, SHA256: a.Digest},
			"applied %2d %s sha256 %s", a.Index, a.Kind, a.Digest)
	}
	return nil
}
