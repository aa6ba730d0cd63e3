package clinical

import (
	"fmt"
	"regexp"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/cdshooks"
)

// Rule is one rule of a pack: what its # METADATA block says, checked, and
// what follows from its code.
type Rule struct {
	ID          string // "pack/rule"
	Title       string
	Description string
	Package     string // "packs.<pack>.<rule>"
	File        string
	Line        int // of the metadata block
	Hooks       []string
	Triggers    []string // value sets of triggering orders, in any of which one must be; none for the patient
	Severity    map[string]cdshooks.Indicator
	Unknown     UnknownPolicy
	Supersedes  []string // "pack/rule"
	Reasons     []OverrideReason
	Topic       string
	Sources     []Citation
	Uses        []Use    // calls of the library the rule reaches, helpers included
	Asks        []Use    // those of them that holds reaches
	Reads       []string // FHIR resource types, derived from Uses
}

// Citation is one of a rule's related_resources.
type Citation struct {
	Ref         string `json:"ref"`
	Description string `json:"description,omitempty"`
}

// UnknownPolicy says what to show when a rule cannot tell.
type UnknownPolicy string

// The policies for a rule that cannot tell.
const (
	UnknownSilent  UnknownPolicy = "silent"
	UnknownInfo    UnknownPolicy = "info"
	UnknownWarning UnknownPolicy = "warning"
)

// OverrideReason is a reason that a card offers for not following it.
type OverrideReason struct {
	Code    string `json:"code"`
	System  string `json:"system"`
	Display string `json:"display"`
}

// reasonSystem is our code system of reasons for not following a card.
const reasonSystem = "https://github.com/precept-cds/precept/override-reason"

// overrideReasons are the reasons a rule may offer.
var overrideReasons = []OverrideReason{
	{"will-monitor", reasonSystem, "Will monitor"},
	{"tolerated-before", reasonSystem, "Tolerated before"},
	{"benefit-outweighs-risk", reasonSystem, "Benefit outweighs risk"},
	{"dose-adjusted", reasonSystem, "Dose adjusted"},
	{"not-applicable", reasonSystem, "Does not apply to this patient"},
	{"data-outdated", reasonSystem, "Data shown is wrong or out of date"},
}

// SeverityFor returns the urgency of the rule's card on one hook.
func (r *Rule) SeverityFor(hook string) cdshooks.Indicator {
	if s, ok := r.Severity[hook]; ok {
		return s
	}
	return r.Severity[""]
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
	Order   names `json:"order,omitempty"`
	Patient bool  `json:"patient,omitzero"`
}

// names is one name, or a list of them.
type names []string

// UnmarshalJSON accepts "nsaid" or ["nsaid", "oral_anticoagulant"].
func (n *names) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one string
		if err := jsonv2.Unmarshal(b, &one); err != nil {
			return err
		}
		*n = names{one}
		return nil
	}
	var list []string
	if err := jsonv2.Unmarshal(b, &list); err != nil {
		return err
	}
	*n = list
	return nil
}

// maxTriggers bounds the value sets that trigger one rule.
const maxTriggers = 32

func (t *trigger) problem() bool {
	for i, set := range t.Order {
		if set == "" || slices.Contains(t.Order[:i], set) {
			return true
		}
	}
	return (len(t.Order) > 0) == t.Patient || len(t.Order) > maxTriggers
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

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// newRule reads the metadata block of a rule of the named pack.
func newRule(pack string, a *ast.Annotations) (*Rule, error) {
	raw, err := jsonv2.Marshal(a.Custom, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("reading custom metadata: %w", err)
	}
	var m metadata
	if err := jsonv2.Unmarshal(raw, &m, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("reading custom metadata: %w", err)
	}
	if err := m.check(a.Title); err != nil {
		return nil, err
	}
	r := &Rule{ID: pack + "/" + m.ID, Title: a.Title, Description: a.Description, Hooks: m.Hooks,
		Triggers: m.Trigger.Order, Severity: m.Severity, Unknown: UnknownPolicy(m.Unknown), Topic: m.Topic}
	for _, rr := range a.RelatedResources {
		r.Sources = append(r.Sources, Citation{Ref: rr.Ref.String(), Description: rr.Description})
	}
	for _, h := range r.Hooks {
		if r.SeverityFor(h).Rank() > cdshooks.Info.Rank() {
			return nil, fmt.Errorf("severity for hook %s must be info, warning or critical", h)
		}
	}
	for _, s := range m.Supers {
		r.Supersedes = append(r.Supersedes, pack+"/"+s)
	}
	for _, code := range m.Reasons {
		i := slices.IndexFunc(overrideReasons, func(o OverrideReason) bool { return o.Code == code })
		if i < 0 {
			return nil, fmt.Errorf("override reason %q is not known", code)
		}
		r.Reasons = append(r.Reasons, overrideReasons[i])
	}
	if r.Topic == "" {
		r.Topic = pack + "-" + m.ID
	}
	return r, nil
}

func (m *metadata) check(title string) error {
	unknown := UnknownPolicy(m.Unknown)
	switch {
	case !ruleName.MatchString(m.ID):
		return fmt.Errorf("id %q must be lower-case words joined by dashes", m.ID)
	case title == "":
		return fmt.Errorf("title is required: one line that says what the rule finds")
	case len(m.Hooks) == 0:
		return fmt.Errorf("hooks is required, e.g. [order-sign]")
	case m.Trigger.problem():
		return fmt.Errorf("trigger must be {order: <value set>}, {order: [<value set>, ...]} with up to %d sets, "+
			"each once, or {patient: true}", maxTriggers)
	case unknown != UnknownSilent && unknown != UnknownInfo && unknown != UnknownWarning:
		return fmt.Errorf("unknown must be silent, info or warning: what to show when the rule cannot tell")
	}
	return nil
}
