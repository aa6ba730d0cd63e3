package rulepacks

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/rulepacks/casefile"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/packfile/packtest"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

func TestRoundTrip(t *testing.T) {
	p := sample(t)
	var packed bytes.Buffer
	if err := p.WriteArchive(&packed); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"tar": p.Archive(), "gzip": packed.Bytes()} {
		q, err := ReadArchive(bytes.NewReader(data), Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if q.Digest != p.Digest || q.DirHash1 != p.DirHash1 || !bytes.Equal(q.Archive(), p.Archive()) {
			t.Errorf("%s: the digests of what was read differ", name)
		}
		if len(q.Rules) != 1 || len(q.ValueSets) != 1 || len(q.Cases) != 2 ||
			q.Messages["de"]["Low: {egfr}"] != "Niedrig: {egfr}" {
			t.Errorf("%s: parts are missing: %+v", name, q)
		}
	}
	if v, ok := p.ValueSet("metformin"); !ok || v.ID != "metformin" {
		t.Errorf("value set is %v, %v", v, ok)
	}
	if _, ok := p.ValueSet("other"); ok {
		t.Error("a value set was found that is not there")
	}
	if _, err := ParseDigest(string(p.Digest)); err != nil {
		t.Error(err)
	}
	if _, err := ParseDigest(p.DirHash1); err != nil {
		t.Error(err)
	}
}

// The digests are part of signed statements: if this test fails, every signed
// release of every pack is void.
func TestDigestIsStable(t *testing.T) {
	p := sample(t)
	const digest, dirHash1 = "8d0fa47c56354bec14798ec69376fb012b47814e45b2c705076b6c2a1ba022e4",
		"b02b38251db5a7435239609538cca5d367e5d4315b2720bc5394dd84a30f3514"
	if p.Digest != digest || p.DirHash1 != dirHash1 {
		t.Errorf("digests are %s, %s", p.Digest, p.DirHash1)
	}
	const manifest = `{"revision":"sample@1.10.0","roots":["packs/sample"],"rego_version":1,` +
		`"metadata":{"precept":{"pack":"sample","version":"1.10.0","kind":"rules","library":"1"}}}` + "\n"
	if got := string(p.Files[0].Data); p.Files[0].Name != ".manifest" || got != manifest {
		t.Errorf(".manifest is %s", got)
	}
}

func TestParseDigest(t *testing.T) {
	good := strings.Repeat("0a", 32)
	for _, bad := range []string{"", good[1:], good + "0", strings.ToUpper(good), "../" + good[3:], good[:63] + "\x00",
		"CON"} {
		if _, err := ParseDigest(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// One set of files has one archive, whatever the order it is given in, and
// reading the archive gives the same set back.
func TestBuildIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := drawFiles(t)
		p, err := FromFiles(slices.Clone(files))
		if err != nil {
			t.Fatal(err)
		}
		q, err := FromFiles(rapid.Permutation(files).Draw(t, "order"))
		if err != nil {
			t.Fatal(err)
		}
		if p.Digest != q.Digest || p.DirHash1 != q.DirHash1 || !bytes.Equal(p.Archive(), q.Archive()) {
			t.Fatal("another order of files gave another archive")
		}
		r, err := ReadArchive(bytes.NewReader(p.Archive()), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(r.Files, p.Files, func(a, b packfile.File) bool {
			return a.Name == b.Name &&
				bytes.Equal(a.Data, b.Data)
		}) {
			t.Fatal("the archive gave other files back")
		}
	})
}

// Any change of one byte of an archive is refused or changes the digest; no two
// archives share one digest.
func TestOneByteChanged(t *testing.T) {
	good := sample(t).Archive()
	digest := sample(t).Digest
	rapid.Check(t, func(t *rapid.T) {
		data := bytes.Clone(good)
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		data[at] ^= rapid.ByteRange(1, 255).Draw(t, "flip")
		if p, err := ReadArchive(bytes.NewReader(data), Limits{}); err == nil && p.Digest == digest {
			t.Fatalf("byte %d changed, and the digest did not", at)
		}
	})
}

func drawFiles(t *rapid.T) []packfile.File {
	files := []packfile.File{{Name: "pack.yaml", Data: []byte(packtest.PackYAML)},
		{Name: "valuesets/metformin.json", Data: []byte(packtest.ValueSet)}}
	id := rapid.StringMatching(`[a-z][a-z0-9_]{0,12}`)
	text := rapid.StringMatching(`[ -~\näß]{0,600}`)
	for _, name := range rapid.SliceOfNDistinct(id, 1, 8, rapid.ID).Draw(t, "rules") {
		files = append(files, packfile.File{Name: "rules/" + name + ".rego", Data: []byte(text.Draw(t, "rule"))})
	}
	for i, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`x[a-z0-9_-]{0,60}(/y[a-z0-9._-]{0,60}z)?`), 0, 5,
		rapid.ID).Draw(t, "cases") {
		data := fmt.Sprintf("cases: [{name: c%d, time: 2026-03-02T10:00:00Z, context: {}}]\n", i)
		files = append(files, packfile.File{Name: "cases/" + name + ".yaml", Data: []byte(data)})
	}
	if rapid.Bool().Draw(t, "readme") {
		files = append(files, packfile.File{Name: "README.md", Data: []byte(text.Draw(t, "text"))})
	}
	return files
}

