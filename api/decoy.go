package api

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// decoys are keys that a token is verified with where the key that it names does not
// exist: those that others are registered with, by algorithm, so that the time is that
// of a bad signature.
type decoys map[jose.SignatureAlgorithm][]decoy

type decoy struct {
	kid string
	key any
}

func (d decoys) add(keys map[keyName]any) {
	for name, key := range keys {
		list := append(d[name.alg], decoy{name.kid, key})
		slices.SortFunc(list, func(a, b decoy) int { return strings.Compare(a.kid, b.kid) })
		d[name.alg] = list
	}
}

// seed makes the choice of a decoy one that nobody outside can foresee.
var seed = maphash.MakeSeed()

// pick returns a key for an algorithm, the same one for the same issuer and kid.
func (d decoys) pick(t *token) any {
	if list := d[t.alg]; len(list) > 0 {
		return list[maphash.String(seed, t.claims.Issuer+"\n"+t.kid)%uint64(len(list))].key
	}
	return nobodys()[t.alg]
}

// nobodys are keys whose private halves were thrown away.
var nobodys = sync.OnceValue(func() map[jose.SignatureAlgorithm]any {
	all := map[jose.SignatureAlgorithm]any{}
	if k, _, err := ed25519.GenerateKey(rand.Reader); err == nil {
		all[jose.EdDSA] = k
	}
	for alg, curve := range map[jose.SignatureAlgorithm]elliptic.Curve{
		jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384()} {
		if k, err := ecdsa.GenerateKey(curve, rand.Reader); err == nil {
			all[alg] = &k.PublicKey
		}
	}
	if k, err := rsa.GenerateKey(rand.Reader, minRSA); err == nil {
		all[jose.RS256], all[jose.RS384], all[jose.PS384] = &k.PublicKey, &k.PublicKey, &k.PublicKey
	}
	return all
})

// proveToken checks the signature of a token, with a decoy if there is no key for it: one
// verification whatever the outcome.
func (s *Server) proveToken(t *token, key any, d decoys) error {
	known := key != nil
	if !known {
		key = d.pick(t)
	}
	s.metrics.verified.WithLabelValues(string(t.alg)).Inc()
	err := t.jwt.Claims(key)
	switch {
	case !known:
		return deniedKeyID // whatever a decoy says
	case err != nil:
		return deniedSignature
	}
	return nil
}
