package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/engine/cdshooks"
)

func callCommand() *cobra.Command {
	var f struct {
		client.EHRConfig
		key, service, receipt   string
		raw, discover, feedback bool
	}
	c := &cobra.Command{
		Use:   "call --server URL --tenant T --service ID --issuer ISS --kid KID --key FILE [BODY.json]",
		Short: "call a service as an EHR would, and show the cards",
		Long: `Call sends a CDS Hooks request signed with an EHR's key and shows the cards in
readable form. It is a test EHR: its key must be registered in the tenant policy.
The receipt goes to standard error, or into a file with --receipt. With --feedback the
body says what became of cards; with --discover there is none, and the services are listed.`,
		Example: `  precept call --server http://127.0.0.1:8480 --tenant north --service orders \
    --issuer https://ehr.north.example --kid ehr-1 --key precept-demo/keys/ehr-north.pem request.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.discover:
				return cobra.NoArgs(cmd, args)
			case f.service == "":
				return errors.New("--service is required; --discover lists the services")
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if f.Key, err = readSigner(f.key); err != nil {
				return err
			}
			f.Clock = time.Now
			ehr, err := client.NewEHR(f.EHRConfig)
			if err != nil {
				return err
			}
			if f.discover {
				return printServices(cmd.Context(), stdout(cmd), ehr, f.raw)
			}
			body, err := readInput(args[0], cmd.InOrStdin())
			if err != nil {
				return fmt.Errorf("reading request: %w", err)
			}
			send := ehr.Call
			if f.feedback {
				send = ehr.Feedback
			}
			answer, err := send(cmd.Context(), f.service, body)
			if err != nil {
				return err
			}
			if f.receipt != "" {
				if err := os.WriteFile(f.receipt, []byte(answer.Receipt+"\n"), 0o600); err != nil {
					return fmt.Errorf("writing receipt: %w", err)
				}
			} else {
				stderr(cmd).line("receipt: %s", answer.Receipt)
			}
			if f.raw || f.feedback { // the answer to feedback names what was not usable, if anything
				if len(answer.Body) == 0 {
					return nil
				}
				return stdout(cmd).rawJSON(append(answer.Body, '\n'))
			}
			return printCards(stdout(cmd), answer.Body)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.URL, "server", "http://127.0.0.1:8480", "public URL of the service")
	fl.StringVar(&f.Audience, "audience", "", "public URL as the service knows it, if you reach it at another one")
	fl.StringVar(&f.Tenant, "tenant", "", "tenant to call")
	fl.StringVar(&f.service, "service", "", "service id")
	fl.StringVar(&f.Issuer, "issuer", "", "issuer of the token, as registered")
	fl.StringVar(&f.KeyID, "kid", "", "key id, as in the registered key set")
	fl.StringVar(&f.key, "key", "", "private key of the EHR (PEM, PKCS #8)")
	fl.StringVar(&f.Algorithm, "alg", "ES256", "signature algorithm: ES256, ES384, RS256, RS384 or PS384")
	fl.StringVar(&f.receipt, "receipt", "", "file to write the receipt to")
	fl.BoolVar(&f.discover, "discover", false, "list the services that this EHR may call")
	fl.BoolVar(&f.feedback, "feedback", false, "send feedback instead of a request")
	fl.BoolVar(&f.raw, "json", false, "print the response itself")
	require(c, "tenant", "issuer", "kid", "key")
	return c
}

// printServices lists what discovery shows.
func printServices(ctx context.Context, w *printer, ehr *client.EHR, raw bool) error {
	d, err := ehr.Discover(ctx)
	if err != nil {
		return err
	}
	if raw {
		body, err := d.Marshal()
		if err != nil {
			return err
		}
		return w.rawJSON(append(body, '\n'))
	}
	return w.table(func(t *printer) {
		for _, s := range d.Services {
			t.line("%s\t%s\t%s", s.ID, s.Hook, s.Description)
		}
	})
}

// readInput reads a file, or standard input for "-".
func readInput(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(path)
}

// readSigner reads an EHR's private key.
func readSigner(path string) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("reading key: no PEM block in the file; make one with precept keys new")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("reading key: not a PKCS #8 private key; make one with precept keys new")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("reading key: the key cannot sign")
	}
	return signer, nil
}

// printCards shows cards as a clinician would read them.
func printCards(w *printer, body []byte) error {
	var resp cdshooks.Response
	if err := json.Unmarshal(body, &resp); err != nil {
		return fmt.Errorf("reading cards: %w", err)
	}
	if len(resp.Cards) == 0 {
		w.line("no cards: the rules that were asked have nothing to say")
		return nil
	}
	for i, c := range resp.Cards {
		if i > 0 {
			w.line("")
		}
		w.line("%-8s  %s", strings.ToUpper(string(c.Indicator)), c.Summary)
		for _, line := range strings.Split(c.Detail, "\n") {
			if line = strings.ReplaceAll(line, "**", ""); line != "" {
				w.line("          %s", line)
			}
		}
		for _, s := range c.Suggestions {
			w.line("          [ %s ]", s.Label)
		}
	}
	return nil
}
