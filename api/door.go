package api

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/keys"
)

// How long a token may live, from iat to exp.
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
	r := &registry{policy: p, clients: make(map[string]*ehr, len(p.Clients))}
	for _, c := range p.Clients {
		e := &ehr{client: c}
		for _, a := range c.Algorithms {
			e.algs = append(e.algs, jose.SignatureAlgorithm(a))
		}
		e.keys, e.err = keySet(c.JWKS, e.algs)
		r.clients[c.Issuer] = e
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
	// The token is read first, so that the time does not tell a tenant that is not
	// here from one that is.
	t, malformed := parseToken(bearer(x.r.Header), ehrAlgorithms())
	policy, err := s.engine.Policy(id)
	if err != nil {
		return notServed(err)
	}
	if malformed != nil {
		return malformed
	}
	client := s.doors.registry(policy).clients[t.claims.Issuer]
	switch {
	case client == nil:
		return deniedIssuer
	case client.err != nil:
		return client.err
	}
	if err := client.check(t, s.cfg.Clock(), s.audiences(x)); err != nil {
		return err
	}
	x.policy, x.token = policy, t.digest()
	x.caller = engine.Caller{Tenant: id, Client: client.client.ID, Since: x.began}
	return nil
}

func (e *ehr) check(t *token, now time.Time, audiences []string) error {
	if err := t.valid(now, ehrLife, audiences...); err != nil {
		return err
	}
	key := e.keys[keyName{t.kid, t.alg}]
	if key == nil {
		return deniedKeyID
	}
	return t.verify(key)
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
	switch {
	case errors.Is(err, tenant.ErrResidency):
		return fmt.Errorf("finding person: %w", err)
	case errors.Is(err, engine.ErrUnknownTenant):
		return deniedTenant
	case err != nil:
		return deniedKeyID
	case t.claims.Issuer != string(person.ID) || t.claims.Subject != string(person.ID):
		return deniedIssuer
	case (t.alg == jose.EdDSA) != (key.Algorithm() == keys.Ed25519):
		return deniedAlgorithm
	}
	if err := t.verify(key.Crypto()); err != nil {
		return err
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
