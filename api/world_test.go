package api

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/audit/bolt"
	"github.com/precept-cds/precept/engine/clinical"
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

// world is a region with the tenants north and south on a bbolt store, and its
// service on a loopback listener. Every statement got there over HTTP.
type world struct {
	testing.TB
	dir    string
	store  *audittest.Faulty
	server *Server
	url    string
	client *http.Client
	logged *lockedBuffer
	people map[trust.PersonID]keys.Private
	keys   map[string]crypto.Signer // of EHRs, by algorithm
}

// lockedBuffer takes the log of a server.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// events are the log's events of requests.
func (l *lockedBuffer) events(t testing.TB) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range bytes.Lines([]byte(l.String())) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e["msg"] == "request" {
			list = append(list, e)
		}
	}
	return list
}

func now() time.Time {
	at, _ := time.Parse(time.RFC3339, fixtures.Time)
	return at
}

// newWorld starts the region; change may alter the server's configuration.
func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	return newAnchoredWorld(t, change, 0)
}

// newAnchoredWorld is newWorld with a log of the region's own, unless every is 0.
func newAnchoredWorld(t testing.TB, change func(*Config), every time.Duration) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir(), logged: &lockedBuffer{}, people: map[trust.PersonID]keys.Private{},
		keys: map[string]crypto.Signer{}}
	w.makeKeys()
	store, err := bolt.Open(filepath.Join(w.dir, "audit.db"), bolt.Options{})
	w.must(err)
	w.store = audittest.NewFaulty(store)
	kms, err := keyring.CreateFileKMS(filepath.Join(w.dir, "region.key"))
	w.must(err)
	ring, err := keyring.New(keyring.Config{Region: "us-east", KMS: kms, Lookup: audit.KeyLookup(w.store),
		Rand: rand.Reader})
	w.must(err)
	log, err := audit.Open(t.Context(), audit.Config{Store: w.store, Ring: ring, Prefix: "audit.example.org",
		Region: "us-east", Clock: now, Rand: rand.Reader, Anchor: audit.Anchoring{Every: every}})
	w.must(err)
	t.Cleanup(func() {
		_ = log.Close() // a broken store cannot be closed well
		_ = store.Close()
	})
	publisher := w.say(statement.PackDigest{}, w.publisherRoot(), "pat@heartland.example")
	var roots []engine.Root
	for _, id := range []tenant.ID{"north", "south"} {
		root := w.say(statement.PackDigest{}, w.tenantRoot(id, publisher.Digest()), "rosa@north.example")
		roots = append(roots, engine.Root{Tenant: id, Envelope: root.Bytes(), Digest: root.Digest()})
	}
	node, _, err := ring.Node(t.Context())
	w.must(err)
	signer, err := node.Key()
	w.must(err)
	e, err := engine.Open(t.Context(), engine.Config{Region: "us-east", Build: "test", Log: log, Clock: now,
		Rand: rand.Reader, Roots: roots, Node: signer})
	w.must(err)
	t.Cleanup(e.Close)
	w.start(e, change)
	for _, id := range []tenant.ID{"north", "south"} {
		w.populate(id, publisher)
	}
	w.release("north", "terminology_core", "renal_dosing", "nsaid_anticoagulant", "high_priority_ddi")
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) start(e *engine.Engine, change func(*Config)) {
	// The public URL must be known before the server is made.
	var handler http.Handler
	hs := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter,
		r *http.Request) {
		handler.ServeHTTP(rw, r)
	}))
	w.Cleanup(hs.Close)
	cfg := Config{PublicURL: hs.URL, Log: slog.New(slog.NewJSONHandler(w.logged, nil)), Clock: now, Build: "test"}
	if change != nil {
		change(&cfg)
	}
	var err error
	w.server, err = New(cfg, e)
	w.must(err)
	handler, w.url, w.client = w.server.Public(), hs.URL, hs.Client()
}

func (w *world) makeKeys() {
	for _, id := range []trust.PersonID{"pat@heartland.example", "ann@heartland.example", "rex@heartland.example",
		"otto@north.example", "amy@north.example", "abe@north.example", "rosa@north.example", "ada@north.example"} {
		alg := keys.Ed25519
		if id == "otto@north.example" {
			alg = keys.ECDSAP256
		}
		key, err := keys.Generate(alg, rand.Reader)
		w.must(err)
		w.people[id] = key
	}
	w.makeEHRKeys()
}

func (w *world) makeEHRKeys() {
	var err error
	w.keys["ES256"], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	w.keys["ES384"], err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	w.must(err)
	w.keys["RS384"], err = rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
}

