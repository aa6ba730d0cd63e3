// Package decidetest helps to test what decides: the reference packs with a tenant
// to decide for, packs made of a few rules, and readers of what was decided.
package decidetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/rulepacks"
)

const trialManifest = `name: trial
version: "%s"
title: Trial rules
status: draft
publisher: {name: Heartland, contact: rules@heartland.example}
effective_period: {start: "2020-01-01", end: ""}
review_due: "2027-01-01"
library: "1"
terminology: {min: "2026.1", max: ""}
languages: [en, de]
value_sets:
  - {id: metformin, title: Metformin, source: RxNorm, version: "2026-09", licence: public domain}
sources:
  - {id: own, title: Made for a test, url: "https://heartland.example", date: "2026-01-01", strength: none}
`

// Rule is one rule of a trial pack. Body defines holds and card.
type Rule struct{ ID, Severity, Unknown, Trigger, More, Body string }

// AlwaysTrue defines a holds that is true of every patient.
const AlwaysTrue = `holds := fact.greater(fhir.age({"unit": "a"}), 0)`

// PlainCard defines a card that reads "It holds".
const PlainCard = `card := {"summary": fhir.text("It holds", {})}`

func (r Rule) rego() string {
	or := func(s, or string) string {
		if s == "" {
			return or
		}
		return s
	}
	return fmt.Sprintf(`# METADATA
# scope: package
# title: Trial %[1]s
# custom:
#   id: %[1]s
#   hooks: [order-sign]
#   trigger: %[4]s
#   severity: %[2]s
#   unknown: %[3]s
%[6]spackage packs.trial.%[5]s

`, r.ID, or(r.Severity, "warning"), or(r.Unknown, "info"), or(r.Trigger, "{patient: true}"),
		strings.ReplaceAll(r.ID, "-", "_"), r.More) + r.Body + "\n"
}

// Pack makes the pack "trial" of some rules.
func Pack(t testing.TB, version string, rules ...Rule) *rulepacks.Pack {
	t.Helper()
	return PackOf(t, version, nil, rules...)
}

// PackOf is Pack with other files added, or put in place of its own.
func PackOf(t testing.TB, version string, extra map[string]string, rules ...Rule) *rulepacks.Pack {
	t.Helper()
	fsys := fstest.MapFS{
		"pack.yaml": {Data: fmt.Appendf(nil, trialManifest, version)},
		"README.md": {Data: []byte("# Trial\n")},
		"NOTICE":    {Data: []byte("No copyright.\n")},
		"valuesets/metformin.json": {Data: []byte(`{"id": "metformin", "kind": "medication", "codes": [
  {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "6809", "display": "metformin"}]}`)},
	}
	for name, data := range extra {
		fsys[name] = &fstest.MapFile{Data: []byte(data)}
		if id, ok := strings.CutPrefix(name, "valuesets/"); ok && name != "valuesets/metformin.json" {
			const members = `{id: %[1]s, title: %[1]s, source: %[1]s, version: "1", licence: none}`
			line := fmt.Appendf(nil, "value_sets:\n  - "+members+"\n", strings.TrimSuffix(id, ".json"))
			manifest := fsys["pack.yaml"]
			manifest.Data = bytes.Replace(manifest.Data, []byte("value_sets:\n"), line, 1)
		}
	}
	for _, r := range rules {
		fsys["rules/"+strings.ReplaceAll(r.ID, "-", "_")+".rego"] = &fstest.MapFile{Data: []byte(r.rego())}
	}
	p, err := rulepacks.ReadFolder(fsys)
	Must(t, err)
	return p
}

// loop takes hours.
const loop = `d := [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

hits := count([1 | some a in d; some b in d; some c in d; some e in d; some f in d; some g in d; some h in d; some i in d; some j in d; ((((((((a + b) + c) + e) + f) + g) + h) + i) + j) < 0])

holds := fact.greater(fhir.age({"unit": "a"}), 0) if hits == 0

` + PlainCard

// The rules that trial packs are made of.
var (
	RuleFires = Rule{ID: "fires", Body: AlwaysTrue + "\n\n" + PlainCard}
	RuleLoops = Rule{ID: "a-loop", Severity: "critical", Body: loop}
)

// RuleRunsOn makes a set of two nested values: in comparing them the evaluator cannot
// be ended.
func RuleRunsOn(id, severity string, depth int) Rule {
	rules, body, a, b := Nested(depth)
	return Rule{ID: id, Severity: severity, Body: fmt.Sprintf("%sboth := n if {\n%sn := count({%s, %s})\n}\n\n"+
		"%s if both == 1\n\n%s", rules, body, a, b, AlwaysTrue, PlainCard)}
}

