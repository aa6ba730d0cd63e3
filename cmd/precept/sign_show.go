package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// shown is what a statement says and who signed it.
type shown struct {
	File       string         `json:"file"`
	Kind       statement.Kind `json:"kind"`
	SHA256     trust.Digest   `json:"sha256"`
	Statement  jsontext.Value `json:"statement"` // the in-toto statement, as signed
	Signatures []shownSigner  `json:"signatures"`
}

// shownSigner is one signature. Person and Holds need a trust root.
type shownSigner struct {
	KeyID  keys.ID        `json:"keyId"`
	Person trust.PersonID `json:"person,omitempty"`
	Root   string         `json:"root,omitempty"` // "tenant north"
	Holds  *bool          `json:"holds,omitempty"`
}

func signShow() *cobra.Command {
	var asJSON bool
	var roots []string
	c := &cobra.Command{
		Use:   "show FILE...",
		Short: "show what statements say and who signed them",
		Long: `Show prints statements for people. Without --root it cannot tell whose keys
signed, nor whether the signatures are valid; with trust roots it says both.
Whether enough of the right persons signed depends on the whole of the tenant's
log: a server decides that when the statement is applied. A root given here is
taken at its word; compare its digest with one you received by another way.
Persons of the roots whose identities look alike are named in a warning.`,
		Example: "  precept sign show policy.jsonl --root north.jsonl",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			known, all, err := readSigners(roots)
			if err != nil {
				return err
			}
			var list []shown
			bad := false
			for _, path := range args {
				env, err := readEnvelope(path)
				if err != nil {
					return err
				}
				all = append(all, env)
				s := show(path, env, known)
				bad = bad || slices.ContainsFunc(s.Signatures,
					func(x shownSigner) bool { return x.Holds != nil && !*x.Holds })
				list = append(list, s)
			}
			warnNearEqual(stderr(cmd), all...)
			if asJSON {
				err = stdout(cmd).json(list)
			} else {
				err = printShown(stdout(cmd), list, len(roots) > 0)
			}
			if err == nil && bad {
				err = answeredNo{errors.New("a signature is not valid: the file was altered")}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringArrayVar(&roots, "root", nil, "signed trust root whose persons to name; repeat it for several")
	return c
}

// keyHolder is who a trust root says has a key.
type keyHolder struct {
	person trust.PersonID
	root   string
	key    keys.Public
}

func readSigners(roots []string) (map[keys.ID]keyHolder, []*signing.Envelope, error) {
	known := map[keys.ID]keyHolder{}
	var envelopes []*signing.Envelope
	for _, path := range roots {
		env, err := readEnvelope(path)
		if err != nil {
			return nil, nil, err
		}
		root, ok := env.Statement().Predicate.(trust.Root)
		if !ok {
			return nil, nil, fmt.Errorf("reading --root %s: it is a %s, not a trust root", path,
				env.Statement().Kind())
		}
		envelopes = append(envelopes, env)
		for _, p := range root.Persons {
			for _, k := range p.Keys {
				key, err := keys.ParsePublic([]byte(k.PublicKeyPEM))
				if err != nil {
					return nil, nil, fmt.Errorf("reading --root %s: %w", path, err)
				}
				known[k.KeyID] = keyHolder{p.ID, string(root.RootKind) + " " + root.Name, key}
			}
		}
	}
	return known, envelopes, nil
}

func show(path string, env *signing.Envelope, known map[keys.ID]keyHolder) shown {
	s := shown{File: path, Kind: env.Statement().Kind(), SHA256: env.Digest(), Statement: env.Payload()}
	for _, b := range env.Bundles() {
		x := shownSigner{KeyID: b.KeyID()}
		if holder, ok := known[b.KeyID()]; ok {
			holds := b.Verify(holder.key) == nil
			x.Person, x.Root, x.Holds = holder.person, holder.root, &holds
		}
		s.Signatures = append(s.Signatures, x)
	}
	return s
}

func printShown(w *printer, list []shown, withRoots bool) error {
	for _, s := range list {
		var statement struct {
			Subject   []struct{ Digest map[string]string }
			Predicate jsontext.Value
		}
		if err := jsonv2.Unmarshal(s.Statement, &statement, jsonv2.MatchCaseInsensitiveNames(true)); err != nil {
			return fmt.Errorf("reading statement %s: %w", s.File, err)
		}
		w.line("file       %s\nkind       %s\nsha256     %s", s.File, s.Kind, s.SHA256)
		for _, x := range statement.Subject {
			for _, name := range slices.Sorted(maps.Keys(x.Digest)) {
				if s.Kind.AboutPack() {
					w.line("pack       %s %s", name, x.Digest[name])
				}
			}
		}
		if err := statement.Predicate.Indent(jsontext.WithIndent("  ")); err != nil {
			return fmt.Errorf("reading statement %s: %w", s.File, err)
		}
		for i, line := range strings.Split(strings.TrimSpace(string(statement.Predicate)), "\n") {
			w.line("%-11s%s", map[bool]string{true: "says"}[i == 0], line)
		}
		for _, x := range s.Signatures {
			w.line("signed by  %s", x.text(withRoots))
		}
	}
	return nil
}

func (x shownSigner) text(withRoots bool) string {
	switch {
	case x.Holds != nil && *x.Holds:
		return fmt.Sprintf("%s of %s (valid signature, key %.16s…)", x.Person, x.Root, x.KeyID)
	case x.Holds != nil:
		return fmt.Sprintf("NOBODY: a signature that names the key of %s is not valid (key %.16s…)",
			x.Person, x.KeyID)
	case withRoots:
		return fmt.Sprintf("key %s, which no given root lists", x.KeyID)
	default:
		return fmt.Sprintf("key %s (not checked; name roots with --root)", x.KeyID)
	}
}

// sortedNames lists the keys of a map in order.
func sortedNames[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
