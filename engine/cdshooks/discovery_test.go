package cdshooks

import (
	"errors"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestDiscoveryKeepsOrder(t *testing.T) {
	want := `{"services":[{"hook":"order-sign","description":"Checks orders","id":"orders",` +
		`"prefetch":{"z":"Patient/{{context.patientId}}","a":"Condition?patient={{context.patientId}}"}}]}`
	d := Discovery{Services: []Service{{
		Hook: "order-sign", Description: "Checks orders", ID: "orders",
		Prefetch: Templates{{"z", "Patient/{{context.patientId}}"}, {"a", "Condition?patient={{context.patientId}}"}},
	}}}
	got, err := d.Marshal()
	if err != nil || string(got) != want {
		t.Fatalf("%s, %v", got, err)
	}
	var back Discovery
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if again, err := back.Marshal(); err != nil || string(again) != want {
		t.Errorf("%s, %v", again, err)
	}
	if b, err := (Discovery{}).Marshal(); err != nil || string(b) != `{"services":[]}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestDiscoveryRefuses(t *testing.T) {
	good := Service{Hook: "order-sign", Description: "Checks", ID: "orders"}
	for name, services := range map[string][]Service{
		"no description": {{Hook: "order-sign", ID: "orders"}},
		"twice":          {good, good},
		"empty query":    {{Hook: "order-sign", Description: "Checks", ID: "orders", Prefetch: Templates{{"a", ""}}}},
	} {
		if _, err := (Discovery{services}).Marshal(); !errors.Is(err, ErrDiscovery) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := Service{Hook: "order-select", Description: "Checks", ID: "orders"}
	if _, err := (Discovery{[]Service{good, other}}).Marshal(); err != nil {
		t.Errorf("one id for two hooks: %v", err)
	}
	for _, bad := range []string{`{"services":[{"prefetch":[]}]}`, `{"services":[{"prefetch":{"a":1}}]}`,
		`{"services":[{"prefetch":{"a":"b","a":"c"}}]}`, `{"services":[{"prefetch":{"a"`} {
		if err := json.Unmarshal([]byte(bad), new(Discovery)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func TestCheckTemplate(t *testing.T) {
	for template, ok := range map[string]bool{
		"Patient/{{context.patientId}}": true,
		"{{context.userId}}":            true,
		"Patient/example":               true,
		"Observation?patient={{context.patientId}}&category=laboratory&_count=50":  true,
		"Observation?code=http://loinc.org%7C2160-0&_sort=-date&date=ge2025-01-01": true,
		"MedicationRequest?patient={{context.patientId}}&status=active,on-hold":    true,
		"Condition?code:in=http://x.example/vs":                                    true,
		"Practitioner?_id={{userPractitionerId}}":                                  true,
		"Observation?performer={{context.userId}}":                                 true,
		"{{context.patientId}}":                                                    false,
		"Practitioner/{{context.userId}}":                                          false,
		"Patient/{{context.draftOrders}}":                                          false,
		"Patient/{{context.patientId.x}}":                                          false,
		"Patient/{context.patientId}":                                              false,
		"Patient/{{patientId}}":                                                    false,
		"Patient/{{today()}}":                                                      false,
		"Observation?code=http://loinc.org|2160-0":                                 false,
		"Observation?date=ne2024":                                                  false,
		"Observation?_include=Observation:subject":                                 false,
		"Observation?sort:desc=date":                                               false,
		"Observation?subject.name=x":                                               false,
		"Observation?patient":                                                      false,
		"Observation?patient=%zz":                                                  false,
		"observation?patient=x":                                                    false,
		"Observation":                                                              false,
		"":                                                                         false,
		"Patient/\x01":                                                             false,
	} {
		if err := CheckTemplate("order-sign", template); (err == nil) != ok ||
			err != nil && !errors.Is(err, ErrTemplate) {
			t.Errorf("%q: %v", template, err)
		}
	}
	if err := CheckTemplate("order-dispatch", "Practitioner?_id={{context.userId}}"); err == nil {
		t.Error("order-dispatch has no user")
	}
	if err := CheckTemplate("com.example.own", "Patient/{{context.subjectId}}"); err != nil {
		t.Errorf("own hook: %v", err)
	}
}

func FuzzCheckTemplate(f *testing.F) {
	f.Add("order-sign", "Observation?patient={{context.patientId}}&code=http://loinc.org%7C2160-0")
	f.Add("x", "{{context.userId}}")
	f.Fuzz(func(t *testing.T, hook, template string) {
		if err := CheckTemplate(hook, template); err != nil && !errors.Is(err, ErrTemplate) {
			t.Fatal(err)
		}
	})
}
