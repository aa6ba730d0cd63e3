package engine

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// away is what an auditor elsewhere has: the pinned root, and what the server
// gives out.
type away struct {
	testing.TB
	*node
	pin        trust.Digest
	statements []decide.Logged
	fetch      func(context.Context, rulepacks.Digest) ([]byte, error)
}

func (n *node) away(id tenant.ID) *away {
	n.Helper()
	a := &away{TB: n.TB, node: n}
	for _, r := range n.roots {
		if r.Tenant == id {
			a.pin = r.Digest
		}
	}
	var err error
	a.statements, err = n.Statements(n.Context(), auditor(id))
	decidetest.Must(n, err)
	a.fetch = func(ctx context.Context, d rulepacks.Digest) ([]byte, error) { return n.Pack(ctx, auditor(id), d) }
	return a
}

func (a *away) materials(id tenant.ID) *decide.Materials {
	a.TB.Helper()
	m, err := decide.MaterialsFromLog(a.TB.Context(), id, a.pin, a.statements, a.fetch)
	decidetest.Must(a.TB, err)
	return m
}

// record fetches and opens a record as an auditor does.
func (a *away) record(id tenant.ID, record string) (*decision.Inputs, *decision.Decision) {
	a.TB.Helper()
	rec, err := a.Record(a.TB.Context(), auditor(id), record)
	decidetest.Must(a.TB, err)
	in, d, err := decision.Decode(rec.Body)
	decidetest.Must(a.TB, err)
	return in, d
}

func (a *away) same(m *decide.Materials, id tenant.ID, record string) {
	a.TB.Helper()
	in, d := a.record(id, record)
	r, err := m.Replay(a.TB.Context(), in, d)
	decidetest.Must(a.TB, err)
	if !r.Same {
		a.TB.Errorf("record %s differs: %v", record, r.Differences)
	}
}

func TestEveryFixtureReplaysElsewhere(t *testing.T) {
	n := newRegion(t)
	var ids []string
	for _, p := range decidetest.Patients(t) {
		ids = append(ids, n.call("north", p.Request).RecordID)
	}
	for i := range 5 {
		ids = append(ids, n.call("north", fixtures.Standard(1, i+1)).RecordID)
	}
	german := decidetest.PolicyFor(t, "north")
	german.Language = "de"
	n.policy("north", german)
	for i, p := range decidetest.Patients(t) {
		ids = append(ids, n.call("north", decidetest.WithInstance(t, p.Request, i)).RecordID)
	}
	n.restart()
	a := n.away("north")
	m := a.materials("north")
	for _, id := range ids {
		a.same(m, "north", id)
	}
}

// Records stay replayable whatever becomes of what they were decided with.
func TestReplayAfterEverythingChanged(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "metformin-egfr-27")
	var ids []string
	call := func() {
		n.clock.advance(time.Second)
		ids = append(ids, n.call("north", decidetest.WithInstance(t, body, len(ids))).RecordID)
	}
	call()
	stop := n.suspend("north", "renal_dosing", "", "wrong")
	call()
	n.resume("north", stop)
	n.suspend("north", "renal_dosing", "metformin-caution", "noisy")
	call()
	n.activate("north", goodUpdate(t),
		func(a *statement.Activation) { a.DeactivateAt = n.clock.now().Add(time.Minute) })
	call()
	n.clock.advance(time.Minute)
	call()
	p := decidetest.PolicyFor(t, "north")
	p.Parameters = map[string]map[string]jsontext.Value{"nsaid_anticoagulant": {}}
	p.Language = "de"
	n.policy("north", p)
	call()
	n.revoke("north", statement.Target{Type: statement.TargetPerson, Value: author}, statement.Revoke)
	n.restart()
	if live := n.trust("north").Live(); len(live) != 0 {
		t.Fatalf("after its author was revoked: %v", live)
	}
	a := n.away("north")
	m := a.materials("north")
	for _, id := range ids {
		a.same(m, "north", id)
	}
}

