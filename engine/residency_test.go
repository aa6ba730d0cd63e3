package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

// verbs is everything that can be asked of an engine on behalf of somebody.
func verbs(n *node, record string, body []byte) map[string]func(context.Context, Caller) error {
	digest := rulepacks.Digest(n.tenants["north"].now.Load().snapshot.Release().Packs[0].Digest)
	return map[string]func(context.Context, Caller) error{
		"Call": func(ctx context.Context, c Caller) error { _, err := n.Call(ctx, c, "orders", body); return err },
		"Feedback": func(ctx context.Context, c Caller) error {
			_, err := n.Feedback(ctx, c, "orders", []byte(`{}`))
			return err
		},
		"Refuse": func(ctx context.Context, c Caller) error { return n.Refuse(ctx, c, Refusal{Code: "x"}) },
		"Policy": func(_ context.Context, c Caller) error { _, err := n.Policy(c.Tenant); return err },
		"PersonKey": func(_ context.Context, c Caller) error {
			_, _, err := n.PersonKey(c.Tenant, "", n.clock.now())
			return err
		},
		"Apply":      func(ctx context.Context, c Caller) error { _, err := n.Apply(ctx, c, nil); return err },
		"PutPack":    func(ctx context.Context, c Caller) error { return n.PutPack(ctx, c, digest, nil) },
		"Pack":       func(ctx context.Context, c Caller) error { _, err := n.Pack(ctx, c, digest); return err },
		"Status":     func(ctx context.Context, c Caller) error { _, err := n.Status(ctx, c); return err },
		"Statements": func(ctx context.Context, c Caller) error { _, err := n.Statements(ctx, c); return err },
		"Checkpoint": func(ctx context.Context, c Caller) error {
			_, err := n.Checkpoint(ctx, c, "releases")
			return err
		},
		"Tile": func(ctx context.Context, c Caller) error {
			_, err := n.Tile(ctx, c, "releases", 0, 0, 1)
			return err
		},
		"Records": func(ctx context.Context, c Caller) error {
			_, err := n.Records(ctx, c, audit.Filter{})
			return err
		},
		"Record":  func(ctx context.Context, c Caller) error { _, err := n.Record(ctx, c, record); return err },
		"Explain": func(ctx context.Context, c Caller) error { _, err := n.Explain(ctx, c, record); return err },
		"Verify":  func(ctx context.Context, c Caller) error { _, err := n.Verify(ctx, c); return err },
		"Evidence": func(ctx context.Context, c Caller) error {
			_, _, err := n.Evidence(ctx, c, record, EvidenceOptions{PatientData: true})
			return err
		},
	}
}

var (
	forEHRs     = []string{"Call", "Feedback", "Refuse"}
	forAuditors = []string{"Records", "Record", "Explain", "Verify", "Evidence"}
)

func oneOf(list []string, s string) bool {
	return strings.Contains(" "+strings.Join(list, " ")+" ", " "+s+" ")
}

func TestTenantOfAnotherRegionIsRefusedEverywhere(t *testing.T) {
	n := newRegion(t)
	a := n.call("north", decidetest.Patient(t, "clean"))
	before := n.records("north", "")
	n.cfg.Region = "eu-central" // as if the store had been carried to another region's node
	for name, do := range verbs(n, a.RecordID, decidetest.Patient(t, "metformin-egfr-27")) {
		for _, c := range []Caller{ehr("north"), auditor("north")} {
			if err := do(t.Context(), c); !errors.Is(err, tenant.ErrResidency) {
				t.Errorf("%s: error is %v", name, err)
			}
		}
	}
	if n.records("north", "") != before {
		t.Error("something of the tenant was stored in the other region")
	}
}

