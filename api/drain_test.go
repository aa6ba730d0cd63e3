package api

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAnnounce stops a server under load, over both versions of HTTP: each answer
// after the announcement ends its connection, callers that come all the same are
// answered, and no request that was sent goes without an answer.
func TestAnnounce(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			var pool *x509.CertPool
			w := newWorld(t, func(c *Config) {
				maker := &world{TB: t, keys: map[string]crypto.Signer{}}
				maker.makeEHRKeys()
				cert, roots := maker.certificate()
				pool = roots
				c.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			})
			public, private := w.listen(), w.listen()
			served := make(chan error, 1)
			go func() { served <- w.server.Serve(public, private) }()
			token := w.discoveryToken()
			var answered atomic.Int64
			var away atomic.Bool
			var connecting sync.RWMutex // held by a client until the request that it decided upon has a connection
			var all sync.WaitGroup
			for range 6 {
				transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: version == 2}
				c := &http.Client{Transport: transport}
				all.Go(func() {
					defer transport.CloseIdleConnections()
					for {
						connecting.RLock()
						if away.Load() {
							connecting.RUnlock()
							return
						}
						connected := sync.OnceFunc(connecting.RUnlock)
						r := must(http.NewRequest("GET", "https://"+public.Addr().String()+"/t/north/cds-services", nil))
						r.Header.Set("Authorization", "Bearer "+token)
						announced := w.server.draining.Load()
						resp, err := c.Do(r.WithContext(httptrace.WithClientTrace(t.Context(),
							&httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected() }})))
						connected()
						if err != nil {
							t.Errorf("a request was not answered: %v", err)
							return
						}
						_, err = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
						if err != nil || resp.StatusCode != 200 || resp.ProtoMajor != version {
							t.Errorf("%v %d %s", err, resp.StatusCode, resp.Proto)
						}
						if announced {
							answered.Add(1)
							if version == 1 && !resp.Close {
								t.Error("an answer after the announcement keeps its connection")
							}
						}
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
			silent, err := net.Dial("tcp", public.Addr().String()) // who says nothing holds nothing up for long
			w.must(err)
			defer silent.Close()
			w.server.Announce()
			if resp := must(http.Get("http://" + private.Addr().String() + "/readyz")); resp.StatusCode != 503 {
				t.Errorf("/readyz is %d", resp.StatusCode)
			}
			time.Sleep(200 * time.Millisecond)
			connecting.Lock()
			away.Store(true)
			connecting.Unlock()
			began := time.Now()
			w.must(w.server.Shutdown(t.Context()))
			if took := time.Since(began); took > 3*lastWords {
				t.Errorf("stopping took %v", took)
			}
			all.Wait()
			w.must(<-served)
			if answered.Load() == 0 {
				t.Error("nobody was answered after the announcement")
			}
		})
	}
}

// TestStoppingDoesNotWaitForBodies holds that what sends a pack for ever does not keep a
// server from stopping.
func TestStoppingDoesNotWaitForBodies(t *testing.T) {
	w := newWorld(t, nil)
	public, private := w.listen(), w.listen()
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(public, private) }()
	conn, err := net.Dial("tcp", public.Addr().String())
	w.must(err)
	defer conn.Close()
	token := must(w.as("north", "otto@north.example").Token())
	_, err = fmt.Fprintf(conn, "PUT /v1/tenants/north/packs/%064x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Length: 1000\r\n\r\n{", 1, token)
	w.must(err)
	for w.server.underWay.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	w.must(w.server.Shutdown(t.Context()))
	w.must(<-served)
	if took := time.Since(began); took > 5*lastWords {
		t.Errorf("stopping took %v", took)
	}
}
