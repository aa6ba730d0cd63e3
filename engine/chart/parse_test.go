package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/rawjson"
)

const plainContext = `{"userId":"Practitioner/1","patientId":"p1"}`

func TestParseRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []struct {
		name, body string
		want       error
		path       string // must be in the message
	}{
		{"empty", "", ErrJSON, "byte 0"},
		{"cut short", string(call(plainContext, `{}`)[:60]), ErrJSON, ""},
		{"trailing data", string(call(plainContext, `{}`)) + "{}", ErrJSON, ""},
		{"byte order mark", "\xef\xbb\xbf" + string(call(plainContext, `{}`)), ErrJSON, "byte 0"},
		{"single quotes", `{'hook':1}`, ErrJSON, ""},
		{"trailing comma", `{"hook":"order-sign",}`, ErrJSON, ""},
		{"NaN", `{"hook":NaN}`, ErrJSON, ""},
		{"leading zero", `{"hook":01}`, ErrJSON, ""},
		{"control character", "{\"hook\":\"a\nb\"}", ErrJSON, ""},
		{"invalid UTF-8", "{\"hook\":\"\xff\"}", ErrJSON, ""},
		{"lone surrogate", `{"hook":"\ud800"}`, ErrJSON, ""},
		{"duplicate name", `{"hook":"a","hook":"b"}`, ErrJSON, ""},
		{"duplicate by escape", `{"hook":"a","h\u006fok":"b"}`, ErrJSON, ""},
		{"duplicate token by escape", `{"fhirAuthorization":{"access_token":"a","access\u005ftoken":"b"}}`, ErrJSON,
			"fhirAuthorization"},
		{"duplicate nested", string(call(plainContext,
			`{"labs":{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"1","id":"2"}}]}}`)),
			ErrJSON, "prefetch.labs.entry[0].resource"},
		{"10,000 deep, closed", string(call(`{"x":`+deep(9_990)+`}`, `{}`)), ErrTooDeep, ""},
		{"20,000 deep", deep(20_000), ErrTooDeep, ""},
		{"20,000 deep, open", strings.Repeat("[", 20_000), ErrTooDeep, ""},
		{"65 deep under an unknown member", string(call(`{"x":`+deep(63)+`}`, `{}`)), ErrTooDeep, ""},
		{"65 deep in a resource", string(call(plainContext, `{"a":{"resourceType":"Basic","x":`+deep(62)+`}}`)),
			ErrTooDeep, ""},
		{"nested bundles", string(call(plainContext,
			`{"a":`+strings.Repeat(`{"resourceType":"Bundle","entry":[{"resource":`, 30)+`{"resourceType":"Basic"}`+
				strings.Repeat(`}]}`, 30)+`}`)), ErrTooDeep, ""},
		{"too large", strings.Repeat(" ", 8<<20) + "{}", ErrTooLarge, ""},
		{"too many resources", string(call(plainContext,
			`{"a":{"resourceType":"Bundle","entry":[`+
				strings.TrimSuffix(strings.Repeat(`{"resource":{"resourceType":"Basic"}},`, 10_001), ",")+`]}}`)),
			ErrTooLarge, ""},
		{"too many over sources", string(call(plainContext,
			`{"a":{"resourceType":"Bundle","entry":[`+
				strings.TrimSuffix(strings.Repeat(`{"resource":{"resourceType":"Basic"}},`, 10_000), ",")+
				`]},"b":{"resourceType":"Basic"}}`)), ErrTooLarge, ""},
		{"too many keys", string(call(plainContext, `{`+manyKeys(1001)+`}`)), ErrTooLarge, "1000 prefetch keys"},
		{"null", `null`, ErrShape, ""},
		{"array", `[]`, ErrShape, ""},
		{"no context", `{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002"}`, ErrShape,
			"context"},
		{"no hook", `{"hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","context":{}}`, ErrShape, "hook"},
		{"null hook", `{"hook":null,"hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","context":{}}`, ErrShape,
			"hook"},
		{"bad instance", `{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac12000z","context":{}}`,
			ErrShape, "hookInstance"},
		{"braces of the right length",
			`{"hook":"order-sign","hookInstance":"{11d1ed76-5b6e-11ee-8c99-0242ac1200}","context":{}}`, ErrShape,
			"hookInstance"},
		{"braced instance", `{"hook":"order-sign","hookInstance":"{11d1ed76-5b6e-11ee-8c99-0242ac120002}","context":{}}`, ErrShape, "hookInstance"},
		{"instance as a urn", `{"hook":"order-sign","hookInstance":"urn:uuid:11d1ed76-5b6e-11ee-8c99-0242ac120002","context":{}}`, ErrShape, "hookInstance"},
		{"instance without hyphens",
			`{"hook":"order-sign","hookInstance":"11d1ed765b6e11ee8c990242ac120002","context":{}}`, ErrShape,
			"hookInstance"},
		{"authorization as string", `{"fhirAuthorization":"hunter2","hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","context":{}}`, ErrShape, "fhirAuthorization"},
		{"token as object", `{"fhirAuthorization":{"access_token":{"x":"hunter2"}},"hook":"order-sign"}`, ErrShape,
			"fhirAuthorization.access_token"},
		{"selections", string(call(`{"selections":["a",7]}`, `{}`)), ErrShape, "context.selections[1]"},
		{"drafts as a resource", string(call(`{"draftOrders":{"resourceType":"MedicationRequest"}}`, `{}`)), ErrShape,
			"context.draftOrders"},
		{"drafts as an array", string(call(`{"draftOrders":[]}`, `{}`)), ErrShape, "context.draftOrders"},
		{"prefetch as an array", string(call(plainContext, `[]`)), ErrShape, "prefetch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := Parse([]byte(tt.body), Limits{})
			if !errors.Is(err, tt.want) || req != nil {
				t.Fatalf("error = %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.path) {
				t.Errorf("error %q does not name %q", err, tt.path)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "Ann") {
				t.Errorf("error %q has content in it", err)
			}
		})
	}
}

