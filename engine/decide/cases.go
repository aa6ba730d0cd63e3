package decide

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/casefile"
	"github.com/precept-cds/precept/rulepacks/manifest"
)

// standardPrefetch is the prefetch of the types that the reference packs read.
var standardPrefetch = []tenant.Prefetch{
	{Key: "patient", Query: "Patient/{{context.patientId}}", Types: []string{"Patient"}},
	{Key: "conditions", Query: "Condition?patient={{context.patientId}}", Types: []string{"Condition"}},
	{Key: "medications", Query: "MedicationRequest?patient={{context.patientId}}",
		Types: []string{"MedicationRequest"}},
	{Key: "statements", Query: "MedicationStatement?patient={{context.patientId}}",
		Types: []string{"MedicationStatement"}},
	{Key: "dispenses", Query: "MedicationDispense?patient={{context.patientId}}",
		Types: []string{"MedicationDispense"}},
	{Key: "administrations", Query: "MedicationAdministration?patient={{context.patientId}}",
		Types: []string{"MedicationAdministration"}},
	{Key: "labs", Query: "Observation?patient={{context.patientId}}", Types: []string{"Observation"}},
}

// casePrefetch is the prefetch that golden cases are written for: which
// resource types each key answers for. A key a case leaves out was not
// supplied; null or an empty Bundle is known to be empty.
var casePrefetch = slices.Concat(standardPrefetch, []tenant.Prefetch{
	{Key: "allergies", Query: "AllergyIntolerance?patient={{context.patientId}}",
		Types: []string{"AllergyIntolerance"}},
	{Key: "procedures", Query: "Procedure?patient={{context.patientId}}", Types: []string{"Procedure"}},
	{Key: "encounters", Query: "Encounter?patient={{context.patientId}}&_include=Encounter:location",
		Types: []string{"Encounter", "Location"}},
	{Key: "immunizations", Query: "Immunization?patient={{context.patientId}}", Types: []string{"Immunization"}},
})

// StandardPrefetch returns the prefetch that the reference packs need: a service
// of these packs can offer it as it is.
func StandardPrefetch() []tenant.Prefetch { return slices.Clone(standardPrefetch) }

// CasePrefetch returns the prefetch that golden cases are written for: one key for
// each resource type that functions of the library read.
func CasePrefetch() []tenant.Prefetch { return slices.Clone(casePrefetch) }

// CaseResult is the outcome of one golden case.
type CaseResult struct {
	Case     *casefile.Case
	Problems []string // what differs, empty if the case holds
	Decision *decision.Decision
	Inputs   *decision.Inputs
}

// A case is decided under the counted bounds of calls, and must come to an end: one
// rule, one case and all cases of a pack have as much time as slow machines need.
const (
	caseRuleTime = 5 * time.Second
	caseTime     = 2 * caseRuleTime
	casesTime    = 2 * time.Minute
)

// RunCases decides every golden case of a pack, with a terminology for the
// drugs, and compares findings and cards with what the case wants.
func RunCases(ctx context.Context, pack, terminology *rulepacks.Pack) ([]CaseResult, error) {
	m := NewMaterials()
	if err := m.AddPack(pack); err != nil {
		return nil, err
	}
	if terminology != nil {
		if err := m.AddPack(terminology); err != nil {
			return nil, err
		}
	}
	if pack.Manifest.Kind != manifest.KindRules {
		return nil, nil
	}
	l, err := m.newestFor(pack)
	if err != nil {
		return nil, err
	}
	return runCases(ctx, m, pack, l.Version(), terminology)
}

// CheckCases is RunCases for those who only need to know whether they hold; the
// error is [ErrCases] and names the first that do not.
func CheckCases(ctx context.Context, pack, terminology *rulepacks.Pack) error {
	results, err := RunCases(ctx, pack, terminology)
	if err != nil {
		return err
	}
	return judge(pack, results)
}

