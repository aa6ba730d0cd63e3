package trust

import (
	"slices"
	"strings"
	"unicode"

	"github.com/mtibben/confusables"
	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Near is a pair of persons who are not the same to a computer and may be to the eye:
// one human listed twice, or one who passes for another. Only people can tell.
type Near struct{ A, B Listed }

// Listed is an identity as a root lists it.
type Listed struct {
	RootKind RootKind
	Root     string // the root's name
	Person   PersonID
	Identity string
}

// NearEqual returns pairs of identities, of one root or of several, that differ only in
// case, dots, dashes, tags or characters that look alike, and that no root says belong to
// one person. Each identity is paired with the first that it resembles, in the order of
// the roots. It is for those who sign a root: see [Canonical] for what is refused.
func NearEqual(roots ...Root) []Near {
	type listed struct {
		Listed
		names []string
	}
	first := map[string][]listed{}
	var pairs []Near
	for _, r := range roots {
		for _, p := range r.Persons {
			names := p.Names()
			for _, identity := range append([]string{string(p.ID)}, p.Identities...) {
				l := listed{Listed{r.RootKind, r.Name, p.ID, identity}, names}
				look := skeleton(identity)
				other := slices.IndexFunc(first[look], func(o listed) bool {
					return !slices.ContainsFunc(o.names, func(n string) bool { return slices.Contains(names, n) })
				})
				if other >= 0 {
					pairs = append(pairs, Near{first[look][other].Listed, l.Listed})
				}
				if len(first[look]) < 2 { // the second is for another identity of the first's person
					first[look] = append(first[look], l)
				}
			}
		}
	}
	return pairs
}

// skeleton is equal for identities that look alike (Unicode Technical Standard 39).
func skeleton(identity string) string {
	text := folded(identity)
	if local, domain, ok := strings.Cut(text, "@"); ok {
		if shown, err := idna.Punycode.ToUnicode(domain); err == nil {
			text = local + "@" + shown
		}
	}
	text = confusables.Skeleton(strings.ToLower(norm.NFKC.String(text)))
	return strings.Map(func(r rune) rune {
		if r == '@' || unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}
