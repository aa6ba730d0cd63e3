package signing_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
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
	"github.com/precept-cds/precept/signing/trust"
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
	return fmt.Appendf(nil, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"%s"}},"dsseEnvelope":{"payload":"%s","payloadType":"%s","signatures":[{"sig":"%s"}]}}`+"\n",
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

// TestPayloadVectors are payloads signed with a good key that must not be read.
func TestPayloadVectors(t *testing.T) {
	sum := func(s string) string { return string(trust.DigestOf([]byte(s))) }
	wrap := func(kind, predicate string) string {
		return `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"` + kind + `","digest":{"sha256":"` + sum(predicate) +
			`"}}],"predicateType":"https://github.com/precept-cds/precept/statement/` + kind + `/v1","predicate":` + predicate + `}`
	}
	good := string(payload(t, statement.PackDigest{}, policy(1)))
	of := func(predicate statement.Predicate) string { return string(payload(t, archive(1), predicate)) }
	swap := func(s, old, fresh string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("vector does not contain %s", old)
		}
		return strings.Replace(s, old, fresh, 1)
	}
	root := string(payload(t, statement.PackDigest{}, publisherRoot(t)))
	for name, row := range map[string]struct {
		payload string
		want    error
	}{
		"nothing":                 {"", statement.ErrMalformed},
		"null":                    {"null", statement.ErrMalformed},
		"list":                    {"[]", statement.ErrMalformed},
		"truncated":               {good[:len(good)-1], statement.ErrMalformed},
		"text after":              {good + " ", statement.ErrMalformed},
		"two values":              {good + good, statement.ErrMalformed},
		"byte order mark":         {"\ufeff" + good, statement.ErrMalformed},
		"white space":             {swap(good, `"seq":1`, `"seq": 1`), statement.ErrMalformed},
		"bad UTF-8":               {swap(good, `"north"`, "\"north\xff\""), statement.ErrMalformed},
		"lone surrogate":          {swap(good, `"services":[]`, `"services":"\ud800"`), statement.ErrMalformed},
		"escaped spelling":        {swap(good, `"north"`, `"n\u006frth"`), statement.ErrMalformed},
		"field order":             {swap(good, `"tenant":"north","region":"us-east"`, `"region":"us-east","tenant":"north"`), statement.ErrMalformed},
		"number spelled 1e0":      {swap(good, `"seq":1`, `"seq":1e0`), statement.ErrMalformed},
		"number 1e400":            {swap(good, `"seq":1`, `"seq":1e400`), statement.ErrMalformed},
		"number -0":               {swap(good, `"seq":1`, `"seq":-0`), statement.ErrMalformed},
		"duplicate field":         {swap(good, `"seq":1`, `"seq":1,"seq":2`), statement.ErrMalformed},
		"duplicate in policy":     {swap(good, `"services":[]`, `"services":[],"services":[1]`), statement.ErrMalformed},
		"duplicate predicate":     {swap(good, `,"predicate":`, `,"predicate":{},"predicate":`), statement.ErrMalformed},
		"unknown predicate field": {wrap("tenant-policy", `{"tenant":"north","region":"us-east","seq":1,"policy":{},"note":"x"}`), statement.ErrMalformed},
		"field in another case":   {swap(good, `"seq"`, `"Seq"`), statement.ErrMalformed},
		"field missing":           {wrap("tenant-policy", `{"tenant":"north","seq":1,"policy":{}}`), statement.ErrMalformed},
		"field null":              {wrap("tenant-policy", `{"tenant":"north","region":"us-east","seq":1,"policy":null}`), statement.ErrMalformed},
		"policy of another type":  {wrap("tenant-policy", `{"tenant":"north","region":"us-east","seq":1,"policy":[]}`), statement.ErrMalformed},
		"predicate missing":       {wrap("tenant-policy", `{}`), statement.ErrMalformed},
		"unknown statement field": {swap(good, `"subject"`, `"extra":1,"subject"`), statement.ErrMalformed},
		"other statement type":    {swap(good, "Statement/v1", "Statement/v0.1"), statement.ErrMalformed},
		"right key, wrong predicate type": {swap(swap(good, "statement/tenant-policy/v1", "statement/suspension/v1"),
			`"name":"tenant-policy"`, `"name":"suspension"`), statement.ErrMalformed},
		"foreign predicate type": {swap(good, "https://github.com/precept-cds/precept/statement/tenant-policy/v1", "https://in-toto.io/attestation/test-result/v0.1"), statement.ErrMalformed},
		"unknown kind":           {wrap("coronation", `{}`), statement.ErrMalformed},
		"unknown version":        {swap(good, "tenant-policy/v1", "tenant-policy/v2"), statement.ErrMalformed},
		"reserved test-result":   {wrap("test-result", `{}`), statement.ErrUnsupported},
		"reserved key-operation": {wrap("key-operation", `{}`), statement.ErrUnsupported},
		"reserved hold":          {wrap("hold", `{}`), statement.ErrUnsupported},
		"reserved erasure":       {wrap("erasure", `{}`), statement.ErrUnsupported},
		"reserved retention":     {wrap("retention", `{}`), statement.ErrUnsupported},
		"no subject":             {swap(of(release(1, 1, "")), `{"name":"pack.tar"`, `]}`), statement.ErrMalformed},
		"two subjects": {swap(of(release(1, 1, "")), `"subject":[`, `"subject":[{"name":"pack.tar","digest":{"sha256":"`+sum("x")+
			`","dirHash1":"`+sum("y")+`"}},`), statement.ErrMalformed},
		"subject of another name":    {swap(of(release(1, 1, "")), "pack.tar", "pack.tar.gz"), statement.ErrMalformed},
		"no dirHash1":                {swap(of(release(1, 1, "")), `,"dirHash1":"`+string(archive(1).DirHash1)+`"`, ""), statement.ErrMalformed},
		"no sha256":                  {swap(of(release(1, 1, "")), `"sha256":"`+string(archive(1).SHA256)+`",`, ""), statement.ErrMalformed},
		"digest in upper case":       {swap(of(release(1, 1, "")), string(archive(1).SHA256), strings.ToUpper(string(archive(1).SHA256))), statement.ErrMalformed},
		"weak digest beside":         {swap(of(release(1, 1, "")), `"digest":{`, `"digest":{"md5":"00",`), statement.ErrMalformed},
		"subject is not the payload": {swap(good, `"seq":1`, `"seq":2`), statement.ErrMalformed},
		"pack name with a path":      {swap(of(release(1, 1, "")), `"pack":"renal_dosing"`, `"pack":"../renal"`), statement.ErrMalformed},
		"pack name with a NUL":       {swap(of(release(1, 1, "")), `"pack":"renal_dosing"`, `"pack":"renal\u0000"`), statement.ErrMalformed},
		"time with fraction":         {swap(of(release(1, 1, "")), "2026-03-02T12:00:00Z", "2026-03-02T12:00:00.5Z"), statement.ErrMalformed},
		"time with offset":           {swap(of(release(1, 1, "")), "2026-03-02T12:00:00Z", "2026-03-02T12:00:00+00:00"), statement.ErrMalformed},
		"time that is none":          {swap(of(release(1, 1, "")), "2026-03-02T12:00:00Z", "2026-02-30T12:00:00Z"), statement.ErrMalformed},
		"bidirectional override":     {swap(of(release(1, 1, "")), "eGFR", "\u202eRFGe"), statement.ErrMalformed},
		"escape sequence":            {swap(of(release(1, 1, "")), "eGFR", `\u001b[2J`), statement.ErrMalformed},
		"threshold 0":                {swap(root, `"author":{"threshold":1`, `"author":{"threshold":0`), statement.ErrMalformed},
		"threshold -1":               {swap(root, `"author":{"threshold":1`, `"author":{"threshold":-1`), statement.ErrMalformed},
		"nested without end":         {swap(good, `"services":[]`, `"services":`+strings.Repeat("[", 20000)), statement.ErrMalformed},
		"too long":                   {good + strings.Repeat(" ", statement.MaxSize), statement.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := statement.Parse([]byte(row.payload))
			if !errors.Is(err, row.want) {
				t.Fatalf("payload: got %v, want %v", err, row.want)
			}
			if _, err := signing.ReadEnvelope(forge(t, inToto, []byte(row.payload), "otto")); err == nil {
				t.Fatal("envelope around it was read")
			}
			if _, err := signing.Sign([]byte(row.payload), key(t, "otto")); err == nil {
				t.Fatal("it was signed")
			}
			t.Logf("refused as it should be: %v", err)
		})
	}
}

