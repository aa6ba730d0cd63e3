package engine

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decide/decidetest"
)

const northBase = "https://ehr.north.example/fhir/R4"

// TestPatientHasOneName holds that calls are filed, and found, under one name of
// their patient, however they, the policy or the auditor write it.
func TestPatientHasOneName(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "clean")
	id := patientID(t, body)
	server := []byte(`"fhirServer":"` + northBase + `"`)
	patient := fmt.Appendf(nil, `"patientId":%q`, id)
	if !bytes.Contains(body, server) || !bytes.Contains(body, patient) {
		t.Fatal("the fixture names its server or patient otherwise")
	}
	spellings := []struct{ base, id string }{
		{northBase, id}, {northBase + "/", "Patient/" + id}, {"HTTPS://EHR.North.example:443/fhir/R4", id},
		{"https://ehr.north.example/fhir/%524", northBase + "/Patient/" + id},
		{northBase, northBase + ":443/Patient/" + id}, // no spelling of it
		{northBase, "Patient/" + id + "/_history/3"},
	}
	calls := 0
	for i, s := range spellings {
		call := bytes.Replace(body, server, []byte(`"fhirServer":"`+s.base+`"`), 1)
		call = decidetest.WithInstance(t, bytes.Replace(call, patient, fmt.Appendf(nil, `"patientId":%q`, s.id), 1), i)
		_, err := n.Call(t.Context(), ehr("north"), "orders", call)
		if i == 4 {
			decidetest.WantError(t, err, chart.ErrServer)
			continue
		}
		decidetest.Must(t, err)
		calls++
	}
	for i, s := range spellings {
		page, err := n.Records(t.Context(), auditor("north"),
			audit.Filter{Patient: audit.Patient{Base: s.base, ID: s.id}, Kind: audit.Decision})
		decidetest.Must(t, err)
		if want := map[bool]int{true: calls}[i != 4]; len(page.Records) != want {
			t.Errorf("%v: %d records found, want %d", s, len(page.Records), want)
		}
	}
	p := decidetest.PolicyFor(t, "north")
	p.Clients[0].FHIRBase = "https://EHR.north.example:443/fhir/R4"
	n.policy("north", p)
	n.call("north", decidetest.WithInstance(t, body, 99))
	page, err := n.Records(t.Context(), auditor("north"),
		audit.Filter{Patient: audit.Patient{Base: northBase, ID: id}, Kind: audit.Decision})
	decidetest.Must(t, err)
	if len(page.Records) != calls+1 {
		t.Errorf("with another spelling of the registered base: %d records, want %d", len(page.Records), calls+1)
	}
	n.clean("north")
}

// TestOtherServerIsRefused holds that a call for another FHIR server than the
// registered one is not taken for one of its patients, and is recorded.
func TestOtherServerIsRefused(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "clean")
	id := patientID(t, body)
	for i, change := range []struct{ from, to, path string }{
		{`"fhirServer":"` + northBase, `"fhirServer":"https://ehr.south.example/fhir/R4`, "fhirServer"},
		{`"fhirServer":"https:`, `"fhirServer":"http:`, "fhirServer"},
		{`"fhirServer":"` + northBase, `"fhirServer":"north`, "fhirServer"},
		{`"patientId":"`, `"patientId":"https://ehr.south.example/fhir/R4/Patient/`, "context.patientId"},
	} {
		call := bytes.Replace(body, []byte(change.from), []byte(change.to), 1)
		if bytes.Equal(call, body) {
			t.Fatalf("%s is not in the fixture", change.from)
		}
		n.clock.advance(time.Second) // the newest is listed first
		_, err := n.Call(t.Context(), ehr("north"), "orders", call)
		decidetest.WantError(t, err, chart.ErrServer)
		page, err := n.log.List(t.Context(), "north", audit.Filter{Kind: audit.Refusal})
		decidetest.Must(t, err)
		if len(page.Records) != i+1 {
			t.Fatalf("%s: %d refusals, want %d", change.to, len(page.Records), i+1)
		}
		rec, err := n.log.Get(t.Context(), "north", page.Records[0].Leaf.RecordID)
		decidetest.Must(t, err)
		var note struct {
			What Refusal `json:"what"`
		}
		decidetest.Must(t, jsonv2.Unmarshal(rec.Body, &note))
		if note.What.Code != "fhir-server" || note.What.Path != change.path || bytes.Contains(rec.Body, []byte(id)) {
			t.Errorf("%s: recorded %+v", change.to, note.What)
		}
	}
	if n.records("north", audit.Decision) != 0 {
		t.Error("a call of another server was decided")
	}
}

// TestNullIsAbsent holds that a null where a member is optional is as if it was not
// sent.
func TestNullIsAbsent(t *testing.T) {
	n := newRegion(t)
	body := decidetest.Patient(t, "clean")
	for i, c := range []struct{ from, to string }{
		{`"fhirServer":"` + northBase + `"`, `"fhirServer":null`},
		{`"context":{`, `"fhirAuthorization":{"access_token":null,"token_type":null},"context":{`},
		{`"context":{`, `"fhirAuthorization":null,"context":{`},
		{`"context":{`, `"extension":null,"context":{"selections":null,"encounterId":null,`},
		{`"context":{`, `"context":{"selections":[null],`},
	} {
		changed := body
		for _, taken := range []string{"fhirAuthorization", "extension", "selections", "encounterId"} {
			if bytes.Contains([]byte(c.to), []byte(taken)) { // strict JSON has a name once
				changed = bytes.Replace(changed, []byte(`"`+taken+`":`), []byte(`"was-`+taken+`":`), 1)
			}
		}
		changed = bytes.Replace(changed, []byte(c.from), []byte(c.to), 1)
		if bytes.Equal(changed, body) {
			t.Fatalf("%s is not in the fixture", c.from)
		}
		if _, err := n.Call(t.Context(), ehr("north"), "orders", decidetest.WithInstance(t, changed, i)); err != nil {
			t.Errorf("%s: %v", c.to, err)
		}
	}
}
