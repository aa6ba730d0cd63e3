package trust_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/precept-cds/precept/signing/trust"
)

// spellings are ways to write one identity, each once taken for another person.
var spellings = map[string][]string{
	"ann@heartland.example": {
		"ann@heartland.example.", "ann+reviews@heartland.example", "ann+a+b@heartland.example.",
		"mailto:ann@heartland.example", "mailto:mailto:ann@heartland.example", "MAILTO:mailto://ann@heartland.example",
		"ann%40heartland.example", "mailto:ann%40heartland.example", "ann%2540heartland.example",
		"%61nn@heartland.example", "Ann@heartland.example", "ann@HEARTLAND.example", "mailto:%20ann@heartland.example",
		"ann%2Bx@heartland.example", "ann@heartland%2Eexample", " ann@heartland.example\n",
		"ann@heart\u200bland.example", "ann\u00ad@heartland.example", "\ufeffann@heartland.example",
		"ann\u2060@heartland.example", "an\u034fn@heartland.example", "ann\U000e0061@heartland.example",
		"ann@heartland。example", "ａｎｎ＠heartland.example", "ann@heartland．example",
	},
	"jean-luc@xn--bcher-kva.example": {
		"jean-luc@bücher.example", "jean-luc@BÜCHER.example", "jean-luc@bu\u0308cher.example",
		"jean‐luc@xn--bcher-kva.example", "jean-luc@XN--BCHER-KVA.example", "jean-luc@b%C3%BCcher.example",
	},
	// A Cyrillic letter is another domain, and is shown as one.
	"ann@xn--hartland-c8g.example": {"ann@h\u0435artland.example"},
	"orcid:0000-0002-1694-233X": {
		"orcid:0000-0002-1694-233x", "ORCID:0000-0002-1694-233X", "0000-0002-1694-233X", "000000021694233X",
		"orcid:000000021694233X", "https://orcid.org/0000-0002-1694-233X", "http://orcid.org/0000-0002-1694-233X",
		"https://orcid.org/0000-0002-1694-233X/", "https://www.orcid.org/0000-0002-1694-233x",
		"HTTPS://ORCID.ORG/000000021694233X", "orcid.org/0000-0002-1694-233X", "//orcid.org/0000-0002-1694-233X",
		"https://orcid.org:443/0000-0002-1694-233X", "https://orcid.org./0000-0002-1694-233X",
		"https://orcid.org//0000-0002-1694-233X", "orcid:https://orcid.org/0000-0002-1694-233X",
		"https://orcid.org/0000-0002-1694-233X?lang=en", "https://orcid.org/0000-0002-1694-233X#works",
		"urn:orcid:0000-0002-1694-233X", "ORCID iD: 0000-0002-1694-233X", "orcid: 0000 0002 1694 233X",
		"orcid%3A0000-0002-1694-233X", "mailto:orcid:0000-0002-1694-233X", "https://orcid.org/0000-0002-1694-233%58",
		"https://orcid.org/0000\u20110002\u20111694\u2011233X",
	},
	"https://heartland.example/staff/ann": {
		"http://heartland.example/staff/ann", "https://heartland.example/staff/ann/",
		"https://Heartland.example/Staff/Ann", "https://heartland.example./staff/ann",
		"https://heartland.example:443/staff/ann", "http://heartland.example:80/staff/ann",
		"https://heartland.example/staff//ann", "https://heartland.example/x/../staff/./ann",
		"https://heartland.example/staff/%61nn", "https://heartland.example/staff%2Fann",
	},
	"https://heartland.example": {"https://heartland.example/", "http://heartland.example"},
	"npi:1245319599":            {"NPI:1245319599", "npi:1245319599/", "npi%3A1245319599", "npi:\u200b1245319599"},
}

