package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// editedPack is a reference pack of another version, with one text in one of
// its files replaced.
func editedPack(t testing.TB, name, version string, edits ...[3]string) *rulepacks.Pack {
	t.Helper()
	old := decidetest.ReferencePack(t, name)
	edits = append(edits, [3]string{"pack.yaml", `version: "` + old.Manifest.Version + `"`,
		`version: "` + version + `"`})
	var files []packfile.File
	for _, f := range old.Files {
		if f.Name == ".manifest" {
			continue // generated anew
		}
		f.Data = bytes.Clone(f.Data)
		for _, e := range edits {
			if e[0] != f.Name {
				continue
			}
			if !bytes.Contains(f.Data, []byte(e[1])) {
				t.Fatalf("%s of %s holds no %q", f.Name, name, e[1])
			}
			f.Data = bytes.Replace(f.Data, []byte(e[1]), []byte(e[2]), 1)
		}
		files = append(files, f)
	}
	p, err := rulepacks.FromFiles(files)
	decidetest.Must(t, err)
	return p
}

// A renal pack whose first case wants the opposite.
func wrongCases(t testing.TB) *rulepacks.Pack {
	return editedPack(t, "renal_dosing", "1.0.1",
		[3]string{"cases/creatinine.yaml", `state: "true"`, `state: "false"`})
}

func goodUpdate(t testing.TB) *rulepacks.Pack {
	return editedPack(t, "renal_dosing", "1.0.1", [3]string{"README.md", "a", "b"})
}

// unchanged runs do, which must fail with want, and checks that nothing came of it.
func (n *node) unchanged(id tenant.ID, want error, do func() error) error {
	n.Helper()
	size, snapshot, logged := n.trust(id).Size(), n.tenants[id].now.Load().snapshot, n.records(id, audit.Statement)
	err := do()
	decidetest.WantError(n, err, want)
	if n.trust(id).Size() != size || n.tenants[id].now.Load().snapshot != snapshot ||
		n.records(id, audit.Statement) != logged {
		n.Errorf("a refused statement changed what is in force: %v", err)
	}
	return err
}

func TestReleaseIsHeldAgainstTheArchive(t *testing.T) {
	n := newRegion(t)
	p := goodUpdate(t)
	n.put("north", p)
	for _, c := range []struct {
		name   string
		about  func(*statement.PackDigest)
		change func(*statement.PackRelease)
		want   error
	}{
		{"never uploaded", func(d *statement.PackDigest) { d.SHA256 = trust.DigestOf([]byte("x")) }, nil,
			ErrStatement},
		{"other dirHash1", func(d *statement.PackDigest) { d.DirHash1 = trust.DigestOf([]byte("x")) }, nil,
			ErrStatement},
		{"other version", nil, func(r *statement.PackRelease) { r.Version = "9.9.9" }, ErrStatement},
		{"other kind", nil, func(r *statement.PackRelease) { r.PackKind, r.Library = statement.TerminologyPack, "" },
			ErrStatement},
		{"other library", nil, func(r *statement.PackRelease) { r.Library = "2" }, ErrStatement},
		{"out of order", nil, func(r *statement.PackRelease) { r.Seq = 5 }, signing.ErrSequence},
		{"another's pack name", nil, func(r *statement.PackRelease) { r.Pack, r.Seq, r.Supersedes = "other", 1, "" },
			ErrStatement},
	} {
		t.Run(c.name, func(t *testing.T) {
			digest, release := about(p), n.releaseOf("north", p)
			if c.about != nil {
				c.about(&digest)
			}
			if c.change != nil {
				c.change(&release)
			}
			_ = n.unchanged("north", c.want, func() error {
				_, err := n.apply("north", sign(n, digest, release, author))
				return err
			})
		})
	}
}

