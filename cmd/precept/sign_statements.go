package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// The statements that people sign, one function each; sign.go makes commands
// of them.

func signRelease() signStatement {
	var p statement.PackRelease
	return signStatement{
		use: "release PACK", short: "sign as an author that these bytes are this version of a pack",
		long: `Release signs the bytes of a pack under its name and version. What it says of the
pack is read from the pack itself. Another person reviews it.`,
		example: `  precept sign release renal_dosing.tar.gz --publisher content --seq 1 \
    --summary "First release." --key ada.pem -o release.jsonl`,
		required: []string{"publisher", "seq", "summary"},
		flags: func(fl *pflag.FlagSet) {
			fl.StringVar((*string)(&p.Publisher), "publisher", "", "publisher whose root lists the authors")
			seqFlag(fl, &p.Seq, "counts the releases of the pack, from 1")
			fl.StringVar((*string)(&p.Supersedes), "supersedes", "", "sha256 of the previous release, if there is one")
			fl.StringVar(&p.ChangeSummary, "summary", "", "what changed, for reviewers and users")
		},
		make: ofPack(func(m *manifest.Manifest, now time.Time) (statement.Predicate, error) {
			p.Pack, p.Version, p.PackKind = statement.Pack(m.Name), m.Version, statement.PackKind(m.Kind)
			p.Library, p.IssuedAt = m.Library, now
			p.EffectivePeriod = statement.Period{Start: m.EffectivePeriod.Start, End: m.EffectivePeriod.End}
			return p, nil
		}),
	}
}

func signReview() signStatement {
	p := statement.ClinicalReview{Conditions: []string{}}
	var validUntil, valid string
	var waive []string
	return signStatement{
		use: "review PACK", short: "sign a clinical judgement of exactly these bytes of a pack",
		long: `Review signs that a clinician approves or rejects a pack. The reviewer must
not have signed the release. Approvals count if the reviewer is of the pack's own
publisher. One rejection in force blocks every activation; it is in force while the
reviewer has the role, at that publisher or at one that the tenant's root hears.

A server runs the golden cases itself and refuses a pack with a rule that they do not
show true, false and unknown each. With --waive a reviewer accepts that, by name; it
takes as many reviewers as an approval does. precept pack check lists what is not shown.`,
		example: `  precept pack show renal_dosing.tar.gz
  precept sign review renal_dosing.tar.gz --decision approve --role "clinical pharmacist" \
    --valid P365D --key rosa.pem -o review.jsonl`,
		required: []string{"decision", "role"}, oneOf: []string{"valid", "valid-until"},
		flags: func(fl *pflag.FlagSet) {
			fl.StringVar((*string)(&p.Decision), "decision", "", "approve or reject")
			fl.StringVar(&p.Role, "role", "", `discipline of the reviewer, e.g. "clinical pharmacist"`)
			fl.StringVar(&validUntil, "valid-until", "", "end of the approval for new activations: a time or a day")
			fl.StringVar(&valid, "valid", "", "the same as a duration from now, e.g. P365D")
			fl.StringArrayVar(&p.Conditions, "condition", p.Conditions,
				"a condition of the approval; repeat it for several")
			fl.StringArrayVar(&waive, "waive", nil,
				"RULE:STATE[,STATE]:REASON, what no golden case need show; repeat it for several rules")
		},
		make: ofPack(func(m *manifest.Manifest, now time.Time) (_ statement.Predicate, err error) {
			flag, end := "--valid-until", validUntil
			if valid != "" {
				flag, end = "--valid", valid
			}
			p.Pack, p.Version, p.ReviewedAt = statement.Pack(m.Name), m.Version, now
			if p.ValidUntil, err = until(flag, end, now); err != nil {
				return nil, err
			}
			for _, text := range waive {
				w, err := waiver(text)
				if err != nil {
					return nil, err
				}
				p.Waives = append(p.Waives, w)
			}
			return p, nil
		}),
	}
}

