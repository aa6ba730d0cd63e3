package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

const (
	// readTime is how long a view may take that nobody else bounds.
	readTime = time.Minute
	// readTries is how often a view is begun whose connection turns out to have ended before anything was read.
	readTries = 3
	// Rows of a page of a scan: few at first, for who wants few.
	firstPage = 64
	largePage = 1024
	// endTime is how long the end of a view may take, which nobody waits for.
	endTime = 5 * time.Second
)

// View implements [audit.Store]: one read-only transaction, begun together with the first read. A view that is said to
// be of one tenant ([audit.Only]) sees nothing of others, whatever is asked for.
func (s *Store) View(ctx context.Context, fn func(audit.View) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, ends := ctx.Deadline(); !ends {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, readTime)
		defer stop()
	}
	v := &view{ctx: ctx, store: s}
	v.tenant, v.only = audit.Scope(ctx)
	defer v.end()
	return fn(v)
}

// view is a transaction, begun or not.
type view struct {
	ctx    context.Context
	store  *Store
	pooled *pgxpool.Conn // of the store's, to be given back
	conn   *pgx.Conn     // nil before the first read
	begun  bool
	tenant tenant.ID // that it shows nothing but
	only   bool
}

// begin queues what comes before the first read.
func (v *view) begin(b *pgx.Batch) {
	if v.begun {
		return
	}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	if v.only {
		b.Queue(scopeSQL, scope([]tenant.ID{v.tenant}))
	}
}

// see queues that the reads which follow are of these tenants.
func (v *view) see(b *pgx.Batch, tenants ...tenant.ID) error {
	for _, t := range tenants {
		if strings.ContainsAny(string(t), "\n\x00") {
			return errors.New("reading the store: malformed name of a tenant")
		}
	}
	if !v.only {
		b.Queue(scopeSQL, scope(tenants))
	}
	return nil
}

// read sends statements and has the results of the last n of them read. It is one round trip. Before anything was read
// a connection that has ended is replaced.
func (v *view) read(queue func(*pgx.Batch) error, n int, take func(i int, rows pgx.Rows) error) error {
	for try := 1; ; try++ {
		err := v.readOnce(queue, n, take)
		if err == nil {
			return nil
		}
		if gone := v.ctx.Err(); gone != nil {
			return fmt.Errorf("reading the store: %w", gone)
		}
		var said *pgconn.PgError
		answered := errors.As(err, &said) && said.SeverityUnlocalized == "ERROR"
		if v.begun || answered || v.store == nil || try == readTries {
			return fmt.Errorf("reading the store: %w", err)
		}
		v.drop()
	}
}

func (v *view) readOnce(queue func(*pgx.Batch) error, n int, take func(i int, rows pgx.Rows) error) error {
	if v.conn == nil {
		pool := v.store.readers
		if !v.only {
			pool = v.store.planners
		}
		pooled, err := pool.Acquire(v.ctx)
		if err != nil {
			return err
		}
		v.pooled, v.conn = pooled, pooled.Conn()
	}
	b := &pgx.Batch{}
	v.begin(b)
	if err := queue(b); err != nil {
		return err
	}
	results := v.conn.SendBatch(v.ctx, b)
	for range b.Len() - n {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // the same
			return err
		}
	}
	for i := range n {
		rows, err := results.Query()
		if err == nil {
			err = take(i, rows)
			rows.Close()
			if err == nil {
				err = rows.Err()
			}
		}
		if err != nil {
			_ = results.Close()
			return err
		}
	}
	if err := results.Close(); err != nil {
		return err
	}
	v.begun = true
	return nil
}

// drop lets go of a connection that is good for nothing, and of those like it.
func (v *view) drop() {
	if v.pooled == nil {
		return
	}
	_ = v.conn.Close(v.ctx)
	v.pooled.Release()
	v.pooled, v.conn = nil, nil
	v.store.readers.Reset()
	v.store.planners.Reset()
}

