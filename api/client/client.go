package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
)

// personLife is how long a person's token lives; the server takes none that
// lives longer than ten minutes.
const personLife = 5 * time.Minute

// Client acts on one tenant as one person of its trust root. It is safe for
// concurrent use.
type Client struct {
	base     string
	audience string
	tenant   tenant.ID
	person   signing.PersonID
	purpose  string
	signer   jose.Signer
	clock    func() time.Time
	http     *http.Client
}

// New makes a client for the service at baseURL, which is its public URL
// without a slash at the end. The key must be listed for the person in the
// tenant's trust root. Errors wrap ErrConfig, or are those of the key.
func New(baseURL string, t tenant.ID, person signing.PersonID, key signing.PrivateKey, clock func() time.Time) (*Client, error) {
	if err := checkBase(baseURL); err != nil {
		return nil, err
	}
	if t == "" || person == "" || clock == nil {
		return nil, fmt.Errorf("making client: %w: tenant, person and clock are required", ErrConfig)
	}
	alg := jose.EdDSA
	if key.Public().Algorithm() == signing.ECDSAP256 {
		alg = jose.ES256
	}
	signer, err := newSigner(key.Crypto(), alg, string(key.Public().ID()))
	if err != nil {
		return nil, err
	}
	return &Client{base: baseURL, audience: baseURL, tenant: t, person: person, signer: signer, clock: clock, http: newHTTP()}, nil
}

// WithPurpose returns a client that says why it looks at records. Without one
// the server shows none.
func (c *Client) WithPurpose(purpose string) *Client {
	d := *c
	d.purpose = purpose
	return &d
}

// WithAudience returns a client for a service whose public URL is not the one
// it is reached by.
func (c *Client) WithAudience(publicURL string) *Client {
	d := *c
	d.audience = publicURL
	return &d
}

// WithHTTP returns a client that sends through h, for instance with the roots
// of a private certificate authority.
func (c *Client) WithHTTP(h *http.Client) *Client {
	d := *c
	d.http = h
	return &d
}

// Token makes the token of one call.
func (c *Client) Token() (string, error) {
	return sign(c.signer, claims{Tenant: string(c.tenant), Claims: jwt.Claims{
		Issuer: string(c.person), Subject: string(c.person), Audience: jwt.Audience{c.audience},
	}}, c.clock(), personLife)
}

// Status says what stands for the tenant.
func (c *Client) Status(ctx context.Context) (*engine.Status, error) {
	return get[engine.Status](ctx, c, "status")
}

// Apply sends one signed statement: JSON Lines of Sigstore bundles.
func (c *Client) Apply(ctx context.Context, envelope []byte) (*engine.Applied, error) {
	return call[engine.Applied](ctx, c, http.MethodPost, "statements", "application/jsonl", envelope)
}

// Statements reads the release log, oldest first.
func (c *Client) Statements(ctx context.Context) ([]decide.Logged, error) {
	s, err := get[Statements](ctx, c, "statements")
	if err != nil {
		return nil, err
	}
	return s.Statements, nil
}

// PutPack uploads a pack archive under the digest of its canonical form.
func (c *Client) PutPack(ctx context.Context, digest rulepacks.Digest, archive []byte) error {
	_, err := c.send(ctx, http.MethodPut, "packs/"+string(digest), "application/octet-stream", archive)
	return err
}

// Pack downloads the canonical tar of a pack. Check its digest with package
// rulepacks.
func (c *Client) Pack(ctx context.Context, digest rulepacks.Digest) ([]byte, error) {
	return c.send(ctx, http.MethodGet, "packs/"+string(digest), "", nil)
}

// Records lists records, newest first.
func (c *Client) Records(ctx context.Context, q Search) (*engine.RecordPage, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("writing search: %w", err)
	}
	return call[engine.RecordPage](ctx, c, http.MethodPost, "records/search", "application/json", body)
}

// Record reads one record with its body opened.
func (c *Client) Record(ctx context.Context, id string) (*engine.Record, error) {
	return get[engine.Record](ctx, c, "records/"+url.PathEscape(id))
}

// Explain says why the decision of a record is what it is.
func (c *Client) Explain(ctx context.Context, id string) (*decision.Explanation, error) {
	return get[decision.Explanation](ctx, c, "records/"+url.PathEscape(id)+"/explain")
}

// Verify has the server recompute the tenant's logs. It may take minutes.
func (c *Client) Verify(ctx context.Context) (*audit.Report, error) {
	return get[audit.Report](ctx, c, "verify")
}

// Checkpoint reads the newest signed head of a log.
func (c *Client) Checkpoint(ctx context.Context, log audit.LogName) ([]byte, error) {
	return c.send(ctx, http.MethodGet, "log/"+string(log)+"/checkpoint", "", nil)
}

// Tile reads hashes of a log's tree.
func (c *Client) Tile(ctx context.Context, log audit.LogName, t tlog.Tile) ([]byte, error) {
	t.H = audit.TileHeight
	return c.send(ctx, http.MethodGet, "log/"+string(log)+"/tile/"+strings.TrimPrefix(t.Path(), "tile/8/"), "", nil)
}

func get[T any](ctx context.Context, c *Client, path string) (*T, error) {
	return call[T](ctx, c, http.MethodGet, path, "", nil)
}

func call[T any](ctx context.Context, c *Client, method, path, contentType string, body []byte) (*T, error) {
	answer, err := c.send(ctx, method, path, contentType, body)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(answer, v); err != nil {
		return nil, fmt.Errorf("reading answer: %w", ErrAnswer)
	}
	return v, nil
}

func (c *Client) send(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	token, err := c.Token()
	if err != nil {
		return nil, err
	}
	answer, _, err := do(ctx, c.http, request{method: method, url: c.base + "/v1/tenants/" + string(c.tenant) + "/" + path,
		contentType: contentType, body: body, token: token, purpose: c.purpose})
	return answer, err
}
