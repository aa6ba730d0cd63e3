// Package pg keeps an audit store in a PostgreSQL database, which any number of processes share.
//
// A space is a table of (tenant, key, value); migrations/ has them, with the reasons. A commit is one transaction, sent
// together with its end: it takes one round trip, and holds the rows that order the writers of its tenants (turns) no
// longer than the server works on it. It returns nil only after the server said so under a synchronous_commit that
// waits for the disk, and for standbys if the server has synchronous ones.
//
// Rows are guarded by row-level security: a transaction sees, and may write, the rows of those tenants only that it
// names beforehand. What serves may not change or remove what is append-only: it has no grants for that.
//
// If a connection ends while a commit is under way, nobody knows what became of it; [Store.Resolve] finds out. Reads
// go to the primary only.
//
// Not guaranteed: against a superuser of the database nothing of this helps; the log's own proofs do.
package pg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// Options change how a store is opened. The zero value is right for a server.
type Options struct {
	ReadOnly bool  // for a look only: needs no more than to read, and takes a standby
	MaxSize  int64 // bytes the database may grow to; 0 means no limit of ours
	// Connections are for reads; 0 means 16. Up to twelve more are for commits, their planning, and notifications.
	Connections int
}

// Connections to the server, beside those for reads.
const (
	defaultReaders = 16
	writerConns    = 8
	plannerConns   = 3
)

const (
	// openTime is how long opening may take.
	openTime = 30 * time.Second
	// sizeEvery is how often the size of the database is asked for.
	sizeEvery = 10 * time.Second
	// seenEvery is how often a store says that it is still there; one that was not seen for forgotten is removed.
	seenEvery = time.Hour
	forgotten = "90 days"
)

// Store is an audit store in a PostgreSQL database.
type Store struct {
	audit.Followers
	options Options
	id      uuid.UUID // of this writer
	epoch   atomic.Int64
	months  sync.Map // of month: there are partitions for it

	readers  *pgxpool.Pool // for views of one tenant
	planners *pgxpool.Pool // for views of what is to be stored: those who read cannot take them away
	writers  *pgxpool.Pool // for commits

	used    atomic.Int64 // bytes of the database
	stop    context.CancelFunc
	running sync.WaitGroup
}

var (
	_ audit.Store    = (*Store)(nil)
	_ audit.Resolver = (*Store)(nil)
	_ audit.Meter    = (*Store)(nil)
)

// Open opens the store in the database that url names, as it is after [Migrate]. What the server or the role lacks is
// a [RefusedError]. No error has the password in it.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	s, err := open(ctx, url, o)
	if err != nil {
		return nil, fmt.Errorf("opening audit store in PostgreSQL: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, url string, o Options) (s *Store, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	s = &Store{options: o}
	if s.id, err = uuid.NewRandomFromReader(rand.Reader); err != nil {
		return nil, err
	}
	config, err := settings(url, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	if err := examine(ctx, config.ConnConfig, o); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.closePools()
		}
	}()
	readers := o.Connections
	if readers <= 0 {
		readers = defaultReaders
	}
	for _, p := range []struct {
		pool  **pgxpool.Pool
		name  string
		conns int
		plan  string
	}{
		{&s.readers, "read", readers, "force_custom_plan"}, {&s.planners, "plan", plannerConns, "auto"},
		{&s.writers, "commit", writerConns, "auto"},
	} {
		c := config.Copy()
		c.MaxConns = int32(min(p.conns, math.MaxInt16))
		c.ConnConfig.RuntimeParams["application_name"] = "precept " + p.name + " " + s.id.String()
		c.ConnConfig.RuntimeParams["plan_cache_mode"] = p.plan
		if *p.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
			return nil, err
		}
	}
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	if err := s.begin(ctx); err != nil {
		stop()
		return nil, err
	}
	if o.ReadOnly {
		return s, nil
	}
	listener, err := listening(ctx, s.listenConfig(config.ConnConfig))
	if err != nil {
		stop()
		return nil, fmt.Errorf("listening for notifications: %w", err)
	}
	s.running.Go(func() { s.listen(background, s.listenConfig(config.ConnConfig), listener) })
	s.running.Go(func() { s.measure(background) })
	return s, nil
}

