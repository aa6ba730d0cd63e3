package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

func TestManagement(t *testing.T) {
	w := newWorld(t, nil)
	otto := w.as("north", "otto@north.example")
	status, err := otto.Status(t.Context())
	w.must(err)
	if status.Tenant != "north" || len(status.Packs) != 4 || status.Policy.Seq != 1 || status.ReleaseLog != 16 ||
		status.Home.Region != "us-east" || status.Home.Epoch != 1 || status.Home.Why != "" {
		t.Errorf("%+v", status)
	}
	statements, err := otto.Statements(t.Context())
	w.must(err)
	if len(statements) != 16 || statements[15].Index != 15 || statements[0].Envelope == "" {
		t.Errorf("%d statements", len(statements))
	}
	pack := w.pack("renal_dosing")
	tar, err := otto.Pack(t.Context(), string(pack.Digest))
	w.must(err)
	if !bytes.Equal(tar, pack.Archive()) {
		t.Error("the pack came back with other bytes")
	}
	if _, err := otto.Pack(t.Context(), strings.Repeat("0", 64)); problemOf(err).Status != 404 {
		t.Errorf("unknown pack: %v", err)
	}
	if _, err := otto.Pack(t.Context(), "x"); problemOf(err).Code != "digest" {
		t.Errorf("bad digest: %v", err)
	}
	if err := otto.PutPack(t.Context(), string(pack.Digest), []byte("not a pack")); problemOf(err).Status != 422 {
		t.Errorf("broken pack: %v", err)
	}
	if _, err := otto.Apply(t.Context(), []byte("{")); problemOf(err).Code != "statement-malformed" {
		t.Errorf("broken statement: %v", err)
	}
	again := w.live("north", pack)[2]
	if _, err := otto.Apply(t.Context(), again.Bytes()); problemOf(err).Status != 409 {
		t.Errorf("the same activation twice: %v", err)
	}
	alone := statement.Activation{Tenant: "south", Region: "us-east", Pack: "renal_dosing", Version: "1.0.0", Seq: 2,
		Mode: statement.Active, InputsUnknown: []string{}}
	if _, err := otto.Apply(t.Context(), w.say(statement.PackDigest{SHA256: trust.Digest(pack.Digest),
		DirHash1: trust.Digest(pack.DirHash1)}, alone,
		"amy@north.example").Bytes()); problemOf(err).Code != "wrong-tenant" {
		t.Errorf("another tenant's statement: %v", err)
	}
	if _, err := otto.Apply(t.Context(), bytes.Repeat([]byte(" "),
		audit.MaxStatement+1)); problemOf(err).Status != 413 {
		t.Errorf("large statement: %v", err)
	}
}

func TestAudit(t *testing.T) {
	w := newWorld(t, nil)
	p, err := fixtures.Load("metformin-egfr-27")
	w.must(err)
	a, err := w.ehr("north", "ES256").Call(t.Context(), "orders", p.Request)
	w.must(err)
	receipt, err := audit.ParseReceipt(a.Receipt)
	w.must(err)
	ada := w.as("north", "ada@north.example")
	id := string(receipt.RecordID)

	var request struct {
		Context struct{ PatientID string }
	}
	w.must(json.Unmarshal(p.Request, &request))
	base := "https://ehr.north.example/fhir/R4"
	for name, c := range map[string]struct {
		q    wire.Search
		want int
	}{
		"patient":         {wire.Search{Patient: &wire.Patient{Base: base, ID: request.Context.PatientID}}, 1},
		"another patient": {wire.Search{Patient: &wire.Patient{Base: base, ID: "nobody"}}, 0},
		"rule":            {wire.Search{Rule: "renal_dosing/metformin-contraindicated"}, 1},
		"time":            {wire.Search{Kind: "decision", From: now(), To: now().AddDate(0, 0, 1)}, 1},
		"before":          {wire.Search{To: now()}, 0},
	} {
		page, err := ada.Records(t.Context(), c.q)
		w.must(err)
		if len(page.Records) != c.want || c.want == 1 && page.Records[0].ID != id {
			t.Errorf("%s: %+v", name, page)
		}
	}
	page, err := ada.Records(t.Context(), wire.Search{Limit: 2})
	w.must(err)
	next, err := ada.Records(t.Context(), wire.Search{Limit: 2, Cursor: page.Next})
	w.must(err)
	if len(page.Records) != 2 || len(next.Records) != 2 || next.Records[0].ID == page.Records[1].ID {
		t.Errorf("pages %+v %+v", page, next)
	}

	record, err := ada.Record(t.Context(), id)
	w.must(err)
	if leaf, err := audit.ParseLeaf(record.Leaf); err != nil || leaf.RecordID != receipt.RecordID ||
		tlog.RecordHash(record.Leaf) != receipt.Leaf || len(record.Body) == 0 {
		t.Errorf("leaf %s: %v", record.Leaf, err)
	}
	why, err := ada.Explain(t.Context(), id)
	w.must(err)
	i := slices.IndexFunc(why.Findings, func(f decision.ExplainedFinding) bool {
		return f.Rule == "renal_dosing/metformin-contraindicated"
	})
	if i < 0 || why.Findings[i].Outcome != decision.Fired || why.Findings[i].Fact == nil {
		t.Fatalf("explanation: %+v", why)
	}
	if f := why.Findings[i].Facts[*why.Findings[i].Fact]; f.Text != "eGFR < 30" || f.State != fact.True {
		t.Errorf("explanation: %+v", f)
	}
	report, err := ada.Verify(t.Context())
	w.must(err)
	if !report.OK() || len(report.Logs) != 2 || report.Logs[0].Leaves == 0 {
		t.Errorf("%+v", report)
	}
	for _, log := range []string{"releases", "audit/2026-03"} {
		note, err := ada.Checkpoint(t.Context(), log)
		w.must(err)
		tile, err := ada.Tile(t.Context(), log, tlog.Tile{L: 0, N: 0, W: 3})
		w.must(err)
		if !strings.HasPrefix(string(note), "audit.example.org/us-east/north/"+log+"\n") ||
			len(tile) != 3*tlog.HashSize {
			t.Errorf("%s: %s, %d bytes", log, note, len(tile))
		}
	}
}

