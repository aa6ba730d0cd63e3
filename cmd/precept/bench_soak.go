package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/signing/statement"
)

// How a soak judges.
const (
	soakConnections = 120
	soakSuspensions = 1000
	slowSuspension  = time.Second
)

// soakRegion throws everything hostile at a region for a time, suspends and resumes a
// rule again and again meanwhile, and then looks whether the region has stood it.
func (b *bench) soakRegion(ctx context.Context) error {
	d, r, err := b.hostile(ctx)
	if err != nil {
		return err
	}
	defer r.stop()
	f, err := startFlood(ctx, d, soakConnections, 0)
	if err != nil {
		return err
	}
	s := &soak{demoRegion: d, bench: b}
	err = s.run(ctx, r.alive, b.soak)
	for line := range strings.Lines(f.end()) {
		b.talk.line("%s", strings.TrimSpace(line))
	}
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	return s.judge(ctx, r)
}

// soak is what a soak has seen.
type soak struct {
	*demoRegion
	*bench
	suspended  []time.Duration
	slow       int
	refused    map[string]int
	calls      int
	unanswered int
	failed     map[string]int
}

// run suspends and resumes until the time is over.
func (s *soak) run(ctx context.Context, alive func() error, long time.Duration) error {
	s.refused, s.failed = map[string]int{}, map[string]int{}
	_, approver, _ := demoPersons(badTenant)
	c, err := s.as(badTenant, approver, "")
	if err != nil {
		return err
	}
	ehr, err := s.ehr(goodTenant)
	if err != nil {
		return err
	}
	every := long / soakSuspensions
	end := time.Now().Add(long)
	for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
		next := time.Now().Add(every)
		if err := s.suspend(ctx, c, i); err != nil {
			return err
		}
		if _, err := ehr.Call(ctx, demoService, s.body(1000, i)); err != nil {
			s.failed["call: "+brief(err)]++
			s.unanswered++
		}
		s.calls++
		if err := alive(); err != nil {
			return err
		}
		if i%(soakSuspensions/20) == 0 {
			s.talk.line("%3.0f %%  %d suspensions", 100*(1-time.Until(end).Seconds()/long.Seconds()), len(s.suspended))
		}
		time.Sleep(time.Until(next))
	}
	return ctx.Err()
}

// suspend takes a rule out of service and puts it back. A region that restarts is
// waited for; that is not the time of the suspension.
func (s *soak) suspend(ctx context.Context, c *client.Client, i int) error {
	_, approver, _ := demoPersons(badTenant)
	now := time.Now().UTC().Truncate(time.Second)
	out := statement.Statement{Predicate: statement.Suspension{Tenant: statement.Tenant(badTenant), Region: demoRegionID,
		Pack: "renal_dosing", Rule: "metformin-contraindicated", Reason: fmt.Sprintf("soak %d", i), SuspendedAt: now}}
	env, err := s.signed(out, approver)
	if err != nil {
		return err
	}
	for {
		began := time.Now()
		_, err = c.Apply(ctx, env.Bytes())
		took := time.Since(began)
		if err == nil {
			s.suspended = append(s.suspended, took)
			if took > slowSuspension {
				s.slow++
			}
			break
		}
		if s.refused[brief(err)]++; ctx.Err() != nil || s.refused[brief(err)] > 100 {
			return fmt.Errorf("suspending: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	back, err := s.signed(statement.Statement{Predicate: statement.Resumption{Tenant: statement.Tenant(badTenant),
		Region: demoRegionID, Lifts: env.Digest(), Reason: "soak", ResumedAt: now}}, approver)
	if err != nil {
		return err
	}
	_, err = c.Apply(ctx, back.Bytes())
	if err != nil {
		s.failed["resumption: "+brief(err)]++ // it adds power: it may have to wait
	}
	return nil
}

// brief is the first words of an error: enough to count by.
func brief(err error) string {
	text := strings.SplitN(err.Error(), ":", 3)
	return strings.Join(text[:min(2, len(text))], ":")
}

// judge ends the region and looks at what is left.
func (s *soak) judge(ctx context.Context, r *hostileRegion) error {
	if err := r.alive(); err != nil {
		return err
	}
	began := time.Now()
	r.stop()
	s.out.line("%d suspensions, the slowest %.0f ms; %d calls of a well-behaved tenant; peak %d MiB; drained in %.1f s",
		len(s.suspended), ms(slices.Max(s.suspended)), s.calls, r.memory.peak.Load()>>20, time.Since(began).Seconds())
	for _, counts := range []map[string]int{s.refused, s.failed} {
		for what, n := range counts {
			s.out.line("%8d %s", n, what)
		}
	}
	if _, err := tool(ctx, "", r.exe, "audit", "verify", "--store", s.path("store", "audit.db")); err != nil {
		return fmt.Errorf("verifying the log after the soak: %w", err)
	}
	s.out.line("log verified")
	if s.slow > 0 || r.memory.peak.Load() > maxResident {
		s.out.line("not contained")
		return errSaid
	}
	s.out.line("contained")
	return nil
}
