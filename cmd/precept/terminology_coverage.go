package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
)

// uncovered is a code that recorded calls held and that means nothing here.
type uncovered struct {
	Kind   string `json:"kind"`
	System string `json:"system"`
	Code   string `json:"code"`
	Calls  int    `json:"calls"`
	Uses   int    `json:"uses"` // resources of those calls
}

// coverage counts the codes of recorded calls that mean nothing to a terminology and a
// code map: those the calls were decided with, or others.
type coverage struct {
	terms   *chart.Terminology // nil for those of each record
	codes   *chart.CodeMap     // likewise
	fetch   func(context.Context, string) (*rulepacks.Pack, error)
	fetched map[string]*rulepacks.Pack
	opened  map[string]*chart.Terminology
	calls   int
	counts  map[chart.Uncovered]*uncovered
}

func terminologyCoverage() *cobra.Command {
	f := &auditFlags{}
	var from, to, pack, codes string
	var most int
	c := &cobra.Command{
		Use:   "coverage [BODY...]",
		Short: "list the codes of recorded calls that were not known: what to map next",
		Long: `Coverage reads recorded calls and counts the codes that the terminology and the code map
in force did not know: drug codes, and codes of the sender's own for results, conditions, services,
routes and forms. It asks a running region, where each access is recorded, or reads record bodies
from files that audit show --body wrote. With --terminology or --codemap it tells what another
release or map would leave unknown. The output names codes and systems, never patients.`,
		Example: `  precept terminology coverage --tenant north --person avery@north.example --key avery.pem \
    --purpose "mapping of formulary codes" --from 2026-11-01T00:00:00Z
  precept terminology coverage --terminology terms --codemap codes body1.bin body2.bin`,
		RunE: func(cmd *cobra.Command, args []string) error {
			v := &coverage{fetched: map[string]*rulepacks.Pack{}, opened: map[string]*chart.Terminology{},
				counts: map[chart.Uncovered]*uncovered{}}
			if err := v.with(pack, codes); err != nil {
				return err
			}
			var err error
			if len(args) > 0 {
				err = v.files(cmd.Context(), args)
			} else {
				err = v.region(cmd, f, from, to, most)
			}
			if err != nil {
				return err
			}
			return v.print(cmd, f.json)
		},
	}
	f.add(c)
	fl := c.Flags()
	fl.StringVar(&from, "from", "", "decided at or after (RFC 3339)")
	fl.StringVar(&to, "to", "", "decided before (RFC 3339)")
	fl.IntVar(&most, "limit", 10_000, "maximum number of calls to read, the newest first")
	fl.StringVar(&pack, "terminology", "", "terminology pack; default the one that each call was decided with")
	fl.StringVar(&codes, "codemap", "", "code map; default the one that each call was decided with")
	return c
}

// with opens the packs to compare with, if there are any.
func (v *coverage) with(pack, codes string) error {
	if pack != "" {
		p, err := openTerminology(pack)
		if err != nil {
			return err
		}
		t, err := clinical.NewTerminology(p)
		if err != nil {
			return err
		}
		v.terms = t.Chart()
	}
	if codes == "" {
		return nil
	}
	p, err := openPack(codes)
	if err != nil {
		return err
	}
	if p.Manifest.Kind != manifest.KindCodeMap {
		return fmt.Errorf("opening code map: %s is a pack of kind %s; give one of kind codemap", codes, p.Manifest.Kind)
	}
	v.codes = clinical.NewCodeMap(p).Chart()
	return nil
}

// files reads the bodies of records.
func (v *coverage) files(ctx context.Context, names []string) error {
	if v.terms == nil {
		return errors.New("reading bodies of files: the terminology they were decided with is not at hand; " +
			"give one with --terminology")
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading body: %w", err)
		}
		if err := v.add(ctx, name, body); err != nil {
			return err
		}
	}
	return nil
}

