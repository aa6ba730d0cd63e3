package pg_test

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/audit/pg"
	"github.com/precept-cds/precept/engine/audit/pg/pgtest"
)

var roles = pg.Roles{Service: pgtest.Service, Retention: pgtest.Retention}

// description is everything that a schema consists of.
func description(t *testing.T, url string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `
		SELECT 'column ' || c.relname || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' ||
			a.attnotnull::text ||
			' ' || a.attstorage::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND
			d.adnum = a.attnum
		WHERE c.relnamespace = 'precept'::regnamespace AND a.attnum > 0 AND c.relkind IN ('r', 'p')
		UNION ALL SELECT 'table ' || relname || ' ' || relrowsecurity::text || relforcerowsecurity::text || ' ' ||
			coalesce(reloptions::text, '') || ' ' || coalesce(relacl::text, '') || ' ' ||
				coalesce(pg_get_expr(relpartbound, oid), '')
		FROM pg_class WHERE relnamespace = 'precept'::regnamespace
		UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'precept'
		UNION ALL SELECT 'policy ' || tablename || ' ' || policyname || ' ' || qual FROM pg_policies WHERE schemaname =
			'precept'
		UNION ALL SELECT 'function ' || pg_get_functiondef(oid) || coalesce(proacl::text, '') FROM pg_proc
		WHERE pronamespace = 'precept'::regnamespace
		UNION ALL SELECT 'migration ' || version::text || name || digest FROM precept.migrations`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// TestMigrationsFromEachVersion stores something under the schema of every version so far, brings it to the newest one,
// and finds the schema to be that of a new database, and the records whole.
func TestMigrationsFromEachVersion(t *testing.T) {
	server := pgtest.Shared(t)
	fresh := description(t, server.URL(server.Database(t), pgtest.Owner))
	for from := 0; from <= pg.NewestVersion(); from++ {
		database := server.Empty(t, "")
		owner, service := server.URL(database, pgtest.Owner), server.URL(database, pgtest.Service)
		if n, err := pg.MigrateFrom(t.Context(), owner, pg.Embedded(), from, roles); err != nil || n != from {
			t.Fatalf("to version %d: %d steps, %v", from, n, err)
		}
		if from == pg.NewestVersion() { // what this program can serve on
			appendTo(t, service)
		}
		var told int
		for range 2 {
			if err := pg.Migrate(t.Context(), owner, roles, func(int, string) { told++ }); err != nil {
				t.Fatalf("from version %d: %v", from, err)
			}
		}
		if want := pg.NewestVersion() - from; told != want {
			t.Errorf("from version %d: %d steps, want %d", from, told, want)
		}
		if from < pg.NewestVersion() {
			got := description(t, owner)
			if !slices.Equal(got, fresh) {
				t.Errorf("from version %d the schema is another one than a new one:\n%s", from, difference(got, fresh))
			}
		}
		appendTo(t, service)
	}
}

func difference(a, b []string) string {
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "+ "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "- "+l)
		}
	}
	return strings.Join(out, "\n")
}

// appendTo serves from a database for a moment.
func appendTo(t *testing.T, url string) {
	t.Helper()
	s := opened(t, url)
	defer s.Close()
	commit(t, s, item(audit.Leaves, "north", "audit/2026-03\x00k", "v"), item(audit.Heads, "north", "audit", "1"))
	if got := get(t, s, t.Context(), audit.Leaves, "north", "audit/2026-03\x00k"); string(got) != "v" {
		t.Errorf("%q was stored", got)
	}
}

// with is the migrations with one more.
func with(t *testing.T, name, text string) fs.FS {
	t.Helper()
	files := fstest.MapFS{name: {Data: []byte(text)}}
	entries, err := fs.ReadDir(pg.Embedded(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := fs.ReadFile(pg.Embedded(), e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, replaced := files[e.Name()]; !replaced {
			files[e.Name()] = &fstest.MapFile{Data: data}
		}
	}
	return files
}

// TestMigrationsOfALaterVersion applies a later version's step while a node of this version serves, which goes on;
// and a step that fails, which leaves nothing.
func TestMigrationsOfALaterVersion(t *testing.T) {
	server := pgtest.Shared(t)
	database := server.Database(t)
	owner, service := server.URL(database, pgtest.Owner), server.URL(database, pgtest.Service)
	s := opened(t, service)
	defer s.Close()
	clock, node := audittest.Region(t)
	l := node(s)
	add := func() {
		t.Helper()
		if _, err := l.Append(t.Context(), audittest.Entry(clock.Time(), "north", "p1")); err != nil {
			t.Fatal(err)
		}
	}
	add()
	before := description(t, owner)
	broken := with(t, "0002_broken.sql", "CREATE TABLE precept.later (x int); SELECT 1 / 0;")
	if n, err := pg.MigrateFrom(t.Context(), owner, broken, 2, roles); err == nil || n != 0 {
		t.Errorf("a broken step: %d applied, %v", n, err)
	}
	if got := description(t, owner); !slices.Equal(got, before) {
		t.Errorf("a broken step left something:\n%s", difference(got, before))
	}
	later := with(t, "0002_later.sql", `ALTER TABLE precept.heads ADD COLUMN later int NOT NULL DEFAULT 7;
		ALTER TABLE precept.leaves ADD COLUMN later int; CREATE TABLE precept.later (x int);`)
	var wg sync.WaitGroup
	var mu sync.Mutex
	steps := 0
	for range 3 { // beside each other
		wg.Go(func() {
			n, err := pg.MigrateFrom(t.Context(), owner, later, 2, roles)
			mu.Lock()
			defer mu.Unlock()
			if steps += n; err != nil {
				t.Error(err)
			}
		})
	}
	for range 20 {
		add()
	}
	wg.Wait()
	if steps != 1 {
		t.Errorf("one step was applied %d times", steps)
	}
	add()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	appendTo(t, service) // a node of this version starts on the later schema
	changed := with(t, "0001_spaces.sql", "CREATE TABLE precept.other (x int)")
	if _, err := pg.MigrateFrom(t.Context(), owner, changed, 1, roles); err == nil || !strings.Contains(err.Error(),
		"another form") {
		t.Errorf("a released step that was changed: %v", err)
	}
}

// TestMigrationNeedsRoles names a role that does not exist.
func TestMigrationNeedsRoles(t *testing.T) {
	server := pgtest.Shared(t)
	err := pg.Migrate(t.Context(), server.URL(server.Empty(t, ""), pgtest.Owner), pg.Roles{Service: "nobody"}, func(int,
		string) {
	})
	if err == nil || !strings.Contains(err.Error(), `CREATE ROLE "nobody" LOGIN`) {
		t.Errorf("got %v", err)
	}
	alone := server.Empty(t, "")
	err = pg.Migrate(t.Context(), server.URL(alone, pgtest.Owner), pg.Roles{Service: pgtest.Service}, func(int,
		string) {
	})
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, server.URL(alone, pgtest.Service)) // without a role for retention
}
