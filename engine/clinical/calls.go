package clinical

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Use is one call of the library in a pack, as far as it can be read without
// running it: what prefetch and source attributes are derived from.
type Use struct {
	Function  Function // not to be changed
	File      string
	Line      int
	Rule      string    // name of the Rego rule the call is in, e.g. "holds"
	Options   []Setting // that are literals or parameters
	Words     *Words    // nil if the function shows no words of the pack
	Parameter string    // the parameter it asks for; "" if it asks for none
}

// Setting is an option as a call states it: a literal, or a parameter.
type Setting struct {
	Option
	Literal string
	Param   string // its name; "" for a literal
}

// reads returns the types that the call reads.
func (u *Use) reads() []string {
	return u.Function.types(func(i int) string {
		at := slices.IndexFunc(u.Options, func(s Setting) bool { return s.Name == u.Function.Options[i].Name })
		if at < 0 {
			return "" // the option is wrong, and reported
		}
		return u.Options[at].Literal
	})
}

// Words are what a call shows to people, in the language of the pack's source.
type Words struct {
	Text     string
	Template bool     // it names what is filled in
	Fills    []string // names of what is filled in, sorted; nil if they are not literal
}

// text is what tells apart calls of a function on one line.
func (u *Use) text() string {
	if u.Words != nil {
		return u.Words.Text
	}
	return u.Parameter
}

// Problem is something wrong with a pack's code that compiling cannot see.
type Problem struct {
	File string
	Line int
	Text string
	Hint string // what to write instead; may be empty
}

// Error returns file, line and what to change.
func (p Problem) Error() string {
	text := fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	if p.Hint != "" {
		text += " (" + p.Hint + ")"
	}
	return text
}

// calls reads every call of the library in one Rego rule. Options, value sets,
// templates and labels must be literals: what a rule reads has to be known
// before it runs.
func (r *reader) calls(x *ast.Rule) []Use {
	w := &callWalk{reader: r, rule: strings.Join(refParts(x.Head.Ref()), ".")}
	ast.NewGenericVisitor(w.visit).Walk(x)
	for ; x != nil && w.rule == "holds"; x = x.Else {
		w.given(factHandles, x.Head.Value, x.Location)
	}
	return w.uses
}

func refParts(ref ast.Ref) []string {
	var parts []string
	for _, t := range ref {
		switch v := t.Value.(type) {
		case ast.Var:
			parts = append(parts, string(v))
		case ast.String:
			parts = append(parts, string(v))
		}
	}
	return parts
}

type callWalk struct {
	*reader
	rule string
	uses []Use
}

func (w *callWalk) visit(x any) bool {
	switch x := x.(type) {
	case *ast.Expr:
		if x.IsCall() {
			w.call(x.Operator().String(), x.Operands(), x.Location)
		}
		if len(x.With) > 0 {
			w.wrong(x.Location, "", "with is not allowed: a rule must see the chart as it is")
		}
	case *ast.Term:
		if c, ok := x.Value.(ast.Call); ok {
			w.call(c[0].String(), c[1:], x.Location)
		}
	}
	return false
}

func (w *callWalk) wrong(loc *ast.Location, hint, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.add(Problem{File: loc.File, Line: loc.Row, Text: text, Hint: hint})
}

func (w *callWalk) call(name string, operands []*ast.Term, loc *ast.Location) {
	f := w.code.Library.byName[name]
	if f == nil {
		w.unknown(name, loc)
		return
	}
	u := Use{Function: f.Function, File: loc.File, Line: loc.Row, Rule: w.rule}
	if f.CardsOnly && !strings.HasPrefix(w.rule, "card") {
		w.wrong(loc, "use it in rules whose name starts with card, and facts in holds",
			"%s is only for the wording of cards", name)
	}
	if len(f.Options) > 0 && len(operands) > 0 {
		u.Options = w.options(f, operands[0], loc)
		operands = operands[1:]
	}
	for i, a := range f.Args[:min(len(f.Args), len(operands))] {
		w.argument(&u, a.Type, i, operands[i], loc)
	}
	w.uses = append(w.uses, u)
}

