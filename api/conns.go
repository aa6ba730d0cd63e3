package api

import (
	linked "container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
)

// privateConnections is how many connections the private listener has at once.
// They do not count with the public ones, so that operators always get in.
const privateConnections = 64

// guard is a listener that takes connections within limits and survives what the
// machine cannot give for the moment.
type guard struct {
	net.Listener
	limits   func() (all, perAddress int)
	patience time.Duration // how long the next bytes of a stranger may take; 0 for as long as others'
	failed   func()        // counts what could not be accepted
	turned   func(why string)
	closing  sync.Once
	closed   chan struct{} // by Close
	ending   sync.Once
	ended    chan struct{} // when nothing listens any more
	endErr   error

	speaking atomic.Int64 // connections that may be sending a request

	mu        sync.Mutex
	strangers linked.List // of *conn which have proven nothing, oldest first
	open      int
	byAddress map[string]int
	proven    map[tenant.ID]int
}

// conn is a connection of a guard. Until a caller was proven on it, it is a
// stranger's: it is dropped soon, and first.
type conn struct {
	net.Conn
	guard   *guard
	address string
	voice   atomic.Int32 // of silent, speaking, ended

	mu     sync.Mutex
	wanted time.Time // the deadline that the server asked for
	known  bool

	// Of the guard, under its lock.
	place  *linked.Element // among the strangers; nil for others
	tenant tenant.ID
	gone   bool
}

// Accept waits for a connection within the limits. That the machine has no
// descriptor or memory left for one does not end the service.
func (g *guard) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; {
		c, err := g.Listener.Accept()
		switch {
		case err == nil:
			if admitted := g.admit(c); admitted != nil {
				return admitted, nil
			}
			wait = 5 * time.Millisecond
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			c := waiting(g.Listener)
			if c == nil {
				_ = g.end() // Close tells
				<-g.closed
				return nil, net.ErrClosed
			}
			if admitted := g.admit(c); admitted != nil {
				return admitted, nil
			}
			continue
		case !passing(err):
			return nil, err
		}
		g.failed()
		select {
		case <-time.After(wait):
		case <-g.closed:
			return nil, net.ErrClosed
		}
		wait = min(2*wait, time.Second)
	}
}

// passing says that accepting may work again later.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
		syscall.EPERM, syscall.EPROTO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// takeLast takes what waits to be accepted, and then listens no more. Whoever waits
// believes to be connected already: closing the listener breaks these connections.
func (g *guard) takeLast(ctx context.Context) {
	l, ok := g.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok || l.SetDeadline(time.Now()) != nil {
		return
	}
	select {
	case <-g.ended:
	case <-ctx.Done():
	}
}

// How long those who may be sending a request when nothing listens any more have for
// it, and how often they are looked at.
const (
	lastWords = time.Second
	lastLook  = 5 * time.Millisecond
)

// quiet waits until no request is under way, and nobody seems to be sending one, and
// then hangs up on who has said nothing yet. What works through whole logs or packs, or
// is a body that does not come, is given up: until the end nobody listens here. A server
// that shuts down reads no more requests, also on connections that it took.
func (s *Server) quiet(ctx context.Context, g *guard) {
	patience := time.NewTimer(lastWords)
	defer patience.Stop()
	look := time.NewTicker(lastLook)
	defer look.Stop()
	for patient := true; s.underWay.Load() > 0 || patient && g.speaking.Load() > 0; {
		select {
		case <-look.C:
		case <-patience.C:
			patient = false
			s.leave()
		case <-ctx.Done():
			return
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := g.strangers.Front(); e != nil; e = e.Next() {
		_ = e.Value.(*conn).Conn.SetReadDeadline(time.Now()) // fails on closed ones only
	}
}

// waiting accepts a connection that waits for it already; nil if there is none.
func waiting(l net.Listener) net.Conn {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	fd := -1
	err = raw.Control(func(s uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if n, _, err := syscall.Accept(int(s)); err == nil {
			syscall.CloseOnExec(n)
			fd = n
		}
	})
	if err != nil || fd < 0 {
		return nil
	}
	f := os.NewFile(uintptr(fd), "connection")
	defer f.Close()
	c, err := net.FileConn(f) // of its own descriptor
	if err != nil {
		return nil
	}
	return c
}

// end stops listening.
func (g *guard) end() error {
	g.ending.Do(func() {
		g.endErr = g.Listener.Close()
		close(g.ended)
	})
	return g.endErr
}

// Close ends Accept.
func (g *guard) Close() error {
	g.closing.Do(func() { close(g.closed) })
	return g.end()
}

// admit takes a connection in. If there are too many, in all or from the address,
// the oldest stranger among them has to go; if there is none, the new one.
func (g *guard) admit(inner net.Conn) net.Conn {
	all, perAddress := g.limits()
	c := &conn{Conn: inner, guard: g, address: address(inner.RemoteAddr())}
	g.mu.Lock()
	var drop *conn
	why := ""
	switch {
	case g.byAddress[c.address] >= perAddress:
		drop, why = g.oldestStranger(c.address), "address"
	case g.open >= all:
		drop, why = g.oldestStranger(""), "all"
	}
	if why != "" && drop == nil {
		drop = c
	}
	if drop != c {
		if drop != nil {
			g.forget(drop)
		}
		g.open++
		g.byAddress[c.address]++
		c.place = g.strangers.PushBack(c)
		c.speak()
	}
	g.mu.Unlock()
	if drop != nil {
		g.turned(why)
		drop.hush(ended)
		_ = drop.Conn.Close()
	}
	if drop == c {
		return nil
	}
	return c
}

// oldestStranger is the one of an address, or of all.
func (g *guard) oldestStranger(address string) *conn {
	for e := g.strangers.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*conn); address == "" || c.address == address {
			return c
		}
	}
	return nil
}

