package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api"
	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/trust"
)

// auditFlags are what every command that reads records takes: who is reading,
// and why.
type auditFlags struct {
	regionFlags
	purpose string
}

func (f *auditFlags) add(c *cobra.Command) {
	f.define(c.PersistentFlags())
	c.PersistentFlags().StringVar(&f.purpose, "purpose", "", "why; it is recorded with the access")
}

func (f *auditFlags) client() (*client.Client, error) {
	for _, flag := range []struct{ name, value string }{
		{"tenant", f.tenant}, {"person", f.person}, {"key", f.key}, {"purpose", f.purpose},
	} {
		if flag.value == "" {
			return nil, fmt.Errorf("--%s is required", flag.name)
		}
	}
	c, err := f.regionFlags.client()
	if err != nil {
		return nil, err
	}
	return c.WithPurpose(f.purpose), nil
}

func auditCommand() *cobra.Command {
	f := &auditFlags{}
	c := &cobra.Command{
		Use:   "audit",
		Short: "find, show, explain, replay and verify what was recorded",
		Long: `Audit asks a running region for its records. Every access needs the role auditor
in the tenant's trust root and a purpose, and is itself recorded.`,
	}
	f.add(c)
	return group(c, auditList(f), auditShow(f), auditExplain(f), auditReplay(f), auditVerify(f), auditReceipt(f),
		auditCheckStore(f), auditProof(f), auditEvidence(f), auditHead(f), auditConsistency(f))
}

func auditList(f *auditFlags) *cobra.Command {
	var q wire.Search
	var from, to, patient, base string
	c := &cobra.Command{
		Use:   "list",
		Short: "find records by time, patient, rule or kind, newest first",
		Example: `  precept audit list --tenant north --person avery@north.example --key avery.pem \
    --purpose "complaint 17" --rule renal_dosing/metformin-contraindicated`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if q.From, err = moment("from", from); err != nil {
				return err
			}
			if q.To, err = moment("to", to); err != nil {
				return err
			}
			if (patient == "") != (base == "") {
				return errors.New("--patient and --fhir-base go together: an id means nothing without its EHR")
			}
			if patient != "" {
				q.Patient = &wire.Patient{Base: base, ID: patient}
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			page, err := c.Records(cmd.Context(), q)
			if err != nil {
				return err
			}
			if f.json {
				return stdout(cmd).json(page)
			}
			if page.Next != "" {
				stderr(cmd).line("more: --cursor %s", page.Next)
			}
			return stdout(cmd).table(func(t *printer) {
				for _, r := range page.Records {
					t.line("%s\t%s\t%s\t%s[%d]", r.ID, r.Decided.Format(time.RFC3339), r.Kind, r.Log, r.Index)
				}
			})
		},
	}
	fl := c.Flags()
	fl.StringVar(&from, "from", "", "decided at or after (RFC 3339)")
	fl.StringVar(&to, "to", "", "decided before (RFC 3339)")
	fl.StringVar(&patient, "patient", "", "patient id as the EHR knows it")
	fl.StringVar(&base, "fhir-base", "", "FHIR base URL of that EHR")
	fl.StringVar(&q.Rule, "rule", "", "rule that had something to say, as pack/rule")
	fl.StringVar(&q.Kind, "kind", "", "decision, refusal, feedback, statement, access or event")
	fl.IntVar(&q.Limit, "limit", 0, "maximum number of records to list; default 100")
	fl.StringVar(&q.Cursor, "cursor", "", "continue where an earlier list ended")
	return c
}

func moment(flag, text string) (t time.Time, err error) {
	if text == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil {
		return t, fmt.Errorf("--%s: want a time like 2026-03-02T15:00:00Z", flag)
	}
	return t, nil
}

