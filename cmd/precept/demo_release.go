package main

import (
	"bytes"
	"context"
	"os"

	"github.com/go-jose/go-jose/v4"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

func (d *demoRegion) makePacks(ctx context.Context) error {
	var terms *rulepacks.Pack
	for _, name := range demoPacks {
		p, err := rulepacks.ReadEmbedded(name)
		if err != nil {
			return err
		}
		d.packs[name] = p
		if p.Manifest.Kind == manifest.KindTerminology {
			terms = p
			d.say("built    %-20s %s  %d drug products        sha256 %.16s…", name, p.Manifest.Version,
				len(p.Terminology.Products), p.Digest)
		} else {
			if err := checkPack(p); err != nil {
				return err
			}
			if err := decide.CheckCases(ctx, p, terms); err != nil {
				return err
			}
			d.say("checked, tested and built %-20s %s  %3d cases hold  sha256 %.16s…", name, p.Manifest.Version,
				len(p.Cases), p.Digest)
		}
		var b bytes.Buffer
		if err := p.WriteArchive(&b); err != nil {
			return err
		}
		if err := os.WriteFile(d.path("packs", name+".tar.gz"), b.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (d *demoRegion) policy(t tenant.ID) (*tenant.Policy, error) {
	name := "ehr-" + string(t)
	jwks, err := jsonv2.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: d.keys[name].Public().Crypto(), KeyID: name, Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		return nil, err
	}
	p := &tenant.Policy{Tenant: t, Region: demoRegionID, Name: "Demo health system " + string(t), Language: "en",
		Zone:       fixtures.Zone,
		Parameters: map[string]map[string]jsontext.Value{"renal_dosing": {"egfr_max_age": jsontext.Value(`"P365D"`)}},
		Clients: []tenant.Client{{ID: "ehr", Issuer: demoIssuer(t), JWKS: jwks,
			Algorithms: []string{"ES256", "ES384"}, FHIRBase: demoFHIRBase}},
		Limits: tenant.Limits{DeadlineMS: 2000, RuleMS: 500}}
	for _, hook := range []string{"order-sign", "order-select"} {
		p.Services = append(p.Services, tenant.Service{ID: demoService, Hook: hook, Title: "Medication orders",
			Packs: demoRulePacks, Prefetch: decide.StandardPrefetch(),
			Description: "Checks medication orders against the rules the health system has activated."})
	}
	return p, nil
}

func (d *demoRegion) applyPolicies(ctx context.Context) error {
	for _, t := range demoTenants {
		operator, approver, _ := demoPersons(t)
		p, err := d.policy(t)
		if err != nil {
			return err
		}
		raw, err := jsonv2.Marshal(p, jsonv2.Deterministic(true))
		if err != nil {
			return err
		}
		if err := os.WriteFile(d.path("policies", string(t)+".json"), raw, 0o600); err != nil {
			return err
		}
		s := statement.Statement{Predicate: statement.TenantPolicy{Tenant: statement.Tenant(t), Region: demoRegionID, Seq: 1,
			Policy: raw}}
		env, err := d.sign("statements/policy-"+string(t), s, operator, approver)
		if err != nil {
			return err
		}
		root, err := os.ReadFile(d.statementFile("roots/publisher"))
		if err != nil {
			return err
		}
		if err := d.apply(ctx, t, operator, root, env.Bytes()); err != nil {
			return err
		}
	}
	d.say("applied the policies of both tenants, each signed by its operator and its approver")
	return nil
}

// place gives both tenants their home: this region, by the certificate of its keys.
func (d *demoRegion) place(ctx context.Context) error {
	var certificate statement.RegionCertificate
	for _, t := range demoTenants {
		operator, approver, _ := demoPersons(t)
		c, err := d.as(t, operator, "")
		if err != nil {
			return err
		}
		status, err := c.Status(ctx)
		if err != nil {
			return err
		}
		env, err := signing.ReadEnvelope([]byte(status.Certificate))
		if err != nil {
			return err
		}
		if certificate, err = env.Certificate(); err != nil {
			return err
		}
		if err := os.WriteFile(d.statementFile("statements/region-certificate"), env.Bytes(), 0o600); err != nil {
			return err
		}
		placement, err := d.sign("statements/placement-"+string(t),
			statement.Statement{Predicate: statement.Placement{Tenant: statement.Tenant(t), Epoch: 1,
				Certificate: certificate, PlacedAt: d.now}}, operator, approver)
		if err != nil {
			return err
		}
		if err := d.apply(ctx, t, operator, placement.Bytes()); err != nil {
			return err
		}
	}
	d.say("placed both tenants in %s, by the keys of its certificate  sha256 %.16s…", certificate.Region,
		certificate.Digest())
	return nil
}

func (d *demoRegion) apply(ctx context.Context, t tenant.ID, by trust.PersonID, envelopes ...[]byte) error {
	c, err := d.as(t, by, "")
	if err != nil {
		return err
	}
	for _, e := range envelopes {
		if _, err := c.Apply(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// release has the author sign each pack, the reviewer approve it, and uploads
// pack and statements to both tenants.
func (d *demoRegion) release(ctx context.Context) error {
	for _, name := range demoPacks {
		p := d.packs[name]
		m := p.Manifest
		effective := statement.Period{Start: m.EffectivePeriod.Start, End: m.EffectivePeriod.End}
		release, err := d.sign("statements/release-"+name,
			statement.Statement{Archive: packDigest(p), Predicate: statement.PackRelease{
				Publisher: demoPublisher, Pack: statement.Pack(name), Version: m.Version, Seq: 1,
				PackKind: statement.PackKind(m.Kind), Library: m.Library, IssuedAt: d.now,
				EffectivePeriod: effective, ChangeSummary: "First release."}}, demoAuthor)
		if err != nil {
			return err
		}
		review, err := d.sign("statements/review-"+name,
			statement.Statement{Archive: packDigest(p), Predicate: statement.ClinicalReview{
				Pack: statement.Pack(name), Version: m.Version, Decision: statement.Approve,
				Role: "demonstration, not a clinician", ReviewedAt: d.now, ValidUntil: d.now.AddDate(1, 0, 0),
				Conditions: []string{"For demonstration only."}}}, demoReviewer)
		if err != nil {
			return err
		}
		archive, err := os.ReadFile(d.path("packs", name+".tar.gz"))
		if err != nil {
			return err
		}
		for _, t := range demoTenants {
			operator, _, _ := demoPersons(t)
			c, err := d.as(t, operator, "")
			if err != nil {
				return err
			}
			if err := c.PutPack(ctx, string(p.Digest), archive); err != nil {
				return err
			}
			if err := d.apply(ctx, t, operator, release.Bytes(), review.Bytes()); err != nil {
				return err
			}
		}
		d.say("released %-20s signed by its author, approved by the reviewer", name)
	}
	return nil
}

func (d *demoRegion) activate(ctx context.Context) error {
	for _, name := range demoPacks {
		p := d.packs[name]
		library := ""
		if p.Manifest.Kind == manifest.KindRules {
			library = clinical.Newest().Version()
		}
		for _, t := range demoTenants {
			operator, approver, _ := demoPersons(t)
			env, err := d.sign("statements/activation-"+name+"-"+string(t),
				statement.Statement{Archive: packDigest(p), Predicate: statement.Activation{
					Tenant: statement.Tenant(t), Region: demoRegionID, Pack: statement.Pack(name),
					Version: p.Manifest.Version, Seq: 1, Mode: statement.Active, Library: library,
					InputsUnknown: []string{}}}, approver)
			if err != nil {
				return err
			}
			if err := d.apply(ctx, t, operator, env.Bytes()); err != nil {
				return err
			}
		}
		d.say("activated %-19s for both tenants, signed by their approvers", name)
	}
	return nil
}
