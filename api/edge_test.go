package api

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/trust"
)

// send sends a request with the headers as they are, several of a name included.
func (w *world) send(method, path, token string, body io.Reader, h http.Header) (*http.Response, string) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.url+path, body)
	w.must(err)
	for name, values := range h {
		r.Header[name] = values
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := w.client.Do(r)
	w.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	return resp, string(text)
}

// TestEveryHeaderCounts sends several headers of a name: the door does not look
// at the first one only.
func TestEveryHeaderCounts(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Origins = []string{"https://ehr.north.example"} })
	for i, c := range []struct {
		name   string
		values []string
		status int
	}{
		{"Content-Encoding", []string{"identity"}, 200},
		{"Content-Encoding", []string{"Identity", "identity, IDENTITY"}, 200},
		{"Content-Encoding", []string{"identity", "gzip"}, 415},
		{"Content-Encoding", []string{"", "gzip"}, 415},
		{"Content-Encoding", []string{"identity, gzip"}, 415},
		{"Content-Encoding", []string{"gzip, identity"}, 415},
		{"Content-Encoding", []string{"x"}, 415},
		{"Content-Type", []string{"application/json", "application/fhir+json"}, 200},
		{"Content-Type", []string{"application/json", "text/html"}, 415},
		{"Content-Type", []string{"", "text/html"}, 415},
	} {
		resp, body := w.send("POST", ordersPath, w.ordersToken(), bytes.NewReader(w.standard(i)),
			http.Header{c.name: c.values})
		if resp.StatusCode != c.status {
			t.Errorf("%s %q: %d %s", c.name, c.values, resp.StatusCode, body)
		}
	}
	resp, _ := w.send("GET", "/t/north/cds-services", "", nil,
		http.Header{"Origin": {"https://ehr.north.example", "https://evil.example"}})
	if resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("a request with two origins was allowed for the first")
	}
}

// TestWordsInRecordsAreBounded sends words that are kept in records, longer than
// any that mean something and cut where they are no text.
func TestWordsInRecordsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.as("north", "ada@north.example")
	long := strings.Repeat("x", 9000)
	for _, c := range []struct {
		field  string
		search wire.Search
	}{
		{"rule", wire.Search{Rule: long}}, {"kind", wire.Search{Kind: long}}, {"cursor", wire.Search{Cursor: long}},
		{"patient.base", wire.Search{Patient: &wire.Patient{Base: long, ID: "1"}}},
		{"patient.id", wire.Search{Patient: &wire.Patient{Base: "https://ehr.north.example", ID: long}}},
	} {
		_, err := ada.Records(t.Context(), c.search)
		if p := problemOf(err); p.Status != 400 || p.Code != "parameter" || !strings.Contains(p.Detail, c.field+":") {
			t.Errorf("%s of %d characters: %v", c.field, len(long), err)
		}
	}
	if _, err := ada.Records(t.Context(), wire.Search{Rule: strings.Repeat("x", 130)}); err != nil {
		t.Errorf("a rule of 130 characters: %v", err)
	}
	token, err := ada.Token()
	w.must(err)
	if resp, body := w.do("GET", "/v1/tenants/north/records?rule=%ff", token, nil, wire.PurposeHeader,
		"test"); resp.StatusCode != 400 {
		t.Errorf("a rule that is no text: %d %s", resp.StatusCode, body)
	}
	service := strings.Repeat("é", 60) // of two bytes each; cut at 100 with one before them, half of one is left
	path := "/t/north/cds-services/x" + service
	resp, body := w.post("/t/north/cds-services/x"+url.PathEscape(service),
		w.forge("ES256", header("ES256"), with(w.claims(), "aud", w.url+path)), w.standard(1))
	if resp.StatusCode != 404 {
		t.Errorf("a long service: %d %s", resp.StatusCode, body)
	}
	page, err := ada.Records(t.Context(), wire.Search{Limit: 100})
	w.must(err)
	for _, line := range page.Records {
		r, err := ada.Record(t.Context(), line.ID)
		w.must(err)
		if line.Kind == "access" && len(r.Body) > 600 {
			t.Errorf("an access record of %d bytes: %.200s", len(r.Body), r.Body)
		}
	}
}

// TestPersonsArePaced has a person ask without a pause. Others of the tenant go on,
// until all of them together ask too much; statements are taken even then.
func TestPersonsArePaced(t *testing.T) {
	var clock atomic.Int64 // milliseconds after now
	w := newWorld(t, func(c *Config) {
		c.Limits = Limits{PersonRate: 3, TenantRate: 5}
		c.Clock = func() time.Time { return now().Add(time.Duration(clock.Load()) * time.Millisecond) }
	})
	clock.Add(60_000) // what the making of the world took is given back
	flood := func(tenant tenant.ID, person trust.PersonID) (answered int) {
		t.Helper()
		c := w.as(tenant, person)
		for range 100 {
			if _, err := c.Status(t.Context()); err != nil {
				if p := problemOf(err); p.Status != 429 || p.Code != "rate" || p.RetryAfter != 1 {
					t.Fatalf("%s: %v", person, err)
				}
				return answered
			}
			answered++
		}
		return answered
	}
	if n := flood("north", "ada@north.example"); n != 30 {
		t.Errorf("one person was answered %d times, want 30", n)
	}
	if n := flood("north", "amy@north.example"); n != 20 {
		t.Errorf("the next one was answered %d times, want 20", n)
	}
	if n := flood("south", "ada@north.example"); n != 30 {
		t.Errorf("a person of the other tenant was answered %d times, want 30", n)
	}
	if _, err := w.as("north", "amy@north.example").Apply(t.Context(), []byte("{")); problemOf(err).Status != 400 {
		t.Errorf("a statement among the flood: %v", err)
	}
	if n := w.server.counted(t, "precept_limits_hit_total")["rate"]; n != 3 {
		t.Errorf("%v refusals counted, want 3", n)
	}
	clock.Add(1000)
	if n := flood("north", "ada@north.example"); n != 3 {
		t.Errorf("after a second: %d answers, want 3", n)
	}
	w.server.setLimits(Limits{PersonRate: 1, TenantRate: 1})
	if n := flood("north", "ada@north.example"); n != 10 {
		t.Errorf("with other limits: %d answers, want 10", n)
	}
}
