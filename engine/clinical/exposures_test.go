package clinical

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/fact"
)

const (
	warfarinCode, ibuprofenCode, naproxenCode = "855350", "197806", "7258"
	snomedRoute                               = `,"dosageInstruction":[{"route":{"coding":[{"system":` +
		`"http://snomed.info/sct","code":"`
	v3Route = `,"dosageInstruction":[{"route":{"coding":[{"system":` +
		`"http://terminology.hl7.org/CodeSystem/v3-RouteOfAdministration","code":"`
)

func request(id, drug, rest string) string {
	return med("MedicationRequest", id, drug, `,"status":"active","intent":"order"`+rest)
}

func draftOrder(id, drug, rest string) string {
	return med("MedicationRequest", id, drug, `,"status":"draft","intent":"order"`+rest)
}

func words(id string) string {
	return `{"resourceType":"MedicationRequest","id":"` + id +
		`","status":"draft","medicationCodeableConcept":{"text":"some tablets"}}`
}

func answerOf(f *fact.Fact) string {
	return strings.TrimSpace(f.State.String() + " " + codes(f.Reasons))
}

// TestRoutesOfTaken asks fhir.takes about routes: those that act locally do not count
// but where the rule asks for them.
func TestRoutesOfTaken(t *testing.T) {
	ear, skin, mouth := snomedRoute+`10547007"}]}}]`, v3Route+`SKIN"}]}}]`, v3Route+`PO"}]}}]`
	patch := snomedRoute + `45890007"}]}}]`
	house := strings.Replace(mouth, "http://terminology.hl7.org/CodeSystem/v3-RouteOfAdministration", "urn:house", 1)
	const diclofenac = "3355"
	for _, tt := range []struct{ name, rest, plain, any, systemic string }{
		{"ear", ear, "false", "true", "false"},
		{"skin", skin, "false", "true", "false"},
		{"by mouth", mouth, "true", "true", "true"},
		{"patch", patch, "true", "true", "true"},
		{"route of the house", house, "true", "true", "unknown no-data"},
		{"no route", "", "true", "true", "unknown no-data"},
		{"ear and skin", strings.TrimSuffix(ear, "]") +
			`,{"route":{"coding":[{"system":"http://snomed.info/sct","code":"6064005"}]}}]`, "false", "true", "false"},
		{"ear and by mouth", strings.TrimSuffix(ear, "]") +
			`,{"route":{"coding":[{"system":"http://snomed.info/sct","code":"26643006"}]}}]`, "true", "true",
			"unknown no-data"},
	} {
		for options, want := range map[string]string{`{"set":"nsaid"}`: tt.plain,
			`{"set":"nsaid","any_route":true}`: tt.any,
			`{"set":"nsaid","systemic":true}`:  tt.systemic} {
			a := ask(t, "", bundle(request("1", diclofenac, tt.rest)))
			if got := answerOf(a.fact("fhir.takes", options)); got != want {
				t.Errorf("%s, %s: %s, want %s", tt.name, options, got, want)
			}
		}
	}
}

func TestScheduledTaken(t *testing.T) {
	const prn, timed, inWords = `,"dosageInstruction":[{"asNeededBoolean":true}]`,
		`,"dosageInstruction":[{"timing":{"code":{"text":"BID"}}}]`, `,"dosageInstruction":[{"text":"as said"}]`
	for rest, want := range map[string]string{prn: "false", timed: "true", inWords: "unknown no-data"} {
		a := ask(t, "", bundle(request("1", warfarinCode, rest)))
		if got := answerOf(a.fact("fhir.takes", `{"set":"warfarin","scheduled":true}`)); got != want {
			t.Errorf("%s: %s, want %s", rest, got, want)
		}
		if got := answerOf(a.fact("fhir.takes", `{"set":"warfarin"}`)); got != "true" {
			t.Errorf("%s: %s", rest, got)
		}
	}
}

