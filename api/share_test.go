package api

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/fixtures"
)

// heldBodies opens connections, each with a call whose last byte never comes, and
// returns the answers that came all the same.
func (w *world) heldBodies(n int, chunked bool, size int) (refused func() []*http.Response, hangUp func()) {
	w.Helper()
	var conns []net.Conn
	var mu sync.Mutex
	var answers []*http.Response
	length, body := fmt.Sprintf("Content-Length: %d", size), bytes.Repeat([]byte(" "), size-1)
	if chunked {
		length, body = "Transfer-Encoding: chunked", fmt.Appendf(nil, "%x\r\n%s", size, body)
	}
	header := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", ordersPath,
		w.ordersToken(), length)
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		w.must(err)
		conns = append(conns, conn)
		go func() {
			_, _ = io.WriteString(conn, header)
			_, _ = conn.Write(body) // the same bytes for all: the server's memory is what is looked at
		}()
		go func() {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return // hung up while we were still sending
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, resp)
		}()
	}
	hangUp = func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	w.Cleanup(hangUp)
	return func() []*http.Response {
		mu.Lock()
		defer mu.Unlock()
		return append([]*http.Response{}, answers...)
	}, hangUp
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// TestHeldBodies has a tenant hold 300 bodies of a megabyte open: they take no
// more than its share, the other tenant is answered meanwhile, and when they are
// gone so is everybody.
func TestHeldBodies(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		const budget = 32 << 20
		w := newWorld(t, func(c *Config) { c.Limits.BodyBytes = budget })
		w.release("south", "terminology_core", "renal_dosing", "nsaid_anticoagulant", "high_priority_ddi")
		before := heap()
		refused, hangUp := w.heldBodies(300, chunked, 1<<20)
		for began := time.Now(); len(refused()) < 200; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("chunked %v: only %d of 300 held bodies were refused", chunked, len(refused()))
			}
		}
		if grown := heap() - before; grown > budget {
			t.Errorf("chunked %v: 300 held bodies take %d MB, of a budget of %d MB", chunked, grown>>20, budget>>20)
		}
		for _, resp := range refused() {
			if resp.StatusCode != 503 && resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" {
				t.Errorf("chunked %v: refused with %d %v", chunked, resp.StatusCode, resp.Header)
			}
		}
		if _, err := w.ehr("south", "ES256").Call(t.Context(), "orders", fixtures.Large(1<<20-20_000)); err != nil {
			t.Errorf("chunked %v: the other tenant, meanwhile: %v", chunked, err)
		}
		if _, err := w.as("north", "abe@north.example").Apply(t.Context(), []byte("{")); problemOf(err).Status != 400 {
			t.Errorf("chunked %v: a statement of the same tenant, meanwhile: %v", chunked, err)
		}
		hits := w.server.counted(t, "precept_limits_hit_total")
		if hits["no-room"]+hits["busy"] < 200 {
			t.Errorf("chunked %v: counted %v", chunked, hits)
		}
		hangUp()
		for began := time.Now(); w.server.shares.inUse() > 0; time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("chunked %v: %d bytes are still held", chunked, w.server.shares.inUse())
			}
		}
		if _, err := w.ehr("north", "ES256").Call(t.Context(), "orders", w.standard(1)); err != nil {
			t.Errorf("chunked %v: the same tenant, afterwards: %v", chunked, err)
		}
	}
}

// TestPlaceBeforeBody holds as many bodies open as the tenant may have calls: the
// next one is refused before its body is read, and taken if a place is free soon.
func TestPlaceBeforeBody(t *testing.T) {
	w := newWorld(t, nil)
	refused, hangUp := w.heldBodies(64, false, 1000)
	for began := time.Now(); w.server.shares.inUse() < 64*1001; time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the bodies are not being read")
		}
	}
	body := &endless{1 << 19}
	r := must(http.NewRequest("POST", w.url+ordersPath, body))
	r.ContentLength = 1 << 19
	r.Header.Set("Authorization", "Bearer "+w.ordersToken())
	r.Header.Set("Expect", "100-continue")
	resp, err := (&http.Transport{ExpectContinueTimeout: time.Minute}).RoundTrip(r)
	w.must(err)
	if resp.StatusCode != 429 || body.left < 1<<19 {
		t.Errorf("%d, %d bytes of the body were asked for", resp.StatusCode, 1<<19-body.left)
	}
	time.AfterFunc(maxWait/4, hangUp)
	if _, err := w.ehr("north", "ES256").Call(t.Context(), "orders", w.standard(1)); err != nil {
		t.Errorf("with a place free soon: %v", err)
	}
	if n := len(refused()); n != 0 {
		t.Errorf("%d held bodies were refused", n)
	}
}

// TestShares fills shares from several sides: whoever comes next finds something
// left, and nothing is ever given beyond the total.
func TestShares(t *testing.T) {
	s := newShares(1000, errNoRoom)
	var given []*want
	fill := func(who string) (sum int64) {
		for {
			w := &want{who: who, kind: aCall, most: 1000, bytes: 10}
			if s.lacks(w) != nil {
				return sum
			}
			s.give(w)
			given, sum = append(given, w), sum+10
		}
	}
	left := int64(1000)
	for i, want := range []int64{500, 250, 120, 60, 30} {
		got := fill(fmt.Sprint("tenant", i))
		if left -= got; got != want || left < 0 {
			t.Errorf("tenant %d got %d of the total, want %d; %d left", i, got, want, left)
		}
	}
	if err := s.take(t.Context(), &want{who: "tenant0", kind: aCall, most: 1000, bytes: 10}); !errors.Is(err, errNoRoom) {
		t.Errorf("beyond the share: %v", err)
	}
	if err := s.take(t.Context(), &want{who: "tenant0", kind: aCall, most: 50, bytes: 1}); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("beyond the places: %v", err)
	}
	// Those who wait get what comes back, in their order, and their waiting ends.
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			w := &want{who: "new", kind: anUpload, most: 5, bytes: 50}
			if err := s.take(t.Context(), w); err != nil {
				t.Errorf("waiting: %v", err)
				return
			}
			s.release(w)
		})
	}
	time.Sleep(maxWait / 4)
	for _, w := range given {
		s.release(w)
	}
	wg.Wait()
	if s.inUse() != 0 || len(s.held) != 0 || len(s.waiting) != 0 {
		t.Errorf("%d bytes are held by %d, %d wait", s.inUse(), len(s.held), len(s.waiting))
	}
}
