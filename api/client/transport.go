package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/precept-cds/precept/api/wire"
)

// ErrConfig says that a client cannot be made like this; the message names
// what is missing.
var ErrConfig = errors.New("client is not configured")

// maxAnswer bounds what is read of an answer: the largest pack, with room.
const maxAnswer = 512 << 20

// newHTTP follows no redirect: a token is for one address.
func newHTTP() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// checkBase takes an absolute URL without a slash at the end.
func checkBase(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.HasSuffix(base, "/") ||
		u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("reading base URL: %w: want an absolute URL without a slash at the end", ErrConfig)
	}
	return nil
}

// newSigner makes JWTs with one key.
func newSigner(key crypto.Signer, alg jose.SignatureAlgorithm, kid string) (jose.Signer, error) {
	var signing any = key
	switch key.(type) {
	case nil:
		return nil, fmt.Errorf("making token signer: %w: a key is required", ErrConfig)
	case *ecdsa.PrivateKey, *rsa.PrivateKey, ed25519.PrivateKey:
	default: // the private half lies elsewhere
		signing = cryptosigner.Opaque(key)
	}
	opts := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: signing}, opts)
	if err != nil {
		return nil, fmt.Errorf("making token signer for %s: %w", alg, err)
	}
	return s, nil
}

// claims are those of both kinds of token.
type claims struct {
	jwt.Claims
	Tenant string `json:"tenant,omitempty"`
}

// sign makes a token that lives from now for life.
func sign(s jose.Signer, c claims, now time.Time, life time.Duration) (string, error) {
	c.IssuedAt, c.Expiry, c.ID = jwt.NewNumericDate(now), jwt.NewNumericDate(now.Add(life)), rand.Text()
	token, err := jwt.Signed(s).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing token: %w", err)
	}
	return token, nil
}

// request is one call; header holds everything but the token.
type request struct {
	method, url, contentType string
	body                     []byte
	token                    string
	purpose                  string
}

// do sends a request and reads the whole answer.
func do(ctx context.Context, h *http.Client, q request) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, q.url, bytes.NewReader(q.body))
	if err != nil {
		return nil, nil, fmt.Errorf("making request: %w", err)
	}
	if q.token != "" {
		r.Header.Set("Authorization", "Bearer "+q.token)
	}
	for name, value := range map[string]string{"Content-Type": q.contentType, wire.PurposeHeader: q.purpose} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	resp, err := h.Do(r)
	if err != nil {
		return nil, nil, fmt.Errorf("calling Precept: %w", err)
	}
	defer resp.Body.Close()
	body, err := readAll(resp)
	if err != nil {
		return nil, nil, fmt.Errorf("reading answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		return nil, nil, readProblem(resp.StatusCode, resp.Header, body)
	}
	return body, resp.Header, nil
}

func readAll(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("more than %d bytes: %w", maxAnswer, ErrAnswer)
	}
	return body, err
}