// TestRootVectors are roots whose persons could be counted wrongly.
func TestRootVectors(t *testing.T) {
	for name, change := range map[string]func(r *trust.Root){
		"threshold 0":                 func(r *trust.Root) { r.Roles[trust.Author] = role(0, "ann@heartland.example") },
		"threshold above the persons": func(r *trust.Root) { r.Roles[trust.Author] = role(2, "ann@heartland.example") },
		"person twice in a role": func(r *trust.Root) {
			r.Roles[trust.Author] = role(2, "ann@heartland.example", "ann@heartland.example")
		},
		"stranger in a role":  func(r *trust.Root) { r.Roles[trust.Author] = role(1, "eve@heartland.example") },
		"role of a tenant":    func(r *trust.Root) { r.Roles[trust.Approver] = role(1, "ann@heartland.example") },
		"no root-admin":       func(r *trust.Root) { delete(r.Roles, trust.RootAdmin) },
		"one id twice":        func(r *trust.Root) { r.Persons[1].ID = r.Persons[0].ID },
		"one key, two people": func(r *trust.Root) { r.Persons[1].Keys = r.Persons[0].Keys },
		"one identity, two people": func(r *trust.Root) {
			r.Persons[0].Identities, r.Persons[1].Identities = []string{"orcid:0000-1"}, []string{"ORCID:0000-1"}
		},
		"identity is another's id": func(r *trust.Root) { r.Persons[1].Identities = []string{"mailto:ann@heartland.example"} },
		"key id of another key":    func(r *trust.Root) { r.Persons[0].Keys[0].KeyID = r.Persons[1].Keys[0].KeyID },
		"key under an invented id": func(r *trust.Root) { r.Persons[0].Keys[0].KeyID = keys.ID(trust.DigestOf(nil)) },
		"algorithm of another key": func(r *trust.Root) { r.Persons[0].Keys[0].Algorithm = "none" },
		"PEM with text around it":  func(r *trust.Root) { r.Persons[0].Keys[0].PublicKeyPEM += "\n" },
		"key without a beginning":  func(r *trust.Root) { r.Persons[0].Keys[0].ValidFrom = noon.AddDate(9, 0, 0) },
		"publisher that trusts": func(r *trust.Root) {
			r.TrustedPublishers = []trust.TrustedPublisher{{Name: "x1", Root: trust.DigestOf(nil)}}
		},
		"expires before it begins":  func(r *trust.Root) { r.Expires = r.IssuedAt },
		"neither kind of root":      func(r *trust.Root) { r.RootKind = "region" },
		"person id in upper case":   func(r *trust.Root) { r.Persons[0].ID = "Ann@heartland.example" },
		"identity with white space": func(r *trust.Root) { r.Persons[0].Identities = []string{"ann smith"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := publisherRoot(t)
			change(&r)
			_, err := statement.Statement{Predicate: r}.Payload()
			if !errors.Is(err, statement.ErrMalformed) {
				t.Fatalf("got %v", err)
			}
			t.Logf("refused as it should be: %v", err)
		})
	}
}

