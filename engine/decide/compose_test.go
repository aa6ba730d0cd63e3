package decide_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
)

// texts is every text of a card that an EHR shows.
func texts(c cdshooks.Card) []string {
	list := []string{c.Summary, c.Detail, c.Source.Label}
	for _, s := range c.Suggestions {
		list = append(list, s.Label)
		for _, a := range s.Actions {
			list = append(list, a.Description)
		}
	}
	for _, l := range c.Links {
		list = append(list, l.Label, l.URL)
	}
	return list
}

// hostileMarkup is the body of the attack, its texts replaced by one piece of
// markup, so that none is hidden behind where a long name is cut.
func hostileMarkup(t testing.TB, piece string) []byte {
	t.Helper()
	attacks, err := fixtures.Attacks()
	decidetest.Must(t, err)
	i := slices.IndexFunc(attacks, func(a fixtures.Attack) bool { return a.Name == "markup" })
	quote := func(s string) []byte {
		b, err := jsontext.AppendQuote(nil, s)
		decidetest.Must(t, err)
		return b[1 : len(b)-1]
	}
	all := quote(strings.Join(fixtures.Markup(), " "))
	if bytes.Count(attacks[i].Body, all) < 5 {
		t.Fatal("the fixture does not hold the markup as expected")
	}
	return bytes.ReplaceAll(attacks[i].Body, all, quote(piece))
}

func TestMarkupNeverReachesACard(t *testing.T) {
	b := decidetest.New(t)
	for _, language := range []string{"en", "de"} {
		for i, piece := range append(fixtures.Markup(), strings.Join(fixtures.Markup(), " ")) {
			t.Run(fmt.Sprintf("%s %d", language, i), func(t *testing.T) {
				in := b.Inputs(t, hostileMarkup(t, piece))
				in.Language = language
				d := b.Decide(t, in)
				list := decidetest.Cards(t, d.Response)
				if len(list) < 3 {
					t.Fatalf("%d cards: the rules did not fire", len(list))
				}
				for _, c := range list {
					for _, text := range texts(c) {
						for _, m := range fixtures.Markup() {
							if strings.Contains(text, m) {
								t.Errorf("markup %q stands in %q", m, text)
							}
						}
						if strings.ContainsAny(text, "<>`\u202e\u202c") || strings.Contains(text, "](") ||
							strings.Contains(text, "\n# ") {
							t.Errorf("something active stands in %q", text)
						}
					}
				}
				if text := explained(in, d); strings.ContainsAny(text, "<>\u202e\u202c\x1b") &&
					strings.Contains(text, "script>") {
					t.Error("markup stands in the explanation")
				}
			})
		}
	}
}

func TestSummariesAreShort(t *testing.T) {
	b := decidetest.New(t)
	long := func(body []byte) []byte {
		for _, name := range []string{"metformin", "ibuprofen", "sertraline", "warfarin", "phenelzine", "ketorolac"} {
			body = bytes.ReplaceAll(body, []byte(`"display":"`+name),
				[]byte(`"display":"`+strings.Repeat("very long ", 40)+name))
			body = bytes.ReplaceAll(body, []byte(`"text":"`+name),
				[]byte(`"text":"`+strings.Repeat("ärztlich ", 40)+name))
		}
		return body
	}
	for _, p := range decidetest.Patients(t) {
		for _, language := range []string{"en", "de"} {
			for _, body := range [][]byte{p.Request, long(p.Request)} {
				in := b.Inputs(t, body)
				in.Language = language
				for _, c := range decidetest.Cards(t, b.Decide(t, in).Response) {
					if n := utf8.RuneCountInString(c.Summary); n == 0 || n >= 140 {
						t.Errorf("%s %s: summary of %d characters: %q", p.Name, language, n, c.Summary)
					}
					decidetest.Must(t, c.Check())
				}
			}
		}
	}
}

