package trust

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/precept-cds/precept/signing/internal/strict"
)

// Canonical returns the one spelling of an identity. Whoever could be spelled in two ways
// could be counted as two persons, so everything is compared in this form, and nothing
// else may be signed. It is ASCII, and its canonical form is itself:
//
//	ann@heartland.example          an e-mail address: lower case, no mailto:, no +tag, the
//	                               domain without a last dot, xn-- labels for other scripts
//	orcid:0000-0002-1694-233X      an ORCID iD
//	https://heartland.example/ann  a page: no http, port, query, fragment or last slash
//	npi:1245319599                 another scheme, lower case
//
// What has no such form is an error, such as an ORCID iD whose check digit is wrong, or
// letters of another script outside a domain.
func Canonical(identity string) (string, error) {
	if len(identity) > maxIdentity {
		return "", fmt.Errorf("an identity of more than %d bytes; use an ORCID iD or an e-mail address", maxIdentity)
	}
	text := plain(identity)
	for strings.HasPrefix(text, "mailto:") {
		text = strings.TrimSpace(strings.TrimLeft(strings.TrimPrefix(text, "mailto:"), "/"))
	}
	if parts := orcidForm.FindStringSubmatch(text); parts != nil {
		return orcid(parts[1])
	}
	scheme, rest, ok := strings.Cut(text, ":")
	switch {
	case ok && (scheme == "http" || scheme == "https"):
		return page(text)
	case !ok && strings.Contains(text, "@"):
		return address(text)
	}
	other := scheme + ":" + strings.TrimRight(rest, "./:")
	if !ok || scheme == "orcid" || scheme == "key" || !otherForm.MatchString(other) {
		return "", errors.New("not an e-mail address, an ORCID iD, an https page or scheme:name in ASCII letters and digits")
	}
	return other, nil
}

const maxIdentity = 400

var (
	addressForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}@[a-z0-9.-]{1,127}$`)
	pageForm    = regexp.MustCompile(`^https://[a-z0-9.-]{1,127}(/[a-z0-9._~-]+)*$`)
	otherForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}:[a-z0-9]([a-z0-9._:/-]{0,150}[a-z0-9_-])?$`)
	hostForm    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	// orcidForm takes whatever people and programs put around the sixteen digits.
	orcidForm = regexp.MustCompile(`^(?:(?:https?:)?(?://)?(?:www\.)?orcid\.org\.?(?::[0-9]+)?/+|` +
		`(?:urn:)?orcid(?: id)?[: ]\s*/*)*([0-9][0-9 -]{14,24}[0-9x])(?:[/?#].*)?$`)
)

// plain takes away what is not seen or means nothing: percent-encoding, compatibility
// forms, invisible characters, kinds of dash, upper case, outer white space.
func plain(text string) string {
	for range 3 { // %2540 is %40 is @; what is still encoded then has no canonical form
		if decoded, err := url.PathUnescape(text); err == nil {
			text = decoded
		}
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return -1
		case unicode.Is(unicode.Pd, r):
			return '-'
		}
		return unicode.ToLower(r)
	}, norm.NFKC.String(text)))
}

func address(text string) (string, error) {
	local, domain, _ := strings.Cut(text, "@")
	local, _, _ = strings.Cut(local, "+")
	name, err := host(domain)
	if err != nil {
		return "", err
	}
	if a := local + "@" + name; addressForm.MatchString(a) {
		return a, nil
	}
	return "", errors.New("not an e-mail address in ASCII letters, digits, dots and dashes")
}

// host returns a domain in the form that is looked up.
func host(domain string) (string, error) {
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.Transitional(false))
	name, err := profile.ToASCII(domain)
	name = strings.TrimRight(name, ".")
	if err != nil || !hostForm.MatchString(name) {
		return "", errors.New("not a domain name")
	}
	return name, nil
}

func page(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Opaque != "" || u.ForceQuery || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("not an https page without user, query and fragment")
	}
	name, err := host(u.Hostname())
	if err != nil {
		return "", err
	}
	if p := u.Port(); p != "" && p != "80" && p != "443" {
		return "", errors.New("an https page has no port")
	}
	if name == "orcid.org" || name == "www.orcid.org" {
		return "", errors.New("not an ORCID iD")
	}
	p := "https://" + name + strings.TrimRight(path.Clean("/"+u.Path), "/")
	if !pageForm.MatchString(p) {
		return "", errors.New("not an https page with a path of ASCII letters, digits, dots and dashes")
	}
	return p, nil
}

// orcid checks the last character (ISO 7064, MOD 11-2), which tells a typing error from
// another person.
func orcid(text string) (string, error) {
	digits := strings.NewReplacer("-", "", " ", "").Replace(text)
	if len(digits) != 16 {
		return "", errors.New("an ORCID iD has 16 digits")
	}
	total := 0
	for _, d := range digits[:15] {
		total = (total + int(d-'0')) * 2
	}
	if "0123456789x"[(12-total%11)%11] != digits[15] {
		return "", errors.New("not an ORCID iD: the last digit does not fit; check for a typing error")
	}
	return fmt.Sprintf("orcid:%s-%s-%s-%s", digits[:4], digits[4:8], digits[8:12], strings.ToUpper(digits[12:])), nil
}

// Check returns what keeps id from being signed, or nil. The error shows how to spell it.
func (id PersonID) Check() error {
	if err := checkSpelling(string(id)); err != nil {
		return err
	}
	if !strict.Person.MatchString(string(id)) {
		return errors.New("expected an e-mail address; others go into identities")
	}
	return nil
}

func checkSpelling(identity string) error {
	canonical, err := Canonical(identity)
	if err == nil && canonical != identity {
		err = fmt.Errorf("write it as %s, so that nobody is listed under two spellings", canonical)
	}
	return err
}

// folded is the canonical form, or of what was signed before there was one and has none,
// what was compared then.
func folded(identity string) string {
	if canonical, err := Canonical(identity); err == nil {
		return canonical
	}
	return strings.TrimPrefix(strings.ToLower(identity), "mailto:")
}