// TestCanonical: every spelling leads to one, which leads to itself.
func TestCanonical(t *testing.T) {
	for want, others := range spellings {
		for _, text := range append(others, want) {
			if got, err := trust.Canonical(text); err != nil || got != want {
				t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
			}
		}
	}
	for _, text := range []string{
		"", "ann", "ann smith", "@heartland.example", "+x@heartland.example", "ann@", "ann@.", "ann@a..example",
		"ann@heartland.example@north.example", "Ann <ann@heartland.example>", `"ann"@heartland.example`,
		"\u0430nn@heartland.example", "ann@-heartland.example", "ann@xn--a.example", "ann@ex_ample", "ann@[127.0.0.1]",
		"ann@heartland.example?subject=x", "acct:ann@heartland.example", "x:mailto:ann@heartland.example",
		"orcid:0000-0002-1825-0098", "orcid:0000-0002-1825-009", "orcid:0000-1", "https://orcid.org/my-orcid",
		"https://orcid.org", "https://ann@heartland.example/", "https://heartland.example/?q=ann",
		"https://heartland.example/#ann", "https://heartland.example:8443/ann", "https:ann", "https://", "https:///ann",
		"key:" + strings.Repeat("0", 64), "npi:", "npi:12 45", "ann%25252540heartland.example",
		"ann@" + strings.Repeat("a", 64) + ".example", strings.Repeat("a", 64) + "@heartland.example",
		"ann@" + strings.Repeat("a.", 70) + "example", strings.Repeat("x", 401),
	} {
		if got, err := trust.Canonical(text); err == nil || got != "" {
			t.Errorf("%q: canonical is %q", text, got)
		}
	}
}

// TestSpellingsRefused: no other spelling is signed, as an id or as an identity; the
// refusal shows the one that is. What was signed before is read, and equals it.
func TestSpellingsRefused(t *testing.T) {
	for want, others := range spellings {
		for _, text := range others {
			id, identity := publisherRoot(t), publisherRoot(t)
			id.Persons[0].ID = trust.PersonID(text)
			identity.Persons[0].Identities = []string{text}
			for at, r := range map[string]trust.Root{"persons[0].id": id, "persons[0].identities": identity} {
				err := r.Check()
				if err == nil || !strings.HasPrefix(err.Error(), "field "+at+": ") || !strings.Contains(err.Error(), want) {
					t.Errorf("%q as %s: %v", text, at, err)
				}
			}
			if identity.CheckStored() == nil && !slices.Contains(identity.Persons[0].Names(), want) {
				t.Errorf("%q: compared as %q", text, identity.Persons[0].Names())
			}
			// The person under one spelling, somebody under another.
			twice := publisherRoot(t)
			twice.Persons[0].Identities, twice.Persons[1].Identities = []string{want}, []string{text}
			if twice.CheckStored() == nil {
				t.Errorf("%q: one human is two persons of a stored root", text)
			}
		}
	}
	for _, id := range []string{"orcid:0000-0002-1825-0097", "https://heartland.example/ann", "npi:1245319599"} {
		if err := trust.PersonID(id).Check(); err == nil {
			t.Errorf("%s taken as an id", id)
		}
	}
}

// TestNames: what was signed before there was one spelling is compared by it.
func TestNames(t *testing.T) {
	p := trust.Person{ID: ann, Keys: []trust.PersonKey{{KeyID: "ab"}}}
	p.Identities = []string{"MAILTO:Ann@North.example", "ORCID:0000-1", "https://orcid.org/0000-0002-1825-0097"}
	want := []string{"ann@heartland.example", "ann@north.example", "orcid:0000-1", orcid, "key:ab"}
	if got := p.Names(); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// FuzzCanonical: the canonical form is plain ASCII and its own canonical form, and what has
// one is compared by it.
func FuzzCanonical(f *testing.F) {
	for want, others := range spellings {
		for _, text := range append(others, want) {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, err := trust.Canonical(text)
		if err != nil {
			if once != "" {
				t.Fatalf("%q: %q and %v", text, once, err)
			}
			return
		}
		again, err := trust.Canonical(once)
		if err != nil || again != once {
			t.Fatalf("%q: %q, then %q, %v", text, once, again, err)
		}
		if strings.ContainsFunc(once, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '%' || r == '+' }) {
			t.Fatalf("%q: %q is not plain", text, once)
		}
		p := trust.Person{ID: trust.PersonID(once), Identities: []string{text}}
		if names := p.Names(); names[0] != names[1] {
			t.Fatalf("%q compared as %q", text, names)
		}
	})
}
