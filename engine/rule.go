package engine

import (
	"fmt"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/cdshooks"
)

// rule is what the # METADATA block of a rule says, checked.
type rule struct {
	id          string // "pack/rule"
	title       string
	description string
	pkg         string // "packs.<pack>.<rule>"
	file        string
	hooks       []string
	trigger     string // value set of triggering orders; "" for the patient
	severity    map[string]cdshooks.Indicator
	unknown     unknownPolicy
	supersedes  []string // "pack/rule"
	reasons     []overrideReason
	topic       string
	sources     []source
	reads       []string // FHIR resource types, derived
}

type source struct{ Ref, Description string }

type unknownPolicy string

const (
	unknownSilent  unknownPolicy = "silent"
	unknownInfo    unknownPolicy = "info"
	unknownWarning unknownPolicy = "warning"
)

type overrideReason struct {
	Code    string `json:"code"`
	System  string `json:"system"`
	Display string `json:"display"`
}

// metadata is the "custom" member of a rule's metadata, as written.
type metadata struct {
	ID       string   `json:"id"`
	Hooks    []string `json:"hooks"`
	Trigger  trigger  `json:"trigger"`
	Severity severity `json:"severity"`
	Unknown  string   `json:"unknown"`
	Supers   []string `json:"supersedes,omitempty"`
	Reasons  []string `json:"override_reasons,omitempty"`
	Topic    string   `json:"topic,omitempty"`
}

type trigger struct {
	Order   string `json:"order,omitempty"`
	Patient bool   `json:"patient,omitzero"`
}

// severity is one indicator, or one per hook.
type severity map[string]cdshooks.Indicator

// UnmarshalJSON accepts "critical" or {"order-sign": "critical"}.
func (s *severity) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one cdshooks.Indicator
		if err := jsonv2.Unmarshal(b, &one); err != nil {
			return err
		}
		*s = severity{"": one}
		return nil
	}
	var m map[string]cdshooks.Indicator
	if err := jsonv2.Unmarshal(b, &m); err != nil {
		return err
	}
	*s = m
	return nil
}

// overrideReasons are the codes a rule may offer, of HL7's code system of
// reasons for non-adherence and, where a local word is clearer, our own.
const reasonSystem = "https://github.com/precept-cds/precept/override-reason"

var overrideReasons = []overrideReason{
	{"will-monitor", reasonSystem, "Will monitor"},
	{"tolerated-before", reasonSystem, "Tolerated before"},
	{"benefit-outweighs-risk", reasonSystem, "Benefit outweighs risk"},
	{"dose-adjusted", reasonSystem, "Dose adjusted"},
	{"not-applicable", reasonSystem, "Does not apply to this patient"},
	{"data-outdated", reasonSystem, "Data shown is wrong or out of date"},
}

func newRule(pack, title, description, pkg, file string, raw []byte, related []source) (*rule, error) {
	var m metadata
	if err := jsonv2.Unmarshal(raw, &m, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("reading custom metadata: %w", err)
	}
	r := &rule{id: pack + "/" + m.ID, title: title, description: description, pkg: pkg, file: file, hooks: m.Hooks,
		trigger: m.Trigger.Order, severity: m.Severity, unknown: unknownPolicy(m.Unknown), topic: m.Topic, sources: related}
	switch {
	case !ruleName.MatchString(m.ID):
		return nil, fmt.Errorf("id %q must be lower-case words joined by dashes", m.ID)
	case title == "":
		return nil, fmt.Errorf("title is required: one line that says what the rule finds")
	case len(m.Hooks) == 0:
		return nil, fmt.Errorf("hooks is required, e.g. [order-sign]")
	case (m.Trigger.Order != "") == m.Trigger.Patient:
		return nil, fmt.Errorf("trigger must be {order: <value set>} or {patient: true}")
	case r.unknown != unknownSilent && r.unknown != unknownInfo && r.unknown != unknownWarning:
		return nil, fmt.Errorf("unknown must be silent, info or warning: what to show when the rule can not tell")
	}
	for _, h := range r.hooks {
		if r.severityFor(h).Rank() > 2 {
			return nil, fmt.Errorf("severity for hook %s must be info, warning or critical", h)
		}
	}
	for _, s := range m.Supers {
		r.supersedes = append(r.supersedes, pack+"/"+s)
	}
	for _, code := range m.Reasons {
		i := slices.IndexFunc(overrideReasons, func(o overrideReason) bool { return o.Code == code })
		if i < 0 {
			return nil, fmt.Errorf("override reason %q is not known", code)
		}
		r.reasons = append(r.reasons, overrideReasons[i])
	}
	if r.topic == "" {
		r.topic = pack + "-" + m.ID
	}
	return r, nil
}

// severityFor gives the urgency of the rule's card on one hook.
func (r *rule) severityFor(hook string) cdshooks.Indicator {
	if s, ok := r.severity[hook]; ok {
		return s
	}
	return r.severity[""]
}
