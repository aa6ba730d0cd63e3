package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/signing/statement"
)

// reuse applies a policy in which what is said of a client's tokens differs.
func (w *world) reuse(seq uint64, members string) {
	w.Helper()
	policy := bytes.Replace(w.policy("north"), []byte(`"id":"ehr"`), []byte(`"id":"ehr",`+members), 1)
	w.apply("north", w.say(statement.PackDigest{}, statement.TenantPolicy{Tenant: "north", Region: "us-east", Seq: seq,
		Policy: policy}, "otto@north.example", "amy@north.example"))
}

// TestTokenForOneCall sends one token with a call, with the same call, and with
// another one, for each of the things that a policy can say of it.
func TestTokenForOneCall(t *testing.T) {
	w := newWorld(t, nil)
	const path = "/t/north/cds-services/orders"
	token := func(jti string) string {
		return w.forge("ES256", header("ES256"), with(w.claims(), "jti", jti))
	}
	_, stranger := w.post(path, w.forge("ES256", header("ES256"), with(w.claims(), "iss", "https://stranger.example")), nil)
	send := func(jti string, body []byte, status int, repeated bool) {
		t.Helper()
		resp, text := w.post(path, token(jti), body)
		if resp.StatusCode != status {
			t.Fatalf("%s: %d %s, want %d", jti, resp.StatusCode, text, status)
		}
		if status == http.StatusUnauthorized && text != stranger {
			t.Errorf("%s: the refusal is not that of strangers: %s", jti, text)
		}
		if again := strings.HasSuffix(resp.Header.Get("Precept-Receipt"), "repeated"); again != repeated {
			t.Errorf("%s: repeated is %v", jti, again)
		}
	}
	count := func(use string) (n float64) {
		families, err := w.server.metrics.registry.Gather()
		w.must(err)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if l := m.GetLabel(); f.GetName() == "precept_tokens_total" && l[1].GetValue() == use {
					n += m.GetCounter().GetValue()
				}
			}
		}
		return n
	}
	body := func(i int) []byte { return w.standard(i) }

	send("observed", body(1), 200, false)
	send("observed", body(1), 200, true)
	send("observed", body(2), 200, false)
	if n := count("reused"); n != 1 {
		t.Errorf("%v reused tokens are counted, want 1", n)
	}
	events := w.logged.events(t)
	if last := events[len(events)-1]; last["token_use"] != "reused" || last["record"] == nil {
		t.Errorf("the event does not say so: %v", last)
	}

	w.reuse(2, `"jti":"enforce","tokenSeconds":900`)
	send("one", body(3), 200, false)
	send("one", body(3), 200, true) // a client that resends is not an attacker
	send("one", body(4), 401, false)
	send("two", body(3), 200, true) // the call again with a new token, as retrying clients do
	send("two", body(4), 401, false)
	send("three", body(4), 200, false)
	resp, text := w.post(path+"/feedback", w.forge("ES256", header("ES256"), with(with(w.claims(), "jti", "four"), "aud",
		w.url+path+"/feedback")), []byte(`{"feedback":[{"card":"56275c07-c837-8767-af92-0dced024520a",
		"outcome":"accepted","acceptedSuggestions":[{"id":"x"}],"outcomeTimestamp":"2026-11-21T19:10:00Z"}]}`))
	if resp.StatusCode != 200 {
		t.Errorf("feedback: %d %s", resp.StatusCode, text)
	}
	send("five", []byte(`{"hook":`), 400, false) // gives nothing, so it takes nothing
	send("five", body(5), 200, false)
	if n := count("reused"); n != 3 {
		t.Errorf("%v reused tokens are counted, want 3", n)
	}
	if n := w.server.counted(t, "precept_refusals_unauthenticated_total")["used"]; n != 2 {
		t.Errorf("%v refusals are counted, want 2", n)
	}
	auditor := w.as("north", "ada@north.example")
	page, err := auditor.Records(t.Context(), wire.Search{Kind: "refusal"})
	w.must(err)
	refused := 0
	for _, r := range page.Records {
		rec, err := auditor.Record(t.Context(), r.ID)
		w.must(err)
		refused += bytes.Count(rec.Body, []byte(`"token-used"`))
	}
	if refused != 2 {
		t.Errorf("%d refusals are on record, want 2", refused)
	}

	w.reuse(3, `"jti":"off"`)
	before := count("first") + count("reused")
	send("off", body(6), 200, false)
	send("off", body(7), 200, false)
	if n := count("first") + count("reused"); n != before {
		t.Error("tokens are counted where nobody looks")
	}
}

// TestTokenLifeOfPolicy lets a client's tokens live as long as its policy says.
func TestTokenLifeOfPolicy(t *testing.T) {
	w := newWorld(t, nil)
	ask := func(life time.Duration) int {
		token := w.forge("ES256", header("ES256"), with(w.claims(), "exp", now().Add(life).Unix()))
		resp, _ := w.post("/t/north/cds-services/orders", token, w.standard(1))
		return resp.StatusCode
	}
	if got := ask(15 * time.Minute); got != 401 {
		t.Errorf("15 minutes by default: %d", got)
	}
	w.reuse(2, `"tokenSeconds":900`)
	if got := ask(15 * time.Minute); got != 200 {
		t.Errorf("15 minutes where they are allowed: %d", got)
	}
	if got := ask(15*time.Minute + time.Second); got != 401 {
		t.Errorf("more than allowed: %d", got)
	}
}
