package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
)

// proving has a region's packs tried by a function that can be changed.
func proving(p *atomic.Pointer[decide.Prover]) func(*node) {
	return func(n *node) {
		n.prove = func(ctx context.Context, t decide.Trial) error {
			if f := p.Load(); f != nil {
				return (*f)(ctx, t)
			}
			return decide.Try(ctx, t, nil)
		}
	}
}

// uploadsOnRecord lists what the records say of uploads, oldest first.
func (n *node) uploadsOnRecord(id tenant.ID) (list []string) {
	n.Helper()
	page, err := n.log.List(n.Context(), id, audit.Filter{Limit: 20})
	decidetest.Must(n, err)
	for i := len(page.Records) - 1; i >= 0; i-- {
		r, err := n.log.Get(n.Context(), id, page.Records[i].Leaf.RecordID)
		decidetest.Must(n, err)
		var note struct {
			Person string `json:"person"`
			What   access `json:"what"`
		}
		if jsonv2.Unmarshal(r.Body, &note) == nil && note.What.Verb == "put pack" {
			w := note.What
			list = append(list, fmt.Sprintf("%s %s %s %.8s %s", r.Leaf.Kind, note.Person, w.Verb, w.Digest, w.Code))
		}
	}
	return list
}

// Who hands in an archive is on record before anything looks into it, and what came of it
// after that; also if the caller went away meanwhile.
func TestAttemptsAreRecordedFirst(t *testing.T) {
	var p atomic.Pointer[decide.Prover]
	n := newNode(t, proving(&p))
	pack := goodUpdate(t)
	var before []string
	prover := decide.Prover(func(ctx context.Context, tr decide.Trial) error {
		before = n.uploadsOnRecord("north")
		n.clock.advance(time.Second)
		return decide.Try(ctx, tr, nil)
	})
	p.Store(&prover)
	digest := fmt.Sprintf("%.8s", pack.Digest)
	n.put("north", pack)
	attempt := "access olga@north put pack " + digest + " "
	if fmt.Sprint(before) != fmt.Sprint([]string{attempt}) {
		t.Errorf("before the archive is looked at, the records say %q", before)
	}
	stored := "event olga@north put pack " + digest + " stored"
	if after := n.uploadsOnRecord("north"); len(after) != 2 || after[1] != stored {
		t.Errorf("then they say %q", after)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n.clock.advance(time.Second)
	leaves := decide.Prover(func(ctx context.Context, _ decide.Trial) error {
		n.clock.advance(time.Second)
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	p.Store(&leaves)
	decidetest.WantError(t, n.PutPack(ctx, person("north", "olga"), pack.Digest, pack.Archive()), context.Canceled)
	after := n.uploadsOnRecord("north")
	if len(after) != 4 || after[2] != attempt || !strings.HasSuffix(after[3], "refused") {
		t.Errorf("when the caller is gone, they say %q", after)
	}
}

// A pack that the prover refuses is not compiled here: not when it is uploaded, not when
// it is activated, and not when a node starts that has it in its log, as after an upgrade.
// Then it is named as not runnable, and the tenant's other packs run.
func TestNothingIsCompiledBeforeItWasProven(t *testing.T) {
	var p atomic.Pointer[decide.Prover]
	n := newRegion(t, proving(&p))
	tried := 0
	pack := goodUpdate(t)
	refuse := func(err error) {
		prover := decide.Prover(func(ctx context.Context, tr decide.Trial) error {
			if tr.Digest != pack.Digest {
				return decide.Try(ctx, tr, nil)
			}
			tried++
			return err
		})
		p.Store(&prover)
	}
	n.release("north", pack)
	refuse(fmt.Errorf("trying pack: too slow: %w", decide.ErrCases))
	_, err := n.tryActivate("north", pack)
	decidetest.WantError(t, err, ErrStatement)
	refuse(decide.ErrNotTried)
	n.restart() // what was found out is forgotten
	_, err = n.tryActivate("north", pack)
	decidetest.WantError(t, err, decide.ErrNotTried)
	p.Store(nil)
	n.activate("north", pack)
	refuse(fmt.Errorf("trying pack: compiling it takes too long: %w", decide.ErrPack))
	n.restart()
	why, broken := n.Unready()["north"], (*decide.NotRunnable)(nil)
	if !errors.As(why, &broken) || broken.Pack != pack.Manifest.Name || broken.Why != decision.WhyCode {
		t.Errorf("after the restart north is unready because of %v", why)
	}
	refuse(decide.ErrNotTried)
	n.restart() // a machine that has no room for the process must not keep the region from starting
	if why := n.Unready()["north"]; !errors.Is(why, decide.ErrNotTried) {
		t.Errorf("when packs cannot be tried north is unready because of %v", why)
	}
	refuse(fmt.Errorf("trying pack: compiling it takes too long: %w", decide.ErrPack))
	n.restart()
	was := tried
	start := time.Now()
	n.suspend("north", "nsaid_anticoagulant", "", "for a test")
	if tried != was || time.Since(start) > time.Second {
		t.Errorf("a suspension has the pack tried %d times, and takes %s", tried-was, time.Since(start))
	}
	if a := n.call("north", decidetest.Patient(t, "metformin-egfr-27")); len(a.Body) == 0 {
		t.Error("no answer beside a pack that cannot be run")
	}
}

// One statement of a tenant is checked after the other, and nobody waits longer than
// maxTurn.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := make(turn, 1)
		if err := turn.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := turn.take(t.Context()); !errors.Is(err, ErrTurn) || time.Since(began) != maxTurn {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := turn.take(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("who is gone waits: %v", err)
		}
		time.AfterFunc(time.Second, turn.leave)
		if err := turn.take(t.Context()); err != nil {
			t.Errorf("the next: %v", err)
		}
	})
}
