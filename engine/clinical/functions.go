package clinical

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/types"

	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

var (
	optionsType    = types.NewObject(nil, types.NewDynamicProperty(types.S, types.A))
	suggestionType = handleType("suggestion")
	factsType      = types.NewArray(nil, factType)
)

// orderKinds are the kinds of value sets that hold what is ordered.
var orderKinds = []vocab.ValueSetKind{vocab.KindMedication, vocab.KindService}

// functions describes library 1.1.0, in the order of the documentation. A later
// version is made from it by [Library.With]. Each table stands beside the functions
// that it describes.
func functions() []Function {
	return slices.Concat(
		logic(),
		comparisons(),
		combinations(),
		dateQuestions(),
		sourceQuestions(),
		valueArithmetic(),
		questions(),
		resultQuestions(),
		bodyQuestions(),
		exposureQuestions(),
		conditionQuestions(),
		allergyQuestions(),
		procedureQuestions(),
		renalQuestions(),
		pregnancyQuestions(),
		encounterQuestions(),
		immunizationQuestions(),
		doseQuestions(),
		mmeQuestions(),
		wording(),
	)
}

// logic looks at answers, never at the chart.
func logic() []Function {
	f, facts := Argument{"f", typeFact}, Argument{"facts", typeFacts}
	of := func(name, doc, unknown string, run implementation, args ...Argument) Function {
		return Function{Name: name, Doc: doc, Unknown: unknown, Args: args, Result: typeFact,
			Reads: None(), Attributes: None(), Run: run}
	}
	return []Function{
		of("fact.all", "every one is true", "none is false, and one is unknown", all, facts),
		of("fact.any", "at least one is true", "none is true, and one is unknown", anyOf, facts),
		of("fact.negate", "true and false swapped", "f is", not, f),
		of("fact.count_at_least", "n or more are true", "that is neither certain nor out of reach",
			countAtLeast, Argument{"n", typeNumber}, facts),
		of("fact.named", "the same, with a name in explanations", "f is", named, Argument{"words", typeLabel}, f),
	}
}

// comparisons make facts of values.
func comparisons() []Function {
	v, n := Argument{"v", typeValue}, Argument{"n", typeNumber}
	of := func(name, doc string, run implementation, args ...Argument) Function {
		return Function{Name: name, Doc: doc, Unknown: "v is absent or unknown, or its interval lies on both sides",
			Args: args, Result: typeFact, Reads: None(), Attributes: None(), Run: run}
	}
	return []Function{
		of("fact.less", "v < n", compare(fact.Less), v, n),
		of("fact.less_equal", "v ≤ n", compare(fact.LessEqual), v, n),
		of("fact.greater", "v > n", compare(fact.Greater), v, n),
		of("fact.greater_equal", "v ≥ n", compare(fact.GreaterEqual), v, n),
		of("fact.within", "low ≤ v < high", within, v, Argument{"low", typeNumber}, Argument{"high", typeNumber}),
		{
			Name: "fact.lacking", Doc: "there is no usable value: none, or only too old ones",
			Unknown: "a value may be where nobody could look",
			Args:    []Argument{{"v", typeEither}}, Result: typeFact,
			Reads: None(), Attributes: None(), Run: lacking,
		},
	}
}

