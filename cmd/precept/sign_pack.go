package main

import (
	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing"
)

func signRelease() *cobra.Command {
	f := &signFlags{}
	var p signing.PackRelease
	c := &cobra.Command{
		Use:   "release PACK",
		Short: "sign as an author that these bytes are this version of a pack",
		Long: `Release signs the bytes of a pack under its name and version. What it says of the
pack is read from the pack itself. Another person reviews it.`,
		Example: `  precept sign release renal_dosing.tar.gz --publisher content --seq 1 \
    --summary "First release." --key ada.pem -o release.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pack, err := openPack(args[0])
			if err != nil {
				return contentError(err)
			}
			m := pack.Manifest
			if p.IssuedAt, err = f.now(); err != nil {
				return err
			}
			p.Pack, p.Version, p.PackKind, p.Library = signing.Pack(m.Name), m.Version, signing.PackKind(m.Kind), m.Library
			p.EffectivePeriod = signing.Period{Start: m.EffectivePeriod.Start, End: m.EffectivePeriod.End}
			return f.write(cmd, signing.Statement{Archive: packDigest(pack), Predicate: p})
		},
	}
	f.add(c)
	fl := c.Flags()
	fl.StringVar((*string)(&p.Publisher), "publisher", "", "publisher whose root lists the authors")
	addSeq(c, &p.Seq, "counts the releases of the pack, from 1")
	fl.StringVar((*string)(&p.Supersedes), "supersedes", "", "sha256 of the release before, if there is one")
	fl.StringVar(&p.ChangeSummary, "summary", "", "what changed, for reviewers and users")
	for _, name := range []string{"publisher", "summary"} {
		_ = c.MarkFlagRequired(name) // the flag is there: defined above
	}
	return c
}

func signReview() *cobra.Command {
	f := &signFlags{}
	p := signing.ClinicalReview{Conditions: []string{}}
	var validUntil, valid string
	c := &cobra.Command{
		Use:   "review PACK",
		Short: "sign a clinical judgement of exactly these bytes of a pack",
		Long: `Review signs that a clinician approves or rejects a pack. The reviewer is nobody
who signed the release. One standing rejection blocks every activation.`,
		Example: `  precept pack show renal_dosing.tar.gz
  precept sign review renal_dosing.tar.gz --decision approve --role "clinical pharmacist" \
    --valid P365D --key rosa.pem -o review.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pack, err := openPack(args[0])
			if err != nil {
				return contentError(err)
			}
			if p.ReviewedAt, err = f.now(); err != nil {
				return err
			}
			flag, end := "--valid-until", validUntil
			if valid != "" {
				flag, end = "--valid", valid
			}
			if p.ValidUntil, err = until(flag, end, p.ReviewedAt); err != nil {
				return err
			}
			p.Pack, p.Version = signing.Pack(pack.Manifest.Name), pack.Manifest.Version
			return f.write(cmd, signing.Statement{Archive: packDigest(pack), Predicate: p})
		},
	}
	f.add(c)
	fl := c.Flags()
	fl.StringVar((*string)(&p.Decision), "decision", "", "approve or reject")
	fl.StringVar(&p.Role, "role", "", `discipline of the reviewer, e.g. "clinical pharmacist"`)
	fl.StringVar(&validUntil, "valid-until", "", "end of the approval for new activations: a time or a day")
	fl.StringVar(&valid, "valid", "", "the same as a duration from now, e.g. P365D")
	fl.StringArrayVar(&p.Conditions, "condition", p.Conditions, "a condition of the approval; repeat it for several")
	for _, name := range []string{"decision", "role"} {
		_ = c.MarkFlagRequired(name) // the flag is there: defined above
	}
	c.MarkFlagsOneRequired("valid", "valid-until")
	c.MarkFlagsMutuallyExclusive("valid", "valid-until")
	return c
}

