package chart

import (
	"cmp"
	"slices"
	"strings"

	"github.com/precept-cds/precept/engine/chart/rawjson"
)

// The canonical code systems that rules and charts meet in.
const (
	RxNorm  = "http://www.nlm.nih.gov/research/umls/rxnorm"
	LOINC   = "http://loinc.org"
	SNOMED  = "http://snomed.info/sct"
	ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
	NDC     = "http://hl7.org/fhir/sid/ndc"
	ATC     = "http://www.whocc.no/atc"
	UCUM    = "http://unitsofmeasure.org"
	CVX     = "http://hl7.org/fhir/sid/cvx"
)

// Coding is a code of a system. Codes are compared by system and code;
// Display is for people only.
type Coding struct {
	System  string // canonical
	Code    string
	Display string
}

// same reports whether two codings name the same concept.
func (c Coding) same(o Coding) bool { return c.System == o.System && c.Code == o.Code }

// CanonicalSystem folds the spellings of a code system's URI: the OID form,
// a trailing slash, https for http. Systems it does not know only lose a
// trailing slash. Value sets and charts must both be read through it.
func CanonicalSystem(system string) string {
	system = strings.TrimRight(system, "/")
	if oid, ok := strings.CutPrefix(system, "urn:oid:"); ok {
		return systemOfOID(oid, system)
	}
	rest, ok := strings.CutPrefix(system, "http://")
	if !ok {
		if rest, ok = strings.CutPrefix(system, "https://"); !ok {
			return systemOfOID(system, system) // a bare OID
		}
	}
	rest = strings.TrimPrefix(rest, "www.")
	switch rest {
	case "nlm.nih.gov/research/umls/rxnorm":
		return RxNorm
	case "loinc.org":
		return LOINC
	case "snomed.info/sct":
		return SNOMED
	case "hl7.org/fhir/sid/icd-10-cm":
		return ICD10CM
	case "hl7.org/fhir/sid/ndc":
		return NDC
	case "whocc.no/atc":
		return ATC
	case "unitsofmeasure.org":
		return UCUM
	case "hl7.org/fhir/sid/cvx":
		return CVX
	default:
		return system
	}
}

func systemOfOID(oid, otherwise string) string {
	switch oid {
	case "2.16.840.1.113883.6.88":
		return RxNorm
	case "2.16.840.1.113883.6.1":
		return LOINC
	case "2.16.840.1.113883.6.96":
		return SNOMED
	case "2.16.840.1.113883.6.90":
		return ICD10CM
	case "2.16.840.1.113883.6.69":
		return NDC
	case "2.16.840.1.113883.6.73":
		return ATC
	case "2.16.840.1.113883.6.8":
		return UCUM
	case "2.16.840.1.113883.12.292":
		return CVX
	default:
		return otherwise
	}
}

// concept reads a CodeableConcept and what senders put in its place: a list
// of them, a bare Coding, or the CodeableReference of FHIR R5. It appends the
// codings, and returns the first text. ok is false if the value is neither.
func concept(v rawjson.Value, codings []Coding) (_ []Coding, text string, ok bool) {
	if v.Missing() {
		return codings, "", true
	}
	return scanConcept(&rawjson.Scanner{Src: string(v)}, codings)
}

// scanConcept is concept for the next value of a scanner, in one pass.
func scanConcept(s *rawjson.Scanner, codings []Coding) (_ []Coding, text string, ok bool) {
	switch s.Kind() {
	case '{':
		return oneConcept(s, codings)
	case '[':
		ok = true
		for s.Enter(); s.More(); {
			var t string
			var good bool
			codings, t, good = scanConcept(s, codings)
			if ok = ok && good; text == "" {
				text = t
			}
		}
		return codings, text, ok
	default:
		return codings, "", s.Skip().IsNull()
	}
}

func oneConcept(s *rawjson.Scanner, codings []Coding) (_ []Coding, text string, ok bool) {
	ok = true
	var bare Coding
	for s.Enter(); s.More(); {
		good := true
		switch name := s.Name(); name {
		case "coding":
			codings, good = scanCodings(s, codings)
		case "text":
			text, good = s.Text()
		case "concept":
			codings, text, good = scanConcept(s, codings)
		default:
			good = bare.member(s, name)
		}
		ok = ok && good
	}
	if bare.Code != "" {
		codings = append(codings, bare)
	}
	return codings, text, ok
}

// scanCodings reads a list of Codings, or one alone.
func scanCodings(s *rawjson.Scanner, codings []Coding) (_ []Coding, ok bool) {
	switch s.Kind() {
	case '{':
		var c Coding
		ok = true
		for s.Enter(); s.More(); {
			good := c.member(s, s.Name())
			ok = ok && good
		}
		if c.Code != "" {
			codings = append(codings, c)
		}
		return codings, ok
	case '[':
		ok = true
		for s.Enter(); s.More(); {
			var good bool
			codings, good = scanCodings(s, codings)
			ok = ok && good
		}
		return codings, ok
	default:
		return codings, s.Skip().IsNull()
	}
}

// member reads one member of a Coding.
func (c *Coding) member(s *rawjson.Scanner, name string) (ok bool) {
	switch name {
	case "system":
		c.System, ok = s.Text()
		c.System = CanonicalSystem(c.System)
	case "code":
		c.Code, ok = s.Text()
	case "display":
		c.Display, ok = s.Text()
	default:
		s.Skip()
		ok = true
	}
	return ok
}

// Unreadable stands for a status that is given, but in no code of FHIR's or in
// several that contradict each other: nobody can tell what it is.
const Unreadable = "unreadable"

// statusCode reads a status that FHIR versions write as a code or as a
// CodeableConcept, whose codings are searched for those of FHIR's code systems,
// given by the last part of their address, else for one without a system. It is
// empty if there is none, and Unreadable if no coding is of these, or they
// contradict each other.
func statusCode(v rawjson.Value, systems ...string) string {
	if v.IsString() {
		return v.Text()
	}
	codings, text, ok := concept(v, nil)
	code, bare := "", ""
	for _, c := range codings {
		to := &code
		if c.System == "" {
			to = &bare
		} else if !slices.Contains(systems, fhirSystem(c.System)) {
			continue
		}
		if *to != "" && *to != c.Code {
			return Unreadable
		}
		*to = c.Code
	}
	if code = cmp.Or(code, bare); code == "" && (len(codings) > 0 || text != "" || !ok) {
		return Unreadable
	}
	return code
}

// oneOf returns a status if it is empty or one of those listed, else Unreadable.
func oneOf(status string, known ...string) string {
	if status == "" || slices.Contains(known, status) {
		return status
	}
	return Unreadable
}

// fhirSystem returns the last part of the address of a code system that FHIR
// defines, in the addresses of all its versions; empty for any other.
func fhirSystem(system string) string {
	system, _, _ = strings.Cut(strings.TrimRight(system, "/"), "|")
	rest := strings.TrimPrefix(strings.TrimPrefix(system, "https://"), "http://")
	for _, at := range [...]string{"terminology.hl7.org/CodeSystem/", "hl7.org/fhir/CodeSystem/", "hl7.org/fhir/"} {
		if name, ok := strings.CutPrefix(rest, at); ok {
			return name
		}
	}
	return ""
}
