package audit

import (
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
	planned  bool   // in the batch being planned
	audit    stream
	releases stream
}

// A stream is the growing end of one kind of log. Its fields run ahead of the store while a batch is planned; on
// any failure the shard is thrown away and read again.
type stream struct {
	log       LogName // "" before the first
	edge      *edge
	committed time.Time // of the newest leaf
	stored    []byte    // head as it is in the store; nil if none
	origin    string
	signer    note.Signer // for origin
	note      []byte      // newest signed head
	root      tlog.Hash
	touched   bool // by this batch
}

// shard reads what the writer needs to know of a tenant, once.
func (l *Log) shard(v View, t tenant.ID) (*shard, error) {
	if s, ok := l.shards[t]; ok {
		return s, nil
	}
	s := &shard{id: t}
	ref, err := v.Get(Meta, "", []byte("tenant/"+t))
	if err != nil {
		return nil, err
	}
	if s.ref = string(ref); ref == nil {
		var b [16]byte
		if _, err := io.ReadFull(l.cfg.Rand, b[:]); err != nil {
			return nil, fmt.Errorf("reading randomness: %w", err)
		}
		s.ref, s.refFresh = hex.EncodeToString(b[:]), true
	}
	if err := l.readStream(v, s, &s.audit, streamAudit); err != nil {
		return nil, err
	}
	if err := l.readStream(v, s, &s.releases, streamReleases); err != nil {
		return nil, err
	}
	l.shards[t] = s
	return s, nil
}

func (l *Log) readStream(v View, s *shard, st *stream, name string) error {
	h, value, ok, err := l.head(v, s.id, name)
	if err != nil || !ok {
		return err
	}
	if err := l.name(s, st, h.Log); err != nil {
		return err
	}
	st.committed, st.stored, st.note, st.root = h.Committed, value, h.Note, h.Root
	st.edge, err = loadEdge(v, s.id, h)
	return err
}

// openMonth makes sure that the audit stream is in the month of a commit, closing the month before. One batch
// has one time, so this comes before the tenant's first entry of the batch, and no receipt of this batch is
// about the closed month.
func (l *Log) openMonth(s *shard, committed time.Time) error {
	month := monthLog(committed)
	if s.audit.log == month {
		return nil
	}
	var last *Leaf
	if s.audit.log != "" {
		if err := l.sign(&s.audit); err != nil {
			return err
		}
		final, err := encodeHead(s.audit.log, s.audit.committed, s.audit.note)
		if err != nil {
			return err
		}
		closed := []byte(s.audit.log)
		l.expect(Heads, s.id, closed, nil)
		l.put(Heads, s.id, closed, final)
		last = &Leaf{Kind: Checkpoint, TenantRef: s.ref, Committed: committed, Checkpoint: string(s.audit.note)}
	}
	if err := l.name(s, &s.audit, month); err != nil {
		return err
	}
	if last == nil {
		return nil
	}
	_, _, err := l.grow(s, &s.audit, last.append, committed)
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
	return nil
}
