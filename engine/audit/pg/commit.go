package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

const (
	// commitTime is how long a commit may take, the wait for a standby included, before it is given up: its outcome is
	// then unknown.
	commitTime = 30 * time.Second
	// maxTries is how often a commit is tried that was surely not applied, for a reason that passes at once.
	maxTries = 8
)

// SQLSTATEs.
const (
	stateFenced      = "PR001" // of ours
	stateUnique      = "23505"
	stateNoPartition = "23514" // check_violation, which this is one of
	stateSerialize   = "40001"
	stateDeadlock    = "40P01"
)

// errUnknown is what a commit of unknown outcome returns, with its cause.
var errUnknown = errors.New("outcome of the transaction is unknown")

// Commit implements [audit.Store]: one transaction, sent whole with its end, so it takes one round trip.
func (s *Store) Commit(ctx context.Context, b *audit.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
	}
	if s.options.ReadOnly {
		return fmt.Errorf("%w: the store is open for reading only", audit.ErrNotApplied)
	}
	w, err := sortOut(b)
	if err != nil {
		return err
	}
	for range maxTries {
		var again bool
		if again, err = s.attempt(ctx, w); !again {
			return err
		}
	}
	return fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
}

// attempt tries once. It says whether to try again: then nothing was applied.
func (s *Store) attempt(ctx context.Context, w *work) (again bool, err error) {
	if err := s.openMonths(ctx, w.months); err != nil {
		return false, fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
	}
	conn, err := s.writers.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
	}
	err = s.send(conn, w)
	state := sqlState(err)
	switch {
	case err == nil, errors.Is(err, audit.ErrConflict):
		return false, err
	case errors.Is(err, errUnknown):
		return false, err
	case state == stateUnique:
		return s.present(ctx, w)
	case state == stateFenced, state == stateSerialize, state == stateDeadlock:
		return true, err
	case state == stateNoPartition:
		s.months.Clear() // somebody dropped one
		return true, err
	}
	return false, fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
}

// send runs the transaction on a connection, which it gives back. Its error is surely not applied unless it is
// errUnknown.
func (s *Store) send(conn *pgxpool.Conn, w *work) (err error) {
	ctx, stop := context.WithTimeout(context.Background(), commitTime)
	defer stop()
	notes := noticesOf(conn)
	notes.clear()
	defer func() {
		if err != nil && !conn.Conn().IsClosed() {
			// The transaction failed and is open; whoever is given the connection next must not find it so.
			if _, bad := conn.Exec(ctx, "ROLLBACK"); bad != nil {
				_ = conn.Conn().Close(ctx) // it is ended by that, too
			}
		}
		conn.Release()
	}()
	batch := w.batch(s.id, s.epoch.Load())
	results := conn.SendBatch(ctx, batch)
	conflict, step, err := w.read(results, batch.Len())
	if closing := results.Close(); err == nil {
		err = closing
	}
	var said *pgconn.PgError
	switch {
	case err == nil && notes.warning() != "":
		// Somebody ended the wait for a standby: durable here, and perhaps nowhere else.
		return fmt.Errorf("%w: %s", errUnknown, notes.warning())
	case err == nil && conflict != nil:
		return conflict
	case err == nil:
		return nil
	case errors.As(err, &said) && said.SeverityUnlocalized == "ERROR", pgconn.SafeToRetry(err):
		return err // the server did not come to the end of the transaction, or was sent nothing of it
	}
	s.writers.Reset() // the others are not better: those who wait get new ones
	return fmt.Errorf("%w: statement %d of %d: %w", errUnknown, step+1, batch.Len(), err)
}

// work is a batch, sorted by what the statements need.
type work struct {
	spaces []audit.Space // of expectations
	expect [audit.Spaces]rows
	put    [audit.Spaces]rows
	remove [audit.Spaces]rows
	scope  string
	turns  []string // tenants that are changed, in order
	notify []string
	months map[month]bool
}

