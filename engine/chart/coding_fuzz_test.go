package chart

import (
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/chart/rawjson"
)

// FuzzCodings reads concepts of any shape: nothing panics, no coding is without a code,
// systems have their one spelling, and what is no concept is said to be none.
func FuzzCodings(f *testing.F) {
	for _, s := range []string{
		`{"coding":[{"system":"http://loinc.org/","code":"2160-0","display":"Creatinine"}],"text":"crea"}`,
		`{"concept":{"coding":{"system":"urn:oid:2.16.840.1.113883.6.1","code":"2160-0"}}}`,
		`[{"system":"https://snomed.info/sct","code":"1"},{"text":"x"}]`, `{"system":"LOINC","code":"x"}`, `null`,
		`"x"`,
		`{"coding":null}`, `{"coding":[null,{"code":7}]}`, `{"coding":[[[]]],"text":[]}`, `7`, `{"code":""}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := rawjson.Check([]byte(text), 64); err != nil {
			return // never gets here
		}
		codings, words, ok := concept(rawjson.Value(strings.TrimSpace(text)), nil)
		for _, c := range codings {
			if c.Code == "" {
				t.Errorf("a coding of %q without code", text)
			}
			if again := CanonicalSystem(c.System); again != c.System {
				t.Errorf("%q is canonical and becomes %q", c.System, again)
			}
		}
		more, wordsAgain, okAgain := concept(rawjson.Value(strings.TrimSpace(text)),
			codings[:len(codings):len(codings)])
		if len(more) != 2*len(codings) || words != wordsAgain || ok != okAgain {
			t.Errorf("%q read twice is not the same", text)
		}
	})
}