// begin makes the store a writer.
func (s *Store) begin(ctx context.Context) error {
	if s.options.ReadOnly {
		return s.readers.Ping(ctx)
	}
	s.epoch.Store(1)
	if _, err := s.writers.Exec(ctx, "INSERT INTO precept.writers (id, epoch) VALUES ($1, 1)", s.id); err != nil {
		return fmt.Errorf("beginning to write: %w", err)
	}
	_, err := s.writers.Exec(ctx, "DELETE FROM precept.writers WHERE seen < now() - interval '"+forgotten+"'")
	if err != nil {
		return fmt.Errorf("removing writers of long ago: %w", err)
	}
	return s.size(ctx)
}

// size asks for the size of the database.
func (s *Store) size(ctx context.Context) error {
	var n int64
	if err := s.planners.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&n); err != nil {
		return fmt.Errorf("asking for the size of the database: %w", err)
	}
	s.used.Store(n)
	return nil
}

// measure keeps the size of the database, and the writer seen.
func (s *Store) measure(ctx context.Context) {
	tick := time.NewTicker(sizeEvery)
	defer tick.Stop()
	seen := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		within, stop := context.WithTimeout(ctx, sizeEvery)
		_ = s.size(within) // the last one stays; a store that does not answer is noticed by who needs it
		if time.Since(seen) > seenEvery {
			_, err := s.writers.Exec(within, "UPDATE precept.writers SET seen = now() WHERE id = $1", s.id)
			if err == nil {
				seen = time.Now()
			}
		}
		stop()
	}
}

// Room implements [audit.Meter]. A server does not say how much its volume has: without a limit of ours there is always
// room, until it refuses.
func (s *Store) Room() (r audit.Room, err error) {
	r = audit.Room{Free: math.MaxInt64 / 2, Total: math.MaxInt64 / 2, Used: s.used.Load()}
	if s.options.MaxSize > 0 {
		r.Free, r.Total = s.options.MaxSize-r.Used, s.options.MaxSize
	}
	return r, nil
}

// Close implements [audit.Store].
func (s *Store) Close() error {
	s.stop()
	s.running.Wait()
	var err error
	if !s.options.ReadOnly {
		ctx, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		if _, bad := s.writers.Exec(ctx, "DELETE FROM precept.writers WHERE id = $1", s.id); bad != nil {
			err = fmt.Errorf("closing audit store in PostgreSQL: %w", bad)
		}
	}
	s.closePools()
	return err
}

func (s *Store) closePools() {
	for _, p := range []*pgxpool.Pool{s.readers, s.planners, s.writers} {
		if p != nil {
			p.Close()
		}
	}
}

// The pauses between attempts to hear notifications again.
const (
	listenPause = 50 * time.Millisecond // doubled after each try
	listenLong  = 5 * time.Second       // at most
	// listenAlive is how often a connection that says nothing is asked whether it is still there.
	listenAlive = 5 * time.Second
)

// listenConfig is that of the connection for notifications.
func (s *Store) listenConfig(config *pgx.ConnConfig) *pgx.ConnConfig {
	config = config.Copy()
	config.RuntimeParams["application_name"] = "precept listen " + s.id.String()
	return config
}

// listening opens a connection that is notified.
func listening(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	within, stop := context.WithTimeout(ctx, listenAlive)
	defer stop()
	conn, err := pgx.ConnectConfig(within, config)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(within, "LISTEN "+channel); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(within)))
	}
	return conn, nil
}

// listen tells followers what the server notifies of. While there is no connection they are told nothing: they ask.
func (s *Store) listen(ctx context.Context, config *pgx.ConnConfig, conn *pgx.Conn) {
	pause := listenPause
	for {
		if conn != nil {
			s.hear(ctx, conn)
			pause = listenPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, listenLong)
		conn, _ = listening(ctx, config) // nil if it could not; another try follows
	}
}

// hear listens on a connection until it ends.
func (s *Store) hear(ctx context.Context, conn *pgx.Conn) {
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		within, stop := context.WithTimeout(ctx, listenAlive)
		n, err := conn.WaitForNotification(within)
		silent := within.Err() != nil
		stop()
		switch {
		case err == nil:
			s.Tell(tenant.ID(n.Payload))
		case silent && ctx.Err() == nil && alive(ctx, conn):
		default:
			return
		}
	}
}

// alive asks a connection whether it is still there.
func alive(ctx context.Context, conn *pgx.Conn) bool {
	within, stop := context.WithTimeout(ctx, listenAlive)
	defer stop()
	return conn.Ping(within) == nil
}
