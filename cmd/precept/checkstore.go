package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/bolt"
)

// A store is looked at before it is opened, in a process of its own: what is wrong with it may end that process, and
// not the one that serves.

// checkEvery is how long a full check of a store that was closed in order is good for; meanwhile it is also read
// through in the background.
const checkEvery = 7 * 24 * time.Hour

// defaultCheckTime is how long a start waits for the check of a store.
const defaultCheckTime = 2 * time.Minute

func auditCheckStore(f *auditFlags) *cobra.Command {
	var quick bool
	c := &cobra.Command{
		Use:   "check-store FILE",
		Short: "check the structure of a store that no process has open",
		Long: `Check-store reads every page of a store file that something lies on, and says which are not as they
were written. It needs no keys and knows nothing of what records say: precept audit verify --store does, after this
same check. A service does it before it opens its store. Free pages and unused ends of pages are not covered.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			talk, said := stderr(cmd), time.Now()
			r, err := bolt.Check(cmd.Context(), args[0], bolt.CheckOptions{Quick: quick, Progress: func(read, pages int64) {
				if time.Since(said) > 5*time.Second {
					said = time.Now()
					talk.line("read %d of at most %d pages", read, pages)
				}
			}})
			if err != nil {
				return err
			}
			if err := printCheck(f, stdout(cmd), r); err != nil {
				return err
			}
			if len(r.Damage) > 0 {
				return errSaid
			}
			return nil
		},
	}
	c.Flags().BoolVar(&quick, "quick", false, "read only headers, the list of free pages, and where each bucket begins")
	return c
}

func printCheck(f *auditFlags, w *printer, r *bolt.CheckReport) error {
	if f.json {
		return w.json(r)
	}
	for _, n := range r.Notes {
		w.line("note     %s", n)
	}
	for _, d := range r.Damage {
		w.line("damaged  %s", d)
	}
	if len(r.Damage) > 0 {
		w.line("store damaged; put back a copy, verify it with precept audit verify --store, and start with it")
		return nil
	}
	w.line("store whole: %d pages read, transaction %d", r.Read, r.Tx)
	return nil
}

// damageError says which pages of a store are damaged.
type damageError struct {
	path   string
	damage []bolt.Damage
}

func (e *damageError) Error() string {
	more := ""
	if n := len(e.damage) - 1; n > 0 {
		more = fmt.Sprintf(", and %d more (precept audit check-store %s)", n, e.path)
	}
	return fmt.Sprintf("checking store %s: %v: %s%s", e.path, audit.ErrDamaged, e.damage[0], more)
}

func (e *damageError) Unwrap() error { return audit.ErrDamaged }

// errCheckLate says that the check of a store was not done in time.
var errCheckLate = errors.New("the check of the store was not done in time")

// checkStore checks a store file in a process of its own. The error is a [damageError] if it is damaged.
func checkStore(ctx context.Context, path string, quick bool, within time.Duration) (*bolt.CheckReport, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("checking store: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, within)
	defer stop()
	cmd := exec.CommandContext(ctx, self, "audit", "check-store", "--json", fmt.Sprintf("--quick=%v", quick), path)
	cmd.Args[0] = "precept"
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=256MiB", "GOMAXPROCS=1")
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &bounded{to: &out, left: 1 << 20}, &bounded{to: &talk, left: 4 << 10}
	err = cmd.Run()
	status := cmd.ProcessState
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", errCheckLate, ctx.Err())
	case status == nil:
		return nil, fmt.Errorf("checking store: %w", err)
	case status.ExitCode() == exitStatus(errors.ErrUnsupported): // could not
		return nil, fmt.Errorf("checking store: %s", bytes.TrimSpace(talk.Bytes()))
	}
	r := &bolt.CheckReport{}
	if bad := json.Unmarshal(out.Bytes(), r); bad != nil {
		said, _, _ := bytes.Cut(talk.Bytes(), []byte("\n"))
		what := fmt.Sprintf("reading it ended the check: %s: %s", status, said)
		return nil, &damageError{path, []bolt.Damage{{What: what}}}
	}
	if len(r.Damage) > 0 {
		return r, &damageError{path, r.Damage}
	}
	return r, nil
}

// bounded takes no more than so many bytes, and drops the rest.
type bounded struct {
	to   *bytes.Buffer
	left int
}

// Write implements [io.Writer].
func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.to.Write(p[:n])
	return len(p), nil
}

// checked is what is remembered, beside a store, of how it was closed: a store that nothing was written to since, and
// that was checked in full not long ago, needs a quick check only. Whoever can write the file can write the store too.
type checked struct {
	Tx   uint64    `json:"tx"`   // newest transaction
	Full time.Time `json:"full"` // newest full check
}

func checkedFile(path string) string { return path + ".checked" }

// quickEnough says that a quick check is enough for a store.
func quickEnough(path string, now time.Time) (full time.Time, enough bool) {
	var c checked
	text, err := os.ReadFile(checkedFile(path))
	if err != nil || json.Unmarshal(text, &c) != nil {
		return full, false
	}
	tx, err := bolt.NewestTx(path)
	enough = err == nil && tx == c.Tx && now.Sub(c.Full).Abs() < checkEvery
	return c.Full, enough
}

// noteChecked remembers how a store was closed. A store without a note is checked in full.
func noteChecked(path string, full time.Time) error {
	tx, err := bolt.NewestTx(path)
	if err != nil || full.IsZero() {
		return err
	}
	text, err := json.Marshal(checked{tx, full})
	if err != nil {
		return err
	}
	return os.WriteFile(checkedFile(path), text, 0o600)
}
