package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Anchoring is how often the heads of tenants go into the region's log, and who watches that.
type Anchoring struct {
	// Every is how long after one round the next begins; 0 means never. A round reads the newest heads, and stores those
	// that changed in transactions of its own, after the records that they cover: no call waits for one.
	Every time.Duration
	// Found is told, once for each, of logs that are no longer what was anchored of them. It may be nil.
	Found     func(t tenant.ID, f Finding)
	Witnesses Witnessing
}

const (
	// anchorChunk is how many tenants are read in one view, and how many heads go into one transaction.
	anchorChunk = 256
	// anchorRound bounds the reading of one round.
	anchorRound = 30 * time.Second
)

// anchorer puts heads into the region's log. Its fields but figures are the goroutine's own.
type anchorer struct {
	l      *Log
	origin string
	signer note.Signer
	stored []byte // newest head as it is in the store; nil before the first
	edge   *edge
	seen   map[markKey]anchoredHead
	wrong  map[markKey]bool // logs that were found to be wrong
	// looking is held by the step that looks for what is to be anchored. One that was left, since the disk hangs, goes on
	// at some time: until it has ended no other begins.
	looking sync.Mutex
	asking  chan struct{} // of one: taken while witnesses are asked
	idle    chan struct{} // closed when the goroutine has ended

	mu         sync.Mutex
	figures    AnchorStats
	begun      time.Duration    // of the round whose heads are all anchored
	knownSizes map[string]int64 // of the newest head that each witness has signed
}

// anchoredHead is what the anchorer remembers of a stream: the stored bytes of a head that is anchored.
type anchoredHead struct {
	log    LogName
	stored []byte
}

// Anchors returns figures of the region's log.
func (l *Log) Anchors() AnchorStats { return l.anchorer.stats() }

// AnchorStats are figures of the region's log.
type AnchorStats struct {
	On     bool
	Size   int64         // leaves
	Behind time.Duration // since when there may be heads that are not anchored
	Wrong  int           // logs of tenants that are not what was anchored of them
	Witnesses
}

func newAnchorer(l *Log) (*anchorer, error) {
	a := &anchorer{l: l, origin: l.id.anchorOrigin(), seen: map[markKey]anchoredHead{}, wrong: map[markKey]bool{},
		asking: make(chan struct{}, 1), idle: make(chan struct{}), knownSizes: map[string]int64{}, begun: l.ticks()}
	var err error
	if a.signer, err = l.node.Signer(a.origin); err != nil {
		return nil, err
	}
	a.figures.On = l.cfg.Anchor.Every > 0
	a.figures.Asked, a.figures.Last = map[string]map[string]int64{}, map[string]string{}
	return a, nil
}

// stats are the figures as they are now.
func (a *anchorer) stats() AnchorStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.figures
	s.Behind = max(0, a.l.ticks()-a.begun)
	s.Witnesses = s.Witnesses.clone()
	return s
}

// checkAnchor checks the newest head of the region's log as checkStream does those of tenants.
func (r *Reader) checkAnchor(v View) error {
	h, err := r.regionHead(v)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkEdge(v, "", h); err != nil {
		return err
	}
	end, err := v.GetMany([]Key{{Leaves, "", RegionLog.key(h.Size - 1)}, {Leaves, "", RegionLog.key(h.Size)}})
	if err == nil && (end[0] == nil || end[1] != nil) {
		err = fmt.Errorf("%w: the head of the region's log says %d leaves, the store disagrees", ErrCorrupt, h.Size)
	}
	return err
}

// run anchors until the log is closed or has failed.
func (a *anchorer) run() {
	defer close(a.idle)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		select {
		case <-a.l.closing:
		case <-a.l.failed:
		case <-ctx.Done():
		}
		stop()
	}()
	var asked time.Duration
	w := &a.l.cfg.Anchor.Witnesses
	for due := true; pause(ctx, a.l.cfg.Anchor.Every); {
		if a.round(ctx) > 0 { // what fails is tried again, and Behind grows
			due = true
		}
		if now := a.l.ticks(); len(w.Ask) > 0 && (due || now-asked >= w.every()) && a.askApart(ctx) {
			asked, due = now, false
		}
	}
	a.asking <- struct{}{} // whoever is still being asked is given up
}

