package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"
)

var moment = time.Date(2026, 3, 2, 15, 0, 0, 4e6, time.UTC)

// leafVectors pin the bytes of leaves: if they change, old logs no longer verify.
var leafVectors = map[string]Leaf{
	`{"v":1,"kind":"decision","tenantRef":"00112233445566778899aabbccddeeff",` +
		`"recordId":"019cafab-6604-7000-8000-000000000001","index":7,"decided":"2026-03-02T15:00:00.004Z",` +
		`"committed":"2026-03-02T15:00:00.004Z","engine":"1.4.0","library":"1.0.0","releaseIndex":12,` +
		`"schema":"precept-record/1","commit":"0100000000000000000000000000000000000000000000000000000000000000",` +
		`"ctDigest":"0200000000000000000000000000000000000000000000000000000000000000","ctLen":9152,"keyRef":"5d1e"}`: {
		Kind: Decision, TenantRef: "00112233445566778899aabbccddeeff", RecordID: "019cafab-6604-7000-8000-000000000001",
		Index: 7, Decided: moment,
		Committed: moment, Engine: "1.4.0", Library: "1.0.0", ReleaseIndex: 12, Schema: "precept-record/1",
		Commit: Digest{1}, CTDigest: Digest{2}, CTLen: 9152, KeyRef: "5d1e",
	},
	`{"v":1,"kind":"statement","tenantRef":"00","recordId":"019cafab-6604-7000-8000-000000000001","index":0,` +
		`"decided":"2026-03-02T15:00:00.004Z","committed":"2026-03-02T15:00:00.004Z","engine":"","library":"",` +
		`"releaseIndex":0,"schema":"s","commit":"0100000000000000000000000000000000000000000000000000000000000000",` +
		`"ctDigest":"0200000000000000000000000000000000000000000000000000000000000000","ctLen":64,"keyRef":"5d1e",` +
		`"statement":"0300000000000000000000000000000000000000000000000000000000000000"}`: {
		Kind: Statement, TenantRef: "00", RecordID: "019cafab-6604-7000-8000-000000000001", Decided: moment,
		Committed: moment, Schema: "s",
		Commit: Digest{1}, CTDigest: Digest{2}, CTLen: 64, KeyRef: "5d1e", Statement: Digest{3},
	},
	`{"v":1,"kind":"checkpoint","tenantRef":"00","index":0,"committed":"2026-03-02T15:00:00.004Z",` +
		`"checkpoint":"a\n1\nAA==\n\n— a AAAA\n"}`: {
		Kind: Checkpoint, TenantRef: "00", Committed: moment, Checkpoint: "a\n1\nAA==\n\n— a AAAA\n",
	},
}

func TestLeafVectors(t *testing.T) {
	for text, leaf := range leafVectors {
		if got := string(leaf.append(nil)); got != text {
			t.Errorf("leaf reads\n%s, want\n%s", got, text)
		}
		got, err := ParseLeaf([]byte(text))
		if err != nil || got != leaf {
			t.Errorf("parsing gives %+v, %v", got, err)
		}
	}
}

func TestLeavesNotCanonicalAreRefused(t *testing.T) {
	var good string
	for text, l := range leafVectors {
		if l.Kind == Decision {
			good = text
		}
	}
	for expect, c := range map[string][2]string{
		"space":           {`"index":7`, `"index": 7`},
		"number form":     {`"index":7`, `"index":7.0`},
		"negative":        {`"index":7`, `"index":-7`},
		"twice":           {`"index":7`, `"index":7,"index":7`},
		"unknown member":  {`"index":7`, `"index":7,"x":1`},
		"missing member":  {`"index":7,`, ``},
		"other order":     {`"v":1,"kind":"decision"`, `"kind":"decision","v":1`},
		"other version":   {`"v":1`, `"v":2`},
		"unknown kind":    {`"decision"`, `"other"`},
		"extra statement": {`"5d1e"}`, `"5d1e","statement":""}`},
		"digest case":     {`"ctDigest":"02`, `"ctDigest":"0A`},
		"digest length":   {`"ctDigest":"02`, `"ctDigest":"0`},
		"time without ms": {`15:00:00.004Z","committed"`, `15:00:00Z","committed"`},
		"time with zone":  {`15:00:00.004Z","committed"`, `15:00:00.004+00:00","committed"`},
		"record id":       {`019cafab-6604-7000`, `019cafab-6604-4000`},
		"escape":          {`1.4.0`, `1\u002e4.0`},
		"quote":           {`1.4.0`, `1\"4.0`},
		"trailing":        {`"5d1e"}`, `"5d1e"} `},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Fatalf("%s: nothing replaced", expect)
		}
		if _, err := ParseLeaf([]byte(bad)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", expect, err)
		}
	}
	if _, err := ParseLeaf(bytes.Repeat([]byte{' '}, maxLeaf+1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("long leaf: %v", err)
	}
}

