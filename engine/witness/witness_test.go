package witness_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/log"
	cosigned "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine/witness"
	"github.com/precept-cds/precept/signing/keys"
)

const name = "witness.example/w1"

// history is a log that grows: its hashes, and what signs its heads.
type history struct {
	origin string
	signer note.Signer
	vkey   string
	hashes []tlog.Hash
	size   int64
}

func (h *history) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = h.hashes[index]
	}
	return out, nil
}

func newHistory(t testing.TB, origin string) *history {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	must(t, err)
	signer, err := note.NewSigner(skey)
	must(t, err)
	return &history{origin: origin, signer: signer, vkey: vkey}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// grow appends leaves.
func (h *history) grow(t testing.TB, leaves ...string) *history {
	t.Helper()
	for _, l := range leaves {
		hashes, err := tlog.StoredHashes(h.size, []byte(l), h)
		must(t, err)
		h.hashes, h.size = append(h.hashes, hashes...), h.size+1
	}
	return h
}

// fork is another log of the same key that begins with the same leaves.
func (h *history) fork() *history {
	f := *h
	f.hashes = append([]tlog.Hash(nil), h.hashes...)
	return &f
}

func (h *history) head(t testing.TB, size int64) []byte {
	t.Helper()
	root, err := tlog.TreeHash(size, h)
	must(t, err)
	text := formats.Checkpoint{Origin: h.origin, Size: uint64(size), Hash: root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, h.signer)
	must(t, err)
	return signed
}

func (h *history) request(t testing.TB, old, size int64) witness.Request {
	t.Helper()
	r := witness.Request{Old: old, Note: h.head(t, size)}
	if old > 0 && old < size {
		var err error
		r.Proof, err = tlog.ProveTree(size, old, h)
		must(t, err)
	}
	return r
}

// place is where a witness lives, over restarts.
type place struct {
	dir  string
	key  keys.Private
	logs []witness.Log
	now  time.Time
}

func newPlace(t testing.TB, watched ...*history) *place {
	t.Helper()
	key, err := keys.Generate(keys.Ed25519, rand.Reader)
	must(t, err)
	p := &place{dir: t.TempDir(), key: key, now: time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC)}
	p.logs = parseLogs(t, watched...)
	must(t, witness.Create(p.dir, p.vkey()))
	return p
}

func parseLogs(t testing.TB, watched ...*history) []witness.Log {
	t.Helper()
	text := "# logs\n\n"
	for _, h := range watched {
		text += h.vkey + "\n"
	}
	logs, err := witness.ParseLogs([]byte(text))
	must(t, err)
	return logs
}

func (p *place) vkey() string {
	return witness.VerifierKey(name, p.key.Public().Crypto().(ed25519.PublicKey))
}

func (p *place) config() witness.Config {
	return witness.Config{Name: name, Key: p.key, Dir: p.dir, Logs: p.logs, Clock: func() time.Time { return p.now }}
}

