package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/cdshooks"
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
	must(t, err)
	i := slices.IndexFunc(attacks, func(a fixtures.Attack) bool { return a.Name == "markup" })
	quote := func(s string) []byte {
		b, err := jsontext.AppendQuote(nil, s)
		must(t, err)
		return b[1 : len(b)-1]
	}
	all := quote(strings.Join(fixtures.Markup(), " "))
	if bytes.Count(attacks[i].Body, all) < 5 {
		t.Fatal("the fixture does not hold the markup as expected")
	}
	return bytes.ReplaceAll(attacks[i].Body, all, quote(piece))
}

func TestMarkupNeverReachesACard(t *testing.T) {
	b := newBench(t)
	for _, language := range []string{"en", "de"} {
		for i, piece := range append(fixtures.Markup(), strings.Join(fixtures.Markup(), " ")) {
			t.Run(fmt.Sprintf("%s %d", language, i), func(t *testing.T) {
				in := b.inputs(t, hostileMarkup(t, piece))
				in.Language = language
				d := b.decide(t, in)
				list := cards(t, d.Response)
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
						if strings.ContainsAny(text, "<>`\u202e\u202c") || strings.Contains(text, "](") || strings.Contains(text, "\n# ") {
							t.Errorf("something active stands in %q", text)
						}
					}
				}
				if text := explained(in, d); strings.ContainsAny(text, "<>\u202e\u202c\x1b") && strings.Contains(text, "script>") {
					t.Error("markup stands in the explanation")
				}
			})
		}
	}
}

func TestSummariesAreShort(t *testing.T) {
	b := newBench(t)
	long := func(body []byte) []byte {
		for _, name := range []string{"metformin", "ibuprofen", "sertraline", "warfarin", "phenelzine", "ketorolac"} {
			body = bytes.ReplaceAll(body, []byte(`"display":"`+name), []byte(`"display":"`+strings.Repeat("very long ", 40)+name))
			body = bytes.ReplaceAll(body, []byte(`"text":"`+name), []byte(`"text":"`+strings.Repeat("ärztlich ", 40)+name))
		}
		return body
	}
	for _, p := range patients(t) {
		for _, language := range []string{"en", "de"} {
			for _, body := range [][]byte{p.Request, long(p.Request)} {
				in := b.inputs(t, body)
				in.Language = language
				for _, c := range cards(t, b.decide(t, in).Response) {
					if n := utf8.RuneCountInString(c.Summary); n == 0 || n >= 140 {
						t.Errorf("%s %s: summary of %d characters: %q", p.Name, language, n, c.Summary)
					}
					must(t, c.Check())
				}
			}
		}
	}
}

func TestLongSummaryOfARuleIsCut(t *testing.T) {
	b := newTrial(t, []trialRule{{id: "long", body: alwaysTrue + "\n\ncard := {\"summary\": \"" + strings.Repeat("ä", 300) + "\"}"}})
	list := cards(t, b.decide(t, b.inputs(t, patient(t, "clean"))).Response)
	if len(list) != 1 || utf8.RuneCountInString(list[0].Summary) != cdshooks.MaxSummary || !strings.HasSuffix(list[0].Summary, "…") {
		t.Errorf("cards: %v", list)
	}
}

func TestUnknownWithTheSameReasonsShareACard(t *testing.T) {
	b := newBench(t)
	d := b.decide(t, b.inputs(t, patient(t, "medications-failed")))
	one, other := finding(t, d, "nsaid_anticoagulant/nsaid-anticoagulant"), finding(t, d, "nsaid_anticoagulant/nsaid-unprotected")
	if one.Outcome != decision.Unknown || one.Card == "" || one.Card != other.Card {
		t.Errorf("two findings of one subject: cards %q and %q", one.Card, other.Card)
	}
	if third := finding(t, d, "high_priority_ddi/ssri-maoi"); third.Card == "" || third.Card == one.Card {
		t.Errorf("the finding of another subject has card %q", third.Card)
	}
	for _, c := range cards(t, d.Response) {
		if c.UUID == one.Card && (!strings.Contains(c.Summary, "2 checks could not be completed") ||
			!strings.Contains(c.Detail, "nsaid-anticoagulant)") || !strings.Contains(c.Detail, "nsaid-unprotected)")) {
			t.Errorf("card: %+v", c)
		}
	}
}

// unknownRule can not tell, because nobody asked anything.
func unknownRule(id, policy, severity string) trialRule {
	return trialRule{id: id, unknown: policy, severity: severity, body: "holds := fact.all([])\n\n" + plainCard}
}

