package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/audit"
)

func auditProof(f *auditFlags) *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:   "proof RECORD",
		Short: "print the proof that a record is in its log, for others to check",
		Long: `Proof fetches the proof that a record's leaf is in its log, checks it, and prints it in
the C2SP tlog-proof form with the leaf as its extra data. Whoever has the node's public key can
check it without a server, with precept audit receipt or with other tools. It holds nothing
about a patient.`,
		Example: `  precept audit proof --tenant north --person avery@north.example --key avery.pem \
    --purpose "complaint 17" 019cb2a0-... > complaint-17.proof`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			w, err := c.Proof(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			key, err := f.node(cmd.Context(), node)
			if err != nil {
				return err
			}
			p, err := proofOf(w)
			if err == nil {
				err = p.Verify(key)
			}
			switch {
			case err != nil:
				return answeredNo{fmt.Errorf("the proof that the server gave does NOT hold: %w", err)}
			case f.json:
				return stdout(cmd).json(w)
			}
			return stdout(cmd).text(string(p.Marshal()))
		},
	}
	c.Flags().StringVar(&node, "node-key", "", "the node's public key (base64), if not the one that the server shows")
	return c
}

// proofOf reads a proof that came from a server.
func proofOf(w *wire.Proof) (audit.Proof, error) {
	p := audit.Proof{Log: w.Log, Leaf: w.Leaf, Index: w.Index, Note: []byte(w.Checkpoint)}
	for _, h := range w.Path {
		if len(h) != tlog.HashSize {
			return p, fmt.Errorf("reading proof: %w", audit.ErrProof)
		}
		p.Hashes = append(p.Hashes, tlog.Hash(h))
	}
	return p, nil
}

// node is the node's public key: the one given, else the one that the server
// shows.
func (f *auditFlags) node(ctx context.Context, given string) (ed25519.PublicKey, error) {
	if given != "" {
		return nodeKey(given)
	}
	c, err := f.client()
	if err != nil {
		return nil, err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	return s.NodeKey, nil
}

// isProof tells the files of precept audit proof from receipts.
func isProof(text []byte) bool { return bytes.HasPrefix(text, []byte("c2sp.org/tlog-proof@")) }

// checkProof says whether a proof in a file holds, and what it is about.
func (f *auditFlags) checkProof(ctx context.Context, w *printer, text []byte, node string) error {
	p, err := audit.ParseProof(text)
	if err != nil {
		return answeredNo{err}
	}
	key, err := f.node(ctx, node)
	if err != nil {
		return err
	}
	if err := p.Verify(key); err != nil {
		w.line("proof does NOT hold: %v", err)
		return errSaid
	}
	w.line("proof holds: leaf %d of %s, under a head that the node signed, is\n%s", p.Index, p.Log, p.Leaf)
	return nil
}
