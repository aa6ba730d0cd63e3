package api

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/signing/statement"
)

const ordersPath = "/t/north/cds-services/orders"

// ordersToken is valid for calls of the service orders of north.
func (w *world) ordersToken() string {
	w.Helper()
	token, err := w.ehr("north", "ES256").Token("orders")
	w.must(err)
	return token
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t, nil)
	d, err := w.ehr("north", "RS384").Discover(t.Context())
	w.must(err)
	if len(d.Services) != 2 || d.Services[0].ID != "orders" || len(d.Services[0].Prefetch) != 7 ||
		d.Services[0].Prefetch[0].Key != "patient" {
		t.Errorf("%+v", d)
	}
	if resp, _ := w.do("GET", "/t/north/cds-services", "", nil); resp.StatusCode != 401 {
		t.Errorf("without a token: %d", resp.StatusCode)
	}
}

func TestCall(t *testing.T) {
	w := newWorld(t, nil)
	patients, err := fixtures.Patients()
	w.must(err)
	for _, p := range patients {
		a, err := w.ehr("north", "ES256").Call(t.Context(), "orders", p.Request)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		var answer struct{ Cards []json.RawMessage }
		w.must(json.Unmarshal(a.Body, &answer))
		if len(answer.Cards) != p.Expect.Cards {
			t.Errorf("%s: %d cards, want %d", p.Name, len(answer.Cards), p.Expect.Cards)
		}
		receipt, err := audit.ParseReceipt(a.Receipt)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		again, err := w.ehr("north", "ES384").Call(t.Context(), "orders", p.Request)
		w.must(err)
		if !bytes.Equal(again.Body, a.Body) || !strings.Contains(again.Receipt, string(receipt.RecordID)) {
			t.Errorf("%s: the same call got another answer", p.Name)
		}
	}
	cards, records := w.server.counted(t, "precept_cards_total"), w.server.counted(t, "precept_records_total")
	if cards["critical"] == 0 || cards["warning"] == 0 || records["decision"] != float64(len(patients)) {
		t.Errorf("cards %v, records %v", cards, records)
	}
}