func sampleReceipt() Receipt {
	r := Receipt{RecordID: "019cafab-6604-7000-8000-000000000001", Log: "a.example/eu/north/audit/2026-03", Index: 1,
		Size: 2, Leaf: tlog.Hash{1}, Root: tlog.Hash{2}}
	r.Note = []byte(r.Log + "\n2\n" + r.Root.String() + "\n\n— a.example AAAAAAAAAAAA\n")
	return r
}

func TestReceiptsNotWellFormedAreRefused(t *testing.T) {
	good := sampleReceipt().String()
	repeated := sampleReceipt()
	repeated.Repeated = true
	for _, s := range []string{good, repeated.String()} {
		if got, err := ParseReceipt(s); err != nil || got.String() != s {
			t.Fatalf("good receipt: %v", err)
		}
	}
	for expect, c := range map[string][2]string{
		"order": {`index=1, size=2`, `size=2, index=1`}, "no id": {`id=`, `iD=`}, "plus": {`index=1`, `index=+1`},
		"zero":   {`index=1`, `index=01`},
		"beyond": {`index=1`, `index=2`}, "negative": {`index=1`, `index=-1`}, "other size": {`size=2`, `size=3`},
		"space": {`, `, `,  `},
		"quote": {`log="a`, `log="\"`}, "base64": {`leaf=:`, `leaf=:!`}, "extra": {`id="`, `x=1, id="`},
		"id":         {`-7000-`, `-4000-`},
		"other root": {`root=:Ag`, `root=:AQ`}, "other log": {`log="a`, `log="b`}, "last": {`note=`, `more=`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if _, err := ParseReceipt(bad); !errors.Is(err, ErrReceipt) || bad == good {
			t.Errorf("%s: %v, want ErrReceipt", expect, err)
		}
	}
	if _, err := ParseReceipt(strings.Repeat("x", maxReceipt+1)); !errors.Is(err, ErrReceipt) {
		t.Errorf("long: %v", err)
	}
	if err := sampleReceipt().Verify(make(ed25519.PublicKey, 32)); !errors.Is(err, ErrReceipt) {
		t.Errorf("unsigned: %v", err)
	}
}

func TestProofMarshalsAsTlogProof(t *testing.T) {
	p := Proof{Log: "a", Leaf: []byte("leaf"), Index: 5, Hashes: tlog.RecordProof{{1}, {2}},
		Note: []byte("a\n6\nAA==\n\n— a AAAA\n")}
	var back proof.TLogProof
	if err := back.Unmarshal(p.Marshal()); err != nil || back.Index != 5 || len(back.Hashes) != 2 ||
		back.Hashes[1] != [32]byte{2} {
		t.Errorf("tlog-proof reads %+v, %v", back, err)
	}
	text := string(p.Marshal())
	if got, err := ParseProof([]byte(text)); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("came back as %+v, %v", got, err)
	}
	for expect, bad := range map[string]string{
		"empty": "", "other version": strings.Replace(text, "@v1", "@v2", 1), "end cut off": strings.TrimSuffix(text, "\n"),
		"index with a zero before": strings.Replace(text, "index 5", "index 05", 1),
		"index too large":          strings.Replace(text, "index 5", "index 9223372036854775807", 1),
		"carriage return":          strings.Replace(text, "\n", "\r\n", 1),
		"too long":                 text + strings.Repeat("— a AAAA\n", maxProof/10),
	} {
		if _, err := ParseProof([]byte(bad)); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v, want ErrProof", expect, err)
		}
	}
}