func TestAuditRefuses(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.as("north", "ada@north.example")
	if _, err := w.as("north", "otto@north.example").Records(t.Context(),
		wire.Search{}); problemOf(err).Code != "forbidden" {
		t.Errorf("not an auditor: %v", err)
	}
	if _, err := ada.WithPurpose("").Records(t.Context(), wire.Search{}); problemOf(err).Code != "purpose" {
		t.Errorf("no purpose: %v", err)
	}
	if _, err := ada.Record(t.Context(), "../../north"); problemOf(err).Status != 404 {
		t.Errorf("no id: %v", err)
	}
	half := wire.Search{Patient: &wire.Patient{ID: "x"}}
	if _, err := ada.Records(t.Context(), half); problemOf(err).Code != "parameter" {
		t.Errorf("half a patient: %v", err)
	}
	if _, err := ada.Records(t.Context(), wire.Search{Limit: 1001}); problemOf(err).Code != "filter" {
		t.Errorf("limit: %v", err)
	}
	page, err := ada.Records(t.Context(), wire.Search{Kind: "statement", Limit: 1})
	w.must(err)
	if _, err := ada.Explain(t.Context(), page.Records[0].ID); problemOf(err).Code != "not-a-decision" {
		t.Errorf("explaining a statement: %v", err)
	}
	token, err := ada.Token()
	w.must(err)
	for query, code := range map[string]string{
		"?from=yesterday": "parameter", "?patient=x": "parameter", "?x=y": "parameter", "?limit=many": "parameter",
		"?rule=a&rule=b": "parameter",
		"?cursor=%21":    "filter", "?kind=decision&limit=1&from=2026-01-01T00:00:00Z": "",
	} {
		resp, body := w.do("GET", "/v1/tenants/north/records"+query, token, nil, wire.PurposeHeader, "test")
		if code == "" && resp.StatusCode != 200 || code != "" && !strings.Contains(body, `"code":"`+code+`"`) {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
	for _, path := range []string{"log/audit/2026-13/checkpoint", "log/audit/2020-01/checkpoint",
		"log/releases/tile/0/000", "log/releases/tile/0/x", "log/releases/tile/data/000.p/1",
		"log/releases/tile/0/000.p/300"} {
		if resp, body := w.do("GET", "/v1/tenants/north/"+path, token, nil); resp.StatusCode != 404 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	for _, body := range []string{"", "[]", `{"form":1}`, `{"limit":1,"limit":2}`} {
		resp, text := w.do("POST", "/v1/tenants/north/records/search", token, strings.NewReader(body),
			wire.PurposeHeader, "test")
		if resp.StatusCode != 400 || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", body, resp.StatusCode, text)
		}
	}
}

func TestRecordsStayWithTheirTenant(t *testing.T) {
	w := newWorld(t, nil)
	a, err := w.ehr("north", "ES256").Call(t.Context(), "orders", w.standard(1))
	w.must(err)
	receipt, err := audit.ParseReceipt(a.Receipt)
	w.must(err)
	south := w.as("south", "ada@north.example")
	if _, err := south.Record(t.Context(), string(receipt.RecordID)); problemOf(err).Status != 404 {
		t.Errorf("%v", err)
	}
	if _, err := south.Pack(t.Context(), string(w.pack("renal_dosing").Digest)); problemOf(err).Status != 404 {
		t.Errorf("%v", err)
	}
	token, err := w.as("north", "ada@north.example").Token()
	w.must(err)
	if resp, _ := w.do("GET", "/v1/tenants/south/status", token, nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("north's token at south: %d", resp.StatusCode)
	}
}
