package decide_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
)

func TestDifferencesAreNamed(t *testing.T) {
	b := decidetest.New(t)
	in := b.Inputs(t, decidetest.Patient(t, "metformin-egfr-27"))
	for _, c := range []struct {
		name   string
		change func(*decision.Decision)
		want   []string // in the order of the differences
	}{
		{"a byte of the answer", func(d *decision.Decision) { d.Response[20] ^= 1 }, []string{"response: was"}},
		{"an outcome", func(d *decision.Decision) { d.Findings[2].Outcome = decision.NotFired },
			[]string{"metformin-contraindicated on MedicationRequest/syn-draft"}},
		{"a finding left out", func(d *decision.Decision) { d.Findings = d.Findings[1:] },
			[]string{"was not asked, is not"}},
		{"a finding made up", func(d *decision.Decision) {
			d.Findings = append(d.Findings, decision.Finding{Rule: "x/y", Subject: "patient", Outcome: decision.Fired})
		}, []string{"x/y on patient: was fired, is not asked"}},
		{"the card of a finding", func(d *decision.Decision) { d.Findings[2].Card = "" },
			[]string{"with other facts"}},
		{"a note", func(d *decision.Decision) { d.Notes = []decision.Note{{Code: "x"}} },
			[]string{"notes of the decision"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := b.Decide(t, in)
			d.Response = bytes.Clone(d.Response)
			c.change(d)
			r, err := b.Materials.Replay(t.Context(), in, d)
			decidetest.Must(t, err)
			if r.Same || len(r.Differences) != len(c.want) {
				t.Fatalf("same %v, differences %v", r.Same, r.Differences)
			}
			for i, part := range c.want {
				if text := r.Differences[i].String(); !strings.Contains(text, part) {
					t.Errorf("difference %d is %q; want %q in it", i, text, part)
				}
			}
		})
	}
}

func TestReplayNeedsTheLibrary(t *testing.T) {
	b := decidetest.New(t)
	in := b.Inputs(t, decidetest.Patient(t, "clean"))
	d := b.Decide(t, in)
	in.Engine.Library = "0.9.0"
	_, err := b.Materials.Replay(t.Context(), in, d)
	decidetest.WantError(t, err, decide.ErrLibrary)
	if !strings.Contains(err.Error(), "0.9.0") {
		t.Errorf("error does not name the library: %v", err)
	}
}

func TestRuleThatFailsHurtsOnlyItself(t *testing.T) {
	card := func(object string) string { return decidetest.AlwaysTrue + "\n\ncard := " + object }
	for _, c := range []struct {
		name string
		rule decidetest.Rule
		code string // of the error
	}{
		{"undefined holds", decidetest.Rule{Body: "holds := fact.greater(fhir.age({\"unit\": \"a\"}), 0) if 1 == 2\n\n" + decidetest.PlainCard}, "undefined"},
		{"conflict", decidetest.Rule{Body: "holds := fact.greater(fhir.age({\"unit\": \"a\"}), 0) if 1 == 1\n\nholds := fact.greater(fhir.age({\"unit\": \"a\"}), 1) if 2 == 2\n\n" + decidetest.PlainCard}, "conflict"},
		{"built-in error", decidetest.Rule{Body: `holds := fact.less(fhir.age({"unit": "a"}), 1 / count([]))` +
			"\n\n" + decidetest.PlainCard}, "builtin"},
		{"limits the wrong way round",
			decidetest.Rule{Body: `holds := fact.within(fhir.age({"unit": "a"}), 9, 1)` + "\n\n" +
				decidetest.PlainCard}, "builtin"},
		{"card undefined", decidetest.Rule{Body: decidetest.AlwaysTrue + "\n\ncard := {\"summary\": \"x\"} if 1 == 2"},
			"card"},
		{"card without summary", decidetest.Rule{Body: card(`{"detail": "x"}`)}, "card"},
		{"empty summary", decidetest.Rule{Body: card(`{"summary": ""}`)}, "card"},
		{"summary of spaces", decidetest.Rule{Body: card(`{"summary": " \n "}`)}, "card"},
		{"unknown member", decidetest.Rule{Body: card(`{"summary": "x", "colour": "red"}`)}, "card"},
		{"summary is a number", decidetest.Rule{Body: card(`{"summary": 7}`)}, "card"},
		{"card is an array", decidetest.Rule{Body: card(`[1]`)}, "card"},
		{"suggestion is a string", decidetest.Rule{Body: card(`{"summary": "x", "suggestions": ["remove"]}`)}, "card"},
		{"link without url", decidetest.Rule{Body: card(`{"summary": "x", "links": [{"label": "y"}]}`)}, "card"},
		{"link with empty label", decidetest.Rule{Body: card(
			`{"summary": "x", "links": [{"label": "", "url": "https://a.example"}]}`)}, "card"},
		{"link with empty url", decidetest.Rule{Body: card(`{"summary": "x", "links": [{"label": "y", "url": ""}]}`)},
			"card"},
		{"link that is a script", decidetest.Rule{Body: card(
			`{"summary": "x", "links": [{"label": "y", "url": "javascript:alert(1)"}]}`)}, "card"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := decidetest.NewWith(t, []decidetest.Rule{withID(c.rule, "bad"), decidetest.RuleFires})
			d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean")))
			f := decidetest.Finding(t, d, "trial/bad")
			if f.Outcome != decision.Failed || f.Error == nil || c.code != "" && f.Error.Code != c.code {
				t.Fatalf("finding: %+v, error %+v; want error %s", f, f.Error, c.code)
			}
			if ok := decidetest.Finding(t, d, "trial/fires"); ok.Outcome != decision.Fired || ok.Card == "" {
				t.Errorf("the other rule: %+v", ok)
			}
			list := decidetest.Cards(t, d.Response)
			if len(list) != 2 || !decidetest.HasCard(list, "1 safety check was not done") ||
				!decidetest.HasCard(list, "It holds") {
				t.Errorf("cards: %s", d.Response)
			}
		})
	}
}