// Nested makes two values, a and b, that are the same, not shared, and of about 2^depth
// parts. The values of rules must not be so large: with more than 2^12 parts they are
// variables of the body of one.
func Nested(depth int) (rules, body, a, b string) {
	var lines, variables strings.Builder
	for _, side := range []string{"a", "b"} {
		fmt.Fprintf(&lines, "%s0 := [x | some x in [1, 2, 3, 4]]\n\n", side)
		for i := range depth/2 - 1 {
			to := &lines
			if i >= 5 {
				to = &variables
			}
			fmt.Fprintf(to, "%[1]s%[2]d := [x | some _ in [1, 2, 3, 4]; x := %[1]s%[3]d]\n\n", side, i+1, i)
		}
	}
	return lines.String(), variables.String(), fmt.Sprint("a", depth/2-1), fmt.Sprint("b", depth/2-1)
}

// baseBench holds the reference packs compiled once. Materials may be shared:
// what is in them is named by digests.
var baseBench struct {
	sync.Once
	*Bench
}

// NewWith is a bench with a trial pack beside the reference packs.
func NewWith(t testing.TB, rules []Rule, change ...func(*tenant.Policy)) *Bench {
	t.Helper()
	baseBench.Do(func() { baseBench.Bench = New(t) })
	if baseBench.Bench == nil {
		t.Fatal("compiling the reference packs failed in an earlier test")
	}
	b := &Bench{Materials: baseBench.Materials, Release: baseBench.Release}
	b.Release.Packs = slices.Clone(b.Release.Packs)
	p := Pack(t, "1.0.0", rules...)
	Must(t, b.Materials.AddPack(p))
	b.Release.Packs = append(b.Release.Packs, Ref(p))
	pol := PolicyFor(t, "north")
	for i := range pol.Services {
		pol.Services[i].Packs = append(pol.Services[i].Packs, "trial")
	}
	for _, f := range change {
		f(&pol)
	}
	b.SetPolicy(t, pol)
	return b
}

// SetPolicy puts another policy in force.
func (b *Bench) SetPolicy(t testing.TB, p tenant.Policy) {
	t.Helper()
	raw, err := json.Marshal(p)
	Must(t, err)
	b.Policy = decision.Policy{Seq: 2, Digest: fmt.Sprintf("%x", sha256.Sum256(raw))}
	_, err = b.Materials.AddPolicy(b.Policy.Digest, raw)
	Must(t, err)
}

// Bench is a tenant with the three reference packs, at the time of the
// fixtures.
type Bench struct {
	Materials *decide.Materials
	Release   decision.Release
	Policy    decision.Policy
}

// RecordID is that of every decision of a bench.
const RecordID = "019cb2a0-0000-7000-8000-000000000001"

// New makes a bench with the fixtures' policy.
func New(t testing.TB) *Bench {
	t.Helper()
	b := &Bench{Materials: decide.NewMaterials()}
	for _, name := range ReferencePacks {
		p := ReferencePack(t, name)
		if err := b.Materials.AddPack(p); err != nil {
			t.Fatal(err)
		}
		b.Release.Packs = append(b.Release.Packs, Ref(p))
	}
	terms := ReferencePack(t, "terminology_core")
	if err := b.Materials.AddPack(terms); err != nil {
		t.Fatal(err)
	}
	ref := Ref(terms)
	b.Release.Terminology = &ref
	raw := fixturePolicy(t)
	b.Policy = decision.Policy{Seq: 1, Digest: fmt.Sprintf("%x", sha256.Sum256(raw))}
	if _, err := b.Materials.AddPolicy(b.Policy.Digest, raw); err != nil {
		t.Fatal(err)
	}
	return b
}

