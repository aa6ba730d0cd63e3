# METADATA
# scope: package
# title: A systemic NSAID with an oral anticoagulant raises the risk of bleeding
# description: >-
#   A systemic NSAID together with warfarin or a direct oral anticoagulant: an NSAID is ordered and the anticoagulant was
#   taken in the last 100 days, or the anticoagulant is ordered and an NSAID is taken. The card names the factors that raise
#   the risk further. Without stomach protection the critical rule takes its place.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://github.com/HL7/PDDI-CDS
#   description: HL7 PDDI-CDS, warfarin and NSAIDs
# custom:
#   id: nsaid-anticoagulant
#   hooks: [order-select, order-sign]
#   trigger: {order: [nsaid, oral_anticoagulant]}
#   severity: warning
#   unknown: info
#   override_reasons: [benefit-outweighs-risk, will-monitor, tolerated-before, data-outdated]
#   topic: nsaid-anticoagulant
package packs.nsaid_anticoagulant.nsaid_anticoagulant

import data.packs.nsaid_anticoagulant.lib_alternatives
import data.packs.nsaid_anticoagulant.lib_exposure
import data.packs.nsaid_anticoagulant.lib_factors

holds := lib_exposure.exposed

card_protection := fhir.text("Stomach protection on record: {drug}.", {"drug": lib_exposure.gastroprotection}) if {
	fact.is(lib_exposure.gastroprotection, "true")
} else := fhir.text("No proton pump inhibitor or misoprostol is on record.", {}) if {
	fact.is(lib_exposure.gastroprotection, "false")
} else := fhir.text("Whether a proton pump inhibitor or misoprostol is taken could not be checked.", {})

card_sentences := array.flatten([card_protection, lib_factors.card_sentences, lib_alternatives.card_sentence])

card := {
	"summary": fhir.text("Avoid {drug} with {anticoagulant}: raised risk of bleeding", {
		"drug": fhir.order(),
		"anticoagulant": lib_exposure.card_other,
	}),
	"detail": concat(" ", card_sentences),
	"suggestions": lib_alternatives.card_suggestions,
}
