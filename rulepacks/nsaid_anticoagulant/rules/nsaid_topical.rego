# METADATA
# scope: package
# title: Topical diclofenac with an oral anticoagulant is absorbed minimally
# description: >-
#   Topical (gel, ophthalmic) diclofenac is absorbed minimally; the prescriber is told, and no more.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://github.com/HL7/PDDI-CDS
#   description: HL7 PDDI-CDS, warfarin and NSAIDs
# custom:
#   id: nsaid-topical
#   hooks: [order-select, order-sign]
#   trigger: {order: nsaid}
#   severity: info
#   unknown: silent
#   topic: nsaid-anticoagulant
package packs.nsaid_anticoagulant.nsaid_topical

import data.packs.nsaid_anticoagulant.lib_exposure

holds := fact.all([
	fhir.order_in({"set": "diclofenac"}),
	lib_exposure.topical,
	lib_exposure.anticoagulant,
])

card := {
	"summary": fhir.text("Watch for bleeding: topical diclofenac with {anticoagulant}, absorption is minimal", {"anticoagulant": lib_exposure.anticoagulant}),
	"detail": fhir.text("Systemic absorption of topical diclofenac is minimal.", {}),
}