func withID(r decidetest.Rule, id string) decidetest.Rule {
	r.ID = id
	return r
}

func TestFailedRuleOfNoConsequenceShowsNoCard(t *testing.T) {
	b := decidetest.NewWith(t, []decidetest.Rule{
		{ID: "bad", Severity: "info",
			Body: "holds := fact.greater(fhir.age({\"unit\": \"a\"}), 0) if 1 == 2\n\n" + decidetest.PlainCard},
	})
	d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean")))
	if f := decidetest.Finding(t, d, "trial/bad"); f.Outcome != decision.Failed || f.Hidden == nil {
		t.Errorf("finding: %+v", f)
	}
	if len(decidetest.Cards(t, d.Response)) != 0 {
		t.Errorf("cards: %s", d.Response)
	}
}

func TestReplayThatIsStoppedSaysSo(t *testing.T) {
	b := decidetest.New(t)
	in := b.Inputs(t, decidetest.Patient(t, "standard"))
	d := b.Decide(t, in)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Materials.Replay(ended, in, d)
	decidetest.WantError(t, err, context.Canceled)
}

// TestOrdersThatDidNotCome holds that orders which are missing, or in words
// only, are named and never read as nothing to say.
func TestOrdersThatDidNotCome(t *testing.T) {
	b := decidetest.New(t)
	const metformin = `{"resource":{"resourceType":"MedicationRequest","id":"1","status":"draft","intent":"order","medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"6809"}]}}}`
	for name, test := range map[string]struct {
		entries string
		reason  string // "" for no finding about orders
	}{
		"all there":                {metformin, ""},
		"an entry without content": {metformin + `,{"fullUrl":"urn:uuid:1"}`, "partial-result"},
		"one withheld": {metformin +
			`,{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"security"}]}}`,
			"partial-result"},
		"of DSTU2, in words": {`{"resource":{"resourceType":"MedicationOrder","id":"1","medicationCodeableConcept":{"text":"ibuprofen"}}}`, "text-only"},
	} {
		d := b.Decide(t, b.Inputs(t, decidetest.WithDrafts(`{"resourceType":"Bundle","entry":[`+test.entries+`]}`)))
		found := ""
		for i := range d.Findings {
			if f := &d.Findings[i]; f.Rule == decision.Unidentified {
				found = string(f.Fact.Reasons[0].Code)
				if f.Card == "" {
					t.Errorf("%s: nobody is told", name)
				}
			}
		}
		if found != test.reason {
			t.Errorf("%s: finding is %q, want %q", name, found, test.reason)
		}
	}
}

// TestIdsWriteNoLines holds that the id of an order cannot forge a line of an
// explanation.
func TestIdsWriteNoLines(t *testing.T) {
	b := decidetest.New(t)
	in := b.Inputs(t, decidetest.WithDrafts(
		`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"MedicationRequest","id":"1\nNOT      forged\u001b[2J\u2028x","status":"draft",
		"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"6809"}]}}}]}`))
	if out := explained(in, b.Decide(t, in)); strings.Contains(out, "\nNOT      forged") ||
		strings.ContainsAny(out, "\x1b\u2028") || !strings.Contains(out, "forged") {
		t.Errorf("the id got through: %q", out)
	}
}