func TestMediaTypes(t *testing.T) {
	w := newWorld(t, nil)
	for i, c := range []struct {
		contentType string
		status      int
	}{
		{"application/json", 200}, {"application/json; charset=utf-8", 200}, {"application/fhir+json", 200},
		{"text/json", 200}, {"", 200},
		{"application/json; broken", 200}, {"Application/JSON", 200},
		{"application/x-www-form-urlencoded", 415}, {"text/plain", 415}, {"application/xml", 415},
	} {
		resp, body := w.post(ordersPath, w.ordersToken(), w.standard(i), "Content-Type", c.contentType, "Accept",
			"application/fhir+json")
		if resp.StatusCode != c.status {
			t.Errorf("%q: %d %s", c.contentType, resp.StatusCode, body)
		}
		if want := typeJSON; c.status == 200 && resp.Header.Get("Content-Type") != want {
			t.Errorf("%q: answered as %q", c.contentType, resp.Header.Get("Content-Type"))
		}
	}
	resp, _ := w.post(ordersPath, w.ordersToken(), w.standard(1), "Content-Encoding", "gzip")
	if resp.StatusCode != 415 || resp.Header.Get("Accept-Encoding") != "identity" {
		t.Errorf("gzip: %d %v", resp.StatusCode, resp.Header)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, nil)
	attacks, err := fixtures.Attacks()
	w.must(err)
	type refusal struct {
		path   string
		body   []byte
		status int
		code   string
	}
	cases := map[string]refusal{
		"unknown service":            {"/t/north/cds-services/nothing", w.standard(1), 404, "unknown-service"},
		"another client's":           {"/t/north/cds-services/hidden", w.standard(1), 404, "unknown-service"},
		"unknown service's feedback": {"/t/north/cds-services/nothing/feedback", []byte(`{}`), 404, "unknown-service"},
		"empty body":                 {ordersPath, nil, 400, "json"},
		"10,000 levels":              {ordersPath, fixtures.Deep(10_000), 400, "too-deep"},
		"too large":                  {ordersPath, fixtures.Large(2 << 20), 413, "too-large"},
		"another hook": {ordersPath,
			bytes.Replace(w.standard(1), []byte(`"order-sign"`), []byte(`"patient-view"`), 1), 400, "hook"},
		"another FHIR server": {ordersPath,
			bytes.Replace(w.standard(1), []byte("https://ehr.north.example/fhir/R4\",\"fhirAuth"),
				[]byte("https://other.example/fhir/R4\",\"fhirAuth"), 1), 400, "fhir-server"},
		"feedback of nothing": {ordersPath + "/feedback", []byte(`{"feedback":[]}`), 400, "feedback"},
	}
	for _, a := range attacks {
		if a.Refuse {
			cases[a.Name] = refusal{ordersPath, a.Body, 400, ""}
		}
	}
	for name, c := range cases {
		token := w.forge("ES256", header("ES256"),
			with(w.claims(), "aud", w.url+strings.TrimSuffix(c.path, "/feedback")))
		resp, body := w.post(c.path, token, c.body)
		checkOutcome(t, name, resp, body)
		if resp.StatusCode != c.status || c.code != "" && !strings.Contains(body, `"code":"`+c.code+`"`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	page, err := w.as("north", "ada@north.example").Records(t.Context(), wire.Search{Kind: "refusal", Limit: 1000})
	w.must(err)
	if len(page.Records) != len(cases) {
		t.Errorf("%d refusals recorded, want %d", len(page.Records), len(cases))
	}
	shape := bytes.Replace(w.standard(1), []byte(`"patientId":"`), []byte(`"patientId":7,"x":"`), 1)
	if _, body := w.post(ordersPath, w.ordersToken(), shape); !strings.Contains(body,
		`"expression":["context.patientId"]`) {
		t.Errorf("no path: %s", body)
	}
}

// checkOutcome compares an error with FHIR: an OperationOutcome without empty
// members, and never markup.
func checkOutcome(t *testing.T, name string, resp *http.Response, body string) {
	t.Helper()
	o, err := fhir.UnmarshalOperationOutcome([]byte(body))
	if err != nil || len(o.Issue) != 1 || o.Issue[0].Details == nil || o.Issue[0].Details.Text == nil {
		t.Errorf("%s: not an OperationOutcome: %v: %s", name, err, body)
	}
	if got := resp.Header.Get("Content-Type"); got != typeFHIR {
		t.Errorf("%s: content type %q", name, got)
	}
	for _, empty := range []string{`""`, "[]", "{}", "null", "<"} {
		if strings.Contains(body, empty) {
			t.Errorf("%s: %s in %s", name, empty, body)
		}
	}
}

func TestNoRoute(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""}, {"GET", "/favicon.ico", 404, ""}, {"GET", "/metrics", 404, ""},
		{"GET", "/t/north/cds-services/", 404, ""},
		{"POST", "/t/north/cds-services", 405, "GET"}, {"GET", ordersPath, 405, "POST"},
		{"BREW", ordersPath, 405, "POST"},
		{"GET", "/v1/tenants/north/records/search", 401, ""}, {"DELETE", "/v1/tenants/north/records", 405, "GET"},
		{"GET", "/v1/tenants/north/nothing", 404, ""}, {"GET", "/t/../v1/tenants/north/status", 404, ""},
	} {
		resp, body := w.do(c.method, c.path, "", nil)
		if resp.StatusCode != c.status || !strings.Contains(resp.Header.Get("Allow"), c.allow) ||
			strings.Contains(body, "<") || !strings.Contains(resp.Header.Get("Content-Type"), "json") {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, resp.StatusCode, resp.Header, body)
		}
	}
}

// endless is a body of any length that costs no memory.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	for i := range p[:n] {
		p[i] = ' '
	}
	e.left -= n
	return int(n), nil
}

