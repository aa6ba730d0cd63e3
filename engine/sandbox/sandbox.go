// Package sandbox tries packs of strangers in processes of their own, which are limited
// in memory and time and can be ended whenever that is wanted: unpacking, compiling and
// running the golden cases of a pack can take any of both, and a goroutine cannot be
// ended from outside.
//
// A [Runner] starts such a process, the program itself with the arguments of "precept
// pack compile", hands it the archives and reads its verdict. [Answer] is what runs in
// that process, after [Confine].
//
// What it does not do: it hides nothing from the process but the environment and the
// descriptors of the region, and stores nothing.
package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/decide"
)

// Limits bound the processes. A zero field has the default beside it.
type Limits struct {
	Places int           // processes at once: 2, and fewer than there are cores
	Memory int64         // bytes of memory of one: 1 GiB, as a pack of 10,000 rules takes three quarters of it
	CPU    time.Duration // processor time of one, in whole seconds: 60 s
	Time   time.Duration // of one from beginning to end, and the longest wait for a place: 3 min
}

// The defaults of a process.
const (
	DefaultMemory = 1 << 30
	DefaultCPU    = time.Minute
)

func (l Limits) withDefaults() Limits {
	places := min(2, max(1, runtime.NumCPU()-1))
	return Limits{Places: cmp.Or(max(l.Places, 0), places), Memory: cmp.Or(max(l.Memory, 0), DefaultMemory),
		CPU: cmp.Or(max(l.CPU, 0), DefaultCPU), Time: cmp.Or(max(l.Time, 0), 3*time.Minute)}
}

// ErrLimit says that a pack took more memory or time than a trial may.
var ErrLimit = errors.New("the limits of a trial were passed")

// Runner tries packs. It is safe for concurrent use.
type Runner struct {
	limits  Limits
	places  chan struct{}
	waiting atomic.Int64
	done    [outcomes]atomic.Int64
}

// Outcome is how a trial ended.
type Outcome int

// The outcomes of trials.
const (
	Accepted Outcome = iota
	Refused          // by what is in the pack
	Limited          // memory or time used up
	Stopped          // by who wanted it
	NotTried         // no place, or no process
	outcomes
)

// String is the outcome as a word.
func (o Outcome) String() string {
	return [...]string{"accepted", "refused", "limit", "stopped", "not-tried"}[o]
}

// New returns a runner with limits.
func New(l Limits) *Runner {
	l = l.withDefaults()
	return &Runner{limits: l, places: make(chan struct{}, l.Places)}
}

// Counts are how many trials run and wait now, and how many ended how.
type Counts struct {
	Running, Waiting int64
	Ended            map[Outcome]int64
}

// Counts returns the counts of the moment.
func (r *Runner) Counts() Counts {
	c := Counts{Running: int64(len(r.places)), Waiting: r.waiting.Load(), Ended: map[Outcome]int64{}}
	for o := range outcomes {
		c.Ended[o] = r.done[o].Load()
	}
	return c
}

// Try is a [decide.Prover]. It waits for a place, those who came first before, and no
// longer than a trial takes; and it returns when the process has ended.
func (r *Runner) Try(ctx context.Context, t decide.Trial) error {
	err := r.try(ctx, t)
	outcome := Refused
	switch {
	case err == nil:
		outcome = Accepted
	case ctx.Err() != nil:
		outcome, err = Stopped, fmt.Errorf("trying pack: %w", ctx.Err())
	case errors.Is(err, ErrLimit):
		outcome = Limited
	case errors.Is(err, decide.ErrNotTried):
		outcome = NotTried
	}
	r.done[outcome].Add(1)
	return err
}

