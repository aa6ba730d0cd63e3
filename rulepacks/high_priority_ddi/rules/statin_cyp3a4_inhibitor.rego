# METADATA
# scope: package
# title: Simvastatin or lovastatin and CYP3A4 inhibitors
# description: >-
#   Row 11 of the high-priority list. Fires from either side: whichever of the two is ordered while the other is
#   taken or also drafted. A pack that knows doses refines it for the pairs whose label allows a low dose.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://pmc.ncbi.nlm.nih.gov/articles/PMC3422823
#   description: "Phansalkar et al., High-priority drug-drug interactions, JAMIA 2012;19:735, Table 2"
# custom:
#   id: statin-cyp3a4-inhibitor
#   hooks: [order-select, order-sign]
#   trigger: {order: [statin_3a4, statin_inhibitor]}
#   severity: {order-select: info, order-sign: critical}
#   unknown: info
#   override_reasons: [benefit-outweighs-risk, will-monitor, tolerated-before, data-outdated]
#   topic: drug-interaction
package packs.high_priority_ddi.statin_cyp3a4_inhibitor

object_ordered := fhir.order_in({"set": "statin_3a4", "any_route": false})

precipitant_ordered := fhir.order_in({"set": "statin_inhibitor", "any_route": false})

object_taken := fhir.takes({"set": "statin_3a4"})

precipitant_taken := fhir.takes({"set": "statin_inhibitor"})

holds := fact.any([
	fact.all([object_ordered, precipitant_taken]),
	fact.all([precipitant_ordered, object_taken]),
])

card_other := precipitant_taken if {
	fact.is(object_ordered, "true")
	fact.is(precipitant_taken, "true")
} else := object_taken

card := {
	"summary": fhir.text("Do not combine {drug} with {other}: rhabdomyolysis", {"drug": fhir.order(), "other": card_other}),
	"detail": fhir.text("CYP3A4 inhibitors raise the exposure to simvastatin and lovastatin. The dose is not looked at here: the US label of simvastatin allows up to 10 mg a day with diltiazem or verapamil and 20 mg with amiodarone.", {}),
	"suggestions": [fhir.remove(fhir.order())],
}
