package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// TestMain makes the test program the process in which packs are tried, when it is
// called as a Runner calls it. What the archive "begins" with says how it is to behave.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "pack" && os.Args[2] == "compile" {
		os.Exit(answer(os.Args[3:]))
	}
	os.Exit(m.Run())
}

// hostile are archives that stand for code which reaches the limits although all counts
// are low: no bound that is known of forbids that there be such code.
var hostile = map[string]func(){
	"memory": func() {
		for all := [][]byte{}; ; {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
			_ = all
		}
	},
	"time": func() {
		for {
			time.Sleep(time.Hour)
		}
	},
	"cpu": func() {
		for n := 1; n > 0; n ^= 2 {
		}
	},
	"stack": func() { fmt.Println(deep(1)) },
	"crash": func() { panic("a secret") },
	"talk": func() {
		for {
			fmt.Println(strings.Repeat("x", 1<<16))
		}
	},
	"environment": func() {
		open := 0 // of the parent; the runtime has some of its own
		for fd := 3; fd < 1024; fd++ {
			if to, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && strings.HasSuffix(to, ".go") {
				open++
			}
		}
		var file syscall.Rlimit
		_ = syscall.Getrlimit(syscall.RLIMIT_FSIZE, &file)
		group, _ := syscall.Getpgid(0)
		fmt.Printf(`{"code":"pack",`+
			`"message":"%d variables, %d files, file size %d, own group %t, nice %t, secret <%s>"}`+"\n",
			len(os.Environ()), open, file.Cur, group == os.Getpid(), niced(), os.Getenv("PRECEPT_TEST_SECRET"))
		os.Exit(1)
	},
}

// niced says whether all threads are.
func niced() bool {
	tasks, err := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		id, _ := strconv.Atoi(task.Name())
		if n, err := syscall.Getpriority(syscall.PRIO_PROCESS, id); err != nil || n >= 20 {
			return false // the kernel says 20 less the value
		}
	}
	return err == nil
}

func deep(n int) int {
	if n == 0 {
		return 0
	}
	return deep(n+1) + 1
}

func answer(args []string) int {
	var j Job
	memory, cpu := int64(1<<30), time.Hour
	for i := 0; i+1 < len(args); i += 2 {
		switch v := args[i+1]; args[i] {
		case "--memory":
			memory, _ = strconv.ParseInt(v, 10, 64)
		case "--cpu":
			cpu, _ = time.ParseDuration(v)
		case "--terminology-bytes":
			j.TerminologyBytes, _ = strconv.ParseInt(v, 10, 64)
		case "--digest":
			j.Digest = rulepacks.Digest(v)
		case "--library":
			j.Library = v
		}
	}
	if err := Confine(memory, cpu); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	var in bytes.Buffer
	if _, err := in.ReadFrom(os.Stdin); err != nil {
		return 2
	}
	if do, ok := hostile[strings.TrimPrefix(in.String(), "cases: ")]; ok {
		if strings.HasPrefix(in.String(), "cases: ") {
			fmt.Println(`{"code":"compiled"}`)
		}
		do()
	}
	switch err := Answer(context.Background(), j, &in, os.Stdout); {
	case err == nil:
		return 0
	case errors.Is(err, ErrRefused):
		return 1
	}
	return 2
}

func archive(t *testing.T, name string) (*rulepacks.Pack, []byte) {
	t.Helper()
	p, err := rulepacks.ReadEmbedded(name)
	if err != nil {
		t.Fatal(err)
	}
	return p, p.Archive()
}

