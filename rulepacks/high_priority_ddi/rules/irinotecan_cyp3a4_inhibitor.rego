# METADATA
# scope: package
# title: Irinotecan and CYP3A4 inhibitors
# description: >-
#   Row 5 of the high-priority list. Fires from either side: whichever of the two is ordered while the other is
#   taken or also drafted.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://pmc.ncbi.nlm.nih.gov/articles/PMC3422823
#   description: "Phansalkar et al., High-priority drug-drug interactions, JAMIA 2012;19:735, Table 2"
# custom:
#   id: irinotecan-cyp3a4-inhibitor
#   hooks: [order-select, order-sign]
#   trigger: {order: [irinotecan, irinotecan_inhibitor]}
#   severity: {order-select: info, order-sign: critical}
#   unknown: info
#   override_reasons: [benefit-outweighs-risk, will-monitor, tolerated-before, data-outdated]
#   topic: drug-interaction
package packs.high_priority_ddi.irinotecan_cyp3a4_inhibitor

object_ordered := fhir.order_in({"set": "irinotecan", "any_route": false})

precipitant_ordered := fhir.order_in({"set": "irinotecan_inhibitor", "any_route": false})

object_taken := fhir.takes({"set": "irinotecan"})

precipitant_taken := fhir.takes({"set": "irinotecan_inhibitor"})

holds := fact.any([
	fact.all([object_ordered, precipitant_taken]),
	fact.all([precipitant_ordered, object_taken]),
])

card_other := precipitant_taken if {
	fact.is(object_ordered, "true")
	fact.is(precipitant_taken, "true")
} else := object_taken

card := {
	"summary": fhir.text("Do not combine {drug} with {other}: severe irinotecan toxicity", {"drug": fhir.order(), "other": card_other}),
	"detail": fhir.text("CYP3A4 inhibitors raise the exposure to irinotecan and its active metabolite.", {}),
	"suggestions": [fhir.remove(fhir.order())],
}
