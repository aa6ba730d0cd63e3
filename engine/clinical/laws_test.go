package clinical

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/fixtures"
)

// The laws of this file hold for every function of the library: charts are made of the
// resources of all synthetic patients and of all examples, and questions are drawn from
// the descriptions, each function as the outermost one in turn.

// materials are the resources that charts are made of, as text, all of the patient p1.
var materials = sync.OnceValue(func() []string {
	var list []string
	patients, err := fixtures.Patients()
	if err != nil {
		panic(err)
	}
	for _, p := range patients {
		var request struct {
			Context  struct{ PatientID string }
			Prefetch map[string]struct {
				Entry []struct{ Resource json.RawMessage }
			}
		}
		if err := json.Unmarshal(p.Request, &request); err != nil && len(request.Prefetch) == 0 {
			panic(err)
		}
		earlier := strings.NewReplacer(`Patient/`+request.Context.PatientID, "Patient/p1", `"2026-11`, `"2026-02`,
			`"2026-10`, `"2026-01`)
		for _, key := range slices.Sorted(maps.Keys(request.Prefetch)) {
			for i, e := range request.Prefetch[key].Entry {
				if i < 12 {
					list = append(list, earlier.Replace(string(e.Resource)))
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(examples)) {
		for i, r := range examples[name].chart {
			if !strings.HasPrefix(r, `{"resourceType":"Patient"`) {
				list = append(list, strings.Replace(r, `"id":"`, fmt.Sprintf(`"id":"%s-%d-`,
					strings.NewReplacer(".", "-", "_", "-").Replace(name), i), 1))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
})

// inquiry draws a call that gives a result of a type; of one function, unless it is nil.
func inquiry(t *rand.Rand, result Type, f *function, deep int) string {
	if f == nil {
		f = oneOf(t, answering(result, deep))
	}
	var args []string
	if len(f.Options) > 0 {
		args = append(args, options(t, f))
	}
	for _, a := range f.Args {
		args = append(args, argument(t, a.Type, deep))
	}
	return f.Name + "(" + strings.Join(args, ", ") + ")"
}

func oneOf[T any](t *rand.Rand, list []T) T { return list[t.IntN(len(list))] }

// answering are the functions that may stand in the place of an argument; at the third
// level those that have none.
func answering(result Type, deep int) (list []*function) {
	for _, f := range Newest().functions {
		simple := !slices.ContainsFunc(f.Args, func(a Argument) bool { return a.Type != typeOrder })
		if f.Result == result && !f.CardsOnly && (deep < 2 || simple) {
			list = append(list, f)
		}
	}
	return list
}

func options(t *rand.Rand, f *function) string {
	var list []string
	given := map[string]bool{}
	for i := range f.Options {
		o := &f.Options[i]
		if !o.Required && (o.Needs != "" && !given[o.Needs] || !(t.IntN(2) == 0)) {
			continue
		}
		given[o.Name] = true
		value := ""
		switch o.Kind {
		case KindSet:
			var fit []string
			for id, s := range goldenPack().sets {
				if slices.Contains(o.Sets, s.Kind) {
					fit = append(fit, id)
				}
			}
			if slices.Sort(fit); len(fit) == 0 {
				panic("no value set for option " + o.Name + " of " + f.Name + ": register one with testSet")
			}
			value = fmt.Sprintf("%q", oneOf(t, fit))
		case KindDuration:
			value = fmt.Sprintf("%q", oneOf(t, []string{"P1D", "P30D", "P1Y", "P18Y"}))
		case KindUnit:
			value = fmt.Sprintf("%q", oneOf(t, someUnits()))
		case KindEnum, KindType:
			value = fmt.Sprintf("%q", oneOf(t, o.Words))
		case KindFlag:
			value = fmt.Sprint((t.IntN(2) == 0))
		default:
			value = `"x"`
		}
		list = append(list, fmt.Sprintf("%q: %s", o.Name, value))
	}
	return "{" + strings.Join(list, ", ") + "}"
}

// someUnits are units that the library has.
var someUnits = sync.OnceValue(func() (list []string) {
	for _, u := range []string{"mg/dL", "mmol/L", "umol/L", "kg", "cm", "mg", "mg/d", "%", units.Renal, "a"} {
		if code, ok := units.Known(u); ok && code == u {
			list = append(list, u)
		}
	}
	return list
})

func argument(t *rand.Rand, typ Type, deep int) string {
	several := func(of func() string) string {
		list := make([]string, 1+t.IntN(3))
		for i := range list {
			list[i] = of()
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	number := func() string {
		return oneOf(t, []string{"1", "2", "0.5", "30", "70", "100"})
	}
	nested := func(result Type) string { return inquiry(t, result, nil, deep+1) }
	switch typ {
	case typeFact, typeValue, typeDate:
		return nested(typ)
	case typeEither:
		return nested(oneOf(t, []Type{typeValue, typeDate}))
	case typeDated:
		return nested(oneOf(t, []Type{typeValue, typeFact}))
	case typeFacts:
		return several(func() string { return nested(typeFact) })
	case typeValues:
		return several(func() string { return nested(typeValue) })
	case typeDates:
		return several(func() string { return nested(typeDate) })
	case typePoints:
		return several(func() string { return "[" + number() + ", " + nested(typeFact) + "]" })
	case typeOrder:
		return "fhir.order()"
	case typeNumber:
		return number()
	default:
		return `"x"`
	}
}

// aboutSources are functions whose answer is about what came, not about the patient.
var aboutSources = []string{"fhir.source(", "fhir.complete("}

// lawful draws a chart, another one that is made of it, and one question for every
// function whose answer is a fact, value or date, and holds the answers against a law.
func lawful(t *testing.T, except []string, other func(t *rapid.T, g golden) golden,
	law func(a, b asked, one, two *ast.Term) string) {
	t.Helper()
	states.paused.Store(true)
	defer states.paused.Store(false)
	rapid.Check(t, func(rt *rapid.T) {
		g := golden{
			chart:  rapid.SliceOfN(rapid.SampledFrom(materials()), 0, 12).Draw(rt, "resources"),
			drafts: []string{rapid.SampledFrom([]string{ibuprofen[0], onWarfarin[0]}).Draw(rt, "draft")},
		}
		born := rapid.SampledFrom([]string{"1956-01-15", "2008-03-02", "2026-02-01"}).Draw(rt, "birth date")
		g.chart = append(g.chart, person(born, rapid.SampledFrom([]string{"male", "female", "other"}).Draw(rt, "sex")))
		changed := other(rt, g)
		a, b := g.session(t), changed.session(t)
		questions := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "questions"), 0))
		for _, f := range Newest().functions {
			if f.Result != typeFact && f.Result != typeValue && f.Result != typeDate {
				continue
			}
			q := inquiry(questions, f.Result, f, 0)
			if slices.ContainsFunc(except, func(name string) bool { return strings.Contains(q, name) }) {
				continue
			}
			one, err := a.eval(parsed(q))
			two, err2 := b.eval(parsed(q))
			if err != nil || err2 != nil {
				continue // of units that do not fit, or beyond what there is
			}
			if wrong := law(a, b, one, two); wrong != "" {
				rt.Fatalf("%s: %s\nis %s of\n%s\nand %s of\n%s", wrong, q, a.spell(one), strings.Join(g.chart, "\n"),
					b.spell(two), strings.Join(changed.chart, "\n"))
			}
		}
	})
}

// told are state, bounds and reasons of an answer, whatever their order.
func (a asked) told(t *ast.Term) string {
	text := a.spell(t)
	if state, reasons, ok := strings.Cut(text, ": "); ok {
		list := strings.Split(reasons, ", ")
		slices.Sort(list)
		return state + ": " + strings.Join(list, ", ")
	}
	return text
}

func sameAnswer(a, b asked, one, two *ast.Term) string {
	if a.told(one) != b.told(two) {
		return "the answer changes"
	}
	return ""
}

// weaker is the law of lost data: an answer stays, or it is unknown, or the interval
// grows. It never turns.
func weaker(a, b asked, one, two *ast.Term) string {
	otherMethod := func(reasons []fact.Reason) bool { // known to be none of the question's: no data are missing for that
		return slices.ContainsFunc(reasons, func(r fact.Reason) bool { return r.Code == fact.NotApplicable })
	}
	if f, err := a.Fact(one); err == nil {
		g, err := b.Fact(two)
		if f.State == fact.Unknown && otherMethod(f.Reasons) {
			return ""
		}
		if err != nil || g.State != fact.Unknown && g.State != f.State {
			return "the answer turns"
		}
		return ""
	}
	v, err := a.valueOrDate(one)
	w, err2 := b.valueOrDate(two)
	switch {
	case err != nil || err2 != nil:
		return "an answer is neither"
	case v.State == fact.PresenceUnknown && otherMethod(v.Reasons):
		return ""
	case w.State == fact.PresenceUnknown || w.State == fact.Absent && v.State == fact.Absent:
		return ""
	case w.State != v.State:
		return "the value turns"
	case w.Date != nil:
		if w.Date.From.After(v.Date.From) || !w.Date.To.IsZero() && (v.Date.To.IsZero() || w.Date.To.Before(v.Date.To)) {
			return "the date becomes more exact"
		}
	case w.Low != nil && (v.Low == nil || w.Low.Cmp(v.Low) > 0),
		w.High != nil && (v.High == nil || w.High.Cmp(v.High) < 0):
		return "the interval shrinks"
	}
	return ""
}

// TestWhatNobodyReadsChangesNothing adds resources that no function reads.
func TestWhatNobodyReadsChangesNothing(t *testing.T) {
	lawful(t, aboutSources[:1], func(rt *rapid.T, g golden) golden {
		g.chart = append(slices.Clip(g.chart),
			`{"resourceType":"Goal","id":"g1","subject":{"reference":"Patient/p1"},"lifecycleStatus":"active"}`,
			`{"resourceType":"Basic","id":"b1","code":{"coding":[{"system":"http://loinc.org","code":"2160-0"}]}}`)
		return g
	}, sameAnswer)
}

// TestOrderAndDuplicatesChangeNothing sends the same resources in another order, and some twice.
func TestOrderAndDuplicatesChangeNothing(t *testing.T) {
	lawful(t, nil, func(rt *rapid.T, g golden) golden {
		again := rapid.SliceOfN(rapid.SampledFrom(g.chart), 0, 3).Draw(rt, "twice")
		g.chart = rapid.Permutation(append(slices.Clip(g.chart), again...)).Draw(rt, "order")
		return g
	}, sameAnswer)
}

// TestLostDataNeverTurnAnAnswer takes resources away and says that the source is partial.
func TestLostDataNeverTurnAnAnswer(t *testing.T) {
	lawful(t, aboutSources, func(rt *rapid.T, g golden) golden {
		kept := []string{}
		for _, r := range g.chart {
			if rapid.IntRange(0, 2).Draw(rt, "kept") > 0 {
				kept = append(kept, r)
			}
		}
		g.chart, g.partial = kept, true
		return g
	}, weaker)
}

// TestACoarserBirthDateNeverTurnsAnAnswer knows the year of birth only.
func TestACoarserBirthDateNeverTurnsAnAnswer(t *testing.T) {
	lawful(t, nil, func(rt *rapid.T, g golden) golden {
		g.chart = slices.Clone(g.chart)
		last := &g.chart[len(g.chart)-1]
		*last = strings.NewReplacer("1956-01-15", "1956", "2008-03-02", "2008", "2026-02-01", "2026").Replace(*last)
		return g
	}, weaker)
}

// TestKleene holds the laws of three-valued logic for facts of every kind.
func TestKleene(t *testing.T) {
	states.paused.Store(true)
	defer states.paused.Store(false)
	rapid.Check(t, func(rt *rapid.T) {
		g := golden{chart: rapid.SliceOfN(rapid.SampledFrom(materials()), 0, 8).Draw(rt, "resources"),
			drafts:  ibuprofen,
			partial: rapid.Bool().Draw(rt, "partial")}
		a, questions := g.session(t), rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "questions"), 0))
		for range 10 {
			f, h := inquiry(questions, typeFact, nil, 1), inquiry(questions, typeFact, nil, 1)
			if strings.HasPrefix(a.answer(f), "error") || strings.HasPrefix(a.answer(h), "error") {
				continue
			}
			not := func(x string) string { return "fact.negate(" + x + ")" }
			both := func(x, y string) string { return "fact.all([" + x + ", " + y + "])" }
			either := func(x, y string) string { return "fact.any([" + x + ", " + y + "])" }
			for _, law := range [][2]string{
				{not(not(f)), f}, {both(f, h), both(h, f)}, {either(f, h), either(h, f)}, {both(f, f), f}, {either(f,
					f), f},
				{not(both(f, h)), either(not(f), not(h))}, {not(either(f, h)), both(not(f), not(h))},
				{both(f, either(f, h)), f}, {either(f, both(f, h)), f},
				{"fact.count_at_least(1, [" + f + ", " + h + "])", either(f, h)},
				{"fact.count_at_least(2, [" + f + ", " + h + "])", both(f, h)},
				{"fact.score_at_least(2, [[1, " + f + "], [1, " + h + "]])", both(f, h)},
			} {
				one, _, _ := strings.Cut(a.answer(law[0]), ":")
				if two, _, _ := strings.Cut(a.answer(law[1]), ":"); one != two {
					rt.Fatalf("%s is %s, and %s is %s, of\n%s", law[0], one, law[1], two, strings.Join(g.chart, "\n"))
				}
			}
		}
	})
}
