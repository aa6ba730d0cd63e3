package decide_test

import (
	"slices"
	"testing"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/tenant"
)

// settingCases are a child with one dose of MMR in intensive care after dialysis, a woman
// who is pregnant, and what is left of it.
const settingCases = `cases:
  - &child
    name: one-dose
    hook: order-sign
    time: "2026-03-02T10:00:00-05:00"
    zone: America/New_York
    context: &here
      patientId: p1
      userId: Practitioner/u1
      encounterId: e1
      draftOrders: {resourceType: Bundle, type: collection, entry: []}
    prefetch: &all
      patient: {resourceType: Patient, id: p1, birthDate: "2020-01-15", gender: female}
      conditions: null
      labs:
        resourceType: Bundle
        type: searchset
        entry:
          - resource:
              resourceType: Observation
              id: t
              status: final
              subject: {reference: Patient/p1}
              effectiveDateTime: "2026-02-28"
              code: {coding: [{system: "http://loinc.org", code: "2106-3"}]}
              valueCodeableConcept: {coding: [{system: "http://snomed.info/sct", code: "260385009"}]}
      immunizations:
        resourceType: Bundle
        type: searchset
        entry:
          - resource:
              resourceType: Immunization
              id: i
              status: completed
              patient: {reference: Patient/p1}
              occurrenceDateTime: "2021-02-01"
              vaccineCode: {coding: [{system: "http://hl7.org/fhir/sid/cvx", code: "03"}]}
      procedures:
        resourceType: Bundle
        type: searchset
        entry:
          - resource:
              resourceType: Procedure
              id: d
              status: completed
              subject: {reference: Patient/p1}
              performedDateTime: "2026-02-27"
              code: {coding: [{system: "http://snomed.info/sct", code: "302497006"}]}
      encounters:
        resourceType: Bundle
        type: searchset
        entry:
          - resource:
              resourceType: Encounter
              id: e1
              status: in-progress
              subject: {reference: Patient/p1}
              class: {system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: IMP}
              location: [{location: {reference: Location/l1}, status: active}]
          - search: {mode: include}
            resource:
              resourceType: Location
              id: l1
              type: [{coding: [{system: "http://terminology.hl7.org/CodeSystem/v3-RoleCode", code: ICU}]}]
    want:
      - {rule: due-two, subject: patient, state: "true"}
      - {rule: dialysed, subject: patient, state: "true"}
      - {rule: inpatient, subject: patient, state: "true"}
      - {rule: intensive-care, subject: patient, state: "true"}
      - {rule: on-dialysis, subject: patient, state: "true"}
      - {rule: expects, subject: patient, state: "false"}
      - {rule: could, subject: patient, state: "false"}
  - <<: *child
    name: a-woman-who-is-pregnant
    prefetch:
      patient: {resourceType: Patient, id: p1, birthDate: "1998-01-15", gender: female}
      conditions: null
      procedures: null
      immunizations: null
      encounters: null
      labs:
        resourceType: Bundle
        type: searchset
        entry:
          - resource:
              resourceType: Observation
              id: s
              status: final
              subject: {reference: Patient/p1}
              effectiveDateTime: "2026-02-20"
              code: {coding: [{system: "http://loinc.org", code: "82810-3"}]}
              valueCodeableConcept: {coding: [{system: "http://snomed.info/sct", code: "77386006"}]}
    want:
      - {rule: due-two, subject: patient, state: "false"}
      - {rule: dialysed, subject: patient, state: "false"}
      - {rule: inpatient, subject: patient, state: "unknown", reasons: [unresolved-reference]}
      - {rule: intensive-care, subject: patient, state: "unknown", reasons: [unresolved-reference]}
      - {rule: on-dialysis, subject: patient, state: "false"}
      - {rule: expects, subject: patient, state: "true"}
      - {rule: could, subject: patient, state: "true"}
  - <<: *child
    name: nothing
    context: {patientId: p1, userId: Practitioner/u1, draftOrders: {resourceType: Bundle, type: collection, entry: []}}
    prefetch:
      patient: {resourceType: Patient, id: p1, birthDate: "2020-01-15", gender: female}
      immunizations: null
      procedures: null
      encounters: null
      conditions: null
      labs: null
    want:
      - {rule: due-two, subject: patient, state: "false"}
      - {rule: dialysed, subject: patient, state: "false"}
      - {rule: inpatient, subject: patient, state: "false"}
      - {rule: intensive-care, subject: patient, state: "false"}
      - {rule: on-dialysis, subject: patient, state: "false"}
      - {rule: expects, subject: patient, state: "unknown", reasons: [no-data]}
      - {rule: could, subject: patient, state: "false"}
  - <<: *child
    name: not-supplied
    prefetch: {}
    want:
      - {rule: due-two, subject: patient, state: "unknown", reasons: [not-supplied, not-supplied]}
      - {rule: dialysed, subject: patient, state: "unknown", reasons: [not-supplied]}
      - {rule: inpatient, subject: patient, state: "unknown", reasons: [not-supplied]}
      - {rule: intensive-care, subject: patient, state: "unknown", reasons: [not-supplied]}
      - {rule: on-dialysis, subject: patient, state: "unknown", reasons: [not-supplied, not-supplied]}
      - {rule: expects, subject: patient, state: "unknown", reasons: [not-supplied, not-supplied]}
      - {rule: could, subject: patient, state: "unknown", reasons: [no-data, not-supplied, not-supplied]}
`

