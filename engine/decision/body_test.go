package decision

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/fact"
)

func sample() (*Inputs, *Decision) {
	in := &Inputs{
		RecordID: "018f0000-0000-7000-8000-000000000001", Tenant: "north", Region: "us-east",
		Time: time.Date(2026, 3, 2, 15, 0, 0, 5e6, time.UTC), Zone: "America/New_York", Language: "en",
		Engine:  Engine{Build: "dev", OPA: "1.22.2", Library: "1.0.0"},
		Release: Release{Size: 7, Packs: []Ref{{Name: "p", Version: "1.0.0", Digest: "aa", Seq: 1, Mode: "active"}}},
		Service: "orders", Hook: "order-sign", Client: "ehr", Dialect: "2.0",
		Sources: []Source{
			{Key: "labs", Status: SourcePartial, Reason: "page-limit", Pages: []Page{
				{Query: "Observation?patient=1", Body: []byte("{}\n")},
				{Query: "Observation?patient=1&page=2", Body: []byte("[]")}}},
			{Key: "meds", Status: SourceFailed, Reason: "timeout"}},
		Earlier: []Earlier{
			{RecordID: "018f0000-0000-7000-8000-000000000000", Rule: "p/r", Subject: "patient", Card: "c",
				Shown: time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC)},
		},
		Cut:     []Cut{{Rule: "p/r", Subject: "patient", Cause: CutDeadline}},
		Request: []byte("{\"hook\":\"order-sign\"}"),
	}
	asked := &fact.Fact{Op: "fact.less", Reasons: []fact.Reason{{Code: fact.NoData, What: "eGFR"}},
		Values: []*fact.Value{{Name: "eGFR"}}}
	d := &Decision{
		Cards: Cards{Info: 1},
		Findings: []Finding{{Rule: "p/r", Version: "1.0.0", Subject: "patient", Outcome: Unknown,
			Fact: &fact.Fact{Op: "fact.all", Of: []*fact.Fact{asked, {Op: "fact.negate", Of: []*fact.Fact{asked}}}},
			Also: []*fact.Fact{{Op: "fact.lacking", Values: asked.Values}}}},
		Response: []byte(`{"cards":[]}`),
	}
	return in, d
}

func join(t *testing.T, in *Inputs, d *Decision) []byte {
	t.Helper()
	segments, err := Encode(in, d)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join(segments, nil)
}

func TestBodyRoundTrip(t *testing.T) {
	in, d := sample()
	body := join(t, in, d)
	in2, d2, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if again := join(t, in2, d2); !bytes.Equal(body, again) {
		t.Errorf("decoding and encoding again changed the body:\n%s\n%s", body, again)
	}
}

func TestBodyRefusesDamage(t *testing.T) {
	in, d := sample()
	body := join(t, in, d)
	for n := range body {
		if _, _, err := Decode(body[:n]); err == nil {
			t.Fatalf("a body cut after %d of %d bytes was accepted", n, len(body))
		}
	}
	if _, _, err := Decode(append(body, '\n')); err == nil {
		t.Error("a body with a byte left over was accepted")
	}
	for _, swap := range [][2]string{{"request", "requesT"}, {"inputs ", "inputs 0"}, {`"tenant"`, `"renant"`}} {
		if _, _, err := Decode(bytes.Replace(body, []byte(swap[0]), []byte(swap[1]), 1)); err == nil {
			t.Errorf("%q in place of %q was accepted", swap[1], swap[0])
		}
	}
}

