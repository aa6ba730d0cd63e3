package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/precept-cds/precept/engine/keyring"
)

// Limits of one transaction. There is no timer: while one commit runs, the next batch gathers.
const (
	maxBatch      = 512
	maxBatchBytes = 4 << 20
	// maxConflicts is how often the entries of one tenant are planned in vain, because other nodes write to the
	// same tenant, before they are answered with ErrBusy.
	maxConflicts = 64
	// urgentPlaces is how many entries that remove power may wait, whatever else waits.
	urgentPlaces = 256
)

// errSuperseded tells Append that an entry was sealed with a key that the store does not have: seal it again.
var errSuperseded = errors.New("sealed with a superseded key")

// write is the writer goroutine.
func (l *Log) write() {
	defer close(l.idle)
	var parts []*part
	for open := true; open; {
		if parts, open = l.gather(parts); open {
			l.health.busy.begin(l.ticks())
			parts = l.store(parts)
			l.health.busy.end()
		}
	}
}

// take returns a request, those first that remove power. If none is there it waits, or returns nil; waiting, it returns
// nil when none is there and none will come.
func (l *Log) take(wait bool) *request {
	for {
		select {
		case r := <-l.urgent:
			return r
		default:
		}
		select {
		case r := <-l.queue:
			return r
		default:
		}
		if !wait {
			return nil
		}
		select {
		case r := <-l.urgent:
			return r
		case r := <-l.queue:
			return r
		case <-l.nudge:
			l.health.busy.begin(l.ticks())
			_ = l.mendMark() // noted there
			l.health.busy.end()
		case <-l.closing:
			wait = false // nothing more is sent, so one more look is enough
		}
	}
}

// gather adds what waits in the queue to what was left of the batch before, one part per tenant, and waits only if
// nothing was left. It returns false when the log is closed and everything is stored.
func (l *Log) gather(left []*part) (parts []*part, open bool) {
	clear(l.parts)
	for _, p := range left {
		l.parts[p.tenant] = p
	}
	parts = left
	size := 0
	if len(parts) == 0 {
		first := l.take(true)
		if first == nil {
			return nil, false
		}
		// Let those who are about to ask ask: on a busy machine they come into this transaction, on an idle one
		// nobody is waiting and this costs nothing.
		runtime.Gosched()
		parts, size = l.join(parts, first), first.size()
	}
	for n := 1; n < maxBatch && size < maxBatchBytes; n++ {
		r := l.take(false)
		if r == nil {
			break
		}
		parts = l.join(parts, r)
		size += r.size()
	}
	return parts, true
}

// join adds a request to the part of its tenant.
func (l *Log) join(parts []*part, r *request) []*part {
	p := l.parts[r.entry.Tenant]
	if p == nil {
		p = &part{tenant: r.entry.Tenant}
		l.parts[p.tenant] = p
		parts = append(parts, p)
	}
	if p.conflicts > 0 && (len(p.requests) >= maxBatch || p.size >= maxBatchBytes) {
		r.answer(result{err: errContended}, keyring.Abandoned)
		return parts
	}
	p.requests, p.size = append(p.requests, r), p.size+r.size()
	return parts
}

var errContended = fmt.Errorf("%w: other nodes keep changing the log of this tenant", ErrBusy)

// store commits the parts and answers everybody in them, but for the parts it returns: those whose tenant other
// nodes keep writing to. They are tried again beside what comes next, so that nobody else waits for them.
func (l *Log) store(parts []*part) (contended []*part) {
	if err := l.Err(); err != nil {
		l.fail(parts, err)
		return nil
	}
	l.arena = l.arena[:0]
	size := 0
	for _, p := range parts {
		size += p.size
	}
	l.openGates(int64(size))
	again := func(p *part) bool { return p.conflicts > 1 && !p.planned }
	var hot []*part
	for _, p := range parts {
		if again(p) {
			hot = append(hot, p)
		}
	}
	calm := slices.DeleteFunc(parts, again)
	for _, todo := range [][]*part{calm, hot} {
		for len(todo) > 0 {
			todo = l.attempt(todo)
			for _, p := range todo {
				if again(p) {
					contended = append(contended, p)
				}
			}
			todo = slices.DeleteFunc(todo, again)
		}
	}
	return contended
}

