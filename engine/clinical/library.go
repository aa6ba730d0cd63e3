package clinical

import (
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/precept-cds/precept/engine/fact"
)

var (
	optionsType    = types.NewObject(nil, types.NewDynamicProperty(types.S, types.A))
	suggestionType = handleType("suggestion")
	factsType      = types.NewArray(nil, factType)
)

// library lists every function. The order is that of the documentation.
func library() []builtin {
	return []builtin{
		{"fact.all", "True if every fact is true; false if one is false.", args(factsType), factType, nil, all},
		{"fact.any", "True if one fact is true; false if all are false.", args(factsType), factType, nil, anyOf},
		{"fact.negate", "Swaps true and false; unknown stays unknown.", args(factType), factType, nil, not},
		{"fact.count_at_least", "True if n or more of the facts are true; false if that can not be reached.", args(types.N, factsType), factType, nil, countAtLeast},
		{"fact.named", "Gives a fact a name in clinical words.", args(types.S, factType), factType, nil, named},
		{"fact.less", "value < number", args(valueType, types.N), factType, nil, compare(fact.Less)},
		{"fact.less_equal", "value <= number", args(valueType, types.N), factType, nil, compare(fact.LessEqual)},
		{"fact.greater", "value > number", args(valueType, types.N), factType, nil, compare(fact.Greater)},
		{"fact.greater_equal", "value >= number", args(valueType, types.N), factType, nil, compare(fact.GreaterEqual)},
		{"fact.within", "low <= value < high", args(valueType, types.N, types.N), factType, nil, within},
		{"fact.lacking", "True if the chart is complete enough to say that there is no usable value.", args(valueType), factType, nil, lacking},
		{"fact.is", "Whether a fact is in the named state. Only for the wording of cards.", args(factType, types.S), types.B, nil, is},

		{"fhir.order", "The order this rule is asked about.", nil, orderType, nil, order},
		{"fhir.order_in", "The order is one of a value set, by its code or its ingredients.", args(optionsType), factType, []string{"set"}, orderIn},
		{"fhir.topical", "The order acts only where it is applied, by its route or form.", args(orderType), factType, nil, topical},
		{"fhir.age", "Age of the patient.", args(optionsType), valueType, []string{"unit"}, age},
		{"fhir.egfr", "Newest valid eGFR, else CKD-EPI 2021 from creatinine.", args(optionsType), valueType, []string{"max_age"}, egfr},
		{"fhir.lab", "Newest valid result of a value set.", args(optionsType), valueType, []string{"set", "unit", "max_age"}, lab},
		{"fhir.takes", "The patient is exposed to a drug of a value set.", args(optionsType), factType, []string{"set", "within", "by", "other_ingredient", "systemic", "drafts"}, takes},
		{"fhir.condition", "The patient has, or ever had, a condition of a value set.", args(optionsType), factType, []string{"set", "ever"}, condition},
		{"fhir.text", "Fills a template; numbers, dates and names reach text only here.", args(types.S, optionsType), types.S, nil, text},
		{"fhir.remove", "Suggests to delete the draft order.", args(orderType), suggestionType, nil, remove},
		{"fhir.request_service", "Suggests to order a service.", args(optionsType), suggestionType, []string{"system", "code", "display", "label"}, requestService},
		{"fhir.propose_medication", "Suggests another medication.", args(optionsType), suggestionType, []string{"system", "code", "display", "label"}, proposeMedication},
		{"param", "A parameter of the pack, as the tenant set it or by default.", args(types.S), types.A, nil, param},
	}
}

func args(t ...types.Type) []types.Type { return t }
