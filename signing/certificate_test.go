package signing_test

import (
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
)

func ed25519Key(t testing.TB, name string) keys.Private {
	t.Helper()
	k, err := keys.Generate(keys.Ed25519, rand.NewChaCha8(sha256.Sum256([]byte(name))))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestCertificateIsStable: what tenants have pinned must be what a region says of itself
// for as long as it has its key.
func TestCertificateIsStable(t *testing.T) {
	env, err := signing.NewCertificate(region, ed25519Key(t, "heads of node"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := env.Certificate()
	if err != nil || c.Digest() != env.Digest() {
		t.Fatalf("digest %s of the certificate, %s of its statement; %v", c.Digest(), env.Digest(), err)
	}
	const pinned = "9e2dda57fa8d8ead9744a2c70d8eebed9c6f6827b720f5a2cfd08d5d4e0ad808"
	if env.Digest() != pinned {
		t.Errorf("the certificate's digest is %s, was %s", env.Digest(), pinned)
	}
	p256, err := keys.Generate(keys.ECDSAP256, rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signing.NewCertificate(region, p256); !errors.Is(err, statement.ErrMalformed) {
		t.Errorf("a key that signs no heads: %v", err)
	}
	if _, err := signing.NewCertificate("US", ed25519Key(t, "x")); !errors.Is(err, statement.ErrMalformed) {
		t.Errorf("bad name: %v", err)
	}
}

// TestCertificateShowsPossession: each key that it lists has signed it, and no other.
func TestCertificateShowsPossession(t *testing.T) {
	heads := ed25519Key(t, "heads of node")
	body := payload(t, statement.PackDigest{}, certificate(t, region, "node"))
	by := func(body []byte, signers ...keys.Private) *signing.Envelope {
		t.Helper()
		var bundles []signing.Bundle
		for _, k := range signers {
			b, err := signing.Sign(body, k)
			if err != nil {
				t.Fatal(err)
			}
			bundles = append(bundles, b)
		}
		env, err := signing.NewEnvelope(bundles...)
		if err != nil {
			t.Fatal(err)
		}
		return env
	}
	for name, row := range map[string]struct {
		env  *signing.Envelope
		want error
	}{
		"both keys":           {by(body, heads, key(t, "node")), nil},
		"without the node":    {by(body, heads), signing.ErrSignature},
		"without checkpoints": {by(body, key(t, "node")), signing.ErrSignature},
		"by somebody else":    {by(body, key(t, "mallory")), signing.ErrSignature},
		"one too many":        {by(body, heads, key(t, "node"), key(t, "mallory")), signing.ErrSignature},
		"another kind":        {say(t, policy(1), "otto"), signing.ErrMismatch},
	} {
		c, err := row.env.Certificate()
		if !errors.Is(err, row.want) || err == nil && c.Digest() != row.env.Digest() {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The certificate was altered after its one key signed it.
	own, err := signing.NewCertificate(region, heads)
	if err != nil {
		t.Fatal(err)
	}
	other := payload(t, statement.PackDigest{}, func() statement.RegionCertificate {
		c, err := own.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		c.Region = west
		return c
	}())
	sig := sha256.Sum256(other)
	env, err := signing.ReadEnvelope(line(string(heads.Public().ID()), inToto, other, slices.Repeat(sig[:], 2)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := env.Certificate(); !errors.Is(err, signing.ErrSignature) {
		t.Errorf("altered: %v", err)
	}
}
