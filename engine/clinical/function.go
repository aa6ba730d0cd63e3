package clinical

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// Function says everything about one function of a library: what authors read,
// what packs are checked against, what prefetch and source attributes are derived
// from, and what runs. It is a value; a library does not change the ones it has.
type Function struct {
	Name    string
	Doc     string // what it answers, as docs/packs.md has it
	Unknown string // when it cannot tell; "" if it always can
	Absent  string // when it is known that there is no such value; "" if there always is one

	Args    []Argument // by position, after the options
	Options []Option   // members of the one object that comes first, if there are any
	Result  Type

	// Reads are the FHIR resource types it looks into, and Attributes the
	// source attributes of 45 CFR 170.315(b)(11)(iv) its answer depends on, as
	// pack.yaml names them. Both are checked at every call. Neither may be
	// left out: a function that looks into nothing says [None].
	Reads, Attributes []string

	Source string // of its formula or codes, as cited; "" if it needs none

	Exact      bool // a value is one number or instant, never an interval
	CardsOnly  bool // it may stand only in rules whose name starts with card
	NeedsOrder bool // it may be reached only by rules with an order trigger

	Run func(*Session, *Call) (*ast.Term, error) // answers a call
}

type implementation = func(*Session, *Call) (*ast.Term, error)

// None says of a function that there is nothing: no types that it reads, no
// attributes that it touches.
func None() []string { return []string{} }

// GivesFact reports whether the answer is a fact.
func (f Function) GivesFact() bool { return f.Result == typeFact }

// types returns the types that a call may look into, given the literal options.
func (f *Function) types(literal func(i int) string) []string {
	for i := range f.Options {
		if o := &f.Options[i]; o.Kind == KindType {
			return []string{literal(i)}
		}
	}
	return f.Reads
}

// wording reports whether the answer is for people: it says of what is unknown
// something that a rule could take for a yes or a no.
func (f Function) wording() bool {
	return f.CardsOnly || f.Result == typeString || f.Result == typeSuggestion
}

// Argument is one argument of a function.
type Argument struct {
	Name string
	Type Type
}

// Type is the type of an argument or a result, as authors know it.
type Type string

const (
	typeFact       Type = "fact"
	typeFacts      Type = "array of facts"
	typeValue      Type = "value"
	typeValues     Type = "array of values"
	typeDate       Type = "date"
	typeDates      Type = "array of dates"
	typeEither     Type = "value or date"
	typeDated      Type = "fact or value"
	typePoints     Type = "array of [points, fact]"
	typeOrder      Type = "order"
	typeSuggestion Type = "suggestion"
	typeNumber     Type = "number"
	typeBoolean    Type = "boolean"
	typeString     Type = "string"
	typeAny        Type = "any"
	// What follows is checked against the pack where it is read.
	typeState     Type = "state"        // true, false or unknown, as a word
	typeParameter Type = "parameter"    // name of a parameter; a literal
	typeLabel     Type = "label"        // words shown to people; a literal
	typeTemplate  Type = "template"     // words with {names} to fill in; a literal
	typeFill      Type = "what to fill" // object of what a template names
)

// rego returns the type as the evaluator knows it, nil if there is no such type.
func (t Type) rego() types.Type {
	switch t {
	case typeFact:
		return factType
	case typeFacts:
		return factsType
	case typeValue:
		return valueType
	case typeValues:
		return types.NewArray(nil, valueType)
	case typeDate:
		return dateType
	case typeDates:
		return types.NewArray(nil, dateType)
	case typeEither:
		return types.NewAny(valueType, dateType)
	case typePoints:
		return types.NewArray(nil, types.NewArray([]types.Type{types.N, factType}, nil))
	case typeDated:
		return types.NewAny(factType, valueType)
	case typeOrder:
		return orderType
	case typeSuggestion:
		return suggestionType
	case typeNumber:
		return types.N
	case typeBoolean:
		return types.B
	case typeString, typeState, typeParameter, typeLabel, typeTemplate:
		return types.S
	case typeFill:
		return optionsType
	case typeAny:
		return types.A
	default:
		return nil
	}
}

// literal reports whether an argument must be written down as it is: what a
// rule says and reads has to be known before it runs.
func (t Type) literal() bool { return t == typeParameter || t == typeLabel || t == typeTemplate }

// Option is one member of a function's options.
type Option struct {
	Name    string
	Kind    Kind
	Doc     string
	Unknown string

	Words    []string             // of KindEnum: those allowed
	Sets     []vocab.ValueSetKind // of KindSet: what its codes may mean
	Default  bool                 // of KindFlag: what holds where it is not given
	Required bool
	Param    bool   // it may be param("name"), too
	Needs    string // the option it goes with
}

// Kind says what may be written for an option.
type Kind string

// The kinds of options.
const (
	KindSet      Kind = "value set" // id of a value set of the pack
	KindDuration Kind = "duration"  // ISO 8601, longer than nothing; see dates.ParseDuration
	KindUnit     Kind = "unit"      // UCUM; see units.Known
	KindEnum     Kind = "word"
	KindFlag     Kind = "flag"
	KindCode     Kind = "code"          // any string that is not empty
	KindText     Kind = "text"          // the same, or made of a template
	KindType     Kind = "resource type" // one of its words; the call reads this type alone
)

