package audit_test

import (
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/bolt"
	"github.com/precept-cds/precept/engine/keyring"
)

// fhirBody makes a body like a recorded call: FHIR-shaped, of about size bytes, unlike the next one.
func fhirBody(seed uint64, size int) []byte {
	r := mrand.New(mrand.NewPCG(seed, 1))
	b := make([]byte, 0, size+400)
	b = append(b, `{"resourceType":"Bundle","type":"searchset","entry":[`...)
	for len(b) < size {
		b = fmt.Appendf(b, `{"fullUrl":"https://ehr.example/fhir/Observation/%x","resource":{"resourceType":"Observation",`+
			`"id":"%x","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"%d-%d",`+
			`"display":"Creatinine [Mass/volume] in Serum"}]},"subject":{"reference":"Patient/%d"},`+
			`"effectiveDateTime":"2026-02-%02dT%02d:%02d:00-05:00","valueQuantity":{"value":%d.%d,"unit":"mg/dL",`+
			`"system":"http://unitsofmeasure.org","code":"mg/dL"}}},`,
			r.Uint64(), r.Uint64(), r.IntN(90000), r.IntN(9), r.IntN(1000), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(9),
			r.IntN(100))
	}
	return append(b, `{}]}`...)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAppend records bodies into bbolt on a real file, from 8 goroutines and from one, whose every entry is a
// batch of its own.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{300, 88 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchAppend(b, size, 4) }) // times 2 processors
		b.Run(fmt.Sprint(size, "-alone"), func(b *testing.B) { benchAppend(b, size, 0) })
	}
}

// committing counts commits.
type committing struct {
	audit.Store
	commits atomic.Int64
}

func (c *committing) Commit(ctx context.Context, b *audit.Batch) error {
	c.commits.Add(1)
	return c.Store.Commit(ctx, b)
}

func benchAppend(b *testing.B, size, parallel int) {
	dir := b.TempDir()
	file, err := bolt.Open(filepath.Join(dir, "audit.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	s := &committing{Store: file}
	kms, err := keyring.CreateFileKMS(filepath.Join(dir, "region.key"))
	if err != nil {
		b.Fatal(err)
	}
	ring, err := keyring.New(keyring.Config{Region: "eu", KMS: kms, Lookup: audit.KeyLookup(s), Rand: rand.Reader})
	if err != nil {
		b.Fatal(err)
	}
	l, err := audit.Open(b.Context(), audit.Config{
		Store: s, Ring: ring, Prefix: "audit.example", Region: "eu", Clock: time.Now, Rand: rand.Reader,
		Mark: audit.MarkFile(filepath.Join(dir, "mark")),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	bodies := make([][]byte, 64)
	for i := range bodies {
		bodies[i] = fhirBody(uint64(i), size)
	}
	rules := make([]string, 10)
	for i := range rules {
		rules[i] = fmt.Sprint("pack/rule-", i)
	}
	var n atomic.Int64
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	record := func() {
		i := n.Add(1)
		now := time.Now()
		id, _ := audit.NewRecordID(now, rand.Reader)
		body := bodies[i%64]
		_, err := l.Append(context.Background(), audit.Entry{
			Kind: audit.Decision, Tenant: "north", RecordID: id, Decided: now, Engine: "1.0.0", Library: "1.0.0",
			Schema: "test/1", Body: [][]byte{body[:100], body[100:]},
			Indexed: audit.Indexed{Patient: audit.Patient{Base: "https://ehr.example/fhir", ID: fmt.Sprint(i % 2000)},
				Rules: rules, Cards: []string{string(id)}, Idem: []byte(id)},
		})
		if err != nil {
			b.Error(err)
		}
	}
	if parallel == 0 {
		for range b.N {
			record()
		}
	} else {
		b.SetParallelism(parallel)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				record()
			}
		})
	}
	b.StopTimer()
	records := float64(n.Load())
	b.ReportMetric(records/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(records/float64(s.commits.Load()), "records/commit")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/records, "cpu-µs/record")
}

// BenchmarkFloor is what cannot be saved: SHA-256 of the body and its compression, as Append does them.
func BenchmarkFloor(b *testing.B) {
	bodies := make([][]byte, 64)
	for i := range bodies {
		bodies[i] = fhirBody(uint64(i), 88<<10)
	}
	work := audit.Floor()
	b.SetBytes(88 << 10)
	b.ResetTimer()
	cpu := cpuTime()
	var n atomic.Int64
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := work(bodies[n.Add(1)%64]); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/record")
}
