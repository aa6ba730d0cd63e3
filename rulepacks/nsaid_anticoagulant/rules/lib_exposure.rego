# METADATA
# scope: package
# title: What the rules of this pack ask about the order and the patient's drugs
# description: >-
#   What was taken at any time in the last 100 days counts, as in PDDI-CDS, however long ago it began: an active order, a
#   statement whose period, or a dispense whose supply reaches into them. The order at hand never counts.
# authors:
# - Clinical content engineering
package packs.nsaid_anticoagulant.lib_exposure

topical := fhir.topical(fhir.order())

systemic := fact.negate(topical)

anticoagulant := fact.named(
	"oral anticoagulant in the last 100 days",
	fhir.takes({"set": "oral_anticoagulant", "within": "P100D"}),
)

warfarin := fhir.takes({"set": "warfarin", "within": "P100D"})

gastroprotection := fact.named(
	"proton pump inhibitor or misoprostol",
	fhir.takes({"set": "gastroprotection"}),
)

exposed := fact.all([systemic, anticoagulant])
