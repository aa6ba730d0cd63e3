package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

func signCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sign",
		Short: "sign what may change clinical advice",
		Long: `Sign makes statements: signed files that say who releases, reviews, activates,
revokes or trusts what. Nothing is sent anywhere; precept apply does that. A
statement that needs several persons is signed by the first, passed on, and
signed by the others with "precept sign add".`,
	}
	return group(c, signRoot().command(), signPolicy().command(), signRelease().command(), signReview().command(),
		signActivation().command(), signPlacement().command(), signSuspension().command(), signResumption().command(),
		signRevocation().command(), signAdd(), signShow())
}

// signStatement is a command that signs statements of one kind.
type signStatement struct {
	use, short, long, example string
	// flags defines those that the kind has besides signFlags; required must be
	// given, and of oneOf exactly one.
	flags           func(*pflag.FlagSet)
	required, oneOf []string
	// make says what is signed. arg is the argument that use names, if it does.
	make func(arg string, now time.Time) (statement.Statement, error)
}

func (s signStatement) command() *cobra.Command {
	f := &signFlags{}
	c := &cobra.Command{Use: s.use, Short: s.short, Long: s.long, Example: s.example, Args: cobra.NoArgs}
	if strings.Contains(s.use, " ") {
		c.Args = cobra.ExactArgs(1)
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		now, err := f.now()
		if err != nil {
			return err
		}
		statement, err := s.make(strings.Join(args, ""), now)
		if err != nil {
			return err
		}
		return f.write(cmd, statement)
	}
	f.add(c)
	if s.flags != nil {
		s.flags(c.Flags())
	}
	require(c, s.required...)
	if s.oneOf != nil {
		c.MarkFlagsOneRequired(s.oneOf...)
		c.MarkFlagsMutuallyExclusive(s.oneOf...)
	}
	return c
}

// signFlags are what every command that makes a statement takes.
type signFlags struct {
	keys []string
	out  string
	at   string
	json bool
}

func (f *signFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVar(&f.keys, "key", nil, "private key to sign with; repeat it for several persons")
	fl.StringVarP(&f.out, "output", "o", "", "file for the signed statement")
	fl.StringVar(&f.at, "time", "", "time of the statement, e.g. 2026-03-02T15:00:00Z; default now")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	require(c, "key", "output")
}

// now is the time that the statement carries, in whole seconds.
func (f *signFlags) now() (time.Time, error) {
	t, err := moment("time", f.at)
	if t.IsZero() && err == nil {
		t = time.Now()
	}
	return t.UTC().Truncate(time.Second), err
}

// signed says which statement was written.
type signed struct {
	File    string         `json:"file"`
	Kind    statement.Kind `json:"kind"`
	SHA256  trust.Digest   `json:"sha256"` // of the payload
	Signers []keys.ID      `json:"signers"`
}

// write signs a statement with every key and writes it into a new file.
func (f *signFlags) write(cmd *cobra.Command, s statement.Statement) error {
	payload, err := s.Payload()
	if err != nil {
		return err
	}
	bundles, err := signWith(payload, f.keys)
	if err != nil {
		return err
	}
	env, err := signing.NewEnvelope(bundles...)
	if err != nil {
		return err
	}
	if err := createFile(f.out, env.Bytes(), 0o644); err != nil {
		return err
	}
	warnNearEqual(stderr(cmd), env)
	return printSigned(stdout(cmd), f.out, env, f.json)
}

// warnNearEqual tells those who sign trust roots, or look at them, of persons that they
// alone can tell apart.
func warnNearEqual(w *printer, envelopes ...*signing.Envelope) {
	var roots []trust.Root
	seen := map[trust.Digest]bool{}
	for _, env := range envelopes {
		if r, ok := env.Statement().Predicate.(trust.Root); ok && !seen[env.Digest()] {
			roots, seen[env.Digest()] = append(roots, r), true
		}
	}
	for _, near := range trust.NearEqual(roots...) {
		w.line("warning: %s and %s look alike; if they are one person, list them as one, or name one among the identities "+
			"of the other", listed(near.A), listed(near.B))
	}
}

func listed(l trust.Listed) string {
	text := fmt.Sprintf("%s of %s %s", l.Identity, l.RootKind, l.Root)
	if l.Identity != string(l.Person) {
		text += fmt.Sprintf(" (%s)", l.Person)
	}
	return text
}

func signWith(payload []byte, keys []string) ([]signing.Bundle, error) {
	var bundles []signing.Bundle
	for _, path := range keys {
		key, err := readKey(path)
		if err != nil {
			return nil, err
		}
		b, err := signing.Sign(payload, key)
		if err != nil {
			return nil, err
		}
		bundles = append(bundles, b)
	}
	return bundles, nil
}

func printSigned(w *printer, file string, env *signing.Envelope, asJSON bool) error {
	s := signed{File: file, Kind: env.Statement().Kind(), SHA256: env.Digest()}
	for _, b := range env.Bundles() {
		s.Signers = append(s.Signers, b.KeyID())
	}
	if asJSON {
		return w.json(s)
	}
	w.line("%s sha256 %s, %s", s.Kind, s.SHA256, plural(len(s.Signers), "signature"))
	return nil
}

// readEnvelope reads a signed statement.
func readEnvelope(path string) (*signing.Envelope, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading statement: %w", err)
	}
	env, err := signing.ReadEnvelope(text)
	if err != nil {
		return nil, fmt.Errorf("reading statement %s: %w", path, err)
	}
	return env, nil
}

func signAdd() *cobra.Command {
	f := &signFlags{}
	c := &cobra.Command{
		Use:   "add FILE",
		Short: "add another person's signature to a statement",
		Long: `Add signs the very bytes that others signed before. The statement stays the same,
so its digest does, too. Read it first with "precept sign show". Without -o the
file itself is replaced, in one step.`,
		Example: "  precept sign show policy.jsonl && precept sign add policy.jsonl --key amir.pem",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			env, err := readEnvelope(args[0])
			if err != nil {
				return err
			}
			bundles, err := signWith(env.Payload(), f.keys)
			if err != nil {
				return err
			}
			for _, b := range bundles {
				if env, err = env.Add(b); err != nil {
					return err
				}
			}
			if f.out == "" {
				f.out = args[0]
				if err = renameio.WriteFile(f.out, env.Bytes(), 0o644, renameio.WithExistingPermissions()); err != nil {
					err = fmt.Errorf("replacing %s: %w", f.out, err)
				}
			} else {
				err = createFile(f.out, env.Bytes(), 0o644)
			}
			if err != nil {
				return err
			}
			warnNearEqual(stderr(cmd), env)
			return printSigned(stdout(cmd), f.out, env, f.json)
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.keys, "key", nil, "private key to sign with")
	fl.StringVarP(&f.out, "output", "o", "", "file for the result; default: replace FILE")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	require(c, "key")
	return c
}

// until reads a time, a day or an ISO 8601 duration counted from a time.
func until(flag, text string, from time.Time) (time.Time, error) {
	if d, err := dates.ParseDuration(text); err == nil {
		return d.After(from), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Truncate(time.Second), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: want a time, a day like 2027-03-02 or a duration like P365D", flag)
}