// TestDrugInPart asks about a product that the terminology does not have, and one
// ingredient of it.
func TestDrugInPart(t *testing.T) {
	part := func(status string) string {
		return `{"resourceType":"MedicationRequest","id":"d","status":"` + status + `","intent":"order",` +
			`"medicationCodeableConcept":{"coding":[{` + rxnorm + `,"code":"994005"},{` + rxnorm + `,"code":"7646"}]}}`
	}
	a := ask(t, bundle(part("draft")), bundle())
	for options, want := range map[string]string{`{"set":"gastroprotection"}`: "true",
		`{"set":"nsaid"}`: "unknown unresolved-reference"} {
		if got := answerOf(a.fact("fhir.order_in", options)); got != want {
			t.Errorf("order, %s: %s, want %s", options, got, want)
		}
		taken := ask(t, "", bundle(part("active")))
		if got := answerOf(taken.fact("fhir.takes", options)); got != want {
			t.Errorf("taken, %s: %s, want %s", options, got, want)
		}
	}
	if v := a.value("fhir.ingredient_count", `{"order":0}`); v.String() != ">= 1" || codes(v.Reasons) == "" {
		t.Errorf("ingredients: %s %v", v, v.Reasons)
	}
}

func TestQuestionsAboutTheOrder(t *testing.T) {
	const prn = `,"dosageInstruction":[{"asNeededBoolean":true}]`
	for _, tt := range []struct{ name, order, systemic, asNeeded, ingredients string }{
		{"tablets", draftOrder("d", ibuprofenCode, prn), "true", "true", "1"},
		{"ointment", draftOrder("d", "3355", v3Route+`SKIN"}]}}]`), "false", "unknown no-data", "1"},
		{"no route", draftOrder("d", "3355", `,"dosageInstruction":[{"timing":{}}]`), "unknown no-data", "false", "1"},
		{"in words", words("d"), "unknown no-data", "unknown no-data", "unknown"},
	} {
		a := ask(t, bundle(tt.order), bundle())
		for _, q := range [][2]string{{"fhir.systemic", tt.systemic}, {"fhir.as_needed", tt.asNeeded},
			{"fhir.selected", "unknown not-supplied"}} {
			if got := answerOf(a.fact(q[0], `{"order":0}`)); got != q[1] {
				t.Errorf("%s: %s: %s, want %s", tt.name, q[0], got, q[1])
			}
		}
		if got := a.value("fhir.ingredient_count", `{"order":0}`); got.String() != tt.ingredients {
			t.Errorf("%s: %s ingredients, want %s", tt.name, got, tt.ingredients)
		}
	}
}

