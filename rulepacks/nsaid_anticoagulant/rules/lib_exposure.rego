# METADATA
# scope: package
# title: What the rules of this pack ask about the order and the patient's drugs
# description: >-
#   What was taken at any time in the last 100 days counts, as in PDDI-CDS, however long ago it began: an active order, a
#   statement whose period, or a dispense whose supply reaches into them. The order at hand never counts. Where the
#   anticoagulant is ordered, the NSAID has to be taken now.
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

nsaid_ordered := fact.all([fhir.order_in({"set": "nsaid"}), systemic])

anticoagulant_ordered := fhir.order_in({"set": "oral_anticoagulant"})

# Of two drafts the NSAID is asked about the anticoagulant, not the other way round as well.
nsaid := fact.named(
	"NSAID that spreads through the body",
	fhir.takes({"set": "nsaid", "systemic": true, "drafts": false}),
)

exposed := fact.any([
	fact.all([nsaid_ordered, anticoagulant]),
	fact.all([anticoagulant_ordered, nsaid]),
])

# The drug beside the order: the anticoagulant, or the NSAID where the anticoagulant is ordered.
card_other := nsaid if {
	fact.is(anticoagulant_ordered, "true")
	fact.is(nsaid, "true")
} else := anticoagulant
