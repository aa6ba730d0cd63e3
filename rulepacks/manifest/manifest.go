// Package manifest reads pack.yaml: what a pack is, who answers for it, what it
// needs, and which parameters a tenant may set.
//
// Reading is strict: unknown members, repeated keys, and numbers where texts
// belong (version: 1.10) are refused. A draft may lack what readers and
// regulators ask for; whether a pack may be released is judged elsewhere.
package manifest

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

const (
	// ErrManifest says that a required file or member is missing or has a
	// wrong value in pack.yaml, or that .manifest is not the generated one.
	ErrManifest packfile.Kind = "manifest-refused"
	// ErrParameter says that a value does not fit the schema of a parameter.
	// The tenant policy, the case or the default has to be changed.
	ErrParameter packfile.Kind = "parameter-refused"
)

// Kind says what a pack carries.
type Kind string

// The kinds of packs.
const (
	KindRules       Kind = "rules"       // rules with value sets, messages and cases
	KindTerminology Kind = "terminology" // one release of drugs
	KindCodeMap     Kind = "codemap"     // what local codes mean
)

// Status is where a pack stands in its life, as its publisher sees it.
type Status string

// The statuses of a pack.
const (
	StatusDraft   Status = "draft"
	StatusActive  Status = "active"
	StatusRetired Status = "retired"
)

// Manifest is pack.yaml. Texts and dates are as written; dates are YYYY-MM-DD.
type Manifest struct {
	Name             string             `json:"name"`    // [a-z][a-z0-9_]{1,62}
	Version          string             `json:"version"` // semantic version without "v"
	Kind             Kind               `json:"kind"`    // default rules
	Title            string             `json:"title"`
	Status           Status             `json:"status"`
	Experimental     bool               `json:"experimental"`
	Publisher        Publisher          `json:"publisher"`
	Funding          string             `json:"funding"`
	IntendedUse      string             `json:"intended_use"`
	IntendedUsers    []string           `json:"intended_users"`
	Authority        string             `json:"authority"`        // whose guidance the rules follow
	EffectivePeriod  Period             `json:"effective_period"` // when the guidance applies
	ReviewDue        string             `json:"review_due"`
	SourceAttributes SourceAttributes   `json:"source_attributes"`
	Library          string             `json:"library"`     // major version of the clinical library; rules only
	Terminology      vocab.ReleaseRange `json:"terminology"` // releases tested with
	Languages        []string           `json:"languages"`   // the first is that of the texts in the rules
	Parameters       Parameters         `json:"parameters"`
	ValueSets        []ValueSetSource   `json:"value_sets"`
	Sources          []Source           `json:"sources"`
}

// Publisher is who answers for the pack.
type Publisher struct {
	Name    string `json:"name"`
	Contact string `json:"contact"`
}

// Period is a range of days, both inclusive; an empty End is open.
type Period struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// SourceAttributes say for each attribute of 45 CFR 170.315(b)(11)(iv) whether
// the rules use it: "used: why", "not used" or "not used: why".
type SourceAttributes struct {
	Race              string `json:"race"`
	Ethnicity         string `json:"ethnicity"`
	Language          string `json:"language"`
	SexualOrientation string `json:"sexual_orientation"`
	GenderIdentity    string `json:"gender_identity"`
	Sex               string `json:"sex"`
	Age               string `json:"age"`
	SDOH              string `json:"sdoh"`
	HealthStatus      string `json:"health_status"`
}

// Attribute is one source attribute and what the pack says about it.
type Attribute struct{ Name, Statement string }

// List returns the nine attributes in their fixed order.
func (a SourceAttributes) List() []Attribute {
	return []Attribute{{"race", a.Race}, {"ethnicity", a.Ethnicity}, {"language", a.Language},
		{"sexual_orientation", a.SexualOrientation}, {"gender_identity", a.GenderIdentity}, {"sex", a.Sex},
		{"age", a.Age}, {"sdoh", a.SDOH}, {"health_status", a.HealthStatus}}
}