func runCases(ctx context.Context, m *Materials, pack *rulepacks.Pack, library string,
	terminology *rulepacks.Pack) ([]CaseResult, error) {
	if _, err := m.Program(pack.Digest, library); err != nil { // also for a pack without cases
		return nil, err
	}
	results := make([]CaseResult, 0, len(pack.Cases))
	whole, stop := context.WithTimeout(ctx, casesTime)
	defer stop()
	for i := range pack.Cases {
		c := &pack.Cases[i]
		if whole.Err() != nil && ctx.Err() == nil {
			results = append(results, CaseResult{Case: c, Problems: []string{"not run: a case before it did not end, " +
				"or all together take longer than " + casesTime.String()}})
			continue
		}
		r, ended, err := runCase(whole, m, pack, library, terminology, c)
		if err != nil {
			return nil, fmt.Errorf("running case %s of %s: %w", c.Name, c.File, err)
		}
		if !ended { // nor would the others, most likely
			stop()
		}
		results = append(results, r)
	}
	return results, nil
}

// judge is ErrCases if a case does not hold.
func judge(pack *rulepacks.Pack, results []CaseResult) error {
	var bad []string
	for _, r := range results {
		if len(r.Problems) > 0 {
			bad = append(bad, fmt.Sprintf("%s (%s)", r.Case.Name, r.Problems[0]))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("running the cases of pack %s: %d of %d differ, first %s: %w; run precept pack test to see all",
		pack.Manifest.Name, len(bad), len(results), bad[0], ErrCases)
}

// caseTenant is the tenant that cases are decided for.
const caseTenant = "cases"

// runCase decides one case; ended is false if it took all its time.
func runCase(whole context.Context, m *Materials, pack *rulepacks.Pack, library string, terminology *rulepacks.Pack,
	c *casefile.Case) (r CaseResult, ended bool, err error) {
	in, err := caseInputs(m, pack, library, terminology, c)
	if err != nil {
		return r, false, err
	}
	ctx, stop := context.WithTimeout(whole, caseTime)
	defer stop()
	r = CaseResult{Case: c, Inputs: in}
	d, err := m.decide(ctx, in, Times{Rule: caseRuleTime})
	switch {
	case errors.Is(err, chart.ErrShape) || errors.Is(err, chart.ErrJSON) || errors.Is(err, chart.ErrServer):
		r.problem("%v", err)
		return r, true, nil
	case errors.Is(err, context.DeadlineExceeded):
		r.problem("it did not end within %v", caseTime)
		return r, false, nil
	case err != nil:
		return r, false, err
	case len(d.Cut) > 0:
		r.problem("%s on %s did not end within %v", d.Cut[0].Rule, d.Cut[0].Subject, caseRuleTime)
		return r, false, nil
	}
	r.Decision = d
	r.compareFindings(pack.Manifest.Name)
	return r, true, r.compareCards()
}

func caseInputs(m *Materials, pack *rulepacks.Pack, library string, terminology *rulepacks.Pack,
	c *casefile.Case) (*decision.Inputs, error) {
	name := pack.Manifest.Name
	policy := tenant.Policy{Tenant: caseTenant, Region: "cases", Name: "golden cases",
		Services: []tenant.Service{
			{ID: "cases", Hook: c.Hook, Description: "golden cases", Packs: []string{name}, Prefetch: casePrefetch},
		},
		Clients: []tenant.Client{
			{ID: "cases", Issuer: "https://cases.invalid", JWKS: []byte(`{"keys":[]}`), Algorithms: []string{"ES256"},
				FHIRBase: "https://cases.invalid/fhir"},
		},
	}
	if len(c.Parameters) > 0 {
		policy.Parameters = map[string]map[string]jsontext.Value{name: c.Parameters}
	}
	raw, err := jsonv2.Marshal(policy, jsonv2.Deterministic(true))
	if err != nil {
		return nil, err
	}
	digest := "cases:" + fmt.Sprintf("%x", sha256.Sum256(raw))
	if _, err := m.AddPolicy(digest, raw); err != nil {
		return nil, err
	}
	in := &decision.Inputs{
		RecordID: c.HookInstance, Tenant: caseTenant, Region: "cases", Time: c.Time.UTC(), Zone: c.Zone,
		Language: c.Language, Engine: decision.Engine{Build: "cases", OPA: OPAVersion, Library: library},
		Release: decision.Release{Packs: []decision.Ref{caseRef(pack, library)}},
		Policy:  decision.Policy{Digest: digest},
		Service: "cases", Hook: c.Hook, Client: "cases", Dialect: string(tenant.Dialect2), Request: c.Request(),
	}
	if in.Language == "" {
		in.Language = pack.Manifest.Languages[0]
	}
	if terminology != nil {
		ref := caseRef(terminology, library)
		in.Release.Terminology = &ref
	}
	return in, nil
}

func caseRef(p *rulepacks.Pack, library string) decision.Ref {
	return decision.Ref{Name: p.Manifest.Name, Version: p.Manifest.Version, Digest: string(p.Digest),
		Mode: decision.Active, Library: library}
}

// compareFindings compares the exact set of findings with the case's.
func (r *CaseResult) compareFindings(pack string) {
	if r.Case.Want == nil {
		return
	}
	found := map[string]*decision.Finding{}
	for i := range r.Decision.Findings {
		f := &r.Decision.Findings[i]
		found[f.Rule+" on "+f.Subject] = f
	}
	for _, w := range r.Case.Want {
		rule := w.Rule
		if !strings.Contains(rule, "/") {
			rule = pack + "/" + rule
		}
		key := rule + " on " + w.Subject
		f := found[key]
		delete(found, key)
		switch {
		case f == nil:
			r.problem("%s was not asked", key)
		case stateOf(f) != w.State:
			r.problem("%s is %s, want %s", key, stateOf(f), w.State)
		case w.Reasons != nil && !sameReasons(f, w.Reasons):
			r.problem("%s has reasons %v, want %v", key, codesOf(f), w.Reasons)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		r.problem("%s is %s, which the case does not name", key, stateOf(found[key]))
	}
}

func (r *CaseResult) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// stateOf is the finding's outcome as cases write it.
func stateOf(f *decision.Finding) string {
	switch f.Outcome {
	case decision.Fired:
		return "true"
	case decision.NotFired:
		return "false"
	case decision.Failed:
		return "error (" + f.Error.Code + ": " + f.Error.Message + " " + f.Error.At + ")"
	default:
		return string(f.Outcome)
	}
}

func codesOf(f *decision.Finding) []string {
	codes := []string{}
	if f.Fact != nil {
		for _, x := range f.Fact.Reasons {
			codes = append(codes, string(x.Code))
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func sameReasons(f *decision.Finding, want []string) bool {
	want = slices.Clone(want)
	slices.Sort(want)
	return slices.Equal(codesOf(f), slices.Compact(want))
}

func (r *CaseResult) compareCards() error {
	if r.Case.WantCards == nil {
		return nil
	}
	var resp cdshooks.Response
	if err := jsonv2.Unmarshal(r.Decision.Response, &resp); err != nil {
		return fmt.Errorf("reading own response: %w", err)
	}
	if len(resp.Cards) != len(r.Case.WantCards) {
		var have []string
		for _, c := range resp.Cards {
			have = append(have, fmt.Sprintf("%s %q", c.Indicator, c.Summary))
		}
		r.problem("%d cards, want %d; have %s", len(resp.Cards), len(r.Case.WantCards), strings.Join(have, "; "))
		return nil
	}
	for i, w := range r.Case.WantCards {
		c := resp.Cards[i]
		if w.Indicator != "" && string(c.Indicator) != w.Indicator {
			r.problem("card %d is %s, want %s", i+1, c.Indicator, w.Indicator)
		}
		if w.Summary != "" && c.Summary != w.Summary {
			r.problem("card %d says %q, want %q", i+1, c.Summary, w.Summary)
		}
		for _, part := range w.DetailContains {
			if !strings.Contains(c.Detail, part) {
				r.problem("card %d: detail lacks %q; it is %q", i+1, part, c.Detail)
			}
		}
		if w.Suggestions != nil && len(c.Suggestions) != *w.Suggestions {
			r.problem("card %d has %d suggestions, want %d", i+1, len(c.Suggestions), *w.Suggestions)
		}
	}
	return nil
}
