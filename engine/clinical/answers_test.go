package clinical

import (
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"pgregory.net/rapid"
)

// TestAnswersAreThoseOfTheEvaluator compares the list with the evaluator's own
// cache, whatever is done with both.
func TestAnswersAreThoseOfTheEvaluator(t *testing.T) {
	var a answers
	rapid.Check(t, func(t *rapid.T) {
		a.reset()
		model := topdown.NewVirtualCache()
		depth := 0
		ref := func() ast.Ref {
			n := rapid.IntRange(1, 3).Draw(t, "length")
			r := ast.Ref{ast.DefaultRootDocument}
			for range n {
				r = append(r, ast.StringTerm(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "part")))
			}
			return r
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				a.Push()
				model.Push()
				depth++
			case 1:
				if depth > 0 {
					a.Pop()
					model.Pop()
					depth--
				}
			case 2:
				r := ref()
				a.Put(r, nil)
				model.Put(r, nil)
			default:
				r, v := ref(), ast.IntNumberTerm(rapid.IntRange(0, 9).Draw(t, "value"))
				a.Put(slices.Clone(r), v)
				model.Put(r, v)
			}
			r := ref()
			have, haveUndefined := a.Get(r)
			want, wantUndefined := model.Get(r)
			if have != want || haveUndefined != wantUndefined {
				t.Fatalf("%s is %v, %v; want %v, %v", r, have, haveUndefined, want, wantUndefined)
			}
			if h, w := refs(a.Keys()), refs(model.Keys()); h != w {
				t.Fatalf("keys %s, want %s", h, w)
			}
		}
	})
}

func refs(list []ast.Ref) string {
	texts := make([]string, len(list))
	for i, r := range list {
		texts[i] = r.String()
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}
