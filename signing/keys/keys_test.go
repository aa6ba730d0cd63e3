package keys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"filippo.io/edwards25519"

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

// TestDegenerateEd25519: the eight points of small order, every other encoding that the
// library takes for one of them or for another point, a point with a part of small order,
// and what is no point. Under most of them a signature verifies that nobody's key made.
func TestDegenerateEd25519(t *testing.T) {
	ff := strings.Repeat("ff", 30)
	low := map[string]string{
		"order 1":         "01" + strings.Repeat("00", 31),
		"order 2":         "ec" + ff + "7f",
		"order 4":         strings.Repeat("00", 32),
		"order 4, other":  strings.Repeat("00", 31) + "80",
		"order 8":         "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"order 8, second": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"order 8, third":  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"order 8, fourth": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		// The same points written otherwise: a sign of zero, a coordinate of p or more.
		"order 1, negative zero":      "01" + strings.Repeat("00", 30) + "80",
		"order 2, negative zero":      "ec" + ff + "ff",
		"order 1, p+1":                "ee" + ff + "7f",
		"order 1, p+1, negative zero": "ee" + ff + "ff",
		"order 4, p":                  "ed" + ff + "7f",
		"order 4, p, other":           "ed" + ff + "ff",
	}
	for name, text := range low {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if !signsWithoutKey(raw) {
			t.Errorf("%s: nobody can sign; the vector is wrong", name)
		}
		refuseEd25519(t, name, raw)
	}
	for y := 2; y < 19; y++ { // p+2 to 2^255-1; some are no points at all
		for _, sign := range []byte{0x7f, 0xff} {
			raw := bytes.Repeat([]byte{0xff}, 32)
			raw[0], raw[31] = byte(0xed+y), sign
			refuseEd25519(t, fmt.Sprintf("p+%d, %x", y, sign), raw)
		}
	}
	good := generate(t, keys.Ed25519).Public().Crypto().(ed25519.PublicKey)
	point, err := new(edwards25519.Point).SetBytes(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"order 2", "order 4", "order 8"} {
		raw, err := hex.DecodeString(low[name])
		if err != nil {
			t.Fatal(err)
		}
		small, err := new(edwards25519.Point).SetBytes(raw)
		if err != nil {
			t.Fatal(err)
		}
		refuseEd25519(t, "a good key plus "+name, new(edwards25519.Point).Add(point, small).Bytes())
	}
	refuseEd25519(t, "no point", append([]byte{2}, make([]byte, 31)...))
	for _, raw := range []ed25519.PublicKey{nil, good[:31], append(bytes.Clone(good), 0)} {
		if err := keys.CheckEd25519(raw); !errors.Is(err, keys.ErrMalformed) {
			t.Errorf("%d bytes: %v", len(raw), err)
		}
	}
	if err := keys.CheckEd25519(good); err != nil {
		t.Error(err)
	}
}

// signsWithoutKey reports whether some message has the signature R = 0, S = 0 under key.
// It has if the message's hash is a multiple of the key's order.
func signsWithoutKey(key ed25519.PublicKey) bool {
	sig := append([]byte{1}, make([]byte, 63)...)
	for n := range 200 {
		if ed25519.Verify(key, fmt.Append(nil, n), sig) {
			return true
		}
	}
	return false
}

func refuseEd25519(t *testing.T, name string, raw []byte) {
	t.Helper()
	if key, err := keys.ParsePublic([]byte(publicPEM(t, ed25519.PublicKey(raw)))); !errors.Is(err, keys.ErrMalformed) {
		t.Errorf("%s: read as key %s, %v", name, key.ID(), err)
	}
}

// TestDegenerateP256: what the library makes of points that no private key has.
func TestDegenerateP256(t *testing.T) {
	good := generate(t, keys.ECDSAP256)
	der, err := x509.MarshalPKIXPublicKey(good.Crypto().Public())
	if err != nil {
		t.Fatal(err)
	}
	prefix := der[:len(der)-65] // what is left is 04, x, y
	prime := elliptic.P256().Params().P
	x, y := new(big.Int).SetBytes(der[len(der)-64:len(der)-32]), new(big.Int).SetBytes(der[len(der)-32:])
	at := func(x, y *big.Int) []byte {
		return append(append([]byte{4}, x.FillBytes(make([]byte, 32))...),
			y.FillBytes(make([]byte, 32))...)
	}
	compressed := elliptic.MarshalCompressed(elliptic.P256(), x, y)
	for name, point := range map[string][]byte{
		"zero, zero":      at(new(big.Int), new(big.Int)),
		"off the curve":   at(x, new(big.Int).Add(y, big.NewInt(1))),
		"coordinate of p": at(prime, y),
		"all ones":        append([]byte{4}, bytes.Repeat([]byte{0xff}, 64)...),
		"hybrid":          append([]byte{6 + byte(y.Bit(0))}, der[len(der)-64:]...),
		"infinity":        make([]byte, 65),
	} {
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: append(bytes.Clone(prefix), point...)})
		if _, err := keys.ParsePublic(text); !errors.Is(err, keys.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, point := range map[string][]byte{"infinity, short": {0}, "compressed": compressed, "empty": {}} {
		der, err := asn1.Marshal(struct {
			Algorithm pkix.AlgorithmIdentifier
			Key       asn1.BitString
		}{
			pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1},
				Parameters: asn1.RawValue{FullBytes: []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}}},
			asn1.BitString{Bytes: point, BitLength: 8 * len(point)},
		})
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		if _, err := keys.ParsePublic(text); !errors.Is(err, keys.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	private, err := x509.MarshalPKCS8PrivateKey(good.Crypto())
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := good.Crypto().(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]*big.Int{"zero": new(big.Int), "the order": elliptic.P256().Params().N} {
		der := bytes.Replace(private, scalar, bad.FillBytes(make([]byte, 32)), 1)
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if _, err := keys.ParsePrivate(text); !errors.Is(err, keys.ErrMalformed) {
			t.Errorf("private key of %s: %v", name, err)
		}
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
