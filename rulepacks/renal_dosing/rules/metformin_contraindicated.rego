# METADATA
# scope: package
# title: Metformin is contraindicated below an eGFR of 30
# description: >-
#   Starting or continuing metformin is contraindicated when eGFR is below 30 mL/min/1.73 m2. The value is the newest
#   of reported eGFR and of creatinine, the latter by CKD-EPI 2021; of one specimen the reported one.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://www.fda.gov/drugs/drug-safety-and-availability
#   description: FDA Drug Safety Communication, 8 April 2016
# custom:
#   id: metformin-contraindicated
#   hooks: [order-sign]
#   trigger: {order: metformin}
#   severity: critical
#   unknown: info
#   supersedes: [metformin-caution]
#   override_reasons: [benefit-outweighs-risk, data-outdated, not-applicable]
#   topic: renal-dosing
package packs.renal_dosing.metformin_contraindicated

egfr := fhir.egfr({"max_age": param("egfr_max_age")})

exposure := fhir.takes({"set": "metformin", "within": "P90D", "drafts": false})

holds := fact.less(egfr, 30)

card_detail := fhir.text("Contraindicated below an eGFR of 30. The record shows metformin in the last 90 days: plan to stop it.", {}) if {
	fact.is(exposure, "true")
} else := fhir.text("Contraindicated below an eGFR of 30, for starting as for continuing.", {})

card := {
	"summary": fhir.text("Do not prescribe metformin: eGFR {egfr} (contraindicated below 30)", {"egfr": egfr}),
	"detail": card_detail,
	"suggestions": [fhir.remove(fhir.order())],
}
