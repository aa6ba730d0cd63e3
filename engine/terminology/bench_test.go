package terminology

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// large writes a made release as large as the full RxNorm: 400,000 concepts of its own,
// 300,000 NDCs, and beside them the rows of other sources that a reader has to skip.
func large(t testing.TB, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 1))
	files := map[string]*bufio.Writer{}
	for _, name := range []string{consoFile, relFile, satFile, archiveFile, cuiFile} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriterSize(f, 1<<20)
		files[name] = w
		defer func() {
			if w.Flush() != nil || f.Close() != nil {
				t.Error("writing the release")
			}
		}()
	}
	next, aui, rui := 100_000, 1, 1
	names := map[int]string{}
	atom := func(tty, name string) int {
		next++
		aui++
		suppress := "N"
		if rng.IntN(3) == 0 && tty != "IN" && tty != "DF" && tty != "DFG" {
			suppress = "O"
		}
		names[next] = name
		fmt.Fprintf(files[consoFile], "%d|ENG||||||%d|%d|%d||RXNORM|%s|%d|%s||%s|4096|\n", next, aui, aui,
			next, tty, next, name, suppress)
		for range 2 { // other names, which are skipped
			aui++
			fmt.Fprintf(files[consoFile], "%d|ENG||||||%d|%d|%d||MTHSPL|DP|%d|%s of a label||N||\n", next, aui, aui,
				next, aui, name)
		}
		return next
	}
	rel := func(a int, rela, inverse string, b int) {
		fmt.Fprintf(files[relFile], "%d||CUI|RO|%d||CUI|%s|%d||RXNORM|||||4096|\n", b, a, rela, rui)
		fmt.Fprintf(files[relFile], "%d||CUI|RO|%d||CUI|%s|%d||RXNORM|||||4096|\n", a, b, inverse, rui+1)
		for range 6 { // relationships between names of other sources
			fmt.Fprintf(files[relFile], "|%d|AUI|RO||%d|AUI|has_inactive_ingredient|%d||MTHSPL|||||4096|\n",
				rui, rui+9, rui+2)
		}
		rui += 10
	}
	word := func() string {
		var b strings.Builder
		for range 3 + rng.IntN(3) {
			b.WriteByte("bcdfglmnprstvz"[rng.IntN(14)])
			b.WriteByte("aeiou"[rng.IntN(5)])
		}
		return b.String()
	}
	var ins, forms, components []int
	for range 12_000 {
		ins = append(ins, atom("IN", word()))
	}
	groups := []int{atom("DFG", "Oral Product"), atom("DFG", "Injectable Product"), atom("DFG", "Topical Product")}
	for i := range 180 {
		f := atom("DF", fmt.Sprintf("%s Form %d", word(), i))
		rel(f, "isa", "inverse_isa", groups[i%3])
		forms = append(forms, f)
	}
	for i := range 40_000 {
		in := ins[i%len(ins)]
		mg := fmt.Sprint(1 + rng.IntN(1000))
		c := atom("SCDC", names[in]+" "+mg+" MG")
		rel(c, "has_ingredient", "ingredient_of", in)
		for _, a := range [][2]string{{"NUM_VALUE", mg}, {"NUM_UNIT", "MG"}, {"DENOM_VALUE", "1"},
			{"DENOM_UNIT", "1"}} {
			fmt.Fprintf(files[satFile], "%d||||AUI|%d|||RXN_BOSS_STRENGTH_%s|RXNORM|%s|N|4096|\n", c, c, a[0], a[1])
		}
		components = append(components, c)
	}
	ndc := 0
	product := func(cui int) {
		for range 2 {
			ndc++
			fmt.Fprintf(files[satFile], "%d||||AUI|%d|||NDC|RXNORM|%011d|N|4096|\n", cui, cui, ndc*7)
			fmt.Fprintf(files[satFile], "%d||||AUI|%d|||NDC|MTHSPL|%d-1|N|4096|\n", cui, cui, ndc)
			fmt.Fprintf(files[satFile], "%d||||AUI|%d|||SPL_SET_ID|MTHSPL|%032d|N|4096|\n", cui, cui, ndc)
		}
	}
	for i := range 90_000 {
		form := forms[rng.IntN(len(forms))]
		c := components[i%len(components)]
		name := names[c]
		scd := []int{c}
		if i%4 == 0 {
			scd = append(scd, components[rng.IntN(len(components))])
			name += " / " + names[scd[1]]
		}
		generic := atom("SCD", name+" "+names[form])
		for _, c := range scd {
			rel(generic, "consists_of", "constitutes", c)
		}
		rel(generic, "has_dose_form", "dose_form_of", form)
		product(generic)
		brand := atom("BN", word())
		rel(brand, "tradename_of", "has_tradename", ins[i%len(ins)])
		branded := atom("SBD", name+" "+names[form]+" ["+names[brand]+"]")
		rel(branded, "tradename_of", "has_tradename", generic)
		product(branded)
		clinical := atom("SCDF", names[ins[i%len(ins)]]+" "+names[form])
		rel(clinical, "has_ingredient", "ingredient_of", ins[i%len(ins)])
		rel(clinical, "has_dose_form", "dose_form_of", form)
	}
	for i := range 100_000 {
		fmt.Fprintf(files[archiveFile], "%d|A%d|a retired name|2020|2004|2020|%d||ENG|||V|%d|RXNORM|SCD|%d|\n", i, i,
			i+1, i+1, 200_000+rng.IntN(200_000))
		fmt.Fprintf(files[cuiFile], "%d|RXNORM_05AA|RXNORM_19AA|1|%d|\n", i+1, 200_000+i)
	}
}

