package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	cosigned "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Witness remembers the newest head of a log that it has seen, and signs a newer one only if that is shown to follow
// it. The region's log is shown to it; tenants' logs never are.
type Witness interface {
	// Verifier checks what the witness signs: C2SP cosignature/v1. Its name is the witness's.
	Verifier() note.Verifier
	// Cosign shows the witness a head that follows the one of old leaves, and returns signature lines of it. If the
	// witness knows a head of another size, the error is a *[KnowsError].
	Cosign(ctx context.Context, old int64, proof tlog.TreeProof, head []byte) (lines []byte, err error)
	// Newest is the newest head of a log that the witness has signed; ErrNotFound if there is none, or if the witness
	// shows none.
	Newest(ctx context.Context, origin string) ([]byte, error)
}

// A KnowsError says how many leaves the newest head has that a witness has signed. It is the witness's word.
type KnowsError struct{ Size int64 }

// Error says it in words.
func (e *KnowsError) Error() string {
	return fmt.Sprintf("the witness knows a head of %d leaves", e.Size)
}

// Witnessing is who watches the region's log. No call ever waits for a witness.
type Witnessing struct {
	Ask []Witness
	// Enough says whether a head has the cosignatures that it takes; it only counts them, they are checked before.
	Enough func(head []byte) bool
	// Every is how often a head is shown to the witnesses although it is the same; 0 means a minute. One that is new is
	// shown sooner.
	Every time.Duration
	// Wait is how long one witness may take; 0 means 5 s.
	Wait time.Duration
	// MaxSkew is by how much the time of a cosignature may differ from the clock; 0 means 5 minutes.
	MaxSkew time.Duration
}

func (w *Witnessing) every() time.Duration { return cmp.Or(w.Every, time.Minute) }

// keptEvery is how far apart cosigned heads are that are kept for good.
const keptEvery = 10 * time.Minute

// Witnesses are figures of what witnesses said.
type Witnesses struct {
	Configured int
	Witnessed  time.Time // when the newest head that has enough cosignatures was cosigned first; zero if there is none
	Size       int64     // of that head
	Forked     string    // which witness holds a head of this region's that does not belong to its log, and which; or empty
	Last       map[string]string
	Asked      map[string]map[string]int64 // by witness and outcome: cosigned, unreachable, refused, bad
}

func (w Witnesses) clone() Witnesses {
	asked := w.Asked
	w.Asked, w.Last = make(map[string]map[string]int64, len(asked)), maps.Clone(w.Last)
	for name, outcomes := range asked {
		w.Asked[name] = maps.Clone(outcomes)
	}
	return w
}

// Why a witness's answer was of no use. Each is what one outcome of [Witnesses] counts.
var (
	errRefused   = errors.New("the witness does not sign")
	errBadAnswer = errors.New("its answer is not what a witness answers")
	// errFork is a proof: a witness holds a head that this region signed and that does not belong to its log.
	errFork = errors.New("signed by this region, and not of its log")
)

// A RefusedError says that a witness answered, and does not sign.
type RefusedError struct{ Why string }

// Error says it in words.
func (e *RefusedError) Error() string { return errRefused.Error() + ": " + e.Why }

// Unwrap makes it one with other refusals.
func (e *RefusedError) Unwrap() error { return errRefused }

// askApart asks the witnesses, unless they are being asked. It returns at once.
func (a *anchorer) askApart(ctx context.Context) bool {
	select {
	case a.asking <- struct{}{}:
	default:
		return false
	}
	go func() {
		defer func() { <-a.asking }()
		_ = a.ask(ctx) // noted for each; asked again next time
	}()
	return true
}

// ask shows the newest head to all witnesses and keeps what they sign, if it is enough.
func (a *anchorer) ask(ctx context.Context) error {
	r, w := a.l.Reader, &a.l.cfg.Anchor.Witnesses
	h, err := seen(ctx, r, r.regionHead)
	if err != nil {
		return err
	}
	answers := make([][]byte, len(w.Ask))
	var all sync.WaitGroup
	for i, witness := range w.Ask {
		all.Go(func() {
			ctx, stop := context.WithTimeout(ctx, cmp.Or(w.Wait, 5*time.Second))
			defer stop()
			lines, err := a.askOne(ctx, witness, h)
			a.note(witness.Verifier().Name(), err)
			answers[i] = lines
		})
	}
	all.Wait()
	signed := bytes.Clone(h.Note)
	for _, lines := range answers {
		signed = append(signed, lines...)
	}
	if w.Enough == nil || !w.Enough(signed) {
		return fmt.Errorf("cosigning head of the region's log: %w: not enough witnesses", errRefused)
	}
	return a.keep(ctx, h, signed)
}

