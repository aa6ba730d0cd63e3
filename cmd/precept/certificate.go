package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// certificatePoll is how often the files of the certificate are looked at.
const certificatePoll = 10 * time.Second

// maxCertificate bounds each of its files.
const maxCertificate = 1 << 20

// certificate is what the public listener shows, read again when its files change. One
// that cannot be used does not replace the one of before.
type certificate struct {
	files   tlsConfig
	clock   func() time.Time
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	stale   atomic.Bool // the files hold something else that cannot be used
	seen    [sha256.Size]byte
}

// openCertificate reads it for the first time.
func openCertificate(files tlsConfig, clock func() time.Time, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, clock: clock, log: log}
	pair, seen, err := c.read()
	if err != nil {
		return nil, err
	}
	if err := c.valid(pair); err != nil { // whether that is a reason not to call is the callers' to say
		log.Error("TLS certificate is not valid now", "error", err.Error())
	}
	c.seen = seen
	c.current.Store(pair)
	return c, nil
}

// config is for a listener.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil }}
}

// state is for the metrics: when the certificate in use expires, and whether its
// files hold one that could not take its place.
func (c *certificate) state() (expires time.Time, stale bool) {
	return c.current.Load().Leaf.NotAfter, c.stale.Load()
}

// read reads both files, and a digest of them.
func (c *certificate) read() (*tls.Certificate, [sha256.Size]byte, error) {
	chain, err1 := readPEM(c.files.Cert)
	key, err2 := readPEM(c.files.Key)
	seen := sha256.Sum256(bytes.Join([][]byte{chain, key}, []byte{0}))
	if err := errors.Join(err1, err2); err != nil {
		return nil, seen, fmt.Errorf("reading TLS certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, seen, fmt.Errorf("reading TLS certificate %s with key %s: %w", c.files.Cert, c.files.Key, err)
	}
	return &pair, seen, nil
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCertificate+1))
	if err == nil && len(text) > maxCertificate {
		err = fmt.Errorf("%s has more than %d bytes", path, maxCertificate)
	}
	return text, err
}

func (c *certificate) valid(pair *tls.Certificate) error {
	now := c.clock()
	if now.Before(pair.Leaf.NotBefore) || now.After(pair.Leaf.NotAfter) {
		return fmt.Errorf("it is valid from %s to %s", pair.Leaf.NotBefore.UTC().Format(time.RFC3339),
			pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// look takes what the files hold now, if that is new and can be used. What cannot is
// said once. Only one goroutine calls it.
func (c *certificate) look() {
	pair, seen, err := c.read()
	if seen == c.seen && (err != nil) == c.stale.Load() {
		return
	}
	if err == nil {
		err = c.valid(pair)
	}
	c.seen = seen
	if c.stale.Store(err != nil); err != nil {
		c.log.Error("new TLS certificate is not used: the one of before stays", "error", err.Error())
		return
	}
	c.current.Store(pair)
	c.log.Info("TLS certificate read again", "expires", pair.Leaf.NotAfter.UTC())
}

// follow looks at the files again and again until ctx ends.
func (c *certificate) follow(ctx context.Context, every time.Duration, now <-chan struct{}) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-now:
		}
		c.look()
	}
}
