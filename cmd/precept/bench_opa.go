package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/rulepacks/manifest"
)

// besideOPA measures this program beside the floor and OPA.
func (b *bench) besideOPA(ctx context.Context) error {
	if _, err := os.Stat(b.opa); err != nil {
		return fmt.Errorf("finding OPA: %w; make bench builds it", err)
	}
	b.talk.line("making a region")
	d, err := makeDemoRegion(ctx, filepath.Join(b.dir, "region"), io.Discard)
	if err != nil {
		return err
	}
	if err := d.stop(); err != nil {
		return err
	}
	b.now = d.now
	here, err := d.site()
	if err != nil {
		return err
	}
	if err := b.checkEqual(ctx, d); err != nil {
		return err
	}
	floor, precept := &contender{name: "floor", start: startFloor, load: loadFloor},
		&contender{name: "precept", start: here.start, load: here.load}
	logs := &contender{name: "opa, decision logs",
		start: func(ctx context.Context) (*child, error) { return b.startOPA(ctx, true) }, load: loadOPA}
	plain := &contender{name: "opa, no logs",
		start: func(ctx context.Context) (*child, error) { return b.startOPA(ctx, false) }, load: loadOPA}
	contenders := []*contender{floor, precept, logs, plain}
	if err := b.measureAll(ctx, contenders, b.time); err != nil {
		return err
	}
	b.table(contenders)
	b.out.line("\nCPU per call: %.1f times less than OPA with decision logs, %.1f times less than OPA without",
		ratio(logs, precept, measurement.cpuMS), ratio(plain, precept, measurement.cpuMS))
	b.out.line("throughput: %.1f times OPA with decision logs, %.1f times OPA without, cost %.1f times the floor",
		ratio(precept, logs, measurement.rate), ratio(precept, plain, measurement.rate),
		ratio(precept, floor, measurement.cpuMS))
	return nil
}

// site gives the region to a process of this program.
func (d *demoRegion) site() (*site, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ehr, err := d.ehr("north")
	return &site{program: exe, config: d.config, tenant: "north", service: demoService, ehr: ehr}, err
}

func startFloor(ctx context.Context) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return startChild(ctx, "http://"+address+"/metrics", "http://"+address+"/metrics",
		exe, "bench", "floor", "--listen", address)
}

func loadFloor(p *child) (target, error) {
	return target{address: p.address(), path: "/"}, nil
}

func (b *bench) startOPA(ctx context.Context, logs bool) (*child, error) {
	policy, data, err := fixtures.OPA()
	if err != nil {
		return nil, err
	}
	if data, err = b.atPresent(data); err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "opa")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "policy.rego"), policy, 0o600),
		os.WriteFile(filepath.Join(dir, "data.json"), data, 0o600)); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{"run", "--server", "--addr", address, "--log-level", "error", "--disable-telemetry",
		"--optimize-store-for-read-speed"}
	if logs {
		args = append(args, "--set", "decision_logs.console=true")
	}
	return startChild(ctx, "http://"+address+"/health", "http://"+address+"/metrics",
		append([]string{b.opa}, append(args, dir)...)...)
}

// atPresent gives OPA's policy the time of the requests.
func (b *bench) atPresent(data []byte) ([]byte, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	now, err := json.Marshal(b.now.Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	doc["time"] = now
	return json.Marshal(doc)
}

func loadOPA(p *child) (target, error) {
	return target{address: p.address(), path: "/v1/data/precept/bench/findings", wrap: true}, nil
}

// checkEqual compares OPA's findings with Precept's on every fixture and on some
// of the requests that will be measured.
func (b *bench) checkEqual(ctx context.Context, d *demoRegion) error {
	p, err := b.startOPA(ctx, false)
	if err != nil {
		return err
	}
	defer p.stop()
	patients, err := fixtures.Patients()
	if err != nil {
		return err
	}
	var bodies [][]byte
	for i := range 20 {
		bodies = append(bodies, b.body(0, i))
	}
	for _, x := range patients {
		bodies = append(bodies, current(x.Request, b.now))
	}
	for i, body := range bodies {
		mine, err := findings(ctx, d, body)
		if err != nil {
			return err
		}
		theirs, err := opaFindings(ctx, p, body)
		if err != nil {
			return err
		}
		if !slices.Equal(mine, theirs) {
			return fmt.Errorf("checking equality: request %d is decided differently: precept %v, opa %v", i, mine,
				theirs)
		}
	}
	b.talk.line("decisions are equal on %d requests", len(bodies))
	return nil
}

// findings decides a request in this process, without a record, and names what
// was found as the benchmark compares it.
func findings(ctx context.Context, d *demoRegion, body []byte) ([]string, error) {
	m := decide.NewMaterials()
	in := &decision.Inputs{RecordID: "019cb2a0-0000-7000-8000-000000000001", Tenant: "north", Region: demoRegionID,
		Time: d.now, Zone: fixtures.Zone, Language: "en",
		Engine:  decision.Engine{Build: build, OPA: decide.OPAVersion, Library: clinical.Newest().Version()},
		Service: demoService, Client: "ehr", Dialect: string(tenant.Dialect2), Request: body}
	for _, name := range demoPacks {
		p := d.packs[name]
		if err := m.AddPack(p); err != nil {
			return nil, err
		}
		ref := decision.Ref{Name: name, Version: p.Manifest.Version, Digest: string(p.Digest), Seq: 1,
			Mode: decision.Active}
		if p.Manifest.Kind == manifest.KindTerminology {
			in.Release.Terminology = &ref
		} else {
			ref.Library = clinical.Newest().Version()
			in.Release.Packs = append(in.Release.Packs, ref)
		}
	}
	slices.SortFunc(in.Release.Packs, func(a, b decision.Ref) int { return cmp.Compare(a.Name, b.Name) })
	raw, err := os.ReadFile(d.path("policies", "north.json"))
	if err != nil {
		return nil, err
	}
	in.Policy = decision.Policy{Seq: 1, Digest: "bench"}
	if _, err := m.AddPolicy("bench", raw); err != nil {
		return nil, err
	}
	var hook struct {
		Hook string `json:"hook"`
	}
	if err := jsonv2.Unmarshal(body, &hook); err != nil {
		return nil, err
	}
	in.Hook = hook.Hook
	dec, err := m.Decide(ctx, in)
	if err != nil {
		return nil, err
	}
	var list []fixtures.Finding
	for _, f := range dec.Findings {
		state := map[decision.Outcome]string{decision.Fired: "true", decision.NotFired: "false",
			decision.Unknown: "unknown"}[f.Outcome]
		list = append(list, fixtures.Finding{Rule: f.Rule, Subject: f.Subject, State: state})
	}
	return findingNames(list), nil
}

func opaFindings(ctx context.Context, p *child, body []byte) ([]string, error) {
	answer, err := post(ctx, "http://"+p.address()+"/v1/data/precept/bench/findings",
		slices.Concat([]byte(`{"input":`), body, []byte("}")))
	if err != nil {
		return nil, err
	}
	var r struct {
		Result []fixtures.Finding `json:"result"`
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return nil, fmt.Errorf("reading OPA's answer: %w", err)
	}
	return findingNames(r.Result), nil
}

func findingNames(list []fixtures.Finding) []string {
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.Rule + " " + f.Subject + " " + f.State
	}
	slices.SortFunc(names, cmp.Compare[string])
	return names
}