func auditShow(f *auditFlags) *cobra.Command {
	var body string
	c := &cobra.Command{
		Use:   "show RECORD",
		Short: "show one record: its leaf, its inputs, its answer",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			r, err := c.Record(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if body != "" {
				if err := os.WriteFile(body, r.Body, 0o600); err != nil {
					return fmt.Errorf("writing body: %w", err)
				}
			}
			if f.json {
				return stdout(cmd).json(r)
			}
			return showRecord(stdout(cmd), r)
		},
	}
	c.Flags().StringVar(&body, "body", "", "file to write the opened body to")
	return c
}

func showRecord(w *printer, r *wire.Record) error {
	w.line("record  %s (%s)\nlog     %s\nleaf    %s", r.ID, r.Kind, r.Log, r.Leaf)
	if r.Kind != string(audit.Decision) {
		w.line("body    %s", r.Body)
		return nil
	}
	in, d, err := openDecision(r.ID, r.Body)
	if err != nil {
		return err
	}
	w.line("call    %s at %s by %s\nrequest %d bytes", in.Hook, in.Time.Format(time.RFC3339Nano), in.Client,
		len(in.Request))
	for _, x := range d.Findings {
		w.line("        %-8s %s on %s", x.Outcome, x.Rule, x.Subject)
	}
	w.line("answer")
	return printCards(w, d.Response)
}

// openDecision reads the body of a record, and refuses that of another one: a replay
// that agrees must be about the record that was asked for.
func openDecision(id string, body []byte) (*decision.Inputs, *decision.Decision, error) {
	in, d, err := decision.Decode(body)
	if err == nil && in.RecordID != id {
		return nil, nil, fmt.Errorf("reading record %s: the server gave the body of record %s", id, in.RecordID)
	}
	return in, d, err
}

func auditExplain(f *auditFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "explain RECORD",
		Short: "say why: every rule and subject, its facts, values, sources and near misses",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			why, err := c.Explain(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if f.json {
				return stdout(cmd).json(why)
			}
			return why.WriteText(stdout(cmd))
		},
	}
}

func auditReplay(f *auditFlags) *cobra.Command {
	var root, request string
	c := &cobra.Command{
		Use:   "replay RECORD...",
		Short: "decide again in this process, and compare byte by byte",
		Long: `Replay fetches a record, the tenant's release log and the packs the record names,
checks every signature of the log from the trust root on, decides again here, and compares
the findings and the answer byte by byte. With --request it decides about another request
instead and names the findings that differ.`,
		Example: `  precept audit replay --tenant north --person avery@north.example --key avery.pem \
    --purpose "quarterly sample" --root north.root.jsonl 019cb2a0-...`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			p := &replayer{client: c, flags: f, out: stdout(cmd), talk: stderr(cmd)}
			if err := p.prepare(cmd.Context(), root); err != nil {
				return err
			}
			if request != "" {
				if p.request, err = readInput(request, cmd.InOrStdin()); err != nil {
					return fmt.Errorf("reading request: %w", err)
				}
			}
			return p.run(cmd.Context(), args)
		},
	}
	c.Flags().StringVar(&root, "root", "",
		"the tenant's first trust root, received by another way than from the server")
	c.Flags().StringVar(&request, "request", "", "decide about this request instead of the recorded one")
	return c
}

// replayer decides records again, with nothing of the server but bytes that
// are checked.
type replayer struct {
	client    *client.Client
	flags     *auditFlags
	materials *decide.Materials
	request   []byte
	out, talk *printer
}

// prepare rebuilds what was live from the release log.
func (p *replayer) prepare(ctx context.Context, root string) error {
	statements, err := p.client.Statements(ctx)
	if err != nil {
		return err
	}
	var pin trust.Digest
	switch {
	case root != "":
		text, err := os.ReadFile(root)
		if err != nil {
			return fmt.Errorf("reading trust root: %w", err)
		}
		env, err := signing.ReadEnvelope(text)
		if err != nil {
			return fmt.Errorf("reading trust root %s: %w", root, err)
		}
		pin = env.Digest()
	case len(statements) > 0:
		env, err := signing.ReadEnvelope([]byte(statements[0].Envelope))
		if err != nil {
			return fmt.Errorf("reading the server's trust root: %w", err)
		}
		pin = env.Digest()
		p.talk.line("taking the server's word for the trust root %s; give --root to check it", pin)
	}
	log := make([]decide.Logged, len(statements))
	for i, s := range statements {
		log[i] = decide.Logged(s)
	}
	fetch := func(ctx context.Context, d rulepacks.Digest) ([]byte, error) { return p.client.Pack(ctx, string(d)) }
	p.materials, err = decide.MaterialsFromLog(ctx, tenant.ID(p.flags.tenant), pin, log, fetch)
	return err
}

