package clinical

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/rulepacks/manifest"
)

// Call is one call of a function by a rule: what it was given, read and
// checked.
type Call struct {
	function *function
	loc      *ast.Location
	args     []*ast.Term // by position, without the options
	given    [maxOptions]given
	listed   int         // the argument that is in list instead, in parts; -1 if all are in args
	list     []*ast.Term // its elements, or what to fill in
	fills    []string    // the names of those
}

// elements are those of an argument that is an array.
type elements struct {
	array *ast.Array // nil if they are in list
	list  []*ast.Term
}

// elements returns those of argument i; ok is false if it is no array.
func (c *Call) elements(i int) (e elements, ok bool) {
	if i == c.listed {
		return elements{list: c.list}, true
	}
	e.array, ok = c.args[i].Value.(*ast.Array)
	return e, ok
}

func (e elements) len() int {
	if e.array == nil {
		return len(e.list)
	}
	return e.array.Len()
}

func (e elements) at(i int) *ast.Term {
	if e.array == nil {
		return e.list[i]
	}
	return e.array.Elem(i)
}

// given is what a call says for one option, by the option's kind.
type given struct {
	is       bool // given at all, or by default
	text     string
	flag     bool
	duration dates.Duration
	set      *valueSet
}

// misfit says why a value cannot stand for an option, and what can.
type misfit struct{ what, hint string }

// read reads the value of an option: the one way from what is written to what
// a function gets, where packs are read as at every call.
func (o *Option) read(v ast.Value) (given, *misfit) {
	if o.Kind == KindFlag {
		flag, ok := v.(ast.Boolean)
		if !ok {
			return given{}, &misfit{"must be true or false", "write it without quotes"}
		}
		return given{is: true, flag: bool(flag)}, nil
	}
	text, ok := v.(ast.String)
	if !ok || text == "" {
		return given{}, &misfit{"must be a string that is not empty", "write " + o.example()}
	}
	g := given{is: true, text: string(text)}
	switch o.Kind {
	case KindDuration:
		d, err := dates.ParseDuration(g.text)
		if err != nil {
			return given{}, &misfit{fmt.Sprintf("must be a duration, not %.40q", g.text),
				"write " + o.nearDuration(g.text)}
		}
		if d == (dates.Duration{}) {
			return given{}, &misfit{"must be longer than nothing", "write " + o.example()}
		}
		g.duration = d
	case KindUnit:
		if code, ok := units.Known(g.text); !ok || code != g.text {
			hint := o.example()
			if ok {
				hint = strconv.Quote(code)
			}
			return given{}, &misfit{fmt.Sprintf("must be a unit that values can be had in, not %.40q", g.text),
				"write " + hint}
		}
	case KindEnum, KindType:
		if !slices.Contains(o.Words, g.text) {
			return given{}, &misfit{fmt.Sprintf("must be %s, not %.40q", o.example(), g.text), "write " + o.example()}
		}
	}
	return g, nil
}

// example is what may be written for the option.
func (o *Option) example() string {
	switch o.Kind {
	case KindDuration:
		return `"P365D", "P1Y" or "PT24H"`
	case KindUnit:
		return `a UCUM code such as "mmol/L", "mg/dL" or "%"`
	case KindEnum, KindType:
		return strings.Join(quoted(o.Words), " or ")
	case KindSet:
		return "the id of a value set of the pack"
	default:
		return "some text"
	}
}

// nearDuration guesses at the duration that was meant.
func (o *Option) nearDuration(text string) string {
	text = strings.ToUpper(text)
	for _, guess := range []string{text, "P" + text, strings.Replace(text, "P", "PT", 1)} {
		if _, err := dates.ParseDuration(guess); err == nil {
			return strconv.Quote(guess)
		}
	}
	return o.example()
}

// nearest returns the one of several words that is meant by a misspelt one; ok
// is false if it resembles none.
func nearest(word string, list []string) (best string, ok bool) {
	least := 1 + len(word)/4
	for _, w := range list {
		if d := levenshtein.ComputeDistance(word, w); d <= least && (best == "" || d < least) {
			best, least = w, d
		}
	}
	return best, best != ""
}

func quoted(words []string) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = strconv.Quote(w)
	}
	return list
}

