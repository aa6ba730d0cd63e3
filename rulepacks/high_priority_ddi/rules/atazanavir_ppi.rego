# METADATA
# scope: package
# title: Atazanavir and proton pump inhibitors
# description: >-
#   Row 2 of the high-priority list. Fires from either side: whichever of the two is ordered while the other is
#   taken or also drafted.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://pmc.ncbi.nlm.nih.gov/articles/PMC3422823
#   description: "Phansalkar et al., High-priority drug-drug interactions, JAMIA 2012;19:735, Table 2"
# custom:
#   id: atazanavir-ppi
#   hooks: [order-select, order-sign]
#   trigger: {order: [atazanavir, proton_pump_inhibitor]}
#   severity: {order-select: info, order-sign: critical}
#   unknown: info
#   override_reasons: [benefit-outweighs-risk, will-monitor, tolerated-before, data-outdated]
#   topic: drug-interaction
package packs.high_priority_ddi.atazanavir_ppi

object_ordered := fhir.order_in({"set": "atazanavir", "any_route": false})

precipitant_ordered := fhir.order_in({"set": "proton_pump_inhibitor", "any_route": false})

object_taken := fhir.takes({"set": "atazanavir"})

precipitant_taken := fhir.takes({"set": "proton_pump_inhibitor"})

holds := fact.any([
	fact.all([object_ordered, precipitant_taken]),
	fact.all([precipitant_ordered, object_taken]),
])

card_other := precipitant_taken if {
	fact.is(object_ordered, "true")
	fact.is(precipitant_taken, "true")
} else := object_taken

card := {
	"summary": fhir.text("Do not combine {drug} with {other}: loss of antiviral effect", {"drug": fhir.order(), "other": card_other}),
	"detail": fhir.text("Proton pump inhibitors lower the absorption of atazanavir; treatment may fail.", {}),
	"suggestions": [fhir.remove(fhir.order())],
}
