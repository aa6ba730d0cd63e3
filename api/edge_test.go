package api

import (
	"bytes"
	"io"
	"net/http"
	"testing"
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
