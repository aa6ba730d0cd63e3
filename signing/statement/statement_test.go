package statement_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// stored returns a payload that an earlier version wrote.
func stored(t testing.TB, kind string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", kind+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// storedKinds is the example of each kind in testdata.
var storedKinds = map[string]statement.Kind{
	"trust-root": "trust-root", "trust-root-tenant": "trust-root", "tenant-policy": "tenant-policy",
	"pack-release": "pack-release", "clinical-review": "clinical-review", "activation": "activation",
	"suspension": "suspension", "resumption": "resumption", "revocation": "revocation",
	"region-certificate": "region-certificate", "placement": "placement",
}

// TestStored holds the format: what was signed once is read for as long as logs are.
func TestStored(t *testing.T) {
	for name, kind := range storedKinds {
		s, err := statement.Parse([]byte(stored(t, name)))
		if err != nil || s.Kind() != kind {
			t.Errorf("%s: kind %q, %v", name, s.Kind(), err)
		}
	}
}

func TestPayloadRefuses(t *testing.T) {
	policy := statement.TenantPolicy{Tenant: "north", Region: "us-east", Seq: 1, Policy: []byte(`{}`)}
	for name, s := range map[string]statement.Statement{
		"nothing":                  {},
		"pointer":                  {Predicate: &policy},
		"pack where there is none": {Predicate: policy, Archive: statement.PackDigest{SHA256: trust.DigestOf(nil)}},
	} {
		if _, err := s.Payload(); !errors.Is(err, statement.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	policy.Policy = []byte(`{"a":"` + strings.Repeat("x", statement.MaxSize) + `"}`)
	if _, err := (statement.Statement{Predicate: policy}).Payload(); !errors.Is(err, statement.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// TestPayloadVectors are payloads that must not be read.
func TestPayloadVectors(t *testing.T) {
	malformed, unsupported := statement.ErrMalformed, statement.ErrUnsupported
	sum := func(s string) string { return string(trust.DigestOf([]byte(s))) }
	wrap := func(kind, predicate string) string {
		return `{"_type":"https://in-toto.io/Statement/v1",` +
			`"subject":[{"name":"` + kind + `","digest":{"sha256":"` + sum(predicate) + `"}}],` +
			`"predicateType":"https://github.com/precept-cds/precept/statement/` + kind + `/v1",` +
			`"predicate":` + predicate + `}`
	}
	good, release, root := stored(t, "tenant-policy"), stored(t, "pack-release"), stored(t, "trust-root")
	sha256, dirHash1 := sum("\x01"), sum("\x01\x01") // of the archive
	swap := func(s, old, fresh string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("vector does not contain %s", old)
		}
		return strings.Replace(s, old, fresh, 1)
	}
	for name, row := range map[string]struct {
		payload string
		want    error
	}{
		"nothing":          {"", malformed},
		"null":             {"null", malformed},
		"list":             {"[]", malformed},
		"truncated":        {good[:len(good)-1], malformed},
		"text after":       {good + " ", malformed},
		"two values":       {good + good, malformed},
		"byte order mark":  {"\ufeff" + good, malformed},
		"white space":      {swap(good, `"seq":1`, `"seq": 1`), malformed},
		"bad UTF-8":        {swap(good, `"north"`, "\"north\xff\""), malformed},
		"lone surrogate":   {swap(good, `"services":[]`, `"services":"\ud800"`), malformed},
		"escaped spelling": {swap(good, `"north"`, `"n\u006frth"`), malformed},
		"field order": {
			swap(good, `"tenant":"north","region":"us-east"`, `"region":"us-east","tenant":"north"`), malformed,
		},
		"number spelled 1e0":  {swap(good, `"seq":1`, `"seq":1e0`), malformed},
		"number 1e400":        {swap(good, `"seq":1`, `"seq":1e400`), malformed},
		"number -0":           {swap(good, `"seq":1`, `"seq":-0`), malformed},
		"duplicate field":     {swap(good, `"seq":1`, `"seq":1,"seq":2`), malformed},
		"duplicate in policy": {swap(good, `"services":[]`, `"services":[],"services":[1]`), malformed},
		"duplicate predicate": {swap(good, `,"predicate":`, `,"predicate":{},"predicate":`), malformed},
		"unknown predicate field": {
			wrap("tenant-policy", `{"tenant":"north","region":"us-east","seq":1,"policy":{},"note":"x"}`), malformed,
		},
		"field in another case": {swap(good, `"seq"`, `"Seq"`), malformed},
		"field missing":         {wrap("tenant-policy", `{"tenant":"north","seq":1,"policy":{}}`), malformed},
		"field null": {
			wrap("tenant-policy", `{"tenant":"north","region":"us-east","seq":1,"policy":null}`), malformed,
		},
		"policy of another type": {
			wrap("tenant-policy", `{"tenant":"north","region":"us-east","seq":1,"policy":[]}`), malformed,
		},
		"predicate missing":       {wrap("tenant-policy", `{}`), malformed},
		"unknown statement field": {swap(good, `"subject"`, `"extra":1,"subject"`), malformed},
		"other statement type":    {swap(good, "Statement/v1", "Statement/v0.1"), malformed},
		"right key, wrong predicate type": {swap(swap(good, "statement/tenant-policy/v1", "statement/suspension/v1"),
			`"name":"tenant-policy"`, `"name":"suspension"`), malformed},
		"foreign predicate type": {
			swap(good, "https://github.com/precept-cds/precept/statement/", "https://in-toto.io/attestation/"), malformed,
		},
		"unknown kind":           {wrap("coronation", `{}`), malformed},
		"unknown version":        {swap(good, "tenant-policy/v1", "tenant-policy/v2"), malformed},
		"reserved test-result":   {wrap("test-result", `{}`), unsupported},
		"reserved key-operation": {wrap("key-operation", `{}`), unsupported},
		"reserved hold":          {wrap("hold", `{}`), unsupported},
		"reserved erasure":       {wrap("erasure", `{}`), unsupported},
		"reserved retention":     {wrap("retention", `{}`), unsupported},
		"no subject":             {swap(release, `{"name":"pack.tar"`, `]}`), malformed},
		"two subjects": {swap(release, `"subject":[`, `"subject":[{"name":"pack.tar","digest":{"sha256":"`+sum("x")+
			`","dirHash1":"`+sum("y")+`"}},`), malformed},
		"subject of another name":    {swap(release, "pack.tar", "pack.tar.gz"), malformed},
		"no dirHash1":                {swap(release, `,"dirHash1":"`+dirHash1+`"`, ""), malformed},
		"no sha256":                  {swap(release, `"sha256":"`+sha256+`",`, ""), malformed},
		"digest in upper case":       {swap(release, sha256, strings.ToUpper(sha256)), malformed},
		"weak digest beside":         {swap(release, `"digest":{`, `"digest":{"md5":"00",`), malformed},
		"subject is not the payload": {swap(good, `"seq":1`, `"seq":2`), malformed},
		"pack name with a path":      {swap(release, `"pack":"renal_dosing"`, `"pack":"../renal"`), malformed},
		"pack name with a NUL":       {swap(release, `"pack":"renal_dosing"`, `"pack":"renal\u0000"`), malformed},
		"time with fraction":         {swap(release, "2026-03-02T12:00:00Z", "2026-03-02T12:00:00.5Z"), malformed},
		"time with offset":           {swap(release, "2026-03-02T12:00:00Z", "2026-03-02T12:00:00+00:00"), malformed},
		"time that is none":          {swap(release, "2026-03-02T12:00:00Z", "2026-02-30T12:00:00Z"), malformed},
		"bidirectional override":     {swap(release, "eGFR", "\u202eRFGe"), malformed},
		"escape sequence":            {swap(release, "eGFR", `\u001b[2J`), malformed},
		"threshold 0":                {swap(root, `"author":{"threshold":1`, `"author":{"threshold":0`), malformed},
		"threshold -1":               {swap(root, `"author":{"threshold":1`, `"author":{"threshold":-1`), malformed},
		"nested without end":         {swap(good, `"services":[]`, `"services":`+strings.Repeat("[", 20000)), malformed},
		"too long":                   {good + strings.Repeat(" ", statement.MaxSize), statement.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := statement.Parse([]byte(row.payload))
			if !errors.Is(err, row.want) {
				t.Fatalf("payload: got %v, want %v", err, row.want)
			}
			t.Logf("refused as it should be: %v", err)
		})
	}
}

func FuzzParseStatement(f *testing.F) {
	for name := range storedKinds {
		f.Add([]byte(stored(f, name)))
	}
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
