package decide_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/rulepacks"
)

// tried is a trial pack with one golden case, which wants its rule in a state.
func tried(t testing.TB, version, state string) *rulepacks.Pack {
	t.Helper()
	return decidetest.PackOf(t, version, map[string]string{"cases/adult.yaml": `cases:
  - name: adult
    hook: order-sign
    time: "2026-03-02T10:00:00-05:00"
    zone: America/New_York
    context: {patientId: p1, userId: Practitioner/u1, draftOrders: {resourceType: Bundle, entry: []}}
    prefetch: {patient: {resourceType: Patient, id: p1, birthDate: "1955-06-15"}}
    want: [{rule: fires, subject: patient, state: "` + state + `"}]
`}, decidetest.RuleFires)
}

// TestFit asks whether packs in force can be run: each cause that keeps one from
// it is named, also when it is asked again, and to be stopped is not a cause.
func TestFit(t *testing.T) {
	m, terms := decide.NewMaterials(), decidetest.ReferencePack(t, "terminology_core")
	good, wrong := tried(t, "1.0.0", "true"), tried(t, "1.0.1", "false")
	broken := decidetest.Pack(t, "1.0.2", decidetest.Rule{ID: "broken", Body: "holds := nonsense(1)"})
	later := *good
	later.Digest, later.Manifest.Terminology.Min = rulepacks.Digest(strings.Repeat("a", 64)), "2999.1"
	decidetest.Must(t, errors.Join(m.AddPack(terms), m.AddPack(good), m.AddPack(wrong), m.AddPack(broken),
		m.AddPack(&later)))
	with := func(p *rulepacks.Pack, change func(*decision.Ref)) decision.Ref {
		ref := decidetest.Ref(p)
		change(&ref)
		return ref
	}
	gone := func(r *decision.Ref) { r.Digest = strings.Repeat("0", 64) }
	release, unknown := decidetest.Ref(terms), with(terms, gone)
	for name, c := range map[string]struct {
		ref    decision.Ref
		params map[string]jsontext.Value
		terms  *decision.Ref
		why    decision.Why
		err    error
	}{
		"fits":           {ref: decidetest.Ref(good), terms: &release},
		"no terminology": {ref: decidetest.Ref(wrong)},
		"no archive":     {ref: with(good, gone), terms: &release, why: decision.WhyMissing, err: decide.ErrMissing},
		"library": {ref: with(good, func(r *decision.Ref) { r.Library = "1.99.0" }), terms: &release,
			why: decision.WhyLibrary, err: decide.ErrLibrary},
		"code": {ref: decidetest.Ref(broken), terms: &release, why: decision.WhyCode, err: decide.ErrPack},
		"parameters": {ref: decidetest.Ref(good), params: map[string]jsontext.Value{"none": jsontext.Value("1")},
			terms: &release, why: decision.WhyParameters},
		"terminology not there": {ref: decidetest.Ref(good), terms: &unknown,
			why: decision.WhyTerminology, err: decide.ErrMissing},
		"terminology not tested": {ref: decidetest.Ref(&later), terms: &release, why: decision.WhyTerminology},
		"cases": {ref: decidetest.Ref(wrong), terms: &release, why: decision.WhyCases,
			err: decide.ErrCases},
	} {
		stopped, stop := context.WithCancel(t.Context())
		stop()
		var not *decide.NotRunnable
		if err := m.Fit(stopped, c.ref, c.params, c.terms); errors.As(err, &not) && not.Why == decision.WhyCases {
			t.Errorf("%s: stopped, it says %v", name, err)
		}
		for range 2 {
			err := m.Fit(t.Context(), c.ref, c.params, c.terms)
			switch {
			case c.why == "":
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			case !errors.As(err, &not) || not.Why != c.why || not.Pack != c.ref.Name:
				t.Errorf("%s: %v, want why %s", name, err, c.why)
			case c.err != nil && !errors.Is(err, c.err):
				t.Errorf("%s: %v, want %v", name, err, c.err)
			}
		}
	}
}
