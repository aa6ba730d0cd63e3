package rulepacks

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

const tableYAML = `name: drugs
version: "2026.11.0"
kind: terminology
title: Drugs
status: draft
publisher: {name: North, contact: x@north.example}
`

const releaseJSON = `{"release": "2026.11", "sources": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm",
  "title": "RxNorm", "version": "11032026", "licence": "public domain"}], "counts": [], "left_out": []}`

const codesJSON = `{"codes": [{"system": "urn:oid:1.2.3", "code": "MET5", "display": "Metformin 500",
  "kind": "medication",
  "to": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "6809"}]}]}`

// TestTables holds which tables packs may have, and that bytes come back from an archive.
func TestTables(t *testing.T) {
	bytesOfTable := "\x00\xff\xfenot text\x00"
	mapYAML := strings.Replace(tableYAML, "kind: terminology", "kind: codemap", 1)
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string // "" for a pack
	}{
		{"table", map[string]string{"pack.yaml": tableYAML, drugsFile: bytesOfTable, releaseFile: releaseJSON}, ""},
		{"table alone", map[string]string{"pack.yaml": tableYAML, drugsFile: bytesOfTable},
			"tables/release.json: is missing"},
		{"release alone", map[string]string{"pack.yaml": tableYAML, releaseFile: releaseJSON},
			"tables/products.json: is missing"},
		{"two releases", map[string]string{"pack.yaml": tableYAML, drugsFile: "x", releaseFile: releaseJSON,
			productsFile: `{"system":"http://a.b","release":"2026.1","ingredients":[{"code":"1","display":"a"}],` +
				`"products":[]}`}, "one release too many"},
		{"no licence", map[string]string{"pack.yaml": tableYAML, drugsFile: "x",
			releaseFile: strings.Replace(releaseJSON, "public domain", " ", 1)}, "no licence"},
		{"no release", map[string]string{"pack.yaml": tableYAML, drugsFile: "x",
			releaseFile: strings.Replace(releaseJSON, "2026.11", "latest", 1)}, "not a release"},
		{"other table", map[string]string{"pack.yaml": tableYAML, "tables/more.bin": "x"}, "no place in a pack"},
		{"code map", map[string]string{"pack.yaml": mapYAML, codesFile: codesJSON}, ""},
		{"code map without", map[string]string{"pack.yaml": mapYAML}, "tables/codes.json: is missing"},
		{"code map with drugs", map[string]string{"pack.yaml": mapYAML, codesFile: codesJSON, drugsFile: "x"},
			"not part of a codemap pack"},
		{"terminology with code map", map[string]string{"pack.yaml": tableYAML, drugsFile: "x",
			releaseFile: releaseJSON, codesFile: codesJSON}, "not part of a terminology pack"},
		{"rules in a code map", map[string]string{"pack.yaml": mapYAML, codesFile: codesJSON,
			"rules/a.rego": "package a"},
			"not part of a codemap pack"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := ReadFolder(folder(test.files))
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("%v, want %s", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var archive bytes.Buffer
			if err := p.WriteArchive(&archive); err != nil {
				t.Fatal(err)
			}
			q, err := ReadArchive(&archive, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if q.Digest != p.Digest {
				t.Error("the archive has another digest")
			}
			switch {
			case q.CodeMap != nil:
				if q.CodeMap.Codes[0].To[0].Code != "6809" {
					t.Errorf("code map %v", q.CodeMap)
				}
			case string(q.Terminology.Table) != bytesOfTable || q.Terminology.Release != "2026.11" ||
				q.Terminology.Sources[0].Title != "RxNorm":
				t.Errorf("terminology %v", q.Terminology)
			}
		})
	}
}

// TestTablesHaveRoomOfTheirOwn holds that a table does not take the room of other files,
// nor they its.
func TestTablesHaveRoomOfTheirOwn(t *testing.T) {
	p, err := ReadFolder(folder(map[string]string{"pack.yaml": tableYAML, drugsFile: strings.Repeat("x", 100_000),
		releaseFile: releaseJSON}))
	if err != nil {
		t.Fatal(err)
	}
	tar := p.Archive()
	for _, test := range []struct {
		lim  Limits
		want bool
	}{
		{Limits{Expanded: 6_000, Tables: 101_000}, true},
		{Limits{Expanded: 6_000, Tables: 100_000}, false},
		{Limits{Expanded: 1_000, Tables: 200_000}, false},
		{Limits{Expanded: 200_000, Tables: 50_000}, false},
	} {
		_, err := ReadArchive(bytes.NewReader(tar), test.lim)
		if (err == nil) != test.want || err != nil && !errors.Is(err, packfile.ErrTooLarge) {
			t.Errorf("%+v: %v", test.lim, err)
		}
	}
}

// TestCodeMaps holds what a code map may say.
func TestCodeMaps(t *testing.T) {
	read := func(data string) error {
		_, err := vocab.ReadCodeMap(packfile.File{Name: codesFile, Data: []byte(data)})
		return err
	}
	if err := read(codesJSON); err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSuffix(strings.TrimPrefix(codesJSON, `{"codes": [`), "]}")
	const rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
	with := func(old, new string) string { return strings.Replace(codesJSON, old, new, 1) }
	for want, data := range map[string]string{
		"no codes":          `{"codes": []}`,
		"mapped twice":      `{"codes": [` + line + "," + line + `]}`,
		"no local code":     with("urn:oid:1.2.3", "http://loinc.org"),
		"not the canonical": with("urn:oid:1.2.3", "urn:oid:2.16.840.1.113883.6.1"),
		"no system":         with("urn:oid:1.2.3", ""),
		"kind is unknown":   with(`"medication"`, `"drug"`),
		"mapped to nothing": with(`{"system": "`+rxnorm+`", "code": "6809"}`, ""),
		"what it is mapped": with("http://www.nlm", "https://www.nlm"),
		"code or display":   with("Metformin 500", ""),
		"has no code":       with(`"6809"`, `" "`),
		"unknown member":    with(`"display"`, `"name"`),
		"is mapped itself": `{"codes": [` + strings.Replace(strings.ReplaceAll(line, rxnorm, "https://a.example/x"),
			"urn:oid:1.2.3", "https://a.example/x", 1) + `]}`,
	} {
		if err := read(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// FuzzReadCodeMap holds that whatever is read is unambiguous.
func FuzzReadCodeMap(f *testing.F) {
	f.Add([]byte(codesJSON))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := vocab.ReadCodeMap(packfile.File{Name: codesFile, Data: data})
		if err != nil {
			if len(packfile.Problems(err)) == 0 {
				t.Fatalf("%v is no problem of the pack", err)
			}
			return
		}
		seen := map[[2]string]bool{}
		for _, c := range m.Codes {
			if key := [2]string{c.System, c.Code}; seen[key] || len(c.To) == 0 {
				t.Fatalf("%v is ambiguous or means nothing", c)
			} else {
				seen[key] = true
			}
		}
	})
}