func TestLargeBody(t *testing.T) {
	w := newWorld(t, nil)
	const size = 50 << 20
	for _, declared := range []bool{true, false} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.url+ordersPath, &endless{size})
		w.must(err)
		if declared {
			r.ContentLength = size
		}
		r.Header.Set("Authorization", "Bearer "+w.ordersToken())
		resp, err := w.client.Do(r)
		if err != nil { // the server has hung up while we were still sending: also a refusal
			t.Logf("declared %v: %v", declared, err)
		} else {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 413 {
				t.Errorf("declared %v: %d", declared, resp.StatusCode)
			}
			checkOutcome(t, "large", resp, string(body))
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
			t.Errorf("declared %v: %d bytes allocated for a refused body", declared, grown)
		}
	}
	if w.server.counted(t, "precept_limits_hit_total")["too-large"] != 2 {
		t.Errorf("limits %v", w.server.counted(t, "precept_limits_hit_total"))
	}
	// A stranger's body is not read at all.
	resp, _ := w.do("POST", ordersPath, "", io.LimitReader(&endless{1 << 20}, 1<<20))
	if resp.StatusCode != 401 {
		t.Errorf("stranger: %d", resp.StatusCode)
	}
}

func TestBodyGrows(t *testing.T) {
	w := newWorld(t, nil)
	// Sent without a length, so that the buffer must grow; just below the limit of 1 MiB.
	body := fixtures.Large(1<<20 - 20_000)
	resp, text := w.do("POST", ordersPath, w.ordersToken(), io.MultiReader(bytes.NewReader(body)))
	if resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

func TestFeedback(t *testing.T) {
	w := newWorld(t, nil)
	ehr := w.ehr("north", "ES256")
	a, err := ehr.Call(t.Context(), "orders", w.standard(1))
	w.must(err)
	var answer struct{ Cards []struct{ UUID string } }
	w.must(json.Unmarshal(a.Body, &answer))
	entry := fmt.Sprintf(`{"card":%q,"outcome":"overridden","overrideReason":{"userComment":"known"},`+
		`"outcomeTimestamp":"2026-03-02T15:00:00Z"}`, answer.Cards[0].UUID)
	got, err := ehr.Feedback(t.Context(), "orders", []byte(`{"feedback":[`+entry+`]}`))
	w.must(err)
	if len(got.Body) != 0 || got.Receipt == "" {
		t.Errorf("%s, %q", got.Body, got.Receipt)
	}
	got, err = ehr.Feedback(t.Context(), "orders", []byte(`{"feedback":[`+entry+`,{"card":"x","outcome":"ignored"}]}`))
	w.must(err)
	if !strings.Contains(string(got.Body), `"expression":["feedback[1].outcome"]`) {
		t.Errorf("%s", got.Body)
	}
	if _, err = ehr.Feedback(t.Context(), "orders",
		[]byte(`{"feedback":[{"card":"x","outcome":"ignored"}]}`)); problemOf(err).Code != "feedback" {
		t.Errorf("%v", err)
	}
}

func problemOf(err error) client.Problem {
	if p, ok := errors.AsType[*client.Problem](err); ok {
		return *p
	}
	return client.Problem{}
}

func TestCORS(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Origins = []string{"https://ehr.north.example"} })
	for _, path := range []string{"/t/north/cds-services", ordersPath, ordersPath + "/feedback"} {
		resp, _ := w.do("OPTIONS", path, "", nil, "Origin", "https://ehr.north.example",
			"Access-Control-Request-Method", "POST")
		h := resp.Header
		if resp.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "https://ehr.north.example" ||
			h.Get("Vary") != "Origin" ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") ||
			h.Get("Access-Control-Allow-Methods") == "" || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v", path, resp.StatusCode, h)
		}
		resp, _ = w.do("OPTIONS", path, "", nil, "Origin", "https://evil.example")
		if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "" ||
			resp.Header.Get("Access-Control-Allow-Methods") != "" || resp.Header.Get("Vary") != "Origin" {
			t.Errorf("%s from elsewhere: %v", path, resp.Header)
		}
	}
	for _, c := range []struct{ method, path string }{{"POST", ordersPath}, {"GET", ordersPath},
		{"GET", "/t/north/nothing"}} {
		if resp, _ := w.do(c.method, c.path, "", nil, "Origin",
			"https://ehr.north.example"); resp.Header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%s %s: an error without CORS headers: %d", c.method, c.path, resp.StatusCode)
		}
	}
	if resp, _ := w.do("GET", "/v1/tenants/north/status", "", nil, "Origin",
		"https://ehr.north.example"); resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("the management API is open to browsers")
	}
	off := newWorld(t, nil)
	if resp, _ := off.do("OPTIONS", ordersPath, "", nil, "Origin",
		"https://ehr.north.example"); resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.StatusCode != 204 {
		t.Errorf("off: %d %v", resp.StatusCode, resp.Header)
	}
}

