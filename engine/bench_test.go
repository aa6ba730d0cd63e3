package engine

import (
	"sync/atomic"
	"testing"

	"github.com/precept-cds/precept/fixtures"
)

// BenchmarkCall is a whole call but for HTTP and the token: decided, sealed,
// durable. The bodies are all different, as repeats cost less.
func BenchmarkCall(b *testing.B) {
	n := newRegion(b)
	bodies := make([][]byte, 512)
	for i := range bodies {
		bodies[i] = fixtures.Standard(3, i)
	}
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(next.Add(1))
			body := bodies[i%len(bodies)]
			if i >= len(bodies) {
				body = fixtures.Standard(3, i)
			}
			if _, err := n.Call(b.Context(), ehr("north"), "orders", body); err != nil {
				b.Fatal(err)
			}
		}
	})
}