func TestTry(t *testing.T) {
	r := New(Limits{})
	pack, tar := archive(t, "renal_dosing")
	_, terms := archive(t, "terminology_core")
	damaged := bytes.Replace(tar, []byte("unknown: info"), []byte("unknown: none"), 1)
	for _, tt := range []struct {
		name  string
		trial decide.Trial
		want  error
	}{
		{"compiles", decide.Trial{Archive: tar, Digest: pack.Digest}, nil},
		{"cases hold", decide.Trial{Archive: tar, Digest: pack.Digest, Terminology: terms}, nil},
		{"a terminology", decide.Trial{Archive: terms}, nil},
		{"another digest", decide.Trial{Archive: tar, Digest: rulepacks.Digest(strings.Repeat("0", 64))},
			rulepacks.ErrDigest},
		{"not an archive", decide.Trial{Archive: []byte("hello")}, packfile.ErrMalformed},
		{"does not compile", decide.Trial{Archive: damaged}, decide.ErrPack},
		{"no manifest", decide.Trial{Archive: nil}, packfile.ErrMalformed},
		{"a library that is not there", decide.Trial{Archive: tar, Library: "9.9.9"}, decide.ErrLibrary},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := r.Try(t.Context(), tt.trial)
			if !errors.Is(err, tt.want) {
				t.Errorf("error is %v, want %v", err, tt.want)
			}
			here := decide.Try(t.Context(), tt.trial, nil)
			if (err == nil) != (here == nil) || err != nil && err.Error() != here.Error() {
				t.Errorf("another process says\n%v\nthis one\n%v", err, here)
			}
		})
	}
	if c := r.Counts(); c.Running != 0 || c.Waiting != 0 || c.Ended[Accepted] != 3 || c.Ended[Refused] != 5 {
		t.Errorf("counts are %+v", c)
	}
}

// What takes too much is ended and named, whatever it takes, and whether in compiling or
// in a golden case; the process that asked is as before.
func TestLimits(t *testing.T) {
	r := New(Limits{Memory: 64 << 20, CPU: 2 * time.Second, Time: 20 * time.Second})
	for _, tt := range []struct {
		archive string
		want    string
		is      error
		limit   bool
	}{
		{"memory", "compiling it takes more than 64 MiB of memory", decide.ErrPack, true},
		{"cpu", "compiling it takes more than 2s of processor time", decide.ErrPack, true},
		{"cases: cpu", "running its golden cases takes more than 2s of processor time", decide.ErrCases, true},
		{"stack", "takes more than", decide.ErrPack, true},
		{"crash", "the process for it failed while compiling it", decide.ErrNotTried, false},
		{"talk", "ended by killed", decide.ErrNotTried, false},
	} {
		t.Run(tt.archive, func(t *testing.T) {
			err := r.Try(t.Context(), decide.Trial{Archive: []byte(tt.archive)})
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error is %v, want %q (%v)", err, tt.want, tt.is)
			}
			if errors.Is(err, ErrLimit) != tt.limit {
				t.Errorf("%v is a limit: %t, want %t", err, !tt.limit, tt.limit)
			}
			if strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("the error says what the process said: %v", err)
			}
		})
	}
	short := New(Limits{Time: time.Second})
	if err := short.Try(t.Context(), decide.Trial{Archive: []byte("time")}); !errors.Is(err, ErrLimit) {
		t.Errorf("what sleeps is ended by %v", err)
	}
	if n := children(t); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

// The process has nothing of the region: no variables, no descriptors, no room for
// files.
func TestConfined(t *testing.T) {
	t.Setenv("PRECEPT_TEST_SECRET", "hunter2")
	f, err := os.Open("sandbox.go") // as the region has its store open
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = New(Limits{}).Try(t.Context(), decide.Trial{Archive: []byte("environment")})
	want := fmt.Sprintf(`3 variables, 0 files, file size %d, own group true, nice true, secret <>`, maxOutput)
	if err == nil || err.Error() != want {
		t.Errorf("it says %v, want %s", err, want)
	}
}