func TestConfig(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, c := range map[string]Config{
		"no URL":           {Log: log, Clock: now},
		"relative URL":     {PublicURL: "/x", Log: log, Clock: now},
		"slash":            {PublicURL: "https://x.example/", Log: log, Clock: now},
		"query":            {PublicURL: "https://x.example?a=b", Log: log, Clock: now},
		"no log":           {PublicURL: "https://x.example", Clock: now},
		"every origin":     {PublicURL: "https://x.example", Log: log, Clock: now, Origins: []string{"*"}},
		"null origin":      {PublicURL: "https://x.example", Log: log, Clock: now, Origins: []string{"null"}},
		"TLS without keys": {PublicURL: "https://x.example", Log: log, Clock: now, TLS: &tls.Config{}},
	} {
		if _, err := New(c, nil); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// certificate is a self-signed one for loopback.
func (w *world) certificate() (tls.Certificate, *x509.CertPool) {
	w.Helper()
	key := w.keys["ES256"].(*ecdsa.PrivateKey)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	w.must(err)
	leaf, err := x509.ParseCertificate(der)
	w.must(err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func (w *world) listen() net.Listener {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	return l
}

func TestServeTLS(t *testing.T) {
	var pool *x509.CertPool
	w := newWorld(t, func(c *Config) {
		maker := &world{TB: t, keys: map[string]crypto.Signer{}}
		maker.makeEHRKeys()
		cert, roots := maker.certificate()
		pool = roots
		c.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10}
	})
	public, private := w.listen(), w.listen()
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(public, private) }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	resp, err := c.Get("https://" + public.Addr().String() + "/t/north/cds-services")
	w.must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != 401 || resp.ProtoMajor != 2 {
		t.Errorf("%d %s", resp.StatusCode, resp.Proto)
	}
	if _, err := tls.Dial("tcp", public.Addr().String(),
		&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	conn, err := tls.Dial("tcp", public.Addr().String(), &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12})
	w.must(err)
	_ = conn.Close()
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready",
		"/metrics": "precept_tenants_unready 0\n"} {
		resp, err := http.Get("http://" + private.Addr().String() + path)
		w.must(err)
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(text), want) {
			t.Errorf("%s: %d %.200s", path, resp.StatusCode, text)
		}
	}
	w.must(w.server.Shutdown(t.Context()))
	w.must(<-served)
}

func TestGracefulShutdown(t *testing.T) {
	w := newWorld(t, nil)
	public, private := w.listen(), w.listen()
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(public, private) }()
	// A call whose body is only half there when the server is told to stop.
	body := w.standard(1)
	reader, writer := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+public.Addr().String()+ordersPath, reader)
	w.must(err)
	r.Header.Set("Authorization", "Bearer "+w.ordersToken())
	r.Header.Set("Expect", "100-continue") // which the server says when it begins to read the body
	reading := make(chan struct{})
	r = r.WithContext(httptrace.WithClientTrace(r.Context(),
		&httptrace.ClientTrace{Got100Continue: func() { close(reading) }}))
	answered := make(chan int, 1)
	go func() {
		resp, err := (&http.Transport{ExpectContinueTimeout: time.Minute}).RoundTrip(r)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	<-reading
	_, err = writer.Write(body[:1000])
	w.must(err)
	stopped := make(chan error, 1)
	go func() { stopped <- w.server.Shutdown(context.Background()) }()
	for !w.server.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	if resp, err := http.Get("http://" + private.Addr().String() + "/readyz"); err != nil || resp.StatusCode != 503 {
		t.Errorf("while stopping: %v, %v", resp, err)
	}
	select {
	case err := <-stopped:
		t.Errorf("stopped with a call under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	_, err = writer.Write(body[1000:])
	w.must(err)
	w.must(writer.Close())
	if status := <-answered; status != 200 {
		t.Errorf("the call under way got %d", status)
	}
	w.must(<-stopped)
	w.must(<-served)
	if _, err := net.Dial("tcp", public.Addr().String()); err == nil {
		t.Error("still listening")
	}
}

func TestSlowBody(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Timeouts.Read = 200 * time.Millisecond })
	public, private := w.listen(), w.listen()
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(public, private) }()
	conn, err := net.Dial("tcp", public.Addr().String())
	w.must(err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Length: 1000\r\n\r\n{", ordersPath, w.ordersToken())
	w.must(err)
	answer, err := io.ReadAll(conn)
	w.must(err)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), "slow-body") {
		t.Errorf("%s", answer)
	}
	w.must(w.server.Shutdown(t.Context()))
	w.must(<-served)
}