func signActivation() *cobra.Command {
	f := &signFlags{}
	p := signing.Activation{InputsUnknown: []string{}}
	var from, to string
	c := &cobra.Command{
		Use:   "activation PACK",
		Short: "sign as an approver that a pack works for a tenant",
		Long: `Activation signs that a released and reviewed pack goes live, or with --mode off
that it stops. It names the number of the activation and what stood before, so
that an old one can not be replayed. Rolling back is a new activation of an
older pack; precept status shows both values.`,
		Example: `  precept sign activation renal_dosing.tar.gz --tenant north --region us-east --seq 1 \
    --key amir.pem -o activation.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pack, err := openPack(args[0])
			if err != nil {
				return contentError(err)
			}
			if p.ActivateAt, err = moment("from", from); err != nil {
				return err
			}
			if p.DeactivateAt, err = moment("until", to); err != nil {
				return err
			}
			p.Pack, p.Version = signing.Pack(pack.Manifest.Name), pack.Manifest.Version
			if pack.Manifest.Kind == rulepacks.KindRules {
				p.Library = clinical.Version
			}
			return f.write(cmd, signing.Statement{Archive: packDigest(pack), Predicate: p})
		},
	}
	f.add(c)
	addTenant(c, &p.Tenant, &p.Region)
	addSeq(c, &p.Seq, "1 for the tenant's first activation of the pack, then one more each time")
	fl := c.Flags()
	fl.StringVar((*string)(&p.Previous), "previous", "", "sha256 of the pack that stands now, if one does")
	fl.StringVar((*string)(&p.Mode), "mode", string(signing.Active), "active, shadow or off")
	fl.StringVar(&from, "from", "", "when it begins; default at once")
	fl.StringVar(&to, "until", "", "when it ends; default never")
	fl.StringSliceVar(&p.InputsUnknown, "inputs-unknown", p.InputsUnknown, "resource types that no prefetch delivers and whose absence the approvers accept")
	return c
}

func signSuspension() *cobra.Command {
	f := &signFlags{}
	var p signing.Suspension
	c := &cobra.Command{
		Use:   "suspension",
		Short: "sign that a rule or a pack is out of service",
		Long: `Suspension takes a rule, or a whole pack, out of service at once. One revoker or
approver is enough. A resumption lifts it.`,
		Example: `  precept sign suspension --tenant north --region us-east --pack renal_dosing \
    --rule metformin-caution --reason "false alarms" --key amir.pem -o suspension.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if p.SuspendedAt, err = f.now(); err != nil {
				return err
			}
			return f.write(cmd, signing.Statement{Predicate: p})
		},
	}
	f.add(c)
	addTenant(c, &p.Tenant, &p.Region)
	fl := c.Flags()
	fl.StringVar((*string)(&p.Pack), "pack", "", "name of the pack")
	fl.StringVar(&p.Rule, "rule", "", "name of the rule; default the whole pack")
	fl.StringVar(&p.Reason, "reason", "", "why")
	for _, name := range []string{"pack", "reason"} {
		_ = c.MarkFlagRequired(name) // the flag is there: defined above
	}
	return c
}

func signResumption() *cobra.Command {
	f := &signFlags{}
	var p signing.Resumption
	c := &cobra.Command{
		Use:   "resumption",
		Short: "sign that a suspension is lifted",
		Example: `  precept sign resumption --tenant north --region us-east --lifts SHA256-OF-THE-SUSPENSION \
    --reason "mended" --key amir.pem -o resumption.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if p.ResumedAt, err = f.now(); err != nil {
				return err
			}
			return f.write(cmd, signing.Statement{Predicate: p})
		},
	}
	f.add(c)
	addTenant(c, &p.Tenant, &p.Region)
	fl := c.Flags()
	fl.StringVar((*string)(&p.Lifts), "lifts", "", "sha256 of the suspension, as precept sign show prints it")
	fl.StringVar(&p.Reason, "reason", "", "why")
	for _, name := range []string{"lifts", "reason"} {
		_ = c.MarkFlagRequired(name) // the flag is there: defined above
	}
	return c
}

func signRevocation() *cobra.Command {
	f := &signFlags{}
	p := signing.Revocation{Action: signing.Revoke}
	targets := map[signing.TargetType]*string{signing.TargetDigest: new(string), signing.TargetKey: new(string), signing.TargetPerson: new(string)}
	var effective string
	c := &cobra.Command{
		Use:   "revoke",
		Short: "sign that a pack, a key or a person is out of use",
		Long: `Revoke takes a pack, a key or a person out of use in one tenant. One revoker or
approver is enough. With --action suspend it can be lifted; otherwise it is final,
and what rests on signatures from --effective on is withdrawn.`,
		Example: `  precept sign revoke --tenant north --region us-east --lost-key KEY-ID \
    --effective 2026-03-01T00:00:00Z --reason "laptop stolen" --key olga.pem -o revocation.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			for _, kind := range sortedNames(targets) {
				if v := *targets[kind]; v != "" {
					p.Target = signing.Target{Type: kind, Value: v}
				}
			}
			if p.EffectiveAt, err = f.now(); err != nil {
				return err
			}
			if effective != "" {
				if p.EffectiveAt, err = moment("effective", effective); err != nil {
					return err
				}
			}
			return f.write(cmd, signing.Statement{Predicate: p})
		},
	}
	f.add(c)
	addTenant(c, &p.Tenant, &p.Region)
	fl := c.Flags()
	fl.StringVar(targets[signing.TargetDigest], "pack-sha256", "", "pack to take out of use")
	fl.StringVar(targets[signing.TargetKey], "lost-key", "", "id of the key to take out of use")
	fl.StringVar(targets[signing.TargetPerson], "person", "", "person to take out of use")
	fl.StringVar((*string)(&p.Action), "action", string(signing.Revoke), "revoke, which is final, or suspend")
	fl.StringVar(&p.Reason, "reason", "", "why")
	fl.StringVar(&effective, "effective", "", "from when on; may lie in the past; default now")
	_ = c.MarkFlagRequired("reason") // the flag is there: defined above
	c.MarkFlagsOneRequired("pack-sha256", "lost-key", "person")
	c.MarkFlagsMutuallyExclusive("pack-sha256", "lost-key", "person")
	return c
}
