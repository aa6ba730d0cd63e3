package clinical

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"golang.org/x/mod/semver"
)

// Library is one version of the functions that rules call. It is immutable and
// safe for concurrent use; any number of them may live in one program.
type Library struct {
	version   string
	functions []*function          // in the order of the documentation
	byName    map[string]*function // the same
	bounds    Bounds
}

// libraries makes the libraries of this program, oldest first.
var libraries = sync.OnceValue(func() []*Library {
	l, err := newLibrary("1.1.0", standardBounds, functions())
	if err != nil {
		panic("clinical: " + err.Error()) // a slip in this package's tables, which its tests find
	}
	return []*Library{l}
})

// Libraries returns the libraries that this program has, oldest first.
func Libraries() []*Library { return slices.Clone(libraries()) }

// Newest returns the newest library that this program has.
func Newest() *Library { return libraries()[len(libraries())-1] }

// NewestOf returns the newest library of a major version, as a pack names it.
func NewestOf(major string) (*Library, bool) {
	for _, l := range slices.Backward(libraries()) {
		if l.Major() == major {
			return l, true
		}
	}
	return nil, false
}

func newLibrary(version string, bounds Bounds, list []Function) (*Library, error) {
	if v := "v" + version; semver.Canonical(v) != v {
		return nil, fmt.Errorf("making clinical library %q: the version must be a semantic one, such as 1.1.0",
			version)
	}
	l := &Library{version: version, bounds: bounds, byName: make(map[string]*function, len(list))}
	for i := range list {
		why := list[i].problem()
		if l.byName[list[i].Name] != nil {
			why = "it is there twice"
		}
		if why != "" {
			return nil, fmt.Errorf("making clinical library %s: function %q: %s", version, list[i].Name, why)
		}
		f := newFunction(clone(list[i]))
		f.index = len(l.functions)
		l.functions = append(l.functions, f)
		l.byName[f.Name] = f
	}
	return l, nil
}

// clone copies what a description shares with the one it was made from, so
// that nobody changes a function of a library from outside.
func clone(f Function) Function {
	f.Args, f.Options = slices.Clone(f.Args), slices.Clone(f.Options)
	f.Reads, f.Attributes = slices.Clone(f.Reads), slices.Clone(f.Attributes)
	for i, o := range f.Options {
		f.Options[i].Words, f.Options[i].Sets = slices.Clone(o.Words), slices.Clone(o.Sets)
	}
	return f
}

// With makes another library, of another version: a function that l has under
// the same name is replaced, others are added at the end. The error says which
// description is not complete.
func (l *Library) With(version string, functions ...Function) (*Library, error) {
	if version == l.version {
		return nil, fmt.Errorf("making clinical library %s: one version has one content; give the changed one another",
			version)
	}
	list := l.Functions()
	for _, f := range functions {
		if i := slices.IndexFunc(list, func(have Function) bool { return have.Name == f.Name }); i >= 0 {
			list[i] = f
		} else {
			list = append(list, f)
		}
	}
	return newLibrary(version, l.bounds, list)
}

// WithBounds makes another library, of another version, whose pairs of rule and
// subject may use other amounts.
func (l *Library) WithBounds(version string, bounds Bounds) (*Library, error) {
	other, err := l.With(version)
	if err == nil {
		other.bounds = bounds
	}
	return other, err
}

// Version is the version of the library, such as 1.1.0: an activation names
// the one that it was approved with, and a record the one that answered.
func (l *Library) Version() string { return l.version }

// Major is the part of the version that packs name.
func (l *Library) Major() string {
	major, _, _ := strings.Cut(l.version, ".")
	return major
}

// Functions describes every function, in the order of the documentation.
func (l *Library) Functions() []Function {
	list := make([]Function, len(l.functions))
	for i, f := range l.functions {
		list[i] = clone(f.Function)
	}
	return list
}

// Function describes one function; ok is false if the library has none of the
// name.
func (l *Library) Function(name string) (f Function, ok bool) {
	have := l.byName[name]
	if have == nil {
		return Function{}, false
	}
	return clone(have.Function), true
}

// Capabilities lists what a rule may use: the library and those built-ins of
// Rego that are deterministic and reach nothing outside. Editors and stock
// tools read it as an OPA capabilities file.
func (l *Library) Capabilities() *ast.Capabilities {
	stock := ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(ast.RegoV1))
	caps := &ast.Capabilities{FutureKeywords: stock.FutureKeywords, Features: stock.Features, AllowNet: []string{}}
	for _, b := range stock.Builtins {
		if _, ok := costs[b.Name]; ok {
			caps.Builtins = append(caps.Builtins, b)
		}
	}
	for _, f := range l.functions {
		caps.Builtins = append(caps.Builtins, f.decl)
	}
	return caps
}

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}