// end ends the transaction. Nobody waits for it.
func (v *view) end() {
	if v.pooled == nil {
		return // of its own connection, which is closed
	}
	go func(pooled *pgxpool.Conn) {
		defer pooled.Release()
		ctx, stop := context.WithTimeout(context.Background(), endTime)
		defer stop()
		if pooled.Conn().IsClosed() {
			return
		}
		if _, err := pooled.Exec(ctx, "ROLLBACK"); err != nil {
			_ = pooled.Conn().Close(ctx) // which ends it as well
		}
	}(v.pooled)
	v.pooled, v.conn = nil, nil
}

// Get implements [audit.View].
func (v *view) Get(s audit.Space, t tenant.ID, key []byte) ([]byte, error) {
	values, err := v.GetMany([]audit.Key{{Space: s, Tenant: t, Key: key}})
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// part is what lies in one table, or in one partition by time of it.
type part struct {
	space audit.Space
	month month
}

// wanted are the keys of a part, and what they are the keys of.
type wanted struct {
	part
	tenants []string
	keys    [][]byte
	at      []int
}

// GetMany implements [audit.View].
func (v *view) GetMany(keys []audit.Key) ([][]byte, error) {
	values := make([][]byte, len(keys))
	if len(keys) == 0 {
		return values, nil
	}
	var parts []*wanted
	places := map[part]*wanted{}
	var tenants []tenant.ID
	seen := map[tenant.ID]bool{}
	for i, k := range keys {
		p := part{k.Space, monthOf(k.Space, k.Key)}
		w := places[p]
		if w == nil {
			w = &wanted{part: p}
			places[p], parts = w, append(parts, w)
		}
		w.tenants, w.keys, w.at = append(w.tenants, string(k.Tenant)), append(w.keys, k.Key), append(w.at, i)
		if !seen[k.Tenant] {
			seen[k.Tenant], tenants = true, append(tenants, k.Tenant)
		}
	}
	queue := func(b *pgx.Batch) error {
		if err := v.see(b, tenants...); err != nil {
			return err
		}
		for _, w := range parts {
			b.Queue(manySQL(w.space, w.month), w.tenants, w.keys)
		}
		return nil
	}
	err := v.read(queue, len(parts), func(i int, rows pgx.Rows) error {
		w := parts[i]
		for rows.Next() {
			var n int64
			var value []byte
			if err := rows.Scan(&n, &value); err != nil {
				return err
			}
			values[w.at[n-1]] = value
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

// pages are the sizes of the first and of later pages of a scan, by how large values may be.
func pages(s audit.Space) (first, later int) {
	switch s {
	case audit.Blobs:
		return 1, 1
	case audit.Bodies:
		return 4, 4
	}
	return firstPage, largePage
}

// pair is a row of a scan.
type pair struct{ key, value []byte }

// Scan implements [audit.View]. It reads page by page, and fn may read between.
func (v *view) Scan(s audit.Space, t tenant.ID, from, to []byte, reverse bool,
	fn func(k, val []byte) (bool, error)) error {
	size, later := pages(s)
	low, high, bounded := append([]byte{}, from...), to, to != nil
	for {
		var page []pair
		queue := func(b *pgx.Batch) error {
			if err := v.see(b, t); err != nil {
				return err
			}
			args := []any{string(t), low, size}
			if bounded {
				args = append(args, high)
			}
			b.Queue(scanSQL(s, bounded, reverse), args...)
			return nil
		}
		err := v.read(queue, 1, func(_ int, rows pgx.Rows) error {
			page = page[:0]
			for rows.Next() {
				var p pair
				if err := rows.Scan(&p.key, &p.value); err != nil {
					return err
				}
				page = append(page, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, p := range page {
			if more, err := fn(p.key, p.value); err != nil || !more {
				return err
			}
		}
		if len(page) < size {
			return nil
		}
		last := page[len(page)-1].key
		if reverse {
			high, bounded = last, true
		} else {
			low = append(append(low[:0], last...), 0)
		}
		size = later
	}
}
