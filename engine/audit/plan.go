package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	"golang.org/x/mod/sumdb/tlog"
)

// A part is what a batch does for one tenant: the entries, and the plan for them.
type part struct {
	tenant    tenant.ID
	requests  []*request
	size      int // of what the requests store
	conflicts int // plans that were in vain

	// The plan. It is thrown away after a conflict.
	planned bool
	err     error // why nothing of this part can be stored
	shard   *shard
	names   [][]byte // what the store has under the names that ask asks for; only while planning
	repeats []repeat
	results []result
	same    map[int]int           // repeats of an entry of the same batch: place of the repeat to place of the first
	keys    map[string][]byte     // new keys of this batch
	seen    map[keyring.Tag]int   // idempotency tags of this batch
	ids     map[[16]byte]struct{} // record ids of this batch
	slots   map[string][]byte     // of tokens, as this batch leaves them
	expects []Item
	puts    []Item
	stored  int64
	turned  bool     // a new era begins
	asked   int      // keys of one read
	got     [][]byte // what they lead to
}

// A repeat is an entry whose idempotency bytes are those of a stored record.
type repeat struct {
	at    int    // place of the entry
	id    []byte // of the record
	log   LogName
	index int64
}

// plan decides, in one view of the store, what becomes of the requests of all parts that have no plan. However
// many those are, the store is read at most three times: what is known by name; then the trees of tenants that
// changed, and where repeated records are; then the leaves of those.
func (l *Log) plan(parts []*part) error {
	todo := make([]*part, 0, len(parts))
	for _, p := range parts {
		if !p.planned {
			p.reset()
			todo = append(todo, p)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	return l.cfg.Store.View(context.Background(), func(v View) error {
		if err := l.read(v, todo, (*part).ask); err != nil {
			return err
		}
		for _, p := range todo {
			p.names = p.got
			l.meet(p)
		}
		if err := l.read(v, todo, (*part).askAgain); err != nil {
			return err
		}
		for _, p := range todo {
			l.know(p)
		}
		if err := l.read(v, todo, (*part).askLeaves); err != nil {
			return err
		}
		now, _ := l.moment() // a jump is for openGates to refuse
		for _, p := range todo {
			l.compose(p, now)
			p.names, p.got, p.planned = nil, nil, true
		}
		return nil
	})
}

func (p *part) reset() {
	n := len(p.requests)
	*p = part{
		tenant: p.tenant, requests: p.requests, size: p.size, conflicts: p.conflicts,
		results: make([]result, n), puts: make([]Item, 0, 2+8*n), expects: make([]Item, 0, 2),
	}
	if n > 1 { // one entry has none beside it to be compared with
		p.seen, p.ids = make(map[keyring.Tag]int, n), make(map[[16]byte]struct{}, n)
	}
}

// read asks the store once for everything that the parts want.
func (l *Log) read(v View, parts []*part, want func(*part, []Key) []Key) error {
	keys := l.asked[:0]
	for _, p := range parts {
		before := len(keys)
		if p.err == nil {
			keys = want(p, keys)
		}
		p.asked = len(keys) - before
	}
	l.asked = keys
	var values [][]byte
	if len(keys) > 0 {
		var err error
		if values, err = v.GetMany(keys); err != nil {
			return err
		}
	}
	for _, p := range parts {
		p.got, values = values[:p.asked], values[p.asked:]
	}
	return nil
}

// ask wants the state of the tenant and, for each request, its record id, its idempotency tag and its keys.
func (p *part) ask(keys []Key) []Key {
	start := len(keys)
	keys = append(keys, Key{Meta, "", refKey(p.tenant)}, Key{Heads, p.tenant, []byte(streamAudit)},
		Key{Heads, p.tenant, []byte(streamReleases)})
	for _, r := range p.requests {
		r.names = len(keys) - start
		keys = append(keys, Key{Records, p.tenant, r.id[:]})
		if r.idem != (keyring.Tag{}) {
			keys = append(keys, Key{Lookups, p.tenant, r.idem[:]})
		}
		fresh := r.subject.New()
		for _, k := range fresh {
			keys = append(keys, Key{Keys, p.tenant, []byte(k.Name)})
		}
		if len(fresh) == 0 {
			keys = append(keys, Key{Keys, p.tenant, []byte(keyring.NameKey(r.leaf.KeyRef))})
		}
		keys = r.askToken(keys, start, p.tenant)
	}
	return keys
}

func refKey(t tenant.ID) []byte { return []byte("tenant/" + t) }

// meet finds out whether the tenant is as it is remembered, and which entries repeat stored ones.
func (l *Log) meet(p *part) {
	p.shard = l.shards[p.tenant]
	if p.shard == nil || !p.shard.current(p.names[1], p.names[2]) {
		delete(l.shards, p.tenant)
		p.shard, p.err = l.newShard(p.tenant, p.names[0], p.names[1], p.names[2])
	}
	for i, r := range p.requests {
		if r.idem == (keyring.Tag{}) {
			continue
		}
		if id := p.names[r.names+1]; id != nil && !bytes.Equal(id, r.old) {
			p.repeats = append(p.repeats, repeat{at: i, id: id})
		}
	}
}

// askAgain wants the edges of the tenant's trees if they are not known, and where repeated records are.
func (p *part) askAgain(keys []Key) []Key {
	if !p.shard.known {
		keys = p.shard.edgeKeys(keys)
	}
	for _, re := range p.repeats {
		keys = append(keys, Key{Records, p.tenant, re.id})
	}
	return keys
}

// know takes what askAgain wanted.
func (l *Log) know(p *part) {
	if p.err != nil {
		return
	}
	edges := p.got[:len(p.got)-len(p.repeats)]
	places := p.got[len(edges):]
	if !p.shard.known {
		if p.err = p.shard.takeEdges(edges); p.err != nil {
			return
		}
		p.shard.known = true
		l.shards[p.tenant] = p.shard
	}
	for i := range p.repeats {
		re := &p.repeats[i]
		var ok bool
		if re.log, re.index, _, ok = readPlace(places[i]); !ok {
			p.results[re.at].err = errPlace
		}
	}
}

// askLeaves wants the leaf of each repeated record, and the head of its log.
func (p *part) askLeaves(keys []Key) []Key {
	for _, re := range p.repeats {
		keys = append(keys, Key{Leaves, p.tenant, re.log.key(re.index)}, Key{Heads, p.tenant, []byte(re.log)})
	}
	return keys
}

// compose plans the requests in their order.
func (l *Log) compose(p *part, now time.Time) {
	if p.err != nil {
		return
	}
	for i := range p.repeats {
		re := &p.repeats[i]
		if res := &p.results[re.at]; res.err == nil {
			res.receipt, res.err = l.repeated(p, re, p.got[2*i], p.got[2*i+1])
		}
	}
	for i, r := range p.requests {
		res := &p.results[i]
		if err := r.ctx.Err(); err != nil {
			res.err = err
		}
		if res.err != nil || res.receipt.Repeated {
			continue
		}
		if first, ok := p.seen[r.idem]; ok {
			if p.same == nil {
				p.same = map[int]int{}
			}
			p.same[i] = first
			continue
		}
		if res.err = l.gates.of(r.entry); res.err != nil {
			continue
		}
		if res.err = l.clockBehind(p.tenant, p.shard.audit.committed, now); res.err != nil && !r.entry.Removes &&
			l.turned[p.tenant].IsZero() {
			continue
		}
		if res.err = r.entry.Quota.within(p.shard.used.on(now), r.cost()); res.err != nil && !r.entry.Removes {
			continue
		}
		if res.err = p.check(r); res.err != nil {
			continue // of this entry alone: nothing was changed for it
		}
		if res.err = l.useToken(p, r, now); res.err != nil {
			continue
		}
		if p.err = l.add(p, i, r, now); p.err != nil {
			break
		}
	}
	if p.err == nil {
		p.err = l.signHeads(p)
	}
	if p.err != nil {
		p.expects, p.puts, p.stored = nil, nil, 0
	}
}

// repeated makes the receipt of a stored record under the newest head of its log.
func (l *Log) repeated(p *part, re *repeat, leaf, closed []byte) (Receipt, error) {
	rec, err := parseRecord(re.id, re.log, re.index, leaf)
	if err != nil {
		return Receipt{}, err
	}
	st := &p.shard.audit
	h := Head{Origin: st.origin, Size: st.signed, Root: st.root, Note: st.note}
	if re.log != st.log {
		if closed == nil {
			return Receipt{}, fmt.Errorf("%w: log %s has no head", ErrCorrupt, re.log)
		}
		if h, err = l.id.openHead(p.tenant, bytes.Clone(closed), l.Reader.node); err != nil {
			return Receipt{}, err
		}
	}
	if re.index >= h.Size {
		return Receipt{}, fmt.Errorf("%w: leaf %d is not under the head of %s", ErrCorrupt, re.index, re.log)
	}
	return Receipt{
		RecordID: rec.Leaf.RecordID, Log: h.Origin, Index: re.index, Leaf: tlog.RecordHash(rec.Bytes),
		Size: h.Size, Root: h.Root, Note: h.Note, Repeated: true,
	}, nil
}

// check says whether an entry may be added. It changes nothing.
func (p *part) check(r *request) error {
	if _, again := p.ids[r.id]; again || p.names[r.names] != nil {
		return ErrDuplicate
	}
	n := p.shard.releases.size()
	switch e := r.entry; {
	case e.Kind == Statement && e.StatementIndex != n:
		return fmt.Errorf("%w: it holds %d statements, this one was checked against %d", ErrMoved, n, e.StatementIndex)
	case (e.Kind == Decision || e.Kind == Feedback) && e.Release != n:
		return fmt.Errorf("%w: it holds %d statements, this was made under %d", ErrMoved, n, e.Release)
	}
	return p.checkKeys(r)
}

// checkKeys sees to it that the key which sealed the entry is in the store or comes with this batch, and is no
// other than the one stored. A key destroyed by another node after this check is caught by the head: destroying
// writes a leaf, so the commit conflicts.
func (p *part) checkKeys(r *request) error {
	stored := p.names[r.names+1:]
	if r.idem != (keyring.Tag{}) {
		stored = stored[1:]
	}
	fresh := r.subject.New()
	if len(fresh) == 0 {
		if len(stored[0]) <= 1 && p.keys[keyring.NameKey(r.leaf.KeyRef)] == nil {
			return errSuperseded
		}
		return nil
	}
	for i, k := range fresh {
		value := stored[i]
		if value == nil {
			value = p.keys[k.Name]
		}
		if value != nil && !bytes.Equal(value, k.Value) {
			return errSuperseded
		}
	}
	return nil
}

// add puts one entry into the plan.
func (l *Log) add(p *part, i int, r *request, now time.Time) error {
	s := p.shard
	if p.ids != nil {
		p.ids[r.id] = struct{}{}
		if r.idem != (keyring.Tag{}) {
			p.seen[r.idem] = i
		}
	}
	p.putKeys(r)
	committed := now
	if _, turn := l.turned[p.tenant]; turn && !p.turned {
		s.era++
		p.turned = true
	} else if committed.Before(s.audit.committed) {
		committed = s.audit.committed // the clock went back a little; the log does not
	}
	if err := l.openMonth(p, committed); err != nil {
		return err
	}
	if r.entry.Kind == Statement {
		if err := l.release(p, r, committed); err != nil {
			return err
		}
	}
	r.leaf.TenantRef, r.leaf.Index, r.leaf.Committed = s.ref, s.audit.size(), committed
	hash, key, err := l.grow(p, &s.audit, r.leaf.append, committed)
	if err != nil {
		return err
	}
	p.put(Bodies, key, r.sealed)
	l.putIndexes(p, r)
	s.used = s.used.on(committed)
	s.used.add(r.cost())
	p.stored++
	p.results[i].receipt = Receipt{RecordID: r.entry.RecordID, Log: s.audit.origin, Index: r.leaf.Index, Leaf: hash,
		Token: r.use}
	return nil
}

// grow appends one leaf to a stream: the leaf's bytes and the tree hashes that it completes.
func (l *Log) grow(p *part, st *stream, leaf func([]byte) []byte, committed time.Time) (tlog.Hash, []byte, error) {
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
	p.put(Leaves, key, value)
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

func (p *part) put(space Space, key, value []byte) {
	p.puts = append(p.puts, Item{space, p.tenant, key, value})
}

func (p *part) expect(space Space, key, value []byte) {
	p.expects = append(p.expects, Item{space, p.tenant, key, value})
}

// putKeys stores the keys that travel with the entry, once, where they are absent.
func (p *part) putKeys(r *request) {
	for _, k := range r.subject.New() {
		if _, ok := p.keys[k.Name]; ok {
			continue
		}
		if p.keys == nil {
			p.keys = map[string][]byte{}
		}
		p.keys[k.Name] = k.Value
		p.put(Keys, []byte(k.Name), k.Value)
	}
}

// putIndexes stores what finds the record again.
func (l *Log) putIndexes(p *part, r *request) {
	place := l.keep(func(b []byte) []byte {
		return append(appendPlace(b, p.shard.audit.log, r.leaf.Index), r.marks...)
	})
	p.put(Records, r.id[:], place)
	if r.patient != nil {
		p.put(Patients, r.patient, r.marks)
	}
	for i := range r.lookups {
		p.put(Lookups, r.lookups[i][:], r.id[:])
	}
	if r.idem != (keyring.Tag{}) {
		p.put(Lookups, r.idem[:], r.id[:])
	}
	if r.entry.Kind == Statement {
		p.put(Lookups, statementKey(r.entry.StatementIndex), r.id[:])
	}
}

// statementKey is where the record of a statement is looked up.
func statementKey(index int64) []byte {
	return binary.BigEndian.AppendUint64([]byte(statementPrefix), uint64(index))
}

const statementPrefix = "release-"

// release appends a statement to the release log.
func (l *Log) release(p *part, r *request, committed time.Time) error {
	st := &p.shard.releases
	if st.log == "" {
		if err := l.name(p.shard, st, Releases); err != nil {
			return err
		}
	}
	_, _, err := l.grow(p, st, func(b []byte) []byte { return append(b, r.entry.Statement...) }, committed)
	return err
}

// signHeads puts the new heads of the tenant, each in place of exactly the head that was read, and expects a release
// log that does not grow to be the one that was decided under. Every change of a tenant changes its audit head, so
// this orders all writers of the tenant: what was read beside the heads, that a record id or an idempotency tag is
// free, holds as long as they do.
func (l *Log) signHeads(p *part) error {
	s := p.shard
	if p.stored == 0 {
		return nil
	}
	if s.refFresh {
		p.puts = append(p.puts, Item{Meta, "", refKey(p.tenant), []byte(s.ref)})
	}
	for i, st := range s.streams() {
		key := []byte([...]string{streamAudit, streamReleases}[i])
		p.expect(Heads, key, st.stored)
		if !st.touched {
			continue
		}
		if err := l.sign(st); err != nil {
			return err
		}
		var used *Usage
		if st == &s.audit {
			used = &s.used
		}
		value, err := encodeHead(st.log, st.committed, st.note, used)
		if err != nil {
			return err
		}
		p.put(Heads, key, value)
		st.stored = value
	}
	return nil
}

// settle answers everybody in a part that is stored.
func (p *part) settle() {
	for i, r := range p.requests {
		res := &p.results[i]
		if first, same := p.same[i]; same {
			*res = p.results[first]
			res.receipt.Repeated = true
		}
		if p.err != nil {
			*res = result{err: p.err}
		}
		outcome := keyring.Abandoned
		switch {
		case errors.Is(res.err, errSuperseded):
			outcome = keyring.Superseded
		case res.err == nil && !res.receipt.Repeated:
			outcome = keyring.Durable
		}
		if res.err == nil && res.receipt.Log == p.shard.audit.origin {
			st := &p.shard.audit
			res.receipt.Size, res.receipt.Root, res.receipt.Note = st.signed, st.root, st.note
		}
		r.answer(*res, outcome)
	}
	if s := p.shard; p.stored > 0 {
		s.refFresh, s.audit.touched, s.releases.touched = false, false, false
	}
}
