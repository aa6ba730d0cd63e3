package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	"golang.org/x/mod/sumdb/tlog"
)

// Limits of one transaction. There is no timer: while one commit runs, the next batch gathers.
const (
	maxBatch      = 512
	maxBatchBytes = 4 << 20
	maxConflicts  = 64
)

// errSuperseded tells Append that an entry was sealed with a key that the store does not have: seal it again.
var errSuperseded = errors.New("sealed with a superseded key")

// write is the writer goroutine.
func (l *Log) write() {
	defer close(l.idle)
	requests := make([]*request, 0, maxBatch)
	for first := range l.queue {
		// Let those who are about to ask ask: on a busy machine they come into this
		// transaction, on an idle one nobody is waiting and this costs nothing.
		runtime.Gosched()
		requests = append(requests[:0], first)
		size := len(first.sealed) + len(first.entry.Statement)
	drain:
		for len(requests) < maxBatch && size < maxBatchBytes {
			select {
			case r, ok := <-l.queue:
				if !ok {
					break drain
				}
				requests = append(requests, r)
				size += len(r.sealed) + len(r.entry.Statement)
			default:
				break drain
			}
		}
		l.store(requests)
		clear(requests)
	}
}

// store commits a batch and answers everybody in it.
func (l *Log) store(requests []*request) {
	if err := l.Err(); err != nil {
		answerAll(requests, err)
		return
	}
	for range maxConflicts {
		p, err := l.plan(requests)
		if err != nil {
			// Nothing was written, but the cached trees may have grown: read them again.
			clear(l.shards)
			answerAll(requests, err)
			return
		}
		err = l.commit(p)
		if errors.Is(err, ErrConflict) {
			clear(l.shards) // somebody else wrote: read again
			continue
		}
		if err != nil {
			answerAll(requests, l.poison(err))
			return
		}
		l.settle(p)
		return
	}
	answerAll(requests, fmt.Errorf("%w: other nodes kept changing the log", ErrBusy))
}

func answerAll(requests []*request, err error) {
	for _, r := range requests {
		r.answer(result{err: err}, keyring.Abandoned)
	}
}

// plan is a batch as it will be committed, and who gets which answer.
type plan struct {
	requests []*request
	results  []result
	same     map[int]int // repeats of an entry of the same batch: place of the repeat to place of the first
	touched  []*shard
	keys     map[string][]byte // new keys of this batch, by tenant and name
	seen     map[string]int    // record ids and idempotency tags of this batch, by tenant
	stored   int64
}