// TestEnvelopeVectors are envelopes around a good payload that must not be read.
func TestEnvelopeVectors(t *testing.T) {
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
		"nothing":                     {"", signing.ErrUnsigned},
		"null":                        {"null\n", statement.ErrUnsupported},
		"empty object":                {"{}\n", statement.ErrUnsupported},
		"signature stripped":          {strings.Replace(good, `[{"sig":"`+sig+`"}]`, "[]", 1), signing.ErrUnsigned},
		"signature emptied":           {strings.Replace(good, sig, "", 1), signing.ErrUnsigned},
		"signature null":              {strings.Replace(good, `[{"sig":"`+sig+`"}]`, "null", 1), signing.ErrUnsigned},
		"two signatures in a bundle":  {strings.Replace(good, `{"sig":"`+sig+`"}`, `{"sig":"`+sig+`"},{"sig":"`+sig+`"}`, 1), statement.ErrMalformed},
		"10,000 signatures":           {strings.Repeat(good, 10000), statement.ErrTooLarge},
		"17 short lines":              {strings.Repeat("{}\n", 17), statement.ErrUnsupported},
		"same key twice":              {good + good, statement.ErrMalformed},
		"signers in another order":    {lines[1] + lines[0], statement.ErrMalformed},
		"payloads that differ":        {lines[0] + differ[1], statement.ErrMalformed},
		"no line feed at the end":     {strings.TrimSuffix(good, "\n"), statement.ErrMalformed},
		"blank line":                  {good + "\n", statement.ErrMalformed},
		"carriage return":             {strings.Replace(good, "\n", "\r\n", 1), statement.ErrMalformed},
		"pretty printed":              {strings.Replace(good, `{"mediaType"`, `{ "mediaType"`, 1), statement.ErrMalformed},
		"bundle v0.2":                 {strings.Replace(good, "v0.3", "v0.2", 1), statement.ErrUnsupported},
		"certificate":                 {strings.Replace(good, `"publicKey":{"hint":"`+hint+`"}`, `"certificate":{"rawBytes":""}`, 1), statement.ErrMalformed},
		"hint is no key id":           {strings.Replace(good, hint, "../../etc/passwd", 1), statement.ErrMalformed},
		"unknown member":              {strings.Replace(good, `"dsseEnvelope"`, `"x":1,"dsseEnvelope"`, 1), statement.ErrMalformed},
		"duplicate payload":           {strings.Replace(good, `"payload":`, `"payload":"","payload":`, 1), statement.ErrMalformed},
		"duplicate signatures":        {strings.Replace(good, `"signatures":`, `"signatures":[],"signatures":`, 1), statement.ErrMalformed},
		"keyid beside sig":            {strings.Replace(good, `{"sig"`, `{"keyid":"","sig"`, 1), statement.ErrMalformed},
		"other payload type":          {strings.Replace(good, inToto, "application/json", 1), statement.ErrUnsupported},
		"URL base64":                  {strings.Replace(good, sig, "-_"+sig[2:], 1), statement.ErrMalformed},
		"base64 with line feeds":      {strings.Replace(good, sig, sig[:4]+`\n`+sig[4:], 1), statement.ErrMalformed},
		"signature of 4 kB":           {strings.Replace(good, sig, strings.Repeat("A", 4096), 1), statement.ErrTooLarge},
		"signed for another protocol": {string(forge(t, "application/json", payload(t, statement.PackDigest{}, policy(1)), "otto")), statement.ErrUnsupported},
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
	other := payload(t, statement.PackDigest{}, changed)
	for name, text := range map[string][]byte{
		"payload altered after signing": append(line(ids[0], inToto, other, sigs[0]), line(ids[1], inToto, other, sigs[1])...),
		"signatures swapped":            append(line(ids[0], inToto, two.Payload(), sigs[1]), line(ids[1], inToto, two.Payload(), sigs[0])...),
		"signature under another's id":  append(line(ids[0], inToto, two.Payload(), sigs[0]), line(ids[1], inToto, two.Payload(), sigs[0])...),
		"signed for another type":       line(ids[0], inToto, two.Payload(), sigOfLine(t, forge(t, "application/json", two.Payload(), "otto"))),
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
		dsseVerifier := sigdsse.WrapVerifier(verifier, sigdsse.WithExpectedPayloadType(inToto), sigdsse.WithDecodedPayload(&decoded))
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

func FuzzParseStatement(f *testing.F) {
	f.Add(payload(f, statement.PackDigest{}, publisherRoot(f)))
	f.Add(payload(f, statement.PackDigest{}, policy(1)))
	f.Add(payload(f, statement.PackDigest{}, suspend("x", noon)))
	f.Add(payload(f, statement.PackDigest{}, resume(trust.DigestOf(nil))))
	f.Add(payload(f, statement.PackDigest{}, revoke(statement.TargetPerson, "amy@north.example", statement.Revoke, noon)))
	f.Add(payload(f, archive(1), release(1, 1, "")))
	f.Add(payload(f, archive(1), review(1, statement.Approve, noon)))
	f.Add(payload(f, archive(1), activate(1, 1, "")))
	f.Add([]byte(`{"_type":null,"subject":null,"predicateType":null,"predicate":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := statement.Parse(text)
		if err != nil {
			return
		}
		again, err := s.Payload()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("written differently: %v", err)
		}
	})
}
