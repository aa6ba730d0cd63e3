// Package keys makes, reads and names the keys that sign statements.
//
// # Layout
//
// A private key is one PKCS#8 PEM block, a public key one SubjectPublicKeyInfo block,
// as Go and OpenSSL write them:
//
//	-----BEGIN PUBLIC KEY-----
//	MCowBQYDK2VwAyEA…
//	-----END PUBLIC KEY-----
//
// The [ID] of a key is the lower-case hex SHA-256 of its SubjectPublicKeyInfo (DER):
//
//	openssl pkey -pubin -in key.pub -outform DER | sha256sum
//
// # What it guarantees, and what it does not
//
// A public key has one accepted spelling, so it has one id, and it is one that a private
// key can have: not a point of low order, under which anybody signs. A private key never
// prints its secret, and no error repeats key bytes. Nothing here knows whom a key belongs
// to or whether it may sign: a trust root says so. Keys are not encrypted: who holds the
// file signs.
package keys

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
	"errors"
	"fmt"
	"io"

	"filippo.io/edwards25519"
)

var (
	// ErrMalformed means the bytes are not one key in the one PEM spelling that
	// [Private.PEM] or [Public.PEM] writes. Export the key again.
	ErrMalformed = errors.New("malformed")
	// ErrUnsupported means this version does not sign or verify with such a key. Use
	// an Ed25519 or P-256 key.
	ErrUnsupported = errors.New("not supported by this version")
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

// ID is the lower-case hex SHA-256 of a key's SubjectPublicKeyInfo (DER).
type ID string

const maxKeyPEM = 4096 // far above any Ed25519 or P-256 key

// Public verifies. The zero value verifies nothing.
type Public struct {
	id  ID
	alg Algorithm
	key crypto.PublicKey
	der []byte
}

// Private signs. It never prints its secret. The zero value cannot sign.
type Private struct {
	signer crypto.Signer
	public Public
}

// Generate makes a key from the bytes of rand, which must be a cryptographic
// source. The same bytes give the same key. An unknown algorithm is
// [ErrUnsupported]; too few bytes are an error of rand.
func Generate(alg Algorithm, rand io.Reader) (Private, error) {
	var raw [32]byte
	for {
		if _, err := io.ReadFull(rand, raw[:]); err != nil {
			return Private{}, fmt.Errorf("reading randomness for a key: %w", err)
		}
		switch alg {
		case Ed25519:
			return NewPrivate(ed25519.NewKeyFromSeed(raw[:]))
		case ECDSAP256:
			// A value outside the curve's order is drawn again, so that the key is
			// uniform; this happens about once in 2^32 keys.
			if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw[:]); err == nil {
				return NewPrivate(key)
			}
		default:
			return Private{}, fmt.Errorf("algorithm %q: %w; use %s or %s", alg, ErrUnsupported, Ed25519, ECDSAP256)
		}
	}
}

// ParsePrivate reads one "PRIVATE KEY" (PKCS#8) PEM block and nothing else. Other text is
// [ErrMalformed], a key of another algorithm [ErrUnsupported].
func ParsePrivate(text []byte) (Private, error) {
	der, err := onePEM(text, "PRIVATE KEY")
	if err != nil {
		return Private{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The parser's own words may quote key bytes; they are not passed on.
		return Private{}, fmt.Errorf("reading private key: %w; expected PKCS#8", ErrMalformed)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return Private{}, fmt.Errorf("reading private key: %w; use an Ed25519 or P-256 key", ErrUnsupported)
	}
	return NewPrivate(signer)
}

// NewPrivate returns a key that is held elsewhere, as in a key ring. The errors are those
// of [ParsePrivate].
func NewPrivate(signer crypto.Signer) (Private, error) {
	public, err := newPublic(signer.Public())
	if err != nil {
		return Private{}, err
	}
	return Private{signer: signer, public: public}, nil
}

// PEM returns the key as PKCS#8 PEM. Whoever holds these bytes signs as this person. The
// zero value is an error.
func (k Private) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, fmt.Errorf("encoding private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Public returns the matching public key.
func (k Private) Public() Public { return k.public }

// Crypto returns the standard library's signer, for tokens and for signing statements;
// nil for the zero value.
func (k Private) Crypto() crypto.Signer { return k.signer }

// Format prints the key id whatever the verb, so that a key cannot reach a log.
func (k Private) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "private key %s", k.public.id)
}