func TestStoreOfAnotherRegionIsRefused(t *testing.T) {
	n := newRegion(t)
	_, err := audit.Open(t.Context(), audit.Config{Store: n.store,
		Ring: nil, Prefix: "audit.example", Region: "eu-central", Clock: n.clock.now, Rand: n.cfg.Rand})
	if err == nil {
		t.Error("a store of another region was opened")
	}
	_, err = audit.OpenReader(t.Context(), audit.Config{Store: n.store, Prefix: "audit.example", Region: "eu-central"})
	decidetest.WantError(t, err, audit.ErrForeign)
}

func TestDecideRefusesAnotherRegion(t *testing.T) {
	b := decidetest.New(t)
	in := b.Inputs(t, decidetest.Patient(t, "clean"))
	in.Region = "eu-central"
	d, err := b.Materials.Decide(t.Context(), in)
	decidetest.WantError(t, err, tenant.ErrResidency)
	if d != nil {
		t.Error("a decision was made")
	}
	_, err = b.Materials.Replay(t.Context(), in, &decision.Decision{})
	decidetest.WantError(t, err, tenant.ErrResidency)
}

func TestRoles(t *testing.T) {
	n := newRegion(t)
	a := n.call("north", decidetest.Patient(t, "clean"))
	for name, do := range verbs(n, a.RecordID, decidetest.Patient(t, "clean")) {
		if oneOf(forEHRs, name) || name == "Policy" || name == "PersonKey" {
			continue
		}
		for _, who := range []string{"olga", "amy", "rick", "ada", "rosa", "nora", "eve"} {
			err := do(t.Context(), person("north", who))
			may := who != "nora" && who != "eve" && (who == "ada" || !oneOf(forAuditors, name)) &&
				(name != "PutPack" || who == "olga" || who == "amy")
			if errors.Is(err, ErrForbidden) == may {
				t.Errorf("%s by %s: error is %v", name, who, err)
			}
		}
		if err := do(t.Context(), ehr("north")); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s by an EHR: error is %v", name, err)
		}
	}
}

func TestAccessNeedsAPurposeAndIsRecorded(t *testing.T) {
	n := newRegion(t)
	record := n.call("north", decidetest.Patient(t, "clean")).RecordID
	all := verbs(n, record, nil)
	for _, name := range forAuditors {
		before := n.records("north", audit.Access)
		for _, purpose := range []string{"", " \t"} {
			c := auditor("north")
			c.Purpose = purpose
			if err := all[name](t.Context(), c); !errors.Is(err, ErrPurpose) {
				t.Errorf("%s without purpose: %v", name, err)
			}
		}
		if got := n.records("north", audit.Access); got != before {
			t.Errorf("%s: %d accesses recorded that were refused", name, got-before)
		}
		decidetest.Must(t, all[name](t.Context(), auditor("north")))
		want := 1
		if name == "Evidence" {
			want = 2 // that it was asked for, and what was handed out
		}
		if got := n.records("north", audit.Access); got != before+want {
			t.Errorf("%s: %d accesses recorded, want %d", name, got-before, want)
		}
		last := n.newest("north", audit.Access)
		verb := map[string]string{"Records": "list", "Record": "show", "Explain": "explain", "Verify": "verify",
			"Evidence": "evidence"}[name]
		if last.Person != "ada@north" || last.Purpose != "complaint 7" || last.What.Verb != verb {
			t.Errorf("%s recorded as %+v", name, last)
		}
		if (name == "Record" || name == "Explain" || name == "Evidence") && last.What.Record != record {
			t.Errorf("%s does not record which: %+v", name, last)
		}
	}
	// Also what was not found was looked for; text that is not an id stays out of the log.
	_, err := n.Record(t.Context(), auditor("north"), "Zzfamilyquill")
	decidetest.WantError(t, err, audit.ErrNotFound)
	if last := n.newest("north", audit.Access); last.What.Record != "not a record id" {
		t.Errorf("recorded %+v", last)
	}
}

