package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine/tenant"
)

// Committed is the commitment to a body that was made with an opening: what [Leaf.Commit] of its record must be.
func Committed(opening, body []byte) Digest { return commitment(opening, body) }

// OpenCheckpoint checks a signed checkpoint of a log and its node's signature. It takes every signature line in one
// spelling only.
func OpenCheckpoint(origin string, note []byte, node ed25519.PublicKey) (Head, error) {
	h, err := openNote(origin, note, node)
	if err != nil {
		return Head{}, fmt.Errorf("reading checkpoint: %w", err)
	}
	return h, nil
}

// oneSpelling says whether the signatures of a note stand in the one way that base64 is written: readers of it take
// others, so a byte could be changed and nobody notice.
func oneSpelling(note []byte) bool {
	_, lines, _ := strings.Cut(string(note[max(0, bytes.LastIndex(note, []byte("\n\n"))):]), "\n\n")
	for line := range strings.Lines(lines) {
		text := strings.TrimSuffix(line[strings.LastIndexByte(line, ' ')+1:], "\n")
		sig, err := base64.StdEncoding.DecodeString(text)
		if err != nil || base64.StdEncoding.EncodeToString(sig) != text {
			return false
		}
	}
	return true
}

// Signatures is how many signature lines a note has, checked or not.
func Signatures(note []byte) int {
	return bytes.Count(note[max(0, bytes.LastIndex(note, []byte("\n\n"))):], []byte("\n— "))
}

// A Consistency shows that the first leaves of a log are still its first leaves under a later head.
type Consistency struct {
	Old    int64
	Hashes tlog.TreeProof // RFC 6962 consistency proof
	Note   []byte         // signed head that the proof leads to
}

// maxConsistency bounds a consistency proof in a file.
const maxConsistency = 64 << 10

// Marshal is the proof as C2SP tlog-witness has it in requests to witnesses: "old", the hashes, an empty line, the
// checkpoint.
func (c Consistency) Marshal() []byte {
	b := append(strconv.AppendInt([]byte("old "), c.Old, 10), '\n')
	for _, h := range c.Hashes {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), c.Note...)
}

// ParseConsistency reads what Marshal wrote, in that form only. It checks nothing else; [Consistency.Verify] does.
func ParseConsistency(text []byte) (Consistency, error) {
	bad := fmt.Errorf("reading consistency proof: %w", ErrProof)
	head, note, ok := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	old, isOld := strings.CutPrefix(lines[0], "old ")
	if len(text) > maxConsistency || !ok || !isOld {
		return Consistency{}, bad
	}
	c := Consistency{Note: note}
	var err error
	if c.Old, err = strconv.ParseInt(old, 10, 64); err != nil {
		return Consistency{}, bad
	}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(h) != tlog.HashSize {
			return Consistency{}, bad
		}
		c.Hashes = append(c.Hashes, tlog.Hash(h))
	}
	if !bytes.Equal(c.Marshal(), text) {
		return Consistency{}, bad
	}
	return c, nil
}

// Verify checks the head's signature, and that the tree of the old size with this root is the beginning of its tree.
func (c Consistency) Verify(origin string, root tlog.Hash, node ed25519.PublicKey) (Head, error) {
	h, err := openNote(origin, c.Note, node)
	if err != nil {
		return Head{}, fmt.Errorf("checking consistency proof: %w", err)
	}
	if err := tlog.CheckTree(c.Hashes, h.Size, h.Root, c.Old, root); err != nil {
		return Head{}, fmt.Errorf("checking consistency proof: %w: the first %d leaves of %s are not those: %w", ErrCorrupt,
			c.Old, origin, err)
	}
	return h, nil
}

// proveSince proves that a log's tree of an older size is the beginning of that under its newest head.
func (r *Reader) proveSince(v View, t tenant.ID, log LogName, old int64) (Consistency, error) {
	h, err := r.logHead(v, t, log)
	if err != nil {
		return Consistency{}, err
	}
	if old < 1 || old > h.Size {
		return Consistency{}, fmt.Errorf("%w: %s has %d leaves, not %d", ErrNotFound, log, h.Size, old)
	}
	hashes, err := tlog.ProveTree(h.Size, old, storedHashes{v, t, log})
	if err != nil {
		return Consistency{}, err
	}
	return Consistency{Old: old, Hashes: hashes, Note: h.Note}, nil
}

// An Extract is what shows somebody without the store where a record stands: in which log, under which statements,
// and that the logs went on from there. All of it is as of one moment, each log under one head.
type Extract struct {
	Log    LogName
	Leaf   Leaf
	Record Proof
	// Statements are those of the release log that were in force, or that the record is about, from the first on;
	// Releases shows that they are the first of the release log under its newest head.
	Statements []ProvenStatement
	Releases   Consistency
	// Later are the first leaves of all later logs of the tenant, oldest first: each holds the last head of the log
	// before.
	Later []LaterLog
	// Since shows that a log goes on from what it was before; nil if that was not asked for.
	Since *ProvenSince
}

// ProvenSince shows that a log goes on from an older state.
type ProvenSince struct {
	Since
	Proof Consistency
}

// A ProvenStatement is one entry of a release log with the proof of the record that was written with it, whose leaf
// has the log's time of the statement.
type ProvenStatement struct {
	Envelope []byte
	Record   Proof
}

