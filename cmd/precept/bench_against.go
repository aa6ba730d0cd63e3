package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/precept-cds/precept/api/client"
)

const (
	// leastRounds is how many make a median that one disturbance cannot move.
	leastRounds = 5
	// tolerance is how much slower a program may be before that counts.
	tolerance = 0.05
	// shortSlice is short enough for the programs to meet the same neighbours
	// on the machine, and long beside a call.
	shortSlice = 500 * time.Millisecond
	// tooBusy is a spread at which "not slower" would say nothing.
	tooBusy = 0.25
	// makingTime bounds what a program takes to make its region.
	makingTime = 2 * time.Minute
)

// besideCommit measures this program beside that of another commit. The other
// one runs before and after it in every round, so that a machine that becomes
// slower or faster meanwhile does so for both.
func (b *bench) besideCommit(ctx context.Context) error {
	if b.rounds < leastRounds {
		return fmt.Errorf("measuring against %s: --rounds %d is too few, want at least %d", b.against, b.rounds,
			leastRounds)
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	b.talk.line("building the program of %s", b.against)
	old, err := buildCommit(ctx, b.against, b.dir)
	if err != nil {
		return fmt.Errorf("building %s: %w", b.against, err)
	}
	b.now = time.Now()
	var contenders []*contender
	for i, c := range []struct{ name, program string }{
		{b.against, old}, {"this program", exe}, {b.against + " again", old},
	} {
		b.talk.line("making a region: %s", c.name)
		s, err := settle(ctx, c.program, filepath.Join(b.dir, fmt.Sprint("region", i)))
		if err != nil {
			return fmt.Errorf("making a region with the program of %s: %w", c.name, err)
		}
		contenders = append(contenders, &contender{name: c.name, start: s.start, load: s.load})
	}
	if err := b.measureAll(ctx, contenders, shortSlice); err != nil {
		return err
	}
	b.table(contenders)
	return b.judge(contenders[1], contenders[0], contenders[2])
}

// judge says whether a program is slower than another, measured twice.
func (b *bench) judge(now, old, again *contender) error {
	b.out.line("\n%-24s %12s %12s %12s", "", "this / other", "own spread", "allowed")
	slower, busy := false, false
	for _, cost := range []struct {
		name string
		of   func(measurement) float64
	}{{"time per call", measurement.secondsPerCall}, {"CPU per call", measurement.cpuMS}} {
		c := compare(now.runs, old.runs, again.runs, cost.of)
		if c.ratio == 0 || math.IsNaN(c.ratio+c.spread) || math.IsInf(c.ratio+c.spread, 0) {
			return fmt.Errorf("comparing %s: too little was measured; give a longer --time and more --requests",
				cost.name)
		}
		b.out.line("%-24s %12.3f %12.3f %12.3f", cost.name, c.ratio, c.spread, c.allowed())
		slower, busy = slower || c.slower(), busy || c.spread > tooBusy
	}
	switch {
	case slower:
		b.out.line("slower")
		return errSaid
	case busy:
		return fmt.Errorf("comparing with %s: its own runs are more than %.0f %% apart; "+
			"repeat when less runs beside it", old.name, 100*tooBusy)
	}
	b.out.line("not slower")
	return nil
}

// comparison is what one cost of two programs came to.
type comparison struct {
	ratio  float64 // of the new one's cost to the old one's: the median of the rounds
	spread float64 // how far two runs of the old one are apart in a round: the median, as a part of the cost
}

func (c comparison) allowed() float64 { return 1 + tolerance + c.spread }
func (c comparison) slower() bool     { return c.ratio > c.allowed() }

// compare compares each run with the two of the other program in its round.
func compare(now, old, again []measurement, cost func(measurement) float64) comparison {
	var ratios, spreads []float64
	for i := range now {
		a, b := cost(old[i]), cost(again[i])
		ratios = append(ratios, cost(now[i])/math.Sqrt(a*b))
		spreads = append(spreads, max(a, b)/min(a, b)-1)
	}
	return comparison{median(ratios), median(spreads)}
}

// buildCommit builds the program of a commit of the repository in the working
// directory, the way make build does. The repository is as before afterwards.
func buildCommit(ctx context.Context, commit, dir string) (program string, err error) {
	if strings.HasPrefix(commit, "-") {
		return "", errors.New("a commit does not begin with a hyphen")
	}
	hash, err := tool(ctx, "", "git", "rev-parse", "--verify", "--quiet", commit+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("%w; name a commit of the repository in this folder", err)
	}
	tree := filepath.Join(dir, "tree")
	if _, err := tool(ctx, "", "git", "worktree", "add", "--quiet", "--detach", tree, hash); err != nil {
		return "", err
	}
	defer func() {
		_, removed := tool(context.WithoutCancel(ctx), "", "git", "worktree", "remove", "--force", tree)
		err = errors.Join(err, removed)
	}()
	program = filepath.Join(dir, "precept")
	_, err = tool(ctx, tree,
		"go", "build", "-trimpath", "-ldflags", "-X main.build="+hash, "-o", program, "./cmd/precept")
	return program, err
}

// tool runs a command to its end and returns what it printed.
func tool(ctx context.Context, dir string, command ...string) (string, error) {
	cmd := inGroup(ctx, command...)
	cmd.Dir = dir
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s: %s %s", strings.Join(command[:2], " "), exit, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(out.String()), err
}

// callLine is what a demo prints when its region is ready: how to call it.
// Every version of the program prints it, so it is read instead of agreed on.
var callLine = regexp.MustCompile(`precept call (--.*)`)

// settle has a program make the region of its demo in a folder, and leaves it
// there with nobody serving it.
func settle(ctx context.Context, program, dir string) (*site, error) {
	ctx, cancel := context.WithTimeout(ctx, makingTime)
	defer cancel()
	cmd := inGroup(ctx, program, "demo", "--dir", dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s, err := readSite(out)
	(&child{cmd: cmd}).stop()
	if err != nil {
		return nil, fmt.Errorf("reading what its demo says: %w: %s", err, strings.TrimSpace(said.String()))
	}
	s.program, s.config = program, filepath.Join(dir, "precept.yaml")
	return s, nil
}

// readSite reads from a demo until it says that it serves.
func readSite(out io.Reader) (s *site, err error) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := callLine.FindStringSubmatch(lines.Text()); m != nil {
			if s, err = siteOf(strings.Fields(m[1])); err != nil {
				return nil, err
			}
		}
		if strings.HasPrefix(lines.Text(), "Serving at ") && s != nil {
			return s, nil
		}
	}
	return nil, errors.New("it ended before it served")
}

// siteOf reads the arguments of a call.
func siteOf(args []string) (*site, error) {
	c := callCommand()
	if err := c.ParseFlags(args); err != nil {
		return nil, err
	}
	flag := func(name string) string { return c.Flag(name).Value.String() }
	key, err := readSigner(flag("key"))
	if err != nil {
		return nil, err
	}
	ehr, err := client.NewEHR(client.EHRConfig{URL: flag("server"), Tenant: flag("tenant"), Issuer: flag("issuer"),
		KeyID: flag("kid"), Key: key, Algorithm: flag("alg"), Clock: time.Now})
	return &site{tenant: flag("tenant"), service: flag("service"), ehr: ehr}, err
}