// TestSettingPack takes rules about immunizations, procedures and encounters from
// their cases to what they read: keys of the prefetch answer for them, and a service
// without is known to lack them.
func TestSettingPack(t *testing.T) {
	rule := func(id, holds string) decidetest.Rule {
		return decidetest.Rule{ID: id, Body: "holds := " + holds + "\n\n" + decidetest.PlainCard}
	}
	pack := decidetest.PackOf(t, "1.0.0", map[string]string{
		"cases/settings.yaml": settingCases,
		"valuesets/mmr.json": `{"id": "mmr", "kind": "vaccine", "codes": [
  {"system": "http://hl7.org/fhir/sid/cvx", "code": "03"}, {"system": "http://hl7.org/fhir/sid/cvx", "code": "94"}]}`,
		"valuesets/dialysis.json": `{"id": "dialysis", "kind": "procedure", "codes": [
  {"system": "http://snomed.info/sct", "code": "302497006"}]}`},
		rule("due-two", `fact.within(fhir.immunizations({"set": "mmr", "min_age": "P12M", "grace": "P4D",
	"min_interval": "P28D"}), 1, 2)`),
		rule("dialysed", `fhir.procedure({"set": "dialysis", "within": "P14D"})`),
		rule("inpatient", `fhir.encounter({"class": "inpatient"})`),
		rule("intensive-care", `fhir.location({"kind": "intensive-care"})`),
		rule("on-dialysis", `fhir.renal_replacement({"within": "P14D"})`),
		rule("expects", `fhir.pregnancy_status({"status": "pregnant", "negative_within": "P7D"})`),
		rule("could", `fhir.childbearing_potential({"min_age": "P12Y", "max_age": "P50Y"})`))
	program := casesHold(t, pack)
	want := []string{"Condition", "Encounter", "Immunization", "Location", "Observation", "Patient", "Procedure"}
	if reads := program.Reads("order-sign"); !slices.Equal(reads, want) {
		t.Errorf("the rules read %q, want %q", reads, want)
	}
	for _, typ := range want {
		if !slices.ContainsFunc(decide.CasePrefetch(), func(p tenant.Prefetch) bool {
			return slices.Contains(p.Types, typ)
		}) {
			t.Errorf("no key of the cases' prefetch answers for %s", typ)
		}
	}
}
