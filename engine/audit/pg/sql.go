package pg

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// channel is where growth of release logs is told; the payload is the tenant.
const channel = "precept_releases"

// Statements of a commit. What a transaction may do beside waiting for its turn hangs on a setting that only the check
// of expectations gives it: a conflict is no error, which would fill the server's log, but a transaction that does
// nothing.
const (
	enterSQL  = `SELECT precept.enter($1, $2, $3, $4)`
	applySQL  = `SELECT set_config('precept.apply', 'yes', true), NULL::text[]`
	applies   = ` (SELECT current_setting('precept.apply', true)) = 'yes'`
	notifySQL = `SELECT pg_notify('` + channel + `', t) FROM unnest($1::text[]) t WHERE` + applies
	fenceSQL  = `INSERT INTO precept.writers AS w (id, epoch) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET epoch = greatest(w.epoch, excluded.epoch) + 1, seen = now() RETURNING w.epoch`
	scopeSQL = `SELECT set_config('precept.tenants', $1, true)`
)

// checkSQL compares expectations in some spaces, each with three parameters: tenants, keys, values (NULL: absent).
func checkSQL(spaces []audit.Space) string {
	var b strings.Builder
	b.WriteString("WITH bad AS (")
	for i, s := range spaces {
		if i > 0 {
			b.WriteString(" UNION ALL ")
		}
		fmt.Fprintf(&b, "SELECT u.t FROM unnest($%d::text[], $%d::bytea[], $%d::bytea[]) u(t, k, v) "+
			"LEFT JOIN LATERAL (%s LIMIT 1) s ON true WHERE s.value IS DISTINCT FROM u.v", 3*i+1, 3*i+2, 3*i+3,
			oneSQL(s))
	}
	b.WriteString(
		") SELECT set_config('precept.apply', CASE WHEN EXISTS (SELECT FROM bad) THEN '' ELSE 'yes' END, true), " +
			"ARRAY(SELECT DISTINCT t FROM bad)")
	return b.String()
}

// putSQL stores tenants, keys and values in a space. In one that is append-only a key that is there is an error.
func putSQL(s audit.Space) string {
	text := fmt.Sprintf("INSERT INTO precept.%s (tenant, key, value) SELECT t, k, v FROM "+
		"unnest($1::text[], $2::bytea[], $3::bytea[]) u(t, k, v) WHERE"+applies, s)
	if s.AppendOnly() {
		return text
	}
	return text + " ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value"
}

func removeSQL(s audit.Space) string {
	return fmt.Sprintf("DELETE FROM precept.%s s USING unnest($1::text[], $2::bytea[]) u(t, k) "+
		"WHERE s.tenant = u.t AND s.key = u.k AND"+applies, s)
}

// oneSQL reads the value of u's key. With a LIMIT it cannot be turned about: one look along the primary key for each u,
// however small the server thinks that a table is.
func oneSQL(s audit.Space) string {
	return fmt.Sprintf("SELECT s.value FROM precept.%s s WHERE s.tenant = u.t AND s.key = u.k", s)
}

// manySQL reads the values of tenants and keys that lie in one partition by time. The partition is named by literals,
// so that the others need not even be looked at.
func manySQL(s audit.Space, m month) string {
	one := oneSQL(s)
	if byMonth(s) && m != noMonth {
		one += fmt.Sprintf(` AND s.key >= '\x%s' AND s.key < '\x%s'`, hex.EncodeToString(m.start(s)),
			hex.EncodeToString(m.next().start(s)))
	}
	return "SELECT u.n, s.value FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY u(t, k, n) " +
		"CROSS JOIN LATERAL (" + one + " LIMIT 1) s"
}

// scanSQL reads a page of the keys of a tenant, from $2 on and below $4 if there is an upper bound.
func scanSQL(s audit.Space, bounded, reverse bool) string {
	text := fmt.Sprintf("SELECT key, value FROM precept.%s WHERE tenant = $1 AND key >= $2", s)
	if bounded {
		text += " AND key < $4"
	}
	text += " ORDER BY key"
	if reverse {
		text += " DESC"
	}
	return text + " LIMIT $3"
}

// scope is the setting that lets a transaction see and change the rows of tenants, and of the region.
func scope(tenants []tenant.ID) string {
	n := 0
	for _, t := range tenants {
		n += 1 + len(t)
	}
	b := append(make([]byte, 0, n+1), '\n')
	for i, t := range tenants {
		if i > 0 {
			b = append(b, '\n')
		}
		b = append(b, t...)
	}
	return string(b)
}

// A month has partitions of its own in some spaces: 12 * year + month - 1.
type month int

// noMonth is that of keys which lie in partitions for all time.
const noMonth month = 0

const (
	firstMonth month = 2000 * 12
	endOfTime  month = 2200 * 12
)

// byMonth says whether a space is partitioned by time.
func byMonth(s audit.Space) bool {
	return s == audit.Leaves || s == audit.Bodies || s == audit.Records || s == audit.Anchors
}

// monthOf is the month of a key. Keys that name no month have none.
func monthOf(s audit.Space, key []byte) month {
	switch {
	case s == audit.Records && len(key) >= 6:
		var ms [8]byte
		copy(ms[2:], key[:6])
		t := time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC()
		return month(t.Year()*12 + int(t.Month()) - 1).known()
	case s == audit.Leaves, s == audit.Bodies, s == audit.Anchors:
		rest, ok := bytes.CutPrefix(key, []byte("audit/"))
		if !ok || len(rest) < 7 || rest[4] != '-' {
			return noMonth
		}
		y, err1 := strconv.ParseUint(string(rest[:4]), 10, 16)
		m, err2 := strconv.ParseUint(string(rest[5:7]), 10, 8)
		if err1 != nil || err2 != nil || m < 1 || m > 12 {
			return noMonth
		}
		return month(y*12 + m - 1).known()
	}
	return noMonth
}

func (m month) known() month {
	if m < firstMonth || m >= endOfTime {
		return noMonth
	}
	return m
}

func (m month) next() month { return m + 1 }

// time is when the month begins.
func (m month) time() time.Time {
	return time.Date(int(m)/12, time.Month(m%12)+1, 1, 0, 0, 0, 0, time.UTC)
}

// start is where the month begins in the keys of a space.
func (m month) start(s audit.Space) []byte {
	if s != audit.Records {
		return m.time().AppendFormat([]byte("audit/"), "2006-01")
	}
	return binary.BigEndian.AppendUint64(nil, uint64(m.time().UnixMilli()))[2:]
}
