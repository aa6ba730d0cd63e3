package decide_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
)

const (
	rxnormSystem = `"system":"http://www.nlm.nih.gov/research/umls/rxnorm"`
	subject      = `"subject":{"reference":"Patient/p1"}`
	metformin    = "6809"
	naproxen     = "7258"
	warfarin     = "11289"
	omeprazole   = "7646"
)

// medication writes an order or a statement about a drug, with further members.
func medication(typ, id, drug, more string) string {
	return `{"resourceType":"` + typ + `",` + id + `"medicationCodeableConcept":{"coding":[{` + rxnormSystem +
		`,"code":"` + drug + `"}]},"authoredOn":"2026-02-01"` + more + `}`
}

func named(id string) string { return `"id":"` + id + `",` }

// scr writes a result that makes the eGFR of the patient 27.
func scr(about string) string {
	return `{"resourceType":"Observation","id":"scr","status":"final",` + about +
		`,"code":{"coding":[{"system":"http://loinc.org","code":"2160-0"}]},"effectiveDateTime":"2026-03-01T08:00:00Z",` +
		`"valueQuantity":{"value":2.5,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}`
}

func set(resources ...string) string {
	entries := make([]string, len(resources))
	for i, r := range resources {
		entries[i] = `{"resource":` + r + `}`
	}
	return `{"resourceType":"Bundle","type":"searchset","entry":[` + strings.Join(entries, ",") + `]}`
}

// orderSign writes a call with drafts, and with sources under the standard keys:
// those not given came empty.
func orderSign(drafts []string, sources map[string]string) []byte {
	prefetch := map[string]json.RawMessage{"patient": json.RawMessage(
		`{"resourceType":"Patient","id":"p1","gender":"male","birthDate":"1956-01-01"}`)}
	for _, key := range []string{"conditions", "medications", "statements", "dispenses", "administrations", "labs"} {
		prefetch[key] = json.RawMessage("null")
	}
	for key, value := range sources {
		prefetch[key] = json.RawMessage(value)
	}
	text, err := json.Marshal(prefetch)
	if err != nil {
		panic(err)
	}
	return []byte(strings.Replace(string(decidetest.WithDrafts(set(drafts...))), `"prefetch":{}`,
		`"prefetch":`+string(text), 1))
}

func outcome(t *testing.T, d *decision.Decision, rule string) decision.Outcome {
	t.Helper()
	return decidetest.Finding(t, d, rule).Outcome
}

// TestOrderOfAnotherPatient holds that no rule is asked about an order for somebody
// else, and that card and record say so.
func TestOrderOfAnotherPatient(t *testing.T) {
	b := decidetest.New(t)
	for about, ours := range map[string]bool{
		subject:                                true,
		`"subject":null`:                       true, // the call itself says whose it is
		`"subject":{"reference":"Patient/p2"}`: false,
		`"subject":{"reference":"https://other.example/fhir/Patient/p1"}`: false,
		`"subject":{"identifier":{"value":"p1"}}`:                         false,
	} {
		d := b.Decide(t, b.Inputs(t, orderSign(
			[]string{medication("MedicationRequest", named("d1"), metformin, `,"status":"draft",`+about)},
			map[string]string{"labs": set(scr(subject))})))
		asked := slices.ContainsFunc(d.Findings, func(f decision.Finding) bool {
			return f.Rule == "renal_dosing/metformin-contraindicated" && f.Outcome == decision.Fired
		})
		if asked != ours {
			t.Errorf("%s: asked %v", about, asked)
		}
		if ours {
			continue
		}
		f := decidetest.Finding(t, d, decision.Unidentified)
		said := slices.ContainsFunc(d.Notes, func(n decision.Note) bool {
			return n.Code == "order-not-this-patient" && n.Subject == "MedicationRequest/d1"
		})
		if f.Outcome != decision.Unknown || f.Fact.Reasons[0].Code != fact.NotThisPatient || !said {
			t.Errorf("%s: %+v, notes %v", about, f.Fact, d.Notes)
		}
		cards := decidetest.Cards(t, d.Response)
		if len(cards) != 1 || !strings.Contains(cards[0].Detail, "not shown to be for this patient") ||
			strings.Contains(cards[0].Detail, "no code") {
			t.Errorf("%s: cards %+v", about, cards)
		}
	}
}

