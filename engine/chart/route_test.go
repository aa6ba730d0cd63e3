package chart

import (
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/fact"
)

func TestSites(t *testing.T) {
	for _, tt := range []struct {
		system, code string
		want         Site
		local        bool
	}{
		{SNOMED, "26643006", SiteMouth, false},
		{SNOMED, "10547007", SiteEar, true},
		{SNOMED, "45890007", SitePatch, false},
		{"http://terminology.hl7.org/CodeSystem/v3-RouteOfAdministration", "PO", SiteMouth, false},
		{"http://hl7.org/fhir/v3/RouteOfAdministration", "OPTHALTA", SiteEye, true},
		{"urn:oid:2.16.840.1.113883.5.112", "IPINHL", SiteLung, false},
		{"urn:oid:2.16.840.1.113883.3.26.1.1", "C38304", SiteSkin, true},
		{"http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl", "C38313", SiteVagina, false},
		{"http://standardterms.edqm.eu", "20049000", SiteNose, true},
		{"http://standardterms.edqm.eu", "20061000", SiteRectum, false},
		{SNOMED, "372471009", "", false}, // into the bladder
		{"https://ehr.example/routes", "PO", "", false},
		{"", "26643006", "", false},
	} {
		p, ok := SiteOf(Coding{System: tt.system, Code: tt.code})
		if p != tt.want || ok != (tt.want != "") || p.Local() != tt.local {
			t.Errorf("%s of %s: %q, local %v", tt.code, tt.system, p, p.Local())
		}
	}
	for _, bad := range []string{
		`{}x`, `{"sites":{"skin":{"x":["1"]}}}`, `{"sources":{"x":"y"},"sites":{"skin":{"x":["1"]}}}`,
		`{"sources":{"x":"y"},"systems":{"x":["http://x.example"]},"sites":{"skin":{"x":["1","1"]}}}`, `{"extra":1}`,
	} {
		if _, err := readSites([]byte(bad)); err == nil {
			t.Errorf("%s passes", bad)
		}
	}
}

func TestSitesOfDrugs(t *testing.T) {
	for _, tt := range []struct {
		drug Drug
		want string
	}{
		{Drug{Form: "ophthalmic"}, "eye"},
		{Drug{Form: "other"}, ""},
		{Drug{DoseForm: DoseForm{Groups: []Coding{{Display: "Oral Product"}, {Display: "Pill"}}}}, "mouth"},
		{Drug{DoseForm: DoseForm{Groups: []Coding{{Display: "Otic Product"}, {Display: "Ophthalmic Product"}}}},
			"ear eye"},
		{Drug{Forms: []Coding{{System: SNOMED, Code: "385136004"}}}, "ear"},
		{Drug{Form: "oral", Forms: []Coding{{System: SNOMED, Code: "385136004"}}}, "mouth"},
		{Drug{}, ""},
	} {
		var got []string
		for _, p := range tt.drug.Sites(nil) {
			got = append(got, string(p))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%+v: %v, want %s", tt.drug, got, tt.want)
		}
	}
}

// TestRoutesOfOneInstruction holds that a coding that is known speaks for those beside
// it, and not for those of another instruction.
func TestRoutesOfOneInstruction(t *testing.T) {
	const house, eye, mouth = `{"system":"urn:house","code":"X"}`, `{"system":"http://snomed.info/sct","code":"54485002"}`,
		`{"system":"http://snomed.info/sct","code":"26643006"}`
	route := func(codings ...string) string { return `{"route":{"coding":[` + strings.Join(codings, ",") + `]}}` }
	for _, tt := range []struct {
		dosage string
		want   string
	}{
		{route(house, eye), "54485002"}, {route(eye, house), "54485002"}, {route(house), "X"}, {route(eye, mouth),
			"54485002 26643006"},
		{route(house, eye) + "," + route(house), "54485002 X"}, {route(eye) + `,{"text":"also"}`, "54485002 "},
	} {
		c := chartOf(t, `{}`, `{"meds":`+bundle(`{"resourceType":"MedicationRequest","id":"x","status":"active",`+
			`"dosageInstruction":[`+tt.dosage+`],`+warfarin+`}`)+`}`)
		var got []string
		for _, r := range c.Exposures()[0].Routes {
			got = append(got, r.Code)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, want %s", tt.dosage, got, tt.want)
		}
	}
}

