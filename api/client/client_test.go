package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func clock() time.Time { return time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC) }

func key() crypto.Signer { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

func TestNew(t *testing.T) {
	k := key()
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	person := func(change func(*Config)) func() error {
		c := Config{URL: "https://x.example", Tenant: "north", Person: "a@x.example", Key: k, Clock: clock}
		change(&c)
		return func() error { _, err := New(c); return err }
	}
	if err := person(func(*Config) {})(); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]func() error{
		"slash":              person(func(c *Config) { c.URL = "https://x.example/" }),
		"relative":           person(func(c *Config) { c.URL = "/x" }),
		"no tenant":          person(func(c *Config) { c.Tenant = "" }),
		"no person":          person(func(c *Config) { c.Person = "" }),
		"no clock":           person(func(c *Config) { c.Clock = nil }),
		"no key":             person(func(c *Config) { c.Key = nil }),
		"P-384 key":          person(func(c *Config) { c.Key = other }),
		"EHR without issuer": func() error { _, err := NewEHR(EHRConfig{URL: "https://x.example"}); return err },
		"EHR without key": func() error {
			_, err := NewEHR(EHRConfig{URL: "https://x.example", Tenant: "north", Issuer: "i", KeyID: "k",
				Algorithm: "ES256", Clock: clock})
			return err
		},
	} {
		if err := bad(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewEHR(EHRConfig{URL: "https://x.example", Tenant: "north", Issuer: "i", KeyID: "k", Key: k,
		Algorithm: "HS256", Clock: clock}); err == nil {
		t.Error("HS256 with an Ed25519 key")
	}
}

func TestAnswers(t *testing.T) {
	answers := map[string]struct {
		status      int
		contentType string
		body        string
		want        string
	}{
		"problem": {409, "application/problem+json",
			`{"title":"Out of sequence.","status":409,"code":"sequence","detail":"seq 3","hint":"Make a new one."}`,
			"409 Out of sequence: seq 3: Make a new one."},
		"outcome": {413, "application/fhir+json",
			`{"resourceType":"OperationOutcome",` +
				`"issue":[{"details":{"text":"Too large.","coding":[{"code":"too-large"}]}}]}`,
			"413 Too large."},
		"proxy page": {502, "text/html", "<html>", "answer is not from Precept"},
		"redirect":   {302, "text/html", "", "answer is not from Precept"},
		"not JSON":   {200, "application/json", "hello", "answer is not from Precept"},
		"empty issue": {400, "application/fhir+json", `{"resourceType":"OperationOutcome","issue":[]}`,
			"answer is not from Precept"},
		"other shape":  {400, "application/problem+json", `[]`, "answer is not from Precept"},
		"other member": {200, "application/json", `{"tenant":"north","new":1}`, ""},
	}
	for name, a := range answers {
		hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", a.contentType)
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(a.status)
			_, _ = w.Write([]byte(a.body))
		}))
		c, err := New(Config{URL: hs.URL, Tenant: "north", Person: "a@x.example", Key: key(), Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Status(t.Context())
		hs.Close()
		if (err == nil) != (a.want == "") || err != nil && !strings.Contains(err.Error(), a.want) {
			t.Errorf("%s: %v", name, err)
		}
		if p, ok := errors.AsType[*Problem](err); ok && (p.RetryAfter != 7 || p.Status != a.status) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func FuzzReadProblem(f *testing.F) {
	f.Add("application/problem+json", []byte(`{"title":"x"}`))
	f.Add("application/fhir+json", []byte(`{"resourceType":"OperationOutcome","issue":[{"expression":["a"]}]}`))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		err := readProblem(400, http.Header{"Content-Type": {kind}}, body)
		if _, ok := errors.AsType[*Problem](err); !ok && !errors.Is(err, ErrAnswer) {
			t.Fatal(err)
		}
	})
}
