// Package casefile reads golden cases: a request, and everything that a pack
// must say about it.
//
// A file of cases is YAML or JSON:
//
//	cases:
//	  - name: potassium-high
//	    time: "2026-03-02T10:00:00-05:00"
//	    context: {patientId: p1, userId: Practitioner/u1, draftOrders: {...}}
//	    prefetch: {labs: {...}}
//	    want: [{rule: potassium-high, subject: MedicationRequest/d1, state: "true"}]
//	    want_cards: [{indicator: warning, summary: "Check spironolactone"}]
//
// YAML scalars are kept literally: a time stays a text and 1.10 stays 1.10.
// Anchors, aliases and merge keys work, within a limit on their expansion. The
// same case gives the same request, byte for byte, on every machine. Nothing is
// decided here, and names of rules are not looked up.
package casefile

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// ErrCase says that a golden case is incomplete or contradicts itself.
const ErrCase packfile.Kind = "case-refused"

// Case is a golden example: a request, and what the pack must say about it.
type Case struct {
	File string `json:"-"`
	Line int    `json:"-"` // where the case starts in File
	// Name is unique within the pack.
	Name string `json:"name"`
	// Vector names the published example that the expectation comes from.
	Vector string `json:"vector"`
	// Hook is the CDS Hooks hook; default order-sign.
	Hook string `json:"hook"`
	// HookInstance is as given, else a UUIDv8 that follows from pack and Name.
	HookInstance string `json:"hook_instance"`
	// Time is the time of the decision, with the offset as written.
	Time time.Time `json:"-"`
	// Zone is the tenant's time zone; default UTC. It is not looked up here.
	Zone string `json:"zone"`
	// Language of the cards; empty is the source language.
	Language string `json:"language"`
	// Parameters override defaults of the pack.
	Parameters map[string]jsontext.Value `json:"parameters"`
	// Context and Prefetch are those of the request, compact, with numbers and
	// texts as the author wrote them. Prefetch is empty if the case has none.
	Context  jsontext.Value `json:"context"`
	Prefetch jsontext.Value `json:"prefetch"`
	// Want is the exact set of findings of this pack, in any order. Nil means
	// the case does not say; empty means that no rule is asked.
	Want []Want `json:"want"`
	// WantCards are the cards in order. Nil means the case does not say; empty
	// means there are none.
	WantCards []WantCard `json:"want_cards"`
}

// Want is an expected finding.
type Want struct {
	// Rule is the id of the rule without the pack, or core/<id> for a finding
	// that Precept makes itself, such as core/unidentified-order.
	Rule    string `json:"rule"`
	Subject string `json:"subject"` // "patient" or "MedicationRequest/<id>"
	State   string `json:"state"`   // "true", "false" or "unknown"
	// Reasons are reason codes in any order. Nil means not compared.
	Reasons []string `json:"reasons"`
}

// WantCard is an expected card; members that are zero are not compared.
type WantCard struct {
	Indicator      string   `json:"indicator"`
	Summary        string   `json:"summary"`
	DetailContains []string `json:"detail_contains"`
	Suggestions    *int     `json:"suggestions"` // how many
}

// Request returns the CDS Hooks request of the case as JSON, the same bytes
// every time: hook, hookInstance, context and, if the case has one, prefetch.
func (c *Case) Request() []byte {
	out := []byte(`{"hook":`)
	out, _ = jsontext.AppendQuote(out, c.Hook) // reading checked that both are UTF-8
	out = append(out, `,"hookInstance":`...)
	out, _ = jsontext.AppendQuote(out, c.HookInstance)
	out = append(append(out, `,"context":`...), c.Context...)
	if len(c.Prefetch) > 0 {
		out = append(append(out, `,"prefetch":`...), c.Prefetch...)
	}
	return append(out, '}')
}

// Read reads a file of cases, YAML or JSON by its name. The name of the pack
// only goes into the hook instances that the cases do not give.
func Read(f packfile.File, pack string) ([]Case, error) {
	d, err := packfile.Read(f)
	if err != nil {
		return nil, err
	}
	var raw struct {
		Cases []struct {
			Case
			Time string `json:"time"`
		} `json:"cases"`
	}
	if err := d.Decode(&raw); err != nil {
		return nil, err
	}
	var problems packfile.List
	if len(raw.Cases) == 0 {
		problems.Add(d.Problem(ErrCase, "", "write them under cases:", "the file has no cases"))
	}
	lines := d.Lines("/cases", len(raw.Cases))
	cases := make([]Case, 0, len(raw.Cases))
	for i, one := range raw.Cases {
		c := one.Case
		c.File, c.Line = f.Name, lines[i]
		check := caseCheck{d: d, at: packfile.Index("/cases", i), c: &c, problems: &problems}
		check.complete(one.Time, pack)
		check.wants()
		cases = append(cases, c)
	}
	return cases, problems.Err()
}

