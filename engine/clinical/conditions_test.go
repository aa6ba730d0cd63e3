package clinical

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/fact"
)

// says is a fact in short: its state and the codes of its reasons.
func says(f *fact.Fact) string {
	return strings.TrimSpace(f.State.String() + " " + codes(f.Reasons))
}

const snomed = "http://snomed.info/sct"

func coding(system, code string) string { return fmt.Sprintf(`{"system":%q,"code":%q}`, system, code) }

func concept(codings ...string) string { return `{"coding":[` + strings.Join(codings, ",") + `]}` }

// problem writes a Condition with codings and other members.
func problem(codings, rest string) string {
	return `{"resourceType":"Condition","id":"c","code":{"coding":[` + codings + `]}` + rest + `}`
}

// clinical and verified write the status of a Condition.
func clinical(code string) string {
	return `,"clinicalStatus":` + concept(coding("http://terminology.hl7.org/CodeSystem/condition-clinical", code))
}

func verified(code string) string {
	const system = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
	return `,"verificationStatus":` + concept(coding(system, code))
}

var activeConfirmed = clinical("active") + verified("confirmed")

// bleeds asks about the condition that a Condition of the given codings and other
// members may be.
func bleeds(t *testing.T, codings, rest, options string) *fact.Fact {
	t.Helper()
	return ask(t, "", bundle(problem(codings, rest))).fact("fhir.condition", `{"set":"upper_gi_bleed"`+options+`}`)
}

// TestConditionCompetence holds that a condition is not of the set only if one of
// its codings is of a system that the set has codes of.
func TestConditionCompetence(t *testing.T) {
	const bleed, other, local = "74474003", "38341003", "urn:oid:1.2.3.4"
	const nullFlavor = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
	const ips = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
	icd, display := coding(chart.ICD10CM, "K25.4"), `{"system":"http://snomed.info/sct","display":"Gastric bleeding"}`
	for name, tt := range map[string]struct{ codings, want string }{
		"of the set":                         {coding(snomed, bleed), "true"},
		"another of the system":              {coding(snomed, other), "false"},
		"of the set, by the second":          {coding(local, "B1") + "," + coding(snomed, bleed), "true"},
		"another, and a local code":          {coding(local, "B1") + "," + coding(snomed, other), "false"},
		"a local code":                       {coding(local, "B1"), "unknown unknown-code"},
		"ICD-10-CM only":                     {icd, "unknown unknown-code"},
		"ICD-10-CM, and another":             {icd + "," + coding(snomed, other), "false"},
		"no system":                          {`{"code":"74474003"}`, "unknown unknown-code"},
		"an empty system":                    {coding("", bleed), "unknown unknown-code"},
		"a null flavour":                     {coding(nullFlavor, "UNK"), "unknown unknown-code"},
		"no code":                            {display, "unknown unknown-code"},
		"a code of blanks":                   {coding(snomed, "  "), "unknown unknown-code"},
		"a code with a blank":                {coding(snomed, bleed+" "), "unknown unknown-code"},
		"an expression":                      {coding(snomed, bleed+":363698007=1"), "unknown unknown-code"},
		"the OID of the system":              {coding("urn:oid:2.16.840.1.113883.6.96", bleed), "true"},
		"the OID of the system, another":     {coding("urn:oid:2.16.840.1.113883.6.96", other), "false"},
		"https and a slash":                  {coding("https://snomed.info/sct/", bleed), "true"},
		"nothing to list, by IPS":            {coding(ips, "no-known-problems"), "false"},
		"nobody knows whether there is, IPS": {coding(ips, "no-problem-info"), "unknown unknown-code"},
		"no codings at all":                  {"", "unknown unknown-code"},
	} {
		f := bleeds(t, tt.codings, activeConfirmed, "")
		if got := says(f); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if (f.State == fact.Unknown) != (len(f.Evidence) == 1 && f.State != fact.True) {
			t.Errorf("%s: evidence %v", name, f.Evidence)
		}
	}
	for _, spelling := range []string{"http://snomed.info/sct/731000124108/version/20230901",
		"http://SNOMED.info/SCT", "http://snomed.info/sct|http://snomed.info/sct/731000124108"} {
		if f := bleeds(t, coding(spelling, other), activeConfirmed, ""); f.State == fact.True {
			t.Errorf("%s: another condition is the one", spelling)
		}
		if f := bleeds(t, coding(spelling, bleed), activeConfirmed, ""); f.State == fact.False {
			t.Errorf("%s: the condition is not the one", spelling)
		}
	}
}

