package main

import (
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
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
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
// the spot. It is for trying things out: where there are patients, no one person
// and no one machine ever has all of these keys.
type demoRegion struct {
	dir     string
	config  string // path of the configuration
	private string // URL of the private listener
	public  string // URL of the service
	now     time.Time
	say     func(format string, args ...any)
	keys    map[string]keys.Private // by person
	packs   map[string]*rulepacks.Pack
	stop    func() error // ends the service

	listening [2]net.Listener // public and private, until the service has them
}

// makeDemoRegion makes a region from nothing: keys, roots, packs, statements;
// starts its service, public and private, at the addresses wanted if these are
// free; applies everything over HTTP. Each step says what it does.
func makeDemoRegion(ctx context.Context, dir string, out io.Writer, wanted ...string) (*demoRegion, error) {
	d := &demoRegion{dir: dir, config: filepath.Join(dir, "precept.yaml"), now: time.Now().UTC().Truncate(time.Second),
		keys: map[string]keys.Private{}, packs: map[string]*rulepacks.Pack{}}
	d.stop = d.unlisten
	d.say = (&printer{w: out}).line
	if err := d.listen(wanted); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	for _, step := range []func(context.Context) error{
		d.makeFolder, d.makeKeys, d.makeRoots, d.makeConfig, d.makePacks,
		d.start, d.applyPolicies, d.place, d.release, d.activate,
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
		return fmt.Errorf("making demo region: %s exists already; remove it, or give another --dir", d.dir)
	}
	for _, sub := range []string{"keys", "roots", "policies", "packs", "statements", "store"} {
		if err := os.MkdirAll(d.path(sub), 0o700); err != nil {
			return fmt.Errorf("making demo region: %w", err)
		}
	}
	return nil
}

// The persons of the demo. Each has a key of their own.
func demoPersons(t tenant.ID) (operator, approver, auditor trust.PersonID) {
	at := "@" + string(t) + ".example"
	return trust.PersonID("olga" + at), trust.PersonID("amir" + at), trust.PersonID("avery" + at)
}

const (
	demoAuthor   trust.PersonID = "ada@content.example"
	demoReviewer trust.PersonID = "rosa@content.example"
)

func (d *demoRegion) makeKeys(context.Context) error {
	persons := []trust.PersonID{demoAuthor, demoReviewer}
	for _, t := range demoTenants {
		operator, approver, auditor := demoPersons(t)
		persons = append(persons, operator, approver, auditor)
	}
	for _, p := range persons {
		if err := d.makeKey(string(p), keys.Ed25519); err != nil {
			return err
		}
	}
	for _, t := range demoTenants {
		if err := d.makeKey("ehr-"+string(t), keys.ECDSAP256); err != nil {
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

func (d *demoRegion) makeKey(name string, alg keys.Algorithm) error {
	k, err := keys.Generate(alg, rand.Reader)
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

func (d *demoRegion) person(id trust.PersonID, name string) trust.Person {
	key := trust.NewPersonKey(d.keys[string(id)].Public(), d.now.Add(-time.Minute), time.Time{})
	return trust.Person{ID: id, Name: name, Identities: []string{}, Keys: []trust.PersonKey{key}}
}

func one(ids ...trust.PersonID) trust.RoleRule {
	return trust.RoleRule{Threshold: 1, Persons: ids}
}
func both(ids ...trust.PersonID) trust.RoleRule {
	return trust.RoleRule{Threshold: len(ids), Persons: ids}
}

func (d *demoRegion) makeRoots(context.Context) error {
	publisher := trust.Root{RootKind: trust.PublisherRoot, Name: demoPublisher, Version: 1, IssuedAt: d.now,
		Expires: d.now.AddDate(1, 0, 0),
		Persons: []trust.Person{
			d.person(demoAuthor, "Ada (author)"), d.person(demoReviewer, "Rosa (clinical reviewer)")},
		Roles: map[trust.Role]trust.RoleRule{
			trust.Author: one(demoAuthor), trust.ClinicalReviewer: one(demoReviewer),
			trust.RootAdmin: both(demoAuthor, demoReviewer)}}
	env, err := d.sign("roots/publisher", statement.Statement{Predicate: publisher}, demoAuthor, demoReviewer)
	if err != nil {
		return err
	}
	for _, t := range demoTenants {
		operator, approver, auditor := demoPersons(t)
		root := trust.Root{RootKind: trust.TenantRoot, Name: string(t), Version: 1, IssuedAt: d.now,
			Expires: d.now.AddDate(1, 0, 0),
			Persons: []trust.Person{d.person(operator, "Olga (operator)"), d.person(approver, "Amir (approver)"),
				d.person(auditor, "Avery (auditor)")},
			Roles: map[trust.Role]trust.RoleRule{trust.Operator: one(operator), trust.Approver: one(approver),
				trust.Revoker: one(approver, operator), trust.Auditor: one(auditor),
				trust.RootAdmin: both(operator, approver)},
			TrustedPublishers: []trust.TrustedPublisher{{Name: demoPublisher, Root: env.Digest()}},
			Regions:           []string{demoRegionID}}
		if _, err := d.sign("roots/"+string(t), statement.Statement{Predicate: root}, operator, approver); err != nil {
			return err
		}
	}
	d.say("made the publisher's trust root and those of the tenants %s and %s", demoTenants[0], demoTenants[1])
	return nil
}

func (d *demoRegion) statementFile(name string) string { return d.path(name + ".jsonl") }

// sign writes a statement signed by persons into a file.
func (d *demoRegion) sign(name string, s statement.Statement, by ...trust.PersonID) (*signing.Envelope, error) {
	env, err := d.signed(s, by...)
	if err != nil {
		return nil, err
	}
	return env, os.WriteFile(d.statementFile(name), env.Bytes(), 0o600)
}

func (d *demoRegion) signed(s statement.Statement, by ...trust.PersonID) (*signing.Envelope, error) {
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
	return signing.NewEnvelope(bundles...)
}

func (d *demoRegion) makeConfig(context.Context) error {
	address, private := d.listening[0].Addr().String(), d.listening[1].Addr().String()
	d.public, d.private = "http://"+address, "http://"+private
	c := config{Region: demoRegionID, PublicURL: d.public, Listen: address, PrivateListen: private,
		LogPrefix: "demo.precept.example", RegionKey: "keys/region.json",
		Store:    storeConfig{Kind: boltStore, Path: "store/audit.db", HighWater: "high-water"},
		Timeouts: timeoutConfig{Shutdown: 30 * time.Second}, Overruns: 1}
	for _, t := range demoTenants {
		text, err := os.ReadFile(d.statementFile("roots/" + string(t)))
		if err != nil {
			return err
		}
		env, err := signing.ReadEnvelope(text)
		if err != nil {
			return err
		}
		c.Tenants = append(c.Tenants, tenantConfig{ID: string(t), Root: "roots/" + string(t) + ".jsonl",
			RootSHA256: string(env.Digest())})
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(d.config, text, 0o600)
}

// listen takes the addresses that are wanted where they are free, else others, and
// keeps them for the service.
func (d *demoRegion) listen(wanted []string) error {
	for i := range d.listening {
		var l net.Listener
		var err error
		if i < len(wanted) {
			l, err = net.Listen("tcp", wanted[i])
		}
		if l == nil {
			l, err = listenAnywhere()
		}
		if err != nil {
			return fmt.Errorf("making demo region: %w", err)
		}
		d.listening[i] = l
	}
	return nil
}

func (d *demoRegion) unlisten() (err error) {
	for _, l := range d.listening {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return err
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
	cfg.listening, d.listening = d.listening, [2]net.Listener{}
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

// as returns a client for a person of a tenant.
func (d *demoRegion) as(t tenant.ID, p trust.PersonID, purpose string) (*client.Client, error) {
	c, err := client.New(client.Config{URL: d.public, Tenant: string(t), Person: string(p),
		Key: d.keys[string(p)].Crypto(), Clock: time.Now})
	if err != nil {
		return nil, err
	}
	return c.WithPurpose(purpose), nil
}

// ehr returns the EHR of a tenant.
func (d *demoRegion) ehr(t tenant.ID) (*client.EHR, error) {
	name := "ehr-" + string(t)
	return client.NewEHR(client.EHRConfig{URL: d.public, Tenant: string(t), Issuer: demoIssuer(t), KeyID: name,
		Key: d.keys[name].Crypto(), Algorithm: "ES256", Clock: time.Now})
}

// demoFHIRBase is the FHIR server that the synthetic requests are of.
const demoFHIRBase = "https://ehr.north.example/fhir/R4"

func demoIssuer(t tenant.ID) string { return "https://ehr." + string(t) + ".example" }

var dateInRequest = regexp.MustCompile(`"\d{4}-\d\d-\d\d`)

// current moves every date of a fixture by the same number of days, so that
// what was recent at the time of the fixtures is recent now.
func current(body []byte, now time.Time) []byte {
	then, err := time.Parse(time.RFC3339, fixtures.Time)
	if err != nil {
		return body
	}
	days := int(now.Sub(then).Hours() / 24)
	return dateInRequest.ReplaceAllFunc(body, func(b []byte) []byte {
		t, err := time.Parse(`"2006-01-02`, string(b))
		if err != nil {
			return b
		}
		return t.AddDate(0, 0, days).AppendFormat(nil, `"2006-01-02`)
	})
}