func TestUnknownPolicy(t *testing.T) {
	for policy, want := range map[string]cdshooks.Indicator{"silent": "", "info": cdshooks.Info, "warning": cdshooks.Warning} {
		b := newTrial(t, []trialRule{unknownRule("cannot-tell", policy, "critical")})
		d := b.decide(t, b.inputs(t, patient(t, "clean")))
		list, f := cards(t, d.Response), finding(t, d, "trial/cannot-tell")
		switch {
		case f.Outcome != decision.Unknown:
			t.Errorf("%s: %+v", policy, f)
		case want == "" && (len(list) != 0 || f.Hidden == ""):
			t.Errorf("%s: %d cards, hidden %q", policy, len(list), f.Hidden)
		case want != "" && (len(list) != 1 || list[0].Indicator != want || f.Card != list[0].UUID):
			t.Errorf("%s: cards %v", policy, list)
		}
	}
	// The strongest policy of a group decides.
	b := newTrial(t, []trialRule{unknownRule("one", "info", ""), unknownRule("other", "warning", "")})
	if list := cards(t, b.decide(t, b.inputs(t, patient(t, "clean"))).Response); len(list) != 1 || list[0].Indicator != cdshooks.Warning {
		t.Errorf("cards %v", list)
	}
}

func TestLackingCoversUnknown(t *testing.T) {
	const egfr = `fhir.egfr({"max_age": "P365D"})`
	rules := []trialRule{
		{id: "asks", severity: "info", unknown: "silent", trigger: "{order: metformin}", body: "holds := fact.lacking(" + egfr + ")\n\n" + plainCard},
		{id: "tells", trigger: "{order: metformin}", body: "holds := fact.less(" + egfr + ", 30)\n\n" + plainCard},
		{id: "tells-more", trigger: "{order: metformin}", body: "holds := fact.all([fact.less(" + egfr + ", 30), fact.all([])])\n\n" + plainCard},
	}
	b := newTrial(t, rules, func(p *tenant.Policy) {
		for i := range p.Services {
			p.Services[i].Packs = []string{"trial"}
		}
	})
	d := b.decide(t, b.inputs(t, patient(t, "metformin-no-labs")))
	if f := finding(t, d, "trial/tells"); f.Outcome != decision.Unknown || f.Card != "" || !strings.Contains(f.Hidden, "named by another card") {
		t.Errorf("finding %+v", f)
	}
	// What misses something else as well is not covered.
	if f := finding(t, d, "trial/tells-more"); f.Outcome != decision.Unknown || f.Card == "" {
		t.Errorf("finding %+v", f)
	}
	if list := cards(t, d.Response); len(list) != 2 {
		t.Errorf("cards %v", list)
	}
}

func TestSupersededCardIsNotShown(t *testing.T) {
	b := newBench(t)
	d := b.decide(t, b.inputs(t, patient(t, "metformin-egfr-27")))
	f := finding(t, d, "renal_dosing/metformin-caution")
	if f.Outcome != decision.Fired || f.Card != "" || f.Hidden != "superseded by renal_dosing/metformin-contraindicated" {
		t.Errorf("finding %+v", f)
	}
	if list := cards(t, d.Response); len(list) != 1 || list[0].UUID != finding(t, d, "renal_dosing/metformin-contraindicated").Card {
		t.Errorf("cards %v", list)
	}
	// A rule that can not tell, fails, or is out of service supersedes nothing.
	in := b.inputs(t, patient(t, "metformin-egfr-27"))
	in.Cut = []decision.Cut{{Rule: "renal_dosing/metformin-contraindicated", Subject: anySubject, Cause: decision.CutSuspension}}
	d = b.decide(t, in)
	if f := finding(t, d, "renal_dosing/metformin-caution"); f.Card == "" {
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
	b := newBench(t)
	d := b.decide(t, b.inputs(t, request(order("d1", "36437", "sertraline"), order("d2", "8123", "phenelzine"))))
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
		case strings.HasPrefix(f.Hidden, "same finding as on MedicationRequest/d"):
			hidden++
		}
	}
	if shown != 1 || hidden != 1 || len(cards(t, d.Response)) != 1 {
		t.Errorf("%d shown, %d hidden, answer %s", shown, hidden, d.Response)
	}
}

func TestCapKeepsCriticals(t *testing.T) {
	rule := func(id, severity string) trialRule {
		return trialRule{id: id, severity: severity, body: alwaysTrue + "\n\n" + `card := {"summary": "` + id + `"}`}
	}
	rules := []trialRule{rule("a-info", "info"), rule("b-warn", "warning"), rule("c-crit", "critical"), rule("d-crit", "critical"), rule("e-warn", "warning"),
		{id: "f-bad", body: "holds := fact.greater(fhir.age({\"unit\": \"a\"}), 0) if 1 == 2\n\n" + plainCard}}
	for limit, want := range map[int][]string{
		1: {"c-crit", "d-crit", "1 safety check was not done"},
		3: {"c-crit", "d-crit", "1 safety check was not done"},
		4: {"c-crit", "d-crit", "1 safety check was not done", "b-warn"},
		9: {"c-crit", "d-crit", "1 safety check was not done", "b-warn", "e-warn", "a-info"},
	} {
		b := newTrial(t, rules, func(p *tenant.Policy) { p.Limits.Cards = limit })
		d := b.decide(t, b.inputs(t, patient(t, "clean")))
		var have []string
		for _, c := range cards(t, d.Response) {
			have = append(have, c.Summary)
		}
		if !slices.Equal(have, want) {
			t.Errorf("limit %d: %q, want %q", limit, have, want)
		}
		for i := range d.Findings { // nothing disappears without a word
			if f := &d.Findings[i]; f.Outcome == decision.Fired && f.Card == "" && f.Hidden != fmt.Sprintf("limit of %d cards", limit) {
				t.Errorf("limit %d: finding %+v", limit, f)
			}
		}
	}
}

