package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/precept-cds/precept/engine/tenant"
	formats "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"
)

// The region has one log of its own, <prefix>/<region>/anchor, in which the heads of all logs of all tenants are
// anchored, so that witnesses need to watch one log only. A leaf of it tells nobody whose head it is:
//
//	{"v":1,"head":"9f0c..."}
//
// where head is SHA-256("precept/anchor/v1\n" | salt | text), salt being 32 random bytes of that leaf and text the
// checkpoint of the tenant's log without its signatures: origin, size and root, a line each. What opens it, salt and
// place, lies with the tenant, in the space Anchors:
//
//	log | 0 | size -> index in the region's log (8) | salt (32)
//
// The text is computed from the tenant's tree, never stored, so that a tree that was changed opens nothing. Under
// tenant "" the same space keeps checkpoints of the region's log as witnesses have cosigned them:
//
//	"anchor" | 0 | size -> signed note
//
// and Heads has the newest of these as "anchor/witnessed".

// RegionLog is the log in which heads are anchored. No tenant has a log of this name.
const RegionLog LogName = "anchor"

const (
	keyWitnessed = "anchor/witnessed"
	anchorLabel  = "precept/anchor/v1\n"
	saltSize     = 32
	openingSize  = 8 + saltSize
)

// anchorOrigin is the origin of the region's log. It has one slash less than those of tenants.
func (i identity) anchorOrigin() string { return i.String() + "/" + string(RegionLog) }

// anchorLeaf is the leaf of a blinded head.
func anchorLeaf(salt, text []byte) []byte {
	h := sha256.New()
	h.Write([]byte(anchorLabel))
	h.Write(salt)
	h.Write(text)
	return append(hex.AppendEncode([]byte(`{"v":1,"head":"`), h.Sum(nil)), '"', '}')
}

// headText is what a checkpoint signs.
func headText(origin string, size int64, root tlog.Hash) []byte {
	return formats.Checkpoint{Origin: origin, Size: uint64(size), Hash: root[:]}.Marshal()
}

// openAnchorHead reads the stored head of the region's log.
func (i identity) openAnchorHead(value []byte, node ed25519.PublicKey) (Head, error) {
	w, committed, err := decodeHead(value)
	if err == nil && w.Log != RegionLog {
		err = fmt.Errorf("reading head: %w: unknown log", ErrCorrupt)
	}
	if err != nil {
		return Head{}, err
	}
	h, err := openNote(i.anchorOrigin(), []byte(w.Note), node)
	if err != nil {
		return Head{}, fmt.Errorf("reading head of %s: %w", w.Log, err)
	}
	h.Log, h.Committed = w.Log, committed
	return h, nil
}

// An opening is what the store keeps beside a head that is anchored.
type opening struct {
	log   LogName
	size  int64
	index int64 // in the region's log
	salt  []byte
}

func readOpening(key, value []byte) (o opening, ok bool) {
	name, size, ok := bytes.Cut(key, []byte{0})
	if !ok || len(size) != 8 || len(value) != openingSize {
		return o, false
	}
	o = opening{LogName(name), int64(binary.BigEndian.Uint64(size)), int64(binary.BigEndian.Uint64(value)),
		bytes.Clone(value[8:])}
	return o, o.size > 0 && o.index >= 0
}

func (o *opening) value() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(o.index)), o.salt...)
}

// opens computes what the opening opens from the tenant's tree as it is now, and holds it against the leaf.
func (r *Reader) opens(v View, t tenant.ID, o *opening) (text []byte, err error) {
	root, err := tlog.TreeHash(o.size, storedHashes{v, t, o.log})
	if err != nil {
		return nil, err
	}
	_, leaf, err := readLeaf(v, "", RegionLog, o.index)
	if err != nil {
		return nil, err
	}
	text = headText(r.id.origin(t, o.log), o.size, root)
	if !bytes.Equal(leaf, anchorLeaf(o.salt, text)) {
		return nil, fmt.Errorf("%w: the first %d leaves of %s are not those that leaf %d of the region's log was made of",
			ErrCorrupt, o.size, o.log, o.index)
	}
	return text, nil
}

// newestOpening is the one with the largest size of a log; nil if it was never anchored.
func newestOpening(v View, t tenant.ID, log LogName) (*opening, error) {
	return findOpening(v, t, log.key(0), log.key(-1), true)
}

func findOpening(v View, t tenant.ID, from, to []byte, reverse bool) (o *opening, err error) {
	err = v.Scan(Anchors, t, from, to, reverse, func(k, value []byte) (bool, error) {
		found, ok := readOpening(k, value)
		if !ok {
			return false, fmt.Errorf("%w: what opens an anchor is damaged", ErrCorrupt)
		}
		o = &found
		return false, nil
	})
	return o, err
}

