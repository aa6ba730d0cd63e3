package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"gopkg.in/yaml.v3"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
)

// The packs that a demo region releases, the terminology first: rules need it
// to tell drugs apart.
var demoPacks = []string{"terminology_core", "renal_dosing", "nsaid_anticoagulant", "high_priority_ddi"}

var demoRulePacks = demoPacks[1:]

const (
	demoPublisher = "precept-content"
	demoService   = "orders"
	demoRegionID  = "us-east"
)

// demoTenants are the health systems of the demo region.
var demoTenants = []tenant.ID{"north", "south"}

// demoRegion is a region in a folder of its own, with everybody's keys made on
// the spot. It is for trying things out: where patients are concerned no one
// person, and no one machine, ever has all of these keys.
type demoRegion struct {
	dir     string
	config  string // path of the configuration
	address string // of the service
	private string // URL of the private listener
	public  string // URL of the service
	now     time.Time
	say     func(format string, args ...any)
	keys    map[string]signing.PrivateKey // by person
	packs   map[string]*rulepacks.Pack
	stop    func() error // ends the service
}

// makeDemoRegion makes a region from nothing: keys, roots, packs, statements;
// starts its service; applies everything over HTTP. Each step says what it
// does.
func makeDemoRegion(ctx context.Context, dir string, out io.Writer) (*demoRegion, error) {
	d := &demoRegion{dir: dir, config: filepath.Join(dir, "precept.yaml"), now: time.Now().UTC().Truncate(time.Second),
		keys: map[string]signing.PrivateKey{}, packs: map[string]*rulepacks.Pack{}, stop: func() error { return nil }}
	d.say = func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	for _, step := range []func(context.Context) error{
		d.makeFolder, d.makeKeys, d.makeRoots, d.makeConfig, d.makePacks, d.start, d.applyPolicies, d.release, d.activate,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, d.stop())
		}
	}
	return d, nil
}

func (d *demoRegion) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

func (d *demoRegion) makeFolder(context.Context) error {
	if _, err := os.Stat(d.dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making demo region: %s is there already; remove it, or give another --dir", d.dir)
	}
	for _, sub := range []string{"keys", "roots", "policies", "packs", "statements", "store"} {
		if err := os.MkdirAll(d.path(sub), 0o700); err != nil {
			return fmt.Errorf("making demo region: %w", err)
		}
	}
	return nil
}

// The persons of the demo. Each has a key of their own.
func demoPersons(t tenant.ID) (operator, approver, auditor signing.PersonID) {
	at := "@" + string(t) + ".example"
	return signing.PersonID("olga" + at), signing.PersonID("amir" + at), signing.PersonID("avery" + at)
}

const (
	demoAuthor   signing.PersonID = "ada@content.example"
	demoReviewer signing.PersonID = "rosa@content.example"
)

func (d *demoRegion) makeKeys(context.Context) error {
	persons := []signing.PersonID{demoAuthor, demoReviewer}
	for _, t := range demoTenants {
		operator, approver, auditor := demoPersons(t)
		persons = append(persons, operator, approver, auditor)
	}
	for _, p := range persons {
		if err := d.makeKey(string(p), signing.Ed25519); err != nil {
			return err
		}
	}
	for _, t := range demoTenants {
		if err := d.makeKey("ehr-"+string(t), signing.ECDSAP256); err != nil {
			return err
		}
	}
	if _, err := keyring.CreateFileKMS(d.path("keys", "region.json")); err != nil {
		return err
	}
	d.say("made keys for the region, %d persons and %d EHRs", len(persons), len(demoTenants))
	return nil
}

func (d *demoRegion) keyFile(name string) string { return d.path("keys", name+".pem") }

func (d *demoRegion) makeKey(name string, alg signing.Algorithm) error {
	k, err := signing.GenerateKey(alg, rand.Reader)
	if err != nil {
		return err
	}
	text, err := k.PEM()
	if err != nil {
		return err
	}
	d.keys[name] = k
	return os.WriteFile(d.keyFile(name), text, 0o600)
}

func (d *demoRegion) person(id signing.PersonID, name string) signing.Person {
	key := signing.NewPersonKey(d.keys[string(id)].Public(), d.now.Add(-time.Minute), time.Time{})
	return signing.Person{ID: id, Name: name, Identities: []string{}, Keys: []signing.PersonKey{key}}
}

func one(ids ...signing.PersonID) signing.RoleRule {
	return signing.RoleRule{Threshold: 1, Persons: ids}
}
func both(ids ...signing.PersonID) signing.RoleRule {
	return signing.RoleRule{Threshold: len(ids), Persons: ids}
}