func TestDrafted(t *testing.T) {
	all := bundle(draftOrder("d", ibuprofenCode, ""), draftOrder("e", warfarinCode, ""))
	for _, tt := range []struct{ name, drafts, options, want string }{
		{"another", all, `{"set":"warfarin"}`, "true"},
		{"itself", all, `{"set":"nsaid"}`, "true"},
		{"itself, but another is wanted", all, `{"set":"nsaid","other":true}`, "false"},
		{"none", all, `{"set":"corticosteroid"}`, "false"},
		{"no selections", all, `{"set":"warfarin","selected":true}`, "unknown not-supplied"},
		{"one in words", bundle(draftOrder("d", ibuprofenCode, ""), words("e")), `{"set":"warfarin"}`, "unknown text-only"},
		{"one in words beside the one", bundle(words("d"), draftOrder("e", warfarinCode, "")), `{"set":"warfarin"}`,
			"true"},
		{"eye drops", bundle(draftOrder("d", "3355", snomedRoute+`54485002"}]}}]`)), `{"set":"nsaid","any_route":false}`,
			"false"},
		{"eye drops, any route", bundle(draftOrder("d", "3355", snomedRoute+`54485002"}]}}]`)), `{"set":"nsaid"}`, "true"},
		{"drafts left out", strings.Replace(all, `"type"`, `"total":7,"type"`, 1), `{"set":"corticosteroid"}`,
			"unknown partial-result"},
	} {
		if got := answerOf(ask(t, tt.drafts, bundle()).fact("fhir.drafted", tt.options)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestSameClass(t *testing.T) {
	taken := bundle(request("1", naproxenCode, ""))
	for _, tt := range []struct{ name, order, source, options, want string }{
		{"two of a class", draftOrder("d", ibuprofenCode, ""), taken, `{"set":"nsaid"}`, "true"},
		{"the same drug", draftOrder("d", ibuprofenCode, ""), bundle(request("1", "5640", "")), `{"set":"nsaid"}`, "false"},
		{"of another class", draftOrder("d", warfarinCode, ""), taken, `{"set":"nsaid"}`, "false"},
		{"one of them ointment", draftOrder("d", "3355", v3Route+`SKIN"}]}}]`), taken, `{"set":"nsaid"}`, "false"},
		{"one of them ointment, any route", draftOrder("d", "3355", v3Route+`SKIN"}]}}]`), taken,
			`{"set":"nsaid","any_route":true}`, "true"},
		{"supply ended 40 days ago", draftOrder("d", ibuprofenCode, ""), bundle(request("1", naproxenCode,
			`,"authoredOn":"2026-01-01","dispenseRequest":{"expectedSupplyDuration":{"value":21,"unit":"d"}}`)),
			`{"set":"nsaid"}`, "unknown supply-ended"},
		{"not supplied", draftOrder("d", ibuprofenCode, ""), "", `{"set":"nsaid"}`, "unknown not-supplied"},
		{"in words", words("d"), taken, `{"set":"nsaid"}`, "unknown text-only"},
	} {
		f := ask(t, bundle(tt.order), tt.source).fact("fhir.same_class", tt.options)
		if got := answerOf(f); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if f.State == fact.Unknown && codes(f.Reasons) == "supply-ended" && !fact.Quiet(f.Reasons) {
			t.Errorf("%s: %v is loud", tt.name, f.Reasons)
		}
	}
}

// TestDrugCount counts drugs, not entries.
func TestDrugCount(t *testing.T) {
	dispensed := func(id, drug string) string {
		return med("MedicationDispense", id, drug,
			`,"status":"completed","whenHandedOver":"2026-02-20","daysSupply":{"value":30,"unit":"d"}`)
	}
	for _, tt := range []struct{ name, drafts, source, options, want string }{
		{"none", "", bundle(), `{}`, "0"},
		{"one of them three times", "", bundle(request("1", ibuprofenCode, ""), dispensed("2", "5640"),
			med("MedicationStatement", "3", ibuprofenCode, `,"status":"active"`)), `{"set":"nsaid"}`, "1"},
		{"two", "", bundle(request("1", ibuprofenCode, ""), request("2", naproxenCode, "")), `{"set":"nsaid"}`, "2"},
		{"two, and another set", "", bundle(request("1", ibuprofenCode, ""), request("2", warfarinCode, "")),
			`{"set":"nsaid"}`, "1"},
		{"any drug", "", bundle(request("1", ibuprofenCode, ""), request("2", warfarinCode, "")), `{}`, "2"},
		{"with the order", bundle(draftOrder("d", naproxenCode, "")), bundle(request("1", ibuprofenCode, "")),
			`{"set":"nsaid","with_order":true}`, "2"},
		{"without the order", bundle(draftOrder("d", naproxenCode, "")), bundle(request("1", ibuprofenCode, "")),
			`{"set":"nsaid"}`, "1"},
		{"one on hold", "", bundle(request("1", ibuprofenCode, ""), med("MedicationRequest", "2", naproxenCode,
			`,"status":"on-hold"`)), `{"set":"nsaid"}`, "1 to 2"},
		{"one that may be the same", "", bundle(request("1", ibuprofenCode, ""), med("MedicationRequest", "2", "5640",
			`,"status":"on-hold"`)), `{"set":"nsaid"}`, "1"},
		{"one in words", "", bundle(request("1", ibuprofenCode, ""), strings.Replace(words("w"), "draft", "active", 1)),
			`{"set":"nsaid"}`, ">= 1"},
		{"not all supplied", "", strings.Replace(bundle(request("1", ibuprofenCode, "")), `"type"`, `"total":3,"type"`, 1),
			`{"set":"nsaid"}`, ">= 1"},
		{"ointment", "", bundle(request("1", "3355", v3Route+`SKIN"}]}}]`)), `{"set":"nsaid"}`, "0"},
	} {
		if got := ask(t, tt.drafts, tt.source).value("fhir.drug_count", tt.options); got.String() != tt.want {
			t.Errorf("%s: %s, want %s (%v)", tt.name, got, tt.want, got.Reasons)
		}
	}
	a := ask(t, "", bundle(request("1", ibuprofenCode, ""), request("2", naproxenCode, `,"authoredOn":"2008-01-01",`+
		`"dispenseRequest":{"expectedSupplyDuration":{"value":10,"unit":"d"}}`)))
	a.value("fhir.drug_count", `{"set":"nsaid"}`)
	if f := a.fact("fact.greater_equal", `{"value":0}`, "2"); f.State != fact.Unknown || !fact.Quiet(f.Reasons) {
		t.Errorf("a second drug of 2008: %s", answerOf(f))
	}
}

func TestDaysTaken(t *testing.T) {
	for _, tt := range []struct{ name, source, want string }{
		{"since 15 February", bundle(request("1", warfarinCode, `,"authoredOn":"2026-02-15T15:00:00Z"`)), "15 days"},
		{"since February", bundle(request("1", warfarinCode, `,"authoredOn":"2026-02"`)), "1 to 29 days"},
		{"two of them", bundle(request("1", warfarinCode, `,"authoredOn":"2026-02-15T15:00:00Z"`),
			request("2", warfarinCode, `,"authoredOn":"2026-02-25T15:00:00Z"`)), "15 days"},
		{"nobody knows since when", bundle(request("1", warfarinCode, "")), ">= 0 days"},
		{"none", bundle(request("1", ibuprofenCode, "")), "absent"},
		{"stopped", bundle(med("MedicationRequest", "1", warfarinCode, `,"status":"stopped"`)), "absent"},
		{"on hold", bundle(med("MedicationRequest", "1", warfarinCode, `,"status":"on-hold"`)), "unknown"},
		{"not supplied", "", "unknown"},
	} {
		if got := ask(t, "", tt.source).value("fhir.days_taken", `{"set":"warfarin"}`); got.String() != tt.want {
			t.Errorf("%s: %s, want %s (%v)", tt.name, got, tt.want, got.Reasons)
		}
	}
}

func TestOverlap(t *testing.T) {
	period := func(id, drug, start, end string) string {
		if end != "" {
			end = `,"end":"` + end + `"`
		}
		return med("MedicationStatement", id, drug,
			`,"status":"completed","effectivePeriod":{"start":"`+start+`"`+end+`}`)
	}
	for _, tt := range []struct{ name, drafts, source, options, want string }{
		{"at the same time", "", bundle(period("1", warfarinCode, "2025-01-01", "2025-03-01"),
			period("2", ibuprofenCode, "2025-02-01", "2025-02-05")), ``, "true"},
		{"one after the other", "", bundle(period("1", warfarinCode, "2025-01-01", "2025-03-01"),
			period("2", ibuprofenCode, "2025-03-08", "2025-03-10")), ``, "false"},
		{"within the washout", "", bundle(period("1", warfarinCode, "2025-01-01", "2025-03-01"),
			period("2", ibuprofenCode, "2025-03-08", "2025-03-10")), `,"washout":"P14D"`, "true"},
		{"after the washout", "", bundle(period("1", warfarinCode, "2025-01-01", "2025-03-01"),
			period("2", ibuprofenCode, "2025-03-20", "2025-03-22")), `,"washout":"P14D"`, "false"},
		{"washout is of the first set alone", "", bundle(period("1", ibuprofenCode, "2025-01-01", "2025-03-01"),
			period("2", warfarinCode, "2025-03-08", "2025-03-10")), `,"washout":"P14D"`, "false"},
		{"in some month", "", bundle(period("1", warfarinCode, "2025-01-01", "2025-03"),
			period("2", ibuprofenCode, "2025-03-08", "2025-03-10")), ``, "unknown precision-insufficient"},
		{"both now", "", bundle(request("1", warfarinCode, ""), request("2", ibuprofenCode, "")), ``, "true"},
		{"the order from now on", bundle(draftOrder("d", ibuprofenCode, `,"authoredOn":"2026-03-02"`)),
			bundle(period("1", warfarinCode, "2025-01-01", "2026-02-25")), `,"washout":"P14D"`, "true"},
		{"dispensed one after the other", "", bundle(
			med("MedicationDispense", "1", warfarinCode,
				`,"status":"completed","whenHandedOver":"2025-01-01","daysSupply":{"value":30,"unit":"d"}`),
			med("MedicationDispense", "2", ibuprofenCode,
				`,"status":"completed","whenHandedOver":"2025-02-10","daysSupply":{"value":30,"unit":"d"}`)),
			``, "false"},
		{"only one of them", "", bundle(request("1", warfarinCode, "")), ``, "false"},
		{"one in words", "", bundle(request("1", warfarinCode, ""), strings.Replace(words("w"), "draft", "active", 1)), ``,
			"unknown text-only"},
		{"not supplied", "", "", ``, "unknown not-supplied"},
	} {
		f := ask(t, tt.drafts, tt.source).fact("fhir.overlap", `{"set":"warfarin","with":"nsaid"`+tt.options+`}`)
		if got := answerOf(f); got != tt.want {
			t.Errorf("%s: %s, want %s (%v)", tt.name, got, tt.want, f.Evidence)
		}
	}
}

// TestTakenIsStable holds that an entry nobody asks about, another order of the
// entries, and an entry that comes twice change no answer.
func TestTakenIsStable(t *testing.T) {
	resources := []string{
		request("1", warfarinCode, ""), request("2", ibuprofenCode, `,"authoredOn":"2026-01-01"`),
		request("3", warfarinCode, `,"authoredOn":"2008-01-01",`+
			`"dispenseRequest":{"expectedSupplyDuration":{"value":10,"unit":"d"}}`),
		med("MedicationRequest", "4", naproxenCode, `,"status":"on-hold"`),
		med("MedicationDispense", "5", warfarinCode, `,"status":"completed","whenHandedOver":"2025-11-01"`),
		med("MedicationStatement", "6", "3355",
			`,"status":"completed","effectivePeriod":{"start":"2025","end":"2026-02-25"}`),
		request("7", "3355", v3Route+`SKIN"}]}}]`), strings.Replace(words("8"), "draft", "active", 1),
		med("MedicationAdministration", "9", ibuprofenCode,
			`,"status":"completed","effectiveDateTime":"2026-03-02T08:00:00Z"`),
	}
	const nobodyAsks = "10438" // theophylline, of none of the sets
	questions := [][2]string{{"fhir.takes", `{"set":"warfarin"}`}, {"fhir.takes", `{"set":"nsaid","within":"P30D"}`},
		{"fhir.takes", `{"set":"nsaid","systemic":true}`}, {"fhir.overlap", `{"set":"warfarin","with":"nsaid"}`}}
	rapid.Check(t, func(r *rapid.T) {
		list := rapid.SliceOfNDistinct(rapid.SampledFrom(resources), 0, 5, rapid.ID[string]).Draw(r, "resources")
		other := rapid.Permutation(list).Draw(r, "in another order")
		other = append(other, request("n", nobodyAsks, ""))
		for _, x := range list {
			if rapid.Bool().Draw(r, "twice") {
				other = append(other, x)
			}
		}
		a, b := ask(t, "", bundle(list...)), ask(t, "", bundle(other...))
		for _, q := range questions {
			f, g := a.fact(q[0], q[1]), b.fact(q[0], q[1])
			same := f.State == g.State && len(f.Reasons) == len(g.Reasons) &&
				len(fact.Merge(f.Reasons, g.Reasons)) == len(f.Reasons)
			if !same {
				r.Fatalf("%s %s: %s and %s", q[0], q[1], answerOf(f), answerOf(g))
			}
		}
		v, w := a.value("fhir.drug_count", `{"set":"nsaid"}`), b.value("fhir.drug_count", `{"set":"nsaid"}`)
		if v.String() != w.String() {
			r.Fatalf("%s and %s", v, w)
		}
		// What is taken out of a source that says it is not whole turns no answer around.
		if len(list) == 0 {
			return
		}
		less := ask(t, "", strings.Replace(bundle(list[1:]...), `"type"`, `"total":9,"type"`, 1))
		for _, q := range questions {
			if f, g := a.fact(q[0], q[1]), less.fact(q[0], q[1]); g.State != fact.Unknown && g.State != f.State &&
				f.State != fact.Unknown || g.State == fact.False {
				r.Fatalf("%s %s: %s, without one %s", q[0], q[1], answerOf(f), answerOf(g))
			}
		}
	})
}
