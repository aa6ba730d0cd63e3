package decide

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
)

// Snapshot is what a tenant decides with at one moment: the live packs with
// its parameters, the terminology, the policy. It is immutable.
type Snapshot struct {
	release   decision.Release
	policyRef decision.Policy
	policy    *tenant.Policy
	zone      *time.Location // of the policy
	packs     []*Part        // sorted by name
	terms     *clinical.Terminology
	codes     *clinical.CodeMap
	unused    []string
	sessions  clinical.Sessions
}

// Release names the packs and the terminology of the snapshot.
func (s *Snapshot) Release() decision.Release { return s.release }

// Policy names the tenant policy of the snapshot.
func (s *Snapshot) Policy() decision.Policy { return s.policyRef }

// Parts lists the packs of the snapshot, sorted by name. They are shared: do not
// change them.
func (s *Snapshot) Parts() []*Part { return s.packs }

// UnusedParameters names packs that the policy sets parameters of and that are
// not in force.
func (s *Snapshot) UnusedParameters() []string { return s.unused }

// Serves reports that a pack of the service is in force. Without one an answer
// would say nothing and read as "no finding".
func (s *Snapshot) Serves(service tenant.Service) bool {
	return slices.ContainsFunc(s.release.Packs,
		func(r decision.Ref) bool { return slices.Contains(service.Packs, r.Name) })
}

// Parse reads a request as the client's registration wants it read.
func (s *Snapshot) Parse(client string, body []byte) (*chart.Request, error) {
	c, ok := s.policy.Client(client)
	if !ok {
		return nil, fmt.Errorf("reading request: client %q is not in the tenant policy: %w", client, ErrMissing)
	}
	limits := s.policy.Limits
	return chart.Parse(body, chart.Limits{Bytes: int(limits.BodyBytes), Resources: limits.Resources,
		AnyInstance: c.HookID == "lenient", Base: c.FHIRBase})
}

// Decide is the one place where decisions are made. The call's deadline is that of
// ctx: what was not evaluated by then is cut.
func (s *Snapshot) Decide(ctx context.Context, in *decision.Inputs, req *chart.Request,
	t Times) (*decision.Decision, error) {
	if err := tenant.Resides(s.policy.Region, in.Region); err != nil {
		return nil, fmt.Errorf("deciding: %w", err)
	}
	service, ok := s.policy.Service(in.Service, in.Hook)
	if !ok || in.Hook != req.Hook {
		return nil, fmt.Errorf("deciding for service %q and hook %q: %w", in.Service, req.Hook, ErrHook)
	}
	if err := malformed(service, req); err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	e := &evaluation{snapshot: s, in: in, req: req, service: service, times: t, decision: &decision.Decision{}}
	if err := e.decide(ctx); err != nil {
		return nil, fmt.Errorf("deciding: %w", err)
	}
	return e.decision, nil
}

// malformed is an error if a prefetch key that the service asks for has a value of
// the wrong shape.
func malformed(service tenant.Service, req *chart.Request) error {
	for i := range req.Prefetch {
		src := &req.Prefetch[i]
		asked := func(p tenant.Prefetch) bool { return p.Key == src.Key }
		if src.Malformed != nil && slices.ContainsFunc(service.Prefetch, asked) {
			return src.Malformed
		}
	}
	return nil
}

func (s *Snapshot) chart(in *decision.Inputs, req *chart.Request, service tenant.Service) (*chart.Chart, error) {
	zone, err := s.zone, error(nil)
	if in.Zone != s.policy.Zone { // a golden case
		if zone, err = dates.Zone(in.Zone); err != nil {
			return nil, err
		}
	}
	fetched := make([]*chart.Source, len(in.Sources))
	for i, src := range in.Sources {
		if fetched[i], err = fetchedSource(src); err != nil {
			return nil, err
		}
	}
	client, _ := s.policy.Client(in.Client)
	return chart.New(chart.Inputs{Request: req, Base: client.FHIRBase, Fetched: fetched,
		Declared: service.Types(), Now: in.Time, Zone: zone, Terminology: s.terms.Chart(),
		CodeMap: s.codes.Chart()})
}

// fetchedSource reads the pages of a source. It is never taken for more complete
// than its status says.
func fetchedSource(src decision.Source) (*chart.Source, error) {
	pages := make([][]byte, len(src.Pages))
	for i, p := range src.Pages {
		pages[i] = p.Body
	}
	out, err := chart.ParseSource(src.Key, chart.Limits{}, pages...)
	if err != nil {
		return nil, err
	}
	switch src.Status {
	case decision.SourceComplete:
	case decision.SourcePartial:
		out.Completeness = min(out.Completeness, chart.Partial)
	default:
		out.Completeness = chart.Failed
	}
	return out, nil
}
