package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/fixtures"
)

// edit changes text of a region's configuration.
func (d *demoRegion) edit(t *testing.T, old, new string) {
	t.Helper()
	text, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("the configuration does not contain %q:\n%s", old, text)
	}
	if err := os.WriteFile(d.config, bytes.Replace(text, []byte(old), []byte(new), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// page reads one of the pages for operators.
func (d *demoRegion) page(t *testing.T, name string) string {
	t.Helper()
	resp, err := http.Get(d.private + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 300 {
		if holds() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("after 15 s still not: %s", what)
}

func isReady(d *demoRegion) bool {
	resp, err := http.Get(d.private + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// load sends calls over a number of connections and counts what became of them.
type load struct {
	region   *demoRegion
	variant  atomic.Int64
	answered atomic.Int64
	away     atomic.Bool // the service is known to stop
	mu       sync.Mutex
	broken   []error  // sent, and no answer or one that is not an answer to a call
	receipts []string // of the answers
}

// run sends calls until ctx ends, but for the time that away says.
func (l *load) run(ctx context.Context, t *testing.T, connections int) {
	ehr, err := l.region.ehr("north")
	if err != nil {
		t.Error(err)
		return
	}
	token, err := ehr.Token(demoService)
	if err != nil {
		t.Error(err)
		return
	}
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			defer c.CloseIdleConnections()
			for ctx.Err() == nil {
				if l.away.Load() {
					time.Sleep(5 * time.Millisecond)
					continue
				}
				l.call(c, token)
			}
		})
	}
	all.Wait()
}

func (l *load) call(c *http.Client, token string) {
	body := current(fixtures.Standard(3, int(l.variant.Add(1))), l.region.now)
	// Without GetBody the client cannot send again what the service did not take.
	req, err := http.NewRequest(http.MethodPost, l.region.public+"/t/north/cds-services/"+demoService,
		io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		panic(err)
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		time.Sleep(10 * time.Millisecond)
		return
	}
	if err == nil {
		defer resp.Body.Close()
		var answer []byte
		if answer, err = io.ReadAll(resp.Body); err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status + " " + string(answer))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.broken = append(l.broken, err)
		return
	}
	l.answered.Add(1)
	l.receipts = append(l.receipts, resp.Header.Get("Precept-Receipt"))
}

// leave goes elsewhere as a load balancer does: some time after the service has said
// that it stops.
func (l *load) leave() {
	time.Sleep(500 * time.Millisecond)
	l.away.Store(true)
}

// TestDrain stops and starts the service again and again under load: no call is
// broken, every answer has its record, and the process ends well.
func TestDrain(t *testing.T) {
	d := newRegion(t)
	d.edit(t, "drain: 0s", "drain: 1s")
	l := &load{region: d}
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	for round := range 4 {
		p := serveTo(t, d, null(t))
		if round == 0 {
			loading.Go(func() { l.run(ctx, t, 12) })
		}
		l.away.Store(false)
		before := l.answered.Load()
		eventually(t, "calls are answered", func() bool { return l.answered.Load() > before+100 })
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		eventually(t, "not ready", func() bool { return !isReady(d) })
		said := l.answered.Load()
		l.leave()
		if after := l.answered.Load() - said; after < 10 {
			t.Errorf("round %d: only %d calls were answered after the service said that it stops", round, after)
		}
		if err := p.Wait(); err != nil {
			t.Errorf("round %d: stopping under load: %v", round, err)
		}
	}
	stop()
	loading.Wait()
	if len(l.broken) > 0 {
		t.Errorf("%d of %d calls were broken, the first: %v", len(l.broken), l.answered.Load(), l.broken[0])
	}
	startNode(t, d)
	_, _, auditor := demoPersons("north")
	c, err := d.as("north", auditor, "test")
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range l.receipts {
		r, err := audit.ParseReceipt(text)
		if err != nil {
			t.Fatal(err)
		}
		if i%97 == 0 || i == len(l.receipts)-1 {
			if _, err := c.Record(t.Context(), string(r.RecordID)); err != nil {
				t.Errorf("record of an answered call: %v", err)
			}
		}
	}
	if report, err := c.Verify(t.Context()); err != nil || !report.OK() {
		t.Errorf("log does not verify: %v %v", report, err)
	}
}

func null(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestSecondSignal has the announced time end early: the process ends at once.
func TestSecondSignal(t *testing.T) {
	d := newRegion(t)
	d.edit(t, "drain: 0s", "drain: 10m")
	n := startNode(t, d)
	a, err := n.call(t, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "not ready", func() bool { return !isReady(d) })
	if _, err := n.call(t, 2); err != nil {
		t.Errorf("a call after the announcement: %v", err)
	}
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := n.cmd.Wait(); err == nil {
		t.Error("a process that was made to end says that all went well")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the second signal took %v", took)
	}
	again := startNode(t, d)
	b, err := again.call(t, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Body, b.Body) || !strings.HasSuffix(b.Receipt, "repeated") {
		t.Error("the answer of before is not on record")
	}
}

// TestStartAnew has the program replace itself: same process, new region, under load.
func TestStartAnew(t *testing.T) {
	d := newRegion(t)
	d.edit(t, "drain: 0s", "drain: 1s")
	r, w := pipe(t)
	p := serveTo(t, d, w)
	_ = w.Close()
	var log lockedText
	go func() { _, _ = io.Copy(&log, r) }()
	l := &load{region: d}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, t, 4) })
	eventually(t, "calls are answered", func() bool { return l.answered.Load() > 50 })
	if err := p.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "not ready", func() bool { return !isReady(d) })
	l.leave()
	eventually(t, "the program serves again", func() bool { return strings.Count(log.String(), `"msg":"serving"`) == 2 })
	l.away.Store(false)
	before := l.answered.Load()
	eventually(t, "calls are answered again", func() bool { return l.answered.Load() > before+50 })
	stop()
	loading.Wait()
	if len(l.broken) > 0 {
		t.Errorf("%d calls were broken, the first: %v", len(l.broken), l.broken[0])
	}
	if !strings.Contains(log.String(), `"reason":"SIGUSR2"`) {
		t.Errorf("the log does not say why: %s", log.String())
	}
	// A program that was started so does not do it again at once: that could go on for ever.
	if err := p.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("starting anew twice within a minute: %v, want exit status 2", err)
	}
}