func TestRecordIsHeldAgainstTheReleaseLog(t *testing.T) {
	n := newRegion(t)
	record := n.call("north", decidetest.Patient(t, "metformin-egfr-27")).RecordID
	n.suspend("north", "renal_dosing", "egfr-needed", "noisy")
	late := n.call("north", decidetest.Patient(t, "metformin-no-labs")).RecordID
	a := n.away("north")
	for _, c := range []struct {
		name   string
		record string
		change func(*decision.Inputs)
	}{
		{"a pack left out", record, func(in *decision.Inputs) { in.Release.Packs = in.Release.Packs[:2] }},
		{"another archive", record, func(in *decision.Inputs) {
			in.Release.Packs[0].Digest = in.Release.Packs[1].Digest
		}},
		{"another activation", record, func(in *decision.Inputs) { in.Release.Packs[0].Seq++ }},
		{"no terminology", record, func(in *decision.Inputs) { in.Release.Terminology = nil }},
		{"another policy", record, func(in *decision.Inputs) { in.Policy.Digest = strings.Repeat("0", 64) }},
		{"another policy number", record, func(in *decision.Inputs) { in.Policy.Seq++ }},
		{"before anything was live", record, func(in *decision.Inputs) { in.Release.Size = 1 }},
		{"in the future", record, func(in *decision.Inputs) { in.Release.Size = 1000 }},
		{"size 0", record, func(in *decision.Inputs) { in.Release.Size = 0 }},
		{"another tenant", record, func(in *decision.Inputs) { in.Tenant = "south" }},
		{"a suspension that never was", record, func(in *decision.Inputs) {
			in.Cut = append(in.Cut, decision.Cut{Rule: "renal_dosing/metformin-contraindicated",
				Subject: decision.AnySubject, Cause: decision.CutSuspension})
		}},
		{"a suspension left out", late, func(in *decision.Inputs) { in.Cut = nil }},
		{"a cut for no reason of time", record, func(in *decision.Inputs) {
			in.Cut = append(in.Cut, decision.Cut{Rule: "renal_dosing/metformin-contraindicated",
				Subject: decision.AnySubject, Cause: decision.CutNotRun})
		}},
		{"an archive missing of a pack that ran", record, func(in *decision.Inputs) {
			in.Release.Packs[2].Why = decision.WhyMissing
		}},
		{"not run without a reason", record, func(in *decision.Inputs) {
			in.Release.Packs[2].Mode = decision.NotRunnable
		}},
		{"not run for a reason that nobody knows", record, func(in *decision.Inputs) {
			in.Release.Packs[2].Mode, in.Release.Packs[2].Why = decision.NotRunnable, "tired"
		}},
		{"packs run although the terminology could not be", record, func(in *decision.Inputs) {
			t := *in.Release.Terminology
			t.Mode, t.Why = decision.NotRunnable, decision.WhyMissing
			in.Release.Terminology = &t
		}},
		{"another library", record, func(in *decision.Inputs) { in.Release.Packs[2].Library = "1.0.1" }},
		{"another zone", record, func(in *decision.Inputs) { in.Zone = "Asia/Tokyo" }},
		{"another language", record, func(in *decision.Inputs) { in.Language = "de" }},
		{"another dialect", record, func(in *decision.Inputs) { in.Dialect = "1.0" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, d := a.record("north", c.record)
			c.change(in)
			r, err := a.materials("north").Replay(t.Context(), in, d)
			decidetest.WantError(t, err, decide.ErrNotLive)
			if r != nil {
				t.Error("there is a result")
			}
		})
	}
}

// TestPackIsNoTerminology has a record pass a live pack off as a terminology that could
// not be loaded: nothing would then say that its checks were not done.
func TestPackIsNoTerminology(t *testing.T) {
	n := newRegion(t)
	off := n.activationOf("north", decidetest.ReferencePack(t, terms))
	off.Mode = statement.Off
	n.sayOf("north", about(decidetest.ReferencePack(t, terms)), off, "rick@north")
	a := n.away("north")
	in, d := a.record("north", n.call("north", decidetest.Patient(t, "metformin-egfr-27")).RecordID)
	last := len(in.Release.Packs) - 1
	hidden := in.Release.Packs[last]
	hidden.Mode, hidden.Why = decision.NotRunnable, decision.WhyMissing
	in.Release.Packs, in.Release.Terminology = in.Release.Packs[:last], &hidden
	_, err := a.materials("north").Replay(t.Context(), in, d)
	decidetest.WantError(t, err, decide.ErrNotLive)
}

