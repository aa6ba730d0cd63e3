package rulepacks

import "testing"

// TestSystemsThatWouldNeverMatch holds that a value set spells its systems as
// charts are read, so that no rule is silently never asked.
func TestSystemsThatWouldNeverMatch(t *testing.T) {
	for _, right := range foldedSystems {
		if what, _ := systemProblem(right); what != "" {
			t.Errorf("%s: %s", right, what)
		}
	}
	for _, wrong := range []string{
		"https://loinc.org", "http://www.loinc.org", "HTTP://loinc.org", "http://nlm.nih.gov/research/umls/rxnorm", "http://www.snomed.info/sct",
		"https://hl7.org/fhir/sid/icd-10-cm", "http://whocc.no/atc", "https://www.whocc.no/atc", "http://hl7.org/fhir/sid/NDC", "http://www.unitsofmeasure.org/",
	} {
		if what, _ := systemProblem(wrong); what == "" {
			t.Errorf("%s passes", wrong)
		}
	}
	if what, _ := systemProblem("https://ehr.example/drugs"); what != "" {
		t.Errorf("a system of its own: %s", what)
	}
}