func TestUploads(t *testing.T) {
	n := newRegion(t)
	p := goodUpdate(t)
	tar := p.Archive()
	for _, c := range []struct {
		name    string
		archive []byte
		want    error
	}{
		{"changed after signing", bytes.Replace(tar, []byte("Metformin"), []byte("Metfornin"), 1),
			rulepacks.ErrDigest},
		{"with a file that no pack has", renamed(t, tar, "NOTICE", "NOTIXE"), rulepacks.ErrUnknownFile},
		{"cut short", tar[:len(tar)/2], packfile.ErrMalformed},
		{"rules that do not compile", broken(t), decide.ErrPack},
	} {
		t.Run(c.name, func(t *testing.T) {
			digest := p.Digest
			if errors.Is(c.want, decide.ErrPack) {
				digest = rulepacks.Digest(trust.DigestOf(c.archive))
			}
			err := n.PutPack(t.Context(), person("north", "olga"), digest, c.archive)
			decidetest.WantError(t, err, c.want)
			if _, err := n.blob(t.Context(), digest); !errors.Is(err, audit.ErrNotFound) {
				t.Errorf("it was stored: %v", err)
			}
		})
	}
	decidetest.Must(t, n.PutPack(t.Context(), person("north", "olga"), p.Digest, tar))
	decidetest.Must(t, n.PutPack(t.Context(), person("south", "olga"), p.Digest, tar)) // the same again is fine
	if n.materials.Pack(p.Digest) != nil {
		t.Error("an upload that no release names is kept in memory")
	}
	_, err := n.Pack(t.Context(), auditor("north"), p.Digest)
	decidetest.WantError(t, err, audit.ErrNotFound) // not named by the release log yet
}

// renamed changes the name of one entry of a tar archive.
func renamed(t testing.TB, tar []byte, from, to string) []byte {
	t.Helper()
	out := bytes.Clone(tar)
	i := bytes.Index(out, append([]byte(from), 0))
	if i < 0 || i%512 != 0 {
		t.Fatalf("no entry %s", from)
	}
	head := out[i : i+512]
	copy(head, to)
	copy(head[148:], "        ")
	sum := 0
	for _, b := range head {
		sum += int(b)
	}
	for k := 5; k >= 0; k-- {
		head[148+k] = byte('0' + sum&7)
		sum >>= 3
	}
	head[154] = 0
	return out
}

func broken(t testing.TB) []byte {
	return decidetest.Pack(t, "1.0.0",
		decidetest.Rule{ID: "bad", Body: "holds := nothing(1)\n\n" + decidetest.PlainCard}).Archive()
}

func TestStatementsChangedAfterSigning(t *testing.T) {
	n := newRegion(t)
	p := decidetest.PolicyFor(t, "north")
	env := n.policyEnvelope("north", p)
	other := p
	other.Language = "de"
	forged := n.policyEnvelope("north", other)
	mixed := swapPayload(t, env.Bytes(), forged.Bytes())
	_ = n.unchanged("north", signing.ErrSignature, func() error {
		_, err := n.Apply(t.Context(), person("north", "olga"), mixed)
		return err
	})
	_ = n.unchanged("north", statement.ErrMalformed, func() error {
		_, err := n.Apply(t.Context(), person("north", "olga"), env.Bytes()[:200])
		return err
	})
}

// TestSpellingsThatEnterNoLog: a root that another program signed with an identity in another
// spelling is not logged, although a log that holds one is read.
func TestSpellingsThatEnterNoLog(t *testing.T) {
	n := newRegion(t)
	next := publisherRoot(t)
	next.Version = 2
	good := sign(t, statement.PackDigest{}, next, "pat@heartland.example")
	next.Persons[0].Identities = []string{"mailto:" + author}
	payload, err := statement.Statement{Predicate: next}.Payload()
	decidetest.Must(t, err)
	other := swapPayload(t, good.Bytes(), fmt.Appendf(nil, `"payload":"%s"`, base64.StdEncoding.EncodeToString(payload)))
	if _, err := signing.ReadEnvelope(other); err != nil {
		t.Fatal(err)
	}
	_ = n.unchanged("north", statement.ErrMalformed, func() error {
		_, err := n.Apply(t.Context(), person("north", "olga"), other)
		return err
	})
}

// swapPayload puts the payload of one envelope under the signatures of another.
func swapPayload(t testing.TB, signed, other []byte) []byte {
	t.Helper()
	payload := func(b []byte) []byte {
		_, rest, ok := bytes.Cut(b, []byte(`"payload":"`))
		p, _, ok2 := bytes.Cut(rest, []byte(`"`))
		if !ok || !ok2 {
			t.Fatal("no payload")
		}
		return p
	}
	return bytes.ReplaceAll(signed, payload(signed), payload(other))
}

