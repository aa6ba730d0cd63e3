package audittest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
)

// testLate ends the context of callers while the store commits and reads: they leave, what they brought is stored or is
// not, and a retry of the same call tells which.
func testLate(t *testing.T, open func(*testing.T, string) audit.Store) {
	whole := open(t, "late")
	closing(t, whole)
	s := NewStalling(whole)
	defer s.Resume()
	clock, node := Region(t)
	l := node(s)
	first := Entry(clock.Time(), "north", "p1")
	if _, err := l.Append(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	var late []audit.Entry
	for i := range 5 {
		s.Stall()
		e := Entry(clock.Time(), "north", fmt.Sprint("p", i%2))
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := l.Append(ctx, e)
		if !errors.Is(err, audit.ErrLate) {
			t.Errorf("append: %v, want ErrLate", err)
		}
		if _, err := l.Get(ctx, "north", first.RecordID); !errors.Is(err, audit.ErrLate) {
			t.Errorf("get: %v, want ErrLate", err)
		}
		stop()
		late = append(late, e)
		s.Resume()
	}
	for i := range late {
		e := Entry(clock.Time(), "north", late[i].Patient.ID)
		e.Idem = late[i].Idem
		rc, err := l.Append(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Get(t.Context(), "north", late[i].RecordID)
		if rc.Repeated != (err == nil) || rc.Repeated && rc.RecordID != late[i].RecordID {
			t.Errorf("entry %d: the retry is repeated: %v, the first one: %v", i, rc.Repeated, err)
		}
	}
	verifyAll(t, l)
}

// testFull lets the space and the quota of a tenant end: surely nothing is stored, what removes power is, and both pass.
func testFull(t *testing.T, open func(*testing.T, string) audit.Store) {
	whole := open(t, "full")
	closing(t, whole)
	const space = 1 << 30
	s := NewMetered(whole, audit.Room{Free: space, Total: space})
	clock, node := Region(t)
	l := node(s)
	put := func(change func(*audit.Entry)) error {
		e := Entry(clock.Time(), "north", "p1")
		e.Kind = audit.Event // of no release
		change(&e)
		_, err := l.Append(t.Context(), e)
		return err
	}
	plain, removes := func(*audit.Entry) {}, func(e *audit.Entry) { e.Removes = true }
	held := func(e *audit.Entry) { e.Quota = audit.Quota{RecordsPerDay: 2} }
	for i, step := range []struct {
		free   int64
		change func(*audit.Entry)
		want   error
	}{
		{space, plain, nil}, {1 << 20, plain, audit.ErrFull}, {30 << 20, removes, nil}, {1 << 20, removes, audit.ErrFull},
		{space, plain, nil}, {space, held, audit.ErrQuota}, {space, plain, nil},
		{space, func(e *audit.Entry) { held(e); removes(e) }, nil},
	} {
		s.Set(step.free)
		if err := put(step.change); !errors.Is(err, step.want) || err != nil && !errors.Is(err, audit.ErrNotApplied) {
			t.Errorf("step %d: %v, want %v", i, err, step.want)
		}
	}
	if err := l.Err(); err != nil {
		t.Errorf("the log ended: %v", err)
	}
	verifyAll(t, l)
}

func verifyAll(t *testing.T, l *audit.Log) {
	t.Helper()
	rep, err := l.Verify(t.Context(), "north", nil, nil)
	if err != nil || len(rep.Findings) > 0 {
		t.Errorf("verification: %+v, %v", rep, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
