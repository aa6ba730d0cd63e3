package main

import (
	"io"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/precept-cds/precept/fixtures"
)

// BenchmarkServe is a whole call over HTTP, decided, sealed and durable, with
// the load in the same process: for profiles. precept bench measures.
func BenchmarkServe(b *testing.B) {
	d, err := makeDemoRegion(b.Context(), filepath.Join(b.TempDir(), "region"), io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	defer d.stop()
	debug.SetGCPercent(800) // as serve does
	s, err := d.site()
	if err != nil {
		b.Fatal(err)
	}
	s.listen = strings.TrimPrefix(d.public, "http://") // here, in this process
	t, err := s.load(nil)
	if err != nil {
		b.Fatal(err)
	}
	bodies := make([][]byte, b.N)
	for i := range bodies {
		bodies[i] = current(fixtures.Standard(5, i), d.now)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := t.run(b.Context(), bodies, new(atomic.Int64), 8, time.Hour); err != nil {
		b.Fatal(err)
	}
}

// TestFindings decides the fixtures the way the benchmark does before it
// measures: what OPA is compared with is what the fixtures expect.
func TestFindings(t *testing.T) {
	d := newRegion(t)
	patients, err := fixtures.Patients()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range patients {
		got, err := findings(t.Context(), d, current(p.Request, d.now))
		if err != nil {
			t.Fatal(err)
		}
		if want := findingNames(p.Expect.Findings); !slices.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", p.Name, got, want)
		}
	}
}
