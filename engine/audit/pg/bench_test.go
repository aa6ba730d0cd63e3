package pg_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/audit/pg/pgtest"
	"github.com/precept-cds/precept/engine/keyring"
)

// sealedSize is about what a body of a call takes, sealed.
const sealedSize = 3 << 10

// kept is a store that keeps the batches that are stored, and counts them.
type kept struct {
	audit.Store
	mu      sync.Mutex
	batches []*audit.Batch
	records atomic.Int64
}

func (k *kept) Commit(ctx context.Context, b *audit.Batch) error {
	if err := k.Store.Commit(ctx, b); err != nil {
		return err
	}
	copied := &audit.Batch{}
	for _, p := range b.Put {
		if p.Space == audit.Records {
			k.records.Add(1)
		}
		p.Key, p.Value = append([]byte{}, p.Key...), append([]byte{}, p.Value...)
		copied.Put = append(copied.Put, p)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.batches = append(k.batches, copied)
	return nil
}

// BenchmarkAppend records bodies of 3 kB through a log, then stores the very same rows, in the same batches, with a
// writer that does nothing else: one INSERT of arrays for each table, and COMMIT, in one round trip. The share is what
// the log makes of the store's own pace.
func BenchmarkAppend(b *testing.B) {
	server := pgtest.Shared(b)
	database := server.Database(b)
	k := &kept{Store: opened(b, server.URL(database, pgtest.Service))}
	defer k.Store.Close()
	kms, err := keyring.CreateFileKMS(b.TempDir() + "/region.key")
	if err != nil {
		b.Fatal(err)
	}
	ring, err := keyring.New(keyring.Config{Region: "eu", KMS: kms, Lookup: audit.KeyLookup(k), Rand: rand.Reader})
	if err != nil {
		b.Fatal(err)
	}
	l, err := audit.Open(b.Context(), audit.Config{Store: k, Ring: ring, Prefix: "audit.example", Region: "eu",
		Clock: time.Now,
		Rand:  rand.Reader})
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, sealedSize) // random, as after compression
	_, _ = rand.Read(body)           // does not fail
	add := func() {
		e := audittest.Entry(time.Now(), "north", "p1")
		e.Body = [][]byte{body}
		if _, err := l.Append(context.Background(), e); err != nil {
			b.Error(err)
		}
	}
	add()
	k.batches, k.records = nil, atomic.Int64{}
	b.ResetTimer()
	b.SetParallelism(128)
	began := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			add()
		}
	})
	through := time.Since(began)
	b.StopTimer()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	bare := replayBare(b, server, k.batches)
	n := float64(k.records.Load())
	b.ReportMetric(n/through.Seconds(), "records/s")
	b.ReportMetric(n/bare.Seconds(), "bare-records/s")
	b.ReportMetric(100*bare.Seconds()/through.Seconds(), "%-of-bare")
	b.ReportMetric(n/float64(len(k.batches)), "records/commit")
}

// replayBare stores rows in a database of their own.
func replayBare(b *testing.B, server *pgtest.Server, batches []*audit.Batch) time.Duration {
	b.Helper()
	database := server.Database(b)
	opened(b, server.URL(database, pgtest.Service)).Close()
	server.Exec(b, database, "SELECT precept.open_month(now()::date)")
	conn, err := pgx.Connect(b.Context(), server.URL(database, "postgres")) // whom no policy slows down
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	began := time.Now()
	for _, batch := range batches {
		var spaces [audit.Spaces]struct {
			tenants      []string
			keys, values [][]byte
		}
		for _, p := range batch.Put {
			s := &spaces[p.Space]
			s.tenants, s.keys, s.values = append(s.tenants, string(p.Tenant)), append(s.keys, p.Key), append(s.values,
				p.Value)
		}
		q := &pgx.Batch{}
		q.Queue("BEGIN")
		for space := range audit.Spaces {
			if s := &spaces[space]; len(s.keys) > 0 {
				text := fmt.Sprintf("INSERT INTO precept.%s (tenant, key, value) "+
					"SELECT t, k, v FROM unnest($1::text[], $2::bytea[], $3::bytea[]) u(t, k, v)", space)
				if !space.AppendOnly() {
					text += " ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value"
				}
				q.Queue(text, s.tenants, s.keys, s.values)
			}
		}
		q.Queue("COMMIT")
		if err := conn.SendBatch(b.Context(), q).Close(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}
