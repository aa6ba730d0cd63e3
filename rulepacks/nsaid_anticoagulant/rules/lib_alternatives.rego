# METADATA
# scope: package
# title: What the cards of this pack offer instead of the NSAID
# description: >-
#   Remove the order; for an ordered NSAID also acetaminophen 325 mg or 500 mg in its place, as in PDDI-CDS.
# authors:
# - Clinical content engineering
package packs.nsaid_anticoagulant.lib_alternatives

import data.packs.nsaid_anticoagulant.lib_exposure

card_suggestions := [fhir.remove(fhir.order())] if {
	fact.is(lib_exposure.anticoagulant_ordered, "true")
} else := [
	fhir.remove(fhir.order()),
	fhir.propose_medication({
		"system": "http://www.nlm.nih.gov/research/umls/rxnorm",
		"code": "313782",
		"display": "Acetaminophen 325 MG Oral Tablet",
		"label": fhir.text("Propose acetaminophen 325 mg instead", {}),
	}),
	fhir.propose_medication({
		"system": "http://www.nlm.nih.gov/research/umls/rxnorm",
		"code": "198440",
		"display": "Acetaminophen 500 MG Oral Tablet",
		"label": fhir.text("Propose acetaminophen 500 mg instead", {}),
	}),
]

# Acetaminophen raises the INR of patients on warfarin; unknown counts as warfarin here.
card_sentence := fhir.text("Acetaminophen is an alternative.", {}) if {
	fact.is(lib_exposure.warfarin, "false")
	fact.is(fhir.order_in({"set": "warfarin"}), "false")
} else := fhir.text("Acetaminophen is an alternative; monitor INR if more than 2 g a day is taken for several days.", {})
