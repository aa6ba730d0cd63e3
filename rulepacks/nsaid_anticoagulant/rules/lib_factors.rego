# METADATA
# scope: package
# title: Factors that raise the risk of bleeding, for the wording of cards
# description: >-
#   Named on the card when they are true; those that could not be checked are named as such. None of them decides whether
#   a rule fires.
# authors:
# - Clinical content engineering
package packs.nsaid_anticoagulant.lib_factors

age := fhir.age({"unit": "a"})

over_65 := fact.greater(age, 65)

bleed := fhir.condition({"set": "upper_gi_bleed", "ever": true})

corticosteroid := fhir.takes({"set": "corticosteroid", "systemic": true})

aldosterone_antagonist := fhir.takes({"set": "aldosterone_antagonist"})

second_nsaid := fhir.takes({"set": "nsaid", "other_ingredient": true, "systemic": true})

risk := fact.any([over_65, bleed, corticosteroid, aldosterone_antagonist, second_nsaid])

# In a fixed order, so that equal patients get equal cards.
card_factors := [
	{
		"fact": over_65,
		"found": fhir.text("age over 65 ({age})", {"age": age}),
		"unchecked": fhir.text("age", {}),
	},
	{
		"fact": bleed,
		"found": fhir.text("history of {condition}", {"condition": bleed}),
		"unchecked": fhir.text("history of gastrointestinal bleeding", {}),
	},
	{
		"fact": corticosteroid,
		"found": fhir.text("corticosteroid: {drug}", {"drug": corticosteroid}),
		"unchecked": fhir.text("corticosteroid", {}),
	},
	{
		"fact": aldosterone_antagonist,
		"found": fhir.text("aldosterone antagonist: {drug}", {"drug": aldosterone_antagonist}),
		"unchecked": fhir.text("aldosterone antagonist", {}),
	},
	{
		"fact": second_nsaid,
		"found": fhir.text("second NSAID: {drug}", {"drug": second_nsaid}),
		"unchecked": fhir.text("second NSAID", {}),
	},
]

card_found := [f.found | some f in card_factors; fact.is(f.fact, "true")]

card_unchecked := [f.unchecked | some f in card_factors; fact.is(f.fact, "unknown")]

card_found_sentence := [fhir.text("Factors that raise the risk: {factors}.", {"factors": concat("; ", card_found)}) | count(card_found) > 0]

card_unchecked_sentence := [fhir.text("Could not be checked: {factors}.", {"factors": concat("; ", card_unchecked)}) | count(card_unchecked) > 0]

# Sentences about the factors, to be joined into the detail of a card.
card_sentences := array.concat(card_found_sentence, card_unchecked_sentence)