func TestActivationNeedsTheChain(t *testing.T) {
	n := newRegion(t)
	p := goodUpdate(t)
	n.put("north", p)
	n.sayOf("north", about(p), n.releaseOf("north", p), author)
	try := func() error { _, err := n.tryActivate("north", p); return err }

	_ = n.unchanged("north", signing.ErrUnreviewed, try) // signed by the author alone
	_ = n.unchanged("north", signing.ErrSelfReview, func() error {
		_, err := n.apply("north", sign(n, about(p), n.reviewOf(p), author))
		return err
	})
	_ = n.unchanged("north", signing.ErrThreshold, func() error { // an author who is not a reviewer
		_, err := n.apply("north", sign(n, about(p), n.reviewOf(p), second))
		return err
	})
	n.sayOf("north", about(p), n.reviewOf(p), reviewer)
	_ = n.unchanged("north", signing.ErrThreshold, func() error { // the operator does not approve
		_, err := n.apply("north", sign(n, about(p), n.activationOf("north", p), "olga@north"))
		return err
	})
	_ = n.unchanged("north", signing.ErrUntrustedSigner, func() error { // nor does the other tenant's approver
		_, err := n.apply("north", sign(n, about(p), n.activationOf("north", p), "amy@south"))
		return err
	})
	for name, change := range map[string]func(*statement.Activation){
		"shadow":        func(a *statement.Activation) { a.Mode = statement.Shadow },
		"in the future": func(a *statement.Activation) { a.ActivateAt = n.clock.now().AddDate(0, 0, 1) },
		"other library": func(a *statement.Activation) { a.Library = "1.0.9" },
	} {
		err := n.unchanged("north", ErrStatement,
			func() error { _, err := n.tryActivate("north", p, change); return err })
		t.Logf("%s: %v", name, err)
	}
	decidetest.Must(t, try())
	st := n.tenants["north"].now.Load().snapshot.Release().Packs
	if !slices.ContainsFunc(st, func(r decision.Ref) bool { return r.Digest == string(p.Digest) }) {
		t.Error("the new version is not live")
	}
}

func TestActivationBeforePolicy(t *testing.T) {
	n := newNode(t)
	n.say("north", publisherRoot(t), "pat@heartland.example")
	p := decidetest.ReferencePack(t, terms)
	n.release("north", p)
	_ = n.unchanged("north", ErrNotReady, func() error { _, err := n.tryActivate("north", p); return err })
}

func TestRulesNeedATerminology(t *testing.T) {
	n := newNode(t)
	n.say("north", publisherRoot(t), "pat@heartland.example")
	n.policy("north", decidetest.PolicyFor(t, "north"))
	p := decidetest.ReferencePack(t, "renal_dosing")
	n.release("north", p)
	err := n.unchanged("north", ErrStatement, func() error { _, err := n.tryActivate("north", p); return err })
	if !strings.Contains(err.Error(), "terminology") {
		t.Errorf("error does not say what is missing: %v", err)
	}
}

func TestInputsThatNoPrefetchDelivers(t *testing.T) {
	without := func(key string) tenant.Policy {
		p := decidetest.PolicyFor(t, "north")
		for i := range p.Services {
			p.Services[i].Prefetch = slices.DeleteFunc(slices.Clone(p.Services[i].Prefetch),
				func(x tenant.Prefetch) bool { return x.Key == key })
		}
		return p
	}
	n := newRegion(t)
	// A policy may not starve what is live.
	err := n.unchanged("north", ErrStatement,
		func() error { _, err := n.apply("north", n.policyEnvelope("north", without("labs"))); return err })
	if !strings.Contains(err.Error(), "renal_dosing reads Observation") {
		t.Errorf("error does not name pack and type: %v", err)
	}
	renal := decidetest.ReferencePack(t, "renal_dosing")
	off := n.activationOf("north", renal)
	off.Mode = statement.Off
	n.sayOf("north", about(renal), off, "rick@north")
	n.policy("north", without("labs"))
	_ = n.unchanged("north", ErrStatement, func() error { _, err := n.tryActivate("north", renal); return err })
	n.activate("north", renal, func(a *statement.Activation) { a.InputsUnknown = []string{"Observation"} })
	// What was signed stays true after a restart, and for the next policy.
	n.restart()
	n.policy("north", without("labs"))
	_, d := n.opened("north", n.call("north", decidetest.Patient(t, "metformin-egfr-27")).RecordID)
	if f := decidetest.Finding(t, d, "renal_dosing/metformin-contraindicated"); f.Outcome != "unknown" ||
		f.Card == "" {
		t.Errorf("without lab results: %+v", f)
	}
}

