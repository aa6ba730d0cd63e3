package chart

import (
	"strings"

	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// header is what the index needs to know of a resource before anything else may
// read it: whose it is, whether it counts, and whether it can be understood.
type header struct {
	chart     *Chart
	item      *item
	src       *Source
	elsewhere bool // it lies on another server

	inError   bool       // entered in error
	malformed bool       // a member has not its FHIR shape
	named     int        // members that say whom it is about
	ours      int        // of those, members that name the patient
	turned    bool       // about somebody or something else than its subject
	modified  bool       // has content that must be understood, which nobody here does
	negated   fact.State // it says that it did not happen
	excused   bool       // it gives a reason why it did not happen
}

// read reads the members that every resource is filed by.
func (h *header) read(r *Resource, codings *[]Coding) {
	h.negated = fact.False
	s := rawjson.Scanner{Src: string(r.JSON)}
	for s.Enter(); s.More(); {
		good := true
		switch name := s.Name(); name {
		case "id":
			r.ID, good = s.Text()
		case "status":
			r.Status, good = s.Text()
			h.inError = h.inError || r.Status == enteredInError
		case "verificationStatus":
			h.inError = h.inError || statusCode(s.Skip(), verifications...) == enteredInError
		case "subject", "patient", "beneficiary", "for", "individual", "candidate", "deliverFor":
			if h.chart != nil {
				h.about(s.Skip())
			} else {
				s.Skip()
			}
		case "focus", "extension":
			v := s.Skip()
			if h.chart != nil && (r.Type == "Observation" || r.Type == "Condition" || r.Type == "Procedure") {
				h.turned = h.turned || h.turns(name, v)
			}
		case "modifierExtension", "implicitRules":
			h.modified = given(s.Skip()) || h.modified
		case "component":
			r.parts = s.Skip()
			h.modified = h.modified || modifies(r.parts)
		case "dosageInstruction", "dosage", "dispenseRequest", "substitution", "adherence", "ingredient", "reaction",
			"referenceRange", "stage", "evidence", "hospitalization", "admission", "diagnosis", "protocolApplied",
			"oralDiet", "supplement", "enteralFormula", "parameter", "lensSpecification", "condition", "target":
			v := s.Skip()
			h.modified = h.modified || modifies(v)
			if name == "adherence" {
				h.negates(name, v)
			}
		case "code", "medicationCodeableConcept", "vaccineCode", "codeCodeableConcept", "medication":
			var text string
			*codings, text, good = scanConcept(&s, *codings)
			if r.Text == "" {
				r.Text = text
			}
		case "doNotPerform", "taken", "wasNotTaken", "wasNotGiven", "notGiven", "notDone", "notPerformed",
			"reasonNotTaken", "reasonNotGiven", "reasonNotPerformed", "notDoneReason", "statusReason",
			"statusReasonCodeableConcept", "statusReasonReference":
			h.negates(name, s.Skip())
		default:
			s.Skip()
		}
		h.malformed = h.malformed || !good
	}
}

// doubt says why what the resource says cannot be relied on; empty if it can.
func (h *header) doubt(r *Resource) fact.Code {
	switch {
	case h.modified || h.item != nil && h.item.modified:
		return fact.NotUnderstood
	case h.negated == fact.Unknown:
		return fact.WrongStatus
	case h.excused && h.negated == fact.False && happened(r.Type, r.Status):
		return fact.Ambiguous
	default:
		return ""
	}
}

const enteredInError = "entered-in-error"

// verifications are the code systems of verificationStatus, of conditions and of
// allergies since STU3.
var verifications = []string{"condition-ver-status", "allergyintolerance-verification", "allergy-verification-status"}

// given reports whether a member that must be understood says anything.
func given(v rawjson.Value) bool { return !v.Missing() && v != "[]" && v != "{}" && v != `""` }

// modifies reports whether an element has a modifier extension somewhere in it.
func modifies(v rawjson.Value) bool {
	text := string(v)
	if !strings.Contains(text, "modifierExtension") && strings.IndexByte(text, '\\') < 0 { // nearly always
		return false
	}
	s := rawjson.Scanner{Src: text}
	found := false
	var walk func()
	walk = func() {
		object := s.Kind() == '{'
		for s.Enter(); s.More(); {
			modifier := object && s.Name() == "modifierExtension"
			switch k := s.Kind(); {
			case modifier:
				found = given(s.Skip()) || found
			case k == '{' || k == '[':
				walk()
			default:
				s.Skip()
			}
		}
	}
	if k := s.Kind(); k == '{' || k == '[' {
		walk()
	}
	return found
}
