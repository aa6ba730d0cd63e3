package tenant

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Policy is what a health system decided about how Precept serves it. It is
// the "policy" member of a tenant-policy statement.
type Policy struct {
	Tenant   ID        `json:"tenant"`
	Region   Region    `json:"region"`
	Name     string    `json:"name"`               // for people
	Language string    `json:"language,omitempty"` // of cards, BCP 47 primary tag; default en
	Zone     string    `json:"zone,omitempty"`     // IANA zone for dates without one; default UTC
	Capture  Capture   `json:"capture,omitempty"`  // what a record keeps; default full
	Services []Service `json:"services"`
	Clients  []Client  `json:"clients"`
	Limits   Limits    `json:"limits,omitzero"`

	Parameters map[string]map[string]jsontext.Value `json:"parameters,omitzero"` // pack -> parameter -> value
}

// Capture says how much of a call its record keeps.
type Capture string

// CaptureFull keeps the whole request, so that it can be replayed and asked
// "what if". It is the only class this version offers.
const CaptureFull Capture = "full"

// Service is one CDS Hooks service of the tenant.
type Service struct {
	ID          string     `json:"id"`
	Hook        string     `json:"hook"`
	Title       string     `json:"title,omitempty"`
	Description string     `json:"description"`
	Usage       string     `json:"usageRequirements,omitempty"`
	Packs       []string   `json:"packs"`              // pack names whose rules answer here
	Prefetch    []Prefetch `json:"prefetch,omitempty"` // in the order shown in discovery
}

// Prefetch is one prefetch key: its FHIR query template and the resource types
// that its answer is the whole truth about.
type Prefetch struct {
	Key   string   `json:"key"`
	Query string   `json:"query"`
	Types []string `json:"types"`
}

// Client is one EHR that may call.
type Client struct {
	ID         string         `json:"id"`
	Issuer     string         `json:"issuer"`             // the iss of its tokens
	JWKS       jsontext.Value `json:"jwks"`               // its public keys, RFC 7517, exchanged out of band
	Algorithms []string       `json:"algorithms"`         // of ES256 ES384 RS256 RS384 PS384
	FHIRBase   string         `json:"fhirBase"`           // identities of patients are (fhirBase, id)
	Dialect    Dialect        `json:"dialect,omitempty"`  // default 2.0
	Services   []string       `json:"services,omitempty"` // allowed service ids; empty means all
	HookID     string         `json:"hookInstance,omitempty"`
	// TokenSeconds is the longest life of its tokens, from iat to exp; default 300, at most 86400.
	TokenSeconds int   `json:"tokenSeconds,omitzero"`
	Reuse        Reuse `json:"jti,omitempty"` // what comes of a token that is used for two calls; default observe
}

// Reuse says what comes of a token whose jti was used for another call. The same call
// sent again with the same token is not another one.
type Reuse string

// The ways.
const (
	EnforceOnce  Reuse = "enforce" // it is not accepted
	ObserveReuse Reuse = "observe" // it is counted and logged
	AllowReuse   Reuse = "off"     // nobody looks
)

// TokenLife is the longest life of the client's tokens.
func (c Client) TokenLife() time.Duration { return time.Duration(c.TokenSeconds) * time.Second }

// Dialect is the version of CDS Hooks a client was built for. The protocol
// does not negotiate one, so it is a property of the registered client.
type Dialect string

// Dialect2 is CDS Hooks 2.0.1, the only dialect this version writes.
const Dialect2 Dialect = "2.0"

// Limits bound one tenant's use of a node. Zero fields take the defaults.
type Limits struct {
	BodyBytes   int64 `json:"bodyBytes,omitzero"`   // of a request; default 8 MiB, at most 24 MiB: a record holds it
	DeadlineMS  int   `json:"deadlineMs,omitzero"`  // first byte to durable record; default 1000, at most 10000
	RuleMS      int   `json:"ruleMs,omitzero"`      // one rule on one subject; default 100
	Resources   int   `json:"resources,omitzero"`   // resources in one request; default 20000
	Concurrency int   `json:"concurrency,omitzero"` // calls at once; default 64
	Cards       int   `json:"cards,omitzero"`       // cards in one answer; default 20
	// RepeatSeconds is how long the same call gets its recorded answer again, while what it was decided under is
	// still in force; default 600, at most 3600.
	RepeatSeconds int `json:"repeatSeconds,omitzero"`
	// What the tenant's records may take; 0, the default, is what the operator allows.
	RecordsPerDay int `json:"recordsPerDay,omitzero"`
	BytesPerDay   int `json:"bytesPerDay,omitzero"` // of sealed bodies and statements, and 1 KiB for each record
	BytesTotal    int `json:"bytesTotal,omitzero"`
}