// otherIngredient edits the terminology so that a product holds 519 instead of its ingredient.
func otherIngredient(display, ingredient string) [3]string {
	of := func(i string) string {
		return fmt.Sprintf(`"display": %q, "ingredients": [%q], "form": "oral", "strengths": [{"ingredient": %q`,
			display, i, i)
	}
	return [3]string{"tables/products.json", of(ingredient), of("519")}
}

func TestCasesGuardWhatGoesLive(t *testing.T) {
	t.Run("a new pack", func(t *testing.T) {
		n := newRegion(t)
		p := wrongCases(t)
		n.release("north", p)
		err := n.unchanged("north", decide.ErrCases, func() error { _, err := n.tryActivate("north", p); return err })
		if !strings.Contains(err.Error(), "man-70-creatinine-2.5") {
			t.Errorf("error does not name the case: %v", err)
		}
		if a := n.call("north", decidetest.Patient(t, "metformin-egfr-27")); a.Cards.Total() != 1 {
			t.Error("the live release did not stay")
		}
	})
	t.Run("a new terminology", func(t *testing.T) {
		n := newRegion(t)
		bad := editedPack(t, terms, "2026.2.0",
			[3]string{"tables/products.json", `"release": "2026.1"`, `"release": "2026.2"`},
			otherIngredient("warfarin 0.5 mg", "11289"),
			otherIngredient("ketorolac 10 mg", "35827"))
		n.release("north", bad)
		_ = n.unchanged("north", decide.ErrCases, func() error { _, err := n.tryActivate("north", bad); return err })
	})
	t.Run("a terminology that packs were not tested with", func(t *testing.T) {
		n := newRegion(t)
		old := editedPack(t, terms, "2025.1.0",
			[3]string{"tables/products.json", `"release": "2026.1"`, `"release": "2025.1"`})
		n.release("north", old)
		_ = n.unchanged("north", ErrStatement, func() error { _, err := n.tryActivate("north", old); return err })
	})
	t.Run("what comes back from a suspension", func(t *testing.T) {
		n := newRegion(t)
		stop := n.suspend("north", "renal_dosing", "", "wrong")
		p := wrongCases(t)
		n.release("north", p)
		// Also while it is out of service: a resumption must not be the way around the cases.
		_ = n.unchanged("north", decide.ErrCases, func() error { _, err := n.tryActivate("north", p); return err })
		n.resume("north", stop)
		if a := n.call("north", decidetest.Patient(t, "metformin-egfr-27")); a.Cards.Total() != 1 {
			t.Errorf("after the resumption: %s", a.Body)
		}
		// A terminology that its cases do not hold with came meanwhile.
		stop = n.suspend("north", "nsaid_anticoagulant", "", "wrong")
		n.activate("north", editedPack(t, terms, "2026.2.0",
			[3]string{"tables/products.json", `"release": "2026.1"`, `"release": "2026.2"`},
			otherIngredient("ketorolac 10 mg", "35827")))
		resumption := statement.Resumption{Tenant: "north", Region: statement.Region(testRegion),
			Lifts: trust.Digest(stop.Digest), Reason: "fixed", ResumedAt: n.clock.now()}
		_ = n.unchanged("north", decide.ErrCases, func() error {
			_, err := n.apply("north", sign(t, statement.PackDigest{}, resumption, "amy@north"))
			return err
		})
	})
}

func TestPolicyForAnother(t *testing.T) {
	n := newRegion(t)
	for _, c := range []struct {
		name  string
		inner func(*tenant.Policy)
		outer func(*statement.TenantPolicy)
		want  error
	}{
		{"statement for another tenant", nil, func(s *statement.TenantPolicy) { s.Tenant = "south" },
			signing.ErrWrongTenant},
		{"statement for another region", nil, func(s *statement.TenantPolicy) { s.Region = "eu-central" },
			signing.ErrWrongRegion},
		{"policy for another tenant", func(p *tenant.Policy) { p.Tenant = "south" }, nil, ErrStatement},
		{"policy for another region", func(p *tenant.Policy) { p.Region = "eu-central" }, nil, ErrStatement},
		{"both for another region", func(p *tenant.Policy) { p.Region = "eu-central" },
			func(s *statement.TenantPolicy) { s.Region = "eu-central" }, signing.ErrWrongRegion},
		{"an older one again", nil, func(s *statement.TenantPolicy) { s.Seq = 1 }, signing.ErrSequence},
		{"parameters that do not fit", func(p *tenant.Policy) {
			p.Parameters = map[string]map[string]jsontext.Value{"renal_dosing": {"egfr_max_age": jsontext.Value(
				`"a year"`)}}
		}, nil, manifest.ErrParameter},
		{"nonsense", func(p *tenant.Policy) { p.Limits.DeadlineMS = -1 }, nil, tenant.ErrPolicy},
		{"a zone that nobody knows", func(p *tenant.Policy) { p.Zone = "Mars/Olympus" }, nil, tenant.ErrPolicy},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := decidetest.PolicyFor(t, "north")
			if c.inner != nil {
				c.inner(&p)
			}
			if c.outer == nil {
				c.outer = func(*statement.TenantPolicy) {}
			}
			_ = n.unchanged("north", c.want,
				func() error { _, err := n.apply("north", n.policyEnvelope("north", p, c.outer)); return err })
		})
	}
}

