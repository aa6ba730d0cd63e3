package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/tenant"
)

// What the documents list is held against the code that it is about, in both
// directions where a list can be read from them.

// doc reads a file of the repository.
func doc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// userDocs are the pages for users, by name.
func userDocs(t *testing.T) map[string]string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	all := map[string]string{"README.md": doc(t, "README.md")}
	for _, p := range pages {
		name := "docs/" + filepath.Base(p)
		all[name] = doc(t, name)
	}
	return all
}

// found gives the first group of every match in a source file, each once; it
// fails if the file is no longer written the way the pattern expects.
func found(t *testing.T, source, pattern string, least int) []string {
	t.Helper()
	var list []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(doc(t, source), -1) {
		list = append(list, m[1])
	}
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) < least {
		t.Fatalf("%s: %d matches of %s, want at least %d: fix the pattern of this test", source, len(list), pattern,
			least)
	}
	return list
}

// namedOn wants every name in backticks somewhere on a page.
func namedOn(t *testing.T, page string, names []string) {
	t.Helper()
	text := doc(t, page)
	for _, n := range names {
		if !strings.Contains(text, "`"+n+"`") {
			t.Errorf("%s does not name `%s`", page, n)
		}
	}
}

func TestDocsConfiguration(t *testing.T) {
	text := doc(t, "docs/configuration.md")
	known := map[string]bool{}
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue
			}
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch {
			case f.Type.Kind() == reflect.Struct:
				walk(prefix+key+".", f.Type)
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				walk(prefix+key+"[].", f.Type.Elem())
			default:
				known[prefix+key] = true
			}
		}
	}
	walk("", reflect.TypeFor[config]())
	written := map[string]bool{}
	for line := range strings.Lines(section(text, "", "## ")) {
		prefix := ""
		for _, m := range regexp.MustCompile("`([a-z0-9_.\\[\\]]+)`").FindAllStringSubmatch(firstCell(line), -1) {
			key := m[1]
			if strings.HasPrefix(key, ".") { // the rest of a list such as `a.b`, `.c`
				key = prefix + key
			}
			prefix, _, _ = strings.Cut(key, ".")
			written[key] = true
		}
	}
	same(t, "docs/configuration.md", "configuration key", known, written)

	limits, listed := map[string]bool{}, map[string]bool{}
	for i := range reflect.TypeFor[tenant.Limits]().NumField() {
		limits[member(reflect.TypeFor[tenant.Limits]().Field(i))] = true
	}
	for line := range strings.Lines(section(text, "## Limits", "## ")) {
		for _, m := range regexp.MustCompile("`([a-zA-Z]+)`").FindAllStringSubmatch(firstCell(line), -1) {
			listed[m[1]] = true
		}
	}
	same(t, "docs/configuration.md", "limit", limits, listed)
}

// member is the name of a field in JSON.
func member(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func TestDocsPolicy(t *testing.T) {
	known, listed := map[string]bool{}, map[string]bool{}
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
				walk(prefix+member(f)+"[].", f.Type.Elem())
				continue
			}
			known[prefix+member(f)] = true
		}
	}
	walk("", reflect.TypeFor[tenant.Policy]())
	for line := range strings.Lines(section(doc(t, "docs/configuration.md"), "## Policy", "## ")) {
		prefix := ""
		for _, m := range regexp.MustCompile("`([a-zA-Z.\\[\\]]+)`").FindAllStringSubmatch(firstCell(line), -1) {
			key := m[1]
			if strings.HasPrefix(key, ".") {
				key = prefix + key
			}
			prefix = key[:max(strings.LastIndex(key, "."), 0)]
			listed[key] = true
		}
	}
	same(t, "docs/configuration.md", "member of a policy", known, listed)
}

// section is the text after a heading, up to the next one.
func section(text, from, to string) string {
	if from != "" {
		_, text, _ = strings.Cut(text, from)
	}
	text, _, _ = strings.Cut(text, "\n"+to)
	return text
}

// firstCell is the first cell of a table's row; "" for other lines.
func firstCell(line string) string {
	cells := strings.Split(line, "|")
	if len(cells) < 3 || cells[0] != "" {
		return ""
	}
	return cells[1]
}

