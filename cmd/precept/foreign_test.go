package main

import (
	"errors"
	"os"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/precept-cds/precept/api/client"
)

// TestForeignTenantIsMisdirected asks for a tenant that lives in another
// region: whoever asks is told so, and nothing is evaluated.
func TestForeignTenantIsMisdirected(t *testing.T) {
	d := newRegion(t)
	c, err := readConfig(d.config)
	if err != nil {
		t.Fatal(err)
	}
	c.Tenants = append(c.Tenants, tenantConfig{ID: "munich", Region: "eu-central"})
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	startNode(t, d)
	ehr, err := client.NewEHR(client.EHRConfig{URL: d.public, Tenant: "munich", Issuer: demoIssuer("munich"),
		KeyID: "ehr-north", Key: d.keys["ehr-north"].Crypto(), Algorithm: "ES256", Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ehr.Call(t.Context(), demoService, []byte(`{}`))
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != 421 || p.Code != "wrong-region" {
		t.Errorf("calling a tenant of another region: %v", err)
	}
	if _, err := ehr.Discover(t.Context()); !errors.As(err, &p) || p.Status != 421 {
		t.Errorf("discovering a tenant of another region: %v", err)
	}
}