// TestWellFormed holds which codes can be of their system at all.
func TestWellFormed(t *testing.T) {
	for system, list := range map[string]string{
		snomed: "+74474003 -7447a -", chart.ICD10CM: "+K25 +K25.4 +O09.211 +V95.43XA -K254 -K25. -k25.4 -K2",
		chart.CVX: "+03 +94 -MMR", "http://example.org/x": "+a-1 -", chart.RxNorm: "+855350 -x",
	} {
		for word := range strings.SplitSeq(list, " ") {
			if got := wellFormed(chart.Coding{System: system, Code: word[1:]}); got != (word[0] == '+') {
				t.Errorf("%s of %s: %v", word, system, got)
			}
		}
	}
	if wellFormed(chart.Coding{System: "http://example.org/x", Code: "a b"}) {
		t.Error("a code with a blank")
	}
}

// TestConditionStrength is which verification status is enough for what is asked.
func TestConditionStrength(t *testing.T) {
	const open = "unknown wrong-status"
	for _, tt := range []struct{ status, none, confirmed, probable, every string }{
		{"confirmed", "true", "true", "true", "true"},
		{"", "true", open, "true", "true"},
		{"provisional", open, open, "true", "true"},
		{"differential", open, open, open, "true"},
		{"unconfirmed", open, open, open, "true"},
		{"dubious", open, open, open, open},
		{"refuted", "false", "false", "false", "false"},
		{"entered-in-error", "false", "false", "false", "false"},
	} {
		rest := ""
		if tt.status != "" {
			rest = verified(tt.status)
		}
		a := ask(t, "", bundle(problem(coding(snomed, "74474003"), rest)))
		for strength, want := range map[string]string{"": tt.none, `,"strength":"confirmed"`: tt.confirmed,
			`,"strength":"probable"`: tt.probable, `,"strength":"any"`: tt.every} {
			if got := says(a.fact("fhir.condition", `{"set":"upper_gi_bleed"`+strength+`}`)); got != want {
				t.Errorf("%q%s: %s, want %s", tt.status, strength, got, want)
			}
		}
	}
}

// TestConditionNow is how status and dates say whether a condition is there now.
func TestConditionNow(t *testing.T) {
	status := func(code, rest string) string { return clinical(code) + rest }
	const ambiguous, implausible = "unknown ambiguous", "unknown implausible"
	for name, tt := range map[string]struct{ rest, now, ever string }{
		"resolved, to abate next year": {status("resolved", `,"abatementDateTime":"2027"`), ambiguous, "true"},
		"resolved, not abated":         {status("resolved", `,"abatementBoolean":false`), ambiguous, "true"},
		"resolved, abated":             {status("resolved", `,"abatementDateTime":"2020"`), "false", "true"},
		"resolved, abated some time":   {status("resolved", `,"abatementString":"in childhood"`), "false", "true"},
		"active, abated some time":     {status("active", `,"abatementString":"in childhood"`), ambiguous, "true"},
		"a status of R5":               {status("unknown", ""), "unknown wrong-status", "true"},
		"a status of nobody's list":    {status("chronic", ""), "unknown wrong-status", "true"},
		"a status of R5, abated":       {status("unknown", `,"abatementDateTime":"2020"`), "false", "true"},
		"to begin next year":           {status("active", `,"onsetDateTime":"2027"`), implausible, implausible},
		"resolved, begun once":         {status("resolved", `,"onsetPeriod":{"start":"2019"}`), "false", "true"},
	} {
		a := ask(t, "", bundle(problem(coding(snomed, "74474003"), tt.rest)))
		for ever, want := range map[string]string{"false": tt.now, "true": tt.ever} {
			if got := says(a.fact("fhir.condition", `{"set":"upper_gi_bleed","ever":`+ever+`}`)); got != want {
				t.Errorf("%s, ever %s: %s, want %s", name, ever, got, want)
			}
		}
	}
}