// TestDeadlineCoversTheBody holds that the deadline of a call runs from the first byte of
// its request: what has not come by then is not waited for, and what comes late leaves
// less time for the rest.
func TestDeadlineCoversTheBody(t *testing.T) {
	w := newWorld(t, nil)
	short := bytes.Replace(w.policy("north"), []byte(`"deadlineMs":5000,"ruleMs":4000`), []byte(`"deadlineMs":300`), 1)
	w.apply("north", w.say(statement.PackDigest{}, statement.TenantPolicy{Tenant: "north", Region: "us-east", Seq: 2,
		Policy: short}, "otto@north.example", "amy@north.example"))
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	w.must(err)
	defer conn.Close()
	began := time.Now()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Length: 1000\r\n\r\n{", ordersPath, w.ordersToken())
	w.must(err)
	answer, err := io.ReadAll(conn)
	w.must(err)
	if took := time.Since(began); took > 3*time.Second || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) {
		t.Errorf("after %v: %s", took, answer)
	}

	r := httptest.NewRequest("POST", ordersPath, nil)
	r.Header.Set("Authorization", "Bearer "+w.ordersToken())
	x := &exchange{r: r, began: now().Add(-time.Hour), params: w.server.echo.NewContext(r, nil), route: &route{}}
	x.params.SetParamNames("tenant", "id")
	x.params.SetParamValues("north", "orders")
	w.must(w.server.admitEHR(x))
	if !x.caller.Since.Equal(x.began) {
		t.Errorf("the deadline runs from %v, the request began at %v", x.caller.Since, x.began)
	}
}

func BenchmarkStranger(b *testing.B) {
	w := newWorld(b, nil)
	h := w.server.Public()
	r := must(http.NewRequest("POST", ordersPath, nil))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(&recorder{header: http.Header{}}, r)
	}
}

func TestServeFails(t *testing.T) {
	w := newWorld(t, nil)
	public, private := w.listen(), w.listen()
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(public, private) }()
	_ = private.Close()
	if err := <-served; err == nil {
		t.Error("a dead listener went unnoticed")
	}
}