func newPublic(key crypto.PublicKey) (Public, error) {
	var alg Algorithm
	switch k := key.(type) {
	case ed25519.PublicKey:
		if err := CheckEd25519(k); err != nil {
			return Public{}, err
		}
		alg = Ed25519
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P256() {
			return Public{}, fmt.Errorf("ECDSA curve: %w; use P-256", ErrUnsupported)
		}
		alg = ECDSAP256
	default:
		return Public{}, fmt.Errorf("key of type %T: %w; use an Ed25519 or P-256 key", key, ErrUnsupported)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Public{}, fmt.Errorf("encoding public key: %w: %v", ErrMalformed, err)
	}
	sum := sha256.Sum256(der)
	return Public{id: ID(hex.EncodeToString(sum[:])), alg: alg, key: key, der: der}, nil
}

// CheckEd25519 returns [ErrMalformed] for bytes that no private key has as its public key.
// The standard library verifies with them all the same: under a point of small order a
// signature is made without any private key, and a point has several encodings. Points
// outside the group of prime order are refused, too; who knows the private key of one
// signs what some verifiers take and others do not. P-256 needs no such check: its group
// has no small subgroup, and the library refuses infinity and points off the curve.
func CheckEd25519(key ed25519.PublicKey) error {
	point, err := new(edwards25519.Point).SetBytes(key)
	if err != nil {
		return fmt.Errorf("ed25519 key of %d bytes: %w: not a point of the curve; export the key again",
			len(key), ErrMalformed)
	}
	one, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	if err != nil {
		return fmt.Errorf("checking ed25519 key: %w", err)
	}
	// Times the order of the group, spelled as "times order-1, plus once": zero for its members only.
	last := new(edwards25519.Point).ScalarMult(one.Negate(one), point)
	member := last.Add(last, point).Equal(edwards25519.NewIdentityPoint()) == 1
	switch {
	case !bytes.Equal(point.Bytes(), key):
		return fmt.Errorf("ed25519 key: %w: not the usual encoding of its point; export the key again", ErrMalformed)
	case !member || point.Equal(edwards25519.NewIdentityPoint()) == 1:
		return fmt.Errorf("ed25519 key: %w: a point of low order, with which anybody could sign; make a new key",
			ErrMalformed)
	}
	return nil
}

// ParsePublic reads one "PUBLIC KEY" PEM block and nothing else. Only the one
// DER encoding of a key is accepted, so a key has one id. Other text is [ErrMalformed], a
// key of another algorithm [ErrUnsupported].
func ParsePublic(text []byte) (Public, error) {
	der, err := onePEM(text, "PUBLIC KEY")
	if err != nil {
		return Public{}, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return Public{}, fmt.Errorf("reading public key: %w: %v", ErrMalformed, err)
	}
	key, err := newPublic(parsed)
	if err != nil {
		return Public{}, err
	}
	if !bytes.Equal(key.der, der) {
		return Public{}, fmt.Errorf("reading public key: %w: not the usual DER encoding", ErrMalformed)
	}
	return key, nil
}

// ID returns the key id.
func (k Public) ID() ID { return k.id }

// Algorithm returns the algorithm this key verifies.
func (k Public) Algorithm() Algorithm { return k.alg }

// Crypto returns an ed25519.PublicKey or an *ecdsa.PublicKey.
func (k Public) Crypto() crypto.PublicKey { return k.key }

// PEM returns the key as a "PUBLIC KEY" block.
func (k Public) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der})
}

// onePEM returns the only block of text, which must be exactly as Go would write it:
// two texts for one key would be two digests for one root.
func onePEM(text []byte, kind string) ([]byte, error) {
	if len(text) > maxKeyPEM {
		return nil, fmt.Errorf("reading PEM key: %w: more than %d bytes", ErrMalformed, maxKeyPEM)
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
