package chart

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestCanonicalBase(t *testing.T) {
	for address, want := range map[string]string{
		"https://ehr.example/fhir/R4":             "https://ehr.example/fhir/R4",
		"HTTPS://EHR.Example/fhir/R4/":            "https://ehr.example/fhir/R4",
		"https://ehr.example:443/fhir/R4//":       "https://ehr.example/fhir/R4",
		"http://ehr.example:80":                   "http://ehr.example",
		"http://ehr.example:443/x":                "http://ehr.example:443/x",
		"https://ehr.example:8443/fhir":           "https://ehr.example:8443/fhir",
		"https://ehr.example/fhir/%524":           "https://ehr.example/fhir/R4",
		"https://ehr.example/f%68ir/a%2fb":        "https://ehr.example/fhir/a%2Fb",
		"https://ehr.example/fhir/é":              "https://ehr.example/fhir/%C3%A9",
		"https://ehr.example/fhir/%c3%a9":         "https://ehr.example/fhir/%C3%A9",
		"https://ehr.example/fhir/R4/../R5":       "",
		"https://ehr.example/fhir/./R4":           "",
		"https://ehr.example/fhir/%2e%2e/R4":      "",
		"https://user@ehr.example/fhir":           "",
		"https://ehr.example/fhir?x=1":            "",
		"https://ehr.example/fhir?":               "",
		"https://ehr.example/fhir#x":              "",
		"https://ehr.example/fhir#":               "",
		"ftp://ehr.example/fhir":                  "",
		"https:///fhir":                           "",
		"ehr.example/fhir":                        "",
		"https://ehr.example/%zz":                 "",
		"":                                        "",
		"https://[2001:DB8::1]:443/fhir":          "https://[2001:db8::1]/fhir",
		"https://ehr.example/well-known/.x/.../y": "https://ehr.example/well-known/.x/.../y",
	} {
		if got, ok := CanonicalBase(address); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", address, got, ok, want)
		}
	}
}

// spellings are ways to write Patient/p1 of https://ehr.example/fhir/R4.
var spellings = []string{
	"Patient/p1", "Patient/p1/", "Patient/p1/_history/3", "Patient/%701", "https://ehr.example/fhir/R4/Patient/p1",
	"https://ehr.example/fhir/R4/Patient/p1/_history/2", "HTTPS://EHR.EXAMPLE/fhir/R4/Patient/p1",
	"https://ehr.example:443/fhir/R4/Patient/p1", "https://ehr.example/fhir/%52%34/Patient/p%31",
	"https://ehr.example/fhir/R4/Patient/p1/",
}

// strangers are references that are none to that patient, or not to be told so.
var strangers = []string{
	"Patient/p2", "Patient/P1", "patient/p1", "Patient/p10", "Patient/p10/_history/p1", "Patient/p1/extra",
	"Patient/p1?x", "Patient/p1#x", "Patient?identifier=p1",
	"/Patient/p1", "./Patient/p1", "Group/p1", "p1", "Patient/",
	"http://ehr.example/fhir/R4/Patient/p1", "https://ehr.example/fhir/Patient/p1",
	"https://ehr.example/fhir/R40/Patient/p1", "https://ehr.example/FHIR/R4/Patient/p1",
	"https://ehr.example:8443/fhir/R4/Patient/p1", "https://ehr.example.evil.example/fhir/R4/Patient/p1",
	"https://evil.example/https://ehr.example/fhir/R4/Patient/p1", "https://a@ehr.example/fhir/R4/Patient/p1",
	"https://ehr.example/fhir/R4/Patient/p2/../p1", "https://other.example/fhir/R4/Patient/p1",
	"urn:uuid:p1", "urn:uuid:11d1ed76-5b6e-11ee-8c99-0242ac120002", "#p1", "#", "", "Patient/p1|2",
}

