package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// A Reader reads records, logs and proofs. It is safe for concurrent use, and works on a store that nobody
// writes to. Every method that takes a tenant sees that tenant's things only. That the access is allowed, and
// recorded, is the caller's part.
type Reader struct {
	cfg    Config
	id     identity
	node   ed25519.PublicKey
	sealer *sealer
	failed func() error      // of the log that writes; nil without
	poison func(error) error // the same
	places places
}

// OpenReader prepares reading. An unused store has nothing to read and is refused with ErrNotFound.
func OpenReader(ctx context.Context, c Config) (*Reader, error) {
	r := &Reader{cfg: c, node: c.Node, sealer: newSealer(), places: newPlaces()}
	err := c.Store.View(ctx, func(v View) error {
		b, err := v.Get(Meta, "", []byte("identity"))
		if err != nil {
			return err
		}
		prefix, region, ok := strings.Cut(string(b), "/")
		if !ok {
			return fmt.Errorf("%w: the store has no audit log yet", ErrNotFound)
		}
		r.id = identity{prefix, tenant.Region(region)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("opening audit store: %w", err)
	}
	if want := (identity{c.Prefix, c.Region}); want != (identity{}) && want != r.id {
		return nil, fmt.Errorf("opening audit store: %w: it belongs to %s, this is %s", ErrForeign, r.id, want)
	}
	if r.node != nil {
		return r, nil
	}
	node, ok, err := keyring.PublicNode(ctx, KeyLookup(c.Store))
	if err != nil {
		return nil, fmt.Errorf("opening audit store: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("opening audit store: %w: the store has no node key", ErrCorrupt)
	}
	r.node = node
	return r, nil
}

// view reads the store, unless the log that writes to it has failed: a commit of unknown outcome may be seen and not
// be durable. What was read while it failed counts as little.
func (r *Reader) view(ctx context.Context, fn func(View) error) error {
	if r.failed == nil {
		return r.cfg.Store.View(ctx, fn)
	}
	if err := r.failed(); err != nil {
		return err
	}
	err := r.cfg.Store.View(ctx, fn)
	if errors.Is(err, ErrDamaged) {
		return r.poison(err)
	}
	if failed := r.failed(); failed != nil {
		return failed
	}
	return err
}

// NodeKey is the public key that heads are checked with.
func (r *Reader) NodeKey() ed25519.PublicKey { return bytes.Clone(r.node) }

// head reads and checks the head stored under a stream or a closed log, and returns its stored bytes too.
func (r *Reader) head(v View, t tenant.ID, key string) (Head, []byte, bool, error) {
	value, err := v.Get(Heads, t, []byte(key))
	if err != nil || value == nil {
		return Head{}, nil, false, err
	}
	value = bytes.Clone(value)
	h, err := r.id.openHead(t, value, r.node)
	return h, value, err == nil, err
}

// logHead is the newest head of one log, whether it still grows or is closed.
func (r *Reader) logHead(v View, t tenant.ID, log LogName) (Head, error) {
	if _, err := ParseLogName(string(log)); err != nil {
		return Head{}, fmt.Errorf("%w: there is no log of that name", ErrNotFound)
	}
	h, _, ok, err := r.head(v, t, log.stream())
	if err != nil {
		return Head{}, err
	}
	if ok && h.Log == log {
		return h, nil
	}
	if h, _, ok, err = r.head(v, t, string(log)); err != nil {
		return Head{}, err
	}
	if !ok || log == Releases {
		return Head{}, fmt.Errorf("%w: log %s", ErrNotFound, log)
	}
	if h.Log != log {
		return Head{}, fmt.Errorf("%w: head of %s is that of %s", ErrCorrupt, log, h.Log)
	}
	return h, nil
}

// Tenants lists the tenants that have records, in order.
func (r *Reader) Tenants(ctx context.Context) ([]tenant.ID, error) {
	ts, err := seen(ctx, r, listTenants)
	if err != nil {
		return nil, fmt.Errorf("listing tenants: %w", err)
	}
	return ts, nil
}

func listTenants(v View) (ts []tenant.ID, err error) {
	err = v.Scan(Meta, "", refKey(""), []byte("tenant0"), false, func(k, _ []byte) (bool, error) {
		ts = append(ts, tenant.ID(k[len("tenant/"):]))
		return true, nil
	})
	return ts, err
}

// A Record is one stored record.
type Record struct {
	Log   LogName
	Leaf  Leaf
	Bytes []byte // the leaf exactly as hashed
	Body  []byte // nil if the error says why
	// Opening is what the commitment in the leaf was made with beside the body ([Committed]).
	Opening []byte
}

// Get reads one record and opens its body, checking both against each other. If the body's key was destroyed,
// the error is ErrErased, and without keys available ErrFilter; the rest of the Record is good then.
func (r *Reader) Get(ctx context.Context, t tenant.ID, id RecordID) (Record, error) {
	type found struct {
		rec Record
		err error
	}
	f, err := apart(Only(ctx, t), r.places, func(ctx context.Context) (found, error) {
		rec, err := r.get(ctx, t, id)
		return found{rec, err}, nil
	})
	if err != nil {
		return Record{}, fmt.Errorf("reading record %s: %w", id, err)
	}
	return f.rec, f.err
}

func (r *Reader) get(ctx context.Context, t tenant.ID, id RecordID) (Record, error) {
	var rec Record
	var sealed []byte
	b, err := id.bytes()
	if err != nil {
		return rec, fmt.Errorf("reading record: %w", ErrNotFound)
	}
	err = r.view(ctx, func(v View) error {
		var index int64
		rec, index, err = r.record(v, t, b[:])
		if err != nil {
			return err
		}
		if _, err := r.prove(v, t, rec.Log, index, rec.Bytes); err != nil {
			return err
		}
		ct, err := v.Get(Bodies, t, rec.Log.key(index))
		sealed = bytes.Clone(ct)
		return err
	})
	if err == nil {
		rec.Opening, rec.Body, err = r.openBody(ctx, t, &rec.Leaf, sealed)
	}
	if err != nil {
		return rec, fmt.Errorf("reading record %s: %w", id, err)
	}
	return rec, nil
}

// record reads a record's leaf by its binary id and checks it against its stored hash.
func (r *Reader) record(v View, t tenant.ID, id []byte) (Record, int64, error) {
	place, err := v.Get(Records, t, id)
	if err != nil {
		return Record{}, 0, err
	}
	if place == nil {
		return Record{}, 0, ErrNotFound
	}
	log, index, _, ok := readPlace(place)
	if !ok {
		return Record{}, 0, errPlace
	}
	value, err := v.Get(Leaves, t, log.key(index))
	if err != nil {
		return Record{}, 0, err
	}
	rec, err := parseRecord(id, log, index, value)
	return rec, index, err
}

var errPlace = fmt.Errorf("%w: its place is damaged", ErrCorrupt)

// parseRecord checks what is stored where the leaf of a record should be.
func parseRecord(id []byte, log LogName, index int64, value []byte) (Record, error) {
	hashes, data := splitLeaf(value)
	if hash := tlog.RecordHash(data); !bytes.HasPrefix(hashes, hash[:]) {
		return Record{}, fmt.Errorf("%w: leaf %d of %s does not have its stored hash", ErrCorrupt, index, log)
	}
	leaf, err := ParseLeaf(data)
	if err != nil {
		return Record{}, err
	}
	if b, err := leaf.RecordID.bytes(); err != nil || !bytes.Equal(b[:], id) || leaf.Index != index {
		return Record{}, fmt.Errorf("%w: leaf %d of %s is that of another record", ErrCorrupt, index, log)
	}
	return Record{Log: log, Leaf: leaf, Bytes: bytes.Clone(data)}, nil
}

// openBody checks and opens a sealed body.
func (r *Reader) openBody(ctx context.Context, t tenant.ID, l *Leaf, sealed []byte) (opening, body []byte, _ error) {
	if int64(len(sealed)) != l.CTLen || Digest(sha256.Sum256(sealed)) != l.CTDigest {
		return nil, nil, fmt.Errorf("%w: sealed body is not the one in the leaf", ErrCorrupt)
	}
	keys, err := r.keys(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	plain, err := keys.Open(ctx, l.KeyRef, keyring.Binding{Record: string(l.RecordID), Schema: l.Schema}, sealed)
	if err != nil {
		return nil, nil, tampered(err)
	}
	return r.sealer.unpack(plain, l.Commit)
}

// ByCard finds the record that showed a card; ErrNotFound if there is none.
func (r *Reader) ByCard(ctx context.Context, t tenant.ID, card string) (id RecordID, err error) {
	return r.lookup(ctx, t, tagCard, card, "card")
}

// lookup reads where a tag leads to.
func (r *Reader) lookup(ctx context.Context, t tenant.ID, kind, value, by string) (RecordID, error) {
	id, err := apart(Only(ctx, t), r.places, func(ctx context.Context) (RecordID, error) {
		return r.led(ctx, t, kind, value)
	})
	if err != nil {
		return "", fmt.Errorf("looking up record by %s: %w", by, err)
	}
	return id, nil
}

func (r *Reader) led(ctx context.Context, t tenant.ID, kind, value string) (id RecordID, err error) {
	keys, err := r.keys(ctx, t)
	if err != nil {
		return "", err
	}
	tag := keys.Tag(kind, value)
	err = r.view(ctx, func(v View) error {
		b, err := v.Get(Lookups, t, tag[:])
		if err == nil && b == nil {
			err = ErrNotFound
		}
		if err == nil {
			id, err = recordID(b)
		}
		return err
	})
	return id, err
}

// ByIdem finds the newest record stored with the same idempotency bytes, or [ErrNotFound]. It is a look-up, which
// proves nothing: hold the record against the call before it is taken for a repeat.
func (r *Reader) ByIdem(ctx context.Context, t tenant.ID, idem []byte) (id RecordID, err error) {
	return r.lookup(ctx, t, tagIdem, string(idem), "call")
}

// Receipt is the receipt of a stored record under the newest head of its log, as for a repeat.
func (r *Reader) Receipt(ctx context.Context, t tenant.ID, id RecordID) (Receipt, error) {
	rc, err := apart(Only(ctx, t), r.places, func(ctx context.Context) (Receipt, error) {
		return r.receipt(ctx, t, id)
	})
	if err != nil {
		return Receipt{}, fmt.Errorf("making receipt of record %s: %w", id, err)
	}
	return rc, nil
}

func (r *Reader) receipt(ctx context.Context, t tenant.ID, id RecordID) (rc Receipt, err error) {
	b, err := id.bytes()
	if err != nil {
		return rc, ErrNotFound
	}
	err = r.view(ctx, func(v View) error {
		rec, index, err := r.record(v, t, b[:])
		if err != nil {
			return err
		}
		h, err := r.logHead(v, t, rec.Log)
		rc = Receipt{RecordID: id, Log: h.Origin, Index: index, Leaf: tlog.RecordHash(rec.Bytes), Size: h.Size, Root: h.Root,
			Note: h.Note, Repeated: true}
		return err
	})
	return rc, err
}

func (r *Reader) keys(ctx context.Context, t tenant.ID) (*keyring.Tenant, error) {
	if r.cfg.Ring == nil {
		return nil, fmt.Errorf("%w: no keys available", ErrFilter)
	}
	keys, err := r.cfg.Ring.Tenant(ctx, string(t))
	return keys, tampered(err)
}

// tampered makes ErrCorrupt of what a key ring says of stored keys.
func tampered(err error) error {
	if errors.Is(err, keyring.ErrOpen) || errors.Is(err, keyring.ErrMissing) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}
