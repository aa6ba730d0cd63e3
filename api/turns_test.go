package api

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestTurnsInOrder has one who floods wait beside one who does not: what comes back
// goes to who holds least.
func TestTurnsInOrder(t *testing.T) {
	s := newShares(8, errNoTurn)
	var held []*want
	for s.lacks(&want{who: "flood", bytes: 1}) == nil {
		w := &want{who: "flood", bytes: 1}
		s.give(w)
		held = append(held, w)
	}
	if len(held) != 4 {
		t.Fatalf("one alone holds %d of 8", len(held))
	}
	var others []*want
	for range 3 { // leaves nothing
		w := &want{who: "other" + string(rune('a'+len(others))), bytes: 1}
		s.give(w)
		others = append(others, w)
	}
	order := make(chan string, 4)
	var all sync.WaitGroup
	for i, who := range []string{"flood", "flood", "modest", "flood"} {
		all.Go(func() {
			w := &want{who: who, bytes: 1}
			if s.take(t.Context(), w) == nil {
				order <- who
			}
		})
		for waits := 0; waits <= i; time.Sleep(time.Millisecond) {
			s.mu.Lock()
			waits = len(s.waiting)
			s.mu.Unlock()
		}
	}
	s.release(held[0])
	s.release(others[0])
	if who := <-order; who != "modest" {
		t.Errorf("the first turn went to %s", who)
	}
	all.Wait()
}

// TestNeighbour has one tenant send ten times as much as its share of the node's turns,
// and another one a few calls: these are answered, each of them, and what is refused
// says when to come again.
func TestNeighbour(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.Calls = 8 })
	w.release("south", "terminology_core", "renal_dosing", "nsaid_anticoagulant", "high_priority_ddi")
	const south = "/t/south/cds-services/orders"
	northern := w.ordersToken()
	southern := w.forge("ES256", header("ES256"), with(with(w.claims(), "iss", "https://ehr.south.example"), "aud",
		w.url+south))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	post := func(path, token string, n int) *http.Response {
		r := must(http.NewRequest("POST", w.url+path, bytes.NewReader(w.standard(n))))
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return &http.Response{}
		}
		resp.Body.Close()
		return resp
	}
	var next, answered, refused atomic.Int64
	var stop atomic.Bool
	var flood sync.WaitGroup
	for range 40 {
		flood.Go(func() {
			for !stop.Load() {
				resp := post(ordersPath, northern, int(next.Add(1)))
				switch {
				case resp.StatusCode == 200:
					answered.Add(1)
				case (resp.StatusCode == 429 || resp.StatusCode == 503) && resp.Header.Get("Retry-After") != "":
					refused.Add(1)
				default:
					t.Errorf("the flood is answered %d %v", resp.StatusCode, resp.Header)
				}
			}
		})
	}
	most := int64(0)
	for i := range 40 {
		w.server.turns.mu.Lock()
		most = max(most, w.server.turns.holds("north"))
		w.server.turns.mu.Unlock()
		if resp := post(south, southern, 100_000+i); resp.StatusCode != 200 {
			t.Errorf("call %d of the modest one: %d", i, resp.StatusCode)
		}
	}
	stop.Store(true)
	flood.Wait()
	if most > 4 || answered.Load() == 0 {
		t.Errorf("the flood held %d of 8 turns; %d of its calls were answered, %d refused", most, answered.Load(),
			refused.Load())
	}
	if w.server.turns.inUse() != 0 || strings.Contains(w.logged.String(), "panic") {
		t.Errorf("%d turns are still held", w.server.turns.inUse())
	}
}