func (r *Runner) try(ctx context.Context, t decide.Trial) error {
	r.waiting.Add(1)
	enough := time.NewTimer(r.limits.Time)
	defer enough.Stop()
	select {
	case r.places <- struct{}{}:
		r.waiting.Add(-1)
		defer func() { <-r.places }()
	case <-ctx.Done():
		r.waiting.Add(-1)
		return ctx.Err()
	case <-enough.C:
		r.waiting.Add(-1)
		return fmt.Errorf("trying pack: no place became free in %s: %w", r.limits.Time, decide.ErrNotTried)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.run(ctx, t)
}

// maxOutput bounds what is read of a process.
const maxOutput = 256 << 10

// run starts the process and waits for its end. The kernel ends a process whose parent
// died when the thread ends that started it, so this goroutine keeps its thread.
func (r *Runner) run(ctx context.Context, t decide.Trial) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	within, stop := context.WithTimeout(ctx, r.limits.Time)
	defer stop()
	exe, err := program()
	if err != nil {
		return fmt.Errorf("trying pack: %w (%w)", err, decide.ErrNotTried)
	}
	out, errs := &capped{most: maxOutput, full: stop}, &capped{most: maxOutput}
	cmd := exec.CommandContext(within, exe, r.args(t)...)
	cmd.Args[0] = "precept"
	cmd.Env = []string{"GOMAXPROCS=1", "GOTRACEBACK=none",
		"GOMEMLIMIT=" + strconv.FormatInt(r.limits.Memory/8*7, 10)}
	cmd.Dir = "/"
	cmd.Stdin = io.MultiReader(bytes.NewReader(t.Terminology), bytes.NewReader(t.Archive))
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("trying pack: starting a process for it: %w (%w)", err, decide.ErrNotTried)
	}
	failed := cmd.Wait()
	v, compiled, readErr := readVerdict(out.kept)
	if v != nil && readErr == nil && (failed == nil || cmd.ProcessState.ExitCode() == 1) {
		return v.err()
	}
	return r.ended(within, cmd.ProcessState, string(errs.kept), compiled, errors.Join(failed, readErr))
}

func (r *Runner) args(t decide.Trial) []string {
	args := []string{"pack", "compile", "--memory", strconv.FormatInt(r.limits.Memory, 10),
		"--cpu", r.limits.CPU.String(), "--digest", string(t.Digest), "--library", t.Library}
	if t.Terminology != nil {
		args = append(args, "--terminology-bytes", strconv.Itoa(len(t.Terminology)))
	}
	return args
}

// ended says why a process gave no verdict.
func (r *Runner) ended(within context.Context, state *os.ProcessState, said string, compiled bool, cause error) error {
	doing, kind := "compiling it", decide.ErrPack
	if compiled {
		doing, kind = "running its golden cases", decide.ErrCases
	}
	limit := func(of string) error {
		return fmt.Errorf("trying pack: %s takes more than %s: %w (%w); make it simpler, or split it", doing, of, kind,
			ErrLimit)
	}
	status, _ := state.Sys().(syscall.WaitStatus)
	used := state.UserTime() + state.SystemTime()
	switch {
	case errors.Is(within.Err(), context.DeadlineExceeded):
		return limit(r.limits.Time.String())
	case status.Signaled() && used >= r.limits.CPU-time.Second:
		return limit(r.limits.CPU.String() + " of processor time")
	case outOfMemory.MatchString(said):
		return limit(fmt.Sprintf("%d MiB of memory", r.limits.Memory>>20))
	case strings.Contains(said, "stack overflow") || strings.Contains(said, "stack exceeds"):
		return limit("a stack can hold")
	case status.Signaled():
		return fmt.Errorf("trying pack: the process was ended by %s while %s (%w)", status.Signal(), doing,
			decide.ErrNotTried)
	}
	return fmt.Errorf("trying pack: the process for it failed while %s: %w (%w)", doing, cause, decide.ErrNotTried)
}

// outOfMemory is what the runtime says of it, and the race detector.
var outOfMemory = regexp.MustCompile(`out of memory|cannot allocate memory|failed to allocate`)

// program is this very program, also when another was put in its place since it began.
func program() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// capped keeps the first bytes of what is written, and calls full at the first beyond.
type capped struct {
	kept []byte
	most int
	full func()
}

func (c *capped) Write(b []byte) (int, error) {
	room := c.most - len(c.kept)
	if len(b) > room && c.full != nil {
		c.full()
	}
	c.kept = append(c.kept, b[:min(len(b), room)]...)
	return len(b), nil
}

// readVerdict reads what the process wrote: first that the pack compiles, if it does and
// more is to come, and last the verdict.
func readVerdict(out []byte) (v *verdict, compiled bool, err error) {
	for line := range bytes.Lines(out) {
		var next verdict
		if err := jsonv2.Unmarshal(line, &next, jsonv2.RejectUnknownMembers(true)); err != nil {
			return nil, compiled, fmt.Errorf("reading the verdict: %w", err)
		}
		if next.Code == codeCompiled {
			compiled = true
			continue
		}
		v = &next
	}
	return v, compiled, nil
}