// note counts what a witness answered.
func (a *anchorer) note(name string, err error) {
	outcome := "cosigned"
	switch {
	case err == nil:
	case errors.Is(err, errFork):
		outcome = "fork"
	case errors.Is(err, errRefused):
		outcome = "refused"
	case errors.Is(err, errBadAnswer):
		outcome = "bad"
	default:
		outcome = "unreachable"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f := &a.figures.Witnesses
	if f.Asked[name] == nil {
		f.Asked[name] = map[string]int64{}
	}
	f.Asked[name][outcome]++
	f.Last[name] = outcome
	if errors.Is(err, errFork) {
		f.Forked = err.Error()
	}
}

// askOne has one witness cosign a head. What it says it knows it is shown the way from, once.
func (a *anchorer) askOne(ctx context.Context, w Witness, h Head) ([]byte, error) {
	name := w.Verifier().Name()
	old := a.known(name)
	for again := false; ; again = true {
		proof, err := a.proveFrom(ctx, old, h)
		if err != nil {
			return nil, err
		}
		lines, err := w.Cosign(ctx, old, proof, h.Note)
		knows, ok := errors.AsType[*KnowsError](err)
		switch {
		case err == nil:
			if lines, err = a.checkLines(w.Verifier(), h, lines); err == nil {
				a.knows(name, h.Size)
			}
			return lines, err
		case !ok && errors.Is(err, errRefused):
			return nil, errors.Join(err, a.l.confront(ctx, w))
		case !ok:
			return nil, err
		case knows.Size < 0 || knows.Size > h.Size || again && knows.Size == old:
			// Either the witness lies, or this region has signed more than it has. Only a signature tells.
			return nil, errors.Join(errRefused, err, a.l.confront(ctx, w))
		case again:
			return nil, errors.Join(errRefused, err)
		}
		old = knows.Size
	}
}

func (a *anchorer) known(name string) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.knownSizes[name]
}

func (a *anchorer) knows(name string, size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.knownSizes[name] = size
}

// proveFrom proves that a head follows an older one.
func (a *anchorer) proveFrom(ctx context.Context, old int64, h Head) (tlog.TreeProof, error) {
	if old <= 0 || old >= h.Size {
		return nil, nil
	}
	return seen(ctx, a.l.Reader, func(v View) (tlog.TreeProof, error) {
		return tlog.ProveTree(h.Size, old, storedHashes{v, "", RegionLog})
	})
}

// checkLines takes from what a witness answered the lines that it did sign, at about this time.
func (a *anchorer) checkLines(v note.Verifier, h Head, lines []byte) ([]byte, error) {
	n, err := note.Open(append(bytes.Clone(h.Note), lines...), note.VerifierList(v))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadAnswer, err)
	}
	var good []byte
	for _, s := range n.Sigs {
		at, err := cosigned.CoSigV1Timestamp(s)
		skew := a.l.cfg.Clock().Sub(at).Abs()
		if err != nil || skew > cmp.Or(a.l.cfg.Anchor.Witnesses.MaxSkew, 5*time.Minute) {
			return nil, fmt.Errorf("%w: the time of its signature is not now", errBadAnswer)
		}
		good = fmt.Appendf(good, "— %s %s\n", s.Name, s.Base64)
	}
	return good, nil
}

// confront asks a witness for the head it holds. errFork is the answer if this region signed it and its log is not
// what that head is of.
func (r *Reader) confront(ctx context.Context, w Witness) error {
	held, err := w.Newest(ctx, r.id.anchorOrigin())
	if err != nil {
		return err
	}
	h, err := r.openRegion(held)
	if err != nil {
		return fmt.Errorf("%w: it shows a head that this region did not sign: %w", errBadAnswer, err)
	}
	return seenErr(ctx, r, func(v View) error {
		own, err := r.regionHead(v)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if h.Size <= own.Size {
			root, err := tlog.TreeHash(h.Size, storedHashes{v, "", RegionLog})
			if err != nil || root == h.Root {
				return err
			}
		}
		return fmt.Errorf("%w: witness %s holds a head of %d leaves, root %s; the store has %d leaves", errFork,
			w.Verifier().Name(), h.Size, h.Root, own.Size)
	})
}

