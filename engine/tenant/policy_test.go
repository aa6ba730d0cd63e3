package tenant

import (
	"errors"
	"strings"
	"testing"
)

const policy = `{"tenant":"north","region":"us-east","name":"North Health",
 "services":[{"id":"orders","hook":"order-sign","description":"Checks orders","packs":["renal_dosing"],
   "prefetch":[{"key":"labs","query":"Observation?patient={{context.patientId}}","types":["Observation"]}]}],
 "clients":[{"id":"ehr","issuer":"https://ehr.north.example","jwks":{"keys":[]},"algorithms":["ES256"],"fhirBase":"https://ehr.north.example/fhir"}]}`

func TestParseDefaults(t *testing.T) {
	p, err := Parse([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	if p.Language != "en" || p.Zone != "UTC" || p.Limits.DeadlineMS != 1000 || p.Limits.BodyBytes != 8<<20 ||
		p.Clients[0].Dialect != Dialect2 {
		t.Errorf("defaults missing: %+v", p)
	}
	if _, ok := p.Service("orders", "order-select"); ok {
		t.Error("a service answered for a hook it does not have")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new string }{
		{"unknown member", `"name"`, `"nane"`},
		{"duplicate name", `"name":"North Health"`, `"name":"North Health","name":"South"`},
		{"bad tenant", `"north"`, `"../north"`},
		{"no region", `"us-east"`, `""`},
		{"symmetric algorithm", `ES256`, `HS256`},
		{"no algorithm", `none`, `none`},
		{"no packs", `["renal_dosing"]`, `[]`},
		{"relative FHIR base", `https://ehr.north.example/fhir`, `/fhir`},
		{"slash at the end", `example/fhir"`, `example/fhir/"`},
		{"deadline of an hour", `"name":"North Health"`, `"name":"n","limits":{"deadlineMs":3600000}`},
		{"unknown capture", `"name":"North Health"`, `"name":"n","capture":"some"`},
		{"unknown dialect", `"algorithms"`, `"dialect":"9","algorithms"`},
	} {
		raw := strings.Replace(policy, c.old, c.new, 1)
		if c.name == "no algorithm" {
			raw = strings.Replace(policy, `["ES256"]`, `["none"]`, 1)
		}
		if _, err := Parse([]byte(raw)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestResides(t *testing.T) {
	if err := Resides("us-east", "us-east"); err != nil {
		t.Error(err)
	}
	for _, home := range []Region{"eu-central", "", "US-EAST"} {
		if err := Resides(home, "us-east"); !errors.Is(err, ErrResidency) {
			t.Errorf("%q: %v", home, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(policy))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Parse(raw)
		if err == nil && (p.Tenant == "" || p.Region == "" || p.Limits.DeadlineMS == 0) {
			t.Fatal("an incomplete policy was accepted")
		}
	})
}

func TestCeiling(t *testing.T) {
	p := &Policy{Limits: Limits{Cards: 20}, Clients: []Client{{ID: "a", TokenSeconds: 900}, {ID: "b", TokenSeconds: 60}}}
	low := Ceiling{Limits: Limits{Cards: 10}, TokenSeconds: 300}
	err := low.Allows(p)
	if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), "cards 20") ||
		!strings.Contains(err.Error(), `client "a": tokenSeconds 900`) || strings.Contains(err.Error(), `"b"`) {
		t.Errorf("above the ceiling: %v", err)
	}
	c := low.Cap(p)
	if c.Limits.Cards != 10 || c.Clients[0].TokenSeconds != 300 || c.Clients[1].TokenSeconds != 60 ||
		p.Clients[0].TokenSeconds != 900 {
		t.Errorf("capped: %+v of %+v", c, p)
	}
	if err := (Ceiling{}).Allows(p); err != nil {
		t.Errorf("without a ceiling: %v", err)
	}
}
