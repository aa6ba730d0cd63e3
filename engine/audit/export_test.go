package audit

import (
	"bytes"
	"testing"
)

// BenchFloor compresses and hashes a body as Append does, and nothing else.
func BenchFloor(b *testing.B, body []byte) {
	s := newSealer()
	var buf bytes.Buffer
	salt := make([]byte, 32)
	for b.Loop() {
		if err := s.pack(&buf, salt, [][]byte{body}); err != nil {
			b.Fatal(err)
		}
		commitment(salt, body)
	}
	b.ReportMetric(float64(buf.Len()), "sealed-bytes")
}