// ValueSetSource declares a value set of the pack and says where it is from.
type ValueSetSource struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Source  string `json:"source"`
	Version string `json:"version"`
	Licence string `json:"licence"`
}

// Source is a citation, shown on cards.
type Source struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	URL      string `json:"url"`
	Date     string `json:"date"`
	Strength string `json:"strength"`
}

var libraryPattern = regexp.MustCompile(`^[1-9][0-9]{0,3}$`)

// Read reads pack.yaml and fills in defaults. All problems are reported, not
// only the first.
func Read(f packfile.File) (Manifest, error) {
	var m Manifest
	d, err := packfile.Read(f)
	if err != nil {
		return m, err
	}
	if err := d.Decode(&m); err != nil {
		return m, err
	}
	if m.Kind == "" {
		m.Kind = KindRules
	}
	c := manifestCheck{m: &m, d: d}
	c.identity()
	c.dates()
	c.lists()
	return m, c.problems.Err()
}

// manifestCheck collects what is wrong with a manifest.
type manifestCheck struct {
	m        *Manifest
	d        *packfile.Document
	problems packfile.List
}

func (c *manifestCheck) require(ok bool, at jsontext.Pointer, hint, format string, args ...any) {
	if !ok && !c.problems.Full() {
		c.problems.Add(c.d.Problem(ErrManifest, at, hint, format, args...))
	}
}

func (c *manifestCheck) identity() {
	m := c.m
	c.require(IsName(m.Name), "/name",
		"use a name such as renal_dosing", "name must match %s and must not be a device on Windows", namePattern)
	c.require(isVersion(m.Version), "/version", `write a semantic version in quotes, as in version: "1.0.0"`,
		"version must be three numbers, perhaps with a pre-release")
	c.require(m.Kind == KindRules || m.Kind == KindTerminology || m.Kind == KindCodeMap, "/kind",
		"leave it out for rules", "kind must be rules, terminology or codemap")
	c.require(strings.TrimSpace(m.Title) != "", "/title", "say in a few words what the pack is about", "title is missing")
	c.require(m.Status == StatusDraft || m.Status == StatusActive || m.Status == StatusRetired, "/status",
		"a pack that is being written is a draft", "status must be draft, active or retired")
	c.require(strings.TrimSpace(m.Publisher.Name) != "", "/publisher", "name who answers for the pack",
		"publisher.name is missing")
	if m.Kind != KindRules {
		c.require(len(m.ValueSets)+len(m.Parameters) == 0, "", "move them to the pack of the rules that use them",
			"a %s pack has no value_sets or parameters", m.Kind)
		return
	}
	c.require(libraryPattern.MatchString(m.Library), "/library", `write the major version in quotes, as in library: "1"`,
		"library must be the major version of the clinical library")
	c.require(len(m.Languages) > 0, "/languages", "name the language of the rules' texts first, as in [en, de]",
		"languages is missing")
}

func (c *manifestCheck) dates() {
	const hint = `write a day as "2026-04-08", or leave it out`
	for _, day := range []struct {
		at   jsontext.Pointer
		text string
	}{{"/effective_period/start", c.m.EffectivePeriod.Start}, {"/effective_period/end", c.m.EffectivePeriod.End},
		{"/review_due", c.m.ReviewDue}} {
		c.require(day.text == "" || isDay(day.text), day.at, hint, "%s is not a day", day.at)
	}
	for i, s := range c.m.Sources {
		c.require(s.Date == "" || isDay(s.Date), packfile.Index("/sources", i).AppendToken("date"), hint,
			"date of source %q is not a day", s.ID)
	}
	start, end := c.m.EffectivePeriod.Start, c.m.EffectivePeriod.End
	c.require(end == "" || start <= end, "/effective_period/end", "swap them", "effective_period ends before it starts")
	for _, r := range []struct {
		at   jsontext.Pointer
		text string
	}{{"/terminology/min", c.m.Terminology.Min}, {"/terminology/max", c.m.Terminology.Max}} {
		c.require(r.text == "" || vocab.IsRelease(r.text), r.at, `write a release in quotes, as in "2026.1"`,
			"%s is not a release", r.at)
	}
}

