package chart

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// bigRequest writes an order-sign request of about 83 kB with 170 resources
// in the shapes EHRs send: one patient, two drafts, labs, vitals, conditions,
// medications as order and plan.
func bigRequest(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	var labs, meds, conds []string
	tests := [][3]string{
		{"2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL"},
		{"98979-8", "eGFR CKD-EPI 2021", "mL/min/{1.73_m2}"},
		{"2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L"},
		{"718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL"},
		{"29463-7", "Body weight", "kg"},
	}
	for i := range 120 {
		t := tests[r.IntN(len(tests))]
		labs = append(labs, fmt.Sprintf(
			`{"fullUrl":"https://ehr.example/fhir/R4/Observation/o%d-%x",`+
				`"resource":{"resourceType":"Observation","id":"o%d-%x","status":"final",`+
				`"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category",`+
				`"code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"%s",`+
				`"display":"%s"}],"text":"%s"},"subject":{"reference":"Patient/p1"},`+
				`"effectiveDateTime":"2026-0%d-%02dT08:%02d:00Z","valueQuantity":{"value":%d.%d,"unit":"%s",`+
				`"system":"http://unitsofmeasure.org","code":"%s"}},"search":{"mode":"match"}}`,
			i, seed, i, seed, t[0], t[1], t[1], 1+r.IntN(2), 1+r.IntN(28), r.IntN(60), r.IntN(90), r.IntN(10), t[2],
			t[2]))
	}
	for i := range 27 {
		intent := []string{"order", "plan"}[i%2]
		meds = append(meds, fmt.Sprintf(
			`{"fullUrl":"https://ehr.example/fhir/R4/MedicationRequest/m%d","resource":{"resourceType":"MedicationRequest","id":"m%d","status":"active","intent":"%s","medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"%d","display":"drug %d"}],"text":"drug %d 10 mg tablet"},"subject":{"reference":"https://ehr.example/fhir/R4/Patient/p1"},"authoredOn":"2025-1%d-%02d","dosageInstruction":[{"text":"1 tablet daily","route":{"coding":[{"system":"http://snomed.info/sct","code":"26643006"}]}}]},"search":{"mode":"match"}}`,
			i, i, intent, 310000+i, i, i, r.IntN(3), 1+r.IntN(28)))
	}
	for i := range 20 {
		conds = append(conds, fmt.Sprintf(
			`{"fullUrl":"https://ehr.example/fhir/R4/Condition/c%d","resource":{"resourceType":"Condition",`+
				`"id":"c%d",`+
				`"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical",`+
				`"code":"active"}]},`+
				`"verificationStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status",`+
				`"code":"confirmed"}]},"code":{"coding":[{"system":"http://snomed.info/sct","code":"%d",`+
				`"display":"condition %d"}]},"subject":{"reference":"Patient/p1"},"onsetDateTime":"20%02d"},`+
				`"search":{"mode":"match"}}`,
			i, i, 44000000+r.IntN(1000000), i, 10+r.IntN(15)))
	}
	drafts := `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"MedicationRequest","id":"d1","status":"draft","intent":"order","medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"860975"}],"text":"metformin"},"subject":{"reference":"Patient/p1"}}},{"resource":{"resourceType":"MedicationRequest","id":"d2","status":"draft","intent":"order","medicationReference":{"reference":"#med"},"contained":[{"resourceType":"Medication","id":"med","code":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"197806"}]}}],"subject":{"reference":"Patient/p1"}}}]}`
	set := func(entries []string) string {
		return fmt.Sprintf(`{"resourceType":"Bundle","type":"searchset","total":%d,"link":[{"relation":"self","url":"https://ehr.example/fhir/R4/x"}],"entry":[%s]}`, len(entries), strings.Join(entries, ","))
	}
	return []byte(fmt.Sprintf(`{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","fhirServer":"https://ehr.example/fhir/R4","fhirAuthorization":{"access_token":"secret-%d","token_type":"Bearer","expires_in":300,"scope":"user/*.read","subject":"cds"},"context":{"userId":"PractitionerRole/pr1","patientId":"p1","encounterId":"e1","draftOrders":%s},"prefetch":{"patient":{"resourceType":"Patient","id":"p1","gender":"male","birthDate":"1956-02-01"},"labs":%s,"meds":%s,"conditions":%s,"allergies":null}}`,
		seed, drafts, set(labs), set(meds), set(conds)))
}
