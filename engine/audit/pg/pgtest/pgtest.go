// Package pgtest starts PostgreSQL for tests: the real server, in a folder of its own, on a unix socket. It is for
// tests only.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/precept-cds/precept/engine/audit/pg"
)

// The roles of every server here. The superuser is "postgres"; nobody needs a password on the socket.
const (
	Owner     = "keeper"    // owns the schema
	Service   = "precept"   // serves
	Retention = "retention" // removes what its time is over for
)

// template is the database that others are copies of.
const template = "precept_template"

// startTime is how long a server may take to start or to stop.
const startTime = 60 * time.Second

// A Server is a PostgreSQL with a migrated database to copy.
type Server struct {
	dir, bin string
	extra    []string
	cred     *syscall.Credential

	mu   sync.Mutex
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended
}

var (
	shared struct {
		once   sync.Once
		server *Server
		err    error
	}
	databases atomic.Int64
)

// Shared is the server of all tests of a package, which calls [Main].
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = begin(strings.Fields(os.Getenv("PGTEST_SETTINGS"))) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Main runs the tests of a package, and ends the shared server after them.
func Main(m *testing.M) {
	code := m.Run()
	if s := shared.server; s != nil {
		s.remove()
	}
	os.Exit(code)
}

// Start starts a server for one test, which may kill it. Settings are like "max_connections=20".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := begin(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

func begin(settings []string) (s *Server, err error) {
	s = &Server{extra: settings}
	if s.bin, err = programs(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp(base(), "pgtest"); err != nil { // a short path: that of a socket is
		return nil, err
	}
	defer func() {
		if err != nil {
			s.remove()
		}
	}()
	if os.Getuid() == 0 { // as whom it refuses to run
		if s.cred, err = postgres(); err != nil {
			return nil, err
		}
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	out, err := s.command("initdb", "-D", s.data(), "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust",
		"--no-sync",
		"--data-checksums").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, s.prepare()
}

// base is where servers live: in memory if there is room, where a sync costs nothing. No test cuts the power.
func base() string {
	const memory = "/dev/shm"
	var s syscall.Statfs_t
	if err := syscall.Statfs(memory, &s); err != nil || int64(s.Bavail)*s.Bsize < 4<<30 {
		return ""
	}
	return memory
}

// programs finds the newest server programs.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is right
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if len(found) > 0 && version(found[0]) >= 15 {
		return filepath.Dir(found[0]), nil
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", errors.New("no PostgreSQL 15 or later is installed: make tools installs it (Debian: postgresql-15)")
}

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

func postgres() (*syscall.Credential, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	return c
}

// start starts the server and waits until it answers.
func (s *Server) start() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "shared_buffers=64MB", "-c",
		"max_connections=200", "-c", "max_wal_size=512MB", "-c", "autovacuum_naptime=10s"}
	for _, e := range s.extra {
		args = append(args, "-c", e)
	}
	cmd := s.command("postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT // it does not outlive the tests
	gone, started := make(chan struct{}), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // whose end would be taken for that of the process
		started <- cmd.Start()
		_ = cmd.Wait() // how it ended does not matter
		close(gone)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.mu.Lock()
	s.cmd, s.gone = cmd, gone
	s.mu.Unlock()
	for end := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), s.URL("postgres", "postgres"))
		if err == nil {
			return conn.Close(context.Background())
		}
		select {
		case <-gone:
			return fmt.Errorf("PostgreSQL ended: %s", s.Log())
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("PostgreSQL does not answer: %w: %s", err, s.Log())
		}
	}
}

// Log is the end of what the server said.
func (s *Server) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log")) // nothing is said by nothing
	return string(text[max(0, len(text)-4000):])
}

// prepare makes roles, and the database to copy.
func (s *Server) prepare() error {
	ctx := context.Background()
	err := s.exec("postgres", "CREATE ROLE "+Owner+" LOGIN", "CREATE ROLE "+Service+" LOGIN",
		"CREATE ROLE "+Retention+" LOGIN",
		"CREATE DATABASE "+template+" OWNER "+Owner)
	if err != nil {
		return err
	}
	roles := pg.Roles{Service: Service, Retention: Retention}
	return pg.Migrate(ctx, s.URL(template, Owner), roles, func(int, string) {})
}

