package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/signing/statement"
)

// sixty asks whether the patient is older than 60 years: unknown without a date of birth.
var sixty = decidetest.Rule{ID: "over-sixty", Body: `holds := fact.greater(fhir.age({"unit": "a"}), 60)

` + decidetest.PlainCard}

// agedCase is a golden case about a patient of an age, or without a date of birth.
func agedCase(name, born, want string) string {
	if born != "" {
		born = fmt.Sprintf(`, birthDate: "%s"`, born)
	}
	return fmt.Sprintf(`  - name: %s
    hook: order-sign
    time: "2026-03-02T15:00:00Z"
    zone: UTC
    context: {patientId: p1, userId: Practitioner/u1, draftOrders: {resourceType: Bundle, type: collection}}
    prefetch: {patient: {resourceType: Patient, id: p1, gender: male%s}}
%s`, name, born, want)
}

func wants(state string) string {
	return fmt.Sprintf("    want:\n      - {rule: over-sixty, subject: patient, state: %q}\n", state)
}

// TestEveryRuleInEveryState: what the golden cases do not show is refused by rule and state,
// however many cases there are, and taken if the pack's reviewer waives it by name.
func TestEveryRuleInEveryState(t *testing.T) {
	older, younger := agedCase("older", "1955-06-15", wants("true")), agedCase("younger", "1990-06-15", wants("false"))
	older2, older3 := agedCase("older-2", "1954-06-15", wants("true")), agedCase("older-3", "1953-06-15", wants("true"))
	nobody := agedCase("nobody", "", wants("unknown"))
	trial := []decidetest.Rule{sixty}
	waive := func(rule string, states ...string) []statement.Waiver {
		return []statement.Waiver{{Rule: rule, States: states, Reason: "for a test"}}
	}
	fires := decidetest.RuleFires
	for _, row := range []struct {
		name   string
		rules  []decidetest.Rule
		cases  []string
		waives []statement.Waiver
		lacks  string // of the refusal; empty if the pack goes live
	}{
		{"all three", trial, []string{older, younger, nobody}, nil, ""},
		{"no cases", []decidetest.Rule{sixty, fires}, nil, nil,
			"no golden case shows rule fires true, false, unknown; rule over-sixty true, false, unknown: "},
		{"no unknown", trial, []string{older, younger}, nil, "shows rule over-sixty unknown: "},
		{"no false", trial, []string{older, nobody}, nil, "rule over-sixty false: "},
		{"no true", trial, []string{younger, nobody}, nil, "rule over-sixty true: "},
		{"the same case many times", []decidetest.Rule{sixty},
			[]string{older, older2, older3}, nil,
			"rule over-sixty false, unknown: "},
		{"cases that want cards only", trial, []string{older, younger,
			agedCase("nobody", "", "    want_cards:\n      - {indicator: info}\n")}, nil, "rule over-sixty unknown: "},
		{"waived", trial, []string{older, younger}, waive("over-sixty", "unknown"), ""},
		{"all waived", []decidetest.Rule{fires}, nil, waive("fires", "unknown", "true", "false"), ""},
		{"another state waived", trial, []string{older, younger}, waive("over-sixty", "true", "false"),
			"rule over-sixty unknown: "},
		{"another rule waived", trial, []string{older, younger}, waive("over-seventy", "unknown"),
			"rule over-sixty unknown: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			n := newRegion(t)
			var extra map[string]string
			if row.cases != nil {
				extra = map[string]string{"cases/ages.yaml": "cases:\n" + strings.Join(row.cases, "")}
			}
			p := decidetest.PackOf(t, "1.0.0", extra, row.rules...)
			n.put("north", p)
			n.sayOf("north", about(p), n.releaseOf("north", p), author)
			review := n.reviewOf(p)
			review.Waives = row.waives
			n.sayOf("north", about(p), review, reviewer)
			if row.lacks == "" {
				n.activate("north", p)
				return
			}
			err := n.unchanged("north", ErrStatement, func() error { _, err := n.tryActivate("north", p); return err })
			if !strings.Contains(err.Error(), row.lacks) || !strings.Contains(err.Error(), "sign review --waive") {
				t.Errorf("the refusal says %v", err)
			}
			// What the reviewer accepts afterwards is enough.
			n.clock.advance(time.Second)
			later := n.reviewOf(p)
			n.sayOf("north", about(p), later, reviewer)
			n.activate("north", p)
		})
	}
}

// TestShippedPacksNeedNoWaiver: every rule of the packs that come with the program is shown
// in every state.
func TestShippedPacksNeedNoWaiver(t *testing.T) {
	n := newRegion(t)
	terms := n.tenants["north"].now.Load().snapshot.Release().Terminology
	for _, part := range n.tenants["north"].now.Load().snapshot.Parts() {
		unshown, err := n.materials.Unshown(part.Ref, terms)
		decidetest.Must(t, err)
		if len(unshown) > 0 || len(part.Rules()) == 0 {
			t.Errorf("%s: %+v", part.Name, unshown)
		}
	}
}

// TestManyUnshownRules: a refusal names some rules and counts the others.
func TestManyUnshownRules(t *testing.T) {
	var rules []decidetest.Rule
	for i := range maxUnshown + 5 {
		r := decidetest.RuleFires
		r.ID = fmt.Sprintf("rule-%02d", i)
		rules = append(rules, r)
	}
	n := newRegion(t)
	p := decidetest.Pack(t, "1.0.0", rules...)
	n.put("north", p)
	n.sayOf("north", about(p), n.releaseOf("north", p), author)
	review := n.reviewOf(p)
	review.Waives = review.Waives[:0]
	n.sayOf("north", about(p), review, reviewer)
	_, err := n.tryActivate("north", p)
	decidetest.WantError(t, err, ErrStatement)
	if !strings.Contains(err.Error(), "rule-19") || strings.Contains(err.Error(), "rule-20") ||
		!strings.Contains(err.Error(), "; and 5 more rules") {
		t.Errorf("the refusal says %v", err)
	}
}
