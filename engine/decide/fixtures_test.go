package decide_test

import (
	"slices"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/fixtures"
)

func TestFixturesDecideAsExpected(t *testing.T) {
	b := decidetest.New(t)
	for _, p := range decidetest.Patients(t) {
		t.Run(p.Name, func(t *testing.T) {
			d := b.Decide(t, b.Inputs(t, p.Request))
			var have, want []string
			for i := range d.Findings {
				f := &d.Findings[i]
				have = append(have, short(f.Rule, f.Subject, decide.StateOf(f)))
			}
			for _, f := range p.Expect.Findings {
				want = append(want, short(f.Rule, f.Subject, f.State))
			}
			slices.Sort(have)
			slices.Sort(want)
			if !slices.Equal(have, want) {
				t.Errorf("findings\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
			}
			var resp cdshooks.Response
			if err := jsonv2.Unmarshal(d.Response, &resp); err != nil {
				t.Fatal(err)
			}
			if len(resp.Cards) != p.Expect.Cards {
				t.Errorf("%d cards, want %d: %s", len(resp.Cards), p.Expect.Cards, d.Response)
			}
		})
	}
}

func short(rule, subject, state string) string {
	if len(subject) > 40 {
		subject = subject[:40] + "…"
	}
	return rule + " " + subject + " " + state
}

func BenchmarkDecideStandard(b *testing.B) {
	bn := decidetest.New(b)
	in := bn.Inputs(b, fixtures.Standard(1, 0))
	snapshot, err := bn.Materials.Snapshot(bn.Release, bn.Policy)
	decidetest.Must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		req, err := snapshot.Parse(in.Client, in.Request)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := snapshot.Decide(b.Context(), in, req, decide.Times{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseStandard(b *testing.B) {
	body := fixtures.Standard(1, 0)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := chart.Parse(body, chart.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
