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
)

// errSuperseded tells Append that an entry was sealed with a key that the store does not have: seal it again.
var errSuperseded = errors.New("sealed with a superseded key")

// write is the writer goroutine.
func (l *Log) write() {
	defer close(l.idle)
	var parts []*part
	for open := true; open; {
		if parts, open = l.gather(parts); open {
			parts = l.store(parts)
		}
	}
}

// gather adds what waits in the queue to what was left of the batch before, one part per tenant, and waits only if
// nothing was left. It returns false when the queue is closed and everything is stored.
func (l *Log) gather(left []*part) (parts []*part, open bool) {
	clear(l.parts)
	for _, p := range left {
		l.parts[p.tenant] = p
	}
	parts = left
	size := 0
	if len(parts) == 0 {
		first, ok := <-l.queue
		if !ok {
			return nil, false
		}
		// Let those who are about to ask ask: on a busy machine they come into this transaction, on an idle one
		// nobody is waiting and this costs nothing.
		runtime.Gosched()
		parts, size = l.join(parts, first), first.size()
	}
	for n := 1; n < maxBatch && size < maxBatchBytes; n++ {
		select {
		case r, ok := <-l.queue:
			if !ok {
				return parts, true
			}
			parts = l.join(parts, r)
			size += r.size()
		default:
			return parts, true
		}
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
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	if err := l.outcome(&l.batch, l.cfg.Store.Commit(context.Background(), &l.batch)); err != nil {
		return err
	}
	if err := l.writeMark(parts); err != nil {
		return l.poison(err)
	}
	return nil
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
	if err := l.mark.Store(context.Background(), fresh); err != nil {
		return err
	}
	for _, h := range fresh {
		l.named[h.key()] = true
	}
	return nil
}

func (l *Log) writeMark(parts []*part) error {
	if l.mark == nil {
		return nil
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
	return l.mark.Store(context.Background(), heads)
}

// settle answers everybody after a successful commit.
func (l *Log) settle(parts []*part) {
	for _, p := range parts {
		p.settle()
		if p.err != nil {
			delete(l.shards, p.tenant)
		}
	}
}