func (w *world) person(id trust.PersonID) trust.Person {
	return trust.Person{ID: id, Name: string(id),
		Keys: []trust.PersonKey{trust.NewPersonKey(w.people[id].Public(), now().AddDate(0, -6, 0),
			now().AddDate(0, 6, 0))}}
}

func (w *world) root(kind trust.RootKind, name string, roles map[trust.Role][]trust.PersonID) trust.Root {
	r := trust.Root{RootKind: kind, Name: name, Version: 1, IssuedAt: now().AddDate(0, -1, 0),
		Expires: now().AddDate(1, 0, 0), Roles: map[trust.Role]trust.RoleRule{}}
	seen := map[trust.PersonID]bool{}
	for role, ids := range roles {
		r.Roles[role] = trust.RoleRule{Threshold: 1, Persons: ids}
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				r.Persons = append(r.Persons, w.person(id))
			}
		}
	}
	return r
}

func (w *world) publisherRoot() trust.Root {
	return w.root(trust.PublisherRoot, "heartland", map[trust.Role][]trust.PersonID{
		trust.Author: {"ann@heartland.example"}, trust.ClinicalReviewer: {"rex@heartland.example"},
		trust.RootAdmin: {"pat@heartland.example"},
	})
}

func (w *world) tenantRoot(id tenant.ID, publisher trust.Digest) trust.Root {
	r := w.root(trust.TenantRoot, string(id), map[trust.Role][]trust.PersonID{
		trust.Operator: {"otto@north.example"}, trust.Approver: {"amy@north.example", "abe@north.example"},
		trust.Revoker: {"abe@north.example"},
		trust.Auditor: {"ada@north.example"}, trust.RootAdmin: {"rosa@north.example"},
	})
	r.TrustedPublishers = []trust.TrustedPublisher{{Name: "heartland", Root: publisher}}
	r.Regions = []string{"us-east"}
	return r
}

func (w *world) say(about statement.PackDigest, p statement.Predicate, signers ...trust.PersonID) *signing.Envelope {
	w.Helper()
	payload, err := statement.Statement{Archive: about, Predicate: p}.Payload()
	w.must(err)
	var bundles []signing.Bundle
	for _, id := range signers {
		b, err := signing.Sign(payload, w.people[id])
		w.must(err)
		bundles = append(bundles, b)
	}
	env, err := signing.NewEnvelope(bundles...)
	w.must(err)
	return env
}

// as is the client of a person.
func (w *world) as(t tenant.ID, id trust.PersonID) *client.Client {
	w.Helper()
	c, err := client.New(client.Config{URL: w.url, Tenant: string(t), Person: string(id), Key: w.people[id].Crypto(),
		Clock: now, HTTP: w.client})
	w.must(err)
	return c.WithPurpose("test of the door")
}

// ehr is the EHR of a tenant, with the key of an algorithm.
func (w *world) ehr(t tenant.ID, alg string) *client.EHR {
	w.Helper()
	e, err := client.NewEHR(client.EHRConfig{URL: w.url, Tenant: string(t),
		Issuer: "https://ehr." + string(t) + ".example", KeyID: "key+" + alg,
		Key: w.keys[alg], Algorithm: alg, Clock: now, HTTP: w.client})
	w.must(err)
	return e
}

// jwks are the registered public keys of the EHRs, among others that no token
// may be checked with.
func (w *world) jwks() json.RawMessage {
	var set jose.JSONWebKeySet
	for _, alg := range []string{"ES256", "ES384", "RS384"} {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: w.keys[alg].Public(), KeyID: "key+" + alg})
	}
	set.Keys = append(set.Keys,
		jose.JSONWebKey{Key: []byte("a secret of more than 32 bytes......"), KeyID: "symmetric"},
		jose.JSONWebKey{Key: w.keys["ES256"].Public(), KeyID: "for-encryption", Use: "enc"},
		jose.JSONWebKey{Key: w.keys["RS384"].Public(), KeyID: "other-algorithm", Algorithm: "RS256"})
	b, err := json.Marshal(set)
	w.must(err)
	return b
}

