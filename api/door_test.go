package api

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/precept-cds/precept/api/wire"
)

type claimSet map[string]any

// forge makes a token with any header and claims, signed by one of the EHR's keys
// whatever the header says.
func (w *world) forge(alg string, header map[string]any, c claimSet) string {
	w.Helper()
	payload, err := json.Marshal(c)
	w.must(err)
	opts := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for name, value := range header {
		if value != nil {
			opts.ExtraHeaders[jose.HeaderKey(name)] = value
		}
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: w.keys[alg]}, opts)
	w.must(err)
	signed, err := s.Sign(payload)
	w.must(err)
	token, err := signed.CompactSerialize()
	w.must(err)
	return token
}

func header(alg string) map[string]any { return map[string]any{"typ": "JWT", "kid": "key+" + alg} }

func (w *world) claims() claimSet {
	return claimSet{"iss": "https://ehr.north.example", "aud": w.url + "/t/north/cds-services/orders",
		"iat": now().Unix(),
		"exp": now().Add(5 * time.Minute).Unix(), "jti": "1", "nbf": now().Add(-5 * time.Minute).Unix(),
		"sub": "anything"}
}

// with is a copy in which one member differs; nil leaves it out.
func with[M ~map[string]any](m M, name string, value any) M {
	c := M{}
	for k, v := range m {
		c[k] = v
	}
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

func (w *world) post(path, token string, body []byte, headers ...string) (*http.Response, string) {
	w.Helper()
	return w.do("POST", path, token, bytes.NewReader(body), headers...)
}

func (w *world) do(method, path, token string, body io.Reader, headers ...string) (*http.Response, string) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.url+path, body)
	w.must(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.client.Do(r)
	w.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	return resp, string(text)
}

