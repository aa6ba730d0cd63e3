package rulepacks

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// wantProblem fails if a refusal of bytes is not one of this package's errors.
func wantProblem(t *testing.T, err error) {
	if len(Problems(err)) == 0 {
		t.Fatalf("error %v holds no problem", err)
	}
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Fatalf("error %q is not fit for a terminal", err)
	}
	for _, kind := range []error{ErrMalformed, ErrTooLarge, ErrNotCanonical, ErrNotRegular, ErrUnsafeName, ErrDuplicate,
		ErrUnknownFile, ErrManifest, ErrValueSet, ErrTerminology, ErrMessages, ErrCase, ErrParameter} {
		if errors.Is(err, kind) {
			return
		}
	}
	t.Fatalf("error %v has no sentinel", err)
}

// What is accepted is the canonical archive of what was read, byte for byte.
func FuzzReadArchive(f *testing.F) {
	good := sample(f).Archive()
	f.Add(good)
	f.Add(zip(good))
	f.Add(insert(f, entry{name: "rules/x.rego", flag: '2', edit: link("/etc/passwd")}))
	f.Add(rawTar(entry{name: "NOTICE", data: "x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadArchive(bytes.NewReader(data), Limits{Compressed: 1 << 20, Expanded: 4 << 20, Entries: 100})
		if err != nil {
			wantProblem(t, err)
			return
		}
		if packed := data[0] == 0x1f; !packed && !bytes.Equal(p.Archive(), data) {
			t.Fatal("an archive was accepted that is not the canonical one")
		}
		q, err := ReadArchive(bytes.NewReader(p.Archive()), Limits{})
		if err != nil || q.Digest != p.Digest || q.DirHash1 != p.DirHash1 {
			t.Fatalf("reading the archive again: %v", err)
		}
		p.Lint()
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(samplePackYAML))
	f.Add([]byte("a: &a {<<: *a}"))
	f.Add([]byte("version: 1.10\nparameters: {a: {minimum: 1e99}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err != nil {
			wantProblem(t, err)
			return
		}
		out, err := m.opaManifest()
		if err != nil || !jsontext.Value(out).IsValid() {
			t.Fatalf("manifest %s, %v", out, err)
		}
	})
}

func FuzzReadCaseFile(f *testing.F) {
	f.Add("cases/a.yaml", []byte(sampleCases))
	f.Add("cases/a.json", []byte(`{"cases":[{"name":"a","time":"2026-03-02T10:00:00Z","context":{"a":1.10}}]}`))
	f.Add("cases/a.yaml", []byte("cases: &a [*a]"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		file, err := ReadCaseFile(File{name, data}, "p")
		if err != nil {
			wantProblem(t, err)
			return
		}
		for _, c := range file.Cases {
			if r := c.Request(); !jsontext.Value(r).IsValid() || !bytes.Equal(r, c.Request()) {
				t.Fatalf("request %s", r)
			}
		}
	})
}

func FuzzParseValueSet(f *testing.F) {
	f.Add([]byte(sampleValueSet))
	f.Add([]byte(`{"id":"metformin","kind":"route","codes":[{"system":"http://a","code":"x"},null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := ParseValueSet(File{"valuesets/metformin.json", data})
		if err != nil {
			wantProblem(t, err)
			return
		}
		for _, c := range v.Codes {
			if got, ok := v.Find(c.System, c.Code); !ok || got != c {
				t.Fatalf("code %v is not found", c)
			}
		}
	})
}

func FuzzParseTerminology(f *testing.F) {
	f.Add([]byte(`{"system":"http://a.b","release":"2026.1","ingredients":[{"code":"1","display":"a"}],` +
		`"products":[{"code":"2","display":"b","ingredients":["1"],"form":"oral"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		terms, err := ParseTerminology(File{"tables/products.json", data})
		if err != nil {
			wantProblem(t, err)
			return
		}
		for _, p := range terms.Products {
			if d, ok := terms.Lookup(terms.System, p.Code); !ok || len(d.Ingredients) != len(p.Ingredients) {
				t.Fatalf("product %v is not found", p)
			}
		}
	})
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{samplePackYAML, sampleCases, "a: &a 1\nb: *a", "{<<: [{a: 1}, {b: 2}]}", "? a\n: |\n  b", "'a'", "- !!str 1\n- 0x1\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := readYAML(File{"a.yaml", data})
		if err != nil {
			wantProblem(t, err)
			return
		}
		if _, err := readJSON(File{"a.json", d.json}); err != nil {
			t.Fatalf("the JSON of a YAML file is not strict: %v: %s", err, d.json)
		}
	})
}