// TestResultOfAnotherPatient holds that a result that is not shown to be this
// patient's leaves its value open.
func TestResultOfAnotherPatient(t *testing.T) {
	b := decidetest.New(t)
	for about, want := range map[string]decision.Outcome{
		subject: decision.Fired,
		`"subject":{"reference":"https://EHR.north.example:443/fhir/R4/Patient/p1/_history/2"}`: decision.Fired,
		`"subject":{"reference":"https://other.example/fhir/Patient/p1"}`:                       decision.Unknown,
		`"subject":{"reference":"http://ehr.north.example/fhir/R4/Patient/other"}`:              decision.Unknown,
		`"subject":{"display":"p1"}`:                                                   decision.Unknown,
		subject + `,"focus":[{"reference":"RelatedPerson/fetus"}]`:                     decision.Unknown,
		subject + `,"modifierExtension":[{"url":"http://x.example/not"}]`:              decision.Unknown,
		subject + `,"implicitRules":"http://x.example/rules"`:                          decision.Unknown,
		subject + `,"component":[{"modifierExtension":[{"url":"http://x.example/"}]}]`: decision.Unknown,
	} {
		d := b.Decide(t, b.Inputs(t, orderSign(
			[]string{medication("MedicationRequest", named("d1"), metformin, `,"status":"draft",`+subject)},
			map[string]string{"labs": set(scr(about))})))
		if got := outcome(t, d, "renal_dosing/metformin-contraindicated"); got != want {
			t.Errorf("%s: %s, want %s", about, got, want)
		}
	}
}

// TestProtectionThatIsNotUnderstood holds that a drug on record whose entry says
// more than is understood, or is somebody else's, neither protects nor is missing.
func TestProtectionThatIsNotUnderstood(t *testing.T) {
	b := decidetest.New(t)
	for more, want := range map[string]decision.Outcome{
		`,"status":"active",` + subject: decision.NotFired,
		`,"status":"active",` + subject + `,"modifierExtension":[{"url":"http://x.example/not-taken"}]`: decision.Unknown,
		`,"status":"active",` + subject + `,"implicitRules":"http://x.example/rules"`:                   decision.Unknown,
		`,"status":"active",` + subject + `,"dosageInstruction":[{"modifierExtension":[{"url":"u"}]}]`:  decision.Unknown,
		`,"status":"active",` + subject + `,"doNotPerform":"true"`:                                      decision.Fired,
		`,"status":"active",` + subject + `,"doNotPerform":"perhaps"`:                                   decision.Unknown,
		`,"status":"active","subject":{"reference":"http://ehr.north.example/fhir/R4/Patient/other"}`:   decision.Unknown,
	} {
		d := b.Decide(t, b.Inputs(t, orderSign(
			[]string{medication("MedicationRequest", named("d1"), naproxen, `,"status":"draft",`+subject+
				`,"dosageInstruction":[{"route":{"coding":[{"system":"http://snomed.info/sct","code":"26643006"}]}}]`)},
			map[string]string{"medications": set(
				medication("MedicationRequest", named("w"), warfarin, `,"status":"active",`+subject),
				medication("MedicationRequest", named("p"), omeprazole, more))})))
		if got := outcome(t, d, "nsaid_anticoagulant/nsaid-unprotected"); got != want {
			t.Errorf("%s: %s, want %s", more, got, want)
		}
	}
}

// TestOrderThatIsNotUnderstood holds that no rule says anything certain of an order
// that says more than is understood.
func TestOrderThatIsNotUnderstood(t *testing.T) {
	b := decidetest.New(t)
	for _, more := range []string{`"modifierExtension":[{"url":"http://x.example/not"}]`,
		`"implicitRules":"http://x.example/rules"`, `"doNotPerform":"no"`} {
		d := b.Decide(t, b.Inputs(t, orderSign(
			[]string{medication("MedicationRequest", named("d1"), metformin, `,"status":"draft",`+subject+`,`+more)},
			map[string]string{"labs": set(scr(subject))})))
		for i := range d.Findings {
			if f := &d.Findings[i]; f.Outcome != decision.Unknown || f.Fact.Op != decision.OrderUnderstood ||
				len(f.Fact.Evidence) != 1 || f.Fact.Evidence[0].Ref != "MedicationRequest/d1" {
				t.Errorf("%s: %s is %s, %+v", more, f.Rule, f.Outcome, f.Fact)
			}
		}
		if len(d.Findings) == 0 || len(decidetest.Cards(t, d.Response)) == 0 {
			t.Errorf("%s: nothing is said", more)
		}
	}
}