// unknown reports a call into the library's name spaces that leads nowhere; what
// else is unknown the compiler reports.
func (w *callWalk) unknown(name string, loc *ast.Location) {
	space, _, _ := strings.Cut(name, ".")
	var names []string
	for _, f := range w.code.Library.functions {
		if strings.HasPrefix(f.Name, space+".") {
			names = append(names, f.Name)
		}
	}
	if len(names) > 0 {
		hint := "there are " + strings.Join(names, ", ")
		if n, ok := nearest(name, names); ok {
			hint = "write " + n
		}
		w.wrong(loc, hint, "undefined function %s", name)
	}
}

// argument checks an argument of some type against the pack.
func (w *callWalk) argument(u *Use, t Type, i int, given *ast.Term, loc *ast.Location) {
	text, isText := given.Value.(ast.String)
	if t.literal() && !isText {
		w.wrong(loc, "write it down", "argument %d of %s must be a literal string", i+1, u.Function.Name)
		return
	}
	switch t {
	case typeFact, typeDated:
		w.given(factHandles, given, loc)
	case typeFacts:
		w.eachGiven(factHandles, given, loc)
	case typeValue, typeEither:
		w.given(valueHandles, given, loc)
	case typeValues:
		w.eachGiven(valueHandles, given, loc)
	case typeDate:
		w.given(dateHandles, given, loc)
	case typeDates:
		w.eachGiven(dateHandles, given, loc)
	case typeOrder:
		w.given(orderHandles, given, loc)
	case typeParameter:
		u.Parameter = string(text)
		if _, ok := w.pack.Manifest.Parameters.Get(u.Parameter); !ok {
			w.wrong(loc, "declare it under parameters, or use one that is there",
				"parameter %q is not declared in pack.yaml", u.Parameter)
		}
	case typeLabel, typeTemplate:
		u.Words = &Words{Text: string(text), Template: t == typeTemplate}
	case typeFill:
		if u.Words != nil {
			u.Words.Fills = literalNames(given)
		}
	case typeState:
		if err := new(fact.State).UnmarshalText([]byte(text)); isText && err != nil {
			w.wrong(loc, `write "true", "false" or "unknown"`, "a fact is never %.40q", string(text))
		}
	case typeNumber:
		if p, ok := w.param(given); ok && p.Type != "number" && p.Type != "integer" {
			w.wrong(loc, "declare it with type: number in pack.yaml",
				"%s needs a number, and the parameter %s is of type %s", u.Function.Name, p.Name, p.Type)
		}
	}
}

// given refuses what is written down in the place of a handle.
func (w *callWalk) given(h *handles, t *ast.Term, loc *ast.Location) {
	if t == nil {
		return
	}
	if _, ok := t.Value.(ast.Object); ok {
		w.wrong(loc, "call the function that answers the question", "%s", h.wanted)
	}
}

// eachGiven is given for the elements of an array.
func (w *callWalk) eachGiven(h *handles, t *ast.Term, loc *ast.Location) {
	if list, ok := t.Value.(*ast.Array); ok {
		list.Foreach(func(x *ast.Term) { w.given(h, x, loc) })
	}
}

// param returns the declared parameter that a term asks for, as param("name").
func (w *callWalk) param(t *ast.Term) (p manifest.Parameter, ok bool) {
	c, ok := t.Value.(ast.Call)
	if !ok || len(c) != 2 {
		return p, false
	}
	f := w.code.Library.byName[c[0].String()]
	name, isText := c[1].Value.(ast.String)
	if f == nil || !isText || len(f.Args) != 1 || f.Args[0].Type != typeParameter {
		return p, false
	}
	return w.pack.Manifest.Parameters.Get(string(name))
}