// BenchmarkFullRelease measures the whole way of a release of 400,000 concepts: to
// build, to open, to look up. It is run with -benchtime=1x.
func BenchmarkFullRelease(b *testing.B) {
	dir := b.TempDir()
	large(b, dir)
	var data []byte
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			builder, counts := &Builder{Release: "2026.11"}, &Counts{}
			err := ReadRxNorm(context.Background(), os.DirFS(dir), builder, counts, nil)
			if err != nil {
				b.Fatal(err)
			}
			if data, err = builder.Bytes(); err != nil {
				b.Fatal(err)
			}
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.Sys)/1e6, "MB-of-process")
		b.ReportMetric(float64(len(data))/1e6, "MB-table")
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if _, err := w.Write(data); err != nil || w.Close() != nil {
			b.Fatal("compressing")
		}
		b.ReportMetric(float64(packed.Len())/1e6, "MB-compressed")
	})
	b.Run("archive", func(b *testing.B) {
		pack, err := rulepacks.FromFiles([]packfile.File{{Name: "tables/drugs.bin", Data: data},
			{Name: "pack.yaml", Data: fmt.Appendf(nil, packYAML, "terms", "2026.11.0", "Drugs", "x", "y", "2026-11-01")},
			{Name: "tables/release.json", Data: []byte(`{"release":"2026.11","sources":[],"counts":[],"left_out":[]}`)}})
		if err != nil {
			b.Fatal(err)
		}
		var archive bytes.Buffer
		if err := pack.WriteArchive(&archive); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := rulepacks.ReadArchive(bytes.NewReader(archive.Bytes()), rulepacks.Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	var table *Table
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if table, err = Open(data); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(table.Concepts()), "concepts")
		b.ReportMetric(float64(table.Codes()), "codes")
	})
	b.Run("lookup", func(b *testing.B) {
		codes := make([]Code, 1<<16)
		for i := range codes {
			codes[i] = table.Code(rand.IntN(table.Codes()))
			codes[i].Code = strings.Clone(codes[i].Code)
		}
		b.ReportAllocs()
		const rounds = 200 // the fastest counts: others use the machine, too
		least := time.Hour
		for b.Loop() {
			for round := range rounds {
				begin := time.Now()
				part := codes[round%16<<12:][:1<<12]
				for i := range part {
					if _, ok := table.Lookup(part[i].System, part[i].Code); !ok {
						b.Fatal("a code is not found")
					}
				}
				least = min(least, time.Since(begin))
			}
		}
		b.ReportMetric(float64(least.Nanoseconds())/(1<<12), "ns/lookup")
	})
}