// questions look into the order and the chart.
func questions() []Function {
	set := func(doc string, kinds ...vocab.ValueSetKind) Option {
		return Option{Name: "set", Kind: KindSet, Sets: kinds, Required: true, Doc: doc}
	}
	flag := func(name, doc string) Option { return Option{Name: name, Kind: KindFlag, Param: true, Doc: doc} }
	maxAge := Option{Name: "max_age", Kind: KindDuration, Required: true, Param: true,
		Doc: "older results do not count"}
	within := Option{Name: "within", Kind: KindDuration, Param: true,
		Doc: "took it at any time in that window up to now"}
	anyRoute := flag("any_route", "also if it acts only where it is applied")
	anyRoute.Default = true
	return []Function{
		{
			Name: "fhir.order", Doc: "the draft that the rule is asked about", Result: typeOrder,
			Reads: None(), Attributes: None(), NeedsOrder: true, Run: order,
		},
		{
			Name: "fhir.order_in", Doc: "the draft is of a value set, by code or ingredient",
			Unknown: "it cannot be identified, is known in part, or the set has no codes of its system",
			Options: []Option{set("what the draft may be of", orderKinds...), anyRoute}, Result: typeFact,
			Reads: None(), Attributes: None(), NeedsOrder: true, Run: orderIn,
		},
		{
			Name: "fhir.topical", Doc: "it acts only where it is applied, by route or form",
			Unknown: "neither says, or they contradict; a transdermal system is systemic",
			Args:    []Argument{{"order", typeOrder}}, Result: typeFact,
			Reads: None(), Attributes: None(), Run: topical,
		},
		{
			Name: "fhir.egfr",
			Doc: "the newest of reported eGFR and of creatinine, the latter by CKD-EPI 2021 (over both sexes if " +
				"sex is not known); of one specimen the reported one",
			Unknown: "under 18 (`not-applicable`) or perhaps under 18 (`precision-insufficient`), and as `fhir.lab`",
			Absent:  "as `fhir.lab`",
			Options: []Option{maxAge}, Result: typeValue,
			Reads:      []string{"Observation", "Patient"},
			Attributes: []string{attributeSex, attributeAge, attributeHealth}, Run: egfr,
		},
		{
			Name: "fhir.lab", Doc: "newest final, amended or corrected result, converted to `unit`; what is " +
				"pending, cancelled or not performed displaces nothing",
			Unknown: "results are not all there, the newest is too old, of another status, in words, under a " +
				"code that is not known, in a unit that cannot be converted, or implausible: an older one never " +
				"stands in, and the card names it if it would have made the rule fire",
			Absent: "there is none, and all results are there",
			Options: []Option{set("what was measured", vocab.KindObservation),
				{Name: "unit", Kind: KindUnit, Required: true, Param: true,
					Doc: "UCUM code of the unit to compare in"}, maxAge,
				flag("preliminary", "preliminary results count as well"),
				{Name: "precision", Kind: KindEnum, Words: []string{"day", "instant"}, Param: true,
					Doc: "how well the time of the newest must be known"}},
			Result: typeValue, Reads: []string{"Observation"}, Attributes: []string{attributeHealth}, Run: lab,
		},
		{
			Name: "fhir.takes",
			Doc: "the patient takes a drug of the set: active order or plan, statement, dispense, administration, " +
				"other drafts; never the order at hand nor the one it replaces " +
				"(with `within`: one of another drug that it replaces counts, it was taken until now). " +
				"What acts only where it is applied (eye, ear, nose, skin) does not count",
			Unknown: "a source is incomplete, a drug cannot be identified or is known in part, the set has no codes of " +
				"its system, dates or status leave it open, or its supply is used up",
			Options: slices.Concat([]Option{set("the drugs", vocab.KindMedication), within,
				{Name: "by", Kind: KindEnum, Words: []string{"start"}, Param: true, Needs: "within",
					Doc: "only starts and handovers in the window"},
				flag("other_ingredient", "only drugs with an ingredient of the set that the order does not have")},
				exposureOptions()),
			Result: typeFact, Reads: exposureTypes, Attributes: []string{attributeHealth}, Run: takes,
		},
	}
}

// wording makes what cards are made of.
func wording() []Function {
	option := func(name string, kind Kind, doc string) Option {
		return Option{Name: name, Kind: kind, Required: true, Param: true, Doc: doc}
	}
	coded := []Option{
		option("system", KindCode, "code system of what is to be done"), option("code", KindCode, "its code"),
		option("display", KindCode, "its name"),
		option("label", KindText, "what the button says; may be made by `fhir.text`"),
	}
	return []Function{
		{
			Name: "fact.is",
			Doc: "f is in that state: `\"true\"`, `\"false\"` or `\"unknown\"`; " +
				"only in rules whose name starts with `card`",
			Args: []Argument{{"f", typeFact}, {"state", typeState}}, Result: typeBoolean,
			Reads: None(), Attributes: None(), CardsOnly: true, Run: is,
		},
		{
			Name: "fhir.text",
			Doc: "the words, each {name} in them filled with a value (number and unit), " +
				"a fact (names of its evidence), an order (name), a string or a number; " +
				"text of the chart is made harmless",
			Args: []Argument{{"words", typeTemplate}, {"with", typeFill}}, Result: typeString,
			Reads: None(), Attributes: None(), Run: text,
		},
		{
			Name: "fhir.remove", Doc: "delete the draft", Args: []Argument{{"order", typeOrder}},
			Result: typeSuggestion, Reads: None(), Attributes: None(), Run: remove,
		},
		{
			Name: "fhir.request_service", Doc: "create a ServiceRequest, intent proposal",
			Options: coded, Result: typeSuggestion, Reads: None(), Attributes: None(), Run: requestService,
		},
		{
			Name: "fhir.propose_medication", Doc: "create a MedicationRequest, intent proposal",
			Options: coded, Result: typeSuggestion, Reads: None(), Attributes: None(), Run: proposeMedication,
		},
		{
			Name: "param", Doc: "a parameter of the pack, as the tenant set it",
			Args:   []Argument{{"name", typeParameter}},
			Result: typeAny, Reads: None(), Attributes: None(), Run: param,
		},
	}
}