func (p *place) open(t testing.TB) *witness.Witness {
	t.Helper()
	w, err := witness.Open(p.config())
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// cosigns checks that a witness cosigned a head at a time, as others check it.
func cosigns(t testing.TB, w *witness.Witness, r witness.Request, at time.Time) {
	t.Helper()
	line, err := w.Add(t.Context(), r.Marshal())
	must(t, err)
	v, err := cosigned.NewVerifierForCosignatureV1(w.VerifierKey())
	must(t, err)
	n, err := note.Open(append(bytes.Clone(r.Note), line...), note.VerifierList(v))
	must(t, err)
	if got, err := cosigned.CoSigV1Timestamp(n.Sigs[0]); err != nil || !got.Equal(at) || n.Sigs[0].Name != name {
		t.Errorf("cosigned at %s: %v", got, err)
	}
}

func TestWitnessRules(t *testing.T) {
	log, other, unknown := newHistory(t, "a.example/eu/anchor"), newHistory(t, "b.example/us/anchor"),
		newHistory(t, "c.example/us/anchor")
	log.grow(t, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	other.grow(t, "x")
	unknown.grow(t, "y")
	p := newPlace(t, log, other)
	w := p.open(t)
	cosigns(t, w, log.request(t, 0, 4), p.now)
	cosigns(t, w, log.request(t, 4, 4), p.now) // again: it says that it is still the newest
	cosigns(t, w, other.request(t, 0, 1), p.now)
	p.now = p.now.Add(time.Hour)
	cosigns(t, w, log.request(t, 4, 7), p.now)

	fork := newHistory(t, log.origin)
	fork.signer, fork.vkey = log.signer, log.vkey
	fork.grow(t, "0", "1", "2", "3", "4", "5", "6'", "7'", "8'")
	stranger := newHistory(t, log.origin).grow(t, "0", "1", "2", "3", "4", "5", "6", "7", "8")
	wrongProof := log.request(t, 7, 9)
	wrongProof.Proof[0][0] ^= 1
	longProof := log.request(t, 7, 9)
	longProof.Proof = append(longProof.Proof, tlog.Hash{})
	noProof := log.request(t, 7, 9)
	noProof.Proof = nil
	needless := log.request(t, 7, 7)
	needless.Proof = tlog.TreeProof{{}}
	empty := log.request(t, 7, 9)
	empty.Note = []byte(strings.Replace(string(empty.Note), "\n9\n", "\n99\n", 1))
	text := log.origin + "\n9\n" + base64.StdEncoding.EncodeToString([]byte("short")) + "\n"
	short, err := note.Sign(&note.Note{Text: text}, log.signer)
	must(t, err)
	for what, c := range map[string]struct {
		r    witness.Request
		want error
		size int64 // of a conflict
	}{
		"unknown log":                  {unknown.request(t, 0, 1), witness.ErrUnknownLog, 0},
		"another key":                  {stranger.request(t, 7, 9), witness.ErrKey, 0},
		"signature of another head":    {empty, witness.ErrKey, 0},
		"not a checkpoint":             {witness.Request{Old: 7, Note: short}, witness.ErrRequest, 0},
		"old larger than new":          {log.request(t, 7, 6), witness.ErrRequest, 0},
		"old size too small":           {log.request(t, 4, 9), nil, 7},
		"old size too large":           {log.request(t, 8, 9), nil, 7},
		"as if never seen":             {log.request(t, 0, 9), nil, 7},
		"a shorter head":               {log.request(t, 5, 5), nil, 7},
		"a shorter head, begun anew":   {log.request(t, 0, 5), nil, 7},
		"split view of the same size":  {fork.request(t, 7, 7), nil, 7},
		"split view with any old size": {fork.request(t, 0, 7), nil, 7},
		"rewritten and longer":         {fork.request(t, 7, 9), witness.ErrProof, 0},
		"flipped proof":                {wrongProof, witness.ErrProof, 0},
		"proof too long":               {longProof, witness.ErrProof, 0},
		"no proof":                     {noProof, witness.ErrProof, 0},
		"proof that is not needed":     {needless, witness.ErrProof, 0},
	} {
		_, err := w.Add(t.Context(), c.r.Marshal())
		conflict, ok := errors.AsType[*witness.ConflictError](err)
		if c.want != nil && !errors.Is(err, c.want) || (c.want == nil) != ok || ok && conflict.Size != c.size {
			t.Errorf("%s: %v", what, err)
		}
		if ok != (c.size > 0) || ok && strings.HasPrefix(what, "split") != (conflict.Proof != nil) {
			t.Errorf("%s: proof %q", what, conflict.Proof)
		}
		if ok && conflict.Proof != nil {
			// Anybody with the log's key sees two heads of one size.
			v, err := note.NewVerifier(log.vkey)
			must(t, err)
			two := bytes.Split(conflict.Proof, []byte("\n\n"+log.origin))
			a, err := note.Open(append(two[0], '\n'), note.VerifierList(v))
			must(t, err)
			b, err := note.Open(append([]byte(log.origin), two[1]...), note.VerifierList(v))
			must(t, err)
			start := log.origin + "\n7\n"
			if a.Text == b.Text || !strings.HasPrefix(a.Text, start) || !strings.HasPrefix(b.Text, start) {
				t.Errorf("%s: proof %q", what, conflict.Proof)
			}
		}
	}
	cosigns(t, w, log.request(t, 7, 10), p.now) // none of that counted
	if got := w.Newest(formats.ID(log.origin)); !bytes.Equal(got, log.head(t, 10)) {
		t.Errorf("newest %q", got)
	}
	if got := w.Newest(formats.ID(unknown.origin)); got != nil {
		t.Errorf("newest of an unknown log %q", got)
	}
}

// TestWitnessIgnoresOtherSignatures: what others signed is neither needed nor kept.
func TestWitnessIgnoresOtherSignatures(t *testing.T) {
	log := newHistory(t, "a.example/eu/anchor").grow(t, "0")
	p := newPlace(t, log)
	w := p.open(t)
	r := log.request(t, 0, 1)
	r.Note = fmt.Appendf(r.Note, "— x.example %s\n", base64.StdEncoding.EncodeToString([]byte("another signature")))
	cosigns(t, w, r, p.now)
	if got := w.Newest(formats.ID(log.origin)); !bytes.Equal(got, log.head(t, 1)) {
		t.Errorf("newest %q", got)
	}
}

// TestEmptyLog: a log may be shown before its first leaf.
func TestEmptyLog(t *testing.T) {
	log := newHistory(t, "a.example/eu/anchor")
	p := newPlace(t, log)
	w := p.open(t)
	text := fmt.Sprintf("%s\n0\n%s\n", log.origin, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	wrong, err := note.Sign(&note.Note{Text: text}, log.signer)
	must(t, err)
	if _, err := w.Add(t.Context(), (witness.Request{Note: wrong}).Marshal()); !errors.Is(err, witness.ErrProof) {
		t.Errorf("an empty log with another root: %v", err)
	}
	cosigns(t, w, witness.Request{Note: log.head(t, 0)}, p.now)
	log.grow(t, "0")
	cosigns(t, w, log.request(t, 0, 1), p.now)
}

// TestWitnessRemembers opens a witness again, and with a memory that is missing, damaged, another's, or in use.
func TestWitnessRemembers(t *testing.T) {
	log := newHistory(t, "a.example/eu/anchor").grow(t, "0", "1", "2")
	p := newPlace(t, log)
	w := p.open(t)
	cosigns(t, w, log.request(t, 0, 2), p.now)
	if _, err := witness.Open(p.config()); !errors.Is(err, witness.ErrState) {
		t.Errorf("a second process: %v", err)
	}
	must(t, w.Close())
	w = p.open(t)
	if _, err := w.Add(t.Context(), log.request(t, 0, 3).Marshal()); err == nil {
		t.Error("it has forgotten what it cosigned")
	}
	cosigns(t, w, log.request(t, 2, 3), p.now)
	must(t, w.Close())
	if err := witness.Create(p.dir, p.vkey()); !errors.Is(err, witness.ErrState) {
		t.Errorf("making it anew: %v", err)
	}
	path := filepath.Join(p.dir, "witnessed.jsonl")
	good, err := os.ReadFile(path)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	lines := bytes.SplitAfter(good, []byte{'\n'})
	other := newHistory(t, log.origin).grow(t, "0")
	for what, data := range map[string][]byte{
		"missing": nil, "empty": {}, "cut": good[:len(good)-1], "cut more": good[:len(good)/2], "of nobody": lines[1],
		"twice": append(bytes.Clone(good), lines[1]...), "spaced": append([]byte{' '}, good...),
		"of another": bytes.Replace(good, []byte("w1+"), []byte("w2+"), 1),
		"forged":     bytes.Replace(good, []byte(log.origin+`\n3`), []byte(log.origin+`\n4`), 1),
	} {
		must(t, os.RemoveAll(path))
		if data != nil {
			must(t, os.WriteFile(path, data, 0o600))
		}
		if _, err := witness.Open(p.config()); !errors.Is(err, witness.ErrState) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, os.WriteFile(path, good, 0o600))
	c := p.config()
	c.Logs = parseLogs(t, other)
	if _, err := witness.Open(c); !errors.Is(err, witness.ErrState) {
		t.Errorf("keys of another log: %v", err)
	}
	c.Logs = nil
	w, err = witness.Open(c) // a log that is no longer watched is not forgotten
	must(t, err)
	must(t, w.Close())
	cosigns(t, p.open(t), log.request(t, 3, 3), p.now)
}

// TestWitnessThatCannotWrite: what is not on disk is not cosigned, and the next may be.
func TestWitnessThatCannotWrite(t *testing.T) {
	log := newHistory(t, "a.example/eu/anchor").grow(t, "0", "1", "2")
	p := newPlace(t, log)
	w := p.open(t)
	cosigns(t, w, log.request(t, 0, 1), p.now)
	moved := p.dir + ".away"
	must(t, os.Rename(p.dir, moved))
	if line, err := w.Add(t.Context(), log.request(t, 1, 2).Marshal()); err == nil {
		t.Errorf("cosigned without a memory: %s", line)
	}
	must(t, os.Rename(moved, p.dir))
	if _, err := w.Add(t.Context(), log.request(t, 2, 3).Marshal()); err == nil {
		t.Error("it takes for cosigned what it did not keep")
	}
	cosigns(t, w, log.request(t, 1, 3), p.now)
}

// TestWitnessRace shows a witness two histories at once, many times: whatever it cosigns is of one of them.
func TestWitnessRace(t *testing.T) {
	base := newHistory(t, "a.example/eu/anchor").grow(t, "0")
	p := newPlace(t, base)
	w := p.open(t)
	cosigns(t, w, base.request(t, 0, 1), p.now)
	one, two := base.fork().grow(t, "1", "2", "3"), base.fork().grow(t, "1'", "2'", "3'")
	var cosignedOnes, cosignedTwos, mu = 0, 0, sync.Mutex{}
	var all sync.WaitGroup
	for range 8 {
		for i, h := range []*history{one, two} {
			requests := [][]byte{h.request(t, 1, 2).Marshal(), h.request(t, 1, 3).Marshal(), h.request(t, 2, 4).Marshal()}
			all.Go(func() {
				for _, r := range requests {
					if _, err := w.Add(t.Context(), r); err == nil {
						mu.Lock()
						if i == 0 {
							cosignedOnes++
						} else {
							cosignedTwos++
						}
						mu.Unlock()
					}
				}
			})
		}
	}
	all.Wait()
	if (cosignedOnes > 0) == (cosignedTwos > 0) {
		t.Errorf("cosigned %d of one history and %d of the other", cosignedOnes, cosignedTwos)
	}
}

func TestParseLogsRefuses(t *testing.T) {
	good := newHistory(t, "a.example/eu/anchor")
	low := make([]byte, 33)
	low[0] = 1 // Ed25519, then a point of low order
	for what, text := range map[string]string{
		"not a key": "x", "another hash": strings.Replace(good.vkey, "+", "+0", 1),
		"two words":                     good.vkey + " " + good.vkey,
		"a key that anybody signs with": lowKey(t, low),
		"too many keys":                 strings.Repeat(good.vkey+"\n", 17),
	} {
		if _, err := witness.ParseLogs([]byte(text)); !errors.Is(err, witness.ErrLogs) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func lowKey(t *testing.T, raw []byte) string {
	t.Helper()
	vkey, err := note.NewEd25519VerifierKey("a.example/eu/anchor", raw[1:])
	must(t, err)
	return vkey
}

func FuzzParseRequest(f *testing.F) {
	h := newHistory(f, "a.example/eu/anchor").grow(f, "0", "1", "2")
	f.Add(h.request(f, 0, 1).Marshal())
	f.Add(h.request(f, 2, 3).Marshal())
	f.Add([]byte("old 00\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := witness.ParseRequest(body)
		if err != nil {
			if !errors.Is(err, witness.ErrRequest) {
				t.Error(err)
			}
			return
		}
		if !bytes.Equal(r.Marshal(), body) {
			t.Errorf("%q is read as %q", body, r.Marshal())
		}
	})
}

// FuzzAdd gives a witness anything: it never cosigns but the one request that is right.
func FuzzAdd(f *testing.F) {
	h := newHistory(f, "a.example/eu/anchor").grow(f, "0", "1", "2")
	p := newPlace(f, h)
	w := p.open(f)
	cosigns(f, w, h.request(f, 0, 2), p.now)
	right := h.request(f, 2, 2).Marshal()
	f.Add(right)
	f.Add(h.fork().request(f, 0, 1).Marshal())
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := w.Add(t.Context(), body); err == nil && !bytes.Equal(w.Newest(formats.ID(h.origin)), h.head(t, 2)) {
			t.Errorf("cosigned %q", body)
		}
	})
}

func FuzzParseLogs(f *testing.F) {
	f.Add([]byte(newHistory(f, "a.example/eu/anchor").vkey + "\n# x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		logs, err := witness.ParseLogs(text)
		if (err != nil) != errors.Is(err, witness.ErrLogs) {
			t.Error(err)
		}
		for _, l := range logs {
			if l.Origin == "" {
				t.Errorf("%q names a log without an origin", text)
			}
		}
	})
}
