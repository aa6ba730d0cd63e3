package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/evidence"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/trust"
)

func TestEvidence(t *testing.T) {
	w := newWorld(t, nil)
	a, err := w.ehr("north", "ES256").Call(t.Context(), "orders", w.standard(1))
	w.must(err)
	receipt, err := audit.ParseReceipt(a.Receipt)
	w.must(err)
	id := string(receipt.RecordID)
	ada := w.as("north", "ada@north.example")
	status, err := ada.Status(t.Context())
	w.must(err)
	for _, patientData := range []bool{false, true} {
		data, err := ada.Evidence(t.Context(), id, patientData, "audit/2026-03:3")
		w.must(err)
		file, err := evidence.Read(bytes.NewReader(data), int64(len(data)))
		w.must(err)
		r := file.Verify(t.Context(), evidence.Options{Known: evidence.Known{Node: status.NodeKey}})
		if r.Verdict == evidence.DoesNot || (r.Body != nil) != patientData || r.Exported.Purpose != "test of the door" ||
			r.Manifest.Record != id || r.Manifest.Since == nil {
			t.Errorf("%+v", r)
		}
	}
	// Who may not is told the same of records that are there and that are not; and nobody is told of another tenant's.
	const nobody = "019cb2a0-0000-7000-8000-000000000009"
	for name, c := range map[string]struct {
		tenant, person, purpose string
		status                  int
	}{
		"not an auditor": {"north", "otto@north.example", "test", http.StatusForbidden},
		"no purpose":     {"north", "ada@north.example", "", http.StatusBadRequest},
		"another tenant": {"south", "ada@north.example", "test", http.StatusNotFound},
	} {
		for _, query := range []string{"", "?patient-data=true", "?since=releases:1"} {
			var answers [2]string
			for i, record := range []string{id, nobody} {
				var headers []string
				if c.purpose != "" {
					headers = []string{wire.PurposeHeader, c.purpose}
				}
				token, err := w.as(tenant.ID(c.tenant), trust.PersonID(c.person)).Token()
				w.must(err)
				path := "/v1/tenants/" + c.tenant + "/records/" + record + "/evidence" + query
				resp, body := w.do("GET", path, token, nil, headers...)
				resp.Header.Del("Date")
				var h strings.Builder
				w.must(resp.Header.Write(&h))
				if answers[i] = resp.Status + h.String() + body; resp.StatusCode != c.status || strings.Contains(body, id) {
					t.Errorf("%s%s: %d %s", name, query, resp.StatusCode, body)
				}
			}
			if answers[0] != answers[1] {
				t.Errorf("%s%s: the answer tells whether the record is there:\n%s\n%s", name, query, answers[0], answers[1])
			}
		}
	}
	token, err := ada.Token()
	w.must(err)
	for _, query := range []string{"?patient-data=yes", "?patient-data=true&patient-data=true", "?x=y", "?since=x:1",
		"?since=releases", "?since=releases:0", "?since=releases:-1", "?since=audit/2026-03:x"} {
		if resp, body := w.do("GET", "/v1/tenants/north/records/"+id+"/evidence"+query, token, nil, wire.PurposeHeader,
			"test"); resp.StatusCode != 400 || !strings.Contains(body, `"code":"parameter"`) {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
	if _, err := ada.Evidence(t.Context(), id, false, "audit/2026-03:99999"); problemOf(err).Status != 404 {
		t.Errorf("a state that no log ever had: %v", err)
	}
	for _, e := range w.logged.events(t) {
		if e["route"] == "/v1/tenants/:tenant/records/:id/evidence" && e["status"] == float64(200) && e["record"] != id {
			t.Errorf("event %v", e)
		}
	}
}
