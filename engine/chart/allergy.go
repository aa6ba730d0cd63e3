package chart

import (
	"slices"
	"strings"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// Allergy is what an AllergyIntolerance says, in the words of FHIR R4 whatever
// version it came in.
type Allergy struct {
	*Resource
	Clinical     string // active, inactive, resolved, or empty
	Verification string // confirmed, unconfirmed, presumed, refuted, entered-in-error, or empty
	// Unread says that a status or the kind is given in words or codes that are
	// not those of FHIR.
	Unread      bool
	Kind        string   // allergy, intolerance, or empty
	Criticality string   // low, high, unable-to-assess, or empty
	Categories  []string // medication, biologic, food, environment
	Recorded    dates.Interval
	// Substances are what it is about: first the one of code, then those that
	// reactions name.
	Substances []Substance
	Reactions  []Reaction
	// Denies says that it states the absence of allergies, and of which: "any",
	// a category, or "unknown" where it states that nothing is known. It is empty
	// for an allergy.
	Denies string
}

// Substance is one substance, product or class that an allergy names.
type Substance struct {
	Codings     []Coding
	Text        string
	Ingredients []Coding // by the terminology release: an allergy to a product is one to what is in it
	Resolved    bool     // a coding is one that the release has
}

// Reaction is one reaction that happened: each manifestation is a concept.
type Reaction struct {
	Manifestations []Substance // codings and text only
	Severity       string
}

// maxSubstances bounds what is read of one allergy: substances, reactions, and
// manifestations of a reaction. One with more is incomplete, see [Allergy.Cut].
const maxSubstances = 64

// Cut reports that more substances or reactions are named than are read.
func (a *Allergy) Cut() bool {
	return len(a.Substances) >= maxSubstances || len(a.Reactions) >= maxSubstances ||
		slices.ContainsFunc(a.Reactions, func(r Reaction) bool { return len(r.Manifestations) >= maxSubstances })
}

// Evidence points at the allergy, with its criticality and reactions in words.
func (a *Allergy) Evidence() fact.Evidence {
	var words []string
	if a.Kind != "" {
		words = append(words, a.Kind)
	}
	if a.Criticality != "" {
		words = append(words, "criticality "+a.Criticality)
	}
	for _, r := range a.Reactions {
		for _, m := range r.Manifestations {
			if name := m.name(); name != "" && len(words) < 6 {
				words = append(words, name)
			}
		}
	}
	name := a.label()
	if name == "" && len(a.Substances) > 0 {
		name = a.Substances[0].name()
	}
	return fact.Evidence{Ref: a.Ref(), What: name, Value: strings.Join(words, ", "), When: a.Recorded.Text,
		Source: a.Source, Note: mappedNote(a.Mapped)}
}

func (s *Substance) name() string { return (&Resource{Text: s.Text, Codings: s.Codings}).label() }

// Allergy decodes an AllergyIntolerance of FHIR R5, R4, R4B, STU3 or DSTU2.
func (c *Chart) Allergy(r *Resource) *Allergy {
	if a := c.allergies[r]; a != nil {
		return a
	}
	if c.allergies == nil {
		c.allergies = map[*Resource]*Allergy{}
	}
	c.allergies[r] = c.readAllergy(r)
	return c.allergies[r]
}

func (c *Chart) readAllergy(r *Resource) *Allergy {
	a := &Allergy{Resource: r}
	main := Substance{Codings: r.Codings, Text: r.Text}
	var named []Substance
	for m := r.JSON.Members(); m.Next(); {
		if m.Value.Missing() {
			continue
		}
		switch m.Name {
		case "clinicalStatus":
			a.Clinical = a.word(m.Value, "active", "inactive", "resolved")
		case "verificationStatus":
			a.Verification = a.word(m.Value, "confirmed", "unconfirmed", "presumed", "refuted", "entered-in-error")
		case "status": // of DSTU2, which has one for both
			a.olderStatus(a.word(m.Value, "active", "unconfirmed", "confirmed", "inactive", "resolved", "refuted",
				"entered-in-error"))
		case "type":
			a.Kind = a.word(m.Value, "allergy", "intolerance")
		case "criticality":
			a.Criticality = a.criticality(m.Value.Text())
		case "category":
			a.Categories = words(m.Value)
		case "recordedDate", "assertedDate":
			a.Recorded = c.date(m.Value)
		case "substance": // of DSTU2
			main.Codings, main.Text, _ = concept(m.Value, nil)
		case "reaction":
			named = a.reactions(m.Value)
		}
	}
	if a.Denies = denies(main.Codings); a.Denies != "" {
		return a
	}
	a.Substances = append(append(a.Substances, main), named...)
	for n := range a.Substances {
		c.substance(&a.Substances[n])
	}
	return a
}

// substance looks up what is in a drug.
func (c *Chart) substance(s *Substance) {
	s.Codings, _ = c.in.CodeMap.extend(slices.Clip(s.Codings), 0)
	for _, code := range s.Codings {
		ingredients, _, ok := c.in.Terminology.Ingredients(code.System, code.Code)
		s.Resolved = s.Resolved || ok
		for _, in := range ingredients {
			s.Ingredients = union(slices.Clip(s.Ingredients), in)
		}
	}
}

// reactions reads what happened, and the substances that are named for it.
func (a *Allergy) reactions(v rawjson.Value) (named []Substance) {
	for e := v.Elements(); e.Next() && len(a.Reactions) < maxSubstances; {
		var r Reaction
		for m := e.Value.Members(); m.Next(); {
			switch m.Name {
			case "substance":
				var s Substance
				if s.Codings, s.Text, _ = concept(m.Value, nil); len(named) < maxSubstances-1 && s.name() != "" {
					named = append(named, s)
				}
			case "manifestation":
				for x := m.Value.Elements(); x.Next() && len(r.Manifestations) < maxSubstances; {
					var s Substance
					s.Codings, s.Text, _ = concept(x.Value, nil)
					r.Manifestations = append(r.Manifestations, s)
				}
			case "severity":
				r.Severity = m.Value.Text()
			}
		}
		a.Reactions = append(a.Reactions, r)
	}
	return named
}

// word reads a code that FHIR versions write as a string or as a
// CodeableConcept, of which every coding is looked at: hospitals put their own
// first. Words of no version are noted.
func (a *Allergy) word(v rawjson.Value, known ...string) string {
	if v.IsString() {
		if text := v.Text(); slices.Contains(known, text) {
			return text
		}
		a.Unread = true
		return ""
	}
	codings, text, _ := concept(v, nil)
	ours := func(system string) bool {
		return strings.HasPrefix(system, "http://terminology.hl7.org/CodeSystem/allergy") ||
			strings.HasPrefix(system, "http://hl7.org/fhir/allergy")
	}
	for _, pass := range []func(string) bool{ours, func(system string) bool { return system == "" }} {
		for _, c := range codings {
			if pass(c.System) && slices.Contains(known, c.Code) {
				return c.Code
			}
		}
	}
	a.Unread = a.Unread || len(codings) > 0 || text != ""
	return ""
}

// olderStatus splits the one status of DSTU2.
func (a *Allergy) olderStatus(status string) {
	switch status {
	case "active", "inactive", "resolved":
		a.Clinical = status
	case "":
	default:
		a.Verification = status
	}
}

// criticality reads the words of R4 and those of DSTU2.
func (a *Allergy) criticality(text string) string {
	switch text {
	case "low", "high", "unable-to-assess":
		return text
	case "CRITL":
		return "low"
	case "CRITH":
		return "high"
	case "CRITU":
		return "unable-to-assess"
	default:
		return ""
	}
}

// words reads a list of codes, or one alone.
func words(v rawjson.Value) []string {
	if v.IsString() {
		return []string{v.Text()}
	}
	var list []string
	for e := v.Elements(); e.Next() && len(list) < maxSubstances; {
		list = append(list, e.Value.Text())
	}
	return list
}

// The categories of [Allergy.Denies] that are none of FHIR's.
const (
	DeniesAny = "any"
	NotAsked  = "unknown"
)

// absentUnknown is the code system of the International Patient Summary for
// what is absent or unknown.
const absentUnknown = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"

// denials are the codes by which a record states that there is no allergy of a
// kind: the code system absent-unknown-uv-ips of the International Patient
// Summary, and the SNOMED CT codes that its concept map gives for them, with
// the retired 160244002 that 716186003 replaced (docs/sources.md).
var denials = map[codeKey]string{
	{SNOMED, "716186003"}:                               DeniesAny,
	{SNOMED, "160244002"}:                               DeniesAny,
	{SNOMED, "409137002"}:                               "medication",
	{SNOMED, "428607008"}:                               "environment",
	{SNOMED, "429625007"}:                               "food",
	{absentUnknown, "no-known-allergies"}:               DeniesAny,
	{absentUnknown, "no-known-medication-allergies"}:    "medication",
	{absentUnknown, "no-known-environmental-allergies"}: "environment",
	{absentUnknown, "no-known-food-allergies"}:          "food",
	{absentUnknown, "no-allergy-info"}:                  NotAsked,
}

func denies(codings []Coding) string {
	for _, c := range codings {
		if what := denials[codeKey{c.System, c.Code}]; what != "" {
			return what
		}
	}
	return ""
}

// AllergyList is what a List of allergies says about being empty.
type AllergyList struct {
	*Resource
	// Reason is the code of emptyReason: nilknown, notasked, withheld,
	// unavailable, notstarted, closed; "?" for one that is not of FHIR.
	Reason string
}

// Evidence points at the list.
func (l *AllergyList) Evidence() fact.Evidence {
	return fact.Evidence{Ref: l.Ref(), What: "list of allergies", Value: l.Reason, Source: l.Source}
}

// AllergyLists returns the Lists of allergies that say why they are empty: those
// of a code for such lists, and those without a code that came with allergies.
// Lists that are not current say nothing.
func (c *Chart) AllergyLists() []*AllergyList {
	var lists []*AllergyList
	for _, r := range c.Resources("List") {
		empty := r.JSON.Get("emptyReason")
		if empty.Missing() || r.Status != "current" && r.Status != "" {
			continue
		}
		ofAllergies := slices.ContainsFunc(r.Codings, func(x Coding) bool {
			return x.System == LOINC && (x.Code == "48765-2" || x.Code == "52472-8") ||
				strings.HasSuffix(x.System, "/list-example-use-codes") && x.Code == "allergies"
		})
		if !ofAllergies && (len(r.Codings) > 0 || r.Text != "" ||
			!slices.Contains(c.in.Declared[r.Source], "AllergyIntolerance")) {
			continue
		}
		l := &AllergyList{Resource: r, Reason: "?"}
		codings, _, _ := concept(empty, nil)
		for _, x := range codings {
			if strings.HasSuffix(x.System, "/list-empty-reason") || x.System == "" {
				l.Reason = x.Code
				break
			}
		}
		lists = append(lists, l)
	}
	return lists
}
