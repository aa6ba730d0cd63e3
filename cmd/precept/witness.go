package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/precept-cds/precept/api/witnessing"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/engine/witness"
	"github.com/precept-cds/precept/signing/keys"
)

// anchoring says how the region's own log is kept.
func (r *region) anchoring() (audit.Anchoring, error) {
	c := r.cfg.Anchor
	a := audit.Anchoring{Every: c.Every, Found: func(t tenant.ID, f audit.Finding) { r.found(t, []audit.Finding{f}) }}
	if c.Witnesses == "" {
		return a, nil
	}
	text, err := os.ReadFile(c.Witnesses)
	if err != nil {
		return a, fmt.Errorf("reading policy of witnesses: %w", err)
	}
	policy, err := witnessing.ParsePolicy(text)
	if err != nil {
		return a, err
	}
	a.Witnesses = audit.Witnessing{Ask: policy.Clients(), Enough: policy.Enough, Every: c.WitnessEvery,
		Wait: c.WitnessWait}
	return a, nil
}

// witnessConnections bounds those of a witness.
const witnessConnections = 128

func witnessCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "witness",
		Short: "watch the logs of regions for others, and cosign what follows what was seen",
		Long: `Witness runs a C2SP witness: it remembers the newest checkpoint of each log it watches,
and cosigns a newer one only if it is proven to follow that. Run it where those who run the
region have no access: it is what shows, to everybody, that a region's history was rewritten.
It sees sizes and hashes of the region's own log, and nothing of tenants, persons or patients.`,
	}
	return group(c, witnessNew(), witnessServe(), witnessLog())
}

const witnessKeyFile = "witness.pem"

func witnessNew() *cobra.Command {
	var name, dir string
	c := &cobra.Command{
		Use:   "new --name NAME --dir FOLDER",
		Short: "make the key and the memory of a witness",
		Long: `New makes a folder with the private key of a witness and its memory, and prints its
verifier key, which regions and auditors put into their policies. A witness that loses its memory
must not go on: make a new one with another key.`,
		Example: "  precept witness new --name witness.example/w1 --dir /var/lib/precept-witness",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := keys.Generate(keys.Ed25519, rand.Reader)
			if err != nil {
				return err
			}
			text, err := key.PEM()
			if err != nil {
				return err
			}
			public, ok := key.Public().Crypto().(ed25519.PublicKey)
			if !ok {
				return errors.New("making witness: its key is not Ed25519")
			}
			vkey := witness.VerifierKey(name, public)
			if err := witness.Create(dir, vkey); err != nil {
				return err
			}
			if err := createFile(filepath.Join(dir, witnessKeyFile), text, 0o600); err != nil {
				return err
			}
			stdout(cmd).line("%s", vkey)
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "name of the witness, like its URL without https://")
	c.Flags().StringVar(&dir, "dir", "", "folder for its key and memory")
	require(c, "name", "dir")
	return c
}

func witnessLog() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:     "log ORIGIN --node-key KEY",
		Short:   "print the line that names a region's log to a witness",
		Example: `  precept witness log cds.north.example/us-east/anchor --node-key vZ7c... >> logs.txt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := nodeKey(node)
			if err != nil {
				return err
			}
			vkey, err := audit.RegionKey(args[0], key)
			if err != nil {
				return err
			}
			stdout(cmd).line("%s", vkey)
			return nil
		},
	}
	c.Flags().StringVar(&node, "node-key", "", "the node's public key (base64), as a placement or precept status shows it")
	require(c, "node-key")
	return c
}

func witnessServe() *cobra.Command {
	var name, dir, logs, listen string
	c := &cobra.Command{
		Use:     "serve --name NAME --dir FOLDER --logs FILE",
		Short:   "answer those who ask for cosignatures",
		Example: `  precept witness serve --name witness.example/w1 --dir /var/lib/precept-witness --logs logs.txt`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := readKey(filepath.Join(dir, witnessKeyFile))
			if err != nil {
				return err
			}
			text, err := os.ReadFile(logs)
			if err != nil {
				return fmt.Errorf("reading logs: %w", err)
			}
			watched, err := witness.ParseLogs(text)
			if err != nil {
				return err
			}
			w, err := witness.Open(witness.Config{Name: name, Key: key, Dir: dir, Logs: watched, Clock: time.Now})
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return errors.Join(fmt.Errorf("listening: %w; give another --listen", err), w.Close())
			}
			events := slog.New(slog.NewJSONHandler(stderr(cmd), nil))
			events.Info("witnessing", "address", l.Addr().String(), "witness", w.VerifierKey(), "logs", len(watched))
			return errors.Join(serveWitness(cmd.Context(), w, l, events), w.Close())
		},
	}
	c.Flags().StringVar(&name, "name", "", "name of the witness, as it was made with")
	c.Flags().StringVar(&dir, "dir", "", "folder with its key and memory")
	c.Flags().StringVar(&logs, "logs", "", "file with the verifier keys of the logs to watch, one a line")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8490", "address to listen on; something in front speaks TLS")
	require(c, "name", "dir", "logs")
	return c
}

// serveWitness answers until ctx ends.
func serveWitness(ctx context.Context, w *witness.Witness, l net.Listener, events *slog.Logger) error {
	s := witnessing.NewServer(witnessing.Handler(w, events), events)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(netutil.LimitListener(l, witnessConnections)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := s.Shutdown(stop)
	if ended := <-ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
