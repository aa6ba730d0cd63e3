// Package vocab reads what gives codes a meaning in rule packs: value sets, and
// the table of drug products with their ingredients.
//
// A code means nothing without its system, and one system has one spelling: the
// canonical URI that FHIR uses. A spelling that would silently never match is
// refused with the right one. Whether a code exists in its system, and whether
// the display is the right one for it, cannot be told here.
package vocab

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

const (
	// ErrValueSet says that a value set is ambiguous, unknown or not declared.
	ErrValueSet packfile.Kind = "value-set-refused"
	// ErrTerminology says that a terminology table contradicts itself.
	ErrTerminology packfile.Kind = "terminology-refused"
)

// Code is one code of a code system. System is the canonical URI that FHIR uses.
type Code struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

// codePattern is the code type of FHIR: no space at the ends, none doubled.
var codePattern = regexp.MustCompile(`^[^\s]+( [^\s]+)*$`)

// wrongSystems are spellings that occur in the field and would silently never
// match; the value is the canonical URI (HL7 terminology, external code systems).
var wrongSystems = map[string]string{
	"urn:oid:2.16.840.1.113883.6.88":               "http://www.nlm.nih.gov/research/umls/rxnorm",
	"https://www.nlm.nih.gov/research/umls/rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
	"urn:oid:2.16.840.1.113883.6.1":                "http://loinc.org",
	"https://loinc.org":                            "http://loinc.org",
	"http://www.loinc.org":                         "http://loinc.org",
	"urn:oid:2.16.840.1.113883.6.96":               "http://snomed.info/sct",
	"https://snomed.info/sct":                      "http://snomed.info/sct",
	"http://www.snomed.org/sct":                    "http://snomed.info/sct",
	"urn:oid:2.16.840.1.113883.6.90":               "http://hl7.org/fhir/sid/icd-10-cm",
	"urn:oid:2.16.840.1.113883.6.69":               "http://hl7.org/fhir/sid/ndc",
	"urn:oid:2.16.840.1.113883.6.73":               "http://www.whocc.no/atc",
	"urn:oid:2.16.840.1.113883.6.8":                "http://unitsofmeasure.org",
	"http://www.cms.gov/Medicare/Coding/ICD10":     "http://hl7.org/fhir/sid/icd-10-cm",
}

// foldedSystems are the systems whose spellings are folded into one when a
// chart is read: a code under any other spelling would never match.
var foldedSystems = []string{
	"http://www.nlm.nih.gov/research/umls/rxnorm", "http://loinc.org", "http://snomed.info/sct",
	"http://hl7.org/fhir/sid/icd-10-cm",
	"http://hl7.org/fhir/sid/ndc", "http://www.whocc.no/atc", "http://unitsofmeasure.org",
	"http://hl7.org/fhir/sid/cvx",
}

// bare is a system without what spellings differ in.
func bare(system string) string {
	system = strings.ToLower(strings.TrimRight(system, "/"))
	system = strings.TrimPrefix(strings.TrimPrefix(system, "https://"), "http://")
	return strings.TrimPrefix(system, "www.")
}

// SystemProblem returns what is wrong with the URI of a code system and a hint, or "".
func SystemProblem(system string) (what, hint string) {
	right, ok := wrongSystems[strings.TrimSuffix(system, "/")]
	for i := 0; !ok && i < len(foldedSystems); i++ {
		right = foldedSystems[i]
		ok = right != system && bare(right) == bare(system)
	}
	if ok {
		return "the system is not the canonical one", "write " + right
	}
	if !IsWebURL(system) || strings.ContainsAny(system, "?#") || strings.HasSuffix(system, "/") {
		return "the system is not a canonical http URI", "write it as FHIR does, such as http://loinc.org"
	}
	return "", ""
}

// IsWebURL reports whether s is a full http or https address.
func IsWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		u.Host == strings.ToLower(u.Host) && !strings.ContainsAny(s, " \t\r\n") && len(s) <= 2000
}

// ValueSetKind says what the codes of a value set mean, and so where a rule may
// use it.
type ValueSetKind string

// The kinds of value sets.
const (
	KindMedication  ValueSetKind = "medication"
	KindObservation ValueSetKind = "observation"
	KindCondition   ValueSetKind = "condition"
	KindService     ValueSetKind = "service"
	KindRoute       ValueSetKind = "route"
	KindSubstance   ValueSetKind = "substance" // what patients are allergic to
	KindProcedure   ValueSetKind = "procedure" // what was done
	KindVaccine     ValueSetKind = "vaccine"
)

var kinds = []string{string(KindMedication), string(KindObservation), string(KindCondition), string(KindService),
	string(KindRoute), string(KindSubstance), string(KindProcedure), string(KindVaccine)}

// ValueSet is a set of codes, in the order of its file.
type ValueSet struct {
	ID    string       `json:"id"`
	Kind  ValueSetKind `json:"kind"`
	Codes []Code       `json:"codes"`

	has map[codeKey]bool
}

type codeKey struct{ system, code string }

// Has reports whether the set holds the code of the system, both compared
// exactly, as FHIR does for code systems that do not say otherwise.
func (v *ValueSet) Has(system, code string) bool {
	return v.has[codeKey{system, code}]
}

// ReadValueSet reads the file of one value set, valuesets/<id>.json. Unknown
// members, repeated codes and systems that are not a canonical URI are refused.
func ReadValueSet(f packfile.File) (*ValueSet, error) {
	v := &ValueSet{has: map[codeKey]bool{}}
	d, err := packfile.Read(f)
	if err != nil {
		return nil, err
	}
	if err := d.Decode(v); err != nil {
		return nil, err
	}
	var problems packfile.List
	if stem := strings.TrimSuffix(strings.TrimPrefix(f.Name, "valuesets/"), ".json"); v.ID != stem {
		problems.Add(d.Problem(ErrValueSet, "/id", "rename one of them", "the id %q is not the name of the file", v.ID))
	}
	if !slices.Contains(kinds, string(v.Kind)) {
		problems.Add(d.Problem(ErrValueSet, "/kind", "say what the codes mean", "kind must be one of %s",
			strings.Join(kinds, ", ")))
	}
	if len(v.Codes) == 0 {
		problems.Add(d.Problem(ErrValueSet, "", "a set without codes never matches; add codes or remove it",
			"the set is empty"))
	}
	for i, c := range v.Codes {
		key := codeKey{c.System, c.Code}
		what, hint := SystemProblem(c.System)
		if what == "" && v.has[key] {
			what, hint = "the code appears twice", "remove one"
		}
		if what == "" && !IsCode(c.Code) {
			what, hint = "the code is empty or has stray spaces", "write it as its system does"
		}
		if what != "" && !problems.Full() {
			problems.Add(d.Problem(ErrValueSet, packfile.Index("/codes", i), hint, "code %s of %s: %s", packfile.Short(c.Code),
				packfile.Short(c.System), what))
		}
		v.has[key] = true
	}
	return v, problems.Err()
}

// IsCode reports whether s may be a code of a code system, as FHIR writes them.
func IsCode(s string) bool { return len(s) <= 128 && codePattern.MatchString(s) }
