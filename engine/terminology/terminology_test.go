package terminology

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"
)

const release = "../../fixtures/rxnorm"

// small reads the small made release of RxNorm.
func small(t testing.TB, fsys fs.FS) (*Table, []byte, *Counts) {
	t.Helper()
	b, counts := &Builder{Release: "2026.11"}, &Counts{}
	if err := ReadRxNorm(context.Background(), fsys, b, counts, nil); err != nil {
		t.Fatal(err)
	}
	data, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	table, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	return table, data, counts
}

// describe writes what a code stands for on one line.
func describe(t *Table, system, code string) string {
	c, ok := t.Lookup(system, code)
	if !ok {
		return "unknown"
	}
	x := c.Concept
	var parts, strengths []string
	for _, p := range x.Parts() {
		parts = append(parts, p.Display())
	}
	for _, s := range x.Strengths() {
		strengths = append(strengths, s.Ingredient.Display()+" "+s.String())
	}
	form := ""
	if f := x.Form(); f.Exists() {
		form = f.Display()
		for _, g := range f.Parts() {
			form += ", " + g.Display()
		}
	}
	own, _ := x.Own()
	return fmt.Sprintf("%s %s %s [%s] [%s] (%s) %v", x.Kind(), own.Code, x.Status(), strings.Join(parts, " + "),
		strings.Join(strengths, " + "), form, c.Remapped)
}

