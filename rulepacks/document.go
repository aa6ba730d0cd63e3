package rulepacks

import (
	"bytes"
	"errors"
	"fmt"
	"io"

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

// document is one YAML or JSON file as strict JSON (unique names, UTF-8, one
// value, bounded depth) with the way back to its lines.
type document struct {
	name   string
	source []byte
	json   []byte
	node   *yaml.Node // nil for a JSON file
}

// readJSON checks the syntax of a JSON file.
func readJSON(f File) (*document, error) {
	d := &document{name: f.Name, source: f.Data, json: f.Data}
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
			return nil, tooLarge(f.Name, lineAt(f.Data, dec.InputOffset()), fmt.Sprintf("is nested deeper than %d", maxDepth))
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, &Problem{File: f.Name, Line: lineAt(f.Data, dec.InputOffset()), Kind: ErrMalformed,
			What: "has something after the JSON value", Hint: "keep one value in the file"}
	}
	return d, nil
}

func (d *document) syntax(err error) error {
	p := &Problem{File: d.name, Kind: ErrMalformed, What: "is no strict JSON: " + err.Error(),
		Hint: "mend the syntax; names must be unique within an object"}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		p.Line = lineAt(d.source, syntactic.ByteOffset)
		p.What = "is no strict JSON: " + syntactic.Err.Error()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		p.What = "is no strict JSON: it ends too early"
	}
	return p
}

func tooLarge(file string, line int, what string) error {
	return &Problem{File: file, Line: line, What: what, Kind: ErrTooLarge, Hint: "split the file or simplify it"}
}

// decode fills a struct from the document; unknown members are refused, and so
// are numbers, dates or booleans where a text is expected.
func (d *document) decode(into any) error {
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
		return d.problem(ErrMalformed, at, "check the spelling, or see the format description",
			"unknown member %q", at.LastToken())
	case semantic.JSONKind == '0':
		return d.problem(ErrMalformed, at, "if it is a version or a text write it in quotes, as in \"1.10\"",
			"%s is a number where something else is expected", at)
	case semantic.JSONKind == 't' || semantic.JSONKind == 'f':
		return d.problem(ErrMalformed, at, "if it is a text write it in quotes, as in \"true\"",
			"%s is a boolean where something else is expected", at)
	}
	return d.problem(ErrMalformed, at, "see the format description",
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

// problem makes a Problem at a place of the document.
func (d *document) problem(kind error, at jsontext.Pointer, hint, format string, args ...any) *Problem {
	return &Problem{File: d.name, Line: d.line(at), What: fmt.Sprintf(format, args...), Hint: hint, Kind: kind}
}

// line returns the source line of a place, or of the nearest parent found.
func (d *document) line(at jsontext.Pointer) int {
	if d.node != nil {
		return yamlLine(d.node, at)
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(d.source))
	line := 1
	for {
		if _, err := dec.ReadToken(); err != nil {
			return line
		}
		here := dec.StackPointer()
		if here == at {
			return lineAt(d.source, dec.InputOffset())
		}
		if here.Contains(at) {
			line = lineAt(d.source, dec.InputOffset())
		}
	}
}

// yamlLine follows a JSON pointer through the nodes of a YAML file.
func yamlLine(n *yaml.Node, at jsontext.Pointer) int {
	line := n.Line
	hops := 0
	for token := range at.Tokens() {
		for n.Kind == yaml.AliasNode && hops < maxDepth {
			n, hops = n.Alias, hops+1
		}
		next := yamlChild(n, token)
		if next == nil {
			break
		}
		n, line = next, next.Line
	}
	return line
}

func yamlChild(n *yaml.Node, token string) *yaml.Node {
	switch n.Kind {
	case yaml.SequenceNode:
		for i, c := range n.Content {
			if fmt.Sprint(i) == token {
				return c
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == token {
				return n.Content[i+1]
			}
		}
	}
	return nil
}
