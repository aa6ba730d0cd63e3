package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
)

// with gives an entry a token that is good for five minutes.
func (r *region) with(e audit.Entry, id, call string, enforce bool) audit.Entry {
	e.Token = &audit.Token{Client: "ehr", ID: id, Call: []byte(call), Expires: r.clock.Time().Add(5 * time.Minute),
		Enforce: enforce}
	return e
}

func records(t *testing.T, l *audit.Log) int64 {
	t.Helper()
	report, err := l.Verify(t.Context(), "north", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) > 0 {
		t.Fatalf("%v", report.Findings)
	}
	return report.Logs[0].Leaves
}

// TestTokens uses one token for one call, for the same call again, and for another
// one, as it is enforced and as it is not; a restart forgets nothing, and time does.
func TestTokens(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	use := func(id, call string, enforce bool) (audit.TokenUse, error) {
		rec, err := l.Append(t.Context(), r.with(r.entry("north", "p1"), id, call, enforce))
		return rec.Token, err
	}
	want := func(id, call string, enforce bool, want audit.TokenUse, fails error) {
		t.Helper()
		before := records(t, l)
		got, err := use(id, call, enforce)
		if !errors.Is(err, fails) || err == nil && got != want {
			t.Errorf("%s for %s: %v, %v; want %v, %v", id, call, got, err, want, fails)
		}
		if after := records(t, l); fails != nil && after != before {
			t.Errorf("%s for %s: refused, and recorded", id, call)
		}
		looked, err := l.UseToken(t.Context(), "north", *r.with(audit.Entry{}, id, call, enforce).Token, false)
		if fails == nil && (err != nil || looked == audit.TokenFirst) {
			t.Errorf("%s for %s, looked at: %v, %v", id, call, looked, err)
		}
	}
	if rec := appendOK(t, l, r.entry("north", "p1")); rec.Token != audit.TokenNone {
		t.Errorf("without a token: %v", rec.Token)
	}
	want("a", "one", true, audit.TokenFirst, nil)
	want("a", "one", true, audit.TokenAgain, nil)
	want("a", "two", true, 0, audit.ErrTokenUsed)
	want("a", "two", false, audit.TokenReused, nil)
	want("b", "two", true, audit.TokenFirst, nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = r.open(t)
	want("a", "one", true, audit.TokenAgain, nil)
	want("b", "one", true, 0, audit.ErrTokenUsed)
	other := r.with(r.entry("south", "p1"), "a", "two", true)
	if rec := appendOK(t, l, other); rec.Token != audit.TokenFirst {
		t.Errorf("another tenant's token: %v", rec.Token)
	}
	client := r.with(r.entry("north", "p1"), "a", "two", true)
	client.Token.Client = "another"
	if rec := appendOK(t, l, client); rec.Token != audit.TokenFirst {
		t.Errorf("another client's token: %v", rec.Token)
	}
	r.clock.Add(5*time.Minute + time.Second)
	want("a", "two", true, audit.TokenFirst, nil)

	// A call that adds no record.
	token := *r.with(audit.Entry{}, "c", "one", true).Token
	if got, err := l.UseToken(t.Context(), "north", token, false); got != audit.TokenFirst || err != nil {
		t.Errorf("looked at: %v, %v", got, err)
	}
	for _, want := range []audit.TokenUse{audit.TokenFirst, audit.TokenAgain} {
		if got, err := l.UseToken(t.Context(), "north", token, true); got != want || err != nil {
			t.Errorf("taken: %v, %v; want %v", got, err, want)
		}
	}
	want("c", "two", true, 0, audit.ErrTokenUsed)
}

// TestTokenOnce has many callers, at two nodes, use one token for a call each: it is
// good for one of them.
func TestTokenOnce(t *testing.T) {
	r := newRegion(t)
	r.mark = ""
	nodes := []*audit.Log{r.open(t), r.open(t)}
	appendOK(t, nodes[0], r.entry("north", "p1"))
	for round := range 5 {
		var taken atomic.Int64
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				id, call := fmt.Sprint(round), fmt.Sprint(i)
				var err error
				if i%4 == 0 {
					_, err = nodes[i%2].UseToken(t.Context(), "north", *r.with(audit.Entry{}, id, call, true).Token, true)
				} else {
					_, err = nodes[i%2].Append(t.Context(), r.with(r.entry("north", "p1"), id, call, true))
				}
				switch {
				case err == nil:
					taken.Add(1)
				case !errors.Is(err, audit.ErrTokenUsed):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := taken.Load(); n != 1 {
			t.Errorf("round %d: the token was good for %d calls", round, n)
		}
	}
}

// TestTokensBounded fills what is remembered of a client. Who enforces is refused, who
// only observes is not, and the store does not grow.
func TestTokensBounded(t *testing.T) {
	r := newRegion(t)
	c := r.config(t)
	c.Tokens = audit.LeastTokens
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	full := 0
	for i := range 8000 {
		token := *r.with(audit.Entry{}, fmt.Sprint("token", i), "call", i%2 == 0).Token
		use, err := l.UseToken(t.Context(), "north", token, true)
		switch {
		case errors.Is(err, audit.ErrTokensFull) && i%2 == 0:
			full++
		case err != nil || i < 700 && use != audit.TokenFirst:
			t.Fatalf("token %d: %v, %v", i, use, err)
		}
	}
	if full < 1000 {
		t.Errorf("only %d tokens were refused", full)
	}
	stored := func() (keys, size int) {
		err := r.store.View(t.Context(), func(v audit.View) error {
			return v.Scan(audit.Tokens, "north", nil, nil, false, func(key, value []byte) (bool, error) {
				if bytes.Contains(value, []byte("token")) || bytes.Contains(key, []byte("ehr")) {
					t.Error("the token or its client is stored")
				}
				keys, size = keys+1, size+len(value)
				return true, nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return keys, size
	}
	if keys, size := stored(); keys > 256 || size > 256*16*32 {
		t.Errorf("%d slots of %d bytes", keys, size)
	}
	r.clock.Add(10 * time.Minute)
	if _, err := l.UseToken(t.Context(), "north", *r.with(audit.Entry{}, "late", "call", true).Token, true); err != nil {
		t.Errorf("when all have expired: %v", err)
	}
}

// TestTokenWithItsRecord breaks commits: a token is used if and only if the record of
// its call is there.
func TestTokenWithItsRecord(t *testing.T) {
	for fault, want := range map[audittest.Fault]audit.TokenUse{
		audittest.Lost: audit.TokenFirst, audittest.Refused: audit.TokenFirst, audittest.Kept: audit.TokenAgain} {
		t.Run(fault.String(), func(t *testing.T) {
			r := newRegion(t)
			r.mark = ""
			memory := r.store
			faulty := audittest.NewFaulty(memory)
			r.store = faulty
			l := r.open(t)
			appendOK(t, l, r.entry("north", "p1"))
			faulty.Break(0, fault)
			e := r.with(r.entry("north", "p1"), "a", "one", true)
			if _, err := l.Append(t.Context(), e); err == nil {
				t.Fatal("nothing was broken")
			}
			_ = l.Close() // the store is broken
			r.store = memory
			l = r.open(t)
			recorded := records(t, l) == 2
			use, err := l.UseToken(t.Context(), "north", *e.Token, false)
			if err != nil || use != want || recorded != (use == audit.TokenAgain) {
				t.Errorf("%v, %v, recorded %v; want %v", use, err, recorded, want)
			}
		})
	}
}

// TestTokenSlotSpoiled has somebody write nonsense where tokens are remembered.
func TestTokenSlotSpoiled(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	e := r.with(r.entry("north", "p1"), "a", "one", true)
	appendOK(t, l, e)
	var key []byte
	_ = r.store.View(t.Context(), func(v audit.View) error {
		return v.Scan(audit.Tokens, "north", nil, nil, false, func(k, _ []byte) (bool, error) {
			key = bytes.Clone(k)
			return true, nil
		})
	})
	for _, bad := range []string{"x", string(make([]byte, 33)), string(bytes.Repeat([]byte{0xff}, 31)),
		string(bytes.Repeat([]byte{0xff}, 64))} {
		r.memory().Edit(audit.Tokens, "north", key, func([]byte) []byte { return []byte(bad) })
		if _, err := l.Append(t.Context(), r.with(r.entry("north", "p1"), "a", "one", true)); err != nil {
			t.Errorf("slot of %d bytes: %v", len(bad), err)
		}
	}
}
