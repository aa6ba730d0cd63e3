package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/witness"
)

// witnessed is a witness in a process of its own, and its folder.
type witnessed struct {
	dir, logs, vkey, address string
	*child
}

const witnessName = "witness.example/w1"

// newWitness makes a witness of the log with a verifier key. It is not running.
func newWitness(t *testing.T, log string) *witnessed {
	t.Helper()
	w := &witnessed{dir: filepath.Join(t.TempDir(), "witness"), logs: filepath.Join(t.TempDir(), "logs.txt")}
	out, talk, status := precept(t, "witness", "new", "--name", witnessName, "--dir", w.dir)
	if w.vkey = strings.TrimSpace(out); status != 0 {
		t.Fatal(talk)
	}
	if err := os.WriteFile(w.logs, []byte("# the demo\n"+log), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.address, err = freeAddress(); err != nil {
		t.Fatal(err)
	}
	return w
}

// start runs the witness, under the command given if there is one.
func (w *witnessed) start(t *testing.T, under ...string) {
	t.Helper()
	args := append(under, preceptProgram(t), "witness", "serve", "--name", witnessName, "--dir", w.dir, "--logs", w.logs,
		"--listen", w.address)
	c, err := startChild(context.WithoutCancel(t.Context()), "http://"+w.address+"/", "", args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	w.child = c
}

// newest is the head that the witness holds of the region's log, if there is one.
func (w *witnessed) newest(t *testing.T) (signed string, ok bool) {
	t.Helper()
	resp, err := http.Get("http://" + w.address + "/" + formats.ID("demo.precept.example/us-east/anchor") + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), resp.StatusCode == http.StatusOK
}

func nodeKeyOf(t *testing.T, d *demoRegion) string {
	t.Helper()
	c, err := d.as("north", "avery@north.example", "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(s.NodeKey)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// appendTo adds text to a file.
func appendTo(t *testing.T, path, text string) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(old)+text)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(text))
}

// wants runs an audit command as the auditor of north and looks at what it prints.
func wants(t *testing.T, d *demoRegion, status int, words []string, args ...string) string {
	t.Helper()
	out, talk, got := command(t, d, args...)
	if got != status {
		t.Errorf("%s: exit status %d, want %d: %s%s", strings.Join(args, " "), got, status, out, talk)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("%s: standard output lacks %q:\n%s%s", strings.Join(args, " "), w, out, talk)
		}
	}
	return out
}

