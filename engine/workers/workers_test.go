package workers

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestIdleGoroutinesEnd holds that nothing is left of a pool that nobody uses.
func TestIdleGoroutinesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which waits for all
		p := New()
		done := make(chan struct{})
		for range 3 {
			p.Go(func() { done <- struct{}{} })
			<-done
			synctest.Wait()
		}
		if n := p.idle.Load(); n != 1 {
			t.Errorf("%d goroutines wait, want the one that was used again", n)
		}
		time.Sleep(patience + 1)
	})
}

// TestGo holds that everything runs, at once if need be, and that no more goroutines
// stay than are kept.
func TestGo(t *testing.T) {
	p := New()
	for range 3 {
		const n = 10 * maxIdle
		var running, done sync.WaitGroup
		running.Add(n)
		for range n {
			done.Add(1)
			p.Go(func() {
				defer done.Done()
				running.Done()
				running.Wait() // for all the others
			})
		}
		done.Wait()
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > maxIdle+10; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left", runtime.NumGoroutine())
		}
	}
}

// BenchmarkStack is what using goroutines again saves a function that needs a stack.
func BenchmarkStack(b *testing.B) {
	for name, run := range map[string]func(func()){"again": New().Go, "new": func(f func()) { go f() }} {
		b.Run(name, func(b *testing.B) {
			done := make(chan struct{})
			for b.Loop() {
				run(func() { deep(200); done <- struct{}{} })
				<-done
			}
		})
	}
}

//go:noinline
func deep(n int) (sum int) {
	var frame [64]int
	frame[n%64] = n
	if n > 0 {
		sum = deep(n - 1)
	}
	return sum + frame[n%64]
}
