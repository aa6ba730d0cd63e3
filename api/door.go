package api

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/keys"
)

// How long a token may live, from iat to exp: a client's as long as its policy says,
// which is never longer than this.
const (
	ehrLife    = 24 * time.Hour
	personLife = 10 * time.Minute
)

// doors keeps the keys of every tenant's registered EHRs, read once for each
// policy. A policy is never changed, so the pointer tells whether it is still
// the one in force.
type doors struct{ byTenant sync.Map } // tenant.ID -> *registry

type registry struct {
	policy  *tenant.Policy
	clients map[string]*ehr // by issuer
	decoys  decoys
}

// ehr is a registered client with its keys at hand.
type ehr struct {
	client tenant.Client
	algs   []jose.SignatureAlgorithm
	keys   map[keyName]any
	err    error // the key set is not readable
}

func (d *doors) registry(p *tenant.Policy) *registry {
	if r, ok := d.byTenant.Load(p.Tenant); ok && r.(*registry).policy == p {
		return r.(*registry)
	}
	r := &registry{policy: p, clients: make(map[string]*ehr, len(p.Clients)),
		decoys: decoys{}}
	for _, c := range p.Clients {
		e := &ehr{client: c}
		for _, a := range c.Algorithms {
			e.algs = append(e.algs, jose.SignatureAlgorithm(a))
		}
		e.keys, e.err = keySet(c.JWKS, e.algs)
		r.clients[c.Issuer] = e
		r.decoys.add(e.keys)
	}
	d.byTenant.Store(p.Tenant, r)
	return r
}

// admitEHR proves that a registered EHR of the tenant calls.
func (s *Server) admitEHR(x *exchange) error {
	id, err := tenant.ParseID(x.param("tenant"))
	if err != nil {
		return deniedTenant
	}
	// What is refused before a signature is looked at depends on nothing that is registered: the time does not tell
	// a tenant, an issuer or a key that is here from one that is not.
	t, err := parseToken(bearer(x.r.Header), ehrAlgorithms())
	if err == nil {
		err = t.valid(s.cfg.Clock(), ehrLife, s.audiences(x)...)
	}
	policy, missing := s.engine.Policy(id)
	if errors.Is(missing, tenant.ErrResidency) {
		return fmt.Errorf("finding tenant: %w", missing)
	}
	if err != nil {
		return err
	}
	if missing != nil {
		_ = s.proveToken(t, nil, nil)
		return notServed(missing)
	}
	r := s.doors.registry(policy)
	client := r.clients[t.claims.Issuer]
	if err := s.proveToken(t, client.key(t), r.decoys); err != nil {
		return client.denied(err)
	}
	if t.life() > client.client.TokenLife() {
		return deniedLife
	}
	x.policy, x.token = policy, t.digest()
	x.caller = engine.Caller{Tenant: id, Client: client.client.ID, Since: x.began,
		Token: engine.Token{ID: t.claims.Issuer + "\n" + t.claims.ID, Expires: t.claims.Expiry.Time().Add(leeway)}}
	return nil
}

// key is the one that a token says it is signed with; nil if there is none.
func (e *ehr) key(t *token) any {
	if e == nil {
		return nil
	}
	return e.keys[keyName{t.kid, t.alg}]
}

// denied is why a client has no key for a token, for the metrics.
func (e *ehr) denied(err error) error {
	switch {
	case e == nil:
		return deniedIssuer
	case e.err != nil:
		return e.err
	}
	return err
}

// audiences are the URLs that a token for this call may name. For feedback the
// specification leaves open which one it is.
func (s *Server) audiences(x *exchange) []string {
	list := s.cfg.PublicURL + "/t/" + x.param("tenant") + "/cds-services"
	service := list + "/" + x.param("id")
	switch x.route.path {
	case pathDiscovery:
		return []string{list}
	case pathFeedback:
		return []string{service, service + "/feedback"}
	}
	return []string{service}
}

// ehrAlgorithms are all that any client may be registered with. Each client's
// own list decides, through the keys kept for it.
func ehrAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256, jose.RS384, jose.PS384}
}

// admitPerson proves that a person of the tenant's trust root calls.
func (s *Server) admitPerson(x *exchange) error {
	id, err := tenant.ParseID(x.param("tenant"))
	if err != nil {
		return deniedTenant
	}
	t, err := parseToken(bearer(x.r.Header), []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256})
	if err != nil {
		return err
	}
	now := s.cfg.Clock()
	if t.claims.Tenant != string(id) {
		return deniedTenant
	}
	if err := t.valid(now, personLife, s.cfg.PublicURL); err != nil {
		return err
	}
	person, key, err := s.engine.PersonKey(id, keys.ID(t.kid), now)
	var public any
	switch {
	case errors.Is(err, tenant.ErrResidency):
		return fmt.Errorf("finding person: %w", err)
	case errors.Is(err, engine.ErrUnknownTenant):
		err = deniedTenant
	case err != nil:
		err = deniedKeyID
	case t.claims.Issuer != string(person.ID) || t.claims.Subject != string(person.ID):
		err = deniedIssuer
	case (t.alg == jose.EdDSA) != (key.Algorithm() == keys.Ed25519):
		err = deniedAlgorithm
	default:
		public = key.Crypto()
	}
	if bad := s.proveToken(t, public, nil); err != nil || bad != nil {
		return cmp.Or(err, bad)
	}
	x.token = t.digest()
	x.caller = engine.Caller{Tenant: id, Person: person.ID}
	x.caller.Purpose, err = purpose(x.r.Header)
	return err
}

// notServed keeps the one fact about a tenant that strangers are told, that it
// lives elsewhere. A tenant without a policy has no client that could prove
// anything.
func notServed(err error) error {
	switch {
	case errors.Is(err, tenant.ErrResidency):
		return fmt.Errorf("finding tenant: %w", err)
	case errors.Is(err, engine.ErrUnknownTenant), errors.Is(err, engine.ErrNotReady):
		return deniedTenant
	}
	return fmt.Errorf("finding tenant: %w", err)
}
