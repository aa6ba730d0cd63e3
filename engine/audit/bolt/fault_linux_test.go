package bolt

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/keyring"
	"golang.org/x/sys/unix"
)

// The tests of this file make system calls of a child process fail, so that the commit that fails is the real one:
// bbolt's, on a real file. The child is this test binary; it supervises itself with a seccomp filter, which hands
// some system calls to another thread to let pass or to refuse.

// TestMain runs the child if asked to.
func TestMain(m *testing.M) {
	if job := os.Getenv("BOLT_TEST_CHILD"); job != "" {
		if err := child(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runChild runs a job in a process of its own and reads what it says.
func runChild(t *testing.T, job any, said any) {
	t.Helper()
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "BOLT_TEST_CHILD="+string(text))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, said); err != nil {
		t.Fatalf("child said %q: %v", out, err)
	}
}

// job is what a child does.
type job struct {
	Dir   string
	Open  bool // only open the store, and say which system calls that made
	Write bool // make a write fail; otherwise a sync
	Meta  bool // that of the meta page; otherwise of the data pages
	Errno syscall.Errno
}

// report is what a child says.
type report struct {
	Calls    []string
	Acked    []audit.RecordID // records whose receipt was returned
	Failed   audit.RecordID   // the record whose commit failed
	Outcome  string           // "store" or "not applied"
	Watched  string           // outcome of a read during the failing sync
	After    map[string]string
	Signaled bool
}

func child(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	var r *report
	var err error
	if j.Open {
		r, err = watchOpen(filepath.Join(j.Dir, "audit.db"))
	} else {
		r, err = meetFault(j)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// call is a system call that waits for what the supervisor says.
type call struct {
	ID   uint64
	PID  uint32
	_    uint32
	Nr   int32
	Arch uint32
	IP   uint64
	Args [6]uint64
}

// verdict is the supervisor's word; see struct seccomp_notif_resp.
type verdict struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

// supervise lets judge decide about all system calls of this process with one of the numbers; an errno of 0 lets a
// call pass. Shared memory maps only are judged if mmap is among them: the supervisor itself needs the others.
func supervise(judge func(c *call) syscall.Errno, numbers ...uint32) error {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	unless := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
	}
	give := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	filter := []unix.SockFilter{load(0)}
	for _, n := range numbers {
		if n == unix.SYS_MMAP {
			filter = append(filter, unless(n, 3), load(16+3*8), unless(unix.MAP_SHARED, 1),
				give(unix.SECCOMP_RET_USER_NOTIF), load(0))
			continue
		}
		filter = append(filter, unless(n, 1), give(unix.SECCOMP_RET_USER_NOTIF))
	}
	filter = append(filter, give(unix.SECCOMP_RET_ALLOW))
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up privileges: %w", err)
	}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC |
		unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	fd, _, e := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return fmt.Errorf("installing the filter: %w", e)
	}
	go func() {
		for {
			var c call
			if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, unix.SECCOMP_IOCTL_NOTIF_RECV,
				uintptr(unsafe.Pointer(&c))); e != 0 {
				continue // the caller was interrupted and asks again
			}
			v := verdict{ID: c.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
			if no := judge(&c); no != 0 {
				v = verdict{ID: c.ID, Error: -int32(no)}
			}
			syscall.Syscall(syscall.SYS_IOCTL, fd, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&v)))
		}
	}()
	return nil
}

// openLog opens the store of a folder, and a log on it.
func openLog(ctx context.Context, dir string) (*Store, *audit.Log, error) {
	s, err := Open(filepath.Join(dir, "audit.db"), Options{})
	if err != nil {
		return nil, nil, err
	}
	l, err := logOn(ctx, s, dir)
	return s, l, err
}