// An Anchor shows that a head of a tenant's log is in the region's log. With the node's public key it can be checked
// by anybody, without the store; with the keys of witnesses, that they have seen a log that holds it.
type Anchor struct {
	Log    string // origin of the tenant's log
	Size   int64  // of the anchored head
	Root   tlog.Hash
	Salt   [saltSize]byte
	Index  int64            // of the leaf in the region's log
	Hashes tlog.RecordProof // RFC 6962 inclusion proof in the region's log
	Note   []byte           // head of the region's log that the proof leads to, cosigned if witnesses were there
}

func (a Anchor) text() []byte { return headText(a.Log, a.Size, a.Root) }

// Marshal is the anchor in the C2SP tlog-proof form. Its extra data are the salt and the text of the anchored head,
// and what is proven is the leaf that they make.
func (a Anchor) Marshal() []byte {
	return Proof{Leaf: append(a.Salt[:], a.text()...), Index: a.Index, Hashes: a.Hashes, Note: a.Note}.Marshal()
}

// ParseAnchor reads what Marshal wrote, in that form only. It checks nothing else; [Anchor.Verify] does.
func ParseAnchor(text []byte) (Anchor, error) {
	bad := fmt.Errorf("reading anchor: %w", ErrProof)
	var t proof.TLogProof
	if len(text) > maxProof || t.Unmarshal(text) != nil || t.Index > 1<<62 || len(t.ExtraData) < saltSize {
		return Anchor{}, bad
	}
	var c formats.Checkpoint
	rest, err := c.Unmarshal(t.ExtraData[saltSize:])
	if err != nil || len(rest) > 0 || len(c.Hash) != tlog.HashSize || c.Size > 1<<62 {
		return Anchor{}, bad
	}
	a := Anchor{Log: c.Origin, Size: int64(c.Size), Root: tlog.Hash(c.Hash), Salt: [saltSize]byte(t.ExtraData),
		Index: int64(t.Index), Note: t.Checkpoint}
	for _, h := range t.Hashes {
		a.Hashes = append(a.Hashes, h)
	}
	if !bytes.Equal(a.Marshal(), text) {
		return Anchor{}, bad
	}
	return a, nil
}

// Verify checks that the node signed the region's head in the anchor, and that the anchored head is under it. origin
// is that of the region's log. Who cosigned the note is for its reader to check.
func (a Anchor) Verify(origin string, node ed25519.PublicKey) (Head, error) {
	h, err := openNote(origin, a.Note, node)
	if err != nil {
		return Head{}, fmt.Errorf("checking anchor: %w", err)
	}
	if a.Index < 0 || a.Index >= h.Size {
		return Head{}, fmt.Errorf("checking anchor: %w: the head is older than the leaf", ErrCorrupt)
	}
	leaf := tlog.RecordHash(anchorLeaf(a.Salt[:], a.text()))
	if err := tlog.CheckRecord(a.Hashes, h.Size, h.Root, a.Index, leaf); err != nil {
		return Head{}, fmt.Errorf("checking anchor: %w: %w", ErrCorrupt, err)
	}
	return h, nil
}

// Anchored is the anchor of the smallest head of a log that was anchored with so many leaves or more, under the oldest
// cosigned head of the region's log that has it, which says best when it was; ErrNotFound if there is none yet. What
// it proves is computed from the log as it is now.
func (r *Reader) Anchored(ctx context.Context, t tenant.ID, log LogName, size int64) (Anchor, error) {
	a, err := seen(ctx, r, func(v View) (Anchor, error) { return r.anchored(v, t, log, size) })
	if err != nil {
		return Anchor{}, fmt.Errorf("reading anchor of %s: %w", log, err)
	}
	return a, nil
}

func (r *Reader) anchored(v View, t tenant.ID, log LogName, size int64) (Anchor, error) {
	if _, err := ParseLogName(string(log)); err != nil || size < 1 {
		return Anchor{}, ErrNotFound
	}
	o, err := findOpening(v, t, log.key(size), log.key(-1), false)
	if err != nil {
		return Anchor{}, err
	}
	if o == nil {
		return Anchor{}, ErrNotFound
	}
	text, err := r.opens(v, t, o)
	if err != nil {
		return Anchor{}, err
	}
	var c formats.Checkpoint
	if _, err := c.Unmarshal(text); err != nil {
		return Anchor{}, err
	}
	h, err := r.witnessedFrom(v, o.index)
	if err != nil {
		return Anchor{}, err
	}
	a := Anchor{Log: c.Origin, Size: o.size, Root: tlog.Hash(c.Hash), Salt: [saltSize]byte(o.salt), Index: o.index,
		Note: h.Note}
	a.Hashes, err = proveIn(v, "", h, o.index, anchorLeaf(o.salt, text))
	return a, err
}