// address is what a limit is for: an IPv4 address, or the part of an IPv6 address
// that a network is given.
func address(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	ip := ap.Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// forget takes a connection out of the books, once.
func (g *guard) forget(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	g.open--
	if g.byAddress[c.address]--; g.byAddress[c.address] == 0 {
		delete(g.byAddress, c.address)
	}
	if c.place != nil {
		g.strangers.Remove(c.place)
		return
	}
	if g.proven[c.tenant]--; g.proven[c.tenant] == 0 {
		delete(g.proven, c.tenant)
	}
}

// counts are the connections of strangers and of proven callers.
func (g *guard) counts() (strangers, proven int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.strangers.Len(), g.open - g.strangers.Len()
}

// What a connection is up to.
const (
	silent   = iota // an answer was given, and nothing came since
	speaking        // it is new, or bytes came
	ended
)

func (c *conn) speak() {
	if c.voice.Load() == silent && c.voice.CompareAndSwap(silent, speaking) {
		c.guard.speaking.Add(1)
	}
}

// hush makes it silent, or ends it.
func (c *conn) hush(to int32) {
	for was := c.voice.Load(); was != ended && was != to; was = c.voice.Load() {
		if c.voice.CompareAndSwap(was, to) && was == speaking {
			c.guard.speaking.Add(-1)
		}
	}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.speak()
	}
	return n, err
}

func (c *conn) Close() error {
	c.hush(ended)
	c.guard.mu.Lock()
	c.guard.forget(c)
	c.guard.mu.Unlock()
	return c.Conn.Close()
}

// prove makes the connection that of a known caller. A tenant has no more than
// half of all; what goes beyond stays a stranger's.
func (c *conn) prove(t tenant.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known || !c.guard.prove(c, t) {
		return
	}
	c.known = true
	_ = c.Conn.SetReadDeadline(c.wanted) // fails on a closed connection only, which the next Read tells
}

func (g *guard) prove(c *conn, t tenant.ID) bool {
	all, _ := g.limits()
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.gone || g.proven[t] >= max(1, all/2) {
		return false
	}
	g.strangers.Remove(c.place)
	c.place, c.tenant = nil, t
	g.proven[t]++
	return true
}

// SetReadDeadline grants a stranger little time, whatever the server grants.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = t
	if soon := time.Now().Add(c.guard.patience); c.guard.patience > 0 && !c.known && (t.IsZero() || t.After(soon)) {
		t = soon
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// connKey finds the connection of a request in its context.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, plainConn(c))
}

// plainConn is what a connection was accepted as.
func plainConn(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// connState notes that an answer was given and nothing is under way.
func connState(inner net.Conn, state http.ConnState) {
	if c, ok := plainConn(inner).(*conn); ok && state == http.StateIdle {
		c.hush(silent)
	}
}

// guarded puts a guard before a listener.
func (s *Server) guarded(l net.Listener, name string, patience time.Duration, limits func() (int, int)) *guard {
	g := &guard{Listener: l, limits: limits, patience: patience, closed: make(chan struct{}),
		ended:     make(chan struct{}),
		byAddress: map[string]int{}, proven: map[tenant.ID]int{},
		failed: func() { s.metrics.turned.WithLabelValues(name, "accept").Inc() },
		turned: func(why string) { s.metrics.turned.WithLabelValues(name, why).Inc() },
	}
	s.metrics.connections(name, g.counts)
	return g
}