// round anchors all heads that changed and returns how many those were.
func (a *anchorer) round(ctx context.Context) (anchored int) {
	ctx, stop := context.WithTimeout(ctx, anchorRound)
	defer stop()
	began := a.l.ticks()
	tenants, err := a.l.Tenants(ctx)
	for ; err == nil && len(tenants) > 0; tenants = tenants[min(anchorChunk, len(tenants)):] {
		var n int
		n, err = a.anchor(ctx, tenants[:min(anchorChunk, len(tenants))])
		anchored += n
	}
	if err == nil {
		a.mu.Lock()
		a.begun = began
		a.mu.Unlock()
	}
	return anchored
}

// candidate is a head that is not anchored yet.
type candidate struct {
	tenant tenant.ID
	head   Head
	stored []byte // nil for that of a closed month
}

// anchor anchors the heads of some tenants.
func (a *anchorer) anchor(ctx context.Context, tenants []tenant.ID) (anchored int, err error) {
	list, err := seen(ctx, a.l.Reader, func(v View) (list []candidate, err error) {
		if !a.looking.TryLock() {
			return nil, ErrLate
		}
		defer a.looking.Unlock()
		if err := a.load(v); err != nil {
			return nil, err
		}
		return a.changed(v, tenants)
	})
	for ; err == nil && len(list) > 0; list = list[min(anchorChunk, len(list)):] {
		chunk := list[:min(anchorChunk, len(list))]
		if err = a.commit(ctx, chunk); err == nil {
			anchored += len(chunk)
		}
	}
	return anchored, err
}

// load makes the edge of the region's tree what it is in the store.
func (a *anchorer) load(v View) error {
	stored, err := v.Get(Heads, "", []byte(RegionLog))
	if err != nil || a.edge != nil && bytes.Equal(stored, a.stored) {
		return err
	}
	a.edge, a.stored = &edge{}, bytes.Clone(stored)
	if stored == nil {
		return nil
	}
	h, err := a.l.id.openAnchorHead(a.stored, a.l.Reader.node)
	if err == nil {
		var hashes []tlog.Hash
		if hashes, err = (storedHashes{v, "", RegionLog}).ReadHashes(edgeIndexes(h.Size)); err == nil {
			a.edge, err = newEdge(h, hashes)
		}
	}
	if err != nil {
		a.edge = nil
		return err
	}
	a.grew(h.Size)
	return nil
}

func (a *anchorer) grew(size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.figures.Size = size
}

