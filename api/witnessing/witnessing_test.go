package witnessing_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/log"
	cosigned "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/api/witnessing"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/witness"
	"github.com/precept-cds/precept/signing/keys"
)

func refused(err error) bool {
	_, ok := errors.AsType[*audit.RefusedError](err)
	return ok
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// log is one whose heads are signed by hand.
type log struct {
	origin string
	signer note.Signer
	vkey   string
	hashes []tlog.Hash
	size   int64
}

func newLog(t testing.TB, origin string) *log {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	must(t, err)
	signer, err := note.NewSigner(skey)
	must(t, err)
	return &log{origin: origin, signer: signer, vkey: vkey}
}

func (l *log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = l.hashes[index]
	}
	return out, nil
}

func (l *log) grow(t testing.TB, n int, leaf string) *log {
	t.Helper()
	for range n {
		hashes, err := tlog.StoredHashes(l.size, fmt.Appendf(nil, "%s %d", leaf, l.size), l)
		must(t, err)
		l.hashes, l.size = append(l.hashes, hashes...), l.size+1
	}
	return l
}

func (l *log) head(t testing.TB, size int64) string {
	t.Helper()
	root, err := tlog.TreeHash(size, l)
	must(t, err)
	text := formats.Checkpoint{Origin: l.origin, Size: uint64(size), Hash: root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, l.signer)
	must(t, err)
	return string(signed)
}

// ask writes a request as the specification has it, by hand.
func (l *log) ask(t testing.TB, old, size int64) string {
	t.Helper()
	text := fmt.Sprintf("old %d\n", old)
	if old > 0 && old < size {
		proof, err := tlog.ProveTree(size, old, l)
		must(t, err)
		for _, h := range proof {
			text += base64.StdEncoding.EncodeToString(h[:]) + "\n"
		}
	}
	return text + "\n" + l.head(t, size)
}

// served is a witness behind real HTTP.
type served struct {
	url, vkey string
	events    *bytes.Buffer
	key       keys.Private
	dir       string
}

