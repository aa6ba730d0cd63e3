package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// serving starts the server of a world on listeners of its own and returns the
// address of each.
func (w *world) serving(around func(net.Listener) net.Listener) (public, private string) {
	w.Helper()
	p, q := w.listen(), w.listen()
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(around(p), q) }()
	w.Cleanup(func() {
		_ = w.server.Shutdown(w.Context()) // which has ended: what is left open is closed
		if err := <-served; err != nil {
			w.Error(err)
		}
	})
	return p.Addr().String(), q.Addr().String()
}

func plainly(l net.Listener) net.Listener { return l }

// closedWithin says whether the server ends a connection within a time.
func closedWithin(c net.Conn, limit time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	_, err := io.Copy(io.Discard, c)
	ne, ok := errors.AsType[net.Error](err)
	return !ok || !ne.Timeout()
}

func (w *world) dial(address string) net.Conn {
	w.Helper()
	c, err := net.Dial("tcp", address)
	w.must(err)
	w.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a request for north's services on a connection and returns the status.
func (w *world) ask(c net.Conn, token string) int {
	w.Helper()
	_, err := fmt.Fprintf(c, "GET /t/north/cds-services HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token)
	w.must(err)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	w.must(err)
	_, err = io.Copy(io.Discard, resp.Body)
	w.must(err)
	return resp.StatusCode
}

func (w *world) discoveryToken() string {
	w.Helper()
	return w.forge("ES256", header("ES256"), with(w.claims(), "aud", w.url+"/t/north/cds-services"))
}

// scrape reads the metrics.
func (w *world) scrape(private string) string {
	w.Helper()
	resp, err := http.Get("http://" + private + "/metrics")
	w.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	return string(text)
}

// TestIdleStrangers leaves connections open on which nothing, half a header, or a
// call without a token was sent. They are gone soon; the one of a client stays.
func TestIdleStrangers(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Timeouts = Timeouts{Stranger: 300 * time.Millisecond} })
	public, private := w.serving(plainly)
	known := w.dial(public)
	if status := w.ask(known, w.discoveryToken()); status != 200 {
		t.Fatal(status)
	}
	operator := w.dial(private)
	silent, half, refused := w.dial(public), w.dial(public), w.dial(public)
	_, err := io.WriteString(half, "GET / HTTP/1.1\r\nHost: x\r\nX: ")
	w.must(err)
	if status := w.ask(refused, "a.b.c"); status != 401 {
		t.Fatal(status)
	}
	for name, c := range map[string]net.Conn{"silent": silent, "half a header": half, "refused": refused} {
		if !closedWithin(c, 3*time.Second) {
			t.Errorf("%s: still open after ten times the time for strangers", name)
		}
	}
	if status := w.ask(known, w.discoveryToken()); status != 200 {
		t.Errorf("the client's own connection: %d", status)
	}
	if closedWithin(operator, 100*time.Millisecond) {
		t.Error("the operator's connection was closed as a stranger's")
	}
}

// TestProvenBodyMayBeSlow sends a body for longer than strangers are waited for.
func TestProvenBodyMayBeSlow(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Timeouts = Timeouts{Stranger: 200 * time.Millisecond} })
	public, _ := w.serving(plainly)
	c, body := w.dial(public), w.standard(1)
	_, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n",
		ordersPath, w.ordersToken(), len(body))
	w.must(err)
	for i := range 4 {
		time.Sleep(150 * time.Millisecond)
		_, err := c.Write(body[i*len(body)/4 : (i+1)*len(body)/4])
		w.must(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	w.must(err)
	if resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
}

// TestConnectionLimits opens more connections than there may be: an address gets
// its share, and strangers give way to who comes next, known clients do not.
func TestConnectionLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Timeouts.Stranger = time.Minute
		c.Limits = Limits{Connections: 10, PerAddress: 8}
	})
	public, private := w.serving(plainly)
	known := w.dial(public)
	if status := w.ask(known, w.discoveryToken()); status != 200 {
		t.Fatal(status)
	}
	from := func(ip string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c, err := d.Dial("tcp", public)
		w.must(err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	var strangers []net.Conn
	for range 8 {
		strangers = append(strangers, from("127.0.0.2"))
	}
	from("127.0.0.2")
	if !closedWithin(strangers[0], 3*time.Second) {
		t.Error("an address has more connections than its share")
	}
	from("127.0.0.3")
	last := from("127.0.0.3") // the eleventh
	if !closedWithin(strangers[1], 3*time.Second) {
		t.Error("the oldest stranger did not give way")
	}
	if status := w.ask(last, w.discoveryToken()); status != 200 {
		t.Errorf("who came when all were taken got %d", status)
	}
	if status := w.ask(known, w.discoveryToken()); status != 200 {
		t.Errorf("the client that was there before got %d", status)
	}
	resp, err := http.Get("http://" + private + "/readyz")
	w.must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("the private listener: %d", resp.StatusCode)
	}
	// North may have five; on its sixth connection it stays a stranger.
	for range 6 {
		w.ask(from("127.0.0.4"), w.discoveryToken())
	}
	w.server.setLimits(Limits{Connections: 10, PerAddress: 1})
	if c := from("127.0.0.1"); !closedWithin(c, 3*time.Second) {
		t.Error("the new limit for an address does not hold")
	}
	text := w.scrape(private)
	for _, line := range []string{`precept_connections{listener="public",proven="true"} 5`,
		`precept_connections{listener="public",proven="false"} 5`,
		`precept_connections_refused_total{listener="public",why="address"} 2`} {
		if !strings.Contains(text, line) {
			t.Errorf("the metrics do not say %s", line)
		}
	}
}

// out is a listener whose machine has no descriptors left for a while.
type out struct {
	net.Listener
	left atomic.Int64
}

func (o *out) Accept() (net.Conn, error) {
	if o.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: []error{syscall.EMFILE, syscall.ENOBUFS}[o.left.Load()%2]}
	}
	return o.Listener.Accept()
}

func TestAcceptFails(t *testing.T) {
	w := newWorld(t, nil)
	public, private := w.serving(func(l net.Listener) net.Listener {
		o := &out{Listener: l}
		o.left.Store(4)
		return o
	})
	if status := w.ask(w.dial(public), w.discoveryToken()); status != 200 {
		t.Errorf("after the shortage: %d", status)
	}
	if !strings.Contains(w.scrape(private), `precept_connections_refused_total{listener="public",why="accept"} 4`) {
		t.Error("the shortage was not counted")
	}
}

func TestAddress(t *testing.T) {
	for given, want := range map[string]string{"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64", "[fe80::1%lo]:80": "fe80::/64"} {
		a, err := net.ResolveTCPAddr("tcp", given)
		if err != nil {
			t.Fatal(err)
		}
		if got := address(a); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}