// TestRewrittenStoreIsSeen goes the whole way with real processes: a region, a witness, an auditor who notes heads; then
// the store is put back to a state of before and another history is written over it with the node's own key. Heads,
// receipt and witness each show it; the store by itself does not.
func TestRewrittenStoreIsSeen(t *testing.T) {
	d := newRegion(t)
	appendTo(t, d.config, "anchor:\n    every: 1s\n    witnesses: witnesses.txt\n    witness_wait: 1s\n")
	policy := write(t, d.path("witnesses.txt"), "quorum none\n")
	n := startNode(t, d)
	node := nodeKeyOf(t, d)
	line, talk, status := precept(t, "witness", "log", "demo.precept.example/us-east/anchor", "--node-key", node)
	if status != 0 {
		t.Fatal(talk)
	}
	w := newWitness(t, line)
	w.start(t)
	if _, err := n.call(t, 1); err != nil {
		t.Fatal(err)
	}
	n.stop()
	write(t, policy, fmt.Sprintf("witness w1 %s http://%s\nquorum w1\n", w.vkey, w.address))
	store, mark := d.path("store", "audit.db"), d.path("high-water")
	before, markBefore := filepath.Join(t.TempDir(), "before.db"), filepath.Join(t.TempDir(), "mark")
	copyFile(t, store, before)
	copyFile(t, mark, markBefore)

	n = startNode(t, d)
	a, err := n.call(t, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.call(t, 3); err != nil {
		t.Fatal(err)
	}
	r, err := audit.ParseReceipt(a.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	receipt, heads := write(t, filepath.Join(t.TempDir(), "receipt"), a.Receipt), filepath.Join(t.TempDir(), "heads.txt")
	wants(t, d, 0, nil, "audit", "head", "-o", heads)
	eventually(t, "the newest heads are witnessed", func() bool {
		out, _, status := command(t, d, "audit", "consistency", "--witnesses", policy, heads)
		return status == 0 && strings.Contains(out, "anchored: "+r.Log) && strings.Contains(out, "cosigned by "+witnessName)
	})
	wants(t, d, 0, nil, "audit", "head", "-o", heads) // it may have grown
	if page := d.page(t, "readyz"); !strings.Contains(page, "the region's log was witnessed") ||
		!strings.Contains(page, witnessName+": cosigned") {
		t.Errorf("readyz says %q", page)
	}
	if page := d.page(t, "metrics"); !strings.Contains(page, "\nprecept_region_log_witnessed_age_seconds ") ||
		!strings.Contains(page, "\nprecept_region_log_forked 0\n") {
		t.Error("no metrics of witnesses")
	}
	wants(t, d, 0, []string{"receipt holds", "under that of today", "anchored: ", witnessName}, "audit", "receipt",
		"--witnesses", policy, receipt)
	held, ok := w.newest(t)
	if !ok {
		t.Error("the witness holds nothing")
	}
	kept := write(t, filepath.Join(t.TempDir(), "held"), held)
	wants(t, d, 0, []string{"holds: demo.precept.example/us-east/anchor"}, "audit", "consistency", kept)
	// Without being a person of any tenant.
	out, talk, status := precept(t, "audit", "head", "--server", d.public, "--node-key", node)
	if status != 0 || !strings.HasPrefix(out, "demo.precept.example/us-east/anchor\n") {
		t.Errorf("head of the region: %s%s", out, talk)
	}
	n.stop()
	wants(t, d, 0, []string{"holds: " + r.Log, "holds: demo.precept.example/us-east/anchor", "anchored"}, "audit",
		"consistency", "--store", store, "--node-key", node, heads)
	wants(t, d, 0, []string{"receipt holds"}, "audit", "receipt", "--store", store, "--node-key", node, receipt)
	wants(t, d, 0, []string{"log verified"}, "audit", "verify", "--store", store, "--node-key", node)
	good := filepath.Join(t.TempDir(), "good.db")
	copyFile(t, store, good)

	// The store is rewritten: as many records, of other calls, and one more.
	copyFile(t, before, store)
	copyFile(t, markBefore, mark)
	write(t, policy, "quorum none\n")
	n = startNode(t, d)
	var others []audit.Receipt
	for i := range 5 {
		a, err := n.call(t, 100+i)
		if err != nil {
			t.Fatal(err)
		}
		other, err := audit.ParseReceipt(a.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, other)
	}
	eventually(t, "another history is anchored", func() bool {
		return strings.Contains(d.page(t, "metrics"), "\nprecept_region_log_leaves ") &&
			strings.Contains(wants(t, d, 0, nil, "audit", "head"), "us-east/anchor\n")
	})
	theirs := write(t, filepath.Join(t.TempDir(), "policy"), fmt.Sprintf("witness w1 %s http://%s\nquorum w1\n", w.vkey,
		w.address))
	wants(t, d, 0, []string{"log verified"}, "audit", "verify") // by itself it is whole
	wants(t, d, 1, []string{"does NOT hold", "of " + r.Log + " are not those", "both signed by the node"}, "audit",
		"consistency", heads)
	wants(t, d, 1, []string{"does NOT hold", "demo.precept.example/us-east/anchor"}, "audit", "consistency", kept)
	wants(t, d, 1, []string{"receipt does NOT hold"}, "audit", "receipt", receipt)
	wants(t, d, 1, []string{"cosigned by no quorum"}, "audit", "consistency", "--witnesses", theirs, kept)
	n.stop()
	wants(t, d, 1, []string{"does NOT hold"}, "audit", "consistency", "--store", store, "--node-key", node, heads)
	wants(t, d, 1, []string{"receipt does NOT hold"}, "audit", "receipt", "--store", store, "--node-key", node, receipt)
	wants(t, d, 0, []string{"log verified"}, "audit", "verify", "--store", store, "--node-key", node)
	// A start that asks the witness is refused for good.
	copyFile(t, theirs, policy)
	_, talk, status = precept(t, "serve", "--config", d.config)
	if status != 3 || !strings.Contains(talk, "log cut short") || !strings.Contains(talk, witnessName) {
		t.Errorf("start with the witness: %d %s", status, talk)
	}
	if got, _ := w.newest(t); got != held {
		t.Errorf("the witness holds %q now", got)
	}
	// Two heads of one size, one of either history, are a proof for anybody. Receipts hold heads, too.
	for _, other := range others {
		if other.Size != r.Size {
			continue
		}
		two := write(t, filepath.Join(t.TempDir(), "two.txt"), string(r.Note)+"\n"+string(other.Note))
		both := "\n" + string(r.Note) + "\n" + string(other.Note)
		out := wants(t, d, 1, []string{"two heads", "different roots", both}, "audit", "consistency",
			"--store", good, "--node-key", node, two)
		if !strings.Contains(out, "does NOT hold") {
			t.Errorf("proof: %s", out)
		}
	}
	if !slices.ContainsFunc(others, func(o audit.Receipt) bool { return o.Size == r.Size }) {
		t.Errorf("no head of %d leaves among those of the other history", r.Size)
	}
	// The store that is put back is taken.
	copyFile(t, good, store)
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	edited, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, d.config, strings.Replace(string(edited), "high_water: high-water", `high_water: ""`, 1))
	startNode(t, d)
}

// regionHistory is a log whose key the test has.
type regionHistory struct {
	signer note.Signer
	hashes []tlog.Hash
	size   int64
}

// ReadHashes implements [tlog.HashReader].
func (h *regionHistory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = h.hashes[index]
	}
	return out, nil
}