func TestLongSummaryOfARuleIsCut(t *testing.T) {
	b := decidetest.NewWith(t, []decidetest.Rule{
		{ID: "long", Body: decidetest.AlwaysTrue + "\n\ncard := {\"summary\": \"" + strings.Repeat("ä", 300) + "\"}"},
	})
	list := decidetest.Cards(t, b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean"))).Response)
	if len(list) != 1 || utf8.RuneCountInString(list[0].Summary) != cdshooks.MaxSummary ||
		!strings.HasSuffix(list[0].Summary, "…") {
		t.Errorf("cards: %v", list)
	}
}

func TestUnknownWithTheSameReasonsShareACard(t *testing.T) {
	b := decidetest.New(t)
	d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "medications-failed")))
	one, other := decidetest.Finding(t, d, "nsaid_anticoagulant/nsaid-anticoagulant"),
		decidetest.Finding(t, d, "nsaid_anticoagulant/nsaid-unprotected")
	if one.Outcome != decision.Unknown || one.Card == "" || one.Card != other.Card {
		t.Errorf("two findings of one subject: cards %q and %q", one.Card, other.Card)
	}
	if third := decidetest.Finding(t, d, "high_priority_ddi/ssri-maoi"); third.Card == "" || third.Card == one.Card {
		t.Errorf("the finding of another subject has card %q", third.Card)
	}
	for _, c := range decidetest.Cards(t, d.Response) {
		if c.UUID == one.Card && (!strings.Contains(c.Summary, "2 checks could not be completed") ||
			!strings.Contains(c.Detail, "nsaid-anticoagulant)") || !strings.Contains(c.Detail, "nsaid-unprotected)")) {
			t.Errorf("card: %+v", c)
		}
	}
}

// unknownRule cannot tell, because nobody asked anything.
func unknownRule(id, policy, severity string) decidetest.Rule {
	return decidetest.Rule{ID: id, Unknown: policy, Severity: severity,
		Body: "holds := fact.all([])\n\n" + decidetest.PlainCard}
}

func TestUnknownPolicy(t *testing.T) {
	for policy, want := range map[string]cdshooks.Indicator{"silent": "", "info": cdshooks.Info,
		"warning": cdshooks.Warning} {
		b := decidetest.NewWith(t, []decidetest.Rule{unknownRule("cannot-tell", policy, "critical")})
		d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean")))
		list, f := decidetest.Cards(t, d.Response), decidetest.Finding(t, d, "trial/cannot-tell")
		switch {
		case f.Outcome != decision.Unknown:
			t.Errorf("%s: %+v", policy, f)
		case want == "" && (len(list) != 0 || f.Hidden == nil):
			t.Errorf("%s: %d cards, hidden %v", policy, len(list), f.Hidden)
		case want != "" && (len(list) != 1 || list[0].Indicator != want || f.Card != list[0].UUID):
			t.Errorf("%s: cards %v", policy, list)
		}
	}
	// The strongest policy of a group decides.
	b := decidetest.NewWith(t, []decidetest.Rule{unknownRule("one", "info", ""), unknownRule("other", "warning", "")})
	if list := decidetest.Cards(t, b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean"))).
		Response); len(list) != 1 || list[0].Indicator != cdshooks.Warning {
		t.Errorf("cards %v", list)
	}
}

func TestLackingCoversUnknown(t *testing.T) {
	const egfr = `fhir.egfr({"max_age": "P365D"})`
	rules := []decidetest.Rule{
		{ID: "asks", Severity: "info", Unknown: "silent", Trigger: "{order: metformin}",
			Body: "holds := fact.lacking(" + egfr + ")\n\n" + decidetest.PlainCard},
		{ID: "tells", Trigger: "{order: metformin}",
			Body: "holds := fact.less(" + egfr + ", 30)\n\n" + decidetest.PlainCard},
		{ID: "tells-more", Trigger: "{order: metformin}",
			Body: "holds := fact.all([fact.less(" + egfr + ", 30), fact.all([])])\n\n" + decidetest.PlainCard},
	}
	b := decidetest.NewWith(t, rules, func(p *tenant.Policy) {
		for i := range p.Services {
			p.Services[i].Packs = []string{"trial"}
		}
	})
	d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "metformin-no-labs")))
	if f := decidetest.Finding(t, d, "trial/tells"); f.Outcome != decision.Unknown || f.Card != "" ||
		f.Hidden == nil || f.Hidden.Code != decision.HiddenNamed {
		t.Errorf("finding %+v", f)
	}
	// What misses something else as well is not covered.
	if f := decidetest.Finding(t, d, "trial/tells-more"); f.Outcome != decision.Unknown || f.Card == "" {
		t.Errorf("finding %+v", f)
	}
	if list := decidetest.Cards(t, d.Response); len(list) != 2 {
		t.Errorf("cards %v", list)
	}
}

