package clinical

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

func init() {
	maps.Copy(inquiries, map[string][]string{
		"fhir.allergy_to":       {`{"set":"nsaid"}`},
		"fhir.no_known_allergy": {`{}`},
		"fhir.cross_reacts":     {`{"order":"nsaid","allergen":"nsaid","risk":"high"}`},
	})
}

// setOf makes a value set ready for use.
func setOf(t testing.TB, id string, kind vocab.ValueSetKind, codes ...string) *valueSet {
	t.Helper()
	var list []string
	for _, c := range codes {
		system, code, _ := strings.Cut(c, "|")
		list = append(list, fmt.Sprintf(`{"system":%q,"code":%q}`, system, code))
	}
	v, err := vocab.ReadValueSet(packfile.File{Name: "valuesets/" + id + ".json",
		Data: fmt.Appendf(nil, `{"id":%q,"kind":%q,"codes":[%s]}`, id, kind, strings.Join(list, ","))})
	if err != nil {
		t.Fatal(err)
	}
	s := &valueSet{ValueSet: v, title: id}
	for _, c := range v.Codes {
		if !slices.Contains(s.systems, c.System) {
			s.systems = append(s.systems, c.System)
		}
		s.codings = append(s.codings, chart.Coding{System: c.System, Code: c.Code})
	}
	return s
}

// with puts value sets in the place of those of the pack.
func (a asked) with(sets ...*valueSet) asked {
	p := *a.pack
	p.sets = map[string]*valueSet{}
	for _, s := range sets {
		p.sets[s.ID] = s
	}
	a.pack = &p
	return a
}

// askAllergies asks about a source that holds allergies, and whatever else is given.
func askAllergies(t testing.TB, drafts, source string) asked {
	t.Helper()
	return ask(t, drafts, source, func(in *chart.Inputs) {
		in.Declared = map[string][]string{everyType: {"AllergyIntolerance", "List"}}
	}).with(
		setOf(t, "aminopenicillins", vocab.KindMedication, chart.RxNorm+"|723", chart.RxNorm+"|733"),
		setOf(t, "penicillin_labels", vocab.KindSubstance, chart.RxNorm+"|723", chart.SNOMED+"|764146007"),
		setOf(t, "cephalexin", vocab.KindMedication, chart.RxNorm+"|2231"),
		setOf(t, "severe", vocab.KindCondition, chart.SNOMED+"|371627004"))
}

// allergy writes an AllergyIntolerance: its code and other members.
func allergy(id, code, rest string) string {
	return fmt.Sprintf(`{"resourceType":"AllergyIntolerance","id":%q,%s%s}`, id, code, rest)
}

func allergen(system, code string) string {
	return fmt.Sprintf(`"code":{"coding":[{"system":%q,"code":%q}]}`, system, code)
}

// allergyStatus writes the two statuses of R4.
func allergyStatus(clinical, verification string) string {
	const system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
	return fmt.Sprintf(`,"clinicalStatus":{"coding":[{"system":"%sclinical","code":%q}]},`+
		`"verificationStatus":{"coding":[{"system":"%[1]sverification","code":%[3]q}]}`, system, clinical, verification)
}

var amoxicillin = allergen(chart.RxNorm, "723")