// region reads the decisions of a region.
func (v *coverage) region(cmd *cobra.Command, f *auditFlags, from, to string, most int) (err error) {
	q := wire.Search{Kind: string(audit.Decision), Limit: 100}
	if q.From, err = moment("from", from); err != nil {
		return err
	}
	if q.To, err = moment("to", to); err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	v.fetch = fetchPack(c)
	for {
		page, err := c.Records(cmd.Context(), q)
		if err != nil {
			return refused(err)
		}
		for _, r := range page.Records {
			if v.calls == most {
				stderr(cmd).line("precept: stopped after %d calls; --limit reads more", most)
				return nil
			}
			rec, err := c.Record(cmd.Context(), r.ID)
			if err != nil {
				return refused(err)
			}
			if err := v.add(cmd.Context(), r.ID, rec.Body); err != nil {
				return err
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}

func fetchPack(c *client.Client) func(context.Context, string) (*rulepacks.Pack, error) {
	return func(ctx context.Context, digest string) (*rulepacks.Pack, error) {
		tar, err := c.Pack(ctx, digest)
		if err != nil {
			return nil, refused(err)
		}
		p, err := rulepacks.ReadArchive(strings.NewReader(string(tar)), rulepacks.Limits{})
		if err == nil && string(p.Digest) != digest {
			err = fmt.Errorf("fetching pack %s: the server gave another one", digest)
		}
		return p, err
	}
}

// add counts the codes of one recorded call.
func (v *coverage) add(ctx context.Context, name string, body []byte) error {
	in, _, err := decision.Decode(body)
	if err != nil {
		return fmt.Errorf("reading record %s: %w", name, err)
	}
	terms, codes, err := v.inForce(ctx, in)
	if err != nil {
		return err
	}
	req, err := chart.Parse(in.Request, chart.Limits{})
	if err != nil {
		return fmt.Errorf("reading the request of record %s: %w", name, err)
	}
	c, err := chart.New(chart.Inputs{Request: req, Now: in.Time, Zone: time.UTC, Terminology: terms, CodeMap: codes})
	if err != nil {
		return err
	}
	v.calls++
	for code, uses := range c.Uncovered() {
		u := v.counts[code]
		if u == nil {
			u = &uncovered{Kind: string(code.Kind), System: code.System, Code: code.Code}
			v.counts[code] = u
		}
		u.Calls, u.Uses = u.Calls+1, u.Uses+uses
	}
	return nil
}

// inForce returns what a call was decided with, or what it is to be compared with.
func (v *coverage) inForce(ctx context.Context, in *decision.Inputs) (*chart.Terminology, *chart.CodeMap, error) {
	terms, codes := v.terms, v.codes
	if ref := in.Release.Terminology; terms == nil && ref != nil && ref.Mode == decision.Active {
		if v.opened[ref.Digest] == nil {
			p, err := v.fetch(ctx, ref.Digest)
			if err != nil {
				return nil, nil, err
			}
			t, err := clinical.NewTerminology(p)
			if err != nil {
				return nil, nil, err
			}
			v.opened[ref.Digest] = t.Chart()
		}
		terms = v.opened[ref.Digest]
	}
	if ref := in.Release.CodeMap; codes == nil && ref != nil && ref.Mode == decision.Active && v.fetch != nil {
		if v.fetched[ref.Digest] == nil {
			p, err := v.fetch(ctx, ref.Digest)
			if err != nil {
				return nil, nil, err
			}
			v.fetched[ref.Digest] = p
		}
		codes = clinical.NewCodeMap(v.fetched[ref.Digest]).Chart()
	}
	return terms, codes, nil
}

// print lists the codes, the most frequent first.
func (v *coverage) print(cmd *cobra.Command, asJSON bool) error {
	list := make([]*uncovered, 0, len(v.counts))
	for _, u := range v.counts {
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b *uncovered) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(b.Uses, a.Uses), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.System, b.System), cmp.Compare(a.Code, b.Code))
	})
	if asJSON {
		return stdout(cmd).json(struct {
			Calls int          `json:"calls"`
			Codes []*uncovered `json:"codes"`
		}{v.calls, list})
	}
	stderr(cmd).line("%s read, %s not known", plural(v.calls, "call"), plural(len(list), "code"))
	return stdout(cmd).table(func(t *printer) {
		t.line("calls\tuses\tkind\tsystem\tcode")
		for _, u := range list {
			t.line("%d\t%d\t%s\t%s\t%s", u.Calls, u.Uses, u.Kind, cmp.Or(u.System, "(none)"),
				cmp.Or(u.Code, "(unreadable)"))
		}
	})
}
