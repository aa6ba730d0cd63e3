package trust_test

import (
	"testing"

	"github.com/precept-cds/precept/signing/trust"
)

// TestNearEqual: what no rule can tell apart is shown to people, within a root and across.
func TestNearEqual(t *testing.T) {
	for name, row := range map[string]struct {
		a, b string
		near bool
	}{
		"dots":                  {"ann.lee@heartland.example", "annlee@heartland.example", true},
		"dash and underscore":   {"ann-lee@heartland.example", "ann_lee@heartland.example", true},
		"dash in the domain":    {"ann@heart-land.example", "ann@heartland.example", true},
		"tag":                   {"ann+x@heartland.example", "an.n@heartland.example", true},
		"case":                  {"Ann@heartland.example", "a.nn@heartland.example", true},
		"digit for a letter":    {"bil1@heartland.example", "bill@heartland.example", true},
		"zero for an o":         {"b0b@heartland.example", "bob@heartland.example", true},
		"rn for m":              {"tirn@heartland.example", "tim@heartland.example", true},
		"Cyrillic in domain":    {"ann@xn--hartland-c8g.example", "ann@heartland.example", true},
		"mark in the domain":    {"ann@xn--bcher-kva.example", "ann@bucher.example", true},
		"page":                  {"https://heartland.example/a.lee", "https://heartland.example/alee", true},
		"another scheme":        {"npi:12-45", "npi:1245", true},
		"another person":        {"ann@heartland.example", "amy@heartland.example", false},
		"another domain":        {"ann@heartland.example", "ann@north.example", false},
		"another ORCID":         {"orcid:0000-0002-1825-0097", "orcid:0000-0002-1694-233X", false},
		"the same, so one":      {"ann@heartland.example", "mailto:ann@heartland.example", false},
		"the same, known as so": {"orcid:0000-0002-1825-0097", "https://orcid.org/0000-0002-1825-0097", false},
	} {
		of := func(name string, persons ...trust.Person) trust.Root {
			return trust.Root{RootKind: trust.PublisherRoot, Name: name, Persons: persons}
		}
		a := trust.Person{ID: "one@one.example", Identities: []string{row.a}}
		b := trust.Person{ID: "two@two.example", Identities: []string{row.b}}
		for at, roots := range map[string][]trust.Root{
			"one root": {of("one", a, b)}, "two roots": {of("one", a), of("two", b)},
		} {
			got := trust.NearEqual(roots...)
			if len(got) != map[bool]int{true: 1}[row.near] {
				t.Errorf("%s, %s: %v", name, at, got)
			} else if row.near && (got[0].A.Identity != row.a || got[0].B.Identity != row.b || got[0].A.Root != "one" ||
				got[0].B.Person != "two@two.example") {
				t.Errorf("%s, %s: %+v", name, at, got)
			}
		}
		a.Identities = append(a.Identities, row.b)
		if got := trust.NearEqual(of("one", a)); got != nil {
			t.Errorf("%s, of one person: %v", name, got)
		}
	}
	if got := trust.NearEqual(publisherRoot(t), tenantRoot(t)); got != nil {
		t.Errorf("%v", got)
	}
}
