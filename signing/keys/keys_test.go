package keys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"github.com/precept-cds/precept/signing/keys"
)

// generate makes the same key each time: a fuzz target's seeds must not change.
func generate(t testing.TB, alg keys.Algorithm) keys.Private {
	t.Helper()
	k, err := keys.Generate(alg, mathrand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyRoundTrip(t *testing.T) {
	for _, alg := range []keys.Algorithm{keys.Ed25519, keys.ECDSAP256} {
		k := generate(t, alg)
		text, err := k.PEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := keys.ParsePrivate(text)
		if err != nil {
			t.Fatal(err)
		}
		public, err := keys.ParsePublic(k.Public().PEM())
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(k.Crypto().Public())
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(der)
		want := keys.ID(hex.EncodeToString(sum[:]))
		if again.Public().ID() != want || public.ID() != want || public.Algorithm() != alg {
			t.Fatalf("%s: ids %s %s, want %s", alg, again.Public().ID(), public.ID(), want)
		}
	}
}

func TestGenerateKeyFollowsItsRandomness(t *testing.T) {
	for _, alg := range []keys.Algorithm{keys.Ed25519, keys.ECDSAP256} {
		// The first 32 bytes are above P-256's order and are drawn again.
		source := append(bytes.Repeat([]byte{0xff}, 32), bytes.Repeat([]byte{7}, 32)...)
		a, err := keys.Generate(alg, bytes.NewReader(source))
		if err != nil {
			t.Fatal(err)
		}
		b, err := keys.Generate(alg, bytes.NewReader(source))
		if err != nil || a.Public().ID() != b.Public().ID() {
			t.Fatalf("%s: same bytes, another key (%v)", alg, err)
		}
		if _, err := keys.Generate(alg, bytes.NewReader(source[:31])); err == nil {
			t.Fatalf("%s: key from too little randomness", alg)
		}
	}
	if _, err := keys.Generate("none", rand.Reader); !errors.Is(err, keys.ErrUnsupported) {
		t.Fatalf("algorithm none: %v", err)
	}
}

func TestPrivateKeyDoesNotPrint(t *testing.T) {
	k := generate(t, keys.ECDSAP256)
	text, err := k.PEM()
	if err != nil {
		t.Fatal(err)
	}
	want := "private key " + string(k.Public().ID())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != want {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	_, err = keys.ParsePrivate(append(text, text...))
	if !errors.Is(err, keys.ErrMalformed) || strings.Contains(err.Error(), strings.Split(string(text), "\n")[1]) {
		t.Fatalf("two keys: %v", err)
	}
}

func TestKeysRefused(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := string(generate(t, keys.ECDSAP256).Public().PEM())
	for name, row := range map[string]struct {
		text string
		want error
	}{
		"nothing":           {"", keys.ErrMalformed},
		"text":              {"hello", keys.ErrMalformed},
		"text before":       {"hello\n" + good, keys.ErrMalformed},
		"text after":        {good + "hello", keys.ErrMalformed},
		"two keys":          {good + good, keys.ErrMalformed},
		"carriage":          {strings.ReplaceAll(good, "\n", "\r\n"), keys.ErrMalformed},
		"headers":           {strings.Replace(good, "KEY-----\n", "KEY-----\nA: b\n\n", 1), keys.ErrMalformed},
		"long":              {strings.Repeat(good, 100), keys.ErrMalformed},
		"private as public": {strings.ReplaceAll(good, "PUBLIC", "PRIVATE"), keys.ErrMalformed},
		"RSA":               {publicPEM(t, &rsaKey.PublicKey), keys.ErrUnsupported},
		"P-384":             {publicPEM(t, &p384.PublicKey), keys.ErrUnsupported},
	} {
		if _, err := keys.ParsePublic([]byte(row.text)); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", name, err, row.want)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if _, err := keys.ParsePrivate(text); !errors.Is(err, keys.ErrUnsupported) {
		t.Errorf("RSA private key: %v", err)
	}
}

func publicPEM(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func FuzzParseKeys(f *testing.F) {
	text, err := generate(f, keys.ECDSAP256).PEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(generate(f, keys.ECDSAP256).Public().PEM())
	f.Add(generate(f, keys.Ed25519).Public().PEM())
	f.Fuzz(func(t *testing.T, text []byte) {
		if public, err := keys.ParsePublic(text); err == nil && !bytes.Equal(public.PEM(), text) {
			t.Fatal("public key written differently")
		}
		if private, err := keys.ParsePrivate(text); err == nil {
			again, err := private.PEM()
			if err != nil {
				t.Fatal(err)
			}
			if same, err := keys.ParsePrivate(again); err != nil || same.Public().ID() != private.Public().ID() {
				t.Fatalf("private key written differently: %v", err)
			}
		}
	})
}
