package main

import (
	"crypto/rand"
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/signing/keys"
)

func keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "make keys of persons, EHRs and regions",
		Long: `Keys makes private keys and shows their public part. A private key is a PKCS #8
PEM file readable by its owner only. Whoever has it signs as that person.`,
	}
	return group(c, keysNew(), keysShow(), keysRegion(), keysCertificate())
}

// publicPart is what others need to know of a key.
type publicPart struct {
	Person    string          `json:"person,omitempty"`
	KeyID     keys.ID         `json:"keyId"`
	Algorithm string          `json:"algorithm"`
	PEM       string          `json:"publicKeyPem"`
	JWK       jose.JSONWebKey `json:"jwk"`
}

func newPublicPart(person string, key keys.Public) publicPart {
	alg := jose.EdDSA
	if key.Algorithm() == keys.ECDSAP256 {
		alg = jose.ES256
	}
	return publicPart{Person: person, KeyID: key.ID(), Algorithm: string(key.Algorithm()), PEM: string(key.PEM()),
		JWK: jose.JSONWebKey{Key: key.Crypto(), KeyID: string(key.ID()), Algorithm: string(alg), Use: "sig"}}
}

func (p publicPart) print(w *printer) error {
	jwk, err := p.JWK.MarshalJSON()
	if err != nil {
		return fmt.Errorf("writing key: %w", err)
	}
	if p.Person != "" {
		w.line("person     %s", p.Person)
	}
	w.line("key id     %s\nalgorithm  %s\njwk        %s", p.KeyID, p.Algorithm, jwk)
	return w.text(p.PEM)
}

// algorithms are the names a person may call an algorithm by.
func algorithm(name string) (keys.Algorithm, error) {
	switch name {
	case "ed25519":
		return keys.Ed25519, nil
	case "ecdsa-p256", string(keys.ECDSAP256):
		return keys.ECDSAP256, nil
	default:
		return "", fmt.Errorf("--alg %q: use ed25519 or ecdsa-p256", name)
	}
}

func keysNew() *cobra.Command {
	var asJSON bool
	var person, alg, out, public string
	c := &cobra.Command{
		Use:   "new --person ID --out FILE",
		Short: "make the private key of a person or an EHR",
		Long: `New writes a private key into a new file with mode 0600 and prints its public
part. Give the public part, never the file, to those who make the trust root.
EHRs sign with ecdsa-p256 (ES256).`,
		Example: "  precept keys new --person ada@content.example --out ada.pem --public ada.pub",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := algorithm(alg)
			if err != nil {
				return err
			}
			for _, path := range []string{out, public} {
				if _, err := os.Lstat(path); path != "" && err == nil {
					return fmt.Errorf("making key: %s %w; a key is never replaced, choose another name", path,
						errExists)
				}
			}
			key, err := keys.Generate(a, rand.Reader)
			if err != nil {
				return err
			}
			text, err := key.PEM()
			if err != nil {
				return err
			}
			if err := createFile(out, text, 0o600); err != nil {
				return err
			}
			if public != "" {
				if err := createFile(public, key.Public().PEM(), 0o644); err != nil {
					return err
				}
			}
			return printPublic(cmd, newPublicPart(person, key.Public()), asJSON)
		},
	}
	fl := c.Flags()
	fl.StringVar(&person, "person", "", "whose key it is, an e-mail-like id")
	fl.StringVar(&alg, "alg", "ed25519", "ed25519 or ecdsa-p256")
	fl.StringVar(&out, "out", "", "file for the private key")
	fl.StringVar(&public, "public", "", "file for the public key, if wanted")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	require(c, "person", "out")
	return c
}

func printPublic(cmd *cobra.Command, p publicPart, asJSON bool) error {
	if asJSON {
		return stdout(cmd).json(p)
	}
	return p.print(stdout(cmd))
}

func keysShow() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show FILE",
		Short:   "show the public part of a private or public key",
		Example: "  precept keys show ada.pem --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := readPublicKey(args[0])
			if err != nil {
				return err
			}
			return printPublic(cmd, newPublicPart("", key), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// readKey reads a person's private key. Errors never quote it.
func readKey(path string) (keys.Private, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return keys.Private{}, fmt.Errorf("reading key %s: others may read it (mode %04o); "+
			"run chmod 600, and replace the key if somebody has read it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return keys.Private{}, fmt.Errorf("reading key: %w; make one with precept keys new", err)
	}
	key, err := keys.ParsePrivate(text)
	if err != nil {
		return keys.Private{}, fmt.Errorf("reading key %s: %w", path, err)
	}
	return key, nil
}

// readPublicKey reads the public part of a private or public key.
func readPublicKey(path string) (keys.Public, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return keys.Public{}, fmt.Errorf("reading key: %w", err)
	}
	if private, err := keys.ParsePrivate(text); err == nil {
		return private.Public(), nil
	}
	public, err := keys.ParsePublic(text)
	if err != nil {
		return keys.Public{}, fmt.Errorf("reading key %s: %w; give a private or public key in PEM", path, err)
	}
	return public, nil
}

func keysRegion() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "region --out FILE",
		Short: "make the key of a region, which wraps all keys of its tenants",
		Long: `Region writes the key that every tenant key of a region is wrapped with into a
new file with mode 0600. If it is lost, every record of the region is lost;
whoever reads it can read the region.`,
		Example: "  precept keys region --out region.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kms, err := keyring.CreateFileKMS(out)
			if err != nil {
				return err
			}
			d, err := kms.Describe(cmd.Context())
			if err != nil {
				return err
			}
			stdout(cmd).line("region key %s", d.Key)
			stderr(cmd).line("keep a copy of %s away from the copies of the store: without it they cannot be read", out)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "file for the region key")
	require(c, "out")
	return c
}