func (c *manifestCheck) lists() {
	seen := map[string]bool{}
	once := func(list jsontext.Pointer, i int, id string, pattern *regexp.Regexp) {
		at := packfile.Index(list, i)
		c.require(pattern.MatchString(id), at, "rename it", "%s: %q must match %s", list, id, pattern)
		c.require(!seen[string(list)+id], at, "remove one", "%s names %q twice", list, id)
		seen[string(list)+id] = true
	}
	for i, l := range c.m.Languages {
		once("/languages", i, l, languagePattern)
	}
	for i, v := range c.m.ValueSets {
		once("/value_sets", i, v.ID, idPattern)
	}
	for i, s := range c.m.Sources {
		once("/sources", i, s.ID, citationPattern)
		c.require(s.URL == "" || vocab.IsWebURL(s.URL), packfile.Index("/sources", i).AppendToken("url"),
			"write a full https URL",
			"url of source %q is not a web address", s.ID)
	}
	for _, p := range c.m.Parameters {
		what := p.checkSchema()
		c.require(what == "", jsontext.Pointer("/parameters").AppendToken(p.Name),
			"docs/packs.md lists what a parameter may be", "parameter %q: %s", p.Name, what)
	}
	for _, a := range c.m.SourceAttributes.List() {
		c.require(a.Statement == "" || a.Statement == "not used" || attributePattern.MatchString(a.Statement),
			jsontext.Pointer("/source_attributes").AppendToken(a.Name), `write "used: why", "not used" or "not used: why"`,
			"source attribute %s says neither used nor not used", a.Name)
	}
}

var (
	namePattern      = regexp.MustCompile(`^[a-z][a-z0-9_]{1,62}$`)
	idPattern        = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	languagePattern  = regexp.MustCompile(`^[a-z]{2,3}(-[A-Z]{2})?$`)
	citationPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	attributePattern = regexp.MustCompile(`^(not )?used: *\S`)
)

// isVersion accepts semantic versions in full and without build metadata, which
// does not take part in ordering and so would let two packs share one version.
func isVersion(s string) bool {
	return len(s) <= 64 && semver.IsValid("v"+s) && semver.Canonical("v"+s) == "v"+s && semver.Build("v"+s) == ""
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// IsName reports whether s may name a pack, and so a folder on every system.
func IsName(s string) bool { return namePattern.MatchString(s) && module.CheckFilePath(s) == nil }

// IsID reports whether s may be the id of a value set or the name of a parameter.
func IsID(s string) bool { return idPattern.MatchString(s) }

// IsLanguage reports whether s is a language as packs name them, such as en or de-CH.
func IsLanguage(s string) bool { return languagePattern.MatchString(s) }

// Revision returns "<name>@<version>".
func (m Manifest) Revision() string { return m.Name + "@" + m.Version }

// opaManifest is .manifest in the order of its members.
type opaManifest struct {
	Revision    string   `json:"revision"`
	Roots       []string `json:"roots"`
	RegoVersion int      `json:"rego_version"`
	Metadata    struct {
		Precept struct {
			Pack    string `json:"pack"`
			Version string `json:"version"`
			Kind    Kind   `json:"kind"`
			Library string `json:"library"`
		} `json:"precept"`
	} `json:"metadata"`
}

// OPAManifest returns the bytes of .manifest, which follow from pack.yaml. A
// stock OPA reads in it that rules may define nothing outside of packs/<name>.
func (m Manifest) OPAManifest() ([]byte, error) {
	o := opaManifest{Revision: m.Revision(), Roots: []string{"packs/" + m.Name}, RegoVersion: 1}
	o.Metadata.Precept.Pack = m.Name
	o.Metadata.Precept.Version = m.Version
	o.Metadata.Precept.Kind = m.Kind
	o.Metadata.Precept.Library = m.Library
	out, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("generating .manifest: %w", err)
	}
	return append(out, '\n'), nil
}
