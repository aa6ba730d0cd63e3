package engine

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
)

// oddCall is an order-sign call with draft orders and an empty chart.
func oddCall(drafts string) []byte {
	return []byte(`{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","context":{"userId":"Practitioner/1","patientId":"p1","draftOrders":` + drafts + `},"prefetch":{}}`)
}

// TestOrdersThatDidNotCome holds that orders which are missing, or in words
// only, are named and never read as nothing to say.
func TestOrdersThatDidNotCome(t *testing.T) {
	b := newBench(t)
	const metformin = `{"resource":{"resourceType":"MedicationRequest","id":"1","status":"draft","intent":"order","medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"6809"}]}}}`
	for name, test := range map[string]struct {
		entries string
		reason  string // "" for no finding about orders
	}{
		"all there":                {metformin, ""},
		"an entry without content": {metformin + `,{"fullUrl":"urn:uuid:1"}`, "partial-result"},
		"one withheld":             {metformin + `,{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"security"}]}}`, "partial-result"},
		"of DSTU2, in words":       {`{"resource":{"resourceType":"MedicationOrder","id":"1","medicationCodeableConcept":{"text":"ibuprofen"}}}`, "text-only"},
	} {
		d := b.decide(t, b.inputs(t, oddCall(`{"resourceType":"Bundle","entry":[`+test.entries+`]}`)))
		found := ""
		for i := range d.Findings {
			if f := &d.Findings[i]; f.Rule == decision.Unidentified {
				found = string(f.Fact.Reasons[0].Code)
				if f.Card == "" {
					t.Errorf("%s: nobody is told", name)
				}
			}
		}
		if found != test.reason {
			t.Errorf("%s: finding is %q, want %q", name, found, test.reason)
		}
	}
}

func TestCallWithoutOrders(t *testing.T) {
	n := newRegion(t)
	for _, drafts := range []string{`null`, `{"resourceType":"Bundle"}`} {
		a, err := n.Call(t.Context(), ehr("north"), "orders", oddCall(drafts))
		if drafts != "null" { // a Bundle may be empty
			must(t, err)
			continue
		}
		wantError(t, err, chart.ErrShape)
		if r := n.newest("north", audit.Refusal); a != nil || r.What.Code != "shape" || r.What.Path != chart.DraftsKey {
			t.Errorf("answer %v, recorded %+v", a, r)
		}
	}
}

// TestRecordTooLarge holds that a call whose record can not be kept is refused,
// and that this is recorded.
func TestRecordTooLarge(t *testing.T) {
	n := newRegion(t)
	id := strings.Repeat("x", 7<<20)
	body := bytes.Replace(patient(t, "metformin-egfr-27"), []byte(`"resourceType":"MedicationRequest","id":"`), []byte(`"resourceType":"MedicationRequest","id":"`+id), 1)
	if len(body) < 7<<20 {
		t.Fatal("the fixture has another shape")
	}
	a, err := n.Call(t.Context(), ehr("north"), "orders", body)
	wantError(t, err, chart.ErrTooLarge)
	if r := n.newest("north", audit.Refusal); a != nil || r.What.Code != "too-large" {
		t.Errorf("answer %v, recorded %+v", a, r)
	}
}

// panicsOnce is randomness that fails the program at the first read.
type panicsOnce struct{ done bool }

func (p *panicsOnce) Read(b []byte) (int, error) {
	if !p.done {
		p.done = true
		panic("no randomness")
	}
	for i := range b {
		b[i] = 7
	}
	return len(b), nil
}

func TestPanicIsRecorded(t *testing.T) {
	n := newRegion(t)
	n.Engine.cfg.Rand = &panicsOnce{}
	before := n.records("north", audit.Refusal)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the door does not learn of it")
			}
		}()
		_, err := n.Call(t.Context(), ehr("north"), "orders", patient(t, "clean"))
		t.Error(errors.Join(errors.New("answered"), err))
	}()
	if r := n.newest("north", audit.Refusal); n.records("north", audit.Refusal) != before+1 || r.What.Code != "internal" {
		t.Errorf("recorded %+v", r)
	}
}