func (d *demoRegion) makeRoots(context.Context) error {
	publisher := signing.TrustRoot{RootKind: signing.PublisherRoot, Name: demoPublisher, Version: 1, IssuedAt: d.now, Expires: d.now.AddDate(1, 0, 0),
		Persons: []signing.Person{d.person(demoAuthor, "Ada (author)"), d.person(demoReviewer, "Rosa (clinical reviewer)")},
		Roles: map[signing.Role]signing.RoleRule{signing.Author: one(demoAuthor), signing.ClinicalReviewer: one(demoReviewer),
			signing.RootAdmin: both(demoAuthor, demoReviewer)}}
	env, err := d.sign("roots/publisher", signing.Statement{Predicate: publisher}, demoAuthor, demoReviewer)
	if err != nil {
		return err
	}
	for _, t := range demoTenants {
		operator, approver, auditor := demoPersons(t)
		root := signing.TrustRoot{RootKind: signing.TenantRoot, Name: string(t), Version: 1, IssuedAt: d.now, Expires: d.now.AddDate(1, 0, 0),
			Persons: []signing.Person{d.person(operator, "Olga (operator)"), d.person(approver, "Amir (approver)"), d.person(auditor, "Avery (auditor)")},
			Roles: map[signing.Role]signing.RoleRule{signing.Operator: one(operator), signing.Approver: one(approver),
				signing.Revoker: one(approver, operator), signing.Auditor: one(auditor), signing.RootAdmin: both(operator, approver)},
			TrustedPublishers: []signing.TrustedPublisher{{Name: demoPublisher, Root: env.Digest()}}}
		if _, err := d.sign("roots/"+string(t), signing.Statement{Predicate: root}, operator, approver); err != nil {
			return err
		}
	}
	d.say("made the publisher's trust root and those of the tenants %s and %s", demoTenants[0], demoTenants[1])
	return nil
}

func (d *demoRegion) statementFile(name string) string { return d.path(name + ".jsonl") }

// sign writes a statement signed by persons into a file.
func (d *demoRegion) sign(name string, s signing.Statement, by ...signing.PersonID) (*signing.Envelope, error) {
	payload, err := s.Payload()
	if err != nil {
		return nil, err
	}
	var bundles []signing.Bundle
	for _, p := range by {
		b, err := signing.Sign(payload, d.keys[string(p)])
		if err != nil {
			return nil, err
		}
		bundles = append(bundles, b)
	}
	env, err := signing.NewEnvelope(bundles...)
	if err != nil {
		return nil, err
	}
	return env, os.WriteFile(d.statementFile(name), env.Bytes(), 0o600)
}

