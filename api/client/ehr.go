package client

import (
	"cmp"
	"context"
	"crypto"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/cdshooks"
)

// ehrLife is how long an EHR's token lives: that of one call.
const ehrLife = 5 * time.Minute

// EHRConfig is what an EHR knows of the service it calls.
type EHRConfig struct {
	URL       string // where the service is reached, without a slash at the end
	Audience  string // its public URL, if it is reached by another one; default URL
	Tenant    string
	Issuer    string        // as registered in the tenant policy
	KeyID     string        // kid of the key in the registered key set
	Key       crypto.Signer //
	Algorithm string        // ES256, ES384, RS256, RS384 or PS384
	Clock     func() time.Time
	HTTP      *http.Client // nil for one that follows no redirects
}

// EHR calls the CDS Hooks services of one tenant. It is safe for concurrent
// use.
type EHR struct {
	cfg    EHRConfig
	signer jose.Signer
}

// Answer is what a service answered.
type Answer struct {
	Body    []byte // a CDS Hooks response, exactly as sent
	Receipt string // proves that the record of it exists; see audit.ParseReceipt
}

// NewEHR makes an EHR. Errors wrap ErrConfig, or are those of the key.
func NewEHR(c EHRConfig) (*EHR, error) {
	if err := checkBase(c.URL); err != nil {
		return nil, err
	}
	if c.Tenant == "" || c.Issuer == "" || c.KeyID == "" || c.Clock == nil {
		return nil, fmt.Errorf("making EHR: %w: tenant, issuer, key id and clock are required", ErrConfig)
	}
	c.Audience = cmp.Or(c.Audience, c.URL)
	if c.HTTP == nil {
		c.HTTP = newHTTP()
	}
	signer, err := newSigner(c.Key, jose.SignatureAlgorithm(c.Algorithm), c.KeyID)
	if err != nil {
		return nil, err
	}
	return &EHR{cfg: c, signer: signer}, nil
}

func (e *EHR) path(service string) string {
	p := "/t/" + e.cfg.Tenant + "/cds-services"
	if service != "" {
		p += "/" + service
	}
	return p
}

// Token makes the token of one call: of a service, or with an empty name of
// discovery.
func (e *EHR) Token(service string) (string, error) {
	c := jwt.Claims{Issuer: e.cfg.Issuer, Audience: jwt.Audience{e.cfg.Audience + e.path(service)}}
	return sign(e.signer, claims{Claims: c}, e.cfg.Clock(), ehrLife)
}

// Discover asks which services there are.
func (e *EHR) Discover(ctx context.Context) (cdshooks.Discovery, error) {
	var d cdshooks.Discovery
	body, _, err := e.send(ctx, http.MethodGet, "", "", nil)
	if err != nil {
		return d, fmt.Errorf("discovering services: %w", err)
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return d, fmt.Errorf("discovering services: %w", ErrAnswer)
	}
	return d, nil
}

// Call sends a hook request to a service.
func (e *EHR) Call(ctx context.Context, service string, body []byte) (*Answer, error) {
	answer, h, err := e.send(ctx, http.MethodPost, service, "", body)
	if err != nil {
		return nil, fmt.Errorf("calling service %s: %w", service, err)
	}
	return &Answer{Body: answer, Receipt: h.Get(wire.ReceiptHeader)}, nil
}

// Feedback says what became of cards. The body of the answer is empty, or an
// OperationOutcome that names the entries that were not usable.
func (e *EHR) Feedback(ctx context.Context, service string, body []byte) (*Answer, error) {
	answer, h, err := e.send(ctx, http.MethodPost, service, "/feedback", body)
	if err != nil {
		return nil, fmt.Errorf("sending feedback to service %s: %w", service, err)
	}
	return &Answer{Body: answer, Receipt: h.Get(wire.ReceiptHeader)}, nil
}

func (e *EHR) send(ctx context.Context, method, service, suffix string, body []byte) ([]byte, http.Header, error) {
	token, err := e.Token(service)
	if err != nil {
		return nil, nil, err
	}
	q := request{method: method, url: e.cfg.URL + e.path(service) + suffix, body: body, token: token}
	if method == http.MethodPost {
		q.contentType = "application/json"
	}
	return do(ctx, e.cfg.HTTP, q)
}
