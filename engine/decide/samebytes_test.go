package decide_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/fixtures"
)

var update = flag.Bool("update", false, "write testdata/decisions.sha256 anew")

// decided is one decision of the corpus: materials and inputs under a name.
type decided struct {
	name      string
	materials *decide.Materials
	in        *decision.Inputs
}

// corpus is every case of the reference packs, every fixture in both languages
// of the packs, and 20 variants of the standard request.
func corpus(t *testing.T) []decided {
	t.Helper()
	var all []decided
	terms := decidetest.ReferencePack(t, "terminology_core")
	for _, name := range decidetest.ReferencePacks {
		pack, m := decidetest.ReferencePack(t, name), decide.NewMaterials()
		if err := errors.Join(m.AddPack(pack), m.AddPack(terms)); err != nil {
			t.Fatal(err)
		}
		for i := range pack.Cases {
			in, err := decide.CaseInputs(m, pack, clinical.Newest().Version(), terms, &pack.Cases[i])
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, decided{name + "/" + pack.Cases[i].Name, m, in})
		}
	}
	b := decidetest.New(t)
	for _, p := range decidetest.Patients(t) {
		for _, language := range []string{"en", "de"} {
			in := b.Inputs(t, p.Request)
			in.Language = language
			all = append(all, decided{"fixtures/" + p.Name + "." + language, b.Materials, in})
		}
	}
	for n := range 20 {
		all = append(all, decided{fmt.Sprintf("standard/%02d", n), b.Materials, b.Inputs(t, fixtures.Standard(1, n))})
	}
	return all
}

// sum is the SHA-256 of the response, or of why there is none, and the SHA-256 of
// the encoded decision: what clinicians saw, and what the record says beside it.
func (d *decided) sum(t *testing.T) string {
	t.Helper()
	response, record := sha256.New(), sha256.New()
	got, err := d.materials.Decide(t.Context(), d.in)
	switch {
	case errors.Is(err, chart.ErrShape), errors.Is(err, chart.ErrJSON):
		fmt.Fprint(response, err)
	case err != nil:
		t.Fatal(err)
	default:
		b, err := decision.EncodeDecision(got)
		if err != nil {
			t.Fatal(err)
		}
		record.Write(b)
		response.Write(got.Response)
	}
	return hex.EncodeToString(response.Sum(nil)) + " " + hex.EncodeToString(record.Sum(nil))
}

// TestSameBytes compares every decision of the corpus with golden digests,
// twice and in two orders: a decision is the same bytes whatever was decided
// before, on every machine and in every version of the program that does not
// mean to change it.
func TestSameBytes(t *testing.T) {
	const golden = "testdata/decisions.sha256"
	all := corpus(t)
	rng := rand.New(rand.NewPCG(2, 26))
	order := append(rng.Perm(len(all)), rng.Perm(len(all))...)
	sums := make([]string, len(all))
	for _, i := range order {
		switch sum := all[i].sum(t); {
		case sums[i] == "":
			sums[i] = sum
		case sums[i] != sum:
			t.Errorf("%s: decided again, it is not the same bytes", all[i].name)
		}
	}
	lines := make([]string, len(all))
	for i := range all {
		lines[i] = sums[i] + "  " + all[i].name + "\n"
	}
	have := strings.Join(lines, "")
	if *update {
		if err := os.WriteFile(golden, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if have == string(want) {
		return
	}
	for _, line := range strings.SplitAfter(string(want), "\n") {
		if line != "" && !slices.Contains(lines, line) {
			t.Errorf("differs or is gone: %s", strings.TrimSpace(line))
		}
	}
	t.Errorf("decisions are not those of %s; if a change of pack or library means to change them: go test ./engine/decide -run TestSameBytes -update", golden)
}

// BenchmarkDecideEncodeStandard is BenchmarkDecideStandard up to the body of
// the record.
func BenchmarkDecideEncodeStandard(b *testing.B) {
	bn := decidetest.New(b)
	in := bn.Inputs(b, fixtures.Standard(1, 0))
	snapshot, err := bn.Materials.Snapshot(bn.Release, bn.Policy)
	decidetest.Must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		req, err := snapshot.Parse(in.Client, in.Request)
		if err != nil {
			b.Fatal(err)
		}
		d, err := snapshot.Decide(b.Context(), in, req, decide.Times{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := decision.Encode(in, d); err != nil {
			b.Fatal(err)
		}
	}
}