// waiver reads RULE:STATE,STATE:REASON. What the parts may be, the statement checks.
func waiver(text string) (statement.Waiver, error) {
	rule, rest, _ := strings.Cut(text, ":")
	states, reason, ok := strings.Cut(rest, ":")
	if !ok {
		return statement.Waiver{}, fmt.Errorf("--waive %q: want RULE:STATE,STATE:REASON, such as "+
			`"egfr-needed:unknown:reads nothing that can be missing"`, text)
	}
	return statement.Waiver{Rule: rule, States: strings.Split(states, ","), Reason: strings.TrimSpace(reason)}, nil
}

func signActivation() signStatement {
	p := statement.Activation{InputsUnknown: []string{}}
	var from, to string
	return signStatement{
		use: "activation PACK", short: "sign as an approver that a pack works for a tenant",
		long: `Activation signs that a released and reviewed pack goes live, or with --mode off
that it stops. It names the number of the activation and what was in force before,
so that an old one cannot be replayed. Rolling back is a new activation of an
older pack; precept status shows both values.`,
		example: `  precept sign activation renal_dosing.tar.gz --tenant north --region us-east --seq 1 \
    --key amir.pem -o activation.jsonl`,
		required: []string{"tenant", "region", "seq"},
		flags: func(fl *pflag.FlagSet) {
			tenantFlags(fl, &p.Tenant, &p.Region)
			seqFlag(fl, &p.Seq, "1 for the tenant's first activation of the pack, then one more each time")
			fl.StringVar((*string)(&p.Previous), "previous", "", "sha256 of the pack that is in force now, if one is")
			fl.StringVar((*string)(&p.Mode), "mode", string(statement.Active), "active, shadow or off")
			fl.StringVar(&from, "from", "", "when it begins; default immediately")
			fl.StringVar(&to, "until", "", "when it ends; default never")
			fl.StringSliceVar(&p.InputsUnknown, "inputs-unknown", p.InputsUnknown,
				"resource types that no prefetch delivers and whose absence the approvers accept")
		},
		make: ofPack(func(m *manifest.Manifest, _ time.Time) (_ statement.Predicate, err error) {
			if p.ActivateAt, err = moment("from", from); err != nil {
				return nil, err
			}
			if p.DeactivateAt, err = moment("until", to); err != nil {
				return nil, err
			}
			p.Pack, p.Version = statement.Pack(m.Name), m.Version
			if m.Kind == manifest.KindRules {
				p.Library = clinical.Newest().Version()
			}
			return p, nil
		}),
	}
}

func signSuspension() signStatement {
	var p statement.Suspension
	return signStatement{
		use: "suspension", short: "sign that a rule or a pack is out of service",
		long: `Suspension takes a rule, or a whole pack, out of service immediately. One revoker or
approver is enough. A resumption lifts it.`,
		example: `  precept sign suspension --tenant north --region us-east --pack renal_dosing \
    --rule metformin-caution --reason "false alarms" --key amir.pem -o suspension.jsonl`,
		required: []string{"tenant", "region", "pack", "reason"},
		flags: func(fl *pflag.FlagSet) {
			tenantFlags(fl, &p.Tenant, &p.Region)
			fl.StringVar((*string)(&p.Pack), "pack", "", "name of the pack")
			fl.StringVar(&p.Rule, "rule", "", "name of the rule; default the whole pack")
			fl.StringVar(&p.Reason, "reason", "", "why")
		},
		make: func(_ string, now time.Time) (statement.Statement, error) {
			p.SuspendedAt = now
			return statement.Statement{Predicate: p}, nil
		},
	}
}

func signResumption() signStatement {
	var p statement.Resumption
	return signStatement{
		use: "resumption", short: "sign that a suspension is lifted",
		example: `  precept sign resumption --tenant north --region us-east --lifts SHA256-OF-THE-SUSPENSION \
    --reason "fixed" --key amir.pem -o resumption.jsonl`,
		required: []string{"tenant", "region", "lifts", "reason"},
		flags: func(fl *pflag.FlagSet) {
			tenantFlags(fl, &p.Tenant, &p.Region)
			fl.StringVar((*string)(&p.Lifts), "lifts", "", "sha256 of the suspension, as precept sign show prints it")
			fl.StringVar(&p.Reason, "reason", "", "why")
		},
		make: func(_ string, now time.Time) (statement.Statement, error) {
			p.ResumedAt = now
			return statement.Statement{Predicate: p}, nil
		},
	}
}

