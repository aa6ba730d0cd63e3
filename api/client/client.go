package client

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/decision"
)

// personLife is how long a person's token lives; the server takes none that
// lives longer than ten minutes.
const personLife = 5 * time.Minute

// Config is what a person knows of the service.
type Config struct {
	URL      string // where the service is reached, without a slash at the end
	Audience string // its public URL, if it is reached by another one; default URL
	Tenant   string
	Person   string           // of the tenant's trust root
	Key      crypto.Signer    // listed for the person there: Ed25519, or ECDSA on P-256
	Clock    func() time.Time // for the times of tokens
	HTTP     *http.Client     // nil for one that follows no redirects
}

// Client acts on one tenant as one person of its trust root. It is safe for
// concurrent use.
type Client struct {
	cfg     Config
	purpose string
	signer  jose.Signer
}

// New makes a client. Errors wrap ErrConfig, or are those of the key.
func New(c Config) (*Client, error) {
	if err := checkBase(c.URL); err != nil {
		return nil, err
	}
	if c.Tenant == "" || c.Person == "" || c.Key == nil || c.Clock == nil {
		return nil, fmt.Errorf("making client: %w: tenant, person, key and clock are required", ErrConfig)
	}
	c.Audience = cmp.Or(c.Audience, c.URL)
	if c.HTTP == nil {
		c.HTTP = newHTTP()
	}
	alg, err := algorithm(c.Key.Public())
	if err != nil {
		return nil, err
	}
	id, err := keyID(c.Key.Public())
	if err != nil {
		return nil, err
	}
	signer, err := newSigner(c.Key, alg, id)
	if err != nil {
		return nil, err
	}
	return &Client{cfg: c, signer: signer}, nil
}

// algorithm is the one that the server takes from keys of this kind.
func algorithm(key crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256, nil
		}
	}
	return "", fmt.Errorf("making client: %w: want an Ed25519 or P-256 key, not %T", ErrConfig, key)
}

// keyID names a key as trust roots do: by the SHA-256 of its
// SubjectPublicKeyInfo.
func keyID(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("naming key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// WithPurpose returns a client that says why it looks at records. Without one
// the server shows none.
func (c *Client) WithPurpose(purpose string) *Client {
	d := *c
	d.purpose = purpose
	return &d
}

// Token makes the token of one call.
func (c *Client) Token() (string, error) {
	return sign(c.signer, claims{Tenant: c.cfg.Tenant, Claims: jwt.Claims{
		Issuer: c.cfg.Person, Subject: c.cfg.Person, Audience: jwt.Audience{c.cfg.Audience},
	}}, c.cfg.Clock(), personLife)
}

// Status says what is in force for the tenant.
func (c *Client) Status(ctx context.Context) (*wire.Status, error) {
	return get[wire.Status](ctx, c, "status")
}

// Apply sends one signed statement: JSON Lines of Sigstore bundles.
func (c *Client) Apply(ctx context.Context, envelope []byte) (*wire.Applied, error) {
	return call[wire.Applied](ctx, c, http.MethodPost, "statements", "application/jsonl", envelope)
}

// Statements reads the release log, oldest first.
func (c *Client) Statements(ctx context.Context) ([]wire.Statement, error) {
	s, err := get[wire.Statements](ctx, c, "statements")
	if err != nil {
		return nil, err
	}
	return s.Statements, nil
}

// StatementProof proves that a statement is in the release log.
func (c *Client) StatementProof(ctx context.Context, index int64) (*wire.Proof, error) {
	return get[wire.Proof](ctx, c, fmt.Sprintf("statements/%d/proof", index))
}

// PutPack uploads a pack archive under the digest of its canonical form.
func (c *Client) PutPack(ctx context.Context, digest string, archive []byte) error {
	_, err := c.send(ctx, http.MethodPut, "packs/"+digest, "application/octet-stream", archive)
	return err
}

// Pack downloads the canonical tar of a pack. Check its digest with package
// rulepacks.
func (c *Client) Pack(ctx context.Context, digest string) ([]byte, error) {
	return c.send(ctx, http.MethodGet, "packs/"+digest, "", nil)
}

// Records lists records, newest first.
func (c *Client) Records(ctx context.Context, q wire.Search) (*wire.RecordPage, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("writing search: %w", err)
	}
	return call[wire.RecordPage](ctx, c, http.MethodPost, "records/search", "application/json", body)
}

// Record reads one record with its body opened.
func (c *Client) Record(ctx context.Context, id string) (*wire.Record, error) {
	return get[wire.Record](ctx, c, "records/"+url.PathEscape(id))
}

// Proof proves that a record is in its log. Whoever has the node's public key
// can check it with packages note and tlog of golang.org/x/mod/sumdb alone.
func (c *Client) Proof(ctx context.Context, id string) (*wire.Proof, error) {
	return get[wire.Proof](ctx, c, "records/"+url.PathEscape(id)+"/proof")
}

// Evidence takes out the evidence file of a record: with the record's body only if it is
// asked for, which is recorded. Since, unless empty, is a log and a number of leaves
// ("audit/2026-03:15") from which the file is to show that the log went on.
func (c *Client) Evidence(ctx context.Context, id string, patientData bool, since string) ([]byte, error) {
	q := url.Values{}
	if patientData {
		q.Set("patient-data", "true")
	}
	if since != "" {
		q.Set("since", since)
	}
	path := "records/" + url.PathEscape(id) + "/evidence"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return c.send(ctx, http.MethodGet, path, "", nil)
}

// Explain says why the decision of a record is what it is.
func (c *Client) Explain(ctx context.Context, id string) (*decision.Explanation, error) {
	return get[decision.Explanation](ctx, c, "records/"+url.PathEscape(id)+"/explain")
}

// Verify has the server recompute the tenant's logs. It may take minutes.
func (c *Client) Verify(ctx context.Context) (*wire.Report, error) {
	return get[wire.Report](ctx, c, "verify")
}

// Logs lists the newest signed heads of the tenant's logs.
func (c *Client) Logs(ctx context.Context) ([]wire.Head, error) {
	l, err := get[wire.Logs](ctx, c, "log")
	if err != nil {
		return nil, err
	}
	return l.Logs, nil
}

// Checkpoint reads the newest signed head of a log, "releases" or
// "audit/<yyyy-mm>".
func (c *Client) Checkpoint(ctx context.Context, log string) ([]byte, error) {
	return c.send(ctx, http.MethodGet, "log/"+log+"/checkpoint", "", nil)
}

// tileHeight is that of C2SP tlog-tiles: 256 hashes.
const tileHeight = 8

// Tile reads hashes of a log's tree.
func (c *Client) Tile(ctx context.Context, log string, t tlog.Tile) ([]byte, error) {
	t.H = tileHeight
	return c.send(ctx, http.MethodGet, "log/"+log+"/tile/"+strings.TrimPrefix(t.Path(), "tile/8/"), "", nil)
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
	address := c.cfg.URL + "/v1/tenants/" + c.cfg.Tenant + "/" + path
	answer, _, err := do(ctx, c.cfg.HTTP, request{method, address, contentType, body, token, c.purpose})
	return answer, err
}
