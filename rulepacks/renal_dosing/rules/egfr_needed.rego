# METADATA
# scope: package
# title: Metformin needs a current eGFR
# description: >-
#   Neither an eGFR nor a creatinine of the last 365 days is on record. Holds only if the results on record are complete
#   enough to say so; where they could not be read the other two rules report it.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://www.fda.gov/drugs/drug-safety-and-availability
#   description: FDA Drug Safety Communication, 8 April 2016
# custom:
#   id: egfr-needed
#   hooks: [order-sign]
#   trigger: {order: metformin}
#   severity: info
#   unknown: silent
#   supersedes: [metformin-contraindicated, metformin-caution]
#   override_reasons: [data-outdated, not-applicable]
#   topic: renal-dosing
package packs.renal_dosing.egfr_needed

exposure := fhir.takes({"set": "metformin", "within": "P90D", "drafts": false})

holds := fact.lacking(fhir.egfr({"max_age": param("egfr_max_age")}))

card_summary := fhir.text("Obtain an eGFR before starting metformin: no current value on record", {}) if {
	fact.is(exposure, "false")
} else := fhir.text("Obtain an eGFR: metformin is being continued without a current value (annual check)", {}) if {
	fact.is(exposure, "true")
} else := fhir.text("Obtain an eGFR for metformin: no current value on record", {})

card := {
	"summary": card_summary,
	"detail": fhir.text("Metformin is contraindicated below an eGFR of 30; starting it is not recommended below 45.", {}),
	"suggestions": [fhir.request_service({
		"system": "http://loinc.org",
		"code": "98979-8",
		"display": "eGFR (CKD-EPI 2021)",
		"label": fhir.text("Order eGFR", {}),
	})],
}
