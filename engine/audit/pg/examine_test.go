package pg_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/pg"
	"github.com/precept-cds/precept/engine/audit/pg/pgtest"
)

// refused wants a store to be refused for exactly these reasons, each with how to mend it.
func refused(t *testing.T, url string, want ...string) {
	t.Helper()
	s, err := pg.Open(t.Context(), url, pg.Options{})
	if err == nil {
		_ = s.Close()
	}
	var e *pg.RefusedError
	if !errors.As(err, &e) {
		t.Errorf("opened, or %v; want it refused: %q", err, want)
		return
	}
	for _, w := range want {
		found := false
		for _, r := range e.Refusals {
			found = found || r.Name == w && r.What != "" && r.Mend != "" && strings.Contains(err.Error(), r.Mend)
		}
		if !found {
			t.Errorf("%v; want it refused for %s", err, w)
		}
	}
	for _, r := range e.Refusals {
		if !strings.Contains(" "+strings.Join(want, " ")+" ", " "+r.Name+" ") {
			t.Errorf("refused for %s, too", r)
		}
	}
}

// TestStartIsRefused changes one thing at a time that the store relies on.
func TestStartIsRefused(t *testing.T) {
	server := pgtest.Shared(t)
	for name, change := range map[string]string{
		"synchronous-commit": "ALTER DATABASE DB SET synchronous_commit = off",
		"read-only":          "ALTER ROLE precept IN DATABASE DB SET default_transaction_read_only = on",
		"privileges":         "REVOKE INSERT ON precept.bodies FROM precept",
		"append-only":        "GRANT UPDATE ON precept.leaves TO precept",
		"row-security":       "ALTER TABLE precept.heads NO FORCE ROW LEVEL SECURITY",
		"schema":             "DELETE FROM precept.migrations",
	} {
		t.Run(name, func(t *testing.T) {
			database := server.Database(t)
			opened(t, server.URL(database, pgtest.Service)).Close()
			server.Exec(t, database, strings.ReplaceAll(change, "DB", database))
			refused(t, server.URL(database, pgtest.Service), name)
		})
	}
	for name, change := range map[string]string{
		"synchronous-commit": "ALTER ROLE precept IN DATABASE DB SET synchronous_commit = local",
		"append-only":        "GRANT TRUNCATE ON precept.blobs TO PUBLIC",
		"privileges":         "REVOKE USAGE ON SCHEMA precept FROM precept",
		"schema":             "DROP SCHEMA precept CASCADE",
	} {
		t.Run(name+" otherwise", func(t *testing.T) {
			database := server.Database(t)
			server.Exec(t, database, strings.ReplaceAll(change, "DB", database))
			refused(t, server.URL(database, pgtest.Service), name)
		})
	}
	t.Run("role", func(t *testing.T) {
		database := server.Database(t)
		refused(t, server.URL(database, "postgres"), "role")
		refused(t, server.URL(database, pgtest.Owner), "role")
	})
	t.Run("encoding", func(t *testing.T) {
		database := server.Empty(t, "ENCODING 'LATIN1' TEMPLATE template0")
		refused(t, server.URL(database, pgtest.Service), "encoding")
	})
	t.Run("server-version", func(t *testing.T) {
		defer pg.SetLeastVersion(990000)()
		refused(t, server.URL(server.Database(t), pgtest.Service), "server-version")
	})
}

// TestStartIsRefusedByItsServer starts servers that may not be trusted with records.
func TestStartIsRefusedByItsServer(t *testing.T) {
	server := pgtest.Start(t)
	database := server.Database(t)
	opened(t, server.URL(database, pgtest.Service)).Close()
	server.Stop(t)
	server.Standby(t, true)
	server.Restart(t)
	refused(t, server.URL(database, pgtest.Service), "standby")
	s, err := pg.Open(t.Context(), server.URL(database, pgtest.Service), pg.Options{ReadOnly: true})
	if err != nil {
		t.Fatalf("a look at a standby: %v", err)
	}
	_ = get(t, s, t.Context(), audit.Heads, "north", "audit")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	server.Stop(t)
	server.Standby(t, false)
	server.Set("fsync=off", "full_page_writes=off")
	server.Restart(t)
	refused(t, server.URL(database, pgtest.Service), "fsync", "full-page-writes")
}