func (h *regionHistory) grow(t *testing.T, leaf string) {
	t.Helper()
	hashes, err := tlog.StoredHashes(h.size, []byte(leaf), h)
	if err != nil {
		t.Fatal(err)
	}
	h.hashes, h.size = append(h.hashes, hashes...), h.size+1
}

// head is the signed head of so many leaves.
func (h *regionHistory) head(t *testing.T, size int64) string {
	t.Helper()
	root, err := tlog.TreeHash(size, h)
	if err != nil {
		t.Fatal(err)
	}
	text := formats.Checkpoint{Origin: h.signer.Name(), Size: uint64(size), Hash: root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, h.signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// show asks a witness to cosign a head. The status is 0 if it does not answer.
func (h *regionHistory) show(t *testing.T, w *witnessed, old, size int64) (status int, text string) {
	t.Helper()
	r := witness.Request{Old: old, Note: []byte(h.head(t, size))}
	if old > 0 && old < size {
		var err error
		if r.Proof, err = tlog.ProveTree(size, old, h); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.Post("http://"+w.address+"/add-checkpoint", "text/plain", bytes.NewReader(r.Marshal()))
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(b)
}

// TestWitnessKilled kills a witness at each of the system calls that make its memory durable, in turn: it starts again,
// holds whatever it has cosigned, and cosigns no other history.
func TestWitnessKilled(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is needed: make tools installs it")
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, "demo.precept.example/us-east/anchor")
	if err != nil {
		t.Fatal(err)
	}
	h := &regionHistory{}
	if h.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	w := newWitness(t, vkey)
	cosigned, killed := int64(0), 0
	held := func() int64 {
		t.Helper()
		signed, ok := w.newest(t)
		if !ok && cosigned == 0 {
			return 0
		}
		lines := strings.Split(signed, "\n")
		size, err := strconv.ParseInt(lines[min(1, len(lines)-1)], 10, 64)
		if !ok || err != nil || size < cosigned || size > h.size || signed != h.head(t, size) {
			t.Fatalf("it holds %q; %d leaves were cosigned, there are %d", signed, cosigned, h.size)
		}
		return size
	}
	for range 3 {
		h.grow(t, "leaf")
	}
	for _, c := range []struct {
		call  string
		times int
	}{{"fsync", 4}, {"renameat", 2}} {
		for when := 1; when <= c.times; when++ {
			w.start(t, strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace="+c.call, "-e",
				fmt.Sprintf("inject=%s:signal=KILL:when=%d", c.call, when))
			for old, dead := cosigned, false; !dead; {
				h.grow(t, "leaf")
				status, text := h.show(t, w, old, h.size-1)
				switch status {
				case http.StatusOK:
					old, cosigned = h.size-1, h.size-1
				case http.StatusConflict:
					old, _ = strconv.ParseInt(strings.TrimSpace(text), 10, 64)
				case 0:
					killed, dead = killed+1, true
				default:
					t.Fatalf("%s %d: %d %s", c.call, when, status, text)
				}
			}
			w.stop()
			w.start(t)
			size := held()
			if size > 0 {
				fork := &regionHistory{signer: h.signer}
				for range h.size {
					fork.grow(t, "another leaf")
				}
				if status, text := fork.show(t, w, size, size); status != http.StatusConflict {
					t.Errorf("%s %d: another history of %d leaves: %d %s", c.call, when, size, status, text)
				}
				fork.grow(t, "another leaf")
				if status, text := fork.show(t, w, size, fork.size); status != http.StatusUnprocessableEntity {
					t.Errorf("%s %d: another history: %d %s", c.call, when, status, text)
				}
			}
			h.grow(t, "leaf")
			if status, text := h.show(t, w, size, h.size); status != http.StatusOK {
				t.Errorf("%s %d: after the restart: %d %s", c.call, when, status, text)
			} else {
				cosigned = h.size
			}
			w.stop()
		}
	}
	if killed != 6 {
		t.Errorf("killed %d times, want 6", killed)
	}
}

// TestAnchoringKilled kills a service that anchors every second, at moments of its own choosing: after each restart the
// region's log is whole, holds every head that was shown, and goes on.
func TestAnchoringKilled(t *testing.T) {
	d := newRegion(t)
	appendTo(t, d.config, "anchor:\n    every: 1s\n")
	heads := filepath.Join(t.TempDir(), "heads.txt")
	for round := range 5 {
		n := startNode(t, d)
		if round == 0 {
			eventually(t, "the first heads are anchored", func() bool {
				_, _, status := command(t, d, "audit", "head", "-o", heads)
				text, err := os.ReadFile(heads)
				return status == 0 && err == nil && strings.Contains(string(text), "us-east/anchor\n")
			})
		} else {
			wants(t, d, 0, []string{"holds: demo.precept.example/us-east/anchor"}, "audit", "consistency", heads)
			wants(t, d, 0, nil, "audit", "head", "-o", heads)
		}
		for i := range 3 + round {
			if _, err := n.call(t, 10*round+i); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(900+50*round) * time.Millisecond) // around the moment of anchoring
		n.kill(t)
	}
	wants(t, d, 0, []string{"log verified"}, "audit", "verify", "--store", d.path("store", "audit.db"))
	wants(t, d, 0, []string{"holds: demo.precept.example/us-east/anchor"}, "audit", "consistency", "--store",
		d.path("store", "audit.db"), heads)
}

func TestSplitHeads(t *testing.T) {
	one, two := "a/b/anchor\n1\nAAAA\n\n— a AAAA\n", "a/b/anchor\n2\nAAAA\nmore\n\n— a AAAA\n— b BBBB\n"
	for text, want := range map[string][]string{
		one: {one}, one + "\n" + two: {one, two}, one + "\n" + two + "\n": {one, two},
		"": nil, "\n": nil, "a\n": nil, "a\n\n": nil, "a\n\n\n": nil, one[:len(one)-1]: nil, one + two: nil,
		one + "\n\n": nil, "a\n\nb\n": nil, "a\n\n— a\nb\n": nil, one + "\na\n": nil,
	} {
		notes, err := splitHeads([]byte(text))
		var got []string
		for _, n := range notes {
			got = append(got, string(n))
		}
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func FuzzSplitHeads(f *testing.F) {
	f.Add([]byte("a/b/anchor\n1\nAAAA\n\n— a AAAA\n\na/b/anchor\n2\nAAAA\n\n— a AAAA\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		notes, err := splitHeads(text)
		if err != nil {
			if !errors.Is(err, errHeads) {
				t.Error(err)
			}
			return
		}
		if all := joinHeads(notes); !bytes.Equal(all, text) && !bytes.Equal(append(all, '\n'), text) {
			t.Errorf("%q is read as %q", text, notes)
		}
		for _, n := range notes {
			_, _, _ = logOf(originOf(n))
		}
	})
}
