package api

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/trust"
)

// get asks without a token.
func (w *world) get(path string) (status int, header http.Header, body []byte) {
	w.Helper()
	resp, err := http.Get(w.url + path)
	w.must(err)
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	w.must(err)
	return resp.StatusCode, resp.Header, body
}

// anchors waits until the region's log has so many leaves.
func (w *world) anchors(least int64) {
	w.Helper()
	for began := time.Now(); w.server.engine.Anchors().Size < least; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			w.Fatalf("%d heads are anchored after 30 s", w.server.engine.Anchors().Size)
		}
	}
}

// TestRegionLogOverHTTP reads the region's log as a stranger does, with nothing but the C2SP forms, and holds the anchors
// of a tenant against it.
func TestRegionLogOverHTTP(t *testing.T) {
	w := newAnchoredWorld(t, nil, 10*time.Millisecond)
	w.anchors(4) // two logs of two tenants
	north := w.as("north", "otto@north.example")
	status, err := north.Status(t.Context())
	w.must(err)
	code, header, checkpoint := w.get("/v1/log/anchor/checkpoint")
	if code != 200 || header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Fatalf("checkpoint: %d %s", code, checkpoint)
	}
	const origin = "audit.example.org/us-east/anchor"
	head, err := audit.OpenHead(origin, checkpoint, status.NodeKey)
	w.must(err)
	region, err := client.NewRegion(w.url)
	w.must(err)
	for _, log := range []string{"releases", "audit/2026-03"} {
		text, err := north.Anchor(t.Context(), log, 1)
		w.must(err)
		a, err := audit.ParseAnchor(text)
		w.must(err)
		under, err := a.Verify(origin, status.NodeKey)
		w.must(err)
		if a.Log != "audit.example.org/us-east/north/"+log || under.Size < a.Index {
			t.Errorf("%s: %+v", log, a)
		}
		if _, err := north.Anchor(t.Context(), log, 1<<40); problemOf(err).Code != "not-found" {
			t.Errorf("%s beyond its end: %v", log, err)
		}
	}
	width := min(head.Size, 256)
	tile := tlog.Tile{H: 8, W: int(width)}
	hashes, err := region.Tile(t.Context(), tile)
	w.must(err)
	path := strings.TrimPrefix(tile.Path(), "tile/8/0/")
	code, header, entries := w.get("/v1/log/anchor/tile/entries/" + path)
	if code != 200 || header.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("entries: %d %s", code, entries)
	}
	for i, rest := 0, entries; len(rest) > 0; i++ {
		n := int(binary.BigEndian.Uint16(rest))
		if hash := tlog.RecordHash(rest[2 : 2+n]); !bytes.Equal(hash[:], hashes[32*i:32*i+32]) {
			t.Errorf("leaf %d", i)
		}
		rest = rest[2+n:]
	}
	for _, word := range []string{"north", "south", "audit/"} {
		if bytes.Contains(entries, []byte(word)) || bytes.Contains(checkpoint, []byte(word)) {
			t.Errorf("the region's log names %s", word)
		}
	}
	for path, want := range map[string]int{"witnessed": 404, "tile/0/001": 404, "tile/0/000.p/256": 404, "tile/9/000": 404,
		"tile/entries/x001/000": 404, "tile/x": 404, "tile/entries/": 404, "tile/data/000": 404, "": 404, "x": 404} {
		if code, _, body := w.get("/v1/log/anchor/" + path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// TestLeavesOfTenantsAreTheirs: leaves are for auditors of the tenant, who say why and are recorded; statements for all of
// its persons; anchors and leaves for nobody else.
func TestLeavesOfTenantsAreTheirs(t *testing.T) {
	w := newAnchoredWorld(t, nil, 10*time.Millisecond)
	w.anchors(4)
	const leaves, statements, anchor = "log/audit/2026-03/tile/entries/000.p/1", "log/releases/tile/entries/000.p/1",
		"log/releases/anchor"
	ask := func(of tenant.ID, person trust.PersonID, purpose, path string) (int, string) {
		t.Helper()
		token, err := w.as(of, person).Token()
		w.must(err)
		r, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/v1/tenants/north/"+path, nil)
		w.must(err)
		r.Header.Set("Authorization", "Bearer "+token)
		if purpose != "" {
			r.Header.Set(wire.PurposeHeader, purpose)
		}
		resp, err := http.DefaultClient.Do(r)
		w.must(err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		w.must(err)
		return resp.StatusCode, string(body)
	}
	for _, c := range []struct {
		tenant        tenant.ID
		person        trust.PersonID
		purpose, path string
		want          int
	}{
		{"north", "ada@north.example", "sample", leaves, 200},
		{"north", "ada@north.example", "", leaves, 400},
		{"north", "otto@north.example", "sample", leaves, 403},
		{"south", "ada@north.example", "sample", leaves, 401},
		{"north", "otto@north.example", "", statements, 404}, // longer than a bundle allows, or there: see below
		{"south", "otto@north.example", "", statements, 401},
		{"north", "otto@north.example", "", anchor, 200},
		{"south", "otto@north.example", "", anchor, 401},
		{"north", "otto@north.example", "", anchor + "?size=0", 400},
		{"north", "otto@north.example", "", anchor + "?size=1&size=2", 400},
	} {
		got, body := ask(c.tenant, c.person, c.purpose, c.path)
		if c.path == statements && c.want == 404 {
			if got != 200 && got != 404 {
				t.Errorf("%v: %d %s", c, got, body)
			}
			continue
		}
		if got != c.want || got == 200 && c.path == leaves && !strings.Contains(body, `"recordId"`) {
			t.Errorf("%v: %d %s", c, got, body)
		}
	}
	for _, path := range []string{leaves, statements, anchor} {
		if code, _, _ := w.get("/v1/tenants/north/" + path); code != 401 {
			t.Errorf("%s without a token: %d", path, code)
		}
	}
	page, err := w.as("north", "ada@north.example").Records(t.Context(), wire.Search{Kind: "access", Limit: 100})
	w.must(err)
	seen, bodies := false, ""
	for _, line := range page.Records {
		r, err := w.as("north", "ada@north.example").Record(t.Context(), line.ID)
		w.must(err)
		bodies += string(r.Body) + "\n"
		seen = seen || strings.Contains(string(r.Body), `"purpose":"sample","what":{"verb":"leaves"}`)
	}
	if !seen {
		t.Errorf("no record of the access to leaves in %s", bodies)
	}
}

// TestStrangersAreBounded: whoever floods the region's log is refused, and nobody else.
func TestStrangersAreBounded(t *testing.T) {
	w := newAnchoredWorld(t, func(c *Config) { c.Limits.LogRate = 2 }, 10*time.Millisecond)
	w.anchors(1)
	counts := map[int]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				resp, err := http.Get(w.url + "/v1/log/anchor/checkpoint")
				if err != nil {
					continue
				}
				resp.Body.Close()
				mu.Lock()
				counts[resp.StatusCode]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if counts[200] != 20 || counts[429] != 60 { // ten seconds' worth, of a clock that stands
		t.Errorf("answers %v", counts)
	}
	if _, err := w.as("north", "otto@north.example").Status(t.Context()); err != nil {
		t.Errorf("a person: %v", err)
	}
	if _, err := w.ehr("north", "ES256").Call(t.Context(), "orders", w.standard(1)); err != nil {
		t.Errorf("an EHR: %v", err)
	}
}
