package decision

import (
	"bytes"
	"testing"
	"time"

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
	d := &Decision{
		Cards: Cards{Info: 1},
		Findings: []Finding{{Rule: "p/r", Version: "1.0.0", Subject: "patient", Outcome: Unknown,
			Fact: &fact.Fact{Op: "fact.less", Reasons: []fact.Reason{{Code: fact.NoData, What: "eGFR"}}}}},
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