func TestLocalReference(t *testing.T) {
	const base = "https://ehr.example/fhir/R4"
	for _, ref := range spellings {
		if got, ok := LocalReference(base, ref); got != "Patient/p1" || !ok {
			t.Errorf("%s: %q, %v", ref, got, ok)
		}
		if id, ok := LocalID(base, "Patient", ref); id != "p1" || !ok {
			t.Errorf("%s has the id %q, %v", ref, id, ok)
		}
	}
	for _, ref := range strangers {
		if got, ok := LocalReference(base, ref); ok && got == "Patient/p1" {
			t.Errorf("%s is read as %s", ref, got)
		}
	}
	if id, ok := LocalID(base, "Patient", "p%31"); id != "p1" || !ok {
		t.Errorf("an encoded id is %q, %v", id, ok)
	}
	if _, ok := LocalReference("", spellings[4]); ok {
		t.Error("an address is local to no server")
	}
}

// TestParseIdentity holds that a call is about a patient of the registered server,
// however that is written.
func TestParseIdentity(t *testing.T) {
	parse := func(server, patient string) (*Request, error) {
		return Parse([]byte(`{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","fhirServer":`+
			server+`,"context":{"patientId":"`+patient+`","encounterId":"`+
			strings.ReplaceAll(patient, "Patient", "Encounter")+`"}}`), Limits{Base: "https://EHR.example:443/fhir/R4"})
	}
	servers := []string{`null`, `"https://ehr.example/fhir/R4"`, `"https://ehr.example/fhir/R4/"`,
		`"HTTPS://EHR.EXAMPLE:443/fhir/%524"`}
	for _, server := range servers {
		for _, patient := range append([]string{"p1"}, spellings...) {
			req, err := parse(server, patient)
			if err != nil || req.PatientID != "p1" || req.EncounterID != "p1" ||
				server != "null" && req.FHIRServer != "https://ehr.example/fhir/R4" {
				t.Errorf("%s, %s: %+v, %v", server, patient, req, err)
			}
		}
	}
	for _, server := range []string{`"http://ehr.example/fhir/R4"`, `"https://other.example/fhir/R4"`, `"x"`,
		`"https://ehr.example/fhir"`} {
		var at *ServerError
		_, err := parse(server, "p1")
		if !errors.Is(err, ErrServer) || !errors.As(err, &at) || at.Path != "fhirServer" {
			t.Errorf("%s: %v", server, err)
		}
	}
	for patient, want := range map[string]error{
		"https://other.example/fhir/R4/Patient/p1": ErrServer, "Group/p1": ErrShape, "Patient/": ErrShape,
		"Patient/p1/x": ErrShape, "p%zz": ErrShape,
	} {
		if _, err := parse(servers[1], patient); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", patient, err, want)
		}
	}
}

func FuzzReference(f *testing.F) {
	for _, list := range [][]string{spellings, strangers} {
		for _, ref := range list {
			f.Add("https://ehr.example/fhir/R4", ref)
		}
	}
	f.Fuzz(func(t *testing.T, address, ref string) {
		base, ok := CanonicalBase(address)
		if again, still := CanonicalBase(base); ok && (!still || again != base) {
			t.Fatalf("%q is %q, and that %q, %v", address, base, again, still)
		}
		local, ok := LocalReference(base, ref)
		if !ok {
			return
		}
		typ, id, whole := splitRef(local)
		if !whole || strings.ContainsAny(id, "/?#%") {
			t.Fatalf("%q is %q", ref, local)
		}
		if again, still := LocalReference(base, local); !still || again != local {
			t.Fatalf("%q is %q, and that %q, %v", ref, local, again, still)
		}
		if found, ok := LocalID(base, typ, ref); !ok || found != id {
			t.Fatalf("the id of %q is %q, %v", ref, found, ok)
		}
		if u, err := url.Parse(ref); absolute(ref) && (err != nil || !strings.HasPrefix(base, u.Scheme+"://")) {
			t.Fatalf("%q is said to be of %q", ref, base)
		}
	})
}