func signRevocation() signStatement {
	p := statement.Revocation{Action: statement.Revoke}
	targets := map[statement.TargetType]*string{
		statement.TargetDigest: new(string), statement.TargetKey: new(string), statement.TargetPerson: new(string)}
	var effective string
	return signStatement{
		use: "revoke", short: "sign that a pack, a key or a person is out of use",
		long: `Revoke takes a pack, a key or a person out of use in one tenant. One revoker or
approver is enough. With --action suspend it can be lifted; otherwise it is final,
and whatever rests on signatures made from --effective on is withdrawn.`,
		example: `  precept sign revoke --tenant north --region us-east --lost-key KEY-ID \
    --effective 2026-03-01T00:00:00Z --reason "laptop stolen" --key olga.pem -o revocation.jsonl`,
		required: []string{"tenant", "region", "reason"}, oneOf: []string{"pack-sha256", "lost-key", "person"},
		flags: func(fl *pflag.FlagSet) {
			tenantFlags(fl, &p.Tenant, &p.Region)
			fl.StringVar(targets[statement.TargetDigest], "pack-sha256", "", "pack to take out of use")
			fl.StringVar(targets[statement.TargetKey], "lost-key", "", "id of the key to take out of use")
			fl.StringVar(targets[statement.TargetPerson], "person", "", "person to take out of use")
			fl.StringVar((*string)(&p.Action), "action", string(statement.Revoke), "revoke, which is final, or suspend")
			fl.StringVar(&p.Reason, "reason", "", "why")
			fl.StringVar(&effective, "effective", "", "from when; may be in the past; default now")
		},
		make: func(_ string, now time.Time) (_ statement.Statement, err error) {
			for kind, value := range targets {
				if *value != "" { // one of them: oneOf
					p.Target = statement.Target{Type: kind, Value: *value}
				}
			}
			if p.EffectiveAt, err = moment("effective", effective); p.EffectiveAt.IsZero() {
				p.EffectiveAt = now
			}
			return statement.Statement{Predicate: p}, err
		},
	}
}

func signRoot() signStatement {
	return signStatement{
		use: "root FILE", short: "sign a trust root: who may sign what",
		long: `Root signs who the persons of a publisher or a tenant are, which roles they have
and how many of them must sign. Its digest is what others pin. FILE is YAML:

  kind: tenant                  # or publisher
  name: north
  version: 1                    # the next one is 2, signed by the admins of both
  expires: P365D
  persons:
    - {id: olga@north.example, name: Olga, keys: [{file: olga.pub}]}
    - {id: amir@north.example, name: Amir, keys: [{file: amir.pub}]}
  roles:                        # of a publisher: author, clinical-reviewer, ci, root-admin
    operator: {persons: [olga@north.example]}
    approver: {persons: [amir@north.example]}
    revoker: {persons: [olga@north.example, amir@north.example]}
    auditor: {persons: [olga@north.example]}
    root-admin: {threshold: 2, persons: [olga@north.example, amir@north.example]}
  trustedPublishers:
    content: publisher.jsonl    # its signed root, or the digest of it
  reviewsFrom: []               # of these, whose rejections of others' packs block, too
  regions: [us-east, us-west]   # in which a placement may name the tenant's home

A person may have identities: other names of the same person, such as another
address, orcid:0000-0002-1825-0097 or a page. Each has one spelling, which the
refusal of another shows. Persons that look alike are named in a warning.`,
		example: "  precept sign root north.yaml --key olga.pem --key amir.pem -o north.jsonl",
		make: func(path string, now time.Time) (statement.Statement, error) {
			root, err := readRoot(path, now)
			if err != nil {
				return statement.Statement{}, fmt.Errorf("reading trust root %s: %w", path, err)
			}
			return statement.Statement{Predicate: *root}, nil
		},
	}
}

