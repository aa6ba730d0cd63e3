package pg_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/audit/pg"
	"github.com/precept-cds/precept/engine/audit/pg/pgtest"
	"github.com/precept-cds/precept/engine/tenant"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// opened opens a store that the test closes.
func opened(t testing.TB, url string) *pg.Store {
	t.Helper()
	s, err := pg.Open(t.Context(), url, pg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// store opens a store of its own for a test.
func store(t testing.TB) (s *pg.Store, database string) {
	t.Helper()
	server := pgtest.Shared(t)
	database = server.Database(t)
	s = opened(t, server.URL(database, pgtest.Service))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, database
}

func TestConformance(t *testing.T) {
	server := pgtest.Shared(t)
	names := map[string]string{}
	audittest.Run(t, func(t *testing.T, name string) audit.Store {
		if names[name] == "" {
			names[name] = server.Database(t)
		}
		return opened(t, server.URL(names[name], pgtest.Service))
	})
}

func commit(t testing.TB, s audit.Store, puts ...audit.Item) {
	t.Helper()
	if err := s.Commit(t.Context(), &audit.Batch{Put: puts}); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s audit.Store, ctx context.Context, space audit.Space, tn tenant.ID, key string) (out []byte) {
	t.Helper()
	err := s.View(ctx, func(v audit.View) (err error) {
		out, err = v.Get(space, tn, []byte(key))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func item(space audit.Space, tn tenant.ID, key, value string) audit.Item {
	return audit.Item{Space: space, Tenant: tn, Key: []byte(key), Value: []byte(value)}
}

// TestTenantsAreApart asks in the name of one tenant for what is another's, in every space and in every way; then as
// the service's role with SQL of its own.
func TestTenantsAreApart(t *testing.T) {
	s, database := store(t)
	for space := range audit.Spaces {
		for _, tn := range []tenant.ID{"", "north", "south"} {
			commit(t, s, item(space, tn, "audit/2026-03\x00k", "of "+string(tn)))
		}
	}
	north := audit.Only(t.Context(), "north")
	for space := range audit.Spaces {
		key := []byte("audit/2026-03\x00k")
		err := s.View(north, func(v audit.View) error {
			values, err := v.GetMany([]audit.Key{{Space: space, Tenant: "south", Key: key},
				{Space: space, Tenant: "north", Key: key}, {Space: space, Tenant: "", Key: key}})
			if err != nil {
				return err
			}
			if values[0] != nil || string(values[1]) != "of north" || string(values[2]) != "of " {
				t.Errorf("%s: in the name of north: %q", space, values)
			}
			return v.Scan(space, "south", nil, nil, false, func(k, _ []byte) (bool, error) {
				t.Errorf("%s: in the name of north a scan of south shows %q", space, k)
				return true, nil
			})
		})
		if err != nil {
			t.Errorf("%s: %v", space, err)
		}
		if got := get(t, s, t.Context(), space, "south", string(key)); string(got) != "of south" {
			t.Errorf("%s: in the region's name: %q", space, got)
		}
	}
	conn, err := pgx.Connect(t.Context(), pgtest.Shared(t).URL(database, pgtest.Service))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	count := func(setting string, space audit.Space, where string) (n int) {
		t.Helper()
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(t.Context())
		if _, err := tx.Exec(t.Context(), "SELECT set_config('precept.tenants', $1, true)", setting); err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM precept."+space.String()+where).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for space := range audit.Spaces {
		for _, c := range []struct {
			setting, where string
			want           int
		}{
			{"", "", 0}, {"", " WHERE tenant = 'south'", 0}, {"\nnorth", "", 2}, {"\nnorth", " WHERE tenant = 'south'",
				0},
			{"\nnorth", " WHERE tenant = 'south' OR true", 2}, {"\nnorth\nsouth", "", 3},
		} {
			if got := count(c.setting, space, c.where); got != c.want {
				t.Errorf("%s: with %q%s: %d rows, want %d", space, c.setting, c.where, got, c.want)
			}
		}
	}
	// A write in another's name.
	_, err = conn.Exec(t.Context(), `SELECT set_config('precept.tenants', e'\nnorth', false)`)
	if err != nil {
		t.Fatal(err)
	}
	for space := range audit.Spaces {
		_, err := conn.Exec(t.Context(), "INSERT INTO precept."+space.String()+
			" (tenant, key, value) VALUES ('south', 'audit/2026-03 forged', '')")
		if state(err) != "42501" {
			t.Errorf("%s: a row in another tenant's name: %v", space, err)
		}
	}
	// The partitions themselves, which no policy guards.
	for _, name := range []string{"leaves_2026_03", "leaves_2026_03_0", "records_after", "patients_0"} {
		if _, err := conn.Exec(t.Context(), "SELECT FROM precept."+name); state(err) != "42501" {
			t.Errorf("%s can be read past its guard: %v", name, err)
		}
	}
}

func state(err error) string {
	var said interface{ SQLState() string }
	if errors.As(err, &said) {
		return said.SQLState()
	}
	return fmt.Sprint(err)
}

// TestAppendOnlyForTheService tries to change and to remove what was stored, with SQL as the service's role.
func TestAppendOnlyForTheService(t *testing.T) {
	s, database := store(t)
	server := pgtest.Shared(t)
	conn := func(role string) *pgx.Conn {
		c, err := pgx.Connect(t.Context(), server.URL(database, role))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		if _, err := c.Exec(t.Context(), `SELECT set_config('precept.tenants', e'\nnorth', false)`); err != nil {
			t.Fatal(err)
		}
		return c
	}
	service, retention := conn(pgtest.Service), conn(pgtest.Retention)
	for space := range audit.Spaces {
		commit(t, s, item(space, "north", "k", "v"))
		for _, text := range []string{"UPDATE precept.%s SET value = ''", "DELETE FROM precept.%s",
			"TRUNCATE precept.%s"} {
			_, err := service.Exec(t.Context(), fmt.Sprintf(text, space))
			if space.AppendOnly() && state(err) != "42501" {
				t.Errorf("%s: %s: %v, want it to be denied", space, text, err)
			}
		}
		if !space.AppendOnly() {
			continue
		}
		err := s.Commit(t.Context(), &audit.Batch{Put: []audit.Item{{Space: space, Tenant: "north", Key: []byte("k")}}})
		if !errors.Is(err, audit.ErrNotApplied) {
			t.Errorf("%s: removing: %v, want ErrNotApplied", space, err)
		}
		if got := get(t, s, t.Context(), space, "north", "k"); string(got) != "v" {
			t.Errorf("%s: %q is left", space, got)
		}
		if _, err := retention.Exec(t.Context(),
			"UPDATE precept."+space.String()+" SET value = ''"); state(err) != "42501" {
			t.Errorf("%s: retention changes: %v", space, err)
		}
		tag, err := retention.Exec(t.Context(), "DELETE FROM precept."+space.String())
		if err != nil || tag.RowsAffected() != 1 {
			t.Errorf("%s: retention removes: %v, %v", space, tag, err)
		}
	}
}

// TestMonths looks at the partitions that a store makes, and drops one.
func TestMonths(t *testing.T) {
	s, database := store(t)
	var keys []audit.Key
	add := func(space audit.Space, key string) {
		commit(t, s, item(space, "north", key, "v "+key))
		keys = append(keys, audit.Key{Space: space, Tenant: "north", Key: []byte(key)})
	}
	for _, log := range []string{"audit/1999-12", "audit/2026-03", "audit/2026-03.2", "audit/2026-12", "audit/2027-01",
		"audit/2199-12", "audit/2200-01", "audit/9999-12", "releases", "audit/", "audit/x", "z"} {
		for _, space := range []audit.Space{audit.Leaves, audit.Bodies} {
			add(space, log+"\x00\x00\x00\x00\x00\x00\x00\x00\x07")
		}
	}
	for _, at := range []string{"1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999Z", "2026-03-01T00:00:00Z",
		"2026-03-31T23:59:59.999Z", "2026-04-01T00:00:00Z", "2199-12-31T23:59:59.999Z", "2200-01-01T00:00:00Z"} {
		when, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			t.Fatal(err)
		}
		ms := when.UnixMilli()
		add(audit.Records, string([]byte{byte(ms >> 40), byte(ms >> 32), byte(ms >> 24), byte(ms >> 16), byte(ms >> 8),
			byte(ms),
			0x70, 1, 2, 3, 4, 5, 6, 7, 8, 9}))
	}
	values := map[string]string{}
	err := s.View(t.Context(), func(v audit.View) error {
		got, err := v.GetMany(keys)
		for i, value := range got {
			if string(value) != "v "+string(keys[i].Key) {
				t.Errorf("%s %q: %q", keys[i].Space, keys[i].Key, value)
			}
		}
		if err != nil {
			return err
		}
		for _, space := range []audit.Space{audit.Leaves, audit.Records} {
			for _, reverse := range []bool{false, true} {
				var seen []string
				err := v.Scan(space, "north", nil, nil, reverse, func(k, _ []byte) (bool, error) {
					seen = append(seen, string(k))
					return true, nil
				})
				if reverse {
					slices.Reverse(seen)
				}
				want := 0
				for _, k := range keys {
					if k.Space == space {
						want++
					}
				}
				if err != nil || len(seen) != want || !slices.IsSorted(seen) {
					t.Errorf("scan of %s: %q, %v", space, seen, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = values
	server := pgtest.Shared(t)
	conn, err := pgx.Connect(t.Context(), server.URL(database, pgtest.Owner))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, text := range []string{"ALTER TABLE precept.leaves DETACH PARTITION precept.leaves_2026_03",
		"DROP TABLE precept.leaves_2026_03"} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	gone := 0
	for _, k := range keys {
		if k.Space != audit.Leaves {
			continue
		}
		if got := get(t, s, t.Context(), k.Space, k.Tenant, string(k.Key)); got == nil {
			gone++
			if !strings.HasPrefix(string(k.Key), "audit/2026-03") {
				t.Errorf("%q went with March", k.Key)
			}
		}
	}
	if gone != 2 {
		t.Errorf("%d leaves went with March, want those of its two eras", gone)
	}
	// A month that was dropped is made again when somebody writes to it.
	commit(t, s, item(audit.Leaves, "north", "audit/2026-03\x00again", "v"))
}

// TestNotificationsCrossProcesses tells a store of what another one stored.
func TestNotificationsCrossProcesses(t *testing.T) {
	s, database := store(t)
	other := opened(t, pgtest.Shared(t).URL(database, pgtest.Service))
	defer other.Close()
	told := make(chan tenant.ID, 10)
	defer other.Notify(func(tn tenant.ID) { told <- tn })()
	began := time.Now()
	for { // it may not listen yet
		commit(t, s, item(audit.Heads, "north", "releases", fmt.Sprint(time.Since(began))))
		select {
		case tn := <-told:
			if tn != "north" {
				t.Errorf("told of %q", tn)
			}
			return
		case <-time.After(time.Second):
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("nothing is told")
		}
	}
}

// TestTurns has writers of many tenants take them in all orders.
func TestTurns(t *testing.T) {
	s, _ := store(t)
	tenants := []tenant.ID{"a", "b", "c", "d", "e", "f"}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				b := &audit.Batch{}
				for j := range tenants {
					tn := tenants[(i+j*(g+1))%len(tenants)]
					if (i+j+g)%3 > 0 {
						b.Expect = append(b.Expect, audit.Item{Space: audit.Heads, Tenant: tn, Key: []byte("none")})
						b.Put = append(b.Put, item(audit.Heads, tn, fmt.Sprint("k", g%3), fmt.Sprint(i)))
					}
				}
				if err := s.Commit(context.Background(), b); err != nil {
					t.Errorf("writer %d: %v", g, err)
				}
			}
		})
	}
	wg.Wait()
}