// attempt plans what has no plan, commits all parts in one transaction and answers. After a conflict it returns
// the parts that are still to be stored; only those in conflict lost their plans.
func (l *Log) attempt(parts []*part) (left []*part) {
	err := l.plan(parts)
	switch {
	case err == nil:
		err = l.commit(parts)
	case errors.Is(err, ErrStore): // another log on this store met it
		err = l.poison(err)
	default:
		err = fmt.Errorf("%w: reading the store: %w", ErrNotApplied, err)
	}
	if errors.Is(err, ErrConflict) {
		return l.retry(parts, err)
	}
	if err != nil {
		l.fail(parts, err)
		return nil
	}
	l.settle(parts)
	return nil
}

// retry returns the parts that are to be stored again after a conflict; those that it names, all if it names none of
// them, lose their plans.
func (l *Log) retry(parts []*part, err error) []*part {
	var conflict ConflictError
	if e := (*ConflictError)(nil); errors.As(err, &e) {
		conflict = *e
	}
	named := func(p *part) bool { return slices.Contains(conflict.Tenants, p.tenant) }
	all := !slices.ContainsFunc(parts, named)
	return slices.DeleteFunc(parts, func(p *part) bool {
		if !all && !named(p) {
			return false
		}
		delete(l.shards, p.tenant)
		p.planned = false
		p.conflicts++
		if p.conflicts < maxConflicts {
			return false
		}
		l.fail([]*part{p}, errContended)
		return true
	})
}

// fail answers everybody in the parts with an error; but for those who need nothing to be stored, if it says only
// that nothing was.
func (l *Log) fail(parts []*part, err error) {
	for _, p := range parts {
		delete(l.shards, p.tenant) // it may have run ahead of the store
		for i, r := range p.requests {
			res := result{err: err}
			if p.planned && errors.Is(err, ErrNotApplied) && p.results[i].receipt.Repeated {
				res = p.results[i]
			}
			r.answer(res, keyring.Abandoned)
		}
	}
}

// commit makes the plans durable, and the mark after them.
func (l *Log) commit(parts []*part) error {
	l.batch.Expect, l.batch.Put = l.batch.Expect[:0], l.batch.Put[:0]
	for _, p := range parts {
		l.batch.Expect, l.batch.Put = append(l.batch.Expect, p.expects...), append(l.batch.Put, p.puts...)
	}
	if len(l.batch.Put) == 0 {
		return nil
	}
	if err := l.nameLogs(parts); err != nil {
		return err
	}
	began := l.ticks()
	err := l.outcome(&l.batch, l.cfg.Store.Commit(context.Background(), &l.batch))
	l.health.mu.Lock()
	l.health.commits.add(l.ticks() - began)
	l.health.mu.Unlock()
	if err == nil {
		l.writeMark(parts)
	}
	return err
}

// nameLogs has the mark name the logs that the batch begins, before they are in the store: a log that is there and that
// the mark does not name was dropped from the mark.
func (l *Log) nameLogs(parts []*part) error {
	if l.mark == nil {
		return nil
	}
	var fresh []MarkedHead
	for _, p := range parts {
		if p.stored == 0 {
			continue
		}
		for _, st := range p.shard.streams() {
			h := MarkedHead{Tenant: p.tenant, Log: st.log}
			if st.touched && !l.named[h.key()] {
				fresh = append(fresh, h)
			}
		}
	}
	if fresh == nil {
		return nil
	}
	if err := l.storeMark(fresh); err != nil {
		return err
	}
	for _, h := range fresh {
		l.named[h.key()] = true
	}
	return nil
}

// writeMark has the mark know of what was stored. If it cannot be written, what was stored is stored and is answered; but
// nothing more is, other than what removes power, before the mark is what it should be.
func (l *Log) writeMark(parts []*part) {
	if l.mark == nil {
		return
	}
	var heads []MarkedHead
	for _, p := range parts {
		if p.stored == 0 {
			continue
		}
		for _, st := range p.shard.streams() {
			if st.touched {
				heads = append(heads, MarkedHead{p.tenant, st.log, string(st.note)})
			}
		}
	}
	if len(l.behind) == 0 && l.storeMark(heads) == nil {
		return
	}
	for _, h := range heads {
		l.behind[h.key()] = h
	}
}

// settle answers everybody after a successful commit.
func (l *Log) settle(parts []*part) {
	for _, p := range parts {
		p.settle()
		if p.stored > 0 && p.err == nil {
			l.usage.Store(p.tenant, p.shard.used)
		}
		if p.turned && p.stored > 0 && p.err == nil {
			delete(l.turned, p.tenant)
		}
		if p.err != nil {
			delete(l.shards, p.tenant)
		}
	}
}