func seenErr(ctx context.Context, r *Reader, look func(View) error) error {
	_, err := seen(ctx, r, func(v View) (struct{}, error) { return struct{}{}, look(v) })
	return err
}

// keep stores a head that has enough cosignatures, as the newest such and, from time to time, for good.
func (a *anchorer) keep(ctx context.Context, h Head, signed []byte) error {
	r := a.l.Reader
	b := &Batch{}
	err := seenErr(ctx, r, func(v View) error {
		stored, err := v.Get(Heads, "", []byte(keyWitnessed))
		if err != nil {
			return err
		}
		if stored != nil {
			if before, err := r.openRegion(bytes.Clone(stored)); err == nil && before.Size > h.Size {
				return nil // another node was faster
			}
		}
		key := []byte(keyWitnessed)
		b.Expect = []Item{{Heads, "", key, bytes.Clone(stored)}}
		b.Put = []Item{{Heads, "", key, signed}}
		var last []byte
		err = v.Scan(Anchors, "", RegionLog.key(0), RegionLog.key(-1), true, func(_, value []byte) (bool, error) {
			last = bytes.Clone(value)
			return false, nil
		})
		if err != nil {
			return err
		}
		before, err := r.openRegion(last)
		if last == nil || err == nil && before.Size < h.Size && a.cosignedAt(signed).Sub(a.cosignedAt(last)) >= keptEvery {
			b.Put = append(b.Put, Item{Anchors, "", RegionLog.key(h.Size), signed})
		}
		return nil
	})
	if err == nil && len(b.Put) > 0 {
		err = a.storeWitnessed(ctx, b)
	}
	if err != nil {
		return fmt.Errorf("keeping cosignatures: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := &a.figures.Witnesses; h.Size >= f.Size {
		f.Size, f.Witnessed = h.Size, a.cosignedAt(signed)
	}
	return nil
}

// storeWitnessed commits cosignatures. Where nobody can tell what became of that, and the store goes on, they are asked
// for again: nothing depends on them.
func (a *anchorer) storeWitnessed(ctx context.Context, b *Batch) error {
	if err := a.l.admit(false); err != nil {
		return err
	}
	err := a.l.cfg.Store.Commit(ctx, b)
	if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrNotApplied) {
		return err
	}
	if _, ok := a.l.cfg.Store.(Resolver); !ok {
		return a.l.poison(err)
	}
	return err
}

// cosignedAt is the oldest time of the cosignatures of known witnesses under a head; zero if there is none.
func (a *anchorer) cosignedAt(signed []byte) (oldest time.Time) {
	for _, w := range a.l.cfg.Anchor.Witnesses.Ask {
		n, err := note.Open(signed, note.VerifierList(w.Verifier()))
		if err != nil {
			continue
		}
		for _, s := range n.Sigs {
			if at, err := cosigned.CoSigV1Timestamp(s); err == nil && (oldest.IsZero() || at.Before(oldest)) {
				oldest = at
			}
		}
	}
	return oldest
}

// startWithWitnesses asks all witnesses, for a bounded time, what they hold of the region's log. A store that lacks what
// this region signed is behind: it is refused, or taken over if that was asked for. A witness that does not answer, or
// says what the region did not sign, keeps nothing from starting.
func (a *anchorer) startWithWitnesses(ctx context.Context) error {
	w := &a.l.cfg.Anchor.Witnesses
	a.figures.Configured = len(w.Ask)
	if err := seenErr(ctx, a.l.Reader, func(v View) error {
		h, err := a.l.witnessed(v)
		a.figures.Witnesses.Size, a.figures.Witnessed = h.Size, a.cosignedAt(h.Note)
		return err
	}); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, cmp.Or(w.Wait, 5*time.Second))
	defer stop()
	forks := make([]error, len(w.Ask))
	var all sync.WaitGroup
	for i, witness := range w.Ask {
		all.Go(func() {
			if err := a.l.confront(ctx, witness); errors.Is(err, errFork) {
				a.note(witness.Verifier().Name(), err)
				forks[i] = err
			}
		})
	}
	all.Wait()
	err := errors.Join(forks...)
	if err == nil || a.l.cfg.AdoptMark {
		return nil
	}
	return fmt.Errorf("%w: %s (restore a newer copy of the store, or run precept audit verify --store and start once"+
		" with --adopt-high-water)", ErrCutShort, strings.ReplaceAll(err.Error(), "\n", "; "))
}
