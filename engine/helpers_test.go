package engine

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/bolt"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// What the tests of this package rest on: a region as it runs in production,
// with a bbolt file, a region key in a file, real keys and signed statements.
// Its two tenants, north and south, share the publisher heartland.

const (
	testRegion = tenant.Region("us-east")
	publisher  = trust.Publisher("heartland")
	terms      = "terminology_core"
)

// The people. A name before the @ is also the name of the person's key.
const (
	author   = "ann@heartland.example"
	second   = "abe@heartland.example" // another author
	reviewer = "rex@heartland.example"
)

// node is a running region. Close and Open are a restart.
type node struct {
	testing.TB
	*Engine
	dir   string
	clock *clock
	roots []Root
	wrap  func(audit.Store) audit.Store // around the store, if not nil
	mark  bool                          // keep a high-water mark
	libs  []*clinical.Library           // if not those of the program
	top   tenant.Limits                 // the operator's ceiling
	again func(reason string)           // restarts
	where tenant.Region                 // testRegion if empty
	poll  time.Duration                 // how often it looks for what others logged, if not 0
	prove decide.Prover                 // in this process if nil
	store audit.Store
	log   *audit.Log
}

// clock is a time that only the test moves.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

func fixtureTime(t testing.TB) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, fixtures.Time)
	decidetest.Must(t, err)
	return at.UTC()
}

// newNode starts an empty region: both tenants have their trust root only.
func newNode(t testing.TB, change ...func(*node)) *node {
	t.Helper()
	n := &node{TB: t, dir: t.TempDir(), clock: &clock{}}
	for _, f := range change {
		f(n)
	}
	n.clock.ms.Store(fixtureTime(t).UnixMilli())
	_, err := keyring.CreateFileKMS(filepath.Join(n.dir, "region.key"))
	decidetest.Must(t, err)
	for _, id := range []tenant.ID{"north", "south"} {
		env := sign(t, statement.PackDigest{}, tenantRoot(t, id), "rosa@"+string(id))
		n.roots = append(n.roots, Root{Tenant: id, Envelope: env.Bytes(), Digest: env.Digest()})
	}
	n.open()
	t.Cleanup(n.close)
	return n
}

func (n *node) region() tenant.Region { return cmp.Or(n.where, testRegion) }

func (n *node) open() {
	n.Helper()
	decidetest.Must(n, n.tryOpen())
}

func (n *node) tryOpen() error {
	kms, err := keyring.OpenFileKMS(filepath.Join(n.dir, "region.key"))
	if err != nil {
		return err
	}
	file, err := bolt.Open(filepath.Join(n.dir, "audit.db"), bolt.Options{})
	if err != nil {
		return err
	}
	n.store = file
	if n.wrap != nil {
		n.store = n.wrap(file)
	}
	c := audit.Config{Store: n.store, Prefix: "audit.example", Region: n.region(), Clock: n.clock.now,
		Rand: rand.Reader}
	if n.mark {
		c.Mark = audit.MarkFile(filepath.Join(n.dir, "mark"))
	}
	if c.Ring, err = keyring.New(keyring.Config{Region: string(n.region()), KMS: kms, Lookup: audit.KeyLookup(n.store),
		Rand: rand.Reader}); err != nil {
		return errors.Join(err, file.Close())
	}
	if n.log, err = audit.Open(n.Context(), c); err != nil {
		return errors.Join(err, file.Close())
	}
	own, _, err := c.Ring.Node(n.Context())
	if err != nil {
		return err
	}
	signer, err := own.Key()
	if err != nil {
		return err
	}
	n.Engine, err = Open(n.Context(),
		Config{Node: signer, Region: n.region(), Build: "test", Log: n.log, Clock: n.clock.now, Rand: rand.Reader,
			Roots: n.roots, Libraries: n.libs, Ceiling: tenant.Ceiling{Limits: n.top}, Restart: n.again,
			Prove: n.prove, Poll: n.poll})
	if err != nil {
		n.close()
	}
	return err
}

func (n *node) close() {
	if n.Engine != nil {
		n.Engine.Close()
	}
	if n.log == nil {
		return
	}
	if err := errors.Join(n.log.Close(), n.store.Close()); err != nil {
		n.Error(err)
	}
	n.log = nil
}

func (n *node) restart() {
	n.Helper()
	n.close()
	n.open()
}

// prepared holds the files of a region with the reference packs live for both
// tenants, made once.
var prepared struct {
	sync.Once
	files map[string][]byte
	at    int64
}