func TestRecordIDsSortByTime(t *testing.T) {
	zero := bytes.NewReader(make([]byte, 1<<10))
	a, err1 := NewRecordID(moment, zero)
	b, err2 := NewRecordID(moment.Add(300*time.Microsecond), zero)
	c, err3 := NewRecordID(moment.Add(time.Millisecond), zero)
	if err := errors.Join(err1, err2, err3); err != nil || !(a < b && b < c) {
		t.Errorf("ids %s %s %s, %v", a, b, c, err)
	}
	if a != "019caf10-3184-7000-8000-000000000000" {
		t.Errorf("id is %s", a)
	}
	for _, id := range []RecordID{a, b, c} {
		if _, err := ParseRecordID(string(id)); err != nil {
			t.Error(err)
		}
	}
	if _, err := NewRecordID(moment, bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("without randomness: %v", err)
	}
}

func TestLogNames(t *testing.T) {
	for _, s := range []string{"releases", "audit/2026-03"} {
		if n, err := ParseLogName(s); err != nil || string(n) != s {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "audit", "audit/", "audit/2026-13", "audit/2026-3", "releases/2026-03",
		"audit/2026-03/", "Audit/2026-03"} {
		if _, err := ParseLogName(s); !errors.Is(err, ErrEntry) {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestUnpackRefusesBadLengths(t *testing.T) {
	s := newSealer()
	var buf bytes.Buffer
	body := []byte("body")
	if err := s.pack(&buf, make([]byte, 32), [][]byte{body}); err != nil {
		t.Fatal(err)
	}
	want := commitment(make([]byte, 32), body)
	if _, got, err := s.unpack(buf.Bytes(), want); err != nil || string(got) != "body" {
		t.Fatalf("unpack: %q, %v", got, err)
	}
	for name, spoil := range map[string]func([]byte) []byte{
		"short":       func(b []byte) []byte { return b[:20] },
		"step":        func(b []byte) []byte { return b[:len(b)-1] },
		"length":      func(b []byte) []byte { b[35]++; return b },
		"long length": func(b []byte) []byte { b[32] = 0xff; return b },
		"padding":     func(b []byte) []byte { b[len(b)-1] = 1; return b },
		"frame":       func(b []byte) []byte { b[sealedHead] ^= 0xff; return b },
		"r":           func(b []byte) []byte { b[0]++; return b },
	} {
		if _, _, err := s.unpack(spoil(bytes.Clone(buf.Bytes())), want); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

func FuzzParseLeaf(f *testing.F) {
	for text := range leafVectors {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := ParseLeaf(data); err == nil && !bytes.Equal(l.append(nil), data) {
			t.Errorf("accepted %q, which is not canonical", data)
		}
	})
}

func FuzzParseReceipt(f *testing.F) {
	f.Add(sampleReceipt().String())
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := ParseReceipt(s); err == nil && r.String() != s {
			t.Errorf("accepted %q, which is not canonical", s)
		}
	})
}

func FuzzParseProof(f *testing.F) {
	f.Add(Proof{Leaf: []byte("leaf"), Index: 5, Hashes: tlog.RecordProof{{1}, {2}},
		Note: []byte("a\n6\nAA==\n\n— a AAAA\n")}.Marshal())
	node := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := ParseProof(data); err == nil && (!bytes.Equal(p.Marshal(), data) || p.Verify(node) == nil) {
			t.Errorf("accepted %q, which is not canonical or nobody signed", data)
		}
	})
}

func FuzzParseMarks(f *testing.F) {
	f.Add([]byte(`{"tenant":"north","log":"audit/2026-03","note":"a\n1\nAA==\n\n— a AAAA\n"}` + "\n" + `{"ten`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseMarks(data); err == nil && len(m) > bytes.Count(data, []byte{'\n'}) {
			t.Errorf("%d marks in %q", len(m), data)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(`{"log":"audit/2026-03","committed":"2026-03-02T15:00:00.004Z","note":"a\n1\nAA==\n\n— a AAAA\n"}`))
	node := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := (identity{"a.example", "eu"}).openHead("north", data, node); err == nil {
			t.Error("a head nobody signed was accepted")
		}
	})
}

func FuzzUnpack(f *testing.F) {
	s := newSealer()
	var buf bytes.Buffer
	if err := s.pack(&buf, make([]byte, 32), [][]byte{[]byte("body")}); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, plain []byte) {
		if _, _, err := s.unpack(plain, Digest{}); err == nil {
			t.Error("a body was accepted without its commitment")
		}
	})
}