func TestNoCardWithoutRecord(t *testing.T) {
	w := newWorld(t, nil)
	w.store.Break(0, audittest.Lost)
	resp, body := w.post(ordersPath, w.ordersToken(), w.standard(1))
	checkOutcome(t, "store broken", resp, body)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || strings.Contains(body, "summary") ||
		strings.Contains(body, "input/output") {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	rec := &recorder{header: http.Header{}}
	w.server.Private().ServeHTTP(rec, must(http.NewRequest("GET", "/readyz", nil)))
	if rec.status != 503 {
		t.Errorf("ready with a broken store: %d", rec.status)
	}
	last := w.logged.events(t)
	if e := last[len(last)-1]; e["error"] != "store" || e["cause"] == nil || e["level"] != "ERROR" {
		t.Errorf("%v", e)
	}
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestPanic(t *testing.T) {
	w := newWorld(t, nil)
	w.server.echo.Add("GET", "/t/:tenant/panic",
		w.server.handle(route{path: "/t/:tenant/panic", answer: func(*exchange) error { panic("Zzfamilyquill") }}))
	resp, body := w.do("GET", "/t/north/panic?name=Zzfamilyquill", "", nil)
	checkOutcome(t, "panic", resp, body)
	if resp.StatusCode != 500 || strings.Contains(body+w.logged.String(), "Zzfamilyquill") {
		t.Errorf("%d %s\n%s", resp.StatusCode, body, w.logged.String())
	}
	if e := w.logged.events(t); e[len(e)-1]["panic"] == nil || e[len(e)-1]["error"] != "internal" {
		t.Errorf("%v", e[len(e)-1])
	}
}

// TestNothingLeaks makes every kind of call with every patient and looks for
// identifiers, tokens and query strings in all that is logged and measured.
func TestNothingLeaks(t *testing.T) {
	w := newWorld(t, nil)
	patients, err := fixtures.Patients()
	w.must(err)
	ada := w.as("north", "ada@north.example")
	token := w.ordersToken()
	var secrets []string
	requests := 0
	for _, p := range patients {
		secrets = append(secrets, p.Identifiers...)
		for _, body := range [][]byte{p.Request, p.Request[:len(p.Request)/2],
			bytes.Replace(p.Request, []byte(`"patientId"`), []byte(`"patientld"`), 1)} {
			w.post(ordersPath, token, body)
		}
		w.post("/t/north/cds-services/"+p.Identifiers[0]+"?q="+p.Identifiers[0], token, p.Request)
		w.post("/"+p.Identifiers[0], token, p.Request)
		w.do("GET", "/v1/tenants/north/records?patient="+p.Identifiers[0], token, nil)
		_, _ = ada.Records(t.Context(), wire.Search{Patient: &wire.Patient{Base: "https://ehr.north.example/fhir/R4",
			ID: p.Identifiers[0]}})
		_, _ = ada.Record(t.Context(), p.Identifiers[0])
		requests += 8
	}
	page, err := ada.Records(t.Context(), wire.Search{Kind: "decision"})
	w.must(err)
	for _, r := range page.Records {
		_, err := ada.Explain(t.Context(), r.ID)
		w.must(err)
	}
	var measured strings.Builder
	families, err := w.server.metrics.registry.Gather()
	w.must(err)
	for _, f := range families {
		measured.WriteString(f.String())
	}
	secrets = append(secrets, token, "Bearer", "?q=", "eyJ")
	for _, s := range secrets {
		if strings.Contains(w.logged.String(), s) || strings.Contains(measured.String(), s) {
			t.Errorf("%q is in the log or the metrics", s)
		}
	}
	count := 0
	for _, e := range w.logged.events(t) {
		for _, name := range []string{"time", "method", "route", "status", "bytes", "ms"} {
			if _, ok := e[name]; !ok {
				t.Fatalf("event without %s: %v", name, e)
			}
		}
		if e["tenant"] == "north" && e["client"] == "ehr" && e["status"] == 200.0 &&
			(e["record"] == nil || e["cards"] == nil || e["token"] == nil) {
			t.Fatalf("event of a call lacks something: %v", e)
		}
		count++
	}
	populated := 2*4 + 4*4 // looks at the status, statements and packs that made the tenants live
	if want := populated + requests + 1 + len(page.Records); count != want {
		t.Errorf("%d events for %d requests", count, want)
	}
}

func TestTenantLabelsAreCapped(t *testing.T) {
	m := newMetrics("test", func() int { return 0 })
	var labels []string
	for i := range maxTenantLabels + 10 {
		labels = append(labels, m.label(tenant.ID(fmt.Sprintf("t%d", i))))
	}
	slices.Sort(labels)
	if got := len(slices.Compact(labels)); got != maxTenantLabels+1 {
		t.Errorf("%d labels", got)
	}
}

// TestRuleErrorsAreCounted holds that rules which failed can be seen, and why.
func TestRuleErrorsAreCounted(t *testing.T) {
	m := newMetrics("test", func() int { return 0 })
	m.answered("north", &engine.Answer{Failed: map[string]int{"limit": 2, "builtin": 1}})
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{`precept_rule_errors_total{code="limit",tenant="north"} 2`,
		`precept_rule_errors_total{code="builtin",tenant="north"} 1`} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("%s is not in\n%s", line, w.Body)
		}
	}
}

func TestUnreadyTenantsAreCounted(t *testing.T) {
	w := httptest.NewRecorder()
	newMetrics("test", func() int { return 3 }).handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "precept_tenants_unready 3\n") {
		t.Errorf("metrics:\n%s", w.Body)
	}
}
