package signing_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// noon is the log's time of most entries in these tests.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const (
	tenant = statement.Tenant("north")
	region = statement.Region("us-east")
	vendor = trust.Publisher("heartland")
	pack   = statement.Pack("renal_dosing")
)

// key makes the same key for the same name, of alternating algorithms.
func key(t testing.TB, name string) keys.Private {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	alg := keys.Ed25519
	if seed[0]&1 == 1 {
		alg = keys.ECDSAP256
	}
	k, err := keys.Generate(alg, rand.NewChaCha8(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// person has one key for each key name, valid for the year around noon.
func person(t testing.TB, id trust.PersonID, identities []string, keys ...string) trust.Person {
	t.Helper()
	p := trust.Person{ID: id, Name: string(id), Identities: identities}
	for _, name := range keys {
		p.Keys = append(p.Keys, trust.NewPersonKey(key(t, name).Public(), noon.AddDate(0, -6, 0),
			noon.AddDate(0, 6, 0)))
	}
	return p
}

func role(threshold int, persons ...trust.PersonID) trust.RoleRule {
	return trust.RoleRule{Threshold: threshold, Persons: persons}
}

// publisherRoot has an author, two clinical reviewers and an admin. Dana is an author
// too, and goes by another address elsewhere.
func publisherRoot(t testing.TB) trust.Root {
	return trust.Root{
		RootKind: trust.PublisherRoot, Name: string(vendor), Version: 1,
		IssuedAt: noon.AddDate(0, -1, 0), Expires: noon.AddDate(2, 0, 0),
		Persons: []trust.Person{
			person(t, "ann@heartland.example", nil, "ann", "ann2"),
			person(t, "rex@heartland.example", nil, "rex"),
			person(t, "ria@heartland.example", nil, "ria"),
			person(t, "pat@heartland.example", nil, "pat"),
			person(t, "dana@heartland.example", []string{"dana@north.example"}, "dana-h"),
		},
		Roles: map[trust.Role]trust.RoleRule{
			trust.Author:           role(1, "ann@heartland.example", "dana@heartland.example"),
			trust.ClinicalReviewer: role(1, "rex@heartland.example", "ria@heartland.example", "ann@heartland.example"),
			trust.RootAdmin:        role(1, "pat@heartland.example"),
		},
	}
}

// tenantRoot needs two approvers and two root-admins.
func tenantRoot(t testing.TB, publisher trust.Digest) trust.Root {
	return trust.Root{
		RootKind: trust.TenantRoot, Name: string(tenant), Version: 1,
		IssuedAt: noon.AddDate(0, -1, 0), Expires: noon.AddDate(1, 0, 0),
		Persons: []trust.Person{
			person(t, "otto@north.example", nil, "otto"),
			person(t, "amy@north.example", nil, "amy", "amy2"),
			person(t, "abe@north.example", nil, "abe"),
			person(t, "dana@north.example", nil, "dana-n"),
			person(t, "rick@north.example", nil, "rick"),
			person(t, "rosa@north.example", nil, "rosa"),
			person(t, "rudy@north.example", nil, "rudy"),
			person(t, "ada@north.example", nil, "ada"),
		},
		Roles: map[trust.Role]trust.RoleRule{
			trust.Operator:  role(1, "otto@north.example", "amy@north.example"),
			trust.Approver:  role(2, "amy@north.example", "abe@north.example", "dana@north.example"),
			trust.Revoker:   role(1, "rick@north.example"),
			trust.Auditor:   role(1, "ada@north.example"),
			trust.RootAdmin: role(2, "rosa@north.example", "rudy@north.example", "rick@north.example"),
		},
		TrustedPublishers: []trust.TrustedPublisher{{Name: vendor, Root: publisher}},
		Regions:           []string{string(region), "us-west"},
	}
}

// archive stands for the digests of the n-th archive.
func archive(n byte) statement.PackDigest {
	return statement.PackDigest{SHA256: trust.DigestOf([]byte{n}), DirHash1: trust.DigestOf([]byte{n, n})}
}

func payload(t testing.TB, about statement.PackDigest, p statement.Predicate) []byte {
	t.Helper()
	b, err := statement.Statement{Archive: about, Predicate: p}.Payload()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// say signs a statement that is not about a pack.
func say(t testing.TB, p statement.Predicate, keys ...string) *signing.Envelope {
	t.Helper()
	return sayOf(t, statement.PackDigest{}, p, keys...)
}

func sayOf(t testing.TB, about statement.PackDigest, p statement.Predicate, keys ...string) *signing.Envelope {
	t.Helper()
	body := payload(t, about, p)
	var bundles []signing.Bundle
	for _, name := range keys {
		b, err := signing.Sign(body, key(t, name))
		if err != nil {
			t.Fatal(err)
		}
		bundles = append(bundles, b)
	}
	env, err := signing.NewEnvelope(bundles...)
	if err != nil {
		t.Fatal(err)
	}
	again, err := signing.ReadEnvelope(env.Bytes())
	if err != nil {
		t.Fatalf("reading back: %v", err)
	}
	return again
}

func release(n byte, seq uint64, supersedes trust.Digest) statement.PackRelease {
	return statement.PackRelease{
		Publisher: vendor, Pack: pack, Version: "1.0." + strconv.Itoa(int(n)), Seq: seq, Supersedes: supersedes,
		PackKind: statement.RulesPack, Library: "1", IssuedAt: noon,
		EffectivePeriod: statement.Period{Start: "2016-04-08"},
		ChangeSummary:   "eGFR thresholds of the FDA communication",
	}
}

func review(n byte, decision statement.Decision, at time.Time) statement.ClinicalReview {
	return statement.ClinicalReview{
		Pack: pack, Version: "1.0." + strconv.Itoa(int(n)), Decision: decision, Role: "clinical pharmacist",
		ReviewedAt: at, ValidUntil: noon.AddDate(0, 3, 0), Conditions: []string{},
	}
}

func activate(n byte, seq uint64, previous trust.Digest) statement.Activation {
	return statement.Activation{
		Tenant: tenant, Region: region, Pack: pack, Version: "1.0." + strconv.Itoa(int(n)), Seq: seq,
		Previous: previous, Mode: statement.Active, Library: "1.0.0", InputsUnknown: []string{},
	}
}

func suspend(rule string, at time.Time) statement.Suspension {
	return statement.Suspension{
		Tenant: tenant, Region: region, Pack: pack, Rule: rule, Reason: "wrong units", SuspendedAt: at,
	}
}

func resume(lifts trust.Digest) statement.Resumption {
	return statement.Resumption{Tenant: tenant, Region: region, Lifts: lifts, Reason: "units mended", ResumedAt: noon}
}

func revoke(kind statement.TargetType, value string, action statement.Action, from time.Time) statement.Revocation {
	return statement.Revocation{
		Tenant: tenant, Region: region, Target: statement.Target{Type: kind, Value: value},
		Action: action, Reason: "key lost", EffectiveAt: from,
	}
}

func policy(seq uint64) statement.TenantPolicy {
	return statement.TenantPolicy{Tenant: tenant, Region: region, Seq: seq, Policy: []byte(`{"services":[]}`)}
}

// certificate is that of a region whose node has the key of this name.
func certificate(t testing.TB, r statement.Region, node string) statement.RegionCertificate {
	t.Helper()
	heads, err := keys.Generate(keys.Ed25519, rand.NewChaCha8(sha256.Sum256([]byte("heads of "+node))))
	if err != nil {
		t.Fatal(err)
	}
	return statement.RegionCertificate{Region: r, Seq: 1, CheckpointKeyPEM: string(heads.Public().PEM()),
		NodeKeysPEM: []string{string(key(t, node).Public().PEM())}}
}

func place(t testing.TB, epoch uint64, r statement.Region, node string) statement.Placement {
	t.Helper()
	return statement.Placement{Tenant: tenant, Epoch: epoch, Certificate: certificate(t, r, node), PlacedAt: noon}
}

// world is a log under construction.
type world struct {
	testing.TB
	*signing.State
	at  time.Time
	log []*signing.Envelope
}

// newWorld has the tenant's and the publisher's root, and is the tenant's home.
func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOf(t, nil, publisherRoot(t))
}

// newWorldOf has the tenant's root, changed as the test needs it, and these publishers.
// The first admin of each publisher signs its root.
func newWorldOf(t testing.TB, change func(*trust.Root), publishers ...trust.Root) *world {
	t.Helper()
	root := tenantRoot(t, "")
	root.TrustedPublishers = nil
	var entries []*signing.Envelope
	for _, p := range publishers {
		admin, _, _ := strings.Cut(string(p.Roles[trust.RootAdmin].Persons[0]), "@")
		env := say(t, p, admin)
		entries = append(entries, env)
		pin := trust.TrustedPublisher{Name: trust.Publisher(p.Name), Root: env.Digest()}
		root.TrustedPublishers = append(root.TrustedPublishers, pin)
	}
	if change != nil {
		change(&root)
	}
	first := say(t, root, "rosa", "rudy")
	s, err := signing.NewState(tenant, region, first.Digest())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, State: s, at: noon}
	for _, env := range append([]*signing.Envelope{first}, entries...) {
		w.accept(env)
	}
	if _, ok := root.Roles[trust.Approver]; ok {
		w.accept(say(t, place(t, 1, region, "node"), "otto", "amy", "abe"))
	}
	return w
}

// released adds release n and its approval.
func (w *world) released(n byte) *world {
	w.Helper()
	seq, latest := w.Latest(pack)
	w.accept(sayOf(w, archive(n), release(n, seq+1, latest), "ann"))
	w.accept(sayOf(w, archive(n), review(n, statement.Approve, noon), "rex"))
	return w
}

// activated adds an activation of release n.
func (w *world) activated(n byte) *world {
	w.Helper()
	seq, stands := w.Succession(pack)
	w.accept(sayOf(w, archive(n), activate(n, seq+1, stands), "amy", "abe"))
	return w
}

func (w *world) accept(env *signing.Envelope) signing.Verified {
	w.Helper()
	before := shown(w.State)
	v, err := w.Check(env, w.at)
	if err != nil {
		w.Fatal(err)
	}
	next, err := w.Apply(v)
	if err != nil {
		w.Fatal(err)
	}
	if shown(w.State) != before {
		w.Fatal("applying a statement changed the state before it")
	}
	w.State, w.log = next, append(w.log, env)
	return v
}

// shown is everything that a state tells about the packs of these tests.
func shown(s *signing.State) string {
	root, digest := s.Root()
	policy, _ := s.Policy()
	text := fmt.Sprintln(root.Version, digest, policy, s.Size(), s.Live(), s.OpenSuspensions())
	for _, name := range []statement.Pack{pack, "other_pack"} {
		text += fmt.Sprintln(s.Latest(name))
		text += fmt.Sprintln(s.Succession(name))
	}
	for n := range byte(10) {
		text += fmt.Sprintln(s.Release(archive(n).SHA256))
	}
	return text
}

func (w *world) refuse(env *signing.Envelope, want error) {
	w.Helper()
	_, err := w.Check(env, w.at)
	if !errors.Is(err, want) {
		w.Fatalf("got %v, want %v", err, want)
	}
	w.Logf("refused as it should be: %v", err)
}

func (w *world) live() []trust.Digest {
	var list []trust.Digest
	for _, a := range w.Live() {
		list = append(list, a.Archive.SHA256)
	}
	return list
}