// TestPersonsTurnedAway holds that a known person who is refused leaves a
// record, and so does what could not take effect.
func TestPersonsTurnedAway(t *testing.T) {
	n := newRegion(t)
	nobody := Caller{Tenant: "north", Person: "nobody@north.example", Purpose: "curious"}
	silent := auditor("north")
	silent.Purpose = " "
	for name, test := range map[string]struct {
		do         func() error
		want       error
		kind       audit.Kind
		verb, code string
	}{
		"no auditor": {func() error { _, err := n.Records(t.Context(), nobody, audit.Filter{}); return err }, ErrForbidden, audit.Refusal, "list", "forbidden"},
		"no purpose": {func() error { _, err := n.Explain(t.Context(), silent, fixtureRecord); return err }, ErrPurpose, audit.Refusal, "explain", "purpose"},
		"no member":  {func() error { _, err := n.Apply(t.Context(), nobody, []byte("{}")); return err }, ErrForbidden, audit.Refusal, "apply", "forbidden"},
		"no statement": {func() error { _, err := n.Apply(t.Context(), auditor("north"), []byte("{}")); return err },
			signing.ErrUnsupported, audit.Event, "apply", "refused"},
		"no pack": {func() error {
			return n.PutPack(t.Context(), person("north", "olga"), rulepacks.Digest(strings.Repeat("0", 64)), []byte("no archive"))
		}, rulepacks.ErrMalformed, audit.Event, "put pack", "refused"},
	} {
		before := n.records("north", test.kind)
		wantError(t, test.do(), test.want)
		if n.records("north", test.kind) != before+1 {
			t.Errorf("%s: %d records before, %d after", name, before, n.records("north", test.kind))
			continue
		}
		if r := n.newest("north", test.kind); r.What.Verb != test.verb || r.What.Code != test.code {
			t.Errorf("%s: recorded %+v", name, r)
		}
	}
}

// TestSuspensionOfNothing holds that a mistyped rule is not believed to be out
// of service.
func TestSuspensionOfNothing(t *testing.T) {
	n := newRegion(t)
	for rule, want := range map[string]error{"metformin-contraindication": ErrStatement, "metformin-contraindicated": nil} {
		_, err := n.Apply(t.Context(), person("north", "rick"), sign(t, signing.PackDigest{}, signing.Suspension{Tenant: "north", Region: signing.Region(testRegion),
			Pack: "renal_dosing", Rule: rule, Reason: "a doubt", SuspendedAt: n.clock.now()}, "rick@north").Bytes())
		if !errors.Is(err, want) || (err != nil) != (want != nil) {
			t.Errorf("%s: %v, want %v", rule, err, want)
		}
	}
}

// TestUploadIsBounded holds that an upload is not unpacked beyond what a pack
// may have.
func TestUploadIsBounded(t *testing.T) {
	n := newRegion(t)
	sub, err := fs.Sub(rulepacks.Embedded(), "renal_dosing")
	must(t, err)
	files := fstest.MapFS{}
	must(t, fs.WalkDir(sub, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(sub, name)
		files[name] = &fstest.MapFile{Data: data}
		return err
	}))
	files["README.md"] = &fstest.MapFile{Data: bytes.Repeat([]byte("A line as many others.\n"), maxPack/20)}
	pack, err := rulepacks.ReadFolder(files)
	must(t, err)
	wantError(t, n.PutPack(t.Context(), person("north", "olga"), pack.Digest, pack.Archive()), rulepacks.ErrTooLarge)
}

// TestIdsWriteNoLines holds that the id of an order can not forge a line of an
// explanation.
func TestIdsWriteNoLines(t *testing.T) {
	b := newBench(t)
	in := b.inputs(t, oddCall(`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"MedicationRequest","id":"1\nNOT      forged\u001b[2J\u2028x","status":"draft",
		"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"6809"}]}}}]}`))
	var text strings.Builder
	Explain(&text, in, b.decide(t, in))
	if out := text.String(); strings.Contains(out, "\nNOT      forged") || strings.ContainsAny(out, "\x1b\u2028") || !strings.Contains(out, "forged") {
		t.Errorf("the id got through: %q", out)
	}
}