func (w *world) policy(t tenant.ID) []byte {
	type object = map[string]any
	prefetch := []object{}
	for _, p := range [][2]string{{"patient", "Patient"}, {"conditions", "Condition"},
		{"medications", "MedicationRequest"}, {"statements", "MedicationStatement"},
		{"dispenses", "MedicationDispense"}, {"administrations", "MedicationAdministration"}, {"labs", "Observation"}} {
		query := p[1] + "?patient={{context.patientId}}"
		if p[0] == "patient" {
			query = "Patient/{{context.patientId}}"
		}
		prefetch = append(prefetch, object{"key": p[0], "query": query, "types": []string{p[1]}})
	}
	packs := []string{"renal_dosing", "nsaid_anticoagulant", "high_priority_ddi"}
	ehr := object{"id": "ehr", "issuer": "https://ehr." + string(t) + ".example", "jwks": w.jwks(),
		"algorithms": []string{"ES256", "ES384", "RS384"},
		"fhirBase":   "https://ehr.north.example/fhir/R4", "services": []string{"orders"}} // that of the requests
	b, err := json.Marshal(object{
		"tenant": t, "region": "us-east", "name": "Health " + string(t), "zone": fixtures.Zone,
		"limits": object{"bodyBytes": 1 << 20, "deadlineMs": 5000, "ruleMs": 4000},
		"services": []object{
			{"id": "orders", "hook": "order-sign", "title": "Orders", "description": "Checks orders", "packs": packs,
				"prefetch": prefetch},
			{"id": "orders", "hook": "order-select", "description": "Checks orders while they are chosen",
				"packs": packs, "prefetch": prefetch},
			{"id": "hidden", "hook": "order-sign", "description": "For another client", "packs": packs,
				"prefetch": prefetch},
		},
		"clients": []object{ehr},
	})
	w.must(err)
	return b
}

// apply sends a statement as the operator.
func (w *world) apply(t tenant.ID, env *signing.Envelope) {
	w.Helper()
	_, err := w.as(t, "otto@north.example").Apply(context.Background(), env.Bytes())
	w.must(err)
}

// populate applies the publisher and the policy of a tenant, over HTTP.
func (w *world) populate(t tenant.ID, publisher *signing.Envelope) {
	w.Helper()
	w.apply(t, publisher)
	w.apply(t, w.say(statement.PackDigest{}, statement.TenantPolicy{Tenant: statement.Tenant(t), Region: "us-east", Seq: 1,
		Policy: w.policy(t)}, "otto@north.example", "amy@north.example"))
	status, err := w.as(t, "otto@north.example").Status(w.Context())
	w.must(err)
	env, err := signing.ReadEnvelope([]byte(status.Certificate))
	w.must(err)
	certificate, err := env.Certificate()
	w.must(err)
	w.apply(t, w.say(statement.PackDigest{}, statement.Placement{Tenant: statement.Tenant(t), Epoch: 1,
		Certificate: certificate, PlacedAt: now()}, "otto@north.example", "amy@north.example"))
}

// release uploads packs and puts them to work, over HTTP.
func (w *world) release(t tenant.ID, names ...string) {
	w.Helper()
	for _, name := range names {
		pack := w.pack(name)
		var archive bytes.Buffer
		w.must(pack.WriteArchive(&archive))
		w.must(w.as(t, "otto@north.example").PutPack(context.Background(), string(pack.Digest), archive.Bytes()))
		for _, env := range w.live(t, pack) {
			w.apply(t, env)
		}
	}
}

func (w *world) pack(name string) *rulepacks.Pack {
	w.Helper()
	pack, err := rulepacks.ReadEmbedded(name)
	w.must(err)
	return pack
}

// live are the statements that put a pack to work: release, review, activation.
func (w *world) live(t tenant.ID, pack *rulepacks.Pack) []*signing.Envelope {
	w.Helper()
	m := pack.Manifest
	about := statement.PackDigest{SHA256: trust.Digest(pack.Digest), DirHash1: trust.Digest(pack.DirHash1)}
	activation := statement.Activation{Tenant: statement.Tenant(t), Region: "us-east", Pack: statement.Pack(m.Name),
		Version: m.Version, Seq: 1, Mode: statement.Active, InputsUnknown: []string{}}
	if m.Kind == manifest.KindRules {
		activation.Library = clinical.Newest().Version()
	}
	return []*signing.Envelope{
		w.say(about, statement.PackRelease{Publisher: "heartland", Pack: statement.Pack(m.Name), Version: m.Version,
			Seq: 1, PackKind: statement.PackKind(m.Kind),
			Library: m.Library, IssuedAt: now(),
			EffectivePeriod: statement.Period{Start: m.EffectivePeriod.Start, End: m.EffectivePeriod.End},
			ChangeSummary:   "first release"}, "ann@heartland.example"),
		w.say(about, statement.ClinicalReview{Pack: statement.Pack(m.Name), Version: m.Version, Decision: statement.Approve,
			Role:       "clinical pharmacist",
			ReviewedAt: now(), ValidUntil: now().AddDate(0, 3, 0), Conditions: []string{}}, "rex@heartland.example"),
		w.say(about, activation, "amy@north.example", "abe@north.example"),
	}
}

// standard is a request that no other call of the test sends.
func (w *world) standard(n int) []byte { return fixtures.Standard(7, n) }