// rows are parameters of a statement.
type rows struct {
	tenants []string
	keys    [][]byte
	values  [][]byte
}

func (r *rows) add(i audit.Item) {
	r.tenants, r.keys, r.values = append(r.tenants, string(i.Tenant)), append(r.keys, i.Key), append(r.values, i.Value)
}

// place is where an item goes.
type place struct {
	space  audit.Space
	tenant tenant.ID
	key    string
}

// sortOut makes the statements of a batch. Of several puts to one key the last one counts; in an append-only space they
// have to be the same.
func sortOut(b *audit.Batch) (*work, error) {
	w := &work{months: map[month]bool{}}
	scoped, turns := map[tenant.ID]bool{}, map[tenant.ID]bool{}
	for _, e := range b.Expect {
		if len(w.expect[e.Space].keys) == 0 {
			w.spaces = append(w.spaces, e.Space)
		}
		w.expect[e.Space].add(e)
		scoped[e.Tenant], turns[e.Tenant] = true, true
	}
	slices.Sort(w.spaces)
	last := make(map[place]int, len(b.Put))
	var conflict audit.ConflictError
	for i, p := range b.Put {
		at := place{p.Space, p.Tenant, string(p.Key)}
		if before, again := last[at]; again && p.Space.AppendOnly() && !same(b.Put[before].Value, p.Value) {
			conflict.Add(p.Tenant)
		}
		last[at] = i
		scoped[p.Tenant] = true
		if !p.Space.AppendOnly() {
			turns[p.Tenant] = true
		}
	}
	if len(conflict.Tenants) > 0 {
		return nil, &conflict
	}
	for i, p := range b.Put {
		if len(last) < len(b.Put) && last[place{p.Space, p.Tenant, string(p.Key)}] != i {
			continue
		}
		if p.Value == nil {
			w.remove[p.Space].add(p)
			continue
		}
		w.put[p.Space].add(p)
		if m := monthOf(p.Space, p.Key); m != noMonth {
			w.months[m] = true
		}
		if p.Space == audit.Heads && string(p.Key) == string(audit.Releases) {
			w.notify = append(w.notify, string(p.Tenant))
		}
	}
	for t := range scoped {
		if strings.ContainsAny(string(t), "\n\x00") {
			return nil, fmt.Errorf("%w: malformed name of a tenant", audit.ErrNotApplied)
		}
	}
	w.scope = scope(slices.Collect(maps.Keys(scoped)))
	w.turns = make([]string, 0, len(turns))
	for t := range turns {
		w.turns = append(w.turns, string(t))
	}
	slices.Sort(w.turns)
	return w, nil
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && string(a) == string(b) }

// checkAt is where the result of the check stands in a batch.
const checkAt = 2

// batch is the transaction.
func (w *work) batch(writer [16]byte, epoch int64) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	b.Queue(enterSQL, w.scope, writer, epoch, w.turns)
	if len(w.spaces) == 0 {
		b.Queue(applySQL)
	} else {
		var args []any
		for _, space := range w.spaces {
			e := &w.expect[space]
			args = append(args, e.tenants, e.keys, e.values)
		}
		b.Queue(checkSQL(w.spaces), args...)
	}
	for space := range audit.Spaces {
		if r := &w.remove[space]; len(r.keys) > 0 {
			b.Queue(removeSQL(space), r.tenants, r.keys)
		}
		if p := &w.put[space]; len(p.keys) > 0 {
			b.Queue(putSQL(space), p.tenants, p.keys, p.values)
		}
	}
	if len(w.notify) > 0 {
		b.Queue(notifySQL, w.notify)
	}
	b.Queue("COMMIT")
	return b
}

