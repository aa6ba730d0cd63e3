package pg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connectTime is how long one attempt to connect may take.
const connectTime = 5 * time.Second

// maxURLFile bounds a file that has a URL.
const maxURLFile = 64 << 10

// IsURL says whether text is the URL of a PostgreSQL database.
func IsURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// ErrPassword says that a URL was given with a password in it, where others may read it.
var ErrPassword = errors.New("the URL has a password in it, which others may read here: put the URL into a file and " +
	"name that, or the password into a password file (PGPASSFILE)")

// ReadURL takes the URL of a database without a password, or the name of a file that has a URL, with or without.
func ReadURL(text string) (string, error) {
	if IsURL(text) {
		if u, err := url.Parse(text); err == nil {
			if _, has := u.User.Password(); has || u.Query().Has("password") {
				return "", ErrPassword
			}
		}
		return text, nil
	}
	f, err := os.Open(text)
	if err != nil {
		return "", fmt.Errorf("reading the URL of the store: %w", err)
	}
	defer f.Close()
	b := make([]byte, maxURLFile)
	n, err := f.Read(b)
	if err != nil {
		return "", fmt.Errorf("reading the URL of the store from %s: %w", text, err)
	}
	line := strings.TrimSpace(string(b[:n]))
	if !IsURL(line) {
		return "", fmt.Errorf("reading the URL of the store: %s does not begin with postgres:// or postgresql://", text)
	}
	return line, nil
}

// errURL hides what is wrong with a URL that may have a password in it.
var errURL = errors.New("the URL is not usable; it is like postgres://user@host:5432/database?sslmode=verify-full")

// settings are those of every connection.
func settings(text string, readOnly bool) (*pgxpool.Config, error) {
	if !IsURL(text) {
		return nil, errURL
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errURL
	}
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, errURL // what pgx says of it may quote it
	}
	if err := secure(u, config.ConnConfig); err != nil {
		return nil, err
	}
	c := config.ConnConfig
	c.ConnectTimeout = connectTime
	dialer := &net.Dialer{Timeout: connectTime, KeepAlive: 10 * time.Second, Control: lost}
	c.DialFunc = dialer.DialContext
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	if readOnly {
		c.ValidateConnect = nil
	}
	for name, value := range map[string]string{
		"search_path": "pg_catalog", "client_encoding": "UTF8", "TimeZone": "UTC", "DateStyle": "ISO",
		"standard_conforming_strings": "on",
		// What waits for a lock waits for another node's commit. One that stays away must not be waited for.
		"statement_timeout": "0", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "5min",
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
		"tcp_user_timeout": "15000",
		// Every statement has one right plan: along the primary key.
		"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
		"enable_material": "off", "enable_memoize": "off", "jit": "off",
	} {
		c.RuntimeParams[name] = value
	}
	if readOnly {
		c.RuntimeParams["default_transaction_read_only"] = "on"
	}
	c.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		if kept, ok := conn.CustomData()[noticesKey].(*notices); ok {
			kept.add(n)
		}
	}
	c.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[noticesKey] = &notices{}
		return nil
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { return durable(ctx, conn, readOnly) }
	return config, nil
}

// durable refuses a connection whose commits do not wait for the disk: the setting may have changed since the start.
func durable(ctx context.Context, conn *pgx.Conn, readOnly bool) error {
	if readOnly {
		return nil
	}
	var commits string
	if err := conn.QueryRow(ctx, "SELECT current_setting('synchronous_commit')").Scan(&commits); err != nil {
		return err
	}
	if !waits(commits) {
		return &RefusedError{[]Refusal{refuseCommits(commits)}}
	}
	return nil
}

// secure sees to it that nobody on the way reads or plays the server.
func secure(u *url.URL, c *pgx.ConnConfig) error {
	mode := u.Query().Get("sslmode")
	if mode == "" {
		mode = os.Getenv("PGSSLMODE")
	}
	if mode == "allow" || mode == "prefer" {
		return fmt.Errorf("sslmode %s falls back to a connection that others can read: say verify-full (or disable, "+
			"if the way to the server is protected otherwise)", mode)
	}
	if mode != "" {
		return nil
	}
	hosts := []string{c.Host}
	for _, f := range c.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	c.Fallbacks = plainOnly(c.Fallbacks)
	for _, h := range hosts {
		if !local(h) {
			return errors.New("a server elsewhere needs sslmode=verify-full in the URL, with sslrootcert if its " +
				"certificate is not from a public authority (or sslmode=disable, if the way to it is protected " +
				"otherwise)")
		}
	}
	c.TLSConfig = nil
	return nil
}

// plainOnly leaves out the second attempt that pgx adds for each host.
func plainOnly(list []*pgconn.FallbackConfig) (kept []*pgconn.FallbackConfig) {
	for _, f := range list {
		if f.TLSConfig == nil {
			kept = append(kept, f)
		}
	}
	return kept
}

// local says whether a host is this machine.
func local(host string) bool {
	if strings.HasPrefix(host, "/") || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// notices are what a server said beside results, since they were cleared.
type notices struct {
	mu   sync.Mutex
	list []string // warnings; guarded by mu
}

const noticesKey = "precept notices"

func noticesOf(c *pgxpool.Conn) *notices { return noticesIn(c.Conn()) }

func noticesIn(c *pgx.Conn) *notices {
	n, _ := c.PgConn().CustomData()[noticesKey].(*notices) // set with every connection
	return n
}

func (n *notices) add(said *pgconn.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if said.SeverityUnlocalized == "WARNING" && len(n.list) < 8 {
		n.list = append(n.list, said.Message)
	}
}

func (n *notices) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = nil
}

// warning is the first of them; "" if there is none.
func (n *notices) warning() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.list) == 0 {
		return ""
	}
	return n.list[0]
}
