// Command precept is the whole of Precept in one program: the service, the
// tools of people who write and release rule packs, and those of people who
// audit what the service did.
//
// Data goes to standard output, talk to standard error. The exit status is 0
// for yes, 1 for no (a check failed, a record differs), 2 for could not, 3 for
// a service whose store is not usable: starting again does not help.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/audit"
)

// build is the version of the program, set when it is built.
var build = "dev"

func main() { os.Exit(run()) }

// run is main with an exit status, so that tests can call it in a process of
// their own.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := root().ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errSaid) {
		said := make(chan struct{})
		go func() {
			defer close(said)
			printError(err)
		}()
		select {
		case <-said:
		case <-time.After(2 * time.Second): // nobody reads standard error: that must not keep the process
		}
	}
	return exitStatus(err)
}

// errNo says that the question was answered, and the answer is no.
var errNo = errors.New("no")

// errSaid is errNo where the command has already said why.
var errSaid = fmt.Errorf("%w", errNo)

// answeredNo is an error that is an answer: it reads as it is, and counts as
// errNo.
type answeredNo struct{ error }

func (e answeredNo) Unwrap() []error { return []error{e.error, errNo} }

// errHands says that starting again does not help before somebody has mended the store or the clock.
var errHands = errors.New("starting again does not help")

// needsHands is an error of a start: it reads as it is, and is errHands if it says that the store is not usable.
type needsHands struct{ error }

func (e needsHands) Unwrap() []error {
	for _, cause := range []error{audit.ErrCorrupt, audit.ErrCutShort, audit.ErrForeign, audit.ErrMark,
		audit.ErrClock} {
		if errors.Is(e.error, cause) {
			return []error{e.error, errHands}
		}
	}
	return []error{e.error}
}

// exitStatus is the one table from errors to exit statuses.
func exitStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNo):
		return 1
	case errors.Is(err, errHands):
		return 3
	default:
		return 2
	}
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "precept",
		Short:         "clinical decision support with signed rules and a record of every answer",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       build,
	}
	c.AddCommand(packCommand(), keysCommand(), signCommand(), applyCommand(), statusCommand(),
		serveCommand(), witnessCommand(), callCommand(), auditCommand(), evidenceCommand(), storeCommand(),
		terminologyCommand(), demoCommand(), benchCommand())
	return c
}

// require makes flags ones that must be given. A flag that the command does not
// have would silently not be required, so that is refused when the program
// starts.
func require(c *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
}
