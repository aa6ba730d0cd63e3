package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/evidence"
	"github.com/precept-cds/precept/engine/sandbox"
	"github.com/precept-cds/precept/signing/trust"
)

// knownFlags are what somebody who checks evidence has by another way.
type knownFlags struct {
	root, node string
	earlier    []string
	html       string
}

func (f *knownFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.root, "root", "", "the tenant's first trust root, or its SHA-256")
	fl.StringVar(&f.node, "node-key", "", "the region's public key (base64), as precept status shows it")
	fl.StringVar(&f.html, "html", "", "write a page for people to this file")
}

// known reads what the flags name.
func (f *knownFlags) known() (k evidence.Known, err error) {
	if f.root != "" {
		if k.Root, err = readRootDigest(f.root); err != nil {
			return k, err
		}
	}
	if f.node != "" {
		if k.Node, err = nodeKey(f.node); err != nil {
			return k, err
		}
	}
	for _, path := range f.earlier {
		text, err := readAtMost(path, maxNoted)
		if err != nil {
			return k, fmt.Errorf("reading --checkpoint: %w", err)
		}
		k.Earlier = append(k.Earlier, text)
	}
	return k, nil
}

// maxNoted bounds a head or receipt that somebody has kept.
const maxNoted = 64 << 10

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// readRootDigest takes the digest of a trust root, or a file of it.
func readRootDigest(root string) (trust.Digest, error) {
	if hexDigest.MatchString(root) {
		return trust.Digest(root), nil
	}
	env, err := readEnvelope(root)
	if err != nil {
		return "", fmt.Errorf("reading --root: %w", err)
	}
	if _, ok := env.Statement().Predicate.(trust.Root); !ok {
		return "", fmt.Errorf("reading --root %s: it is a %s, not a trust root", root, env.Statement().Kind())
	}
	return env.Digest(), nil
}

// readAtMost reads a file that may not be larger.
func readAtMost(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return text, err
}

// auditEvidence takes the evidence of a record out of a region.
func auditEvidence(f *auditFlags) *cobra.Command {
	var k knownFlags
	var out, since string
	var patientData bool
	c := &cobra.Command{
		Use:   "evidence RECORD -o FILE",
		Short: "take out one file that shows, without server or network, what a record is and what was in force",
		Long: `Evidence writes one file that an auditor can take away: the record's leaf and its place in the
log, the statements with their signatures that were in force, the packs and the terminology, and proofs
that lead to the newest signed heads. Precept evidence verify checks it on another machine with public
keys only. Without --with-patient-data nothing about the patient is in it, and the decision cannot be
replayed from it. With --since it shows, too, that a log went on from a head or receipt noted before.

That the file is taken out is itself a record, which is in the file. The file is checked before it is
written; one that does not hold is not written.`,
		Example: `  precept audit evidence --tenant north --person avery@north.example --key avery.pem \
    --purpose "complaint 17" --with-patient-data -o complaint-17.tar 019cb2a0-...`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			known, err := k.known()
			if err != nil {
				return err
			}
			state, err := notedState(since, f.tenant)
			if err != nil {
				return err
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			data, err := c.Evidence(cmd.Context(), args[0], patientData, state)
			if err != nil {
				return err
			}
			file, err := evidence.Read(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				return fmt.Errorf("reading what the server gave: %w", err)
			}
			r := file.Verify(cmd.Context(), evidence.Options{Known: known, Build: build})
			if r.Manifest.Record != args[0] || r.Verdict == evidence.DoesNot {
				_ = printEvidence(stdout(cmd), r, f.json)
				return answeredNo{errors.New("the evidence that the server gave does NOT hold; it was not written")}
			}
			if err := os.WriteFile(out, data, 0o600); err != nil {
				return fmt.Errorf("writing evidence: %w", err)
			}
			if err := k.writePage(r); err != nil {
				return err
			}
			if f.json {
				return stdout(cmd).json(r)
			}
			stdout(cmd).line("wrote %s: %d bytes, %d statements, %d packs, patient data %s; taken out as record %s", out,
				len(data), r.Manifest.Statements, len(r.Manifest.Packs), r.Manifest.Body, r.Exported.Record)
			return nil
		},
	}
	k.add(c)
	c.Flags().StringVarP(&out, "out", "o", "", "file to write")
	c.Flags().BoolVar(&patientData, "with-patient-data", false, "include the record's body, which is about the patient")
	c.Flags().StringVar(&since, "since", "",
		"file of a head or receipt that was noted before; the file shows that its log went on from there")
	require(c, "out")
	return c
}