func TestTenantsAreIsolated(t *testing.T) {
	n := newRegion(t)
	record := n.call("north", decidetest.Patient(t, "metformin-egfr-27")).RecordID
	none := "019cb2a0-0000-7000-8000-00000000dead"
	for name, do := range verbs(n, record, decidetest.Patient(t, "clean")) {
		if name == "Policy" || name == "PersonKey" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			// South's people at north's door.
			c := auditor("south")
			c.Tenant = "north"
			if !oneOf(forEHRs, name) {
				decidetest.WantError(t, do(t.Context(), c), ErrForbidden)
			}
			// At their own door, north's record looks like one that never was.
			if name == "Record" || name == "Explain" {
				there := do(t.Context(), auditor("south"))
				decidetest.WantError(t, there, audit.ErrNotFound)
				nowhere := verbs(n, none, nil)[name](t.Context(), auditor("south"))
				if strings.ReplaceAll(there.Error(), record, none) != nowhere.Error() {
					t.Errorf("a record of the other tenant is told apart: %q and %q", there, nowhere)
				}
			}
		})
	}
	page, err := n.Records(t.Context(), auditor("south"), audit.Filter{Kind: audit.Decision})
	decidetest.Must(t, err)
	if len(page.Records) != 0 {
		t.Error("a list holds records of the other tenant")
	}
}

func TestPackOfOneTenantIsHiddenFromTheOther(t *testing.T) {
	n := newRegion(t)
	p := decidetest.Pack(t, "1.0.0", decidetest.RuleFires)
	n.withTrial("north", p)
	got, err := n.Pack(t.Context(), auditor("north"), p.Digest)
	decidetest.Must(t, err)
	if string(got) != string(p.Archive()) {
		t.Error("the pack came back changed")
	}
	_, err = n.Pack(t.Context(), auditor("south"), p.Digest)
	decidetest.WantError(t, err, audit.ErrNotFound)

	// Who knows the digest has not shown the bytes: a release of them is refused as
	// one of bytes that nobody has.
	var refusals []string
	for _, x := range []*rulepacks.Pack{p, decidetest.Pack(t, "2.0.0", decidetest.RuleFires)} {
		_, err := n.apply("south", sign(t, about(x), n.releaseOf("south", x), author))
		decidetest.WantError(t, err, ErrStatement)
		refusals = append(refusals, strings.ReplaceAll(err.Error(), string(x.Digest), "DIGEST"))
	}
	if refusals[0] != refusals[1] || !strings.Contains(refusals[0], "not uploaded") {
		t.Errorf("the refusals differ: %q", refusals)
	}
	_, err = n.Pack(t.Context(), auditor("south"), p.Digest)
	decidetest.WantError(t, err, audit.ErrNotFound)
	n.put("south", p)
	n.release("south", p)
	_, err = n.Pack(t.Context(), auditor("south"), p.Digest)
	decidetest.Must(t, err)
}

// A statement of north cannot be played into the log of south, not even by
// somebody who is trusted there.
func TestStatementOfAnotherTenant(t *testing.T) {
	n := newRegion(t)
	env := sign(t, statement.PackDigest{},
		statement.Suspension{Tenant: "north", Region: statement.Region(testRegion), Pack: "renal_dosing",
			Reason: "wrong", SuspendedAt: n.clock.now()}, "rick@north")
	_ = n.unchanged("south", signing.ErrWrongTenant, func() error { _, err := n.apply("south", env); return err })
}

func TestTenantOfAnotherRegionIsSentAway(t *testing.T) {
	n := newRegion(t)
	n.cfg.Elsewhere = map[tenant.ID]tenant.Region{"munich": "eu-central"}
	_, err := n.Call(t.Context(), ehr("munich"), "orders", []byte("{}"))
	decidetest.WantError(t, err, tenant.ErrResidency)
	_, err = n.Status(t.Context(), person("munich", "ada"))
	decidetest.WantError(t, err, tenant.ErrResidency)
	_, err = Open(t.Context(), Config{Region: n.cfg.Region, Log: n.log, Clock: n.clock.now,
		Elsewhere: map[tenant.ID]tenant.Region{"munich": n.cfg.Region}})
	if err == nil {
		t.Error("a tenant without a root was taken for one of this region")
	}
}
