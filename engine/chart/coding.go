package chart

import (
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

// statusCode reads a status that FHIR versions write as a code or as a
// CodeableConcept.
func statusCode(v rawjson.Value) string {
	if v.IsString() {
		return v.Text()
	}
	codings, _, _ := concept(v, nil)
	if len(codings) == 0 {
		return ""
	}
	return codings[0].Code
}
