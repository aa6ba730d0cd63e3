package clinical

import "testing"

// TestLogic holds the states that few rules meet.
func TestLogic(t *testing.T) {
	const no, unknown = `fhir.none({"type": "Observation"})`, `fhir.sex({"is": "male"})`
	list := []golden{
		{ask: `fact.all([` + no + `, fact.negate(` + no + `)])`, want: "false"},
		{ask: `fact.any([fact.negate(` + no + `)])`, want: "false"},
		{ask: `fact.negate(fact.negate(` + no + `))`, want: "true"},
		{ask: `fact.count_at_least(2, [` + no + `])`, want: "false"},
		{ask: `fact.count_at_least(2, [` + no + `, ` + unknown + `])`, want: "unknown: no-data (sex)"},
		{ask: `fact.named("x", fact.negate(` + no + `))`, want: "false"},
		{ask: `fact.less_equal(` + seventy + `, 69)`, chart: bornIn1956, want: "unknown: precision-insufficient (age)"},
		{ask: `fact.greater_equal(` + seventy + `, 71)`, chart: bornIn1956, want: "false"},
		{ask: `fact.round({"decimals": "0"}, ` + seventy + `)`, chart: bornIn1956, want: "69 to 70 years"},
		{ask: `fact.round({"decimals": "0"}, ` + seventy + `)`, want: "unknown: no-data (birth date)"},
	}
	answersOf(t, list)
}
