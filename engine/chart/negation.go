package chart

import (
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// What a resource says did not happen, or must not, is no event and no order.
// FHIR wrote that as a flag (wasNotTaken and wasNotGiven in DSTU2; taken,
// notGiven and notDone in STU3; doNotPerform of orders since R4), as a status
// (not-taken, not-done), and in R5 as the code of adherence.

// negates reads a member that may say so.
func (h *header) negates(name string, v rawjson.Value) {
	state := fact.False
	switch name {
	case "taken":
		state = notTaken(v)
	case "adherence":
		if adherence(v) == "not-taking" {
			state = fact.True
		}
	case "reasonNotTaken", "reasonNotGiven", "reasonNotPerformed", "notDoneReason", "statusReason",
		"statusReasonCodeableConcept", "statusReasonReference":
		h.excused = h.excused || given(v)
		return
	default:
		state = flag(v)
	}
	switch {
	case state == fact.True || h.negated == fact.True:
		h.negated = fact.True
	case state == fact.Unknown:
		h.negated = fact.Unknown
	}
}

// flag reads a boolean, also where a sender quotes it; what is none is unknown.
func flag(v rawjson.Value) fact.State {
	switch {
	case v.Missing() || v == "false" || v == `"false"`:
		return fact.False
	case v == "true" || v == `"true"`:
		return fact.True
	default:
		return fact.Unknown
	}
}

// notTaken reads MedicationStatement.taken of STU3.
func notTaken(v rawjson.Value) fact.State {
	switch {
	case v.Missing() || v.Text() == "y" || v.Text() == "na": // na: nobody reports on it
		return fact.False
	case v.Text() == "n":
		return fact.True
	default: // unk, or none of them
		return fact.Unknown
	}
}

// happened reports whether a status says that something took place, or goes on:
// a reason why it did not contradicts it. Such reasons are for exceptional
// statuses only (FHIR R4, comments on statusReason).
func happened(typ, status string) bool {
	switch typ {
	case "MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration", "Immunization",
		"Procedure":
	default:
		return false
	}
	switch status {
	case "active", "completed", "in-progress", "recorded", "":
		return true
	default:
		return false
	}
}

// doubted makes an exposure unknown of which nobody can tell whether it is one, or
// whether its dates are what they seem.
func (e *Exposure) doubted() {
	if e.Doubt == fact.NotUnderstood {
		e.Start, e.End, e.Supply, e.unsized = dates.Interval{}, dates.Interval{}, dates.Interval{}, false
	}
	e.Reasons, e.uncertain = nil, true
	e.unknown(e.Doubt, "medications")
}
