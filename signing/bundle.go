package signing

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/precept-cds/precept/signing/internal/strict"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

const (
	maxSignatures = 16

	bundleType   = "application/vnd.dev.sigstore.bundle.v0.3+json"
	payloadType  = "application/vnd.in-toto+json"
	maxSignature = 72 // DER of two P-256 integers; Ed25519 has 64
)

// Bundle is one signature over one payload. The zero value is no signature.
type Bundle struct {
	key     keys.ID
	payload []byte
	sig     []byte
}

// bundleWire is the part of a Sigstore bundle v0.3 that a key-based signature needs.
type bundleWire struct {
	MediaType string `json:"mediaType"`
	Material  struct {
		PublicKey struct {
			Hint keys.ID `json:"hint"`
		} `json:"publicKey"`
	} `json:"verificationMaterial"`
	Envelope struct {
		Payload     []byte    `json:"payload"`
		PayloadType string    `json:"payloadType"`
		Signatures  []sigWire `json:"signatures"`
	} `json:"dsseEnvelope"`
}

type sigWire struct {
	Sig []byte `json:"sig"`
}

// Sign signs a payload made by [statement.Statement.Payload] of a statement that passes
// [statement.Statement.Check] and refuses everything else, so that a key cannot be made to
// sign what nobody could read: [statement.ErrMalformed], [statement.ErrUnsupported] or
// [statement.ErrTooLarge]. An ECDSA signature takes its randomness from the system.
func Sign(payload []byte, key keys.Private) (Bundle, error) {
	said, err := statement.Parse(payload)
	if err == nil {
		err = said.Check()
	}
	if err != nil {
		return Bundle{}, fmt.Errorf("signing: %w", err)
	}
	if key.Crypto() == nil {
		return Bundle{}, fmt.Errorf("signing: %w: no private key", statement.ErrMalformed)
	}
	signer, err := signature.LoadSigner(key.Crypto(), crypto.SHA256)
	if err != nil {
		return Bundle{}, fmt.Errorf("loading %s: %w: %w", key, statement.ErrUnsupported, err)
	}
	sig, err := signer.SignMessage(bytes.NewReader(dsse.PAE(payloadType, payload)))
	if err != nil {
		return Bundle{}, fmt.Errorf("signing with %s: %w", key, err)
	}
	return Bundle{key: key.Public().ID(), payload: bytes.Clone(payload), sig: sig}, nil
}

// KeyID returns the id the bundle claims. It is a hint until the signature is checked.
func (b Bundle) KeyID() keys.ID { return b.key }

// Verify checks the signature over the payload with key, whatever key the bundle
// claims. It says nothing about whether that key may sign this: ask [State.Check].
// A signature that does not match is [ErrSignature].
func (b Bundle) Verify(key keys.Public) error {
	verifier, err := signature.LoadVerifier(key.Crypto(), crypto.SHA256)
	if err != nil {
		return fmt.Errorf("loading key %s: %w: %v", key.ID(), statement.ErrUnsupported, err)
	}
	if key.Algorithm() == keys.ECDSAP256 && !isDER(b.sig) {
		return fmt.Errorf("%w: signature of key %s is not DER", ErrSignature, key.ID())
	}
	message := dsse.PAE(payloadType, b.payload)
	if err := verifier.VerifySignature(bytes.NewReader(b.sig), bytes.NewReader(message)); err != nil {
		return fmt.Errorf("%w: key %s did not sign these bytes", ErrSignature, key.ID())
	}
	return nil
}

// isDER refuses the other spelling of an ECDSA signature that the library takes (P1363).
func isDER(sig []byte) bool {
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		return false
	}
	again, err := asn1.Marshal(rs)
	return err == nil && bytes.Equal(again, sig)
}

func (b Bundle) encode() ([]byte, error) {
	var w bundleWire
	w.MediaType = bundleType
	w.Material.PublicKey.Hint = b.key
	w.Envelope.Payload = b.payload
	w.Envelope.PayloadType = payloadType
	w.Envelope.Signatures = []sigWire{{Sig: b.sig}}
	line, err := strict.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("writing bundle: %w: %v", statement.ErrMalformed, err)
	}
	return append(line, '\n'), nil
}

func readBundle(line []byte) (Bundle, error) {
	var w bundleWire
	if err := strict.Unmarshal(line, &w); err != nil {
		return Bundle{}, fmt.Errorf("%w: %w", statement.ErrMalformed, err)
	}
	if w.MediaType != bundleType {
		return Bundle{}, fmt.Errorf("media type is %w; expected %s", statement.ErrUnsupported, bundleType)
	}
	if w.Envelope.PayloadType != payloadType {
		return Bundle{}, fmt.Errorf("payload type is %w; expected %s", statement.ErrUnsupported, payloadType)
	}
	if !strict.Digest.MatchString(string(w.Material.PublicKey.Hint)) {
		return Bundle{}, fmt.Errorf("%w: publicKey.hint is not a key id", statement.ErrMalformed)
	}
	switch n := len(w.Envelope.Signatures); {
	case n == 0:
		return Bundle{}, fmt.Errorf("bundle is %w; sign the payload", ErrUnsigned)
	case n > 1:
		return Bundle{}, fmt.Errorf("%w: %d signatures in one bundle; use one bundle for each signer",
			statement.ErrMalformed, n)
	}
	sig := w.Envelope.Signatures[0].Sig
	if len(sig) > maxSignature {
		return Bundle{}, fmt.Errorf("signature of %d bytes: %w", len(sig), statement.ErrTooLarge)
	}
	return Bundle{key: w.Material.PublicKey.Hint, payload: w.Envelope.Payload, sig: sig}, nil
}