func signPolicy() signStatement {
	var p statement.TenantPolicy
	return signStatement{
		use: "policy FILE", short: "sign a tenant's policy: services, EHR clients, limits, parameters",
		long: `Policy signs how Precept serves a tenant. It needs an operator and an approver of
the tenant's root, two persons. FILE is YAML or JSON, for example

  tenant: north
  region: us-east
  name: North Health
  services:
    - id: medication
      hook: order-sign
      description: Checks medication orders.
      packs: [renal_dosing]
      prefetch:
        - {key: labs, query: "Observation?patient={{context.patientId}}", types: [Observation]}
  clients:
    - id: ehr
      issuer: https://ehr.north.example
      fhirBase: https://ehr.north.example/fhir
      algorithms: [ES256]
      jwks: {keys: []}          # the EHR's public keys, as precept keys show prints them
  parameters:
    renal_dosing: {egfr_max_age: P180D}`,
		example: `  precept sign policy north.yaml --tenant north --region us-east --seq 1 \
    --key olga.pem --key amir.pem -o policy.jsonl`,
		required: []string{"tenant", "region", "seq"},
		flags: func(fl *pflag.FlagSet) {
			tenantFlags(fl, &p.Tenant, &p.Region)
			seqFlag(fl, &p.Seq, "1 for the first policy of a tenant, then one more each time")
		},
		make: func(path string, _ time.Time) (_ statement.Statement, err error) {
			if p.Policy, err = readPolicy(path, p); err != nil {
				return statement.Statement{}, fmt.Errorf("reading policy %s: %w", path, err)
			}
			return statement.Statement{Predicate: p}, nil
		},
	}
}

func signPlacement() signStatement {
	var p statement.Placement
	return signStatement{
		use: "placement CERTIFICATE", short: "sign where a tenant lives, by the certificate of the region",
		long: `Placement signs which region is the tenant's home. It needs an operator and an
approver of the tenant's root, two persons, and the root must allow the region. The
certificate is the region's (precept keys region-certificate); compare its digest with
the one that the operator of the region tells you by another way.

Epochs count a tenant's placements in all regions: precept status shows the newest that
a region knows. To move, apply the placement to the region that the tenant leaves first,
then to the one that it moves to. A region that was not shown it does not know.`,
		example: `  precept sign placement us-east.jsonl --tenant north --epoch 1 --key olga.pem --key amir.pem \
    -o placement.jsonl`,
		required: []string{"tenant", "epoch"},
		flags: func(fl *pflag.FlagSet) {
			fl.StringVar((*string)(&p.Tenant), "tenant", "", "tenant that the statement is for")
			fl.Uint64Var(&p.Epoch, "epoch", 0, "1 for the tenant's first placement, then a higher one each time")
		},
		make: func(path string, now time.Time) (statement.Statement, error) {
			env, err := readEnvelope(path)
			if err != nil {
				return statement.Statement{}, err
			}
			p.PlacedAt = now
			if p.Certificate, err = env.Certificate(); err != nil {
				return statement.Statement{}, fmt.Errorf("reading %s: %w", path, err)
			}
			return statement.Statement{Predicate: p}, nil
		},
	}
}

// ofPack makes a statement about the bytes of the pack that the argument
// names.
func ofPack(
	say func(m *manifest.Manifest, now time.Time) (statement.Predicate, error),
) func(string, time.Time) (statement.Statement, error) {
	return func(name string, now time.Time) (statement.Statement, error) {
		pack, err := openPack(name)
		if err != nil {
			return statement.Statement{}, contentError(err)
		}
		p, err := say(&pack.Manifest, now)
		return statement.Statement{Archive: packDigest(pack), Predicate: p}, err
	}
}

func packDigest(p *rulepacks.Pack) statement.PackDigest {
	return statement.PackDigest{SHA256: trust.Digest(p.Digest), DirHash1: trust.Digest(p.DirHash1)}
}

func tenantFlags(fl *pflag.FlagSet, t *statement.Tenant, r *statement.Region) {
	fl.StringVar((*string)(t), "tenant", "", "tenant that the statement is for")
	fl.StringVar((*string)(r), "region", "", "region the tenant lives in")
}

func seqFlag(fl *pflag.FlagSet, seq *uint64, meaning string) { fl.Uint64Var(seq, "seq", 0, meaning) }