func TestAllergyTo(t *testing.T) {
	active := allergyStatus("active", "confirmed")
	of := func(rest string) string { return bundle(allergy("a", amoxicillin, rest)) }
	const local = `{"system":"http://hospital.example/status","code":"C"}`
	for _, tt := range []struct{ name, source, want string }{
		{"the ingredient", of(active), "true"},
		{"a product with it", bundle(allergy("a", allergen(chart.RxNorm, "308191"), active)), "true"},
		{"a product of another", bundle(allergy("a", allergen(chart.RxNorm, "309114"), active)), "false"},
		{"another ingredient", bundle(allergy("a", allergen(chart.RxNorm, "2231"), active)), "false"},
		{"without statuses", of(""), "true"},
		{"unconfirmed", of(allergyStatus("active", "unconfirmed")), "true"},
		{"refuted", of(allergyStatus("active", "refuted")), "false"},
		{"entered in error", of(allergyStatus("active", "entered-in-error")), "false"},
		{"resolved", of(allergyStatus("resolved", "confirmed")), "false"},
		{"inactive", of(allergyStatus("inactive", "confirmed")), "false"},
		{"refuted, a local code first", of(`,"verificationStatus":{"coding":[` + local + `,{"system":` +
			`"http://terminology.hl7.org/CodeSystem/allergyintolerance-verification","code":"refuted"}]}`), "false"},
		{"a local status", of(`,"verificationStatus":{"coding":[` + local + `]}`), "unknown wrong-status"},
		{"a status in words", of(`,"clinicalStatus":{"text":"gone?"}`), "unknown wrong-status"},
		{"refuted in STU3", of(`,"clinicalStatus":"active","verificationStatus":"refuted"`), "false"},
		{"DSTU2", bundle(allergy("a", `"substance":{"coding":[{`+rxnorm+`,"code":"723"}]}`, `,"status":"confirmed"`)),
			"true"},
		{"refuted in DSTU2", bundle(allergy("a", `"substance":{"coding":[{`+rxnorm+`,"code":"723"}]}`,
			`,"status":"refuted"`)), "false"},
		{"in words", bundle(allergy("a", `"code":{"text":"PCN rash"}`, active)), "unknown text-only"},
		{"a food in words", bundle(allergy("a", `"code":{"text":"peanut"}`, active+`,"category":["food"]`)), "false"},
		{"a drug in words", bundle(allergy("a", `"code":{"text":"pcn"}`, active+`,"category":["food","medication"]`)),
			"unknown text-only"},
		{"in words, refuted", bundle(allergy("a", `"code":{"text":"PCN"}`, allergyStatus("active", "refuted"))), "false"},
		{"a class of another system", bundle(allergy("a", allergen(chart.SNOMED, "764146007"), active)),
			"unknown unknown-code"},
		{"a code nobody has", bundle(allergy("a", allergen(chart.RxNorm, "999999999"), active)),
			"unknown unknown-code"},
		{"a code without system", bundle(allergy("a", `"code":{"coding":[{"code":"723"}]}`, active)),
			"unknown unknown-code"},
		{"a null flavour", bundle(allergy("a", allergen("http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "UNK"),
			active)),
			"unknown unknown-code"},
		{"the system as OID", bundle(allergy("a", allergen("urn:oid:2.16.840.1.113883.6.88", "723"), active)), "true"},
		{"no code", bundle(allergy("a", `"category":["medication"]`, active)), "unknown unknown-code"},
		{"the substance of a reaction", bundle(allergy("a", allergen(chart.SNOMED, "764146007"), active+
			`,"reaction":[{"substance":{"coding":[{`+rxnorm+`,"code":"723"}]}}]`)), "true"},
		{"another drug, and a reaction to something", bundle(allergy("a", allergen(chart.RxNorm, "2231"), active+
			`,"reaction":[{"substance":{"text":"some pill"}}]`)), "unknown text-only"},
		{"two, one of them", bundle(allergy("b", `"code":{"text":"?"}`, active), allergy("a", amoxicillin, active)),
			"true"},
		{"none known", bundle(allergy("a", allergen(chart.SNOMED, "716186003"), active)), "false"},
		{"none known, and one", bundle(allergy("n", allergen(chart.SNOMED, "716186003"), active),
			allergy("a", amoxicillin, active)), "true"},
		{"nobody asked", bundle(allergy("a", allergen("http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips",
			"no-allergy-info"), active)), "unknown no-data"},
		{"the list is withheld", bundle(emptyList("withheld")), "unknown masked"},
		{"the list was not asked for", bundle(emptyList("notasked")), "unknown no-data"},
		{"the list says none", bundle(emptyList("nilknown")), "false"},
		{"empty", bundle(), "false"},
		{"not supplied", "", "unknown not-supplied"},
		{"more pages", strings.Replace(bundle(), `"type"`, `"total":3,"type"`, 1), "unknown partial-result"},
		{"more pages, and one", strings.Replace(of(active), `"type"`, `"total":3,"type"`, 1), "true"},
	} {
		f := askAllergies(t, "", tt.source).fact("fhir.allergy_to", `{"set":"aminopenicillins"}`)
		if got := strings.TrimSpace(f.State.String() + " " + codes(f.Reasons)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if f.State == fact.Unknown && tt.source != "" && !strings.Contains(tt.want, "partial") && len(f.Evidence) == 0 {
			t.Errorf("%s: unknown without evidence", tt.name)
		}
	}
}

func emptyList(reason string) string {
	return fmt.Sprintf(`{"resourceType":"List","id":"l","status":"current","mode":"snapshot",`+
		`"code":{"coding":[{"system":"http://loinc.org","code":"52472-8"}]},"emptyReason":{"coding":[`+
		`{"system":"http://terminology.hl7.org/CodeSystem/list-empty-reason","code":%q}]}}`, reason)
}

// TestAllergyFilters holds each filter true, false and unknown.
func TestAllergyFilters(t *testing.T) {
	angio := `,"reaction":[{"manifestation":[{"coding":[{"system":"http://snomed.info/sct","code":"371627004"}]}]}]`
	r5 := `,"reaction":[{"manifestation":[{"concept":{"coding":[` +
		`{"system":"http://snomed.info/sct","code":"371627004"}]}}]}]`
	for _, tt := range []struct{ name, rest, options, want string }{
		{"an allergy", `,"type":"allergy"`, `"kind":"allergy"`, "true"},
		{"an allergy in R5",
			`,"type":{"coding":[{"system":"http://hl7.org/fhir/allergy-intolerance-type","code":"allergy"}]}`,
			`"kind":"allergy"`, "true"},
		{"an intolerance", `,"type":"intolerance"`, `"kind":"allergy"`, "false"},
		{"no type", ``, `"kind":"allergy"`, "unknown no-data"},
		{"high", `,"criticality":"high"`, `"criticality":"high"`, "true"},
		{"high in DSTU2", `,"criticality":"CRITH"`, `"criticality":"high"`, "true"},
		{"low", `,"criticality":"low"`, `"criticality":"high"`, "false"},
		{"not assessed", `,"criticality":"unable-to-assess"`, `"criticality":"high"`, "unknown no-data"},
		{"confirmed", `,"verificationStatus":"confirmed"`, `"confirmed":true`, "true"},
		{"presumed", `,"verificationStatus":"presumed"`, `"confirmed":true`, "unknown wrong-status"},
		{"refuted", `,"verificationStatus":"refuted"`, `"confirmed":true`, "false"},
		{"reaction", angio, `"reaction":"severe"`, "true"},
		{"reaction in R5", r5, `"reaction":"severe"`, "true"},
		{"another reaction", strings.Replace(angio, "371627004", "271807003", 1), `"reaction":"severe"`, "false"},
		{"reaction in words", `,"reaction":[{"manifestation":[{"text":"swelling"}]}]`, `"reaction":"severe"`,
			"unknown text-only"},
		{"no reaction", ``, `"reaction":"severe"`, "unknown no-data"},
		{"unknown and refused", `,"type":"intolerance"`, `"kind":"allergy","reaction":"severe"`, "false"},
	} {
		f := askAllergies(t, "", bundle(allergy("a", amoxicillin, tt.rest))).
			fact("fhir.allergy_to", `{"set":"aminopenicillins",`+tt.options+`}`)
		if got := strings.TrimSpace(f.State.String() + " " + codes(f.Reasons)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	f := askAllergies(t, "", bundle(allergy("a", amoxicillin, angio+`,"criticality":"high","recordedDate":"2020-05"`))).
		fact("fhir.allergy_to", `{"set":"aminopenicillins"}`)
	if e := f.Evidence[0]; e.Ref != "AllergyIntolerance/a" || e.Value != "criticality high, 371627004" ||
		e.When != "2020-05" {
		t.Errorf("evidence = %+v", e)
	}
}

// TestAllergyLabels holds that the record tells an empty list from a statement.
func TestAllergyLabels(t *testing.T) {
	for source, want := range map[string]string{
		bundle(): "allergic to aminopenicillins (no allergies on file)",
		bundle(allergy("a", allergen(chart.SNOMED, "409137002"), "")): "allergic to aminopenicillins (none known)",
		bundle(allergy("a", allergen(chart.RxNorm, "2231"), "")):      "allergic to aminopenicillins",
	} {
		if f := askAllergies(t, "", source).fact("fhir.allergy_to", `{"set":"aminopenicillins"}`); f.Label != want {
			t.Errorf("label %q, want %q", f.Label, want)
		}
	}
}

func TestNoKnownAllergy(t *testing.T) {
	of := func(code string) string { return allergy("n", allergen(chart.SNOMED, code), "") }
	for _, tt := range []struct{ name, source, options, want string }{
		{"stated", bundle(of("716186003")), `{}`, "true"},
		{"stated, as IPS", bundle(allergy("n", allergen("http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips",
			"no-known-allergies"), "")), `{}`, "true"},
		{"stated for all", bundle(of("716186003")), `{"category":"food"}`, "true"},
		{"stated for drugs", bundle(of("409137002")), `{"category":"medication"}`, "true"},
		{"stated for drugs only", bundle(of("409137002")), `{}`, "unknown no-data"},
		{"refuted statement", bundle(allergy("n", allergen(chart.SNOMED, "716186003"),
			allergyStatus("active", "refuted"))), `{}`, "unknown no-data"},
		{"the list says so", bundle(emptyList("nilknown")), `{}`, "true"},
		{"an empty list", bundle(), `{}`, "unknown no-data"},
		{"withheld", bundle(of("716186003"), emptyList("withheld")), `{}`, "unknown masked"},
		{"contradicted", bundle(of("716186003"), allergy("a", amoxicillin, "")), `{}`, "false"},
		{"contradicted by one refuted", bundle(of("716186003"), allergy("a", amoxicillin,
			allergyStatus("active", "refuted"))), `{}`, "true"},
		{"contradicted in words", bundle(of("716186003"), allergy("a", `"code":{"text":"NKDA"}`, "")), `{}`,
			"unknown text-only"},
		{"a drug, asked about food", bundle(of("429625007"), allergy("a", amoxicillin, `,"category":["medication"]`)),
			`{"category":"food"}`, "true"},
		{"a drug by its code", bundle(allergy("a", amoxicillin, "")), `{"category":"medication"}`, "false"},
		{"something of no category", bundle(of("429625007"), allergy("a", allergen(chart.SNOMED, "1"), "")),
			`{"category":"food"}`, "unknown no-data"},
		{"not supplied", "", `{}`, "unknown not-supplied"},
		{"more pages", strings.Replace(bundle(of("716186003")), `"type"`, `"total":3,"type"`, 1), `{}`,
			"unknown partial-result"},
	} {
		f := askAllergies(t, "", tt.source).fact("fhir.no_known_allergy", tt.options)
		if got := strings.TrimSpace(f.State.String() + " " + codes(f.Reasons)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestCrossReacts(t *testing.T) {
	order := func(code string) string { return bundle(med("MedicationRequest", "d", code, `,"status":"draft"`)) }
	inWords := bundle(`{"resourceType":"MedicationRequest","id":"d","status":"draft",` +
		`"medicationCodeableConcept":{"text":"x"}}`)
	for _, tt := range []struct{ name, order, source, want string }{
		{"amoxicillin and cephalexin", order("309114"), bundle(allergy("a", amoxicillin, "")), "true"},
		{"a class, and cephalexin", order("309114"), bundle(allergy("a", allergen(chart.SNOMED, "764146007"), "")),
			"true"},
		{"another order", order("308191"), bundle(allergy("a", amoxicillin, "")), "false"},
		{"another allergy", order("309114"), bundle(allergy("a", allergen(chart.RxNorm, "2231"), "")), "false"},
		{"an order in words", inWords, bundle(allergy("a", amoxicillin, "")), "unknown text-only"},
		{"an order in words, no allergy", inWords, bundle(), "false"},
		{"an allergy in words", order("309114"), bundle(allergy("a", `"code":{"text":"pcn"}`, "")),
			"unknown text-only"},
		{"another order, allergies missing", order("308191"), "", "false"},
		{"allergies missing", order("309114"), "", "unknown not-supplied"},
	} {
		f := askAllergies(t, tt.order, tt.source).
			fact("fhir.cross_reacts", `{"order":"cephalexin","allergen":"penicillin_labels","risk":"moderate"}`)
		if got := strings.TrimSpace(f.State.String() + " " + codes(f.Reasons)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if !strings.Contains(f.Label, "risk of cross-reaction moderate") {
			t.Errorf("%s: label %q", tt.name, f.Label)
		}
		if f.State == fact.True && (len(f.Evidence) != 2 || f.Evidence[0].Ref != "MedicationRequest/d") {
			t.Errorf("%s: evidence %+v", tt.name, f.Evidence)
		}
	}
	if _, err := askAllergies(t, "", bundle()).call("fhir.cross_reacts",
		`{"order":"cephalexin","allergen":"penicillin_labels","risk":"moderate"}`); err == nil {
		t.Error("it was asked about the patient")
	}
}
