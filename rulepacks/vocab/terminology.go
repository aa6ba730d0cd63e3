package vocab

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

// Form is how a drug product is given, as far as rules care.
type Form string

// The forms of products.
const (
	FormOral        Form = "oral"
	FormTopical     Form = "topical"
	FormInjectable  Form = "injectable"
	FormOphthalmic  Form = "ophthalmic"
	FormNasal       Form = "nasal"
	FormInhaled     Form = "inhaled"
	FormTransdermal Form = "transdermal"
	FormOther       Form = "other"
)

// Product is a drug product and the codes of its ingredients. Strengths may be
// left out, also for some of the ingredients.
type Product struct {
	Code        string     `json:"code"`
	Display     string     `json:"display"`
	Ingredients []string   `json:"ingredients"`
	Form        Form       `json:"form"`
	Strengths   []Strength `json:"strengths,omitempty"`
}

// Strength is how much of an ingredient a product holds: 500 mg in one dose unit,
// such as a tablet, or 250 mg in 5 mL.
type Strength struct {
	Ingredient string `json:"ingredient"`          // one of the product's
	Amount     string `json:"amount"`              // a number above 0, such as "500" or "0.5"
	Unit       string `json:"unit"`                // UCUM, such as "mg"
	PerAmount  string `json:"per_amount,omitzero"` // with PerUnit
	PerUnit    string `json:"per_unit,omitzero"`   // UCUM, such as "mL"; "" for one dose unit
}

// Ingredient is an active ingredient.
type Ingredient struct {
	Code    string `json:"code"`
	Display string `json:"display"`
}

// Terminology is one release of drugs. A small one is tables/products.json: the drug
// products of one code system and their ingredients. A large one is a Table, with what
// tables/release.json says of it.
type Terminology struct {
	System      string       `json:"system"`
	Release     string       `json:"release"` // such as "2026.1"
	Ingredients []Ingredient `json:"ingredients"`
	Products    []Product    `json:"products"`

	Table   []byte    `json:"-"` // tables/drugs.bin, nil for a small release; not checked here
	Sources []Release `json:"-"` // of a Table
	Counts  []Count   `json:"-"` // likewise
	LeftOut []Left    `json:"-"` // likewise
}

// Release is what one code system of a Table came from.
type Release struct {
	System  string `json:"system"`
	Title   string `json:"title"`
	Version string `json:"version"`
	Licence string `json:"licence"`
}

// Count says how much of something the pack holds, and how much was left out.
type Count struct {
	What    string `json:"what"`
	Kept    int    `json:"kept"`
	LeftOut int    `json:"left_out"`
}

// Left says what was left out for one reason.
type Left struct {
	What  string `json:"what"`
	Count int    `json:"count"`
	Why   string `json:"why"`
}

// ReleaseInfo is tables/release.json, which people read beside a Table.
type ReleaseInfo struct {
	Release string    `json:"release"`
	Sources []Release `json:"sources"`
	Counts  []Count   `json:"counts"`
	LeftOut []Left    `json:"left_out"`
}

// ReadRelease reads tables/release.json. A source without licence is refused.
func ReadRelease(f packfile.File) (*Terminology, error) {
	d, err := packfile.Read(f)
	if err != nil {
		return nil, err
	}
	var info ReleaseInfo
	if err := d.Decode(&info); err != nil {
		return nil, err
	}
	var problems packfile.List
	if !IsRelease(info.Release) {
		problems.Add(d.Problem(ErrTerminology, "/release", `write it as "2026.11"`, "release is not a release"))
	}
	for i, s := range info.Sources {
		if problems.Full() {
			break
		}
		if what, hint := SystemProblem(s.System); what != "" {
			problems.Add(d.Problem(ErrTerminology, packfile.Index("/sources", i), hint, "%s", what))
		} else if s.Title == "" || strings.TrimSpace(s.Licence) == "" {
			problems.Add(d.Problem(ErrTerminology, packfile.Index("/sources", i), "name both",
				"a source has no title or no licence"))
		}
	}
	return &Terminology{Release: info.Release, Sources: info.Sources, Counts: info.Counts, LeftOut: info.LeftOut},
		problems.Err()
}

