package packfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"
)

// Limits of one data file. Real files stay far below them.
const (
	maxDepth     = 100       // nesting of arrays and objects; FHIR needs about 20
	maxYAMLBytes = 8 << 20   // source of one YAML file
	maxJSONBytes = 128 << 20 // source of one JSON file
)

// Document is one YAML or JSON file as strict JSON (unique names, UTF-8, one
// value, bounded depth) with the way back to its lines.
type Document struct {
	file File
	json []byte
	node *yaml.Node // nil for a JSON file
}

// Read parses a file, as JSON if its name ends in .json, else as YAML.
func Read(f File) (*Document, error) {
	if strings.HasSuffix(f.Name, ".json") {
		return readJSON(f)
	}
	return readYAML(f)
}

// readJSON checks the syntax of a JSON file.
func readJSON(f File) (*Document, error) {
	d := &Document{file: f, json: f.Data}
	if len(f.Data) > maxJSONBytes {
		return nil, tooLarge(f.Name, 0, fmt.Sprintf("has more than %d bytes", maxJSONBytes))
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(f.Data))
	for {
		_, err := dec.ReadToken()
		if err != nil {
			return nil, d.syntax(err)
		}
		if dec.StackDepth() > maxDepth {
			return nil, tooLarge(f.Name, f.LineAt(dec.InputOffset()), fmt.Sprintf("is nested deeper than %d", maxDepth))
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, &Problem{File: f.Name, Line: f.LineAt(dec.InputOffset()), Kind: ErrMalformed,
			What: "has something after the JSON value", Hint: "keep one value in the file"}
	}
	return d, nil
}

func (d *Document) syntax(err error) error {
	p := &Problem{File: d.file.Name, Kind: ErrMalformed, What: "is not strict JSON: " + err.Error(),
		Hint: "fix the syntax; names must be unique within an object"}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		p.Line = d.file.LineAt(syntactic.ByteOffset)
		p.What = "is not strict JSON: " + syntactic.Err.Error()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		p.What = "is not strict JSON: it ends too early"
	}
	return p
}

func tooLarge(file string, line int, what string) error {
	return &Problem{File: file, Line: line, What: what, Kind: ErrTooLarge, Hint: "split the file or simplify it"}
}

// Decode fills a struct from the document; unknown members are refused, and so
// are numbers, dates or booleans where a text is expected.
func (d *Document) Decode(into any) error {
	err := json.Unmarshal(d.json, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var problem *Problem
	if errors.As(err, &problem) {
		return problem
	}
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return d.syntax(err)
	}
	at := semantic.JSONPointer
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return d.Problem(ErrMalformed, at, "check the spelling, or see the format description",
			"unknown member %q", at.LastToken())
	case semantic.JSONKind == '0':
		return d.Problem(ErrMalformed, at, "put versions and texts in quotes, as in \"1.10\"",
			"%s is a number where something else is expected", at)
	case semantic.JSONKind == 't' || semantic.JSONKind == 'f':
		return d.Problem(ErrMalformed, at, "put texts in quotes, as in \"true\"",
			"%s is a boolean where something else is expected", at)
	}
	return d.Problem(ErrMalformed, at, "see the format description",
		"%s is %s where something else is expected", pathOr(at, "the file"), kindWord(semantic.JSONKind))
}

func kindWord(k jsontext.Kind) string {
	switch k {
	case '"':
		return "a text"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 'n':
		return "null"
	}
	return "of another type"
}

func pathOr(p jsontext.Pointer, root string) string {
	if p == "" {
		return root
	}
	return string(p)
}

// Problem makes a problem at a place of the document.
func (d *Document) Problem(kind Kind, at jsontext.Pointer, hint, format string, args ...any) *Problem {
	return &Problem{File: d.file.Name, Line: d.Line(at), What: fmt.Sprintf(format, args...), Hint: hint, Kind: kind}
}

// Line returns the source line of a place, or of the nearest parent found.
func (d *Document) Line(at jsontext.Pointer) int {
	if d.node != nil {
		_, line := yamlAt(d.node, at)
		return line
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(d.file.Data))
	line, nearest := 1, jsontext.Pointer("")
	for {
		if _, err := dec.ReadToken(); err != nil {
			return line
		}
		here := dec.StackPointer()
		if len(here) > len(nearest) && here.Contains(at) { // not the end of what contains it
			line, nearest = d.file.LineAt(dec.InputOffset()), here
		}
		if here == at {
			return line
		}
	}
}

// Lines returns the lines of the n items of a list. It reads the file once,
// where asking [Document.Line] for each of them would read it n times. An item
// that cannot be found, as behind a merge key, has the line of the list.
func (d *Document) Lines(list jsontext.Pointer, n int) []int {
	lines := make([]int, 0, n)
	if d.node != nil {
		for i := range n {
			_, line := yamlAt(d.node, Index(list, i))
			lines = append(lines, line)
		}
		return lines
	}
	inside := strings.Count(string(list), "/") + 1 // depth of the list's items
	line, counted := 1, int64(0)
	dec := jsontext.NewDecoder(bytes.NewBuffer(d.file.Data))
	for len(lines) < n {
		if _, err := dec.ReadToken(); err != nil {
			return append(lines, slices.Repeat([]int{d.Line(list)}, n-len(lines))...)
		}
		if depth := dec.StackDepth(); depth != inside && depth != inside+1 {
			continue
		}
		if dec.StackPointer() == Index(list, len(lines)) {
			end := dec.InputOffset()
			line += bytes.Count(d.file.Data[counted:end], []byte("\n"))
			lines, counted = append(lines, line), end
		}
	}
	return lines
}

// yamlAt follows a JSON pointer through the nodes of a YAML file, as far as it
// leads, and returns the line it came to.
func yamlAt(n *yaml.Node, at jsontext.Pointer) (*yaml.Node, int) {
	line := n.Line
	for token := range at.Tokens() {
		for hops := 0; n.Kind == yaml.AliasNode && hops < maxDepth; hops++ {
			n = n.Alias
		}
		key, value := yamlChild(n, token)
		if value == nil {
			break
		}
		n, line = value, key.Line
	}
	return n, line
}

// yamlChild returns where a member or item begins, and what it is.
func yamlChild(n *yaml.Node, token string) (key, value *yaml.Node) {
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(token); err == nil && 0 <= i && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == token {
				return n.Content[i], n.Content[i+1]
			}
		}
	}
	return nil, nil
}

// Index points at an item of a list.
func Index(list jsontext.Pointer, i int) jsontext.Pointer { return list.AppendToken(strconv.Itoa(i)) }