// TestCommitsThatWouldNotBeDurable changes the server's setting while a store is open: connections that are opened
// afterwards are refused.
func TestCommitsThatWouldNotBeDurable(t *testing.T) {
	server := pgtest.Shared(t)
	database := server.Database(t)
	s := opened(t, server.URL(database, pgtest.Service))
	defer s.Close() // which may fail to say that it is gone
	commit(t, s, item(audit.Heads, "north", "audit", "1"))
	server.Exec(t, database, "ALTER DATABASE "+database+" SET synchronous_commit = off",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+database+
			"' AND pid <> pg_backend_pid()")
	for range 5 {
		err := s.Commit(t.Context(), &audit.Batch{Put: []audit.Item{item(audit.Heads, "north", "audit", "2")}})
		if err == nil {
			t.Fatal("committed without waiting for the disk")
		}
		var e *pg.RefusedError
		if errors.As(err, &e) {
			if !errors.Is(err, audit.ErrNotApplied) {
				t.Errorf("%v, want ErrNotApplied", err)
			}
			return
		}
	}
	t.Error("the reason is not told")
}

// TestPasswordsAreNotShown looks for the password in everything that is said about a URL.
func TestPasswordsAreNotShown(t *testing.T) {
	const secret = "s3cr3t-pw"
	file := filepath.Join(t.TempDir(), "url")
	for _, url := range []string{
		"postgres://precept:" + secret + "@127.0.0.1:1/db", "postgres://precept:" + secret + "@127.0.0.1:bad/db",
		"postgres://precept:" + secret + "@db.example/db", "postgres://precept:" + secret + "%zz@127.0.0.1/db",
		"postgres://precept@127.0.0.1:1/db?password=" + secret, "postgres://precept:" + secret +
			"@127.0.0.1:1/db?sslmode=wrong",
		"postgres://precept:" + secret + "@db.example/db?sslmode=prefer",
		"postgres://precept:" + secret + "@127.0.0.1:1/db?connect_timeout=x",
	} {
		_, err := pg.Open(t.Context(), url, pg.Options{})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("opening: %v", err)
		}
		if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := pg.ReadURL(file)
		if err != nil && strings.Contains(err.Error(), secret) || err == nil && got != url {
			t.Errorf("reading a file: %v", err)
		}
		if _, err := pg.ReadURL(url); err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("on the command line: %v", err)
		}
	}
	for _, url := range []string{"postgres://u:" + secret + "@h/db", "postgres://u@h/db?password=" + secret} {
		if _, err := pg.ReadURL(url); !errors.Is(err, pg.ErrPassword) {
			t.Errorf("a password on the command line: %v", err)
		}
	}
}

// TestWayToTheServer wants connections to other machines to be protected, or said not to be.
func TestWayToTheServer(t *testing.T) {
	for url, ok := range map[string]bool{
		"postgres://u@db.example/d": false, "postgres://u@db.example/d?sslmode=prefer": false,
		"postgres://u@db.example/d?sslmode=allow": false, "postgres://u@127.0.0.1,db.example/d": false,
		"postgres://u@db.example/d?sslmode=verify-full": true, "postgres://u@db.example/d?sslmode=disable": true,
		"postgres://u@127.0.0.1/d": true, "postgres://u@localhost/d": true, "postgres://u@[::1]/d": true,
		"postgres://u@/d?host=/run/postgresql": true, "postgres://u@db.example/d?sslmode=require": true,
	} {
		if err := pg.Local(url); (err == nil) != ok {
			t.Errorf("%s: %v, want it taken: %v", url, err, ok)
		}
	}
}
