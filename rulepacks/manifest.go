package rulepacks

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Kind says what a pack carries.
type Kind string

// The kinds of packs.
const (
	KindRules       Kind = "rules"       // rules with value sets, messages and cases
	KindTerminology Kind = "terminology" // one release of tables/products.json
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
	Name             string           `json:"name"`    // [a-z][a-z0-9_]{1,62}
	Version          string           `json:"version"` // semantic version without "v"
	Kind             Kind             `json:"kind"`    // default rules
	Title            string           `json:"title"`
	Status           Status           `json:"status"`
	Experimental     bool             `json:"experimental"`
	Publisher        Publisher        `json:"publisher"`
	Funding          string           `json:"funding"`
	IntendedUse      string           `json:"intended_use"`
	IntendedUsers    []string         `json:"intended_users"`
	Authority        string           `json:"authority"`        // whose guidance the rules follow
	EffectivePeriod  Period           `json:"effective_period"` // when the guidance applies
	ReviewDue        string           `json:"review_due"`
	SourceAttributes SourceAttributes `json:"source_attributes"`
	Library          string           `json:"library"`     // major version of the clinical library; rules only
	Terminology      ReleaseRange     `json:"terminology"` // releases tested with
	Languages        []string         `json:"languages"`   // the first is that of the texts in the rules
	Parameters       Parameters       `json:"parameters"`
	ValueSets        []ValueSetSource `json:"value_sets"`
	Sources          []Source         `json:"sources"`
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

// ReleaseRange is a range of terminology releases such as "2026.1", both ends
// inclusive; an empty end is open.
type ReleaseRange struct {
	Min string `json:"min"`
	Max string `json:"max"`
}

// Includes reports whether the release lies in the range. A text that is no
// release lies in none.
func (r ReleaseRange) Includes(release string) bool {
	return releasePattern.MatchString(release) &&
		(r.Min == "" || compareReleases(r.Min, release) <= 0) &&
		(r.Max == "" || compareReleases(release, r.Max) <= 0)
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

var (
	releasePattern = regexp.MustCompile(`^[0-9]{4}(\.[0-9]{1,4}){1,2}$`)
	libraryPattern = regexp.MustCompile(`^[1-9][0-9]{0,3}$`)
)

// compareReleases compares two texts that match releasePattern by number.
func compareReleases(a, b string) int {
	parts := func(s string) (n [3]int) {
		for i, p := range strings.SplitN(s, ".", 3) {
			n[i], _ = strconv.Atoi(p) // the pattern allows at most four digits
		}
		return n
	}
	pa, pb := parts(a), parts(b)
	return slices.Compare(pa[:], pb[:])
}

// ParseManifest reads pack.yaml strictly: unknown members, doubled keys, and
// numbers where texts belong (version: 1.10) are refused.
func ParseManifest(data []byte) (Manifest, error) {
	m, _, err := parseManifest(File{Name: packFile, Data: data})
	return m, err
}

func parseManifest(f File) (Manifest, *document, error) {
	var m Manifest
	d, err := readYAML(f)
	if err != nil {
		return m, nil, err
	}
	if err := d.decode(&m); err != nil {
		return m, nil, err
	}
	if m.Kind == "" {
		m.Kind = KindRules
	}
	c := manifestCheck{m: &m, d: d}
	c.identity()
	c.dates()
	c.lists()
	return m, d, c.problems.err()
}

// manifestCheck collects what is wrong with a manifest.
type manifestCheck struct {
	m        *Manifest
	d        *document
	problems problemList
}

func (c *manifestCheck) require(ok bool, at jsontext.Pointer, hint, format string, args ...any) {
	if !ok {
		c.problems.add(c.d.problem(ErrManifest, at, hint, format, args...))
	}
}

func (c *manifestCheck) identity() {
	m := c.m
	c.require(packNamePattern.MatchString(m.Name) && module.CheckFilePath(m.Name) == nil, "/name",
		"use a name such as renal_dosing", "name must match %s", packNamePattern)
	c.require(isVersion(m.Version), "/version", `write a semantic version in quotes, as in version: "1.0.0"`,
		"version must be three numbers, perhaps with a pre-release")
	c.require(m.Kind == KindRules || m.Kind == KindTerminology, "/kind", "leave it out for rules",
		"kind must be rules or terminology")
	c.require(strings.TrimSpace(m.Title) != "", "/title", "say in a few words what the pack is about", "title is missing")
	c.require(m.Status == StatusDraft || m.Status == StatusActive || m.Status == StatusRetired, "/status",
		"a pack that is being written is a draft", "status must be draft, active or retired")
	c.require(strings.TrimSpace(m.Publisher.Name) != "", "/publisher", "name who answers for the pack", "publisher.name is missing")
	if m.Kind == KindTerminology {
		c.require(len(m.ValueSets)+len(m.Parameters) == 0, "", "move them to the pack of the rules that use them",
			"a terminology pack has no value_sets or parameters")
		return
	}
	c.require(libraryPattern.MatchString(m.Library), "/library", `write the major version in quotes, as in library: "1"`,
		"library must be the major version of the clinical library")
	c.require(len(m.Languages) > 0, "/languages", "name the language of the rules' texts first, as in [en, de]", "languages is missing")
}

func (c *manifestCheck) dates() {
	const hint = `write a day as "2026-04-08", or leave it out`
	for _, day := range []struct {
		at   jsontext.Pointer
		text string
	}{{"/effective_period/start", c.m.EffectivePeriod.Start}, {"/effective_period/end", c.m.EffectivePeriod.End},
		{"/review_due", c.m.ReviewDue}} {
		c.require(day.text == "" || isDay(day.text), day.at, hint, "%s is no day", day.at)
	}
	for i, s := range c.m.Sources {
		c.require(s.Date == "" || isDay(s.Date), index("/sources", i).AppendToken("date"), hint, "date of source %q is no day", s.ID)
	}
	start, end := c.m.EffectivePeriod.Start, c.m.EffectivePeriod.End
	c.require(end == "" || start <= end, "/effective_period/end", "swap them", "effective_period ends before it starts")
	for _, r := range []struct {
		at   jsontext.Pointer
		text string
	}{{"/terminology/min", c.m.Terminology.Min}, {"/terminology/max", c.m.Terminology.Max}} {
		c.require(r.text == "" || releasePattern.MatchString(r.text), r.at, `write a release in quotes, as in "2026.1"`, "%s is no release", r.at)
	}
}

func (c *manifestCheck) lists() {
	seen := map[string]bool{}
	once := func(list jsontext.Pointer, i int, id string, pattern *regexp.Regexp) {
		at := index(list, i)
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
		c.require(s.URL == "" || isWebURL(s.URL), index("/sources", i).AppendToken("url"), "write a full https URL",
			"url of source %q is no web address", s.ID)
	}
	for _, p := range c.m.Parameters {
		what := p.checkSchema()
		c.require(what == "", jsontext.Pointer("/parameters").AppendToken(p.Name), "see JSON Schema", "parameter %q: %s", p.Name, what)
	}
	for _, a := range c.m.SourceAttributes.List() {
		c.require(a.Statement == "" || a.Statement == "not used" || attributePattern.MatchString(a.Statement),
			jsontext.Pointer("/source_attributes").AppendToken(a.Name), `write "used: why", "not used" or "not used: why"`,
			"source attribute %s says neither used nor not used", a.Name)
	}
}

var (
	citationPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	attributePattern = regexp.MustCompile(`^(not )?used: *\S`)
)

func index(list jsontext.Pointer, i int) jsontext.Pointer { return list.AppendToken(strconv.Itoa(i)) }

// isVersion accepts semantic versions in full and without build metadata, which
// does not take part in ordering and so would let two packs share one version.
func isVersion(s string) bool {
	return len(s) <= 64 && semver.IsValid("v"+s) && semver.Canonical("v"+s) == "v"+s && semver.Build("v"+s) == ""
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

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

// opaManifest returns the bytes of .manifest, which follow from pack.yaml.
func (m Manifest) opaManifest() ([]byte, error) {
	o := opaManifest{Revision: m.Name + "@" + m.Version, Roots: []string{m.Root()}, RegoVersion: 1}
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

// Root returns the OPA root of the pack, "packs/<name>": the only place under
// data that its rules may define.
func (m Manifest) Root() string { return "packs/" + m.Name }
