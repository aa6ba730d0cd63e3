package manifest

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/duration"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// Parameter is a value that a tenant may set, described by a small part of JSON
// Schema. [Parameter.Validate] judges a value; Default is one that is valid.
type Parameter struct {
	Name string `json:"-"`
	// Type is string, number, integer or boolean.
	Type string `json:"type"`
	// Format may be "duration" for a string: see [duration].
	Format string `json:"format,omitempty"`
	// Enum lists the allowed values, all of Type; empty allows any.
	Enum []jsontext.Value `json:"enum,omitempty"`
	// Minimum and Maximum bound a number, both inclusive; empty is no bound.
	Minimum jsontext.Value `json:"minimum,omitempty"`
	Maximum jsontext.Value `json:"maximum,omitempty"`
	// Default is used where nothing is set. Required.
	Default jsontext.Value `json:"default"`
	// Description says to the tenant's clinicians what the value changes. Required.
	Description string `json:"description"`
}

// Parameters are the parameters of a pack, sorted by name.
type Parameters []Parameter

// Get returns the parameter of a name.
func (ps Parameters) Get(name string) (Parameter, bool) {
	i, ok := slices.BinarySearchFunc(ps, name, func(p Parameter, n string) int { return strings.Compare(p.Name, n) })
	if !ok {
		return Parameter{}, false
	}
	return ps[i], true
}

// UnmarshalJSONFrom reads an object of parameters by name.
func (ps *Parameters) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	byName := map[string]Parameter{}
	if err := json.UnmarshalDecode(dec, &byName); err != nil {
		return err
	}
	*ps = (*ps)[:0]
	for name, p := range byName {
		p.Name = name
		*ps = append(*ps, p)
	}
	slices.SortFunc(*ps, func(a, b Parameter) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// Validate returns nil if value, one JSON value, may be used for the parameter,
// else an error that is ErrParameter. The error does not repeat the value.
func (p Parameter) Validate(value jsontext.Value) error {
	if what := p.refuses(value); what != "" {
		return &packfile.Problem{What: fmt.Sprintf("parameter %s: the value is %s", p.Name, what),
			Kind: ErrParameter, Hint: "see parameters in the pack's pack.yaml"}
	}
	return nil
}

// refuses says what a value is that does not fit, or "".
func (p Parameter) refuses(value jsontext.Value) string {
	switch {
	case !value.IsValid():
		return "not strict JSON"
	case !p.typeFits(value):
		return "not of type " + p.Type
	case len(p.Enum) > 0 && !slices.ContainsFunc(p.Enum, func(e jsontext.Value) bool { return sameScalar(e, value) }):
		return "not one of the allowed ones"
	case len(p.Minimum) > 0 && compareNumbers(value, p.Minimum) < 0:
		return fmt.Sprintf("below the minimum %s", p.Minimum)
	case len(p.Maximum) > 0 && compareNumbers(value, p.Maximum) > 0:
		return fmt.Sprintf("above the maximum %s", p.Maximum)
	case p.Format == "duration":
		if _, err := duration.Parse(textOf(value)); err != nil {
			return err.Error()
		}
	}
	return ""
}

// numberPattern bounds digits and exponent, so that comparing exactly is cheap.
var numberPattern = regexp.MustCompile(`^-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,2})?$`)

func (p Parameter) typeFits(v jsontext.Value) bool {
	switch kind := v.Kind(); p.Type {
	case "string":
		return kind == '"'
	case "boolean":
		return kind == 't' || kind == 'f'
	case "number":
		return kind == '0' && numberPattern.Match(trim(v))
	case "integer":
		return kind == '0' && numberPattern.Match(trim(v)) && number(v).IsInt()
	}
	return false
}

// checkSchema refuses a schema that means nothing or whose default is invalid.
func (p Parameter) checkSchema() string {
	numeric := p.Type == "number" || p.Type == "integer"
	bounds := slices.Concat([]jsontext.Value{}, p.Enum)
	for _, b := range []jsontext.Value{p.Minimum, p.Maximum} {
		if len(b) > 0 {
			bounds = append(bounds, b)
		}
	}
	switch {
	case !IsID(p.Name):
		return "the name must match " + idPattern.String()
	case !slices.Contains([]string{"string", "number", "integer", "boolean"}, p.Type):
		return "type must be string, number, integer or boolean"
	case p.Format != "" && (p.Format != "duration" || p.Type != "string"):
		return "format can only be duration, on a string"
	case !numeric && len(p.Minimum)+len(p.Maximum) > 0:
		return "minimum and maximum are for numbers"
	case !slices.ContainsFunc(bounds, func(b jsontext.Value) bool { return !p.typeFits(b) }):
	default:
		return "enum, minimum and maximum must be of the parameter's type"
	}
	switch {
	case len(p.Minimum) > 0 && len(p.Maximum) > 0 && compareNumbers(p.Minimum, p.Maximum) > 0:
		return "minimum is above maximum"
	case len(p.Default) == 0:
		return "default is missing"
	case strings.TrimSpace(p.Description) == "":
		return "description is missing"
	}
	if what := p.refuses(p.Default); what != "" {
		return "the default is " + what
	}
	return ""
}

func trim(v jsontext.Value) []byte { return []byte(strings.TrimSpace(string(v))) }

// number returns a value that matched numberPattern.
func number(v jsontext.Value) *big.Rat {
	r, ok := new(big.Rat).SetString(string(trim(v)))
	if !ok {
		return new(big.Rat)
	}
	return r
}

func compareNumbers(a, b jsontext.Value) int { return number(a).Cmp(number(b)) }

// textOf returns the text of a JSON string, "" for anything else.
func textOf(v jsontext.Value) string {
	var s string
	if json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

func sameScalar(a, b jsontext.Value) bool {
	switch {
	case a.Kind() != b.Kind():
		return false
	case a.Kind() == '0':
		return compareNumbers(a, b) == 0
	case a.Kind() == '"':
		return textOf(a) == textOf(b)
	}
	return string(trim(a)) == string(trim(b))
}