func TestTokens(t *testing.T) {
	w := newWorld(t, nil)
	const path = "/t/north/cds-services/orders"
	good := w.claims()
	unsigned := func(alg string, sign func([]byte) []byte) string {
		h, _ := json.Marshal(map[string]string{"alg": alg, "typ": "JWT", "kid": "key+ES256"})
		c, _ := json.Marshal(good)
		input := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
		return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
	}
	der, err := x509.MarshalPKIXPublicKey(w.keys["ES256"].Public())
	w.must(err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs := func(in []byte) []byte { m := hmac.New(sha256.New, public); m.Write(in); return m.Sum(nil) }
	es := func(c claimSet) string { return w.forge("ES256", header("ES256"), c) }

	accepted := map[string]string{
		"ES256":                    es(good),
		"ES384":                    w.forge("ES384", header("ES384"), good),
		"RS384":                    w.forge("RS384", header("RS384"), good),
		"aud in an array":          es(with(good, "aud", []string{"https://other.example", w.url + path})),
		"aud with a slash more":    es(with(good, "aud", w.url+path+"/")),
		"no nbf":                   es(with(good, "nbf", nil)),
		"expired a moment ago":     es(with(good, "exp", now().Add(-59*time.Second).Unix())),
		"issued by a faster clock": es(with(good, "iat", now().Add(59*time.Second).Unix())),
	}
	refused := map[string]struct {
		token string
		why   denied
	}{
		"no token":                {"", deniedHeader},
		"not a token":             {"abc", deniedHeader},
		"four parts":              {es(good) + ".x", deniedHeader},
		"not base64":              {"a.b.c!", deniedHeader},
		"no JSON":                 {"YQ.YQ.YQ", deniedMalformed},
		"none":                    {unsigned("none", func([]byte) []byte { return nil }), deniedAlgorithm},
		"HS256 by public key":     {unsigned("HS256", hs), deniedAlgorithm},
		"PS384, not the client's": {w.forgePS384(good), deniedKeyID},
		"typ missing":             {w.forge("ES256", with(header("ES256"), "typ", nil), good), deniedType},
		"typ at+jwt":              {w.forge("ES256", with(header("ES256"), "typ", "at+jwt"), good), deniedType},
		"critical header":         {w.forge("ES256", with(header("ES256"), "crit", []string{"x"}), good), deniedType},
		"kid missing":             {w.forge("ES256", with(header("ES256"), "kid", nil), good), deniedKeyID},
		"kid unknown":             {w.forge("ES256", with(header("ES256"), "kid", "x"), good), deniedKeyID},
		"key of another type":     {w.forge("ES256", with(header("ES256"), "kid", "key+RS384"), good), deniedKeyID},
		"key of another curve":    {w.forge("ES256", with(header("ES256"), "kid", "key+ES384"), good), deniedKeyID},
		"key for encryption": {w.forge("ES256", with(header("ES256"), "kid", "for-encryption"), good),
			deniedKeyID},
		"key of another alg": {w.forge("RS384", with(header("RS384"), "kid", "other-algorithm"), good),
			deniedKeyID},
		"symmetric key":           {w.forge("ES256", with(header("ES256"), "kid", "symmetric"), good), deniedKeyID},
		"iss unknown":             {es(with(good, "iss", "https://sandbox.cds-hooks.org")), deniedIssuer},
		"iss of the other tenant": {es(with(good, "iss", "https://ehr.south.example")), deniedIssuer},
		"iss missing":             {es(with(good, "iss", nil)), deniedIssuer},
		"aud of another tenant":   {es(with(good, "aud", w.url+"/t/south/cds-services/orders")), deniedAudience},
		"aud of discovery":        {es(with(good, "aud", w.url+"/t/north/cds-services")), deniedAudience},
		"aud of feedback":         {es(with(good, "aud", w.url+path+"/feedback")), deniedAudience},
		"aud of another host":     {es(with(good, "aud", "https://evil.example"+path)), deniedAudience},
		"aud missing":             {es(with(good, "aud", nil)), deniedAudience},
		"aud a number":            {es(with(good, "aud", 1)), deniedMalformed},
		"expired":                 {es(with(good, "exp", now().Add(-61*time.Second).Unix())), deniedTime},
		"exp missing":             {es(with(good, "exp", nil)), deniedTime},
		"exp a text":              {es(with(good, "exp", "soon")), deniedMalformed},
		"iat missing":             {es(with(good, "iat", nil)), deniedTime},
		"iat in the future":       {es(with(good, "iat", now().Add(2*time.Minute).Unix())), deniedTime},
		"nbf in the future":       {es(with(good, "nbf", now().Add(2*time.Minute).Unix())), deniedTime},
		"lives two days":          {es(with(good, "exp", now().Add(48*time.Hour).Unix())), deniedLife},
		"jti missing":             {es(with(good, "jti", nil)), deniedID},
		"signed by another": {w.forge("ES256", header("ES256"), good)[:len(es(good))-4] + "AAAA",
			deniedSignature},
		"too long": {strings.Repeat("a", maxToken) + ".b.c", deniedHeader},
	}
	for name, token := range accepted {
		if resp, body := w.post(path, token, w.standard(1)); resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	before := len(w.server.counted(t, "precept_refusals_unauthenticated_total"))
	var first string
	expect := map[denied]float64{}
	check := func(name, path, token string, headers ...string) {
		t.Helper()
		resp, body := w.post(path, token, []byte("never read"), headers...)
		resp.Header.Del("Date")
		seen := fmt.Sprintf("%d %v %s", resp.StatusCode, resp.Header, body)
		if first == "" {
			first = seen
		}
		if resp.StatusCode != 401 || seen != first {
			t.Errorf("%s: %s\nother causes look like %s", name, seen, first)
		}
	}
	for name, c := range refused {
		check(name, path, c.token)
		expect[c.why]++
	}
	check("unknown tenant", "/t/nowhere/cds-services/orders",
		es(with(good, "aud", w.url+"/t/nowhere/cds-services/orders")))
	check("tenant with capitals", "/t/NORTH/cds-services/orders", es(good))
	check("token for another tenant", "/t/south/cds-services/orders", es(good))
	check("north's EHR at south", "/t/south/cds-services/orders",
		es(with(good, "aud", w.url+"/t/south/cds-services/orders")))
	check("basic", path, "", "Authorization", "Basic "+es(good))
	expect[deniedTenant] += 2
	expect[deniedIssuer]++
	expect[deniedAudience]++
	expect[deniedHeader]++
	if before != 0 {
		t.Errorf("%d refusals counted before there was one", before)
	}
	for why, n := range expect {
		if got := w.server.counted(t, "precept_refusals_unauthenticated_total")[string(why)]; got != n {
			t.Errorf("reason %s counted %v times, want %v", why, got, n)
		}
	}
	if strings.Contains(w.logged.String(), "signature") {
		t.Error("the log tells why a token was refused")
	}
}

// forgePS384 signs with an algorithm that the client is not registered for.
func (w *world) forgePS384(c claimSet) string {
	w.keys["PS384"] = w.keys["RS384"]
	return w.forge("PS384", header("RS384"), c)
}

// counted returns the samples of a counter, by its only or first label.
func (s *Server) counted(t testing.TB, name string) map[string]float64 {
	t.Helper()
	families, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				values[m.GetLabel()[0].GetValue()] += m.GetCounter().GetValue()
			}
		}
	}
	return values
}