// plan decides, in one view of the store, what becomes of every request, and fills l.batch.
func (l *Log) plan(requests []*request) (*plan, error) {
	p := &plan{
		requests: requests, results: make([]result, len(requests)), same: map[int]int{},
		keys: map[string][]byte{}, seen: make(map[string]int, 2*len(requests)),
	}
	l.batch.Expect, l.batch.Put, l.arena = l.batch.Expect[:0], l.batch.Put[:0], l.arena[:0]
	err := l.cfg.Store.View(context.Background(), func(v View) error {
		now := l.cfg.Clock().UTC().Truncate(time.Millisecond)
		for i, r := range requests {
			s, err := l.place(v, p, i, r)
			if err != nil {
				p.results[i].err = err // of this entry alone: nothing was changed for it
				continue
			}
			if s == nil {
				continue // repeated
			}
			if err := l.add(p, s, i, r, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = l.signHeads(p)
	}
	return p, err
}

// place says to which shard one entry will be added: nil if it repeats another. It changes nothing.
func (l *Log) place(v View, p *plan, i int, r *request) (*shard, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	s, err := l.shard(v, r.entry.Tenant)
	if err != nil {
		return nil, err
	}
	if done, err := l.repeated(v, p, i, r); done || err != nil {
		return nil, err
	}
	taken, err := v.Get(Records, s.id, r.id[:])
	if err != nil {
		return nil, err
	}
	if _, again := p.seen[seenID(s.id, r)]; again || taken != nil {
		return nil, ErrDuplicate
	}
	if r.entry.Kind == Statement && s.releases.size() != r.entry.StatementIndex {
		return nil, fmt.Errorf("%w: it holds %d statements, this one was checked against %d", ErrMoved, s.releases.size(), r.entry.StatementIndex)
	}
	return s, p.checkKeys(v, s.id, r)
}

func seenID(t tenant.ID, r *request) string   { return string(t) + "\x00id" + string(r.id[:]) }
func seenIdem(t tenant.ID, r *request) string { return string(t) + "\x00idem" + string(r.idem[:]) }

// repeated answers an entry whose idempotency bytes were seen before, in the store or in this batch.
func (l *Log) repeated(v View, p *plan, i int, r *request) (bool, error) {
	if r.idem == (keyring.Tag{}) {
		return false, nil
	}
	t := r.entry.Tenant
	if first, ok := p.seen[seenIdem(t, r)]; ok {
		p.same[i] = first
		return true, nil
	}
	id, err := v.Get(Lookups, t, r.idem[:])
	if err != nil || id == nil {
		return false, err
	}
	p.results[i].receipt, err = l.receipt(v, t, id)
	p.results[i].receipt.Repeated = true
	return true, err
}

// checkKeys sees to it that the key which sealed the entry is in the store or comes with this batch, and is no
// other than the one stored. A key destroyed by another node after this check is caught by the head: destroying
// writes a leaf, so the commit conflicts.
func (p *plan) checkKeys(v View, t tenant.ID, r *request) error {
	fresh := r.subject.New()
	if len(fresh) == 0 {
		name := keyring.NameKey(r.leaf.KeyRef)
		stored, err := v.Get(Keys, t, []byte(name))
		if err != nil {
			return err
		}
		if len(stored) <= 1 && p.keys[string(t)+"\x00"+name] == nil {
			return errSuperseded
		}
		return nil
	}
	for _, k := range fresh {
		stored, err := v.Get(Keys, t, []byte(k.Name))
		if err != nil {
			return err
		}
		if stored == nil {
			stored = p.keys[string(t)+"\x00"+k.Name]
		}
		if stored != nil && !bytes.Equal(stored, k.Value) {
			return errSuperseded
		}
	}
	return nil
}

// add puts one entry into the batch.
func (l *Log) add(p *plan, s *shard, i int, r *request, now time.Time) error {
	p.seen[seenID(s.id, r)] = i
	if r.idem != (keyring.Tag{}) {
		p.seen[seenIdem(s.id, r)] = i
	}
	if !s.planned {
		s.planned = true
		p.touched = append(p.touched, s)
	}
	l.putKeys(p, s, r)
	committed := now
	if committed.Before(s.audit.committed) {
		committed = s.audit.committed // the clock went back; the log does not
	}
	if err := l.openMonth(s, committed); err != nil {
		return err
	}
	if r.entry.Kind == Statement {
		if err := l.release(s, r, committed); err != nil {
			return err
		}
	}
	r.leaf.TenantRef, r.leaf.Index, r.leaf.Committed = s.ref, s.audit.size(), committed
	hash, key, err := l.grow(s, &s.audit, r.leaf.append, committed)
	if err != nil {
		return err
	}
	l.put(Bodies, s.id, key, r.sealed)
	l.putIndexes(s, r)
	p.stored++
	p.results[i].receipt = Receipt{RecordID: r.entry.RecordID, Log: s.audit.origin, Index: r.leaf.Index, Leaf: hash}
	return nil
}

// grow appends one leaf to a stream: the leaf's bytes and the tree hashes that it completes.
func (l *Log) grow(s *shard, st *stream, leaf func([]byte) []byte, committed time.Time) (tlog.Hash, []byte, error) {
	key := l.keep(func(b []byte) []byte { return st.log.appendKey(b, st.edge.size) })
	n := st.edge.completes()
	var hash tlog.Hash
	var err error
	value := l.keep(func(b []byte) []byte {
		start := len(b)
		b = append(b, byte(n))
		b = append(b, make([]byte, n*tlog.HashSize)...)
		b = leaf(b)
		hash = tlog.RecordHash(b[start+1+n*tlog.HashSize:])
		var hashes []tlog.Hash
		hashes, err = st.edge.add(hash)
		for i, h := range hashes {
			copy(b[start+1+i*tlog.HashSize:], h[:])
		}
		return b
	})
	if err != nil {
		return hash, nil, err
	}
	l.put(Leaves, s.id, key, value)
	st.touched, st.committed = true, committed
	return hash, key, nil
}

// keep lets fill append to the batch's arena and returns what it added. Earlier pieces stay valid when the arena
// moves.
func (l *Log) keep(fill func([]byte) []byte) []byte {
	start := len(l.arena)
	l.arena = fill(l.arena)
	return l.arena[start:len(l.arena):len(l.arena)]
}

func (l *Log) put(space Space, t tenant.ID, key, value []byte) {
	l.batch.Put = append(l.batch.Put, Item{space, t, key, value})
}

func (l *Log) expect(space Space, t tenant.ID, key, value []byte) {
	l.batch.Expect = append(l.batch.Expect, Item{space, t, key, value})
}

// putKeys stores the keys that travel with the entry, once, where they are absent.
func (l *Log) putKeys(p *plan, s *shard, r *request) {
	for _, k := range r.subject.New() {
		at := string(s.id) + "\x00" + k.Name
		if _, ok := p.keys[at]; ok {
			continue
		}
		p.keys[at] = k.Value
		l.batch.Put = append(l.batch.Put, Item{Keys, s.id, []byte(k.Name), k.Value})
	}
}

// putIndexes stores what finds the record again.
func (l *Log) putIndexes(s *shard, r *request) {
	place := l.keep(func(b []byte) []byte {
		return append(appendPlace(b, s.audit.log, r.leaf.Index), r.marks...)
	})
	l.put(Records, s.id, r.id[:], place)
	if r.patient != nil {
		l.put(Patients, s.id, r.patient, r.marks)
	}
	for i := range r.lookups {
		l.put(Lookups, s.id, r.lookups[i][:], r.id[:])
	}
	if r.idem != (keyring.Tag{}) {
		l.expect(Lookups, s.id, r.idem[:], nil)
		l.put(Lookups, s.id, r.idem[:], r.id[:])
	}
	if r.entry.Kind == Statement {
		l.put(Lookups, s.id, statementKey(r.entry.StatementIndex), r.id[:])
	}
}

// statementKey is where the record of a statement is looked up.
func statementKey(index int64) []byte {
	return binary.BigEndian.AppendUint64([]byte("release-"), uint64(index))
}

// release appends a statement to the release log.
func (l *Log) release(s *shard, r *request, committed time.Time) error {
	if s.releases.log == "" {
		if err := l.name(s, &s.releases, Releases); err != nil {
			return err
		}
	}
	_, _, err := l.grow(s, &s.releases, func(b []byte) []byte { return append(b, r.entry.Statement...) }, committed)
	return err
}

// signHeads puts the new heads of all touched tenants, each in place of exactly the head that was read.
func (l *Log) signHeads(p *plan) error {
	for _, s := range p.touched {
		if s.refFresh {
			key := []byte("tenant/" + s.id)
			l.expect(Meta, "", key, nil)
			l.put(Meta, "", key, []byte(s.ref))
		}
		// Every change of a tenant changes its audit head, so this one expectation orders all writers of the tenant.
		for _, st := range []*stream{&s.audit, &s.releases} {
			if !st.touched {
				continue
			}
			if err := l.sign(st); err != nil {
				return err
			}
			value, err := encodeHead(st.log, st.committed, st.note)
			if err != nil {
				return err
			}
			key := []byte(st.log.stream())
			l.expect(Heads, s.id, key, st.stored)
			l.put(Heads, s.id, key, value)
			st.stored = value
		}
	}
	return nil
}

// commit makes the batch durable, and the mark after it.
func (l *Log) commit(p *plan) error {
	if len(l.batch.Put) == 0 {
		return nil
	}
	if err := l.cfg.Store.Commit(context.Background(), &l.batch); err != nil {
		return err
	}
	if l.mark == nil {
		return nil
	}
	var lines []markLine
	for _, s := range p.touched {
		for _, st := range []*stream{&s.audit, &s.releases} {
			if st.touched {
				lines = append(lines, markLine{s.id, st.log, string(st.note)})
			}
		}
	}
	return l.mark.write(lines)
}

// settle answers everybody after a successful commit.
func (l *Log) settle(p *plan) {
	byOrigin := make(map[string]*stream, len(p.touched))
	for _, s := range p.touched {
		s.refFresh, s.planned, s.audit.touched, s.releases.touched = false, false, false, false
		byOrigin[s.audit.origin] = &s.audit
	}
	repeats := int64(0)
	for i, r := range p.requests {
		res := &p.results[i]
		first, same := p.same[i]
		if same {
			*res = p.results[first]
			res.receipt.Repeated = true
		}
		outcome := keyring.Abandoned
		switch {
		case errors.Is(res.err, errSuperseded):
			outcome = keyring.Superseded
		case res.err != nil:
		case res.receipt.Repeated:
			repeats++
		default:
			outcome = keyring.Durable
		}
		if st := byOrigin[res.receipt.Log]; st != nil {
			res.receipt.Size, res.receipt.Root, res.receipt.Note = st.edge.size, st.root, st.note
		}
		r.answer(*res, outcome)
	}
	l.count(func(st *Stats) {
		st.Records += p.stored
		st.Repeated += repeats
		if p.stored > 0 {
			st.Commits++
		}
	})
}