func TestTerminologyPack(t *testing.T) {
	const packYAML = "name: drugs\nversion: \"2026.1.0\"\nkind: terminology\ntitle: Drugs\nstatus: active\n" +
		"publisher: {name: North}\n"
	const table = `{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","release":"2026.1",
"ingredients":[{"code":"35827","display":"ketorolac"},{"code":"6809","display":"metformin"}],
"products":[{"code":"834022","display":"ketorolac 10 mg tablet","ingredients":["35827"],"form":"oral"}]}`
	p, err := ReadFolder(folder(map[string]string{"pack.yaml": packYAML, "tables/products.json": table}))
	if err != nil {
		t.Fatal(err)
	}
	const rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
	if got := p.Terminology; got.System != rxnorm || got.Release != "2026.1" || len(got.Ingredients) != 2 ||
		got.Products[0].Form != vocab.FormOral || !slices.Equal(got.Products[0].Ingredients, []string{"35827"}) {
		t.Errorf("the terminology is %+v", got)
	}
	for _, test := range []struct{ name, old, new string }{
		{"undeclared ingredient", `["35827"]`, `["1"]`},
		{"ingredient twice in a product", `["35827"]`, `["35827","35827"]`},
		{"no ingredients", `["35827"]`, `[]`},
		{"unknown form", `"oral"`, `"tablet"`},
		{"product twice", `"products":[`,
			`"products":[{"code":"834022","display":"x","ingredients":["35827"],"form":"oral"},`},
		{"product that is an ingredient", `"834022"`, `"6809"`},
		{"ingredient twice", `"ingredients":[{`, `"ingredients":[{"code":"6809","display":"x"},{`},
		{"wrong system", rxnorm, "urn:oid:2.16.840.1.113883.6.88"},
		{"wrong release", "2026.1", "latest"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := vocab.ReadTerminology(packfile.File{Name: "tables/products.json",
				Data: []byte(strings.Replace(table, test.old, test.new, 1))})
			packtest.Refused(t, err, vocab.ErrTerminology, "tables/products.json:")
		})
	}
	_, err = ReadFolder(folder(map[string]string{"pack.yaml": packYAML}))
	packtest.Refused(t, err, manifest.ErrManifest, "tables/products.json")
	_, err = ReadFolder(folder(map[string]string{"pack.yaml": packYAML, "tables/products.json": table,
		"rules/x.rego": "x"}))
	packtest.Refused(t, err, ErrUnknownFile, "rules/x.rego")
}