func TestFeedbackAudiences(t *testing.T) {
	w := newWorld(t, nil)
	body := []byte(`{"feedback":[{"card":"c","outcome":"overridden","outcomeTimestamp":"2026-03-02T15:00:00Z"}]}`)
	for aud, status := range map[string]int{
		"/t/north/cds-services/orders":          200,
		"/t/north/cds-services/orders/feedback": 200,
		"/t/north/cds-services":                 401,
		"/t/south/cds-services/orders/feedback": 401,
	} {
		token := w.forge("ES256", header("ES256"), with(w.claims(), "aud", w.url+aud))
		if resp, text := w.post("/t/north/cds-services/orders/feedback", token, body); resp.StatusCode != status {
			t.Errorf("%s: %d %s", aud, resp.StatusCode, text)
		}
	}
}

func TestPersonTokens(t *testing.T) {
	w := newWorld(t, nil)
	ada, otto := w.people["ada@north.example"], w.people["otto@north.example"]
	kid := map[string]any{"typ": "JWT", "kid": string(ada.Public().ID())}
	good := claimSet{"iss": "ada@north.example", "sub": "ada@north.example", "aud": w.url, "tenant": "north",
		"iat": now().Unix(),
		"exp": now().Add(10 * time.Minute).Unix(), "jti": "1"}
	sign := func(c claimSet, header map[string]any) string {
		w.keys["EdDSA"] = ada.Crypto()
		return w.forge("EdDSA", header, c)
	}
	const path = "/v1/tenants/north/status"
	get := func(token string, headers ...string) (*http.Response, string) {
		return w.do("GET", path, token, nil, headers...)
	}
	if resp, body := get(sign(good, kid)); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if _, err := w.as("north", "otto@north.example").Status(t.Context()); err != nil {
		t.Errorf("ES256: %v", err)
	}
	w.keys["ES256"] = otto.Crypto()
	stranger := w.people["rex@heartland.example"]
	for name, token := range map[string]string{
		"eleven minutes":        sign(with(good, "exp", now().Add(11*time.Minute).Unix()), kid),
		"expired":               sign(with(good, "exp", now().Add(-2*time.Minute).Unix()), kid),
		"another person's name": sign(with(good, "iss", "otto@north.example"), kid),
		"sub differs":           sign(with(good, "sub", "otto@north.example"), kid),
		"another tenant":        sign(with(good, "tenant", "south"), kid),
		"no tenant":             sign(with(good, "tenant", nil), kid),
		"aud of a path":         sign(with(good, "aud", w.url+path), kid),
		"no jti":                sign(with(good, "jti", nil), kid),
		"kid of another person": sign(good, with(kid, "kid", string(otto.Public().ID()))),
		"ES256 for an Ed25519":  w.forge("ES256", kid, good),
		"kid of the publisher's": sign(with(with(good, "iss", "rex@heartland.example"), "sub", "rex@heartland.example"),
			with(kid, "kid", string(stranger.Public().ID()))),
		"an EHR's token": w.forge("ES384", header("ES384"), w.claims()),
	} {
		resp, body := get(token)
		if resp.StatusCode != 401 || resp.Header.Get("Content-Type") != "application/problem+json" ||
			body != `{"type":"urn:precept:problem:unauthenticated","title":"Not authenticated.",`+
				`"status":401,"code":"unauthenticated"}` {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	if resp, body := get(sign(good, kid), wire.PurposeHeader, strings.Repeat("x", 201)); resp.StatusCode != 400 {
		t.Errorf("long purpose: %d %s", resp.StatusCode, body)
	}
	if resp, _ := w.do("GET", "/v1/tenants/nowhere/status", sign(with(good, "tenant", "nowhere"), kid),
		nil); resp.StatusCode != 401 {
		t.Errorf("unknown tenant: %d", resp.StatusCode)
	}
}

func TestKeySet(t *testing.T) {
	w := &world{TB: t, keys: map[string]crypto.Signer{}}
	w.makeEHRKeys()
	public := func(alg, kid string) jose.JSONWebKey { return jose.JSONWebKey{Key: w.keys[alg].Public(), KeyID: kid} }
	read := func(algs []jose.SignatureAlgorithm, keys ...jose.JSONWebKey) map[keyName]any {
		raw, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		w.must(err)
		got, err := keySet(raw, algs)
		w.must(err)
		return got
	}
	all := ehrAlgorithms()
	if got := read(all, public("ES256", "a"), public("ES384", "a")); len(got) != 2 {
		t.Errorf("two kinds of key under one id: %v", got)
	}
	if got := read(all, public("ES256", "a"), public("ES256", "a")); len(got) != 0 {
		t.Errorf("ambiguous key kept: %v", got)
	}
	if got := read(all, public("RS384", "r")); len(got) != 3 {
		t.Errorf("RSA: %v", got)
	}
	if got := read([]jose.SignatureAlgorithm{jose.ES384}, public("ES256", "a"), public("RS384", "r")); len(got) != 0 {
		t.Errorf("algorithm outside the client's list: %v", got)
	}
	if got := read(all, jose.JSONWebKey{Key: w.keys["ES256"], KeyID: "private"}); len(got) != 0 {
		t.Errorf("private key kept: %v", got)
	}
	if got := read(all, jose.JSONWebKey{Key: w.keys["ES256"].Public()}); len(got) != 0 {
		t.Errorf("key without id kept: %v", got)
	}
	n := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 128))
	small := `{"keys":[{"kty":"RSA","kid":"s","n":"` + n + `","e":"AQAB"},{"kty":"new","kid":"n"}]}`
	if got, err := keySet([]byte(small), all); err != nil || len(got) != 0 {
		t.Errorf("1024 bits or an unknown kind: %v, %v", got, err)
	}
	n = base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 256))
	degenerate := `{"keys":[{"kty":"RSA","kid":"e=1","n":"` + n + `","e":"AQ"},{"kty":"RSA","kid":"e=0","n":"` + n +
		`","e":"AA"},{"kty":"EC","crv":"P-256","kid":"infinity","x":"` + strings.Repeat("A", 43) + `","y":"` +
		strings.Repeat("A", 43) + `"},{"kty":"OKP","crv":"Ed25519","kid":"order 4","x":"` + strings.Repeat("A", 43) +
		`"}]}`
	if got, err := keySet([]byte(degenerate), all); err != nil || len(got) != 0 {
		t.Errorf("keys under which anybody signs: %v, %v", got, err)
	}
	if _, err := keySet([]byte(`{"keys":{}}`), all); err != deniedKeys {
		t.Errorf("%v", err)
	}
}

func BenchmarkTokenCheck(b *testing.B) {
	w := newWorld(b, nil)
	for _, alg := range []string{"ES256", "RS384", "ES384"} {
		token := w.forge(alg, header(alg), w.claims())
		p, err := w.server.engine.Policy("north")
		w.must(err)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				t, err := parseToken(token, ehrAlgorithms())
				if err != nil {
					b.Fatal(err)
				}
				if err := t.valid(now(), ehrLife, w.url+"/t/north/cds-services/orders"); err != nil {
					b.Fatal(err)
				}
				r := w.server.doors.registry(p)
				if err := w.server.proveToken(t, r.clients[t.claims.Issuer].key(t), r.decoys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
