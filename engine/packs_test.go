package engine

import (
	"testing"

	"github.com/precept-cds/precept/rulepacks"
)

// referencePack reads one of the packs that come with the program.
func referencePack(t testing.TB, name string) *rulepacks.Pack {
	t.Helper()
	p, err := rulepacks.ReadEmbedded(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var referencePacks = []string{"high_priority_ddi", "nsaid_anticoagulant", "renal_dosing"}

func TestReferencePacks(t *testing.T) {
	terms := referencePack(t, "terminology_core")
	for _, name := range referencePacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pack := referencePack(t, name)
			results, err := RunCases(t.Context(), pack, terms)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				for _, p := range r.Problems {
					t.Errorf("%s:%d: %s (%s): %s", r.Case.File, r.Case.Line, r.Case.Name, r.Case.Vector, p)
				}
			}
			t.Logf("%d cases", len(results))
		})
	}
}
