package clinical

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

// Bounds are what the code of a pack must stay within, so that reading and compiling it
// takes time and memory in proportion to its size. They are counted before the step
// that would suffer: in the bytes before parsing, in the syntax tree before compiling,
// in the references before they are resolved, in the types before they are compared.
// What they cannot foresee ends with the process that compiles a stranger's pack.

// codeBound is one such count.
type codeBound struct {
	what string // in the plural
	most int
	mend string
}

// Of the bytes, before parsing.
var (
	boundFiles    = codeBound{"files with rules", 25_000, "put helpers together, or split the pack"}
	boundFile     = codeBound{"bytes in a file with rules", 1 << 20, "split the file"}
	boundBytes    = codeBound{"bytes of rules in all", 24 << 20, "split the pack"}
	boundTokens   = codeBound{"words and signs in a file with rules", 50_000, "split the file"}
	boundAll      = codeBound{"words and signs of rules in all", 3_000_000, "split the pack"}
	boundBrackets = codeBound{"brackets within brackets", 100, "give the inner values names of their own"}
	boundWord     = codeBound{"bytes of a name or number", 256, "shorten it"}
	boundText     = codeBound{"bytes of one text", 32 << 10, "shorten it, or join it from parts"}
	boundComment  = codeBound{"bytes of one block of comment lines", 16 << 10,
		"shorten it, or part it by empty lines"}
)

// Of the syntax tree, before compiling.
var (
	boundRegoRules = codeBound{"definitions in all", 100_000, "split the pack"}
	boundSame      = codeBound{"definitions of one name in a file", 1000, "make them one table that is looked up"}
	boundImports   = codeBound{"imports of a file", 100, "split the file"}
	boundPackage   = codeBound{"parts of a package's name", 10, "shorten it"}
	boundElse      = codeBound{"else branches of one definition", 100, "make them one table that is looked up"}
	boundNodes     = codeBound{"terms in one definition", 10_000, "split it into definitions of their own"}
	boundExprs     = codeBound{"expressions and calls in one definition", 500, "split it into definitions of their own"}
	boundDepth     = codeBound{"terms within terms", 100, "give the inner terms names of their own"}
	boundClosures  = codeBound{"comprehensions, every, not and templates within each other", 4,
		"give the inner ones names of their own"}
	boundRef  = codeBound{"parts of one reference", 50, "give the first part of it a name"}
	boundKeys = codeBound{"objects as keys of objects", 0, "use a string or an array as key"}
)

// Of what is compiled, before it is resolved, compared or kept.
var (
	boundMeant = codeBound{"definitions that the references of a pack may mean", 500_000,
		"name the definition that is meant, instead of one of many"}
	boundReach = codeBound{"definitions that the definitions of a pack rest on, each counted by itself", 1_000_000,
		"make shorter chains of definitions, and split large helpers"}
	boundType = codeBound{"steps to compare values of the type of one definition", 1_000_000,
		"do not put a value more than once into another, level after level"}
	boundUses = codeBound{"library calls that the rules of a pack reach, counted for each rule", 500_000,
		"split helpers that many rules share, so that each reaches what it needs"}
)

// maxFound bounds how many problems one reading of code reports, and maxWords the
// bytes of each.
const (
	maxFound = 50
	maxWords = 1000
)

// over reports a count that is above its bound.
func (r *reader) over(b codeBound, n int, file string, line int) bool {
	if n <= b.most {
		return false
	}
	r.add(Problem{File: file, Line: line, Text: fmt.Sprintf("%s: %d, and at most %d are compiled", b.what, n, b.most),
		Hint: b.mend})
	return true
}

// add keeps a problem, if there are not too many.
func (r *reader) add(p Problem) {
	if len(p.Text) > maxWords {
		p.Text = strings.ToValidUTF8(p.Text[:maxWords], "") + "..."
	}
	if len(r.problems) < maxFound {
		r.problems = append(r.problems, p)
	}
}

// scan counts what can be counted before parsing. It takes time in proportion to the
// bytes.
func (r *reader) scan() {
	files := r.pack.Rules
	if r.over(boundFiles, len(files), "rules", 0) {
		return
	}
	bytes, words := 0, 0
	for _, f := range files {
		if r.over(boundFile, len(f.Data), f.Name, 0) {
			continue
		}
		c := scanFile(f)
		for _, x := range c.over {
			r.over(x.bound, x.n, f.Name, x.line)
		}
		if c.anchor > 0 {
			r.problem(f.Name, c.anchor, "the metadata has an anchor (&name), which can make it larger than it looks: "+
				"write out what it stands for")
		}
		bytes, words = bytes+len(f.Data), words+c.words
	}
	r.over(boundBytes, bytes, "rules", 0)
	r.over(boundAll, words, "rules", 0)
}

