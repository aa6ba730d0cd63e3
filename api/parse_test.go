package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/precept-cds/precept/api/wire"
)

func TestBearer(t *testing.T) {
	for value, want := range map[string]string{
		"Bearer a.b.c": "a.b.c", "bearer a.b.c": "a.b.c", "BEARER  a.b.c ": "a.b.c",
		"Bearer": "", "Bearer ": "", "a.b.c": "", "Basic a.b.c": "", "Bearer a.b": "", "Bearer a.b.c.d": "",
		"Bearer a.b.c d": "", "Bearer a.b.c,": "", "Bearer a.b.\x7f": "",
	} {
		if got := bearer(http.Header{"Authorization": {value}}); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
	if bearer(http.Header{"Authorization": {"Bearer a.b.c", "Bearer a.b.c"}}) != "" {
		t.Error("two headers were accepted")
	}
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.")
	f.Add("bearer  a.b.c ")
	f.Fuzz(func(t *testing.T, value string) {
		token := bearer(http.Header{"Authorization": {value}})
		if token != "" && (strings.Count(token, ".") != 2 || strings.ContainsAny(token, " \t\r\n,")) {
			t.Fatalf("%q", token)
		}
		if _, err := parseToken(token, ehrAlgorithms()); err == nil && token == "" {
			t.Fatal("nothing was taken for a token")
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImEifQ.eyJpc3MiOiJhIn0.AAAA")
	f.Fuzz(func(t *testing.T, raw string) {
		if tok, err := parseToken(raw, ehrAlgorithms()); err == nil &&
			(tok.kid == "" || !strings.Contains("ES256 ES384 RS256 RS384 PS384", string(tok.alg))) {
			t.Fatalf("%+v", tok)
		}
	})
}

func FuzzPurpose(f *testing.F) {
	f.Add("complaint 2026-17")
	f.Fuzz(func(t *testing.T, value string) {
		text, err := purpose(http.Header{wire.PurposeHeader: {value}})
		if err == nil && (len(text) > maxPurpose || strings.ContainsAny(text, "\r\n\x00")) {
			t.Fatalf("%q", text)
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add("from=2026-01-01T00:00:00Z&limit=5", []byte(`{"patient":{"base":"https://x.example","id":"1"},"limit":3}`))
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		if q, err := parseQuery(query); err == nil && q.Patient != nil {
			t.Fatal("a patient came out of a URL")
		}
		if q, err := parseSearch(body); err == nil {
			_, _ = filter(q)
		}
	})
}

func FuzzTilePath(f *testing.F) {
	f.Add("0/x001/234.p/17")
	f.Add("entries/x001/234.p/17")
	f.Fuzz(func(t *testing.T, path string) {
		tile, entries, err := parseTile(path)
		if entries {
			path = strings.Replace(path, "entries/", "0/", 1)
		}
		if err == nil && (tile.L < 0 || tile.N < 0 || tile.W < 1 || tile.W > 256 || "tile/8/"+path != tile.Path() ||
			entries && tile.L != 0) {
			t.Fatalf("%+v", tile)
		}
	})
}

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AA","y":"AA"},{"kty":"oct","kid":"b","k":"AA"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := keySet(raw, ehrAlgorithms())
		for name, key := range keys {
			if err != nil || len(fitting(key)) == 0 || name.kid == "" {
				t.Fatalf("%v with %v", name, err)
			}
		}
	})
}