func TestSupersededCardIsNotShown(t *testing.T) {
	b := decidetest.New(t)
	d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "metformin-egfr-27")))
	f := decidetest.Finding(t, d, "renal_dosing/metformin-caution")
	if f.Outcome != decision.Fired || f.Card != "" || f.Hidden == nil ||
		*f.Hidden != (decision.Hidden{Code: decision.HiddenSuperseded, By: "renal_dosing/metformin-contraindicated"}) {
		t.Errorf("finding %+v", f)
	}
	if list := decidetest.Cards(t, d.Response); len(list) != 1 ||
		list[0].UUID != decidetest.Finding(t, d, "renal_dosing/metformin-contraindicated").Card {
		t.Errorf("cards %v", list)
	}
	// A rule that cannot tell, fails, or is out of service supersedes nothing.
	in := b.Inputs(t, decidetest.Patient(t, "metformin-egfr-27"))
	in.Cut = []decision.Cut{
		{Rule: "renal_dosing/metformin-contraindicated", Subject: decision.AnySubject, Cause: decision.CutSuspension},
	}
	d = b.Decide(t, in)
	if f := decidetest.Finding(t, d, "renal_dosing/metformin-caution"); f.Card == "" {
		t.Errorf("finding %+v", f)
	}
}

// order is a draft order in a hand-made request.
func order(id, code, display string) string {
	return fmt.Sprintf(`{"resource":{"resourceType":"MedicationRequest","id":%q,"status":"draft","intent":"order","subject":{"reference":"Patient/p1"},
		"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":%q,"display":%q}]}}}`, id, code, display)
}

func request(orders ...string) []byte {
	return []byte(`{"hook":"order-sign","hookInstance":"d1577c69-dfbe-44ad-ba6d-3e05e953b2ea","context":{"userId":"Practitioner/u1","patientId":"p1",
		"draftOrders":{"resourceType":"Bundle","type":"collection","entry":[` + strings.Join(orders, ",") + `]}},
		"prefetch":{"patient":{"resourceType":"Patient","id":"p1","gender":"male","birthDate":"1955-06-15"},"conditions":null,"medications":null,
		"statements":null,"dispenses":null,"administrations":null,"labs":null}}`)
}

func TestPairOfDraftsIsShownOnce(t *testing.T) {
	b := decidetest.New(t)
	d := b.Decide(t, b.Inputs(t, request(order("d1", "36437", "sertraline"), order("d2", "8123", "phenelzine"))))
	var shown, hidden int
	for i := range d.Findings {
		f := &d.Findings[i]
		if f.Rule != "high_priority_ddi/ssri-maoi" {
			continue
		}
		switch {
		case f.Outcome != decision.Fired:
			t.Errorf("finding %+v", f)
		case f.Card != "":
			shown++
		case f.Hidden != nil && f.Hidden.Code == decision.HiddenRepeated &&
			strings.HasPrefix(f.Hidden.By, "MedicationRequest/d"):
			hidden++
		}
	}
	if shown != 1 || hidden != 1 || len(decidetest.Cards(t, d.Response)) != 1 {
		t.Errorf("%d shown, %d hidden, answer %s", shown, hidden, d.Response)
	}
}

// TestSupersedingStaysWithItsOrder has a stronger rule fire on one of two orders:
// the weaker rule's card for the other order stays.
func TestSupersedingStaysWithItsOrder(t *testing.T) {
	const trigger = "{order: metformin}"
	b := decidetest.NewWith(t, []decidetest.Rule{
		{ID: "strong", Trigger: trigger, More: "#   supersedes: [weak]\n",
			Body: "holds := fact.negate(fhir.topical(fhir.order()))\n\n" + `card := {"summary": "strong"}`},
		{ID: "weak", Trigger: trigger, Body: decidetest.AlwaysTrue + "\n\n" + `card := {"summary": "weak"}`},
	})
	routed := func(id, route string) string {
		return strings.Replace(order(id, "6809", "metformin"), `"status"`,
			`"dosageInstruction":[{"route":{"coding":[{"system":"http://snomed.info/sct","code":"`+route+
				`"}]}}],"status"`, 1)
	}
	d := b.Decide(t, b.Inputs(t, request(routed("oral", "26643006"), routed("topical", "6064005"))))
	have := map[string]string{}
	for i := range d.Findings {
		f := &d.Findings[i]
		if strings.HasPrefix(f.Rule, "trial/") {
			have[f.Rule+" on "+f.Subject] = string(f.Outcome) + fmt.Sprint(f.Card != "", f.Hidden != nil)
		}
	}
	want := map[string]string{
		"trial/strong on MedicationRequest/oral":    "firedtrue false",
		"trial/weak on MedicationRequest/oral":      "firedfalse true",
		"trial/strong on MedicationRequest/topical": "notfalse false",
		"trial/weak on MedicationRequest/topical":   "firedtrue false",
	}
	if !maps.Equal(have, want) {
		t.Errorf("findings %v, want %v", have, want)
	}
}