// overrun is a bound that was passed, and how far.
type overrun struct {
	bound codeBound
	n     int
	line  int
}

// counts is what was counted in a file.
type counts struct {
	words    int
	brackets int // within brackets, at most
	anchor   int // line of an anchor in metadata; 0 if there is none
	over     []overrun
}

// scanner counts words, brackets and texts the way the evaluator's scanner cuts them.
// Where they should differ the parser's own limits hold.
type scanner struct {
	src    []byte
	at     int
	line   int
	counts counts
	open   []byte // brackets that are open; a template's quote stands for itself
}

func scanFile(f packfile.File) counts {
	s := &scanner{src: f.Data, line: 1}
	for s.at < len(s.src) {
		s.token()
	}
	s.check(boundTokens, s.counts.words, 0)
	return s.counts
}

// check notes how far a bound was passed, and where first.
func (s *scanner) check(b codeBound, n, line int) {
	if n <= b.most {
		return
	}
	for i := range s.counts.over {
		if x := &s.counts.over[i]; x.bound == b {
			x.n = max(x.n, n)
			return
		}
	}
	s.counts.over = append(s.counts.over, overrun{b, n, line})
}

// push opens a bracket or template.
func (s *scanner) push(c byte) {
	s.open = append(s.open, c)
	s.counts.brackets = max(s.counts.brackets, len(s.open))
	s.check(boundBrackets, len(s.open), s.line)
}

func (s *scanner) top() byte {
	if len(s.open) == 0 {
		return 0
	}
	return s.open[len(s.open)-1]
}

func (s *scanner) pop() {
	if len(s.open) > 0 {
		s.open = s.open[:len(s.open)-1]
	}
}

func (s *scanner) token() {
	c := s.src[s.at]
	switch {
	case c == '\n':
		s.line++
		s.at++
		return
	case c == ' ' || c == '\t' || c == '\r':
		s.at++
		return
	case c == '#':
		s.comments()
		return
	}
	s.counts.words++
	switch {
	case c == '"' || c == '`':
		s.text(c, false)
	case c == '$' && s.at+1 < len(s.src) && (s.src[s.at+1] == '"' || s.src[s.at+1] == '`'):
		s.at++
		s.push(s.src[s.at])
		s.text(s.src[s.at], true)
	case c == '(' || c == '[' || c == '{':
		s.push(c)
		s.at++
	case c == ')' || c == ']':
		if t := s.top(); t == '(' || t == '[' || t == '{' {
			s.pop()
		}
		s.at++
	case c == '}':
		if t := s.top(); t == '(' || t == '[' || t == '{' {
			s.pop()
		}
		if t := s.top(); t == '"' || t == '`' { // back in the words of a template
			s.text(t, true)
			return
		}
		s.at++
	case word(c):
		start := s.at
		for s.at < len(s.src) && word(s.src[s.at]) {
			s.at++
		}
		s.check(boundWord, s.at-start, s.line)
	default:
		s.at++
	}
}

