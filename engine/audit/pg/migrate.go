package pg

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Migrations only ever add: a table, a column with a default, an index, a function under a new name. So a program
// goes on working while and after a newer one's migrations are applied, and nodes are replaced one by one. A
// migration that was released is never changed; its digest is in the database.

//go:embed migrations
var migrationFiles embed.FS

// migrateLock keeps migrations from running beside each other.
const migrateLock = 7309434906

// migrationName is what the file of a migration is called.
var migrationName = regexp.MustCompile(`^([0-9]{4})_([a-z0-9_]+)\.sql$`)

// migration is one step.
type migration struct {
	version int
	name    string
	text    string
	digest  string
}

// migrations reads the steps from files, in order.
func migrations(files fs.FS) ([]migration, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	var list []migration
	for _, e := range entries { // in order of their names
		m := migrationName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		text, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading migrations: %w", err)
		}
		version, _ := strconv.Atoi(m[1]) // four digits
		if version != len(list)+1 {
			return nil, fmt.Errorf("reading migrations: %s does not come after %04d", e.Name(), len(list))
		}
		sum := sha256.Sum256(text)
		list = append(list, migration{version, m[2], string(text), hex.EncodeToString(sum[:])})
	}
	return list, nil
}

// embedded are the migrations of this program.
func embedded() ([]migration, string) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	list, err := migrations(files)
	if err != nil {
		panic(err) // a test reads them
	}
	grants, err := fs.ReadFile(migrationFiles, path.Join("migrations", "grants.sql"))
	if err != nil {
		panic(err)
	}
	return list, string(grants)
}

// newestVersion is that of the schema that this program needs.
func newestVersion() int {
	list, _ := embedded()
	return len(list)
}

// Roles are the names of roles that exist in the server.
type Roles struct {
	Service   string // what precept serve connects as
	Retention string // what may remove; empty: none
}

// Migrate brings the schema of a database to what this program needs, and gives the roles what they are to have. It
// connects as the role that owns the schema, or that is to. It tells each step that it takes. Run again it changes
// nothing.
func Migrate(ctx context.Context, url string, roles Roles, told func(version int, name string)) error {
	list, grants := embedded()
	if err := migrateTo(ctx, url, list, grants, roles, told); err != nil {
		return fmt.Errorf("migrating the store: %w", err)
	}
	return nil
}

func migrateTo(ctx context.Context, url string, list []migration, grants string, roles Roles,
	told func(int, string)) error {
	config, err := settings(url, false)
	if err != nil {
		return err
	}
	c := config.ConnConfig
	c.RuntimeParams["application_name"] = "precept migrate"
	c.RuntimeParams["lock_timeout"] = "60s"
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var version int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return err
	}
	if version < leastVersion {
		return &RefusedError{[]Refusal{{"server-version", fmt.Sprintf("the server is of version %d", version/10000),
			"use PostgreSQL 15 or later"}}}
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrateLock)); err != nil {
		return fmt.Errorf("waiting for another migration: %w", err)
	}
	if err := apply(ctx, conn, list, told); err != nil {
		return err
	}
	return grant(ctx, conn, grants, roles)
}

// apply takes the steps that the database lacks, each in a transaction.
func apply(ctx context.Context, conn *pgx.Conn, list []migration, told func(int, string)) error {
	err := script(ctx, conn, `CREATE SCHEMA IF NOT EXISTS precept;
		CREATE TABLE IF NOT EXISTS precept.migrations (version int PRIMARY KEY, name text NOT NULL,
		digest text NOT NULL,
		applied timestamptz NOT NULL DEFAULT now())`)
	if err != nil {
		return fmt.Errorf("making the schema: %w", err)
	}
	rows, err := conn.Query(ctx, "SELECT version, digest FROM precept.migrations")
	if err != nil {
		return err
	}
	done := map[int]string{}
	for rows.Next() {
		var v int
		var digest string
		if err := rows.Scan(&v, &digest); err != nil {
			return err
		}
		done[v] = digest
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, m := range list {
		switch digest, ok := done[m.version]; {
		case ok && digest != m.digest:
			return fmt.Errorf(
				"migration %d (%s) was applied in another form than this program has it: the database is of a "+
					"program that was never released, or was changed by hand", m.version, m.name)
		case ok:
			continue
		}
		if err := step(ctx, conn, m); err != nil {
			return fmt.Errorf("migration %d (%s), of which nothing was applied: %w", m.version, m.name, err)
		}
		told(m.version, m.name)
	}
	return nil
}

func step(ctx context.Context, conn *pgx.Conn, m migration) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // does nothing after Commit
	if err := script(ctx, conn, m.text); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO precept.migrations (version, name, digest) VALUES ($1, $2, $3)", m.version,
		m.name,
		m.digest)
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// grant says what the roles may do.
func grant(ctx context.Context, conn *pgx.Conn, text string, roles Roles) error {
	if roles.Service == "" {
		return nil
	}
	for _, r := range []string{roles.Service, roles.Retention} {
		var there bool
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", r).Scan(&there)
		if err != nil {
			return err
		}
		if !there && r != "" {
			return fmt.Errorf("the server has no role %s: CREATE ROLE %s LOGIN, with a password", r,
				pgx.Identifier{r}.Sanitize())
		}
	}
	var kept []string
	for statement := range strings.SplitSeq(text, ";\n") {
		if roles.Retention == "" {
			if strings.Contains(statement, "TO {retention}") {
				continue
			}
			statement = strings.ReplaceAll(statement, ", {retention}", "")
		}
		kept = append(kept, statement)
	}
	named := strings.NewReplacer("{service}", pgx.Identifier{roles.Service}.Sanitize(), "{retention}",
		pgx.Identifier{roles.Retention}.Sanitize())
	if err := script(ctx, conn, "BEGIN;\n"+named.Replace(strings.Join(kept, ";\n"))+";\nCOMMIT"); err != nil {
		return fmt.Errorf("granting: %w", err)
	}
	return nil
}

// script runs statements without parameters.
func script(ctx context.Context, conn *pgx.Conn, text string) error {
	_, err := conn.PgConn().Exec(ctx, text).ReadAll()
	return err
}

// versionOf is the version of the schema of a database.
func versionOf(ctx context.Context, conn *pgx.Conn) (v int, err error) {
	err = conn.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM precept.migrations").Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("asking for the version of the schema: %w", err)
	}
	return v, nil
}