func TestRollBackIsANewActivation(t *testing.T) {
	n := newRegion(t)
	old := decidetest.ReferencePack(t, "renal_dosing")
	first := n.activationOf("north", old)
	n.sayOf("north", about(old), first, "amy@north") // a second time, so that its envelope is at hand
	n.activate("north", goodUpdate(t))
	_ = n.unchanged("north", signing.ErrSequence,
		func() error { _, err := n.apply("north", sign(n, about(old), first, "amy@north")); return err })
	n.activate("north", old)
	if _, digest := n.trust("north").Succession("renal_dosing"); digest != trust.Digest(old.Digest) {
		t.Error("the roll-back did not take effect")
	}
}

func TestConcurrentStatements(t *testing.T) {
	n := newRegion(t)
	env := n.policyEnvelope("north", decidetest.PolicyFor(t, "north"))
	size := n.trust("north").Size()
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = n.Apply(t.Context(), person("north", "olga"), env.Bytes()) })
	}
	wg.Wait()
	taken := 0
	for _, err := range errs {
		if err == nil {
			taken++
		} else if !errors.Is(err, signing.ErrSequence) {
			t.Errorf("error is %v", err)
		}
	}
	if taken != 1 || n.trust("north").Size() != size+1 {
		t.Errorf("%d of the same statements were taken", taken)
	}
}

// TestParameterThatAPackDoesNotHave: the policy's parameters are held against the
// pack that is activated, and the pack in force against the policy.
func TestParameterThatAPackDoesNotHave(t *testing.T) {
	n := newRegion(t)
	bad := decidetest.PolicyFor(t, "north")
	bad.Parameters = map[string]map[string]jsontext.Value{"renal_dosing": {"nonesuch": jsontext.Value("1")},
		"trial": {"nonesuch": jsontext.Value("1")}}
	_, err := n.apply("north", n.policyEnvelope("north", bad))
	decidetest.WantError(t, err, ErrStatement)
	if !strings.Contains(err.Error(), "nonesuch") {
		t.Errorf("the policy's refusal does not name the parameter: %v", err)
	}
	delete(bad.Parameters, "renal_dosing")
	for i := range bad.Services {
		bad.Services[i].Packs = append(bad.Services[i].Packs, "trial")
	}
	n.policy("north", bad)
	p := decidetest.Pack(t, "1.0.0", decidetest.RuleFires)
	n.release("north", p)
	_, err = n.tryActivate("north", p)
	decidetest.WantError(t, err, ErrStatement)
	if !strings.Contains(err.Error(), "nonesuch") {
		t.Errorf("the activation's refusal does not name the parameter: %v", err)
	}
}

// TestSuspensionDoesNotWait has an activation whose golden cases take hours: a
// suspension of another pack is taken meanwhile, and binds at once.
func TestSuspensionDoesNotWait(t *testing.T) {
	n := newRegion(t)
	slow := decidetest.PackOf(t, "1.0.0", map[string]string{"cases/loop.yaml": slowCase}, decidetest.RuleLoops)
	n.put("north", slow)
	n.release("north", slow)
	ctx, cancel := context.WithCancel(t.Context())
	applied := make(chan error, 1)
	env := sign(t, about(slow), n.activationOf("north", slow), "amy@north")
	go func() {
		_, err := n.Apply(ctx, person("north", "rick"), env.Bytes())
		applied <- err
	}()
	eventually(t, "the activation is being checked", func() bool { return len(n.tenants["north"].apply) == 1 })
	start := time.Now()
	n.suspend("north", "renal_dosing", "", "wrong limit")
	if took := time.Since(start); took > time.Second {
		t.Errorf("the suspension took %s", took)
	}
	a := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	if !decidetest.HasCard(decidetest.Cards(t, a.Body), "not done") {
		t.Errorf("after the suspension: %s", a.Body)
	}
	select {
	case err := <-applied:
		t.Fatalf("the activation ended before it was stopped: %v", err)
	default:
	}
	cancel()
	decidetest.WantError(t, <-applied, context.Canceled)
}