type lockedText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestReload changes the configuration of a running service, under load: what can
// change does, a file that cannot be used changes nothing and is told, and nobody
// notices otherwise.
func TestReload(t *testing.T) {
	d := newRegion(t)
	r, w := pipe(t)
	p := serveTo(t, d, w)
	_ = w.Close()
	var log lockedText
	go func() { _, _ = io.Copy(&log, r) }()
	l := &load{region: d}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, t, 4) })
	hup := func(want string) {
		t.Helper()
		before := strings.Count(log.String(), want)
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, want, func() bool { return strings.Count(log.String(), want) > before })
	}
	good, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	d.edit(t, "limits: {}", "limits: {person_rate: 1, tenant_rate: 1}\nlog_level: warn")
	d.edit(t, "queue: 0", "queue: 77")
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	_, _, auditor := demoPersons("north")
	c, err := d.as("north", auditor, "test")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "persons are held to the new rate", func() bool { _, err := c.Status(t.Context()); return err != nil })
	if text := d.page(t, "readyz"); text != "ready\n" {
		t.Errorf("/readyz: %q", text)
	}
	if err := os.WriteFile(d.config, []byte("regoin: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hup("configuration is not taken")
	if !strings.Contains(log.String(), "did you mean region") {
		t.Errorf("the log does not say what is wrong: %s", log.String())
	}
	if text := d.page(t, "readyz"); !strings.Contains(text, "could not be read again") || !isReady(d) {
		t.Errorf("/readyz with a bad configuration: %q", text)
	}
	if !strings.Contains(d.page(t, "metrics"), "\nprecept_config_stale 1\n") {
		t.Error("no metric says that the configuration is stale")
	}
	if err := os.WriteFile(d.config, good, 0o600); err != nil {
		t.Fatal(err)
	}
	hup(`"configuration read again"`)
	if text := d.page(t, "readyz"); text != "ready\n" {
		t.Errorf("/readyz after it was mended: %q", text)
	}
	eventually(t, "calls are answered", func() bool { return l.answered.Load() > 10 })
	stop()
	loading.Wait()
	if len(l.broken) > 0 {
		t.Errorf("%d of %d calls were broken: %v", len(l.broken), l.answered.Load(), l.broken)
	}
}

// TestReloadTells holds what is taken at once apart from what waits for the next
// start.
func TestReloadTells(t *testing.T) {
	a, b := config{}, config{}
	b.LogLevel, b.Limits.PersonRate, b.Timeouts.Drain, b.Ceiling.Cards = "warn", 3, time.Second, 4
	for _, key := range changedKeys(&a, &b) {
		if !live(key) {
			t.Errorf("%s is said to wait for the next start", key)
		}
	}
	if n := len(changedKeys(&a, &b)); n != 4 {
		t.Errorf("%d keys differ, want 4", n)
	}
	b = config{Region: "x", Queue: 1, Timeouts: timeoutConfig{Idle: 1}, Store: storeConfig{Path: "y"}}
	for _, key := range changedKeys(&a, &b) {
		if live(key) {
			t.Errorf("%s is said to be taken at once", key)
		}
	}
	if n := len(changedKeys(&a, &b)); n != 4 {
		t.Errorf("%d keys differ, want 4", n)
	}
}

// issue writes a certificate for loopback and its key.
func issue(t *testing.T, dir string, serial int64, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: cert},
		"tls.key": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCertificateRenewed puts a new certificate in the place of the one that a running
// service shows, then one that is broken, then one that has expired.
func TestCertificateRenewed(t *testing.T) {
	d := newRegion(t)
	until := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	issue(t, d.dir, 1, until)
	d.edit(t, `cert: ""`, "cert: tls.crt")
	d.edit(t, `key: ""`, "key: tls.key")
	r, w := pipe(t)
	p := serveTo(t, d, w)
	_ = w.Close()
	var log lockedText
	go func() { _, _ = io.Copy(&log, r) }()
	shown := func() int64 {
		t.Helper()
		c, err := tls.Dial("tcp", strings.TrimPrefix(d.public, "http://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	hup := func() {
		t.Helper()
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	metric := func(name string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^` + name + ` (.*)$`).FindStringSubmatch(d.page(t, "metrics"))
		if m == nil {
			t.Fatalf("no metric %s", name)
		}
		return m[1]
	}
	if n := shown(); n != 1 || metric("precept_certificate_stale") != "0" {
		t.Fatalf("certificate %d is shown", n)
	}
	expires := metric("precept_certificate_expires_seconds")
	issue(t, d.dir, 2, until.Add(time.Hour))
	hup()
	eventually(t, "the new certificate is shown", func() bool { return shown() == 2 })
	if metric("precept_certificate_expires_seconds") == expires {
		t.Error("the metric says the time of the certificate of before")
	}
	for what, put := range map[string]func(){
		"broken":  func() { _ = os.WriteFile(d.path("tls.crt"), []byte("-----BEGIN"), 0o600) },
		"expired": func() { issue(t, d.dir, 3, time.Now().Add(-time.Hour)) },
		"gone":    func() { _ = os.Remove(d.path("tls.key")) },
	} {
		put()
		hup()
		eventually(t, what+" is told", func() bool { return metric("precept_certificate_stale") == "1" })
		told := d.page(t, "readyz")
		if n := shown(); n != 2 || !isReady(d) || !strings.Contains(told, "certificate that cannot be used") {
			t.Errorf("%s: certificate %d is shown; %q", what, n, told)
		}
		issue(t, d.dir, 2, until)
		hup()
		eventually(t, what+" was mended", func() bool { return metric("precept_certificate_stale") == "0" })
	}
	if !strings.Contains(log.String(), "new TLS certificate is not used") {
		t.Errorf("the log does not say so: %s", log.String())
	}
}

// TestCertificateFollowed has no signal sent: the files are looked at all the same.
func TestCertificateFollowed(t *testing.T) {
	dir := t.TempDir()
	issue(t, dir, 1, time.Now().Add(time.Hour))
	c, err := openCertificate(tlsConfig{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}, time.Now,
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go c.follow(ctx, 10*time.Millisecond, nil)
	issue(t, dir, 2, time.Now().Add(2*time.Hour))
	eventually(t, "the new certificate is in use", func() bool { return c.current.Load().Leaf.SerialNumber.Int64() == 2 })
}