func same(t *testing.T, page, what string, code, listed map[string]bool) {
	t.Helper()
	for k := range code {
		if !listed[k] {
			t.Errorf("%s does not list the %s %s", page, what, k)
		}
	}
	for k := range listed {
		if !code[k] {
			t.Errorf("%s lists the %s %s, which the program does not have", page, what, k)
		}
	}
}

func set(names []string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

func TestDocsMetrics(t *testing.T) {
	metrics := set(append(found(t, "api/metrics.go", `"(precept_[a-z_]+)"`, 8),
		append(found(t, "api/store.go", `"(precept_[a-z_]+)"`, 5),
			found(t, "api/anchors.go", `"(precept_[a-z_]+)"`, 6)...)...))
	same(t, "docs/operating.md", "metric", metrics, set(found(t, "docs/operating.md", `(precept_[a-z_]+)`, 1)))
	namedOn(t, "docs/operating.md", found(t, "api/token.go", `denied = "([a-z]+)"`, 10))
}

// TestDocsFunctions holds that docs/packs.md names no function that the library does not
// have, and every reason. docs/rule-library.md describes the functions.
func TestDocsFunctions(t *testing.T) {
	const page = "docs/packs.md"
	for name := range set(found(t, page, "\\b((?:fact|fhir)\\.[a-z_]+|param)\\(", 1)) {
		if _, ok := clinical.Newest().Function(name); !ok {
			t.Errorf("%s names %s, which does not exist", page, name)
		}
	}
	namedOn(t, "docs/packs.md", found(t, "engine/fact/fact.go", `Code += "([a-z-]+)"`, 10))
	namedOn(t, "docs/packs.md", found(t, "engine/clinical/meta.go", `\{"([a-z-]+)", reasonSystem`, 3))
	namedOn(t, "docs/integrating.md", found(t, "engine/clinical/meta.go", `\{"([a-z-]+)", reasonSystem`, 3))
}

// Every problem is in a row with its status and its Retry-After.
func TestDocsProblems(t *testing.T) {
	rows := strings.Split(doc(t, "docs/integrating.md")+doc(t, "docs/operating.md"), "\n")
	table := regexp.MustCompile(`status: ([0-9]+), code: "([a-z-]+)"(?:, issue: [A-Za-z.]+)?(?:, retry: ([0-9]+))?`)
	problems := table.FindAllStringSubmatch(doc(t, "api/problems.go"), -1)
	if codes := found(t, "api/problems.go", `code: "([a-z-]+)"`, 50); len(problems) < len(codes)-1 {
		t.Fatalf("%d problems of %d codes: fix the pattern of this test", len(problems), len(codes))
	}
	problems = append(problems, []string{"", "500", "internal", ""})
	for _, p := range problems {
		status, code, retry := p[1], p[2], p[3]
		for row := range strings.Lines(section(doc(t, "docs/integrating.md"), "| status | code |", "\n")) {
			cells := strings.Split(row, "|")
			if len(cells) != 6 || !strings.Contains(cells[2], "`"+code+"`") || strings.TrimSpace(cells[1]) != status {
				continue
			}
			if listed := strings.TrimSpace(cells[4]); listed != retry {
				t.Errorf("docs/integrating.md gives code `%s` the Retry-After %q, the program %q", code, listed, retry)
			}
		}
		if !slices.ContainsFunc(rows, func(row string) bool {
			return strings.Contains(firstCell(row), status) && strings.Contains(row, "`"+code+"`") &&
				strings.Contains(row, retry)
		}) {
			t.Errorf("neither docs/integrating.md nor docs/operating.md has a row with status %s, code `%s`, "+
				"Retry-After %q", status, code, retry)
		}
	}
}

// Every route for people is in the table with its method, and no other.
func TestDocsRoutes(t *testing.T) {
	routes, written := map[string]bool{}, map[string]bool{}
	route := regexp.MustCompile(`method: "([A-Z]+)", path: tenant \+ "([^"]+)"`)
	names := strings.NewReplacer(":sha256", "SHA256", ":index", "INDEX", ":id", "ID", ":month", "YYYY-MM", "*", "…")
	for _, m := range route.FindAllStringSubmatch(doc(t, "api/routes.go"), -1) {
		routes[m[1]+" "+names.Replace(m[2])] = true
	}
	if len(routes) < 15 {
		t.Fatalf("%d routes: fix the pattern of this test", len(routes))
	}
	for line := range strings.Lines(section(doc(t, "docs/operating.md"), "## Routes for people", "## ")) {
		for _, m := range regexp.MustCompile("`([A-Z]+ /[^`]+)`").FindAllStringSubmatch(firstCell(line), -1) {
			written[m[1]] = true
		}
	}
	same(t, "docs/operating.md", "route", routes, written)
}

func TestDocsFormats(t *testing.T) {
	namedOn(t, "docs/formats.md", found(t, "signing/statement/statement.go", ` Kind = "([a-z-]+)"`, 13))
	namedOn(t, "docs/formats.md", found(t, "engine/audit/leaf.go", ` Kind = "([a-z-]+)"`, 7))
	namedOn(t, "docs/formats.md", found(t, "engine/indexed.go", `"(precept-[a-z]+/[0-9]+)"`, 3))
	const record = "engine/decision/decision.go"
	namedOn(t, "docs/formats.md", found(t, record, `(?m)^\t[A-Z][A-Za-z]+ +[A-Z][A-Za-z]+ += "([a-z-]+)"`, 24))
	namedOn(t, "docs/formats.md", found(t, record, "json:\"([a-z_]+)", 40))
}

// Every command is named somewhere, and every command written down exists with
// the flags it is given.
func TestDocsCommands(t *testing.T) {
	pages := userDocs(t)
	var all strings.Builder
	for _, text := range pages {
		all.WriteString(text)
	}
	var walk func(c *cobra.Command, path string)
	walk = func(c *cobra.Command, path string) {
		for _, sub := range c.Commands() {
			if sub.Hidden { // for the program itself
				continue
			}
			name := strings.TrimSpace(path + " " + sub.Name())
			if !strings.Contains(all.String(), name) || path == "" && !strings.Contains(all.String(), "precept "+name) {
				t.Errorf("neither README.md nor docs names precept %s", name)
			}
			walk(sub, name)
		}
	}
	walk(root(), "")
	for page, text := range pages {
		for _, line := range commandLines(text) {
			if err := checkCommand(line); err != nil {
				t.Errorf("%s: %q: %v", page, line, err)
			}
		}
	}
}

// commandLines gives what a page tells the reader to type: after a prompt, and
// between backticks.
func commandLines(text string) []string {
	text = strings.ReplaceAll(text, "\\\n", " ")
	var lines []string
	for _, m := range regexp.MustCompile("(?m)(?:^\\$ |`)precept ([^`#|&\n]+)").FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.TrimSpace(m[1]))
	}
	return lines
}