func TestUnidentifiedOrders(t *testing.T) {
	b := newBench(t)
	for n, want := range map[int]string{1: "1 ordered medication could not be identified", 2: "2 ordered medications could not be identified"} {
		orders := []string{order("d0", "308191", "amoxicillin 500 MG Oral Capsule")}
		for i := range n {
			orders = append(orders, fmt.Sprintf(`{"resource":{"resourceType":"MedicationRequest","id":"x%d","status":"draft","intent":"order",
				"subject":{"reference":"Patient/p1"},"medicationCodeableConcept":{"text":"pill %d"}}}`, i, i))
		}
		d := b.decide(t, b.inputs(t, request(orders...)))
		list := cards(t, d.Response)
		if len(list) != 1 || !strings.HasPrefix(list[0].Summary, want) || !strings.Contains(list[0].Detail, "pill 0") || len(d.Notes) != n {
			t.Errorf("%d: cards %v, notes %v", n, list, d.Notes)
		}
	}
}

func TestGermanTenant(t *testing.T) {
	n := newRegion(t)
	p := policyFor(t, "north")
	p.Language = "de"
	n.policy("north", p)
	for name, want := range map[string][]string{
		"metformin-egfr-27":  {"Metformin nicht verordnen: eGFR 27.0 mL/min/1.73 m² (unter 30 kontraindiziert)", "**Grundlage**", "**Quelle**", "Verordnung von metformin entfernen"},
		"metformin-no-labs":  {"Vor Beginn von Metformin eGFR bestimmen", "eGFR anfordern"},
		"medications-failed": {"Prüfungen konnten nicht abgeschlossen werden", "Medikation konnte nicht abgerufen werden"},
		"text-only":          {"1 verordnetes Arzneimittel konnte nicht erkannt werden"},
	} {
		a := n.call("north", patient(t, name))
		for _, part := range want {
			if !bytes.Contains(a.Body, []byte(part)) {
				t.Errorf("%s: answer lacks %q: %s", name, part, a.Body)
			}
		}
		for _, english := range []string{"could not be", "Based on", "Not known", "Remove the order", "safety check"} {
			if bytes.Contains(a.Body, []byte(english)) {
				t.Errorf("%s: answer holds %q: %s", name, english, a.Body)
			}
		}
	}
	n.suspend("north", "renal_dosing", "", "wrong")
	if a := n.call("north", withInstance(t, patient(t, "metformin-egfr-27"), 1)); !bytes.Contains(a.Body, []byte("Sicherheitsprüfungen wurden nicht durchgeführt")) {
		t.Errorf("answer: %s", a.Body)
	}
	if a := n.call("south", patient(t, "metformin-egfr-27")); !bytes.Contains(a.Body, []byte("Do not prescribe metformin")) {
		t.Errorf("the other tenant: %s", a.Body)
	}
}

func TestCardsHaveIdsOfTheirRecord(t *testing.T) {
	n := newRegion(t)
	seen := map[string]bool{}
	for i := range 3 {
		a := n.call("north", withInstance(t, patient(t, "sertraline-phenelzine"), i))
		for _, c := range cards(t, a.Body) {
			ids := []string{c.UUID}
			for _, s := range c.Suggestions {
				ids = append(ids, s.UUID)
			}
			for _, id := range ids {
				if seen[id] || len(id) != 36 || id[14] != '8' {
					t.Errorf("id %q is used twice or no UUID of version 8", id)
				}
				seen[id] = true
			}
			if found, err := n.log.ByCard(t.Context(), "north", c.UUID); err != nil || string(found) != a.RecordID {
				t.Errorf("card %s leads to record %s, %v; want %s", c.UUID, found, err, a.RecordID)
			}
		}
	}
}

func TestAnswerIsPlainJSON(t *testing.T) {
	b := newBench(t)
	for _, p := range patients(t) {
		d := b.decide(t, b.inputs(t, p.Request))
		var v any
		must(t, jsonv2.Unmarshal(d.Response, &v))
		for _, empty := range []string{"null", `""`, "[]", "{}"} {
			if string(d.Response) != `{"cards":[]}` && bytes.Contains(d.Response, []byte(":"+empty)) {
				t.Errorf("%s: the answer holds a member that is %s: %s", p.Name, empty, d.Response)
			}
		}
	}
}
