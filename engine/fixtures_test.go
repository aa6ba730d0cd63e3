package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
)

// bench is a tenant with the three reference packs, at the time of the
// fixtures.
type bench struct {
	materials *Materials
	release   decision.Release
	policy    decision.Policy
	snapshot  *Snapshot
}

const fixtureRecord = "019cb2a0-0000-7000-8000-000000000001"

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{materials: NewMaterials()}
	for _, name := range referencePacks {
		p := referencePack(t, name)
		if err := b.materials.AddPack(p); err != nil {
			t.Fatal(err)
		}
		b.release.Packs = append(b.release.Packs, packRef(p, 1))
	}
	terms := referencePack(t, "terminology_core")
	if err := b.materials.AddPack(terms); err != nil {
		t.Fatal(err)
	}
	ref := packRef(terms, 1)
	b.release.Terminology = &ref
	raw := fixturePolicy(t)
	b.policy = decision.Policy{Seq: 1, Digest: hexSHA256(raw)}
	if _, err := b.materials.AddPolicy(b.policy.Digest, raw); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.snapshot, err = b.materials.Snapshot(b.release, b.policy); err != nil {
		t.Fatal(err)
	}
	return b
}

func fixturePolicy(t testing.TB) []byte {
	t.Helper()
	p := tenant.Policy{Tenant: "north", Region: "us-east", Name: "North Health", Zone: fixtures.Zone,
		Clients: []tenant.Client{{ID: "ehr", Issuer: "https://ehr.north.example", JWKS: []byte(`{"keys":[]}`), Algorithms: []string{"ES256"}, FHIRBase: "https://ehr.north.example/fhir/R4"}}}
	for _, hook := range []string{"order-sign", "order-select"} {
		p.Services = append(p.Services, tenant.Service{ID: "orders", Hook: hook, Description: "Checks medication orders", Packs: referencePacks, Prefetch: StandardPrefetch()})
	}
	raw, err := jsonv2.Marshal(p, jsonv2.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (b *bench) inputs(t testing.TB, request []byte) *decision.Inputs {
	t.Helper()
	when, err := time.Parse(time.RFC3339, fixtures.Time)
	if err != nil {
		t.Fatal(err)
	}
	req, err := chart.Parse(request, chart.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return &decision.Inputs{RecordID: fixtureRecord, Tenant: "north", Region: "us-east", Time: when.UTC(), Zone: fixtures.Zone, Language: "en",
		Engine: decision.Engine{Build: "test", OPA: OPAVersion, Library: clinical.Version}, Release: b.release, Policy: b.policy,
		Service: "orders", Hook: req.Hook, Client: "ehr", Dialect: "2.0", Request: req.Body}
}

func (b *bench) decide(t testing.TB, in *decision.Inputs) *decision.Decision {
	t.Helper()
	d, err := b.materials.Decide(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func patients(t testing.TB) []fixtures.Patient {
	t.Helper()
	list, err := fixtures.Patients()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFixturesDecideAsExpected(t *testing.T) {
	b := newBench(t)
	for _, p := range patients(t) {
		t.Run(p.Name, func(t *testing.T) {
			d := b.decide(t, b.inputs(t, p.Request))
			var have, want []string
			for i := range d.Findings {
				f := &d.Findings[i]
				have = append(have, short(f.Rule, f.Subject, stateOf(f)))
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
	bn := newBench(b)
	in := bn.inputs(b, fixtures.Standard(1, 0))
	b.ReportAllocs()
	for b.Loop() {
		req, err := bn.snapshot.parse(in)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := bn.snapshot.decide(b.Context(), in, req, 0); err != nil {
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