// options checks the options of a call against what the function says of them.
func (w *callWalk) options(f *function, t *ast.Term, loc *ast.Location) []Setting {
	obj, ok := t.Value.(ast.Object)
	if !ok {
		w.wrong(loc, "", "the options of %s must be a literal object", f.Name)
		return nil
	}
	var settings []Setting
	names := f.optionNames()
	obj.Foreach(func(k, v *ast.Term) {
		key, ok := k.Value.(ast.String)
		i := slices.Index(names, string(key))
		if !ok || i < 0 {
			hint := ""
			if n, ok := nearest(string(key), names); ok {
				hint = "write " + n
			}
			w.wrong(k.Location, hint, "%s has no option %s; it has %s", f.Name, k, strings.Join(names, ", "))
			return
		}
		if s, ok := w.option(f, &f.Options[i], v); ok {
			settings = append(settings, s)
		}
	})
	for i := range f.Options {
		o := &f.Options[i]
		is := obj.Get(f.keys[i]) != nil
		if o.Required && !is {
			w.wrong(loc, "add "+o.example(), "option %q of %s is required", o.Name, f.Name)
		}
		if is && o.Needs != "" && obj.Get(ast.StringTerm(o.Needs)) == nil {
			w.wrong(loc, "add "+o.Needs, "option %q of %s goes with %q", o.Name, f.Name, o.Needs)
		}
	}
	return settings
}

// option checks one option against its kind. It is not a setting if it cannot be
// read here.
func (w *callWalk) option(f *function, o *Option, v *ast.Term) (s Setting, ok bool) {
	bad := func(m *misfit) { w.wrong(v.Location, m.hint, "option %q of %s %s", o.Name, f.Name, m.what) }
	s.Option = *o
	switch val := v.Value.(type) {
	case ast.String, ast.Boolean, ast.Number, ast.Null:
		g, m := o.read(val)
		if m != nil {
			bad(m)
			return s, false
		}
		if s.Literal = g.text; o.Kind == KindFlag {
			s.Literal = v.String()
		}
		return s, o.Kind != KindSet || w.valueSet(f, o, g.text, v.Location)
	case ast.Call:
		p, ok := w.param(v)
		if called := w.code.Library.byName[val[0].String()]; called != nil && !ok {
			if o.Param && len(called.Args) == 1 && called.Args[0].Type == typeParameter {
				return s, false // of a parameter that is not declared, which is reported there
			}
			if o.Kind == KindText && called.Result == typeString {
				return s, false
			}
		}
		if !ok || !o.Param {
			break
		}
		if m := o.fits(p); m != nil {
			bad(m)
		}
		s.Param = p.Name
		return s, true
	}
	what := "must be a literal"
	if o.Param {
		what += ` or param("name")`
	}
	bad(&misfit{what, "write " + o.example()})
	return s, false
}

// valueSet checks a value set that an option names against the pack.
func (w *callWalk) valueSet(f *function, o *Option, id string, loc *ast.Location) bool {
	var fitting []string
	for _, v := range w.pack.ValueSets {
		if slices.Contains(o.Sets, v.Kind) {
			fitting = append(fitting, v.ID)
		}
	}
	hint := "add valuesets/" + id + ".json"
	if n, ok := nearest(id, fitting); ok {
		hint = "write " + n
	} else if n := len(fitting); n > 0 && n <= 8 {
		hint += ", or use " + strings.Join(fitting, " or ")
	}
	v, ok := w.pack.ValueSet(id)
	if !ok {
		w.wrong(loc, hint, "value set %q is not in the pack", id)
		return false
	}
	if !slices.Contains(o.Sets, v.Kind) {
		hint = "use a set of another kind"
		if len(fitting) > 0 && len(fitting) <= 8 {
			hint = "use " + strings.Join(fitting, " or ")
		}
		w.wrong(loc, hint, "value set %q is of kind %s, and %s takes %s", id, v.Kind, f.Name, kinds(o.Sets))
		return false
	}
	return true
}

func kinds(list []vocab.ValueSetKind) string {
	texts := make([]string, len(list))
	for i, k := range list {
		texts[i] = string(k)
	}
	return strings.Join(texts, " or ")
}

// literalNames returns the members of a literal object, sorted.
func literalNames(t *ast.Term) []string {
	obj, ok := t.Value.(ast.Object)
	if !ok {
		return nil
	}
	names := []string{}
	obj.Foreach(func(k, _ *ast.Term) {
		if s, ok := k.Value.(ast.String); ok {
			names = append(names, string(s))
		}
	})
	slices.Sort(names)
	return names
}