// newRegion starts a region with the reference packs live for both tenants.
func newRegion(t testing.TB, change ...func(*node)) *node {
	t.Helper()
	prepared.Do(func() {
		n := newNode(t)
		for _, id := range []tenant.ID{"north", "south"} {
			n.setUp(id)
		}
		n.close()
		prepared.at = n.clock.ms.Load()
		prepared.files = map[string][]byte{}
		for _, name := range []string{"region.key", "audit.db"} {
			b, err := os.ReadFile(filepath.Join(n.dir, name))
			decidetest.Must(t, err)
			prepared.files[name] = b
		}
	})
	if prepared.files == nil {
		t.Fatal("preparing a region failed in an earlier test")
	}
	n := &node{TB: t, dir: t.TempDir(), clock: &clock{}}
	n.clock.ms.Store(prepared.at)
	for name, b := range prepared.files {
		decidetest.Must(t, os.WriteFile(filepath.Join(n.dir, name), b, 0o600))
	}
	for _, id := range []tenant.ID{"north", "south"} {
		env := sign(t, statement.PackDigest{}, tenantRoot(t, id), "rosa@"+string(id))
		n.roots = append(n.roots, Root{Tenant: id, Envelope: env.Bytes(), Digest: env.Digest()})
	}
	for _, f := range change {
		f(n)
	}
	n.open()
	t.Cleanup(n.close)
	return n
}

// setUp gives a tenant the publisher, a policy and the reference packs.
func (n *node) setUp(id tenant.ID) {
	n.Helper()
	n.say(id, publisherRoot(n), "pat@heartland.example")
	n.policy(id, decidetest.PolicyFor(n, id))
	n.place(id)
	for _, name := range append([]string{terms}, decidetest.ReferencePacks...) {
		n.activate(id, decidetest.ReferencePack(n, name))
	}
}

// Keys and persons.

// key makes the same key for the same person, of alternating algorithms.
func key(t testing.TB, person string) keys.Private {
	t.Helper()
	seed := sha256.Sum256([]byte(person))
	alg := keys.Ed25519
	if seed[0]&1 == 1 {
		alg = keys.ECDSAP256
	}
	k, err := keys.Generate(alg, mathrand.NewChaCha8(seed))
	decidetest.Must(t, err)
	return k
}

func persons(t testing.TB, ids ...string) []trust.Person {
	var list []trust.Person
	at := fixtureTime(t)
	for _, id := range ids {
		list = append(list, trust.Person{ID: trust.PersonID(id), Name: id,
			Keys: []trust.PersonKey{trust.NewPersonKey(key(t, id).Public(), at.AddDate(-1, 0, 0),
				at.AddDate(2, 0, 0))}})
	}
	return list
}

func role(ids ...string) trust.RoleRule {
	r := trust.RoleRule{Threshold: 1}
	for _, id := range ids {
		r.Persons = append(r.Persons, trust.PersonID(id))
	}
	return r
}

func publisherRoot(t testing.TB) trust.Root {
	at := fixtureTime(t)
	return trust.Root{RootKind: trust.PublisherRoot, Name: string(publisher), Version: 1,
		IssuedAt: at.AddDate(0, -1, 0), Expires: at.AddDate(2, 0, 0),
		Persons: persons(t, author, second, reviewer, "pat@heartland.example"),
		Roles: map[trust.Role]trust.RoleRule{
			trust.Author:           role(author, second),
			trust.ClinicalReviewer: role(reviewer, author),
			trust.RootAdmin:        role("pat@heartland.example"),
		}}
}

// tenantRoot has an operator olga, an approver amy, a revoker rick, an auditor
// ada and a root-admin rosa, each @<tenant>.
func tenantRoot(t testing.TB, id tenant.ID) trust.Root {
	at := fixtureTime(t)
	of := func(name string) string { return name + "@" + string(id) }
	return trust.Root{RootKind: trust.TenantRoot, Name: string(id), Version: 1,
		IssuedAt: at.AddDate(0, -1, 0), Expires: at.AddDate(2, 0, 0),
		Persons: persons(t, of("olga"), of("amy"), of("rick"), of("ada"), of("rosa"), of("nora")),
		Roles: map[trust.Role]trust.RoleRule{
			trust.Operator:  role(of("olga")),
			trust.Approver:  role(of("amy")),
			trust.Revoker:   role(of("rick")),
			trust.Auditor:   role(of("ada")),
			trust.RootAdmin: role(of("rosa")),
		},
		TrustedPublishers: []trust.TrustedPublisher{
			{Name: publisher, Root: sign(t, statement.PackDigest{}, publisherRoot(t), "pat@heartland.example").
				Digest()},
		},
		Regions: []string{string(testRegion), "us-west"},
	}
}

