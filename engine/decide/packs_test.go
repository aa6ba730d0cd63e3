package decide_test

import (
	"testing"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
)

func TestReferencePacks(t *testing.T) {
	terms := decidetest.ReferencePack(t, "terminology_core")
	for _, name := range decidetest.ReferencePacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pack := decidetest.ReferencePack(t, name)
			results, err := decide.RunCases(t.Context(), pack, terms)
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