const slowCase = `cases:
  - name: loop
    hook: order-sign
    time: "2026-03-02T15:00:00Z"
    zone: UTC
    context: {patientId: p1, userId: Practitioner/u1, draftOrders: {resourceType: Bundle, type: collection}}
    prefetch: {patient: {resourceType: Patient, id: p1, gender: male, birthDate: "1955-06-15"}}
    want:
      - {rule: a-loop, subject: patient, state: "true"}
`

// Another node took a statement meanwhile: this one takes in what it did.
func TestAnotherNodeWasFirst(t *testing.T) {
	n := newRegion(t)
	other, err := Open(t.Context(),
		Config{Region: testRegion, Build: "other", Log: n.log, Clock: n.clock.now, Rand: n.cfg.Rand, Roots: n.roots,
			Node: n.cfg.Node})
	decidetest.Must(t, err)
	defer other.Close()
	_, err = other.Apply(t.Context(), person("north", "rick"),
		sign(t, statement.PackDigest{}, statement.Suspension{Tenant: "north", Region: statement.Region(testRegion),
			Pack: "renal_dosing", Rule: "egfr-needed", Reason: "wrong", SuspendedAt: n.clock.now()}, "rick@north").
			Bytes())
	decidetest.Must(t, err)
	n.policy("north", decidetest.PolicyFor(t, "north"))
	if !n.trust("north").Suspended("renal_dosing", "egfr-needed") {
		t.Error("what the other node took in was lost")
	}
}

func TestStatementsFoldTheSame(t *testing.T) {
	n := newRegion(t)
	before, err := n.Statements(t.Context(), auditor("north"))
	decidetest.Must(t, err)
	n.restart()
	after, err := n.Statements(t.Context(), auditor("north"))
	decidetest.Must(t, err)
	if !slices.Equal(before, after) || len(before) != int(n.trust("north").Size()) {
		t.Errorf("%d statements before, %d after", len(before), len(after))
	}
	for i, s := range after {
		if s.Index != int64(i) || s.Time.IsZero() {
			t.Errorf("statement %d: %+v", i, s)
		}
	}
}

func TestRevokedPersonIsOut(t *testing.T) {
	n := newRegion(t)
	decidetest.Must(t, n.member(n.tenants["north"].now.Load(), person("north", "olga")))
	n.revoke("north", statement.Target{Type: statement.TargetPerson, Value: "ada@north"}, statement.Suspend)
	n.revoke("north", statement.Target{Type: statement.TargetPerson, Value: "olga@north"}, statement.Revoke)
	for name, do := range map[string]func() error{
		"apply":      func() error { _, err := n.Apply(t.Context(), person("north", "olga"), nil); return err },
		"status":     func() error { _, err := n.Status(t.Context(), person("north", "olga")); return err },
		"statements": func() error { _, err := n.Statements(t.Context(), person("north", "olga")); return err },
		"put":        func() error { return n.PutPack(t.Context(), person("north", "olga"), "", nil) },
		"records":    func() error { _, err := n.Records(t.Context(), auditor("north"), audit.Filter{}); return err },
		"no role":    func() error { _, err := n.Status(t.Context(), person("north", "nora")); return err },
		"nobody":     func() error { _, err := n.Status(t.Context(), Caller{Tenant: "north"}); return err },
	} {
		if err := do(); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNodeWithoutTheLibraryRefuses(t *testing.T) {
	p := editedPack(t, "renal_dosing", "1.0.1", [3]string{"pack.yaml", `library: "1"`, `library: "2"`})
	n := newRegion(t)
	err := n.PutPack(t.Context(), person("north", "olga"), p.Digest, p.Archive())
	decidetest.WantError(t, err, decide.ErrPack)
	if !strings.Contains(err.Error(), clinical.Newest().Version()) {
		t.Errorf("error does not name the library at hand: %v", err)
	}
}
