package api

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// verifications counts the signatures that the server has looked at.
func (w *world) verifications() (n int) {
	w.Helper()
	page := httptest.NewRecorder()
	w.server.Private().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, m := range regexp.MustCompile(`(?m)^precept_signatures_verified_total\{.*\} (\d+)$`).
		FindAllStringSubmatch(page.Body.String(), -1) {
		one, err := strconv.Atoi(m[1])
		w.must(err)
		n += one
	}
	return n
}

// refusal sends a token and returns the whole answer, and how long it took.
func (w *world) refusal(path, token string) (answer string, took time.Duration) {
	w.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+token)
	page := httptest.NewRecorder()
	began := time.Now()
	w.server.Public().ServeHTTP(page, r)
	took = time.Since(began)
	if page.Code != http.StatusUnauthorized {
		w.Errorf("%s: status %d", path, page.Code)
	}
	var b strings.Builder
	w.must(page.Header().Write(&b))
	return b.String() + page.Body.String(), took
}

// TestEqualWork has tokens refused whose tenant, issuer, key and signature are known to
// different degrees: the answer is the same to the byte, and so is the work.
func TestEqualWork(t *testing.T) {
	w := newWorld(t, nil)
	const north, nowhere = "/t/north/cds-services/orders", "/t/nowhere/cds-services/orders"
	spoil := func(token string) string {
		i := strings.LastIndex(token, ".") + 10
		return token[:i] + map[bool]string{true: "B", false: "A"}[token[i] == 'A'] + token[i+1:]
	}
	for _, alg := range []string{"ES256", "ES384", "RS384"} {
		token := func(path string, change func(claimSet) claimSet, kid string) string {
			return w.forge(alg, with(header(alg), "kid", kid), change(with(w.claims(), "aud", w.url+path)))
		}
		as := func(c claimSet) claimSet { return c }
		stranger := func(c claimSet) claimSet { return with(c, "iss", "https://stranger.example") }
		kinds := map[string]struct{ path, token string }{
			"unknown tenant": {nowhere, token(nowhere, as, "key+"+alg)},
			"unknown issuer": {north, token(north, stranger, "key+"+alg)},
			"unknown key":    {north, token(north, as, "other")},
			"bad signature":  {north, spoil(token(north, as, "key+"+alg))},
		}
		first, times := "", map[string][]time.Duration{}
		for range 60 {
			for kind, k := range kinds {
				before := 0
				if len(times[kind]) == 0 {
					before = w.verifications()
				}
				answer, took := w.refusal(k.path, k.token)
				if len(times[kind]) == 0 {
					if n := w.verifications() - before; n != 1 {
						t.Errorf("%s, %s: %d signatures were verified, want 1", alg, kind, n)
					}
				}
				if times[kind] = append(times[kind], took); first == "" {
					first = answer
				}
				if answer != first {
					t.Errorf("%s, %s is answered in another way:\n%s\n%s", alg, kind, answer, first)
				}
			}
		}
		for kind := range kinds {
			// The least of many is what nothing else disturbed. Without equal work it was a third.
			if a, b := slices.Min(times[kind]), slices.Min(times["bad signature"]); a*2 < b || b*2 < a {
				t.Errorf("%s: %s takes %v, a bad signature %v", alg, kind, a, b)
			}
		}
	}
	// What depends on nothing that is registered costs no signature.
	before := w.verifications()
	w.refusal(north, w.forge("ES256", header("ES256"), with(w.claims(), "exp", now().Add(-time.Hour).Unix())))
	if n := w.verifications() - before; n != 0 {
		t.Errorf("an expired token: %d signatures were verified", n)
	}
}

// TestEqualWorkForPersons is the same of persons.
func TestEqualWorkForPersons(t *testing.T) {
	w := newWorld(t, nil)
	w.keys["ES256"] = w.people["otto@north.example"].Crypto()
	for kind, of := range map[string]struct{ tenant, kid string }{
		"unknown tenant": {"nowhere", string(w.people["otto@north.example"].Public().ID())},
		"unknown key":    {"north", strings.Repeat("0", 64)},
		"unknown person": {"north", string(w.people["otto@north.example"].Public().ID())},
	} {
		token := w.forge("ES256", with(header("ES256"), "kid", of.kid), claimSet{"iss": "nobody@north.example",
			"sub": "nobody@north.example", "aud": w.url, "tenant": of.tenant, "jti": "1", "iat": now().Unix(),
			"exp": now().Add(time.Minute).Unix()})
		before := w.verifications()
		w.refusal("/v1/tenants/"+of.tenant+"/statements", token)
		if n := w.verifications() - before; n != 1 {
			t.Errorf("%s: %d signatures were verified, want 1", kind, n)
		}
	}
}

// TestTokenLife holds each client to the life that its policy allows.
func TestTokenLife(t *testing.T) {
	w := newWorld(t, nil)
	life := func(d time.Duration) int {
		token := w.forge("ES256", header("ES256"), with(with(w.claims(), "exp", now().Add(d).Unix()), "jti", d.String()))
		resp, _ := w.do("POST", "/t/north/cds-services/orders", token, strings.NewReader("{}"))
		return resp.StatusCode
	}
	if got := life(5 * time.Minute); got == http.StatusUnauthorized {
		t.Errorf("a token of five minutes: %d", got)
	}
	if got := life(5*time.Minute + time.Second); got != http.StatusUnauthorized {
		t.Errorf("a token of more than five minutes: %d", got)
	}
}
