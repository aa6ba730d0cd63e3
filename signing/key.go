package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"

	"github.com/sigstore/sigstore/pkg/signature"
)

// Algorithm names a signature algorithm, by the name of Sigstore's registry.
type Algorithm string

// The algorithms this version signs and verifies with.
const (
	// Ed25519 is pure Ed25519 (RFC 8032).
	Ed25519 Algorithm = "ed25519"
	// ECDSAP256 is ECDSA over P-256 with SHA-256 and DER signatures.
	ECDSAP256 Algorithm = "ecdsa-sha2-256-nistp256"
)

// KeyID is the lower-case hex SHA-256 of a key's SubjectPublicKeyInfo (DER).
type KeyID string

const maxKeyPEM = 4096 // far above any Ed25519 or P-256 key

// PublicKey verifies. The zero value verifies nothing.
type PublicKey struct {
	id  KeyID
	alg Algorithm
	key crypto.PublicKey
	der []byte
}

// PrivateKey signs. It never prints its secret. The zero value cannot sign.
type PrivateKey struct {
	signer crypto.Signer
	public PublicKey
}

// GenerateKey makes a key from the bytes of rand, which must be a cryptographic
// source. The same bytes give the same key. An unknown algorithm is ErrUnsupported.
func GenerateKey(alg Algorithm, rand io.Reader) (PrivateKey, error) {
	var raw [32]byte
	for {
		if _, err := io.ReadFull(rand, raw[:]); err != nil {
			return PrivateKey{}, fmt.Errorf("reading randomness for a key: %w", err)
		}
		switch alg {
		case Ed25519:
			return newPrivateKey(ed25519.NewKeyFromSeed(raw[:]))
		case ECDSAP256:
			// A value outside the curve's order is drawn again, so that the key is
			// uniform; this happens about once in 2^32 keys.
			if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw[:]); err == nil {
				return newPrivateKey(key)
			}
		default:
			return PrivateKey{}, fmt.Errorf("algorithm %q: %w; use %s or %s", alg, ErrUnsupported, Ed25519, ECDSAP256)
		}
	}
}

// ParsePrivateKey reads one PKCS#8 PEM block and nothing else.
func ParsePrivateKey(text []byte) (PrivateKey, error) {
	der, err := onePEM(text, "PRIVATE KEY")
	if err != nil {
		return PrivateKey{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The parser's own words may quote key bytes; they are not passed on.
		return PrivateKey{}, fmt.Errorf("reading private key: %w; expected PKCS#8", ErrMalformed)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return PrivateKey{}, fmt.Errorf("reading private key: %w; use an Ed25519 or P-256 key", ErrUnsupported)
	}
	return newPrivateKey(signer)
}

func newPrivateKey(signer crypto.Signer) (PrivateKey, error) {
	public, err := NewPublicKey(signer.Public())
	if err != nil {
		return PrivateKey{}, err
	}
	return PrivateKey{signer: signer, public: public}, nil
}

// PEM returns the key as PKCS#8 PEM. Whoever holds these bytes signs as this person.
func (k PrivateKey) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, fmt.Errorf("encoding private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Public returns the matching public key.
func (k PrivateKey) Public() PublicKey { return k.public }

// Crypto returns the standard library's signer, for tokens. Signatures made with it
// are not statements: statements are signed with [Sign] only.
func (k PrivateKey) Crypto() crypto.Signer { return k.signer }

// Format prints the key id whatever the verb, so that a key cannot reach a log.
func (k PrivateKey) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "private key %s", k.public.id)
}

// NewPublicKey takes an ed25519.PublicKey or a P-256 *ecdsa.PublicKey; everything
// else is ErrUnsupported.
func NewPublicKey(key crypto.PublicKey) (PublicKey, error) {
	var alg Algorithm
	switch k := key.(type) {
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return PublicKey{}, fmt.Errorf("ed25519 key of %d bytes: %w", len(k), ErrMalformed)
		}
		alg = Ed25519
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P256() {
			return PublicKey{}, fmt.Errorf("ECDSA curve: %w; use P-256", ErrUnsupported)
		}
		alg = ECDSAP256
	default:
		return PublicKey{}, fmt.Errorf("key of type %T: %w; use an Ed25519 or P-256 key", key, ErrUnsupported)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return PublicKey{}, fmt.Errorf("encoding public key: %w: %v", ErrMalformed, err)
	}
	sum := sha256.Sum256(der)
	return PublicKey{id: KeyID(hex.EncodeToString(sum[:])), alg: alg, key: key, der: der}, nil
}

// ParsePublicKey reads one "PUBLIC KEY" PEM block and nothing else. Only the one
// DER encoding of a key is accepted, so a key has one id.
func ParsePublicKey(text []byte) (PublicKey, error) {
	der, err := onePEM(text, "PUBLIC KEY")
	if err != nil {
		return PublicKey{}, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, fmt.Errorf("reading public key: %w: %v", ErrMalformed, err)
	}
	key, err := NewPublicKey(parsed)
	if err != nil {
		return PublicKey{}, err
	}
	if !bytes.Equal(key.der, der) {
		return PublicKey{}, fmt.Errorf("reading public key: %w: not the usual DER encoding", ErrMalformed)
	}
	return key, nil
}

// ID returns the key id.
func (k PublicKey) ID() KeyID { return k.id }

// Algorithm returns the algorithm this key verifies.
func (k PublicKey) Algorithm() Algorithm { return k.alg }

// Crypto returns an ed25519.PublicKey or an *ecdsa.PublicKey.
func (k PublicKey) Crypto() crypto.PublicKey { return k.key }

// PEM returns the key as a "PUBLIC KEY" block.
func (k PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der})
}

func (k PublicKey) verifier() (signature.Verifier, error) {
	v, err := signature.LoadVerifier(k.key, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("loading key %s: %w: %v", k.id, ErrUnsupported, err)
	}
	return v, nil
}

// onePEM returns the only block of text, which must be exactly as Go would write it:
// two texts for one key would be two digests for one root.
func onePEM(text []byte, kind string) ([]byte, error) {
	if len(text) > maxKeyPEM {
		return nil, fmt.Errorf("reading PEM key: %w: more than %d bytes", ErrTooLarge, maxKeyPEM)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(block.Headers) != 0 || len(rest) != 0 {
		return nil, fmt.Errorf("reading PEM key: %w; expected exactly one %q block", ErrMalformed, kind)
	}
	if !bytes.Equal(pem.EncodeToMemory(block), text) {
		return nil, fmt.Errorf("reading PEM key: %w: unusual line breaks or text around the block", ErrMalformed)
	}
	return block.Bytes, nil
}