// logOn opens a log on a store, with the region key that lies beside it.
func logOn(ctx context.Context, s *Store, dir string) (*audit.Log, error) {
	kms, err := keyring.OpenFileKMS(filepath.Join(dir, "region.key"))
	if err != nil {
		return nil, err
	}
	ring, err := keyring.New(keyring.Config{Region: "eu", KMS: kms, Lookup: audit.KeyLookup(s), Rand: rand.Reader})
	if err != nil {
		return nil, err
	}
	return audit.Open(ctx, audit.Config{
		Store: s, Ring: ring, Prefix: "audit.example", Region: "eu", Clock: func() time.Time { return moment },
		Rand: rand.Reader,
	})
}

var moment = time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC)

// entry makes an entry; the same number is the same call.
func entry(call int) audit.Entry {
	e := audittest.Entry(moment, "north", "p1")
	e.Idem = fmt.Append(nil, "call ", call)
	return e
}

// outcome says in one word what an error means.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, audit.ErrStore):
		return "store"
	case errors.Is(err, audit.ErrNotApplied):
		return "not applied"
	}
	return err.Error()
}

// meetFault records once, meets the fault while it records a second time, and tries everything afterwards.
func meetFault(j job) (*report, error) {
	ctx := context.Background()
	s, l, err := openLog(ctx, j.Dir)
	if err != nil {
		return nil, err
	}
	other, err := logOn(ctx, s, j.Dir)
	if err != nil {
		return nil, err
	}
	opening := entry(1)
	card := opening.Cards[0]
	first, err := l.Append(ctx, opening)
	if err != nil {
		return nil, err
	}
	r := &report{Acked: []audit.RecordID{first.RecordID}, After: map[string]string{}}
	want := int32(unix.SYS_FDATASYNC)
	if j.Write {
		want = unix.SYS_PWRITE64
	}
	second := entry(2)
	var watched chan string // made when the failing sync of the meta page was begun
	begun := make(chan struct{})
	var met atomic.Bool
	syncs := 0
	err = supervise(func(c *call) syscall.Errno {
		if !met.Load() && c.Nr == want && (syncs == 1) == j.Meta {
			met.Store(true)
			close(begun)
			if !j.Write && j.Meta {
				time.Sleep(100 * time.Millisecond) // the meta page is written: a read has time to see it
			}
			return j.Errno
		}
		if c.Nr == unix.SYS_FDATASYNC {
			syncs++
		}
		return 0
	}, unix.SYS_PWRITE64, unix.SYS_FDATASYNC)
	if err != nil {
		return nil, err
	}
	watched = make(chan string, 1)
	go func() {
		<-begun
		_, err := l.Get(ctx, "north", second.RecordID)
		watched <- outcome(err)
	}()
	_, err = l.Append(ctx, second)
	r.Failed, r.Outcome, r.Watched = second.RecordID, outcome(err), <-watched
	select {
	case <-l.Failed():
		r.Signaled = true
	default:
	}
	note := func(what string, err error) { r.After[what] = outcome(err) }
	third := entry(3)
	_, err = l.Append(ctx, third)
	note("append", err)
	if err == nil {
		r.Acked = append(r.Acked, third.RecordID)
	}
	again := entry(1)
	_, err = l.Append(ctx, again)
	note("repeat", err)
	_, err = l.Get(ctx, "north", first.RecordID)
	note("get", err)
	_, err = l.ByCard(ctx, "north", card)
	note("by card", err)
	_, err = l.Proof(ctx, "north", first.RecordID)
	note("proof", err)
	_, err = l.PutBlob(ctx, []byte("archive"))
	note("blob", err)
	_, err = l.Tenants(ctx)
	note("tenants", err)
	note("view", s.View(ctx, func(audit.View) error { return nil }))
	_, err = other.Append(ctx, entry(4)) // the subject's key is asked for in the store, which may refuse it
	note("append to another log", err)
	return r, errors.Join(l.Close(), other.Close(), s.Close())
}