// exec runs statements as superuser.
func (s *Server) exec(database string, statements ...string) error {
	ctx, stop := context.WithTimeout(context.Background(), startTime)
	defer stop()
	conn, err := pgx.Connect(ctx, s.URL(database, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, text := range statements {
		if _, err := conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// Exec runs statements as superuser, who may do anything.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	if err := s.exec(database, statements...); err != nil {
		t.Fatal(err)
	}
}

// Count runs a query for one number as superuser.
func (s *Server) Count(t testing.TB, database, query string) (n int) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), startTime)
	defer stop()
	conn, err := pgx.Connect(ctx, s.URL(database, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// URL leads to a database as a role.
func (s *Server) URL(database, role string) string { return at(s.dir, database, role) }

// URLs leads to the primary among servers.
func URLs(database, role string, servers ...*Server) string {
	var dirs []string
	for _, s := range servers {
		dirs = append(dirs, s.dir)
	}
	return at(strings.Join(dirs, ","), database, role)
}

// Follow starts a synchronous standby of the server, which answers commits only after the standby has them from now on.
func (s *Server) Follow(t testing.TB) *Server {
	t.Helper()
	standby := &Server{bin: s.bin, cred: s.cred, extra: slices.Clone(s.extra)}
	var err error
	if standby.dir, err = os.MkdirTemp(base(), "pgtest"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.remove)
	if s.cred != nil {
		if err := os.Chown(standby.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := s.command("pg_basebackup", "-h", s.dir, "-U", "postgres", "-D", standby.data(), "-R", "-c", "fast",
		"-X",
		"stream", "--no-sync").CombinedOutput()
	if err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	if err := standby.start(); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'", "SELECT pg_reload_conf()")
	return standby
}

// Promote makes a standby a primary of its own.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.Exec(t, "postgres", "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()",
		"SELECT pg_promote()")
}

// Freeze stops all processes of the server, or lets them go on: connections stay, and nothing is answered.
func (s *Server) Freeze(t testing.TB, on bool) {
	t.Helper()
	sig := syscall.SIGCONT
	if on {
		sig = syscall.SIGSTOP
	}
	s.mu.Lock()
	pid := s.cmd.Process.Pid
	s.mu.Unlock()
	for _, p := range append(s.children(pid), pid) {
		if err := syscall.Kill(p, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

func at(dir, database, role string) string {
	return "postgres://" + role + "@/" + database + "?host=" + url.QueryEscape(dir)
}

// Database makes a migrated database and returns its name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("store_%d", databases.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+template+" OWNER "+Owner)
	return name
}

// Empty makes a database without a schema and returns its name.
func (s *Server) Empty(t testing.TB, options string) string {
	t.Helper()
	name := fmt.Sprintf("empty_%d", databases.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" OWNER "+Owner+" "+options)
	return name
}

// Kill ends the server and all its processes at once, as a crash of the machine does to processes.
func (s *Server) Kill() {
	s.mu.Lock()
	cmd, gone := s.cmd, s.gone
	s.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the group of the postmaster, which its children leave
	for _, pid := range s.children(cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-gone
}

// children are the processes that the postmaster has started: each leads a group of its own.
func (s *Server) children(postmaster int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, ok := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 || fields[1] != strconv.Itoa(postmaster) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Restart starts the server again after Kill or Stop.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the server in order, with all connections.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	cmd, gone := s.cmd, s.gone
	s.mu.Unlock()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(startTime):
		t.Fatalf("PostgreSQL does not end: %s", s.Log())
	}
}

func (s *Server) remove() {
	if p := os.Getenv("PGTEST_LOG"); p != "" {
		text, _ := os.ReadFile(filepath.Join(s.dir, "log")) // for a look at a failure
		_ = os.WriteFile(p, text, 0o644)
	}
	s.Kill()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// Standby makes the server a standby from its next start on, or not any more.
func (s *Server) Standby(t testing.TB, on bool) {
	t.Helper()
	signal := filepath.Join(s.data(), "standby.signal")
	if !on {
		if err := os.Remove(signal); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(signal, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Set adds settings that hold from the next start on.
func (s *Server) Set(settings ...string) { s.extra = append(s.extra, settings...) }