// TestMalformedMembers holds that what has the wrong shape under a prefetch key is
// named, is not read, and does not keep the rest from being read.
func TestMalformedMembers(t *testing.T) {
	const good = `"z":{"resourceType":"Patient","id":"p1"}`
	for _, tt := range []struct{ name, body, path string }{
		{"prefetch of a number", string(call(plainContext, `{"labs":7}`)), "prefetch.labs"},
		{"prefetch of an empty object", string(call(plainContext, `{"labs":{}}`)),
			"prefetch.labs.resourceType"},
		{"entry as an object", string(call(plainContext, `{"labs":{"resourceType":"Bundle","entry":{}}}`)),
			"prefetch.labs.entry"},
		{"entry of a number", string(call(plainContext,
			`{"labs":{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Basic"}},null,7]}}`)),
			"prefetch.labs.entry[2]"},
		{"resource of a number", string(call(plainContext,
			`{"labs":{"resourceType":"Bundle","entry":[{"resource":7}]}}`)),
			"prefetch.labs.entry[0].resource"},
		{"resource without a type", string(call(plainContext,
			`{"labs":{"resourceType":"Bundle","entry":[{"resource":{"id":"x"}}]}}`)),
			"prefetch.labs.entry[0].resource.resourceType"},
		{"resource with a bad type",
			string(call(plainContext, `{"labs":{"resourceType":"Bundle","entry":[{"resource":{"resourceType":7}}]}}`)),
			"prefetch.labs.entry[0].resource.resourceType"},
		{"total as text", string(call(plainContext, `{"labs":{"resourceType":"Bundle","total":"many"}}`)),
			"prefetch.labs.total"},
		{"link as text", string(call(plainContext, `{"labs":{"resourceType":"Bundle","link":"next"}}`)),
			"prefetch.labs.link"},
		{"nested bundle", string(call(plainContext,
			`{"labs":{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Bundle","entry":[7]}}]}}`)),
			"prefetch.labs.entry[0].resource.entry[0]"},
		{"odd key", string(call(plainContext, `{"Ann Example 1970":7}`)), "prefetch.?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := []byte(strings.TrimSuffix(tt.body, "}}") + "," + good + "}}")
			req, err := Parse(body, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if len(req.Prefetch) != 2 || req.Prefetch[1].Malformed != nil || req.Prefetch[1].Len() != 1 {
				t.Fatalf("sources are %+v", req.Prefetch)
			}
			src := req.Prefetch[0]
			if src.Malformed == nil || src.Malformed.Path != tt.path || src.Completeness != Failed || src.Len() != 0 {
				t.Errorf("the source is %+v, %v; want its path to be %s", src, src.Malformed, tt.path)
			}
			if strings.Contains(src.Malformed.Error(), "Ann") {
				t.Errorf("%v has content in it", src.Malformed)
			}
			checkRequest(t, req)
		})
	}
}