func (p *replayer) run(ctx context.Context, ids []string) error {
	differ := false
	for _, id := range ids {
		same, err := p.replay(ctx, id)
		if err != nil {
			return err
		}
		differ = differ || !same
	}
	if differ {
		return errSaid
	}
	return nil
}

func (p *replayer) replay(ctx context.Context, id string) (same bool, err error) {
	rec, err := p.client.Record(ctx, id)
	if err != nil {
		return false, err
	}
	in, d, err := openDecision(id, rec.Body)
	if err != nil {
		return false, err
	}
	if p.request != nil {
		in.Request = p.request
	}
	r, err := p.materials.Replay(ctx, in, d)
	if err != nil {
		return false, err
	}
	if p.flags.json {
		return r.Same, p.out.json(struct {
			Record string `json:"record"`
			*decide.Replay
			Decision any `json:"Decision,omitempty"` // left out
		}{Record: id, Replay: r})
	}
	if r.Same {
		p.out.line("%s: same bytes (%d findings, %d bytes of answer)", id, len(d.Findings), len(d.Response))
		return true, nil
	}
	p.out.line("%s: differs", id)
	for _, x := range r.Differences {
		p.out.line("  %s", x)
	}
	return false, nil
}

func auditVerify(f *auditFlags) *cobra.Command {
	var store storeConfig
	var node string
	c := &cobra.Command{
		Use:   "verify",
		Short: "recompute everything the tenant's logs promise",
		Long: `Verify has every leaf hashed again, every tree rebuilt, every head's signature
checked, and every body opened and compared with its leaf. With --store it reads a store
directly, read-only and without keys: bodies are then checked by their digests. Heads are
checked against the node key in the store, which whoever can write the store can replace; give
--node-key to check them against the one you know.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var report *wire.Report
			var err error
			if store.Path != "" {
				report, err = verifyStore(cmd.Context(), store.given(), tenant.ID(f.tenant), node)
			} else {
				var c *client.Client
				if c, err = f.client(); err == nil {
					report, err = c.Verify(cmd.Context())
				}
			}
			if err != nil {
				return err
			}
			return f.printReport(stdout(cmd), report)
		},
	}
	c.Flags().StringVar(&store.Path, "store", "", "store to read instead of asking a server: a file,"+
		" or the URL of a PostgreSQL database without a password")
	c.Flags().StringVar(&store.Kind, "store-kind", boltStore, "with --store: its kind, as in the configuration;"+
		" a URL is postgres, and so is a file that has a URL, if this says so")
	c.Flags().StringVar(&node, "node-key", "",
		"with --store: the node's public key (base64), as precept status shows it")
	return c
}

// verifyTime bounds the check of a store's structure before a verification.
const verifyTime = 24 * time.Hour

// verifyStore checks a store that no server has open.
func verifyStore(ctx context.Context, store storeConfig, t tenant.ID, node string) (*wire.Report, error) {
	if t == "" {
		return nil, errors.New("--tenant is required")
	}
	var key ed25519.PublicKey
	if node != "" {
		var err error
		if key, err = nodeKey(node); err != nil {
			return nil, err
		}
	}
	var unchecked error
	if store.Kind == boltStore {
		_, unchecked = checkStore(ctx, store.Path, false, verifyTime)
		if damaged, ok := errors.AsType[*damageError](unchecked); ok {
			report := &wire.Report{Tenant: string(t)}
			for _, d := range damaged.damage {
				report.Findings = append(report.Findings, wire.Finding{Index: -1, Check: "structure", Detail: d.String() +
					" (put back a copy of the store)"})
			}
			return report, nil
		}
	}
	s, closeStore, err := openStore(ctx, store, true)
	if err != nil {
		return nil, err
	}
	if unchecked != nil {
		return nil, errors.Join(unchecked, closeStore())
	}
	r, err := audit.OpenReader(ctx, audit.Config{Store: s, Node: key})
	if err != nil {
		return nil, errors.Join(err, closeStore())
	}
	report, err := r.Verify(ctx, t, engine.NewLayout(r), nil)
	if err == nil {
		var blobs []audit.Finding
		blobs, err = r.VerifyBlobs(ctx)
		report.Findings = append(report.Findings, blobs...)
	}
	if err == nil {
		var region []audit.Finding
		region, err = r.VerifyRegion(ctx)
		report.Findings = append(report.Findings, region...)
	}
	if err := errors.Join(err, closeStore()); err != nil {
		return nil, err
	}
	return api.Report(report), nil
}

func nodeKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("--node-key: want 32 bytes in base64, as precept status shows them")
	}
	if err := keys.CheckEd25519(key); err != nil {
		return nil, fmt.Errorf("--node-key: %w", err)
	}
	return key, nil
}

func auditReceipt(a *auditFlags) *cobra.Command {
	f := &headFlags{auditFlags: a}
	c := &cobra.Command{
		Use:   "receipt FILE",
		Short: "check a receipt or a proof: its signature, and that its record is still in the log",
		Long: `Receipt checks what came in the header Precept-Receipt with an answer: that the head
in it was signed by the node, that the log of today, of a server or in a --store, begins with the leaves of
that head and has the record's leaf at its place, and that these are in the region's log. With --node-key
and no --store it checks the signature alone and needs no server. A file that precept audit proof
wrote is checked in full, with --node-key without a server.`,
		Example: "  precept audit receipt --node-key vZ7c... receipt.txt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readInput(args[0], cmd.InOrStdin())
			if err != nil {
				return fmt.Errorf("reading receipt: %w", err)
			}
			if isProof(text) {
				return f.checkProof(cmd.Context(), stdout(cmd), text, f.node)
			}
			r, err := audit.ParseReceipt(strings.TrimSpace(string(text)))
			if err != nil {
				return answeredNo{err}
			}
			return f.checkReceipt(cmd.Context(), stdout(cmd), r)
		},
	}
	f.add(c)
	return c
}

func (f *headFlags) checkReceipt(ctx context.Context, w *printer, r audit.Receipt) (err error) {
	if f.node != "" && f.store.Path == "" {
		key, err := nodeKey(f.node)
		if err != nil {
			return err
		}
		if err := r.Verify(key); err != nil {
			w.line("receipt does NOT hold: %v", err)
			return errSaid
		}
		w.line("the node signed the head of %d leaves in this receipt; "+
			"only the log can show that record %s is under it", r.Size, r.RecordID)
		return nil
	}
	l, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	k, err := f.keeper(ctx, l, w)
	if err != nil {
		return err
	}
	return k.receipt(ctx, r)
}

func (f *auditFlags) printReport(w *printer, r *wire.Report) error {
	if f.json {
		if err := w.json(r); err != nil {
			return err
		}
	} else {
		for _, l := range r.Logs {
			w.line("%s  %d leaves, %d bodies opened, %d sealed, %d erased", l.Head.Origin, l.Leaves, l.Opened,
				l.Sealed, l.Erased)
		}
		for _, x := range r.NotChecked {
			w.line("not checked: %s", x)
		}
		for _, x := range r.Findings {
			w.line("WRONG  %s", x)
		}
	}
	if !r.OK() {
		w.line("log NOT verified: %d findings", len(r.Findings))
		return errSaid
	}
	if !f.json {
		w.line("log verified")
	}
	return nil
}
