package client

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing"
)

func clock() time.Time { return time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC) }

func key(t testing.TB) signing.PrivateKey {
	t.Helper()
	k, err := signing.GenerateKey(signing.Ed25519, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNew(t *testing.T) {
	k := key(t)
	for name, bad := range map[string]func() error{
		"slash":     func() error { _, err := New("https://x.example/", "north", "a@x.example", k, clock); return err },
		"relative":  func() error { _, err := New("/x", "north", "a@x.example", k, clock); return err },
		"no person": func() error { _, err := New("https://x.example", "north", "", k, clock); return err },
		"no clock":  func() error { _, err := New("https://x.example", "north", "a@x.example", k, nil); return err },
		"no key": func() error {
			_, err := New("https://x.example", "north", "a@x.example", signing.PrivateKey{}, clock)
			return err
		},
		"EHR without issuer": func() error { _, err := NewEHR(EHRConfig{URL: "https://x.example"}); return err },
		"EHR without key": func() error {
			_, err := NewEHR(EHRConfig{URL: "https://x.example", Tenant: "north", Issuer: "i", KeyID: "k", Algorithm: "ES256", Clock: clock})
			return err
		},
	} {
		if err := bad(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewEHR(EHRConfig{URL: "https://x.example", Tenant: "north", Issuer: "i", KeyID: "k", Key: k.Crypto(), Algorithm: "HS256", Clock: clock}); err == nil {
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
		"problem":      {409, "application/problem+json", `{"title":"Out of sequence.","status":409,"code":"sequence","detail":"seq 3","hint":"Make it anew."}`, "409 Out of sequence: seq 3: Make it anew."},
		"outcome":      {413, "application/fhir+json", `{"resourceType":"OperationOutcome","issue":[{"details":{"text":"Too large.","coding":[{"code":"too-large"}]}}]}`, "413 Too large."},
		"proxy page":   {502, "text/html", "<html>", "answer is not from Precept"},
		"redirect":     {302, "text/html", "", "answer is not from Precept"},
		"not JSON":     {200, "application/json", "hello", "answer is not from Precept"},
		"empty issue":  {400, "application/fhir+json", `{"resourceType":"OperationOutcome","issue":[]}`, "answer is not from Precept"},
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
		c, err := New(hs.URL, "north", "a@x.example", key(t), clock)
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
