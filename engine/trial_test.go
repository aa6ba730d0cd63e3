package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
)

// Packs made for a test.

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

// trialRule is one rule of a trial pack. Body defines holds and card.
type trialRule struct{ id, severity, unknown, trigger, more, body string }

const alwaysTrue = `holds := fact.greater(fhir.age({"unit": "a"}), 0)`

const plainCard = `card := {"summary": fhir.text("It holds", {})}`

func (r trialRule) rego() string {
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

`, r.id, or(r.severity, "warning"), or(r.unknown, "info"), or(r.trigger, "{patient: true}"), strings.ReplaceAll(r.id, "-", "_"), r.more) + r.body + "\n"
}

func trialPack(t testing.TB, version string, rules ...trialRule) *rulepacks.Pack {
	t.Helper()
	return trialFiles(t, version, nil, rules...)
}

func trialFiles(t testing.TB, version string, extra map[string]string, rules ...trialRule) *rulepacks.Pack {
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
	}
	for _, r := range rules {
		fsys["rules/"+strings.ReplaceAll(r.id, "-", "_")+".rego"] = &fstest.MapFile{Data: []byte(r.rego())}
	}
	p, err := rulepacks.ReadFolder(fsys)
	must(t, err)
	return p
}

// withTrial adds a trial pack to a tenant's service and makes it live.
func (n *node) withTrial(id tenant.ID, p *rulepacks.Pack, change ...func(*tenant.Policy)) {
	n.Helper()
	pol := policyFor(n, id)
	for i := range pol.Services {
		pol.Services[i].Packs = append(pol.Services[i].Packs, "trial")
	}
	for _, f := range change {
		f(&pol)
	}
	n.policy(id, pol)
	n.activate(id, p)
}

// The rules that trial packs are made of.
var (
	ruleFires = trialRule{id: "fires", body: alwaysTrue + "\n\n" + plainCard}
	ruleLoops = trialRule{id: "a-loop", severity: "critical", body: loop}
)

// loop takes hours.
const loop = `d := [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

hits := count([1 | some a in d; some b in d; some c in d; some e in d; some f in d; some g in d; some h in d; some i in d; some j in d; ((((((((a + b) + c) + e) + f) + g) + h) + i) + j) < 0])

holds := fact.greater(fhir.age({"unit": "a"}), 0) if hits == 0

` + plainCard

// baseBench holds the reference packs compiled once. Materials may be shared:
// what is in them is named by digests.
var baseBench struct {
	sync.Once
	*bench
}

// newTrial is a bench with a trial pack beside the reference packs.
func newTrial(t testing.TB, rules []trialRule, change ...func(*tenant.Policy)) *bench {
	t.Helper()
	baseBench.Do(func() { baseBench.bench = newBench(t) })
	if baseBench.bench == nil {
		t.Fatal("compiling the reference packs failed in an earlier test")
	}
	b := &bench{materials: baseBench.materials, release: baseBench.release}
	b.release.Packs = slices.Clone(b.release.Packs)
	p := trialPack(t, "1.0.0", rules...)
	must(t, b.materials.AddPack(p))
	b.release.Packs = append(b.release.Packs, packRef(p, 1))
	pol := policyFor(t, "north")
	for i := range pol.Services {
		pol.Services[i].Packs = append(pol.Services[i].Packs, "trial")
	}
	for _, f := range change {
		f(&pol)
	}
	b.setPolicy(t, pol)
	return b
}

func (b *bench) setPolicy(t testing.TB, p tenant.Policy) {
	t.Helper()
	raw, err := json.Marshal(p)
	must(t, err)
	b.policy = decision.Policy{Seq: 2, Digest: hexSHA256(raw)}
	_, err = b.materials.AddPolicy(b.policy.Digest, raw)
	must(t, err)
}