// witnessedFrom is the oldest cosigned head of the region's log that has a leaf; the newest head if none has.
func (r *Reader) witnessedFrom(v View, index int64) (h Head, err error) {
	var note []byte
	err = v.Scan(Anchors, "", RegionLog.key(index+1), RegionLog.key(-1), false, func(_, value []byte) (bool, error) {
		note = bytes.Clone(value)
		return false, nil
	})
	if err != nil {
		return h, err
	}
	if note == nil {
		h, err = r.witnessed(v)
		if err == nil && h.Size > index {
			return h, nil
		}
		return r.regionHead(v)
	}
	h, err = openNote(r.id.anchorOrigin(), note, r.node)
	h.Log = RegionLog
	return h, err
}

// regionHead is the newest head of the region's log; ErrNotFound if nothing was anchored yet.
func (r *Reader) regionHead(v View) (Head, error) {
	value, err := v.Get(Heads, "", []byte(RegionLog))
	if err != nil {
		return Head{}, err
	}
	if value == nil {
		return Head{}, fmt.Errorf("%w: nothing was anchored in the region's log yet", ErrNotFound)
	}
	return r.id.openAnchorHead(bytes.Clone(value), r.node)
}

// witnessed is the newest head of the region's log that a quorum of witnesses has cosigned; empty if there is none.
func (r *Reader) witnessed(v View) (Head, error) {
	value, err := v.Get(Heads, "", []byte(keyWitnessed))
	if err != nil || value == nil {
		return Head{}, err
	}
	h, err := openNote(r.id.anchorOrigin(), bytes.Clone(value), r.node)
	h.Log = RegionLog
	return h, err
}

// RegionHead is the newest head of the region's log, with the cosignatures that it has; ErrNotFound before the first.
func (r *Reader) RegionHead(ctx context.Context) (Head, error) {
	h, err := seen(ctx, r, func(v View) (Head, error) {
		h, err := r.regionHead(v)
		if err != nil {
			return h, err
		}
		w, err := r.witnessed(v)
		if err == nil && w.Size == h.Size && w.Root == h.Root {
			h.Note = w.Note
		}
		return h, err
	})
	if err != nil {
		return Head{}, fmt.Errorf("reading head of the region's log: %w", err)
	}
	return h, nil
}

// RegionWitnessed is the newest head of the region's log that a quorum of witnesses has cosigned, as a signed note
// with their signatures; ErrNotFound if there is none.
func (r *Reader) RegionWitnessed(ctx context.Context) (Head, error) {
	h, err := seen(ctx, r, r.witnessed)
	if err == nil && h.Note == nil {
		err = fmt.Errorf("%w: no quorum of witnesses has cosigned it yet", ErrNotFound)
	}
	if err != nil {
		return Head{}, fmt.Errorf("reading witnessed head of the region's log: %w", err)
	}
	return h, nil
}

// RegionTile is [Reader.Tile] of the region's log.
func (r *Reader) RegionTile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	return r.readTile(ctx, "", RegionLog, level, n, width, r.regionHead)
}

// RegionEntries is [Reader.Entries] of the region's log.
func (r *Reader) RegionEntries(ctx context.Context, n int64, width int) ([]byte, error) {
	return r.readEntries(ctx, "", RegionLog, n, width, r.regionHead)
}

// Entries returns width leaves (1 to 256) of a log from leaf n*256 on, as C2SP tlog-tiles bundles them: each after
// its length in two bytes. Leaves that are not all there under the newest head are ErrNotFound, and so are those that
// are longer than the form allows: statements may be.
func (r *Reader) Entries(ctx context.Context, t tenant.ID, log LogName, n int64, width int) ([]byte, error) {
	return r.readEntries(ctx, t, log, n, width, func(v View) (Head, error) { return r.logHead(v, t, log) })
}

func (r *Reader) readEntries(ctx context.Context, t tenant.ID, log LogName, n int64, width int,
	head func(View) (Head, error)) ([]byte, error) {
	if n < 0 || n > 1<<40 || width < 1 || width > 1<<TileHeight {
		return nil, fmt.Errorf("reading leaves: %w", ErrNotFound)
	}
	data, err := seen(ctx, r, func(v View) ([]byte, error) {
		h, err := head(v)
		if err != nil {
			return nil, err
		}
		first := n << TileHeight
		if first+int64(width) > h.Size {
			return nil, ErrNotFound
		}
		keys := make([]Key, width)
		for i := range keys {
			keys[i] = Key{Leaves, t, log.key(first + int64(i))}
		}
		values, err := v.GetMany(keys)
		if err != nil {
			return nil, err
		}
		var out []byte
		for i, value := range values {
			hashes, leaf := splitLeaf(value)
			if hash := tlog.RecordHash(leaf); !bytes.HasPrefix(hashes, hash[:]) {
				return nil, fmt.Errorf("%w: leaf %d of %s does not have its stored hash", ErrCorrupt, first+int64(i), log)
			}
			if len(leaf) > 1<<16-1 {
				return nil, fmt.Errorf("%w: leaf %d is too long for a bundle", ErrNotFound, first+int64(i))
			}
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(leaf))), leaf...)
		}
		return out, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading leaves: %w", err)
	}
	return data, nil
}
