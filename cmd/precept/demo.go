package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/fixtures"
)

func demoCommand() *cobra.Command {
	var dir string
	var once bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "from nothing to a signed, recorded, replayed recommendation",
		Long: `Demo makes a region in a folder of its own: keys for everybody, trust roots, two
tenants. It checks, tests, builds, signs, reviews, releases and activates the reference packs,
starts the service on loopback, calls it as an EHR would, shows the cards, explains and replays
the record, verifies the log, and then serves until Ctrl-C.`,
		Example: "  precept demo --once",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), dir, once, stdout(cmd))
		},
	}
	c.Flags().StringVar(&dir, "dir", "precept-demo", "folder to make the region in; an earlier demo there is replaced")
	c.Flags().BoolVar(&once, "once", false, "end after the last step, and remove the folder")
	return c
}

// demoMark is a file that says that a folder was made by the demo, so that the
// next one may remove it.
const demoMark = ".precept-demo"

func demo(ctx context.Context, dir string, once bool, out *printer) (err error) {
	if err := removeDemo(dir); err != nil {
		return err
	}
	d, err := makeDemoRegion(ctx, dir, out, defaultListen, defaultPrivateListen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := os.WriteFile(d.path(demoMark), nil, 0o600); err != nil {
		return err
	}
	record, err := d.show(ctx, out)
	if err != nil {
		return err
	}
	if err := d.prove(ctx, record, out); err != nil {
		return err
	}
	if once {
		return errors.Join(d.stop(), removeDemo(dir))
	}
	d.tour(record, out)
	<-ctx.Done()
	out.line("\nstopping")
	return nil
}

// removeDemo removes an earlier demo, and nothing else.
func removeDemo(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
		return fmt.Errorf("making demo region: %s exists and was not made by a demo; give another --dir", dir)
	}
	return os.RemoveAll(dir)
}

// show sends an order to sign as the EHR does, and prints what comes back.
func (d *demoRegion) show(ctx context.Context, out *printer) (record string, err error) {
	p, err := fixtures.Load("metformin-egfr-27")
	if err != nil {
		return "", err
	}
	body := current(p.Request, d.now)
	if err := os.WriteFile(d.path("request.json"), body, 0o600); err != nil {
		return "", err
	}
	ehr, err := d.ehr("north")
	if err != nil {
		return "", err
	}
	began := time.Now()
	answer, err := ehr.Call(ctx, demoService, body)
	if err != nil {
		return "", err
	}
	d.say("called order-sign for a synthetic patient as the EHR of north would: %d kB, answered in %.1f ms\n",
		len(body)/1000, ms(time.Since(began)))
	if err := printCards(out, answer.Body); err != nil {
		return "", err
	}
	r, err := audit.ParseReceipt(answer.Receipt)
	if err != nil {
		return "", err
	}
	d.say("\nreceipt  record %s is leaf %d of %s\n         leaf %x\n", r.RecordID, r.Index, r.Log, r.Leaf[:16])
	return string(r.RecordID), nil
}

// prove explains and replays the record, each as an auditor does, and verifies
// the logs of both tenants.
func (d *demoRegion) prove(ctx context.Context, record string, out *printer) error {
	_, _, auditor := demoPersons("north")
	c, err := d.as("north", auditor, "demonstration")
	if err != nil {
		return err
	}
	why, err := c.Explain(ctx, record)
	if err != nil {
		return err
	}
	d.say("explained by the auditor:\n")
	var text strings.Builder
	if err := why.WriteText(&text); err != nil {
		return err
	}
	if err := out.text(indent(text.String()) + "\n"); err != nil {
		return err
	}
	d.say("replayed in another process:")
	if err := d.run(ctx, out, "audit", "replay", "--root", d.statementFile("roots/north"), record); err != nil {
		return err
	}
	d.say("verified, every leaf, tree, signature and body:")
	return d.run(ctx, out, "audit", "verify")
}

// run starts this program in another process as the auditor of north.
func (d *demoRegion) run(ctx context.Context, out *printer, args ...string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	_, _, auditor := demoPersons("north")
	args = append(args, "--server", d.public, "--tenant", "north", "--person", string(auditor),
		"--key", d.keyFile(string(auditor)), "--purpose", "demonstration")
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Args[0] = "precept"
	text, err := cmd.CombinedOutput()
	if err := errors.Join(err, out.text(indent(string(text))+"\n")); err != nil {
		return fmt.Errorf("running precept %s %s: %w", args[0], args[1], err)
	}
	return nil
}

func indent(text string) string {
	var b []byte
	for line := range strings.Lines(text) {
		b = append(append(b, "  "...), line...)
	}
	return string(b)
}

// tour says where everything is and what to try next.
func (d *demoRegion) tour(record string, out *printer) {
	_, _, auditor := demoPersons("north")
	as := fmt.Sprintf("--server %s --tenant north --person %s --key %s --purpose demo", d.public, auditor,
		d.keyFile(string(auditor)))
	out.line(`Everything is in %s:
  keys/        private keys of the region, the persons and the EHRs
  roots/       signed trust roots      policies/  tenant policies
  packs/       built rule packs        statements/ what was signed
  store/       the audit store         service.log  one line per request
  precept.yaml the configuration of the service

Try next, in another terminal:
  bin/precept call --server %s --tenant north --service %s --issuer %s --kid ehr-north --key %s %s
  bin/precept audit explain %s %s
  bin/precept audit verify %s

Serving at %s, metrics at %s/metrics. Ctrl-C ends.`,
		d.dir, d.public, demoService, demoIssuer("north"), d.keyFile("ehr-north"), d.path("request.json"),
		as, record, as, d.public, d.private)
}
