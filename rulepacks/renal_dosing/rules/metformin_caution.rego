# METADATA
# scope: package
# title: Metformin needs a decision below an eGFR of 45
# description: >-
#   Between 30 and 45 starting metformin is not recommended, and continuing it needs an assessment of benefit and risk.
#   The fact is "below 45": the contraindication below 30 supersedes the card where it is certain, so a result such as
#   "<45", which could lie on either side of 30, still gives a warning. An eGFR of exactly 45.0 gives none.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://www.fda.gov/drugs/drug-safety-and-availability
#   description: FDA Drug Safety Communication, 8 April 2016
# custom:
#   id: metformin-caution
#   hooks: [order-sign]
#   trigger: {order: metformin}
#   severity: warning
#   unknown: info
#   override_reasons: [benefit-outweighs-risk, will-monitor, data-outdated]
#   topic: renal-dosing
package packs.renal_dosing.metformin_caution

egfr := fhir.egfr({"max_age": param("egfr_max_age")})

# The subject order and the order it replaces do not count as exposure.
exposure := fhir.takes({"set": "metformin", "within": "P90D", "drafts": false})

holds := fact.less(egfr, 45)

card_summary := fhir.text("Do not start metformin: eGFR {egfr} (starting is not recommended below 45)", {"egfr": egfr}) if {
	fact.is(exposure, "false")
} else := fhir.text("Reassess metformin: eGFR {egfr} (weigh benefit and risk of continuing below 45)", {"egfr": egfr}) if {
	fact.is(exposure, "true")
} else := fhir.text("Check metformin: eGFR {egfr} (below 45 do not start; reassess if continuing)", {"egfr": egfr})

card_detail := fhir.text("Between 30 and 45 starting is not recommended and continuing needs an assessment. Below 30 metformin is contraindicated.", {}) if {
	fact.is(fact.less(egfr, 30), "false")
} else := fhir.text("Contraindicated below an eGFR of 30, for starting as for continuing.", {}) if {
	fact.is(fact.less(egfr, 30), "true")
} else := fhir.text("It is not certain whether eGFR is below 30, where metformin is contraindicated: obtain an exact value.", {})

# Whoever takes it already needs an assessment, not a reflex.
card_suggestions := [] if {
	fact.is(exposure, "true")
} else := [fhir.remove(fhir.order())]

card := {
	"summary": card_summary,
	"detail": card_detail,
	"suggestions": card_suggestions,
}
