# METADATA
# scope: package
# title: Certain opioids and MAO inhibitors
# description: >-
#   Row 6 of the high-priority list. Fires from either side: whichever of the two is ordered while the other is
#   taken or also drafted. An MAO inhibitor counts for 14 days after its end.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://pmc.ncbi.nlm.nih.gov/articles/PMC3422823
#   description: "Phansalkar et al., High-priority drug-drug interactions, JAMIA 2012;19:735, Table 2"
# custom:
#   id: opioid-maoi
#   hooks: [order-select, order-sign]
#   trigger: {order: [serotonergic_opioid, mao_inhibitor]}
#   severity: {order-select: info, order-sign: critical}
#   unknown: info
#   override_reasons: [benefit-outweighs-risk, will-monitor, tolerated-before, data-outdated]
#   topic: drug-interaction
package packs.high_priority_ddi.opioid_maoi

object_ordered := fhir.order_in({"set": "serotonergic_opioid"})

precipitant_ordered := fhir.order_in({"set": "mao_inhibitor", "any_route": false})

object_taken := fhir.takes({"set": "serotonergic_opioid", "any_route": true})

precipitant_taken := fhir.takes({"set": "mao_inhibitor", "within": "P14D"})

holds := fact.any([
	fact.all([object_ordered, precipitant_taken]),
	fact.all([precipitant_ordered, object_taken]),
])

card_other := precipitant_taken if {
	fact.is(object_ordered, "true")
	fact.is(precipitant_taken, "true")
} else := object_taken

card := {
	"summary": fhir.text("Do not combine {drug} with {other}: serotonin toxicity", {"drug": fhir.order(), "other": card_other}),
	"detail": concat(" ", [
		fhir.text("Together they can raise serotonin to dangerous levels; breathing may be depressed.", {}),
		fhir.text("An MAO inhibitor counts for 14 days after its end.", {}),
	]),
	"suggestions": [fhir.remove(fhir.order())],
}