var (
	caseNamePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$`)
	hookPattern     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	zonePattern     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)
	ruleIDPattern   = regexp.MustCompile(`^(core/)?[a-z][a-z0-9-]{0,126}$`)
	subjectPattern  = regexp.MustCompile(`^(patient|[A-Z][A-Za-z]{1,62}/[^\s/]{1,256})$`)
)

// caseCheck fills in the defaults of one case and collects what is wrong.
type caseCheck struct {
	d        *packfile.Document
	at       jsontext.Pointer
	c        *Case
	problems *packfile.List
}

func (k *caseCheck) require(ok bool, member, hint, format string, args ...any) {
	if ok || k.problems.Full() {
		return
	}
	at := k.at
	for token := range strings.SplitSeq(member, "/") {
		at = at.AppendToken(token)
	}
	k.problems.Add(k.d.Problem(ErrCase, at, hint, "case "+packfile.Short(k.c.Name)+": "+format, args...))
}

func (k *caseCheck) complete(when, pack string) {
	c := k.c
	if c.Hook == "" {
		c.Hook = "order-sign"
	}
	if c.Zone == "" {
		c.Zone = "UTC"
	}
	if c.HookInstance == "" {
		c.HookInstance = caseInstance(pack, c.Name)
	}
	k.require(caseNamePattern.MatchString(c.Name), "name", "such as seventy-man-creatinine-2.5", "name must match %s",
		caseNamePattern)
	k.require(hookPattern.MatchString(c.Hook), "hook", "such as order-sign", "hook must match %s", hookPattern)
	k.require(len(c.HookInstance) <= 64, "hook_instance", "give a UUID or leave it out", "hook_instance is too long")
	k.require(zonePattern.MatchString(c.Zone), "zone", "such as America/New_York", "zone is not the name of a time zone")
	k.require(c.Language == "" || manifest.IsLanguage(c.Language), "language", "such as en or de-CH",
		"language is not a language")
	var err error
	c.Time, err = time.Parse(time.RFC3339Nano, when)
	k.require(err == nil, "time", `such as "2026-03-02T10:00:00-05:00"`, "time is missing or not a time with an offset")
	k.require(c.Context.Kind() == '{', "context", "give the context that the hook sends",
		"context is missing or not an object")
	if c.Prefetch.Kind() == 'n' {
		c.Prefetch = nil
	}
	k.require(len(c.Prefetch) == 0 || c.Prefetch.Kind() == '{', "prefetch", "give an object by prefetch key",
		"prefetch is not an object")
	for _, v := range []*jsontext.Value{&c.Context, &c.Prefetch} {
		if len(*v) > 0 && v.Compact() != nil {
			k.require(false, "context", "fix the JSON", "context or prefetch is not JSON")
		}
	}
}

func (k *caseCheck) wants() {
	seen := map[[2]string]bool{}
	for i, w := range k.c.Want {
		member := "want/" + strconv.Itoa(i)
		k.require(ruleIDPattern.MatchString(w.Rule), member+"/rule", "the id in the rule's metadata",
			"want: rule must match %s", ruleIDPattern)
		k.require(subjectPattern.MatchString(w.Subject), member+"/subject", "patient or MedicationRequest/<id>",
			"want: subject is not one")
		k.require(w.State == "true" || w.State == "false" || w.State == "unknown", member+"/state",
			`in quotes: "true", "false" or "unknown"`, "want: state is not one")
		key := [2]string{w.Rule, w.Subject}
		k.require(!seen[key], member, "one rule has one finding on one subject", "want: this rule and subject appear twice")
		seen[key] = true
	}
	for i, w := range k.c.WantCards {
		member := "want_cards/" + strconv.Itoa(i)
		k.require(w.Indicator == "" || w.Indicator == "info" || w.Indicator == "warning" || w.Indicator == "critical",
			member+"/indicator", "info, warning or critical", "want_cards: indicator is unknown")
		k.require(w.Suggestions == nil || *w.Suggestions >= 0, member+"/suggestions", "give their number",
			"want_cards: suggestions is negative")
	}
}

// caseInstance derives a UUIDv8 (RFC 9562) from the names of pack and case.
func caseInstance(pack, name string) string {
	sum := sha256.Sum256([]byte("precept case\x00" + pack + "\x00" + name))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	h := hex.EncodeToString(u)
	return strings.Join([]string{h[0:8], h[8:12], h[12:16], h[16:20], h[20:32]}, "-")
}
