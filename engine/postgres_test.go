package engine

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/pg"
	"github.com/precept-cds/precept/engine/audit/pg/pgtest"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/tenant"
)

// moved is a region's store in PostgreSQL with all that a file had.
type moved struct {
	audit.Store
	file audit.Store
}

func (m moved) Close() error { return errors.Join(m.Store.Close(), m.file.Close()) }

// move copies a store into a database.
func move(t *testing.T, file audit.Store, url string) audit.Store {
	t.Helper()
	s := openDatabase(t, url)
	for space := range audit.Spaces {
		for _, tn := range []tenant.ID{"", "north", "south"} {
			var b audit.Batch
			err := file.View(t.Context(), func(v audit.View) error {
				return v.Scan(space, tn, nil, nil, false, func(k, value []byte) (bool, error) {
					b.Put = append(b.Put, audit.Item{Space: space, Tenant: tn, Key: bytes.Clone(k),
						Value: bytes.Clone(value)})
					return true, nil
				})
			})
			decidetest.Must(t, err)
			decidetest.Must(t, s.Commit(t.Context(), &b))
		}
	}
	return moved{s, file}
}

func openDatabase(t *testing.T, url string) *pg.Store {
	t.Helper()
	s, err := pg.Open(t.Context(), url, pg.Options{})
	decidetest.Must(t, err)
	return s
}

// TestNodesShareADatabase has three nodes on one PostgreSQL. One takes statements; one is told of them; one lost its
// connection for that, and asks. Each binds both within a second, and a call of one is repeated by another with the
// recorded bytes.
func TestNodesShareADatabase(t *testing.T) {
	server := pgtest.Start(t)
	database := server.Database(t)
	url := server.URL(database, pgtest.Service)
	a := newRegion(t, func(n *node) {
		n.wrap = func(file audit.Store) audit.Store { return move(t, file, url) }
	})
	own, lost := openDatabase(t, url), openDatabase(t, url)
	for _, s := range []*pg.Store{own, lost} {
		t.Cleanup(func() { decidetest.Must(t, s.Close()) }) // after the nodes on them
	}
	told, asks := a.beside(own, never), a.beside(deaf{lost}, 200*time.Millisecond)
	body := decidetest.Patient(t, "metformin-egfr-27")
	first := a.call("north", body)
	for _, n := range []*node{told, asks} {
		if again := n.call("north", body); !again.Repeated || !bytes.Equal(again.Body, first.Body) ||
			again.RecordID != first.RecordID {
			t.Errorf("another node answers %+v", again)
		}
	}
	for name, n := range map[string]*node{"told": told, "asks": asks} {
		least := time.Hour // of several: the machine may be busy
		for i := range 4 {
			began := time.Now()
			s := a.suspend("north", "renal_dosing", "", fmt.Sprint("wrong limit ", name, i))
			eventually(t, name+": the other node knows of the suspension",
				func() bool { return n.trust("north").Suspended("renal_dosing", "") })
			least = min(least, time.Since(began))
			a.resume("north", s)
			eventually(t, name+": the other node knows of the resumption",
				func() bool { return !n.trust("north").Suspended("renal_dosing", "") })
		}
		if least > time.Second {
			t.Errorf("%s: %s until a statement bound the other node", name, least)
		}
	}
	for _, n := range []*node{a, told, asks} {
		report, err := n.log.Verify(t.Context(), "north", NewLayout(n.log.Reader), nil)
		if err != nil || len(report.Findings) > 0 {
			t.Errorf("verification: %+v, %v", report, err)
		}
	}
}