// TestRxNorm holds what each shape of a release becomes.
func TestRxNorm(t *testing.T) {
	table, _, _ := small(t, os.DirFS(release))
	if table.Release() != "2026.11" || !slices.Equal(table.Systems(), []string{NDC, RxNorm, ATC}) {
		t.Errorf("release %s, systems %v", table.Release(), table.Systems())
	}
	tablet := "(Oral Tablet, Oral Product, Pill)"
	for _, test := range []struct{ system, code, want string }{
		{RxNorm, "101", "IN 101 active [amolin] [] () false"},
		{RxNorm, "104", "IN 104 obsolete [deltafen] [] () false"},
		{RxNorm, "111", "PIN 111 active [amolin] [] () false"},
		{RxNorm, "121", "MIN 121 active [amolin + betarol] [] () false"},
		{RxNorm, "131", "BN 131 active [amolin] [] () false"},
		{RxNorm, "132", "BN 132 active [amolin + betarol] [] () false"},
		{RxNorm, "301", "SCDC 301 active [amolin] [amolin 500 mg] () false"},
		{RxNorm, "303", "SCDC 303 active [amolin] [amolin 250 mg/5 mL] () false"},
		{RxNorm, "311", "SBDC 311 active [amolin] [amolin 500 mg] () false"},
		{RxNorm, "321", "SCDF 321 active [amolin] [] " + tablet + " false"},
		{RxNorm, "322", "SBDF 322 active [amolin] [] " + tablet + " false"},
		{RxNorm, "331", "SCDG 331 active [amolin] [] (Oral Product) false"},
		{RxNorm, "332", "SBDG 332 active [amolin] [] (Oral Product) false"},
		{RxNorm, "341", "SCDFP 341 active [amolin] [] " + tablet + " false"},
		{RxNorm, "342", "SCDGP 342 active [amolin] [] (Oral Product) false"},
		{RxNorm, "343", "SBDFP 343 active [amolin] [] " + tablet + " false"},
		{RxNorm, "401", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"},
		{RxNorm, "402", "SCD 402 active [amolin + betarol] [amolin 500 mg + betarol 2.5 mg] " + tablet + " false"},
		{RxNorm, "403", "SCD 403 active [amolin] [amolin 250 mg/5 mL] (Oral Solution, Oral Product) false"},
		{RxNorm, "404", "SCD 404 active [gammadine] [gammadine 0.01 mg/mg] (Topical Cream, Topical Product) false"},
		{RxNorm, "405", "SCD 405 obsolete [amolin] [amolin 250 mg] " + tablet + " false"},
		{RxNorm, "406", "unknown"}, // nobody says what is in it
		{RxNorm, "407", "unknown"}, // known in part
		{RxNorm, "408", "SCD 408 active [gammadine] [] (Topical Cream, Topical Product) false"},
		{RxNorm, "409", "SCD 409 active [amolin] [amolin 750 mg] " + tablet + " false"},
		{RxNorm, "410", "unknown"},
		{RxNorm, "411", "SBD 411 active [amolin] [amolin 500 mg] " + tablet + " false"},
		{RxNorm, "412", "SBD 412 active [amolin + betarol] [amolin 500 mg + betarol 2.5 mg] " + tablet + " false"},
		{RxNorm, "501", "GPCK 501 active [amolin + gammadine] [] () false"},
		{RxNorm, "502", "BPCK 502 active [amolin + gammadine] [] () false"},
		{RxNorm, "211", "DF 211 active [Oral Product + Pill] [] () false"},
		{RxNorm, "0401", "unknown"},
		{"", "401", "unknown"},
		{ATC, "401", "unknown"},
		{ATC, "A01AA01", "IN 101 active [amolin] [] () false"},
		{ATC, "A01AA", "unknown"},
		{ATC, "A01AA09", "unknown"},

		{NDC, "00001000101", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"},
		{NDC, "00001-0001-01", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"},
		{NDC, "0001-0001-01", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"}, // 4-4-2
		{NDC, "00001-001-01", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"}, // 5-3-2
		{NDC, "00001-0001-1", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"}, // 5-4-1
		{NDC, "0001000101", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"},   // only one fits
		{NDC, "0011002200", "unknown"}, // two fit
		{NDC, "00011002200", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"}, // one of them
		{NDC, "0001-001-01", "unknown"},
		{NDC, "00001-0001", "unknown"},
		{NDC, "00001-0001-01-1", "unknown"},
		{NDC, "00001000202", "SBD 411 active [amolin] [amolin 500 mg] " + tablet + " false"},
		{NDC, "00001000303", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"}, // of two alike
		{NDC, "00001000404", "unknown"}, // of two, with others
		{NDC, "00001000505", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " false"}, // the other is suppressed
		{NDC, "00001000606", "unknown"},

		{RxNorm, "601", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " true"},
		{RxNorm, "602", "SCD 403 active [amolin] [amolin 250 mg/5 mL] (Oral Solution, Oral Product) true"},
		{RxNorm, "603", "SCD 403 active [amolin] [amolin 250 mg/5 mL] (Oral Solution, Oral Product) true"},
		{RxNorm, "604", "unknown"},
		{RxNorm, "605", "unknown"}, // split into two drugs
		{RxNorm, "606", "unknown"}, // a circle
		{RxNorm, "608", "SCD 402 active [amolin + betarol] [amolin 500 mg + betarol 2.5 mg] " + tablet + " true"},
		{RxNorm, "609", "unknown"}, // no drug
		{RxNorm, "610", "unknown"}, // another source's
		{RxNorm, "611", "SCD 401 active [amolin] [amolin 500 mg] " + tablet + " true"}, // split, the same ingredients
	} {
		if got := describe(table, test.system, test.code); got != test.want {
			t.Errorf("%s %s:\n got %s\nwant %s", test.system, test.code, got, test.want)
		}
	}
	own, ok := table.Find(RxNorm, "211")
	if own.Concept.IsDrug() || !ok {
		t.Error("a dose form passes for a drug")
	}
}

// TestCounts holds the counts, and that nothing is left out in silence.
func TestCounts(t *testing.T) {
	_, _, counts := small(t, os.DirFS(release))
	var got strings.Builder
	for _, c := range counts.Lines() {
		fmt.Fprintf(&got, "%s: %d, %d left out\n", c.What, c.Kept, c.LeftOut)
	}
	for _, l := range counts.LeftOut() {
		fmt.Fprintf(&got, "- %s: %d: %s\n", l.What, l.Count, l.Why)
	}
	if want := wantCounts; got.String() != want {
		t.Errorf("counts are\n%s\nwant\n%s", got.String(), want)
	}
}

const wantCounts = `ATC codes: 2, 1 left out
ATC codes above substances: 0, 1 left out
BN: 2, 0 left out
BPCK: 1, 0 left out
DF: 3, 0 left out
DFG: 3, 0 left out
GPCK: 1, 0 left out
IN: 3, 0 left out
IN, obsolete: 1, 0 left out
MIN: 1, 0 left out
NDC codes: 6, 2 left out
NDC of another form: 0, 1 left out
NDC of other sources: 0, 1 left out
PIN: 1, 0 left out
SBD: 2, 0 left out
SBDC: 1, 0 left out
SBDF: 1, 0 left out
SBDFP: 1, 0 left out
SBDG: 1, 0 left out
SCD: 6, 2 left out
SCD, obsolete: 1, 1 left out
SCDC: 6, 1 left out
SCDF: 1, 0 left out
SCDFP: 1, 0 left out
SCDG: 1, 0 left out
SCDGP: 1, 0 left out
drugs with dose forms: 16, 0 left out
drugs with strengths: 14, 0 left out
names of other sources: 0, 1 left out
retired codes: 5, 4 left out
strengths: 0, 2 left out
- ATC codes: 1: its concept is not in the pack
- ATC codes above substances: 1: a class is not a drug
- NDC codes: 1: it stands for drugs with different ingredients
- NDC codes: 1: its concept is not in the pack
- NDC of another form: 1: it has not eleven digits
- NDC of other sources: 1: RxNorm gives them in its own form too, where it has the product
- SCD: 2: the release does not lead to all of its ingredients
- SCD, obsolete: 1: the release does not lead to all of its ingredients
- SCDC: 1: the release does not lead to all of its ingredients
- names of other sources: 1: only RxNorm's own concepts are taken
- retired codes: 1: it stands for drugs with different ingredients
- retired codes: 3: its concept is not in the pack
- strengths: 2: no number and unit that can be read
`

// shuffled is the release with the rows of its files in another order.
func shuffled(t testing.TB, seed uint64) fstest.MapFS {
	out := fstest.MapFS{}
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, name := range []string{consoFile, relFile, satFile, archiveFile, cuiFile} {
		data, err := os.ReadFile(release + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		rows := strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")
		rows[len(rows)-1] += "\n"
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		out[name] = &fstest.MapFile{Data: []byte(strings.Join(rows, ""))}
	}
	return out
}

// TestSameBytes holds that a table depends on what a release says alone.
func TestSameBytes(t *testing.T) {
	_, want, _ := small(t, os.DirFS(release))
	for seed := range uint64(20) {
		if _, got, _ := small(t, shuffled(t, seed)); !bytes.Equal(got, want) {
			t.Fatalf("with seed %d the table has other bytes", seed)
		}
	}
}

// TestReleasesThatAreNone holds what is refused, and why.
func TestReleasesThatAreNone(t *testing.T) {
	read := func(fsys fs.FS) error {
		return ReadRxNorm(context.Background(), fsys, &Builder{}, &Counts{}, nil)
	}
	files := shuffled(t, 1)
	delete(files, satFile)
	delete(files, archiveFile)
	if err := read(files); err != nil {
		t.Errorf("a release without attributes and archive: %v", err)
	}
	for name, spoil := range map[string]func(fstest.MapFS){
		"RXNREL.RRF": func(f fstest.MapFS) { delete(f, relFile) },
		"columns":    func(f fstest.MapFS) { f[consoFile] = &fstest.MapFile{Data: []byte("1|ENG|\n")} },
		"RXNCONSO.RRF:2": func(f fstest.MapFS) {
			f[consoFile] = &fstest.MapFile{Data: []byte("1|ENG||||||1||||RXNORM|IN|1|x||N||\n" +
				"2|ENG||||||1||||RXNORM|IN|1|\xff||N||\n")}
		},
		"no concept": func(f fstest.MapFS) { f[consoFile] = &fstest.MapFile{Data: []byte("\n")} },
		"more than":  func(f fstest.MapFS) { f[relFile] = &fstest.MapFile{Data: bytes.Repeat([]byte("x"), maxLine+1)} },
	} {
		f := shuffled(t, 1)
		spoil(f)
		if err := read(f); !errors.Is(err, ErrRelease) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	f := shuffled(t, 1)
	f[relFile] = &fstest.MapFile{Data: bytes.Repeat([]byte("|||||||||||||||||\n"), 30_000)}
	if err := ReadRxNorm(stopped, f, &Builder{}, &Counts{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// TestSimpleTable holds what a simple table may say.
func TestSimpleTable(t *testing.T) {
	b, counts := &Builder{Release: "2026.11"}, &Counts{}
	if err := ReadRxNorm(context.Background(), os.DirFS(release), b, counts, nil); err != nil {
		t.Fatal(err)
	}
	const pzn = "http://fhir.de/CodeSystem/ifa/pzn"
	table := "system,code,display,ingredients,form,strength,status\n" +
		pzn + `,01234567,"Amolin, 500 mg Tabletten",` + RxNorm + "|101,oral,500 mg,\n" +
		pzn + ",01234568,Duomax Saft," + RxNorm + "|121,Saft,,obsolete\n" +
		pzn + ",01234569,Amolin/Betarol," + RxNorm + "|101; " + RxNorm + "|102,Filmtablette,500 mg;,\n" +
		pzn + ",01234570,Deltafen," + RxNorm + "|999,oral,,\n" +
		"http://snomed.info/sct,387517004,Paracetamol,,,,\n" +
		"http://snomed.info/sct,322236009,Paracetamol 500 mg tablet,387517004,oral,250 mg/5 mL,\n"
	if err := ReadTable(context.Background(), strings.NewReader(table), false, b, counts); err != nil {
		t.Fatal(err)
	}
	data, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]string{
		"01234567":  "product 01234567 active [amolin] [amolin 500 mg] () false",
		"01234568":  "product 01234568 obsolete [amolin + betarol] [] (Saft) false",
		"01234569":  "product 01234569 active [amolin + betarol] [amolin 500 mg] (Filmtablette) false",
		"01234570":  "unknown",
		"1234567":   "unknown",
		"387517004": "unknown",
	} {
		if got := describe(got, pzn, code); got != want {
			t.Errorf("%s: got %s, want %s", code, got, want)
		}
	}
	if c, ok := got.Find(pzn, "01234567"); !ok || c.Concept.Route() != "oral" {
		t.Errorf("route of %v", c)
	}
	if got, want := describe(got, "http://snomed.info/sct", "322236009"),
		"product 322236009 active [Paracetamol] [Paracetamol 250 mg/5 mL] () false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	const head = "system,code,display,ingredients,strength\n"
	for name, bad := range map[string]string{
		"it is empty":               "",
		"column \"colour\"":         "system,code,display,colour\n",
		"column display is missing": "system,code\n",
		"line 2":                    "system,code,display\n" + pzn + ",1\n",
		"canonical":                 "system,code,display\nhttps://loinc.org,1,x\n",
		"code or display":           "system,code,display\n" + pzn + ",1,\n",
		"there twice":               "system,code,display\n" + pzn + ",1,x\n" + pzn + ",1,y\n",
		"2 ingredients":             head + pzn + ",1,x,,\n" + pzn + ",2,x,1;1,5 mg\n",
		"cannot be read":            head + pzn + ",1,x,,\n" + pzn + ",2,x,1,five mg\n",
		"status must be":            "system,code,display,status\n" + pzn + ",1,x,new\n",
	} {
		err := ReadTable(context.Background(), strings.NewReader(bad), false, &Builder{}, &Counts{})
		if !errors.Is(err, ErrRelease) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b = &Builder{Release: "2026.1"}
	tabs := "\ufeffcode\tsystem\tdisplay\n1\t" + pzn + "\tx \"y\" z\n"
	if err := ReadTable(context.Background(), strings.NewReader(tabs), true, b, counts); err != nil {
		t.Error(err)
	}
}

// TestTablesAgreeWithTheirItems compares tables of any items with the items.
func TestTablesAgreeWithTheirItems(t *testing.T) {
	systems := []string{"http://a.example", "http://b.example", NDC}
	rapid.Check(t, func(t *rapid.T) {
		b := &Builder{Release: "2026.1"}
		n := rapid.IntRange(1, 30).Draw(t, "ingredients")
		for i := range n {
			b.Add(Item{System: systems[i%2], Code: fmt.Sprint(i), Display: fmt.Sprint("in ", i), Kind: Ingredient})
		}
		type want struct {
			system, code string
			parts        []string
			amount       string
		}
		var all []want
		for i := range rapid.IntRange(0, 60).Draw(t, "products") {
			it := Item{System: rapid.SampledFrom(systems).Draw(t, "system"), Code: fmt.Sprint("p", i),
				Display: rapid.StringMatching(`[a-zé]{1,40}`).Draw(t, "display"), Kind: Product,
				Route: rapid.SampledFrom(Routes).Draw(t, "route")}
			w := want{system: it.System, code: it.Code}
			for _, p := range rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, min(n, 5),
				func(i int) int { return i }).Draw(t, "parts") {
				it.Parts = append(it.Parts, p)
				w.parts = append(w.parts, fmt.Sprint("in ", p))
			}
			amount := apd.New(rapid.Int64Range(1, 1e9).Draw(t, "amount"),
				int32(rapid.IntRange(-9, 5).Draw(t, "places")))
			it.Strengths = []Amount{{Ingredient: it.Parts[0], Amount: *amount, Unit: "mg"}}
			w.amount = amount.Text('f')
			b.Add(it)
			all = append(all, w)
		}
		data, err := b.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		table, err := Open(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range all {
			c, ok := table.Find(w.system, w.code)
			if !ok {
				t.Fatalf("%v is not found", w)
			}
			var parts []string
			for _, p := range c.Concept.Parts() {
				parts = append(parts, p.Display())
			}
			slices.Sort(parts)
			slices.Sort(w.parts)
			s := c.Concept.Strengths()
			var got, sent apd.Decimal
			_, _, _ = sent.SetString(w.amount)
			_, _, _ = got.SetString(s[0].Amount.Text('f'))
			if !slices.Equal(parts, w.parts) || len(s) != 1 || got.Cmp(&sent) != 0 {
				t.Fatalf("%v has parts %v and strength %v", w, parts, s)
			}
			if _, ok := table.Find(w.system, w.code+"x"); ok {
				t.Fatal("a code is found that is not there")
			}
		}
	})
}

// walk reads all that a table holds.
func walk(table *Table) (n int) {
	for i := range table.Codes() {
		c := table.Code(i)
		if found, ok := table.Find(c.System, c.Code); !ok || found != c {
			panic("a code is not found")
		}
		n += len(describe(table, c.System, c.Code))
	}
	for i := range table.Concepts() {
		x := table.Concept(i)
		at, length := x.List()
		for j := range length {
			n += len(table.Member(at + 1 + j).Display())
		}
		n += len(x.Route())
	}
	return n
}

// FuzzOpen holds that bytes of strangers are refused or can be read to the end, in
// memory in proportion to them.
func FuzzOpen(f *testing.F) {
	_, data, _ := small(f, os.DirFS(release))
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := Open(data)
		if err != nil {
			if !errors.Is(err, ErrTable) {
				t.Fatalf("%v is not ErrTable", err)
			}
			return
		}
		if len(table.index)*4 > 2*len(data)+16 {
			t.Fatalf("%d bytes became an index of %d", len(data), 4*len(table.index))
		}
		walk(table)
	})
}

// TestSpoiltTables holds that a table with any one byte changed is refused or can be
// read to the end.
func TestSpoiltTables(t *testing.T) {
	_, data, _ := small(t, os.DirFS(release))
	refused := 0
	for i := range data {
		for _, b := range []byte{0, 1, 0x7f, 0xff, data[i] + 1} {
			spoilt := bytes.Clone(data)
			spoilt[i] = b
			table, err := Open(spoilt)
			if err != nil {
				refused++
				continue
			}
			walk(table)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// FuzzRxNorm holds that files of strangers are refused or become a table.
func FuzzRxNorm(f *testing.F) {
	var parts [][]byte
	for _, name := range []string{consoFile, relFile, satFile, archiveFile, cuiFile} {
		data, err := os.ReadFile(release + "/" + name)
		if err != nil {
			f.Fatal(err)
		}
		parts = append(parts, data)
	}
	f.Add(parts[0], parts[1], parts[2], parts[3], parts[4])
	f.Add([]byte("1|ENG||||||1||||RXNORM|IN|1|x||N||\n"), []byte("1||CUI|RO|1||CUI|consists_of|1||RXNORM|||||4096|"),
		[]byte{}, []byte{}, []byte("1|a|b|1|1|"))
	f.Fuzz(func(t *testing.T, conso, rel, sat, archive, cui []byte) {
		b := &Builder{Release: "2026.1"}
		err := ReadRxNorm(context.Background(), fstest.MapFS{consoFile: {Data: conso}, relFile: {Data: rel},
			satFile: {Data: sat}, archiveFile: {Data: archive}, cuiFile: {Data: cui}}, b, &Counts{}, nil)
		opens(t, b, err)
	})
}

// opens holds that what was read makes a table that opens, or that err says why not.
func opens(t *testing.T, b *Builder, err error) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, ErrRelease) {
			t.Fatalf("%v is not ErrRelease", err)
		}
		return
	}
	data, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	table, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	walk(table)
}

// FuzzTable does the same for simple tables.
func FuzzTable(f *testing.F) {
	f.Add([]byte("system,code,display,ingredients,form,strength,status\nhttp://a.b,1,x,,,,\n"+
		"http://a.b,2,y,1,oral,5 mg,\n"), false)
	f.Add([]byte("system\tcode\tdisplay\nhttp://a.b\t1\t\"\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, tabs bool) {
		b := &Builder{Release: "2026.1"}
		opens(t, b, ReadTable(context.Background(), bytes.NewReader(data), tabs, b, &Counts{}))
	})
}

// TestManyLongLists holds that the time to open a table is in proportion to its bytes,
// also if many of its concepts have one long list, and that no list is longer.
func TestManyLongLists(t *testing.T) {
	b := &Builder{Release: "2026.1"}
	var parts []int
	for i := range maxParts {
		parts = append(parts, b.Add(Item{System: RxNorm, Code: fmt.Sprint(i), Display: "x", Kind: IN}))
	}
	for i := range 20_000 {
		b.Add(Item{System: RxNorm, Code: fmt.Sprint("p", i), Display: "x", Kind: SCD, Parts: parts})
	}
	data, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if table, err := Open(data); err != nil || table.Lists() > 3*maxParts+10 {
		t.Fatal(err)
	}
	more := b.Add(Item{System: RxNorm, Code: "more", Display: "x", Kind: IN})
	b.Add(Item{System: RxNorm, Code: "long", Display: "x", Kind: SCD, Parts: append(parts, more)})
	if _, err := b.Bytes(); !errors.Is(err, ErrTable) {
		t.Errorf("a longer list: %v", err)
	}
}