func TestFailedWriteOrSyncIsNeverAcknowledged(t *testing.T) {
	const dataOK, all = "ok", "store"
	for name, c := range map[string]struct {
		job
		outcome string // of the entry whose commit fails
		after   string // of everything later
		kept    bool   // the record is there after the restart
	}{
		"disk full, data":  {job{Write: true, Errno: syscall.ENOSPC}, "not applied", dataOK, false},
		"quota, data":      {job{Write: true, Errno: syscall.EDQUOT}, "not applied", dataOK, false},
		"disk full, meta":  {job{Write: true, Meta: true, Errno: syscall.ENOSPC}, "not applied", dataOK, false},
		"write, data":      {job{Write: true, Errno: syscall.EIO}, "store", all, false},
		"write, meta":      {job{Write: true, Meta: true, Errno: syscall.EIO}, "store", all, false},
		"sync, data":       {job{Errno: syscall.EIO}, "store", all, false},
		"sync, data, full": {job{Errno: syscall.ENOSPC}, "store", all, false},
		"sync, meta":       {job{Meta: true, Errno: syscall.EIO}, "store", all, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.Dir = t.TempDir()
			if _, err := keyring.CreateFileKMS(filepath.Join(c.Dir, "region.key")); err != nil {
				t.Fatal(err)
			}
			var said report
			runChild(t, c.job, &said)
			if said.Outcome != c.outcome || said.Signaled != (c.after == all) {
				t.Errorf("the append ended in %q, signalled %v", said.Outcome, said.Signaled)
			}
			if said.Watched == "ok" {
				t.Error("a read saw the record before it was durable")
			}
			for what, got := range said.After {
				if got != c.after {
					t.Errorf("%s afterwards: %q, want %q", what, got, c.after)
				}
			}
			s, l, err := openLog(t.Context(), c.Dir) // through the check
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			defer l.Close()
			for _, id := range said.Acked {
				if _, err := l.Get(t.Context(), "north", id); err != nil {
					t.Errorf("acknowledged record: %v", err)
				}
			}
			if _, err := l.Get(t.Context(), "north", said.Failed); (err == nil) != c.kept {
				t.Errorf("the record whose commit failed: %v", err)
			}
			if rc, err := l.Append(t.Context(), entry(2)); err != nil || rc.Repeated != c.kept {
				t.Errorf("the client's retry: %+v, %v", rc, err)
			}
			rep, err := l.Verify(t.Context(), "north", nil, nil)
			if err != nil || len(rep.Findings) > 0 {
				t.Errorf("verification: %v, %v", rep, err)
			}
		})
	}
}

// watchOpen notes the system calls that opening a store makes on its file.
func watchOpen(path string) (*report, error) {
	r := &report{}
	var mu sync.Mutex
	err := supervise(func(c *call) syscall.Errno {
		mu.Lock()
		defer mu.Unlock()
		fd, name := c.Args[0], "fsync"
		switch c.Nr {
		case unix.SYS_FADVISE64:
			name = fmt.Sprint("fadvise ", c.Args[3])
		case unix.SYS_MMAP:
			fd, name = c.Args[4], "mmap"
		}
		if at, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd)); err == nil && strings.HasSuffix(at, path) {
			r.Calls = append(r.Calls, name)
		}
		return 0
	}, unix.SYS_FSYNC, unix.SYS_FADVISE64, unix.SYS_MMAP)
	if err != nil {
		return nil, err
	}
	s, err := Open(path, Options{})
	if err != nil {
		return nil, err
	}
	err = s.Close()
	mu.Lock()
	defer mu.Unlock()
	return &report{Calls: slices.Clone(r.Calls)}, err
}

func TestCachedPagesAreNotTrusted(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "audit.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var said report
	runChild(t, job{Dir: dir, Open: true}, &said)
	want := []string{"fsync", fmt.Sprint("fadvise ", unix.FADV_DONTNEED), "mmap"}
	if !slices.Equal(said.Calls, want) {
		t.Errorf("opening the file calls %q, want %q", said.Calls, want)
	}
}