var (
	functionName = regexp.MustCompile(`^((fact|fhir)\.[a-z]+(_[a-z]+)*|param)$`)
	memberName   = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	resourceType = regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
)

// maxOptions bounds the options of a function.
const maxOptions = 12

// problem says why the description is not one; "" if it is.
func (f *Function) problem() string {
	switch {
	case !functionName.MatchString(f.Name):
		return "the name must be param, or fact. or fhir. and lower-case words"
	case f.Doc == "":
		return "Doc is missing"
	case f.Run == nil:
		return "Run is missing"
	case f.Result.rego() == nil:
		return fmt.Sprintf("there is no type %q of a result", f.Result)
	case f.Reads == nil || f.Attributes == nil:
		return "Reads and Attributes must say what it looks into, or None()"
	case len(f.Options) > maxOptions:
		return fmt.Sprintf("it has more than %d options", maxOptions)
	case len(f.Attributes) > 0 && len(f.Reads) == 0:
		return "it has attributes of what it does not read"
	}
	for _, t := range f.Reads {
		if !resourceType.MatchString(t) {
			return fmt.Sprintf("%q is not a FHIR resource type", t)
		}
	}
	for _, name := range f.Attributes {
		named := func(a manifest.Attribute) bool { return a.Name == name }
		if !slices.ContainsFunc(manifest.SourceAttributes{}.List(), named) {
			return fmt.Sprintf("%q is not a source attribute", name)
		}
	}
	for _, a := range f.Args {
		if !memberName.MatchString(a.Name) || a.Type.rego() == nil {
			return fmt.Sprintf("argument %q of type %q has no name or no type", a.Name, a.Type)
		}
	}
	for i, o := range f.Options {
		if why := o.problem(f.Options[:i]); why != "" {
			return fmt.Sprintf("option %q %s", o.Name, why)
		}
	}
	return ""
}

// problem says why an option is not one, given those before it.
func (o *Option) problem(before []Option) string {
	switch {
	case !memberName.MatchString(o.Name):
		return "must be named by lower-case words"
	case o.Doc == "":
		return "lacks Doc"
	case slices.ContainsFunc(before, func(b Option) bool { return b.Name == o.Name }):
		return "is there twice"
	case o.Needs != "" && !slices.ContainsFunc(before, func(b Option) bool { return b.Name == o.Needs }):
		return "goes with one that does not come before it"
	case (o.Kind == KindEnum || o.Kind == KindType) != (len(o.Words) > 0):
		return "must have words if it is one, and only then"
	case (o.Kind == KindSet) != (len(o.Sets) > 0):
		return "must say which kinds of value sets it takes, and only if it takes one"
	case o.Kind == KindType && (o.Param || !o.Required):
		return "names what is read, which has to be known before it runs: it is required and no parameter"
	case o.Kind == KindSet && o.Param:
		return "names a value set, which cannot be a parameter: what a rule reads has to be known before it runs"
	case o.Default && (o.Kind != KindFlag || o.Required):
		return "cannot have a default"
	}
	switch o.Kind {
	case KindSet, KindDuration, KindUnit, KindEnum, KindFlag, KindCode, KindText, KindType:
		return ""
	default:
		return fmt.Sprintf("has no kind %q", o.Kind)
	}
}

// function is a Function of a library, and what is made of it once.
type function struct {
	Function
	index int         // in the library
	typed bool        // an option says what it reads
	keys  []*ast.Term // of the options
	decl  *ast.Builtin
	op    *ast.Term // see Library.bind
}

func newFunction(f Function) *function {
	own := &function{Function: f, op: ast.NewTerm(ast.Ref{ast.VarTerm(f.Name)})}
	var args []types.Type
	if len(f.Options) > 0 {
		texts := make([]string, len(f.Options))
		for i, o := range f.Options {
			own.keys = append(own.keys, ast.StringTerm(o.Name))
			texts[i] = o.Name + " (" + o.says() + "): " + o.Doc
		}
		args = append(args, types.Named("options", optionsType).Description(strings.Join(texts, "; ")))
	}
	for _, a := range f.Args {
		args = append(args, types.Named(a.Name, a.Type.rego()).Description(string(a.Type)))
	}
	own.typed = slices.ContainsFunc(f.Options, func(o Option) bool { return o.Kind == KindType })
	own.decl = &ast.Builtin{Name: f.Name, Description: f.Doc,
		CanSkipBctx: true, // of the context, run wants nothing but the location, which comes always
		Decl:        types.NewFunction(args, types.Named("answer", f.Result.rego()).Description(string(f.Result)))}
	return own
}

// says describes what may be written for the option in a few words.
func (o *Option) says() string {
	text := string(o.Kind)
	if len(o.Words) > 0 {
		text = strings.Join(quoted(o.Words), " or ")
	}
	if o.Required {
		text += ", required"
	}
	return text
}
