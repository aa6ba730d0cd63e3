package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/precept-cds/precept/engine/tenant"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"
)

// A Proof shows that a leaf is in a log: with the node's public key it can be checked by anybody, without the store.
type Proof struct {
	Log    string // origin
	Leaf   []byte // exactly as hashed
	Index  int64
	Hashes tlog.RecordProof // RFC 6962 inclusion proof
	Note   []byte           // signed head that the proof leads to
}

// Marshal is the proof in the C2SP tlog-proof form, which other tools check; the leaf is its extra data.
func (p Proof) Marshal() []byte {
	hashes := make([][32]byte, len(p.Hashes))
	for i, h := range p.Hashes {
		hashes[i] = h
	}
	return proof.TLogProof{Index: uint64(p.Index), Hashes: hashes, Checkpoint: p.Note, ExtraData: p.Leaf}.Marshal()
}

// maxProof bounds a proof in a file. Those of records have about two kilobytes.
const maxProof = 64 << 10

// ErrProof says that text is not a proof as Marshal writes it.
var ErrProof = errors.New("not a proof in the tlog-proof form")

// ParseProof reads what Marshal wrote, in that form only. It checks nothing else; [Proof.Verify] does.
func ParseProof(text []byte) (Proof, error) {
	var t proof.TLogProof
	if len(text) > maxProof || t.Unmarshal(text) != nil || t.Index > 1<<62 {
		return Proof{}, fmt.Errorf("reading proof: %w", ErrProof)
	}
	p := Proof{Leaf: t.ExtraData, Index: int64(t.Index), Note: t.Checkpoint}
	for _, h := range t.Hashes {
		p.Hashes = append(p.Hashes, h)
	}
	log, _, _ := bytes.Cut(p.Note, []byte("\n"))
	if p.Log = string(log); !bytes.Equal(p.Marshal(), text) {
		return Proof{}, fmt.Errorf("reading proof: %w", ErrProof)
	}
	return p, nil
}

// Verify checks the head's signature and that the leaf is under it.
func (p Proof) Verify(node ed25519.PublicKey) error {
	h, err := openNote(p.Log, p.Note, node)
	if err != nil {
		return fmt.Errorf("checking proof: %w", err)
	}
	if p.Index < 0 || p.Index >= h.Size {
		return fmt.Errorf("checking proof: %w: the head is older than the leaf", ErrCorrupt)
	}
	if err := tlog.CheckRecord(p.Hashes, h.Size, h.Root, p.Index, tlog.RecordHash(p.Leaf)); err != nil {
		return fmt.Errorf("checking proof: %w: %w", ErrCorrupt, err)
	}
	return nil
}

// Proof proves that a record is in its log, under the log's newest head.
func (r *Reader) Proof(ctx context.Context, t tenant.ID, id RecordID) (Proof, error) {
	b, err := id.bytes()
	if err != nil {
		return Proof{}, fmt.Errorf("proving record: %w", ErrNotFound)
	}
	p, err := seen(Only(ctx, t), r, func(v View) (Proof, error) {
		rec, index, err := r.record(v, t, b[:])
		if err != nil {
			return Proof{}, err
		}
		return r.prove(v, t, rec.Log, index, rec.Bytes)
	})
	if err != nil {
		return Proof{}, fmt.Errorf("proving record %s: %w", id, err)
	}
	return p, nil
}

// StatementProof proves that a statement is in the release log.
func (r *Reader) StatementProof(ctx context.Context, t tenant.ID, index int64) (Proof, error) {
	p, err := seen(Only(ctx, t), r, func(v View) (Proof, error) {
		_, leaf, err := readLeaf(v, t, Releases, index)
		if err == nil && leaf == nil {
			err = ErrNotFound
		}
		if err != nil {
			return Proof{}, err
		}
		return r.prove(v, t, Releases, index, bytes.Clone(leaf))
	})
	if err != nil {
		return Proof{}, fmt.Errorf("proving statement %d: %w", index, err)
	}
	return p, nil
}

// prove proves one leaf under the newest head of its log.
func (r *Reader) prove(v View, t tenant.ID, log LogName, index int64, leaf []byte) (Proof, error) {
	h, err := r.logHead(v, t, log)
	if err != nil {
		return Proof{}, err
	}
	hashes, err := proveIn(v, t, h, index, leaf)
	if err != nil {
		return Proof{}, err
	}
	return Proof{Log: h.Origin, Leaf: leaf, Index: index, Hashes: hashes, Note: h.Note}, nil
}

