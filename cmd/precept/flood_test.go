package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestFloodIsContained floods a region for some seconds: a well-behaved tenant is
// answered and a rule suspended meanwhile. The soak does the same for longer, with the
// region in a process of its own.
func TestFloodIsContained(t *testing.T) {
	b := &bench{now: time.Now(), out: &printer{w: t.Output()}, talk: &printer{w: t.Output()}}
	made, err := makeHostile(t.Context(), filepath.Join(t.TempDir(), "region"), neighbourPlaces,
		"allocates", "card", "facts", "loops") // what runs on would have the process restarted
	if err != nil {
		t.Fatal(err)
	}
	d, err := openDemo(made.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.listen([]string{d.public[len("http://"):], d.private[len("http://"):]}); err != nil {
		t.Fatal(err)
	}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	}()
	flooding, stop := context.WithTimeout(t.Context(), 8*time.Second)
	defer stop()
	f := &flood{demoRegion: d, connections: 40, did: map[string]int{}}
	var all sync.WaitGroup
	all.Go(func() {
		if err := f.run(flooding); err != nil {
			t.Error(err)
		}
	})
	defer all.Wait()
	s := &soak{demoRegion: d, bench: b}
	if err := s.run(t.Context(), func() error { return nil }, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if len(s.suspended) == 0 {
		t.Errorf("no suspensions: %v", s.refused)
	}
	if s.unanswered > s.calls/2 {
		t.Errorf("%d of %d calls failed: %v", s.unanswered, s.calls, s.failed)
	}
}

// TestResident holds that the memory of a process and its children is seen.
func TestResident(t *testing.T) {
	if n := resident(os.Getpid()); n < 1<<20 {
		t.Errorf("%d bytes", n)
	}
	if n := resident(1 << 30); n != 0 {
		t.Errorf("%d bytes of a process that is not there", n)
	}
}