// Who goes away ends the process, at once; and the next has its place.
func TestStopped(t *testing.T) {
	r := New(Limits{Places: 1})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Try(ctx, decide.Trial{Archive: []byte("time")}) }()
	until(t, func() bool { return children(t) == 1 })
	waiting, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- r.Try(waiting, decide.Trial{Archive: []byte("time")}) }()
	until(t, func() bool { return r.Counts().Waiting == 1 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who waits and goes away gets %v", err)
	}
	_, tar := archive(t, "renal_dosing")
	next := make(chan error, 1)
	go func() { next <- r.Try(t.Context(), decide.Trial{Archive: tar}) }()
	until(t, func() bool { return r.Counts().Waiting == 1 })
	began := time.Now()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || time.Since(began) > 5*time.Second {
		t.Errorf("stopped after %s: %v", time.Since(began), err)
	}
	if err := <-next; err != nil {
		t.Errorf("the next is not tried: %v", err)
	}
	if n := children(t); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

// With two places a pack that hangs does not hold up another, and who finds none gives
// up after the time of a trial.
func TestPlaces(t *testing.T) {
	r := New(Limits{Places: 2, Time: 3 * time.Second})
	hang := func(ended chan<- error) { ended <- r.Try(t.Context(), decide.Trial{Archive: []byte("time")}) }
	ended := make(chan error, 3)
	go hang(ended)
	until(t, func() bool { return children(t) == 1 })
	_, tar := archive(t, "renal_dosing")
	if err := r.Try(t.Context(), decide.Trial{Archive: tar}); err != nil {
		t.Errorf("beside one that hangs: %v", err)
	}
	for range 2 {
		go hang(ended)
	}
	for range 3 {
		if err := <-ended; !errors.Is(err, ErrLimit) && !errors.Is(err, decide.ErrNotTried) {
			t.Errorf("what hangs is ended by %v", err)
		}
	}
}

// The process ends with the one that started it.
func TestParentDies(t *testing.T) {
	if os.Getenv("PRECEPT_TEST_PARENT") != "" {
		_ = New(Limits{}).Try(t.Context(), decide.Trial{Archive: []byte("time")})
		return
	}
	parent := exec.Command(os.Args[0], "-test.run", "^TestParentDies$")
	parent.Env = append(os.Environ(), "PRECEPT_TEST_PARENT=1")
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	until(t, func() bool {
		list := childrenOf(t, parent.Process.Pid)
		if len(list) == 1 {
			child = list[0]
		}
		return child != 0
	})
	_ = parent.Process.Kill()
	_ = parent.Wait()
	until(t, func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
		return err != nil || strings.Contains(string(status), "State:\tZ")
	})
}

// What kinds of problems there are goes through the process.
func TestKindsOfProblems(t *testing.T) {
	v := newVerdict(errors.Join(&packfile.Problem{Kind: manifest.ErrManifest, What: "a", File: "pack.yaml", Line: 3},
		&packfile.Problem{Kind: packfile.ErrTooLarge, What: "b"}))
	err := v.err()
	if !errors.Is(err, manifest.ErrManifest) || !errors.Is(err, packfile.ErrTooLarge) ||
		!strings.Contains(err.Error(), "pack.yaml:3: a") {
		t.Errorf("the problems come back as %v", err)
	}
}

// FuzzVerdict holds that whatever a process writes is a verdict or a refusal.
func FuzzVerdict(f *testing.F) {
	f.Add([]byte(`{"code":"compiled"}` + "\n" + `{"code":"accepted"}` + "\n"))
	f.Add([]byte(`{"code":"problems","problems":[{"kind":"x","what":"y"},null]}`))
	f.Add([]byte(`{"code":"pack","message":"x"}{}`))
	f.Fuzz(func(t *testing.T, out []byte) {
		v, _, err := readVerdict(out)
		if err != nil && v != nil {
			t.Error("a verdict beside an error")
		}
		if v != nil && v.err() == nil && v.Code != codeAccepted {
			t.Errorf("%+v is accepted", v)
		}
	})
}

func until(t *testing.T, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that")
		}
	}
}

func children(t *testing.T) int { return len(childrenOf(t, os.Getpid())) }

// childrenOf lists the processes whose parent is pid.
func childrenOf(t *testing.T, pid int) (list []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		after := stat[bytes.LastIndexByte(stat, ')')+1:]
		if f := strings.Fields(string(after)); len(f) > 1 && f[1] == strconv.Itoa(pid) && f[0] != "Z" {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			list = append(list, n)
		}
	}
	return list
}