func (d *demoRegion) makeConfig(context.Context) error {
	address, private := "127.0.0.1:8480", "127.0.0.1:8481"
	if !free(address) || !free(private) {
		var err1, err2 error
		address, err1 = freeAddress()
		private, err2 = freeAddress()
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
	}
	d.address, d.public, d.private = address, "http://"+address, "http://"+private
	c := config{Region: demoRegionID, PublicURL: d.public, Listen: address, PrivateListen: private, LogPrefix: "demo.precept.example",
		Store: storeConfig{Path: "store/audit.db", HighWater: "high-water"}, RegionKey: "keys/region.json", Timeouts: timeoutConfig{Shutdown: 30 * time.Second}}
	for _, t := range demoTenants {
		text, err := os.ReadFile(d.statementFile("roots/" + string(t)))
		if err != nil {
			return err
		}
		env, err := signing.ReadEnvelope(text)
		if err != nil {
			return err
		}
		c.Tenants = append(c.Tenants, tenantConfig{ID: string(t), Root: "roots/" + string(t) + ".jsonl", RootSHA256: string(env.Digest())})
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(d.config, text, 0o600)
}

func free(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func (d *demoRegion) makePacks(ctx context.Context) error {
	var terms *rulepacks.Pack
	for _, name := range demoPacks {
		p, err := rulepacks.ReadEmbedded(name)
		if err != nil {
			return err
		}
		d.packs[name] = p
		if p.Manifest.Kind == rulepacks.KindTerminology {
			terms = p
			d.say("built    %-20s %s  %d drug products        sha256 %.16s…", name, p.Manifest.Version, len(p.Terminology.Products), p.Digest)
		} else {
			if err := checkPack(p); err != nil {
				return err
			}
			if err := decide.CheckCases(ctx, p, terms); err != nil {
				return err
			}
			d.say("checked, tested and built %-20s %s  %3d cases hold  sha256 %.16s…", name, p.Manifest.Version, len(p.Cases), p.Digest)
		}
		var b bytes.Buffer
		if err := p.WriteArchive(&b); err != nil {
			return err
		}
		if err := os.WriteFile(d.path("packs", name+".tar.gz"), b.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// start runs the service in this process, its log in a file.
func (d *demoRegion) start(ctx context.Context) error {
	log, err := os.OpenFile(d.path("service.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cfg, err := readConfig(d.config)
	if err != nil {
		return err
	}
	r, err := openRegion(ctx, cfg, log)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx) }()
	d.stop = func() error {
		cancel()
		err := errors.Join(<-ended, r.close(), log.Close())
		d.stop = func() error { return nil }
		return err
	}
	d.say("started the service of region %s at %s", demoRegionID, d.public)
	return nil
}

// as gives a client for a person of a tenant.
func (d *demoRegion) as(t tenant.ID, p signing.PersonID, purpose string) (*client.Client, error) {
	c, err := client.New(client.Config{URL: d.public, Tenant: string(t), Person: string(p), Key: d.keys[string(p)].Crypto(), Clock: time.Now})
	if err != nil {
		return nil, err
	}
	return c.WithPurpose(purpose), nil
}

// ehr gives the EHR of a tenant.
func (d *demoRegion) ehr(t tenant.ID) (*client.EHR, error) {
	name := "ehr-" + string(t)
	return client.NewEHR(client.EHRConfig{URL: d.public, Tenant: string(t), Issuer: demoIssuer(t), KeyID: name,
		Key: d.keys[name].Crypto(), Algorithm: "ES256", Clock: time.Now})
}

func demoIssuer(t tenant.ID) string { return "https://ehr." + string(t) + ".example" }

func (d *demoRegion) policy(t tenant.ID) (*tenant.Policy, error) {
	name := "ehr-" + string(t)
	jwks, err := jsonv2.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: d.keys[name].Public().Crypto(), KeyID: name, Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		return nil, err
	}
	p := &tenant.Policy{Tenant: t, Region: demoRegionID, Name: "Demo health system " + string(t), Language: "en", Zone: fixtures.Zone,
		Parameters: map[string]map[string]jsontext.Value{"renal_dosing": {"egfr_max_age": jsontext.Value(`"P365D"`)}},
		Clients:    []tenant.Client{{ID: "ehr", Issuer: demoIssuer(t), JWKS: jwks, Algorithms: []string{"ES256", "ES384"}, FHIRBase: demoIssuer(t) + "/fhir/R4"}},
		Limits:     tenant.Limits{DeadlineMS: 2000, RuleMS: 500}}
	for _, hook := range []string{"order-sign", "order-select"} {
		p.Services = append(p.Services, tenant.Service{ID: demoService, Hook: hook, Title: "Medication orders",
			Description: "Checks medication orders against the rules the health system has activated.", Packs: demoRulePacks, Prefetch: decide.StandardPrefetch()})
	}
	return p, nil
}

func (d *demoRegion) applyPolicies(ctx context.Context) error {
	for _, t := range demoTenants {
		operator, approver, _ := demoPersons(t)
		p, err := d.policy(t)
		if err != nil {
			return err
		}
		raw, err := jsonv2.Marshal(p, jsonv2.Deterministic(true))
		if err != nil {
			return err
		}
		if err := os.WriteFile(d.path("policies", string(t)+".json"), raw, 0o600); err != nil {
			return err
		}
		s := signing.Statement{Predicate: signing.TenantPolicy{Tenant: signing.Tenant(t), Region: demoRegionID, Seq: 1, Policy: raw}}
		env, err := d.sign("statements/policy-"+string(t), s, operator, approver)
		if err != nil {
			return err
		}
		root, err := os.ReadFile(d.statementFile("roots/publisher"))
		if err != nil {
			return err
		}
		if err := d.apply(ctx, t, operator, root, env.Bytes()); err != nil {
			return err
		}
	}
	d.say("applied the policies of both tenants, each signed by its operator and its approver")
	return nil
}

func (d *demoRegion) apply(ctx context.Context, t tenant.ID, by signing.PersonID, envelopes ...[]byte) error {
	c, err := d.as(t, by, "")
	if err != nil {
		return err
	}
	for _, e := range envelopes {
		if _, err := c.Apply(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func packDigest(p *rulepacks.Pack) signing.PackDigest {
	return signing.PackDigest{SHA256: signing.Digest(p.Digest), DirHash1: signing.Digest(p.DirHash1)}
}

// release has the author sign each pack, the reviewer approve it, and uploads
// pack and statements to both tenants.
func (d *demoRegion) release(ctx context.Context) error {
	for _, name := range demoPacks {
		p := d.packs[name]
		m := p.Manifest
		release, err := d.sign("statements/release-"+name, signing.Statement{Archive: packDigest(p), Predicate: signing.PackRelease{
			Publisher: demoPublisher, Pack: signing.Pack(name), Version: m.Version, Seq: 1, PackKind: signing.PackKind(m.Kind), Library: m.Library,
			IssuedAt: d.now, EffectivePeriod: signing.Period{Start: m.EffectivePeriod.Start, End: m.EffectivePeriod.End}, ChangeSummary: "First release."}}, demoAuthor)
		if err != nil {
			return err
		}
		review, err := d.sign("statements/review-"+name, signing.Statement{Archive: packDigest(p), Predicate: signing.ClinicalReview{
			Pack: signing.Pack(name), Version: m.Version, Decision: signing.Approve, Role: "demonstration, not a clinician", ReviewedAt: d.now,
			ValidUntil: d.now.AddDate(1, 0, 0), Conditions: []string{"For demonstration only."}}}, demoReviewer)
		if err != nil {
			return err
		}
		archive, err := os.ReadFile(d.path("packs", name+".tar.gz"))
		if err != nil {
			return err
		}
		for _, t := range demoTenants {
			operator, _, _ := demoPersons(t)
			c, err := d.as(t, operator, "")
			if err != nil {
				return err
			}
			if err := c.PutPack(ctx, string(p.Digest), archive); err != nil {
				return err
			}
			if err := d.apply(ctx, t, operator, release.Bytes(), review.Bytes()); err != nil {
				return err
			}
		}
		d.say("released %-20s signed by its author, approved by the reviewer", name)
	}
	return nil
}

func (d *demoRegion) activate(ctx context.Context) error {
	for _, name := range demoPacks {
		p := d.packs[name]
		library := ""
		if p.Manifest.Kind == rulepacks.KindRules {
			library = clinical.Version
		}
		for _, t := range demoTenants {
			operator, approver, _ := demoPersons(t)
			env, err := d.sign("statements/activation-"+name+"-"+string(t), signing.Statement{Archive: packDigest(p), Predicate: signing.Activation{
				Tenant: signing.Tenant(t), Region: demoRegionID, Pack: signing.Pack(name), Version: p.Manifest.Version, Seq: 1,
				Mode: signing.Active, Library: library, InputsUnknown: []string{}}}, approver)
			if err != nil {
				return err
			}
			if err := d.apply(ctx, t, operator, env.Bytes()); err != nil {
				return err
			}
		}
		d.say("activated %-19s for both tenants, signed by their approvers", name)
	}
	return nil
}

var dateInRequest = regexp.MustCompile(`"\d{4}-\d\d-\d\d`)

// current moves every date of a fixture by the same number of days, so that
// what was recent at the time of the fixtures is recent now.
func (d *demoRegion) current(body []byte) []byte {
	then, err := time.Parse(time.RFC3339, fixtures.Time)
	if err != nil {
		return body
	}
	days := int(d.now.Sub(then).Hours() / 24)
	return dateInRequest.ReplaceAllFunc(body, func(b []byte) []byte {
		t, err := time.Parse(`"2006-01-02`, string(b))
		if err != nil {
			return b
		}
		return t.AddDate(0, 0, days).AppendFormat(nil, `"2006-01-02`)
	})
}

// findings decides a request in this process, without a record, and names what
// was found as the benchmark compares it.
func (d *demoRegion) findings(ctx context.Context, body []byte) ([]string, error) {
	m := decide.NewMaterials()
	in := &decision.Inputs{RecordID: "019cb2a0-0000-7000-8000-000000000001", Tenant: "north", Region: demoRegionID, Time: d.now, Zone: fixtures.Zone,
		Language: "en", Engine: decision.Engine{Build: build, OPA: decide.OPAVersion, Library: clinical.Version},
		Service: demoService, Client: "ehr", Dialect: string(tenant.Dialect2), Request: body}
	for _, name := range demoPacks {
		p := d.packs[name]
		if err := m.AddPack(p); err != nil {
			return nil, err
		}
		ref := decision.Ref{Name: name, Version: p.Manifest.Version, Digest: string(p.Digest), Seq: 1, Mode: "active"}
		if p.Manifest.Kind == rulepacks.KindTerminology {
			in.Release.Terminology = &ref
		} else {
			in.Release.Packs = append(in.Release.Packs, ref)
		}
	}
	slices.SortFunc(in.Release.Packs, func(a, b decision.Ref) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
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
		state := map[decision.Outcome]string{decision.Fired: "true", decision.NotFired: "false", decision.Unknown: "unknown"}[f.Outcome]
		list = append(list, fixtures.Finding{Rule: f.Rule, Subject: f.Subject, State: state})
	}
	return findingNames(list), nil
}