// TestActionsNeedATarget holds that nothing is deleted under a name that is not the
// draft's own.
func TestActionsNeedATarget(t *testing.T) {
	b := decidetest.New(t)
	draft := func(id, drug string) string {
		return medication("MedicationRequest", id, drug, `,"status":"draft",`+subject)
	}
	for name, tt := range map[string]struct {
		drafts []string
		want   []string
	}{
		"an id":            {[]string{draft(named("d1"), metformin)}, []string{"MedicationRequest/d1"}},
		"no id":            {[]string{draft("", metformin)}, nil},
		"two without id":   {[]string{draft("", metformin), draft("", naproxen)}, nil},
		"two under one id": {[]string{draft(named("d1"), metformin), draft(named("d1"), naproxen)}, nil},
	} {
		d := b.Decide(t, b.Inputs(t, orderSign(tt.drafts, map[string]string{
			"labs":        set(scr(subject)),
			"medications": set(medication("MedicationRequest", named("w"), warfarin, `,"status":"active",`+subject))})))
		var targets []string
		cards := decidetest.Cards(t, d.Response)
		for _, c := range cards {
			for _, s := range c.Suggestions {
				for _, a := range s.Actions {
					if a.Type == "delete" {
						targets = append(targets, a.ResourceID)
					}
				}
			}
			if len(c.Suggestions) == 0 && c.SelectionBehavior != "" {
				t.Errorf("%s: a card without suggestions says how to select them", name)
			}
		}
		critical := func(c cdshooks.Card) bool { return c.Indicator == cdshooks.Critical }
		if !slices.Equal(targets, tt.want) || !slices.ContainsFunc(cards, critical) {
			t.Errorf("%s: deletes %q of %d cards, want %q", name, targets, len(cards), tt.want)
		}
	}
}

// TestMalformedPrefetch holds that what nobody asked for is noted, and that what the
// service asks for is refused.
func TestMalformedPrefetch(t *testing.T) {
	b := decidetest.New(t)
	call := func(key, value string) []byte {
		return orderSign([]string{medication("MedicationRequest", named("d1"), metformin, `,"status":"draft",`+subject)},
			map[string]string{"labs": set(scr(subject)), key: value})
	}
	for _, value := range []string{`7`, `"x"`, `{}`, `[{"resourceType":"Observation"}]`,
		`{"resourceType":"Bundle","entry":[{"resource":{"id":"x"}}]}`} {
		d := b.Decide(t, b.Inputs(t, call("nobodys", value)))
		if got := outcome(t, d, "renal_dosing/metformin-contraindicated"); got != decision.Fired {
			t.Errorf("%s: %s", value, got)
		}
		if len(d.Notes) != 1 || d.Notes[0].Code != "prefetch-malformed" ||
			!strings.HasPrefix(d.Notes[0].Text, "prefetch.nobodys") {
			t.Errorf("%s: notes %v", value, d.Notes)
		}
		_, err := b.Materials.Decide(t.Context(), b.Inputs(t, call("statements", value)))
		decidetest.WantError(t, err, chart.ErrShape)
		if !strings.Contains(err.Error(), "prefetch.statements") {
			t.Errorf("%s: %v does not name the key", value, err)
		}
	}
}

// TestTimeShownTwice holds that a result whose time the clocks showed twice does not
// pass for older, or newer, than another of that hour.
func TestTimeShownTwice(t *testing.T) {
	b := decidetest.New(t)
	at := func(id, when, value string) string {
		r := strings.Replace(scr(subject), `"id":"scr"`, `"id":"`+id+`"`, 1)
		r = strings.Replace(r, "2026-03-01T08:00:00Z", when, 1)
		return strings.Replace(r, `"value":2.5`, `"value":`+value, 1)
	}
	// the clocks of the tenant are put back at 2:00 on 2 November 2025
	d := b.Decide(t, b.Inputs(t, orderSign(
		[]string{medication("MedicationRequest", named("d1"), metformin, `,"status":"draft",`+subject)},
		map[string]string{"labs": set(at("a", "2025-11-02T01:30:00", "3.0"),
			at("b", "2025-11-02T01:45:00-04:00", "0.9"))})))
	if got := outcome(t, d, "renal_dosing/metformin-contraindicated"); got != decision.Unknown {
		t.Errorf("with two results that may be the newest: %s", got)
	}
}