// each lists the members of limits by name, as pointers into l.
func (l *Limits) each(do func(name string, value *int)) {
	body := int(l.BodyBytes)
	do("bodyBytes", &body)
	l.BodyBytes = int64(body)
	do("deadlineMs", &l.DeadlineMS)
	do("ruleMs", &l.RuleMS)
	do("resources", &l.Resources)
	do("concurrency", &l.Concurrency)
	do("cards", &l.Cards)
	do("repeatSeconds", &l.RepeatSeconds)
	do("recordsPerDay", &l.RecordsPerDay)
	do("bytesPerDay", &l.BytesPerDay)
	do("bytesTotal", &l.BytesTotal)
}

// Under reports, naming each, the limits that are above the operator's ceiling. A zero
// member of the ceiling is none. The error is ErrPolicy.
func (l Limits) Under(ceiling Limits) error {
	top := map[string]int{}
	ceiling.each(func(name string, value *int) { top[name] = *value })
	var above []string
	l.each(func(name string, value *int) {
		if most := top[name]; most > 0 && *value > most {
			above = append(above, fmt.Sprintf("%s %d is above the operator's ceiling of %d", name, *value, most))
		}
	})
	if len(above) > 0 {
		return fmt.Errorf("%w: %s", ErrPolicy, strings.Join(above, "; "))
	}
	return nil
}

// Capped returns the limits with none above the operator's ceiling.
func (l Limits) Capped(ceiling Limits) Limits {
	top := map[string]int{}
	ceiling.each(func(name string, value *int) { top[name] = *value })
	l.each(func(name string, value *int) {
		if most := top[name]; most > 0 && (*value == 0 || *value > most) {
			*value = most
		}
	})
	return l
}

// Repeat is how long the same call gets its recorded answer again.
func (l Limits) Repeat() time.Duration { return time.Duration(l.RepeatSeconds) * time.Second }

// Deadline is the time a call may take, from its first byte to its durable record.
func (l Limits) Deadline() time.Duration { return time.Duration(l.DeadlineMS) * time.Millisecond }

// RuleTime is the time one rule may take on one subject.
func (l Limits) RuleTime() time.Duration { return time.Duration(l.RuleMS) * time.Millisecond }

// Algorithms are the signature algorithms a client may be registered with:
// asymmetric ones only.
var algorithms = []string{"ES256", "ES384", "RS256", "RS384", "PS384"}

// Parse reads a policy strictly, fills in the defaults and checks it. Unknown
// members and duplicate names are refused.
func Parse(raw []byte) (*Policy, error) {
	var p Policy
	if err := jsonv2.Unmarshal(raw, &p, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("reading tenant policy: %w (%w)", err, ErrPolicy)
	}
	p.defaults()
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("checking policy of tenant %q: %w (%w)", p.Tenant, err, ErrPolicy)
	}
	return &p, nil
}