func word(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// text skips a text from its quote, or from where a template goes on, to its end, or to
// where the template has an expression.
func (s *scanner) text(quote byte, template bool) {
	start, line := s.at, s.line
	for s.at++; s.at < len(s.src); s.at++ {
		switch c := s.src[s.at]; {
		case c == '\n' && quote == '"': // no text goes beyond its line
			if template {
				s.pop()
			}
			s.check(boundText, s.at-start, line)
			return
		case c == '\n':
			s.line++
		case c == '\\' && (quote == '"' || template):
			s.at++
			if s.at < len(s.src) && s.src[s.at] == '\n' {
				s.line++
			}
		case c == '{' && template:
			s.check(boundText, s.at-start, line)
			s.push('{')
			s.at++
			return
		case c == quote:
			if template {
				s.pop()
			}
			s.check(boundText, s.at-start, line)
			s.at++
			return
		}
	}
	s.at = len(s.src)
	s.check(boundText, s.at-start, line)
}

// comments skips comment lines that follow each other: metadata are such blocks.
func (s *scanner) comments() {
	start, line := s.at, s.line
	metadata := false
	for s.at < len(s.src) && s.src[s.at] == '#' {
		end := s.at
		for end < len(s.src) && s.src[end] != '\n' {
			end++
		}
		text := string(s.src[s.at:min(end, s.at+boundComment.most+1)])
		if metadata && s.counts.anchor == 0 && anchored(text) {
			s.counts.anchor = s.line
		}
		metadata = metadata || strings.TrimSpace(strings.TrimPrefix(text, "#")) == "METADATA"
		s.at = end
		if s.at < len(s.src) {
			s.at++
			s.line++
		}
		for s.at < len(s.src) && (s.src[s.at] == ' ' || s.src[s.at] == '\t' || s.src[s.at] == '\r') {
			s.at++
		}
	}
	s.check(boundComment, s.at-start, line)
}

// anchored says whether a line of YAML may define an anchor.
func anchored(line string) bool {
	for i := 1; i+1 < len(line); i++ {
		if line[i] == '&' && strings.IndexByte(" \t[{,:-?#", line[i-1]) >= 0 && word(line[i+1]) {
			return true
		}
	}
	return false
}

// count counts what was parsed.
func (r *reader) count() {
	all := 0
	for _, file := range r.files() {
		m := r.code.Modules[file]
		r.over(boundPackage, len(m.Package.Path)-1, file, m.Package.Location.Row)
		r.over(boundImports, len(m.Imports), file, 0)
		same := map[string]int{}
		for _, x := range m.Rules {
			all++
			name := x.Head.Ref().String()
			if same[name]++; same[name] == boundSame.most+1 {
				r.over(boundSame, boundSame.most+1, file, x.Location.Row)
			}
			r.countRule(file, x)
		}
	}
	r.over(boundRegoRules, all, "rules", 0)
}

// countRule counts what is in one definition.
func (r *reader) countRule(file string, x *ast.Rule) {
	line, branches := x.Location.Row, 0
	w := &treeWalk{}
	for ; x != nil; x = x.Else {
		w.walk(x.Head)
		w.walk(x.Body)
		branches++
	}
	r.over(boundElse, branches-1, file, line)
	r.over(boundNodes, w.nodes, file, line)
	r.over(boundExprs, w.exprs, file, line)
	r.over(boundDepth, w.deepest, file, line)
	r.over(boundClosures, w.mostClosures, file, line)
	r.over(boundRef, w.longest, file, line)
	r.over(boundKeys, w.keys, file, line)
}

// treeWalk counts the nodes of a syntax tree.
type treeWalk struct {
	nodes, exprs, longest, keys int

	depth, deepest         int
	closures, mostClosures int
}

func (w *treeWalk) walk(x any) {
	ast.NewBeforeAfterVisitor(w.enter, w.leave).Walk(x)
}

// kindOf says whether a node counts as a term around others, and as a closure.
func kindOf(x any) (around, closure bool) {
	switch x.(type) {
	case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension, *ast.Every, *ast.Not,
		*ast.LogicalAnd, *ast.LogicalOr, *ast.TemplateString:
		return true, true
	case ast.Call, ast.Ref, *ast.Array, ast.Object, ast.Set:
		return true, false
	}
	return false, false
}

func (w *treeWalk) enter(x any) bool {
	w.nodes++
	around, closure := kindOf(x)
	if around {
		w.depth++
		w.deepest = max(w.deepest, w.depth)
	}
	if closure {
		w.closures++
		w.mostClosures = max(w.mostClosures, w.closures)
	}
	switch x := x.(type) {
	case *ast.Expr, ast.Call, *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension,
		*ast.TemplateString:
		w.exprs++
	case ast.Ref:
		w.longest = max(w.longest, len(x))
	case ast.Object:
		x.Foreach(func(k, _ *ast.Term) {
			if holdsObject(k, boundDepth.most) {
				w.keys++
			}
		})
	}
	return w.depth > boundDepth.most // deeper is refused already
}

func (w *treeWalk) leave(x any) {
	around, closure := kindOf(x)
	if around {
		w.depth--
	}
	if closure {
		w.closures--
	}
}

// holdsObject says whether a key is made of an object.
func holdsObject(k *ast.Term, depth int) bool {
	found := depth == 0
	if found {
		return true
	}
	switch v := k.Value.(type) {
	case ast.Object:
		return true
	case *ast.Array:
		v.Foreach(func(t *ast.Term) { found = found || holdsObject(t, depth-1) })
	case ast.Set:
		v.Foreach(func(t *ast.Term) { found = found || holdsObject(t, depth-1) })
	}
	return found
}