// proveIn proves one leaf under a head, and checks the proof: a store that was tampered with yields none.
func proveIn(v View, t tenant.ID, h Head, index int64, leaf []byte) (tlog.RecordProof, error) {
	if index < 0 || index >= h.Size {
		return nil, fmt.Errorf("%w: leaf %d is not under the head of %s", ErrCorrupt, index, h.Log)
	}
	p, err := tlog.ProveRecord(h.Size, index, storedHashes{v, t, h.Log})
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckRecord(p, h.Size, h.Root, index, tlog.RecordHash(leaf)); err != nil {
		return nil, fmt.Errorf("%w: leaf %d of %s is not in the signed tree", ErrCorrupt, index, h.Log)
	}
	return p, nil
}

// Logs lists the newest heads of all logs of a tenant: closed months first, in order, then the growing ones.
func (r *Reader) Logs(ctx context.Context, t tenant.ID) ([]Head, error) {
	heads, err := seen(Only(ctx, t), r, func(v View) (heads []Head, err error) {
		keys, err := headKeys(v, t)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			h, _, ok, err := r.head(v, t, k)
			if err != nil {
				return nil, err
			}
			if ok {
				heads = append(heads, h)
			}
		}
		return heads, nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing logs: %w", err)
	}
	return heads, nil
}

// headKeys are the keys of a tenant's heads: closed months in order, then the growing logs, whether they are
// there or not.
func headKeys(v View, t tenant.ID) (keys []string, err error) {
	err = v.Scan(Heads, t, nil, nil, false, func(k, _ []byte) (bool, error) {
		if s := string(k); s != streamAudit && s != streamReleases {
			keys = append(keys, s)
		}
		return true, nil
	})
	sortLogs(keys)
	return append(keys, streamAudit, streamReleases), err
}

// Checkpoint is the newest signed head of a log, as a C2SP signed note.
func (r *Reader) Checkpoint(ctx context.Context, t tenant.ID, log LogName) ([]byte, error) {
	h, err := seen(Only(ctx, t), r, func(v View) (Head, error) { return r.logHead(v, t, log) })
	if err != nil {
		return nil, fmt.Errorf("reading checkpoint: %w", err)
	}
	return h.Note, nil
}

// TileHeight is the height of tiles of C2SP tlog-tiles: 256 hashes.
const TileHeight = 8

// Tile returns width hashes (1 to 256) of a log's tree, as C2SP tlog-tiles has them: level counts tiles from the
// leaves up, n along. A tile that is not complete under the newest head is ErrNotFound.
func (r *Reader) Tile(ctx context.Context, t tenant.ID, log LogName, level int, n int64, width int,
) ([]byte, error) {
	return r.readTile(ctx, t, log, level, n, width, func(v View) (Head, error) { return r.logHead(v, t, log) })
}

func (r *Reader) readTile(ctx context.Context, t tenant.ID, log LogName, level int, n int64, width int,
	head func(View) (Head, error)) ([]byte, error) {
	if level < 0 || level > 62/TileHeight || n < 0 || n > 1<<40 || width < 1 || width > 1<<TileHeight {
		return nil, fmt.Errorf("reading tile: %w", ErrNotFound)
	}
	data, err := seen(Only(ctx, t), r, func(v View) ([]byte, error) {
		h, err := head(v)
		if err != nil {
			return nil, err
		}
		if n<<TileHeight+int64(width) > h.Size>>(level*TileHeight) {
			return nil, ErrNotFound
		}
		return tlog.ReadTileData(tlog.Tile{H: TileHeight, L: level, N: n, W: width}, storedHashes{v, t, log})
	})
	if err != nil {
		return nil, fmt.Errorf("reading tile: %w", err)
	}
	return data, nil
}

// checkMark compares a head of the mark with the store: it must lie on the history of what is there now.
func (r *Reader) checkMark(v View, m MarkedHead) error {
	if m.Note == "" {
		return nil // it was about to be begun; if it was, nobody was answered yet
	}
	marked, err := openNote(r.id.origin(m.Tenant, m.Log), []byte(m.Note), r.node)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMark, err)
	}
	h, err := r.logHead(v, m.Tenant, m.Log)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %s had %d leaves and is not in the store (restore a newer copy of the store)",
			ErrCutShort, m.Log, marked.Size)
	}
	if err != nil {
		return err
	}
	if h.Size < marked.Size {
		return fmt.Errorf("%w: %s had %d leaves, the store has %d (restore a newer copy of the store)",
			ErrCutShort, m.Log, marked.Size, h.Size)
	}
	root, err := tlog.TreeHash(marked.Size, storedHashes{v, m.Tenant, m.Log})
	if err != nil {
		return err
	}
	if root != marked.Root {
		return fmt.Errorf("%w: the first %d leaves of %s are not those that were signed before",
			ErrCorrupt, marked.Size, m.Log)
	}
	return nil
}