func serve(t testing.TB, name, logs string) *served {
	t.Helper()
	key, err := keys.Generate(keys.Ed25519, rand.Reader)
	must(t, err)
	s := &served{vkey: witness.VerifierKey(name, key.Public().Crypto().(ed25519.PublicKey)), events: &bytes.Buffer{},
		key: key, dir: t.TempDir()}
	must(t, witness.Create(s.dir, s.vkey))
	watched, err := witness.ParseLogs([]byte(logs))
	must(t, err)
	w, err := witness.Open(witness.Config{Name: name, Key: key, Dir: s.dir, Logs: watched, Clock: time.Now})
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	events := slog.New(slog.NewTextHandler(s.events, nil))
	server := httptest.NewUnstartedServer(nil)
	server.Config = witnessing.NewServer(witnessing.Handler(w, events), events)
	server.Start()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *served) post(t testing.TB, body string) (status int, kind, text string) {
	t.Helper()
	resp, err := http.Post(s.url+"/add-checkpoint", "text/plain", strings.NewReader(body))
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

// TestRulesOverHTTP holds a witness to C2SP tlog-witness from outside.
func TestRulesOverHTTP(t *testing.T) {
	l, unknown := newLog(t, "a.example/eu/anchor").grow(t, 12, "x"), newLog(t, "b.example/eu/anchor").grow(t, 12, "x")
	stranger := newLog(t, l.origin).grow(t, 12, "x")
	fork := &log{origin: l.origin, signer: l.signer, vkey: l.vkey}
	fork.grow(t, 3, "x").grow(t, 9, "y")
	s := serve(t, "w.example/1", l.vkey+"\n")
	v, err := cosigned.NewVerifierForCosignatureV1(s.vkey)
	must(t, err)
	cosigns := func(old, size int64) {
		t.Helper()
		status, _, text := s.post(t, l.ask(t, old, size))
		if status != 200 {
			t.Fatalf("from %d to %d: %d %s", old, size, status, text)
		}
		n, err := note.Open([]byte(l.head(t, size)+text), note.VerifierList(v))
		must(t, err)
		if at, err := cosigned.CoSigV1Timestamp(n.Sigs[0]); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("cosigned at %s, %v", at, err)
		}
	}
	cosigns(0, 5)
	cosigns(5, 5)
	cosigns(5, 8)
	long := "old 8\n" + strings.Repeat(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n", 64) + "\n" + l.head(t, 9)
	for name, c := range map[string]struct {
		body   string
		status int
		text   string // of a conflict
	}{
		"old size unknown":           {l.ask(t, 0, 9), 409, "8\n"},
		"old size too small":         {l.ask(t, 5, 9), 409, "8\n"},
		"old size too large":         {l.ask(t, 9, 10), 409, "8\n"},
		"shorter head":               {l.ask(t, 5, 6), 409, "8\n"},
		"split view of one size":     {fork.ask(t, 8, 8), 409, "8\n"},
		"rewritten":                  {fork.ask(t, 8, 10), 422, ""},
		"proof missing":              {"old 8\n\n" + l.head(t, 9), 422, ""},
		"proof of other sizes":       {strings.Replace(l.ask(t, 8, 9), l.head(t, 9), l.head(t, 10), 1), 422, ""},
		"unknown log":                {unknown.ask(t, 0, 9), 404, ""},
		"unknown key":                {stranger.ask(t, 8, 9), 403, ""},
		"old larger than checkpoint": {l.ask(t, 10, 9), 400, ""},
		"nothing":                    {"", 400, ""},
		"no checkpoint":              {"old 8\n\n", 404, ""},
		"no old size":                {"\n" + l.head(t, 9), 400, ""},
		"leading zero":               {strings.Replace(l.ask(t, 8, 9), "old 8", "old 08", 1), 400, ""},
		"negative":                   {strings.Replace(l.ask(t, 8, 9), "old 8", "old -8", 1), 400, ""},
		"carriage returns":           {strings.ReplaceAll(l.ask(t, 8, 9), "\n", "\r\n"), 400, ""},
		"not a hash":                 {"old 8\nAAAA\n\n" + l.head(t, 9), 400, ""},
		"64 hashes":                  {long, 400, ""},
		"too large":                  {l.ask(t, 8, 9) + strings.Repeat("— x AAAAAAAA\n", 4000), 413, ""},
	} {
		status, kind, text := s.post(t, c.body)
		if status != c.status || c.text != "" && (text != c.text || kind != "text/x.tlog.size") {
			t.Errorf("%s: %d %s %q, want %d %q", name, status, kind, text, c.status, c.text)
		}
	}
	if said := s.events.String(); !strings.Contains(said, "two checkpoints of one size") ||
		!strings.Contains(said, "a.example") {
		t.Errorf("events %s", said)
	}
	cosigns(8, 12)
	for path, want := range map[string]int{"/" + formats.ID(l.origin) + "/checkpoint": 200, "/": 200,
		"/" + formats.ID(unknown.origin) + "/checkpoint": 404, "/x/checkpoint": 404, "/add-checkpoint": 405, "/x": 404} {
		resp, err := http.Get(s.url + path)
		must(t, err)
		b, err := io.ReadAll(resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		if resp.StatusCode != want || strings.Contains(path, formats.ID(l.origin)) && string(b) != l.head(t, 12) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
	}
}

// regionLog opens the log of a region with a policy of witnesses.
func regionLog(t *testing.T, dir string, store audit.Store, policy *witnessing.Policy) (*audit.Log, error) {
	t.Helper()
	kms, err := keyring.OpenFileKMS(filepath.Join(dir, "region.key"))
	must(t, err)
	ring, err := keyring.New(keyring.Config{Region: "eu", KMS: kms, Lookup: audit.KeyLookup(store), Rand: rand.Reader})
	must(t, err)
	c := audit.Config{Store: store, Ring: ring, Prefix: "audit.example", Region: "eu", Clock: time.Now, Rand: rand.Reader}
	if policy != nil {
		c.Anchor = audit.Anchoring{Every: time.Millisecond, Witnesses: audit.Witnessing{Ask: policy.Clients(),
			Enough: policy.Enough, Wait: time.Second}}
	}
	return audit.Open(t.Context(), c)
}

// eventually waits for something that happens by itself.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// TestRegionAndWitnesses runs a region with four witnesses over HTTP: two that work, one that hangs, one that lies. Two are
// enough. No record waits for any of them.
func TestRegionAndWitnesses(t *testing.T) {
	dir := t.TempDir()
	_, err := keyring.CreateFileKMS(filepath.Join(dir, "region.key"))
	must(t, err)
	store := audittest.NewMemory(t)
	first, err := regionLog(t, dir, store, nil)
	must(t, err)
	vkey, err := audit.RegionKey(first.RegionOrigin(), first.NodeKey())
	must(t, err)
	must(t, first.Close())
	w1, w2 := serve(t, "w.example/1", vkey), serve(t, "w.example/2", vkey)
	hang := make(chan struct{})
	answering := func(name string, fn http.HandlerFunc) string {
		s := httptest.NewServer(fn)
		t.Cleanup(s.Close)
		key, err := keys.Generate(keys.Ed25519, rand.Reader)
		must(t, err)
		return witness.VerifierKey(name, key.Public().Crypto().(ed25519.PublicKey)) + " " + s.URL
	}
	slow := answering("w.example/3", func(http.ResponseWriter, *http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	liar := answering("w.example/4", func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 16 {
			_, _ = io.WriteString(w, "— w.example/4 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n")
		}
	})
	text := fmt.Sprintf("witness w1 %s %s\nwitness w2 %s %s/\nwitness w3 %s\nwitness w4 %s\n"+
		"group most 2 w1 w2 w3 w4\nquorum most\n", w1.vkey, w1.url, w2.vkey, w2.url, slow, liar)
	policy, err := witnessing.ParsePolicy([]byte(text))
	must(t, err)
	l, err := regionLog(t, dir, store, policy)
	must(t, err)
	defer l.Close()
	for i := range 30 {
		began := time.Now()
		e := audittest.Entry(time.Now(), "north", "p1")
		_, err := l.Append(t.Context(), e)
		must(t, err)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("record %d took %s", i, took)
		}
	}
	eventually(t, "witnessing", func() bool {
		h, err := l.RegionWitnessed(t.Context())
		newest, err2 := l.RegionHead(t.Context())
		return err == nil && err2 == nil && h.Size == newest.Size && policy.Enough(newest.Note)
	})
	s := l.Anchors()
	if s.Last["w.example/1"] != "cosigned" || s.Last["w.example/2"] != "cosigned" ||
		s.Asked["w.example/3"]["cosigned"]+s.Asked["w.example/4"]["cosigned"] > 0 || s.Forked != "" {
		t.Errorf("figures %+v", s)
	}
	h, err := l.RegionWitnessed(t.Context())
	must(t, err)
	if n, err := note.Open(h.Note, note.VerifierList(policy.Verifiers()...)); err != nil || len(n.Sigs) != 2 {
		t.Errorf("signatures %v, %v", n, err)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	s := serve(t, "w.example/1", newLog(t, "a.example/eu/anchor").vkey)
	other := serve(t, "w.example/2", newLog(t, "a.example/eu/anchor").vkey)
	for name, text := range map[string]string{
		"nothing":        "",
		"no quorum":      "witness w1 " + s.vkey + " https://w.example/1\n",
		"unknown quorum": "witness w1 " + s.vkey + " https://w.example/1\nquorum w2\n",
		"no key":         "witness w1 x https://w.example/1\nquorum w1\n",
		"no address":     "witness w1 " + s.vkey + "\nquorum w1\n",
		"a file":         "witness w1 " + s.vkey + " file:///etc/passwd\nquorum w1\n",
		"a password":     "witness w1 " + s.vkey + " https://a:b@w.example/1\nquorum w1\n",
		"one key twice": "witness w1 " + s.vkey + " https://w.example/1\nwitness w2 " + s.vkey +
			" https://w.example/2\ngroup g 2 w1 w2\nquorum g\n",
		"one place twice": "witness w1 " + s.vkey + " https://w.example\nwitness w2 " + other.vkey +
			" https://w.example/\ngroup g 2 w1 w2\nquorum g\n",
		"more than there": "witness w1 " + s.vkey + " https://w.example/1\ngroup g 2 w1\nquorum g\n",
		"too long":        strings.Repeat("# \n", 1<<16),
	} {
		if p, err := witnessing.ParsePolicy([]byte(text)); !errors.Is(err, witnessing.ErrPolicy) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	s := serve(f, "w.example/1", newLog(f, "a.example/eu/anchor").vkey)
	f.Add([]byte("witness w1 " + s.vkey + " https://w.example/1\ngroup g any w1\nquorum g\n"))
	f.Add([]byte("quorum none\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := witnessing.ParsePolicy(text)
		if err != nil {
			if !errors.Is(err, witnessing.ErrPolicy) {
				t.Error(err)
			}
			return
		}
		again, err := witnessing.ParsePolicy(text)
		if err != nil || len(again.Verifiers()) != len(p.Verifiers()) || len(p.Clients()) != len(p.Verifiers()) {
			t.Errorf("%q is read as %d witnesses, then as %v", text, len(p.Verifiers()), again)
		}
	})
}

// TestClientBoundsAnswers: what a witness answers is bounded, and its redirects are not followed.
func TestClientBoundsAnswers(t *testing.T) {
	followed := false
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer target.Close()
	for name, fn := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for range 1 << 12 {
				_, _ = w.Write(make([]byte, 1<<12))
			}
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, target.URL, http.StatusTemporaryRedirect)
		},
		"conflict of text": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(409)
			_, _ = io.WriteString(w, "7\n")
		},
		"conflict of nothing": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x.tlog.size")
			w.WriteHeader(409)
		},
		"broken": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
	} {
		s := httptest.NewServer(fn)
		w := serve(t, "w.example/1", newLog(t, "a.example/eu/anchor").vkey)
		policy, err := witnessing.ParsePolicy([]byte("witness w1 " + w.vkey + " " + s.URL + "\nquorum w1\n"))
		must(t, err)
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		c := policy.Clients()[0]
		if lines, err := c.Cosign(ctx, 0, nil, []byte("x")); !refused(err) {
			t.Errorf("%s: %q, %v", name, lines, err)
		}
		if head, err := c.Newest(ctx, "a.example/eu/anchor"); !refused(err) {
			t.Errorf("%s: newest %q, %v", name, head, err)
		}
		stop()
		s.Close()
	}
	if followed {
		t.Error("a redirect was followed")
	}
}
