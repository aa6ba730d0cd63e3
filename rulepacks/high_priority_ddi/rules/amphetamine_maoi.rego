# METADATA
# scope: package
# title: Amphetamines and MAO inhibitors
# description: >-
#   Row 1 of the high-priority list. Fires from either side: whichever of the two is ordered while the other is
#   taken or also drafted. An MAO inhibitor counts for 14 days after its end.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://pmc.ncbi.nlm.nih.gov/articles/PMC3422823
#   description: "Phansalkar et al., High-priority drug-drug interactions, JAMIA 2012;19:735, Table 2"
# custom:
#   id: amphetamine-maoi
#   hooks: [order-select, order-sign]
#   trigger: {order: [amphetamine, maoi_amphetamine]}
#   severity: {order-select: info, order-sign: critical}
#   unknown: info
#   override_reasons: [benefit-outweighs-risk, will-monitor, tolerated-before, data-outdated]
#   topic: drug-interaction
package packs.high_priority_ddi.amphetamine_maoi

object_ordered := fhir.order_in({"set": "amphetamine", "any_route": false})

precipitant_ordered := fhir.order_in({"set": "maoi_amphetamine", "any_route": false})

object_taken := fhir.takes({"set": "amphetamine"})

precipitant_taken := fhir.takes({"set": "maoi_amphetamine", "within": "P14D"})

holds := fact.any([
	fact.all([object_ordered, precipitant_taken]),
	fact.all([precipitant_ordered, object_taken]),
])

card_other := precipitant_taken if {
	fact.is(object_ordered, "true")
	fact.is(precipitant_taken, "true")
} else := object_taken

card := {
	"summary": fhir.text("Do not combine {drug} with {other}: hypertensive crisis", {"drug": fhir.order(), "other": card_other}),
	"detail": concat(" ", [
		fhir.text("MAO inhibitors keep amphetamines and related drugs from being broken down: blood pressure can rise dangerously.", {}),
		fhir.text("An MAO inhibitor counts for 14 days after its end.", {}),
	]),
	"suggestions": [fhir.remove(fhir.order())],
}