func fixturePolicy(t testing.TB) []byte {
	t.Helper()
	p := tenant.Policy{Tenant: "north", Region: "us-east", Name: "North Health", Zone: fixtures.Zone,
		Clients: []tenant.Client{
			{ID: "ehr", Issuer: "https://ehr.north.example", JWKS: []byte(`{"keys":[]}`),
				Algorithms: []string{"ES256"}, FHIRBase: "https://ehr.north.example/fhir/R4"},
		}}
	for _, hook := range []string{"order-sign", "order-select"} {
		p.Services = append(p.Services, tenant.Service{ID: "orders", Hook: hook,
			Description: "Checks medication orders", Packs: ReferencePacks, Prefetch: decide.StandardPrefetch()})
	}
	raw, err := jsonv2.Marshal(p, jsonv2.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Inputs makes the inputs of a request at the time of the fixtures.
func (b *Bench) Inputs(t testing.TB, request []byte) *decision.Inputs {
	t.Helper()
	when, err := time.Parse(time.RFC3339, fixtures.Time)
	if err != nil {
		t.Fatal(err)
	}
	req, err := chart.Parse(request, chart.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return &decision.Inputs{RecordID: RecordID, Tenant: "north", Region: "us-east", Time: when.UTC(),
		Zone: fixtures.Zone, Language: "en",
		Engine:  decision.Engine{Build: "test", OPA: decide.OPAVersion, Library: clinical.Newest().Version()},
		Release: b.Release, Policy: b.Policy,
		Service: "orders", Hook: req.Hook, Client: "ehr", Dialect: "2.0", Request: req.Body}
}

// Decide decides.
func (b *Bench) Decide(t testing.TB, in *decision.Inputs) *decision.Decision {
	t.Helper()
	d, err := b.Materials.Decide(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Snapshot returns what decides inputs, and their request as it reads it.
func (b *Bench) Snapshot(t testing.TB, in *decision.Inputs) (*decide.Snapshot, *chart.Request) {
	t.Helper()
	s, err := b.Materials.Snapshot(in.Release, in.Policy)
	Must(t, err)
	req, err := s.Parse(in.Client, in.Request)
	Must(t, err)
	return s, req
}

// Must fails the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// WantError fails the test unless err is want.
func WantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v; want one that is %q", err, want)
	}
}

// PolicyFor serves the reference packs to one EHR.
func PolicyFor(t testing.TB, id tenant.ID) tenant.Policy {
	t.Helper()
	var p tenant.Policy
	Must(t, jsonv2.Unmarshal(fixturePolicy(t), &p))
	p.Tenant, p.Name = id, string(id)
	p.Limits = tenant.Limits{DeadlineMS: 10_000, RuleMS: 10_000} // a test machine may be slow
	return p
}

// Cards reads the cards of an answer strictly.
func Cards(t testing.TB, response []byte) []cdshooks.Card {
	t.Helper()
	var r cdshooks.Response
	Must(t, jsonv2.Unmarshal(response, &r, jsonv2.RejectUnknownMembers(true)))
	return r.Cards
}

// Patient returns the request of a fixture.
func Patient(t testing.TB, name string) []byte {
	t.Helper()
	p, err := fixtures.Load(name)
	Must(t, err)
	return p.Request
}

// WithInstance makes the n-th other call of the same patient.
func WithInstance(t testing.TB, request []byte, n int) []byte {
	t.Helper()
	const start = `"hookInstance":"`
	i := bytes.Index(request, []byte(start))
	if i < 0 {
		t.Fatal("request has no hookInstance")
	}
	out := bytes.Clone(request)
	copy(out[i+len(start):], fmt.Sprintf("%08x", n))
	return out
}

// Finding returns what a rule said, about its only subject.
func Finding(t testing.TB, d *decision.Decision, rule string) *decision.Finding {
	t.Helper()
	var found *decision.Finding
	for i := range d.Findings {
		if d.Findings[i].Rule != rule {
			continue
		}
		if found != nil {
			t.Fatalf("rule %s has more than one finding", rule)
		}
		found = &d.Findings[i]
	}
	if found == nil {
		t.Fatalf("rule %s has no finding", rule)
	}
	return found
}

// HasCard reports whether a summary holds the text.
func HasCard(list []cdshooks.Card, summary string) bool {
	for _, c := range list {
		if strings.Contains(c.Summary, summary) {
			return true
		}
	}
	return false
}

// ReferencePack reads one of the packs that come with the program.
func ReferencePack(t testing.TB, name string) *rulepacks.Pack {
	t.Helper()
	p, err := rulepacks.ReadEmbedded(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ReferencePacks are the rule packs that come with the program.
var ReferencePacks = []string{"high_priority_ddi", "nsaid_anticoagulant", "renal_dosing"}

// Ref names a pack as activated.
func Ref(p *rulepacks.Pack) decision.Ref {
	return decision.Ref{Name: p.Manifest.Name, Version: p.Manifest.Version, Digest: string(p.Digest), Seq: 1,
		Mode: decision.Active, Library: clinical.Newest().Version()}
}

// WithDrafts is an order-sign call with draft orders and an empty chart.
func WithDrafts(drafts string) []byte {
	return []byte(`{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002",` +
		`"context":{"userId":"Practitioner/1","patientId":"p1","draftOrders":` + drafts + `},"prefetch":{}}`)
}

// Patients lists the fixtures.
func Patients(t testing.TB) []fixtures.Patient {
	t.Helper()
	list, err := fixtures.Patients()
	if err != nil {
		t.Fatal(err)
	}
	return list
}
