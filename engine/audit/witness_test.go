package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/log"
	cosigned "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/witness"
	"github.com/precept-cds/precept/signing/keys"
)

// watcher is a witness in this process. It has the rules of the real one, and lies if told to.
type watcher struct {
	*witness.Witness
	verifier note.Verifier
	asked    atomic.Int64
	lie      func(lines []byte, err error) ([]byte, error) // nil for none
	newest   func() ([]byte, error)                        // nil for the truth
}

func newWatcher(t *testing.T, name string, clock func() time.Time, node ed25519.PublicKey) *watcher {
	t.Helper()
	key, err := keys.Generate(keys.Ed25519, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	vkey := witness.VerifierKey(name, key.Public().Crypto().(ed25519.PublicKey))
	dir := t.TempDir()
	if err := witness.Create(dir, vkey); err != nil {
		t.Fatal(err)
	}
	line, err := audit.RegionKey(regionOrigin, node)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := witness.ParseLogs([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{}
	if w.Witness, err = witness.Open(witness.Config{Name: name, Key: key, Dir: dir, Logs: logs, Clock: clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if w.verifier, err = cosigned.NewVerifierForCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watcher) Verifier() note.Verifier { return w.verifier }

func (w *watcher) Cosign(ctx context.Context, old int64, proof tlog.TreeProof, head []byte) ([]byte, error) {
	w.asked.Add(1)
	lines, err := w.Add(ctx, witness.Request{Old: old, Proof: proof, Note: head}.Marshal())
	if conflict, ok := errors.AsType[*witness.ConflictError](err); ok {
		err = &audit.KnowsError{Size: conflict.Size}
	} else if err != nil {
		err = &audit.RefusedError{Why: err.Error()}
	}
	if w.lie != nil {
		return w.lie(lines, err)
	}
	return lines, err
}

func (w *watcher) Newest(_ context.Context, origin string) ([]byte, error) {
	if w.newest != nil {
		return w.newest()
	}
	if held := w.Witness.Newest(formats.ID(origin)); held != nil {
		return held, nil
	}
	return nil, audit.ErrNotFound
}

// quorum counts the witnesses that have cosigned a head.
func quorum(n int, all ...audit.Witness) func([]byte) bool {
	return func(head []byte) bool {
		got := 0
		for _, w := range all {
			if _, err := note.Open(head, note.VerifierList(w.Verifier())); err == nil {
				got++
			}
		}
		return got >= n
	}
}

// watched opens a log with witnesses.
func (r *region) watched(t *testing.T, n int, ask ...audit.Witness) (*audit.Log, error) {
	t.Helper()
	c := r.config(t)
	c.Anchor.Witnesses = audit.Witnessing{Ask: ask, Enough: quorum(n, ask...), Wait: 200 * time.Millisecond}
	l, err := audit.Open(t.Context(), c)
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, err
}

// nodeOf is the region's public key.
func (r *region) nodeOf(t *testing.T) ed25519.PublicKey {
	t.Helper()
	l := r.open(t)
	defer l.Close()
	return l.NodeKey()
}

func witnessedSize(t *testing.T, l *audit.Log) int64 {
	t.Helper()
	h, err := l.RegionWitnessed(t.Context())
	if errors.Is(err, audit.ErrNotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return h.Size
}

// TestWitnessesCosign keeps what a quorum has signed, and shows it with the head, over a restart of either side.
func TestWitnessesCosign(t *testing.T) {
	r := newRegion(t)
	node := r.nodeOf(t)
	w1, w2, w3 := newWatcher(t, "w.example/1", r.clock.Time, node), newWatcher(t, "w.example/2", r.clock.Time, node),
		newWatcher(t, "w.example/3", r.clock.Time, node)
	w3.lie = func([]byte, error) ([]byte, error) { return nil, errors.New("no route to host") }
	l, err := r.watched(t, 2, w1, w2, w3)
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.AskWitnesses(l); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("asked about an empty log: %v", err)
	}
	for i := range 5 {
		appendOK(t, l, r.entry("north", "p1"))
		r.clock.Add(4 * time.Minute)
		audit.AnchorNow(l)
		if err := audit.AskWitnesses(l); err != nil {
			t.Fatal(err)
		}
		h, err := l.RegionHead(t.Context())
		if err != nil || h.Size != int64(i+1) || !quorum(2, w1, w2)(h.Note) {
			t.Errorf("head %q: %v", h.Note, err)
		}
		s := l.Anchors()
		if s.Witnesses.Size != int64(i+1) || !s.Witnessed.Equal(r.clock.Time().Truncate(time.Second)) ||
			s.Last["w.example/1"] != "cosigned" || s.Last["w.example/3"] != "unreachable" || s.Configured != 3 {
			t.Errorf("figures %+v", s)
		}
	}
	if n := w1.asked.Load(); n != 5 {
		t.Errorf("asked %d times, want 5: it is remembered what a witness knows", n)
	}
	appendOK(t, l, r.entry("north", "p1"))
	audit.AnchorNow(l) // not witnessed: the head is shown all the same
	if h, err := l.RegionHead(t.Context()); err != nil || h.Size != 6 || witnessedSize(t, l) != 5 {
		t.Errorf("head %v, %v", h, err)
	}
	// The oldest kept head that has a leaf dates it best; one that was not kept is dated by the next.
	for size, under := range map[int64]int64{1: 1, 2: 4, 4: 4, 5: 5, 6: 6} {
		if _, h := anchored(t, l.Reader, "north", "audit/2026-03", size); h.Size != under {
			t.Errorf("the head of %d leaves is shown under %d, want %d", size, h.Size, under)
		}
	}
	regionVerified(t, l.Reader)
	l.Close()
	if l, err = r.watched(t, 2, w1, w2, w3); err != nil {
		t.Fatal(err)
	}
	if s := l.Anchors(); s.Witnesses.Size != 5 || s.Witnessed.IsZero() {
		t.Errorf("figures after a restart %+v", s)
	}
	if err := audit.AskWitnesses(l); err != nil { // it learns again what each knows
		t.Error(err)
	}
	if witnessedSize(t, l) != 6 {
		t.Error("not witnessed after a restart")
	}
}

// TestWitnessesThatAreOfNoUse lie, are slow or gone: nothing is taken for cosigned, and nothing is held up.
func TestWitnessesThatAreOfNoUse(t *testing.T) {
	always := func(err error) func([]byte, error) ([]byte, error) {
		return func([]byte, error) ([]byte, error) { return nil, err }
	}
	for name, c := range map[string]struct {
		lie  func(lines []byte, err error) ([]byte, error)
		want string
	}{
		"signature of nobody": {func(lines []byte, err error) ([]byte, error) {
			return bytes.Replace(lines, []byte("w.example/1"), []byte("w.example/9"), 1), err
		}, "bad"},
		"flipped signature": {func(lines []byte, err error) ([]byte, error) {
			return append(lines[:len(lines)-9], []byte("AAAAAAAA\n")...), err
		}, "bad"},
		"nothing": {always(nil), "bad"},
		"a note of its own": {func(lines []byte, err error) ([]byte, error) {
			return append([]byte("\nx\n\n"), lines...), err
		}, "bad"},
		"it knows more":           {always(&audit.KnowsError{Size: 1 << 40}), "refused"},
		"it knows less each time": {always(&audit.KnowsError{Size: 0}), "refused"},
		"a negative size":         {always(&audit.KnowsError{Size: -1}), "refused"},
		"refusal":                 {always(&audit.RefusedError{}), "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t)
			w := newWatcher(t, "w.example/1", r.clock.Time, r.nodeOf(t))
			w.lie = c.lie
			l, err := r.watched(t, 1, w)
			if err != nil {
				t.Fatal(err)
			}
			appendOK(t, l, r.entry("north", "p1"))
			audit.AnchorNow(l)
			if err := audit.AskWitnesses(l); err == nil {
				t.Error("it counts as cosigned")
			}
			if s := l.Anchors(); witnessedSize(t, l) != 0 || s.Last["w.example/1"] != c.want || s.Forked != "" ||
				w.asked.Load() > 2 {
				t.Errorf("figures %+v, asked %d times", s, w.asked.Load())
			}
			appendOK(t, l, r.entry("north", "p2"))
		})
	}
}

// TestWitnessWithAWrongClock: the time of a cosignature says when a head was there, so it must be believable.
func TestWitnessWithAWrongClock(t *testing.T) {
	for _, off := range []time.Duration{-6 * time.Minute, 6 * time.Minute, 100 * 365 * 24 * time.Hour} {
		r := newRegion(t)
		w := newWatcher(t, "w.example/1", func() time.Time { return r.clock.Time().Add(off) }, r.nodeOf(t))
		l, err := r.watched(t, 1, w)
		if err != nil {
			t.Fatal(err)
		}
		appendOK(t, l, r.entry("north", "p1"))
		audit.AnchorNow(l)
		if err := audit.AskWitnesses(l); err == nil || l.Anchors().Last["w.example/1"] != "bad" {
			t.Errorf("off by %s: %v", off, err)
		}
	}
}

// stuck is a witness that never answers.
type stuck struct{ *watcher }

func (stuck) Cosign(ctx context.Context, _ int64, _ tlog.TreeProof, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (stuck) Newest(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestStuckWitness keeps neither a start, nor records, nor anchors, nor other witnesses, nor an end.
func TestStuckWitness(t *testing.T) {
	r := newRegion(t)
	node := r.nodeOf(t)
	good, slow := newWatcher(t, "w.example/1", r.clock.Time, node), stuck{newWatcher(t, "w.example/2", r.clock.Time, node)}
	c := r.config(t)
	c.Anchor = audit.Anchoring{Every: time.Millisecond, Witnesses: audit.Witnessing{Ask: []audit.Witness{good, slow},
		Enough: quorum(1, good), Wait: 300 * time.Millisecond}}
	began := time.Now()
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		appendOK(t, l, r.entry("north", "p1"))
	}
	for witnessedSize(t, l) == 0 {
		if time.Since(began) > 20*time.Second {
			t.Fatal("the other witness was not heard")
		}
		time.Sleep(time.Millisecond)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// rewrite gives the region a store with another history, made with the region's own keys: the first records are the same,
// and then come others.
func (r *region) rewrite(t *testing.T, before *audittest.Memory, records int) {
	t.Helper()
	r.store = before
	l := r.open(t)
	for range records {
		appendOK(t, l, r.entry("north", "someone else"))
	}
	audit.AnchorNow(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRewrittenStore really rewrites a store with the node's own key. Nothing in the store contradicts itself; whoever has
// an old head of the tenant or of the region, a receipt, or a witness, sees it.
func TestRewrittenStore(t *testing.T) {
	for name, records := range map[string]int{"shorter": 1, "as long": 3, "longer": 6} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t)
			r.mark = "" // whoever can write the store can write it, too
			node := r.nodeOf(t)
			w := newWatcher(t, "w.example/1", r.clock.Time, node)
			l, err := r.watched(t, 1, w)
			if err != nil {
				t.Fatal(err)
			}
			appendOK(t, l, r.entry("north", "p1"))
			audit.AnchorNow(l)
			before := r.memory().Clone()
			var receipt audit.Receipt
			for range 3 {
				receipt = appendOK(t, l, r.entry("north", "p1"))
				audit.AnchorNow(l)
			}
			if err := audit.AskWitnesses(l); err != nil {
				t.Fatal(err)
			}
			noted, err := l.Logs(t.Context(), "north")
			if err != nil {
				t.Fatal(err)
			}
			region, err := l.RegionHead(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}

			r.rewrite(t, before, records)
			reader, err := audit.OpenReader(t.Context(), audit.Config{Store: r.store, Node: node})
			if err != nil {
				t.Fatal(err)
			}
			verified(t, reader, "north") // it is whole in itself
			regionVerified(t, reader)
			if begins(t, reader, "north", noted[0]) {
				t.Error("an old head of the tenant's log is not contradicted")
			}
			if begins(t, reader, "", region) {
				t.Error("an old head of the region's log is not contradicted")
			}
			if begins(t, reader, "north", audit.Head{Log: noted[0].Log, Size: receipt.Size, Root: receipt.Root}) {
				t.Error("a receipt is not contradicted")
			}
			// The witness has a head that the region signed: a start with it is refused, and says why.
			_, err = r.watched(t, 1, w)
			if !errors.Is(err, audit.ErrCutShort) || !strings.Contains(err.Error(), "w.example/1") {
				t.Errorf("start: %v", err)
			}
			// Whoever goes on all the same gets no cosignature, ever, and everybody is told.
			c := r.config(t)
			c.AdoptMark = true
			c.Anchor.Witnesses = audit.Witnessing{Ask: []audit.Witness{w}, Enough: quorum(1, w)}
			l, err = audit.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for range 6 {
				appendOK(t, l, r.entry("north", "p1"))
				audit.AnchorNow(l)
				if err := audit.AskWitnesses(l); err == nil {
					t.Error("a witness cosigned another history")
				}
			}
			if s := l.Anchors(); !strings.Contains(s.Forked, "w.example/1 holds a head of 4 leaves") ||
				s.Last["w.example/1"] != "fork" {
				t.Errorf("figures %+v", s)
			}
		})
	}
}

// begins says whether a log begins with the leaves of a head.
func begins(t *testing.T, r *audit.Reader, tn string, h audit.Head) bool {
	t.Helper()
	tile := func(level int, n int64, width int) ([]byte, error) {
		if tn == "" {
			return r.RegionTile(t.Context(), level, n, width)
		}
		return r.Tile(t.Context(), "north", h.Log, level, n, width)
	}
	data, err := tile(0, 0, int(h.Size)) // less than a tile
	if errors.Is(err, audit.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	root, err := tlog.TreeHash(h.Size, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, index := range indexes {
			hash, err := tlog.HashFromTile(tlog.Tile{H: 8, L: 0, N: 0, W: int(h.Size)}, data, index)
			if err != nil {
				return nil, err
			}
			out = append(out, hash)
		}
		return out, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return root == h.Root
}

// TestOldCopyOfAStore is refused by what a witness has seen, where the high-water mark is gone; a witness that cannot
// prove it keeps nothing from starting.
func TestOldCopyOfAStore(t *testing.T) {
	r := newRegion(t)
	r.mark = ""
	node := r.nodeOf(t)
	w := newWatcher(t, "w.example/1", r.clock.Time, node)
	l, err := r.watched(t, 1, w)
	if err != nil {
		t.Fatal(err)
	}
	appendOK(t, l, r.entry("north", "p1"))
	audit.AnchorNow(l)
	old := r.memory().Clone()
	appendOK(t, l, r.entry("north", "p1"))
	audit.AnchorNow(l)
	if err := audit.AskWitnesses(l); err != nil {
		t.Fatal(err)
	}
	newest, err := l.RegionWitnessed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r.store = old
	if _, err := r.watched(t, 1, w); !errors.Is(err, audit.ErrCutShort) {
		t.Errorf("an old copy: %v", err)
	}
	for name, lie := range map[string]func() ([]byte, error){
		"signed by nobody": func() ([]byte, error) {
			return bytes.Replace(newest.Note, []byte("\n2\n"), []byte("\n3\n"), 1), nil
		},
		"of another log": func() ([]byte, error) { return l.Checkpoint(t.Context(), "north", "audit/2026-03") },
		"not there":      func() ([]byte, error) { return nil, audit.ErrNotFound },
		"nonsense":       func() ([]byte, error) { return []byte("x"), nil },
		"gone":           func() ([]byte, error) { return nil, errors.New("no route to host") },
	} {
		w.newest = lie
		l, err := r.watched(t, 1, w)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		l.Close()
	}
}
