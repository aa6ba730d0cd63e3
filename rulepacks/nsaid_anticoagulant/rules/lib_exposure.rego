# METADATA
# scope: package
# title: What the rules of this pack ask about the order and the patient's drugs
# description: >-
#   The window of 100 days counts starts and handovers, as in PDDI-CDS: a dispense of 101 days ago alone is no exposure,
#   an active order is. The order at hand never counts.
# authors:
# - Clinical content engineering
package packs.nsaid_anticoagulant.lib_exposure

topical := fhir.topical(fhir.order())

systemic := fact.negate(topical)

anticoagulant := fact.named(
	"oral anticoagulant in the last 100 days",
	fhir.takes({"set": "oral_anticoagulant", "within": "P100D", "by": "start"}),
)

warfarin := fhir.takes({"set": "warfarin", "within": "P100D", "by": "start"})

gastroprotection := fact.named(
	"proton pump inhibitor or misoprostol",
	fhir.takes({"set": "gastroprotection"}),
)

exposed := fact.all([systemic, anticoagulant])
