package api

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// leeway is how far the caller's clock may differ from ours.
const leeway = 60 * time.Second

// denied is why a token was not accepted. It is counted, and shown to nobody:
// outside, every reason looks the same.
type denied string

// The reasons, as they appear in the metrics.
const (
	deniedHeader    denied = "header"    // no token, or nothing that can be one
	deniedMalformed denied = "malformed" // not a JWT
	deniedAlgorithm denied = "algorithm" // none, symmetric, or not the client's
	deniedType      denied = "type"      // typ is not JWT, or a critical header
	deniedKeyID     denied = "kid"       // no kid, or no such key for this algorithm
	deniedTenant    denied = "tenant"    // unknown tenant, or a token for another one
	deniedIssuer    denied = "issuer"    // not a registered client, or not the person of the key
	deniedAudience  denied = "audience"  // meant for another endpoint
	deniedTime      denied = "time"      // expired, not valid yet, or without its times
	deniedLife      denied = "life"      // valid for too long
	deniedID        denied = "jti"       // no jti
	deniedKeys      denied = "keys"      // the client's registered key set is not readable
	deniedSignature denied = "signature"
	deniedUsed      denied = "used" // for another call, by a client whose tokens are good for one
)

// Error is for wrapping only; no caller sees it.
func (d denied) Error() string { return "token not accepted: " + string(d) }

// Unwrap returns the row of the problem table.
func (d denied) Unwrap() error { return errUnauthenticated }

// claims are those that Precept reads; others are allowed.
type claims struct {
	jwt.Claims
	Tenant string `json:"tenant"`
}

// token is a parsed JWT whose signature has not been checked yet.
type token struct {
	jwt    *jwt.JSONWebToken
	kid    string
	alg    jose.SignatureAlgorithm
	claims claims
}

// parseToken reads a token in one of the given algorithms.
func parseToken(raw string, algs []jose.SignatureAlgorithm) (*token, error) {
	if raw == "" {
		return nil, deniedHeader
	}
	parsed, err := jwt.ParseSigned(raw, algs)
	if err != nil {
		if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
			return nil, deniedAlgorithm
		}
		return nil, deniedMalformed
	}
	h := parsed.Headers[0]
	typ, _ := h.ExtraHeaders[jose.HeaderType].(string)
	_, critical := h.ExtraHeaders["crit"]
	_, raw64 := h.ExtraHeaders["b64"]
	switch {
	case !strings.EqualFold(typ, "JWT") || critical || raw64:
		return nil, deniedType
	case h.KeyID == "":
		return nil, deniedKeyID
	}
	t := &token{jwt: parsed, kid: h.KeyID, alg: jose.SignatureAlgorithm(h.Algorithm)}
	if err := parsed.UnsafeClaimsWithoutVerification(&t.claims); err != nil {
		return nil, deniedMalformed
	}
	return t, nil
}

// valid checks audience, times and id. The audience may end in one slash more
// than the URL it names: EHRs differ there, and both name the same endpoint.
func (t *token) valid(now time.Time, life time.Duration, audiences ...string) error {
	c := &t.claims
	ours := func(a string) bool { return slices.Contains(audiences, strings.TrimSuffix(a, "/")) }
	if !slices.ContainsFunc(c.Audience, ours) {
		return deniedAudience
	}
	switch {
	case c.Expiry == nil || c.IssuedAt == nil:
		return deniedTime
	case now.After(c.Expiry.Time().Add(leeway)), now.Before(c.IssuedAt.Time().Add(-leeway)):
		return deniedTime
	case c.NotBefore != nil && now.Before(c.NotBefore.Time().Add(-leeway)):
		return deniedTime
	case t.life() > life:
		return deniedLife
	case c.ID == "":
		return deniedID
	}
	return nil
}

// life is how long the token lives.
func (t *token) life() time.Duration { return t.claims.Expiry.Time().Sub(t.claims.IssuedAt.Time()) }

// digest stands for a token's id in the log: enough to see one used twice,
// and nothing of what the issuer put into it.
func (t *token) digest() string {
	sum := sha256.Sum256([]byte(t.claims.Issuer + "\n" + t.claims.ID))
	return hex.EncodeToString(sum[:8])
}

// minRSA is the smallest RSA key that is accepted, in bits.
const minRSA = 2048

// keyName finds a key: an algorithm works with the keys of its own kind only.
type keyName struct {
	kid string
	alg jose.SignatureAlgorithm
}

// keySet reads a JWK set (RFC 7517) and keeps the public keys that may verify
// with one of the algorithms. Of two keys with the same id and algorithm
// neither counts, because nobody can tell which one is meant.
func keySet(raw []byte, algs []jose.SignatureAlgorithm) (map[keyName]any, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, deniedKeys
	}
	keys, twice := map[keyName]any{}, map[keyName]bool{}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil { // of a kind nobody here knows: RFC 7517 wants it ignored
			continue
		}
		if k.KeyID == "" || !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
			continue
		}
		for _, alg := range fitting(k.Key) {
			name := keyName{k.KeyID, alg}
			if !slices.Contains(algs, alg) || k.Algorithm != "" && k.Algorithm != string(alg) {
				continue
			}
			twice[name] = keys[name] != nil
			keys[name] = k.Key
		}
	}
	for name, is := range twice {
		if is {
			delete(keys, name)
		}
	}
	return keys, nil
}

// fitting lists the algorithms that a public key may be used with.
func fitting(key any) []jose.SignatureAlgorithm {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return []jose.SignatureAlgorithm{jose.ES256}
		case 384:
			return []jose.SignatureAlgorithm{jose.ES384}
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSA {
			return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.PS384}
		}
	}
	return nil
}