func sign(t testing.TB, about statement.PackDigest, p statement.Predicate, by ...string) *signing.Envelope {
	t.Helper()
	payload, err := statement.Statement{Archive: about, Predicate: p}.Payload()
	decidetest.Must(t, err)
	var bundles []signing.Bundle
	for _, person := range by {
		b, err := signing.Sign(payload, key(t, person))
		decidetest.Must(t, err)
		bundles = append(bundles, b)
	}
	env, err := signing.NewEnvelope(bundles...)
	decidetest.Must(t, err)
	return env
}

// Callers.

func ehr(id tenant.ID) Caller { return Caller{Tenant: id, Client: "ehr"} }

func person(id tenant.ID, name string) Caller {
	return Caller{Tenant: id, Person: trust.PersonID(name + "@" + string(id)), Purpose: "complaint 7"}
}

func auditor(id tenant.ID) Caller { return person(id, "ada") }

// Statements.

func (n *node) apply(id tenant.ID, env *signing.Envelope) (*Applied, error) {
	return n.Apply(n.Context(), person(id, "olga"), env.Bytes())
}

// say signs and applies a statement that must be taken.
func (n *node) say(id tenant.ID, p statement.Predicate, by ...string) *Applied {
	n.Helper()
	return n.sayOf(id, statement.PackDigest{}, p, by...)
}

func (n *node) sayOf(id tenant.ID, about statement.PackDigest, p statement.Predicate, by ...string) *Applied {
	n.Helper()
	a, err := n.apply(id, sign(n, about, p, by...))
	decidetest.Must(n, err)
	return a
}

// trust is the state of a tenant's release log.
func (n *node) trust(id tenant.ID) *signing.State { return n.tenants[id].now.Load().trust }

func (n *node) policyEnvelope(id tenant.ID, p tenant.Policy,
	change ...func(*statement.TenantPolicy)) *signing.Envelope {
	n.Helper()
	if n.where != "" {
		p.Region = n.where
	}
	raw, err := jsonv2.Marshal(p, jsonv2.Deterministic(true))
	decidetest.Must(n, err)
	now, _ := n.trust(id).Policy()
	s := statement.TenantPolicy{Tenant: statement.Tenant(id), Region: statement.Region(n.region()), Seq: now.Seq + 1,
		Policy: raw}
	for _, f := range change {
		f(&s)
	}
	return sign(n, statement.PackDigest{}, s, "olga@"+string(id), "amy@"+string(id))
}

func (n *node) policy(id tenant.ID, p tenant.Policy) {
	n.Helper()
	_, err := n.apply(id, n.policyEnvelope(id, p))
	decidetest.Must(n, err)
}

// placement names this region as the tenant's home.
func (n *node) placement(id tenant.ID, change ...func(*statement.Placement)) *signing.Envelope {
	n.Helper()
	c, err := n.certificate.Certificate()
	decidetest.Must(n, err)
	p := statement.Placement{Tenant: statement.Tenant(id), Epoch: n.trust(id).Epoch() + 1, Certificate: c,
		PlacedAt: n.clock.now()}
	for _, f := range change {
		f(&p)
	}
	return sign(n, statement.PackDigest{}, p, "olga@"+string(id), "amy@"+string(id))
}

func (n *node) place(id tenant.ID, change ...func(*statement.Placement)) *Applied {
	n.Helper()
	a, err := n.apply(id, n.placement(id, change...))
	decidetest.Must(n, err)
	return a
}

func about(p *rulepacks.Pack) statement.PackDigest {
	return statement.PackDigest{SHA256: trust.Digest(p.Digest), DirHash1: trust.Digest(p.DirHash1)}
}

func (n *node) put(id tenant.ID, p *rulepacks.Pack) {
	n.Helper()
	decidetest.Must(n, n.PutPack(n.Context(), person(id, "olga"), p.Digest, p.Archive()))
}

func (n *node) releaseOf(id tenant.ID, p *rulepacks.Pack) statement.PackRelease {
	seq, latest := n.trust(id).Latest(statement.Pack(p.Manifest.Name))
	return statement.PackRelease{Publisher: publisher, Pack: statement.Pack(p.Manifest.Name),
		Version: p.Manifest.Version, Seq: seq + 1, Supersedes: latest,
		PackKind: statement.PackKind(p.Manifest.Kind), Library: p.Manifest.Library, IssuedAt: n.clock.now(),
		EffectivePeriod: statement.Period{Start: p.Manifest.EffectivePeriod.Start,
			End: p.Manifest.EffectivePeriod.End}, ChangeSummary: "for a test"}
}