// TestConditionCategoryAndWindow is what further options leave.
func TestConditionCategoryAndWindow(t *testing.T) {
	category := func(system string, list ...string) string {
		var all []string
		for _, c := range list {
			all = append(all, concept(coding(system, c)))
		}
		return `,"category":[` + strings.Join(all, ",") + `]`
	}
	const stu3 = "http://hl7.org/fhir/condition-category"
	const r4, usCore = "http://terminology.hl7.org/CodeSystem/condition-category",
		"http://hl7.org/fhir/us/core/CodeSystem/condition-category"
	const problems, imprecise = `"category":"problem-list-item"`, "unknown precision-insufficient"
	for name, tt := range map[string]struct{ rest, options, want string }{
		"of the problem list":      {category(r4, "problem-list-item"), problems, "true"},
		"of both":                  {category(r4, "encounter-diagnosis", "problem-list-item"), problems, "true"},
		"of the encounter":         {category(r4, "encounter-diagnosis"), problems, "false"},
		"of the encounter, wanted": {category(r4, "encounter-diagnosis"), `"category":"encounter-diagnosis"`, "true"},
		"a health concern":         {category(usCore, "health-concern"), problems, "false"},
		"of STU3":                  {category(stu3, "problem-list-item"), problems, "true"},
		"a local category":         {category("urn:oid:1.2.3", "PL"), problems, "unknown unknown-code"},
		"no category":              {"", problems, "unknown unknown-code"},

		"begun in the window": {`,"onsetDateTime":"2026-02-20"`, `"within":"P1M"`, "true"},
		"begun before":        {`,"onsetDateTime":"2025-02-20"`, `"within":"P1M"`, "false"},
		"begun before, recorded inside": {`,"onsetDateTime":"2025","recordedDate":"2026-02"`, `"within":"P1M"`,
			"false"},
		"recorded inside":       {`,"recordedDate":"2026-02-20"`, `"within":"P1M"`, "true"},
		"recorded inside, STU3": {`,"assertedDate":"2026-02-20"`, `"within":"P1M"`, "true"},
		"recorded before":       {`,"recordedDate":"2025"`, `"within":"P1M"`, "false"},
		"recorded inside, onset in words": {`,"onsetString":"long ago","recordedDate":"2026-02-20"`, `"within":"P1M"`,
			imprecise},
		"the month the window begins in": {`,"onsetDateTime":"2026-02"`, `"within":"P14D"`, imprecise},
		"no date":                        {"", `"within":"P1M"`, imprecise},
		"resolved since, ever": {`,"onsetDateTime":"2026-02-20","clinicalStatus":` + concept(`{"code":"resolved"}`),
			`"within":"P1M","ever":true`, "true"},
	} {
		if got := says(bleeds(t, coding(snomed, "74474003"), tt.rest, ","+tt.options)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// partial is a Bundle that says there are more pages.
func partial(resources ...string) string {
	return strings.Replace(bundle(resources...), `"type"`, `"link":[{"relation":"next","url":"x"}],"type"`, 1)
}

// losing holds that an answer about a complete chart stays the same, or becomes
// unknown, when some resources are lost and their source says that it is partial.
func losing(t *testing.T, resource *rapid.Generator[string], answer func(asked) string) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(resource, 0, 4).Draw(rt, "resources")
		for i := range all {
			all[i] = strings.Replace(all[i], `"id":"c"`, fmt.Sprintf(`"id":"c%d"`, i), 1)
		}
		whole := answer(ask(t, "", bundle(all...)))
		var kept []string
		for _, r := range all {
			if rapid.Bool().Draw(rt, "kept") {
				kept = append(kept, r)
			}
		}
		part := answer(ask(t, "", partial(kept...)))
		if part != whole && part != "unknown" {
			rt.Fatalf("%s with everything, %s with %d of %d:\n%s", whole, part, len(kept), len(all),
				strings.Join(all, "\n"))
		}
	})
}

// orderless holds that the order of resources, and the same ones twice, change nothing.
func orderless(t *testing.T, resource *rapid.Generator[string], answer func(asked) string) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(resource, 1, 4).Draw(rt, "resources")
		for i := range all {
			all[i] = strings.Replace(all[i], `"id":"c"`, fmt.Sprintf(`"id":"c%d"`, i), 1)
		}
		other := rapid.Permutation(append(all[:len(all):len(all)], all[0])).Draw(rt, "other")
		one, two := answer(ask(t, "", bundle(all...))), answer(ask(t, "", bundle(other...)))
		if one != two {
			rt.Fatalf("%s, and %s in another order:\n%s", one, two, strings.Join(other, "\n"))
		}
	})
}

// someCondition draws conditions of every kind of code, status and date.
var someCondition = rapid.Custom(func(t *rapid.T) string {
	code := rapid.SampledFrom([]string{coding(snomed, "74474003"), coding(snomed, "38341003"),
		coding("urn:oid:1.2.3", "x"), ""}).Draw(t, "code")
	rest := rapid.SampledFrom([]string{"", activeConfirmed, clinical("resolved"), verified("refuted"),
		verified("provisional")}).Draw(t, "status")
	rest += rapid.SampledFrom([]string{"", `,"onsetDateTime":"2026-02-20"`, `,"onsetDateTime":"2020"`,
		`,"abatementDateTime":"2021"`}).Draw(t, "date")
	return problem(code, rest)
})

func TestLosingConditions(t *testing.T) {
	for _, options := range []string{"", `,"ever":true`, `,"within":"P14D"`, `,"strength":"any"`} {
		answer := func(a asked) string {
			return a.fact("fhir.condition", `{"set":"upper_gi_bleed"`+options+`}`).State.String()
		}
		losing(t, someCondition, answer)
		orderless(t, someCondition, answer)
	}
}
