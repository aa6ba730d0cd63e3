package pgtest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A Way is how a connection ends at a message.
type Way int

// The ways.
const (
	Before  Way = iota // the message does not arrive, and both sides see the connection end
	After              // the message arrives, and then both sides see the connection end
	Silence            // the message does not arrive, the client sees the end, and the server sees nothing
	Late               // the client sees the end; the message and what follows arrive when Deliver is called
)

// A Proxy stands between a store and the server, and ends connections at chosen messages.
type Proxy struct {
	server *Server
	dir    string
	listen net.Listener

	mu      sync.Mutex
	app     string // what the connections that count say they are, in part
	backend bool   // the server's messages count, else the client's
	at      int    // messages until the end; 0: none
	way     Way
	seen    int
	hit     bool
	late    []byte
	held    net.Conn // to the server, of Late and Silence
	open    map[net.Conn]bool
}

// NewProxy stands before a server until the test ends.
func NewProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgproxy")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{server: s, dir: dir, open: map[net.Conn]bool{}}
	if p.listen, err = net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432")); err != nil {
		t.Fatal(err)
	}
	go p.accept()
	t.Cleanup(func() {
		p.Close()
		_ = os.RemoveAll(dir)
	})
	return p
}

// Close takes no more connections and ends all there are.
func (p *Proxy) Close() {
	_ = p.listen.Close()
	p.Drop()
}

// URL leads through the proxy.
func (p *Proxy) URL(database, role string) string { return at(p.dir, database, role) }

// Arm ends the connection of an application at its n-th message from now on; of the server's if backend is set. Several
// connections of the application are counted together.
func (p *Proxy) Arm(app string, backend bool, n int, way Way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.app, p.backend, p.at, p.way, p.seen, p.hit = app, backend, n, way, 0, false
}

// Disarm ends nothing any more, and says how many messages were seen and whether one was hit.
func (p *Proxy) Disarm() (seen int, hit bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = 0
	return p.seen, p.hit
}

// Deliver brings the server what a Late end held back, waits until the server has ended the connection by itself or
// says that it is done, and drops it.
func (p *Proxy) Deliver() error {
	p.mu.Lock()
	conn, data := p.held, p.late
	p.held, p.late = nil, nil
	p.mu.Unlock()
	if conn == nil {
		return errors.New("nothing was held back")
	}
	defer conn.Close()
	if _, err := conn.Write(data); err != nil {
		return err
	}
	half, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("not a socket")
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn) // until the backend has ended
	return err
}

// Drop ends all connections.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
	if p.held != nil {
		_ = p.held.Close()
		p.held = nil
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

// link is one connection through the proxy.
type link struct {
	*Proxy
	client, server net.Conn
	name           string
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", filepath.Join(p.server.dir, ".s.PGSQL.5432"))
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	l := &link{Proxy: p, client: client, server: server}
	defer l.end()
	start, err := frame(client, 0)
	if err != nil {
		return
	}
	if _, app, ok := strings.Cut(string(start), "application_name\x00"); ok {
		l.name, _, _ = strings.Cut(app, "\x00")
	}
	if _, err := server.Write(start); err != nil {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		defer client.Close()
		l.pump(server, client, true)
	}()
	l.pump(client, server, false)
	p.mu.Lock()
	kept := p.held == server
	p.mu.Unlock()
	if !kept {
		_ = server.Close()
	}
	<-back
}

func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, l.client)
	_ = l.client.Close()
	if l.held == l.server {
		return
	}
	delete(l.open, l.server)
	_ = l.server.Close()
}

// pump brings messages from one side to the other until one is the end.
func (l *link) pump(from, to net.Conn, backend bool) {
	for {
		message, err := frame(from, 1)
		if err != nil {
			return
		}
		ends, way := l.count(backend)
		if ends && way == Late {
			l.keep(from, message)
			return
		}
		if ends && way == Silence {
			l.keep(nil, nil)
			return
		}
		if ends && way == Before {
			return
		}
		if _, err := to.Write(message); err != nil || ends {
			return
		}
	}
}

// count says whether a message is the one to end at.
func (l *link) count(backend bool) (ends bool, way Way) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == 0 || l.hit || backend != l.backend || !strings.Contains(l.name, l.app) {
		return false, 0
	}
	l.seen++
	if l.hit = l.seen == l.at; l.hit {
		return true, l.way
	}
	return false, 0
}

// keep holds the server's side open, with what the client goes on to say.
func (l *link) keep(from net.Conn, message []byte) {
	l.mu.Lock()
	l.held, l.late = l.server, message
	l.mu.Unlock()
	if from == nil {
		_ = l.client.Close()
		return
	}
	for {
		// Of a commit everything is sent before anything is read, so it comes up to its end.
		more, err := frame(from, 1)
		if err != nil {
			break
		}
		l.mu.Lock()
		l.late = append(l.late, more...)
		l.mu.Unlock()
		if more[0] == 'S' { // Sync: the end of what was sent at once
			break
		}
	}
	_ = l.client.Close()
}

// frame reads one message: a type of so many bytes, the length of the rest with itself, the rest.
func frame(r io.Reader, kind int) ([]byte, error) {
	head := make([]byte, kind+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[kind:])) - 4
	if n < 0 || n > 1<<30 {
		return nil, errors.New("not a message")
	}
	message := append(head, make([]byte, n)...)
	_, err := io.ReadFull(r, message[kind+4:])
	return message, err
}