func TestReleaseLogIsNotBelieved(t *testing.T) {
	n := newRegion(t)
	record := n.call("north", decidetest.Patient(t, "clean")).RecordID
	last := func(a *away) *decide.Logged { return &a.statements[len(a.statements)-1] }
	for _, c := range []struct {
		name   string
		change func(*away)
		want   error
	}{
		{"another root", func(a *away) { a.pin = a.roots[1].Digest }, signing.ErrUntrustedRoot},
		{"log of the other tenant", func(a *away) { a.statements = n.away("south").statements },
			signing.ErrWrongTenant},
		{"a statement left out", func(a *away) { a.statements = slices.Delete(slices.Clone(a.statements), 5, 6) },
			signing.ErrUnreviewed},
		{"the placement left out", func(a *away) { a.statements = slices.Delete(slices.Clone(a.statements), 3, 4) },
			decide.ErrNotLive},
		{"two swapped", func(a *away) { s := a.statements; s[4], s[5] = s[5], s[4] }, signing.ErrUnknown},
		{"one twice", func(a *away) { a.statements = append(a.statements, *last(a)) }, signing.ErrSequence},
		{"a signature broken", func(a *away) {
			last(a).Envelope = string(swapPayload(t, []byte(last(a).Envelope),
				[]byte(a.statements[len(a.statements)-4].Envelope)))
		}, signing.ErrSignature},
		{"a time long after", func(a *away) { last(a).Time = last(a).Time.AddDate(10, 0, 0) }, signing.ErrExpired},
		{"not a statement", func(a *away) { last(a).Envelope = "{}" }, statement.ErrUnsupported},
		{"empty", func(a *away) { a.statements = nil }, decide.ErrNotLive},
		{"another pack under the digest", func(a *away) {
			a.fetch = func(context.Context, rulepacks.Digest) ([]byte, error) { return goodUpdate(t).Archive(), nil }
		}, rulepacks.ErrDigest},
		{"a pack that is gone", func(a *away) {
			a.fetch = func(context.Context, rulepacks.Digest) ([]byte, error) { return nil, audit.ErrNotFound }
		}, audit.ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := n.away("north")
			c.change(a)
			m, err := decide.MaterialsFromLog(t.Context(), "north", a.pin, a.statements, a.fetch)
			if err == nil {
				in, d := a.record("north", record)
				_, err = m.Replay(t.Context(), in, d)
			}
			decidetest.WantError(t, err, c.want)
		})
	}
}

func TestChangedLabValueIsNamed(t *testing.T) {
	n := newRegion(t)
	record := n.call("north", decidetest.Patient(t, "standard")).RecordID
	in, d := n.opened("north", record)
	// The newest eGFR of the standard patient, 34, becomes 24.
	const was, is = `"value":34,`, `"value":24,`
	if bytes.Count(in.Request, []byte(was)) != 1 {
		t.Fatalf("the fixture holds %d values like %s", bytes.Count(in.Request, []byte(was)), was)
	}
	in.Request = bytes.Replace(in.Request, []byte(was), []byte(is), 1)
	r, err := n.materials.Replay(t.Context(), in, d)
	decidetest.Must(t, err)
	if r.Same {
		t.Fatal("the change went unnoticed")
	}
	var named []string
	for _, x := range r.Differences {
		named = append(named, x.Rule)
	}
	want := []string{"renal_dosing/egfr-needed", "renal_dosing/metformin-caution",
		"renal_dosing/metformin-contraindicated", ""}
	if !slices.Equal(named, want) {
		t.Errorf("differences in %q, want %q", named, want)
	}
	i := slices.IndexFunc(r.Differences,
		func(x decide.Difference) bool { return x.Rule == "renal_dosing/metformin-contraindicated" })
	text := r.Differences[i].String()
	for _, part := range []string{"was not (eGFR 34 mL/min/1.73 m²)", "is fired (eGFR 24 mL/min/1.73 m²)"} {
		if !strings.Contains(text, part) {
			t.Errorf("the difference is %q; want %q in it", text, part)
		}
	}
}

func TestExplainOverTheEngine(t *testing.T) {
	n := newRegion(t)
	record := n.call("north", decidetest.Patient(t, "text-only")).RecordID
	why, err := n.Explain(t.Context(), auditor("north"), record)
	decidetest.Must(t, err)
	var b strings.Builder
	decidetest.Must(t, why.WriteText(&b))
	text := b.String()
	for _, part := range []string{record,
		"pack      renal_dosing 1.0.0, activation 1, sha256 " + referencePackDigest(t, "renal_dosing"),
		"drugs     terminology_core", "note      index-not-consulted", "UNKNOWN  core/unidentified-order"} {
		if !strings.Contains(text, part) {
			t.Errorf("it lacks %q:\n%s", part, text)
		}
	}
	_, err = n.Explain(t.Context(), auditor("north"), string(n.newestID("north", audit.Access)))
	decidetest.WantError(t, err, decision.ErrBody)
}

func (n *node) newestID(id tenant.ID, kind audit.Kind) audit.RecordID {
	n.Helper()
	page, err := n.log.List(n.Context(), id, audit.Filter{Kind: kind, Limit: 1})
	decidetest.Must(n, err)
	return page.Records[0].Leaf.RecordID
}