func TestLint(t *testing.T) {
	for _, p := range sample(t).Lint() {
		if !p.Warning {
			t.Errorf("the sample is a draft, but lint refuses it: %v", p)
		}
	}
	released := strings.Replace(packtest.PackYAML, "status: draft", "status: active", 1)
	for _, test := range []struct {
		name    string
		changes []string
		want    string
		warning bool
	}{
		{"funding of a draft", nil, "pack.yaml: warning: funding is missing", true},
		{"funding", []string{"pack.yaml", released}, "pack.yaml: funding is missing", false},
		{"attribute", []string{"pack.yaml", released}, "source_attributes.race is missing", false},
		{"licence", []string{"pack.yaml", strings.Replace(released, "licence: public domain", "licence: ''", 1)},
			"licence of value set metformin is missing", false},
		{"strength", []string{"pack.yaml", strings.Replace(released, "strength: strong", "strength: ''", 1)},
			"strength of source fda2016 is missing", false},
		{"display", []string{"valuesets/metformin.json", strings.Replace(packtest.ValueSet, `, "display": "metformin"`, "",
			1)},
			"valuesets/metformin.json:2: warning: code 6809 has no display", true},
		{"placeholders", []string{"messages/de.json", "{\n\"Low: {egfr}\": \"Niedrig: {egrf}\"}"},
			"messages/de.json:2: the translation has other placeholders", false},
		{"lost placeholder", []string{"messages/de.json", `{"Low: {egfr}": "Niedrig"}`}, "other placeholders", false},
		{"placeholder nobody gives", []string{"messages/de.json", `{"Low: {egfr}": "Niedrig: {egfr} {}"}`},
			"other placeholders", false},
		{"open placeholder", []string{"messages/de.json", `{"Low: {egfr}": "Niedrig: {egfr} {"}`},
			"the translation has { without }", false},
		{"language without file", []string{"messages/de.json", ""}, "pack.yaml:10: language de has no messages/de.json",
			false},
		{"file without language", []string{"messages/fr.json", `{}`}, "messages/fr.json: its language is not declared",
			false},
		{"case without want", []string{"cases/low.yaml", strings.Replace(packtest.Cases, "    want: []\n", "", 1)},
			"cases/low.yaml:19: case merged has no want", false},
		{"case language", []string{"cases/low.yaml", strings.Replace(packtest.Cases, "name: merged",
			"name: merged\n    language: fr", 1)}, "asks for language fr", false},
		{"case parameter", []string{"cases/low.yaml", strings.Replace(packtest.Cases, "limit: 45.0", "limits: 45", 1)},
			"no such parameter", false},
		{"case parameter value", []string{"cases/low.yaml", strings.Replace(packtest.Cases, "limit: 45.0", "limit: 91", 1)},
			"does not fit", false},
		{"no cases", []string{"cases/low.yaml", ""}, "has no cases", false},
		{"line ends", []string{"README.md", "# a\n\nb\r\n"}, "README.md:3: warning: has CRLF", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := ReadFolder(folder(packtest.With(test.changes...)))
			if err != nil {
				t.Fatal(err)
			}
			found := p.Lint()
			i := slices.IndexFunc(found, func(p *packfile.Problem) bool { return strings.Contains(p.Error(), test.want) })
			if i < 0 {
				t.Fatalf("lint finds %v; want %q", found, test.want)
			}
			if found[i].Warning != test.warning {
				t.Errorf("warning is %v", found[i].Warning)
			}
			packtest.Refused(t, found[i], found[i].Kind)
		})
	}
}

func TestCaseNameTwice(t *testing.T) {
	_, err := ReadFolder(folder(packtest.With("cases/low.yaml", strings.Replace(packtest.Cases, "name: merged",
		"name: low", 1))))
	packtest.Refused(t, err, casefile.ErrCase, "cases/low.yaml:19: case low is also in cases/low.yaml:2")
}
