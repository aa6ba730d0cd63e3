package pg

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/precept-cds/precept/engine/audit"
)

// leastVersion is the oldest server that the store works on, as server_version_num.
var leastVersion = 150000

// A Refusal is one thing that a server or a role lacks, or has too much.
type Refusal struct {
	Name string // stable, for people to look up: "server-version", ...
	What string // what was found
	Mend string // what to do about it
}

// String tells it in one line.
func (r Refusal) String() string { return r.Name + ": " + r.What + " (" + r.Mend + ")" }

// A RefusedError says why a database is not used: everything that was found, at once.
type RefusedError struct{ Refusals []Refusal }

// Error names all refusals.
func (e *RefusedError) Error() string {
	lines := make([]string, len(e.Refusals))
	for i, r := range e.Refusals {
		lines[i] = r.String()
	}
	return "the database is refused: " + strings.Join(lines, "; ")
}

// waits says whether commits wait for the disk, and for synchronous standbys.
func waits(setting string) bool { return setting == "on" || setting == "remote_apply" }

func refuseCommits(setting string) Refusal {
	return Refusal{"synchronous-commit", "synchronous_commit is " + setting +
		": a commit would be answered before it is durable",
		"ALTER ROLE … RESET synchronous_commit, and look at that of database and server; on and remote_apply are right"}
}

// examine connects once and looks at everything that the store relies on.
func examine(ctx context.Context, config *pgx.ConnConfig, o Options) error {
	config = config.Copy()
	config.ValidateConnect = nil // a standby is to be told by its name
	config.RuntimeParams["application_name"] = "precept start"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	e := &examiner{ctx: ctx, conn: conn, readOnly: o.ReadOnly}
	if err := e.server(); err != nil {
		return err
	}
	if len(e.found) == 0 { // the rest would fail for the same reasons
		if err := e.schema(); err != nil {
			return err
		}
	}
	if len(e.found) > 0 {
		return &RefusedError{e.found}
	}
	return nil
}

// examiner looks at a server.
type examiner struct {
	ctx      context.Context
	conn     *pgx.Conn
	readOnly bool
	found    []Refusal
	owned    []string // tables that belong to the role
}

func (e *examiner) refuse(name, mend, what string, args ...any) {
	e.found = append(e.found, Refusal{name, fmt.Sprintf(what, args...), mend})
}

// server looks at how the server works.
func (e *examiner) server() error {
	var version int
	var standby bool
	var fsync, pages, commits, encoding, readOnly string
	err := e.conn.QueryRow(e.ctx, `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
		current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
		current_setting('server_encoding'), current_setting('default_transaction_read_only')`).
		Scan(&version, &standby, &fsync, &pages, &commits, &encoding, &readOnly)
	if err != nil {
		return fmt.Errorf("asking the server for its settings: %w", err)
	}
	if version < leastVersion {
		e.refuse("server-version", "use PostgreSQL 15 or later", "the server is of version %d.%d", version/10000,
			version%100)
	}
	if encoding != "UTF8" {
		e.refuse("encoding", "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", "the database has encoding %s",
			encoding)
	}
	if e.readOnly {
		return nil
	}
	if standby {
		e.refuse("standby", "name the primary in the URL, or all hosts: the primary among them is taken",
			"the server is a standby, which shows commits late and takes none")
	} else if readOnly == "on" {
		e.refuse("read-only", "ALTER DATABASE … RESET default_transaction_read_only; the role's may say so too",
			"default_transaction_read_only is on")
	}
	for _, s := range [][2]string{{"fsync", fsync}, {"full_page_writes", pages}} {
		if s[1] != "on" {
			e.refuse(strings.ReplaceAll(s[0], "_", "-"), "set "+s[0]+" = on in postgresql.conf",
				"%s is %s: a crash of the machine may lose or damage what was committed", s[0], s[1])
		}
	}
	if !waits(commits) {
		e.found = append(e.found, refuseCommits(commits))
	}
	if len(e.found) == 0 {
		e.features()
	}
	return nil
}

// features tries what not every server has that speaks the protocol.
func (e *examiner) features() {
	for _, f := range []struct{ name, what, sql string }{
		{"isolation", "snapshots that stay (REPEATABLE READ)",
			"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ROLLBACK"},
		{"advisory-locks", "advisory locks", "BEGIN; SELECT pg_advisory_xact_lock_shared(7309434908); ROLLBACK"},
		{"notify", "LISTEN and NOTIFY", "LISTEN " + channel + "; UNLISTEN " + channel},
		{"settings", "settings of one transaction", "BEGIN; SELECT set_config('precept.tenants', '', true); ROLLBACK"},
	} {
		if _, err := e.conn.PgConn().Exec(e.ctx, f.sql).ReadAll(); err != nil {
			e.refuse(f.name, "use a PostgreSQL, or a server that is compatible in this", "the server has no %s: %v",
				f.what, err)
			_, _ = e.conn.Exec(e.ctx, "ROLLBACK") // it may be in the failed transaction
		}
	}
}