// notedState is the log and the number of leaves of a head or receipt in a file, as a server is asked for it.
func notedState(path, tenant string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := readAtMost(path, maxNoted)
	if err != nil {
		return "", fmt.Errorf("reading --since: %w", err)
	}
	note := string(text)
	if strings.HasPrefix(note, `id="`) {
		r, err := audit.ParseReceipt(strings.TrimSpace(note))
		if err != nil {
			return "", fmt.Errorf("reading --since: %w", err)
		}
		note = string(r.Note)
	}
	lines := strings.SplitN(note, "\n", 3)
	parts := strings.SplitN(lines[0], "/", 4)
	var size int64
	err = errNo
	if len(lines) == 3 && len(parts) == 4 {
		if _, err = audit.ParseLogName(parts[3]); err == nil {
			size, err = strconv.ParseInt(lines[1], 10, 64)
		}
	}
	if err != nil {
		return "", fmt.Errorf("reading --since %s: neither a signed head nor a receipt", path)
	}
	if parts[2] != tenant {
		return "", fmt.Errorf("reading --since %s: not a head of a log of tenant %s", path, tenant)
	}
	return parts[3] + ":" + strconv.FormatInt(size, 10), nil
}

func evidenceCommand() *cobra.Command {
	return group(&cobra.Command{Use: "evidence", Short: "check evidence files, without server or network"},
		evidenceVerify())
}

func evidenceVerify() *cobra.Command {
	var k knownFlags
	var asJSON bool
	most, limit := int64(evidence.DefaultBytes), 10*time.Minute
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "check an evidence file with public keys only",
		Long: `Verify checks an evidence file, without server or network: that every byte of it is what was taken
out, that the record is in the log, that the statements in force were signed by those who may, from the
tenant's trust root on, that the packs are those that were approved, and, if the record's body is in the
file, that deciding again gives the same bytes. Every check is told by name: ok, failed or not possible.

A file cannot vouch for itself. Give what you have by another way:
  --root        the tenant's first trust root, or its SHA-256: whose signatures count. The tenant's
                placement pins the region's key, so this is enough.
  --node-key    the region's key: that the region says so. Which root is the tenant's is its word then.
  --checkpoint  a head or receipt that you noted: that the log is still the one of then.

Exit status 0: it holds; 1: something failed; 2: it could not be checked, or nothing known vouches for it.`,
		Example: "  precept evidence verify complaint-17.tar --root north.jsonl --html complaint-17.html",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			known, err := k.known()
			if err != nil {
				return err
			}
			file, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("reading evidence: %w", err)
			}
			defer file.Close()
			ctx, stop := context.WithTimeout(cmd.Context(), limit)
			defer stop()
			r, err := verifyEvidence(ctx, file, most, known)
			if err != nil {
				return err
			}
			if err := printEvidence(stdout(cmd), r, asJSON); err != nil {
				return err
			}
			if err := k.writePage(r); err != nil {
				return err
			}
			return evidenceStatus(r)
		},
	}
	k.add(c)
	fl := c.Flags()
	fl.StringArrayVar(&k.earlier, "checkpoint", nil,
		"file of a head or receipt that you noted before; repeat it for several")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	fl.Int64Var(&most, "max-bytes", most, "largest file to read")
	fl.DurationVar(&limit, "timeout", limit, "longest time that checking may take")
	return c
}

// verifyEvidence reads a file and checks it. One that is not in the form of evidence files is an answer, too.
func verifyEvidence(ctx context.Context, in io.Reader, most int64, known evidence.Known) (*evidence.Result, error) {
	file, err := evidence.Read(in, most)
	if errors.Is(err, evidence.ErrFile) {
		return evidence.Unreadable(err), nil
	}
	if err != nil {
		return nil, err
	}
	trials := sandbox.New(sandbox.Limits{})
	return file.Verify(ctx, evidence.Options{Known: known, Prove: trials.Try, Build: build}), nil
}

// evidenceStatus is the error that gives the exit status of a verdict.
func evidenceStatus(r *evidence.Result) error {
	switch r.Verdict {
	case evidence.Holds:
		return nil
	case evidence.DoesNot:
		return errSaid
	}
	return fmt.Errorf("checking evidence: cannot tell: %s", r.Why)
}

func printEvidence(w *printer, r *evidence.Result, asJSON bool) error {
	if asJSON {
		return w.json(r)
	}
	if r.Manifest.Record != "" {
		w.line("record %s of %s in %s: a %s, decided %s by build %s, library %s", r.Manifest.Record, r.Manifest.Tenant,
			r.Manifest.Region, r.Kind, r.Decided.Format(time.RFC3339), r.Engine, r.Library)
	}
	if err := w.table(func(t *printer) {
		for _, c := range r.Checks {
			t.line("%s\t%s: %s", c.Name, c.Outcome, c.Detail)
		}
	}); err != nil {
		return err
	}
	switch r.Verdict {
	case evidence.Holds:
		w.line("evidence holds")
	case evidence.DoesNot:
		w.line("evidence does NOT hold")
	}
	return nil
}

// writePage writes the page for people, if it was asked for.
func (f *knownFlags) writePage(r *evidence.Result) error {
	if f.html == "" {
		return nil
	}
	var b bytes.Buffer
	if err := r.WritePage(&b); err != nil {
		return err
	}
	if err := os.WriteFile(f.html, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing page: %w", err)
	}
	return nil
}