// fits tells whether every value that a parameter may have can stand for the
// option; why not, if not.
func (o *Option) fits(p manifest.Parameter) *misfit {
	switch kind := o.Kind; {
	case kind == KindFlag && p.Type != "boolean":
		return &misfit{"needs a parameter of type boolean", "declare it so in pack.yaml"}
	case kind != KindFlag && p.Type != "string":
		return &misfit{"needs a parameter of type string", "declare it so in pack.yaml"}
	case kind == KindDuration && p.Format != "duration":
		return &misfit{"needs a parameter of format duration", "add format: duration to it in pack.yaml"}
	case (kind == KindUnit || kind == KindEnum) && len(p.Enum) == 0:
		return &misfit{"needs a parameter that lists its values", "add enum to it in pack.yaml"}
	}
	for _, v := range slices.Concat([]jsontext.Value{p.Default}, p.Enum) {
		t, err := termOf(v)
		if err != nil {
			return &misfit{err.Error(), "correct it in pack.yaml"}
		}
		if _, m := o.read(t.Value); m != nil {
			return &misfit{m.what + ": so says the default or the enum of the parameter", m.hint + " in pack.yaml"}
		}
	}
	return nil
}

func termOf(v jsontext.Value) (*ast.Term, error) {
	t, err := ast.ValueFromReader(bytes.NewReader(v))
	if err != nil {
		return nil, err
	}
	return ast.NewTerm(t), nil
}

// begin takes in what the evaluator passes to a call. That what is passed fits
// was found where the pack was read and bound; it is read again all the same,
// because a rule that answers with an option misread is worse than one that
// fails.
func (c *Call) begin(s *Session, f *function, loc *ast.Location, args []*ast.Term) error {
	c.function, c.loc, c.args, c.listed = f, loc, args, -1
	if len(f.Options) == 0 {
		return nil
	}
	clear(c.given[:len(f.Options)])
	obj, ok := args[0].Value.(ast.Object)
	if !ok {
		return fmt.Errorf("want an options object, have %s", ast.ValueName(args[0].Value))
	}
	c.args = args[1:]
	n := 0
	for i := range f.Options {
		o, g := &f.Options[i], &c.given[i]
		t := obj.Get(f.keys[i])
		if t == nil {
			if o.Required {
				return fmt.Errorf("option %q is required", o.Name)
			}
			g.flag = o.Default
			continue
		}
		n++
		var err error
		if *g, err = o.get(t.Value); err != nil {
			return err
		}
		if o.Needs != "" && !c.has(o.Needs) {
			return fmt.Errorf("option %q goes with %q", o.Name, o.Needs)
		}
		if err := s.bindSet(o, g); err != nil {
			return err
		}
	}
	if n < obj.Len() {
		return fmt.Errorf("there are options that it does not have; it has %s",
			strings.Join(quoted(f.optionNames()), ", "))
	}
	return nil
}

// get is read at a call.
func (o *Option) get(v ast.Value) (given, error) {
	g, m := o.read(v)
	if m != nil {
		return given{}, fmt.Errorf("option %q %s; %s", o.Name, m.what, m.hint)
	}
	return g, nil
}

// bindSet finds the value set that an option names in the pack at hand.
func (s *Session) bindSet(o *Option, g *given) (err error) {
	if o.Kind == KindSet && g.is {
		g.set, err = s.pack.set(g.text)
	}
	return err
}

func (f *Function) optionNames() []string {
	names := make([]string, len(f.Options))
	for i, o := range f.Options {
		names[i] = o.Name
	}
	return names
}

// option returns what was said for an option of the function.
func (c *Call) option(name string) *given {
	for i := range c.function.Options {
		if c.function.Options[i].Name == name {
			return &c.given[i]
		}
	}
	// A slip in this package, which the first call of the function finds.
	panic("clinical: " + c.function.Name + " reads option " + name + ", which it does not have")
}

func (c *Call) has(name string) bool                { return c.option(name).is }
func (c *Call) set(name string) *valueSet           { return c.option(name).set }
func (c *Call) duration(name string) dates.Duration { return c.option(name).duration }
func (c *Call) flag(name string) bool               { return c.option(name).flag }
func (c *Call) text(name string) string             { return c.option(name).text }