// changed lists the heads of tenants that are not in the region's log.
func (a *anchorer) changed(v View, tenants []tenant.ID) (list []candidate, err error) {
	keys := make([]Key, 0, 2*len(tenants))
	for _, t := range tenants {
		keys = append(keys, Key{Heads, t, []byte(streamAudit)}, Key{Heads, t, []byte(streamReleases)})
	}
	values, err := v.GetMany(keys)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		key := markKey{k.Tenant, string(k.Key)}
		if values[i] == nil || bytes.Equal(values[i], a.seen[key].stored) {
			continue
		}
		more, err := a.grown(v, key, bytes.Clone(values[i]))
		switch {
		case errors.Is(err, ErrCorrupt):
			a.found(key, err)
			continue
		case err != nil:
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// found says once that a log is not what it was.
func (a *anchorer) found(key markKey, why error) {
	if a.wrong[key] {
		return
	}
	a.wrong[key] = true
	a.mu.Lock()
	a.figures.Wrong = len(a.wrong)
	a.mu.Unlock()
	if tell := a.l.cfg.Anchor.Found; tell != nil {
		tell(key.tenant, Finding{LogName(key.stream), -1, "anchor", why.Error()})
	}
}

// grown lists the heads of a stream that are to be anchored: the newest one, and the last one of the month that was
// closed before.
func (a *anchorer) grown(v View, key markKey, stored []byte) (list []candidate, err error) {
	h, err := a.l.id.openHead(key.tenant, stored, a.l.Reader.node)
	if err != nil {
		return nil, err
	}
	closed := LogName("")
	switch last := a.seen[key].log; {
	case key.stream == streamReleases || last == h.Log:
	case last != "":
		closed = last
	default:
		names, err := headKeys(v, key.tenant)
		if err != nil {
			return nil, err
		}
		if n := len(names) - 3; n >= 0 { // beside the two that grow
			closed = LogName(names[n])
		}
	}
	heads := []candidate{{key.tenant, h, stored}}
	if closed != "" {
		final, err := a.l.logHead(v, key.tenant, closed)
		if err != nil {
			return nil, err
		}
		heads = append([]candidate{{key.tenant, final, nil}}, heads...)
	}
	for _, c := range heads {
		done, err := a.anchored(v, c)
		if err != nil {
			return nil, err
		}
		if !done {
			list = append(list, c)
		} else if c.stored != nil {
			a.seen[key] = anchoredHead{h.Log, stored}
		}
	}
	return list, nil
}

// anchored says whether a head is in the region's log. What it is to follow there must be what was anchored before,
// and its tree must have its root.
func (a *anchorer) anchored(v View, c candidate) (bool, error) {
	if err := checkEdge(v, c.tenant, c.head); err != nil {
		return false, err
	}
	last, err := newestOpening(v, c.tenant, c.head.Log)
	if err != nil || last == nil {
		return false, err
	}
	if last.size > c.head.Size {
		return false, fmt.Errorf("%w: %s had %d leaves when it was anchored, and has %d", ErrCorrupt, c.head.Log, last.size,
			c.head.Size)
	}
	if _, err := a.l.opens(v, c.tenant, last); err != nil {
		return false, err
	}
	return last.size == c.head.Size, nil
}

// commit stores the leaves of some heads, in an order that says nothing of whose they are, and the new head of the
// region's log in place of exactly the one that was read.
func (a *anchorer) commit(ctx context.Context, list []candidate) error {
	if err := a.l.room(int64(len(list))<<10, false); err != nil {
		return err
	}
	b, e := Batch{Expect: []Item{{Heads, "", []byte(RegionLog), a.stored}}}, *a.edge
	type blinded struct {
		candidate
		salt, leaf []byte
	}
	leaves := make([]blinded, len(list))
	for i, c := range list {
		salt := make([]byte, saltSize)
		if _, err := io.ReadFull(a.l.cfg.Rand, salt); err != nil {
			return fmt.Errorf("reading randomness: %w", err)
		}
		leaves[i] = blinded{c, salt, anchorLeaf(salt, headText(c.head.Origin, c.head.Size, c.head.Root))}
	}
	slices.SortFunc(leaves, func(x, y blinded) int { return bytes.Compare(x.leaf, y.leaf) })
	for _, c := range leaves {
		o := opening{c.head.Log, c.head.Size, e.size, c.salt}
		key := RegionLog.key(e.size)
		hashes, err := e.add(tlog.RecordHash(c.leaf))
		if err != nil {
			return err
		}
		value := []byte{byte(len(hashes))}
		for _, h := range hashes {
			value = append(value, h[:]...)
		}
		b.Put = append(b.Put, Item{Leaves, "", key, append(value, c.leaf...)},
			Item{Anchors, c.tenant, o.log.key(o.size), o.value()})
	}
	root, err := e.root()
	if err != nil {
		return err
	}
	text := headText(a.origin, e.size, root)
	signed, err := note.Sign(&note.Note{Text: string(text)}, a.signer)
	if err != nil {
		return fmt.Errorf("signing head of the region's log: %w", err)
	}
	stored, err := encodeHead(RegionLog, a.l.cfg.Clock(), signed, nil)
	if err != nil {
		return err
	}
	b.Put = append(b.Put, Item{Heads, "", []byte(RegionLog), stored})
	if err := a.store(ctx, &b); err != nil {
		a.edge = nil // read it anew
		return err
	}
	a.edge, a.stored = &e, stored
	for _, c := range list {
		if c.stored != nil {
			a.seen[markKey{c.tenant, c.head.Log.stream()}] = anchoredHead{c.head.Log, c.stored}
		}
	}
	a.grew(e.size)
	return nil
}

// store commits a batch that calls need nothing of. On a store that has failed, or has begun to hang, there is nothing to
// be anchored.
func (a *anchorer) store(ctx context.Context, b *Batch) error {
	if err := a.l.admit(false); err != nil {
		return err
	}
	return a.l.outcome(b, a.l.cfg.Store.Commit(ctx, b))
}

// RegionKey is the verifier key of the region's log as witnesses take it, <origin>+<hash>+<key>, from an origin and
// the node's public key.
func RegionKey(origin string, node []byte) (string, error) {
	vkey, err := note.NewEd25519VerifierKey(origin, node)
	if err != nil {
		return "", fmt.Errorf("naming the key of %s: %w", origin, err)
	}
	return vkey, nil
}

// RegionOrigin is the origin of the region's log.
func (r *Reader) RegionOrigin() string { return r.id.anchorOrigin() }

// openRegion checks a signed note that is said to be of this region's log.
func (r *Reader) openRegion(signed []byte) (Head, error) {
	return openNote(r.id.anchorOrigin(), signed, r.node)
}
