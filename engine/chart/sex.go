package chart

import "github.com/precept-cds/precept/engine/fact"

const (
	sexParameter      = "http://hl7.org/fhir/StructureDefinition/patient-sexParameterForClinicalUse"
	sexParameterCodes = "http://terminology.hl7.org/CodeSystem/sex-parameter-for-clinical-use"
)

// Sex returns the sex that formulas and reference ranges use: female, male, or "" and
// why it is neither. The Sex Parameter for Clinical Use (HL7 FHIR extensions pack, also
// in US Core) decides where it is given; else administrative gender does. What was
// specified otherwise, or contradicts itself, is neither.
func (p *Patient) Sex() (sex string, why fact.Code) {
	given := false
	for e := p.JSON.Get("extension").Elements(); e.Next(); {
		if e.Value.Get("url").Text() != sexParameter {
			continue
		}
		given = true
		one := ""
		for x := e.Value.Get("extension").Elements(); x.Next(); {
			if x.Value.Get("url").Text() != "value" {
				continue
			}
			codings, _, _ := concept(x.Value.Get("valueCodeableConcept"), nil)
			for _, c := range codings {
				switch {
				case c.System != sexParameterCodes:
				case c.Code == "female-typical":
					one = "female"
				case c.Code == "male-typical":
					one = "male"
				}
			}
		}
		if one == "" || sex != "" && sex != one {
			return "", fact.Ambiguous
		}
		sex = one
	}
	switch {
	case given:
		return sex, ""
	case p.Gender == "female" || p.Gender == "male":
		return p.Gender, ""
	default:
		return "", fact.NoData
	}
}