func manyKeys(n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf(`"k%d":null`, i))
	}
	return strings.Join(keys, ",")
}

func TestParseAccepts(t *testing.T) {
	id200 := strings.Repeat("eLongEpicId", 18) + "xx"
	body := fmt.Appendf(nil, ` { "extension":{"com.epic.cdshooks.request.fhir-version":"R4","x":[null]}, "hookInstance":"11D1ED76-5B6E-11EE-8C99-0242AC120002",
	"prefetch":null,"fhirAuthorization":{"token_type":"Bearer","scope":"PATIENT.READ (R4) x","expires_in":"300","patient":null,"subject":"s"},
	"fhirServer":"https://ehr.example/R4","context":{"patientId":"Patient/p1","encounterId":null,"userId":"PractitionerRole/r","selections":["MedicationRequest/%[1]s"],
	"draftOrders":{"resourceType":"Bundle","entry":[{"resource":{"id":"%[1]s","resourceType":"MedicationRequest"}},{"resource":{"resourceType":"Medication","id":"m"}}]}},
	"hook":"order-sign" } `, id200)
	req, err := Parse(body, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if req.PatientID != "p1" || req.EncounterID != "" || req.Authorization.ExpiresIn != 300 || req.Drafts.Len() != 2 ||
		!req.Token.IsZero() {
		t.Errorf("request = %+v", req)
	}
	if !bytes.Equal(req.Body, body) || &req.Body[0] == &body[0] {
		t.Error("Body is not a copy of the body")
	}
	c, err := New(Inputs{Request: req, Now: callTime, Zone: utc(t)})
	if err != nil {
		t.Fatal(err)
	}
	if sel := c.Selected(); len(sel) != 1 || sel[0].ID != id200 {
		t.Errorf("selected = %v", sel)
	}
	if _, err := Parse([]byte(`{"hook":"x","hookInstance":"not hexadecimal","context":{}}`),
		Limits{AnyInstance: true}); err != nil {
		t.Errorf("lenient hookInstance: %v", err)
	}
}

func TestToken(t *testing.T) {
	for _, auth := range []string{
		`"fhirAuthorization":{"token_type":"Bearer","access_token":"hunter2","scope":"s"}`,
		`"fhirAuthorization":{"access\u005ftoken" : "hunter2"}`,
		`"fhir\u0041uthorization":{"access_token":"hu\u006eter2"}`,
	} {
		body := fmt.Appendf(nil, `{"hook":"order-sign",%s,"hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","context":{}}`, auth)
		req, err := Parse(body, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if req.Token.Reveal() != "hunter2" {
			t.Errorf("token = %q", req.Token.Reveal())
		}
		if !jsontext.Value(req.Body).IsValid() || bytes.Contains(req.Body, []byte("ter2")) {
			t.Errorf("body = %s", req.Body)
		}
		var buf bytes.Buffer
		slog.New(slog.NewJSONHandler(&buf, nil)).Info("x", "token", req.Token, "request", req)
		encoded, err := json.Marshal(req.Token)
		if err != nil {
			t.Fatal(err)
		}
		shown := fmt.Sprintf("%v %+v %#v %s %q %x %d %v %+v %#v %s", req.Token, req.Token, req.Token, req.Token,
			req.Token, req.Token, req.Token, struct{ t Token }{req.Token}, *req, *req, encoded) + buf.String()
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, "68756e74657232") {
			t.Errorf("token shows: %s", shown)
		}
	}
}

func TestCompleteness(t *testing.T) {
	const obs = `{"resource":{"resourceType":"Observation","id":"o1"},"search":{"mode":"match"}}`
	const inc = `{"resource":{"resourceType":"Patient","id":"p"},"search":{"mode":"include"}}`
	outcome := func(severity, code string) string {
		return `{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"` + severity + `","code":"` +
			code + `"}]},"search":{"mode":"outcome"}}`
	}
	set := func(rest string) string { return `{"resourceType":"Bundle","type":"searchset",` + rest + `}` }
	for _, tt := range []struct {
		name, value string
		want        Completeness
		count       int
	}{
		{"null", `null`, Complete, 0},
		{"empty bundle", `{"resourceType":"Bundle"}`, Complete, 0},
		{"null entry", set(`"entry":null,"total":null,"link":null`), Complete, 0},
		{"Epic's note", set(`"total":0,"link":[{"relation":"self","url":"x"}],"entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"processing","details":{"coding":[{"code":"4101"}]}}]},"search":{"mode":"outcome"}}]`), Complete, 0},
		{"one", set(`"total":1,"entry":[` + obs + `]`), Complete, 1},
		{"total below matches", set(`"total":0,"entry":[` + obs + `]`), Complete, 1},
		{"includes do not count", set(`"total":2,"entry":[` + obs + `,` + inc + `]`), Partial, 2},
		{"next link", set(`"link":[{"relation":"self"},{"relation":"next","url":"x"}],"entry":[` + obs + `]`), Partial,
			1},
		{"next link after", `{"entry":[` + obs + `],"link":{"relation":"next"},"resourceType":"Bundle"}`, Partial, 1},
		{"note beside results", set(`"entry":[` + outcome("information", "informational") + `,` + obs + `]`), Complete,
			1},
		{"incomplete", set(`"entry":[` + outcome("warning", "incomplete") + `,` + obs + `]`), Partial, 1},
		{"withheld", set(`"total":0,"entry":[` + outcome("warning", "suppressed") + `]`), Suppressed, 0},
		{"withheld beside results", set(`"entry":[` + outcome("information", "forbidden") + `,` + obs + `]`),
			Suppressed, 1},
		{"too much to look for", set(`"entry":[` + outcome("warning", "too-costly") + `,` + obs + `]`), Partial, 1},
		{"warning that says nothing of the kind",
			set(`"entry":[` + outcome("warning", "business-rule") + `,` + obs + `]`), Complete, 1},
		{"error inside", set(`"entry":[` + outcome("error", "security") + `,` + obs + `]`), Suppressed, 1},
		{"outcome without issues", set(`"entry":[{"resource":{"resourceType":"OperationOutcome"}}]`), Suppressed, 0},
		{"error in its place", `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"timeout"}]}`,
			Failed, 0},
		{"entry without resource", set(`"entry":[{"fullUrl":"x"}]`), Partial, 0},
		{"entry of null beside results", set(`"entry":[null,` + obs + `]`), Partial, 1},
		{"resource of null", set(`"entry":[{"resource":null}]`), Partial, 0},
		{"rules of its own", set(`"implicitRules":"http://x.example/rules","entry":[` + obs + `]`), Partial, 1},
		{"rules that say nothing", set(`"implicitRules":null,"modifierExtension":[],` +
			`"entry":[` + obs + `]`), Complete, 1},
		{"batch", `{"resourceType":"Bundle","type":"batch-response","entry":[{"resource":` +
			set(`"total":1,"entry":[`+obs+`]`) + `,"response":{"status":"200 OK"}}]}`, Complete, 1},
		{"batch with a failure", `{"resourceType":"Bundle","type":"batch-response","entry":[{"response":{"status":"403"}},{"resource":` + set(`"entry":[`+obs+`]`) + `}]}`, Failed, 1},
		{"nested partial", `{"resourceType":"Bundle","entry":[{"resource":` + set(`"total":5,"entry":[`+obs+`]`) +
			`}]}`, Partial, 1},
		{"read", `{"resourceType":"Observation","id":"o1"}`, Complete, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := Parse(call(plainContext, `{"k":`+tt.value+`}`), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got := req.Prefetch[0]
			if got.Completeness != tt.want || got.Len() != tt.count {
				t.Errorf("%v with %d resources, want %v with %d", got.Completeness, got.Len(), tt.want, tt.count)
			}
			if tt.value == "null" {
				return
			}
			src, err := ParseSource("k", Limits{}, []byte(tt.value))
			if err != nil || src.Completeness != tt.want || src.Len() != tt.count {
				t.Errorf("fetched: %+v, %v", src, err)
			}
		})
	}
}

func TestParseSourcePages(t *testing.T) {
	page := func(id, rest string) []byte {
		return []byte(`{"resourceType":"Bundle","total":2,` + rest +
			`"entry":[{"resource":{"resourceType":"Observation","id":"` + id + `"}}]}`)
	}
	first, last := page("a", `"link":[{"relation":"next","url":"x"}],`), page("b", ``)
	for _, tt := range []struct {
		pages [][]byte
		want  Completeness
	}{
		{nil, NotSupplied}, {[][]byte{first}, Partial}, {[][]byte{last}, Partial}, {[][]byte{first, last}, Complete},
		{[][]byte{last, first}, Partial},
	} {
		src, err := ParseSource("labs", Limits{}, tt.pages...)
		if err != nil || src.Completeness != tt.want || src.Len() != len(tt.pages) {
			t.Errorf("%d pages: %v, %v", len(tt.pages), src, err)
		}
	}
	if _, err := ParseSource("labs", Limits{Resources: 1}, first, last); !errors.Is(err, ErrTooLarge) {
		t.Errorf("two pages, one resource allowed: %v", err)
	}
	if _, err := ParseSource("labs", Limits{}, []byte(`{"a":1,"a":2}`)); !errors.Is(err, ErrJSON) {
		t.Error(err)
	}
	if _, err := ParseSource("labs", Limits{Depth: 3}, []byte(`{"resourceType":"Basic","x":[[[]]]}`)); !errors.Is(err,
		ErrTooDeep) {
		t.Error(err)
	}
}

// seeds are requests to start fuzzing and mutating from.
func seeds() [][]byte {
	return [][]byte{
		call(plainContext, `{"a":null}`),
		[]byte(`{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","fhirAuthorization":{"access_token":"t\"\\","expires_in":1},"context":{"patientId":"Patient/x","selections":["a"],"draftOrders":{"resourceType":"Bundle","total":3,"entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"MedicationRequest","status":"draft","medicationReference":{"reference":"#m"},"contained":[{"resourceType":"Medication","id":"m","code":{"text":"x"}}]}}]}},"prefetch":{"m":{"resourceType":"Bundle","link":[{"relation":"next"}],"entry":[{"resource":{"resourceType":"MedicationDispense","id":"1","status":"completed","whenHandedOver":"2026-02","daysSupply":{"value":30}}},{"resource":{"resourceType":"Observation","id":"2","status":"final","code":{"coding":[{"system":"urn:oid:2.16.840.1.113883.6.1","code":"2160-0"}]},"valueQuantity":{"value":1.50,"unit":"mg/dL"}}}]}}}`),
	}
}

// sameRequest compares everything but the token.
func sameRequest(a, b *Request) bool {
	x, y := *a, *b
	x.Token, y.Token = Token{}, Token{}
	return reflect.DeepEqual(x, y)
}

// checkRequest asks everything there is of an accepted request.
func checkRequest(t interface{ Fatalf(string, ...any) }, req *Request) {
	again, err := Parse(req.Body, Limits{AnyInstance: true})
	if err != nil || !sameRequest(req, again) || !again.Token.IsZero() {
		t.Fatalf("parsing the blanked body again: %v", err)
	}
	c, err := New(Inputs{Request: req, Now: callTime, Zone: callTime.Location()})
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, typ := range []string{"Observation", "Condition", "Patient", "MedicationRequest", "Medication",
		"AllergyIntolerance"} {
		for _, r := range c.Resources(typ) {
			_ = c.Observation(r).Evidence()
			_ = c.Condition(r).Evidence()
			if len(r.Codings) > 0 && len(c.Find(typ, r.Codings[0])) == 0 {
				t.Fatalf("%s is not found by its own code", r.Ref())
			}
		}
		c.Complete(typ)
	}
	for _, e := range c.Exposures() {
		for _, grace := range []dates.Duration{{Days: 1}, {Days: 30}} {
			e.Now(grace)
			e.During(callTime.AddDate(0, 0, -14), callTime, grace)
		}
		e.StartedDuring(callTime.AddDate(0, 0, -14), callTime)
		_ = e.Evidence()
	}
	for _, o := range c.Orders() {
		_ = o.Name()
	}
	c.Patient()
	c.Selected()
}

// Wrong values anywhere are either refused or ignored; they never panic.
func TestMutations(t *testing.T) {
	values := []string{`null`, `7`, `-1.5e3`, `""`, `"x"`, `[]`, `[null]`, `[[{}]]`, `{}`, `{"a":1}`, `true`,
		`{"reference":7}`, `[{"coding":7}]`, `"2026-99-99"`, `1e999`}
	for _, body := range seeds() {
		for _, at := range spots(string(body)) {
			for _, v := range values {
				changed := []byte(string(body[:at[0]]) + v + string(body[at[1]:]))
				req, err := Parse(changed, Limits{})
				switch {
				case err == nil:
					checkRequest(t, req)
				case !errors.Is(err, ErrShape):
					t.Fatalf("%s: %v", changed, err)
				}
			}
		}
	}
}

// spots returns where every value of a text lies.
func spots(text string) (list [][2]int) {
	s := rawjson.Scanner{Src: text}
	var walk func()
	walk = func() {
		kind := s.Kind()
		start := s.Pos()
		switch kind {
		case '{', '[':
			for s.Enter(); s.More(); {
				if kind == '{' {
					s.Name()
				}
				walk()
			}
		default:
			s.Skip()
		}
		list = append(list, [2]int{start, s.Pos()})
	}
	walk()
	return list
}

// However the members are ordered, spaced and escaped, the token goes and
// the request is the same.
func TestSpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-zA-Z0-9"\\/]{1,40}`).Draw(t, "secret")
		quoted, err := jsontext.AppendQuote(nil, secret)
		if err != nil {
			t.Fatal(err)
		}
		space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
		name := rapid.SampledFrom([]string{`"access_token"`, `"access\u005ftoken"`, `"\u0061ccess_toke\u006E"`}).
			Draw(t, "name")
		members := []string{`"hook":"order-sign"`, `"hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002"`,
			`"context":` + plainContext,
			`"prefetch":{"labs":{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","id":"o"}}]}}`,
			`"fhirAuthorization"` + space + `:` + space + `{"scope":"x",` + space + name + space + `:` + space +
				string(quoted) + space + `}`, `"extension":{"access_token":"kept"}`}
		members = rapid.Permutation(members).Draw(t, "members")
		body := []byte(space + `{` + strings.Join(members, space+`,`+space) + space + `}`)
		req, err := Parse(body, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if req.Token.Reveal() != secret || !bytes.Contains(req.Body, []byte("kept")) || req.Prefetch[0].Len() != 1 {
			t.Fatalf("token %q of %s", req.Token.Reveal(), body)
		}
		if len(req.Body) != len(body)-len(quoted)+2 {
			t.Fatalf("body = %s", req.Body)
		}
		checkRequest(t, req)
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := Parse(body, Limits{AnyInstance: true, Resources: 100})
		if err != nil {
			if !errors.Is(err, ErrJSON) && !errors.Is(err, ErrShape) && !errors.Is(err, ErrTooDeep) &&
				!errors.Is(err, ErrTooLarge) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		checkRequest(t, req)
	})
}