func TestCapKeepsCriticals(t *testing.T) {
	rule := func(id, severity string) decidetest.Rule {
		return decidetest.Rule{ID: id, Severity: severity,
			Body: decidetest.AlwaysTrue + "\n\n" + `card := {"summary": "` + id + `"}`}
	}
	rules := []decidetest.Rule{rule("a-info", "info"), rule("b-warn", "warning"), rule("c-crit", "critical"),
		rule("d-crit", "critical"), rule("e-warn", "warning"),
		{ID: "f-bad", Body: "holds := fact.greater(fhir.age({\"unit\": \"a\"}), 0) if 1 == 2\n\n" +
			decidetest.PlainCard}}
	for limit, want := range map[int][]string{
		1: {"c-crit", "d-crit", "1 safety check was not done"},
		3: {"c-crit", "d-crit", "1 safety check was not done"},
		4: {"c-crit", "d-crit", "1 safety check was not done", "b-warn"},
		9: {"c-crit", "d-crit", "1 safety check was not done", "b-warn", "e-warn", "a-info"},
	} {
		b := decidetest.NewWith(t, rules, func(p *tenant.Policy) { p.Limits.Cards = limit })
		d := b.Decide(t, b.Inputs(t, decidetest.Patient(t, "clean")))
		var have []string
		for _, c := range decidetest.Cards(t, d.Response) {
			have = append(have, c.Summary)
		}
		if !slices.Equal(have, want) {
			t.Errorf("limit %d: %q, want %q", limit, have, want)
		}
		for i := range d.Findings { // nothing disappears without a word
			if f := &d.Findings[i]; f.Outcome == decision.Fired && f.Card == "" &&
				(f.Hidden == nil || *f.Hidden != decision.Hidden{Code: decision.HiddenLimit, Limit: limit}) {
				t.Errorf("limit %d: finding %+v", limit, f)
			}
		}
	}
}

// TestCapKeepsWhatCouldNotBeIdentified: without this card the others would pass
// for everything there is.
func TestCapKeepsWhatCouldNotBeIdentified(t *testing.T) {
	rule := func(id string) decidetest.Rule {
		return decidetest.Rule{ID: id, Body: decidetest.AlwaysTrue + "\n\n" + `card := {"summary": "` + id + `"}`}
	}
	byOrder := rule("z-order")
	byOrder.Trigger = "{order: metformin}"
	b := decidetest.NewWith(t, []decidetest.Rule{rule("a"), rule("b"), byOrder},
		func(p *tenant.Policy) { p.Limits.Cards = 1 })
	list := decidetest.Cards(t, b.Decide(t, b.Inputs(t, decidetest.Patient(t, "text-only"))).Response)
	if len(list) != 2 || list[0].Summary != "a" || !strings.Contains(list[1].Summary, "could not be identified") {
		t.Errorf("cards %+v", list)
	}
}

func TestUnidentifiedOrders(t *testing.T) {
	b := decidetest.New(t)
	for n, want := range map[int]string{1: "1 ordered medication could not be identified",
		2: "2 ordered medications could not be identified"} {
		orders := []string{order("d0", "308191", "amoxicillin 500 MG Oral Capsule")}
		for i := range n {
			orders = append(orders, fmt.Sprintf(
				`{"resource":{"resourceType":"MedicationRequest","id":"x%d","status":"draft","intent":"order",
				"subject":{"reference":"Patient/p1"},"medicationCodeableConcept":{"text":"pill %d"}}}`, i, i))
		}
		d := b.Decide(t, b.Inputs(t, request(orders...)))
		list := decidetest.Cards(t, d.Response)
		if len(list) != 1 || !strings.HasPrefix(list[0].Summary, want) ||
			!strings.Contains(list[0].Detail, "pill 0") || len(d.Notes) != n {
			t.Errorf("%d: cards %v, notes %v", n, list, d.Notes)
		}
	}
}

func TestAnswerIsPlainJSON(t *testing.T) {
	b := decidetest.New(t)
	for _, p := range decidetest.Patients(t) {
		d := b.Decide(t, b.Inputs(t, p.Request))
		var v any
		decidetest.Must(t, jsonv2.Unmarshal(d.Response, &v))
		for _, empty := range []string{"null", `""`, "[]", "{}"} {
			if string(d.Response) != `{"cards":[]}` && bytes.Contains(d.Response, []byte(":"+empty)) {
				t.Errorf("%s: the answer holds a member that is %s: %s", p.Name, empty, d.Response)
			}
		}
	}
}