// ReadTerminology reads tables/products.json. Unknown members, repeated codes
// and ingredients that are not declared are refused.
func ReadTerminology(f packfile.File) (*Terminology, error) {
	t := &Terminology{}
	d, err := packfile.Read(f)
	if err != nil {
		return nil, err
	}
	if err := d.Decode(t); err != nil {
		return nil, err
	}
	var problems packfile.List
	refuse := func(at jsontext.Pointer, hint, format string, args ...any) {
		if !problems.Full() {
			problems.Add(d.Problem(ErrTerminology, at, hint, format, args...))
		}
	}
	if what, hint := SystemProblem(t.System); what != "" {
		refuse("/system", hint, "%s", what)
	}
	if !IsRelease(t.Release) {
		refuse("/release", `write it as "2026.1"`, "release is not a release")
	}
	ingredients, products := map[string]bool{}, map[string]bool{}
	for i, in := range t.Ingredients {
		if ingredients[in.Code] || !IsCode(in.Code) || in.Display == "" {
			refuse(packfile.Index("/ingredients", i), "every ingredient once, with code and display",
				"ingredient %s is incomplete or appears twice", packfile.Short(in.Code))
		}
		ingredients[in.Code] = true
	}
	for i, p := range t.Products {
		if what, hint := productProblem(p, ingredients, products); what != "" {
			refuse(packfile.Index("/products", i), hint, "product %s: %s", packfile.Short(p.Code), what)
		}
		products[p.Code] = true
	}
	if len(t.Ingredients) == 0 {
		refuse("/ingredients", "a release without ingredients identifies no drug", "ingredients is empty")
	}
	return t, problems.Err()
}

func productProblem(p Product, ingredients, products map[string]bool) (what, hint string) {
	switch {
	case !IsCode(p.Code) || p.Display == "":
		return "code or display is missing", "give both"
	case products[p.Code]:
		return "it appears twice", "remove one"
	case ingredients[p.Code]:
		return "it is also an ingredient", "a code is a product or an ingredient"
	case len(p.Ingredients) == 0:
		return "it has no ingredients", "name at least one"
	case !slices.Contains([]Form{FormOral, FormTopical, FormInjectable, FormOphthalmic, FormNasal,
		FormInhaled, FormTransdermal, FormOther}, p.Form):
		return "its form is unknown", "use oral, topical, injectable, ophthalmic, nasal, inhaled, transdermal or other"
	}
	for i, c := range p.Ingredients {
		if !ingredients[c] {
			return "it names an ingredient that is not declared", "add the ingredient to ingredients"
		}
		if slices.Contains(p.Ingredients[:i], c) {
			return "it names an ingredient twice", "remove one"
		}
	}
	for i, s := range p.Strengths {
		if slices.ContainsFunc(p.Strengths[:i], func(x Strength) bool { return x.Ingredient == s.Ingredient }) {
			return "it gives the strength of an ingredient twice", "remove one"
		}
		if what, hint := s.problem(p.Ingredients); what != "" {
			return what, hint
		}
	}
	return "", ""
}

// amountPattern is a number as strengths are written: no sign, no exponent, no
// zeros in front. Its length is bounded, so that it is exact in any reader.
var amountPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?$`)

// IsAmount reports whether s is a number above zero as strengths are written.
func IsAmount(s string) bool { return amountPattern.MatchString(s) && strings.Trim(s, "0.") != "" }

// unitPattern is a unit as UCUM writes it: printable ASCII without spaces.
var unitPattern = regexp.MustCompile(`^[!-~]{1,32}$`)

// IsUnit reports whether s may be a unit of UCUM; whether it is one is not known here.
func IsUnit(s string) bool { return unitPattern.MatchString(s) }

func (s Strength) problem(ingredients []string) (what, hint string) {
	switch {
	case !slices.Contains(ingredients, s.Ingredient):
		return "it gives the strength of an ingredient that it does not have", "name one of its ingredients"
	case !IsAmount(s.Amount) || !IsUnit(s.Unit):
		return "a strength has no amount or unit", `write it as "amount": "500", "unit": "mg"`
	case (s.PerAmount == "") != (s.PerUnit == ""), s.PerUnit != "" && (!IsAmount(s.PerAmount) || !IsUnit(s.PerUnit)):
		return "what a strength is per lacks amount or unit", `write it as "per_amount": "5", "per_unit": "mL"`
	}
	return "", ""
}

// ReleaseRange is a range of terminology releases such as "2026.1", both ends
// inclusive; an empty end is open.
type ReleaseRange struct {
	Min string `json:"min"`
	Max string `json:"max"`
}

// Includes reports whether the release lies in the range. A text that is not
// a release lies in none.
func (r ReleaseRange) Includes(release string) bool {
	return IsRelease(release) &&
		(r.Min == "" || compareReleases(r.Min, release) <= 0) &&
		(r.Max == "" || compareReleases(release, r.Max) <= 0)
}

var releasePattern = regexp.MustCompile(`^[0-9]{4}(\.[0-9]{1,4}){1,2}$`)

// IsRelease reports whether s names a release of a terminology, such as "2026.1".
func IsRelease(s string) bool { return releasePattern.MatchString(s) }

// compareReleases compares two texts that match releasePattern by number.
func compareReleases(a, b string) int {
	parts := func(s string) (n [3]int) {
		for i, p := range strings.SplitN(s, ".", 3) {
			n[i], _ = strconv.Atoi(p) // the pattern allows at most four digits
		}
		return n
	}
	pa, pb := parts(a), parts(b)
	return slices.Compare(pa[:], pb[:])
}