// Envelope is one payload signed by one or more keys, in canonical form. It is never
// changed. That it can be read says nothing about whether to believe it: ask
// [State.Check].
type Envelope struct {
	said    statement.Statement
	payload []byte
	bundles []Bundle // sorted by key id, each key once
	encoded []byte
}

// NewEnvelope joins bundles over identical payload bytes. Two bundles of one key,
// differing payloads and a payload that cannot be read are [statement.ErrMalformed]; no
// signature is [ErrUnsigned]; too many or too long is [statement.ErrTooLarge].
func NewEnvelope(bundles ...Bundle) (*Envelope, error) {
	if len(bundles) == 0 {
		return nil, fmt.Errorf("envelope is %w; sign the payload", ErrUnsigned)
	}
	if len(bundles) > maxSignatures {
		return nil, fmt.Errorf("envelope with %d signatures: %w; at most %d",
			len(bundles), statement.ErrTooLarge, maxSignatures)
	}
	sorted := slices.Clone(bundles)
	slices.SortFunc(sorted, func(a, b Bundle) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
	e := &Envelope{payload: sorted[0].payload, bundles: sorted}
	for i, b := range sorted {
		if len(b.sig) == 0 {
			return nil, fmt.Errorf("bundle is %w; sign the payload", ErrUnsigned)
		}
		if i > 0 && b.key == sorted[i-1].key {
			return nil, fmt.Errorf("%w: key %s signs twice; keep one of its bundles", statement.ErrMalformed, b.key)
		}
		if !bytes.Equal(b.payload, e.payload) {
			return nil, fmt.Errorf("%w: bundles sign different payloads; sign the same bytes", statement.ErrMalformed)
		}
		line, err := b.encode()
		if err != nil {
			return nil, err
		}
		e.encoded = append(e.encoded, line...)
	}
	if len(e.encoded) > statement.MaxSize {
		return nil, fmt.Errorf("envelope of %d bytes: %w; at most %d, counting the payload once for each signer",
			len(e.encoded), statement.ErrTooLarge, statement.MaxSize)
	}
	said, err := statement.Parse(e.payload)
	if err != nil {
		return nil, err
	}
	e.said = said
	return e, nil
}

// ReadEnvelope reads exactly what [Envelope.Bytes] writes and refuses every other
// spelling of it, so that one envelope has one digest in a log. The errors are those of
// [NewEnvelope], and [statement.ErrUnsupported] for another media or payload type.
func ReadEnvelope(text []byte) (*Envelope, error) {
	if len(text) > statement.MaxSize {
		return nil, fmt.Errorf("reading envelope of %d bytes: %w; at most %d",
			len(text), statement.ErrTooLarge, statement.MaxSize)
	}
	var bundles []Bundle
	for line := range bytes.Lines(text) {
		if len(bundles) == maxSignatures {
			return nil, fmt.Errorf("reading envelope: %w: more than %d signatures", statement.ErrTooLarge,
				maxSignatures)
		}
		b, err := readBundle(line)
		if err != nil {
			return nil, fmt.Errorf("reading envelope, line %d: %w", len(bundles)+1, err)
		}
		bundles = append(bundles, b)
	}
	e, err := NewEnvelope(bundles...)
	if err != nil {
		return nil, fmt.Errorf("reading envelope: %w", err)
	}
	if !bytes.Equal(e.encoded, text) {
		return nil, fmt.Errorf("reading envelope: %w: not in canonical form; write it with this package",
			statement.ErrMalformed)
	}
	return e, nil
}

// Add returns an envelope with one more bundle over the same payload. The errors are
// those of [NewEnvelope].
func (e *Envelope) Add(b Bundle) (*Envelope, error) {
	return NewEnvelope(append(slices.Clone(e.bundles), b)...)
}

// Bytes returns the stored form: one bundle for each line, sorted by key id.
func (e *Envelope) Bytes() []byte { return bytes.Clone(e.encoded) }

// Payload returns the bytes that are signed.
func (e *Envelope) Payload() []byte { return bytes.Clone(e.payload) }

// Digest returns the SHA-256 of the payload, which names the statement whoever signs it.
func (e *Envelope) Digest() trust.Digest { return trust.DigestOf(e.payload) }

// Statement returns what is said. Nobody vouches for it before [State.Check].
func (e *Envelope) Statement() statement.Statement { return e.said }

// Bundles returns the signatures, sorted by key id.
func (e *Envelope) Bundles() []Bundle { return slices.Clone(e.bundles) }
