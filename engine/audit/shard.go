package audit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
	formats "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A shard is what the writer remembers of one tenant.
type shard struct {
	id       tenant.ID
	ref      string // tenantRef
	refFresh bool   // not stored yet
	known    bool   // the edges are read
	era      int
	used     Usage
	audit    stream
	releases stream
}

// A stream is the growing end of one kind of log. Its fields run ahead of the store while a batch is planned; if
// the plan is not stored, the shard is thrown away and read again.
type stream struct {
	log       LogName // "" before the first
	edge      *edge
	committed time.Time // of the newest leaf
	stored    []byte    // head as it is in the store; nil if none
	origin    string
	signer    note.Signer // for origin
	signed    int64       // leaves under the newest signed head
	note      []byte      // newest signed head
	root      tlog.Hash   // of the newest signed head
	touched   bool        // by this batch
}

// streams are both kinds of logs.
func (s *shard) streams() [2]*stream { return [2]*stream{&s.audit, &s.releases} }

// current says whether the heads in the store are those that are remembered.
func (s *shard) current(audit, releases []byte) bool {
	return bytes.Equal(s.audit.stored, audit) && bytes.Equal(s.releases.stored, releases)
}

// newShard makes the shard of a tenant from what is stored of it. The edges of its trees are missing yet.
func (l *Log) newShard(t tenant.ID, ref []byte, heads ...[]byte) (*shard, error) {
	s := &shard{id: t, ref: string(ref), era: 1}
	if ref == nil {
		var b [16]byte
		if _, err := io.ReadFull(l.cfg.Rand, b[:]); err != nil {
			return nil, fmt.Errorf("reading randomness: %w", err)
		}
		s.ref, s.refFresh = hex.EncodeToString(b[:]), true
	}
	for i, st := range s.streams() {
		if heads[i] == nil {
			continue
		}
		h, err := l.id.openHead(t, heads[i], l.Reader.node)
		if err != nil {
			return nil, err
		}
		if err := l.name(s, st, h.Log); err != nil {
			return nil, err
		}
		if h.Log != Releases {
			s.era = h.Log.era()
			if h.used != nil {
				s.used = *h.used
			}
		}
		st.stored = bytes.Clone(heads[i])
		st.committed, st.signed, st.note, st.root = h.Committed, h.Size, bytes.Clone(h.Note), h.Root
	}
	return s, nil
}

// edgeKeys adds the keys of the hashes that make the edges of the trees.
func (s *shard) edgeKeys(keys []Key) []Key {
	for _, st := range s.streams() {
		keys = hashKeys(keys, s.id, st.log, edgeIndexes(st.signed))
	}
	return keys
}

// takeEdges makes the edges from what edgeKeys lead to.
func (s *shard) takeEdges(values [][]byte) error {
	for _, st := range s.streams() {
		if st.stored == nil {
			continue
		}
		indexes := edgeIndexes(st.signed)
		hashes, err := takeHashes(st.log, indexes, values)
		if err != nil {
			return err
		}
		values = values[len(indexes):]
		if st.edge, err = newEdge(Head{Log: st.log, Size: st.signed, Root: st.root}, hashes); err != nil {
			return err
		}
	}
	return nil
}

// openMonth makes sure that the audit stream is in the month of a commit, closing the month before. A plan has
// one time, so this comes before the tenant's first entry of the batch, and no entry that the batch adds is in
// the closed month.
func (l *Log) openMonth(p *part, committed time.Time) error {
	s := p.shard
	month := monthLog(committed, s.era)
	if s.audit.log == month {
		return nil
	}
	var last *Leaf
	if s.audit.log != "" {
		if err := l.sign(&s.audit); err != nil {
			return err
		}
		final, err := encodeHead(s.audit.log, s.audit.committed, s.audit.note, nil)
		if err != nil {
			return err
		}
		closed := []byte(s.audit.log)
		p.expect(Heads, closed, nil)
		p.put(Heads, closed, final)
		last = &Leaf{Kind: Checkpoint, TenantRef: s.ref, Committed: committed, Checkpoint: string(s.audit.note)}
	}
	if err := l.name(s, &s.audit, month); err != nil {
		return err
	}
	if last == nil {
		return nil
	}
	_, _, err := l.grow(p, &s.audit, last.append, committed)
	return err
}

// name starts an empty log in a stream.
func (l *Log) name(s *shard, st *stream, log LogName) (err error) {
	st.log, st.edge, st.origin = log, &edge{}, l.id.origin(s.id, log)
	st.signer, err = l.node.Signer(st.origin)
	return err
}

func (st *stream) size() int64 {
	if st.edge == nil {
		return 0
	}
	return st.edge.size
}

// sign makes the head of a stream as it is now.
func (l *Log) sign(st *stream) (err error) {
	if st.root, err = st.edge.root(); err != nil {
		return err
	}
	text := formats.Checkpoint{Origin: st.origin, Size: uint64(st.edge.size), Hash: st.root[:]}.Marshal()
	st.note, err = note.Sign(&note.Note{Text: string(text)}, st.signer)
	if err != nil {
		return fmt.Errorf("signing head: %w", err)
	}
	st.signed = st.edge.size
	return nil
}
