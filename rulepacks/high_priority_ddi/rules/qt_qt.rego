# METADATA
# scope: package
# title: Two QT-prolonging drugs
# description: >-
#   Row 8 of the high-priority list. Fires when the other drug is taken or also drafted; two strengths of one
#   ingredient are not a pair.
# authors:
# - Clinical content engineering
# related_resources:
# - ref: https://pmc.ncbi.nlm.nih.gov/articles/PMC3422823
#   description: "Phansalkar et al., High-priority drug-drug interactions, JAMIA 2012;19:735, Table 2"
# custom:
#   id: qt-qt
#   hooks: [order-select, order-sign]
#   trigger: {order: qt_prolonging}
#   severity: {order-select: info, order-sign: critical}
#   unknown: info
#   override_reasons: [benefit-outweighs-risk, will-monitor, tolerated-before, data-outdated]
#   topic: drug-interaction
package packs.high_priority_ddi.qt_qt

other := fhir.takes({"set": "qt_prolonging", "other_ingredient": true})

holds := fact.all([fhir.order_in({"set": "qt_prolonging", "any_route": false}), other])

card := {
	"summary": fhir.text("Do not combine {drug} with {other}: QT prolongation, torsade de pointes", {"drug": fhir.order(), "other": other}),
	"detail": fhir.text("Both drugs prolong the QT interval; the risk adds up. QTc, potassium and other risk factors are not looked at here.", {}),
	"suggestions": [fhir.remove(fhir.order())],
}