func (n *node) reviewOf(p *rulepacks.Pack) statement.ClinicalReview {
	return statement.ClinicalReview{Pack: statement.Pack(p.Manifest.Name), Version: p.Manifest.Version,
		Decision: statement.Approve,
		Role:     "clinical pharmacist", ReviewedAt: n.clock.now(), ValidUntil: n.clock.now().AddDate(1, 0, 0),
		Conditions: []string{}, Waives: waivers(p)}
}

// waivers accept a pack that was made for a test without cases. Those of the program have
// them.
func waivers(p *rulepacks.Pack) (list []statement.Waiver) {
	if slices.Contains(decidetest.ReferencePacks, p.Manifest.Name) {
		return nil
	}
	rules, _ := clinical.Outline(p) // of a pack that cannot be read there are none
	for _, r := range rules {
		list = append(list, statement.Waiver{Rule: strings.TrimPrefix(r.ID, p.Manifest.Name+"/"),
			States: []string{"true", "false", "unknown"}, Reason: "for a test"})
	}
	return list
}

func (n *node) activationOf(id tenant.ID, p *rulepacks.Pack) statement.Activation {
	seq, previous := n.trust(id).Succession(statement.Pack(p.Manifest.Name))
	a := statement.Activation{Tenant: statement.Tenant(id), Region: statement.Region(n.region()),
		Pack: statement.Pack(p.Manifest.Name), Version: p.Manifest.Version,
		Seq: seq + 1, Previous: previous, Mode: statement.Active, InputsUnknown: []string{}}
	if p.Manifest.Kind == manifest.KindRules {
		a.Library = clinical.Newest().Version()
	}
	return a
}

// release uploads, releases and has reviewed.
func (n *node) release(id tenant.ID, p *rulepacks.Pack) {
	n.Helper()
	n.put(id, p)
	n.sayOf(id, about(p), n.releaseOf(id, p), author)
	n.sayOf(id, about(p), n.reviewOf(p), reviewer)
}

func (n *node) activate(id tenant.ID, p *rulepacks.Pack, change ...func(*statement.Activation)) *Applied {
	n.Helper()
	if _, ok := n.trust(id).Release(trust.Digest(p.Digest)); !ok {
		n.release(id, p)
	}
	a, err := n.tryActivate(id, p, change...)
	decidetest.Must(n, err)
	return a
}

func (n *node) tryActivate(id tenant.ID, p *rulepacks.Pack, change ...func(*statement.Activation)) (*Applied, error) {
	n.Helper()
	a := n.activationOf(id, p)
	for _, f := range change {
		f(&a)
	}
	return n.apply(id, sign(n, about(p), a, "amy@"+string(id)))
}

func (n *node) suspend(id tenant.ID, pack, rule, reason string) *Applied {
	n.Helper()
	return n.say(id, statement.Suspension{Tenant: statement.Tenant(id), Region: statement.Region(testRegion),
		Pack: statement.Pack(pack), Rule: rule, Reason: reason, SuspendedAt: n.clock.now()}, "rick@"+string(id))
}

func (n *node) resume(id tenant.ID, a *Applied) {
	n.Helper()
	n.say(id, statement.Resumption{Tenant: statement.Tenant(id), Region: statement.Region(testRegion),
		Lifts: trust.Digest(a.Digest), Reason: "fixed", ResumedAt: n.clock.now()}, "amy@"+string(id))
}

func (n *node) revoke(id tenant.ID, target statement.Target, action statement.Action) *Applied {
	n.Helper()
	return n.say(id, statement.Revocation{Tenant: statement.Tenant(id), Region: statement.Region(testRegion),
		Target: target, Action: action,
		Reason: "recalled", EffectiveAt: n.clock.now().Add(-time.Hour)}, "rick@"+string(id))
}

// Calls.

func (n *node) call(id tenant.ID, body []byte) *Answer {
	n.Helper()
	a, err := n.Call(n.Context(), ehr(id), "orders", body)
	decidetest.Must(n, err)
	return a
}

// opened is a decision as its record holds it.
func (n *node) opened(id tenant.ID, record string) (*decision.Inputs, *decision.Decision) {
	n.Helper()
	rec, err := n.log.Get(n.Context(), id, audit.RecordID(record))
	decidetest.Must(n, err)
	in, d, err := decision.Decode(rec.Body)
	decidetest.Must(n, err)
	return in, d
}

// records counts the records of a kind.
func (n *node) records(id tenant.ID, kind audit.Kind) int {
	n.Helper()
	page, err := n.log.List(n.Context(), id, audit.Filter{Kind: kind, Limit: 1000})
	decidetest.Must(n, err)
	return len(page.Records)
}
