// Package packtest holds a sample pack and what the tests of the packages of
// rule packs expect of errors.
package packtest

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

// PackYAML is the pack.yaml of the sample.
const PackYAML = `name: sample
version: "1.10.0"
title: A sample pack
status: draft
publisher: {name: North Society, contact: rules@north.example}
effective_period: {start: 2026-01-01, end: ""}
review_due: "2027-01-01"
library: "1"
terminology: {min: "2026.1", max: ""}
languages: [en, de]
parameters:
  max_age: {type: string, format: duration, default: P365D, description: How old a result may be.}
  limit: {type: number, minimum: 1.50, maximum: 90, default: 30, description: Where the card begins.}
value_sets:
  - {id: metformin, title: Metformin, source: RxNorm, version: "2026-09", licence: public domain}
sources:
  - {id: fda2016, title: Safety communication, url: "https://www.fda.gov/drugs", date: "2016-04-08", strength: strong}
`

// Rule is the only rule of the sample.
const Rule = `package packs.sample.low

holds := fact.less(fhir.egfr({"max_age": param("max_age")}), param("limit"))

card := {"summary": fhir.text("Low: {egfr}", {"egfr": egfr})}

set := fhir.order_in({"set": "metformin"})
`

// ValueSet is the only value set of the sample.
const ValueSet = `{"id": "metformin", "kind": "medication", "codes": [
  {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "6809", "display": "metformin"}
]}
`

// Cases are the cases of the sample.
const Cases = `cases:
  - name: low
    vector: "sample 1"
    time: 2026-03-02T10:00:00-05:00
    zone: America/New_York
    parameters: {limit: 45.0}
    context: &context
      patientId: p1
      userId: Practitioner/1
      draftOrders: {resourceType: Bundle}
    prefetch:
      patient: &patient {resourceType: Patient, id: p1, birthDate: 1955-06-15}
      weight: {value: 81.10}
      meds: null
    want:
      - {rule: low, subject: MedicationRequest/d1, state: "true", reasons: []}
    want_cards:
      - {indicator: critical, detail_contains: ["27.0"], suggestions: 1}
  - name: merged
    time: "2026-03-02T10:00:00Z"
    context:
      <<: *context
      userId: Practitioner/2
    prefetch: {patient: *patient}
    want: []
`

func files() map[string]string {
	return map[string]string{
		"pack.yaml":                PackYAML,
		"rules/low.rego":           Rule,
		"valuesets/metformin.json": ValueSet,
		"messages/de.json":         `{"Low: {egfr}": "Niedrig: {egfr}"}`,
		"cases/low.yaml":           Cases,
		"README.md":                "# Sample\n",
		"NOTICE":                   "Sample data, no copyright.\n",
	}
}

// With returns the sample with changes; an empty content removes the file.
func With(changes ...string) map[string]string {
	files := files()
	for i := 0; i < len(changes); i += 2 {
		files[changes[i]] = changes[i+1]
		if changes[i+1] == "" {
			delete(files, changes[i])
		}
	}
	return files
}

// Refused fails the test unless err is of a kind, holds problems that are fit to
// be shown, and contains all the texts.
func Refused(t *testing.T, err error, kind packfile.Kind, contains ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v; want one that is %q", err, kind)
	}
	Fit(t, err)
	for _, p := range packfile.Problems(err) {
		if p.Hint == "" || p.What == "" {
			t.Errorf("problem %q lacks a hint", p)
		}
	}
	for _, part := range contains {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error is %q; want it to contain %q", err, part)
		}
	}
}

// Fit fails the test unless err holds problems, each of a kind, and nothing that
// a terminal would act on.
func Fit(t *testing.T, err error) {
	t.Helper()
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Fatalf("error %q is not fit for a terminal", err)
	}
	found := packfile.Problems(err)
	if len(found) == 0 {
		t.Fatalf("error %v holds no problem", err)
	}
	for _, p := range found {
		if p.Kind == "" {
			t.Fatalf("problem %v is of no kind", p)
		}
	}
}
