# METADATA
# scope: package
# title: A systemic NSAID with an oral anticoagulant and no stomach protection
# description: >-
#   As the warning, and neither a proton pump inhibitor nor misoprostol is taken or drafted. Where a factor raises the risk
#   further the card says to use the NSAID only if benefit outweighs risk.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://github.com/HL7/PDDI-CDS
#   description: HL7 PDDI-CDS, warfarin and NSAIDs
# custom:
#   id: nsaid-unprotected
#   hooks: [order-select, order-sign]
#   trigger: {order: nsaid}
#   severity: critical
#   unknown: warning
#   supersedes: [nsaid-anticoagulant]
#   override_reasons: [benefit-outweighs-risk, will-monitor, data-outdated]
#   topic: nsaid-anticoagulant
package packs.nsaid_anticoagulant.nsaid_unprotected

import data.packs.nsaid_anticoagulant.lib_alternatives
import data.packs.nsaid_anticoagulant.lib_exposure
import data.packs.nsaid_anticoagulant.lib_factors

holds := fact.all([
	lib_exposure.systemic,
	lib_exposure.anticoagulant,
	fact.negate(lib_exposure.gastroprotection),
])

card_advice := fhir.text("Use only if benefit outweighs risk: no proton pump inhibitor or misoprostol is on record.", {}) if {
	fact.is(lib_factors.risk, "true")
} else := fhir.text("No proton pump inhibitor or misoprostol is on record.", {})

card_sentences := array.flatten([card_advice, lib_factors.card_sentences, lib_alternatives.card_sentence])

card := {
	"summary": fhir.text("Avoid {drug} with {anticoagulant}: bleeding risk, no stomach protection", {
		"drug": fhir.order(),
		"anticoagulant": lib_exposure.anticoagulant,
	}),
	"detail": concat(" ", card_sentences),
	"suggestions": lib_alternatives.card_suggestions,
}