func checkCommand(line string) error {
	words := strings.Fields(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(line, "text"))
	c, rest, err := root().Find(words)
	if err != nil {
		return err
	}
	for _, w := range rest {
		name, _, _ := strings.Cut(strings.Trim(w, "().,"), "=")
		switch {
		case strings.HasPrefix(name, "--") && name != "--help":
			name = strings.TrimPrefix(name, "--")
			if c.Flags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil {
				return fmt.Errorf("%s has no flag --%s", c.CommandPath(), name)
			}
		case c.HasSubCommands() && regexp.MustCompile(`^[a-z]+$`).MatchString(name):
			return fmt.Errorf("%s has no command %s", c.CommandPath(), name)
		}
	}
	return nil
}

// Versions and digests of the reference packs are those that the program has.
func TestDocsPacks(t *testing.T) {
	shown := regexp.MustCompile(`\b([a-z]+_[a-z_]+) +([0-9.]+)\b.*\bsha256 ([0-9a-f]{8,})`)
	seen := 0
	for page, text := range userDocs(t) {
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			pack, err := openPack("builtin:" + m[1])
			if err != nil {
				continue // of an author, or no pack at all
			}
			seen++
			if pack.Manifest.Version != m[2] || !strings.HasPrefix(string(pack.Digest), m[3]) {
				t.Errorf("%s: %q, but it is %s sha256 %s", page, m[0], pack.Manifest.Version, pack.Digest)
			}
		}
	}
	if seen < 6 {
		t.Errorf("%d digests found: fix the pattern of this test", seen)
	}
}

