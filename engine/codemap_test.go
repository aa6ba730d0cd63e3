package engine

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/rulepacks"
)

const house = "urn:oid:1.2.3.4"

// codeMapPack maps a formulary's codes.
func codeMapPack(t testing.TB, name, version, target string) *rulepacks.Pack {
	t.Helper()
	p, err := rulepacks.ReadFolder(fstest.MapFS{
		"pack.yaml": {Data: []byte("name: " + name + "\nversion: \"" + version + "\"\nkind: codemap\n" +
			"title: Codes of North\nstatus: draft\npublisher: {name: Heartland, contact: x@heartland.example}\n")},
		"tables/codes.json": {Data: []byte(`{"codes":[{"system":"` + house + `","code":"MET","display":"Metformin",` +
			`"kind":"medication","to":[{"system":"` + chart.RxNorm + `","code":"` + target + `"}]}]}`)},
	})
	decidetest.Must(t, err)
	return p
}

// TestCodeMapLifecycle holds that a tenant's local codes count once a signed code map says
// what they mean, for that tenant alone, and that records before and after are replayed with
// what was in force then.
func TestCodeMapLifecycle(t *testing.T) {
	n := newRegion(t)
	request := func(i int) []byte {
		for _, p := range decidetest.Patients(t) {
			if p.Name == "metformin-egfr-27" {
				body := strings.Replace(string(p.Request),
					`"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"6809"`,
					`"system":"`+house+`","code":"MET"`, 1)
				return decidetest.WithInstance(t, []byte(body), i)
			}
		}
		t.Fatal("no such patient")
		return nil
	}
	fires := func(record string) bool {
		_, d := n.opened("north", record)
		return slices.ContainsFunc(d.Findings, func(f decision.Finding) bool {
			return f.Rule == "renal_dosing/metformin-contraindicated" && f.Outcome == decision.Fired
		})
	}
	before := n.call("north", request(1)).RecordID
	if fires(before) {
		t.Error("a local code counts before anybody says what it means")
	}
	unknown := codeMapPack(t, "codes_north", "1.0.0", "99999999")
	n.release("north", unknown)
	err := n.unchanged("north", ErrStatement, func() error { _, err := n.tryActivate("north", unknown); return err })
	if !strings.Contains(err.Error(), "MET (99999999") {
		t.Errorf("the error does not name the code: %v", err)
	}
	good := codeMapPack(t, "codes_north", "1.0.1", "6809")
	n.activate("north", good)
	after := n.call("north", request(2)).RecordID
	if !fires(after) {
		t.Error("a mapped code does not count")
	}
	in, _ := n.opened("north", after)
	if m := in.Release.CodeMap; m == nil || m.Digest != string(good.Digest) {
		t.Errorf("the record names the code map %v", m)
	}
	south := n.call("south", request(3)).RecordID
	if in, _ := n.opened("south", south); in.Release.CodeMap != nil {
		t.Error("a code map counts for another tenant")
	}
	n.restart()
	a := n.away("north")
	m := a.materials("north")
	a.same(m, "north", before)
	a.same(m, "north", after)
	status, err := n.Status(t.Context(), person("north", "olga"))
	decidetest.Must(t, err)
	found := false
	for _, p := range status.Packs {
		found = found || p.Kind == "codemap" && p.Name == "codes_north"
	}
	if !found {
		t.Errorf("the status does not name the code map: %v", status.Packs)
	}
}