func TestAsNeeded(t *testing.T) {
	const timed, needed, words = `{"timing":{"code":{"text":"BID"}}}`, `{"asNeededBoolean":true}`, `{"text":"1 prn"}`
	for _, tt := range []struct {
		dosage string
		want   fact.State
	}{
		{needed, fact.True}, {`{"asNeededBoolean":false}`, fact.False}, {timed, fact.False}, {words, fact.Unknown},
		{`{"asNeededCodeableConcept":{"text":"pain"},"timing":{}}`, fact.True},
		{`{"asNeeded":true}`, fact.True}, {`{"asNeededFor":[{"text":"pain"}]}`, fact.True},
		{`{"asNeededFor":[],"timing":{}}`, fact.False}, {`{"asNeededBoolean":"true"}`, fact.True},
		{`{"asNeededBoolean":7}`, fact.Unknown}, {`{"asNeededBoolean":null}`, fact.Unknown},
		{needed + "," + timed, fact.False}, {timed + "," + needed, fact.False}, {needed + "," + needed, fact.True},
		{needed + "," + words, fact.Unknown}, {words + "," + timed, fact.False}, {words + "," + needed, fact.Unknown},
		{"", fact.Unknown},
	} {
		for _, member := range []string{"dosageInstruction", "dosage"} {
			c := chartOf(t, `{}`, `{"meds":`+bundle(`{"resourceType":"MedicationRequest","id":"x",`+
				`"status":"active","`+member+
				`":[`+tt.dosage+`],`+warfarin+`}`)+`}`)
			if got := c.Exposures()[0].AsNeeded(); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.dosage, got, tt.want)
			}
		}
	}
}

// TestKnownInPart holds that a code beside a known ingredient leaves open what else
// there is, unless a known product says it.
func TestKnownInPart(t *testing.T) {
	const rx, misCased = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://www.nlm.nih.gov/research/umls/RXNORM"
	for _, tt := range []struct {
		name   string
		codes  [][2]string
		known  int
		entire bool
	}{
		{"ingredient", [][2]string{{rx, "11289"}}, 1, true},
		{"ingredient and unknown product", [][2]string{{rx, "999"}, {rx, "11289"}}, 1, false},
		{"ingredient and local code", [][2]string{{rx, "11289"}, {"https://ehr.example/drugs", "W"}}, 1, false},
		{"ingredient and mis-cased system", [][2]string{{rx, "11289"}, {misCased, "855350"}},
			1, false},
		{"ingredient and null flavour", [][2]string{{rx, "11289"},
			{"http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "UNK"}}, 1, true},
		{"product and local code", [][2]string{{"https://ehr.example/drugs", "W"}, {rx, "855350"}}, 1, true},
		{"product, its ingredient and an unknown code", [][2]string{{rx, "999"}, {rx, "11289"}, {rx, "855350"}}, 1, true},
		{"unknown product", [][2]string{{rx, "999"}}, 0, false},
		{"no system", [][2]string{{"", "855350"}}, 0, false},
		{"mis-cased system", [][2]string{{misCased, "855350"}}, 0, false},
		{"versioned system", [][2]string{{rx + "|2024", "855350"}}, 0, false},
		{"null flavour", [][2]string{{"http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "UNK"}}, 0, false},
	} {
		var codings []string
		for _, c := range tt.codes {
			codings = append(codings, `{"system":"`+c[0]+`","code":"`+c[1]+`"}`)
		}
		c := chartOf(t, `{}`, `{"meds":`+bundle(`{"resourceType":"MedicationRequest","id":"x","status":"active",`+
			`"medicationCodeableConcept":{"coding":[`+strings.Join(codings, ",")+`]}}`)+`}`)
		if d := c.Exposures()[0].Drug; len(d.Ingredients) != tt.known || d.Identified() != tt.entire {
			t.Errorf("%s: %+v", tt.name, d)
		}
	}
}
