package signing_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	sigdsse "github.com/sigstore/sigstore/pkg/signature/dsse"
	"google.golang.org/protobuf/encoding/protojson"
	"pgregory.net/rapid"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
)

// forge signs any bytes, as an attacker with a good key can.
func forge(t testing.TB, payloadType string, body []byte, name string) []byte {
	t.Helper()
	k := key(t, name)
	signer, err := signature.LoadSigner(k.Crypto(), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.SignMessage(bytes.NewReader(dsse.PAE(payloadType, body)))
	if err != nil {
		t.Fatal(err)
	}
	return line(string(k.Public().ID()), payloadType, body, sig)
}

func line(hint, payloadType string, body, sig []byte) []byte {
	return fmt.Appendf(nil, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",`+
		`"verificationMaterial":{"publicKey":{"hint":"%s"}},`+
		`"dsseEnvelope":{"payload":"%s","payloadType":"%s","signatures":[{"sig":"%s"}]}}`+"\n",
		hint, base64.StdEncoding.EncodeToString(body), payloadType, base64.StdEncoding.EncodeToString(sig))
}

const inToto = "application/vnd.in-toto+json"

// TestForgeIsGoodOtherwise makes sure that the refusals below are not of the forger.
func TestForgeIsGoodOtherwise(t *testing.T) {
	body := payload(t, statement.PackDigest{}, policy(1))
	if _, err := signing.ReadEnvelope(forge(t, inToto, body, "otto")); err != nil {
		t.Fatal(err)
	}
}

// TestBadPayload: what cannot be read as a statement is neither signed, nor read in an
// envelope that somebody else signed.
func TestBadPayload(t *testing.T) {
	good := payload(t, statement.PackDigest{}, policy(1))
	for _, bad := range []string{"", "null", `{"_type":"https://in-toto.io/Statement/v1"}`, string(good) + " "} {
		if _, err := signing.ReadEnvelope(forge(t, inToto, []byte(bad), "otto")); !errors.Is(err,
			statement.ErrMalformed) {
			t.Errorf("%q read: %v", bad, err)
		}
		if _, err := signing.Sign([]byte(bad), key(t, "otto")); !errors.Is(err, statement.ErrMalformed) {
			t.Errorf("%q signed: %v", bad, err)
		}
	}
	if _, err := signing.Sign(good, keys.Private{}); !errors.Is(err, statement.ErrMalformed) {
		t.Errorf("signed without a key: %v", err)
	}
}

// TestEnvelopeBounds: sixteen signers, and 65,535 bytes with the payload in each bundle.
func TestEnvelopeBounds(t *testing.T) {
	names := []string{}
	for n := range 17 {
		names = append(names, fmt.Sprint("signer", n))
	}
	say(t, policy(1), names[:16]...)
	long := policy(1)
	long.Policy = []byte(`{"text":"` + strings.Repeat("x", 30000) + `"}`)
	for name, row := range map[string]struct {
		policy statement.TenantPolicy
		by     []string
	}{"17 signers": {policy(1), names}, "two copies of a long payload": {long, names[:2]}} {
		var bundles []signing.Bundle
		for _, by := range row.by {
			b, err := signing.Sign(payload(t, statement.PackDigest{}, row.policy), key(t, by))
			if err != nil {
				t.Fatal(err)
			}
			bundles = append(bundles, b)
		}
		if _, err := signing.NewEnvelope(bundles...); !errors.Is(err, statement.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerifyWithoutKey(t *testing.T) {
	if err := say(t, policy(1), "otto").Bundles()[0].Verify(keys.Public{}); !errors.Is(err, statement.ErrUnsupported) {
		t.Fatal(err)
	}
}

// TestStoredEnvelope holds the format: these bytes were written by an earlier version.
func TestStoredEnvelope(t *testing.T) {
	text, err := os.ReadFile("testdata/envelope.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	env, err := signing.ReadEnvelope(text)
	if err != nil {
		t.Fatal(err)
	}
	newWorld(t).accept(env)
}

// TestEnvelopeVectors are envelopes around a good payload that must not be read.
func TestEnvelopeVectors(t *testing.T) {
	malformed, unsupported, tooLarge := statement.ErrMalformed, statement.ErrUnsupported, statement.ErrTooLarge
	good := string(say(t, policy(1), "otto").Bytes())
	two := string(say(t, policy(1), "otto", "amy").Bytes())
	lines := strings.SplitAfter(two, "\n")
	differ := strings.SplitAfter(string(say(t, policy(2), "otto", "amy").Bytes()), "\n")
	sig := good[strings.Index(good, `"sig":"`)+7 : strings.LastIndex(good, `"}]`)]
	hint := string(key(t, "otto").Public().ID())
	for name, row := range map[string]struct {
		text string
		want error
	}{
		"nothing":            {"", signing.ErrUnsigned},
		"null":               {"null\n", unsupported},
		"empty object":       {"{}\n", unsupported},
		"signature stripped": {strings.Replace(good, `[{"sig":"`+sig+`"}]`, "[]", 1), signing.ErrUnsigned},
		"signature emptied":  {strings.Replace(good, sig, "", 1), signing.ErrUnsigned},
		"signature null":     {strings.Replace(good, `[{"sig":"`+sig+`"}]`, "null", 1), signing.ErrUnsigned},
		"two signatures in a bundle": {
			strings.Replace(good, `{"sig":"`+sig+`"}`, `{"sig":"`+sig+`"},{"sig":"`+sig+`"}`, 1), malformed,
		},
		"10,000 signatures":        {strings.Repeat(good, 10000), tooLarge},
		"17 short lines":           {strings.Repeat("{}\n", 17), unsupported},
		"same key twice":           {good + good, malformed},
		"signers in another order": {lines[1] + lines[0], malformed},
		"payloads that differ":     {lines[0] + differ[1], malformed},
		"no line feed at the end":  {strings.TrimSuffix(good, "\n"), malformed},
		"blank line":               {good + "\n", malformed},
		"carriage return":          {strings.Replace(good, "\n", "\r\n", 1), malformed},
		"pretty printed":           {strings.Replace(good, `{"mediaType"`, `{ "mediaType"`, 1), malformed},
		"bundle v0.2":              {strings.Replace(good, "v0.3", "v0.2", 1), unsupported},
		"certificate": {
			strings.Replace(good, `"publicKey":{"hint":"`+hint+`"}`, `"certificate":{"rawBytes":""}`, 1), malformed,
		},
		"hint is no key id": {strings.Replace(good, hint, "../../etc/passwd", 1), malformed},
		"unknown member":    {strings.Replace(good, `"dsseEnvelope"`, `"x":1,"dsseEnvelope"`, 1), malformed},
		"duplicate payload": {strings.Replace(good, `"payload":`, `"payload":"","payload":`, 1), malformed},
		"duplicate signatures": {
			strings.Replace(good, `"signatures":`, `"signatures":[],"signatures":`, 1), malformed,
		},
		"keyid beside sig":       {strings.Replace(good, `{"sig"`, `{"keyid":"","sig"`, 1), malformed},
		"other payload type":     {strings.Replace(good, inToto, "application/json", 1), unsupported},
		"URL base64":             {strings.Replace(good, sig, "-_"+sig[2:], 1), malformed},
		"base64 with line feeds": {strings.Replace(good, sig, sig[:4]+`\n`+sig[4:], 1), malformed},
		"signature of 4 kB":      {strings.Replace(good, sig, strings.Repeat("A", 4096), 1), tooLarge},
		"signed for another protocol": {
			string(forge(t, "application/json", payload(t, statement.PackDigest{}, policy(1)), "otto")), unsupported,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := signing.ReadEnvelope([]byte(row.text))
			if !errors.Is(err, row.want) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			t.Logf("refused as it should be: %v", err)
		})
	}
}

// TestAltered are envelopes that can be read and whose signatures do not hold.
func TestAltered(t *testing.T) {
	w := newWorld(t)
	two := say(t, policy(1), "amy", "abe")
	var sigs [][]byte
	for _, b := range two.Bundles() {
		sigs = append(sigs, sigOf(t, b))
	}
	ids := []string{string(two.Bundles()[0].KeyID()), string(two.Bundles()[1].KeyID())}
	changed := policy(1)
	changed.Policy = []byte(`{"services":["all"]}`)
	other, said := payload(t, statement.PackDigest{}, changed), two.Payload()
	for name, text := range map[string][]byte{
		"payload altered after signing": append(
			line(ids[0], inToto, other, sigs[0]), line(ids[1], inToto, other, sigs[1])...),
		"signatures swapped": append(line(ids[0], inToto, said, sigs[1]),
			line(ids[1], inToto, said, sigs[0])...),
		"signature under another's id": append(line(ids[0], inToto, said, sigs[0]),
			line(ids[1], inToto, said, sigs[0])...),
		"signed for another type": line(ids[0], inToto, said,
			sigOfLine(t, forge(t, "application/json", said, "otto"))),
	} {
		t.Run(name, func(t *testing.T) {
			env, err := signing.ReadEnvelope(text)
			if err != nil {
				t.Fatal(err)
			}
			w := *w
			w.TB = t
			w.refuse(env, signing.ErrSignature)
		})
	}
	w.accept(two)
}

func sigOf(t testing.TB, b signing.Bundle) []byte {
	t.Helper()
	env, err := signing.NewEnvelope(b)
	if err != nil {
		t.Fatal(err)
	}
	return sigOfLine(t, env.Bytes())
}

func sigOfLine(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bundlev1.Bundle
	if err := protojson.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	return b.GetDsseEnvelope().GetSignatures()[0].GetSig()
}

// TestSignatureSpelling: an ECDSA signature has one spelling, not two.
func TestSignatureSpelling(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"otto", "amy", "amy2", "abe"} {
		if key(t, name).Public().Algorithm() != keys.ECDSAP256 {
			continue
		}
		env := say(t, suspend("", noon), name)
		raw := rawForm(t, sigOf(t, env.Bundles()[0]))
		other, err := signing.ReadEnvelope(line(string(env.Bundles()[0].KeyID()), inToto, env.Payload(), raw))
		if err != nil {
			t.Fatal(err)
		}
		w.refuse(other, signing.ErrSignature)
		return
	}
	t.Fatal("none of the keys is of P-256")
}

// rawForm turns DER into the IEEE P1363 form, which sigstore's verifier takes too.
func rawForm(t testing.TB, der []byte) []byte {
	t.Helper()
	raw := make([]byte, 64)
	rest := der[2:]
	for i := range 2 {
		n := int(rest[1])
		value := bytes.TrimLeft(rest[2:2+n], "\x00")
		copy(raw[32*(i+1)-len(value):], value)
		rest = rest[2+n:]
	}
	return raw
}

// TestOthersReadOurBundles checks our JSON against the generated type of the Sigstore
// bundle, and our signature with sigstore's own DSSE verifier.
func TestOthersReadOurBundles(t *testing.T) {
	for _, name := range []string{"otto", "amy", "abe", "dana-n", "rick"} {
		env := say(t, suspend("", noon), name)
		var b bundlev1.Bundle
		if err := protojson.Unmarshal(env.Bytes(), &b); err != nil {
			t.Fatal(err)
		}
		if b.GetMediaType() != "application/vnd.dev.sigstore.bundle.v0.3+json" ||
			b.GetVerificationMaterial().GetPublicKey().GetHint() != string(key(t, name).Public().ID()) {
			t.Fatalf("bundle: %v", &b)
		}
		inner, err := protojson.Marshal(b.GetDsseEnvelope())
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := signature.LoadVerifier(key(t, name).Public().Crypto(), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		var decoded []byte
		dsseVerifier := sigdsse.WrapVerifier(verifier,
			sigdsse.WithExpectedPayloadType(inToto), sigdsse.WithDecodedPayload(&decoded))
		if err := dsseVerifier.VerifySignature(bytes.NewReader(inner), nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(decoded, env.Payload()) {
			t.Fatal("payload differs")
		}
	}
}

func TestEnvelopeAdd(t *testing.T) {
	one := say(t, policy(1), "otto")
	b, err := signing.Sign(one.Payload(), key(t, "amy"))
	if err != nil {
		t.Fatal(err)
	}
	both, err := one.Add(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(one.Bundles()) != 1 || len(both.Bundles()) != 2 || one.Digest() != both.Digest() {
		t.Fatal("adding a signature")
	}
	if _, err := both.Add(b); !errors.Is(err, statement.ErrMalformed) {
		t.Fatalf("same key twice: %v", err)
	}
	if _, err := one.Add(signing.Bundle{}); !errors.Is(err, signing.ErrUnsigned) {
		t.Fatalf("no signature: %v", err)
	}
}

// TestEveryByteCounts: whatever byte of an envelope is changed, it is refused when
// read or when checked; nothing is ever taken for the original.
func TestEveryByteCounts(t *testing.T) {
	w := newWorld(t)
	original := say(t, policy(1), "amy", "abe")
	if _, err := w.Check(original, noon); err != nil {
		t.Fatal(err)
	}
	good := original.Bytes()
	rapid.Check(t, func(r *rapid.T) {
		text := bytes.Clone(good)
		at := rapid.IntRange(0, len(text)-1).Draw(r, "at")
		text[at] ^= rapid.ByteRange(1, 255).Draw(r, "flip")
		env, err := signing.ReadEnvelope(text)
		if err != nil {
			return
		}
		if !bytes.Equal(env.Bytes(), text) {
			r.Fatalf("byte %d: read as something else", at)
		}
		if _, err := w.Check(env, noon); err == nil {
			r.Fatalf("byte %d: accepted", at)
		}
	})
}

func FuzzReadEnvelope(f *testing.F) {
	f.Add(say(f, policy(1), "otto", "amy").Bytes())
	f.Add(say(f, publisherRoot(f), "pat").Bytes())
	f.Add([]byte("null\n"))
	f.Add([]byte(`{"mediaType":null,"verificationMaterial":null,"dsseEnvelope":null}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		env, err := signing.ReadEnvelope(text)
		if err == nil && !bytes.Equal(env.Bytes(), text) {
			t.Fatal("read as something else")
		}
	})
}