// How to mend a schema, and a role that may do too much.
const (
	mendSchema = "run precept store migrate with the role that owns the schema"
	mendRole   = "serve with a role of its own: CREATE ROLE … LOGIN; then precept store migrate --service …"
)

// schema looks at what the database has, and at what the role may do.
func (e *examiner) schema() error {
	var there, usable bool
	err := e.conn.QueryRow(e.ctx, `SELECT n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'USAGE'), false)
		FROM (SELECT to_regnamespace('precept')::oid AS oid) n`).Scan(&there, &usable)
	if err != nil {
		return fmt.Errorf("looking for the schema: %w", err)
	}
	if !there {
		e.refuse("schema", mendSchema, "the database has no schema precept")
		return nil
	}
	var role string
	var super, bypass bool
	err = e.conn.QueryRow(e.ctx, `SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user`).
		Scan(&role, &super, &bypass)
	if err != nil {
		return fmt.Errorf("asking for the role: %w", err)
	}
	mendGrants := "run precept store migrate --service " + role + " with the role that owns the schema"
	if !usable {
		e.refuse("privileges", mendGrants, "role %s may not use the schema precept", role)
		return nil
	}
	if (super || bypass) && !e.readOnly {
		e.refuse("role", mendRole,
			"role %s is a superuser or bypasses row-level security, so that nothing keeps tenants apart", role)
	}
	version, err := versionOf(e.ctx, e.conn)
	if err != nil {
		return err
	}
	if version < newestVersion() {
		e.refuse("schema", mendSchema, "the schema is of version %d, this program needs %d", version, newestVersion())
		return nil
	}
	return e.privileges(role, mendGrants)
}

// privileges looks at what the role may do with each table.
func (e *examiner) privileges(role, mend string) error {
	var names []string
	only := map[string]bool{}
	for s := range audit.Spaces {
		names = append(names, s.String())
		only[s.String()] = s.AppendOnly()
	}
	names = append(names, "turns")
	rows, err := e.conn.Query(e.ctx, `SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
		has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
		has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE') OR
		has_table_privilege(c.oid, 'TRUNCATE'), pg_has_role(c.relowner, 'MEMBER')
		FROM pg_class c WHERE c.relnamespace = 'precept'::regnamespace AND c.relname = ANY ($1) ORDER BY c.relname`,
		names)
	if err != nil {
		return fmt.Errorf("asking for privileges: %w", err)
	}
	defer rows.Close()
	found := 0
	for rows.Next() {
		var t table
		if err := rows.Scan(&t.name, &t.guarded, &t.selects, &t.inserts, &t.updates, &t.removes, &t.owned); err != nil {
			return fmt.Errorf("asking for privileges: %w", err)
		}
		found++
		t.appendOnly = only[t.name]
		e.table(t, role, mend)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("asking for privileges: %w", err)
	}
	if len(e.owned) > 0 {
		e.refuse("role", mendRole, "role %s owns %s, so that it may change what is append-only", role,
			strings.Join(e.owned, ", "))
	}
	if found < len(names) {
		e.refuse("schema", "restore the database; no migration brings back what was dropped", "tables are missing")
	}
	return nil
}

// table is what a role may do with a table.
type table struct {
	name                               string
	appendOnly, guarded, owned         bool
	selects, inserts, updates, removes bool
}

func (e *examiner) table(t table, role, mend string) {
	if !t.guarded {
		e.refuse("row-security", "ALTER TABLE precept."+t.name+" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
			"table %s is not guarded", t.name)
	}
	if !t.selects {
		e.refuse("privileges", mend, "role %s may not read %s", role, t.name)
	}
	if e.readOnly {
		return
	}
	if !t.inserts || !t.appendOnly && !t.updates {
		e.refuse("privileges", mend, "role %s may not write to %s", role, t.name)
	}
	if t.owned {
		e.owned = append(e.owned, t.name)
	} else if t.appendOnly && (t.updates || t.removes) {
		e.refuse("append-only",
			"REVOKE UPDATE, DELETE, TRUNCATE ON precept."+t.name+" FROM "+role+", and from its groups",
			"role %s may change or remove what is in %s", role, t.name)
	}
}