// read takes the results of the statements, up to the first error.
func (w *work) read(results pgx.BatchResults, n int) (conflict *audit.ConflictError, step int, err error) {
	for step = range n {
		if step != checkAt {
			tag, err := results.Exec()
			if err != nil {
				return nil, step, err
			}
			if step == n-1 && tag.String() != "COMMIT" {
				return nil, step, fmt.Errorf("the server ended it with %s", tag)
			}
			continue
		}
		var said string
		var bad []tenant.ID
		if err := results.QueryRow().Scan(&said, &bad); err != nil {
			return nil, step, err
		}
		if len(bad) > 0 {
			conflict = &audit.ConflictError{Tenants: bad}
		}
	}
	return conflict, n, nil
}

// present finds out why a value could not be added to an append-only space: it is there. If it is the same one, it need
// not be added.
func (s *Store) present(ctx context.Context, w *work) (again bool, err error) {
	var conflict audit.ConflictError
	err = s.View(ctx, func(v audit.View) error {
		for space := range audit.Spaces {
			r := &w.put[space]
			if !space.AppendOnly() || len(r.keys) == 0 {
				continue
			}
			keys := make([]audit.Key, len(r.keys))
			for i := range keys {
				keys[i] = audit.Key{Space: space, Tenant: tenant.ID(r.tenants[i]), Key: r.keys[i]}
			}
			values, err := v.GetMany(keys)
			if err != nil {
				return err
			}
			var left rows
			for i, value := range values {
				switch {
				case value == nil:
					left.add(audit.Item{Tenant: keys[i].Tenant, Key: r.keys[i], Value: r.values[i]})
				case !same(value, r.values[i]):
					conflict.Add(keys[i].Tenant)
				}
			}
			*r = left
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
	}
	if len(conflict.Tenants) > 0 {
		return false, &conflict
	}
	return true, fmt.Errorf("values kept being added by others")
}

// openMonths makes sure that there are partitions for what is to be stored.
func (s *Store) openMonths(ctx context.Context, months map[month]bool) error {
	for m := range months {
		if _, known := s.months.Load(m); known {
			continue
		}
		if _, err := s.writers.Exec(ctx, "SELECT precept.open_month($1)", m.time()); err != nil {
			return fmt.Errorf("making room for %s: %w", m.time().Format("2006-01"), err)
		}
		s.months.Store(m, true)
	}
	return nil
}

// Resolve implements [audit.Resolver]. First it ends what this store began before: backends that hold a transaction and
// wait for more of it are told to end, and the writer's epoch is raised. That waits for transactions that are being
// committed, makes those fail that have yet to arrive, and is itself durable wherever commits are to be: so what is
// seen after it is durable, and what is not seen never will be.
func (s *Store) Resolve(ctx context.Context, fn func(audit.View) error) error {
	config := s.writers.Config().ConnConfig
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("resolving outcome: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := s.fence(ctx, conn); err != nil {
		return fmt.Errorf("resolving outcome: %w", err)
	}
	v := &view{ctx: ctx, conn: conn}
	defer v.end()
	return fn(v)
}

// endSQL ends what a writer has left behind: transactions that changed something and wait for their client. One that is
// being committed waits for something else, and is left alone.
const endSQL = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1
	AND usename = current_user AND backend_xid IS NOT NULL AND wait_event = 'ClientRead' AND pid <> pg_backend_pid()`

// fence raises the writer's epoch, durably.
func (s *Store) fence(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, endSQL, conn.Config().RuntimeParams["application_name"]); err != nil {
		return err
	}
	notes := noticesIn(conn)
	notes.clear()
	var epoch int64
	if err := conn.QueryRow(ctx, fenceSQL, s.id, s.epoch.Load()+1).Scan(&epoch); err != nil {
		return err
	}
	if notes.warning() != "" {
		return errors.New(notes.warning())
	}
	for {
		old := s.epoch.Load()
		if old >= epoch || s.epoch.CompareAndSwap(old, epoch) {
			return nil
		}
	}
}

// sqlState is what a server said was wrong; "" if it said nothing.
func sqlState(err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return said.Code
	}
	return ""
}
