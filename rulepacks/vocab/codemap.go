package vocab

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

// ErrCodeMap says that a code map is ambiguous, or maps what needs no map.
const ErrCodeMap packfile.Kind = "code-map-refused"

// CodeMap is tables/codes.json: what the local codes of one health system mean.
type CodeMap struct {
	Codes []Mapping `json:"codes"`
}

// Mapping says what one local code means. Kind is that of the value sets it may be in.
type Mapping struct {
	System  string       `json:"system"`
	Code    string       `json:"code"`
	Display string       `json:"display"`
	Kind    ValueSetKind `json:"kind"`
	To      []Code       `json:"to"` // the same meaning in one system or several
}

// The kinds of code maps beside those of value sets.
const KindForm ValueSetKind = "form"

const (
	maxMappings = 100_000
	maxTargets  = 8
)

// standardSystems are those that value sets are written in: a code of theirs is never
// a local one.
var standardSystems = slices.DeleteFunc(slices.Clone(foldedSystems), func(s string) bool { return s == NDC })

// IsStandard reports whether a system is one that value sets are written in, or one of
// HL7's own.
func IsStandard(system string) bool {
	return slices.Contains(foldedSystems, system) || strings.HasPrefix(system, "http://terminology.hl7.org/") ||
		strings.HasPrefix(system, "http://hl7.org/fhir/")
}

// NDC is the system of National Drug Codes; a house may map its own use of them.
const NDC = "http://hl7.org/fhir/sid/ndc"

// ReadCodeMap reads tables/codes.json. A code that is mapped twice, a code of a standard
// system, and a target in a local system are refused.
func ReadCodeMap(f packfile.File) (*CodeMap, error) {
	m := &CodeMap{}
	d, err := packfile.Read(f)
	if err != nil {
		return nil, err
	}
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	var problems packfile.List
	refuse := func(at jsontext.Pointer, hint, format string, args ...any) {
		if !problems.Full() {
			problems.Add(d.Problem(ErrCodeMap, at, hint, format, args...))
		}
	}
	if len(m.Codes) == 0 || len(m.Codes) > maxMappings {
		refuse("/codes", "map at least one code, and split a larger map", "it has no codes, or more than %d",
			maxMappings)
	}
	own := map[string]bool{}
	for _, c := range m.Codes {
		own[c.System] = true
	}
	seen := make(map[codeKey]bool, len(m.Codes))
	for i, c := range m.Codes {
		what, hint := c.problem(own)
		if key := (codeKey{c.System, c.Code}); what == "" {
			if seen[key] {
				what, hint = "it is mapped twice", "keep one line, with all it means in to"
			}
			seen[key] = true
		}
		if what != "" {
			refuse(packfile.Index("/codes", i), hint, "code %s of %s: %s", packfile.Short(c.Code),
				packfile.Short(c.System), what)
		}
	}
	return m, problems.Err()
}

// problem says what is wrong with a mapping; own are the systems that the map is of.
func (c Mapping) problem(own map[string]bool) (what, hint string) {
	switch {
	case !IsCode(c.Code) || c.Display == "":
		return "code or display is missing", "give both"
	case slices.Contains(standardSystems, c.System):
		return "it is no local code", "a code of a standard system means what its publisher says"
	case !slices.Contains([]ValueSetKind{KindMedication, KindObservation, KindCondition, KindService, KindRoute,
		KindForm}, c.Kind):
		return "its kind is unknown", "use medication, observation, condition, service, route or form"
	case len(c.To) == 0 || len(c.To) > maxTargets:
		return "it is mapped to nothing, or to more than 8 codes", "name what it means in to"
	}
	if what, hint := localSystemProblem(c.System); what != "" {
		return what, hint
	}
	for i, to := range c.To {
		if what, hint := SystemProblem(to.System); what != "" {
			return "what it is mapped to: " + what, hint
		}
		switch {
		case !IsCode(to.Code):
			return "what it is mapped to has no code", "write it as its system does"
		case own[to.System]:
			return "it is mapped to a code that is mapped itself", "map it to the standard code"
		case slices.ContainsFunc(c.To[:i], func(x Code) bool { return x.System == to.System && x.Code == to.Code }):
			return "it is mapped to a code twice", "remove one"
		}
	}
	return "", ""
}

// localSystemProblem is SystemProblem for systems of one's own, which often are OIDs.
// An empty one stands for codes that are sent without a system.
func localSystemProblem(system string) (what, hint string) {
	if system == "" {
		return "it has no system", "have the EHR send one: a code without system may be anybody's"
	}
	if _, known := wrongSystems[system]; !known && strings.HasPrefix(system, "urn:") && len(system) <= 200 &&
		!strings.ContainsAny(system, " \t\r\n") {
		return "", ""
	}
	return SystemProblem(system)
}