// TestFactsAreAGraph holds that a fact which many are made of is written once, and
// that no other numbering than the one written is read: none with a circle, none
// with facts that nothing refers to.
func TestFactsAreAGraph(t *testing.T) {
	_, d := sample()
	b, err := EncodeDecision(d)
	if err != nil {
		t.Fatal(err)
	}
	const facts = `"fact":2,"also":[3],"facts":[` +
		`{"state":"unknown","op":"fact.less","reasons":[{"code":"no-data","what":"eGFR"}],"values":[0]},` +
		`{"state":"unknown","op":"fact.negate","of":[0]},{"state":"unknown","op":"fact.all","of":[0,1]},` +
		`{"state":"unknown","op":"fact.lacking","values":[0]}],"values":[{"state":"unknown","name":"eGFR"}]`
	if !strings.Contains(string(b), facts) {
		t.Fatalf("written as %s", b)
	}
	read := func(old, to string) (*Finding, error) {
		var got Decision
		if !strings.Contains(facts, old) {
			t.Fatalf("%s is not in it", old)
		}
		err := json.Unmarshal(bytes.Replace(b, []byte(facts), []byte(strings.Replace(facts, old, to, 1)), 1), &got,
			json.RejectUnknownMembers(true))
		if err != nil {
			return nil, err
		}
		return &got.Findings[0], nil
	}
	f, err := read("", "")
	if err != nil {
		t.Fatal(err)
	}
	if f.Fact.Of[0] != f.Fact.Of[1].Of[0] || f.Also[0].Values[0] != f.Fact.Of[0].Values[0] {
		t.Error("what was one fact or value is two")
	}
	for _, tt := range [][2]string{
		{`"of":[0,1]`, `"of":[0,2]`}, {`"of":[0]`, `"of":[1]`}, {`"of":[0]`, `"of":[2]`}, // circles
		{`"of":[0,1]`, `"of":[0,4]`}, {`"of":[0,1]`, `"of":[0,-1]`}, {`"also":[3]`, `"also":[4]`},
		{`"fact":2`, `"fact":-1`}, {`"values":[0]}],`, `"values":[1]}],`},
		{`"also":[3],`, ``}, {`"fact":2,`, ``}, {`"of":[0,1]`, `"of":[0]`}, // facts for nothing
		{`{"state":"unknown","name":"eGFR"}`, `{"state":"unknown","name":"eGFR"},{"state":"unknown","name":"x"}`},
		{`{"state":"unknown","name":"eGFR"}`, `null`}, {`{"state":"unknown","op":"fact.negate","of":[0]}`, `{"of":[0]}`},
		{`"fact":2,"also":[3]`, `"fact":3,"also":[2]`}, // another numbering
		{`"op":"fact.less"`, `"op":"fact.less","x":1`},
	} {
		if _, err := read(tt[0], tt[1]); err == nil {
			t.Errorf("%s in place of %s was read", tt[1], tt[0])
		}
	}
}

// TestFactsAreBounded holds that a finding of many facts that share one another is
// written and read as fast as they are many, and that more are neither.
func TestFactsAreBounded(t *testing.T) {
	f := &fact.Fact{Op: "fhir.takes"}
	for range fact.MaxNodes - 1 {
		f = fact.All(f, f)
	}
	in, d := sample()
	d.Findings[0].Fact, d.Findings[0].Also = f, nil
	body := join(t, in, d)
	if len(body) > 100*fact.MaxNodes {
		t.Errorf("%d bytes", len(body))
	}
	if _, again, err := Decode(body); err != nil || again.Findings[0].Fact.Of[0] != again.Findings[0].Fact.Of[1] {
		t.Fatalf("reading %d facts: %v", fact.MaxNodes, err)
	}
	d.Findings[0].Fact = fact.Not(f)
	if _, err := EncodeDecision(d); err == nil {
		t.Errorf("%d facts were written", fact.MaxNodes+1)
	}
	more := strings.Repeat(`{"state":"true","op":"x"},`, fact.MaxNodes)
	err := json.Unmarshal([]byte(`{"fact":0,"facts":[`+more+`{"state":"true","op":"x"}]}`), &d.Findings[0])
	if err == nil || !strings.Contains(err.Error(), "more than 4096") {
		t.Errorf("reading %d facts: %v", fact.MaxNodes+1, err)
	}
}

func FuzzDecode(f *testing.F) {
	in, d := sample()
	segments, err := Encode(in, d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Join(segments, nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, d, err := Decode(body)
		if err != nil {
			return
		}
		segments, err := Encode(in, d)
		if err != nil {
			return
		}
		if _, _, err := Decode(bytes.Join(segments, nil)); err != nil {
			t.Fatalf("own encoding refused: %v", err)
		}
	})
}