// Every link inside the repository leads to a file.
func TestDocsLinks(t *testing.T) {
	for page, text := range userDocs(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// Every folder and file of ours that a page names is there.
func TestDocsPaths(t *testing.T) {
	pages := userDocs(t)
	decisions, err := filepath.Glob("../../docs/decisions/*.md")
	if err != nil || len(decisions) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	for _, p := range decisions {
		name := "docs/decisions/" + filepath.Base(p)
		pages[name] = doc(t, name)
	}
	ours := regexp.MustCompile("`((?:api|cmd|docs|engine|fixtures|rulepacks|signing)(?:/[a-z0-9_.-]+)+)`")
	for page, text := range pages {
		for _, m := range ours.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// Every package has a row among the rooms; README.md leaves out what lies deeper.
func TestDocsFolders(t *testing.T) {
	for _, page := range []struct {
		name, heading string
		deepest       int
	}{{"docs/architecture.md", "## The rooms", 9}, {"README.md", "## Where things are", 2}} {
		code, listed := map[string]bool{}, map[string]bool{}
		for _, top := range []string{"api", "cmd", "engine", "fixtures", "rulepacks", "signing"} {
			err := fs.WalkDir(os.DirFS("../.."), top, func(path string, d fs.DirEntry, err error) error {
				if d != nil && d.IsDir() && (d.Name() == "testdata" || d.Name() == "internal") {
					return fs.SkipDir
				}
				folder := filepath.Dir(path)
				if strings.HasSuffix(path, ".go") && strings.Count(folder, "/") < page.deepest {
					code[folder] = true
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for line := range strings.Lines(section(doc(t, page.name), page.heading, "## ")) {
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(firstCell(line), -1) {
				if m[1] != "docs" {
					listed[m[1]] = true
				}
			}
		}
		same(t, page.name, "folder", code, listed)
	}
}

// declared are the names that a Go file declares, methods included.
func declared(t *testing.T, file string) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[d.Name.Name] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					names[s.Name.Name] = true
				case *ast.ValueSpec:
					for _, n := range s.Names {
						names[n.Name] = true
					}
				}
			}
		}
	}
	return names
}

// Every function that the page on architecture names is in the file named just
// before it, or else in the package of the last file named in that paragraph.
func TestDocsArchitecture(t *testing.T) {
	text := doc(t, "docs/architecture.md")
	_, text, ok := strings.Cut(text, "\n## The life of a call")
	if !ok {
		t.Fatal("docs/architecture.md has no life of a call")
	}
	rego := map[string]bool{"holds": true, "card": true}
	file := regexp.MustCompile(`^[a-z/]+/[a-z_]+\.go$`)
	word := regexp.MustCompile(`^[A-Za-z]+$`)
	var seen int
	for _, paragraph := range regexp.MustCompile(`\n\n|\n(?:\d+\.|-|   -|\|) `).Split(text, -1) {
		last, end := "", 0
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatchIndex(paragraph, -1) {
			name, between := paragraph[m[2]:m[3]], paragraph[end:m[0]]
			switch {
			case file.MatchString(name):
				last, end = filepath.Join("../..", name), m[1]
			case last == "" || rego[name] || !word.MatchString(name):
			default:
				files := []string{last}
				if strings.TrimSpace(between) != "" {
					files, _ = filepath.Glob(filepath.Dir(last) + "/*.go")
					files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
				}
				if !slices.ContainsFunc(files, func(f string) bool { return declared(t, f)[name] }) {
					t.Errorf("docs/architecture.md: %s is not declared in %s", name, strings.Join(files, ", "))
				}
				seen++
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d names found: fix the pattern of this test", seen)
	}
}

// TestDecisionsAreNumbered holds that a decision has a number of its own, under which it
// is referred to, and that there is none missing.
func TestDecisionsAreNumbered(t *testing.T) {
	files, err := filepath.Glob("../../docs/decisions/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	for i, f := range files {
		number := fmt.Sprintf("%04d", i+1)
		if name := filepath.Base(f); !strings.HasPrefix(name, number+"-") {
			t.Errorf("%s: want number %s", name, number)
		}
		if !strings.HasPrefix(doc(t, "docs/decisions/"+filepath.Base(f)), "# "+number+": ") {
			t.Errorf("%s does not say its number in its first line", filepath.Base(f))
		}
	}
}