func (p *Policy) defaults() {
	or(&p.Language, "en")
	or(&p.Zone, "UTC")
	or(&p.Capture, CaptureFull)
	or(&p.Limits.BodyBytes, 8<<20)
	or(&p.Limits.DeadlineMS, 1000)
	or(&p.Limits.RuleMS, 100)
	or(&p.Limits.Resources, 20000)
	or(&p.Limits.Concurrency, 64)
	or(&p.Limits.Cards, 20)
	or(&p.Limits.RepeatSeconds, 600)
	for i := range p.Clients {
		or(&p.Clients[i].Dialect, Dialect2)
		or(&p.Clients[i].HookID, "strict")
		or(&p.Clients[i].TokenSeconds, 300)
		or(&p.Clients[i].Reuse, ObserveReuse)
	}
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (p *Policy) check() error {
	if _, err := ParseID(string(p.Tenant)); err != nil {
		return err
	}
	if _, err := ParseRegion(string(p.Region)); err != nil {
		return err
	}
	if p.Capture != CaptureFull {
		return fmt.Errorf("capture %q is not offered by this version; use %q", p.Capture, CaptureFull)
	}
	if err := p.Limits.check(); err != nil {
		return err
	}
	if err := each("service", p.Services, func(s Service) string { return s.ID + " for hook " + s.Hook },
		Service.check); err != nil {
		return err
	}
	if err := each("client", p.Clients, func(c Client) string { return c.ID }, Client.check); err != nil {
		return err
	}
	return unique("issuer", p.Clients, func(c Client) string { return c.Issuer })
}

func each[T any](what string, list []T, key func(T) string, check func(T) error) error {
	for _, x := range list {
		if err := check(x); err != nil {
			return fmt.Errorf("%s %q: %w", what, key(x), err)
		}
	}
	return unique(what, list, key)
}

func unique[T any](what string, list []T, key func(T) string) error {
	seen := map[string]bool{}
	for _, x := range list {
		if seen[key(x)] {
			return fmt.Errorf("%s %q is given twice", what, key(x))
		}
		seen[key(x)] = true
	}
	return nil
}

func (l Limits) check() error {
	switch {
	case l.BodyBytes < 1024 || l.BodyBytes > 24<<20:
		return fmt.Errorf("bodyBytes must lie between 1024 and %d", 24<<20)
	case l.DeadlineMS < 10 || l.DeadlineMS > 10000:
		return fmt.Errorf("deadlineMs must lie between 10 and 10000")
	case l.RuleMS < 1 || l.RuleMS > l.DeadlineMS:
		return fmt.Errorf("ruleMs must lie between 1 and deadlineMs")
	case l.Resources < 1 || l.Concurrency < 1 || l.Cards < 1:
		return fmt.Errorf("resources, concurrency and cards must be positive")
	case l.RepeatSeconds < 1 || l.RepeatSeconds > 3600:
		return fmt.Errorf("repeatSeconds must lie between 1 and 3600")
	case l.RecordsPerDay < 0 || l.BytesPerDay < 0 || l.BytesTotal < 0:
		return fmt.Errorf("recordsPerDay, bytesPerDay and bytesTotal must not be negative")
	}
	return nil
}

func (s Service) check() error {
	switch {
	case !name.MatchString(s.ID):
		return fmt.Errorf("id: %w", ErrName)
	case s.Hook == "" || s.Description == "":
		return fmt.Errorf("hook and description are required")
	case len(s.Packs) == 0:
		return fmt.Errorf("no packs: name at least one")
	}
	return each("prefetch", s.Prefetch, func(p Prefetch) string { return p.Key }, func(p Prefetch) error {
		if p.Key == "" || p.Query == "" || len(p.Types) == 0 {
			return fmt.Errorf("key, query and types are required")
		}
		return nil
	})
}

func (c Client) check() error {
	base, err := url.Parse(c.FHIRBase)
	switch {
	case c.ID == "" || c.Issuer == "":
		return fmt.Errorf("id and issuer are required")
	case err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http":
		return fmt.Errorf("fhirBase must be an absolute http or https URL")
	case strings.HasSuffix(c.FHIRBase, "/"):
		return fmt.Errorf("fhirBase must not end in a slash")
	case base.User != nil || base.RawQuery != "" || base.ForceQuery || strings.Contains(c.FHIRBase, "#") ||
		strings.Contains(base.Path+"/", "/./") || strings.Contains(base.Path+"/", "/../"):
		return fmt.Errorf("fhirBase must not have a user, a query, a fragment or dot segments")
	case c.Dialect != Dialect2:
		return fmt.Errorf("dialect %q is not offered by this version; use %q", c.Dialect, Dialect2)
	case len(c.JWKS) == 0 || !json.Valid(c.JWKS):
		return fmt.Errorf("jwks is required: the client's public keys")
	case len(c.Algorithms) == 0:
		return fmt.Errorf("algorithms is required: which signatures the client uses")
	case c.HookID != "strict" && c.HookID != "lenient":
		return fmt.Errorf("hookInstance must be strict or lenient")
	}
	if c.TokenSeconds < 1 || c.TokenSeconds > 86400 {
		return fmt.Errorf("tokenSeconds must lie between 1 and 86400")
	}
	if c.Reuse != EnforceOnce && c.Reuse != ObserveReuse && c.Reuse != AllowReuse {
		return fmt.Errorf("jti must be enforce, observe or off")
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(algorithms, a) {
			return fmt.Errorf("algorithm %q is not allowed; use one of %s", a, strings.Join(algorithms, " "))
		}
	}
	return nil
}

// Service returns the tenant's service with this id and hook.
func (p *Policy) Service(id, hook string) (Service, bool) {
	i := slices.IndexFunc(p.Services, func(s Service) bool { return s.ID == id && s.Hook == hook })
	if i < 0 {
		return Service{}, false
	}
	return p.Services[i], true
}

// HasService reports whether any hook is served under id.
func (p *Policy) HasService(id string) bool {
	return slices.ContainsFunc(p.Services, func(s Service) bool { return s.ID == id })
}

// Issuer returns the client whose tokens carry this issuer.
func (p *Policy) Issuer(iss string) (Client, bool) {
	i := slices.IndexFunc(p.Clients, func(c Client) bool { return c.Issuer == iss })
	if i < 0 {
		return Client{}, false
	}
	return p.Clients[i], true
}

// Client returns the client registered under id.
func (p *Policy) Client(id string) (Client, bool) {
	i := slices.IndexFunc(p.Clients, func(c Client) bool { return c.ID == id })
	if i < 0 {
		return Client{}, false
	}
	return p.Clients[i], true
}

// Allows reports whether the client may call the service id.
func (c Client) Allows(id string) bool {
	return len(c.Services) == 0 || slices.Contains(c.Services, id)
}

// Types maps each prefetch key to the resource types it answers for.
func (s Service) Types() map[string][]string {
	m := make(map[string][]string, len(s.Prefetch))
	for _, p := range s.Prefetch {
		m[p.Key] = p.Types
	}
	return m
}