// A LaterLog is a log with the proof of its first leaf.
type LaterLog struct {
	Log   LogName
	First Proof
}

// Since names an older state of a log. The zero value names none.
type Since struct {
	Log  LogName
	Size int64
}

// maxExtract bounds an extract: statements and later logs together.
const maxExtract = 1 << 13

// Extract collects what shows where a record stands.
func (r *Reader) Extract(ctx context.Context, t tenant.ID, id RecordID, since Since) (Extract, error) {
	b, err := id.bytes()
	if err != nil {
		return Extract{}, fmt.Errorf("extracting record: %w", ErrNotFound)
	}
	x, err := seen(ctx, r, func(v View) (Extract, error) { return r.extract(ctx, v, t, b[:], since) })
	if err != nil {
		return Extract{}, fmt.Errorf("extracting record %s: %w", id, err)
	}
	return x, nil
}

func (r *Reader) extract(ctx context.Context, v View, t tenant.ID, id []byte, since Since) (x Extract, err error) {
	rec, index, err := r.record(v, t, id)
	if err != nil {
		return x, err
	}
	x.Log, x.Leaf = rec.Log, rec.Leaf
	if x.Record, err = r.prove(v, t, rec.Log, index, rec.Bytes); err != nil {
		return x, err
	}
	n := rec.Leaf.ReleaseIndex
	if rec.Leaf.Kind == Statement {
		n++
	}
	if n < 1 || n > maxExtract {
		return x, fmt.Errorf("%w: %d statements were in force; between 1 and %d can be extracted", ErrFilter, n, maxExtract)
	}
	for i := range n {
		if err := ctx.Err(); err != nil {
			return x, late(ctx)
		}
		s, err := r.proven(v, t, i)
		if err != nil {
			return x, fmt.Errorf("statement %d: %w", i, err)
		}
		x.Statements = append(x.Statements, s)
	}
	if x.Releases, err = r.proveSince(v, t, Releases, n); err != nil {
		return x, err
	}
	if x.Later, err = r.later(v, t, rec.Log); err != nil {
		return x, err
	}
	if since.Log != "" {
		c, err := r.proveSince(v, t, since.Log, since.Size)
		if err != nil {
			return x, err
		}
		x.Since = &ProvenSince{since, c}
	}
	return x, nil
}

// proven reads one statement with the proof of its record.
func (r *Reader) proven(v View, t tenant.ID, index int64) (ProvenStatement, error) {
	_, envelope, err := readLeaf(v, t, Releases, index)
	if err != nil {
		return ProvenStatement{}, err
	}
	id, err := v.Get(Lookups, t, statementKey(index))
	if err == nil && (id == nil || envelope == nil) {
		err = fmt.Errorf("%w: the statement, or what leads to its record, is missing", ErrCorrupt)
	}
	if err != nil {
		return ProvenStatement{}, err
	}
	s := ProvenStatement{Envelope: bytes.Clone(envelope)}
	rec, at, err := r.record(v, t, bytes.Clone(id))
	if err != nil {
		return ProvenStatement{}, err
	}
	s.Record, err = r.prove(v, t, rec.Log, at, rec.Bytes)
	return s, err
}

// later proves the first leaf of every log that came after one.
func (r *Reader) later(v View, t tenant.ID, log LogName) (list []LaterLog, err error) {
	keys, err := headKeys(v, t)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if key == streamReleases {
			continue
		}
		h, _, ok, err := r.head(v, t, key)
		if err != nil {
			return nil, err
		}
		if !ok || compareLogs(h.Log, log) <= 0 {
			continue
		}
		if len(list) == maxExtract {
			return nil, fmt.Errorf("%w: more than %d later logs", ErrFilter, maxExtract)
		}
		_, leaf, err := readLeaf(v, t, h.Log, 0)
		if err != nil {
			return nil, err
		}
		first, err := r.prove(v, t, h.Log, 0, bytes.Clone(leaf))
		if err != nil {
			return nil, err
		}
		list = append(list, LaterLog{h.Log, first})
	}
	return list, nil
}

// ProofSince proves that a record is in a log, and that the log goes on from an older size, both under one head. A
// record of another log is ErrMoved.
func (r *Reader) ProofSince(ctx context.Context, t tenant.ID, id RecordID, since Since) (Proof, Consistency, error) {
	type both struct {
		proof Proof
		since Consistency
	}
	b, err := id.bytes()
	if err != nil {
		return Proof{}, Consistency{}, fmt.Errorf("proving record: %w", ErrNotFound)
	}
	x, err := seen(ctx, r, func(v View) (x both, err error) {
		rec, index, err := r.record(v, t, b[:])
		if err != nil {
			return x, err
		}
		if rec.Log != since.Log {
			return x, fmt.Errorf("%w: the record is in %s, not in %s", ErrMoved, rec.Log, since.Log)
		}
		if x.proof, err = r.prove(v, t, rec.Log, index, rec.Bytes); err != nil {
			return x, err
		}
		x.since, err = r.proveSince(v, t, since.Log, since.Size)
		return x, err
	})
	if err != nil {
		return Proof{}, Consistency{}, fmt.Errorf("proving record %s: %w", id, err)
	}
	return x.proof, x.since, nil
}
